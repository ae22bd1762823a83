/* SPDX-License-Identifier: ISC */
/*
 * startd's parts: startd.c (sockets, who may what), startd-jobs.c (what is to be done, in lanes, by
 * s6's programs), startd-start.c, startd-stop.c (a qube's domain), startd-disp.c, startd-preload.c
 * (disposables), and what these use.
 */
#ifndef STARTD_H
#define STARTD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "buf.h"
#include "ids.h"
#include "log.h"
#include "loop.h"
#include "names.h"
#include "paths.h"
#include "vmconf.h"

#define CLIENTS_MAX 1024
#define CLIENTS_PER_DAEMON 64  /* a burst of calls of one qrexecd; all strangers together */
#define CLIENTS_BY_DAEMONS 896 /* of all of these: there is room for people and vmstarts */
#define NOFILE 4096
#define STARTS_AT_ONCE 8
#define STARTS_BY_QUBES 6 /* of them, for calls of qubes: people do not wait for those */
#define REQUEST_MS 5000
#define REASONS 24 /* why a request is refused, each logged once a second */

struct startd;

struct client {
	struct client *next; /* of all, or of those who wait for one job */
	struct startd *s;
	int fd, policy; /* policy: the connection to it, or -1 */
	uid_t uid;
	bool person;
	char ticket[HEXID_LEN + 1];
	struct disp *disp; /* it lives as long as this connection */
	struct buf in, redeem;
	uint32_t timer;
};

/* A qube has three lanes: its domain, its daemons, and the domain that is built ahead; one job at a
 * time runs in each. */
enum job_kind {
	JOB_START, /* lane 0 */
	JOB_STOP,  /* a disposable is erased then */
	JOB_PAUSE,
	JOB_UNPAUSE,
	JOB_STORE_PLACE, /* lane 1: while the domain is built, what its store will be started by */
	JOB_STORE,
	JOB_UP,
	JOB_GUI, /* its windows, if it has a display; nobody waits for them */
	JOB_DOWN,
	JOB_PREPARE, /* lane 2: `vmstart -p NAME` sees to what is built ahead being there, and fresh
		      */
};

struct job_order {
	enum job_kind kind;
	const char *name;
	struct client *client; /* taken over; or NULL */
	uint64_t limit_ms;     /* STOP: until the guest is not asked any more; 0: its own */
	bool kill;	       /* STOP: it is not asked. STORE_PLACE: it is to go */
	bool force;	       /* STOP: whoever has it as netvm, audiovm, guivm */
	bool ordered;	       /* STOP: waits for those */
	bool idle;	       /* START: when nobody waits for another one */
	bool by_qube;	       /* START: only a qube's call waits for it */
	int code;	       /* DOWN: how the domain ended */
	const char *reason;    /* DOWN */
};

struct job {
	struct job *next; /* of all, oldest first */
	struct startd *s;
	enum job_kind kind;
	const char *service; /* the instance maker whose instance it deals with */
	char name[NAME_LEN_MAX + 1];
	bool running, kill, deleting, force, ordered, idle, by_qube, made_room;
	int step, tries;
	unsigned deletes;
	uint64_t limit_ms, until_ms;
	pid_t child;
	char waits[NAME_LEN_MAX + 1]; /* START: for this netvm */
	/* STORE: a connection to it; where its socket appears; instance_go() */
	int store, names, go;
	uint32_t timer;
	struct client *clients;
	int code;
	char reason[256];
};

/* A disposable that we have made, for as long as somebody has it, or nobody has it yet. */
enum disp_stage {
	DISP_MAKING,
	DISP_PAUSING, /* a preloaded one */
	DISP_READY,
	DISP_WAKING,
	DISP_GIVEN,
	DISP_ENDING,
};

struct disp {
	struct disp *next; /* the oldest first */
	struct startd *s;
	char name[NAME_LEN_MAX + 1], base[NAME_LEN_MAX + 1], label[16];
	enum disp_stage stage;
	uint32_t id;
	bool preloaded, answered;
	uid_t by;	/* who asked for it; nobody, 0, for one that is kept ready */
	uint64_t stamp; /* of the files that it was made by */
	struct client *client;
};
#define DISP_LAST 256	  /* ids that are not used again */
#define DISPS_PER_QUBE 32 /* that one qube has asked for, those that are being erased included */

struct startd {
	struct loop *loop;
	int sock, state_dir, inotify, state_inotify;
	uint32_t prepare_timer, preload_timer;
	/* one could not be made; memory was wanted; one was given out: not at once again */
	bool preload_rests, preload_full, preload_given;
	struct disp *disps;
	uint32_t last_ids[DISP_LAST], nlast;
	gid_t people;
	struct client *clients;
	size_t nclients, ndaemons;  /* all; those that are not people's */
	uint16_t held[QID_MAX + 1]; /* of them, by the qid of a qrexecd; 0: strangers */
	struct job *jobs, **jobs_end;
	struct log_limit crowd;
	struct {
		const char *reason;
		struct log_limit limit;
	} refused[REASONS];
};

/* startd-jobs.c */
void job_add(struct startd *s, const struct job_order *o);
/* Answers who waits for it; it is freed. */
void job_end(struct job *j, bool ok, const char *state, const char *reason, int code);
void job_child_ended(struct startd *s, pid_t pid, int status);
/* After a restart: what was begun goes on, what was left is removed. */
void jobs_recover(struct startd *s);
struct job *job_running(const struct startd *s, const char *name, int lane);
bool job_waits(const struct startd *s, enum job_kind kind, const char *name); /* or runs */

/* startd-start.c, startd-stop.c: the steps of lane 0, and who waits for others in it. */
void start_step(struct job *j, int status);
void start_told(struct startd *s, const char *netvm, bool ok, const char *reason);
void start_room(struct startd *s); /* what was thrown away for it has gone */
bool start_rests(const struct job *j);
void start_cancel(struct job *j); /* of one that rests */
void jobs_autostart(struct startd *s);
void stop_step(struct job *j, int status);
void stop_now(struct job *j, bool kill);	    /* it waits for others no more */
void stop_told(struct startd *s, const char *name); /* its daemons are down */
bool stop_rests(const struct job *j);
void stop_look(struct startd *s); /* has the last of those gone? */
void pause_step(struct job *j, int status);
void pause_watch(struct startd *s);

/* startd-net.c. Who runs and has it as netvm, audiovm or guivm, " NAME NAME..."; how many. */
size_t net_clients(const struct startd *s, const char *name, char *out, size_t size);
/* Its netvm, which has to run before it and does not. false: there is nothing to wait for. */
bool net_before(const struct startd *s, const struct vmconf *c, char netvm[NAME_LEN_MAX + 1]);

/* startd-disp.c */
void disp_start(struct startd *s, const char *base, struct client *c);
bool disp_make(struct startd *s, const struct vmconf *base, struct client *c, bool preloaded);
struct disp *disp_find(const struct startd *s, const char *name);
void disp_end(struct disp *d);
void disp_job_ended(
    struct startd *s, enum job_kind kind, const char *name, bool ok, const char *reason, int code);
void disp_left(struct client *c);		  /* it is being freed */
void disp_bound(struct client *c);		  /* policyd has answered */
bool disp_is(const char *name, struct vmconf *c); /* by its file: one that is erased at its end */
void disp_recover(struct startd *s);
int disp_file(const struct job *j);  /* in a child: writes the file. An errno */
int disp_erase(const struct job *j); /* in a child: removes it, and its storage. Does not return */
void disp_erased(const char *name);
/* op=dispose: NULL, and it has c; or why not. */
const char *disp_dispose(struct startd *s, const char *name, struct client *c);
/* Of one of those that we have made lately. */
bool disp_was_ours(const struct startd *s, const char *name);
/* It is nobody's yet: a person lets it be. */
bool disp_is_kept(const struct startd *s, const char *name);

/* startd-preload.c */
struct disp *preload_take(struct startd *s, const char *base);
void preload_mark(const struct disp *d);
void preload_unmark(const struct disp *d);
bool preload_marked(const char *name, struct disp *d); /* what its mark says */
bool preload_fresh(const struct disp *d);
uint64_t preload_stamp(const char *base);
void preload_look(struct startd *s);			/* soon: makes and throws away */
void preload_ended(struct startd *s, const char *name); /* a base, or a template of one? */
bool preload_any(const struct startd *s);
void preload_drop(struct startd *s);	/* memory is wanted */
void preload_changed(struct startd *s); /* a file of vm.d */

/* startd-s6.c: s6's programs. The step after spawn*() gets what it exited with. */
#define VM_SERVICE S6_SCAN "/vm"
#define DAEMON_SERVICE S6_SCAN "/qrexecd"
#define STORE_SERVICE S6_SCAN "/qdbd"
#define GUI_SERVICE S6_SCAN "/guid"
void job_step(struct job *j, int status);
void job_again(struct job *j); /* its step, a little later, with status 111 */
void spawn(struct job *j, const char *const *argv);
/* The same with a function of ours in the child: its exit code. */
void spawn_call(struct job *j, int (*fn)(const struct job *j));
bool instance_there(const struct job *j);
void spawn_create(struct job *j); /* with its log up; itself down, as its template says */
void spawn_delete(struct job *j);
/* After a program of the job's has ended. true: it was spawn_delete()'s, for an instance whose
 * supervisors were just coming up and that is there still: it is tried again. */
bool delete_again(struct job *j);
/* The store's, without a program: it is there, its supervisor will be and starts it. ahead: it
 * waits for instance_go(); else its log waits for store_logs(). Also makes whole what there is.
 * NULL, or what failed. */
const char *instance_make(const struct job *j, bool ahead);
/* To be kept open until it serves. -1: it does not wait. */
int instance_go(const struct job *j);
void store_logs(const char *name);
/* Up, and ready: by events of s6, with a limit of time. */
void spawn_up(struct job *j, uint32_t ms);
void spawn_wait(struct job *j, uint32_t ms);
/* Without a program: what s6-svc would write ("u"). false: it has no supervisor. */
bool instance_tell(const struct job *j, char what);
void spawn_sweep(void); /* volumes without a qube; nobody waits for it */
/* A signal to the qube's vmstart, beside whatever program a job waits for: nobody waits for this
 * one. */
void signal_vm(const char *name, const char *opt);

/* startd-place.c. NULL, or what failed. */
const char *place_make(const struct startd *s, const char *name);
void place_remove(const char *name);
void place_remove_logs(const char *name);
void place_remove_menu(const char *name);
/* startd-store.c: starts it; the next step comes when the qube's store serves (0), the time has
 * passed or nobody wants it any more (111). */
void store_wait(struct job *j, uint32_t ms);
void store_wait_no_more(struct job *j);
/* startd-late.c: how many there are. sig 0: only counts. */
size_t late_daemons(uint32_t qid, int sig);
/* startd-prepare.c: qubes with `prepare` in their file, at boot and when a file changes. */
void prepare_start(struct startd *s);
void prepare_next(struct startd *s, const char *name); /* one was used up */

int vm_dir(void); /* ETC_VM, or -1 */
bool load_conf(const char *name, struct vmconf *c, struct vmconf_error *e);

void client_drop(struct client *c);
/* Answers and lets go of c. */
void client_answer(struct client *c, bool ok, const char *state, const char *reason, int code);
void client_give(struct client *c, const char *name); /* answers with a disposable, and stays */
void client_hold(struct client *c);		      /* hears when it ends */
bool client_bind(struct client *c, const char *name); /* disp_bound follows */

#endif
