/* SPDX-License-Identifier: ISC */
/*
 * /etc/qubes/vm.d/NAME: "key = value" lines, # comments (vm.d.5). Unknown keys are refused with
 * file and line. What an AppVM leaves out comes from its template, then from vm.d/defaults.
 */
#ifndef VMCONF_H
#define VMCONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "names.h"

#define VM_TAGS 32
#define VM_TAG_LEN 63

struct vmconf {
	char name[NAME_LEN_MAX + 1];
	char type[16];	/* AppVM, TemplateVM, StandaloneVM, DispVM, AdminVM, RemoteVM */
	char label[16]; /* red orange yellow green gray blue purple black */
	char template[NAME_LEN_MAX + 1];
	char default_dispvm[NAME_LEN_MAX + 1]; /* empty: none */
	char uuid[UUID_LEN + 1];	       /* key uuid, else derived from the name (stable) */
	char relayvm[NAME_LEN_MAX + 1];
	char transport_rpc[64];
	char guivm[NAME_LEN_MAX + 1];
	char default_user[32]; /* user */
	char root[256]; /* local backend: the template's root directory; empty: this machine's */
	bool template_for_dispvms, autostart, internal;
	uint32_t qrexec_timeout, shutdown_timeout; /* seconds, 60 */
	size_t ntags;
	char tags[VM_TAGS][VM_TAG_LEN + 1];
};

struct vmconf_error {
	char file[256];
	unsigned line;	/* 0: the file as a whole */
	char text[128]; /* what is wrong and, for a misspelt key, what was probably meant */
};

/* Parses one file's bytes over what *c already holds (defaults, then template, then the qube). */
bool vmconf_parse(
    struct vmconf *c, const char *file, const char *untrusted, size_t n, struct vmconf_error *e);
/* The whole of NAME from the directory dirfd, inheritance included. */
bool vmconf_load(int dirfd, const char *name, struct vmconf *c, struct vmconf_error *e);

#endif
