/* SPDX-License-Identifier: ISC */
/*
 * qdb-flood N: in a qube, as root, in place of its qdbd: writes N keys of 3000 bytes each to Dom0's
 * and says what came of it: "ok=N error=N".
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "names.h"
#include "qdb/qdb.h"
#include "vchan.h"

#define VALUE 3000
#define WAIT_MS 300000 /* for the channel */
#define STUCK_MS 30000

static struct {
	size_t n;
	uint8_t in[4 * QDB_MESSAGE_MAX];
	uint32_t ok, error;
} f;

static void
message(uint8_t out[sizeof(struct qdb_hdr) + VALUE], uint32_t i)
{
	struct qdb_hdr h = {.type = QDB_WRITE, .len = VALUE};

	snprintf(h.path, sizeof h.path, "/flood/%06u", i);
	memcpy(out, &h, sizeof h);
	memset(out + sizeof h, 'x', VALUE);
}

/* Whole messages; those that are no answers do not count. */
static void
take(void)
{
	size_t at = 0;
	struct qdb_hdr h;

	while (f.n - at >= sizeof h) {
		memcpy(&h, f.in + at, sizeof h);
		if (f.n - at - sizeof h < h.len)
			break;
		f.ok += h.type == QDB_OK;
		f.error += h.type == QDB_ERROR;
		at += sizeof h + h.len;
	}
	memmove(f.in, f.in + at, f.n - at);
	f.n -= at;
}

int
main(int argc, char **argv)
{
	static uint8_t out[sizeof(struct qdb_hdr) + VALUE];
	struct vchan *v = vchan_open(VCHAN_CLIENT, NULL, vchan_self(), 0, QDB_PORT);
	uint32_t n, sent = 0;
	size_t done = sizeof out;
	ssize_t got;

	if (argc != 2 || !parse_u32(argv[1], 100000, &n) || !v || !vchan_wait(v, WAIT_MS, -1))
		return 1;
	while (f.ok + f.error < n) {
		struct pollfd p;

		if (done == sizeof out && sent < n) {
			message(out, sent++);
			done = 0;
		}
		got = done < sizeof out ? vchan_write(v, out + done, sizeof out - done) : 0;
		done += got > 0 ? (size_t)got : 0;
		while ((got = vchan_read(v, f.in + f.n, sizeof f.in - f.n)) > 0) {
			f.n += (size_t)got;
			take();
		}
		if (got < 0 || f.ok + f.error >= n)
			break;
		if (done == sizeof out && sent < n)
			continue;
		vchan_poll(v, (short)(POLLIN | (done < sizeof out ? POLLOUT : 0)), &p);
		if (poll(&p, 1, STUCK_MS) <= 0)
			break;
		vchan_turn(v);
	}
	printf("ok=%u error=%u\n", f.ok, f.error);
	return f.ok + f.error == n ? 0 : 1;
}
