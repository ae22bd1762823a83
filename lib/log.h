/* SPDX-License-Identifier: ISC */
/*
 * Log lines go to standard error (s6-log keeps them): "PROG[QUBE]: text". Text that came from a
 * qube goes through log_esc first: bytes outside [A-Za-z0-9_.+@:-] become %XX.
 */
#ifndef LOG_H
#define LOG_H

#include <stddef.h>
#include <stdint.h>

void log_open(const char *prog, const char *qube); /* qube may be NULL; both are copied */
void logit(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The same, then exit: 111 for a failure of the system (with ": strerror" if errno is set), 100 for
 * usage. */
void die(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
void usage_die(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* Escapes n bytes into out (always terminated, cut with "..." when out is too small). Returns out.
 */
#define LOG_ESC_MAX 256
char *log_esc(char *out, size_t size, const void *untrusted, size_t n);
char *log_escs(char *out, size_t size, const char *untrusted);

/*
 * A line that may repeat (a flood): at most one a second for each struct; what was held back is
 * said with the next one or by log_flush: "... (37 more)". Zero-initialise.
 */
struct log_limit {
	uint64_t last_ms;
	uint32_t held;
};
void log_limited(struct log_limit *lim, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void log_flush(struct log_limit *lim, const char *what);

#endif
