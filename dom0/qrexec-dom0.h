/* SPDX-License-Identifier: ISC */
/*
 * Dom0's own services: spec/qrexec 5c and 7. Shared by qrexec-dom0 (users as in DESIGN.md) and, by
 * hand, qrexec-client -d dom0 and qvm-run dom0 (the service runs as who called it).
 */
#ifndef QREXEC_DOM0_H
#define QREXEC_DOM0_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "rpc/relay.h"
#include "rpc/service.h"

#define DOM0_WAIT_MS 5000 /* for the caller's end of the channel (spec/qrexec 5a) */
#define DOM0_GROUPS 32
#define DOM0_REFUSED 1 /* how a call's child ends that refused the request; else 0 */

struct dom0_call {
	bool managed;	  /* from qrexec-dom0: user qubes-svc, own session, limits */
	const char *user; /* not managed: run as this user; NULL: as we are */
	struct svc_cmd cmd;
	struct svc svc;
	int err; /* managed: the service's standard error, while it is started */
	struct {
		bool drop;
		uid_t uid;
		gid_t gid, groups[DOM0_GROUPS];
		size_t ngroups;
		char name[64], home[256];
	} who;
};

/* Parses "QUBESRPC SERVICE[+ARG] SOURCE [TYPE WHAT]", looks it up, chooses the user. 0, or 125, 127
 * and *why. */
int dom0_prepare(struct dom0_call *d, const char *command, const char **why);
/* Starts or connects it; sets the relay's streams, child and rules. 0, or 125 and *why. */
int dom0_start(struct dom0_call *d, struct relay *r, const char **why);
/* Becomes it, on the descriptors that are there (programs only). Only returns on failure: 125, 127.
 */
int dom0_exec(struct dom0_call *d);

/* The whole of a call in qrexec-dom0's child. who_qid: whose qrexecd is at the other end of peer.
 */
_Noreturn void dom0_child(int peer, uint32_t who_qid);

#endif
