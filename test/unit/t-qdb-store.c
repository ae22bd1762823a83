/* SPDX-License-Identifier: ISC */
#include "tap.h"

#include "qdb/store.h"

static struct key
key(const char *s)
{
	char field[QDB_PATH] = "";
	struct key k;

	memcpy(field, s, strnlen(s, QDB_PATH));
	assert_true(key_take(&k, field));
	return k;
}

static bool
taken(const char *s)
{
	char field[QDB_PATH] = "";
	struct key k;

	memcpy(field, s, strnlen(s, QDB_PATH));
	return key_take(&k, field);
}

static struct entry *
set(struct store *s, enum side by, const char *k, const char *v)
{
	const struct key path = key(k);

	return store_put(s, by, &path, v, strlen(v));
}

static struct entry *
get(const struct store *s, const char *k)
{
	const struct key path = key(k);

	return store_find(s, &path);
}

static const char *
seen(const struct store *s, enum side by, const char *k)
{
	static char text[2][64];
	const struct entry *e = get(s, k);
	const struct value *v = e != NULL ? store_view(e, by) : NULL;

	if (v == NULL)
		return "-";
	snprintf(text[by], sizeof(text[by]), "%.*s", (int)v->len, v->p);
	return text[by];
}

struct text {
	char s[1 << 16];
	int room;
};

static bool
collect(void *arg, struct entry *e, const struct value *v)
{
	struct text *t = arg;

	if (t->room-- == 0)
		return false;
	strcat(t->s, e->key);
	strcat(t->s, " ");
	return true;
}

/* All that is given, taken up again after every n. */
static const char *
walk(const struct store *s, const char *prefix, bool down, enum side side, int n)
{
	static struct text t;
	struct cursor c = {
	    .on = true, .down = down, .layer = -1, .side = side, .prefix = key(prefix)};

	t.s[0] = '\0';
	do
		t.room = n;
	while (!cursor_run(s, &c, collect, &t));
	assert_false(c.on);
	return t.s;
}

/* Spec 2: which bytes, how long, what may be written. */
static void
bytes_of_a_path(void **state)
{
	const char good[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_/.:@-";
	char s[3] = "/";
	struct key k;
	char field[QDB_PATH];

	for (int c = 1; c < 256; c++) {
		s[1] = (char)c;
		assert_int_equal(taken(s), strchr(good, c) != NULL);
	}
	assert_true(taken(""));
	assert_false(taken("-a"));
	memset(field, 'x', sizeof(field)); /* byte 64 counts as NUL */
	field[0] = '/';
	assert_true(key_take(&k, field));
	assert_int_equal(k.len, 63);
	field[63] = '\n';
	assert_true(key_take(&k, field));
	memcpy(field, "/a\0\n", 4); /* behind the NUL nothing counts, and nothing is kept */
	assert_true(key_take(&k, field));
	assert_int_equal(k.len, 2);
	for (int i = 2; i < QDB_PATH; i++)
		assert_int_equal(k.s[i], 0);
	k = key("a");
	assert_false(key_writable(&k));
	k = key("/a/");
	assert_false(key_writable(&k));
	k = key("/");
	assert_false(key_writable(&k));
	k = key("");
	assert_false(key_writable(&k));
	k = key("//a/../b");
	assert_true(key_writable(&k));
}

static void
ordered_and_by_prefix(void **state)
{
	struct store s = {0};
	const char *const keys[] = {
	    "/b", "/a/b", "/a", "/a/a", "/a-b", "/aa", "/a/b/c", "/B", "/a.", "//x"};

	for (size_t i = 0; i < NELEM(keys); i++)
		assert_non_null(set(&s, DOM0, keys[i], keys[i]));
	for (int n = 1; n < 12; n++) {
		assert_string_equal(
		    walk(&s, "", false, DOM0, n), "//x /B /a /a-b /a. /a/a /a/b /a/b/c /aa /b ");
		assert_string_equal(
		    walk(&s, "", true, DOM0, n), "/b /aa /a/b/c /a/b /a/a /a. /a-b /a /B //x ");
		assert_string_equal(
		    walk(&s, "/a", false, DOM0, n), "/a /a-b /a. /a/a /a/b /a/b/c /aa ");
		assert_string_equal(walk(&s, "/a/", false, DOM0, n), "/a/a /a/b /a/b/c ");
	}
	assert_string_equal(walk(&s, "/a/b/c/d", false, DOM0, 9), "");
	assert_string_equal(walk(&s, "x", false, DOM0, 9), "");
	store_free(&s);
}

static int
by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Against a sorted array. */
static void
like_a_plain_list(void **state)
{
	struct store s = {0};
	char *have[400], text[64];
	static struct text want;
	size_t n = 0;

	srand(7);
	for (int round = 0; round < 6000; round++) {
		int len = 1 + rand() % 6;

		text[0] = '/';
		for (int i = 1; i <= len; i++)
			text[i] = "ab/.Z9"[rand() % 6];
		text[len + 1] = '\0';
		if (text[len] == '/')
			text[len] = 'x';
		struct entry *e = get(&s, text);
		size_t at = 0;
		while (at < n && strcmp(have[at], text) != 0)
			at++;
		assert_int_equal(e != NULL, at < n);
		if (e != NULL && rand() % 2) {
			store_remove(&s, DOM0, e);
			store_settle(&s, e);
			free(have[at]);
			have[at] = have[--n];
		} else if (e == NULL && n < NELEM(have)) {
			assert_non_null(set(&s, DOM0, text, "v"));
			have[n++] = strdup(text);
		}
		if (round % 100 != 0)
			continue;
		qsort(have, n, sizeof(*have), by_text);
		want.s[0] = '\0';
		for (size_t i = 0; i < n; i++)
			strcat(strcat(want.s, have[i]), " ");
		assert_string_equal(walk(&s, "", false, DOM0, 50), want.s);
		assert_int_equal(s.used[DOM0].n, n);
	}
	for (size_t i = 0; i < n; i++)
		free(have[i]);
	store_free(&s);
	assert_null(s.root);
}

/* A walk that was left goes on behind what it gave, whatever was removed or added. */
static void
walks_over_changes(void **state)
{
	struct store s = {0};
	static struct text t;

	for (int down = 0; down < 2; down++) {
		struct cursor c = {.on = true, .down = down, .layer = -1, .side = DOM0};

		set(&s, DOM0, "/a", "1");
		set(&s, DOM0, "/c", "1");
		set(&s, DOM0, "/e", "1");
		t = (struct text){.room = 1};
		assert_false(cursor_run(&s, &c, collect, &t)); /* the next is /c */
		store_remove(&s, DOM0, get(&s, "/c"));
		store_settle(&s, get(&s, "/c"));
		set(&s, DOM0, "/b", "1");
		set(&s, DOM0, "/d", "1");
		t.room = 9;
		assert_true(cursor_run(&s, &c, collect, &t));
		/* not what is new: it could go on for ever */
		assert_string_equal(t.s, down ? "/e /a " : "/a /e ");
		store_free(&s);
	}
}

static void
a_qube_never_changes_what_dom0_reads(void **state)
{
	struct store s = {0};

	set(&s, DOM0, "/name", "work");
	set(&s, QUBE, "/name", "evil");
	assert_string_equal(seen(&s, DOM0, "/name"), "work");
	assert_string_equal(seen(&s, QUBE, "/name"), "evil");
	store_remove(&s, QUBE, get(&s, "/name"));
	assert_string_equal(seen(&s, DOM0, "/name"), "work");
	assert_string_equal(seen(&s, QUBE, "/name"), "-");
	assert_string_equal(walk(&s, "", false, QUBE, 9), "");
	set(&s, QUBE, "/name", "work"); /* what Dom0 has needs no value of the qube's */
	assert_null(get(&s, "/name")->v[QUBE]);
	assert_string_equal(seen(&s, QUBE, "/name"), "work");
	set(&s, QUBE, "/name", "other");
	set(&s, DOM0, "/name", "new"); /* Dom0's word is the last */
	assert_string_equal(seen(&s, QUBE, "/name"), "new");
	assert_int_equal(s.used[QUBE].n, 0);
	assert_int_equal(s.used[QUBE].bytes, 0);
	set(&s, QUBE, "/own", "x");
	assert_string_equal(seen(&s, DOM0, "/own"), "x");
	store_remove(&s, DOM0, get(&s, "/own"));
	assert_string_equal(seen(&s, QUBE, "/own"), "-");
	store_settle(&s, get(&s, "/own"));
	assert_null(get(&s, "/own"));
	store_free(&s);
}

static void
limits_of_the_qube_are_not_dom0s(void **state)
{
	static char big[QDB_VALUE_MAX];
	struct store s = {0};
	char text[32];
	unsigned n;

	for (n = 0;; n++) {
		snprintf(text, sizeof(text), "/%u", n);
		if (set(&s, QUBE, text, "") == NULL)
			break;
	}
	assert_int_equal(n, QUBE_ENTRIES_MAX);
	assert_null(get(&s, text)); /* nothing of the refused one is left */
	assert_non_null(set(&s, QUBE, "/0", "new"));
	assert_non_null(set(&s, DOM0, text, "v"));
	store_remove(&s, QUBE, get(&s, "/0"));
	store_settle(&s, get(&s, "/0"));
	assert_non_null(set(&s, QUBE, "/again", ""));
	assert_null(set(&s, QUBE, "/more", ""));
	store_free(&s);

	memset(big, 'x', sizeof(big));
	for (n = 0;; n++) {
		snprintf(text, sizeof(text), "/%u", n);
		const struct key k = key(text);
		if (store_put(&s, QUBE, &k, big, sizeof(big)) == NULL)
			break;
	}
	assert_true(s.used[QUBE].bytes <= QUBE_BYTES_MAX);
	assert_true(s.used[QUBE].bytes + sizeof(big) + 5 > QUBE_BYTES_MAX);
	assert_non_null(set(&s, DOM0, "/d", "v"));
	assert_non_null(set(&s, QUBE, "/0", "short"));
	store_free(&s);
	assert_int_equal(s.used[QUBE].n + s.used[QUBE].bytes, 0);
}

static const char *
list(const struct entries *l)
{
	static struct text t;
	const struct entry *last = NULL;

	t.s[0] = '\0';
	for (const struct entry *e = l->first; e != NULL; e = e->later) {
		assert_ptr_equal(e->older, last);
		strcat(strcat(t.s, e->key), " ");
		last = e;
	}
	assert_ptr_equal(l->last, last);
	return t.s;
}

/* Each at most once, the last change behind all others. */
static void
what_the_other_side_is_to_hear(void **state)
{
	struct store s = {0};

	for (const char *k = "abcab"; *k != '\0'; k++) {
		const char path[] = {'/', *k, '\0'};
		store_mark(&s, set(&s, DOM0, path, "v"), DIRTY);
	}
	assert_string_equal(list(&s.dirty), "/c /a /b ");
	store_mark(&s, get(&s, "/c"), IN_FLIGHT);
	store_mark(&s, get(&s, "/a"), IN_FLIGHT);
	store_mark(&s, get(&s, "/a"), DIRTY);
	assert_string_equal(list(&s.dirty), "/b /a ");
	assert_string_equal(list(&s.in_flight), "/c ");
	store_remove(&s, DOM0, get(&s, "/b"));
	store_settle(&s, get(&s, "/b"));
	assert_non_null(get(&s, "/b")); /* remembered until it is said */
	assert_int_equal(s.used[QUBE].n, 1);
	get(&s, "/a")->flags |= PEER_HAS;
	store_unlinked(&s, true);
	assert_string_equal(list(&s.dirty), "/c /b /a ");
	assert_string_equal(list(&s.in_flight), "");
	assert_false(get(&s, "/a")->flags & PEER_HAS);
	store_unlinked(&s, false);
	assert_string_equal(list(&s.dirty), "");
	assert_null(get(&s, "/b"));
	assert_int_equal(s.used[QUBE].n, 0);
	assert_string_equal(walk(&s, "", false, DOM0, 9), "/a /c ");
	store_free(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(bytes_of_a_path),
	    cmocka_unit_test(ordered_and_by_prefix),
	    cmocka_unit_test(like_a_plain_list),
	    cmocka_unit_test(walks_over_changes),
	    cmocka_unit_test(a_qube_never_changes_what_dom0_reads),
	    cmocka_unit_test(limits_of_the_qube_are_not_dom0s),
	    cmocka_unit_test(what_the_other_side_is_to_hear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
