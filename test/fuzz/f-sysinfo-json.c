/* SPDX-License-Identifier: ISC */
#include "engine/sysread.h"
#include "policy-fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	const char *why = NULL;
	struct sysinfo *si = sysinfo_json((const char *)p, n, &why);
	const struct sys_vm *vm;

	CHECK((si == NULL) == (why != NULL));
	for (size_t i = 0; si != NULL && (vm = sysinfo_at(si, i)) != NULL; i++)
		CHECK(sysinfo_find(si, vm->name) == vm);
	sysinfo_free(si);
	return 0;
}
