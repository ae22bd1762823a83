/* SPDX-License-Identifier: ISC */
/* What vmstart's parts share: vmstart.c (a domain's life), keeper-file.c, keeper-console.c (the
 * process beside it). */
#ifndef KEEPER_H
#define KEEPER_H

#include "buf.h"
#include "domain.h"
#include "loop.h"

struct keeper {
	struct vmconf conf;
	struct vm_state state;
	struct domain dom;
	struct loop *loop;
	int state_dir, ready_fd, ask; /* ask: the connection to startd */
	int console, life;	      /* a pidfd, and the pipe whose end tells it to go */
	struct buf answer;
	uint32_t kill_timer, agent_timer, state_timer;
	const char *op;	     /* what is being asked: "store", then "up" */
	const char *no_good; /* why it is not let run */
	char why[256];
	uint64_t asked_ms;
	bool started; /* it has been let run */
	bool clean;   /* it has shut down by itself */
	bool destroyed;
	bool asked_down, no_agent;
	bool paused;	      /* so that it stays when another keeper adopts it */
	bool unwritten, mute; /* the state is not; there is no console; and the log says so */
};

/* false: its file is no more, or is wrong; a start of one that is not there exits then. */
bool keeper_load(struct keeper *k, const char *name, bool start);
/* -p, -x. An exit code. */
int keeper_aside(struct keeper *k, int what, const char *name);
void keeper_console(struct keeper *k);	   /* starts it; another when it ends */
void keeper_console_end(struct keeper *k); /* it has read all, and lets go of the domain's page */

#endif
