/* SPDX-License-Identifier: ISC */
/*
 * qrexec-agent: a qube's end of the control link (spec/qrexec 2, 9, 10). It starts what Dom0 says,
 * each call in a child of its own, and hands to Dom0 what qrexec-client-vm asks for. Trusts Dom0,
 * but not the clients.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"
#include "buf.h"
#include "log.h"
#include "loop.h"
#include "names.h"
#include "qrexecd/qrexec.h"
#include "sock.h"
#include "vchan.h"

#define CONNS 256
#define OUT_MAX 65536u /* waiting for room in the control ring; triggers are refused above it */
#define REPORT_LEN (MSG_HEADER_LEN + EXEC_PARAMS_LEN)

enum kind {
	FREE,
	ASKING,	   /* qrexec-client-vm, its request is not whole yet */
	WAITING,   /* ... sent to Dom0 */
	CONNECTED, /* ... answered: it has a data channel */
	CHILD,	   /* our data child */
};

struct conn {
	enum kind kind;
	struct agent *a;
	int fd;
	pid_t pid;
	uint64_t number; /* in the ident: never used again */
	uint32_t domain, port;
	struct buf in;
};

struct agent {
	struct loop *l;
	struct vchan *v;
	int link_fd; /* what of v the loop watches, or -1 */
	bool up;     /* HELLO has been exchanged */
	uint32_t version;
	struct buf in, out;
	const char *sock_path;
	int sock;
	uint64_t numbers;
	struct log_limit out_of;
	struct conn conn[CONNS];
};

static void listen_for_dom0(struct agent *a);
static void watch_link(struct agent *a);

static struct conn *
conn_new(struct agent *a, enum kind kind)
{
	for (size_t i = 0; i < CONNS; i++)
		if (a->conn[i].kind == FREE) {
			a->conn[i] = (struct conn){.kind = kind, .a = a, .fd = -1};
			return &a->conn[i];
		}
	return NULL;
}

static bool
put_message(struct agent *a, uint32_t type, const void *body, size_t n)
{
	uint8_t head[MSG_HEADER_LEN];
	struct wr w = wr_over(head, sizeof head);

	wr_u32(&w, type);
	wr_u32(&w, (uint32_t)n);
	if (buf_room(&a->out) < sizeof head + n)
		return false;
	return buf_put(&a->out, head, sizeof head) && buf_put(&a->out, body, n);
}

static void
report_end(struct agent *a, uint32_t domain, uint32_t port)
{
	uint32_t params[2] = {domain, port};

	if (!a->up)
		return;
	put_message(a, MSG_CONNECTION_TERMINATED, params, sizeof params);
	watch_link(a);
}

static void
conn_end(struct conn *c)
{
	enum kind kind = c->kind;

	if (c->fd >= 0) {
		loop_del(c->a->l, c->fd);
		close(c->fd);
	}
	buf_free(&c->in);
	c->kind = FREE;
	if (kind == CONNECTED || kind == CHILD)
		report_end(c->a, c->domain, c->port);
}

static void
link_lost(struct agent *a, const char *why)
{
	if (why != NULL)
		logit("control link: %s", why);
	if (a->link_fd >= 0)
		loop_del(a->l, a->link_fd);
	a->link_fd = -1;
	vchan_close(a->v);
	if (a->up)
		loop_del(a->l, a->sock);
	a->up = false;
	buf_free(&a->in);
	buf_free(&a->out);
	/* Dom0 has forgotten who was waiting; running calls go on. */
	for (size_t i = 0; i < CONNS; i++)
		if (a->conn[i].kind == WAITING)
			conn_end(&a->conn[i]);
	listen_for_dom0(a);
}

/* What a client asks, in the words of the link's version. */
static bool
put_trigger(struct agent *a, struct conn *c, const uint8_t *untrusted_body, size_t n)
{
	const uint8_t *source = untrusted_body, *target = source + TARGET_LEN;
	const uint8_t *service = untrusted_body + TRIGGER4_FIXED;
	const size_t service_len = n - TRIGGER4_FIXED;
	uint8_t body[CONTROL_BODY_MAX] = {0};
	struct wr w = wr_over(body, sizeof body);
	char ident[IDENT_LEN];

	if (a->out.len > OUT_MAX || (a->version < 4 && source[0] != '\0'))
		return false;
	c->number = ++a->numbers;
	snprintf(ident, sizeof ident, IDENT_HEEDS "%llu", (unsigned long long)c->number);
	if (a->version < 3) {
		if (service_len > TARGET_LEN || memchr(target, 0, 32) == NULL)
			return false;
		memcpy(body, service, service_len);
		memcpy(body + 64, target, 32);
		snprintf((char *)body + 96, IDENT_LEN, "%s", ident);
		return put_message(a, MSG_TRIGGER_SERVICE, body, TRIGGER2_LEN);
	}
	if (a->version >= 4)
		wr_bytes(&w, source, TARGET_LEN);
	wr_bytes(&w, target, TARGET_LEN);
	wr_padded(&w, ident, IDENT_LEN);
	wr_bytes(&w, service, service_len);
	return !w.full &&
	       put_message(
		   a, a->version >= 4 ? MSG_TRIGGER_SERVICE4 : MSG_TRIGGER_SERVICE3, body, w.len);
}

/* False: the client is let go. */
static bool
client_request(struct conn *c)
{
	struct rd r = rd_over(buf_bytes(&c->in), c->in.len);
	uint32_t type = rd_u32(&r), len = rd_u32(&r);

	if (r.bad)
		return true;
	if (type != MSG_TRIGGER_SERVICE4 || len <= TRIGGER4_FIXED || len > CONTROL_BODY_MAX ||
	    r.left > len) {
		logit("client: message type %u of %u bytes is refused", type, len);
		return false;
	}
	if (r.left < len)
		return true;
	if (!put_trigger(c->a, c, rd_bytes(&r, len), len)) {
		logit("client: its request does not fit the link to Dom0");
		return false;
	}
	c->kind = WAITING;
	buf_free(&c->in);
	watch_link(c->a);
	return true;
}

static void
on_client(struct loop *l, int fd, short revents, void *arg)
{
	struct conn *c = arg;
	char byte;
	ssize_t n;

	(void)l;
	(void)revents;
	if (c->kind != ASKING) {
		/* It has nothing more to say: its end is what we wait for. */
		if (read(fd, &byte, 1) >= 0 || errno != EAGAIN)
			conn_end(c);
		return;
	}
	n = buf_read_fd(&c->in, fd, CONTROL_BODY_MAX);
	if (n == 0 || n == -1 || !client_request(c))
		conn_end(c);
}

static void
on_connect(struct loop *l, int fd, short revents, void *arg)
{
	struct agent *a = arg;
	int s = sock_accept(fd);
	struct conn *c = s < 0 ? NULL : conn_new(a, ASKING);

	(void)revents;
	if (s < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			log_limited(&a->out_of, "client: nobody is let in: %s", strerror(errno));
			loop_rest(l, fd);
		}
		return;
	}
	if (c == NULL || !loop_add(l, s, POLLIN, on_client, c)) {
		logit("client: more than %d connections", CONNS);
		if (c != NULL)
			c->kind = FREE;
		close(s);
		return;
	}
	c->fd = s;
	c->in.max = MSG_HEADER_LEN + CONTROL_BODY_MAX + 1;
}

static const char *
on_exec(struct agent *a, uint32_t type, struct rd *r)
{
	uint32_t domain = rd_u32(r), port = rd_u32(r);
	const char *command = (const char *)r->p;
	struct conn *c;

	if (command[r->left - 1] != '\0')
		return "a command without its end";
	c = conn_new(a, CHILD);
	if (c != NULL)
		c->pid = fork();
	if (c != NULL && c->pid == 0) {
		fd_close_from(3); /* it does not exec: nothing of ours may live on in it */
		data_child(type == MSG_JUST_EXEC, domain, port, command);
	}
	if (c == NULL || c->pid < 0) {
		logit("a call is not started: %s",
		    c == NULL ? "too many connections" : strerror(errno));
		if (c != NULL)
			c->kind = FREE;
		report_end(a, domain, port);
		return NULL;
	}
	c->domain = domain;
	c->port = port;
	return NULL;
}

/* The client of that kind that this ident was made for. */
static struct conn *
client_of(struct agent *a, struct rd *r, enum kind kind)
{
	char ident[IDENT_LEN + 1] = "";
	size_t n = r->left < IDENT_LEN ? r->left : IDENT_LEN;
	uint64_t number;

	memcpy(ident, r->p, n);
	if (strncmp(ident, IDENT_HEEDS, strlen(IDENT_HEEDS)) != 0 ||
	    !parse_u64(ident + strlen(IDENT_HEEDS), UINT64_MAX, &number))
		return NULL;
	for (size_t i = 0; i < CONNS; i++)
		if (a->conn[i].kind == kind && a->conn[i].number == number)
			return &a->conn[i];
	return NULL;
}

static const char *
on_service_connect(struct agent *a, uint32_t type, struct rd *r)
{
	uint32_t params[2];
	struct conn *c;

	(void)type;
	params[0] = rd_u32(r);
	params[1] = rd_u32(r);
	c = client_of(a, r, WAITING);
	if (c == NULL) {
		logit("the client that Dom0 answers has gone");
		report_end(a, params[0], params[1]);
		return NULL;
	}
	c->kind = CONNECTED;
	c->domain = params[0];
	c->port = params[1];
	if (write(c->fd, params, sizeof params) != (ssize_t)sizeof params)
		conn_end(c);
	return NULL;
}

/* Before its answer, or after: then nobody comes to its channel, which it is told if it still
 * waits. */
static const char *
on_refused(struct agent *a, uint32_t type, struct rd *r)
{
	static const uint32_t nobody[2] = {0, 0};
	struct conn *c = client_of(a, r, WAITING);

	(void)type;
	if (c != NULL) {
		conn_end(c);
		return NULL;
	}
	c = client_of(a, r, CONNECTED);
	if (c != NULL && write(c->fd, nobody, sizeof nobody) != (ssize_t)sizeof nobody)
		logit("client: it cannot be told that nobody comes");
	return NULL;
}

static const char *
on_hello(struct agent *a, uint32_t type, struct rd *r)
{
	uint32_t version = rd_u32(r);

	(void)type;
	if (version < QREXEC_VERSION_MIN)
		return "Dom0's version is too old";
	a->version = version < QREXEC_VERSION ? version : QREXEC_VERSION;
	a->up = true;
	loop_add(a->l, a->sock, POLLIN, on_connect, a);
	return NULL;
}

/* What Dom0 may send. Anything else ends the link. */
static const struct message {
	uint32_t type, min, max;
	bool hello;
	const char *(*fn)(struct agent *a, uint32_t type, struct rd *r);
} messages[] = {
    {MSG_HELLO, HELLO_LEN, HELLO_LEN, true, on_hello},
    {MSG_EXEC_CMDLINE, EXEC_PARAMS_LEN + 1, EXEC_PARAMS_LEN + CMDLINE_LEN_MAX, false, on_exec},
    {MSG_JUST_EXEC, EXEC_PARAMS_LEN + 1, EXEC_PARAMS_LEN + CMDLINE_LEN_MAX, false, on_exec},
    {MSG_SERVICE_CONNECT, EXEC_PARAMS_LEN + 1, EXEC_PARAMS_LEN + IDENT_LEN, false,
	on_service_connect},
    {MSG_SERVICE_REFUSED, IDENT_LEN, IDENT_LEN, false, on_refused},
};

/* One whole message from the front of what has come. False: none is there; *why: the link is of no
 * use. */
static bool
take_message(struct agent *a, const char **why)
{
	struct rd r = rd_over(buf_bytes(&a->in), a->in.len);
	uint32_t type = rd_u32(&r), len = rd_u32(&r);
	const struct message *m = NULL;

	if (r.bad)
		return false;
	for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++)
		if (messages[i].type == type)
			m = &messages[i];
	*why = "unexpected message or length";
	if (m == NULL || len < m->min || len > m->max || m->hello == a->up)
		return false;
	*why = NULL;
	if (r.left < len)
		return false;
	r.left = len;
	*why = m->fn(a, type, &r);
	buf_eat(&a->in, MSG_HEADER_LEN + len);
	return *why == NULL;
}

static ssize_t
read_link(struct agent *a)
{
	uint8_t b[CONTROL_BODY_MAX];
	const char *why = NULL;
	ssize_t n;

	do {
		n = vchan_read(a->v, b, sizeof b);
		if (n > 0 && !buf_put(&a->in, b, (size_t)n))
			why = "no room for Dom0's message";
		while (why == NULL && take_message(a, &why))
			;
	} while (n == (ssize_t)sizeof b && why == NULL);
	if (why == NULL)
		return n;
	logit("control link: %s", why);
	return -1;
}

static ssize_t
write_link(struct agent *a)
{
	ssize_t n = 0;

	while (a->out.len > 0 && (n = vchan_write(a->v, buf_bytes(&a->out), a->out.len)) > 0)
		buf_eat(&a->out, (size_t)n);
	return n;
}

static void
on_link(struct loop *l, int fd, short revents, void *arg)
{
	struct agent *a = arg;
	bool was_open = vchan_state(a->v) == VCHAN_OPEN;
	uint32_t hello = QREXEC_VERSION;
	bool gone;

	(void)l;
	(void)fd;
	(void)revents;
	vchan_turn(a->v);
	if (vchan_state(a->v) == VCHAN_WAITING)
		return;
	if (!was_open && vchan_state(a->v) == VCHAN_OPEN)
		put_message(a, MSG_HELLO, &hello, sizeof hello);
	gone = write_link(a) < 0; /* what it had said is heard all the same */
	if (read_link(a) < 0 || gone || write_link(a) < 0)
		link_lost(a, a->up ? "Dom0's side has gone" : NULL);
	else
		watch_link(a);
}

/* Tries to send at once, then watches for what is missing. The descriptor changes with the link's
 * state. */
static void
watch_link(struct agent *a)
{
	struct pollfd p;

	if (a->up)
		write_link(a);
	vchan_poll(a->v, (short)(POLLIN | (a->out.len > 0 ? POLLOUT : 0)), &p);
	if (p.fd == a->link_fd) {
		loop_set(a->l, p.fd, p.events);
		return;
	}
	if (a->link_fd >= 0)
		loop_del(a->l, a->link_fd);
	a->link_fd = p.fd;
	if (p.fd >= 0 && !loop_add(a->l, p.fd, p.events, on_link, a))
		die("no memory");
}

static void
listen_for_dom0(struct agent *a)
{
	a->v = vchan_open(VCHAN_SERVER, NULL, vchan_self(), 0, QREXEC_CONTROL_PORT);
	if (a->v == NULL)
		die("cannot open the control channel");
	watch_link(a);
}

static void
on_signal(struct loop *l, int sig, short revents, void *arg)
{
	struct agent *a = arg;
	pid_t pid;

	(void)revents;
	if (sig == SIGTERM) {
		loop_stop(l, 0);
		return;
	}
	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
		for (size_t i = 0; i < CONNS; i++)
			if (a->conn[i].kind == CHILD && a->conn[i].pid == pid)
				conn_end(&a->conn[i]);
}

static void
usage(int code)
{
	static const char text[] = "usage: qrexec-agent [--agent-socket=PATH]\n";
	FILE *f = code == 0 ? stdout : stderr;

	fputs(text, f);
	exit(code);
}

static void
options(struct agent *a, int argc, char **argv)
{
	/* The last two are for scripts of other agents: there is no fork server here. */
	static const struct option o[] = {{"help", no_argument, NULL, 'h'},
	    {"agent-socket", required_argument, NULL, 'a'},
	    {"no-fork-server", no_argument, NULL, 'S'},
	    {"fork-server-socket", required_argument, NULL, 's'}, {0}};
	int c;

	a->sock_path = AGENT_SOCK;
	while ((c = getopt_long(argc, argv, "ha:", o, NULL)) != -1) {
		if (c == 'h')
			usage(0);
		if (c == '?')
			usage(100);
		if (c == 'a')
			a->sock_path = optarg;
	}
	if (optind != argc)
		usage(100);
}

int
main(int argc, char **argv)
{
	static const int sigs[] = {SIGCHLD, SIGTERM};
	static struct agent a;
	int code, null;

	log_open("qrexec-agent", NULL);
	options(&a, argc, argv);
	while ((null = open("/dev/null", O_RDWR)) >= 0 && null <= 2)
		;
	close(null);
	signal(SIGPIPE, SIG_IGN);
	umask(022);
	a.l = loop_new();
	a.link_fd = -1;
	a.in.max = MSG_HEADER_LEN + EXEC_PARAMS_LEN + CMDLINE_LEN_MAX + CONTROL_BODY_MAX;
	a.out.max = OUT_MAX + 2 * CONTROL_BODY_MAX + 2 * CONNS * REPORT_LEN;
	a.sock = sock_listen(a.sock_path, 0777);
	if (a.sock < 0)
		die("%s", a.sock_path);
	if (!loop_signals(a.l, sigs, 2, on_signal, &a))
		die("signals");
	listen_for_dom0(&a);
	code = loop_run(a.l);
	unlink(a.sock_path);
	vchan_close(a.v);
	return code;
}
