/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/memory.h"

#include <stdbool.h>
#include <string.h>

#include "base/text.h"

int memory_open(struct memory *ret)
{
	/* Not touched before it is used, so not resident either. */
	*ret = (struct memory){
		.processes = calloc(MEMORY_PROCESSES_MAX, sizeof(*ret->processes)),
		.programs = calloc(MEMORY_PROGRAMS_MAX, sizeof(*ret->programs)),
	};
	if (ret->processes && ret->programs)
		return 0;
	memory_close(ret);
	return -ENOMEM;
}

void memory_close(struct memory *m)
{
	free(m->processes);
	free(m->programs);
	*m = (struct memory){ 0 };
}

const struct memory_process *memory_find(const struct memory *m, pid_t pid, uint64_t start_time)
{
	for (size_t i = 0; i < m->nprocesses; i++)
		if (m->processes[i].pid == pid && m->processes[i].start_time == start_time)
			return &m->processes[i];
	return NULL;
}

/* Where both are cut off, they count as the same. */
static const struct memory_program *find_program(const struct memory *m, const char *exe, uid_t uid)
{
	for (size_t i = 0; *exe && i < m->nprograms; i++)
		if (m->programs[i].uid == uid && !strncmp(m->programs[i].exe, exe, sizeof(m->programs[i].exe) - 1))
			return &m->programs[i];
	return NULL;
}

static const struct track nothing;

const struct track *memory_of_process(const struct memory *m, pid_t pid, uint64_t start_time)
{
	const struct memory_process *p = memory_find(m, pid, start_time);

	return p ? &p->track : &nothing;
}

const struct track *memory_of_program(const struct memory *m, const char *exe, uid_t uid)
{
	const struct memory_program *p = find_program(m, exe, uid);

	return p ? &p->track : &nothing;
}

/* Is @a to be forgotten rather than @b? */
static bool goes_first(const struct track *a, uint64_t a_used, const struct track *b, uint64_t b_used)
{
	return !a->actions != !b->actions ? !a->actions : a_used < b_used;
}

static struct memory_process *oldest_process(struct memory *m)
{
	struct memory_process *p = m->processes;

	for (size_t i = 1; i < m->nprocesses; i++)
		if (goes_first(&m->processes[i].track, m->processes[i].used, &p->track, p->used))
			p = &m->processes[i];
	return p;
}

static struct memory_program *oldest_program(struct memory *m)
{
	struct memory_program *p = m->programs;

	for (size_t i = 1; i < m->nprograms; i++)
		if (goes_first(&m->programs[i].track, m->programs[i].used, &p->track, p->used))
			p = &m->programs[i];
	return p;
}

struct memory_process *memory_process(struct memory *m, pid_t pid, uint64_t start_time)
{
	struct memory_process *p = (struct memory_process *)memory_find(m, pid, start_time);

	if (!p) {
		p = m->nprocesses < MEMORY_PROCESSES_MAX ? &m->processes[m->nprocesses++] : oldest_process(m);
		*p = (struct memory_process){ .pid = pid, .start_time = start_time };
	}
	p->used = ++m->uses;
	return p;
}

struct memory_program *memory_program(struct memory *m, const char *exe, uid_t uid)
{
	struct memory_program *p = (struct memory_program *)find_program(m, exe, uid);

	if (!*exe) {
		m->unknown = (struct memory_program){ .used = 0 };
		return &m->unknown;
	}
	if (!p) {
		p = m->nprograms < MEMORY_PROGRAMS_MAX ? &m->programs[m->nprograms++] : oldest_program(m);
		*p = (struct memory_program){ .uid = uid };
		text_format(p->exe, sizeof(p->exe), "%s", exe);
	}
	p->used = ++m->uses;
	return p;
}

static void track_earlier(struct track *t, uint64_t by_us)
{
	uint64_t *const times[] = { &t->looked_us,	     &t->acted_us,
				    &t->not_before_us,	     &t->rest_until_us,
				    &t->moves_not_before_us, &t->look_not_before_us };

	/* 0 is never. */
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		*times[i] = *times[i] > by_us ? *times[i] - by_us : MIN(*times[i], 1ull);
}

void memory_earlier(struct memory *m, uint64_t by_us)
{
	for (size_t i = 0; i < m->nprocesses; i++)
		track_earlier(&m->processes[i].track, by_us);
	for (size_t i = 0; i < m->nprograms; i++)
		track_earlier(&m->programs[i].track, by_us);
}
