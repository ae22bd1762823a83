/* SPDX-License-Identifier: ISC */
/*
 * Domains that are built ahead (`prepare` in vm.d): paused, their memory held, nobody's yet.
 * RUN_PREPARED/NAME is the state (state.h) of one, with what it was made of in init_born; it
 * becomes the qube's when vmstart takes it, and is thrown away when it is not what would be built
 * now.
 */
#ifndef AHEAD_H
#define AHEAD_H

#include "domain.h"

/* One at a time builds for NAME: waits for who does. Close to let go. -1: errno */
int ahead_lock(const char *name);
/* The one that is there and fresh is *d now; it does not run yet. false: there is none; d->state
 * may tell of a stale one: domain_cleanup. */
bool ahead_take(struct domain *d);
/* vmstart -p: there is a fresh one, or none if none is wanted. An exit code. */
int ahead_build(struct domain *d, const char *name);
/* vmstart -x: there is none. */
int ahead_drop(struct domain *d, const char *name);

#endif
