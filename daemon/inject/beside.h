/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A pause that ends on the processor of the thread that is to be stopped next.
 *
 * A thread that is at work stops where it enters the kernel next. Asked from
 * another processor that is an interrupt between the two, which takes longer on
 * a virtual machine (45 us, Linux 6.18) than it is between two calls of a
 * program that calls often: such a thread would only ever be met in a call (199
 * of 200 stops, 30 us between calls). Our timer on its own processor meets it
 * anywhere (6 of 200), and the stop takes half as long, too.
 */
#ifndef RECLAIM_INJECT_BESIDE_H
#define RECLAIM_INJECT_BESIDE_H

#include <stdbool.h>
#include <sys/types.h>

#include "inject/inject.h"

#define BESIDE_LATE_NS 100000000ull /* 40 others at work on it: 87 ms */

/*
 * Sleeps for @ns (below a second), or until a signal. True when that was beside the thread. We are bound to the
 * processor only while we sleep: once somebody is stopped, any other may be free earlier. Left alone is one that we are
 * not allowed to use, or whose thread goes first always; and all of them, for as long as we live, after one that let us
 * in BESIDE_LATE_NS too late: somebody keeps it to himself, and there we can't even die.
 *
 * Where the kernel keeps its timers off a processor (nohz_full) and our mask has it, the thread is interrupted from
 * another one, as without us.
 */
bool beside_sleep(const struct inject_target *target, pid_t tid, unsigned long ns) __must_check;

#endif
