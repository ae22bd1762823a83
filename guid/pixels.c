/* SPDX-License-Identifier: ISC */
/*
 * A qube shows pages; what has changed of them is copied into memory that we share with the X
 * server, and put from there into C. The X server never sees a qube's memory, and what the qube
 * does to its pages meanwhile is only its own picture. Two segments: while X reads one, the other
 * is filled; X says so for the last put of a filling. While it has said nothing damage waits, and
 * grows together.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guid.h"

#define FILL_MIN (512u << 10)
#define ROW_MAX (4u * GUI_WIDTH_MAX)
#define QUOTA 4u /* screens */
#define GRANT_MS 2000

void
pixels_start(struct gui *g)
{
	grant_guard();
	for (int i = 0; i < 2; i++) {
		g->px.seg[i].p = x_memory(SEGMENT_MAX, &g->px.seg[i].fd);
		g->px.seg[i].size = FILL_MIN;
	}
}

/* ---- a qube's pages ---- */

static void
give_back(struct gui *g)
{
	for (int i = 0; i < 2; i++) {
		struct segment *s = &g->px.seg[i];

		if (s->high > 0 && !s->busy)
			(void)madvise(s->p, s->high, MADV_REMOVE);
		s->high = s->busy ? s->high : 0;
	}
}

void
pixels_drop(struct gui *g, struct window *w)
{
	struct image *i = w->image;

	w->image = NULL;
	if (i == NULL)
		return;
	g->px.pages -= i->n;
	grant_close(&i->grant);
	free(i);
	if (g->px.pages == 0)
		give_back(g);
}

/* refs: checked to be n, at least one, and enough for w x h. */
static const char *
take(struct gui *g, struct window *w, const void *refs, size_t n)
{
	const size_t quota = (size_t)g->root.w * (size_t)g->root.h * 4 * QUOTA / GRANT_PAGE;
	struct image *i;
	const char *bad;

	if (g->px.pages + n > quota)
		return "over the qube's quota of pages";
	i = calloc(1, sizeof *i + n * sizeof *i->refs);
	if (i == NULL)
		return "no memory";
	memcpy(i->refs, refs, n * sizeof *i->refs);
	bad = g->px.qgnt != NULL ? grant_by_hand(&i->grant, g->px.qgnt, g->o.domid, i->refs, n)
				 : grant_open(&i->grant, g->o.domid, i->refs, n, GRANT_MS);
	if (bad != NULL) {
		free(i);
		return bad;
	}
	close(i->grant.control); /* the channel's tells as much */
	i->grant.control = -1;
	i->n = n;
	g->px.pages += n;
	w->image = i;
	return NULL;
}

void
on_dump(struct gui *g, struct window *w, const struct body *untrusted)
{
	const uint8_t *refs = (const uint8_t *)untrusted->p + sizeof(struct gui_dump);
	const size_t n = untrusted->n < sizeof(struct gui_dump)
			     ? 0
			     : (untrusted->n - sizeof(struct gui_dump)) / 4;
	struct gui_dump m = {.type = 1};
	const char *bad = NULL;

	if (untrusted->n == sizeof m + 4 * n)
		memcpy(&m, untrusted->p, sizeof m);
	if (m.type != 0 || m.w > GUI_WIDTH_MAX || m.h > GUI_HEIGHT_MAX ||
	    (uint64_t)n * GRANT_PAGE < (uint64_t)m.w * m.h * 4) {
		fatal(g, w->id, "WINDOW_DUMP of %zu bytes that make no sense", untrusted->n);
		return;
	}
	if (w->image == NULL || w->image->n != n || memcmp(w->image->refs, refs, n * 4) != 0) {
		pixels_drop(g, w);
		if (n > 0 && !w->lost)
			bad = take(g, w, refs, n);
	}
	if (bad != NULL)
		log_limited(
		    &g->px.full, "window 0x%x: %zu pages: %s: it has no image", w->id, n, bad);
	if (w->image != NULL) {
		w->image->w = (int)m.w;
		w->image->h = (int)m.h;
	}
	if (g->link.minor >= GUI_DUMP_ACK)
		agent_send(g, GUI_WINDOW_DUMP_ACK, w->id, NULL, 0);
}

/* ---- what is to be painted ---- */

static int64_t
area(struct rect r)
{
	return (int64_t)r.w * r.h;
}

/* A free filling, or what is left of the one begun: a row at least. NULL: X has both. */
static struct segment *
segment(struct gui *g, size_t wanted)
{
	struct segment *s = &g->px.seg[g->px.now];

	if (s->busy) {
		g->px.now ^= 1u;
		s = &g->px.seg[g->px.now];
	}
	if (s->busy)
		return NULL;
	if (s->used == 0)
		s->size = wanted < FILL_MIN	 ? FILL_MIN
			  : wanted < SEGMENT_MAX ? wanted
						 : SEGMENT_MAX;
	return s;
}

static void
copy(struct gui *g, const struct window *w, const struct image *i, struct rect from, uint8_t *to)
{
	const size_t stride = (size_t)i->w * 4, row = (size_t)from.w * 4;
	const uint8_t *p =
	    (const uint8_t *)(uintptr_t)i->grant.p + (size_t)from.y * stride + (size_t)from.x * 4;

	grant_read(&i->grant);
	if (stride == row) {
		memcpy(to, p, row * (size_t)from.h);
	} else {
		for (size_t y = 0; y < (size_t)from.h; y++)
			memcpy(to + y * row, p + y * stride, row);
	}
	if (!grant_read_end())
		log_limited(&g->px.cut, "window 0x%x: its pages have gone", w->id);
	if (!w->docked || !g->o.tint)
		return;
	for (size_t n = (size_t)from.w * (size_t)from.h; n > 0; n--, to += 4) {
		uint32_t rgb;

		memcpy(&rgb, to, 4);
		rgb = tint_pixel(&g->px.tint, rgb);
		memcpy(to, &rgb, 4);
	}
}

/* Puts what it can of r (of C, and within the image); what is left. */
static struct rect
put(struct gui *g, const struct window *w, const struct image *i, struct rect r, int dx, int dy)
{
	const size_t row = (size_t)r.w * 4;

	while (r.h > 0) {
		struct segment *s = segment(g, row * (size_t)r.h);
		size_t rows, offset;

		if (s == NULL)
			break;
		offset = s->used;
		rows = (s->size - s->used) / row;
		rows = rows < (size_t)r.h ? rows : (size_t)r.h;
		copy(g, w, i, (struct rect){r.x + dx, r.y + dy, r.w, (int)rows}, s->p + offset);
		s->used += rows * row;
		s->high = s->used > s->high ? s->used : s->high;
		s->busy = s->size - s->used < ROW_MAX;
		s->last = xcb_shm_put_image(g->x.c, w->c, g->px.gc, (uint16_t)r.w, (uint16_t)rows,
		    0, 0, (uint16_t)r.w, (uint16_t)rows, (int16_t)r.x, (int16_t)r.y, g->x.depth,
		    XCB_IMAGE_FORMAT_Z_PIXMAP, s->busy, s->seg, (uint32_t)offset)
			      .sequence;
		r.y += (int)rows;
		r.h -= (int)rows;
	}
	return r;
}

/* The image is that of the window, or the part of the whole screen's that it covers (spec/gui 2).
 */
static void
paint(struct gui *g, struct window *w)
{
	const struct window *screen = window_by_id(g, 0);
	const struct window *from = w->image != NULL || screen == NULL ? w : screen;
	const int dx = w->off + (from != w ? w->at.x : 0), dy = w->off + (from != w ? w->at.y : 0);
	struct rect r = w->damage;

	w->damage.w = w->damage.h = 0;
	if (from->image == NULL)
		return;
	r = rect_clip(r, w->cw, w->ch);
	r = rect_clip((struct rect){r.x + dx, r.y + dy, r.w, r.h}, from->image->w, from->image->h);
	r.x -= dx;
	r.y -= dy;
	if (r.w > 0 && r.h > 0)
		w->damage = put(g, w, from->image, r, dx, dy);
}

void
pixels_damage(struct gui *g, struct window *w, struct rect r)
{
	r = rect_clip(r, w->cw, w->ch);
	if ((!w->mapped && !w->docked) || r.w == 0)
		return;
	if (w->damage.w > 0 && area(rect_both(w->damage, r)) > 2 * (area(w->damage) + area(r)))
		paint(g, w); /* far from each other: apart, if there is room */
	w->damage = rect_both(w->damage, r);
	if (w->dirty)
		return;
	w->dirty = true;
	LIST_INSERT_HEAD(&g->win.damaged, w, damaged);
}

void
pixels_undirty(struct window *w)
{
	w->damage.w = w->damage.h = 0;
	if (w->dirty)
		LIST_REMOVE(w, damaged);
	w->dirty = false;
}

void
pixels_paint(struct gui *g)
{
	for (struct window *w = LIST_FIRST(&g->win.damaged), *next; w != NULL; w = next) {
		next = LIST_NEXT(w, damaged);
		paint(g, w);
		if (w->damage.w == 0)
			pixels_undirty(w);
	}
}

void
on_shmimage(struct gui *g, struct window *w, const struct body *untrusted)
{
	const struct gui_shmimage *m = untrusted->p;

	if (m->x < 0 || m->y < 0 || m->x > GUI_WIDTH_MAX || m->y > GUI_HEIGHT_MAX ||
	    m->w > INT32_MAX || m->h > INT32_MAX)
		return;
	pixels_damage(g, w,
	    (struct rect){m->x - w->off, m->y - w->off,
		m->w < GUI_WIDTH_MAX ? (int)m->w : GUI_WIDTH_MAX,
		m->h < GUI_HEIGHT_MAX ? (int)m->h : GUI_HEIGHT_MAX});
}

void
on_expose(struct gui *g, struct window *w, const xcb_generic_event_t *event)
{
	const xcb_expose_event_t *e = (const void *)event;

	pixels_damage(g, w, (struct rect){e->x, e->y, e->width, e->height});
}

static void
read_by_x(struct segment *s)
{
	s->busy = false;
	s->used = 0;
}

void
on_completion(struct gui *g, struct window *w, const xcb_generic_event_t *event)
{
	const xcb_shm_completion_event_t *e = (const void *)event;

	(void)w;
	for (int i = 0; i < 2; i++)
		if (g->px.seg[i].seg == e->shmseg)
			read_by_x(&g->px.seg[i]);
}

/* The put that was to tell us failed: its window has gone. */
void
pixels_failed(struct gui *g, uint32_t sequence)
{
	for (int i = 0; i < 2; i++)
		if (g->px.seg[i].busy && g->px.seg[i].last == sequence)
			read_by_x(&g->px.seg[i]);
}
