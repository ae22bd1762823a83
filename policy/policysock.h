/* SPDX-License-Identifier: ISC */
/*
 * POLICY_SOCK: one request a connection, key=value lines and an empty line; the answer, then end of
 * file (spec/qrexec 6). Peers are known by SO_PEERCRED.
 *
 * Decide.  source, intended_target, service_and_arg [requested_source, assume_yes_for_ask,
 *   just_evaluate]. From a qrexecd's uid the source must be its own qube; from a person (root,
 * qubes) any. Answer: as upstream, plus on allow these lines, which stock readers skip:
 *     ticket=HEX32   target_state=Running|Halted|...   (of the destination)
 *     target_domid=N (if it runs)
 *     audit=FILE:LINE
 *   target= is the destination's plain name, however the policy or the caller has written it.
 *   and on deny, only to a person and not with just_evaluate:  reason=...
 *   A decision that needs the user answers when the user has; end of file alone: try no other way,
 * refused.
 *
 * Redeem.  redeem=HEX32, and use=call|start.
 *   use=call: from the uid of the target's qrexecd or, for target dom0, from root; once.
 *   use=start: from root (startd), once, only for a ticket with autostart; prolongs the ticket to
 *     TICKET_START_S and binds it to the target's next session.
 *     A disposable's (target @dispvm:BASE) names no qube yet: see Bind.
 *   Answer: result=ok, source, source_qid, source_domid, source_session, target, service
 * (SERVICE+ARG), user (DEFAULT: the target's default user), requested_target, policy_source (may be
 * empty), disposable=yes|no; or result=refused, reason. Whoever redeems takes everything from this
 * answer.
 *
 * Bind.  bind=HEX32, target=NAME, from root (startd), once: the disposable that was made for a
 *   ticket which use=start has redeemed. NAME is a running DispVM of the ticket's BASE. From then
 * on the ticket is NAME's in its session, for TICKET_S; its answer still says disposable=yes.
 *   Answer: result=ok; or result=refused, reason.
 *
 * A ticket dies with: its use, 5 s, either session's end.
 */
#ifndef POLICYSOCK_H
#define POLICYSOCK_H

#define TICKET_S 5
#define TICKET_START_S 90
#define POLICY_ANSWER_MAX 4095 /* spec/qrexec 1: limits */

#endif
