/* SPDX-License-Identifier: GPL-2.0-or-later */
/* "doctor": what works on this machine, what doesn't, and how to mend it. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

#include "base/parse.h"
#include "base/procfs.h"
#include "ctl/doctor.h"
#include "ctl/render.h"

#define FINDINGS_MAX 32

static const struct {
	const char *name, *color;
} healths[] = {
	[HEALTH_OK] = { "ok", "green" },
	[HEALTH_INFO] = { "info", NULL },
	[HEALTH_WARN] = { "warn", "yellow" },
	[HEALTH_FAIL] = { "fail", "red" },
};

void found(struct finding *ret, enum health health, const char *format, ...)
{
	va_list ap;

	ret->health = health;
	va_start(ap, format);
	vsnprintf(ret->detail, sizeof(ret->detail), format, ap);
	va_end(ap);
}

void mend(struct finding *ret, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(ret->remedy, sizeof(ret->remedy), format, ap);
	va_end(ap);
}

ssize_t doctor_read(const struct doctor *d, const char *path, char *buf, size_t size)
{
	_cleanup_close_ int fd = openat(d->root, path, O_RDONLY | O_CLOEXEC);
	size_t used = 0;

	if (fd < 0)
		return -errno;
	while (used < size) {
		ssize_t n = read(fd, buf + used, size - used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		used += (size_t)n;
	}
	if (used == size)
		return -ENOBUFS;
	buf[used] = 0;
	if (used && buf[used - 1] == '\n')
		buf[--used] = 0;
	return (ssize_t)used;
}

bool doctor_capable(const struct doctor *d, unsigned int cap)
{
	char text[16384], number[17];
	const char *line;
	uint64_t set;

	if (doctor_read(d, "proc/self/status", text, sizeof(text)) < 0)
		return false;
	line = strstr(text, "\nCapEff:\t");
	if (!line)
		return false;
	snprintf(number, sizeof(number), "%.16s", line + strlen("\nCapEff:\t"));
	return parse_u64(number, 16, &set) >= 0 && (set >> cap & 1);
}

static void cell_health(const struct column *c, const void *row, struct cell *ret)
{
	const struct finding *f = row;

	(void)c;
	ret->kind = CELL_TEXT;
	ret->text = healths[f->health].name;
	ret->color = healths[f->health].color;
}

#define AT(field) offsetof(struct finding, field)

static const struct column doctor_columns[] = {
	{ "CHECK", "check", 0, 0, "", cell_text, AT(check) },
	{ "STATUS", "status", 0, 0, "", cell_health, 0 },
	{ "DETAIL", "detail", 0, COLUMN_WRAP, "", cell_chars, AT(detail) },
	{ "REMEDY", "remedy", 0, COLUMN_JSON, "", cell_chars, AT(remedy) },
};

static size_t run_checks(struct doctor *d, const struct check *v, size_t n, struct finding *out)
{
	for (size_t i = 0; i < n; i++) {
		out[i] = (struct finding){ .check = v[i].name };
		v[i].run(d, &out[i]);
	}
	return n;
}

static bool any_failed(const struct finding *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].health == HEALTH_FAIL)
			return true;
	return false;
}

static int print_findings(struct ctl *ctl, const struct finding *v, size_t n)
{
	const struct column *columns[ARRAY_SIZE(doctor_columns)];
	const void *rows[FINDINGS_MAX];
	bool first = true;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(columns); i++)
		columns[i] = &doctor_columns[i];
	for (size_t i = 0; i < n; i++)
		rows[i] = &v[i];
	r = render(ctl, columns, ARRAY_SIZE(columns), rows, n);
	if (r < 0 || ctl->json)
		return r;
	/* Commands to mend something are for copying: whole lines, outside of the table. */
	for (size_t i = 0; i < n; i++) {
		if (!v[i].remedy[0])
			continue;
		printf("%s%s: %s\n", first ? "\nTo mend:\n  " : "  ", v[i].check, v[i].remedy);
		first = false;
	}
	errno = 0;
	if (fflush(stdout) || ferror(stdout))
		return errno > 0 ? -errno : -EIO;
	return 0;
}

static void doctor_donep(struct doctor *d)
{
	doctor_child_end(d);
	closep(&d->root);
}

static int run_doctor(struct ctl *ctl, const void *opts, const char *const *args, size_t nargs)
{
	_cleanup_(doctor_donep) struct doctor d = { .root = -1,
						    .ask = doctor_ask_module,
						    .probe = 0x7265636c61696d00ull };
	struct finding findings[FINDINGS_MAX];
	int r, status;
	size_t n = 0;

	(void)opts;
	(void)args;
	(void)nargs;
	d.root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d.root < 0)
		return ctl_fail(ctl, CTL_FAILED, "failed to open /: %s", strerror(errno));
	r = doctor_child_start(&d, false);
	if (r < 0)
		return ctl_fail(ctl, CTL_FAILED, "failed to start a process to try things on: %s", strerror(-r));
	n += run_checks(&d, doctor_first_checks, doctor_n_first_checks, findings + n);
	if (!any_failed(findings, n)) {
		n += run_checks(&d, doctor_ptrace_checks, doctor_n_ptrace_checks, findings + n);
		n += run_checks(&d, doctor_kernel_checks, doctor_n_kernel_checks, findings + n);
		n += run_checks(&d, doctor_module_checks, doctor_n_module_checks, findings + n);
		n += run_checks(&d, doctor_system_checks, doctor_n_system_checks, findings + n);
	}
	status = any_failed(findings, n) ? CTL_FAILED : CTL_DONE;
	r = print_findings(ctl, findings, n);
	return ctl_output_done(status, r);
}

const struct verb verb_doctor = {
	.name = "doctor",
	.args = "",
	.help = "Check what works on this machine, and say how to mend what doesn't",
	.details = "Exit status 0 when nothing fails that a trim needs, else 1; warnings are limits, not failures.\n",
	.run = run_doctor,
};
