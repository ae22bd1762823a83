/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "qvm-make.h"
#include "vmconf-keys.h"
#include "vmedit.h"

#define PROPERTIES 64

static const char help[] =
    "usage: qvm-create --label COLOUR [OPTION]... NAME\n"
    "Makes a qube: its volumes, then its file in /etc/qubes/vm.d.\n"
    "  -l, --label COLOUR      red orange yellow green gray blue purple black\n"
    "  -t, --template QUBE     whose root it uses; default: the machine's default_template\n"
    "  -C, --class CLASS       AppVM (the default), TemplateVM, StandaloneVM, DispVM, RemoteVM\n"
    "  --standalone, --disp    the same as -C StandaloneVM, -C DispVM\n"
    "  --property NAME=VALUE   any property of qvm-prefs; may be given several times\n"
    "  -r, --root-copy-from PATH   its root: an image file or a directory\n"
    "  -R, --root-move-from PATH   the same; the image file is removed then\n"
    "  -P, --pool POOL, -p VOLUME=POOL   there is one: file\n"
    "Exit: 0, 1 failed, 2 usage, 3 the root could not be taken; nothing has changed then.\n";

static struct {
	const char *name, *class, *label, *template, *root;
	struct option_pair prop[PROPERTIES];
	size_t nprop;
	bool move;
} o = {.class = "AppVM"};

static void
property(char *pair)
{
	char *value = value_after(pair);

	if (value == NULL)
		usage("--property NAME=VALUE: %s", text_esc(pair));
	if (o.nprop == PROPERTIES)
		usage("more than %d properties", PROPERTIES);
	o.prop[o.nprop++] = (struct option_pair){pair, value};
}

static void
option(int c)
{
	switch (c) {
	case 'l':
		o.label = optarg;
		break;
	case 't':
		o.template = optarg;
		break;
	case 'C':
		o.class = optarg;
		break;
	case 's':
		o.class = "StandaloneVM";
		break;
	case 'd':
		o.class = "DispVM";
		break;
	case 'o':
		property(optarg);
		break;
	case 'r':
	case 'R':
		if (o.root != NULL)
			usage("one root");
		o.root = optarg;
		o.move = c == 'R';
		break;
	case 'P':
	case 'p':
		make_pool(optarg);
		break;
	default:
		common(c, help);
	}
}

static void
options(int argc, char **argv)
{
	static const struct option longs[] = {{"label", required_argument, NULL, 'l'},
	    {"template", required_argument, NULL, 't'}, {"class", required_argument, NULL, 'C'},
	    {"standalone", no_argument, NULL, 's'}, {"disp", no_argument, NULL, 'd'},
	    {"property", required_argument, NULL, 'o'}, {"prop", required_argument, NULL, 'o'},
	    {"root-copy-from", required_argument, NULL, 'r'},
	    {"root-move-from", required_argument, NULL, 'R'},
	    {"pool", required_argument, NULL, 'P'}, {"help-classes", no_argument, NULL, 'c'},
	    COMMON_LONG};
	static const char *const classes[] = {
	    "AppVM", "DispVM", "RemoteVM", "StandaloneVM", "TemplateVM", NULL};
	int c;

	while ((c = getopt_long(argc, argv, "l:t:C:r:R:P:p:" COMMON_SHORT, longs, NULL)) != -1) {
		for (const char *const *p = classes; c == 'c' && *p != NULL; p++)
			puts(*p);
		if (c == 'c')
			_exit(fflush(stdout) == 0 ? 0 : 1);
		option(c);
	}
	if (argc - optind != 1)
		usage(argc == optind ? "the new qube's name is missing" : "one name");
	o.name = argv[optind];
	if (!one_of(classes, o.class))
		usage("%s: no such class (--help-classes)", text_esc(o.class));
	if (o.label == NULL && strcmp(o.class, "DispVM") != 0)
		usage("--label is mandatory: red, orange, yellow, green, gray, blue, purple or "
		      "black");
}

/* A root of its own comes from nothing, a path or another's; one of a template's never is its own.
 */
static bool
find_template(int dir)
{
	static struct vmconf machine;
	const bool needs = strcmp(o.class, "AppVM") == 0 || strcmp(o.class, "DispVM") == 0;
	struct vmconf_error e;

	if (o.template != NULL && o.template[0] == '\0')
		o.template = NULL;
	if (o.template != NULL &&
	    (strcmp(o.class, "TemplateVM") == 0 || strcmp(o.class, "RemoteVM") == 0))
		return say("a %s has no template (qvm-clone copies one)", o.class);
	if (o.template == NULL && needs) {
		if (!vmconf_defaults(dir, &machine, &e))
			return say_conf(&e);
		o.template = strcmp(o.class, "DispVM") == 0 ? machine.default_dispvm
							    : machine.default_template;
		if (o.template[0] == '\0')
			return say(
			    "--template is missing, and the machine has no default (qubes-prefs "
			    "%s NAME)",
			    strcmp(o.class, "DispVM") == 0 ? "default_dispvm" : "default_template");
	}
	return o.template == NULL || !needs || ref_fits(dir, o.class, "template", o.template);
}

/* A StandaloneVM inherits nothing: what its template says becomes its own. */
static bool
as_template(int dir, struct buf *text)
{
	struct buf from = {.max = TEXT_MAX};
	char value[VM_OPTS_LEN + 1];
	bool ok = buf_read_file(&from, dir, o.template);

	for (const struct key *k = key_next(NULL); ok && k != NULL; k = key_next(k))
		if ((k->flags & INHERIT) && strcmp(k->name, "root") != 0 &&
		    vmedit_value(&from, k->name, value, sizeof value))
			ok = make_line(text, k->name, value);
	buf_free(&from);
	return ok;
}

static bool
write_text(int dir, struct buf *text, const struct vmconf *tmpl)
{
	const bool own_root = strcmp(o.class, "StandaloneVM") == 0;
	bool ok = make_line(text, "type", o.class) &&
		  make_line(text, "label", o.label != NULL ? o.label : tmpl->label);

	if (ok && o.template != NULL)
		ok = own_root ? as_template(dir, text) : make_line(text, "template", o.template);
	ok = ok && make_uuid(text);
	for (size_t i = 0; ok && i < o.nprop; i++)
		ok = make_property(dir, text, o.class, o.prop[i].name, o.prop[i].value);
	return ok;
}

int
qvm_create(int argc, char **argv)
{
	static struct vmconf tmpl;
	struct source from = {0};
	struct buf text = {.max = TEXT_MAX};
	struct vmconf_error e;
	int dir, rc;

	options(argc, argv);
	dir = vm_dir();
	from.root = o.root;
	if (!make_name(dir, o.name) || !find_template(dir))
		return 1;
	if (o.template != NULL && !vmconf_read(dir, o.template, &tmpl, &e))
		return !say_conf(&e);
	if (o.template != NULL && strcmp(o.class, "StandaloneVM") == 0) {
		if (!ref_fits(dir, "AppVM", "template", o.template))
			return 1;
		if (o.root == NULL)
			from.clone = &tmpl;
	}
	if (!write_text(dir, &text, &tmpl))
		return 1;
	rc = make_qube(dir, o.name, &text, &from);
	buf_free(&text);
	if (rc == 0 && o.move && unlink(o.root) < 0 && errno != EISDIR && errno != EPERM)
		say("%s: made; %s: %s", o.name, text_esc(o.root), strerror(errno));
	return rc;
}
