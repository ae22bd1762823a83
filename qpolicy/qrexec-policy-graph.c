/* SPDX-License-Identifier: ISC */
/* Who may call whom, as a graph for dot(1). */
#include <stdlib.h>
#include <string.h>

#include "engine/engine-int.h"
#include "log.h"
#include "qpolicy/tool.h"

/* Stands for whatever no rule names. */
#define OTHER "--any-other--"

static int
by_label(const void *a, const void *b)
{
	return strcmp(((const struct call *)a)->label, ((const struct call *)b)->label);
}

static char *
concat(const char *a, const char *b, const char *c)
{
	char *s = malloc(strlen(a) + strlen(b) + strlen(c) + 1);

	if (s == NULL)
		die("policy");
	stpcpy(stpcpy(stpcpy(s, a), b), c);
	return s;
}

struct call *
tool_calls(const struct policy *p, size_t *n)
{
	struct call *v = NULL;
	size_t cap = 0, kept = 0;
	const struct rule *r;
	bool any;

	for (*n = 0; (r = policy_rule(p, *n)) != NULL; (*n)++) {
		any = strcmp(r->argument, "*") == 0;
		v = grow(v, &cap, *n, sizeof(*v));
		v[*n].label = concat(r->service, any ? "" : r->argument, "");
		v[*n].service = concat(strcmp(r->service, "*") == 0 ? OTHER : r->service,
		    any ? "+" OTHER : r->argument, "");
	}
	if (*n > 0)
		qsort(v, *n, sizeof(*v), by_label);
	for (size_t i = 0; i < *n; i++) {
		if (kept > 0 && strcmp(v[kept - 1].label, v[i].label) == 0) {
			free(v[i].label);
			free(v[i].service);
		} else {
			v[kept++] = v[i];
		}
	}
	*n = kept;
	return v;
}

void
tool_calls_free(struct call *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(v[i].label);
		free(v[i].service);
	}
	free(v);
}

static bool
wanted(const struct words *w, const char *s)
{
	for (size_t i = 0; i < w->n; i++)
		if (strcmp(w->v[i], s) == 0)
			return true;
	return w->n == 0;
}

static void
quoted(FILE *f, const char *s)
{
	putc('"', f);
	for (; *s != '\0'; s++) {
		if (*s == '"' || *s == '\\')
			putc('\\', f);
		putc(*s, f);
	}
	putc('"', f);
}

static void
edge(struct tool *t, FILE *f, const char *source, const char *target, const struct call *c)
{
	struct policy_request rq = {source, target, c->service, NULL};
	struct decision d;

	policy_decide(t->p, t->si, &rq, &d);
	if (d.verdict == V_ALLOW || (d.verdict == V_ASK && t->ask != NULL)) {
		fputs("  ", f);
		quoted(f, source);
		fputs(" -> ", f);
		quoted(f, d.verdict == V_ALLOW && target[0] == '@' ? d.target : target);
		fputs(" [", f);
		if (t->no_labels == NULL) {
			fputs("label=", f);
			quoted(f, c->label);
			putc(' ', f);
		}
		fprintf(f, "color=%s];\n", d.verdict == V_ALLOW ? "red" : "orange");
	}
	decision_free(&d);
}

int
cmd_graph(struct tool *t)
{
	FILE *f = t->output == NULL ? stdout : fopen(t->output, "we");
	const struct sys_vm *source, *target;
	struct call *calls;
	size_t n;

	if (f == NULL)
		die("%s", t->output);
	tool_policy(t);
	if (tool_errors(t->p, stderr))
		return 1;
	tool_sysinfo(t);
	calls = tool_calls(t->p, &n);
	fputs("digraph g {\n", f);
	for (size_t s = 0; (source = sysinfo_at(t->si, s)) != NULL; s++)
		for (size_t c = 0; c < n; c++) {
			if (strcmp(source->type, "AdminVM") == 0 ||
			    !wanted(&t->sources, source->name) ||
			    !wanted(&t->services, calls[c].label))
				continue;
			for (size_t k = 0; (target = sysinfo_at(t->si, k)) != NULL; k++)
				if (wanted(&t->targets, target->name))
					edge(t, f, source->name, target->name, &calls[c]);
			if (wanted(&t->targets, "@dispvm"))
				edge(t, f, source->name, "@dispvm", &calls[c]);
		}
	fputs("}\n", f);
	tool_calls_free(calls, n);
	if (ferror(f) != 0 || fflush(f) != 0)
		die("%s", t->output == NULL ? "standard output" : t->output);
	return 0;
}
