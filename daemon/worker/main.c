// SPDX-License-Identifier: GPL-2.0-or-later
/* reclaim-worker: started by reclaimctl, the daemon or the service manager for one target, see reclaim/worker.h. */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "worker/door.h"
#include "worker/explain.h"
#include "worker/injector.h"
#include "worker/message.h"
#include "worker/request.h"

#define WORKER_GRACE_US 700000ull /* less than the client's second */

static int request_receive(struct worker_request *ret)
{
	ssize_t n;

	do {
		n = recv(WORKER_FD, ret, sizeof(*ret), MSG_TRUNC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (!n)
		return -EPIPE;
	return request_check(ret, (size_t)n);
}

/*
 * Our death harms no target, a worker that hangs for ever would: whatever it
 * waits for, SIGALRM ends it soon after its deadline. It doesn't outlive
 * whoever asked either.
 */
static int worker_end_by(uint64_t timeout_us)
{
	const uint64_t us = timeout_us + WORKER_GRACE_US;
	const struct itimerval timer = {
		.it_value = { .tv_sec = (time_t)(us / 1000000), .tv_usec = (suseconds_t)(us % 1000000) },
	};

	if (signal(SIGALRM, SIG_DFL) == SIG_ERR || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return -errno;
	return setitimer(ITIMER_REAL, &timer, NULL) < 0 ? -errno : 0;
}

static int reclaim(const struct worker_request *req)
{
	static struct worker_result result;

	result = (struct worker_result){ .magic = WORKER_MAGIC, .version = WORKER_VERSION, .pid = req->pid };
	injector_run(req, &result);
	return message_send(WORKER_FD, &result, sizeof(result));
}

/* 0: go on as a worker; else an exit status in *ret_status. */
static bool serve(int *ret_status)
{
	int r = door_serve();

	if (r == 0)
		return true;
	/* A client that didn't wait is none of ours to complain about. */
	*ret_status = r == -EPIPE ? 0 : 2;
	if (r == -EBADF)
		(void)fprintf(stderr, "reclaim-worker: --serve needs a listening socket from a service manager\n");
	else if (r != -EPIPE)
		(void)fprintf(stderr, "reclaim-worker: nobody is served: %s\n", strerror(-r));
	return false;
}

int main(int argc, char **argv)
{
	const bool serving = argc == 2 && !strcmp(argv[1], "--serve");
	static struct worker_request req;
	int r;

	if (serving) {
		if (!serve(&r))
			return r;
	} else if (argc > 1) {
		(void)fprintf(stderr, "reclaim-worker: takes only --serve; it is started by reclaimctl and reclaimd\n");
		return 2;
	}
	r = request_receive(&req);
	if (serving && r == -EPIPE)
		return 0;
	if (r < 0) {
		(void)fprintf(stderr, "reclaim-worker: no valid request on fd %d: %s\n", WORKER_FD, strerror(-r));
		return 2;
	}
	r = worker_end_by(req.timeout_us);
	if (r < 0) {
		(void)fprintf(stderr, "reclaim-worker: failed to set its deadline: %s\n", strerror(-r));
		return 1;
	}
	r = req.op == WORKER_OP_RECLAIM ? reclaim(&req) : explain_run(&req, WORKER_FD);
	return r < 0 ? 1 : 0;
}
