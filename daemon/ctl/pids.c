/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdbool.h>

#include "base/parse.h"
#include "ctl/pids.h"

static bool has(const pid_t *v, size_t n, pid_t pid)
{
	for (size_t i = 0; i < n; i++)
		if (v[i] == pid)
			return true;
	return false;
}

int pids_parse(const char *const *args, size_t nargs, pid_t **ret, size_t *ret_n, char *why, size_t why_size)
{
	_cleanup_free_ pid_t *v = NULL;
	char shown[96];
	size_t n = 0;

	v = calloc(nargs + 1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < nargs; i++) {
		pid_t pid;

		if (parse_pid(args[i], &pid) < 0) {
			snprintf(why, why_size, "'%s' is not a process id: 'reclaimctl ps' shows them",
				 escape_text(args[i], shown, sizeof(shown)));
			return -EINVAL;
		}
		if (!has(v, n, pid))
			v[n++] = pid;
	}
	*ret = TAKE_PTR(v);
	*ret_n = n;
	return 0;
}
