/* SPDX-License-Identifier: ISC */
/* peer.h, the target's side: a ticket comes, policyd says what it stands for, the agent starts
 * that. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ids.h"
#include "paths.h"
#include "peer.h"
#include "qrexecd.h"
#include "sock.h"

struct peer {
	struct peer *next, **at;
	struct qd *q;
	int fd;
	uid_t uid;
	bool disposable; /* the call that this qube was made for */
	uint32_t timer;
	uint32_t from, port; /* port not 0: the agent was told to start the call */
	struct buf in;
	struct helper *h;
};

static void
peer_free(struct peer *p)
{
	loop_cancel(p->q->loop, p->timer);
	loop_del(p->q->loop, p->fd);
	close(p->fd);
	*p->at = p->next;
	if (p->next != NULL)
		p->next->at = p->at;
	helper_free(p->h);
	buf_free(&p->in);
	if (p->port == 0)
		door_left(&p->q->peer_door);
	free(p);
}

static void
peer_refuse(struct peer *p, const char *why)
{
	char m[LOG_ESC_MAX + 64];

	snprintf(m, sizeof(m), "result=refused\nreason=%s\n\n", why);
	sock_send_fd(p->fd, m, strlen(m), -1);
	logit("peer %lld: %s; refused", (long long)uid_qid(p->uid, PROG_QREXECD), why);
	peer_free(p);
}

static void
on_late(struct loop *l, int fd, short revents, void *arg)
{
	struct peer *p = arg;

	(void)l, (void)fd, (void)revents;
	p->timer = 0;
	if (p->port != 0)
		peer_free(p); /* its caller waits no longer either */
	else
		peer_refuse(p, "no time left for the request");
}

/* The agent knows of the call. That it ends, or the agent does, is told; it takes no place
 * meanwhile. */
static void
hold(struct peer *p, uint32_t from, uint32_t port)
{
	helper_free(p->h);
	p->h = NULL;
	buf_free(&p->in);
	p->from = from;
	p->port = port;
	door_left(&p->q->peer_door);
	loop_cancel(p->q->loop, p->timer);
	p->timer = 0;
	if (p->disposable) {
		/* who asked for the qube lets it go when it hears that this is over */
		dispose_call(p->q, from, port);
		return;
	}
	p->timer = loop_after(p->q->loop, PEER_HELD_MS, on_late, p);
	if (p->timer == 0)
		peer_free(p);
}

static void
peer_over(struct peer *p)
{
	sock_send_fd(p->fd, PEER_OVER, strlen(PEER_OVER), -1);
	peer_free(p);
}

/* Is the peer the qrexecd of the ticket's source? */
static bool
speaks_for(const struct peer *p, const char *source_qid)
{
	uint32_t qid;

	return parse_u32(source_qid, UINT32_MAX, &qid) && uid_qid(p->uid, PROG_QREXECD) == qid;
}

/* Everything comes from policyd's answer. NULL, the caller's domain and the port, or why not. */
static const char *
start_call(struct peer *p, const struct kv *kv, uint32_t *from, uint32_t *port)
{
	struct qd *q = p->q;
	const char *source = kv_get(kv, "source"), *qid = kv_get(kv, "source_qid");
	const char *domid = kv_get(kv, "source_domid");
	const char *target = kv_get(kv, "target"), *service = kv_get(kv, "service");
	const char *user = kv_get(kv, "user"), *as = kv_get(kv, "policy_source");
	const char *disposable = kv_get(kv, "disposable"), *why;
	char command[CONTROL_BODY_MAX];
	size_t n;

	if (source == NULL || qid == NULL || domid == NULL || target == NULL || service == NULL ||
	    user == NULL || service[0] == '\0' || strchr(user, ':') != NULL ||
	    !parse_u32(domid, UINT32_MAX, from) || *from == 0)
		return "policyd's answer lacks something";
	if (!speaks_for(p, qid))
		return "the ticket belongs to another qube";
	if (strcmp(target, q->name) != 0)
		return "the ticket is for another target";
	p->disposable = disposable != NULL && strcmp(disposable, "yes") == 0;
	if (strcmp(user, "DEFAULT") == 0)
		user = q->user;
	n = route_command(
	    command, sizeof(command), user, service, as != NULL && as[0] != '\0' ? as : source);
	if (n == 0)
		return "the command is longer than a control message may be (4096 bytes)";
	if (agent_busy(q))
		return "the target's agent does not read";
	if (!ports_fair(&q->ports, *from))
		return "the target runs 96 calls of this qube, or 224 of all";
	*port = ports_take(&q->ports, q->domid, *from);
	if (*port == 0)
		return "no data port of the target is free";
	why = agent_exec(q, MSG_EXEC_CMDLINE, *from, *port, command, n);
	if (why != NULL)
		ports_free(&q->ports, *from, *port);
	return why;
}

static void
on_redeemed(struct helper *h, const char *why)
{
	struct peer *p = h->arg;
	char reason[LOG_ESC_MAX], m[96];
	uint32_t from = 0, port = 0;

	if (why == NULL)
		why = helper_result(h, &p->q->kv, reason, sizeof(reason));
	if (why == NULL)
		why = start_call(p, &p->q->kv, &from, &port);
	if (why != NULL) {
		peer_refuse(p, why);
		return;
	}
	snprintf(m, sizeof(m), "result=ok\ndomid=%u\nport=%u\n\n", p->q->domid, port);
	if (sock_send_fd(p->fd, m, strlen(m), -1))
		hold(p, from, port);
	else
		peer_free(p);
}

/* The request is whole. NULL, or why it is refused. */
static const char *
redeem(struct peer *p)
{
	const char *why, *ticket;
	char request[96];
	struct kv *kv = &p->q->kv;

	why = kv_parse(kv, buf_bytes(&p->in), p->in.len);
	if (why != NULL)
		return why;
	ticket = kv_get(kv, "ticket");
	if (ticket == NULL || !hexid_ok(ticket))
		return "no ticket";
	snprintf(request, sizeof(request), "redeem=%s\nuse=call\n\n", ticket);
	p->h = helper_ask(p->q, POLICY_SOCK, PEER_MS, request, on_redeemed, p);
	return p->h == NULL ? "no memory" : NULL;
}

static void
on_readable(struct loop *l, int fd, short revents, void *arg)
{
	struct peer *p = arg;
	const char *why = NULL;
	ssize_t r;

	(void)l, (void)revents;
	r = buf_read_fd(&p->in, fd, PEER_REQUEST_MAX + 1);
	if (r == 0 || r == -1 || (r > 0 && p->port != 0)) {
		peer_free(p);
		return;
	}
	if (p->in.len > PEER_REQUEST_MAX)
		why = "its request is longer than 256 bytes";
	else if (r > 0 && p->h != NULL)
		why = "it says more than its request";
	else if (r > 0 && kv_whole(buf_bytes(&p->in), p->in.len) > 0)
		why = redeem(p);
	if (why != NULL)
		peer_refuse(p, why);
}

void
peers_end(struct qd *q)
{
	for (struct peer *p = q->peers, *next; p != NULL; p = next) {
		next = p->next;
		if (p->port != 0)
			peer_over(p);
		else
			peer_free(p);
	}
}

void
peers_port_freed(struct qd *q, uint32_t domain, uint32_t port)
{
	for (struct peer *p = q->peers; p != NULL; p = p->next)
		if (p->port == port && p->from == domain) {
			peer_over(p);
			return;
		}
}

/* NULL, or why this connection is closed. */
static const char *
unwanted(const struct qd *q, int fd, uid_t *uid)
{
	unsigned n = 0;

	if (!sock_peer(fd, uid, NULL) || uid_qid(*uid, PROG_QREXECD) <= 0)
		return "is no qrexecd's";
	for (const struct peer *p = q->peers; p != NULL; p = p->next)
		n += p->uid == *uid && p->port == 0;
	return n >= PEERS_PER_QUBE ? "has 16 requests open" : NULL;
}

void
peer_came(struct qd *q, int fd)
{
	uid_t uid = 0;
	const char *why = unwanted(q, fd, &uid);
	struct peer *p = why == NULL ? calloc(1, sizeof(*p)) : NULL;

	if (p == NULL) {
		log_limited(&q->peer_door.full, "peer: uid %u %s; closed", uid,
		    why != NULL ? why : "finds no memory");
		close(fd);
		door_left(&q->peer_door);
		return;
	}
	*p = (struct peer){.next = q->peers, .at = &q->peers, .q = q, .fd = fd, .uid = uid};
	p->in.max = PEER_REQUEST_MAX + 1;
	if (p->next != NULL)
		p->next->at = &p->next;
	q->peers = p;
	p->timer = loop_after(q->loop, REQUEST_MS, on_late, p);
	if (p->timer == 0 || !loop_add(q->loop, fd, POLLIN, on_readable, p))
		peer_free(p);
}
