/* SPDX-License-Identifier: ISC */
/*
 * qrexec-ask: asks the person of this session whether a call may happen (qrexec-ask.1). It decides
 * nothing: policyd checks that the answer was offered.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ask/qrexec-ask.h"
#include "buf.h"
#include "ids.h"
#include "log.h"
#include "paths.h"
#include "sock.h"

#define ASK_SOCK RUN_ASK "/policy.Ask"
#define NOTIFY_SOCK RUN_ASK "/policy.Notify"
#define CALLERS_MAX 32
#define ANSWER_MAX 256

/* A connection of policyd. */
struct caller {
	struct caller *next;
	struct asker *a;
	int fd;
	bool notify, whole;
	struct buf in; /* descriptor, NUL, JSON, NUL */
	char *copy;    /* what msg points into */
	struct ask_msg msg;
};

struct asker {
	struct loop *loop;
	const char *command;
	struct window *window;
	int ask, notify;
	struct caller *callers; /* in order of coming */
	size_t ncallers;
	struct caller *now; /* who is being answered */
	pid_t pid;	    /* the command's, answering to out */
	int out;
	struct buf answer;
	struct log_limit flood;
};

static void next(struct asker *a);

static void
caller_free(struct caller *c)
{
	struct caller **at = &c->a->callers;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	c->a->ncallers--;
	loop_del(c->a->loop, c->fd);
	close(c->fd);
	msg_free(&c->msg);
	free(c->copy);
	buf_free(&c->in);
	free(c);
}

static void
answer(struct asker *a, const char *choice)
{
	char text[ANSWER_MAX];
	struct caller *c = a->now;
	int n = choice != NULL ? snprintf(text, sizeof(text), "allow:%s", choice)
			       : snprintf(text, sizeof(text), "deny");

	a->now = NULL;
	if (n < 0 || n >= (int)sizeof(text) || write(c->fd, text, (size_t)n) != n)
		logit("policyd left before its answer");
	caller_free(c);
	next(a);
}

/* Another front end. */

static void
command_over(struct asker *a, bool withdrawn)
{
	if (a->pid > 0 && withdrawn)
		kill(a->pid, SIGTERM);
	if (a->out >= 0) {
		loop_del(a->loop, a->out);
		close(a->out);
	}
	a->pid = 0;
	a->out = -1;
	buf_free(&a->answer);
}

/* allow:TARGET of those offered; anything else is no. */
static void
command_answered(struct asker *a)
{
	char text[ANSWER_MAX + 1];
	size_t n = a->answer.len;
	bool yes;

	if (n > 0)
		memcpy(text, buf_bytes(&a->answer), n);
	if (n > 0 && text[n - 1] == '\n')
		n--;
	text[n] = '\0';
	command_over(a, false);
	yes = strlen(text) == n && strncmp(text, "allow:", 6) == 0 &&
	      msg_offers(&a->now->msg, text + 6);
	answer(a, yes ? text + 6 : NULL);
}

static void
on_command(struct loop *l, int fd, short revents, void *arg)
{
	struct asker *a = arg;
	ssize_t n = buf_read_fd(&a->answer, fd, ANSWER_MAX);

	(void)l;
	(void)revents;
	if (n == 0 || n == -1 || buf_room(&a->answer) == 0)
		command_answered(a);
}

static _Noreturn void
command_exec(const char *command, int in, int out)
{
	char *argv[] = {(char *)(uintptr_t)command, NULL};
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	if (dup2(in, 0) == 0 && dup2(out, 1) == 1)
		execv(command, argv);
	die("%s", command);
}

/* The JSON in a file of its own, so that nobody waits for a reader. */
static int
json_file(const struct caller *c)
{
	const uint8_t *json = buf_bytes(&c->in);
	size_t skip = strlen((const char *)json) + 1, n = c->in.len - skip - 1;
	int fd = memfd_create("prompt", MFD_CLOEXEC);

	if (fd >= 0 && write(fd, json + skip, n) == (ssize_t)n && lseek(fd, 0, SEEK_SET) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static bool
command_start(struct asker *a)
{
	int in = json_file(a->now), out[2] = {-1, -1};

	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	a->pid = -1;
	if (in >= 0 && pipe2(out, O_CLOEXEC) == 0)
		a->pid = fork();
	if (a->pid == 0)
		command_exec(a->command, in, out[1]);
	if (in >= 0)
		close(in);
	if (out[1] >= 0)
		close(out[1]);
	a->out = out[0];
	a->answer.max = ANSWER_MAX;
	return a->pid > 0 && fd_nonblock(a->out, true) &&
	       loop_add(a->loop, a->out, POLLIN, on_command, a);
}

static void
on_choice(void *arg, const char *choice)
{
	answer(arg, choice);
}

/* The oldest prompt that is whole, if none is shown. */
static void
next(struct asker *a)
{
	struct caller *c = a->callers;

	if (a->now != NULL)
		return;
	while (c != NULL && !c->whole)
		c = c->next;
	if (c == NULL)
		return;
	a->now = c;
	if (a->command == NULL) {
		window_show(a->window, &c->msg);
	} else if (!command_start(a)) {
		logit("%s: %s", a->command, strerror(errno));
		command_over(a, true);
		answer(a, NULL);
	}
}

/* Connections. */

static void
caller_gone(struct caller *c)
{
	struct asker *a = c->a;

	if (a->now == c) {
		a->now = NULL;
		if (a->command == NULL)
			window_hide(a->window);
		else
			command_over(a, true);
	}
	caller_free(c);
	next(a);
}

static void
told(struct asker *a, const struct ask_msg *m)
{
	char s[LOG_ESC_MAX], v[LOG_ESC_MAX], t[LOG_ESC_MAX], r[16];

	log_limited(&a->flood, "%s: %s to %s: %s", log_escs(s, sizeof(s), m->source),
	    log_escs(v, sizeof(v), m->service), log_escs(t, sizeof(t), m->target),
	    log_escs(r, sizeof(r), m->resolution));
}

/* All has come: the descriptor must be policyd's, the rest its JSON. NULL, or what is wrong. */
static const char *
understand(struct caller *c)
{
	const char *want = c->notify ? "policy.Notify dom0 name dom0" : "policy.Ask dom0 name dom0";
	const char *got;
	size_t skip = strlen(want) + 1, n;

	if (!buf_put(&c->in, "", 1))
		return "too long";
	got = (const char *)buf_bytes(&c->in);
	if (c->in.len <= skip || strcmp(got, want) != 0)
		return "not the right service";
	n = c->in.len - skip - 1;
	c->copy = malloc(n + 1);
	if (c->copy == NULL)
		return "no memory";
	memcpy(c->copy, got + skip, n + 1);
	return msg_parse(&c->msg, c->copy, n, c->notify);
}

static void
on_caller(struct loop *l, int fd, short revents, void *arg)
{
	struct caller *c = arg;
	const char *bad;
	ssize_t n;

	if (c->whole) {
		if (revents & (POLLHUP | POLLERR))
			caller_gone(c); /* withdrawn */
		return;
	}
	n = buf_read_fd(&c->in, fd, 65536);
	if (n > 0 || (n == -2 && buf_room(&c->in) > 1))
		return;
	bad = n == 0 ? understand(c) : "too long, or cut off";
	if (bad != NULL)
		logit("a prompt is refused: %s", bad);
	else if (c->notify)
		told(c->a, &c->msg);
	if (bad != NULL || c->notify) {
		caller_gone(c);
		return;
	}
	c->whole = true;
	loop_set(l, fd, 0);
	next(c->a);
}

static void
on_accept(struct loop *l, int sock, short revents, void *arg)
{
	struct asker *a = arg;
	int fd = sock_accept(sock);
	struct caller *c, **at = &a->callers;
	uid_t uid;

	(void)revents;
	if (fd < 0)
		return;
	c = calloc(1, sizeof(*c));
	if (c == NULL || a->ncallers >= CALLERS_MAX || !sock_peer(fd, &uid, NULL) ||
	    (uid != 0 && uid != prog_uid(0, PROG_POLICYD)) ||
	    !loop_add(l, fd, POLLIN, on_caller, c)) {
		log_limited(&a->flood, "a connection is refused: not policyd's, or too many");
		free(c);
		close(fd);
		return;
	}
	*c = (struct caller){
	    .a = a, .fd = fd, .notify = sock == a->notify, .in = {.max = ASK_JSON_MAX}};
	while (*at != NULL)
		at = &(*at)->next;
	*at = c;
	a->ncallers++;
}

static void
on_term(struct loop *l, int sig, short revents, void *arg)
{
	(void)sig;
	(void)revents;
	(void)arg;
	unlink(ASK_SOCK);
	unlink(NOTIFY_SOCK);
	loop_stop(l, 0);
}

static const char usage[] =
    "usage: qrexec-ask [--ask-command PROG]\n"
    "  --ask-command PROG  PROG asks: JSON on its stdin, \"allow:TARGET\" or \"deny\" "
    "on its stdout\n";

static void
options(int argc, char **argv, struct asker *a)
{
	static const struct option longs[] = {
	    {"ask-command", required_argument, NULL, 'c'}, {"help", no_argument, NULL, 'h'}, {0}};
	int o;

	log_open("qrexec-ask", NULL);
	while ((o = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (o == 'h') {
			fputs(usage, stdout);
			exit(0);
		}
		if (o != 'c')
			usage_die("%s", usage);
		a->command = optarg;
	}
	if (optind != argc || (a->command != NULL && a->command[0] != '/'))
		usage_die("%s", optind != argc ? usage : "the command must be an absolute path");
}

int
main(int argc, char **argv)
{
	static const int sigs[] = {SIGTERM, SIGINT};
	static struct asker a = {.out = -1};

	options(argc, argv, &a);
	signal(SIGPIPE, SIG_IGN);
	a.loop = loop_new();
	if (a.command == NULL)
		a.window = window_open(a.loop, on_choice, &a);
	if (a.command == NULL && a.window == NULL) {
		errno = 0;
		die("no display (DISPLAY=%s) and no --ask-command: nobody can be asked",
		    getenv("DISPLAY") != NULL ? getenv("DISPLAY") : "");
	}
	a.ask = sock_listen(ASK_SOCK, 0666);
	a.notify = a.ask >= 0 ? sock_listen(NOTIFY_SOCK, 0666) : -1;
	if (a.notify < 0)
		die("%s (are you of group qubes?)", RUN_ASK);
	if (!loop_signals(a.loop, sigs, 2, on_term, &a) ||
	    !loop_add(a.loop, a.ask, POLLIN, on_accept, &a) ||
	    !loop_add(a.loop, a.notify, POLLIN, on_accept, &a))
		die("poll loop");
	return loop_run(a.loop);
}
