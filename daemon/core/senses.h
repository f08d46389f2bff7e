/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the daemon learns of processes and from whom: the kernel module while it
 * is there, with what it announces by itself, else /proc. It may come and go.
 */
#ifndef RECLAIM_CORE_SENSES_H
#define RECLAIM_CORE_SENSES_H

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "sense/bloat.h"
#include "sense/source.h"

struct senses_listener {
	void (*bloated)(void *arg, const struct bloat_event *e);
	void (*resync)(void *arg); /* something was missed: list them all */
	void *arg;
};

struct senses {
	sd_event *event;
	struct senses_listener listener;
	struct source source; /* usable when @open */
	bool open;
	enum source_kind wanted;
	int proc;
	uint64_t idle_age_us; /* what the module calls idle; 0: not known */
	struct bloat *bloat;
	sd_event_source *announced;
};

/* @proc is the caller's. @s stays where it is until senses_close(). Opens nothing yet: that is done for each list. */
void senses_init(struct senses *s, sd_event *event, int proc, enum source_kind wanted, const struct senses_listener *l);
void senses_close(struct senses *s); /* accepts zeroed */

/* As source_list() at PROC_FIGURES, from whoever is there now; words for a failure in @why. */
int senses_list(struct senses *s, const struct proc_filter *filter, struct proc_list *ret, char *why, size_t why_size)
	__must_check;

/* The mappings of a process with their ages: -ENOENT where no module keeps any, -errno. */
int senses_ages(struct senses *s, pid_t pid, struct region_list *ret) __must_check;

/* As source_reset_ages(): what can't be told is as it was before there was anybody to tell it. */
void senses_touched(struct senses *s, pid_t pid, uint64_t start_time, uint64_t lo, uint64_t hi);

const char *senses_name(const struct senses *s); /* "netlink", "procfs", "none" */

#endif
