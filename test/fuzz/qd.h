/* SPDX-License-Identifier: ISC */
/* A qrexecd without its process: the agent is our end of a socket pair; what it is sent is checked.
 */
#ifndef FUZZ_QD_H
#define FUZZ_QD_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sanitizer/common_interface_defs.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ids.h"
#include "qrexecd/qrexecd.h"
#include "sock.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static struct qd q;
static int null, err, agent = -1, pump[2] = {-1, -1};
static unsigned rounds, sent_calls;
static uint8_t from_qd[1 << 17];
static size_t from_len;

/* What the rest of the daemon would be. */
bool
names_show(struct qd *d)
{
	(void)d;
	return true;
}

void
names_hide(struct qd *d)
{
	(void)d;
}

bool
runner_send(struct qd *d, const struct run_msg *m)
{
	(void)d;
	if (m->kind != RUN_CALL)
		return true;
	if (m->t.service[0] == '\0' || m->t.service[0] == '+' ||
	    strlen(m->t.service) >= sizeof(m->t.service) || m->t.ident[IDENT_LEN - 1] != '\0')
		abort();
	return ++sent_calls % 3 != 0;
}

#ifndef FUZZ_PEER
void
peers_end(struct qd *d)
{
	(void)d;
}

void
peers_port_freed(struct qd *d, uint32_t domain, uint32_t port)
{
	(void)d, (void)domain, (void)port;
}
#endif

static inline void
on_pump(struct loop *l, int fd, short revents, void *arg)
{
	(void)fd, (void)revents, (void)arg;
	if (rounds-- == 0)
		loop_stop(l, 0);
}

static inline void
turn(unsigned n)
{
	rounds = n;
	loop_run(q.loop);
}

static inline int
pair(int *other)
{
	int s[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, s) < 0)
		abort();
	*other = s[1];
	return s[0];
}

static inline void
say(int fd, const void *p, size_t n)
{
	if (send(fd, p, n, MSG_NOSIGNAL) < 0 && errno != EAGAIN && errno != EPIPE &&
	    errno != ECONNRESET)
		abort();
}

/* All that came for the agent so far must be whole messages that fit its ring. */
static inline void
check_agent(void)
{
	ssize_t r;
	uint32_t h[2];
	size_t at = 0;

	while ((r = recv(agent, from_qd + from_len, sizeof(from_qd) - from_len, 0)) > 0)
		from_len += (size_t)r;
	while (from_len - at >= 8) {
		memcpy(h, from_qd + at, 8);
		if (h[1] > CONTROL_BODY_MAX || from_len - at - 8 < h[1])
			abort();
		if (h[0] == MSG_EXEC_CMDLINE && (h[1] < 9 || from_qd[at + 7 + h[1]] != '\0'))
			abort();
		at += 8 + h[1];
	}
	if (at != from_len)
		abort();
}

static inline void
begin(void)
{
	int fd;

	signal(SIGPIPE, SIG_IGN);
	memset(&q, 0, sizeof(q));
	if (pump[0] < 0) {
		null = open("/dev/null", O_WRONLY);
		err = dup(STDERR_FILENO);
		if (pipe(pump) < 0 || write(pump[1], "x", 1) != 1 || null < 0 || err < 0)
			abort();
		__sanitizer_set_report_fd((void *)(intptr_t)err);
	}
	dup2(null, STDERR_FILENO); /* log lines; a report still gets out */
	q.loop = loop_new();
	q.domid = 42;
	q.reserve = q.runner = q.notify = q.link.fd = -1;
	strcpy(q.name, "work");
	strcpy(q.user, "user");
	q.routes.rate = 20;
	q.routes.burst = 4;
	q.door.q = q.peer_door.q = &q;
	routes_init(&q);
	from_len = sent_calls = 0;
	fd = pair(&agent);
	link_take(&q, fd);
	loop_add(q.loop, pump[0], POLLIN, on_pump, NULL);
}

static inline void
end(void)
{
	clients_end(&q);
	peers_end(&q);
	routes_end(&q);
	if (q.link.v != NULL) {
		loop_del(q.loop, q.link.fd);
		vchan_close(q.link.v);
	}
	buf_free(&q.link.in);
	buf_free(&q.link.out);
	close(agent);
	loop_free(q.loop);
	dup2(err, STDERR_FILENO);
}

#endif
