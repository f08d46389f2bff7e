// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/parse.h"
#include "base/text.h"
#include "ctl/history.h"

#define SECOND_US 1000000ull

/* The begin of a day, @days before today. */
static int day_before(uint64_t now_us, int days, uint64_t *ret)
{
	time_t now = (time_t)(now_us / SECOND_US), t;
	struct tm tm;

	if (!localtime_r(&now, &tm))
		return -ERANGE;
	tm.tm_mday -= days;
	tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
	tm.tm_isdst = -1;
	t = mktime(&tm);
	if (t < 0)
		return -ERANGE;
	*ret = (uint64_t)t * SECOND_US;
	return 0;
}

static int parse_date(const char *text, uint64_t *ret)
{
	static const char *const forms[] = { "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d" };

	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		struct tm tm = { .tm_isdst = -1 };
		const char *end = strptime(text, forms[i], &tm);
		time_t t;

		if (!end || *end)
			continue;
		t = mktime(&tm);
		if (t < 0)
			return -ERANGE;
		*ret = (uint64_t)t * SECOND_US;
		return 0;
	}
	return -EINVAL;
}

int history_since(const char *text, uint64_t now_us, uint64_t *ret)
{
	uint64_t v;
	int r;

	if (!strcmp(text, "today"))
		return day_before(now_us, 0, ret);
	if (!strcmp(text, "yesterday"))
		return day_before(now_us, 1, ret);
	if (*text == '@') {
		r = parse_u64(text + 1, 10, &v);
		if (!r && v > UINT64_MAX / SECOND_US)
			r = -ERANGE;
		if (!r)
			*ret = v * SECOND_US;
		return r;
	}
	r = parse_time_us(text, &v);
	if (r == -EINVAL)
		return parse_date(text, ret);
	if (!r)
		*ret = v < now_us ? now_us - v : 0;
	return r;
}

int history_kinds(const char *list, uint32_t *ret)
{
	uint32_t kinds = 0;

	for (const char *p = list;; p++) {
		const size_t len = strcspn(p, ",");
		int k = LEDGER_START;

		for (; k < LEDGER_KINDS; k++) {
			const char *name = ledger_kind_name((enum ledger_kind)k);

			if (strlen(name) == len && !strncmp(name, p, len))
				break;
		}
		if (k == LEDGER_KINDS)
			return -EINVAL;
		kinds |= 1u << k;
		p += len;
		if (!*p)
			break;
	}
	*ret = kinds;
	return 0;
}

/* Those that processes run in. */
static bool has_suffix(const char *unit)
{
	static const char *const suffixes[] = { ".service", ".scope", ".slice" };
	const size_t len = strlen(unit);

	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++)
		if (len > strlen(suffixes[i]) && !strcmp(unit + len - strlen(suffixes[i]), suffixes[i]))
			return true;
	return false;
}

int history_subject(const char *word, pid_t *ret_pid, char *unit)
{
	const bool number = word[strspn(word, "0123456789")] == '\0';
	const char *suffix = has_suffix(word) ? "" : ".service";

	if (*word && number)
		return parse_pid(word, ret_pid) < 0 ? -EINVAL : 0;
	if (!*word || strlen(word) + strlen(suffix) >= LEDGER_NAME)
		return -EINVAL;
	text_format(unit, LEDGER_NAME, "%s%s", word, suffix);
	return 0;
}
