/* SPDX-License-Identifier: ISC */
/* Whose network, audio and display is whose: who has to run before, and who must not end yet; by
 * the files as they are now. Networks make no loops (vmconf_load). */
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

#define NEEDED 16 /* itself, and whom it needs, directly or by others; then "" */

/* Where its name stands, or has its place. */
static size_t
place_in(char all[NEEDED][NAME_LEN_MAX + 1], const char *name)
{
	size_t i = 0;

	while (i < NEEDED - 1 && all[i][0] && strcmp(all[i], name) != 0)
		i++;
	return i;
}

static void
needs(const char *name, char all[NEEDED][NAME_LEN_MAX + 1])
{
	struct vmconf c;
	struct vmconf_error e;
	const char *const of[] = {c.netvm, c.audiovm, c.guivm};

	snprintf(all[0], sizeof *all, "%s", name);
	for (size_t i = 0; i < NEEDED && all[i][0]; i++)
		for (size_t k = load_conf(all[i], &c, &e) ? 0 : 3; k < 3; k++)
			snprintf(all[place_in(all, of[k])], sizeof *all, "%s", of[k]);
}

/* A display's own network has its windows there: who needs the other's network goes first. */
static bool
is_client(const struct vmconf *c, const char *of, char all[NEEDED][NAME_LEN_MAX + 1])
{
	return strcmp(c->netvm, of) == 0 ||
	       ((strcmp(c->audiovm, of) == 0 || strcmp(c->guivm, of) == 0) &&
		   strcmp(all[place_in(all, c->name)], c->name) != 0);
}

size_t
net_clients(const struct startd *s, const char *name, char *out, size_t size)
{
	DIR *d = opendir(RUN_STATE);
	const struct dirent *f;
	struct vm_state st;
	struct vmconf c;
	struct vmconf_error e;
	char all[NEEDED][NAME_LEN_MAX + 1] = {""};
	size_t n = 0, len = 0;

	needs(name, all);
	out[0] = '\0';
	while (d && (f = readdir(d)) != NULL) {
		if (!name_ok(f->d_name) || strcmp(f->d_name, name) == 0 ||
		    !state_read(s->state_dir, f->d_name, &st) || state_ended(&st) ||
		    !load_conf(f->d_name, &c, &e) || !is_client(&c, name, all))
			continue;
		n++;
		if (len < size)
			len += (size_t)snprintf(out + len, size - len, " %s", f->d_name);
	}
	if (d)
		closedir(d);
	return n;
}
