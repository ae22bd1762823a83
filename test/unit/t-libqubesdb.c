/* SPDX-License-Identifier: ISC */
/* libqubesdb against a daemon that speaks exact bytes, decent or hostile (spec/qubesdb 3, 6). */
#include "tap.h"

#include <linux/sockios.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "libqubesdb/libqubesdb.h"
#include "qdb/qdb.h"
#include "sock.h"

#define HDR sizeof(struct qdb_hdr)

/* ---- bytes ---- */

struct bytes {
	uint8_t *p;
	size_t n, cap;
};

static void
add(struct bytes *b, const void *p, size_t n)
{
	if (b->n + n >= b->cap) {
		b->cap = 2 * (b->n + n) + 1;
		b->p = realloc(b->p, b->cap);
		assert_non_null(b->p);
	}
	memcpy(b->p + b->n, p, n);
	b->n += n;
}

/* As the specification has it, not as the compiler lays a struct out. */
static void
msg_n(struct bytes *b, int type, const char *path, const void *data, size_t n)
{
	uint8_t h[72] = {(uint8_t)type};

	memcpy(h + 1, path, strlen(path));
	h[68] = (uint8_t)n;
	h[69] = (uint8_t)(n >> 8);
	add(b, h, sizeof(h));
	add(b, data, n);
}

static void
msg(struct bytes *b, int type, const char *path, const char *data)
{
	msg_n(b, type, path, data, strlen(data));
}

/* ---- a daemon that follows a script ---- */

enum act { ACCEPT, WANT, SEND, CLOSE, GONE, SIGNAL };
struct step {
	enum act act;
	struct bytes b;
	size_t cut; /* SEND: the rest comes when so much was taken */
};

static struct {
	int l, c;
	bool runs;
	struct step s[128];
	size_t n;
	const char *bad;
	size_t at;
	pthread_t t, client;
} f = {.l = -1, .c = -1};

static struct bytes *
step(enum act a)
{
	struct step *s = &f.s[f.n++];

	assert_true(f.n <= NELEM(f.s));
	*s = (struct step){.act = a};
	return &s->b;
}

static void
want(int type, const char *path, const char *data)
{
	msg(step(WANT), type, path, data);
}

static void
say(int type, const char *path, const char *data)
{
	msg(step(SEND), type, path, data);
}

static bool
taken(void)
{
	int left = 1;

	for (int i = 0; i < 2000000; i++) {
		if (ioctl(f.c, SIOCOUTQ, &left) < 0 || left == 0)
			return left == 0;
		sched_yield();
	}
	return false;
}

static bool
wanted(const struct bytes *b)
{
	uint8_t *got = malloc(b->n);
	const bool same =
	    recv(f.c, got, b->n, MSG_WAITALL) == (ssize_t)b->n && memcmp(got, b->p, b->n) == 0;

	free(got);
	return same;
}

static bool
sent(const uint8_t *p, size_t n)
{
	while (n > 0) {
		ssize_t r = send(f.c, p, n, MSG_NOSIGNAL);
		if (r < 0)
			return errno == EPIPE || errno == ECONNRESET; /* it has had enough */
		p += r;
		n -= (size_t)r;
	}
	return true;
}

static const char *
follow(const struct step *s)
{
	const struct timeval limit = {.tv_sec = 10};
	struct pollfd p = {.fd = f.l, .events = POLLIN};
	uint8_t b;

	switch (s->act) {
	case ACCEPT:
		if (poll(&p, 1, 10000) != 1 || (f.c = sock_accept(f.l)) < 0 ||
		    !fd_nonblock(f.c, false) ||
		    setsockopt(f.c, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0)
			return "nobody connects";
		return NULL;
	case WANT:
		return wanted(&s->b) ? NULL : "another request";
	case SEND:
		if (s->cut > 0 && (!sent(s->b.p, s->cut) || !taken()))
			return "not taken";
		return sent(s->b.p + s->cut, s->b.n - s->cut) ? NULL : "not sent";
	case GONE:
		return recv(f.c, &b, 1, 0) == 0 || errno == ECONNRESET ? NULL : "it has not closed";
	case SIGNAL:
		pthread_kill(f.client, SIGUSR1);
		return NULL;
	case CLOSE:
		break;
	}
	close(f.c);
	f.c = -1;
	return NULL;
}

static void *
daemon_(void *arg)
{
	for (f.at = 0; f.at < f.n && f.bad == NULL; f.at++)
		f.bad = follow(&f.s[f.at]);
	close(f.l); /* who connects once more is not left waiting */
	f.l = -1;
	if (f.bad != NULL && f.c >= 0)
		shutdown(f.c, SHUT_RDWR);
	return NULL;
}

static void
start(void)
{
	f.bad = NULL;
	f.client = pthread_self();
	f.l = sock_listen(in_dir("qubesdb.sock"), 0600);
	assert_true(f.l >= 0);
	f.runs = true;
	assert_int_equal(pthread_create(&f.t, NULL, daemon_, NULL), 0);
}

static void
drop_script(void)
{
	for (size_t i = 0; i < f.n; i++)
		free(f.s[i].b.p);
	if (f.c >= 0)
		close(f.c);
	f.c = -1;
	f.n = 0;
}

static void
ended(void)
{
	if (f.runs)
		pthread_join(f.t, NULL);
	f.runs = false;
	if (f.bad != NULL)
		fail_msg("step %zu: %s", f.at - 1, f.bad);
}

/* The script ran to its end. */
static void
finish(void)
{
	ended();
	drop_script();
}

/* After a test that failed. */
static int
clean(void **state)
{
	if (f.runs && f.c >= 0)
		shutdown(f.c, SHUT_RDWR);
	if (f.runs)
		pthread_join(f.t, NULL);
	f.runs = false;
	drop_script();
	return 0;
}

static qdb_handle_t
opened(void)
{
	qdb_handle_t h;

	start();
	h = qdb_open_dir(test_dir(), NULL);
	assert_non_null(h);
	return h;
}

static void
closed(qdb_handle_t h)
{
	finish();
	qdb_close(h);
}

#define fails(e, call)                                                                             \
	do {                                                                                       \
		errno = 0;                                                                         \
		assert_true(!(call));                                                              \
		assert_int_equal(errno, e);                                                        \
	} while (0)

static void
gives(char *got, const char *text)
{
	assert_non_null(got);
	assert_string_equal(got, text);
	free(got);
}

/* ---- decent ---- */

static void
requests_and_answers(void **state)
{
	unsigned int n = 99;
	qdb_handle_t h;

	step(ACCEPT);
	want(QDB_READ, "/a", "");
	say(QDB_R_READ, "/a", "value");
	want(QDB_READ, "/empty", "");
	say(QDB_R_READ, "/empty", "");
	want(QDB_READ, "/none", "");
	say(QDB_NOENT, "/none", "");
	want(QDB_READ, "/refused", "");
	say(QDB_ERROR, "/refused", "");
	want(QDB_WRITE, "/w", "v\xff\n");
	say(QDB_OK, "/w", "");
	want(QDB_WRITE, "/w", "");
	say(QDB_ERROR, "/w", "");
	want(QDB_RM, "/w", "");
	say(QDB_OK, "/w", "");
	want(QDB_RM, "/w/", "");
	say(QDB_NOENT, "/w/", "");
	want(QDB_RM, "/", "");
	say(QDB_ERROR, "/", "");
	want(QDB_WATCH, "/d/", "");
	say(QDB_OK, "/d/", "");
	say(QDB_R_WATCH, "/d/x", "");
	want(QDB_UNWATCH, "/d/", "");
	say(QDB_OK, "/d/", "");
	want(QDB_UNWATCH, "/d/", "");
	say(QDB_ERROR, "/d/", "");
	h = opened();
	gives(qdb_read(h, "/a", &n), "value");
	assert_int_equal(n, 5);
	gives(qdb_read(h, "/empty", NULL), "");
	fails(ENOENT, qdb_read(h, "/none", &n));
	fails(EACCES, qdb_read(h, "/refused", &n));
	assert_int_equal(qdb_write(h, "/w", "v\xff\n-", 3), 1);
	fails(EACCES, qdb_write(h, "/w", NULL, 0));
	assert_int_equal(qdb_rm(h, "/w"), 1);
	assert_int_equal(qdb_rm(h, "/w/"), 1);
	fails(EACCES, qdb_rm(h, "/"));
	assert_int_equal(qdb_watch(h, "/d/"), 1);
	gives(qdb_read_watch(h), "/d/x");
	assert_int_equal(qdb_unwatch(h, "/d/"), 1);
	fails(EACCES, qdb_unwatch(h, "/d/"));
	closed(h);
}

static void
free_all(char **p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(p[i]);
	assert_null(p[n]);
	free(p);
}

static void
lists(void **state)
{
	unsigned int n = 99, *lens;
	qdb_handle_t h;
	char **p;

	step(ACCEPT);
	want(QDB_LIST, "/d", "");
	say(QDB_R_LIST, "/d/1", "");
	say(QDB_R_LIST, "/d2", "");
	say(QDB_R_LIST, "", "");
	want(QDB_LIST, "", "");
	say(QDB_R_LIST, "", "");
	want(QDB_MULTIREAD, "/d/", "");
	say(QDB_R_MULTIREAD, "/d/1", "one");
	say(QDB_R_MULTIREAD, "/d/2", "");
	say(QDB_R_MULTIREAD, "", "");
	want(QDB_MULTIREAD, "", "");
	say(QDB_R_MULTIREAD, "", "");
	want(QDB_LIST, "//qube/b", "");
	say(QDB_R_LIST, "/b2", "");
	say(QDB_R_LIST, "/b1", "");
	say(QDB_R_LIST, "", "");
	want(QDB_LIST, "//dom0/", "");
	say(QDB_ERROR, "//dom0/", "");
	h = opened();
	p = qdb_list(h, "/d", &n);
	assert_int_equal(n, 2);
	assert_string_equal(p[0], "/d/1");
	assert_string_equal(p[1], "/d2");
	free_all(p, 2);
	free_all(qdb_list(h, "", NULL), 0);
	p = qdb_multiread(h, "/d/", &lens, &n);
	assert_int_equal(n, 2);
	assert_int_equal(lens[0], 3);
	assert_int_equal(lens[1], 0);
	assert_string_equal(p[1], "one");
	assert_string_equal(p[2], "/d/2");
	assert_null(p[5]);
	free(lens);
	free_all(p, 4);
	p = qdb_multiread(h, "", NULL, NULL);
	assert_null(p[1]);
	free_all(p, 0);
	p = qdb_list_of(h, QDB_OF_QUBE, "/b", &n);
	assert_int_equal(n, 2);
	assert_string_equal(p[0], "/b1");
	free_all(p, 2);
	fails(EACCES, qdb_list_of(h, QDB_OF_DOM0, "/", &n));
	closed(h);
}

static void
what_is_malformed_is_not_sent(void **state)
{
	char value[QDB_VALUE_MAX + 1], path[66] = "/";
	qdb_handle_t h;

	memset(path + 1, 'p', 62);
	memset(value, 'v', sizeof(value));
	step(ACCEPT);
	msg_n(step(WANT), QDB_WRITE, path, value, QDB_VALUE_MAX);
	say(QDB_OK, path, "");
	h = opened();
	assert_int_equal(qdb_write(h, path, value, QDB_VALUE_MAX), 1);
	finish();
	fails(EMSGSIZE, qdb_write(h, path, value, QDB_VALUE_MAX + 1));
	path[63] = 'p';
	fails(EINVAL, qdb_write(h, path, "v", 1));
	fails(EINVAL, qdb_read(h, path, NULL));
	fails(EINVAL, qdb_list(h, path, NULL));
	fails(EINVAL, qdb_multiread(h, path, NULL, NULL));
	fails(EINVAL, qdb_rm(h, path));
	fails(EINVAL, qdb_watch(h, path));
	fails(EINVAL, qdb_unwatch(h, path));
	fails(EINVAL, qdb_write(h, "/a", "b\0c", 3));
	fails(EINVAL, qdb_write(h, "/a", NULL, 1));
	fails(EINVAL, qdb_write(h, "a", "", 0));
	fails(EINVAL, qdb_write(h, "/a/", "", 0));
	fails(EINVAL, qdb_write(h, "", "", 0));
	fails(EINVAL, qdb_read(h, "", NULL));
	fails(EINVAL, qdb_read(h, NULL, NULL));
	fails(EINVAL, qdb_read(NULL, "/a", NULL));
	fails(EINVAL, qdb_list_of(h, QDB_OF_DOM0, "", NULL));
	path[58] = '\0';
	fails(ENAMETOOLONG, qdb_list_of(h, QDB_OF_DOM0, path, NULL));
	for (int c = 1; c < 256; c++) {
		const char p[] = {'/', 'x', (char)c, '\0'};
		const bool ok =
		    strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
			   "_/.:@-",
			c) != NULL;
		assert_int_equal(qdb_path_ok(p), ok);
	}
	assert_false(qdb_path_ok("-/a"));
	assert_true(qdb_key_ok("/a//..")); /* plain strings */
	qdb_close(h);
	qdb_close(NULL);
}

static void
sockets(void **state)
{
	char long_name[120] = "";
	struct qdb_handle *h;
	int ro;

	fails(EINVAL, qdb_open(""));
	fails(EINVAL, qdb_open("../x"));
	fails(EINVAL, qdb_open("."));
	memset(long_name, 'n', sizeof(long_name) - 1);
	fails(ENAMETOOLONG, qdb_open(long_name));
	fails(ENOENT, qdb_open_dir(test_dir(), "work"));
	ro = sock_listen(in_dir("qubesdb.work.ro.sock"), 0600);
	h = qdb_open_dir(test_dir(), "work");
	assert_non_null(h);
	assert_true(sock_accept(ro) >= 0);
	qdb_close(h);
	close(ro);
	fails(ENOENT, qdb_open_dir(test_dir(), "work"));
}

/* ---- messages come in any pieces ---- */

static void
split_at_every_byte(void **state)
{
	struct bytes all = {0};
	unsigned int n, *lens;
	qdb_handle_t h;
	char **p;

	msg(&all, QDB_R_WATCH, "/w", "");
	msg(&all, QDB_R_MULTIREAD, "/a", "first");
	msg(&all, QDB_R_WATCH, "/w/2", "");
	msg(&all, QDB_R_MULTIREAD, "/b", "second");
	msg(&all, QDB_R_MULTIREAD, "", "");
	msg(&all, QDB_R_WATCH, "/w/3", "");
	for (size_t cut = 1; cut < all.n; cut++) {
		step(ACCEPT);
		want(QDB_MULTIREAD, "/", "");
		add(step(SEND), all.p, all.n);
		f.s[f.n - 1].cut = cut;
		h = opened();
		p = qdb_multiread(h, "/", &lens, &n);
		assert_non_null(p);
		assert_int_equal(n, 2);
		assert_int_equal(lens[1], 6);
		assert_string_equal(p[1], "first");
		assert_string_equal(p[3], "second");
		free(lens);
		free_all(p, 4);
		gives(qdb_read_watch(h), "/w");
		gives(qdb_read_watch(h), "/w/2");
		gives(qdb_read_watch(h), "/w/3");
		closed(h);
	}
	free(all.p);
}

/* ---- watches ---- */

static bool
readable(int fd)
{
	return poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 0) == 1;
}

static void
events_before_an_answer(void **state)
{
	static const struct {
		int type, answer;
	} calls[] = {{QDB_READ, QDB_R_READ}, {QDB_WRITE, QDB_OK}, {QDB_RM, QDB_NOENT},
	    {QDB_WATCH, QDB_OK}, {QDB_UNWATCH, QDB_OK}};
	qdb_handle_t h;
	char name[8];
	int fd;

	step(ACCEPT);
	for (size_t i = 0; i < NELEM(calls); i++) {
		want(calls[i].type, "/k", "");
		snprintf(name, sizeof(name), "/e%zu", i);
		msg(step(SEND), QDB_R_WATCH, name, "");
		msg(&f.s[f.n - 1].b, calls[i].answer, "/k", "");
	}
	h = opened();
	fd = qdb_watch_fd(h);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_false(readable(fd));
	gives(qdb_read(h, "/k", NULL), "");
	assert_true(readable(fd));
	gives(qdb_read_watch(h), "/e0");
	assert_false(readable(fd));
	assert_int_equal(qdb_write(h, "/k", "", 0), 1);
	assert_int_equal(qdb_rm(h, "/k"), 1);
	assert_int_equal(qdb_watch(h, "/k"), 1);
	assert_int_equal(qdb_unwatch(h, "/k"), 1);
	for (size_t i = 1; i < NELEM(calls); i++) {
		assert_true(readable(fd));
		snprintf(name, sizeof(name), "/e%zu", i);
		gives(qdb_read_watch(h), name);
	}
	finish(); /* it closes */
	assert_true(readable(fd));
	fails(EPIPE, qdb_read_watch(h));
	assert_true(readable(fd));
	assert_int_equal(qdb_watch_fd(h), fd);
	qdb_close(h);
}

/* Several come in one piece: the socket is empty then, the handle is not. */
static void
polled_while_events_are_in_the_buffer(void **state)
{
	struct bytes *b;
	qdb_handle_t h;
	int fd;

	step(ACCEPT);
	want(QDB_WATCH, "/", "");
	b = step(SEND);
	msg(b, QDB_OK, "/", "");
	msg(b, QDB_R_WATCH, "/1", "");
	msg(b, QDB_R_WATCH, "/2", "");
	msg(b, QDB_R_WATCH, "/3", "");
	want(QDB_READ, "/x", "");
	say(QDB_NOENT, "/x", "");
	say(QDB_R_WATCH, "/4", "");
	h = opened();
	fd = qdb_watch_fd(h);
	assert_int_equal(qdb_watch(h, "/"), 1);
	for (int i = 1; i <= 3; i++) {
		assert_true(readable(fd));
		free(qdb_read_watch(h));
	}
	assert_false(readable(fd));
	fails(ENOENT, qdb_read(h, "/x", NULL));
	assert_int_equal(poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 5000), 1);
	gives(qdb_read_watch(h), "/4");
	closed(h);
}

static void
many_events(struct bytes *b, int n)
{
	char name[16];

	for (int i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "/e%d", i);
		msg(b, QDB_R_WATCH, name, "");
	}
}

static void
events_are_bounded(void **state)
{
	struct bytes *b;
	qdb_handle_t h;

	step(ACCEPT);
	want(QDB_READ, "/k", "");
	b = step(SEND);
	many_events(b, QDB_EVENTS_MAX);
	many_events(b, QDB_EVENTS_MAX); /* the same: known already */
	msg(b, QDB_R_READ, "/k", "v");
	want(QDB_READ, "/k", "");
	b = step(SEND);
	msg(b, QDB_R_WATCH, "/another", "");
	msg(b, QDB_R_READ, "/k", "v");
	step(GONE);
	h = opened();
	gives(qdb_read(h, "/k", NULL), "v");
	fails(ENOBUFS, qdb_read(h, "/k", NULL));
	finish();
	for (int i = 0; i < QDB_EVENTS_MAX; i++)
		free(qdb_read_watch(h));
	fails(EPIPE, qdb_read_watch(h));
	qdb_close(h);
}

/* ---- hostile ---- */

static void
bad_answer(int request, const struct bytes *b)
{
	qdb_handle_t h;
	char *r = NULL;

	step(ACCEPT);
	msg(step(WANT), request, "/k", "");
	add(step(SEND), b->p, b->n);
	step(GONE);
	h = opened();
	errno = 0;
	switch (request) {
	case QDB_READ:
		r = qdb_read(h, "/k", NULL);
		break;
	case QDB_LIST:
		r = (char *)qdb_list(h, "/k", NULL);
		break;
	case QDB_MULTIREAD:
		r = (char *)qdb_multiread(h, "/k", NULL, NULL);
		break;
	default:
		assert_int_equal(qdb_write(h, "/k", "", 0), 0);
	}
	if (r != NULL || errno != EPROTO)
		fail_msg("type %d answered by type %d path %.64s: errno %d", request, b->p[0],
		    b->p + 1, errno);
	closed(h);
}

static void
bad(int request, int type, const char *path, const char *data, size_t n, uint32_t len)
{
	struct bytes b = {0};

	msg_n(&b, type, path, data, n);
	memcpy(b.p + 68, &len, 4);
	bad_answer(request, &b);
	free(b.p);
}

static void
hostile_headers(void **state)
{
	static const int requests[] = {QDB_READ, QDB_LIST, QDB_MULTIREAD, QDB_WRITE};
	struct bytes b = {0};

	for (size_t i = 0; i < NELEM(requests); i++) {
		const int q = requests[i];
		for (int type = 0; type < 256; type++) /* none of them fits another request */
			if ((type < QDB_OK || type > QDB_R_WATCH) ||
			    (type == QDB_OK && q != QDB_WRITE))
				bad(q, type, "/k", "", 0, 0);
		for (int type = QDB_OK; type <= QDB_ERROR; type++)
			bad(q, type, "/k", "x", 1, 1);
		for (int type = QDB_R_READ; type <= QDB_R_WATCH; type++) {
			bad(q, type, "/k", "", 0, QDB_VALUE_MAX + 1);
			bad(q, type, "/k", "", 0, 0x80000000u);
			bad(q, type, "/k", "", 0, UINT32_MAX);
		}
		bad(q, QDB_R_WATCH, "/k", "x", 1, 1);
		bad(q, QDB_R_WATCH, "", "", 0, 0);
		bad(q, QDB_R_WATCH, "/k k", "", 0, 0);
	}
	for (int type = QDB_R_READ; type <= QDB_R_WATCH; type++) { /* no NUL in its path */
		msg(&b, type, "/k", "");
		memset(b.p + 3, 'k', 62);
		bad_answer(type == QDB_R_LIST ? QDB_LIST : QDB_READ, &b);
		b.n = 0;
	}
	free(b.p);
}

static void
hostile_contents(void **state)
{
	bad(QDB_READ, QDB_R_READ, "/other", "v", 1, 1);
	bad(QDB_READ, QDB_R_READ, "", "", 0, 0);
	bad(QDB_READ, QDB_R_READ, "/k", "v\0w", 3, 3);
	bad(QDB_READ, QDB_R_LIST, "/k", "", 0, 0);
	bad(QDB_READ, QDB_R_MULTIREAD, "/k", "v", 1, 1);
	bad(QDB_WRITE, QDB_NOENT + 100, "/k", "", 0, 0);
	bad(QDB_WRITE, QDB_R_READ, "/k", "", 0, 0);
	bad(QDB_LIST, QDB_R_READ, "/k", "", 0, 0);
	bad(QDB_LIST, QDB_R_MULTIREAD, "/k", "", 0, 0);
	bad(QDB_LIST, QDB_R_LIST, "/k", "v", 1, 1);
	bad(QDB_LIST, QDB_R_LIST, "/other", "", 0, 0);
	bad(QDB_LIST, QDB_R_LIST, "/", "", 0, 0);
	bad(QDB_LIST, QDB_R_LIST, "/k\x1b[2J", "", 0, 0);
	bad(QDB_LIST, QDB_R_LIST, "k", "", 0, 0);
	bad(QDB_MULTIREAD, QDB_R_LIST, "/k", "", 0, 0);
	bad(QDB_MULTIREAD, QDB_R_MULTIREAD, "/other", "v", 1, 1);
	bad(QDB_MULTIREAD, QDB_R_MULTIREAD, "/k\n", "v", 1, 1);
	bad(QDB_MULTIREAD, QDB_R_MULTIREAD, "/k", "\0", 1, 1);
	bad(QDB_MULTIREAD, QDB_R_MULTIREAD, "", "v", 1, 1);
}

static void
hostile_in_the_midst(void **state)
{
	struct bytes b = {0};

	msg(&b, QDB_R_LIST, "/k1", "");
	msg(&b, QDB_NOENT, "/k", "");
	bad_answer(QDB_LIST, &b);
	b.n = 0;
	msg(&b, QDB_R_MULTIREAD, "/k1", "v");
	msg(&b, QDB_ERROR, "/k", "");
	bad_answer(QDB_MULTIREAD, &b);
	b.n = 0;
	msg(&b, QDB_R_MULTIREAD, "/k1", "v");
	msg(&b, QDB_R_LIST, "/k2", "");
	bad_answer(QDB_MULTIREAD, &b);
	free(b.p);
}

static void
answers_are_bounded(void **state)
{
	static char big[QDB_VALUE_MAX];
	struct bytes *b;
	qdb_handle_t h;

	memset(big, 'v', sizeof(big));
	step(ACCEPT);
	want(QDB_LIST, "/", "");
	b = step(SEND);
	for (int i = 0; i <= QDB_LIST_MAX; i++)
		msg(b, QDB_R_LIST, "/again", "");
	step(GONE);
	h = opened();
	fails(E2BIG, qdb_list(h, "/", NULL));
	closed(h);
	step(ACCEPT);
	want(QDB_MULTIREAD, "/", "");
	b = step(SEND);
	for (size_t i = 0; i <= QDB_LIST_BYTES / sizeof(big); i++)
		msg_n(b, QDB_R_MULTIREAD, "/again", big, sizeof(big));
	step(GONE);
	h = opened();
	fails(E2BIG, qdb_multiread(h, "/", NULL, NULL));
	closed(h);
}

/* ---- a daemon that ends ---- */

static void
ends_at_every_byte_of_an_answer(void **state)
{
	struct bytes all = {0};
	unsigned int n;
	qdb_handle_t h;
	char **p;

	msg(&all, QDB_R_MULTIREAD, "/a", "first");
	const size_t first = all.n;
	msg(&all, QDB_R_MULTIREAD, "/b", "second");
	msg(&all, QDB_R_MULTIREAD, "", "");
	for (size_t cut = 0; cut < all.n; cut++) {
		step(ACCEPT);
		want(QDB_MULTIREAD, "/", "");
		add(step(SEND), all.p, cut);
		step(CLOSE);
		step(ACCEPT);
		want(QDB_MULTIREAD, "/", "");
		add(step(SEND), all.p, all.n);
		h = opened();
		p = qdb_multiread(h, "/", NULL, &n);
		if (cut >= first) { /* a part was had: the caller asks again */
			assert_null(p);
			assert_int_equal(errno, EPIPE);
			p = qdb_multiread(h, "/", NULL, &n);
		}
		assert_non_null(p);
		assert_int_equal(n, 2);
		free_all(p, 4);
		closed(h);
	}
	free(all.p);
}

static void
ends_between_calls(void **state)
{
	qdb_handle_t h;
	int fd;

	step(ACCEPT);
	want(QDB_READ, "/k", "");
	say(QDB_R_READ, "/k", "1");
	step(CLOSE);
	step(ACCEPT);
	want(QDB_WRITE, "/k", "2");
	say(QDB_OK, "/k", "");
	step(CLOSE);
	step(ACCEPT); /* again and again: once each call */
	want(QDB_READ, "/k", "");
	step(CLOSE);
	step(ACCEPT);
	want(QDB_READ, "/k", "");
	say(QDB_R_READ, "/k", "3");
	h = opened();
	gives(qdb_read(h, "/k", NULL), "1");
	fd = qdb_watch_fd(h);
	assert_int_equal(poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 5000), 1);
	assert_int_equal(qdb_write(h, "/k", "2", 1), 1); /* no SIGPIPE */
	fails(EPIPE, qdb_read(h, "/k", NULL));
	gives(qdb_read(h, "/k", NULL), "3");
	closed(h);
}

static void
ends_with_watches(void **state)
{
	qdb_handle_t h;
	int fd;

	step(ACCEPT);
	want(QDB_WATCH, "/k", "");
	say(QDB_OK, "/k", "");
	say(QDB_R_WATCH, "/k", "");
	step(CLOSE);
	step(ACCEPT);
	want(QDB_WATCH, "/k", "");
	say(QDB_OK, "/k", "");
	say(QDB_R_WATCH, "/k", "");
	h = opened();
	fd = qdb_watch_fd(h);
	assert_int_equal(qdb_watch(h, "/k"), 1);
	gives(qdb_read_watch(h), "/k");
	fails(EPIPE, qdb_read(h, "/k", NULL)); /* told, not connected in silence */
	assert_true(readable(fd));
	fails(EPIPE, qdb_read_watch(h)); /* does not connect */
	assert_int_equal(qdb_watch(h, "/k"), 1);
	assert_int_equal(qdb_watch_fd(h), fd);
	assert_int_equal(poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 5000), 1);
	gives(qdb_read_watch(h), "/k");
	closed(h);
}

static void
does_not_come_back(void **state)
{
	qdb_handle_t h;

	step(ACCEPT);
	want(QDB_READ, "/k", "");
	step(CLOSE);
	h = opened();
	char was[4096];

	snprintf(was, sizeof(was), "%s/away", test_dir());
	assert_int_equal(rename(in_dir("qubesdb.sock"), was), 0);
	fails(EPIPE, qdb_read(h, "/k", NULL));
	fails(ENOENT, qdb_read(h, "/k", NULL));
	fails(ENOENT, qdb_write(h, "/k", "", 0));
	fails(EPIPE, qdb_read_watch(h));
	assert_int_equal(rename(was, in_dir("qubesdb.sock")), 0);
	closed(h);
}

/* ---- signals ---- */

static void
nothing(int sig)
{
	(void)sig;
}

static void
signals(void **state)
{
	struct sigaction sa = {.sa_handler = nothing}, old;
	qdb_handle_t h;

	assert_int_equal(sigaction(SIGUSR1, &sa, &old), 0);
	step(ACCEPT);
	want(QDB_READ, "/k", "");
	for (int i = 0; i < 5; i++)
		step(SIGNAL);
	say(QDB_R_READ, "/k", "v");
	f.s[f.n - 1].cut = 30;
	want(QDB_WATCH, "/k", "");
	say(QDB_OK, "/k", "");
	h = opened();
	gives(qdb_read(h, "/k", NULL), "v");
	assert_int_equal(qdb_watch(h, "/k"), 1);
	ended();
	setitimer(ITIMER_REAL, &(struct itimerval){{0, 20000}, {0, 20000}}, NULL);
	sigaction(SIGALRM, &sa, NULL);
	fails(EINTR, qdb_read_watch(h));
	setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL);
	struct bytes b = {0};
	msg(&b, QDB_R_WATCH, "/k", "");
	assert_int_equal(send(f.c, b.p, b.n, 0), b.n);
	free(b.p);
	gives(qdb_read_watch(h), "/k"); /* nothing was lost by it */
	closed(h);
	sigaction(SIGUSR1, &old, NULL);
}

#define TEST(name) cmocka_unit_test_teardown(name, clean)

static int
signals_as_found(void **state)
{
	return signal(SIGPIPE, SIG_DFL) == SIG_ERR; /* what is done about it is the library's */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(requests_and_answers),
	    TEST(lists),
	    TEST(what_is_malformed_is_not_sent),
	    TEST(sockets),
	    TEST(split_at_every_byte),
	    TEST(events_before_an_answer),
	    TEST(polled_while_events_are_in_the_buffer),
	    TEST(events_are_bounded),
	    TEST(hostile_headers),
	    TEST(hostile_contents),
	    TEST(hostile_in_the_midst),
	    TEST(answers_are_bounded),
	    TEST(ends_at_every_byte_of_an_answer),
	    TEST(ends_between_calls),
	    TEST(ends_with_watches),
	    TEST(does_not_come_back),
	    TEST(signals),
	};

	return cmocka_run_group_tests_name("libqubesdb", tests, signals_as_found, rm_test_dir);
}
