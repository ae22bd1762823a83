/* SPDX-License-Identifier: ISC */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "log.h"
#include "paths.h"
#include "running.h"
#include "state.h"

static struct {
	struct domain *first;
	int inotify, dir;
	struct running_fns fns;
} r = {.inotify = -1, .dir = -1};

static void
removed(const char *name)
{
	struct domain **at = &r.first, *d;

	while (*at && strcmp((*at)->name, name) != 0)
		at = &(*at)->next;
	d = *at;
	if (!d)
		return;
	*at = d->next;
	if (r.fns.ended)
		r.fns.ended(d);
	free(d);
}

static void
added(const struct vm_state *st)
{
	struct domain *d = calloc(1, sizeof *d);

	if (!d)
		return;
	*d = (struct domain){.domid = st->domid, .qid = st->qid, .dir = -1, .wd = -1};
	memcpy(d->name, st->name, sizeof d->name);
	memcpy(d->session, st->session, sizeof d->session);
	d->next = r.first;
	r.first = d;
	if (!r.fns.began || r.fns.began(d))
		return;
	r.first = d->next;
	free(d);
}

static bool
same(const struct domain *d, const struct vm_state *st)
{
	return d->domid == st->domid && d->qid == st->qid && strcmp(d->session, st->session) == 0;
}

/* RUN_STATE/NAME was written or removed. */
static void
changed(const char *name)
{
	const struct domain *d = r.first;
	struct vm_state st;

	if (!name_ok(name))
		return;
	while (d && strcmp(d->name, name) != 0)
		d = d->next;
	if (!state_read(r.dir, name, &st) || state_ended(&st)) {
		removed(name);
	} else if (!d || !same(d, &st)) {
		removed(name);
		added(&st);
	}
}

static void
all(void)
{
	const int fd = openat(r.dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *f;

	while (dir && (f = readdir(dir)) != NULL)
		changed(f->d_name);
	if (dir)
		closedir(dir);
}

/* Events were lost: everything is looked at again. */
static void
overflow(void)
{
	struct domain *d = r.first, *next;
	char name[sizeof d->name];

	for (; d; d = next) {
		next = d->next;
		memcpy(name, d->name, sizeof name); /* d may go on the way */
		changed(name);
	}
	all();
}

void
running_look(void)
{
	char buf[8192] __attribute__((aligned(8)));
	ssize_t n;

	while ((n = read(r.inotify, buf, sizeof buf)) > 0) {
		for (ssize_t at = 0; at + (ssize_t)sizeof(struct inotify_event) <= n;) {
			const struct inotify_event *e = (const void *)(buf + at);

			if (e->mask & IN_Q_OVERFLOW)
				overflow();
			else if (e->len > 0)
				changed(e->name);
			at += (ssize_t)(sizeof *e + e->len);
		}
	}
}

static void
on_inotify(struct loop *l, int fd, short revents, void *arg)
{
	(void)l, (void)fd, (void)revents, (void)arg;
	running_look();
}

void
running_start(struct loop *l, const struct running_fns *fns)
{
	r.fns = *fns;
	r.inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	r.dir = open(RUN_STATE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r.dir < 0 ||
	    inotify_add_watch(r.inotify, RUN_STATE, IN_MOVED_TO | IN_DELETE | IN_ONLYDIR) < 0 ||
	    !loop_add(l, r.inotify, POLLIN, on_inotify, NULL))
		die(RUN_STATE);
	all();
}

struct domain *
running_first(void)
{
	return r.first;
}

static struct domain *
find(uint32_t domid, uint32_t qid)
{
	struct domain *d = r.first;

	while (d && (qid ? d->qid != qid : d->domid != domid))
		d = d->next;
	return d;
}

struct domain *
running_find(uint32_t domid, uint32_t qid)
{
	struct domain *d = find(domid, qid);

	if (!d) {
		running_look();
		d = find(domid, qid);
	}
	return d;
}
