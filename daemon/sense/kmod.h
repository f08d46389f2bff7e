/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Our kernel module where it isn't loaded: is it installed, so that "modprobe" would do? */
#ifndef RECLAIM_SENSE_KMOD_H
#define RECLAIM_SENSE_KMOD_H

#include <stdbool.h>

/* How it gets there: who reads this may have none of our sources, but knows his packages. */
#define KMOD_INSTALL "install reclaim-dkms, or from source with 'make dkms-tree' (kmod.rst)"

/* @root: "/", or a recorded tree. Would modprobe find it for the kernel that runs? */
bool kmod_installed(int root);

#endif
