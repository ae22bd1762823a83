/* SPDX-License-Identifier: ISC */
/* The command line, the configuration file, features of a qube (spec/gui 10). */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guid.h"
#include "ids.h"
#include "label.h"
#include "paths.h"
#include "state.h"
#include "vmconf.h"

#define PROMPT "qrexec-ask" /* WM_CLASS of what asks a person: stays above, too */

static const char help[] =
    "usage: guid --session NAME\n"
    "       guid -d ID -N NAME [-fnITqvQ] [-c COLOR] [-l LABEL] [-C FILE] [-K PID] [-t ID] [-i "
    "ICON]\n"
    "            [-p PROPERTY=T:VALUE] [--trayicon-mode MODE] [--screensaver-name NAME]\n"
    "            [--override-redirect allow|disabled] [--max-clipboard-size N]\n"
    "Shows the windows of a qube, each in a frame of its colour: guid(8).\n";

/* One row for all that the command line (long, short or 0, with or without a value), a file (the
 * same with underscores) and, by gui-LONG, a feature may say. */
enum kind { BOOL, NUMBER, WORD, TEXT, TRAY, PROP, LOCKER, HELP, VERSION, NONE };
enum { ARGV = 1, CONF = 2, BOTH = 3 };

#define AT(field) offsetof(struct options, field)
static const struct setting {
	const char *name;
	int c;
	unsigned where;
	enum kind kind;
	size_t at;
	uint32_t min, max;
} settings[] = {
    {"session", 's', ARGV, WORD, AT(session), 0, 0},
    {"domid", 'd', ARGV, NUMBER, AT(domid), 1, 0x7fef},
    {"name", 'N', ARGV, TEXT, AT(name), 0, 0},
    {"color", 'c', ARGV, TEXT, AT(color), 0, 0},
    {"label", 'l', ARGV, NUMBER, AT(label), 0, 255},
    {"config", 'C', ARGV, NONE, 0, 1, 0},
    {"foreground", 'f', ARGV, BOOL, AT(foreground), 0, 0},
    {"background", 'n', ARGV, BOOL, AT(background), 0, 0},
    {"invisible", 'I', ARGV, BOOL, AT(invisible), 0, 0},
    {"title-name", 'T', BOTH, BOOL, AT(title_name), 0, 0},
    {"kill-on-connect", 'K', ARGV, NUMBER, AT(kill_pid), 2, INT32_MAX},
    {"prop", 'p', ARGV, PROP, 0, 0, 0},
    {"screensaver-name", 'S', ARGV, LOCKER, 0, 0, 0},
    {"trayicon-mode", 1, BOTH, TRAY, 0, 0, 0},
    {"override-redirect", 2, BOTH, BOOL, AT(override_allowed), 1, 0},
    {"allow-fullscreen", 0, CONF, BOOL, AT(fullscreen), 0, 0},
    {"allow-utf8-titles", 0, CONF, BOOL, AT(utf8), 0, 0},
    {"override-redirect-protection", 0, CONF, BOOL, AT(protect), 0, 0},
    {"frame-width", 0, CONF, NUMBER, AT(frame), 0, FRAME_MAX},
    {"startup-timeout", 0, CONF, NUMBER, AT(startup_timeout), 0, 86400},
    {"window-background-color", 0, CONF, TEXT, AT(background_color), 0, 0},
    /* of the clipboard's, or without a meaning here */
    {"max-clipboard-size", 3, BOTH, NUMBER, AT(ignored), 256, 256000},
    {"target-domid", 't', ARGV, NUMBER, AT(ignored), 0, 0x7fef},
    {"icon", 'i', ARGV, NONE, 0, 1, 0},
    {"quiet", 'q', ARGV, NONE, 0, 0, 0},
    {"verbose", 'v', ARGV, NONE, 0, 0, 0},
    {"qrexec-for-clipboard", 'Q', ARGV, NONE, 0, 0, 0},
    {"secure-copy-sequence", 0, CONF, NONE, 0, 0, 0},
    {"secure-paste-sequence", 0, CONF, NONE, 0, 0, 0},
    {"events-max-delay", 0, CONF, NONE, 0, 0, 0},
    {"log-level", 0, CONF, NONE, 0, 0, 0},
    {"help", 'h', ARGV, HELP, 0, 0, 0},
    {"version", 'V', ARGV, VERSION, 0, 0, 0},
};
#define SETTINGS (sizeof settings / sizeof *settings)

static bool
tray_mode(struct options *o, const char *mode)
{
	static const char *const parts[] = {
	    "bg", "border1", "border2", "tint", "saturation50", "whitehack", NULL};
	char text[64], *save, *part;

	snprintf(text, sizeof text, "%s", mode);
	o->tint = o->pale = false;
	o->tray_border = 0;
	for (part = strtok_r(text, "+", &save); part != NULL; part = strtok_r(NULL, "+", &save)) {
		if (!one_of(parts, part))
			return false;
		o->tint = o->tint || *part == 't';
		o->pale = o->pale || *part == 's';
		if (part[1] == 'o')
			o->tray_border = part[6] - '0';
	}
	o->tint = o->tint || o->tray_border == 0; /* bg is not served; no icon is without a mark */
	return true;
}

static bool
add_prop(struct options *o, char *arg)
{
	struct prop *p = &o->props[o->nprops];
	char *v = strchr(arg, '=');

	if (v == NULL || v == arg || o->nprops == NAMES_MAX || v[1] == '\0' || v[2] != ':')
		return false;
	*p = (struct prop){.name = arg, .data = p->words, .format = 32, .type = XCB_ATOM_CARDINAL};
	*v = '\0';
	if (v[1] == 's')
		*p = (struct prop){arg, v + 3, (uint32_t)strlen(v + 3), {0}, 8, XCB_ATOM_STRING, 0};
	else if (v[1] == 'a')
		*p = (struct prop){arg, v + 3, 1, {0}, 32, XCB_ATOM_ATOM, 0};
	else if (v[1] != 'c')
		return false;
	for (v += 3; p->data == p->words && *v != '\0' && p->n < 32; v += *v == ',') {
		p->words[p->n++] = (uint32_t)strtoul(v, &v, 0);
		v += strcspn(v, ",");
	}
	o->nprops++;
	return true;
}

/* A value that is none of its kind ends the program. */
static void
set(struct options *o, const struct setting *s, char *v)
{
	static const char *const yes[] = {"true", "1", "yes", "on", "True", "allow", NULL},
				 *const no[] = {"false", "0", "no", "off", "False", "", "disabled",
				     "disable", NULL};
	void *const at = (char *)o + s->at;
	bool good = true;

	if (s->kind == BOOL && (good = v == NULL || one_of(yes, v) || one_of(no, v)))
		*(bool *)at = v == NULL || one_of(yes, v);
	else if (s->kind == NUMBER)
		good = parse_u32(v, s->max, at) && *(uint32_t *)at >= s->min;
	else if (s->kind == WORD)
		*(const char **)at = v;
	else if (s->kind == TEXT)
		good = snprintf(at, TEXT_SIZE, "%s", v) < TEXT_SIZE;
	else if (s->kind == TRAY)
		good = tray_mode(o, v);
	else if (s->kind == PROP)
		good = add_prop(o, v);
	else if (s->kind == LOCKER && (good = o->nlockers <= NAMES_MAX))
		o->lockers[o->nlockers++] = v;
	else if (s->kind == HELP || s->kind == VERSION)
		exit(puts(s->kind == HELP ? help : "guid of Cubicle, GUI protocol 1.8") < 0);
	if (!good)
		usage_die("guid: %s cannot be %s", s->name, v);
}

/* n bytes of key, with - or _. false: no such key. */
static bool
set_key(struct options *o, const char *key, size_t n, char *v)
{
	char name[VM_FEATURE_LEN + 1];

	for (size_t i = 0; i <= n && i < sizeof name; i++)
		name[i] = (char)(i == n ? '\0' : key[i] == '_' ? '-' : key[i]);
	for (const struct setting *s = settings; n < sizeof name && s < settings + SETTINGS; s++)
		if (s->where & CONF && strcmp(s->name, name) == 0) {
			set(o, s, v);
			return true;
		}
	return false;
}

/* "key = value;" within "global: { }", with # and // comments: what there is of libconfig. */
static void
config(struct options *o, const char *file)
{
	FILE *f = fopen(file, "re");
	char *line, *save, *text = NULL, key[64], value[64];
	size_t size = 0;
	bool global = false;

	if (f == NULL)
		die("cannot read %s", file);
	while (getline(&text, &size, f) > 0)
		for (line = strtok_r(text, "\n;", &save); line != NULL;
		     line = strtok_r(NULL, "\n;", &save)) {
			line += strspn(line, " \t\r{");
			if (strncmp(line, "global", 6) == 0) {
				global = true;
				line += strcspn(line, "{");
				line += strspn(line, "{ \t");
			}
			if (*line == '}')
				global = false;
			if (!global || *line == '#' || strncmp(line, "//", 2) == 0)
				continue;
			if (sscanf(line, "%63[a-z0-9_] %*1[=:] \"%63[^\"]\"", key, value) != 2 &&
			    sscanf(line, "%63[a-z0-9_] %*1[=:] %63[^ \t\r#}]", key, value) != 2)
				continue;
			if (!set_key(o, key, strlen(key), value))
				logit("%s: %s = %s: not known, ignored", file, key, value);
		}
	free(text);
	(void)fclose(f);
}

/* feature.gui-KEY of the qube, feature.gui-default-KEY of dom0; others have such names, too. */
static void
features(struct options *o, const struct vmconf *c, const char *prefix)
{
	const size_t skip = strlen(prefix);
	char value[VM_FEATURES];

	for (const char *f = NULL; (f = vmconf_feature_next(c, f)) != NULL;) {
		const size_t n = strcspn(f, "=");

		snprintf(value, sizeof value, "%s", f + n + 1);
		if (n > skip && strncmp(f, prefix, skip) == 0)
			(void)set_key(o, f + skip, n - skip, value);
	}
}

/* ---- managed ---- */

static void
managed(struct options *o)
{
	static struct vmconf c;
	const struct label *l;
	struct vmconf_error e;
	struct vm_state s;
	const int run = open(RUN_STATE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const int vm = open(ETC_VM, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (!name_ok(o->session))
		usage_die("guid: --session: no qube's name");
	if (run < 0 || !state_read(run, o->session, &s))
		die("cannot read " RUN_STATE "/%s", o->session);
	o->domid = s.domid;
	o->qid = s.qid;
	o->title_name = true;
	if (vmconf_read(vm, "dom0", &c, &e))
		features(o, &c, "gui-default-");
	if (!vmconf_read(vm, o->session, &c, &e))
		die("%s:%u: %s", e.file, e.line, e.text);
	features(o, &c, "gui-");
	snprintf(o->name, sizeof o->name, "%s", o->session);
	snprintf(o->display, sizeof o->display, "%s", c.display);
	if (*o->display == '\0')
		die("%s: no display = :N", o->session);
	l = label_named(c.label);
	if (l != NULL) {
		snprintf(o->color, sizeof o->color, "0x%06x", (unsigned)l->rgb);
		o->label = (uint32_t)(l - labels) + 1;
	}
	close(run);
	close(vm);
}

/* ---- the command line ---- */

static const struct setting *
by_char(int c)
{
	for (const struct setting *s = settings; s < settings + SETTINGS; s++)
		if (s->where & ARGV && s->c == c)
			return s;
	usage_die("%s", help);
}

void
options(struct gui *g, int argc, char **argv)
{
	struct option longs[SETTINGS + 1] = {{NULL, 0, NULL, 0}};
	struct options *o = &g->o;
	size_t n = 0;
	int c;

	*o = (struct options){.color = "red",
	    .protect = true,
	    .override_allowed = true,
	    .tint = true,
	    .frame = FRAME,
	    .lockers = {PROMPT},
	    .nlockers = 1,
	    .startup_timeout = 45,
	    .background_color = "white"};
	log_open("guid", NULL);
	for (const struct setting *s = settings; s < settings + SETTINGS; s++)
		if (s->where & ARGV)
			longs[n++] = (struct option){s->name,
			    s->kind != BOOL && s->kind < HELP ? 1 : (int)s->min, NULL, s->c};
	/* The file first: the command line is stronger. */
	for (int i = 1; i + 1 < argc; i++)
		if (strcmp(argv[i], "-C") == 0 || strcmp(argv[i], "--config") == 0)
			config(o, argv[i + 1]);
	while ((c = getopt_long(argc, argv, "d:t:N:c:l:i:C:qvQnfIK:p:Th", longs, NULL)) != -1)
		set(o, by_char(c), optarg);
	if (optind != argc || strcmp(argv[optind - 1], "--") == 0)
		usage_die("%s", help);
	if (o->session != NULL)
		managed(o);
	else if (o->domid == 0 || !name_ok(o->name))
		usage_die("guid: -d ID and -N NAME are needed, a domain's and a qube's");
	if (o->nlockers == 1)
		o->lockers[o->nlockers++] = "xscreensaver";
	log_open("guid", o->name);
}
