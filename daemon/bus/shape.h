/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Structs as D-Bus dictionaries (a{sv}) and back, by tables: the daemon writes
 * them, reclaimctl reads them, and neither knows a member's name.
 *
 * A number that is unknown (UINT64_MAX) and a text that is empty are left out.
 * Texts may be any bytes: they travel as escape_text() makes them, and are
 * turned back by the reader.
 */
#ifndef RECLAIM_BUS_SHAPE_H
#define RECLAIM_BUS_SHAPE_H

#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-bus.h>

#include "base/cleanup.h"

enum shape_kind {
	SHAPE_U32, /* u */
	SHAPE_I32, /* i */
	SHAPE_U64, /* t; left out when unknown */
	SHAPE_I64, /* x */
	SHAPE_FLAG, /* b, a uint32_t */
	SHAPE_CHARS, /* s, a char[n] */
	SHAPE_TEXT, /* s, a const char *; only written */
	SHAPE_NAME, /* s, a uint32_t of which @name knows the name; left out when there is none */
	SHAPE_BITS, /* as, a uint32_t of which each bit has a name */
	SHAPE_BIT, /* s, the same with a single bit */
	SHAPE_ROWS, /* a(tt...), @n rows of @width uint64_t; those of zeros at the end are left out */
	SHAPE_DICT, /* a{sv}, a struct inside */
	SHAPE_LIST, /* aa{sv}, an array inside of at most @n; how many is in the uint32_t at @count */
	SHAPE_HEAP, /* the same behind a pointer, malloc'ed by the reader */
};

struct shape;

struct shape_member {
	const char *key;
	enum shape_kind kind;
	size_t offset;
	size_t n, width, count;
	const char *(*name)(uint32_t value); /* of NAME: value < n; of BITS and BIT: number of a bit < n */
	const struct shape *of;
};

struct shape {
	const struct shape_member *v;
	size_t n;
	size_t size; /* of the struct */
};

/* Of struct worker_result, explain_answer, manager_process, ledger_record. */
extern const struct shape shape_result, shape_facts, shape_process, shape_record;

#define SHAPE_REMEDIES 5
const char *shape_remedy_name(uint32_t bit); /* number of the bit, < SHAPE_REMEDIES */

/* Appends @from as one a{sv}. 0 or -errno. */
int shape_write(sd_bus_message *m, const struct shape *s, const void *from) __must_check;

/*
 * Reads one a{sv} into @to, which is zeroed; keys that nobody knows here are passed over. 0, -EBADMSG, -ENOMEM;
 * what HEAP has malloc'ed is the caller's, also then.
 */
int shape_read(sd_bus_message *m, const struct shape *s, void *to) __must_check;

/*
 * The same for what somebody asks of us: a key or a name that nobody knows, a key twice, another type, a text that is
 * too long are errors, in words in @error. @s has at most 32 members, and no HEAP. 0 or -errno.
 */
int shape_read_strict(sd_bus_message *m, const struct shape *s, void *to, sd_bus_error *error) __must_check;

#endif
