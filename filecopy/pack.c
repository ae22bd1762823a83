/* SPDX-License-Identifier: ISC */
#include "filecopy/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

/* ---- bytes ---- */

/* True: they are out. A receiver answers early only if it takes no more. */
static bool
flush(struct pack *p)
{
	const uint8_t *at = p->buffer;
	size_t left = p->n;

	p->crc = libdeflate_crc32(p->crc, at, left);
	p->n = 0;
	while (left > 0 && !p->answered) {
		struct pollfd fds[] = {{p->out, POLLOUT, 0}, {p->in, POLLIN, 0}};
		ssize_t did;

		if (poll(fds, 2, -1) < 0)
			continue;
		did = fds[1].revents ? -1 : write(p->out, at, left);
		if (did > 0)
			at += did, left -= (size_t)did;
		else if (fds[1].revents || (errno != EAGAIN && errno != EINTR))
			p->answered = true;
	}
	return !p->answered;
}

static bool
room(struct pack *p)
{
	return p->n < sizeof p->buffer || flush(p);
}

static bool
put(struct pack *p, const void *bytes, size_t n)
{
	for (const uint8_t *from = bytes; n > 0;) {
		size_t now = sizeof p->buffer - p->n;

		if (now > n)
			now = n;
		memcpy(p->buffer + p->n, from, now);
		p->n += now, from += now, n -= now;
		if (!room(p))
			return false;
	}
	return true;
}

static bool
put_header(struct pack *p, const struct stat *st, uint64_t filelen)
{
	const struct qfile_header h = {
	    .namelen = (uint32_t)strlen(p->walk.path) + 1,
	    .mode = st->st_mode,
	    .filelen = filelen,
	    .atime = (uint32_t)st->st_atim.tv_sec,
	    .atime_nsec = (uint32_t)st->st_atim.tv_nsec,
	    .mtime = (uint32_t)st->st_mtim.tv_sec,
	    .mtime_nsec = (uint32_t)st->st_mtim.tv_nsec,
	};

	return put(p, &h, sizeof h) && put(p, p->walk.path, h.namelen);
}

static bool
failed(struct walk *w, const char *why)
{
	char text[WALK_TEXT_MAX];

	logit("%s: %s", walk_text(w, text), why);
	return false;
}

/* For its removal. */
static bool
remember(struct pack *p, const struct stat *st)
{
	const struct sent s = {.dev = st->st_dev,
	    .ino = st->st_ino,
	    .mode = st->st_mode,
	    .many = st->st_nlink > 1,
	    .size = st->st_size,
	    .mtime = st->st_mtim,
	    .ctime = st->st_ctim,
	    .base_len = strlen(p->walk.base),
	    .path_len = strlen(p->walk.path)};

	p->items++;
	if (!p->sent || (fwrite(&s, sizeof s, 1, p->sent) == 1 &&
			    fputs(p->walk.base, p->sent) >= 0 && fputs(p->walk.path, p->sent) >= 0))
		return true;
	return failed(&p->walk, "cannot be remembered for its removal: is /tmp full?");
}

/* ---- one item each ---- */

/* The rest of a file; none of what it says is its size means that nobody knows. */
static bool
pack_contents(struct pack *p, int fd, uint64_t left)
{
	uint8_t more;

	if (left == 0 && read(fd, &more, 1) > 0)
		return failed(
		    &p->walk, "has no size of its own: copy what it says to a file first");
	while (left > 0) {
		size_t want = sizeof p->buffer - p->n;
		ssize_t got;

		if (want > left)
			want = (size_t)left;
		got = read(fd, p->buffer + p->n, want);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return failed(&p->walk, got < 0 ? strerror(errno) : "has become shorter");
		p->n += (size_t)got, left -= (uint64_t)got, p->bytes += (uint64_t)got;
		if (!room(p))
			return false;
		if (p->progress)
			p->progress(p->bytes);
	}
	return true;
}

static bool
pack_file(struct walk *w, int dir, const char *name)
{
	const int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct pack *p = w->arg;
	struct stat st;
	bool ok;

	if (fd < 0)
		return failed(w, strerror(errno));
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return failed(w, "is something else now");
	}
	ok = put_header(p, &st, (uint64_t)st.st_size) &&
	     pack_contents(p, fd, (uint64_t)st.st_size) && remember(p, &st);
	close(fd);
	return ok;
}

/* Of one and the same link: the name may be another's by the time. */
static bool
pack_link(struct walk *w, int dir, const char *name)
{
	char target[QFILE_PATH_MAX + 1];
	struct pack *p = w->arg;
	struct stat st;
	ssize_t n = -1;
	int fd;

	if (p->ignore_links) {
		p->left_out++;
		return true;
	}
	fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISLNK(st.st_mode))
		n = readlinkat(fd, "", target, sizeof target);
	if (fd >= 0)
		close(fd);
	if (n < 0)
		return failed(w, "is something else now");
	if ((size_t)n == sizeof target)
		return failed(w, "the target of this link is too long");
	return put_header(p, &st, (uint64_t)n) && put(p, target, (size_t)n) && remember(p, &st);
}

/* Its header once more at the end: only then does the receiver give it its mode. */
static bool
pack_directory(struct walk *w, const struct stat *st, bool again)
{
	struct pack *p = w->arg;

	return put_header(p, st, 0) && (!again || remember(p, st));
}

static bool
pack_other(struct walk *w, mode_t mode)
{
	struct pack *p = w->arg;
	char text[WALK_TEXT_MAX];

	p->left_out++;
	logit("%s: left out: %s", walk_text(w, text),
	    S_ISSOCK(mode)   ? "a socket"
	    : S_ISFIFO(mode) ? "a fifo"
			     : "a device");
	return true;
}

bool
pack_tree(struct pack *p, const char *arg)
{
	p->walk = (struct walk){.file = pack_file,
	    .link = pack_link,
	    .directory = pack_directory,
	    .other = pack_other,
	    .failed = failed,
	    .arg = p};
	return walk_tree(&p->walk, arg);
}

bool
pack_end(struct pack *p, bool whole)
{
	static const struct qfile_header end;

	return (!whole || put(p, &end, sizeof end)) && (p->n == 0 || flush(p));
}
