/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "call.h"
#include "ids.h"
#include "qrexec-dom0.h"
#include "qrexecd/qrexec.h"
#include "sandbox.h"
#include "sock.h"

#define SVC_USER "qubes-svc"
#define SVC_NOFILE 1024

static bool
use_passwd(struct dom0_call *d, const struct passwd *pw)
{
	int n = DOM0_GROUPS;

	if (getgrouplist(pw->pw_name, pw->pw_gid, d->who.groups, &n) < 0)
		return false;
	d->who.ngroups = (size_t)n;
	d->who.drop = true;
	d->who.uid = pw->pw_uid;
	d->who.gid = pw->pw_gid;
	snprintf(d->who.name, sizeof(d->who.name), "%s", pw->pw_name);
	snprintf(d->who.home, sizeof(d->who.home), "%s", pw->pw_dir);
	return true;
}

/*
 * Root only where the administrator wrote force-user='root'; by hand a service runs as who called
 * it, and only root can make it run as another.
 */
static bool
choose_user(struct dom0_call *d, const char **why)
{
	const char *force = d->svc.conf.force_user;
	const char *name = *force != '\0' ? force : d->user;
	const struct passwd *pw;

	if (name == NULL && !d->managed) {
		pw = getpwuid(geteuid());
		snprintf(d->who.name, sizeof(d->who.name), "%s", pw != NULL ? pw->pw_name : "");
		return true;
	}
	pw = getpwnam(name != NULL ? name : SVC_USER);
	if (pw == NULL && name == NULL) {
		d->who.drop = true;
		d->who.uid = prog_uid(0, PROG_SVC);
		d->who.gid = (gid_t)d->who.uid;
		snprintf(d->who.name, sizeof(d->who.name), SVC_USER);
		snprintf(d->who.home, sizeof(d->who.home), "/");
		return true;
	}
	*why = "no such user";
	if (pw == NULL)
		return false;
	*why = "only root may run a service as another user";
	if (geteuid() != 0 && pw->pw_uid != geteuid())
		return false;
	*why = "root is for services with force-user='root'";
	if (d->managed && name == NULL && pw->pw_uid == 0)
		return false;
	*why = "the user is in too many groups";
	if (!use_passwd(d, pw))
		return false;
	d->who.drop = geteuid() == 0;
	return true;
}

int
dom0_prepare(struct dom0_call *d, const char *command, const char **why)
{
	*why = svc_parse(&d->cmd, command, true);
	if (*why != NULL)
		return EXIT_QREXEC;
	int code = svc_lookup(&d->cmd, &d->svc, why);
	if (code != 0)
		return code;
	return choose_user(d, why) ? 0 : EXIT_QREXEC;
}

/* An own session and bounded: what a qube asked for must not take this daemon's limits along. */
static void
confine(const struct dom0_call *d)
{
	const struct rlimit nofile = {SVC_NOFILE, SVC_NOFILE}, core = {0, 0};

	if (!d->managed)
		return;
	setsid();
	setrlimit(RLIMIT_NOFILE, &nofile);
	setrlimit(RLIMIT_CORE, &core);
}

static void
become(const struct dom0_call *d)
{
	confine(d);
	if (!d->who.drop)
		return;
	/* All of them have one uid: the call of one qube must not reach into another's. */
	if (d->managed && d->svc.conf.force_user[0] == '\0')
		sandbox_scope();
	drop_to(d->who.uid, d->who.gid, d->who.groups, d->who.ngroups);
	setenv("USER", d->who.name, 1);
	setenv("LOGNAME", d->who.name, 1);
	setenv("HOME", d->who.home, 1);
	if (chdir(d->who.home) < 0 && chdir("/") < 0)
		_exit(EXIT_QREXEC);
}

static int
session_program(void *arg)
{
	(void)arg;
	struct svc_cmd c = {0};
	struct svc s = {0};
	const char *why;

	if (svc_parse(&c, "QUBESRPC qubes.WaitForSession dom0", true) != NULL)
		return EXIT_QREXEC;
	int code = svc_lookup(&c, &s, &why);
	return code != 0 || s.kind != SVC_PROGRAM ? EXIT_NOT_FOUND : svc_exec(&c, &s);
}

/* In the service's process, so that nothing else waits. Its failure does not stop the service. */
static void
wait_for_session(const struct dom0_call *d)
{
	struct relay r = {0};
	char drain[512];
	sigset_t before;

	sigprocmask(SIG_SETMASK, NULL, &before);
	pid_t pid = call_spawn(&r, session_program, NULL);
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (pid < 0)
		return;
	if (dprintf(r.out, "%s\n", d->who.name) < 0)
		fprintf(stderr, "qubes.WaitForSession: %s\n", strerror(errno));
	close(r.out);
	while (read(r.in, drain, sizeof(drain)) > 0)
		;
	close(r.in);
	call_status(pid);
}

int
dom0_exec(struct dom0_call *d)
{
	if (d->svc.kind != SVC_PROGRAM) {
		fprintf(stderr, "%s: not a program\n", d->cmd.full);
		return EXIT_QREXEC;
	}
	become(d);
	if (d->svc.conf.wait_for_session)
		wait_for_session(d);
	return svc_exec(&d->cmd, &d->svc);
}

static int
run_service(void *arg)
{
	struct dom0_call *d = arg;

	if (d->managed && dup2(d->err, STDERR_FILENO) < 0)
		return EXIT_QREXEC;
	return dom0_exec(d);
}

/* Its standard error may hold what a qube chose: the relay, from its pump, writes it to the log,
 * escaped and bounded. */
static bool
start_program(struct dom0_call *d, struct relay *r)
{
	int err[2] = {-1, -1};

	if (d->managed && pipe2(err, O_CLOEXEC) < 0)
		return false;
	/* It may open /dev/stderr as well. */
	if (d->managed && d->who.drop && fchown(err[1], d->who.uid, d->who.gid) < 0)
		return false;
	d->err = err[1];
	r->err = err[0];
	r->log_err = d->managed ? d->cmd.name : NULL;
	r->child = call_spawn(r, run_service, d);
	if (err[1] >= 0)
		close(err[1]);
	return r->child >= 0;
}

int
dom0_start(struct dom0_call *d, struct relay *r, const char **why)
{
	r->err = -1;
	if (d->svc.kind == SVC_PROGRAM) {
		*why = "cannot start a process";
		return start_program(d, r) ? 0 : EXIT_QREXEC;
	}
	r->in = r->out = svc_connect(&d->cmd, &d->svc, why);
	if (r->in < 0)
		return EXIT_QREXEC;
	r->child = 0;
	r->socket_service = true;
	r->exit_on_client_eof = d->svc.conf.exit_on_client_eof;
	r->exit_on_service_eof = d->svc.conf.exit_on_service_eof;
	return 0;
}
