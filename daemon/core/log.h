/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon's own diagnostics: one line each on stderr, with a level where the journal reads it. */
#ifndef RECLAIM_CORE_LOG_H
#define RECLAIM_CORE_LOG_H

#include "base/cleanup.h"

/* What comes from processes or users must be escaped before. */
void log_error(const char *fmt, ...) __printf_like(1, 2);
void log_warning(const char *fmt, ...) __printf_like(1, 2);
void log_info(const char *fmt, ...) __printf_like(1, 2);

#endif
