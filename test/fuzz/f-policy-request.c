/* SPDX-License-Identifier: ISC */
/* Source, target, service, requested source (NUL between them) against a policy that knows every
 * word. */
#include "policy-fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static const char text[] =
    "t.S +a work work allow target=@dispvm\nt.S * @tag:red @tag:red ask\n"
    "t.S * * @dispvm:dvm allow user=u\nt.S * work @dispvm:@tag:red deny\n"
    "t.A * rvm @type:AppVM allow autostart=no\n* * @anyvm @default ask\n"
    "t.B * uuid:1 @dispvm allow\nt.R * * rvm allow\n* * * * ask default_target=@dispvm\n";

static struct policy *
fixed(void)
{
	FILE *f = tmpfile();
	struct policy *p;
	char path[64];

	CHECK(f != NULL && fputs(text, f) >= 0 && fflush(f) == 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fileno(f));
	p = policy_load_file(path, NULL, NULL);
	CHECK(policy_ok(p) && policy_nrules(p) == 9);
	fclose(f);
	return p;
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct policy *policy;
	static struct sysinfo *si;
	char *bytes = malloc(n + 1), *at = bytes;
	const char *field[4] = {"", "", "", NULL};
	struct policy_request rq;

	if (policy == NULL) {
		policy = fixed();
		si = fuzz_house();
	}
	CHECK(bytes != NULL);
	if (n > 0)
		memcpy(bytes, p, n);
	bytes[n] = '\0';
	for (int i = 0; i < 4 && at <= bytes + n; i++, at += strlen(at) + 1)
		field[i] = at;
	rq = (struct policy_request){field[0], field[1], field[2], field[3]};
	check_decision(policy, si, &rq);
	free(bytes);
	return 0;
}
