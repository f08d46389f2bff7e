/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checks of settings of the system that decide what a trim is worth. Files only: tested on recorded trees. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "base/parse.h"
#include "ctl/doctor.h"
#include "sense/thp.h"

static void check_psi(struct doctor *d, struct finding *ret)
{
	char text[512];
	ssize_t n = doctor_read(d, "proc/pressure/memory", text, sizeof(text));

	if (n > 0) {
		found(ret, HEALTH_OK, "memory pressure can be read");
		return;
	}
	found(ret, HEALTH_INFO, "no memory pressure figures (PSI): %s", n < 0 ? strerror((int)-n) : "empty");
	mend(ret, "boot with psi=1");
}

/* "Filename Type Size Used Priority", sizes in KiB, names escaped by the kernel. */
static void check_swap(struct doctor *d, struct finding *ret)
{
	char text[16384], size[24], *line, *save;
	uint64_t total = 0, kib;
	ssize_t n = doctor_read(d, "proc/swaps", text, sizeof(text));

	if (n < 0 && n != -ENOENT) {
		found(ret, HEALTH_WARN, "/proc/swaps: %s", strerror((int)-n));
		return;
	}
	if (n < 0)
		text[0] = 0;
	line = strtok_r(text, "\n", &save);
	while (line && (line = strtok_r(NULL, "\n", &save)))
		if (sscanf(line, "%*s %*s %" SCNu64, &kib) == 1 && kib < UINT64_MAX >> 20)
			total += kib << 10;
	if (total)
		found(ret, HEALTH_OK, "%s of swap", format_size(total, size, sizeof(size)));
	else
		found(ret, HEALTH_INFO, "no swap: pageout can do nothing; trim doesn't need it");
}

static void check_zswap(struct doctor *d, struct finding *ret)
{
	char text[16];
	ssize_t n = doctor_read(d, "sys/module/zswap/parameters/enabled", text, sizeof(text));

	if (n < 0)
		found(ret, HEALTH_INFO, "zswap is not in this kernel");
	else
		found(ret, HEALTH_INFO, "zswap is %s", *text == 'Y' || *text == '1' ? "on" : "off");
}

/*
 * khugepaged makes a huge page of a range in which up to max_ptes_none pages
 * are missing: what a trim gave back in small pieces comes back as zeros.
 */
static void check_thp(struct doctor *d, struct finding *ret)
{
	struct thp thp;

	thp_read(d->root, &thp);
	if (thp.mode == THP_NEVER) {
		found(ret, HEALTH_OK, "transparent huge pages: never, or not in this kernel");
	} else if (!thp_fills(&thp)) {
		found(ret, HEALTH_OK, "transparent huge pages: %s, and khugepaged fills no holes",
		      thp.mode == THP_ALWAYS ? "always" : "only where a program asks");
	} else if (thp.mode == THP_MADVISE) {
		found(ret, HEALTH_OK, "transparent huge pages: only where a program asks");
	} else if (thp.max_ptes_none == THP_UNKNOWN) {
		found(ret, HEALTH_WARN, "transparent huge pages: always; khugepaged/max_ptes_none can't be read");
	} else {
		found(ret, HEALTH_WARN,
		      "transparent huge pages: always, and khugepaged fills up to %" PRIu64
		      " missing pages of a huge one: freed memory may come back",
		      thp.max_ptes_none);
		mend(ret, "echo 0 > " THP_MAX_PTES_NONE);
	}
}

const struct check doctor_system_checks[] = {
	{ "psi", check_psi },
	{ "swap", check_swap },
	{ "zswap", check_zswap },
	{ "thp", check_thp },
};
const size_t doctor_n_system_checks = ARRAY_SIZE(doctor_system_checks);
