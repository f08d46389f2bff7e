/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/top-keys.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/parse.h"
#include "base/text.h"
#include "ctl/top-columns.h"

static void rebuild(struct top *t)
{
	if (top_view_build(&t->view, &t->model) < 0)
		top_say(t, STYLE_BAD, "out of memory");
}

/* ---------------------------------------------------------------- moving */

void top_move(struct top *t, int by)
{
	size_t *at = t->page == TOP_PAGE_LIST ? &t->view.cursor : &t->scroll;
	const size_t to = by < 0 ? *at - MIN(*at, (size_t)-by) : *at + (size_t)by;

	if (t->page == TOP_PAGE_LIST)
		top_view_go(&t->view, to);
	else
		t->scroll = to; /* drawing knows how far it goes */
}

static void do_move(struct top *t, int key)
{
	const int page = (int)MAX(top_rows(t), (size_t)2) - 1;

	if (key == TOP_KEY_UP || key == 'k')
		top_move(t, -1);
	else if (key == TOP_KEY_DOWN || key == 'j')
		top_move(t, 1);
	else if (key == TOP_KEY_PAGE_UP)
		top_move(t, -page);
	else if (key == TOP_KEY_PAGE_DOWN)
		top_move(t, page);
	else
		top_move(t, key == TOP_KEY_HOME ? -1000000 : 1000000);
}

/* ---------------------------------------------------------------- what is shown */

static void do_quit(struct top *t, int key)
{
	(void)key;
	t->quit = true;
}

static void do_help(struct top *t, int key)
{
	(void)key;
	t->page = t->page == TOP_PAGE_HELP ? TOP_PAGE_LIST : TOP_PAGE_HELP;
	t->scroll = 0;
}

static void do_back(struct top *t, int key)
{
	(void)key;
	if (t->page == TOP_PAGE_LIST && *t->view.filter) {
		t->view.filter[0] = '\0';
		rebuild(t);
	}
	t->page = TOP_PAGE_LIST;
	t->scroll = 0;
}

static void forget_detail(struct top_detail *d)
{
	if (d->e)
		explanation_done(d->e);
	free(d->e);
	*d = (struct top_detail){ .pid = 0 };
}

static void do_open(struct top *t, int key)
{
	const struct top_line *l = top_view_line(&t->view);

	(void)key;
	if (!l)
		return;
	if (l->group) {
		if (top_view_fold(&t->view, !l->group->folded) < 0)
			top_say(t, STYLE_BAD, "out of memory");
		rebuild(t);
		return;
	}
	if (t->detail.pid != l->proc->p.pid || t->detail.start_time != l->proc->p.start_time) {
		forget_detail(&t->detail);
		t->detail.pid = l->proc->p.pid;
		t->detail.start_time = l->proc->p.start_time;
	}
	t->detail.wanted = true;
	t->page = TOP_PAGE_DETAIL;
	t->scroll = 0;
}

static void do_fold(struct top *t, int key)
{
	if (top_view_fold(&t->view, key == TOP_KEY_LEFT || key == '-') < 0)
		top_say(t, STYLE_BAD, "out of memory");
	rebuild(t);
}

static void do_group(struct top *t, int key)
{
	static const char *const words[] = { "processes, one by one", "processes by systemd unit",
					     "processes in the tree of control groups" };

	(void)key;
	t->view.by = (t->view.by + 1) % TOP_GROUPINGS;
	rebuild(t);
	top_say(t, STYLE_PLAIN, "%s", words[t->view.by]);
}

static void sort_by(struct top *t, enum top_sort sort)
{
	if (sort == TOP_SORT_IDLE && !top_knows_idle(&t->model)) {
		top_say(t, STYLE_WARN,
			"no idle times: only the kernel module knows what is idle; see 'reclaimctl doctor'");
		return;
	}
	t->view.sort = sort;
	t->view.reversed = sort == TOP_SORT_PID ? true : false;
	/* pid, user and name are sorted upwards as they are. */
	if (sort >= TOP_SORT_PID)
		t->view.reversed = false;
	rebuild(t);
	top_say(t, STYLE_PLAIN, "sorted by %s", top_sort_names[sort]);
}

static void do_sort_next(struct top *t, int key)
{
	enum top_sort next = (t->view.sort + 1) % TOP_SORTS;

	(void)key;
	if (next == TOP_SORT_IDLE && !top_knows_idle(&t->model))
		next = (next + 1) % TOP_SORTS;
	sort_by(t, next);
}

static void do_sort(struct top *t, int key)
{
	for (size_t i = 0; i < top_nkey_rows; i++)
		if (top_key_rows[i].fn == do_sort && top_key_rows[i].keys[0] == key)
			sort_by(t, (enum top_sort)top_key_rows[i].arg);
}

static void do_reverse(struct top *t, int key)
{
	(void)key;
	t->view.reversed = !t->view.reversed;
	rebuild(t);
}

static void do_all(struct top *t, int key)
{
	char min[24];

	(void)key;
	t->view.all = t->model.all = !t->view.all;
	rebuild(t);
	/* Names of those that come now are not known yet. */
	t->next_us = 0;
	if (t->view.all)
		top_say(t, STYLE_PLAIN, "all processes");
	else
		top_say(t, STYLE_PLAIN, "processes with at least %s of anonymous memory",
			format_size(t->model.min, min, sizeof(min)));
}

static void do_bars(struct top *t, int key)
{
	(void)key;
	t->view.share = !t->view.share;
	top_say(t, STYLE_PLAIN,
		t->view.share ? "each bar is the process's own RSS" : "bars are as long as RSS is beside the largest");
}

static void do_filter(struct top *t, int key)
{
	(void)key;
	memcpy(t->old_filter, t->view.filter, sizeof(t->old_filter));
	t->prompt = TOP_PROMPT_FILTER;
}

static void do_pause(struct top *t, int key)
{
	(void)key;
	t->paused = !t->paused;
	t->model.whole = true;
	t->next_us = 0;
	top_say(t, STYLE_PLAIN, t->paused ? "paused: key p goes on" : "goes on");
}

static void do_mouse(struct top *t, int key)
{
	(void)key;
	t->mouse = !t->mouse;
	top_say(t, STYLE_PLAIN,
		t->mouse ? "mouse on: click, wheel; the terminal's own selection needs Shift" : "mouse off");
}

static void do_redraw(struct top *t, int key)
{
	(void)key;
	t->model.whole = true;
	t->next_us = 0;
}

/* ---------------------------------------------------------------- doing */

static struct top_proc *chosen(const struct top *t)
{
	const struct top_line *l = top_view_line(&t->view);

	if (t->page == TOP_PAGE_DETAIL)
		return top_model_alive(&t->model, t->detail.pid, t->detail.start_time);
	return l ? l->proc : NULL;
}

static void do_look(struct top *t, int key)
{
	struct top_proc *p = chosen(t);

	(void)key;
	if (!p)
		return;
	/* The layers are of a look that counts everything. */
	if (t->page == TOP_PAGE_DETAIL)
		t->detail.wanted = true;
	else
		p->wanted = true;
	if (t->page != TOP_PAGE_DETAIL)
		top_say(t, STYLE_PLAIN, "looking into %d again: all that is free is counted", p->p.pid);
}

static void do_tag(struct top *t, int key)
{
	struct top_proc *p = chosen(t);

	(void)key;
	if (p)
		p->tagged = !p->tagged;
	if (t->page == TOP_PAGE_LIST)
		top_move(t, 1);
}

static size_t tagged(const struct top *t)
{
	size_t n = 0;

	for (size_t i = 0; i < t->model.n; i++)
		n += t->model.v[i]->tagged;
	return n;
}

static void do_untag(struct top *t, int key)
{
	(void)key;
	for (size_t i = 0; i < t->model.n; i++)
		t->model.v[i]->tagged = false;
	rebuild(t);
}

static void do_trim(struct top *t, int key)
{
	const struct top_proc *p = chosen(t);

	(void)key;
	t->ntagged = t->page == TOP_PAGE_LIST ? tagged(t) : 0;
	if (!p && !t->ntagged) {
		top_say(t, STYLE_WARN,
			t->page == TOP_PAGE_DETAIL ?
				"it has exited" :
				"a group isn't trimmed as a whole: open it and tag processes (Space)");
		return;
	}
	t->trim_pid = t->ntagged ? 0 : p->p.pid;
	t->trim_start = t->ntagged ? 0 : p->p.start_time;
	t->prompt = TOP_PROMPT_TRIM;
}

static void do_cancel(struct top *t, int key)
{
	size_t n = t->job->kind == TOP_JOB_COUNT || t->job->kind == TOP_JOB_EXPLAIN;

	(void)key;
	for (size_t i = 0; i < t->model.n; i++) {
		struct top_given *g = &t->model.v[i]->given;

		n += g->state == TOP_TRIM_QUEUED || g->state == TOP_TRIM_RUNNING;
		if (g->state == TOP_TRIM_QUEUED)
			g->state = TOP_TRIM_NONE;
		t->model.v[i]->wanted = false;
	}
	top_job_cancel(t->job);
	top_say(t, STYLE_WARN, n ? "given up: targets are let go unharmed" : "nothing is at work");
}

/* ---------------------------------------------------------------- the table */

#define LIST TOP_ON_LIST
#define BOTH (TOP_ON_LIST | TOP_ON_DETAIL)

const struct top_key_row top_key_rows[] = {
	{ { TOP_KEY_UP, 'k' }, "Up k", "one line up", NULL, TOP_ON_ALL, do_move, 0 },
	{ { TOP_KEY_DOWN, 'j' }, "Down j", "one line down", NULL, TOP_ON_ALL, do_move, 0 },
	{ { TOP_KEY_PAGE_UP }, "PgUp", "a page up", NULL, TOP_ON_ALL, do_move, 0 },
	{ { TOP_KEY_PAGE_DOWN }, "PgDn", "a page down", NULL, TOP_ON_ALL, do_move, 0 },
	{ { TOP_KEY_HOME }, "Home", "to the first line", NULL, TOP_ON_ALL, do_move, 0 },
	{ { TOP_KEY_END }, "End", "to the last line", NULL, TOP_ON_ALL, do_move, 0 },
	{ { TOP_KEY_ENTER }, "Enter", "all layers of the process; of a group: fold, open", "layers", LIST, do_open, 0 },
	{ { TOP_KEY_ESCAPE }, "Esc", "back to the list; there: no filter", "back", TOP_ON_ALL, do_back, 0 },
	{ { 't' }, "t", "give memory back, of the tagged processes or this one; asks first", "trim", BOTH, do_trim, 0 },
	{ { ' ' }, "Space", "tag it for t, or not any more", "tag", LIST, do_tag, 0 },
	{ { 'u' }, "u", "no process is tagged any more", NULL, LIST, do_untag, 0 },
	{ { 'x' }, "x", "give up the looks and trims that are at work or wait", NULL, BOTH, do_cancel, 0 },
	{ { 'l' }, "l", "look into it now, and count all that is free in it", NULL, BOTH, do_look, 0 },
	{ { '/' }, "/", "filter: words in pid, command, user, unit, control group", "filter", LIST, do_filter, 0 },
	{ { 's' }, "s", "sort by the next column", "sort", LIST, do_sort_next, 0 },
	{ { 'r' }, "r", "reverse the order", NULL, LIST, do_reverse, 0 },
	{ { 'F' }, "F", "sort by what is free", NULL, LIST, do_sort, TOP_SORT_FREE },
	{ { 'M' }, "M", "sort by resident memory", NULL, LIST, do_sort, TOP_SORT_RSS },
	{ { 'A' }, "A", "sort by anonymous memory", NULL, LIST, do_sort, TOP_SORT_ANON },
	{ { 'I' }, "I", "sort by what is idle", NULL, LIST, do_sort, TOP_SORT_IDLE },
	{ { 'S' }, "S", "sort by what is swapped out", NULL, LIST, do_sort, TOP_SORT_SWAP },
	{ { 'N' }, "N", "sort by pid", NULL, LIST, do_sort, TOP_SORT_PID },
	{ { 'U' }, "U", "sort by user", NULL, LIST, do_sort, TOP_SORT_USER },
	{ { 'C' }, "C", "sort by command", NULL, LIST, do_sort, TOP_SORT_COMM },
	{ { 'g' }, "g", "group: none, by unit, by control group", "group", LIST, do_group, 0 },
	{ { TOP_KEY_LEFT, '-' }, "Left -", "fold the group", NULL, LIST, do_fold, 0 },
	{ { TOP_KEY_RIGHT, '+' }, "Right +", "open the group", NULL, LIST, do_fold, 0 },
	{ { 'a' }, "a", "all processes, or the large ones", NULL, LIST, do_all, 0 },
	{ { 'b' }, "b", "bars: beside the largest RSS, or of the own", NULL, LIST, do_bars, 0 },
	{ { 'p' }, "p", "pause, go on", NULL, BOTH, do_pause, 0 },
	{ { 'm' }, "m", "mouse on, off", NULL, TOP_ON_ALL, do_mouse, 0 },
	{ { 'L' & 0x1f }, "^L", "read everything and draw it anew, now", NULL, TOP_ON_ALL, do_redraw, 0 },
	{ { '?', 'h', TOP_KEY_HELP }, "? h F1", "this help", "help", TOP_ON_ALL, do_help, 0 },
	{ { 'q', 'Q' }, "q", "quit", "quit", TOP_ON_ALL, do_quit, 0 },
};
const size_t top_nkey_rows = ARRAY_SIZE(top_key_rows);

/* Would it do anything now? */
static bool has_use(const struct top *t, const struct top_key_row *k)
{
	if (k->fn == do_back)
		return t->page != TOP_PAGE_LIST;
	return k->fn != do_trim || t->page != TOP_PAGE_DETAIL || !t->detail.gone;
}

void top_hints(const struct top *t, char *buf, size_t size)
{
	buf[0] = '\0';
	for (size_t i = 0; i < top_nkey_rows; i++) {
		const struct top_key_row *k = &top_key_rows[i];

		if (k->hint && k->pages & 1u << t->page && has_use(t, k))
			text_append(buf, size, "%s%.*s %s", *buf ? "  " : "", (int)strcspn(k->name, " "), k->name,
				    k->hint);
	}
}

/* ---------------------------------------------------------------- prompts */

static void filter_key(struct top *t, int key)
{
	char *f = t->view.filter;
	size_t n = strlen(f);

	if (key == TOP_KEY_ENTER) {
		t->prompt = TOP_PROMPT_NONE;
	} else if (key == TOP_KEY_ESCAPE) {
		memcpy(f, t->old_filter, sizeof(t->view.filter));
		t->prompt = TOP_PROMPT_NONE;
	} else if (key == TOP_KEY_BACKSPACE) {
		while (n && (f[--n] & 0xc0) == 0x80)
			;
		f[n] = '\0';
	} else if (key == ('U' & 0x1f)) {
		f[0] = '\0';
	} else if (key >= ' ' && key < TOP_KEY_UP) {
		char bytes[MB_LEN_MAX + 1] = "";
		const int len = wctomb(bytes, (wchar_t)key);

		if (len > 0 && n + (size_t)len < sizeof(t->view.filter))
			memcpy(f + n, bytes, (size_t)len + 1);
	}
	rebuild(t);
}

static void queue_trim(struct top_proc *p, bool dry)
{
	if (p->given.state != TOP_TRIM_QUEUED && p->given.state != TOP_TRIM_RUNNING)
		p->given = (struct top_given){ .state = TOP_TRIM_QUEUED, .dry = dry };
}

static void trim_key(struct top *t, int key)
{
	const bool dry = key == 'd' || key == 'D';
	struct top_proc *p;

	if (key != 'y' && key != 'Y' && !dry) {
		if (key == 'n' || key == 'N' || key == 'q' || key == TOP_KEY_ESCAPE) {
			t->prompt = TOP_PROMPT_NONE;
			top_say(t, STYLE_PLAIN, "nothing was done");
		}
		return;
	}
	t->prompt = TOP_PROMPT_NONE;
	p = t->trim_pid ? top_model_alive(&t->model, t->trim_pid, t->trim_start) : NULL;
	if (t->trim_pid && !p)
		top_say(t, STYLE_WARN, "%d has exited meanwhile", t->trim_pid);
	if (p)
		queue_trim(p, dry);
	for (size_t i = 0; !t->trim_pid && i < t->model.n; i++) {
		if (!t->model.v[i]->tagged)
			continue;
		queue_trim(t->model.v[i], dry);
		t->model.v[i]->tagged = dry;
	}
}

void top_key(struct top *t, int key)
{
	t->redraw = true;
	if (t->prompt == TOP_PROMPT_FILTER) {
		filter_key(t, key);
		return;
	}
	if (t->prompt == TOP_PROMPT_TRIM) {
		trim_key(t, key);
		return;
	}
	/* What was said is read by now. */
	t->message_until_us = 0;
	for (size_t i = 0; i < top_nkey_rows; i++) {
		const struct top_key_row *k = &top_key_rows[i];

		for (size_t n = 0; n < ARRAY_SIZE(k->keys) && k->keys[n]; n++) {
			if (k->keys[n] != key || !(k->pages & 1u << t->page))
				continue;
			k->fn(t, key);
			return;
		}
	}
	top_say(t, STYLE_DIM, "this key does nothing here: ? shows those that do");
}

/* On a heading: sorts by it; on a process: the cursor, and once more: its layers. */
void top_click(struct top *t, int y, int x)
{
	struct top_place places[TOP_COLUMNS_MAX];
	size_t n;

	t->redraw = true;
	if (t->page != TOP_PAGE_LIST || t->prompt != TOP_PROMPT_NONE)
		return;
	n = top_layout(&t->view, t->canvas.width, top_knows_idle(&t->model), places);
	for (size_t i = 0; y == TOP_HEADER - 1 && i < n; i++)
		if (x >= places[i].x && x < places[i].x + places[i].width && places[i].column->sort >= 0)
			sort_by(t, (enum top_sort)places[i].column->sort);
	if (y >= TOP_HEADER && (size_t)(y - TOP_HEADER) < top_rows(t)) {
		const size_t line = t->view.first + (size_t)(y - TOP_HEADER);

		if (line == t->view.cursor)
			do_open(t, TOP_KEY_ENTER);
		else if (line < t->view.nlines)
			top_view_go(&t->view, line);
	}
}
