/* SPDX-License-Identifier: ISC */
/* Filling a sysinfo: from the house's own files, or from JSON (commands only). */
#ifndef SYSREAD_H
#define SYSREAD_H

#include "engine.h"
#include "vmconf.h"

#define JSON_MAX (8u << 20) /* bytes of a system information file */

/* One qube of vm.d. The defaults of spec/vm that dom0 needs are put in. false: see sysinfo_add. */
bool sysinfo_add_conf(struct sysinfo *si, const struct vmconf *c, bool running);
/*
 * All of vmdir (ETC_VM) and what runs by statedir (RUN_STATE); either may be missing. A file that
 * cannot be used is told to warn and left out. dom0 is always there.
 */
struct sysinfo *sysinfo_house(
    const char *vmdir, const char *statedir, void (*warn)(const char *text));
/* internal.GetSystemInfo's JSON (spec/policy 3 "System information used"). NULL: *why says what is
 * wrong. */
struct sysinfo *sysinfo_json(const char *untrusted, size_t n, const char **why);

#endif
