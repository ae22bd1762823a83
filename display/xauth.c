/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <string.h>

#include "buf.h"
#include "display/xauth.h"

enum { FAMILY_LOCAL = 256, FAMILY_WILD = 65535 };

/* Lengths and bytes, most significant byte first. */
struct text {
	const uint8_t *p;
	size_t n;
};

static size_t
word(struct rd *r)
{
	const uint8_t *p = rd_bytes(r, 2);

	return p != NULL ? (size_t)p[0] << 8 | p[1] : 0;
}

static struct text
text(struct rd *r)
{
	struct text t = {.n = word(r)};

	t.p = rd_bytes(r, t.n);
	return t;
}

static bool
is(struct text t, const char *s)
{
	return t.n == strlen(s) && memcmp(t.p, s, t.n) == 0;
}

bool
xauth_find(struct xauth *a, const void *file, size_t n, const char *host, uint32_t display)
{
	struct rd r = rd_over(file, n);
	char number[12];

	a->n = 0;
	snprintf(number, sizeof number, "%u", display);
	while (r.left > 0) {
		const size_t family = word(&r);
		const struct text address = text(&r), which = text(&r), name = text(&r),
				  data = text(&r);

		if (r.bad)
			return false;
		if ((family != FAMILY_WILD && (family != FAMILY_LOCAL || !is(address, host))) ||
		    (which.n > 0 && !is(which, number)) || !is(name, XAUTH_NAME) || data.n == 0 ||
		    data.n > sizeof a->data)
			continue;
		memcpy(a->data, data.p, data.n);
		a->n = data.n;
		return true;
	}
	return false;
}
