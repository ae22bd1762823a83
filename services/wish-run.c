/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ids.h"
#include "log.h"
#include "loop.h"
#include "names.h"
#include "paths.h"
#include "sandbox.h"
#include "sock.h"
#include "state.h"
#include "vmconf-keys.h"
#include "vmedit.h"
#include "wish-reader.filter.h"
#include "wish-run.filter.h"
#include "wish.h"

#define READ_MS 10000
#define READER_MEMORY (64u << 20)
#define CHAIN_MAX 3 /* a disposable, its AppVM, its template */
#define LINES_MAX 8 /* in the log, of one request: it is not this qube's alone */

struct run {
	const struct wish_service *s;
	struct vmconf conf; /* whose file it is */
	bool hint;	    /* not its own: only "there is" counts */
	int dir, pipe[2];
	uid_t owner;
	unsigned nlines; /* logged of this request */
	bool full;	 /* so is that */
	qdb_handle_t store;
};

static _Noreturn void
refuse(const char *why)
{
	logit("refused: %s", why);
	exit(1);
}

static void
load(struct run *r, const char *of)
{
	struct vmconf_error e;
	char name[NAME_LEN_MAX + 1];

	snprintf(name, sizeof(name), "%s", of); /* it may be that of conf itself */
	if (vmconf_read(r->dir, name, &r->conf, &e))
		return;
	logit("%s:%u: %s", e.file, e.line, e.text);
	refuse("the qube's file cannot be read");
}

static bool
has_template(const struct vmconf *c)
{
	return c->template[0] != '\0' &&
	       (strcmp(c->type, "AppVM") == 0 || strcmp(c->type, "DispVM") == 0);
}

/* A template that runs speaks for itself. */
static void
go_to_template(struct run *r)
{
	const int state = open(RUN_STATE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct vm_state st;

	r->hint = true;
	for (int i = 0; i < CHAIN_MAX && has_template(&r->conf); i++)
		load(r, r->conf.template);
	if (state < 0 || has_template(&r->conf) || state_read(state, r->conf.name, &st))
		refuse("its template runs, and speaks for itself");
	close(state);
}

/* All that needs root; nothing of the qube is read. */
static void
take(struct run *r)
{
	const char *source = getenv("QREXEC_REMOTE_DOMAIN");
	struct stat st;

	signal(SIGPIPE, SIG_IGN);
	if (source == NULL || !name_ok(source) || is_dom0(source))
		usage_die("a service of Dom0's: QREXEC_REMOTE_DOMAIN is not a qube");
	log_open(r->s->name, source);
	r->dir = open(ETC_VM, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r->dir < 0)
		die("%s", ETC_VM);
	load(r, source);
	if (has_template(&r->conf) && !r->s->for_template)
		refuse("it has a template, which may ask for itself");
	if (has_template(&r->conf))
		go_to_template(r);
	if (fstatat(r->dir, r->conf.name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		die("%s", r->conf.name);
	r->owner = st.st_uid;
	r->store = r->s->store ? qdb_open(r->conf.name) : NULL;
	if (r->s->store && r->store == NULL)
		die("its store");
	if (pipe2(r->pipe, O_CLOEXEC) < 0)
		die("pipe");
}

/* Sees nothing of the file system. What it says in the log is ours: fixed texts. */
static void
start_reader(struct run *r)
{
	const struct sandbox sb = {
	    .uid = geteuid() == 0 ? prog_uid(0, PROG_SVC) : SANDBOX_KEEP_UID,
	    .filter = wish_reader_filter,
	    .nfilter = wish_reader_filter_len,
	    .memory = READER_MEMORY,
	};
	struct buf out = {.max = WISH_BYTES};
	const pid_t pid = fork();
	const char *bad;

	if (pid < 0)
		die("fork");
	if (pid > 0) {
		close(r->pipe[1]);
		return;
	}
	close(r->dir);
	close(r->pipe[0]);
	alarm(READ_MS / 1000); /* who does not end what he says is not waited for */
	sandbox_enter(&sb);
	bad = r->s->read(r->store, &out);
	if (bad != NULL)
		refuse(bad);
	_exit(buf_put(&out, ".\n", 2) &&
		      write(r->pipe[1], buf_bytes(&out), out.len) == (ssize_t)out.len
		  ? 0
		  : 111);
}

/* As the owner of the file that will be changed: one that is not root's stays so, and trusted as
 * little as before. */
static void
enter(const struct run *r)
{
	static const struct sandbox_path paths[] = {{ETC_VM, SB_READ | SB_WRITE}};
	const gid_t people = people_gid();
	const struct sandbox sb = {
	    .uid = geteuid() == 0 ? r->owner : SANDBOX_KEEP_UID,
	    .groups = &people,
	    .ngroups = people != (gid_t)-1,
	    .paths = paths,
	    .npaths = 1,
	    .filter = wish_run_filter,
	    .nfilter = wish_run_filter_len,
	};

	sandbox_enter(&sb);
}

/* Until the reader has said all. */
static bool
collect(struct run *r, struct buf *lines)
{
	const uint64_t until = now_ms() + READ_MS;
	ssize_t n = 1;

	while (n > 0) {
		struct pollfd p = {.fd = r->pipe[0], .events = POLLIN};
		const uint64_t now = now_ms();

		if (now >= until || poll(&p, 1, (int)(until - now)) < 1)
			return false;
		n = buf_read_fd(lines, r->pipe[0], WISH_BYTES);
	}
	return n == 0 && lines->len >= 2 &&
	       memcmp(buf_bytes(lines) + lines->len - 2, ".\n", 2) == 0;
}

static void
set(struct run *r, const char *name, const char *value)
{
	char key[sizeof(FEATURE) + VM_FEATURE_LEN];
	struct vmconf_error e;
	bool ok;

	snprintf(key, sizeof(key), FEATURE "%s", name);
	ok = vmedit_set(r->dir, r->conf.name, key, value, &e);
	if (r->nlines++ >= LINES_MAX)
		return;
	if (ok)
		logit("%s: %s %s", r->conf.name, key,
		    value == NULL    ? "is removed"
		    : *value != '\0' ? value
				     : "is off");
	else
		logit("%s: %s: %s", r->conf.name, key, e.text);
}

static size_t
used(const struct vmconf *c)
{
	size_t n = 0;

	for (const char *f = NULL; (f = vmconf_feature_next(c, f)) != NULL;)
		n += strlen(f) + 1;
	return n;
}

static void
grant(struct run *r, const char *name, const char *value)
{
	const struct wish_kind *k = wish_kind(r->s->kinds, name, value);
	const char *has = vmconf_feature(&r->conf, name);
	const size_t room = strlen(name) + strlen(value) + 2,
		     had = has != NULL ? strlen(name) + strlen(has) + 2 : 0;

	if (k == NULL)
		refuse("the reader handed on what nobody may wish for");
	if ((k->flags & WISH_FLAG) && value[0] == '0')
		value = "";
	if (r->hint && *value == '\0')
		return;
	if (has != NULL && ((k->flags & WISH_ONCE) || strcmp(has, value) == 0))
		return;
	if (room > had && used(&r->conf) - had + room > WISH_ROOM) {
		if (!r->full)
			logit("%s: no room for feature %s", r->conf.name, name);
		r->full = true;
		return;
	}
	set(r, name, value);
	load(r, r->conf.name);
}

/* Is there a line for it? */
static bool
wished(const struct buf *lines, const char *name)
{
	const char *text = (const char *)buf_bytes(lines), *end = text + lines->len;
	const size_t n = strlen(name);

	for (const char *p = text; p != NULL && end - p > (ssize_t)n;
	     p = memchr(p, '\n', (size_t)(end - p)), p = p != NULL ? p + 1 : NULL)
		if (memcmp(p, name, n) == 0 && p[n] == '=')
			return true;
	return false;
}

/* Those that come as a set: what is not in it any more goes. */
static void
forget(struct run *r, const struct buf *lines)
{
	const struct vmconf before = r->conf;
	char name[VM_FEATURE_LEN + 1];

	for (const char *f = NULL; (f = vmconf_feature_next(&before, f)) != NULL;) {
		const struct wish_kind *k;

		snprintf(name, sizeof(name), "%.*s", (int)strcspn(f, "="), f);
		k = wish_kind(r->s->kinds, name, "1");
		if (k != NULL && (k->flags & WISH_ALL) && !wished(lines, name))
			set(r, name, NULL);
	}
	load(r, r->conf.name);
}

static void
apply(struct run *r, const struct buf *lines)
{
	char line[VM_FEATURE_LEN + WISH_VALUE_LEN + 2];
	const char *at = (const char *)buf_bytes(lines);
	size_t left = lines->len - 2, n, i = 0; /* without the last one */

	forget(r, lines);
	for (; left > 0; left -= n + 1, at += n + 1) {
		const char *nl = memchr(at, '\n', left);
		char *eq;

		n = nl != NULL ? (size_t)(nl - at) : left;
		if (nl == NULL || n >= sizeof(line) || ++i > WISHES_MAX)
			refuse("more than 128 wishes, or one that is too long");
		memcpy(line, at, n);
		line[n] = '\0';
		eq = strchr(line, '=');
		if (eq == NULL)
			refuse("the reader handed on what is no wish");
		*eq = '\0';
		grant(r, line, eq + 1);
	}
}

int
wish_run(int argc, char **argv, const struct wish_service *s)
{
	static struct run r;
	struct buf lines = {.max = WISH_BYTES};

	if (argc > 1 && strcmp(argv[1], "--help") == 0) {
		printf("usage: %s, called by a qube (dom0-services(8))\n", s->name);
		return 0;
	}
	log_open(s->name, NULL);
	if (argc > 1)
		usage_die("it takes no argument");
	r.s = s;
	take(&r);
	start_reader(&r);
	enter(&r);
	if (!collect(&r, &lines))
		refuse("nothing is taken of it");
	apply(&r, &lines);
	if (r.nlines > LINES_MAX)
		logit("%s: %u more", r.conf.name, r.nlines - LINES_MAX);
	return 0;
}
