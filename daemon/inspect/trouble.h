/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Failures that are our own: no memory, a file that can't be read just now. What
 * wasn't found because of one may be there all the same, so after it nothing is to
 * be said about the target but that it could not be read. A reader has one target,
 * and does not live on after it: the first failure stays.
 */
#ifndef RECLAIM_INSPECT_TROUBLE_H
#define RECLAIM_INSPECT_TROUBLE_H

/*
 * Something has failed with @error: is that ours? libelf has no error numbers of
 * its own to ask for, but leaves those of malloc() and read(); errno is to be 0
 * before it is called.
 */
void trouble_see(int error);

/* The same, and passes @r on. */
static inline int trouble_note(int error, int r)
{
	trouble_see(error);
	return r;
}

/* The first failure, -errno; 0: none so far. */
int trouble(void);

#endif
