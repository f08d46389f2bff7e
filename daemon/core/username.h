/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names of users for rules, from /etc/passwd alone: a directory service could
 * make the event loop wait. Who isn't in it has a number only.
 */
#ifndef RECLAIM_CORE_USERNAME_H
#define RECLAIM_CORE_USERNAME_H

#include <sys/types.h>

#include "base/cleanup.h"

#define USERNAME_MAX 64

/* @file: of passwd(5). Always fills @ret. */
void username_of(const char *file, uid_t uid, char ret[USERNAME_MAX]);

#endif
