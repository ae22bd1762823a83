/* SPDX-License-Identifier: ISC */
/*
 * A trigger's way. Managed: rate -> a turn -> policyd -> startd if need be -> a place among the
 * set-ups -> the target's peer socket -> SERVICE_CONNECT. By hand: rate -> a place -> the runner.
 * Refused anywhere: SERVICE_REFUSED and a line with the reason.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "paths.h"
#include "route.h"

#define TICK_MS 1000u
#define ABANDON_MS 120000u /* a caller waits no longer (agent) */

static void on_tick(struct loop *l, int fd, short revents, void *arg);
static void route_go(struct route *r);
static void ask_policy(struct route *r);

void
routes_init(struct qd *q)
{
	struct route_set *s = &q->routes;

	s->last = &s->first;
	s->tokens = s->burst * 1000ull;
	s->filled_ms = now_ms();
}

static void
tick_later(struct qd *q)
{
	struct route_set *s = &q->routes;
	uint32_t ms = s->waiting > 0 && s->rate > 0 ? 1000 / s->rate + 1 : TICK_MS;

	if (s->timer == 0 && (s->waiting > 0 || s->over.held > 0 || s->bad.held > 0))
		s->timer = loop_after(q->loop, ms, on_tick, q);
}

static struct route *
first_in(const struct qd *q, int state)
{
	struct route *r = q->routes.first;

	while (r != NULL && (int)r->state != state)
		r = r->next;
	return r;
}

static void
on_place(struct loop *l, int fd, short revents, void *arg)
{
	struct qd *q = arg;
	struct route *r = first_in(q, R_PLACE);

	(void)l, (void)fd, (void)revents;
	q->routes.setups--;
	if (r != NULL)
		route_go(r);
}

static void
on_turn(struct loop *l, int fd, short revents, void *arg)
{
	struct qd *q = arg;
	struct route *r = first_in(q, R_TURN);

	(void)l, (void)fd, (void)revents;
	q->routes.asking--;
	if (r != NULL)
		ask_policy(r);
}

/* What it holds. Always by a timer: nobody's way starts from within another's end. */
static void
give(struct route *r, bool *held, uint32_t ms, loop_fn *next)
{
	if (*held && loop_after(r->q->loop, ms, next, r->q) == 0)
		die("no memory");
	*held = false;
}

void
route_free(struct route *r)
{
	struct route_set *s = &r->q->routes;
	struct route **at = &s->first;

	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	if (r->next == NULL)
		s->last = at;
	if (r->state == R_CALL)
		s->held--;
	else
		s->n--;
	if (r->counted)
		s->waiting--;
	if (r->taken != 0 && ports_free(&r->q->ports, r->domid, r->taken))
		clients_wake(r->q);
	give(r, &r->asking, 0, on_turn);
	give(r, &r->place, r->connected && r->q->managed ? SETUP_HOLD_MS : 0, on_place);
	helper_free(r->h);
	helper_free(r->keeper);
	loop_cancel(r->q->loop, r->done);
	free(r);
}

void
route_refuse(struct route *r, const char *who, const char *why)
{
	logit("%.300s to %s refused: %s%s%s", r->service,
	    r->target[0] != '\0' ? r->target : "@default", who, who[0] != '\0' ? ": " : "", why);
	agent_refuse(r->q, r->ident);
	route_free(r);
}

/* --- managed --- */

/* Its channel came, and closes again: the caller sees an end. */
static void
on_abandoned(struct helper *h, const char *why)
{
	struct route *r = h->arg;

	if (why == NULL && h->passed >= 0) {
		vchan_close(vchan_take(VCHAN_CLIENT, h->passed));
		h->passed = -1;
	}
	route_free(r);
}

/*
 * Dom0 gave the call up before it took its end. The caller waits, and an agent that has been told
 * SERVICE_CONNECT knows no refusal: so somebody comes, and leaves.
 */
static void
abandon(struct route *r)
{
	char request[48];

	logit("%.300s: Dom0 gave the call up", r->service);
	snprintf(request, sizeof(request), "role=client\nport=%u\n\n", r->port);
	helper_free(r->h);
	r->h = helper_ask(r->q, CHAN_SOCK, ABANDON_MS, request, on_abandoned, r);
	if (r->h == NULL)
		route_free(r);
}

static void
on_held(struct helper *h, const char *why)
{
	struct route *r = h->arg;

	if (why == NULL) {
		r->stands = true;
		helper_keep(h, on_held);
	} else if (r->stands || r->ended) {
		route_free(r);
	} else {
		abandon(r);
	}
}

static bool
heeds(const struct route *r)
{
	return strncmp(r->ident, IDENT_HEEDS, strlen(IDENT_HEEDS)) == 0;
}

static void
nobody_comes(struct route *r)
{
	if (heeds(r) && !r->orphan)
		agent_refuse(r->q, r->ident);
	route_free(r);
}

/* The target's agent has ended the call, or itself. If the caller's channel stands it takes no
 * notice. */
static void
on_over(struct helper *h, const char *why)
{
	struct route *r = h->arg;

	if (why == NULL) {
		nobody_comes(r);
	} else if (r->keeper != NULL && !r->orphan) {
		/* the disposable's qrexecd was killed: the call may go on, its caller's end is told
		 */
		helper_free(h);
		r->h = NULL;
	} else {
		route_free(r);
	}
}

/* startd was killed, or the disposable has ended, which its qrexecd says too. */
static void
on_keeper(struct helper *h, const char *why)
{
	struct route *r = h->arg;

	(void)why;
	helper_free(h);
	r->keeper = NULL;
	if (r->state == R_CALL && r->h == NULL)
		nobody_comes(r);
}

/* The call is over for its caller: nobody is to meet the port's next user. */
void
routes_port_freed(struct qd *q, uint32_t domain, uint32_t port)
{
	for (struct route *r = q->routes.first, *next; r != NULL; r = next) {
		next = r->next;
		if (r->state != R_CALL || r->domid != domain || r->port != port)
			continue;
		r->ended = true;
		if (!r->dom0 || (r->h != NULL && r->h->done == on_abandoned))
			route_free(r);
	}
}

/* The caller's end is told where to serve. */
static void
connect_caller(struct route *r)
{
	const char *why =
	    agent_exec(r->q, MSG_SERVICE_CONNECT, r->domid, r->port, r->ident, IDENT_LEN);

	if (why != NULL) {
		route_refuse(r, "agent", why);
		return;
	}
	r->connected = true;
	r->taken = 0;
	/* a disposable's is always held: what startd gives one qube at a time is few */
	if (!r->disp && ((!r->dom0 && !heeds(r)) || r->q->routes.held >= ROUTES_MAX)) {
		route_free(r);
		return;
	}
	give(r, &r->place, SETUP_HOLD_MS, on_place);
	r->state = R_CALL;
	r->q->routes.n--;
	r->q->routes.held++;
	helper_keep(r->h, r->dom0 ? on_held : on_over);
}

static void route_start(struct route *r);

/* The target's answer: NULL and where to serve, or why not. */
static const char *
peer_answer(struct route *r, char *why, size_t size)
{
	const char *bad, *domid, *port;
	struct kv *kv = &r->q->kv;
	uint32_t given;

	bad = helper_result(r->h, kv, why, size);
	if (bad != NULL)
		return bad;
	domid = kv_get(kv, "domid");
	port = kv_get(kv, "port");
	if (domid == NULL || port == NULL || !parse_u32(domid, UINT32_MAX, &given) ||
	    !parse_u32(port, UINT32_MAX, &r->port) || !ports_valid(r->port) ||
	    (given == 0) != r->dom0 || (r->dom0 && r->port != r->taken))
		return "malformed answer: domid or port";
	if (r->target_domid != 0 && given != r->target_domid)
		return "it names another domain than its own";
	r->domid = given;
	return NULL;
}

static void
on_peer(struct helper *h, const char *why)
{
	struct route *r = h->arg;
	char reason[LOG_ESC_MAX];

	if (why != NULL && !h->connected && r->autostart && !r->started && !r->dom0) {
		route_start(r);
		return;
	}
	if (why == NULL)
		why = peer_answer(r, reason, sizeof(reason));
	if (why != NULL)
		route_refuse(r, r->dest, why);
	else if (r->dom0)
		route_go(r);
	else
		connect_caller(r);
}

/* One request to another daemon; the last one's connection is done with. */
static void
ask(struct route *r, const char *path, uint32_t ms, const char *request,
    void (*done)(struct helper *, const char *))
{
	helper_free(r->h);
	r->h = helper_ask(r->q, path, ms, request, done, r);
	if (r->h == NULL)
		route_refuse(r, "", "no memory");
}

static void
ask_peer(struct route *r)
{
	char path[sizeof(RUN_Q) + NAME_LEN_MAX + sizeof(PEER_SOCK) + 2], request[128],
	    port[24] = "";

	if (r->dom0)
		snprintf(port, sizeof(port), "port=%u\n", r->taken);
	snprintf(path, sizeof(path), RUN_Q "/%s/" PEER_SOCK, r->dest);
	snprintf(request, sizeof(request), "ticket=%s\n%s\n", r->ticket, port);
	ask(r, path, r->dom0 ? DOM0_MS : PEER_MS, request, on_peer);
}

/* startd has made a disposable: which one. It is there as long as we keep the connection. */
static const char *
disp_made(struct route *r)
{
	const char *name = kv_get(&r->q->kv, "name"), *domid = kv_get(&r->q->kv, "domid");

	if (name == NULL || !name_ok(name) || is_dom0(name))
		return "it names no disposable";
	if (domid != NULL && !parse_u32(domid, UINT32_MAX, &r->target_domid))
		return "domid is no number";
	snprintf(r->dest, sizeof(r->dest), "%s", name);
	r->keeper = r->h;
	r->h = NULL;
	helper_keep(r->keeper, on_keeper);
	return NULL;
}

static void
on_start(struct helper *h, const char *why)
{
	struct route *r = h->arg;
	char reason[LOG_ESC_MAX];

	if (why == NULL)
		why = helper_result(h, &r->q->kv, reason, sizeof(reason));
	if (why == NULL && r->disp)
		why = disp_made(r);
	if (why != NULL)
		route_refuse(r, "startd", why);
	else
		route_go(r);
}

static void
route_start(struct route *r)
{
	char request[64];

	give(r, &r->place, 0, on_place);
	r->started = true;
	snprintf(request, sizeof(request), "op=start\nticket=%s\n\n", r->ticket);
	ask(r, START_SOCK, START_MS, request, on_start);
}

#define DISP "@dispvm:"

/* What a decision allows: NULL and the route knows where to go, or why not. */
static const char *
heed(struct route *r, const struct answer *a)
{
	const char *name;

	if (!a->allow)
		return "denied";
	if (a->ticket[0] == '\0')
		return "an allow without a ticket";
	r->dom0 = is_dom0(a->target);
	r->disp = strncmp(a->target, DISP, strlen(DISP)) == 0;
	name = a->target + (r->disp ? strlen(DISP) : 0);
	if (!r->dom0 && (!name_ok(name) || is_dom0(name)))
		return "an allow for no qube's name";
	snprintf(r->dest, sizeof(r->dest), "%.*s", NAME_LEN_MAX, r->dom0 ? "dom0" : name);
	memcpy(r->ticket, a->ticket, sizeof(r->ticket));
	r->autostart = a->autostart;
	r->target_domid = a->target_domid;
	if (!r->dom0 && !a->running && !a->autostart)
		return "the target does not run, and the policy says autostart=no";
	if (r->dom0)
		r->taken = ports_take(&r->q->ports, r->q->domid, 0);
	return r->dom0 && r->taken == 0 ? "no data port is free" : NULL;
}

static void
on_policy(struct helper *h, const char *why)
{
	struct route *r = h->arg;
	struct answer a;

	if (why == NULL)
		why = answer_parse(&a, &r->q->kv, buf_bytes(&h->in), h->in.len);
	if (why == NULL)
		why = heed(r, &a);
	helper_free(h); /* it may be long until there is a place */
	r->h = NULL;
	give(r, &r->asking, 0, on_turn);
	if (why != NULL)
		route_refuse(r, "policy", why);
	else if (r->dom0)
		ask_peer(r);
	else if (r->disp || !a.running)
		route_start(r);
	else
		route_go(r);
}

static void
ask_policy(struct route *r)
{
	struct route_set *s = &r->q->routes;
	struct buf b = {.max = KV_BYTES};

	if (s->asking >= ASKING_MAX) {
		r->state = R_TURN;
		return;
	}
	s->asking++;
	r->asking = true;
	r->state = R_BUSY;
	if (kv_put(&b, "source", r->q->name) && kv_put(&b, "intended_target", r->target) &&
	    kv_put(&b, "service_and_arg", r->service) &&
	    (!r->has_source || kv_put(&b, "requested_source", r->source)) && buf_put(&b, "\n", 2))
		ask(r, POLICY_SOCK, POLICY_MS, (const char *)buf_bytes(&b), on_policy);
	else
		route_refuse(r, "", "no memory");
	buf_free(&b);
}

/* --- both --- */

/* To where a place among the set-ups (by hand: the processes) is needed: now or when one is free.
 */
static void
route_go(struct route *r)
{
	struct route_set *s = &r->q->routes;

	if (s->setups >= (r->q->managed ? SETUPS_MAX : RUNS_MAX)) {
		r->state = R_PLACE;
		return;
	}
	s->setups++;
	r->place = true;
	r->state = R_BUSY;
	if (!r->q->managed && !route_run(r))
		route_refuse(r, "", "the runner takes no more");
	else if (r->q->managed && r->dom0)
		connect_caller(r);
	else if (r->q->managed)
		ask_peer(r);
}

static void
route_begin(struct route *r)
{
	if (r->counted)
		r->q->routes.waiting--;
	r->counted = false;
	r->state = R_BUSY;
	if (r->q->managed)
		ask_policy(r);
	else
		route_go(r);
}

static bool
token(struct route_set *s)
{
	uint64_t now = now_ms(), most = s->burst * 1000ull;

	if (s->rate == 0)
		return true;
	s->tokens += (now - s->filled_ms) * s->rate;
	s->filled_ms = now;
	if (s->tokens > most)
		s->tokens = most;
	if (s->tokens < 1000)
		return false;
	s->tokens -= 1000;
	return true;
}

static void
on_tick(struct loop *l, int fd, short revents, void *arg)
{
	struct qd *q = arg;
	struct route_set *s = &q->routes;
	struct route *r = s->first, *next;

	(void)l, (void)fd, (void)revents;
	s->timer = 0;
	for (; r != NULL && s->waiting > 0; r = next) {
		next = r->next;
		if (r->state != R_RATE)
			continue;
		if (!token(s))
			break;
		route_begin(r);
	}
	if (s->over.held > 0 && now_ms() - s->over.last_ms >= TICK_MS)
		log_flush(&s->over, "too many calls: refused");
	if (s->bad.held > 0 && now_ms() - s->bad.last_ms >= TICK_MS)
		log_flush(&s->bad, "malformed calls: refused");
	tick_later(q);
}

/* The limits of one qube. NULL, or which of them is reached. */
static const char *
crowded(const struct route_set *s, bool must_wait)
{
	if (s->n >= ROUTES_MAX)
		return "256 calls wait for an answer";
	if (must_wait && s->waiting >= WAITING_MAX)
		return "128 calls wait for their turn";
	return NULL;
}

static const char *
route_new(struct qd *q, const struct trigger *t, bool must_wait)
{
	struct route_set *s = &q->routes;
	size_t len = strlen(t->service) + 1;
	struct route *r = calloc(1, sizeof(*r) + len);

	if (r == NULL)
		return "no memory";
	memcpy(r->source, t->source, sizeof(r->source));
	memcpy(r->target, t->target, sizeof(r->target));
	memcpy(r->ident, t->ident, sizeof(r->ident));
	r->has_source = t->has_source;
	memcpy(r->service, t->service, len);
	r->q = q;
	r->id = ++s->next_id;
	*s->last = r;
	s->last = &r->next;
	s->n++;
	r->counted = must_wait;
	if (must_wait)
		s->waiting++;
	else
		route_begin(r);
	return NULL;
}

void
route_trigger(struct qd *q, uint32_t type, const uint8_t *untrusted, size_t n)
{
	struct route_set *s = &q->routes;
	struct trigger t;
	const char *why = trigger_parse(&t, type, untrusted, n);
	bool must_wait;

	if (why != NULL) {
		log_limited(&s->bad, "a call was refused: %s", why);
	} else {
		must_wait = s->waiting > 0 || s->n >= ROUTES_MAX || !token(s);
		why = crowded(s, must_wait);
		if (why == NULL)
			why = route_new(q, &t, must_wait);
		if (why != NULL)
			log_limited(&s->over, "%.300s to %s refused: %s (%u a second)", t.service,
			    t.target, why, s->rate);
	}
	if (why != NULL)
		agent_refuse(q, t.ident);
	tick_later(q);
}

void
routes_end(struct qd *q)
{
	struct route *r, *next;

	for (r = q->routes.first; r != NULL; r = next) {
		next = r->next;
		r->orphan = true;
		if (r->state != R_CALL || !(r->dom0 || (r->disp && r->h != NULL)))
			route_free(r);
	}
}
