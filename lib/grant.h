/* SPDX-License-Identifier: ISC */
/*
 * Pages that a qube shows to its daemon in Dom0, read-only. chand maps them (it alone may), for the
 * asker's own qube only, within the qube's quota; the asker gets memory. The qube may write there
 * at any time: read each value once, and check what was read.
 */
#ifndef GRANT_H
#define GRANT_H

#include <stddef.h>
#include <stdint.h>

#define GRANT_PAGE 4096u
#define GRANT_PAGES_MAX 16384u /* of one request: 64 MiB */

struct grant {
	const volatile uint8_t *p;
	size_t len;
	int control; /* a byte on it: let go at once, the domain went away (chansock.h) */
};

/* May wait for chand at most ms. domid: only what a person may say; a daemon gets its own qube's.
 * NULL, or why not. */
const char *grant_open(struct grant *g, uint32_t domid, const uint32_t *refs, size_t n, int ms);
void grant_close(struct grant *g);

#endif
