/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kv.h"
#include "state.h"

/* Copies the value of key if it is there and fits; absent: left empty. */
static bool
text(const struct kv *kv, const char *key, char *out, size_t size)
{
	const char *v = kv_get(kv, key);
	int n = v != NULL ? snprintf(out, size, "%s", v) : 0;

	return n >= 0 && (size_t)n < size;
}

static bool
number(const struct kv *kv, const char *key, uint64_t max, uint64_t *out)
{
	const char *v = kv_get(kv, key);

	*out = 0;
	return v == NULL || parse_u64(v, max, out);
}

static bool
from_kv(const struct kv *kv, const char *name, struct vm_state *s)
{
	static const char *const keys[] = {
	    "name", "session", "domid", "qid", "state", "uuid", "pid", "init_pid", "init_born"};
	static const char *const states[] = {
	    "Transient", "Running", "Paused", "Halting", "Dying", "Crashed", NULL};
	uint64_t domid, qid, pid;

	memset(s, 0, sizeof(*s));
	if (!kv_only(kv, keys, sizeof(keys) / sizeof(keys[0])) || kv_get(kv, "domid") == NULL ||
	    kv_get(kv, "qid") == NULL)
		return false;
	if (!text(kv, "name", s->name, sizeof(s->name)) ||
	    !text(kv, "session", s->session, sizeof(s->session)) ||
	    !text(kv, "state", s->state, sizeof(s->state)) ||
	    !text(kv, "uuid", s->uuid, sizeof(s->uuid)))
		return false;
	if (!number(kv, "domid", UINT32_MAX, &domid) || !number(kv, "qid", UINT32_MAX, &qid) ||
	    !number(kv, "pid", INT_MAX, &pid) || !number(kv, "init_pid", INT_MAX, &s->init_pid) ||
	    !number(kv, "init_born", UINT64_MAX, &s->init_born))
		return false;
	s->domid = (uint32_t)domid;
	s->qid = (uint32_t)qid;
	s->pid = (pid_t)pid;
	return strcmp(s->name, name) == 0 && hexid_ok(s->session) && one_of(states, s->state) &&
	       (s->uuid[0] == '\0' || uuid_ok(s->uuid));
}

bool
state_read(int dirfd, const char *name, struct vm_state *out)
{
	struct buf b = {.max = KV_BYTES};
	struct kv kv;
	bool ok = false;

	errno = EINVAL;
	if (!name_ok(name))
		return false;
	if (buf_read_file(&b, dirfd, name)) {
		ok = kv_parse(&kv, buf_bytes(&b), b.len) == NULL && from_kv(&kv, name, out);
		errno = EINVAL;
	}
	buf_free(&b);
	return ok;
}

bool
state_ended(const struct vm_state *s)
{
	static const char *const words[] = {"Dying", "Crashed", NULL};

	return one_of(words, s->state);
}

static bool
write_file(int dirfd, const char *name, struct buf *b)
{
	int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	int e;
	bool ok;

	if (fd < 0)
		return false;
	ok = fchmod(fd, 0644) == 0 && buf_write_fd(b, fd) == 0;
	e = errno;
	ok = close(fd) == 0 && ok;
	if (!ok)
		errno = e;
	return ok;
}

bool
state_write(int dirfd, const struct vm_state *s)
{
	struct buf b = {.max = KV_BYTES};
	char tmp[NAME_LEN_MAX + 2];
	bool ok;

	errno = EINVAL;
	if (!name_ok(s->name))
		return false;
	snprintf(tmp, sizeof(tmp), ".%s", s->name);
	ok = kv_put(&b, "name", s->name) && kv_put(&b, "session", s->session) &&
	     kv_put(&b, "state", s->state) && (s->uuid[0] == '\0' || kv_put(&b, "uuid", s->uuid)) &&
	     buf_printf(&b, "domid=%u\nqid=%u\npid=%d\ninit_pid=%llu\ninit_born=%llu\n", s->domid,
		 s->qid, (int)s->pid, (unsigned long long)s->init_pid,
		 (unsigned long long)s->init_born);
	ok = ok && write_file(dirfd, tmp, &b) && renameat(dirfd, tmp, dirfd, s->name) == 0;
	if (!ok) {
		const int e = errno;

		(void)unlinkat(dirfd, tmp, 0);
		errno = e;
	}
	buf_free(&b);
	return ok;
}
