// SPDX-License-Identifier: GPL-2.0-or-later
#include "ledger-fake.h"

#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

char ledger_fake_folder[32];

int ledger_fake_setup(void **state)
{
	(void)state;
	snprintf(ledger_fake_folder, sizeof(ledger_fake_folder), "/tmp/reclaim-XXXXXX");
	return mkdtemp(ledger_fake_folder) ? 0 : -1;
}

int ledger_fake_teardown(void **state)
{
	_cleanup_closedir_ DIR *d = opendir(ledger_fake_folder);
	struct dirent *e;

	(void)state;
	while (d && (e = readdir(d)))
		(void)unlinkat(dirfd(d), e->d_name, 0);
	return rmdir(ledger_fake_folder);
}

struct ledger_record ledger_fake_record(uint64_t i)
{
	struct ledger_record rec = {
		.real_us = 1000 + i,
		.boot_us = i,
		.boot_id = LEDGER_FAKE_BOOT,
		.kind = LEDGER_ACTION,
		.pid = (pid_t)(100 + i % 7),
		.start_time = 5,
		.uid = i % 2 ? 1000 : 0,
		.real_uid = 1000 + (uid_t)i % 3,
		.slice = "back-data.slice",
		.comm = "name\n\xff",
		.exe = "/usr/bin/program",
		.reason = "reclaimed",
		.words = "heap trimmed",
		.remedies = 2,
		.predicted = LEDGER_UNKNOWN,
		.freed = -(int64_t)i,
		.rss_before = 7,
		.rss_after = 8,
		.stopped_us = 9,
		.duration_us = 10,
	};

	snprintf(rec.unit, sizeof(rec.unit), "unit-%" PRIu64 ".service", i % 3);
	snprintf(rec.cgroup, sizeof(rec.cgroup), "/back.slice/back-data.slice/%s", rec.unit);
	return rec;
}

struct ledger *ledger_fake_open(uint64_t max)
{
	struct ledger *l = NULL;

	assert_int_equal(ledger_open(ledger_fake_folder, max, &l), 0);
	return l;
}

void ledger_fake_append(struct ledger *l, uint64_t first, uint64_t n)
{
	for (uint64_t i = first; i < first + n; i++) {
		struct ledger_record rec = ledger_fake_record(i);

		assert_int_equal(ledger_append(l, &rec, false), 0);
		assert_int_equal(rec.seq, i);
	}
}

void ledger_fake_check(const struct ledger_record *rec)
{
	const struct ledger_record want = ledger_fake_record(rec->seq);

	assert_int_equal(rec->real_us, want.real_us);
	assert_int_equal(rec->boot_us, want.boot_us);
	assert_string_equal(rec->boot_id, want.boot_id);
	assert_int_equal(rec->kind, want.kind);
	assert_int_equal(rec->pid, want.pid);
	assert_int_equal(rec->start_time, want.start_time);
	assert_int_equal(rec->uid, want.uid);
	assert_string_equal(rec->comm, want.comm);
	assert_string_equal(rec->exe, want.exe);
	assert_string_equal(rec->unit, want.unit);
	assert_int_equal(rec->real_uid, want.real_uid);
	assert_string_equal(rec->slice, want.slice);
	assert_string_equal(rec->cgroup, want.cgroup);
	assert_string_equal(rec->reason, want.reason);
	assert_string_equal(rec->words, want.words);
	assert_int_equal(rec->remedies, want.remedies);
	assert_int_equal(rec->predicted, want.predicted);
	assert_int_equal(rec->freed, want.freed);
	assert_int_equal(rec->rss_before, want.rss_before);
	assert_int_equal(rec->rss_after, want.rss_after);
	assert_int_equal(rec->stopped_us, want.stopped_us);
	assert_int_equal(rec->duration_us, want.duration_us);
	assert_int_equal(rec->after_us, want.after_us);
}

int ledger_fake_tell(void *arg, const struct ledger_record *rec)
{
	struct ledger_told *t = arg;

	ledger_fake_check(rec);
	assert_true(!t->n || rec->seq > t->last);
	t->first = t->n ? t->first : rec->seq;
	t->last = rec->seq;
	t->n++;
	return t->stop_after && t->n == t->stop_after ? 17 : 0;
}

struct ledger_told ledger_fake_read(const struct ledger_filter *f)
{
	const struct ledger_filter all = { .uid = (uid_t)-1 };
	struct ledger_told t = { 0 };

	assert_int_equal(ledger_read(ledger_fake_folder, f ? f : &all, ledger_fake_tell, &t, &t.damaged), 0);
	return t;
}

void ledger_fake_want(struct ledger_told t, uint64_t n, uint64_t first, uint64_t last, uint64_t damaged)
{
	assert_int_equal(t.n, n);
	assert_int_equal(t.first, first);
	assert_int_equal(t.last, last);
	assert_int_equal(t.damaged, damaged);
}

int ledger_fake_segment(uint64_t first)
{
	char path[96], name[LEDGER_SEGMENT_NAME];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", ledger_fake_folder, ledger_segment_name(first, name));
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

uint64_t ledger_fake_bytes(size_t *ret_n)
{
	_cleanup_(ledger_segments_done) struct ledger_segments all = { 0 };
	_cleanup_close_ int dir = open(ledger_fake_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint64_t bytes = 0;

	assert_int_equal(ledger_segments_list(dir, &all), 0);
	for (size_t i = 0; i < all.n; i++)
		bytes += all.v[i].size;
	*ret_n = all.n;
	return bytes;
}
