/* SPDX-License-Identifier: ISC */
/* The qube's X server, when process 1 has started us: ours to start, as the qube's user, with the
 * keyboard of Dom0. It outlives us, and its programs with it. */
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ga.h"
#include "libqubesdb/qubesdb.h"

#define XVFB "/usr/bin/Xvfb"
#define SETXKBMAP "/usr/bin/setxkbmap"
/* At least: it is never larger than it was at first. */
#define WIDTH 2560u
#define HEIGHT 1600u
#define START_MS 60000

bool
server_wanted(char *user, char *layout, size_t size)
{
	char enabled[] = "/qubes-gui-enabled", name[] = "/default-user",
	     keys[] = "/keyboard-layout";
	qdb_handle_t db = qdb_open(NULL);
	char *const v[] = {db ? qdb_read(db, enabled, NULL) : NULL,
	    db ? qdb_read(db, name, NULL) : NULL, db ? qdb_read(db, keys, NULL) : NULL};
	const bool wanted = v[0] != NULL && strcmp(v[0], "True") == 0 && access(XVFB, X_OK) == 0;

	if (db == NULL)
		die("QubesDB is not there yet");
	snprintf(user, size, "%s", v[1] != NULL ? v[1] : "user");
	snprintf(layout, size, "%s", v[2] != NULL ? v[2] : "");
	for (size_t i = 0; i < 3; i++)
		free(v[i]);
	qdb_close(db);
	return wanted;
}

/* Not by getpwnam: static programs have it only with glibc's own libraries beside them. */
void
server_user(const char *user)
{
	FILE *f = fopen("/etc/passwd", "re");
	const struct passwd *pw = NULL;

	while (f != NULL && (pw = fgetpwent(f)) != NULL && strcmp(pw->pw_name, user) != 0)
		;
	if (pw == NULL)
		die("there is no user %s", user);
	if (geteuid() == 0 &&
	    (setgroups(0, NULL) < 0 || setgid(pw->pw_gid) < 0 || setuid(pw->pw_uid) < 0))
		die("cannot become %s", user);
	setenv("HOME", pw->pw_dir, 1);
	setenv("DISPLAY", ":0", 1);
	fclose(f);
}

static void
run(char *const argv[])
{
	if (access(argv[0], X_OK) != 0 || fork() != 0)
		return;
	signal(SIGPIPE, SIG_DFL);
	signal(SIGCHLD, SIG_DFL);
	setsid();
	execv(argv[0], argv);
	_exit(111);
}

/* layout+variant+options */
static void
keyboard(char *layout)
{
	char *variant = strchr(layout, '+'), *options = variant ? strchr(variant + 1, '+') : NULL;

	if (options == NULL || *layout == '\0')
		return;
	*variant++ = *options++ = '\0';
	char *const argv[] = {SETXKBMAP, "-layout", layout, "-variant", variant,
	    *options ? "-option" : NULL, options, NULL};
	run(argv);
}

void
server_start(char *layout, uint32_t w, uint32_t h)
{
	xcb_connection_t *c = xcb_connect(NULL, NULL);
	const bool there = !xcb_connection_has_error(c);
	struct pollfd ready;
	char fd[12], screen[40];
	int p[2];

	xcb_disconnect(c);
	signal(SIGCHLD, SIG_IGN);
	if (!there) {
		if (pipe(p) < 0)
			die("pipe");
		snprintf(fd, sizeof fd, "%d", p[1]);
		snprintf(screen, sizeof screen, "%ux%ux24",
		    w > WIDTH && w <= GUI_WIDTH_MAX ? w : WIDTH,
		    h > HEIGHT && h <= GUI_HEIGHT_MAX ? h : HEIGHT);
		char *const argv[] = {XVFB, ":0", "-screen", "0", screen, "-nolisten", "tcp",
		    "-noreset", "-displayfd", fd, NULL};
		run(argv);
		close(p[1]);
		ready = (struct pollfd){.fd = p[0], .events = POLLIN};
		if (poll(&ready, 1, START_MS) != 1 || read(p[0], fd, 1) != 1)
			die(XVFB " does not start");
		close(p[0]);
	}
	keyboard(layout);
}
