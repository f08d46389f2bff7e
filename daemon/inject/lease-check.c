// SPDX-License-Identifier: GPL-2.0-or-later
#include "inject/lease-check.h"

#include <errno.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/pstatus.h"
#include "inject/session.h"
#include "inject/trace.h"

#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif

#define PAGE 4096ull
#define USER_END 0x7ffffffff000ull /* TASK_SIZE_MAX with four levels of page tables */
#define LOCK_LOOKS 64

/* A made-up heap address: filters can't tell it from others, they see no more than the number. */
#define SOME_ADDR 0x7f0000000000

/* As the thread knows itself, which process_vm_readv() on itself wants. */
static int lease_find_self(const struct inject *inj, pid_t *ret)
{
	_cleanup_close_ int dir = inject_open_thread(inj->target, inj->tid);
	struct pstatus st;
	int r;

	if (dir < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	r = pstatus_read(dir, &st);
	if (r < 0)
		return r;
	if (!st.nspid)
		return -EBADMSG;
	*ret = st.nspid;
	return 0;
}

/* The chain's own calls, and those of the lock functions. */
static size_t lease_list_calls(const struct lease_plan *p, struct seccomp_call *ret)
{
	const struct seccomp_call common[] = {
		SECCOMP_CALL(rt_sigreturn),
		SECCOMP_CALL(clock_gettime, .args = { CLOCK_MONOTONIC, SOME_ADDR }),
		SECCOMP_CALL(rt_sigtimedwait, .args = { SOME_ADDR, 0, SOME_ADDR, sizeof(uint64_t) }),
		SECCOMP_CALL(futex, .args = { SOME_ADDR, FUTEX_WAIT_PRIVATE, 2 }),
		SECCOMP_CALL(futex, .args = { SOME_ADDR, FUTEX_WAKE_PRIVATE, 1 }),
	};
	const struct seccomp_call arena =
		SECCOMP_CALL(futex, .args = { SOME_ADDR, FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG, 1, 0, SOME_ADDR,
					      FUTEX_OP(FUTEX_OP_SET, 0, FUTEX_OP_CMP_EQ, 0xfff) });
	/* How Python's condition variables wait (glibc 2.30 and later: with an absolute time). */
	const struct seccomp_call gil = SECCOMP_CALL(futex, .args = { SOME_ADDR, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG,
								      0, SOME_ADDR, 0, FUTEX_BITSET_MATCH_ANY });
	/* How that goes on when we have looked at the thread meanwhile. */
	const struct seccomp_call resume = SECCOMP_CALL(restart_syscall);
	const struct seccomp_call writes =
		SECCOMP_CALL(process_vm_readv, .args = { (uint64_t)p->self, SOME_ADDR, 2, SOME_ADDR, 1, 0 });
	const struct seccomp_call touch =
		SECCOMP_CALL(process_vm_readv, .args = { (uint64_t)p->self, SOME_ADDR, 2, SOME_ADDR, 2, 0 });
	const struct seccomp_call vector =
		SECCOMP_CALL(process_madvise, .args = { (uint64_t)-10001, SOME_ADDR, 1, (uint64_t)p->req.advice, 0 });
	const struct seccomp_call single = SECCOMP_CALL(madvise, .args = { SOME_ADDR, PAGE, (uint64_t)p->req.advice });
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(common); i++)
		ret[n++] = common[i];
	ret[n++] = p->req.kind == LEASE_ARENA ? arena : gil;
	if (p->req.kind == LEASE_GIL)
		ret[n++] = resume;
	if (p->req.want_writes) {
		ret[n++] = touch;
		ret[n++] = writes;
	}
	ret[n++] = p->req.drop == LEASE_DROP_VECTOR ? vector : single;
	return n;
}

int lease_check(struct lease_plan *p, struct inject *inj, const char **ret_why)
{
	const struct inject_bytes code[] = {
		{ p->code.restorer, arch_restorer, ARCH_RESTORER_LEN },
		{ p->code.syscall_insn, arch_syscall, ARCH_SYSCALL_LEN },
		{ p->code.lock_fn, p->code.lock_bytes, INJECT_CODE_BYTES },
		{ p->code.unlock_fn, p->code.unlock_bytes, INJECT_CODE_BYTES },
	};
	struct seccomp_call calls[10];
	struct inject_check check = {
		.restorer = p->code.restorer,
		.code = code,
		.ncode = p->req.kind == LEASE_GIL ? 4 : 3,
		.calls = calls,
	};
	struct pstatus st;
	int r = lease_find_self(inj, &p->self);

	if (r < 0)
		return r;
	check.ncalls = lease_list_calls(p, calls);
	r = inject_prepare(inj, &check, &st, ret_why);
	if (r < 0)
		return r;
	/* It would be handled after the chain, and the call that the thread sleeps in would not see it: let it pass. */
	if ((st.sig_pnd | st.shd_pnd) & st.sig_cgt & ~inj->sigmask) {
		*ret_why = "a signal that it handles is on its way";
		return -EAGAIN;
	}
	return 0;
}

/*
 * The thread stands still: seeing the lock free once, it doesn't own it. It is
 * not in the allocator anyway, by its stack; this is the second proof.
 */
int lease_check_lock(const struct lease_plan *p, const struct inject *inj, const char **ret_why)
{
	uint32_t word = 1;

	if (p->req.kind != LEASE_ARENA)
		return 0;
	for (unsigned int i = 0; i < LOCK_LOOKS && word; i++) {
		int r = trace_peek(inj->target->mem_fd, p->req.lock_addr, &word, sizeof(word));

		if (r < 0)
			return r == -EFAULT ? -ESTALE : r;
	}
	if (!word)
		return 0;
	*ret_why = "the lock was never seen free";
	return -EAGAIN;
}

/* Does [addr, addr + len) lie in user space and not in the part of the stack that the chain is on? */
static bool lease_place_valid(const struct lease_plan *p, const struct chain *c, uint64_t addr, uint64_t len)
{
	const uint64_t lo = c->base - PAGE, hi = p->lists + p->lists_len + ARCH_RED_ZONE;

	if (!len || addr < PAGE || addr >= USER_END || len > USER_END - addr)
		return false;
	return addr + len <= lo || addr >= hi;
}

int lease_check_lists(const struct lease_plan *p, const struct chain *c, const struct lease_write *writes,
		      size_t nwrites, const struct lease_range *ranges, size_t nranges)
{
	uint64_t bytes = 0, total = 0;

	if (nwrites > p->room.writes || nranges > p->room.ranges)
		return -ENOSPC;
	for (size_t i = 0; i < nwrites; i++) {
		if (!lease_place_valid(p, c, writes[i].addr, writes[i].len))
			return -EINVAL;
		if (writes[i].len > p->room.write_bytes - bytes)
			return -ENOSPC;
		bytes += writes[i].len;
	}
	for (size_t i = 0; i < nranges; i++) {
		if ((ranges[i].addr | ranges[i].len) % PAGE || !lease_place_valid(p, c, ranges[i].addr, ranges[i].len))
			return -EINVAL;
		if (ranges[i].len > LEASE_BYTES_MAX - total)
			return -ENOSPC;
		total += ranges[i].len;
	}
	return 0;
}
