/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/parse.h"
#include "bus/shape.h"
#include "reclaim/bus.h"

#define TEXT_MAX 4096 /* bytes of one text as it travels */
#define UNKNOWN UINT64_MAX

/* ---------------------------------------------------------------- writing */

static int write_text(sd_bus_message *m, const char *text)
{
	char shown[TEXT_MAX];

	return sd_bus_message_append(m, "v", "s", escape_text(text, shown, sizeof(shown)));
}

static int write_bits(sd_bus_message *m, const struct shape_member *a, uint32_t bits)
{
	int r = sd_bus_message_open_container(m, 'v', "as");

	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', "s");
	for (uint32_t i = 0; r >= 0 && i < a->n; i++)
		if (bits & 1u << i)
			r = sd_bus_message_append_basic(m, 's', a->name(i));
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

/* "(ttt)" for a width of 3; with an 'a' before it, the type of the whole. */
static void rows_type(size_t width, char buf[16])
{
	memset(buf, 0, 16);
	buf[0] = 'a';
	buf[1] = '(';
	memset(buf + 2, 't', width);
	buf[2 + width] = ')';
}

static int write_bit(sd_bus_message *m, const struct shape_member *a, uint32_t bits)
{
	return sd_bus_message_append(m, "v", "s", a->name((uint32_t)__builtin_ctz(bits)));
}

static int write_rows(sd_bus_message *m, const struct shape_member *a, const uint64_t *v)
{
	char type[16], columns[16] = "";
	size_t n = a->n * a->width;
	int r;

	while (n && !v[n - 1])
		n--;
	n = (n + a->width - 1) / a->width;
	rows_type(a->width, type);
	memcpy(columns, type + 2, a->width);
	r = sd_bus_message_open_container(m, 'v', type);
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', type + 1);
	for (size_t i = 0; r >= 0 && i < n; i++) {
		r = sd_bus_message_open_container(m, 'r', columns);
		for (size_t k = 0; r >= 0 && k < a->width; k++)
			r = sd_bus_message_append_basic(m, 't', &v[i * a->width + k]);
		if (r >= 0)
			r = sd_bus_message_close_container(m);
	}
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int write_list(sd_bus_message *m, const struct shape *of, const void *from, size_t n)
{
	int r = sd_bus_message_open_container(m, 'v', "aa{sv}");

	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', "a{sv}");
	for (size_t i = 0; r >= 0 && i < n; i++)
		r = shape_write(m, of, (const char *)from + i * of->size);
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int write_dict(sd_bus_message *m, const struct shape *of, const void *from)
{
	int r = sd_bus_message_open_container(m, 'v', "a{sv}");

	if (r >= 0)
		r = shape_write(m, of, from);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static uint32_t count_of(const struct shape_member *a, const void *from)
{
	const uint32_t n = *(const uint32_t *)((const char *)from + a->count);

	return n < a->n ? n : (uint32_t)a->n;
}

/* Is there anything to say? */
static bool is_known(const struct shape_member *a, const void *from)
{
	const void *at = (const char *)from + a->offset;

	switch (a->kind) {
	case SHAPE_U64:
		return *(const uint64_t *)at != UNKNOWN;
	case SHAPE_CHARS:
		return *(const char *)at;
	case SHAPE_TEXT:
		return *(const char *const *)at && **(const char *const *)at;
	case SHAPE_NAME:
		return *(const uint32_t *)at < a->n && a->name(*(const uint32_t *)at);
	case SHAPE_HEAP:
		return *(const void *const *)at;
	case SHAPE_BIT:
		return *(const uint32_t *)at & ((1u << a->n) - 1);
	default:
		return true;
	}
}

static int write_value(sd_bus_message *m, const struct shape_member *a, const void *from)
{
	const void *at = (const char *)from + a->offset;

	switch (a->kind) {
	case SHAPE_U32:
		return sd_bus_message_append(m, "v", "u", *(const uint32_t *)at);
	case SHAPE_I32:
		return sd_bus_message_append(m, "v", "i", *(const int32_t *)at);
	case SHAPE_U64:
		return sd_bus_message_append(m, "v", "t", *(const uint64_t *)at);
	case SHAPE_I64:
		return sd_bus_message_append(m, "v", "x", *(const int64_t *)at);
	case SHAPE_FLAG:
		return sd_bus_message_append(m, "v", "b", !!*(const uint32_t *)at);
	case SHAPE_CHARS:
		return write_text(m, at);
	case SHAPE_TEXT:
		return write_text(m, *(const char *const *)at);
	case SHAPE_NAME:
		return sd_bus_message_append(m, "v", "s", a->name(*(const uint32_t *)at));
	case SHAPE_BITS:
		return write_bits(m, a, *(const uint32_t *)at);
	case SHAPE_BIT:
		return write_bit(m, a, *(const uint32_t *)at & ((1u << a->n) - 1));
	case SHAPE_ROWS:
		return write_rows(m, a, at);
	case SHAPE_DICT:
		return write_dict(m, a->of, at);
	case SHAPE_LIST:
		return write_list(m, a->of, at, count_of(a, from));
	case SHAPE_HEAP:
		return write_list(m, a->of, *(const void *const *)at, count_of(a, from));
	}
	return -EINVAL;
}

int shape_write(sd_bus_message *m, const struct shape *s, const void *from)
{
	int r = sd_bus_message_open_container(m, 'a', "{sv}");

	for (size_t i = 0; r >= 0 && i < s->n; i++) {
		const struct shape_member *a = &s->v[i];

		if (!is_known(a, from))
			continue;
		r = sd_bus_message_open_container(m, 'e', "sv");
		if (r >= 0)
			r = sd_bus_message_append_basic(m, 's', a->key);
		if (r >= 0)
			r = write_value(m, a, from);
		if (r >= 0)
			r = sd_bus_message_close_container(m);
	}
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	return r < 0 ? r : 0;
}

/* ---------------------------------------------------------------- reading */

struct reading {
	sd_bus_message *m;
	bool strict;
};

/* What escape_text() has made, back into bytes. Its length, of which @buf holds what fits. */
static size_t unescape(const char *s, char *buf, size_t size)
{
	static const char digits[] = "0123456789abcdef";
	size_t n = 0;

	while (*s) {
		const char *hi = s[0] == '\\' && s[1] == 'x' && s[2] ? strchr(digits, s[2]) : NULL;
		const char *lo = hi && s[3] ? strchr(digits, s[3]) : NULL;
		char c = *s;

		if (lo)
			c = (char)((hi - digits) << 4 | (lo - digits));
		else if (s[0] == '\\' && (s[1] == 'n' || s[1] == 't'))
			c = s[1] == 'n' ? '\n' : '\t';
		s += lo ? 4 : c != *s ? 2 : 1;
		if (n + 1 < size)
			buf[n] = c;
		n++;
	}
	buf[MIN(n, size - 1)] = '\0';
	return n;
}

static int read_chars(const struct reading *in, const struct shape_member *a, char *at)
{
	const char *text;
	int r = sd_bus_message_read_basic(in->m, 's', &text);

	if (r > 0 && unescape(text, at, a->n) >= a->n && in->strict)
		return -E2BIG;
	return r;
}

/* 1, also for a name that we don't know, which leaves @ret alone; -EINVAL for that when strict. */
static int read_name(const struct reading *in, const struct shape_member *a, uint32_t *ret)
{
	const char *text;
	int r = sd_bus_message_read_basic(in->m, 's', &text);

	for (uint32_t i = 0; r > 0 && i < a->n; i++) {
		const char *name = a->name(i);

		if (name && !strcmp(name, text)) {
			*ret = i;
			return 1;
		}
	}
	return r > 0 && in->strict ? -EINVAL : r;
}

static int read_bit(const struct reading *in, const struct shape_member *a, uint32_t *at)
{
	uint32_t i = UINT32_MAX;
	int r = read_name(in, a, &i);

	if (r > 0 && i < a->n)
		*at |= 1u << i;
	return r;
}

static int read_bits(const struct reading *in, const struct shape_member *a, uint32_t *at)
{
	int r = sd_bus_message_enter_container(in->m, 'a', "s");

	while (r > 0)
		r = read_bit(in, a, at);
	return r < 0 ? r : sd_bus_message_exit_container(in->m);
}

static int read_rows(sd_bus_message *m, const struct shape_member *a, uint64_t *at)
{
	char type[16], columns[16] = "";
	size_t n = 0;
	int r;

	rows_type(a->width, type);
	memcpy(columns, type + 2, a->width);
	r = sd_bus_message_enter_container(m, 'a', type + 1);
	while (r > 0 && (r = sd_bus_message_enter_container(m, 'r', columns)) > 0) {
		if (n == a->n)
			return -EBADMSG;
		for (size_t k = 0; r > 0 && k < a->width; k++)
			r = sd_bus_message_read_basic(m, 't', &at[n * a->width + k]);
		n++;
		if (r > 0)
			r = sd_bus_message_exit_container(m);
	}
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_list(sd_bus_message *m, const struct shape_member *a, void *to)
{
	uint32_t *count = (uint32_t *)((char *)to + a->count);
	char *at = (char *)to + a->offset;
	int r;

	*count = 0;
	if (a->kind == SHAPE_HEAP) {
		free(*(void **)at);
		*(void **)at = calloc(a->n, a->of->size);
		at = *(void **)at;
		if (!at)
			return -ENOMEM;
	}
	r = sd_bus_message_enter_container(m, 'a', "a{sv}");
	while (r > 0 && (r = sd_bus_message_at_end(m, 0)) == 0) {
		if (*count == a->n)
			return -EBADMSG;
		r = shape_read(m, a->of, at + (*count)++ * a->of->size);
		if (r < 0)
			return r;
		r = 1;
	}
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_flag(sd_bus_message *m, uint32_t *at)
{
	int flag, r = sd_bus_message_read_basic(m, 'b', &flag);

	if (r > 0)
		*at = (uint32_t)flag;
	return r;
}

/* The content of the variant that is entered. */
static int read_value(const struct reading *in, const struct shape_member *a, void *to)
{
	void *at = (char *)to + a->offset;

	switch (a->kind) {
	case SHAPE_U32:
		return sd_bus_message_read_basic(in->m, 'u', at);
	case SHAPE_I32:
		return sd_bus_message_read_basic(in->m, 'i', at);
	case SHAPE_U64:
		return sd_bus_message_read_basic(in->m, 't', at);
	case SHAPE_I64:
		return sd_bus_message_read_basic(in->m, 'x', at);
	case SHAPE_FLAG:
		return read_flag(in->m, at);
	case SHAPE_CHARS:
		return read_chars(in, a, at);
	case SHAPE_TEXT:
		return -EOPNOTSUPP;
	case SHAPE_NAME:
		return read_name(in, a, at);
	case SHAPE_BITS:
		return read_bits(in, a, at);
	case SHAPE_BIT:
		return read_bit(in, a, at);
	case SHAPE_ROWS:
		return read_rows(in->m, a, at);
	case SHAPE_DICT:
		return shape_read(in->m, a->of, at);
	case SHAPE_LIST:
	case SHAPE_HEAP:
		return read_list(in->m, a, to);
	}
	return -EOPNOTSUPP;
}

/* NULL: known to nobody here. */
static const struct shape_member *find_member(const struct shape *s, const char *key)
{
	for (size_t i = 0; i < s->n; i++)
		if (!strcmp(s->v[i].key, key))
			return &s->v[i];
	return NULL;
}

static int read_variant(const struct reading *in, const struct shape_member *a, void *to)
{
	const char *type;
	char kind;
	int r = sd_bus_message_peek_type(in->m, &kind, &type);

	if (r > 0)
		r = sd_bus_message_enter_container(in->m, 'v', type);
	if (r > 0)
		r = read_value(in, a, to);
	return r < 0 ? r : sd_bus_message_exit_container(in->m);
}

static void members_unknown(const struct shape *s, void *to)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].kind == SHAPE_U64)
			*(uint64_t *)((char *)to + s->v[i].offset) = UNKNOWN;
}

int shape_read(sd_bus_message *m, const struct shape *s, void *to)
{
	const struct reading in = { .m = m };
	const char *key;
	int r;

	members_unknown(s, to);
	r = sd_bus_message_enter_container(m, 'a', "{sv}");
	while (r > 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
		const struct shape_member *a = NULL;

		r = sd_bus_message_read_basic(m, 's', &key);
		if (r > 0)
			a = find_member(s, key);
		if (r > 0)
			r = a ? read_variant(&in, a, to) : sd_bus_message_skip(m, "v");
		if (r >= 0)
			r = sd_bus_message_exit_container(m);
	}
	if (r >= 0)
		r = sd_bus_message_exit_container(m);
	/* sd-bus says so of another type than the one asked for. */
	return r == -ENXIO ? -EBADMSG : MIN(r, 0);
}

/* What is wrong with an option, for people. */
static int complain(sd_bus_error *error, const char *key, int r)
{
	char shown[80];

	escape_text(key, shown, sizeof(shown));
	switch (r) {
	case -ENOENT:
		return sd_bus_error_setf(error, BUS_E_ARGUMENT, "there is no option '%s'", shown);
	case -EEXIST:
		return sd_bus_error_setf(error, BUS_E_ARGUMENT, "option '%s' is there twice", shown);
	case -ENXIO:
		return sd_bus_error_setf(error, BUS_E_ARGUMENT, "option '%s' is of the wrong type", shown);
	case -EINVAL:
		return sd_bus_error_setf(error, BUS_E_ARGUMENT, "option '%s' has a value that is none of its names",
					 shown);
	case -E2BIG:
		return sd_bus_error_setf(error, BUS_E_ARGUMENT, "option '%s' is too long", shown);
	default:
		return r;
	}
}

/* One option. @seen: bits of members that were there already. */
static int read_option(const struct reading *in, const struct shape *s, void *to, uint32_t *seen, sd_bus_error *error)
{
	const struct shape_member *a;
	const char *key;
	uint32_t bit;
	int r = sd_bus_message_read_basic(in->m, 's', &key);

	if (r <= 0)
		return r < 0 ? r : -EBADMSG;
	a = find_member(s, key);
	if (!a)
		return complain(error, key, -ENOENT);
	bit = 1u << (a - s->v);
	if (*seen & bit)
		return complain(error, key, -EEXIST);
	*seen |= bit;
	r = read_variant(in, a, to);
	return r < 0 ? complain(error, key, r) : r;
}

int shape_read_strict(sd_bus_message *m, const struct shape *s, void *to, sd_bus_error *error)
{
	const struct reading in = { .m = m, .strict = true };
	uint32_t seen = 0;
	int r;

	members_unknown(s, to);
	r = sd_bus_message_enter_container(m, 'a', "{sv}");
	while (r > 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
		r = read_option(&in, s, to, &seen, error);
		if (r >= 0)
			r = sd_bus_message_exit_container(m);
	}
	if (r >= 0)
		r = sd_bus_message_exit_container(m);
	return MIN(r, 0);
}
