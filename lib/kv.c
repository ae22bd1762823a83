/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kv.h"
#include "loop.h"
#include "sock.h"

size_t
kv_whole(const void *p, size_t n)
{
	const char *end;

	if (n == 0)
		return 0;
	if (*(const char *)p == '\n')
		return 1;
	end = memmem(p, n, "\n\n", 2);
	return end != NULL ? (size_t)(end - (const char *)p) + 2 : 0;
}

static bool
ascii(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (s[i] == '\0' || (unsigned char)s[i] > 0x7f)
			return false;
	return true;
}

/* Takes one line, already terminated. */
static const char *
parse_line(struct kv *kv, char *line)
{
	char *eq = strchr(line, '=');

	if (eq == NULL)
		return "no =";
	*eq = '\0';
	if (eq == line || strspn(line, "abcdefghijklmnopqrstuvwxyz_") != (size_t)(eq - line))
		return "bad key";
	if (kv_get(kv, line) != NULL)
		return "duplicate key";
	if (kv->n == KV_MAX)
		return "too many lines";
	kv->item[kv->n].key = line;
	kv->item[kv->n].val = eq + 1;
	kv->n++;
	return NULL;
}

const char *
kv_parse(struct kv *kv, const void *untrusted, size_t n)
{
	const char *why;
	char *line, *nl;

	kv->n = 0;
	if (n > KV_BYTES)
		return "too long";
	if (!ascii(untrusted, n))
		return "not ASCII";
	if (n > 0)
		memcpy(kv->text, untrusted, n);
	kv->text[n] = '\0';
	line = kv->text;
	while (*line != '\0' && *line != '\n') {
		nl = strchr(line, '\n');
		if (nl != NULL)
			*nl = '\0';
		why = parse_line(kv, line);
		if (why != NULL)
			return why;
		if (nl == NULL)
			return NULL;
		line = nl + 1;
	}
	return line[0] == '\n' && line[1] != '\0' ? "bytes after the end" : NULL;
}

const char *
kv_get(const struct kv *kv, const char *key)
{
	for (size_t i = 0; i < kv->n; i++)
		if (strcmp(kv->item[i].key, key) == 0)
			return kv->item[i].val;
	return NULL;
}

bool
kv_only(const struct kv *kv, const char *const *keys, size_t n)
{
	for (size_t i = 0; i < kv->n; i++) {
		size_t k = 0;

		while (k < n && strcmp(kv->item[i].key, keys[k]) != 0)
			k++;
		if (k == n)
			return false;
	}
	return true;
}

bool
kv_put(struct buf *b, const char *key, const char *val)
{
	if (strchr(val, '\n') != NULL || !ascii(val, strlen(val)))
		return false;
	return buf_printf(b, "%s=%s\n", key, val);
}

/* Until fd can do what is asked; false when the time is over. end: UINT64_MAX never comes. */
static bool
wait_fd(int fd, short events, uint64_t end)
{
	struct pollfd p = {.fd = fd, .events = events};
	uint64_t now;
	int r, ms = -1;

	do {
		if (end != UINT64_MAX) {
			now = now_ms();
			ms = now >= end ? 0 : end - now > INT_MAX ? INT_MAX : (int)(end - now);
		}
		r = poll(&p, 1, ms);
	} while (r < 0 && errno == EINTR);
	return r > 0;
}

static const char *
send_all(int s, const char *p, size_t n, uint64_t end)
{
	ssize_t r;

	while (n > 0) {
		r = send(s, p, n, MSG_NOSIGNAL);
		if (r > 0) {
			p += r;
			n -= (size_t)r;
		} else if (errno == EAGAIN) {
			if (!wait_fd(s, POLLOUT, end))
				return "no time left to send";
		} else if (errno != EINTR) {
			return KV_HUNG_UP;
		}
	}
	return NULL;
}

/* The answer's bytes into text: until its empty line or end of file. */
static const char *
recv_whole(int s, char *text, size_t *len, uint64_t end, int *fd_out)
{
	ssize_t r;
	int fd;

	while (*len < KV_BYTES && kv_whole(text, *len) == 0) {
		if (!wait_fd(s, POLLIN, end))
			return "no answer in time";
		r = sock_recv_fd(s, text + *len, KV_BYTES - *len, &fd);
		if (fd >= 0 && fd_out != NULL && *fd_out < 0)
			*fd_out = fd;
		else if (fd >= 0)
			close(fd);
		if (r == 0)
			return *len > 0 ? NULL : KV_HUNG_UP;
		if (r > 0)
			*len += (size_t)r;
		else if (errno != EAGAIN && errno != EINTR)
			return KV_HUNG_UP;
	}
	return NULL;
}

const char *
kv_ask(int s, const void *req, size_t n, int ms, struct kv *out, int *fd_out)
{
	char text[KV_BYTES];
	size_t len = 0;
	uint64_t end = ms < 0 ? UINT64_MAX : now_ms() + (uint64_t)ms;
	const char *why;

	if (fd_out != NULL)
		*fd_out = -1;
	why = send_all(s, req, n, end);
	if (why == NULL)
		why = recv_whole(s, text, &len, end, fd_out);
	if (why == NULL)
		why = kv_parse(out, text, len);
	if (why != NULL && fd_out != NULL && *fd_out >= 0) {
		close(*fd_out);
		*fd_out = -1;
	}
	return why;
}

const char *
kv_call(const char *sock, const void *req, size_t n, int ms, struct kv *out, int *fd_out)
{
	int s = sock_connect_wait(sock, ms);
	const char *why;

	if (fd_out != NULL)
		*fd_out = -1;
	if (s < 0)
		return "cannot connect";
	why = kv_ask(s, req, n, ms, out, fd_out);
	close(s);
	return why;
}
