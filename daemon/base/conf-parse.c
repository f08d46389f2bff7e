// SPDX-License-Identifier: GPL-2.0-or-later
/* The text of one configuration file, line by line. */
#include <stdbool.h>
#include <string.h>

#include "base/conf.h"
#include "base/utf8.h"

#define BLANKS " \t\r"

struct conf_text {
	const struct conf_handler *h;
	const char *file;
	const char *p, *end;
	unsigned int line; /* of the physical line that was read last */
	unsigned int begun; /* where the logical one began */
	char *section; /* NULL: none yet */
	char *buf; /* one logical line; as large as the whole text can make it */
};

static void conf_text_done(struct conf_text *t)
{
	free(t->section);
	free(t->buf);
}

static char *strip(char *s)
{
	char *end;

	s += strspn(s, BLANKS);
	for (end = s + strlen(s); end > s && strchr(BLANKS, end[-1]); end--)
		;
	*end = '\0';
	return s;
}

static int conf_origin(const struct conf_text *t, char **ret)
{
	return asprintf(ret, "%s:%u", t->file, t->begun) < 0 ? -ENOMEM : 0;
}

static int conf_complain(struct conf_text *t, const char *what)
{
	_cleanup_free_ char *origin = NULL;
	int r = conf_origin(t, &origin);

	return r < 0 ? r : t->h->bad(t->h->arg, origin, what);
}

static int conf_give(struct conf_text *t, const char *key, const char *value)
{
	_cleanup_free_ char *origin = NULL;
	int r = conf_origin(t, &origin);

	return r < 0 ? r : t->h->set(t->h->arg, t->section, key, value, origin);
}

/* The next physical line without its end; false: no more. */
static bool conf_physical(struct conf_text *t, const char **ret, size_t *ret_len)
{
	const char *end;

	if (t->p == t->end)
		return false;
	end = memchr(t->p, '\n', (size_t)(t->end - t->p));
	*ret = t->p;
	*ret_len = (size_t)((end ? end : t->end) - t->p);
	t->p = end ? end + 1 : t->end;
	t->line++;
	while (*ret_len && (*ret)[*ret_len - 1] == '\r')
		--*ret_len;
	return true;
}

static bool is_comment(const char *line, size_t len)
{
	while (len && strchr(BLANKS, *line)) {
		line++;
		len--;
	}
	return len && (*line == '#' || *line == ';');
}

/*
 * The next logical line into @buf: comments are left out, also between lines that go on; the backslash of one that
 * does becomes a blank, as in systemd. false: no more.
 */
static bool conf_logical(struct conf_text *t)
{
	size_t used = 0, len;
	bool begun = false, goes_on = true;
	const char *s;

	while (goes_on && conf_physical(t, &s, &len)) {
		if (is_comment(s, len))
			continue;
		if (!begun)
			t->begun = t->line;
		begun = true;
		goes_on = len && s[len - 1] == '\\';
		memcpy(t->buf + used, s, len);
		used += len;
		if (goes_on)
			t->buf[used - 1] = ' ';
	}
	t->buf[used] = '\0';
	return begun;
}

static int conf_head(struct conf_text *t, char *line)
{
	size_t len = strlen(line);

	free(t->section);
	t->section = NULL;
	if (line[len - 1] != ']')
		return conf_complain(t, "a section's head has to end with ']'");
	line[len - 1] = '\0';
	t->section = strdup(strip(line + 1));
	if (!t->section)
		return -ENOMEM;
	return conf_give(t, NULL, NULL);
}

static int conf_line(struct conf_text *t)
{
	char *line = strip(t->buf), *equals;

	if (!*line)
		return 0;
	if (!utf8_valid(line))
		return conf_complain(t, "not valid UTF-8");
	if (*line == '[')
		return conf_head(t, line);
	equals = strchr(line, '=');
	if (!equals)
		return conf_complain(t, "neither a section's head nor Key=Value: '=' is missing");
	*equals = '\0';
	line = strip(line);
	if (!*line)
		return conf_complain(t, "there is no key before '='");
	if (!t->section)
		return conf_complain(t, "an assignment before any section's head, or below one that was wrong");
	return conf_give(t, line, strip(equals + 1));
}

int conf_parse(const char *file, const char *text, size_t len, const struct conf_handler *h)
{
	static const char bom[] = "\xef\xbb\xbf";
	_cleanup_(conf_text_done) struct conf_text t = { .h = h, .file = file, .p = text, .end = text + len };
	int r;

	if (len >= 3 && !memcmp(text, bom, 3))
		t.p += 3;
	if (memchr(text, '\0', len)) {
		t.begun = 1;
		return conf_complain(&t, "holds a NUL byte: no text file");
	}
	t.buf = malloc(len + 1);
	if (!t.buf)
		return -ENOMEM;

	while (conf_logical(&t)) {
		r = conf_line(&t);
		if (r < 0)
			return r;
	}
	return 0;
}
