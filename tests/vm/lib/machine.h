/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a test does to its machine: files, the module, its tunables, memory groups, waiting. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define TUNABLES "/sys/kernel/reclaim/"
#define PAGE 4096UL
#define HUGE (2UL << 20)
#define MIB (1UL << 20)

/* Whole files; 0, or a negative errno. What is read ends with a NUL, without the last newline. */
int file_write(const char *path, const char *text);
ssize_t file_read(const char *path, char *buf, size_t size);
uint64_t file_number(const char *path, uint64_t otherwise);

int tunable_set(const char *name, uint64_t value);
uint64_t tunable_get(const char *name);

int module_load(const char *path, const char *parameters);
/* -EAGAIN: somebody uses it right now */
int module_unload(const char *name);
bool module_loaded(void);

uint64_t now_us(void);
/* Processor time of this process, or of @pid (from schedstat, in the kernel's own nanoseconds) */
uint64_t cpu_us(void);
uint64_t cpu_of_us(pid_t pid);
void sleep_ms(unsigned int ms);

/* A child that runs @work, and then @later if there is one, and waits to be killed. Returns when @work is done; what
 * it returns when that is negative. */
pid_t child_start(int (*work)(void *data), void (*later)(void *data), void *data);
void child_end(pid_t pid);

/* 6.1, 6.12, 7.2 as 601, 612, 702 */
int kernel_version(void);

/* Start time as the module gives it, field 22 of /proc/PID/stat. */
uint64_t start_time_of(pid_t pid);

void *map_anon(size_t size);
void *map_aligned(size_t size, size_t align);
void touch(void *p, size_t size, size_t step);
