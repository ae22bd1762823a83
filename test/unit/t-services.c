/* SPDX-License-Identifier: ISC */
/* What qubes may say to Dom0's services: wishes, counts, menu entries; and the time they are told.
 */
#include "tap.h"

#include "services/date.h"
#include "services/menu.h"
#include "services/wish.h"

static void
wishes(void **state)
{
	static const struct {
		const char *name, *value;
		bool ok;
	} rows[] = {{"qrexec", "1", true}, {"qrexec", "0", true}, {"qrexec", "", false},
	    {"qrexec", "2", false}, {"gui-emulated", "1", true}, {"vmexec", "0", true},
	    {"os-version", "12", true}, {"os-version", "", true}, {"os-", "1", false},
	    {"os", "Linux", false}, {"os-a/b", "1", false}, {"os-name", "a b=c,d_e-f.g", true},
	    {"os-name", " a", false}, {"os-name", "a ", false}, {"os-name", "a#b", false},
	    {"os-name", "a\nb", false}, {"os-name", "a\tb", false}, {"os-name", "\xc3\xa9", false},
	    {"os-name", "%s", false}, {"supported-service.cups", "1", true},
	    {"supported-service.", "1", false}, {"supported-service.cups", "yes", false},
	    {"boot-mode.active", "default", true}, {"service.cups", "1", false},
	    {"internal", "1", false}, {"updates-available", "1", false}, {"qrexecx", "1", false},
	    {"", "1", false}, {"memory", "400", false}};
	char name[VM_FEATURE_LEN + 2], value[WISH_VALUE_LEN + 2];

	for (size_t i = 0; i < NELEM(rows); i++)
		if ((wish_kind(wish_features, rows[i].name, rows[i].value) != NULL) != rows[i].ok)
			fail_msg("%s=%s", rows[i].name, rows[i].value);
	memset(name, 'x', sizeof(name));
	memcpy(name, "os-", 3);
	name[VM_FEATURE_LEN] = '\0';
	assert_non_null(wish_kind(wish_features, name, "1"));
	name[VM_FEATURE_LEN] = 'x';
	name[VM_FEATURE_LEN + 1] = '\0';
	assert_null(wish_kind(wish_features, name, "1"));
	memset(value, 'x', sizeof(value));
	value[WISH_VALUE_LEN] = '\0';
	assert_non_null(wish_kind(wish_features, "os-x", value));
	value[WISH_VALUE_LEN] = 'x';
	value[WISH_VALUE_LEN + 1] = '\0';
	assert_null(wish_kind(wish_features, "os-x", value));
}

static void
requests(void **state)
{
	struct buf out = {.max = 64};

	assert_null(wish_from_request(&out, "servicevm", "\x1b[2J"));
	assert_int_equal(out.len, 0); /* not one to wish for */
	assert_non_null(wish_from_request(&out, "os-eol", "a;b"));
	assert_int_equal(out.len, 0);
	assert_null(wish_from_request(&out, "os-eol", "2030"));
	assert_int_equal(out.len, 12);
	assert_memory_equal(buf_bytes(&out), "os-eol=2030\n", 12);
	while (wish_from_request(&out, "os-eol", "2030") == NULL)
		;
	assert_true(out.len <= 64);
	buf_free(&out);
}

static void
counts(void **state)
{
	static const struct {
		const char *text;
		size_t n;
		const char *want; /* NULL: refused */
	} rows[] = {{"0", 1, "0"}, {"3\n", 2, "1"}, {"000\r\n", 5, "0"}, {"123456789", 9, "1"},
	    {"1234567890", 10, NULL}, {"", 0, NULL}, {"\n", 1, NULL}, {"-1", 2, NULL},
	    {"1\0", 2, NULL}, {"\0001", 2, NULL}, {"1 2", 3, NULL}, {"x", 1, NULL}};

	for (size_t i = 0; i < NELEM(rows); i++) {
		struct buf out = {.max = WISH_BYTES};
		const char *bad = wish_from_count(&out, rows[i].text, rows[i].n);

		assert_int_equal(bad == NULL, rows[i].want != NULL);
		assert_int_equal(out.len, rows[i].want != NULL ? 20 : 0);
		if (rows[i].want != NULL)
			assert_int_equal(buf_bytes(&out)[18], rows[i].want[0]);
		buf_free(&out);
	}
}

static struct menu_entry entries[MENU_ENTRIES];

static const char *
parse(struct menu *m, const char *text)
{
	unsigned line;

	m->entry = entries;
	return menu_parse(m, text, strlen(text), &line);
}

static void
menus(void **state)
{
	struct buf out = {.max = 65536};
	struct menu m;

	assert_null(
	    parse(&m, "/usr/share/applications/a/b.desktop:Name=A\\tB\n\nb.desktop:Name=B\n"
		      "b.desktop:Hidden=true\nb.desktop:Hidden=false\nc.desktop:Exec=rm\n"));
	assert_int_equal(m.n, 3);
	assert_string_equal(m.entry[0].id, "a-b");
	assert_true(menu_shown(&m.entry[0]));
	assert_false(menu_shown(&m.entry[1]));
	assert_false(menu_shown(&m.entry[2])); /* no name */
	menu_print(&m.entry[0], "work", "red", &out);
	assert_true(buf_put(&out, "", 1));
	assert_string_equal((const char *)buf_bytes(&out),
	    "[Desktop Entry]\nVersion=1.0\nType=Application\nTerminal=false\nX-Qubes-VmName=work\n"
	    "Exec=qvm-run -q -a --service -- work qubes.StartApp+a-b\nIcon=appvm-red\n"
	    "Name=work: A\\\\tB\nCategories=X-Qubes-VM;\n");
	buf_free(&out);
	assert_non_null(parse(&m, "a.desktop:Name=x\x1by"));
	assert_non_null(parse(&m, "a.desktop:Name=\xe2\x80\xae"));
	assert_non_null(parse(&m, "a b.desktop:Name=x"));
	assert_non_null(parse(&m, "a.desktop:Categories=a\\nExec=b"));
}

static void
dates(void **state)
{
	char text[DATE_LEN + 1];
	int64_t least = INT64_MAX, most = INT64_MIN;

	assert_true(date_text(1700000000, text));
	assert_string_equal(text, "2023-11-14T22:13:20+00:00");
	assert_false(date_text(-1, text));
	assert_false(date_text((time_t)1 << 40, text));
	for (int i = 0; i < 1000; i++) {
		char name[16];
		int64_t off;

		snprintf(name, sizeof(name), "q%d", i);
		off = date_offset("boot", 4, name);
		assert_int_equal(off, date_offset("boot", 4, name));
		assert_int_not_equal(off, date_offset("toob", 4, name));
		least = off < least ? off : least;
		most = off > most ? off : most;
	}
	assert_in_range(least + 180000000000, 0, 2000000000);
	assert_in_range(180000000000 - most, 0, 2000000000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(wishes),
	    cmocka_unit_test(requests),
	    cmocka_unit_test(counts),
	    cmocka_unit_test(menus),
	    cmocka_unit_test(dates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
