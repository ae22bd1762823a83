/* SPDX-License-Identifier: ISC */
/*
 * A call from Dom0 to a qube, for qrexec-client and qvm-run: the client -> qrexecd link
 * (spec/qrexec 2, 3), the data channel, and a local program on it. All of it waits: these are
 * commands, not daemons.
 */
#ifndef CALL_H
#define CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "rpc/relay.h"

#define CALL_COMMAND_MAX 4087u /* CONTROL_BODY_MAX without the parameters and the NUL */

/* Opens what is closed of 0, 1 and 2 on /dev/null, so that no socket lands there. */
void call_std_fds(void);

/*
 * Connects DIR/qrexec.TARGET and checks qrexecd's HELLO; in RUN_DIR, where every qube's sockets
 * belong to its qrexecd, also that it is that one who listens. The descriptor, blocking, with time
 * limits; or -1, errno (ENOENT, ECONNREFUSED: the qube does not run) and *why.
 */
int call_open(const char *dir, const char *target, const char **why);
bool call_hello(int fd, const char **why); /* its second part: reads the HELLO */

struct call_answer {
	uint32_t domid, port;
};
/*
 * Our HELLO and one message {domain, port} + body. The answer goes to *out; NULL: none is awaited.
 * Only once a link. false: *why.
 */
bool call_request(int link, uint32_t type, struct call_answer params, const void *body, size_t n,
    struct call_answer *out, const char **why);

/* Microseconds of now_us(); 0: did not come to it. */
struct call_times {
	uint64_t connected, answered, channel, first, end;
};

struct call {
	const char *dir, *target, *command; /* USER:COMMAND */
	uint32_t type;			    /* MSG_EXEC_CMDLINE, MSG_JUST_EXEC */
	int ms;				    /* for the channel; -1 for ever */
	struct relay relay;		    /* streams, filter and prefix are set by who calls */
	/* Starts the local program and sets relay's streams, when the channel stands; NULL, 0 or a
	 * status. */
	int (*start)(struct call *c, void *arg);
	void *arg;
	struct call_times t;
	bool absent; /* result: nobody listens for the target */
};

/* The whole of it. The status to exit with; *why set (and 125) when it never came to a call. */
int call_run(struct call *c, const char **why);

/*
 * Forks a program with its stdin and stdout on stream socketpairs (spec/qrexec 5b), stderr as ours,
 * and QREXEC_AGENT_PID set. run is called in the child, with signals back to default; what it
 * returns is the exit status. Blocks SIGCHLD. The pid, or -1.
 */
pid_t call_spawn(struct relay *r, int (*run)(void *arg), void *arg);
/* For run: SHELL -c CMD. */
struct call_shell {
	const char *shell, *cmd;
};
int call_shell(void *arg);
int call_status(pid_t pid); /* waits; the status as a shell says it */

#endif
