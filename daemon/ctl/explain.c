/* SPDX-License-Identifier: GPL-2.0-or-later */
/* "explain": where every resident MiB of a process is, and what would free what. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>

#include "base/parse.h"
#include "base/procfs.h"
#include "ctl/bus-client.h"
#include "ctl/explain.h"
#include "ctl/interrupt.h"
#include "ctl/pids.h"

#define REGIONS_MAX ((size_t)1 << 20)
#define TIMEOUT_DEFAULT_US 10000000ull
#define TIMEOUT_MIN_US 1000ull
#define TIMEOUT_MAX_US 3600000000ull

struct explain_opts {
	struct opt_number timeout;
	bool all;
};

static const struct option_spec explain_options[] = {
	{ "all", 0, NULL, "All arenas, not only the largest (JSON has all)", option_flag,
	  offsetof(struct explain_opts, all), NULL, NULL },
	{ "timeout", 0, "TIME", "For the looking, 1ms to 1h (10s)", option_time, offsetof(struct explain_opts, timeout),
	  "a time such as 10s", NULL },
};

/* PY_VERSION_HEX, cpython/Include/patchlevel.h. Before 3.11 the last number can't always be told: then it is 0. */
const char *explain_python_version(uint32_t version, char *buf, size_t size)
{
	snprintf(buf, size, "%u.%u.%u", version >> 24, version >> 16 & 0xff, version >> 8 & 0xff);
	return buf;
}

void explanation_done(struct explanation *e)
{
	proc_done(&e->proc);
	region_list_done(&e->regions);
	explain_answer_done(&e->answer);
	free(e->kinds);
	e->kinds = NULL;
}

bool explanation_looked(const struct explanation *e)
{
	return e->answer.head.outcome == WORKER_NOTHING;
}

static bool has_figures(uint32_t layer)
{
	return layer == EXPLAIN_READ || layer == EXPLAIN_ESTIMATE;
}

bool explanation_has_glibc(const struct explanation *e)
{
	return explanation_looked(e) && has_figures(e->answer.head.glibc.layer);
}

bool explanation_has_python(const struct explanation *e)
{
	return explanation_looked(e) && has_figures(e->answer.head.python.layer);
}

/* The kernel's view. 0; with -EACCES and -EBADMSG the regions just stay unknown. */
static int read_regions(int dir, struct explanation *e)
{
	int r = region_list_read(dir, REGIONS_MAX, &e->regions);

	e->has_regions = r == 0;
	return r == -EACCES || r == -EPERM || r == -EBADMSG || r == -E2BIG ? 0 : r;
}

/* By the daemon's worker, which may look where ours may not, when it runs and we aren't root. 0 or -errno. */
static int ask_daemon(const struct worker_request *req, struct explain_answer *ret)
{
	_cleanup_(bus_client_close) struct bus_client c = { .bus = NULL };

	if (geteuid() == 0 || bus_client_open(&c) != CTL_DONE)
		return -ENOTCONN;
	return bus_client_explain(&c, req, ret);
}

/* A worker that can't be started is as one that has failed: the kernel's layer is there all the same. */
static void ask_worker(const struct explain_opts *o, struct explanation *e)
{
	const struct worker_request req = {
		.magic = WORKER_MAGIC,
		.version = WORKER_VERSION,
		.pid = e->proc.pid,
		.start_time = e->proc.start_time,
		.op = WORKER_OP_EXPLAIN,
		.flags = WORKER_F_OUTSIDE,
		.timeout_us = o->timeout.given ? o->timeout.value : TIMEOUT_DEFAULT_US,
		.owner = WORKER_OWNER_ANY,
	};
	struct explain_head *h = &e->answer.head;
	char path[4096];
	int r;

	if (ask_daemon(&req, &e->answer) == 0)
		return;
	r = worker_client_path(path, sizeof(path));
	if (r == 0)
		r = worker_client_explain(path, &req, e->cancel_fd ? e->cancel_fd : -1, &e->answer);
	else
		snprintf(path, sizeof(path), "reclaim-worker");
	if (r == 0)
		return;
	h->outcome = WORKER_FAILED;
	snprintf(h->reason, sizeof(h->reason), "can't start %.100s: %s; see 'reclaimctl doctor'", path, strerror(-r));
}

struct asking {
	const struct explain_opts *o;
	struct explanation *e;
};

static void *ask_thread(void *arg)
{
	const struct asking *a = arg;

	ask_worker(a->o, a->e);
	return NULL;
}

/* The kernel walks the page tables for us while the worker walks the heaps; each fills its own part of @e. */
static int read_both(int dir, const struct explain_opts *o, struct explanation *e, uint64_t **ret_stacks, size_t *ret_n)
{
	struct asking a = { .o = o, .e = e };
	/* In a kernel thread there is nothing to be looked at: the worker would say so too. */
	const bool ask = !e->proc.kthread;
	pthread_t thread;
	bool beside = ask && pthread_create(&thread, NULL, ask_thread, &a) == 0;
	int r;

	if (ask && !beside)
		ask_worker(o, e);
	r = read_regions(dir, e);
	if (r == 0)
		r = stacks_read(dir, ret_stacks, ret_n);
	if (beside)
		(void)pthread_join(thread, NULL);
	return r;
}

static int look(const struct ctl *ctl, const struct explain_opts *o, pid_t pid, struct explanation *e, char *why,
		size_t size)
{
	_cleanup_close_ int dir = procfs_open_pid(ctl->proc, pid);
	_cleanup_close_ int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_free_ uint64_t *stacks = NULL;
	size_t nstacks = 0;
	int r = dir < 0 ? dir : proc_read(ctl->proc, pid, PROC_NAMES, &e->proc);

	if (r == 0)
		r = read_both(dir, o, e, &stacks, &nstacks);
	if (r == 0)
		r = account_fill(e, stacks, nstacks);
	thp_read(root, &e->thp);
	if (r < 0)
		snprintf(why, size, "%s", r == -ESRCH ? "no such process" : strerror(-r));
	return r;
}

int explanation_read(const struct ctl *ctl, pid_t pid, uint64_t timeout_us, struct explanation *ret)
{
	const struct explain_opts o = { .timeout = { .given = true, .value = timeout_us } };
	char why[256];

	return look(ctl, &o, pid, ret, why, sizeof(why));
}

/* What came of the looking: a diagnostic where something is missing, and the exit status. */
static int judge(const struct explanation *e)
{
	static const struct {
		uint32_t outcome;
		int status;
		const char *before, *after;
	} rows[] = {
		{ WORKER_GONE, CTL_GONE, "gone", "" },
		{ WORKER_DENIED, CTL_DENIED, "not permitted to look inside", "; see 'reclaimctl doctor'" },
		{ WORKER_TIMEOUT, CTL_FAILED, "timed out looking inside", "; allow more with --timeout" },
		{ WORKER_FAILED, CTL_FAILED, "failed to look inside", "" },
		/* A zombie, a kernel thread: there is nothing inside, and that is the answer. */
		{ WORKER_REFUSED, CTL_DONE, NULL, NULL },
	};
	const struct explain_head *h = &e->answer.head;
	char comm[300], reason[EXPLAIN_TEXT_MAX * 4];
	int status = CTL_DONE;

	escape_text(e->proc.comm, comm, sizeof(comm));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].outcome != h->outcome)
			continue;
		status = rows[i].status;
		if (rows[i].before)
			ctl_diag("pid %d (%s): %s: %s%s", e->proc.pid, comm, rows[i].before,
				 escape_text(h->reason, reason, sizeof(reason)), rows[i].after);
	}
	if (status == CTL_DONE && !e->has_regions && !e->proc.kthread) {
		ctl_diag("pid %d (%s): its mappings may not be read; be root, or see 'reclaimctl doctor'", e->proc.pid,
			 comm);
		status = CTL_DENIED;
	}
	return status;
}

static int run_explain(struct ctl *ctl, const void *opts, const char *const *args, size_t nargs)
{
	_cleanup_(explanation_done) struct explanation e = { .proc = { .pid = 0 } };
	const struct explain_opts *o = opts;
	_cleanup_free_ pid_t *pids = NULL;
	char why[256];
	int r, status;
	size_t n;

	r = pids_parse(args, nargs, &pids, &n, why, sizeof(why));
	if (r == -EINVAL)
		return ctl_fail(ctl, CTL_USAGE, "explain: %s", why);
	if (r < 0)
		return ctl_fail(ctl, CTL_FAILED, "explain: %s", strerror(-r));
	if (o->timeout.given && (o->timeout.value < TIMEOUT_MIN_US || o->timeout.value > TIMEOUT_MAX_US))
		return ctl_fail(ctl, CTL_USAGE, "explain: --timeout must be between 1ms and 1h");
	r = look(ctl, o, pids[0], &e, why, sizeof(why));
	if (r < 0)
		return ctl_fail(ctl,
				r == -ESRCH		    ? CTL_GONE :
				r == -EACCES || r == -EPERM ? CTL_DENIED :
							      CTL_FAILED,
				"pid %d: %s", pids[0], why);
	status = judge(&e);
	if (status == CTL_GONE)
		return ctl_output_done(status, ctl->json ? explain_print_json(ctl, &e) : 0);
	notes_compose(&e, &e.notes);
	r = ctl->json ? explain_print_json(ctl, &e) : explain_print_text(ctl, &e, o->all);
	return ctl_output_done(status, r);
}

const struct verb verb_explain = {
	.name = "explain",
	.args = "PID",
	.help = "Show where every resident MiB of a process is, and what would free what",
	.details = "Layer by layer: the kernel's mappings, the C library's allocator, the language runtime. The\n"
		   "target is never stopped: what it changes meanwhile makes figures estimates, and they say so.\n",
	.min_args = 1,
	.max_args = 1,
	.options = explain_options,
	.noptions = ARRAY_SIZE(explain_options),
	.opts_size = sizeof(struct explain_opts),
	.needs_proc = true,
	.run = run_explain,
};
