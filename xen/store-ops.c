/* SPDX-License-Identifier: ISC */
/* What can be asked of xenstore. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "names.h"
#include "xen/store-wire.h"

#define LIST_MAX (1u << 20) /* bytes of names below one node */
#define LIST_TIMES 8	    /* begun again when the node changes while it is read */

uint32_t
store_begin(struct store *s)
{
	uint32_t tx;
	size_t len;

	store_say(s, "");
	if (!store_ask(s, XS_TRANSACTION_START, 0, &len))
		return 0;
	if (parse_u32((char *)s->in + STORE_HEADER, UINT32_MAX, &tx) && tx != 0)
		return tx;
	store_fail(s, EPIPE, "a transaction without a number");
	return 0;
}

bool
store_end(struct store *s, uint32_t tx, bool commit)
{
	store_say(s, commit ? "T" : "F");
	return store_ask(s, XS_TRANSACTION_END, tx, NULL);
}

int
store_read(struct store *s, uint32_t tx, const char *path, char *out, size_t size)
{
	size_t len;

	store_say(s, path);
	if (!store_ask(s, XS_READ, tx, &len))
		return -1;
	if (len >= size) {
		errno = E2BIG;
		return -1;
	}
	memcpy(out, s->in + STORE_HEADER, len + 1);
	return (int)len;
}

bool
store_number(struct store *s, uint32_t tx, const char *path, uint32_t max, uint32_t *out)
{
	char untrusted[16];
	const int len = store_read(s, tx, path, untrusted, sizeof untrusted);

	if (len < 0 && errno != E2BIG)
		return false;
	if (len > 0 && strlen(untrusted) == (size_t)len && parse_u32(untrusted, max, out))
		return true;
	errno = EINVAL;
	return false;
}

bool
store_write(struct store *s, uint32_t tx, const char *path, const char *fmt, ...)
{
	char value[STORE_VALUE_MAX];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(value, sizeof value, fmt, ap);
	va_end(ap);
	errno = E2BIG;
	if (n < 0 || (size_t)n >= sizeof value)
		return false;
	store_say(s, path);
	wr_bytes(&s->w, value, (size_t)n);
	return store_ask(s, XS_WRITE, tx, NULL);
}

bool
store_mkdir(struct store *s, uint32_t tx, const char *path)
{
	store_say(s, path);
	return store_ask(s, XS_MKDIR, tx, NULL);
}

bool
store_rm(struct store *s, uint32_t tx, const char *path)
{
	store_say(s, path);
	return store_ask(s, XS_RM, tx, NULL) || errno == ENOENT;
}

bool
store_own(struct store *s, uint32_t tx, const char *path, uint32_t owner, uint32_t reader)
{
	store_say(s, path);
	store_say_u32(s, "n", owner);
	if (reader != STORE_NOBODY)
		store_say_u32(s, "r", reader);
	return store_ask(s, XS_SET_PERMS, tx, NULL);
}

/* Adds names to all, each with its NUL. false: the last one has none. */
static bool
add_names(struct buf *all, const uint8_t *untrusted, size_t n)
{
	if (n > 0 && untrusted[n - 1] != '\0')
		return false;
	return buf_put(all, untrusted, n);
}

/*
 * One turn of XS_DIRECTORY_PART: a number that changes with the node, then names; after the last
 * one an empty name. 1 more to come, 0 all there, -1 begin again, -2 errno.
 */
static int
list_part(struct store *s, uint32_t tx, const char *path, struct buf *all, char gen[24])
{
	char *untrusted = (char *)s->in + STORE_HEADER;
	size_t len, head, names;

	store_say(s, path);
	store_say_u32(s, "", (uint32_t)all->len);
	if (!store_ask(s, XS_DIRECTORY_PART, tx, &len))
		return -2;
	head = strlen(untrusted) + 1;
	if (head > len || head > 24 || untrusted[len - 1] != '\0') {
		store_fail(s, EPIPE, "a list that makes no sense");
		return -2;
	}
	if (all->len == 0)
		memcpy(gen, untrusted, head);
	else if (strcmp(gen, untrusted) != 0)
		return -1;
	names = len - head;
	const bool last = names == 0 || (names == 1 && untrusted[head] == '\0') ||
			  (names > 1 && untrusted[len - 2] == '\0');
	if (last && names > 0)
		names--;
	errno = E2BIG;
	if (!add_names(all, s->in + STORE_HEADER + head, names))
		return -2;
	return last ? 0 : 1;
}

static bool
list_parts(struct store *s, uint32_t tx, const char *path, struct buf *all)
{
	char gen[24];

	for (int i = 0; i < LIST_TIMES; i++) {
		int r;
		buf_eat(all, all->len);
		while ((r = list_part(s, tx, path, all, gen)) > 0)
			;
		if (r != -1)
			return r == 0;
	}
	errno = EAGAIN;
	return false;
}

bool
store_list(struct store *s, uint32_t tx, const char *path,
    void (*fn)(const char *untrusted_name, void *arg), void *arg)
{
	struct buf all = {.max = LIST_MAX};
	size_t len;
	bool ok;

	store_say(s, path);
	ok = store_ask(s, XS_DIRECTORY, tx, &len);
	if (ok && !add_names(&all, s->in + STORE_HEADER, len))
		ok = store_fail(s, EPIPE, "a list that makes no sense");
	else if (!ok && errno == E2BIG)
		ok = list_parts(s, tx, path, &all);
	for (size_t at = 0; ok && at < all.len;) {
		const char *untrusted = (const char *)buf_bytes(&all) + at;
		at += strlen(untrusted) + 1;
		if (*untrusted)
			fn(untrusted, arg);
	}
	const int err = errno;
	buf_free(&all);
	errno = err;
	return ok;
}

bool
store_introduce(struct store *s, uint32_t domid, uint64_t gfn, uint32_t port)
{
	char text[24];
	const int n = snprintf(text, sizeof text, "%llu", (unsigned long long)gfn);

	store_say(s, "");
	s->w.len = 0;
	store_say_u32(s, "", domid);
	wr_bytes(&s->w, text, (size_t)n + 1);
	store_say_u32(s, "", port);
	return store_ask(s, XS_INTRODUCE, 0, NULL);
}

bool
store_release(struct store *s, uint32_t domid)
{
	store_say(s, "");
	s->w.len = 0;
	store_say_u32(s, "", domid);
	return store_ask(s, XS_RELEASE, 0, NULL);
}
