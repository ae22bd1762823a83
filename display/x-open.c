/* SPDX-License-Identifier: ISC */
#include <stdlib.h>
#include <string.h>
#include <xcb/shm.h>

#include "log.h"
#include "x.h"

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
