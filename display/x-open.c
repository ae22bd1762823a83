/* SPDX-License-Identifier: ISC */
#include <stdlib.h>
#include <string.h>
#include <xcb/shm.h>

#include "log.h"
#include "x.h"

/* A pixel is a word 0xRRGGBB, and so is what a qube shows (spec/gui 6.1). */
static void
check_visual(const xcb_setup_t *setup, const xcb_screen_t *s)
{
	xcb_format_iterator_t f = xcb_setup_pixmap_formats_iterator(setup);
	xcb_depth_iterator_t d = xcb_screen_allowed_depths_iterator(s);
	bool wide = false, rgb = false;

	for (; f.rem > 0; xcb_format_next(&f))
		wide = wide || (f.data->depth == s->root_depth && f.data->bits_per_pixel == 32);
	for (; d.rem > 0; xcb_depth_next(&d))
		for (xcb_visualtype_iterator_t v = xcb_depth_visuals_iterator(d.data); v.rem > 0;
		     xcb_visualtype_next(&v))
			rgb = rgb || (v.data->visual_id == s->root_visual &&
					 v.data->_class == XCB_VISUAL_CLASS_TRUE_COLOR &&
					 v.data->red_mask == 0xff0000 &&
					 v.data->green_mask == 0xff00 && v.data->blue_mask == 0xff);
	if (!wide || !rgb || setup->image_byte_order != XCB_IMAGE_ORDER_LSB_FIRST)
		die("the X server's pixels are not of 32 bits, 8 for each colour");
}

const xcb_screen_t *
x_open(struct x *x, struct gui *g, int screen)
{
	xcb_screen_iterator_t s;

	if (xcb_connection_has_error(x->c))
		die("the X server lets us not in");
	s = xcb_setup_roots_iterator(xcb_get_setup(x->c));
	for (int i = 0; i < screen && s.rem > 0; i++)
		xcb_screen_next(&s);
	if (s.rem == 0)
		die("the X server has no screen %d", screen);
	check_visual(xcb_get_setup(x->c), s.data);
	x->g = g;
	x->root = s.data->root;
	x->depth = s.data->root_depth;
	x->last = &x->first;
	return s.data;
}

xcb_atom_t
x_atom(struct x *x, const char *name)
{
	xcb_atom_t atom;
	xcb_intern_atom_reply_t *r = xcb_intern_atom_reply(
	    x->c, xcb_intern_atom(x->c, 0, (uint16_t)strlen(name), name), NULL);

	if (r == NULL)
		die("the X server ends at once");
	atom = r->atom;
	free(r);
	return atom;
}

void
x_atoms(struct x *x, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		x->atom[i] = x_atom(x, names[i]);
}

const xcb_query_extension_reply_t *
x_extension(struct x *x, xcb_extension_t *id, const char *name)
{
	const xcb_query_extension_reply_t *e = xcb_get_extension_data(x->c, id);

	if (e == NULL || !e->present)
		die("the X server has no %s", name);
	return e;
}

uint32_t
x_attach(struct x *x, int fd, bool read_only)
{
	const uint32_t seg = xcb_generate_id(x->c);

	if (xcb_request_check(x->c, xcb_shm_attach_fd_checked(x->c, seg, fd, read_only)) != NULL ||
	    xcb_connection_has_error(x->c))
		die("the X server takes no memory by descriptor");
	return seg;
}
