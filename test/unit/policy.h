/* SPDX-License-Identifier: ISC */
/* For tests of the policy: a house of qubes, and policies made of strings. */
#ifndef TEST_POLICY_H
#define TEST_POLICY_H

#include "tap.h"

#include <ftw.h>
#include <sys/stat.h>

#include "engine/engine-int.h"

#define U(n) #n "-1111-4222-8333-444455556666"

static inline struct sysinfo *
house(void)
{
	static const char *const red[] = {"red", "blue"}, *const green[] = {"green"},
				 *const adm[] = {"adm"};
	static const struct sys_vm vms[] = {
	    {.name = "dom0",
		.type = "AdminVM",
		.uuid = "00000000-0000-0000-0000-000000000000",
		.tags = adm,
		.ntags = 1,
		.default_dispvm = "dvm",
		.running = true},
	    {.name = "work",
		.type = "AppVM",
		.uuid = U(00000001),
		.tags = red,
		.ntags = 2,
		.default_dispvm = "dvm",
		.running = true},
	    {.name = "mail",
		.type = "AppVM",
		.uuid = U(00000002),
		.default_dispvm = "dvm",
		.running = true},
	    {.name = "vault",
		.type = "AppVM",
		.uuid = U(00000003),
		.tags = green,
		.ntags = 1,
		.default_dispvm = "dvm",
		.template_for_dispvms = true},
	    {.name = "dvm",
		.type = "AppVM",
		.uuid = U(00000004),
		.default_dispvm = "dvm",
		.template_for_dispvms = true},
	    {.name = "hid",
		.type = "AppVM",
		.uuid = U(00000005),
		.internal = true,
		.template_for_dispvms = true},
	    {.name = "nodvm", .type = "TemplateVM", .uuid = U(00000006)},
	    {.name = "rvm",
		.type = "RemoteVM",
		.uuid = U(00000007),
		.relayvm = "relay",
		.transport_rpc = "air.Proxy",
		.default_dispvm = "dvm"},
	    {.name = "relay", .type = "AppVM", .uuid = U(00000008), .default_dispvm = "ghost"},
	    {.name = "rvm2", .type = "RemoteVM", .uuid = U(00000009), .relayvm = "relay"},
	    {.name = "rvm3", .type = "RemoteVM", .uuid = U(0000000a), .transport_rpc = "air.Proxy"},
	};
	struct sysinfo *si = sysinfo_new();

	for (size_t i = 0; i < NELEM(vms); i++)
		assert_true(sysinfo_add(si, &vms[i]));
	return si;
}

/* A tree etc/ run/ legacy/ other/ below the test's directory, empty. */
static inline int
rm_one(const char *path, const struct stat *st, int what, struct FTW *f)
{
	return f->level == 0 ? 0 : remove(path);
}

static inline struct policy_dirs
fresh(void)
{
	static char etc[4096], run[4096], legacy[4096];
	static const char *const sub[] = {"etc", "run", "legacy", "other", "etc/include", "etc/d"};

	nftw(test_dir(), rm_one, 16, FTW_DEPTH | FTW_PHYS);
	for (size_t i = 0; i < NELEM(sub); i++)
		assert_int_equal(mkdir(in_dir(sub[i]), 0755), 0);
	snprintf(etc, sizeof(etc), "%s", in_dir("etc"));
	snprintf(run, sizeof(run), "%s", in_dir("run"));
	snprintf(legacy, sizeof(legacy), "%s", in_dir("legacy"));
	return (struct policy_dirs){.run = run, .etc = etc, .legacy = legacy};
}

static inline void
put_text(const char *path, const char *text)
{
	put_file(path, text, strlen(text));
}

static inline struct policy *
policy_of(const char *text, size_t n)
{
	struct policy_dirs d = fresh();

	put_file("etc/30-user.policy", text, n);
	return policy_load(&d);
}

static inline struct policy *
policy_from(const char *text)
{
	return policy_of(text, strlen(text));
}

static inline struct decision
decide(const struct policy *p, const char *source, const char *target, const char *service)
{
	struct sysinfo *si = house();
	struct policy_request rq = {source, target, service, NULL};
	struct decision d;

	policy_decide(p, si, &rq, &d);
	sysinfo_free(si);
	return d;
}

/* What a policy of this text says, in one word and the answer: "allow mail", "deny", "ask a b",
 * "error". */
static inline const char *
says(const char *text, const char *source, const char *target, const char *service)
{
	static char out[1024];
	struct policy *p = policy_from(text);
	struct decision d = decide(p, source, target, service);
	static const char *const word[] = {"deny", "allow", "ask", "error"};

	snprintf(out, sizeof(out), "%s", word[d.verdict]);
	if (d.verdict == V_ALLOW)
		snprintf(out, sizeof(out), "allow %s", d.target);
	for (size_t i = 0; i < d.ntargets; i++)
		snprintf(out + strlen(out), sizeof(out) - strlen(out), " %s", d.targets[i]);
	decision_free(&d);
	policy_free(p);
	return out;
}

#endif
