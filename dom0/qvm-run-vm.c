/* SPDX-License-Identifier: ISC */
/* One run in one qube: its state, the session, the call, the time it took. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "call.h"
#include "kv.h"
#include "log.h"
#include "loop.h"
#include "names.h"
#include "paths.h"
#include "qrexec-dom0.h"
#include "qrexecd/qrexec.h"
#include "qvm-run.h"
#include "sock.h"
#include "state.h"
#include "vmconf.h"
#include "vmstart/startsock.h"

#define CHANNEL_MS 10000 /* qrexec-client's own default */
#define START_MS 300000
#define START_QUIET_MS 2000 /* a start that takes longer is worth a line */
#define EXIT_NOT_STARTED 1
#define EXIT_REFUSED_DISPVM 255 /* spec/qrexec 13: what the Admin API refuses */

static int
say(const char *vm, const char *why, int code)
{
	fprintf(stderr, "qvm-run: %s: %s\n", vm, why);
	return code;
}

/* The answer in what startd has said so far, progress lines before it; NULL: it is not whole. */
static const char *
whole_answer(const char *text, size_t len)
{
	const char *at = memmem(text, len, "result=", 7);

	while (at != NULL && at > text && at[-1] != '\n')
		at = memmem(at + 1, len - (size_t)(at + 1 - text), "result=", 7);
	return at != NULL && kv_whole(at, len - (size_t)(at - text)) > 0 ? at : NULL;
}

/* Reads what startd says until its answer is there or it closes. */
static const char *
read_answer(int s, const char *vm, char *text, size_t cap, size_t *len)
{
	uint64_t began = now_ms();
	bool told = false;

	for (;;) {
		struct pollfd p = {.fd = s, .events = POLLIN};
		int n = poll(&p, 1, told ? START_MS : START_QUIET_MS);
		if (n == 0 && !told) {
			fprintf(stderr, "Starting %s...\n", vm);
			told = true;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || now_ms() - began > START_MS)
			return "startd does not answer";
		ssize_t got = recv(s, text + *len, cap - *len, MSG_DONTWAIT);
		if (got < 0)
			return "startd went away";
		if (got == 0)
			return *len > 0 ? NULL : "startd closed the connection";
		*len += (size_t)got;
		if (whole_answer(text, *len) != NULL)
			return NULL;
		if (*len == cap)
			return "startd says too much";
	}
}

/* One op=start, by name= or disp=. 0 and the answer in *kv, or the status, said on stderr. *s stays
 * open. */
static int
ask_startd(const char *key, const char *vm, int *s, struct kv *kv)
{
	char text[KV_BYTES], request[START_REQUEST_MAX];
	size_t len = 0;
	uint32_t code = EXIT_NOT_STARTED;
	int n = snprintf(request, sizeof(request), "op=start\n%s=%s\n\n", key, vm);

	*s = sock_connect_wait(START_SOCK, 10000);
	if (*s < 0)
		return say(vm,
		    errno == EACCES ? "only root and members of group qubes may"
				    : "it does not run, and startd is not there (cubicle-up)",
		    EXIT_NOT_STARTED);
	const char *why = "startd does not answer";
	if (send(*s, request, (size_t)n, MSG_NOSIGNAL) == n)
		why = read_answer(*s, vm, text, sizeof(text) - 1, &len);
	if (why != NULL)
		return say(vm, why, EXIT_NOT_STARTED);
	text[len] = '\0';
	const char *from = strstr(text, "result=");
	why = from == NULL ? "no result" : kv_parse(kv, from, len - (size_t)(from - text));
	if (why != NULL)
		return say(vm, why, EXIT_NOT_STARTED);
	const char *result = kv_get(kv, "result"), *number = kv_get(kv, "code");
	if (result != NULL && strcmp(result, "ok") == 0)
		return 0;
	if (number != NULL && (!parse_u32(number, 255, &code) || code == 0))
		code = EXIT_NOT_STARTED;
	const char *reason = kv_get(kv, "reason");
	return say(vm, reason != NULL ? reason : "not started", (int)code);
}

int
run_start(const char *vm)
{
	struct kv kv;
	int s, code = ask_startd("name", vm, &s, &kv);

	if (s >= 0)
		close(s);
	return code;
}

/* What RUN_STATE says; Halted when there is nothing. */
static void
power_state(const char *vm, char *state, size_t n)
{
	struct vm_state st = {0};
	int dir = open(RUN_STATE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	bool known = dir >= 0 && state_read(dir, vm, &st);
	snprintf(state, n, "%s", known ? st.state : "Halted");
	if (dir >= 0)
		close(dir);
}

/* 0 to go on. A start of a qube that is starting waits for it. */
static int
make_running(const struct run *o, const char *vm)
{
	char state[16];

	power_state(vm, state, sizeof(state));
	if (strcmp(state, "Running") == 0)
		return 0;
	bool paused = strcmp(state, "Paused") == 0;
	if (!paused && o->autostart)
		return run_start(vm);
	if (o->verbose > 0)
		fprintf(stderr, paused ? "Qube '%s' is paused\n" : "Qube '%s' not started\n", vm);
	return EXIT_NOT_STARTED;
}

static int
start_local(struct call *c, void *arg)
{
	struct call_shell sh = {"/bin/sh", ((const struct run *)arg)->localcmd};
	static pid_t local;

	local = call_spawn(&c->relay, call_shell, &sh);
	c->arg = &local;
	return local < 0 ? say(c->target, strerror(errno), EXIT_QREXEC) : 0;
}

static void
timing(const char *vm, const struct call_times *t, uint64_t from)
{
#define US(x) (unsigned long long)(t->x != 0 ? t->x - from : 0)
	fprintf(stderr, "timing %s: connect=%llu start=%llu channel=%llu first=%llu end=%llu us\n",
	    vm, US(connected), US(answered), US(channel), US(first), US(end));
#undef US
}

/* qubes.WaitForSession gets the user's name on its input; it has answered when the session is
 * there. */
static int
wait_for_session(const struct run *o, const char *vm)
{
	struct vmconf_error e;
	struct vmconf conf = {0};
	int dir = open(ETC_VM, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const char *why, *user = o->user;

	if (user == NULL && dir >= 0 && vmconf_load(dir, vm, &conf, &e))
		user = conf.default_user;
	if (dir >= 0)
		close(dir);
	if (user == NULL || *user == '\0')
		user = "user";
	struct call c = {.dir = RUN_DIR,
	    .target = vm,
	    .command = "DEFAULT:QUBESRPC qubes.WaitForSession+ dom0",
	    .type = MSG_EXEC_CMDLINE,
	    .ms = CHANNEL_MS,
	    .relay = {.in = -1, .out = -1, .err = -1, .prefix = user, .prefix_len = strlen(user)}};
	int code = call_run(&c, &why);
	return why != NULL ? say(vm, why, code) : 0; /* its own failure does not stop the command */
}

static void
set_call(const struct run *o, const char *vm, struct call *c)
{
	bool io = o->pass_io;

	*c = (struct call){.dir = RUN_DIR,
	    .target = vm,
	    .command = o->command,
	    .type = o->service && !io ? MSG_JUST_EXEC : MSG_EXEC_CMDLINE,
	    .ms = CHANNEL_MS,
	    .start = o->localcmd != NULL ? start_local : NULL,
	    .arg = (void *)(uintptr_t)o,
	    .relay = {.in = io ? 0 : -1,
		.out = io ? 1 : -1,
		.err = io ? 2 : -1,
		.prefix = o->prefix,
		.prefix_len = o->prefix != NULL ? strlen(o->prefix) : 0,
		.filter_out = o->filter_out && o->localcmd == NULL,
		.filter_err = o->filter_err}};
}

/* What Dom0 uses without asking: its own default_dispvm, or the machine's. */
static bool
default_base(char out[NAME_LEN_MAX + 1])
{
	struct vmconf_error e;
	struct vmconf conf = {0};
	int dir = open(ETC_VM, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ok = dir >= 0 && vmconf_load(dir, "dom0", &conf, &e);

	if (dir >= 0)
		close(dir);
	snprintf(out, NAME_LEN_MAX + 1, "%s", conf.default_dispvm);
	return ok && out[0] != '\0';
}

static int
call_qube(const struct run *o, const char *vm, uint64_t began)
{
	struct call c;
	const char *why;

	set_call(o, vm, &c);
	int code = call_run(&c, &why);
	/* Running is said before the agent is there; a start in progress is waited for by startd.
	 */
	if (c.absent && o->autostart && !o->dispvm && run_start(vm) == 0) {
		set_call(o, vm, &c);
		code = call_run(&c, &why);
	}
	if (why != NULL)
		say(vm, why, code);
	if (o->localcmd != NULL && c.arg != o) {
		int local = call_status(*(pid_t *)c.arg);
		code = local > code ? local : code;
	}
	if (o->timing)
		timing(vm, &c.t, began);
	return code;
}

static int
dom0_service(const struct run *o)
{
	struct dom0_call d = {.user = o->user};
	const char *why;

	if (!o->service || o->localcmd != NULL)
		return say("dom0", "only a --service runs there", 1);
	int code = dom0_prepare(&d, o->command, &why);
	if (code != 0)
		return say("dom0", why, code);
	pid_t pid = fork();
	if (pid < 0)
		return say("dom0", strerror(errno), EXIT_QREXEC);
	if (pid > 0)
		return call_status(pid);
	if (!o->pass_io) {
		close(0);
		close(1);
		close(2);
		call_std_fds();
	}
	signal(SIGPIPE, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	_exit(dom0_exec(&d));
}

static int
run_command_in(const struct run *o, const char *vm, uint64_t began)
{
	if (o->verbose > 0)
		fprintf(stderr, "Running '%s' on %s\n", o->shown, vm);
	int code = call_qube(o, vm, began);
	if (code != 0 && o->verbose > 0 && !o->pass_io)
		fprintf(stderr, "%s: command failed with code: %d\n", vm, code);
	return code;
}

int
run_in(const struct run *o, const char *vm)
{
	uint64_t began = now_us();

	if (is_dom0(vm))
		return dom0_service(o);
	int code = make_running(o, vm);
	if (code == 0 && o->gui)
		code = wait_for_session(o, vm);
	return code != 0 ? code : run_command_in(o, vm, began);
}

/*
 * The disposable lasts as long as the connection to startd: until this process ends, however it
 * does.
 */
int
run_disposable(const struct run *o)
{
	uint64_t began = now_us();
	char base[NAME_LEN_MAX + 1];
	struct kv kv;
	int s;

	if (o->base != NULL)
		snprintf(base, sizeof(base), "%s", o->base);
	else if (!default_base(base))
		return say("--dispvm", "dom0 has no default_dispvm", EXIT_REFUSED_DISPVM);
	if (ask_startd("disp", base, &s, &kv) != 0)
		return EXIT_REFUSED_DISPVM;
	const char *name = kv_get(&kv, "name");
	if (name == NULL || !name_ok(name) || is_dom0(name))
		return say(base, "startd names no disposable", EXIT_REFUSED_DISPVM);
	int code = run_command_in(o, name, began);
	close(s);
	return code;
}
