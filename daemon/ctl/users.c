/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "ctl/users.h"

static void look_up(uid_t uid, char *buf, size_t size)
{
	const struct passwd *pw = getpwuid(uid);

	/* A cut name would name somebody else. */
	if (pw && strlen(pw->pw_name) < size)
		snprintf(buf, size, "%s", pw->pw_name);
	else
		buf[0] = 0;
}

void users_name(struct users *u, uid_t uid, char *buf, size_t size)
{
	for (size_t i = 0; i < u->n; i++) {
		if (u->v[i].uid != uid)
			continue;
		snprintf(buf, size, "%s", u->v[i].name);
		return;
	}
	look_up(uid, buf, size);
	if (u->n == u->room) {
		size_t room = u->room ? u->room * 2 : 16;
		struct user_entry *v = realloc(u->v, room * sizeof(*v));

		/* Only a cache: without room the name is looked up again. */
		if (!v)
			return;
		u->v = v;
		u->room = room;
	}
	u->v[u->n].uid = uid;
	snprintf(u->v[u->n].name, sizeof(u->v[u->n].name), "%s", buf);
	u->n++;
}

void users_done(struct users *u)
{
	free(u->v);
	*u = (struct users){ 0 };
}
