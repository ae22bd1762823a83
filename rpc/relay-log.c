/* SPDX-License-Identifier: ISC */
/*
 * A service's standard error that stays here: line by line, under our name, and no more than a log
 * can bear. A qube may have chosen its bytes.
 */
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay-state.h"

#define LINES 100    /* of one call; more of them one a second */
#define LAST_READS 8 /* of what a service that has ended left */
#define LAST_MS 100

static void
flush(struct errlog *e)
{
	const int n = (int)e->len;

	if (n == 0)
		return;
	e->len = 0;
	if (e->lines++ < LINES)
		logit("%s says: %.*s", e->name, n, e->line);
	else
		log_limited(&e->more, "%s says: %.*s", e->name, n, e->line);
}

void
errlog_open(struct errlog *e, int fd, const char *name)
{
	*e = (struct errlog){.fd = fd, .name = name};
}

bool
errlog_read(struct errlog *e)
{
	char untrusted[1024];
	ssize_t n = read(e->fd, untrusted, sizeof untrusted);

	for (ssize_t i = 0; i < n; i++) {
		if (untrusted[i] != '\n')
			e->line[e->len++] = untrusted[i];
		if (untrusted[i] == '\n' || e->len == sizeof e->line)
			flush(e);
	}
	if (n == 0) {
		flush(e);
		close(e->fd);
		e->fd = -1;
	}
	return n > 0;
}

/* Its pump hands over what it has, unless the service holds it up: then not all is logged. */
void
errlog_end(struct errlog *e)
{
	struct pollfd p = {.fd = e->fd, .events = POLLIN};

	if (e->fd >= 0)
		shutdown(e->fd, SHUT_WR);
	for (int i = 0; i < LAST_READS && e->fd >= 0 && poll(&p, 1, LAST_MS) > 0; i++)
		errlog_read(e);
	if (e->fd >= 0)
		close(e->fd);
	e->fd = -1;
	flush(e);
	log_flush(&e->more, "a service says");
}
