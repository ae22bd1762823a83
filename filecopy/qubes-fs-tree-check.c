/* SPDX-License-Identifier: ISC */
/* qubes-fs-tree-check: before a copy (spec/filecopy 4). */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "filecopy/tree-check.h"
#include "log.h"

#define EXIT_REFUSED 1
#define EXIT_ODD_NAMES 2

static _Noreturn void
usage(int code)
{
	fputs("usage: qubes-fs-tree-check [--machine] [--[no-]allow-symlinks] "
	      "[--[no-]allow-directories]\n"
	      "           [--[no-]ignore-symlinks] [--] FILE...\n"
	      "Whether another qube would take these. Exit status: 0 yes, 1 no, 2 some names only "
	      "by\n"
	      "qubes.Filecopy+allow-all-names.\n"
	      "  --machine  print the number of bytes only\n",
	    code == 0 ? stdout : stderr);
	exit(code);
}

int
main(int argc, char **argv)
{
	static const struct option longs[] = {{"allow-symlinks", no_argument, NULL, 's'},
	    {"no-allow-symlinks", no_argument, NULL, 'S'},
	    {"allow-directories", no_argument, NULL, 'd'},
	    {"no-allow-directories", no_argument, NULL, 'D'},
	    {"ignore-symlinks", no_argument, NULL, 'i'},
	    {"no-ignore-symlinks", no_argument, NULL, 'I'}, {"machine", no_argument, NULL, 'm'},
	    {"help", no_argument, NULL, 'h'}, {0}};
	struct tree_check check = {0};
	bool machine = false;
	int c;

	log_open("qubes-fs-tree-check", NULL);
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1)
		switch (c) {
		case 's':
		case 'S':
			check.links = c == 's';
			break;
		case 'd':
		case 'D':
			check.directories = c == 'd';
			break;
		case 'i':
		case 'I':
			check.ignore_links = c == 'i';
			break;
		case 'm':
			machine = true;
			break;
		default:
			usage(c == 'h' ? 0 : EXIT_REFUSED);
		}
	if (optind == argc)
		usage(EXIT_REFUSED);
	for (int i = optind; i < argc; i++)
		if (!tree_check(&check, argv[i]))
			return EXIT_REFUSED;
	printf(machine ? "%" PRIu64 "\n" : "%" PRIu64 " bytes\n", check.bytes);
	if (check.odd_names && !machine)
		puts("some names need qubes.Filecopy+allow-all-names");
	return check.odd_names ? EXIT_ODD_NAMES : 0;
}
