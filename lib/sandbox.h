/* SPDX-License-Identifier: ISC */
/*
 * The second of a daemon's three steps: uid, capabilities, no_new_privs, a private mount namespace
 * that holds only the listed paths, Landlock over the same list, a system-call filter.
 *
 * As root everything applies. By hand without root the uid stays and the mount namespace comes with
 * a user namespace of its own; where the kernel refuses that, a line says so and the rest still
 * applies. Anything else that fails ends the program: there is no half a sandbox and no switch.
 *
 * Descriptors stay open, and what is open stays usable. By a directory that was open before,
 * Landlock lets openat reach what is at or below a listed path (it knows the objects, not the
 * mounts) and nothing else: list the directory too. Without Landlock (an old kernel, a line says
 * so) such a descriptor also leads up and out: close it. Single-threaded programs only. Inside: no
 * /proc, no /dev, no exec, no signals to others, no abstract sockets, no TCP.
 */
#ifndef SANDBOX_H
#define SANDBOX_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	SB_READ = 1,   /* a file, or a directory with all below it */
	SB_WRITE = 2,  /* also create, rename and remove below it */
	SB_SOCKET = 4, /* sockets in this directory, or this one, may be connected to; no reading */
	SB_MAYBE = 8,  /* skipped when it does not exist */
};

struct sandbox_path {
	const char *path; /* absolute; it keeps its name inside */
	int flags;
};

#define SANDBOX_KEEP_UID ((uid_t)-1)

struct sandbox {
	uid_t uid; /* also the gid; SANDBOX_KEEP_UID: stay who we are (by hand) */
	const gid_t *groups;
	size_t ngroups;
	const struct sandbox_path *paths; /* a path below another one after it; at most 32 */
	size_t npaths;
	const struct sock_filter
	    *filter; /* from X.filter by filter-gen: X_filter[], X_filter_len */
	size_t nfilter;
	uint64_t nofile; /* RLIMIT_NOFILE; 0 leaves it */
	/* RLIMIT_AS; 0 leaves it. All that it can ever map, a qube's pages too, whatever chand
	 * counts. */
	uint64_t memory;
	bool peers; /* whose uids have to be seen: who is not root gets no mount namespace then */
	void (*split)(void *arg); /* or NULL: called before the last step, the filter; may fork */
	void *arg;
};

void sandbox_enter(const struct sandbox *sb);
/* In the child of split: its own last step. */
void sandbox_filter(const struct sock_filter *filter, size_t n);

/*
 * Uid and groups, and for any uid but 0 all capabilities: for a program that is about to exec (a
 * Dom0 service). Its set-uid programs still work. Nothing to do for who is that user already and
 * not root.
 */
void drop_to(uid_t uid, gid_t gid, const gid_t *groups, size_t ngroups);
/*
 * As root, before drop_to: what is about to be run, and what it starts, traces nobody else, not
 * even of its own uid, and from Landlock 6 on (Linux 6.12) signals nobody else. On a kernel older
 * than that it cannot mount.
 */
void sandbox_scope(void);

#endif
