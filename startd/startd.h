/* SPDX-License-Identifier: ISC */
/* startd's parts: startd.c (sockets, who may what), startd-jobs.c (what is done, by s6's programs).
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
#define CLIENTS_PER_DAEMON 128 /* a burst of calls of one qrexecd; all strangers together */
#define NOFILE 4096
#define STARTS_AT_ONCE 8
#define REQUEST_MS 5000
#define REASONS 24 /* why a request is refused, each logged once a second */

struct startd;

struct client {
	struct client *next; /* of all, or of those who wait for one job */
	struct startd *s;
	int fd, policy; /* policy: the connection that redeems its ticket, or -1 */
	uid_t uid;
	bool person;
	struct buf in, redeem;
	uint32_t timer;
};

/* A qube has three lanes: its domain, its daemons, and the domain that is built ahead; one job at a
 * time runs in each. */
enum job_kind {
	JOB_START, /* lane 0 */
	JOB_STOP,
	JOB_STORE_PLACE, /* lane 1: while the domain is built, what its store will be started by */
	JOB_STORE,
	JOB_UP,
	JOB_DOWN,
	JOB_PREPARE, /* lane 2: `vmstart -p NAME` sees to what is built ahead being there, and fresh
		      */
};

struct job {
	struct job *next; /* of all, oldest first */
	struct startd *s;
	enum job_kind kind;
	const char *service; /* the instance maker whose instance it deals with */
	char name[NAME_LEN_MAX + 1];
	bool running, kill;
	int step, tries,
	    timeout_s; /* STOP: seconds until the guest is not asked any more; -1: its own */
	pid_t child;
	int store, names; /* STORE: a connection to it, or -1; where its socket appears, or -1 */
	uint32_t timer;
	struct client *clients;
	int code; /* DOWN: how the domain ended */
	char reason[256];
};

struct startd {
	struct loop *loop;
	int sock, state_dir, inotify;
	uint32_t prepare_timer;
	gid_t people;
	struct client *clients;
	size_t nclients;
	uint16_t held[QID_MAX + 1]; /* of them, by the qid of a qrexecd; 0: strangers */
	struct job *jobs;
	struct log_limit crowd;
	struct {
		const char *reason;
		struct log_limit limit;
	} refused[REASONS];
};

/* Takes over c. timeout_s, kill: STOP. code, reason: DOWN. */
void job_add(struct startd *s, enum job_kind kind, const char *name, struct client *c,
    int timeout_s, bool kill, int code, const char *reason);
void job_child_ended(struct startd *s, pid_t pid, int status);
/* After a restart: what was begun goes on, what was left is removed. */
void jobs_recover(struct startd *s);
void jobs_autostart(struct startd *s);

/* startd-s6.c: s6's programs. The step after spawn*() gets what it exited with. */
#define VM_SERVICE S6_SCAN "/vm"
#define DAEMON_SERVICE S6_SCAN "/qrexecd"
#define STORE_SERVICE S6_SCAN "/qdbd"
void job_step(struct job *j, int status);
void job_again(struct job *j); /* its step, a little later, with status 111 */
void spawn(struct job *j, const char *const *argv);
bool instance_there(const struct job *j);
void spawn_create(struct job *j); /* with its log up; itself down, as its template says */
void spawn_delete(struct job *j);
/* Up, and ready: by events of s6, with a limit of time. */
void spawn_up(struct job *j, uint32_t ms);
void spawn_wait(struct job *j, uint32_t ms);
bool instance_up(const struct job *j); /* without waiting; false: it has no supervisor */
/* A signal to the qube's vmstart, beside whatever program a job waits for: nobody waits for this
 * one. */
void signal_vm(const char *name, const char *opt);

/* startd-place.c. NULL, or what failed. */
const char *place_make(const struct startd *s, const char *name);
void place_remove(const char *name);
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

/* Answers and lets go of c. */
void client_answer(struct client *c, bool ok, const char *state, const char *reason, int code);

#endif
