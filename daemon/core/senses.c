/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/senses.h"

#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/parse.h"
#include "base/procfs.h"
#include "base/text.h"
#include "core/log.h"

#define MODULE "/sys/kernel/reclaim"
#define IDLE_AFTER MODULE "/idle_after_ms"
#define REGIONS_MAX 65536 /* vm.max_map_count is 65530 by default */
#define EVENTS_AT_ONCE 64 /* then others get their turn */

void senses_init(struct senses *s, sd_event *event, int proc, enum source_kind wanted, const struct senses_listener *l)
{
	*s = (struct senses){ .event = event, .proc = proc, .wanted = wanted, .listener = *l };
}

static void deafen(struct senses *s)
{
	s->announced = sd_event_source_disable_unref(s->announced);
	bloat_close(&s->bloat);
}

void senses_close(struct senses *s)
{
	deafen(s);
	if (s->open)
		source_close(&s->source);
	s->open = false;
}

static int on_announced(sd_event_source *source, int fd, uint32_t revents, void *arg)
{
	struct senses *s = arg;
	bool missed = false;
	int r = 1;

	(void)source;
	(void)fd;
	(void)revents;
	for (int i = 0; r > 0 && i < EVENTS_AT_ONCE; i++) {
		struct bloat_event e = { .reason = BLOAT_OTHER };
		bool resync = false;

		r = bloat_next(s->bloat, 0, &e, &resync);
		missed |= r >= 0 && resync;
		if (r > 0)
			s->listener.bloated(s->listener.arg, &e);
		proc_done(&e.proc);
	}
	if (r < 0)
		deafen(s);
	if (missed || r < 0)
		s->listener.resync(s->listener.arg);
	return 0;
}

/* Not to hear it is no failure: all is seen at the next list. */
static void listen_to_module(struct senses *s)
{
	if (bloat_open(&s->bloat) < 0)
		return;
	if (sd_event_add_io(s->event, &s->announced, bloat_fd(s->bloat), EPOLLIN, on_announced, s) < 0)
		deafen(s);
	else
		(void)sd_event_source_set_description(s->announced, "module");
}

/* In microseconds; 0 when it can't be read. */
static uint64_t idle_age(void)
{
	char text[32];
	uint64_t ms;

	if (procfs_read(AT_FDCWD, IDLE_AFTER, text, sizeof(text)) < 0)
		return 0;
	text[strcspn(text, "\n")] = 0;
	return parse_u64(text, 10, &ms) < 0 || ms > UINT64_MAX / 1000 ? 0 : ms * 1000;
}

/* The module may have come since it was looked for. */
static int open_again(struct senses *s, char *why, size_t why_size)
{
	if (s->open && (source_is_module(&s->source) || s->wanted == SOURCE_PROCFS || access(MODULE, F_OK) < 0))
		return 0;
	senses_close(s);
	return source_open(s->proc, s->wanted, &s->source, why, why_size);
}

int senses_list(struct senses *s, const struct proc_filter *filter, struct proc_list *ret, char *why, size_t why_size)
{
	int r = open_again(s, why, why_size);

	if (r < 0)
		return r;
	s->open = true;
	s->idle_age_us = source_is_module(&s->source) ? idle_age() : 0;
	r = source_list(&s->source, filter, PROC_FIGURES, ret);
	if (r < 0) {
		const char *words = source_words(&s->source);

		text_format(why, why_size, "processes can't be listed: %s", *words ? words : strerror(-r));
		/* Whatever it was, the next one begins anew. */
		senses_close(s);
		return r;
	}
	if (source_is_module(&s->source) && !s->bloat)
		listen_to_module(s);
	else if (!source_is_module(&s->source))
		deafen(s);
	return 0;
}

int senses_ages(struct senses *s, pid_t pid, struct region_list *ret)
{
	if (!s->open || !source_is_module(&s->source))
		return -ENOENT;
	return source_regions(&s->source, pid, REGIONS_MAX, ret);
}

void senses_touched(struct senses *s, pid_t pid, uint64_t start_time, uint64_t lo, uint64_t hi)
{
	const struct source_range range = { lo, hi };

	int r = s->open ? source_reset_ages(&s->source, pid, start_time, &range, 1) : 0;

	if (r < 0 && r != -ESRCH)
		log_warning("the ages of process %d can't begin anew: %s", pid, strerror(-r));
}

const char *senses_name(const struct senses *s)
{
	return !s->open ? "none" : source_is_module(&s->source) ? "netlink" : "procfs";
}
