/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The mappings of one process with their residency, from smaps. */
#include "sense/region.h"

#include "sense/region-builder.h"
#include "sense/smaps.h"

#define READ_TRIES 4

static int read_once(int piddir, size_t max_regions, struct region_builder *b)
{
	_cleanup_(smaps_close) struct smaps s = { .fd = -1 };
	struct region reg;
	int r;

	r = smaps_open(piddir, &s);
	if (r < 0)
		return r;

	while ((r = smaps_next(&s, &reg)) > 0) {
		if (b->list.n >= max_regions)
			return -E2BIG;
		r = region_builder_add(b, &reg);
		if (r < 0)
			return r;
	}

	return r;
}

int region_list_read(int piddir, size_t max_regions, struct region_list *ret)
{
	for (int i = 0; i < READ_TRIES; i++) {
		_cleanup_(region_builder_done) struct region_builder b = { 0 };
		int r;

		r = read_once(piddir, max_regions, &b);
		if (r == -EAGAIN)
			continue;
		if (r < 0)
			return r;

		region_builder_end(&b, ret);
		return 0;
	}

	return -EBADMSG;
}

void region_list_done(struct region_list *l)
{
	free(l->v);
	free(l->text);
	*l = (struct region_list){ 0 };
}
