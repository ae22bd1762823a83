/* SPDX-License-Identifier: ISC */
/*
 * The data channel (spec/qrexec 5): between a vchan and local descriptors, for all four who have
 * one: qrexec-client (caller), qrexec-client-vm (caller), qrexec-agent's child (service),
 * qrexec-dom0's child (service). The rules of 5b stand here once.
 */
#ifndef RELAY_H
#define RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "vchan.h"

enum relay_side { RELAY_CALLER, RELAY_SERVICE };

struct relay {
	enum relay_side side;
	struct vchan *v;	/* open; the relay closes it */
	int control;		/* chand's control descriptor or -1; the relay closes it */
	uint32_t control_domid; /* ask chand for it anew when chand was killed (control.h); or 0 */
	bool read_first;	/* HELLO: read before writing (Dom0 as service) */
	/*
	 * Local descriptors, -1 if there is none. in: read here, sent as STDIN (caller) or STDOUT
	 * (service). out: what came as STDIN/STDOUT is written here. err: service: read here, sent
	 * as STDERR; caller: STDERR is written here. in == out is allowed (one stream socket).
	 */
	int in, out, err;
	bool err_held;	     /* err is a pipe that somebody writes to: it is read through pump.h */
	const char *log_err; /* service: err is not sent but logged, under this name; or NULL */
	pid_t child; /* local program whose end is waited for, or 0. Needs SIGCHLD blocked by the
			relay. */
	const void *prefix; /* caller: sent alone in one STDIN message before anything (-p) */
	size_t prefix_len;
	bool filter_out,
	    filter_err; /* -t, -T: bytes outside 0x20..0x7e but \t \n \r \b \a become _ */
	bool exit_on_client_eof, exit_on_service_eof; /* socket services, spec/qrexec 7 */
	bool usr1;		     /* SIGUSR1: take input from out from now on (5b) */
	bool socket_service;	     /* exit code 0 when both directions have closed */
	bool (*on_hello)(void *arg); /* after both HELLOs, or NULL */
	void *arg;
	uint64_t *t_first; /* if not NULL: now_us() of the first payload byte, for --timing */
	/* results */
	uint32_t version; /* agreed */
	bool got_exit;	  /* caller: an exit code arrived */
};

/*
 * Runs until the call is over; returns the status to exit with (caller: the remote's, or 255 if the
 * link was lost first; spec/qrexec 5b "caller end rules"; service: what was sent).
 */
int relay_run(struct relay *r);

/* A service that cannot be started: HELLO, STDOUT EOF, STDERR EOF (order by dom0), EXIT_CODE. */
int relay_refuse(struct vchan *v, bool dom0, int code);
/* JUST_EXEC: HELLO, EXIT_CODE, close. */
int relay_just_exec(struct vchan *v, bool read_first, int code);

uint64_t now_us(void);

#endif
