/* SPDX-License-Identifier: ISC */
/* What the qvm-* commands share: all are one program, told by its name which it is (qvm-main.c). */
#ifndef QVM_H
#define QVM_H

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "names.h"
#include "state.h"
#include "vmconf.h"

/* Each is like a main(): argv[0] is its name, the result the exit status. */
typedef int tool_fn(int argc, char **argv);
tool_fn qubes_prefs, qvm_check, qvm_clone, qvm_create, qvm_features, qvm_kill, qvm_ls, qvm_pause,
    qvm_prefs, qvm_remove, qvm_service, qvm_shutdown, qvm_start, qvm_tags, qvm_template_update,
    qvm_template_import, qvm_unpause, qvm_volume;

#define EXIT_USAGE 2 /* as argparse has it */

/* ---- words (qvm.c) ---- */

/* "PROGRAM: text" on standard error; false, for who returns that. */
bool say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The same of a file of vm.d: where, and what is wrong there. */
bool say_conf(const struct vmconf_error *e);
const char *text_esc(const char *untrusted); /* for a word or two; good until the next but one */
/* The same with how to get help, exit 2. */
void usage(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
extern const char *tool_name;

/* What all commands have. Calls common(c, help) for what they do not know themselves. */
#define COMMON_SHORT "hqv"
#define COMMON_LONG                                                                                \
	{"help", no_argument, NULL, 'h'}, {"quiet", no_argument, NULL, 'q'},                       \
	    {"verbose", no_argument, NULL, 'v'}, {"version", no_argument, NULL, 'V'},              \
	{                                                                                          \
		0                                                                                  \
	}
void common(int c, const char *help); /* may exit */
extern bool quiet;

/* ---- qubes (qvm.c) ---- */

struct qube {
	struct vmconf conf;
	struct vm_state st;
	char state[16]; /* Halted if nothing runs */
	bool known;	/* conf could be read */
};

int vm_dir(void);    /* ETC_VM; exits 1 with a word when it cannot be read */
int state_dir(void); /* RUN_STATE; -1: nothing is up */
/* All of vm.d and what runs, sorted by name; dom0 first. Exits 1 with a word when it cannot be
 * read. What is wrong in a file is said. */
struct qube *qubes_all(size_t *n);
/* One of them; NULL after saying "no such domain". */
struct qube *qube_named(struct qube *q, size_t n, const char *name);
/* One alone; false after saying why. */
bool qube_load(const char *name, struct qube *q);
bool qube_exists(const char *name); /* the same, of its name */
bool qube_runs(const struct qube *q);

/* A request to startd ("op=..." lines without the name); says why on standard error when it is
 * refused. */
bool qvm_ask(const char *name, const char *lines, int ms);

/*
 * Runs fn for each qube at the same time, each in a process of its own; returns how many of them
 * returned false.
 */
int qvm_each(struct qube **list, size_t n, bool (*fn)(struct qube *));

/* Which qubes a command is for: NAME... or --all [--exclude NAME]. */
#define EXCLUDE_MAX 64
struct pick {
	bool all;
	const char *exclude[EXCLUDE_MAX];
	size_t nexclude;
};
#define PICK_OPTIONS                                                                               \
	{"all", no_argument, NULL, 'a'}, {"exclude", required_argument, NULL, 'x'}, COMMON_LONG
void pick_option(struct pick *p, int c, const char *arg, const char *help);
/* The qubes that a command looks at, as qubes_all: the named ones, or with --all or whole all. */
struct qube *pick_qubes(const struct pick *p, char **names, bool whole, size_t *n);
/* Which of all are meant by --all. */
enum pick_all { PICK_ALL, PICK_RUNNING, PICK_HALTED };
/*
 * The list, of names or of all. NULL: an unknown qube; it has been said. An empty list is not NULL.
 * q: pick_qubes's.
 */
struct qube **pick_list(const struct pick *p, char **names, enum pick_all which, struct qube *q,
    size_t total, size_t *n);

/* ---- storage's progress on a terminal (volumes/qvm-make.c) ---- */

struct storage_progress;
const struct storage_progress *progress_of(const char *name);
void progress_end(void);

/* ---- what a key of vm.d may refer to (qvm-refs.c) ---- */

/* Whether key may say value in a qube of this class; false after saying why not. */
bool ref_fits(int dir, const char *class, const char *key, const char *value);
/* Whether name may lose what others need of it: says who uses it as key. */
bool ref_free(int dir, const char *name, const char *key);
/* Says who names it and how to change that; for vmedit_remove_unused. arg: the name. */
void ref_say(void *arg, const char *by, const char *key);

/* A value as a person gives it becomes one of vm.d: None and none are nobody, on is true. */
const char *value_of(const char *type, const char *given);
/* "name=value" as an argument; the name is cut off in place. NULL: no =. */
char *value_after(char *pair);

#endif
