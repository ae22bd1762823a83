/* SPDX-License-Identifier: ISC */
/* chand: opens channels for those who may not reach the qubes' side themselves (chansock.h). */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "backend.h"
#include "chansock.h"
#include "daemon.h"
#include "ids.h"
#include "kv.h"
#include "log.h"
#include "paths.h"
#include "request.h"
#include "sock.h"

#define PEERS_MAX 4096
#define PEERS_PER_DAEMON 16 /* of one uid that is no person: a qrexecd holds one channel */
#define NOFILE (3 * PEERS_MAX)
#define REQUEST_MS 5000
#define RETRY_MS 2
#define ACCEPTS 64 /* in one go: the rest of the loop has its turn */

struct peer {
	struct peer *next;
	int fd, listener; /* listener: our copy while the name stands, else -1 */
	uid_t uid;
	bool person, waiting;
	const struct domain *dom;
	uint32_t port, timer, tries;
	struct buf in;
};

static struct {
	struct loop *loop;
	struct peer *peers;
	size_t npeers;
	gid_t people;
	int sock;
	struct log_limit refused;
} s;

static void
withdraw(struct peer *p)
{
	if (p->listener < 0)
		return;
	loop_del(s.loop, p->listener);
	close(p->listener);
	p->listener = -1;
	if (p->dom)
		backend_unlisten(p->dom, p->port);
}

static void
peer_free(struct peer *p)
{
	struct peer **at = &s.peers;

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	withdraw(p);
	loop_cancel(s.loop, p->timer);
	loop_del(s.loop, p->fd);
	close(p->fd);
	buf_free(&p->in);
	free(p);
	s.npeers--;
}

static void
refuse(struct peer *p, const char *reason)
{
	struct buf out = {.max = CHAN_REQUEST_MAX};

	log_limited(&s.refused, "uid %u refused: %s", (unsigned)p->uid, reason);
	if (buf_printf(&out, "result=refused\nreason=%s\n\n", reason))
		(void)buf_write_fd(&out, p->fd);
	buf_free(&out);
	peer_free(p);
}

/* Hands the descriptor over; from then on the connection is the control descriptor. */
static bool
hand_over(struct peer *p, int fd)
{
	char text[64];
	const int n = snprintf(text, sizeof text, "result=ok\ndomid=%u\n\n", p->dom->domid);
	const bool ok = sock_send_fd(p->fd, text, (size_t)n, fd);

	p->waiting = false;
	loop_cancel(s.loop, p->timer);
	p->timer = 0;
	if (!ok)
		peer_free(p);
	return ok;
}

/* The peer came: the name is not needed any more, and must not meet the port's next user. */
static void
on_peer_came(struct loop *l, int fd, short revents, void *arg)
{
	(void)l;
	(void)fd;
	(void)revents;
	withdraw(arg);
}

static void
serve(struct peer *p)
{
	int fd;

	/* A port that is asked for again is free again: its owner's hang-up is on its way to us. */
	for (struct peer *o = s.peers; o; o = o->next)
		if (o != p && o->dom == p->dom && o->port == p->port)
			withdraw(o);
	fd = backend_listen(p->dom, p->port);
	p->listener = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0 || p->listener < 0 || !loop_add(s.loop, p->listener, POLLIN, on_peer_came, p)) {
		if (fd >= 0)
			close(fd);
		return refuse(p, strerror(errno));
	}
	(void)hand_over(p, fd);
	close(fd);
}

static void
on_retry(struct loop *l, int tfd, short revents, void *arg)
{
	struct peer *p = arg;
	char byte;
	int fd;

	(void)tfd;
	(void)revents;
	p->timer = 0;
	/* The qube would take one that nobody waits for any more for its peer. */
	if (recv(p->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
		return peer_free(p);
	fd = backend_connect(p->dom, p->port);
	if (fd >= 0) {
		(void)hand_over(p, fd);
		close(fd);
	} else if (errno ==
		   ECONNREFUSED) { /* a name without a listener: not yet, or not any more */
		p->timer = loop_after(l, p->tries < 50 ? RETRY_MS : 100, on_retry, p);
		p->tries++;
	} else if (errno != EAGAIN) {
		refuse(p, strerror(errno));
	}
}

static void
on_request(struct peer *p, size_t n)
{
	const int64_t qid = uid_qid(p->uid, PROG_QREXECD);
	struct chan_request r;
	const char *bad = chan_request_parse(&r, buf_bytes(&p->in), n);

	if (!bad && qid > 0)
		p->dom = backend_find(0, (uint32_t)qid); /* its own qube, whatever it asks for */
	else if (!bad && p->person && r.domid > 0)
		p->dom = backend_find(r.domid, 0);
	if (!bad && !p->dom)
		bad = qid > 0 || p->person ? "no such domain is running"
					   : "not a qrexecd, root or of group qubes";
	if (bad)
		return refuse(p, bad);
	loop_cancel(s.loop, p->timer);
	p->timer = 0;
	p->port = r.port;
	if (r.server)
		return serve(p);
	p->waiting = true;
	on_retry(s.loop, -1, 0, p);
}

static void
on_peer(struct loop *l, int fd, short revents, void *arg)
{
	struct peer *p = arg;
	const ssize_t n = buf_read_fd(&p->in, fd, CHAN_REQUEST_MAX);
	const size_t whole = kv_whole(buf_bytes(&p->in), p->in.len);

	(void)l;
	(void)revents;
	if (n <= 0 && n != -2)
		peer_free(p); /* it lets go */
	else if (p->dom || (whole == 0 && buf_room(&p->in) == 0) ||
		 (whole != 0 && whole < p->in.len))
		refuse(p, "more than one request");
	else if (whole != 0) {
		on_request(p, whole);
	}
}

static void
on_deadline(struct loop *l, int fd, short revents, void *arg)
{
	(void)l;
	(void)fd;
	(void)revents;
	((struct peer *)arg)->timer = 0;
	refuse(arg, "request not whole after 5 s");
}

/* One that was taken over must leave room for the others. */
static bool
crowded(const struct peer *p)
{
	size_t same = 0;

	if (p->person)
		return false;
	for (const struct peer *o = s.peers; o; o = o->next)
		same += !o->person && o->uid == p->uid;
	return same > PEERS_PER_DAEMON;
}

static void
on_accept(struct loop *l, int sock, short revents, void *arg)
{
	int fd;

	(void)revents;
	(void)arg;
	for (int i = 0; i < ACCEPTS && (fd = sock_accept(sock)) >= 0; i++) {
		struct peer *p = s.npeers < PEERS_MAX ? calloc(1, sizeof *p) : NULL;

		if (!p) {
			close(fd);
			continue;
		}
		*p = (struct peer){
		    .next = s.peers, .fd = fd, .listener = -1, .in = {.max = CHAN_REQUEST_MAX}};
		s.peers = p;
		s.npeers++;
		if (!sock_peer(fd, &p->uid, NULL) || !loop_add(l, fd, POLLIN, on_peer, p)) {
			peer_free(p);
			continue;
		}
		p->person = uid_qid(p->uid, PROG_QREXECD) < 0 && sock_peer_is_person(fd, s.people);
		if (crowded(p)) {
			refuse(p, "16 connections of this uid already");
			continue;
		}
		p->timer = loop_after(l, REQUEST_MS, on_deadline, p);
		on_peer(l, fd, POLLIN, p); /* most have sent all by now */
	}
	if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
		log_limited(&s.refused, "nobody is let in: %s", strerror(errno));
		loop_rest(l, sock);
	}
}

/* A byte and end of file on the control descriptor: let go. Our own end, without the byte, is no
 * news. */
static void
on_gone(const struct domain *d)
{
	struct peer *p = s.peers, *next;

	for (; p; p = next) {
		next = p->next;
		if (p->dom != d)
			continue;
		if (p->waiting) {
			refuse(p, "the domain ended");
			continue;
		}
		(void)sock_send_fd(p->fd, "\n", 1, -1);
		peer_free(p);
	}
}

static void
on_came(const struct domain *d)
{
	struct peer *p = s.peers, *next;

	for (; p; p = next) {
		next = p->next;
		if (p->dom != d || !p->waiting || p->timer)
			continue;
		p->tries = 0;
		on_retry(s.loop, -1, 0, p);
	}
}

static void
on_signal(struct loop *l, int sig, short revents, void *arg)
{
	(void)sig;
	(void)revents;
	(void)arg;
	loop_stop(l, 0);
}

/* What sockets in directories and of files that belong to the qubes need, and no more. */
static void
keep_few_capabilities(void)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct c[2] = {{0}};

	c[0].effective = c[0].permitted = 1u << CAP_DAC_OVERRIDE | 1u << CAP_FOWNER;
	if (syscall(SYS_capset, &h, c) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		die("capabilities");
}

int
main(int argc, char **argv)
{
	static const int sigs[] = {SIGTERM};
	const struct rlimit files = {NOFILE, NOFILE};
	const int ready = daemon_options(argc, argv, "chand");

	signal(SIGPIPE, SIG_IGN);
	umask(022);
	(void)setrlimit(RLIMIT_NOFILE, &files);
	s.people = people_gid();
	s.loop = loop_new();
	s.sock = sock_listen(CHAN_SOCK, 0666);
	if (s.sock < 0 || !loop_signals(s.loop, sigs, 1, on_signal, NULL))
		die("%s", CHAN_SOCK);
	keep_few_capabilities();
	backend_start(s.loop, on_gone, on_came);
	if (!loop_add(s.loop, s.sock, POLLIN, on_accept, NULL))
		die("loop");
	daemon_ready(ready);
	return loop_run(s.loop);
}
