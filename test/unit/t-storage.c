/* SPDX-License-Identifier: ISC */
/* Volumes: who may use which, names, former states, links that somebody planted. */
#include "storage-place.h"

static void
define(const char *name, const char *more)
{
	char text[512];

	snprintf(text, sizeof text,
	    "label = red\nroot_size = 1\nprivate_size = 1\nvolatile_size = 1\n%s", more);
	write_conf(name, text);
}

static void
make(const char *name, const char *more)
{
	struct vmconf *c;

	define(name, more);
	c = conf(name);
	shell("rm %s/%s", etc, name);
	if (storage_create(c, NULL) != NULL)
		fail_msg("%s: %s", store.why, strerror(errno));
	define(name, more);
	storage_done();
}

static int
fresh(void **unused)
{
	unlock_all();
	shell("rm -rf %s %s %s; mkdir -p %s/appvms %s/vm-templates %s %s", var, etc, run, var, var,
	    etc, run);
	store.var = var;
	store.etc = etc;
	store.state = run;
	store.pending[0] = '\0';
	make("t", "type = TemplateVM\n");
	make("a", "template = t\n");
	return 0;
}

static bool
there(const char *what)
{
	char path[256];
	struct stat st;

	snprintf(path, sizeof path, "%s/%s", var, what);
	return lstat(path, &st) == 0;
}

static struct storage_disks disks;

static const char *
start(const char *name)
{
	const char *e = storage_start(conf(name), &disks, NULL);

	storage_close(&disks);
	return e;
}

/* In another process: what it is told, as an exit code of its own. */
static int
elsewhere(const char *(*fn)(void))
{
	int status;
	const pid_t pid = fork();

	if (pid == 0) {
		store.locks = -1;
		_exit(fn() == NULL ? 0 : errno ? errno : 255);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WEXITSTATUS(status);
}

static const char *
start_a(void)
{
	return start("a");
}
static const char *
resize_a(void)
{
	return storage_resize(conf("a"), VOL_PRIVATE, 2 * MIB);
}
static const char *
remove_a(void)
{
	return storage_remove("a");
}
static const char *
clone_a(void)
{
	struct vmconf *c = conf("a");

	snprintf(c->name, sizeof c->name, "n");
	return storage_clone(conf("a"), c, NULL);
}
static const char *
create_a(void)
{
	return storage_create(conf("a"), NULL);
}

/* While a keeper has its volumes nobody else changes or uses them; nor while its state says that it
 * runs. */
static void
one_writer(void **unused)
{
	assert_null(start("a"));
	assert_int_not_equal(elsewhere(start_a), 0);
	assert_int_equal(elsewhere(resize_a), EBUSY);
	assert_int_equal(elsewhere(clone_a), EBUSY);
	assert_int_not_equal(elsewhere(remove_a), 0);
	unlock_all(); /* the keeper is killed; the qube runs */
	shell("touch %s/a", run);
	assert_int_equal(elsewhere(resize_a), EBUSY);
	assert_int_equal(elsewhere(clone_a), EBUSY);
	assert_int_equal(elsewhere(remove_a), EBUSY);
	shell("rm %s/a", run);
	storage_stop(conf("a"), true);
	assert_int_equal(elsewhere(resize_a), 0);
}

static void
names(void **unused)
{
	assert_int_equal(elsewhere(create_a), EEXIST);
	/* two at once: the first has it until it says that it is done */
	shell("rm %s/a && rm -r %s/appvms/a", etc, var);
	define("a", "template = t\n");
	struct vmconf c = *conf("a");

	shell("rm %s/a", etc);
	assert_null(storage_create(&c, NULL));
	define("a", "template = t\n");
	assert_int_equal(elsewhere(create_a), EBUSY);
	assert_true(there("appvms/.a.ready") && !there("appvms/a"));
	storage_done();
	assert_true(there("appvms/a") && !there("appvms/.a.ready"));
	/* QSB-050: its file is gone, by whatever way: a new one does not get its volumes */
	shell("touch %s/appvms/a/mark && rm %s/a", var, etc);
	assert_null(storage_create(&c, NULL));
	define("a", "template = t\n");
	storage_done();
	assert_false(there("appvms/a/mark"));
	assert_true(there("appvms/.a.orphan-1/mark"));
	/* its file could not be written */
	snprintf(c.name, sizeof c.name, "b");
	assert_null(storage_create(&c, NULL));
	assert_null(storage_remove("b"));
	storage_done();
	assert_false(there("appvms/.b.ready") || there("appvms/b"));
	assert_null(storage_remove("nosuch"));
	snprintf(c.type, sizeof c.type, "RemoteVM");
	assert_null(storage_create(&c, NULL));
	storage_done();
	assert_false(there("appvms/b"));
}

static void
generations(void **unused)
{
	struct revision r[STORAGE_REVISIONS];
	struct volume v[VOL_N];

	assert_null(start("a"));
	for (int i = 0; i < 3; i++) {
		assert_null(start("t"));
		storage_stop(conf("t"), true);
	}
	/* what a uses, and one former state */
	assert_int_equal(storage_revisions(conf("t"), VOL_ROOT, r), 2);
	assert_int_equal(r[0].number, 3);
	assert_int_equal(r[1].number, 1);
	assert_int_equal(storage_list(conf("a"), v), VOL_N);
	assert_true(v[VOL_ROOT].is_outdated);
	assert_string_equal(v[VOL_ROOT].source, "vm-templates/t/root");
	assert_string_equal(v[VOL_PRIVATE].vid, "appvms/a/private");
	storage_stop(conf("a"), true);
	storage_stop(conf("a"), true);
	assert_false(there("appvms/a/root" SUFFIX));
	assert_int_equal(storage_list(conf("a"), v), VOL_N);
	assert_false(v[VOL_ROOT].is_outdated);
	/* an end that was none, then a revert: what was written is a former state */
	assert_null(start("t"));
	storage_stop(conf("t"), false);
	assert_true(there("vm-templates/t/root.dirty" SUFFIX));
	assert_null(storage_revert(conf("t"), VOL_ROOT, 3));
	assert_false(there("vm-templates/t/root.dirty" SUFFIX));
	assert_non_null(storage_revert(conf("t"), VOL_ROOT, 99));
	assert_non_null(storage_revert(conf("a"), VOL_ROOT, 0));
	assert_null(storage_resize(conf("a"), VOL_PRIVATE, 3 * MIB));
	assert_non_null(storage_resize(conf("a"), VOL_PRIVATE, MIB / 2));
	assert_int_equal(errno, ERANGE);
}

/* A member of the group makes links where storage works: none is followed. */
static void
planted(void **unused)
{
	static const char *const where[] = {"appvms/.b.new", "appvms/.b.ready", "appvms/b",
	    "appvms/a/private" SUFFIX, "appvms/a/private@1" SUFFIX, "appvms/a/private.snap" SUFFIX,
	    "appvms/a/root" SUFFIX, "appvms/a/volatile" SUFFIX, "appvms/a/.root" SUFFIX ".link",
	    "vm-templates/t/root@1" SUFFIX, "vm-templates/t/root.dirty" SUFFIX,
	    "vm-templates/t/.root@2" SUFFIX ".part", "vm-templates/t"};

	for (size_t i = 0; i < NELEM(where); i++) {
		struct vmconf *c;

		fresh(NULL);
		shell("rm -rf %s.keep; mkdir -p %s.keep/d; echo keep >%s.keep/f", var, var, var);
		shell("rm -rf %s/%s; ln -s %s.keep%s %s/%s", var, where[i], var,
		    IMAGES && i > 2 ? "/f" : "", var, where[i]);
		c = conf("a");
		snprintf(c->name, sizeof c->name, "b");
		(void)storage_create(c, NULL);
		storage_done();
		(void)start("a");
		if (!IMAGES)
			for (int id = 0; id < VOL_N; id++)
				assert_null(strstr(disks.disk[id].path, ".keep"));
		storage_stop(conf("a"), true);
		(void)start("t");
		storage_stop(conf("t"), true);
		storage_sweep();
		(void)storage_remove("b");
		shell("rm %s/a", etc);
		(void)storage_remove("a");
		unlock_all();
		shell(
		    "[ \"$(cat %s.keep/f)\" = keep ] && [ -d %s.keep/d ] && [ \"$(ls %s.keep | wc "
		    "-l)\" = 2 ]",
		    var, var, var);
	}
	shell("rm -rf %s.keep", var);
}

static void
keys(void **unused)
{
	char text[256];

	/* a file that is not root's alone */
	shell("mkdir %s/k; touch %s/k/f", run, run);
	snprintf(text, sizeof text, "name = k\ntemplate = t\nprivate = %s/k\n", run);
	define("k", text);
	shell("chmod 666 %s/k", etc);
	assert_non_null(start("k"));
	assert_int_equal(errno, 0);
	unlock_all();
	shell("chmod 644 %s/k", etc);
	assert_null(start("k"));
	assert_string_equal(disks.disk[VOL_PRIVATE].path + strlen(run), "/k");
	assert_false(disks.disk[VOL_PRIVATE].whole);
	storage_stop(conf("k"), true);
}

static void
odd(void **unused)
{
	struct gens g;
	const int dir = open_qube("t", true);

	/* names that only look like generations */
	shell("cd %s/vm-templates/t && touch 'root@' 'root@0%s' 'root@01%s' 'root@-1%s' "
	      "'root@99999999999%s' 'root@1x%s' 'roots@1%s' 'root@2.bak'",
	    var, SUFFIX, SUFFIX, SUFFIX, SUFFIX, SUFFIX, SUFFIX);
	assert_true(gens_read(dir, VOL_ROOT, &g));
	assert_int_equal(g.n, 1);
	assert_int_equal(g.current, 1);
	assert_int_equal(g.next, 2);
	/* a link to nothing, out of it, to something else */
	static const char *const targets[] = {
	    "root@7" SUFFIX, "../t/root@1" SUFFIX, "/etc", "private@1"};

	for (size_t i = 0; i < NELEM(targets); i++) {
		shell("ln -sfn %s %s/vm-templates/t/root%s", targets[i], var, SUFFIX);
		assert_true(gens_read(dir, VOL_ROOT, &g));
		assert_int_equal(g.current, 0);
	}
	close(dir);
}

static int
setup(void **unused)
{
	log_open("storage", NULL);
	assert_int_equal(freopen("/dev/null", "w", stderr) == NULL, 0);
	umask(077);
	snprintf(var, sizeof var, "%s/var", test_dir());
	snprintf(etc, sizeof etc, "%s/etc", test_dir());
	snprintf(run, sizeof run, "%s/run", test_dir());
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test_setup(one_writer, fresh),
	    cmocka_unit_test_setup(names, fresh), cmocka_unit_test_setup(generations, fresh),
	    cmocka_unit_test(planted), cmocka_unit_test_setup(keys, fresh),
	    cmocka_unit_test_setup(odd, fresh)};

	return cmocka_run_group_tests(tests, setup, rm_test_dir);
}
