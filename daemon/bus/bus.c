/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bus/request.h"

void bus_close(struct bus **bus)
{
	struct bus *b = *bus;

	*bus = NULL;
	if (!b)
		return;
	manager_listen(b->manager, &(struct manager_listener){ 0 });
	private_close(b);
	system_close(b);
	request_end_all(b);
	quota_done(&b->quota);
	free(b);
}

int bus_open(sd_event *event, struct manager *m, const struct bus_places *places, struct bus **ret)
{
	_cleanup_(bus_close) struct bus *b = calloc(1, sizeof(*b));
	int r = 0;

	if (!b)
		return -ENOMEM;
	*b = (struct bus){ .event = event, .manager = m, .listen_fd = -1 };
	if (places->socket)
		r = private_open(b, places->socket);
	if (r >= 0 && places->system)
		r = system_open(b, places->system);
	if (r < 0)
		return r;
	signal_listen(b);
	*ret = TAKE_PTR(b);
	return 0;
}
