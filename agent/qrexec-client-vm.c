/* SPDX-License-Identifier: ISC */
/* qrexec-client-vm: a program in a qube calls a service elsewhere (spec/qrexec 9). */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent.h"
#include "buf.h"
#include "log.h"
#include "loop.h"
#include "names.h"
#include "qrexecd/qrexec.h"
#include "rpc/relay.h"
#include "sock.h"
#include "vchan.h"

#define HEAD (MSG_HEADER_LEN + TRIGGER4_FIXED)

struct opts {
	const char *agent, *source, *prefix, *target, *service;
	char *const *program;	    /* NULL: our own standard input and output */
	int filter_out, filter_err; /* -1: when it is a terminal */
	bool stdin_socket;
};

static void
usage(int code)
{
	static const char text[] =
	    "usage: qrexec-client-vm [options] TARGET SERVICE[+ARGUMENT] [PROGRAM [ARGUMENT...]]\n"
	    "  -t, --filter-escape-chars-stdout       (default when it is a terminal)\n"
	    "  -T, --filter-escape-chars-stderr       (default when it is a terminal)\n"
	    "      --no-filter-escape-chars-stdout\n"
	    "      --no-filter-escape-chars-stderr\n"
	    "  -p, --prefix-data=DATA                 sent before standard input\n"
	    "  -s, --source-qube=NAME                 call on behalf of NAME\n"
	    "      --use-stdin-socket                 standard input is a socket for both ways\n"
	    "      --buffer-size=BYTES                ignored\n"
	    "  -a, --agent-socket=PATH\n";

	fputs(text, code == 0 ? stdout : stderr);
	exit(code);
}

static void
options(struct opts *o, int argc, char **argv)
{
	enum { NO_OUT = 256, NO_ERR, STDIN_SOCKET, BUFFER };
	static const struct option l[] = {{"help", no_argument, NULL, 'h'},
	    {"filter-escape-chars-stdout", no_argument, NULL, 't'},
	    {"filter-escape-chars-stderr", no_argument, NULL, 'T'},
	    {"no-filter-escape-chars-stdout", no_argument, NULL, NO_OUT},
	    {"no-filter-escape-chars-stderr", no_argument, NULL, NO_ERR},
	    {"prefix-data", required_argument, NULL, 'p'},
	    {"source-qube", required_argument, NULL, 's'},
	    {"use-stdin-socket", no_argument, NULL, STDIN_SOCKET},
	    {"buffer-size", required_argument, NULL, BUFFER},
	    {"agent-socket", required_argument, NULL, 'a'}, {0}};
	int c;

	*o = (struct opts){.agent = AGENT_SOCK, .source = "", .filter_out = -1, .filter_err = -1};
	while ((c = getopt_long(argc, argv, "+htTp:s:a:", l, NULL)) != -1) {
		if (c == 'h')
			usage(0);
		if (c == '?')
			usage(100);
		if (c == 't' || c == NO_OUT)
			o->filter_out = c == 't';
		if (c == 'T' || c == NO_ERR)
			o->filter_err = c == 'T';
		if (c == 'p')
			o->prefix = optarg;
		if (c == 's')
			o->source = optarg;
		if (c == 'a')
			o->agent = optarg;
		if (c == STDIN_SOCKET)
			o->stdin_socket = true;
	}
	if (argc - optind < 2 || (o->stdin_socket && argc - optind > 2))
		usage(100);
	o->target = argv[optind];
	o->service = argv[optind + 1];
	o->program = argc - optind > 2 ? argv + optind + 2 : NULL;
}

/* A problem of ours, whatever it is: the caller's scripts know 125. */
static _Noreturn void
fail(const char *what)
{
	logit("%s%s%s", what, errno != 0 ? ": " : "", errno != 0 ? strerror(errno) : "");
	exit(EXIT_QREXEC);
}

/* "$" for keywords is what old scripts write. */
static void
put_target(struct wr *w, const char *target)
{
	char name[TARGET_LEN] = "";
	size_t n = strlen(target);

	if (n >= sizeof name) {
		w->full = true;
		return;
	}
	for (size_t i = 0; i < n; i++)
		name[i] = target[i] == '$' ? '@' : target[i];
	wr_padded(w, name, TARGET_LEN);
}

static int
ask(const struct opts *o)
{
	const size_t service = strlen(o->service) + 1;
	uint8_t b[MSG_HEADER_LEN + CONTROL_BODY_MAX];
	struct wr w = wr_over(b, sizeof b);
	int fd;

	wr_u32(&w, MSG_TRIGGER_SERVICE4);
	wr_u32(&w, (uint32_t)(TRIGGER4_FIXED + service));
	wr_padded(&w, o->source, TARGET_LEN);
	put_target(&w, o->target);
	wr_padded(&w, "SOCKET", IDENT_LEN);
	wr_bytes(&w, o->service, service);
	errno = 0;
	if (w.full)
		fail("the names are too long for a request");
	fd = sock_connect_wait(o->agent, -1);
	if (fd < 0)
		fail(o->agent);
	if (send(fd, b, w.len, MSG_NOSIGNAL) != (ssize_t)w.len)
		fail("cannot ask qrexec-agent");
	fd_nonblock(fd, false);
	return fd;
}

/* The answer comes when the policy, and maybe a person, has decided. */
static void
answer(int fd, uint32_t params[2])
{
	ssize_t n = recv(fd, params, 2 * sizeof params[0], MSG_WAITALL);

	if (n == (ssize_t)(2 * sizeof params[0]))
		return;
	fputs("Request refused\n", stderr);
	exit(EXIT_REFUSED);
}

/*
 * Until the service's side of the channel comes. The agent tells when nobody will; that it has gone
 * itself means nothing.
 */
static bool
wait_peer(struct vchan *v, int agent)
{
	const uint64_t end = now_ms() + CHANNEL_MS;
	uint32_t nobody[2];
	uint64_t now;

	if (vchan_wait(v, CHANNEL_MS, agent))
		return true;
	if (recv(agent, nobody, sizeof nobody, MSG_DONTWAIT) != 0)
		return false;
	now = now_ms();
	return vchan_wait(v, now < end ? (int)(end - now) : 0, -1);
}

/* The lowest number that the program would find free: shells take one digit only. */
static bool
saved_fd(const char *name, int fd)
{
	char s[16];
	int n = 3, flags;

	while ((flags = fcntl(n, F_GETFD)) >= 0 && !(flags & FD_CLOEXEC))
		n++;
	snprintf(s, sizeof s, "%d", n);
	return dup2(fd, n) == n && setenv(name, s, 1) == 0;
}

static _Noreturn void
exec_program(char *const *program, int in, int out)
{
	sigset_t none;

	in = fcntl(in, F_DUPFD_CLOEXEC, 100); /* out of the way */
	out = fcntl(out, F_DUPFD_CLOEXEC, 100);
	if (!saved_fd("SAVED_FD_0", 0) || !saved_fd("SAVED_FD_1", 1) ||
	    (getenv("PASS_LOCAL_STDERR") != NULL && !saved_fd("SAVED_FD_2", 2)))
		_exit(EXIT_QREXEC);
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0)
		_exit(EXIT_QREXEC);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execvp(program[0], program);
	logit("%s: %s", program[0], strerror(errno));
	_exit(errno == ENOENT ? EXIT_NOT_FOUND : EXIT_QREXEC);
}

static void
start_program(struct relay *r, char *const *program)
{
	int in[2], out[2];
	char self[16];
	sigset_t set;

	snprintf(self, sizeof self, "%d", (int)getpid());
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, out) < 0 ||
	    setenv("QREXEC_AGENT_PID", self, 1) < 0)
		fail("cannot make sockets");
	r->child = fork();
	if (r->child < 0)
		fail("cannot fork");
	if (r->child == 0)
		exec_program(program, in[0], out[0]);
	close(in[0]);
	close(out[0]);
	r->in = out[1];
	r->out = in[1];
	r->usr1 = true;
}

int
main(int argc, char **argv)
{
	struct relay r = {.side = RELAY_CALLER, .control = -1, .in = 0, .out = 1, .err = 2};
	struct opts o;
	uint32_t params[2];
	int agent;

	log_open("qrexec-client-vm", NULL);
	options(&o, argc, argv);
	agent = ask(&o);
	answer(agent, params);
	errno = 0;
	r.v = vchan_open(VCHAN_SERVER, NULL, vchan_self(), params[0], params[1]);
	if (r.v == NULL)
		fail("cannot open the data channel");
	if (o.stdin_socket)
		r.out = 0;
	if (o.program != NULL)
		start_program(&r, o.program);
	if (!wait_peer(r.v, agent)) {
		errno = 0;
		fail("the service's side of the channel did not come");
	}
	r.prefix = o.prefix;
	r.prefix_len = o.prefix != NULL ? strlen(o.prefix) : 0;
	r.filter_out = o.filter_out >= 0 ? o.filter_out : r.child == 0 && isatty(1);
	r.filter_err = o.filter_err >= 0 ? o.filter_err : isatty(2);
	return relay_run(&r);
}
