/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "vmprops.h"

#define FILE_MAX 65536u
#define VALUE_MAX PROP_TEXT

enum { ADMIN = 1, TEMPLATE = 2, APP = 4, STANDALONE = 8, DISP = 16, REMOTE = 32, MACHINE = 64 };
#define VMS (TEMPLATE | APP | STANDALONE | DISP)
#define ALL (VMS | ADMIN | REMOTE)

enum kind { TEXT, COUNT, BOOL, FN };

struct prop {
	const char *name, *type;
	const char *key; /* of vm.d; NULL: it is no one's to set */
	int of;
	enum kind kind;
	size_t off;					       /* in struct vmconf */
	void (*fn)(const struct view *v, char out[VALUE_MAX]); /* FN */
};

static void
put_text(char out[VALUE_MAX], const char *s)
{
	snprintf(out, VALUE_MAX, "%s", s);
}

static void
p_updateable(const struct view *v, char out[VALUE_MAX])
{
	const bool no = strcmp(v->conf.type, "AppVM") == 0 || strcmp(v->conf.type, "DispVM") == 0;

	put_text(out, no ? "False" : "True");
}

static void
p_icon(const struct view *v, char out[VALUE_MAX])
{
	static const struct {
		const char *type, *prefix;
	} kinds[] = {{"AdminVM", "adminvm"}, {"TemplateVM", "templatevm"},
	    {"StandaloneVM", "standalonevm"}, {"DispVM", "dispvm"}};
	const char *prefix = v->conf.provides_network ? "servicevm" : "appvm";

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (strcmp(v->conf.type, kinds[i].type) == 0)
			prefix = kinds[i].prefix;
	snprintf(out, VALUE_MAX, "%s-%s", prefix, v->conf.label);
}

static void
p_qid(const struct view *v, char out[VALUE_MAX])
{
	snprintf(out, VALUE_MAX, "%u", v->runs ? v->st.qid : 0);
}

static void
p_xid(const struct view *v, char out[VALUE_MAX])
{
	if (v->runs || is_dom0(v->conf.name))
		snprintf(out, VALUE_MAX, "%u", v->runs ? v->st.domid : 0);
	else
		put_text(out, "-1");
}

/* One that comes from the qid is known while the qube runs. */
static void
p_ip(const struct view *v, char out[VALUE_MAX])
{
	const bool known = v->runs || v->conf.ip[0] != '\0' || v->conf.dispid != VM_NO_DISPID;

	*out = '\0';
	if (known)
		vmconf_address(&v->conf, v->st.qid, out);
}

static void
p_ip6(const struct view *v, char out[VALUE_MAX])
{
	*out = '\0';
	if (v->runs || v->conf.dispid != VM_NO_DISPID)
		vmconf_address6(&v->conf, v->st.qid, out);
}

static void
p_dispid(const struct view *v, char out[VALUE_MAX])
{
	if (v->conf.dispid != VM_NO_DISPID)
		snprintf(out, VALUE_MAX, "%u", v->conf.dispid);
	else
		put_text(out, "0");
}

static void
p_file(const struct view *v, char out[VALUE_MAX])
{
	(void)v;
	put_text(out, "file");
}

static void
p_true(const struct view *v, char out[VALUE_MAX])
{
	(void)v;
	put_text(out, "True");
}

#define AT(f) offsetof(struct vmconf, f), NULL
static const struct prop props[] = {
    {"audiovm", "vm", "audiovm", VMS, TEXT, AT(audiovm)},
    {"auto_cleanup", "bool", "auto_cleanup", DISP, BOOL, AT(auto_cleanup)},
    {"autostart", "bool", "autostart", VMS, BOOL, AT(autostart)},
    {"debug", "bool", "debug", VMS, BOOL, AT(debug)},
    {"default_dispvm", "vm", "default_dispvm", VMS | ADMIN, TEXT, AT(default_dispvm)},
    {"default_user", "str", "default_user", VMS, TEXT, AT(default_user)},
    {"dispid", "int", "dispid", DISP, FN, 0, p_dispid},
    {"guivm", "vm", "guivm", VMS, TEXT, AT(guivm)},
    {"icon", "str", NULL, ALL, FN, 0, p_icon},
    {"include_in_backups", "bool", "include_in_backups", VMS, BOOL, AT(include_in_backups)},
    {"ip", "str", "ip", VMS, FN, 0, p_ip},
    {"ip6", "str", NULL, VMS, FN, 0, p_ip6},
    {"kernel", "str", "kernel", VMS, TEXT, AT(kernel)},
    {"kernelopts", "str", "kernelopts", VMS, TEXT, AT(kernelopts)},
    {"keyboard_layout", "str", "keyboard_layout", VMS, TEXT, AT(keyboard_layout)},
    {"klass", "str", NULL, ALL, TEXT, AT(type)},
    {"label", "label", "label", ALL, TEXT, AT(label)},
    {"mac", "str", "mac", VMS, TEXT, AT(mac)},
    {"management_dispvm", "vm", "management_dispvm", VMS, TEXT, AT(management_dispvm)},
    {"maxmem", "int", "maxmem", VMS, COUNT, AT(maxmem)},
    {"memory", "int", "memory", VMS, COUNT, AT(memory)},
    {"name", "str", NULL, ALL, TEXT, AT(name)},
    {"netvm", "vm", "netvm", VMS, TEXT, AT(netvm)},
    {"provides_network", "bool", "provides_network", VMS, BOOL, AT(provides_network)},
    {"qid", "int", NULL, VMS | ADMIN, FN, 0, p_qid},
    {"qrexec_timeout", "int", "qrexec_timeout", VMS, COUNT, AT(qrexec_timeout)},
    {"relayvm", "vm", "relayvm", REMOTE, TEXT, AT(relayvm)},
    {"shutdown_timeout", "int", "shutdown_timeout", VMS, COUNT, AT(shutdown_timeout)},
    {"template", "vm", "template", APP | DISP, TEXT, AT(template)},
    {"template_for_dispvms", "bool", "template_for_dispvms", APP, BOOL, AT(template_for_dispvms)},
    {"transport_rpc", "str", "transport_rpc", REMOTE, TEXT, AT(transport_rpc)},
    {"updateable", "bool", NULL, VMS | ADMIN, FN, 0, p_updateable},
    {"uuid", "str", "uuid", ALL, TEXT, AT(uuid)},
    {"vcpus", "int", "vcpus", VMS, COUNT, AT(vcpus)},
    {"virt_mode", "str", "virt_mode", VMS, TEXT, AT(virt_mode)},
    {"xid", "int", NULL, VMS | ADMIN, FN, 0, p_xid},

    {"check_updates_vm", "bool", NULL, MACHINE, FN, 0, p_true},
    {"clockvm", "vm", "clockvm", MACHINE, TEXT, AT(clockvm)},
    {"default_audiovm", "vm", "audiovm", MACHINE, TEXT, AT(audiovm)},
    {"default_dispvm", "vm", "default_dispvm", MACHINE, TEXT, AT(default_dispvm)},
    {"default_guivm", "vm", "guivm", MACHINE, TEXT, AT(guivm)},
    {"default_kernel", "str", "kernel", MACHINE, TEXT, AT(kernel)},
    {"default_netvm", "vm", "netvm", MACHINE, TEXT, AT(netvm)},
    {"default_pool", "str", NULL, MACHINE, FN, 0, p_file},
    {"default_qrexec_timeout", "int", "qrexec_timeout", MACHINE, COUNT, AT(qrexec_timeout)},
    {"default_shutdown_timeout", "int", "shutdown_timeout", MACHINE, COUNT, AT(shutdown_timeout)},
    {"default_template", "vm", "default_template", MACHINE, TEXT, AT(default_template)},
    {"management_dispvm", "vm", "management_dispvm", MACHINE, TEXT, AT(management_dispvm)},
    {"updatevm", "vm", "updatevm", MACHINE, TEXT, AT(updatevm)},
};
#undef AT
#define NPROPS (sizeof(props) / sizeof(*props))

static int
kind_of(const struct view *v)
{
	static const struct {
		const char *type;
		int of;
	} types[] = {{"AdminVM", ADMIN}, {"TemplateVM", TEMPLATE}, {"AppVM", APP},
	    {"StandaloneVM", STANDALONE}, {"DispVM", DISP}, {"RemoteVM", REMOTE}};

	if (strcmp(v->conf.name, "defaults") == 0)
		return MACHINE;
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
		if (strcmp(types[i].type, v->conf.type) == 0)
			return types[i].of;
	return 0;
}

/* Which lines its own file has. */
static bool
own_lines(int vm, const char *name, struct seen *seen, struct vmconf_error *e)
{
	static struct vmconf scratch;
	struct buf b = {.max = FILE_MAX + 1};
	bool ok = buf_read_file(&b, vm, name);

	memset(seen, 0, sizeof(*seen));
	if (ok) {
		vmconf_builtin(&scratch, name);
		ok = vmconf_parse_as(&scratch, name, (const char *)buf_bytes(&b), b.len,
		    strcmp(name, "defaults") == 0, false, seen, e);
	} else {
		vmconf_at(e, name, 0);
		ok = errno == ENOENT || vmconf_wrong(e, "%s", strerror(errno));
	}
	buf_free(&b);
	return ok;
}

bool
view_load(int vm, int state, const char *name, struct view *v, struct vmconf_error *e)
{
	const bool machine = strcmp(name, "defaults") == 0;

	memset(&v->st, 0, sizeof(v->st));
	v->runs = !machine && !is_dom0(name) && state_read(state, name, &v->st);
	return (machine ? vmconf_defaults(vm, &v->conf, e) : vmconf_read(vm, name, &v->conf, e)) &&
	       own_lines(vm, name, &v->seen, e);
}

const struct prop *
prop_next(const struct view *v, const struct prop *at)
{
	const int of = kind_of(v);

	for (size_t i = at != NULL ? (size_t)(at - props) + 1 : 0; i < NPROPS; i++)
		if (props[i].of & of)
			return &props[i];
	return NULL;
}

const struct prop *
prop_find(const struct view *v, const char *name)
{
	const struct prop *p = NULL;

	while ((p = prop_next(v, p)) != NULL)
		if (strcmp(p->name, name) == 0)
			return p;
	return NULL;
}

const char *
prop_name(const struct prop *p)
{
	return p->name;
}

const char *
prop_key(const struct prop *p)
{
	return p->key;
}

const char *
prop_type(const struct prop *p)
{
	return p->type;
}

void
prop_value(const struct prop *p, const struct view *v, char out[VALUE_MAX])
{
	const void *at = (const char *)&v->conf + p->off;

	switch (p->kind) {
	case TEXT:
		put_text(out, at);
		return;
	case COUNT:
		snprintf(out, VALUE_MAX, "%u", *(const uint32_t *)at);
		return;
	case BOOL:
		put_text(out, *(const bool *)at ? "True" : "False");
		return;
	case FN:
		p->fn(v, out);
		return;
	}
}

bool
prop_is_default(const struct prop *p, const struct view *v)
{
	return p->key != NULL && v->seen.line[key_number(key_find(p->key))] == 0;
}

static void
put_escaped(struct buf *out, const char *s)
{
	for (; *s != '\0'; s++) {
		if (*s == '\\' || *s == '\n')
			(void)buf_put(out, *s == '\n' ? "\\n" : "\\\\", 2);
		else
			(void)buf_put(out, s, 1);
	}
}

void
prop_print(const struct prop *p, const struct view *v, bool escaped, struct buf *out)
{
	char text[VALUE_MAX];

	prop_value(p, v, text);
	(void)buf_printf(
	    out, "default=%s type=%s ", prop_is_default(p, v) ? "True" : "False", p->type);
	if (escaped)
		put_escaped(out, text);
	else
		(void)buf_put(out, text, strlen(text));
}

/* What is set by a line of its own is not said: nobody has worked out what would be without. */
void
prop_print_default(const struct prop *p, const struct view *v, struct buf *out)
{
	char text[VALUE_MAX];

	if (!prop_is_default(p, v))
		return;
	prop_value(p, v, text);
	(void)buf_printf(out, "type=%s %s", p->type, text);
}
