// SPDX-License-Identifier: GPL-2.0-or-later
#include "tally.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "murder.h"

uint64_t tally_calls(const struct tally *t)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < STRIKE_NKINDS; i++)
		n += t->calls[i];
	return n;
}

/* "no safe point in time (17 looks): why" differs each time but for the why. */
static const char *tally_essence(const char *reason)
{
	const char *looks = strstr(reason, " looks): ");

	return looks ? looks + strlen(" looks): ") : reason;
}

static void tally_reason(struct tally *t, const char *reason)
{
	const char *text = tally_essence(reason);
	size_t i = 0;

	while (i < t->nreasons && strcmp(t->reasons[i].text, text) != 0)
		i++;
	if (i == TALLY_REASONS_MAX)
		return;
	if (i == t->nreasons)
		text_format(t->reasons[t->nreasons++].text, sizeof(t->reasons[i].text), "%s", text);
	t->reasons[i].n++;
}

void tally_harm(struct tally *t, const char *what)
{
	if (!*t->harm)
		text_format(t->harm, sizeof(t->harm), "strike %" PRIu64 ", seed %" PRIu64 ": %s", t->strikes, t->seed,
			    what);
}

bool tally_add(struct tally *t, enum strike_kind kind, const struct strike_result *result)
{
	t->strikes++;
	t->calls[kind] += result->calls;
	t->stop_max_ns = MAX(t->stop_max_ns, result->stopped_ns);
	t->stop_sum_ns += result->stopped_ns;
	if (result->outcome == REMEDY_DONE) {
		t->idle += !result->calls;
		return true;
	}
	tally_reason(t, result->reason);
	if (result->outcome == REMEDY_REFUSED) {
		t->refused++;
		return true;
	}
	if (result->outcome == REMEDY_TIMEOUT) {
		t->timeout++;
		return true;
	}
	t->failed++;
	tally_harm(t, result->reason);
	return false;
}

static void tally_string(const char *text)
{
	(void)putchar('"');
	for (const char *p = text; *p; p++) {
		if (*p == '"' || *p == '\\')
			(void)putchar('\\');
		(void)putchar((unsigned char)*p < ' ' ? ' ' : *p);
	}
	(void)putchar('"');
}

static void tally_field(const char *name, uint64_t value)
{
	(void)printf(", \"%s\": %" PRIu64, name, value);
}

void tally_print(const struct tally *t, pid_t pid)
{
	(void)printf("{\"pid\": %d", pid);
	tally_field("seed", t->seed);
	tally_field("ms", (clock_ns() - t->began_ns) / 1000000);
	tally_field("strikes", t->strikes);
	tally_field("calls", tally_calls(t));
	for (unsigned int i = 0; i < STRIKE_NKINDS; i++)
		tally_field(strike_names[i], t->calls[i]);
	tally_field("idle", t->idle);
	tally_field("refused", t->refused);
	tally_field("timeout", t->timeout);
	tally_field("failed", t->failed);
	tally_field("readers", t->readers);
	tally_field("stop_us_max", t->stop_max_ns / 1000);
	tally_field("stop_us_mean", t->strikes ? t->stop_sum_ns / t->strikes / 1000 : 0);
	tally_field("kills", t->kills[MURDER_INJECTOR] + t->kills[MURDER_BOTH]);
	tally_field("kills_injector", t->kills[MURDER_INJECTOR]);
	tally_field("kills_reader", t->kills[MURDER_READER]);
	tally_field("kills_both", t->kills[MURDER_BOTH]);
	tally_field("kills_at_work", t->kills_at_work);
	tally_field("spent", t->spent);
	tally_field("guarded", t->guarded);
	tally_field("eintr", t->eintr);
	(void)printf(", \"reasons\": {");
	for (size_t i = 0; i < t->nreasons; i++) {
		(void)printf("%s", i ? ", " : "");
		tally_string(t->reasons[i].text);
		(void)printf(": %" PRIu64, t->reasons[i].n);
	}
	(void)printf("}, \"harm\": ");
	tally_string(t->harm);
	(void)printf("}\n");
}
