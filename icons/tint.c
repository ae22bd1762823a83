/* SPDX-License-Identifier: ISC */
#include "tint.h"

struct range {
	int min, max;
};

static struct range
range(uint32_t rgb)
{
	struct range r = {255, 0};

	for (int shift = 0; shift <= 16; shift += 8) {
		const int c = rgb >> shift & 0xff;

		r.min = c < r.min ? c : r.min;
		r.max = c > r.max ? c : r.max;
	}
	return r;
}

/* Between the darkest and the lightest of its colours there can be so much, at its lightness. */
static int
most(struct range r)
{
	const int sum = r.max + r.min;

	return sum < 255 ? sum : 510 - sum;
}

struct tint
tint_of(uint32_t label, bool pale)
{
	const struct range r = range(label);
	const int chroma = r.max - r.min, room = most(r);
	struct tint t = {.sat = room > 0 ? chroma * 255 / room : 0};

	t.sat /= pale ? 2 : 1;
	for (int i = 0; i < 3; i++)
		t.hue[i] =
		    chroma > 0 ? ((int)(label >> (16 - 8 * i) & 0xff) - r.min) * 255 / chroma : 0;
	return t;
}

uint32_t
tint_pixel(const struct tint *t, uint32_t rgb)
{
	const struct range r = range(rgb);
	const int chroma = most(r) * t->sat / 255;
	uint32_t out = 0;

	for (int i = 0; i < 3; i++)
		out = out << 8 |
		      (uint32_t)((r.max + r.min + chroma * (2 * t->hue[i] - 255) / 255) / 2 & 0xff);
	return out;
}
