/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/log.h"

#include <stdarg.h>
#include <systemd/sd-daemon.h>

#define LINE_MAX_BYTES 1024

static void log_line(const char *level, const char *line)
{
	/* Only where somebody takes it off again: sd-daemon(3), systemd.exec(5). */
	(void)fprintf(stderr, "%s%s\n", getenv("JOURNAL_STREAM") ? level : "reclaimd: ", line);
}

#define LOG(level)                                              \
	do {                                                    \
		char line[LINE_MAX_BYTES];                      \
		va_list args;                                   \
                                                                \
		va_start(args, fmt);                            \
		(void)vsnprintf(line, sizeof(line), fmt, args); \
		va_end(args);                                   \
		log_line((level), line);                        \
	} while (0)

void log_error(const char *fmt, ...)
{
	LOG(SD_ERR);
}

void log_warning(const char *fmt, ...)
{
	LOG(SD_WARNING);
}

void log_info(const char *fmt, ...)
{
	LOG(SD_INFO);
}
