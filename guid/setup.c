/* SPDX-License-Identifier: ISC */
/*
 * What is taken before the sandbox, and the sandbox. By hand the display and the agent are waited
 * for outside, by a process of each session of the agent; a parent that speaks with neither starts
 * the next one. Managed both are waited for inside: the display from who runs in the session
 * (display), the channel from chand; when either goes the supervisor starts us again.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chan.h"
#include "display/x-door.h"
#include "guid-hand.filter.h"
#include "guid.filter.h"
#include "guid.h"
#include "ids.h"
#include "paths.h"
#include "sandbox.h"
#include "sock.h"

#define MEMORY (1ull << 30) /* both segments, all that a qube may have mapped, its windows */
#define NOFILE (2 * WINDOWS_MAX)

/* ---- by hand ---- */

static struct {
	pid_t child;
	char flag[64];
} hand;

static void
on_signal(int sig)
{
	(void)sig;
	if (hand.child > 0 && kill(hand.child, SIGKILL) == 0)
		(void)waitpid(hand.child, NULL, 0); /* it has the lock, too */
	unlink(hand.flag);
	_exit(0);
}

static void
on_signals(void (*fn)(int))
{
	signal(SIGTERM, fn);
	signal(SIGINT, fn);
	signal(SIGUSR1, fn);
}

/* One guid for a domain: the file says who, the lock that it is true. */
static void
alone(const struct options *o)
{
	int fd;

	snprintf(hand.flag, sizeof hand.flag, RUN_DIR "/guid-running.%u", o->domid);
	fd = open(hand.flag, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0) {
		*hand.flag = '\0';
		return; /* nobody has made the directory: nobody looks there */
	}
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		exit(0);
	if (ftruncate(fd, 0) < 0 || dprintf(fd, "%d\n", (int)getpid()) < 0)
		die("cannot write %s", hand.flag);
}

/* In the child; the other waits until the agent has come, startup_timeout is over, or it ended. */
static void
into_background(struct gui *g)
{
	struct pollfd p = {.events = POLLIN};
	int pipe[2], status;
	pid_t pid;

	if (pipe2(pipe, O_CLOEXEC) < 0 || (pid = fork()) < 0)
		die("fork");
	if (pid == 0) {
		dup2(open("/dev/null", O_RDWR | O_CLOEXEC), STDIN_FILENO);
		setsid();
		close(pipe[0]);
		g->ready = pipe[1];
		return;
	}
	close(pipe[1]);
	p.fd = pipe[0];
	if (g->o.background || poll(&p, 1, (int)g->o.startup_timeout * 1000) != 1)
		_exit(0);
	if (read(pipe[0], &(char){0}, 1) != 1)
		_exit(
		    waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 1);
	if (g->o.kill_pid > 0)
		kill((pid_t)g->o.kill_pid, SIGUSR1);
	_exit(0);
}

/* Returns in a child, for one session of the agent. */
static void
sessions(struct gui *g)
{
	const pid_t parent = getpid();
	int status = 0;

	on_signals(on_signal);
	do {
		hand.child = fork();
		if (hand.child < 0)
			die("fork");
		if (hand.child == 0) {
			on_signals(SIG_DFL);
			if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
				exit(111);
			return;
		}
		if (g->ready >= 0)
			close(g->ready);
		g->ready = -1;
		while (waitpid(hand.child, &status, 0) < 0 && errno == EINTR)
			;
	} while (WIFEXITED(status) && WEXITSTATUS(status) == AGAIN);
	unlink(hand.flag);
	exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

/* ---- the display ---- */

static void
by_environment(struct gui *g)
{
	const char *display = getenv("DISPLAY");

	if (display == NULL || *display != ':')
		usage_die("guid: DISPLAY has to be :N or :N.S");
	g->x.c = xcb_connect(NULL, &g->screen);
	if (xcb_connection_has_error(g->x.c))
		die("cannot connect to the X server %s", display);
}

/* ---- the agent ---- */

static void
channel(struct gui *g)
{
	const char *why;
	int control;

	g->link.v = chan_open(VCHAN_CLIENT, g->o.domid, GUI_PORT, -1, &control, &why);
	if (g->link.v == NULL)
		die("the agent: %s", why);
	control_open(&g->control, control, g->o.domid);
}

void
setup(struct gui *g)
{
	g->px.qgnt = g->o.session == NULL ? getenv("QGNT_DIR") : NULL;
	g->people = people_gid();
	if (gethostname(g->host, sizeof g->host - 1) < 0)
		die("gethostname");
	if (getrandom(&g->win.seed, sizeof g->win.seed, 0) != sizeof g->win.seed)
		die("getrandom");
	if (g->o.session == NULL) {
		if (!g->o.foreground)
			into_background(g);
		alone(&g->o);
		sessions(g);
		by_environment(g);
		channel(g);
	} else {
		g->inotify = x_door_watch();
	}
	g->pid = getpid();
	pixels_start(g);
}

void
enter_sandbox(struct gui *g)
{
	static const gid_t groups[] = {GID_DAEMONS};
	const bool own = g->o.session == NULL;
	const struct sandbox_path paths[] = {{RUN_S, SB_SOCKET | SB_MAYBE},
	    {own ? g->px.qgnt : RUN_DISPLAY, own ? SB_READ : SB_SOCKET | SB_MAYBE}};
	const struct sandbox sb = {
	    .uid = own ? SANDBOX_KEEP_UID : prog_uid(g->o.qid, PROG_GUID),
	    .groups = groups,
	    .ngroups = 1,
	    .paths = paths,
	    .npaths = paths[1].path != NULL ? 2 : 1,
	    .filter = own ? guid_hand_filter : guid_filter,
	    .nfilter = own ? guid_hand_filter_len : guid_filter_len,
	    .nofile = NOFILE,
	    .memory = MEMORY,
	};

	sandbox_enter(&sb);
	if (own)
		return;
	g->x.c = x_door(g->o.display, g->inotify, g->people, -1, &g->screen);
	channel(g);
}
