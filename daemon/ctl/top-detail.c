/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One process in all its layers, as "explain" knows them. */
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/parse.h"
#include "base/text.h"
#include "ctl/top.h"
#include "ctl/trim.h"

#define LABEL 24
#define ARENAS_SHOWN 5

struct pen {
	struct canvas *c;
	int y;
	bool blocks;
};

static const char *size_text(uint64_t v, char *buf, size_t size)
{
	if (v == UINT64_MAX)
		text_format(buf, size, "-");
	else
		format_size(v, buf, size);
	return buf;
}

static void heading(struct pen *p, const char *text, const char *more)
{
	int x;

	p->y++;
	x = canvas_printf(p->c, p->y, 0, STYLE_BOLD, "%s", text);
	(void)canvas_printf(p->c, p->y++, x + 2, STYLE_DIM, "%s", more);
}

/* A figure, its share of @whole as a bar of one part, and what there is to say. */
static void figure(struct pen *p, const char *label, uint64_t v, uint64_t whole, int part, const char *more)
{
	const int bar = MIN(MAX(p->c->width / 3, 10), 60);
	uint64_t parts[TOP_PARTS] = { 0 };
	char size[24];
	int x = LABEL + 15;

	(void)canvas_put(p->c, p->y, 2, LABEL, label, STYLE_PLAIN);
	canvas_put_right(p->c, p->y, 2 + LABEL, 10, size_text(v, size, sizeof(size)), STYLE_PLAIN);
	if (part >= 0 && v != UINT64_MAX && whole) {
		parts[part] = v;
		top_draw_bar(p->c, p->y, x, bar, parts, whole, p->blocks);
		x += bar + 2;
	}
	(void)canvas_printf(p->c, p->y++, x, STYLE_DIM, "%s", more);
}

/* Over as many lines as it takes, all from column @x on. */
static void lines(struct pen *p, int x, const char *text, enum style style)
{
	const int width = MAX(p->c->width - 1 - x, 10);
	char line[CANVAS_MAX + 1];

	while (*text) {
		const size_t n = canvas_fit(text, width);

		text_format(line, sizeof(line), "%.*s", (int)n, text);
		(void)canvas_printf(p->c, p->y++, x, style, "%s", line);
		text += n;
		text += strspn(text, " ");
	}
}

static void sentence(struct pen *p, const char *mark, const char *text)
{
	char shown[NOTE_MAX * 4];

	escape_text(text, shown, sizeof(shown));
	if (*shown)
		(void)canvas_printf(p->c, p->y, 2, STYLE_PLAIN, "%s", mark);
	lines(p, 4, shown, STYLE_PLAIN);
}

/* ---------------------------------------------------------------- the process */

static void draw_process(struct pen *p, const struct top_proc *t, const struct explanation *e)
{
	const struct proc *proc = t ? &t->p : &e->proc;
	char comm[300], text[5][24], unit[256], user[256], uid[16];

	text_format(uid, sizeof(uid), "%u", proc->uid);
	(void)canvas_printf(p->c, p->y, 0, STYLE_BOLD, "%d (%s)", proc->pid,
			    escape_text(proc->comm, comm, sizeof(comm)));
	if (t)
		(void)canvas_printf(p->c, p->y, (int)strlen(comm) + 12, STYLE_DIM, "%s  %s  %d threads",
				    escape_text(*t->user ? t->user : uid, user, sizeof(user)),
				    escape_text(proc->unit ? proc->unit : "", unit, sizeof(unit)), proc->threads);
	p->y++;
	(void)canvas_printf(p->c, p->y++, 0, STYLE_PLAIN,
			    "RSS %s = anonymous %s + files %s + shared %s; swapped out %s",
			    size_text(proc->rss, text[0], 24), size_text(proc->anon, text[1], 24),
			    size_text(proc->file, text[2], 24), size_text(proc->shmem, text[3], 24),
			    size_text(proc->swap, text[4], 24));
}

/* The same bar as in the list, over the whole width. */
static void draw_parts(struct pen *p, const struct top_proc *t)
{
	char size[24];
	int x = 0;

	top_draw_bar(p->c, p->y++, 0, p->c->width, t->parts, t->p.rss == PROC_UNKNOWN ? 0 : t->p.rss, p->blocks);
	for (size_t k = 0; k < TOP_PARTS; k++) {
		if (!t->parts[k])
			continue;
		canvas_set(p->c, p->y, x, top_part_char(k, p->blocks), STYLE_PART + k);
		x = canvas_printf(p->c, p->y, x + 2, STYLE_PLAIN, "%s %s", top_part_names[k],
				  size_text(t->parts[k], size, sizeof(size))) +
		    2;
	}
	p->y++;
}

static void draw_given(struct pen *p, const struct top_given *g)
{
	char a[24], b[24], reason[WORKER_TEXT_MAX * 4], text[sizeof(reason) + 128];

	if (g->state == TOP_TRIM_RUNNING || g->state == TOP_TRIM_QUEUED)
		lines(p, 0, g->dry ? "Asking what would come back..." : "Giving back...", STYLE_WARN);
	if (g->state != TOP_TRIM_DONE)
		return;
	escape_text(g->reason, reason, sizeof(reason));
	if (g->dry && (g->outcome == WORKER_WOULD || g->outcome == WORKER_NOTHING)) {
		text_format(text, sizeof(text), "A trim would free about %s", size_text(g->predicted, a, sizeof(a)));
		lines(p, 0, text, STYLE_PLAIN);
	} else if (g->outcome == WORKER_RECLAIMED) {
		text_format(text, sizeof(text), "Trimmed: freed %s, stopped for %s at most%s%s",
			    size_text(g->freed > 0 ? (uint64_t)g->freed : 0, a, sizeof(a)),
			    format_time_us(g->stopped_us, b, sizeof(b)), *reason ? "; not all of it: " : "", reason);
		lines(p, 0, text, STYLE_GOOD);
	} else {
		text_format(text, sizeof(text), "%s%s%s",
			    g->outcome == WORKER_NOTHING && *reason ? "Trimmed: nothing came back" :
			    g->outcome == WORKER_NOTHING	    ? "Trimmed: nothing to give back" :
			    g->outcome == WORKER_REFUSED	    ? "Trim refused" :
								      "Trim failed",
			    *reason ? ": " : "", reason);
		lines(p, 0, text, g->outcome == WORKER_NOTHING ? STYLE_PLAIN : STYLE_WARN);
	}
}

/* ---------------------------------------------------------------- layers */

static void draw_kernel(struct pen *p, const struct explanation *e)
{
	uint64_t whole = 0;
	char more[64], size[2][24];

	if (!e->has_regions || !e->regions.n)
		return;
	for (enum account_kind k = 0; k < ACCOUNT_N; k++)
		whole += e->accounts[k].rss;
	heading(p, "Kernel", "resident pages by what they are for");
	for (enum account_kind k = 0; k < ACCOUNT_N; k++) {
		const struct account *a = &e->accounts[k];

		if (!a->rss && !a->swap)
			continue;
		more[0] = '\0';
		if (a->swap)
			text_format(more, sizeof(more), "swap %s ", size_text(a->swap, size[0], 24));
		if (a->huge)
			text_append(more, sizeof(more), "huge %s", size_text(a->huge, size[1], 24));
		figure(p, account_name(k), a->rss, whole, TOP_OTHER, more);
	}
}

/* The largest ones, by what the system has given them. */
static void draw_arenas(struct pen *p, const struct explain_answer *a)
{
	uint64_t below = UINT64_MAX;
	char label[40], size[24], more[64];
	uint32_t shown = 0;

	while (a->head.narenas > 1 && shown < ARENAS_SHOWN) {
		uint64_t most = 0;

		for (uint32_t i = 0; i < a->head.narenas; i++)
			if (a->arenas[i].system < below)
				most = MAX(most, a->arenas[i].system);
		if (!most)
			break;
		for (uint32_t i = 0; i < a->head.narenas && shown < ARENAS_SHOWN; i++) {
			const struct explain_arena *r = &a->arenas[i];

			if (r->system != most)
				continue;
			text_format(label, sizeof(label), r->flags & EXPLAIN_A_MAIN ? "  main arena" : "  arena %u", i);
			text_format(more, sizeof(more), "free, resident; of %s", size_text(r->system, size, 24));
			figure(p, label, r->free_resident, r->system, TOP_FREE, more);
			shown++;
		}
		below = most;
	}
	if (shown && a->head.arenas_total > shown) {
		text_format(label, sizeof(label), "  %" PRIu64 " more arenas", a->head.arenas_total - shown);
		(void)canvas_printf(p->c, p->y++, 2, STYLE_DIM, "%s", label);
	}
}

static void draw_glibc(struct pen *p, const struct explanation *e)
{
	const struct explain_glibc *g = &e->answer.head.glibc;
	char name[64], more[96];

	if (!explanation_has_glibc(e))
		return;
	text_format(name, sizeof(name), "glibc %u.%u", g->major, g->minor);
	heading(p, name, g->layer == EXPLAIN_ESTIMATE ? "changing: an estimate" : "");
	figure(p, "in use", g->in_use, g->system, TOP_IN_USE, "");
	figure(p, "cached", g->cached, g->system, TOP_CACHED, "");
	figure(p, "free, resident pages", g->free_resident, g->system, TOP_FREE,
	       g->flags & EXPLAIN_G_PARTIAL ? "at least" : "");
	figure(p, "free otherwise", g->free - MIN(g->free, g->free_resident), g->system, -1, "");
	text_format(more, sizeof(more), "%" PRIu64 " blocks with mappings of their own", g->mmapped_blocks);
	if (g->mmapped_blocks)
		figure(p, "large blocks", g->mmapped, 0, -1, more);
	draw_arenas(p, &e->answer);
}

static void draw_python(struct pen *p, const struct explanation *e)
{
	const struct explain_python *py = &e->answer.head.python;
	char name[64], version[32], more[128];

	if (!explanation_has_python(e))
		return;
	text_format(name, sizeof(name), "CPython %s", explain_python_version(py->version, version, sizeof(version)));
	heading(p, name, py->layer == EXPLAIN_ESTIMATE ? "changing: an estimate" : "");
	figure(p, "in use", py->in_use, py->arena_bytes, TOP_IN_USE, "");
	figure(p, "free, resident pages", py->free_resident, py->arena_bytes, TOP_FREE, "");
	figure(p, "free otherwise", py->free - MIN(py->free, py->free_resident), py->arena_bytes, -1, "");
	text_format(more, sizeof(more),
		    "%" PRIu64 " arenas; pools: %" PRIu64 " full, %" PRIu64 " partly used, %" PRIu64 " free",
		    py->arenas, py->pools_full, py->pools_used, py->pools_free);
	sentence(p, "", more);
}

static void draw_remedies(struct pen *p, const struct explain_head *h, bool gone)
{
	char size[24], reason[EXPLAIN_TEXT_MAX + 32];

	if (!h->nremedies)
		return;
	heading(p, "Remedies", gone ? "" : "key t: give it back");
	for (uint32_t i = 0; i < h->nremedies; i++) {
		const struct explain_remedy *r = &h->remedies[i];

		text_format(reason, sizeof(reason), "%-8s %s %s%s", trim_remedy_name(r->remedy),
			    !r->possible		    ? "no" :
			    r->predicted == EXPLAIN_UNKNOWN ? "yes" :
							      size_text(r->predicted, size, sizeof(size)),
			    r->possible ? "" : ": ", r->reason);
		sentence(p, "-", reason);
	}
}

static void draw_notes(struct pen *p, const struct explanation *e, const char *title, size_t from, size_t to)
{
	if (from < to)
		heading(p, title, "");
	for (size_t i = from; i < to; i++)
		sentence(p, "-", e->notes.text[i]);
}

static void draw_state(struct pen *p, const struct top *t)
{
	const struct top_detail *d = &t->detail;
	const uint64_t age_s = (clock_us(CLOCK_BOOTTIME) - d->at_us) / 1000000;
	char age[24];

	if (d->gone)
		(void)canvas_printf(p->c, p->y++, 0, STYLE_WARN, "It has exited%s",
				    d->e ? "; what was known of it last:" : ".");
	else if (!d->e)
		(void)canvas_printf(p->c, p->y++, 0, STYLE_WARN, "Looking into it...");
	else
		(void)canvas_printf(p->c, p->y++, 0, STYLE_DIM, "As of %s%s%s; key l looks again",
				    age_s ? format_time_us(age_s * 1000000, age, sizeof(age)) : "now",
				    age_s ? " ago" : "", d->wanted ? ", looking again..." : "");
	if (d->e && !explanation_looked(d->e) && *d->e->answer.head.reason)
		sentence(p, "!", d->e->answer.head.reason);
}

int top_draw_detail(struct top *t, struct canvas *c)
{
	const struct top_proc *proc = top_model_alive(&t->model, t->detail.pid, t->detail.start_time);
	struct explanation *e = t->detail.e;
	struct pen p = { .c = c, .blocks = t->blocks };

	if (!proc)
		t->detail.gone = true;
	if (proc || e)
		draw_process(&p, proc, e);
	if (proc) {
		draw_parts(&p, proc);
		draw_given(&p, &proc->given);
	}
	draw_state(&p, t);
	if (!e)
		return p.y;
	draw_notes(&p, e, "Findings", 0, e->notes.findings);
	if (explanation_looked(e))
		draw_remedies(&p, &e->answer.head, t->detail.gone);
	draw_python(&p, e);
	draw_glibc(&p, e);
	draw_kernel(&p, e);
	draw_notes(&p, e, "Advice", e->notes.findings, e->notes.n);
	return p.y;
}
