/* SPDX-License-Identifier: ISC */
/*
 * The backend boundary of vmstart: what a domain is made of. local.c makes it of Linux namespaces;
 * a hypervisor is another implementation of this header.
 */
#ifndef DOMAIN_H
#define DOMAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "state.h"
#include "vmconf.h"

/* vmstart's exit codes; finish (s6/) and startd know them. */
enum {
	END_POWEROFF = 0,
	END_REBOOT = 10,
	END_CRASH = 20,
	END_NO_AGENT = 30,
	END_FAILURE = 111,
};

struct domain {
	const struct vmconf *conf;
	struct vm_state
	    *state;	/* domid, session, qid are set; init_pid and init_born are filled in */
	int end_fd;	/* readable (poll) when the domain has gone */
	int console_fd; /* what the guest prints; readable, survives both of us */
	int word_fd;	/* how it ended, for who was not its parent */
};

/* Says once what the backend is worth. */
void domain_warn(void);

/* A fresh domain id, and everything below /run that the domain needs. NULL, or what failed (errno).
 */
const char *domain_prepare(struct domain *d);
/* Builds and starts it. NULL, or what failed (errno). */
const char *domain_build(struct domain *d);
/* Takes over the live domain that *d->state tells of; false: it is not alive. */
bool domain_adopt(struct domain *d);

void domain_shutdown(struct domain *d); /* asks the guest */
void domain_destroy(struct domain *d);	/* does not ask; end_fd tells when it is done */
int domain_end(struct domain *d);	/* after end_fd: END_POWEROFF, END_REBOOT or END_CRASH */
void domain_cleanup(struct domain *d);	/* nothing of it is left; also of one that never was */

#endif
