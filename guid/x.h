/* SPDX-License-Identifier: ISC */
/*
 * What guid needs of the X server beyond display/x.h. An error of a window loses that window.
 */
#ifndef GUID_X_H
#define GUID_X_H

#include <xcb/shm.h>

#include "display/x.h"

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
typedef void event_fn(struct gui *g, struct window *w, const xcb_generic_event_t *e);

/* How far X is: never a wait for it. */
struct pace {
	bool full;	  /* X does not take more now */
	uint64_t looked;  /* bytes that had been written when that was found out */
	bool asked;	  /* an answer is to come, after all events of what was sent before */
	uint64_t marked;  /* bytes that had been written when it was asked for */
	uint32_t exposed; /* windows that X may have told us of since */
	uint32_t again;	  /* timer: go on with what waits here */
};

void x_start(struct gui *g); /* with g->x.c connected; waits; exits if X is not as needed */
bool x_takes(struct gui *g); /* whether it would take what we send */
/* What we tell X makes events, which it keeps for us without a limit: whether as much as there may
 * be of them is not read yet. Else the agent waits; never a wait for X. */
bool x_keeps_up(struct gui *g);
void x_flush(struct gui *g);
void x_manager(struct gui *g, xcb_window_t about, xcb_atom_t type, const uint32_t data[5]);

#endif
