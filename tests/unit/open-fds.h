/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a test has left open. */
#ifndef RECLAIM_TESTS_OPEN_FDS_H
#define RECLAIM_TESTS_OPEN_FDS_H

int count_fds(void); /* of this process, itself not counted; fails the test when it can't */

#endif
