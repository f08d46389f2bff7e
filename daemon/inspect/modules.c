// SPDX-License-Identifier: GPL-2.0-or-later
#include "inspect/modules.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define MODULES_MAX 4096
#define HEADERS_MAX (64 + 256 * 56)

static int module_fd_map_files(int piddir, const struct map *map)
{
	char path[80];

	(void)snprintf(path, sizeof(path), "map_files/%llx-%llx", (unsigned long long)map->start,
		       (unsigned long long)map->end);
	return openat(piddir, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

/* For callers without CAP_CHECKPOINT_RESTORE. Names resolve inside the target's root: symlinks can't lead us out. */
static int module_fd_root(int piddir, const struct map *map)
{
	_cleanup_close_ int root = openat(piddir, "root", O_PATH | O_CLOEXEC);
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};

	if (root < 0 || map->name[0] != '/' || (map->flags & MAP_F_DELETED))
		return -1;
	return (int)syscall(SYS_openat2, root, map->name, &how, sizeof(how));
}

/* -1 when it can't be had; regular files only, reading anything else may have effects. */
static int module_fd(int piddir, const struct map *map)
{
	_cleanup_close_ int fd = module_fd_map_files(piddir, map);
	struct stat st;

	if (fd < 0)
		fd = module_fd_root(piddir, map);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_ino != map->inode)
		return -1;
	return TAKE_FD(fd);
}

static int modules_add(int piddir, const struct map *map, struct modules *m)
{
	struct module *v;

	if (m->n >= MODULES_MAX)
		return -E2BIG;
	v = reallocarray(m->v, m->n + 1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	m->v = v;
	m->v[m->n++] = (struct module){
		.start = map->start,
		.end = map->end,
		.offset = map->offset,
		.name = map->name,
		.fd = module_fd(piddir, map),
	};
	return 0;
}

int modules_open(int piddir, const struct maps *maps, struct modules *ret)
{
	_cleanup_(modules_close) struct modules m = { 0 };

	for (size_t i = 0; i < maps->n; i++) {
		const struct map *map = &maps->v[i];
		int r;

		if (!(map->flags & MAP_F_EXEC) || !map->inode)
			continue;
		r = modules_add(piddir, map, &m);
		if (r < 0)
			return r;
	}
	*ret = m;
	m = (struct modules){ 0 };
	return 0;
}

void modules_close(struct modules *m)
{
	for (size_t i = 0; i < m->n; i++) {
		object_close(&m->v[i].object);
		closep(&m->v[i].fd);
	}
	free(m->v);
	*m = (struct modules){ 0 };
}

struct module *modules_find(const struct modules *m, uint64_t addr)
{
	size_t lo = 0, hi = m->n;

	while (lo < hi) { /* in the order of maps: sorted, disjoint */
		size_t mid = lo + (hi - lo) / 2;

		if (addr < m->v[mid].start)
			hi = mid;
		else if (addr >= m->v[mid].end)
			lo = mid + 1;
		else
			return &m->v[mid];
	}
	return NULL;
}

int module_load(struct module *mod)
{
	if (mod->state == MODULE_CLOSED) {
		mod->state = MODULE_BAD;
		if (mod->fd >= 0 && object_open(mod->fd, &mod->object) == 0 &&
		    object_bias(&mod->object, mod->start, mod->offset, &mod->bias) == 0)
			mod->state = MODULE_READY;
	}
	return mod->state == MODULE_READY ? 0 : -ENOEXEC;
}

int module_verify(struct module *mod, struct remote *mem)
{
	unsigned char buf[HEADERS_MAX];
	const void *bytes;
	uint64_t vaddr;
	size_t len;
	int r = module_load(mod);

	if (r < 0 || mod->verified)
		return r;
	r = object_headers(&mod->object, &vaddr, &bytes, &len);
	if (r < 0 || len > sizeof(buf))
		return -ENOEXEC;
	r = remote_read(mem, mod->bias + vaddr, buf, len);
	if (r < 0)
		return r;
	if (memcmp(buf, bytes, len) != 0) {
		mod->state = MODULE_BAD;
		return -ESTALE;
	}
	mod->verified = true;
	return 0;
}

const char *module_basename(const struct module *mod)
{
	const char *slash = strrchr(mod->name, '/');

	return slash ? slash + 1 : mod->name;
}
