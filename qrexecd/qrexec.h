/* SPDX-License-Identifier: ISC */
/* The qrexec wire: facts of spec/qrexec 1 and 2. Native uint32, no padding; 8-byte header, then len
 * bytes. */
#ifndef QREXEC_H
#define QREXEC_H

#include <stdint.h>

#define QREXEC_VERSION 4u /* what we speak on agent and data links */
#define QREXEC_VERSION_MIN 2u
#define QREXEC_CLIENT_VERSION 3u /* client -> daemon link: always 3 */
#define QREXEC_CONTROL_PORT 512u
#define QREXEC_PORT_BASE 513u
#define QREXEC_PORTS 256u /* 513..768 */
#define QREXEC_CONTROL_RING 4096u

enum qrexec_type {
	MSG_DATA_STDIN = 0x190,
	MSG_DATA_STDOUT = 0x191,
	MSG_DATA_STDERR = 0x192,
	MSG_DATA_EXIT_CODE = 0x193,
	MSG_EXEC_CMDLINE = 0x200,
	MSG_JUST_EXEC = 0x201,
	MSG_SERVICE_CONNECT = 0x202,
	MSG_SERVICE_REFUSED = 0x203,
	MSG_TRIGGER_SERVICE = 0x210,
	MSG_CONNECTION_TERMINATED = 0x211,
	MSG_TRIGGER_SERVICE3 = 0x212,
	MSG_TRIGGER_SERVICE4 = 0x213,
	MSG_HELLO = 0x300,
};

#define MSG_HEADER_LEN 8u
#define HELLO_LEN 4u
#define EXEC_PARAMS_LEN 8u /* connect_domain, connect_port; the command follows */
#define IDENT_LEN 32u
/*
 * How the idents of our agent begin: it takes SERVICE_REFUSED after SERVICE_CONNECT too, for a
 * caller to whom nobody comes. Other agents (SOCKET<fd>) would close a descriptor that is in use.
 */
#define IDENT_HEEDS "CALLER"
#define TARGET_LEN 64u
#define TRIGGER2_LEN 128u
#define TRIGGER3_FIXED 96u
#define TRIGGER4_FIXED 160u
#define SERVICE_LEN_MAX 65000u /* name and argument with the NUL, on the wire */
/* A message body is one all-or-nothing send into a 4096-byte ring: what is longer is refused, never
 * sent. */
#define CONTROL_BODY_MAX 4096u
#define CMDLINE_LEN_MAX 65535u /* client -> daemon header limit */

#define DATA_CHUNK_V2 4096u
#define DATA_CHUNK 65536u
#define data_chunk(version) ((version) < 3u ? DATA_CHUNK_V2 : DATA_CHUNK)

#define EXIT_REFUSED 126
#define EXIT_NOT_FOUND 127
#define EXIT_QREXEC 125
#define EXIT_LINK_LOST 255

#endif
