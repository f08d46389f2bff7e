// SPDX-License-Identifier: GPL-2.0-or-later
/* All keys, one row each; and the rules that come with the program. */
#include "policy/settings-keys.h"

#define MSEC 1000ull
#define SEC (1000 * MSEC)
#define MINUTE (60 * SEC)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define KIB (1ull << 10)
#define MIB (1ull << 20)
#define GIB (1ull << 30)
#define TIB (1ull << 40)

static const char *const modes[] = { "observe", "advise", "enforce", NULL };
static const char *const sources[] = { "auto", "netlink", "procfs", NULL };
static const char *const depths[] = { "auto", "normal", "deep", NULL };

_Static_assert(sizeof(enum policy_mode) == sizeof(unsigned int), "choices are written as unsigned int");
_Static_assert(sizeof(enum policy_source) == sizeof(unsigned int), "choices are written as unsigned int");
_Static_assert(sizeof(enum policy_depth) == sizeof(unsigned int), "choices are written as unsigned int");

/* Of a section of its own; of [Reclaim] and [Rule]; what a rule matches. After the help: bounds or choices. */
#define SETTING(title, name, kind, field, normally, text, ...)                                                        \
	{                                                                                                             \
		.pub = { .section = (title), .key = (name), .help = (text) }, .type = &key_##kind,                    \
		.place = IN_SETTINGS, .fallback = (normally), .offset = offsetof(struct settings, field), __VA_ARGS__ \
	}
#define THRESHOLD(name, kind, field, flag, normally, text, ...)                                                        \
	{                                                                                                              \
		.pub = { .section = "Reclaim", .key = (name), .help = (text), .in_rules = true }, .type = &key_##kind, \
		.place = IN_THRESHOLDS, .bit = (flag), .fallback = (normally),                                         \
		.offset = offsetof(struct thresholds, field), __VA_ARGS__                                              \
	}
#define PATTERN(name, what, text)                                                                                  \
	{                                                                                                          \
		.pub = { .section = "Rule", .key = (name), .help = (text), .in_rules = true, .rules_only = true }, \
		.type = &key_patterns, .place = IN_MATCH, .offset = offsetof(struct rule, match[what])             \
	}

const struct key settings_keys[] = {
	SETTING("Daemon", "Mode", choice, mode, "enforce", "observe, advise or enforce", .choices = modes),
	SETTING("Daemon", "Source", choice, source, "auto", "where facts come from: auto, netlink or procfs",
		.choices = sources),
	SETTING("Daemon", "IntervalSec", time, interval_us, "30s", "time between two looks at all processes",
		.min = SEC, .max = DAY),
	SETTING("Daemon", "ActionsPerMinute", count, actions_per_minute, "6",
		"actions on all processes together, per minute", .min = 1, .max = 6000),
	SETTING("Daemon", "MaxWorkers", count, max_workers, "0", "workers at a time; 0: one per CPU", .max = 64),
	SETTING("Daemon", "StopBudgetSec", time, stop_budget_us, "200ms",
		"time for which all targets together may be stopped, per minute", .min = MSEC, .max = MINUTE),
	SETTING("Daemon", "BackoffMaxSec", time, backoff_max_us, "1d",
		"the longest that a process is left alone for taking memory back", .min = SEC, .max = 30 * DAY),
	SETTING("Daemon", "HistoryMax", size, history_max, "16M", "size of the history on disk", .min = 256 * KIB,
		.max = 64 * GIB),
	SETTING("Daemon", "MetricsFile", path, metrics_file, "",
		"file for a node exporter's textfile collector; empty: none"),

	SETTING("Pressure", "StallSec", time, pressure_stall_us, "150ms",
		"waiting for memory, within WindowSec, that is pressure; 0: none is", .min = MSEC, .max = 10 * SEC,
		.zero = true),
	SETTING("Pressure", "WindowSec", time, pressure_window_us, "2s",
		"over which StallSec is measured: 2s, 4s, 6s, 8s or 10s", .min = 2 * SEC, .max = 10 * SEC),

	SETTING("Pressure", "MinSwapFree", percent, swap_keep_permille, "20%", "part of swap that pageout leaves free",
		.max = 1000),
	SETTING("Pressure", "PageoutPerMinute", size, pageout_per_minute, "256M",
		"memory of all processes that is paged out, per minute", .min = MIB, .max = 64 * TIB),

	THRESHOLD("MinAnon", size, min_anon, SET_MIN_ANON, "64M",
		  "anonymous memory below which a process isn't looked at", .min = MIB, .max = 64 * TIB),
	THRESHOLD("MinReclaim", size, min_reclaim, SET_MIN_RECLAIM, "16M", "predicted gain below which nothing is done",
		  .min = 64 * KIB, .max = 64 * TIB),
	THRESHOLD("MinReclaimPercent", percent, min_reclaim_permille, SET_MIN_RECLAIM_PERMILLE, "10%",
		  "the same as a part of its anonymous memory", .max = 1000),
	THRESHOLD("IdleSec", time, idle_us, SET_IDLE, "1min", "for how long it must have been idle", .max = 30 * DAY),
	THRESHOLD("IdleCPU", percent, idle_cpu_permille, SET_IDLE_CPU, "1%", "idle: at most so much of one CPU",
		  .max = 1000),
	THRESHOLD("Remedies", remedies, remedies, SET_REMEDIES, "trim purge",
		  "what may be done: trim, purge, collect, cold, pageout; or none"),
	THRESHOLD("Depth", choice, depth, SET_DEPTH, "normal", "of a purge: auto, normal or deep", .choices = depths),
	THRESHOLD("SettledSec", time, settled_us, SET_SETTLED, "10min",
		  "for cold and pageout: for how long memory must have been left alone", .min = SEC, .max = 30 * DAY),
	THRESHOLD("CooldownSec", time, cooldown_us, SET_COOLDOWN, "10min", "time between two actions on one process",
		  .min = SEC, .max = 30 * DAY),
	THRESHOLD("MaxStopSec", time, max_stop_us, SET_MAX_STOP, "20ms",
		  "the longest that an action may stop a process", .min = MSEC, .max = 10 * SEC),
	THRESHOLD("TimeoutSec", time, timeout_us, SET_TIMEOUT, "30s", "after which an action is given up",
		  .min = 100 * MSEC, .max = HOUR),

	PATTERN("Comm", MATCH_COMM, "names of processes, as in /proc/PID/comm"),
	PATTERN("Exe", MATCH_EXE, "paths of programs"),
	PATTERN("Unit", MATCH_UNIT, "systemd units"),
	PATTERN("Slice", MATCH_SLICE, "systemd slices"),
	PATTERN("ControlGroup", MATCH_CGROUP, "control groups, as in /proc/PID/cgroup"),
	PATTERN("User", MATCH_USER, "user names or numbers"),
	PATTERN("Allocator", MATCH_ALLOCATOR, "allocators, as in reclaimctl ps"),
	PATTERN("Runtime", MATCH_RUNTIME, "runtimes, as in reclaimctl ps"),
	{ .pub = { .section = "Rule", .key = "Never", .help = "leave it alone", .in_rules = true, .rules_only = true },
	  .type = &key_bool,
	  .place = IN_THRESHOLDS,
	  .offset = offsetof(struct thresholds, never),
	  .bit = SET_NEVER },
};
const size_t settings_nkeys = ARRAY_SIZE(settings_keys);
_Static_assert(ARRAY_SIZE(settings_keys) <= SETTINGS_KEYS_MAX, "SETTINGS_KEYS_MAX is too small");

/*
 * The kernel keeps 15 characters of a name in comm. Pid 1, what is traced and who traces, real-time threads and
 * holders of /dev/kvm need no rule: policy.c knows them by what they do.
 */
const struct shipped settings_shipped[] = {
	{ "journal", "Comm", "systemd-journal" },
	{ "journal", "Never", "yes" },
	{ "dbus", "Comm", "dbus-daemon dbus-broker dbus-broker-lau" },
	{ "dbus", "Never", "yes" },
	{ "udev", "Comm", "systemd-udevd (udev-worker) udevd" },
	{ "udev", "Never", "yes" },
	{ "sshd", "Comm", "sshd sshd-session sshd-auth" },
	{ "sshd", "Never", "yes" },
	{ "logind", "Comm", "systemd-logind elogind elogind-daemon polkitd" },
	{ "logind", "Never", "yes" },
	{ "compositors", "Comm",
	  "Xorg Xorg.bin X Xwayland Xvnc gnome-shell mutter mutter-x11-fram kwin_x11 kwin_wayland kwin_wayland_wr sway "
	  "weston wayfire labwc river Hyprland niri cage gamescope* cosmic-comp cinnamon muffin budgie-wm gala "
	  "enlightenment* phoc xfwm4 marco openbox i3 awesome bspwm dwm" },
	{ "compositors", "Never", "yes" },
	{ "debuggers", "Comm", "gdb gdbserver lldb* strace ltrace rr perf bpftrace dlv uftrace" },
	{ "debuggers", "Never", "yes" },
	{ "valgrind", "Exe", "*/valgrind/*-linux" },
	{ "valgrind", "Never", "yes" },
	{ "vmms", "Comm",
	  "qemu-* kvm firecracker jailer cloud-hyperviso* crosvm VBoxHeadless VBoxSVC VBoxXPCOMIPCD VirtualBox* "
	  "vmware-vmx xen-qemu*" },
	{ "vmms", "Never", "yes" },
	{ "reclaim", "Comm", "reclaimd reclaim-worker reclaim-reader reclaimctl" },
	{ "reclaim", "Never", "yes" },
};
const size_t settings_nshipped = ARRAY_SIZE(settings_shipped);
