/* SPDX-License-Identifier: ISC */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "buf.h"
#include "paths.h"
#include "vmconf-keys.h"
#include "vmedit.h"

#define FILE_MAX 65536u

/* One change, from its start to its end. */
struct edit {
	int dir, lock;
	const char *name;
	char temp[NAME_LEN_MAX + 8];
	struct buf old, new;
	bool exists;
	bool names_path; /* it is a path that this change is about */
	struct stat st;	 /* of the old one */
	struct vmconf_error *e;
};

static bool
fails(const struct edit *ed, const char *what)
{
	const int err = errno;

	vmconf_at(ed->e, ed->name, 0);
	vmconf_wrong(ed->e, "%s: %s", what, strerror(err));
	errno = err;
	return false;
}

static bool
refused(const struct edit *ed, const char *why)
{
	vmconf_at(ed->e, ed->name, 0);
	errno = EINVAL;
	return vmconf_wrong(ed->e, "%s", why);
}

static void
finish(struct edit *ed)
{
	const int err = errno;

	buf_free(&ed->old);
	buf_free(&ed->new);
	if (ed->lock >= 0)
		close(ed->lock);
	errno = err;
}

/* Alone with the directory. */
static bool
begin(struct edit *ed, int dir, const char *name, struct vmconf_error *e)
{
	*ed = (struct edit){.dir = dir,
	    .lock = -1,
	    .name = name,
	    .old = {.max = FILE_MAX + 2},
	    .new = {.max = 2 * FILE_MAX},
	    .e = e};
	if (!name_ok(name)) {
		ed->name = "";
		return refused(ed, "not a qube's name");
	}
	snprintf(ed->temp, sizeof(ed->temp), ".%s.new", name);
	ed->lock = openat(dir, ".lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0660);
	if (ed->lock < 0)
		return fails(ed, ".lock");
	/* for all of the directory's group, whatever umask says; not ours: it is already */
	if (fchmod(ed->lock, 0660) < 0 && errno != EPERM)
		return fails(ed, ".lock");
	while (flock(ed->lock, LOCK_EX) < 0)
		if (errno != EINTR)
			return fails(ed, ".lock");
	return true;
}

static bool
read_old(struct edit *ed)
{
	const bool maybe = is_dom0(ed->name) || strcmp(ed->name, "defaults") == 0;
	const int fd =
	    openat(ed->dir, ed->name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW);
	ssize_t r = 1;

	if (fd < 0 && errno == ENOENT && maybe)
		return true;
	if (fd < 0 && errno == ENOENT) {
		refused(ed, "no such qube");
		errno = ENOENT;
		return false;
	}
	if (fd < 0)
		return fails(ed, "cannot be read");
	ed->exists = true;
	if (fstat(fd, &ed->st) == 0 && S_ISREG(ed->st.st_mode))
		while (r > 0)
			r = buf_read_fd(&ed->old, fd, FILE_MAX);
	close(fd);
	return r == 0 || refused(ed, "not a file of its own, or longer than 64 KiB");
}

/* A new file's text is safe on the disk under its temporary name. */
static bool
write_temp(const struct edit *ed)
{
	const uint8_t *p = buf_bytes(&ed->new);
	size_t n = ed->new.len;
	ssize_t r = 0;
	bool ok;
	int fd;

	if (unlinkat(ed->dir, ed->temp, 0) < 0 && errno != ENOENT)
		return false;
	fd = openat(ed->dir, ed->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return false;
	for (; n > 0 && r >= 0; n -= (size_t)r, p += r)
		r = write(fd, p, n);
	/* who may not give it to its old owner keeps it: it is trusted less then, not more */
	ok = r >= 0 &&
	     (!ed->exists || fchown(fd, ed->st.st_uid, ed->st.st_gid) == 0 || errno == EPERM) &&
	     (!ed->exists || fchmod(fd, ed->st.st_mode & 0777) == 0) && fsync(fd) == 0;
	close(fd);
	return ok;
}

/* Whether who writes could write the disks that it names. */
static bool
will_be_trusted(const struct edit *ed)
{
	return geteuid() == 0 &&
	       (!ed->exists || (ed->st.st_uid == 0 && (ed->st.st_mode & (S_IWGRP | S_IWOTH)) == 0));
}

/* Root says that a path is meant for this qube, whatever becomes of the file's name; not by a
 * change of something else: the file may have got its name from others. */
static bool
sign(struct edit *ed)
{
	struct buf next = {.max = ed->new.max};
	const bool ok =
	    ed->names_path && will_be_trusted(ed) && vmedit_line(&ed->new, "name", ed->name, &next);

	if (ok) {
		buf_free(&ed->new);
		ed->new = next;
	} else {
		buf_free(&next);
	}
	return ok;
}

static const char *
valid_but(struct edit *ed)
{
	static struct vmconf c;

	if (vmconf_would(ed->dir, ed->name, (const char *)buf_bytes(&ed->new), ed->new.len,
		will_be_trusted(ed), &c, ed->e))
		return vmconf_forbidden(&c);
	errno = EINVAL;
	return "";
}

static bool
valid(struct edit *ed)
{
	const char *path = valid_but(ed);

	if (path != NULL && *path != '\0' && sign(ed))
		path = valid_but(ed);
	if (path == NULL || *path == '\0')
		return path == NULL;
	vmconf_at(ed->e, ed->name, 0);
	errno = EPERM;
	return vmconf_wrong(
	    ed->e, "%.48s: only root's file that says name = %s may (vm.d(5))", path, ed->name);
}

static void
mark_of(const char *name, char mark[NAME_LEN_MAX + 8])
{
	snprintf(mark, NAME_LEN_MAX + 8, ".%s.gone", name);
}

/* Renamed where the file system can do that without replacing: who watches hears the same as of any
 * change. */
static bool
appear(const struct edit *ed)
{
	if (syscall(SYS_renameat2, ed->dir, ed->temp, ed->dir, ed->name, RENAME_NOREPLACE) == 0)
		return true;
	return (errno == EINVAL || errno == ENOSYS) &&
	       linkat(ed->dir, ed->temp, ed->dir, ed->name, 0) == 0;
}

/* The new text takes its place; fresh: unless something has it already. */
static bool
commit(struct edit *ed, bool fresh)
{
	char mark[NAME_LEN_MAX + 8];
	int err;
	bool ok;

	if (!valid(ed))
		return false;
	mark_of(ed->name, mark);
	ok = write_temp(ed) &&
	     (fresh ? appear(ed) : renameat(ed->dir, ed->temp, ed->dir, ed->name) == 0);
	err = errno;
	if (!ok || fresh)
		unlinkat(ed->dir, ed->temp, 0);
	if (ok) /* a removal that did not come as far as that is off */
		unlinkat(ed->dir, mark, 0);
	errno = err;
	if (ok && fsync(ed->dir) == 0)
		return true;
	if (errno == EEXIST) {
		refused(ed, "there is a qube of this name already");
		errno = EEXIST;
		return false;
	}
	return fails(ed, "cannot be written");
}

bool
vmedit_create(int dir, const char *name, const char *text, struct vmconf_error *e)
{
	struct edit ed;
	bool ok = begin(&ed, dir, name, e);

	if (ok && faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
		ok = refused(&ed, "there is a qube of this name already");
		errno = EEXIST;
	}
	ok = ok && (buf_put(&ed.new, text, strlen(text)) || refused(&ed, "too long")) &&
	     commit(&ed, true);
	finish(&ed);
	return ok;
}

/* Where in a line its key and its value stand. */
struct parts {
	size_t key, key_end, val, val_end;
	bool is_set; /* it has both */
};

static bool
blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct parts
split(const char *line, size_t n)
{
	struct parts p = {0};
	const char *eq;

	for (size_t i = 0; i < n; i++)
		if (line[i] == '#' && (i == 0 || blank(line[i - 1])))
			n = i;
	eq = memchr(line, '=', n);
	if (eq == NULL)
		return p;
	p.is_set = true;
	while (blank(line[p.key]))
		p.key++;
	p.key_end = (size_t)(eq - line);
	p.val = p.key_end + 1;
	while (p.key_end > p.key && blank(line[p.key_end - 1]))
		p.key_end--;
	while (p.val < n && blank(line[p.val]))
		p.val++;
	/* "key =# note": what begins a value begins a comment */
	p.val_end = p.val < n && line[p.val] == '#' ? p.val : n;
	while (p.val_end > p.val && blank(line[p.val_end - 1]))
		p.val_end--;
	return p;
}

/* The key's line in the old text, with its newline; NULL: there is none. */
static const char *
find(const struct buf *text, const char *key, size_t *n, struct parts *p)
{
	const char *at = (const char *)buf_bytes(text), *nl;
	size_t left = text->len;

	for (; left > 0; at += *n, left -= *n) {
		nl = memchr(at, '\n', left);
		*n = nl != NULL ? (size_t)(nl - at) + 1 : left;
		*p = split(at, *n - (nl != NULL));
		if (p->is_set && p->key_end - p->key == strlen(key) &&
		    memcmp(at + p->key, key, strlen(key)) == 0)
			return at;
	}
	return NULL;
}

bool
vmedit_value(const struct buf *text, const char *key, char *out, size_t size)
{
	struct parts p;
	size_t n;
	const char *line = find(text, key, &n, &p);

	if (line == NULL || p.val_end - p.val >= size)
		return false;
	memcpy(out, line + p.val, p.val_end - p.val);
	out[p.val_end - p.val] = '\0';
	return true;
}

bool
vmedit_line(const struct buf *old, const char *key, const char *value, struct buf *out)
{
	const char *text = (const char *)buf_bytes(old), *line;
	struct parts p;
	size_t n = 0, before;
	bool ok;

	line = find(old, key, &n, &p);
	before = line != NULL ? (size_t)(line - text) : old->len;
	ok = buf_put(out, text, before);
	if (line != NULL && value != NULL)
		ok = ok && buf_put(out, line, p.val) && buf_put(out, value, strlen(value)) &&
		     (p.val_end == n || line[p.val_end] != '#' || buf_put(out, " ", 1)) &&
		     buf_put(out, line + p.val_end, n - p.val_end);
	if (line != NULL)
		return ok && buf_put(out, line + n, old->len - before - n);
	if (value == NULL)
		return ok;
	if (ok && before > 0 && text[before - 1] != '\n')
		ok = buf_put(out, "\n", 1);
	return ok && buf_printf(out, "%s = %s\n", key, value);
}

const char *
vmedit_unwritable(const char *key, const char *value)
{
	for (const char *p = key; *p != '\0'; p++)
		if (!service_byte((unsigned char)*p))
			return "not a key";
	if (value == NULL)
		return NULL;
	if (strchr(value, '\n') != NULL)
		return "a value is one line";
	if (value[0] == '#' || strstr(value, " #") != NULL || strstr(value, "\t#") != NULL)
		return "a value may not hold # at its start or after a blank: a comment begins "
		       "there";
	if (*value != '\0' && (blank(value[0]) || blank(value[strlen(value) - 1])))
		return "a value may not begin or end with a blank";
	return NULL;
}

static bool
is_as_it_was(const struct edit *ed)
{
	const size_t n = ed->old.len;

	return ed->exists &&
	       ed->new.len == n &&memcmp(buf_bytes(&ed->new), buf_bytes(&ed->old), n) == 0;
}

static bool
set(struct edit *ed, const char *key, const char *value)
{
	const char *why = vmedit_unwritable(key, value);
	const struct key *k = key_find(key);

	if (why != NULL)
		return refused(ed, why);
	ed->names_path = k != NULL && k->flags & PATH && value != NULL;
	if (!vmedit_line(&ed->old, key, value, &ed->new))
		return refused(ed, "longer than 64 KiB");
	if (is_as_it_was(ed) && (!valid(ed) || is_as_it_was(ed)))
		return valid(ed);
	return (!ed->exists && ed->new.len == 0) || commit(ed, false);
}

bool
vmedit_set(int dir, const char *name, const char *key, const char *value, struct vmconf_error *e)
{
	struct edit ed;
	const bool ok = begin(&ed, dir, name, e) && read_old(&ed) && set(&ed, key, value);

	finish(&ed);
	return ok;
}

/* The words of the old line but this one, and it at the end if it is to be there. */
static bool
tag_list(const struct edit *ed, const char *tag, bool there, char *out, size_t size)
{
	struct parts p;
	size_t n, len = 0, word;
	const char *line = find(&ed->old, "tags", &n, &p);

	out[0] = '\0';
	for (size_t i = line != NULL ? p.val : 0; line != NULL && i < p.val_end; i += word) {
		for (word = 0; i + word < p.val_end && !blank(line[i + word]); word++)
			;
		if (word > 0 && (word != strlen(tag) || memcmp(line + i, tag, word) != 0))
			len += (size_t)snprintf(out + len, len < size ? size - len : 0, "%s%.*s",
			    len > 0 ? " " : "", (int)word, line + i);
		word += word == 0;
		if (len >= size)
			return false;
	}
	if (there)
		len += (size_t)snprintf(out + len, size - len, "%s%s", len > 0 ? " " : "", tag);
	return len < size;
}

bool
vmedit_tag(int dir, const char *name, const char *tag, bool there, struct vmconf_error *e)
{
	char list[(VM_TAGS + 1) * (VM_TAG_LEN + 1)];
	struct edit ed;
	bool ok = begin(&ed, dir, name, e) && read_old(&ed);

	if (ok && (tag[0] == '\0' || strpbrk(tag, " \t") != NULL))
		ok = refused(&ed, "tags: not a tag");
	if (ok && !tag_list(&ed, tag, there, list, sizeof(list)))
		ok = refused(&ed, "tags: too long");
	ok = ok && set(&ed, "tags", list[0] != '\0' ? list : NULL);
	finish(&ed);
	return ok;
}

/* Keys whose value is a qube. */
static const char *const references[] = {"template", "netvm", "default_dispvm", "guivm", "audiovm",
    "relayvm", "management_dispvm", "default_template", "clockvm", "updatevm", NULL};

/* How often one file names it. */
static size_t
used_by(int dir, const char *name, const char *by, vmedit_used *used, void *arg)
{
	struct buf text = {.max = FILE_MAX + 2};
	char value[NAME_LEN_MAX + 2];
	size_t n = 0;

	if (buf_read_file(&text, dir, by))
		for (const char *const *key = references; *key != NULL; key++)
			if (vmedit_value(&text, *key, value, sizeof(value)) &&
			    strcmp(value, name) == 0) {
				used(arg, by, *key);
				n++;
			}
	buf_free(&text);
	return n;
}

/* A disposable that nobody has got yet: startd throws it away when what it is made of has gone. */
static bool
kept_ready(const char *name)
{
	char path[sizeof RUN_PRELOAD + NAME_LEN_MAX + 2];

	snprintf(path, sizeof path, RUN_PRELOAD "/%.31s", name);
	return access(path, F_OK) == 0;
}

size_t
vmedit_users(int dir, const char *name, vmedit_used *used, void *arg)
{
	const int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *f;
	size_t n = 0;

	if (d == NULL) {
		if (fd >= 0)
			close(fd);
		used(arg, "vm.d", "unreadable");
		return 1;
	}
	while ((f = readdir(d)) != NULL)
		if (name_ok(f->d_name) && strcmp(f->d_name, name) != 0 && !kept_ready(f->d_name))
			n += used_by(dir, name, f->d_name, used, arg);
	closedir(d);
	return n;
}

/* The names of all files there stay for as long as we have the lock. */
static bool
unused(const struct edit *ed, vmedit_used *used, void *arg)
{
	if (vmedit_users(ed->dir, ed->name, used, arg) == 0)
		return true;
	refused(ed, "in use by others");
	errno = EBUSY;
	return false;
}

/* That it is to go is known from before it goes: whoever is interrupted here is gone on from. */
static bool
take_away(const struct edit *ed)
{
	char mark[NAME_LEN_MAX + 8];
	int fd, err;

	if (faccessat(ed->dir, ed->name, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	unlinkat(ed->dir, ed->temp, 0);
	mark_of(ed->name, mark);
	fd = openat(ed->dir, mark, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd >= 0) /* a full disk is no reason to keep it */
		close(fd);
	if (fsync(ed->dir) == 0 && unlinkat(ed->dir, ed->name, 0) == 0)
		return fsync(ed->dir) == 0;
	err = errno;
	unlinkat(ed->dir, mark, 0);
	errno = err;
	return false;
}

bool
vmedit_remove_unused(
    int dir, const char *name, vmedit_used *used, void *arg, struct vmconf_error *e)
{
	struct edit ed;
	bool ok = begin(&ed, dir, name, e) && (used == NULL || unused(&ed, used, arg));

	ok = ok && (take_away(&ed) || fails(&ed, "cannot be removed"));
	finish(&ed);
	return ok;
}

bool
vmedit_remove(int dir, const char *name, struct vmconf_error *e)
{
	return vmedit_remove_unused(dir, name, NULL, NULL, e);
}
