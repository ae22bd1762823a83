/* SPDX-License-Identifier: ISC */
/*
 * A pipe whose other end a program holds, read by a process of its own. Whoever writes to a pipe by
 * splice(2) or sendfile(2) keeps it locked while there is nothing to write, and read(2) waits for
 * the lock: O_NONBLOCK does not help, nor SIGKILL. poll(2) does not wait. The bytes come over a
 * socket, which nobody else has.
 */
#ifndef PUMP_H
#define PUMP_H

/*
 * Forks the reader of from, which is closed here; returns our end of its socket (non-blocking) or
 * -1, after a line in the log. confine, if not NULL, is called in it when it has no other
 * descriptors than 0, 1 and 2. It ends with the pipe; or when our end is closed or shut down for
 * writing: then it still hands over what is there, within a limit.
 */
int pump_start(int from, void (*confine)(void));

#endif
