// SPDX-License-Identifier: GPL-2.0-or-later
/* Acts on one process many times, or kills many who do, watches it meanwhile, and prints a line of JSON. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/text.h"
#include "murder.h"
#include "strike.h"
#include "tally.h"
#include "witness.h"

#define GLANCE_ALL 32 /* strikes after which all threads are looked at, not only the first */
#define MOVE_ON 256 /* and after which it must have got on by itself */
#define REST_EVERY 16 /* a longer pause, so that short timeouts come */
#define REST_US 8000

struct hammer {
	pid_t pid;
	const char *page;
	uint64_t count, kills, limit_ms, seed, pause_us, delay_us, timeout_ms, end_ms;
	uint64_t every[STRIKE_NKINDS]; /* one in so many is of that kind; 0: none. What is left is trim's */
	enum strike_kind killed; /* what those do who are killed */
	enum murder_spoil spoil;
	uint64_t random;
	struct witness witness;
	struct tally tally;
};

static volatile sig_atomic_t ended;

static void on_term(int sig)
{
	(void)sig;
	ended = 1;
}

static uint64_t hammer_random(struct hammer *h, uint64_t below)
{
	h->random ^= h->random << 13;
	h->random ^= h->random >> 7;
	h->random ^= h->random << 17;
	return below ? (h->random >> 11) % below : 0;
}

static void hammer_pause(uint64_t us)
{
	const struct timespec ts = { .tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000 };

	if (us)
		(void)nanosleep(&ts, NULL);
}

static enum strike_kind hammer_choose(struct hammer *h)
{
	for (unsigned int kind = STRIKE_TRIM + 1; kind < STRIKE_NKINDS; kind++)
		if (h->every[kind] && !hammer_random(h, h->every[kind]))
			return kind;
	return STRIKE_TRIM;
}

static bool hammer_watch(struct hammer *h, uint64_t n, bool last)
{
	struct witness *w = &h->witness;
	bool well = witness_glance(w);

	if (well && (last || n % GLANCE_ALL == 0))
		well = witness_look(w);
	if (well && (last || n % MOVE_ON == 0))
		well = witness_moves(w);
	if (!well)
		tally_harm(&h->tally, w->why);
	return well;
}

static bool hammer_is_done(const struct hammer *h, uint64_t n, uint64_t of)
{
	return ended || n >= of || (h->page && witness_is_over(&h->witness)) ||
	       (h->limit_ms && clock_ns() - h->tally.began_ns > h->limit_ms * 1000000);
}

static void hammer_strikes(struct hammer *h)
{
	struct tally *t = &h->tally;
	static struct strike s;
	struct strike_result result;
	int r = strike_open(h->pid, h->timeout_ms * 1000000, &s);

	if (r < 0) {
		tally_harm(t, strerror(-r));
		return;
	}
	/* A busy machine takes its time to start the reader: that isn't of the limit. */
	t->began_ns = clock_ns();
	while (!hammer_is_done(h, tally_calls(t), h->count)) {
		const enum strike_kind kind = hammer_choose(h);

		strike_once(&s, kind, &result);
		/* One that has ended its work may be gone meanwhile. */
		if (h->page && witness_is_over(&h->witness))
			break;
		if (!tally_add(t, kind, &result) || !hammer_watch(h, t->strikes, false))
			break;
		hammer_pause(hammer_random(h, 2 * h->pause_us + 1));
		if (t->strikes % REST_EVERY == 0 && h->pause_us)
			hammer_pause(hammer_random(h, REST_US));
	}
	t->readers = s.readers;
	strike_close(&s);
}

static void hammer_count_murder(struct hammer *h, const struct murder *m)
{
	struct tally *t = &h->tally;

	t->kills[m->who]++;
	t->kills_at_work += m->at_work && m->who != MURDER_READER;
	t->spent += m->spent;
	t->guarded += m->guarded;
	t->calls[h->killed] += m->calls;
	t->strikes++;
}

static void hammer_kills(struct hammer *h)
{
	/* The injector dies more often than its reader, which harms nobody: that is no kill of those asked for. */
	static const enum murder_who whom[] = { MURDER_INJECTOR, MURDER_INJECTOR, MURDER_INJECTOR, MURDER_BOTH,
						MURDER_READER };
	struct tally *t = &h->tally;
	uint64_t kills = 0, idle = 0;

	while (!hammer_is_done(h, kills, h->kills) && idle < h->kills + 100) {
		struct murder m = { .who = whom[hammer_random(h, ARRAY_SIZE(whom))],
				    .delay_us = hammer_random(h, h->delay_us + 1),
				    .end_ns = h->end_ms * 1000000,
				    .spoil = h->spoil };
		int r = murder_once(h->pid, h->killed, h->timeout_ms * 1000000, &m);

		if (*m.harm) {
			tally_harm(t, m.harm);
			return;
		}
		if (r == 0) {
			hammer_count_murder(h, &m);
			kills += m.who != MURDER_READER;
		} else {
			struct strike_result refused = { .outcome = REMEDY_REFUSED };

			idle++;
			text_format(refused.reason, sizeof(refused.reason), "%s", r == -ENOENT ? m.why : strerror(-r));
			(void)tally_add(t, h->killed, &refused);
		}
		if (!hammer_watch(h, 0, true))
			return;
	}
	if (kills < h->kills && !ended && !h->limit_ms)
		tally_harm(t, "there was hardly anybody to kill");
}

static int usage(void)
{
	(void)fprintf(stderr,
		      "usage: hammer --pid=PID [--page=FILE] [--count=N | --kills=N] [--limit-ms=N] [--seed=N]\n"
		      "  [--pause-us=N] [--timeout-ms=N] [--purge-every=N] [--collect-every=N]\n"
		      "  [--kill=trim|purge|collect] [--delay-us=N] [--end-ms=N] [--spoil=abort|fail|hang]\n");
	return 2;
}

static bool hammer_word(const char *const words[], unsigned int n, const char *name, unsigned int *ret)
{
	for (*ret = 0; *ret < n; (*ret)++)
		if (!strcmp(words[*ret], name))
			return true;
	return false;
}

static bool hammer_kind(const char *name, enum strike_kind *ret)
{
	unsigned int kind;
	const bool known = hammer_word(strike_names, STRIKE_NKINDS, name, &kind);

	*ret = known ? kind : STRIKE_TRIM;
	return known;
}

static bool hammer_spoil(const char *name, enum murder_spoil *ret)
{
	unsigned int spoil;
	const bool known = hammer_word(murder_spoils, MURDER_NSPOILS, name, &spoil);

	*ret = known ? spoil : SPOIL_NOT;
	return known;
}

static bool hammer_options(struct hammer *h, int argc, char **argv)
{
	enum { PID, PAGE, COUNT, KILLS, LIMIT, SEED, PAUSE, TIMEOUT, PURGE, COLLECT, KILL, DELAY, END, SPOIL };
	static const struct option options[] = {
		{ "pid", 1, NULL, PID },
		{ "page", 1, NULL, PAGE },
		{ "count", 1, NULL, COUNT },
		{ "kills", 1, NULL, KILLS },
		{ "limit-ms", 1, NULL, LIMIT },
		{ "seed", 1, NULL, SEED },
		{ "pause-us", 1, NULL, PAUSE },
		{ "timeout-ms", 1, NULL, TIMEOUT },
		{ "purge-every", 1, NULL, PURGE },
		{ "collect-every", 1, NULL, COLLECT },
		{ "kill", 1, NULL, KILL },
		{ "delay-us", 1, NULL, DELAY },
		{ "end-ms", 1, NULL, END },
		{ "spoil", 1, NULL, SPOIL },
		{ NULL, 0, NULL, 0 },
	};
	uint64_t *const numbers[] = { [COUNT] = &h->count,
				      [KILLS] = &h->kills,
				      [LIMIT] = &h->limit_ms,
				      [SEED] = &h->seed,
				      [PAUSE] = &h->pause_us,
				      [TIMEOUT] = &h->timeout_ms,
				      [PURGE] = &h->every[STRIKE_PURGE],
				      [COLLECT] = &h->every[STRIKE_COLLECT],
				      [DELAY] = &h->delay_us,
				      [END] = &h->end_ms };
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (c == PID)
			h->pid = (pid_t)strtol(optarg, NULL, 10);
		else if (c == PAGE)
			h->page = optarg;
		else if (c == KILL && !hammer_kind(optarg, &h->killed))
			return false;
		else if (c == SPOIL && !hammer_spoil(optarg, &h->spoil))
			return false;
		else if (c == '?')
			return false;
		else if (c != KILL && c != SPOIL)
			*numbers[c] = strtoull(optarg, NULL, 10);
	}
	h->random = h->seed * 2654435761u + 88172645463325252ull;
	h->tally.seed = h->seed;
	return h->pid > 0 && optind == argc && !h->count != !h->kills && h->timeout_ms;
}

int main(int argc, char **argv)
{
	static struct hammer h = { .timeout_ms = 2000, .delay_us = 2000, .end_ms = 30000, .seed = 1 };
	const struct sigaction term = { .sa_handler = on_term };
	int r;

	if (!hammer_options(&h, argc, argv))
		return usage();
	(void)sigaction(SIGTERM, &term, NULL);
	h.tally.began_ns = clock_ns();
	r = witness_open(h.pid, h.page, &h.witness);
	if (r < 0) {
		(void)fprintf(stderr, "hammer: %d: %s\n", h.pid, strerror(-r));
		return 2;
	}
	if (h.count)
		hammer_strikes(&h);
	else
		hammer_kills(&h);
	if (!*h.tally.harm && !(h.page && witness_is_over(&h.witness)))
		(void)hammer_watch(&h, 0, true);
	h.tally.eintr = witness_eintr(&h.witness);
	tally_print(&h.tally, h.pid);
	witness_close(&h.witness);
	return *h.tally.harm ? 1 : 0;
}
