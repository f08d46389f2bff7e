/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who may do what: all of it is the table in access.c. */
#ifndef RECLAIM_BUS_ACCESS_H
#define RECLAIM_BUS_ACCESS_H

#include <stdbool.h>
#include <sys/types.h>

#define ACCESS_ACTION "org.reclaim1.trim-others" /* what polkit is asked about */

enum access_deed {
	ACCESS_LIST,
	ACCESS_EXPLAIN,
	ACCESS_TRIM,
	ACCESS_HISTORY,
	ACCESS_RELOAD,
	ACCESS_HEAR, /* signals about a process */
	ACCESS_N,
};

enum access_answer {
	ACCESS_NO,
	ACCESS_ASK, /* polkit; without one: no */
	ACCESS_YES,
};

/* @own: it is about processes of @uid alone. */
enum access_answer access_decide(enum access_deed deed, uid_t uid, bool own);

#endif
