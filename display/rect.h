/* SPDX-License-Identifier: ISC */
/* Rectangles. One without width or height is none; those made here have neither then. */
#ifndef RECT_H
#define RECT_H

#include <stdbool.h>

struct rect {
	int x, y, w, h;
};

static inline bool
rect_same(const struct rect *a, const struct rect *b)
{
	return a->x == b->x && a->y == b->y && a->w == b->w && a->h == b->h;
}

/* What of r lies within 0, 0 and w, h. */
static inline struct rect
rect_clip(struct rect r, int w, int h)
{
	const int x1 = r.x + r.w < w ? r.x + r.w : w, y1 = r.y + r.h < h ? r.y + r.h : h;

	r.x = r.x > 0 ? r.x : 0;
	r.y = r.y > 0 ? r.y : 0;
	r.w = x1 - r.x;
	r.h = y1 - r.y;
	return r.w > 0 && r.h > 0 ? r : (struct rect){0, 0, 0, 0};
}

/* The smallest that holds both. */
static inline struct rect
rect_both(struct rect a, struct rect b)
{
	const int x = a.x < b.x ? a.x : b.x, y = a.y < b.y ? a.y : b.y;
	const int x1 = a.x + a.w > b.x + b.w ? a.x + a.w : b.x + b.w,
		  y1 = a.y + a.h > b.y + b.h ? a.y + a.h : b.y + b.h;

	if (a.w == 0 || b.w == 0)
		return a.w == 0 ? b : a;
	return (struct rect){x, y, x1 - x, y1 - y};
}

#endif
