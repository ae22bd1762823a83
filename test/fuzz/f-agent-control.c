/* SPDX-License-Identifier: ISC */
/* qrexec-agent: what Dom0 and what clients may send. No child is started. */
#include <sys/socket.h>
#include <unistd.h>

#define fork() ((pid_t)-1)
#define main agent_main
#include "agent/qrexec-agent.c"
#undef main

#include "quiet.h"

void
data_child(bool just, uint32_t domain, uint32_t port, const char *command)
{
	_exit((int)(just + domain + port) + command[0]);
}

static void
from_client(struct agent *a, const uint8_t *data, size_t size)
{
	struct conn *c = &a->conn[1];

	c->in.max = MSG_HEADER_LEN + CONTROL_BODY_MAX + 1;
	/* As it comes: in two parts. */
	if (buf_put(&c->in, data, size / 2) && client_request(c) && c->kind == ASKING &&
	    buf_put(&c->in, data + size / 2, size - size / 2))
		client_request(c);
	if (a->out.len > MSG_HEADER_LEN + CONTROL_BODY_MAX)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct agent a;
	int link[2], waiter[2];

	if (size == 0 || size > 100000 || socketpair(AF_UNIX, SOCK_STREAM, 0, link) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, waiter) < 0)
		return 0;
	quiet(true);
	a = (struct agent){.l = loop_new(),
	    .link_fd = -1,
	    .sock = -1,
	    .up = data[0] & 2,
	    .version = 2 + (data[0] >> 6),
	    .numbers = 1};
	a.in.max = MSG_HEADER_LEN + EXEC_PARAMS_LEN + CMDLINE_LEN_MAX + CONTROL_BODY_MAX;
	a.out.max = OUT_MAX + 2 * CONTROL_BODY_MAX + 2 * CONNS * REPORT_LEN;
	a.v = vchan_take(VCHAN_CLIENT, link[0]);
	a.conn[0] = (struct conn){.kind = WAITING, .a = &a, .fd = waiter[0], .number = 1};
	a.conn[1] = (struct conn){.kind = ASKING, .a = &a, .fd = -1};
	if (data[0] & 1) {
		from_client(&a, data + 1, size - 1);
	} else if (write(link[1], data + 1, size - 1) >= 0) {
		shutdown(link[1], SHUT_WR);
		while (read_link(&a) > 0)
			;
	}
	for (size_t i = 0; i < CONNS; i++)
		if (a.conn[i].kind != FREE)
			conn_end(&a.conn[i]);
	buf_free(&a.in);
	buf_free(&a.out);
	loop_free(a.l);
	vchan_close(a.v);
	close(link[1]);
	close(waiter[1]);
	quiet(false);
	return 0;
}
