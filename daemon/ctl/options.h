/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options as tables: parsing, help and suggestions all come from the same rows.
 * An option writes into a field of the struct that its table belongs to.
 */
#ifndef RECLAIM_CTL_OPTIONS_H
#define RECLAIM_CTL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

/* A number that the user may have left out. */
struct opt_number {
	bool given;
	uint64_t value;
};

struct option_spec {
	const char *name; /* without the dashes */
	char letter; /* 0: no short form */
	const char *arg; /* what help calls the value; NULL: takes none */
	const char *help;
	int (*parse)(const struct option_spec *o, const char *value, void *field);
	size_t offset; /* of the field */
	const char *expects; /* "a size such as 64M", for the error line; NULL with choices */
	const char *const *choices; /* for option_choice: NULL-terminated */
};

/* A table and the struct that its options write to. */
struct option_group {
	const struct option_spec *v;
	size_t n;
	void *fields;
};

/* What is no option, in order. */
struct option_args {
	const char **v; /* the caller's, with room for all words */
	size_t n, nplain; /* all; and those before "--", all without one */
};

int option_flag(const struct option_spec *o, const char *value, void *field); /* bool */
int option_text(const struct option_spec *o, const char *value, void *field); /* const char *, not empty */
int option_size(const struct option_spec *o, const char *value, void *field); /* struct opt_number, bytes */
int option_time(const struct option_spec *o, const char *value, void *field); /* struct opt_number, us */
int option_count(const struct option_spec *o, const char *value, void *field); /* struct opt_number, above 0 */
int option_choice(const struct option_spec *o, const char *value,
		  void *field); /* int: 1 is the first, 0 stays "not given" */

/* The option that "--name[=...]" or "-x..." names, or NULL; @ret_inline is the text of "=..." or "-x...", or NULL. */
const struct option_spec *option_find(const struct option_spec *v, size_t n, const char *word, const char **ret_inline);

/* Does @word look like an option ("-x", "--long", not "-")? */
bool option_is(const char *word);

/*
 * Parses @words with all @groups; what is no option goes to @args, which is
 * left alone on failure but for what args->v points to. After "--" nothing is
 * an option. 0, or -EINVAL with one line that says what is wrong in @why.
 */
int options_parse(const struct option_group *groups, size_t ngroups, char *const *words, size_t nwords,
		  struct option_args *args, char *why, size_t why_size) __must_check;

#endif
