// SPDX-License-Identifier: GPL-2.0-or-later
#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/crc.h"
#include "ctl/recording.h"

static const char *const event_names[RECORDING_EVENTS] = {
	[RECORDING_GROWTH] = "growth",	 [RECORDING_DROP] = "drop", [RECORDING_RETURNED] = "returned",
	[RECORDING_SWAPPED] = "swapped", [RECORDING_TRIM] = "trim", [RECORDING_EXEC] = "exec",
	[RECORDING_EXIT] = "exit",
};

const char *recording_event_name(enum recording_event_kind k)
{
	return (unsigned int)k < RECORDING_EVENTS && event_names[k] ? event_names[k] : "unknown";
}

/* What is left of a block. Once something was wrong, all that follows is zero. */
struct bytes {
	const unsigned char *at, *end;
	bool bad;
};

static uint64_t take_number(struct bytes *b)
{
	uint64_t v = 0;

	for (unsigned int shift = 0; shift < 64 && b->at < b->end; shift += 7) {
		const unsigned char c = *b->at++;

		/* Of the tenth one only a single bit fits. */
		if (shift == 63 && c > 1)
			break;
		v |= (uint64_t)(c & 0x7f) << shift;
		if (!(c & 0x80))
			return v;
	}
	b->bad = true;
	b->at = b->end;
	return 0;
}

static uint64_t take_signed(struct bytes *b)
{
	const uint64_t v = take_number(b);

	return v >> 1 ^ (v & 1 ? UINT64_MAX : 0);
}

static uint64_t take_below(struct bytes *b, uint64_t limit)
{
	const uint64_t v = take_number(b);

	if (v < limit)
		return v;
	b->bad = true;
	return 0;
}

static void take_text(struct bytes *b, char *ret, size_t size)
{
	const size_t n = (size_t)take_below(b, size);

	ret[0] = '\0';
	if (b->bad || n > (size_t)(b->end - b->at) || memchr(b->at, 0, n)) {
		b->bad = true;
		return;
	}
	memcpy(ret, b->at, n);
	ret[n] = '\0';
	b->at += n;
}

static void take_sample(struct bytes *b, uint64_t last[RECORDED_N], struct recording_sample *ret)
{
	unsigned int n;
	uint64_t changed;

	ret->looked = take_below(b, 2) != 0;
	n = ret->looked ? RECORDED_N : RECORDED_COUNTED;
	changed = take_below(b, 1ull << n);
	for (unsigned int i = 0; i < RECORDED_N; i++) {
		if (changed & 1ull << i)
			last[i] += take_signed(b);
		if (last[i] > RECORDING_SIZE_MAX + 1)
			b->bad = true;
		ret->v[i] = i < n ? last[i] - 1 : RECORDING_UNKNOWN;
	}
}

static void take_target(struct bytes *b, struct recording_target *ret)
{
	ret->pid = (pid_t)take_below(b, (uint64_t)INT_MAX + 1);
	ret->start_time = take_number(b);
	take_text(b, ret->comm, sizeof(ret->comm));
	take_text(b, ret->exe, sizeof(ret->exe));
}

static void take_event(struct bytes *b, struct recording_event *ret)
{
	ret->kind = (enum recording_event_kind)take_below(b, RECORDING_EVENTS);
	ret->bytes = (int64_t)take_signed(b);
	take_text(b, ret->words, sizeof(ret->words));
	if (!ret->kind || ret->bytes > (int64_t)RECORDING_SIZE_MAX || ret->bytes < -(int64_t)RECORDING_SIZE_MAX)
		b->bad = true;
}

/* A block whose checksum is right. All of it must be something. */
static bool decode(struct recording_state *s, unsigned int type, struct bytes *b, struct recording_block *ret)
{
	const bool fresh = type == RECORDING_BLOCK_TARGET;

	ret->type = (enum recording_type)type;
	s->at_us += take_below(b, RECORDING_TIME_MAX - s->at_us);
	ret->at_us = s->at_us;
	ret->target = (uint32_t)take_below(b, RECORDING_TARGETS);
	if (type == RECORDING_BLOCK_END)
		return !b->bad && b->at == b->end;
	if (fresh ? ret->target != s->ntargets : ret->target >= s->ntargets)
		return false;
	if (type == RECORDING_BLOCK_SAMPLE)
		take_sample(b, s->last[ret->target], &ret->sample);
	else if (type == RECORDING_BLOCK_EVENT)
		take_event(b, &ret->event);
	else if (fresh)
		take_target(b, &ret->about);
	else
		return false;
	s->ntargets += fresh;
	return !b->bad && b->at == b->end;
}

static int read_error(FILE *f)
{
	return ferror(f) ? -EIO : 0;
}

static int end_here(struct recording_reader *r, enum recording_ending how)
{
	r->ending = how;
	return read_error(r->f);
}

int recording_read(FILE *f, struct recording_reader *ret)
{
	unsigned char buf[RECORDING_HEAD];
	uint64_t numbers[3];
	uint32_t sum;

	rewind(f);
	errno = 0;
	if (fread(buf, 1, sizeof(buf), f) != sizeof(buf))
		return ferror(f) ? (errno > 0 ? -errno : -EIO) : -EBADMSG;
	memcpy(numbers, buf + 8, sizeof(numbers));
	memcpy(&sum, buf + RECORDING_HEAD - sizeof(sum), sizeof(sum));
	if (memcmp(buf, RECORDING_MAGIC, 8))
		return -EBADMSG;
	/* Before the checksum: a later version may have another. */
	if (le64toh(numbers[0]) != RECORDING_VERSION)
		return -ENOTSUP;
	if (le32toh(sum) != crc32(buf, RECORDING_HEAD - sizeof(sum)))
		return -EBADMSG;
	*ret = (struct recording_reader){
		.f = f,
		.head = { .real_us = le64toh(numbers[1]), .interval_us = le64toh(numbers[2]) },
		.offset = RECORDING_HEAD,
	};
	return 0;
}

int recording_next(struct recording_reader *r, struct recording_block *ret)
{
	unsigned char buf[RECORDING_BLOCK + 7];
	struct bytes b;
	uint32_t sum;
	size_t n;

	n = fread(buf, 1, 3, r->f);
	if (n != 3)
		return end_here(r, RECORDING_CUT);
	n = buf[1] | (size_t)buf[2] << 8;
	if (n > RECORDING_BLOCK)
		return end_here(r, RECORDING_DAMAGED);
	if (fread(buf + 3, 1, n + 4, r->f) != n + 4)
		return end_here(r, RECORDING_CUT);
	memcpy(&sum, buf + 3 + n, sizeof(sum));
	b = (struct bytes){ .at = buf + 3, .end = buf + 3 + n };
	if (le32toh(sum) != crc32(buf, n + 3) || !decode(&r->state, buf[0], &b, ret))
		return end_here(r, RECORDING_DAMAGED);
	r->offset += n + 7;
	/* Whatever comes behind it. */
	return ret->type == RECORDING_BLOCK_END ? end_here(r, RECORDING_ENDED) : 1;
}
