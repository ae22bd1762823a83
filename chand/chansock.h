/* SPDX-License-Identifier: ISC */
/*
 * CHAN_SOCK: chand opens channels for the daemons that have no access to Xen (or, on the local
 * backend, to the qubes' socket directories). One channel a connection, key=value lines and an
 * empty line:
 *
 *   role=client|server  port=N  [domid=N]
 *   role=grants  pages=N  [domid=N]     a memfd attached, from whose start N 32-bit grant
 *                                       references are read: answered by one descriptor for mmap
 *   role=watch  [domid=N]               nothing but the control descriptor (after chand was killed)
 *
 * domid only from root or a person. A daemon gets its own qube whatever it asks (the uid says
 * which): a qrexecd client and watch, a guid grants, too. Servers take pages of Dom0's and are for
 * root and people; a qdbd has that of its port (qdb/qdb.h), and watch. The domain must be running
 * (RUN_STATE): also one that is built and waits for its qdbd before it runs.
 *
 * Answer: result=ok domid=N with VCHAN descriptors attached to its first byte (one descriptor, for
 * vchan_take; at once for a server; for a client when the server is there, unless the requester
 * hangs up), or result=refused reason=... . The connection is then the control descriptor: keep it
 * as long as the channel. A byte on it says let go: the domain went away. Its end of file alone
 * says nothing about the channel: chand was killed, and comes again; ask it with role=watch then (a
 * refusal, or another domid: let go). Closing it before the peer came withdraws a server. Who has
 * a server writes a newline when the peer has come: what shows the server to the qube is removed.
 *
 * On the local backend references are pages of a file that the qube has made, grants/FIRST below
 * RUN_LOCAL/NAME, and have to follow each other: FIRST, FIRST + 1 (grant_file, lib/grant.h).
 *
 * On the local backend chand also plays xenstore between qubes: a socket vchan.A.B.PORT.sock that
 * qube A binds in its own directory (RUN_LOCAL/A, its /run/vchan) is linked into B's, and unlinked
 * with it.
 */
#ifndef CHANSOCK_H
#define CHANSOCK_H

#define CHAN_REQUEST_MAX 256
#define CHAN_CAME "\n"
/*
 * Pages of one qube, by role=grants, all its daemons together, as long as the control descriptors
 * are open. guid closes these at once, so that a window takes no connection: it counts what it has
 * mapped itself (guid/pixels.c), and its channel's tells it that the domain went away. So could a
 * daemon that was taken over, and keep what it mapped, up to its limit of memory (sandbox.h). A
 * window of 1920 x 1080 has 2,025; a screen of 3840 x 2160, four times over, 32,400 (spec/gui).
 */
#define CHAN_QUBE_PAGES 32768u

#endif
