// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "bus-world.h"
#include "bus/bus.h"

static int on_stop(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	(void)fd;
	(void)revents;
	(void)userdata;
	return sd_event_exit(sd_event_source_get_event(s), 0);
}

static int serve(const struct bus_world *w, const char *system, int stop_fd, int ready_fd)
{
	const struct bus_places places = { .socket = w->socket, .system = system };
	sd_event *event = NULL;
	struct manager *m = NULL;
	struct bus *b = NULL;
	int r = sd_event_new(&event);

	if (r >= 0)
		r = fake_manager_new(event, w->dir, w->seen, &m);
	if (r >= 0)
		r = bus_open(event, m, &places, &b);
	if (r >= 0)
		r = sd_event_add_io(event, NULL, stop_fd, EPOLLIN, on_stop, NULL);
	if (r >= 0 && write(ready_fd, "", 1) == 1)
		r = sd_event_loop(event);
	bus_close(&b);
	/* Whoever is forgotten isn't called any more. */
	if (fake_manager_pending(m))
		r = -EBUSY;
	fake_manager_free(m);
	sd_event_unref(event);
	return r;
}

void bus_world_open(struct bus_world *w, const char *system)
{
	int stop[2], ready[2];
	char byte;

	snprintf(w->dir, sizeof(w->dir), "/tmp/reclaim-bus.XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	assert_int_equal(chmod(w->dir, 0755), 0);
	snprintf(w->socket, sizeof(w->socket), "%s/bus", w->dir);
	w->seen = mmap(NULL, sizeof(*w->seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(w->seen != MAP_FAILED);
	assert_int_equal(pipe(stop), 0);
	assert_int_equal(pipe(ready), 0);
	w->child = fork();
	assert_true(w->child >= 0);
	if (!w->child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(stop[1]);
		close(ready[0]);
		exit(serve(w, system, stop[0], ready[1]) == 0 ? 0 : 99);
	}
	close(stop[0]);
	close(ready[1]);
	w->stop_fd = stop[1];
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
}

bool bus_world_alive(const struct bus_world *w)
{
	return waitpid(w->child, NULL, WNOHANG) == 0;
}

static void remove_dir(const char *path)
{
	_cleanup_closedir_ DIR *d = opendir(path);
	const struct dirent *e;

	assert_non_null(d);
	while ((e = readdir(d)))
		(void)unlinkat(dirfd(d), e->d_name, 0);
	assert_int_equal(rmdir(path), 0);
}

void bus_world_close(struct bus_world *w)
{
	int status;

	/* Others of our children may hold this pipe open. */
	assert_int_equal(write(w->stop_fd, "", 1), 1);
	close(w->stop_fd);
	assert_int_equal(waitpid(w->child, &status, 0), w->child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	/* It tidies up. */
	assert_int_equal(access(w->socket, F_OK), -1);
	remove_dir(w->dir);
	munmap(w->seen, sizeof(*w->seen));
}

int bus_world_setup(void **state)
{
	bus_world_open(*state, NULL);
	return 0;
}

int bus_world_teardown(void **state)
{
	bus_world_close(*state);
	return 0;
}

int bus_world_socket(const struct bus_world *w, uid_t uid)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	memcpy(at.sun_path, w->socket, strlen(w->socket));
	assert_int_equal(seteuid(uid), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(seteuid(0), 0);
	return fd;
}

sd_bus *bus_world_connect(const struct bus_world *w, uid_t uid)
{
	int fd = bus_world_socket(w, uid);
	sd_bus *bus = NULL;

	assert_int_equal(sd_bus_new(&bus), 0);
	assert_true(sd_bus_set_fd(bus, fd, fd) >= 0);
	assert_true(sd_bus_start(bus) >= 0);
	return bus;
}

bool bus_world_until(const uint32_t *v, uint32_t want)
{
	const uint64_t deadline = clock_ns() + 10000000000ull;

	while (*(const volatile uint32_t *)v != want && clock_ns() < deadline)
		poll(NULL, 0, 2);
	return *(const volatile uint32_t *)v == want;
}

static void test_needs_root(void **state)
{
	(void)state;
	skip();
}

int bus_world_skip(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_needs_root) };

	return cmocka_run_group_tests_name("bus", tests, NULL, NULL);
}
