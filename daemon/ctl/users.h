/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of user ids, each looked up once: the name service may be slow. */
#ifndef RECLAIM_CTL_USERS_H
#define RECLAIM_CTL_USERS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define USERS_ASIDE 4 /* lookups at the same time */

struct user_lookup;

struct user_entry {
	uid_t uid;
	char name[64];
};

struct users {
	struct user_entry *v;
	size_t n, room;
	struct user_lookup *aside[USERS_ASIDE]; /* at work in threads of their own; NULL: free */
};

/* Name of @uid into @buf, "" when it has none. However long that takes. */
void users_name(struct users *u, uid_t uid, char *buf, size_t size);

/*
 * The same for who must not wait: a name that isn't known at once is looked up aside. false: not known yet, @buf
 * is ""; ask again.
 */
bool users_name_soon(struct users *u, uid_t uid, char *buf, size_t size);

void users_done(struct users *u); /* a lookup that hangs is left to itself */

#endif
