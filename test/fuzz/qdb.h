/* SPDX-License-Identifier: ISC */
/* A qdbd without its process: clients and the peer are our ends of socket pairs. What they are sent
 * has to be whole messages that the other side may get. */
#ifndef FUZZ_QDB_H
#define FUZZ_QDB_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "qdb/qdbd.h"
#include "quiet.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static struct qdbd d;
static unsigned rounds;
static int pump[2] = {-1, -1};
static uint8_t got[1 << 20];
static size_t got_len;

/* What the rest of the daemon would be. */
void
ready(struct qdbd *q)
{
	q->serving = true;
}

void
synced(struct qdbd *q)
{
	(void)q;
}

void
link_up(struct qdbd *q)
{
	(void)q;
}

void
link_lost(struct qdbd *q, bool was_synced, bool bad)
{
	(void)q, (void)was_synced, (void)bad;
}

static void
on_pump(struct loop *l, int fd, short revents, void *arg)
{
	(void)fd, (void)revents, (void)arg;
	if (rounds-- == 0)
		loop_stop(l, 0);
}

static void
turn(unsigned n)
{
	rounds = n;
	loop_run(d.loop);
}

/* Ours; theirs is not blocking and has a small queue, so that it fills. */
static int
pair(int *theirs)
{
	const int small = 4096;
	int p[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, p) < 0)
		abort();
	setsockopt(p[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	*theirs = p[1];
	return p[0];
}

static int
client(bool ro)
{
	int theirs, ours = pair(&theirs);

	clients_came(&d, theirs, 1000, ro);
	return ours;
}

static int
peer(void)
{
	int theirs, ours = pair(&theirs);
	struct vchan *v = vchan_take(VCHAN_CLIENT, theirs);

	if (v == NULL)
		abort();
	peer_take(&d, v);
	return ours;
}

static void
say(int fd, const void *p, size_t n)
{
	if (n > 0 && write(fd, p, n) < 0 && errno != EPIPE && errno != EAGAIN &&
	    errno != ECONNRESET)
		abort();
}

static void
hear(int fd)
{
	ssize_t r;

	while (got_len < sizeof(got) && (r = read(fd, got + got_len, sizeof(got) - got_len)) > 0)
		got_len += (size_t)r;
}

/* Types as bits. */
static void
check(unsigned may)
{
	for (size_t at = 0; at + sizeof(struct qdb_hdr) <= got_len;) {
		struct qdb_hdr h;

		memcpy(&h, got + at, sizeof(h));
		if (h.type > QDB_R_WATCH || !(may & 1u << h.type) || h.len > QDB_VALUE_MAX ||
		    h.pad[0] != 0 || h.pad[1] != 0 || h.pad[2] != 0 ||
		    memchr(h.path, '\0', QDB_PATH) == NULL)
			abort();
		at += sizeof(h) + h.len;
	}
}

static void
begin(enum side side)
{
	quiet(true);
	signal(SIGPIPE, SIG_IGN); /* as main does */
	d.loop = loop_new();
	d.side = side;
	d.has_peer = true;
	d.peer.fd = d.control.fd = d.asking = d.notify = d.notify_sock = -1;
	d.listen[0].fd = d.listen[1].fd = -1;
	got_len = 0;
	if (pump[0] < 0 && (pipe(pump) < 0 || write(pump[1], "x", 1) != 1))
		abort();
	loop_add(d.loop, pump[0], POLLIN, on_pump, NULL);
}

static void
end(void)
{
	if (d.peer.v != NULL)
		peer_close(&d);
	store_free(&d.store);
	loop_free(d.loop);
	memset(&d, 0, offsetof(struct qdbd, out));
	d.out.len = 0;
	quiet(false);
}

static void
key(const char *path, const char *value)
{
	char field[QDB_PATH] = "";
	struct key k;

	memcpy(field, path, strlen(path));
	if (!key_take(&k, field) || store_put(&d.store, DOM0, &k, value, strlen(value)) == NULL)
		abort();
}

#endif
