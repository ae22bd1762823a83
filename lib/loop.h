/* SPDX-License-Identifier: ISC */
/* The poll loop. One per daemon. Callbacks may add and delete any descriptor or timer, their own
 * too. */
#ifndef LOOP_H
#define LOOP_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

struct loop;
/* revents as poll(2); for a timer 0. */
typedef void loop_fn(struct loop *l, int fd, short revents, void *arg);

struct loop *loop_new(void); /* exits 111 without memory */
void loop_free(struct loop *l);
/* Before anything is added: by epoll, which the filter has to allow (epoll_ctl, epoll_wait, musl's
 * epoll_pwait). For many clients and short answers. Delete descriptors before closing them. */
bool loop_many(struct loop *l);
bool loop_add(struct loop *l, int fd, short events, loop_fn *fn, void *arg); /* false: no memory */
void loop_set(struct loop *l, int fd, short events);
void loop_del(struct loop *l, int fd); /* does not close */
/*
 * A listener from which nothing can be accepted, for want of descriptors or memory, would wake us
 * again at once: it is not polled for a moment. It has to stay open, and is watched for POLLIN
 * after that if it is watched at all.
 */
#define LOOP_REST_MS 100
void loop_rest(struct loop *l, int fd);

/* One-shot timers, milliseconds of CLOCK_MONOTONIC from now. Returns an id > 0, or 0 without
 * memory. */
uint32_t loop_after(struct loop *l, uint64_t ms, loop_fn *fn, void *arg);
void loop_cancel(struct loop *l, uint32_t id); /* unknown ids and 0 are fine */
uint64_t loop_now(const struct loop *l);       /* ms, as of the last wake-up */

/* fn is called with fd = the signal's number. Blocks the signals; uses a signalfd. */
bool loop_signals(struct loop *l, const int *sigs, int n, loop_fn *fn, void *arg);

int loop_run(struct loop *l); /* until loop_stop: its code */
void loop_stop(struct loop *l, int code);

uint64_t now_ms(void); /* CLOCK_MONOTONIC */

#endif
