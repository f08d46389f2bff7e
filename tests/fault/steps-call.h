/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The calls that are steps, see steps.h. */
#ifndef TESTS_FAULT_STEPS_CALL_H
#define TESTS_FAULT_STEPS_CALL_H

#define STEP_SHORT (-1) /* a count below what was asked for, without an error */
#define STEP_NONE (-2)

enum call {
	CALL_MALLOC,
	CALL_CALLOC,
	CALL_REALLOC,
	CALL_REALLOCARRAY,
	CALL_STRDUP,
	CALL_MMAP,
	CALL_OPEN,
	CALL_OPENAT,
	CALL_READ,
	CALL_PREAD,
	CALL_PREAD_MEM, /* of a target's memory or pagemap */
	CALL_WRITE,
	CALL_PWRITE,
	CALL_READDIR,
	CALL_FDOPENDIR,
	CALL_FSTAT,
	CALL_FSTATAT,
	CALL_READLINKAT,
	CALL_IOCTL,
	CALL_FCNTL,
	CALL_DUP3,
	CALL_SOCKETPAIR,
	CALL_FORK,
	CALL_SEND,
	CALL_RECV,
	CALL_PPOLL,
	CALL_TIMER_CREATE,
	CALL_WAITPID,
	CALL_SIGTIMEDWAIT,
	CALL_SEIZE,
	CALL_INTERRUPT,
	CALL_CONT,
	CALL_DETACH,
	CALL_GETREGS,
	CALL_SETREGS,
	CALL_GETREGSET,
	CALL_SETREGSET,
	CALL_GETSIGMASK,
	CALL_SETSIGMASK,
	CALL_GETSIGINFO,
	CALL_SECCOMP_FILTER,
	CALL_RSEQ,
	CALL_DISPATCH,
	CALL_TGKILL,
	CALL_PIDFD_OPEN,
	CALL_PIDFD_GETFD,
	CALL_ADVISE,
	CALL_ROBUST_LIST,
	CALL_OPENAT2,
	CALL_KCMP,
	CALLS,
};

/* One more step. STEP_NONE: as it should be; STEP_SHORT; or an errno, which is set already. */
int step(enum call call);

/* From now on this process is the reader. */
void steps_become_reader(void);

#endif
