/* SPDX-License-Identifier: ISC */
/* What s6 expects of a daemon: the option -n FD, and a newline there when it is ready. */
#ifndef DAEMON_H
#define DAEMON_H

/* Opens the log as name. Understands -n FD and --help, nothing else. The descriptor, or -1. */
int daemon_options(int argc, char **argv, const char *name);
/* Says it once and closes fd; -1: nothing to say. */
void daemon_ready(int fd);

#endif
