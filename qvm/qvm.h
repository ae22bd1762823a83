/* SPDX-License-Identifier: ISC */
/* What the qvm-* commands share: all are one program, told by its name which it is (qvm-main.c). */
#ifndef QVM_H
#define QVM_H

#include <stdbool.h>
#include <stddef.h>

#include "names.h"
#include "state.h"
#include "vmconf.h"

/* Each is like a main(): argv[0] is its name, the result the exit status. */
int qvm_kill(int argc, char **argv);
int qvm_ls(int argc, char **argv);
int qvm_shutdown(int argc, char **argv);
int qvm_start(int argc, char **argv);

struct qube {
	struct vmconf conf;
	struct vm_state st;
	char state[16]; /* Halted if nothing runs */
	bool known;	/* conf could be read */
};

/* All of vm.d and what runs, sorted by name; dom0 first. Exits 1 with a word when it cannot be
 * read. */
struct qube *qubes_all(size_t *n);
/* One of them; NULL after saying "no such domain". */
struct qube *qube_named(struct qube *q, size_t n, const char *name);
bool qube_runs(const struct qube *q);

/* A request to startd ("op=..." lines without the name); says why on standard error when it is
 * refused. */
bool qvm_ask(const char *name, const char *lines, int ms);

/*
 * Runs fn for each qube at the same time, each in a process of its own; returns how many of them
 * returned false.
 */
int qvm_each(struct qube **list, size_t n, bool (*fn)(struct qube *));

/* Which qubes a command is for: NAME... or --all [--exclude NAME]. */
#define EXCLUDE_MAX 64
struct pick {
	bool all;
	const char *exclude[EXCLUDE_MAX];
	size_t nexclude;
};
#define PICK_OPTIONS                                                                               \
	{"all", no_argument, NULL, 'a'}, {"exclude", required_argument, NULL, 'x'},                \
	    {"verbose", no_argument, NULL, 'v'}, {"quiet", no_argument, NULL, 'q'},                \
	{                                                                                          \
		"help", no_argument, NULL, 'h'                                                     \
	}
/* Takes one option; false: usage. */
bool pick_option(struct pick *p, int c, const char *arg, const char *help);
/*
 * The list, of names or of all that run (or do not). NULL: usage (*n 1) or an unknown qube (*n 0);
 * it has been said why. An empty list is not NULL.
 */
struct qube **pick_list(
    const struct pick *p, char **names, bool running, const char *help, size_t *n);

_Noreturn void qvm_help(const char *text);

#endif
