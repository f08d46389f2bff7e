// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * reclaimctl says the same whether it asks the module or reads /proc, and fails as it should. It is at /reclaimctl,
 * with its libraries beside it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/layout.h"
#include "lib/machine.h"
#include "tap.h"

#define LOADER "/ld-linux-x86-64.so.2"
#define INTERVAL_MS 1000
#define OUTPUT (4U << 20)
#define ROWS 2048
#define MEMBERS 40
#define ARGS 12
#define NOBODY 65534
/* Counters of /proc are lazy: each processor and thread keeps back this much of each kind. So is MADV_FREE: a batch of
 * pages waits at each processor to become what they were made. */
#define LAZY (2 * 64 * PAGE)

struct member {
	const char *key, *value; /* text without its quotes */
};

struct row {
	struct member v[MEMBERS];
	int n;
};

/* An array of flat objects, cut up in place. Escaped quotes stay as they are. */
struct table {
	char *text, *errors;
	int status, n;
	struct row *v;
};

static char *token(char **p, char *last)
{
	char *s = *p + strspn(*p, " \n\t");
	char *end;

	if (*s == '"') {
		for (end = ++s; *end && (*end != '"' || end[-1] == '\\'); end++)
			;
		*last = *end ? end[1] : 0;
	} else {
		end = s + strcspn(s, ",:}]\n ");
		*last = *end;
	}
	*p = *end ? end + 1 : end;
	if (*end == '"' && *last)
		(*p)++;
	*end = 0;
	return s;
}

static void cut_up(struct table *t)
{
	char *p = strchr(t->text, '{'), last;

	for (; p && t->n < ROWS; p = strchr(p, '{')) {
		struct row *r = &t->v[t->n++];

		p++;
		do {
			if (r->n == MEMBERS)
				abort();
			r->v[r->n].key = token(&p, &last);
			r->v[r->n++].value = token(&p, &last);
		} while (last == ',');
	}
}

static void run_child(const char *const *args, uid_t uid, int out, int err)
{
	const char *argv[ARGS + 6] = { LOADER, "--library-path", "/", "/reclaimctl" };
	int n = 4;

	while (*args && n < ARGS + 5)
		argv[n++] = *args++;
	if (dup2(out, 1) < 0 || dup2(err, 2) < 0 || (uid && setuid(uid) < 0))
		_exit(99);
	execv(LOADER, (char *const *)argv);
	_exit(99);
}

static void read_back(int fd, char *buf)
{
	ssize_t n = pread(fd, buf, OUTPUT - 1, 0);

	buf[n > 0 ? n : 0] = 0;
	if (ftruncate(fd, 0) < 0)
		abort();
}

/* Runs it with @args, which end with NULL. */
static void run(struct table *t, uid_t uid, const char *const *args)
{
	static int out = -1, err = -1;
	int status = -1;
	pid_t pid;

	if (out < 0) {
		char a[] = "/tmp/outXXXXXX", b[] = "/tmp/errXXXXXX";

		out = mkstemp(a);
		err = mkstemp(b);
	}
	fflush(NULL);
	lseek(out, 0, SEEK_SET);
	lseek(err, 0, SEEK_SET);
	pid = fork();
	if (pid == 0)
		run_child(args, uid, out, err);
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		abort();
	t->status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	t->n = 0;
	memset(t->v, 0, ROWS * sizeof(*t->v));
	read_back(out, t->text);
	read_back(err, t->errors);
	cut_up(t);
	t->errors[strcspn(t->errors, "\n")] = 0;
}

#define RUN(t, uid, ...) run(t, uid, (const char *const[]){ __VA_ARGS__, NULL })

static void table_make(struct table *t)
{
	*t = (struct table){ calloc(1, OUTPUT), calloc(1, OUTPUT), 0, 0, calloc(ROWS, sizeof(*t->v)) };
	if (!t->text || !t->errors || !t->v)
		abort();
}

static const char *get(const struct row *r, const char *key)
{
	for (int i = 0; r && i < r->n; i++)
		if (!strcmp(r->v[i].key, key))
			return r->v[i].value;
	return "";
}

static const struct row *find(const struct table *t, const char *key, const char *value)
{
	for (int i = 0; i < t->n; i++)
		if (!strcmp(get(&t->v[i], key), value))
			return &t->v[i];
	return NULL;
}

static bool one_of(const char *key, const char *const *list)
{
	for (; *list; list++)
		if (!strcmp(key, *list))
			return true;
	return false;
}

static bool same(const struct member *a, const char *b, const char *const *lazy, int *late)
{
	uint64_t x = strtoull(a->value, NULL, 10), y = strtoull(b, NULL, 10);

	if (!strcmp(a->value, b))
		return true;
	if (!one_of(a->key, lazy) || !strcmp(a->value, "null") || !strcmp(b, "null"))
		return false;
	(*late)++;
	return (x > y ? x - y : y - x) <= (strcmp(a->key, "rss") ? LAZY : 3 * LAZY);
}

/* How many members of a row of both differ; those of @lazy may by a little. */
static int differences(const struct row *a, const struct row *b, const char *const *skip, const char *const *lazy,
		       const char *name, int *late)
{
	int bad = 0;

	for (int i = 0; i < a->n; i++) {
		if (one_of(a->v[i].key, skip) || same(&a->v[i], get(b, a->v[i].key), lazy, late))
			continue;
		printf("# %s: %s: %s, and by /proc %s\n", name, a->v[i].key, a->v[i].value, get(b, a->v[i].key));
		bad++;
	}
	return bad;
}

static const char *const module_only[] = { "idle", "heap_idle", "sample_age_us", "sampling", NULL };
static const char *const counters[] = { "rss", "anon", "file", "shmem", "swap", "lazyfree", NULL };

/* Who isn't the same from one look to the next: we, and kernel threads. */
static bool restless(const struct row *r)
{
	return atoi(get(r, "pid")) == getpid() || !strcmp(get(r, "rss"), "0") || strstr(get(r, "comm"), "ld-linux") ||
	       strstr(get(r, "comm"), "reclaimctl");
}

static void test_ps(struct table *a, struct table *b, const char *option)
{
	int compared = 0, bad = 0, late = 0, missing = 0;

	RUN(a, 0, "--source=netlink", "--json", "ps", option);
	RUN(b, 0, "--source=procfs", "--json", "ps", option);
	for (int i = 0; i < a->n; i++) {
		const struct row *other = find(b, "pid", get(&a->v[i], "pid"));

		if (restless(&a->v[i]))
			continue;
		missing += !other;
		compared += !!other;
		if (other)
			bad += differences(&a->v[i], other, module_only, counters, get(&a->v[i], "comm"), &late);
	}
	for (int i = 0; i < b->n; i++)
		missing += !restless(&b->v[i]) && !find(a, "pid", get(&b->v[i], "pid"));
	tap(a->status == 0 && b->status == 0 && compared >= 3 && !missing && !bad,
	    "ps %s: %d processes by the module, %d by /proc, %d compared, %d missing, %d differences, %d late counters",
	    option, a->n, b->n, compared, missing, bad, late);
	if (a->status || b->status)
		printf("# %s; %s\n", a->errors, b->errors);
}

static void test_regions(struct table *a, struct table *b, pid_t pid)
{
	static const char *const skip[] = { "locked", "referenced", "accessed", "idle_us", "idle_60s", NULL };
	static const char *const none[] = { NULL };
	int bad = 0, late = 0, missing = 0;
	char text[16];

	snprintf(text, sizeof(text), "%d", pid);
	RUN(a, 0, "--source=netlink", "--json", "regions", text);
	RUN(b, 0, "--source=procfs", "--json", "regions", text);
	for (int i = 0; i < b->n; i++) {
		const struct row *other = find(a, "start", get(&b->v[i], "start"));

		/* Which is in no process, but in every listing of /proc */
		if (!strcmp(get(&b->v[i], "name"), "[vsyscall]"))
			continue;
		missing += !other;
		if (other)
			bad += differences(other, &b->v[i], skip, none, get(&b->v[i], "start"), &late);
	}
	tap(a->status == 0 && b->status == 0 && a->n > 60 && !missing && !bad,
	    "regions: %d mappings by the module, %d by smaps, %d missing, %d differences", a->n, b->n, missing, bad);
	if (a->status || b->status)
		printf("# %s; %s\n", a->errors, b->errors);
}

static int rest(void *data)
{
	touch(map_anon(48 * MIB), 48 * MIB, PAGE);
	touch(sbrk(16 * MIB), 16 * MIB, PAGE);
	(void)data;
	return 0;
}

static uint64_t number(const struct row *r, const char *key)
{
	return strtoull(get(r, key), NULL, 10);
}

static void test_idle(struct table *t, pid_t pid)
{
	const struct row *r, *largest = NULL;
	char text[16];

	snprintf(text, sizeof(text), "%d", pid);
	RUN(t, 0, "--source=netlink", "--json", "ps", "-o", "pid,anon,idle,heap_idle,sampling", "--min=32M");
	r = find(t, "pid", text);
	tap(r && !strcmp(get(r, "sampling"), "active"), "is sampled: %s", get(r, "sampling"));
	tap(r && number(r, "idle") >= 60 * MIB && number(r, "idle") <= number(r, "anon") + LAZY, "idle: %s of %s bytes",
	    get(r, "idle"), get(r, "anon"));
	tap(r && number(r, "heap_idle") >= 15 * MIB, "of its heap: %s bytes", get(r, "heap_idle"));
	RUN(t, 0, "--json", "regions", text, "--min=32M");
	for (int i = 0; i < t->n; i++)
		if (!largest || number(&t->v[i], "anon") > number(largest, "anon"))
			largest = &t->v[i];
	tap(largest && number(largest, "idle_us") >= 2 * INTERVAL_MS * 1000, "its largest mapping, for %s us",
	    get(largest, "idle_us"));
	RUN(t, 0, "--source=procfs", "--json", "ps", "-o", "pid,idle", text);
	tap(t->n == 1 && !strcmp(get(&t->v[0], "idle"), "null"), "which /proc doesn't know");
}

static void test_refusals(struct table *t)
{
	RUN(t, NOBODY, "--source=netlink", "--json", "ps");
	tap(t->status == 4 && strstr(t->errors, "CAP_SYS_PTRACE"), "not for everybody: status %d, %s", t->status,
	    t->errors);
	RUN(t, NOBODY, "--source=netlink", "regions", "1");
	tap(t->status == 4, "nor are regions: status %d, %s", t->status, t->errors);
	RUN(t, NOBODY, "--json", "ps", "-o", "pid,rss,idle", "--min=0");
	tap(t->status == 0 && t->n > 3 && !t->errors[0],
	    "unless asked for, /proc is good enough: status %d, %d rows, %s", t->status, t->n, t->errors);
	RUN(t, 0, "--source=netlink", "ps", "4194303");
	tap(t->status == 5, "no such process: status %d, %s", t->status, t->errors);
	RUN(t, 0, "--source=netlink", "regions", "4194303");
	tap(t->status == 5, "and it has no regions: status %d, %s", t->status, t->errors);
	RUN(t, 0, "--source=netlink", "--json", "regions", "2");
	tap(t->status == 0 && t->n == 0, "nor has a kernel thread: status %d, %s", t->status, t->errors);
}

static void test_doctor(struct table *t, const char *word)
{
	const struct row *r;

	RUN(t, 0, "--json", "doctor");
	r = find(t, "check", "module");
	tap(r && strstr(get(r, "detail"), word), "doctor: %s; %s", get(r, "detail"), get(r, "remedy"));
	r = find(t, "check", "idle-ages");
	printf("# %s\n", get(r, "detail"));
}

static void test_without(struct table *t)
{
	tap(module_unload("reclaim") == 0, "the module is unloaded");
	RUN(t, 0, "--source=netlink", "--json", "ps");
	/* This machine has no folder of modules. */
	tap(t->status == 1 && strstr(t->errors, "not loaded, nor installed for this kernel: install reclaim-dkms"),
	    "and missed: status %d, %s", t->status, t->errors);
	RUN(t, 0, "--json", "ps", "-o", "pid,idle", "--min=0");
	tap(t->status == 0 && t->n > 3 && !t->errors[0], "unless /proc will do: status %d, %s", t->status, t->errors);
	test_doctor(t, "not loaded");
}

int main(void)
{
	pid_t still, layout;
	struct table a, b;

	if (access("/reclaimctl", X_OK) < 0 || access(LOADER, X_OK) < 0) {
		printf("Bail out! /reclaimctl isn't there, see --with of scripts/vm\n");
		return 1;
	}
	table_make(&a);
	table_make(&b);
	tap(tunable_set("scan_interval_ms", INTERVAL_MS) == 0 && tunable_set("idle_after_ms", 3 * INTERVAL_MS) == 0 &&
		    tunable_set("scan_cpu_permille", 500) == 0 && tunable_set("min_anon_kb", 32 << 10) == 0,
	    "an interval of %d ms", INTERVAL_MS);
	still = child_start(rest, NULL, NULL);
	layout = layout_prepare() == 0 ? child_start(layout_make, NULL, NULL) : -EIO;
	if (!tap(still > 0 && layout > 0, "processes to look at"))
		return tap_end();
	sleep_ms(7 * INTERVAL_MS);
	test_ps(&a, &b, "--min=1M");
	test_ps(&a, &b, "--all");
	test_regions(&a, &b, still > 0 ? layout : 0);
	test_idle(&a, still);
	test_refusals(&a);
	test_doctor(&a, "answers us");
	test_without(&a);
	child_end(still);
	child_end(layout);
	return tap_end();
}
