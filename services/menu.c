/* SPDX-License-Identifier: ISC */
#include <stdint.h>
#include <string.h>

#include "menu.h"
#include "names.h"

#define DIR_NAME "/applications/"
#define SUFFIX ".desktop"

/* All others, among them Exec, Icon and those of other languages, are passed over. */
static const struct {
	const char *name;
	enum menu_key key;
} keys[] = {{"Name", MENU_NAME}, {"GenericName", MENU_GENERIC}, {"Comment", MENU_COMMENT},
    {"Categories", MENU_CATEGORIES}};

/* What is not seen as what it is: control characters, line ends, what turns the direction or joins.
 */
static bool
plain(uint32_t c)
{
	static const struct {
		uint32_t from, to;
	} not [] = {{0, 0x1f}, {0x7f, 0x9f}, {0xad, 0xad}, {0x61c, 0x61c}, {0x180e, 0x180e},
	    {0x200b, 0x200f}, {0x2028, 0x202e}, {0x2060, 0x206f}, {0xfe00, 0xfe0f},
	    {0xfeff, 0xfeff}, {0xfff0, 0xfffb}, {0xe000, 0xf8ff}, {0xe0000, 0x10ffff}};

	for (size_t i = 0; i < sizeof(not ) / sizeof(*not ); i++)
		if (c >= not [i].from && c <= not [i].to)
			return false;
	return true;
}

static bool
text_ok(const char *untrusted, size_t n)
{
	uint32_t c;
	size_t step;

	for (size_t i = 0; i < n; i += step) {
		step = utf8_char((const unsigned char *)untrusted + i, n - i, &c);
		if (step == 0 || !plain(c))
			return false;
	}
	return n <= MENU_VALUE;
}

static bool
categories_ok(const char *untrusted, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!service_byte((unsigned char)untrusted[i]) && untrusted[i] != ';')
			return false;
	return n <= MENU_VALUE;
}

/* The file's name with what is below applications/, whose slashes are dashes in an entry's id. */
static bool
id_of(const char *untrusted, size_t n, char id[MENU_ID + 1])
{
	const size_t suffix = strlen(SUFFIX), dir = strlen(DIR_NAME);
	const char *at = n >= dir ? memmem(untrusted, n, DIR_NAME, dir) : NULL;

	if (at != NULL) {
		n -= (size_t)(at - untrusted) + dir;
		untrusted = at + dir;
	}
	if (n <= suffix || n - suffix > MENU_ID ||
	    memcmp(untrusted + n - suffix, SUFFIX, suffix) != 0)
		return false;
	n -= suffix;
	for (size_t i = 0; i < n; i++) {
		if (!service_byte((unsigned char)untrusted[i]) && untrusted[i] != '/')
			return false;
		id[i] = (char)(untrusted[i] == '/' ? '-' : untrusted[i]);
	}
	id[n] = '\0';
	return id[0] != '.' && id[0] != '-';
}

static struct menu_entry *
entry(struct menu *m, const char *id)
{
	for (size_t i = m->n; i > 0; i--) /* its lines mostly stand together */
		if (strcmp(m->entry[i - 1].id, id) == 0)
			return &m->entry[i - 1];
	if (m->n == MENU_ENTRIES)
		return NULL;
	memset(&m->entry[m->n], 0, sizeof(m->entry[0]));
	memcpy(m->entry[m->n].id, id, strlen(id) + 1);
	return &m->entry[m->n++];
}

static bool
is(const char *word, const char *untrusted, size_t n)
{
	return strlen(word) == n && memcmp(word, untrusted, n) == 0;
}

static const char *
take_value(struct menu_entry *e, const char *key, size_t nkey, const char *untrusted, size_t n)
{
	if (is("NoDisplay", key, nkey) || is("Hidden", key, nkey))
		e->hidden = e->hidden || is("true", untrusted, n);
	if (is("Type", key, nkey))
		e->hidden = e->hidden || !is("Application", untrusted, n);
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		if (!is(keys[i].name, key, nkey))
			continue;
		if (keys[i].key == MENU_CATEGORIES ? !categories_ok(untrusted, n)
						   : !text_ok(untrusted, n))
			return "a value is no plain text, or longer than 256 bytes";
		memcpy(e->value[keys[i].key], untrusted, n);
		e->value[keys[i].key][n] = '\0';
	}
	return NULL;
}

/* Name[de], X-Gnome@x: those of other languages, too. */
static bool
key_byte(unsigned char c)
{
	return service_byte(c) || c == '[' || c == ']' || c == '@' || c == ' ';
}

static const char *
take_line(struct menu *m, const char *untrusted, size_t n)
{
	const char *colon = memchr(untrusted, ':', n), *eq, *key;
	char id[MENU_ID + 1];
	struct menu_entry *e;
	size_t nkey;

	if (n > MENU_LINE)
		return "longer than 1024 bytes";
	if (colon == NULL || !id_of(untrusted, (size_t)(colon - untrusted), id))
		return "not the name of a desktop file";
	key = colon + 1;
	n -= (size_t)(key - untrusted);
	eq = memchr(key, '=', n);
	if (eq == NULL || eq == key)
		return "no key";
	nkey = (size_t)(eq - key);
	for (size_t i = 0; i < nkey; i++)
		if (!key_byte((unsigned char)key[i]))
			return "a key holds what it may not";
	e = entry(m, id);
	return e != NULL ? take_value(e, key, nkey, eq + 1, n - nkey - 1)
			 : "more than 512 desktop files";
}

const char *
menu_parse(struct menu *m, const void *untrusted, size_t n, unsigned *line)
{
	const char *at = untrusted, *nl, *bad = NULL;
	size_t len;

	m->n = 0;
	for (*line = 1; n > 0 && bad == NULL; n -= len, at += len) {
		nl = memchr(at, '\n', n);
		len = nl != NULL ? (size_t)(nl - at) : n;
		if (len > 0)
			bad = take_line(m, at, len);
		len += nl != NULL;
		*line += bad == NULL;
	}
	return bad;
}

bool
menu_shown(const struct menu_entry *e)
{
	return !e->hidden && e->value[MENU_NAME][0] != '\0';
}

/* As a value of a desktop file: what the qube has escaped is shown as it stands. */
static void
put_value(struct buf *out, const char *s)
{
	for (; *s != '\0'; s++)
		(void)buf_put(out, *s == '\\' ? "\\\\" : s, *s == '\\' ? 2 : 1);
}

static void
put_key(struct buf *out, const char *key, const char *value)
{
	if (*value == '\0')
		return;
	(void)buf_printf(out, "%s=", key);
	put_value(out, value);
	(void)buf_put(out, "\n", 1);
}

/* Exec is a command line: nothing in it but the qube's name and the entry's, of A-Z a-z 0-9 _ . -.
 */
void
menu_print(const struct menu_entry *e, const char *qube, const char *label, struct buf *out)
{
	const char *cat = e->value[MENU_CATEGORIES];
	const size_t n = strlen(cat);

	(void)buf_printf(out,
	    "[Desktop Entry]\nVersion=1.0\nType=Application\nTerminal=false\nX-Qubes-VmName=%s\n"
	    "Exec=qvm-run -q -a --service -- %s qubes.StartApp+%s\nIcon=appvm-%s\nName=%s: ",
	    qube, qube, e->id, label, qube);
	put_value(out, e->value[MENU_NAME]);
	(void)buf_put(out, "\n", 1);
	put_key(out, "GenericName", e->value[MENU_GENERIC]);
	put_key(out, "Comment", e->value[MENU_COMMENT]);
	(void)buf_printf(
	    out, "Categories=%s%sX-Qubes-VM;\n", cat, n > 0 && cat[n - 1] != ';' ? ";" : "");
}
