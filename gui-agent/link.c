/* SPDX-License-Identifier: ISC */
/* The channel to guid, whose server we are: handshake, messages, a queue with a bound (spec/gui 1
 * to 3). A guid that goes, or makes no sense, loses its session; the next one is told everything.
 */
#include <string.h>

#include "ga.h"

#define READ_SIZE 65536u
#define OLD_DAEMON 3u /* the newest of those that say no version */

enum { NO_WINDOW = 1, GONE = 2 }; /* is of none, or of whichever; of one that X has no more, too */

static const struct {
	message_fn *fn;
	unsigned how;
} messages[GUI_LAST - GUI_FIRST + 1] = {
#define M(name) [GUI_##name - GUI_FIRST]
    M(KEYPRESS) = {on_key, 0},
    M(BUTTON) = {on_button, 0},
    M(MOTION) = {on_motion, 0},
    M(CROSSING) = {on_crossing, 0},
    M(FOCUS) = {on_focus, 0},
    M(DESTROY) = {on_destroyed, GONE},
    M(MAP) = {on_map, 0},
    M(CONFIGURE) = {on_configure, 0},
    M(CLOSE) = {on_close, 0},
    M(CLIPBOARD_REQ) = {on_clipboard_req, NO_WINDOW},
    M(CLIPBOARD_DATA) = {on_clipboard_data, NO_WINDOW},
    M(KEYMAP_NOTIFY) = {on_keymap, NO_WINDOW},
    M(WINDOW_FLAGS) = {on_flags, 0},
    M(WINDOW_DUMP_ACK) = {on_dump_ack, GONE},
#undef M
};

/* With which version of the protocol they came. */
static uint32_t
since(enum gui_type type)
{
	return type == GUI_WMCLASS ? 1 : type == GUI_WINDOW_DUMP ? 2 : type == GUI_CURSOR ? 3 : 0;
}

/* ---- what is sent ---- */

bool
link_room(const struct gui *g)
{
	return g->link.hello && !g->link.over && g->link.out.len < SEND_LOW;
}

void
link_send(struct gui *g, enum gui_type type, uint32_t window, const void *body, size_t n)
{
	const bool old = type == GUI_CLIPBOARD_DATA && g->link.minor < GUI_CLIPBOARD_LEN;

	if (!g->link.hello || g->link.over || g->link.minor < since(type))
		return;
	if (!gui_put(&g->link, type, old ? (uint32_t)n : window, body, n, NULL, 0))
		link_bad(g, "does not read");
}

/* ---- what comes ---- */

void
link_bad(struct gui *g, const char *why)
{
	if (!g->link.over)
		logit("guid %s: its session ends", why);
	g->link.over = true;
}

/* A version, from those that know of it, and then its screen. */
static bool
handshake(struct gui *g)
{
	struct buf *in = &g->link.in;
	uint32_t v[1 + sizeof(struct gui_xconf) / 4] = {0};

	if (in->len < sizeof v[0])
		return false;
	memcpy(v, buf_bytes(in), sizeof v[0]);
	const bool old = v[0] >> 16 == 0; /* that is the screen's width already */
	const size_t n = sizeof v - (old ? sizeof v[0] : 0);

	g->link.minor = old ? OLD_DAEMON : v[0] & 0xffff;
	if (!old &&
	    (v[0] >> 16 != GUI_MAJOR || g->link.minor > GUI_MINOR || g->link.minor < GUI_TWO_WAY))
		link_bad(g, "answers with another version");
	if (g->link.over || in->len < n)
		return false;
	memcpy(v + old, buf_bytes(in), n);
	buf_eat(in, n);
	g->dom0.w = v[1];
	g->dom0.h = v[2];
	g->link.hello = true;
	screen_fit(g);
	windows_again(g);
	return true;
}

static bool
one_message(struct gui *g)
{
	struct buf *in = &g->link.in;
	struct msg m = {0};
	struct gui_hdr h;
	unsigned how;
	size_t n;

	if (in->len < sizeof h)
		return false;
	memcpy(&h, buf_bytes(in), sizeof h);
	if (h.type < GUI_FIRST || h.type > GUI_LAST || messages[h.type - GUI_FIRST].fn == NULL) {
		link_bad(g, "sends a message that is not a daemon's");
		return false;
	}
	n = GUI_TYPE(h.type).len;
	if (n == GUI_VARIES)
		n = g->link.minor < GUI_CLIPBOARD_LEN ? h.window : h.untrusted_len;
	else if (n != h.untrusted_len)
		link_bad(g, "sends a message of a wrong length");
	if (n > GUI_CLIPBOARD_MAX)
		link_bad(g, "sends too much");
	if (g->link.over || in->len < sizeof h + n)
		return false;
	how = messages[h.type - GUI_FIRST].how;
	m.w = window_find(g, h.window);
	m.p = buf_bytes(in) + sizeof h;
	m.n = n;
	memcpy(&m.u, m.p, n < sizeof m.u ? n : sizeof m.u);
	/* What it says of a window that went meanwhile means nothing. */
	if (how == NO_WINDOW || (m.w != NULL && m.w->created && (!m.w->gone || how == GONE)))
		messages[h.type - GUI_FIRST].fn(g, &m);
	buf_eat(in, sizeof h + n);
	return !g->link.over;
}

void
link_take(struct gui *g, const void *p, size_t n)
{
	if (!buf_put(&g->link.in, p, n))
		link_bad(g, "sends too much");
	if (!g->link.over && (g->link.hello || handshake(g)))
		while (g->x.c != NULL && one_message(g))
			;
}

static void
on_link(struct loop *l, int fd, short revents, void *arg)
{
	static uint8_t chunk[READ_SIZE];
	struct gui *g = arg;
	ssize_t n;

	(void)l, (void)fd, (void)revents;
	vchan_turn(g->link.v);
	n = vchan_read(g->link.v, chunk, sizeof chunk);
	if (n < 0)
		link_bad(g, "has gone");
	else
		link_take(g, chunk, (size_t)n);
	link_turn(g);
}

void
link_open(struct gui *g)
{
	const uint32_t version = GUI_VERSION(GUI_MINOR);

	g->link.fd = -1;
	g->link.hello = g->link.over = false;
	g->link.in.max = READ_SIZE + GUI_CLIPBOARD_MAX + sizeof(struct gui_hdr);
	g->link.out.max = SEND_MAX;
	g->link.v = vchan_open(VCHAN_SERVER, NULL, g->dom0.self, g->dom0.peer, GUI_PORT);
	if (g->link.v == NULL || !buf_put(&g->link.out, &version, sizeof version))
		die("the channel cannot be opened");
}

static void
shut(struct gui *g)
{
	loop_del(g->loop, g->link.fd);
	vchan_close(g->link.v);
	buf_free(&g->link.in);
	buf_free(&g->link.out);
	if (g->x.c != NULL)
		input_release(g);
	link_open(g);
}

void
link_watch(struct gui *g)
{
	gui_flush(&g->link);
	if (g->link.over)
		shut(g);
	gui_watch(&g->link, g->loop, true, on_link, g);
}
