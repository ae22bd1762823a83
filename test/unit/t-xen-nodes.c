/* SPDX-License-Identifier: ISC */
/* A domain's nodes, over a xenstore of the test's own; whose disk may be used by whom; nothing is
 * left. */
#include "tap.h"

/* Xen's headers are written for GNU C. */
#undef __STRICT_ANSI__
#define __XEN_TOOLS__ 1
#define store_begin my_begin
#define store_end my_end
#define store_read my_read
#define store_number my_number
#define store_write my_write
#define store_rm my_rm
#define store_own my_own
#define store_list my_list
#define store_batch my_batch
#define store_flush my_flush
#define xc_domain_getinfo my_getinfo
#define now_us my_now_us
#include "xendom/xen-nodes.c"

#define NODES 512

static struct {
	char path[STORE_PATH_MAX], value[512], perms[16];
} nodes[NODES];
static size_t n;
static int again; /* commits that fail with EAGAIN */
static uint32_t dead;

static size_t
node(const char *path)
{
	size_t i = 0;

	while (i < n && strcmp(nodes[i].path, path) != 0)
		i++;
	return i;
}

static void
make(const char *path)
{
	char up[STORE_PATH_MAX], *slash;
	size_t i = node(path);

	if (i < n)
		return;
	assert_true(n < NODES && path[0] == '/');
	snprintf(up, sizeof up, "%s", path);
	slash = strrchr(up, '/');
	*slash = '\0';
	if (slash != up)
		make(up);
	i = slash != up ? node(up) : n;
	memset(&nodes[n], 0, sizeof nodes[n]);
	snprintf(nodes[n].path, STORE_PATH_MAX, "%s", path);
	snprintf(nodes[n].perms, sizeof nodes[n].perms, "%s", i < n ? nodes[i].perms : "n0");
	n++;
}

uint32_t
my_begin(struct store *s)
{
	return 1;
}

bool
my_end(struct store *s, uint32_t tx, bool commit)
{
	errno = EAGAIN;
	return again-- <= 0;
}

int
my_read(struct store *s, uint32_t tx, const char *path, char *out, size_t size)
{
	const size_t i = node(path);

	errno = ENOENT;
	if (i == n)
		return -1;
	return snprintf(out, size, "%s", nodes[i].value);
}

bool
my_number(struct store *s, uint32_t tx, const char *path, uint32_t max, uint32_t *out)
{
	char v[16];

	return my_read(s, tx, path, v, sizeof v) > 0 && parse_u32(v, max, out);
}

bool
my_write(struct store *s, uint32_t tx, const char *path, const char *fmt, ...)
{
	va_list ap;

	make(path);
	va_start(ap, fmt);
	vsnprintf(nodes[node(path)].value, 512, fmt, ap);
	va_end(ap);
	return true;
}

bool
my_rm(struct store *s, uint32_t tx, const char *path)
{
	const size_t len = strlen(path);

	for (size_t i = 0; i < n;) {
		if (strncmp(nodes[i].path, path, len) == 0 &&
		    (nodes[i].path[len] == '/' || nodes[i].path[len] == '\0'))
			nodes[i] = nodes[--n];
		else
			i++;
	}
	return true;
}

bool
my_own(struct store *s, uint32_t tx, const char *path, uint32_t owner, uint32_t reader)
{
	char *p = nodes[node(path)].perms;

	if (reader == STORE_NOBODY)
		snprintf(p, 16, "n%u", owner);
	else
		snprintf(p, 16, "n%u r%u", owner, reader);
	return true;
}

bool
my_list(struct store *s, uint32_t tx, const char *path, void (*fn)(const char *, void *), void *arg)
{
	const size_t len = strlen(path);
	static char names[NODES][64];
	size_t k = 0;

	errno = ENOENT;
	if (node(path) == n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (strncmp(nodes[i].path, path, len) == 0 && nodes[i].path[len] == '/' &&
		    !strchr(nodes[i].path + len + 1, '/'))
			snprintf(names[k++], 64, "%s", nodes[i].path + len + 1);
	for (size_t i = 0; i < k; i++)
		fn(names[i], arg);
	return true;
}

void
my_batch(struct store *s)
{
}

bool
my_flush(struct store *s)
{
	return true;
}

int
my_getinfo(xc_interface *x, uint32_t first, unsigned max, xc_dominfo_t *info)
{
	info->domid = first == dead ? first + 1 : first;
	return 1;
}

static struct vmconf conf;
static struct vm_state state;
static struct domain d = {.conf = &conf, .state = &state};
static struct xen x;

static void
domain(uint32_t domid, const char *name, const char *disk, bool write)
{
	memset(&x, 0, sizeof x);
	conf = (struct vmconf){.memory = 100, .vcpus = 2, .dispid = VM_NO_DISPID};
	snprintf(conf.name, sizeof conf.name, "%s", name);
	snprintf(conf.uuid, sizeof conf.uuid, "00000000-0000-0000-0000-00000000000%u", domid);
	snprintf(conf.mac, sizeof conf.mac, "00:16:3e:5e:6c:00");
	state = (struct vm_state){.domid = domid, .qid = 300, .session = "s"};
	for (int i = 0; i < XEN_DISKS; i++)
		x.disk[i].dev = "xvdx";
	snprintf(x.disk[1].id, sizeof x.disk[1].id, "%s", disk);
	x.disk[1].write = write;
	x.disk[1].major = 7;
	x.disk[1].minor = 255;
}

static const char *
value(const char *path)
{
	return node(path) < n ? nodes[node(path)].value : "(none)";
}

static const char *
perms(const char *path)
{
	return node(path) < n ? nodes[node(path)].perms : "(none)";
}

static void
all_nodes(void **unused)
{
	n = 0;
	again = 2;
	domain(5, "work", "f1-2", true);
	x.netvm = 3;
	x.store_gfn = 77;
	assert_null(nodes_make(&d, &x));
	assert_string_equal(value("/local/domain/5/name"), "work");
	assert_string_equal(value("/local/domain/5/memory/target"), "102400");
	assert_string_equal(value("/local/domain/5/cpu/1/availability"), "online");
	assert_string_equal(value("/local/domain/5/store/ring-ref"), "77");
	assert_string_equal(value("/local/domain/0/backend/vbd/5/51728/physical-device"), "7:ff");
	assert_string_equal(value("/local/domain/0/backend/vbd/5/51728/mode"), "w");
	assert_string_equal(value("/local/domain/5/device/vbd/51728/backend"),
	    "/local/domain/0/backend/vbd/5/51728");
	assert_string_equal(value("/local/domain/3/backend/vif/5/0/ip"), "10.137.1.47");
	assert_string_equal(value("/tool/cubicle/5/session"), "s");
	/* what the guest may write, and who sees what */
	assert_string_equal(perms("/local/domain/5"), "n0 r5");
	assert_string_equal(perms("/local/domain/5/console/port"), "n0 r5");
	assert_string_equal(perms("/local/domain/5/data"), "n5");
	assert_string_equal(perms("/local/domain/5/control/shutdown"), "n5");
	assert_string_equal(perms("/local/domain/5/device"), "n0 r5");
	assert_string_equal(perms("/local/domain/5/device/vbd/51728/state"), "n5 r0");
	assert_string_equal(perms("/local/domain/5/device/vif/0/mac"), "n5 r3");
	assert_string_equal(perms("/local/domain/3/backend/vif/5/0/state"), "n3 r5");
	assert_string_equal(perms("/local/domain/0/backend/vbd/5/51728/params"), "n0 r5");
	assert_string_equal(perms("/tool/cubicle/5/session"), "n0");
}

static void
nothing_left(void **unused)
{
	size_t before;

	n = 0;
	domain(3, "net", "", false);
	assert_null(nodes_make(&d, &x));
	my_write(NULL, 0, "/local/domain/3/data/vchan/0/512/ring-ref", "1");
	my_write(NULL, 0, "/local/domain/0/data/vchan/3/512/ring-ref", "1");
	my_write(NULL, 0, "/local/domain/0/backend/vbd/keep", "1");
	my_write(NULL, 0, "/local/domain/3/backend/vif/keep", "1");
	my_write(NULL, 0, "/tool/cubicle/disk/keep/9", "w");
	before = n;
	domain(5, "work", "f1-2", true);
	x.netvm = 3;
	assert_null(nodes_make(&d, &x));
	my_write(NULL, 0, "/local/domain/3/data/vchan/5/512/ring-ref", "1");
	my_write(NULL, 0, "/local/domain/0/data/vchan/5/512/ring-ref", "1");
	my_write(NULL, 0, "/local/domain/5/data/scribble/a/b/c", "1");
	assert_int_equal(nodes_find(&x, "work", -1), 5);
	assert_int_equal(nodes_find(&x, "work", 5), -1);
	nodes_remove(&x, 5, conf.uuid);
	assert_int_equal(nodes_find(&x, "work", -1), -1);
	assert_int_equal(n, before);
	assert_string_equal(value("/local/domain/0/data/vchan/3/512/ring-ref"), "1");
}

static void
disks(void **unused)
{
	const char *e;

	n = 0;
	dead = 0;
	domain(5, "work", "f1-2", true);
	assert_null(nodes_make(&d, &x));
	assert_null(disks_free(&x, 1, 5)); /* its own use is none that excludes it */
	domain(6, "vault", "f1-2", false);
	e = nodes_make(&d, &x);
	assert_non_null(e);
	assert_non_null(strstr(e, "in use by work"));
	assert_int_equal(errno, 0);
	domain(6, "vault", "f1-3", false);
	assert_null(nodes_make(&d, &x));
	domain(7, "mail", "f1-3", false); /* two that only read */
	assert_null(nodes_make(&d, &x));
	domain(8, "tpl", "f1-3", true);
	assert_non_null(nodes_make(&d, &x));
	domain(8, "tpl", "f1-4", true);
	x.disk[2] = x.disk[1]; /* twice its own */
	assert_non_null(nodes_make(&d, &x));
	dead = 5; /* a node that its domain has left does not count */
	domain(9, "vault", "f1-2", true);
	assert_null(nodes_make(&d, &x));
	dead = 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(all_nodes),
	    cmocka_unit_test(nothing_left),
	    cmocka_unit_test(disks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
