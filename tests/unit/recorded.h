/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Trees of /proc that were recorded or written by hand: tests/fixtures/proc. */
#ifndef RECLAIM_TESTS_RECORDED_H
#define RECLAIM_TESTS_RECORDED_H

#include <sys/types.h>

/* Both fail the test that calls them when there is no such thing. */
int recorded_tree(const char *tree);
int recorded_process(const char *tree, pid_t pid);

#endif
