/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checks of the kernel module: is it there, does it answer us, and what are its ages worth? */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/parse.h"
#include "base/procfs.h"
#include "base/text.h"
#include "ctl/doctor.h"
#include "sense/kmod.h"
#include "sense/source.h"

#define TUNABLES "sys/kernel/reclaim/"

static bool loaded(const struct doctor *d)
{
	return faccessat(d->root, TUNABLES, F_OK, 0) == 0;
}

int doctor_ask_module(char *why, size_t size)
{
	_cleanup_(source_close) struct source s = { .module = NULL };
	_cleanup_close_ int proc = procfs_open_root("/proc");

	return proc < 0 ? proc : source_open(proc, SOURCE_NETLINK, &s, why, size);
}

/* A number of the module's settings. false when it can't be read. */
static bool tunable(const struct doctor *d, const char *name, uint64_t *ret)
{
	char path[64], text[32];

	text_format(path, sizeof(path), TUNABLES "%s", name);
	return doctor_read(d, path, text, sizeof(text)) > 0 && parse_u64(text, 10, ret) >= 0;
}

static void check_module(struct doctor *d, struct finding *ret)
{
	char version[64], shown[sizeof(version) * 4], why[200] = "";
	int r;

	if (!loaded(d)) {
		found(ret, HEALTH_INFO,
		      "the kernel module is not loaded: all works without it, but idle times are unknown");
		if (kmod_installed(d->root))
			mend(ret, "modprobe reclaim; at each boot: echo reclaim > /etc/modules-load.d/reclaim.conf");
		else
			mend(ret, "it isn't installed for this kernel: " KMOD_INSTALL ", then modprobe reclaim");
		return;
	}
	if (doctor_read(d, "sys/module/reclaim/version", version, sizeof(version)) <= 0)
		text_format(version, sizeof(version), "of unknown version");
	escape_text(version, shown, sizeof(shown));
	r = d->ask ? d->ask(why, sizeof(why)) : 0;
	if (r >= 0) {
		found(ret, HEALTH_OK, "the kernel module is loaded (%s)%s", shown, d->ask ? " and answers us" : "");
	} else if (r == -EPERM || r == -EACCES) {
		found(ret, HEALTH_WARN, "the kernel module is loaded (%s), but not for us: /proc is read instead",
		      shown);
		mend(ret, "be root: needs CAP_SYS_PTRACE in the initial user namespace");
	} else {
		found(ret, HEALTH_WARN, "the kernel module is loaded (%s), but can't be asked from here: %s", shown,
		      r == -ENOENT ? "it serves the initial network namespace only" : strerror(-r));
		mend(ret, "run outside of the container, or: nsenter -t 1 -n reclaimctl ...");
	}
}

static void check_sampling(struct doctor *d, struct finding *ret)
{
	uint64_t enabled, interval, permille, min_kb, after;
	char every[32], size[24], idle[32], young[32];

	if (!loaded(d)) {
		found(ret, HEALTH_INFO,
		      "nobody looks for how long memory has been idle: the kernel module is not loaded");
		return;
	}
	if (!tunable(d, "enabled", &enabled) || !tunable(d, "scan_interval_ms", &interval) ||
	    !tunable(d, "scan_cpu_permille", &permille) || !tunable(d, "min_anon_kb", &min_kb) ||
	    !tunable(d, "idle_after_ms", &after) || interval > 1u << 31 || after > 1u << 31 || min_kb > 1ull << 40) {
		found(ret, HEALTH_WARN, "the module's settings in /" TUNABLES " can't be read");
		return;
	}
	if (!enabled) {
		found(ret, HEALTH_WARN, "the kernel module is loaded and its sampling switched off: no idle times");
		mend(ret, "echo 1 > /" TUNABLES "enabled");
		return;
	}
	if (doctor_read(d, TUNABLES "no_young_flag", young, sizeof(young)) > 0 && !strcmp(young, "off")) {
		found(ret, HEALTH_WARN,
		      "this kernel has no young flag for pages, and the module was told not to sample then");
		mend(ret, "echo activate > /" TUNABLES "no_young_flag");
		return;
	}
	found(ret, HEALTH_OK,
	      "accessed pages are looked for every %s, in processes with %s or more, at up to %u.%u %% of a "
	      "processor; idle is what wasn't touched for %s",
	      format_time_us(interval * 1000, every, sizeof(every)), format_size(min_kb << 10, size, sizeof(size)),
	      (unsigned int)(permille / 10), (unsigned int)(permille % 10),
	      format_time_us(after * 1000, idle, sizeof(idle)));
}

/* A page has one accessed bit, and whoever clears it takes the sign of access away from all others. */
static void check_ages(struct doctor *d, struct finding *ret)
{
	char text[64];
	bool damon = doctor_read(d, "sys/module/damon_stat/parameters/enabled", text, sizeof(text)) > 0 &&
		     (*text == 'Y' || *text == '1');
	uint64_t features = 0;
	bool mglru = doctor_read(d, "sys/kernel/mm/lru_gen/enabled", text, sizeof(text)) > 2 &&
		     parse_u64(text + 2, 16, &features) >= 0 && features & 1;

	if (!loaded(d)) {
		found(ret, HEALTH_INFO, "without the kernel module there are no idle times");
		return;
	}
	if (damon) {
		found(ret, HEALTH_WARN,
		      "damon_stat clears accessed bits all the time%s: idle times are upper bounds, and too long",
		      mglru ? ", and multi-generational LRU at times" : "");
		mend(ret, "echo N > /sys/module/damon_stat/parameters/enabled");
	} else if (mglru) {
		found(ret, HEALTH_INFO,
		      "multi-generational LRU clears accessed bits while memory is short: idle times are upper bounds");
	} else {
		found(ret, HEALTH_OK,
		      "nobody known to us clears accessed bits all the time; idle times are upper bounds");
	}
}

const struct check doctor_module_checks[] = {
	{ "module", check_module },
	{ "sampling", check_sampling },
	{ "idle-ages", check_ages },
};
const size_t doctor_n_module_checks = ARRAY_SIZE(doctor_module_checks);
