/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/clock.h"
#include "bus/request.h"
#include "reclaim/bus.h"

#define WHO_TIMEOUT_US 5000000ull
#define UNREAD_MAX 2 /* answers that wait for being read */
#define CHARGE 10 /* who takes our time pays so many times that: a tenth of it is the most that a user gets */

/* ---------------------------------------------------------------- its life */

static void request_free(struct request *q)
{
	struct bus *b = q->bus;

	if (q->at_manager)
		manager_forget(b->manager, q);
	if (q->counted_worker)
		quota_give(&b->quota, q->uid, QUOTA_WORKER);
	if (q->counted)
		quota_give(&b->quota, q->uid, QUOTA_REQUEST);
	if (q->prev)
		q->prev->next = q->next;
	else
		b->requests = q->next;
	if (q->next)
		q->next->prev = q->prev;
	sd_bus_slot_unref(q->asking);
	sd_bus_slot_unref(q->vanish);
	sd_bus_message_unref(q->call);
	free(q);
}

/*
 * The asker has gone. What a worker does for them goes on to its end, and counts as theirs until then: else whoever
 * asks and hangs up, again and again, would have all workers.
 */
static void request_leave(struct request *q)
{
	if (!q->at_manager) {
		request_free(q);
		return;
	}
	q->peer = NULL;
	q->vanish = sd_bus_slot_unref(q->vanish);
	q->call = sd_bus_message_unref(q->call);
}

void request_leave_all(struct bus *b, const struct peer *p)
{
	struct request *next;

	for (struct request *q = b->requests; q; q = next) {
		next = q->next;
		if (q->peer == p)
			request_leave(q);
	}
}

bool request_come_back(struct request *q)
{
	q->at_manager = false;
	if (q->peer)
		return true;
	request_free(q);
	return false;
}

void request_end_all(struct bus *b)
{
	while (b->requests)
		request_free(b->requests);
}

static size_t count_requests(const struct bus *b)
{
	size_t n = 0;

	for (const struct request *q = b->requests; q; q = q->next)
		n++;
	return n;
}

static struct request *request_new(struct peer *p, sd_bus_message *m, const struct method *method)
{
	struct request *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	q->bus = p->bus;
	q->peer = p;
	q->call = sd_bus_message_ref(m);
	q->method = method;
	q->next = p->bus->requests;
	if (q->next)
		q->next->prev = q;
	p->bus->requests = q;
	return q;
}

/* ---------------------------------------------------------------- its end */

/* That an answer doesn't get out is the asker's loss: they have gone, or don't read. */
void request_answer(struct request *q, sd_bus_message *answer)
{
	if (!answer) {
		request_error(q, BUS_E_FAILED, "out of memory");
		return;
	}
	(void)sd_bus_send(q->peer->conn, answer, NULL);
	sd_bus_message_unref(answer);
	request_free(q);
}

void request_error(struct request *q, const char *name, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)sd_bus_reply_method_errorfv(q->call, name, format, ap);
	va_end(ap);
	request_free(q);
}

void request_fail(struct request *q, int error, const char *why)
{
	static const struct {
		int error;
		const char *name, *why;
	} rows[] = {
		{ -ESRCH, BUS_E_GONE, "no such process" },
		{ -EPERM, BUS_E_DENIED, "not permitted" },
		{ -EACCES, BUS_E_DENIED, "not permitted" },
		{ -EBUSY, BUS_E_BUSY, "the process is being acted on" },
		{ -EAGAIN, BUS_E_BUSY, "all workers are busy; try again" },
		{ -EDQUOT, BUS_E_LIMIT, "you have too many requests without an answer, or ask too often" },
		{ -EUSERS, BUS_E_LIMIT, "all users together have too many requests without an answer; try again" },
		{ -EINVAL, BUS_E_ARGUMENT, "invalid argument" },
	};
	const bool say = why && *why;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].error != error)
			continue;
		request_error(q, rows[i].name, "%s", say ? why : rows[i].why);
		return;
	}
	request_error(q, BUS_E_FAILED, "%s", say ? why : strerror(-error));
}

/* ---------------------------------------------------------------- its way */

static int act(struct request *q)
{
	int r = 0;

	if (q->method->worker) {
		r = quota_take(&q->bus->quota, q->uid, QUOTA_WORKER);
		q->counted_worker = r >= 0;
	}
	return r < 0 ? r : q->method->act(q);
}

void request_allow(struct request *q)
{
	struct quota *quota = &q->bus->quota;
	const uint64_t before_ns = clock_ns();
	const uid_t uid = q->uid;
	int r = act(q);

	if (r < 0)
		request_fail(q, r, NULL);
	quota_charge(quota, uid, (clock_ns() - before_ns) / 1000 * CHARGE);
}

/* Of the private socket: who doesn't read the answers gets no more of them, which may be long. */
static bool is_deaf(const struct peer *p)
{
	uint64_t unread = 0;

	return p->known && (sd_bus_get_n_queued_write(p->conn, &unread) < 0 || unread > UNREAD_MAX);
}

static int count(struct request *q)
{
	int r = is_deaf(q->peer) ? -EDQUOT : quota_take(&q->bus->quota, q->uid, QUOTA_REQUEST);

	q->counted = r >= 0;
	return r < 0 ? r : quota_pace(&q->bus->quota, q->uid, clock_ns() / 1000);
}

/* It is known who asks. */
static void request_judge(struct request *q, uid_t uid)
{
	int r;

	q->uid = uid;
	r = count(q);
	if (r >= 0 && q->method->look)
		r = q->method->look(q);
	if (r < 0) {
		request_fail(q, r, NULL);
		return;
	}
	switch (access_decide(q->method->deed, uid, q->own)) {
	case ACCESS_YES:
		request_allow(q);
		return;
	case ACCESS_ASK:
		r = polkit_ask(q);
		if (r < 0)
			request_error(q, BUS_E_DENIED,
				      "it is another user's: only root may, and polkit can't be asked");
		return;
	case ACCESS_NO:
		break;
	}
	request_error(q, BUS_E_DENIED, "only root may do that");
}

static int on_uid(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct request *q = userdata;
	uint32_t uid;

	(void)error;
	q->asking = sd_bus_slot_unref(q->asking);
	/* No such name: the asker has gone before we asked. */
	if (sd_bus_message_is_method_error(m, NULL) || sd_bus_message_read(m, "u", &uid) < 0)
		request_error(q, BUS_E_DENIED, "the bus doesn't say who you are");
	else
		request_judge(q, uid);
	return 1;
}

static int on_vanished(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	(void)m;
	(void)error;
	request_leave(userdata);
	return 0;
}

/*
 * Of a caller on the system bus: asked without waiting, as sd_bus_query_sender_creds() would. The match goes out
 * first: who vanishes before it is installed is unknown to the question, who vanishes later is told by it.
 */
static int ask_who(struct request *q)
{
	static const char bus[] = "org.freedesktop.DBus";
	const char *sender = sd_bus_message_get_sender(q->call);
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
	char match[256];
	int r;

	if (!sender)
		return -EBADMSG;
	r = snprintf(match, sizeof(match),
		     "type='signal',sender='%s',path='/org/freedesktop/DBus',interface='%s',"
		     "member='NameOwnerChanged',arg0='%s',arg2=''",
		     bus, bus, sender);
	if (r < 0 || (size_t)r >= sizeof(match))
		return -EBADMSG;
	r = sd_bus_add_match_async(q->peer->conn, &q->vanish, match, on_vanished, NULL, q);
	if (r >= 0)
		r = sd_bus_message_new_method_call(q->peer->conn, &m, bus, "/org/freedesktop/DBus", bus,
						   "GetConnectionUnixUser");
	if (r >= 0)
		r = sd_bus_message_append(m, "s", sender);
	if (r >= 0)
		r = sd_bus_call_async(q->peer->conn, &q->asking, m, on_uid, q, WHO_TIMEOUT_US);
	return MIN(r, 0);
}

static const struct method *find_method(const char *member)
{
	for (size_t i = 0; i < nmethods; i++)
		if (!strcmp(methods[i].member, member))
			return &methods[i];
	return NULL;
}

int request_begin(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct peer *p = userdata;
	const struct method *method = find_method(sd_bus_message_get_member(m));
	struct request *q;
	int r;

	if (!method)
		return -EBADRQC;
	/* Not root, whom nobody else's requests may keep out. */
	if (!(p->known && !p->uid) && count_requests(p->bus) >= REQUESTS_MAX)
		return sd_bus_error_set(error, BUS_E_LIMIT, "too many requests without an answer; try again");
	q = request_new(p, m, method);
	if (!q)
		return -ENOMEM;
	r = method->parse ? method->parse(q, m, error) : 0;
	if (r >= 0 && !p->known)
		r = ask_who(q);
	if (r < 0) {
		request_free(q);
		return r;
	}
	if (p->known)
		request_judge(q, p->uid);
	return 1;
}
