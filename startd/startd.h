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
	JOB_UP, /* lane 1 */
	JOB_DOWN,
	JOB_PREPARE, /* lane 2: `vmstart -p NAME` sees to what is built ahead being there, and fresh
		      */
};

struct job {
	struct job *next; /* of all, oldest first */
	struct startd *s;
	enum job_kind kind;
	char name[NAME_LEN_MAX + 1];
	bool running, kill;
	int step, tries,
	    timeout_s; /* STOP: seconds until the guest is not asked any more; -1: its own */
	pid_t child;
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
/* startd-place.c. NULL, or what failed. */
const char *place_make(const struct startd *s, const char *name);
void place_remove(const char *name);
/* startd-prepare.c: qubes with `prepare` in their file, at boot and when a file changes. */
void prepare_start(struct startd *s);
void prepare_next(struct startd *s, const char *name); /* one was used up */

int vm_dir(void); /* ETC_VM, or -1 */
bool load_conf(const char *name, struct vmconf *c, struct vmconf_error *e);

/* Answers and lets go of c. */
void client_answer(struct client *c, bool ok, const char *state, const char *reason, int code);

#endif
