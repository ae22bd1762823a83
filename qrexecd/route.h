/* SPDX-License-Identifier: ISC */
/* A call that the qube has asked for, from its trigger on. */
#ifndef ROUTE_H
#define ROUTE_H

#include "qrexecd.h"

struct route {
	struct route *next;
	struct qd *q;
	uint32_t id;
	enum { R_RATE, R_TURN, R_BUSY, R_PLACE, R_CALL } state;
	bool counted;	/* among the waiting for a token */
	bool asking;	/* policyd */
	bool place;	/* it holds one of the set-ups' */
	bool connected; /* SERVICE_CONNECT has been sent */
	bool stands;	/* Dom0's end of the channel does */
	bool ended;	/* the caller has left */
	bool dom0, disp, autostart, started;
	bool orphan;	       /* its agent has gone: not to be told anything */
	uint32_t domid, port;  /* where the agent is to serve */
	uint32_t target_domid; /* as policyd knows it, or 0 */
	uint32_t taken;	       /* a port of ours to be given back */
	uint32_t done;	       /* timer: its process has ended */
	struct helper *h;
	struct helper *keeper; /* disp: startd, which disposes when this ends; or NULL */
	char dest[NAME_LEN_MAX + 1], ticket[HEXID_LEN + 1];
	/* as in the trigger */
	char source[TARGET_LEN], target[TARGET_LEN], ident[IDENT_LEN];
	bool has_source;
	char service[];
};

/* route.c */
void route_free(struct route *r);
void route_refuse(struct route *r, const char *who, const char *why);

/* route-hand.c */
bool route_run(const struct route *r); /* false: the runner takes no more */

#endif
