// SPDX-License-Identifier: GPL-2.0-or-later
/* FUZZ: -max_len=4096 */
/*
 * What a guest of the private socket sends, over a manager that does nothing.
 * The first byte says whether authentication goes before it; where it is
 * needed, the guest is root, whom nothing stops early.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>

#include "bus/bus.h"
#include "bus/doors.h"
#include "fake-manager.h"
#include "fuzz.h"

#define TURNS_MAX 400

static const char begin[] = "\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n";

static struct world {
	sd_event *event;
	struct manager *manager;
	struct bus *bus;
	struct fake_seen seen;
	char dir[32];
} world;

static void open_world(void)
{
	const struct bus_places places = { .socket = NULL, .system = NULL };

	snprintf(world.dir, sizeof(world.dir), "/tmp/fuzz-bus.none");
	if (sd_event_new(&world.event) < 0 ||
	    fake_manager_new(world.event, world.dir, &world.seen, &world.manager) < 0 ||
	    bus_open(world.event, world.manager, &places, &world.bus) < 0)
		abort();
}

/* Until nobody has anything to do but the fake manager's clock. */
static void settle(bool until_gone)
{
	size_t idle = 0;

	for (size_t i = 0; i < TURNS_MAX && idle < 3 && !(until_gone && !world.bus->peers); i++) {
		const int r = sd_event_run(world.event, until_gone ? 100000 : 0);

		if (r < 0)
			abort();
		idle = r ? 0 : idle + 1;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fds[2];

	if (!world.bus)
		open_world();
	if (!size || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0)
		return 0;
	if (private_admit(world.bus, fds[0]) < 0)
		abort();
	if (*data & 1)
		(void)!send(fds[1], begin, sizeof(begin) - 1, MSG_NOSIGNAL);
	(void)!send(fds[1], data + 1, size - 1, MSG_NOSIGNAL);
	settle(false);
	close(fds[1]);
	settle(true);
	/* Whoever has gone leaves nothing behind. */
	if (world.bus->peers)
		abort();
	return 0;
}
