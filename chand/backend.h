/* SPDX-License-Identifier: ISC */
/* The boundary between chand's requests (chand.c) and how channels are made: local.c, or a
 * hypervisor's. */
#ifndef BACKEND_H
#define BACKEND_H

#include <stdbool.h>
#include <stdint.h>

#include "loop.h"
#include "names.h"

struct domain {
	struct domain *next;
	char name[NAME_LEN_MAX + 1];
	uint32_t domid, qid;
	int dir, wd; /* local: the qube's channel directory and its watch */
};

/* Called by the backend. gone: *d is freed when it returns. came: a server of the qube's may be
 * there now. */
typedef void domain_fn(const struct domain *d);

/* Starts following what runs. Exits 111 on failure. */
void backend_start(struct loop *l, domain_fn *gone, domain_fn *came);
/* By domid (qid 0) or by qid; NULL: not running. */
const struct domain *backend_find(uint32_t domid, uint32_t qid);

/* Dom0's server end towards d: a listening descriptor, or -1 and errno. */
int backend_listen(const struct domain *d, uint32_t port);
void backend_unlisten(const struct domain *d, uint32_t port);
/* Dom0's client end, connected; -1: EAGAIN not there yet, ECONNREFUSED try again soon, else it
 * never will. */
int backend_connect(const struct domain *d, uint32_t port);

/* "vchan.SERVER.CLIENT.PORT.sock", exactly as it would be written; false: something else. */
bool channel_name(const char *untrusted, uint32_t *server, uint32_t *client, uint32_t *port);

#endif
