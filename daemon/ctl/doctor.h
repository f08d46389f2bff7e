/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The checks of "doctor". Each tries, rather than concludes from versions. */
#ifndef RECLAIM_CTL_DOCTOR_H
#define RECLAIM_CTL_DOCTOR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"

enum health {
	HEALTH_OK,
	HEALTH_INFO, /* nothing to mend, but worth knowing */
	HEALTH_WARN, /* works, with a limit */
	HEALTH_FAIL, /* the main job can't be done */
};

struct finding {
	const char *check; /* name of the check, set by the caller */
	enum health health;
	char detail[320]; /* what was found */
	char remedy[200]; /* how to mend it, "" when there is nothing to mend */
};

struct doctor {
	int root; /* "/": files of /proc and /sys are read below it, so that recorded trees can be checked */
	pid_t child; /* a sleeping process of ours to try things on; 0: none */
	int (*ask)(char *why, size_t size); /* tries the kernel module; NULL: not tried */
	volatile uint64_t probe; /* known memory to read from the child */
};

struct check {
	const char *name;
	void (*run)(struct doctor *d, struct finding *ret);
};

/* Without what the first ones check, the others would find nonsense. */
extern const struct check doctor_first_checks[];
extern const size_t doctor_n_first_checks;
extern const struct check doctor_ptrace_checks[], doctor_kernel_checks[], doctor_module_checks[],
	doctor_system_checks[];
extern const size_t doctor_n_ptrace_checks, doctor_n_kernel_checks, doctor_n_module_checks, doctor_n_system_checks;

/* Starts the child, with @filtered under a seccomp filter that allows everything. 0 or -errno. */
int doctor_child_start(struct doctor *d, bool filtered) __must_check;
void doctor_child_end(struct doctor *d);

/*
 * Attaches to the child and stops it, bounded in time; doctor_release() lets it
 * go. 0, -ETIMEDOUT, -errno.
 */
int doctor_seize(const struct doctor *d, unsigned long options) __must_check;
int doctor_release(const struct doctor *d) __must_check;

/* Asks the module in earnest. 0, -ENOENT, -EPERM, -errno. */
int doctor_ask_module(char *why, size_t size) __must_check;

/* What is written into a finding. */
void found(struct finding *ret, enum health health, const char *format, ...) __printf_like(3, 4);
void mend(struct finding *ret, const char *format, ...) __printf_like(2, 3);

/* A small file below d->root ("proc/swaps"), without its last newline. Length or -errno. */
ssize_t doctor_read(const struct doctor *d, const char *path, char *buf, size_t size) __must_check;

/* Are we in the initial user namespace? */
bool doctor_initial_user_ns(void);

/* Is the capability in our effective set? */
bool doctor_capable(const struct doctor *d, unsigned int cap);

#endif
