/* SPDX-License-Identifier: ISC */
/*
 * In a qube without a network: 127.0.0.1:8082 is the updates proxy of another one. Each connection
 * becomes a call of qubes.UpdatesProxy, whose target the policy chooses; the socket itself is the
 * call's standard input and output (qrexec-client-vm --use-stdin-socket), so no byte passes here.
 * Where the service updates-proxy-setup is off it ends with 0, and is not started again.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libqubesdb/qubesdb.h"
#include "log.h"
#include "loop.h"
#include "names.h"

#define PORT 8082
#define CALLS_MAX 16 /* at a time; who comes then waits in the socket's queue */
#define NOBODY 65534

struct forward {
	struct loop *loop;
	int sock;
	unsigned calls;
	const char *client;
};

static _Noreturn void
usage(int code)
{
	fputs("usage: updates-forward [-f] [-p PORT]\n"
	      "  -f       also where the service updates-proxy-setup is off\n"
	      "  -p PORT  of 127.0.0.1; 8082 if not given\n",
	    code == 0 ? stdout : stderr);
	exit(code);
}

/* On by default in templates, as in stock qubes. */
static bool
wanted(void)
{
	char path[] = "/qubes-service/updates-proxy-setup", kind[] = "/qubes-vm-type";
	qdb_handle_t db = qdb_open(NULL);
	char *value, *type;
	bool on;

	if (db == NULL)
		exit(111); /* not there yet: init starts us again in a second */
	value = qdb_read(db, path, NULL);
	if (value == NULL && errno != ENOENT)
		die("QubesDB");
	type = qdb_read(db, kind, NULL);
	if (type == NULL)
		die("QubesDB is not filled");
	on = value != NULL ? strcmp(value, "1") == 0 : strcmp(type, "TemplateVM") == 0;
	free(value);
	free(type);
	qdb_close(db);
	return on;
}

static int
listen_on(uint16_t port)
{
	const struct sockaddr_in at = {.sin_family = AF_INET,
	    .sin_port = htons(port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), yes = 1;

	if (s < 0 || setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) < 0 ||
	    bind(s, (const struct sockaddr *)&at, sizeof(at)) < 0 || listen(s, 64) < 0)
		die("127.0.0.1:%u", port);
	return s;
}

static void
call(const struct forward *f, int s)
{
	char name[] = "qrexec-client-vm", opt[] = "--use-stdin-socket", sep[] = "--", none[] = "",
	     service[] = "qubes.UpdatesProxy";
	char *const argv[] = {name, opt, sep, none, service, NULL};
	sigset_t all_clear;

	sigemptyset(&all_clear);
	sigprocmask(SIG_SETMASK, &all_clear, NULL);
	signal(SIGPIPE, SIG_DFL);
	if (dup2(s, STDIN_FILENO) >= 0 && dup2(s, STDOUT_FILENO) >= 0)
		execv(f->client, argv);
	logit("%s: %s", f->client, strerror(errno));
	_exit(125);
}

static void
on_connection(struct loop *l, int fd, short revents, void *arg)
{
	struct forward *f = arg;
	const int s = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	pid_t pid;

	(void)revents;
	if (s < 0) {
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			loop_rest(l, fd);
		return;
	}
	pid = fork();
	if (pid == 0)
		call(f, s);
	close(s);
	if (pid < 0)
		logit("fork: %s", strerror(errno));
	else if (++f->calls == CALLS_MAX)
		loop_set(l, fd, 0);
}

static void
on_child(struct loop *l, int sig, short revents, void *arg)
{
	struct forward *f = arg;

	(void)sig, (void)revents;
	while (waitpid(-1, NULL, WNOHANG) > 0)
		if (f->calls-- == CALLS_MAX)
			loop_set(l, f->sock, POLLIN);
}

static void
on_term(struct loop *l, int sig, short revents, void *arg)
{
	(void)sig, (void)revents, (void)arg;
	loop_stop(l, 0);
}

/* Whoever may connect there may also make the call himself: nothing here needs root any more. */
static void
be_nobody(void)
{
	if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setgid(NOBODY) < 0 || setuid(NOBODY) < 0))
		die("cannot become nobody");
}

int
main(int argc, char **argv)
{
	static const struct option longs[] = {{"help", no_argument, NULL, 'h'}, {0}};
	static struct forward f = {.client = LIBDIR "/qrexec-client-vm"};
	const int term[] = {SIGTERM, SIGINT}, child[] = {SIGCHLD};
	uint32_t port = PORT;
	bool force = false;
	int c;

	log_open("updates-forward", NULL);
	while ((c = getopt_long(argc, argv, "fp:", longs, NULL)) != -1) {
		if (c == 'h')
			usage(0);
		if (c != 'f' && (c != 'p' || !parse_u32(optarg, 65535, &port) || port == 0))
			usage(100);
		force = force || c == 'f';
	}
	if (optind != argc)
		usage(100);
	if (!force && !wanted())
		return 0;
	f.sock = listen_on((uint16_t)port);
	be_nobody();
	f.loop = loop_new();
	signal(SIGPIPE, SIG_IGN);
	if (!loop_signals(f.loop, term, 2, on_term, &f) ||
	    !loop_signals(f.loop, child, 1, on_child, &f) ||
	    !loop_add(f.loop, f.sock, POLLIN, on_connection, &f))
		die("poll loop");
	return loop_run(f.loop);
}
