/* SPDX-License-Identifier: ISC */
/*
 * q/NAME/peer: the caller's qrexecd asks the target's qrexecd (or qrexec-dom0, NAME = dom0) to
 * start what a ticket stands for. One request a connection, key=value lines, an empty line:
 *
 *   ticket=HEX32
 *   port=N          only to dom0: the data port the caller's qrexecd has set aside (connect_domain
 * 0)
 *
 * Answer: result=ok, domid=N, port=N (from a qube's qrexecd: its domid and the data port; from
 * dom0: 0 and N), or result=refused, reason=... . Nothing else in the request counts: source,
 * command, user and target come from policyd's answer to the ticket (policysock.h). The accepting
 * side checks the peer's uid: a qrexecd's, and the ticket's source must be that qube.
 *
 * The connection stays open while the call runs. dom0 adds PEER_STANDS when its end of the data
 * channel stands: where that is missing at the end, nobody will ever come for the caller. A qube's
 * qrexecd adds PEER_OVER when its agent has ended the call, could not start it, or has gone itself
 * and may never have read of it: a caller that still waits does so in vain. It looks no longer than
 * a caller waits (PEER_HELD_MS). The caller's qrexecd lets it know, and hangs up when it has ended.
 */
#ifndef PEER_H
#define PEER_H

#define PEER_REQUEST_MAX 256
#define PEER_STANDS "\n"
#define PEER_OVER "\n"

#endif
