/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What our pages for a browser have in common: one file, nothing is fetched, the colours, light and dark. */
#ifndef RECLAIM_CTL_PAGE_H
#define RECLAIM_CTL_PAGE_H

#include <stdio.h>
#include <time.h>

/* Up to and with <body>. @title: any bytes. */
void page_begin(FILE *f, const char *title);
/* @script and all that is still open. */
void page_end(FILE *f, const char *script);
void page_time(FILE *f, time_t t); /* "2026-11-27 10:00:00 UTC" */

#endif
