/* SPDX-License-Identifier: ISC */
/*
 * Channels of the local backend: sockets in RUN_LOCAL/NAME, which is the qube's own /run/vchan. A
 * qube may make and swap anything there at any time, so nothing there is followed: what is opened
 * is looked at by descriptor, and what is made is made elsewhere and renamed in.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
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
#include "ids.h"
#include "log.h"
#include "paths.h"
#include "request.h"
#include "sock.h"
#include "state.h"

#define FRESH RUN_LOCAL "/.new"
#define SCAN_MAX 4096 /* names of one directory that are looked at */
#define CHANNEL_LEN 64

static struct {
	struct domain *domains;
	int inotify, states, state_wd;
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

static const struct domain *
find(uint32_t domid, uint32_t qid)
{
	for (const struct domain *d = b.domains; d; d = d->next)
		if (qid ? d->qid == qid : d->domid == domid)
			return d;
	return NULL;
}

/* A socket that the qube itself made: an O_PATH descriptor and its name below /proc, or -1. */
static int
own_socket(const struct domain *d, const char *name, char proc[32])
{
	const uid_t low = LOCAL_UID_BASE + LOCAL_UID_RANGE * d->qid;
	const int fd = openat(d->dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0 || !S_ISSOCK(st.st_mode) || st.st_uid < low ||
	    st.st_uid - low >= LOCAL_UID_RANGE) {
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
	const struct domain *to = client != 0 && client != d->domid ? find(client, 0) : NULL;
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
	else if ((to = find(client, 0)) != NULL && to != d)
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

	for (int i = 0; dir && i < SCAN_MAX && (f = readdir(dir)) != NULL; i++) {
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
remove_domain(const char *name)
{
	struct domain **at = &b.domains, *d;

	while (*at && strcmp((*at)->name, name) != 0)
		at = &(*at)->next;
	d = *at;
	if (!d)
		return;
	*at = d->next;
	for (const struct domain *o = b.domains; o; o = o->next)
		scan(o, d, true);
	b.gone(d);
	inotify_rm_watch(b.inotify, d->wd);
	close(d->dir);
	free(d);
}

static void
add_domain(const struct vm_state *st)
{
	char path[128];
	struct domain *d = calloc(1, sizeof *d);

	snprintf(path, sizeof path, RUN_LOCAL "/%s", st->name);
	if (!d)
		return;
	*d = (struct domain){.domid = st->domid, .qid = st->qid};
	memcpy(d->name, st->name, sizeof d->name);
	d->dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	d->wd = inotify_add_watch(b.inotify, path,
	    IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM | IN_ONLYDIR | IN_DONT_FOLLOW);
	if (d->dir < 0 || d->wd < 0) {
		logit("%s: %s: %s", st->name, path, strerror(errno));
		if (d->dir >= 0)
			close(d->dir);
		free(d);
		return;
	}
	d->next = b.domains;
	b.domains = d;
	scan(d, NULL, false);
	for (const struct domain *o = d->next; o; o = o->next)
		scan(o, d, false);
}

/* RUN_STATE/NAME was written or removed. */
static void
state_changed(const char *name)
{
	struct vm_state st;
	const struct domain *d = b.domains;

	if (!name_ok(name))
		return;
	while (d && strcmp(d->name, name) != 0)
		d = d->next;
	if (!state_read(b.states, name, &st)) {
		remove_domain(name);
	} else if (!d || d->domid != st.domid || d->qid != st.qid) {
		remove_domain(name);
		add_domain(&st);
	}
}

static void
all_states(void)
{
	const int fd = openat(b.states, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *f;

	while (dir && (f = readdir(dir)) != NULL)
		state_changed(f->d_name);
	if (dir)
		closedir(dir);
}

/* Events were lost: everything is looked at again. */
static void
overflow(void)
{
	struct domain *d = b.domains, *next;

	for (; d; d = next) {
		next = d->next;
		state_changed(d->name);
	}
	all_states();
	for (d = b.domains; d; d = d->next)
		scan(d, NULL, false);
}

static void
event(const struct inotify_event *e)
{
	const struct domain *d = b.domains;

	if (e->mask & IN_Q_OVERFLOW)
		return overflow();
	if (e->len == 0)
		return;
	if (e->wd == b.state_wd)
		return state_changed(e->name);
	while (d && d->wd != e->wd)
		d = d->next;
	if (d)
		look(d, e->name, e->mask & (IN_CREATE | IN_MOVED_TO));
}

static void
drain(struct loop *l, int fd, short revents, void *arg)
{
	char buf[16384] __attribute__((aligned(8)));
	const ssize_t n = read(b.inotify, buf, sizeof buf);

	(void)l;
	(void)fd;
	(void)revents;
	(void)arg;
	for (ssize_t at = 0; at + (ssize_t)sizeof(struct inotify_event) <= n;) {
		const struct inotify_event *e = (const void *)(buf + at);

		event(e);
		at += (ssize_t)(sizeof *e + e->len);
	}
}

void
backend_start(struct loop *l, domain_fn *gone, domain_fn *came)
{
	b.gone = gone;
	b.came = came;
	b.inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	b.states = open(RUN_STATE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	b.state_wd = inotify_add_watch(b.inotify, RUN_STATE, IN_MOVED_TO | IN_DELETE | IN_ONLYDIR);
	if (b.states < 0 || b.state_wd < 0 || (mkdir(FRESH, 0700) < 0 && errno != EEXIST) ||
	    !loop_add(l, b.inotify, POLLIN, drain, NULL))
		die("%s, %s", RUN_STATE, FRESH);
	all_states();
}

const struct domain *
backend_find(uint32_t domid, uint32_t qid)
{
	const struct domain *d = find(domid, qid);

	if (!d) { /* just started: what the watch has to say may not have been read yet */
		drain(NULL, -1, 0, NULL);
		d = find(domid, qid);
	}
	return d;
}

int
backend_listen(const struct domain *d, uint32_t port)
{
	char name[CHANNEL_LEN], path[128];
	const int fd = sock_listen(FRESH "/s", 0666);

	if (fd < 0)
		return -1;
	name_of(name, 0, d->domid, port);
	snprintf(path, sizeof path, "%s/s", FRESH);
	if (renameat(AT_FDCWD, path, d->dir, name) == 0)
		return fd;
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
