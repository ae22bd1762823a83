/* SPDX-License-Identifier: ISC */
/* The console process: reads what a guest prints, writes it to the log, escaped and rate-limited.
 */
#ifndef CONSOLE_H
#define CONSOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmstart/domain.h"

#define CONSOLE_LINE 240  /* bytes of a guest's line; a longer one goes on in the next */
#define CONSOLE_BURST 400 /* lines at once */
#define CONSOLE_RATE 50	  /* lines a second after that; more are counted and dropped */

struct console {
	char line[CONSOLE_LINE];
	size_t len;
	uint32_t tokens, dropped;
	uint64_t filled_ms;
};

/* Takes n bytes; calls emit with each whole line, escaped: printable ASCII but % as it is, others
 * %XX. */
void console_take(struct console *c, const void *untrusted, size_t n, uint64_t now,
    void (*emit)(const char *line));

/*
 * Sandboxes itself as the qube's console and serves it until the other end of the pipe life is
 * closed and all that was printed is read. People attach at CONSOLE_SOCK (qvm-console): they get
 * the bytes as they are, and what they write is typed. Root and group qubes only.
 */
#define CONSOLE_SOCK "console" /* RUN_Q/NAME/console */
_Noreturn void console_main(const struct console_end *e, int life, const char *name, uint32_t qid);

#endif
