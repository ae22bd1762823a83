/* SPDX-License-Identifier: ISC */
/* qvm: all of them in one program. */
#include <stdio.h>
#include <string.h>

#include "qvm.h"

struct tool {
	const char *name;
	int (*run)(int argc, char **argv);
};

static const struct tool tools[] = {
    {"qvm-kill", qvm_kill},
    {"qvm-ls", qvm_ls},
    {"qvm-shutdown", qvm_shutdown},
    {"qvm-start", qvm_start},
};
#define NTOOLS (sizeof tools / sizeof *tools)

static const struct tool *
tool_named(const char *name)
{
	const char *base = strrchr(name, '/');

	base = base != NULL ? base + 1 : name;
	for (size_t i = 0; i < NTOOLS; i++)
		if (strcmp(tools[i].name, base) == 0 || (strncmp(tools[i].name, "qvm-", 4) == 0 &&
							    strcmp(tools[i].name + 4, base) == 0))
			return &tools[i];
	return NULL;
}

/* Called as one of them, or as "qvm NAME ...": "qvm ls" is qvm-ls. */
int
main(int argc, char **argv)
{
	const struct tool *t = argc > 0 ? tool_named(argv[0]) : NULL;
	int from = 0;

	if (t == NULL && argc > 1) {
		t = tool_named(argv[1]);
		from = 1;
	}
	if (t != NULL) {
		argv[from] = (char *)(size_t)t->name;
		return t->run(argc - from, argv + from);
	}
	if (argc > 1 && strcmp(argv[1], "--help") != 0)
		fprintf(stderr, "qvm: no such command\n");
	printf("usage: qvm COMMAND [ARGUMENT]...\nThe commands, each also a program of its own:\n");
	for (size_t i = 0; i < NTOOLS; i++)
		printf("  %s\n", tools[i].name);
	return argc > 1 && strcmp(argv[1], "--help") == 0 ? 0 : 2;
}
