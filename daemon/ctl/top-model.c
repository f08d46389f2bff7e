/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/top-model.h"

#include <errno.h>
#include <string.h>

#define TURNS 8 /* a small process is read in one of so many intervals */
#define NAMES_AGE 16 /* intervals after which names are read again: processes may be moved */
#define LOOK_AGE_US 60000000ull /* then what is on the screen is looked into again */
#define LOOK_REST_US 5000000ull /* not sooner, whatever it does */
#define COUNT_AGE_US 600000000ull /* then it is counted again, or once more tried to be */
#define COUNT_REST_US 30000000ull /* the same, when it isn't any more what was counted */

static void proc_free(struct top_proc *t)
{
	if (!t)
		return;
	proc_done(&t->p);
	free(t);
}

void top_model_done(struct top_model *m)
{
	for (size_t i = 0; i < m->n; i++)
		proc_free(m->v[i]);
	free(m->v);
	users_done(&m->users);
	*m = (struct top_model){ .v = NULL };
}

static struct top_proc *find_pid(const struct top_model *m, pid_t pid)
{
	size_t lo = 0, hi = m->n;

	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;

		if (m->v[mid]->p.pid == pid)
			return m->v[mid];
		if (m->v[mid]->p.pid < pid)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

struct top_proc *top_model_find(const struct top_model *m, pid_t pid, uint64_t start_time)
{
	struct top_proc *t = find_pid(m, pid);

	return t && t->p.start_time == start_time ? t : NULL;
}

struct top_proc *top_model_alive(const struct top_model *m, pid_t pid, uint64_t start_time)
{
	struct top_proc *t = top_model_find(m, pid, start_time);

	return t && (t->p.rss || t->p.kthread) ? t : NULL;
}

bool top_model_is_large(const struct top_model *m, const struct proc *p)
{
	return !p->kthread && p->rss && p->rss != PROC_UNKNOWN && p->anon >= m->min;
}

/* By threads of the source, each for pids of its own: they write to entries of their own only. */
static bool wanted(pid_t pid, void *arg)
{
	const struct top_model *m = arg;
	struct top_proc *t = find_pid(m, pid);

	if (!t)
		return true;
	t->listed = true;
	t->asked = m->whole || top_model_is_large(m, &t->p) || t->tagged || (m->tick + (uint64_t)pid) % TURNS == 0;
	return t->asked;
}

/* A list has no names, and what is known already stays. */
static void take_figures(struct top_proc *t, struct proc *p)
{
	struct proc old = t->p;

	t->p = *p;
	if (t->named) {
		t->p.exe = TAKE_PTR(old.exe);
		t->p.cgroup = TAKE_PTR(old.cgroup);
		t->p.unit = TAKE_PTR(old.unit);
		proc_done(p);
	} else {
		proc_done(&old);
	}
	*p = (struct proc){ 0 };
}

/*
 * Both are sorted by pid. Who is not in the list stays when it was only not asked for. @v has room for all;
 * nothing here can fail half-way.
 */
static size_t merge(struct top_model *m, struct proc_list *l, struct top_proc **fresh, struct top_proc **v)
{
	size_t n = 0, i = 0, k = 0, f = 0;

	for (;;) {
		struct top_proc *old = i < m->n ? m->v[i] : NULL;
		struct proc *p = k < l->n ? &l->v[k] : NULL;

		if (!old && !p)
			return n;
		if (!p || (old && old->p.pid < p->pid)) {
			i++;
			if (old->listed && !old->asked)
				v[n++] = old;
			else
				proc_free(old);
			continue;
		}
		k++;
		if (old && old->p.pid == p->pid) {
			i++;
			if (old->p.start_time == p->start_time) {
				take_figures(old, p);
				v[n++] = old;
				continue;
			}
			proc_free(old);
		}
		/* As many as there were new ones. */
		if (!fresh[f])
			continue;
		v[n] = fresh[f];
		fresh[f++] = NULL;
		take_figures(v[n++], p);
	}
}

static void fresh_free(struct top_proc **fresh, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(fresh[i]);
	free(fresh);
}

/* Entries for all that are new, so that merging can't fail. NULL: no memory. */
static struct top_proc **fresh_make(const struct top_model *m, const struct proc_list *l)
{
	struct top_proc **fresh = calloc(l->n + 1, sizeof(struct top_proc *));
	size_t n = 0;

	for (size_t i = 0; fresh && i < l->n; i++) {
		if (top_model_find(m, l->v[i].pid, l->v[i].start_time))
			continue;
		fresh[n] = calloc(1, sizeof(**fresh));
		if (!fresh[n++]) {
			fresh_free(fresh, n);
			return NULL;
		}
	}
	return fresh;
}

/* The screen doesn't wait for a name service; a log, which is read later, has the names. */
static void read_user(struct top_model *m, struct top_proc *t)
{
	if (m->live) {
		t->user_known = users_name_soon(&m->users, t->p.uid, t->user, sizeof(t->user));
		return;
	}
	users_name(&m->users, t->p.uid, t->user, sizeof(t->user));
	t->user_known = true;
}

/* Where it is, who it is. What can't be read stays as it was. */
static void read_names(struct top_model *m, struct source *s, struct top_proc *t)
{
	const bool due = !t->named || m->tick - t->named >= NAMES_AGE + (uint64_t)t->p.pid % NAMES_AGE;
	struct proc p = { 0 };

	if (t->p.kthread || (!top_model_is_large(m, &t->p) && !m->all))
		return;
	if (due || !t->user_known)
		read_user(m, t);
	if (!due)
		return;
	if (source_proc(s, t->p.pid, PROC_NAMES, &p) < 0)
		return;
	if (p.start_time == t->p.start_time) {
		proc_done(&t->p);
		t->p = p;
		t->named = m->tick;
	} else {
		proc_done(&p);
	}
}

void top_model_recount(struct top_model *m)
{
	struct top_total sum = { .given = m->total.given };

	for (size_t i = 0; i < m->n; i++) {
		struct top_proc *t = m->v[i];

		if (t->p.kthread)
			continue;
		top_split(&t->p, &t->look.inside, t->parts);
		sum.processes++;
		sum.looked += t->look.seen == TOP_SEEN_INSIDE;
		sum.at_least |= top_proc_at_least(t);
		sum.denied += t->look.seen == TOP_SEEN_DENIED;
		for (size_t k = 0; k < TOP_PARTS; k++)
			sum.parts[k] += t->parts[k];
	}
	m->total = sum;
}

int top_model_update(struct top_model *m, struct source *s)
{
	/* Kernel threads too: who is known isn't asked for each time. */
	const struct proc_filter filter = { .kthreads = true, .wanted = wanted, .arg = m };
	_cleanup_(proc_list_done) struct proc_list l = { 0 };
	struct top_proc **fresh, **v;
	size_t n;
	int r;

	m->tick++;
	for (size_t i = 0; i < m->n; i++)
		m->v[i]->listed = m->v[i]->asked = false;
	r = source_list(s, &filter, PROC_COUNTERS, &l);
	if (r < 0)
		return r;
	fresh = fresh_make(m, &l);
	v = calloc(m->n + l.n + 1, sizeof(*v));
	if (!fresh || !v) {
		fresh_free(fresh, fresh ? l.n : 0);
		free(v);
		return -ENOMEM;
	}
	n = merge(m, &l, fresh, v);
	fresh_free(fresh, l.n);
	free(m->v);
	m->v = v;
	m->n = n;
	for (size_t i = 0; i < m->n; i++)
		read_names(m, s, m->v[i]);
	m->whole = false;
	machine_read(s->root, &m->machine);
	top_model_recount(m);
	return 0;
}

/* What doesn't matter: less than this, or a sixteenth. */
static uint64_t slack(const struct top_proc *t)
{
	return MAX(TOP_HIDDEN_MIN, t->p.rss / 16);
}

static bool has_changed(const struct top_proc *t)
{
	const struct top_look *l = &t->look;

	return (t->p.rss > l->rss ? t->p.rss - l->rss : l->rss - t->p.rss) > slack(t);
}

/* The smaller, the sooner; more than 3: not at all. */
static int urgency(const struct top_proc *t, uint64_t now_us)
{
	const struct top_look *l = &t->look;
	const int later = t->visible ? 0 : 1;

	if (l->seen == TOP_SEEN_NEVER)
		return later;
	if (now_us - l->at_us < LOOK_REST_US)
		return 4;
	if (has_changed(t))
		return 2 + later;
	return t->visible && now_us - l->at_us > LOOK_AGE_US ? 3 : 4;
}

struct top_proc *top_model_due(const struct top_model *m, uint64_t now_us)
{
	struct top_proc *best = NULL;
	int least = 4;

	for (size_t i = 0; i < m->n; i++) {
		struct top_proc *t = m->v[i];
		const int u = top_model_is_large(m, &t->p) ? urgency(t, now_us) : 4;

		if (u < least || (u < 4 && u == least && t->p.anon > best->p.anon)) {
			best = t;
			least = u;
		}
	}
	return best;
}

struct top_proc *top_model_wanted(const struct top_model *m)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->v[i]->wanted && m->v[i]->p.rss && !m->v[i]->p.kthread)
			return m->v[i];
	return NULL;
}

/* What may be free in it, though nobody knows. */
static uint64_t hidden(const struct top_proc *t)
{
	const struct top_look *l = &t->look;

	if (l->seen != TOP_SEEN_INSIDE || !t->p.rss || has_changed(t))
		return 0;
	if (l->whole)
		return t->visible ? MIN(l->left_out, t->parts[TOP_IN_USE] + t->parts[TOP_IDLE]) : 0;
	return l->inside.unseen ? t->parts[TOP_UNSEEN] : 0;
}

/* Before others with a larger one: nobody is kept from their turn by one that changes all the time. */
static int count_turn(const struct top_look *l)
{
	return !l->count_us ? 0 : !l->whole ? 1 : 2;
}

struct top_proc *top_model_hiding(const struct top_model *m, uint64_t now_us, uint64_t least, uint64_t quiet_us)
{
	struct top_proc *best = NULL;
	uint64_t most = 0;

	for (size_t i = 0; i < m->n; i++) {
		struct top_proc *t = m->v[i];
		const uint64_t bytes = hidden(t);
		const int turn = count_turn(&t->look), first = best ? count_turn(&best->look) : 3;

		if (bytes < MAX(least, 1ull) || now_us < t->look.count_us || now_us - t->look.at_us < quiet_us ||
		    turn > first || (turn == first && bytes <= most))
			continue;
		best = t;
		most = bytes;
	}
	return best;
}

bool top_proc_at_least(const struct top_proc *t)
{
	return t->look.inside.known && t->parts[TOP_UNSEEN];
}

/* A glance tells a lower bound, and where there may be more. */
static bool agrees(const struct top_proc *t, const struct top_inside *glance)
{
	const struct top_inside *in = &t->look.inside;
	const uint64_t most = MIN(glance->free, UINT64_MAX / 4) + MIN(glance->unseen, UINT64_MAX / 4);

	return glance->known && glance->free <= in->free + slack(t) && in->free <= most + slack(t);
}

static void take_whole(struct top_proc *t, const struct top_look *look, uint64_t now_us)
{
	struct top_look *l = &t->look;
	const uint64_t left_out = l->left_out;

	l->count_us = now_us + COUNT_AGE_US;
	/* There is too much of it, or it is too busy: what a glance knows is better. */
	if (l->inside.known &&
	    (!look->inside.known || look->inside.unseen > MAX(l->inside.unseen, left_out) + slack(t)))
		return;
	*l = *look;
	l->whole = look->seen == TOP_SEEN_INSIDE;
	l->left_out = left_out;
	l->count_us = now_us + COUNT_AGE_US;
	l->at_us = now_us;
	l->rss = t->p.rss;
}

void top_model_take_look(struct top_proc *t, const struct top_look *look, bool whole, uint64_t now_us)
{
	struct top_look *l = &t->look;
	uint64_t count_us = l->count_us;

	if (whole) {
		take_whole(t, look, now_us);
		return;
	}
	if (l->whole && look->seen == TOP_SEEN_INSIDE && !has_changed(t) && agrees(t, &look->inside)) {
		l->at_us = now_us;
		l->left_out = look->inside.unseen;
		return;
	}
	/* What holds no more, or couldn't be counted while it was another size. */
	if (l->whole || has_changed(t))
		count_us = MIN(count_us, now_us + COUNT_REST_US);
	*l = *look;
	l->left_out = look->inside.unseen;
	l->count_us = count_us;
	l->at_us = now_us;
	l->rss = t->p.rss;
}
