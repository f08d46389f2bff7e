// SPDX-License-Identifier: GPL-2.0-or-later
#include "inspect/cpython.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "inspect/cpython-data.h"
#include "inspect/cpython-layout.h"
#include "inspect/cpython-roots.h"

static const char *const func_names[CPYTHON_NFUNCS] = {
	[CPYTHON_GILSTATE_ENSURE] = "PyGILState_Ensure",
	[CPYTHON_GILSTATE_RELEASE] = "PyGILState_Release",
	[CPYTHON_GILSTATE_CHECK] = "PyGILState_Check",
	[CPYTHON_RUN_SIMPLE_STRING] = "PyRun_SimpleString",
	[CPYTHON_ADD_PENDING_CALL] = "Py_AddPendingCall",
	[CPYTHON_GC_COLLECT] = "PyGC_Collect",
	[CPYTHON_GC_ENABLE] = "PyGC_Enable",
	[CPYTHON_GC_DISABLE] = "PyGC_Disable",
	[CPYTHON_CALL_FINALIZER] = "PyObject_CallFinalizerFromDealloc",
	[CPYTHON_CALL_NO_ARGS] = "PyObject_CallNoArgs",
};

/* Before 3.11 no variable tells the version; functions that are new in one do (their documentation's "New in"). */
static const struct {
	uint16_t minor;
	const char *func;
} version_marks[] = {
	{ 0x030a, "PyModule_AddObjectRef" },
	{ 0x0309, "PyFrame_GetBack" },
	{ 0x0308, "PyCode_NewWithPosOnlyArgs" },
};

#define MINOR_FIRST 0x0308
#define MINOR_LAST 0x030f
#define TRIES 3

const char *cpython_version_text(uint32_t version, char *buf)
{
	static const char *const levels[] = { [0xa] = "a", [0xb] = "b", [0xc] = "rc" };
	const unsigned int major = version >> 24, minor = version >> 16 & 0xff, micro = version >> 8 & 0xff;
	const unsigned int level = version >> 4 & 0xf, serial = version & 0xf;

	if (!(version & 0xffff))
		text_format(buf, 24, "%u.%u", major, minor);
	else if (level < ARRAY_SIZE(levels) && levels[level])
		text_format(buf, 24, "%u.%u.%u%s%u", major, minor, micro, levels[level], serial);
	else
		text_format(buf, 24, "%u.%u.%u", major, minor, micro);
	return buf;
}

/* The micro version before 3.11: the one string of that form in .rodata, PY_VERSION of Include/patchlevel.h. */
static uint32_t version_micro(const struct object *o, uint16_t minor)
{
	uint32_t found = 0;
	const unsigned char *p;
	char want[16];
	size_t len;

	if (object_section_bytes(o, ".rodata", &p, &len) < 0)
		return 0;
	text_format(want, sizeof(want), "%u.%u.", minor >> 8, minor & 0xffu);
	for (const unsigned char *end = p + len; p < end;) {
		const unsigned char *hit = memmem(p, (size_t)(end - p), want, strlen(want)), *s;
		uint32_t micro = 0;

		if (!hit)
			break;
		p = hit + 1;
		for (s = hit + strlen(want); s < end && *s >= '0' && *s <= '9' && micro < 100; s++)
			micro = micro * 10 + (uint32_t)(*s - '0');
		if (s == end || *s || s == hit + strlen(want) || micro > 255 || hit == end - len || hit[-1])
			continue;
		if (found && found != micro)
			return 0;
		found = micro;
	}
	return found ? found << 8 | 0xf0 : 0;
}

static int version_of(struct target *t, const struct module *mod, bool all, uint32_t *ret)
{
	struct object_sym sym;
	const void *bytes;
	uint32_t file, memory;

	if (object_var(&mod->object, all, "Py_Version", &sym) == 0) {
		/* Since 3.11: const unsigned long Py_Version. */
		int r = object_bytes(&mod->object, sym.value, sizeof(file), &bytes);

		if (r < 0)
			return -EBADMSG;
		memcpy(&file, bytes, sizeof(file));
		r = cpython_peek(t, mod->bias + sym.value, &memory, sizeof(memory));
		if (r < 0)
			return r;
		*ret = file;
		return file == memory ? 0 : -EBADMSG;
	}
	for (size_t i = 0; i < ARRAY_SIZE(version_marks); i++) {
		if (object_func(&mod->object, all, version_marks[i].func, &sym) == 0) {
			*ret = (uint32_t)version_marks[i].minor << 16 |
			       version_micro(&mod->object, version_marks[i].minor);
			return 0;
		}
	}
	return -ENOTSUP;
}

/* The one object that defines the interpreter. A static program names it in its full symbol table, if at all. */
static int find_module(struct target *t, struct module **ret, bool *ret_all)
{
	struct module *program = target_program(t);
	struct module *found = NULL;
	struct object_sym sym;

	*ret_all = false;
	for (size_t i = 0; i < t->mods.n; i++) {
		struct module *mod = &t->mods.v[i];

		if (module_load(mod) < 0 || object_func(&mod->object, false, "PyGILState_Ensure", &sym) < 0 ||
		    object_var(&mod->object, false, "_PyRuntime", &sym) < 0)
			continue;
		if (found && !module_same(found, mod))
			return -EEXIST;
		found = found ? found : mod;
	}
	if (!found && program && module_load(program) == 0 &&
	    object_func(&program->object, true, "PyGILState_Ensure", &sym) == 0 &&
	    object_var(&program->object, true, "_PyRuntime", &sym) == 0) {
		found = program;
		*ret_all = true;
	}
	*ret = found;
	return found ? 0 : -ENOENT;
}

static int locate_symbols(const struct module *mod, bool all, struct cpython *py)
{
	struct object_sym sym;
	int r = object_var(&mod->object, all, "_PyRuntime", &sym);

	if (r < 0)
		return -EBADMSG;
	py->runtime = mod->bias + sym.value;
	for (size_t i = 0; i < CPYTHON_NFUNCS; i++)
		if (object_func(&mod->object, all, func_names[i], &sym) == 0)
			py->func[i] = mod->bias + sym.value;
	/* Include/object.h: only where Py_REF_DEBUG is defined, which Py_DEBUG implies. */
	py->debug = object_func(&mod->object, all, "_Py_NegativeRefcount", &sym) == 0;
	return 0;
}

static int locate_identity(struct target *t, struct cpython *py, char *why)
{
	struct module *mod = NULL;
	bool all;
	int r = find_module(t, &mod, &all);

	if (r == -ENOENT) {
		text_format(why, CPYTHON_TEXT_MAX, "no Python is in it (or none that exports its functions)");
		return r;
	}
	if (r < 0) {
		text_format(why, CPYTHON_TEXT_MAX, "there are two Pythons in it");
		return -EBADMSG;
	}
	py->module = mod;
	r = module_verify(mod, &t->mem);
	if (r < 0) {
		text_format(why, CPYTHON_TEXT_MAX, "its Python is not what the file says");
		return r == -ESTALE || r == -ENOEXEC ? -EBADMSG : r;
	}
	r = version_of(t, mod, all, &py->version);
	if (r == 0)
		r = locate_symbols(mod, all, py);
	if (r == -ENOTSUP ||
	    (r == 0 && (CPYTHON_MINOR(py->version) < MINOR_FIRST || CPYTHON_MINOR(py->version) > MINOR_LAST))) {
		text_format(why, CPYTHON_TEXT_MAX, "its Python is of a version that is not known here");
		return -ENOTSUP;
	}
	if (r < 0)
		text_format(why, CPYTHON_TEXT_MAX, "the version of its Python can't be told");
	return r;
}

int cpython_locate(struct target *t, struct cpython *ret, char *ret_why)
{
	_cleanup_free_ struct cpython *py = calloc(1, sizeof(*py));
	struct cpython_layout layout;
	int r;

	*ret_why = '\0';
	if (!py)
		return -ENOMEM;
	r = locate_identity(t, py, ret_why);
	if (r < 0)
		return r;
	r = cpython_layout_read(t, py, &layout);
	if (r < 0) {
		text_format(ret_why, CPYTHON_TEXT_MAX, "its interpreter's layout can't be told");
		return r;
	}
	/* Its lists may change while they are looked at. */
	for (unsigned int i = 0; i < TRIES; i++) {
		r = cpython_layout_apply(t, &layout, py, ret_why);
		if (r != -EBADMSG)
			break;
	}
	if (r < 0)
		return r;
	cpython_roots_find(t, py);
	*ret_why = '\0';
	*ret = *py;
	return 0;
}

int cpython_finalizing(struct target *t, const struct cpython *py)
{
	uint64_t v;
	int r = cpython_peek(t, py->finalizing_at, &v, sizeof(v));

	return r < 0 ? r : v != 0;
}
