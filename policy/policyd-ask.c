/* SPDX-License-Identifier: ISC */
/*
 * ask and notify: policyd as a client of the user's qrexec-ask (spec/qrexec 6, policy.Ask). It
 * waits for nobody: a prompt is one more descriptor in the loop.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "paths.h"
#include "policy/policyd.h"
#include "sock.h"

#define ANSWER_MAX 256
#define JSON_MAX (1024 * 1024)

struct prompt {
	struct prompt *next;
	struct client *c;
	struct request rq; /* its strings are in mem */
	char *mem;
	int fd; /* -1: waits for its turn */
	struct buf out, in;
};

static void
json_string(struct buf *b, const char *s)
{
	bool ok = buf_put(b, "\"", 1);

	for (; ok && *s != '\0'; s++) {
		unsigned char ch = (unsigned char)*s;

		if (ch < 0x20 || ch > 0x7e || ch == '"' || ch == '\\')
			ok = buf_printf(b, "\\u%04x", ch);
		else
			ok = buf_put(b, s, 1);
	}
	if (ok)
		buf_put(b, "\"", 1);
}

static void
json_pair(struct buf *b, const char *key, const char *value, const char *after)
{
	buf_printf(b, "\"%s\":", key);
	json_string(b, value);
	buf_put(b, after, strlen(after));
}

/* The first three members of both messages. */
static void
json_head(struct buf *b, const char *agent, const struct policyd *p, const struct request *rq)
{
	const char *asked = rq->requested_source != NULL && *rq->requested_source != '\0'
				? rq->requested_source
				: rq->source;
	const struct sys_vm *vm = sysinfo_find(p->known.sys, asked);
	size_t n = strcspn(rq->service, "+");
	struct buf name = {.max = KV_BYTES};

	buf_printf(b, "%s dom0 name dom0", agent);
	buf_put(b, "", 1);
	buf_put(b, "{", 1);
	json_pair(b, "source", vm != NULL ? vm->name : asked, ",");
	buf_put(&name, rq->service, n);
	buf_put(&name, "", 1);
	json_pair(b, "service", (const char *)buf_bytes(&name), ",");
	json_pair(b, "argument", rq->service[n] == '+' ? rq->service + n : "+", ",");
	buf_free(&name);
}

/* @dispvm:NAME has the icon of NAME. */
static void
json_icon(struct buf *b, const struct policyd *p, const char *target, const char *before)
{
	const struct sys_vm *vm =
	    sysinfo_find(p->known.sys, strncmp(target, "@dispvm:", 8) == 0 ? target + 8 : target);

	buf_put(b, before, strlen(before));
	json_string(b, target);
	buf_put(b, ":", 1);
	json_string(b, vm != NULL && vm->icon != NULL ? vm->icon : "");
}

static bool
make_message(struct prompt *pr, const struct policyd *p, const struct decision *d)
{
	struct buf *b = &pr->out;

	json_head(b, "policy.Ask", p, &pr->rq);
	json_pair(b, "default_target", d->default_target, ",\"targets\":[");
	for (size_t i = 0; i < d->ntargets; i++) {
		if (i > 0)
			buf_put(b, ",", 1);
		json_string(b, d->targets[i]);
	}
	buf_put(b, "],\"icons\":{", 11);
	for (size_t i = 0; i < d->ntargets; i++)
		json_icon(b, p, d->targets[i], i > 0 ? "," : "");
	json_icon(b, p, pr->rq.source, d->ntargets > 0 ? "," : "");
	return buf_put(b, "}}", 2);
}

static void
prompt_free(struct prompt *pr)
{
	struct policyd *p = pr->c->p;
	struct prompt **at = &p->prompts;

	while (*at != pr)
		at = &(*at)->next;
	*at = pr->next;
	if (pr->fd >= 0) {
		loop_del(p->loop, pr->fd);
		close(pr->fd);
	}
	pr->c->prompt = NULL;
	buf_free(&pr->out);
	buf_free(&pr->in);
	free(pr->mem);
	free(pr);
}

static void next_prompt(struct policyd *p);

/* The end of a prompt whose client still waits. */
static void
answered(struct prompt *pr, const char *choice, const char *why)
{
	struct client *c = pr->c;
	struct policyd *p = c->p;
	struct request rq = pr->rq;
	char *mem = pr->mem;

	pr->mem = NULL;
	prompt_free(pr);
	decide_answer(c, &rq, choice, why);
	free(mem);
	next_prompt(p);
}

void
prompt_end(struct prompt *pr, const char *why)
{
	answered(pr, NULL, why);
}

static void
understand(struct prompt *pr)
{
	char text[ANSWER_MAX + 1];
	size_t n = pr->in.len;

	if (n > 0)
		memcpy(text, buf_bytes(&pr->in), n);
	text[n] = '\0';
	if (strlen(text) == n && strncmp(text, "allow:", 6) == 0 && n > 6)
		answered(pr, text + 6, "");
	else if (strcmp(text, "deny") == 0 && n == 4)
		answered(pr, NULL, PROMPT_NO);
	else
		answered(pr, NULL, "qrexec-ask ended without an answer");
}

static void
on_agent(struct loop *l, int fd, short revents, void *arg)
{
	struct prompt *pr = arg, *still;
	struct policyd *p = pr->c->p;
	bool current;
	ssize_t n;

	(void)revents;
	/* News first: they may withdraw this very prompt. */
	current = known_drain(p);
	for (still = p->prompts; still != NULL && still != pr; still = still->next)
		;
	if (still == NULL)
		return;
	if (!current) {
		answered(pr, NULL, "changed files cannot be read");
		return;
	}
	if (pr->out.len > 0) {
		n = write(fd, buf_bytes(&pr->out), pr->out.len);
		if (n > 0)
			buf_eat(&pr->out, (size_t)n);
		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			answered(pr, NULL, "qrexec-ask hung up");
		} else if (pr->out.len == 0) {
			shutdown(fd, SHUT_WR);
			buf_free(&pr->out);
			loop_set(l, fd, POLLIN);
		}
		return;
	}
	n = buf_read_fd(&pr->in, fd, ANSWER_MAX);
	if (n == 0 || (n == -2 && buf_room(&pr->in) == 0))
		understand(pr);
	else if (n == -1)
		answered(pr, NULL, "qrexec-ask hung up");
}

/* A connection to the person's agent, or -1. */
static int
agent_connect(const struct policyd *p, const char *path)
{
	int fd = sock_connect(path);

	if (fd >= 0 && !sock_peer_is_person(fd, p->people)) {
		logit("%s: its owner is not of group qubes", path);
		close(fd);
		fd = -1;
	}
	return fd;
}

static bool
show(struct prompt *pr)
{
	struct policyd *p = pr->c->p;

	pr->fd = agent_connect(p, RUN_ASK "/policy.Ask");
	return pr->fd >= 0 && loop_add(p->loop, pr->fd, POLLOUT, on_agent, pr);
}

static size_t
count(const struct policyd *p, const char *source, bool shown)
{
	size_t n = 0;

	for (const struct prompt *o = p->prompts; o != NULL; o = o->next)
		n += (o->fd >= 0) == shown && (source == NULL || strcmp(o->rq.source, source) == 0);
	return n;
}

/* Shows what may be shown now. Answering changes the list, so from its start each time. */
static void
next_prompt(struct policyd *p)
{
	struct prompt *pr = p->prompts;

	while (pr != NULL && count(p, NULL, true) < PROMPTS_MAX) {
		if (pr->fd >= 0 || count(p, pr->rq.source, true) > 0) {
			pr = pr->next;
		} else if (!show(pr)) {
			answered(pr, NULL, "no qrexec-ask is there to ask the user");
			return; /* answered has looked at the rest */
		}
	}
}

static bool
copy_request(struct prompt *pr, const struct request *rq)
{
	const char *const from[] = {rq->source, rq->target, rq->service,
	    rq->requested_source != NULL ? rq->requested_source : ""};
	const char **const to[] = {
	    &pr->rq.source, &pr->rq.target, &pr->rq.service, &pr->rq.requested_source};
	size_t n = 0, len;
	char *at;

	for (size_t i = 0; i < 4; i++)
		n += strlen(from[i]) + 1;
	at = pr->mem = malloc(n);
	for (size_t i = 0; at != NULL && i < 4; i++, at += len) {
		len = strlen(from[i]) + 1;
		*to[i] = memcpy(at, from[i], len);
	}
	return at != NULL;
}

/* NULL, or why the user cannot be asked. */
static const char *
may_ask(const struct policyd *p, const struct request *rq)
{
	const char *who = rq->requested_source != NULL && *rq->requested_source != '\0'
			      ? rq->requested_source
			      : rq->source;
	const struct sys_vm *vm = sysinfo_find(p->known.sys, who);

	if (vm != NULL && vm->guivm != NULL && strcmp(vm->guivm, "dom0") != 0)
		return "its guivm is not dom0";
	if (count(p, rq->source, true) > 0 && count(p, rq->source, false) >= PROMPTS_QUEUED)
		return "4 prompts of this qube wait already";
	return NULL;
}

void
prompt_new(struct client *c, const struct request *rq, const struct decision *d)
{
	struct policyd *p = c->p;
	const char *why = may_ask(p, rq);
	struct prompt *pr = why == NULL ? calloc(1, sizeof(*pr)) : NULL, **at = &p->prompts;

	if (pr != NULL) {
		*pr = (struct prompt){
		    .c = c, .fd = -1, .out = {.max = JSON_MAX}, .in = {.max = ANSWER_MAX}};
		while (*at != NULL)
			at = &(*at)->next;
		*at = pr;
		if (copy_request(pr, rq) && make_message(pr, p, d) && client_wait(c)) {
			c->prompt = pr;
			next_prompt(p);
			return;
		}
		prompt_free(pr);
	}
	decide_answer(c, rq, NULL, why != NULL ? why : "the prompt could not be made");
}

/* A prompt that names the qube; one that still waits before the one that is shown. */
static struct prompt *
naming(const struct policyd *p, const char *name)
{
	struct prompt *found = NULL;

	for (struct prompt *pr = p->prompts; pr != NULL; pr = pr->next) {
		/* What is freed is not in the list. NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
		if (strcmp(known_plain(&p->known, pr->rq.source), name) != 0 &&
		    strcmp(known_plain(&p->known, pr->rq.target), name) != 0)
			continue;
		if (found == NULL || pr->fd < 0)
			found = pr;
	}
	return found;
}

void
prompts_session(struct policyd *p, const char *name)
{
	struct prompt *pr;

	while ((pr = naming(p, name)) != NULL)
		answered(pr, NULL, "withdrawn: a session has ended");
}

void
notify(struct policyd *p, const struct request *rq, const struct decision *d)
{
	static const char *const words[] = {
	    [V_DENY] = "deny", [V_ALLOW] = "allow", [V_ASK] = "fail", [V_ERROR] = "fail"};
	struct buf b = {.max = 65536};
	int fd = sock_connect(RUN_ASK "/policy.Notify");

	if (fd < 0)
		return;
	json_head(&b, "policy.Notify", p, rq);
	json_pair(&b, "resolution", words[d->verdict], ",");
	json_pair(&b, "target", d->verdict == V_ALLOW ? d->target : rq->target, "}");
	if (sock_peer_is_person(fd, p->people) && write(fd, buf_bytes(&b), b.len) != (ssize_t)b.len)
		limited(p, &p->busy, "qrexec-ask does not take notifications");
	close(fd);
	buf_free(&b);
}
