/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bus room in a child process over a fake manager, and us as its clients
 * under several user ids: that needs root.
 */
#ifndef RECLAIM_TESTS_BUS_WORLD_H
#define RECLAIM_TESTS_BUS_WORLD_H

#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>

#include "fake-manager.h"

struct bus_world {
	char dir[64], socket[96];
	pid_t child;
	int stop_fd; /* a byte ends the child */
	struct fake_seen *seen; /* shared with it */
};

/* @system: address of a system bus, or NULL. Fails the test when it can't. */
void bus_world_open(struct bus_world *w, const char *system);
/* The child must end well: no crash, and under sanitizers no leak. */
void bus_world_close(struct bus_world *w);
bool bus_world_alive(const struct bus_world *w);

/* cmocka's: one for each test, without a system bus. */
int bus_world_setup(void **state);
int bus_world_teardown(void **state);
#define BUS_WORLD_TEST(fn, w) cmocka_unit_test_prestate_setup_teardown(fn, bus_world_setup, bus_world_teardown, &(w))

/* Connects under that effective user id. A raw socket, or a bus that has said hello. */
int bus_world_socket(const struct bus_world *w, uid_t uid);
sd_bus *bus_world_connect(const struct bus_world *w, uid_t uid);

/* Waits up to two seconds until *@v is @want. */
bool bus_world_until(const uint32_t *v, uint32_t want);

/* What main() returns when it may not become other users. */
int bus_world_skip(void);

#endif
