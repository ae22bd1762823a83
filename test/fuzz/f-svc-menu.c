/* SPDX-License-Identifier: ISC */
/* qubes.SyncAppMenus: what is written for Dom0 has the lines that it should have, one Exec, and
 * that is ours. */
#include <stdlib.h>
#include <string.h>

#include "services/menu.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

#define EXEC "Exec=qvm-run -q -a --service -- work qubes.StartApp+"
#define ID "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"

static void
check(const struct menu_entry *e)
{
	static const char *const may[] = {"[Desktop Entry]", "Version=1.0", "Type=Application",
	    "Terminal=false", "X-Qubes-VmName=work", "Exec=", "Icon=appvm-red",
	    "Name=work: ", "GenericName=", "Comment=", "Categories="};
	struct buf out = {.max = 65536};
	char *text, *save = NULL;
	size_t at = 0, execs = 0;

	menu_print(e, "work", "red", &out);
	if (memchr(buf_bytes(&out), '\0', out.len) != NULL)
		abort();
	text = strndup((const char *)buf_bytes(&out), out.len);
	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		while (at < sizeof(may) / sizeof(*may) && strncmp(l, may[at], strlen(may[at])) != 0)
			at++;
		if (at++ == sizeof(may) / sizeof(*may))
			abort();
		if (strncmp(l, "Exec=", 5) != 0)
			continue;
		execs++;
		if (strncmp(l, EXEC, strlen(EXEC)) != 0 ||
		    l[strlen(EXEC) + strspn(l + strlen(EXEC), ID)] != '\0')
			abort();
	}
	if (execs != 1)
		abort();
	free(text);
	buf_free(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct menu_entry entries[MENU_ENTRIES];
	struct menu m = {.entry = entries};
	unsigned line;

	if (menu_parse(&m, p, n, &line) != NULL)
		return 0;
	if (m.n > MENU_ENTRIES)
		abort();
	for (size_t i = 0; i < m.n; i++) {
		if (strlen(m.entry[i].id) > MENU_ID || m.entry[i].id[0] == '.' ||
		    strspn(m.entry[i].id, ID) != strlen(m.entry[i].id))
			abort();
		if (menu_shown(&m.entry[i]))
			check(&m.entry[i]);
	}
	return 0;
}
