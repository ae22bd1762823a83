/* SPDX-License-Identifier: ISC */
/*
 * Each window has a pixmap of its own (Composite). What Damage says of it is read by X into the
 * window's pages, or into memory that we share with it and copied from there, and told. While guid
 * takes nothing, damage grows together.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xcb/composite.h>
#include <xcb/shm.h>

#include "ga.h"

#define STAGE (32u << 20) /* many rows of the largest window */
#define PAGE 4096u

void
pixels_start(struct gui *g)
{
	int fd;

	g->px.p = x_memory(STAGE, &fd);
	g->px.seg = x_attach(&g->x, fd, false);
}

static void
dirty(struct gui *g, struct window *w, struct rect r)
{
	if (w->pages == NULL)
		return;
	w->dirty = rect_clip(rect_both(w->dirty, r), w->at.w, w->at.h);
	window_due(g, w, DUE_PIXELS);
}

/* ---- pages of a window ---- */

static void
free_all(struct gui *g, struct pages **list)
{
	for (struct pages *p; (p = *list) != NULL;) {
		*list = p->next;
		share_free(g, p);
	}
}

/* guid may not have opened them yet: they stay until it has acknowledged all that it was told. */
static void
retire(struct gui *g, struct window *w)
{
	if (w->pages != NULL) {
		w->pages->next = w->retired;
		w->retired = w->pages;
		w->pages = NULL;
	}
	if (w->dumps == 0)
		free_all(g, &w->retired);
}

void
on_dump_ack(struct gui *g, const struct msg *m)
{
	if (m->w->dumps > 0 && --m->w->dumps == 0)
		free_all(g, &m->w->retired);
}

/* New ones unless those there are fit: then guid maps nothing anew either. */
static void
make_pages(struct gui *g, struct window *w)
{
	const size_t n = ((size_t)w->at.w * (size_t)w->at.h * 4 + PAGE - 1) / PAGE,
		     room = n + n / 8 < GUI_REFS_MAX ? n + n / 8 : n;

	if (w->pages != NULL && w->pages->n >= n && w->pages->n / 4 <= n)
		return;
	retire(g, w);
	if (w->at.w > GUI_WIDTH_MAX || w->at.h > GUI_HEIGHT_MAX)
		return;
	w->pages = share_new(g, room);
	if (w->pages == NULL)
		log_limited(
		    &g->px.none, "window 0x%x: no %zu pages: %s", w->id, n, strerror(errno));
}

void
pixels_show(struct gui *g, struct window *w)
{
	if (w->pixmap != XCB_NONE)
		xcb_free_pixmap(g->x.c, w->pixmap);
	w->pixmap = xcb_generate_id(g->x.c);
	xcb_composite_name_window_pixmap(g->x.c, w->id, w->pixmap);
	if (w->damage == XCB_NONE) {
		w->damage = xcb_generate_id(g->x.c);
		xcb_damage_create(g->x.c, w->damage, w->id, XCB_DAMAGE_REPORT_LEVEL_BOUNDING_BOX);
	}
	make_pages(g, w);
	dirty(g, w, (struct rect){0, 0, w->at.w, w->at.h});
	window_due(g, w, DUE_DUMP);
}

void
pixels_hide(struct gui *g, struct window *w)
{
	if (w->pixmap != XCB_NONE)
		xcb_free_pixmap(g->x.c, w->pixmap);
	w->pixmap = XCB_NONE;
	retire(g, w);
}

void
pixels_dump(struct gui *g, struct window *w)
{
	struct pages *p = w->pages;

	if (p == NULL)
		return;
	if (g->link.minor >= GUI_DUMP_ACK)
		w->dumps++;
	else
		free_all(g, &w->retired);
	p->dump = (struct gui_dump){.w = (uint32_t)w->at.w, .h = (uint32_t)w->at.h, .bpp = 24};
	link_send(g, GUI_WINDOW_DUMP, w->id, &p->dump, sizeof p->dump + p->n * sizeof p->refs[0]);
}

/* ---- what changes ---- */

void
damage_notify(struct gui *g, const void *event)
{
	const xcb_damage_notify_event_t *e = event;
	struct window *w = window_find(g, e->drawable);

	if (w != NULL && !w->gone)
		dirty(g, w,
		    (struct rect){e->area.x + w->border, e->area.y + w->border, e->area.width,
			e->area.height});
}

static void
copy(const struct gui *g, const struct window *w, const struct rect *r)
{
	const size_t row = (size_t)r->w * 4, stride = (size_t)w->at.w * 4;
	const bool whole = row == stride; /* at once: large copies are done in another way */
	const uint8_t *from = g->px.p;
	uint8_t *to = w->pages->p + (size_t)r->y * stride + (size_t)r->x * 4;

	for (int y = 0; y < (whole ? 1 : r->h); y++, from += row, to += stride)
		memcpy(to, from, whole ? row * (size_t)r->h : row);
}

/* Most of the width: X can write it where it belongs, if it has the pages, too. */
static bool
straight(const struct window *w)
{
	return w->pages->seg != 0 && w->dirty.w >= w->at.w / 4 * 3;
}

/* From the top, as much as there is room for. If X cannot, the window is of another size by now, as
 * it will say. */
static void
read_rows(struct gui *g, struct window *w)
{
	const bool there = straight(w);
	const struct rect d = {
	    there ? 0 : w->dirty.x, w->dirty.y, there ? w->at.w : w->dirty.w, w->dirty.h};
	const size_t row = (size_t)d.w * 4;
	const int rows = there ? d.h : (int)(STAGE / row);
	const struct rect r = {d.x, d.y, d.w, d.h < rows ? d.h : rows};
	const struct gui_shmimage m = {r.x, r.y, (uint32_t)r.w, (uint32_t)r.h};
	xcb_shm_get_image_reply_t *got = x_get(shm_get_image, g->x.c, w->pixmap, (int16_t)r.x,
	    (int16_t)r.y, (uint16_t)r.w, (uint16_t)r.h, ~0u, XCB_IMAGE_FORMAT_Z_PIXMAP,
	    there ? w->pages->seg : g->px.seg, there ? (uint32_t)((size_t)r.y * row) : 0);

	w->dirty = (struct rect){d.x, d.y + r.h, r.h < d.h ? d.w : 0, d.h - r.h};
	if (got != NULL) {
		if (!there)
			copy(g, w, &r);
		if (w->shown)
			link_send(g, GUI_SHMIMAGE, w->id, &m, sizeof m);
	}
	free(got);
}

void
pixels_read(struct gui *g, struct window *w)
{
	/* First: what is drawn from now on is said anew. */
	xcb_damage_subtract(g->x.c, w->damage, XCB_NONE, XCB_NONE);
	while (w->pages != NULL && w->dirty.w > 0)
		read_rows(g, w);
}
