/* SPDX-License-Identifier: ISC */
/* A request's way: who may make it, the engine's word, the ticket, the audit line, the answer. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "ids.h"
#include "paths.h"
#include "policy/policyd.h"
#include "policy/policysock.h"

static void
log_refusal(const struct client *c, const char *source, const char *service, const char *why)
{
	char s[LOG_ESC_MAX], v[LOG_ESC_MAX];

	logit("%s: %s (uid %u): refused: %s", log_escs(s, sizeof(s), source),
	    log_escs(v, sizeof(v), service), (unsigned)c->uid, why);
}

static void
deny(struct client *c, const char *reason)
{
	struct buf b = {.max = POLICY_ANSWER_MAX + 1};

	if (!buf_printf(&b, "result=deny\n") ||
	    (c->person && reason != NULL && *reason != '\0' && !kv_put(&b, "reason", reason)))
		logit("a reason was not told");
	client_answer(c, buf_bytes(&b), b.len > 0 ? b.len - 1 : 0);
	buf_free(&b);
}

/* Whom may c speak for? A qrexecd for its own running qube alone. */
static bool
may_speak(const struct client *c, const char *source)
{
	const struct vm_state *s;

	if (c->person)
		return true;
	s = known_qid(&c->p->known, uid_qid(c->uid, PROG_QREXECD));
	return s != NULL && strcmp(s->name, source) == 0;
}

static void
on_ticket_timer(struct loop *l, int fd, short revents, void *arg)
{
	struct policyd *p = arg;
	uint64_t now = now_ms(), next = tickets_sweep(&p->tickets, now);

	(void)fd;
	(void)revents;
	p->ticket_timer = next != 0 ? loop_after(l, next - now, on_ticket_timer, p) : 0;
}

static void
on_audit_timer(struct loop *l, int fd, short revents, void *arg)
{
	struct policyd *p = arg;

	(void)l;
	(void)fd;
	(void)revents;
	p->audit_timer = 0;
	audit_idle(&p->audit);
}

static bool
record(struct client *c, const struct request *rq, const struct decision *d, const char *answer)
{
	struct policyd *p = c->p;
	const char *source = known_plain(&p->known, rq->source);
	const struct audit_facts f = {
	    .source = source,
	    .target = rq->target,
	    .service = rq->service,
	    .policy_source =
		d->policy_source != NULL && *d->policy_source ? d->policy_source : NULL,
	    .decision = d->verdict == V_ALLOW	? "allow"
			: d->verdict == V_ERROR ? "error"
						: "deny",
	    .file = d->file,
	    .line = d->line,
	    .destination = d->verdict == V_ALLOW && d->target != NULL
			       ? known_plain(&p->known, d->target)
			       : NULL,
	    .session = known_session(&p->known, source),
	    .answer = answer,
	    .reason = d->verdict == V_ALLOW ? NULL : d->reason,
	    .eval = rq->just_evaluate,
	};
	bool ok = audit_line(&p->audit, &f);

	if (!ok)
		limited(p, &p->busy, "%s: refused: no audit line can be written: %s", f.source,
		    strerror(errno));
	/* Turning files over, or trying again: after the answer. */
	if (p->audit.work && p->audit_timer == 0)
		p->audit_timer = loop_after(p->loop, ok ? 0 : 100, on_audit_timer, p);
	return ok;
}

/* A destination in plain names; of a disposable, its base's. */
#define DISP "@dispvm:"
#define DESTINATION_MAX 128
static const char *
destination(const struct known *k, const char *word, char out[DESTINATION_MAX])
{
	if (strncmp(word, DISP, strlen(DISP)) != 0)
		return known_plain(k, word);
	snprintf(out, DESTINATION_MAX, DISP "%s", known_plain(k, word + strlen(DISP)));
	return out;
}

/* NULL, or why there is none; *t stays NULL when the source has no session to bind one to. */
static const char *
make_ticket(
    struct policyd *p, const struct request *rq, const struct decision *d, const struct ticket **t)
{
	const struct vm_state *s = known_vm(&p->known, known_plain(&p->known, rq->source));
	char dest[DESTINATION_MAX];
	const char *target = destination(&p->known, d->target, dest);
	const char *service = d->service != NULL ? d->service : rq->service, *why;
	char full[KV_BYTES + 2];
	struct ticket_facts f = {
	    .source = known_plain(&p->known, rq->source),
	    .target = target,
	    .target_session = known_session(&p->known, target),
	    .service = full,
	    .user = d->user != NULL ? d->user : "DEFAULT",
	    .requested_target = d->requested_target,
	    .policy_source = d->policy_source != NULL ? d->policy_source : "",
	    .autostart = d->autostart,
	    .disposable = target == dest,
	};

	*t = NULL;
	if (s == NULL)
		return NULL;
	f.source_session = s->session;
	f.source_domid = s->domid;
	snprintf(full, sizeof(full), "%s%s", service, strchr(service, '+') != NULL ? "" : "+");
	/* the timer may be set for one that lives longer */
	(void)tickets_sweep(&p->tickets, now_ms());
	*t = ticket_new(&p->tickets, &f, now_ms(), &why);
	if (*t != NULL && p->ticket_timer == 0)
		p->ticket_timer = loop_after(p->loop, TICKET_S * 1000, on_ticket_timer, p);
	return why;
}

static bool
allow_text(const struct policyd *p, struct buf *b, const struct decision *d, const struct ticket *t)
{
	char dest[DESTINATION_MAX];
	const char *target = destination(&p->known, d->target, dest);
	const struct vm_state *s = known_vm(&p->known, target);
	const char *state = s != NULL			  ? s->state
			    : strcmp(target, "dom0") == 0 ? "Running"
							  : "Halted";
	bool ok = kv_put(b, "user", d->user != NULL ? d->user : "DEFAULT") &&
		  kv_put(b, "result", "allow") && kv_put(b, "target", target) &&
		  (d->target_uuid[0] == '\0' || kv_put(b, "target_uuid", d->target_uuid)) &&
		  kv_put(b, "autostart", d->autostart ? "True" : "False") &&
		  kv_put(b, "requested_target", d->requested_target) &&
		  (d->service == NULL || kv_put(b, "service", d->service)) &&
		  (d->policy_source == NULL || *d->policy_source == '\0' ||
		      kv_put(b, "policy_source", d->policy_source)) &&
		  (t == NULL || kv_put(b, "ticket", t->id)) && kv_put(b, "target_state", state) &&
		  (s == NULL || buf_printf(b, "target_domid=%u\n", s->domid));

	return ok && (d->file == NULL || buf_printf(b, "audit=%s:%u\n", d->file, d->line));
}

static void
allow(struct client *c, const struct request *rq, struct decision *d, const char *answer)
{
	struct buf b = {.max = POLICY_ANSWER_MAX + 1};
	const struct ticket *t = NULL;
	const char *why = make_ticket(c->p, rq, d, &t);

	if (why == NULL && !allow_text(c->p, &b, d, t))
		why = "the answer is longer than 4095 bytes";
	if (why != NULL) {
		d->verdict = V_ERROR;
		d->reason = why;
		log_refusal(c, rq->source, rq->service, why);
	}
	if (!record(c, rq, d, answer) && why == NULL)
		why = "no audit line can be written";
	if (why != NULL && t != NULL)
		ticket_drop(&c->p->tickets, t);
	if (d->notify)
		notify(c->p, rq, d);
	if (why != NULL)
		deny(c, why);
	else
		client_answer(c, buf_bytes(&b), b.len - 1); /* no final newline */
	buf_free(&b);
}

static bool
is_kept(const struct known *k, const char *name)
{
	char path[sizeof(PRELOAD_DIR) + NAME_LEN_MAX + 1];
	struct stat st;

	snprintf(path, sizeof(path), PRELOAD_DIR "/%.31s", name);
	return name_ok(name) && fstatat(k->state_dir, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* A disposable that is kept ready is nobody's yet: what another qube put into it, whoever gets it
 * would have. */
static void
leave_alone(const struct known *k, const struct request *rq, struct decision *d)
{
	const char *target = d->target != NULL ? known_plain(k, d->target) : "";

	if (d->verdict != V_ALLOW && d->verdict != V_ASK)
		return;
	if (!is_kept(k, target) && (is_dom0(target) || !is_kept(k, known_plain(k, rq->source))))
		return;
	d->verdict = V_DENY;
	d->reason = "a disposable that is kept ready is nobody's yet";
}

static void
conclude(struct client *c, const struct request *rq, struct decision *d, const char *answer)
{
	leave_alone(&c->p->known, rq, d);
	if (d->verdict == V_ALLOW) {
		allow(c, rq, d, answer);
		return;
	}
	record(c, rq, d, answer);
	if (d->notify)
		notify(c->p, rq, d);
	deny(c, d->reason);
}

static void
engine(struct policyd *p, const struct request *rq, struct decision *d)
{
	const struct policy_request pr = {
	    rq->source, rq->target, rq->service, rq->requested_source};

	policy_decide(p->known.policy, p->known.sys, &pr, d);
}

static void
bare(struct client *c, bool yes)
{
	const char *text = yes ? "result=allow" : "result=deny";

	client_answer(c, text, strlen(text));
}

void
decide(struct client *c, const struct request *rq)
{
	char s[LOG_ESC_MAX], v[LOG_ESC_MAX];
	struct decision d;

	if (!may_speak(c, rq->source)) {
		limited(c->p, &c->p->bad,
		    "%s: %s (uid %u): refused: not the uid of this qube's qrexecd",
		    log_escs(s, sizeof(s), rq->source), log_escs(v, sizeof(v), rq->service),
		    (unsigned)c->uid);
		client_close(c);
		return;
	}
	engine(c->p, rq, &d);
	leave_alone(&c->p->known, rq, &d);
	if (rq->just_evaluate) {
		bool yes = d.verdict == V_ALLOW || (d.verdict == V_ASK && rq->assume_yes);

		if (yes)
			d.verdict = V_ALLOW;
		bare(c, record(c, rq, &d, NULL) && yes);
	} else if (d.verdict == V_ASK) {
		prompt_new(c, rq, &d);
	} else {
		conclude(c, rq, &d, NULL);
	}
	decision_free(&d);
}

void
decide_answer(struct client *c, const struct request *rq, const char *choice, const char *why)
{
	const struct policy_request pr = {
	    rq->source, rq->target, rq->service, rq->requested_source};
	const char *answer = choice != NULL		   ? "allow"
			     : strcmp(why, PROMPT_NO) == 0 ? "deny"
							   : "none";
	struct decision d;

	/* The files may have changed while the user thought: only what is still an ask counts. */
	engine(c->p, rq, &d);
	if (d.verdict == V_ASK && choice != NULL) {
		policy_answer(c->p->known.policy, c->p->known.sys, &pr, choice, &d);
	} else {
		if (d.verdict != V_DENY)
			d.reason = choice != NULL ? "the policy has changed meanwhile" : why;
		d.verdict = V_DENY;
	}
	if (d.verdict != V_ALLOW)
		log_refusal(c, rq->source, rq->service, d.reason);
	conclude(c, rq, &d, answer);
	decision_free(&d);
}

void
evaluate(struct client *c, const struct request *rq)
{
	struct decision d;
	const char *text;

	/* Not on record here: the call of policy.EvalSimple is, in the caller's own file. */
	engine(c->p, rq, &d);
	text = d.verdict == V_ALLOW || d.verdict == V_ASK ? "result=allow\n" : "result=deny\n";
	decision_free(&d);
	client_answer(c, text, strlen(text));
}

/* Redeeming. */

static void
redeem_refuse(struct client *c, const char *why)
{
	char text[256];

	limited(c->p, &c->p->bad, "uid %u: ticket refused: %s", (unsigned)c->uid, why);
	snprintf(text, sizeof(text), "result=refused\nreason=%s\n", why);
	client_answer(c, text, strlen(text));
}

static const char *
redeem_by(struct client *c, const struct ticket *t, bool start)
{
	const struct known *k = &c->p->known;
	const struct vm_state *s;

	if (start && c->uid != 0)
		return "only startd starts";
	if (start)
		return ticket_start(&c->p->tickets, t, known_session(k, t->f.target), now_ms());
	if (c->uid == 0)
		return ticket_call(t, "dom0", "");
	s = known_qid(k, uid_qid(c->uid, PROG_QREXECD));
	return s != NULL ? ticket_call(t, s->name, s->session) : "no running qube's qrexecd";
}

void
redeem(struct client *c, const struct request *rq)
{
	const struct ticket *t = ticket_find(&c->p->tickets, rq->redeem, now_ms());
	const char *why =
	    t == NULL ? "no such ticket, or not any more" : redeem_by(c, t, rq->start);
	const struct vm_state *s = NULL;
	struct buf b = {.max = KV_BYTES};
	bool ok;

	if (why == NULL && (s = known_vm(&c->p->known, t->f.source)) == NULL)
		why = "its source has gone";
	if (why != NULL) {
		redeem_refuse(c, why);
		return;
	}
	ok = kv_put(&b, "result", "ok") && kv_put(&b, "source", t->f.source) &&
	     buf_printf(&b, "source_qid=%u\nsource_domid=%u\n", s->qid, t->f.source_domid) &&
	     kv_put(&b, "source_session", t->f.source_session) &&
	     kv_put(&b, "target", t->f.target) && kv_put(&b, "service", t->f.service) &&
	     kv_put(&b, "user", t->f.user) &&
	     kv_put(&b, "requested_target", t->f.requested_target) &&
	     kv_put(&b, "policy_source", t->f.policy_source) &&
	     kv_put(&b, "disposable", t->f.disposable ? "yes" : "no");
	if (!rq->start)
		ticket_drop(&c->p->tickets, t);
	if (ok)
		client_answer(c, buf_bytes(&b), b.len);
	else
		redeem_refuse(c, "the answer is too long");
	buf_free(&b);
}

/* What startd may make of a ticket. */
static const char *
bind_by_startd(struct client *c, const struct request *rq)
{
	struct policyd *p = c->p;
	const struct ticket *t = ticket_find(&p->tickets, rq->bind, now_ms());
	const struct sys_vm *vm =
	    name_ok(rq->target) ? sysinfo_find(p->known.sys, rq->target) : NULL;

	if (c->uid != 0)
		return "only startd binds";
	if (t == NULL)
		return "no such ticket, or not any more";
	if (vm == NULL || vm->disp_base == NULL)
		return "its target is no disposable";
	return ticket_bind(
	    &p->tickets, t, vm->name, vm->disp_base, known_session(&p->known, vm->name), now_ms());
}

void
bind_ticket(struct client *c, const struct request *rq)
{
	static const char ok[] = "result=ok\n";
	const char *why = bind_by_startd(c, rq);

	if (why != NULL)
		redeem_refuse(c, why);
	else
		client_answer(c, ok, sizeof(ok) - 1);
}
