// SPDX-License-Identifier: GPL-2.0-or-later
/* FUZZ: -max_len=4096 */
/*
 * What people type, and who else may be asked to type it: options and
 * arguments (one a line), sizes, times, numbers. What is wrong is explained in
 * one line that a terminal may be shown.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "ctl/ctl.h"
#include "fuzz.h"

#define WORDS 64

static bool is_plain(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			return false;
	return true;
}

static void numbers(const char *s)
{
	char text[32], escaped[64], small[5];
	uint64_t v, again;
	pid_t pid;

	if (parse_size(s, &v) == 0) {
		format_size(v, text, sizeof(text));
		MUST(strlen(text) < 16);
		/* One digit behind the point is kept; rounded up, the largest is too large. */
		if (parse_size(text, &again) == 0)
			MUST(MAX(again, v) - MIN(again, v) <= v / 16 + 1);
		else
			MUST(v > UINT64_MAX / 16 * 15);
	}
	if (parse_time_us(s, &v) == 0) {
		format_time_us(v, text, sizeof(text));
		MUST(strlen(text) < 24);
	}
	if (parse_pid(s, &pid) == 0)
		MUST(pid > 0);
	if (parse_u64(s, 10, &v) == 0) {
		(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
		MUST(parse_u64(text, 10, &again) == 0 && again == v);
	}
	MUST(is_plain(escape_text(s, escaped, sizeof(escaped))) && strlen(escaped) < sizeof(escaped));
	MUST(strlen(escape_text(s, small, sizeof(small))) < sizeof(small));
}

/* Each verb that there is, with the global options, as main() would have them parsed. */
static void options(char **words, size_t n)
{
	MUST(ctl_nverbs > 0 && ctl_verb_find(ctl_verbs[0]->name) == ctl_verbs[0]);
	for (size_t i = 0; i < ctl_nverbs; i++) {
		const struct verb *v = ctl_verbs[i];
		void *opts = calloc(1, v->opts_size + 1);
		struct ctl ctl = { .proc = -1 };
		const struct option_group groups[] = { { ctl_options, ctl_noptions, &ctl },
						       { v->options, v->noptions, opts } };
		const char *words_of[WORDS];
		struct option_args args = { .v = words_of };
		char why[256] = "";
		int r;

		MUST(opts);
		r = options_parse(groups, ARRAY_SIZE(groups), words, n, &args, why, sizeof(why));
		MUST(r == 0 || r == -EINVAL);
		MUST((r == 0) == !*why && is_plain(why) && strlen(why) < sizeof(why));
		MUST(r < 0 || (args.n <= n && args.nplain <= args.n));
		MUST(((char *)opts)[v->opts_size] == 0 && ctl.proc == -1);
		free(opts);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), *words[WORDS], *rest = text, *word;
	size_t n = 0;

	MUST(text);
	memcpy(text, data, size);
	text[size] = 0;
	while (n < WORDS && (word = strsep(&rest, "\n")) != NULL) {
		numbers(word);
		words[n++] = word;
	}
	options(words, n);
	free(text);
	return 0;
}
