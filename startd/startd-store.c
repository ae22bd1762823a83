/* SPDX-License-Identifier: ISC */
/*
 * Starts a qube's qdbd. It serves when its socket appears (qdb.h), and an answer comes. s6's own
 * ways of waiting for that take two more processes, on the way to each start.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <unistd.h>

#include "paths.h"
#include "qdb/qdb.h"
#include "sock.h"
#include "startd.h"

static void
let_go(struct startd *s, int *fd)
{
	if (*fd < 0)
		return;
	loop_del(s->loop, *fd);
	close(*fd);
	*fd = -1;
}

static void
over(struct job *j, int status)
{
	let_go(j->s, &j->store);
	let_go(j->s, &j->names);
	if (j->go >= 0)
		close(j->go);
	if (status != 0)
		store_logs(j->name);
	loop_cancel(j->s->loop, j->timer);
	j->timer = 0;
	job_step(j, status);
}

/* What its finish script leaves when it will not come again. */
#define FAILED_MAX 160

static const char *
failed(char path[FAILED_MAX], const struct job *j)
{
	snprintf(path, FAILED_MAX, "%s/instance/%s/failed", j->service, j->name);
	return path;
}

static void
on_answer(struct loop *l, int fd, short revents, void *arg)
{
	struct job *j = arg;
	char byte;
	const ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT);

	(void)l, (void)revents;
	if (n > 0)
		return over(j, 0);
	if (n == 0 || errno != EAGAIN)
		let_go(j->s, &j->store); /* it was killed: another follows, with another socket */
}

/* What it says to a question does not matter, but that it answers. */
static void
question(struct job *j)
{
	static const struct qdb_hdr name = {.type = QDB_READ, .path = "/name"};
	char path[128];

	if (j->store >= 0)
		return;
	snprintf(path, sizeof path, RUN_QDB "/%s/" QDB_SOCK, j->name);
	j->store = sock_connect(path);
	if (j->store >= 0 &&
	    (send(j->store, &name, sizeof name, MSG_NOSIGNAL | MSG_DONTWAIT) != sizeof name ||
		!loop_add(j->s->loop, j->store, POLLIN, on_answer, j))) {
		close(j->store);
		j->store = -1;
	}
}

static void
on_name(struct loop *l, int fd, short revents, void *arg)
{
	char events[1024] __attribute__((aligned(8)));

	struct job *j = arg;
	char path[FAILED_MAX];

	(void)l, (void)revents;
	while (read(fd, events, sizeof events) > 0)
		;
	if (access(failed(path, j), F_OK) == 0)
		return over(j, 111);
	question(j);
}

static void
on_limit(struct loop *l, int fd, short revents, void *arg)
{
	(void)l, (void)fd, (void)revents;
	over(arg, 111);
}

static bool
watch(struct job *j)
{
	char dir[128];

	j->names = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	snprintf(dir, sizeof dir, RUN_QDB "/%s", j->name);
	if (j->names < 0 || inotify_add_watch(j->names, dir, IN_MOVED_TO) < 0)
		return false;
	snprintf(dir, sizeof dir, "%s/instance/%s", j->service, j->name);
	return inotify_add_watch(j->names, dir, IN_CREATE) >= 0 &&
	       loop_add(j->s->loop, j->names, POLLIN, on_name, j);
}

void
store_wait(struct job *j, uint32_t ms)
{
	char path[FAILED_MAX];
	bool ok;

	j->store = -1;
	(void)unlink(failed(path, j));
	ok = watch(j);
	j->go = instance_go(j);
	(void)instance_tell(j, 'u'); /* one whose supervisor is still to come is up when that has */
	if (!ok)
		logit("%s: its store cannot be started: %s", j->name, strerror(errno));
	j->timer = loop_after(j->s->loop, ok ? ms : 0, on_limit, j);
	if (ok)
		question(j);
}

void
store_wait_no_more(struct job *j)
{
	over(j, 111);
}
