/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/bar.h"

#include <string.h>
#include <wchar.h>

#include "base/cleanup.h"
#include "base/text.h"

static const struct {
	const char *block, *ascii, *color;
} looks[BAR_PARTS] = {
	{ "\xe2\x96\x88", "#", "" }, /* full block: in use */
	{ "\xe2\x96\x93", "+", "\033[33m" }, /* dark shade: cached */
	{ "\xe2\x96\x91", ".", "\033[32m" }, /* light shade: free */
};

bool bar_blocks(void)
{
	static const char full[] = "\xe2\x96\x88";
	mbstate_t state;
	wchar_t wide = 0;

	memset(&state, 0, sizeof(state));
	return mbrtowc(&wide, full, sizeof(full) - 1, &state) == sizeof(full) - 1 && wide == 0x2588;
}

/* Characters for @part, rounded; at least one for more than nothing. */
static unsigned int length(uint64_t part, uint64_t whole, unsigned int room)
{
	unsigned int n;

	if (!part || !whole)
		return 0;
	n = part >= whole ? BAR_WIDTH : (unsigned int)(((__uint128_t)part * BAR_WIDTH + whole / 2) / whole);
	return MIN(MAX(n, 1u), room);
}

char *bar_format(const uint64_t parts[BAR_PARTS], uint64_t whole, bool blocks, bool colors, char buf[BAR_SIZE])
{
	unsigned int room = BAR_WIDTH;

	buf[0] = '\0';
	for (size_t i = 0; i < BAR_PARTS; i++) {
		const unsigned int n = length(parts[i], whole, room);
		const bool color = colors && n && *looks[i].color;

		room -= n;
		if (color)
			text_append(buf, BAR_SIZE, "%s", looks[i].color);
		for (unsigned int k = 0; k < n; k++)
			text_append(buf, BAR_SIZE, "%s", blocks ? looks[i].block : looks[i].ascii);
		if (color)
			text_append(buf, BAR_SIZE, "\033[0m");
	}
	return buf;
}
