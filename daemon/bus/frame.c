/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "base/parse.h"
#include "bus/frame.h"

void frame_init(struct frame *f, uid_t uid)
{
	*f = (struct frame){ .uid = uid };
}

static int hex_digit(uint8_t c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c ? strchr(digits, c | 0x20) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* Is @hex the guest's user id, in decimal digits, in hex? */
static bool is_uid(const struct frame *f, const char *hex)
{
	const size_t n = strlen(hex);
	char text[24] = "";
	uint64_t uid;

	if (n % 2 || n / 2 >= sizeof(text))
		return false;
	for (size_t i = 0; i < n; i += 2) {
		const int hi = hex_digit((uint8_t)hex[i]), lo = hex_digit((uint8_t)hex[i + 1]);

		if (hi != 3 || lo < 0 || lo > 9)
			return false;
		text[i / 2] = (char)('0' + lo);
	}
	return parse_u64(text, 10, &uid) == 0 && uid == f->uid;
}

/* @line without its end. */
static int take_line(struct frame *f, const char *line)
{
	if (++f->nlines > FRAME_LINES_MAX)
		return -EPROTO;
	if (f->authenticated && !strcmp(line, "BEGIN")) {
		f->state = FRAME_HEAD;
		return 0;
	}
	if (f->authenticated)
		return strcmp(line, "NEGOTIATE_UNIX_FD") ? -EPROTO : 0;
	if (f->data) {
		f->data = false;
		f->authenticated = !strcmp(line, "DATA") || (!strncmp(line, "DATA ", 5) && is_uid(f, line + 5));
		return f->authenticated ? 0 : -EPROTO;
	}
	/* To be told which ways there are. */
	if (!strcmp(line, "AUTH"))
		return 0;
	if (!strcmp(line, "AUTH EXTERNAL")) {
		f->data = true;
		return 0;
	}
	f->authenticated = !strncmp(line, "AUTH EXTERNAL ", 14) && is_uid(f, line + 14);
	return f->authenticated ? 0 : -EPROTO;
}

static int feed_line(struct frame *f, uint8_t c)
{
	char line[FRAME_LINE_MAX];
	const bool ended = f->nline && f->line[f->nline - 1] == '\r';

	if (ended != (c == '\n'))
		return -EPROTO;
	if (!ended) {
		if ((c < ' ' && c != '\r') || c > '~' || f->nline == sizeof(f->line))
			return -EPROTO;
		f->line[f->nline++] = c;
		return 0;
	}
	memcpy(line, f->line, f->nline - 1);
	line[f->nline - 1] = '\0';
	f->nline = 0;
	return take_line(f, line);
}

static uint32_t number_at(const struct frame *f, size_t at)
{
	const uint8_t *p = f->head + at;

	if (f->head[0] == 'l')
		return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
	return p[3] | (uint32_t)p[2] << 8 | (uint32_t)p[1] << 16 | (uint32_t)p[0] << 24;
}

/* What all heads begin with: byte order, type, flags, version, length of the body, serial, length of the fields. */
static int take_head(struct frame *f)
{
	uint64_t rest;

	if ((f->head[0] != 'l' && f->head[0] != 'B') || f->head[3] != 1)
		return -EPROTO;
	rest = (uint64_t)number_at(f, 4) + ((uint64_t)number_at(f, 12) + 7) / 8 * 8;
	if (rest + sizeof(f->head) > FRAME_MESSAGE_MAX)
		return -EMSGSIZE;
	f->nhead = 0;
	f->rest = rest;
	f->state = rest ? FRAME_REST : FRAME_HEAD;
	f->messages++;
	return 0;
}

static int feed_byte(struct frame *f, uint8_t c)
{
	switch (f->state) {
	case FRAME_NUL:
		f->state = FRAME_LINE;
		return c ? -EPROTO : 0;
	case FRAME_LINE:
		return feed_line(f, c);
	default:
		f->head[f->nhead++] = c;
		return f->nhead == sizeof(f->head) ? take_head(f) : 0;
	}
}

int frame_feed(struct frame *f, const uint8_t *data, size_t n)
{
	int r = 0;

	while (n && r == 0) {
		if (f->state == FRAME_REST) {
			const size_t skip = MIN(n, f->rest);

			data += skip;
			n -= skip;
			f->rest -= skip;
			if (!f->rest)
				f->state = FRAME_HEAD;
			continue;
		}
		r = feed_byte(f, *data++);
		n--;
	}
	return r;
}
