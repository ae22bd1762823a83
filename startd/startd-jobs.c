/* SPDX-License-Identifier: ISC */
/*
 * What startd does. Each kind of job is a function that is called with what the last step's program
 * exited with, begins the next step, and returns; no step waits.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
#define GUI_TRIES 20   /* 2 s: at boot the instance makers may come up after us */
#define LET_GO_MS 1000 /* of a domain that has gone */

#define KILLED 128 /* as a step's status: its program ended by a signal */

static void run_some(struct startd *s);

static int
lane(enum job_kind k)
{
	return k == JOB_PREPARE ? 2 : k >= JOB_STORE_PLACE;
}

struct job *
job_running(const struct startd *s, const char *name, int which)
{
	for (struct job *j = s->jobs; j; j = j->next)
		if (j->running && lane(j->kind) == which && strcmp(j->name, name) == 0)
			return j;
	return NULL;
}

bool
job_waits(const struct startd *s, enum job_kind kind, const char *name)
{
	for (const struct job *j = s->jobs; j; j = j->next)
		if (j->kind == kind && strcmp(j->name, name) == 0)
			return true;
	return false;
}

/* Who waits for it in another job. */
static void
tell(struct startd *s, enum job_kind kind, const char *name, bool ok, const char *reason, int code)
{
	disp_job_ended(s, kind, name, ok, reason, code);
	if (kind == JOB_START)
		start_told(s, name, ok, reason);
	if (kind == JOB_DOWN)
		stop_told(s, name);
	if (kind == JOB_STOP || kind == JOB_DOWN)
		stop_look(s);
}

void
job_end(struct job *j, bool ok, const char *state, const char *reason, int code)
{
	struct startd *s = j->s;
	struct job **at = &s->jobs;
	struct client *c;
	char why[sizeof j->reason];

	snprintf(why, sizeof why, "%s", reason ? reason : "");
	if (!ok)
		logit("%s: refused: %s", j->name, why);
	while ((c = j->clients) != NULL) {
		j->clients = c->next;
		client_answer(c, ok, state, why, code);
	}
	while (*at != j)
		at = &(*at)->next;
	*at = j->next;
	if (!*at)
		s->jobs_end = at;
	loop_cancel(s->loop, j->timer);
	tell(s, j->kind, j->name, ok, why, code);
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

enum { S_BEGIN, S_MADE, S_UP, S_FAILED };

static void
store_place_step(struct job *j, int status)
{
	struct vm_state st;
	const bool there = instance_there(j), run = state_read(j->s->state_dir, j->name, &st);

	(void)status; /* op=store sees to what is missing */
	if (j->step++ > S_BEGIN || there != j->kill || run)
		return job_end(j, true, "made", NULL, 0);
	if (j->kill)
		return spawn_delete(j);
	(void)instance_make(j, true);
	job_end(j, true, "made", NULL, 0);
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
		if (!store) /* its qube runs, nobody waits for what it has said */
			store_logs(j->name);
		if (!e && store)
			e = instance_make(j, false);
		if (e)
			return job_end(j, false, NULL, e, 111);
		if (store || instance_there(j))
			return bring_up(j, true);
		j->step = S_MADE;
		return spawn_create(j);
	case S_MADE:
		if (status == 0)
			return bring_up(j, false);
		break;
	case S_UP:
		if (status == 0 && !store)
			job_add(j->s, &(struct job_order){.kind = JOB_GUI, .name = j->name});
		if (status == 0)
			return job_end(j, true, store ? "filled" : "running", NULL, 0);
		break;
	case S_FAILED:
		if (!store)
			return job_end(j, false, NULL, "qrexec_timeout passed", END_NO_AGENT);
		snprintf(j->reason, sizeof j->reason, "no QubesDB (%s/%s/qdbd says why)", LOG_DIR,
		    j->name);
		return job_end(j, false, NULL, j->reason, 111);
	}
	j->step = S_FAILED;
	if (instance_there(j))
		return spawn_delete(j);
	daemon_step(j, 0);
}

/* A disposable that is kept ready shows nothing yet. */
static void
gui_step(struct job *j, int status)
{
	struct vm_state st;
	struct vmconf c;
	struct vmconf_error e;

	if (instance_there(j) || j->tries++ > GUI_TRIES || disp_is_kept(j->s, j->name) ||
	    !state_read(j->s->state_dir, j->name, &st) || state_ended(&st) ||
	    !load_conf(j->name, &c, &e) || c.display[0] == '\0')
		return job_end(j, true, "shown", NULL, 0);
	j->step = j->step == S_BEGIN || status == 0 ? S_MADE : S_BEGIN;
	if (j->step == S_MADE)
		spawn_create(j);
	else
		job_again(j);
}

/* A start that waits for this domain learns why there is none; else the instance is not needed any
 * more. A disposable does not come again. */
static void
domain_ended(struct startd *s, const char *name, int code, const char *reason)
{
	struct job *j = job_running(s, name, 0);
	struct vmconf c;

	preload_ended(s, name);
	if (j && j->kind == JOB_START) {
		j->code = code;
		if (reason[0])
			snprintf(j->reason, sizeof j->reason, "%s", reason);
	} else if (!(j && j->kind == JOB_STOP) && (code != END_REBOOT || disp_is(name, &c))) {
		job_add(s, &(struct job_order){.kind = JOB_STOP, .name = name, .force = true});
	}
}

static void
on_late(struct loop *l, int fd, short revents, void *arg)
{
	struct job *j = arg;
	const size_t n = late_daemons(qid_of(j->name), SIGKILL);

	(void)l, (void)fd, (void)revents;
	j->timer = 0;
	if (n > 0)
		logit("%s: %zu of its daemons had not let go: killed", j->name, n);
	job_step(j, 0);
}

static void
down_step(struct job *j, int status)
{
	static const char *const services[] = {GUI_SERVICE, DAEMON_SERVICE, STORE_SERVICE};
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
	job_end(j, true, "halted", NULL, 0);
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
		job_add(j->s,
		    &(struct job_order){
			.kind = JOB_STORE_PLACE, .name = j->name, .kill = !is_prepared(j->name)});
		return job_end(j, status == 0, "prepared", "not prepared", status);
	}
	spawn(j, argv);
}

void
job_step(struct job *j, int status)
{
	static void (*const steps[])(struct job *, int) = {[JOB_START] = start_step,
	    [JOB_STOP] = stop_step,
	    [JOB_PAUSE] = pause_step,
	    [JOB_UNPAUSE] = pause_step,
	    [JOB_STORE_PLACE] = store_place_step,
	    [JOB_STORE] = daemon_step,
	    [JOB_UP] = daemon_step,
	    [JOB_GUI] = gui_step,
	    [JOB_DOWN] = down_step,
	    [JOB_PREPARE] = prepare_step};

	steps[j->kind](j, status);
}

/* Begins what may begin: one job of a lane, and so many starts at once. */
static void
run_some(struct startd *s)
{
	size_t starts = 0, by_qubes = 0, prepares = 0;
	bool idle;

	for (struct job *j = s->jobs; j; j = j->next) {
		if (j->running && j->kind == JOB_START && !start_rests(j))
			*(j->by_qube ? &by_qubes : &starts) += 1;
		prepares += j->running && j->kind == JOB_PREPARE;
	}
	/* more of these that all waited for one netvm take nobody's place */
	starts += by_qubes < STARTS_BY_QUBES ? by_qubes : STARTS_BY_QUBES;
	for (struct job *j = s->jobs; j; j = j->next) {
		idle = j->kind == JOB_PREPARE || (j->kind == JOB_START && j->idle);
		if (j->running || job_running(s, j->name, lane(j->kind)) ||
		    (j->kind == JOB_START &&
			starts >= (j->by_qube ? STARTS_BY_QUBES : STARTS_AT_ONCE)) ||
		    (idle && starts + prepares > 0)) /* nobody waits for it */
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

	if (kind != JOB_START && kind != JOB_PREPARE && kind != JOB_DOWN)
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
hurry(struct startd *s, const struct job_order *o)
{
	struct job *j = job_running(s, o->name, lane(o->kind));

	if (!j)
		return;
	if (o->kind == JOB_STOP && start_rests(j))
		return start_cancel(j);
	if (o->kind == JOB_STOP && stop_rests(j) && (o->kill || o->force))
		return stop_now(j, o->kill);
	if (o->kind == JOB_STOP && (j->kind == JOB_START || o->kill))
		signal_vm(o->name, o->kill ? "-q" : "-d");
	if (o->kind != JOB_DOWN || j->kind == JOB_STORE_PLACE || j->kind == JOB_DOWN)
		return;
	if (j->child > 0)
		kill(j->child, SIGTERM);
	else if (j->kind == JOB_STORE && j->step == S_UP)
		store_wait_no_more(j);
}

static struct job *
job_new(struct startd *s, const struct job_order *o)
{
	static const char *const services[] = {[JOB_START] = VM_SERVICE,
	    [JOB_STOP] = VM_SERVICE,
	    [JOB_PAUSE] = VM_SERVICE,
	    [JOB_UNPAUSE] = VM_SERVICE,
	    [JOB_STORE_PLACE] = STORE_SERVICE,
	    [JOB_STORE] = STORE_SERVICE,
	    [JOB_UP] = DAEMON_SERVICE,
	    [JOB_GUI] = GUI_SERVICE,
	    [JOB_DOWN] = DAEMON_SERVICE,
	    [JOB_PREPARE] = VM_SERVICE};
	struct job *j = calloc(1, sizeof *j);

	if (!j)
		return NULL;
	*j = (struct job){.s = s,
	    .kind = o->kind,
	    .service = services[o->kind],
	    .limit_ms = o->limit_ms,
	    .kill = o->kill,
	    .force = o->force,
	    .ordered = o->ordered,
	    .idle = o->idle,
	    .by_qube = o->by_qube,
	    .clients = o->client,
	    .code = o->code};
	snprintf(j->name, sizeof j->name, "%s", o->name);
	snprintf(j->reason, sizeof j->reason, "%s", o->reason ? o->reason : "");
	return j;
}

/* It was only a qube's, and so was the start of the netvm that it waits for. */
static void
not_only_a_qubes(struct startd *s, struct job *j)
{
	while (j && j->by_qube) {
		j->by_qube = false;
		j = start_rests(j) ? same_job(s, JOB_START, j->waits) : NULL;
	}
	run_some(s);
}

void
job_add(struct startd *s, const struct job_order *o)
{
	struct job *j = same_job(s, o->kind, o->name);
	struct client *c = o->client;

	if (c)
		c->next = NULL;
	if (j) {
		j->idle = j->idle && o->idle;
		if (c) {
			c->next = j->clients;
			j->clients = c;
		}
		if (!o->by_qube)
			not_only_a_qubes(s, j);
		return;
	}
	j = job_new(s, o);
	if (!j) {
		if (c)
			client_answer(c, false, NULL, "no memory", 111);
		return;
	}
	hurry(s, o);
	*s->jobs_end = j;
	s->jobs_end = &j->next;
	run_some(s);
}

void
job_child_ended(struct startd *s, pid_t pid, int status)
{
	int code;

	for (struct job *j = s->jobs; j; j = j->next) {
		if (!j->running || j->child != pid)
			continue;
		j->child = 0;
		code = WIFEXITED(status) ? WEXITSTATUS(status) : KILLED;
		if (!delete_again(j))
			job_step(j, code);
		return;
	}
}

/* One that has not come up yet, or is on its way down, was somebody's job. */
static void
recover(struct startd *s, const char *name)
{
	struct job_order o = {.kind = JOB_STOP, .name = name, .force = true};
	struct vm_state st;
	char path[160];

	if (job_waits(s, JOB_STOP, name)) /* a disposable */
		return;
	snprintf(path, sizeof path, VM_SERVICE "/instances/%s", name);
	if (access(path, F_OK) == 0 && state_read(s->state_dir, name, &st)) {
		if (strcmp(st.state, "Paused") == 0)
			return;
		if (strcmp(st.state, "Transient") == 0)
			o.kind = JOB_START;
		if (strcmp(st.state, "Running") == 0)
			o.kind = JOB_GUI;
	}
	job_add(s, &o);
}

/* Somebody was taking its daemons down. */
static void
recover_down(struct startd *s, const char *name)
{
	struct vm_state st;

	if (!state_read(s->state_dir, name, &st) && !is_prepared(name))
		job_add(s, &(struct job_order){.kind = JOB_DOWN, .name = name});
}

void
jobs_recover(struct startd *s)
{
	static const struct {
		const char *dir;
		void (*fn)(struct startd *s, const char *name);
	} places[] = {{VM_SERVICE "/instances", recover}, {RUN_STATE, recover},
	    {GUI_SERVICE "/instances", recover_down}, {DAEMON_SERVICE "/instances", recover_down},
	    {STORE_SERVICE "/instances", recover_down}, {RUN_Q, recover_down}};
	const struct dirent *f;
	DIR *d;

	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		d = opendir(places[i].dir);
		while (d && (f = readdir(d)) != NULL)
			if (name_ok(f->d_name) && !is_dom0(f->d_name))
				places[i].fn(s, f->d_name);
		if (d)
			closedir(d);
	}
}
