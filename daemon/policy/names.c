// SPDX-License-Identifier: GPL-2.0-or-later
/* Names of reasons and verdicts: in the ledger and the journal, so they stay as they are. */
#include <string.h>

#include "policy/policy.h"

static const char *const reasons[REASON_N] = {
	[REASON_NONE] = "none",
	[REASON_NEVER] = "never",
	[REASON_PROTECTED] = "protected",
	[REASON_KTHREAD] = "kthread",
	[REASON_ZOMBIE] = "zombie",
	[REASON_STOPPED] = "stopped",
	[REASON_TRACED] = "traced",
	[REASON_TRACER] = "tracer",
	[REASON_REALTIME] = "realtime",
	[REASON_VMM] = "vmm",
	[REASON_AVOID] = "avoid",
	[REASON_SMALL] = "small",
	[REASON_BUSY] = "busy",
	[REASON_NOT_IDLE_YET] = "not-idle-yet",
	[REASON_COOLDOWN] = "cooldown",
	[REASON_BACKOFF] = "backoff",
	[REASON_LOOKED] = "looked",
	[REASON_UNREADABLE] = "unreadable",
	[REASON_NOTHING_POSSIBLE] = "nothing-possible",
	[REASON_NOT_WORTH_IT] = "not-worth-it",
	[REASON_RATE] = "rate",
	[REASON_STOP_BUDGET] = "stop-budget",
	[REASON_WORKERS] = "workers",
	[REASON_WORTH_IT] = "worth-it",
	[REASON_MODE] = "mode",
};

static const char *const verdicts[] = {
	[VERDICT_LEAVE] = "leave", [VERDICT_WAIT] = "wait",   [VERDICT_LOOK] = "look",
	[VERDICT_ACT] = "act",	   [VERDICT_WOULD] = "would",
};

const char *policy_reason_name(enum reason r)
{
	return r < REASON_N ? reasons[r] : "unknown";
}

enum reason policy_reason_from_name(const char *name)
{
	for (size_t i = 0; i < REASON_N; i++)
		if (!strcmp(reasons[i], name))
			return (enum reason)i;
	return REASON_N;
}

const char *policy_verdict_name(enum verdict v)
{
	return v < ARRAY_SIZE(verdicts) ? verdicts[v] : "unknown";
}
