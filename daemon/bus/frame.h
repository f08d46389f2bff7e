/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Follows what a guest sends, from the first byte on: the lines of D-Bus's
 * authentication, then where each message ends. sd-bus makes room for whatever
 * length a message announces, up to 128 MiB: a guest isn't worth that, so
 * nothing gets to sd-bus that hasn't passed here.
 *
 * Only that dialogue of authentication is let through of which it is certain
 * how sd-bus understands it; else we might count from another place than it.
 */
#ifndef RECLAIM_BUS_FRAME_H
#define RECLAIM_BUS_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"

#define FRAME_MESSAGE_MAX 65536u
#define FRAME_LINE_MAX 80u
#define FRAME_LINES_MAX 16u

enum frame_state { FRAME_NUL, FRAME_LINE, FRAME_HEAD, FRAME_REST };

struct frame {
	uid_t uid; /* whom the guest must claim to be */
	enum frame_state state;
	bool data, authenticated; /* DATA is expected; who it is has been said */
	uint8_t line[FRAME_LINE_MAX];
	size_t nline, nlines;
	uint8_t head[16];
	size_t nhead;
	size_t rest; /* bytes of the message that are still to come */
	uint64_t messages; /* of which the head was seen */
};

void frame_init(struct frame *f, uid_t uid);

/* 0; -EPROTO: not what a D-Bus client says; -EMSGSIZE: the message is too long. After that it is over. */
int frame_feed(struct frame *f, const uint8_t *data, size_t n) __must_check;

#endif
