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
#include "storage/storage.h"
#include "vmconf.h"

/* vmstart's exit codes; finish (s6/) and startd know them. */
enum {
	END_POWEROFF = 0,
	END_REBOOT = 10,
	END_CRASH = 20,
	END_NO_AGENT = 30,
	END_FAILURE = 111,
};

/* What the console process needs of the domain, by descriptors (source.h). */
struct console_end {
	int fd;	 /* readable when there may be something; stays ours */
	int mem; /* Xen: what maps the ring, at offset at; the taker closes it. -1: none */
	uint64_t at;
	uint32_t port; /* Xen: fd's event channel */
};

struct domain {
	const struct vmconf *conf;
	struct vm_state
	    *state; /* domid, session, qid are set; init_pid and init_born are filled in */
	struct storage_disks disks; /* from storage_start, until it is built; else no descriptors */
	int end_fd;		    /* readable (poll) when the domain may have gone */
	int console_fd;	 /* local: what the guest prints; readable, survives both of us */
	int word_fd;	 /* local: how it ended, for who was not its parent */
	struct xen *own; /* Xen: its own */
};

/* Says once what the backend is worth. */
void domain_warn(void);

/*
 * Looks at what the domain is to be made of, and refuses early; a fresh domain id, and everything
 * below /run that it needs. NULL, or what failed (errno; 0: the text says all).
 */
const char *domain_prepare(struct domain *d);
/* Builds it; it does not run yet. NULL, or what failed (errno). */
const char *domain_build(struct domain *d);
/* Lets it run, now that it was built or adopted; one that runs already goes on. NULL, or what
 * failed (errno). */
const char *domain_start(struct domain *d);
/* One that runs; both may be asked for twice. NULL, or what failed (errno). */
const char *domain_pause(struct domain *d);
const char *domain_unpause(struct domain *d);
/* Takes over the live domain that *d->state tells of; false: it is not alive. */
bool domain_adopt(struct domain *d);

/*
 * For domains that are built ahead (ahead.h). What it would be made of now, in a number; 0: this
 * backend builds none ahead, or something is missing. And: it holds all that it needs itself, we
 * may go. false: errno.
 */
uint64_t domain_stamp(struct domain *d);
bool domain_held(struct domain *d);

/* end_fd is readable: has it ended? Then domain_end says how, and domain_cleanup must follow. */
bool domain_gone(struct domain *d);
/* For a console process that starts now. false: errno; try again later. */
bool domain_console(struct domain *d, struct console_end *out);

void domain_shutdown(struct domain *d); /* asks the guest */
void domain_destroy(struct domain *d);	/* does not ask; end_fd tells when it is done */
int domain_end(struct domain *d); /* after domain_gone: END_POWEROFF, END_REBOOT or END_CRASH */
void domain_cleanup(struct domain *d); /* nothing of it is left; also of one that never was */

#endif
