/* SPDX-License-Identifier: ISC */
/*
 * The X server, by libxcb: never a wait for a reply but at the start, errors as events in order. An
 * error of a window loses that window.
 */
#ifndef GUID_X_H
#define GUID_X_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xcb/shm.h>
#include <xcb/xcb.h>

struct guid;
struct window;
struct rect;

/* What a client says to the window manager, through the root window. */
#define TO_MANAGER (XCB_EVENT_MASK_SUBSTRUCTURE_NOTIFY | XCB_EVENT_MASK_SUBSTRUCTURE_REDIRECT)

#define ATOMS(X)                                                                                   \
	X(MANAGER)                                                                                 \
	X(UTF8_STRING)                                                                             \
	X(WM_CHANGE_STATE)                                                                         \
	X(WM_DELETE_WINDOW)                                                                        \
	X(WM_PROTOCOLS)                                                                            \
	X(_NET_CURRENT_DESKTOP)                                                                    \
	X(_NET_FRAME_EXTENTS)                                                                      \
	X(_NET_SYSTEM_TRAY_OPCODE)                                                                 \
	X(_NET_WM_ICON_NAME)                                                                       \
	X(_NET_WM_NAME)                                                                            \
	X(_NET_WM_PID)                                                                             \
	X(_NET_WM_PING)                                                                            \
	X(_NET_WM_STATE)                                                                           \
	X(_NET_WM_STATE_DEMANDS_ATTENTION)                                                         \
	X(_NET_WM_STATE_FULLSCREEN)                                                                \
	X(_NET_WM_STATE_HIDDEN)                                                                    \
	X(_NET_WM_STATE_MAXIMIZED_HORZ)                                                            \
	X(_NET_WM_STATE_MAXIMIZED_VERT)                                                            \
	X(_NET_WM_USER_TIME)                                                                       \
	X(_NET_WORKAREA)                                                                           \
	X(_NET_SUPPORTED)                                                                          \
	X(_QUBES_LABEL)                                                                            \
	X(_QUBES_LABEL_COLOR)                                                                      \
	X(_QUBES_VMNAME)                                                                           \
	X(_QUBES_VMWINDOWID)                                                                       \
	X(_XEMBED)                                                                                 \
	X(_XEMBED_INFO)

enum {
#define ATOM_X(name) A_##name,
	ATOMS(ATOM_X)
#undef ATOM_X
	    A_TRAY, /* _NET_SYSTEM_TRAY_Sn */
	A_N
};

/* w: whose event it is; NULL: none of ours. */
typedef void event_fn(struct guid *g, struct window *w, const xcb_generic_event_t *e);
/* reply: NULL, it failed. arg: as given. */
typedef void reply_fn(struct guid *g, uint32_t arg, void *reply);
struct expected;

struct x {
	xcb_connection_t *c;
	xcb_window_t root;
	uint8_t depth;
	uint8_t completion; /* type of that event */
	uint32_t label, background;
	xcb_atom_t atom[A_N];
	xcb_timestamp_t time; /* of the last input */
	struct expected *first, **last;
	bool full;	  /* X does not take more now */
	uint64_t looked;  /* bytes that had been written when that was found out */
	bool behind;	  /* events that are read already wait */
	bool asked;	  /* a reply is to come, after all events of what was sent before */
	uint64_t marked;  /* bytes that had been written when it was asked for */
	uint32_t exposed; /* windows that X may have told us of since */
	uint32_t again;	  /* timer: go on with what waits here */
};

void x_start(struct guid *g); /* with g->x.c connected; waits; exits if X is not as needed */
bool x_takes(struct guid *g); /* whether it would take what we send */
/* What we tell X makes events, which it keeps for us without a limit: whether as much as there may
 * be of them is not read yet. Else the agent waits; never a wait for X. */
bool x_keeps_up(struct guid *g);
/* Events and replies: that are read already, or also those that can be read. true: there may be
 * more. */
bool x_turn(struct guid *g, bool read);
void x_event(struct guid *g, const xcb_generic_event_t *e);
void x_flush(struct guid *g);
void x_expect(struct guid *g, unsigned sequence, reply_fn *fn, uint32_t arg);
/* Where a window is to be; the request's sequence. */
uint32_t x_place(struct guid *g, xcb_window_t w, const struct rect *r);
void x_words(
    struct guid *g, xcb_window_t w, xcb_atom_t name, xcb_atom_t type, const uint32_t *v, size_t n);
void x_word(struct guid *g, xcb_window_t w, xcb_atom_t name, xcb_atom_t type, uint32_t v);
void x_text(
    struct guid *g, xcb_window_t w, xcb_atom_t name, xcb_atom_t type, const void *s, size_t n);
void x_ask(struct guid *g, xcb_window_t w, xcb_atom_t name, size_t words, reply_fn *fn);
/* What a property has of 32-bit words; NULL: none, or another type. */
const uint32_t *x_answer(const void *reply, size_t *n);
void x_message(struct guid *g, xcb_window_t to, xcb_window_t about, xcb_atom_t type, uint32_t mask,
    const uint32_t data[5]);
void x_manager(struct guid *g, xcb_window_t about, xcb_atom_t type, const uint32_t data[5]);

#endif
