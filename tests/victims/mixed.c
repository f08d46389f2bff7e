/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Uses glibc's malloc, and a second allocator that a plug-in brought along, privately loaded. */
#include <dlfcn.h>

#include "victim.h"

int main(int argc, char **argv)
{
	const char *lib = opt(argc, argv, "lib", "libjemalloc.so.2");
	void *(*other_malloc)(size_t);
	struct block *keep[8], *b;
	void *h;

	vstat_open(argc, argv);
	bloat_make(4096, keep, 8);
	h = dlopen(lib, RTLD_NOW | RTLD_LOCAL);
	if (!h) {
		fprintf(stderr, "%s\n", dlerror());
		return 98;
	}
	*(void **)&other_malloc = dlsym(h, "malloc");
	if (!other_malloc || other_malloc == malloc)
		die("no second malloc");
	b = other_malloc(100000);
	block_fill(b, 100000, 3);
	vs->ready = 1;
	idle_until_stop();
	bloat_check(keep, 8);
	if (block_bad(b))
		complain("block of the other allocator damaged");
	return vstat_finish();
}
