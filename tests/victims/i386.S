/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A 32-bit program without libc: reads stdin until something comes, then exits with 0. */
	.globl _start
	.text
_start:
	movl $3, %eax
	xorl %ebx, %ebx
	movl $buf, %ecx
	movl $1, %edx
	int $0x80
	cmpl $1, %eax
	movl $0, %ebx
	je 1f
	movl $1, %ebx
1:	movl $1, %eax
	int $0x80
	.bss
buf:	.skip 16
	.section .note.GNU-stack, "", @progbits
