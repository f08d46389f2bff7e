/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A child of the test that does one thing until it is ended, as a target; it also ends together with the test. */
#ifndef TESTS_TARGET_CHILD_H
#define TESTS_TARGET_CHILD_H

#include "inject/inject.h"

/* Fails the test unless it is there. @what: should never return. No memory of it is open. */
void child_begin(void (*what)(void), struct inject_target *ret);

/* Fails the test unless it has gone on all the time. Closes its folder. */
void child_end(struct inject_target *target);

#endif
