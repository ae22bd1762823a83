/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "qrexecd.h"
#include "sock.h"

/* One descriptor is kept back, to be able to turn people away when there is none left. */
void
reserve_fd(struct qd *q)
{
	if (q->reserve < 0)
		q->reserve = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
}

static void
turn_away(struct door *d)
{
	int fd;

	if (d->q->reserve >= 0)
		close(d->q->reserve);
	d->q->reserve = -1;
	fd = sock_accept(d->fd);
	if (fd >= 0)
		close(fd);
	reserve_fd(d->q);
	log_limited(&d->full, "%s: no descriptor left, a connection was closed", d->name);
}

static void
on_door(struct loop *l, int fd, short revents, void *arg)
{
	struct door *d = arg;
	int s = sock_accept(fd);

	(void)l, (void)revents;
	reserve_fd(d->q);
	if (s < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)) {
		turn_away(d);
	} else if (s >= 0 && d->open >= d->max) {
		close(s);
		log_limited(
		    &d->full, "%s: %u connections are open, one more was closed", d->name, d->max);
	} else if (s >= 0) {
		d->open++;
		d->came(d->q, s);
	}
}

void
door_left(struct door *d)
{
	d->open--;
}

void
door_make(struct door *d, struct qd *q, const char *name, mode_t mode)
{
	d->q = q;
	d->name = name;
	snprintf(d->hidden, sizeof(d->hidden), ".%s", name);
	if (unlink(name) < 0 && errno != ENOENT)
		die("cannot remove the old %s", name);
	d->fd = sock_listen(d->hidden, mode);
	if (d->fd < 0)
		die("cannot make the socket %s", name);
}

bool
door_show(struct door *d)
{
	return rename(d->hidden, d->name) == 0 && loop_add(d->q->loop, d->fd, POLLIN, on_door, d);
}

/* Who stood in the queue is turned away. */
void
door_hide(struct door *d)
{
	int fd;

	rename(d->name, d->hidden);
	loop_del(d->q->loop, d->fd);
	while ((fd = sock_accept(d->fd)) >= 0)
		close(fd);
}

void
door_remove(struct door *d)
{
	unlink(d->name);
	unlink(d->hidden);
}
