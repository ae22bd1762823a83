/* SPDX-License-Identifier: ISC */
#include <stdlib.h>
#include <string.h>

#include "console/console-ring.h"
#include "console/term-filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* A guest writes anywhere in its page between our looks at it; what it prints goes to a terminal.
 */
int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct xencons_interface page;
	struct term_filter filter = {0};
	struct console_ring r;
	char text[4096], shown[sizeof text + TERM_SEQ];

	memset(&page, 0, sizeof page);
	ring_start(&r, &page);
	for (; n >= 7; p += 7, n -= 7) {
		const size_t size = (size_t)p[0] * 17;
		uint32_t index;
		size_t got;

		memcpy(&index, p + 1, sizeof index);
		memcpy((uint8_t *)&page + (p[5] | (p[6] & 15) << 8) % (sizeof page - 4), p + 1, 4);
		if (p[0] & 1)
			page.out_prod = page.out_cons + index % 4096;
		if (p[0] & 2)
			page.in_cons = index;
		got = ring_take(&r, text, size < sizeof text ? size : sizeof text);
		if (got > sizeof page.out || got > size)
			abort();
		if (term_filter(&filter, text, got, shown) > sizeof shown)
			abort();
		if (console_ring_put(&r, p, 7) > 7 || r.in_prod != page.in_prod ||
		    r.out_cons != page.out_cons)
			abort();
	}
	return 0;
}
