/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/json.h"

void ctl_diag(const char *format, ...)
{
	va_list ap;

	/* One write per line: lines of several of us in one terminal stay whole. */
	flockfile(stderr);
	fputs("reclaimctl: ", stderr);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	fflush(stderr);
	funlockfile(stderr);
}

int ctl_fail(struct ctl *ctl, int status, const char *format, ...)
{
	char text[1024];
	struct json j;
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	ctl_diag("%s", text);
	if (!ctl->json || ctl->wrote_json)
		return status;
	ctl->wrote_json = true;
	json_init(&j, stdout);
	json_open(&j, NULL, '{');
	json_text(&j, "error", text);
	json_i64(&j, "exit_status", status);
	json_close(&j);
	return ctl_output_done(status, json_finish(&j));
}

bool ctl_terminal(int fd)
{
	const char *term = getenv("TERM");

	return isatty(fd) && term && *term && strcmp(term, "dumb");
}

int ctl_output_done(int status, int error)
{
	if (!error)
		return status;
	ctl_diag("failed to write output: %s", strerror(-error));
	return CTL_FAILED;
}
