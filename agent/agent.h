/* SPDX-License-Identifier: ISC */
/* What the control process of qrexec-agent and its data children share. */
#ifndef AGENT_H
#define AGENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define AGENT_SOCK "/var/run/qubes/qrexec-agent"
#define CHANNEL_MS 120000 /* how long a caller may take to open its end */
#define ORPHAN_MS 5000	  /* the same when its agent has gone */

/*
 * The rest of a data child's life: opens the channel (domain, port), starts what command says
 * ("USER:QUBESRPC ..." or "USER:shell command") and relays. just: JUST_EXEC. Exits with the status
 * sent.
 */
_Noreturn void data_child(bool just, uint32_t domain, uint32_t port, const char *command);

#endif
