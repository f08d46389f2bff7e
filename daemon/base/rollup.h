/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /proc/PID/smaps_rollup: sums over all mappings. The kernel walks all page tables of the process for it. */
#ifndef RECLAIM_BASE_ROLLUP_H
#define RECLAIM_BASE_ROLLUP_H

#include <stdint.h>

#include "base/cleanup.h"

#define ROLLUP_UNKNOWN UINT64_MAX

/* Bytes of anonymous memory in huge pages, of the process whose directory is @piddir; or ROLLUP_UNKNOWN. */
uint64_t rollup_huge(int piddir);

#endif
