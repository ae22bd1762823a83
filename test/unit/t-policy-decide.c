/* SPDX-License-Identifier: ISC */
/* Decisions: matching, what a caller may ask for, allow, ask, RemoteVM (spec/policy 3). */
#include "policy.h"

#define WORK "uuid:" U(00000001)
#define MAIL "uuid:" U(00000002)
#define VAULT "uuid:" U(00000003)
#define DOM0 "uuid:00000000-0000-0000-0000-000000000000"

static void
says_all(const char *const v[][4], size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *got = says(v[i][0], v[i][1], v[i][2], "t.S+a");

		if (strcmp(got, v[i][3]) != 0)
			fail_msg(
			    "%s: %s -> %s: %s, not %s", v[i][0], v[i][1], v[i][2], got, v[i][3]);
	}
}

static void
targets_match(void **state)
{
	static const char *const v[][4] = {
	    {"* * work mail allow", "work", "mail", "allow mail"},
	    {"* * work mail allow", "work", MAIL, "allow " MAIL},
	    {"* * work " MAIL " allow", "work", "mail", "allow mail"},
	    {"* * work Mail allow", "work", "mail", "deny"},
	    {"* * " WORK " mail allow", "work", "mail", "allow mail"},
	    {"* * work mail allow", WORK, "mail", "allow mail"},
	    {"* * work dom0 allow", "work", "@adminvm", "allow dom0"},
	    {"* * work " DOM0 " allow", "work", "dom0", "allow dom0"},
	    {"* * work @adminvm allow", "work", DOM0, "allow dom0"},
	    {"* * work * allow", "work", "dom0", "allow dom0"},
	    {"* * work @anyvm allow", "work", "dom0", "deny"},
	    {"* * work @anyvm allow", "work", "@adminvm", "deny"},
	    {"* * work @anyvm allow", "work", DOM0, "deny"},
	    {"* * work @anyvm allow", "work", "@dispvm", "allow @dispvm:dvm"},
	    {"* * work @anyvm allow", "work", "@dispvm:vault", "allow @dispvm:vault"},
	    {"* * work @anyvm allow target=mail", "work", "", "allow mail"},
	    {"* * work @default allow target=mail", "work", "mail", "deny"},
	    {"* * work @default allow target=mail", "work", "nosuch", "allow mail"},
	    {"* * work @default allow target=mail", "work", "mail ", "allow mail"},
	    {"* * work @tag:green allow", "work", "vault", "allow vault"},
	    {"* * work @tag:green allow", "work", "mail", "deny"},
	    {"* * work @tag:green allow", "work", "@dispvm:vault", "deny"},
	    {"* * work @tag:adm allow", "work", "dom0", "allow dom0"},
	    {"* * work @tag:adm allow", "work", "@adminvm", "deny"},
	    {"* * work @type:AdminVM allow", "work", "dom0", "allow dom0"},
	    {"* * work @type:AdminVM allow", "work", "@adminvm", "deny"},
	    {"* * work @type:TemplateVM allow", "work", "nodvm", "allow nodvm"},
	    {"* * work @dispvm allow", "work", "@dispvm", "allow @dispvm:dvm"},
	    {"* * work @dispvm allow", "work", "@dispvm:dvm", "deny"},
	    {"* * work @dispvm:dvm allow", "work", "@dispvm", "allow @dispvm:dvm"},
	    {"* * work @dispvm:uuid:" U(00000004) " allow", "work", "@dispvm", "deny"},
	    {"* * work @dispvm:uuid:" U(00000004) " allow", "work", "@dispvm:dvm",
		"allow @dispvm:dvm"},
	    {"* * work @dispvm:@tag:green allow", "work", "@dispvm:vault", "allow @dispvm:vault"},
	    {"* * work @dispvm:@tag:green allow", "work", "@dispvm:dvm", "deny"},
	    {"* * work @dispvm:@tag:green allow", "work", "vault", "deny"},
	    {"* * @anyvm mail allow", "ghost", "mail", "allow mail"},
	    {"* * ghost mail allow", "ghost", "mail", "allow mail"},
	    {"* * @tag:red mail allow", "ghost", "mail", "deny"},
	    {"* * @tag:red mail allow", "work", "mail", "allow mail"},
	    {"* * @type:AppVM mail allow", "nodvm", "mail", "deny"},
	    {"* * @anyvm mail allow", "dom0", "mail", "deny"},
	    {"* * @dispvm:work mail allow", "work", "mail", "deny"},
	    {"t.S + work mail allow", "work", "mail", "deny"},
	    {"t.S +A work mail allow", "work", "mail", "deny"},
	    {"t.s * work mail allow", "work", "mail", "deny"},
	    {"* * work mail deny\nt.S +a work mail allow", "work", "mail", "deny"},
	    {"t.S +a work mail allow\n* * work mail deny", "work", "mail", "allow mail"},
	    {"t.S * work mail deny\nt.S +a work mail allow", "work", "mail", "deny"},
	};

	says_all(v, NELEM(v));
}

static void
what_a_caller_may_ask_for(void **state)
{
	static const char *const words[] = {"*", "@anyvm", "@tag:red", "@type:AppVM",
	    "@dispvm:", "@dispvm:@tag:green", "@dispvm:@", "@", "@x", "@default:", "@dispvm:work",
	    "@dispvm:nosuch", "@dispvm:*"};

	for (size_t i = 0; i < NELEM(words); i++)
		assert_string_equal(
		    says("* * * * allow target=mail", "work", words[i], "t.S"), "deny");
	assert_string_equal(says("* * * * allow", "@anyvm", "mail", "t.S"), "deny");
	assert_string_equal(says("* * * * allow", "*", "mail", "t.S"), "deny");
	assert_string_equal(says("* * * * allow", "", "mail", "t.S"), "deny");
	assert_string_equal(says("* * * * allow", "work", "mail", "+a"), "deny");
	assert_string_equal(says("* * * * allow", "work", "mail", ""), "deny");
	assert_string_equal(says("* * * * allow", "work", "mail", "t/S"), "deny");
	assert_string_equal(says("* * * * allow", "work", "mail", "t.S+a b"), "deny");
}

static void
allow(void **state)
{
	static const char *const v[][4] = {
	    {"* * * * allow", "work", "", "deny"},
	    {"* * * * allow", "work", "work", "deny"},
	    {"* * * * allow target=work", "work", "mail", "deny"},
	    {"* * * * allow target=nosuch", "work", "mail", "deny"},
	    {"* * * * allow target=dom0", "work", "mail", "allow dom0"},
	    {"* * * * allow target=@dispvm:work", "work", "mail", "deny"},
	    {"* * * * allow target=@dispvm", "nodvm", "mail", "deny"},
	    {"* * * * allow target=@dispvm", "ghost", "mail", "deny"},
	    {"* * * * allow target=@dispvm", "relay", "mail",
		"deny"}, /* default_dispvm of no qube */
	    {"* * * * allow autostart=no", "work", "mail", "allow mail"},
	    {"* * * * allow autostart=no", "work", "vault", "deny"},
	    {"* * * * allow autostart=no", "work", VAULT, "deny"},
	    {"* * * * allow autostart=no", "work", "dom0", "allow dom0"},
	    {"* * * * allow autostart=no", "work", "@dispvm", "deny"},
	    {"* * * * allow", "dom0", "@adminvm", "deny"},
	    {"* * * * allow", "work", "rvm", "allow relay"},
	    {"* * * * allow", "work", "rvm2", "deny"},
	    {"* * * * allow", "work", "rvm3", "deny"},
	    {"* * * mail allow\n* * * vault deny", "work", "vault", "deny"},
	};

	says_all(v, NELEM(v));
}

static void
ask(void **state)
{
	static const char *const v[][4] = {
	    {"* * work mail ask", "work", "mail", "ask mail"},
	    {"* * work @tag:green ask", "work", "vault", "ask vault"},
	    {"* * work @type:TemplateVM ask\n* * work dom0 allow", "work", "nodvm",
		"ask dom0 nodvm"},
	    {"* * work mail ask target=nosuch", "work", "mail", "ask nosuch"},
	    {"* * work mail ask target=@adminvm", "work", "mail", "ask dom0"},
	    {"* * work vault deny\n* * work mail ask\n* * work vault allow", "work", "mail",
		"ask mail"},
	    {"* * work mail ask\n* * work vault allow\n* * work vault deny", "work", "mail",
		"ask mail vault"},
	    {"* * work mail ask\nt.S +b work vault allow\nt.S +a work dvm allow", "work", "mail",
		"ask dvm mail"},
	    {"* * work mail ask\n* * vault vault allow", "work", "mail", "ask mail"},
	    {"* * work mail ask\n* * work hid allow\n* * work @dispvm:hid allow\n* * work work "
	     "allow",
		"work", "mail", "ask mail"},
	    {"* * work @dispvm ask", "work", "@dispvm", "ask @dispvm:dvm"},
	    {"* * nodvm @anyvm ask\n", "nodvm", "mail",
		"ask @dispvm:dvm @dispvm:vault dvm mail relay rvm rvm2 rvm3 vault work"},
	    {"* * work @dispvm:@tag:green ask", "work", "@dispvm:vault", "ask @dispvm:vault"},
	    {"* * work mail ask autostart=no\n* * work vault allow", "work", "mail", "ask mail"},
	    {"* * work @dispvm ask autostart=no", "work", "@dispvm", "deny"},
	    {"* * work vault ask autostart=no", "work", "vault", "deny"},
	    {"* * work work ask", "work", "work", "deny"},
	    {"* * ghost mail ask", "ghost", "mail", "error"},
	    /* stricter: a deny takes every spelling of its qube away */
	    {"* * work " VAULT " deny\n* * work mail ask\n* * work vault allow", "work", "mail",
		"ask mail"},
	    {"* * work @dispvm:dvm deny\n* * work mail ask\n* * work @dispvm allow", "work", "mail",
		"ask mail"},
	    {"* * work @adminvm deny\n* * work * ask", "work", "mail",
		"ask @dispvm:dvm @dispvm:vault dvm mail nodvm relay rvm rvm2 rvm3 vault"},
	};

	says_all(v, NELEM(v));
}

static enum verdict
answered(const char *text, const char *choice, const char *target)
{
	struct policy *p = policy_from(text);
	struct sysinfo *si = house();
	struct policy_request rq = {"work", "mail", "t.S", NULL};
	struct decision d;
	enum verdict v;

	policy_decide(p, si, &rq, &d);
	assert_int_equal(d.verdict, V_ASK);
	policy_answer(p, si, &rq, choice, &d);
	v = d.verdict;
	if (v == V_ALLOW)
		assert_string_equal(d.target, target);
	decision_free(&d);
	sysinfo_free(si);
	policy_free(p);
	return v;
}

static void
answers(void **state)
{
	assert_int_equal(answered("* * * mail ask", "mail", "mail"), V_ALLOW);
	assert_int_equal(answered("* * * mail ask", "vault", ""), V_DENY);
	assert_int_equal(answered("* * * mail ask", "", ""), V_DENY);
	assert_int_equal(answered("* * * @anyvm ask", "@dispvm:vault", "@dispvm:vault"), V_ALLOW);
	assert_int_equal(answered("* * * @anyvm ask", "@dispvm", ""), V_DENY);
	assert_int_equal(answered("* * * * ask", "dom0", "dom0"), V_ALLOW);
	assert_int_equal(answered("* * * * ask target=work", "work", ""), V_DENY);
	assert_int_equal(answered("* * * * ask target=nosuch", "nosuch", ""), V_DENY);
	assert_int_equal(answered("* * * * ask target=@dispvm", "@dispvm", ""), V_DENY);
	assert_int_equal(answered("* * * * ask", "rvm", "relay"), V_ALLOW);
}

static struct decision
relayed(struct policy *p, struct sysinfo *si, const char *source, const char *remote,
    const char *target)
{
	struct policy_request rq = {source, target, "t.S", remote};
	struct decision d;

	policy_decide(p, si, &rq, &d);
	return d;
}

static void
remote_sources(void **state)
{
	static const char *const bad[][2] = {{"relay", "ghost"}, {"relay", "work"}, {"work", "rvm"},
	    {"relay", "rvm3"}, {"ghost", "rvm"}, {"relay", "dom0"}};
	struct policy *p =
	    policy_from("* * rvm mail allow\n* * rvm dom0 allow\n* * work rvm allow user=root\n");
	struct sysinfo *si = house();
	struct decision d = relayed(p, si, "relay", "rvm", "mail");

	assert_int_equal(d.verdict, V_ALLOW);
	assert_string_equal(d.policy_source, "rvm");
	decision_free(&d);
	d = relayed(p, si, "relay", "rvm", "dom0");
	assert_int_equal(d.verdict, V_ALLOW);
	assert_string_equal(d.policy_source, "");
	assert_string_equal(d.target_uuid, "");
	decision_free(&d);
	d = relayed(p, si, "relay", "", "mail");
	assert_int_equal(d.verdict, V_DENY);
	decision_free(&d);
	for (size_t i = 0; i < NELEM(bad); i++) {
		d = relayed(p, si, bad[i][0], bad[i][1], "mail");
		assert_int_equal(d.verdict, V_DENY);
		assert_true(d.notify);
		decision_free(&d);
	}
	d = relayed(p, si, "work", NULL, "rvm");
	assert_string_equal(d.service, "air.Proxy+rvm+t.S+");
	assert_string_equal(d.user, "DEFAULT");
	assert_string_equal(d.target_uuid, "uuid:" U(00000008));
	decision_free(&d);
	sysinfo_free(si);
	policy_free(p);
}

static void
notify_and_place(void **state)
{
	struct policy *p = policy_from(
	    "* * work mail deny notify=no\n* * work vault allow autostart=no notify=yes\n");
	struct decision d = decide(p, "work", "mail", "t.S");

	assert_false(d.notify);
	assert_int_equal(d.line, 1);
	assert_string_equal(d.file, in_dir("etc/30-user.policy"));
	decision_free(&d);
	d = decide(p, WORK, "vault", "t.S");
	assert_int_equal(d.verdict, V_DENY);
	assert_true(d.notify);
	assert_string_equal(d.source, "work");
	decision_free(&d);
	d = decide(p, "work", "dvm", "t.S");
	assert_true(d.notify && d.file == NULL);
	decision_free(&d);
	d = decide(p, "work", "@tag:red", "t.S");
	assert_false(d.notify);
	decision_free(&d);
	policy_free(p);
}

/* QSB-038: a shell saw $adminvm. Here a $ is a byte of a name that nobody has; only old files know
 * it as @. */
static void
qsb_038_dollar_is_no_keyword(void **state)
{
	static const char *const words[] = {
	    "$adminvm", "$anyvm", "$dispvm", "$dispvm:dvm", "$default", "$(id)", "`id`"};
	struct policy_dirs dirs = fresh();
	struct policy *p;
	struct decision d;

	for (size_t i = 0; i < NELEM(words); i++) {
		assert_string_equal(
		    says("* * * @adminvm allow\n* * * @dispvm allow\n", "work", words[i], "t.S"),
		    "deny");
		assert_string_equal(says("* * * * allow\n", "work", words[i], "t.S"), "deny");
	}
	assert_string_equal(says("* * * $adminvm allow\n", "work", "dom0", "t.S"), "deny");
	assert_string_equal(says("* * $anyvm dom0 allow\n", "work", "dom0", "t.S"), "deny");
	put_text("etc/35.policy", "!compat-4.0\n");
	put_text("legacy/t.S", "$anyvm $adminvm allow\n");
	p = policy_load(&dirs);
	d = decide(p, "work", "dom0", "t.S");
	assert_int_equal(d.verdict, V_ALLOW);
	decision_free(&d);
	d = decide(p, "work", "$adminvm", "t.S");
	assert_int_equal(d.verdict, V_DENY);
	decision_free(&d);
	policy_free(p);
}

static struct policy_dirs
shipped(void)
{
	static char etc[4096];
	struct policy_dirs dirs = fresh();

	snprintf(
	    etc, sizeof(etc), "%s/policy/default", getenv("TOP") == NULL ? "." : getenv("TOP"));
	dirs.etc = etc;
	return dirs;
}

/* QSB-099: nobody registers an argument or learns by it what the policy allows. */
static void
qsb_099_register_argument(void **state)
{
	static const char *const sources[] = {"work", "vault", "nodvm", "rvm", "ghost"};
	static const char *const targets[] = {
	    "", "dom0", "@adminvm", DOM0, "mail", MAIL, "@dispvm", "@dispvm:vault", "nosuch"};
	struct policy_dirs dirs = shipped();
	struct policy *p = policy_load(&dirs);
	struct decision d;

	assert_true(policy_ok(p));
	for (size_t s = 0; s < NELEM(sources); s++)
		for (size_t t = 0; t < NELEM(targets); t++) {
			d = decide(p, sources[s], targets[t], "policy.RegisterArgument+t.S");
			assert_int_equal(d.verdict, V_DENY);
			assert_non_null(d.file);
			assert_non_null(strstr(d.file, "90-default.policy"));
			decision_free(&d);
		}
	policy_free(p);
}

static void
shipped_policy(void **state)
{
	static const char *const v[][4] = {
	    {"work", "dom0", "admin.vm.List", "-"},
	    {"work", "dom0", "admin.vm.property.GetAll", "-"},
	    {"work", "dom0", "policy.Replace", "-"},
	    {"work", "mail", "qubes.VMShell", "-"},
	    {"work", "@dispvm", "qubes.VMShell", "+"},
	    {"work", "@dispvm", "qubes.VMRootShell", "-"},
	    {"work", "mail", "qubes.Filecopy", "?"},
	    {"work", "dom0", "qubes.Filecopy", "-"},
	    {"work", "mail", "qubes.ConnectTCP+22", "-"},
	    {"work", "", "qubes.GetDate", "+"},
	    {"work", "mail", "qubes.InputKeyboard", "-"},
	    {"nodvm", "", "qubes.UpdatesProxy", "-"}, /* no qube sys-net in this house */
	    {"work", "mail", "my.Own", "-"},
	};
	struct policy_dirs dirs = shipped();
	struct policy *p = policy_load(&dirs);
	struct decision d;

	assert_true(policy_ok(p));
	assert_int_equal(policy_nrules(p), 58);
	for (size_t i = 0; i < NELEM(v); i++) {
		d = decide(p, v[i][0], v[i][1], v[i][2]);
		assert_int_equal(v[i][3][0], d.verdict == V_ALLOW ? '+'
					     : d.verdict == V_ASK ? '?'
								  : '-');
		decision_free(&d);
	}
	policy_free(p);
}

/* The index must give what going through the rules one by one gives. */
static void
index_is_the_list(void **state)
{
	static const char *const svc[] = {"*", "a", "b", "c", "d"}, *const who[] = {"work", "mail",
									"@anyvm", "@tag:red",
									"vault"};
	char text[200 * 64] = "";
	struct sysinfo *si = house();

	srand(7);
	for (int round = 0; round < 50; round++) {
		struct policy *p;

		text[0] = '\0';
		for (int i = 0; i < 100; i++) {
			const char *s = svc[rand() % 5];

			snprintf(text + strlen(text), sizeof(text) - strlen(text),
			    "%s %s %s %s deny\n", s, *s == '*' || rand() % 2 ? "*" : "+x",
			    who[rand() % 5], who[rand() % 5]);
		}
		p = policy_from(text);
		for (int i = 0; i < 40; i++) {
			const char *s[] = {"a", "b+x", "c", "d+y", "e"};
			struct policy_request rq = {
			    who[rand() % 2], who[rand() % 2], s[i % 5], NULL};
			struct decision d;
			size_t k = 0;

			policy_decide(p, si, &rq, &d);
			while (policy_rule(p, k) != NULL &&
			       rule_match(policy_rule(p, k), si, &rq) != M_ALL)
				k++;
			assert_int_equal(d.line, policy_rule(p, k) == NULL ? 0 : k + 1);
			decision_free(&d);
		}
		policy_free(p);
	}
	sysinfo_free(si);
}

static void
system_information(void **state)
{
	struct sysinfo *si = sysinfo_new();
	struct sys_vm vm = {.name = "a", .uuid = U(00000001)};
	char name[32], uuid[64];

	assert_null(sysinfo_find(si, "a"));
	assert_true(sysinfo_add(si, &vm));
	assert_false(sysinfo_add(si, &vm));
	vm.name = "b";
	assert_false(sysinfo_add(si, &vm));
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "q%d", i);
		snprintf(uuid, sizeof(uuid), "%08x-2222-4222-8333-444455556666", (unsigned)i);
		vm = (struct sys_vm){.name = name, .uuid = uuid};
		assert_true(sysinfo_add(si, &vm));
	}
	sysinfo_set_running(si, "q7", true);
	assert_true(sysinfo_find(si, "uuid:00000007-2222-4222-8333-444455556666")->running);
	assert_false(sysinfo_find(si, "q8")->running);
	assert_null(sysinfo_find(si, "q1000"));
	assert_null(sysinfo_at(si, 1001));
	sysinfo_free(si);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(targets_match),
	    cmocka_unit_test(what_a_caller_may_ask_for),
	    cmocka_unit_test(allow),
	    cmocka_unit_test(ask),
	    cmocka_unit_test(answers),
	    cmocka_unit_test(remote_sources),
	    cmocka_unit_test(notify_and_place),
	    cmocka_unit_test(qsb_038_dollar_is_no_keyword),
	    cmocka_unit_test(qsb_099_register_argument),
	    cmocka_unit_test(shipped_policy),
	    cmocka_unit_test(index_is_the_list),
	    cmocka_unit_test(system_information),
	};

	return cmocka_run_group_tests(tests, NULL, rm_test_dir);
}
