/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/parse.h"
#include "base/utf8.h"
#include "ctl/json.h"

void json_init(struct json *j, FILE *f)
{
	*j = (struct json){ .f = f };
}

static void json_fail(struct json *j)
{
	if (!j->error)
		j->error = errno > 0 ? -errno : -EIO;
}

static void json_raw(struct json *j, const char *text, size_t n)
{
	if (j->error)
		return;
	errno = 0;
	if (fwrite(text, 1, n, j->f) != n)
		json_fail(j);
}

static void json_puts(struct json *j, const char *text)
{
	json_raw(j, text, strlen(text));
}

static void json_escaped(struct json *j, unsigned int code)
{
	char buf[16];

	if (code == '"' || code == '\\')
		snprintf(buf, sizeof(buf), "\\%c", (char)code);
	else if (code == '\n')
		snprintf(buf, sizeof(buf), "\\n");
	else if (code == '\t')
		snprintf(buf, sizeof(buf), "\\t");
	else if (code > 0xffff)
		snprintf(buf, sizeof(buf), "\\u%04x\\u%04x", 0xd7c0 + (code >> 10 & 0x7ff), 0xdc00 + (code & 0x3ff));
	else
		snprintf(buf, sizeof(buf), "\\u%04x", code & 0xffff);
	json_puts(j, buf);
}

/* "</script>" and "<!--" would end or change the script around it, whatever the quotes. */
static bool json_must_escape(const struct json *j, uint32_t code)
{
	return code == '"' || code == '\\' || !text_is_plain(code) ||
	       (j->in_markup && (code == '<' || code == '>' || code == '&'));
}

static void json_quoted(struct json *j, const char *text)
{
	size_t left = strlen(text);

	json_puts(j, "\"");
	while (left) {
		uint32_t code;
		size_t n = utf8_next(text, left, &code);

		if (!n) {
			json_puts(j, "\xef\xbf\xbd"); /* U+FFFD */
			n = 1;
		} else if (json_must_escape(j, code)) {
			json_escaped(j, code);
		} else {
			json_raw(j, text, n);
		}
		text += n;
		left -= n;
	}
	json_puts(j, "\"");
}

/* Comma, line break and key before a value. */
static void json_begin(struct json *j, const char *key)
{
	if (j->items[j->depth])
		json_puts(j, ",");
	/* One line per element of the outermost array: still greppable. */
	if (j->depth == 1 && j->brackets[1] == '[')
		json_puts(j, "\n");
	j->items[j->depth] = true;
	if (key) {
		json_quoted(j, key);
		json_puts(j, ":");
	}
}

void json_open(struct json *j, const char *key, char bracket)
{
	char text[2] = { bracket, 0 };

	if (j->depth >= JSON_DEPTH_MAX) {
		errno = EOVERFLOW;
		json_fail(j);
		return;
	}
	json_begin(j, key);
	json_puts(j, text);
	j->depth++;
	j->items[j->depth] = false;
	j->brackets[j->depth] = bracket;
}

void json_close(struct json *j)
{
	bool array;

	if (!j->depth) {
		errno = EBADMSG;
		json_fail(j);
		return;
	}
	array = j->brackets[j->depth] == '[';
	if (array && j->depth == 1 && j->items[1])
		json_puts(j, "\n");
	j->depth--;
	json_puts(j, array ? "]" : "}");
}

void json_null(struct json *j, const char *key)
{
	json_begin(j, key);
	json_puts(j, "null");
}

void json_bool(struct json *j, const char *key, bool v)
{
	json_begin(j, key);
	json_puts(j, v ? "true" : "false");
}

void json_u64(struct json *j, const char *key, uint64_t v)
{
	char buf[24];

	json_begin(j, key);
	snprintf(buf, sizeof(buf), "%" PRIu64, v);
	json_puts(j, buf);
}

void json_i64(struct json *j, const char *key, int64_t v)
{
	char buf[24];

	json_begin(j, key);
	snprintf(buf, sizeof(buf), "%" PRId64, v);
	json_puts(j, buf);
}

void json_text(struct json *j, const char *key, const char *text)
{
	if (!text) {
		json_null(j, key);
		return;
	}
	json_begin(j, key);
	json_quoted(j, text);
}

int json_finish(struct json *j)
{
	if (!j->error && j->depth) {
		errno = EBADMSG;
		json_fail(j);
	}
	json_puts(j, "\n");
	errno = 0;
	if (fflush(j->f) || ferror(j->f))
		json_fail(j);
	return j->error;
}
