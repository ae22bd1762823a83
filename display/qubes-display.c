/* SPDX-License-Identifier: ISC */
/*
 * qubes-display.1: in a person's session, lets the guids in to its X server. Each gets a connection
 * of its own and the cookie; then we know no more of it. RUN_DISPLAY/N, one message: "display=:N",
 * "auth=NAME HEX" if there is a cookie, an empty line; the connection attached to its first byte.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "display/display-number.h"
#include "display/xauth.h"
#include "ids.h"
#include "log.h"
#include "loop.h"
#include "names.h"
#include "paths.h"
#include "qubes-display.filter.h"
#include "sandbox.h"
#include "sock.h"

#define X_DIR "/tmp/.X11-unix"
#define X_MS 5000  /* for the X server to take a connection, and to answer the first */
#define ACCEPTS 64 /* in one go: the X server's end is not missed */
#define NOFILE 64
#define MONITORS LIBDIR "/qubes-monitors"

static const char help[] =
    "usage: qubes-display [-d :N]\n"
    "Lets qubes whose file says display = :N show their windows on this X display.\n"
    "  -d, --display :N   instead of $DISPLAY\n"
    "Exit: 0 the X server or Cubicle has gone, or SIGTERM; 100 usage; 111 failure.\n";

static struct {
	struct loop *loop;
	uint32_t n; /* of the display */
	char path[64], x_path[64];
	struct xauth auth;
	int sock, x;  /* x: our own connection, which tells when the X server goes */
	int monitors; /* to qubes-monitors: the qids of the qubes whose guids come */
	struct log_limit refused, given;
} d;

/* ":N" or ":N.S" */
static void
parse_display(const char *text)
{
	const size_t n = text != NULL ? display_number(text, &d.n) : 0;
	const char *rest = n > 0 ? text + n : "";

	if (*rest == '.' && rest[1] != '\0')
		rest += 1 + strspn(rest + 1, "0123456789");
	if (n == 0 || *rest != '\0')
		usage_die("a display is :N or :N.S, N at most %u%s", DISPLAY_MAX,
		    text == NULL ? "; there is no DISPLAY" : "");
	snprintf(d.path, sizeof d.path, RUN_DISPLAY "/%u", d.n);
	snprintf(d.x_path, sizeof d.x_path, X_DIR "/X%u", d.n);
}

static void
options(int argc, char **argv)
{
	static const struct option longs[] = {
	    {"display", required_argument, NULL, 'd'}, {"help", no_argument, NULL, 'h'}, {0}};
	const char *display = getenv("DISPLAY");
	int c;

	log_open("qubes-display", NULL);
	while ((c = getopt_long(argc, argv, "d:", longs, NULL)) != -1) {
		if (c == 'h')
			exit(fputs(help, stdout) < 0);
		if (c != 'd')
			usage_die("%s", help);
		display = optarg;
	}
	if (optind != argc)
		usage_die("%s", help);
	parse_display(display);
}

/* Without one there may be no need of it: the X server may go by who we are. */
static void
read_cookie(void)
{
	const char *file = getenv("XAUTHORITY"), *home = getenv("HOME");
	struct buf b = {.max = XAUTH_FILE_MAX};
	char path[4096], host[65] = "";

	if (file == NULL)
		snprintf(path, sizeof path, "%s/.Xauthority", home != NULL ? home : "");
	else
		snprintf(path, sizeof path, "%s", file);
	if (gethostname(host, sizeof host - 1) < 0)
		die("gethostname");
	if (buf_read_file(&b, AT_FDCWD, path) &&
	    !xauth_find(&d.auth, buf_bytes(&b), b.len, host, d.n))
		logit("%s: no cookie for :%u on %s", path, d.n, host);
	buf_free(&b);
}

/* --- the X server --- */

static void
on_x(struct loop *l, int fd, short revents, void *arg)
{
	char unwanted[4096];
	const ssize_t n = read(fd, unwanted, sizeof unwanted);

	(void)revents, (void)arg;
	if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		return;
	logit("the X server :%u has gone", d.n);
	(void)unlink(d.path);
	loop_stop(l, 0);
}

/* The first of what it says: whether it lets us in. */
static bool
is_let_in(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint8_t first;

	return poll(&p, 1, X_MS) == 1 && read(fd, &first, 1) == 1 && first == 1;
}

/* Connection set-up: byte order, version, the lengths of what follows, in fours. */
static void
open_x(void)
{
	static const char name[] = XAUTH_NAME;
	uint8_t text[12 + 20 + sizeof d.auth.data] = {'l', 0, 11, 0, 0, 0};
	size_t n = 12;

	if (d.auth.n > 0) {
		text[6] = sizeof name - 1;
		text[8] = (uint8_t)d.auth.n;
		memcpy(text + 12, name, sizeof name - 1);
		memcpy(text + 12 + 20, d.auth.data, d.auth.n);
		n = 12 + 20 + ((d.auth.n + 3) & ~(size_t)3);
	}
	d.x = sock_connect_wait(d.x_path, X_MS);
	if (d.x < 0)
		die("%s", d.x_path);
	if (write(d.x, text, n) != (ssize_t)n || !is_let_in(d.x)) {
		errno = 0;
		die("the X server :%u does not let us in", d.n);
	}
}

/* --- the monitors --- */

/* Runs programs, which we may not: on its own, outside of our sandbox. Its end is none of ours. */
static void
start_monitors(void)
{
	char display[16];
	int p[2];
	pid_t pid;

	snprintf(display, sizeof display, ":%u", d.n);
	signal(SIGCHLD, SIG_IGN); /* nobody waits for it */
	if (pipe2(p, O_CLOEXEC) < 0)
		die("pipe");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		signal(SIGCHLD, SIG_DFL);
		if (dup2(p[0], 0) == 0)
			execl(MONITORS, "qubes-monitors", "-d", display, (char *)NULL);
		logit(MONITORS ": %s", strerror(errno));
		_exit(111);
	}
	close(p[0]);
	if (!fd_nonblock(p[1], true))
		die("pipe");
	d.monitors = p[1];
}

/* --- the guids --- */

static void
give(int to)
{
	char text[80 + 2 * sizeof d.auth.data];
	int n = snprintf(text, sizeof text, "display=:%u\n", d.n), fd;

	if (d.auth.n > 0)
		n += snprintf(text + n, sizeof text - (size_t)n, "auth=" XAUTH_NAME " ");
	for (size_t i = 0; i < d.auth.n; i++)
		n += snprintf(text + n, sizeof text - (size_t)n, "%02x", d.auth.data[i]);
	n += snprintf(text + n, sizeof text - (size_t)n, d.auth.n > 0 ? "\n\n" : "\n");
	fd = sock_connect_wait(d.x_path, X_MS);
	if (fd < 0 || !sock_send_fd(to, text, (size_t)n, fd))
		log_limited(&d.refused, "no connection is given: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
}

/* Whose guid it is, 0: root, or -1: neither. */
static int64_t
whose(uid_t uid)
{
	const int64_t qid = uid_qid(uid, PROG_GUID);

	return uid == 0 ? 0 : qid > 0 ? qid : -1;
}

static void
on_accept(struct loop *l, int sock, short revents, void *arg)
{
	int64_t qid;
	uint32_t told;
	uid_t uid;
	int fd;

	(void)revents, (void)arg;
	for (int i = 0; i < ACCEPTS && (fd = sock_accept(sock)) >= 0; i++) {
		if (!sock_peer(fd, &uid, NULL))
			uid = (uid_t)-1;
		qid = whose(uid);
		if (qid < 0) {
			log_limited(&d.refused, "uid %u refused: no guid, not root", (unsigned)uid);
		} else {
			log_limited(&d.given, "a connection for uid %u", (unsigned)uid);
			give(fd);
			told = (uint32_t)qid;
			(void)!write(d.monitors, &told, sizeof told);
		}
		close(fd);
	}
	if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
		loop_rest(l, sock);
}

/* Cubicle was taken down (up again, it does not know us), or root offers the display. Not
 * IN_DELETE_SELF: a sandbox that lists the directory keeps the file. */
static void
on_name(struct loop *l, int fd, short revents, void *arg)
{
	char events[4096];

	(void)revents, (void)arg;
	if (read(fd, events, sizeof events) <= 0)
		return;
	logit("%s is ours no more", d.path);
	loop_stop(l, 0);
}

static void
watch_name(void)
{
	const int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	if (fd < 0 || inotify_add_watch(fd, d.path, IN_ATTRIB | IN_MOVE_SELF) < 0 ||
	    !loop_add(d.loop, fd, POLLIN, on_name, NULL))
		die("%s", d.path);
}

static void
offer(void)
{
	const int other = sock_connect(d.path);

	if (other >= 0) {
		errno = 0;
		die("display :%u is offered already", d.n);
	}
	d.sock = sock_listen(d.path, 0666);
	if (d.sock < 0)
		die("%s", d.path);
}

static void
on_signal(struct loop *l, int sig, short revents, void *arg)
{
	(void)sig, (void)revents, (void)arg;
	(void)unlink(d.path);
	loop_stop(l, 0);
}

static void
enter_sandbox(void)
{
	static const struct sandbox_path paths[] = {
	    {X_DIR, SB_SOCKET}, {RUN_DISPLAY, SB_SOCKET | SB_WRITE}};
	const struct sandbox sb = {
	    .uid = SANDBOX_KEEP_UID,
	    .peers = true,
	    .paths = paths,
	    .npaths = sizeof paths / sizeof *paths,
	    .filter = qubes_display_filter,
	    .nfilter = qubes_display_filter_len,
	    .nofile = NOFILE,
	};

	sandbox_enter(&sb);
}

int
main(int argc, char **argv)
{
	static const int sigs[] = {SIGTERM, SIGINT, SIGHUP};

	signal(SIGPIPE, SIG_IGN);
	umask(022);
	options(argc, argv);
	read_cookie();
	d.loop = loop_new();
	open_x();
	offer();
	watch_name();
	start_monitors();
	if (!loop_signals(d.loop, sigs, sizeof sigs / sizeof *sigs, on_signal, NULL) ||
	    !loop_add(d.loop, d.x, POLLIN, on_x, NULL) ||
	    !loop_add(d.loop, d.sock, POLLIN, on_accept, NULL))
		die("loop");

	enter_sandbox();

	return loop_run(d.loop);
}
