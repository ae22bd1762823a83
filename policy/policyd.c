/* SPDX-License-Identifier: ISC */
/* policyd: decides calls from the policy files, keeps tickets, asks the user (policyd.8). */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon.h"
#include "ids.h"
#include "paths.h"
#include "policy/policyd.h"
#include "policy/policysock.h"
#include "policyd.filter.h"
#include "sandbox.h"
#include "sock.h"

#define PAUSE_MS 100

static void take(struct policyd *p);
static void enter(void);
static void serve(struct policyd *p, int ready_fd);
static loop_fn on_signal, on_accept;

int
main(int argc, char **argv)
{
	static struct policyd p;
	int ready_fd = daemon_options(argc, argv, "policyd"), rc;

	take(&p);
	enter();
	serve(&p, ready_fd);
	rc = loop_run(p.loop);
	logit("ends");
	return rc;
}

static void
audit_dir(gid_t people)
{
	uid_t uid = geteuid() == 0 ? prog_uid(0, PROG_POLICYD) : geteuid();

	(void)mkdir(LOG_DIR, 0755);
	(void)mkdir(AUDIT_DIR, 02750);
	if (chown(AUDIT_DIR, uid, people) < 0 || chmod(AUDIT_DIR, 02750) < 0)
		die("%s", AUDIT_DIR);
}

/* All that needs root, or a place that the sandbox does not show. */
static void
take(struct policyd *p)
{
	static const int sigs[] = {SIGTERM, SIGHUP};

	signal(SIGPIPE, SIG_IGN);
	umask(0);
	p->people = people_gid();
	p->loop = loop_new();
	audit_dir(p->people);
	p->sock = sock_listen(POLICY_SOCK, 0666);
	p->eval_sock = sock_listen(EVAL_SOCK, 0666);
	if (p->sock < 0 || p->eval_sock < 0)
		die("%s", p->sock < 0 ? POLICY_SOCK : EVAL_SOCK);
	if (!loop_signals(p->loop, sigs, 2, on_signal, p))
		die("signals");
	known_watch(p);
}

static void
enter(void)
{
	static const struct sandbox_path paths[] = {
	    {"/etc/qubes", SB_READ | SB_MAYBE},
	    {"/etc/qubes-rpc", SB_READ | SB_MAYBE},
	    {RUN_POLICY, SB_READ | SB_MAYBE},
	    {RUN_STATE, SB_READ},
	    {RUN_ASK, SB_READ | SB_SOCKET},
	    {AUDIT_DIR, SB_READ | SB_WRITE},
	};
	const struct sandbox sb = {
	    .uid = geteuid() == 0 ? prog_uid(0, PROG_POLICYD) : SANDBOX_KEEP_UID,
	    .paths = paths,
	    .npaths = sizeof(paths) / sizeof(*paths),
	    .filter = policyd_filter,
	    .nfilter = policyd_filter_len,
	    .nofile = 4096,
	};

	sandbox_enter(&sb);
}

/* Requests. */

static void
on_flush(struct loop *l, int fd, short revents, void *arg)
{
	struct policyd *p = arg;

	(void)l;
	(void)fd;
	(void)revents;
	p->flush_timer = 0;
	log_flush(&p->busy, "refusals");
	log_flush(&p->bad, "malformed requests");
}

void
flush_later(struct policyd *p)
{
	if (p->flush_timer == 0)
		p->flush_timer = loop_after(p->loop, 1000, on_flush, p);
}

/* What is still unread would turn the peer's end of file into an error. */
static void
hang_up(int fd)
{
	char rest[4096];

	(void)!read(fd, rest, sizeof(rest));
	close(fd);
}

void
client_close(struct client *c)
{
	struct client **at = &c->p->clients;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	c->p->nclients--;
	loop_cancel(c->p->loop, c->timer);
	loop_del(c->p->loop, c->fd);
	hang_up(c->fd);
	buf_free(&c->in);
	free(c);
}

void
client_answer(struct client *c, const void *answer, size_t n)
{
	/* An answer always fits into a fresh socket's buffer: who does not get it whole gets none.
	 */
	if (n > 0 && write(c->fd, answer, n) != (ssize_t)n)
		logit("a peer of uid %u left before its answer", (unsigned)c->uid);
	client_close(c);
}

static void
malformed(struct client *c, const char *what)
{
	limited(c->p, &c->p->bad, "uid %u: malformed request: %s", (unsigned)c->uid, what);
	client_close(c);
}

static void
act(struct client *c, size_t n)
{
	struct kv kv;
	struct request rq;
	char text[KV_BYTES + 1];
	const char *bad;

	if (!known_drain(c->p)) {
		limited(c->p, &c->p->busy,
		    "a call is refused: no descriptors left to read changed files");
		client_close(c);
		return;
	}
	if (c->eval) {
		memcpy(text, buf_bytes(&c->in), n);
		text[n] = '\0';
		bad = eval_parse(&rq, text, n);
	} else {
		bad = request_parse(&rq, &kv, buf_bytes(&c->in), n);
	}
	if (bad != NULL)
		malformed(c, bad);
	else if (c->eval)
		evaluate(c, &rq);
	else if (rq.redeem != NULL)
		redeem(c, &rq);
	else if (rq.bind != NULL)
		bind_ticket(c, &rq);
	else
		decide(c, &rq);
}

/* Reads what is there; true when there is nothing to wait for any more (the client may be gone). */
static bool
take_in(struct client *c)
{
	ssize_t got = buf_read_fd(&c->in, c->fd, KV_BYTES);
	size_t whole = c->eval ? 0 : kv_whole(buf_bytes(&c->in), c->in.len);

	if (got == -1 || (whole != 0 && whole < c->in.len))
		malformed(c, got == -1 ? "connection lost" : "more than one request");
	else if (whole != 0 || got == 0)
		act(c, c->in.len);
	else if (buf_room(&c->in) == 0)
		malformed(c, "longer than 8192 bytes");
	else
		return false;
	return true;
}

static void
on_client(struct loop *l, int fd, short revents, void *arg)
{
	struct client *c = arg;

	(void)l;
	(void)fd;
	if (c->prompt == NULL)
		take_in(c);
	else if (revents & (POLLHUP | POLLERR))
		prompt_end(c->prompt, "withdrawn: the requester hung up");
}

bool
client_wait(struct client *c)
{
	loop_cancel(c->p->loop, c->timer);
	c->timer = 0;
	loop_del(c->p->loop, c->fd);
	return loop_add(c->p->loop, c->fd, 0, on_client, c);
}

static void
on_deadline(struct loop *l, int fd, short revents, void *arg)
{
	struct client *c = arg;

	(void)l;
	(void)fd;
	(void)revents;
	c->timer = 0;
	malformed(c, "not whole after 5 s");
}

/* Who may connect at all, and how often at a time. */
static const char *
refusal(const struct client *c)
{
	size_t same = 0, daemons = 0;

	if (c->p->nclients >= CLIENTS_MAX)
		return "256 connections already";
	if (c->person)
		return NULL;
	if (c->eval && uid_qid(c->uid, PROG_SVC) != 0 && uid_qid(c->uid, PROG_RELAY) < 0)
		return "not one of Dom0's services";
	if (!c->eval && uid_qid(c->uid, PROG_QREXECD) < 1)
		return "neither a qrexecd nor of group qubes";
	for (const struct client *o = c->p->clients; o != NULL; o = o->next) {
		same += o->uid == c->uid;
		daemons += !o->person;
	}
	if (daemons >= CLIENTS_BY_DAEMONS)
		return "192 connections of qubes' daemons already";
	return same >= CLIENTS_PER_UID ? "64 connections of this uid already" : NULL;
}

static void
client_new(struct policyd *p, int fd, bool eval)
{
	struct client *c = calloc(1, sizeof(*c));
	const char *why = "no memory";

	if (c != NULL) {
		*c = (struct client){.p = p, .fd = fd, .eval = eval, .in = {.max = KV_BYTES}};
		why = "no credentials";
		if (sock_peer(fd, &c->uid, NULL)) {
			c->person =
			    uid_qid(c->uid, PROG_QREXECD) < 0 && sock_peer_is_person(fd, p->people);
			why = refusal(c);
		}
	}
	if (why != NULL) {
		limited(p, &p->busy, "uid %u refused: %s", c != NULL ? (unsigned)c->uid : 0, why);
		hang_up(fd);
		free(c);
		return;
	}
	c->next = p->clients;
	p->clients = c;
	p->nclients++;
	if (take_in(c)) /* most have sent all by now */
		return;
	c->timer = loop_after(p->loop, REQUEST_MS, on_deadline, c);
	if (c->timer == 0 || !loop_add(p->loop, fd, POLLIN, on_client, c))
		malformed(c, "no memory");
}

static void
listen_on(struct policyd *p)
{
	if (!loop_add(p->loop, p->sock, POLLIN, on_accept, p) ||
	    !loop_add(p->loop, p->eval_sock, POLLIN, on_accept, p))
		die("poll loop");
}

static void
on_pause_over(struct loop *l, int fd, short revents, void *arg)
{
	(void)l;
	(void)fd;
	(void)revents;
	listen_on(arg);
}

/*
 * No descriptor is left: the spare one makes room to refuse, instead of leaving the caller waiting.
 * Where others are faster (the whole system has none), a pause keeps us from spinning.
 */
static void
refuse_one(struct policyd *p, int sock)
{
	int fd;

	limited(p, &p->busy, "a call is refused: %s", strerror(errno));
	if (p->spare >= 0)
		close(p->spare);
	fd = sock_accept(sock);
	if (fd >= 0)
		hang_up(fd);
	p->spare = fcntl(p->sock, F_DUPFD_CLOEXEC, 3);
	if (fd >= 0 || loop_after(p->loop, PAUSE_MS, on_pause_over, p) == 0)
		return;
	loop_del(p->loop, p->sock);
	loop_del(p->loop, p->eval_sock);
}

static void
on_accept(struct loop *l, int fd, short revents, void *arg)
{
	struct policyd *p = arg;

	(void)l;
	(void)revents;
	for (int i = 0; i < 64; i++) {
		int got = sock_accept(fd);

		if (got >= 0)
			client_new(p, got, fd == p->eval_sock);
		else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			refuse_one(p, fd);
		if (got < 0)
			return;
	}
}

static void
on_signal(struct loop *l, int sig, short revents, void *arg)
{
	(void)revents;
	if (sig == SIGTERM)
		loop_stop(l, 0);
	else
		known_reload(arg);
}

static void
on_change(struct loop *l, int fd, short revents, void *arg)
{
	(void)l;
	(void)fd;
	(void)revents;
	(void)known_drain(arg);
}

static void
serve(struct policyd *p, int ready_fd)
{
	audit_open(&p->audit, AUDIT_DIR);
	known_load(p);
	p->spare = fcntl(p->sock, F_DUPFD_CLOEXEC, 3);
	if (!loop_add(p->loop, p->known.inotify, POLLIN, on_change, p))
		die("poll loop");
	listen_on(p);
	daemon_ready(ready_fd);
}
