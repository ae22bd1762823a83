/* SPDX-License-Identifier: ISC */
/*
 * Beside qubes-display (qubes-display.1), which starts it: tells the qubes with windows on this
 * display how its monitors lie. On standard input comes the qid of each qube whose guid was just
 * let in; its end is our end. Nothing that a qube says is read here but the status of a call.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xcb/randr.h>
#include <xcb/xcb.h>
#include <xcb/xcbext.h>

#include "display/display-number.h"
#include "log.h"
#include "loop.h"
#include "names.h"
#include "paths.h"
#include "state.h"
#include "vmconf.h"

#define MONITORS 32
#define LINE 40	      /* "65535 65535 -32768 -32768 65535 65535\n" */
#define SETTLE_MS 200 /* a change comes as a burst of events */
#define CALL_MS 20000 /* then it is given up */
#define AGAIN_MS 500  /* the first time, then twice as long: the qube's X server may start yet */
#define TRIES 6
#define GUID_MS 5000	    /* its guid may be started again and again */
#define SHORT_MS 1000	    /* of memory, processes or descriptors: then it is tried again */
#define EXIT_NO_SERVICE 127 /* spec/qrexec 5b */

static const char help[] =
    "usage: qubes-monitors -d :N\nIs started by qubes-display; see qubes-display(1).\n";

struct qube {
	struct qube *next;
	struct vm_state st;
	bool there, wanted; /* wanted: it has not been told of what there is now */
	bool late, hung; /* the call under way; the last one: its guid is no reason for another */
	bool guid_came;	 /* meanwhile, until the timer below */
	unsigned tries, layout;	     /* of which m.layouts the last call told */
	pid_t pid;		     /* of the call under way, or 0 */
	uint32_t limit, again, guid; /* timers, or 0 */
	struct log_limit log;
};

static struct {
	struct loop *loop;
	struct qube *qubes;
	int vm_dir, state_dir, watch;
	uint32_t n, settle, look; /* the display; timers */
	xcb_connection_t *x;
	xcb_window_t root;
	unsigned asked; /* the sequence of a request that is not answered yet, or 0 */
	char layout[MONITORS * LINE];
	size_t len;
	unsigned layouts; /* how many there were */
	struct log_limit lacks;
} m;

static void call(struct qube *q);
static void on_look(struct loop *l, int fd, short revents, void *arg);

static void
look_after(uint64_t ms)
{
	if (m.look == 0)
		m.look = loop_after(m.loop, ms, on_look, NULL);
}

/* What passes does not end us. */
static void
lacks(const char *what)
{
	if (errno != EAGAIN && errno != EMFILE && errno != ENFILE && errno != ENOMEM)
		die("%s", what);
	log_limited(&m.lacks, "%s: %s", what, strerror(errno));
	look_after(SHORT_MS);
}

/* ---- calls ---- */

static void
on_late(struct loop *l, int fd, short revents, void *arg)
{
	struct qube *q = arg;

	(void)l, (void)fd, (void)revents;
	q->limit = 0;
	q->late = true;
	kill(-q->pid, SIGKILL);
}

static void
on_again(struct loop *l, int fd, short revents, void *arg)
{
	struct qube *q = arg;

	(void)l, (void)fd, (void)revents;
	q->again = 0;
	call(q);
}

/* Its limit is our timer: it ends with us. */
static _Noreturn void
run(const struct qube *q, int in, pid_t parent)
{
	const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	setsid();
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent || null < 0 ||
	    dup2(in, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0)
		_exit(111);
	execl(BINDIR "/qrexec-client", "qrexec-client", "-d", q->st.name,
	    "DEFAULT:QUBESRPC qubes.SetMonitorLayout dom0", (char *)NULL);
	_exit(111);
}

/* The layout as its standard input; a pipe takes all of it. */
static pid_t
start(const struct qube *q)
{
	const pid_t parent = getpid();
	pid_t pid = -1;
	int p[2], e;

	if (pipe2(p, O_CLOEXEC) < 0)
		return -1;
	if (write(p[1], m.layout, m.len) == (ssize_t)m.len)
		pid = fork();
	if (pid == 0)
		run(q, p[0], parent);
	e = errno;
	close(p[0]);
	close(p[1]);
	errno = e;
	return pid;
}

static void
call(struct qube *q)
{
	pid_t pid = -1;

	if (q->pid != 0 || q->again != 0 || m.len == 0)
		return;
	q->limit = loop_after(m.loop, CALL_MS, on_late, q);
	if (q->limit == 0)
		errno = ENOMEM;
	else
		pid = start(q);
	q->wanted = pid < 0;
	if (pid < 0) {
		loop_cancel(m.loop, q->limit);
		q->limit = 0;
		lacks("a call");
		return;
	}
	q->pid = pid;
	q->late = false;
	q->layout = m.layouts;
}

static void
ended(struct qube *q, int status)
{
	loop_cancel(m.loop, q->limit);
	q->limit = 0;
	q->pid = 0;
	q->hung = q->late && status != 0;
	if (q->hung) /* what its guid wanted meanwhile is no reason either */
		q->wanted = q->layout != m.layouts;
	if (status == 0)
		q->tries = 0;
	else if (q->hung)
		log_limited(&q->log, "%s hangs when it is told of the monitors", q->st.name);
	else if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_NO_SERVICE)
		log_limited(&q->log, "%s has no service for monitors", q->st.name);
	else if (!q->there)
		;
	else if (!q->wanted && ++q->tries < TRIES)
		q->again = loop_after(m.loop, AGAIN_MS << (q->tries - 1), on_again, q);
	else if (!q->wanted)
		log_limited(&q->log, "%s was told of the monitors %u times: exit %d", q->st.name,
		    q->tries, WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	if (q->wanted && q->there)
		call(q);
}

static void
on_child(struct loop *l, int sig, short revents, void *arg)
{
	int status;
	pid_t pid;

	(void)l, (void)sig, (void)revents, (void)arg;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (struct qube *q = m.qubes; q != NULL; q = q->next)
			if (q->pid == pid)
				ended(q, status);
}

/* ---- qubes ---- */

static void
want(struct qube *q)
{
	loop_cancel(m.loop, q->again);
	q->again = 0;
	q->tries = 0;
	q->wanted = true;
}

/* feature.no-monitor-layout is upstream's: such a qube is left alone. */
static bool
shows_here(const char *name)
{
	struct vmconf c;
	struct vmconf_error e;
	const char *no;
	uint32_t n;

	if (!vmconf_read(m.vm_dir, name, &c, &e) || *c.display == '\0')
		return false;
	no = vmconf_feature(&c, "no-monitor-layout");
	return (no == NULL || *no == '\0') && display_number(c.display, &n) > 0 && n == m.n;
}

static void
found(const struct vm_state *st)
{
	struct qube *q = m.qubes;

	while (q != NULL && strcmp(q->st.session, st->session) != 0)
		q = q->next;
	if (q == NULL) {
		q = calloc(1, sizeof *q);
		if (q == NULL) {
			lacks(st->name);
			return;
		}
		q->wanted = true;
		q->next = m.qubes;
		m.qubes = q;
	}
	q->st = *st;
	q->there = true;
}

static void
forget(void)
{
	struct qube **at = &m.qubes, *q;

	while ((q = *at) != NULL) {
		if (q->there || q->pid != 0) {
			at = &q->next;
			continue;
		}
		loop_cancel(m.loop, q->again);
		loop_cancel(m.loop, q->guid);
		*at = q->next;
		free(q);
	}
}

/* Who runs and shows its windows here; who has not been told is told. */
static void
look(void)
{
	const int fd = openat(m.state_dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	struct vm_state st;

	if (dir == NULL) {
		lacks(RUN_STATE);
		if (fd >= 0)
			close(fd);
		return;
	}
	for (struct qube *q = m.qubes; q != NULL; q = q->next)
		q->there = false;
	while ((e = readdir(dir)) != NULL)
		if (*e->d_name != '.' && state_read(m.state_dir, e->d_name, &st) &&
		    strcmp(st.state, "Running") == 0 && shows_here(st.name))
			found(&st);
	closedir(dir);
	forget();
	for (struct qube *q = m.qubes; q != NULL; q = q->next)
		if (q->there && q->wanted)
			call(q);
}

static void
on_look(struct loop *l, int fd, short revents, void *arg)
{
	(void)l, (void)fd, (void)revents, (void)arg;
	m.look = 0;
	look();
}

static void
on_state(struct loop *l, int fd, short revents, void *arg)
{
	char events[4096];

	(void)l, (void)revents, (void)arg;
	if (read(fd, events, sizeof events) > 0)
		look_after(SETTLE_MS);
}

static void guid_comes(struct qube *q);

static void
on_guid_rest(struct loop *l, int fd, short revents, void *arg)
{
	struct qube *q = arg;

	(void)l, (void)fd, (void)revents;
	q->guid = 0;
	if (q->guid_came)
		guid_comes(q);
}

/* Once in GUID_MS; that of a qube that hung: not at all. */
static void
guid_comes(struct qube *q)
{
	q->guid_came = q->guid != 0;
	if (q->guid != 0 || q->hung)
		return;
	want(q);
	look_after(SETTLE_MS);
	q->guid = loop_after(m.loop, GUID_MS, on_guid_rest, q);
}

/* A guid that was started again has, with a stock agent, an agent that was, too. */
static void
on_guid(struct loop *l, int fd, short revents, void *arg)
{
	uint32_t qid[64];
	const ssize_t n = read(fd, qid, sizeof qid);

	(void)revents, (void)arg;
	if (n <= 0)
		loop_stop(l, 0);
	for (size_t i = 0; n > 0 && i < (size_t)n / sizeof *qid; i++)
		for (struct qube *q = m.qubes; q != NULL; q = q->next)
			if (q->st.qid == qid[i])
				guid_comes(q);
	look_after(SETTLE_MS); /* it may be a qube that we do not know yet */
}

/* ---- monitors ---- */

static void
layout(const xcb_randr_get_monitors_reply_t *r)
{
	char text[sizeof m.layout];
	size_t n = 0, some = 0;

	for (xcb_randr_monitor_info_iterator_t i = xcb_randr_get_monitors_monitors_iterator(r);
	     i.rem > 0 && some < MONITORS; xcb_randr_monitor_info_next(&i), some++) {
		n += (size_t)snprintf(text + n, sizeof text - n, "%u %u %d %d", i.data->width,
		    i.data->height, i.data->x, i.data->y);
		if (i.data->width_in_millimeters > 0 && i.data->height_in_millimeters > 0)
			n += (size_t)snprintf(text + n, sizeof text - n, " %u %u",
			    i.data->width_in_millimeters & 0xffff,
			    i.data->height_in_millimeters & 0xffff);
		text[n++] = '\n';
	}
	if (n == 0 || (n == m.len && memcmp(text, m.layout, n) == 0))
		return;
	memcpy(m.layout, text, n);
	m.len = n;
	m.layouts++;
	for (struct qube *q = m.qubes; q != NULL; q = q->next)
		want(q);
	look();
}

static void
ask(void)
{
	m.asked = xcb_randr_get_monitors(m.x, m.root, 1).sequence;
	xcb_flush(m.x);
}

static void
on_settled(struct loop *l, int fd, short revents, void *arg)
{
	(void)l, (void)fd, (void)revents, (void)arg;
	m.settle = 0;
	if (m.asked == 0)
		ask();
	else
		m.settle = loop_after(m.loop, SETTLE_MS, on_settled, NULL);
}

static bool
answered(void)
{
	xcb_generic_error_t *error = NULL;
	void *reply = NULL;

	if (m.asked == 0 || xcb_poll_for_reply(m.x, m.asked, &reply, &error) != 1)
		return false;
	m.asked = 0;
	if (reply != NULL)
		layout(reply);
	free(reply);
	free(error);
	return true;
}

/* While an answer is looked for, events may have been read. */
static void
on_x(struct loop *l, int fd, short revents, void *arg)
{
	xcb_generic_event_t *e;

	(void)fd, (void)revents, (void)arg;
	do {
		while ((e = xcb_poll_for_event(m.x)) != NULL) {
			if (e->response_type != 0 && m.settle == 0)
				m.settle = loop_after(m.loop, SETTLE_MS, on_settled, NULL);
			free(e);
		}
	} while (answered());
	if (xcb_connection_has_error(m.x))
		loop_stop(l, 0);
}

/* Monitors are RandR 1.5's. */
static void
open_x(const char *display)
{
	const xcb_query_extension_reply_t *e;
	xcb_randr_query_version_reply_t *v = NULL;
	xcb_screen_iterator_t s;
	int n = 0;

	m.x = xcb_connect(display, &n);
	if (xcb_connection_has_error(m.x))
		die("%s lets us not in", display);
	s = xcb_setup_roots_iterator(xcb_get_setup(m.x));
	while (n-- > 0 && s.rem > 1)
		xcb_screen_next(&s);
	m.root = s.data->root;
	e = xcb_get_extension_data(m.x, &xcb_randr_id);
	if (e != NULL && e->present)
		v = xcb_randr_query_version_reply(m.x, xcb_randr_query_version(m.x, 1, 5), NULL);
	if (v == NULL || v->major_version * 100 + v->minor_version < 105) {
		logit("%s has no RandR 1.5: qubes are not told of monitors", display);
		exit(0);
	}
	free(v);
	xcb_randr_select_input(m.x, m.root,
	    XCB_RANDR_NOTIFY_MASK_SCREEN_CHANGE | XCB_RANDR_NOTIFY_MASK_CRTC_CHANGE |
		XCB_RANDR_NOTIFY_MASK_OUTPUT_CHANGE);
	ask();
}

int
main(int argc, char **argv)
{
	static const int child[] = {SIGCHLD};
	const char *display = argc == 3 && strcmp(argv[1], "-d") == 0 ? argv[2] : "";

	log_open("qubes-monitors", NULL);
	if (argc == 2 && strcmp(argv[1], "--help") == 0)
		return fputs(help, stdout) < 0;
	if (display_number(display, &m.n) == 0)
		usage_die("%s", help);
	signal(SIGPIPE, SIG_IGN);
	m.loop = loop_new();
	m.vm_dir = open(ETC_VM, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	m.state_dir = open(RUN_STATE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	m.watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (m.vm_dir < 0 || m.state_dir < 0 || m.watch < 0 ||
	    inotify_add_watch(m.watch, RUN_STATE, IN_MOVED_TO | IN_DELETE) < 0)
		die(RUN_STATE);
	open_x(display);
	if (!loop_signals(m.loop, child, 1, on_child, NULL) ||
	    !loop_add(m.loop, 0, POLLIN, on_guid, NULL) ||
	    !loop_add(m.loop, m.watch, POLLIN, on_state, NULL) ||
	    !loop_add(m.loop, xcb_get_file_descriptor(m.x), POLLIN, on_x, NULL))
		die("loop");
	on_x(m.loop, 0, 0, NULL);
	return loop_run(m.loop);
}
