/* SPDX-License-Identifier: ISC */
/*
 * One end of a channel on Xen: pages and an event channel, made from /dev/xen/gntalloc (server),
 * gntdev (client) and evtchn by who may open those (chand; in a qube: whoever opens by name),
 * mapped by who uses it (vchan_take). Layout of the shared page: xen/io/libxenvchan.h; "left" is
 * what the client writes. The page is the qube's, too: orders, offsets and numbers are taken from
 * it once, here, checked; nobody reads them there again.
 *
 * A mapping made in one process cannot be used in its child, and a descriptor of these devices is
 * as good as root: vchan_take maps and closes it; the event channel's is restricted to the peer
 * before it is handed over, and filters allow only IOCTL_EVTCHN_NOTIFY on it.
 */
#ifndef END_H
#define END_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define END_ORDER_MIN 10 /* 1024 and 2048 bytes: inside the shared page itself */
#define END_ORDER_MAX 16 /* 65536 bytes, 16 pages */

struct end {
	int mem, evtchn;	   /* descriptors */
	uint32_t port;		   /* our event channel's number */
	uint64_t ctl, left, right; /* offsets for mmap on mem; left, right 0: inside the page */
	uint8_t left_order, right_order;
};

/*
 * A server's end for the domain peer: fresh zeroed pages, initialised (srv_live 1, cli_live 2), an
 * unbound event channel. *gref and *event are what the client must be told. false: errno.
 */
bool end_serve(struct end *e, uint32_t peer, uint8_t order, uint32_t *gref, uint32_t *event);
/*
 * A client's end of the server that domain peer has told of. false: errno, ECONNREFUSED when the
 * page says that its server waits for nobody (stale, or in use), EPROTO when it makes no sense.
 */
bool end_call(struct end *e, uint32_t peer, uint32_t gref, uint32_t event);
void end_close(struct end *e); /* descriptors not handed over */

/* For handing over: one descriptor that carries all of it, and back. pack closes *e's in any case.
 */
int end_pack(struct end *e);		/* -1: errno */
bool end_unpack(int fd, struct end *e); /* closes fd in any case */

/* Maps n pages of peer's grants read-only: a descriptor for mmap at offset 0, or -1. EPERM: one of
 * them is reserved (grant_table.h), as for end_call. */
int end_map(uint32_t peer, const uint32_t *untrusted_refs, size_t n);

#endif
