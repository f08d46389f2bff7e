/* SPDX-License-Identifier: GPL-2.0-or-later */
/* reclaimctl: from words to a verb that runs. */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/parse.h"
#include "base/procfs.h"
#include "ctl/ctl.h"
#include "ctl/json.h"

#ifndef RECLAIM_VERSION
#define RECLAIM_VERSION "0"
#endif

static bool takes_next_word(const char *word)
{
	const char *value = NULL;
	const struct option_spec *o;

	o = option_find(ctl_options, ctl_noptions, word, &value);
	for (size_t i = 0; !o && i < ctl_nverbs; i++)
		o = option_find(ctl_verbs[i]->options, ctl_verbs[i]->noptions, word, &value);
	return o && o->arg && !value;
}

/*
 * Options may stand before the verb, so the verb has to be found before they can be parsed. @ret_behind: so does a
 * "--" that ends them.
 */
static size_t find_verb(char *const *words, size_t nwords, bool *ret_behind)
{
	*ret_behind = false;
	for (size_t i = 0; i < nwords; i++) {
		*ret_behind = !strcmp(words[i], "--");
		if (*ret_behind)
			return i + 1;
		if (!option_is(words[i]))
			return i;
		if (takes_next_word(words[i]))
			i++;
	}
	return nwords;
}

/* --json holds for usage errors too, wherever it stands. */
static bool wants_json(char *const *words, size_t nwords)
{
	for (size_t i = 0; i < nwords && strcmp(words[i], "--"); i++)
		if (!strcmp(words[i], "--json"))
			return true;
	return false;
}

/*
 * A closed standard stream would be handed out again as the fd of something
 * else. The stand-in is open the wrong way round, so that using it still fails.
 */
static int fill_standard_fds(void)
{
	for (int fd = 0; fd <= 2; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			continue;
		if (errno != EBADF || open("/dev/null", (fd ? O_RDONLY : O_WRONLY) | O_NOCTTY) != fd)
			return -EBADF;
	}
	return 0;
}

static int prepare(struct ctl *ctl, char *const *words, size_t nwords)
{
	int r;

	r = fill_standard_fds();
	if (r < 0)
		return r;
	/* A reader that goes away is an error to report, and children must stay ours to wait for. */
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR || signal(SIGCHLD, SIG_DFL) == SIG_ERR)
		return -errno;
	(void)setlocale(LC_CTYPE, "");
	ctl->json = wants_json(words, nwords);
	return 0;
}

static bool want_colors(const struct ctl *ctl)
{
	const char *no = getenv("NO_COLOR");

	if (ctl->color == CTL_COLOR_ALWAYS || ctl->color == CTL_COLOR_NEVER)
		return ctl->color == CTL_COLOR_ALWAYS;
	return !(no && *no) && ctl_terminal(STDOUT_FILENO);
}

static int show_version(struct ctl *ctl)
{
	struct json j;
	int r = 0;

	if (ctl->json) {
		json_init(&j, stdout);
		json_open(&j, NULL, '{');
		json_text(&j, "version", RECLAIM_VERSION);
		json_close(&j);
		r = json_finish(&j);
	} else if (printf("reclaimctl %s\n", RECLAIM_VERSION) < 0 || fflush(stdout)) {
		r = -errno;
	}
	return ctl_output_done(CTL_DONE, r);
}

static int open_source(struct ctl *ctl)
{
	static const enum source_kind kinds[] = {
		[0] = SOURCE_AUTO,
		[CTL_SOURCE_AUTO] = SOURCE_AUTO,
		[CTL_SOURCE_NETLINK] = SOURCE_NETLINK,
		[CTL_SOURCE_PROCFS] = SOURCE_PROCFS,
	};
	char why[400] = "out of memory";
	int r = source_open(ctl->proc, kinds[ctl->source_choice], &ctl->source, why, sizeof(why));

	if (r >= 0)
		return CTL_DONE;
	return ctl_fail(ctl, r == -EPERM || r == -EACCES ? CTL_DENIED : CTL_FAILED, "--source=netlink: %s", why);
}

static int run_verb(struct ctl *ctl, const struct verb *v, const void *opts, const char *const *args, size_t nargs)
{
	_cleanup_close_ int proc = -1;
	char shown[160];
	int r;

	if (nargs < v->min_args)
		return ctl_fail(ctl, CTL_USAGE, "%s needs more arguments: reclaimctl %s %s", v->name, v->name, v->args);
	if (nargs > v->max_args)
		return ctl_fail(ctl, CTL_USAGE, "%s: unexpected argument '%s'", v->name,
				escape_text(args[v->max_args], shown, sizeof(shown)));
	if (ctl->source_choice == CTL_SOURCE_NETLINK && !v->needs_facts)
		return ctl_fail(ctl, CTL_USAGE, "%s: --source=netlink is for ps, regions, top and trim", v->name);
	if (v->needs_proc) {
		r = proc = procfs_open_root("/proc");
		if (r >= 0)
			r = procfs_check(proc);
		if (r == -ENOENT || r == -ENOTDIR || r == -ENODEV)
			return ctl_fail(ctl, CTL_FAILED,
					"/proc is not mounted (or not a procfs): mount -t proc proc /proc");
		if (r < 0)
			return ctl_fail(ctl, CTL_FAILED, "failed to open /proc: %s", strerror(-r));
		ctl->proc = proc;
	}
	r = v->needs_facts ? open_source(ctl) : CTL_DONE;
	if (r == CTL_DONE) {
		ctl->colors = want_colors(ctl);
		r = v->run(ctl, opts, args, nargs);
	}
	source_close(&ctl->source);
	return r;
}

static int run_words(struct ctl *ctl, char **words, size_t nwords)
{
	bool behind;
	size_t at = find_verb(words, nwords, &behind), n = 0;
	const struct verb *v = NULL;
	_cleanup_free_ const char **args = NULL;
	struct option_args parsed;
	_cleanup_free_ char **rest = NULL;
	_cleanup_free_ void *opts = NULL;
	char why[512];
	int r;

	if (at < nwords) {
		v = ctl_verb_find(words[at]);
		if (!v)
			return ctl_unknown_verb(ctl, words[at]);
	}
	args = calloc(nwords + 1, sizeof(*args));
	rest = calloc(nwords + 1, sizeof(*rest));
	opts = calloc(1, v && v->opts_size ? v->opts_size : 1);
	if (!args || !rest || !opts)
		return ctl_fail(ctl, CTL_FAILED, "out of memory");
	for (size_t i = 0; i < nwords; i++)
		if (i != at)
			rest[n++] = words[i];

	parsed = (struct option_args){ .v = args };
	const struct option_group groups[] = {
		{ ctl_options, ctl_noptions, ctl },
		{ v ? v->options : NULL, v ? v->noptions : 0, opts },
	};
	r = options_parse(groups, ARRAY_SIZE(groups), rest, n, &parsed, why, sizeof(why));
	if (r < 0)
		return ctl_fail(ctl, CTL_USAGE, "%s%s%s", v ? v->name : "", v ? ": " : "", why);
	if (ctl->help)
		return help_show(ctl, v);
	if (ctl->version)
		return show_version(ctl);
	if (!v)
		return ctl_fail(ctl, CTL_USAGE, "no verb given: see 'reclaimctl help'");
	ctl->nplain = behind ? parsed.n : parsed.nplain;
	return run_verb(ctl, v, opts, args, parsed.n);
}

int main(int argc, char **argv)
{
	struct ctl ctl = { .proc = -1 };
	size_t nwords = argc > 0 ? (size_t)argc - 1 : 0;
	int r;

	r = prepare(&ctl, argv + 1, nwords);
	if (r < 0) {
		ctl_diag("failed to prepare: %s", strerror(-r));
		return CTL_FAILED;
	}
	return run_words(&ctl, argv + 1, nwords);
}
