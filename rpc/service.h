/* SPDX-License-Identifier: ISC */
/* Commands and services: spec/qrexec 7, for the agent and for Dom0's side. Nothing here decides who
 * may call. */
#ifndef SERVICE_H
#define SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SVC_NAME_MAX 255 /* the service name alone: one file name */

struct svc_cmd {
	bool rpc; /* QUBESRPC; else legacy shell command in ->shell */
	bool nogui;
	char user[64];	  /* what stood before the first ':'; empty for commands to Dom0 */
	char *descriptor; /* SERVICE[+ARG] SOURCE [TYPE WHAT]: the text after QUBESRPC and its blank
			   */
	char name[SVC_NAME_MAX + 1];
	char *full;	 /* SERVICE[+ARG] */
	const char *arg; /* into full, after the '+'; NULL if there is none */
	char source[64];
	bool
	    words_ok; /* two or four words: programs are started with no others (svc_lookup: 125) */
	char type[16], what[64]; /* only commands to Dom0: name|keyword and the target asked for */
	const char *shell;
	char *mem;
};

/* NULL, or what is wrong (the call then fails with 125). to_dom0: no USER in front. */
const char *svc_parse(struct svc_cmd *c, const char *untrusted_cmd, bool to_dom0);
void svc_free(struct svc_cmd *c);

/* /etc/qubes/rpc-config/SERVICE. */
struct svc_config {
	bool wait_for_session, skip_service_descriptor, exit_on_client_eof, exit_on_service_eof;
	char force_user[64]; /* empty: none */
	/* qfile-unpacker's alone: what one copy may bring; 0: any number */
	uint32_t max_megabytes, max_files, max_depth;
	bool no_merge;
};
/* Parses a file's bytes. NULL, or what is wrong; the whole file is then invalid (125). */
const char *svc_config_parse(struct svc_config *c, const char *untrusted, size_t n, unsigned *line);

enum svc_kind { SVC_NONE, SVC_PROGRAM, SVC_SOCKET, SVC_TCP };
struct svc {
	enum svc_kind kind;
	char path[4096];
	char host[64]; /* SVC_TCP, numeric */
	uint16_t port;
	struct svc_config conf;
};

/*
 * Looks the service up (QREXEC_SERVICE_PATH, QUBES_RPC_CONFIG_PATH or the defaults) and reads its
 * configuration. Returns 0, 127 not found, 125 anything else, with the reason in *why.
 */
int svc_lookup(const struct svc_cmd *c, struct svc *s, const char **why);

/* Its configuration alone (name, full and arg of the command are looked at). False: *why. */
bool svc_config(const struct svc_cmd *c, struct svc_config *conf, const char **why);

/* Connects a socket or TCP service and sends the descriptor unless told not to. The descriptor or
 * -1. */
int svc_connect(const struct svc_cmd *c, const struct svc *s, const char **why);

/* The program's environment (spec/qrexec 7) and argv; only returns on failure: 127 or 125 to exit
 * with. */
int svc_exec(const struct svc_cmd *c, const struct svc *s);

#endif
