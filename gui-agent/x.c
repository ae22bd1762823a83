/* SPDX-License-Identifier: ISC */
/* The qube's X server: requests whose replies come later, events, errors. */
#include <stdlib.h>
#include <string.h>
#include <xcb/composite.h>
#include <xcb/randr.h>
#include <xcb/shm.h>
#include <xcb/xcbext.h>
#include <xcb/xfixes.h>
#include <xcb/xtest.h>

#include "display/screen.h"
#include "ga.h"

#define EVENTS 2048u /* of one turn */

static const char *const names[] = {
#define NAME(name) #name,
    ATOMS(NAME)
#undef NAME
};

static const xcb_query_extension_reply_t *
extension(struct ga *g, xcb_extension_t *id, const char *name)
{
	const xcb_query_extension_reply_t *e = xcb_get_extension_data(g->x.c, id);

	if (e == NULL || !e->present)
		die("the X server has no %s", name);
	return e;
}

/* X wants to hear which version of each we mean. */
static void
extensions(struct ga *g)
{
	const xcb_query_extension_reply_t *randr;

	extension(g, &xcb_shm_id, "MIT-SHM");
	extension(g, &xcb_test_id, "XTEST");
	extension(g, &xcb_composite_id, "Composite");
	g->x.damage = extension(g, &xcb_damage_id, "DAMAGE")->first_event;
	g->x.fixes = extension(g, &xcb_xfixes_id, "XFIXES")->first_event;
	xcb_discard_reply(g->x.c, xcb_composite_query_version(g->x.c, 0, 4).sequence);
	xcb_discard_reply(g->x.c, xcb_damage_query_version(g->x.c, 1, 1).sequence);
	xcb_discard_reply(g->x.c, xcb_xfixes_query_version(g->x.c, 5, 0).sequence);
	randr = xcb_get_extension_data(g->x.c, &xcb_randr_id);
	g->x.randr = randr != NULL && randr->present;
	if (g->x.randr)
		xcb_discard_reply(g->x.c, xcb_randr_query_version(g->x.c, 1, 3).sequence);
}

static void
atoms(struct ga *g)
{
	xcb_intern_atom_cookie_t asked[ATOMS_N];
	xcb_intern_atom_reply_t *r;

	for (size_t i = 0; i < ATOMS_N; i++)
		asked[i] = xcb_intern_atom(g->x.c, 0, (uint16_t)strlen(names[i]), names[i]);
	for (size_t i = 0; i < ATOMS_N; i++) {
		r = xcb_intern_atom_reply(g->x.c, asked[i], NULL);
		if (r == NULL)
			die("the X server ends at once");
		g->x.atom[i] = r->atom;
		free(r);
	}
}

void
x_open(struct ga *g)
{
	int n = 0;
	xcb_screen_iterator_t i;

	g->x.last = &g->x.first;
	g->x.c = xcb_connect(NULL, &n);
	if (xcb_connection_has_error(g->x.c))
		die("no X server");
	i = xcb_setup_roots_iterator(xcb_get_setup(g->x.c));
	while (n-- > 0 && i.rem > 1)
		xcb_screen_next(&i);
	g->x.root = i.data->root;
	g->x.visual = i.data->root_visual;
	g->x.depth = i.data->root_depth;
	g->x.w = i.data->width_in_pixels;
	g->x.h = i.data->height_in_pixels;
	if (g->x.depth != 24)
		die("the screen has %u bits for a pixel, not 24", g->x.depth);
	extensions(g);
	atoms(g);
}

/* ---- requests ---- */

void
x_expect(struct ga *g, unsigned sequence, answer_fn *fn, uint32_t window, uint32_t n)
{
	struct expected *e = malloc(sizeof *e);

	if (e == NULL)
		die("no memory");
	*e = (struct expected){.sequence = sequence, .fn = fn, .id = window, .n = n};
	*g->x.last = e;
	g->x.last = &e->next;
}

void
x_words(struct ga *g, xcb_window_t w, xcb_atom_t name, xcb_atom_t type, const uint32_t *v, size_t n)
{
	xcb_change_property(g->x.c, XCB_PROP_MODE_REPLACE, w, name, type, 32, (uint32_t)n, v);
}

void
x_message(struct ga *g, xcb_window_t to, xcb_window_t about, xcb_atom_t type, uint32_t mask,
    const uint32_t data[5])
{
	xcb_client_message_event_t e = {
	    .response_type = XCB_CLIENT_MESSAGE, .format = 32, .window = about, .type = type};

	memcpy(e.data.data32, data, sizeof e.data.data32);
	xcb_send_event(g->x.c, 0, to, mask, (const char *)&e);
}

/* Once for each guid: it may wait for X. */
void
x_screen(struct ga *g)
{
	if (g->x.randr && ((int)g->link.w != g->x.w || (int)g->link.h != g->x.h))
		screen_size(g->x.c, g->x.root, g->link.w, g->link.h);
}

/* ---- what comes ---- */

static bool
replies(struct ga *g)
{
	xcb_generic_error_t *error = NULL;
	struct expected *e;
	struct window *w;
	void *reply = NULL;
	bool any = false;

	while ((e = g->x.first) != NULL &&
	       xcb_poll_for_reply(g->x.c, e->sequence, &reply, &error) == 1) {
		g->x.first = e->next;
		if (g->x.first == NULL)
			g->x.last = &g->x.first;
		w = window_find(g, e->id);
		e->fn(g, &(struct answer){w != NULL && !w->gone ? w : NULL, e->n, reply});
		free(e);
		free(reply);
		free(error);
		reply = error = NULL;
		any = true;
	}
	return any;
}

static void
event(struct ga *g, const xcb_generic_event_t *e)
{
	const uint8_t type = e->response_type & 0x7f;

	if (type == g->x.damage + XCB_DAMAGE_NOTIFY)
		pixels_damage(g, (const xcb_damage_notify_event_t *)e);
	else if (type == g->x.fixes + XCB_XFIXES_CURSOR_NOTIFY)
		input_cursor(g, ((const xcb_xfixes_cursor_notify_event_t *)e)->name);
	else if (type == XCB_PROPERTY_NOTIFY)
		props_changed(g, (const xcb_property_notify_event_t *)e);
	else if (type == XCB_CLIENT_MESSAGE)
		props_message(g, (const xcb_client_message_event_t *)e);
	else if (type == XCB_MAPPING_NOTIFY)
		input_mapping(g);
	else if (type >= XCB_SELECTION_CLEAR && type <= XCB_SELECTION_NOTIFY)
		clip_event(g, e);
	else if (type != 0) /* errors: of windows that went */
		window_event(g, e);
}

bool
x_turn(struct ga *g)
{
	xcb_generic_event_t *e;
	bool any = true, some = false;
	unsigned n = 0;

	for (; any && n < EVENTS; some = some || any) {
		any = false;
		while (n < EVENTS && (e = xcb_poll_for_event(g->x.c)) != NULL) {
			event(g, e);
			free(e);
			any = true;
			n++;
		}
		any = replies(g) || any;
	}
	if (xcb_connection_has_error(g->x.c))
		die("the X server has gone");
	return some;
}
