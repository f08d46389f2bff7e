// SPDX-License-Identifier: GPL-2.0-or-later
/* What the linker calls instead of libc (--wrap). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "steps-call.h"

/* Only the linker calls these. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC diagnostic ignored "-Wmissing-declarations"

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__real_reallocarray(void *p, size_t n, size_t size);
char *__real_strdup(const char *s);
void *__real_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset);
int __real_open(const char *path, int flags, ...);
int __real_openat(int dir, const char *path, int flags, ...);
ssize_t __real_read(int fd, void *buf, size_t n);
ssize_t __real_pread(int fd, void *buf, size_t n, off_t offset);
ssize_t __real_write(int fd, const void *buf, size_t n);
ssize_t __real_pwrite(int fd, const void *buf, size_t n, off_t offset);
struct dirent *__real_readdir(DIR *dir);
DIR *__real_fdopendir(int fd);
int __real_fstat(int fd, struct stat *st);
int __real_fstatat(int dir, const char *path, struct stat *st, int flags);
ssize_t __real_readlinkat(int dir, const char *path, char *buf, size_t n);
int __real_ioctl(int fd, unsigned long request, ...);
int __real_fcntl(int fd, int cmd, ...);
int __real_dup3(int from, int to, int flags);
int __real_socketpair(int domain, int type, int protocol, int fds[2]);
pid_t __real_fork(void);
ssize_t __real_send(int fd, const void *buf, size_t n, int flags);
ssize_t __real_recv(int fd, void *buf, size_t n, int flags);
int __real_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask);
int __real_timer_create(clockid_t clock, struct sigevent *ev, timer_t *ret);
pid_t __real_waitpid(pid_t pid, int *status, int options);
int __real_waitid(idtype_t type, id_t id, siginfo_t *info, int options);
int __real_sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *timeout);
long __real_ptrace(int request, pid_t pid, void *addr, void *data);
int __real_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d);
int __real_setrlimit(int resource, const struct rlimit *rl);
int __real_setgroups(size_t n, const gid_t *groups);
int __real_setresgid(gid_t real, gid_t effective, gid_t saved);
int __real_setresuid(uid_t real, uid_t effective, uid_t saved);
int __real_capset(cap_user_header_t head, const cap_user_data_t data);
int __real_prlimit(pid_t pid, int resource, const struct rlimit *rl, struct rlimit *old);
int __real_sysinfo(struct sysinfo *si);
int __real_close_range(unsigned int first, unsigned int last, int flags);
long __real_syscall(long nr, long a, long b, long c, long d, long e, long f);

/* Of one byte nothing would be left, which is the end, and no short count. */
static size_t less(int way, size_t n)
{
	return way == STEP_SHORT && n > 1 ? n / 2 : n;
}

void *__wrap_malloc(size_t size)
{
	return step(CALL_MALLOC) > 0 ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return step(CALL_CALLOC) > 0 ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return step(CALL_REALLOC) > 0 ? NULL : __real_realloc(p, size);
}

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
	return step(CALL_REALLOCARRAY) > 0 ? NULL : __real_reallocarray(p, n, size);
}

char *__wrap_strdup(const char *s)
{
	return step(CALL_STRDUP) > 0 ? NULL : __real_strdup(s);
}

void *__wrap_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	return step(CALL_MMAP) > 0 ? MAP_FAILED : __real_mmap(addr, len, prot, flags, fd, offset);
}

int __wrap_open(const char *path, int flags, ...)
{
	return step(CALL_OPEN) > 0 ? -1 : __real_open(path, flags, 0600);
}

int __wrap___open_2(const char *path, int flags)
{
	return __wrap_open(path, flags);
}

int __wrap_openat(int dir, const char *path, int flags, ...)
{
	return step(CALL_OPENAT) > 0 ? -1 : __real_openat(dir, path, flags, 0600);
}

int __wrap___openat_2(int dir, const char *path, int flags)
{
	return __wrap_openat(dir, path, flags);
}

ssize_t __wrap_read(int fd, void *buf, size_t n)
{
	int way = step(CALL_READ);

	return way > 0 ? -1 : __real_read(fd, buf, less(way, n));
}

/* Beyond 4 GiB lies a target's memory, and what is told of it; no library is as long. */
ssize_t __wrap_pread(int fd, void *buf, size_t n, off_t offset)
{
	int way = step(offset >> 32 ? CALL_PREAD_MEM : CALL_PREAD);

	return way > 0 ? -1 : __real_pread(fd, buf, less(way, n), offset);
}

ssize_t __wrap_write(int fd, const void *buf, size_t n)
{
	int way = step(CALL_WRITE);

	return way > 0 ? -1 : __real_write(fd, buf, less(way, n));
}

ssize_t __wrap_pwrite(int fd, const void *buf, size_t n, off_t offset)
{
	int way = step(CALL_PWRITE);

	return way > 0 ? -1 : __real_pwrite(fd, buf, less(way, n), offset);
}

struct dirent *__wrap_readdir(DIR *dir)
{
	return step(CALL_READDIR) > 0 ? NULL : __real_readdir(dir);
}

DIR *__wrap_fdopendir(int fd)
{
	return step(CALL_FDOPENDIR) > 0 ? NULL : __real_fdopendir(fd);
}

int __wrap_fstat(int fd, struct stat *st)
{
	return step(CALL_FSTAT) > 0 ? -1 : __real_fstat(fd, st);
}

int __wrap_fstatat(int dir, const char *path, struct stat *st, int flags)
{
	return step(CALL_FSTATAT) > 0 ? -1 : __real_fstatat(dir, path, st, flags);
}

ssize_t __wrap_readlinkat(int dir, const char *path, char *buf, size_t n)
{
	return step(CALL_READLINKAT) > 0 ? -1 : __real_readlinkat(dir, path, buf, n);
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	return step(CALL_IOCTL) > 0 ? -1 : __real_ioctl(fd, request, arg);
}

int __wrap_fcntl(int fd, int cmd, ...)
{
	va_list ap;
	long arg;

	va_start(ap, cmd);
	arg = va_arg(ap, long);
	va_end(ap);
	/* The others can't fail on an fd that is open. */
	return cmd == F_DUPFD_CLOEXEC && step(CALL_FCNTL) > 0 ? -1 : __real_fcntl(fd, cmd, arg);
}

int __wrap_dup3(int from, int to, int flags)
{
	return step(CALL_DUP3) > 0 ? -1 : __real_dup3(from, to, flags);
}

int __wrap_socketpair(int domain, int type, int protocol, int fds[2])
{
	return step(CALL_SOCKETPAIR) > 0 ? -1 : __real_socketpair(domain, type, protocol, fds);
}

/* The injector's only child is the reader. */
pid_t __wrap_fork(void)
{
	pid_t pid = step(CALL_FORK) > 0 ? -1 : __real_fork();

	if (pid == 0)
		steps_become_reader();
	return pid;
}

ssize_t __wrap_send(int fd, const void *buf, size_t n, int flags)
{
	return step(CALL_SEND) > 0 ? -1 : __real_send(fd, buf, n, flags);
}

ssize_t __wrap_recv(int fd, void *buf, size_t n, int flags)
{
	return step(CALL_RECV) > 0 ? -1 : __real_recv(fd, buf, n, flags);
}

int __wrap_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
	return step(CALL_PPOLL) > 0 ? -1 : __real_ppoll(fds, n, timeout, mask);
}

int __wrap_timer_create(clockid_t clock, struct sigevent *ev, timer_t *ret)
{
	return step(CALL_TIMER_CREATE) > 0 ? -1 : __real_timer_create(clock, ev, ret);
}

pid_t __wrap_waitpid(pid_t pid, int *status, int options)
{
	return step(CALL_WAITPID) > 0 ? -1 : __real_waitpid(pid, status, options);
}

int __wrap_waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
	return step(CALL_WAITID) > 0 ? -1 : __real_waitid(type, id, info, options);
}

int __wrap_sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *timeout)
{
	return step(CALL_SIGTIMEDWAIT) > 0 ? -1 : __real_sigtimedwait(set, info, timeout);
}

static enum call of_ptrace(int request)
{
	switch (request) {
	case PTRACE_SEIZE:
		return CALL_SEIZE;
	case PTRACE_INTERRUPT:
		return CALL_INTERRUPT;
	case PTRACE_CONT:
		return CALL_CONT;
	case PTRACE_DETACH:
		return CALL_DETACH;
	case PTRACE_GETREGS:
		return CALL_GETREGS;
	case PTRACE_SETREGS:
		return CALL_SETREGS;
	case PTRACE_GETREGSET:
		return CALL_GETREGSET;
	case PTRACE_SETREGSET:
		return CALL_SETREGSET;
	case PTRACE_GETSIGMASK:
		return CALL_GETSIGMASK;
	case PTRACE_SETSIGMASK:
		return CALL_SETSIGMASK;
	case PTRACE_GETSIGINFO:
		return CALL_GETSIGINFO;
	case PTRACE_SECCOMP_GET_FILTER:
		return CALL_SECCOMP_FILTER;
	case 0x420f: /* PTRACE_GET_RSEQ_CONFIGURATION */
		return CALL_RSEQ;
	case 0x4211: /* PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG */
		return CALL_DISPATCH;
	default:
		return CALLS;
	}
}

long __wrap_ptrace(int request, pid_t pid, void *addr, void *data)
{
	const enum call call = of_ptrace(request);

	return call != CALLS && step(call) > 0 ? -1 : __real_ptrace(request, pid, addr, data);
}

/* libcap asks some at its start, and nobody minds when we can't have our name. */
static enum call of_prctl(int option)
{
	switch (option) {
	case PR_SET_PDEATHSIG:
	case PR_SET_DUMPABLE:
	case PR_SET_NO_NEW_PRIVS:
		return CALL_PRCTL;
	case PR_SET_SECCOMP:
		return CALL_SECCOMP;
	default:
		return CALLS;
	}
}

int __wrap_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)
{
	const enum call call = of_prctl(option);

	return call != CALLS && step(call) > 0 ? -1 : __real_prctl(option, a, b, c, d);
}

int __wrap_setrlimit(int resource, const struct rlimit *rl)
{
	return step(CALL_SETRLIMIT) > 0 ? -1 : __real_setrlimit(resource, rl);
}

int __wrap_setgroups(size_t n, const gid_t *groups)
{
	return step(CALL_SETGROUPS) > 0 ? -1 : __real_setgroups(n, groups);
}

int __wrap_setresgid(gid_t real, gid_t effective, gid_t saved)
{
	return step(CALL_SETRESGID) > 0 ? -1 : __real_setresgid(real, effective, saved);
}

int __wrap_setresuid(uid_t real, uid_t effective, uid_t saved)
{
	return step(CALL_SETRESUID) > 0 ? -1 : __real_setresuid(real, effective, saved);
}

int __wrap_capset(cap_user_header_t head, const cap_user_data_t data)
{
	return step(CALL_CAPSET) > 0 ? -1 : __real_capset(head, data);
}

int __wrap_close_range(unsigned int first, unsigned int last, int flags)
{
	return step(CALL_CLOSE_RANGE) > 0 ? -1 : __real_close_range(first, last, flags);
}

int __wrap_prlimit(pid_t pid, int resource, const struct rlimit *rl, struct rlimit *old)
{
	return step(CALL_PRLIMIT) > 0 ? -1 : __real_prlimit(pid, resource, rl, old);
}

int __wrap_sysinfo(struct sysinfo *si)
{
	return step(CALL_SYSINFO) > 0 ? -1 : __real_sysinfo(si);
}

static enum call of_syscall(long nr)
{
	switch (nr) {
	case SYS_tgkill:
		return CALL_TGKILL;
	case 434: /* pidfd_open */
		return CALL_PIDFD_OPEN;
	case 438: /* pidfd_getfd */
		return CALL_PIDFD_GETFD;
	case 440: /* process_madvise */
		return CALL_ADVISE;
	case SYS_get_robust_list:
		return CALL_ROBUST_LIST;
	case 437: /* openat2 */
		return CALL_OPENAT2;
	case SYS_kcmp:
		return CALL_KCMP;
	default:
		return CALLS; /* no step: it can't be one that fails */
	}
}

long __wrap_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
	const enum call call = of_syscall(nr);

	return call != CALLS && step(call) > 0 ? -1 : __real_syscall(nr, a, b, c, d, e, f);
}
