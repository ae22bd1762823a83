/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ahead.h"
#include "log.h"
#include "paths.h"
#include "qids.h"

static int
records(void)
{
	if (mkdir(RUN_PREPARED, 0700) < 0 && errno != EEXIST)
		return -1;
	return open(RUN_PREPARED, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int
ahead_lock(const char *name)
{
	char path[128];
	const int dir = records();
	int fd;

	if (dir < 0)
		return -1;
	snprintf(path, sizeof path, ".%s.lock", name);
	fd = openat(dir, path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	close(dir);
	if (fd >= 0 && flock(fd, LOCK_EX) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static bool
fresh(struct domain *d)
{
	const uint64_t made_of = domain_stamp(d);

	return made_of != 0 && d->state->init_born == made_of &&
	       d->state->qid == qid_of(d->conf->name) && strcmp(d->state->uuid, d->conf->uuid) == 0;
}

bool
ahead_take(struct domain *d)
{
	const int dir = records();
	const char *e = "it is not what would be built now";

	if (dir < 0 || !state_read(dir, d->conf->name, d->state)) {
		if (dir >= 0)
			close(dir);
		return false;
	}
	/* Whatever happens now, nobody takes it a second time. */
	(void)unlinkat(dir, d->conf->name, 0);
	close(dir);
	if (fresh(d)) {
		d->state->init_born = 0;
		if (domain_adopt(d))
			return true;
		e = "it is gone";
	}
	logit("what was built ahead is thrown away: %s", e);
	return false;
}

/* Who has a domain that runs needs none; the lock is held. */
static bool
is_up(const char *name)
{
	struct vm_state st;
	const int dir = open(RUN_STATE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const bool up = dir >= 0 && state_read(dir, name, &st);

	if (dir >= 0)
		close(dir);
	return up;
}

static const char *
build(struct domain *d, int dir, const char *name)
{
	struct vm_state *s = d->state;
	const char *e;

	*s = (struct vm_state){.qid = qid_of(name)};
	if (s->qid == 0)
		return "no qid (startd assigns it)";
	snprintf(s->name, sizeof s->name, "%s", name);
	snprintf(s->uuid, sizeof s->uuid, "%s", d->conf->uuid);
	snprintf(s->state, sizeof s->state, "Paused");
	hexid_new(s->session);
	if ((e = storage_start(d->conf, &d->disks, NULL)) != NULL)
		return e;
	s->init_born = domain_stamp(d);
	if (s->init_born == 0)
		return "this backend builds nothing ahead";
	if ((e = domain_prepare(d)) != NULL || (e = domain_build(d)) != NULL)
		return e;
	if (!domain_held(d))
		return "its disks";
	return state_write(dir, s) ? NULL : RUN_PREPARED;
}

/* Removes one that is not wanted any more, or not as it is. *kept: it is, and stays. */
static void
sweep(struct domain *d, int dir, const char *name, bool want, bool *kept)
{
	*kept = false;
	if (!state_read(dir, name, d->state)) {
		/* what one that was killed while it built has left */
		*d->state = (struct vm_state){0};
		snprintf(d->state->name, sizeof d->state->name, "%s", name);
		domain_cleanup(d);
		storage_stop(d->conf, false);
		return;
	}
	if (want && fresh(d) && domain_adopt(d)) {
		*kept = true;
		return;
	}
	(void)unlinkat(dir, name, 0);
	domain_cleanup(d);
	storage_stop(d->conf, false);
	logit("what was built ahead is thrown away");
}

static int
see_to(struct domain *d, const char *name, bool want)
{
	const int lock = ahead_lock(name), dir = records();
	const char *e = NULL;
	bool kept = false;
	int err;

	if (lock < 0 || dir < 0) {
		logit(RUN_PREPARED ": %s", strerror(errno));
		return END_FAILURE;
	}
	if (!is_up(name))
		sweep(d, dir, name, want, &kept);
	if (want && !kept && !is_up(name) && (e = build(d, dir, name)) != NULL) {
		err = errno;
		domain_cleanup(d);
		storage_close(&d->disks);
		storage_stop(d->conf, false);
		logit(
		    "nothing is built ahead: %s%s%s", e, err ? ": " : "", err ? strerror(err) : "");
	}
	close(dir);
	close(lock);
	return e ? END_FAILURE : 0;
}

int
ahead_build(struct domain *d, const char *name)
{
	return see_to(d, name, d->conf->prepare > 0);
}

int
ahead_drop(struct domain *d, const char *name)
{
	return see_to(d, name, false);
}
