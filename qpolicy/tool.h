/* SPDX-License-Identifier: ISC */
/* qrexec-policy: what its sub-commands share. */
#ifndef TOOL_H
#define TOOL_H

#include <stdio.h>

#include "engine/engine.h"

/* The words behind --source, --target, --service, up to the next option. */
struct words {
	char *const *v;
	size_t n;
};

struct tool {
	struct policy_dirs dirs;
	const char *sysfile; /* --system-info, or NULL: the house's own files */
	struct policy *p;
	struct sysinfo *si;
	struct words sources, targets, services;
	const char *requested_source; /* eval */
	const char *all;	      /* explain */
	const char *output;	      /* graph */
	const char *ask, *no_labels;  /* graph; not NULL: given */
};

#define USAGE 100
#define SYSTEM 111

void tool_policy(struct tool *t); /* loads t->p */
void tool_sysinfo(struct tool *t);
bool tool_errors(const struct policy *p, FILE *f); /* prints all; true if there are any */
/* An allow, as policyd says it (spec/qrexec 6); eval leaves result= out. */
void tool_answer(const struct decision *d, bool result);
void tool_rule(FILE *f, const struct rule *r); /* in normal form, without newline */

/* The calls that the policy's rules speak of: label for people, service for policy_request. */
struct call {
	char *label, *service;
};
struct call *tool_calls(const struct policy *p, size_t *n); /* malloced, sorted, once each */
void tool_calls_free(struct call *v, size_t n);

int cmd_eval(struct tool *t);
int cmd_explain(struct tool *t, int argc, char **argv);
int cmd_lint(struct tool *t, int argc, char **argv);
int cmd_lint_files(int argc, char **argv); /* qubes-policy-lint */
int cmd_print(struct tool *t);
int cmd_graph(struct tool *t);
int cmd_exec(struct tool *t, int argc, char **argv); /* qrexec-policy-exec */

#endif
