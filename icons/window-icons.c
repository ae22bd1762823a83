/* SPDX-License-Identifier: ISC */
/*
 * qubes.WindowIconUpdater: a qube says how the windows of its programs are told apart in a task
 * bar; here they get its label's hue, and go to the windows that guid has made for it. A program of
 * its own, with a connection of its own to the display: guid does not look at what it reads.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "buf.h"
#include "display/x-door.h"
#include "icon.h"
#include "ids.h"
#include "label.h"
#include "log.h"
#include "loop.h"
#include "names.h"
#include "paths.h"
#include "sandbox.h"
#include "sock.h"
#include "state.h"
#include "vmconf.h"
#include "window-icons.filter.h"

#define EARLY_MAX 5	  /* whose windows are not there yet (spec/gui 7) */
#define SECOND_MAX 16	  /* icons: more wait for the next second */
#define LOOK_MS 500	  /* between two looks at all windows */
#define DEPTH_MAX 4	  /* a window manager puts frames around them */
#define LOOKED_MAX 32768u /* windows, of all qubes */
#define OTHER_S 5	  /* that one of before, whose stream is over, may take to end */
#define MEMORY (256u << 20)

enum { A_NAME, A_ID, A_ICON, A_N };

struct service {
	struct loop *loop;
	const char *qube;
	char display[VM_DISPLAY_LEN + 1];
	gid_t people;
	uid_t uid;
	int watch, screen;
	xcb_connection_t *x;
	xcb_window_t root;
	xcb_atom_t atom[A_N];
	struct icon_reader reader;
	struct buf in;
	struct icon *early[EARLY_MAX];
	size_t nearly;
	unsigned second; /* icons in this one */
	bool late;	 /* a look is due */
};

/* ---- windows ---- */

static bool
is_ours(struct service *s, xcb_window_t w)
{
	xcb_get_property_reply_t *r = xcb_get_property_reply(
	    s->x, xcb_get_property(s->x, 0, w, s->atom[A_NAME], XCB_ATOM_STRING, 0, 8), NULL);
	const size_t n = strlen(s->qube);
	const bool ours = r != NULL && (size_t)xcb_get_property_value_length(r) == n &&
			  memcmp(xcb_get_property_value(r), s->qube, n) == 0;

	free(r);
	return ours;
}

/* The children of n windows take their place: how many there are, at most LOOKED_MAX. */
static size_t
below(struct service *s, xcb_window_t *w, size_t n)
{
	static xcb_window_t out[LOOKED_MAX];
	static xcb_query_tree_cookie_t asked[LOOKED_MAX];
	size_t all = 0;

	for (size_t i = 0; i < n; i++)
		asked[i] = xcb_query_tree(s->x, w[i]);
	for (size_t i = 0; i < n; i++) {
		xcb_query_tree_reply_t *r = xcb_query_tree_reply(s->x, asked[i], NULL);
		size_t more = r != NULL ? r->children_len : 0;

		if (more > LOOKED_MAX - all)
			more = LOOKED_MAX - all;
		if (more > 0)
			memcpy(out + all, xcb_query_tree_children(r), more * sizeof *out);
		all += more;
		free(r);
	}
	memcpy(w, out, all * sizeof *w);
	return all;
}

/* Those of n windows that guid has made are looked at; the others stay, and are counted. */
static size_t
look(struct service *s, xcb_window_t *w, size_t n, uint32_t id, xcb_window_t *found)
{
	static xcb_get_property_cookie_t asked[LOOKED_MAX];
	size_t others = 0;

	for (size_t i = 0; i < n; i++)
		asked[i] = xcb_get_property(s->x, 0, w[i], s->atom[A_ID], XCB_ATOM_WINDOW, 0, 1);
	for (size_t i = 0; i < n; i++) {
		xcb_get_property_reply_t *r = xcb_get_property_reply(s->x, asked[i], NULL);
		const xcb_window_t it = w[i];

		if (r == NULL || xcb_get_property_value_length(r) != 4)
			w[others++] = it;
		else if (*(const uint32_t *)xcb_get_property_value(r) == id && is_ours(s, it))
			*found = it;
		free(r);
	}
	return others;
}

static xcb_window_t
window_of(struct service *s, uint32_t id)
{
	static xcb_window_t w[LOOKED_MAX];
	xcb_window_t found = XCB_NONE;
	size_t n = 1;

	w[0] = s->root;
	for (int i = 0; i < DEPTH_MAX && n > 0 && found == XCB_NONE; i++) {
		n = below(s, w, n);
		n = look(s, w, n, id, &found);
	}
	return found;
}

static bool
show(struct service *s, const struct icon *i)
{
	static uint32_t data[2 + ICON_SIDE * ICON_SIDE];
	const xcb_window_t w = window_of(s, i->id);

	if (w == XCB_NONE)
		return false;
	data[0] = i->w;
	data[1] = i->h;
	memcpy(data + 2, i->argb, sizeof *data * i->w * i->h);
	xcb_change_property(s->x, XCB_PROP_MODE_REPLACE, w, s->atom[A_ICON], XCB_ATOM_CARDINAL, 32,
	    2 + i->w * i->h, data);
	xcb_flush(s->x);
	return true;
}

/* ---- icons whose windows are still to come ---- */

static void
forget(struct service *s, size_t at)
{
	free(s->early[at]);
	s->nearly--;
	for (; at < s->nearly; at++)
		s->early[at] = s->early[at + 1];
}

static void
keep(struct service *s, const struct icon *i)
{
	struct icon *copy = malloc(sizeof *copy);

	if (copy == NULL)
		return;
	for (size_t e = 0; e < s->nearly; e++)
		if (s->early[e]->id == i->id) {
			forget(s, e);
			break;
		}
	if (s->nearly == EARLY_MAX)
		forget(s, 0);
	*copy = *i;
	s->early[s->nearly++] = copy;
}

static void on_look(struct loop *l, int fd, short revents, void *arg);

/* A look waits for X's answers, and what comes with them wakes nobody: so this is after each. */
static void
hear(struct service *s)
{
	xcb_generic_event_t *e;
	bool moved = false;

	while ((e = xcb_poll_for_event(s->x)) != NULL) {
		moved |= (e->response_type & 0x7f) == XCB_MAP_NOTIFY ||
			 (e->response_type & 0x7f) == XCB_REPARENT_NOTIFY;
		free(e);
	}
	if (moved && s->nearly > 0 && !s->late)
		s->late = loop_after(s->loop, LOOK_MS, on_look, s) != 0;
}

static void
on_look(struct loop *l, int fd, short revents, void *arg)
{
	struct service *s = arg;

	(void)l, (void)fd, (void)revents;
	s->late = false;
	for (size_t e = s->nearly; e-- > 0;)
		if (show(s, s->early[e]))
			forget(s, e);
	hear(s);
}

/* ---- the display ---- */

static void
connect_x(struct service *s)
{
	static const char *const names[A_N] = {
	    "_QUBES_VMNAME", "_QUBES_VMWINDOWID", "_NET_WM_ICON"};
	const uint32_t select = XCB_EVENT_MASK_SUBSTRUCTURE_NOTIFY;
	xcb_screen_iterator_t screen;

	s->x = x_door(s->display, s->watch, s->people, STDIN_FILENO, &s->screen);
	if (s->x == NULL)
		exit(0);
	screen = xcb_setup_roots_iterator(xcb_get_setup(s->x));
	for (int i = 0; i < s->screen && screen.rem > 1; i++)
		xcb_screen_next(&screen);
	s->root = screen.data->root;
	for (size_t i = 0; i < A_N; i++) {
		xcb_intern_atom_reply_t *r = xcb_intern_atom_reply(
		    s->x, xcb_intern_atom(s->x, 0, (uint16_t)strlen(names[i]), names[i]), NULL);

		s->atom[i] = r != NULL ? r->atom : XCB_ATOM_NONE;
		free(r);
	}
	xcb_change_window_attributes(s->x, s->root, XCB_CW_EVENT_MASK, &select);
	xcb_flush(s->x);
}

static void
on_x(struct loop *l, int fd, short revents, void *arg)
{
	struct service *s = arg;

	(void)revents;
	hear(s);
	if (xcb_connection_has_error(
		s->x)) { /* the person's session is over: perhaps another comes */
		loop_del(l, fd);
		xcb_disconnect(s->x);
		connect_x(s);
		if (!loop_add(l, xcb_get_file_descriptor(s->x), POLLIN, on_x, s))
			die("no memory");
	}
}

/* ---- the qube ---- */

static void on_second(struct loop *l, int fd, short revents, void *arg);
static void on_qube(struct loop *l, int fd, short revents, void *arg);

static void
take(struct service *s)
{
	while (s->in.len > 0 && s->second < SECOND_MAX) {
		const char *bad;
		bool whole;

		buf_eat(&s->in, icon_read(&s->reader, buf_bytes(&s->in), s->in.len, &whole, &bad));
		if (bad != NULL) {
			logit("refused: %s", bad);
			exit(1);
		}
		if (!whole)
			continue;
		if (s->second++ == 0 && loop_after(s->loop, 1000, on_second, s) == 0)
			die("no memory");
		if (!show(s, &s->reader.icon))
			keep(s, &s->reader.icon);
	}
	hear(s);
	if (s->second ==
	    SECOND_MAX) /* not just for nothing: its end would wake us again and again */
		loop_del(s->loop, STDIN_FILENO);
}

static void
on_second(struct loop *l, int fd, short revents, void *arg)
{
	struct service *s = arg;

	(void)fd, (void)revents;
	if (s->second == SECOND_MAX && !loop_add(l, STDIN_FILENO, POLLIN, on_qube, s))
		die("no memory");
	s->second = 0;
	take(s);
}

static void
on_qube(struct loop *l, int fd, short revents, void *arg)
{
	struct service *s = arg;
	const ssize_t n = buf_read_fd(&s->in, fd, s->in.max);

	(void)revents;
	if (n == 0 || n == -1)
		loop_stop(l, n == 0 && s->reader.state == ICON_ID && s->reader.n == 0 ? 0 : 1);
	else
		take(s);
}

/* ---- before the sandbox ---- */

static void
on_alarm(int sig)
{
	(void)sig;
}

/* One for a qube: each has a connection to the X server, who has not many. */
static void
alone(int vm, const char *name)
{
	const struct sigaction end = {.sa_handler = on_alarm};
	const int fd = openat(vm, name, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || sigaction(SIGALRM, &end, NULL) < 0)
		die("%s", name);
	alarm(OTHER_S);
	if (flock(fd, LOCK_EX) < 0) {
		logit("refused: another one runs for this qube");
		exit(1);
	}
	alarm(0);
}

static void
prepare(struct service *s)
{
	const int vm = open(ETC_VM, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const int run = open(RUN_STATE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	static struct vmconf c;
	struct vmconf_error e;
	struct vm_state state;

	s->qube = getenv("QREXEC_REMOTE_DOMAIN");
	if (s->qube == NULL || !name_ok(s->qube) || is_dom0(s->qube))
		usage_die("a service of Dom0's: QREXEC_REMOTE_DOMAIN is not a qube");
	log_open("qubes.WindowIconUpdater", s->qube);
	if (vm < 0 || !vmconf_read(vm, s->qube, &c, &e))
		die("the qube's file cannot be read");
	if (run < 0 || !state_read(run, s->qube, &state))
		die("the qube does not run");
	alone(vm, s->qube);
	close(vm);
	close(run);
	if (c.display[0] == '\0') {
		logit("it has no display");
		exit(1);
	}
	snprintf(s->display, sizeof s->display, "%s", c.display);
	s->reader.tint = tint_of(label_named(c.label)->rgb, false);
	s->uid = prog_uid(state.qid, PROG_GUID);
	s->people = people_gid();
	s->watch = x_door_watch();
}

int
main(int argc, char **argv)
{
	static struct service s = {.in = {.max = 65536}};
	static const gid_t groups[] = {GID_DAEMONS};
	static const struct sandbox_path paths[] = {{RUN_DISPLAY, SB_SOCKET | SB_MAYBE}};
	struct sandbox sb = {.groups = groups,
	    .ngroups = 1,
	    .paths = paths,
	    .npaths = 1,
	    .filter = window_icons_filter,
	    .nfilter = window_icons_filter_len,
	    .memory = MEMORY};

	if (argc > 1 && strcmp(argv[1], "--help") == 0)
		return puts("usage: qubes.WindowIconUpdater, called by a qube (dom0-services(8))") <
		       0;
	log_open("qubes.WindowIconUpdater", NULL);
	if (argc > 1)
		usage_die("it takes no argument");
	signal(SIGPIPE, SIG_IGN);
	prepare(&s);
	sb.uid = geteuid() == 0 ? s.uid : SANDBOX_KEEP_UID;
	sandbox_enter(&sb);
	connect_x(&s);
	s.loop = loop_new();
	(void)fd_nonblock(STDIN_FILENO, true);
	if (!loop_add(s.loop, STDIN_FILENO, POLLIN, on_qube, &s) ||
	    !loop_add(s.loop, xcb_get_file_descriptor(s.x), POLLIN, on_x, &s))
		die("no memory");
	return loop_run(s.loop);
}
