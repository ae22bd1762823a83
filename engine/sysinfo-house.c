/* SPDX-License-Identifier: ISC */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/sysread.h"
#include "log.h"
#include "names.h"
#include "state.h"

static const char *
or_null(const char *s)
{
	return s[0] == '\0' ? NULL : s;
}

bool
sysinfo_add_conf(struct sysinfo *si, const struct vmconf *c, bool running)
{
	bool dom0 = is_dom0(c->name);
	const char *tags[VM_TAGS];
	char icon[64];
	struct sys_vm vm = {
	    .name = c->name,
	    .type = dom0 ? "AdminVM" : c->type,
	    .uuid = dom0 ? "00000000-0000-0000-0000-000000000000" : c->uuid,
	    .default_dispvm = or_null(c->default_dispvm),
	    .relayvm = or_null(c->relayvm),
	    .transport_rpc = or_null(c->transport_rpc),
	    .guivm = or_null(c->guivm),
	    .icon = icon,
	    .disp_base = strcmp(c->type, "DispVM") == 0 ? or_null(c->template) : NULL,
	    .tags = tags,
	    .ntags = c->ntags,
	    .template_for_dispvms = c->template_for_dispvms,
	    .internal = c->internal,
	    .running = dom0 || running,
	};

	snprintf(icon, sizeof(icon), "%s-%s", dom0 ? "adminvm" : "appvm", c->label);
	for (size_t i = 0; i < c->ntags; i++)
		tags[i] = c->tags[i];
	return sysinfo_add(si, &vm);
}

static void
add_name(struct sysinfo *si, int vmfd, int statefd, const char *name, void (*warn)(const char *))
{
	struct vmconf c = {0};
	struct vmconf_error e = {0};
	struct vm_state st;
	bool running;
	char text[512];

	if (vmfd < 0 || !vmconf_load(vmfd, name, &c, &e)) {
		if (!is_dom0(name)) {
			snprintf(text, sizeof(text), "%s:%u: %s", e.file, e.line, e.text);
			warn(text);
			return;
		}
		c = (struct vmconf){.name = "dom0", .label = "black"};
	}
	running =
	    statefd >= 0 && state_read(statefd, name, &st) && strcmp(st.state, "Running") == 0;
	if (!sysinfo_add_conf(si, &c, running)) {
		snprintf(text, sizeof(text), "%s: its uuid is another qube's", name);
		warn(text);
	}
}

struct sysinfo *
sysinfo_house(const char *vmdir, const char *statedir, void (*warn)(const char *text))
{
	struct sysinfo *si = sysinfo_new();
	int vmfd = open(vmdir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int statefd = open(statedir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = vmfd < 0 ? NULL : fdopendir(dup(vmfd));
	struct dirent *e;

	if (d == NULL)
		warn("no directory of qubes: only dom0 is known");
	add_name(si, vmfd, statefd, "dom0", warn);
	while (d != NULL && (e = readdir(d)) != NULL)
		if (name_ok(e->d_name) && !is_dom0(e->d_name) && strcmp(e->d_name, "defaults") != 0)
			add_name(si, vmfd, statefd, e->d_name, warn);
	if (d != NULL)
		closedir(d);
	if (vmfd >= 0)
		close(vmfd);
	if (statefd >= 0)
		close(statefd);
	return si;
}
