/* SPDX-License-Identifier: ISC */
/* A peer that writes anything into the shared page, between any two steps of ours. */
#include <stdlib.h>
#include <string.h>

#include "xen/ring.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void
step(struct ring *r, uint8_t *own, uint32_t want)
{
	const uint32_t can = ring_ready(r, NULL);
	uint32_t some = want;

	if (can == RING_BAD)
		return;
	if (can > r->size)
		abort();
	if (some > can)
		some = can;
	if (r->writer)
		ring_put(r, own, some);
	else
		ring_get(r, own, some);
	if (some > 0 && *r->ours != r->at)
		abort();
}

/* Memory of exactly the page and the rings, so that a byte outside is seen. */
int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	uint8_t *memory, *own, *pages[2] = {NULL, NULL};
	struct ring_layout l;
	struct ring ring[2];

	if (n < 64)
		return 0;
	memory = calloc(1, RING_PAGE);
	own = calloc(1, 1u << RING_ORDER_MAX);
	memcpy(memory, p, 64);
	p += 64;
	n -= 64;
	if (ring_page_read(&l, (ring_page *)memory)) {
		if (ring_pages(l.left_order))
			pages[0] = malloc(ring_pages(l.left_order) * RING_PAGE);
		if (ring_pages(l.right_order))
			pages[1] = malloc(ring_pages(l.right_order) * RING_PAGE);
		for (size_t i = 0; i < 2; i++) {
			const uint8_t order = i == 0 ? l.left_order : l.right_order;
			if (pages[i])
				memset(pages[i], 0, ring_pages(order) * RING_PAGE);
			ring_open(&ring[i], (ring_page *)memory, pages[i], order, i == 0, i == 0);
		}
		for (; n >= 8; p += 8, n -= 8) {
			uint32_t at, what;
			memcpy(&at, p, 4);
			memcpy(&what, p + 4, 4);
			/* Mostly the two indexes and the notices; else anywhere. */
			if (at & 1)
				memcpy(memory + (at >> 8) % 6 * 4, &what, 4);
			else if (at & 2)
				memcpy(memory + (at >> 8) % (RING_PAGE - 4), &what, 4);
			step(&ring[(at >> 2) & 1], own, what % (2u << RING_ORDER_MAX));
			if (at & 8)
				ring_ask((ring_page *)memory, at & 16, at & 3);
			ring_asked((ring_page *)memory, at & 16, VCHAN_NOTIFY_READ);
		}
	}
	free(pages[0]);
	free(pages[1]);
	free(own);
	free(memory);
	return 0;
}
