/* SPDX-License-Identifier: ISC */
/* A qube's domain is started: its netvm before it, and what was kept ready given up for it if
 * memory is wanted. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "qids.h"
#include "startd.h"
#include "state.h"

#define EXTRA_MS 30000 /* what a start may take beside waiting for the agent */
#define AUTOSTARTED RUN_DIR "/vm/.autostarted"
#define MADE_TRIES 50		    /* at boot the instance makers may come up after us */
#define NO_ROOM "too little memory" /* how vmstart's reason begins then */
#define STOPPED "it was to be stopped before it began"

enum { S_BEGIN, S_FILE, S_NETVM, S_ROOM, S_GONE, S_MADE, S_UP, S_FAILED };

static bool
may_start(struct job *j, struct vmconf *c)
{
	struct vmconf_error e;
	const char *no;

	if (!load_conf(j->name, c, &e)) {
		if (e.line > 0)
			snprintf(j->reason, sizeof j->reason, ETC_VM "/%.64s:%u: %.120s", e.file,
			    e.line, e.text);
		else
			snprintf(j->reason, sizeof j->reason, "%.120s%s%.120s", e.file,
			    e.file[0] != '\0' ? ": " : "", e.text);
		return false;
	}
	if (strcmp(c->type, "AdminVM") == 0 || strcmp(c->type, "RemoteVM") == 0) {
		snprintf(j->reason, sizeof j->reason, "a qube of type %s is not started", c->type);
		return false;
	}
	no = vmconf_feature(c, "prohibit-start");
	if (no && no[0] != '\0') {
		snprintf(j->reason, sizeof j->reason, "its start is prohibited: %s", no);
		return false;
	}
	if (qid_assign(j->name) == 0) {
		snprintf(j->reason, sizeof j->reason, "no qid: %s", strerror(errno));
		return false;
	}
	return true;
}

static uint32_t
start_ms(const struct vmconf *c)
{
	return (c->qrexec_timeout > 3600 ? 3600 : c->qrexec_timeout) * 1000 + EXTRA_MS;
}

/* No program of the supervisor's says it in a way that could be passed on. */
static void
guess_reason(struct job *j)
{
	struct statvfs v;

	if (statvfs(RUN_DIR, &v) == 0 && v.f_bavail == 0)
		snprintf(j->reason, sizeof j->reason, "%s: %s", RUN_DIR, strerror(ENOSPC));
	else
		snprintf(j->reason, sizeof j->reason, "did not start (%s/%s/vm says why)", LOG_DIR,
		    j->name);
}

static void
fails(struct job *j)
{
	if (j->code == 0) /* one that failed early has not said that it is down */
		job_add(j->s, &(struct job_order){.kind = JOB_DOWN, .name = j->name});
	if (strncmp(j->reason, NO_ROOM, strlen(NO_ROOM)) == 0 && !j->made_room && !j->idle &&
	    preload_any(j->s)) {
		logit("%s: disposables that are kept ready make room for it", j->name);
		j->made_room = true;
		j->step = S_ROOM;
		return preload_drop(j->s);
	}
	job_end(j, false, NULL, j->reason, j->code ? j->code : 1);
}

static void
again(struct job *j)
{
	j->code = 0;
	j->reason[0] = '\0';
}

/* It runs already, or is on its way up or down. true: that is all. */
static bool
is_there(struct job *j, const struct vm_state *st)
{
	if (strcmp(st->state, "Running") == 0)
		job_end(j, true, "running", NULL, 0);
	else if (strcmp(st->state, "Paused") == 0)
		job_end(j, false, NULL, "it is not halted, but paused: qvm-unpause", 1);
	else
		return false;
	return true;
}

static void
begin(struct job *j)
{
	struct vm_state st;
	struct vmconf c;
	const struct disp *d = disp_find(j->s, j->name);
	const bool known = state_read(j->s->state_dir, j->name, &st);

	if (known && is_there(j, &st))
		return;
	if (d && d->stage == DISP_MAKING && j->step == S_BEGIN) {
		j->step = S_FILE;
		return spawn_call(j, disp_file);
	}
	if (!may_start(j, &c))
		return job_end(j, false, NULL, j->reason, 1);
	if (net_before(j->s, &c, j->waits)) {
		j->step = S_NETVM;
		return job_add(
		    j->s, &(struct job_order){
			      .kind = JOB_START, .name = j->waits, .by_qube = j->by_qube});
	}
	if (instance_there(j) && known && !state_ended(&st)) {
		j->step = S_UP;
		return spawn_wait(j, start_ms(&c));
	}
	j->step = S_GONE; /* what is left of its last domain is waited for */
	if (instance_there(j))
		return spawn_delete(j);
	start_step(j, 0);
}

static void
made(struct job *j)
{
	struct vmconf c;
	struct vmconf_error e;

	if (!load_conf(j->name, &c, &e))
		c.qrexec_timeout = 60;
	j->step = S_UP;
	spawn_up(j, start_ms(&c));
	job_add(j->s, &(struct job_order){.kind = JOB_STORE_PLACE, .name = j->name});
}

void
start_step(struct job *j, int status)
{
	switch (j->step) {
	case S_FILE:
		if (status != 0) {
			snprintf(j->reason, sizeof j->reason, ETC_VM ": %s", strerror(status));
			return job_end(j, false, NULL, j->reason, 1);
		} /* fall through */
	case S_BEGIN:
	case S_NETVM:
		return begin(j);
	case S_ROOM:
		again(j);
		j->step = S_NETVM; /* its file, if it is a disposable, is there */
		return begin(j);
	case S_GONE:
		again(j);
		j->step = S_MADE;
		return spawn_create(j);
	case S_MADE:
		if (status != 0 && !instance_there(j) && j->tries++ < MADE_TRIES) {
			j->step = S_GONE;
			job_again(j);
			return;
		}
		if (status == 0 && !job_waits(j->s, JOB_STOP, j->name))
			return made(j);
		if (status == 0)
			snprintf(j->reason, sizeof j->reason, "%s", STOPPED);
		break;
	case S_UP:
		if (status == 0)
			return job_end(j, true, "running", NULL, 0);
		break;
	case S_FAILED:
		return fails(j);
	}
	if (!j->reason[0])
		guess_reason(j);
	j->step = S_FAILED;
	if (instance_there(j))
		return spawn_delete(j);
	start_step(j, 0);
}

bool
start_rests(const struct job *j)
{
	return j->kind == JOB_START && (j->step == S_NETVM || j->step == S_ROOM) && j->running;
}

static void
on_cancel(struct loop *l, int fd, short revents, void *arg)
{
	struct job *j = arg;

	(void)l, (void)fd, (void)revents;
	j->timer = 0;
	if (start_rests(j))
		job_end(j, false, NULL, STOPPED, 1);
}

void
start_cancel(struct job *j)
{
	if (!j->timer)
		j->timer = loop_after(j->s->loop, 0, on_cancel, j);
}

static struct job *
resting(const struct startd *s, int step, const char *netvm)
{
	for (struct job *j = s->jobs; j; j = j->next)
		if (start_rests(j) && j->step == step && (!netvm || strcmp(j->waits, netvm) == 0))
			return j;
	return NULL;
}

void
start_told(struct startd *s, const char *netvm, bool ok, const char *reason)
{
	struct job *j;
	char why[256];

	while ((j = resting(s, S_NETVM, netvm)) != NULL) {
		j->waits[0] = '\0';
		snprintf(why, sizeof why, "its netvm %s: %.200s", netvm, reason ? reason : "");
		if (ok)
			start_step(j, 0);
		else
			job_end(j, false, NULL, why, 1);
	}
}

void
start_room(struct startd *s)
{
	struct job *j;

	while ((j = resting(s, S_ROOM, NULL)) != NULL)
		start_step(j, 0);
}

void
jobs_autostart(struct startd *s)
{
	const int fd = open(AUTOSTARTED, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	const int dir = fd >= 0 ? vm_dir() : -1;
	DIR *d = dir >= 0 ? fdopendir(dir) : NULL;
	const struct dirent *f;
	struct vmconf c;
	struct vmconf_error e;

	while (d && (f = readdir(d)) != NULL)
		if (name_ok(f->d_name) && !is_dom0(f->d_name) &&
		    vmconf_load(dir, f->d_name, &c, &e) && c.autostart)
			job_add(s, &(struct job_order){.kind = JOB_START, .name = f->d_name});
	if (d)
		closedir(d);
	if (fd >= 0)
		close(fd);
}
