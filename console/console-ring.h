/* SPDX-License-Identifier: ISC */
/*
 * The console ring (xen/io/console.h): a page that the guest can write, all of it, at any time. Our
 * two indexes are kept here and only copied there; the guest's two are read once for each use, and
 * what they say is held against the size of the ring.
 */
#ifndef CONSOLE_RING_H
#define CONSOLE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xen/io/console.h>

struct console_ring {
	volatile struct xencons_interface *page;
	uint32_t out_cons, in_prod;
	bool bad; /* the guest's index made no sense; what was there was skipped */
};

/* What stands there belongs to an earlier reader of this ring, or is zero. */
void ring_start(struct console_ring *r, volatile struct xencons_interface *page);
size_t ring_take(struct console_ring *r, void *out, size_t size);
size_t console_ring_put(struct console_ring *r, const void *p, size_t n);

#endif
