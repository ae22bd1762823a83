/* SPDX-License-Identifier: ISC */
/* qvm-template-import: a template from a root image or a directory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "qvm-make.h"

static const char help[] =
    "usage: qvm-template-import [-l LABEL] [--property NAME=VALUE] FILE|DIR NAME\n"
    "Makes the template NAME. Its root is a copy of the directory DIR (debootstrap's output, say) "
    "or,\n"
    "on Xen, of the root image FILE.\n"
    "  -l, --label LABEL       its label; black\n"
    "  --property NAME=VALUE   sets a property; may be repeated\n"
    "What takes longer than a second says on a terminal how far it is.\n";

int
qvm_template_import(int argc, char **argv)
{
	static const struct option longs[] = {{"label", required_argument, NULL, 'l'},
	    {"property", required_argument, NULL, 'P'}, {"prop", required_argument, NULL, 'P'},
	    COMMON_LONG};
	struct buf text = {.max = TEXT_MAX};
	struct source from = {0};
	const char *label = "black";
	char *path, *value;
	int c, dir, rc = 1;
	bool ok;

	dir = vm_dir();
	ok = make_line(&text, "type", "TemplateVM");
	while ((c = getopt_long(argc, argv, "l:" COMMON_SHORT, longs, NULL)) != -1) {
		if (c == 'l')
			label = optarg;
		if (c == 'P') {
			value = value_after(optarg);
			if (value == NULL)
				usage("--property: NAME=VALUE is meant");
			ok = make_property(dir, &text, "TemplateVM", optarg, value) && ok;
		}
		common(c, help);
	}
	if (argc - optind != 2)
		usage("a root image or a directory, and a name");
	path = realpath(argv[optind], NULL);
	if (path == NULL) {
		perror(argv[optind]);
		return 1;
	}
	from.root = path;
	if (ok && make_name(dir, argv[optind + 1]) && make_line(&text, "label", label))
		rc = make_qube(dir, argv[optind + 1], &text, &from) != 0;
	buf_free(&text);
	free(path);
	return rc;
}
