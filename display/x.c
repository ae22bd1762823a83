/* SPDX-License-Identifier: ISC */
#include "x.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xcb/xcbext.h>

#include "log.h"

#define EVENTS 512u /* of one turn: then others have theirs */

/* An answer that is to come. */
struct expected {
	struct expected *next;
	unsigned sequence;
	answer_fn *fn;
	uint32_t id, n;
};

/* ---- what is asked ---- */

static struct expected *
expect(struct x *x, unsigned sequence, answer_fn *fn, uint32_t id)
{
	struct expected *e = malloc(sizeof *e);

	if (e == NULL)
		die("no memory");
	*e = (struct expected){.sequence = sequence, .fn = fn, .id = id};
	*x->last = e;
	x->last = &e->next;
	return e;
}

void
x_expect(struct x *x, unsigned sequence, answer_fn *fn, uint32_t id)
{
	(void)expect(x, sequence, fn, id);
}

void
x_ask(struct x *x, xcb_window_t w, xcb_atom_t name, size_t words, answer_fn *fn, uint32_t n)
{
	const xcb_get_property_cookie_t c =
	    xcb_get_property(x->c, 0, w, name, XCB_GET_PROPERTY_TYPE_ANY, 0, (uint32_t)words);

	expect(x, c.sequence, fn, w)->n = n;
}

const uint32_t *
x_answer(const struct answer *a, size_t *n)
{
	const xcb_get_property_reply_t *r = a->p;

	*n = r != NULL && r->format == 32 ? r->value_len : 0;
	return *n > 0 ? xcb_get_property_value(r) : NULL;
}

static bool
answers(struct x *x)
{
	xcb_generic_error_t *error = NULL;
	struct expected *e;
	void *reply = NULL;
	bool any = false;

	while (
	    (e = x->first) != NULL && xcb_poll_for_reply(x->c, e->sequence, &reply, &error) == 1) {
		x->first = e->next;
		if (x->first == NULL)
			x->last = &x->first;
		e->fn(x->g, &(struct answer){x_window(x->g, e->id), e->id, e->n, reply});
		free(e);
		free(reply);
		free(error);
		reply = error = NULL;
		any = true;
	}
	return any;
}

bool
x_turn(struct x *x, bool read)
{
	xcb_generic_event_t *e;
	bool any = true, some = false;
	unsigned n = 0;

	for (; any && n < EVENTS; some = some || any) {
		any = false;
		while (n < EVENTS && (e = read ? xcb_poll_for_event(x->c)
					       : xcb_poll_for_queued_event(x->c)) != NULL) {
			x_event(x->g, e);
			free(e);
			any = true;
			n++;
		}
		any = answers(x) || any;
	}
	x->behind = n >= EVENTS;
	return some;
}

/* ---- what is said ---- */

uint32_t
x_place(struct x *x, xcb_window_t w, const struct rect *r)
{
	const uint32_t v[] = {(uint32_t)r->x, (uint32_t)r->y, (uint32_t)r->w, (uint32_t)r->h};

	return xcb_configure_window(x->c, w,
	    XCB_CONFIG_WINDOW_X | XCB_CONFIG_WINDOW_Y | XCB_CONFIG_WINDOW_WIDTH |
		XCB_CONFIG_WINDOW_HEIGHT,
	    v)
	    .sequence;
}

void
x_words(struct x *x, xcb_window_t w, xcb_atom_t name, xcb_atom_t type, const uint32_t *v, size_t n)
{
	xcb_change_property(x->c, XCB_PROP_MODE_REPLACE, w, name, type, 32, (uint32_t)n, v);
}

void
x_word(struct x *x, xcb_window_t w, xcb_atom_t name, xcb_atom_t type, uint32_t v)
{
	x_words(x, w, name, type, &v, 1);
}

void
x_text(struct x *x, xcb_window_t w, xcb_atom_t name, xcb_atom_t type, const void *s, size_t n)
{
	xcb_change_property(x->c, XCB_PROP_MODE_REPLACE, w, name, type, 8, (uint32_t)n, s);
}

void
x_message(struct x *x, xcb_window_t to, xcb_window_t about, xcb_atom_t type, uint32_t mask,
    const uint32_t data[5])
{
	xcb_client_message_event_t e = {
	    .response_type = XCB_CLIENT_MESSAGE, .format = 32, .window = about, .type = type};

	memcpy(e.data.data32, data, sizeof e.data.data32);
	xcb_send_event(x->c, 0, to, mask, (const char *)&e);
}

/* ---- memory ---- */

uint8_t *
x_memory(size_t size, int *fd)
{
	void *p = MAP_FAILED;

	*fd = memfd_create("pixels", MFD_CLOEXEC);
	if (*fd >= 0 && ftruncate(*fd, (off_t)size) == 0)
		p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
	if (p == MAP_FAILED)
		die("memory for pixels");
	return p;
}
