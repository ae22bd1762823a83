/* SPDX-License-Identifier: ISC */
/* qubes.FeaturesRequest: what a qube without template has written to /features-request/ of its
 * QubesDB. */
#include <string.h>

#include "wish.h"

#define REQUEST "/features-request/"

static const char *
request_read(qdb_handle_t h, struct buf *out)
{
	char path[] = REQUEST;
	unsigned int n = 0, *len = NULL;
	char **untrusted = qdb_multiread(h, path, &len, &n);
	const char *bad = untrusted == NULL ? "its store does not answer" : NULL;

	if (bad == NULL && n > WISHES_MAX)
		bad = "more than 128 keys";
	for (unsigned int i = 0; bad == NULL && i < n; i++) {
		const char *key = untrusted[2 * i], *value = untrusted[2 * i + 1];

		if (strncmp(key, REQUEST, strlen(REQUEST)) != 0 || strlen(value) != len[i])
			bad = "a key that was not asked for, or a NUL in a value";
		else
			bad = wish_from_request(out, key + strlen(REQUEST), value);
	}
	return bad;
}

int
main(int argc, char **argv)
{
	static const struct wish_service s = {
	    .name = "qubes.FeaturesRequest",
	    .kinds = wish_features,
	    .store = true,
	    .read = request_read,
	};

	return wish_run(argc, argv, &s);
}
