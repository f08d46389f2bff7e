// SPDX-License-Identifier: GPL-2.0-or-later
/* The command of "record": what is ours doesn't go over to it, and no signal is lost on the way. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctl/interrupt.h"
#include "ctl/record.h"

static int signal_at_fork; /* comes in the child, before it has done anything; 0: none */

static void in_child(void)
{
	if (signal_at_fork)
		(void)kill(getpid(), signal_at_fork);
}

/* How the command ended: it has ten seconds. */
static void run(const char *const *argv, int at_fork, char *ret, size_t size)
{
	const struct timespec pause = { .tv_nsec = 10000000 };
	uint64_t cpu_us;
	pid_t pid;

	signal_at_fork = at_fork;
	assert_int_equal(record_command_start(argv, &pid), 0);
	signal_at_fork = 0;
	for (unsigned int i = 0; !record_command_wait(pid, &cpu_us, ret, size); i++) {
		assert_true(i < 100);
		(void)nanosleep(&pause, NULL);
	}
}

static void test_signal_before_exec(void **state)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	const char *const argv[] = { "sleep", "60", NULL };
	char how[64], want[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		run(argv, signals[i], how, sizeof(how));
		snprintf(want, sizeof(want), "killed by signal %d", signals[i]);
		assert_string_equal(how, want);
	}
	/* It was the child's alone. */
	assert_int_equal(interrupt_signal(), 0);
	assert_false(interrupt_given_up());
}

/*
 * As main() begins: SIGPIPE is ignored here, and nothing of that is the command's. Of the C library's own two,
 * 32 and 33, a program can't tell, and who started us may have ignored them: dpkg-buildpackage does.
 */
static void test_begins_as_any_other(void **state)
{
	static const char script[] = "for m in $(sed -n 's/^Sig\\(Blk\\|Ign\\):.//p' /proc/self/status); do"
				     " [ $((0x$m & 0x7fffffff)) = 0 ] || exit 1; n=$((n + 1)); done; exit $((n + 5))";
	const char *const argv[] = { "sh", "-c", script, NULL };
	char how[64];

	(void)state;
	run(argv, 0, how, sizeof(how));
	/* Both were seen. */
	assert_string_equal(how, "status 7");
}

static void test_ignored_stays_ignored(void **state)
{
	const char *const argv[] = { "sh", "-c", "kill -HUP $$; exit 3", NULL };
	char how[64];

	(void)state;
	assert_ptr_not_equal(signal(SIGHUP, SIG_IGN), SIG_ERR);
	run(argv, SIGHUP, how, sizeof(how));
	assert_string_equal(how, "status 3");
}

static int setup(void **state)
{
	sigset_t none;

	(void)state;
	/* Whatever we were started in: nohup, or the background of a shell. */
	for (int signo = 1; signo < SIGRTMIN; signo++)
		(void)signal(signo, SIG_DFL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	return pthread_atfork(NULL, NULL, in_child) || interrupt_catch_first() < 0 ? -1 : 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_signal_before_exec),
		cmocka_unit_test(test_begins_as_any_other),
		cmocka_unit_test(test_ignored_stays_ignored),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
