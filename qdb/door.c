/* SPDX-License-Identifier: ISC */
/* Who is let in, and how many. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "qdbd.h"
#include "sock.h"

#define ACCEPTS 64 /* in one go: the rest of the loop has its turn */

/* NULL, or why not. */
static const char *
admit(const struct qdbd *d, int fd, uid_t *uid)
{
	*uid = 0;
	if ((d->managed || d->side == QUBE) && !sock_peer(fd, uid, NULL))
		return "unknown";
	if (d->managed && *uid != 0 && !sock_peer_in_group(fd, d->people))
		return "not for this uid";
	if (d->nclients >= CLIENTS_MAX)
		return "1024 clients are there";
	return *uid != 0 && clients_of(d, *uid) >= CLIENTS_OF_ONE ? "this uid has 512" : NULL;
}

static void
on_listener(struct loop *l, int sock, short revents, void *arg)
{
	struct qdbd *d = arg;
	const struct listener *n = &d->listen[sock == d->listen[1].fd];
	const char *why;
	uid_t uid = 0;
	int fd;

	(void)revents;
	for (int i = 0; i < ACCEPTS && (fd = sock_accept(sock)) >= 0; i++) {
		why = admit(d, fd, &uid);
		if (why == NULL) {
			clients_came(d, fd, uid, n->ro);
			continue;
		}
		log_limited(&d->refused, "client of uid %u refused: %s", uid, why);
		close(fd);
	}
	if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
		log_limited(&d->refused, "nobody is let in: %s", strerror(errno));
		loop_rest(l, sock);
	}
}

void
clients_serve(struct qdbd *d)
{
	for (int i = 0; i < 2; i++)
		if (d->listen[i].fd >= 0 &&
		    !loop_add(d->loop, d->listen[i].fd, POLLIN, on_listener, d))
			die("no memory");
}
