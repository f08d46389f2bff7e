/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ^C and its like during work on several targets: the first one lets the
 * current target finish and stops there, the second gives that one up too.
 */
#ifndef RECLAIM_CTL_INTERRUPT_H
#define RECLAIM_CTL_INTERRUPT_H

#include <stdbool.h>

#include "base/cleanup.h"

/* Catches SIGINT, SIGTERM and SIGHUP where they are not ignored. 0 or -errno. */
int interrupt_catch(void) __must_check;

/* The same without a word, and interrupt_fd() is readable from the first one on. */
int interrupt_catch_first(void) __must_check;

/* From now on as after interrupt_catch_first(), or as after interrupt_catch(): while nothing is done to a target. */
void interrupt_at_once(bool first);

/* Nothing is caught any more: for a child that becomes another program. */
void interrupt_forget(void);

/* The first signal that came, 0 when none. */
int interrupt_signal(void);

/* Readable from the second signal on; -1 before interrupt_catch(). */
int interrupt_fd(void);

/* Is it? */
bool interrupt_given_up(void);

#endif
