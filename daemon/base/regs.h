/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Registers of a stopped thread, in DWARF order, as one room hands them to another. */
#ifndef RECLAIM_BASE_REGS_H
#define RECLAIM_BASE_REGS_H

#include <stdint.h>

/* x86-64 psABI, figure 3.36: DWARF register numbers. */
enum cpu_reg {
	CPU_RAX,
	CPU_RDX,
	CPU_RCX,
	CPU_RBX,
	CPU_RSI,
	CPU_RDI,
	CPU_RBP,
	CPU_RSP,
	CPU_R8,
	CPU_R9,
	CPU_R10,
	CPU_R11,
	CPU_R12,
	CPU_R13,
	CPU_R14,
	CPU_R15,
	CPU_RIP,
	CPU_NREGS,
};

struct cpu_regs {
	uint64_t r[CPU_NREGS];
	uint64_t tp; /* thread pointer: fs_base */
	uint32_t valid; /* bit N: r[N] is known */
	uint32_t pad;
};

#define CPU_REGS_ALL ((1u << CPU_NREGS) - 1)

#endif
