// SPDX-License-Identifier: GPL-2.0-or-later
#include "inspect/modules.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/procfs.h"
#include "inspect/trouble.h"

#define MODULES_MAX 4096
#define HEADERS_MAX (64 + 256 * 56)

static int module_path_map_files(int piddir, const struct map *map)
{
	char path[80];

	(void)snprintf(path, sizeof(path), "map_files/%llx-%llx", (unsigned long long)map->start,
		       (unsigned long long)map->end);
	return openat(piddir, path, O_PATH | O_CLOEXEC);
}

/*
 * For callers without CAP_CHECKPOINT_RESTORE, who act with their own rights
 * only. Names resolve inside the target's root: symlinks can't lead us out.
 */
static int module_path_root(int piddir, const struct map *map)
{
	_cleanup_close_ int root = openat(piddir, "root", O_PATH | O_CLOEXEC);
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS,
	};

	if (root < 0 || map->name[0] != '/' || (map->flags & MAP_F_DELETED))
		return -1;
	return (int)syscall(SYS_openat2, root, map->name, &how, sizeof(how));
}

/*
 * The file's fd, -ENOENT when it can't be had, -EMFILE, -ESRCH. Looked at before it is
 * opened: opening a device or a FIFO can have effects.
 */
static int module_fd(int piddir, const struct map *map)
{
	_cleanup_close_ int path = module_path_map_files(piddir, map);
	bool by_name = path < 0 && (errno == EPERM || errno == EACCES);
	struct stat st;
	int fd;

	if (by_name)
		path = module_path_root(piddir, map);
	if (path < 0)
		return trouble_note(errno, errno == EMFILE || errno == ESRCH ? -errno : -ENOENT);
	if (fstat(path, &st) < 0)
		return trouble_note(errno, -ENOENT);
	if (!S_ISREG(st.st_mode) || (by_name && st.st_ino != map->inode))
		return -ENOENT;
	fd = procfs_reopen(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return trouble_note(-fd, fd == -EMFILE ? fd : -ENOENT);
	return fd;
}

static int modules_add(int piddir, const struct map *map, struct modules *m)
{
	struct module *v;
	int fd;

	if (m->n >= MODULES_MAX)
		return -E2BIG;
	v = reallocarray(m->v, m->n + 1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	m->v = v;
	fd = module_fd(piddir, map);
	if (fd == -EMFILE || fd == -ESRCH)
		return fd;
	m->v[m->n++] = (struct module){
		.start = map->start,
		.end = map->end,
		.offset = map->offset,
		.name = map->name,
		.fd = MAX(fd, -1),
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
	if (memcmp(buf, bytes, len) != 0)
		return -ESTALE;
	mod->verified = true;
	return 0;
}

bool module_is_linker(struct module *mod)
{
	struct object_sym sym;

	return module_load(mod) == 0 && object_func(&mod->object, false, "_dl_allocate_tls", &sym) == 0;
}

bool module_same(const struct module *a, const struct module *b)
{
	return a && b && a->state == MODULE_READY && b->state == MODULE_READY && a->bias == b->bias &&
	       !strcmp(a->name, b->name);
}

const char *module_basename(const struct module *mod)
{
	const char *slash = strrchr(mod->name, '/');

	return slash ? slash + 1 : mod->name;
}
