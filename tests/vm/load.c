// SPDX-License-Identifier: GPL-2.0-or-later
/* The module comes and goes, whoever is talking to it. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/facts.h"
#include "lib/machine.h"
#include "tap.h"

#define MODULE "/modules/reclaim.ko"
#define PROCESSES 300

static int nothing(void *data)
{
	(void)data;
	return 0;
}

static int fill(void *data)
{
	size_t size = 256 * MIB;

	touch(map_anon(size), size, PAGE);
	(void)data;
	return 0;
}

/* How often it had to be asked; more than @tries or another error: negative. */
static int unload(int tries)
{
	int r = -EAGAIN, n = 0;

	while (n++ < tries && (r = module_unload("reclaim")) == -EAGAIN)
		sleep_ms(20);
	return r < 0 ? r : n;
}

static void test_again(void)
{
	struct genl g;
	int r;

	r = module_load(MODULE, "");
	tap(r == -EEXIST, "loading it twice: error %d", -r);
	r = unload(1);
	tap(r == 1 && !module_loaded() && access("/sys/kernel/reclaim", F_OK) < 0, "unload: %d", r);
	tap(genl_open(&g) == -ENOENT, "no family left");
	r = module_load(MODULE, "nonsense=1");
	tap(r == 0 || r == -EINVAL || r == -ENOENT, "a parameter that there isn't: %d", r);
	if (r == 0)
		unload(10);
	for (int i = 0; i < 3; i++) {
		r = module_load(MODULE, "");
		tap(r == 0 && genl_open(&g) == 0, "load: %d", r);
		genl_close(&g);
		if (i < 2)
			tap(unload(10) > 0, "unload");
	}
}

/* A dump of which only the first part was asked for */
static void test_dump(void)
{
	struct genl_request req;
	int size = 2048, r;
	struct genl g;

	if (!tap(genl_open(&g) == 0, "find the family"))
		return;
	setsockopt(g.fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	genl_begin(&g, &req, RECLAIM_CMD_PROC_GET, NLM_F_DUMP);
	tap(genl_send(&g, &req) == 0, "begin a dump of %d processes", PROCESSES);
	r = unload(3);
	tap(r == -EAGAIN || r > 0, "unload during a dump: %d", r);
	genl_close(&g);
	if (r < 0) {
		r = unload(50);
		tap(r > 0, "unload when it is over: %d", r);
	}
	tap(module_load(MODULE, "") == 0, "load");
}

static void test_listener(void)
{
	int files[2], r;
	struct genl g;
	char c;

	if (!tap(genl_open(&g) == 0 && genl_join(&g) == 0, "listen"))
		return;
	files[0] = open(TUNABLES "scan_interval_ms", O_RDONLY | O_CLOEXEC);
	files[1] = open(TUNABLES "stats/walks", O_RDONLY | O_CLOEXEC);
	r = unload(10);
	tap(r > 0, "unload with a listener: %d", r);
	tap(recv(g.fd, &c, 1, MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == ENOBUFS), "it hears nothing");
	tap(files[0] >= 0 && read(files[0], &c, 1) < 0 && read(files[1], &c, 1) < 0, "files that were open are dead");
	close(files[0]);
	close(files[1]);
	genl_close(&g);
	tap(module_load(MODULE, "") == 0, "load");
}

static void test_walking(void)
{
	pid_t pid = child_start(fill, NULL, NULL);
	uint64_t worst = 0;
	int bad = 0;

	tap(pid > 0, "a process of 256 MiB");
	for (int i = 0; i < 6; i++) {
		uint64_t began;

		tunable_set("min_anon_kb", 4096);
		tunable_set("scan_cpu_permille", 1000);
		bad += tunable_set("scan_interval_ms", 100) < 0;
		/* The first walk begins with the first interval and takes some dozen milliseconds. */
		sleep_ms(100 + 37 * i);
		began = now_us();
		bad += unload(20) < 0;
		worst = now_us() - began > worst ? now_us() - began : worst;
		bad += module_load(MODULE, "") < 0;
	}
	tap(!bad, "unload in the middle of walks");
	tap(worst < 30000000, "that takes %" PRIu64 " ms at most", worst / 1000);
	child_end(pid);
}

static void *dump_on(void *data)
{
	volatile bool *go_on = data;
	unsigned long n = 0;

	while (*go_on) {
		struct genl g;

		if (genl_open(&g) < 0)
			continue;
		for (int i = 0; i < 20 && *go_on; i++)
			n += procs_dump(&g, i % 2, NULL, NULL) > 0;
		genl_close(&g);
	}
	return (void *)n;
}

static void test_dumping(void)
{
	bool go_on = true;
	pthread_t thread;
	void *dumps = NULL;
	int bad = 0;

	tap(pthread_create(&thread, NULL, dump_on, &go_on) == 0, "dump all the time");
	for (int i = 0; i < 6; i++) {
		sleep_ms(150);
		bad += unload(500) < 0;
		bad += module_load(MODULE, "") < 0;
	}
	go_on = false;
	pthread_join(thread, &dumps);
	tap(!bad, "unload and load meanwhile");
	tap(dumps, "%lu dumps", (unsigned long)dumps);
}

int main(void)
{
	pid_t pids[PROCESSES];
	int n = 0;

	test_again();
	while (n < PROCESSES && (pids[n] = child_start(nothing, NULL, NULL)) > 0)
		n++;
	test_dump();
	test_listener();
	test_walking();
	test_dumping();
	while (n > 0)
		child_end(pids[--n]);
	return tap_end();
}
