/* SPDX-License-Identifier: ISC */
/* libqubesdb: see qubesdb.h and qubesdb(3). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libqubesdb-wire.h"
#include "paths.h"

struct list {
	const char *prefix; /* what each key has to begin with */
	bool values;
	char **item; /* with values: key, value, key, value */
	unsigned int *lens;
	size_t n, cap, bytes;
};

static void *
fail(int e)
{
	errno = e;
	return NULL;
}

static bool
address(struct sockaddr_un *a, const char *dir, const char *vmname, const char *end)
{
	int n;

	a->sun_family = AF_UNIX;
	n = snprintf(a->sun_path, sizeof(a->sun_path), "%s/qubesdb%s%s.%s", dir,
	    vmname != NULL ? "." : "", vmname != NULL ? vmname : "", end);
	return n > 0 && (size_t)n < sizeof(a->sun_path);
}

qdb_handle_t
qdb_open_dir(const char *dir, const char *vmname)
{
	struct qdb_handle *h;
	int e;

	if (vmname != NULL && (*vmname == '\0' || *vmname == '.' || strchr(vmname, '/') != NULL))
		return fail(EINVAL);
	h = calloc(1, sizeof(*h));
	if (h == NULL)
		return NULL;
	h->fd = h->poll = h->bell = -1;
	h->last = &h->first;
	if (!address(&h->rw, dir, vmname, "sock") || !address(&h->ro, dir, vmname, "ro.sock"))
		errno = ENAMETOOLONG;
	else if (qdb_link_connect(h))
		return h;
	e = errno;
	free(h);
	return fail(e);
}

qdb_handle_t
qdb_open(char *vmname)
{
	return qdb_open_dir(RUN_DIR, vmname);
}

void
qdb_close(qdb_handle_t h)
{
	if (h == NULL)
		return;
	if (h->fd >= 0)
		close(h->fd);
	if (h->poll >= 0)
		close(h->poll);
	if (h->bell >= 0)
		close(h->bell);
	qdb_link_drop_events(h);
	free(h);
}

static struct qdb_hdr
request(enum qdb_type type, const char *path, size_t len)
{
	struct qdb_hdr req = {.type = (uint8_t)type, .len = (uint32_t)len};

	memcpy(req.path, path, strlen(path));
	return req;
}

static char *
copy(const char *p, size_t n)
{
	char *s = malloc(n + 1);

	if (s != NULL) {
		memcpy(s, p, n);
		s[n] = '\0';
	}
	return s;
}

char *
qdb_read(qdb_handle_t h, char *path, unsigned int *value_len)
{
	struct qdb_hdr req, m;
	const char *v;
	char *s = NULL;

	if (h == NULL || !qdb_path_ok(path))
		return fail(EINVAL);
	req = request(QDB_READ, path, 0);
	if (qdb_link_ask(h, &req, NULL, &m, &v)) {
		if (m.type == QDB_R_READ && strcmp(m.path, path) == 0)
			s = copy(v, m.len);
		else if (m.type == QDB_R_READ)
			qdb_link_lost(h, EPROTO);
		else
			qdb_link_refused(h, &m);
	}
	qdb_link_settle(h);
	if (s != NULL && value_len != NULL)
		*value_len = m.len;
	return s;
}

/* What is answered with OK or not at all. */
static int
plain(struct qdb_handle *h, enum qdb_type type, const char *path, const char *data, size_t len)
{
	struct qdb_hdr req, m;
	const char *v;
	bool ok;

	req = request(type, path, len);
	ok = qdb_link_ask(h, &req, data, &m, &v) && (m.type == QDB_OK || qdb_link_refused(h, &m));
	qdb_link_settle(h);
	return ok;
}

int
qdb_write(qdb_handle_t h, char *path, char *value, unsigned int value_len)
{
	if (h == NULL || !qdb_key_ok(path) || (value == NULL && value_len > 0))
		return fail(EINVAL) != NULL;
	if (value_len > QDB_VALUE_MAX)
		return fail(EMSGSIZE) != NULL;
	if (value_len > 0 && memchr(value, '\0', value_len) != NULL)
		return fail(EINVAL) != NULL;
	return plain(h, QDB_WRITE, path, value, value_len);
}

int
qdb_rm(qdb_handle_t h, char *path)
{
	if (h == NULL || !qdb_path_ok(path))
		return fail(EINVAL) != NULL;
	return plain(h, QDB_RM, path, NULL, 0) || errno == ENOENT;
}

int
qdb_watch(qdb_handle_t h, char *path)
{
	if (h == NULL || !qdb_path_ok(path))
		return fail(EINVAL) != NULL;
	if (!plain(h, QDB_WATCH, path, NULL, 0))
		return 0;
	h->watches = true;
	return 1;
}

int
qdb_unwatch(qdb_handle_t h, char *path)
{
	if (h == NULL || !qdb_path_ok(path))
		return fail(EINVAL) != NULL;
	return plain(h, QDB_UNWATCH, path, NULL, 0);
}

char *
qdb_read_watch(qdb_handle_t h)
{
	struct qdb_hdr m;
	const char *v;
	char *s = NULL;

	if (h == NULL)
		return fail(EINVAL);
	if (h->first != NULL) {
		struct event *ev = h->first;
		s = copy(ev->path, strlen(ev->path));
		if (s == NULL)
			return NULL;
		h->first = ev->next;
		if (h->first == NULL)
			h->last = &h->first;
		h->events--;
		free(ev);
	} else if (h->fd < 0) {
		errno = EPIPE;
	} else if (qdb_link_get(h, &m, &v, true)) {
		if (m.type == QDB_R_WATCH)
			s = copy(m.path, strlen(m.path));
		else
			qdb_link_lost(h, EPROTO);
	}
	qdb_link_settle(h);
	return s;
}

int
qdb_watch_fd(qdb_handle_t h)
{
	struct epoll_event ev = {.events = EPOLLIN};
	int e;

	if (h == NULL || h->poll >= 0) {
		errno = h == NULL ? EINVAL : errno;
		return h == NULL ? -1 : h->poll;
	}
	h->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	h->poll = epoll_create1(EPOLL_CLOEXEC);
	h->ringing = false;
	if (h->bell >= 0 && h->poll >= 0 && epoll_ctl(h->poll, EPOLL_CTL_ADD, h->bell, &ev) == 0 &&
	    (h->fd < 0 || qdb_link_polled(h))) {
		qdb_link_settle(h);
		return h->poll;
	}
	e = errno;
	if (h->bell >= 0)
		close(h->bell);
	if (h->poll >= 0)
		close(h->poll);
	h->bell = h->poll = -1;
	errno = e;
	return -1;
}

static void
list_free(struct list *l)
{
	for (size_t i = 0; i < l->n * (l->values ? 2 : 1); i++)
		free(l->item[i]);
	free(l->item);
	free(l->lens);
	*l = (struct list){0};
}

/* Room for one more entry and the end. */
static bool
list_grow(struct list *l)
{
	const size_t per = l->values ? 2 : 1;
	size_t cap = l->cap == 0 ? 16 : l->cap * 2;
	void *p;

	if (l->n + 1 < l->cap)
		return true;
	p = realloc(l->item, cap * per * sizeof(*l->item));
	if (p == NULL)
		return false;
	l->item = p;
	p = realloc(l->lens, cap * sizeof(*l->lens));
	if (p == NULL)
		return false;
	l->lens = p;
	l->cap = cap;
	return true;
}

static bool
list_add(struct list *l, const struct qdb_hdr *m, const char *value)
{
	const size_t n = strlen(m->path);
	char *key, *val = NULL;

	l->bytes += n + m->len;
	if (l->n >= QDB_LIST_MAX || l->bytes > QDB_LIST_BYTES)
		return fail(E2BIG) != NULL;
	if (!list_grow(l))
		return false;
	key = copy(m->path, n);
	if (l->values)
		val = copy(value, m->len);
	if (key == NULL || (l->values && val == NULL)) {
		free(key);
		free(val);
		return false;
	}
	l->item[l->values ? 2 * l->n : l->n] = key;
	if (l->values)
		l->item[2 * l->n + 1] = val;
	l->lens[l->n++] = m->len;
	return true;
}

/* All of an answer to req. What ends in the midst of it ends the connection. */
static bool
list_take(struct qdb_handle *h, const struct qdb_hdr *req, struct list *l)
{
	const uint8_t type = l->values ? QDB_R_MULTIREAD : QDB_R_LIST;
	const size_t n = strlen(l->prefix);
	struct qdb_hdr m;
	const char *v;

	if (!list_grow(l)) /* before anything is asked */
		return false;
	if (!qdb_link_ask(h, req, NULL, &m, &v))
		return false;
	if (m.type != type)
		return qdb_link_refused(h, &m);
	while (m.path[0] != '\0') {
		if (strncmp(m.path, l->prefix, n) != 0)
			return qdb_link_lost(h, EPROTO);
		if (!list_add(l, &m, v))
			return qdb_link_lost(h, errno);
		if (!qdb_link_answer(h, &m, &v))
			return false;
		if (m.type != type)
			return qdb_link_lost(h, EPROTO);
	}
	l->item[l->values ? 2 * l->n : l->n] = NULL;
	if (l->values)
		l->item[2 * l->n + 1] = NULL;
	return true;
}

static char **
list_ask(struct qdb_handle *h, enum qdb_type type, const char *path, struct list *l)
{
	const struct qdb_hdr req = request(type, path, 0);
	const bool ok = list_take(h, &req, l);

	if (!ok) {
		int e = errno;
		list_free(l);
		errno = e;
	}
	qdb_link_settle(h);
	return ok ? l->item : NULL;
}

char **
qdb_list(qdb_handle_t h, char *path, unsigned int *list_len)
{
	struct list l = {.prefix = path};
	char **item;

	if (h == NULL || path == NULL || (*path != '\0' && !qdb_path_ok(path)))
		return fail(EINVAL);
	item = list_ask(h, QDB_LIST, path, &l);
	free(l.lens);
	if (item != NULL && list_len != NULL)
		*list_len = (unsigned int)l.n;
	return item;
}

char **
qdb_multiread(qdb_handle_t h, char *path, unsigned int **values_len, unsigned int *list_len)
{
	struct list l = {.prefix = path, .values = true};
	char **item;

	if (h == NULL || path == NULL || (*path != '\0' && !qdb_path_ok(path)))
		return fail(EINVAL);
	item = list_ask(h, QDB_MULTIREAD, path, &l);
	if (item != NULL && list_len != NULL)
		*list_len = (unsigned int)l.n;
	if (item != NULL && values_len != NULL)
		*values_len = l.lens;
	else
		free(l.lens);
	return item;
}

static int
by_key(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

char **
qdb_list_of(qdb_handle_t h, const char *side, const char *path, unsigned int *list_len)
{
	char ask_for[QDB_PATH];
	struct list l = {.prefix = path};
	char **item;
	int n;

	if (h == NULL || !qdb_path_ok(path) || *path != '/')
		return fail(EINVAL);
	n = snprintf(ask_for, sizeof(ask_for), "%s%s", side, path);
	if (n < 0 || (size_t)n >= sizeof(ask_for))
		return fail(ENAMETOOLONG);
	item = list_ask(h, QDB_LIST, ask_for, &l);
	free(l.lens);
	if (item == NULL)
		return NULL;
	qsort(item, l.n, sizeof(*item), by_key);
	*list_len = (unsigned int)l.n;
	return item;
}
