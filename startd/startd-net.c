/* SPDX-License-Identifier: ISC */
/* Whose network is whose: who has to run before, and who must not end yet; by the files as they
 * are now, which make no loops (vmconf_load). */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "startd.h"
#include "state.h"

bool
net_before(const struct startd *s, const struct vmconf *c, char netvm[NAME_LEN_MAX + 1])
{
	struct vm_state st;

	memcpy(netvm, c->netvm, sizeof c->netvm);
	return netvm[0] != '\0' &&
	       !(state_read(s->state_dir, netvm, &st) &&
		   (strcmp(st.state, "Running") == 0 || strcmp(st.state, "Paused") == 0));
}

size_t
net_clients(const struct startd *s, const char *name, char *out, size_t size)
{
	DIR *d = opendir(RUN_STATE);
	const struct dirent *f;
	struct vm_state st;
	struct vmconf c;
	struct vmconf_error e;
	size_t n = 0, len = 0;

	out[0] = '\0';
	while (d && (f = readdir(d)) != NULL) {
		if (!name_ok(f->d_name) || strcmp(f->d_name, name) == 0 ||
		    !state_read(s->state_dir, f->d_name, &st) || state_ended(&st) ||
		    !load_conf(f->d_name, &c, &e) || strcmp(c.netvm, name) != 0)
			continue;
		n++;
		if (len < size)
			len += (size_t)snprintf(out + len, size - len, " %s", f->d_name);
	}
	if (d)
		closedir(d);
	return n;
}
