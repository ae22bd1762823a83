/* SPDX-License-Identifier: ISC */
#include "tap.h"

#include <sys/stat.h>

#include "vmconf.h"

static struct vmconf c;
static struct vmconf_error e;

static void
file(const char *name, const char *text)
{
	put_file(name, text, strlen(text));
}

static bool
load(const char *name)
{
	int d = open_test_dir();
	bool ok;

	memset(&e, 0, sizeof(e));
	ok = vmconf_load(d, name, &c, &e);
	close(d);
	return ok;
}

static void
built_in_values(void **state)
{
	char uuid[UUID_LEN + 1];

	file("defaults", "");
	file("work", "");
	assert_true(load("work"));
	assert_string_equal(c.name, "work");
	assert_string_equal(c.type, "AppVM");
	assert_string_equal(c.label, "red");
	assert_string_equal(c.default_user, "user");
	assert_string_equal(c.default_dispvm, "");
	assert_int_equal(c.qrexec_timeout, 60);
	assert_int_equal(c.shutdown_timeout, 60);
	assert_true(uuid_ok(c.uuid) && c.uuid[14] == '8' && strchr("89ab", c.uuid[19]) != NULL);
	/* the same on every machine and in every version */
	assert_string_equal(c.uuid, "6c097861-af61-838d-9544-a5f4c8a28d59");
	strcpy(uuid, c.uuid);
	file("mail", "");
	assert_true(load("mail"));
	assert_string_not_equal(c.uuid, uuid);
}

static void
every_key(void **state)
{
	file("work",
	    "# a comment, \xc3\xa4\n\n  label = green # and another\n\ttype=StandaloneVM\ntags = "
	    "one  two\tthree two\n"
	    "default_dispvm = dvm\nuuid = ABCDEF01-2345-6789-abcd-ef0123456789\nrelayvm=relay\n"
	    "transport_rpc=qubesair.SSH\nguivm=\ndefault_user=joe-2\nroot=/srv/a "
	    "b#c\ntemplate_for_dispvms=1\n"
	    "autostart=True\ninternal=no\nqrexec_timeout=5\nshutdown_timeout=86400");
	assert_true(load("work"));
	assert_string_equal(c.label, "green");
	assert_string_equal(c.type, "StandaloneVM");
	assert_int_equal(c.ntags, 3);
	assert_string_equal(c.tags[2], "three");
	assert_string_equal(c.default_dispvm, "dvm");
	assert_string_equal(c.uuid, "abcdef01-2345-6789-abcd-ef0123456789");
	assert_string_equal(c.relayvm, "relay");
	assert_string_equal(c.transport_rpc, "qubesair.SSH");
	assert_string_equal(c.default_user, "joe-2");
	assert_string_equal(c.root, "/srv/a b#c");
	assert_true(c.template_for_dispvms && c.autostart && !c.internal);
	assert_int_equal(c.qrexec_timeout, 5);
	assert_int_equal(c.shutdown_timeout, 86400);
}

static void
domain_keys(void **state)
{
	char opts[600] = "kernelopts=";

	file("defaults", "memory=300\nnetvm=sys-net\n");
	file("tpl", "type=TemplateVM\nvcpus=3\nkernel=k1\nvirt_mode=pv\nprivate=/"
		    "p\nmac=02:00:00:00:00:01\n");
	file("work", "template=tpl\nip=10.1.2.3\nvolatile=/dev/v\nprepare=2\n");
	file("own", "template=tpl\nkernelopts=\nnetvm=\n");
	assert_true(load("tpl"));
	assert_string_equal(c.netvm, ""); /* templates have none */
	assert_true(load("work"));
	assert_int_equal(c.memory, 300);
	assert_int_equal(c.vcpus, 3);
	assert_string_equal(c.kernel, "k1");
	assert_string_equal(c.virt_mode, "pv");
	assert_string_equal(c.netvm, "sys-net");
	assert_string_equal(c.private, "");
	assert_string_equal(c.volatile_, "/dev/v");
	assert_string_equal(c.mac, "00:16:3e:5e:6c:00");
	assert_string_equal(c.ip, "10.1.2.3");
	assert_int_equal(c.prepare, 2);
	assert_false(c.own_kernelopts);
	assert_true(load("own"));
	assert_true(c.own_kernelopts && c.kernelopts[0] == '\0' && c.netvm[0] == '\0');
	file("defaults", "");
	file("bare", "");
	assert_true(load("bare"));
	assert_int_equal(c.memory, 400);
	assert_int_equal(c.vcpus, 2);
	assert_string_equal(c.virt_mode, "pvh");
	/* a disposable's network is its template's (QSB-047) */
	file("defaults", "netvm=sys-net\n");
	file("dvm", "netvm=tor\n");
	file("disp", "type=DispVM\ntemplate=dvm\n");
	assert_true(load("disp"));
	assert_string_equal(c.netvm, "tor");
	file("defaults", "");
	memset(opts + 11, 'x', 512);
	file("bare", opts);
	assert_true(load("bare"));
	opts[11 + 512] = 'x';
	file("bare", opts);
	assert_false(load("bare"));
	assert_string_equal(e.text, "kernelopts: longer than 512");
}

static void
features(void **state)
{
	char text[2048] = "", line[64];
	const char *p = NULL;
	int n = 0;

	file("defaults", "feature.a = 1\nfeature.b=2\nguivm = dom0\ntimezone = Europe/Warsaw\n"
			 "keyboard_layout = de+nodeadkeys+\naudiovm = dom0\n");
	file("tpl", "type=TemplateVM\nfeature.t=1\ntimezone=UTC\n");
	file("work", "template=tpl\nfeature.b = two words\nfeature.a-b_c.D=\nprovides_network=1\n"
		     "debug=yes\n");
	assert_true(load("work"));
	assert_string_equal(vmconf_feature(&c, "a"), "1");
	assert_string_equal(vmconf_feature(&c, "b"), "two words");
	assert_string_equal(vmconf_feature(&c, "a-b_c.D"), "");
	assert_null(vmconf_feature(&c, "t")); /* not from the template */
	assert_null(vmconf_feature(&c, "a-b"));
	while ((p = vmconf_feature_next(&c, p)) != NULL)
		n += strchr(p, '=') != NULL;
	assert_int_equal(n, 3);
	assert_string_equal(c.guivm, "dom0");
	assert_string_equal(c.audiovm, "dom0");
	assert_string_equal(c.timezone, "UTC");
	assert_string_equal(c.keyboard_layout, "de+nodeadkeys+");
	assert_true(c.provides_network && c.debug);
	file("defaults", "");
	/* room for all of them: 31 of 33 bytes each, and one byte at the end */
	for (int i = 10; i < 41; i++) {
		snprintf(line, sizeof(line), "feature.%d=%029d\n", i, 0);
		strcat(text, line);
	}
	file("work", text);
	assert_true(load("work"));
	assert_string_equal(vmconf_feature(&c, "40"), "00000000000000000000000000000");
	strcat(text, "feature.x = 1\n");
	file("work", text);
	assert_false(load("work"));
	assert_string_equal(e.text, "feature.x: all features together are longer than 1024");
	assert_int_equal(e.line, 32);
}

static void
inheritance(void **state)
{
	file("defaults", "default_dispvm=dvm\ndefault_user=def\nqrexec_timeout=9\n");
	file("tpl",
	    "type=TemplateVM\nlabel=black\ntags=t\nautostart=yes\ndefault_user=joe\nroot=/tpl\n"
	    "default_dispvm=other\nshutdown_timeout=7\n");
	file("work", "template=tpl\nshutdown_timeout=8\n");
	assert_true(load("work"));
	assert_string_equal(c.label, "red"); /* not from the template */
	assert_int_equal(c.ntags, 0);
	assert_false(c.autostart);
	assert_string_equal(c.default_dispvm, "dvm");
	assert_string_equal(c.default_user, "joe");
	assert_string_equal(c.root, "/tpl");
	assert_int_equal(c.qrexec_timeout, 9);
	assert_int_equal(c.shutdown_timeout, 8);
	file("alone", "type=StandaloneVM\ntemplate=tpl\n");
	assert_true(load("alone"));
	assert_string_equal(c.default_user, "def");
	file("work", "template=tpl\ndefault_dispvm=\ntags=\n");
	assert_true(load("work"));
	assert_string_equal(c.default_dispvm, "");
}

static void
disposable_default_is_its_template_QSB_047(void **state)
{
	file("defaults", "default_dispvm=online\n");
	file("tpl", "type=TemplateVM\nroot=/tpl\n");
	file("offline", "template=tpl\ntemplate_for_dispvms=true\n");
	file("disp1", "type=DispVM\ntemplate=offline\n");
	assert_true(load("disp1"));
	assert_string_equal(c.default_dispvm, "offline");
	assert_string_equal(c.root, "/tpl");
	file("disp1", "type=DispVM\ntemplate=offline\ndefault_dispvm=x\n");
	assert_true(load("disp1"));
	assert_string_equal(c.default_dispvm, "x");
}

/* What manages a qube may write to it: nothing of daily use, which default_dispvm is. */
static void
management_is_never_the_default_QSB_045(void **state)
{
	file("defaults", "default_dispvm=online\n");
	file("tpl", "type=TemplateVM\nroot=/tpl\n");
	file("offline", "template=tpl\ntemplate_for_dispvms=true\n");
	file("disp1", "type=DispVM\ntemplate=offline\n");
	for (const char *const *q = (const char *const[]){"tpl", "offline", "disp1", NULL}; *q;
	     q++) {
		assert_true(load(*q));
		assert_string_equal(c.management_dispvm, "");
	}
	file("defaults", "default_dispvm=online\nmanagement_dispvm=mgmt\n");
	assert_true(load("offline"));
	assert_string_equal(c.management_dispvm, "mgmt");
	file("tpl", "type=TemplateVM\nroot=/tpl\nmanagement_dispvm=careful\n");
	for (const char *const *q = (const char *const[]){"tpl", "offline", "disp1", NULL}; *q;
	     q++) {
		assert_true(load(*q));
		assert_string_equal(c.management_dispvm, "careful");
	}
	file("offline", "template=tpl\ntemplate_for_dispvms=true\nmanagement_dispvm=\n");
	assert_true(load("offline"));
	assert_string_equal(c.management_dispvm, "");
	file("alone", "type=StandaloneVM\n");
	assert_true(load("alone"));
	assert_string_equal(c.management_dispvm, "mgmt");
}

static void
templates_that_fail(void **state)
{
	file("work", "template=loop\n");
	file("loop", "template=work\n");
	assert_false(load("work"));
	assert_non_null(strstr(e.text, "chain"));
	file("work", "template=missing\n");
	assert_false(load("work"));
	assert_string_equal(e.file, "missing");
	file("missing", "label=grey\n");
	assert_false(load("work"));
	assert_string_equal(e.file, "missing");
	assert_int_equal(e.line, 1);
	unlink(in_dir("missing"));
}

static void
dom0(void **state)
{
	file("defaults", "");
	assert_true(load("dom0")); /* without a file too */
	assert_string_equal(c.type, "AdminVM");
	assert_string_equal(c.uuid, "00000000-0000-0000-0000-000000000000");
	file("dom0", "tags=t\n");
	assert_true(load("dom0"));
	assert_int_equal(c.ntags, 1);
	file("dom0", "type=AppVM\n");
	assert_false(load("dom0"));
	file("work", "type=AdminVM\n");
	assert_false(load("work"));
	file("work", "uuid=00000000-0000-0000-0000-000000000000\n");
	assert_false(load("work"));
}

static void
names_of_no_qube(void **state)
{
	assert_false(load("absent"));
	assert_string_equal(e.text, "no such qube");
	assert_false(load("defaults"));
	assert_false(load("../etc"));
	assert_false(load(""));
}

static void
bad_lines_say_file_and_line(void **state)
{
	static const struct {
		const char *line, *text;
	} bad[] = {
	    {"lable=red", "unknown key lable (label is meant?)"},
	    {"Template=x", "unknown key Template (template is meant?)"},
	    {"maxmum=400", "unknown key maxmum (maxmem is meant?)"},
	    {"maxmem=1048577", "maxmem: not a number of MiB from 0 to 1048576"},
	    {"preload=17", "preload: not a number from 0 to 16"},
	    {"preload=2", "preload: needs template_for_dispvms = true"},
	    {"auto_cleanup=yes", "auto_cleanup: only for a DispVM"},
	    {"dispid=10000", "dispid: not a number from 0 to 9999"},
	    {"dispid=1", "dispid: only for a DispVM"},
	    {"root_size=1T", "root_size: not a size in MiB, or like 512M or 20G, up to 16384G"},
	    {"root_size=", "root_size: not a size in MiB, or like 512M or 20G, up to 16384G"},
	    {"private_size=G",
		"private_size: not a size in MiB, or like 512M or 20G, up to 16384G"},
	    {"private_size=16385G",
		"private_size: not a size in MiB, or like 512M or 20G, up to 16384G"},
	    {"volatile_size=-1",
		"volatile_size: not a size in MiB, or like 512M or 20G, up to 16384G"},
	    {"volatile_size=4294967297",
		"volatile_size: not a size in MiB, or like 512M or 20G, up to 16384G"},
	    {"revisions_to_keep=17", "revisions_to_keep: not a number from 0 to 16"},
	    {"include_in_backups=on", "include_in_backups: not true or false"},
	    {"management_dispvm=@x", "management_dispvm: not a qube's name"},
	    {"clockvm=sys-net", "this key may stand only in the defaults"},
	    {"updatevm=sys-net", "this key may stand only in the defaults"},
	    {"default_template=tpl", "this key may stand only in the defaults"},
	    {"memory=31", "memory: not a number of MiB from 32 to 1048576"},
	    {"memory=1048577", "memory: not a number of MiB from 32 to 1048576"},
	    {"memory=4G", "memory: not a number of MiB from 32 to 1048576"},
	    {"vcpus=0", "vcpus: not a number from 1 to 64"},
	    {"vcpus=65", "vcpus: not a number from 1 to 64"},
	    {"prepare=17", "prepare: not a number from 0 to 16"},
	    {"virt_mode=PV", "virt_mode: not pvh, pv or hvm"},
	    {"kernel=../x", "kernel: neither a name nor an absolute path"},
	    {"kernel=a\xc3\xa9", "kernel: not printable ASCII"},
	    {"kernel=a/b", "kernel: neither a name nor an absolute path"},
	    {"kernelopts=a\tb", "kernelopts: not printable ASCII"},
	    {"netvm=-x", "netvm: not a qube's name"},
	    {"mac=00:16:3E:5e:6c:00", "mac: not a MAC address like 00:16:3e:5e:6c:00"},
	    {"mac=01:16:3e:5e:6c:00", "mac: not a MAC address like 00:16:3e:5e:6c:00"},
	    {"mac=00:16:3e:5e:6c", "mac: not a MAC address like 00:16:3e:5e:6c:00"},
	    {"ip=10.0.0", "ip: not an IPv4 address"},
	    {"ip=10.0.0.256", "ip: not an IPv4 address"},
	    {"ip=10..0.1", "ip: not an IPv4 address"},
	    {"ip=10.0.0.1.", "ip: not an IPv4 address"},
	    {"private=x.img", "private: not an absolute path"},
	    {"volatile=x.img", "volatile: not an absolute path"},
	    {"a key \033 longer than any=1", "not text: a NUL or control byte, or no UTF-8"},
	    {"label", "expected: key = value"},
	    {"=red", "unknown key "},
	    {"label=", "label: not red, orange, yellow, green, gray, blue, purple or black"},
	    {"label=Red", "label: not red, orange, yellow, green, gray, blue, purple or black"},
	    {"autostart=maybe", "autostart: not true or false"},
	    {"qrexec_timeout=0", "qrexec_timeout: not a number of seconds from 1 to 86400"},
	    {"qrexec_timeout=86401", "qrexec_timeout: not a number of seconds from 1 to 86400"},
	    {"template=@dispvm", "template: not a qube's name"},
	    {"guivm=x-dm", "guivm: not a qube's name"},
	    {"uuid=1", "uuid: not a UUID"},
	    {"tags=a b,c", "tags: a tag may hold A-Z a-z 0-9 _ . - only"},
	    {"default_user=-x", "default_user: not a user's name"},
	    {"default_user=a:b", "default_user: not a user's name"},
	    {"default_user=", "default_user: not a user's name"},
	    {"root=etc", "root: not an absolute path"},
	    {"transport_rpc=a+b", "transport_rpc: not a service's name"},
	    {"relayvm=a\nrelayvm=a", NULL},
	    {"feature.a=1\nfeature.a=1", NULL},
	    {"feature.=1", "feature.: its name is empty, or longer than 63"},
	    {"feature.a b=1", "feature.a b: its name may hold A-Z a-z 0-9 _ . - only"},
	    {"feature.service.-x=1", "feature.service.-x: no name that a qube could take"},
	    {"feature.service.=1", "feature.service.: no name that a qube could take"},
	    {"feature.service.x=on", "feature.service.x: not true or false"},
	    {"feature.vm-config.1=x", "feature.vm-config.1: no name that a qube could take"},
	    {"timezone=/etc/passwd", "timezone: not a time zone like Europe/Warsaw"},
	    {"timezone=../x", "timezone: not a time zone like Europe/Warsaw"},
	    {"keyboard_layout=us", "keyboard_layout: not a keyboard layout like us++"},
	    {"keyboard_layout=++", "keyboard_layout: not a keyboard layout like us++"},
	    {"keyboard_layout=us+a b+", "keyboard_layout: not a keyboard layout like us++"},
	    {"provides_network=on", "provides_network: not true or false"},
	    {"audiovm=-x", "audiovm: not a qube's name"},
	    {"label=red\r", "not text: a NUL or control byte, or no UTF-8"},
	    {"# \xc0\xaf", "not text: a NUL or control byte, or no UTF-8"},
	    {"# \xed\xa0\x80", "not text: a NUL or control byte, or no UTF-8"},
	    {"# \xf4\x90\x80\x80", "not text: a NUL or control byte, or no UTF-8"},
	    {"# \xc3", "not text: a NUL or control byte, or no UTF-8"},
	    {"# \xc2\x9b[2J", "not text: a NUL or control byte, or no UTF-8"},
	    {"# \x80", "not text: a NUL or control byte, or no UTF-8"},
	};
	char text[256];

	for (size_t i = 0; i < NELEM(bad); i++) {
		snprintf(text, sizeof(text), "#\n\n%s", bad[i].line);
		file("work", text);
		assert_false(load("work"));
		assert_string_equal(e.file, "work");
		if (bad[i].text == NULL) {
			assert_int_equal(e.line, 4);
			assert_string_equal(e.text, "this key was given before");
			continue;
		}
		assert_int_equal(e.line, 3);
		assert_string_equal(e.text, bad[i].text);
	}
	file("work", "");
	file("defaults", "label=red\n");
	assert_false(load("work"));
	assert_string_equal(e.file, "defaults");
	file("defaults", "");
}

static void
keys_of_disposables_and_volumes(void **state)
{
	char ip[16], ip6[VM_IP6_LEN + 1];

	file("defaults", "");
	file("work", "");
	assert_true(load("work"));
	assert_int_equal(c.root_size, 10240);
	assert_int_equal(c.private_size, 2048);
	assert_int_equal(c.volatile_size, 10240);
	assert_int_equal(c.revisions_to_keep, 1);
	assert_int_equal(c.preload, 0);
	assert_int_equal(c.maxmem, 0);
	assert_true(c.include_in_backups && !c.auto_cleanup && c.dispid == VM_NO_DISPID);
	file("defaults", "default_template=tpl\nclockvm=sys-net\nupdatevm=sys-fw\n"
			 "management_dispvm=mgmt\nprivate_size=4G\nmaxmem=800\n");
	file("tpl", "type=TemplateVM\nmaxmem=900\nprivate_size=1\n");
	file("work", "template=tpl\nroot_size=0\nvolatile_size=512M\nrevisions_to_keep=0\n"
		     "include_in_backups=no\ntemplate_for_dispvms=yes\npreload=16\n");
	assert_true(load("work"));
	assert_int_equal(c.root_size, 0);
	assert_int_equal(c.private_size, 4096); /* not from the template */
	assert_int_equal(c.volatile_size, 512);
	assert_int_equal(c.revisions_to_keep, 0);
	assert_int_equal(c.maxmem, 900);
	assert_int_equal(c.preload, 16);
	assert_false(c.include_in_backups);
	assert_string_equal(c.default_template, "tpl");
	assert_string_equal(c.updatevm, "sys-fw");
	assert_string_equal(c.clockvm, "sys-net");
	assert_string_equal(c.management_dispvm, "mgmt");
	file("disp7", "type=DispVM\ntemplate=work\nauto_cleanup=yes\ndispid=9999\n");
	assert_true(load("disp7"));
	assert_true(c.auto_cleanup && c.preload == 0);
	vmconf_address(&c, 300, ip);
	assert_string_equal(ip, "10.138.39.94");
	vmconf_address6(&c, 300, ip6);
	assert_string_equal(ip6, "fd09:24ef:4179::a8a:270f");
	file("disp7", "type=DispVM\ntemplate=work\ndispid=0\n");
	assert_true(load("disp7"));
	vmconf_address(&c, 300, ip);
	assert_string_equal(ip, "10.138.0.1");
	assert_true(load("work"));
	vmconf_address(&c, 300, ip);
	assert_string_equal(ip, "10.137.1.47");
	vmconf_address6(&c, 300, ip6);
	assert_string_equal(ip6, "fd09:24ef:4179::a89:12c");
	file("defaults", "");
}

static void
loops_of_netvms(void **state)
{
	file("defaults", "netvm=fw\n");
	file("net", "provides_network=yes\n"); /* takes no default */
	file("fw", "provides_network=yes\nnetvm=net\n");
	file("work", "");
	assert_true(load("work") && strcmp(c.netvm, "fw") == 0);
	assert_true(load("net") && c.netvm[0] == '\0');
	file("net", "label=red\nprovides_network=yes\nnetvm=fw\n");
	assert_false(load("net"));
	assert_string_equal(e.file, "net");
	assert_int_equal(e.line, 3);
	assert_string_equal(e.text, "netvm: a loop: net is its own netvm by way of fw");
	assert_false(load("work")); /* a loop that it is not part of */
	assert_string_equal(e.file, "work");
	file("net", "netvm=net\n");
	assert_false(load("net"));
	assert_string_equal(e.text, "netvm: a loop: net is its own netvm by way of net");
	/* what is missing or wrong there is not this one's fault */
	file("net", "netvm=nosuch\n");
	assert_true(load("net") && load("work"));
	file("fw", "lable=red\n");
	assert_true(load("work") && strcmp(c.netvm, "fw") == 0);
	assert_true(vmconf_defaults(open_test_dir(), &c, &e) && strcmp(c.netvm, "fw") == 0);
	file("defaults", "");
}

/* Reading many with what they share kept gives what reading each alone gives. */
static void
with_and_without_a_cache(void **state)
{
	static const char *const names[] = {
	    "work", "disp7", "tpl", "net", "dom0", "mail", "wrong", "nosuch", "work", "disp7"};
	const int d = open_test_dir();
	struct vmconf_cache *k = vmconf_cache_new(d);
	static struct vmconf one, other;
	bool ok;

	file("defaults", "netvm=net\ndefault_user=me\nfeature.a=1\nqrexec_timeout=9\n");
	file("tpl", "type=TemplateVM\nmemory=77\nroot=/tpl\n");
	file("net", "provides_network=1\nlabel=black\nfeature.a=2\n");
	file("work", "template=tpl\ntemplate_for_dispvms=1\nuuid=abcdef01-2345-6789-abcd-"
		     "ef0123456789\n");
	file("disp7", "type=DispVM\ntemplate=work\ndispid=7\n");
	file("mail", "template=disp7\n");
	file("wrong", "template=tpl\nlable=red\n");
	file("dom0", "tags=t\n");
	for (size_t i = 0; i < NELEM(names); i++) {
		memset(&one, 0, sizeof(one));
		memset(&other, 0, sizeof(other));
		ok = vmconf_read(d, names[i], &one, &e);
		assert_int_equal(vmconf_cache_read(k, names[i], &other, &e), ok);
		assert_int_equal(ok, i < 5 || i > 7);
		if (ok) /* what stands behind the end of a text does not count */
			assert_true(
			    strcmp(one.name, other.name) == 0 &&
			    strcmp(one.type, other.type) == 0 &&
			    strcmp(one.label, other.label) == 0 &&
			    strcmp(one.uuid, other.uuid) == 0 &&
			    strcmp(one.netvm, other.netvm) == 0 &&
			    strcmp(one.default_dispvm, other.default_dispvm) == 0 &&
			    strcmp(one.root, other.root) == 0 &&
			    strcmp(one.default_user, other.default_user) == 0 &&
			    one.memory == other.memory && one.ntags == other.ntags &&
			    one.dispid == other.dispid &&
			    strcmp(vmconf_feature(&one, "a"), vmconf_feature(&other, "a")) == 0);
	}
	vmconf_cache_free(k);
	close(d);
	file("defaults", "");
	unlink(in_dir("dom0"));
}

static void
who_wrote_it(void **state)
{
	if (geteuid() != 0)
		skip();
	file("tpl", "type=TemplateVM\nroot=/dev/x\nname=tpl\n");
	file("work", "name=work\ntemplate=tpl\nprivate=/dev/y\n");
	assert_true(load("work") && c.trusted);
	assert_null(vmconf_forbidden(&c));
	/* renamed, or it may have been: without its name it does not count */
	file("other", "name=work\ntemplate=tpl\nprivate=/dev/y\n");
	assert_false(load("other"));
	assert_string_equal(e.text, "name: this is another one's file");
	unlink(in_dir("other"));
	file("work", "template=tpl\nprivate=/dev/y\n");
	assert_true(load("work") && !c.trusted);
	assert_string_equal(vmconf_forbidden(&c), "/dev/x");
	file("work", "template=tpl\nprivate=/dev/y\nname=work\n");
	assert_int_equal(chmod(in_dir("work"), 0664), 0);
	assert_true(load("work") && !c.trusted);
	assert_non_null(vmconf_forbidden(&c));
	/* it names none of the paths itself */
	file("work", "template=tpl\nlabel=red\n");
	assert_true(load("work") && c.trusted);
	assert_int_equal(chown(in_dir("tpl"), 4242, 0), 0);
	assert_true(load("work") && !c.trusted);
	assert_string_equal(vmconf_forbidden(&c), "/dev/x");
	file("tpl", "type=TemplateVM\nroot=/var/lib/qubes/x/../../y\n");
	assert_true(load("work"));
	assert_non_null(vmconf_forbidden(&c));
	file("tpl", "type=TemplateVM\nroot=/var/lib/qubes/x..\nkernel=k1\n");
	assert_true(load("work"));
	assert_null(vmconf_forbidden(&c));
	file("tpl", "type=TemplateVM\nkernel=/boot\n");
	assert_true(load("work"));
	assert_string_equal(vmconf_forbidden(&c), "/boot");
	file("tpl", "type=TemplateVM\nkernel=/var/lib/qubes/appvms/x\n");
	assert_true(load("work"));
	assert_string_equal(vmconf_forbidden(&c), "/var/lib/qubes/appvms/x");
	file("tpl", "type=TemplateVM\nkernel=" VM_KERNELS "/k1\n");
	assert_true(load("work"));
	assert_null(vmconf_forbidden(&c));
	unlink(in_dir("tpl"));
	unlink(in_dir("work"));
	assert_int_equal(symlink("/etc/shadow", in_dir("work")), 0);
	assert_false(load("work"));
	assert_string_equal(e.text, "not a file of its own");
	unlink(in_dir("work"));
}

static void
limits(void **state)
{
	static char big[65600];
	char line[4096] = "tags=";

	memset(big, '\n', sizeof(big));
	put_file("work", big, 65536);
	assert_true(load("work"));
	put_file("work", big, 65537);
	assert_false(load("work"));
	assert_string_equal(e.text, "longer than 64 KiB");
	assert_false(vmconf_parse(&c, "x", big, 65537, &e));
	put_file("work", "label=red\0", 10);
	assert_false(load("work"));
	for (int i = 0; i < VM_TAGS; i++)
		snprintf(line + strlen(line), 16, " t%d", i);
	file("work", line);
	assert_true(load("work"));
	assert_int_equal(c.ntags, VM_TAGS);
	strcat(line, " one-more");
	file("work", line);
	assert_false(load("work"));
	snprintf(line, sizeof(line), "tags=%063d\ndefault_user=a%030d\n", 0, 0);
	file("work", line);
	assert_true(load("work"));
	snprintf(line, sizeof(line), "tags=%064d\n", 0);
	file("work", line);
	assert_false(load("work"));
	snprintf(line, sizeof(line), "default_user=a%031d\n", 0);
	file("work", line);
	assert_false(load("work"));
	snprintf(line, sizeof(line), "root=/%0255d\n", 0);
	file("work", line);
	assert_false(load("work"));
	assert_string_equal(e.text, "root: too long");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(built_in_values),
	    cmocka_unit_test(every_key),
	    cmocka_unit_test(domain_keys),
	    cmocka_unit_test(features),
	    cmocka_unit_test(inheritance),
	    cmocka_unit_test(disposable_default_is_its_template_QSB_047),
	    cmocka_unit_test(management_is_never_the_default_QSB_045),
	    cmocka_unit_test(templates_that_fail),
	    cmocka_unit_test(dom0),
	    cmocka_unit_test(names_of_no_qube),
	    cmocka_unit_test(bad_lines_say_file_and_line),
	    cmocka_unit_test(keys_of_disposables_and_volumes),
	    cmocka_unit_test(loops_of_netvms),
	    cmocka_unit_test(with_and_without_a_cache),
	    cmocka_unit_test(who_wrote_it),
	    cmocka_unit_test(limits),
	};

	return cmocka_run_group_tests_name("vmconf", tests, NULL, rm_test_dir);
}
