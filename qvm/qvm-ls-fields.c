/* SPDX-License-Identifier: ISC */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "qids.h"
#include "qvm-ls.h"
#include "storage/storage.h"
#include "vmprops.h"

static void
text(char *out, const char *s)
{
	snprintf(out, VALUE_MAX, "%s", s[0] ? s : "-");
}

#define FIELD(fn, expr)                                                                            \
	static void fn(const struct qube *q, char out[VALUE_MAX])                                  \
	{                                                                                          \
		text(out, expr);                                                                   \
	}
#define BOOL(fn, expr) FIELD(fn, (expr) ? "True" : "False")

FIELD(f_name, q->conf.name)
FIELD(f_state, q->state)
FIELD(f_class, q->conf.type)
FIELD(f_label, q->conf.label)
FIELD(f_template, q->conf.template)
FIELD(f_netvm, q->conf.netvm)
FIELD(f_uuid, q->conf.uuid)
FIELD(f_dispvm, q->conf.default_dispvm)
FIELD(f_user, q->conf.default_user)
FIELD(f_kernel, q->conf.kernel)
FIELD(f_kernelopts, q->conf.kernelopts)
FIELD(f_virt_mode, q->conf.virt_mode)
BOOL(f_tfd, q->conf.template_for_dispvms)
BOOL(f_autostart, q->conf.autostart)
BOOL(f_internal, q->conf.internal)

static void
number(char *out, uint64_t n)
{
	snprintf(out, VALUE_MAX, "%llu", (unsigned long long)n);
}

static void
f_xid(const struct qube *q, char out[VALUE_MAX])
{
	text(out, "");
	if (is_dom0(q->conf.name) || qube_runs(q))
		number(out, q->st.domid);
}

static uint32_t
qid(const struct qube *q)
{
	return qube_runs(q) ? q->st.qid : qid_of(q->conf.name);
}

static void
f_qid(const struct qube *q, char out[VALUE_MAX])
{
	const uint32_t n = is_dom0(q->conf.name) ? 0 : qid(q);

	text(out, "");
	if (is_dom0(q->conf.name) || n > 0)
		number(out, n);
}

static void
f_memory(const struct qube *q, char out[VALUE_MAX])
{
	text(out, "");
	if (qube_runs(q) && !is_dom0(q->conf.name))
		number(out, q->conf.memory);
}

static void
f_vcpus(const struct qube *q, char out[VALUE_MAX])
{
	number(out, q->conf.vcpus);
}

static void
address(const struct vmconf *c, uint32_t n, char out[VALUE_MAX])
{
	text(out, "");
	if (n > 0 || c->ip[0] != '\0' || c->dispid != VM_NO_DISPID)
		vmconf_address(c, n, out);
}

static void
f_ip(const struct qube *q, char out[VALUE_MAX])
{
	text(out, "");
	if (q->conf.netvm[0] != '\0' || q->conf.provides_network)
		address(&q->conf, qid(q), out);
}

static void
f_gateway(const struct qube *q, char out[VALUE_MAX])
{
	struct qube net;

	text(out, "");
	if (q->conf.netvm[0] != '\0' && qube_load(q->conf.netvm, &net))
		address(&net.conf, qid(&net), out);
}

static void
f_ipback(const struct qube *q, char out[VALUE_MAX])
{
	text(out, "");
	if (q->conf.provides_network)
		address(&q->conf, qid(q), out);
}

static void
f_tags(const struct qube *q, char out[VALUE_MAX])
{
	size_t len = 0;

	text(out, "");
	for (size_t i = 0; i < q->conf.ntags; i++)
		len += (size_t)snprintf(
		    out + len, VALUE_MAX - len, "%s%s", i ? "," : "", q->conf.tags[i]);
}

static void
f_flags(const struct qube *q, char out[VALUE_MAX])
{
	static const struct {
		const char *type;
		char letter;
	} types[] = {{"AdminVM", '0'}, {"AppVM", 'a'}, {"DispVM", 'd'}, {"StandaloneVM", 's'},
	    {"TemplateVM", 't'}};
	char type = '?', state = '-';

	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (strcmp(types[i].type, q->conf.type) == 0)
			type = types[i].letter;
	if (strcmp(q->conf.virt_mode, "hvm") == 0 && type != '0')
		type = (char)toupper((unsigned char)type);
	if (qube_runs(q))
		state = (char)tolower((unsigned char)q->state[0]);
	snprintf(out, VALUE_MAX, "%c%c%c%c%c%c%c", type, state,
	    strcmp(q->conf.type, "TemplateVM") == 0 || strcmp(q->conf.type, "StandaloneVM") == 0
		? 'U'
		: '-',
	    q->conf.provides_network ? 'N' : '-', q->conf.internal ? 'i' : '-',
	    q->conf.debug ? 'D' : '-', q->conf.autostart ? 'A' : '-');
}

/* The volumes of the qube that was asked for last. */
static const struct volume *
volume(const struct qube *q, enum volume_id id)
{
	static struct volume v[VOL_N];
	static char name[NAME_LEN_MAX + 1];
	static int n;

	if (strcmp(name, q->conf.name) != 0) {
		snprintf(name, sizeof name, "%s", q->conf.name);
		n = is_dom0(name) || !q->known ? 0 : storage_list(&q->conf, v);
	}
	return n == VOL_N ? &v[id] : NULL;
}

static void
mib(const struct qube *q, enum volume_id id, bool used, char out[VALUE_MAX])
{
	const struct volume *v = volume(q, id);

	text(out, "");
	if (v != NULL)
		number(out, (used ? v->usage : v->size) >> 20);
}

static void
percent(const struct qube *q, enum volume_id id, char out[VALUE_MAX])
{
	const struct volume *v = volume(q, id);

	text(out, "");
	if (v != NULL && v->size > 0)
		snprintf(
		    out, VALUE_MAX, "%llu%%", (unsigned long long)(v->usage / (v->size / 100 + 1)));
}

#define DISK(fn, call)                                                                             \
	static void fn(const struct qube *q, char out[VALUE_MAX])                                  \
	{                                                                                          \
		call;                                                                              \
	}
DISK(f_priv_curr, mib(q, VOL_PRIVATE, true, out))
DISK(f_priv_max, mib(q, VOL_PRIVATE, false, out))
DISK(f_priv_used, percent(q, VOL_PRIVATE, out))
DISK(f_root_curr, mib(q, VOL_ROOT, true, out))
DISK(f_root_max, mib(q, VOL_ROOT, false, out))
DISK(f_root_used, percent(q, VOL_ROOT, out))

/* What is its own: a root that it only reads is its template's. */
static void
f_disk(const struct qube *q, char out[VALUE_MAX])
{
	const struct volume *v = volume(q, VOL_ROOT);
	uint64_t sum = 0;

	text(out, "");
	for (int i = 0; v != NULL && i < VOL_N; i++)
		sum += v[i].save_on_stop ? v[i].usage : 0;
	if (v != NULL)
		number(out, sum >> 20);
}

static const struct field fields[] = {{"NAME", f_name}, {"STATE", f_state}, {"CLASS", f_class},
    {"LABEL", f_label}, {"TEMPLATE", f_template}, {"NETVM", f_netvm}, {"UUID", f_uuid},
    {"XID", f_xid}, {"DOMID", f_xid}, {"QID", f_qid}, {"TAGS", f_tags}, {"FLAGS", f_flags},
    {"DEFAULT_DISPVM", f_dispvm}, {"TEMPLATE_FOR_DISPVMS", f_tfd}, {"AUTOSTART", f_autostart},
    {"DEFAULT_USER", f_user}, {"INTERNAL", f_internal}, {"MEMORY", f_memory}, {"VCPUS", f_vcpus},
    {"KERNEL", f_kernel}, {"KERNELOPTS", f_kernelopts}, {"VIRT_MODE", f_virt_mode}, {"IP", f_ip},
    {"IPBACK", f_ipback}, {"GATEWAY", f_gateway}, {"DISK", f_disk}, {"PRIV-CURR", f_priv_curr},
    {"PRIV-MAX", f_priv_max}, {"PRIV-USED", f_priv_used}, {"ROOT-CURR", f_root_curr},
    {"ROOT-MAX", f_root_max}, {"ROOT-USED", f_root_used}};
#define NFIELDS (sizeof fields / sizeof *fields)

void
fields_help(void)
{
	for (size_t i = 0; i < NFIELDS; i++)
		puts(fields[i].name);
	puts("and all that qvm-prefs --help-properties names");
}

/* The view of the qube that was asked for last. */
bool
property_get(const struct qube *q, const char *name, char out[VALUE_MAX])
{
	static struct view v;
	static bool known;
	struct vmconf_error e;
	const struct prop *p;
	const struct key *k;
	char value[PROP_TEXT];

	if (strcmp(v.conf.name, q->conf.name) != 0)
		known = view_load(vm_dir(), state_dir(), q->conf.name, &v, &e);
	if (!known)
		return false;
	p = prop_find(&v, name);
	k = key_find(name);
	if (p != NULL) {
		prop_value(p, &v, value);
		text(out, value);
	} else if (k != NULL) {
		key_print(&v.conf, k, out);
		if (*out == '\0')
			text(out, "");
	}
	return p != NULL || k != NULL;
}

/* Whether some qube has it. */
static bool
is_property(const char *name)
{
	static const char *const types[] = {
	    "AppVM", "TemplateVM", "StandaloneVM", "DispVM", "RemoteVM", "AdminVM", NULL};
	struct view v = {.runs = false};

	snprintf(v.conf.name, sizeof v.conf.name, "x");
	for (const char *const *t = types; *t != NULL; t++) {
		snprintf(v.conf.type, sizeof v.conf.type, "%s", *t);
		if (prop_find(&v, name) != NULL)
			return true;
	}
	return key_find(name) != NULL;
}

bool
field_find(const char *name, size_t n, struct field *f)
{
	char low[sizeof f->name] = "";

	*f = (struct field){.get = NULL};
	if (n >= sizeof f->name)
		return false;
	for (size_t i = 0; i < n; i++) {
		f->name[i] = (char)toupper((unsigned char)name[i]);
		low[i] = (char)tolower((unsigned char)name[i]);
	}
	for (size_t i = 0; i < NFIELDS && f->get == NULL; i++) {
		bool same = strlen(fields[i].name) == n;

		for (size_t j = 0; same && j < n; j++)
			same = fields[i].name[j] == f->name[j] ||
			       (strchr("-_", fields[i].name[j]) && strchr("-_", f->name[j]));
		if (same)
			*f = fields[i];
	}
	for (size_t i = 0; i < n && f->get == NULL; i++)
		if (low[i] == '-')
			low[i] = f->name[i] = '_';
	return f->get != NULL || is_property(low);
}

void
field_get(const struct field *f, const struct qube *q, char out[VALUE_MAX])
{
	char low[sizeof f->name] = "";

	if (f->get != NULL) {
		f->get(q, out);
		return;
	}
	for (size_t i = 0; f->name[i] != '\0'; i++)
		low[i] = (char)tolower((unsigned char)f->name[i]);
	if (!property_get(q, low, out))
		text(out, "");
}
