// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * hostile [SEED [SECONDS]]: who may not ask gets nothing; who asks nonsense is
 * told so in words, and nothing else happens. Random requests for that long.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <linux/genetlink.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/facts.h"
#include "lib/machine.h"
#include "tap.h"

/* All but one */
static int drop_capability(int cap)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data) < 0)
		return -errno;
	data[cap / 32].effective &= ~(1U << cap % 32);
	data[cap / 32].permitted &= ~(1U << cap % 32);
	return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

static void count(const struct genl_reply *reply, void *data)
{
	(void)reply;
	++*(int *)data;
}

static int ask(struct genl *g, uint8_t cmd, uint16_t flags, pid_t pid, int *replies)
{
	struct genl_request req;

	*replies = 0;
	genl_begin(g, &req, cmd, flags);
	if (pid)
		genl_put_u32(&req, RECLAIM_A_PID, pid);
	return genl_call(g, &req, count, replies);
}

/*
 * In a child: each operation is refused, and the group too. That is guarded by
 * CAP_SYS_ADMIN, since a family can ask for no other one there; @drop: give it up first.
 */
static int be_refused(bool drop)
{
	static const struct {
		uint8_t cmd;
		uint16_t flags;
		bool of_pid;
	} operations[] = {
		{ RECLAIM_CMD_PROC_GET, 0, true },
		{ RECLAIM_CMD_PROC_GET, NLM_F_DUMP, false },
		{ RECLAIM_CMD_REGION_GET, NLM_F_DUMP, true },
		{ RECLAIM_CMD_AGE_GET, 0, true },
		{ RECLAIM_CMD_AGE_RESET, 0, true },
	};
	int replies, bad = 0, r;
	struct genl g;

	if (genl_open(&g) < 0)
		return 100;
	for (size_t i = 0; i < sizeof(operations) / sizeof(*operations); i++) {
		r = ask(&g, operations[i].cmd, operations[i].flags, operations[i].of_pid ? getpid() : 0, &replies);
		if (r == -EPERM && replies == 0)
			continue;
		printf("# operation %d: %d, %d replies\n", operations[i].cmd, r, replies);
		bad++;
	}
	if (drop && drop_capability(CAP_SYS_ADMIN) < 0)
		return 102;
	r = genl_join(&g);
	if (r != -EPERM) {
		printf("# joining: %d\n", r);
		bad++;
	}
	fflush(stdout);
	return bad;
}

static int without_capability(void)
{
	return drop_capability(CAP_SYS_PTRACE) < 0 ? 101 : be_refused(true);
}

/* There it has all capabilities. */
static int in_user_namespace(void)
{
	return unshare(CLONE_NEWUSER) < 0 ? 101 : be_refused(false);
}

static int as_nobody(void)
{
	return setgid(65534) < 0 || setuid(65534) < 0 ? 101 : be_refused(false);
}

static int status_of(int (*f)(void))
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0)
		_exit(f());
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

static void test_permissions(void)
{
	tap(tunable_set("bloat_anon_kb", 32 << 10) == 0 && tunable_set("scan_interval_ms", 1000) == 0, "limits");
	tap(status_of(without_capability) == 0, "refused without CAP_SYS_PTRACE");
	tap(status_of(in_user_namespace) == 0, "refused in a user namespace of one's own");
	tap(status_of(as_nobody) == 0, "refused to an ordinary user");
	tunable_set("bloat_anon_kb", 1 << 20);
}

/* Which of the two the kernel gives for a bad value differs from release to release. */
#define EBAD EINVAL

static void expect(struct genl *g, struct genl_request *req, const char *what, int error, bool words)
{
	int replies = 0, r = genl_call(g, req, count, &replies);
	bool right = r == error || (error == -EBAD && r == -ERANGE);

	tap(right && replies == 0 && (!words || g->message[0]), "%s: error %d, \"%s\"", what, -r, g->message);
}

static void test_missing(struct genl *g)
{
	struct genl_request req;

	genl_begin(g, &req, RECLAIM_CMD_PROC_GET, 0);
	expect(g, &req, "proc-get of nobody", -EINVAL, false);
	genl_begin(g, &req, RECLAIM_CMD_AGE_GET, 0);
	expect(g, &req, "age-get of nobody", -EINVAL, false);
	genl_begin(g, &req, RECLAIM_CMD_REGION_GET, NLM_F_DUMP);
	expect(g, &req, "region-get of nobody", -EINVAL, false);
	for (uint32_t pid = 0; pid != 2; pid++) {
		genl_begin(g, &req, RECLAIM_CMD_PROC_GET, 0);
		genl_put_u32(&req, RECLAIM_A_PID, pid ? 0xffffffff : 0);
		expect(g, &req, pid ? "pid -1" : "pid 0", -EBAD, true);
	}
	genl_begin(g, &req, RECLAIM_CMD_PROC_GET, 0);
	genl_put_u32(&req, RECLAIM_A_PID, 0x3fffff);
	expect(g, &req, "a pid that nobody has", -ESRCH, true);
	genl_begin(g, &req, RECLAIM_CMD_PROC_GET, 0);
	genl_put_u32(&req, RECLAIM_A_PID, getpid());
	genl_put_u64(&req, RECLAIM_A_START_TIME, start_time_of(getpid()) + 1);
	expect(g, &req, "somebody else's start time", -ESRCH, true);
	genl_begin(g, &req, RECLAIM_CMD_PROC_GET, 0);
	genl_put_u32(&req, RECLAIM_A_PID, 2);
	expect(g, &req, "a kernel thread", -ESRCH, true);
}

static void test_wrong(struct genl *g)
{
	struct genl_request req;
	uint64_t wide = 1;
	uint8_t narrow = 1;
	char big[8192];

	memset(big, 'x', sizeof(big));
	genl_begin(g, &req, RECLAIM_CMD_PROC_GET, 0);
	genl_put(&req, RECLAIM_A_PID, &narrow, sizeof(narrow));
	expect(g, &req, "a pid of one byte", -EBAD, true);
	genl_begin(g, &req, RECLAIM_CMD_PROC_GET, 0);
	genl_put(&req, RECLAIM_A_PID, &wide, sizeof(wide));
	expect(g, &req, "a pid of eight", -EBAD, true);
	genl_begin(g, &req, RECLAIM_CMD_PROC_GET, NLM_F_DUMP);
	genl_put_u32(&req, RECLAIM_A_MIN_ANON, 1);
	expect(g, &req, "a size of four bytes", -EBAD, true);
	genl_begin(g, &req, RECLAIM_CMD_PROC_GET, 0);
	genl_put_u32(&req, RECLAIM_A_PID, getpid());
	genl_put(&req, RECLAIM_A_FRESH, &wide, sizeof(wide));
	expect(g, &req, "a flag with a value", -EBAD, true);
	genl_begin(g, &req, RECLAIM_CMD_PROC_GET, 0);
	genl_put_u32(&req, RECLAIM_A_PID, getpid());
	genl_put(&req, RECLAIM_A_MAX + 10, &wide, sizeof(wide));
	expect(g, &req, "an attribute that there isn't", -EBAD, true);
	genl_begin(g, &req, RECLAIM_CMD_PROC_GET, 0);
	genl_put(&req, RECLAIM_A_PID, big, sizeof(big));
	expect(g, &req, "8 KiB for a pid", -EBAD, true);
	genl_begin(g, &req, RECLAIM_CMD_MAX + 1, 0);
	expect(g, &req, "an operation that there isn't", -EOPNOTSUPP, false);
	genl_begin(g, &req, RECLAIM_CMD_PROC_BLOAT_NTF, 0);
	expect(g, &req, "an announcement asked for", -EOPNOTSUPP, false);
	genl_begin(g, &req, RECLAIM_CMD_AGE_GET, NLM_F_DUMP);
	expect(g, &req, "a dump where there is none", -EOPNOTSUPP, false);
	/* An attribute longer than its message */
	genl_begin(g, &req, RECLAIM_CMD_PROC_GET, 0);
	genl_put_u32(&req, RECLAIM_A_PID, getpid());
	((struct nlattr *)(req.bytes + NLMSG_HDRLEN + GENL_HDRLEN))->nla_len = 400;
	expect(g, &req, "an attribute that ends outside", -EINVAL, false);
}

/* One that is well made, and means anything at all */
static void put_random_range(struct genl_request *req)
{
	struct {
		struct nlattr start_attr;
		unsigned char start[8];
		struct nlattr end_attr;
		unsigned char end[8];
	} range = { { 12, RECLAIM_A_RANGE_START }, { 0 }, { 12, RECLAIM_A_RANGE_END }, { 0 } };

	for (int i = 0; i < 6; i++) {
		range.start[i] = random() % 2 ? 0 : random();
		range.end[i] = random();
	}
	genl_put(req, RECLAIM_A_RANGE | NLA_F_NESTED, &range, sizeof(range));
}

static void make_random(struct genl *g, struct genl_request *req)
{
	genl_begin(g, req, random() % (RECLAIM_CMD_MAX + 2), random() % 3 ? 0 : NLM_F_DUMP);
	/* Else hardly any would get past the first check. */
	if (random() % 4 == 0)
		genl_put_u32(req, RECLAIM_A_PID, random() % 2 ? getpid() : 1);
	for (int k = random() % 6; k > 0; k--) {
		unsigned char junk[64];
		size_t size = random() % 4 ? (size_t[]){ 0, 4, 8, 1 }[random() % 4] : random() % sizeof(junk);

		if (random() % 8 == 0)
			put_random_range(req);
		for (size_t b = 0; b < sizeof(junk); b++)
			junk[b] = random() % 3 ? 0 : random();
		genl_put(req, random() % (RECLAIM_A_MAX + 3) | (random() % 8 ? 0 : NLA_F_NESTED), junk, size);
	}
	if (random() % 8 == 0)
		req->bytes[NLMSG_HDRLEN + random() % (req->head.nlmsg_len - NLMSG_HDRLEN)] ^= 1 << random() % 8;
}

/* The documented answers that take no signal, no lack of memory and none of rights */
static const int answers[] = { 0, -EINVAL, -ERANGE, -ESRCH, -EOPNOTSUPP, -EBUSY };
#define ANSWERS (sizeof(answers) / sizeof(*answers))

static bool known(int r, int counts[])
{
	for (size_t i = 0; i < ANSWERS; i++)
		if (r == answers[i])
			return ++counts[i];
	return false;
}

static void tell_random(int n, int bad, const int counts[], int replies, unsigned int seed, unsigned int seconds)
{
	printf("# json {\"hostile\": {\"seed\": %u, \"seconds\": %u, \"requests\": %d, \"other\": %d, \"replies\": %d",
	       seed, seconds, n, bad, replies);
	for (size_t i = 0; i < ANSWERS; i++)
		printf(", \"%s\": %d", answers[i] ? strerrorname_np(-answers[i]) : "done", counts[i]);
	printf("}}\n");
}

/*
 * Whatever comes, there is an answer, and soon: none within @PATIENCE_S is a failure. The same each time, so that what
 * it finds can be found again.
 */
#define PATIENCE_S 20
static void test_random(struct genl *g, unsigned int seed, unsigned int seconds)
{
	int counts[ANSWERS] = { 0 }, replies = 0, bad = 0, n = 0, r;
	uint64_t end = now_us() + seconds * 1000000ULL;
	struct timeval patience = { .tv_sec = PATIENCE_S };
	struct genl_request req;

	if (setsockopt(g->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0) {
		tap(false, "set a time-out");
		return;
	}
	srandom(seed);
	for (; now_us() < end && bad < 10; n++) {
		make_random(g, &req);
		r = genl_call(g, &req, count, &replies);
		if (known(r, counts))
			continue;
		printf("# request %d, operation %d: error %d (%s), \"%s\"\n", n, req.bytes[NLMSG_HDRLEN], -r,
		       strerror(-r), g->message);
		bad++;
	}
	tell_random(n, bad, counts, replies, seed, seconds);
	tap(n && !bad, "%d of %d random requests are answered as documented, seed %u, %d replies", n - bad, n, seed,
	    replies);
	/* Nonsense only would be a test of the kernel's own checks. */
	tap(counts[0] > n / 100 && replies, "%d of them are done", counts[0]);
	tap(ask(g, RECLAIM_CMD_PROC_GET, 0, getpid(), &replies) == 0 && replies == 1, "and then a good one");
}

static void test_tunable(const char *name)
{
	static const char *const bad[] = { "",   "\n", "x", "-1", "1x", "0x", "99999999999999999999", "4294967296",
					   "1 2", "1.5" };
	uint64_t before = tunable_get(name);
	char path[128], text[64];
	int refused = 0, n = sizeof(bad) / sizeof(*bad), r;

	snprintf(path, sizeof(path), TUNABLES "%s", name);
	for (int i = 0; i < n; i++) {
		r = file_write(path, bad[i]);
		/* Nothing written is nothing done: the kernel doesn't even ask the file. */
		if (r == -EINVAL || r == -ERANGE || !bad[i][0])
			refused++;
		else
			printf("# %s: \"%s\" gives %d\n", name, bad[i], r);
	}
	snprintf(text, sizeof(text), "%" PRIu64 "\n", before);
	tap(refused == n && tunable_get(name) == before && file_write(path, text) == 0,
	    "%s refuses what is no value of it, and keeps %" PRIu64, name, before);
}

static void test_tunables(void)
{
	static const char *const names[] = {
		"scan_interval_ms", "scan_cpu_permille", "granule_kb",    "idle_after_ms",   "min_anon_kb",
		"enabled",          "bloat_anon_kb",     "bloat_heap_kb", "bloat_growth_kb",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		test_tunable(names[i]);
	tap(tunable_set("granule_kb", 12) < 0 && tunable_set("granule_kb", 0) < 0, "granules are powers of two");
	tap(tunable_set("scan_interval_ms", 0) < 0, "an interval of nothing");
	tap(tunable_set("scan_cpu_permille", 1001) < 0, "more than all processor time");
	tap(file_write(TUNABLES "stats/walks", "1") < 0, "what is counted can't be written");
}

int main(int argc, char *argv[])
{
	unsigned int seed = argc > 1 ? strtoul(argv[1], NULL, 0) : 4;
	unsigned int seconds = argc > 2 ? strtoul(argv[2], NULL, 0) : 5;
	struct genl g;

	if (!tap(genl_open(&g) == 0, "find the family"))
		return tap_end();
	test_missing(&g);
	test_wrong(&g);
	test_tunables();
	test_permissions();
	test_random(&g, seed, seconds);
	genl_close(&g);
	return tap_end();
}
