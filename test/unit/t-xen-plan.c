/* SPDX-License-Identifier: ISC */
/* What a Xen domain is to be made of: command line, memory, kernel, and a PVH guest's tables. */
#include "tap.h"

/* Xen's headers are written for GNU C. */
#undef __STRICT_ANSI__
#define __XEN_TOOLS__ 1
#define xc_physinfo my_physinfo
#define xc_domain_getinfo my_getinfo
#include "xendom/xen-acpi.c"
#include "xendom/xen-holders.c"
#include "xendom/xen-plan.c"

static struct vmconf conf;
static struct xen x;
static struct vm_state state;
static struct domain d = {.conf = &conf, .state = &state};
static uint64_t free_mib;

/* Keys alone. */
void
storage_would(const struct vmconf *c, struct storage_disks *out)
{
	memset(out, 0, sizeof *out);
	snprintf(out->disk[VOL_ROOT].path, STORAGE_PATH, "%s", c->root);
	snprintf(out->disk[VOL_PRIVATE].path, STORAGE_PATH, "%s", c->private);
	snprintf(out->disk[VOL_VOLATILE].path, STORAGE_PATH, "%s", c->volatile_);
	out->disk[VOL_ROOT].write = !c->template[0];
	out->disk[VOL_PRIVATE].write = out->disk[VOL_VOLATILE].write = true;
}

int
my_physinfo(xc_interface *xch, xc_physinfo_t *info)
{
	info->capabilities = XEN_SYSCTL_PHYSCAP_hvm | XEN_SYSCTL_PHYSCAP_hap;
	info->free_pages = free_mib * 256 + 10;
	info->outstanding_pages = 10;
	return 0;
}

/* Domain N holds 100 * N + 50 MiB; there is no 9. */
int
my_getinfo(xc_interface *xch, uint32_t first, unsigned int n, xc_dominfo_t *info)
{
	*info = (xc_dominfo_t){.domid = first == 9 ? 10 : first};
	info->nr_pages = (100ul * first + 50) * 256;
	return 1;
}

static int
fresh(void **unused)
{
	memset(&x, 0, sizeof x);
	conf = (struct vmconf){.memory = 400,
	    .vcpus = 2,
	    .virt_mode = "pvh",
	    .template = "t",
	    .root = "/img/root",
	    .uuid = "01234567-89ab-8def-8123-456789abcdef"};
	snprintf(conf.kernel, sizeof conf.kernel, "%s", test_dir());
	put_file("vmlinux", "\177ELF", 4);
	unlink(in_dir("vmlinuz"));
	unlink(in_dir("default-kernelopts-common.txt"));
	unlink(in_dir("default-kernelopts-nopci.txt"));
	free_mib = 500;
	return 0;
}

static void
command_line(void **unused)
{
	assert_null(plan(&d, &x));
	assert_string_equal(x.cmdline,
	    "root=/dev/mapper/dmroot ro nomodeset console=hvc0 rd_NO_PLYMOUTH rd.plymouth.enable=0 "
	    "plymouth.enable=0 xen_privcmd.unrestricted swiotlb=2048 "
	    "systemd.machine_id=0123456789ab8def8123456789abcdef");
	put_file("default-kernelopts-common.txt", "quiet\nmore", 10);
	put_file("default-kernelopts-nopci.txt", "a=b\n", 4);
	assert_null(plan(&d, &x));
	assert_string_equal(
	    x.cmdline, "quiet a=b systemd.machine_id=0123456789ab8def8123456789abcdef");
	conf.own_kernelopts = true;
	assert_null(plan(&d, &x));
	assert_string_equal(x.cmdline, "quiet systemd.machine_id=0123456789ab8def8123456789abcdef");
	snprintf(conf.kernelopts, sizeof conf.kernelopts, "x y");
	assert_null(plan(&d, &x));
	assert_string_equal(
	    x.cmdline, "quiet x y systemd.machine_id=0123456789ab8def8123456789abcdef");
}

static void
kernels(void **unused)
{
	unsigned char bz[0x206] = {0};
	const char *e;

	memcpy(bz + 0x202, "HdrS", 4);
	unlink(in_dir("vmlinux"));
	e = plan(&d, &x);
	assert_non_null(strstr(e, "/vmlinuz"));
	assert_int_equal(errno, ENOENT);
	put_file("vmlinuz", bz, sizeof bz);
	assert_non_null(strstr(plan(&d, &x), "is compressed: extract-vmlinux"));
	put_file("vmlinuz", "text", 4);
	assert_non_null(strstr(plan(&d, &x), "not a kernel"));
	put_file("vmlinuz", "\177ELF", 4);
	assert_null(plan(&d, &x));
	conf.kernel[0] = '\0';
	assert_non_null(strstr(plan(&d, &x), "no kernel"));
	snprintf(conf.virt_mode, sizeof conf.virt_mode, "hvm");
	assert_string_equal(plan(&d, &x), "virt_mode hvm is not served yet: use pvh or pv");
}

static void
memory(void **unused)
{
	const char *e;

	assert_int_equal(overhead_mib(&conf, true), 4 + 3 + 2 + 4);
	assert_int_equal(overhead_mib(&conf, false), 7);
	free_mib = 413;
	assert_null(plan(&d, &x));
	assert_int_equal(x.pool, (2u << 20) + 400 * 8192);
	free_mib = 412;
	e = plan(&d, &x);
	assert_string_equal(e,
	    "too little memory: 400 MiB and 13 for Xen's own use, 412 free, 1 missing; who holds "
	    "most: dom0 50");
	assert_int_equal(errno, 0);
	/* A disposable that a qube has asked for. */
	memcpy(conf.features, "leave-room=1", 13);
	free_mib = 413 + 412;
	assert_string_equal(plan(&d, &x),
	    "too little memory: 400 MiB and 13 for Xen's own use and 413 left for another qube, "
	    "825 free, 1 missing; who holds most: dom0 50");
	free_mib = 413 + 413;
	assert_null(plan(&d, &x));
}

static void
who_holds(void **unused)
{
	struct holder h[MOST] = {{.mib = 0}};

	add(h, &x, 2, "two", "");
	add(h, &x, 5, "five", "");
	add(h, &x, 9, "nine", "");
	add(h, &x, 1, "one", "");
	add(h, &x, 4, "four", " (prepared)");
	add(h, &x, 3, "three", "");
	assert_string_equal(h[0].name, "five");
	assert_string_equal(h[1].name, "four (prepared)");
	assert_int_equal(h[1].mib, 450);
	assert_string_equal(h[2].name, "three");
	assert_string_equal(h[3].name, "two");
}

static void
disks(void **unused)
{
	assert_null(plan(&d, &x));
	assert_false(x.disk[0].write); /* the template's */
	assert_true(x.disk[1].write && x.disk[2].write && x.disk[2].wipe && !x.disk[3].write);
	assert_int_equal(x.disk[0].image, -1);
	conf.template[0] = '\0';
	assert_null(plan(&d, &x));
	assert_true(x.disk[0].write);
}

static uint8_t
sum(const uint8_t *p, size_t n)
{
	uint8_t s = 0;

	while (n-- > 0)
		s = (uint8_t)(s + *p++);
	return s;
}

static void
tables(void **unused)
{
	static uint8_t rsdp[ACPI_PAGE], t[ACPI_PAGE];

	for (uint32_t cpus = 1; cpus <= VM_VCPUS_MAX; cpus += 21) {
		acpi_make(rsdp, t, cpus);
		assert_int_equal(sum(rsdp, 20), 0);
		assert_int_equal(sum(rsdp, 36), 0);
		for (size_t at = 0; at < ACPI_PAGE; at += 4) {
			uint32_t len;

			if (memcmp(t + at, "XSDT", 4) && memcmp(t + at, "FACP", 4) &&
			    memcmp(t + at, "APIC", 4) && memcmp(t + at, "DSDT", 4))
				continue;
			memcpy(&len, t + at + 4, 4);
			assert_true(len >= 36 && at + len <= ACPI_PAGE);
			assert_int_equal(sum(t + at, len), 0);
		}
		assert_int_equal(t[MADT + MADT_LEN + 8 * (cpus - 1) + 3], 2 * (cpus - 1));
		assert_int_equal(t[MADT + 4] | t[MADT + 5] << 8, MADT_LEN + 8 * cpus);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(command_line, fresh),
	    cmocka_unit_test_setup(kernels, fresh),
	    cmocka_unit_test_setup(memory, fresh),
	    cmocka_unit_test(who_holds),
	    cmocka_unit_test_setup(disks, fresh),
	    cmocka_unit_test(tables),
	};

	return cmocka_run_group_tests(tests, NULL, rm_test_dir);
}
