// SPDX-License-Identifier: GPL-2.0-or-later
/* Frames of this program itself, of which one has information that no compiler makes. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/procfs.h"
#include "inspect/target.h"
#include "inspect/unwind.h"

/* Never called. The second names register 4000000: DW_CFA_offset_extended. */
__asm__(".text\n"
	"unwind_plain: .cfi_startproc\n nop\n nop\n ret\n .cfi_endproc\n"
	"unwind_odd: .cfi_startproc\n .cfi_escape 0x05, 0x80, 0x92, 0xf4, 0x01, 0x01\n"
	"nop\n nop\n ret\n .cfi_endproc\n");
extern const char unwind_plain[], unwind_odd[];

static struct target target = TARGET_CLOSED;

static int setup(void **state)
{
	_cleanup_close_ int root = procfs_open_root("/proc"), dir = procfs_open_pid(root, getpid());

	(void)state;
	assert_true(dir >= 0);
	assert_int_equal(target_open(dir, &target), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	target_close(&target);
	return 0;
}

static int visit(void *ctx, const struct unwind_frame *f)
{
	memcpy(ctx, f, sizeof(*f));
	return 77;
}

/* What the walk comes to that begins at @at; the first frame ends it. */
static int walk(const char *at, struct unwind_frame *ret)
{
	uint64_t stack[8] = { 0 };
	struct cpu_regs regs = { .valid = 1u << CPU_RIP | 1u << CPU_RSP };

	regs.r[CPU_RIP] = (uint64_t)(uintptr_t)at + 1;
	regs.r[CPU_RSP] = (uint64_t)(uintptr_t)stack;
	return unwind(&target.mods, &target.mem, &regs, visit, ret);
}

static void test_registers_that_nobody_has(void **state)
{
	struct unwind_frame f = { .pc = 0 };

	(void)state;
	assert_int_equal(walk(unwind_plain, &f), 77);
	assert_true(f.pc == (uint64_t)(uintptr_t)unwind_plain + 1 && f.module && !f.root && !f.signal);
	f.pc = 0;
	assert_int_equal(walk(unwind_odd, &f), -ENODATA);
	assert_int_equal(f.pc, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_registers_that_nobody_has, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
