/* SPDX-License-Identifier: ISC */
/* The link to the agent: channel, HELLO, the messages it may send, the queue of what it gets. */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "paths.h"
#include "qrexecd.h"

#define IN_MAX (MSG_HEADER_LEN + TRIGGER4_FIXED + SERVICE_LEN_MAX)
#define OUT_MAX 65536u
#define OUT_BUSY 8192u /* from here on clients wait */
#define DRAIN_MAX 65536u
#define DRAIN_MS 100u
#define PART 2048u
#define READS_AT_ONCE 16
#define AGAIN_MS 10u	  /* after an agent that left in order */
#define AGAIN_BAD_MS 250u /* after one that did not, or when chand refuses */

static void link_close(struct qd *q, uint32_t wait_ms);
static void link_bad(struct qd *q, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void
on_again(struct loop *l, int fd, short revents, void *arg)
{
	struct qd *q = arg;

	(void)l, (void)fd, (void)revents;
	q->link.timer = 0;
	if (q->link.state == LINK_UP)
		link_bad(q, "it does not read: %u bytes wait for it", OUT_MAX);
	else if (q->link.state == LINK_DRAIN)
		link_close(q, AGAIN_BAD_MS);
	else
		link_start(q);
}

static void
later(struct qd *q, uint32_t ms)
{
	loop_cancel(q->loop, q->link.timer);
	q->link.timer = loop_after(q->loop, ms, on_again, q);
	if (q->link.timer == 0)
		die("no memory");
}

/* What lived by this agent goes; calls that run do not need it. */
static void
session_end(struct qd *q)
{
	if (q->link.state != LINK_UP)
		return;
	names_hide(q);
	dispose_agent_gone(q);
	clients_end(q);
	peers_end(q);
	routes_end(q);
	ports_orphan(&q->ports);
}

static void
link_close(struct qd *q, uint32_t wait_ms)
{
	struct link *k = &q->link;

	session_end(q);
	if (k->fd >= 0)
		loop_del(q->loop, k->fd);
	k->fd = -1;
	vchan_close(k->v);
	k->v = NULL;
	helper_free(k->chand);
	k->chand = NULL;
	loop_cancel(q->loop, k->watch);
	k->watch = 0;
	buf_free(&k->in);
	buf_free(&k->out);
	k->state = LINK_DOWN;
	later(q, wait_ms);
}

/* Ends the session over what the agent did. What it is still sending is read first: no broken pipe
 * for it. */
static void
link_bad(struct qd *q, const char *fmt, ...)
{
	char what[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap); /* NOLINT(clang-analyzer-valist.Uninitialized) */
	va_end(ap);
	logit("agent: %s; its session ends", what);
	session_end(q);
	q->link.state = LINK_DRAIN;
	later(q, DRAIN_MS);
}

static void
link_flush(struct qd *q)
{
	struct link *k = &q->link;
	ssize_t r = 1;

	/* -1: the next poll finds out, where nobody stands on what would be freed */
	while (k->out.len > 0 && (r = vchan_write(k->v, buf_bytes(&k->out), k->out.len)) > 0)
		buf_eat(&k->out, (size_t)r);
	if (k->out.len == 0 || r < 0)
		buf_free(&k->out);
}

static void on_link(struct loop *l, int fd, short revents, void *arg);

static void
link_watch(struct qd *q)
{
	struct link *k = &q->link;
	struct pollfd p;

	if (k->v == NULL)
		return;
	vchan_poll(k->v, (short)(k->out.len > 0 ? POLLIN | POLLOUT : POLLIN), &p);
	if (p.fd == k->fd) {
		loop_set(q->loop, p.fd, p.events);
		return;
	}
	if (k->fd >= 0)
		loop_del(q->loop, k->fd);
	k->fd = p.fd;
	if (p.fd >= 0 && !loop_add(q->loop, p.fd, p.events, on_link, q))
		die("no memory");
}

static bool
put(struct qd *q, uint32_t type, const void *fixed, size_t nfixed, const void *tail, size_t ntail)
{
	struct link *k = &q->link;
	uint32_t header[2] = {type, (uint32_t)(nfixed + ntail)};

	if (buf_room(&k->out) < sizeof(header) + nfixed + ntail ||
	    !buf_put(&k->out, header, sizeof(header)) || !buf_put(&k->out, fixed, nfixed) ||
	    !buf_put(&k->out, tail, ntail)) {
		/* part of a message may be in: this link is over, but not under its callers */
		later(q, 0);
		return false;
	}
	link_flush(q);
	link_watch(q);
	return true;
}

const char *
agent_exec(struct qd *q, uint32_t type, uint32_t domain, uint32_t port, const void *what, size_t n)
{
	uint32_t params[2] = {domain, port};

	if (q->link.state != LINK_UP)
		return "the agent is not there";
	if (n > CONTROL_BODY_MAX - sizeof(params))
		return "longer than a control message may be (4096 bytes)";
	if (!put(q, type, params, sizeof(params), what, n))
		return "the agent does not read";
	return NULL;
}

void
agent_refuse(struct qd *q, const char ident[IDENT_LEN])
{
	if (q->link.state == LINK_UP)
		put(q, MSG_SERVICE_REFUSED, ident, IDENT_LEN, NULL, 0);
}

bool
agent_busy(const struct qd *q)
{
	return q->link.out.len >= OUT_BUSY;
}

static void
on_hello(struct qd *q, uint32_t type, const uint8_t *untrusted, size_t n)
{
	struct rd r = rd_over(untrusted, n);
	uint32_t version = rd_u32(&r);

	(void)type;
	if (version < QREXEC_VERSION_MIN) {
		link_bad(q, "it speaks version %u, at least 2 is needed", version);
		return;
	}
	q->link.version = version < QREXEC_VERSION ? version : QREXEC_VERSION;
	if (!put(q, MSG_HELLO, &q->link.version, HELLO_LEN, NULL, 0))
		return;
	q->link.state = LINK_UP;
	if (!names_show(q)) {
		logit("cannot show the sockets; trying again");
		link_close(q, AGAIN_BAD_MS);
	}
}

static void
on_terminated(struct qd *q, uint32_t type, const uint8_t *untrusted, size_t n)
{
	struct rd r = rd_over(untrusted, n);
	uint32_t domain = rd_u32(&r), port = rd_u32(&r);

	(void)type;
	if (!ports_valid(port))
		link_bad(q, "CONNECTION_TERMINATED for port %u, which is not in 513..768", port);
	else if (!ports_free(&q->ports, domain, port))
		routes_port_freed(q, domain, port); /* of the other side: it keeps the books */
	else {
		clients_port_freed(q, port);
		routes_port_freed(q, domain, port);
		peers_port_freed(q, domain, port);
		dispose_port_freed(q, domain, port);
	}
}

/* All that an agent may say: in which versions of the link, how long, who takes it. */
static const struct message {
	uint32_t type, since, until;
	size_t min, max;
	void (*take)(struct qd *q, uint32_t type, const uint8_t *untrusted, size_t n);
} messages[] = {
    {MSG_TRIGGER_SERVICE, 2, 2, TRIGGER2_LEN, TRIGGER2_LEN, route_trigger},
    {MSG_TRIGGER_SERVICE3, 3, 4, TRIGGER3_FIXED + 1, TRIGGER3_FIXED + SERVICE_LEN_MAX,
	route_trigger},
    {MSG_TRIGGER_SERVICE4, 4, 4, TRIGGER4_FIXED + 1, TRIGGER4_FIXED + SERVICE_LEN_MAX,
	route_trigger},
    {MSG_CONNECTION_TERMINATED, 2, 4, EXEC_PARAMS_LEN, EXEC_PARAMS_LEN, on_terminated},
};
static const struct message hello = {MSG_HELLO, 0, 0, HELLO_LEN, HELLO_LEN, on_hello};

static const struct message *
message_of(const struct link *k, uint32_t type)
{
	if (k->state == LINK_HELLO)
		return type == MSG_HELLO ? &hello : NULL;
	for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++)
		if (messages[i].type == type && k->version >= messages[i].since &&
		    k->version <= messages[i].until)
			return &messages[i];
	return NULL;
}

/* Takes the first message if it is whole. false: nothing more to take. */
static bool
take_one(struct qd *q)
{
	struct link *k = &q->link;
	struct rd r = rd_over(buf_bytes(&k->in), k->in.len);
	uint32_t type = rd_u32(&r), len = rd_u32(&r);
	const struct message *m;

	if (r.bad || (k->state != LINK_HELLO && k->state != LINK_UP))
		return false;
	m = message_of(k, type);
	if (m == NULL || len < m->min || len > m->max) {
		k->drain = len < DRAIN_MAX ? MSG_HEADER_LEN + len : DRAIN_MAX;
		if (m != NULL)
			link_bad(q, "message 0x%x with %u bytes (limits %zu to %zu)", type, len,
			    m->min, m->max);
		else if (k->state == LINK_HELLO)
			link_bad(q, "message 0x%x before HELLO", type);
		else
			link_bad(
			    q, "message 0x%x, which version %u does not have", type, k->version);
		return false;
	}
	if (r.left < len)
		return false;
	k->drain = 0; /* if the handler finds it bad: there is nothing to wait for */
	m->take(q, type, r.p, len);
	buf_eat(&k->in, MSG_HEADER_LEN + len);
	return true;
}

/* false: closed. */
static bool
link_read(struct qd *q)
{
	struct link *k = &q->link;
	uint8_t part[PART];
	ssize_t n = 0;

	for (int i = 0; i < READS_AT_ONCE && k->v != NULL && k->state != LINK_DRAIN; i++) {
		n = vchan_read(k->v, part, sizeof(part));
		if (n <= 0)
			break;
		if (!buf_put(&k->in, part, (size_t)n))
			die("no memory");
		while (k->in.len > 0 && take_one(q))
			;
		if (k->in.len == 0)
			buf_free(&k->in);
	}
	return n >= 0;
}

static void
link_drain(struct qd *q)
{
	struct link *k = &q->link;
	uint8_t part[PART];
	ssize_t n = 0;

	k->drain = k->in.len < k->drain ? k->drain - k->in.len : 0;
	buf_free(&k->in);
	for (int i = 0; i < READS_AT_ONCE && (n = vchan_read(k->v, part, sizeof(part))) > 0; i++)
		k->drain = (size_t)n < k->drain ? k->drain - (size_t)n : 0;
	if (n < 0 || k->drain == 0)
		link_close(q, AGAIN_BAD_MS);
}

static void
on_link(struct loop *l, int fd, short revents, void *arg)
{
	struct qd *q = arg;
	struct link *k = &q->link;
	bool was_busy = agent_busy(q), open = true;

	(void)l, (void)fd, (void)revents;
	vchan_turn(k->v);
	if (k->state != LINK_DRAIN)
		open = link_read(q);
	if (k->v != NULL && k->state == LINK_DRAIN) {
		link_drain(q);
	} else if (k->v != NULL && !open) {
		logit("agent: the link was closed");
		link_close(q, AGAIN_MS);
	} else if (k->v != NULL) {
		link_flush(q);
		if (was_busy && !agent_busy(q))
			clients_wake(q);
	}
	link_watch(q);
}

void
link_take(struct qd *q, int fd)
{
	struct link *k = &q->link;

	k->v = vchan_take(VCHAN_CLIENT, fd);
	if (k->v == NULL) { /* its pages may be such that they cannot be mapped */
		logit("agent: the channel cannot be used: %s", strerror(errno));
		link_close(q, AGAIN_BAD_MS);
		return;
	}
	k->state = LINK_HELLO;
	k->in.max = IN_MAX + 4096; /* one whole message and what came with it */
	k->out.max = OUT_MAX;
	link_watch(q);
}

static void on_watched(struct helper *h, const char *why);

static void
on_watch(struct loop *l, int fd, short revents, void *arg)
{
	struct qd *q = arg;

	(void)l, (void)fd, (void)revents;
	q->link.watch = 0;
	q->link.chand = helper_ask(q, CHAN_SOCK, PEER_MS, "role=watch\n\n", on_watched, q);
	if (q->link.chand == NULL)
		q->link.watch = loop_after(q->loop, AGAIN_BAD_MS, on_watch, q);
}

static void
on_chand_end(struct helper *h, const char *why)
{
	struct qd *q = h->q;

	if (why == NULL) {
		logit("agent: chand says that the channel is over");
		link_close(q, AGAIN_BAD_MS);
		return;
	}
	/* chand was killed; what it opened goes on without it, but nobody may hold it for longer
	 * than the domain lives */
	helper_free(q->link.chand);
	q->link.chand = NULL;
	q->link.watch = loop_after(q->loop, AGAIN_BAD_MS, on_watch, q);
}

/* chand is there again: so is our domain, or the channel is over. */
static void
on_watched(struct helper *h, const char *why)
{
	struct qd *q = h->q;
	char reason[LOG_ESC_MAX];
	const char *domid;
	uint32_t theirs;

	if (why != NULL) {
		on_chand_end(h, why);
		return;
	}
	why = helper_result(h, &q->kv, reason, sizeof(reason));
	domid = kv_get(&q->kv, "domid");
	if (why == NULL && domid != NULL && parse_u32(domid, UINT32_MAX, &theirs) &&
	    theirs == q->domid)
		helper_keep(h, on_chand_end);
	else
		on_chand_end(h, NULL);
}

static void
on_chand(struct helper *h, const char *why)
{
	struct qd *q = h->q;
	char reason[LOG_ESC_MAX];
	int fd;

	if (why == NULL)
		why = helper_result(h, &q->kv, reason, sizeof(reason));
	if (why == NULL && h->passed < 0)
		why = "no channel in the answer";
	if (why != NULL) {
		if (!q->link.told)
			logit("chand: no channel to the agent: %s; trying again", why);
		q->link.told = true;
		link_close(q, AGAIN_BAD_MS);
		return;
	}
	q->link.told = false;
	fd = h->passed;
	h->passed = -1;
	helper_keep(h, on_chand_end);
	link_take(q, fd);
}

void
link_start(struct qd *q)
{
	struct run_msg m = {.kind = RUN_OPEN};

	q->link.state = LINK_ASKED;
	if (!q->managed) {
		if (!runner_send(q, &m))
			later(q, AGAIN_BAD_MS);
		return;
	}
	q->link.chand = helper_ask(q, CHAN_SOCK, 0, "role=client\nport=512\n\n", on_chand, q);
	if (q->link.chand == NULL)
		later(q, AGAIN_BAD_MS);
}
