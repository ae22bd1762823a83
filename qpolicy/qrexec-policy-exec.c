/* SPDX-License-Identifier: ISC */
/* qrexec-policy-exec: the decision for a script (spec/qrexec 6). policyd is asked if it is there.
 */
#include <getopt.h>
#include <string.h>
#include <unistd.h>

#include "kv.h"
#include "log.h"
#include "paths.h"
#include "qpolicy/tool.h"

#define WAIT_MS (60 * 60 * 1000) /* for a person to answer a prompt */

static const char usage_text[] =
    "usage: qrexec-policy-exec [--assume-yes-for-ask] [--just-evaluate] [--path DIR]\n"
    "                          [--socket PATH] -- SOURCE TARGET SERVICE[+ARG]\n";

struct exec {
	bool assume_yes, just_evaluate;
	const char *path, *socket;
	struct policy_request rq;
};

static const char *const answer_keys[] = {"user", "result", "target", "target_uuid", "autostart",
    "requested_target", "service", "policy_source"};

static int
ask_policyd(const struct exec *x)
{
	struct buf b = {.max = KV_BYTES};
	static struct kv kv;
	const char *why, *val;
	bool ok;

	ok = kv_put(&b, "source", x->rq.source) && kv_put(&b, "intended_target", x->rq.target) &&
	     kv_put(&b, "service_and_arg", x->rq.service) &&
	     kv_put(&b, "assume_yes_for_ask", x->assume_yes ? "yes" : "no") &&
	     kv_put(&b, "just_evaluate", x->just_evaluate ? "yes" : "no") && buf_put(&b, "\n", 1);
	why =
	    ok ? kv_call(x->socket, buf_bytes(&b), b.len, WAIT_MS, &kv, NULL) : "malformed request";
	buf_free(&b);
	if (why != NULL) {
		logit("%s: %s: refused", x->socket, why);
		return 1;
	}
	for (size_t i = 0; i < sizeof(answer_keys) / sizeof(answer_keys[0]) && !x->just_evaluate;
	     i++)
		if ((val = kv_get(&kv, answer_keys[i])) != NULL)
			printf("%s=%s\n", answer_keys[i], val);
	val = kv_get(&kv, "result");
	return val == NULL || strcmp(val, "allow") != 0;
}

/* A yes that nobody said: to the target that the caller named, else to the preselected one. */
static void
assume_yes(const struct tool *t, const struct exec *x, struct decision *d)
{
	char choice[512] = "";

	for (size_t i = 0; i < d->ntargets; i++)
		if (strcmp(d->targets[i], d->requested_target) == 0)
			snprintf(choice, sizeof(choice), "%s", d->targets[i]);
	if (choice[0] == '\0')
		snprintf(choice, sizeof(choice), "%s", d->default_target);
	if (d->verdict == V_ASK)
		policy_answer(t->p, t->si, &x->rq, choice, d);
}

static int
decide_here(struct tool *t, const struct exec *x)
{
	struct decision d;
	bool allow;

	if (x->path != NULL)
		t->dirs.etc = t->dirs.run = x->path;
	tool_policy(t);
	tool_sysinfo(t);
	policy_decide(t->p, t->si, &x->rq, &d);
	if (x->assume_yes)
		assume_yes(t, x, &d);
	allow = d.verdict == V_ALLOW;
	if (!allow)
		logit("%s",
		    d.verdict == V_ASK ? "policyd is not there, nobody can be asked" : d.reason);
	if (!x->just_evaluate && allow)
		tool_answer(&d, true);
	else if (!x->just_evaluate)
		puts("result=deny");
	decision_free(&d);
	return allow ? 0 : 1;
}

int
cmd_exec(struct tool *t, int argc, char **argv)
{
	static const struct option options[] = {
	    {"assume-yes-for-ask", no_argument, NULL, 'y'},
	    {"just-evaluate", no_argument, NULL, 'e'},
	    {"path", required_argument, NULL, 'p'},
	    {"socket", required_argument, NULL, 's'},
	    {"help", no_argument, NULL, 'h'},
	    {NULL, 0, NULL, 0},
	};
	struct exec x = {.socket = POLICY_SOCK};
	int o;

	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (o == 'y')
			x.assume_yes = true;
		else if (o == 'e')
			x.just_evaluate = true;
		else if (o == 'p')
			x.path = optarg;
		else if (o == 's')
			x.socket = optarg;
		else {
			fputs(usage_text, o == 'h' ? stdout : stderr);
			return o == 'h' ? 0 : 2;
		}
	}
	if (argc - optind != 3) {
		fputs(usage_text, stderr);
		return 2;
	}
	x.rq = (struct policy_request){argv[optind], argv[optind + 1], argv[optind + 2], NULL};
	if (x.path == NULL && x.socket != NULL && access(x.socket, F_OK) == 0)
		return ask_policyd(&x);
	return decide_here(t, &x);
}
