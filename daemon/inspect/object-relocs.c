// SPDX-License-Identifier: GPL-2.0-or-later
/* What an ELF file says about its data before it is loaded: contents, relocations, thread-local storage. */
#include "inspect/object.h"

#include <errno.h>
#include <string.h>

#include "inspect/trouble.h"

#define RELOCS_MAX 4000000u
#define SEGMENT_MAX (256ull << 20)
#define SEGMENTS_MAX 8

#ifndef SHT_RELR
#define SHT_RELR 19 /* generic ABI, 2018 */
#endif

int object_data_bytes(const struct object *o, size_t n, uint64_t *ret_vaddr, const unsigned char **ret, size_t *ret_len)
{
	for (size_t i = 0; i < o->nphdr; i++) {
		const void *bytes;
		GElf_Phdr ph;
		int r;

		if (!gelf_getphdr(o->elf, (int)i, &ph) || ph.p_type != PT_LOAD || !(ph.p_flags & PF_W))
			continue;
		if (n--)
			continue;
		if (!ph.p_filesz || ph.p_filesz > SEGMENT_MAX)
			return -ENOENT;
		r = object_bytes(o, ph.p_vaddr, ph.p_filesz, &bytes);
		if (r < 0)
			return r;
		*ret_vaddr = ph.p_vaddr;
		*ret = bytes;
		*ret_len = ph.p_filesz;
		return 0;
	}
	return -ENOENT;
}

int object_tls(const struct object *o, uint64_t *ret_size, uint64_t *ret_align)
{
	for (size_t i = 0; i < o->nphdr; i++) {
		GElf_Phdr ph;

		if (!gelf_getphdr(o->elf, (int)i, &ph) || ph.p_type != PT_TLS)
			continue;
		*ret_size = ph.p_memsz;
		*ret_align = MAX(ph.p_align, 1u);
		return 0;
	}
	return -ENOENT;
}

int object_section_bytes(const struct object *o, const char *name, const unsigned char **ret, size_t *ret_len)
{
	Elf_Scn *scn = NULL;
	size_t strndx;

	errno = 0;
	if (elf_getshdrstrndx(o->elf, &strndx) < 0)
		return trouble_note(errno, -ENOENT);
	while ((scn = elf_nextscn(o->elf, scn)) != NULL) {
		GElf_Shdr sh;
		const char *s = gelf_getshdr(scn, &sh) ? elf_strptr(o->elf, strndx, sh.sh_name) : NULL;
		const Elf_Data *data = s && !strcmp(s, name) && sh.sh_type != SHT_NOBITS ? elf_rawdata(scn, NULL) :
											   NULL;

		if (!data || !data->d_buf || !data->d_size)
			continue;
		*ret = data->d_buf;
		*ret_len = data->d_size;
		return 0;
	}
	return trouble_note(errno, -ENOENT);
}

static int relocs_rela(const Elf_Data *data, uint32_t type, object_reloc_visit visit, void *ctx)
{
	size_t n = MIN(data->d_size / sizeof(Elf64_Rela), (size_t)RELOCS_MAX);

	for (size_t i = 0; i < n; i++) {
		Elf64_Rela rela;
		int r;

		/* A hostile section may begin at any byte. */
		memcpy(&rela, (const unsigned char *)data->d_buf + i * sizeof(rela), sizeof(rela));
		if (ELF64_R_TYPE(rela.r_info) != type || ELF64_R_SYM(rela.r_info))
			continue;
		r = visit(ctx, rela.r_offset, (uint64_t)rela.r_addend);
		if (r != 0)
			return r;
	}
	return 0;
}

/* The writable segments, fetched once: relocations may be many. */
struct relr {
	struct {
		uint64_t vaddr;
		const unsigned char *bytes;
		size_t len;
	} data[SEGMENTS_MAX];
	size_t n;
	object_reloc_visit visit;
	void *ctx;
};

/* RELR keeps the addend in the place itself. One outside of the data (no valid file has any) is passed over. */
static int relr_place(const struct relr *w, uint64_t vaddr)
{
	for (size_t i = 0; i < w->n; i++) {
		uint64_t at = vaddr - w->data[i].vaddr, addend;

		if (vaddr < w->data[i].vaddr || w->data[i].len < sizeof(addend) || at > w->data[i].len - sizeof(addend))
			continue;
		memcpy(&addend, w->data[i].bytes + at, sizeof(addend));
		return w->visit(w->ctx, vaddr, addend);
	}
	return 0;
}

/* An even word is an address; an odd one is a bitmap of the 63 words that follow the last place. */
static int relr_walk(const struct relr *w, const Elf_Data *data)
{
	size_t n = MIN(data->d_size / sizeof(uint64_t), (size_t)RELOCS_MAX);
	uint64_t next = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t word;
		int r = 0;

		memcpy(&word, (const unsigned char *)data->d_buf + i * sizeof(word), sizeof(word));
		if (!(word & 1)) {
			r = relr_place(w, word);
			next = word + sizeof(word);
		}
		for (unsigned int bit = 1; (word & 1) && bit < 64 && r == 0; bit++)
			if (word >> bit & 1)
				r = relr_place(w, next + (bit - 1) * sizeof(word));
		if (word & 1)
			next += 63 * sizeof(word);
		if (r != 0)
			return r;
	}
	return 0;
}

static int object_relocs(const struct object *o, uint32_t type, bool relr, object_reloc_visit visit, void *ctx)
{
	struct relr w = { .visit = visit, .ctx = ctx };
	Elf_Scn *scn = NULL;

	while (relr && w.n < SEGMENTS_MAX &&
	       object_data_bytes(o, w.n, &w.data[w.n].vaddr, &w.data[w.n].bytes, &w.data[w.n].len) == 0)
		w.n++;
	while ((scn = elf_nextscn(o->elf, scn)) != NULL) {
		const Elf_Data *data;
		GElf_Shdr sh;
		int r;

		if (!gelf_getshdr(scn, &sh) || (sh.sh_type != SHT_RELA && !(relr && sh.sh_type == SHT_RELR)))
			continue;
		errno = 0;
		data = elf_rawdata(scn, NULL);
		if (!data || !data->d_buf) {
			trouble_see(errno);
			continue;
		}
		r = sh.sh_type == SHT_RELR ? relr_walk(&w, data) : relocs_rela(data, type, visit, ctx);
		if (r != 0)
			return r;
	}
	return 0;
}

int object_relatives(const struct object *o, object_reloc_visit visit, void *ctx)
{
	return object_relocs(o, R_X86_64_RELATIVE, true, visit, ctx);
}

int object_tls_slots(const struct object *o, object_reloc_visit visit, void *ctx)
{
	return object_relocs(o, R_X86_64_TPOFF64, false, visit, ctx);
}
