/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside the room only: messages of the kernel module, checked. Nothing here
 * talks to a kernel, so that all of it can be tried with forged messages.
 */
#ifndef RECLAIM_SENSE_REPLY_H
#define RECLAIM_SENSE_REPLY_H

#include <linux/netlink.h>
#include <stdbool.h>

#include "sense/age.h"
#include "sense/proc.h"
#include "sense/region.h"
#include "uapi/linux/reclaim.h"

#define REPLY_TEXT 256

struct reply {
	uint8_t cmd;
	/* By RECLAIM_A_*, numbers of both sizes; PROC_UNKNOWN: left out. */
	uint64_t value[RECLAIM_A_MAX + 1];
	/* In the message itself: gone with it. NULL: left out. */
	const char *comm, *name;
	struct age age; /* of the first histogram */
};

/*
 * Reads a message of the family, of which @h is a header inside of a buffer
 * that holds all nlmsg_len bytes. Every attribute has its size and every string
 * its end; pid and start time are always there, and where and what a region
 * is. Attributes that a newer module may have added are skipped. 0 or -EBADMSG.
 */
int reply_read(const struct nlmsghdr *h, struct reply *ret) __must_check;

/*
 * The end of an answer, NLMSG_ERROR or NLMSG_DONE. A failed dump has its error
 * in the latter, where nl_recvmsgs() would not look for it. 0, the kernel's
 * -errno with its words in @text ("" when it has none), or -EBADMSG.
 */
int reply_end(const struct nlmsghdr *h, char text[REPLY_TEXT]) __must_check;

/* Was the process named? Only those who asked for that must be told. */
bool reply_has_who(const struct reply *r);

/* Of two figures; PROC_UNKNOWN where one is unknown, or both together are more than there can be. */
uint64_t reply_sum(uint64_t a, uint64_t b);

/* The module's figures over those of @p; what it left out stays as it is. */
void reply_fill_proc(const struct reply *r, struct proc *p);

/* A process from nothing but the reply, as of PROC_COUNTERS. 0 or -ENOMEM. */
int reply_make_proc(const struct reply *r, struct proc *ret) __must_check;

/*
 * A mapping; its name lives as long as the reply and @maps (which may be NULL):
 * where that has the very same mapping, name, file and kind are taken from there.
 */
void reply_make_region(const struct reply *r, const struct maps *maps, struct region *ret);

/* Does the reply speak of this process, not of another that has its pid? */
bool reply_is_about(const struct reply *r, const struct proc *p);

#endif
