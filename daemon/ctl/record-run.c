// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/clock.h"
#include "base/parse.h"
#include "base/text.h"
#include "ctl/interrupt.h"
#include "ctl/json.h"
#include "ctl/pids.h"
#include "ctl/record.h"

#define INTERVAL_US 1000000ull
#define MARK_SIZE (16ull << 20)

struct recorder {
	struct ctl *ctl;
	const char *path;
	uint64_t interval_us, duration_us, count, mark;
	struct recording_writer w;
	struct record_target *t; /* n of them */
	size_t n, alive, turn; /* whose turn it is to be looked at */
	pid_t command; /* 0: none */
	struct record_budget budget;
	struct record_daemon daemon;
	uint64_t began_us; /* CLOCK_BOOTTIME */
	uint64_t cost_us, look_us; /* CPU time: in all, when it has ended; of looks so far */
	uint64_t command_us; /* what the command has used, once it is among our children that have ended */
	uint64_t rounds, samples, looks, events;
	uint64_t rss; /* as seen last, of all of them */
	int error; /* of writing */
	bool progress;
};

static uint64_t now_us(void)
{
	return clock_us(CLOCK_BOOTTIME);
}

/* Of ours and of workers that have ended. The command's own isn't ours. */
static uint64_t cpu_us(const struct recorder *r)
{
	struct rusage ru = { 0 };

	(void)getrusage(RUSAGE_CHILDREN, &ru);
	return record_cpu_us(&ru) - MIN(record_cpu_us(&ru), r->command_us) + clock_us(CLOCK_PROCESS_CPUTIME_ID);
}

/* ---------------------------------------------------------------- into the file */

static struct recording_block block_of(const struct recorder *r, const struct record_target *t,
				       enum recording_type type)
{
	return (struct recording_block){ .type = type,
					 .target = (uint32_t)(t - r->t),
					 .at_us = now_us() - r->began_us };
}

static void put(struct recorder *r, const struct recording_block *b)
{
	if (!r->error)
		r->error = recording_put(&r->w, b);
}

static void put_event(struct recorder *r, const struct record_target *t, enum recording_event_kind kind, int64_t bytes,
		      const char *words)
{
	struct recording_block b = block_of(r, t, RECORDING_BLOCK_EVENT);

	b.event.kind = kind;
	b.event.bytes = bytes;
	text_format(b.event.words, sizeof(b.event.words), "%s", words);
	put(r, &b);
	r->events++;
}

static void put_exit(struct recorder *r, struct record_target *t)
{
	char words[64] = "";

	if (t->about.pid == r->command && record_command_wait(r->command, &r->command_us, words, sizeof(words)))
		r->command = 0;
	put_event(r, t, RECORDING_EXIT, 0, words);
	t->gone = true;
	r->alive--;
	record_target_close(t);
}

/* ---------------------------------------------------------------- a sample */

/* 0 or -errno; the budget has paid for it. */
static int look(struct recorder *r, struct record_target *t, struct recording_sample *ret)
{
	const uint64_t before = cpu_us(r);
	int e = record_target_look(r->ctl, t, interrupt_fd(), ret);
	const uint64_t cost = cpu_us(r) - before;

	record_budget_spend(&r->budget, cost);
	r->look_us += cost;
	r->looks += e == 0 && ret->looked;
	return e;
}

static void sample(struct recorder *r, struct record_target *t, bool may_look)
{
	struct recording_block b = block_of(r, t, RECORDING_BLOCK_SAMPLE);
	struct recording_event mark;
	int e;

	if (record_target_exec(r->ctl, t)) {
		put_event(r, t, RECORDING_EXEC, 0, *t->about.exe ? t->about.exe : t->about.comm);
		record_marks_reset(&t->marks);
	}
	e = may_look ? look(r, t, &b.sample) : record_target_count(r->ctl, t, &b.sample);
	/* What a drop was is seen by looking again. */
	if (e == 0 && !b.sample.looked && record_marks_moved(&t->marks, &b.sample, r->mark) &&
	    record_budget_allows(&r->budget, now_us(), true))
		e = look(r, t, &b.sample);
	if (e == -ESRCH && !record_target_lives(t)) {
		put_exit(r, t);
		return;
	}
	/* It may not be read any more: it has become somebody else's. What was so far stays. */
	if (e < 0)
		return;
	put(r, &b);
	r->samples++;
	r->rss += b.sample.v[RECORDED_RSS] == RECORDING_UNKNOWN ? 0 : b.sample.v[RECORDED_RSS];
	if (record_marks_take(&t->marks, &b.sample, r->mark, &mark)) {
		b.type = RECORDING_BLOCK_EVENT;
		b.event = mark;
		put(r, &b);
		r->events++;
	}
}

/* The daemon has done something. */
static int on_record(void *arg, const struct ledger_record *rec)
{
	char sentence[LEDGER_SENTENCE];
	struct recorder *r = arg;

	for (size_t i = 0; i < r->n; i++) {
		struct record_target *t = &r->t[i];

		if (t->gone || rec->kind != LEDGER_ACTION || rec->pid != t->about.pid ||
		    rec->start_time != t->about.start_time || rec->freed <= 0)
			continue;
		put_event(r, t, RECORDING_TRIM, -MIN(rec->freed, (int64_t)RECORDING_SIZE_MAX),
			  ledger_sentence(rec, sentence, sizeof(sentence)));
		record_marks_reset(&t->marks);
		sample(r, t, record_budget_allows(&r->budget, now_us(), true));
	}
	return 0;
}

/* One sample of each; as many of them as may be are looked at, and next time it is the others' turn. */
static void round_of_samples(struct recorder *r)
{
	const size_t first = r->turn;

	r->rss = 0;
	for (size_t k = 0; k < r->n; k++) {
		const size_t i = (first + k) % r->n;
		const bool may_look = record_budget_allows(&r->budget, now_us(), false);

		if (r->t[i].gone)
			continue;
		sample(r, &r->t[i], may_look);
		if (may_look)
			r->turn = (i + 1) % r->n;
	}
	r->rounds++;
}

/* ---------------------------------------------------------------- between samples */

static void show_progress(const struct recorder *r)
{
	char rss[24], passed[24];

	if (!r->progress)
		return;
	fprintf(stderr, "\r\033[K%s: %llu samples, resident %s, %llu looks, %llu events",
		format_time_us((now_us() - r->began_us) / 1000000 * 1000000, passed, sizeof(passed)),
		(unsigned long long)r->samples, format_size(r->rss, rss, sizeof(rss)), (unsigned long long)r->looks,
		(unsigned long long)r->events);
	fflush(stderr);
}

static void take_exits(struct recorder *r, const struct pollfd *fds)
{
	for (size_t i = 0; i < r->n; i++)
		if (!r->t[i].gone && fds[i].revents)
			put_exit(r, &r->t[i]);
}

/* Until @until_us, a signal, or the end of the last process. */
static void wait_until(struct recorder *r, uint64_t until_us)
{
	struct pollfd fds[RECORDING_TARGETS + 2];

	while (r->alive && !interrupt_signal() && !r->error) {
		const uint64_t now = now_us();
		const uint64_t left_us = until_us > now ? MIN(until_us - now, 3600000000ull) : 0;
		size_t n = 0;

		if (!left_us)
			return;
		record_daemon_work(&r->daemon, now);
		for (; n < r->n; n++)
			fds[n] = (struct pollfd){ .fd = r->t[n].gone ? -1 : r->t[n].pidfd, .events = POLLIN };
		fds[n++] = (struct pollfd){ .fd = interrupt_fd(), .events = POLLIN };
		fds[n++] = (struct pollfd){ .fd = record_daemon_fd(&r->daemon), .events = POLLIN };
		if (poll(fds, n, (int)((left_us + 999) / 1000)) > 0)
			take_exits(r, fds);
	}
}

static void record(struct recorder *r)
{
	const uint64_t end_us = r->duration_us ? r->began_us + r->duration_us : UINT64_MAX;
	uint64_t next_us = r->began_us, before, cost;

	while (r->alive && !r->error && !interrupt_signal() && now_us() < end_us) {
		/* Looks are paid for by the budget; what the rest costs decides how often there is a round. */
		before = cpu_us(r) - r->look_us;
		round_of_samples(r);
		cost = cpu_us(r) - r->look_us - before;
		record_budget_spend(&r->budget, cost);
		show_progress(r);
		if (r->count && r->rounds >= r->count)
			break;
		next_us = MAX(next_us + record_budget_pause(&r->budget, r->interval_us, cost), now_us());
		wait_until(r, MIN(next_us, end_us));
	}
}

/* ---------------------------------------------------------------- begin and end */

/* What came of opening the next one. */
static int open_target(struct recorder *r, int e, pid_t pid, const char *why)
{
	if (e < 0)
		return ctl_fail(r->ctl,
				e == -ESRCH		    ? CTL_GONE :
				e == -ENOTSUP		    ? CTL_REFUSED :
				e == -EACCES || e == -EPERM ? CTL_DENIED :
							      CTL_FAILED,
				"record: pid %d: %s", pid, why);
	r->n++;
	r->alive++;
	return CTL_DONE;
}

static int open_pids(struct recorder *r, const char *const *args, size_t nargs)
{
	_cleanup_free_ pid_t *pids = NULL;
	int status = CTL_DONE, e;
	char why[256];
	size_t n;

	e = pids_parse(args, nargs, &pids, &n, why, sizeof(why));
	if (e < 0)
		return ctl_fail(r->ctl, e == -EINVAL ? CTL_USAGE : CTL_FAILED, "record: %s%s",
				e == -EINVAL ? why : strerror(-e), e == -EINVAL ? "; a command is given after --" : "");
	if (n > RECORDING_TARGETS)
		return ctl_fail(r->ctl, CTL_USAGE, "record: at most %u processes", RECORDING_TARGETS);
	for (size_t i = 0; i < n && status == CTL_DONE; i++) {
		e = record_target_open(r->ctl, pids[i], &r->t[r->n], why, sizeof(why));
		status = open_target(r, e, pids[i], why);
	}
	return status;
}

static int create_file(struct recorder *r)
{
	const struct recording_head head = { .real_us = clock_us(CLOCK_REALTIME), .interval_us = r->interval_us };
	char why[700];

	if (recording_create(r->path, &head, &r->w, why, sizeof(why)) < 0)
		return ctl_fail(r->ctl, CTL_FAILED, "record: %s", why);
	return CTL_DONE;
}

/* After the file, so that nothing is started in vain. */
static int start_command(struct recorder *r, const char *const *args)
{
	char shown[160], how[64], why[256];
	int e = record_command_start(args, &r->command), status;

	escape_text(args[0], shown, sizeof(shown));
	if (e < 0) {
		recording_discard(&r->w);
		return ctl_fail(r->ctl, CTL_FAILED, "record: failed to run %s: %s", shown, strerror(-e));
	}
	e = record_target_open(r->ctl, r->command, &r->t[0], why, sizeof(why));
	if (e == -ESRCH && record_command_wait(r->command, &r->command_us, how, sizeof(how))) {
		recording_discard(&r->w);
		return ctl_fail(r->ctl, CTL_FAILED, "record: %s has ended at once: %s", shown, how);
	}
	status = open_target(r, e, r->command, why);
	if (status != CTL_DONE) {
		recording_discard(&r->w);
		ctl_diag("record: the command (pid %d) runs on", r->command);
	}
	return status;
}

static void begin(struct recorder *r, uint32_t percent)
{
	r->began_us = now_us();
	record_budget_begin(&r->budget, percent, r->began_us);
	r->daemon = (struct record_daemon){ .fn = on_record, .arg = r };
	r->progress = !r->ctl->json && ctl_terminal(STDERR_FILENO);
	for (size_t i = 0; i < r->n; i++) {
		struct recording_block b = block_of(r, &r->t[i], RECORDING_BLOCK_TARGET);

		b.about = r->t[i].about;
		put(r, &b);
	}
	record_daemon_work(&r->daemon, r->began_us);
}

static int show_result(struct recorder *r, uint64_t passed_us, uint64_t size)
{
	char shown[512], passed[24], bytes[24], cpu[24];
	struct json j;

	if (r->ctl->json) {
		r->ctl->wrote_json = true;
		json_init(&j, stdout);
		json_open(&j, NULL, '{');
		json_text(&j, "file", r->path);
		json_u64(&j, "size", size);
		json_u64(&j, "duration_us", passed_us);
		json_u64(&j, "samples", r->samples);
		json_u64(&j, "looks", r->looks);
		json_u64(&j, "events", r->events);
		json_u64(&j, "cpu_us", r->cost_us);
		json_close(&j);
		return json_finish(&j);
	}
	errno = 0;
	printf("%s: %llu samples and %llu events in %s, %s; %s of CPU time for %llu looks\n",
	       escape_text(r->path, shown, sizeof(shown)), (unsigned long long)r->samples,
	       (unsigned long long)r->events, format_time_us(passed_us, passed, sizeof(passed)),
	       format_size(size, bytes, sizeof(bytes)), format_time_us(r->cost_us, cpu, sizeof(cpu)),
	       (unsigned long long)r->looks);
	return fflush(stdout) || ferror(stdout) ? (errno > 0 ? -errno : -EIO) : 0;
}

/* Nothing but totals was recorded of it, and that is worth a word. */
static int judge(const struct recorder *r)
{
	int status = CTL_DONE;

	for (size_t i = 0; i < r->n; i++) {
		const struct record_target *t = &r->t[i];
		char comm[300], why[EXPLAIN_TEXT_MAX * 4];

		if (!t->denied || t->inside)
			continue;
		ctl_diag("pid %d (%s): not permitted to look inside: %s; see 'reclaimctl doctor'", t->about.pid,
			 escape_text(t->about.comm, comm, sizeof(comm)), escape_text(t->why, why, sizeof(why)));
		status = CTL_DENIED;
	}
	return status;
}

static int finish(struct recorder *r, uint64_t cpu_before)
{
	const struct recording_block end = { .type = RECORDING_BLOCK_END, .at_us = now_us() - r->began_us };
	char shown[512];
	uint64_t size;
	int e, status;

	put(r, &end);
	size = r->w.size;
	e = recording_close(&r->w);
	if (r->progress)
		fputs("\r\033[K", stderr);
	r->cost_us = cpu_us(r) - cpu_before;
	r->error = r->error ? r->error : e;
	if (r->command)
		ctl_diag("record: the command (pid %d) runs on", r->command);
	if (r->error)
		return ctl_fail(r->ctl, CTL_FAILED, "record: %s: %s; what was recorded before can be read",
				escape_text(r->path, shown, sizeof(shown)), strerror(-r->error));
	status = judge(r);
	return ctl_output_done(status, show_result(r, end.at_us, size));
}

int record_run(struct ctl *ctl, const struct record_opts *o, const char *const *args, size_t nargs)
{
	_cleanup_free_ struct record_target *targets = calloc(RECORDING_TARGETS, sizeof(*targets));
	struct recorder r = {
		.ctl = ctl,
		.path = o->output ? o->output : RECORD_FILE,
		.interval_us = o->interval.given ? o->interval.value : INTERVAL_US,
		.duration_us = o->duration.value,
		.count = o->count.value,
		.mark = o->mark.given ? o->mark.value : MARK_SIZE,
		.w = RECORDING_WRITER_NONE,
		.t = targets,
	};
	/* What stands behind "--" is a command whatever its name begins with. */
	const bool command = !ctl->nplain || args[0][0] < '0' || args[0][0] > '9';
	const uint64_t cpu_before = cpu_us(&r);
	int status, e;

	if (ctl->nplain && ctl->nplain < nargs)
		return ctl_fail(ctl, CTL_USAGE, "record: process ids or a command, and all of a command after --");
	e = targets ? interrupt_catch_first() : -ENOMEM;
	if (e < 0)
		return ctl_fail(ctl, CTL_FAILED, "record: %s", strerror(-e));
	status = command ? CTL_DONE : open_pids(&r, args, nargs);
	if (status == CTL_DONE)
		status = create_file(&r);
	if (status == CTL_DONE && command)
		status = start_command(&r, args);
	if (status == CTL_DONE) {
		begin(&r, o->cpu.given ? (uint32_t)o->cpu.value : 1);
		record(&r);
		status = finish(&r, cpu_before);
	}
	for (size_t i = 0; i < r.n; i++)
		if (!r.t[i].gone)
			record_target_close(&r.t[i]);
	bus_client_close(&r.daemon.c);
	(void)recording_close(&r.w);
	return status;
}
