/* SPDX-License-Identifier: ISC */
/*
 * A power cut, simulated: a process and all that it starts are killed just before their Nth change
 * of a file system (open for making or emptying, write, rename, link, unlink, mkdir, truncate,
 * fsync, ioctl and so on; what goes to standard output and error does not count). x86-64.
 */
#ifndef CUT_H
#define CUT_H

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Whether a system call that begins changes files. */
static inline bool
cut_counts(const struct __ptrace_syscall_info *i)
{
	const uint64_t *a = i->entry.args, making = O_CREAT | O_TRUNC;

	switch (i->entry.nr) {
	case SYS_open:
		return a[1] & making;
	case SYS_openat:
		return a[2] & making;
	case SYS_write:
	case SYS_writev:
		return a[0] > 2;
	case SYS_ioctl:
		return (a[1] & 0xff00) == 0x9400; /* FICLONE and its like */
	case SYS_pwrite64:
	case SYS_copy_file_range:
	case SYS_sendfile:
	case SYS_ftruncate:
	case SYS_truncate:
	case SYS_fallocate:
	case SYS_rename:
	case SYS_renameat:
	case SYS_renameat2:
	case SYS_link:
	case SYS_linkat:
	case SYS_symlink:
	case SYS_symlinkat:
	case SYS_unlink:
	case SYS_unlinkat:
	case SYS_mkdir:
	case SYS_mkdirat:
	case SYS_rmdir:
	case SYS_fsync:
	case SYS_fdatasync:
	case SYS_chmod:
	case SYS_fchmod:
	case SYS_fchmodat:
	case SYS_chown:
	case SYS_fchown:
	case SYS_lchown:
	case SYS_fchownat:
	case SYS_setxattr:
	case SYS_fsetxattr:
	case SYS_mknod:
	case SYS_mknodat:
		return true;
	default:
		return false;
	}
}

/* All of its group: those that run, and those that stand still. */
static inline void
cut_all(pid_t child, pid_t here)
{
	kill(-child, SIGKILL);
	kill(here, SIGKILL);
}

/*
 * child is a group's leader, has stopped itself and asked to be traced. Lets it run up to its
 * change number at (from 1; 0: to its end). Returns how many there were; *status is the child's
 * own, as of waitpid.
 */
static inline unsigned
cut_trace(pid_t child, unsigned at, int *status)
{
	const int want = PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL | PTRACE_O_TRACEFORK |
			 PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE;
	struct __ptrace_syscall_info info;
	unsigned seen = 0;
	int st, sig;
	pid_t pid;

	*status = 0;
	waitpid(child, &st, 0);
	ptrace(PTRACE_SETOPTIONS, child, 0, want);
	ptrace(PTRACE_SYSCALL, child, 0, 0);
	while ((pid = waitpid(-1, &st, __WALL)) > 0) {
		if (!WIFSTOPPED(st)) {
			if (pid == child)
				*status = st;
			continue;
		}
		sig = WSTOPSIG(st);
		if (sig == (SIGTRAP | 0x80)) {
			sig = 0;
			if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) > 0 &&
			    info.op == PTRACE_SYSCALL_INFO_ENTRY && cut_counts(&info) &&
			    ++seen == at)
				cut_all(child, pid);
		} else if (sig == SIGTRAP || sig == SIGSTOP) {
			sig = 0; /* of tracing itself */
		}
		ptrace(PTRACE_SYSCALL, pid, 0, sig);
	}
	return seen;
}
#endif
