/* SPDX-License-Identifier: ISC */
#include "filecopy/open.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

void
open_name_field(char field[OPEN_NAME_SIZE], const char *path, bool view_only)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
	const size_t prefix = view_only ? strlen(OPEN_VIEW_ONLY) : 0;
	const size_t n = strlen(base), room = OPEN_NAME_SIZE - 1 - prefix;

	memset(field, 0, OPEN_NAME_SIZE); /* QSB-009: else what stands behind the name goes, too */
	if (n > room)
		base += n - room;
	snprintf(field, OPEN_NAME_SIZE, "%s%s", view_only ? OPEN_VIEW_ONLY : "", base);
}

bool
open_name_clean(const char *untrusted_field, char name[OPEN_NAME_SIZE], bool *view_only)
{
	static const char good[] =
	    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz._+@-";
	const char *from = untrusted_field;
	size_t n = strnlen(from, OPEN_NAME_SIZE);

	if (n == OPEN_NAME_SIZE)
		return false;
	*view_only = strncmp(from, OPEN_VIEW_ONLY, strlen(OPEN_VIEW_ONLY)) == 0;
	if (*view_only)
		from += strlen(OPEN_VIEW_ONLY), n -= strlen(OPEN_VIEW_ONLY);
	for (size_t i = 0; i < n; i++)
		name[i] = (char)(strchr(good, from[i]) ? from[i] : '_');
	name[n] = '\0';
	if (n == 0)
		memcpy(name, "file", 5);
	if (name[0] == '.' || name[0] == '-') /* neither hidden nor an option */
		name[0] = '_';
	return true;
}

bool
open_url_ok(const char *untrusted_url)
{
	static const char *const schemes[] = {"http://", "https://", "ftp://", NULL};
	size_t i = 0;

	while (schemes[i] && strncasecmp(untrusted_url, schemes[i], strlen(schemes[i])) != 0)
		i++;
	if (!schemes[i] || untrusted_url[strlen(schemes[i])] == '\0')
		return false;
	for (const char *s = untrusted_url; *s; s++)
		if (*s <= ' ' || *s >= 0x7f || strchr("\"'<>\\^`{|}", *s))
			return false;
	return true;
}
