/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sleeper cases: System V and POSIX queues, file locks, AIO, io_uring. */
#ifndef TESTS_SLEEP_IPC_H
#define TESTS_SLEEP_IPC_H

#include <linux/aio_abi.h>
#include <linux/io_uring.h>
#include <mqueue.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/msg.h>
#include <sys/sem.h>

#include "sleep_fd.h"

static int ipc_sem = -1, ipc_msg = -1;

/* Whoever ends last of sleeper and helper may call it: a second call finds nothing. */
static void ipc_cleanup(void)
{
	if (ipc_sem >= 0)
		semctl(ipc_sem, 0, IPC_RMID);
	if (ipc_msg >= 0)
		msgctl(ipc_msg, IPC_RMID, NULL);
	if (tmp_path[0]) {
		char p[128];

		in_tmp(p, sizeof(p), "f");
		unlink(p);
		rmdir(tmp_path);
	}
}

static void setup_sem(void)
{
	ipc_sem = semget(IPC_PRIVATE, 1, 0600);
	must(ipc_sem >= 0, "semget");
}

static void wake_sem(void)
{
	struct sembuf op = { .sem_op = 1 };

	must(!semop(ipc_sem, &op, 1), "semop");
}

static long call_semop(void)
{
	struct sembuf op = { .sem_op = -1 };

	return semop(ipc_sem, &op, 1);
}

static long call_semtimedop(void)
{
	struct timespec ts = rel_ts(sleep_ms);
	struct sembuf op = { .sem_op = -1 };

	return semtimedop(ipc_sem, &op, 1, &ts);
}

static long call_semtimedop_long(void)
{
	struct timespec ts = rel_ts(sleep_ms * 20);
	struct sembuf op = { .sem_op = -1 };

	return semtimedop(ipc_sem, &op, 1, &ts);
}

struct small_msg {
	long type;
	char text[4];
};

static void setup_msg(void)
{
	ipc_msg = msgget(IPC_PRIVATE, 0600);
	must(ipc_msg >= 0, "msgget");
}

static void wake_msg(void)
{
	struct small_msg m = { .type = 1, .text = "pin" };

	must(!msgsnd(ipc_msg, &m, 4, 0), "msgsnd");
}

static long call_msgrcv(void)
{
	struct small_msg m;

	return msgrcv(ipc_msg, &m, 4, 0, 0);
}

static mqd_t queue;

static void setup_mq(void)
{
	struct mq_attr a = { .mq_maxmsg = 2, .mq_msgsize = 16 };
	char name[64];

	snprintf(name, sizeof(name), "/reclaim-sleeper-%d", getpid());
	queue = mq_open(name, O_CREAT | O_RDWR | O_CLOEXEC, 0600, &a);
	must(queue != (mqd_t)-1, "mq_open");
	mq_unlink(name);
}

static void wake_mq(void)
{
	must(!mq_send(queue, "ping", 4, 0), "mq_send");
}

static long call_mq(void)
{
	char buf[16];

	return got_ping(mq_receive(queue, buf, sizeof(buf), NULL), buf);
}

static long call_mq_timed(void)
{
	struct timespec ts = abs_ts(CLOCK_REALTIME, sleep_ms);
	char buf[16];

	return mq_timedreceive(queue, buf, sizeof(buf), NULL, &ts);
}

/* --- file locks: the helper holds one and lets it go ------------------------------------------ */

static int lock_open(void)
{
	char p[128];
	int fd;

	in_tmp(p, sizeof(p), "f");
	fd = open(p, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	must(fd >= 0, "lock file");
	return fd;
}

static long lock_fcntl(int cmd, short type)
{
	struct flock fl = { .l_type = type, .l_whence = SEEK_SET, .l_len = 10 };

	return fcntl(one_fd, cmd, &fl);
}

static void hold_flock(void)
{
	one_fd = lock_open();
	must(!flock(one_fd, LOCK_EX), "flock");
}

static void wake_flock(void)
{
	must(!flock(one_fd, LOCK_UN), "flock");
}

static long call_flock(void)
{
	return flock(lock_open(), LOCK_EX);
}

static void hold_posix(void)
{
	one_fd = lock_open();
	must(!lock_fcntl(F_SETLK, F_WRLCK), "F_SETLK");
}

static void wake_posix(void)
{
	must(!lock_fcntl(F_SETLK, F_UNLCK), "F_SETLK");
}

static long call_posix(void)
{
	one_fd = lock_open();
	return lock_fcntl(F_SETLKW, F_WRLCK);
}

static void hold_ofd(void)
{
	one_fd = lock_open();
	must(!lock_fcntl(F_OFD_SETLK, F_WRLCK), "F_OFD_SETLK");
}

static void wake_ofd(void)
{
	must(!lock_fcntl(F_OFD_SETLK, F_UNLCK), "F_OFD_SETLK");
}

static long call_ofd(void)
{
	one_fd = lock_open();
	return lock_fcntl(F_OFD_SETLKW, F_WRLCK);
}

/* --- AIO and io_uring, without their libraries ------------------------------------------------ */

static aio_context_t aio;

static void setup_aio(void)
{
	struct iocb cb = { .aio_lio_opcode = IOCB_CMD_POLL }, *p = &cb;

	setup_pipe();
	cb.aio_fildes = fds[0];
	cb.aio_buf = POLLIN;
	must(!syscall(SYS_io_setup, 4, &aio), "io_setup");
	must(syscall(SYS_io_submit, aio, 1, &p) == 1, "io_submit");
}

static long call_aio(void)
{
	struct io_event ev;

	return syscall(SYS_io_getevents, aio, 1, 1, &ev, NULL);
}

static long call_aio_timed(void)
{
	struct timespec ts = rel_ts(sleep_ms);
	struct io_event ev;

	return syscall(SYS_io_getevents, aio, 1, 1, &ev, &ts);
}

static long call_aio_pgetevents(void)
{
	struct io_event ev;

	return syscall(SYS_io_pgetevents, aio, 1, 1, &ev, NULL, NULL);
}

static struct {
	int fd;
	_Atomic uint32_t *sq_tail, *cq_head, *cq_tail;
} ring;

static void setup_uring(void)
{
	struct io_uring_params p;
	struct io_uring_sqe *sqe;
	char *sq;

	setup_pipe();
	memset(&p, 0, sizeof(p));
	ring.fd = (int)syscall(SYS_io_uring_setup, 4, &p);
	must(ring.fd >= 0, "io_uring_setup");
	sq = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring.fd, IORING_OFF_SQ_RING);
	sqe = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring.fd, IORING_OFF_SQES);
	must(sq != MAP_FAILED && (void *)sqe != MAP_FAILED && (p.features & IORING_FEAT_SINGLE_MMAP), "io_uring mmap");
	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = IORING_OP_POLL_ADD;
	sqe->fd = fds[0];
	sqe->poll32_events = POLLIN;
	sqe->user_data = 77;
	((uint32_t *)(void *)(sq + p.sq_off.array))[0] = 0;
	ring.sq_tail = (void *)(sq + p.sq_off.tail);
	ring.cq_head = (void *)(sq + p.cq_off.head);
	ring.cq_tail = (void *)(sq + p.cq_off.tail);
	*ring.sq_tail = 1;
}

/* 0 when exactly the one completion is there */
static long uring_result(long r, long want)
{
	if (r == want && *ring.cq_tail - *ring.cq_head != 1) {
		errno = ENODATA;
		return -1;
	}
	return r;
}

static void setup_uring_submitted(void)
{
	setup_uring();
	must(syscall(SYS_io_uring_enter, ring.fd, 1, 0, 0, NULL, 0) == 1, "io_uring_enter");
}

static long call_uring(void)
{
	return uring_result(syscall(SYS_io_uring_enter, ring.fd, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0), 0);
}

static long call_uring_submit(void)
{
	return uring_result(syscall(SYS_io_uring_enter, ring.fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0), 1);
}

#endif
