/* SPDX-License-Identifier: ISC */
#include <string.h>

#include "kv.h"
#include "names.h"
#include "request.h"

const char *
chan_request_parse(struct chan_request *r, const void *untrusted, size_t n)
{
	static const char *const keys[] = {"role", "port", "domid"};
	static struct kv kv;
	const char *bad = kv_parse(&kv, untrusted, n), *role, *port, *dom;

	*r = (struct chan_request){0};
	if (bad)
		return bad;
	role = kv_get(&kv, "role");
	port = kv_get(&kv, "port");
	dom = kv_get(&kv, "domid");
	if (!kv_only(&kv, keys, sizeof keys / sizeof *keys))
		return "unknown key";
	if (!role || (strcmp(role, "server") != 0 && strcmp(role, "client") != 0))
		return "bad role";
	if (!port || !parse_u32(port, CHAN_PORT_MAX, &r->port))
		return "bad port";
	if (dom && !parse_u32(dom, UINT32_MAX, &r->domid))
		return "bad domid";
	r->server = strcmp(role, "server") == 0;
	return NULL;
}
