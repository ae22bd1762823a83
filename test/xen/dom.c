/* SPDX-License-Identifier: ISC */
/*
 * For tests on Xen, in Dom0: what Xen itself says of its domains, and what nobody but a test does
 * to them.
 *
 *   dom list          ID UUID PAGES STATE of each but Dom0, the dead included
 *   dom free          MiB that no domain has
 *   dom destroy ID    and nobody is told
 *   dom spin N        N domains, one after the other, so that their numbers are used up; prints the
 * last
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xenctrl.h>

static int
failed(const char *what)
{
	perror(what);
	return 1;
}

static int
list(xc_interface *xch)
{
	xc_dominfo_t d;

	for (uint32_t id = 1; xc_domain_getinfo(xch, id, 1, &d) == 1; id = d.domid + 1) {
		printf("%u ", d.domid);
		for (size_t i = 0; i < 16; i++)
			printf(
			    i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", d.handle[i]);
		printf(" %lu %s\n", d.nr_pages,
		    d.dying		      ? "dying"
		    : d.shutdown || d.crashed ? "shutdown"
					      : "alive");
	}
	return 0;
}

static int
spin(xc_interface *xch, int n)
{
	struct xen_domctl_createdomain cfg = {
	    .max_vcpus = 1,
	    .max_evtchn_port = 31,
	    .max_grant_frames = 1,
	    .max_maptrack_frames = 0,
	    .grant_opts = XEN_DOMCTL_GRANT_version(1),
	};
	uint32_t id = 0;

	while (n-- > 0) {
		id = 0;
		if (xc_domain_create(xch, &id, &cfg) < 0 || xc_domain_destroy(xch, id) < 0)
			return failed("create, destroy");
	}
	printf("%u\n", id);
	return 0;
}

int
main(int argc, char **argv)
{
	xc_interface *xch = xc_interface_open(NULL, NULL, 0);
	const int n = argc == 3 ? atoi(argv[2]) : 0;
	xc_physinfo_t info = {0};

	if (!xch)
		return failed("Xen");
	if (argc == 2 && strcmp(argv[1], "list") == 0)
		return list(xch);
	if (argc == 2 && strcmp(argv[1], "free") == 0 && xc_physinfo(xch, &info) == 0)
		return printf("%llu\n", (unsigned long long)info.free_pages / 256) < 0;
	if (n > 0 && strcmp(argv[1], "destroy") == 0)
		return xc_domain_destroy(xch, (uint32_t)n) < 0 ? failed("destroy") : 0;
	if (n > 0 && strcmp(argv[1], "spin") == 0)
		return spin(xch, n);
	return 100;
}
