/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/top-screen.h"

#include <errno.h>
#include <curses.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <term.h>
#include <unistd.h>

#include "base/text.h"

#define ESCAPE_MS 50 /* for the rest of a key's sequence to come, over a slow line too */

static SCREEN *screen;
static bool with_colors;

/*
 * Colours that those tell apart who don't see red or green as others do, after
 * Okabe and Ito: they differ in lightness, and on terminals with few colours in
 * blue against yellow. Shapes say the same.
 */
static const struct {
	short many, few; /* of 256, of 8; -1: the terminal's own */
	attr_t attr, mono;
} looks[STYLES] = {
	[STYLE_PLAIN] = { -1, -1, 0, 0 },
	[STYLE_BOLD] = { -1, -1, A_BOLD, A_BOLD },
	[STYLE_DIM] = { 245, -1, 0, 0 },
	[STYLE_HEADING] = { -1, -1, A_REVERSE, A_REVERSE },
	[STYLE_CURSOR] = { -1, -1, A_REVERSE | A_BOLD, A_REVERSE | A_BOLD },
	[STYLE_GOOD] = { 74, COLOR_CYAN, A_BOLD, A_BOLD },
	[STYLE_BAD] = { 202, COLOR_RED, A_BOLD, A_BOLD | A_UNDERLINE },
	[STYLE_WARN] = { 214, COLOR_YELLOW, 0, A_UNDERLINE },
	[STYLE_PART + 0] = { 32, COLOR_BLUE, 0, 0 },
	[STYLE_PART + 1] = { 220, COLOR_YELLOW, 0, 0 },
	[STYLE_PART + 2] = { 208, COLOR_YELLOW, A_BOLD, A_BOLD },
	[STYLE_PART + 3] = { 117, COLOR_CYAN, 0, 0 },
	[STYLE_PART + 4] = { 244, -1, 0, 0 },
	[STYLE_PART + 5] = { 240, -1, 0, 0 },
};

static void prepare_colors(bool wanted)
{
	with_colors = wanted && has_colors() && start_color() == OK && use_default_colors() == OK;
	for (short s = 0; with_colors && s < STYLES; s++)
		(void)init_pair((short)(s + 1), COLORS >= 256 ? looks[s].many : looks[s].few, -1);
}

int screen_open(bool colors, char *why, size_t size)
{
	const char *term = getenv("TERM");

	screen = newterm(NULL, stdout, stdin);
	if (!screen) {
		text_format(why, size, "the terminal type '%.40s' isn't known here: set TERM, or use --batch",
			    term ? term : "");
		return -EINVAL;
	}
	if (!cursor_address || !clear_screen) {
		screen_close();
		text_format(why, size, "a terminal of type '%.40s' can't be drawn on: set TERM, or use --batch", term);
		return -EINVAL;
	}
	(void)cbreak();
	(void)noecho();
	(void)nonl();
	(void)keypad(stdscr, TRUE);
	(void)nodelay(stdscr, TRUE);
	(void)set_escdelay(ESCAPE_MS);
	(void)curs_set(0);
	(void)leaveok(stdscr, TRUE);
	prepare_colors(colors);
	return 0;
}

void screen_close(void)
{
	if (!screen)
		return;
	screen_mouse(false);
	(void)endwin();
	delscreen(screen);
	screen = NULL;
}

void screen_leave(void)
{
	(void)endwin();
}

void screen_return(void)
{
	(void)curs_set(0);
	(void)redrawwin(stdscr);
	(void)refresh();
}

void screen_size(int *ret_width, int *ret_height)
{
	struct winsize ws = { .ws_col = 0 };

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col && ws.ws_row) {
		*ret_width = MIN((int)ws.ws_col, CANVAS_MAX);
		*ret_height = MIN((int)ws.ws_row, CANVAS_MAX);
		if (*ret_width != COLS || *ret_height != LINES)
			(void)resizeterm(*ret_height, *ret_width);
		return;
	}
	*ret_width = MIN(COLS, CANVAS_MAX);
	*ret_height = MIN(LINES, CANVAS_MAX);
}

void screen_mouse(bool on)
{
	(void)mousemask(on ? BUTTON1_PRESSED | BUTTON1_CLICKED | BUTTON4_PRESSED | BUTTON5_PRESSED : 0, NULL);
	(void)mouseinterval(0);
}

static void show_cell(int y, int x, const struct canvas_cell *cell)
{
	const wchar_t text[] = { cell->c, 0 };
	const uint8_t s = cell->style < STYLES ? cell->style : STYLE_PLAIN;
	cchar_t c;

	if (setcchar(&c, text, with_colors ? looks[s].attr : looks[s].mono, with_colors ? (short)(s + 1) : 0, NULL) ==
	    OK)
		(void)mvadd_wch(y, x, &c);
}

void screen_show(const struct canvas *c, bool all)
{
	(void)erase();
	for (int y = 0; y < c->height; y++)
		for (int x = 0; x < c->width; x++) {
			const struct canvas_cell *cell = &c->v[(size_t)y * (size_t)c->width + (size_t)x];

			if (cell->c)
				show_cell(y, x, cell);
		}
	if (all)
		(void)redrawwin(stdscr);
	(void)refresh();
}

static int special(wint_t key)
{
	static const struct {
		wint_t theirs;
		int ours;
	} rows[] = {
		{ KEY_UP, TOP_KEY_UP },		{ KEY_DOWN, TOP_KEY_DOWN },
		{ KEY_LEFT, TOP_KEY_LEFT },	{ KEY_RIGHT, TOP_KEY_RIGHT },
		{ KEY_PPAGE, TOP_KEY_PAGE_UP }, { KEY_NPAGE, TOP_KEY_PAGE_DOWN },
		{ KEY_HOME, TOP_KEY_HOME },	{ KEY_END, TOP_KEY_END },
		{ KEY_ENTER, TOP_KEY_ENTER },	{ KEY_BACKSPACE, TOP_KEY_BACKSPACE },
		{ KEY_F(1), TOP_KEY_HELP },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].theirs == key)
			return rows[i].ours;
	return 0;
}

static void read_mouse(struct screen_input *ret)
{
	MEVENT m;

	if (getmouse(&m) != OK)
		return;
	ret->event = m.bstate & (BUTTON4_PRESSED | BUTTON5_PRESSED) ? SCREEN_WHEEL : SCREEN_CLICK;
	ret->y = ret->event == SCREEN_WHEEL ? m.bstate & BUTTON4_PRESSED ? -3 : 3 : m.y;
	ret->x = m.x;
}

static int character(wint_t c)
{
	if (c == '\r' || c == '\n')
		return TOP_KEY_ENTER;
	if (c == 0x7f || c == '\b')
		return TOP_KEY_BACKSPACE;
	return c == 0x1b ? TOP_KEY_ESCAPE : (int)c;
}

bool screen_read(struct screen_input *ret)
{
	wint_t c = 0;
	int r = get_wch(&c);

	*ret = (struct screen_input){ .event = SCREEN_NOTHING };
	if (r == ERR)
		return false;
	if (r == KEY_CODE_YES && c == KEY_MOUSE) {
		read_mouse(ret);
		return true;
	}
	ret->key = r == KEY_CODE_YES ? special(c) : character(c);
	if (ret->key)
		ret->event = SCREEN_KEY;
	return true;
}
