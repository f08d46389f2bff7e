/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One ELF file of the target, read through libelf from an open fd. The file
 * is hostile: libelf checks offsets against the file's size, we bound counts.
 */
#ifndef RECLAIM_INSPECT_OBJECT_H
#define RECLAIM_INSPECT_OBJECT_H

#include <elfutils/libdw.h>
#include <gelf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

struct object {
	Elf *elf;
	Dwarf_CFI *cfi; /* opened on first use */
	bool cfi_tried;
	GElf_Ehdr ehdr;
	size_t nphdr;
};

struct object_sym {
	const char *name; /* lives in the object */
	uint64_t value, size;
	bool local;
};

/* 64-bit x86-64 executables and libraries only: -ENOEXEC otherwise (also when malformed). @fd must outlive it. */
int object_open(int fd, struct object *ret) __must_check;
/* Does an ELF file that object_open() refused use 32-bit addresses (i386, x32)? */
bool object_is_32bit(int fd);
void object_close(struct object *o); /* accepts zeroed and closed ones */

/* Frame information of .eh_frame, or NULL. */
Dwarf_CFI *object_cfi(struct object *o);

/* Load bias of a mapping of file offset @offset at @start: -ENOENT when no segment fits. */
int object_bias(const struct object *o, uint64_t start, uint64_t offset, uint64_t *ret) __must_check;

/* Where the file's own headers are in memory relative to the bias: -ENOENT when they aren't loaded. */
int object_headers(const struct object *o, uint64_t *ret_vaddr, const void **ret_bytes, size_t *ret_len) __must_check;

/* Bytes of the file at virtual address @vaddr: -ENOENT. The pointer lives in the object. */
int object_bytes(const struct object *o, uint64_t vaddr, size_t len, const void **ret) __must_check;

/* Address range of the executable segments. */
int object_text(const struct object *o, uint64_t *ret_lo, uint64_t *ret_hi) __must_check;
/* Address range of the writable segments. */
int object_data(const struct object *o, uint64_t *ret_lo, uint64_t *ret_hi) __must_check;

/*
 * The part of the @n-th writable segment that the file holds: -ENOENT when there is
 * none, or it is empty. The pointer lives in the object.
 */
int object_data_bytes(const struct object *o, size_t n, uint64_t *ret_vaddr, const unsigned char **ret, size_t *ret_len)
	__must_check;

/* Thread-local storage: -ENOENT when it has none. */
int object_tls(const struct object *o, uint64_t *ret_size, uint64_t *ret_align) __must_check;

/*
 * Walks the places that are to hold the object's own address plus @addend
 * (RELA and RELR), or @addend plus the offset of its TLS block from the thread
 * pointer. visit() returns 0 to go on; anything else ends the walk.
 */
typedef int (*object_reloc_visit)(void *ctx, uint64_t vaddr, uint64_t addend);
int object_relatives(const struct object *o, object_reloc_visit visit, void *ctx) __must_check;
int object_tls_slots(const struct object *o, object_reloc_visit visit, void *ctx) __must_check;

/* The bytes of section @name as the file has them: -ENOENT. The pointer lives in the object. */
int object_section_bytes(const struct object *o, const char *name, const unsigned char **ret, size_t *ret_len)
	__must_check;

bool object_has_section(const struct object *o, const char *name);

/*
 * Walks defined function symbols: SHT_DYNSYM, or SHT_SYMTAB too when @all.
 * visit() returns 0 to go on; anything else ends the walk and is returned.
 */
int object_funcs(const struct object *o, bool all, int (*visit)(void *ctx, const struct object_sym *sym), void *ctx)
	__must_check;

/* The first function of that name: 0 or -ENOENT. */
int object_func(const struct object *o, bool all, const char *name, struct object_sym *ret) __must_check;

/* The same for a variable. */
int object_var(const struct object *o, bool all, const char *name, struct object_sym *ret) __must_check;

/* Address (without bias) of the slot that the dynamic linker fills with the address of @name: 0 or -ENOENT. */
int object_import_slot(const struct object *o, const char *name, uint64_t *ret) __must_check;

/*
 * The stub that stands for an imported function in a program that takes its
 * address (not position-independent: an undefined symbol with a value). Every
 * other object then gets the stub when it asks for @name. 0 or -ENOENT.
 */
int object_import_stub(const struct object *o, const char *name, uint64_t *ret) __must_check;

#endif
