// SPDX-License-Identifier: GPL-2.0-or-later
/* FUZZ: -max_len=65536 */
/*
 * The front end for ELF files, over a file that somebody has made up: whatever
 * it says of itself ends in time, and what comes out lies within the file.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "inspect/object.h"
#include "inspect/ranges.h"

static uint64_t sum; /* of all bytes that are pointed to: each must be there */

static void touch(const void *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		sum += ((const unsigned char *)p)[i];
}

static int on_func(void *ctx, const struct object_sym *sym)
{
	size_t *n = ctx;

	touch(sym->name, strlen(sym->name) + 1);
	return ++*n > 100000;
}

static int on_reloc(void *ctx, uint64_t vaddr, uint64_t addend)
{
	size_t *n = ctx;

	sum += vaddr ^ addend;
	return ++*n > 100000;
}

static void symbols(const struct object *o)
{
	static const char *const names[] = { "malloc", "free", "malloc_trim", "", "main_arena", "_start" };
	struct object_sym sym;
	size_t n = 0;
	uint64_t v;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		for (int all = 0; all < 2; all++) {
			if (object_func(o, all, names[i], &sym) == 0)
				MUST(!strcmp(sym.name, names[i]));
			if (object_var(o, all, names[i], &sym) == 0)
				MUST(!strcmp(sym.name, names[i]));
		}
		if (object_import_slot(o, names[i], &v) == 0 || object_import_stub(o, names[i], &v) == 0)
			sum += v;
	}
	MUST(object_funcs(o, true, on_func, &n) >= 0);
	n = 0;
	MUST(object_relatives(o, on_reloc, &n) >= 0);
	n = 0;
	MUST(object_tls_slots(o, on_reloc, &n) >= 0);
}

static void places(const struct object *o)
{
	static const char *const sections[] = { ".rodata", ".text", ".data", "" };
	const unsigned char *p;
	const void *bytes;
	struct ranges ranges;
	uint64_t lo, hi;
	size_t len;

	if (object_bias(o, 0x7f0000000000, 0x1000, &lo) == 0)
		sum += lo;
	if (object_headers(o, &lo, &bytes, &len) == 0)
		touch(bytes, len);
	if (object_text(o, &lo, &hi) == 0) {
		MUST(lo < hi);
		if (object_bytes(o, lo, MIN(hi - lo, (uint64_t)64), &bytes) == 0)
			touch(bytes, MIN(hi - lo, (uint64_t)64));
	}
	if (object_data(o, &lo, &hi) == 0)
		MUST(lo < hi);
	for (size_t i = 0; i < 300 && object_data_bytes(o, i, &lo, &p, &len) == 0; i++)
		touch(p, len);
	for (size_t i = 0; i < ARRAY_SIZE(sections); i++) {
		if (object_section_bytes(o, sections[i], &p, &len) == 0)
			touch(p, len);
		sum += object_has_section(o, sections[i]);
	}
	if (object_tls(o, &lo, &hi) == 0)
		sum += lo + hi;
	for (int all = 0; all < 2; all++)
		if (ranges_of_glibc(o, all, &ranges) == 0)
			MUST(ranges.n > 0 && ranges.n <= RANGES_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("elf", MFD_CLOEXEC);
	struct object o;

	MUST(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	sum += object_is_32bit(fd);
	if (object_open(fd, &o) == 0) {
		symbols(&o);
		places(&o);
		object_close(&o);
	}
	(void)close(fd);
	return 0;
}
