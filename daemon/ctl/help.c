/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "base/parse.h"
#include "ctl/ctl.h"
#include "ctl/json.h"
#include "ctl/suggest.h"

#define HELP_INDENT 24

static void print_pair(FILE *f, const char *left, const char *right)
{
	if (strlen(left) > HELP_INDENT - 4)
		fprintf(f, "  %s\n%*s%s\n", left, HELP_INDENT, "", right);
	else
		fprintf(f, "  %-*s%s\n", HELP_INDENT - 2, left, right);
}

static void print_options(FILE *f, const struct option_spec *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char left[80], letter[8] = "";

		if (v[i].letter)
			snprintf(letter, sizeof(letter), "-%c, ", v[i].letter);
		snprintf(left, sizeof(left), "%s--%s%s%s", letter, v[i].name, v[i].arg ? "=" : "",
			 v[i].arg ? v[i].arg : "");
		print_pair(f, left, v[i].help);
	}
}

static void print_status(FILE *f)
{
	fputs("\nExit status:\n"
	      "  0 done, or nothing to do; 1 failed; 2 usage; 3 refused: not safe or not supported for\n"
	      "  at least one target; 4 not permitted; 5 no such process\n",
	      f);
}

void help_print_all(FILE *f)
{
	fputs("Usage: reclaimctl [OPTION...] VERB [ARGUMENT...]\n\n"
	      "Gives memory back from running, unmodified processes.\n\nVerbs:\n",
	      f);
	for (size_t i = 0; i < ctl_nverbs; i++)
		print_pair(f, ctl_verbs[i]->name, ctl_verbs[i]->help);
	fputs("\nOptions:\n", f);
	print_options(f, ctl_options, ctl_noptions);
	print_status(f);
	fputs("\nSee 'reclaimctl help VERB' for the arguments and options of a verb.\n", f);
}

void help_print_verb(FILE *f, const struct verb *v)
{
	fprintf(f, "Usage: reclaimctl [OPTION...] %s%s%s\n\n%s.\n", v->name, *v->args ? " " : "", v->args, v->help);
	if (v->details)
		fprintf(f, "\n%s", v->details);
	if (v->noptions) {
		fputs("\nOptions:\n", f);
		print_options(f, v->options, v->noptions);
	}
	fputs("\nGlobal options:\n", f);
	print_options(f, ctl_options, ctl_noptions);
	if (v->more_help)
		v->more_help(f);
	print_status(f);
}

static void json_words(struct json *j, const struct verb *v, const char *option)
{
	const char *word = v && v->word ? v->word(option, 0) : NULL;

	if (!word) {
		json_null(j, "words");
		return;
	}
	json_open(j, "words", '[');
	for (size_t i = 1; word; i++) {
		json_text(j, NULL, word);
		word = v->word(option, i);
	}
	json_close(j);
}

/* Of a verb, or the global ones, which are nobody's. */
static void json_options(struct json *j, const struct verb *verb, const struct option_spec *v, size_t n)
{
	json_open(j, "options", '[');
	for (size_t i = 0; i < n; i++) {
		const char letter[] = { v[i].letter, 0 };

		json_open(j, NULL, '{');
		json_text(j, "name", v[i].name);
		json_text(j, "letter", v[i].letter ? letter : NULL);
		json_text(j, "arg", v[i].arg);
		json_text(j, "help", v[i].help);
		if (v[i].choices) {
			json_open(j, "choices", '[');
			for (size_t c = 0; v[i].choices[c]; c++)
				json_text(j, NULL, v[i].choices[c]);
			json_close(j);
		} else {
			json_null(j, "choices");
		}
		json_words(j, verb, v[i].name);
		json_close(j);
	}
	json_close(j);
}

/* The tables themselves, of which completion is made. */
static void json_tables(struct json *j, const struct verb *v)
{
	if (v) {
		json_options(j, v, v->options, v->noptions);
		return;
	}
	json_open(j, "verbs", '[');
	for (size_t i = 0; i < ctl_nverbs; i++) {
		json_open(j, NULL, '{');
		json_text(j, "name", ctl_verbs[i]->name);
		json_text(j, "args", ctl_verbs[i]->args);
		json_text(j, "help", ctl_verbs[i]->help);
		json_close(j);
	}
	json_close(j);
	json_options(j, NULL, ctl_options, ctl_noptions);
}

static int show_json(struct ctl *ctl, const struct verb *v)
{
	_cleanup_free_ char *text = NULL;
	struct json j;
	size_t size;
	FILE *f;

	f = open_memstream(&text, &size);
	if (!f)
		return -errno;
	if (v)
		help_print_verb(f, v);
	else
		help_print_all(f);
	if (fclose(f))
		return -errno;
	ctl->wrote_json = true;
	json_init(&j, stdout);
	json_open(&j, NULL, '{');
	json_text(&j, "help", text);
	json_tables(&j, v);
	json_close(&j);
	return json_finish(&j);
}

int help_show(struct ctl *ctl, const struct verb *v)
{
	int r = 0;

	if (ctl->json) {
		r = show_json(ctl, v);
		return ctl_output_done(CTL_DONE, r);
	}
	errno = 0;
	if (v)
		help_print_verb(stdout, v);
	else
		help_print_all(stdout);
	if (fflush(stdout) || ferror(stdout))
		r = errno > 0 ? -errno : -EIO;
	return ctl_output_done(CTL_DONE, r);
}

int ctl_unknown_verb(struct ctl *ctl, const char *name)
{
	const char *names[16], *near;
	char shown[160];
	size_t n = 0;

	for (; n < ctl_nverbs && n < ARRAY_SIZE(names); n++)
		names[n] = ctl_verbs[n]->name;
	near = suggest(name, names, n);
	escape_text(name, shown, sizeof(shown));
	if (near)
		return ctl_fail(ctl, CTL_USAGE, "unknown verb '%s': did you mean '%s'?", shown, near);
	return ctl_fail(ctl, CTL_USAGE, "unknown verb '%s': see 'reclaimctl help'", shown);
}

static int run_help(struct ctl *ctl, const void *opts, const char *const *args, size_t nargs)
{
	const struct verb *v = NULL;

	(void)opts;
	if (nargs) {
		v = ctl_verb_find(args[0]);
		if (!v)
			return ctl_unknown_verb(ctl, args[0]);
	}
	return help_show(ctl, v);
}

const struct verb verb_help = {
	.name = "help",
	.args = "[VERB]",
	.help = "Show this help, or that of a verb",
	.max_args = 1,
	.run = run_help,
};
