// SPDX-License-Identifier: GPL-2.0-or-later
/* FUZZ: -max_len=8192 */
/*
 * Recordings of which anything may be wrong. An input is either a file as it is (it begins as one does), or
 * blocks without checksums, each with two bytes for its type and length: those are put right, so that what
 * they protect is met as well. Whatever is there is read up to where it is wrong, added up, and drawn.
 */
#include <string.h>

#include "base/crc.h"
#include "ctl/report.h"
#include "fuzz.h"

static unsigned char file[64 << 10];

static size_t seal(const uint8_t *data, size_t size)
{
	const struct recording_head head = { .real_us = 1800000000000000ull, .interval_us = 1000000 };
	size_t at = RECORDING_HEAD;

	recording_encode_head(&head, file);
	while (size >= 2) {
		const size_t n = MIN((size_t)data[1], size - 2);
		uint32_t sum;

		if (at + n + 7 > sizeof(file))
			break;
		file[at] = data[0] % 6;
		file[at + 1] = (unsigned char)n;
		file[at + 2] = 0;
		memcpy(file + at + 3, data + 2, n);
		sum = crc32(file + at, n + 3);
		memcpy(file + at + 3 + n, &sum, sizeof(sum));
		at += n + 7;
		data += n + 2;
		size -= n + 2;
	}
	return at;
}

static bool ended(const char *text, size_t size)
{
	return strnlen(text, size) < size;
}

static void check_block(const struct recording_block *b, uint64_t last_us)
{
	MUST(b->at_us >= last_us && b->at_us < RECORDING_TIME_MAX && b->target < RECORDING_TARGETS);
	if (b->type == RECORDING_BLOCK_TARGET)
		MUST(b->about.pid >= 0 && ended(b->about.comm, sizeof(b->about.comm)) &&
		     ended(b->about.exe, sizeof(b->about.exe)));
	else if (b->type == RECORDING_BLOCK_EVENT)
		MUST(b->event.kind > 0 && b->event.kind < RECORDING_EVENTS &&
		     ended(b->event.words, sizeof(b->event.words)));
	else
		MUST(b->type == RECORDING_BLOCK_SAMPLE);
	for (size_t i = 0; b->type == RECORDING_BLOCK_SAMPLE && i < RECORDED_N; i++)
		MUST(b->sample.v[i] <= RECORDING_SIZE_MAX || b->sample.v[i] == RECORDING_UNKNOWN);
}

/* What was read can be written, and is the same then. */
static void write_again(FILE *f)
{
	static struct recording_reader r, again;
	static struct recording_state s;
	static unsigned char copy[2 * sizeof(file)];
	struct recording_block b, c;
	size_t n = RECORDING_HEAD;
	uint64_t last_us = 0;
	FILE *m;

	memset(&s, 0, sizeof(s));
	MUST(recording_read(f, &r) == 0);
	recording_encode_head(&r.head, copy);
	while (recording_next(&r, &b) > 0) {
		check_block(&b, last_us);
		last_us = b.at_us;
		MUST(n + RECORDING_BLOCK + 7 < sizeof(copy));
		n += recording_encode(&s, &b, copy + n);
	}
	m = fmemopen(copy, n, "r");
	MUST(m && recording_read(f, &r) == 0 && recording_read(m, &again) == 0);
	while (recording_next(&r, &b) > 0) {
		MUST(recording_next(&again, &c) == 1 && b.type == c.type && b.at_us == c.at_us);
		MUST(b.type != RECORDING_BLOCK_SAMPLE || !memcmp(b.sample.v, c.sample.v, sizeof(b.sample.v)));
	}
	MUST(recording_next(&again, &c) == 0 && again.ending == RECORDING_CUT);
	(void)fclose(m);
}

static void draw(const struct report *r)
{
	int (*const how[])(FILE * f, const struct report *r) = { report_svg, report_html };

	for (size_t i = 0; i < ARRAY_SIZE(how); i++) {
		char *text = NULL;
		size_t size;
		FILE *m = open_memstream(&text, &size);

		MUST(m && how[i](m, r) == 0 && fclose(m) == 0);
		/* Names have no quotes in them any more: only a figure of ours can look so. */
		MUST(!strstr(text, "d=\"Mnan") && !strstr(text, "=\"nan") && !memchr(text, '\x1b', size));
		free(text);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct report r;
	FILE *f;

	if (size < 8 || memcmp(data, RECORDING_MAGIC, 8))
		size = seal(data, size);
	else
		memcpy(file, data, MIN(size, sizeof(file)));
	f = fmemopen(file, MIN(size, sizeof(file)), "r");
	MUST(f);
	if (report_read(f, "file", &r) == 0) {
		MUST(r.n <= RECORDING_TARGETS);
		for (size_t i = 0; i < r.n; i++)
			MUST(r.t[i].looked.n <= REPORT_POINTS && r.t[i].counted.n <= REPORT_POINTS &&
			     r.t[i].nevents <= REPORT_EVENTS);
		/* Half of the time goes into it. */
		if (size % 4 == 0)
			draw(&r);
		report_done(&r);
		write_again(f);
	}
	(void)fclose(f);
	return 0;
}
