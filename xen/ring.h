/* SPDX-License-Identifier: ISC */
/*
 * The rings of a channel: arithmetic over a page that the peer can write at any time
 * (xen/io/libxenvchan.h). Our own index is kept here and never read back; the peer's is read once
 * for each decision and must lie within the ring's size of ours. Plain memory will do: no Xen.
 */
#ifndef RING_H
#define RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xen/io/libxenvchan.h>

#define RING_PAGE 4096u
#define RING_ORDER_MIN                                                                             \
	10 /* 1024 and 2048 bytes: inside the shared page, at an offset of the same */
#define RING_ORDER_MAX 16
#define RING_GRANTS_MAX 32 /* of both rings: 2 * 65536 / 4096 */
#define RING_BAD UINT32_MAX

typedef volatile struct vchan_interface ring_page;

/* What a client takes from the server's page. */
struct ring_layout {
	uint8_t left_order, right_order;
	uint8_t cli_live, srv_live;
	uint32_t grants[RING_GRANTS_MAX]; /* ring_pages(left_order), then the right one's */
};

size_t ring_pages(uint8_t order); /* of its own; 0: inside the shared page */
bool ring_orders_ok(uint32_t left, uint32_t right);
void ring_page_init(ring_page *page, uint8_t left, uint8_t right, const uint32_t *grants);
bool ring_page_read(struct ring_layout *l, ring_page *untrusted);

struct ring {
	volatile uint32_t *theirs, *ours;
	uint8_t *data;
	uint32_t size, at; /* at: what *ours was last set to */
	bool writer;
};

/* pages NULL: inside the page. left: the ring that the client writes. */
void ring_open(struct ring *r, ring_page *page, void *pages, uint8_t order, bool left, bool writer);
/* Bytes that can be read (written) now; RING_BAD when the peer's index says what cannot be. */
uint32_t ring_ready(const struct ring *r, uint32_t *untrusted_said);
/* n at most what ring_ready said, or less; the peer sees it at once. */
void ring_get(struct ring *r, void *p, uint32_t n);
void ring_put(struct ring *r, const void *p, uint32_t n);
/* Several pieces are shown together. */
void ring_lay(struct ring *r, uint32_t off, const void *p, uint32_t n);
void ring_show(struct ring *r, uint32_t n);

/* VCHAN_NOTIFY_*: asks to be told. Look again after it, before sleeping. */
void ring_ask(ring_page *page, bool server, uint8_t bits);
/* Whether the peer has asked; that is taken back. After the index was shown. */
bool ring_asked(ring_page *page, bool server, uint8_t bit);

#endif
