/* SPDX-License-Identifier: ISC */
/* A request to startd, checked; and policyd's answer to its ticket. */
#ifndef STARTD_REQ_H
#define STARTD_REQ_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "kv.h"
#include "names.h"

enum start_op {
	OP_START,
	OP_SHUTDOWN,
	OP_KILL,
	OP_PAUSE,
	OP_UNPAUSE,
	OP_DISPOSE,
	OP_STORE,
	OP_UP,
	OP_DOWN,
};

struct start_request {
	enum start_op op;
	char name[NAME_LEN_MAX + 1];
	char ticket[HEXID_LEN + 1];
	int timeout_s; /* -1: the qube's own */
	bool force, ordered;
	bool disp; /* OP_START: name is the base of a disposable */
	int code;  /* OP_DOWN: how vmstart exits */
	char reason[256];
};

/* NULL, or what is wrong. */
const char *request_parse(const struct kv *kv, struct start_request *r);
const char *request_allowed(
    const struct start_request *r, uid_t uid, bool person, uint32_t (*qid_of)(const char *));
/*
 * NULL and *target (points into kv), or why not. qid: of the qrexecd that presented the ticket, -1
 * for a person; qid_of: as in qids.h. *disp: *target is the base of a disposable.
 */
const char *ticket_answer(const struct kv *kv, int64_t qid, uint32_t (*qid_of)(const char *),
    const char **target, bool *disp);

#endif
