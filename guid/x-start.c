/* SPDX-License-Identifier: ISC */
/* The start of a connection to the X server: names, colours. Here we wait. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guid.h"

static const char *const atom_names[A_TRAY] = {
#define ATOM_X(name) #name,
    ATOMS(ATOM_X)
#undef ATOM_X
};

static void
atoms(struct gui *g)
{
	char tray[32];

	x_atoms(&g->x, atom_names, A_TRAY);
	snprintf(tray, sizeof tray, "_NET_SYSTEM_TRAY_S%d", g->screen);
	g->x.atom[A_TRAY] = x_atom(&g->x, tray);
	for (struct prop *p = g->o.props; p < g->o.props + g->o.nprops; p++) {
		p->atom = x_atom(&g->x, p->name);
		if (p->type != XCB_ATOM_ATOM)
			continue;
		p->words[0] = x_atom(&g->x, p->data);
		p->data = p->words;
	}
}

/* 0xRRGGBB, or a name that X knows. */
static uint32_t
color(struct gui *g, const xcb_screen_t *s, const char *name)
{
	xcb_lookup_color_reply_t *r;
	uint32_t rgb;
	char *end;

	if (strncmp(name, "0x", 2) == 0 || *name == '#') {
		rgb = (uint32_t)strtoul(name + (*name == '#' ? 1 : 2), &end, 16);
		if (*end != '\0' || rgb > 0xffffff)
			usage_die("guid: %s is no colour", name);
		return rgb;
	}
	r = xcb_lookup_color_reply(g->x.c,
	    xcb_lookup_color(g->x.c, s->default_colormap, (uint16_t)strlen(name), name), NULL);
	if (r == NULL)
		usage_die("guid: the X server knows no colour %s", name);
	rgb = (uint32_t)(r->exact_red >> 8 << 16 | r->exact_green >> 8 << 8 | r->exact_blue >> 8);
	free(r);
	return rgb;
}

/* What pixels_start has made becomes segments of X's. */
static void
segments(struct gui *g)
{
	const uint32_t no = 0;

	g->px.gc = xcb_generate_id(g->x.c);
	xcb_create_gc(g->x.c, g->px.gc, g->x.root, XCB_GC_GRAPHICS_EXPOSURES, &no);
	g->px.completion =
	    (uint8_t)(x_extension(&g->x, &xcb_shm_id, "MIT-SHM")->first_event + XCB_SHM_COMPLETION);
	for (struct segment *s = g->px.seg; s < g->px.seg + 2; s++)
		s->seg = x_attach(&g->x, s->fd, true);
}

void
x_start(struct gui *g)
{
	const xcb_screen_t *s = x_open(&g->x, g, g->screen);
	const uint32_t select = XCB_EVENT_MASK_PROPERTY_CHANGE | XCB_EVENT_MASK_STRUCTURE_NOTIFY |
				XCB_EVENT_MASK_SUBSTRUCTURE_NOTIFY;

	g->root = g->work = (struct rect){0, 0, s->width_in_pixels, s->height_in_pixels};
	atoms(g);
	g->o.rgb = color(g, s, g->o.color);
	g->background = color(g, s, g->o.background_color);
	xcb_change_window_attributes(g->x.c, g->x.root, XCB_CW_EVENT_MASK, &select);
	segments(g);
}
