/* SPDX-License-Identifier: ISC */
#include "tap.h"

#include "qids.h"

/* Two qubes have numbers here. */
static uint32_t number_of(const char *name);
#define qid_of number_of
#include "qdb/keys.c"

#define MOST 64

static struct {
	size_t n, room;
	struct {
		char path[QDB_PATH], value[QDB_VALUE_MAX + 1];
	} key[MOST];
} got;

static uint32_t
number_of(const char *name)
{
	return strcmp(name, "sys-net") == 0 ? 3 : strcmp(name, "sys-firewall") == 0 ? 300 : 0;
}

static bool
take(void *arg, const char *path, const char *value, size_t len)
{
	assert_ptr_equal(arg, &got);
	assert_true(got.n < MOST && strlen(path) < QDB_PATH && path[0] == '/');
	assert_true(len <= QDB_VALUE_MAX && memchr(value, '\0', len) == NULL);
	if (got.n == got.room)
		return false;
	for (const char *p = path; *p != '\0'; p++)
		assert_non_null(strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				       "0123456789_/.:@-",
		    *p));
	for (size_t i = 0; i < got.n; i++)
		assert_string_not_equal(got.key[i].path, path); /* each once */
	strcpy(got.key[got.n].path, path);
	memcpy(got.key[got.n].value, value, len);
	got.key[got.n++].value[len] = '\0';
	return true;
}

static const char *
keys(const char *name, bool again)
{
	struct vm_state s = {.domid = 7, .qid = 5};
	const int dir = open_test_dir();
	const char *e;

	snprintf(s.name, sizeof s.name, "%s", name);
	got.n = 0;
	e = qdb_keys(dir, &s, again, take, &got);
	close(dir);
	return e;
}

static void
file(const char *name, const char *text)
{
	put_file(name, text, strlen(text));
}

static const char *
value(const char *path)
{
	for (size_t i = 0; i < got.n; i++)
		if (strcmp(got.key[i].path, path) == 0)
			return got.key[i].value;
	return NULL;
}

static void
is(const char *path, const char *want)
{
	const char *v = value(path);

	if (want == NULL) {
		assert_null(v);
		return;
	}
	if (v == NULL)
		fail_msg("no %s", path);
	assert_string_equal(v, want);
}

static int
set_up(void **state)
{
	got.room = MOST;
	file("defaults", "timezone = Europe/Warsaw\n");
	file("tpl", "type = TemplateVM\ndefault_user = joe\n");
	file("sys-net", "type = StandaloneVM\nprovides_network = true\n");
	file("sys-firewall", "template = tpl\nprovides_network = 1\nnetvm = sys-net\n");
	return 0;
}

/* What every stock qube reads (spec/qubesdb 8), whatever kind it is. */
static void
every_qube(void **state)
{
	static const char *const all[] = {"/name", "/type", "/qubes-vm-type",
	    "/qubes-vm-persistence", "/qubes-vm-updateable", "/qubes-base-template",
	    "/default-user", "/qubes-debug-mode", "/qubes-random-seed", "/qubes-timezone",
	    "/qubes-block-devices", "/qubes-usb-devices", "/qubes-service/meminfo-writer",
	    "/qubes-gui-enabled", "/keyboard-layout", "/qubes-iptables-error"};
	static const char *const qubes[] = {"tpl", "sys-net", "sys-firewall", "work", "disp"};

	file("work", "template = tpl\n");
	file("disp", "type = DispVM\ntemplate = work\n");
	for (size_t i = 0; i < NELEM(qubes); i++) {
		assert_null(keys(qubes[i], false));
		is("/name", qubes[i]);
		for (size_t k = 0; k < NELEM(all); k++)
			if (value(all[k]) == NULL)
				fail_msg("%s: no %s", qubes[i], all[k]);
	}
}

static void
kinds(void **state)
{
	static const struct {
		const char *name, *type, *role, *persistence, *updateable, *tmpl, *user;
	} table[] = {
	    {"work", "AppVM", "AppVM", "rw-only", "False", "tpl", "joe"},
	    {"tpl", "TemplateVM", "TemplateVM", "full", "True", "", "joe"},
	    {"sys-net", "StandaloneVM", "NetVM", "full", "True", "", "user"},
	    {"sys-firewall", "AppVM", "ProxyVM", "rw-only", "False", "tpl", "joe"},
	    {"disp", "DispVM", "AppVM", "none", "False", "work", "joe"},
	};

	file("work", "template = tpl\nnetvm = sys-firewall\n");
	file("disp", "type = DispVM\ntemplate = work\n");
	for (size_t i = 0; i < NELEM(table); i++) {
		assert_null(keys(table[i].name, false));
		is("/type", table[i].type);
		is("/qubes-vm-type", table[i].role);
		is("/qubes-vm-persistence", table[i].persistence);
		is("/qubes-vm-updateable", table[i].updateable);
		is("/qubes-base-template", table[i].tmpl);
		is("/default-user", table[i].user);
	}
}

static void
addresses(void **state)
{
	file("work", "netvm = sys-firewall\nmac = 02:00:00:00:00:01\n");
	assert_null(keys("work", false));
	is("/qubes-mac", "02:00:00:00:00:01");
	is("/qubes-ip", "10.137.0.5");
	is("/qubes-netmask", "255.255.255.255");
	is("/qubes-gateway", "10.137.1.47"); /* 300 does not fit the last byte */
	is("/qubes-primary-dns", "10.139.1.1");
	is("/qubes-secondary-dns", "10.139.1.2");
	is("/qubes-ip6", NULL);
	is("/qubes-netvm-network", NULL);
	is("/connected-ips", NULL);
	file("work", "netvm =\n");
	assert_null(keys("work", false));
	is("/qubes-ip", NULL);
	is("/qubes-gateway", NULL);
	/* an address of its own; a net qube that was never started, or is not there */
	file("far", "ip = 10.1.2.3\nprovides_network = 1\n");
	file("work", "netvm = far\nip = 10.9.9.9\n");
	assert_null(keys("work", false));
	is("/qubes-ip", "10.9.9.9");
	is("/qubes-gateway", "10.1.2.3");
	file("work", "netvm = nowhere\n");
	assert_null(keys("work", false));
	is("/qubes-ip", "10.137.0.5");
	is("/qubes-gateway", NULL);
	assert_null(keys("far", false));
	is("/qubes-netvm-network", "10.1.2.3");
	is("/qubes-netvm-gateway", "10.1.2.3");
	is("/qubes-netvm-netmask", "255.255.255.255");
	is("/qubes-netvm-primary-dns", "10.139.1.1");
	is("/qubes-netvm-secondary-dns", "10.139.1.2");
	is("/connected-ips", "");
	is("/connected-ips6", "");
	is("/qubes-netvm-gateway6", NULL);
}

static void
ipv6_needs_both(void **state)
{
	file("sys-net", "provides_network = true\nfeature.ipv6 = 1\n");
	file("work", "netvm = sys-net\nfeature.ipv6 = 1\n");
	assert_null(keys("work", false));
	is("/qubes-ip6", "fd09:24ef:4179::a89:5");
	is("/qubes-gateway6", "fd09:24ef:4179::a89:3");
	assert_null(keys("sys-net", false));
	is("/qubes-netvm-gateway6",
	    "fd09:24ef:4179::a89:5"); /* its own: we say that it has qid 5 */
	file("work", "netvm = sys-net\n");
	assert_null(keys("work", false));
	is("/qubes-ip6", NULL);
	is("/qubes-gateway6", NULL);
}

static void
services_and_text(void **state)
{
	file("work", "feature.service.cups = 1\nfeature.service.network-manager =\n"
		     "feature.service.crond = no\nfeature.service.meminfo-writer = 1\n"
		     "feature.vm-config.log-backend = loghost # a comment\n"
		     "feature.custom-persist.downloads = /home/user/Downloads\n"
		     "feature.anything = else\n");
	assert_null(keys("work", false));
	is("/qubes-service/cups", "1");
	is("/qubes-service/network-manager", "0");
	is("/qubes-service/crond", "0");
	is("/qubes-service/meminfo-writer", "0"); /* memory is not balanced */
	is("/vm-config/log-backend", "loghost");
	is("/persist/downloads", "/home/user/Downloads");
	for (size_t i = 0; i < got.n; i++)
		assert_null(strstr(got.key[i].path, "anything"));
}

static void
longest_names(void **state)
{
	char text[400];

	snprintf(text, sizeof text,
	    "feature.service.%048d = 1\nfeature.vm-config.a%051d = x\nfeature.custom-persist.%048d "
	    "= y\n",
	    0, 0, 0);
	file("work", text);
	assert_null(keys("work", false));
	snprintf(text, sizeof text, "/qubes-service/%048d", 0);
	assert_int_equal(strlen(text), QDB_PATH - 1);
	is(text, "1");
	snprintf(text, sizeof text, "/vm-config/a%051d", 0);
	is(text, "x");
}

static void
screen_and_sound(void **state)
{
	file("work", "guivm = dom0\naudiovm = dom0\nkeyboard_layout = de+nodeadkeys+\ndebug = yes\n"
		     "feature.gui-videoram-min = 9216\n");
	assert_null(keys("work", false));
	is("/qubes-gui-enabled", "True");
	is("/qubes-gui-domain-xid", "0");
	is("/qubes-audio-domain-xid", "0");
	is("/keyboard-layout", "de+nodeadkeys+");
	is("/qubes-debug-mode", "1");
	is("/qubes-gui-videoram-min", "9216");
	is("/guivm-windows-prefix", NULL);
	file("work", "guivm = dom0\nfeature.gui = 0\n");
	assert_null(keys("work", false));
	is("/qubes-gui-enabled", "False");
	file("work", "guivm = sys-gui\n"); /* does not run */
	assert_null(keys("work", false));
	is("/qubes-gui-enabled", "True");
	is("/qubes-gui-domain-xid", NULL);
	file("work", "");
	assert_null(keys("work", false));
	is("/qubes-gui-enabled", "False");
	is("/qubes-gui-domain-xid", NULL);
	is("/qubes-audio-domain-xid", NULL);
	is("/keyboard-layout", "us++");
	is("/qubes-debug-mode", "0");
}

static void
zone_of_time(void **state)
{
	file("work", "");
	assert_null(keys("work", false));
	is("/qubes-timezone", "Europe/Warsaw");
	file("work", "timezone = UTC\n");
	assert_null(keys("work", false));
	is("/qubes-timezone", "UTC");
	file("work", "feature.anon-timezone = 1\n");
	assert_null(keys("work", false));
	is("/qubes-timezone", NULL);
}

static void
seed_once(void **state)
{
	char first[128];

	file("work", "");
	assert_null(keys("work", false));
	assert_string_equal(got.key[got.n - 1].path, "/qubes-random-seed"); /* nothing after it */
	strcpy(first, value("/qubes-random-seed"));
	assert_int_equal(strlen(first), 88); /* 64 bytes */
	assert_int_equal(strspn(first, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				       "0123456789+/"),
	    86);
	assert_string_equal(first + 86, "==");
	assert_null(keys("work", false));
	assert_string_not_equal(value("/qubes-random-seed"), first);
	assert_null(keys("work", true));
	is("/qubes-random-seed", NULL);
	is("/name", "work");
}

static void
dom0(void **state)
{
	assert_null(keys("dom0", false));
	is("/name", "dom0");
	is("/type", "AdminVM");
	is("/qubes-vm-persistence", "full");
	is("/qubes-vm-updateable", "True");
	is("/qubes-timezone", "Europe/Warsaw");
	is("/qubes-random-seed", NULL);
	is("/qubes-vm-type", NULL);
	is("/qubes-ip", NULL);
}

static void
what_fails(void **state)
{
	file("work", "\nlabel = pink\n");
	assert_string_equal(keys("work", false),
	    "work:2: label: not red, orange, yellow, green, gray, blue, purple or black");
	assert_string_equal(keys("nosuch", false), "nosuch:0: no such qube");
	file("work", "");
	got.room = 3;
	assert_string_equal(keys("work", false), "no room");
	assert_int_equal(got.n, 3);
	got.room = 0;
	assert_non_null(keys("dom0", false));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(every_qube, set_up),
	    cmocka_unit_test_setup(kinds, set_up),
	    cmocka_unit_test_setup(addresses, set_up),
	    cmocka_unit_test_setup(ipv6_needs_both, set_up),
	    cmocka_unit_test_setup(services_and_text, set_up),
	    cmocka_unit_test_setup(longest_names, set_up),
	    cmocka_unit_test_setup(screen_and_sound, set_up),
	    cmocka_unit_test_setup(zone_of_time, set_up),
	    cmocka_unit_test_setup(seed_once, set_up),
	    cmocka_unit_test_setup(dom0, set_up),
	    cmocka_unit_test_setup(what_fails, set_up),
	};

	return cmocka_run_group_tests_name("qdb-keys", tests, NULL, rm_test_dir);
}
