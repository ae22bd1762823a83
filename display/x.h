/* SPDX-License-Identifier: ISC */
/*
 * A connection to an X server, by libxcb, for guid and for gui-agent: what is asked and answered
 * later, events and errors in order; never a wait but at the start. The program has its own struct
 * gui and struct window, and the functions below that say so.
 */
#ifndef DISPLAY_X_H
#define DISPLAY_X_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xcb/xcb.h>

#include "rect.h"

#define X_ATOMS_MAX 48

struct gui;
struct window;

/* What X answers. w: the window of that id, unless it has gone meanwhile; p: NULL, X could not. */
struct answer {
	struct window *w;
	uint32_t id, n; /* as given */
	const void *p;
};
typedef void answer_fn(struct gui *g, const struct answer *a);
struct expected;

struct x {
	xcb_connection_t *c;
	struct gui *g;
	xcb_window_t root;
	uint8_t depth;
	bool behind; /* events that are read already wait */
	xcb_atom_t atom[X_ATOMS_MAX];
	struct expected *first, **last;
};

/* The program's: an event or an error; one of its windows, NULL if it has gone or is none. */
void x_event(struct gui *g, const xcb_generic_event_t *e);
struct window *x_window(struct gui *g, uint32_t id);

/* --- the start, which waits, and exits if X is not as needed --- */
/* With x->c made: what X says of the screen. */
const xcb_screen_t *x_open(struct x *x, struct gui *g, int screen);
xcb_atom_t x_atom(struct x *x, const char *name);
void x_atoms(struct x *x, const char *const *names, size_t n);
const xcb_query_extension_reply_t *x_extension(struct x *x, xcb_extension_t *id, const char *name);
/* Memory, which is not touched yet; and X has it as that segment. */
uint8_t *x_memory(size_t size, int *fd);
uint32_t x_attach(struct x *x, int fd, bool read_only); /* closes it */

/* --- what is asked --- */
void x_expect(struct x *x, unsigned sequence, answer_fn *fn, uint32_t id);
void x_ask(struct x *x, xcb_window_t w, xcb_atom_t name, size_t words, answer_fn *fn, uint32_t n);
/* What a property has of 32-bit words; NULL: none, or another type. */
const uint32_t *x_answer(const struct answer *a, size_t *n);
/* Events and answers: that are read already, or also those that can be read. true: there may be
 * more. */
bool x_turn(struct x *x, bool read);

/* --- what is said --- */
/* Where a window is to be; the request's sequence. */
uint32_t x_place(struct x *x, xcb_window_t w, const struct rect *r);
void x_words(
    struct x *x, xcb_window_t w, xcb_atom_t name, xcb_atom_t type, const uint32_t *v, size_t n);
void x_word(struct x *x, xcb_window_t w, xcb_atom_t name, xcb_atom_t type, uint32_t v);
void x_text(struct x *x, xcb_window_t w, xcb_atom_t name, xcb_atom_t type, const void *s, size_t n);
void x_message(struct x *x, xcb_window_t to, xcb_window_t about, xcb_atom_t type, uint32_t mask,
    const uint32_t data[5]);

#endif
