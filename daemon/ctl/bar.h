/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A bar of a fixed number of characters: what a whole is made of. */
#ifndef RECLAIM_CTL_BAR_H
#define RECLAIM_CTL_BAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BAR_WIDTH 24
#define BAR_PARTS 3
#define BAR_SIZE (BAR_WIDTH * 3 + BAR_PARTS * 16 + 1) /* bytes that are always enough */

/* Can the terminal's locale show block characters? setlocale() has been called. */
bool bar_blocks(void);

/*
 * @parts of @whole from left to right, dark to light, the rest blank; a part
 * that isn't 0 gets a character while there is room. Returns @buf.
 */
char *bar_format(const uint64_t parts[BAR_PARTS], uint64_t whole, bool blocks, bool colors, char buf[BAR_SIZE]);

#endif
