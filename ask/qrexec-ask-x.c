/* SPDX-License-Identifier: ISC */
/*
 * The prompt's window: Xlib only. What other programs of the session send (XSendEvent) does not
 * count, and OK waits a second after each gain of the focus: nothing typed for another window
 * allows a call.
 */
#include <X11/Xatom.h>
#include <X11/Xlib.h>
#include <X11/Xutil.h>
#include <X11/keysym.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask/qrexec-ask.h"
#include "label.h"
#include "log.h"

#define OK_AFTER_MS 1000
#define ROWS 10
#define WIDTH 520
#define MARGIN 12
#define NONE ((size_t)-1)

enum part { P_LIST, P_OK, P_CANCEL, P_N };

struct window {
	struct loop *loop;
	window_fn *done;
	void *arg;
	const struct ask_msg *m; /* NULL: not shown */
	Display *d;
	Window w;
	GC gc;
	XFontStruct *font;
	Atom delete;
	int row; /* a line's height */
	size_t chosen, top;
	enum part part;
	bool focus;
	uint64_t ok_at;
	uint32_t timer;
};

static unsigned long
colour(struct window *w, const char *name)
{
	XColor c, exact;

	if (XAllocNamedColor(w->d, DefaultColormap(w->d, DefaultScreen(w->d)), name, &c, &exact) ==
	    0)
		return BlackPixel(w->d, DefaultScreen(w->d));
	return c.pixel;
}

static void
fill(struct window *w, const char *name, int x, int y, int width, int height)
{
	XSetForeground(w->d, w->gc, colour(w, name));
	XFillRectangle(w->d, w->w, w->gc, x, y, (unsigned)width, (unsigned)height);
}

/* Text of whatever origin: escaped, cut to the window. */
static void
text(struct window *w, const char *ink, int x, int y, const char *before, const char *s)
{
	char line[LOG_ESC_MAX + 64], safe[LOG_ESC_MAX];
	int n;

	log_escs(safe, sizeof(safe), s);
	n = snprintf(line, sizeof(line), "%s%s", before, safe);
	while (n > 0 && XTextWidth(w->font, line, n) > WIDTH - MARGIN - x)
		n--;
	XSetForeground(w->d, w->gc, colour(w, ink));
	XDrawString(w->d, w->w, w->gc, x, y + w->font->ascent, line, n);
}

static bool
ok_ready(const struct window *w)
{
	return w->m != NULL && w->focus && now_ms() >= w->ok_at && w->chosen != NONE;
}

static int
list_y(const struct window *w)
{
	return MARGIN + 4 * w->row;
}

static int
button_y(const struct window *w)
{
	return list_y(w) + (ROWS + 1) * w->row;
}

static void
draw_row(struct window *w, size_t i)
{
	const char *icon = w->m->icons[i], *dash = icon != NULL ? strrchr(icon, '-') : NULL;
	int y = list_y(w) + (int)(i - w->top) * w->row;
	const struct label *label = dash != NULL ? label_named(dash + 1) : NULL;
	bool on = i == w->chosen;
	char rgb[8];

	fill(w, on ? "#3465a4" : "white", MARGIN, y, WIDTH - 2 * MARGIN, w->row);
	if (label != NULL) {
		snprintf(rgb, sizeof rgb, "#%06x", (unsigned)label->rgb);
		fill(w, rgb, MARGIN + 4, y + 3, w->row - 6, w->row - 6);
	}
	text(w, on ? "white" : "black", MARGIN + w->row + 4, y + 2, "", w->m->targets[i]);
}

static void
draw_button(struct window *w, enum part part, const char *name, bool ready)
{
	int x = part == P_OK ? MARGIN : WIDTH / 2 + MARGIN / 2, y = button_y(w);
	int width = WIDTH / 2 - MARGIN - MARGIN / 2;

	fill(w, w->part == part ? "black" : "#999999", x, y, width, w->row + 8);
	fill(w, ready ? "white" : "#cccccc", x + 2, y + 2, width - 4, w->row + 4);
	text(w, ready ? "black" : "#999999", x + MARGIN, y + 6, "", name);
}

static void
draw(struct window *w)
{
	const struct ask_msg *m = w->m;

	XClearWindow(w->d, w->w);
	text(w, "black", MARGIN, MARGIN, "Source:   ", m->source);
	text(w, "black", MARGIN, MARGIN + w->row, "Service:  ", m->service);
	text(w, "black", MARGIN, MARGIN + 2 * w->row, "Argument: ", m->argument);
	text(w, "black", MARGIN, MARGIN + 3 * w->row, "Allow to which target?", "");
	for (size_t i = w->top; i < m->ntargets && i < w->top + ROWS; i++)
		draw_row(w, i);
	draw_button(w, P_OK, "OK", ok_ready(w));
	draw_button(w, P_CANCEL, "Cancel", true);
	XFlush(w->d);
}

static loop_fn on_timer;

static void
focus(struct window *w, bool gained)
{
	w->focus = gained;
	w->ok_at = now_ms() + OK_AFTER_MS;
	loop_cancel(w->loop, w->timer);
	w->timer = gained ? loop_after(w->loop, OK_AFTER_MS, on_timer, w) : 0;
}

static void
choose(struct window *w, size_t i)
{
	w->chosen = i < w->m->ntargets ? i : w->m->ntargets - 1;
	if (w->chosen < w->top)
		w->top = w->chosen;
	if (w->chosen >= w->top + ROWS)
		w->top = w->chosen - ROWS + 1;
}

static void
finish(struct window *w, const char *choice)
{
	window_hide(w);
	w->done(w->arg, choice);
}

static void
press(struct window *w, enum part part)
{
	if (part == P_CANCEL)
		finish(w, NULL);
	else if (ok_ready(w))
		finish(w, w->m->targets[w->chosen]);
}

static void
on_key(struct window *w, XKeyEvent *e)
{
	size_t at = w->chosen == NONE ? 0 : w->chosen;

	switch (XLookupKeysym(e, 0)) {
	case XK_Escape:
		finish(w, NULL);
		return;
	case XK_Return:
	case XK_KP_Enter:
		press(w, w->part);
		return;
	case XK_space:
		if (w->part != P_LIST)
			press(w, w->part);
		return;
	case XK_Tab:
		w->part = (w->part + (e->state & ShiftMask ? P_N - 1 : 1)) % P_N;
		break;
	case XK_Up:
		choose(w, at > 0 ? at - 1 : 0);
		break;
	case XK_Down:
		choose(w, w->chosen == NONE ? 0 : at + 1);
		break;
	case XK_Page_Up:
		choose(w, at > ROWS ? at - ROWS : 0);
		break;
	case XK_Page_Down:
		choose(w, at + ROWS);
		break;
	case XK_Home:
		choose(w, 0);
		break;
	case XK_End:
		choose(w, w->m->ntargets - 1);
		break;
	default:
		return;
	}
	draw(w);
}

static void
on_button(struct window *w, const XButtonEvent *e)
{
	int in_list = (e->y - list_y(w)) / w->row;

	if (e->button == Button4 || e->button == Button5) {
		if (e->button == Button4 && w->top > 0)
			w->top--;
		if (e->button == Button5 && w->top + ROWS < w->m->ntargets)
			w->top++;
	} else if (e->button == Button1 && e->y >= button_y(w) && e->y < button_y(w) + w->row + 8) {
		press(w, e->x < WIDTH / 2 ? P_OK : P_CANCEL);
		return;
	} else if (e->button == Button1 && e->y >= list_y(w) && in_list < ROWS &&
		   w->top + (size_t)in_list < w->m->ntargets) {
		choose(w, w->top + (size_t)in_list);
	}
	draw(w);
}

static void
on_event(struct window *w, XEvent *e)
{
	if (w->m == NULL)
		return;
	if (e->type == ClientMessage && (Atom)e->xclient.data.l[0] == w->delete) {
		finish(w, NULL);
		return;
	}
	if (e->xany.send_event)
		return;
	if (e->type == KeyPress)
		on_key(w, &e->xkey);
	else if (e->type == ButtonPress)
		on_button(w, &e->xbutton);
	else if (e->type == FocusIn || e->type == FocusOut)
		focus(w, e->type == FocusIn);
	if (w->m != NULL && e->type != KeyPress && e->type != ButtonPress)
		draw(w);
}

/* Takes in all that Xlib has read, here or on the way of a request. */
static void
turn(struct window *w)
{
	XEvent e;

	while (XPending(w->d) > 0) {
		XNextEvent(w->d, &e);
		on_event(w, &e);
	}
}

static void
on_timer(struct loop *l, int fd, short revents, void *arg)
{
	struct window *w = arg;

	(void)l;
	(void)fd;
	(void)revents;
	w->timer = 0;
	if (w->m != NULL)
		draw(w);
	turn(w); /* drawing may have read events: nothing would wake us for them */
}

static void
on_display(struct loop *l, int fd, short revents, void *arg)
{
	(void)l;
	(void)fd;
	(void)revents;
	turn(arg);
}

static void
set_atom(struct window *w, const char *property, const char *value)
{
	Atom a = XInternAtom(w->d, value, False);

	XChangeProperty(w->d, w->w, XInternAtom(w->d, property, False), XA_ATOM, 32,
	    PropModeReplace, (const unsigned char *)&a, 1);
}

static void
describe(struct window *w)
{
	XSizeHints size = {.flags = PMinSize | PMaxSize | PSize};
	XWMHints hints = {.flags = InputHint, .input = True};
	XClassHint class = {.res_name = (char *)"qrexec-ask", .res_class = (char *)"qrexec-ask"};

	size.width = size.min_width = size.max_width = WIDTH;
	size.height = size.min_height = size.max_height = button_y(w) + w->row + 8 + MARGIN;
	XResizeWindow(w->d, w->w, WIDTH, (unsigned)size.height);
	XSetWMProperties(w->d, w->w, NULL, NULL, NULL, 0, &size, &hints, &class);
	XStoreName(w->d, w->w, "A qube asks (dom0)");
	set_atom(w, "_NET_WM_WINDOW_TYPE", "_NET_WM_WINDOW_TYPE_DIALOG");
	set_atom(w, "_NET_WM_STATE", "_NET_WM_STATE_ABOVE");
	XSetWMProtocols(w->d, w->w, &w->delete, 1);
}

struct window *
window_open(struct loop *l, window_fn *done, void *arg)
{
	Display *d = XOpenDisplay(NULL);
	struct window *w = d != NULL ? calloc(1, sizeof(*w)) : NULL;
	int screen;

	if (w == NULL)
		return NULL;
	*w = (struct window){.loop = l, .done = done, .arg = arg, .d = d};
	screen = DefaultScreen(d);
	w->font = XLoadQueryFont(d, "9x15");
	if (w->font == NULL)
		w->font = XLoadQueryFont(d, "fixed");
	if (w->font == NULL)
		die("the display has not even the font \"fixed\"");
	w->row = w->font->ascent + w->font->descent + 4;
	w->w = XCreateSimpleWindow(d, RootWindow(d, screen), 0, 0, WIDTH, 100, 1,
	    BlackPixel(d, screen), colour(w, "#eeeeee"));
	w->gc = XCreateGC(d, w->w, 0, NULL);
	XSetFont(d, w->gc, w->font->fid);
	w->delete = XInternAtom(d, "WM_DELETE_WINDOW", False);
	describe(w);
	XSelectInput(d, w->w, ExposureMask | KeyPressMask | ButtonPressMask | FocusChangeMask);
	XFlush(d);
	return loop_add(l, ConnectionNumber(d), POLLIN, on_display, w) ? w : NULL;
}

void
window_show(struct window *w, const struct ask_msg *m)
{
	w->m = m;
	w->chosen = NONE;
	w->top = 0;
	w->part = P_LIST;
	focus(w, false);
	for (size_t i = 0; i < m->ntargets; i++) {
		if (strcmp(m->targets[i], m->default_target) == 0)
			choose(w, i);
	}
	set_atom(w, "_NET_WM_STATE",
	    "_NET_WM_STATE_ABOVE"); /* window managers take it off when unmapped */
	XMapRaised(w->d, w->w);
	turn(w);
	XFlush(w->d);
}

void
window_hide(struct window *w)
{
	w->m = NULL;
	loop_cancel(w->loop, w->timer);
	w->timer = 0;
	XWithdrawWindow(w->d, w->w, DefaultScreen(w->d));
	XFlush(w->d);
}
