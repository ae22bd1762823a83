/* SPDX-License-Identifier: ISC */
/* What policyd knows: the policy, the qubes of vm.d, what runs. In memory, kept by inotify. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "engine/sysread.h"
#include "paths.h"
#include "policy/policyd.h"
#include "vmconf.h"

#define CHANGES                                                                                    \
	(IN_CREATE | IN_CLOSE_WRITE | IN_MODIFY | IN_ATTRIB | IN_MOVED_TO | IN_MOVED_FROM |        \
	    IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)

#define FDS_TO_READ 6

enum { W_VM = 1, W_STATE = 2, W_POLICY = 4, W_OUTSIDE = 8 };
struct watch {
	int wd;
	int what;
};

/*
 * A directory that the sandbox shows is this very inode: when another one takes its name, policyd
 * has to be started anew. Seen from outside, so watched before the sandbox.
 */
static const struct {
	const char *parent, *name;
} roots[] = {
    {"/etc", "qubes"},
    {"/etc", "qubes-rpc"},
    {RUN_DIR, "policy.d"},
};

static bool
watch_add(struct known *k, const char *path, uint32_t mask, int what)
{
	int wd = inotify_add_watch(k->inotify, path, mask);
	struct watch *w;

	if (wd < 0)
		return false;
	for (size_t i = 0; i < k->nwatch; i++) {
		if (k->watch[i].wd == wd) {
			k->watch[i].what |= what;
			return true;
		}
	}
	w = realloc(k->watch, (k->nwatch + 1) * sizeof(*w));
	if (w == NULL)
		die("out of memory");
	k->watch = w;
	w[k->nwatch++] = (struct watch){wd, what};
	k->policy_dirty |= what == W_POLICY; /* read before it was watched */
	return true;
}

/* path, or as long as it is missing the nearest directory above it. */
static void
watch_path(struct known *k, const char *path, int what)
{
	char up[PATH_MAX];
	char *slash;

	for (int i = 0; i < 2; i++) {
		snprintf(up, sizeof(up), "%s", path);
		if (watch_add(k, up, CHANGES, what))
			return;
		while ((slash = strrchr(up, '/')) != NULL && slash != up) {
			*slash = '\0';
			if (watch_add(k, up, CHANGES, what))
				break;
		} /* and again: it may have come in between */
	}
}

void
known_watch(struct policyd *p)
{
	struct known *k = &p->known;

	k->vm_dir = k->state_dir = -1;
	k->said.max = 65536;
	k->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (k->inotify < 0)
		die("inotify");
	for (size_t i = 0; i < sizeof(roots) / sizeof(*roots); i++)
		watch_add(k, roots[i].parent,
		    IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM | IN_ONLYDIR, W_OUTSIDE);
}

/* A complaint, unless it was made before and still stands. All that stand are in now. */
static void
complain(const struct known *k, struct buf *now, const char *text)
{
	size_t n = strlen(text) + 1;

	if (k->said.len < n || memmem(buf_bytes(&k->said), k->said.len, text, n) == NULL)
		logit("%s", text);
	(void)buf_put(now, text, n);
}

/* What runs. */

const struct vm_state *
known_vm(const struct known *k, const char *name)
{
	for (size_t i = 0; i < k->nvm; i++) {
		if (strcmp(k->vm[i].name, name) == 0)
			return &k->vm[i];
	}
	return NULL;
}

const struct vm_state *
known_qid(const struct known *k, int64_t qid)
{
	for (size_t i = 0; i < k->nvm; i++) {
		if (k->vm[i].qid == qid)
			return &k->vm[i];
	}
	return NULL;
}

const char *
known_plain(const struct known *k, const char *word)
{
	const struct sys_vm *vm = sysinfo_find(k->sys, word);

	return vm != NULL ? vm->name : word;
}

const char *
known_session(const struct known *k, const char *name)
{
	const struct vm_state *s = known_vm(k, name);

	return s != NULL ? s->session : "";
}

static void
state_put(struct known *k, const struct vm_state *s)
{
	struct vm_state *to = realloc(k->vm, (k->nvm + 1) * sizeof(*to));

	if (to == NULL)
		die("out of memory");
	k->vm = to;
	to[k->nvm++] = *s;
}

/* state/NAME was written, or is gone. */
static void
state_news(struct policyd *p, const char *name)
{
	struct known *k = &p->known;
	struct vm_state *was = (struct vm_state *)known_vm(k, name), s;
	bool runs;

	if (!name_ok(name) || is_dom0(name))
		return;
	runs = state_read(k->state_dir, name, &s);
	if (!runs && (errno == EMFILE || errno == ENFILE || errno == ENOMEM)) {
		k->state_dirty = true;
		return;
	}
	if (!runs && errno != ENOENT)
		logit("%s/%s: %s", RUN_STATE, name, strerror(errno));
	if (runs ? was == NULL || strcmp(was->session, s.session) != 0 : was != NULL) {
		tickets_session(&p->tickets, name, runs ? s.session : "");
		if (was != NULL)
			prompts_session(p, name);
	}
	if (runs && was != NULL)
		*was = s;
	else if (runs)
		state_put(k, &s);
	else if (was != NULL)
		*was = k->vm[--k->nvm];
	if (runs)
		audit_keep(&p->audit, name);
	sysinfo_set_running(k->sys, name, runs && strcmp(s.state, "Running") == 0);
}

static void
states_load(struct policyd *p)
{
	struct known *k = &p->known;
	char name[NAME_LEN_MAX + 1];
	struct dirent *e;
	int fd = openat(AT_FDCWD, RUN_STATE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;

	k->state_dirty = false;
	if (d == NULL)
		die("%s", RUN_STATE);
	for (size_t i = k->nvm; i-- > 0;) {
		snprintf(name, sizeof(name), "%s", k->vm[i].name);
		state_news(p, name);
	}
	while ((e = readdir(d)) != NULL) {
		if (known_vm(k, e->d_name) == NULL)
			state_news(p, e->d_name);
	}
	closedir(d);
}

/* The qubes of vm.d. */

static void
vm_load(struct policyd *p, const char *name, struct buf *said)
{
	struct vmconf c = {0};
	struct vmconf_error e = {0};
	const struct vm_state *s;
	char text[512];

	if (p->known.vm_dir < 0 || !vmconf_load(p->known.vm_dir, name, &c, &e)) {
		if (e.text[0] != '\0' && (e.line != 0 || !is_dom0(name))) {
			snprintf(text, sizeof(text), ETC_VM "/%s:%u: %s: %s is left out", e.file,
			    e.line, e.text, name);
			complain(&p->known, said, text);
		}
		if (!is_dom0(name))
			return;
		c = (struct vmconf){.name = "dom0", .label = "black"};
	}
	s = known_vm(&p->known, name);
	if (!sysinfo_add_conf(p->known.sys, &c, s != NULL && strcmp(s->state, "Running") == 0))
		logit("%s/%s: left out: another qube has its uuid", ETC_VM, name);
	if (!is_dom0(name))
		audit_keep(&p->audit, name);
}

static void
vms_load(struct policyd *p, struct buf *said)
{
	struct known *k = &p->known;
	struct dirent *e;
	DIR *d;

	k->vm_dirty = false;
	sysinfo_free(k->sys);
	k->sys = sysinfo_new();
	if (k->vm_dir >= 0)
		close(k->vm_dir);
	k->vm_dir = openat(AT_FDCWD, ETC_VM, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	d = k->vm_dir >= 0 ? fdopendir(openat(k->vm_dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC))
			   : NULL;
	audit_mark(&p->audit);
	audit_keep(&p->audit, "-");
	audit_keep(&p->audit, "dom0");
	vm_load(p, "dom0", said);
	while (d != NULL && (e = readdir(d)) != NULL) {
		if (name_ok(e->d_name) && !is_dom0(e->d_name) && strcmp(e->d_name, "defaults") != 0)
			vm_load(p, e->d_name, said);
	}
	if (d != NULL)
		closedir(d);
	else
		complain(k, said, ETC_VM ": cannot be read: no qubes are known");
	for (size_t i = 0; i < k->nvm; i++)
		audit_keep(&p->audit, k->vm[i].name);
	audit_sweep(&p->audit);
}

/* The policy. */

static void
policy_complain(const struct known *k, struct buf *said)
{
	const struct policy_error *e;
	char text[1024];

	for (size_t i = 0; i < policy_nerrors(k->policy); i++) {
		e = policy_error(k->policy, i);
		snprintf(text, sizeof(text), "%s:%u:%u: %s: every call is refused", e->file,
		    e->line, e->col, e->text);
		complain(k, said, text);
	}
}

static void
policy_reload(struct known *k)
{
	static const struct policy_dirs dirs = {RUN_POLICY, ETC_POLICY, LEGACY_POLICY};
	bool was_ok = k->policy == NULL || policy_ok(k->policy);
	const char *dir;

	/* Loaded again if a directory was read before it was watched; three times at most. */
	for (int i = 0; i < 3 && k->policy_dirty; i++) {
		k->policy_dirty = false;
		policy_free(k->policy);
		k->policy = policy_load(&dirs);
		watch_path(k, RUN_POLICY, W_POLICY);
		watch_path(k, ETC_POLICY, W_POLICY);
		watch_path(k, LEGACY_POLICY, W_POLICY);
		for (size_t j = 0; (dir = policy_dep(k->policy, j)) != NULL; j++)
			watch_path(k, dir, W_POLICY);
	}
	if (policy_ok(k->policy) && !was_ok)
		logit("the policy is good again: %zu rules", policy_nrules(k->policy));
}

static void
take_news(struct policyd *p)
{
	struct known *k = &p->known;
	struct buf said = {.max = k->said.max};

	if (!k->vm_dirty && !k->policy_dirty)
		return;
	if (k->vm_dirty)
		watch_path(k, ETC_VM, W_VM);
	vms_load(p, &said);
	if (k->policy_dirty)
		policy_reload(k);
	policy_complain(k, &said);
	buf_free(&k->said);
	k->said = said;
}

void
known_load(struct policyd *p)
{
	struct known *k = &p->known;

	k->sys = sysinfo_new();
	if (!watch_add(k, RUN_STATE, CHANGES, W_STATE))
		die("%s", RUN_STATE);
	k->state_dir = openat(AT_FDCWD, RUN_STATE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (k->state_dir < 0)
		die("%s", RUN_STATE);
	states_load(p);
	k->policy_dirty = k->vm_dirty = true;
	take_news(p);
}

static void
event(struct policyd *p, const struct inotify_event *e)
{
	struct known *k = &p->known;
	const char *name = e->len > 0 ? e->name : "";
	int what = e->mask & IN_Q_OVERFLOW ? W_VM | W_STATE | W_POLICY : 0;
	size_t i;

	for (i = 0; i < k->nwatch && k->watch[i].wd != e->wd; i++)
		;
	if (i < k->nwatch)
		what = k->watch[i].what;
	if (i < k->nwatch && e->mask & IN_IGNORED)
		k->watch[i] = k->watch[--k->nwatch];
	for (i = 0; what & W_OUTSIDE && i < sizeof(roots) / sizeof(*roots); i++) {
		if (strcmp(roots[i].name, name) == 0) {
			logit("%s/%s has come or gone: starting anew", roots[i].parent, name);
			loop_stop(p->loop, 0);
		}
	}
	k->vm_dirty |= (what & W_VM) != 0;
	k->policy_dirty |= (what & W_POLICY) != 0;
	if (what & W_STATE && (e->mask & IN_Q_OVERFLOW || *name == '\0'))
		k->state_dirty = true;
	else if (what & W_STATE && *name != '.' && !k->state_dirty)
		state_news(p, name);
}

/* Enough descriptors to read the files? Else qubes would seem to be gone that are there. */
static bool
room(const struct known *k)
{
	int fd[FDS_TO_READ], n = 0;

	while (n < FDS_TO_READ && (fd[n] = fcntl(k->inotify, F_DUPFD_CLOEXEC, 3)) >= 0)
		n++;
	for (int i = 0; i < n; i++)
		close(fd[i]);
	return n == FDS_TO_READ;
}

bool
known_drain(struct policyd *p)
{
	union {
		struct inotify_event e;
		char bytes[4096];
	} buf;
	ssize_t n;
	const char *at;

	while ((n = read(p->known.inotify, &buf, sizeof(buf))) > 0) {
		for (at = buf.bytes; at < buf.bytes + n;) {
			const struct inotify_event *e =
			    (const struct inotify_event *)(const void *)at;

			event(p, e);
			at += sizeof(*e) + e->len;
		}
	}
	if (p->known.state_dirty || p->known.vm_dirty || p->known.policy_dirty) {
		if (!room(&p->known))
			return false;
		if (p->known.state_dirty)
			states_load(p);
		take_news(p);
	}
	return !p->known.state_dirty;
}

void
known_reload(struct policyd *p)
{
	p->known.vm_dirty = p->known.policy_dirty = p->known.state_dirty = true;
	(void)known_drain(p);
}
