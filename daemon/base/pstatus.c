/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /proc/PID/status */
#include <stddef.h>
#include <string.h>

#include "base/procfs.h"
#include "base/pstatus.h"
#include "base/scan.h"

/*
 * Half of a status file is masks of processors and memory nodes and the list of
 * groups (65536 of them at most), all unbounded in practice: the common case
 * fits the stack, the rest is read again into memory.
 */
#define STATUS_STACK 8192
#define STATUS_MAX ((size_t)2 << 20)

/* Parse the text behind "Key:" and its blanks; @field is the member to fill. The line ends in \n or NUL. */
typedef bool (*parse_fn)(const char *p, void *field);

static bool at_end(const char *p)
{
	return *p == '\n' || *p == '\0';
}

/* The kernel writes newline and backslash as \n and \\, nothing else. */
static bool parse_name(const char *p, void *field)
{
	char *name = field;
	size_t n = 0;

	for (; !at_end(p); p++) {
		char c = *p;

		if (c == '\\' && (p[1] == 'n' || p[1] == '\\')) {
			c = p[1] == 'n' ? '\n' : '\\';
			p++;
		}
		if (n + 1 >= sizeof(((struct pstatus *)0)->name))
			return false;
		name[n++] = c;
	}

	name[n] = '\0';
	return true;
}

static bool parse_state(const char *p, void *field)
{
	if (!((*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z')) || (p[1] != ' ' && !at_end(p + 1)))
		return false;

	*(char *)field = *p;
	return true;
}

static bool parse_int(const char *p, void *field)
{
	return scan_int(&p, field) && at_end(p);
}

/* Real, effective and saved id, the first three of four. */
static bool parse_ids(const char *p, uint64_t id[static 3])
{
	for (int i = 0; i < 4; i++) {
		uint64_t v;

		scan_blanks(&p);
		if (!scan_u64(&p, &v) || v > UINT32_MAX)
			return false;
		if (i < 3)
			id[i] = v;
	}

	return at_end(p);
}

static bool parse_uids(const char *p, void *field)
{
	struct pstatus *s = (struct pstatus *)((char *)field - offsetof(struct pstatus, uid));
	uint64_t id[3];

	if (!parse_ids(p, id))
		return false;

	s->uid = (uid_t)id[0];
	s->euid = (uid_t)id[1];
	s->suid = (uid_t)id[2];
	return true;
}

static bool parse_gids(const char *p, void *field)
{
	uint64_t id[3];

	if (!parse_ids(p, id))
		return false;

	*(gid_t *)field = (gid_t)id[0];
	return true;
}

static bool parse_last(const char *p, void *field)
{
	int v = 0;

	for (scan_blanks(&p); !at_end(p); scan_blanks(&p))
		if (!scan_int(&p, &v))
			return false;

	*(pid_t *)field = v;
	return true;
}

static bool parse_kb(const char *p, void *field)
{
	uint64_t kb;

	if (!scan_u64(&p, &kb) || kb > UINT64_MAX / 1024)
		return false;
	if (!scan_char(&p, ' ') || !scan_char(&p, 'k') || !scan_char(&p, 'B') || !at_end(p))
		return false;

	*(uint64_t *)field = kb * 1024;
	return true;
}

static bool parse_mask(const char *p, void *field)
{
	return scan_hex(&p, field) && at_end(p);
}

static bool parse_flag(const char *p, void *field)
{
	int v;

	if (!scan_int(&p, &v) || v > 1 || !at_end(p))
		return false;

	*(bool *)field = v;
	return true;
}

static bool parse_features(const char *p, void *field)
{
	static const char word[] = "shstk";

	for (scan_blanks(&p); !at_end(p); scan_blanks(&p)) {
		size_t len = strcspn(p, " \t\n");

		if (len == sizeof(word) - 1 && !memcmp(p, word, len))
			*(bool *)field = true;
		p += len;
	}

	return true;
}

/* In the kernel's order, so that the search for the next line starts where the last one ended. */
#define ROW(key, fn, member)                                               \
	{                                                                  \
		key, sizeof(key) - 1, fn, offsetof(struct pstatus, member) \
	}
static const struct row {
	const char *key;
	size_t len;
	parse_fn parse;
	size_t offset;
} rows[] = {
	ROW("Name", parse_name, name), /* the first four are in every file */
	ROW("State", parse_state, state),
	ROW("Tgid", parse_int, tgid),
	ROW("Pid", parse_int, pid),
	ROW("PPid", parse_int, ppid),
	ROW("TracerPid", parse_int, tracer),
	ROW("Uid", parse_uids, uid),
	ROW("Gid", parse_gids, gid),
	ROW("NSpid", parse_last, nspid),
	ROW("VmSize", parse_kb, vm_size),
	ROW("VmHWM", parse_kb, vm_hwm),
	ROW("VmRSS", parse_kb, vm_rss),
	ROW("RssAnon", parse_kb, rss_anon),
	ROW("RssFile", parse_kb, rss_file),
	ROW("RssShmem", parse_kb, rss_shmem),
	ROW("VmData", parse_kb, vm_data),
	ROW("VmStk", parse_kb, vm_stack),
	ROW("VmPTE", parse_kb, vm_pte),
	ROW("VmSwap", parse_kb, vm_swap),
	ROW("VmLck", parse_kb, vm_lck),
	ROW("THP_enabled", parse_flag, thp_enabled),
	ROW("Threads", parse_int, threads),
	ROW("SigPnd", parse_mask, sig_pnd),
	ROW("ShdPnd", parse_mask, shd_pnd),
	ROW("SigBlk", parse_mask, sig_blk),
	ROW("SigIgn", parse_mask, sig_ign),
	ROW("SigCgt", parse_mask, sig_cgt),
	ROW("NoNewPrivs", parse_flag, no_new_privs),
	ROW("Seccomp", parse_int, seccomp),
	ROW("Seccomp_filters", parse_int, seccomp_filters),
	ROW("x86_Thread_features", parse_features, shstk),
};
#undef ROW

#define REQUIRED_ROWS 0xfu

_Static_assert(ARRAY_SIZE(rows) <= 32, "seen is a 32-bit set");

static size_t find_row(const char *key, size_t len, size_t hint)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t at = hint + i < ARRAY_SIZE(rows) ? hint + i : hint + i - ARRAY_SIZE(rows);

		if (rows[at].len == len && !memcmp(rows[at].key, key, len))
			return at;
	}

	return ARRAY_SIZE(rows);
}

int pstatus_parse(const char *text, struct pstatus *ret)
{
	struct pstatus s = { .thp_enabled = true, .seccomp_filters = -1 };
	size_t hint = 0;
	uint32_t seen = 0;

	while (*text) {
		size_t len = strcspn(text, ":\n");
		const char *value = text + len;
		size_t at;

		if (!scan_char(&value, ':'))
			return -EBADMSG;
		at = find_row(text, len, hint);
		if (at < ARRAY_SIZE(rows)) {
			/* A line that comes twice means that we don't understand this file. */
			if (seen & 1u << at)
				return -EBADMSG;
			seen |= 1u << at;
			/* One tab, then padding before figures; a name may itself begin with blanks. */
			if (!scan_char(&value, '\t'))
				return -EBADMSG;
			if (rows[at].parse != parse_name)
				scan_blanks(&value);
			if (!rows[at].parse(value, (char *)&s + rows[at].offset))
				return -EBADMSG;
			hint = at + 1;
		}
		text = strchrnul(value, '\n');
		if (*text)
			text++;
	}

	if ((seen & REQUIRED_ROWS) != REQUIRED_ROWS)
		return -EBADMSG;

	*ret = s;
	return 0;
}

int pstatus_read(int dir, struct pstatus *ret)
{
	_cleanup_free_ char *large = NULL;
	char small[STATUS_STACK];
	const char *text = small;
	ssize_t n;

	n = procfs_read_once(dir, "status", small, sizeof(small));
	if (n == -ENOBUFS) {
		n = procfs_read_alloc(dir, "status", STATUS_MAX, &large);
		text = large;
	}
	if (n < 0)
		return n == -EFBIG ? -EBADMSG : (int)n;
	if (strlen(text) != (size_t)n)
		return -EBADMSG;

	return pstatus_parse(text, ret);
}
