/* SPDX-License-Identifier: ISC */
/*
 * Making a qube's volumes and removing them. .NAME.new is being made, .NAME.ready is whole and
 * waits for its file in vm.d, .NAME.gone is being removed, .NAME.orphan-N lost its file without
 * having been removed: nobody gets it, and nothing of it is lost.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "storage-int.h"

#define NEW "new"
#define READY "ready"
#define GONE "gone"
#define ORPHANS 1000

static const char *
hidden(const char *name, const char *what)
{
	static char text[2][LEAF];
	static unsigned turn;
	char *s = text[turn++ % 2];

	snprintf(s, LEAF, ".%s.%s", name, what);
	return s;
}

/* Removing. */

/* All that stands in a qube's directory. */
static bool
empty(int dir)
{
	DIR *d = list_dir(dir);
	const struct dirent *f;
	bool ok = d != NULL;

	while (d && (f = readdir(d)) != NULL) {
		if (is_dots(f->d_name))
			continue;
		if (strlen(f->d_name) >= LEAF || !volume_remove(dir, f->d_name))
			ok = false;
	}
	if (d)
		closedir(d);
	return ok;
}

static bool
remove_dir(int base, const char *name)
{
	int dir = open_dir(base, name);
	bool ok = dir >= 0 ? empty(dir) : errno == ENOENT;

	ok = ok && op_unlink(base, name, AT_REMOVEDIR);
	close_fd(&dir);
	return ok;
}

void
remove_qube(int base, const char *name)
{
	if (!remove_dir(base, name))
		logit("%s: not all of it is removed: %s", name, strerror(errno));
}

/*
 * vm.d has ".NAME.gone" from when a qube is to be removed until its volumes are (vmedit.h): they
 * have not just lost their file.
 */
static const char *
mark_of(const char *name)
{
	static char path[512];

	snprintf(path, sizeof path, "%s/%s", store.etc, hidden(name, GONE));
	return path;
}

static bool
to_be_removed(const char *name)
{
	struct stat st;

	return lstat(mark_of(name), &st) == 0;
}

/* Has it a volume that was to be kept? */
static bool
has_volumes(int base, const char *name)
{
	int dir = open_dir(base, name);
	struct gens g;
	bool any = false;

	for (int id = VOL_ROOT; dir >= 0 && !any && id <= VOL_PRIVATE; id++)
		any = !gens_read(dir, (enum volume_id)id, &g) || g.n > 0;
	close_fd(&dir);
	return any;
}

/* Away under its name, so that no other qube of that name gets it. */
static bool
put_aside(int base, const char *name)
{
	char aside[LEAF];
	int i = 1;

	if (to_be_removed(name) || !has_volumes(base, name))
		return remove_dir(base, name);
	do
		snprintf(aside, sizeof aside, ".%s.orphan-%d", name, i);
	while (faccessat(base, aside, F_OK, AT_SYMLINK_NOFOLLOW) == 0 && i++ < ORPHANS);
	if (!op_rename(base, name, aside) || !op_sync(base))
		return false;
	logit("%s: its file in %s is gone, and it was not removed: its volumes are kept as %s",
	    name, store.etc, aside);
	return true;
}

/* What is being removed is nobody's: two may do it. */
static bool
is_gone(const char *entry)
{
	const size_t n = strlen(entry), tail = strlen("." GONE);

	return entry[0] == '.' && n > tail && n < LEAF && strcmp(entry + n - tail, "." GONE) == 0;
}

/* As much as we may: of a removal that was cut short, or was not allowed all. */
static void
clear_gone(int base, const char *name)
{
	DIR *d = list_dir(base);
	const struct dirent *f;
	const size_t n = strlen(name);

	while (d && (f = readdir(d)) != NULL)
		if (is_gone(f->d_name) && strncmp(f->d_name + 1, name, n) == 0 &&
		    f->d_name[n + 1] == '.')
			(void)remove_dir(base, f->d_name);
	if (d)
		closedir(d);
}

/* What an earlier one of that name has left; its lock is held, it has no file. */
static bool
clear(int base, const char *name)
{
	struct stat st;

	if (!remove_dir(base, hidden(name, NEW)) || !remove_dir(base, hidden(name, READY)))
		return false;
	clear_gone(base, name);
	return fstatat(base, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || put_aside(base, name);
}

const char *
storage_remove(const char *name)
{
	char gone[LEAF];
	const char *e = NULL;

	if (!lock_name_soon(name))
		return failure("%s: its volumes are in use", name);
	if (runs(name)) {
		unlock_name(name);
		errno = EBUSY;
		return failure("%s runs", name);
	}
	/* what a person could not remove all of does not stand in the next one's way */
	snprintf(gone, sizeof gone, ".%s.%d." GONE, name, (int)getpid());
	for (int i = 0; !e && i < 2; i++) {
		int base = open_base(i == 1);

		if (base < 0 || !remove_dir(base, hidden(name, NEW)) ||
		    !remove_dir(base, hidden(name, READY)) ||
		    ((!op_rename(base, name, gone) || !op_sync(base)) && errno != ENOENT))
			e = failure("the volumes of %s", name);
		else /* what stays is swept by root */
			remove_qube(base, gone);
		close_fd(&base);
	}
	if (store.pending[0] && strcmp(store.pending, name) == 0)
		store.pending[0] = '\0';
	if (!e)
		(void)unlink(mark_of(name));
	unlock_name(name);
	return e;
}

/* Making. */

/* A first generation of one volume. */
static const char *
make_volume(const struct vmconf *c, int dir, enum volume_id id)
{
	const uint64_t mib = id == VOL_ROOT ? c->root_size : c->private_size;

	if (!volume_may())
		return NULL; /* the first start makes it */
	if (!volume_make(dir, leaf(id, 1), mib * MIB) ||
	    !op_link(dir, leaf(id, 1), link_name(id, "")))
		return failure("%s of %s", storage_name(id), c->name);
	return NULL;
}

static const char *
copy_volume(const struct vmconf *from, const struct vmconf *to, int dir, enum volume_id id,
    const struct storage_progress *p)
{
	int src = open_own(from), fd = -1;
	struct gens g = {0};
	const char *e = NULL;

	if (src < 0 || !lock_links(true) || !gens_read(src, id, &g)) {
		lock_links(false);
		close_fd(&src);
		/* one that was never started has none yet */
		return errno == ENOENT ? make_volume(to, dir, id) : failure("%s", from->name);
	}
	if (g.current)
		fd = leaf_open(src, leaf(id, g.current), O_RDONLY);
	if (fd >= 0)
		(void)lock_inode(fd, F_RDLCK);
	lock_links(false);
	if (!g.current)
		e = make_volume(to, dir, id);
	else if (fd < 0 || !leaf_copy_as(fd, dir, leaf(id, 1), p) ||
		 !op_link(dir, leaf(id, 1), link_name(id, "")))
		e = failure("%s of %s cannot be copied", storage_name(id), from->name);
	if (fd >= 0)
		(void)lock_inode(fd, F_UNLCK);
	close_fd(&fd);
	close_fd(&src);
	return e;
}

struct plan {
	const struct vmconf *c, *from;
	const char *path; /* of a root to import */
	bool no_root;
	const struct storage_progress *p;
};

static const char *
fill(const struct plan *pl, int dir)
{
	const struct vmconf *c = pl->c;
	const char *e = NULL;

	if (keeps_root(c) && !c->root[0]) {
		if (pl->path)
			e = volume_import(
			    pl->path, dir, leaf(VOL_ROOT, 1), (uint64_t)c->root_size * MIB, pl->p);
		else if (pl->from)
			e = copy_volume(pl->from, c, dir, VOL_ROOT, pl->p);
		else if (!pl->no_root)
			e = make_volume(c, dir, VOL_ROOT);
		if (!e && pl->path && !op_link(dir, leaf(VOL_ROOT, 1), link_name(VOL_ROOT, "")))
			e = failure("root of %s", c->name);
	}
	if (!e && keeps_private(c) && !c->private[0])
		e = pl->from ? copy_volume(pl->from, c, dir, VOL_PRIVATE, pl->p)
			     : make_volume(c, dir, VOL_PRIVATE);
	return e;
}

/* Under the hidden name NEW, then as final. */
static const char *
make_dir(const struct plan *pl, int base, const char *final)
{
	const char *name = pl->c->name, *fresh = hidden(name, NEW), *e;
	int dir = -1;

	if (!op_mkdir(base, fresh, 02770) || (dir = open_dir(base, fresh)) < 0)
		e = failure("a directory for %s", name);
	else if ((e = fill(pl, dir)) == NULL &&
		 (!op_sync(dir) || !op_rename(base, fresh, final) || !op_sync(base)))
		e = failure("the directory of %s", name);
	close_fd(&dir);
	if (e) {
		const int err = errno;

		(void)remove_dir(base, fresh);
		errno = err;
	}
	return e;
}

static bool
has_none(const struct vmconf *c)
{
	return strcmp(c->type, "AdminVM") == 0 || strcmp(c->type, "RemoteVM") == 0;
}

static const char *
begin(const struct plan *pl)
{
	const struct vmconf *c = pl->c;
	const char *e = NULL;
	char ready[LEAF];

	if (has_none(c))
		return NULL;
	if (!lock_name(c->name, F_WRLCK)) {
		errno = errno == EAGAIN ? EBUSY : errno;
		return failure("%s: it is just being made, started or removed", c->name);
	}
	if (has_file(c->name)) {
		errno = EEXIST;
		return failure("%s", c->name);
	}
	for (int i = 0; !e && i < 2; i++) {
		int base = open_base(i == 1);

		if (base < 0 || !clear(base, c->name))
			e = failure("what an earlier %s has left", c->name);
		snprintf(ready, sizeof ready, "%s", hidden(c->name, READY));
		if (!e && is_template(c) == (i == 1))
			e = make_dir(pl, base, ready);
		close_fd(&base);
	}
	if (e) {
		unlock_name(c->name);
		return e;
	}
	(void)unlink(mark_of(c->name));
	snprintf(store.pending, sizeof store.pending, "%s", c->name);
	store.pending_template = is_template(c);
	return NULL;
}

const char *
storage_create(const struct vmconf *c, const struct storage_progress *p)
{
	const struct plan pl = {.c = c, .p = p};

	return begin(&pl);
}

const char *
storage_clone(const struct vmconf *from, const struct vmconf *to, const struct storage_progress *p)
{
	const struct plan pl = {.c = to, .from = from, .p = p};
	const char *e;

	if (has_none(to))
		return NULL;
	if (!volume_may())
		return failure("copying volumes");
	/* not while it writes its private volume */
	if (!lock_name(from->name, F_WRLCK) || runs(from->name)) {
		errno = EBUSY;
		return failure(
		    "%s runs, or its volumes are in use: shut it down first", from->name);
	}
	e = begin(&pl);
	unlock_name(from->name);
	return e;
}

void
storage_done(void)
{
	const char *name = store.pending;
	int base;

	if (name[0]) {
		base = open_base(store.pending_template);
		if (base < 0)
			logit("%s: %s", store.var, strerror(errno));
		else if (!has_file(name))
			remove_qube(base, hidden(name, READY));
		else if (!op_rename(base, hidden(name, READY), name) || !op_sync(base))
			logit("the volumes of %s: %s", name, strerror(errno));
		close_fd(&base);
		store.pending[0] = '\0';
	}
	unlock_all();
}

/* A further generation of the root of a qube that is there. */
static const char *
import_next(const struct vmconf *c, const char *path, const struct storage_progress *p)
{
	int dir = open_own(c);
	struct gens g;
	const char *e = NULL;
	char next[LEAF];

	if (dir < 0 || !gens_read(dir, VOL_ROOT, &g)) {
		e = failure("the volumes of %s", c->name);
	} else {
		snprintf(next, sizeof next, "%s", leaf(VOL_ROOT, g.next));
		e = volume_import(path, dir, next, (uint64_t)c->root_size * MIB, p);
		if (!e && (!op_sync(dir) || !op_unlink(dir, link_name(VOL_ROOT, DIRTY), 0) ||
			      !op_link(dir, next, link_name(VOL_ROOT, "")) || !op_sync(dir)))
			e = failure("root of %s", c->name);
		if (!e)
			gens_prune(c, dir, VOL_ROOT);
	}
	close_fd(&dir);
	return e;
}

const char *
storage_import(const struct vmconf *c, const char *path, const struct storage_progress *p)
{
	const struct plan pl = {.c = c, .path = path, .p = p};
	const char *e;

	if (!keeps_root(c) || c->root[0])
		return refuse("%s has no root of its own in %s", c->name, store.var);
	if (!volume_may())
		return failure("importing a directory");
	if (!has_file(c->name))
		return begin(&pl);
	if (!lock_name(c->name, F_WRLCK) || runs(c->name)) {
		errno = EBUSY;
		return failure("%s runs, or its volumes are in use: shut it down first", c->name);
	}
	e = import_next(c, path, p);
	unlock_name(c->name);
	return e;
}

const char *
storage_make(const struct vmconf *c)
{
	/* an empty tree starts nothing: who was given none has this machine's */
	const struct plan pl = {.c = c, .no_root = !IMAGES};
	int base = open_base(is_template(c));
	const char *e;

	if (base < 0 || !remove_dir(base, hidden(c->name, NEW)))
		e = failure("the volumes of %s", c->name);
	else
		e = make_dir(&pl, base, c->name);
	close_fd(&base);
	return e;
}

/* Sweeping. */

/* .NAME.WHAT: its NAME, and whether it is one of ours to remove. */
static bool
leftover(const char *entry, char name[NAME_LEN_MAX + 1])
{
	static const char *const words[] = {NEW, READY, GONE};
	const char *dot = strrchr(entry, '.');
	const size_t n = dot && dot > entry ? (size_t)(dot - entry) - 1 : 0;

	if (entry[0] != '.' || n == 0 || n > NAME_LEN_MAX)
		return false;
	memcpy(name, entry + 1, n);
	name[n] = '\0';
	if (!name_ok(name))
		return false;
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (strcmp(dot + 1, words[i]) == 0)
			return true;
	return false;
}

/* What one that does not run has left in its directory: halves, and what is thrown away. */
static void
tidy(int base, const char *name)
{
	int dir = open_dir(base, name);
	DIR *d = dir >= 0 ? list_dir(dir) : NULL;
	char target[LEAF * 2 + 32];
	const struct dirent *f;

	while (d && (f = readdir(d)) != NULL) {
		const bool passing = strcmp(f->d_name, link_name(VOL_PRIVATE, SNAP)) == 0 ||
				     strcmp(f->d_name, link_name(VOL_VOLATILE, "")) == 0;
		/* a link to a template's generation */
		const bool snap = strcmp(f->d_name, link_name(VOL_ROOT, "")) == 0 &&
				  readlinkat(dir, f->d_name, target, sizeof target) > 2 &&
				  target[0] == '.';

		if (!is_dots(f->d_name) && (f->d_name[0] == '.' || passing || snap) &&
		    strlen(f->d_name) < LEAF)
			(void)volume_remove(dir, f->d_name);
	}
	if (d)
		closedir(d);
	close_fd(&dir);
}

static void
sweep_one(int base, const char *entry)
{
	char name[NAME_LEN_MAX + 1];

	if (is_gone(entry)) {
		remove_qube(base, entry);
		return;
	}
	if (leftover(entry, name)) {
		if (!lock_name(name, F_WRLCK))
			return; /* it is just being made */
		if (has_file(name) && strcmp(entry, hidden(name, READY)) == 0) {
			/* whoever made it was ended before it had its name */
			if (!op_rename(base, entry, name))
				remove_qube(base, entry);
		} else {
			logit("%s: removed", entry);
			remove_qube(base, entry);
		}
	} else if (name_ok(entry)) {
		snprintf(name, sizeof name, "%.31s", entry);
		if (runs(name) || !lock_name(name, F_WRLCK))
			return;
		if (has_file(name))
			tidy(base, name);
		else if (!put_aside(base, name))
			logit("%s: %s", name, strerror(errno));
	} else {
		return;
	}
	unlock_name(name);
}

/* What was to be removed is. */
static void
sweep_marks(void)
{
	DIR *d = opendir(store.etc);
	const struct dirent *f;
	char name[NAME_LEN_MAX + 1];

	while (d && (f = readdir(d)) != NULL) {
		if (!leftover(f->d_name, name) || strcmp(f->d_name, hidden(name, GONE)) != 0 ||
		    runs(name) || !lock_name(name, F_WRLCK))
			continue;
		(void)unlink(mark_of(name));
		unlock_name(name);
	}
	if (d)
		closedir(d);
}

void
storage_sweep(void)
{
	/* without vm.d nothing can be told of what has a file */
	if (access(store.etc, R_OK | X_OK) < 0)
		return;
	for (int i = 0; i < 2; i++) {
		const int base = open_base(i == 1);
		DIR *d = base >= 0 ? list_dir(base) : NULL;
		const struct dirent *f;

		while (d && (f = readdir(d)) != NULL)
			if (!is_dots(f->d_name))
				sweep_one(base, f->d_name);
		if (d)
			closedir(d);
		if (base >= 0)
			close(base);
	}
	sweep_marks();
	if (!store.pending[0])
		unlock_all();
}
