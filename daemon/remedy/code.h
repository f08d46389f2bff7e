/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the code lies that a remedy has called: found in the file, verified in memory. */
#ifndef RECLAIM_REMEDY_CODE_H
#define RECLAIM_REMEDY_CODE_H

#include "remedy/remedy.h"

/* The bytes of a bare system call with its return: syscall; ret. */
#define CODE_GADGET_LEN 3
extern const uint8_t code_gadget[CODE_GADGET_LEN];

/*
 * Address in memory of @len bytes at @vaddr of @mod's file, after comparing
 * both; @ret_bytes (of @len) may be NULL. 0, -ESTALE, -ENOENT, a read's error.
 */
int code_at(struct target *t, const struct module *mod, uint64_t vaddr, size_t len, void *ret_bytes, uint64_t *ret)
	__must_check;

/* libc's __restore_rt, in memory. 0, -ENOENT, -ESTALE. */
int code_restorer(const struct remedy_facts *facts, uint64_t *ret) __must_check;

/* A syscall; ret in libc's text, in memory. 0, -ENOENT, -ESTALE. */
int code_syscall(const struct remedy_facts *facts, uint64_t *ret) __must_check;

/*
 * Fills @ret (fn, its bytes, restorer) for the exported function @name of
 * @mod. @mod's file is compared with what is mapped first. 0, -ENOENT, -ESTALE.
 */
int code_function(const struct remedy_facts *facts, struct module *mod, bool all, const char *name,
		  struct inject_code *ret) __must_check;

/* libc's data in memory: a futex in there is one of its own locks. 0, -ENOENT. */
int code_data(const struct remedy_facts *facts, uint64_t *ret_lo, uint64_t *ret_hi) __must_check;

#endif
