/* SPDX-License-Identifier: ISC */
/* The qube's X server, when process 1 has started us: ours to start, as the qube's user. */
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ga.h"
#include "libqubesdb/qubesdb.h"

#define XVFB "/usr/bin/Xvfb"
#define START_X (LIBDIR "/start-x")

/* Not by getpwnam: static programs have it only with glibc's own libraries beside them. */
static void
become(const char *user)
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

bool
server_wanted(void)
{
	char gui[] = "/qubes-gui-enabled", name[] = "/default-user";
	qdb_handle_t db = qdb_open(NULL);
	char *enabled, *user;
	bool wanted;

	if (db == NULL)
		die("QubesDB is not there yet");
	enabled = qdb_read(db, gui, NULL);
	user = qdb_read(db, name, NULL);
	qdb_close(db);
	wanted = enabled != NULL && strcmp(enabled, "True") == 0 && access(XVFB, X_OK) == 0;
	if (wanted)
		become(user != NULL ? user : "user");
	free(enabled);
	free(user);
	return wanted;
}

void
server_start(uint32_t w, uint32_t h)
{
	char width[12], height[12];
	char *const argv[] = {START_X, width, height, NULL};
	xcb_connection_t *c = xcb_connect(NULL, NULL);
	const bool there = !xcb_connection_has_error(c);
	int status = -1;
	pid_t pid;

	xcb_disconnect(c);
	if (there)
		return;
	snprintf(width, sizeof width, "%u", w < GUI_WIDTH_MAX ? w : 0);
	snprintf(height, sizeof height, "%u", h < GUI_HEIGHT_MAX ? h : 0);
	pid = fork();
	if (pid == 0) {
		setsid();
		execv(argv[0], argv);
		_exit(111);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		die("%s: status %d", argv[0], status);
}
