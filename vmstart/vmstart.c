/* SPDX-License-Identifier: ISC */
/*
 * vmstart NAME: one per running qube, in the foreground. The keeper (this process, root) builds the
 * domain or adopts the live one, waits until it has gone, and undoes all; the console (console.c)
 * is its only child. Exit codes: domain.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ahead.h"
#include "daemon.h"
#include "keeper.h"
#include "kv.h"
#include "log.h"
#include "loop.h"
#include "paths.h"
#include "qids.h"
#include "sock.h"
#include "startsock.h"

#define USAGE "usage: vmstart [-n FD | -k | -p | -x] NAME, vmstart -s"
#define ASK_AGAIN_MS 250 /* startd is not there: it is being restarted */
#define STORE_MS 60000
#define GRACE_S 10 /* what startd may take longer than the agent's time limit */
#define DOWN_MS 8000
#define STATE_AGAIN_MS 1000
#define PROGRESS_MS 5000

static void ask(struct loop *l, int fd, short revents, void *arg);

static _Noreturn void
fail(const struct keeper *k, const char *what)
{
	logit("cannot start: %s: %s", what, strerror(errno));
	(void)k;
	exit(END_FAILURE);
}

/* Others go by what stands there: what cannot be written now is written later. */
static void
write_state(struct loop *l, int fd, short revents, void *arg)
{
	struct keeper *k = arg;

	(void)fd;
	(void)revents;
	k->state_timer = 0;
	if (state_write(k->state_dir, &k->state)) {
		k->unwritten = false;
		return;
	}
	if (!k->unwritten)
		logit("state %s not written: %s; trying again", k->state.state, strerror(errno));
	k->unwritten = true;
	k->state_timer = loop_after(l, STATE_AGAIN_MS, write_state, k);
}

static void
set_state(struct keeper *k, const char *word)
{
	snprintf(k->state.state, sizeof k->state.state, "%s", word);
	k->state.pid = getpid();
	loop_cancel(k->loop, k->state_timer);
	write_state(k->loop, -1, 0, k);
}

/* Who holds channels to it lets go of them by its state. */
static void
destroy(struct keeper *k)
{
	k->destroyed = true;
	set_state(k, "Dying");
	domain_destroy(&k->dom);
}

/*
 * startd brings up the store, which is filled before the domain runs (spec/vm 2); then the qube's
 * other daemons, and tells when the agent has answered.
 */

static void
give_up(struct keeper *k, const char *why)
{
	logit("the agent did not come: %s", why);
	k->no_agent = true;
	destroy(k);
}

/* Nothing of it has run. */
static void
not_let_run(struct keeper *k, const char *why)
{
	snprintf(k->why, sizeof k->why, "%s", why);
	logit("cannot start: %s", k->why);
	k->no_good = k->why;
	destroy(k);
}

static void
on_agent_timeout(struct loop *l, int fd, short revents, void *arg)
{
	struct keeper *k = arg;

	(void)l;
	(void)fd;
	(void)revents;
	k->agent_timer = 0;
	if (k->started)
		give_up(k, "no answer from startd in time");
	else
		not_let_run(k, "its store: no answer from startd in time");
}

static void
let_run(struct keeper *k)
{
	const char *e = k->started ? NULL : domain_start(&k->dom);
	char why[256];

	if (e) {
		snprintf(
		    why, sizeof why, "%s%s%s", e, errno ? ": " : "", errno ? strerror(errno) : "");
		return not_let_run(k, why);
	}
	/* Only now: what it says before fits into its ring. */
	if (!k->started)
		keeper_console(k);
	k->started = true;
	k->op = "up";
	loop_cancel(k->loop, k->agent_timer);
	k->agent_timer = loop_after(
	    k->loop, (uint64_t)(k->conf.qrexec_timeout + GRACE_S) * 1000, on_agent_timeout, k);
	ask(k->loop, -1, 0, k);
}

static void
store_answered(struct keeper *k, bool good, const char *why)
{
	if (good && !k->started)
		logit("its store was ready after %llu ms",
		    (unsigned long long)(now_ms() - k->asked_ms));
	else if (!good && k->started) /* it runs; what it reads it has read */
		logit("no store: %s", why);
	else if (!good)
		return not_let_run(k, why);
	let_run(k);
}

static void
say_ready(struct keeper *k)
{
	daemon_ready(k->ready_fd);
	k->ready_fd = -1;
}

static void
now_running(struct keeper *k)
{
	loop_cancel(k->loop, k->agent_timer);
	set_state(k, "Running");
	say_ready(k);
}

static void
hang_up(struct keeper *k)
{
	if (k->ask < 0)
		return;
	loop_del(k->loop, k->ask);
	close(k->ask);
	k->ask = -1;
	buf_free(&k->answer);
}

/* It is to end, or has begun to. */
static bool
over(const struct keeper *k)
{
	return k->asked_down || k->no_agent || k->no_good;
}

static void
on_answer(struct loop *l, int fd, short revents, void *arg)
{
	struct keeper *k = arg;
	const ssize_t n = buf_read_fd(&k->answer, fd, KV_BYTES);
	static struct kv kv;
	const char *bad, *result, *why;
	bool good;

	(void)revents;
	if (n > 0 || n == -2)
		return;
	bad = n < 0 || k->answer.len == 0 ? "none"
					  : kv_parse(&kv, buf_bytes(&k->answer), k->answer.len);
	hang_up(k);
	if (bad) { /* startd was ended in the middle: the next one starts over */
		loop_after(l, ASK_AGAIN_MS, ask, k);
		return;
	}
	result = kv_get(&kv, "result");
	why = kv_get(&kv, "reason");
	good = result && strcmp(result, "ok") == 0;
	if (!why)
		why = "startd refused";
	if (over(k))
		return;
	if (strcmp(k->op, "store") == 0)
		store_answered(k, good, why);
	else if (good)
		now_running(k);
	else
		give_up(k, why);
}

static void
ask(struct loop *l, int fd, short revents, void *arg)
{
	struct keeper *k = arg;
	struct buf req = {.max = START_REQUEST_MAX};

	(void)fd;
	(void)revents;
	if (over(k))
		return;
	k->answer = (struct buf){.max = KV_BYTES};
	k->ask = sock_connect(START_SOCK);
	if (k->ask < 0 || !buf_printf(&req, "op=%s\nname=%s\n\n", k->op, k->state.name) ||
	    buf_write_fd(&req, k->ask) < 0 || !loop_add(l, k->ask, POLLIN, on_answer, k)) {
		hang_up(k);
		loop_after(l, ASK_AGAIN_MS, ask, k);
	}
	buf_free(&req);
}

static void
ask_first(struct keeper *k)
{
	k->op = "store";
	k->agent_timer = loop_after(k->loop, STORE_MS, on_agent_timeout, k);
	k->asked_ms = now_ms();
	ask(k->loop, -1, 0, k);
}

/* The end. */

static void
on_gone(struct loop *l, int fd, short revents, void *arg)
{
	struct keeper *k = arg;
	int code;

	(void)revents;
	if (!domain_gone(&k->dom))
		return;
	loop_del(l, fd);
	code = domain_end(&k->dom);
	k->clean = code == END_POWEROFF && k->started && !k->destroyed;
	set_state(k, code == END_CRASH && !over(k) ? "Crashed" : "Dying");
	if (k->no_good)
		code = END_FAILURE;
	else if (k->no_agent)
		code = END_NO_AGENT;
	else if (k->asked_down)
		code = END_POWEROFF;
	loop_stop(l, code);
}

static void
on_patience(struct loop *l, int fd, short revents, void *arg)
{
	struct keeper *k = arg;

	(void)l;
	(void)fd;
	(void)revents;
	logit("did not shut down within %u s: destroyed", k->conf.shutdown_timeout);
	destroy(k);
}

/* A keeper that is killed in between is followed by one that makes true what the state says. */
static void
pause_or_not(struct keeper *k, bool paused)
{
	const char *e;

	if (over(k) || strcmp(k->state.state, paused ? "Running" : "Paused") != 0)
		return;
	e = paused ? domain_pause(&k->dom) : domain_unpause(&k->dom);
	if (e)
		logit("not %s: %s: %s", paused ? "paused" : "unpaused", e, strerror(errno));
	if (e && paused)
		(void)domain_unpause(&k->dom);
	if (e)
		return;
	k->paused = paused;
	set_state(k, paused ? "Paused" : "Running");
}

static void
on_signal(struct loop *l, int sig, short revents, void *arg)
{
	struct keeper *k = arg;

	(void)revents;
	if (sig == SIGUSR1 || sig == SIGUSR2)
		return pause_or_not(k, sig == SIGUSR1);
	/* who does not run cannot be asked */
	if (sig == SIGQUIT || !k->started || k->paused) {
		k->asked_down = true;
		destroy(k);
	} else if (!k->asked_down) {
		k->asked_down = true;
		set_state(k, "Halting");
		domain_shutdown(&k->dom);
		k->kill_timer =
		    loop_after(l, (uint64_t)k->conf.shutdown_timeout * 1000, on_patience, k);
	}
}

/* Undoes all, whatever there was. */
static void
clean_up(struct keeper *k, int code, const char *why)
{
	struct buf req = {.max = START_REQUEST_MAX};
	static struct kv kv;
	const char *bad;

	keeper_console_end(k);
	domain_cleanup(&k->dom);
	storage_close(&k->dom.disks);
	storage_stop(&k->conf, k->clean);
	if (unlinkat(k->state_dir, k->state.name, 0) < 0 && errno != ENOENT)
		logit("state not removed: %s", strerror(errno));
	if (!buf_printf(&req, "op=down\nname=%s\ncode=%d\n", k->state.name, code) ||
	    (why && !kv_put(&req, "reason", why)) || !buf_printf(&req, "\n"))
		logit("op=down does not fit");
	bad = kv_call(START_SOCK, buf_bytes(&req), req.len, DOWN_MS, &kv, NULL);
	if (bad)
		logit("op=down: %s", bad);
	buf_free(&req);
}

static _Noreturn void
give_back(struct keeper *k, const char *e)
{
	const int err = errno;
	char why[256];

	snprintf(why, sizeof why, "%s%s%s", e, err ? ": " : "", err ? strerror(err) : "");
	logit("cannot start: %s", why);
	clean_up(k, END_FAILURE, why);
	exit(END_FAILURE);
}

/* It is there: from now on others know it. */
static void
announce(struct keeper *k)
{
	snprintf(k->state.state, sizeof k->state.state, "Transient");
	k->state.pid = getpid();
	if (!state_write(k->state_dir, &k->state)) {
		struct pollfd p = {.fd = k->dom.end_fd, .events = POLLIN};
		const int err = errno;

		domain_destroy(&k->dom);
		(void)poll(&p, 1, DOWN_MS);
		errno = err;
		give_back(k, "no state can be written");
	}
	logit("session %s, domain %u", k->state.session, k->state.domid);
}

/* A template's root is copied where the file system cannot do without: that may take its time, and
 * nobody has to wait for it who wants the qube to end. */
static void
copying(void *arg, uint64_t done, uint64_t of)
{
	static uint64_t last;
	sigset_t pending;

	if (sigpending(&pending) == 0 &&
	    (sigismember(&pending, SIGTERM) || sigismember(&pending, SIGQUIT))) {
		errno = 0;
		give_back(arg, "it was to end while its root was being copied");
	}
	if (last == 0)
		last = now_ms();
	if (now_ms() - last < PROGRESS_MS)
		return;
	last = now_ms();
	if (of)
		logit("copied %llu of %llu MiB", (unsigned long long)done >> 20,
		    (unsigned long long)of >> 20);
	else
		logit("copied %llu MiB", (unsigned long long)done >> 20);
}

static void
build(struct keeper *k)
{
	const struct storage_progress progress = {copying, k};
	const char *e;

	k->state.qid = qid_of(k->conf.name);
	if (k->state.qid == 0)
		fail(k, "no qid (startd assigns it)");
	hexid_new(k->state.session);
	snprintf(k->state.uuid, sizeof k->state.uuid, "%s", k->conf.uuid);
	k->state.init_pid = k->state.init_born = 0;
	e = storage_start(&k->conf, &k->dom.disks, &progress);
	if (!e)
		e = domain_prepare(&k->dom);
	if (!e)
		e = domain_build(&k->dom);
	if (e)
		give_back(k, e);
	storage_close(&k->dom.disks);
	announce(k);
}

/*
 * True: the domain that an earlier keeper built is alive, or one that was built ahead, and now
 * ours. One that is still Transient may not have been let run yet: domain_start knows.
 */
static bool
adopt(struct keeper *k, const char *name)
{
	const bool known = state_read(k->state_dir, name, &k->state);

	if (known && k->state.qid == qid_of(name) && domain_adopt(&k->dom)) {
		logit("adopts session %s, domain %u", k->state.session, k->state.domid);
		k->started = strcmp(k->state.state, "Transient") != 0;
		k->paused = strcmp(k->state.state, "Paused") == 0;
		if (k->paused)
			(void)domain_pause(&k->dom);
		else if (k->started)
			(void)domain_unpause(&k->dom);
		return true;
	}
	if (!known && ahead_take(&k->dom)) {
		announce(k);
		return true;
	}
	snprintf(k->state.name, sizeof k->state.name, "%s", name);
	if (known) { /* the qube's daemons are that domain's, and nobody asked for another */
		logit("session %s ended while it had no keeper", k->state.session);
		clean_up(k, END_CRASH, "its domain has gone");
		exit(END_CRASH);
	}
	domain_cleanup(&k->dom); /* what an earlier one left */
	return false;
}

/* For a start that still waits for its agent. */
static const char *
why_ended(const struct keeper *k, int code)
{
	if (k->no_good)
		return k->no_good;
	if (k->no_agent)
		return "the agent did not answer in time";
	if (k->asked_down)
		return "it was ended before its agent answered";
	switch (code) {
	case END_REBOOT:
		return "it rebooted before its agent answered";
	case END_POWEROFF:
		return "it powered off before its agent answered";
	default:
		return "it crashed before its agent answered, or was destroyed";
	}
}

static void
usage(void)
{
	puts(USAGE "\n"
		   "Builds the qube NAME, lives as long as it lives, takes it down. Run by startd "
		   "through s6.\n"
		   "  -n FD  write a newline to FD when the qube is running\n"
		   "  -k     end a domain that nobody keeps, and undo all of it\n"
		   "  -p     see to it that a domain is built ahead, if NAME's file says prepare\n"
		   "  -x     throw away the one that is; without a file NAME: its volumes, too\n"
		   "  -s     throw away volumes of qubes that have no file");
}

/* end: one that is there and has no keeper; it is not asked. */
static int
keep(struct keeper *k, const char *name, bool end)
{
	const bool known = keeper_load(k, name, !end);
	const int lock = ahead_lock(name);
	const char *e;
	struct vm_state st;
	int code;

	if (end && !state_read(k->state_dir, name, &st))
		return 0;
	if (adopt(k, name)) {
		e = storage_adopt(&k->conf);
		if (e)
			logit("%s: %s: others are not kept from them", e, strerror(errno));
	} else if (known && !end) {
		domain_warn();
		build(k);
	} else {
		return END_FAILURE; /* it ended just now */
	}
	if (lock >= 0)
		close(lock);
	if (!loop_add(k->loop, k->dom.end_fd, POLLIN, on_gone, k))
		die("loop");
	if (k->started && !end)
		keeper_console(k);
	if (end) {
		k->asked_down = true;
		destroy(k);
	} else if (k->paused) { /* its daemons were up before, and nobody answers now */
		set_state(k, "Paused");
		say_ready(k);
	} else {
		ask_first(k);
	}
	code = loop_run(k->loop);
	logit("ended, code %d", code);
	clean_up(k, code, why_ended(k, code));
	return code;
}

int
main(int argc, char **argv)
{
	static const struct option longs[] = {{"help", no_argument, NULL, 'h'}, {0}};
	static const int sigs[] = {SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2};
	static struct keeper k = {.ready_fd = -1, .console = -1, .life = -1, .ask = -1};
	uint32_t ready = 0;
	int c, only = 0;

	log_open("vmstart", NULL);
	while ((c = getopt_long(argc, argv, "n:kpsxh", longs, NULL)) != -1) {
		if (c == 'h') {
			usage();
			return 0;
		}
		if (c == 's' && optind == argc) {
			storage_sweep();
			return 0;
		}
		if (c == 'k' || c == 'p' || c == 'x')
			only = c;
		else if (c != 'n' || !parse_u32(optarg, 1023, &ready) || ready < 3)
			usage_die(USAGE);
	}
	if (optind + 1 != argc || !name_ok(argv[optind]) || is_dom0(argv[optind]))
		usage_die(USAGE);
	log_open("vmstart", argv[optind]);
	signal(SIGPIPE, SIG_IGN);
	if (ready > 0 && fd_cloexec((int)ready))
		k.ready_fd = (int)ready;
	k.dom = (struct domain){
	    .conf = &k.conf, .state = &k.state, .end_fd = -1, .console_fd = -1, .word_fd = -1};
	for (int i = 0; i < VOL_N; i++)
		k.dom.disks.disk[i].fd = -1;
	k.loop = loop_new();
	if (!loop_signals(k.loop, sigs, 5, on_signal, &k))
		die("signals");
	if (only == 'p' || only == 'x')
		return keeper_aside(&k, only, argv[optind]);
	return keep(&k, argv[optind], only == 'k');
}
