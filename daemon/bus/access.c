/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bus/access.h"

static const struct {
	enum access_answer root, own, others;
} table[ACCESS_N] = {
	/*			root	     own	 others */
	[ACCESS_LIST] =		{ ACCESS_YES, ACCESS_YES, ACCESS_ASK },
	[ACCESS_EXPLAIN] =	{ ACCESS_YES, ACCESS_YES, ACCESS_ASK },
	[ACCESS_TRIM] =		{ ACCESS_YES, ACCESS_YES, ACCESS_ASK },
	[ACCESS_HISTORY] =	{ ACCESS_YES, ACCESS_YES, ACCESS_ASK },
	[ACCESS_RELOAD] =	{ ACCESS_YES, ACCESS_NO,  ACCESS_NO },
	[ACCESS_HEAR] =		{ ACCESS_YES, ACCESS_YES, ACCESS_NO },
};

enum access_answer access_decide(enum access_deed deed, uid_t uid, bool own)
{
	if (uid == 0)
		return table[deed].root;
	return own ? table[deed].own : table[deed].others;
}
