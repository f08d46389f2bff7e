/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A program with a queue of pending calls as Python's is, and nothing else of Python's:
 * a child of the test that shares one page with it, and whose main thread does with what it finds in
 * the queue what it is told to.
 */
#ifndef TESTS_QUEUE_VICTIM_H
#define TESTS_QUEUE_VICTIM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "inject/inject.h"
#include "remedy/remedy.h"

#define VICTIM_NCALLS 8
#define VICTIM_ROOM 128 /* words, of which 61 are used */
/* In the room, in words: remedy/collect-queue.c. */
#define VICTIM_GC_PREV 3
#define VICTIM_REFCNT 4
#define VICTIM_TYPE 5
#define VICTIM_VECTORCALL 6

enum victim_script {
	VICTIM_COLLECT, /* calls it, which takes a while */
	VICTIM_LEAVE, /* doesn't come back to its queue */
	VICTIM_BEGIN, /* begins, and doesn't come to the end */
	VICTIM_LOSE, /* takes it out, and never calls it */
	VICTIM_FULL, /* has no place */
	VICTIM_EXIT, /* exits, instead of calling it */
	VICTIM_SPOIL, /* somebody else uses the room, once it has been put in */
};

enum victim_threads {
	VICTIM_RUNS, /* its only thread is at work */
	VICTIM_SLEEPS, /* its only thread sleeps */
	VICTIM_MAIN_RUNS, /* the main thread is at work, a second one sleeps */
	VICTIM_MAIN_SLEEPS, /* both sleep */
};

struct victim_page {
	volatile uint64_t calls[VICTIM_NCALLS][2];
	volatile uint32_t ends[2]; /* first, next free */
	volatile uint64_t room[VICTIM_ROOM];
	volatile uint32_t ready, script, added;
	volatile uint64_t turns;
};

struct victim {
	pid_t pid;
	struct victim_page *page; /* the same address in both */
	struct inject_target target;
	struct remedy_plan plan; /* what the reader would say of it */
	int prover_error; /* of the next looks; 0: any place is a safe one */
};

/* Fails the test unless it is there, ready, and can be injected into. Skips it under valgrind. */
void victim_start(struct victim *v, enum victim_threads threads, enum victim_script script);
/* The address of libc's __restore_rt, here and in whom we fork. Fails the test when nobody tells. */
uint64_t victim_restorer(void);

/* Fails the test unless it has lived until now (or was to exit), and has been let go of. */
void victim_finish(struct victim *v);

/* One collection through its queue, which may take @ms. */
void victim_run(struct victim *v, unsigned int ms, struct remedy_result *ret);

#endif
