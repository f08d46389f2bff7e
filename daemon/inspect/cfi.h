/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Evaluates the DWARF expressions that call frame information uses for the
 * CFA and for saved registers. Strict: an operation that we don't know, or a
 * register that isn't known, is an error, never a guess.
 */
#ifndef RECLAIM_INSPECT_CFI_H
#define RECLAIM_INSPECT_CFI_H

#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/regs.h"
#include "inspect/remote.h"

struct cfi_env {
	const struct cpu_regs *regs;
	struct remote *mem;
	uint64_t cfa; /* for DW_OP_call_frame_cfa */
	bool has_cfa;
};

/* The value of an expression. 0, -ENODATA (a register is unknown), -EBADMSG, -ENOTSUP, or the read's error. */
int cfi_value(const struct cfi_env *env, const Dwarf_Op *ops, size_t n, uint64_t *ret) __must_check;

/* The value that a location description leads to: memory is read, registers are looked up. */
int cfi_location(const struct cfi_env *env, const Dwarf_Op *ops, size_t n, uint64_t *ret) __must_check;

#endif
