/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "buf.h"
#include "names.h"
#include "sock.h"

#define GROUP_MAX (1024 * 1024) /* of /etc/group */
#define BACKLOG 1024		/* a burst of calls waits here rather than being turned away */

/* Fills *a. A path too long for it is reached through its directory: *dir is then to be closed,
 * else -1. */
static bool
address(const char *path, struct sockaddr_un *a, int *dir)
{
	const char *slash = strrchr(path, '/');
	char parent[PATH_MAX];
	int n;

	*dir = -1;
	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	n = snprintf(a->sun_path, sizeof(a->sun_path), "%s", path);
	if (n > 0 && (size_t)n < sizeof(a->sun_path))
		return true;
	errno = ENAMETOOLONG;
	if (n <= 0 || slash == NULL || (size_t)(slash - path) >= sizeof(parent) - 1)
		return false;
	snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path) + 1, path);
	*dir = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*dir < 0)
		return false;
	n = snprintf(a->sun_path, sizeof(a->sun_path), "/proc/self/fd/%d%s", *dir, slash);
	if (n > 0 && (size_t)n < sizeof(a->sun_path))
		return true;
	close(*dir);
	errno = ENAMETOOLONG;
	return false;
}

/* Closes without losing errno; for the way out of a failure. */
static int
drop(int fd)
{
	int e = errno;

	if (fd >= 0)
		close(fd);
	errno = e;
	return -1;
}

static int
bind_at(int fd, const char *path, mode_t mode)
{
	struct sockaddr_un a;
	int dir, r;

	/* The mode before bind holds from the first moment; the umask is undone afterwards. */
	if (!address(path, &a, &dir))
		return -1;
	r = fchmod(fd, mode);
	if (r == 0)
		r = bind(fd, (struct sockaddr *)&a, sizeof(a));
	drop(dir);
	return r == 0 ? chmod(path, mode) : r;
}

int
sock_listen(const char *path, mode_t mode)
{
	char tmp[PATH_MAX];
	int n = snprintf(tmp, sizeof(tmp), "%s.new", path);
	int fd;

	if (n < 0 || (size_t)n >= sizeof(tmp)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	if (unlink(tmp) < 0 && errno != ENOENT)
		return drop(fd);
	if (bind_at(fd, tmp, mode) < 0 || listen(fd, BACKLOG) < 0 || rename(tmp, path) < 0)
		return drop(fd);
	return fd;
}

static int
connect_fd(int fd, const char *path)
{
	struct sockaddr_un a;
	int dir, r;

	if (fd < 0 || !address(path, &a, &dir))
		return drop(fd);
	do
		r = connect(fd, (struct sockaddr *)&a, sizeof(a));
	while (r < 0 && errno == EINTR);
	drop(dir);
	return r < 0 ? drop(fd) : fd;
}

int
sock_connect(const char *path)
{
	return connect_fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), path);
}

int
sock_connect_wait(const char *path, int ms)
{
	/* A full backlog makes a blocking connect wait, for as long as may be sent; 0 is for ever.
	 */
	struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
	int fd;

	if (ms == 0)
		return sock_connect(path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && ms > 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) < 0)
		return drop(fd);
	fd = connect_fd(fd, path);
	return fd < 0 || fd_nonblock(fd, true) ? fd : drop(fd);
}

int
sock_accept(int fd)
{
	int s;

	do
		s = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	while (s < 0 && (errno == EINTR || errno == ECONNABORTED));
	return s;
}

bool
sock_peer(int fd, uid_t *uid, pid_t *pid)
{
	struct ucred c;
	socklen_t n = sizeof(c);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &n) < 0)
		return false;
	*uid = c.uid;
	if (pid != NULL)
		*pid = c.pid;
	return true;
}

bool
sock_peer_in_group(int fd, gid_t gid)
{
	struct ucred c;
	gid_t *g;
	socklen_t n = sizeof(c);
	bool in = false;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &n) < 0)
		return false;
	if (c.gid == gid)
		return true;
	n = 0;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &n) == 0 || errno != ERANGE)
		return false;
	g = malloc(n);
	if (g == NULL)
		return false;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, g, &n) == 0)
		for (size_t i = 0; i < n / sizeof(*g); i++)
			in = in || g[i] == gid;
	free(g);
	return in;
}

bool
sock_peer_is_person(int fd, gid_t people)
{
	uid_t uid;

	if (!sock_peer(fd, &uid, NULL))
		return false;
	return uid == 0 || (people != (gid_t)-1 && sock_peer_in_group(fd, people));
}

/* Read here: getgrnam would be a tenth of a small daemon. */
gid_t
people_gid(void)
{
	static const char name[] = "\nqubes:";
	struct buf b = {.max = GROUP_MAX};
	gid_t gid = (gid_t)-1;
	const char *at, *id, *end;
	char digits[11] = "";
	uint32_t n;

	if (buf_put(&b, "\n", 1) && buf_read_file(&b, AT_FDCWD, "/etc/group") &&
	    buf_put(&b, "", 1)) {
		at = memmem(buf_bytes(&b), b.len, name, sizeof(name) - 1);
		id = at != NULL ? strchr(at + sizeof(name) - 1, ':') : NULL;
		end = id != NULL ? strchr(id + 1, ':') : NULL;
		if (end != NULL && (size_t)(end - id) <= sizeof(digits))
			memcpy(digits, id + 1, (size_t)(end - id - 1));
		if (parse_u32(digits, UINT32_MAX - 1, &n))
			gid = n;
	}
	buf_free(&b);
	return gid;
}

/* Room for exactly one descriptor: the kernel closes any more itself. */
union one_fd {
	struct cmsghdr h;
	char space[CMSG_SPACE(sizeof(int))];
};

bool
sock_send_fd(int sock, const void *p, size_t n, int fd)
{
	union one_fd c;
	struct iovec iov = {.iov_base = (void *)(uintptr_t)p, .iov_len = n};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t r;

	memset(&c, 0, sizeof(c));
	if (fd >= 0) {
		c.h.cmsg_level = SOL_SOCKET;
		c.h.cmsg_type = SCM_RIGHTS;
		c.h.cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(&c.h), &fd, sizeof(fd));
		m.msg_control = &c;
		m.msg_controllen = CMSG_LEN(sizeof(fd));
	}
	do
		r = sendmsg(sock, &m, MSG_NOSIGNAL);
	while (r < 0 && errno == EINTR);
	if (r >= 0 && (size_t)r < n)
		errno = EAGAIN;
	return r == (ssize_t)n;
}

ssize_t
sock_recv_fd(int sock, void *p, size_t n, int *fd)
{
	union one_fd c;
	struct iovec iov = {.iov_base = p, .iov_len = n};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t r;

	memset(&c, 0, sizeof(c));
	m.msg_control = &c;
	m.msg_controllen = CMSG_LEN(sizeof(*fd));
	*fd = -1;
	r = recvmsg(sock, &m, MSG_CMSG_CLOEXEC);
	if (r >= 0 && m.msg_controllen >= CMSG_LEN(sizeof(*fd)) && c.h.cmsg_level == SOL_SOCKET &&
	    c.h.cmsg_type == SCM_RIGHTS)
		memcpy(fd, CMSG_DATA(&c.h), sizeof(*fd));
	return r;
}

bool
fd_nonblock(int fd, bool on)
{
	int f = fcntl(fd, F_GETFL);

	return f >= 0 && fcntl(fd, F_SETFL, on ? f | O_NONBLOCK : f & ~O_NONBLOCK) == 0;
}

bool
fd_cloexec(int fd)
{
	return fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

void
fd_close_from(int first)
{
	if (syscall(SYS_close_range, (unsigned)first, ~0u, 0u) == 0)
		return;
	for (int fd = first; fd < 1024; fd++)
		close(fd);
}
