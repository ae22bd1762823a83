/* SPDX-License-Identifier: ISC */
/* Which qube may be named where, and who names it. */
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "qvm.h"
#include "vmedit.h"

static bool
is(const struct vmconf *c, const char *type)
{
	return strcmp(c->type, type) == 0;
}

static bool
template_fits(const char *class, const struct vmconf *t)
{
	if (strcmp(class, "DispVM") == 0)
		return (is(t, "AppVM") && t->template_for_dispvms) ||
		       say("%s: no template of disposables (qvm-prefs %s template_for_dispvms "
			   "true)",
			   t->name, t->name);
	return is(t, "TemplateVM") ||
	       say("%s: not a TemplateVM, its class is %s (qvm-ls --class TemplateVM lists them)",
		   t->name, t->type);
}

bool
ref_fits(int dir, const char *class, const char *key, const char *value)
{
	static const char *const all[] = {"template", "netvm", "default_dispvm", "guivm", "audiovm",
	    "relayvm", "management_dispvm", "default_template", "clockvm", "updatevm", NULL};
	struct vmconf c;
	struct vmconf_error e;

	if (!one_of(all, key) || *value == '\0')
		return true;
	if (!name_ok(value) || strcmp(value, "defaults") == 0)
		return say("%s: %s: not a qube's name", key, text_esc(value));
	if (!vmconf_read(dir, value, &c, &e)) {
		if (strcmp(e.text, "no such qube") == 0 && strcmp(e.file, value) == 0)
			return say("%s: no such domain: %s (qvm-ls lists them)", key, value);
		return say_conf(&e);
	}
	if (strcmp(key, "template") == 0)
		return template_fits(class, &c);
	if (strcmp(key, "default_template") == 0)
		return template_fits("AppVM", &c);
	if (strcmp(key, "netvm") == 0 && !c.provides_network)
		return say(
		    "%s: provides no network (qvm-prefs %s provides_network true)", value, value);
	if ((strcmp(key, "default_dispvm") == 0 || strcmp(key, "management_dispvm") == 0) &&
	    !(is(&c, "DispVM") || c.template_for_dispvms))
		return template_fits("DispVM", &c);
	return true;
}

/* One that goes when it ends. */
static bool
is_disposable(const char *name)
{
	const int dir = vm_dir();
	struct vmconf c;
	struct vmconf_error e;
	const bool ok =
	    strcmp(name, "defaults") != 0 && vmconf_read(dir, name, &c, &e) && c.auto_cleanup;

	close(dir);
	return ok;
}

void
ref_say(void *arg, const char *by, const char *key)
{
	const char *name = arg;

	if (strcmp(key, "template") == 0 && is_disposable(by))
		say("%s: the template of %s, a disposable (qvm-kill %s ends it)", name, by, by);
	else if (strcmp(by, "defaults") == 0)
		say("%s: the machine's %s (qubes-prefs %s%s --unset, or another)", name, key,
		    strcmp(key, "netvm") == 0 || strcmp(key, "guivm") == 0 ||
			    strcmp(key, "audiovm") == 0
			? "default_"
			: "",
		    key);
	else if (strcmp(key, "template") == 0)
		say("%s: the template of %s (qvm-prefs %s template OTHER, or qvm-remove %s)", name,
		    by, by, by);
	else
		say("%s: the %s of %s (qvm-prefs %s %s OTHER)", name, key, by, by, key);
}

struct asked {
	const char *name, *key;
	size_t n;
};

static void
one_use(void *arg, const char *by, const char *key)
{
	struct asked *a = arg;
	char name[NAME_LEN_MAX + 1];

	if (strcmp(a->key, key) != 0)
		return;
	a->n++;
	snprintf(name, sizeof name, "%s", a->name);
	ref_say(name, by, key);
}

bool
ref_free(int dir, const char *name, const char *key)
{
	struct asked a = {.name = name, .key = key};

	vmedit_users(dir, name, one_use, &a);
	return a.n == 0;
}

const char *
value_of(const char *type, const char *given)
{
	static const char *const yes[] = {"true", "yes", "on", "1", NULL};
	static const char *const no[] = {"false", "no", "off", "0", NULL};

	if (strcmp(type, "vm") == 0 && strcasecmp(given, "none") == 0)
		return "";
	for (const char *const *p = yes; strcmp(type, "bool") == 0 && *p != NULL; p++)
		if (strcasecmp(*p, given) == 0)
			return "true";
	for (const char *const *p = no; strcmp(type, "bool") == 0 && *p != NULL; p++)
		if (strcasecmp(*p, given) == 0)
			return "false";
	return given;
}

char *
value_after(char *pair)
{
	char *eq = strchr(pair, '=');

	if (eq != NULL)
		*eq++ = '\0';
	return eq;
}
