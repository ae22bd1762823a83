/* SPDX-License-Identifier: ISC */
/* A qube's domain is ended, and a disposable erased then; or it is paused. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "startd.h"
#include "state.h"

#define ORDER_MS 5000  /* until each client of it is to end, too */
#define PAUSE_MS 10000 /* for the keeper to do it */

enum { S_BEGIN, S_CLIENTS, S_GONE, S_ENDED, S_DOWN, S_ERASED };

static void
on_patience(struct loop *l, int fd, short revents, void *arg)
{
	struct job *j = arg;

	(void)l, (void)fd, (void)revents;
	logit("%s: not down in time", j->name);
	j->timer = 0;
	signal_vm(j->name, "-q");
}

static uint64_t
left_ms(const struct job *j)
{
	const uint64_t now = now_ms();

	return j->until_ms > now ? j->until_ms - now : 0;
}

static void
down(struct job *j)
{
	j->step = S_GONE;
	loop_cancel(j->s->loop, j->timer);
	j->timer = 0;
	if (!instance_there(j))
		return stop_step(j, 0);
	if (j->kill)
		signal_vm(j->name, "-q");
	else if (j->limit_ms > 0)
		j->timer = loop_after(j->s->loop, left_ms(j), on_patience, j);
	spawn_delete(j);
}

void
stop_now(struct job *j, bool kill_it)
{
	j->kill |= kill_it;
	down(j);
}

/* All of its clients are to end. */
static bool
all_end(const struct job *j, const char *who)
{
	char name[NAME_LEN_MAX + 1];
	bool all = true;

	while (all && *(who += strspn(who, " ")) != '\0') {
		const size_t n = strcspn(who, " ");

		snprintf(name, sizeof name, "%.*s", (int)n, who);
		all = job_waits(j->s, JOB_STOP, name);
		who += n;
	}
	return all;
}

static void
refuse(struct job *j, const char *who)
{
	char why[256];

	snprintf(why, sizeof why, "it is the netvm, audiovm or guivm of running qubes:%s", who);
	job_end(j, false, NULL, why, 1);
}

static void on_order(struct loop *l, int fd, short revents, void *arg);

static void
await_clients(struct job *j)
{
	const uint64_t left = j->limit_ms > 0 ? left_ms(j) : ORDER_MS;

	j->step = S_CLIENTS;
	j->timer = loop_after(j->s->loop, left < ORDER_MS ? left : ORDER_MS, on_order, j);
}

/* They have had time to be told to end, too; or all of the time is over. */
static void
on_order(struct loop *l, int fd, short revents, void *arg)
{
	struct job *j = arg;
	char who[200];

	(void)l, (void)fd, (void)revents;
	j->timer = 0;
	if (j->limit_ms > 0 && left_ms(j) == 0)
		return stop_now(j, true);
	(void)net_clients(j->s, j->name, who, sizeof who);
	if (!all_end(j, who))
		return refuse(j, who);
	await_clients(j);
}

static void
clients_first(struct job *j, const char *who)
{
	if (!j->ordered && !all_end(j, who))
		return refuse(j, who);
	await_clients(j);
}

/* Its daemons have its number. true: they are taken down, and stop_told() follows; maybe it has
 * already. */
static bool
downed(struct job *j)
{
	char path[160];

	if (job_waits(j->s, JOB_DOWN, j->name))
		return true;
	snprintf(path, sizeof path, RUN_Q "/%s", j->name);
	if (access(path, F_OK) < 0)
		return false;
	/* its keeper was killed before it had told */
	job_add(j->s, &(struct job_order){.kind = JOB_DOWN, .name = j->name});
	return true;
}

void
stop_told(struct startd *s, const char *name)
{
	struct job *j = job_running(s, name, 0);

	if (j && j->kind == JOB_STOP && j->step == S_DOWN)
		stop_step(j, 0);
}

void
stop_step(struct job *j, int status)
{
	static const char vmstart[] = LIBDIR "/vmstart";
	const char *const end[] = {vmstart, "-k", "--", j->name, NULL};
	char who[200];
	struct vmconf c;
	struct vm_state st;

	switch (j->step) {
	case S_BEGIN:
		j->until_ms = now_ms() + j->limit_ms;
		if (!j->force && !j->kill && net_clients(j->s, j->name, who, sizeof who) > 0)
			return clients_first(j, who);
		return down(j);
	case S_GONE:
		if (status != 0)
			return job_end(j, false, NULL, "the supervisor did not end it", 111);
		j->step = S_ENDED;
		/* its keeper was killed, and did not come again before it was taken down */
		if (state_read(j->s->state_dir, j->name, &st))
			return spawn(j, end);
		return stop_step(j, 0);
	case S_ENDED:
		j->step = S_DOWN;
		if (downed(j))
			return;
		/* fall through */
	case S_DOWN:
		if (!disp_is(j->name, &c))
			break;
		j->step = S_ERASED;
		loop_cancel(j->s->loop, j->timer);
		j->timer = 0;
		return spawn_call(j, disp_erase);
	case S_ERASED:
		if (status != 0)
			return job_end(j, false, NULL, "it has ended, but is not erased", 111);
		disp_erased(j->name);
		break;
	}
	job_end(j, true, "halted", NULL, 0);
}

bool
stop_rests(const struct job *j)
{
	return j->kind == JOB_STOP && j->running && j->step == S_CLIENTS;
}

void
stop_look(struct startd *s)
{
	char who[8];
	struct job *j = s->jobs;

	while (j) {
		if (stop_rests(j) && net_clients(s, j->name, who, sizeof who) == 0) {
			down(j); /* may end others */
			j = s->jobs;
		} else {
			j = j->next;
		}
	}
}

/* The keeper does it when s6 passes on the signal, and writes its state then. */
static void
on_no_pause(struct loop *l, int fd, short revents, void *arg)
{
	struct job *j = arg;

	(void)l, (void)fd, (void)revents;
	j->timer = 0;
	job_end(j, false, NULL, "not in time (its log says why)", 111);
}

void
pause_step(struct job *j, int status)
{
	const bool pause = j->kind == JOB_PAUSE;
	const char *const from = pause ? "Running" : "Paused", *const to =
								   pause ? "Paused" : "Running";
	struct vm_state st;
	const bool known = state_read(j->s->state_dir, j->name, &st);

	(void)status;
	if (j->step == S_BEGIN && (!known || strcmp(st.state, from) != 0))
		return job_end(j, false, NULL, pause ? "it is not running" : "it is not paused", 1);
	if (j->step == S_BEGIN) {
		j->step = S_GONE;
		j->timer = loop_after(j->s->loop, PAUSE_MS, on_no_pause, j);
		if (!instance_tell(j, pause ? '1' : '2')) /* SIGUSR1, SIGUSR2 */
			job_end(j, false, NULL, "it has no supervisor", 111);
	} else if (known && strcmp(st.state, to) == 0) {
		job_end(j, true, pause ? "paused" : "running", NULL, 0);
	} else if (!known || state_ended(&st)) {
		job_end(j, false, NULL, "it has ended", 1);
	}
}

static bool
pause_is_over(const struct job *j)
{
	struct vm_state st;

	return !state_read(j->s->state_dir, j->name, &st) || state_ended(&st) ||
	       strcmp(st.state, j->kind == JOB_PAUSE ? "Paused" : "Running") == 0;
}

static void
on_state(struct loop *l, int fd, short revents, void *arg)
{
	struct startd *s = arg;
	char events[4096] __attribute__((aligned(8)));
	struct job *j = s->jobs;

	(void)l, (void)revents;
	while (read(fd, events, sizeof events) > 0)
		;
	while (j) {
		if (j->running && (j->kind == JOB_PAUSE || j->kind == JOB_UNPAUSE) &&
		    pause_is_over(j)) {
			pause_step(j, 0); /* may end others */
			j = s->jobs;
		} else {
			j = j->next;
		}
	}
}

void
pause_watch(struct startd *s)
{
	s->state_inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (s->state_inotify < 0 ||
	    inotify_add_watch(s->state_inotify, RUN_STATE, IN_MOVED_TO | IN_DELETE) < 0 ||
	    !loop_add(s->loop, s->state_inotify, POLLIN, on_state, s))
		die(RUN_STATE);
}
