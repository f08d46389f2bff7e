/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside the room only: one call of a method, from its arrival to its answer.
 *
 *   arguments -> who asks? -> how much already? -> may they? (-> polkit) -> the manager -> answer
 *
 * Each arrow but the first may take its time; meanwhile the asker may vanish:
 * then the request does too, or nobody hears the answer of the manager.
 */
#ifndef RECLAIM_BUS_REQUEST_H
#define RECLAIM_BUS_REQUEST_H

#include "bus/access.h"
#include "bus/doors.h"
#include "core/ledger.h"
#include "core/manager.h"

#define REQUESTS_MAX 256 /* that have no answer yet, of everybody, known or not */

struct request;

/* One per method: methods.c. */
struct method {
	const char *member;
	enum access_deed deed;
	bool worker; /* takes one */
	int (*parse)(struct request *q, sd_bus_message *m, sd_bus_error *error);
	/* Whose processes is it about? 0; what is < 0 ends it with request_fail(). NULL: nobody's. */
	int (*look)(struct request *q);
	/* Allowed: answers, or has it answered later, and doesn't touch @q any more when it returns 0. -errno: not. */
	int (*act)(struct request *q);
};

extern const struct method methods[];
extern const size_t nmethods;

struct request {
	struct bus *bus;
	struct peer *peer; /* NULL: has gone, and the manager still works on it */
	sd_bus_message *call;
	const struct method *method;
	uid_t uid; /* once it is known */
	bool counted, counted_worker, at_manager;
	sd_bus_slot *vanish, *asking; /* of the system bus: the asker's name goes; the question that is out */
	struct request *prev, *next;
	/* from the arguments */
	bool everyone; /* not only their own */
	bool own; /* it is about processes of theirs alone */
	struct manager_request want;
	struct ledger_filter filter;
	char unit[LEDGER_NAME], exe[LEDGER_NAME];
};

/* A vtable's handler. */
int request_begin(sd_bus_message *m, void *userdata, sd_bus_error *error);

/* Each of these answers and ends @q. */
void request_fail(struct request *q, int error, const char *why); /* -errno; @why may be NULL or "" */
void request_error(struct request *q, const char *name, const char *format, ...) __printf_like(3, 4);
void request_answer(struct request *q, sd_bus_message *answer); /* takes the reference; NULL: out of memory */
void request_allow(struct request *q); /* polkit has said yes */

/* The manager has called: is there still somebody to answer? If not, @q is gone. */
bool request_come_back(struct request *q) __must_check;

/* @p has gone: nobody waits for their answers any more. */
void request_leave_all(struct bus *b, const struct peer *p);
/* Ours are the last moments. */
void request_end_all(struct bus *b);

/* polkit.c: asks; later calls request_allow() or request_error(). 0 or -errno, then neither. */
int polkit_ask(struct request *q) __must_check;

#endif
