/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two of its threads are the kernel's: the one that looks for what is submitted to io_uring, and never stops looking,
 * and a worker that waits in tee() for a pipe. Ends with 77 where io_uring is not to be had.
 *   uring [--usable]    the main thread sleeps in read(); otherwise in tee() too, which nobody may interrupt
 */
#include <linux/io_uring.h>

#include "victim.h"

#define SPIN_MS 3600000u

static int ring, in[2], out[2], rest[2];
static char *queues;
static struct io_uring_params p;

static _Atomic uint32_t *at(uint32_t offset)
{
	return (_Atomic uint32_t *)(void *)(queues + offset);
}

static void ring_open(void)
{
	p.flags = IORING_SETUP_SQPOLL;
	p.sq_thread_idle = SPIN_MS;
	ring = (int)syscall(SYS_io_uring_setup, 4, &p);
	if (ring < 0 && (errno == ENOSYS || errno == EPERM))
		_exit(77);
	if (ring < 0 || !(p.features & IORING_FEAT_SINGLE_MMAP))
		die("io_uring_setup");
	queues = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQ_RING);
	if (queues == MAP_FAILED)
		die("mmap");
}

static void submit(void)
{
	struct io_uring_sqe *sqe =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQES);

	if ((void *)sqe == MAP_FAILED)
		die("mmap");
	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = IORING_OP_TEE;
	sqe->splice_fd_in = in[0];
	sqe->fd = out[1];
	sqe->len = 4;
	*at(p.sq_off.array) = 0;
	*at(p.sq_off.tail) = 1;
	/* It may have gone to sleep before it was told for how long it is to look. */
	while (!*at(p.sq_off.head))
		if (*at(p.sq_off.flags) & IORING_SQ_NEED_WAKEUP)
			syscall(SYS_io_uring_enter, ring, 0, 0, IORING_ENTER_SQ_WAKEUP, NULL, 0);
}

/* Nothing has come of it before there is something to read; then all of it has. */
static void judge_result(void)
{
	const struct io_uring_cqe *cqe = (const struct io_uring_cqe *)(const void *)(queues + p.cq_off.cqes);
	char text[8] = "";

	if (*at(p.cq_off.tail))
		complain("tee in the ring ended before its time: %d", cqe->res);
	if (write(in[1], "abcd", 4) != 4)
		die("write");
	while (!*at(p.cq_off.tail))
		usleep(200);
	if (cqe->res != 4 || read(out[0], text, 4) != 4 || strcmp(text, "abcd"))
		complain("tee in the ring: %d, '%s'", cqe->res, text);
}

int main(int argc, char **argv)
{
	struct block *keep[16];

	vstat_open(argc, argv);
	bloat_make(4096, keep, 16);
	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || pipe2(rest, O_CLOEXEC))
		die("pipe");
	ring_open();
	submit();
	vs->ready = 1;
	if (opt(argc, argv, "usable", NULL))
		idle_until_stop();
	else if (tee(STDIN_FILENO, rest[1], 1, 0) != 1)
		complain("tee: errno %d", errno);
	judge_result();
	bloat_check(keep, 16);
	return vstat_finish();
}
