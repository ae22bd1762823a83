/* SPDX-License-Identifier: ISC */
/* qrexec-client: spec/qrexec 8. Options here; the three ways that start from them below. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "call.h"
#include "chan.h"
#include "names.h"
#include "paths.h"
#include "qrexec-dom0.h"
#include "qrexecd/qrexec.h"

#define EXIT_CONNECT 137 /* -d VM -c that failed (spec/qrexec 8) */
#define EXIT_USAGE 1	 /* as stock qrexec-client; scripts test for it */

struct options {
	const char *target, *local, *prefix, *dir, *command;
	bool just_exec, no_exit_code, filter_out, filter_err, kill, wait, stdin_socket, connect;
	int ms;
	struct {
		char ident[IDENT_LEN];
		char name[TARGET_LEN];
		char domid[16];
	} c;
};

static const char usage_text[] =
    "usage: qrexec-client [-eEtTWk] [-w SECONDS] [-p TEXT] [--use-stdin-socket] "
    "[--socket-dir=PATH]\n"
    "           -d TARGET [-l LOCAL | -c IDENT,SRC,SRCID] USER:COMMAND\n"
    "The options are described in qrexec-client(1).\n";

static _Noreturn void
usage(const char *what)
{
	fprintf(stderr, "qrexec-client: %s\n%s", what, usage_text);
	exit(EXIT_USAGE);
}

static int
failed(const struct options *o, const char *why, int code)
{
	fprintf(stderr, "qrexec-client: %s: %s\n", o->target, why);
	return code;
}

/* IDENT,NAME,DOMID */
static void
parse_connect(struct options *o, const char *s)
{
	const char *name = strchr(s, ','), *id = name != NULL ? strchr(name + 1, ',') : NULL;
	uint32_t domid;

	if (id == NULL)
		usage("-c needs IDENT,SRC,SRCID");
	size_t ni = (size_t)(name - s), nn = (size_t)(id - name - 1);
	if (ni == 0 || ni >= sizeof(o->c.ident) || nn == 0 || nn >= sizeof(o->c.name))
		usage("-c: IDENT or SRC is empty or too long");
	memcpy(o->c.ident, s, ni);
	memcpy(o->c.name, name + 1, nn);
	if (!parse_u32(id + 1, INT32_MAX, &domid) || domid == 0)
		usage("-c: SRCID is not a number above 0");
	if (is_dom0(o->c.name))
		usage("-c: dom0 has no calls that wait");
	snprintf(o->c.domid, sizeof(o->c.domid), "%u", domid);
	o->connect = true;
}

static int
parse_wait(const char *s)
{
	uint32_t seconds;

	if (!parse_u32(s, INT32_MAX / 1000, &seconds))
		usage("-w needs seconds");
	return seconds == 0 ? -1 : (int)seconds * 1000;
}

static bool
flag(struct options *o, int c)
{
	static const struct {
		int c;
		size_t at;
	} flags[] = {
	    {'e', offsetof(struct options, just_exec)},
	    {'E', offsetof(struct options, no_exit_code)},
	    {'t', offsetof(struct options, filter_out)},
	    {'T', offsetof(struct options, filter_err)},
	    {'W', offsetof(struct options, wait)},
	    {'k', offsetof(struct options, kill)},
	    {'S', offsetof(struct options, stdin_socket)},
	};

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		if (flags[i].c != c)
			continue;
		*(bool *)((char *)o + flags[i].at) = true;
		return true;
	}
	return false;
}

static bool
text(struct options *o, int c)
{
	const char **to = c == 'd'   ? &o->target
			  : c == 'l' ? &o->local
			  : c == 'D' ? &o->dir
			  : c == 'p' ? &o->prefix
				     : NULL;

	if (to == NULL)
		return false;
	if (c == 'p' && o->prefix != NULL)
		usage("-p: only once");
	*to = optarg;
	return true;
}

static void
one_option(struct options *o, int c)
{
	if (flag(o, c) || text(o, c))
		return;
	if (c == 'h') {
		fputs(usage_text, stdout);
		exit(0);
	}
	if (c == 'c')
		parse_connect(o, optarg);
	else if (c == 'w')
		o->ms = parse_wait(optarg);
	else
		usage("unknown option");
}

static void
parse_options(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
	    {"no-exit-code", no_argument, NULL, 'E'},
	    {"prefix-data", required_argument, NULL, 'p'},
	    {"use-stdin-socket", no_argument, NULL, 'S'},
	    {"socket-dir", required_argument, NULL, 'D'},
	    {"help", no_argument, NULL, 'h'},
	    {NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "hd:l:eEtTc:Ww:kp:", longs, NULL)) != -1)
		one_option(o, c);
	o->command = argv[optind];
	if (o->target == NULL || o->command == NULL)
		usage(o->target == NULL ? "-d is missing" : "no command");
	if (o->just_exec + (o->local != NULL) + o->connect > 1)
		usage("-e, -l and -c exclude each other");
	if (o->stdin_socket && o->local != NULL)
		usage("--use-stdin-socket and -l exclude each other");
	if (o->kill && o->connect)
		usage("-k and -c exclude each other");
	if (is_dom0(o->target) && (o->local != NULL || o->just_exec))
		usage("-l and -e need a qube as target");
}

/* The body of SERVICE_CONNECT: 32 bytes, NUL-padded. */
static bool
service_connect(const struct options *o, int link, struct call_answer there,
    struct call_answer *out, const char **why)
{
	return call_request(link, MSG_SERVICE_CONNECT, there, o->c.ident, IDENT_LEN, out, why);
}

/* A call that waits in a qube, to a qube: spec/qrexec 4.5 c to e, without autostart. */
static int
connect_qubes(const struct options *o)
{
	struct call_answer there = {0, 0};
	const char *why;
	char b;

	if (!parse_u32(o->c.domid, INT32_MAX, &there.domid))
		return EXIT_CONNECT;
	int target = call_open(o->dir, o->target, &why);
	if (target < 0 || !call_request(target, MSG_EXEC_CMDLINE, there, o->command,
			      strlen(o->command) + 1, &there, &why))
		return failed(o, why, EXIT_CONNECT);
	int source = call_open(o->dir, o->c.domid, &why);
	if (source < 0 || !service_connect(o, source, there, NULL, &why))
		return failed(o, why, EXIT_CONNECT);
	close(source);
	while (o->wait && read(target, &b, 1) < 0 && (errno == EAGAIN || errno == EINTR))
		;
	close(target);
	return 0;
}

/* A call that waits in a qube, to Dom0: spec/qrexec 5c. */
static int
connect_dom0(const struct options *o)
{
	struct relay r = {.side = RELAY_SERVICE,
	    .control = -1,
	    .read_first = true,
	    .in = -1,
	    .out = -1,
	    .err = -1,
	    .usr1 = true};
	struct dom0_call d = {0};
	struct call_answer here = {0, 0};
	const char *why;

	int link = call_open(o->dir, o->c.domid, &why);
	if (link < 0 || !service_connect(o, link, here, &here, &why))
		return failed(o, why, EXIT_QREXEC);
	close(link);
	int code = dom0_prepare(&d, o->command, &why);
	if (code == 0)
		code = dom0_start(&d, &r, &why);
	if (code != 0)
		failed(o, why, code);
	r.v = chan_open(VCHAN_CLIENT, here.domid, here.port, o->ms, &r.control, &why);
	if (r.v == NULL)
		return failed(o, why, EXIT_QREXEC);
	r.control_domid = here.domid;
	return code != 0 ? relay_refuse(r.v, true, code) : relay_run(&r);
}

/* Dom0 to itself: a service here, on our own descriptors. */
static int
local_service(const struct options *o)
{
	static const char user[] = "DEFAULT:";
	struct dom0_call d = {0};
	const char *why = "a command to dom0 begins with DEFAULT:";

	if (strncmp(o->command, user, sizeof(user) - 1) != 0)
		return failed(o, why, EXIT_QREXEC);
	int code = dom0_prepare(&d, o->command + sizeof(user) - 1, &why);
	if (code != 0)
		return failed(o, why, code);
	pid_t pid = o->no_exit_code ? fork() : 0;
	if (pid > 0)
		return call_status(pid);
	signal(SIGPIPE, SIG_DFL);
	return dom0_exec(&d);
}

/* -l, when the channel stands: a service of Dom0's or a line for bash. */
static int
start_local(struct call *c, void *arg)
{
	const struct options *o = arg;
	struct call_shell sh = {"bash", o->local};
	struct dom0_call d = {0};
	const char *why;

	if (strncmp(o->local, "QUBESRPC ", 9) != 0) {
		c->relay.child = call_spawn(&c->relay, call_shell, &sh);
		return c->relay.child < 0 ? failed(o, strerror(errno), EXIT_QREXEC) : 0;
	}
	int code = dom0_prepare(&d, o->local, &why);
	if (code == 0 && d.svc.kind != SVC_PROGRAM) {
		why = "not a program";
		code = EXIT_QREXEC;
	}
	if (code == 0)
		code = dom0_start(&d, &c->relay, &why);
	c->relay.err = 2;
	return code == 0 ? 0 : failed(o, why, code);
}

static int
call_qube(struct options *o)
{
	struct call c = {
	    .dir = o->dir,
	    .target = o->target,
	    .command = o->command,
	    .type = o->just_exec ? MSG_JUST_EXEC : MSG_EXEC_CMDLINE,
	    .ms = o->ms,
	    .start = o->local != NULL ? start_local : NULL,
	    .arg = o,
	    .relay = {.in = 0,
		.out = o->stdin_socket ? 0 : 1,
		.err = 2,
		.prefix = o->prefix,
		.prefix_len = o->prefix != NULL ? strlen(o->prefix) : 0,
		.filter_out = o->filter_out,
		.filter_err = o->filter_err,
		.usr1 = o->local != NULL},
	};
	const char *why;

	if (o->just_exec)
		c.relay.in = c.relay.out = c.relay.err = -1;
	int code = call_run(&c, &why);
	return why != NULL ? failed(o, why, code) : code;
}

int
main(int argc, char **argv)
{
	struct options o = {.dir = RUN_DIR, .ms = 10000};
	int code;

	parse_options(&o, argc, argv);
	if (o.kill)
		return failed(&o, "-k needs the admin API, which is not there yet", EXIT_QREXEC);
	call_std_fds();
	signal(SIGPIPE, SIG_IGN);
	if (is_dom0(o.target))
		code = o.connect ? connect_dom0(&o) : local_service(&o);
	else
		code = o.connect ? connect_qubes(&o) : call_qube(&o);
	return o.no_exit_code ? 0 : code;
}
