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
#define VM_PRELOAD_MAX 16
#define VM_REVISIONS_MAX 16
#define VM_SIZE_MAX (1u << 24) /* MiB: 16 TiB */
#define VM_DISPID_MAX 9999
#define VM_NO_DISPID UINT32_MAX
#define VM_KERNELS "/var/lib/qubes/vm-kernels"
#define VM_ZONE_LEN 63
#define VM_IP6_LEN 39
#define VM_LAYOUT_LEN 63
#define VM_DISPLAY_LEN 7
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
	char display[VM_DISPLAY_LEN + 1]; /* ":N" or ":N.S", where its windows are; empty: none */
	char default_user[32];		  /* user */
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
	uint32_t preload;     /* disposables of it kept ready; only with template_for_dispvms */
	uint32_t dispid;      /* 0..9999, a DispVM's; VM_NO_DISPID */
	uint32_t maxmem;      /* kept and not served: memory is static */
	uint32_t root_size, private_size, volatile_size; /* MiB; 0: as it is */
	uint32_t revisions_to_keep;			 /* 1 */
	bool template_for_dispvms, autostart, internal, provides_network, debug;
	bool auto_cleanup;	 /* DispVM: removed when it ends */
	bool include_in_backups; /* true */
	/*
	 * Every file that set root, private, volatile or kernel here (its own, its template's, the
	 * defaults) is root's, and nobody else may write it. Of others these may name only what is
	 * below /var/lib/qubes, and a kernel only what is in VM_KERNELS.
	 */
	bool trusted;
	char management_dispvm[NAME_LEN_MAX + 1];
	/* of the machine: only in "defaults" */
	char default_template[NAME_LEN_MAX + 1], clockvm[NAME_LEN_MAX + 1];
	char updatevm[NAME_LEN_MAX + 1];
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
/*
 * The whole of NAME from the directory dirfd, inheritance included. Its netvm, the netvm of that
 * and so on may not come round to one of them again; whether they exist is not looked at.
 */
bool vmconf_load(int dirfd, const char *name, struct vmconf *c, struct vmconf_error *e);
/* The same without a look at the netvms: for who reads all of them and sees for himself. */
bool vmconf_read(int dirfd, const char *name, struct vmconf *c, struct vmconf_error *e);
/*
 * For who reads many of them at one time: what they share, the defaults and templates, is read
 * once. NULL: no memory.
 */
struct vmconf_cache;
struct vmconf_cache *vmconf_cache_new(int dirfd);
bool vmconf_cache_read(
    struct vmconf_cache *k, const char *name, struct vmconf *c, struct vmconf_error *e);
void vmconf_cache_free(struct vmconf_cache *k);
/* What "defaults" says over the built-in values; c->name is "defaults". */
bool vmconf_defaults(int dirfd, struct vmconf *c, struct vmconf_error *e);
/*
 * Whether n bytes of text could stand in NAME (or "defaults", with all qubes that are valid now),
 * trusted or not. *c, if not NULL, gets the qube as it would be.
 */
bool vmconf_would(int dirfd, const char *name, const char *text, size_t n, bool trusted,
    struct vmconf *c, struct vmconf_error *e);
/* A key of vm.d, or a feature's: NULL, or what to say of it ("unknown key lable (label is
 * meant?)"). */
const char *vmconf_key_wrong(const char *key, struct vmconf_error *e);

/* What feature.NAME says; NULL: nothing. */
const char *vmconf_feature(const struct vmconf *c, const char *name);
/* The one after at ("NAME=VALUE"), or the first for NULL; NULL: there is none. */
const char *vmconf_feature_next(const struct vmconf *c, const char *at);
bool vmconf_true(const char *val); /* one of the words for it */
/* A path that only a file which is root's alone may name; NULL: none. */
const char *vmconf_forbidden(const struct vmconf *c);
/* Its addresses (spec/vm 5): from the qid, a disposable's from its dispid. */
void vmconf_address(const struct vmconf *c, uint32_t qid, char out[16]);
void vmconf_address6(const struct vmconf *c, uint32_t qid, char out[VM_IP6_LEN + 1]);

#endif
