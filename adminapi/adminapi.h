/* SPDX-License-Identifier: ISC */
/*
 * adminapid's parts: adminapid.c (sockets), request.c (what is asked), methods.c (what
 * is answered, from vm.d and RUN_STATE), ask.c (what startd has to do).
 *
 * QUBESD_SOCK (spec/cli 2): "METHOD[+ARG] SOURCE name DEST" (or "keyword adminvm"), NUL, payload,
 * end of file; the answer, end of file. qrexec-dom0 sends the same head, since the services are
 * links to this socket: source and what was called there come from a ticket of policyd, which has
 * decided already. Only root (qrexec-dom0) and group qubes may connect, and so say who the source
 * is.
 *
 * Answers: "0" NUL content; "2" NUL exception NUL NUL text NUL. None at all: access denied.
 */
#ifndef ADMINAPI_H
#define ADMINAPI_H

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"
#include "names.h"

#define QUBESD_SOCK "/run/qubesd.sock"
#define REQUEST_MAX 65536
#define ANSWER_MAX (4u << 20) /* 10,000 qubes in a list */
#define METHOD_LEN 63
#define ARG_LEN 127

struct request {
	char method[METHOD_LEN + 1], arg[ARG_LEN + 1];
	char source[NAME_LEN_MAX + 1], dest[NAME_LEN_MAX + 1];
	size_t payload; /* bytes of it; no method that is served takes any */
};

/* NULL, or what is wrong. */
const char *request_parse(struct request *rq, const void *untrusted, size_t n);

struct call {
	int vm, state; /* directories: ETC_VM, RUN_STATE */
	const struct request *rq;
	struct buf *out; /* the answer */
	/* Set for what startd has to do, and then nothing is in out: */
	const char *op;	 /* its word */
	bool force, now; /* shutdown: netvms in use too; the answer does not wait for the end */
};

/* Answers, or sets op. */
void call_run(struct call *c);

void answer_ok(struct buf *out);
/* Exception is one of the client's classes. */
void answer_exception(struct buf *out, const char *exception, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* For text that is not ours. */
void answer_reason(struct buf *out, const char *exception, const char *text);

#endif
