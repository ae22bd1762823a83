/* SPDX-License-Identifier: ISC */
/*
 * Power that goes, and a disk that is full, at each change of a file that storage makes. For each
 * case and each place it is cut at a table says what was found afterwards, after a sweep and the
 * next start.
 */
#include "storage-place.h"

#include <sys/mount.h>

#include "storage/storage-ops.h"

/* A word in a volume: two files in the tree, or the first bytes of the image. */
static void
put(const char *volume, const char *word)
{
	static const char *const files[] = {"/word", "/zz/word"};
	char path[512];
	int fd;

	for (int i = 0; i < (IMAGES ? 1 : 2); i++) {
		if (i == 1)
			shell("mkdir -p %s/%s/zz", var, volume);
		snprintf(path, sizeof path, "%s/%s%s", var, volume, IMAGES ? "" : files[i]);
		fd = open(path, O_WRONLY | (IMAGES ? 0 : O_CREAT | O_TRUNC), 0644);
		assert_true(fd >= 0);
		assert_int_equal(pwrite(fd, word, 8, 0), 8);
		close(fd);
	}
	if (!IMAGES)
		shell("chown -R 2000000000:2000000000 %s/%s/", var, volume);
}

static const char *
word_of(const char *path, const char *file, char word[9])
{
	char full[512];
	int fd;

	snprintf(full, sizeof full, "%s%s", path, file);
	fd = open(full, O_RDONLY);
	memset(word, 0, 9);
	if (fd < 0 || read(fd, word, 8) < 0)
		strcpy(word, "-");
	if (fd >= 0)
		close(fd);
	return word;
}

static const char *
got(const char *path)
{
	static char word[4][9];
	static unsigned turn;
	char *w = word[turn++ % 4], second[9];

	if (IMAGES)
		return word_of(path, "", w);
	return strcmp(word_of(path, "/word", w), word_of(path, "/zz/word", second)) == 0 ? w
											 : "half";
}

/* t: state "one" is current; a: an AppVM of it, private "mine". */
static void
fresh(void)
{
	shell("rm -rf %s %s %s; mkdir -p %s %s/appvms %s/vm-templates %s %s", var, etc, run, var,
	    var, var, etc, run);
	store.var = var;
	store.etc = etc;
	store.state = run;
	storage_cut = (struct storage_cut){.report = -1};
	write_conf("t", "type = TemplateVM\nlabel = red\nroot_size = 1\nprivate_size = 1\n");
	write_conf("a", "template = t\nlabel = red\nprivate_size = 1\nvolatile_size = 1\n");
	write_conf("d", "type = DispVM\ntemplate = a\nlabel = red\n");
	for (int i = 0; i < 2; i++) {
		char name[] = {(char)(i ? 'a' : 't'), 0};
		const struct vmconf *c = conf(name);

		shell("rm %s/%s", etc, name);
		if (storage_create(c, NULL) != NULL)
			fail_msg("%s", store.why);
		write_conf(
		    name, i ? "template = t\nlabel = red\nprivate_size = 1\nvolatile_size = 1\n"
			    : "type = TemplateVM\nlabel = red\nroot_size = 1\nprivate_size = "
			      "1\n");
		storage_done();
	}
	put("vm-templates/t/root" SUFFIX, "one\0\0\0\0");
	put("appvms/a/private" SUFFIX, "mine\0\0\0");
}

static struct storage_disks disks;

static const char *
start(const char *name)
{
	const char *e = storage_start(conf(name), &disks, NULL);

	storage_close(&disks);
	return e;
}

/* What a qube would get; the keeper that took it is gone then. */
static const char *
sees(const char *name, enum volume_id id)
{
	const char *e = start(name);
	static char text[32];

	snprintf(text, sizeof text, "%s", e ? "refused" : got(disks.disk[id].path));
	unlock_all();
	return text;
}

/* The cases: what is done before, and what is cut. */

static void
nothing(void)
{
}

static const char *
create(void)
{
	struct vmconf *c = conf("a");
	const char *e;

	snprintf(c->name, sizeof c->name, "n");
	e = storage_create(c, NULL);
	if (!e) {
		op_step("vm.d file");
		write_conf("n", "template = t\nlabel = red\nprivate_size = 1\n");
	}
	storage_done();
	return e;
}

static const char *
clone(void)
{
	struct vmconf *c = conf("a");
	const struct vmconf *a = conf("a");
	const char *e;

	snprintf(c->name, sizeof c->name, "n");
	e = storage_clone(a, c, NULL);
	if (!e) {
		op_step("vm.d file");
		write_conf("n", "template = t\nlabel = red\nprivate_size = 1\n");
	}
	storage_done();
	return e;
}

static const char *
removal(void)
{
	const char *e;

	op_step("vm.d file");
	shell("rm %s/a", etc);
	e = storage_remove("a");
	unlock_all();
	return e;
}

static const char *
start_t(void)
{
	return start("t");
}

static void
written(void)
{
	assert_null(start("t"));
	put("vm-templates/t/root.dirty" SUFFIX, "two\0\0\0\0");
	unlock_all();
}

static const char *
commit(void)
{
	storage_stop(conf("t"), true);
	return NULL;
}

static const char *
start_a(void)
{
	return start("a");
}

static const char *
start_d(void)
{
	return start("d");
}

static void
runs_a(void)
{
	assert_null(start("a"));
	unlock_all();
}

static const char *
stop_a(void)
{
	storage_stop(conf("a"), true);
	return NULL;
}

static void
two_states(void)
{
	written();
	commit();
}

static const char *
revert(void)
{
	const char *e = storage_revert(conf("t"), VOL_ROOT, 1);

	unlock_all();
	return e;
}

static void
a_tree(void)
{
	shell("rm -rf %s/tree; mkdir -p %s/tree/zz; printf three >%s/tree/word; cp %s/tree/word "
	      "%s/tree/zz/",
	    run, run, run, run, run);
	if (IMAGES)
		shell("truncate -s 1M %s/tree/image; printf three | dd of=%s/tree/image "
		      "conv=notrunc status=none",
		    run, run);
}

static const char *
import(void)
{
	char path[256];
	const char *e;

	snprintf(path, sizeof path, "%s/tree%s", run, IMAGES ? "/image" : "");
	e = storage_import(conf("t"), path, NULL);
	unlock_all();
	return e;
}

struct outcome {
	const char *name;
	void (*before)(void);
	const char *(*act)(void);
	/* what the template's next AppVM may see, what a's private may be, n: what a's may become
	 */
	const char *root[3], *private[3], *n[3];
};

static const struct outcome cases[] = {
    {"create", nothing, create, {"one"}, {"mine"}, {"none", ""}},
    {"clone", nothing, clone, {"one"}, {"mine"}, {"none", "mine"}},
    {"remove", nothing, removal, {"one"}, {"mine", "gone"}, {"none"}},
    {"template's start", nothing, start_t, {"one"}, {"mine"}, {"none"}},
    {"template's start, one left", written, start_t, {"one"}, {"mine"}, {"none"}},
    {"commit", written, commit, {"one", "two"}, {"mine"}, {"none"}},
    {"AppVM's start", nothing, start_a, {"one"}, {"mine"}, {"none"}},
    {"AppVM's end", runs_a, stop_a, {"one"}, {"mine"}, {"none"}},
    {"disposable's start", nothing, start_d, {"one"}, {"mine"}, {"none"}},
    {"revert", two_states, revert, {"one", "two"}, {"mine"}, {"none"}},
    {"import over a root", a_tree, import, {"one", "three"}, {"mine"}, {"none"}},
};

static bool
among(const char *what, const char *const list[3])
{
	for (int i = 0; i < 3 && list[i]; i++)
		if (strcmp(list[i], what) == 0)
			return true;
	return false;
}

static bool
defined(const char *name)
{
	char path[256];

	snprintf(path, sizeof path, "%s/%s", etc, name);
	return access(path, F_OK) == 0;
}

static int
count(const char *what)
{
	char cmd[512];
	FILE *f;
	int n = -1;

	snprintf(cmd, sizeof cmd, "cd %s && find . %s | wc -l", var, what);
	f = popen(cmd, "r");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%d", &n), 1);
	pclose(f);
	return n;
}

/* What is there now; fails the test if that may not be. */
static void
look(const struct outcome *o, const char *cut, const char *how)
{
	char root[16], private[16] = "gone", n[16] = "none", dirty[16] = "";
	const bool a_left = defined("a");

	storage_sweep();
	unlock_all();
	if (!a_left)
		write_conf("a", "template = t\nlabel = red\nprivate_size = 1\nvolatile_size = 1\n");
	else
		snprintf(private, sizeof private, "%s", sees("a", VOL_PRIVATE));
	snprintf(root, sizeof root, "%s", sees("a", VOL_ROOT));
	if (defined("n"))
		snprintf(n, sizeof n, "%s", sees("n", VOL_PRIVATE));
	snprintf(dirty, sizeof dirty, "%s", sees("t", VOL_ROOT));
	/* it writes to a whole one */
	assert_true(strcmp(dirty, root) == 0 || strcmp(dirty, "two") == 0);
	if (o->before == written) /* what it has written is there, or seen */
		assert_string_equal(dirty, "two");
	/* nothing but whole volumes, and what may be kept of one whose file is gone */
	assert_int_equal(count("-name '.*.part' -o -name '.*.gone' -o -name '*.new' -o -name "
			       "'*.ready' -o -name '.*.link'"),
	    0);
	assert_int_equal(count("-path ./vm-templates/t/root@[0-9]*"
			       " -prune -a -name 'root@*'") > 4,
	    0);
	printf("#   %-27s %-7s before %-28s root %-6s private %-5s new %-5s\n", o->name, how, cut,
	    root, private, n);
	if (!among(root, o->root) || !among(private, o->private) ||
	    (!among(n, o->n) && strcmp(n, "-") != 0))
		fail_msg(
		    "%s cut at %s: root %s, private %s, new %s", o->name, cut, root, private, n);
	if (!a_left && o->act == removal && count("-name '.a.orphan-*'") == 0)
		assert_true(count("-path './appvms/a/private@1*'") >= 1);
}

/* Cuts it at operation at. false: it has fewer. */
static bool
cut_at(const struct outcome *o, unsigned at)
{
	char what[128] = "";
	int p[2], status;
	pid_t pid;
	ssize_t n;

	fresh();
	o->before();
	assert_int_equal(pipe(p), 0);
	pid = fork();
	if (pid == 0) {
		storage_cut = (struct storage_cut){.at = at, .report = p[1]};
		o->act();
		_exit(0);
	}
	close(p[1]);
	n = read(p[0], what, sizeof what - 1);
	close(p[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 0)
		return false;
	assert_int_equal(WEXITSTATUS(status), STORAGE_CUT_EXIT);
	assert_true(n > 0);
	unlock_all();
	look(o, what, "cut");
	return true;
}

/* The same where that operation fails, and the program goes on. */
static bool
full_at(const struct outcome *o, unsigned at)
{
	char what[128];
	const char *e;

	fresh();
	o->before();
	storage_cut = (struct storage_cut){.at = at, .err = ENOSPC, .report = -1};
	e = o->act();
	if (storage_cut.n < at)
		return false;
	snprintf(what, sizeof what, "%s", storage_cut.what);
	/* nothing says that all is well when it is not */
	if (e == NULL && (o->act == create || o->act == clone) &&
	    strncmp(what, "write vm.d", 10) != 0)
		assert_true(defined("n"));
	storage_cut = (struct storage_cut){.report = -1};
	unlock_all();
	look(o, what, "full");
	return true;
}

/* Each case, at each place until there is none any more. */
static void
everywhere(bool (*at_place)(const struct outcome *, unsigned))
{
	for (size_t i = 0; i < NELEM(cases); i++) {
		unsigned at = 1;

		while (at_place(&cases[i], at))
			at++;
		if (at == 1 && cases[i].before != written)
			fail_msg("%s: nothing to cut", cases[i].name);
	}
}

static void
power(void **unused)
{
	everywhere(cut_at);
}

static void
full(void **unused)
{
	everywhere(full_at);
}

static int
setup(void **unused)
{
	log_open("storage", NULL);
	assert_int_equal(freopen("/dev/null", "w", stderr) == NULL, 0);
	snprintf(var, sizeof var, "%s/var", test_dir());
	snprintf(etc, sizeof etc, "%s/etc", test_dir());
	snprintf(run, sizeof run, "%s/run", test_dir());
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(power), cmocka_unit_test(full)};

	if (!IMAGES && geteuid() != 0)
		return 77;
	return cmocka_run_group_tests(tests, setup, rm_test_dir);
}
