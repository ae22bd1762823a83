/* SPDX-License-Identifier: ISC */
/* A request to chand (chansock.h), checked. */
#ifndef REQUEST_H
#define REQUEST_H

#include <stddef.h>
#include <stdint.h>

#define CHAN_PORT_MAX 65535u

enum chan_role { CHAN_CLIENT, CHAN_SERVER, CHAN_GRANTS, CHAN_WATCH };

struct chan_request {
	enum chan_role role;
	uint32_t port, domid, pages; /* domid 0: not given */
};

/* NULL, or what is wrong. */
const char *chan_request_parse(struct chan_request *r, const void *untrusted, size_t n);

#endif
