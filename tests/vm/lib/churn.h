/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processes that do to their memory what a walk must survive: without pause, each in its own order. */
#pragma once

struct churn;

/* @n of them, or NULL. They end with us. */
struct churn *churn_start(int n);
/* Ends them; how many times they have done something. 0: one died by itself. */
unsigned long churn_end(struct churn *c);
