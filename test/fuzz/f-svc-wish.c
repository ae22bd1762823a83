/* SPDX-License-Identifier: ISC */
/* What a qube may wish for (qubes.FeaturesRequest, NotifyTools, NotifyUpdates): every line that the
 * reader hands on is one that the other side accepts, and fits into vm.d. */
#include <stdlib.h>
#include <string.h>

#include "services/wish.h"
#include "vmconf-keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void
check(const struct wish_kind *kinds, const struct buf *out)
{
	char *text = strndup((const char *)buf_bytes(out), out->len), *save = NULL, *eq;
	char all[VM_FEATURES];

	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		memset(all, 0, sizeof(all));
		eq = strchr(l, '=');
		if (eq == NULL)
			abort();
		*eq = '\0';
		if (wish_kind(kinds, l, eq + 1) == NULL || feature_set(all, l, eq + 1) != NULL)
			abort();
		if (strlen(eq + 1) > WISH_VALUE_LEN || strpbrk(eq + 1, "#\t\"'$;\\/") != NULL)
			abort();
	}
	free(text);
}

/* The string up to the next NUL. */
static char *
word(const uint8_t **p, size_t *n)
{
	const size_t len = strnlen((const char *)*p, *n);
	char *s = strndup((const char *)*p, len);

	*p += len + (len < *n);
	*n -= len + (len < *n);
	return s;
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct buf out = {.max = WISH_BYTES};
	char *w[3];

	if (wish_from_count(&out, p, n) == NULL)
		check(wish_updates, &out);
	else if (out.len > 0)
		abort();
	buf_eat(&out, out.len);
	for (int i = 0; i < 3; i++)
		w[i] = word(&p, &n);
	if (wish_from_tools(&out, w[0], w[1], w[2]) == NULL)
		check(wish_features, &out);
	buf_eat(&out, out.len);
	if (wish_from_request(&out, w[0], w[1]) == NULL)
		check(wish_features, &out);
	for (int i = 0; i < 3; i++)
		free(w[i]);
	buf_free(&out);
	return 0;
}
