/* SPDX-License-Identifier: ISC */
/* A data child of qrexec-agent: one call (spec/qrexec 5, 7, 10). */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"
#include "log.h"
#include "qrexecd/qrexec.h"
#include "rpc/relay.h"
#include "rpc/service.h"
#include "vchan.h"

#define ROOT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define USER_PATH "/usr/local/bin:/usr/bin:/bin"
#define WAIT_FOR_SESSION "root:QUBESRPC qubes.WaitForSession "

/* Ends of the program's standard descriptors: [0] is its own, [1] ours. err: [1] its own. */
struct stdio {
	int in[2], out[2], err[2];
};

static bool
login_env(const struct passwd *pw)
{
	const char *shell = pw->pw_shell[0] != '\0' ? pw->pw_shell : "/bin/sh";

	return setenv("HOME", pw->pw_dir, 1) == 0 && setenv("USER", pw->pw_name, 1) == 0 &&
	       setenv("LOGNAME", pw->pw_name, 1) == 0 && setenv("SHELL", shell, 1) == 0 &&
	       setenv("PATH", pw->pw_uid == 0 ? ROOT_PATH : USER_PATH, 1) == 0;
}

/*
 * The whole data child becomes the user: the program may then signal it (SIGUSR1), and what handles
 * the caller's bytes has no more rights than the program has.
 */
static bool
become(const char *name)
{
	const struct passwd *pw = getpwnam(name);
	char esc[LOG_ESC_MAX];

	if (pw == NULL) {
		logit("no user %s here", log_escs(esc, sizeof esc, name));
		return false;
	}
	if (geteuid() != 0 && pw->pw_uid != geteuid()) {
		logit("not started as root: cannot become %s", log_escs(esc, sizeof esc, name));
		return false;
	}
	if (geteuid() == 0 && (initgroups(pw->pw_name, pw->pw_gid) < 0 || setgid(pw->pw_gid) < 0 ||
				  setuid(pw->pw_uid) < 0)) {
		logit("cannot become %s: %s", pw->pw_name, strerror(errno));
		return false;
	}
	if (chdir(pw->pw_dir) < 0 && chdir("/") < 0)
		return false;
	return login_env(pw);
}

/* In the new process: what was blocked or ignored for the relay is as it was. */
static void
fresh_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
}

static _Noreturn void
exec_command(const struct svc_cmd *c, const struct svc *s)
{
	const char *shell = getenv("SHELL");

	if (shell == NULL)
		shell = "/bin/sh";
	fresh_signals();
	setsid();
	if (c->rpc)
		_exit(svc_exec(c, s));
	execl(shell, shell, "-c", c->shell, (char *)NULL);
	_exit(errno == ENOENT ? EXIT_NOT_FOUND : EXIT_QREXEC);
}

/* Sockets, so that a program may use one for both directions; a pipe, so that /dev/stderr can be
 * opened. */
static bool
make_stdio(struct stdio *io)
{
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, io->in) == 0 &&
	       socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, io->out) == 0 &&
	       pipe2(io->err, O_CLOEXEC) == 0;
}

static pid_t
start(const struct svc_cmd *c, const struct svc *s, struct stdio *io)
{
	char self[16];
	pid_t pid;

	snprintf(self, sizeof self, "%d", (int)getpid());
	if (!make_stdio(io) || setenv("QREXEC_AGENT_PID", self, 1) < 0)
		return -1;
	pid = fork();
	if (pid < 0)
		return -1;
	if (pid == 0) {
		if (dup2(io->in[0], 0) < 0 || dup2(io->out[0], 1) < 0 || dup2(io->err[1], 2) < 0)
			_exit(EXIT_QREXEC);
		exec_command(c, s);
	}
	close(io->in[0]);
	close(io->out[0]);
	close(io->err[1]);
	return pid;
}

static int
start_detached(const struct svc_cmd *c, const struct svc *s)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	pid_t pid = null < 0 ? -1 : fork();

	if (pid < 0)
		return EXIT_QREXEC;
	if (pid == 0) {
		if (dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0)
			_exit(EXIT_QREXEC);
		exec_command(c, s);
	}
	return 0;
}

/* A user's session may have to come up first. Its failure does not stop the service. */
static void
wait_for_session(const struct svc_cmd *c, const char *user)
{
	char cmd[sizeof WAIT_FOR_SESSION + sizeof c->source];
	struct svc_cmd hook = {0};
	struct svc s;
	const char *why;
	int in[2];
	pid_t pid;

	snprintf(cmd, sizeof cmd, WAIT_FOR_SESSION "%s", c->source);
	if (svc_parse(&hook, cmd, false) != NULL || svc_lookup(&hook, &s, &why) != 0 ||
	    s.kind != SVC_PROGRAM || pipe2(in, O_CLOEXEC) < 0)
		goto out;
	pid = fork();
	if (pid == 0) {
		if (dup2(in[0], 0) < 0 || dup2(2, 1) < 0)
			_exit(EXIT_QREXEC);
		exec_command(&hook, &s);
	}
	close(in[0]);
	dprintf(in[1], "%s\n", user);
	close(in[1]);
	if (pid > 0)
		waitpid(pid, NULL, 0);
out:
	svc_free(&hook);
}

static int
refuse(struct vchan *v, bool just, int code)
{
	return just ? relay_just_exec(v, false, code) : relay_refuse(v, false, code);
}

static int
socket_call(struct vchan *v, bool just, const struct svc_cmd *c, const struct svc *s)
{
	const char *why;
	int fd = svc_connect(c, s, &why);
	struct relay r = {.side = RELAY_SERVICE,
	    .v = v,
	    .control = -1,
	    .in = fd,
	    .out = fd,
	    .err = -1,
	    .socket_service = true,
	    .exit_on_client_eof = s->conf.exit_on_client_eof,
	    .exit_on_service_eof = s->conf.exit_on_service_eof};

	if (fd < 0) {
		logit("%s: %s", c->name, why);
		return refuse(v, just, EXIT_QREXEC);
	}
	if (!just)
		return relay_run(&r);
	close(fd);
	return relay_just_exec(v, false, 0);
}

static int
program_call(struct vchan *v, bool just, const struct svc_cmd *c, const struct svc *s)
{
	const char *user = s->conf.force_user[0] != '\0' ? s->conf.force_user : c->user;
	struct relay r = {.side = RELAY_SERVICE, .v = v, .control = -1, .usr1 = true};
	struct stdio io;

	if (!become(user))
		return refuse(v, just, EXIT_QREXEC);
	if (just)
		return relay_just_exec(v, false, start_detached(c, s));
	r.child = start(c, s, &io);
	if (r.child < 0)
		return refuse(v, just, EXIT_QREXEC);
	r.in = io.out[1];
	r.out = io.in[1];
	r.err = io.err[0];
	r.err_held = true;
	return relay_run(&r);
}

static int
call(struct vchan *v, bool just, const char *untrusted_command)
{
	struct svc_cmd c;
	struct svc s = {0};
	const char *why = svc_parse(&c, untrusted_command, false);
	int rc = why != NULL ? EXIT_QREXEC : 0;
	char esc[LOG_ESC_MAX];

	if (rc == 0 && c.rpc)
		rc = svc_lookup(&c, &s, &why);
	if (rc != 0) {
		logit("%s: %s", log_escs(esc, sizeof esc, untrusted_command), why);
		return refuse(v, just, rc);
	}
	if (s.conf.wait_for_session)
		wait_for_session(&c, s.conf.force_user[0] != '\0' ? s.conf.force_user : c.user);
	if (s.kind == SVC_SOCKET || s.kind == SVC_TCP)
		return socket_call(v, just, &c, &s);
	return program_call(v, just, &c, &s);
}

/* An agent that was killed may have done so before its caller knew where to come. */
static bool
caller_comes(struct vchan *v)
{
	const int agent = (int)syscall(SYS_pidfd_open, getppid(), 0);
	const bool comes = vchan_wait(v, CHANNEL_MS, agent) || vchan_wait(v, ORPHAN_MS, -1);

	if (agent >= 0)
		close(agent);
	return comes;
}

void
data_child(bool just, uint32_t domain, uint32_t port, const char *command)
{
	struct vchan *v;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_SETMASK, &set, NULL);
	v = vchan_open(VCHAN_CLIENT, NULL, vchan_self(), domain, port);
	if (v == NULL || !caller_comes(v)) {
		logit("the caller's channel %u.%u did not come", domain, port);
		_exit(EXIT_QREXEC);
	}
	_exit(call(v, just, command));
}
