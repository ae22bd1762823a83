/* SPDX-License-Identifier: ISC */
/* The channel to the agent: bytes become whole messages, checked by the table, and handlers act. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "guid.h"

#define PARSE_LOOK 32u /* messages between two looks at whether X takes what comes of them */
#define COALESCE 4096u /* bytes that wait: from there on the pointer's way is not told in full */
#define NO_WINDOW UINT32_MAX
/* Of what a window manager hears: it may read slowly, and nobody tells us whether it does. */
#define HEARD_BURST 2000
#define HEARD_PER_S 500

/* An unknown window; whichever; one that X has lost; each window may be told of what X shows; the
 * window manager hears of it. */
enum { NEW = 1, ANY = 2, EVEN_LOST = 4, SHOWS = 8, HEARD = 16 };

/* All that an agent may say. */
static const struct message {
	message_fn *fn;
	unsigned window;
} messages[GUI_LAST - GUI_FIRST + 1] = {
    [GUI_CREATE - GUI_FIRST] = {on_create, NEW},
    [GUI_DESTROY - GUI_FIRST] = {on_destroy, EVEN_LOST | SHOWS},
    [GUI_MAP - GUI_FIRST] = {on_map, SHOWS | HEARD},
    [GUI_UNMAP - GUI_FIRST] = {on_unmap, SHOWS | HEARD},
    [GUI_CONFIGURE - GUI_FIRST] = {on_configure, SHOWS | HEARD},
    [GUI_SHMIMAGE - GUI_FIRST] = {on_shmimage, 0},
    [GUI_CLIPBOARD_DATA - GUI_FIRST] = {on_clipboard, ANY},
    [GUI_WMNAME - GUI_FIRST] = {on_wmname, HEARD},
    [GUI_DOCK - GUI_FIRST] = {on_dock, SHOWS | HEARD},
    [GUI_WINDOW_HINTS - GUI_FIRST] = {on_hints, HEARD},
    [GUI_WINDOW_FLAGS - GUI_FIRST] = {on_flags, HEARD},
    [GUI_WMCLASS - GUI_FIRST] = {on_wmclass, HEARD},
    [GUI_WINDOW_DUMP - GUI_FIRST] = {on_dump, EVEN_LOST},
    [GUI_CURSOR - GUI_FIRST] = {on_cursor, 0},
};

void
fatal(struct gui *g, uint32_t window, const char *fmt, ...)
{
	char text[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (!g->link.over)
		logit("agent, window 0x%x: %s: its session ends", window, text);
	g->link.over = true;
	loop_stop(g->loop, 1);
}

/* ---- what is sent ---- */

static void
put(struct gui *g, enum gui_type type, uint32_t window, const void *body, size_t n)
{
	if (!gui_put(&g->link, type, window, body, n, NULL, 0))
		fatal(g, window, "it does not read: %zu bytes wait for it (limit %u)",
		    g->link.out.len, SEND_MAX);
}

static void
put_motion(struct gui *g)
{
	const uint32_t window = g->agent.motion_window;

	g->agent.motion_window = NO_WINDOW;
	if (window != NO_WINDOW)
		put(g, GUI_MOTION, window, &g->agent.motion, sizeof g->agent.motion);
}

void
agent_send(struct gui *g, enum gui_type type, uint32_t window, const void *body, size_t n)
{
	if (!g->link.hello || g->link.over)
		return;
	put_motion(g);
	put(g, type, window, body, n);
}

void
agent_motion(struct gui *g, uint32_t window, const struct gui_motion *m)
{
	if (g->link.out.len < COALESCE) {
		agent_send(g, GUI_MOTION, window, m, sizeof *m);
		return;
	}
	if (g->agent.motion_window != window)
		put_motion(g);
	g->agent.motion = *m;
	g->agent.motion_window = window;
}

void
agent_flush(struct gui *g)
{
	gui_flush(&g->link);
	if (g->link.out.len < COALESCE && g->agent.motion_window != NO_WINDOW) {
		put_motion(g);
		gui_flush(&g->link);
	}
}

/* ---- what comes ---- */

/* spec/gui 1: its version, ours if it wants it, the screen. */
static void
handshake(struct gui *g)
{
	struct gui_link *k = &g->link;
	const uint32_t w = ((uint32_t)g->root.w + 7) & ~7u, h = (uint32_t)g->root.h;
	const struct gui_xconf conf = {.w = w, .h = h, .depth = g->x.depth, .mem = w * h / 256 + 1};
	uint32_t version, ours;

	memcpy(&version, buf_bytes(&k->in), sizeof version);
	if (version >> 16 != GUI_MAJOR) {
		fatal(g, 0, "protocol %u.%u: here is %u.%u", version >> 16, version & 0xffff,
		    GUI_MAJOR, GUI_MINOR);
		return;
	}
	buf_eat(&k->in, sizeof version);
	k->minor = (version & 0xffff) < GUI_MINOR ? version & 0xffff : GUI_MINOR;
	ours = GUI_VERSION(k->minor);
	if ((k->minor >= GUI_TWO_WAY && !buf_put(&k->out, &ours, sizeof ours)) ||
	    !buf_put(&k->out, &conf, sizeof conf))
		fatal(g, 0, "no memory");
	k->hello = true;
}

/* The length of this message's body, which may be another than it says (spec/gui 2). */
static bool
body_length(struct gui *g, const struct gui_hdr *h, size_t *n)
{
	const char *name = GUI_TYPE(h->type).name;
	const uint16_t fixed = GUI_TYPE(h->type).len;
	const bool old = g->link.minor < GUI_CLIPBOARD_LEN;
	const uint32_t said = h->type == GUI_CLIPBOARD_DATA && old ? h->window : h->untrusted_len;
	uint32_t most = sizeof(struct gui_dump) + 4 * GUI_REFS_MAX;

	if (h->type == GUI_CLIPBOARD_DATA)
		most = g->link.minor < GUI_BIG_CLIPBOARD ? GUI_CLIPBOARD_OLD : GUI_CLIPBOARD_MAX;
	*n = fixed == GUI_VARIES ? said : fixed;
	if (fixed == GUI_VARIES && said > most)
		fatal(g, h->window, "%s of %u bytes (limit %u)", name, said, most);
	else if (*n != said && g->link.minor >= GUI_STRICT)
		fatal(g, h->window, "%s of %u bytes, not %u", name, said, fixed);
	else if (*n != said)
		log_limited(
		    &g->agent.bad, "%s says that it is of %u bytes, not %u", name, said, fixed);
	return !g->link.over;
}

/* Whose message it is, unless of any window; false: it may not be sent at all, or not for this. */
static bool
whose(struct gui *g, const struct gui_hdr *h, struct window **w)
{
	const bool known = h->type >= GUI_FIRST && h->type <= GUI_LAST;
	const struct message *m = known ? &messages[h->type - GUI_FIRST] : NULL;

	if (m == NULL || m->fn == NULL) {
		fatal(g, h->window, "a message of type %u: not an agent's", h->type);
		return false;
	}
	*w = m->window & ANY ? NULL : window_by_id(g, h->window);
	if (m->window & ANY || (*w == NULL) == ((m->window & NEW) != 0))
		return true;
	fatal(g, h->window, "%s of a window that %s", GUI_TYPE(h->type).name,
	    *w == NULL ? "does not exist" : "exists");
	return false;
}

bool
agent_heard(struct gui *g)
{
	struct pace *p = &g->pace;
	const uint64_t now = now_ms(), more = (now - p->filled) * HEARD_PER_S / 1000;

	if (more > 0) {
		p->heard = p->heard > more ? p->heard - more : 0;
		p->filled = now;
	}
	return p->heard < HEARD_BURST;
}

/* One more that the window manager hears of; false: not now. */
static bool
may_be_heard(struct gui *g, const struct message *m, const struct window *w)
{
	const bool managed = w != NULL && !w->override && (w->mapped || m->fn == on_map);

	if (!(m->window & HEARD) || !managed)
		return true;
	if (!agent_heard(g))
		return false;
	g->pace.heard++;
	return true;
}

/* False: there is no whole one, or it has to wait. */
static bool
one_message(struct gui *g)
{
	struct buf *in = &g->link.in;
	uint32_t fixed[32]; /* where it is aligned */
	struct window *w;
	struct body body;
	struct gui_hdr h;

	if (in->len < sizeof h)
		return false;
	memcpy(&h, buf_bytes(in), sizeof h);
	if (!whose(g, &h, &w) || !body_length(g, &h, &body.n) || in->len < sizeof h + body.n)
		return false;
	const struct message *const m = &messages[h.type - GUI_FIRST];
	if (!may_be_heard(g, m, w)) {
		g->agent.paused = true;
		return false;
	}
	body.window = h.window;
	body.p = buf_bytes(in) + sizeof h;
	if (GUI_TYPE(h.type).len != GUI_VARIES)
		body.p = memcpy(fixed, body.p, body.n);
	if (w == NULL || !w->lost || m->window & EVEN_LOST)
		m->fn(g, w, &body);
	if (m->window & SHOWS)
		g->pace.exposed += g->win.n;
	buf_eat(in, sizeof h + body.n);
	return !g->link.over;
}

void
agent_parse(struct gui *g)
{
	struct gui_link *k = &g->link;
	bool *paused = &g->agent.paused;

	*paused = false;
	if (!k->hello && !k->over && k->in.len >= 4)
		handshake(g);
	for (unsigned i = 0; k->hello && !k->over; i++) {
		*paused = !x_keeps_up(g) || (i % PARSE_LOOK == 0 && !x_takes(g));
		if (*paused || !one_message(g))
			break;
	}
	if (k->in.len == 0 && k->in.cap > GUI_CLIPBOARD_OLD)
		buf_free(&k->in); /* a large one came: it is not kept */
}

void
agent_take(struct gui *g, const void *p, size_t n)
{
	if (!buf_put(&g->link.in, p, n))
		fatal(g, 0, "no memory for %zu bytes", n);
	else
		agent_parse(g);
}
