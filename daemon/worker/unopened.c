// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker/unopened.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"

static const struct {
	int error;
	enum worker_outcome outcome;
	const char *why;
} unopened_reasons[] = {
	{ -ESRCH, WORKER_GONE, "it has exited" },
	{ -EACCES, WORKER_DENIED, "tracing it needs root, or the same user and a process that allows it" },
	{ -EPERM, WORKER_DENIED, "tracing it needs root, or the same user and a process that allows it" },
	{ -EMFILE, WORKER_REFUSED, "it has more files mapped than may be opened here (ulimit -n)" },
	{ -E2BIG, WORKER_REFUSED, "it has too many mappings to look at" },
	{ -UNOPENED_UNCONFINED, WORKER_FAILED,
	  "who looks at it could not be confined first; is there a seccomp filter on this command?" },
	{ -EBUSY, WORKER_REFUSED, "others look into it already, or hang in files or memory of it that never answer" },
};

enum worker_outcome unopened(int error, char *why, size_t size)
{
	for (size_t i = 0; i < ARRAY_SIZE(unopened_reasons); i++) {
		if (unopened_reasons[i].error == error) {
			text_format(why, size, "%s", unopened_reasons[i].why);
			return unopened_reasons[i].outcome;
		}
	}
	text_format(why, size, "failed to open its memory and files: %s", strerror(-error));
	return WORKER_FAILED;
}

enum worker_outcome unopened_subject(int error, char *why, size_t size)
{
	if (error == -ESRCH) {
		text_format(why, size, "no such process");
		return WORKER_GONE;
	}
	if (error == -EACCES || error == -EPERM) {
		text_format(why, size, "/proc keeps it from who may not trace it (hidepid)");
		return WORKER_DENIED;
	}
	text_format(why, size, "%s", strerror(-error));
	return WORKER_FAILED;
}
