/* SPDX-License-Identifier: ISC */
/*
 * The control descriptor of a channel that chand opened (chand/chansock.h), as long as the channel
 * lives. When chand was killed it is asked anew, if this process may (domid is given).
 */
#ifndef CONTROL_H
#define CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct control {
	int fd; /* to be polled for POLLIN, or -1 */
	uint32_t domid;
	bool asked;	/* an answer is due */
	uint64_t again; /* fd -1: when to ask, now_ms(); 0: never */
	size_t n;
	char in[128];
	/* of control_watch */
	struct loop *loop;
	int watched; /* as the loop has it, or -1 */
	uint32_t timer;
	void (*gone)(void *arg);
	void *arg;
};

/* fd: -1, there is none. domid 0: do not ask anew. */
void control_open(struct control *c, int fd, uint32_t domid);
void control_close(struct control *c);
/* Milliseconds until control_turn is due by itself, or -1. */
int control_wait(const struct control *c);
/* When fd is readable or the time has come. false: the domain has gone. */
bool control_turn(struct control *c);
/* By a poll loop instead of these two, until control_close: gone(arg), once, when it has gone. */
void control_watch(struct control *c, struct loop *l, void (*gone)(void *arg), void *arg);

#endif
