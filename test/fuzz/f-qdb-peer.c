/* SPDX-License-Identifier: ISC */
/*
 * What the other daemon says, to Dom0's or to the qube's: first byte: which, whether it reads, and
 * whether a client writes meanwhile. In two pieces. Dom0's keys stay as they are, whatever comes.
 */
#include "qdb.h"

#define TO_PEER                                                                                    \
	(1u << QDB_WRITE | 1u << QDB_RM | 1u << QDB_MULTIREAD | 1u << QDB_OK | 1u << QDB_ERROR |   \
	    1u << QDB_R_MULTIREAD)

static void
client_writes(int fd, const char *path, enum qdb_type type)
{
	uint8_t m[sizeof(struct qdb_hdr) + 1];
	struct key k = {.len = (uint8_t)strlen(path)};

	memcpy(k.s, path, k.len);
	say(fd, m, message_put(m, type, &k, "1", type == QDB_WRITE));
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	const size_t half = n / 2;
	const struct value *v;
	struct key name = {.len = 5, .s = "/name"};
	int fd, c;

	if (n < 2 || n > 100000)
		return 0;
	begin(p[0] & 1 ? QUBE : DOM0);
	d.peer.ask = p[0] & 8;
	key("/name", "work");
	key("/type", "AppVM");
	c = client(false);
	fd = peer();
	if (p[0] & 16)
		client_writes(c, "/a", QDB_WRITE);
	client_writes(c, "/", QDB_WATCH);
	say(fd, p + 1, half - 1);
	turn(3);
	if (p[0] & 32)
		client_writes(c, "/a", QDB_RM);
	if (p[0] & 4)
		hear(fd);
	say(fd, p + half, n - half);
	turn(3);
	hear(fd);
	turn(6);
	hear(fd);
	check(TO_PEER);
	v = store_find(&d.store, &name) != NULL ? store_view(store_find(&d.store, &name), DOM0)
						: NULL;
	if (d.side == DOM0 && (v == NULL || v->len != 4 || memcmp(v->p, "work", 4) != 0))
		abort();
	if (d.store.used[QUBE].n > QUBE_ENTRIES_MAX)
		abort();
	close(fd);
	turn(2);
	close(c);
	turn(2);
	end();
	return 0;
}
