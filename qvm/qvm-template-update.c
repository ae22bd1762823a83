/* SPDX-License-Identifier: ISC */
/*
 * Updates templates: starts each, has its package manager work by qrexec, shuts it down, says whose
 * root is older now. What the template says is shown escaped and decides nothing but its own
 * result.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"
#include "qvm.h"
#include "storage/storage.h"

#define START_MS 3600000
#define LINE 512
#define LAST 12 /* lines of what went wrong */
#define SCRIPT_MAX 8192

/* As spec/vm 7 has them; the worst of all is ours. */
enum { DONE = 0, FAILED = 1, NOT_STOPPED = 11, NOT_STARTED = 13, REFRESH = 21, UPGRADE = 22 };
enum { NO_MANAGER = 25, NO_CALL = 40, NOTHING = 100, INTERRUPTED = 130 };

static const char help[] =
    "usage: qvm-template-update [--verbose] [--keep-running] [--all [--exclude NAME] | NAME...]\n"
    "Starts each template (without names: all of them), has its package manager update it, and "
    "shuts\n"
    "it down. A standalone qube can be named, too.\n"
    "  --keep-running   do not shut down what was started for this\n"
    "Exit: 0 updated, 100 nothing to update, 13 not started, 21 refresh or 22 update failed, 25 "
    "no\n"
    "package manager that is known, 40 the call failed, 11 not shut down, 130 interrupted, 1 "
    "other.\n";

/* What each package manager is told. pending prints how many updates there are. */
static const struct {
	const char *program, *refresh, *pending, *upgrade;
} managers[] = {
    {"apt-get", "apt-get -q -o APT::Update::Error-Mode=any update",
	"apt-get -s dist-upgrade | grep -c '^Inst '",
	"DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Options::=--force-confdef "
	"-o Dpkg::Options::=--force-confold dist-upgrade"},
    {"dnf", "dnf -q -y makecache --refresh", "dnf -q check-update | grep -c '^[^ ][^ ]*\\.[^ ]* '",
	"dnf -y upgrade"},
    {"pacman", "pacman -Sy --noconfirm", "pacman -Qu | grep -c .", "pacman -Su --noconfirm"},
    {"apk", "apk update", "apk version -l '<' | grep -c ' < '", "apk upgrade"},
};
#define NMANAGERS (sizeof managers / sizeof *managers)

/* Without a network the way is updates-forward's port, which may still have to appear. */
static const char by_proxy[] =
    "for i in $(seq 100); do grep -qs ':1F92 [0:]* 0A' /proc/net/tcp && break; sleep 0.1; done\n"
    "export http_proxy=http://127.0.0.1:8082 https_proxy=http://127.0.0.1:8082\n";

struct update {
	struct qube *q;
	int code;
	unsigned long pending;
	bool started;			    /* by us */
	char last[LAST][LINE], phase[LINE]; /* a ring of what it said */
	unsigned nlast;
};

static bool verbose, keep_running, on_terminal;
static volatile sig_atomic_t interrupted;

static void
on_int(int sig)
{
	(void)sig;
	interrupted = 1;
}

static size_t
script(char out[SCRIPT_MAX], bool proxy)
{
	size_t n = (size_t)snprintf(out, SCRIPT_MAX, "%s", proxy ? by_proxy : "");

	for (size_t i = 0; i < NMANAGERS && n < SCRIPT_MAX; i++)
		n += (size_t)snprintf(out + n, SCRIPT_MAX - n,
		    "if command -v %s >/dev/null; then echo @refresh %s; { %s; } </dev/null || "
		    "exit %d\n"
		    "n=$(%s); echo @pending $n; [ \"$n\" -gt 0 ] || exit %d; { %s; } </dev/null || "
		    "exit "
		    "%d\nexit 0; fi\n",
		    managers[i].program, managers[i].program, managers[i].refresh, REFRESH,
		    managers[i].pending, NOTHING, managers[i].upgrade, UPGRADE);
	if (n < SCRIPT_MAX)
		n += (size_t)snprintf(out + n, SCRIPT_MAX - n, "exit %d", NO_MANAGER);
	return n;
}

/* ---- what it says ---- */

static void
progress(struct update *u, const char *text)
{
	snprintf(u->phase, sizeof u->phase, "%.60s", text);
	if (on_terminal)
		fprintf(stderr, "\r\033[K%s: %s", u->q->conf.name, text);
	else if (!quiet)
		fprintf(stderr, "%s: %s\n", u->q->conf.name, text);
}

static void
clear_progress(void)
{
	if (on_terminal)
		fputs("\r\033[K", stderr);
}

/* One line, its bytes made harmless. */
static void
take_line(struct update *u, const char *line)
{
	char text[LINE + 16];

	if (strncmp(line, "@refresh ", 9) == 0) {
		snprintf(text, sizeof text, "refreshing (%.20s)", line + 9);
		progress(u, text);
	} else if (strncmp(line, "@pending ", 9) == 0) {
		u->pending = strtoul(line + 9, NULL, 10) % 1000000;
		snprintf(text, sizeof text, "installing %lu updates", u->pending);
		progress(u, u->pending > 0 ? text : "nothing to install");
	} else {
		snprintf(u->last[u->nlast++ % LAST], LINE, "%s", line);
		if (verbose)
			printf("%s: %s\n", u->q->conf.name, line);
		else if (on_terminal)
			fprintf(
			    stderr, "\r\033[K%s: %.40s: %.60s", u->q->conf.name, u->phase, line);
	}
	fflush(stdout);
}

static void
take_bytes(struct update *u, char line[LINE], size_t *n, const char *untrusted, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		const unsigned char c = (unsigned char)untrusted[i];

		if (c == '\n' || c == '\r' || *n == LINE - 1) {
			line[*n] = '\0';
			if (*n > 0)
				take_line(u, line);
			*n = 0;
		}
		if (c != '\n' && c != '\r')
			line[(*n)++] = c >= 0x20 && c < 0x7f ? (char)c : '_';
	}
}

/* ---- the call ---- */

static _Noreturn void
become_run(const char *name, const char *text, int out)
{
	const int null = open("/dev/null", O_RDONLY);
	const char *argv[] = {"qvm-run", "-p", "-q", "-u", "root", "--no-autostart",
	    "--no-filter-escape-chars", "--no-colour-output", "--", name, text, NULL};

	dup2(null, 0);
	dup2(out, 1);
	dup2(out, 2);
	execv(BINDIR "/qvm-run", (char *const *)(uintptr_t)argv);
	dprintf(2, "qvm-run: %s\n", strerror(errno));
	_exit(NO_CALL);
}

static int
call(struct update *u)
{
	char text[SCRIPT_MAX], line[LINE], part[4096];
	size_t held = 0;
	ssize_t n;
	int p[2], status = 0;
	pid_t pid;

	if (script(text, u->q->conf.netvm[0] == '\0') >= sizeof text || pipe2(p, O_CLOEXEC) < 0)
		return FAILED;
	pid = fork();
	if (pid == 0)
		become_run(u->q->conf.name, text, p[1]);
	close(p[1]);
	while (pid > 0 && ((n = read(p[0], part, sizeof part)) > 0 || (n < 0 && errno == EINTR)))
		if (n > 0)
			take_bytes(u, line, &held, part, (size_t)n);
	close(p[0]);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : NO_CALL;
}

/* The script's own statuses; any other is the call's. */
static int
known(int code)
{
	if (code == DONE || code == NOTHING || code == REFRESH || code == UPGRADE ||
	    code == NO_MANAGER)
		return code;
	return NO_CALL;
}

static const char *
words(const struct update *u)
{
	static char text[64];

	switch (u->code) {
	case DONE:
		snprintf(text, sizeof text, "%lu updates", u->pending);
		return text;
	case NOTHING:
		return "nothing to update";
	case NOT_STARTED:
		return "not started";
	case NOT_STOPPED:
		return "updated, but not shut down";
	case REFRESH:
		return "refreshing failed";
	case UPGRADE:
		return "updating failed";
	case NO_MANAGER:
		return "no package manager that is known";
	case NO_CALL:
		return "the call failed";
	case INTERRUPTED:
		return "interrupted";
	default:
		return "failed";
	}
}

static void
explain(const struct update *u)
{
	const unsigned from = u->nlast > LAST ? u->nlast - LAST : 0;

	say("%s: %s", u->q->conf.name, words(u));
	for (unsigned i = from; !verbose && i < u->nlast; i++)
		fprintf(stderr, "  %s\n", u->last[i % LAST]);
}

static void
update(struct update *u)
{
	const char *name = u->q->conf.name;
	bool failed;

	u->code = NOT_STARTED;
	u->started = !qube_runs(u->q);
	progress(u, u->started ? "starting" : "runs");
	if (u->started && !qvm_ask(name, "op=start\n", START_MS)) {
		clear_progress();
		return;
	}
	u->code = known(call(u));
	if (interrupted)
		u->code = INTERRUPTED;
	failed = u->code != DONE && u->code != NOTHING;
	if (u->started && !keep_running) {
		progress(u, "shutting down");
		if (!qvm_ask(name, "op=shutdown\n", START_MS) && !failed)
			u->code = NOT_STOPPED;
	}
	clear_progress();
	if (failed || u->code == NOT_STOPPED)
		explain(u);
}

/* ---- the summary ---- */

/* Does q's root come from that template, and is there a newer one? */
static bool
is_outdated(const struct qube *q, const char *name)
{
	const int dir = vm_dir();
	const char *template = q->conf.template;
	struct volume v[VOL_N];
	struct vmconf base;
	struct vmconf_error e;
	bool old = qube_runs(q) && template[0] != '\0';

	if (old && strcmp(q->conf.type, "DispVM") == 0)
		template = vmconf_load(dir, template, &base, &e) ? base.template : "";
	old = old && strcmp(template, name) == 0 && storage_list(&q->conf, v) == VOL_N &&
	      v[VOL_ROOT].is_outdated;
	close(dir);
	return old;
}

static void
summary(const struct update *u, size_t n)
{
	struct qube *q;
	size_t total, found;

	q = qubes_all(&total);
	for (size_t i = 0; i < n; i++) {
		printf("%-20s %s", u[i].q->conf.name, words(&u[i]));
		found = 0;
		for (size_t k = 0; k < total; k++)
			if (is_outdated(&q[k], u[i].q->conf.name))
				printf("%s%s", found++ == 0 ? "; to be restarted: " : ", ",
				    q[k].conf.name);
		if (u[i].code == DONE && (keep_running || !u[i].started))
			fputs("; counts when it is shut down", stdout);
		putchar('\n');
	}
	free(q);
}

/* The worst; where nothing failed, whether anything was updated. */
static int
result(const struct update *u, size_t n)
{
	int worst = 0;
	bool updated = n == 0;

	for (size_t i = 0; i < n; i++) {
		updated = updated || u[i].code == DONE;
		if (u[i].code != NOTHING && u[i].code > worst)
			worst = u[i].code;
	}
	return worst > 0 ? worst : updated ? DONE : NOTHING;
}

static bool
can_be(const struct qube *q, bool all)
{
	if (strcmp(q->conf.type, "TemplateVM") == 0 ||
	    (!all && strcmp(q->conf.type, "StandaloneVM") == 0))
		return q->known;
	return all ? false
		   : say("%s: has no packages of its own (update %s)", q->conf.name,
			 q->conf.template[0] != '\0' ? q->conf.template : "its template");
}

static int
update_all(struct qube **list, size_t n)
{
	struct update *u = calloc(n > 0 ? n : 1, sizeof *u);
	struct sigaction sa = {.sa_handler = on_int};
	size_t i;
	int code;

	if (u == NULL)
		return FAILED;
	on_terminal = isatty(2) && !quiet && !verbose;
	sigaction(SIGINT, &sa, NULL);
	for (i = 0; i < n; i++) {
		u[i] = (struct update){.q = list[i], .code = INTERRUPTED};
		if (!interrupted)
			update(&u[i]);
	}
	if (!quiet)
		summary(u, n);
	code = result(u, n);
	free(u);
	return fflush(stdout) == 0 ? code : FAILED;
}

int
qvm_template_update(int argc, char **argv)
{
	static const struct option longs[] = {
	    {"keep-running", no_argument, NULL, 'k'}, PICK_OPTIONS};
	struct pick p = {0};
	struct qube **list, *q;
	size_t total, n, kept = 0;
	int c;

	while ((c = getopt_long(argc, argv, COMMON_SHORT, longs, NULL)) != -1) {
		verbose = verbose || c == 'v';
		keep_running = keep_running || c == 'k';
		pick_option(&p, c, optarg, help);
	}
	p.all = p.all || (argv[optind] == NULL && p.nexclude == 0);
	q = pick_qubes(&p, argv + optind, false, &total);
	if (q == NULL)
		return EXIT_USAGE;
	list = pick_list(&p, argv + optind, PICK_ALL, q, total, &n);
	if (list == NULL)
		return EXIT_USAGE;
	for (size_t i = 0; i < n; i++)
		if (can_be(list[i], p.all))
			list[kept++] = list[i];
		else if (!p.all)
			return EXIT_USAGE;
	return update_all(list, kept);
}
