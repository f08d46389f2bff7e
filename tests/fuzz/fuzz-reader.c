// SPDX-License-Identifier: GPL-2.0-or-later
/* FUZZ: -max_len=4096 -len_control=0 */
/* LDLIBS: -Wl,-z,muldefs,--wrap=clock_gettime,--wrap=nanosleep,--wrap=ppoll,--wrap=syscall */
/*
 * What a reader that its target has captured sends the injector: plans, verdicts, rounds, advice, and lists in the
 * memory that both share. All of the injector runs, on a process that sleeps, but for what no-kernel.h stands for.
 * Whatever is said, no more is done than was asked for, within the bounds, and the result is a right one.
 *
 * Four words of 16 bits: remedies and idleness, limits, flags, seed. Then an answer to each question, which begins with
 * how it differs from a good one (zero: not at all); behind the last the reader is gone.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "core/worker-client.h"
#include "no-kernel.h"
#include "worker/injector.h"
#include "worker/message.h"

#define FLAGS \
	(WORKER_F_DRY_RUN | WORKER_F_ADVICE_FREE | WORKER_F_NORMAL | WORKER_F_DEEP | WORKER_F_AUTO | WORKER_F_OUTSIDE)
#define ENDLESS 'x' /* of which no text of ours has two */
#define SPAN (16ull << 20)
#define START_NS 1000000000ull
#define HEAD 8 /* bytes in front of the answers; the last two are the seed */

enum how {
	HOW_PATCHES = 3, /* words of it that are something else: so many, or none in most answers */
	HOW_LENGTH = 1 << 2, /* of another length */
	HOW_MORE = 1 << 3, /* the next one comes at once */
	HOW_EARLIER = 1 << 4, /* to a question before this one */
	HOW_ERROR = 1 << 5,
	HOW_LISTS = 1 << 6, /* counts and words of the lists are something else */
	HOW_RAW = 1 << 7, /* zeros instead of a good one */
};

static const uint8_t *input;
static size_t left;
static int peer = -1;

static void take(void *ret, size_t len)
{
	const size_t n = MIN(len, left);

	memset(ret, 0, len);
	memcpy(ret, input, n);
	input += n;
	left -= n;
}

static uint64_t word(size_t len)
{
	uint64_t v = 0;

	take(&v, len);
	return v;
}

/* ---- good answers ---- */

static struct remedy_func func(uint64_t at)
{
	struct remedy_func f = { .fn = at };

	memset(f.bytes, (int)(at % 251), sizeof(f.bytes));
	return f;
}

static void good_plan(struct remedy_plan *p)
{
	const uint64_t text = 0x7f1000000000;

	*p = (struct remedy_plan){
		.possible = 1,
		.has_predicted = 1,
		.predicted = chance(1ull << 30),
		.lower = 1 << 10,
		.upper = 1ull << 30,
		.deep = 1 << 20,
		.code = { .restorer = text, .fn = text + 64 },
		.parts = PURGE_GLIBC | PURGE_PYMALLOC | PURGE_DEEP,
		.arena = { .restorer = text, .syscall_insn = text + 128, .lock_fn = text + 256 },
		.gil = { .restorer = text, .syscall_insn = text + 128, .lock_fn = text + 512, .unlock_fn = text + 640 },
		.queue = { .possible = 1,
			   .mutex = (uint32_t)chance(2),
			   .add = func(text + 1024),
			   .call = func(text + 2048),
			   .finalizer = func(text + 3072),
			   .room = text + 65536,
			   .calls = text + 131072,
			   .stride = 24,
			   .ncalls = 32 },
		.data_lo = text + 262144,
		.data_hi = text + 524288,
	};
	/* Without an end. */
	memset(p->reason, ENDLESS, sizeof(p->reason));
	memset(p->note, ENDLESS, sizeof(p->note));
	memset(p->queue.reason, ENDLESS, sizeof(p->queue.reason));
	for (size_t i = 0; i < ARRAY_SIZE(p->funcs); i++)
		p->funcs[i] = func(text + 4096 * (i + 1));
}

static void good_round(struct purge_round *r)
{
	*r = (struct purge_round){
		.kind = chance(8) ? (chance(2) ? PURGE_ARENA : PURGE_GIL) : PURGE_DONE,
		.ranges = (uint32_t)chance(PURGE_RANGES_MAX + 1),
		.values = (uint32_t)(1 + chance(PURGE_VALUES_MAX)),
		.writes = (uint32_t)(1 + chance(PURGE_WRITES_MAX)),
		.lock = 0x7f2000000000,
		.resident = 1 << 20,
	};
	if (chance(2))
		r->writes = r->values = 0;
}

/* As many as fit; what lies behind would be right as well, also beyond the last that there is room for. */
static void good_lists(const struct purge_ask *ask, struct purge_lists *l)
{
	const struct purge_range range = { 0x7f5000000000, PAGE };
	const uint32_t each = 8;

	for (size_t i = 0; i < sizeof(l->values) / sizeof(range); i++)
		memcpy(l->values + i * sizeof(range), &range, sizeof(range));
	l->nranges = (uint32_t)chance(ask->max_ranges + 1ull);
	l->nwrites = (uint32_t)chance(MIN(ask->max_writes, ask->max_values / each) + 1ull);
	l->nvalues = l->nwrites * each;
	for (uint32_t i = 0; i < PURGE_RANGES_MAX; i++)
		l->ranges[i] = (struct purge_range){ 0x7f3000000000 + 8 * PAGE * i, PAGE * (1 + chance(8)) };
	for (uint32_t i = 0; i < PURGE_WRITES_MAX; i++)
		l->writes[i] = (struct purge_write){ 0x7f4000000000 + 1000 * i, i < l->nwrites ? each * i : 0, each };
}

static void good_huge(struct purge_lists *l)
{
	memset(l, 0, sizeof(*l));
	l->nranges = (uint32_t)chance(4);
	for (uint32_t i = 0; i < l->nranges; i++)
		l->ranges[i].addr = SPAN * (i + 1);
}

static void good_advice(struct advise_round *r)
{
	uint64_t lo = SPAN;

	r->n = chance(4) ? chance(ADVISE_RANGES_MAX + 1) : 0;
	for (size_t i = 0; i < r->n; i++) {
		const uint64_t len = PAGE * (1 + chance(2048));

		r->v[i] = (struct pageable_span){ lo, lo + len };
		r->bytes += len;
		lo += len + PAGE * chance(2);
	}
}

static void good(const struct reader_request *req, struct reader_reply *ret)
{
	switch (req->op) {
	case READER_PLAN:
		good_plan(&ret->plan);
		break;
	case READER_PROVE:
		ret->verdict = (struct safepoint_verdict){
			.safe = true, .stack_lo = STACK_LO, .stack_hi = STACK_HI, .frames = 3
		};
		memset(ret->verdict.why, ENDLESS, sizeof(ret->verdict.why));
		break;
	case READER_SCAN:
		good_round(&ret->round);
		break;
	case READER_CHECK:
		good_lists(&req->ask, world.lists);
		break;
	case READER_HUGE:
		good_huge(world.lists);
		break;
	case READER_ADVISE:
		good_advice(&ret->advise);
		break;
	}
}

/* ---- what is sent ---- */

/* Words are small, or as they come. */
static void patch(void *buf, size_t size, unsigned int n)
{
	for (; n; n--) {
		const size_t at = word(2) % (size / 8);
		const uint64_t how = word(1), v = word(how % 9);

		((uint64_t *)buf)[at] = how & 16 ? v << (how >> 2 & 56) : how & 32 ? ((uint64_t *)buf)[at] + v : v;
	}
}

static void spoil_lists(struct purge_lists *l)
{
	const uint64_t counts = word(1);

	if (counts & 1)
		l->nranges = (uint32_t)word(2);
	if (counts & 2)
		l->nwrites = (uint32_t)word(2);
	if (counts & 4)
		l->nvalues = (uint32_t)word(4);
	patch(l, offsetof(struct purge_lists, values), (unsigned int)(counts >> 3 & 7));
}

/* true: and another one follows. */
static bool answer(const struct reader_request *req)
{
	static union {
		struct reader_reply reply;
		uint8_t bytes[2 * sizeof(struct reader_reply)];
	} m __attribute__((aligned(8)));
	const uint64_t how = word(1);
	size_t n = sizeof(m.reply);

	memset(&m, 0, sizeof(m));
	m.reply = (struct reader_reply){ .magic = READER_MAGIC, .op = req->op, .seq = req->seq };
	if (!(how & HOW_RAW))
		good(req, &m.reply);
	if (how & HOW_EARLIER)
		m.reply.seq -= 1;
	if (how & HOW_ERROR)
		m.reply.error = -(int32_t)word(1);
	patch(&m, sizeof(m.reply), how & HOW_PATCHES);
	if (how & HOW_LISTS)
		spoil_lists(world.lists);
	if (how & HOW_LENGTH)
		n = word(2) % sizeof(m);
	/* Of two answers to one question the first counts. */
	if (req->op == READER_PLAN && n == sizeof(m.reply) && m.reply.seq == req->seq && world.planned != req->seq) {
		world.plan = m.reply.plan;
		world.planned = req->seq;
	}
	/* One more than there is room for doesn't come. */
	(void)!send(peer, &m, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	return how & HOW_MORE && left;
}

/* The question goes nowhere: it is answered at once. */
int message_try(int fd, const void *buf, size_t len)
{
	const struct reader_request *req = buf;

	(void)fd;
	MUST(len == sizeof(*req) && req->magic == READER_MAGIC && req->op != READER_EXPLAIN);
	/* No more is wanted than what the thread has room for. */
	MUST(req->op != READER_CHECK ||
	     (world.held && req->ask.max_ranges <= lease.plan.room.ranges &&
	      req->ask.max_writes <= lease.plan.room.writes && req->ask.max_values <= lease.plan.room.write_bytes));
	world.op = req->op;
	world.ns += chance(1000000);
	while (left && answer(req))
		;
	if (!left)
		(void)shutdown(peer, SHUT_WR);
	return 0;
}

int reader_start(int piddir, const struct worker_request *req, struct reader *ret)
{
	int fds[2];

	(void)piddir;
	(void)req;
	world.lists = mmap(NULL, sizeof(*world.lists), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	MUST(world.lists != MAP_FAILED);
	MUST(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0);
	peer = fds[1];
	*ret = (struct reader){ .fd = fds[0], .lists = world.lists };
	return 0;
}

/* ---- one request ---- */

/* A process that sleeps for as long as we live. */
static pid_t sleeper(void)
{
	static pid_t pid;
	int fds[2];
	char c;

	if (pid)
		return pid;
	MUST(pipe2(fds, O_CLOEXEC) == 0);
	pid = fork();
	MUST(pid >= 0);
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)execl("/bin/sleep", "sleep", "infinity", NULL);
		_exit(1);
	}
	(void)close(fds[1]);
	/* It is another program from now on. */
	MUST(read(fds[0], &c, 1) == 0);
	(void)close(fds[0]);
	return pid;
}

static void make_request(struct worker_request *ret)
{
	const uint64_t what = word(2), limits = word(2);

	*ret = (struct worker_request){
		.magic = WORKER_MAGIC,
		.version = WORKER_VERSION,
		.pid = sleeper(),
		.remedies = 1 + (uint32_t)(what % 31),
		.flags = (uint32_t)word(2) & FLAGS,
		.timeout_us = 1000 << limits % 16,
		.max_stop_us = limits & 16 ? 1000ull << (limits >> 5 & 15) : 0,
		.owner = WORKER_OWNER_ANY,
		.idle = (uint32_t)(what >> 5) % WORKER_NIDLE,
		.idle_us = 1,
		.cpu_ticks = UINT64_MAX,
		.max_bytes = limits >> 9,
		.swap_keep = 1 << 20,
	};
	if (ret->idle == WORKER_IDLE_AGES)
		ret->nranges = (uint32_t)(what >> 8) % 9;
	for (uint32_t i = 0; i < ret->nranges; i++)
		ret->ranges[i] =
			(struct worker_range){ SPAN * (i + 1), SPAN * (i + 1) + PAGE * (1 + (what >> 4) % 4096) };
}

/* A text of the reader's is as long as it may be, at most, and ours may go on behind it. */
static void check_text(const char *text, size_t size)
{
	size_t run = 0;

	MUST(memchr(text, 0, size));
	for (; *text; text++) {
		run = *text == ENDLESS ? run + 1 : 0;
		MUST(run < REMEDY_TEXT_MAX);
	}
}

static void check_result(const struct worker_request *req, struct worker_result *res)
{
	const char *why = "";

	check_text(res->comm, sizeof(res->comm));
	check_text(res->reason, sizeof(res->reason));
	for (size_t i = 0; i < WORKER_STEPS_MAX; i++)
		check_text(res->steps[i].detail, sizeof(res->steps[i].detail));
	MUST(worker_result_check(res, sizeof(*res), req, &why) == 0);
	for (uint32_t i = 0; i < res->nsteps; i++)
		MUST(res->steps[i].remedy & req->remedies);
	MUST(res->outcome != WORKER_WOULD || req->flags & WORKER_F_DRY_RUN);
	MUST(res->outcome != WORKER_RECLAIMED || res->freed > 0);
	MUST(!world.stopped && !world.held);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct worker_request req;
	static struct worker_result res;

	input = data;
	left = size;
	memset(&world, 0, sizeof(world));
	make_request(&req);
	world.req = &req;
	world.chance = fuzz_seed((unsigned int)word(2));
	world.ns = START_NS;
	world.until_ns = START_NS + req.timeout_us * 1000 + 1000000;
	res = (struct worker_result){ .magic = WORKER_MAGIC, .version = WORKER_VERSION, .pid = req.pid };
	inside = true;
	injector_run(&req, &res);
	inside = false;
	if (peer >= 0)
		(void)close(peer);
	peer = -1;
	check_result(&req, &res);
	return 0;
}

/* ---- inputs that are wrong in one place ---- */

static uint64_t number(uint64_t *s)
{
	static const uint64_t odd[] = { 0,	    1,		PURGE_RANGES_MAX, PURGE_RANGES_MAX + 1,
					UINT16_MAX, UINT32_MAX, USER_END,	  UINT64_MAX };
	const uint64_t v = fuzz_random(s);

	return v % 2 ? v >> 8 >> v % 56 : odd[v >> 8 & 7];
}

static uint8_t *put(uint8_t *at, uint64_t v, size_t len)
{
	memcpy(at, &v, len);
	return at + len;
}

/* A word of a message, or of the lists: there one of the first few writes or ranges. */
static uint8_t *put_patch(uint8_t *at, bool lists, uint64_t *s)
{
	const uint64_t writes = offsetof(struct purge_lists, writes) / 8,
		       ranges = offsetof(struct purge_lists, ranges) / 8;
	const uint64_t which = fuzz_random(s);

	at = put(at, lists ? (which & 1 ? writes : ranges) + (which >> 1 & 7) : which >> 1 & (which & 1 ? 7 : 255), 2);
	at = put(at, 8 | (fuzz_random(s) & 32), 1);
	return put(at, number(s), 8);
}

/* One answer as answer() takes it, of which something is wrong. */
static size_t make_answer(uint8_t *at, uint64_t *s)
{
	const uint8_t *const start = at;
	const uint64_t r = fuzz_random(s), counts = r >> 16 & 15;
	const uint8_t how = (uint8_t)((r & r >> 8 & (HOW_LENGTH | HOW_MORE | HOW_EARLIER | HOW_ERROR | HOW_RAW)) |
				      (r >> 24 & 1 ? HOW_LISTS : r >> 25 & HOW_PATCHES));

	at = put(at, how, 1);
	if (how & HOW_ERROR)
		at = put(at, number(s), 1);
	for (unsigned int i = how & HOW_PATCHES; i; i--)
		at = put_patch(at, false, s);
	if (how & HOW_LISTS)
		at = put(at, counts, 1);
	if (how & HOW_LISTS && counts & 1)
		at = put(at, number(s), 2);
	if (how & HOW_LISTS && counts & 2)
		at = put(at, number(s), 2);
	if (how & HOW_LISTS && counts & 4)
		at = put(at, number(s), 4);
	if (how & HOW_LISTS && counts & 8)
		at = put_patch(at, true, s);
	if (how & HOW_LENGTH)
		at = put(at, number(s), 2);
	return (size_t)(at - start);
}

/* In front of one of the first answers; what libFuzzer thinks of alone is wrong from the first one on. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned int seed)
{
	uint64_t s = fuzz_seed(seed);
	uint8_t made[64];
	size_t at, n;

	if (fuzz_random(&s) % 4 == 0)
		return LLVMFuzzerMutate(data, size, max);
	n = make_answer(made, &s);
	if (size < HEAD || size + n > max)
		return LLVMFuzzerMutate(data, size, max);
	/* Another seed, and all goes another way. */
	if (fuzz_random(&s) % 4 == 0)
		(void)put(data + HEAD - 2, fuzz_random(&s), 2);
	at = HEAD + fuzz_random(&s) % MIN(size - HEAD + 1, (size_t)64);
	memmove(data + at + n, data + at, size - at);
	memcpy(data + at, made, n);
	return size + n;
}
