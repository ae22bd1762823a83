/* SPDX-License-Identifier: ISC */
/* A qube's start and end. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "log.h"
#include "paths.h"
#include "sock.h"
#include "storage-int.h"

struct start {
	const struct vmconf *c;
	struct storage_disks *out;
	const struct storage_progress *p;
	int dir;			 /* the qube's own; -1: it has none */
	char template[NAME_LEN_MAX + 1]; /* its root's; empty: none, or its own */
};

/* What its volumes are when no key says something else. */

static void
give(struct start *s, enum volume_id id, const char *file, bool write)
{
	struct storage_disk *k = &s->out->disk[id];

	snprintf(k->path, sizeof k->path, "%s/%s/%s/%s", store.var,
	    is_template(s->c) ? STORAGE_TEMPLATES : STORAGE_APPVMS, s->c->name, file);
	k->fd = leaf_open(s->dir, file, O_PATH);
	k->write = write;
	k->whole = true;
}

/* The template's root as it is now, under a link of our own: that is what keeps it. */
static const char *
take_snapshot(struct start *s)
{
	struct storage_disk *k = &s->out->disk[VOL_ROOT];
	char target[2 * LEAF + 32];
	struct gens g;
	int t = open_qube(s->template, true);
	const char *e = NULL;

	if (t < 0)
		return errno == ENOENT ? NULL : failure("the volumes of %s", s->template);
	if (!lock_links(true) || !gens_read(t, VOL_ROOT, &g)) {
		e = failure("the volumes of %s", s->template);
	} else if (g.current) {
		snprintf(target, sizeof target, "../../" STORAGE_TEMPLATES "/%s/%s", s->template,
		    leaf(VOL_ROOT, g.current));
		k->fd = leaf_open(t, leaf(VOL_ROOT, g.current), O_PATH);
		if (k->fd < 0 || !op_link(s->dir, target, link_name(VOL_ROOT, "")))
			e = failure("root of %s", s->template);
		snprintf(k->path, sizeof k->path, "%s/" STORAGE_TEMPLATES "/%s/%s", store.var,
		    s->template, leaf(VOL_ROOT, g.current));
		k->whole = true;
	}
	lock_links(false);
	close_fd(&t);
	return e;
}

/* The template writes a copy. One that was left by a crash goes on: nothing of it is lost. */
static const char *
dirty_root(struct start *s, const struct gens *g)
{
	const char *next = leaf(VOL_ROOT, g->next), *dirty = link_name(VOL_ROOT, DIRTY);
	int fd;
	bool ok;

	if (g->dirty) {
		logit("%s: its root goes on from where it was not shut down", s->c->name);
		give(s, VOL_ROOT, leaf(VOL_ROOT, g->dirty), true);
		return NULL;
	}
	fd = leaf_open(s->dir, leaf(VOL_ROOT, g->current), O_RDONLY);
	/* the link first: a copy that nothing points to would look like a former state */
	ok = fd >= 0 && op_link(s->dir, next, dirty) && op_sync(s->dir) &&
	     leaf_copy_as(fd, s->dir, next, s->p) && op_sync(s->dir);
	close_fd(&fd);
	if (!ok) {
		const char *e = failure("a copy of the root of %s to write to", s->c->name);
		const int err = errno;

		(void)op_unlink(s->dir, dirty, 0);
		errno = err;
		return e;
	}
	give(s, VOL_ROOT, next, true);
	return NULL;
}

/*
 * In place. Where a copy takes no space, what it was before this start stays as a former state.
 */
static const char *
keep(struct start *s, enum volume_id id, const struct gens *g)
{
	const char *now = leaf(id, g->current), *next = leaf(id, g->next);
	int fd;

	if (s->c->revisions_to_keep > 0) {
		fd = leaf_open(s->dir, now, O_RDONLY);
		if (fd >= 0 && volume_reflink(fd, s->dir, next)) {
			if (!op_sync(s->dir) || !op_link(s->dir, next, link_name(id, ""))) {
				const char *e = failure("%s of %s", storage_name(id), s->c->name);

				close_fd(&fd);
				return e;
			}
			now = next;
			gens_prune(s->c, s->dir, id);
		}
		close_fd(&fd);
	}
	give(s, id, now, true);
	return NULL;
}

static const char *
start_root(struct start *s)
{
	struct gens g;

	if (!keeps_root(s->c))
		return s->template[0] && s->dir >= 0 ? take_snapshot(s) : NULL;
	if (s->dir < 0)
		return NULL;
	if (!gens_read(s->dir, VOL_ROOT, &g))
		return failure("the volumes of %s", s->c->name);
	if (!g.current)
		return NULL;
	return is_template(s->c) ? dirty_root(s, &g) : keep(s, VOL_ROOT, &g);
}

/*
 * Its AppVM's private volume as it is. While that runs only a copy that is made in one moment will
 * do.
 */
static const char *
copy_private(struct start *s)
{
	const char *base = s->c->template, *snap = link_name(VOL_PRIVATE, SNAP), *e = NULL;
	int from = open_qube(base, false), fd = -1;
	const bool mine = lock_name(base, F_RDLCK);
	struct gens g = {0};

	if (from >= 0 && gens_read(from, VOL_PRIVATE, &g) && g.current)
		fd = leaf_open(from, leaf(VOL_PRIVATE, g.current), O_RDONLY);
	if (!volume_remove(s->dir, snap)) {
		e = failure("%s: the private volume of its last start", s->c->name);
	} else if (fd < 0) {
		if (!IMAGES && !volume_make(s->dir, snap, 0))
			e = failure("a private volume");
	} else if (!volume_reflink(fd, s->dir, snap)) {
		if (!mine || runs(base))
			e = refuse("%s runs, and its private volume would be copied while it is "
				   "written to: shut it down first",
			    base);
		else if (!leaf_copy_as(fd, s->dir, snap, s->p))
			e = failure("a copy of the private volume of %s", base);
	}
	if (mine)
		unlock_name(base);
	if (!e && (fd >= 0 || !IMAGES))
		give(s, VOL_PRIVATE, snap, true);
	close_fd(&fd);
	close_fd(&from);
	return e;
}

static const char *
start_private(struct start *s)
{
	struct gens g;

	if (s->dir < 0)
		return NULL;
	if (!keeps_private(s->c))
		return copy_private(s);
	if (!gens_read(s->dir, VOL_PRIVATE, &g))
		return failure("the volumes of %s", s->c->name);
	if (g.current)
		return keep(s, VOL_PRIVATE, &g);
	/* made by who may not make one, or its key was removed */
	if (!volume_make(s->dir, leaf(VOL_PRIVATE, g.next), (uint64_t)s->c->private_size * MIB) ||
	    !op_link(s->dir, leaf(VOL_PRIVATE, g.next), link_name(VOL_PRIVATE, "")) ||
	    !op_sync(s->dir))
		return failure("private of %s", s->c->name);
	give(s, VOL_PRIVATE, leaf(VOL_PRIVATE, g.next), true);
	return NULL;
}

/* For the layer over a root that is read only; a root's own volume has swap there. */
static const char *
start_volatile(struct start *s)
{
	const char *name;

	if (!IMAGES || s->dir < 0 || !s->out->disk[VOL_ROOT].path[0] || !s->c->volatile_size)
		return NULL;
	name = link_name(VOL_VOLATILE, "");
	if (!volume_remove(s->dir, name) ||
	    !volume_make(s->dir, name, (uint64_t)s->c->volatile_size * MIB))
		return failure("volatile of %s", s->c->name);
	give(s, VOL_VOLATILE, name, true);
	return NULL;
}

/* Those who wrote its name into the qube's file could write it themselves. A directory's owners say
 * for themselves what the guest may do in it. */
static bool
is_people_s(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (S_ISDIR(st.st_mode) || st.st_uid != 0 ||
					  ((st.st_mode & S_IWGRP) && st.st_gid == people_gid()));
}

/* A key's path as it stands; in a file that others than root may write only what is below VAR_DIR,
 * and no link there leads elsewhere. */
static const char *
take_key(struct start *s, enum volume_id id, const char *path)
{
	struct storage_disk *k = &s->out->disk[id];
	const struct open_how how = {.flags = O_PATH | O_CLOEXEC,
	    .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
	const size_t n = strlen(VAR_DIR);
	int var;

	snprintf(k->path, sizeof k->path, "%s", path);
	/* a directory is a layer below what is thrown away */
	k->write = id != VOL_ROOT || (IMAGES && s->c->template[0] == '\0');
	if (s->c->trusted) {
		k->fd = open(path, O_PATH | O_CLOEXEC);
	} else {
		var = open(VAR_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		k->fd = strlen(path) <= n + 1
			    ? -1
			    : (int)syscall(SYS_openat2, var, path + n + 1, &how, sizeof how);
		close_fd(&var);
	}
	if (k->fd < 0 && errno == ELOOP)
		return refuse("%s: %s: a link, and the qube's file is not root's alone",
		    storage_name(id), path);
	if (k->fd >= 0 && k->write && !s->c->trusted && !is_people_s(k->fd))
		return refuse("%s: %s: only root may write it, and the qube's file is not root's "
			      "alone",
		    storage_name(id), path);
	return k->fd < 0 ? failure("disk %s", path) : NULL;
}

/* Two that write one volume, or write what another reads, would destroy it. On Xen vmstart keeps
 * account of that in xenstore, with names. */
static const char *
lock_disks(const struct start *s)
{
	for (int id = 0; id < VOL_N; id++) {
		const struct storage_disk *k = &s->out->disk[id];

		if (IMAGES || k->fd < 0 || (!k->write && !k->whole))
			continue;
		if (!lock_inode(k->fd, k->write ? F_WRLCK : F_RDLCK))
			return errno == EAGAIN ? refuse("%s is in use by another qube", k->path)
					       : failure("%s", k->path);
	}
	return NULL;
}

/* On Xen a qube can do without volumes; not one whose template has a root, nor a disposable whose
 * AppVM has a private volume. */
static bool
has_source(const struct start *s)
{
	int dir = s->template[0] ? open_qube(s->template, true) : -1;
	bool has;

	if (dir < 0 && !keeps_private(s->c))
		dir = open_qube(s->c->template, false);
	has = dir >= 0;
	close_fd(&dir);
	return has;
}

/* Its directory; one whose file was written by hand gets one. */
static const char *
open_or_make(struct start *s)
{
	const char *e;

	s->dir = open_own(s->c);
	if (s->dir >= 0)
		return NULL;
	if (errno != ENOENT)
		return failure("the volumes of %s", s->c->name);
	if (IMAGES && !has_source(s))
		return NULL;
	if ((e = storage_make(s->c)) != NULL)
		return e;
	s->dir = open_own(s->c);
	return s->dir < 0 ? failure("the volumes of %s", s->c->name) : NULL;
}

static const char *
start_all(struct start *s)
{
	const struct vmconf *c = s->c;
	const char *e = open_or_make(s);

	if (!e)
		e = c->root[0] ? take_key(s, VOL_ROOT, c->root) : start_root(s);
	if (!e)
		e = c->private[0] ? take_key(s, VOL_PRIVATE, c->private) : start_private(s);
	if (!e)
		e = c->volatile_[0] ? take_key(s, VOL_VOLATILE, c->volatile_) : start_volatile(s);
	for (int id = 0; !e && id < VOL_N; id++)
		if (s->out->disk[id].path[0] && s->out->disk[id].fd < 0)
			e = failure("%s", s->out->disk[id].path);
	return e ? e : lock_disks(s);
}

static void
none(struct storage_disks *d)
{
	*d = (struct storage_disks){0};
	for (int id = 0; id < VOL_N; id++)
		d->disk[id].fd = -1;
}

const char *
storage_start(const struct vmconf *c, struct storage_disks *out, const struct storage_progress *p)
{
	struct start s = {.c = c, .out = out, .p = p, .dir = -1};
	const char *forbidden = vmconf_forbidden(c), *e;

	none(out);
	if (forbidden)
		return refuse("%s: the qube's file is not root's alone, or has no line name = %s "
			      "(its template's or defaults, if that names it: their own), and "
			      "may name only what is below " VAR_DIR ", or a kernel in " VM_KERNELS,
		    forbidden, c->name);
	if (!lock_name(c->name, F_WRLCK))
		return refuse("the volumes of %s are in use by a command", c->name);
	if (!root_source(c, s.template))
		s.template[0] = '\0';
	e = start_all(&s);
	close_fd(&s.dir);
	if (e)
		storage_close(out);
	return e;
}

const char *
storage_adopt(const struct vmconf *c)
{
	return lock_name(c->name, F_WRLCK) ? NULL : failure("the volumes of %s", c->name);
}

static void
would(struct start *s, enum volume_id id, const char *key)
{
	struct gens g = {0};
	int t = -1;

	if (key[0]) {
		(void)take_key(s, id, key);
	} else if (id == VOL_VOLATILE) {
		if (s->dir >= 0 && IMAGES)
			give(s, id, link_name(id, ""), true);
	} else if (id == VOL_ROOT ? keeps_root(s->c) : keeps_private(s->c)) {
		if (s->dir >= 0 && gens_read(s->dir, id, &g) && g.current)
			give(s, id, leaf(id, g.dirty ? g.dirty : g.current), true);
	} else if (id == VOL_PRIVATE) {
		if (s->dir >= 0)
			give(s, id, link_name(id, SNAP), true);
	} else if (s->template[0] && (t = open_qube(s->template, true)) >= 0 &&
		   gens_read(t, id, &g) && g.current) {
		snprintf(s->out->disk[id].path, STORAGE_PATH, "%s/" STORAGE_TEMPLATES "/%s/%s",
		    store.var, s->template, leaf(id, g.current));
	}
	close_fd(&t);
	if (s->out->disk[id].path[0] && !key[0] && s->out->disk[id].fd < 0 && id != VOL_ROOT)
		s->out->disk[id].path[0] = '\0';
}

void
storage_would(const struct vmconf *c, struct storage_disks *out)
{
	struct start s = {.c = c, .out = out, .dir = open_own(c)};

	none(out);
	if (!root_source(c, s.template))
		s.template[0] = '\0';
	would(&s, VOL_ROOT, c->root);
	would(&s, VOL_PRIVATE, c->private);
	would(&s, VOL_VOLATILE, c->volatile_);
	close_fd(&s.dir);
	storage_close(out);
}

void
storage_close(struct storage_disks *d)
{
	for (int id = 0; id < VOL_N; id++)
		close_fd(&d->disk[id].fd);
}

/* The end. */

static void
commit(const struct vmconf *c, int dir)
{
	struct gens g;
	int fd;

	if (!gens_read(dir, VOL_ROOT, &g)) {
		logit("%s: its root is not committed: %s", c->name, strerror(errno));
		return;
	}
	if (!g.dirty)
		return;
	fd = leaf_open(dir, leaf(VOL_ROOT, g.dirty), O_RDONLY);
	/* its time is when it became what others see */
	if (fd < 0 || futimens(fd, NULL) < 0 || !volume_sync(fd) || !op_sync(dir) ||
	    !op_rename(dir, link_name(VOL_ROOT, DIRTY), link_name(VOL_ROOT, "")) || !op_sync(dir))
		logit("%s: its root is not committed: %s: its next start goes on from it", c->name,
		    strerror(errno));
	else
		gens_prune(c, dir, VOL_ROOT);
	close_fd(&fd);
}

static void
throw_away(const struct vmconf *c, int dir)
{
	const char *names[3] = {NULL, NULL, NULL};

	if (!keeps_root(c))
		names[0] = link_name(VOL_ROOT, "");
	names[1] = link_name(VOL_PRIVATE, SNAP);
	if (IMAGES)
		names[2] = link_name(VOL_VOLATILE, "");
	for (int i = 0; i < 3; i++)
		if (names[i] && !volume_remove(dir, names[i]))
			logit("%s: %s stays: %s", c->name, names[i], strerror(errno));
}

void
storage_stop(const struct vmconf *c, bool clean)
{
	struct gens g;
	int dir;

	/* somebody else's: nothing of ours is there */
	if (!lock_name(c->name, F_WRLCK))
		return;
	dir = open_own(c);
	if (dir >= 0 && is_template(c) && clean)
		commit(c, dir);
	else if (dir >= 0 && is_template(c) && gens_read(dir, VOL_ROOT, &g) && g.dirty)
		logit("%s: it was not shut down: what it wrote to its root is kept, its next start "
		      "goes on from it, and no other qube sees it before",
		    c->name);
	if (dir >= 0)
		throw_away(c, dir);
	close_fd(&dir);
	unlock_all();
}
