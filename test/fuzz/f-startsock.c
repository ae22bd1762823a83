/* SPDX-License-Identifier: ISC */
/* A request to startd, and policyd's answer to its ticket: what is accepted is a plain name of a
 * qube. */
#include <stdlib.h>
#include <string.h>

#include "startd/startd-req.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static uint32_t
seven(const char *name)
{
	return name[0] == 'a' ? 7 : 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct kv kv;
	struct start_request r;
	const char *target;
	bool disp;

	if (kv_parse(&kv, p, n) != NULL)
		return 0;
	if (request_parse(&kv, &r) == NULL) {
		if ((r.name[0] != '\0') == (r.ticket[0] != '\0'))
			abort();
		if (r.name[0] && (!name_ok(r.name) || is_dom0(r.name)))
			abort();
		if (r.ticket[0] && (!hexid_ok(r.ticket) || r.op != OP_START || r.disp))
			abort();
		if (request_allowed(&r, 12345, false, seven) == NULL)
			abort();
	}
	if (ticket_answer(&kv, 7, seven, &target, &disp) == NULL &&
	    (!name_ok(target) || is_dom0(target)))
		abort();
	return 0;
}
