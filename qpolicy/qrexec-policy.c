/* SPDX-License-Identifier: ISC */
/* The policy as a command: eval, explain, lint, print, graph; and three older names. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "engine/sysread.h"
#include "log.h"
#include "paths.h"
#include "qpolicy/tool.h"

static const char usage_text[] =
    "usage: qrexec-policy eval --source S --target T --service SVC[+ARG] [--requested-source R]\n"
    "       qrexec-policy explain SOURCE TARGET SERVICE[+ARG]\n"
    "       qrexec-policy explain --all SOURCE\n"
    "       qrexec-policy lint [DIR]\n"
    "       qrexec-policy print\n"
    "       qrexec-policy graph [--include-ask] [--source S...] [--target T...]\n"
    "                     [--service SVC[+ARG]...] [--skip-labels] [--output FILE]\n"
    "options of all: --etc DIR --run DIR --legacy DIR --system-info FILE\n";

static void
warn(const char *text)
{
	logit("%s", text);
}

void
tool_policy(struct tool *t)
{
	t->p = policy_load(&t->dirs);
}

static struct sysinfo *
read_json(const char *path)
{
	struct buf b = {.max = JSON_MAX};
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	const char *why = NULL;
	struct sysinfo *si;
	ssize_t r = -1;

	while (fd >= 0 && (r = buf_read_fd(&b, fd, 65536)) > 0)
		;
	if (r == -1)
		die("%s", path);
	close(fd);
	si = sysinfo_json((const char *)buf_bytes(&b), b.len, &why);
	buf_free(&b);
	errno = 0;
	if (si == NULL || r != 0)
		die("%s: %s", path, r != 0 ? "too large" : why);
	return si;
}

void
tool_sysinfo(struct tool *t)
{
	if (t->sysfile != NULL)
		t->si = read_json(t->sysfile);
	else
		t->si = sysinfo_house(ETC_VM, RUN_STATE, warn);
}

bool
tool_errors(const struct policy *p, FILE *f)
{
	const struct policy_error *e;

	for (size_t i = 0; (e = policy_error(p, i)) != NULL; i++)
		if (e->line == 0)
			fprintf(f, "%s: error: %s\n", e->file, e->text);
		else
			fprintf(f, "%s:%u:%u: error: %s\n", e->file, e->line, e->col, e->text);
	return !policy_ok(p);
}

void
tool_rule(FILE *f, const struct rule *r)
{
	static const char *const action[] = {
	    [V_DENY] = "deny", [V_ALLOW] = "allow", [V_ASK] = "ask"};

	fprintf(
	    f, "%s %s %s %s %s", r->service, r->argument, r->source, r->target, action[r->action]);
	if (r->redirect != NULL)
		fprintf(f, " target=%s", r->redirect);
	if (r->default_target != NULL)
		fprintf(f, " default_target=%s", r->default_target);
	if (r->user != NULL)
		fprintf(f, " user=%s", r->user);
	if (r->notify != (r->action == V_DENY))
		fprintf(f, " notify=%s", r->notify ? "yes" : "no");
	if (!r->autostart)
		fprintf(f, " autostart=no");
}

void
tool_answer(const struct decision *d, bool result)
{
	printf("user=%s\n%starget=%s\n", d->user, result ? "result=allow\n" : "", d->target);
	if (d->target_uuid[0] != '\0')
		printf("target_uuid=%s\n", d->target_uuid);
	printf("autostart=%s\nrequested_target=%s\n", d->autostart ? "True" : "False",
	    d->requested_target);
	if (d->service != NULL)
		printf("service=%s\n", d->service);
	if (d->policy_source[0] != '\0')
		printf("policy_source=%s\n", d->policy_source);
}

static void
print_ask(const struct decision *d)
{
	puts("ask");
	for (size_t i = 0; i < d->ntargets; i++)
		printf("target=%s\n", d->targets[i]);
	if (d->default_target[0] != '\0')
		printf("default_target=%s\n", d->default_target);
	if (strcmp(d->user, "DEFAULT") != 0)
		printf("user=%s\n", d->user);
	printf("autostart=%s\n", d->autostart ? "True" : "False");
}

int
cmd_eval(struct tool *t)
{
	static const int status[] = {[V_ALLOW] = 0, [V_DENY] = 1, [V_ASK] = 3, [V_ERROR] = SYSTEM};
	struct policy_request rq = {.requested_source = t->requested_source};
	struct decision d;
	enum verdict v;

	if (t->sources.n != 1 || t->targets.n != 1 || t->services.n != 1)
		usage_die("eval needs one --source, --target and --service");
	rq.source = t->sources.v[0];
	rq.target = t->targets.v[0];
	rq.service = t->services.v[0];
	tool_policy(t);
	tool_sysinfo(t);
	policy_decide(t->p, t->si, &rq, &d);
	v = d.verdict;
	if (v == V_ALLOW) {
		puts("allow");
		tool_answer(&d, false);
	} else if (v == V_ASK)
		print_ask(&d);
	else
		puts(v == V_DENY ? "deny" : "error");
	if (v != V_ERROR)
		printf("notify=%s\n", d.notify ? "yes" : "no");
	if (v == V_ERROR || v == V_DENY)
		logit("%s%s%s", d.reason, v == V_DENY && d.file != NULL ? " by " : "",
		    v == V_DENY && d.file != NULL ? d.file : "");
	decision_free(&d);
	return status[v];
}

int
cmd_print(struct tool *t)
{
	const struct rule *r;
	const char *file = NULL;

	tool_policy(t);
	if (tool_errors(t->p, stderr))
		return 1;
	for (size_t i = 0; (r = policy_rule(t->p, i)) != NULL; i++) {
		if (file == NULL || strcmp(file, r->file) != 0)
			printf("# %s\n", r->file);
		file = r->file;
		tool_rule(stdout, r);
		putchar('\n');
	}
	return 0;
}

static bool
is(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

enum { NONE, ONE, MANY };
static const struct {
	const char *name;
	int words;
	size_t at; /* in struct tool */
} options[] = {
    {"etc", ONE, offsetof(struct tool, dirs.etc)},
    {"policy-dir", ONE, offsetof(struct tool, dirs.etc)},
    {"run", ONE, offsetof(struct tool, dirs.run)},
    {"legacy", ONE, offsetof(struct tool, dirs.legacy)},
    {"system-info", ONE, offsetof(struct tool, sysfile)},
    {"source", MANY, offsetof(struct tool, sources)},
    {"target", MANY, offsetof(struct tool, targets)},
    {"service", MANY, offsetof(struct tool, services)},
    {"requested-source", ONE, offsetof(struct tool, requested_source)},
    {"all", ONE, offsetof(struct tool, all)},
    {"include-ask", NONE, offsetof(struct tool, ask)},
    {"skip-labels", NONE, offsetof(struct tool, no_labels)},
    {"output", ONE, offsetof(struct tool, output)},
};
#define NOPTIONS (sizeof(options) / sizeof(options[0]))

/* One option with its words; how many of argv it took, 0 if it is none of ours. */
static int
one_option(struct tool *t, int argc, char **argv)
{
	struct words w = {.v = argv + 1};
	size_t i = 0;
	void *at;

	while (
	    i < NOPTIONS && (strncmp(argv[0], "--", 2) != 0 || !is(argv[0] + 2, options[i].name)))
		i++;
	if (i == NOPTIONS || (options[i].words != NONE && argc < 2))
		return 0;
	at = (char *)t + options[i].at;
	if (options[i].words != MANY) {
		memcpy(at, options[i].words == NONE ? &argv[0] : &argv[1], sizeof(char *));
		return options[i].words == NONE ? 1 : 2;
	}
	for (w.n = 1; (int)w.n + 1 < argc && argv[w.n + 1][0] != '-'; w.n++)
		;
	memcpy(at, &w, sizeof(w));
	return (int)w.n + 1;
}

/* Leaves what is no option in argv; how many. */
static int
parse_options(struct tool *t, int argc, char **argv)
{
	int n = 0, took;

	for (int i = 0; i < argc; i += took) {
		took = 1;
		if (is(argv[i], "--help")) {
			fputs(usage_text, stdout);
			exit(0);
		}
		if (argv[i][0] != '-') {
			argv[n++] = argv[i];
		} else if ((took = one_option(t, argc - i, argv + i)) == 0) {
			fprintf(stderr, "%s: unknown option, or no word behind it\n%s", argv[i],
			    usage_text);
			exit(USAGE);
		}
	}
	return n;
}

static const char *
base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == NULL ? path : slash + 1;
}

static int
run(struct tool *t, const char *cmd, int argc, char **argv)
{
	if (is(cmd, "explain"))
		return cmd_explain(t, argc, argv);
	if (is(cmd, "lint"))
		return cmd_lint(t, argc, argv);
	if (is(cmd, "eval") && argc == 0)
		return cmd_eval(t);
	if (is(cmd, "print") && argc == 0)
		return cmd_print(t);
	if (is(cmd, "graph") && argc == 0)
		return cmd_graph(t);
	fputs(usage_text, stderr);
	return USAGE;
}

static int
tool_done(struct tool *t, int rc)
{
	policy_free(t->p);
	sysinfo_free(t->si);
	return fflush(stdout) != 0 ? SYSTEM : rc;
}

int
main(int argc, char **argv)
{
	struct tool t = {.dirs = {RUN_POLICY, ETC_POLICY, LEGACY_POLICY}};
	const char *me = base_name(argc > 0 ? argv[0] : "qrexec-policy"), *cmd = "graph";

	log_open(me, NULL);
	if (is(me, "qrexec-policy-exec"))
		return tool_done(&t, cmd_exec(&t, argc, argv));
	if (is(me, "qubes-policy-lint"))
		return cmd_lint_files(argc, argv);
	argc = argc < 2 ? 0 : parse_options(&t, argc - 1, ++argv);
	if (!is(me, "qrexec-policy-graph")) {
		cmd = argc > 0 ? argv[0] : "";
		argc -= argc > 0;
		argv++;
	}
	return tool_done(&t, run(&t, cmd, argc, argv));
}
