/* SPDX-License-Identifier: GPL-2.0-or-later */
/* "trim": give memory back. One worker per target, one after another. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/parse.h"
#include "base/procfs.h"
#include "base/text.h"
#include "core/worker-client.h"
#include "ctl/bus-client.h"
#include "ctl/interrupt.h"
#include "ctl/outfile.h"
#include "ctl/pids.h"
#include "ctl/trim-idle.h"
#include "sense/proc.h"

#define TIMEOUT_DEFAULT_US 10000000ull
#define TIMEOUT_MIN_US 1000ull
#define TIMEOUT_MAX_US 3600000000ull
#define IDLE_MAX_US (24 * TIMEOUT_MAX_US)

static const char *const advice_choices[] = { "dontneed", "free", NULL };
static const char *const depth_choices[] = { "auto", "normal", "deep", NULL };
/* In the order of the choices. */
static const uint32_t advice_flags[] = { 0, WORKER_F_ADVICE_FREE };
static const uint32_t depth_flags[] = { 0, WORKER_F_NORMAL, WORKER_F_DEEP };

#define TRIM_AUTO (WORKER_REMEDY_COLLECT | WORKER_REMEDY_TRIM | WORKER_REMEDY_PURGE)

#define AT(field) offsetof(struct trim_opts, field)

static const struct option_spec trim_options[] = {
	{ "unit", 0, "UNIT", "All processes of a systemd unit", option_text, AT(unit), "a unit", NULL },
	{ "cgroup", 0, "PATH", "All processes of a control group and those below it", option_text, AT(cgroup), "a path",
	  NULL },
	{ "all", 0, NULL, "All processes with at least --min (but no kernel threads, pid 1, our ancestors)",
	  option_flag, AT(all), NULL, NULL },
	{ "min", 0, "SIZE", "Of a group only those with so much anonymous memory (--all: 10M)", option_size, AT(min),
	  "a size such as 64M", NULL },
	{ "remedy", 0, "LIST", "What to do: auto (what pays), or some of collect, trim, purge, cold, pageout",
	  option_text, AT(remedies), "a list of remedies", NULL },
	{ "dry-run", 0, NULL, "Say what would happen; the target is never stopped", option_flag, AT(dry_run), NULL,
	  NULL },
	{ "max-stop", 0, "TIME", "Longest pause: purge aims at it, trim is refused when it expects more", option_time,
	  AT(max_stop), "a time such as 2ms", NULL },
	{ "timeout", 0, "TIME", "For each target, 1ms to 1h (10s)", option_time, AT(timeout), "a time such as 10s",
	  NULL },
	{ "advice", 0, "ADVICE", "For purge: dontneed, free", option_choice, AT(advice), NULL, advice_choices },
	{ "depth", 0, "DEPTH", "For purge: auto, normal, deep", option_choice, AT(depth), NULL, depth_choices },
	{ "recheck", 0, "TIME", "Look again after that, once for all: has memory come back? Up to 1h", option_time,
	  AT(recheck), "a time such as 30s", NULL },
	{ "idle", 0, "TIME", "For cold, pageout: what was idle for so long (2min; without module 10s)", option_time,
	  AT(idle), "a time such as 2min", NULL },
	{ "report", 0, "FILE", "Of one process: write a page with pictures of its memory before and after", option_text,
	  AT(report), "a file", NULL },
	{ "force", 0, NULL, "Allow pid 1", option_flag, AT(force), NULL, NULL },
};

struct trim {
	struct worker_request req;
	bool group, progress;
	pid_t *pids;
	size_t npids;
	struct trim_targets targets;
	struct trim_idle idle; /* for remedies that ask for it */
	struct trim_row *results;
	size_t nresults;
	int root; /* "/" */
	uint64_t recheck_us; /* 0: don't look again */
	char path[4096]; /* of the worker */
	struct trim_picture *picture; /* NULL: not wanted */
	struct bus_client daemon; /* whose worker does it, when we aren't root and it runs */
};

static void trim_donep(struct trim *t)
{
	free(t->pids);
	free(t->results);
	trim_picture_free(t->picture);
	closep(&t->root);
	bus_client_close(&t->daemon);
	trim_idle_done(&t->idle);
	trim_targets_done(&t->targets);
}

/* What is wrong with the options together, or NULL. */
static const char *find_conflict(const struct trim_opts *o, size_t npids)
{
	if ((npids > 0) + !!o->unit + !!o->cgroup + o->all > 1)
		return "process ids, --unit, --cgroup and --all exclude each other";
	if (!npids && !o->unit && !o->cgroup && !o->all)
		return "which process? Give process ids, --unit, --cgroup or --all";
	if (o->report && (npids != 1 || o->dry_run))
		return "--report is for one process id, and not with --dry-run";
	if (o->report && outfile_is_stdout(o->report))
		return "--report: standard output is for what was done; name a file";
	if (npids && o->min.given)
		return "--min is for --all, --unit and --cgroup";
	if (o->max_stop.given && !o->max_stop.value)
		return "--max-stop must be more than 0";
	if (o->timeout.given && (o->timeout.value < TIMEOUT_MIN_US || o->timeout.value > TIMEOUT_MAX_US))
		return "--timeout must be between 1ms and 1h";
	if (o->idle.given && (!o->idle.value || o->idle.value > IDLE_MAX_US))
		return "--idle must be more than 0, and at most 1d";
	if (o->recheck.value > TIMEOUT_MAX_US)
		return "--recheck must be at most 1h";
	return NULL;
}

static int trim_setup(const struct trim_opts *o, struct trim *t, char *why, size_t size)
{
	uint32_t remedies, flags;
	int r;

	r = trim_remedies_parse(o->remedies ? o->remedies : "auto", &remedies, why, size);
	if (r < 0)
		return r;
	flags = (o->dry_run ? WORKER_F_DRY_RUN : 0) | (o->force ? WORKER_F_FORCE : 0) | (remedies ? 0 : WORKER_F_AUTO) |
		(o->advice ? advice_flags[o->advice - 1] : 0) | (o->depth ? depth_flags[o->depth - 1] : 0);
	t->req = (struct worker_request){
		.magic = WORKER_MAGIC,
		.version = WORKER_VERSION,
		.flags = flags,
		.remedies = remedies ? remedies : TRIM_AUTO,
		.timeout_us = o->timeout.given ? o->timeout.value : TIMEOUT_DEFAULT_US,
		.max_stop_us = o->max_stop.value,
		.owner = WORKER_OWNER_ANY,
	};
	t->group = !t->npids;
	t->recheck_us = o->dry_run ? 0 : o->recheck.value;
	if (o->dry_run && o->recheck.value)
		ctl_diag("--recheck: no effect with --dry-run, ignoring");
	if (o->idle.given && !(remedies & TRIM_REMEDIES_IDLE))
		ctl_diag("--idle: no effect without --remedy=cold or pageout, ignoring");
	if ((o->advice || o->depth) && remedies && !(remedies & WORKER_REMEDY_PURGE))
		ctl_diag("%s%s%s: no effect without --remedy=purge, ignoring", o->advice ? "--advice" : "",
			 o->advice && o->depth ? " and " : "", o->depth ? "--depth" : "");
	return 0;
}

static void give_up(struct worker_result *res, enum worker_outcome outcome, const char *reason)
{
	res->outcome = outcome;
	snprintf(res->reason, sizeof(res->reason), "%s", reason);
}

/*
 * The identity of the target before anything is done to it. For one that was
 * selected, it must still be the process that it was then. True when it is there.
 */
static bool look_at(const struct ctl *ctl, const struct trim_target *target, struct worker_result *res,
		    uint64_t *ret_anon)
{
	_cleanup_(proc_done) struct proc p = { 0 };
	char why[WORKER_TEXT_MAX];
	int r;

	snprintf(res->comm, sizeof(res->comm), "%s", target->comm);
	res->start_time = target->start_time;
	r = proc_read(ctl->proc, target->pid, PROC_BASIC, &p);
	if (r == -ESRCH || (r >= 0 && target->start_time && target->start_time != p.start_time)) {
		give_up(res, WORKER_GONE, "no such process");
		return false;
	}
	if (r < 0) {
		snprintf(why, sizeof(why), "failed to read /proc/%d: %s", target->pid, strerror(-r));
		give_up(res, r == -EACCES || r == -EPERM ? WORKER_DENIED : WORKER_FAILED, why);
		return false;
	}
	snprintf(res->comm, sizeof(res->comm), "%s", p.comm);
	res->start_time = p.start_time;
	res->rss_before = res->rss_after = p.rss == PROC_UNKNOWN ? 0 : p.rss;
	*ret_anon = p.anon == PROC_UNKNOWN ? 0 : p.anon;
	return true;
}

/* What the worker leaves out when it did not get that far, filled from what we saw ourselves. */
static void complete(struct worker_result *res, const struct worker_result *seen)
{
	if (!res->comm[0])
		memcpy(res->comm, seen->comm, sizeof(res->comm));
	if (!res->start_time)
		res->start_time = seen->start_time;
	if (!res->rss_before && !res->rss_after && !res->freed) {
		res->rss_before = seen->rss_before;
		res->rss_after = seen->rss_after;
	}
}

/* @comm: raw bytes of what was just looked at. */
static void show_progress(const struct trim *t, size_t i, const char *comm)
{
	char shown[WORKER_TEXT_MAX * 4];

	if (t->progress)
		fprintf(stderr, "\r\033[Ktrim %zu/%zu: pid %d (%s)", i + 1, t->targets.n, t->targets.v[i].pid,
			escape_text(comm, shown, sizeof(shown)));
}

static void clear_progress(const struct trim *t)
{
	if (t->progress)
		fputs("\r\033[K", stderr);
}

/* The daemon's worker, which may do what ours may not; without a daemon ours. 0 or -errno of the worker. */
static int run_worker(struct trim *t, const struct worker_request *req, struct worker_result *ret)
{
	int r = t->daemon.bus ? bus_client_trim(&t->daemon, req, interrupt_fd(), ret) : -ENOTCONN;

	if (r == 0)
		return 0;
	bus_client_close(&t->daemon);
	if (r == -ENOTCONN)
		return worker_client_run_cancel(t->path, req, interrupt_fd(), ret);
	*ret = (struct worker_result){ .magic = WORKER_MAGIC, .version = WORKER_VERSION, .pid = req->pid };
	ret->outcome = WORKER_FAILED;
	text_format(ret->reason, sizeof(ret->reason), "failed to ask reclaimd: %s", strerror(-r));
	return 0;
}

/* Runs the worker between two looks at how much memory is in use. 0 or -errno of the worker. */
static int trim_measured(const struct ctl *ctl, struct trim *t, const struct worker_request *req, uint64_t anon,
			 struct trim_row *row)
{
	_cleanup_close_ int dir = procfs_open_pid(ctl->proc, req->pid);
	_cleanup_(meter_close) struct meter meter = METER_CLOSED;
	struct worker_result answer;
	uint64_t before;
	int r;

	/* One that has gone since is the worker's to tell. */
	if (dir >= 0)
		meter_open(t->root, dir, req->pid, anon, &meter);
	before = meter_used(&meter);
	r = run_worker(t, req, &answer);
	if (r < 0)
		return r;
	/* Only of what was done: a dry run gives nothing back. */
	if (answer.nsteps && (answer.outcome == WORKER_RECLAIMED || answer.outcome == WORKER_NOTHING)) {
		row->after.scope = meter.scope;
		row->after.real_before = before;
		row->after.real_after = meter_used(&meter);
		if (t->recheck_us)
			trim_recheck_mark(ctl, t->root, row);
	}
	complete(&answer, &row->res);
	row->res = answer;
	return 0;
}

static void trim_one(struct ctl *ctl, struct trim *t, size_t i, struct trim_row *row)
{
	const struct trim_target *target = &t->targets.v[i];
	struct worker_request req = t->req;
	struct worker_result *res = &row->res;
	char why[WORKER_TEXT_MAX];
	uint64_t anon = 0;
	int r;

	*res = (struct worker_result){ .magic = WORKER_MAGIC, .version = WORKER_VERSION, .pid = target->pid };
	row->after = (struct aftermath){ .real_before = METER_UNKNOWN, .real_after = METER_UNKNOWN };
	if (!look_at(ctl, target, res, &anon))
		return;
	req.pid = target->pid;
	req.start_time = res->start_time;
	if (req.remedies & TRIM_REMEDIES_IDLE)
		trim_idle_fill(ctl, &t->idle, i, &req);
	show_progress(t, i, res->comm);
	r = trim_measured(ctl, t, &req, anon, row);
	clear_progress(t);
	if (r == 0)
		trim_idle_touched(ctl, &req, res);
	if (r < 0) {
		snprintf(why, sizeof(why), "can't start %.140s: %s; see 'reclaimctl doctor'", t->path, strerror(-r));
		give_up(res, WORKER_FAILED, why);
	}
}

/* Does it stay free? From what is seen later, or from the machine's settings alone. */
static void trim_judge(const struct ctl *ctl, struct trim *t)
{
	struct thp thp;

	if (t->recheck_us)
		trim_recheck(ctl, t->root, t->recheck_us, t->results, t->nresults);
	thp_read(t->root, &thp);
	for (size_t i = 0; i < t->nresults; i++) {
		aftermath_judge(&t->results[i].after, &t->results[i].res, &thp);
		trim_report_warning(&t->results[i]);
	}
}

static int trim_run(struct ctl *ctl, const struct trim_opts *o, struct trim *t)
{
	int r = 0;

	t->results = calloc(t->targets.n + 1, sizeof(*t->results));
	if (!t->results)
		return -ENOMEM;
	/* The daemon has watched them for longer. */
	if ((t->req.remedies & TRIM_REMEDIES_IDLE) && !t->daemon.bus)
		r = trim_idle_begin(ctl, &t->targets, o->idle.value, &t->idle);
	if (r < 0)
		return r;
	t->progress = t->targets.n > 1 && ctl_terminal(STDERR_FILENO);
	for (size_t i = 0; i < t->targets.n && !interrupt_signal(); i++) {
		trim_one(ctl, t, i, &t->results[t->nresults]);
		trim_report_failure(&t->results[t->nresults++], t->group);
	}
	trim_judge(ctl, t);
	return 0;
}

static int trim_find(const struct ctl *ctl, const struct trim_opts *o, struct trim *t)
{
	if (t->group)
		return trim_targets_select(ctl->proc, o, &t->targets);
	return trim_targets_named(t->pids, t->npids, &t->targets);
}

/* A group that nobody is in: with --all there is nothing to do, a name is more likely wrong. */
static int trim_nobody(struct ctl *ctl, const struct trim_opts *o)
{
	_cleanup_free_ char *name = NULL;
	char shown[256], min[16];
	int r;

	r = ctl->json ? trim_report(ctl, NULL, 0) : 0;
	if (o->all) {
		ctl_diag("no process has that much anonymous memory: nothing to do");
		return ctl_output_done(CTL_DONE, r);
	}
	name = trim_group_name(o);
	if (!name)
		return ctl_fail(ctl, CTL_FAILED, "trim: out of memory");
	ctl_diag("no process in %s %s%s%s", o->unit ? "unit" : "control group", escape_text(name, shown, sizeof(shown)),
		 o->min.given ? " with anonymous memory of at least " : "",
		 o->min.given ? format_size(o->min.value, min, sizeof(min)) : "");
	return ctl_output_done(CTL_GONE, r);
}

/* All is done by then: that the page is missing is one more failure. */
static int trim_finish_picture(const struct ctl *ctl, const struct trim_opts *o, struct trim *t)
{
	char why[700];

	/* Interrupted before its turn, it is as it was. */
	if (!t->picture || !t->nresults || trim_picture_end(ctl, o, t->picture, why, sizeof(why)) == 0)
		return CTL_DONE;
	ctl_diag("trim: --report: %s", why);
	return CTL_FAILED;
}

static int trim_finish(struct ctl *ctl, const struct trim *t)
{
	int r = trim_report(ctl, t->results, t->nresults), signo = interrupt_signal();
	int status = trim_status(t->results, t->nresults, t->group);

	if (signo) {
		ctl_diag("interrupted by signal %d: %zu of %zu done", signo, t->nresults, t->targets.n);
		status = 128 + signo;
	}
	return ctl_output_done(status, r);
}

static int run_trim(struct ctl *ctl, const void *opts, const char *const *args, size_t nargs)
{
	_cleanup_(trim_donep) struct trim t = { .root = -1 };
	const struct trim_opts *o = opts;
	const char *conflict;
	char why[256], report[700] = "out of memory";
	int r;

	r = pids_parse(args, nargs, &t.pids, &t.npids, why, sizeof(why));
	if (r == -EINVAL)
		return ctl_fail(ctl, CTL_USAGE, "trim: %s", why);
	if (r < 0)
		return ctl_fail(ctl, CTL_FAILED, "trim: %s", strerror(-r));
	conflict = find_conflict(o, t.npids);
	if (conflict)
		return ctl_fail(ctl, CTL_USAGE, "trim: %s", conflict);
	r = trim_setup(o, &t, why, sizeof(why));
	if (r < 0)
		return ctl_fail(ctl, CTL_USAGE, "trim: %s", why);
	r = worker_client_path(t.path, sizeof(t.path));
	if (r < 0)
		return ctl_fail(ctl, CTL_FAILED, "failed to find the worker: %s", strerror(-r));
	t.root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	r = t.root < 0 ? -errno : trim_find(ctl, o, &t);
	if (r < 0)
		return ctl_fail(ctl, CTL_FAILED, "failed to read processes: %s", strerror(-r));
	if (!t.targets.n)
		return trim_nobody(ctl, o);
	r = interrupt_catch();
	if (r < 0)
		return ctl_fail(ctl, CTL_FAILED, "failed to catch signals: %s", strerror(-r));
	/* It never takes pid 1. Without a daemon our own worker does what it may. */
	if (geteuid() != 0 && !o->force && bus_client_open(&t.daemon) != CTL_DONE)
		bus_client_close(&t.daemon);
	r = o->report ? trim_picture_begin(ctl, o, t.pids[0], &t.picture, report, sizeof(report)) : 0;
	if (r == -ECANCELED)
		return trim_finish(ctl, &t);
	if (r < 0)
		return ctl_fail(ctl, r == -ESRCH ? CTL_GONE : CTL_FAILED, "trim: --report: %s", report);
	r = trim_run(ctl, o, &t);
	if (r < 0)
		return ctl_fail(ctl, CTL_FAILED, "trim: %s", strerror(-r));
	r = trim_finish_picture(ctl, o, &t);
	return trim_finish(ctl, &t) ?: r;
}

static const char *trim_word(const char *option, size_t i)
{
	return strcmp(option, "remedy") ? NULL : trim_remedies_word(i);
}

const struct verb verb_trim = {
	.name = "trim",
	.args = "PID... | --unit=UNIT | --cgroup=PATH | --all",
	.help = "Give memory back: by the target's own malloc_trim(), by purging its allocators",
	.details =
		"One target after another, one thread of each; a pid given twice counts once.\n"
		"--unit and --cgroup leave out reclaimctl itself; --all also its ancestors and pid 1. In these forms\n"
		"a process that exits before its turn is no error; a group without any process is (5).\n"
		"^C lets the current target finish, prints what was done and exits with 128 + the signal; a second\n"
		"^C gives the current target up too, which is safe for it.\n"
		"With several targets the exit status is 1 if any failed or timed out, else 4 if any was not\n"
		"permitted, else 3 if any was refused, else 5 if any does not exist, else 0.\n",
	.max_args = SIZE_MAX,
	.options = trim_options,
	.noptions = ARRAY_SIZE(trim_options),
	.opts_size = sizeof(struct trim_opts),
	.needs_proc = true,
	.needs_facts = true,
	.run = run_trim,
	.word = trim_word,
};
