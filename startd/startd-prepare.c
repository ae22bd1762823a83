/* SPDX-License-Identifier: ISC */
/*
 * What is built ahead (`prepare = N` in a qube's file). Which file of a qube matters to which
 * domain is vmstart's to say: it is asked about each qube that has `prepare` in its file, or has
 * had it.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
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
		job_add(s, &(struct job_order){.kind = JOB_PREPARE, .name = name});
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

/* A qube's number is free when nothing of it is left. */
static void
free_qid(void *arg, const char *name)
{
	static const char *const storage[] = {ETC_VM "/%s", VAR_DIR "/appvms/%s",
	    VAR_DIR "/vm-templates/%s", RUN_STATE "/%s", RUN_Q "/%s"};
	struct startd *s = arg;
	char path[160];

	for (size_t i = 0; i < sizeof storage / sizeof *storage; i++) {
		snprintf(path, sizeof path, storage[i], name);
		if (access(path, F_OK) == 0)
			return;
	}
	if (job_running(s, name, 0) || job_running(s, name, 1) || disp_find(s, name))
		return;
	place_remove_menu(name);
	if (!qid_free(name))
		logit("%s: its qid is not freed: %s", name, strerror(errno));
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

	(void)l, (void)fd, (void)revents;
	s->prepare_timer = 0;
	while (d && (f = readdir(d)) != NULL)
		if (name_ok(f->d_name) && !is_dom0(f->d_name) &&
		    vmconf_load(dir, f->d_name, &c, &e) && c.prepare > 0 &&
		    qid_assign(f->d_name) != 0)
			ask(s, f->d_name);
	if (d)
		closedir(d);
	ask_prepared(s);
	qids_each(free_qid, s);
	preload_changed(s);
}

/* A temporary file's, or a disposable's that we make or erase, is nobody's change. */
static bool
matters(const struct startd *s, const struct inotify_event *e)
{
	return (e->mask & IN_Q_OVERFLOW) ||
	       (e->len > 0 && e->name[0] != '.' && !disp_was_ours(s, e->name));
}

static void
on_change(struct loop *l, int fd, short revents, void *arg)
{
	struct startd *s = arg;
	char events[4096] __attribute__((aligned(8)));
	bool some = false;
	ssize_t n;

	(void)revents;
	while ((n = read(fd, events, sizeof events)) > 0)
		for (ssize_t at = 0; at + (ssize_t)sizeof(struct inotify_event) <= n;) {
			const struct inotify_event *e = (const void *)(events + at);

			if (e->mask & IN_DELETE && name_ok(e->name)) /* may be made anew at once */
				place_remove_menu(e->name);
			some |= matters(s, e);
			at += (ssize_t)(sizeof *e + e->len);
		}
	if (!some)
		return;
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
