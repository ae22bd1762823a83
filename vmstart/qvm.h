/* SPDX-License-Identifier: ISC */
/* What qvm-start, qvm-shutdown, qvm-kill and qvm-ls share. */
#ifndef QVM_H
#define QVM_H

#include <stdbool.h>
#include <stddef.h>

#include "names.h"
#include "state.h"
#include "vmconf.h"

struct qube {
	struct vmconf conf;
	struct vm_state st;
	char state[16]; /* Halted if nothing runs */
	bool known;	/* conf could be read */
};

/* All of vm.d and what runs, sorted by name; dom0 first. Exits 1 with a word when it cannot be read. */
struct qube *qubes_all(size_t *n);
/* One of them; NULL after saying "no such domain". */
struct qube *qube_named(struct qube *q, size_t n, const char *name);
bool qube_runs(const struct qube *q);

/* A request to startd ("op=..." lines without the name); says why on standard error when it is refused. */
bool qvm_ask(const char *name, const char *lines, int ms);

/*
 * Runs fn for each qube at the same time, each in a process of its own; returns how many of them returned
 * false.
 */
int qvm_each(struct qube **list, size_t n, bool (*fn)(struct qube *));

_Noreturn void qvm_help(const char *text);

#endif
