/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "console.filter.h"
#include "console.h"
#include "ids.h"
#include "log.h"
#include "loop.h"
#include "paths.h"
#include "sandbox.h"
#include "sock.h"
#include "source.h"

#define PEOPLE_MAX 4
#define PERSON_OUT 65536
#define TYPED_MAX 1024
#define TAKE_MAX 4096

static void
escape(char *out, size_t size, const char *untrusted, size_t n)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t len = 0;

	for (size_t i = 0; i < n && len + 4 < size; i++) {
		const unsigned char c = (unsigned char)untrusted[i];

		if (c >= 0x20 && c < 0x7f && c != '%') {
			out[len++] = (char)c;
			continue;
		}
		out[len++] = '%';
		out[len++] = hex[c >> 4];
		out[len++] = hex[c & 15];
	}
	out[len] = '\0';
}

static bool
allowed(struct console *c, uint64_t now)
{
	const uint64_t more = (now - c->filled_ms) * CONSOLE_RATE / 1000;

	if (c->filled_ms == 0) {
		c->tokens = CONSOLE_BURST;
		c->filled_ms = now;
	} else if (more > 0) {
		c->tokens =
		    c->tokens + more > CONSOLE_BURST ? CONSOLE_BURST : c->tokens + (uint32_t)more;
		c->filled_ms = now;
	}
	/* Once some were dropped, a second's worth at a time: one notice for many lines. */
	if (c->tokens < (c->dropped > 0 ? CONSOLE_RATE : 1)) {
		c->dropped++;
		return false;
	}
	c->tokens -= c->dropped > 0 ? 2 : 1; /* the notice is a line, too */
	return true;
}

static void
flush(struct console *c, uint64_t now, void (*emit)(const char *line))
{
	char out[3 * CONSOLE_LINE + 8];
	const size_t n = c->len;

	c->len = 0;
	if (n == 0 || !allowed(c, now))
		return;
	if (c->dropped > 0) {
		snprintf(out, sizeof out, "(%u lines dropped)", c->dropped);
		c->dropped = 0;
		emit(out);
	}
	escape(out, sizeof out, c->line, n);
	emit(out);
}

void
console_take(struct console *c, const void *untrusted, size_t n, uint64_t now,
    void (*emit)(const char *line))
{
	const char *p = untrusted;

	for (size_t i = 0; i < n; i++) {
		if (p[i] == '\r')
			continue;
		if (p[i] != '\n')
			c->line[c->len++] = p[i];
		if (p[i] == '\n' || c->len == sizeof c->line)
			flush(c, now, emit);
	}
}

static void
emit(const char *line)
{
	logit("%s", line);
}

/* Who is attached. */

struct person {
	int fd; /* -1: nobody */
	struct buf out, in;
};

struct server {
	struct loop *loop;
	struct source *src;
	struct console lines;
	struct person people[PEOPLE_MAX];
	int listener, life;
	gid_t group;
	bool ending;
	uint32_t again;
};

static void
hang_up(struct server *s, struct person *p)
{
	loop_del(s->loop, p->fd);
	close(p->fd);
	buf_free(&p->out);
	buf_free(&p->in);
	p->fd = -1;
}

static void
watch(const struct server *s, const struct person *p)
{
	loop_set(s->loop, p->fd,
	    (short)((p->in.len == 0 ? POLLIN : 0) | (p->out.len > 0 ? POLLOUT : 0)));
}

/* What is typed waits here until the guest has room for it; no more of it is read meanwhile. */
static void
type(struct server *s, struct person *p)
{
	static const char no[] = "(this console takes no input)\r\n";
	const ssize_t n = p->in.len ? source_put(s->src, buf_bytes(&p->in), p->in.len) : 0;

	if (n < 0) {
		(void)buf_put(&p->out, no, sizeof no - 1);
		buf_eat(&p->in, p->in.len);
	} else {
		buf_eat(&p->in, (size_t)n);
	}
}

static void
on_person(struct loop *l, int fd, short revents, void *arg)
{
	struct server *s = arg;
	struct person *p = s->people;
	ssize_t n = -2;

	(void)l;
	while (p->fd != fd)
		p++;
	if (revents & POLLIN)
		n = buf_read_fd(&p->in, fd, TYPED_MAX);
	if (n == 0 || n == -1 || (revents & (POLLERR | POLLHUP)) ||
	    (p->out.len > 0 && buf_write_fd(&p->out, fd) < 0))
		return hang_up(s, p);
	type(s, p);
	watch(s, p);
}

static void
on_listener(struct loop *l, int fd, short revents, void *arg)
{
	struct server *s = arg;
	const int new = sock_accept(fd);
	struct person *p = s->people;

	(void)revents;
	if (new < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
			loop_rest(l, fd);
		return;
	}
	while (p < s->people + PEOPLE_MAX && p->fd >= 0)
		p++;
	if (p == s->people + PEOPLE_MAX || !sock_peer_is_person(new, s->group)) {
		close(new);
		return;
	}
	*p = (struct person){.fd = new, .out.max = PERSON_OUT, .in.max = TYPED_MAX};
	if (!loop_add(l, new, POLLIN, on_person, s)) {
		close(new);
		p->fd = -1;
	}
}

/* Who reads too slowly loses what there is no room for, and is told. */
static void
show(struct server *s, const void *untrusted, size_t n)
{
	static const char cut[] = "\r\n(output was lost)\r\n";

	for (struct person *p = s->people; p < s->people + PEOPLE_MAX; p++) {
		if (p->fd < 0)
			continue;
		if (p->out.len + n + sizeof cut > PERSON_OUT) {
			buf_eat(&p->out, p->out.len);
			(void)buf_put(&p->out, cut, sizeof cut - 1);
		}
		(void)buf_put(&p->out, untrusted, n);
		(void)buf_write_fd(&p->out, p->fd); /* a broken one shows up in the loop */
		watch(s, p);
	}
}

/* The guest. */

static void
look(struct loop *l, int fd, short revents, void *arg)
{
	struct server *s = arg;
	const uint64_t now = now_ms();
	char untrusted[TAKE_MAX];
	uint32_t ms = 0;
	ssize_t n;

	(void)fd;
	(void)revents;
	s->again = 0;
	while ((n = source_take(s->src, now, untrusted, sizeof untrusted)) > 0) {
		console_take(&s->lines, untrusted, (size_t)n, now, emit);
		show(s, untrusted, (size_t)n);
	}
	for (struct person *p = s->people; p < s->people + PEOPLE_MAX; p++) {
		if (p->fd < 0 || p->in.len == 0)
			continue;
		type(s, p);
		watch(s, p);
	}
	if (n < 0 || s->ending)
		return loop_stop(l, 0);
	if (source_rearm(s->src, now, &ms))
		return loop_set(l, source_fd(s->src), POLLIN);
	loop_set(l, source_fd(s->src), 0);
	s->again = loop_after(l, ms, look, s);
}

/* The keeper has gone, or says that the domain has: what is there is read, and no more. */
static void
on_life(struct loop *l, int fd, short revents, void *arg)
{
	struct server *s = arg;

	loop_cancel(l, s->again);
	s->ending = true;
	look(l, fd, revents, s);
}

/*
 * In a directory of qrexecd's uid: made from inside it and as that uid, so that what happens to
 * names there meanwhile leads us nowhere that it could not go itself. The socket is for people
 * alone: that uid owns it and has no business there.
 */
static int
listen_for(const char *name, uint32_t qid, gid_t people)
{
	const uid_t uid = prog_uid(qid, PROG_QREXECD);
	char path[128];
	int fd;

	snprintf(path, sizeof path, RUN_Q "/%s", name);
	if ((mkdir(path, 0711) < 0 && errno != EEXIST) || lchown(path, uid, GID_DAEMONS) < 0 ||
	    chdir(path) < 0)
		return -1;
	setfsgid(people);
	setfsuid(uid);
	fd = sock_listen(CONSOLE_SOCK, 0060);
	setfsuid(0);
	setfsgid(0);
	return fd;
}

_Noreturn void
console_main(const struct console_end *e, int life, const char *name, uint32_t qid)
{
	const struct sandbox sb = {
	    .uid = prog_uid(qid, PROG_CONSOLE),
	    .filter = console_filter,
	    .nfilter = console_filter_len,
	    .nofile = 32,
	};
	static struct server s;

	log_open("console", name);
	s.loop = loop_new();
	s.life = life;
	s.group = people_gid();
	for (size_t i = 0; i < PEOPLE_MAX; i++)
		s.people[i].fd = -1;
	s.src = source_open(e);
	if (!s.src)
		die("its ring");
	s.listener = listen_for(name, qid, s.group);
	if (s.listener < 0)
		logit("nobody can attach: %s", strerror(errno));
	sandbox_enter(&sb);
	if (!loop_add(s.loop, source_fd(s.src), POLLIN, look, &s) ||
	    !loop_add(s.loop, life, POLLIN, on_life, &s) ||
	    (s.listener >= 0 && !loop_add(s.loop, s.listener, POLLIN, on_listener, &s)))
		die("loop");
	look(s.loop, -1, 0, &s);
	exit(loop_run(s.loop));
}
