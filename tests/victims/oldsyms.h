/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For victims that also run with the C libraries of older and younger releases, in their userlands. */
#ifndef TESTS_OLDSYMS_H
#define TESTS_OLDSYMS_H

/*
 * Bound to the symbol versions of old, which every glibc has (in 2.31 some of
 * them in libpthread, which is then preloaded).
 */
__asm__(".symver pthread_create, pthread_create@GLIBC_2.2.5");
__asm__(".symver pthread_barrier_init, pthread_barrier_init@GLIBC_2.2.5");
__asm__(".symver pthread_barrier_wait, pthread_barrier_wait@GLIBC_2.2.5");
__asm__(".symver old_start_main, __libc_start_main@GLIBC_2.2.5");

int old_start_main(int (*main)(int, char **, char **), int argc, char **argv, void (*init)(void), void (*fini)(void),
		   void (*rtld_fini)(void), void *stack_end);
__attribute__((visibility("hidden"))) int __libc_start_main(int (*main)(int, char **, char **), int argc, char **argv,
							    void (*init)(void), void (*fini)(void),
							    void (*rtld_fini)(void), void *stack_end);

int __libc_start_main(int (*main)(int, char **, char **), int argc, char **argv, void (*init)(void), void (*fini)(void),
		      void (*rtld_fini)(void), void *stack_end)
{
	return old_start_main(main, argc, argv, init, fini, rtld_fini, stack_end);
}

#endif
