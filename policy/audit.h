/* SPDX-License-Identifier: ISC */
/*
 * One line for each decision: AUDIT_DIR/SOURCE/current, and 1 (newest) to 4 behind it, 1 MiB each,
 * so that no qube can push another's evidence out. "-" is for sources that no file knows. Files are
 * opened when a qube appears and turned over in audit_idle; audit_line only writes.
 */
#ifndef AUDIT_H
#define AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AUDIT_MAX (1024 * 1024)
#define AUDIT_KEPT 4
#define AUDIT_LINE_MAX 16384

struct audit {
	int dir;
	struct audit_file *file;
	size_t n;
	bool work; /* audit_idle has something to do */
};

struct audit_facts {
	const char *source, *target, *service, *policy_source;
	const char *decision; /* allow, deny, error */
	const char *file;     /* the deciding rule's, or NULL */
	unsigned line;
	const char *destination, *session; /* session: the source's */
	const char *answer;		   /* the user's, for ask; or NULL */
	const char *reason;		   /* or NULL */
	bool eval;			   /* just_evaluate: nothing was called */
};

void audit_open(struct audit *a, const char *dir); /* exits 111 if it cannot */
/* mark, keep all that are, sweep: files of those not kept are closed. */
void audit_mark(struct audit *a);
void audit_keep(struct audit *a, const char *name);
void audit_sweep(struct audit *a);
bool audit_line(
    struct audit *a, const struct audit_facts *f); /* false, errno: it is not on record */
void audit_idle(struct audit *a);

#endif
