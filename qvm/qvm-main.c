/* SPDX-License-Identifier: ISC */
/* qvm: all of them in one program. */
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "qvm.h"

struct tool {
	const char *name;
	tool_fn *run;
};

static const struct tool tools[] = {
    {"qubes-prefs", qubes_prefs},
    {"qvm-check", qvm_check},
    {"qvm-clone", qvm_clone},
    {"qvm-create", qvm_create},
    {"qvm-features", qvm_features},
    {"qvm-kill", qvm_kill},
    {"qvm-ls", qvm_ls},
    {"qvm-pause", qvm_pause},
    {"qvm-prefs", qvm_prefs},
    {"qvm-remove", qvm_remove},
    {"qvm-service", qvm_service},
    {"qvm-shutdown", qvm_shutdown},
    {"qvm-start", qvm_start},
    {"qvm-tags", qvm_tags},
    {"qvm-template-import", qvm_template_import},
    {"qvm-template-update", qvm_template_update},
    {"qvm-unpause", qvm_unpause},
    {"qvm-volume", qvm_volume},
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

static int
list(void)
{
	printf("usage: qvm COMMAND [ARGUMENT]...\nThe commands, each also a program of its own:\n");
	for (size_t i = 0; i < NTOOLS; i++)
		printf("  %s\n", tools[i].name);
	return fflush(stdout) == 0 ? 0 : 1;
}

/* Called as one of them, or as "qvm NAME ...": "qvm ls" is qvm-ls. */
int
main(int argc, char **argv)
{
	static char name[32];
	const struct tool *t = argc > 0 ? tool_named(argv[0]) : NULL;
	int from = 0;

	if (t == NULL && argc > 1) {
		t = tool_named(argv[1]);
		from = 1;
	}
	if (t == NULL && argc > 1 && strcmp(argv[1], "--help") == 0)
		return list();
	if (t == NULL)
		usage("%s: no such command", argc > 1 ? text_esc(argv[1]) : "");
	snprintf(name, sizeof name, "%s", t->name);
	argv[from] = name;
	tool_name = name;
	log_open(name, NULL); /* what lib and storage say */
	return t->run(argc - from, argv + from);
}
