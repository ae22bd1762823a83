/* SPDX-License-Identifier: ISC */
#include "icon.h"

#include <string.h>

#include "names.h"

static const char *
size_line(struct icon_reader *r)
{
	char *space = strchr(r->line, ' ');
	uint32_t side;

	if (space == NULL)
		return "no width and height";
	*space = '\0';
	if (!parse_u32(r->line, ICON_SENT, &r->w) || !parse_u32(space + 1, ICON_SENT, &r->h) ||
	    r->w == 0 || r->h == 0)
		return "a width or a height that is not 1 to 2048";
	side = r->w > r->h ? r->w : r->h;
	r->step = (side + ICON_SIDE - 1) / ICON_SIDE;
	r->icon.w = (r->w + r->step - 1) / r->step;
	r->icon.h = (r->h + r->step - 1) / r->step;
	r->x = r->y = 0;
	return NULL;
}

static const char *
line(struct icon_reader *r)
{
	const char *bad = NULL;

	r->line[r->n] = '\0';
	if (memchr(r->line, '\0', r->n) != NULL)
		bad = "a NUL in a line";
	else if (r->state == ICON_SIZE)
		bad = size_line(r);
	else if (!parse_u32(r->line, UINT32_MAX, &r->icon.id))
		bad = "not a window's number";
	r->state = r->state == ICON_ID ? ICON_SIZE : ICON_PIXELS;
	r->n = 0;
	return bad;
}

/* true: it was the last one. */
static bool
pixel(struct icon_reader *r)
{
	const uint8_t *p = r->pixel;
	const uint32_t rgb = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];

	if (r->x % r->step == 0 && r->y % r->step == 0)
		r->icon.argb[r->y / r->step * r->icon.w + r->x / r->step] =
		    (uint32_t)p[3] << 24 | tint_pixel(&r->tint, rgb);
	r->n = 0;
	if (++r->x < r->w)
		return false;
	r->x = 0;
	return ++r->y == r->h;
}

size_t
icon_read(struct icon_reader *r, const uint8_t *untrusted, size_t n, bool *whole, const char **bad)
{
	*whole = false;
	*bad = NULL;
	for (size_t i = 0; i < n;) {
		const uint8_t c = untrusted[i++];

		if (r->state == ICON_PIXELS) {
			r->pixel[r->n++] = c;
			*whole = r->n == 4 && pixel(r);
		} else if (c == '\n') {
			*bad = line(r);
		} else if (r->n == ICON_LINE) {
			*bad = "a line of more than 32 bytes";
		} else {
			r->line[r->n++] = (char)c;
		}
		if (*bad != NULL)
			return 0;
		if (*whole) {
			r->state = ICON_ID;
			return i;
		}
	}
	return n;
}
