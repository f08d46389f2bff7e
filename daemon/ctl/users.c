/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <pthread.h>
#include <pwd.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "ctl/users.h"

#define ENTRY_MAX ((size_t)1 << 16) /* bytes of a passwd entry */
#define SOON_NS 20000000 /* a local file needs a hundredth of it */

/* Two own it, the thread and who waits; whoever leaves last frees it. */
struct user_lookup {
	atomic_uint owners;
	sem_t done;
	struct user_entry entry;
};

/* ---------------------------------------------------------------- what is known */

static const char *find(const struct users *u, uid_t uid)
{
	for (size_t i = 0; i < u->n; i++)
		if (u->v[i].uid == uid)
			return u->v[i].name;
	return NULL;
}

static void keep(struct users *u, const struct user_entry *e)
{
	if (u->n == u->room) {
		size_t room = u->room ? u->room * 2 : 16;
		struct user_entry *v = realloc(u->v, room * sizeof(*v));

		/* Only a cache: without room the name is looked up again. */
		if (!v)
			return;
		u->v = v;
		u->room = room;
	}
	u->v[u->n++] = *e;
}

static void look_up(struct user_entry *e)
{
	_cleanup_free_ char *buf = NULL;
	struct passwd pw, *found = NULL;
	int r = ERANGE;

	e->name[0] = 0;
	for (size_t size = 1024; r == ERANGE && size <= ENTRY_MAX; size *= 2) {
		free(buf);
		buf = malloc(size);
		if (!buf)
			return;
		r = getpwuid_r(e->uid, &pw, buf, size, &found);
	}
	/* A cut name would name somebody else. */
	if (r == 0 && found && strlen(pw.pw_name) < sizeof(e->name))
		snprintf(e->name, sizeof(e->name), "%s", pw.pw_name);
}

void users_name(struct users *u, uid_t uid, char *buf, size_t size)
{
	struct user_entry e = { .uid = uid };
	const char *name = find(u, uid);

	if (!name) {
		look_up(&e);
		keep(u, &e);
		name = e.name;
	}
	snprintf(buf, size, "%s", name);
}

/* ---------------------------------------------------------------- aside */

static void leave(struct user_lookup *l)
{
	if (atomic_fetch_sub(&l->owners, 1) != 1)
		return;
	(void)sem_destroy(&l->done);
	free(l);
}

static void *lookup_thread(void *arg)
{
	struct user_lookup *l = arg;

	look_up(&l->entry);
	(void)sem_post(&l->done);
	leave(l);
	return NULL;
}

/* NULL: can't be had now. */
static struct user_lookup *begin(uid_t uid)
{
	struct user_lookup *l = calloc(1, sizeof(*l));
	pthread_t thread;

	if (!l)
		return NULL;
	l->entry.uid = uid;
	atomic_init(&l->owners, 2);
	if (sem_init(&l->done, 0, 0) < 0) {
		free(l);
		return NULL;
	}
	if (pthread_create(&thread, NULL, lookup_thread, l)) {
		(void)sem_destroy(&l->done);
		free(l);
		return NULL;
	}
	(void)pthread_detach(thread);
	return l;
}

/* Has it ended by @until? Then what it found is known. */
static bool take(struct users *u, size_t i, const struct timespec *until)
{
	struct user_lookup *l = u->aside[i];
	int r;

	do
		r = until ? sem_clockwait(&l->done, CLOCK_MONOTONIC, until) : sem_trywait(&l->done);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return false;
	keep(u, &l->entry);
	leave(l);
	u->aside[i] = NULL;
	return true;
}

/* For a moment, which is mostly enough: a list with numbers that become names flickers. */
static void wait_a_moment(struct users *u, size_t i)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += SOON_NS;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	(void)take(u, i, &until);
}

bool users_name_soon(struct users *u, uid_t uid, char *buf, size_t size)
{
	bool asked = false, slow = false;
	size_t room = USERS_ASIDE;
	const char *name;

	for (size_t i = 0; i < USERS_ASIDE; i++) {
		if (u->aside[i] && !take(u, i, NULL)) {
			asked |= u->aside[i]->entry.uid == uid;
			slow = true;
		}
		if (!u->aside[i])
			room = i;
	}
	name = find(u, uid);
	if (!name && !asked && room < USERS_ASIDE) {
		u->aside[room] = begin(uid);
		/* Not again and again: somebody else's has been at work for longer than that. */
		if (u->aside[room] && !slow)
			wait_a_moment(u, room);
		name = find(u, uid);
	}
	snprintf(buf, size, "%s", name ? name : "");
	return name;
}

void users_done(struct users *u)
{
	for (size_t i = 0; i < USERS_ASIDE; i++)
		if (u->aside[i])
			leave(u->aside[i]);
	free(u->v);
	*u = (struct users){ 0 };
}
