/* SPDX-License-Identifier: ISC */
/* Trigger parsing: what passes is plain, whatever came. */
#include <stdlib.h>
#include <string.h>

#include "qrexecd/qrexecd.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void
must(bool ok)
{
	if (!ok)
		abort();
}

static void
check(const struct trigger *t)
{
	const char *targets[] = {t->source, t->target};

	for (size_t i = 0; i < 2; i++) {
		must(memchr(targets[i], '\0', TARGET_LEN) != NULL);
		for (const char *s = targets[i]; *s != '\0'; s++)
			must(target_byte((unsigned char)*s));
	}
	must(memchr(t->service, '\0', sizeof(t->service)) != NULL);
	must(t->service[0] != '\0' && t->service[0] != '+');
	for (const char *s = t->service; *s != '\0'; s++)
		must(service_byte((unsigned char)*s) || *s == '+');
	must(memchr(t->ident, '\0', IDENT_LEN) != NULL);
	for (const char *s = t->ident; *s != '\0'; s++)
		must(service_byte((unsigned char)*s) || *s == ' ');
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const uint32_t types[] = {
	    MSG_TRIGGER_SERVICE, MSG_TRIGGER_SERVICE3, MSG_TRIGGER_SERVICE4};
	static const size_t least[] = {TRIGGER2_LEN, TRIGGER3_FIXED + 1, TRIGGER4_FIXED + 1};
	static const size_t most[] = {
	    TRIGGER2_LEN, TRIGGER3_FIXED + SERVICE_LEN_MAX, TRIGGER4_FIXED + SERVICE_LEN_MAX};
	struct trigger t = {0};
	uint8_t *exact;

	for (size_t i = 0; i < 3; i++) {
		if (n < least[i] || n > most[i])
			continue;  /* agent.c's table */
		exact = malloc(n); /* so that a byte too far is seen */
		memcpy(exact, p, n);
		if (trigger_parse(&t, types[i], exact, n) == NULL)
			check(&t);
		free(exact);
	}
	return 0;
}
