/* SPDX-License-Identifier: ISC */
/*
 * START_SOCK: startd, the one who may start and stop qubes. One request a connection, key=value
 * lines and an empty line; progress lines may come before the answer's first line; the answer, then
 * end of file.
 *
 *   op=start name=NAME            person, adminapid
 *   op=start ticket=HEX32         a qrexecd: redeemed at policyd with use=start; NAME from there,
 * or
 *                                 @dispvm:BASE: as disp=BASE, then the ticket is bound to what was
 *                                 made (policysock.h)
 *   op=start disp=BASE            person: a disposable of BASE: a prepared one, or made now
 *   op=shutdown name=NAME [timeout=S] [force=yes] [order=yes]   person, adminapid: asks the guest;
 *                                 kills after the timeout; a paused one is killed. Refused while
 *                                 running qubes have it as netvm, unless force; order: waits for
 *                                 those to end, which are shut down too (timeout: of all together)
 *   op=kill name=NAME             person, adminapid
 *   op=pause name=NAME, op=unpause name=NAME   person, adminapid
 *   op=dispose name=NAME          person, or NAME's own qrexecd: kills and erases a disposable
 *                                 (auto_cleanup); one that is gone already: result=ok
 *                                 Its qrexecd asks when the ticket's call is over, and every minute
 *                                 without any call: for one that is kept ready, or whose client's
 *                                 connection is open, it is refused
 *   op=store name=NAME            root (vmstart): the domain is built and does not run yet; brings
 *                                 up its QubesDB (qdbd), answers when that is filled and serves
 *   op=up name=NAME               root (vmstart): it runs; brings up its other daemons (qrexecd),
 *                                 answers when the agent has answered, or its timeout passed
 *   op=down name=NAME [code=N] [reason=...]   root (vmstart): the domain is gone; takes all of them
 *                                 down, removes q/NAME, qdb/NAME
 *
 * Answer: result=ok [state=...], or result=refused reason=... code=N (N: an exit code for the
 * command). op=start of a running qube: result=ok state=running; of a paused one: refused. Two
 * starts of one qube share one answer. A disposable: result=ok state=running name=dispNNNN domid=N
 * and an empty line, and the connection stays: when it ends, before or after the answer, the
 * disposable is killed and erased. (When startd is killed, it ends without that: what runs goes on;
 * op=dispose ends it.)
 */
#ifndef STARTSOCK_H
#define STARTSOCK_H

#define START_REQUEST_MAX 512

#endif
