/* SPDX-License-Identifier: ISC */
/* Generations of a volume: which there are, which is current, who has a link to one. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "storage-int.h"

#define CHAIN_MAX 4 /* a disposable, its AppVM, the template */

static const char *const names[VOL_N] = {"root", "private", "volatile", "kernel"};

const char *
storage_name(enum volume_id id)
{
	return names[id];
}

int
storage_find(const char *name)
{
	for (int i = 0; i < VOL_N; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	return -1;
}

static char *
buffer(void)
{
	static char text[4][LEAF];
	static unsigned turn;

	return text[turn++ % 4];
}

const char *
leaf(enum volume_id id, uint32_t number)
{
	char *s = buffer();

	snprintf(s, LEAF, "%s@%u" SUFFIX, names[id], number);
	return s;
}

const char *
link_name(enum volume_id id, const char *more)
{
	char *s = buffer();

	snprintf(s, LEAF, "%s%s" SUFFIX, names[id], more);
	return s;
}

/* The N of VOL@N[.img], exactly that; 0: it is something else. */
static uint32_t
number_of(enum volume_id id, const char *name)
{
	const size_t n = strlen(names[id]);
	uint32_t number;
	char digits[12];
	size_t len;

	if (strncmp(name, names[id], n) != 0 || name[n] != '@')
		return 0;
	name += n + 1;
	len = strspn(name, "0123456789");
	if (len == 0 || len >= sizeof digits || *name == '0' || strcmp(name + len, SUFFIX) != 0)
		return 0;
	memcpy(digits, name, len);
	digits[len] = '\0';
	return parse_u32(digits, UINT32_MAX - 1, &number) ? number : 0;
}

static bool
read_link(int dir, const char *name, char *out, size_t size)
{
	const ssize_t n = readlinkat(dir, name, out, size - 1);

	if (n < 0 || (size_t)n >= size - 1)
		return false;
	out[n] = '\0';
	return true;
}

/* The generation that a link in its own directory says, if that is there. */
static uint32_t
pointed(int dir, enum volume_id id, const char *name)
{
	char target[LEAF];
	uint32_t number;

	if (!read_link(dir, name, target, sizeof target))
		return 0;
	number = number_of(id, target);
	return number && faccessat(dir, target, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ? number : 0;
}

static int
later_first(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? 1 : -(*x > *y);
}

bool
gens_read(int dir, enum volume_id id, struct gens *g)
{
	DIR *d = list_dir(dir);
	const struct dirent *f;
	uint32_t number;

	*g = (struct gens){.next = 1};
	if (!d)
		return false;
	while ((f = readdir(d)) != NULL) {
		number = number_of(id, f->d_name);
		if (number >= g->next)
			g->next = number + 1;
		if (number && g->n < GENS_MAX)
			g->all[g->n++] = number;
	}
	closedir(d);
	qsort(g->all, g->n, sizeof *g->all, later_first);
	g->current = pointed(dir, id, link_name(id, ""));
	g->dirty = pointed(dir, id, link_name(id, DIRTY));
	if (g->dirty == g->current)
		g->dirty = 0;
	return true;
}

int
leaf_open(int dir, const char *name, int flags)
{
	int fd = openat(dir, name, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0 && !volume_ok(fd)) {
		close_fd(&fd);
		errno = EINVAL;
	}
	return fd;
}

bool
leaf_copy_as(int src, int dir, const char *name, const struct storage_progress *p)
{
	char part[LEAF + 8];
	int err;

	snprintf(part, sizeof part, ".%s.part", name);
	if (volume_remove(dir, part) && volume_copy(src, dir, part, p) &&
	    op_rename(dir, part, name))
		return true;
	err = errno;
	(void)volume_remove(dir, part);
	errno = err;
	return false;
}

bool
root_source(const struct vmconf *c, char name[NAME_LEN_MAX + 1])
{
	const int etc = open(store.etc, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct vmconf at = *c;
	struct vmconf_error e;
	char next[NAME_LEN_MAX + 1];
	bool ok = etc >= 0;

	for (int i = 0; ok && i < CHAIN_MAX && at.template[0] && !is_template(&at); i++) {
		memcpy(next, at.template, sizeof next);
		ok = vmconf_read(etc, next, &at, &e);
	}
	if (etc >= 0)
		close(etc);
	if (!ok || !is_template(&at) || strcmp(at.name, c->name) == 0)
		return false;
	memcpy(name, at.name, NAME_LEN_MAX + 1);
	return true;
}

uint32_t
snapshot_of(int dir, const char *template)
{
	char target[2 * LEAF + 32], head[LEAF + 32];

	snprintf(head, sizeof head, "../../" STORAGE_TEMPLATES "/%s/", template);
	if (!read_link(dir, link_name(VOL_ROOT, ""), target, sizeof target) ||
	    strncmp(target, head, strlen(head)) != 0)
		return 0;
	return number_of(VOL_ROOT, target + strlen(head));
}

/* Is it being copied? */
static bool
is_read(int dir, uint32_t number)
{
	int fd = leaf_open(dir, leaf(VOL_ROOT, number), O_RDONLY);
	const bool read = fd >= 0 && !lock_inode(fd, F_WRLCK);

	close_fd(&fd);
	return read;
}

/* Has a qube that runs a link to it? */
static bool
in_use(const char *template, uint32_t number)
{
	const int base = open_base(false);
	DIR *d = base >= 0 ? fdopendir(base) : NULL;
	const struct dirent *f;
	bool used = !d; /* when in doubt */

	while (d && !used && (f = readdir(d)) != NULL) {
		int q = f->d_name[0] == '.' ? -1 : open_dir(base, f->d_name);

		if (q >= 0)
			used = snapshot_of(q, template) == number;
		close_fd(&q);
	}
	if (d)
		closedir(d);
	else if (base >= 0)
		close(base);
	return used;
}

void
gens_prune(const struct vmconf *c, int dir, enum volume_id id)
{
	struct gens g;
	uint32_t kept = 0;
	char gone[LEAF + 8];

	if (!lock_links(true) || !gens_read(dir, id, &g)) {
		lock_links(false);
		return;
	}
	for (size_t i = 0; i < g.n; i++) {
		const uint32_t number = g.all[i];

		if (number == g.current || number == g.dirty || kept++ < c->revisions_to_keep)
			continue;
		if (id == VOL_ROOT && is_template(c) &&
		    (in_use(c->name, number) || is_read(dir, number)))
			continue;
		/* from here on nobody can take it */
		snprintf(gone, sizeof gone, ".%s.gone", leaf(id, number));
		if (!volume_remove(dir, gone) || !op_rename(dir, leaf(id, number), gone))
			logit("%s: %s stays: %s", c->name, leaf(id, number), strerror(errno));
	}
	lock_links(false);
	for (size_t i = 0; i < g.n; i++) {
		snprintf(gone, sizeof gone, ".%s.gone", leaf(id, g.all[i]));
		(void)volume_remove(dir, gone);
	}
}
