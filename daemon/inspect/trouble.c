// SPDX-License-Identifier: GPL-2.0-or-later
#include "inspect/trouble.h"

#include <errno.h>

static int trouble_first;

void trouble_see(int error)
{
	switch (error) {
	case ENOMEM:
	case EIO:
	case EINTR:
	case EMFILE:
	case ENFILE:
		if (!trouble_first)
			trouble_first = -error;
	}
}

int trouble(void)
{
	return trouble_first;
}
