/* SPDX-License-Identifier: ISC */
/* A request to chand; and, its first byte aside, the name of a file that a qube has made. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chand/backend.h"
#include "chand/request.h"
#include "grant.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct chan_request r;
	char name[256], back[64];
	uint32_t a, b, port;

	if (chan_request_parse(&r, p, n) == NULL &&
	    (r.port > CHAN_PORT_MAX || r.pages > GRANT_PAGES_MAX || r.role > CHAN_WATCH ||
		(r.pages > 0) != (r.role == CHAN_GRANTS) ||
		(r.port > 0 && r.role != CHAN_CLIENT && r.role != CHAN_SERVER)))
		abort();
	if (n >= sizeof name)
		return 0;
	memcpy(name, p, n);
	name[n] = '\0';
	if (!channel_name(name, &a, &b, &port))
		return 0;
	snprintf(back, sizeof back, "vchan.%u.%u.%u.sock", a, b, port);
	if (strcmp(back, name) != 0 || port > CHAN_PORT_MAX)
		abort();
	return 0;
}
