/* SPDX-License-Identifier: ISC */
/* The start of a connection to the X server: what it has to be, names, colours. Here we wait. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guid.h"

static const char *const atom_names[A_TRAY] = {
#define ATOM_X(name) #name,
    ATOMS(ATOM_X)
#undef ATOM_X
};

static xcb_atom_t
intern(struct guid *g, const char *name)
{
	xcb_intern_atom_reply_t *r = xcb_intern_atom_reply(
	    g->x.c, xcb_intern_atom(g->x.c, 0, (uint16_t)strlen(name), name), NULL);
	const xcb_atom_t atom = r != NULL ? r->atom : XCB_ATOM_NONE;

	free(r);
	if (atom == XCB_ATOM_NONE)
		die("the X server has gone");
	return atom;
}

static void
atoms(struct guid *g)
{
	char tray[32];

	for (size_t i = 0; i < A_TRAY; i++)
		g->x.atom[i] = intern(g, atom_names[i]);
	snprintf(tray, sizeof tray, "_NET_SYSTEM_TRAY_S%d", g->screen);
	g->x.atom[A_TRAY] = intern(g, tray);
	for (struct prop *p = g->o.props; p < g->o.props + g->o.nprops; p++) {
		p->atom = intern(g, p->name);
		p->type_atom = p->type == 's'	? XCB_ATOM_STRING
			       : p->type == 'a' ? XCB_ATOM_ATOM
						: XCB_ATOM_CARDINAL;
		if (p->type == 'a')
			p->words[0] = intern(g, p->value);
	}
}

/* A pixel is a word 0xRRGGBB, and so is what a qube shows (spec/gui 6.1). */
static void
check_visual(struct guid *g, const xcb_setup_t *setup, const xcb_screen_t *s)
{
	xcb_format_iterator_t f = xcb_setup_pixmap_formats_iterator(setup);
	xcb_depth_iterator_t d = xcb_screen_allowed_depths_iterator(s);
	xcb_visualtype_iterator_t i = {0};
	const xcb_visualtype_t *v;

	while (f.rem > 0 && f.data->depth != s->root_depth)
		xcb_format_next(&f);
	for (; d.rem > 0 && i.rem == 0; xcb_depth_next(&d)) {
		i = xcb_depth_visuals_iterator(d.data);
		while (i.rem > 0 && i.data->visual_id != s->root_visual)
			xcb_visualtype_next(&i);
	}
	v = i.rem > 0 ? i.data : NULL;
	if (f.rem == 0 || f.data->bits_per_pixel != 32 || v == NULL ||
	    v->_class != XCB_VISUAL_CLASS_TRUE_COLOR || v->red_mask != 0xff0000 ||
	    v->green_mask != 0xff00 || v->blue_mask != 0xff ||
	    setup->image_byte_order != XCB_IMAGE_ORDER_LSB_FIRST)
		die("the X server's pixels are not of 32 bits, 8 for each colour");
	g->x.depth = s->root_depth;
}

/* 0xRRGGBB, or a name that X knows. */
static uint32_t
color(struct guid *g, const xcb_screen_t *s, const char *name)
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

static void
shm(struct guid *g)
{
	const xcb_query_extension_reply_t *q = xcb_get_extension_data(g->x.c, &xcb_shm_id);
	xcb_shm_query_version_reply_t *r = NULL;

	if (q != NULL && q->present)
		r = xcb_shm_query_version_reply(g->x.c, xcb_shm_query_version(g->x.c), NULL);
	if (r == NULL || r->major_version * 100 + r->minor_version < 102)
		die("the X server has no MIT-SHM 1.2");
	free(r);
	g->x.completion = (uint8_t)(q->first_event + XCB_SHM_COMPLETION);
}

void
x_start(struct guid *g)
{
	const xcb_setup_t *setup;
	xcb_screen_iterator_t s;
	const uint32_t select = XCB_EVENT_MASK_PROPERTY_CHANGE | XCB_EVENT_MASK_STRUCTURE_NOTIFY |
				XCB_EVENT_MASK_SUBSTRUCTURE_NOTIFY;

	if (xcb_connection_has_error(g->x.c))
		die("the X server lets us not in");
	setup = xcb_get_setup(g->x.c);
	s = xcb_setup_roots_iterator(setup);
	for (int i = 0; i < g->screen && s.rem > 0; i++)
		xcb_screen_next(&s);
	if (s.rem == 0)
		die("the X server has no screen %d", g->screen);
	check_visual(g, setup, s.data);
	g->x.root = s.data->root;
	g->root = (struct rect){0, 0, s.data->width_in_pixels, s.data->height_in_pixels};
	g->work = g->root;
	g->x.last = &g->x.first;
	shm(g);
	atoms(g);
	g->x.label = g->o.rgb = color(g, s.data, g->o.color);
	g->x.background = color(g, s.data, g->o.background_color);
	xcb_change_window_attributes(g->x.c, g->x.root, XCB_CW_EVENT_MASK, &select);
}
