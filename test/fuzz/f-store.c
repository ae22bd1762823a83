/* SPDX-License-Identifier: ISC */
/* What a store, or what a qube wrote into it, can answer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "quiet.h"
#include "sock.h"
#include "xen/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static int listener = -1;

static void
begin(void)
{
	static char path[64];

	snprintf(path, sizeof path, "/tmp/f-store.%d", (int)getpid());
	unlink(path);
	listener = sock_listen(path, 0600);
	if (listener < 0)
		abort();
	setenv("XENSTORED_PATH", path, 1);
}

static void
name(const char *untrusted_name, void *arg)
{
	*(size_t *)arg += strlen(untrusted_name);
}

static void
one(struct store *s, uint8_t what)
{
	char out[64], path[STORE_PATH_MAX], token[64];
	uint32_t number = 0;
	size_t total = 0;
	int r;

	switch (what % 6) {
	case 0:
		r = store_read(s, 0, "/a", out, sizeof out);
		if (r >= (int)sizeof out || (r >= 0 && out[r] != '\0'))
			abort();
		break;
	case 1:
		if (store_number(s, 0, "/a", 1000, &number) && number > 1000)
			abort();
		break;
	case 2:
		store_list(s, 0, "/a", name, &total);
		break;
	case 3:
		store_watch(s, "/a", "token");
		break;
	case 4:
		store_begin(s);
		break;
	default:
		for (int i = 0; i < 3 && store_event(s, path, token) > 0; i++)
			if (strlen(path) >= STORE_PATH_MAX || strlen(token) >= sizeof token)
				abort();
	}
}

/* The first byte says how many requests, then one byte each; the rest are the answers. */
int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	const size_t asks = n > 0 ? 1u + p[0] % 8u : 0;
	struct store *s;
	int fd;

	if (n < 1 + asks || n > 32768)
		return 0;
	if (listener < 0)
		begin();
	s = store_open();
	fd = sock_accept(listener);
	if (!s || fd < 0)
		abort();
	if (n > 1 + asks)
		send(fd, p + 1 + asks, n - 1 - asks, MSG_NOSIGNAL);
	shutdown(fd, SHUT_WR);
	quiet(true);
	for (size_t i = 0; i < asks; i++)
		one(s, p[1 + i]);
	quiet(false);
	store_close(s);
	close(fd);
	return 0;
}
