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
    "       qvm-run [options] --all [--exclude VMNAME]... COMMAND [ARG...]\n"
    "       qvm-run [options] --dispvm[=BASE] COMMAND [ARG...]\n";
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

/*
 * An option sets a flag, or keeps its text, or is one of those with a function of its own
 * (one_option). Several names for the same are several rows.
 */
enum kind { ON, OFF, TEXT, COLOUR, EXCLUDE, DISPVM, OTHER };
#define AT(f) offsetof(struct run, f)
/* clang-format off */
static const struct opt {
	const char *name;
	size_t at;
	enum kind kind;
	int c;
} opts[] = {
	{"pass-io", AT(pass_io), ON, 'p'},
	{"user", AT(user), TEXT, 'u'},
	{"auto", AT(autostart), ON, 'a'}, {"autostart", AT(autostart), ON, 0},
	{"no-auto", AT(autostart), OFF, 'n'}, {"no-autostart", AT(autostart), OFF, 0},
	{"localcmd", AT(localcmd), TEXT, 0},
	{"gui", AT(gui), ON, 0}, {"no-gui", AT(gui), OFF, 0}, {"nogui", AT(gui), OFF, 0},
	{"service", AT(service), ON, 0},
	{"no-shell", AT(no_shell), ON, 0},
	{"filter-escape-chars", AT(filter), ON, 0}, {"no-filter-escape-chars", AT(no_filter), ON, 0},
	{"colour-output", AT(colour_out), COLOUR, 0}, {"color-output", AT(colour_out), COLOUR, 0},
	{"colour-stderr", AT(colour_err), COLOUR, 0}, {"color-stderr", AT(colour_err), COLOUR, 0},
	{"no-colour-output", AT(plain_out), ON, 0}, {"no-color-output", AT(plain_out), ON, 0},
	{"no-colour-stderr", AT(plain_err), ON, 0}, {"no-color-stderr", AT(plain_err), ON, 0},
	{"dispvm", 0, DISPVM, 0},
	{"all", AT(all), ON, 0},
	{"exclude", 0, EXCLUDE, 0},
	{"timing", AT(timing), ON, 0},
	{"force-root", AT(force_root), ON, 0},
	{"verbose", 0, OTHER, 'v'}, {"quiet", 0, OTHER, 'q'}, {"help", 0, OTHER, 'h'}, {"version", 0, OTHER, 'V'},
};
/* clang-format on */
#define NOPTS (sizeof(opts) / sizeof(opts[0]))

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
		printf("%sThe options are described in qvm-run(1).\n", usage_text);
	exit(0);
}

static void
other(struct run *o, int c)
{
	if (c != 'v' && c != 'q')
		help(c == 'V');
	o->verbose += c == 'v' ? 1 : -1;
}

static void
disposable(struct run *o, const char *base)
{
	if (base != NULL && (!name_ok(base) || is_dom0(base)))
		wrong("--dispvm: not a qube's name");
	o->dispvm = true;
	o->base = base;
}

static void
one_option(struct run *o, const struct opt *t)
{
	void *at = (char *)o + t->at;

	if (t->kind == ON || t->kind == OFF)
		*(bool *)at = t->kind == ON;
	else if (t->kind == TEXT)
		*(const char **)at = optarg;
	else if (t->kind == COLOUR)
		*(const char **)at = colour(optarg);
	else if (t->kind == OTHER)
		other(o, t->c);
	else if (t->kind == DISPVM)
		disposable(o, optarg);
	else if (o->nexclude == RUN_EXCLUDE_MAX)
		wrong("too many --exclude");
	else
		o->exclude[o->nexclude++] = optarg;
}

/* getopt_long finds the row: by the letter, or by 256 and the row's number. */
static void
all_options(struct run *o, int argc, char **argv)
{
	struct option longs[NOPTS + 1] = {{0}};
	int c;

	for (size_t i = 0; i < NOPTS; i++) {
		bool bare = opts[i].kind <= OFF || opts[i].kind == OTHER;
		longs[i].name = opts[i].name;
		longs[i].has_arg = bare ? no_argument : required_argument;
		longs[i].val = 256 + (int)i;
		if (opts[i].kind == DISPVM)
			longs[i].has_arg = optional_argument;
	}
	while ((c = getopt_long(argc, argv, "pu:anvqh", longs, NULL)) != -1) {
		size_t row = c >= 256 ? (size_t)c - 256 : 0;
		while (c < 256 && row < NOPTS && opts[row].c != c)
			row++;
		if (row == NOPTS)
			wrong("unknown option");
		one_option(o, &opts[row]);
	}
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
	if (o->dispvm && o->all)
		wrong("--dispvm and --all exclude each other");
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

	*o = (struct run){.autostart = true, .verbose = 1};
	o->timing = timing != NULL && strcmp(timing, "1") == 0;
	all_options(o, argc, argv);
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
		if (o->dispvm && o->gui)
			service = "qubes.VMShell+WaitForSession";
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
