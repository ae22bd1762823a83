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
#define VM_PATH_LEN 255
#define VM_OPTS_LEN 512
#define VM_MEMORY_MIN 32
#define VM_MEMORY_MAX (1u << 20) /* 1 TiB */
#define VM_VCPUS_MAX 64
#define VM_PREPARE_MAX 16
#define VM_KERNELS "/var/lib/qubes/vm-kernels"
#define VM_ZONE_LEN 63
#define VM_IP6_LEN 39
#define VM_LAYOUT_LEN 63
#define VM_FEATURES 1024 /* bytes of all of them, their names and a byte each */
#define VM_FEATURE_LEN 63

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
	/* local backend: the template's root directory, empty: this machine's. Xen: xvda, as below.
	 */
	char root[VM_PATH_LEN + 1];
	/* Xen: an image file or a block device; empty: none */
	char private[VM_PATH_LEN + 1], volatile_[VM_PATH_LEN + 1];
	char virt_mode[8];	      /* pvh, pv, hvm */
	char kernel[VM_PATH_LEN + 1]; /* a name in VM_KERNELS, or an absolute path; a directory */
	char kernelopts[VM_OPTS_LEN + 1]; /* counts only with own_kernelopts */
	bool own_kernelopts;
	uint32_t memory; /* MiB, 400 */
	uint32_t vcpus;	 /* 2 */
	char netvm[NAME_LEN_MAX + 1];
	char mac[18], ip[16]; /* ip empty: from the qid */
	uint32_t prepare;     /* how many are built ahead */
	bool template_for_dispvms, autostart, internal, provides_network, debug;
	char audiovm[NAME_LEN_MAX + 1];
	char timezone[VM_ZONE_LEN + 1];		   /* empty: Dom0's */
	char keyboard_layout[VM_LAYOUT_LEN + 1];   /* us++ */
	uint32_t qrexec_timeout, shutdown_timeout; /* seconds, 60 */
	size_t ntags;
	char tags[VM_TAGS][VM_TAG_LEN + 1];
	char features[VM_FEATURES]; /* "NAME=VALUE", NUL, ..., NUL */
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

/* What feature.NAME says; NULL: nothing. */
const char *vmconf_feature(const struct vmconf *c, const char *name);
/* The one after at ("NAME=VALUE"), or the first for NULL; NULL: there is none. */
const char *vmconf_feature_next(const struct vmconf *c, const char *at);
bool vmconf_true(const char *val); /* one of the words for it */
/* Its addresses (spec/vm 5). */
void vmconf_address(const struct vmconf *c, uint32_t qid, char out[16]);
void vmconf_address6(uint32_t qid, char out[VM_IP6_LEN + 1]);

#endif
