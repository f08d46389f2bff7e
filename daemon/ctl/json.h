/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A JSON writer that streams one document to a FILE.
 *
 * Text may be any bytes: what must not go to a terminal as it is (text_is_plain())
 * is written as \uXXXX, other valid UTF-8 as it is, and every byte that is not
 * part of valid UTF-8 becomes U+FFFD, so that the document is valid and safe to
 * look at whatever a process calls itself.
 *
 * The first error is kept; calls after it do nothing. json_finish() reports it.
 */
#ifndef RECLAIM_CTL_JSON_H
#define RECLAIM_CTL_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/cleanup.h"

#define JSON_DEPTH_MAX 8

struct json {
	FILE *f;
	bool in_markup; /* inside of a <script> in HTML: no text may end it */
	int error; /* 0 or negative errno */
	unsigned int depth;
	bool items[JSON_DEPTH_MAX + 1]; /* something was written at this depth */
	char brackets[JSON_DEPTH_MAX + 1]; /* '{' or '[' */
};

void json_init(struct json *j, FILE *f); /* in_markup is false then */

/* @key is NULL inside arrays and for the document itself. @bracket: '{' or '['. */
void json_open(struct json *j, const char *key, char bracket);
void json_close(struct json *j);

void json_null(struct json *j, const char *key);
void json_bool(struct json *j, const char *key, bool v);
void json_u64(struct json *j, const char *key, uint64_t v);
void json_i64(struct json *j, const char *key, int64_t v);
void json_text(struct json *j, const char *key, const char *text); /* NULL gives null */

/* Ends the line and flushes. 0 or -errno; -EBADMSG when brackets are still open. */
int json_finish(struct json *j) __must_check;

#endif
