/* SPDX-License-Identifier: ISC */
/* For unit tests, which are built with STORAGE_CUT: where power goes, or what fails. */
#ifndef STORAGE_OPS_H
#define STORAGE_OPS_H

#ifdef STORAGE_CUT
#define STORAGE_CUT_EXIT 77

struct storage_cut {
	unsigned n, at; /* operations so far; the one that is cut, from 1 on; 0: none */
	int err;	/* 0: the process ends there; else that operation fails with it */
	int report;	/* where the name of the operation is written; -1 */
	char what[128];
};
extern struct storage_cut storage_cut;
#endif

#endif
