/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What "history" asks for, and how it is shown. */
#ifndef RECLAIM_CTL_HISTORY_H
#define RECLAIM_CTL_HISTORY_H

#include "core/ledger-totals.h"
#include "ctl/ctl.h"
#include "ctl/json.h"

#define HISTORY_FOLDER "/var/lib/reclaim" /* $RECLAIM_STATE_DIR instead, unless we are set-id */

/*
 * A point in time: "10min" and the like before @now_us, "2026-11-27", "2026-11-27 03:15", with seconds too, all of
 * local time, "today", "yesterday", or "@SECONDS". @ret: CLOCK_REALTIME in us. 0, -EINVAL, -ERANGE.
 */
int history_since(const char *text, uint64_t now_us, uint64_t *ret) __must_check;

/* "action,check": bits 1 << enum ledger_kind. 0 or -EINVAL. */
int history_kinds(const char *list, uint32_t *ret) __must_check;

/* A process's number, or a unit's name; NAME means NAME.service. @unit has LEDGER_NAME bytes. 0 or -EINVAL. */
int history_subject(const char *word, pid_t *ret_pid, char *unit) __must_check;

/* Records one by one: JSON as they come, a table at the end. */
struct history_list;
int history_list_new(struct ctl *ctl, struct history_list **ret) __must_check;
int history_list_add(void *list, const struct ledger_record *rec); /* a ledger_fn */
int history_list_end(struct history_list *l) __must_check; /* 0 or -errno */
void history_list_free(struct history_list **l);

/* The members of one record, without brackets. */
void history_members(struct json *j, const struct ledger_record *rec);

/* 0 or -errno. */
int history_totals_show(struct ctl *ctl, const struct ledger_totals *t) __must_check;

#endif
