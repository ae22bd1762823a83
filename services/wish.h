/* SPDX-License-Identifier: ISC */
/*
 * What a qube wishes to have noted about itself in its file of vm.d: the services
 * qubes.FeaturesRequest, qubes.NotifyTools and qubes.NotifyUpdates.
 *
 * qubes-svc, as whom Dom0's services run, may not write vm.d, and only the ticket of a call says
 * which qube it is. So these three are started as root (rpc-config), and are root for as long as it
 * takes to open what they need: the directory vm.d, and a connection to the store of the source,
 * which qrexec-dom0 has put into the environment. Until then nothing that the qube chose is read.
 * Then they are two processes, each in a sandbox. The reader, as qubes-svc and without any file
 * system, looks at what the qube says and hands on accepted wishes as lines FEATURE=VALUE, and a
 * last line ".". The other checks each again and sets it with vmedit; it sees vm.d and nothing
 * else, as the owner of that one file and without capabilities. A reader that was taken over can
 * make the wishes that its qube could have made anyway. No daemon has to be asked, and so none can
 * be asked in another qube's name.
 */
#ifndef WISH_H
#define WISH_H

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"
#include "libqubesdb/qubesdb.h"
#include "vmconf.h"

#define WISH_VALUE_LEN 63
#define WISHES_MAX 128	/* of one request */
#define WISH_BYTES 8192 /* all their lines */
/* Of the room for features, which is the person's, too (VM_FEATURES). */
#define WISH_ROOM 896

enum {
	WISH_PREFIX = 1, /* of features; else the whole name */
	WISH_FLAG = 2,	 /* 1 or 0, which is stored as nothing; else text */
	WISH_ONCE = 4,	 /* only where nothing is set: it never changes what a person has set */
	WISH_ALL = 8,	 /* one that is not wished for any more goes */
};

struct wish_kind {
	const char *name;
	int flags;
};

/* What may be wished for, ended by a NULL name: features.c, updates.c. */
extern const struct wish_kind wish_features[], wish_updates[];

/* What is this feature, and may it have this value? NULL: no. */
const struct wish_kind *wish_kind(
    const struct wish_kind *kinds, const char *untrusted_name, const char *untrusted_value);
/* Adds a line; false: one too many. */
bool wish_put(struct buf *out, const char *name, const char *value);

/* ---- what the readers make of a qube's words: NULL, or why nothing of it is taken ---- */

/* One key of /features-request/, without that, and its value. What is no feature to wish for is
 * passed over. */
const char *wish_from_request(
    struct buf *out, const char *untrusted_key, const char *untrusted_value);
/* The values of /qubes-tools/version, qrexec and gui; NULL: there is no such key. */
const char *wish_from_tools(struct buf *out, const char *untrusted_version,
    const char *untrusted_qrexec, const char *untrusted_gui);
/* The standard input of qubes.NotifyUpdates: a number. */
const char *wish_from_count(struct buf *out, const void *untrusted, size_t n);

/* ---- wish-run.c ---- */

struct wish_service {
	const char *name;
	const struct wish_kind *kinds;
	bool store; /* needs the source's; else h is NULL */
	/* The reader. NULL, or why nothing of it is taken. */
	const char *(*read)(qdb_handle_t h, struct buf *out);
	/* Of a qube with a template the wish is about that; else it is refused. */
	bool for_template;
};

/* The whole program: 0, or 1 for what was refused; 100, 111. */
int wish_run(int argc, char **argv, const struct wish_service *s);

#endif
