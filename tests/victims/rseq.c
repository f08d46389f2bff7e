/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads that count on the processor they run on, without locks and without atomic operations:
 * in restartable sequences of their own, in the area that glibc has registered for each of them.
 * Whoever comes back into one as if nothing had been, after others ran on that processor,
 * overwrites what they have counted. Beside it they allocate.
 *
 *   --work=N     how long a sequence takes: turns of a loop
 *   --for-ever   one thread alone, which is in a sequence at any moment
 */
#include <pthread.h>
#include <stdbool.h>
#include <sys/rseq.h>

#include "victim.h"

#define CPUS 4096
#define SLOTS 64

static struct {
	uint64_t n;
	char pad[56];
} counted[CPUS];

static uint64_t work, sure[VSTAT_THREADS];

static struct rseq *area(void)
{
	uintptr_t tp;

	__asm__("mov %%fs:0, %0" : "=r"(tp));
	return (struct rseq *)(tp + (uintptr_t)__rseq_offset);
}

/* One more on @cpu, after @turns of a loop, if nothing came in between: true. */
static bool count_on(struct rseq *self, uint32_t cpu, uint64_t turns)
{
	uint64_t ok, n, left, descriptor;

	/* clang-format off */
	__asm__ volatile(
		".pushsection .data.rel.ro, \"aw\"\n"
		".balign 32\n"
		"3: .long 0, 0\n"
		".quad 1f, 2f - 1f, 4f\n"
		".popsection\n"
		"lea 3b(%%rip), %[descriptor]\n"
		"mov %[descriptor], %[cs]\n"
		"1: xor %k[ok], %k[ok]\n"
		"cmp %[cpu], %[now]\n"
		"jne 5f\n"
		"mov %[counter], %[n]\n"
		"mov %[turns], %[left]\n"
		"6: dec %[left]\n"
		"jnz 6b\n"
		"inc %[n]\n"
		"mov %[n], %[counter]\n"
		"2: mov $1, %k[ok]\n"
		"jmp 5f\n"
		/* ud1 with the signature that glibc has registered: nobody may jump anywhere else */
		".byte 0x0f, 0xb9, 0x3d\n"
		".long %c[sig]\n"
		"4: xor %k[ok], %k[ok]\n"
		"5:\n"
		: [ok] "=&r"(ok), [n] "=&r"(n), [left] "=&r"(left), [descriptor] "=&r"(descriptor),
		  [cs] "=m"(self->rseq_cs), [counter] "+m"(counted[cpu].n)
		: [cpu] "r"(cpu), [now] "m"(self->cpu_id), [turns] "r"(turns), [sig] "i"(RSEQ_SIG)
		: "memory", "cc");
	/* clang-format on */
	return ok;
}

static void *counter(void *arg)
{
	struct block *slot[SLOTS] = { NULL };
	struct rseq *me = area();
	uintptr_t id = (uintptr_t)arg;
	uint64_t s = id * 7919 + 3, which;

	while (!vs->stop) {
		for (int i = 0; i < 10; i++)
			sure[id] += count_on(me, *(volatile uint32_t *)&me->cpu_id_start, work);
		which = rnd(&s) % SLOTS;
		slot_renew(&slot[which], &s, BLOCK_MIN + rnd(&s) % 6000);
		vs->progress[id]++;
	}
	bloat_check(slot, SLOTS);
	for (int i = 0; i < SLOTS; i++)
		free(slot[i]);
	return NULL;
}

static void compare(unsigned long threads)
{
	uint64_t want = 0, got = 0;

	for (unsigned long i = 0; i < threads; i++)
		want += sure[i];
	for (unsigned long i = 0; i < CPUS; i++)
		got += counted[i].n;
	vs->result = (int64_t)want;
	if (got != want)
		complain("%llu counted, and %llu are there", (unsigned long long)want, (unsigned long long)got);
}

/* Aborted, it begins anew at once: what lies between is too short to be met. */
static void for_ever(void)
{
	struct rseq *me = area();

	vs->ready = 1;
	while (!vs->stop) {
		sure[0] += count_on(me, *(volatile uint32_t *)&me->cpu_id_start, work);
		vs->progress[0]++;
	}
}

int main(int argc, char **argv)
{
	unsigned long n = opt_num(argc, argv, "threads", 3);
	pthread_t t[VSTAT_THREADS];

	vstat_open(argc, argv);
	work = opt_num(argc, argv, "work", 2000);
	if (!__rseq_size || n > VSTAT_THREADS || !work)
		die("rseq");
	if (opt(argc, argv, "for-ever", NULL)) {
		for_ever();
		compare(1);
		return vstat_finish();
	}
	for (uintptr_t i = 1; i < n; i++)
		if (pthread_create(&t[i], NULL, counter, (void *)i))
			die("pthread_create");
	vs->progress[0] = 1;
	threads_await(n);
	vs->ready = 1;
	counter((void *)0);
	for (unsigned long i = 1; i < n; i++)
		pthread_join(t[i], NULL);
	compare(n);
	return vstat_finish();
}
