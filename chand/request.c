/* SPDX-License-Identifier: ISC */
#include <string.h>

#include "grant.h"
#include "kv.h"
#include "names.h"
#include "request.h"

/* What each role must have besides an optional domid, and may not have else. */
static const struct {
	const char *name;
	enum chan_role role;
	bool port, pages;
} roles[] = {
    {"client", CHAN_CLIENT, true, false},
    {"server", CHAN_SERVER, true, false},
    {"grants", CHAN_GRANTS, false, true},
    {"watch", CHAN_WATCH, false, false},
};

/* A number that has to be there, or must not be. */
static bool
number(const struct kv *kv, const char *key, bool wanted, uint32_t max, uint32_t *out)
{
	const char *v = kv_get(kv, key);

	return (v != NULL) == wanted && (!wanted || parse_u32(v, max, out));
}

const char *
chan_request_parse(struct chan_request *r, const void *untrusted, size_t n)
{
	static const char *const keys[] = {"role", "port", "domid", "pages"};
	static struct kv kv;
	const char *bad = kv_parse(&kv, untrusted, n), *role, *dom;
	size_t i = 0;

	*r = (struct chan_request){0};
	if (bad)
		return bad;
	role = kv_get(&kv, "role");
	dom = kv_get(&kv, "domid");
	if (!kv_only(&kv, keys, sizeof keys / sizeof *keys))
		return "unknown key";
	while (i < sizeof roles / sizeof *roles && (!role || strcmp(role, roles[i].name) != 0))
		i++;
	if (i == sizeof roles / sizeof *roles)
		return "bad role";
	r->role = roles[i].role;
	if (!number(&kv, "port", roles[i].port, CHAN_PORT_MAX, &r->port))
		return "bad port";
	if (!number(&kv, "pages", roles[i].pages, GRANT_PAGES_MAX, &r->pages) ||
	    (r->pages > 0) != roles[i].pages)
		return "bad pages";
	if (dom && !parse_u32(dom, UINT32_MAX, &r->domid))
		return "bad domid";
	return NULL;
}
