/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of keys, for the files of settings only. */
#ifndef RECLAIM_POLICY_SETTINGS_KEYS_H
#define RECLAIM_POLICY_SETTINGS_KEYS_H

#include "policy/settings.h"

struct key;

/* How a value is written, and where it goes. */
struct key_type {
	/* 0, -EINVAL, -ERANGE, -ENOMEM; @field untouched on failure, @why filled. */
	int (*parse)(const struct key *k, const char *value, void *field, char *why, size_t size);
	/* 0 or -ENOSPC */
	int (*format)(const struct key *k, const void *field, char *buf, size_t size);
};

extern const struct key_type key_bool, key_choice, key_size, key_time, key_count, key_percent, key_remedies, key_path,
	key_patterns;

/* Which struct the offset is in. */
enum key_place { IN_SETTINGS, IN_THRESHOLDS, IN_MATCH };

struct key {
	struct settings_key pub;
	const struct key_type *type;
	enum key_place place;
	size_t offset;
	uint32_t bit; /* enum threshold_bit */
	const char *fallback; /* the default, as in a file; NULL in a rule's own keys */
	uint64_t min, max;
	bool zero; /* 0 is allowed below min too: it means "never" or "as many as there are" */
	const char *const *choices; /* in the order of the enum, NULL-terminated */
};

extern const struct key settings_keys[];
extern const size_t settings_nkeys;

/* The rules that settings_default() begins with: assignments of [Rule NAME]. */
struct shipped {
	const char *rule, *key, *value;
};

extern const struct shipped settings_shipped[];
extern const size_t settings_nshipped;

void patterns_done(struct patterns *p);

#endif
