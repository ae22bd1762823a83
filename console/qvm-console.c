/* SPDX-License-Identifier: ISC */
/* qvm-console NAME: a terminal at a qube's console. */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "buf.h"
#include "console.h"
#include "log.h"
#include "loop.h"
#include "names.h"
#include "paths.h"
#include "sock.h"
#include "term-filter.h"

#define LEAVE 0x1d /* Ctrl-] */
#define CHUNK 4096
#define CONNECT_MS 5000

static const char help[] =
    "usage: qvm-console [--raw] NAME\n"
    "Shows what the qube prints on its console, and types there. Ctrl-] ends it.\n"
    "  --raw  pass on all that it prints, escape sequences too\n";

static struct {
	int sock;
	bool raw, tty;
	struct termios before;
	struct term_filter filter;
	struct buf typed;
} c = {.sock = -1, .typed.max = CHUNK};

static bool
put(const char *p, size_t n)
{
	while (n > 0) {
		const ssize_t r = write(STDOUT_FILENO, p, n);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return false;
		p += r;
		n -= (size_t)r;
	}
	return true;
}

static void
on_output(struct loop *l, int fd, short revents, void *arg)
{
	char untrusted[CHUNK], out[CHUNK + TERM_SEQ];
	ssize_t n;

	(void)arg;
	if (revents & POLLOUT) {
		(void)buf_write_fd(&c.typed, fd);
		if (c.typed.len == 0)
			loop_set(l, fd, POLLIN);
	}
	n = read(fd, untrusted, sizeof untrusted);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		return loop_stop(l, 0);
	if (c.raw ? !put(untrusted, (size_t)n)
		  : !put(out, term_filter(&c.filter, untrusted, (size_t)n, out)))
		loop_stop(l, 1);
}

static void
on_input(struct loop *l, int fd, short revents, void *arg)
{
	char text[CHUNK / 4];
	const ssize_t n = read(fd, text, sizeof text);
	const char *end = c.tty && n > 0 ? memchr(text, LEAVE, (size_t)n) : NULL;
	const size_t len = end ? (size_t)(end - text) : n > 0 ? (size_t)n : 0;

	(void)revents;
	(void)arg;
	if (n < 0 && errno == EINTR)
		return;
	if (n <= 0)
		return loop_del(l, fd); /* nothing more is typed; what it prints goes on */
	if (!buf_put(&c.typed, text, len))
		fprintf(stderr, "\r\n(it does not take what is typed)\r\n");
	(void)buf_write_fd(&c.typed, c.sock);
	if (c.typed.len > 0)
		loop_set(l, c.sock, POLLIN | POLLOUT);
	if (end)
		loop_stop(l, 0);
}

static void
on_signal(struct loop *l, int sig, short revents, void *arg)
{
	(void)sig;
	(void)revents;
	(void)arg;
	loop_stop(l, 1);
}

static void
restore(void)
{
	if (c.tty)
		(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &c.before);
}

static void
raw_terminal(void)
{
	struct termios t;

	if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &c.before) < 0)
		return;
	t = c.before;
	cfmakeraw(&t);
	c.tty = tcsetattr(STDIN_FILENO, TCSAFLUSH, &t) == 0;
	atexit(restore);
	fprintf(stderr, "(Ctrl-] ends)\r\n");
}

int
main(int argc, char **argv)
{
	static const struct option longs[] = {
	    {"raw", no_argument, NULL, 'r'}, {"help", no_argument, NULL, 'h'}, {0}};
	static const int sigs[] = {SIGTERM, SIGINT, SIGHUP};
	char path[128];
	struct loop *l;
	int o;

	while ((o = getopt_long(argc, argv, "rh", longs, NULL)) != -1) {
		if (o == 'h')
			return put(help, sizeof help - 1) ? 0 : 1;
		if (o != 'r') {
			fputs(help, stderr);
			return 2;
		}
		c.raw = true;
	}
	if (optind + 1 != argc || !name_ok(argv[optind])) {
		fputs(help, stderr);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	snprintf(path, sizeof path, RUN_Q "/%s/" CONSOLE_SOCK, argv[optind]);
	c.sock = sock_connect_wait(path, CONNECT_MS);
	if (c.sock < 0) {
		fprintf(stderr, "qvm-console: %s: %s\n", argv[optind],
		    errno == ENOENT || errno == ECONNREFUSED ? "not running" : strerror(errno));
		return 1;
	}
	l = loop_new();
	if (!loop_signals(l, sigs, 3, on_signal, NULL) ||
	    !loop_add(l, c.sock, POLLIN, on_output, NULL) ||
	    !loop_add(l, STDIN_FILENO, POLLIN, on_input, NULL))
		return 1;
	raw_terminal();
	return loop_run(l);
}
