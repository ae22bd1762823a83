/* SPDX-License-Identifier: ISC */
/*
 * qdbd: one per qube in Dom0, and one in the qube. One struct, one poll loop, nothing waits.
 *   store.c    keys, their two layers, what is to be sent
 *   door.c     who is let in
 *   client.c   local programs: requests, watches
 *   peer.c     the other daemon: synchronisation, replication
 *   link.c     where the channel comes from, and when it comes again
 *   setup.c    argv, sockets, Dom0's keys, the sandbox
 */
#ifndef QDBD_H
#define QDBD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "buf.h"
#include "log.h"
#include "loop.h"
#include "names.h"
#include "rpc/control.h"
#include "store.h"
#include "vchan.h"

#define CLIENTS_MAX 1024u
#define CLIENTS_OF_ONE 512u /* of a uid that is not root */
#define WATCHES_MAX 256u    /* of a client */
#define EVENTS_TRY 64u	    /* of a turn, before it is found out whether the client reads */
#define EVENTS_MAX 512u	    /* different ones that wait for a client that does not read */
#define ANSWERS_MAX 65536u  /* bytes: a peer that takes no more of them is not read from */
/* Of our messages that the peer has not answered; its answers to them are far below ANSWERS_MAX, so
 * that two of us never wait for each other. */
#define IN_FLIGHT_MAX 512u
#define READ_SIZE 16384u
#define WRITE_SIZE 40960u
#define NAME_BUF 64u

struct client;
struct watch;

/* What this turn says to one receiver: one write at its end. */
struct outgoing {
	size_t len;
	uint8_t data[WRITE_SIZE];
};
size_t message_put(
    uint8_t *to, enum qdb_type type, const struct key *k, const void *value, size_t len);

struct peer {
	struct vchan *v;
	int fd;	 /* as the loop has it, or -1 */
	bool up; /* the other side is there */
	struct buf in, out;
	struct cursor give;
	bool asked_us;	/* for all: once a connection */
	bool ask;	/* Dom0: for the qube's keys, as soon as it has ours (after a kill) */
	bool taking;	/* we have asked */
	bool synced;	/* the qube has all that Dom0 has: changes are sent */
	bool over;	/* to be closed at the end of this turn */
	bool full_told; /* one line for a flood */
	bool stuck;	/* one line */
	unsigned writes;
	uint32_t sent, acked;
};

struct listener {
	int fd;
	bool ro;
	char path[200];
};

struct qdbd {
	struct loop *loop;
	enum side side; /* which daemon this is */
	bool managed;	/* by startd */
	bool has_peer;	/* not Dom0's own */
	bool serving;	/* clients are let in */
	bool ending;	/* by hand: the domain has gone */
	char name[NAME_BUF], pid_file[200];
	const char *dir; /* by hand: of the sockets */
	uint32_t domid, qid;
	gid_t people;
	int notify;	 /* "\n" when ready, or -1 */
	int notify_sock; /* READY=1, or -1 */
	struct store store;
	struct listener listen[2];
	struct client *clients, *turn, *flush;
	unsigned nclients;
	struct watch *watches;
	struct peer peer;
	struct control control; /* link.c */
	int asking;		/* chand, for a server, or -1 */
	int mark;		/* that this session had a qdbd whose qube was given all, or -1 */
	char session[HEXID_LEN + 1];
	uint32_t link_timer;
	uint64_t up_ms; /* the peer has come */
	bool let_go, told;
	uint32_t self; /* domid, by hand */
	struct log_limit refused, bad, flood;
	struct outgoing out;
	uint8_t in[READ_SIZE + QDB_MESSAGE_MAX];
};

/* --- client.c --- */
void clients_came(struct qdbd *d, int fd, uid_t uid, bool ro); /* owns fd */
/* Who watches key hears of it, by clients_flush at the latest. */
void clients_tell(struct qdbd *d, const struct key *k);
void clients_flush(struct qdbd *d);
unsigned clients_of(const struct qdbd *d, uid_t uid);

/* --- door.c --- */
void clients_serve(struct qdbd *d);

/* --- peer.c --- */
void peer_take(struct qdbd *d, struct vchan *v);
void peer_close(struct qdbd *d);
/* A local change; peer_push sends it. */
void peer_changed(struct qdbd *d, struct entry *e);
void peer_push(struct qdbd *d);

/* --- link.c --- */
void link_start(struct qdbd *d);
void link_up(struct qdbd *d); /* the peer has come */
/* peer.c has closed the channel; bad: over what the peer did. */
void link_lost(struct qdbd *d, bool was_synced, bool bad);

/* --- qdbd.c --- */
void ready(struct qdbd *d);  /* filled: serves, and says so */
void synced(struct qdbd *d); /* the qube has been given all */

/* --- setup.c --- */
void setup(struct qdbd *d, int argc, char **argv);
void names_remove(const struct qdbd *d); /* by hand, on the way out */
void sandbox(struct qdbd *d);

#endif
