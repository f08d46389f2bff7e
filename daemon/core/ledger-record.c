// SPDX-License-Identifier: GPL-2.0-or-later
#include "core/ledger-record.h"

#include <string.h>

#include "base/crc.h"

static const char *const kind_names[LEDGER_KINDS] = {
	[LEDGER_START] = "start",	[LEDGER_STOP] = "stop",	  [LEDGER_LEAVE] = "leave",
	[LEDGER_LOOK] = "look",		[LEDGER_WOULD] = "would", [LEDGER_BEGIN] = "begin",
	[LEDGER_ACTION] = "action",	[LEDGER_CHECK] = "check", [LEDGER_RELOAD] = "reload",
	[LEDGER_PRESSURE] = "pressure",
};

const char *ledger_kind_name(enum ledger_kind k)
{
	return (unsigned int)k < LEDGER_KINDS && kind_names[k] ? kind_names[k] : "unknown";
}

static uint32_t slot_sum(const struct ledger_slot *s)
{
	const size_t head = offsetof(struct ledger_slot, seq);

	return crc32((const char *)s + head, sizeof(*s) - head);
}

void ledger_slot_seal(struct ledger_slot *s)
{
	s->sum = slot_sum(s);
}

/* Both ways: whatever is in @from, @to ends with a NUL, and with nothing but NULs behind the text. */
static void copy_text(char *to, size_t to_size, const char *from, size_t from_size)
{
	size_t n = strnlen(from, MIN(to_size, from_size) - 1);

	memcpy(to, from, n);
	memset(to + n, 0, to_size - n);
}

#define COPY_TEXT(to, from) copy_text(to, sizeof(to), from, sizeof(from))

/*
 * One behind the other. The first two, which records are found by, always fit; of the others those that are longest
 * are cut off, all at the same length.
 */
static void put_texts(struct ledger_slot *s, const struct ledger_record *rec)
{
	const struct {
		const char *text;
		size_t n;
	} v[] = {
		{ rec->exe, strnlen(rec->exe, sizeof(rec->exe) - 1) },
		{ rec->unit, strnlen(rec->unit, sizeof(rec->unit) - 1) },
		{ rec->slice, strnlen(rec->slice, sizeof(rec->slice) - 1) },
		{ rec->cgroup, strnlen(rec->cgroup, sizeof(rec->cgroup) - 1) },
		{ rec->words, strnlen(rec->words, sizeof(rec->words) - 1) },
	};
	const size_t room = sizeof(s->v2.texts) - ARRAY_SIZE(v);
	size_t most = LEDGER_CGROUP, sum;
	char *at = s->v2.texts;

	for (;; most--) {
		sum = v[0].n + v[1].n;
		for (size_t i = 2; i < ARRAY_SIZE(v); i++)
			sum += MIN(v[i].n, most);
		if (sum <= room)
			break;
	}
	for (size_t i = 0; i < ARRAY_SIZE(v); i++) {
		const size_t n = i < 2 ? v[i].n : MIN(v[i].n, most);

		memcpy(at, v[i].text, n);
		at += n + 1;
	}
}

/* The next one of them; what is there may be anything. */
static void take_text(const struct ledger_slot *s, size_t *at, char *to, size_t to_size)
{
	const size_t left = sizeof(s->v2.texts) - *at, n = strnlen(s->v2.texts + *at, left);

	copy_text(to, to_size, s->v2.texts + *at, n + 1);
	*at += MIN(n + 1, left);
}

#define TAKE_TEXT(s, at, to) take_text(s, at, to, sizeof(to))

_Static_assert(sizeof(((struct ledger_slot *)0)->v2.texts) >= 2 * LEDGER_NAME + 3, "exe and unit always fit");

void ledger_slot_fill(struct ledger_slot *s, const struct ledger_record *rec, uint64_t seq)
{
	*s = (struct ledger_slot){
		.magic = LEDGER_MAGIC,
		.seq = seq,
		.real_us = rec->real_us,
		.boot_us = rec->boot_us,
		.kind = rec->kind,
		.pid = rec->pid,
		.start_time = rec->start_time,
		.uid = rec->uid,
		.remedies = rec->remedies,
		.predicted = rec->predicted,
		.freed = rec->freed,
		.rss_before = rec->rss_before,
		.rss_after = rec->rss_after,
		.stopped_us = rec->stopped_us,
		.duration_us = rec->duration_us,
		.after_us = rec->after_us,
	};
	COPY_TEXT(s->boot_id, rec->boot_id);
	COPY_TEXT(s->reason, rec->reason);
	COPY_TEXT(s->comm, rec->comm);
	s->v2.real_uid = rec->real_uid;
	s->v2.swapped = rec->swapped;
	s->v2.swap = rec->swap;
	s->v2.faults = rec->faults;
	put_texts(s, rec);
	ledger_slot_seal(s);
}

bool ledger_slot_plausible(const struct ledger_slot *s, uint64_t seq)
{
	return (s->magic == LEDGER_MAGIC || s->magic == LEDGER_MAGIC_1) && s->seq == seq && s->kind > 0 &&
	       s->kind < LEDGER_KINDS && s->pid >= 0;
}

bool ledger_slot_valid(const struct ledger_slot *s, uint64_t seq)
{
	return ledger_slot_plausible(s, seq) && s->sum == slot_sum(s);
}

static void read_v1(const struct ledger_slot *s, struct ledger_record *ret)
{
	ret->real_uid = s->uid;
	COPY_TEXT(ret->exe, s->v1.exe);
	COPY_TEXT(ret->unit, s->v1.unit);
	COPY_TEXT(ret->words, s->v1.words);
}

static void read_v2(const struct ledger_slot *s, struct ledger_record *ret)
{
	size_t at = 0;

	ret->real_uid = s->v2.real_uid;
	ret->swapped = s->v2.swapped;
	ret->swap = s->v2.swap;
	ret->faults = s->v2.faults;
	TAKE_TEXT(s, &at, ret->exe);
	TAKE_TEXT(s, &at, ret->unit);
	TAKE_TEXT(s, &at, ret->slice);
	TAKE_TEXT(s, &at, ret->cgroup);
	TAKE_TEXT(s, &at, ret->words);
}

void ledger_slot_read(const struct ledger_slot *s, struct ledger_record *ret)
{
	*ret = (struct ledger_record){
		.seq = s->seq,
		.real_us = s->real_us,
		.boot_us = s->boot_us,
		.kind = (enum ledger_kind)s->kind,
		.pid = s->pid,
		.start_time = s->start_time,
		.uid = s->uid,
		.remedies = s->remedies,
		.predicted = s->predicted,
		.freed = s->freed,
		.rss_before = s->rss_before,
		.rss_after = s->rss_after,
		.stopped_us = s->stopped_us,
		.duration_us = s->duration_us,
		.after_us = s->after_us,
	};
	COPY_TEXT(ret->boot_id, s->boot_id);
	COPY_TEXT(ret->reason, s->reason);
	COPY_TEXT(ret->comm, s->comm);
	if (s->magic == LEDGER_MAGIC_1)
		read_v1(s, ret);
	else
		read_v2(s, ret);
}

/* Is @name one of the parts of the path @cgroup? */
static bool is_below(const char *cgroup, const char *name)
{
	const size_t len = strlen(name);

	for (const char *at = cgroup; (at = strchr(at, '/')) != NULL;)
		if (!strncmp(++at, name, len) && (at[len] == '/' || !at[len]))
			return true;
	return false;
}

static bool is_of_unit(const struct ledger_record *rec, const char *unit)
{
	return !strcmp(unit, rec->unit) || !strcmp(unit, rec->slice) || is_below(rec->cgroup, unit);
}

bool ledger_filter_match(const struct ledger_filter *f, const struct ledger_record *rec)
{
	return (!f->pid || f->pid == rec->pid) && (!f->unit || is_of_unit(rec, f->unit)) &&
	       (!f->exe || !strcmp(f->exe, rec->exe)) && (f->uid == (uid_t)-1 || (rec->pid && f->uid == rec->uid)) &&
	       rec->real_us >= f->since_real_us && (!f->kinds || f->kinds & 1u << rec->kind);
}
