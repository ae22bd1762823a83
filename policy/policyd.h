/* SPDX-License-Identifier: ISC */
/* policyd: what its files share. One struct for all that changes. */
#ifndef POLICYD_H
#define POLICYD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "audit.h"
#include "buf.h"
#include "engine/engine.h"
#include "kv.h"
#include "log.h"
#include "loop.h"
#include "state.h"
#include "ticket.h"

#define CLIENTS_MAX 256
#define CLIENTS_BY_DAEMONS 192 /* of qubes' daemons: there is room for people, startd, Dom0 */
#define CLIENTS_PER_UID 64     /* of these: a burst of a qube's calls comes before it is read */
#define REQUEST_MS 5000	       /* from accept to the whole request */
#define PROMPTS_MAX 8
#define PROMPTS_QUEUED 4 /* of one source, behind the one shown */

/* A request as the peer made it. The strings lie in kv's text or in the bytes parsed. */
struct request {
	const char *source, *target, *service, *requested_source;
	bool just_evaluate, assume_yes;
	const char *redeem; /* a ticket; NULL: decide */
	bool start;	    /* use=start */
	const char *bind;   /* a ticket: it is target's from now on */
};
/* NULL, or what is wrong. kv keeps what rq points into. */
const char *request_parse(struct request *rq, struct kv *kv, const void *untrusted, size_t n);
/* policy.EvalSimple (spec/qrexec 6); untrusted is n bytes and a NUL, cut up in place. */
const char *eval_parse(struct request *rq, char *untrusted, size_t n);

/* What is known of the house, kept by inotify (policyd-sys.c). */
struct known {
	int inotify, vm_dir, state_dir;
	struct sysinfo *sys;
	struct policy *policy;
	struct vm_state *vm; /* what runs */
	size_t nvm;
	struct watch *watch;
	size_t nwatch;
	struct buf said; /* complaints about files that stand, each logged once */
	bool vm_dirty, policy_dirty, state_dirty;
};

struct policyd;
struct prompt;

struct client {
	struct client *next;
	struct policyd *p;
	int fd;
	uid_t uid;
	bool person; /* root or group qubes */
	bool eval;   /* came by EVAL_SOCK */
	uint32_t timer;
	struct buf in;
	struct prompt *prompt;
};

struct policyd {
	struct loop *loop;
	gid_t people;
	int sock, eval_sock,
	    spare; /* spare: given up to refuse somebody when descriptors run out */
	struct client *clients;
	size_t nclients;
	struct known known;
	struct tickets tickets;
	uint32_t ticket_timer, audit_timer;
	struct audit audit;
	struct prompt *prompts;
	uint32_t flush_timer;
	struct log_limit busy, bad;
};

/* policyd-sys.c */
void known_watch(
    struct policyd *p); /* before the sandbox: the inotify, and what only root can watch */
void known_load(struct policyd *p);
/* Takes in every change made until now; never waits. false: it cannot, and nothing may be decided.
 */
bool known_drain(struct policyd *p);
void known_reload(struct policyd *p);
const struct vm_state *known_vm(const struct known *k, const char *name); /* NULL: does not run */
const struct vm_state *known_qid(const struct known *k, int64_t qid);
/* A qube's plain name, however it was written; other words stay. */
const char *known_plain(const struct known *k, const char *word);
const char *known_session(const struct known *k, const char *name); /* "" if it does not run */

/* policyd-decide.c */
void decide(struct client *c, const struct request *rq);
void redeem(struct client *c, const struct request *rq);
void bind_ticket(struct client *c, const struct request *rq);
void evaluate(struct client *c, const struct request *rq);
/* The user's word on an ask: a target, or NULL and why not (PROMPT_NO: the user said so). */
#define PROMPT_NO "denied by the user"
void decide_answer(struct client *c, const struct request *rq, const char *choice, const char *why);

/* policyd-ask.c: a prompt always ends in decide_answer. */
void prompt_new(struct client *c, const struct request *rq, const struct decision *d);
void prompt_end(struct prompt *pr, const char *why);
void prompts_session(
    struct policyd *p, const char *name); /* name's session is over or another one */
void notify(struct policyd *p, const struct request *rq, const struct decision *d);

/* policyd.c */
void flush_later(struct policyd *p);
#define limited(p, lim, ...) (log_limited((lim), __VA_ARGS__), flush_later(p))
void client_answer(struct client *c, const void *answer, size_t n); /* and close */
void client_close(struct client *c);
bool client_wait(struct client *c); /* only for its hanging up, from now on */

#endif
