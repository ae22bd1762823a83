/* SPDX-License-Identifier: ISC */
/* What is wrong in the files, and what is right but surely not meant. */
#include <string.h>
#include <unistd.h>

#include "engine/engine-int.h"
#include "log.h"
#include "qpolicy/tool.h"

static bool
same(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

/* Everything that b matches, in any house, a matches too. Quirk: @tag and @type can match dom0. */
static bool
covers(const struct pattern *a, const struct pattern *b)
{
	if (a->kind == T_ANY || b->kind == T_DISP_TAG)
		return a->kind == T_ANY || a->kind == T_ANYVM ||
		       (a->kind == b->kind && same(a->val, b->val));
	if (a->kind == T_ANYVM)
		return b->kind != T_ANY && b->kind != T_ADMIN && b->kind != T_TAG &&
		       (b->kind != T_TYPE || !same(b->val, "AdminVM"));
	return a->kind == b->kind && (a->kind == T_ADMIN || same(a->val, b->val));
}

static bool
rule_covers(const struct policy *p, size_t i, size_t j)
{
	const struct rule *a = &p->rules[i], *b = &p->rules[j];

	return (same(a->service, b->service) || same(a->service, "*")) &&
	       (p->crules[i].argument == NULL || same(a->argument, b->argument)) &&
	       covers(&p->crules[i].source, &p->crules[j].source) &&
	       covers(&p->crules[i].target, &p->crules[j].target);
}

/* A rule that decides nothing can still add to what a prompt offers, if what hides it leads
 * elsewhere. */
static bool
fills_a_prompt(const struct policy *p, size_t i, size_t j)
{
	const struct rule *r;

	if (p->rules[i].redirect == NULL && p->rules[j].redirect == NULL)
		return false;
	for (size_t k = 0; k < p->nrules; k++) {
		r = &p->rules[k];
		if (r->action == V_ASK && r->redirect == NULL &&
		    (same(r->service, p->rules[j].service) || same(r->service, "*") ||
			same(p->rules[j].service, "*")))
			return true;
	}
	return false;
}

static void
warn(const struct policy *p, size_t i, int word, const char *what, const char *which)
{
	const struct rule *r = &p->rules[i];

	printf("%s:%u:%u: warning: %s%s\n", r->file, r->line, p->crules[i].col[word], which, what);
}

static void
check_name(const struct tool *t, size_t i, int word, const char *s)
{
	struct pattern pt;

	if (s == NULL)
		return;
	pt = token(s, P_SOURCE | P_TARGET | P_REDIRECT);
	if ((pt.kind != T_NAME && pt.kind != T_DISP_NAME) || sysinfo_find(t->si, pt.val) != NULL)
		return;
	if (strchr(s, '$') != NULL)
		warn(t->p, i, word,
		    " is taken as a name: words with $ belong to three-column files", s);
	else
		warn(t->p, i, word, ": no qube has this name", s);
}

static void
check_rule(const struct tool *t, size_t j)
{
	const struct policy *p = t->p;
	const struct rule *r = &p->rules[j];
	enum tok source = p->crules[j].source.kind;

	if (r->line == 0)
		return;
	check_name(t, j, 0, r->source);
	check_name(t, j, 1, r->target);
	check_name(t, j, 2, r->redirect);
	check_name(t, j, 3, r->default_target);
	if (source == T_DISP_NAME || source == T_DISP_TAG)
		warn(p, j, 0, " as source matches nothing", r->source);
	for (size_t i = 0; i < j; i++)
		if (rule_covers(p, i, j) && !fills_a_prompt(p, i, j)) {
			printf("%s:%u:%u: warning: never reached: hidden by %s:%u\n", r->file,
			    r->line, p->crules[j].col[0], p->rules[i].file, p->rules[i].line);
			return;
		}
}

int
cmd_lint(struct tool *t, int argc, char **argv)
{
	if (argc > 1)
		usage_die("lint [DIR]");
	if (argc == 1)
		t->dirs.run = t->dirs.etc = argv[0];
	tool_policy(t);
	tool_sysinfo(t);
	for (size_t i = 0; i < t->p->nrules; i++)
		check_rule(t, i);
	return tool_errors(t->p, stdout);
}

int
cmd_lint_files(int argc, char **argv)
{
	static const char usage[] = "usage: qubes-policy-lint [-i] FILE...   (-i: three columns)\n";
	bool old = argc > 1 && same(argv[1], "-i"), bad = false;
	struct policy *p;

	if (argc > 1 && same(argv[1], "--help")) {
		fputs(usage, stdout);
		return 0;
	}
	if (argc < 2 + old || argv[1 + old][0] == '-') {
		fputs(usage, stderr);
		return USAGE;
	}
	for (int i = 1 + old; i < argc; i++) {
		p = policy_load_file(argv[i], old ? "*" : NULL, "*");
		bad |= tool_errors(p, stdout);
		policy_free(p);
	}
	return bad;
}
