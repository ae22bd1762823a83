/* SPDX-License-Identifier: ISC */
/* qvm-features, and qvm-service, which are those that begin with "service.". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qvm.h"
#include "vmconf-keys.h"
#include "vmedit.h"

#define SERVICE "service."

static const char help_features[] = "usage: qvm-features [-D] QUBE [FEATURE [VALUE]]\n"
				    "Shows a qube's features, or one of them, or sets it.\n"
				    "  -D, --unset, --default   take it away\n"
				    "Exit: 0, 1 failed or not set, 2 usage.\n";
static const char help_service[] = "usage: qvm-service [-e|-d|-D] QUBE [SERVICE [on|off]]\n"
				   "Shows which services a qube is to run, or changes one.\n"
				   "  -e, --enable             on\n"
				   "  -d, --disable            off\n"
				   "  -D, --unset, --default   as the qube itself has it\n"
				   "Exit: 0, 1 failed, off or not set, 2 usage.\n";

static int
by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static const char *
on_off(const char *value)
{
	return vmconf_true(value) ? "on" : "off";
}

static int
list(const struct vmconf *c, const char *prefix)
{
	const char *all[VM_FEATURES / 2] = {NULL}, *p = NULL;
	const size_t cut = strlen(prefix);
	size_t n = 0;
	int width = 0, len;

	while ((p = vmconf_feature_next(c, p)) != NULL) {
		if (strncmp(p, prefix, cut) != 0)
			continue;
		all[n++] = p + cut;
		len = (int)strcspn(p + cut, "=");
		width = len > width ? len : width;
	}
	qsort(all, n, sizeof all[0], by_text);
	for (size_t i = 0; i < n; i++) {
		len = (int)strcspn(all[i], "=");
		printf("%-*.*s  %s\n", width, len, all[i],
		    cut > 0 ? on_off(all[i] + len + 1) : all[i] + len + 1);
	}
	return fflush(stdout) == 0 ? 0 : 1;
}

/* NULL: what it is now. */
static int
show(const struct vmconf *c, const char *name, bool service)
{
	const char *value = vmconf_feature(c, name);

	if (value == NULL)
		return 1;
	puts(service ? on_off(value) : value);
	return !service || vmconf_true(value) ? 0 : 1;
}

static int
change(const char *qube, const char *name, const char *value)
{
	struct vmconf_error e;
	const int dir = vm_dir();
	char key[sizeof FEATURE + VM_FEATURE_LEN + 1];

	if (strlen(name) > VM_FEATURE_LEN)
		return !say("a name of at most %d: %s", VM_FEATURE_LEN, text_esc(name));
	snprintf(key, sizeof key, FEATURE "%s", name);
	return vmedit_set(dir, qube, key, value, &e) ? 0 : !say_conf(&e);
}

int
qvm_features(int argc, char **argv)
{
	static const struct option longs[] = {{"unset", no_argument, NULL, 'D'},
	    {"default", no_argument, NULL, 'D'}, {"delete", no_argument, NULL, 'D'}, COMMON_LONG};
	bool unset = false;
	struct qube q;
	int c;

	while ((c = getopt_long(argc, argv, "D" COMMON_SHORT, longs, NULL)) != -1) {
		unset = unset || c == 'D';
		common(c, help_features);
	}
	argv += optind;
	argc -= optind;
	if (argc < 1 || argc > 3 || (unset && argc != 2))
		usage(argc < 1 ? "a qube's name is missing" : "QUBE [FEATURE [VALUE]]");
	if (!qube_load(argv[0], &q))
		return 1;
	if (argc == 1)
		return list(&q.conf, "");
	if (argc == 2 && !unset)
		return show(&q.conf, argv[1], false);
	return change(q.conf.name, argv[1], unset ? NULL : argv[2]);
}

/* NULL: of no such word. */
static const char *
switch_of(const char *word)
{
	const char *is = value_of("bool", word);

	return strcmp(is, "true") == 0 ? "1" : strcmp(is, "false") == 0 ? "" : NULL;
}

int
qvm_service(int argc, char **argv)
{
	static const struct option longs[] = {{"enable", no_argument, NULL, 'e'},
	    {"disable", no_argument, NULL, 'd'}, {"unset", no_argument, NULL, 'D'},
	    {"default", no_argument, NULL, 'D'}, {"delete", no_argument, NULL, 'D'},
	    {"list", no_argument, NULL, 'l'}, COMMON_LONG};
	char name[VM_FEATURE_LEN + 2];
	const char *value = NULL;
	int c, how = 0;
	struct qube q;

	while ((c = getopt_long(argc, argv, "edDl" COMMON_SHORT, longs, NULL)) != -1) {
		how = c == 'e' || c == 'd' || c == 'D' ? c : how;
		common(c, help_service);
	}
	argv += optind;
	argc -= optind;
	if (argc < 1 || argc > 3 || (how != 0 && argc != 2))
		usage(argc < 1 ? "a qube's name is missing" : "QUBE [SERVICE [on|off]]");
	if (argc == 3)
		value = switch_of(argv[2]);
	if (argc == 3 && value == NULL)
		usage("%s: not on or off", text_esc(argv[2]));
	if (!qube_load(argv[0], &q))
		return 1;
	if (argc == 1)
		return list(&q.conf, SERVICE);
	snprintf(name, sizeof name, SERVICE "%s", argv[1]);
	if (how == 0 && argc == 2)
		return show(&q.conf, name, true);
	if (how != 0)
		value = how == 'e' ? "1" : how == 'd' ? "" : NULL;
	return change(q.conf.name, name, value);
}
