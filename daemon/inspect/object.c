// SPDX-License-Identifier: GPL-2.0-or-later
#include "inspect/object.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "inspect/trouble.h"

#define PAGE 4096ull
#define PHDRS_MAX 256
#define SHDRS_MAX 4096
#define SPARSE_MIN (16ll << 20)
#define SYMS_MAX 4000000u

/* A file that is mostly holes is no program: reading it only makes memory out of nothing. */
static bool object_is_sparse(int fd)
{
	struct stat st;

	return fstat(fd, &st) < 0 || (st.st_size > SPARSE_MIN && st.st_blocks < st.st_size / 512 / 4);
}

int object_open(int fd, struct object *ret)
{
	struct object o = { 0 };
	size_t nshdr;

	errno = 0;
	if (object_is_sparse(fd))
		return trouble_note(errno, -ENOEXEC);
	if (elf_version(EV_CURRENT) == EV_NONE)
		return -ENOSYS;
	o.elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
	if (!o.elf)
		return trouble_note(errno, -ENOEXEC);
	if (elf_kind(o.elf) != ELF_K_ELF || !gelf_getehdr(o.elf, &o.ehdr) || gelf_getclass(o.elf) != ELFCLASS64 ||
	    o.ehdr.e_machine != EM_X86_64 || elf_getphdrnum(o.elf, &o.nphdr) < 0 || o.nphdr > PHDRS_MAX ||
	    elf_getshdrnum(o.elf, &nshdr) < 0 || nshdr > SHDRS_MAX) {
		trouble_see(errno);
		object_close(&o);
		return -ENOEXEC;
	}
	*ret = o;
	return 0;
}

bool object_is_32bit(int fd)
{
	unsigned char ident[EI_NIDENT];

	return pread(fd, ident, sizeof(ident), 0) == sizeof(ident) && !memcmp(ident, ELFMAG, SELFMAG) &&
	       ident[EI_CLASS] == ELFCLASS32;
}

void object_close(struct object *o)
{
	if (o->cfi)
		(void)dwarf_cfi_end(o->cfi);
	if (o->elf)
		(void)elf_end(o->elf);
	*o = (struct object){ 0 };
}

Dwarf_CFI *object_cfi(struct object *o)
{
	/* From the ELF file rather than the debug info: its CFI (.eh_frame) needs no end of its own. */
	errno = 0;
	if (!o->cfi_tried)
		o->cfi = dwarf_getcfi_elf(o->elf);
	if (!o->cfi_tried && !o->cfi)
		trouble_see(errno);
	o->cfi_tried = true;
	return o->cfi;
}

static bool object_load(const struct object *o, size_t i, GElf_Phdr *ret)
{
	return gelf_getphdr(o->elf, (int)i, ret) && ret->p_type == PT_LOAD;
}

int object_bias(const struct object *o, uint64_t start, uint64_t offset, uint64_t *ret)
{
	for (size_t i = 0; i < o->nphdr; i++) {
		uint64_t from;
		GElf_Phdr ph;

		if (!object_load(o, i, &ph) || !(ph.p_flags & PF_X))
			continue;
		/* The text may be mapped in pieces, after mprotect() or mlock() of a part. */
		from = ph.p_offset & ~(PAGE - 1);
		if (offset < from || offset - from >= ph.p_filesz + (ph.p_offset - from))
			continue;
		*ret = start - (offset - from) - (ph.p_vaddr & ~(PAGE - 1));
		return 0;
	}
	return -ENOENT;
}

int object_bytes(const struct object *o, uint64_t vaddr, size_t len, const void **ret)
{
	for (size_t i = 0; i < o->nphdr; i++) {
		const Elf_Data *data;
		GElf_Phdr ph;

		if (!object_load(o, i, &ph) || vaddr < ph.p_vaddr || vaddr - ph.p_vaddr > ph.p_filesz ||
		    ph.p_filesz - (vaddr - ph.p_vaddr) < len)
			continue;
		errno = 0;
		data = elf_getdata_rawchunk(o->elf, (int64_t)(ph.p_offset + (vaddr - ph.p_vaddr)), len, ELF_T_BYTE);
		if (!data || !data->d_buf || data->d_size != len)
			return trouble_note(errno, -ENOENT);
		*ret = data->d_buf;
		return 0;
	}
	return -ENOENT;
}

int object_headers(const struct object *o, uint64_t *ret_vaddr, const void **ret_bytes, size_t *ret_len)
{
	for (size_t i = 0; i < o->nphdr; i++) {
		size_t len = sizeof(Elf64_Ehdr) + o->nphdr * sizeof(Elf64_Phdr);
		const void *bytes;
		GElf_Phdr ph;
		int r;

		if (!object_load(o, i, &ph) || ph.p_offset != 0)
			continue;
		len = MIN(len, ph.p_filesz);
		r = object_bytes(o, ph.p_vaddr, len, &bytes);
		if (r < 0)
			return r;
		*ret_vaddr = ph.p_vaddr;
		*ret_bytes = bytes;
		*ret_len = len;
		return 0;
	}
	return -ENOENT;
}

static int object_extent(const struct object *o, uint32_t flag, uint64_t *ret_lo, uint64_t *ret_hi)
{
	uint64_t lo = UINT64_MAX, hi = 0;

	for (size_t i = 0; i < o->nphdr; i++) {
		GElf_Phdr ph;

		if (!object_load(o, i, &ph) || !(ph.p_flags & flag) || ph.p_memsz > UINT64_MAX - ph.p_vaddr)
			continue;
		lo = MIN(lo, ph.p_vaddr);
		hi = MAX(hi, ph.p_vaddr + ph.p_memsz);
	}
	if (lo >= hi)
		return -ENOENT;
	*ret_lo = lo;
	*ret_hi = hi;
	return 0;
}

int object_text(const struct object *o, uint64_t *ret_lo, uint64_t *ret_hi)
{
	return object_extent(o, PF_X, ret_lo, ret_hi);
}

int object_data(const struct object *o, uint64_t *ret_lo, uint64_t *ret_hi)
{
	return object_extent(o, PF_W, ret_lo, ret_hi);
}

/* The next section of @type after @scn (NULL: the first). */
static Elf_Scn *object_section(const struct object *o, Elf_Scn *scn, uint32_t type, GElf_Shdr *ret)
{
	errno = 0;
	while ((scn = elf_nextscn(o->elf, scn)) != NULL)
		if (gelf_getshdr(scn, ret) && ret->sh_type == type)
			return scn;
	trouble_see(errno);
	return NULL;
}

/* What is in it; @scn may be NULL. */
static const Elf_Data *object_data_of(Elf_Scn *scn)
{
	const Elf_Data *data;

	errno = 0;
	data = scn ? elf_getdata(scn, NULL) : NULL;
	if (!data)
		trouble_see(errno);
	return data;
}

bool object_has_section(const struct object *o, const char *name)
{
	Elf_Scn *scn = NULL;
	size_t strndx;

	errno = 0;
	if (elf_getshdrstrndx(o->elf, &strndx) < 0)
		return trouble_note(errno, false);
	while ((scn = elf_nextscn(o->elf, scn)) != NULL) {
		GElf_Shdr sh;
		const char *s = gelf_getshdr(scn, &sh) ? elf_strptr(o->elf, strndx, sh.sh_name) : NULL;

		if (s && !strcmp(s, name))
			return true;
	}
	return trouble_note(errno, false);
}

struct symtab {
	const Elf64_Sym *syms;
	size_t n;
	const char *names;
	size_t names_len; /* the last byte is NUL */
};

static int symtab_of(const struct object *o, uint32_t type, struct symtab *ret)
{
	GElf_Shdr sh;
	Elf_Scn *scn = object_section(o, NULL, type, &sh);
	const Elf_Data *data = object_data_of(scn);
	const Elf_Data *str = object_data_of(scn ? elf_getscn(o->elf, sh.sh_link) : NULL);

	if (!data || !data->d_buf || data->d_type != ELF_T_SYM)
		return -ENOENT;
	if (!str || !str->d_buf || !str->d_size || ((const char *)str->d_buf)[str->d_size - 1])
		return -ENOENT;
	*ret = (struct symtab){
		.syms = data->d_buf,
		.n = MIN(data->d_size / sizeof(Elf64_Sym), (size_t)SYMS_MAX),
		.names = str->d_buf,
		.names_len = str->d_size,
	};
	return 0;
}

static const char *symtab_name(const struct symtab *t, const Elf64_Sym *sym)
{
	return sym->st_name < t->names_len ? t->names + sym->st_name : "";
}

static bool symtab_is_func(const Elf64_Sym *sym)
{
	unsigned int kind = ELF64_ST_TYPE(sym->st_info);

	return (kind == STT_FUNC || kind == STT_GNU_IFUNC) && sym->st_shndx != SHN_UNDEF;
}

static bool symtab_is_var(const Elf64_Sym *sym)
{
	return ELF64_ST_TYPE(sym->st_info) == STT_OBJECT && sym->st_shndx != SHN_UNDEF;
}

static struct object_sym symtab_sym(const struct symtab *t, const Elf64_Sym *sym)
{
	return (struct object_sym){
		.name = symtab_name(t, sym),
		.value = sym->st_value,
		.size = sym->st_size,
		.local = ELF64_ST_BIND(sym->st_info) == STB_LOCAL,
	};
}

static int object_table(const struct object *o, uint32_t type, int (*visit)(void *ctx, const struct object_sym *sym),
			void *ctx)
{
	struct symtab t;

	if (symtab_of(o, type, &t) < 0)
		return 0;
	for (size_t i = 0; i < t.n; i++) {
		struct object_sym sym = symtab_sym(&t, &t.syms[i]);
		int r = symtab_is_func(&t.syms[i]) ? visit(ctx, &sym) : 0;

		if (r != 0)
			return r;
	}
	return 0;
}

int object_funcs(const struct object *o, bool all, int (*visit)(void *ctx, const struct object_sym *sym), void *ctx)
{
	int r = object_table(o, SHT_DYNSYM, visit, ctx);

	return r == 0 && all ? object_table(o, SHT_SYMTAB, visit, ctx) : r;
}

static uint32_t gnu_hash(const char *name)
{
	uint32_t h = 5381;

	for (const unsigned char *p = (const unsigned char *)name; *p; p++)
		h = h * 33 + *p;
	return h;
}

/* The file's own table: -ENOENT not in it, -ENOTSUP there is no usable one. */
static int object_sym_hashed(const struct object *o, const struct symtab *t, bool (*is)(const Elf64_Sym *sym),
			     const char *name, const Elf64_Sym **ret)
{
	GElf_Shdr sh;
	const Elf_Data *data = object_data_of(object_section(o, NULL, SHT_GNU_HASH, &sh));
	const uint32_t *w = data ? data->d_buf : NULL;
	size_t words = w ? data->d_size / 4 : 0;
	uint32_t h = gnu_hash(name), i;

	/* nbuckets, symoffset, bloom_size (64-bit words), bloom_shift, bloom, buckets, chains */
	if (words < 4 || !w[0] || w[2] > words / 2 || w[0] > words || 4 + 2ull * w[2] + w[0] > words)
		return -ENOTSUP;
	i = w[4 + 2 * w[2] + h % w[0]];
	if (i < w[1])
		return -ENOENT;
	for (const uint32_t *chain = w + 4 + 2 * w[2] + w[0]; i < t->n && chain + (i - w[1]) < w + words; i++) {
		uint32_t c = chain[i - w[1]];

		if ((c | 1) == (h | 1) && is(&t->syms[i]) && !strcmp(symtab_name(t, &t->syms[i]), name)) {
			*ret = &t->syms[i];
			return 0;
		}
		if (c & 1)
			break;
	}
	return -ENOENT;
}

static int object_sym_linear(const struct symtab *t, bool (*is)(const Elf64_Sym *sym), const char *name,
			     const Elf64_Sym **ret)
{
	for (size_t i = 0; i < t->n; i++) {
		if (is(&t->syms[i]) && !strcmp(symtab_name(t, &t->syms[i]), name)) {
			*ret = &t->syms[i];
			return 0;
		}
	}
	return -ENOENT;
}

static int object_sym_find(const struct object *o, bool all, bool (*is)(const Elf64_Sym *sym), const char *name,
			   struct object_sym *ret)
{
	const Elf64_Sym *sym;
	struct symtab t;
	int r = symtab_of(o, SHT_DYNSYM, &t);

	if (r == 0) {
		r = object_sym_hashed(o, &t, is, name, &sym);
		if (r == -ENOTSUP)
			r = object_sym_linear(&t, is, name, &sym);
	}
	if (r < 0 && all) {
		r = symtab_of(o, SHT_SYMTAB, &t);
		if (r == 0)
			r = object_sym_linear(&t, is, name, &sym);
	}
	if (r < 0)
		return r;
	*ret = symtab_sym(&t, sym);
	return 0;
}

int object_func(const struct object *o, bool all, const char *name, struct object_sym *ret)
{
	return object_sym_find(o, all, symtab_is_func, name, ret);
}

int object_var(const struct object *o, bool all, const char *name, struct object_sym *ret)
{
	return object_sym_find(o, all, symtab_is_var, name, ret);
}

int object_import_stub(const struct object *o, const char *name, uint64_t *ret)
{
	struct symtab t;
	int r = symtab_of(o, SHT_DYNSYM, &t);

	for (size_t i = 0; r == 0 && i < t.n; i++) {
		if (t.syms[i].st_shndx == SHN_UNDEF && t.syms[i].st_value &&
		    !strcmp(symtab_name(&t, &t.syms[i]), name)) {
			*ret = t.syms[i].st_value;
			return 0;
		}
	}
	return -ENOENT;
}

static bool object_rela_names(const struct object *o, const Elf_Data *syms, size_t strndx, const Elf64_Rela *rela,
			      const char *name)
{
	uint32_t type = ELF64_R_TYPE(rela->r_info);
	const char *s;
	GElf_Sym sym;

	if (type != R_X86_64_GLOB_DAT && type != R_X86_64_JUMP_SLOT)
		return false;
	if (!gelf_getsym((Elf_Data *)syms, (int)ELF64_R_SYM(rela->r_info), &sym))
		return false;
	errno = 0;
	s = elf_strptr(o->elf, strndx, sym.st_name);
	if (!s)
		return trouble_note(errno, false);
	return !strcmp(s, name);
}

int object_import_slot(const struct object *o, const char *name, uint64_t *ret)
{
	GElf_Shdr dynsym, sh;
	const Elf_Data *syms = object_data_of(object_section(o, NULL, SHT_DYNSYM, &dynsym));
	Elf_Scn *scn;

	if (!syms)
		return -ENOENT;
	for (scn = NULL; (scn = object_section(o, scn, SHT_RELA, &sh)) != NULL;) {
		const Elf_Data *data = object_data_of(scn);
		const Elf64_Rela *rela = data && data->d_type == ELF_T_RELA ? data->d_buf : NULL;
		size_t n = rela ? data->d_size / sizeof(*rela) : 0;

		for (size_t i = 0; i < n; i++) {
			if (object_rela_names(o, syms, dynsym.sh_link, &rela[i], name)) {
				*ret = rela[i].r_offset;
				return 0;
			}
		}
	}
	return -ENOENT;
}
