/* SPDX-License-Identifier: ISC */
/* The methods that are served: spec/cli 3 and 5. Each only reads, or says what startd has to do. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "adminapi.h"
#include "label.h"
#include "log.h"
#include "vmprops.h"

#define CHAIN_MAX 4 /* a disposable, its AppVM, its template */

#define PROTOCOL "ProtocolError"
#define OTHER "QubesException"

typedef void method_fn(struct call *c, struct view *v);

static void
bad_file(struct call *c, const struct vmconf_error *e)
{
	char text[512];

	if (e->line > 0)
		snprintf(text, sizeof(text), "%s:%u: %s", e->file, e->line, e->text);
	else
		snprintf(text, sizeof(text), "%s: %s", e->file, e->text);
	answer_reason(c->out, OTHER, text);
}

static const char *
power_state(const struct view *v)
{
	return is_dom0(v->conf.name) ? "Running" : v->runs ? v->st.state : "Halted";
}

static bool
halted(const struct view *v)
{
	return strcmp(power_state(v), "Halted") == 0;
}

/* ---- lists ---- */

static void
list_one(struct call *c, const struct view *v)
{
	(void)buf_printf(c->out, "%s class=%s state=%s uuid=%s\n", v->conf.name, v->conf.type,
	    power_state(v), v->conf.uuid);
}

typedef char name_t[NAME_LEN_MAX + 1];

static int
by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* The qubes that vm.d has files of; *list is the caller's to free. -1: errno. */
static ssize_t
names(int vm, name_t **list)
{
	const int fd = openat(vm, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;
	size_t n = 0, room = 0;
	bool all = d != NULL;
	name_t *more;

	*list = NULL;
	while (all && (e = readdir(d)) != NULL) {
		if (!name_ok(e->d_name) || strcmp(e->d_name, "defaults") == 0 || is_dom0(e->d_name))
			continue;
		room = n == room ? room * 2 + 64 : room;
		more = realloc(*list, room * sizeof(**list));
		all = more != NULL;
		if (!all)
			break;
		*list = more;
		memcpy(more[n++], e->d_name, strlen(e->d_name) + 1); /* name_ok: it fits */
	}
	if (d != NULL)
		closedir(d);
	else if (fd >= 0)
		close(fd);
	if (n > 0)
		qsort(*list, n, sizeof(**list), by_name);
	return all ? (ssize_t)n : -1;
}

/* One whose file has an error is left out, as policyd does. */
static void
list_all(struct call *c)
{
	static struct log_limit bad;
	static struct view v;
	struct vmconf_error e;
	name_t *list;
	const ssize_t n = names(c->vm, &list);

	for (ssize_t i = 0; i < n; i++) {
		memset(&v.st, 0, sizeof(v.st));
		v.runs = state_read(c->state, list[i], &v.st);
		if (vmconf_read(c->vm, list[i], &v.conf, &e))
			list_one(c, &v);
		else
			log_limited(&bad, "left out: %s:%u: %s", e.file, e.line, e.text);
	}
	free(list);
	if (n < 0)
		answer_exception(c->out, OTHER, "vm.d: %s", strerror(errno));
}

static void
vm_list(struct call *c, struct view *v)
{
	answer_ok(c->out);
	list_one(c, v);
	if (is_dom0(v->conf.name))
		list_all(c);
}

static void
lines(struct call *c, const char *text)
{
	answer_ok(c->out);
	(void)buf_put(c->out, text, strlen(text));
}

static void
vmclass_list(struct call *c, struct view *v)
{
	(void)v;
	lines(c, "AdminVM\nAppVM\nDispVM\nRemoteVM\nStandaloneVM\nTemplateVM\n");
}

static void
label_list(struct call *c, struct view *v)
{
	(void)v;
	answer_ok(c->out);
	for (size_t i = 0; i < LABELS; i++)
		(void)buf_printf(c->out, "%s\n", labels[i].name);
}

static const struct label *
asked_for(struct call *c)
{
	const struct label *l = label_named(c->rq->arg);

	if (l == NULL)
		answer_exception(
		    c->out, "QubesLabelNotFoundError", "No such label: '%s'", c->rq->arg);
	return l;
}

static void
label_get(struct call *c, struct view *v)
{
	const struct label *l = asked_for(c);

	(void)v;
	if (l == NULL)
		return;
	answer_ok(c->out);
	(void)buf_printf(c->out, "0x%06x", (unsigned)l->rgb);
}

static void
label_index(struct call *c, struct view *v)
{
	const struct label *l = asked_for(c);

	(void)v;
	if (l == NULL)
		return;
	answer_ok(c->out);
	(void)buf_printf(c->out, "%zu", (size_t)(l - labels) + 1);
}

/* ---- a qube's state, properties, features, tags ---- */

/* Memory is static: what its file says is what it has. The time that it computed is Xen's to know,
 * who tells only those that could do anything: 0. */
static void
current_state(struct call *c, struct view *v)
{
	struct sysinfo s = {0};
	unsigned long long kib = halted(v) ? 0 : v->conf.memory * 1024ull;

	if (is_dom0(v->conf.name) && sysinfo(&s) == 0)
		kib = (unsigned long long)s.totalram * s.mem_unit / 1024;
	answer_ok(c->out);
	(void)buf_printf(c->out, "mem=%llu mem_static_max=%llu cputime=0 power_state=%s", kib, kib,
	    power_state(v));
}

static void
property_list(struct call *c, struct view *v)
{
	answer_ok(c->out);
	for (const struct prop *p = prop_next(v, NULL); p != NULL; p = prop_next(v, p))
		(void)buf_printf(c->out, "%s\n", prop_name(p));
}

static void
property_get_all(struct call *c, struct view *v)
{
	answer_ok(c->out);
	for (const struct prop *p = prop_next(v, NULL); p != NULL; p = prop_next(v, p)) {
		(void)buf_printf(c->out, "%s ", prop_name(p));
		prop_print(p, v, true, c->out);
		(void)buf_put(c->out, "\n", 1);
	}
}

static const struct prop *
property(struct call *c, const struct view *v)
{
	const struct prop *p = prop_find(v, c->rq->arg);

	if (p == NULL)
		answer_exception(c->out, "QubesNoSuchPropertyError", "Invalid property '%s' of %s",
		    c->rq->arg,
		    strcmp(v->conf.name, "defaults") != 0 ? v->conf.name : "the machine");
	return p;
}

static void
property_get(struct call *c, struct view *v)
{
	const struct prop *p = property(c, v);

	if (p == NULL)
		return;
	answer_ok(c->out);
	prop_print(p, v, false, c->out);
}

static void
property_get_default(struct call *c, struct view *v)
{
	const struct prop *p = property(c, v);

	if (p == NULL)
		return;
	answer_ok(c->out);
	prop_print_default(p, v, c->out);
}

static void
feature_list(struct call *c, struct view *v)
{
	answer_ok(c->out);
	for (const char *f = vmconf_feature_next(&v->conf, NULL); f != NULL;
	     f = vmconf_feature_next(&v->conf, f))
		(void)buf_printf(c->out, "%.*s\n", (int)strcspn(f, "="), f);
}

/* Answers if it is there. */
static bool
feature_of(struct call *c, const struct vmconf *conf)
{
	const char *val = vmconf_feature(conf, c->rq->arg);

	if (val != NULL)
		lines(c, val);
	return val != NULL;
}

static void
no_feature(struct call *c)
{
	answer_exception(c->out, "QubesFeatureNotFoundError", "Feature not set for domain %s: '%s'",
	    c->rq->dest, c->rq->arg);
}

static void
feature_get(struct call *c, struct view *v)
{
	if (!feature_of(c, &v->conf))
		no_feature(c);
}

/* Its own, that of the qube which one of its keys names, and so on. false: there is none, or *e. */
static bool
feature_along(struct call *c, struct view *v, size_t key_off)
{
	char next[NAME_LEN_MAX + 1];
	struct vmconf_error e;

	for (int i = 0; i < CHAIN_MAX; i++) {
		if (feature_of(c, &v->conf))
			return true;
		memcpy(next, (const char *)&v->conf + key_off, sizeof(next));
		if (next[0] == '\0' || !vmconf_read(c->vm, next, &v->conf, &e))
			return false;
	}
	return false;
}

static void
feature_template(struct call *c, struct view *v)
{
	if (!feature_along(c, v, offsetof(struct vmconf, template)))
		no_feature(c);
}

static void
feature_netvm(struct call *c, struct view *v)
{
	if (!feature_along(c, v, offsetof(struct vmconf, netvm)))
		no_feature(c);
}

static void
feature_admin(struct call *c, struct view *v)
{
	struct vmconf_error e;

	if (!feature_of(c, &v->conf) &&
	    !(vmconf_read(c->vm, "dom0", &v->conf, &e) && feature_of(c, &v->conf)))
		no_feature(c);
}

static void
feature_template_admin(struct call *c, struct view *v)
{
	if (!feature_along(c, v, offsetof(struct vmconf, template)))
		feature_admin(c, v);
}

static void
tag_list(struct call *c, struct view *v)
{
	answer_ok(c->out);
	for (size_t i = 0; i < v->conf.ntags; i++)
		(void)buf_printf(c->out, "%s\n", v->conf.tags[i]);
}

static void
tag_get(struct call *c, struct view *v)
{
	bool has = false;

	for (size_t i = 0; i < v->conf.ntags; i++)
		has = has || strcmp(v->conf.tags[i], c->rq->arg) == 0;
	lines(c, has ? "1" : "0");
}

/* ---- for startd: what it refuses anyway is told here by the exception that clients know ---- */

static void
vm_start(struct call *c, struct view *v)
{
	if (halted(v))
		c->op = "start";
	else
		answer_exception(c->out, "QubesVMNotHaltedError", "Domain is not powered off: '%s'",
		    v->conf.name);
}

static bool
is_on(struct call *c, const struct view *v)
{
	if (halted(v))
		answer_exception(
		    c->out, "QubesVMNotStartedError", "Domain is powered off: '%s'", v->conf.name);
	return !halted(v);
}

/* A running qube that has it as netvm, or NULL; name is for that. */
static const char *
client_of(const struct call *c, const char *netvm, name_t name)
{
	static struct vmconf conf;
	struct vmconf_error e;
	struct vm_state st;
	const char *found = NULL;
	name_t *list;
	const ssize_t n = names(c->vm, &list);

	for (ssize_t i = 0; i < n && found == NULL; i++)
		if (state_read(c->state, list[i], &st) && vmconf_read(c->vm, list[i], &conf, &e) &&
		    strcmp(conf.netvm, netvm) == 0)
			found = memcpy(name, list[i], sizeof(list[i]));
	free(list);
	return found;
}

static bool
in_use(struct call *c, const struct view *v)
{
	name_t name;
	const char *by =
	    c->force || !v->conf.provides_network ? NULL : client_of(c, v->conf.name, name);

	if (by != NULL)
		answer_exception(c->out, "QubesVMInUseError", "Domain is in use: '%s', by '%s'",
		    v->conf.name, by);
	return by != NULL;
}

static void
vm_shutdown(struct call *c, struct view *v)
{
	static const struct {
		const char *arg;
		bool force, wait;
	} ways[] = {{"", false, false}, {"force", true, false}, {"wait", false, true},
	    {"force+wait", true, true}, {"wait+force", true, true}};

	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		if (strcmp(ways[i].arg, c->rq->arg) != 0)
			continue;
		c->force = ways[i].force;
		c->now = !ways[i].wait;
		if (is_on(c, v) && !in_use(c, v))
			c->op = "shutdown";
		return;
	}
	answer_exception(c->out, PROTOCOL, "neither force nor wait: '%s'", c->rq->arg);
}

static void
vm_kill(struct call *c, struct view *v)
{
	if (is_on(c, v))
		c->op = "kill";
}

static void
vm_pause(struct call *c, struct view *v)
{
	if (strcmp(power_state(v), "Running") == 0)
		c->op = "pause";
	else
		answer_exception(
		    c->out, "QubesVMNotRunningError", "Domain is not running: '%s'", v->conf.name);
}

static void
vm_unpause(struct call *c, struct view *v)
{
	if (strcmp(power_state(v), "Paused") == 0)
		c->op = "unpause";
	else
		answer_exception(
		    c->out, "QubesVMNotPausedError", "Domain is not paused: '%s'", v->conf.name);
}

/* ---- which there are ---- */

enum {
	ARG = 1,     /* must be given; without this and ANY it must be empty */
	ANY = 2,     /* may be given */
	MACHINE = 4, /* called on dom0, about the machine */
	QUBE = 8,    /* not on dom0 */
};

static const struct method {
	const char *name;
	method_fn *run;
	int flags;
} methods[] = {
    {"admin.vm.List", vm_list, 0},
    {"admin.vm.CurrentState", current_state, 0},
    {"admin.vm.Start", vm_start, QUBE},
    {"admin.vm.Shutdown", vm_shutdown, QUBE | ANY},
    {"admin.vm.Kill", vm_kill, QUBE},
    {"admin.vm.Pause", vm_pause, QUBE},
    {"admin.vm.Unpause", vm_unpause, QUBE},
    {"admin.vm.property.List", property_list, 0},
    {"admin.vm.property.Get", property_get, ARG},
    {"admin.vm.property.GetAll", property_get_all, 0},
    {"admin.vm.property.GetDefault", property_get_default, ARG},
    {"admin.vm.feature.List", feature_list, 0},
    {"admin.vm.feature.Get", feature_get, ARG},
    {"admin.vm.feature.CheckWithTemplate", feature_template, ARG},
    {"admin.vm.feature.CheckWithNetvm", feature_netvm, ARG},
    {"admin.vm.feature.CheckWithAdminVM", feature_admin, ARG},
    {"admin.vm.feature.CheckWithTemplateAndAdminVM", feature_template_admin, ARG},
    {"admin.vm.tag.List", tag_list, 0},
    {"admin.vm.tag.Get", tag_get, ARG},
    {"admin.property.List", property_list, MACHINE},
    {"admin.property.Get", property_get, MACHINE | ARG},
    {"admin.property.GetAll", property_get_all, MACHINE},
    {"admin.property.GetDefault", property_get_default, MACHINE | ARG},
    {"admin.label.List", label_list, MACHINE},
    {"admin.label.Get", label_get, MACHINE | ARG},
    {"admin.label.Index", label_index, MACHINE | ARG},
    {"admin.vmclass.List", vmclass_list, MACHINE},
};

/* NULL, or what is wrong with how it was called. */
static const char *
misuse(const struct method *m, const struct request *rq)
{
	if (m == NULL)
		return "no such method here";
	if (rq->payload > 0)
		return "the method takes no payload";
	if ((m->flags & ARG) && rq->arg[0] == '\0')
		return "the method needs an argument";
	if (!(m->flags & (ARG | ANY)) && rq->arg[0] != '\0')
		return "the method takes no argument";
	if ((m->flags & MACHINE) && !is_dom0(rq->dest))
		return "the method is called on dom0";
	if ((m->flags & QUBE) && is_dom0(rq->dest))
		return "the method is not for dom0";
	return NULL;
}

void
call_run(struct call *c)
{
	static struct view v;
	const struct method *m = NULL;
	struct stat st;
	struct vmconf_error e = {.text = ""};
	const char *name = c->rq->dest;

	for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++)
		if (strcmp(methods[i].name, c->rq->method) == 0)
			m = &methods[i];
	if (misuse(m, c->rq) != NULL) {
		answer_exception(c->out, PROTOCOL, "%s: %s", c->rq->method, misuse(m, c->rq));
		return;
	}
	if (m->flags & MACHINE)
		name = "defaults";
	else if (!is_dom0(name) &&
		 (strcmp(name, "defaults") == 0 || fstatat(c->vm, name, &st, 0) < 0)) {
		answer_exception(c->out, "QubesVMNotFoundError", "No such domain: '%s'", name);
		return;
	}
	if (view_load(c->vm, c->state, name, &v, &e))
		m->run(c, &v);
	else
		bad_file(c, &e);
}
