/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the daemon tells the system's log of its records. Goes to the journal with structured
 * fields; to stderr as lines with "<N>" in front, as sd-daemon(3) has them,
 * where there is no journal or somebody watches at a terminal.
 */
#ifndef RECLAIM_CORE_JOURNAL_H
#define RECLAIM_CORE_JOURNAL_H

#include "core/ledger.h"

/*
 * MESSAGE_ID by kind, RECLAIM_KIND, RECLAIM_PID, RECLAIM_UNIT, RECLAIM_FREED and so on, and OBJECT_PID, which makes
 * journalctl -u UNIT show it beside what the unit itself has said. 0, or -errno when neither way took it.
 */
int journal_record(const struct ledger_record *rec);

/* 32 hex digits, as in the catalog. */
const char *journal_message_id(enum ledger_kind k);

#endif
