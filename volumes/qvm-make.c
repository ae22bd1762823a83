/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "loop.h"
#include "qvm-make.h"
#include "vmconf-keys.h"
#include "vmedit.h"

bool
make_line(struct buf *text, const char *key, const char *value)
{
	struct buf next = {.max = TEXT_MAX};
	const char *why = vmedit_unwritable(key, value);

	if (why != NULL)
		return say("%s: %s", text_esc(key), why);
	if (!vmedit_line(text, key, value, &next)) {
		buf_free(&next);
		return say("the qube's file would be longer than 64 KiB");
	}
	buf_free(text);
	*text = next;
	return true;
}

bool
make_uuid(struct buf *text)
{
	char h[HEXID_LEN + 1], uuid[UUID_LEN + 1];

	hexid_new(h);
	h[12] = '4';
	h[16] = "89ab"[(unsigned char)h[16] & 3];
	snprintf(uuid, sizeof uuid, "%.8s-%.4s-%.4s-%.4s-%.12s", h, h + 8, h + 12, h + 16, h + 20);
	return make_line(text, "uuid", uuid);
}

bool
make_property(int dir, struct buf *text, const char *class, const char *name, const char *value)
{
	static const char *const given[] = {"type", "klass", "name", "uuid", NULL};
	struct vmconf_error e;
	const char *why = vmconf_key_wrong(name, &e);
	const struct key *k;

	if (one_of(given, name))
		usage("%s: not by --property", name);
	if (why != NULL)
		usage("no such property: %s %s", text_esc(name),
		    strchr(why, '(') != NULL ? strchr(why, '(') : "");
	k = key_find(name);
	if (k != NULL && k->flags & ONLY)
		usage("%s: a property of the machine (qubes-prefs)", name);
	value = value_of(k != NULL ? key_type(k) : "str", value);
	return ref_fits(dir, class, name, value) && make_line(text, name, value);
}

bool
make_name(int dir, const char *name)
{
	if (!name_ok(name) || is_dom0(name) || strcmp(name, "defaults") == 0)
		return say("%s: not a qube's name: a letter, then letters, digits and _ . -, at "
			   "most 31",
		    text_esc(name));
	return faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0 ||
	       say("%s: there is a qube of this name already: take another, or qvm-remove %s", name,
		   name);
}

static bool
say_storage(const char *what)
{
	if (errno == ENOSPC)
		return say(
		    "%s: %s: make room and try again; nothing has changed", what, strerror(errno));
	if (errno == EACCES)
		return say(
		    "%s: %s (only root and members of group qubes may)", what, strerror(errno));
	if (errno != 0)
		return say("%s: %s", what, strerror(errno));
	return say("%s", what);
}

static const char *
volumes(const struct vmconf *c, const struct source *from)
{
	const struct storage_progress *p = progress_of(c->name);

	return from->root != NULL    ? storage_import(c, from->root, p)
	       : from->clone != NULL ? storage_clone(from->clone, c, p)
				     : storage_create(c, p);
}

int
make_qube(int dir, const char *name, const struct buf *text, const struct source *from)
{
	struct vmconf c;
	struct vmconf_error e;
	char copy[TEXT_MAX + 64];
	const char *bad;
	size_t n = text->len;
	bool ok;

	memcpy(copy, buf_bytes(text), n);
	copy[n] = '\0';
	if (!vmconf_would(dir, name, copy, n, geteuid() == 0, &c, &e))
		return !say("%s: %s", e.file, e.text);
	if (from->clone != NULL &&
	    (strcmp(c.root, from->clone->root) != 0 || strcmp(c.kernel, from->clone->kernel) != 0))
		return !say("%s: its file has changed meanwhile: try again", from->clone->name);
	/* root's file says for whom it names paths; each of its lines has an end here */
	if (vmconf_forbidden(&c) != NULL && geteuid() == 0) {
		n += (size_t)snprintf(copy + n, sizeof copy - n, "name = %s\n", name);
		if (!vmconf_would(dir, name, copy, n, true, &c, &e))
			return !say("%s: %s", e.file, e.text);
	}
	if (vmconf_forbidden(&c) != NULL)
		return !say("%s: only root may name a path outside of /var/lib/qubes",
		    vmconf_forbidden(&c));
	errno = 0;
	bad = volumes(&c, from);
	progress_end();
	if (bad != NULL) {
		if (errno == EEXIST)
			say("%s: there is a qube of this name already", name);
		else if (errno == EBUSY)
			say("%s", bad);
		else
			say_storage(bad);
		storage_done();
		return from->root != NULL ? 3 : 1;
	}
	ok = vmedit_create(dir, name, copy, &e);
	if (!ok) {
		say_conf(&e);
		storage_remove(name);
	}
	storage_done();
	return !ok;
}

void
make_pool(const char *pool)
{
	const char *eq = strchr(pool, '=');

	if (strcmp(eq != NULL ? eq + 1 : pool, STORAGE_POOL) != 0)
		usage("%s: there is one pool only: " STORAGE_POOL, text_esc(pool));
}

/* ---- progress ---- */

static struct {
	bool shown;
	int percent;
	uint64_t since;
	const char *name;
} bar;

#define SOON_MS 1000 /* what takes no longer is not worth a word */

static void
progress(void *arg, uint64_t done, uint64_t of)
{
	const int percent = of > 0 ? (int)((done > of ? of : done) * 100 / of) : -1;

	(void)arg;
	if ((percent == bar.percent && bar.shown) || now_ms() - bar.since < SOON_MS)
		return;
	bar.percent = percent;
	bar.shown = true;
	if (percent >= 0)
		fprintf(stderr, "\r%s: %d%%", bar.name, percent);
	else
		fprintf(stderr, "\r%s: %llu MiB", bar.name, (unsigned long long)(done >> 20));
}

const struct storage_progress *
progress_of(const char *name)
{
	static const struct storage_progress on = {.fn = progress};

	bar.name = name;
	bar.since = now_ms();
	bar.shown = false;
	return quiet || !isatty(STDERR_FILENO) ? NULL : &on;
}

void
progress_end(void)
{
	const int err = errno;

	if (bar.shown)
		fputc('\n', stderr);
	bar.shown = false;
	errno = err;
}
