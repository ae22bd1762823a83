/* SPDX-License-Identifier: ISC */
/* People and scripts: spec/qrexec 3 "Client connection". */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "qrexecd.h"
#include "sock.h"

#define BODY_MAX CMDLINE_LEN_MAX
#define READ_MAX 256u /* at a time: what most requests fit in, and small memory */

struct client {
	struct client *next, **at;
	struct qd *q;
	int fd;
	enum { C_HELLO, C_COMMAND, C_PORT, C_RUNNING } state; /* C_PORT: waits for a data port */
	bool parked;   /* waits until the agent reads again */
	uint32_t port; /* set aside for it, or 0 */
	uint32_t timer;
	struct buf in;
};

static void
client_free(struct client *c)
{
	char junk[512];

	loop_cancel(c->q->loop, c->timer);
	loop_del(c->q->loop, c->fd);
	/* bytes left unread would reset the connection under what we have answered */
	for (int i = 0; i < 128 && read(c->fd, junk, sizeof(junk)) > 0; i++)
		;
	close(c->fd);
	*c->at = c->next;
	if (c->next != NULL)
		c->next->at = c->at;
	buf_free(&c->in);
	door_left(&c->q->door);
	free(c);
}

static void
on_late(struct loop *l, int fd, short revents, void *arg)
{
	struct client *c = arg;

	(void)l, (void)fd, (void)revents;
	c->timer = 0;
	if (c->state == C_PORT)
		log_limited(&c->q->door.full, "client: no data port came free in %u s; closed",
		    REQUEST_MS / 1000);
	else
		logit("client: no whole request in %u s; closed", REQUEST_MS / 1000);
	client_free(c);
}

static bool
answer(struct client *c, uint32_t type, const uint32_t *body, size_t n)
{
	uint32_t m[4] = {type, (uint32_t)(n * sizeof(*body))};

	memcpy(m + 2, body, n * sizeof(*body));
	return sock_send_fd(c->fd, m, (2 + n) * sizeof(*m), -1);
}

static const char *
take_hello(struct client *c, uint32_t type, const uint8_t *body, size_t n)
{
	struct rd r = rd_over(body, n);

	(void)type;
	if (rd_u32(&r) < QREXEC_CLIENT_VERSION)
		return "its version is below 3";
	c->state = C_COMMAND;
	return NULL;
}

/* DEFAULT: becomes the default user's name; the command's length with its NUL, 0 if it is too long.
 */
static size_t
expand(const struct client *c, char out[CONTROL_BODY_MAX], const char *cmd, size_t n)
{
	static const char word[] = "DEFAULT:";
	size_t skip = sizeof(word) - 1;
	struct wr w = wr_over(out, CONTROL_BODY_MAX - EXEC_PARAMS_LEN);

	if (n > skip && memcmp(cmd, word, skip) == 0) {
		wr_str(&w, c->q->user);
		cmd += skip - 1;
		n -= skip - 1;
	}
	wr_bytes(&w, cmd, n);
	return w.full ? 0 : w.len;
}

static const char no_port[] = "no data port is free";

/* {domain, 0}: a port is set aside, the client and the agent are told. */
static const char *
set_up(struct client *c, uint32_t type, uint32_t domain, const char *cmd, size_t n)
{
	struct qd *q = c->q;
	uint32_t to[2] = {q->domid, ports_take(&q->ports, q->domid, domain)};
	const char *why = NULL;

	if (to[1] == 0)
		return no_port;
	if (!answer(c, type, to, 2))
		why = "it does not take the answer";
	if (why == NULL)
		why = agent_exec(q, type, domain, to[1], cmd, n);
	if (why != NULL)
		ports_free(&q->ports, domain, to[1]);
	else
		c->port = to[1];
	return why;
}

static const char *
take_command(struct client *c, uint32_t type, const uint8_t *body, size_t len)
{
	struct rd r = rd_over(body, len);
	uint32_t domain = rd_u32(&r), port = rd_u32(&r);
	size_t n = r.left;
	const char *cmd = rd_bytes(&r, n), *why;
	char out[CONTROL_BODY_MAX];
	struct route *route = NULL;

	if (cmd == NULL || n == 0 || cmd[n - 1] != '\0')
		return "its command does not end with NUL";
	if (type == MSG_SERVICE_CONNECT) {
		route = c->q->managed ? NULL : route_find(c->q, cmd, n);
		if (route == NULL)
			return "SERVICE_CONNECT for a call that nobody waits for";
	} else if (port != 0) {
		logit("client: it chose port %u itself", port);
		if (!ports_valid(port))
			return "that port is not in 513..768";
	}
	if (type != MSG_SERVICE_CONNECT) {
		n = expand(c, out, cmd, n);
		cmd = out;
	}
	if (n == 0 || n > CONTROL_BODY_MAX - EXEC_PARAMS_LEN)
		return "its command is longer than a control message may be (4096 bytes)";
	if (port != 0)
		why = agent_exec(c->q, type, domain, port, cmd, n);
	else
		why = set_up(c, type, domain, cmd, n);
	if (why != NULL)
		return why;
	if (route != NULL)
		route_connected(route);
	c->state = C_RUNNING;
	loop_cancel(c->q->loop, c->timer);
	c->timer = 0;
	return NULL;
}

static const struct message {
	int state;
	uint32_t type;
	size_t min, max;
	const char *(*take)(struct client *c, uint32_t type, const uint8_t *body, size_t n);
} messages[] = {
    {C_HELLO, MSG_HELLO, HELLO_LEN, HELLO_LEN, take_hello},
    {C_COMMAND, MSG_EXEC_CMDLINE, EXEC_PARAMS_LEN + 1, BODY_MAX, take_command},
    {C_COMMAND, MSG_JUST_EXEC, EXEC_PARAMS_LEN + 1, BODY_MAX, take_command},
    {C_COMMAND, MSG_SERVICE_CONNECT, EXEC_PARAMS_LEN + 1, BODY_MAX, take_command},
};

static const struct message *
message_of(int state, uint32_t type, size_t len)
{
	for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++)
		if (messages[i].state == state && messages[i].type == type &&
		    len >= messages[i].min && len <= messages[i].max)
			return &messages[i];
	return NULL;
}

/* Takes whole messages. NULL, or why this client is closed. */
static const char *
client_take(struct client *c)
{
	while (c->in.len > 0) {
		struct rd r = rd_over(buf_bytes(&c->in), c->in.len);
		uint32_t type = rd_u32(&r), len = rd_u32(&r);
		const struct message *m;
		const char *why;

		if (c->state == C_RUNNING)
			return "unexpected data while its call runs";
		if (r.bad)
			return NULL;
		m = message_of(c->state, type, len);
		if (m == NULL)
			return c->state == C_HELLO ? "no proper HELLO" : "no proper request";
		if (r.left < len)
			return NULL;
		why = m->take(c, type, r.p, len);
		if (why == no_port) {
			c->state = C_PORT;
			loop_set(c->q->loop, c->fd, 0);
			return NULL;
		}
		if (why != NULL)
			return why;
		buf_eat(&c->in, MSG_HEADER_LEN + len);
	}
	buf_free(&c->in);
	return NULL;
}

static void
on_client(struct loop *l, int fd, short revents, void *arg)
{
	struct client *c = arg;
	const char *why = NULL;
	ssize_t r;

	if (c->state == C_PORT) { /* only its hanging up is polled for */
		client_free(c);
		return;
	}
	(void)revents;
	if (agent_busy(c->q)) {
		c->parked = true;
		loop_del(l, fd);
		return;
	}
	r = buf_read_fd(&c->in, fd, READ_MAX);
	if (r == -2)
		return;
	if (r > 0)
		why = client_take(c);
	else if (c->in.len > 0)
		why = "it left in the middle of a message";
	if (why != NULL)
		logit("client: %s; closed", why);
	if (why != NULL || r <= 0)
		client_free(c);
}

/* Who has waited longest for a data port has its request looked at again. false: it still waits, or
 * nobody does. */
static bool
port_try(struct qd *q)
{
	struct client *first = NULL;
	const char *why;

	for (struct client *c = q->clients; c != NULL; c = c->next)
		if (c->state == C_PORT)
			first = c;
	if (first == NULL)
		return false;
	first->state = C_COMMAND;
	loop_set(q->loop, first->fd, POLLIN);
	why = client_take(first);
	if (why != NULL) {
		logit("client: %s; closed", why);
		client_free(first);
	}
	return why != NULL || first->state != C_PORT;
}

static void
ports_try(struct qd *q)
{
	while (!agent_busy(q) && port_try(q))
		;
}

void
clients_wake(struct qd *q)
{
	for (struct client *c = q->clients; c != NULL; c = c->next) {
		if (c->parked && !loop_add(q->loop, c->fd, POLLIN, on_client, c))
			die("no memory");
		c->parked = false;
	}
	ports_try(q);
}

void
clients_port_freed(struct qd *q, uint32_t port)
{
	struct client *c = q->clients;

	while (c != NULL && c->port != port)
		c = c->next;
	if (c != NULL)
		client_free(c);
	ports_try(q);
}

void
clients_end(struct qd *q)
{
	for (struct client *c = q->clients, *next; c != NULL; c = next) {
		next = c->next;
		client_free(c);
	}
}

static bool
welcome(struct client *c)
{
	const uint32_t version = QREXEC_CLIENT_VERSION;

	c->timer = loop_after(c->q->loop, REQUEST_MS, on_late, c);
	return c->timer != 0 && loop_add(c->q->loop, c->fd, POLLIN, on_client, c) &&
	       answer(c, MSG_HELLO, &version, 1);
}

void
client_came(struct qd *q, int fd)
{
	struct client *c;
	uid_t uid = 0;

	if (q->managed && !sock_peer_is_person(fd, q->people)) {
		sock_peer(fd, &uid, NULL);
		logit("client: uid %u is neither root nor in group qubes; closed", uid);
		close(fd);
		door_left(&q->door);
		return;
	}
	c = calloc(1, sizeof(*c));
	if (c == NULL) {
		close(fd);
		door_left(&q->door);
		return;
	}
	*c = (struct client){.next = q->clients, .at = &q->clients, .q = q, .fd = fd};
	c->in.max = MSG_HEADER_LEN + BODY_MAX;
	if (c->next != NULL)
		c->next->at = &c->next;
	q->clients = c;
	if (!welcome(c))
		client_free(c);
}
