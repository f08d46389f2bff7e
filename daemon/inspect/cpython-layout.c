// SPDX-License-Identifier: GPL-2.0-or-later
#include "inspect/cpython-layout.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "inspect/cpython-data.h"

#define INTERPRETERS_MAX 256
#define GIL_INTERVAL_MAX 1000000000ull /* microseconds; 5000 unless sys.setswitchinterval() changed it */
#define GC_LOOKS 16
#define GC_ENABLED 12 /* struct _gc_runtime_state: trash pointer, trash nesting, enabled, debug, generations[3] */
#define GC_GENERATIONS 24 /* 20 where list heads are aligned to 4 only (3.13.5): _Py_ALIGNED_DEF */
#define GC_GENERATION_SIZE 24 /* list head: next, prev; int threshold, count */
#define GC_LINK_BITS 3ull /* flags in the low bits of a gc head's prev, and of 3.14's next */

/*
 * Proven by running processes: 3.8.18, 3.9.2, 3.9.18, 3.10.13, 3.11.2, 3.11.7,
 * 3.12.1 (x86-64). 3.13 and later tell by themselves.
 */
static const struct cpython_layout layouts[] = {
	{ 0x0308, false, false, false, 12, 16, 32, 0, 8, 176, 0x480, 0x158 },
	{ 0x0309, false, false, true, 12, 16, 32, 0, 8, 176, 0x160, 0x268 },
	{ 0x030a, false, false, true, 12, 16, 32, 0, 8, 176, 0x160, 0x268 },
	{ 0x030b, false, false, true, 16, 24, 40, 0, 16, 152, 0x168, 0x288 },
	{ 0x030c, true, true, true, 16, 24, 40, 0, 72, 136, 0x180, 0x70 },
};

/* struct _Py_DebugOffsets (pycore_debug_offsets.h, 3.13 pycore_runtime.h): the words that matter, as byte offsets. */
struct debug_words {
	uint16_t minor;
	uint16_t finalizing, interpreters_head, next, threads_head, gc, ceval_gil, gil_locked, gil_holder;
	uint16_t ts_prev, ts_next, ts_interp, ts_thread_id;
	uint16_t remote; /* first word of debugger_support; 0: none */
};

/* Proven by 3.13.0, 3.13.5 and 3.14.8; the table grew by one word in 3.14 (threads_main). */
static const struct debug_words debug_words[] = {
	{ 0x030d, 32, 40, 64, 72, 80, 112, 136, 144, 160, 168, 176, 192, 0 },
	{ 0x030e, 32, 40, 64, 72, 88, 120, 144, 152, 184, 192, 200, 216, 712 },
	{ 0x030f, 32, 40, 64, 72, 88, 120, 144, 152, 184, 192, 200, 216, 840 },
};

#define DEBUG_COOKIE 0x7970677562656478ull /* "xdebugpy" */
#define DEBUG_BYTES 1024
#define OFFSET_MAX (16ull << 20)
#define REMOTE_PATH_MAX 512 /* Py_MAX_SCRIPT_PATH_SIZE, PEP 768 */

static uint64_t word_at(const unsigned char *bytes, size_t offset)
{
	uint64_t v;

	memcpy(&v, bytes + offset, sizeof(v));
	return v;
}

static void layout_read_remote(const unsigned char *bytes, const struct debug_words *w, struct cpython *py)
{
	const unsigned char *p = bytes + w->remote;
	/* eval_breaker, remote_debugger_support, remote_debugging_enabled, pending_call, script_path, path_size */
	if (!w->remote || word_at(p, 0) > OFFSET_MAX || word_at(p, 8) > OFFSET_MAX || word_at(p, 16) > OFFSET_MAX ||
	    word_at(p, 24) > REMOTE_PATH_MAX || word_at(p, 32) > REMOTE_PATH_MAX || word_at(p, 40) != REMOTE_PATH_MAX)
		return;
	py->eval_breaker = (uint32_t)word_at(p, 0);
	py->remote_support = (uint32_t)word_at(p, 8);
	py->remote_enabled_at = word_at(p, 16); /* made an address when the interpreter is known */
	py->remote_pending = (uint32_t)word_at(p, 24);
	py->remote_path = (uint32_t)word_at(p, 32);
	py->remote_path_size = REMOTE_PATH_MAX;
}

static int layout_read_debug(struct target *t, const struct debug_words *w, struct cpython *py,
			     struct cpython_layout *ret)
{
	unsigned char b[DEBUG_BYTES];
	const uint16_t used[] = { w->finalizing, w->interpreters_head, w->next,	       w->threads_head,
				  w->gc,	 w->ceval_gil,	       w->ts_thread_id };
	int r = cpython_peek(t, py->runtime, b, sizeof(b));

	if (r < 0)
		return r;
	if (word_at(b, 0) != DEBUG_COOKIE || word_at(b, 8) != py->version || word_at(b, 16) > 1)
		return -EBADMSG;
	for (size_t i = 0; i < ARRAY_SIZE(used); i++)
		if (word_at(b, used[i]) > OFFSET_MAX || word_at(b, used[i]) % 8)
			return -EBADMSG;
	/* The rest of the code counts on these, which haven't changed since 3.8; and on the shape of the GIL. */
	if (word_at(b, w->ts_prev) != 0 || word_at(b, w->ts_next) != 8 || word_at(b, w->ts_interp) != 16 ||
	    word_at(b, w->gil_locked) - word_at(b, w->gil_holder) != 8)
		return -EBADMSG;
	py->free_threaded = word_at(b, 16) != 0;
	layout_read_remote(b, w, py);
	*ret = (struct cpython_layout){
		.minor = w->minor,
		.gil_in_interp = true,
		.gil_pointer = true,
		.gc_in_interp = true,
		.finalizing = (uint32_t)word_at(b, w->finalizing),
		.interpreters_head = (uint32_t)word_at(b, w->interpreters_head),
		.next = (uint32_t)word_at(b, w->next),
		.threads_head = (uint32_t)word_at(b, w->threads_head),
		.thread_id = (uint32_t)word_at(b, w->ts_thread_id),
		.gil = (uint32_t)word_at(b, w->ceval_gil),
		.gc = (uint32_t)word_at(b, w->gc),
	};
	/* "initialized" is the last of the five ints in front of "_finalizing" (pycore_runtime.h). */
	ret->initialized = ret->finalizing - 8;
	return 0;
}

int cpython_layout_read(struct target *t, struct cpython *py, struct cpython_layout *ret)
{
	const uint16_t minor = CPYTHON_MINOR(py->version);

	for (size_t i = 0; i < ARRAY_SIZE(layouts); i++) {
		if (layouts[i].minor == minor) {
			*ret = layouts[i];
			return 0;
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(debug_words); i++)
		if (debug_words[i].minor == minor)
			return layout_read_debug(t, &debug_words[i], py, ret);
	return -ENOTSUP;
}

static int layout_pointer(struct target *t, uint64_t at, uint64_t *ret)
{
	uint64_t v;
	int r = cpython_peek(t, at, &v, sizeof(v));

	if (r < 0)
		return r;
	if (!v || v % 8 || v >> 47)
		return -EBADMSG;
	*ret = v;
	return 0;
}

/* The main interpreter: the word after the list's head, and the list must lead to it. */
static int layout_interp(struct target *t, const struct cpython_layout *l, struct cpython *py)
{
	uint64_t head, main, at;
	int r = layout_pointer(t, py->runtime + l->interpreters_head, &head);

	if (r == 0)
		r = layout_pointer(t, py->runtime + l->interpreters_head + 8, &main);
	if (r < 0)
		return r;
	at = head;
	for (size_t i = 0; at != main; i++) {
		if (i >= INTERPRETERS_MAX)
			return -EBADMSG;
		r = layout_pointer(t, at + l->next, &at);
		if (r < 0)
			return r;
	}
	py->interp = main;
	py->interpreters_head_at = py->runtime + l->interpreters_head;
	py->interp_next = l->next;
	py->threads_head = l->threads_head;
	py->thread_id = l->thread_id;
	py->finalizing_at = py->runtime + l->finalizing;
	return 0;
}

/* The first thread state must be one: of this interpreter, first of its list. */
static int layout_threads(struct target *t, const struct cpython *py)
{
	uint64_t head, words[3], back;
	int r = layout_pointer(t, py->interp + py->threads_head, &head);

	if (r == 0)
		r = cpython_peek(t, head, words, sizeof(words));
	if (r < 0)
		return r;
	if (words[0] || words[2] != py->interp)
		return -EBADMSG;
	if (!words[1])
		return 0;
	if (words[1] % 8 || words[1] >> 47)
		return -EBADMSG;
	r = cpython_peek(t, words[1], &back, sizeof(back));
	return r < 0 ? r : back == head ? 0 : -EBADMSG;
}

static int layout_gil(struct target *t, const struct cpython_layout *l, struct cpython *py)
{
	uint64_t w[3]; /* interval, last_holder, locked and another int */
	uint64_t at = (l->gil_in_interp ? py->interp : py->runtime) + l->gil;
	int r = l->gil_pointer ? layout_pointer(t, at, &at) : 0;

	if (r == 0)
		r = cpython_peek(t, at, w, sizeof(w));
	if (r < 0)
		return r;
	/* locked is -1 before the GIL is made. */
	if (!w[0] || w[0] > GIL_INTERVAL_MAX || (uint32_t)w[2] > 1 || w[1] % 8 || w[1] >> 47)
		return -EBADMSG;
	py->gil = at;
	return 0;
}

/* Each generation is a list that ends where it began. */
static bool layout_gc_list(struct target *t, uint64_t head, const uint64_t links[2])
{
	const uint64_t next = links[0] & ~GC_LINK_BITS;
	uint64_t back[2];

	if (!next || next >> 47 || cpython_peek(t, next, back, sizeof(back)) < 0)
		return false;
	return (back[1] & ~GC_LINK_BITS) == head;
}

static bool layout_gc_generations(struct target *t, uint64_t gc, const unsigned char *bytes, size_t at)
{
	for (size_t i = 0; i < 3; i++, at += GC_GENERATION_SIZE) {
		const uint64_t links[2] = { word_at(bytes, at), word_at(bytes, at + 8) };

		if (!layout_gc_list(t, gc + at, links))
			return false;
	}
	return true;
}

/* Whether the collector is enabled is only an int: believed when what follows it are three generations. */
static bool layout_gc_look(struct target *t, uint64_t gc, struct cpython *py)
{
	unsigned char b[GC_GENERATIONS + 3 * GC_GENERATION_SIZE];
	int32_t enabled;

	if (cpython_peek(t, gc, b, sizeof(b)) < 0)
		return false;
	memcpy(&enabled, b + GC_ENABLED, sizeof(enabled));
	if ((enabled != 0 && enabled != 1) || (!layout_gc_generations(t, gc, b, GC_GENERATIONS) &&
					       !layout_gc_generations(t, gc, b, GC_GENERATIONS - 4)))
		return false;
	py->gc_enabled_at = gc + GC_ENABLED;
	return true;
}

/* A Python at work changes its youngest generation all the time, between two looks too. */
static void layout_gc(struct target *t, const struct cpython_layout *l, struct cpython *py)
{
	const uint64_t gc = (l->gc_in_interp ? py->interp : py->runtime) + l->gc;

	for (unsigned int i = 0; i < GC_LOOKS && !layout_gc_look(t, gc, py); i++)
		continue;
}

int cpython_layout_apply(struct target *t, const struct cpython_layout *l, struct cpython *py, char *why)
{
	int32_t initialized;
	int r = cpython_peek(t, py->runtime + l->initialized, &initialized, sizeof(initialized));

	if (r == 0 && initialized != 1) {
		text_format(why, CPYTHON_TEXT_MAX, "its interpreter has not been initialized");
		return -EBADMSG;
	}
	if (r == 0)
		r = layout_interp(t, l, py);
	if (r == 0)
		r = layout_threads(t, py);
	if (r == 0)
		r = layout_gil(t, l, py);
	if (r < 0) {
		text_format(why, CPYTHON_TEXT_MAX, "its interpreter's state is not laid out as in any known build");
		return r;
	}
	layout_gc(t, l, py);
	if (py->remote_enabled_at)
		py->remote_enabled_at += py->interp;
	return 0;
}
