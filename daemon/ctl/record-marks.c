// SPDX-License-Identifier: GPL-2.0-or-later
#include <string.h>

#include "base/text.h"
#include "ctl/record.h"

#define PART 8 /* of a giant a few MiB say nothing */

static uint64_t known(uint64_t v)
{
	return v == RECORDING_UNKNOWN ? 0 : v;
}

static uint64_t threshold(uint64_t from, uint64_t size)
{
	return MAX(size, from / PART);
}

static bool has_grown(const struct record_marks *m, uint64_t rss, uint64_t size)
{
	return rss > m->low && rss - m->low >= threshold(m->low, size);
}

static bool has_dropped(const struct record_marks *m, uint64_t rss, uint64_t size)
{
	return m->high > rss && m->high - rss >= threshold(m->high, size);
}

/* Of a heap that is at work the figures are of different moments: what a remedy promises counts as well. */
static uint64_t held_of(const struct recording_sample *s)
{
	const uint64_t c = s->v[RECORDED_GLIBC_FREE_RESIDENT], py = s->v[RECORDED_PYTHON_FREE_RESIDENT];

	if (!s->looked || (c == RECORDING_UNKNOWN && py == RECORDING_UNKNOWN))
		return RECORDING_UNKNOWN;
	return MAX(known(c) + known(py), known(s->v[RECORDED_OFFER]));
}

bool record_marks_moved(const struct record_marks *m, const struct recording_sample *s, uint64_t size)
{
	const uint64_t rss = s->v[RECORDED_RSS];

	return m->begun && rss != RECORDING_UNKNOWN && size && (has_grown(m, rss, size) || has_dropped(m, rss, size));
}

static enum recording_event_kind kind_of_drop(const struct record_marks *m, const struct recording_sample *s,
					      uint64_t drop)
{
	const uint64_t swap = known(s->v[RECORDED_SWAP]), held = held_of(s);

	if (swap > m->swap && swap - m->swap >= drop / 2)
		return RECORDING_SWAPPED;
	if (m->held != RECORDING_UNKNOWN && held != RECORDING_UNKNOWN && m->held > held && m->held - held >= drop / 2)
		return RECORDING_RETURNED;
	return RECORDING_DROP;
}

static void count(struct record_marks *m, const struct recording_sample *s, bool anew)
{
	const uint64_t rss = s->v[RECORDED_RSS], held = held_of(s);

	if (anew || rss >= m->high) {
		m->high = rss;
		m->swap = known(s->v[RECORDED_SWAP]);
	}
	m->low = anew ? rss : MIN(m->low, rss);
	if (held != RECORDING_UNKNOWN && (anew || m->held == RECORDING_UNKNOWN || held > m->held))
		m->held = held;
	m->begun = true;
}

bool record_marks_take(struct record_marks *m, const struct recording_sample *s, uint64_t size,
		       struct recording_event *ret)
{
	const uint64_t rss = s->v[RECORDED_RSS];
	const bool moved = record_marks_moved(m, s, size);

	if (rss == RECORDING_UNKNOWN)
		return false;
	if (moved) {
		*ret = (struct recording_event){ .kind = RECORDING_GROWTH };
		if (has_grown(m, rss, size)) {
			ret->bytes = (int64_t)(rss - m->low);
		} else {
			ret->kind = kind_of_drop(m, s, m->high - rss);
			ret->bytes = -(int64_t)(m->high - rss);
		}
	}
	if (!m->begun)
		m->held = RECORDING_UNKNOWN;
	count(m, s, moved || !m->begun);
	return moved;
}

void record_marks_reset(struct record_marks *m)
{
	m->begun = false;
}
