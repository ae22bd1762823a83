/* SPDX-License-Identifier: ISC */
/* Deciding one request (spec/policy 3 "Evaluation"). Nothing is opened and nothing is kept. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine-int.h"
#include "log.h"
#include "names.h"

void
policy_index(struct policy *p)
{
	size_t size = 16, h;
	uint32_t *last, last_any = NO_RULE;

	while (size < 2 * p->nrules)
		size *= 2;
	free(p->table);
	p->table = malloc(size * sizeof(*p->table));
	last = malloc(size * sizeof(*last));
	if (p->table == NULL || last == NULL)
		die("policy");
	memset(p->table, 0xff, size * sizeof(*p->table)); /* NO_RULE */
	p->table_mask = size - 1;
	p->any_first = NO_RULE;
	for (uint32_t i = 0; i < p->nrules; i++) {
		p->crules[i].next = NO_RULE;
		if (strcmp(p->rules[i].service, "*") == 0) {
			*(last_any == NO_RULE ? &p->any_first : &p->crules[last_any].next) = i;
			last_any = i;
			continue;
		}
		h = str_hash(p->rules[i].service) & p->table_mask;
		while (p->table[h] != NO_RULE &&
		       strcmp(p->rules[p->table[h]].service, p->rules[i].service) != 0)
			h = (h + 1) & p->table_mask;
		*(p->table[h] == NO_RULE ? &p->table[h] : &p->crules[last[h]].next) = i;
		last[h] = i;
	}
	free(last);
}

struct walk
walk_start(const struct ctx *c)
{
	const struct policy *p = c->p;
	size_t h = str_hash(c->service) & p->table_mask;
	struct walk w = {.any = p->any_first};

	while (p->table[h] != NO_RULE && strcmp(p->rules[p->table[h]].service, c->service) != 0)
		h = (h + 1) & p->table_mask;
	w.own = p->table[h];
	return w;
}

uint32_t
walk_next(const struct ctx *c, struct walk *w)
{
	uint32_t *which = w->own < w->any ? &w->own : &w->any, i = *which;

	if (i != NO_RULE)
		*which = c->p->crules[i].next;
	return i;
}

bool
rule_is(const struct ctx *c, uint32_t i, bool with_target)
{
	const struct crule *r = &c->p->crules[i];

	return pattern_match(&r->source, &c->source, &c->source, c->si) &&
	       (r->argument == NULL || strcmp(r->argument, c->argument) == 0) &&
	       (!with_target || pattern_match(&r->target, &c->target, &c->source, c->si));
}

static void __attribute__((format(printf, 3, 4)))
deny(struct ctx *c, bool notify, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	c->d->reason = arena_vprintf(&c->mem, fmt, ap);
	va_end(ap);
	c->d->verdict = V_DENY;
	c->d->notify = notify;
}

static char *
dup(struct ctx *c, const char *s)
{
	return arena_dup(&c->mem, s, strlen(s));
}

/* Stricter than upstream: a name that no qrexecd would let through is refused here too. */
static bool
set_service(struct ctx *c, const char *untrusted_service)
{
	size_t n = strcspn(untrusted_service, "+");

	for (const char *s = untrusted_service; *s != '\0'; s++)
		if (!service_byte((unsigned char)*s) && *s != '+')
			return false;
	c->service = arena_dup(&c->mem, untrusted_service, n);
	c->argument = untrusted_service[n] == '\0' ? "+" : dup(c, untrusted_service + n);
	return n > 0;
}

/* A RemoteVM speaks through its relay (spec/policy 3, "What the caller asked for" 4). */
static const char *
set_source(struct ctx *c)
{
	const char *asked = c->rq->requested_source;
	const struct sys_vm *remote, *relay = NULL;

	subject_set(&c->source, c->si, dup(c, c->rq->source));
	if (c->source.kind != T_NAME && c->source.kind != T_ADMIN)
		return "not a qube's name as source";
	if (asked == NULL || asked[0] == '\0')
		return NULL;
	remote = sysinfo_find(c->si, asked);
	if (remote == NULL)
		return "unknown requested source";
	if (strcmp(remote->type, "RemoteVM") == 0 && remote->relayvm != NULL)
		relay = sysinfo_find(c->si, remote->relayvm);
	if (relay == NULL || relay != c->source.vm)
		return "not a relay for the requested source";
	subject_set(&c->source, c->si, dup(c, remote->name));
	c->d->policy_source = c->source.word;
	return NULL;
}

/* Everything that can be refused before the rules. */
static bool
open_request(struct ctx *c)
{
	const char *why;
	bool notify = true;

	c->d->requested_target = dup(c, c->rq->target);
	c->d->source = dup(c, c->rq->source);
	if (!set_service(c, c->rq->service)) {
		deny(c, false, "malformed service name");
		return false;
	}
	why = set_source(c);
	if (why != NULL) {
		deny(c, true, "%s", why);
		return false;
	}
	if (c->source.vm != NULL)
		c->d->source = dup(c, c->source.vm->name);
	why = check_target(&c->target, c->si, c->d->requested_target, &notify);
	c->d->requested_target = c->target.word;
	if (why != NULL) {
		deny(c, notify, "%s", why);
		return false;
	}
	return true;
}

/* A RemoteVM is reached through its relay's transport service. */
static void
via_relay(struct ctx *c, const struct sys_vm *remote)
{
	const struct sys_vm *relay;
	struct decision *d = c->d;

	relay = remote->relayvm == NULL ? NULL : sysinfo_find(c->si, remote->relayvm);
	if (relay == NULL) {
		deny(c, true, "%s: relayvm is not set", remote->name);
		return;
	}
	if (remote->transport_rpc == NULL || remote->transport_rpc[0] == '\0') {
		deny(c, true, "%s: transport_rpc is not set", remote->name);
		return;
	}
	d->service = arena_printf(
	    &c->mem, "%s+%s+%s%s", remote->transport_rpc, remote->name, c->service, c->argument);
	d->target = dup(c, relay->name);
	d->user = "DEFAULT";
	snprintf(d->target_uuid, sizeof(d->target_uuid), "uuid:%s", relay->uuid);
}

/* The last steps for a destination that the rule or the user named. */
static void
allow_to(struct ctx *c, const char *word)
{
	struct decision *d = c->d;
	struct subject t;
	bool notify = true;
	const char *why = check_target(&t, c->si, word, &notify);

	if (why == NULL && t.kind == T_DISPVM) {
		if (c->source.vm == NULL || c->source.vm->default_dispvm == NULL) {
			deny(c, true, "the caller has no default_dispvm");
			return;
		}
		subject_set(
		    &t, c->si, arena_printf(&c->mem, "@dispvm:%s", c->source.vm->default_dispvm));
		if (t.vm == NULL)
			why = "the caller's default_dispvm does not exist";
	}
	if (why == NULL && t.kind == T_DEFAULT)
		why = "neither caller nor rule names a target";
	if (why != NULL) {
		deny(c, notify, "%s", why);
		return;
	}
	d->target = t.kind == T_ADMIN ? "dom0" : dup(c, t.word);
	if (!d->autostart && !runs_already(c->si, d->target)) {
		deny(c, d->notify, "target is not running and the rule says autostart=no");
		return;
	}
	if (strcmp(d->target,
		t.kind == T_ADMIN && c->source.kind == T_ADMIN ? "dom0" : c->source.word) == 0) {
		deny(c, true, "a qube cannot call itself");
		return;
	}
	d->verdict = V_ALLOW;
	if (t.kind == T_ADMIN) {
		d->policy_source = "";
		return;
	}
	snprintf(d->target_uuid, sizeof(d->target_uuid), "%suuid:%s",
	    t.kind == T_DISP_NAME ? "@dispvm:" : "", t.vm->uuid);
	if (t.kind == T_NAME && strcmp(t.vm->type, "RemoteVM") == 0)
		via_relay(c, t.vm);
}

/* default_target counts only if it is offered. */
static void
set_default(struct ctx *c, const struct rule *r)
{
	const char *want = r->default_target;

	if (want == NULL)
		return;
	if (strcmp(want, "@dispvm") == 0)
		want = c->source.vm->default_dispvm == NULL
			   ? ""
			   : arena_printf(&c->mem, "@dispvm:%s", c->source.vm->default_dispvm);
	else if (is_dom0(want))
		want = "dom0";
	for (size_t i = 0; i < c->d->ntargets; i++)
		if (strcmp(c->d->targets[i], want) == 0)
			c->d->default_target = c->d->targets[i];
}

static void
ask(struct ctx *c, const struct rule *r)
{
	if (c->source.vm == NULL) {
		deny(c, false, "the caller is not known, nobody can be asked");
		c->d->verdict = V_ERROR;
		return;
	}
	ask_targets(c, r);
	if (c->d->ntargets == 0) {
		deny(c, true, "the rule asks, but no target is left to choose from");
		return;
	}
	set_default(c, r);
	c->d->verdict = V_ASK;
}

static void
apply(struct ctx *c, const struct rule *r)
{
	struct decision *d = c->d;

	d->file = dup(c, r->file);
	d->line = r->line;
	d->notify = r->notify;
	d->autostart = r->autostart;
	d->user = r->user == NULL ? "DEFAULT" : dup(c, r->user);
	if (r->action == V_DENY)
		deny(c, r->notify, "denied by policy");
	else if (r->action == V_ASK)
		ask(c, r);
	else
		allow_to(c, r->redirect == NULL ? c->target.word : r->redirect);
}

/* A policy that does not load refuses everything and says where. */
static void
broken(struct ctx *c)
{
	const struct policy_error *e = policy_error(c->p, 0);

	deny(c, false, "the policy does not load: %s:%u:%u: %s", e->file, e->line, e->col, e->text);
	c->d->verdict = V_ERROR;
	c->d->file = dup(c, e->file);
	c->d->line = e->line;
}

static struct ctx
ctx_new(const struct policy *p, const struct sysinfo *si, const struct policy_request *rq,
    struct decision *d)
{
	struct ctx c = {.p = p, .si = si, .rq = rq, .d = d};

	*d = (struct decision){.policy_source = "",
	    .default_target = "",
	    .requested_target = "",
	    .source = "",
	    .reason = ""};
	return c;
}

static void
ctx_done(struct ctx *c)
{
	c->d->buf = (char *)c->mem.head;
}

void
policy_decide(const struct policy *p, const struct sysinfo *si, const struct policy_request *rq,
    struct decision *d)
{
	struct ctx c = ctx_new(p, si, rq, d);
	struct walk w;
	uint32_t i;

	if (!policy_ok(p)) {
		broken(&c);
	} else if (open_request(&c)) {
		w = walk_start(&c);
		do
			i = walk_next(&c, &w);
		while (i != NO_RULE && !rule_is(&c, i, true));
		if (i == NO_RULE)
			deny(&c, true, "no rule matches");
		else
			apply(&c, &p->rules[i]);
	}
	ctx_done(&c);
}

void
policy_answer(const struct policy *p, const struct sysinfo *si, const struct policy_request *rq,
    const char *choice, struct decision *d)
{
	struct decision asked = *d;
	struct ctx c = ctx_new(p, si, rq, d);
	size_t i = 0;

	while (i < asked.ntargets && strcmp(asked.targets[i], choice) != 0)
		i++;
	if (open_request(&c)) {
		d->file = asked.file == NULL ? NULL : dup(&c, asked.file);
		d->line = asked.line;
		d->notify = asked.notify;
		d->autostart = asked.autostart;
		d->user = asked.user == NULL ? "DEFAULT" : dup(&c, asked.user);
		if (asked.verdict != V_ASK || i == asked.ntargets)
			deny(&c, false,
			    choice[0] == '\0' ? "denied by the user"
					      : "the choice was not offered");
		else if (strcmp(choice, "@dispvm") == 0)
			deny(&c, false, "the choice names no template");
		else
			allow_to(&c, choice);
	}
	ctx_done(&c);
	decision_free(&asked);
}

void
decision_free(struct decision *d)
{
	struct arena mem = {.head = (struct chunk *)(void *)d->buf};

	arena_free(&mem);
	d->buf = NULL;
	d->targets = NULL;
	d->ntargets = 0;
}

int
rule_match(const struct rule *r, const struct sysinfo *si, const struct policy_request *rq)
{
	struct decision d;
	struct ctx c = ctx_new(NULL, si, rq, &d);
	struct pattern source = token(r->source, P_SOURCE), target = token(r->target, P_TARGET);
	int m = 0;

	if (open_request(&c)) {
		if (strcmp(r->service, "*") == 0 || strcmp(r->service, c.service) == 0)
			m |= M_SERVICE;
		if (strcmp(r->argument, "*") == 0 || strcmp(r->argument, c.argument) == 0)
			m |= M_ARGUMENT;
		if (pattern_match(&source, &c.source, &c.source, si))
			m |= M_SOURCE;
		if (pattern_match(&target, &c.target, &c.source, si))
			m |= M_TARGET;
	}
	arena_free(&c.mem);
	return m;
}
