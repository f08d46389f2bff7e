/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of user ids, each looked up once: the name service may be slow. */
#ifndef RECLAIM_CTL_USERS_H
#define RECLAIM_CTL_USERS_H

#include <stddef.h>
#include <sys/types.h>

struct user_entry {
	uid_t uid;
	char name[64];
};

struct users {
	struct user_entry *v;
	size_t n, room;
};

/* Name of @uid into @buf, "" when it has none. */
void users_name(struct users *u, uid_t uid, char *buf, size_t size);
void users_done(struct users *u);

#endif
