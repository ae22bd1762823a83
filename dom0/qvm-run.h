/* SPDX-License-Identifier: ISC */
/* What the options of qvm-run (spec/qrexec 13) come to, and one run in one qube. */
#ifndef QVM_RUN_H
#define QVM_RUN_H

#include <stdbool.h>
#include <stddef.h>

#define RUN_EXCLUDE_MAX 64
#define RUN_USAGE 2

struct run {
	bool pass_io, autostart, gui, service, no_shell, all, timing;
	bool filter, no_filter, plain_out, plain_err, dispvm, force_root; /* as asked for */
	bool filter_out, filter_err;					  /* what comes of it */
	int verbose;
	const char *user, *localcmd;
	const char *base;		     /* --dispvm=BASE, or NULL */
	const char *colour_out, *colour_err; /* the number after ESC[0; or NULL */
	const char *exclude[RUN_EXCLUDE_MAX];
	size_t nexclude;
	const char *vm; /* NULL with --all and --dispvm */
	char **words;	/* COMMAND ARG... */
	size_t nwords;
	/* made of them by run_command */
	const char *shown;   /* in messages */
	const char *command; /* USER:QUBESRPC SERVICE+ARG dom0, or without USER: for dom0 */
	const char *prefix;  /* what goes before standard input, or NULL */
};

void run_parse(struct run *o, int argc, char **argv); /* exits 2 (usage), 0 (help) */
void run_usage(void);
/* Sets shown, command and prefix. NULL or what is wrong with them. Memory for the life of the
 * program. */
const char *run_command(struct run *o);

/* The whole of it in one qube, or in dom0. The exit status. */
int run_in(const struct run *o, const char *vm);
/* The same in a disposable, which is gone then. 255 when there is none. */
int run_disposable(const struct run *o);
/* Starts the qube by startd, which may take long. 0, or the status to exit with, said on stderr. */
int run_start(const char *vm);

#endif
