/* SPDX-License-Identifier: ISC */
/*
 * vchan.h over Unix stream sockets: the local backend, and the socket backend of stock programs
 * (spec/qrexec 2 "vchan backends"). A waiting client watches the directory. A stock server binds
 * first and listens later, which no watch shows: a name that is there but refuses is tried again
 * by a timer, 1 ms at first, then slower.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "loop.h"
#include "names.h"
#include "sock.h"
#include "vchan.h"

#define DEFAULT_DIR "/var/run/vchan"
#define SENDBUF (1 << 20) /* the kernel counts its own overhead and cuts this to its limit */
#define IO_MAX ((size_t)1 << 24)
#define RETRY_FAST_MS 50
#define RETRY_SLOW_S 1
#define RETRY_FAST_TIMES 100

struct vchan {
	enum vchan_role role;
	enum vchan_state state;
	bool drained; /* CLOSED and empty: nothing will ever come */
	int fd;	      /* the listener, the stream, or -1 */
	/* A waiting client: an epoll over the directory's watch and the timer. */
	int wait_fd, watch_fd, timer_fd;
	unsigned tries;
	/* By name. */
	ino_t ino; /* of the name that the server made; 0: there is none to remove */
	char path[];
};

static void
shut(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static struct vchan *
new_end(enum vchan_role role, size_t path)
{
	struct vchan *v = calloc(1, sizeof *v + path);
	if (!v)
		return NULL;
	v->role = role;
	v->fd = v->wait_fd = v->watch_fd = v->timer_fd = -1;
	return v;
}

static void
end_waiting(struct vchan *v)
{
	shut(&v->wait_fd);
	shut(&v->watch_fd);
	shut(&v->timer_fd);
}

static void
opened(struct vchan *v, int fd)
{
	const int size = SENDBUF;

	v->fd = fd;
	v->state = VCHAN_OPEN;
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	end_waiting(v);
}

/* Another server may have taken the name since: it keeps it. */
static void
remove_name(struct vchan *v)
{
	struct stat st;

	if (v->ino && lstat(v->path, &st) == 0 && st.st_ino == v->ino)
		unlink(v->path);
	v->ino = 0;
}

static bool
serve(struct vchan *v)
{
	struct stat st;

	v->fd = sock_listen(v->path, 0666);
	if (v->fd < 0)
		return false;
	if (lstat(v->path, &st) == 0)
		v->ino = st.st_ino;
	return true;
}

/* No name: the watch will tell. Else (refused, backlog full, mode not set yet) the timer. */
static void
try_connect(struct vchan *v)
{
	const int fd = sock_connect(v->path);
	struct itimerspec t = {.it_value = {.tv_nsec = RETRY_FAST_MS * 1000000}};

	if (fd >= 0) {
		opened(v, fd);
		return;
	}
	if (errno == ENOENT && v->watch_fd >= 0) {
		v->tries = 0;
		return;
	}
	if (v->tries < 6)
		t.it_value.tv_nsec = 1000000L << v->tries;
	else if (v->tries > RETRY_FAST_TIMES)
		t.it_value = (struct timespec){.tv_sec = RETRY_SLOW_S};
	v->tries++;
	timerfd_settime(v->timer_fd, 0, &t, NULL);
}

static bool
call(struct vchan *v, const char *dir)
{
	struct epoll_event e = {.events = EPOLLIN};

	v->wait_fd = epoll_create1(EPOLL_CLOEXEC);
	v->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	v->watch_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (epoll_ctl(v->wait_fd, EPOLL_CTL_ADD, v->timer_fd, &e) < 0)
		return false;
	/* Where the number of watches is used up, the timer alone has to do. */
	if (inotify_add_watch(v->watch_fd, dir, IN_CREATE | IN_MOVED_TO | IN_ATTRIB) < 0 ||
	    epoll_ctl(v->wait_fd, EPOLL_CTL_ADD, v->watch_fd, &e) < 0)
		shut(&v->watch_fd);
	try_connect(v); /* after the watch is set: none can come unseen */
	return true;
}

struct vchan *
vchan_open(enum vchan_role role, const char *dir, uint32_t self, uint32_t peer, uint32_t port)
{
	struct vchan *v = new_end(role, PATH_MAX);
	const bool server = role == VCHAN_SERVER;
	int err, n;

	if (!v)
		return NULL;
	if (!dir)
		dir = getenv("VCHAN_SOCKET_DIR");
	if (!dir)
		dir = DEFAULT_DIR;
	n = snprintf(v->path, PATH_MAX, "%s/vchan.%u.%u.%u.sock", dir, server ? self : peer,
	    server ? peer : self, port);
	errno = ENAMETOOLONG;
	if (n > 0 && n < PATH_MAX && (server ? serve(v) : call(v, dir)))
		return v;
	err = errno;
	vchan_close(v);
	errno = err;
	return NULL;
}

uint32_t
vchan_self(void)
{
	const char *s = getenv("VCHAN_DOMAIN");
	uint32_t n;

	return s && parse_u32(s, UINT32_MAX, &n) ? n : 0;
}

struct vchan *
vchan_take(enum vchan_role role, int fd)
{
	struct vchan *v = new_end(role, 0);

	if (!v) {
		close(fd);
		errno = ENOMEM;
		return NULL;
	}
	fd_nonblock(fd, true);
	if (role == VCHAN_CLIENT)
		opened(v, fd);
	else
		v->fd = fd;
	return v;
}

enum vchan_state
vchan_state(const struct vchan *v)
{
	return v->state;
}

void
vchan_poll(const struct vchan *v, short want, struct pollfd *p)
{
	*p = (struct pollfd){.fd = v->fd, .events = want};
	if (v->state == VCHAN_WAITING) {
		p->events = POLLIN;
		p->fd = v->role == VCHAN_SERVER ? v->fd : v->wait_fd;
	} else if (v->state == VCHAN_CLOSED && (v->drained || !(want & POLLIN))) {
		p->fd = -1; /* it would report the hang-up for ever */
	}
}

static void
accept_one(struct vchan *v)
{
	const int fd = sock_accept(v->fd);

	if (fd < 0)
		return;
	remove_name(v);
	/* chand holds the listener too: the next call's peer must meet a refusal here, not a queue.
	 */
	shutdown(v->fd, SHUT_RDWR);
	shut(&v->fd);
	opened(v, fd);
}

/* Takes what made the wait_fd ready, whichever it was, and looks again. */
static void
wait_turn(struct vchan *v)
{
	char events[4096] __attribute__((aligned(8)));
	uint64_t fired;
	const bool seen = v->watch_fd >= 0 && read(v->watch_fd, events, sizeof events) > 0;
	const bool late = read(v->timer_fd, &fired, sizeof fired) == sizeof fired;

	if (seen)
		v->tries = 0;
	if (seen || late)
		try_connect(v);
}

void
vchan_turn(struct vchan *v)
{
	struct pollfd p = {.fd = v->fd};

	if (v->state == VCHAN_WAITING && v->role == VCHAN_SERVER)
		accept_one(v);
	else if (v->state == VCHAN_WAITING)
		wait_turn(v);
	else if (v->state == VCHAN_OPEN && poll(&p, 1, 0) == 1)
		v->state = VCHAN_CLOSED;
}

static ssize_t
ended(struct vchan *v)
{
	v->state = VCHAN_CLOSED;
	return -1;
}

/* The kernel hands out what has arrived before it says that the peer has gone or reset. */
ssize_t
vchan_read(struct vchan *v, void *p, size_t n)
{
	ssize_t got;

	if (v->drained)
		return -1;
	if (n == 0 || v->state == VCHAN_WAITING)
		return 0;
	got = read(v->fd, p, n < IO_MAX ? n : IO_MAX);
	if (got > 0)
		return got;
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	v->drained = true;
	return ended(v);
}

ssize_t
vchan_writev(struct vchan *v, const struct iovec *iov, int n)
{
	/* A type that both libcs' msg_iovlen can hold. */
	const uint16_t parts = (uint16_t)(n < 0 ? 0 : n < IOV_MAX ? n : IOV_MAX);
	const struct msghdr m = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = parts};
	ssize_t put;

	if (v->state != VCHAN_OPEN)
		return v->state == VCHAN_WAITING ? 0 : -1;
	put = sendmsg(v->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (put >= 0)
		return put;
	if (errno == EAGAIN || errno == EINTR || errno == ENOBUFS || errno == ENOMEM)
		return 0;
	return ended(v);
}

ssize_t
vchan_write(struct vchan *v, const void *p, size_t n)
{
	const struct iovec iov = {
	    .iov_base = (void *)(uintptr_t)p, .iov_len = n < IO_MAX ? n : IO_MAX};
	return vchan_writev(v, &iov, 1);
}

void
vchan_close(struct vchan *v)
{
	if (!v)
		return;
	remove_name(v);
	end_waiting(v);
	shut(&v->fd);
	free(v);
}
