// SPDX-License-Identifier: GPL-2.0-or-later
#include "remedy/remedy.h"

#include <string.h>

#include "remedy/cold.h"
#include "remedy/collect.h"
#include "remedy/pageout.h"
#include "remedy/purge.h"
#include "remedy/trim.h"

const struct remedy *const remedies[] = {
	&remedy_collect, &remedy_trim, &remedy_purge, &remedy_cold, &remedy_pageout, NULL,
};

const struct remedy *remedy_find(const char *name, uint32_t *ret_index)
{
	for (uint32_t i = 0; remedies[i]; i++) {
		if (!strcmp(remedies[i]->name, name)) {
			*ret_index = i;
			return remedies[i];
		}
	}
	return NULL;
}
