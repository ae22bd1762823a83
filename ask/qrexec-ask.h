/* SPDX-License-Identifier: ISC */
/* qrexec-ask: what its files share. */
#ifndef QREXEC_ASK_H
#define QREXEC_ASK_H

#include <stdbool.h>
#include <stddef.h>

#include "loop.h"

#define ASK_JSON_MAX (1024 * 1024)

/* A message of policyd (spec/qrexec 6, policy.Ask and policy.Notify). Strings lie in the bytes
 * parsed. */
struct ask_msg {
	char *source, *service, *argument, *default_target;
	char *resolution, *target; /* Notify */
	char **targets, **icons;   /* icons: of each target, or NULL */
	size_t ntargets;
};
/* Takes untrusted (n bytes and a NUL) apart in place. NULL, or what is wrong. msg_free in any case.
 */
const char *msg_parse(struct ask_msg *m, char *untrusted, size_t n, bool notify);
void msg_free(struct ask_msg *m);
bool msg_offers(const struct ask_msg *m, const char *target);

/* The window: one prompt at a time. done is told the choice, or NULL for no. */
struct window;
typedef void window_fn(void *arg, const char *choice);
struct window *window_open(struct loop *l, window_fn *done, void *arg); /* NULL: no display */
void window_show(struct window *w, const struct ask_msg *m);
void window_hide(struct window *w);

#endif
