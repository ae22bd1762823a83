/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "console.filter.h"
#include "console.h"
#include "ids.h"
#include "log.h"
#include "loop.h"
#include "sandbox.h"

static void
escape(char *out, size_t size, const char *untrusted, size_t n)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t len = 0;

	for (size_t i = 0; i < n && len + 4 < size; i++) {
		const unsigned char c = (unsigned char)untrusted[i];

		if (c >= 0x20 && c < 0x7f && c != '%') {
			out[len++] = (char)c;
			continue;
		}
		out[len++] = '%';
		out[len++] = hex[c >> 4];
		out[len++] = hex[c & 15];
	}
	out[len] = '\0';
}

static bool
allowed(struct console *c, uint64_t now)
{
	const uint64_t more = (now - c->filled_ms) * CONSOLE_RATE / 1000;

	if (c->filled_ms == 0) {
		c->tokens = CONSOLE_BURST;
		c->filled_ms = now;
	} else if (more > 0) {
		c->tokens =
		    c->tokens + more > CONSOLE_BURST ? CONSOLE_BURST : c->tokens + (uint32_t)more;
		c->filled_ms = now;
	}
	if (c->tokens == 0) {
		c->dropped++;
		return false;
	}
	c->tokens--;
	return true;
}

static void
flush(struct console *c, uint64_t now, void (*emit)(const char *line))
{
	char out[3 * CONSOLE_LINE + 8];
	const size_t n = c->len;

	c->len = 0;
	if (n == 0 || !allowed(c, now))
		return;
	if (c->dropped > 0) {
		snprintf(out, sizeof out, "(%u lines dropped)", c->dropped);
		c->dropped = 0;
		emit(out);
	}
	escape(out, sizeof out, c->line, n);
	emit(out);
}

void
console_take(struct console *c, const void *untrusted, size_t n, uint64_t now,
    void (*emit)(const char *line))
{
	const char *p = untrusted;

	for (size_t i = 0; i < n; i++) {
		if (p[i] == '\r')
			continue;
		if (p[i] != '\n')
			c->line[c->len++] = p[i];
		if (p[i] == '\n' || c->len == sizeof c->line)
			flush(c, now, emit);
	}
}

static void
emit(const char *line)
{
	logit("%s", line);
}

_Noreturn void
console_main(int fd, int life, const char *name, uint32_t qid)
{
	const struct sandbox sb = {
	    .uid = prog_uid(qid, PROG_CONSOLE),
	    .filter = console_filter,
	    .nfilter = console_filter_len,
	    .nofile = 16,
	};
	struct console c = {0};
	struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = life}};
	char buf[4096];

	log_open("console", name);
	sandbox_enter(&sb);
	for (;;) {
		const ssize_t n = read(fd, buf, sizeof buf);

		if (n > 0) {
			console_take(&c, buf, (size_t)n, now_ms(), emit);
			continue;
		}
		/* The keeper has gone, and all that was printed is read; or the console broke. */
		if (n == 0 || (errno != EAGAIN && errno != EINTR) ||
		    (poll(p, 2, -1) > 0 && p[1].revents && !p[0].revents))
			exit(0);
	}
}
