/* SPDX-License-Identifier: ISC */
/*
 * RUN_STATE/NAME: what a running qube is, as key=value lines; written by vmstart (write, rename),
 * read by policyd, chand, startd, qvm-ls. No file: Halted. The file ".NAME" never counts.
 */
#ifndef STATE_H
#define STATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "names.h"

struct vm_state {
	char name[NAME_LEN_MAX + 1];
	char session[HEXID_LEN + 1];
	uint32_t domid;
	uint32_t qid;
	char state[16]; /* Transient, Running, Paused, Halting, Dying, Crashed */
	char uuid[UUID_LEN + 1];
	pid_t pid;	   /* vmstart's keeper */
	uint64_t init_pid; /* local backend: the domain's init, for adoption */
	uint64_t
	    init_born; /* field 22 of its /proc/PID/stat; of one built ahead: what it was made of */
};

/* dirfd: of RUN_STATE. false: absent (errno ENOENT) or malformed (EINVAL). */
bool state_read(int dirfd, const char *name, struct vm_state *out);
bool state_ended(const struct vm_state *s); /* Dying, Crashed: it is only cleaned up after */
bool state_write(int dirfd, const struct vm_state *s); /* atomically */

#endif
