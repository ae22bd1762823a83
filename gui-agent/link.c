/* SPDX-License-Identifier: ISC */
/* The channel to guid, whose server we are: handshake, messages, a queue with a bound (spec/gui 1
 * to 3). A guid that goes, or makes no sense, loses its session; the next one is told everything.
 */
#include <string.h>

#include "ga.h"

#define READ_SIZE 65536u
#define OLD_DAEMON 3u /* the newest of those that say no version */
#define AGAIN_MS 1000

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

static const uint16_t lengths[] = {
#define GUI_X(name, value, to, len) len,
    GUI_TYPES(GUI_X)
#undef GUI_X
};

/* With which version of the protocol they came. */
static uint32_t
since(enum gui_type type)
{
	return type == GUI_WMCLASS ? 1 : type == GUI_WINDOW_DUMP ? 2 : type == GUI_CURSOR ? 3 : 0;
}

/* ---- what is sent ---- */

bool
link_room(const struct ga *g)
{
	return g->link.hello && !g->link.over && g->link.out.len < SEND_LOW;
}

void
link_send2(struct ga *g, enum gui_type type, uint32_t window, const void *a, size_t n,
    const void *b, size_t m)
{
	const bool old = type == GUI_CLIPBOARD_DATA && g->link.minor < GUI_CLIPBOARD_LEN;
	const struct gui_hdr h = {.type = type,
	    .window = old ? (uint32_t)(n + m) : window,
	    .untrusted_len = (uint32_t)(n + m)};
	struct buf *out = &g->link.out;

	if (!g->link.hello || g->link.over || g->link.minor < since(type))
		return;
	if (buf_room(out) < sizeof h + n + m || !buf_put(out, &h, sizeof h) ||
	    !buf_put(out, a, n) || !buf_put(out, b, m))
		link_bad(g, "does not read");
}

void
link_send(struct ga *g, enum gui_type type, uint32_t window, const void *body, size_t n)
{
	link_send2(g, type, window, body, n, NULL, 0);
}

void
link_flush(struct ga *g)
{
	ssize_t n;

	while (g->link.v != NULL && g->link.out.len > 0) {
		n = vchan_write(g->link.v, buf_bytes(&g->link.out), g->link.out.len);
		if (n <= 0)
			return;
		buf_eat(&g->link.out, (size_t)n);
	}
}

/* ---- what comes ---- */

void
link_bad(struct ga *g, const char *why)
{
	if (!g->link.over)
		logit("guid %s: its session ends", why);
	g->link.over = true;
}

/* A version, from those that know of it, and then its screen. */
static bool
handshake(struct ga *g)
{
	struct gui_xconf conf;
	uint32_t version;

	if (!g->link.versioned && g->link.in.len >= sizeof version) {
		memcpy(&version, buf_bytes(&g->link.in), sizeof version);
		g->link.versioned = true;
		g->link.minor = version & 0xffff;
		if (version >> 16 == 0) /* that is xconf's width already */
			g->link.minor = OLD_DAEMON;
		else if (version >> 16 != GUI_MAJOR || g->link.minor > GUI_MINOR ||
			 g->link.minor < GUI_TWO_WAY)
			link_bad(g, "answers with another version");
		else
			buf_eat(&g->link.in, sizeof version);
	}
	if (g->link.over || !g->link.versioned || g->link.in.len < sizeof conf)
		return false;
	memcpy(&conf, buf_bytes(&g->link.in), sizeof conf);
	buf_eat(&g->link.in, sizeof conf);
	g->link.hello = true;
	g->link.w = conf.w;
	g->link.h = conf.h;
	x_screen(g);
	windows_again(g);
	return true;
}

static bool
one_message(struct ga *g)
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
	n = lengths[h.type - GUI_FIRST];
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

static void
read_all(struct ga *g)
{
	static uint8_t chunk[READ_SIZE];
	ssize_t n = vchan_read(g->link.v, chunk, sizeof chunk);

	if (n < 0) {
		logit("guid has gone");
		g->link.over = true;
		return;
	}
	if (n > 0 && !buf_put(&g->link.in, chunk, (size_t)n))
		link_bad(g, "sends too much");
	if (!g->link.over && (g->link.hello || handshake(g)))
		while (g->x.c != NULL && one_message(g))
			;
}

static void
on_link(struct loop *l, int fd, short revents, void *arg)
{
	struct ga *g = arg;
	const uint32_t version = GUI_VERSION(GUI_MINOR);

	(void)l, (void)fd, (void)revents;
	vchan_turn(g->link.v);
	if (vchan_state(g->link.v) != VCHAN_WAITING) {
		if (!g->link.greeted)
			(void)buf_put(&g->link.out, &version, sizeof version);
		g->link.greeted = true;
		read_all(g);
	}
	link_turn(g);
}

static void
on_again(struct loop *l, int fd, short revents, void *arg)
{
	struct ga *g = arg;

	(void)l, (void)fd, (void)revents;
	link_open(g);
	link_turn(g);
}

void
link_open(struct ga *g)
{
	g->link.in.max = READ_SIZE + GUI_CLIPBOARD_MAX + sizeof(struct gui_hdr);
	g->link.out.max = SEND_MAX;
	g->link.fd = -1;
	g->link.v = vchan_open(VCHAN_SERVER, NULL, g->link.self, g->link.peer, GUI_PORT);
	if (g->link.v != NULL)
		return;
	logit("the channel cannot be opened");
	if (loop_after(g->loop, AGAIN_MS, on_again, g) == 0)
		die("no memory");
}

static void
shut(struct ga *g)
{
	loop_del(g->loop, g->link.fd);
	vchan_close(g->link.v);
	buf_free(&g->link.in);
	buf_free(&g->link.out);
	g->link.greeted = g->link.versioned = g->link.hello = g->link.over = false;
	input_release(g);
	link_open(g);
}

void
link_watch(struct ga *g)
{
	const short want = (short)(POLLIN | (g->link.out.len > 0 ? POLLOUT : 0));
	struct pollfd p;

	if (g->link.over)
		shut(g);
	if (g->link.v == NULL)
		return;
	vchan_poll(g->link.v, want, &p);
	if (p.fd == g->link.fd) {
		loop_set(g->loop, p.fd, p.events);
		return;
	}
	if (g->link.fd >= 0)
		loop_del(g->loop, g->link.fd);
	g->link.fd = p.fd;
	if (!loop_add(g->loop, p.fd, p.events, on_link, g))
		die("no memory");
}
