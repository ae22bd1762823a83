/* SPDX-License-Identifier: ISC */
/* A request to chand (chansock.h), checked. */
#ifndef REQUEST_H
#define REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHAN_PORT_MAX 65535u

struct chan_request {
	bool server;
	uint32_t port, domid; /* domid 0: not given */
};

/* NULL, or what is wrong. */
const char *chan_request_parse(struct chan_request *r, const void *untrusted, size_t n);

#endif
