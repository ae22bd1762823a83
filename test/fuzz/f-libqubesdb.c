/* SPDX-License-Identifier: ISC */
/*
 * What a daemon answers to libqubesdb. The first byte picks the call. What it returns is what the
 * header says: keys with the prefix, values without NUL, their lengths, the end of a list.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "libqubesdb/libqubesdb-wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PREFIX "/a"

static void
need(bool is)
{
	if (!is)
		abort();
}

static void
check_list(char **p, unsigned int n, const unsigned int *lens)
{
	const unsigned int per = lens != NULL ? 2 : 1;

	for (unsigned int i = 0; i < n; i++) {
		need(qdb_path_ok(p[per * i]) && strncmp(p[per * i], PREFIX, strlen(PREFIX)) == 0);
		if (lens != NULL)
			need(lens[i] <= QDB_VALUE_MAX && strlen(p[per * i + 1]) == lens[i]);
		free(p[per * i]);
		if (lens != NULL)
			free(p[per * i + 1]);
	}
	need(p[per * n] == NULL && p[per * n + per - 1] == NULL);
	free(p);
}

static bool
call(struct qdb_handle *h, unsigned int which)
{
	unsigned int n = 0, *lens = NULL;
	char *v, **p;

	switch (which) {
	case 0:
		v = qdb_read(h, PREFIX, &n);
		need(v == NULL || strlen(v) == n);
		free(v);
		return v != NULL;
	case 1:
		p = qdb_list(h, PREFIX, &n);
		if (p != NULL)
			check_list(p, n, NULL);
		return p != NULL;
	case 2:
		p = qdb_multiread(h, PREFIX, &lens, &n);
		if (p != NULL)
			check_list(p, n, lens);
		free(lens);
		return p != NULL;
	case 3:
		v = qdb_read_watch(h);
		need(v == NULL || (qdb_path_ok(v) && *v == '/'));
		free(v);
		return v != NULL;
	case 4:
		return qdb_rm(h, PREFIX);
	case 5:
		return qdb_watch(h, PREFIX);
	default:
		return qdb_write(h, PREFIX, "v", 1);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct qdb_handle *h;
	unsigned int which;
	int s[2], room = 1 << 20;

	if (size < 1 || size > 65536 || socketpair(AF_UNIX, SOCK_STREAM, 0, s) < 0)
		return 0;
	which = data[0] % 7;
	setsockopt(s[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	need(
	    write(s[1], data + 1, size - 1) == (ssize_t)(size - 1) && shutdown(s[1], SHUT_WR) == 0);
	h = calloc(1, sizeof(*h));
	need(h != NULL);
	h->fd = s[0];
	h->poll = h->bell = -1;
	h->last = &h->first;
	h->rw.sun_family = h->ro.sun_family = AF_UNIX;
	strcpy(h->rw.sun_path, "/nonexistent/a");
	strcpy(h->ro.sun_path, "/nonexistent/a");
	qdb_watch_fd(h);
	errno = 0;
	for (int i = 0; i < 64; i++) {
		if (!call(h, which) && errno != ENOENT && errno != EACCES)
			break;
		need(h->events <= QDB_EVENTS_MAX && h->off + h->len <= sizeof(h->in));
	}
	qdb_close(h);
	close(s[1]);
	return 0;
}
