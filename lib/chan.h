/* SPDX-License-Identifier: ISC */
/* Opening a channel for programs that may wait: from chand (chansock.h), or by name without it. */
#ifndef CHAN_H
#define CHAN_H

#include <stdint.h>

#include "vchan.h"

/*
 * Asks chand if CHAN_SOCK is there and VCHAN_SOCKET_DIR is not set, else opens by name. Returns
 * NULL with a reason in *why. *control is the control descriptor or -1: keep it as long as the
 * channel. A client waits for its server at most ms (-1: for ever); a server is returned WAITING.
 */
struct vchan *chan_open(
    enum vchan_role role, uint32_t domid, uint32_t port, int ms, int *control, const char **why);
/* A server's peer has come: chand need not show it any longer. control -1 is fine. */
void chan_came(int control);

#endif
