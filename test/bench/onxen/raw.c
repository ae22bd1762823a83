/* SPDX-License-Identifier: ISC */
/*
 * lib/vchan.h by the distribution's libxenvchan, as its users use it: each call waits. So that
 * vchan-speed speaks the same over either.
 */
#include <errno.h>
#include <libxenvchan.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "vchan.h"

#define RING 65536
#define TRIES 600
#define TRY_US 100000

struct vchan {
	struct libxenvchan *c;
};

struct vchan *
vchan_open(enum vchan_role role, const char *dir, uint32_t self, uint32_t peer, uint32_t port)
{
	struct vchan *v = calloc(1, sizeof *v);
	char path[96];

	(void)dir, (void)self;
	if (!v)
		return NULL;
	if (role == VCHAN_SERVER) {
		snprintf(path, sizeof path, "data/vchan/%u/%u", peer, port);
		v->c = libxenvchan_server_init(NULL, (int)peer, path, RING, RING);
	}
	snprintf(path, sizeof path, "/local/domain/%u/data/vchan/%s/%u", peer,
	    getenv("DOMID") ? getenv("DOMID") : "0", port);
	for (int i = 0; role == VCHAN_CLIENT && !v->c && i < TRIES; i++)
		if (!(v->c = libxenvchan_client_init(NULL, (int)peer, path)))
			usleep(TRY_US);
	if (!v->c) {
		free(v);
		return NULL;
	}
	v->c->blocking = 1;
	return v;
}

uint32_t
vchan_self(void)
{
	return 0;
}

bool
vchan_wait(struct vchan *v, int ms, int cancel_fd)
{
	(void)ms, (void)cancel_fd;
	while (libxenvchan_is_open(v->c) == 2)
		libxenvchan_wait(v->c);
	return true;
}

void
vchan_poll(const struct vchan *v, short want, struct pollfd *p)
{
	(void)v, (void)want;
	*p = (struct pollfd){.fd = -1};
}

void
vchan_turn(struct vchan *v)
{
	(void)v;
}

ssize_t
vchan_read(struct vchan *v, void *p, size_t n)
{
	const int r = libxenvchan_read(v->c, p, n);

	return r > 0 ? r : -1;
}

ssize_t
vchan_write(struct vchan *v, const void *p, size_t n)
{
	const int r = libxenvchan_write(v->c, p, n);

	return r > 0 ? r : -1;
}

void
vchan_close(struct vchan *v)
{
	libxenvchan_close(v->c);
	free(v);
}
