/* SPDX-License-Identifier: ISC */
/* Who holds how much memory, for somebody who has to end one of them. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "state.h"
#include "xendom.h"

#define MOST 4 /* as many are named */
#define MIB_PAGES 256u

struct holder {
	char name[NAME_LEN_MAX + 16];
	unsigned long mib;
};

static void
add(struct holder h[MOST], const struct xen *x, uint32_t domid, const char *name, const char *what)
{
	struct holder new;
	xc_dominfo_t info;
	size_t i = MOST;

	if (xc_domain_getinfo(x->xch, domid, 1, &info) != 1 || info.domid != domid)
		return;
	snprintf(new.name, sizeof new.name, "%s%s", name, what);
	new.mib = info.nr_pages / MIB_PAGES;
	while (i > 0 && h[i - 1].mib < new.mib)
		i--;
	if (i == MOST)
		return;
	memmove(&h[i + 1], &h[i], (MOST - 1 - i) * sizeof *h);
	h[i] = new;
}

static void
add_all(struct holder h[MOST], const struct xen *x, const char *path, const char *what)
{
	DIR *d = opendir(path);
	const struct dirent *f;
	struct vm_state st;

	while (d && (f = readdir(d)) != NULL)
		if (name_ok(f->d_name) && state_read(dirfd(d), f->d_name, &st))
			add(h, x, st.domid, f->d_name, what);
	if (d)
		closedir(d);
}

void
holders(const struct xen *x, char *out, size_t size)
{
	struct holder h[MOST] = {{.mib = 0}};
	size_t len = 0;

	add(h, x, 0, "dom0", "");
	add_all(h, x, RUN_STATE, "");
	add_all(h, x, RUN_PREPARED, " (prepared)");
	out[0] = '\0';
	for (size_t i = 0; i < MOST && h[i].mib > 0 && len < size; i++)
		len += (size_t)snprintf(out + len, size - len, "%s%s %lu",
		    i == 0 ? "; who holds most: " : ", ", h[i].name, h[i].mib);
}
