/* SPDX-License-Identifier: ISC */
/* qvm-run: which qubes, and a process for each when there are several. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "call.h"
#include "log.h"
#include "names.h"
#include "paths.h"
#include "qrexecd/qrexec.h"
#include "qvm-run.h"
#include "state.h"
#include "vmconf.h"

#define ALL_MAX 512

static struct {
	struct run o;
	char vm[ALL_MAX][NAME_LEN_MAX + 1];
	size_t nvms;
	pid_t pid[ALL_MAX];
	size_t npids;
	int out, err; /* copies: a stream that the far end closed is closed here too */
} g = {.out = -1, .err = -1};

static void
colours(void)
{
	if (g.o.colour_out != NULL) {
		g.out = dup(1);
		dprintf(1, "\033[0;%sm", g.o.colour_out);
	}
	if (g.o.colour_err != NULL) {
		g.err = dup(2);
		dprintf(2, "\033[0;%sm", g.o.colour_err);
	}
}

static void
plain(int fd)
{
	static const char reset[] = "\033[0m";

	if (fd >= 0 && write(fd, reset, sizeof(reset) - 1) < 0)
		_exit(EXIT_QREXEC);
}

/* Closing is the kernel's: every end of the call is a descriptor of ours. Nothing here but system
 * calls. */
static void
interrupted(int sig)
{
	for (size_t i = 0; i < g.npids; i++)
		kill(g.pid[i], SIGINT);
	plain(g.out);
	plain(g.err);
	_exit(128 + sig);
}

static bool
excluded(const char *name)
{
	for (size_t i = 0; i < g.o.nexclude; i++)
		if (strcmp(g.o.exclude[i], name) == 0)
			return true;
	return false;
}

static bool
wanted(int states, int confs, const char *name)
{
	struct vm_state st;
	struct vmconf_error e;
	struct vmconf c;

	if (!name_ok(name) || is_dom0(name) || excluded(name) || !state_read(states, name, &st))
		return false;
	if (strcmp(st.state, "Running") != 0)
		return false;
	return confs < 0 || !vmconf_load(confs, name, &c, &e) || !c.internal;
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void
all_running(void)
{
	int states = open(RUN_STATE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int confs = open(ETC_VM, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = states < 0 ? NULL : fdopendir(states);
	const struct dirent *e;

	while (dir != NULL && g.nvms < ALL_MAX && (e = readdir(dir)) != NULL)
		if (wanted(states, confs, e->d_name))
			snprintf(g.vm[g.nvms++], sizeof(g.vm[0]), "%.31s", e->d_name);
	qsort(g.vm, g.nvms, sizeof(g.vm[0]), by_name);
	if (dir != NULL)
		closedir(dir);
	if (confs >= 0)
		close(confs);
}

static bool
exists(const char *name)
{
	char path[sizeof(ETC_VM) + NAME_LEN_MAX + 2];

	if (is_dom0(name))
		return true;
	if (!name_ok(name))
		return false;
	snprintf(path, sizeof(path), ETC_VM "/%s", name);
	if (access(path, F_OK) == 0)
		return true;
	snprintf(path, sizeof(path), RUN_STATE "/%s", name);
	return access(path, F_OK) == 0;
}

static int
run_each(void)
{
	int worst = 0;

	for (size_t i = 0; i < g.nvms; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			signal(SIGINT, SIG_DFL);
			_exit(run_in(&g.o, g.vm[i]));
		}
		if (pid < 0)
			fprintf(stderr, "qvm-run: %s: %s\n", g.vm[i], strerror(errno));
		if (pid < 0)
			worst = EXIT_QREXEC;
		else
			g.pid[g.npids++] = pid;
	}
	for (size_t i = 0; i < g.npids; i++) {
		int code = call_status(g.pid[i]);
		worst = code > worst ? code : worst;
	}
	return worst;
}

int
main(int argc, char **argv)
{
	run_parse(&g.o, argc, argv);
	if (g.o.vm != NULL && !exists(g.o.vm)) {
		run_usage();
		fprintf(stderr, "qvm-run: error: no such domain: '%s'\n", g.o.vm);
		return RUN_USAGE;
	}
	const char *why = run_command(&g.o);
	if (why != NULL) {
		run_usage();
		fprintf(stderr, "qvm-run: error: %s\n", why);
		return RUN_USAGE;
	}
	if (g.o.all)
		all_running();
	if (g.nvms > 1 && g.o.pass_io && g.o.localcmd == NULL) {
		run_usage();
		fprintf(stderr, "qvm-run: error: --pass-io is for one qube\n");
		return RUN_USAGE;
	}
	call_std_fds();
	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, interrupted);
	colours();
	int code = g.o.all ? run_each() : g.o.dispvm ? run_disposable(&g.o) : run_in(&g.o, g.o.vm);
	plain(g.out);
	plain(g.err);
	return code;
}
