/* SPDX-License-Identifier: ISC */
/* qvm-run's options (spec/qrexec 13) and the commands they make. */
#include <ctype.h>
#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "names.h"
#include "qvm-run.h"

static const char usage_text[] =
    "usage: qvm-run [options] VMNAME COMMAND [ARG...]\n"
    "       qvm-run [options] --all [--exclude VMNAME]... COMMAND [ARG...]\n";
static const char help_text[] =
    "Runs COMMAND in a qube. One COMMAND is for a shell; with ARGs it is a program.\n"
    "  -p, --pass-io            standard input, output and error are the command's\n"
    "  -u, --user=USER          as USER in the qube\n"
    "  -n, --no-auto, --no-autostart   do not start the qube\n"
    "  -a, --auto, --autostart  start it (default)\n"
    "  --service                COMMAND is a service: SERVICE[+ARG]\n"
    "  --no-shell               COMMAND is a program, not for a shell\n"
    "  --localcmd=CMD           with -p: run CMD here, its input and output on the call\n"
    "  --gui, --no-gui          wait for the qube's session first (default: do not)\n"
    "  --all, --exclude=VMNAME  in all running qubes but these\n"
    "  --filter-escape-chars, --no-filter-escape-chars   default: if stdout is a terminal\n"
    "  --colour-output=N, --no-colour-output, --colour-stderr=N, --no-colour-stderr\n"
    "  --dispvm[=BASE]          in a new disposable (not supported yet)\n"
    "  --timing                 say where the time went\n"
    "  -v, -q, -h, --version, --force-root\n";

void
run_usage(void)
{
	fputs(usage_text, stderr);
}

static _Noreturn void
wrong(const char *what)
{
	run_usage();
	fprintf(stderr, "qvm-run: error: %s\n", what);
	exit(RUN_USAGE);
}

enum {
	O_LOCAL = 256,
	O_GUI,
	O_NOGUI,
	O_SERVICE,
	O_NOSHELL,
	O_FILTER,
	O_NOFILTER,
	O_COLOUT,
	O_COLERR,
	O_NOCOLOUT,
	O_NOCOLERR,
	O_DISPVM,
	O_ALL,
	O_EXCLUDE,
	O_TIMING,
	O_VERSION,
	O_ROOT,
};

static const struct option longs[] = {
    {"pass-io", no_argument, NULL, 'p'},
    {"user", required_argument, NULL, 'u'},
    {"auto", no_argument, NULL, 'a'},
    {"autostart", no_argument, NULL, 'a'},
    {"no-auto", no_argument, NULL, 'n'},
    {"no-autostart", no_argument, NULL, 'n'},
    {"localcmd", required_argument, NULL, O_LOCAL},
    {"gui", no_argument, NULL, O_GUI},
    {"no-gui", no_argument, NULL, O_NOGUI},
    {"nogui", no_argument, NULL, O_NOGUI},
    {"service", no_argument, NULL, O_SERVICE},
    {"no-shell", no_argument, NULL, O_NOSHELL},
    {"filter-escape-chars", no_argument, NULL, O_FILTER},
    {"no-filter-escape-chars", no_argument, NULL, O_NOFILTER},
    {"colour-output", required_argument, NULL, O_COLOUT},
    {"color-output", required_argument, NULL, O_COLOUT},
    {"colour-stderr", required_argument, NULL, O_COLERR},
    {"color-stderr", required_argument, NULL, O_COLERR},
    {"no-colour-output", no_argument, NULL, O_NOCOLOUT},
    {"no-color-output", no_argument, NULL, O_NOCOLOUT},
    {"no-colour-stderr", no_argument, NULL, O_NOCOLERR},
    {"no-color-stderr", no_argument, NULL, O_NOCOLERR},
    {"dispvm", optional_argument, NULL, O_DISPVM},
    {"all", no_argument, NULL, O_ALL},
    {"exclude", required_argument, NULL, O_EXCLUDE},
    {"timing", no_argument, NULL, O_TIMING},
    {"verbose", no_argument, NULL, 'v'},
    {"quiet", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, O_VERSION},
    {"force-root", no_argument, NULL, O_ROOT},
    {NULL, 0, NULL, 0},
};

static const char *
colour(const char *s)
{
	uint32_t n;

	if (!parse_u32(s, 255, &n))
		wrong("a colour is a number");
	return s;
}

static _Noreturn void
help(bool version)
{
	if (version)
		puts("qvm-run (Cubicle)");
	else
		printf("%s%s", usage_text, help_text);
	exit(0);
}

static bool
flag(struct run *o, int c)
{
	static const struct {
		int c;
		size_t at;
		bool value;
	} flags[] = {
	    {'p', offsetof(struct run, pass_io), true},
	    {'a', offsetof(struct run, autostart), true},
	    {'n', offsetof(struct run, autostart), false},
	    {O_GUI, offsetof(struct run, gui), true},
	    {O_NOGUI, offsetof(struct run, gui), false},
	    {O_SERVICE, offsetof(struct run, service), true},
	    {O_NOSHELL, offsetof(struct run, no_shell), true},
	    {O_FILTER, offsetof(struct run, filter), true},
	    {O_NOFILTER, offsetof(struct run, no_filter), true},
	    {O_NOCOLOUT, offsetof(struct run, plain_out), true},
	    {O_NOCOLERR, offsetof(struct run, plain_err), true},
	    {O_DISPVM, offsetof(struct run, dispvm), true},
	    {O_ALL, offsetof(struct run, all), true},
	    {O_TIMING, offsetof(struct run, timing), true},
	    {O_ROOT, offsetof(struct run, force_root), true},
	};

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		if (flags[i].c != c)
			continue;
		*(bool *)((char *)o + flags[i].at) = flags[i].value;
		return true;
	}
	return false;
}

static void
exclude(struct run *o, const char *name)
{
	if (o->nexclude == RUN_EXCLUDE_MAX)
		wrong("too many --exclude");
	o->exclude[o->nexclude++] = name;
}

static void
one_option(struct run *o, int c)
{
	if (flag(o, c))
		return;
	if (c == 'v' || c == 'q')
		o->verbose += c == 'v' ? 1 : -1;
	else if (c == 'u')
		o->user = optarg;
	else if (c == O_LOCAL)
		o->localcmd = optarg;
	else if (c == O_COLOUT)
		o->colour_out = colour(optarg);
	else if (c == O_COLERR)
		o->colour_err = colour(optarg);
	else if (c == O_EXCLUDE)
		exclude(o, optarg);
	else if (c == 'h' || c == O_VERSION)
		help(c == O_VERSION);
	else
		wrong("unknown option");
}

/* Spec/qrexec 13: filtering follows the terminal, colour follows filtering. */
static void
terminal_rules(struct run *o)
{
	bool err_tty = isatty(2);

	o->filter_out = o->filter || (!o->no_filter && isatty(1));
	o->filter_err = o->filter_out || err_tty;
	if (o->colour_out != NULL && !o->filter_out)
		wrong("--colour-output needs --filter-escape-chars");
	if (o->colour_out == NULL && o->pass_io && o->filter_out)
		o->colour_out = "31";
	if (o->colour_err == NULL && o->pass_io && err_tty)
		o->colour_err = "31";
	if (o->plain_out)
		o->colour_out = NULL;
	if (o->plain_err)
		o->colour_err = NULL;
}

static void
check(struct run *o)
{
	if (o->dispvm)
		wrong(o->nexclude > 0 ? "--exclude needs --all"
				      : "disposables are not supported yet");
	if (o->nexclude > 0 && !o->all)
		wrong("--exclude needs --all");
	if (o->nwords == 0 || *o->words[0] == '\0')
		wrong("no COMMAND");
	if (o->nwords > 1)
		o->no_shell = true;
	if (o->service && o->no_shell)
		wrong("--service takes one SERVICE[+ARG], and no --no-shell");
	if (o->localcmd != NULL && !o->pass_io)
		wrong("--localcmd needs --pass-io");
	if (o->user != NULL && (*o->user == '\0' || strpbrk(o->user, ": \t\n") != NULL))
		wrong("bad user name");
	if (o->pass_io)
		o->verbose--;
	terminal_rules(o);
}

void
run_parse(struct run *o, int argc, char **argv)
{
	const char *timing = getenv("QVM_RUN_TIMING");
	int c;

	*o = (struct run){.autostart = true, .verbose = 1};
	o->timing = timing != NULL && strcmp(timing, "1") == 0;
	while ((c = getopt_long(argc, argv, "pu:anvqh", longs, NULL)) != -1)
		one_option(o, c);
	argv += optind;
	argc -= optind;
	if (!o->all && !o->dispvm) {
		if (argc == 0)
			wrong("no VMNAME");
		o->vm = *argv++;
		argc--;
	}
	o->words = argv;
	o->nwords = (size_t)argc;
	check(o);
}

static char *
put(char *to, const char *s, size_t n)
{
	memcpy(to, s, n);
	return to + n;
}

/* As a shell reads it back: plain words stay, others get '...' with ' as '"'"'. */
static char *
put_quoted(char *to, const char *s)
{
	size_t plain = 0;

	while (s[plain] != '\0' &&
	       (isalnum((unsigned char)s[plain]) || strchr("_@%+=:,./-", s[plain]) != NULL))
		plain++;
	if (plain > 0 && s[plain] == '\0')
		return put(to, s, plain);
	*to++ = '\'';
	for (; *s != '\0'; s++) {
		if (*s == '\'')
			to = put(to, "'\"'\"'", 5);
		else
			*to++ = *s;
	}
	*to++ = '\'';
	return to;
}

/* The words as one line for a shell. No feature says vmexec yet, so programs go this way too. */
static char *
shell_line(const struct run *o)
{
	size_t need = 1;

	for (size_t i = 0; i < o->nwords; i++)
		need += 5 * strlen(o->words[i]) + 3;
	char *line = malloc(need), *p = line;
	if (line == NULL)
		return NULL;
	for (size_t i = 0; i < o->nwords; i++) {
		if (i > 0)
			*p++ = ' ';
		p = o->no_shell ? put_quoted(p, o->words[i])
				: put(p, o->words[i], strlen(o->words[i]));
	}
	*p = '\0';
	return line;
}

static bool
service_ok(const char *s)
{
	const char *plus = strchr(s, '+');

	if (*s == '\0' || plus == s)
		return false;
	for (; *s != '\0'; s++)
		if ((unsigned char)*s <= ' ' || *s == 0x7f)
			return false;
	return true;
}

const char *
run_command(struct run *o)
{
	static char none[] = "";
	const char *service = "qubes.VMShell";
	char *line = NULL, *prefix = NULL, *command = NULL;
	bool dom0 = o->vm != NULL && is_dom0(o->vm);

	if (o->service) {
		service = o->shown = o->words[0];
		if (!service_ok(service))
			return "bad service name";
	} else {
		line = shell_line(o);
		if (line == NULL)
			return "no memory";
		for (size_t n = strlen(line); n > 0 && line[n - 1] == '\n'; n--)
			line[n - 1] = '\0';
		o->shown = line;
		if (asprintf(&prefix, "%s; exit\n", line) < 0)
			return "no memory";
	}
	if (asprintf(&command, "%s%sQUBESRPC %s%s dom0%s",
		dom0	  ? none
		: o->user ? o->user
			  : "DEFAULT",
		dom0 ? none : ":", service, strchr(service, '+') == NULL ? "+" : "",
		dom0 ? " name dom0" : "") < 0)
		return "no memory";
	o->command = command;
	o->prefix = prefix;
	return NULL;
}
