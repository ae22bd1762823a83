/* SPDX-License-Identifier: ISC */
/*
 * The policy: files in, decisions out (spec/policy). No I/O but policy_load; no logging; no
 * process. Used by policyd, qrexec-policy and the fuzz targets.
 */
#ifndef ENGINE_H
#define ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the engine knows of the qubes: copied in, looked up by name or uuid by hash. */
struct sys_vm {
	const char *name;
	const char *type;		     /* AppVM, ... */
	const char *uuid;		     /* 36 characters */
	const char *default_dispvm;	     /* or NULL */
	const char *relayvm, *transport_rpc; /* or NULL */
	const char *guivm, *icon;	     /* or NULL */
	const char *disp_base;		     /* a DispVM's template; else NULL */
	const char *const *tags;
	size_t ntags;
	bool template_for_dispvms, internal, running;
};
struct sysinfo;
struct sysinfo *sysinfo_new(void);
bool sysinfo_add(
    struct sysinfo *si, const struct sys_vm *vm); /* copies; false: no memory or a double name */
void sysinfo_set_running(struct sysinfo *si, const char *name, bool running);
const struct sys_vm *sysinfo_find(const struct sysinfo *si, const char *name_or_uuid);
const struct sys_vm *sysinfo_at(
    const struct sysinfo *si, size_t i); /* NULL past the end; in order of adding */
void sysinfo_free(struct sysinfo *si);

struct policy_dirs {
	const char *run, *etc, *legacy; /* RUN_POLICY, ETC_POLICY, LEGACY_POLICY */
};

/* One thing wrong in the files. */
struct policy_error {
	char *file;
	unsigned line, col; /* 0: the file as a whole */
	char *text;	    /* what is wrong and what is expected */
};

struct policy;
/*
 * Loads everything. Never NULL (exits 111 without memory): a policy with errors refuses every call.
 * All errors are collected, not only the first. What was read (files and directories) is listed for
 * inotify.
 */
struct policy *policy_load(const struct policy_dirs *dirs);
void policy_free(struct policy *p);
bool policy_ok(const struct policy *p);
size_t policy_nerrors(const struct policy *p);
const struct policy_error *policy_error(const struct policy *p, size_t i);
const char *policy_dep(
    const struct policy *p, size_t i); /* directories looked into; NULL past the end */

struct policy_request {
	const char *source;
	const char *target;	      /* as the caller said it; "" is @default */
	const char *service;	      /* SERVICE or SERVICE+ARG */
	const char *requested_source; /* NULL or "": none */
};

enum verdict { V_DENY, V_ALLOW, V_ASK, V_ERROR };

struct decision {
	enum verdict verdict;
	bool notify;
	const char *reason; /* deny, error: a few words. Points into buf or static */
	const char *file;   /* the deciding rule's, or NULL */
	unsigned line;
	const char *user;     /* "DEFAULT" or the rule's; NULL with a RemoteVM means DEFAULT */
	const char *target;   /* allow: dom0, NAME, uuid:..., @dispvm:BASE, the relay */
	char target_uuid[64]; /* "" for dom0 */
	const char *requested_target;
	const char *policy_source; /* "" if none */
	const char *service;	   /* only RemoteVM: TRANSPORT+REMOTE+SERVICE+ARG; else NULL */
	const char *source;	   /* the source's plain name (a uuid resolved) */
	bool autostart;
	char **targets; /* ask: offered, sorted, ntargets */
	size_t ntargets;
	const char *default_target; /* ask: "" if none */
	char *buf;		    /* owned memory behind the pointers above */
};

void policy_decide(const struct policy *p, const struct sysinfo *si,
    const struct policy_request *rq, struct decision *d);
/* The user chose: checks that choice was offered and makes *d an allow (or a deny). */
void policy_answer(const struct policy *p, const struct sysinfo *si,
    const struct policy_request *rq, const char *choice, struct decision *d);
void decision_free(struct decision *d);

/* For explain, lint, print and graph: the rules in order. */
struct rule {
	const char *file; /* as the user would open it */
	unsigned line;	  /* 0: implied by a legacy file */
	const char *service, *argument, *source,
	    *target; /* words as written, $ already @ in old syntax */
	enum verdict action;
	const char *redirect, *default_target, *user; /* NULL: not given */
	bool notify, autostart;
};
size_t policy_nrules(const struct policy *p);
const struct rule *policy_rule(const struct policy *p, size_t i);
/* Which of service, argument, source, target match rule r. */
enum { M_SERVICE = 1, M_ARGUMENT = 2, M_SOURCE = 4, M_TARGET = 8, M_ALL = 15 };
int rule_match(const struct rule *r, const struct sysinfo *si, const struct policy_request *rq);

#endif
