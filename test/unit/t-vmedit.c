/* SPDX-License-Identifier: ISC */
#include "tap.h"

#include <dirent.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "cut.h"
#include "vmedit.h"

static struct vmconf_error e;

static void
file(const char *name, const char *text)
{
	put_file(name, text, strlen(text));
}

static const char *
text_of(const char *name)
{
	static char b[70000];
	const int fd = open(in_dir(name), O_RDONLY);
	ssize_t n = fd >= 0 ? read(fd, b, sizeof(b) - 1) : -1;

	if (fd >= 0)
		close(fd);
	if (n < 0)
		return NULL;
	b[n] = '\0';
	return b;
}

static bool
set(const char *name, const char *key, const char *val)
{
	const int d = open_test_dir();
	bool ok;
	int err;

	memset(&e, 0, sizeof(e));
	ok = vmedit_set(d, name, key, val, &e);
	err = errno;
	close(d);
	errno = err;
	return ok;
}

static bool
create(const char *name, const char *text)
{
	const int d = open_test_dir();
	bool ok = vmedit_create(d, name, text, &e);
	const int err = errno;

	close(d);
	errno = err;
	return ok;
}

static void
comments_and_order_stay(void **state)
{
	static const struct {
		const char *before, *key, *val, *after;
	} t[] = {
	    {"# head\n\nlabel = red\t# why\n\tmemory=300\n# tail", "label", "blue",
		"# head\n\nlabel = blue\t# why\n\tmemory=300\n# tail"},
	    {"# head\nlabel = red\nmemory = 300 # much\n", "memory", NULL, "# head\nlabel = red\n"},
	    {"label = red\n  memory\t= 300 # much", "memory", "64",
		"label = red\n  memory\t= 64 # much"},
	    {"", "label", "blue", "label = blue\n"},
	    {"# no newline", "label", "blue", "# no newline\nlabel = blue\n"},
	    {"netvm=\n", "netvm", "n", "netvm=n\n"},
	    {"netvm=# none\n", "netvm", "n", "netvm=n # none\n"},
	    {"netvm = # none\n", "netvm", "n", "netvm = n # none\n"},
	    {"netvm = n # none\n", "netvm", "", "netvm =  # none\n"},
	    {"# label = red\nlabel=green\n", "label", "blue", "# label = red\nlabel=blue\n"},
	    {"label=green\n", "memory", NULL, "label=green\n"},
	    {"feature.a = x\nfeature.ab = y\n", "feature.a", "", "feature.a = \nfeature.ab = y\n"},
	    {"feature.a = x = y # z\n", "feature.a", "u = v w", "feature.a = u = v w # z\n"},
	    {"kernelopts = a#b\n", "kernelopts", "c#d", "kernelopts = c#d\n"},
	};

	file("n", "provides_network=1\n");
	for (size_t i = 0; i < NELEM(t); i++) {
		file("work", t[i].before);
		if (!set("work", t[i].key, t[i].val))
			fail_msg("%zu: %s:%u: %s", i, e.file, e.line, e.text);
		assert_string_equal(text_of("work"), t[i].after);
	}
}

/* Whatever a line looked like: what is set is what is read, and nothing else has changed. */
static void
what_is_set_is_read(void **state)
{
	static const char *const lines[] = {"feature.x=", "feature.x =", " feature.x = a b ",
	    "feature.x=#", "feature.x= #c", "feature.x =\t#c # d", "feature.x = a#b",
	    "feature.x = a #b", "feature.x==", "feature.x = = #=", "\tfeature.x\t=\tv\t#", "",
	    "# feature.x = a", "feature.xx = a", "#"};
	static const char *const vals[] = {
	    "", "v", "a b", "a#b", "=", "a = b", "\xc3\xa4", "a#", NULL};
	struct buf old = {.max = 4096}, new = {.max = 4096};
	char got[64];

	for (size_t i = 0; i < NELEM(lines) * NELEM(vals) * 2; i++) {
		const char *line = lines[i / 2 % NELEM(lines)], *val = vals[i / 2 / NELEM(lines)];
		static struct vmconf c;

		memset(&c, 0, sizeof(c));
		assert_true(buf_printf(&old, "feature.a = 1 # one%s%s%s",
		    line[0] != '\0' ? "\n" : "", line, i % 2 ? "\nfeature.b = 2\n" : ""));
		assert_true(vmedit_line(&old, "feature.x", val, &new));
		if (!vmconf_parse(&c, "f", (const char *)buf_bytes(&new), new.len, &e))
			fail_msg("'%s' to '%s': %s", line, val, e.text);
		assert_string_equal(vmconf_feature(&c, "a"), "1");
		if (i % 2)
			assert_string_equal(vmconf_feature(&c, "b"), "2");
		assert_int_equal(vmedit_value(&new, "feature.x", got, sizeof(got)), val != NULL);
		if (val != NULL)
			assert_string_equal(got, val);
		if (val == NULL)
			assert_null(vmconf_feature(&c, "x"));
		else
			assert_string_equal(vmconf_feature(&c, "x"), val);
		buf_free(&old);
		buf_free(&new);
	}
}

static void
what_is_refused_changes_nothing(void **state)
{
	static const struct {
		const char *name, *key, *val, *text;
		int err;
		unsigned line;
	} t[] = {
	    {"nosuch", "label", "red", "no such qube", ENOENT, 0},
	    {"../work", "label", "red", "not a qube's name", EINVAL, 0},
	    {"", "label", "red", "not a qube's name", EINVAL, 0},
	    {".lock", "label", "red", "not a qube's name", EINVAL, 0},
	    {"a/b", "label", "red", "not a qube's name", EINVAL, 0},
	    {"x\ny", "label", "red", "not a qube's name", EINVAL, 0},
	    {"none", "label", "red", "not a qube's name", EINVAL, 0},
	    {"work-dm", "label", "red", "not a qube's name", EINVAL, 0},
	    {"abcdefghijabcdefghijabcdefghijab", "label", "red", "not a qube's name", EINVAL, 0},
	    {"work", "lable", "red", "unknown key lable (label is meant?)", EINVAL, 2},
	    {"work", "a b", "red", "not a key", EINVAL, 0},
	    {"work", "#", "red", "not a key", EINVAL, 0},
	    {"work", "label\nmemory", "64", "not a key", EINVAL, 0},
	    {"work", "memory", "64\nvcpus = 9", "a value is one line", EINVAL, 0},
	    {"work", "memory", "lots", "memory: not a number of MiB from 32 to 1048576", EINVAL, 2},
	    {"work", "memory", " 64", "a value may not begin or end with a blank", EINVAL, 0},
	    {"work", "kernelopts", "a #b",
		"a value may not hold # at its start or after a blank: a comment begins there",
		EINVAL, 0},
	    {"work", "label", "#red",
		"a value may not hold # at its start or after a blank: a comment begins there",
		EINVAL, 0},
	    {"work", "feature.x", "\xc3", "not text: a NUL or control byte, or no UTF-8", EINVAL,
		2},
	    {"work", "feature.x", "a\033b", "not text: a NUL or control byte, or no UTF-8", EINVAL,
		2},
	    {"work", "netvm", "work", "netvm: a loop: work is its own netvm by way of work", EINVAL,
		2},
	    {"work", "template", "nosuch", "no such qube", EINVAL, 0},
	    {"work", "clockvm", "work", "this key may stand only in the defaults", EINVAL, 2},
	    {"defaults", "label", "red", "this key may not stand in the defaults", EINVAL, 1},
	};

	for (size_t i = 0; i < NELEM(t); i++) {
		file("defaults", "");
		file("work", "label = green\n");
		assert_false(set(t[i].name, t[i].key, t[i].val));
		if (errno != t[i].err || strcmp(e.text, t[i].text) != 0 || e.line != t[i].line)
			fail_msg("%zu: errno %d, %u: %s", i, errno, e.line, e.text);
		assert_string_equal(text_of("work"), "label = green\n");
		assert_string_equal(text_of("defaults"), "");
		assert_null(text_of(".work.new"));
	}
	/* a file that is wrong already says so and can be put right */
	file("work", "memory = x\nlabel = green\n");
	assert_false(set("work", "label", "red"));
	assert_int_equal(e.line, 1);
	assert_true(set("work", "memory", "64"));
	assert_string_equal(text_of("work"), "memory = 64\nlabel = green\n");
}

static void
loops_of_netvms(void **state)
{
	file("defaults", "");
	file("a", "provides_network=1\n");
	file("b", "provides_network=1\nnetvm = a\n");
	file("c", "provides_network=1\nnetvm = b\n");
	assert_false(set("a", "netvm", "c"));
	assert_string_equal(e.text, "netvm: a loop: a is its own netvm by way of b");
	assert_string_equal(text_of("a"), "provides_network=1\n");
	/* by the machine's default; a disposable's by its template */
	file("work", "template_for_dispvms=1\n");
	file("disp1", "type=DispVM\ntemplate=work\nprovides_network=1\n");
	file("x", "provides_network=1\nnetvm=disp1\n");
	assert_false(set("work", "netvm", "x"));
	assert_non_null(strstr(e.text, "netvm: a loop"));
	assert_false(set("defaults", "netvm", "x"));
	assert_non_null(strstr(e.text, "netvm: a loop"));
	assert_true(set("defaults", "netvm", "a"));
	/* one that is wrong already does not keep the others */
	file("wrong", "lable=red\n");
	assert_true(set("defaults", "netvm", "b"));
	for (const char *const *p =
		 (const char *const[]){"a", "b", "c", "x", "disp1", "work", "wrong", NULL};
	     *p != NULL; p++)
		unlink(in_dir(*p));
	file("defaults", "");
}

static void
made_once(void **state)
{
	int status, won = 0;

	assert_true(create("new", "label = blue\n"));
	assert_string_equal(text_of("new"), "label = blue\n");
	assert_false(create("new", "label = red\n"));
	assert_int_equal(errno, EEXIST);
	assert_string_equal(text_of("new"), "label = blue\n");
	assert_false(create("bad", "lable = red\n"));
	assert_int_equal(errno, EINVAL);
	assert_null(text_of("bad"));
	assert_null(text_of(".bad.new"));
	assert_false(create("bad", "template = nosuch\n"));
	assert_null(text_of("bad"));
	/* what a cut left */
	file(".left.new", "half");
	assert_true(create("left", "label = blue\n"));
	assert_null(text_of(".left.new"));
	/* many at once: one wins */
	for (int i = 0; i < 8; i++)
		if (fork() == 0)
			_exit(create("race", i % 2 ? "label = blue\n" : "label = red\n") ? 0 : 1);
	for (int i = 0; i < 8; i++) {
		assert_true(wait(&status) > 0);
		won += status == 0;
	}
	assert_int_equal(won, 1);
	assert_non_null(text_of("race"));
}

static void
removed(void **state)
{
	const int d = open_test_dir();

	file("gone", "label = red\n");
	file(".gone.new", "half");
	assert_true(vmedit_remove(d, "gone", &e));
	assert_null(text_of("gone"));
	assert_null(text_of(".gone.new"));
	assert_non_null(text_of(".gone.gone")); /* until its volumes are */
	assert_false(vmedit_remove(d, "gone", &e));
	assert_int_equal(errno, ENOENT);
	close(d);
}

static void
count_use(void *arg, const char *by, const char *key)
{
	char *all = arg;

	snprintf(all + strlen(all), 200 - strlen(all), "%s:%s ", by, key);
}

static void
what_others_name_stays(void **state)
{
	const int d = open_test_dir();
	char who[200] = "";

	file("tpl", "type=TemplateVM\n");
	file("work", "template=tpl # here\n");
	file("old", "lable=x\ndefault_dispvm = tpl\n"); /* a wrong file counts too */
	file("mail", "# template = tpl\nfeature.x = tpl\n");
	assert_false(vmedit_remove_unused(d, "tpl", count_use, who, &e));
	assert_int_equal(errno, EBUSY);
	assert_true(strcmp(who, "work:template old:default_dispvm ") == 0 ||
		    strcmp(who, "old:default_dispvm work:template ") == 0);
	unlink(in_dir("work"));
	unlink(in_dir("old"));
	file("defaults", "default_template = tpl\n");
	who[0] = '\0';
	assert_false(vmedit_remove_unused(d, "tpl", count_use, who, &e));
	assert_string_equal(who, "defaults:default_template ");
	file("defaults", "");
	assert_true(vmedit_remove_unused(d, "tpl", count_use, who, &e));
	assert_null(text_of("tpl"));
	unlink(in_dir("mail"));
	close(d);
}

#define WRITERS 12
#define TIMES 8

/* Many processes, each with a key, a tag and a feature of its own: nothing is lost. */
static void
many_at_once(void **state)
{
	static const char *const keys[WRITERS] = {"memory", "vcpus", "qrexec_timeout",
	    "shutdown_timeout", "private_size", "root_size", "volatile_size", "maxmem", "prepare",
	    "revisions_to_keep", "memory", "vcpus"};
	char name[32], val[32];
	const int d = open_test_dir();
	struct vmconf c;
	int status;

	file("busy", "# keep me\nlabel = green\n");
	for (int i = 0; i < WRITERS; i++) {
		if (fork() != 0)
			continue;
		for (int j = 1; j <= TIMES; j++) {
			snprintf(val, sizeof(val), "%d", i < 10 ? j : 0);
			if (i == 0 || i == 10)
				snprintf(val, sizeof(val), "%d", 32 + TIMES);
			if (i == 11)
				snprintf(val, sizeof(val), "%d", TIMES);
			snprintf(name, sizeof(name), "feature.f%d", i);
			if (!vmedit_set(d, "busy", keys[i], val, &e) ||
			    !vmedit_set(d, "busy", name, val, &e))
				_exit(1);
			snprintf(name, sizeof(name), "t%d", i);
			if (!vmedit_tag(d, "busy", name, true, &e) ||
			    !vmedit_tag(d, "busy", "shared", j % 2, &e))
				_exit(1);
		}
		_exit(0);
	}
	for (int i = 0; i < WRITERS; i++) {
		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	assert_int_equal(strncmp(text_of("busy"), "# keep me\nlabel = green\n", 24), 0);
	if (!vmconf_load(d, "busy", &c, &e))
		fail_msg("%s:%u: %s", e.file, e.line, e.text);
	assert_int_equal(c.ntags, WRITERS + (c.ntags > WRITERS));
	assert_int_equal(c.qrexec_timeout, TIMES);
	assert_int_equal(c.shutdown_timeout, TIMES);
	assert_int_equal(c.private_size, TIMES);
	assert_int_equal(c.prepare, TIMES);
	assert_int_equal(c.memory, 32 + TIMES);
	for (int i = 0; i < WRITERS; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		assert_non_null(vmconf_feature(&c, name));
	}
	close(d);
}

static void
tags(void **state)
{
	const int d = open_test_dir();

	file("work", "label = red\n tags = a  bc\tabc # why\n");
	assert_true(vmedit_tag(d, "work", "d", true, &e));
	assert_string_equal(text_of("work"), "label = red\n tags = a bc abc d # why\n");
	assert_true(vmedit_tag(d, "work", "bc", false, &e));
	assert_true(vmedit_tag(d, "work", "nosuch", false, &e));
	assert_string_equal(text_of("work"), "label = red\n tags = a abc d # why\n");
	assert_false(vmedit_tag(d, "work", "x y", true, &e));
	assert_false(vmedit_tag(d, "work", "", true, &e));
	assert_false(vmedit_tag(d, "work", "x,y", true, &e));
	assert_int_equal(e.line, 2);
	assert_true(vmedit_tag(d, "work", "a", false, &e) &&
		    vmedit_tag(d, "work", "abc", false, &e) &&
		    vmedit_tag(d, "work", "d", false, &e));
	assert_string_equal(text_of("work"), "label = red\n");
	close(d);
}

static void
owner_and_mode_stay(void **state)
{
	struct stat st;

	if (geteuid() != 0)
		skip();
	file("work", "label = red\n");
	assert_int_equal(chown(in_dir("work"), 4242, 598), 0);
	assert_int_equal(chmod(in_dir("work"), 0640), 0);
	/* what a person wrote does not become root's by root's changing a line of it */
	assert_true(set("work", "label", "blue"));
	assert_int_equal(stat(in_dir("work"), &st), 0);
	assert_int_equal(st.st_uid, 4242);
	assert_int_equal(st.st_gid, 598);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_false(set("work", "private", "/dev/sda"));
	assert_int_equal(errno, EPERM);
	assert_true(set("work", "private", "/var/lib/qubes/appvms/x.img"));
	unlink(in_dir("work"));
	file("work", "label = red\n");
	assert_true(set("work", "private", "/dev/sda"));
	unlink(in_dir("work"));
	assert_int_equal(symlink("target", in_dir("work")), 0);
	file("target", "label = red\n");
	assert_false(set("work", "label", "blue"));
	unlink(in_dir("work"));
	unlink(in_dir("target"));
}

/* One change each, as a process of its own that can be cut. */
static const char *const changes[] = {"create", "set", "remove"};

static pid_t
started(const char *what)
{
	const pid_t pid = fork();
	int d;
	bool ok;

	if (pid != 0)
		return pid;
	d = open_test_dir();
	setpgid(0, 0);
	ptrace(PTRACE_TRACEME, 0, 0, 0);
	raise(SIGSTOP);
	if (strcmp(what, "create") == 0)
		ok = vmedit_create(d, "cut", "label = blue\n", &e);
	else if (strcmp(what, "set") == 0)
		ok = vmedit_set(d, "cut", "label", "blue", &e);
	else
		ok = vmedit_remove(d, "cut", &e);
	_exit(ok ? 0 : 1);
}

/* After a cut at any point: the old one or the new one, and the next change goes as always. */
static void
power_cut_at_every_operation(void **state)
{
	static const char old[] = "# old\nlabel = red\n";
	const char *before, *after, *now;
	unsigned all;
	int status;

	for (size_t i = 0; i < NELEM(changes); i++) {
		before = i == 0 ? NULL : old;
		after = i == 0 ? "label = blue\n" : i == 1 ? "# old\nlabel = blue\n" : NULL;
		all = 1;
		for (unsigned at = 1; at <= all + 1; at++) {
			unlink(in_dir("cut"));
			if (before != NULL)
				file("cut", before);
			all = cut_trace(started(changes[i]), at, &status);
			now = text_of("cut");
			if (all < at) { /* it came to its end */
				assert_int_equal(status, 0);
				assert_true(after == NULL ? now == NULL : strcmp(now, after) == 0);
				break;
			}
			all++;
			if (now == NULL)
				assert_true(before == NULL || after == NULL);
			else
				assert_true((before != NULL && strcmp(now, before) == 0) ||
					    (after != NULL && strcmp(now, after) == 0));
			unlink(in_dir("cut"));
			assert_true(create("cut", "label = green\n"));
			assert_true(set("cut", "label", "black"));
			assert_null(text_of(".cut.new"));
		}
		assert_true(all >= (i == 2 ? 3 : 6)); /* something was cut */
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(comments_and_order_stay),
	    cmocka_unit_test(what_is_set_is_read),
	    cmocka_unit_test(what_is_refused_changes_nothing),
	    cmocka_unit_test(loops_of_netvms),
	    cmocka_unit_test(made_once),
	    cmocka_unit_test(removed),
	    cmocka_unit_test(what_others_name_stays),
	    cmocka_unit_test(tags),
	    cmocka_unit_test(many_at_once),
	    cmocka_unit_test(owner_and_mode_stay),
	    cmocka_unit_test(power_cut_at_every_operation),
	};

	return cmocka_run_group_tests_name("vmedit", tests, NULL, rm_test_dir);
}
