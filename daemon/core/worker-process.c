/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/worker-process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "core/worker-door.h"

#define SPAWN_NS 1000000000ull /* for a child to execute the worker, far more than it takes */
#define SLICE_NS 10000000ull /* how often to look for its exit where pidfds don't work */

bool worker_exited(const struct worker *w)
{
	siginfo_t si = { .si_pid = 0 };

	return waitid(P_PID, (id_t)w->pid, &si, WEXITED | WNOHANG | WNOWAIT) < 0 || si.si_pid == w->pid;
}

/*
 * Until one of @fds is ready, the worker has exited or the deadline has passed,
 * EINTR-safe. @fds[0] is for the pidfd and filled here. 1, 0 at the deadline, -errno.
 */
static int worker_wait(const struct worker *w, struct pollfd *fds, nfds_t n, uint64_t deadline_ns)
{
	fds[0] = (struct pollfd){ .fd = w->pidfd, .events = POLLIN };
	for (;;) {
		uint64_t now = clock_ns(), until = deadline_ns;
		struct timespec left;
		int r;

		if (w->pidfd < 0 && !w->stranger)
			until = MIN(until, now + SLICE_NS);
		left = clock_remaining(until);
		r = ppoll(fds, n, &left, NULL);
		if (r > 0)
			return 1;
		if (r < 0 && errno != EINTR)
			return -errno;
		if (w->pidfd < 0 && !w->stranger && worker_exited(w))
			return 1;
		if (!r && now >= deadline_ns)
			return 0;
	}
}

void worker_kill(const struct worker *w)
{
	if (worker_unmet(w)) {
		/* It finds nobody at the other end, before it is asked for anything. */
		(void)shutdown(w->sock, SHUT_RDWR);
	} else if (w->stranger) {
		/* What it started sees its end. */
		(void)pidfd_send_signal(w->pidfd, SIGKILL, NULL, 0);
	} else {
		/* Not waited for yet, so neither number can belong to anybody else. */
		(void)kill(w->pid, SIGKILL);
		(void)kill(-w->pid, SIGKILL);
	}
}

static int reap(const struct worker *w)
{
	int status;
	pid_t r;

	do
		r = waitpid(w->pid, &status, WNOHANG);
	while (r < 0 && errno == EINTR);
	return r == w->pid ? status : -1;
}

int worker_end(struct worker *w, uint64_t grace_ns)
{
	struct pollfd fd;
	int status = -1;

	/* It may have come in the last moment. */
	if (worker_unmet(w) && w->sock >= 0 && worker_meet(w) < 0)
		status = WORKER_NO_STATUS;
	if (w->pid > 0) {
		if (grace_ns)
			(void)worker_wait(w, &fd, 1, clock_ns() + grace_ns);
		worker_kill(w);
		if (worker_wait(w, &fd, 1, clock_ns() + WORKER_REAP_NS) == 1 && w->stranger)
			status = WORKER_NO_STATUS;
		else if (!w->stranger)
			status = reap(w);
		w->pid = 0;
	}
	closep(&w->pidfd);
	closep(&w->sock);
	return status;
}

void worker_donep(struct worker *w)
{
	(void)worker_end(w, 0);
}

/* As if nobody had started it: what we ignore, block or have open is ours. */
static void child_reset(int sock, int null)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		(void)sigaction(sig, &dfl, NULL); /* fails for those that nobody may change */
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)dup2(sock, WORKER_FD);
	(void)dup2(null, STDIN_FILENO);
	(void)dup2(null, STDOUT_FILENO);
	(void)close_range(WORKER_FD + 1, ~0u, CLOSE_RANGE_CLOEXEC);
}

int worker_open_null(void)
{
	_cleanup_close_ int fd = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY);
	int high;

	if (fd < 0)
		return -errno;
	high = fcntl(fd, F_DUPFD_CLOEXEC, WORKER_FD + 1);
	return high < 0 ? -errno : high;
}

/*
 * fork() and not posix_spawn(): that is vfork(), in which the caller sleeps,
 * deaf to all but SIGKILL, until the child has executed its program, which a
 * SIGSTOP at that moment or a file system that hangs puts off for ever. Here
 * the deadline is ours. @report: gets the child's errno, or is closed by the
 * exec. stdout is ours alone: one document and nothing else.
 */
static int spawn(const char *path, int sock, int null, int report, pid_t *ret)
{
	char *argv[] = { (char *)"reclaim-worker", NULL };
	pid_t pid = fork();
	int e;

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		/* Its own group: a ^C for us must not kill the worker halfway through. */
		(void)setpgid(0, 0);
		child_reset(sock, null);
		(void)execve(path, argv, environ);
		e = errno;
		_exit(write(report, &e, sizeof(e)) == sizeof(e) ? 127 : 126);
	}
	/* Here too: it may be killed, as a group, before it has run at all. */
	(void)setpgid(pid, pid);
	*ret = pid;
	return 0;
}

/* What became of the exec; nothing yet after a second counts as done: the deadline will end it. */
static int spawn_verdict(const struct worker *w, int report)
{
	struct pollfd fds[] = { { .fd = -1 }, { .fd = report, .events = POLLIN } };
	int r = worker_wait(w, fds, ARRAY_SIZE(fds), clock_ns() + SPAWN_NS), e;

	if (r <= 0)
		return r;
	return fds[1].revents && read(report, &e, sizeof(e)) == sizeof(e) && e > 0 ? -e : 0;
}

int worker_start(struct worker *w, const char *path, int null)
{
	_cleanup_close_ int theirs = -1, report = -1, verdict = -1;
	int fds[2], r;

	if (worker_is_door(path))
		return worker_knock(w, path);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	w->sock = fds[0];
	/* Like null beyond the numbers that the child's own files get. */
	theirs = fcntl(fds[1], F_DUPFD_CLOEXEC, WORKER_FD + 1);
	closep(&fds[1]);
	if (theirs < 0 || pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	verdict = fds[0];
	report = fcntl(fds[1], F_DUPFD_CLOEXEC, WORKER_FD + 1);
	closep(&fds[1]);
	if (report < 0)
		return -errno;
	r = spawn(path, theirs, null, report, &w->pid);
	if (r < 0)
		return r;
	closep(&report);
	w->pidfd = pidfd_open(w->pid, 0);
	return spawn_verdict(w, verdict);
}

int worker_send_request(struct worker *w, const struct worker_request *req)
{
	ssize_t n;

	w->deadline_ns = clock_ns() + req->timeout_us * WORKER_NS_PER_US + WORKER_GRACE_NS;
	/* It counts its time from when it is asked, which may be long after we knocked. */
	if (worker_unmet(w)) {
		w->unsent = req;
		return 0;
	}
	/* Not blocking: the buffer is empty and larger than a request. */
	do
		n = send(w->sock, req, sizeof(*req), MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

int worker_wait_answer(struct worker *w, int cancel_fd, enum worker_wake *ret)
{
	struct pollfd fds[] = {
		{ .fd = -1 },
		{ .fd = w->sock, .events = POLLIN },
		{ .fd = cancel_fd, .events = POLLIN },
	};
	int r;

	do
		r = worker_wait(w, fds, ARRAY_SIZE(fds), w->deadline_ns);
	while (r > 0 && fds[1].revents && worker_unmet(w) && worker_meet(w) == 0);
	if (r < 0)
		return r;
	/* What a stranger says that isn't a worker is no answer. */
	if (r > 0 && fds[1].revents && worker_unmet(w))
		closep(&w->sock);
	/* An answer counts also when it is cancelled or has died at the same time. */
	if (!r)
		*ret = WAKE_DEADLINE;
	else if (fds[2].revents && !fds[1].revents && !fds[0].revents)
		*ret = WAKE_CANCEL;
	else
		*ret = WAKE_READY;
	return 0;
}

/* Killing it lets the target go, but a worker in an uninterruptible sleep dies only after that. */
void worker_why_given_up(struct worker *w, const char *what, char *why)
{
	const bool unmet = worker_unmet(w);
	pid_t pid = w->pid;
	int status = worker_end(w, 0);

	if (unmet)
		snprintf(why, WORKER_TEXT_MAX, "%s: no worker came", what);
	else if (status != -1)
		snprintf(why, WORKER_TEXT_MAX, "%s: the worker was killed and the target let go", what);
	else
		snprintf(why, WORKER_TEXT_MAX,
			 "%s: worker %d was killed but has not died yet: the target may still be held", what, pid);
}

bool worker_why_died(struct worker *w, char *why)
{
	/* Its own alarm comes somewhat before ours. */
	const bool unmet = worker_unmet(w), due = clock_ns() >= w->deadline_ns - WORKER_GRACE_NS / 2;
	int status = worker_end(w, WORKER_REAP_NS);
	const bool known = status != -1 && status != WORKER_NO_STATUS;
	/* The alarm that it sets itself for some time after its deadline: a thread got no CPU to stop on. */
	const bool late = known ? WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM :
				  status == WORKER_NO_STATUS && due;

	if (unmet)
		snprintf(why, WORKER_TEXT_MAX, "no worker came: systemctl status reclaim-worker may say why");
	else if (late)
		snprintf(why, WORKER_TEXT_MAX,
			 "it did not stop in time, the machine is too busy: the worker has ended and let it go");
	else if (known && WIFSIGNALED(status))
		snprintf(why, WORKER_TEXT_MAX, "the worker was killed by signal %d before it answered",
			 WTERMSIG(status));
	else if (known && WIFEXITED(status))
		snprintf(why, WORKER_TEXT_MAX, "the worker exited with status %d without an answer",
			 WEXITSTATUS(status));
	else
		snprintf(why, WORKER_TEXT_MAX, "the worker closed its socket without an answer");
	return late;
}

void worker_why_not_started(int error, char *why)
{
	snprintf(why, WORKER_TEXT_MAX, "the worker was not started: /dev/null can't be opened: %s", strerror(-error));
}
