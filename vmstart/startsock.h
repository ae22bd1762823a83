/* SPDX-License-Identifier: ISC */
/*
 * START_SOCK: startd, the one who may start and stop qubes. One request a connection, key=value
 * lines and an empty line; progress lines may come before the answer's first line; the answer, then
 * end of file.
 *
 *   op=start name=NAME            person
 *   op=start ticket=HEX32         a qrexecd: redeemed at policyd with use=start; NAME from there
 *   op=shutdown name=NAME [timeout=S] [force=yes]   person: asks the guest; kills after the timeout
 *   op=kill name=NAME             person
 *   op=store name=NAME            root (vmstart): the domain is built and does not run yet; brings
 *                                 up its QubesDB (qdbd), answers when that is filled and serves
 *   op=up name=NAME               root (vmstart): it runs; brings up its other daemons (qrexecd),
 *                                 answers when the agent has answered, or its timeout passed
 *   op=down name=NAME [code=N] [reason=...]   root (vmstart): the domain is gone; takes all of them
 *                                 down, removes q/NAME, qdb/NAME
 *
 * Answer: result=ok [state=...], or result=refused reason=... code=N (N: an exit code for the
 * command). op=start of a running qube: result=ok state=running. Two starts of one qube share one
 * answer.
 */
#ifndef STARTSOCK_H
#define STARTSOCK_H

#define START_REQUEST_MAX 512

#endif
