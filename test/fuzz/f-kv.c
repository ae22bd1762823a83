/* SPDX-License-Identifier: ISC */
#include <stdlib.h>
#include <string.h>

#include "kv.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* What parses can be written again and parses to the same. */
int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct kv a, b;
	struct buf out = {.max = KV_BYTES + 1};
	size_t whole = kv_whole(p, n);

	if (whole > n)
		abort();
	if (kv_parse(&a, p, whole > 0 ? whole : n) == NULL) {
		for (size_t i = 0; i < a.n; i++)
			if (kv_get(&a, a.item[i].key) != a.item[i].val ||
			    !kv_put(&out, a.item[i].key, a.item[i].val))
				abort();
		if (out.len <= KV_BYTES &&
		    (kv_parse(&b, buf_bytes(&out), out.len) != NULL || a.n != b.n))
			abort();
		for (size_t i = 0; out.len <= KV_BYTES && i < a.n; i++)
			if (strcmp(a.item[i].val, b.item[i].val) != 0)
				abort();
	}
	buf_free(&out);
	return 0;
}
