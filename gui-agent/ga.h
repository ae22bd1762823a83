/* SPDX-License-Identifier: ISC */
/*
 * gui-agent: the windows of a qube's X server, told to Dom0's guid over the wire of
 * guid/gui-proto.h (spec/gui). What is to be told is kept as state, not as messages: a bit for each
 * kind of message of a window (enum due), sent when the channel has room, in one order. So a slow
 * guid costs no memory, and a new one is told everything by setting all the bits.
 */
#ifndef GA_H
#define GA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xcb/damage.h>
#include <xcb/xcb.h>

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
	X(WM_CHANGE_STATE) X(_NET_SUPPORTED) X(_NET_SUPPORTING_WM_CHECK) X(_NET_WM_NAME) \
	X(_NET_WM_STATE) X(_NET_WM_STATE_FULLSCREEN) X(_NET_WM_STATE_DEMANDS_ATTENTION) \
	X(_NET_WM_STATE_HIDDEN) X(_NET_ACTIVE_WINDOW) X(_NET_CLOSE_WINDOW) X(_NET_FRAME_EXTENTS) \
	X(_NET_REQUEST_FRAME_EXTENTS) X(_NET_NUMBER_OF_DESKTOPS) X(_NET_CURRENT_DESKTOP) \
	X(_NET_DESKTOP_GEOMETRY) X(_NET_WORKAREA) X(_NET_SYSTEM_TRAY_S0) \
	X(_NET_SYSTEM_TRAY_OPCODE) X(_NET_SYSTEM_TRAY_VISUAL) X(MANAGER) X(_XEMBED) X(CLIPBOARD) \
	X(TARGETS) X(INCR) X(UTF8_STRING) X(TEXT) X(QUBES_CLIPBOARD)
/* clang-format on */
enum atom {
#define A_(name) A_##name,
	ATOMS(A_)
#undef A_
	    ATOMS_N
};

/* In this order they are told. */
enum due {
	DUE_UNMAP = 1,
	DUE_CREATE = 2,
	DUE_CONFIGURE = 4,
	DUE_DUMP = 8,
	DUE_CLASS = 16,
	DUE_HINTS = 32,
	DUE_FLAGS = 64,
	DUE_SHOWN = 128, /* MAP, or DOCK */
	DUE_NAME = 256,
	DUE_PIXELS = 512,
	DUE_DESTROY = 1024,
	DUE_NEW = DUE_CREATE | DUE_CONFIGURE | DUE_DUMP | DUE_CLASS | DUE_HINTS | DUE_FLAGS |
		  DUE_SHOWN | DUE_NAME,
	DUES = 11
};

/* Memory that Dom0 may read, whole pages. */
struct pages {
	struct pages *next;
	uint8_t *p;
	uint64_t index; /* Xen: of the driver; else the first reference */
	size_t n;
	uint32_t refs[];
};

struct window {
	xcb_window_t id, icon; /* icon: what is embedded in this one of ours */
	struct window *same, *next_due;
	struct rect at; /* with its border */
	int border;
	uint8_t depth;
	bool known;    /* X has said what it is */
	bool override; /* as X has it */
	bool mapped;   /* in X, or an icon for the tray */
	bool ready;    /* and its properties are known: it may be told */
	bool gone;     /* X has it no more; its id is guid's until it has acknowledged DESTROY */
	bool again;    /* gone, and X has another one of that id */
	bool is_due;

	bool created, shown; /* guid knows */
	bool ack;	     /* guid waits for a CONFIGURE */
	unsigned due, dumps; /* dumps that guid has not acknowledged */

	xcb_window_t transient;
	char name[128];
	bool net_name;
	struct gui_wmclass class;
	struct gui_hints hints;
	struct gui_flags flags;
	uint32_t state; /* GUI_FULLSCREEN, ...: as the property says */
	bool no_input, urgent, deletes, takes_focus;

	xcb_pixmap_t pixmap;
	xcb_damage_damage_t damage;
	struct pages *pages, *retired;
	struct rect dirty, reading;
	size_t at_offset;
	uint32_t image, reading_image; /* which of all that ever were */
	bool is_reading, painted;      /* painted: the pages are its picture */
};

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

struct clip {
	struct buf data; /* what we own */
	struct buf in;	 /* what comes in pieces */
	uint32_t window; /* asked for by */
	bool asked, taken, incr, plain;
};

struct gui {
	struct loop *loop;
	struct x x;
	struct {
		xcb_window_t own; /* WM, selections */
		xcb_visualid_t visual;
		int w, h;
		uint8_t damage, fixes;
		bool randr;
	} screen;
	struct gui_link link;
	struct {
		uint32_t self, peer, w, h; /* w, h: of Dom0's screen */
		bool greeted, versioned;
	} dom0;
	struct {
		struct window *hash[WINDOW_HASH];
		size_t n;
		struct window *due, **due_last;
	} win;
	struct {
		int fd; /* gntalloc; a directory */
		uint32_t next;
	} share;
	struct {
		uint8_t *p;
		uint32_t seg, images;
		size_t used, reads;
		bool full; /* wait for what X reads */
		struct log_limit none;
	} px;
	struct {
		xcb_window_t pointer, focus;
		uint8_t down[32], modifier[32];
		uint8_t lock_key[2]; /* of Lock and Mod2 */
		int locks;	     /* -1: not known */
		uint16_t buttons;
		uint32_t cursor;
	} in;
	struct clip clip;
};

/* link.c: the channel */
void link_open(struct gui *g);
void link_watch(struct gui *g); /* before each poll */
bool link_room(const struct gui *g);
void link_send(struct gui *g, enum gui_type type, uint32_t window, const void *body, size_t n);
void link_send2(struct gui *g, enum gui_type type, uint32_t window, const void *a, size_t n,
    const void *b, size_t m);
void link_turn(struct gui *g);		       /* after what came: gui-agent.c */
void link_bad(struct gui *g, const char *why); /* this guid's session ends */

/* x.c: the screen, what comes */
void screen_open(struct gui *g);
void screen_fit(struct gui *g); /* as large as Dom0's, if it can be */
bool screen_turn(struct gui *g); /* something came */
void wm_start(struct gui *g);
void wm_screen(struct gui *g);

/* window.c: which there are, and what guid is to be told of them */
struct window *window_find(const struct gui *g, uint32_t id);
struct window *window_new(struct gui *g, xcb_window_t id, struct rect outer, int border);
void window_due(struct gui *g, struct window *w, unsigned due);
void window_ready(struct gui *g, struct window *w);
void windows_tell(struct gui *g);
void windows_again(struct gui *g); /* a new guid */
void windows_scan(struct gui *g);
void window_event(struct gui *g, const xcb_generic_event_t *e);
message_fn on_destroyed, on_map, on_configure, on_close, on_dump_ack;

/* props.c: what clients say of their windows */
void props_ask(struct gui *g, struct window *w); /* all; then window_ready */
void props_changed(struct gui *g, const xcb_property_notify_event_t *e);
void props_state(struct gui *g, struct window *w, uint32_t state);
void props_message(struct gui *g, const xcb_client_message_event_t *e);
message_fn on_flags;

/* pixels.c, share.c */
void pixels_start(struct gui *g);
void pixels_show(struct gui *g, struct window *w); /* mapped, or of another size */
void pixels_hide(struct gui *g, struct window *w);
void pixels_dump(struct gui *g, struct window *w);
void pixels_damage(struct gui *g, const xcb_damage_notify_event_t *e);
void pixels_all(struct gui *g, struct window *w);
void pixels_read(struct gui *g, struct window *w);
void pixels_forget(struct gui *g, struct window *w);
const char *share_open(struct gui *g);
struct pages *share_new(struct gui *g, size_t n); /* NULL, errno */
void share_free(struct gui *g, struct pages *p);

/* input.c */
void input_start(struct gui *g);
void input_mapping(struct gui *g);
void input_release(struct gui *g); /* all that is down */
void input_gone(struct gui *g, const struct window *w);
void input_cursor(struct gui *g, xcb_atom_t name);
message_fn on_key, on_button, on_motion, on_crossing, on_focus, on_keymap;

/* tray.c */
void tray_start(struct gui *g);
void tray_dock(struct gui *g, xcb_window_t icon);
void tray_lost(struct gui *g, xcb_window_t parent, xcb_window_t icon);

/* clip.c */
void clip_event(struct gui *g, const xcb_generic_event_t *e);
bool clip_property(struct gui *g, const xcb_property_notify_event_t *e);
message_fn on_clipboard_req, on_clipboard_data;

/* pure.c */
void text_title(char out[128], const uint8_t *p, size_t n, bool latin1); /* UTF-8, ended */
uint32_t input_glyph(const char *name); /* of X's cursor font; 0: none */

/* server.c: the qube's X server, when process 1 starts us */
bool server_wanted(char *user, char *layout, size_t size);
void server_user(const char *user);
void server_start(char *layout, uint32_t w, uint32_t h); /* keeps one that is there */

#endif
