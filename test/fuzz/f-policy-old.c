/* SPDX-License-Identifier: ISC */
/* A policy file of three columns: loads or refuses, and what is loaded decides. */
#include "policy-fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	one_file(p, n, "t.S");
	return 0;
}
