/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A process that is an ELF file: the same bytes are its program's file and its memory, so that a made-up state of
 * an interpreter, a heap or a stack is compiled from source, and whatever spoils the file spoils both.
 *
 * It lies where the file says, without a bias. Segments that can be executed are modules. Those that can only be
 * read, behind a writable one, are one private anonymous mapping, with ELF_ROOM bytes behind the last: its heap.
 * The input's last byte says how many pages are not as usual: that many times { u16 page, u8 flags } stand before
 * the byte in front of it, which is the fuzzer's own.
 */
#ifndef RECLAIM_TESTS_ELF_MEMORY_H
#define RECLAIM_TESTS_ELF_MEMORY_H

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "inspect/target.h"

#define ELF_MAPS 8
#define ELF_MAP_MAX (4ull << 20)
#define ELF_ROOM (2ull << 20)
#define ELF_ODD_PAGES 32

struct elf_memory {
	struct target t;
	int fd;
	size_t n;
	struct map maps[ELF_MAPS];
	struct module mods[ELF_MAPS];
	unsigned char *bytes[ELF_MAPS]; /* of each mapping */
	uint8_t *flags[ELF_MAPS]; /* enum remote_page_flags of each of its pages */
};

/* Kept: memory that is new each time costs more than all that is done with it. */
static unsigned char elf_bytes[ELF_MAPS][ELF_MAP_MAX + ELF_ROOM];
static uint8_t elf_flag_bytes[ELF_MAPS][(ELF_MAP_MAX + ELF_ROOM) / REMOTE_PAGE];

static inline size_t elf_map_len(const struct elf_memory *m, size_t i)
{
	return (size_t)(m->maps[i].end - m->maps[i].start);
}

/* NULL unless all of it is in one mapping. */
static inline unsigned char *elf_at(const struct elf_memory *m, uint64_t addr, size_t len)
{
	for (size_t i = 0; i < m->n; i++)
		if (addr >= m->maps[i].start && addr < m->maps[i].end && len <= m->maps[i].end - addr)
			return m->bytes[i] + (addr - m->maps[i].start);
	return NULL;
}

/* Of the page that holds @addr; NULL when there is none. */
static inline uint8_t *elf_flags_at(const struct elf_memory *m, uint64_t addr)
{
	for (size_t i = 0; i < m->n; i++)
		if (addr >= m->maps[i].start && addr < m->maps[i].end)
			return &m->flags[i][(addr - m->maps[i].start) / REMOTE_PAGE];
	return NULL;
}

static inline uint8_t elf_flags(const struct elf_memory *m, uint64_t addr)
{
	const uint8_t *p = elf_flags_at(m, addr);

	return p ? *p : 0;
}

static inline int elf_read(void *ctx, uint64_t addr, void *buf, size_t len)
{
	const unsigned char *p = elf_at(ctx, addr, len);

	if (!p)
		return -EFAULT;
	memcpy(buf, p, len);
	return 0;
}

static inline int elf_pages(void *ctx, uint64_t addr, size_t n, uint8_t *ret)
{
	for (size_t i = 0; i < n; i++, addr += REMOTE_PAGE)
		ret[i] = elf_flags(ctx, addr);
	return 0;
}

static inline void elf_close(struct elf_memory *m)
{
	for (size_t i = 0; i < m->t.mods.n; i++)
		object_close(&m->mods[i].object);
	closep(&m->fd);
}

static inline bool elf_heap_begins(const struct elf_memory *m, const Elf64_Phdr *ph)
{
	bool data = false;

	for (size_t i = 0; i < m->n; i++)
		data |= m->maps[i].flags & MAP_F_WRITE;
	return data && !(ph->p_flags & (PF_W | PF_X));
}

/* The mapping of a segment, or more room in the heap. 0, or -1 when it lies where none can be. */
static inline int elf_map(struct elf_memory *m, const Elf64_Phdr *ph)
{
	const uint64_t lo = ph->p_vaddr & ~(REMOTE_PAGE - 1);
	const bool heap = elf_heap_begins(m, ph);
	struct map *last = m->n ? &m->maps[m->n - 1] : NULL;
	uint64_t hi;

	if (ph->p_vaddr >> 46 || ph->p_memsz > ELF_MAP_MAX || !ph->p_memsz || ph->p_filesz > ph->p_memsz ||
	    (ph->p_vaddr - ph->p_offset) % REMOTE_PAGE || (last && lo < last->end))
		return -1;
	hi = (ph->p_vaddr + ph->p_memsz + REMOTE_PAGE - 1) & ~(REMOTE_PAGE - 1);
	if (last && !last->inode) {
		if (!heap || hi - last->start > ELF_MAP_MAX)
			return -1;
		last->end = hi;
		return 0;
	}
	if (m->n == ELF_MAPS)
		return -1;
	m->maps[m->n++] = (struct map){
		.start = lo,
		.end = hi,
		.offset = heap ? 0 : ph->p_offset & ~(REMOTE_PAGE - 1),
		.inode = heap ? 0 : 7,
		.flags = heap ? MAP_F_READ | MAP_F_WRITE :
				(ph->p_flags & PF_R ? MAP_F_READ : 0u) | (ph->p_flags & PF_W ? MAP_F_WRITE : 0u) |
					 (ph->p_flags & PF_X ? MAP_F_EXEC : 0u),
		.kind = heap ? MAP_KIND_ANON : MAP_KIND_FILE,
		.name = heap ? "" : "/usr/bin/python3",
	};
	return 0;
}

static inline void elf_make(struct elf_memory *m)
{
	struct map *last = &m->maps[m->n - 1];

	if (!last->inode)
		last->end += ELF_ROOM;
	for (size_t i = 0; i < m->n; i++) {
		const bool own = m->maps[i].flags & MAP_F_WRITE;

		m->bytes[i] = elf_bytes[i];
		m->flags[i] = elf_flag_bytes[i];
		memset(m->bytes[i], 0, elf_map_len(m, i));
		memset(m->flags[i], own ? REMOTE_PRESENT : REMOTE_PRESENT | REMOTE_SHARED,
		       elf_map_len(m, i) / REMOTE_PAGE);
		if (m->maps[i].flags & MAP_F_EXEC)
			m->mods[m->t.mods.n++] = (struct module){
				.start = m->maps[i].start,
				.end = m->maps[i].end,
				.offset = m->maps[i].offset,
				.name = m->maps[i].name,
				.fd = m->fd,
			};
	}
}

/* As a kernel does it: whole pages of the file, zeros behind. */
static inline int elf_load(struct elf_memory *m, const uint8_t *data, size_t size, const Elf64_Phdr *ph)
{
	unsigned char *p = elf_at(m, ph->p_vaddr, ph->p_filesz);
	const size_t before = ph->p_vaddr % REMOTE_PAGE;

	if (ph->p_offset > size || ph->p_filesz > size - ph->p_offset || !p || before > ph->p_offset)
		return -1;
	memcpy(p - before, data + ph->p_offset - before, ph->p_filesz + before);
	return 0;
}

static inline void elf_odd_pages(struct elf_memory *m, const uint8_t *data, size_t size)
{
	for (size_t k = 0; k < data[size - 1] && k < ELF_ODD_PAGES && 3 * (k + 1) + 2 < size; k++) {
		const uint8_t *e = data + size - 2 - 3 * (k + 1);
		size_t page = e[0] | (size_t)e[1] << 8;

		for (size_t i = 0; i < m->n; i++) {
			if (page < elf_map_len(m, i) / REMOTE_PAGE) {
				m->flags[i][page] = e[2] & 0xf;
				/* A page of the heap that is nowhere is zero, as the kernel would make it. */
				if (!m->maps[i].inode && !(e[2] & (REMOTE_PRESENT | REMOTE_SWAPPED)))
					memset(m->bytes[i] + page * REMOTE_PAGE, 0, REMOTE_PAGE);
				break;
			}
			page -= elf_map_len(m, i) / REMOTE_PAGE;
		}
	}
}

/* 0, or -1 when no kernel would start such a program, or it is larger than we want. The caller calls elf_close(). */
static inline int elf_open(const uint8_t *data, size_t size, struct elf_memory *m)
{
	Elf64_Phdr ph[32];
	Elf64_Ehdr eh;
	int r = 0;

	*m = (struct elf_memory){ .t = TARGET_CLOSED, .fd = -1 };
	if (size < sizeof(eh))
		return -1;
	memcpy(&eh, data, sizeof(eh));
	if (memcmp(eh.e_ident, ELFMAG, SELFMAG) || !eh.e_phnum || eh.e_phnum > ARRAY_SIZE(ph) || eh.e_phoff > size ||
	    size - eh.e_phoff < eh.e_phnum * sizeof(ph[0]))
		return -1;
	memcpy(ph, data + eh.e_phoff, eh.e_phnum * sizeof(ph[0]));
	for (size_t i = 0; r == 0 && i < eh.e_phnum; i++)
		if (ph[i].p_type == PT_LOAD)
			r = elf_map(m, &ph[i]);
	if (r < 0 || !m->n) {
		m->n = 0;
		return -1;
	}
	m->fd = memfd_create("elf", MFD_CLOEXEC);
	if (m->fd < 0 || write(m->fd, data, size) != (ssize_t)size)
		abort();
	elf_make(m);
	for (size_t i = 0; r == 0 && i < eh.e_phnum; i++)
		if (ph[i].p_type == PT_LOAD)
			r = elf_load(m, data, size, &ph[i]);
	if (r < 0) {
		elf_close(m);
		return -1;
	}
	elf_odd_pages(m, data, size);
	m->t.maps = (struct maps){ .v = m->maps, .n = m->n };
	m->t.mods.v = m->mods;
	m->t.at_entry = eh.e_entry;
	m->t.mem = (struct remote){ .read = elf_read, .pages = elf_pages, .ctx = m };
	return 0;
}

/* Words that are something, a page's place, or whatever libFuzzer thinks of: it alone hardly ever meets a pointer. */
static inline size_t elf_spoil(uint8_t *data, size_t size, size_t max, unsigned int seed)
{
	uint64_t s = fuzz_seed(seed), n = 1 + fuzz_random(&s) % 4;

	if (size < 2048 || fuzz_random(&s) % 16 == 0)
		return LLVMFuzzerMutate(data, size, max);
	if (fuzz_random(&s) % 8 == 0 && size + 3 <= max && data[size - 1] < ELF_ODD_PAGES) {
		const uint64_t v = fuzz_random(&s);
		const uint8_t tail[] = { (uint8_t)(v % 300), (uint8_t)(v % 300 >> 8), (uint8_t)(v >> 32 & 15),
					 (uint8_t)(v & 1 << 20 ? v >> 40 : data[size - 2]),
					 (uint8_t)(data[size - 1] + 1) };

		memcpy(data + size - 2, tail, sizeof(tail));
		return size + 3;
	}
	for (uint64_t i = 0, tries = 0; i < n && tries < 1000; tries++) {
		/* The headers are a kilobyte of it: seldom those. */
		const size_t at = (fuzz_random(&s) % 8 ? 1024 : 0) + fuzz_random(&s) % (size / 8 - 128) * 8;
		uint64_t old, v;

		if (at > size - sizeof(v))
			continue;
		memcpy(&old, data + at, sizeof(old));
		if (!old && fuzz_random(&s) % 64)
			continue;
		v = fuzz_word(data, size, old, &s);
		memcpy(data + at, &v, fuzz_random(&s) % 4 ? sizeof(v) : 4);
		i++;
	}
	return size;
}

#endif
