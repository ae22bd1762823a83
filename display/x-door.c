/* SPDX-License-Identifier: ISC */
#include "x-door.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "kv.h"
#include "log.h"
#include "paths.h"
#include "sock.h"

#define DOOR_MS 2000 /* between two looks, where nothing tells us; and for its answer */
#define COOKIE_MAX 256

int
x_door_watch(void)
{
	const int fd = inotify_init1(IN_CLOEXEC);

	if (fd < 0 || inotify_add_watch(fd, RUN_DISPLAY, IN_CREATE | IN_MOVED_TO) >= 0)
		return fd;
	close(fd);
	return -1;
}

/* "NAME HEX": what the X server wants to see. */
static bool
cookie(const char *text, char name[64], char data[COOKIE_MAX], xcb_auth_info_t *auth)
{
	const char *hex = strchr(text, ' ');
	const size_t n = hex != NULL ? strlen(hex + 1) : 0;

	*auth = (xcb_auth_info_t){.name = name, .data = data, .datalen = (int)(n / 2)};
	if (*text == '\0')
		return true;
	if (hex == NULL || hex - text >= 64 || n % 2 != 0 || n / 2 > COOKIE_MAX ||
	    strspn(hex + 1, "0123456789abcdefABCDEF") != n)
		return false;
	auth->namelen = snprintf(name, 64, "%.*s", (int)(hex - text), text);
	for (size_t i = 0; i < n / 2; i++)
		data[i] = (char)strtoul((char[]){hex[1 + 2 * i], hex[2 + 2 * i], 0}, NULL, 16);
	return true;
}

/* *there: somebody serves it. */
static xcb_connection_t *
ask(const char *path, gid_t people, bool *there)
{
	static struct kv kv;
	xcb_auth_info_t auth;
	xcb_connection_t *x;
	char name[64], data[COOKIE_MAX];
	const char *a, *bad;
	int s = sock_connect_wait(path, DOOR_MS), fd = -1;

	*there = s >= 0 || errno == EAGAIN;
	if (s < 0)
		return NULL;
	bad = sock_peer_is_person(s, people) ? kv_ask(s, "", 0, DOOR_MS, &kv, &fd)
					     : "who serves it is not a person";
	close(s);
	a = bad == NULL ? kv_get(&kv, "auth") : NULL;
	if (bad == NULL && (fd < 0 || !cookie(a != NULL ? a : "", name, data, &auth)))
		bad = "no connection came";
	if (bad != NULL) {
		logit("display %s: %s", path, bad);
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	x = xcb_connect_to_fd(fd, auth.namelen > 0 ? &auth : NULL);
	if (xcb_connection_has_error(x))
		die("the X server lets us not in");
	return x;
}

/* Who has not answered well may do so later; where nobody is the directory tells of who comes. */
xcb_connection_t *
x_door(const char *display, int watch, gid_t people, int end, int *screen)
{
	struct pollfd p[] = {{.fd = watch, .events = POLLIN}, {.fd = end}};
	const size_t digits = strspn(display + 1, "0123456789");
	char path[64], events[4096];
	xcb_connection_t *x;
	bool there;

	*screen =
	    display[1 + digits] == '.' ? display[2 + digits] - '0' : 0; /* one digit: vmconf */
	snprintf(path, sizeof path, RUN_DISPLAY "/%.*s", (int)digits, display + 1);
	while ((x = ask(path, people, &there)) == NULL) {
		(void)poll(p, 2, watch >= 0 && !there ? -1 : DOOR_MS);
		if (p[1].revents != 0)
			return NULL;
		if (p[0].revents != 0)
			(void)!read(watch, events, sizeof events);
	}
	return x;
}
