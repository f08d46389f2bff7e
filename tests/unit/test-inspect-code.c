// SPDX-License-Identifier: GPL-2.0-or-later
/* Readers of code: call frame expressions, and the allocator's bounds in this machine's own libc. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dlfcn.h>
#include <dwarf.h>
#include <elfutils/libdwelf.h>
#include <fcntl.h>
#include <link.h>
#include <gnu/libc-version.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "inspect/allocator.h"
#include "inspect/cfi.h"
#include "inspect/ranges.h"

static uint64_t fake_memory[8] = { 10, 20, 30, 40, 50, 60, 70, 80 };

static int fake_read(void *ctx, uint64_t addr, void *buf, size_t len)
{
	(void)ctx;
	if (addr < 0x1000 || addr + len > 0x1000 + sizeof(fake_memory))
		return -EFAULT;
	memcpy(buf, (char *)fake_memory + (addr - 0x1000), len);
	return 0;
}

static struct remote fake_remote(uint64_t reads)
{
	return (struct remote){ .read = fake_read, .reads_left = reads, .bytes_left = UINT64_MAX };
}

static void test_cfi(void **state)
{
	struct remote mem = fake_remote(100);
	struct cpu_regs regs = { .valid = 1u << CPU_RSP };
	struct cfi_env env = { .regs = &regs, .mem = &mem, .cfa = 0x1010, .has_cfa = true };
	const Dwarf_Op breg[] = { { .atom = DW_OP_breg7, .number = 16 } };
	const Dwarf_Op unknown_reg[] = { { .atom = DW_OP_breg6, .number = 16 } };
	const Dwarf_Op saved[] = { { .atom = DW_OP_call_frame_cfa },
				   { .atom = DW_OP_plus_uconst, .number = (Dwarf_Word)-8 } };
	const Dwarf_Op value[] = { { .atom = DW_OP_call_frame_cfa }, { .atom = DW_OP_stack_value } };
	const Dwarf_Op underflow[] = { { .atom = DW_OP_lit1 }, { .atom = DW_OP_plus } };
	const Dwarf_Op branch[] = { { .atom = DW_OP_lit1 }, { .atom = DW_OP_skip, .number = 0 } };
	const Dwarf_Op bad_addr[] = { { .atom = DW_OP_lit1 }, { .atom = DW_OP_deref } };
	uint64_t v = 77;

	(void)state;
	regs.r[CPU_RSP] = 0x1000;
	assert_int_equal(cfi_value(&env, breg, 1, &v), 0);
	assert_int_equal(v, 0x1010);
	assert_int_equal(cfi_location(&env, saved, 2, &v), 0);
	assert_int_equal(v, 20); /* at cfa - 8 */
	assert_int_equal(cfi_location(&env, value, 2, &v), 0);
	assert_int_equal(v, 0x1010);
	v = 77;
	assert_int_equal(cfi_value(&env, unknown_reg, 1, &v), -ENODATA);
	assert_int_equal(cfi_value(&env, underflow, 2, &v), -EBADMSG);
	assert_true(cfi_value(&env, branch, 2, &v) < 0);
	assert_int_equal(cfi_value(&env, bad_addr, 2, &v), -EFAULT);
	assert_int_equal(cfi_value(&env, NULL, 0, &v), -EBADMSG);
	assert_int_equal(v, 77); /* untouched on failure */
	env.has_cfa = false;
	assert_int_equal(cfi_location(&env, saved, 2, &v), -EBADMSG);
}

static void test_cfi_deep(void **state)
{
	struct remote mem = fake_remote(100);
	struct cpu_regs regs = { .valid = 0 };
	struct cfi_env env = { .regs = &regs, .mem = &mem };
	Dwarf_Op ops[100];
	uint64_t v;

	(void)state;
	for (size_t i = 0; i < 100; i++)
		ops[i] = (Dwarf_Op){ .atom = DW_OP_lit3 };
	assert_int_equal(cfi_value(&env, ops, 100, &v), -EBADMSG);
}

static void test_budget(void **state)
{
	struct remote mem = fake_remote(2);
	uint64_t v;

	(void)state;
	assert_int_equal(remote_read(&mem, 0x1000, &v, sizeof(v)), 0);
	assert_int_equal(v, 10);
	assert_int_equal(remote_read(&mem, 0x1038, &v, sizeof(v)), 0);
	assert_int_equal(remote_read(&mem, 0x1000, &v, sizeof(v)), -EDQUOT);
	assert_int_equal(remote_read_u64(&mem, 0x1000, &v), -EDQUOT);
}

/* libc's own function of that name, also when something (a sanitizer) has interposed it. */
static uint64_t libc_func(const char *name, uint64_t base)
{
	void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
	uint64_t addr = libc ? (uint64_t)(uintptr_t)dlsym(libc, name) : 0;

	assert_true(addr > base);
	(void)dlclose(libc);
	return addr - base;
}

static void test_own_libc(void **state)
{
	static const char *const inside[] = { "malloc", "free", "realloc", "calloc", "malloc_trim", "mallinfo2" };
	static const char *const outside[] = { "read", "epoll_wait", "__libc_start_main", "pthread_create" };
	static struct ranges ranges;
	uint64_t base, lo = UINT64_MAX, hi = 0;
	struct link_map *map;
	struct object o;
	Dl_info info;
	int fd;

	(void)state;
	assert_true(dladdr1((void *)gnu_get_libc_version, &info, (void **)&map, RTLD_DL_LINKMAP));
	base = map->l_addr;
	fd = open(info.dli_fname, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(object_open(fd, &o), 0);
	assert_int_equal(ranges_of_glibc(&o, false, &ranges), 0);

	for (size_t i = 0; i < ARRAY_SIZE(inside); i++)
		assert_string_equal(ranges_find(&ranges, libc_func(inside[i], base)), "the allocator");
	for (size_t i = 0; i < ARRAY_SIZE(outside); i++)
		assert_null(ranges_find(&ranges, libc_func(outside[i], base)));
	assert_non_null(ranges_find(&ranges, libc_func("fork", base))); /* under one of its names */
	for (size_t i = 0; i < ranges.n; i++) {
		if (strcmp(ranges.v[i].what, "the allocator") != 0)
			continue;
		lo = MIN(lo, ranges.v[i].lo);
		hi = MAX(hi, ranges.v[i].hi);
	}
	assert_in_range(hi - lo, 8 * 1024, 64 * 1024); /* one object file's code */
	object_close(&o);
	(void)close(fd);
}

/* The debug file that Debian's libc6-dbg has for this machine's libc: fd or -1. */
static int open_debug_file(Elf *elf)
{
	char path[128] = "/usr/lib/debug/.build-id/";
	const void *id;
	ssize_t n = dwelf_elf_gnu_build_id(elf, &id);
	size_t at = strlen(path);

	for (ssize_t i = 0; i < n && at + 16 < sizeof(path); i++)
		at += (size_t)snprintf(path + at, sizeof(path) - at, "%02x%s", ((const uint8_t *)id)[i], i ? "" : "/");
	(void)snprintf(path + at, sizeof(path) - at, ".debug");
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* Every function that malloc.c's object file really has must lie in the range that we only guess. */
static int check_malloc_symbols(Elf *debug, const struct ranges *ranges)
{
	Elf_Scn *scn = NULL;
	bool ours = false;
	int seen = 0;

	while ((scn = elf_nextscn(debug, scn)) != NULL) {
		const Elf_Data *data = elf_getdata(scn, NULL);
		GElf_Shdr sh;

		if (!gelf_getshdr(scn, &sh) || sh.sh_type != SHT_SYMTAB)
			continue;
		for (size_t i = 0; i < data->d_size / sizeof(Elf64_Sym); i++) {
			const Elf64_Sym *sym = (const Elf64_Sym *)data->d_buf + i;
			const char *name = elf_strptr(debug, sh.sh_link, sym->st_name);

			if (ELF64_ST_TYPE(sym->st_info) == STT_FILE)
				ours = name && !strcmp(name, "malloc.c");
			/* Cold parts end the program; they are reached through functions that are in the range. */
			if (!ours || ELF64_ST_TYPE(sym->st_info) != STT_FUNC || !name || strstr(name, ".cold") ||
			    ELF64_ST_BIND(sym->st_info) != STB_LOCAL)
				continue;
			if (!ranges_find(ranges, sym->st_value) ||
			    !ranges_find(ranges, sym->st_value + sym->st_size - 1))
				fail_msg("%s is not in the allocator's range", name);
			seen++;
		}
	}
	return seen;
}

static void test_range_against_debug_symbols(void **state)
{
	static struct ranges ranges;
	int fd, debug_fd;
	struct object o;
	Dl_info info;
	Elf *debug;

	(void)state;
	assert_true(dladdr((void *)gnu_get_libc_version, &info));
	fd = open(info.dli_fname, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(object_open(fd, &o), 0);
	assert_int_equal(ranges_of_glibc(&o, false, &ranges), 0);
	debug_fd = open_debug_file(o.elf);
	if (debug_fd < 0) {
		object_close(&o);
		(void)close(fd);
		print_message("no debug symbols of libc (Debian package libc6-dbg)\n");
		skip();
	}
	debug = elf_begin(debug_fd, ELF_C_READ_MMAP, NULL);
	assert_non_null(debug);
	assert_in_range(check_malloc_symbols(debug, &ranges), 10, 200);
	(void)elf_end(debug);
	(void)close(debug_fd);
	object_close(&o);
	(void)close(fd);
}

static void test_not_elf(void **state)
{
	char path[] = "/tmp/reclaim-test-XXXXXX";
	static const char i386[64] = "\177ELF\1\1\1";
	int fd = mkstemp(path);
	struct object o;

	(void)state;
	assert_true(fd >= 0);
	(void)unlink(path);
	assert_int_equal(object_open(fd, &o), -ENOEXEC); /* empty */
	assert_false(object_is_32bit(fd));
	assert_int_equal(write(fd, i386, sizeof(i386)), sizeof(i386));
	assert_int_equal(object_open(fd, &o), -ENOEXEC);
	assert_true(object_is_32bit(fd));
	(void)close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cfi),
		cmocka_unit_test(test_cfi_deep),
		cmocka_unit_test(test_budget),
		cmocka_unit_test(test_own_libc),
		cmocka_unit_test(test_range_against_debug_symbols),
		cmocka_unit_test(test_not_elf),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
