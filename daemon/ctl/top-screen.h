/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The terminal, by way of ncurses: the only place that knows it. */
#ifndef RECLAIM_CTL_TOP_SCREEN_H
#define RECLAIM_CTL_TOP_SCREEN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "ctl/canvas.h"

/* Beyond all characters. */
enum top_special {
	TOP_KEY_UP = 0x110000,
	TOP_KEY_DOWN,
	TOP_KEY_LEFT,
	TOP_KEY_RIGHT,
	TOP_KEY_PAGE_UP,
	TOP_KEY_PAGE_DOWN,
	TOP_KEY_HOME,
	TOP_KEY_END,
	TOP_KEY_ENTER,
	TOP_KEY_BACKSPACE,
	TOP_KEY_ESCAPE,
	TOP_KEY_HELP, /* F1 */
};

enum screen_event { SCREEN_NOTHING, SCREEN_KEY, SCREEN_CLICK, SCREEN_WHEEL };

struct screen_input {
	enum screen_event event;
	int key; /* a character, or enum top_special */
	int y, x; /* of a click; of the wheel y: lines down */
};

/* Takes stdin and stdout. 0, or -EINVAL with what the terminal lacks in @why. */
int screen_open(bool colors, char *why, size_t size) __must_check;

/* As it was before. May be called again, and from anywhere. */
void screen_close(void);

/* The terminal to somebody else, and back. */
void screen_leave(void);
void screen_return(void);

/* What the terminal says that it is now. */
void screen_size(int *ret_width, int *ret_height);

void screen_mouse(bool on);

/* @all: also what should be there already. Only what differs is sent. */
void screen_show(const struct canvas *c, bool all);

/* Takes one input, which may be nothing that anybody wants; false: there is none. */
bool screen_read(struct screen_input *ret);

#endif
