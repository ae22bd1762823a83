/* SPDX-License-Identifier: ISC */
/*
 * Channels of the local backend: sockets in RUN_LOCAL/NAME, which is the qube's own /run/vchan. A
 * qube may make and swap anything there at any time, so nothing there is followed: what is opened
 * is looked at by descriptor, and what is made is made elsewhere and renamed in.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "backend.h"
#include "grant.h"
#include "ids.h"
#include "log.h"
#include "paths.h"
#include "request.h"
#include "sock.h"

#define FRESH RUN_LOCAL "/.new"
#define SCAN_MAX 4096 /* names of one directory that are looked at; all, when a domain ends */
#define CHANNEL_LEN 64

const uint32_t backend_capabilities = 1u << CAP_DAC_OVERRIDE | 1u << CAP_FOWNER;

static struct {
	int inotify; /* of the qubes' directories */
	domain_fn *gone, *came;
} b = {.inotify = -1};

static void
name_of(char out[CHANNEL_LEN], uint32_t server, uint32_t client, uint32_t port)
{
	snprintf(out, CHANNEL_LEN, "vchan.%u.%u.%u.sock", server, client, port);
}

bool
channel_name(const char *untrusted, uint32_t *server, uint32_t *client, uint32_t *port)
{
	char copy[CHANNEL_LEN], canonical[CHANNEL_LEN], *p = copy, *field[5];
	const size_t n = strnlen(untrusted, sizeof copy);

	if (n == sizeof copy)
		return false;
	memcpy(copy, untrusted, n + 1);
	for (int i = 0; i < 5; i++)
		if ((field[i] = strsep(&p, ".")) == NULL)
			return false;
	if (p || !parse_u32(field[1], UINT32_MAX, server) ||
	    !parse_u32(field[2], UINT32_MAX, client) || !parse_u32(field[3], CHAN_PORT_MAX, port))
		return false;
	name_of(canonical, *server, *client, *port);
	return strcmp(canonical, untrusted) == 0;
}

/* Not running_find: what happened since is looked at when its turn comes. */
static const struct domain *
find(uint32_t domid)
{
	const struct domain *d = running_first();

	while (d && d->domid != domid)
		d = d->next;
	return d;
}

/* Of one of the qube's own users. */
static bool
is_its(const struct domain *d, uid_t uid)
{
	const uid_t low = LOCAL_UID_BASE + LOCAL_UID_RANGE * d->qid;

	return uid >= low && uid - low < LOCAL_UID_RANGE;
}

/* A socket that the qube itself made: an O_PATH descriptor and its name below /proc, or -1. */
static int
own_socket(const struct domain *d, const char *name, char proc[32])
{
	const int fd = openat(d->dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0 || !S_ISSOCK(st.st_mode) || !is_its(d, st.st_uid)) {
		close(fd);
		errno = EPERM;
		return -1;
	}
	snprintf(proc, 32, "/proc/self/fd/%d", fd);
	return fd;
}

/* Between qubes: d's server becomes visible where its client looks. */
static void
link_in(const struct domain *d, const char *name, uint32_t client)
{
	const struct domain *to = client != 0 && client != d->domid ? find(client) : NULL;
	char proc[32];
	int fd;

	if (!to)
		return;
	fd = own_socket(d, name, proc);
	if (fd < 0)
		return;
	if (chmod(proc, 0666) < 0 || (unlinkat(to->dir, name, 0) < 0 && errno != ENOENT) ||
	    linkat(AT_FDCWD, proc, to->dir, name, AT_SYMLINK_FOLLOW) < 0)
		logit("%s: %s not linked for %s: %s", d->name, name, to->name, strerror(errno));
	close(fd);
}

static void
look(const struct domain *d, const char *untrusted_name, bool there)
{
	uint32_t server, client, port;
	const struct domain *to;

	if (!channel_name(untrusted_name, &server, &client, &port) || server != d->domid)
		return;
	if (there && client == 0)
		b.came(d);
	else if (there)
		link_in(d, untrusted_name, client);
	else if ((to = find(client)) != NULL && to != d)
		(void)unlinkat(to->dir, untrusted_name, 0);
}

/* Everything in d's directory; with of: only the servers for that one, and with drop: removes those
 * of it. */
static void
scan(const struct domain *d, const struct domain *of, bool drop)
{
	const int fd = openat(d->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *f;
	uint32_t server, client, port;

	for (int i = 0; dir && (drop || i < SCAN_MAX) && (f = readdir(dir)) != NULL; i++) {
		if (!channel_name(f->d_name, &server, &client, &port))
			continue;
		if (drop && server == of->domid)
			(void)unlinkat(d->dir, f->d_name, 0);
		else if (!drop && (!of || client == of->domid))
			look(d, f->d_name, true);
	}
	if (dir)
		closedir(dir);
}

static void
ended(struct domain *d)
{
	for (const struct domain *o = running_first(); o; o = o->next)
		scan(o, d, true);
	b.gone(d);
	inotify_rm_watch(b.inotify, d->wd);
	close(d->dir);
}

static bool
began(struct domain *d)
{
	char path[128];

	snprintf(path, sizeof path, RUN_LOCAL "/%s", d->name);
	d->dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	d->wd = inotify_add_watch(b.inotify, path,
	    IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM | IN_ONLYDIR | IN_DONT_FOLLOW);
	if (d->dir < 0 || d->wd < 0) {
		logit("%s: %s: %s", d->name, path, strerror(errno));
		if (d->dir >= 0)
			close(d->dir);
		return false;
	}
	scan(d, NULL, false);
	for (const struct domain *o = running_first(); o; o = o->next)
		if (o != d)
			scan(o, d, false);
	return true;
}

static void
event(const struct inotify_event *e)
{
	const struct domain *d = running_first();

	while (d && d->wd != e->wd)
		d = d->next;
	if (d && e->len > 0)
		look(d, e->name, e->mask & (IN_CREATE | IN_MOVED_TO));
}

static void
on_inotify(struct loop *l, int fd, short revents, void *arg)
{
	char buf[16384] __attribute__((aligned(8)));
	const ssize_t n = read(fd, buf, sizeof buf);
	bool lost = false;

	(void)l, (void)revents, (void)arg;
	for (ssize_t at = 0; at + (ssize_t)sizeof(struct inotify_event) <= n;) {
		const struct inotify_event *e = (const void *)(buf + at);

		lost = lost || (e->mask & IN_Q_OVERFLOW);
		event(e);
		at += (ssize_t)(sizeof *e + e->len);
	}
	for (const struct domain *d = running_first(); lost && d; d = d->next)
		scan(d, NULL, false);
}

void
backend_start(struct loop *l, domain_fn *gone, domain_fn *came)
{
	static const struct running_fns fns = {began, ended};

	b.gone = gone;
	b.came = came;
	b.inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (b.inotify < 0 || (mkdir(FRESH, 0700) < 0 && errno != EEXIST) ||
	    !loop_add(l, b.inotify, POLLIN, on_inotify, NULL))
		die(FRESH);
	running_start(l, &fns);
}

int
backend_listen(const struct domain *d, uint32_t port, int *came)
{
	char name[CHANNEL_LEN], path[128];
	const int fd = sock_listen(FRESH "/s", 0666);

	*came = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return -1;
	name_of(name, 0, d->domid, port);
	snprintf(path, sizeof path, "%s/s", FRESH);
	if (*came >= 0 && renameat(AT_FDCWD, path, d->dir, name) == 0)
		return fd;
	if (*came >= 0)
		close(*came);
	close(fd);
	return -1;
}

void
backend_unlisten(const struct domain *d, uint32_t port)
{
	char name[CHANNEL_LEN];

	name_of(name, 0, d->domid, port);
	(void)unlinkat(d->dir, name, 0);
}

int
backend_connect(const struct domain *d, uint32_t port)
{
	char name[CHANNEL_LEN], proc[32];
	int at, fd, e;

	name_of(name, d->domid, 0, port);
	at = own_socket(d, name, proc);
	if (at < 0) {
		if (errno == ENOENT || errno == EPERM)
			errno = EAGAIN;
		return -1;
	}
	fd = sock_connect(proc);
	e = errno;
	close(at);
	errno = e == EAGAIN ? ECONNREFUSED : e; /* its backlog is full: soon again */
	return fd;
}

/* In a directory that the qube has made, and may make something else of at any time. */
int
backend_map(const struct domain *d, const uint32_t *untrusted_refs, size_t n)
{
	const int dir = openat(d->dir, "grants", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int fd = dir < 0 ? -1 : grant_file(dir, untrusted_refs, n), e = errno;
	struct stat st;

	if (fd >= 0 && (fstat(fd, &st) < 0 || !is_its(d, st.st_uid))) {
		close(fd);
		fd = -1;
		e = EACCES;
	}
	if (dir >= 0)
		close(dir);
	errno = e;
	return fd;
}

const char *
backend_why(int error)
{
	return grant_file_why(error);
}
