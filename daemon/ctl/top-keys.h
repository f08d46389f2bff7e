/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The keys of "top": what each does, of which help is made. */
#ifndef RECLAIM_CTL_TOP_KEYS_H
#define RECLAIM_CTL_TOP_KEYS_H

#include <stddef.h>

#include "ctl/top-screen.h"
#include "ctl/top.h"

enum top_key_page {
	TOP_ON_LIST = 1 << TOP_PAGE_LIST,
	TOP_ON_DETAIL = 1 << TOP_PAGE_DETAIL,
	TOP_ON_HELP = 1 << TOP_PAGE_HELP,
	TOP_ON_ALL = TOP_ON_LIST | TOP_ON_DETAIL | TOP_ON_HELP,
};

struct top_key_row {
	int keys[3];
	const char *name; /* as help shows them */
	const char *help;
	const char *hint; /* a word for the last line, or NULL */
	unsigned int pages; /* enum top_key_page */
	void (*fn)(struct top *t, int key);
	int arg;
};

extern const struct top_key_row top_key_rows[];
extern const size_t top_nkey_rows;

/* Moves in the list or the sheet; used by the wheel of a mouse too. */
void top_move(struct top *t, int by);

#endif
