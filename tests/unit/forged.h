/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Netlink messages as the kernel module makes them, and as it never would. */
#ifndef RECLAIM_TESTS_FORGED_H
#define RECLAIM_TESTS_FORGED_H

#include <linux/netlink.h>
#include <stddef.h>
#include <stdint.h>

#define FORGED_SIZE 16384
#define FORGED_FAMILY 0x23

/* Aligned as a receive buffer is, and exactly as long as nlmsg_len says, so that reads beyond it are found. */
struct forged {
	union {
		struct nlmsghdr head;
		char bytes[FORGED_SIZE];
	};
};

void forged_begin(struct forged *f, uint16_t type, uint16_t flags, uint8_t cmd); /* with a header of genetlink's */
void forged_begin_bare(struct forged *f, uint16_t type, uint16_t flags); /* without */
void forged_bytes(struct forged *f, const void *data, size_t size); /* as they are */
void forged_attr(struct forged *f, uint16_t type, const void *data, size_t size);
void forged_u32(struct forged *f, uint16_t type, uint32_t v);
void forged_u64(struct forged *f, uint16_t type, uint64_t v);
void forged_text(struct forged *f, uint16_t type, const char *text);
size_t forged_nest(struct forged *f, uint16_t type); /* begins one; ended by: */
void forged_nest_end(struct forged *f, size_t nest);

/* A copy of nlmsg_len bytes in a block of that size; free() it. */
struct nlmsghdr *forged_message(const struct forged *f);

#endif
