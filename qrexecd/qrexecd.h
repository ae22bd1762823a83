/* SPDX-License-Identifier: ISC */
/*
 * qrexecd: one per qube, routes its calls. One struct, one poll loop, nothing waits. Who does what:
 *   setup.c     argv, managed (--session) or by hand; what is needed from outside, then the sandbox
 *   agent.c     the link to the qube's agent and the table of its messages
 *   trigger.c   what the qube asks for: checked and copied to plain names
 *   route.c     a trigger's way: rate, policy, start, peer, SERVICE_CONNECT; route-hand.c: by hand
 *   peer.c      q/NAME/peer: other qubes' qrexecds with a ticket
 *   dispose.c   a disposable's end
 *   clients.c   q/NAME/qrexec, or SOCKDIR/qrexec.DOMID: people and scripts
 *   door.c      the listening sockets     helper.c   one request to another daemon
 *   ports.c     data ports                answer.c   policy's answer
 *   runner.c    by hand only: a second process that opens the channel and runs policy and
 * qrexec-client
 */
#ifndef QREXECD_H
#define QREXECD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#include "buf.h"
#include "kv.h"
#include "log.h"
#include "loop.h"
#include "names.h"
#include "qrexec.h"
#include "vchan.h"

#define CLIENTS_MAX 256u
#define PEERS_MAX 128u	   /* requests of other qubes at a time, */
#define PEERS_PER_QUBE 16u /* of one */
#define ROUTES_MAX 256u	   /* triggers not yet answered */
#define WAITING_MAX 128u   /* of them, those the rate holds back */
#define ASKING_MAX 16u /* decisions at a time: policyd's connections are for all qubes, and few */
#define SETUPS_MAX 8u  /* data channels being set up: xenstored gives a domain 10 transactions */
#define SETUP_HOLD_MS                                                                              \
	10u		 /* how long one counts after SERVICE_CONNECT: nobody says when it stands */
#define RUNS_MAX 64u	 /* by hand: processes at a time */
#define RATE_DEFAULT 20u /* triggers a second, sustained */
#define BURST_DEFAULT 128u

#define POLICY_MS 300000u /* the user may have to be asked */
#define START_MS 120000u
#define PEER_MS 10000u
#define PEER_HELD_MS 120000u /* as long as a caller waits for its channel (agent) */
#define DOM0_MS 60000u	     /* qrexec-dom0 lets calls wait for their turn */
#define REQUEST_MS 10000u    /* a client's or peer's whole request, a data port for it included */
#define DOOR_MS 5000u	     /* all places taken, none came free: who waits is turned away */
#define NAME_BUF 64u	     /* by hand a name may be longer than NAME_LEN_MAX */

/* --- ports.c: 513 + i; spec/qrexec 2 "Data ports" --- */
struct ports {
	/*
	 * Where counting begins; even. Another one after each start: calls that were set up before
	 * go on, and what their end says must not free a new call's port.
	 */
	uint32_t first;
	uint32_t domain[QREXEC_PORTS];
	uint8_t state[QREXEC_PORTS]; /* free, used, or left over from an agent that has gone */
};
uint32_t ports_take(struct ports *p, uint32_t own, uint32_t peer); /* 0: none free */
bool ports_free(struct ports *p, uint32_t peer, uint32_t port); /* false: was not taken for peer */
bool ports_valid(uint32_t port);
bool ports_busy(const struct ports *p); /* does any call run? */
/* May one more call of that qube run? One leaves room for others, all of them for Dom0. */
#define PORTS_OF_ONE 96u
#define PORTS_OF_QUBES 224u
bool ports_fair(const struct ports *p, uint32_t peer);
/* The agent has gone: its calls may still run, but nobody will say that they end. Used again last.
 */
void ports_orphan(struct ports *p);

/* --- trigger.c --- */
struct trigger {
	char source[TARGET_LEN]; /* requested source; only in v4 */
	bool has_source;
	char target[TARGET_LEN];
	char ident[IDENT_LEN];		/* NUL-padded */
	char service[CONTROL_BODY_MAX]; /* SERVICE[+ARG] */
};
/* n bytes of a message whose length agent.c has checked. NULL, or why it is refused; ident holds
 * the raw bytes then. */
const char *trigger_parse(struct trigger *t, uint32_t type, const uint8_t *untrusted, size_t n);

/* --- answer.c: spec/qrexec 6, the answer of policyd or of a policy program --- */
struct answer {
	bool allow, autostart, running;
	uint32_t target_domid; /* 0: not said */
	char user[64], target[TARGET_LEN], target_uuid[TARGET_LEN], requested_target[TARGET_LEN];
	char policy_source[TARGET_LEN], ticket[HEXID_LEN + 1];
	char service[CONTROL_BODY_MAX]; /* empty: as requested */
};
/* NULL, or what is wrong; kv: where it is taken apart. */
const char *answer_parse(struct answer *a, struct kv *kv, const void *untrusted, size_t n);
/* "USER:QUBESRPC SERVICE+ARG SOURCE" into out; the length with its NUL, 0 if it is too long. */
size_t route_command(
    char *out, size_t size, const char *user, const char *service, const char *source);

struct qd;

/* --- helper.c: one key=value request to another daemon, its answer, a deadline --- */
struct helper {
	struct qd *q;
	const char *path; /* for the log; copied */
	int fd, passed;	  /* passed: a descriptor that came with the answer, or -1 */
	bool connected;
	uint32_t deadline, retry;
	struct buf out, in;
	void (*done)(struct helper *h,
	    const char *why); /* once: why is NULL and in the answer, or why not */
	void *arg;
};
/*
 * Never calls done before it returns. NULL: no memory. ms 0: no deadline (chand waits for the
 * qube). Who gets it frees it, in done or to give up.
 */
struct helper *helper_ask(struct qd *q, const char *path, uint32_t ms, const char *request,
    void (*done)(struct helper *, const char *), void *arg);
/* From now on the connection only tells when it ends: done(h, "hung up"), or done(h, NULL) when its
 * peer says a last word before. */
void helper_keep(struct helper *h, void (*done)(struct helper *, const char *));
void helper_free(struct helper *h); /* NULL is fine */
/* Parses the answer: NULL if it says result=ok, else the reason in why. */
const char *helper_result(const struct helper *h, struct kv *kv, char *why, size_t size);

/* --- door.c: a listening socket that is made before the sandbox and shown only while the agent is
 * there --- */
struct door {
	struct qd *q;
	int fd;
	const char *name; /* relative to the working directory */
	char hidden[80];
	unsigned open, max; /* connections; at the limit callers wait in the socket's queue, */
	bool paused;
	uint32_t patience; /* timer: until no place has come free for so long */
	struct log_limit full;
	void (*came)(struct qd *q, int fd); /* owns fd; calls door_left when it is closed */
};
void door_make(struct door *d, struct qd *q, const char *name, mode_t mode);
bool door_show(struct door *d);
void door_hide(struct door *d);
void door_left(struct door *d);
void door_remove(struct door *d);
void reserve_fd(struct qd *q);

/* --- agent.c --- */
enum link_state { LINK_DOWN, LINK_ASKED, LINK_HELLO, LINK_UP, LINK_DRAIN };
struct link {
	enum link_state state;
	struct vchan *v;
	struct helper *chand; /* what opened it: its end says that the domain has gone */
	int fd;		      /* as the loop has it */
	uint32_t version, timer, wait_ms;
	uint32_t watch; /* timer: chand was killed, and is asked anew whether the domain is there */
	size_t drain;
	bool told; /* that chand gives no channel */
	struct buf in, out;
};
void link_start(struct qd *q);
void link_take(struct qd *q, int fd); /* an open channel to the agent */
/* A message to the agent: NULL, or why not. what + n bytes follow {domain, port}. */
const char *agent_exec(
    struct qd *q, uint32_t type, uint32_t domain, uint32_t port, const void *what, size_t n);
void agent_refuse(struct qd *q, const char ident[IDENT_LEN]);
bool agent_busy(const struct qd *q); /* it does not read: let others wait */

/* --- clients.c --- */
void client_came(struct qd *q, int fd);
void clients_end(struct qd *q);
void clients_wake(struct qd *q);		      /* the agent reads again */
void clients_port_freed(struct qd *q, uint32_t port); /* "wait for the end of the call" */

/* --- peer.c --- */
void peer_came(struct qd *q, int fd);
void peers_end(struct qd *q);
void peers_port_freed(
    struct qd *q, uint32_t domain, uint32_t port); /* the agent has ended that call */

/* --- route.c --- */
struct route;
struct route_set {
	struct route *first, **last;
	unsigned n, waiting, asking, setups,
	    held; /* held: the call runs, the target tells its end */
	uint32_t next_id, timer;
	uint64_t tokens, filled_ms; /* thousandths */
	uint32_t rate, burst;
	struct log_limit over, bad;
};
void routes_init(struct qd *q);
void route_trigger(struct qd *q, uint32_t type, const uint8_t *untrusted, size_t n);
void routes_end(struct qd *q);
void routes_port_freed(struct qd *q, uint32_t domain, uint32_t port); /* its caller has ended */
/* By hand: a client brings the SERVICE_CONNECT of a waiting trigger; n bytes with a NUL at the end.
 */
struct route *route_find(struct qd *q, const char *ident, size_t n);
void route_connected(struct route *r);
void route_ran(struct qd *q, uint32_t id, int status); /* by hand: the runner is done with it */

/* --- dispose.c --- */
struct dispose {
	bool on;	       /* the qube is a disposable of startd's */
	bool over;	       /* the call that it was made for is */
	uint32_t domain, port; /* that call's; port 0: it does not run */
	uint32_t timer;
	struct helper *h;
};
void dispose_begin(struct qd *q); /* its agent has answered */
void dispose_call(struct qd *q, uint32_t domain, uint32_t port);
void dispose_port_freed(struct qd *q, uint32_t domain, uint32_t port);
void dispose_agent_gone(struct qd *q);

/* --- runner.c --- */
struct run_msg {
	enum run_kind { RUN_OPEN, RUN_CALL, RUN_DONE } kind;
	uint32_t id;
	int32_t status;
	struct trigger t; /* RUN_CALL; only as much of service as there is is sent */
};
void runner_start(struct qd *q, const char *policy_program);
void runner_listen(struct qd *q);
bool runner_send(struct qd *q, const struct run_msg *m);

struct qd {
	struct loop *loop;
	bool managed;
	char name[NAME_BUF], user[64], uuid[UUID_LEN + 1];
	uint32_t domid, qid;
	gid_t people;
	int notify; /* a newline when the agent has answered, or -1 */
	uint32_t startup_ms, startup_timer;
	const char *dir; /* where our sockets are: the working directory */
	int runner, reserve;
	struct link link;
	struct door door, peer_door;
	struct client *clients;
	struct peer *peers;
	struct route_set routes;
	struct ports ports;
	struct dispose dispose;
	struct kv kv; /* of the answer being looked at: too large for a small stack */
};

/* --- setup.c --- */
void setup(struct qd *q, int argc, char **argv);
void sandbox(struct qd *q);
bool names_show(struct qd *q); /* the agent has answered: sockets, links, readiness */
void names_hide(struct qd *q);
void names_remove(struct qd *q);

#endif
