/* SPDX-License-Identifier: ISC */
/* Each change of the file system, and the locks. */
#include "storage-ops.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "loop.h"
#include "paths.h"
#include "storage-int.h"

#define LOCKS ".lock"
#define LOCK_LINKS 1 /* byte 0 is nobody's */
#define LOCK_BITS 61
#define LOCK_S 10 /* until one that a stopped command has is not waited for any more */

struct store store = {.var = VAR_DIR, .etc = ETC_VM, .state = RUN_STATE, .locks = -1};

static void
say_why(const char *fmt, va_list ap)
{
	vsnprintf(store.why, sizeof store.why, fmt, ap);
}

const char *
failure(const char *fmt, ...)
{
	const int err = errno;
	va_list ap;

	va_start(ap, fmt);
	say_why(fmt, ap);
	va_end(ap);
	errno = err;
	if (err != ETIMEDOUT)
		return store.why;
	return refuse("%s/" STORAGE_APPVMS "/" LOCKS
		      " has been held by a command for %d s: grep -l "
		      "'OFDLCK.* 1 1$' /proc/[0-9]*/fdinfo/* says by which",
	    store.var, LOCK_S);
}

const char *
refuse(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say_why(fmt, ap);
	va_end(ap);
	errno = 0;
	return store.why;
}

void
close_fd(int *fd)
{
	const int err = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = err;
}

int
open_dir(int dir, const char *path)
{
	return openat(dir, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

DIR *
list_dir(int dir)
{
	int copy = open_dir(dir, ".");
	DIR *d = copy >= 0 ? fdopendir(copy) : NULL;

	if (!d)
		close_fd(&copy);
	return d;
}

bool
is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

#ifdef STORAGE_CUT
struct storage_cut storage_cut;

/* Power goes here, or this one fails. */
static bool
goes(const char *op, const char *what)
{
	struct storage_cut *c = &storage_cut;

	if (++c->n != c->at)
		return true;
	snprintf(c->what, sizeof c->what, "%s %s", op, what);
	if (c->err == 0) {
		if (c->report >= 0 && write(c->report, c->what, strlen(c->what)) < 0)
			_exit(STORAGE_CUT_EXIT + 1);
		_exit(STORAGE_CUT_EXIT);
	}
	errno = c->err;
	return false;
}
#else
#define goes(op, what) true
#endif

bool
op_mkdir(int dir, const char *name, mode_t mode)
{
	struct stat st;
	int fd;
	bool ok;

	if (!goes("mkdir", name) || mkdirat(dir, name, 0700) < 0 || (fd = open_dir(dir, name)) < 0)
		return false;
	/* who else may write dir may have put another one, or a link, in its place by now */
	errno = EPERM;
	ok = fstat(fd, &st) == 0 && st.st_uid == geteuid() && fchmod(fd, mode) == 0;
	close_fd(&fd);
	return ok;
}

bool
op_rename(int dir, const char *from, const char *to)
{
	return goes("rename", to) && renameat(dir, from, dir, to) == 0;
}

bool
op_link(int dir, const char *target, const char *name)
{
	char tmp[LEAF + 8];

	snprintf(tmp, sizeof tmp, ".%s.link", name);
	return op_unlink(dir, tmp, 0) && goes("symlink", name) &&
	       symlinkat(target, dir, tmp) == 0 && op_rename(dir, tmp, name);
}

bool
op_unlink(int dir, const char *name, int flags)
{
	if (faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
		return true;
	return goes("unlink", name) && (unlinkat(dir, name, flags) == 0 || errno == ENOENT);
}

bool
op_sync(int fd)
{
	return goes("fsync", "") && fsync(fd) == 0;
}

bool
op_step(const char *what)
{
	(void)what;
	return goes("write", what);
}

/* Locks. */

static bool
lock_file(void)
{
	int base;

	if (store.locks >= 0)
		return true;
	base = open_base(false);
	if (base < 0)
		return false;
	store.locks = openat(base, LOCKS, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0660);
	if (store.locks >= 0)
		(void)fchmod(store.locks, 0660); /* its owner; for others it is so already */
	close_fd(&base);
	return store.locks >= 0;
}

static void
on_alarm(int sig)
{
	(void)sig; /* fcntl ends with EINTR */
}

static bool
lock_at(uint64_t at, short type, unsigned wait_s)
{
	static const struct sigaction end = {.sa_handler = on_alarm};
	struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)at, .l_len = 1};
	const uint64_t until = now_ms() + wait_s * 1000u;
	int r;

	if (!lock_file() || (wait_s > 0 && sigaction(SIGALRM, &end, NULL) < 0))
		return false;
	if (wait_s > 0)
		(void)alarm(wait_s);
	do
		r = fcntl(store.locks, wait_s > 0 ? F_OFD_SETLKW : F_OFD_SETLK, &l);
	while (r < 0 && errno == EINTR && (wait_s == 0 || now_ms() < until));
	if (wait_s > 0)
		(void)alarm(0);
	if (r < 0)
		errno = errno == EACCES ? EAGAIN : errno == EINTR ? ETIMEDOUT : errno;
	return r == 0;
}

/* FNV-1a, above the few that have a meaning. */
static uint64_t
place(const char *kind, const void *p, size_t n)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (; *kind; kind++)
		h = (h ^ (uint8_t)*kind) * 0x100000001b3u;
	for (const uint8_t *b = p; n > 0; n--)
		h = (h ^ *b++) * 0x100000001b3u;
	return (h & ((1ull << LOCK_BITS) - 1)) | (1ull << LOCK_BITS);
}

bool
lock_name(const char *name, short type)
{
	return lock_at(place("name", name, strlen(name)), type, 0);
}

bool
lock_name_soon(const char *name)
{
	return lock_at(place("name", name, strlen(name)), F_WRLCK, LOCK_S);
}

void
unlock_name(const char *name)
{
	const int err = errno;

	(void)lock_at(place("name", name, strlen(name)), F_UNLCK, 0);
	errno = err;
}

bool
lock_inode(int fd, short type)
{
	struct stat st;
	uint64_t id[2];

	if (fstat(fd, &st) < 0)
		return false;
	id[0] = st.st_dev;
	id[1] = st.st_ino;
	return lock_at(place("inode", id, sizeof id), type, 0);
}

bool
lock_links(bool on)
{
	const int err = errno;
	const bool ok = lock_at(LOCK_LINKS, on ? F_WRLCK : F_UNLCK, on ? LOCK_S : 0);

	if (!on)
		errno = err;
	return ok;
}

void
unlock_all(void)
{
	close_fd(&store.locks);
}

/* What there is. */

bool
has_file(const char *name)
{
	char path[512];
	struct stat st;

	snprintf(path, sizeof path, "%s/%s", store.etc, name);
	return lstat(path, &st) == 0 || errno != ENOENT;
}

bool
runs(const char *name)
{
	char path[512];

	snprintf(path, sizeof path, "%s/%s", store.state, name);
	return access(path, F_OK) == 0;
}

bool
is_template(const struct vmconf *c)
{
	return strcmp(c->type, "TemplateVM") == 0;
}

bool
keeps_root(const struct vmconf *c)
{
	return is_template(c) || strcmp(c->type, "StandaloneVM") == 0;
}

bool
keeps_private(const struct vmconf *c)
{
	return keeps_root(c) || strcmp(c->type, "AppVM") == 0;
}

int
open_base(bool template)
{
	const char *name = template ? STORAGE_TEMPLATES : STORAGE_APPVMS;
	int var = open(store.var, O_RDONLY | O_DIRECTORY | O_CLOEXEC), base;

	if (var < 0)
		return -1;
	base = open_dir(var, name);
	/* made at boot with the right owner; here only when that has not been */
	if (base < 0 && errno == ENOENT && mkdirat(var, name, 0755) == 0)
		base = open_dir(var, name);
	close_fd(&var);
	return base;
}

/* One that was made by who was ended before it could have its name. */
static int
open_ready(int base, const char *name)
{
	char ready[LEAF];
	int fd = -1;

	snprintf(ready, sizeof ready, ".%s.ready", name);
	if (has_file(name) && op_rename(base, ready, name))
		fd = open_dir(base, name);
	return fd;
}

int
open_qube(const char *name, bool template)
{
	int base = open_base(template), fd;

	if (base < 0)
		return -1;
	fd = open_dir(base, name);
	if (fd < 0 && errno == ENOENT && (fd = open_ready(base, name)) < 0)
		errno = ENOENT;
	close_fd(&base);
	return fd;
}

int
open_own(const struct vmconf *c)
{
	return open_qube(c->name, is_template(c));
}
