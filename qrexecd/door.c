/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "qrexecd.h"
#include "sock.h"

#define QUEUE_MAX 4096u /* more than any queue of a listening socket holds (lib/sock.c) */

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
	else if (errno != EAGAIN) /* others were faster: the whole system has none */
		loop_rest(d->q->loop, d->fd);
	reserve_fd(d->q);
	log_limited(&d->full, "%s: no descriptor left, a connection was closed", d->name);
}

/* Who stands in the queue is closed: how many. Nobody keeps us here by coming again and again. */
static unsigned
close_waiting(struct door *d)
{
	unsigned n = 0;
	int fd;

	while (n < QUEUE_MAX && (fd = sock_accept(d->fd)) >= 0) {
		close(fd);
		n++;
	}
	return n;
}

/* No place came free for DOOR_MS. */
static void
on_patience(struct loop *l, int fd, short revents, void *arg)
{
	struct door *d = arg;
	unsigned n = close_waiting(d);

	(void)fd, (void)revents;
	if (n > 0)
		logit("%s: %u connections are open and none ended for %u s: %u that waited were "
		      "closed",
		    d->name, d->max, DOOR_MS / 1000, n);
	d->patience = loop_after(l, DOOR_MS, on_patience, d);
}

/* At the limit callers are left in the queue. */
static void
pause_door(struct door *d)
{
	uint32_t timer = loop_after(d->q->loop, DOOR_MS, on_patience, d);

	if (timer == 0)
		return;
	d->patience = timer;
	d->paused = true;
	loop_set(d->q->loop, d->fd, 0);
}

static void
resume_door(struct door *d)
{
	if (!d->paused)
		return;
	d->paused = false;
	loop_cancel(d->q->loop, d->patience);
	d->patience = 0;
	loop_set(d->q->loop, d->fd, POLLIN);
}

static void
on_door(struct loop *l, int fd, short revents, void *arg)
{
	struct door *d = arg;
	int s;

	(void)l, (void)revents;
	if (d->open >= d->max) {
		if (!d->paused)
			pause_door(d);
		return;
	}
	s = sock_accept(fd);
	reserve_fd(d->q);
	if (s < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)) {
		turn_away(d);
	} else if (s >= 0) {
		d->open++;
		d->came(d->q, s);
	}
}

void
door_left(struct door *d)
{
	d->open--;
	resume_door(d);
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
	rename(d->name, d->hidden);
	resume_door(d);
	loop_del(d->q->loop, d->fd);
	close_waiting(d);
}

void
door_remove(struct door *d)
{
	unlink(d->name);
	unlink(d->hidden);
}
