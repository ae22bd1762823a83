/* SPDX-License-Identifier: ISC */
/* sandbox.h: who we are, what may be called, and the order of it all. The files: sandbox-fs.c. */
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "log.h"
#include "sandbox-fs.h"
#include "sandbox.h"

static void
no_capabilities(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};

	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (syscall(SYS_capset, &head, none) < 0)
		die("sandbox: capset");
}

/* Without root there is nothing to lose, and the kernel refuses. */
static void
empty_bounding_set(bool may_fail)
{
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && !may_fail)
			die("sandbox: capability %d", cap);
}

static void
become(uid_t uid, gid_t gid, const gid_t *groups, size_t ngroups)
{
	if (setgroups(ngroups, groups) < 0 || setresgid(gid, gid, gid) < 0 ||
	    setresuid(uid, uid, uid) < 0)
		die("sandbox: cannot become uid %u", uid);
}

void
drop_to(uid_t uid, gid_t gid, const gid_t *groups, size_t ngroups)
{
	if (geteuid() != 0 && uid == geteuid())
		return;
	become(uid, gid, groups, ngroups);
	if (uid != 0)
		no_capabilities();
}

/* Never above what we were given: only root could. */
static void
limit(int what, rlim_t n)
{
	struct rlimit r;

	if (getrlimit(what, &r) < 0)
		die("sandbox: getrlimit");
	if (n > r.rlim_max && geteuid() != 0)
		n = r.rlim_max;
	r.rlim_cur = r.rlim_max = n;
	if (setrlimit(what, &r) < 0)
		die("sandbox: setrlimit");
}

void
sandbox_filter(const struct sock_filter *filter, size_t n)
{
	const struct sock_fprog prog = {
	    .len = (unsigned short)n, .filter = (struct sock_filter *)(uintptr_t)filter};

	if (n == 0 || n > BPF_MAXINSNS)
		die("sandbox: a filter of %zu", n);
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &prog) != 0)
		die("sandbox: seccomp");
}

void
sandbox_enter(const struct sandbox *sb)
{
	const bool root = geteuid() == 0, by_hand = !root || sb->uid == SANDBOX_KEEP_UID;
	struct sandbox_fs fs;

	limit(RLIMIT_CORE, 0);
	if (sb->nofile)
		limit(RLIMIT_NOFILE, sb->nofile);
	if (sb->memory)
		limit(RLIMIT_AS, sb->memory);
	sandbox_fs_private(&fs, sb, by_hand);
	empty_bounding_set(by_hand);
	if (!by_hand)
		become(sb->uid, sb->uid, sb->groups, sb->ngroups);
	no_capabilities();
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		die("sandbox: prctl");
	sandbox_fs_restrict(&fs, sb);
	if (sb->split)
		sb->split(sb->arg);
	sandbox_filter(sb->filter, sb->nfilter);
}
