/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "loop.h"
#include "names.h"

#define LINE_MAX_LEN 1000 /* well below PIPE_BUF: one write, never mixed with another's */

static struct {
	char prefix[96];
} lg;

void
log_open(const char *prog, const char *qube)
{
	if (qube != NULL)
		snprintf(lg.prefix, sizeof(lg.prefix), "%s[%s]: ", prog, qube);
	else
		snprintf(lg.prefix, sizeof(lg.prefix), "%s: ", prog);
}

/* One line: prefix, text, tail, newline. A byte that nobody escaped must not forge or hide a line.
 */
__attribute__((format(printf, 2, 0))) static void
line(const char *tail, const char *fmt, va_list ap)
{
	char buf[LINE_MAX_LEN + 1], text[LINE_MAX_LEN];
	int e = errno, n, room = (int)(sizeof(buf) - 1 - strlen(lg.prefix) - strlen(tail));
	size_t len;
	ssize_t w;

	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		text[0] = '\0';
	n = snprintf(buf, sizeof(buf), "%s%.*s%s", lg.prefix, room, text, tail);
	len = n < 0 ? 0 : (size_t)n;
	for (size_t i = 0; i < len; i++)
		if (buf[i] < 0x20 || buf[i] > 0x7e)
			buf[i] = '?';
	buf[len] = '\n';
	do
		w = write(STDERR_FILENO, buf, len + 1);
	while (w < 0 && errno == EINTR);
	errno = e;
}

void
logit(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	line("", fmt, ap);
	va_end(ap);
}

void
die(const char *fmt, ...)
{
	va_list ap;
	char tail[128] = "";

	if (errno != 0)
		snprintf(tail, sizeof(tail), ": %s", strerror(errno));
	va_start(ap, fmt);
	line(tail, fmt, ap);
	va_end(ap);
	exit(111);
}

void
usage_die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	line("", fmt, ap);
	va_end(ap);
	exit(100);
}

static bool
plain(unsigned char c)
{
	return target_byte(c) || c == '+';
}

char *
log_esc(char *out, size_t size, const void *untrusted, size_t n)
{
	static const char hex[] = "0123456789ABCDEF";
	const unsigned char *p = untrusted;
	size_t need = 0, len = 0, room = size - 1, i;

	if (size == 0)
		return out;
	for (i = 0; i < n && need < size; i++)
		need += plain(p[i]) ? 1 : 3;
	if (need > room)
		room = size > 4 ? size - 4 : 0;
	for (i = 0; i < n && len + (plain(p[i]) ? 1 : 3) <= room; i++) {
		if (plain(p[i])) {
			out[len++] = (char)p[i];
			continue;
		}
		out[len++] = '%';
		out[len++] = hex[p[i] >> 4];
		out[len++] = hex[p[i] & 15];
	}
	for (size_t dots = 0; i < n && dots < 3 && len < size - 1; dots++)
		out[len++] = '.';
	out[len] = '\0';
	return out;
}

char *
log_escs(char *out, size_t size, const char *untrusted)
{
	return log_esc(out, size, untrusted, strlen(untrusted));
}

void
log_limited(struct log_limit *lim, const char *fmt, ...)
{
	char tail[32] = "";
	uint64_t now = now_ms();
	va_list ap;

	if (lim->last_ms != 0 && now - lim->last_ms < 1000) {
		lim->held++;
		return;
	}
	if (lim->held > 0)
		snprintf(tail, sizeof(tail), " (%u more)", lim->held);
	lim->last_ms = now;
	lim->held = 0;
	va_start(ap, fmt);
	line(tail, fmt, ap);
	va_end(ap);
}

void
log_flush(struct log_limit *lim, const char *what)
{
	if (lim->held > 0)
		logit("%s (%u more)", what, lim->held);
	lim->held = 0;
}
