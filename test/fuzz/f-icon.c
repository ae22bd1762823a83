/* SPDX-License-Identifier: ISC */
/* Icons of a qube's: the first byte says in what pieces they come. */
#include <stdlib.h>

#include "icons/icon.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct icon_reader *r = calloc(1, sizeof(*r));
	const size_t piece = n > 0 ? data[0] + 1u : 1;
	const char *bad = NULL;

	if (r == NULL)
		abort();
	r->tint = tint_of(0x73d216, false);
	for (size_t at = 1; at < n && bad == NULL;) {
		const size_t most = n - at < piece ? n - at : piece;
		bool whole;
		const size_t took = icon_read(r, data + at, most, &whole, &bad);

		if (took > most || (took == 0) != (bad != NULL))
			abort();
		if (whole && (r->icon.w == 0 || r->icon.w > ICON_SIDE || r->icon.h == 0 ||
				 r->icon.h > ICON_SIDE))
			abort();
		at += took;
	}
	free(r);
	return 0;
}
