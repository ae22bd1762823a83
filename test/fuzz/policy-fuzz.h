/* SPDX-License-Identifier: ISC */
#ifndef POLICY_FUZZ_H
#define POLICY_FUZZ_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/engine-int.h"

#define CHECK(c)                                                                                   \
	do                                                                                         \
		if (!(c))                                                                          \
			abort();                                                                   \
	while (0)

static inline struct sysinfo *
fuzz_house(void)
{
	static const char *const tags[] = {"red"};
	static const struct sys_vm vms[] = {
	    {.name = "dom0",
		.type = "AdminVM",
		.uuid = "00000000-0000-0000-0000-000000000000",
		.running = true},
	    {.name = "work",
		.type = "AppVM",
		.uuid = "1",
		.tags = tags,
		.ntags = 1,
		.default_dispvm = "dvm"},
	    {.name = "dvm",
		.type = "AppVM",
		.uuid = "2",
		.template_for_dispvms = true,
		.running = true},
	    {.name = "rvm",
		.type = "RemoteVM",
		.uuid = "3",
		.relayvm = "work",
		.transport_rpc = "a.P"},
	};
	struct sysinfo *si = sysinfo_new();

	for (size_t i = 0; i < sizeof(vms) / sizeof(vms[0]); i++)
		CHECK(sysinfo_add(si, &vms[i]));
	return si;
}

/* What holds for every decision, whatever the policy says. */
static inline void
check_decision(const struct policy *p, const struct sysinfo *si, const struct policy_request *rq)
{
	struct decision d;
	size_t k = 0;

	policy_decide(p, si, rq, &d);
	CHECK(policy_ok(p) || d.verdict == V_ERROR);
	if (d.verdict == V_ALLOW) {
		CHECK(d.target[0] != '\0' &&
		      (d.target[0] != '@' || strncmp(d.target, "@dispvm:", 8) == 0));
		CHECK((strcmp(d.target, "dom0") == 0) == (d.target_uuid[0] == '\0'));
		CHECK(d.file != NULL && d.user[0] != '\0');
	}
	if (d.verdict == V_ALLOW || d.verdict == V_ASK) {
		while (policy_rule(p, k) != NULL && rule_match(policy_rule(p, k), si, rq) != M_ALL)
			k++;
		if (rq->requested_source == NULL)
			CHECK(policy_rule(p, k) != NULL && policy_rule(p, k)->line == d.line);
	}
	if (d.verdict == V_ASK) {
		char *choice = strdup(d.targets[d.ntargets - 1]);

		CHECK(d.ntargets > 0 && choice != NULL);
		policy_answer(p, si, rq, choice, &d);
		CHECK(d.verdict == V_ALLOW || d.verdict == V_DENY);
		free(choice);
	}
	decision_free(&d);
}

static inline void
one_file(const uint8_t *bytes, size_t n, const char *service)
{
	static const char *const targets[] = {"work", "dvm", "dom0", "", "@dispvm", "rvm"};
	static struct sysinfo *si;
	int fd = memfd_create("policy", MFD_CLOEXEC);
	struct policy *p;
	char path[64];

	if (si == NULL)
		si = fuzz_house();
	CHECK(fd >= 0 && write(fd, bytes, n) == (ssize_t)n);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	p = policy_load_file(path, service, "*");
	close(fd);
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		struct policy_request rq = {"work", targets[i], "t.S+a", NULL};

		check_decision(p, si, &rq);
	}
	policy_free(p);
}

#endif
