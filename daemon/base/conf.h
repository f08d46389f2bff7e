/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Configuration files in systemd's manner: [Section], Key=Value, # and ; at the
 * begin of a line comment, a backslash at its end goes on in the next one.
 * NAME under /usr/lib, replaced as a whole by one under /etc; NAME.d/ *.conf of
 * both folders over it, in the order of their file names, one in /etc replacing
 * the one of the same name in /usr/lib; a link to /dev/null masks.
 */
#ifndef RECLAIM_BASE_CONF_H
#define RECLAIM_BASE_CONF_H

#include <stddef.h>

#include "base/cleanup.h"

#define CONF_FILE_MAX (1u << 20) /* bytes of one file; more is an error */
#define CONF_FILES_MAX 256

/*
 * One assignment; @origin "FILE:LINE". Return 0 to go on; what is < 0 ends the reading with that result. The callee
 * reports by itself. @key NULL: the head of a section.
 */
typedef int (*conf_fn)(void *arg, const char *section, const char *key, const char *value, const char *origin);
/* A line that is none of the above, or a file that can't be read: then @origin has no line. Returns as conf_fn. */
typedef int (*conf_bad_fn)(void *arg, const char *origin, const char *what);

struct conf_handler {
	conf_fn set;
	conf_bad_fn bad;
	void *arg;
};

/* @dirs: from the weakest to the strongest, NULL-terminated. Missing ones and missing files are fine. 0 or -errno. */
int conf_read(const char *const *dirs, const char *name, const struct conf_handler *h) __must_check;

/* The same for the text of one file; @file is what origins call it. */
int conf_parse(const char *file, const char *text, size_t len, const struct conf_handler *h) __must_check;

#endif
