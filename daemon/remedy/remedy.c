// SPDX-License-Identifier: GPL-2.0-or-later
#include "remedy/remedy.h"

#include <string.h>

#include "remedy/trim.h"

const struct remedy *const remedies[] = {
	&remedy_trim,
	NULL,
};

const struct remedy *remedy_find(const char *name)
{
	for (size_t i = 0; remedies[i]; i++)
		if (!strcmp(remedies[i]->name, name))
			return remedies[i];
	return NULL;
}
