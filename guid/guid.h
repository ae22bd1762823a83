/* SPDX-License-Identifier: ISC */
/*
 * guid: one per qube, shows its windows. One struct, one poll loop, nothing waits.
 *   agent.c     the channel: handshake, whole messages, what waits to be sent
 *   x.c         the X server: requests, replies, events, errors
 *   window.c    the windows: table, life, configure hand-shake
 *   override.c  override-redirect windows: which, where, below what
 *   pixels.c    what is in them
 *   input.c     keys, pointer, focus
 *   hints.c     names, size hints, flags, cursor
 *   tray.c      icons
 *   clip.c      clipboard
 *   options.c setup.c   command line, configuration; what is taken before the sandbox
 *
 * Each window is two of X's, so that its border is a fact of the tree and not of what is drawn: F,
 * filled by X with the label's colour, on which nothing is ever drawn, and in it C, the content,
 * the only drawable that a qube's pixels reach:
 *
 *   normal              F = the qube's geometry + 2 * frame, C the qube's, at (frame, frame)
 *   override-redirect   F = the qube's geometry, C smaller by OVERRIDE_BORDER on each side
 *   in the tray         F as the tray has it, C smaller by the tray's border, or tinted
 *   full screen         with allow_fullscreen F = C, else as normal
 *
 * Two windows in F's colour lie over C along F's right and lower edges, where X itself keeps them:
 * also while F has become smaller and C has not yet, nothing of C is where the border has to be.
 */
#ifndef GUID_H
#define GUID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <xcb/shm.h>

#include "display/gui-link.h"
#include "display/x.h"
#include "grant.h"
#include "icons/tint.h"
#include "log.h"
#include "loop.h"
#include "names.h"
#include "rpc/control.h"

#define WINDOWS_MAX 10000u
#define FRAME 4 /* pixels around a normal window, unless configured */
#define FRAME_MAX 32
#define OVERRIDE_BORDER 2
#define COVER_PERCENT 90 /* of the work area: no override-redirect window is larger */
#define SEND_MAX (1u << 20)
#define NAMES_MAX 10
#define SEGMENT_MAX (64u << 20) /* bytes of one of the two segments shared with X */

/* What a client says to the window manager, through the root window. */
#define TO_MANAGER (XCB_EVENT_MASK_SUBSTRUCTURE_NOTIFY | XCB_EVENT_MASK_SUBSTRUCTURE_REDIRECT)

/* clang-format off */
#define ATOMS(X) \
	X(MANAGER) X(UTF8_STRING) X(WM_CHANGE_STATE) X(WM_DELETE_WINDOW) X(WM_PROTOCOLS) \
	X(_NET_CURRENT_DESKTOP) X(_NET_FRAME_EXTENTS) X(_NET_SYSTEM_TRAY_OPCODE) \
	X(_NET_WM_ICON_NAME) X(_NET_WM_NAME) X(_NET_WM_PID) X(_NET_WM_PING) X(_NET_WM_STATE) \
	X(_NET_WM_STATE_DEMANDS_ATTENTION) X(_NET_WM_STATE_FULLSCREEN) X(_NET_WM_STATE_HIDDEN) \
	X(_NET_WM_STATE_MAXIMIZED_HORZ) X(_NET_WM_STATE_MAXIMIZED_VERT) X(_NET_WM_USER_TIME) \
	X(_NET_WORKAREA) X(_NET_SUPPORTED) X(_QUBES_LABEL) X(_QUBES_LABEL_COLOR) \
	X(_QUBES_VMNAME) X(_QUBES_VMWINDOWID) X(_XEMBED) X(_XEMBED_INFO)
/* clang-format on */
enum {
#define ATOM_X(name) A_##name,
	ATOMS(ATOM_X)
#undef ATOM_X
	    A_TRAY, /* _NET_SYSTEM_TRAY_Sn */
	A_N
};

enum { AGAIN = 75 }; /* exit status by hand: the agent has gone, wait for it again */

struct prop { /* -p NAME=TYPE:VALUE */
	const char *name;
	const void *data; /* n bytes or words: that text, or these words */
	uint32_t n, words[32];
	uint8_t format;
	xcb_atom_t type, atom; /* atom: once X is there */
};

#define TEXT_SIZE 32 /* a qube's name, a colour: with its NUL */
struct options {
	const char *session; /* managed, or NULL */
	char name[TEXT_SIZE], color[TEXT_SIZE], background_color[TEXT_SIZE];
	char display[TEXT_SIZE]; /* managed: ":N" or ":N.S" */
	uint32_t domid, qid, label, ignored;
	uint32_t rgb;
	bool foreground, background, invisible, title_name;
	uint32_t kill_pid;
	bool fullscreen, utf8, protect, override_allowed;
	bool tint, pale; /* the tray; pale: half the saturation */
	int tray_border, frame;
	uint32_t startup_timeout;
	const char *lockers[NAMES_MAX + 2]; /* prompts, and NULL, too */
	size_t nlockers;
	struct prop props[NAMES_MAX];
	size_t nprops;
};

struct image {
	struct grant grant;
	int w, h;
	size_t n;
	uint32_t refs[]; /* as they came, to know them again */
};

enum key { BY_ID, BY_F, BY_C, KEYS };
LIST_HEAD(list, window);

struct window {
	LIST_ENTRY(window) all, damaged, same[KEYS];
	union {
		struct {
			uint32_t id;
			xcb_window_t f, c;
		};
		uint32_t key[KEYS];
	};
	xcb_window_t edge[2]; /* the right and the lower part of the border */
	struct rect at;	      /* as the qube has it: on the root window, without our frame */
	int inset, off;	      /* of C in F; of C in the qube's window */
	int placed_at;	      /* inset, as X has it */
	int edge_at;	      /* and as the edges were placed for */
	uint32_t edge_seq;    /* sequence of that */
	int fw, fh, cw, ch;   /* F and C as X has them; cw 0: C is not mapped */
	int ext_x, ext_y;     /* what the window manager adds left and above */
	uint32_t placed;      /* sequence of our last request that moves F */
	uint32_t mapped_seq;  /* and of the last that maps or unmaps it */
	bool override, mapped, queued, lost, reparented, full, dirty;
	bool low; /* at the bottom, until it is known where lockers and prompts are */
	enum { NOT_DOCKED, DOCKED, EMBEDDED } docked;
	uint32_t flags;		  /* GUI_FULLSCREEN ..., as the window manager has them */
	struct window *transient; /* for it */
	struct list followers;	  /* that are transient for this one */
	LIST_ENTRY(window) follower;
	struct rect damage; /* of C */
	struct image *image;
};

struct agent {
	bool paused;
	struct gui_motion motion; /* the last one, while the agent does not read */
	uint32_t motion_window;	  /* UINT32_MAX: there is none */
	struct log_limit bad;
};

/* How far X is: never a wait for it. */
struct pace {
	bool full;	  /* X does not take more now */
	uint64_t looked;  /* bytes that had been written when that was found out */
	bool asked;	  /* an answer is to come, after all events of what was sent before */
	uint64_t marked;  /* bytes that had been written when it was asked for */
	uint32_t exposed; /* windows that X may have told us of since */
	uint64_t heard; /* messages that a window manager has heard of, less those that it must have
			   read */
	uint64_t filled; /* ms: until when that is counted */
	uint32_t again;	 /* timer: go on with what waits here */
};

#define BUCKETS 4096u
struct windows {
	struct list all, damaged, at[KEYS][BUCKETS];
	uint32_t n, seed;
};

struct segment {
	int fd;
	uint8_t *p;
	xcb_shm_seg_t seg;
	size_t size, used; /* of this filling; of it */
	size_t high;	   /* as far as it has memory */
	bool busy;	   /* X has not said yet that it has read all */
	uint32_t last;	   /* sequence of its last put */
};
struct pixels {
	struct segment seg[2];
	unsigned now;
	size_t pages; /* mapped of the qube's */
	xcb_gcontext_t gc;
	uint8_t completion; /* type of that event */
	const char *qgnt;   /* by hand: where its pages are files, or NULL */
	struct tint tint;   /* of icons in the tray */
	struct log_limit full, cut;
};

/* A locker or prompt: it, and root's child in which it is, as far as that is known. */
#define ABOVE_MAX 32
struct above {
	xcb_window_t client, frame;
	bool shown, told; /* frame is mapped; by an event */
};

struct gui {
	struct loop *loop;
	struct options o;
	struct gui_link link; /* to the agent */
	struct agent agent;
	struct x x;
	struct pace pace;
	xcb_timestamp_t time; /* of the last input */
	uint32_t background;
	struct windows win;
	struct pixels px;
	struct rect root, work;
	uint32_t desktop;
	bool makes_full; /* the window manager */
	xcb_window_t tray;
	struct above above[ABOVE_MAX];
	unsigned orders; /* of root's children, wanted since it was asked for */
	uint32_t focus;	 /* F whose keymap is to come, or 0 */
	struct gui_focus focus_event;
	xcb_cursor_t cursor;
	xcb_font_t cursor_font;
	struct control control;
	gid_t people;
	int screen, ready, inotify;
	pid_t pid;
	char host[65];
	struct log_limit clip, x_errors;
};

/* w: whose event it is; NULL: none of ours. */
typedef void event_fn(struct gui *g, struct window *w, const xcb_generic_event_t *e);

/* --- agent.c --- */
/* Of a message: aligned, and as long as it has to be, unless it is a GUI_VARIES. Its window: NULL
 * if it is new, or may be any. */
struct body {
	uint32_t window;
	const void *p;
	size_t n;
};
typedef void message_fn(struct gui *g, struct window *w, const struct body *untrusted);
bool agent_heard(struct gui *g); /* whether a window manager may hear of more */
void agent_take(struct gui *g, const void *p, size_t n); /* bytes of the agent's */
void agent_parse(struct gui *g);			 /* what is whole */
void agent_send(struct gui *g, enum gui_type type, uint32_t window, const void *body, size_t n);
void agent_motion(struct gui *g, uint32_t window, const struct gui_motion *m);
/* Bytes that wait for the agent are as many as there may be. */
void agent_flush(struct gui *g);
/* What it did ends this daemon, and nothing else: one line, status 1. */
void fatal(struct gui *g, uint32_t window, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
message_fn on_create, on_destroy, on_map, on_unmap, on_configure, on_shmimage, on_clipboard,
    on_wmname, on_dock, on_hints, on_flags, on_wmclass, on_dump, on_cursor;

/* --- guid.c --- */
void turn(struct gui *g); /* the end of each callback: puts, and sends all */

/* --- window.c --- */
struct window *window_by_id(struct gui *g, uint32_t id);
struct window *window_by_x(struct gui *g, xcb_window_t x); /* F or C */
void window_kind(struct gui *g, struct window *w);	   /* what its borders are */
void window_place(struct gui *g, struct window *w);	   /* F and C, as w->at is */
void window_report(struct gui *g, struct window *w);	   /* w->at, unless one waits */
void window_resized(struct gui *g, struct window *w); /* C, after another border or size of F */
void window_map(struct gui *g, struct window *w);
void window_unmap(struct gui *g, struct window *w);
void window_lost(struct gui *g, struct window *w);
void window_moved(struct gui *g, struct window *w, const struct rect *at);
void window_say_place(struct gui *g, const struct window *w); /* w->at, to the agent */
event_fn on_configure_notify, on_map_notify, on_reparent_notify, on_gone;

/* --- override.c --- */
bool override_may(const struct gui *g, const struct window *w, bool wanted);
void override_fit(const struct gui *g, struct window *w, bool moved); /* w->at, on the screen */
void override_set(struct gui *g, struct window *w, bool on);
void override_stack(struct gui *g, struct window *w);
/* A window that has another parent: is it one that stays above? */
void override_look(struct gui *g, xcb_window_t x);
void override_shown(struct gui *g, xcb_window_t x, bool shown); /* root's child */
void override_gone(struct gui *g, xcb_window_t x);
void override_start(struct gui *g);

/* --- pixels.c --- */
void pixels_start(struct gui *g); /* the segments; before the sandbox */
void pixels_drop(struct gui *g, struct window *w);
void pixels_damage(struct gui *g, struct window *w, struct rect r); /* r: of C */
void pixels_undirty(struct window *w);
void pixels_paint(struct gui *g);
void pixels_failed(struct gui *g, uint32_t sequence); /* an error of a request */
event_fn on_expose, on_completion;

/* --- x.c, x-start.c --- */
void x_start(struct gui *g); /* with g->x.c connected; waits; exits if X is not as needed */
bool x_takes(struct gui *g); /* whether it would take what we send */
/* What we tell X makes events, which it keeps for us without a limit: whether as much as there may
 * be of them is not read yet. Else the agent waits; never a wait for X. */
bool x_keeps_up(struct gui *g);
void x_flush(struct gui *g);
void x_manager(struct gui *g, xcb_window_t about, xcb_atom_t type, const uint32_t data[5]);

/* --- input.c --- */
event_fn on_press, on_motion, on_crossing, on_focus, on_keymap;
void input_focus_flush(struct gui *g);

/* --- hints.c --- */
void hints_new(struct gui *g, struct window *w);
void hints_transient(struct gui *g, struct window *w, struct window *to);
event_fn on_property, on_client_message;
void hints_start(struct gui *g);

/* --- tray.c --- */
void tray_start(struct gui *g);
void tray_dock(struct gui *g, struct window *w);
void tray_embedded(struct gui *g, struct window *w);
void tray_lost(struct gui *g, struct window *w);
void tray_owner(struct gui *g); /* asks who it is now */

/* --- options.c --- */
void options(struct gui *g, int argc, char **argv);

/* --- setup.c --- */
void setup(struct gui *g);
void enter_sandbox(struct gui *g);

#endif
