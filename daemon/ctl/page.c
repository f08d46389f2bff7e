// SPDX-License-Identifier: GPL-2.0-or-later
#include "ctl/page.h"

#include "ctl/markup.h"

/* picture.css, as it is. make runs at the top. */
__asm__(".section .rodata\n"
	"picture_css: .incbin \"daemon/ctl/picture.css\"\n.byte 0\n"
	".text\n");
extern const char picture_css[];

void page_begin(FILE *f, const char *title)
{
	(void)fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
		    "style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n"
		    "<meta name=\"viewport\" content=\"width=device-width\">\n"
		    "<meta name=\"color-scheme\" content=\"light dark\">\n<title>",
		    f);
	markup_text(f, title);
	(void)fprintf(f, "</title>\n<style>\n%s</style>\n</head>\n<body>\n", picture_css);
}

void page_end(FILE *f, const char *script)
{
	(void)fprintf(f, "<script>\n%s</script>\n</body>\n</html>\n", script);
}

void page_time(FILE *f, time_t t)
{
	char when[64];
	struct tm tm;

	if (gmtime_r(&t, &tm) && tm.tm_year >= 0 && tm.tm_year <= 8099 &&
	    strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S UTC", &tm))
		markup_text(f, when);
	else
		(void)fputs("at an unknown time", f);
}
