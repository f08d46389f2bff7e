/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A system bus of our own, by dbus-daemon, with the policy that we ship; and somebody on it who says to be polkit. */
#ifndef RECLAIM_TESTS_SYSTEM_BUS_H
#define RECLAIM_TESTS_SYSTEM_BUS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>

struct fake_polkit {
	enum { POLKIT_NO, POLKIT_YES, POLKIT_CHALLENGE, POLKIT_SILENT } answer; /* set by the test */
	uint32_t ready, asked, flags, uid, pid;
	char kind[32], action[64];
};

struct system_bus {
	char dir[64], config[96], address[96];
	pid_t child, polkit_child;
	struct fake_polkit *polkit; /* shared */
};

bool system_bus_can(void); /* dbus-daemon is there */
void system_bus_prepare(struct system_bus *s); /* its address is known, nobody is there */
void system_bus_start(struct system_bus *s);
void system_bus_kill(struct system_bus *s);
void system_bus_start_polkit(struct system_bus *s);
void system_bus_done(struct system_bus *s);

sd_bus *system_bus_connect(const struct system_bus *s, uid_t uid);

#endif
