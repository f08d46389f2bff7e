/* SPDX-License-Identifier: GPL-2.0-or-later */
/* "status": what the daemon is about, and what it thinks of each large process. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/parse.h"
#include "bus/shape.h"
#include "ctl/bus-client.h"
#include "ctl/render.h"
#include "reclaim/bus.h"

/* The properties of the daemon. */
struct state {
	char version[32], mode[16], source[16];
	uint32_t pressure, running;
	uint64_t started_us, interval_us, loaded_us;
	uint64_t sweeps, processes, candidates, looks, actions, refused, failed, would;
	uint64_t freed, swapped, predicted, stopped_us, reloads, reload_failures;
};

/* Of each process. */
struct seen {
	int32_t pid;
	uint32_t uid, actions;
	uint64_t start_time, rss, anon, swap, idle, predicted, last_freed;
	char comm[65], exe[LEDGER_NAME], unit[LEDGER_NAME], allocator[32], runtime[32];
	char verdict[32], reason[32], words[LEDGER_WORDS];
};

struct status {
	struct state state;
	struct seen *v; /* malloc'ed */
	size_t n, room;
};

static void status_donep(struct status *s)
{
	free(s->v);
}

/* ---------------------------------------------------------------- from the bus */

#define MEMBER(type, k, member, how, ...)                                                    \
	{                                                                                    \
		.key = (k), .kind = (how), .offset = offsetof(type, member), ##__VA_ARGS__ \
	}
#define NUMBER(type, k, member) MEMBER(type, k, member, SHAPE_U64)
#define TEXT(type, k, member) MEMBER(type, k, member, SHAPE_CHARS, .n = sizeof(((type *)0)->member))

static const struct shape_member state_members[] = {
	TEXT(struct state, "Version", version),
	TEXT(struct state, "Mode", mode),
	TEXT(struct state, "Source", source),
	MEMBER(struct state, "Pressure", pressure, SHAPE_FLAG),
	MEMBER(struct state, "Running", running, SHAPE_U32),
	NUMBER(struct state, "StartedUSec", started_us),
	NUMBER(struct state, "IntervalUSec", interval_us),
	NUMBER(struct state, "LoadedUSec", loaded_us),
	NUMBER(struct state, "Sweeps", sweeps),
	NUMBER(struct state, "Processes", processes),
	NUMBER(struct state, "Candidates", candidates),
	NUMBER(struct state, "Looks", looks),
	NUMBER(struct state, "Actions", actions),
	NUMBER(struct state, "Refused", refused),
	NUMBER(struct state, "Failed", failed),
	NUMBER(struct state, "Would", would),
	NUMBER(struct state, "FreedBytes", freed),
	NUMBER(struct state, "SwappedBytes", swapped),
	NUMBER(struct state, "PredictedBytes", predicted),
	NUMBER(struct state, "StoppedUSec", stopped_us),
	NUMBER(struct state, "Reloads", reloads),
	NUMBER(struct state, "ReloadFailures", reload_failures),
};
static const struct shape state_shape = { state_members, ARRAY_SIZE(state_members), sizeof(struct state) };

static const struct shape_member seen_members[] = {
	MEMBER(struct seen, "pid", pid, SHAPE_I32),
	MEMBER(struct seen, "uid", uid, SHAPE_U32),
	MEMBER(struct seen, "actions", actions, SHAPE_U32),
	NUMBER(struct seen, "start_time", start_time),
	NUMBER(struct seen, "rss", rss),
	NUMBER(struct seen, "anon", anon),
	NUMBER(struct seen, "swap", swap),
	NUMBER(struct seen, "idle", idle),
	NUMBER(struct seen, "predicted", predicted),
	NUMBER(struct seen, "last_freed", last_freed),
	TEXT(struct seen, "comm", comm),
	TEXT(struct seen, "exe", exe),
	TEXT(struct seen, "unit", unit),
	TEXT(struct seen, "allocator", allocator),
	TEXT(struct seen, "runtime", runtime),
	TEXT(struct seen, "verdict", verdict),
	TEXT(struct seen, "reason", reason),
	TEXT(struct seen, "words", words),
};
static const struct shape seen_shape = { seen_members, ARRAY_SIZE(seen_members), sizeof(struct seen) };

static int add_seen(struct status *s, sd_bus_message *m)
{
	if (s->n == s->room) {
		struct seen *v = reallocarray(s->v, s->room + 64, sizeof(*v));

		if (!v)
			return -ENOMEM;
		s->v = v;
		s->room += 64;
	}
	memset(&s->v[s->n], 0, sizeof(*s->v));
	return shape_read(m, &seen_shape, &s->v[s->n++]);
}

static int read_processes(struct status *s, sd_bus_message *m)
{
	int r = sd_bus_message_enter_container(m, 'a', "a{sv}");

	while (r > 0 && (r = sd_bus_message_at_end(m, 0)) == 0) {
		r = add_seen(s, m);
		r = r < 0 ? r : 1;
	}
	return MIN(r, 0);
}

/* An enum ctl_status, with words in @c. */
static int ask(struct bus_client *c, struct status *s)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *state = NULL, *list = NULL;
	int r, status = bus_client_open(c);

	if (status == CTL_DONE)
		status = bus_client_call(c, "org.freedesktop.DBus.Properties", "GetAll", &state, "s", BUS_INTERFACE);
	if (status == CTL_DONE)
		status = bus_client_call(c, BUS_INTERFACE, "ListProcesses", &list, "a{sv}", 0);
	if (status != CTL_DONE)
		return status;
	r = shape_read(state, &state_shape, &s->state);
	if (r >= 0)
		r = read_processes(s, list);
	if (r >= 0)
		return CTL_DONE;
	snprintf(c->why, sizeof(c->why), "the daemon's answer isn't understood: %s", strerror(-r));
	return CTL_FAILED;
}

/* ---------------------------------------------------------------- to people */

#define AT(member) offsetof(struct seen, member)

static const struct column columns[] = {
	{ "PID", "pid", 0, COLUMN_RIGHT, "", cell_int, AT(pid) },
	{ "START", "start_time", 0, COLUMN_JSON, "", cell_u64, AT(start_time) },
	{ "UID", "uid", 0, COLUMN_RIGHT | COLUMN_JSON, "", cell_u32, AT(uid) },
	{ "COMM", "comm", 0.1, COLUMN_TRUNC, "", cell_chars, AT(comm) },
	{ "EXE", "exe", 0, COLUMN_JSON, "", cell_chars, AT(exe) },
	{ "UNIT", "unit", 0.15, COLUMN_TRUNC, "", cell_chars, AT(unit) },
	{ "ALLOCATOR", "allocator", 0, COLUMN_JSON, "", cell_chars, AT(allocator) },
	{ "RUNTIME", "runtime", 0, COLUMN_JSON, "", cell_chars, AT(runtime) },
	{ "RSS", "rss", 0, COLUMN_RIGHT, "", cell_size, AT(rss) },
	{ "ANON", "anon", 0, COLUMN_RIGHT, "", cell_size, AT(anon) },
	{ "SWAP", "swap", 0, COLUMN_RIGHT | COLUMN_JSON, "", cell_size, AT(swap) },
	{ "IDLE", "idle", 0, COLUMN_RIGHT | COLUMN_JSON, "", cell_size, AT(idle) },
	{ "PREDICTED", "predicted", 0, COLUMN_RIGHT, "", cell_size, AT(predicted) },
	{ "ACTIONS", "actions", 0, COLUMN_RIGHT, "", cell_u32, AT(actions) },
	{ "FREED", "last_freed", 0, COLUMN_RIGHT | COLUMN_JSON, "", cell_size, AT(last_freed) },
	{ "VERDICT", "verdict", 0, 0, "", cell_chars, AT(verdict) },
	{ "REASON", "reason", 0, COLUMN_JSON, "", cell_chars, AT(reason) },
	{ "WORDS", "words", 0.4, COLUMN_WRAP, "", cell_chars, AT(words) },
};

#define NCOLUMNS ARRAY_SIZE(columns)

static const char *clock_text(uint64_t real_us, char *buf, size_t size)
{
	const time_t t = (time_t)(real_us / 1000000);
	struct tm tm;

	if (!localtime_r(&t, &tm) || tm.tm_year > 8099 || !strftime(buf, size, "%F %T", &tm))
		snprintf(buf, size, "@%" PRIu64, real_us / 1000000);
	return buf;
}

static void show_state(const struct state *s)
{
	char a[64], b[64], c[64], shown[3][128];

	printf("%-10s %s, facts from %s, a look around each %s\n", "mode",
	       escape_text(s->mode, shown[0], sizeof(shown[0])), escape_text(s->source, shown[1], sizeof(shown[1])),
	       format_time_us(s->interval_us, a, sizeof(a)));
	printf("%-10s %s, version %s\n", "since", clock_text(s->started_us, a, sizeof(a)),
	       escape_text(s->version, shown[2], sizeof(shown[2])));
	printf("%-10s of %s", "settings", clock_text(s->loaded_us, a, sizeof(a)));
	if (s->reload_failures)
		printf(", %" PRIu64 " reloads refused", s->reload_failures);
	printf("\n%-10s %s\n", "pressure", s->pressure ? "programs wait for memory" : "none");
	printf("%-10s %" PRIu64 " processes, %" PRIu64 " candidates, %" PRIu32 " workers running\n", "now",
	       s->processes, s->candidates, s->running);
	printf("%-10s %" PRIu64 " actions, %" PRIu64 " looks, %" PRIu64 " refused, %" PRIu64 " failed, %" PRIu64
	       " that the mode forbids\n",
	       "done", s->actions, s->looks, s->refused, s->failed, s->would);
	printf("%-10s %s of %s predicted, targets stopped for %s in all\n", "freed",
	       format_size(s->freed, a, sizeof(a)), format_size(s->predicted, b, sizeof(b)),
	       format_time_us(s->stopped_us, c, sizeof(c)));
	if (s->swapped)
		printf("%-10s %s moved to swap, which isn't freed\n", "swapped", format_size(s->swapped, a, sizeof(a)));
}

static int show_text(struct ctl *ctl, const struct status *s, const struct column *const *v)
{
	_cleanup_free_ const void **rows = calloc(s->n + 1, sizeof(*rows));

	if (!rows)
		return -ENOMEM;
	for (size_t i = 0; i < s->n; i++)
		rows[i] = &s->v[i];
	show_state(&s->state);
	if (s->n)
		printf("\n");
	errno = 0;
	if (fflush(stdout) || ferror(stdout))
		return errno > 0 ? -errno : -EIO;
	return render_table(ctl, v, NCOLUMNS, rows, s->n);
}

static void json_state(struct json *j, const struct state *s)
{
	static const struct {
		const char *key;
		size_t offset;
	} numbers[] = {
#define ROW(member) { #member, offsetof(struct state, member) }
		ROW(started_us), ROW(loaded_us), ROW(interval_us), ROW(sweeps),	 ROW(candidates),
		ROW(looks),	 ROW(actions),	 ROW(refused),	   ROW(failed),	 ROW(would),
		ROW(freed),	 ROW(swapped),	 ROW(predicted),   ROW(stopped_us), ROW(reloads),
		ROW(reload_failures),
#undef ROW
	};

	json_text(j, "version", s->version);
	json_text(j, "mode", s->mode);
	json_text(j, "source", s->source);
	json_bool(j, "pressure", s->pressure);
	json_u64(j, "running", s->running);
	json_u64(j, "scanned", s->processes);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		json_u64(j, numbers[i].key, *(const uint64_t *)((const char *)s + numbers[i].offset));
}

static int show_json(struct ctl *ctl, const struct status *s, const struct column *const *v)
{
	struct json j;

	ctl->wrote_json = true;
	json_init(&j, stdout);
	json_open(&j, NULL, '{');
	json_state(&j, &s->state);
	json_open(&j, "processes", '[');
	for (size_t i = 0; i < s->n; i++) {
		json_open(&j, NULL, '{');
		render_members(&j, v, NCOLUMNS, &s->v[i]);
		json_close(&j);
	}
	json_close(&j);
	json_close(&j);
	return json_finish(&j);
}

static int run_status(struct ctl *ctl, const void *opts, const char *const *args, size_t nargs)
{
	_cleanup_(status_donep) struct status s = { .v = NULL };
	const struct column *v[NCOLUMNS];
	struct bus_client c = { .bus = NULL };
	int status = ask(&c, &s);

	(void)opts;
	(void)args;
	(void)nargs;
	bus_client_close(&c);
	if (status != CTL_DONE)
		return ctl_fail(ctl, status, "status: %s", c.why);
	for (size_t i = 0; i < NCOLUMNS; i++)
		v[i] = &columns[i];
	return ctl_output_done(CTL_DONE, ctl->json ? show_json(ctl, &s, v) : show_text(ctl, &s, v));
}

const struct verb verb_status = {
	.name = "status",
	.args = "",
	.help = "Show what the daemon is about, and what it thinks of each large process",
	.details = "Totals are since its start. Of processes, root sees all, others see their own.\n",
	.run = run_status,
};
