/* SPDX-License-Identifier: ISC */
/*
 * Numeric ids. Every per-qube program has a uid of its own: UID_BASE + 8 * qid + program, with a
 * gid of the same number. qid 0 is Dom0 itself. A qid belongs to a qube's name for the life of the
 * machine (VAR_DIR/qids); a session belongs to one start of it.
 */
#ifndef IDS_H
#define IDS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define UID_BASE 1900000000u
#define QID_MAX 10000u
/* Supplementary group of all our daemons: may enter q/NAME. */
#define GID_DAEMONS ((gid_t)UID_BASE)

enum prog {
	PROG_QREXECD = 1,
	PROG_SVC = 2,	  /* qid 0: user qubes-svc, Dom0's own services */
	PROG_POLICYD = 3, /* qid 0 */
	PROG_CONSOLE = 4,
	PROG_ADMINAPI = 4, /* qid 0, which has no console */
	PROG_RELAY = 5,	   /* qrexec-dom0's relaying children (qid = source qube) */
	PROG_GUID = 6,
	PROG_QDB = 7,
};

/* The local backend maps a qube's uids 0..65535 to LOCAL_UID_BASE + 65536 * qid + uid. */
#define LOCAL_UID_BASE 2000000000u
#define LOCAL_UID_RANGE 65536u

static inline uid_t
prog_uid(uint32_t qid, enum prog p)
{
	return (uid_t)(UID_BASE + 8u * qid + (uint32_t)p);
}

/* The qid whose program p runs as uid, or -1. */
static inline int64_t
uid_qid(uid_t uid, enum prog p)
{
	if (uid < UID_BASE || uid > UID_BASE + 8u * QID_MAX + 7u ||
	    (uid - UID_BASE) % 8u != (uint32_t)p)
		return -1;
	return (int64_t)((uid - UID_BASE) / 8u);
}

#endif
