/* SPDX-License-Identifier: ISC */
#include <string.h>

#include "xen/ring.h"

_Static_assert(
    sizeof(struct vchan_interface) + RING_GRANTS_MAX * sizeof(uint32_t) <= 1u << RING_ORDER_MIN,
    "the list of grants ends below the first ring inside the page");

size_t
ring_pages(uint8_t order)
{
	return order < 12 ? 0 : (size_t)1 << (order - 12);
}

/* Two rings inside the page must not be the same one. */
bool
ring_orders_ok(uint32_t left, uint32_t right)
{
	if (left < RING_ORDER_MIN || left > RING_ORDER_MAX || right < RING_ORDER_MIN ||
	    right > RING_ORDER_MAX)
		return false;
	return left != right || left >= 12;
}

void
ring_page_init(ring_page *page, uint8_t left, uint8_t right, const uint32_t *grants)
{
	volatile uint32_t *list = (volatile uint32_t *)((volatile uint8_t *)page + sizeof *page);
	const size_t n = ring_pages(left) + ring_pages(right);

	memset((void *)(uintptr_t)page, 0, RING_PAGE);
	page->left_order = left;
	page->right_order = right;
	page->cli_live = 2;
	page->srv_live = 1;
	page->cli_notify = VCHAN_NOTIFY_WRITE;
	for (size_t i = 0; i < n; i++)
		list[i] = grants[i];
}

bool
ring_page_read(struct ring_layout *l, ring_page *untrusted)
{
	const volatile uint32_t *untrusted_list =
	    (const volatile uint32_t *)((const volatile uint8_t *)untrusted + sizeof *untrusted);
	const uint32_t left = untrusted->left_order, right = untrusted->right_order;

	memset(l, 0, sizeof *l);
	if (!ring_orders_ok(left, right))
		return false;
	l->left_order = (uint8_t)left;
	l->right_order = (uint8_t)right;
	l->cli_live = untrusted->cli_live;
	l->srv_live = untrusted->srv_live;
	for (size_t i = 0; i < ring_pages(l->left_order) + ring_pages(l->right_order); i++)
		l->grants[i] = untrusted_list[i];
	return true;
}

void
ring_open(struct ring *r, ring_page *page, void *pages, uint8_t order, bool left, bool writer)
{
	volatile struct ring_shared *s = left ? &page->left : &page->right;

	r->theirs = writer ? &s->cons : &s->prod;
	r->ours = writer ? &s->prod : &s->cons;
	r->size = 1u << order;
	r->data = pages ? pages : (uint8_t *)(uintptr_t)page + r->size;
	r->writer = writer;
	r->at = *r->ours; /* 0 but for a server that had a client before; any number will do */
}

uint32_t
ring_ready(const struct ring *r, uint32_t *untrusted_said)
{
	const uint32_t theirs = __atomic_load_n(r->theirs, __ATOMIC_ACQUIRE);
	const uint32_t filled = r->writer ? r->at - theirs : theirs - r->at;

	if (untrusted_said)
		*untrusted_said = theirs;
	if (filled > r->size)
		return RING_BAD;
	return r->writer ? r->size - filled : filled;
}

void
ring_show(struct ring *r, uint32_t n)
{
	r->at += n;
	__atomic_store_n(r->ours, r->at, __ATOMIC_RELEASE);
}

void
ring_get(struct ring *r, void *p, uint32_t n)
{
	const uint32_t from = r->at & (r->size - 1);
	const uint32_t first = n < r->size - from ? n : r->size - from;

	memcpy(p, r->data + from, first);
	memcpy((uint8_t *)p + first, r->data, n - first);
	ring_show(r, n);
}

void
ring_lay(struct ring *r, uint32_t off, const void *p, uint32_t n)
{
	const uint32_t to = (r->at + off) & (r->size - 1);
	const uint32_t first = n < r->size - to ? n : r->size - to;

	memcpy(r->data + to, p, first);
	memcpy(r->data, (const uint8_t *)p + first, n - first);
}

void
ring_put(struct ring *r, const void *p, uint32_t n)
{
	ring_lay(r, 0, p, n);
	ring_show(r, n);
}

/* The names in the page say who looks, not who asks: the server's wishes are in cli_notify. */
void
ring_ask(ring_page *page, bool server, uint8_t bits)
{
	volatile uint8_t *b = server ? &page->cli_notify : &page->srv_notify;

	__atomic_fetch_or(b, bits, __ATOMIC_SEQ_CST);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

bool
ring_asked(ring_page *page, bool server, uint8_t bit)
{
	volatile uint8_t *b = server ? &page->srv_notify : &page->cli_notify;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!(*b & bit))
		return false;
	return __atomic_fetch_and(b, (uint8_t)~bit, __ATOMIC_SEQ_CST) & bit;
}
