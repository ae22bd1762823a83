/* SPDX-License-Identifier: ISC */
/* The policy as a command: eval, explain, lint, print, graph; and three older names. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "paths.h"
#include "policy/sysread.h"
#include "policy/tool.h"

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
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	const char *why = NULL;
	struct sysinfo *si;
	struct stat st;
	char *text;
	ssize_t n = 0, r;

	if (fd < 0 || fstat(fd, &st) != 0)
		die("%s", path);
	text = malloc(JSON_MAX + 1);
	if (text == NULL)
		die("%s", path);
	while (n <= (ssize_t)JSON_MAX && (r = read(fd, text + n, JSON_MAX + 1 - (size_t)n)) != 0) {
		if (r < 0 && errno != EINTR)
			die("%s", path);
		n += r < 0 ? 0 : r;
	}
	close(fd);
	si = sysinfo_json(text, (size_t)n, &why);
	free(text);
	errno = 0;
	if (si == NULL)
		die("%s: %s", path, why);
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
	struct policy_request rq = {t->source, t->target, t->service, t->requested_source};
	struct decision d;
	enum verdict v;

	if (rq.source == NULL || rq.target == NULL || rq.service == NULL)
		usage_die("eval needs --source, --target and --service");
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

enum {
	O_ETC = 256,
	O_RUN,
	O_LEGACY,
	O_SYS,
	O_SOURCE,
	O_TARGET,
	O_SERVICE,
	O_REQUESTED,
	O_ALL,
	O_ASK,
	O_LABELS,
	O_OUTPUT,
	O_HELP
};
static const struct option options[] = {
    {"etc", required_argument, NULL, O_ETC},
    {"policy-dir", required_argument, NULL, O_ETC},
    {"run", required_argument, NULL, O_RUN},
    {"legacy", required_argument, NULL, O_LEGACY},
    {"system-info", required_argument, NULL, O_SYS},
    {"source", required_argument, NULL, O_SOURCE},
    {"target", required_argument, NULL, O_TARGET},
    {"service", required_argument, NULL, O_SERVICE},
    {"requested-source", required_argument, NULL, O_REQUESTED},
    {"all", required_argument, NULL, O_ALL},
    {"include-ask", no_argument, NULL, O_ASK},
    {"skip-labels", no_argument, NULL, O_LABELS},
    {"output", required_argument, NULL, O_OUTPUT},
    {"help", no_argument, NULL, O_HELP},
    {NULL, 0, NULL, 0},
};

/* graph's options take several words: all up to the next option. */
static size_t
words(char *const *argv, int argc, char *const **out)
{
	size_t n = 1;

	*out = argv + optind - 1;
	for (; optind < argc && argv[optind][0] != '-'; optind++)
		n++;
	return n;
}

static void
one_option(struct tool *t, int o, int argc, char **argv, bool many)
{
	switch (o) {
	case O_ETC:
		t->dirs.etc = optarg;
		break;
	case O_RUN:
		t->dirs.run = optarg;
		break;
	case O_LEGACY:
		t->dirs.legacy = optarg;
		break;
	case O_SYS:
		t->sysfile = optarg;
		break;
	case O_REQUESTED:
		t->requested_source = optarg;
		break;
	case O_ALL:
		t->all = optarg;
		break;
	case O_ASK:
		t->ask = true;
		break;
	case O_LABELS:
		t->no_labels = true;
		break;
	case O_OUTPUT:
		t->output = optarg;
		break;
	case O_SOURCE:
		t->source = optarg;
		t->nsources = many ? words(argv, argc, &t->sources) : 1;
		break;
	case O_TARGET:
		t->target = optarg;
		t->ntargets = many ? words(argv, argc, &t->targets) : 1;
		break;
	case O_SERVICE:
		t->service = optarg;
		t->nservices = many ? words(argv, argc, &t->services) : 1;
		break;
	case O_HELP:
		fputs(usage_text, stdout);
		exit(0);
	default:
		fputs(usage_text, stderr);
		exit(USAGE);
	}
}

static const char *
base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == NULL ? path : slash + 1;
}

static bool
is(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
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
	const char *me = base_name(argc > 0 ? argv[0] : ""), *cmd;
	int o;

	log_open(me[0] == '\0' ? "qrexec-policy" : me, NULL);
	if (is(me, "qrexec-policy-exec"))
		return tool_done(&t, cmd_exec(&t, argc, argv));
	if (is(me, "qubes-policy-lint"))
		return cmd_lint_files(argc, argv);
	if (is(me, "qrexec-policy-graph")) {
		cmd = "graph";
	} else {
		if (argc > 1 && argv[1][0] == '-')
			one_option(&t, is(argv[1], "--help") ? O_HELP : '?', argc, argv, false);
		cmd = argc > 1 ? argv[1] : "";
		if (argc > 1) {
			argc--;
			argv++;
		}
	}
	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1)
		one_option(&t, o, argc, argv, is(cmd, "graph"));
	return tool_done(&t, run(&t, cmd, argc - optind, argv + optind));
}
