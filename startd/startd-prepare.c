/* SPDX-License-Identifier: ISC */
/*
 * What is built ahead (`prepare = N` in a qube's file). Which file of a qube matters to which
 * domain is vmstart's to say: it is asked about each qube that has `prepare` in its file, or has
 * had it.
 */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "paths.h"
#include "qids.h"
#include "startd.h"

#define SETTLE_MS 200 /* editors write a file in several steps */

static void
ask(struct startd *s, const char *name)
{
	if (name_ok(name) && !is_dom0(name))
		job_add(s, JOB_PREPARE, name, NULL, -1, false, 0, NULL);
}

/* Those that have one, wanted or not. */
static void
ask_prepared(struct startd *s)
{
	DIR *d = opendir(RUN_PREPARED);
	const struct dirent *f;

	while (d && (f = readdir(d)) != NULL)
		ask(s, f->d_name);
	if (d)
		closedir(d);
}

static void
ask_all(struct loop *l, int fd, short revents, void *arg)
{
	struct startd *s = arg;
	const int dir = vm_dir();
	DIR *d = dir >= 0 ? fdopendir(dir) : NULL;
	const struct dirent *f;
	struct vmconf c;
	struct vmconf_error e;

	(void)l;
	(void)fd;
	(void)revents;
	s->prepare_timer = 0;
	while (d && (f = readdir(d)) != NULL)
		if (name_ok(f->d_name) && !is_dom0(f->d_name) &&
		    vmconf_load(dir, f->d_name, &c, &e) && c.prepare > 0 &&
		    qid_assign(f->d_name) != 0)
			ask(s, f->d_name);
	if (d)
		closedir(d);
	ask_prepared(s);
}

static void
on_change(struct loop *l, int fd, short revents, void *arg)
{
	struct startd *s = arg;
	char events[4096] __attribute__((aligned(8)));

	(void)revents;
	while (read(fd, events, sizeof events) > 0)
		;
	loop_cancel(l, s->prepare_timer);
	s->prepare_timer = loop_after(l, SETTLE_MS, ask_all, s);
}

void
prepare_next(struct startd *s, const char *name)
{
	struct vmconf c;
	struct vmconf_error e;

	if (load_conf(name, &c, &e) && c.prepare > 0)
		ask(s, name);
}

void
prepare_start(struct startd *s)
{
	s->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (s->inotify < 0 ||
	    inotify_add_watch(s->inotify, ETC_VM, IN_CLOSE_WRITE | IN_MOVED_TO | IN_DELETE) < 0 ||
	    !loop_add(s->loop, s->inotify, POLLIN, on_change, s))
		logit(ETC_VM " is not watched: %s", strerror(errno));
	ask_all(s->loop, -1, 0, s);
}
