// SPDX-License-Identifier: GPL-2.0-only
#include <linux/kernel.h>
#include <linux/kobject.h>
#include <linux/log2.h>
#include <linux/string.h>
#include <linux/sysfs.h>
#include <linux/time64.h>

#include "sampler.h"
#include "sysfs.h"
#include "tunable.h"

static struct kobject *reclaim_kobj;

struct tunable_attr {
	struct kobj_attribute attr;
	unsigned int *value;
	unsigned int min, max;
	bool power_of_two;
};

struct stat_attr {
	struct kobj_attribute attr;
	atomic64_t *value;
};

static ssize_t tunable_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	const struct tunable_attr *t = container_of(attr, struct tunable_attr, attr);

	return sysfs_emit(buf, "%u\n", READ_ONCE(*t->value));
}

static ssize_t tunable_store(struct kobject *kobj, struct kobj_attribute *attr, const char *buf, size_t count)
{
	const struct tunable_attr *t = container_of(attr, struct tunable_attr, attr);
	unsigned int value;
	int err;

	err = kstrtouint(buf, 0, &value);
	if (err)
		return err;
	if (value < t->min || value > t->max)
		return -ERANGE;
	if (t->power_of_two && !is_power_of_2(value))
		return -EINVAL;

	WRITE_ONCE(*t->value, value);
	reclaim_sampler_poke();
	return count;
}

#define TUNABLE(_name, _min, _max, ...)							\
	static struct tunable_attr _name##_attr = {					\
		.attr = __ATTR(_name, 0644, tunable_show, tunable_store),		\
		.value = &reclaim_tunables._name, .min = _min, .max = _max, __VA_ARGS__	\
	}

TUNABLE(enabled, 0, 1);
TUNABLE(scan_interval_ms, 100, 3600 * MSEC_PER_SEC);
TUNABLE(scan_cpu_permille, 1, 1000);
TUNABLE(granule_kb, 4, 2048, .power_of_two = true);
TUNABLE(idle_after_ms, 100, 24 * 3600 * MSEC_PER_SEC);
TUNABLE(min_anon_kb, 0, UINT_MAX);
TUNABLE(age_max_kb, 0, UINT_MAX);
TUNABLE(bloat_anon_kb, 0, UINT_MAX);
TUNABLE(bloat_heap_kb, 0, UINT_MAX);
TUNABLE(bloat_growth_kb, 0, UINT_MAX);
TUNABLE(bloat_window_ms, 1000, 24 * 3600 * MSEC_PER_SEC);

static const char *const no_young_flag_names[] = {
	[RECLAIM_NO_YOUNG_ACTIVATE] = "activate",
	[RECLAIM_NO_YOUNG_SAMPLE] = "sample",
	[RECLAIM_NO_YOUNG_OFF] = "off",
};

static ssize_t no_young_flag_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	if (IS_ENABLED(CONFIG_PAGE_IDLE_FLAG))
		return sysfs_emit(buf, "unneeded\n");
	return sysfs_emit(buf, "%s\n", no_young_flag_names[reclaim_tunable(no_young_flag)]);
}

static ssize_t no_young_flag_store(struct kobject *kobj, struct kobj_attribute *attr, const char *buf, size_t count)
{
	int value = sysfs_match_string(no_young_flag_names, buf);

	if (value < 0)
		return value;
	WRITE_ONCE(reclaim_tunables.no_young_flag, value);
	reclaim_sampler_poke();
	return count;
}

static struct kobj_attribute no_young_flag_attr = __ATTR_RW(no_young_flag);

static struct attribute *tunable_attrs[] = {
	&enabled_attr.attr.attr,
	&scan_interval_ms_attr.attr.attr,
	&scan_cpu_permille_attr.attr.attr,
	&granule_kb_attr.attr.attr,
	&idle_after_ms_attr.attr.attr,
	&min_anon_kb_attr.attr.attr,
	&age_max_kb_attr.attr.attr,
	&bloat_anon_kb_attr.attr.attr,
	&bloat_heap_kb_attr.attr.attr,
	&bloat_growth_kb_attr.attr.attr,
	&bloat_window_ms_attr.attr.attr,
	&no_young_flag_attr.attr,
	NULL
};

static const struct attribute_group tunable_group = { .attrs = tunable_attrs };

static ssize_t stat_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	const struct stat_attr *s = container_of(attr, struct stat_attr, attr);

	return sysfs_emit(buf, "%lld\n", atomic64_read(s->value));
}

#define STAT(_name)									\
	static struct stat_attr _name##_stat = {					\
		.attr = __ATTR(_name, 0444, stat_show, NULL),				\
		.value = &reclaim_stats._name						\
	}

STAT(looks);
STAT(walks);
STAT(walks_skipped);
STAT(walks_abandoned);
STAT(pages);
STAT(busy_ns);
STAT(hold_max_ns);
STAT(targets);
STAT(age_bytes);
STAT(age_failures);
STAT(events);
STAT(events_lost);

static struct attribute *stat_attrs[] = {
	&looks_stat.attr.attr,
	&walks_stat.attr.attr,
	&walks_skipped_stat.attr.attr,
	&walks_abandoned_stat.attr.attr,
	&pages_stat.attr.attr,
	&busy_ns_stat.attr.attr,
	&hold_max_ns_stat.attr.attr,
	&targets_stat.attr.attr,
	&age_bytes_stat.attr.attr,
	&age_failures_stat.attr.attr,
	&events_stat.attr.attr,
	&events_lost_stat.attr.attr,
	NULL
};

static const struct attribute_group stat_group = { .name = "stats", .attrs = stat_attrs };

static const struct attribute_group *const groups[] = { &tunable_group, &stat_group };

int reclaim_sysfs_init(void)
{
	unsigned int i;
	int err;

	reclaim_kobj = kobject_create_and_add("reclaim", kernel_kobj);
	if (!reclaim_kobj)
		return -ENOMEM;

	/* What was made of them goes with the folder. */
	for (i = 0; i < ARRAY_SIZE(groups); i++) {
		err = sysfs_create_group(reclaim_kobj, groups[i]);
		if (err)
			goto err_kobj;
	}
	return 0;

err_kobj:
	reclaim_sysfs_exit();
	return err;
}

void reclaim_sysfs_exit(void)
{
	/*
	 * The folder has to be gone, and whoever is inside of its files, before our code goes: what kobject_put()
	 * does may be done later, and always is with DEBUG_KOBJECT_RELEASE.
	 */
	kobject_del(reclaim_kobj);
	kobject_put(reclaim_kobj);
	reclaim_kobj = NULL;
}
