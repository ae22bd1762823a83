/* SPDX-License-Identifier: ISC */
/*
 * Disposables: a qube with a file of ours that lives as long as whoever asked for it keeps his
 * connection. Its file says that it is erased when it ends (auto_cleanup), so nothing of it depends
 * on what we remember; a file without a domain is swept when we start.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "qids.h"
#include "startd.h"
#include "state.h"
#include "vmedit.h"

#define PREFIX "disp"
#define IDS 10000u /* spec/vm 5: dispid */

struct disp *
disp_find(const struct startd *s, const char *name)
{
	struct disp *d = s->disps;

	while (d && strcmp(d->name, name) != 0)
		d = d->next;
	return d;
}

/* Who has asked for it; he has nothing to do with it any more. */
static struct client *
part(struct disp *d)
{
	struct client *c = d->client;

	d->client = NULL;
	if (c)
		c->disp = NULL;
	return c;
}

static void
forget(struct disp *d)
{
	struct disp **at = &d->s->disps;

	if (d->preloaded)
		preload_unmark(d);
	while (*at != d)
		at = &(*at)->next;
	*at = d->next;
	free(d);
}

/* --- its name --- */

static bool
was_used(const struct startd *s, uint32_t id)
{
	const uint32_t n = s->nlast < DISP_LAST ? s->nlast : DISP_LAST;

	for (uint32_t i = 0; i < n; i++)
		if (s->last_ids[i] == id)
			return true;
	return false;
}

bool
disp_was_ours(const struct startd *s, const char *name)
{
	uint32_t id;

	return strncmp(name, PREFIX, strlen(PREFIX)) == 0 &&
	       parse_u32(name + strlen(PREFIX), IDS - 1, &id) && was_used(s, id);
}

/* false: all are taken. */
static bool
pick_name(struct startd *s, struct disp *d)
{
	uint32_t first;
	const int dir = vm_dir();
	bool is_free = false;

	if (getrandom(&first, sizeof first, 0) != sizeof first)
		die("getrandom");
	for (uint32_t i = 0; dir >= 0 && !is_free && i < IDS; i++) {
		d->id = (first % IDS + i) % IDS;
		snprintf(d->name, sizeof d->name, PREFIX "%u", d->id);
		is_free = !was_used(s, d->id) && faccessat(dir, d->name, F_OK, 0) < 0 &&
			  !disp_find(s, d->name);
	}
	if (dir >= 0)
		close(dir);
	if (is_free)
		s->last_ids[s->nlast++ % DISP_LAST] = d->id;
	return is_free;
}

/* --- its file: in a child, since others may have the directory's lock --- */

#define LOCK_S 10

/* A command that somebody has stopped may have it for ever. */
static void
on_locked(int sig)
{
	(void)sig;
	_exit(ETIMEDOUT);
}

static void
give_up_later(void)
{
	signal(SIGALRM, on_locked);
	alarm(LOCK_S);
}

int
disp_file(const struct job *j)
{
	const struct disp *d = disp_find(j->s, j->name);
	const int dir = vm_dir();
	struct vmconf_error e = {0};
	/* those that calls of qubes take do not take the last memory */
	const bool people = !d->preloaded && uid_qid(d->by, PROG_QREXECD) < 0;
	char text[256];

	give_up_later();
	snprintf(text, sizeof text,
	    "# A disposable: it and this file are gone when it ends.\n"
	    "type = DispVM\ntemplate = %s\nlabel = %s\ndispid = %u\nauto_cleanup = true\n%s",
	    d->base, d->label, d->id, people ? "" : "feature.leave-room = 1\n");
	if (dir >= 0 && vmedit_create(dir, d->name, text, &e))
		return 0;
	logit("%s: %s:%u: %s", d->name, e.file, e.line, e.text);
	return errno > 0 && errno < 126 ? errno : EIO;
}

int
disp_erase(const struct job *j)
{
	static const char vmstart[] = LIBDIR "/vmstart";
	const char *const argv[] = {vmstart, "-x", "--", j->name, NULL};
	const int dir = vm_dir();
	struct vmconf_error e;

	give_up_later();
	if (dir >= 0 && !vmedit_remove(dir, j->name, &e) && errno != ENOENT)
		logit("%s: %s", j->name, e.text);
	alarm(0);
	execv(vmstart, (char *const *)(uintptr_t)argv);
	return errno;
}

void
disp_erased(const char *name)
{
	char path[160];

	snprintf(path, sizeof path, RUN_PREPARED "/.%s.lock", name);
	(void)unlink(path);
	snprintf(path, sizeof path, RUN_PRELOAD "/%s", name);
	(void)unlink(path);
	place_remove_logs(name);
	if (!qid_free(name))
		logit("%s: its qid is not freed: %s", name, strerror(errno));
}

/* By its own file alone: its base may be gone. */
bool
disp_is(const char *name, struct vmconf *c)
{
	struct buf b = {.max = 65536};
	struct vmconf_error e;
	const int dir = vm_dir();
	bool is;

	*c = (struct vmconf){.name = ""};
	is = name_ok(name) && dir >= 0 && buf_read_file(&b, dir, name);
	if (is) {
		snprintf(c->name, sizeof c->name, "%s", name);
		is = vmconf_parse(c, name, (const char *)buf_bytes(&b), b.len, &e) &&
		     strcmp(c->type, "DispVM") == 0 && c->auto_cleanup;
	}
	buf_free(&b);
	if (dir >= 0)
		close(dir);
	return is;
}

/* --- its life --- */

bool
disp_make(struct startd *s, const struct vmconf *base, struct client *c, bool preloaded)
{
	struct disp *d = calloc(1, sizeof *d), **at = &s->disps;

	if (!d || !pick_name(s, d)) {
		free(d);
		return false;
	}
	d->s = s;
	snprintf(d->base, sizeof d->base, "%s", base->name);
	snprintf(d->label, sizeof d->label, "%s", base->label);
	d->preloaded = preloaded;
	d->stamp = preload_stamp(base->name);
	d->client = c;
	d->by = c ? c->uid : 0;
	if (c)
		c->disp = d;
	while (*at)
		at = &(*at)->next;
	*at = d;
	if (preloaded)
		preload_mark(d);
	job_add(s,
	    &(struct job_order){
		.kind = JOB_START, .name = d->name, .idle = preloaded, .by_qube = c && !c->person});
	return true;
}

static bool
has_enough(const struct startd *s, const struct client *c)
{
	unsigned n = 0;

	for (const struct disp *d = s->disps; d; d = d->next)
		n += d->by == c->uid;
	return !c->person && n >= DISPS_PER_QUBE;
}

void
disp_start(struct startd *s, const char *base, struct client *c)
{
	struct vmconf conf;
	struct vmconf_error e;
	struct disp *d;

	if (!load_conf(base, &conf, &e))
		return client_answer(c, false, NULL, e.text, 1);
	if (strcmp(conf.type, "AppVM") != 0 || !conf.template_for_dispvms)
		return client_answer(
		    c, false, NULL, "no disposables are made of it (template_for_dispvms)", 1);
	if (has_enough(s, c))
		return client_answer(c, false, NULL, "the qube has 32 disposables already", 1);
	client_hold(c);
	d = preload_take(s, base);
	if (d) {
		d->client = c;
		d->by = c->uid;
		c->disp = d;
		d->stage = DISP_WAKING;
		job_add(s, &(struct job_order){.kind = JOB_UNPAUSE, .name = d->name});
	} else if (!disp_make(s, &conf, c, false)) {
		client_answer(c, false, NULL, "no name is left for another disposable", 111);
	}
}

void
disp_end(struct disp *d)
{
	const struct job_order o = {.kind = JOB_STOP, .name = d->name, .kill = true, .force = true};

	if (d->stage == DISP_ENDING)
		return;
	d->stage = DISP_ENDING;
	job_add(d->s, &o);
}

void
disp_left(struct client *c)
{
	struct disp *d = c->disp;

	if (!d)
		return;
	(void)part(d);
	disp_end(d);
}

static void
give(struct disp *d)
{
	struct client *c = d->client;

	d->stage = DISP_GIVEN;
	if (d->preloaded) {
		preload_unmark(d);
		d->s->preload_given = true;
		preload_look(d->s);
	}
	d->preloaded = false;
	if (!c)
		return disp_end(d);
	job_add(d->s, &(struct job_order){.kind = JOB_GUI, .name = d->name});
	if (c->ticket[0] == '\0')
		disp_bound(c);
	else if (!client_bind(c, d->name))
		client_answer(c, false, NULL, "policyd cannot be reached", 126);
}

void
disp_bound(struct client *c)
{
	if (!c->disp)
		return;
	c->disp->answered = true;
	client_give(c, c->disp->name);
}

static void
start_ended(struct disp *d, bool ok, const char *reason, int code)
{
	struct client *c;

	if (ok && d->preloaded) {
		d->stage = DISP_PAUSING;
		return job_add(d->s, &(struct job_order){.kind = JOB_PAUSE, .name = d->name});
	}
	if (ok)
		return give(d);
	c = part(d);
	if (c)
		client_answer(c, false, NULL, reason, code);
	d->s->preload_rests |= d->preloaded;
	disp_end(d);
}

/* One that was kept ready and does not wake up is nobody's fault who asked for it. */
static void
unpause_ended(struct disp *d, bool ok)
{
	const struct disp was = *d;
	struct client *c;

	if (ok)
		return give(d);
	c = part(d);
	disp_end(d);
	if (c)
		disp_start(c->s, was.base, c);
}

static bool
one_ends(const struct startd *s)
{
	for (const struct disp *d = s->disps; d; d = d->next)
		if (d->stage == DISP_ENDING)
			return true;
	return false;
}

static void
stopped(struct disp *d)
{
	struct startd *s = d->s;
	struct client *c = part(d);
	const struct disp was = *d;

	forget(d);
	if (c && was.answered)
		client_drop(c);
	else if (c && was.preloaded) /* nobody has seen it: another one */
		disp_start(s, was.base, c);
	else if (c)
		client_answer(c, false, NULL, "it has ended", 1);
	if (!one_ends(s))
		start_room(s);
	preload_look(s);
}

void
disp_job_ended(
    struct startd *s, enum job_kind kind, const char *name, bool ok, const char *reason, int code)
{
	struct disp *d = disp_find(s, name);

	if (!d)
		return;
	if (kind == JOB_STOP) { /* whoever has asked for that */
		stopped(d);
	} else if (d->stage == DISP_ENDING) {
		return;
	} else if (kind == JOB_START && d->stage == DISP_MAKING) {
		start_ended(d, ok, reason, code);
	} else if (kind == JOB_UNPAUSE && d->stage == DISP_WAKING) {
		unpause_ended(d, ok);
	} else if (kind == JOB_PAUSE && d->stage == DISP_PAUSING) {
		d->stage = DISP_READY;
		if (!ok)
			disp_end(d);
		preload_look(s);
	}
}

const char *
disp_dispose(struct startd *s, const char *name, struct client *c)
{
	struct job_order o = {
	    .kind = JOB_STOP, .name = name, .client = c, .kill = true, .force = true};
	struct disp *d = disp_find(s, name);
	struct vm_state st;
	struct vmconf conf = {.name = ""};

	if (!c->person && d && (d->stage != DISP_GIVEN || d->client))
		return "it is somebody's, or kept ready";
	if (!disp_is(name, &conf)) {
		if (conf.name[0] != '\0' || state_read(s->state_dir, name, &st))
			return "not a disposable (auto_cleanup)";
		client_answer(c, true, "halted", NULL, 0);
		return NULL;
	}
	if (d)
		d->stage = DISP_ENDING;
	job_add(s, &o);
	return NULL;
}

bool
disp_is_kept(const struct startd *s, const char *name)
{
	const struct disp *d = disp_find(s, name);

	return d && d->preloaded;
}

/* --- after a restart --- */

/* Those that run are their callers' still, and their qrexecds end them; those that are kept ready
 * stay so; nobody waits for others. */
static void
recover(struct startd *s, const struct vmconf *c)
{
	const char *name = c->name;
	struct disp *d = calloc(1, sizeof *d), **at = &s->disps;
	struct vm_state st = {.state = ""};
	const bool known = state_read(s->state_dir, name, &st),
		   paused = strcmp(st.state, "Paused") == 0;

	if (!d)
		return;
	memcpy(d->name, c->name, sizeof d->name);
	d->s = s;
	if (!preload_marked(name, d)) {
		free(d);
		if (!known || (!paused && strcmp(st.state, "Running") != 0))
			job_add(
			    s, &(struct job_order){
				   .kind = JOB_STOP, .name = name, .kill = true, .force = true});
		return;
	}
	d->preloaded = true;
	d->stage = DISP_READY;
	while (*at)
		at = &(*at)->next;
	*at = d;
	if (!paused)
		disp_end(d);
}

void
disp_recover(struct startd *s)
{
	const int dir = vm_dir();
	DIR *d = dir >= 0 ? fdopendir(dir) : NULL;
	const struct dirent *f;
	struct vmconf c;

	while (d && (f = readdir(d)) != NULL)
		if (name_ok(f->d_name) && !is_dom0(f->d_name) && disp_is(f->d_name, &c))
			recover(s, &c);
	if (d)
		closedir(d);
}
