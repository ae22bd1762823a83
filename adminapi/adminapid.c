/* SPDX-License-Identifier: ISC */
/* adminapid: the Admin API (adminapi.h, adminapid.8). It reads text files; startd does what it may
 * not. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adminapi.h"
#include "adminapid.filter.h"
#include "ask.h"
#include "daemon.h"
#include "ids.h"
#include "kv.h"
#include "log.h"
#include "loop.h"
#include "paths.h"
#include "sandbox.h"
#include "sock.h"

#define CLIENTS_MAX 256
#define STARTS_MAX 64	 /* asked of startd at a time */
#define REQUEST_MS 10000 /* until the request is whole */
#define ANSWER_MS 10000	 /* until the client has read its answer */
#define BEGUN_MS 2000	 /* a shutdown nobody waits for: by then it has begun, or has a reason */
#define NOFILE 512

struct adminapid {
	struct loop *loop;
	int sock, vm, state, changes;
	gid_t people;
	struct client *clients;
	size_t nclients, nstarts;
	struct log_limit busy, bad;
};

struct client {
	struct client *next;
	struct adminapid *a;
	int fd, startd; /* -1: nothing is asked of it */
	uint32_t timer;
	struct buf in, out, answer; /* answer: startd's */
	struct request rq;
	struct call call;
};

static void take(struct adminapid *a);
static void enter(void);
static void serve(struct adminapid *a, int ready_fd);

int
main(int argc, char **argv)
{
	static struct adminapid a;
	const int ready_fd = daemon_options(argc, argv, "adminapid");

	take(&a);
	enter();
	serve(&a, ready_fd);
	return loop_run(a.loop);
}

static void
on_signal(struct loop *l, int sig, short revents, void *arg)
{
	(void)sig, (void)revents, (void)arg;
	loop_stop(l, 0);
}

/* All that needs root, or a place that the sandbox does not show. */
static void
take(struct adminapid *a)
{
	static const int sigs[] = {SIGTERM};

	signal(SIGPIPE, SIG_IGN);
	umask(0);
	a->people = people_gid();
	a->loop = loop_new();
	a->changes = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (a->changes < 0 ||
	    inotify_add_watch(a->changes, RUN_STATE, IN_MOVED_TO | IN_DELETE | IN_CLOSE_WRITE) < 0)
		die("%s", RUN_STATE);
	if (!loop_signals(a->loop, sigs, 1, on_signal, a))
		die("signals");
	if (geteuid() == 0 && a->people != (gid_t)-1 && setegid(a->people) < 0)
		die("setegid");
	a->sock = sock_listen(QUBESD_SOCK, 0660);
	if (a->sock < 0)
		die("%s", QUBESD_SOCK);
	if (setegid(getgid()) < 0)
		die("setegid");
}

static void
enter(void)
{
	static const struct sandbox_path paths[] = {
	    {ETC_VM, SB_READ},
	    {RUN_STATE, SB_READ},
	    {RUN_S, SB_SOCKET},
	};
	const struct sandbox sb = {
	    .uid = geteuid() == 0 ? prog_uid(0, PROG_ADMINAPI) : SANDBOX_KEEP_UID,
	    .paths = paths,
	    .npaths = sizeof(paths) / sizeof(*paths),
	    .filter = adminapid_filter,
	    .nfilter = adminapid_filter_len,
	    .nofile = NOFILE,
	    .memory = 256u << 20,
	};

	sandbox_enter(&sb);
}

/* ---- clients ---- */

static void
startd_close(struct client *c)
{
	if (c->startd < 0)
		return;
	loop_del(c->a->loop, c->startd);
	close(c->startd);
	c->startd = -1;
	c->a->nstarts--;
}

/* What is still unread would turn the peer's end of file into an error. */
static void
hang_up(int fd)
{
	char rest[4096];

	for (int i = 0; i < 32 && read(fd, rest, sizeof(rest)) > 0; i++)
		;
	close(fd);
}

static void
client_close(struct client *c)
{
	struct client **at = &c->a->clients;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	c->a->nclients--;
	startd_close(c);
	loop_cancel(c->a->loop, c->timer);
	loop_del(c->a->loop, c->fd);
	hang_up(c->fd);
	buf_free(&c->in);
	buf_free(&c->out);
	buf_free(&c->answer);
	free(c);
}

static void
on_write(struct loop *l, int fd, short revents, void *arg)
{
	struct client *c = arg;

	(void)l, (void)revents;
	if (buf_write_fd(&c->out, fd) < 0 || c->out.len == 0)
		client_close(c);
}

static void
on_unread(struct loop *l, int fd, short revents, void *arg)
{
	struct client *c = arg;

	(void)l, (void)fd, (void)revents;
	c->timer = 0;
	log_limited(&c->a->bad, "%s: %s: the answer was not read in %d s", c->rq.source,
	    c->rq.method, ANSWER_MS / 1000);
	client_close(c);
}

/* What is in out goes, and then so does the client. */
static void
answer(struct client *c)
{
	struct loop *l = c->a->loop;

	startd_close(c);
	loop_cancel(l, c->timer);
	loop_del(l, c->fd);
	if (buf_write_fd(&c->out, c->fd) == 0 && c->out.len > 0) {
		c->timer = loop_after(l, ANSWER_MS, on_unread, c);
		if (c->timer != 0 && loop_add(l, c->fd, POLLOUT, on_write, c))
			return;
	}
	client_close(c);
}

static void
malformed(struct client *c, const char *what)
{
	log_limited(&c->a->bad, "malformed request: %s", what);
	answer_exception(&c->out, "ProtocolError", "%s", what);
	answer(c);
}

static void
on_startd(struct loop *l, int fd, short revents, void *arg)
{
	struct client *c = arg;
	const ssize_t n = buf_read_fd(&c->answer, fd, KV_BYTES);

	(void)l, (void)revents;
	if (n > 0 || (n == -2 && buf_room(&c->answer) > 0))
		return;
	ask_answer(&c->call, buf_bytes(&c->answer), c->answer.len);
	answer(c);
}

static void
on_begun(struct loop *l, int fd, short revents, void *arg)
{
	struct client *c = arg;

	(void)l, (void)fd, (void)revents;
	c->timer = 0;
	answer_ok(&c->out);
	answer(c);
}

/* Who has left is not answered; startd goes on. */
static void
on_left(struct loop *l, int fd, short revents, void *arg)
{
	(void)l, (void)fd, (void)revents;
	client_close(arg);
}

static void
ask(struct client *c)
{
	struct adminapid *a = c->a;
	bool ok;

	logit("%s: %s%s%s %s", c->rq.source, c->rq.method, c->rq.arg[0] != '\0' ? "+" : "",
	    c->rq.arg, c->rq.dest);
	c->startd = a->nstarts < STARTS_MAX ? ask_startd(&c->call) : -1;
	if (c->startd < 0) {
		answer_exception(&c->out, "QubesException", "%s",
		    a->nstarts < STARTS_MAX ? "startd cannot be reached"
					    : "64 requests wait for startd already");
		answer(c);
		return;
	}
	a->nstarts++;
	ok = loop_add(a->loop, c->startd, POLLIN, on_startd, c) &&
	     loop_add(a->loop, c->fd, 0, on_left, c);
	if (ok && c->call.now)
		c->timer = loop_after(a->loop, BEGUN_MS, on_begun, c);
	if (!ok || (c->call.now && c->timer == 0))
		client_close(c);
}

/* The request is whole. */
static void
act(struct client *c)
{
	const char *bad = request_parse(&c->rq, buf_bytes(&c->in), c->in.len);

	if (bad != NULL) {
		malformed(c, bad);
		return;
	}
	loop_cancel(c->a->loop, c->timer);
	c->timer = 0;
	loop_del(c->a->loop, c->fd);
	buf_free(&c->in);
	c->call = (struct call){.vm = c->a->vm, .state = c->a->state, .rq = &c->rq, .out = &c->out};
	call_run(&c->call);
	if (c->call.op != NULL)
		ask(c);
	else
		answer(c);
}

/* Reads what is there; true when there is nothing to wait for any more (the client may be gone). */
static bool
take_in(struct client *c)
{
	ssize_t got;

	while ((got = buf_read_fd(&c->in, c->fd, REQUEST_MAX)) > 0)
		;
	if (got == -2 && buf_room(&c->in) > 0)
		return false;
	if (got == 0)
		act(c);
	else
		malformed(c, got == -1 ? "connection lost" : "longer than 65536 bytes");
	return true;
}

static void
on_client(struct loop *l, int fd, short revents, void *arg)
{
	(void)l, (void)fd, (void)revents;
	(void)take_in(arg);
}

static void
on_deadline(struct loop *l, int fd, short revents, void *arg)
{
	struct client *c = arg;

	(void)l, (void)fd, (void)revents;
	c->timer = 0;
	malformed(c, "not whole after 10 s");
}

static void
client_new(struct adminapid *a, int fd)
{
	struct client *c = NULL;
	const char *why = "neither root nor of group qubes";

	if (sock_peer_is_person(fd, a->people)) {
		c = a->nclients < CLIENTS_MAX ? calloc(1, sizeof(*c)) : NULL;
		why = a->nclients < CLIENTS_MAX ? "no memory" : "256 connections already";
	}
	if (c == NULL) {
		log_limited(&a->busy, "a connection is refused: %s", why);
		hang_up(fd);
		return;
	}
	*c = (struct client){.a = a, .fd = fd, .startd = -1, .in = {.max = REQUEST_MAX + 1}};
	c->out.max = ANSWER_MAX;
	c->answer.max = KV_BYTES;
	c->next = a->clients;
	a->clients = c;
	a->nclients++;
	if (take_in(c)) /* most have sent all by now */
		return;
	c->timer = loop_after(a->loop, REQUEST_MS, on_deadline, c);
	if (c->timer == 0 || !loop_add(a->loop, fd, POLLIN, on_client, c))
		malformed(c, "no memory");
}

static void
on_accept(struct loop *l, int sock, short revents, void *arg)
{
	struct adminapid *a = arg;
	struct stat st;
	int fd = -1;

	(void)revents;
	if (fstat(a->vm, &st) == 0 && st.st_nlink == 0)
		return loop_stop(
		    l, 0); /* vm.d was removed: s6 starts us anew, with the present one */
	for (int i = 0; i < 64 && (fd = sock_accept(sock)) >= 0; i++)
		client_new(a, fd);
	if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
		log_limited(&a->busy, "nobody is let in: %s", strerror(errno));
		loop_rest(l, sock);
	}
}

/* A state has changed: whose shutdown has begun? */
static void
on_change(struct loop *l, int fd, short revents, void *arg)
{
	struct adminapid *a = arg;
	struct client *next;
	char events[4096];

	(void)l, (void)revents;
	while (read(fd, events, sizeof(events)) > 0)
		;
	for (struct client *c = a->clients; c != NULL; c = next) {
		next = c->next;
		if (c->startd < 0 || !c->call.now || !ask_begun(&c->call))
			continue;
		answer_ok(&c->out);
		answer(c);
	}
}

static void
serve(struct adminapid *a, int ready_fd)
{
	a->vm = openat(AT_FDCWD, ETC_VM, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	a->state = openat(AT_FDCWD, RUN_STATE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (a->vm < 0 || a->state < 0)
		die("%s", a->vm < 0 ? ETC_VM : RUN_STATE);
	if (!loop_add(a->loop, a->sock, POLLIN, on_accept, a) ||
	    !loop_add(a->loop, a->changes, POLLIN, on_change, a))
		die("loop");
	daemon_ready(ready_fd);
}
