/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a worker's facts to what policy wants to know. Pure: the answer has been checked, its texts are hostile. */
#ifndef RECLAIM_CORE_LOOK_H
#define RECLAIM_CORE_LOOK_H

#include "base/cleanup.h"
#include "policy/policy.h"
#include "reclaim/explain.h"

/* The texts of @ret are those of @head and live as long. */
void look_prospect(const struct explain_head *head, enum policy_depth depth, struct prospect *ret);

/* Words as rules have them: static, "" when not known. */
const char *look_allocator(const struct explain_head *head);
const char *look_runtime(const struct explain_head *head);

#endif
