/* SPDX-License-Identifier: ISC */
/* Where things stand in Dom0. One place: daemons, commands and tests agree by including this. */
#ifndef PATHS_H
#define PATHS_H

#define RUN_DIR "/run/qubes" /* root:qubes 0750, made by the boot one-shot */
#define RUN_Q RUN_DIR "/q"   /* q/NAME/: the qube's sockets, root:GID_DAEMONS 0710 */
/* qdb/NAME/: its store's sockets, for root and group qubes; root's own, so that no daemon can put
 * its own there. */
#define RUN_QDB RUN_DIR "/qdb"
#define RUN_STATE RUN_DIR "/state" /* state/NAME: see state.h */
#define RUN_ASK RUN_DIR "/ask"	   /* root:qubes 1771: qrexec-ask binds policy.Ask here */
#define RUN_DISPLAY                                                                                \
	RUN_DIR "/display" /* root:qubes 1771: display/N is served in the session on :N */
#define RUN_PREPARED RUN_DIR "/vm/.prepared" /* NAME: what is built ahead for it (vmstart) */
/* .preload/NAME: of what a disposable that is kept ready was made (startd; policyd sees it, too) */
#define PRELOAD_DIR ".preload"
#define RUN_PRELOAD RUN_STATE "/" PRELOAD_DIR
#define RUN_ENDING RUN_DIR "/vm/.ending" /* while all qubes are shut down: none is kept ready */
#define RUN_LOCAL RUN_DIR "/local"	 /* root 0700: the local backend's channels, local/NAME/ */
/*
 * Daemons that restart bind their socket anew. A mount namespace that held the socket itself would
 * keep the dead one, so the sockets stand in a directory (root:GID_DAEMONS 0751), which is what a
 * sandbox lists; RUN_DIR/policy.sock, start.sock and chan.sock are links for people and stock
 * programs.
 */
#define RUN_S RUN_DIR "/s"
#define POLICY_SOCK RUN_S "/policy.sock"
#define EVAL_SOCK RUN_S "/policy.EvalSimple.sock"
#define START_SOCK RUN_S "/start.sock"
#define CHAN_SOCK RUN_S "/chan.sock"
#define PEER_SOCK "peer"     /* q/NAME/peer: qrexecds and qrexec-dom0 meet here (peer.h) */
#define CLIENT_SOCK "qrexec" /* q/NAME/qrexec: people and scripts (qrexec.h) */

#define ETC_VM "/etc/qubes/vm.d"
#define ETC_POLICY "/etc/qubes/policy.d"
#define RUN_POLICY "/run/qubes/policy.d"
#define LEGACY_POLICY "/etc/qubes-rpc/policy"
#define LOG_DIR "/var/log/qubes"
#define AUDIT_DIR LOG_DIR "/audit"
#define VAR_DIR "/var/lib/qubes" /* qids, and volumes: storage/storage.h */

#define S6_SCAN                                                                                    \
	RUN_DIR "/s6" /* the scan directory; S6_SCAN/vm, S6_SCAN/qrexecd are instance makers */

#endif
