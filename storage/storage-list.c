/* SPDX-License-Identifier: ISC */
/* What people look at and change: sizes, former states. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage-int.h"

static const char *
base_name(const struct vmconf *c)
{
	return is_template(c) ? STORAGE_TEMPLATES : STORAGE_APPVMS;
}

static const char *
key_of(const struct vmconf *c, enum volume_id id)
{
	switch (id) {
	case VOL_ROOT:
		return c->root;
	case VOL_PRIVATE:
		return c->private;
	case VOL_VOLATILE:
		return c->volatile_;
	default:
		return "";
	}
}

static uint64_t
wanted(const struct vmconf *c, enum volume_id id)
{
	const uint32_t mib = id == VOL_ROOT	  ? c->root_size
			     : id == VOL_PRIVATE  ? c->private_size
			     : id == VOL_VOLATILE ? c->volatile_size
						  : 0;

	return (uint64_t)mib * MIB;
}

static void
measure(struct volume *v, int dir, const char *file)
{
	int fd = dir >= 0 ? leaf_open(dir, file, O_RDONLY) : -1;
	uint64_t size, usage;

	if (fd < 0)
		return;
	volume_size(fd, &size, &usage);
	v->usage = usage;
	if (size)
		v->size = size;
	close_fd(&fd);
}

/* As in the template; and whether what it runs on is that still. */
static void
list_snapshot(const struct vmconf *c, struct volume *v, int dir)
{
	char template[NAME_LEN_MAX + 1];
	struct gens g = {0};
	uint32_t has;
	int t;

	v->snap_on_start = true;
	if (!root_source(c, template))
		return;
	snprintf(v->source, sizeof v->source, STORAGE_TEMPLATES "/%s/root", template);
	t = open_qube(template, true);
	if (t >= 0 && gens_read(t, VOL_ROOT, &g) && g.current) {
		has = dir >= 0 ? snapshot_of(dir, template) : 0;
		v->is_outdated = has && has != g.current;
		measure(v, t, leaf(VOL_ROOT, has ? has : g.current));
		v->usage = 0; /* it is the template's */
	}
	close_fd(&t);
}

static void
list_kept(const struct vmconf *c, struct volume *v, int dir, enum volume_id id)
{
	struct gens g;

	v->save_on_stop = true;
	v->revisions_to_keep = c->revisions_to_keep;
	if (dir >= 0 && gens_read(dir, id, &g) && g.current)
		measure(v, dir, leaf(id, g.dirty ? g.dirty : g.current));
}

static void
list_one(const struct vmconf *c, struct volume *v, int dir, enum volume_id id)
{
	const char *key = key_of(c, id);

	*v = (struct volume){.name = storage_name(id), .size = wanted(c, id), .rw = true};
	snprintf(v->vid, sizeof v->vid, "%s/%s/%s", base_name(c), c->name, v->name);
	if (key[0]) {
		snprintf(v->vid, sizeof v->vid, "%s", key);
		v->save_on_stop = id != VOL_VOLATILE;
		v->rw = id != VOL_ROOT || !c->template[0];
	} else if (id == VOL_KERNEL) {
		snprintf(v->vid, sizeof v->vid, "%s", c->kernel);
		v->rw = false;
	} else if (id == VOL_VOLATILE) {
		measure(v, dir, link_name(id, ""));
	} else if (id == VOL_ROOT && !keeps_root(c)) {
		list_snapshot(c, v, dir);
	} else if (id == VOL_PRIVATE && !keeps_private(c)) {
		v->snap_on_start = true;
		snprintf(v->source, sizeof v->source, STORAGE_APPVMS "/%s/private", c->template);
		measure(v, dir, link_name(id, SNAP));
	} else {
		list_kept(c, v, dir, id);
	}
}

int
storage_list(const struct vmconf *c, struct volume v[VOL_N])
{
	int dir = open_own(c);

	if (dir < 0 && errno != ENOENT)
		return 0;
	for (int id = 0; id < VOL_N; id++)
		list_one(c, &v[id], dir, (enum volume_id)id);
	close_fd(&dir);
	return VOL_N;
}

static bool
kept_here(const struct vmconf *c, enum volume_id id)
{
	return !key_of(c, id)[0] &&
	       ((id == VOL_ROOT && keeps_root(c)) || (id == VOL_PRIVATE && keeps_private(c)));
}

int
storage_revisions(const struct vmconf *c, enum volume_id id, struct revision out[STORAGE_REVISIONS])
{
	struct gens g;
	struct stat st;
	int dir, n = 0;

	if (!kept_here(c, id))
		return 0;
	dir = open_own(c);
	if (dir < 0)
		return errno == ENOENT ? 0 : -1;
	if (!gens_read(dir, id, &g))
		n = -1;
	for (size_t i = 0; n >= 0 && i < g.n && n < STORAGE_REVISIONS; i++) {
		if (g.all[i] == g.current || g.all[i] == g.dirty ||
		    fstatat(dir, leaf(id, g.all[i]), &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		out[n].number = g.all[i];
		out[n++].when = st.st_mtime;
	}
	close_fd(&dir);
	return n;
}

/* For a change: nobody else uses it. */
static const char *
take(const struct vmconf *c, enum volume_id id, int *dir)
{
	*dir = -1;
	if (!kept_here(c, id))
		return refuse("%s of %s is not kept in %s", storage_name(id), c->name, store.var);
	if (!lock_name(c->name, F_WRLCK) || runs(c->name)) {
		errno = EBUSY;
		return failure("%s runs, or its volumes are in use: shut it down first", c->name);
	}
	*dir = open_own(c);
	if (*dir < 0 && errno == ENOENT)
		return refuse("%s has no volumes yet: its first start makes them", c->name);
	return *dir < 0 ? failure("the volumes of %s", c->name) : NULL;
}

const char *
storage_resize(const struct vmconf *c, enum volume_id id, uint64_t bytes)
{
	struct gens g;
	int dir, fd = -1;
	const char *e = take(c, id, &dir);
	uint32_t number;

	if (!e && !gens_read(dir, id, &g))
		e = failure("the volumes of %s", c->name);
	if (!e) {
		number = g.dirty ? g.dirty : g.current;
		fd = number ? leaf_open(dir, leaf(id, number), IMAGES ? O_RDWR : O_RDONLY) : -1;
		errno = number ? errno : ENOENT;
		if (fd >= 0 && !IMAGES && bytes < wanted(c, id)) {
			errno = ERANGE;
			e = failure("%s of %s", storage_name(id), c->name);
		} else if (fd < 0 || !volume_grow(fd, bytes)) {
			e = failure("%s of %s", storage_name(id), c->name);
		}
	}
	close_fd(&fd);
	close_fd(&dir);
	unlock_name(c->name);
	return e;
}

const char *
storage_revert(const struct vmconf *c, enum volume_id id, uint32_t number)
{
	struct gens g = {0};
	int dir;
	const char *e = take(c, id, &dir);
	bool there = false;

	if (!e && !gens_read(dir, id, &g))
		e = failure("the volumes of %s", c->name);
	for (size_t i = 0; !e && i < g.n && !there; i++) {
		there = g.all[i] != g.current && g.all[i] != g.dirty &&
			(number == 0 || number == g.all[i]);
		number = there ? g.all[i] : number;
	}
	if (!e && !there)
		e = refuse("%s of %s has no such former state", storage_name(id), c->name);
	/* what was written and not committed becomes a former state as well */
	if (!e && (!op_unlink(dir, link_name(id, DIRTY), 0) ||
		      !op_link(dir, leaf(id, number), link_name(id, "")) || !op_sync(dir)))
		e = failure("%s of %s", storage_name(id), c->name);
	close_fd(&dir);
	unlock_name(c->name);
	return e;
}
