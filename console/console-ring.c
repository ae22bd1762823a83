/* SPDX-License-Identifier: ISC */
#include <string.h>

#include "console-ring.h"

#define IN sizeof(((struct xencons_interface *)0)->in)
#define OUT sizeof(((struct xencons_interface *)0)->out)

void
ring_start(struct console_ring *r, volatile struct xencons_interface *page)
{
	*r = (struct console_ring){
	    .page = page, .out_cons = page->out_cons, .in_prod = page->in_prod};
}

size_t
ring_take(struct console_ring *r, void *out, size_t size)
{
	const uint32_t untrusted_prod = __atomic_load_n(&r->page->out_prod, __ATOMIC_ACQUIRE);
	uint32_t n = untrusted_prod - r->out_cons;
	char *to = out;

	if (n > OUT) {
		r->bad = true;
		r->out_cons = untrusted_prod;
		n = 0;
	}
	if (n > size)
		n = (uint32_t)size;
	for (uint32_t i = 0; i < n; i++)
		to[i] = r->page->out[(r->out_cons + i) & (OUT - 1)];
	r->out_cons += n;
	/* the bytes are read before the guest may write there again */
	__atomic_store_n(&r->page->out_cons, r->out_cons, __ATOMIC_RELEASE);
	return n;
}

size_t
console_ring_put(struct console_ring *r, const void *p, size_t n)
{
	const uint32_t untrusted_cons = __atomic_load_n(&r->page->in_cons, __ATOMIC_ACQUIRE);
	const uint32_t used = r->in_prod - untrusted_cons;
	const char *from = p;

	if (used > IN) { /* what waits there is given up */
		r->bad = true;
		r->in_prod = untrusted_cons;
		__atomic_store_n(&r->page->in_prod, r->in_prod, __ATOMIC_RELEASE);
		return 0;
	}
	if (n > IN - used)
		n = IN - used;
	for (size_t i = 0; i < n; i++)
		r->page->in[(r->in_prod + i) & (IN - 1)] = from[i];
	r->in_prod += (uint32_t)n;
	__atomic_store_n(&r->page->in_prod, r->in_prod, __ATOMIC_RELEASE);
	return n;
}
