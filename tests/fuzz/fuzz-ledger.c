// SPDX-License-Identifier: GPL-2.0-or-later
/* FUZZ: -max_len=8192 */
/*
 * Ledger files of which anything may be wrong. An input is either a segment as
 * it is (it begins as one does), or a list of edits to two small ones; some of
 * those put the checksum right again, so that what it protects is met as well.
 * Whatever is there, it is read in order, and can be written on.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "core/ledger-segment.h"
#include "core/ledger-totals.h"
#include "fuzz.h"

#define RECORDS 6 /* of each of the two */
#define ROOM (1u << 20)

struct edit {
	uint16_t where;
	uint8_t how, bits;
	uint64_t value;
} __attribute__((packed));

struct seen {
	struct ledger_totals totals;
	uint64_t n, last;
};

static char folder[40];

static void make_folder(void)
{
	if (*folder)
		return;
	snprintf(folder, sizeof(folder), "%s/reclaim-fuzz-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	MUST(mkdtemp(folder));
}

static void empty_folder(void)
{
	_cleanup_closedir_ DIR *d = opendir(folder);
	struct dirent *e;

	MUST(d);
	while ((e = readdir(d)))
		(void)unlinkat(dirfd(d), e->d_name, 0);
}

static void put_segment(uint64_t first, const void *data, size_t size)
{
	_cleanup_close_ int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int fd = ledger_segment_open(dir, first, O_WRONLY | O_CREAT);

	MUST(fd >= 0 && write(fd, data, size) == (ssize_t)size);
}

static bool ended(const char *text, size_t size)
{
	return strnlen(text, size) < size;
}

static int see(void *arg, const struct ledger_record *rec)
{
	char sentence[LEDGER_SENTENCE];
	struct seen *s = arg;

	MUST(rec->seq > s->last && rec->kind > 0 && rec->kind < LEDGER_KINDS && rec->pid >= 0);
	MUST(ended(rec->comm, sizeof(rec->comm)) && ended(rec->exe, sizeof(rec->exe)) &&
	     ended(rec->unit, sizeof(rec->unit)) && ended(rec->words, sizeof(rec->words)) &&
	     ended(rec->slice, sizeof(rec->slice)) && ended(rec->cgroup, sizeof(rec->cgroup)) &&
	     ended(rec->reason, sizeof(rec->reason)) && ended(rec->boot_id, sizeof(rec->boot_id)));
	s->last = rec->seq;
	s->n++;
	ledger_sentence(rec, sentence, sizeof(sentence));
	for (const char *p = sentence; *p; p++)
		MUST((unsigned char)*p >= ' ' && *p != 0x7f);
	MUST(ledger_totals_add(&s->totals, rec) == 0);
	return 0;
}

static struct seen look(size_t last, size_t among)
{
	const struct ledger_filter f = { .uid = (uid_t)-1, .last = last, .among = among };
	struct seen s = { .n = 0 };

	MUST(ledger_read(folder, &f, see, &s, NULL) == 0);
	ledger_totals_done(&s.totals);
	return s;
}

static void use(void)
{
	struct ledger_record rec = { .kind = LEDGER_STOP };
	struct seen before = look(0, 0), some = look(3, 0), few = look(0, 5), after;
	struct ledger *l = NULL;

	MUST(some.n == MIN(before.n, 3u) && (!some.n || some.last == before.last));
	MUST(few.n <= 5 && (!few.n || few.last == before.last));
	MUST(ledger_open(folder, ROOM, &l) == 0);
	MUST(ledger_append(l, &rec, false) == 0 && rec.seq > before.last);
	ledger_close(&l);
	after = look(0, 0);
	/* Opening takes away nothing that could be read. */
	MUST(after.n == before.n + 1 && after.last == rec.seq);
}

static void edit(struct ledger_slot *slots, const struct edit *e, size_t *size)
{
	const size_t i = e->where / LEDGER_SLOT % (2 * RECORDS), at = e->where % (LEDGER_SLOT - sizeof(e->value));
	struct ledger_record rec;

	switch (e->how % 5) {
	case 0: /* anything */
		memcpy((char *)&slots[i] + at, &e->value, sizeof(e->value));
		break;
	case 1: /* a bit */
		((char *)&slots[i])[at] = (char)(((char *)&slots[i])[at] ^ 1 << e->bits % 8);
		break;
	case 2: /* a cut in one of the two */
		size[e->bits & 1] = e->where % (RECORDS * LEDGER_SLOT + 1);
		break;
	case 3: /* another record in its place */
		slots[i] = slots[e->bits % (2 * RECORDS)];
		break;
	default: /* and a checksum that is right, at this place */
		ledger_slot_read(&slots[i], &rec);
		ledger_slot_fill(&slots[i], &rec, e->bits & 1 ? slots[i].seq : i + 1);
		break;
	}
}

static void fuzz_edits(const uint8_t *data, size_t size)
{
	static struct ledger_slot slots[2 * RECORDS];
	size_t sizes[2] = { RECORDS * LEDGER_SLOT, RECORDS * LEDGER_SLOT };

	for (size_t i = 0; i < 2 * RECORDS; i++) {
		const struct ledger_record rec = { .kind = 1 + i % (LEDGER_KINDS - 1),
						   .pid = (pid_t)i,
						   .exe = "/bin/x",
						   .reason = "reclaimed",
						   .freed = 4096 };

		ledger_slot_fill(&slots[i], &rec, i + 1);
	}
	for (; size >= sizeof(struct edit); data += sizeof(struct edit), size -= sizeof(struct edit)) {
		struct edit e;

		memcpy(&e, data, sizeof(e));
		edit(slots, &e, sizes);
	}
	put_segment(1, slots, sizes[0]);
	put_segment(1 + RECORDS, slots + RECORDS, sizes[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint32_t magics[] = { LEDGER_MAGIC, LEDGER_MAGIC_1 };
	bool is_segment = false;

	make_folder();
	empty_folder();
	for (size_t i = 0; i < ARRAY_SIZE(magics); i++)
		is_segment |= size >= sizeof(magics[i]) && !memcmp(data, &magics[i], sizeof(magics[i]));
	if (is_segment)
		put_segment(1, data, size);
	else
		fuzz_edits(data, size);
	use();
	return 0;
}
