/* SPDX-License-Identifier: ISC */
/* Why a call is decided as it is; and for one source, every call at once. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "log.h"
#include "qpolicy/tool.h"

static void
print_verdict(const struct decision *d)
{
	if (d->verdict == V_ALLOW)
		printf("allow: to %s as %s%s\n", d->target, d->user,
		    d->autostart ? "" : ", only if it runs");
	else if (d->verdict == V_ASK)
		printf("ask\n");
	else
		printf("%s: %s\n", d->verdict == V_DENY ? "deny" : "error", d->reason);
	if (d->service != NULL)
		printf("  as service %s\n", d->service);
	for (size_t i = 0; i < d->ntargets; i++)
		printf("  offered: %s%s\n", d->targets[i],
		    strcmp(d->targets[i], d->default_target) == 0 ? " (preselected)" : "");
}

static void
print_rule(const struct rule *r)
{
	printf("  %s:%u: ", r->file, r->line);
	tool_rule(stdout, r);
	putchar('\n');
}

/* Close enough to be meant: of this service and lacking at most two things, or misspelt in case. */
static bool
near(const struct rule *r, int m, const char *service)
{
	size_t n = strcspn(service, "+");
	int lacks = M_ALL & ~m;

	if (lacks == M_SERVICE)
		return strlen(r->service) == n && strncasecmp(r->service, service, n) == 0;
	return (m & M_SERVICE) != 0 && lacks != (M_ARGUMENT | M_SOURCE | M_TARGET);
}

static void
print_near(const struct rule *r, int m)
{
	static const char *const what[] = {"service", "argument", "source", "target"};
	const char *word[] = {r->service, r->argument, r->source, r->target};
	const char *sep = "    but not the ";

	print_rule(r);
	for (int i = 0; i < 4; i++)
		if ((m & 1 << i) == 0) {
			printf("%s%s %s", sep, what[i], word[i]);
			sep = ", nor the ";
		}
	putchar('\n');
}

static int
explain(struct tool *t, char **argv)
{
	struct policy_request rq = {argv[0], argv[1], argv[2], NULL};
	const struct rule *r;
	struct decision d;
	size_t by = 0;
	bool head = false;
	int m;

	policy_decide(t->p, t->si, &rq, &d);
	print_verdict(&d);
	if (strcmp(d.requested_target, rq.target) != 0)
		printf("  the target %s counts as %s\n", rq.target[0] == '\0' ? "\"\"" : rq.target,
		    d.requested_target);
	while ((r = policy_rule(t->p, by)) != NULL && rule_match(r, t->si, &rq) != M_ALL)
		by++;
	if (r != NULL) {
		printf("decided by:\n");
		print_rule(r);
	}
	for (size_t i = 0; i < by; i++) {
		r = policy_rule(t->p, i);
		m = rule_match(r, t->si, &rq);
		if (!near(r, m, rq.service))
			continue;
		if (!head)
			printf("nearly, before it:\n");
		head = true;
		print_near(r, m);
	}
	decision_free(&d);
	return 0;
}

static const char *
target_at(const struct tool *t, size_t i)
{
	const struct sys_vm *vm;

	if (i == 0)
		return "@default";
	if (i == 1)
		return "@dispvm";
	vm = sysinfo_at(t->si, i - 2);
	return vm == NULL ? NULL : vm->name;
}

static int
matrix(struct tool *t)
{
	static const char *const cell[] = {
	    [V_DENY] = "-", [V_ALLOW] = "allow", [V_ASK] = "ask", [V_ERROR] = "error"};
	struct call *calls;
	struct decision d;
	const char *target;
	size_t n, width = 8;

	calls = tool_calls(t->p, &n);
	for (size_t i = 0; i < n; i++)
		if (strlen(calls[i].label) > width)
			width = strlen(calls[i].label);
	printf("%-*s", (int)width, t->all);
	for (size_t k = 0; (target = target_at(t, k)) != NULL; k++)
		printf(" %-5s", target);
	putchar('\n');
	for (size_t i = 0; i < n; i++) {
		printf("%-*s", (int)width, calls[i].label);
		for (size_t k = 0; (target = target_at(t, k)) != NULL; k++) {
			struct policy_request rq = {t->all, target, calls[i].service, NULL};
			size_t w = strlen(target) > 5 ? strlen(target) : 5;

			policy_decide(t->p, t->si, &rq, &d);
			printf(" %-*s", (int)w, cell[d.verdict]);
			decision_free(&d);
		}
		putchar('\n');
	}
	tool_calls_free(calls, n);
	return 0;
}

int
cmd_explain(struct tool *t, int argc, char **argv)
{
	if (t->all != NULL ? argc != 0 : argc != 3)
		usage_die("explain SOURCE TARGET SERVICE[+ARG], or explain --all SOURCE");
	tool_policy(t);
	if (tool_errors(t->p, stderr))
		return 1;
	tool_sysinfo(t);
	return t->all != NULL ? matrix(t) : explain(t, argv);
}
