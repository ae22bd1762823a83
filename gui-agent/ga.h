/* SPDX-License-Identifier: ISC */
/*
 * gui-agent: the windows of a qube's X server, told to Dom0's guid over the wire of
 * guid/gui-proto.h (spec/gui). What is to be told is kept as a bit for each kind of message of a
 * window (enum due); when the channel has room, X is asked, its answer waited for, and that is
 * sent, in one order. So a slow guid costs no memory, what it hears is what there is then, and a
 * new one is told everything by setting all the bits.
 */
#ifndef GA_H
#define GA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <xcb/damage.h>
#include <xcb/xcb.h>

#include "buf.h"
#include "display/gui-link.h"
#include "display/x.h"
#include "log.h"

#define WINDOWS_MAX 16384u
#define WINDOW_HASH 1024u
#define SEND_MAX (1u << 20)
#define SEND_LOW 16384u /* what waits: from there on nothing more is said */

/* clang-format off */
#define ATOMS(X) \
	X(WM_S0) X(WM_STATE) X(WM_PROTOCOLS) X(WM_DELETE_WINDOW) X(WM_TAKE_FOCUS) \
	X(WM_CHANGE_STATE) X(_NET_SYSTEM_TRAY_S0) X(_NET_SYSTEM_TRAY_OPCODE) \
	X(_NET_SYSTEM_TRAY_VISUAL) X(MANAGER) X(_XEMBED) X(CLIPBOARD) X(TARGETS) X(INCR) \
	X(UTF8_STRING) X(COMPOUND_TEXT) X(TEXT) X(QUBES_CLIPBOARD) \
	/* what a window manager supports: */ \
	X(_NET_SUPPORTED) X(_NET_SUPPORTING_WM_CHECK) X(_NET_WM_NAME) X(_NET_WM_STATE) \
	X(_NET_WM_STATE_FULLSCREEN) X(_NET_WM_STATE_DEMANDS_ATTENTION) X(_NET_WM_STATE_HIDDEN) \
	X(_NET_ACTIVE_WINDOW) X(_NET_CLOSE_WINDOW) X(_NET_FRAME_EXTENTS) \
	X(_NET_REQUEST_FRAME_EXTENTS) X(_NET_NUMBER_OF_DESKTOPS) X(_NET_CURRENT_DESKTOP) \
	X(_NET_DESKTOP_GEOMETRY) X(_NET_WORKAREA)
/* clang-format on */
enum atom {
#define A_(name) A_##name,
	ATOMS(A_)
#undef A_
	    ATOMS_N
};
#define ATOM(name) (g->x.atom[A_##name])
_Static_assert(ATOMS_N <= X_ATOMS_MAX, "struct x has room");

/* In this order they are told. */
enum due {
	DUE_UNMAP = 1,
	DUE_PLACE = 2, /* CREATE, or CONFIGURE */
	DUE_DUMP = 4,
	DUE_CLASS = 8,
	DUE_HINTS = 16,
	DUE_NAME = 32,
	DUE_PIXELS = 64,
	DUE_SHOWN = 128, /* MAP, or DOCK */
	DUE_FLAGS = 256,
	DUE_DESTROY = 512,
	DUES = 10,
	DUE_NEW = DUE_DESTROY - DUE_PLACE /* all between */
};

/* Memory that Dom0 may read, whole pages. */
struct pages {
	struct pages *next;
	uint8_t *p;
	uint64_t index; /* Xen: of the driver; else the first reference */
	uint32_t seg;	/* where the X server has them, too; Xen: it cannot */
	size_t n;
	struct gui_dump dump; /* as it is told, with what follows */
	uint32_t refs[];
};

struct window {
	xcb_window_t id, icon; /* icon: what is embedded in this one of ours */
	LIST_ENTRY(window) same;
	TAILQ_ENTRY(window) queue; /* while anything is due */
	unsigned due;
	struct rect at; /* with its border; as guid was told */
	int border;
	bool override; /* as X has it */
	bool mapped;
	bool gone;  /* X has it no more; its id is guid's until it has acknowledged DESTROY */
	bool again; /* gone, and X has mapped another one of that id */
	bool created, shown; /* guid knows */
	bool ack;	     /* guid waits for a CONFIGURE */
	bool urgent;
	struct gui_flags flags; /* to be told */
	uint32_t state;		/* GUI_FULLSCREEN, ...: as the property says */

	xcb_pixmap_t pixmap;
	xcb_damage_damage_t damage;
	struct pages *pages, *retired;
	unsigned dumps; /* that guid has not acknowledged */
	struct rect dirty;
};
LIST_HEAD(windows, window);
TAILQ_HEAD(window_queue, window);

/* What X says. */
typedef void event_fn(struct gui *g, const void *event);

/* A message of guid's, of a window that it knows of. */
struct msg {
	struct window *w;
	const void *p;
	size_t n;
	union {
		struct gui_configure place;
		struct gui_key key;
		struct gui_motion motion;
		struct gui_crossing crossing;
		struct gui_focus focus;
		struct gui_flags flags;
	} u;
};
typedef void message_fn(struct gui *g, const struct msg *m);

struct gui {
	struct loop *loop;
	struct x x;
	struct {
		xcb_window_t own; /* WM, selections */
		xcb_visualid_t visual;
		int w, h;
		uint8_t damage, fixes;
	} screen;
	struct gui_link link;
	struct {
		uint32_t self, peer, w, h; /* w, h: of Dom0's screen */
	} dom0;
	struct {
		struct windows hash[WINDOW_HASH];
		struct window_queue due;
		size_t n;
	} win;
	struct {
		int fd; /* gntalloc; a directory */
		uint32_t next;
	} share;
	struct {
		uint8_t *p; /* what X puts there is copied to a window's pages */
		uint32_t seg;
		struct log_limit none;
	} px;
	struct {
		xcb_window_t pointer, focus;
		uint16_t buttons;
		xcb_atom_t cursor; /* its name */
		bool cursor_due;
	} in;
	struct {
		struct buf data; /* what we own */
		struct buf in;	 /* what comes in pieces */
		uint32_t window; /* asked for by */
		bool asked, taken, incr, plain;
	} clip;
};

/* link.c: the channel */
void link_open(struct gui *g);
void link_watch(struct gui *g); /* before each poll */
bool link_room(const struct gui *g);
void link_send(struct gui *g, enum gui_type type, uint32_t window, const void *body, size_t n);
void link_take(struct gui *g, const void *p, size_t n); /* what came */
void link_turn(struct gui *g);				/* after what came: gui-agent.c */
void link_bad(struct gui *g, const char *why);		/* this guid's session ends */

/* x.c: the screen, what comes */
void screen_open(struct gui *g);
void screen_fit(struct gui *g);	 /* as large as Dom0's, if it can be */
bool screen_turn(struct gui *g); /* something came */
/* What X answers, waited for, to be freed; NULL: an error. */
#define x_get(what, ...) xcb_##what##_reply(X_FIRST(__VA_ARGS__, ), xcb_##what(__VA_ARGS__), NULL)
#define X_FIRST(c, ...) c

/* window.c: which there are, and what guid is to be told of them */
struct window *window_find(const struct gui *g, uint32_t id);
struct window *window_new(struct gui *g, xcb_window_t id);
void window_due(struct gui *g, struct window *w, unsigned due);
void windows_tell(struct gui *g);
bool windows_wait(const struct gui *g); /* to be told, and could be */
void windows_again(struct gui *g);	/* a new guid */
void windows_scan(struct gui *g);
event_fn destroy_notify, map_notify, unmap_notify, reparent_notify, configure_notify, map_request,
    configure_request;
message_fn on_destroyed, on_map, on_configure, on_close, on_dump_ack;

/* props.c: what clients say of their windows */
typedef void tell_fn(struct gui *g, struct window *w);
tell_fn tell_class, tell_hints, tell_name, tell_flags;
uint32_t props_transient(struct gui *g, const struct window *w);
bool props_input(struct gui *g, const struct window *w); /* it may be given the focus */
bool props_protocol(struct gui *g, const struct window *w, enum atom protocol);
void props_wish(struct gui *g, struct window *w); /* the state it wants to be shown in */
event_fn property_notify, client_message;
message_fn on_flags;

/* pixels.c, share.c */
void pixels_start(struct gui *g);
void pixels_show(struct gui *g, struct window *w); /* mapped, or of another size */
void pixels_hide(struct gui *g, struct window *w);
tell_fn pixels_dump, pixels_read;
event_fn damage_notify;
const char *share_open(struct gui *g);
struct pages *share_new(struct gui *g, size_t n); /* NULL, errno */
void share_free(struct gui *g, struct pages *p);

/* input.c */
void input_start(struct gui *g);
void input_release(struct gui *g); /* all that is down */
void input_gone(struct gui *g, const struct window *w);
void input_tell(struct gui *g);
event_fn cursor_notify;
message_fn on_key, on_button, on_motion, on_crossing, on_focus, on_keymap;

/* tray.c: what a window manager and a tray say of themselves, and icons */
void wm_start(struct gui *g);
void wm_screen(struct gui *g);
void tray_start(struct gui *g);
void tray_dock(struct gui *g, xcb_window_t icon);
void tray_lost(struct gui *g, xcb_window_t parent, xcb_window_t icon);

/* clip.c */
event_fn selection_clear, selection_request, selection_notify;
void clip_piece(struct gui *g, const xcb_property_notify_event_t *e); /* of our own window */
message_fn on_clipboard_req, on_clipboard_data;

/* pure.c */
enum text { TEXT_UTF8, TEXT_LATIN1, TEXT_COMPOUND };
void text_title(char out[128], const void *text, size_t n, enum text kind); /* UTF-8, ended */
uint32_t input_glyph(const char *name); /* of X's cursor font; 0: none */

/* server.c: the qube's X server, when process 1 starts us */
bool server_wanted(void);		   /* then we are the qube's user from here on */
void server_start(uint32_t w, uint32_t h); /* keeps one that is there */

#endif
