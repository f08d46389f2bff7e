// SPDX-License-Identifier: GPL-2.0-or-later
#include "remedy/code.h"

#include <errno.h>
#include <string.h>

#define RESTORER_WINDOW 8192
#define CODE_BYTES_MAX 64

const uint8_t code_gadget[CODE_GADGET_LEN] = { 0x0f, 0x05, 0xc3 };

/* Where in [@from, @to) of the file @what of @len bytes is. */
static int code_search(const struct object *o, uint64_t from, uint64_t to, const void *what, size_t len, uint64_t *ret)
{
	const uint8_t *hit;
	const void *text;

	if (to <= from || object_bytes(o, from, to - from, &text) < 0)
		return -ENOENT;
	hit = memmem(text, to - from, what, len);
	if (!hit)
		return -ENOENT;
	*ret = from + (uint64_t)(hit - (const uint8_t *)text);
	return 0;
}

/* __restore_rt has no symbol; it lies beside sigaction(), else somewhere in the text. */
static int code_search_restorer(const struct object *o, uint64_t *ret)
{
	struct object_sym near;
	uint64_t lo, hi;
	int r = object_text(o, &lo, &hi);

	if (r < 0)
		return r;
	if (object_func(o, false, "__sigaction", &near) == 0 || object_func(o, true, "sigaction", &near) == 0) {
		uint64_t from = near.value > RESTORER_WINDOW ? near.value - RESTORER_WINDOW : 0;
		uint64_t to = near.value < UINT64_MAX - RESTORER_WINDOW ? near.value + RESTORER_WINDOW : hi;

		if (code_search(o, MAX(lo, from), MIN(hi, to), arch_restorer, ARCH_RESTORER_LEN, ret) == 0)
			return 0;
	}
	return code_search(o, lo, hi, arch_restorer, ARCH_RESTORER_LEN, ret);
}

int code_at(struct target *t, const struct module *mod, uint64_t vaddr, size_t len, void *ret_bytes, uint64_t *ret)
{
	uint8_t mapped[CODE_BYTES_MAX], file[CODE_BYTES_MAX];
	const void *bytes;
	int r;

	if (len > sizeof(mapped))
		return -EINVAL;
	r = object_bytes(&mod->object, vaddr, len, &bytes);
	if (r < 0)
		return r;
	/* First, so that who hangs for a file that never answers does so without a lock of the target's. */
	memcpy(file, bytes, len);
	r = remote_read(&t->mem, mod->bias + vaddr, mapped, len);
	if (r < 0)
		return r;
	/* What is in the file must be what is in memory, or we have the wrong file. */
	if (memcmp(mapped, file, len))
		return -ESTALE;
	if (ret_bytes)
		memcpy(ret_bytes, mapped, len);
	*ret = mod->bias + vaddr;
	return 0;
}

int code_restorer(const struct remedy_facts *facts, uint64_t *ret)
{
	struct module *libc = facts->allocator.libc;
	uint64_t vaddr = 0;
	int r = module_verify(libc, &facts->target->mem);

	if (r == 0)
		r = code_search_restorer(&libc->object, &vaddr);
	return r < 0 ? r : code_at(facts->target, libc, vaddr, ARCH_RESTORER_LEN, NULL, ret);
}

int code_syscall(const struct remedy_facts *facts, uint64_t *ret)
{
	struct module *libc = facts->allocator.libc;
	uint64_t vaddr = 0, lo, hi;
	int r = module_verify(libc, &facts->target->mem);

	if (r == 0)
		r = object_text(&libc->object, &lo, &hi);
	if (r == 0)
		r = code_search(&libc->object, lo, hi, code_gadget, CODE_GADGET_LEN, &vaddr);
	return r < 0 ? r : code_at(facts->target, libc, vaddr, CODE_GADGET_LEN, NULL, ret);
}

int code_function(const struct remedy_facts *facts, struct module *mod, bool all, const char *name,
		  struct inject_code *ret)
{
	struct inject_code code;
	struct object_sym fn;
	int r = module_load(mod);

	if (r == 0)
		r = object_func(&mod->object, all, name, &fn);
	if (r == 0)
		r = code_restorer(facts, &code.restorer);
	if (r == 0)
		r = module_verify(mod, &facts->target->mem);
	if (r == 0)
		r = code_at(facts->target, mod, fn.value, INJECT_CODE_BYTES, code.fn_bytes, &code.fn);
	if (r == 0)
		*ret = code;
	return r;
}

int code_data(const struct remedy_facts *facts, uint64_t *ret_lo, uint64_t *ret_hi)
{
	const struct module *libc = facts->allocator.libc;
	uint64_t lo, hi;
	int r = object_data(&libc->object, &lo, &hi);

	if (r < 0)
		return r;
	*ret_lo = libc->bias + lo;
	*ret_hi = libc->bias + hi;
	return 0;
}
