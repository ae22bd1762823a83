/* SPDX-License-Identifier: ISC */
/* One running relay, shared by relay.c (the loop), relay-send.c and relay-recv.c; for nobody else.
 */
#ifndef RELAY_STATE_H
#define RELAY_STATE_H

#include "control.h"
#include "log.h"
#include "qrexecd/qrexec.h"
#include "relay.h"

/* For the short messages that may follow a full chunk: ends of streams, the exit code. */
#define TX_SLACK 64

enum mode { RUN, REFUSE_AGENT, REFUSE_DOM0, JUST_EXEC };

struct src {
	int fd;
	uint32_t type;
	bool open, sock, eof_due;
};

struct dst {
	int fd;
	bool open, sock, filter;
	size_t most; /* of one write */
};

/* A service's standard error on its way to the log. */
struct errlog {
	int fd; /* non-blocking, or -1 */
	unsigned lines;
	const char *name;
	struct log_limit more;
	size_t len;
	char line[200];
};

struct st {
	struct relay *r;
	enum mode mode;
	int code;	  /* what the call ends with */
	int child_status; /* exit code, or 128 + signal */
	int sigfd;
	struct control control;
	struct src in, err; /* local -> channel */
	struct dst out, errout;
	const uint8_t *prefix;
	size_t prefix_left;
	size_t chunk;
	bool hello_put, hello_got;
	bool client_eof, child_gone, usr1, err_turn;
	bool err_held;	/* err is the pipe itself: not to be read */
	bool v_in;	/* the channel may have more to read */
	bool tx_dead;	/* the peer takes nothing any more */
	bool exit_put;	/* service: our last message is in tx */
	bool over;	/* caller: the exit code arrived; or the call was given up with code */
	bool lost, bad; /* the peer has gone; the peer broke the rules */
	struct log_limit limit;
	struct errlog log;
	struct dst *blocked; /* it is full: nothing more is taken from the channel */
	uint32_t rx_type;
	size_t rx_left; /* payload of the current message still to come */
	uint8_t status[4];
	size_t nstatus;
	size_t rx_off, rx_end, tx_off, tx_end;
	uint8_t rx[DATA_CHUNK + MSG_HEADER_LEN];
	uint8_t tx[DATA_CHUNK + MSG_HEADER_LEN + TX_SLACK];
};

/* relay.c */
void put_hello(struct st *s);
void begin(struct st *s); /* both have said HELLO: the streams begin */

/* relay-send.c: local descriptors to the channel. One message at a time waits in tx. */
bool is_sock(int fd);
void src_open(struct src *s, int fd, uint32_t type);
void src_end(struct st *s, struct src *i);
void tx_msg(struct st *s, uint32_t type, const void *p, size_t n);
void tx_code(struct st *s, int code);
void tx_eof(struct st *s, struct src *i);
void tx_pump(struct st *s);
void tx_turn(struct st *s, bool v_ready, bool in_ready, bool err_ready);

/* relay-log.c */
void errlog_open(struct errlog *e, int fd, const char *name);
bool errlog_read(struct errlog *e); /* once; false: nothing came. logit makes each line harmless. */
void errlog_end(struct errlog *e);  /* waits for a moment at most */

/* relay-recv.c: the channel to local descriptors, straight from the buffer that it was received in.
 */
void dst_open(struct dst *d, int fd, bool filter);
void dst_end(struct st *s, struct dst *d);
void rx_turn(struct st *s);

#endif
