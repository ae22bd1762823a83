/* SPDX-License-Identifier: ISC */
/* Inside the engine (engine*.c, parse*.c, sysinfo*.c), and for lint, which looks deeper. */
#ifndef ENGINE_INT_H
#define ENGINE_INT_H

#include <stdarg.h>

#include "engine.h"

/* Memory that is freed all at once. Exits 111 without memory. */
struct chunk;
struct arena {
	struct chunk *head;
	size_t left, next;
};
void *arena_get(struct arena *a, size_t n); /* zeroed, aligned for anything */
char *arena_dup(struct arena *a, const char *s, size_t n);
char *arena_vprintf(struct arena *a, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0), nonnull));
char *arena_printf(struct arena *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3), nonnull(2)));
void arena_free(struct arena *a);
void *grow(void *v, size_t *cap, size_t n,
    size_t item); /* room for n + 1 items; exits 111 without memory */

uint32_t str_hash(const char *s);

/* The words of spec/policy 2 "Tokens". */
enum tok {
	T_BAD,
	T_EMPTY, /* a known prefix and nothing behind it */
	T_NAME,	 /* or uuid:... */
	T_ANY,
	T_ANYVM,
	T_ADMIN,
	T_DEFAULT,
	T_DISPVM,
	T_DISP_NAME,
	T_DISP_TAG,
	T_TAG,
	T_TYPE,
};
enum { P_SOURCE = 1, P_TARGET = 2, P_REDIRECT = 4, P_CALLER = 8 };

struct pattern {
	enum tok kind;
	uint32_t hash;	 /* of val */
	const char *val; /* what is behind the prefix; the word itself for T_NAME */
};
/* T_BAD or T_EMPTY as kind: not a word for this place. */
struct pattern token(const char *word, unsigned place);

/* A source, or a target after check_target: who is meant. */
struct subject {
	enum tok kind; /* NAME, ADMIN, DEFAULT, DISPVM, DISP_NAME */
	const char *word;
	const char *val;
	const struct sys_vm
	    *vm; /* of NAME and DISP_NAME, and dom0 where written so that tags count; or NULL */
	uint32_t hash, hash_uuid;
	char uuid[64];
};
void subject_set(struct subject *s, const struct sysinfo *si, const char *word);
bool pattern_match(const struct pattern *pt, const struct subject *s, const struct subject *src,
    const struct sysinfo *si);
bool vm_tagged(const struct sys_vm *vm, const char *tag);
/* What a request or a rule's target= asks for; NULL or why not. Unknown names become @default. */
const char *check_target(
    struct subject *s, const struct sysinfo *si, const char *word, bool *notify);

struct crule {
	struct pattern source, target;
	const char *argument; /* NULL: any */
	uint32_t next;	      /* the next rule of the same service, or NO_RULE */
	uint16_t col[4];      /* of source, target, target= and default_target=; for lint */
};
#define NO_RULE UINT32_MAX

struct policy {
	struct arena mem;
	struct rule *rules;
	struct crule *crules;
	size_t nrules, cap_rules;
	struct policy_error *errors;
	size_t nerrors, cap_errors;
	const char **deps;
	size_t ndeps, cap_deps;
	uint32_t *table; /* hash of service: its first rule */
	size_t table_mask;
	uint32_t any_first; /* first rule of service * */
};

/* One file alone (qubes-policy-lint): old syntax if service is not NULL. */
struct policy *policy_load_file(const char *path, const char *service, const char *argument);
void policy_index(struct policy *p);

/* A request with everything looked up. */
struct ctx {
	const struct policy *p;
	const struct sysinfo *si;
	const struct policy_request *rq;
	struct decision *d;
	struct arena mem;
	struct subject source, target;
	char *service;	      /* without argument */
	const char *argument; /* + and the argument */
};
/* Rules whose service is ours, in order: start with *it = {0} and any = first; NO_RULE at the end.
 */
struct walk {
	uint32_t own, any;
};
struct walk walk_start(const struct ctx *c);
uint32_t walk_next(const struct ctx *c, struct walk *w);
bool rule_is(const struct ctx *c, uint32_t i, bool with_target);
/* Fills d->targets for an ask rule. */
void ask_targets(struct ctx *c, const struct rule *r);
/* autostart=no: is dest (a word) a running qube, or dom0? A disposable never is. */
bool runs_already(const struct sysinfo *si, const char *dest);

#endif
