/* SPDX-License-Identifier: ISC */
/* What startd is asked to do, and how its answer reads to a client of the Admin API. */
#ifndef ASK_H
#define ASK_H

#include "adminapi.h"

/* Connects START_SOCK and sends the request (startsock.h). The descriptor, or -1. */
int ask_startd(const struct call *c);
/* startd's whole answer, n bytes of it. */
void ask_answer(const struct call *c, const void *text, size_t n);
/* The qube is on its way out: what a shutdown that does not wait was waiting for. */
bool ask_begun(const struct call *c);

#endif
