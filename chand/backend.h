/* SPDX-License-Identifier: ISC */
/* The boundary between chand's requests (chand.c) and how channels are made: local.c, xen.c. */
#ifndef BACKEND_H
#define BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loop.h"
#include "running.h"

extern const uint32_t backend_capabilities; /* 1 << CAP_x, what it needs all its life */

/* Called by the backend. gone: *d is freed when it returns. came: a server of the qube's may be
 * there now; not called from within the functions below. */
typedef void domain_fn(const struct domain *d);

/* Starts following what runs. Exits 111 on failure. */
void backend_start(struct loop *l, domain_fn *gone, domain_fn *came);

/*
 * Dom0's server end towards d, to be handed over, and shown to d; or -1 and errno. *came: readable
 * when the peer has come, ours to close; or -1: nothing here tells, the holder does (chansock.h).
 */
int backend_listen(const struct domain *d, uint32_t port, int *came);
void backend_unlisten(const struct domain *d, uint32_t port); /* shown no longer */
/* Dom0's client end, connected; -1: EAGAIN not there yet, ECONNREFUSED try again soon, else it
 * never will. */
int backend_connect(const struct domain *d, uint32_t port);
/* n of d's pages, read-only: a descriptor for mmap, or -1 and errno. */
int backend_map(const struct domain *d, const uint32_t *untrusted_refs, size_t n);
const char *backend_why(int error); /* what an errno of these functions means */

/* local.c: "vchan.SERVER.CLIENT.PORT.sock", exactly as it would be written; false: something else.
 */
bool channel_name(const char *untrusted, uint32_t *server, uint32_t *client, uint32_t *port);

#endif
