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
#include "qdb/qdb.h"
#include "request.h"
#include "sock.h"

#define PEERS_MAX 4096
#define PEERS_OF_OTHERS 16 /* of one uid that may have nothing */
#define NOFILE (3 * PEERS_MAX)
#define REQUEST_MS 5000
#define RETRY_MS 2 /* doubled each time, up to */
#define RETRY_MAX_MS 1000
#define QUICK_LOOKS 50	/* a qube that says again and again that its server came: */
#define SLOW_LOOK_MS 50 /* not looked at more often than so */
#define ACCEPTS 64	/* in one go: the rest of the loop has its turn */

/* What a qube's daemons may have, and how often at a time. */
static const struct daemon {
	enum prog prog;
	unsigned roles; /* 1 << CHAN_x */
	unsigned most;
	uint32_t port; /* of a server, the only one */
} daemons[] = {
    {PROG_QREXECD, 1u << CHAN_CLIENT | 1u << CHAN_WATCH, 16, 0},
    {PROG_GUID, 1u << CHAN_CLIENT | 1u << CHAN_WATCH | 1u << CHAN_GRANTS, 16, 0},
    {PROG_QDB, 1u << CHAN_SERVER | 1u << CHAN_WATCH, 4, QDB_PORT},
};

struct peer {
	struct peer *next;
	int fd;
	int came;   /* readable when a server's peer has come, or -1 */
	int passed; /* what came with the request, or -1 */
	uid_t uid;
	uint32_t qid;		     /* of a daemon, */
	const struct daemon *daemon; /* or NULL */
	bool person;
	bool shown;   /* a server that the qube is shown */
	bool waiting; /* a client whose server is not there yet */
	bool soon;    /* its timer will look again because something came */
	const struct domain *dom;
	uint32_t port, pages, timer, tries, looks;
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
	if (p->came >= 0) {
		loop_del(s.loop, p->came);
		close(p->came);
		p->came = -1;
	}
	if (p->shown)
		backend_unlisten(p->dom, p->port);
	p->shown = false;
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
	if (p->passed >= 0)
		close(p->passed);
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

/* Hands the descriptor over (-1: there is none); from then on the connection is the control
 * descriptor. */
static void
hand_over(struct peer *p, int fd)
{
	char text[64];
	const int n = snprintf(text, sizeof text, "result=ok\ndomid=%u\n\n", p->dom->domid);

	p->waiting = false;
	loop_cancel(s.loop, p->timer);
	p->timer = 0;
	if (!sock_send_fd(p->fd, text, (size_t)n, fd))
		peer_free(p);
	if (fd >= 0)
		close(fd);
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

/* It has let go, and its turn in the loop is still to come. */
static bool
hung_up(const struct peer *p)
{
	char byte;

	return recv(p->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static void
serve(struct peer *p)
{
	int fd;

	/* A port that is asked for again is free again: its owner's hang-up is on its way to us. */
	for (struct peer *o = s.peers; o; o = o->next)
		if (o != p && o->dom == p->dom && o->port == p->port)
			withdraw(o);
	fd = backend_listen(p->dom, p->port, &p->came);
	if (fd < 0)
		return refuse(p, backend_why(errno));
	p->shown = true;
	if (p->came >= 0 && !loop_add(s.loop, p->came, POLLIN, on_peer_came, p)) {
		close(fd);
		return refuse(p, "no memory");
	}
	hand_over(p, fd);
}

static void
on_retry(struct loop *l, int tfd, short revents, void *arg)
{
	struct peer *p = arg;
	int fd;

	(void)tfd;
	(void)revents;
	p->timer = 0;
	p->soon = false;
	/* The qube would take one that nobody waits for any more for its peer. */
	if (hung_up(p))
		return peer_free(p);
	p->looks++;
	fd = backend_connect(p->dom, p->port);
	if (fd >= 0) {
		hand_over(p, fd);
	} else if (errno == ECONNREFUSED) { /* a name without a listener: not yet, or no more */
		const uint64_t ms = RETRY_MS << (p->tries < 9 ? p->tries++ : 9);

		p->timer = loop_after(l, ms < RETRY_MAX_MS ? ms : RETRY_MAX_MS, on_retry, p);
	} else if (errno != EAGAIN) {
		refuse(p, backend_why(errno));
	}
}

static uint32_t
pages_of(const struct domain *d)
{
	uint32_t n = 0;

	for (const struct peer *p = s.peers; p; p = p->next)
		n += p->pages > 0 && p->dom == d && !hung_up(p) ? p->pages : 0;
	return n;
}

/* A memfd alone has seals: reading any other descriptor could keep us waiting. */
static const char *
map(struct peer *p, uint32_t pages, int *fd)
{
	const size_t size = pages * sizeof(uint32_t);
	uint32_t *untrusted_refs;
	const char *bad = NULL;

	if (pages > CHAN_QUBE_PAGES - pages_of(p->dom))
		return "the qube's quota of 32768 mapped pages";
	if (p->passed < 0 || fcntl(p->passed, F_GET_SEALS) < 0)
		return "no memfd with the request";
	untrusted_refs = malloc(size);
	if (!untrusted_refs)
		return "no memory";
	if (pread(p->passed, untrusted_refs, size, 0) != (ssize_t)size)
		bad = "fewer references than pages";
	else if ((*fd = backend_map(p->dom, untrusted_refs, pages)) < 0)
		bad = backend_why(errno);
	free(untrusted_refs);
	close(p->passed); /* or its memory would stay as long as the pages */
	p->passed = -1;
	return bad;
}

static void
grants(struct peer *p, uint32_t pages)
{
	int fd = -1;
	const char *bad = map(p, pages, &fd);

	if (bad)
		return refuse(p, bad);
	p->pages = pages;
	hand_over(p, fd);
}

/* A daemon gets its own qube, whatever it asks for. */
static const char *
whose(struct peer *p, const struct chan_request *r)
{
	if (p->daemon && (!(p->daemon->roles & 1u << r->role) ||
			     (r->role == CHAN_SERVER && r->port != p->daemon->port)))
		return "not for this daemon";
	if (!p->daemon && !p->person)
		return "not a daemon of a qube's, root or of group qubes";
	if (p->daemon)
		p->dom = running_find(0, p->qid);
	else if (r->domid > 0)
		p->dom = running_find(r->domid, 0);
	return p->dom ? NULL : "no such domain is running";
}

static void
on_request(struct peer *p, size_t n)
{
	struct chan_request r;
	const char *bad = chan_request_parse(&r, buf_bytes(&p->in), n);

	if (!bad)
		bad = whose(p, &r);
	if (bad)
		return refuse(p, bad);
	loop_cancel(s.loop, p->timer);
	p->timer = 0;
	buf_free(&p->in);
	p->port = r.port;
	if (r.role == CHAN_SERVER)
		return serve(p);
	if (r.role == CHAN_GRANTS)
		return grants(p, r.pages);
	if (r.role == CHAN_WATCH)
		return hand_over(p, -1);
	p->waiting = true;
	on_retry(s.loop, -1, 0, p);
}

/* NULL, or why this is one word too many. */
static const char *
take(struct peer *p, const void *untrusted, size_t n)
{
	size_t whole;

	if (p->dom) { /* all that a holder may say */
		if (n != 1 || memcmp(untrusted, CHAN_CAME, 1) != 0)
			return "more than one request";
		withdraw(p);
		return NULL;
	}
	if (!buf_put(&p->in, untrusted, n))
		return "request too long";
	whole = kv_whole(buf_bytes(&p->in), p->in.len);
	if ((whole == 0 && buf_room(&p->in) == 0) || (whole != 0 && whole < p->in.len))
		return "more than one request";
	if (whole != 0)
		on_request(p, whole);
	return NULL;
}

static void
on_peer(struct loop *l, int fd, short revents, void *arg)
{
	struct peer *p = arg;
	char untrusted[CHAN_REQUEST_MAX];
	const char *bad;
	int passed;
	const ssize_t n = sock_recv_fd(fd, untrusted, sizeof untrusted, &passed);

	(void)l;
	(void)revents;
	if (passed >= 0 && p->passed >= 0)
		close(p->passed);
	if (passed >= 0)
		p->passed = passed;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		return peer_free(p); /* it lets go */
	bad = take(p, untrusted, (size_t)n);
	if (bad)
		refuse(p, bad);
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

/* Who it is. NULL, or why it is one too many: one that was taken over must leave room for the
 * others. */
static const char *
known(struct peer *p)
{
	unsigned same = 0, most = PEERS_OF_OTHERS;

	for (size_t i = 0; i < sizeof daemons / sizeof *daemons; i++) {
		const int64_t qid = uid_qid(p->uid, daemons[i].prog);

		if (qid <= 0)
			continue;
		p->daemon = &daemons[i];
		p->qid = (uint32_t)qid;
		most = daemons[i].most;
	}
	p->person = !p->daemon && sock_peer_is_person(p->fd, s.people);
	for (const struct peer *o = s.peers; o && !p->person; o = o->next)
		same += !o->person && o->uid == p->uid && !hung_up(o);
	return same > most ? "this uid has too many connections" : NULL;
}

static void
on_accept(struct loop *l, int sock, short revents, void *arg)
{
	const char *bad;
	int fd;

	(void)revents;
	(void)arg;
	for (int i = 0; i < ACCEPTS && (fd = sock_accept(sock)) >= 0; i++) {
		struct peer *p = s.npeers < PEERS_MAX ? calloc(1, sizeof *p) : NULL;

		if (!p) {
			close(fd);
			continue;
		}
		*p = (struct peer){.next = s.peers, .fd = fd, .came = -1, .passed = -1};
		p->in.max = CHAN_REQUEST_MAX;
		s.peers = p;
		s.npeers++;
		if (!sock_peer(fd, &p->uid, NULL) || !loop_add(l, fd, POLLIN, on_peer, p)) {
			peer_free(p);
			continue;
		}
		bad = known(p);
		if (bad) {
			refuse(p, bad);
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
	for (struct peer *p = s.peers; p; p = p->next) {
		if (p->dom != d || !p->waiting || p->soon)
			continue;
		p->tries = 0;
		p->soon = true;
		loop_cancel(s.loop, p->timer);
		p->timer =
		    loop_after(s.loop, p->looks < QUICK_LOOKS ? 0 : SLOW_LOOK_MS, on_retry, p);
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

/* What the backend needs, and no more. */
static void
keep_few_capabilities(void)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct c[2] = {{0}};

	c[0].effective = c[0].permitted = backend_capabilities;
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
