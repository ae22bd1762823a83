/* SPDX-License-Identifier: ISC */
/*
 * What startd does. Each kind of job is a function that is called with what the last step's program
 * exited with, begins the next step, and returns; no step waits.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ids.h"
#include "log.h"
#include "paths.h"
#include "qids.h"
#include "startd.h"
#include "state.h"
#include "vmconf.h"
#include "vmstart/domain.h"

#define STORE_MS 30000 /* for its store to be filled, and to serve */
#define EXTRA_MS 30000 /* what a start may take beside waiting for the agent */
#define LET_GO_MS 1000 /* of a domain that has gone */
#define AUTOSTARTED RUN_DIR "/vm/.autostarted"

#define KILLED 128    /* as a step's status: its program ended by a signal */
#define MADE_TRIES 50 /* at boot the instance makers may come up after us */

static void run_some(struct startd *s);

static int
lane(enum job_kind k)
{
	return k == JOB_PREPARE ? 2 : k >= JOB_STORE_PLACE;
}

static struct job *
running_in_lane(const struct startd *s, const char *name, int which)
{
	for (struct job *j = s->jobs; j; j = j->next)
		if (j->running && lane(j->kind) == which && strcmp(j->name, name) == 0)
			return j;
	return NULL;
}

static void
done(struct job *j, bool ok, const char *state, const char *reason, int code)
{
	struct startd *s = j->s;
	struct job **at = &s->jobs;
	struct client *c;

	if (!ok)
		logit("%s: refused: %s", j->name, reason);
	while ((c = j->clients) != NULL) {
		j->clients = c->next;
		client_answer(c, ok, state, reason, code);
	}
	while (*at != j)
		at = &(*at)->next;
	*at = j->next;
	loop_cancel(s->loop, j->timer);
	free(j);
	run_some(s);
}

static uint32_t
agent_ms(const char *name)
{
	struct vmconf c;
	struct vmconf_error e;

	if (!load_conf(name, &c, &e))
		return 60000;
	return (c.qrexec_timeout > 3600 ? 3600 : c.qrexec_timeout) * 1000;
}

static bool
may_start(struct job *j)
{
	struct vmconf c;
	struct vmconf_error e;

	if (!load_conf(j->name, &c, &e)) {
		if (e.line > 0)
			snprintf(j->reason, sizeof j->reason, ETC_VM "/%.64s:%u: %.120s", e.file,
			    e.line, e.text);
		else
			snprintf(j->reason, sizeof j->reason, "%.120s%s%.120s", e.file,
			    e.file[0] != '\0' ? ": " : "", e.text);
		return false;
	}
	if (strcmp(c.type, "AdminVM") == 0 || strcmp(c.type, "RemoteVM") == 0) {
		snprintf(j->reason, sizeof j->reason, "a qube of type %s is not started", c.type);
		return false;
	}
	if (qid_assign(j->name) == 0) {
		snprintf(j->reason, sizeof j->reason, "no qid: %s", strerror(errno));
		return false;
	}
	return true;
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

enum { S_BEGIN, S_GONE, S_MADE, S_UP, S_FAILED };

static void
start_step(struct job *j, int status)
{
	struct vm_state st;
	const bool known = state_read(j->s->state_dir, j->name, &st);

	switch (j->step) {
	case S_BEGIN:
		if (known && (strcmp(st.state, "Running") == 0 || strcmp(st.state, "Paused") == 0))
			return done(j, true, "running", NULL, 0);
		if (!may_start(j))
			return done(j, false, NULL, j->reason, 1);
		if (instance_there(j) && known) {
			j->step = S_UP;
			return spawn_wait(j, agent_ms(j->name) + EXTRA_MS);
		}
		j->step = S_GONE;
		if (instance_there(j))
			return spawn_delete(j);
		return start_step(j, 0);
	case S_GONE:
		j->step = S_MADE;
		return spawn_create(j);
	case S_MADE:
		if (status != 0 && !instance_there(j) && j->tries++ < MADE_TRIES) {
			j->step = S_GONE;
			job_again(j);
			return;
		}
		if (status != 0)
			break;
		j->step = S_UP;
		spawn_up(j, agent_ms(j->name) + EXTRA_MS);
		return job_add(j->s, JOB_STORE_PLACE, j->name, NULL, -1, false, 0, NULL);
	case S_UP:
		if (status == 0)
			return done(j, true, "running", NULL, 0);
		break;
	case S_FAILED:
		if (j->code == 0) /* one that failed early has not said that it is down */
			job_add(j->s, JOB_DOWN, j->name, NULL, -1, false, 0, NULL);
		return done(j, false, NULL, j->reason, j->code ? j->code : 1);
	}
	if (!j->reason[0])
		guess_reason(j);
	j->step = S_FAILED;
	if (instance_there(j))
		return spawn_delete(j);
	start_step(j, 0);
}

static void
on_patience(struct loop *l, int fd, short revents, void *arg)
{
	struct job *j = arg;

	(void)l;
	(void)fd;
	(void)revents;
	logit("%s: not down within %d s", j->name, j->timeout_s);
	j->timer = 0;
	signal_vm(j->name, "-q");
}

static void
stop_step(struct job *j, int status)
{
	if (j->step == S_BEGIN && instance_there(j)) {
		j->step = S_GONE;
		if (j->kill)
			signal_vm(j->name, "-q");
		else if (j->timeout_s >= 0)
			j->timer =
			    loop_after(j->s->loop, (uint64_t)j->timeout_s * 1000, on_patience, j);
		return spawn_delete(j);
	}
	if (status != 0)
		return done(j, false, NULL, "the supervisor did not end it", 111);
	done(j, true, "halted", NULL, 0);
}

static void
store_place_step(struct job *j, int status)
{
	struct vm_state st;
	const bool there = instance_there(j), run = state_read(j->s->state_dir, j->name, &st);

	(void)status; /* op=store sees to what is missing */
	if (j->step++ > S_BEGIN || there != j->kill || run)
		return done(j, true, "made", NULL, 0);
	if (j->kill)
		spawn_delete(j);
	else
		spawn_create(j);
}

/* The store is on the way to each start: there no program is run but the one that is waited for. */
static void
bring_up(struct job *j, bool there)
{
	j->step = S_UP;
	if (j->kind == JOB_STORE)
		store_wait(j, STORE_MS);
	else if (there)
		spawn_wait(j, agent_ms(j->name));
	else
		spawn_up(j, agent_ms(j->name));
}

/* STORE, UP */
static void
daemon_step(struct job *j, int status)
{
	const bool store = j->kind == JOB_STORE;
	const char *e;

	switch (j->step) {
	case S_BEGIN:
		e = place_make(j->s, j->name);
		if (e)
			return done(j, false, NULL, e, 111);
		if (instance_there(j))
			return bring_up(j, true);
		j->step = S_MADE;
		return spawn_create(j);
	case S_MADE:
		if (status == 0)
			return bring_up(j, false);
		break;
	case S_UP:
		if (status == 0)
			return done(j, true, store ? "filled" : "running", NULL, 0);
		break;
	case S_FAILED:
		if (!store)
			return done(j, false, NULL, "qrexec_timeout passed", END_NO_AGENT);
		snprintf(j->reason, sizeof j->reason, "no QubesDB (%s/%s/qdbd says why)", LOG_DIR,
		    j->name);
		return done(j, false, NULL, j->reason, 111);
	}
	j->step = S_FAILED;
	if (instance_there(j))
		return spawn_delete(j);
	daemon_step(j, 0);
}

/* A start that waits for this domain learns why there is none; else the instance is not needed any
 * more. */
static void
domain_ended(struct startd *s, const char *name, int code, const char *reason)
{
	struct job *j = running_in_lane(s, name, 0);

	if (j && j->kind == JOB_START) {
		j->code = code;
		if (reason[0])
			snprintf(j->reason, sizeof j->reason, "%s", reason);
	} else if (!j && code != END_REBOOT) {
		job_add(s, JOB_STOP, name, NULL, -1, false, 0, NULL);
	}
}

static void
on_late(struct loop *l, int fd, short revents, void *arg)
{
	struct job *j = arg;
	const size_t n = late_daemons(qid_of(j->name), SIGKILL);

	(void)l;
	(void)fd;
	(void)revents;
	j->timer = 0;
	if (n > 0)
		logit("%s: %zu of its daemons had not let go: killed", j->name, n);
	job_step(j, 0);
}

static void
down_step(struct job *j, int status)
{
	static const char *const services[] = {DAEMON_SERVICE, STORE_SERVICE};
	const int n = sizeof services / sizeof *services;

	(void)status;
	while (j->step < n) {
		j->service = services[j->step++];
		if (instance_there(j))
			return spawn_delete(j);
	}
	if (j->step++ == n && late_daemons(qid_of(j->name), 0) > 0 &&
	    (j->timer = loop_after(j->s->loop, LET_GO_MS, on_late, j)) != 0)
		return;
	place_remove(j->name);
	prepare_next(j->s, j->name);
	domain_ended(j->s, j->name, j->code, j->reason);
	done(j, true, "halted", NULL, 0);
}

static bool
is_prepared(const char *name)
{
	char path[160];

	snprintf(path, sizeof path, RUN_PREPARED "/%s", name);
	return access(path, F_OK) == 0;
}

static void
prepare_step(struct job *j, int status)
{
	static const char vmstart[] = LIBDIR "/vmstart";
	const char *const argv[] = {vmstart, "-p", "--", j->name, NULL};

	/* one that was killed has left something, which the next removes */
	if (j->step++ > S_BEGIN && (status != KILLED || j->tries++ > 0)) {
		/* Its store's supervisor, too, is there before it is needed. */
		job_add(j->s, JOB_STORE_PLACE, j->name, NULL, -1, !is_prepared(j->name), 0, NULL);
		return done(j, status == 0, "prepared", "not prepared", status);
	}
	spawn(j, argv);
}

void
job_step(struct job *j, int status)
{
	static void (*const steps[])(struct job *, int) = {[JOB_START] = start_step,
	    [JOB_STOP] = stop_step,
	    [JOB_STORE_PLACE] = store_place_step,
	    [JOB_STORE] = daemon_step,
	    [JOB_UP] = daemon_step,
	    [JOB_DOWN] = down_step,
	    [JOB_PREPARE] = prepare_step};

	steps[j->kind](j, status);
}

/* Begins what may begin: one job of a lane, and so many starts at once. */
static void
run_some(struct startd *s)
{
	size_t starts = 0, prepares = 0;

	for (struct job *j = s->jobs; j; j = j->next) {
		starts += j->running && j->kind == JOB_START;
		prepares += j->running && j->kind == JOB_PREPARE;
	}
	for (struct job *j = s->jobs; j; j = j->next) {
		if (j->running || running_in_lane(s, j->name, lane(j->kind)) ||
		    (j->kind == JOB_START && starts >= STARTS_AT_ONCE) ||
		    (j->kind == JOB_PREPARE && starts + prepares > 0)) /* nobody waits for it */
			continue;
		j->running = true;
		job_step(j, 0); /* may end it, and come here again: then all is done */
		return run_some(s);
	}
}

/* One that does the same and has not done it yet. A start that is about to be stopped is not the
 * one that is wanted after that. */
static struct job *
same_job(const struct startd *s, enum job_kind kind, const char *name)
{
	struct job *same = NULL;

	if (kind != JOB_START && kind != JOB_PREPARE)
		return NULL;
	for (struct job *j = s->jobs; j; j = j->next)
		if (strcmp(j->name, name) != 0)
			continue;
		else if (j->kind == JOB_STOP && kind == JOB_START)
			same = NULL;
		else if (j->kind == kind && (kind == JOB_START || !j->running))
			same = j;
	return same;
}

/* What runs in the lane and would keep this one waiting for long is told to end. */
static void
hurry(struct startd *s, enum job_kind kind, const char *name, bool kill_it)
{
	struct job *j = running_in_lane(s, name, lane(kind));

	if (!j)
		return;
	if (kind == JOB_STOP && (j->kind == JOB_START || kill_it))
		signal_vm(name, kill_it ? "-q" : "-d");
	if (kind != JOB_DOWN || (j->kind != JOB_STORE && j->kind != JOB_UP))
		return;
	if (j->child > 0)
		kill(j->child, SIGTERM);
	else if (j->kind == JOB_STORE && j->step == S_UP)
		store_wait_no_more(j);
}

void
job_add(struct startd *s, enum job_kind kind, const char *name, struct client *c, int timeout_s,
    bool kill_it, int code, const char *reason)
{
	static const char *const services[] = {[JOB_START] = VM_SERVICE,
	    [JOB_STOP] = VM_SERVICE,
	    [JOB_STORE_PLACE] = STORE_SERVICE,
	    [JOB_STORE] = STORE_SERVICE,
	    [JOB_UP] = DAEMON_SERVICE,
	    [JOB_DOWN] = DAEMON_SERVICE,
	    [JOB_PREPARE] = VM_SERVICE};
	struct job *j = same_job(s, kind, name), **at = &s->jobs;

	if (c)
		c->next = NULL;
	if (j) {
		if (c) {
			c->next = j->clients;
			j->clients = c;
		}
		return;
	}
	j = calloc(1, sizeof *j);
	if (!j) {
		if (c)
			client_answer(c, false, NULL, "no memory", 111);
		return;
	}
	*j = (struct job){.s = s,
	    .kind = kind,
	    .service = services[kind],
	    .timeout_s = timeout_s,
	    .kill = kill_it,
	    .clients = c,
	    .code = code};
	snprintf(j->name, sizeof j->name, "%s", name);
	snprintf(j->reason, sizeof j->reason, "%s", reason ? reason : "");
	hurry(s, kind, name, kill_it);
	while (*at)
		at = &(*at)->next;
	*at = j;
	run_some(s);
}

void
job_child_ended(struct startd *s, pid_t pid, int status)
{
	for (struct job *j = s->jobs; j; j = j->next) {
		if (!j->running || j->child != pid)
			continue;
		j->child = 0;
		job_step(j, WIFEXITED(status) ? WEXITSTATUS(status) : KILLED);
		return;
	}
}

void
jobs_recover(struct startd *s)
{
	DIR *d = opendir(VM_SERVICE "/instances");
	const struct dirent *f;
	struct vm_state st;

	while (d && (f = readdir(d)) != NULL)
		if (name_ok(f->d_name) && !is_dom0(f->d_name))
			job_add(s, state_read(s->state_dir, f->d_name, &st) ? JOB_START : JOB_STOP,
			    f->d_name, NULL, -1, false, 0, NULL);
	if (d)
		closedir(d);
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
			job_add(s, JOB_START, f->d_name, NULL, -1, false, 0, NULL);
	if (d)
		closedir(d);
	if (fd >= 0)
		close(fd);
}
