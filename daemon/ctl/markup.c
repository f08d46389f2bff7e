// SPDX-License-Identifier: GPL-2.0-or-later
#include "ctl/markup.h"

#include <stdarg.h>
#include <string.h>

#include "base/parse.h"
#include "base/utf8.h"

static const char *markup_entity(uint32_t code)
{
	switch (code) {
	case '&':
		return "&amp;";
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '"':
		return "&quot;";
	case '\'':
		return "&#39;";
	case 0xfffe:
	case 0xffff: /* which XML forbids, also as numbers */
		return "\xef\xbf\xbd";
	default:
		return text_is_plain(code) ? NULL : "\xef\xbf\xbd";
	}
}

void markup_text(FILE *f, const char *text)
{
	size_t left = strlen(text);

	while (left) {
		uint32_t code;
		size_t n = utf8_next(text, left, &code);
		const char *entity = n ? markup_entity(code) : "\xef\xbf\xbd";

		if (entity)
			(void)fputs(entity, f);
		else
			(void)fwrite(text, 1, n, f);
		n = n ? n : 1;
		text += n;
		left -= n;
	}
}

void markup_format(FILE *f, const char *format, ...)
{
	char buf[1024];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(buf, sizeof(buf), format, args);
	va_end(args);
	markup_text(f, buf);
}
