/* SPDX-License-Identifier: ISC */
/* The keys of vm.d and what their values may be. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "label.h"
#include "vmconf-keys.h"

#define TIMEOUT_MAX 86400u

static set_fn set_bool, set_label, set_name, set_root, set_secs, set_service, set_tags, set_type,
    set_user, set_uuid, set_count, set_mode, set_kernel, set_opts, set_mac, set_ip, set_zone,
    set_layout, set_size, set_display;

static const struct key keys[] = {
#define NAMED(name, f, set, flags)                                                                 \
	{                                                                                          \
		name, set, offsetof(struct vmconf, f), sizeof(((struct vmconf *)0)->f), flags      \
	}
#define KEY(f, set, flags) NAMED(#f, f, set, flags)
    KEY(label, set_label, 0),
    KEY(type, set_type, 0),
    KEY(template, set_name, 0),
    KEY(tags, set_tags, 0),
    KEY(default_dispvm, set_name, GLOBAL),
    KEY(uuid, set_uuid, 0),
    KEY(relayvm, set_name, 0),
    KEY(transport_rpc, set_service, 0),
    KEY(guivm, set_name, GLOBAL),
    KEY(display, set_display, GLOBAL | INHERIT),
    KEY(default_user, set_user, GLOBAL | INHERIT),
    KEY(root, set_root, GLOBAL | INHERIT | PATH),
    KEY(template_for_dispvms, set_bool, 0),
    KEY(autostart, set_bool, 0),
    KEY(internal, set_bool, 0),
    KEY(qrexec_timeout, set_secs, GLOBAL | INHERIT),
    KEY(shutdown_timeout, set_secs, GLOBAL | INHERIT),
    KEY(virt_mode, set_mode, GLOBAL | INHERIT),
    KEY(kernel, set_kernel, GLOBAL | INHERIT | PATH),
    KEY(kernelopts, set_opts, GLOBAL | INHERIT),
    KEY(memory, set_count, GLOBAL | INHERIT),
    KEY(vcpus, set_count, GLOBAL | INHERIT),
    KEY(netvm, set_name, GLOBAL),
    KEY(mac, set_mac, 0),
    KEY(ip, set_ip, 0),
    KEY(private, set_root, PATH),
    NAMED("volatile", volatile_, set_root, PATH),
    KEY(prepare, set_count, 0),
    KEY(provides_network, set_bool, 0),
    KEY(debug, set_bool, 0),
    KEY(audiovm, set_name, GLOBAL),
    KEY(timezone, set_zone, GLOBAL | INHERIT),
    KEY(keyboard_layout, set_layout, GLOBAL),
    KEY(preload, set_count, 0),
    KEY(auto_cleanup, set_bool, 0),
    KEY(dispid, set_count, 0),
    KEY(maxmem, set_count, GLOBAL | INHERIT),
    KEY(root_size, set_size, GLOBAL),
    KEY(private_size, set_size, GLOBAL),
    KEY(volatile_size, set_size, GLOBAL),
    KEY(revisions_to_keep, set_count, GLOBAL),
    KEY(include_in_backups, set_bool, 0),
    KEY(management_dispvm, set_name, GLOBAL | INHERIT), /* QSB-045 */
    KEY(default_template, set_name, GLOBAL | ONLY),
    KEY(clockvm, set_name, GLOBAL | ONLY),
    KEY(updatevm, set_name, GLOBAL | ONLY),
#undef KEY
#undef NAMED
};
#define NKEYS (sizeof(keys) / sizeof(keys[0]))

_Static_assert(NKEYS <= KEYS_MAX, "room in struct seen");

static void *
field(struct vmconf *c, const struct key *k)
{
	return (char *)c + k->off;
}

static const char *
store(struct vmconf *c, const struct key *k, const char *val)
{
	int n = snprintf(field(c, k), k->size, "%s", val);

	return n >= 0 && (size_t)n < k->size ? NULL : "too long";
}

static const char *
set_label(struct vmconf *c, const struct key *k, const char *val)
{
	return label_named(val) ? store(c, k, val)
				: "not red, orange, yellow, green, gray, blue, purple or black";
}

static const char *
set_type(struct vmconf *c, const struct key *k, const char *val)
{
	static const char *const types[] = {
	    "AppVM", "TemplateVM", "StandaloneVM", "DispVM", "RemoteVM", "AdminVM", NULL};

	if (is_dom0(c->name) != (strcmp(val, "AdminVM") == 0))
		return "dom0, and nobody else, is the AdminVM";
	return one_of(types, val)
		   ? store(c, k, val)
		   : "not AppVM, TemplateVM, StandaloneVM, DispVM, RemoteVM or AdminVM";
}

/* Empty: none. */
static const char *
set_name(struct vmconf *c, const struct key *k, const char *val)
{
	return *val == '\0' || name_ok(val) ? store(c, k, val) : "not a qube's name";
}

static const char *
set_service(struct vmconf *c, const struct key *k, const char *val)
{
	for (const char *p = val; *p != '\0'; p++)
		if (!service_byte((unsigned char)*p))
			return "not a service's name";
	return store(c, k, val);
}

static const char *
set_user(struct vmconf *c, const struct key *k, const char *val)
{
	if (*val == '\0' || *val == '-' || *val == '.' || (*val >= '0' && *val <= '9'))
		return "not a user's name";
	return set_service(c, k, val) == NULL ? NULL : "not a user's name";
}

static const char *
set_root(struct vmconf *c, const struct key *k, const char *val)
{
	return *val == '\0' || *val == '/' ? store(c, k, val) : "not an absolute path";
}

static const char *
set_uuid(struct vmconf *c, const struct key *k, const char *val)
{
	char low[UUID_LEN + 1];

	if (!uuid_ok(val))
		return "not a UUID";
	for (size_t i = 0; i <= UUID_LEN; i++)
		low[i] = (char)(val[i] >= 'A' && val[i] <= 'F' ? val[i] - 'A' + 'a' : val[i]);
	if (is_dom0(c->name) != (strcmp(low, DOM0_UUID) == 0))
		return "the zero UUID is dom0's, and dom0 has no other";
	return store(c, k, low);
}

bool
vmconf_true(const char *val)
{
	static const char *const yes[] = {"true", "True", "1", "yes", NULL};

	return one_of(yes, val);
}

static const char *
set_bool(struct vmconf *c, const struct key *k, const char *val)
{
	static const char *const no[] = {"false", "False", "0", "no", NULL};
	bool *out = field(c, k);

	*out = vmconf_true(val);
	return *out || one_of(no, val) ? NULL : "not true or false";
}

static const char *
set_secs(struct vmconf *c, const struct key *k, const char *val)
{
	uint32_t *out = field(c, k), v;

	if (!parse_u32(val, TIMEOUT_MAX, &v) || v == 0)
		return "not a number of seconds from 1 to 86400";
	*out = v;
	return NULL;
}

static const char *
set_count(struct vmconf *c, const struct key *k, const char *val)
{
	static const struct {
		size_t off;
		uint32_t least, most;
		const char *why;
	} bounds[] = {
	    {offsetof(struct vmconf, memory), VM_MEMORY_MIN, VM_MEMORY_MAX,
		"not a number of MiB from 32 to 1048576"},
	    {offsetof(struct vmconf, vcpus), 1, VM_VCPUS_MAX, "not a number from 1 to 64"},
	    {offsetof(struct vmconf, prepare), 0, VM_PREPARE_MAX, "not a number from 0 to 16"},
	    {offsetof(struct vmconf, preload), 0, VM_PRELOAD_MAX, "not a number from 0 to 16"},
	    {offsetof(struct vmconf, dispid), 0, VM_DISPID_MAX, "not a number from 0 to 9999"},
	    {offsetof(struct vmconf, maxmem), 0, VM_MEMORY_MAX,
		"not a number of MiB from 0 to 1048576"},
	    {offsetof(struct vmconf, revisions_to_keep), 0, VM_REVISIONS_MAX,
		"not a number from 0 to 16"},
	};
	uint32_t *out = field(c, k), v;
	size_t i = 0;

	while (bounds[i].off != k->off)
		i++;
	if (!parse_u32(val, bounds[i].most, &v) || v < bounds[i].least)
		return bounds[i].why;
	*out = v;
	return NULL;
}

/* MiB, or with M or G behind it. */
static const char *
set_size(struct vmconf *c, const struct key *k, const char *val)
{
	static const char why[] = "not a size in MiB, or like 512M or 20G, up to 16384G";
	uint32_t *out = field(c, k), v, unit = 1;
	char digits[12];
	size_t n = strlen(val);

	if (n > 0 && (val[n - 1] == 'M' || val[n - 1] == 'G')) {
		unit = val[n - 1] == 'G' ? 1024 : 1;
		n--;
	}
	if (n >= sizeof(digits))
		return why;
	memcpy(digits, val, n);
	digits[n] = '\0';
	if (!parse_u32(digits, VM_SIZE_MAX / unit, &v))
		return why;
	*out = v * unit;
	return NULL;
}

static const char *
set_mode(struct vmconf *c, const struct key *k, const char *val)
{
	static const char *const modes[] = {"pvh", "pv", "hvm", NULL};

	return one_of(modes, val) ? store(c, k, val) : "not pvh, pv or hvm";
}

static bool
printable(const char *val)
{
	while (*val >= 0x20 && *val <= 0x7e)
		val++;
	return *val == '\0';
}

/* A directory below VM_KERNELS: one name, not a way out of there. */
static const char *
set_kernel(struct vmconf *c, const struct key *k, const char *val)
{
	if (*val == '.' || (*val != '/' && strchr(val, '/') != NULL))
		return "neither a name nor an absolute path";
	return printable(val) ? store(c, k, val) : "not printable ASCII";
}

static const char *
set_opts(struct vmconf *c, const struct key *k, const char *val)
{
	if (!printable(val))
		return "not printable ASCII";
	c->own_kernelopts = true;
	return store(c, k, val) == NULL ? NULL : "longer than 512";
}

static const char *
set_mac(struct vmconf *c, const struct key *k, const char *val)
{
	bool ok = strlen(val) == 17;

	for (size_t i = 0; ok && i < 17; i++)
		ok = i % 3 == 2 ? val[i] == ':' : strchr("0123456789abcdef", val[i]) != NULL;
	/* the first byte: not a group's address */
	return ok && strchr("02468ace", val[1]) != NULL
		   ? store(c, k, val)
		   : "not a MAC address like 00:16:3e:5e:6c:00";
}

/* Empty: from the qid. */
static const char *
set_ip(struct vmconf *c, const struct key *k, const char *val)
{
	char text[sizeof(c->ip)], *save = NULL;
	uint32_t part;
	int n = 0;

	if (*val != '\0') {
		if (strlen(val) >= sizeof(text) || strspn(val, "0123456789.") != strlen(val))
			return "not an IPv4 address";
		snprintf(text, sizeof(text), "%s", val);
		for (char *w = strtok_r(text, ".", &save); w; w = strtok_r(NULL, ".", &save), n++)
			if (!parse_u32(w, 255, &part))
				return "not an IPv4 address";
		if (n != 4 || strstr(val, "..") != NULL || *val == '.' ||
		    val[strlen(val) - 1] == '.')
			return "not an IPv4 address";
	}
	return store(c, k, val);
}

/* A file below zoneinfo. Empty: Dom0's own. */
static const char *
set_zone(struct vmconf *c, const struct key *k, const char *val)
{
	for (const char *p = val; *p != '\0'; p++)
		if (*p != '/' && *p != '+' && (*p == '.' || !service_byte((unsigned char)*p)))
			return "not a time zone like Europe/Warsaw";
	return *val != '/' ? store(c, k, val) : "not a time zone like Europe/Warsaw";
}

static const char *
set_display(struct vmconf *c, const struct key *k, const char *val)
{
	const size_t n = *val == ':' ? strspn(val + 1, "0123456789") : 0;
	const size_t screen = n > 0 && val[1 + n] == '.' ? strspn(val + 2 + n, "0123456789") : 0;
	const size_t whole = n > 0 ? 1 + n + (screen > 0 ? 1 + screen : 0) : 0;

	if (*val != '\0' && (whole == 0 || val[whole] != '\0' || n > 4 || screen > 1))
		return "not :N, as DISPLAY has it";
	return store(c, k, val);
}

/* Layout, variant, options. */
static const char *
set_layout(struct vmconf *c, const struct key *k, const char *val)
{
	unsigned plus = 0;

	for (const char *p = val; *p != '\0'; p++) {
		plus += *p == '+';
		if (strchr("+:,()", *p) == NULL && !service_byte((unsigned char)*p))
			return "not a keyboard layout like us++";
	}
	return plus == 2 && *val != '+' ? store(c, k, val) : "not a keyboard layout like us++";
}

static const char *
add_tag(struct vmconf *c, const char *tag, size_t n)
{
	if (n > VM_TAG_LEN)
		return "a tag is longer than 63";
	for (size_t i = 0; i < n; i++)
		if (!service_byte((unsigned char)tag[i]))
			return "a tag may hold A-Z a-z 0-9 _ . - only";
	for (size_t i = 0; i < c->ntags; i++)
		if (strlen(c->tags[i]) == n && memcmp(c->tags[i], tag, n) == 0)
			return NULL;
	if (c->ntags == VM_TAGS)
		return "more than 32 tags";
	memcpy(c->tags[c->ntags], tag, n);
	c->tags[c->ntags++][n] = '\0';
	return NULL;
}

static const char *
set_tags(struct vmconf *c, const struct key *k, const char *val)
{
	const char *why = NULL;

	(void)k;
	c->ntags = 0;
	while (why == NULL && *(val += strspn(val, " \t")) != '\0') {
		size_t n = strcspn(val, " \t");

		why = add_tag(c, val, n);
		val += n;
	}
	return why;
}

/* Changes, insertions and deletions that make a of b; both shorter than 32. */
static unsigned
distance(const char *a, const char *b)
{
	unsigned row[33], diag, up, least;
	size_t na = strlen(a), nb = strlen(b);

	for (size_t j = 0; j <= nb; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= na; i++) {
		diag = row[0];
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= nb; j++) {
			up = row[j];
			least = (up < row[j - 1] ? up : row[j - 1]) + 1;
			diag += a[i - 1] != b[j - 1];
			row[j] = diag < least ? diag : least;
			diag = up;
		}
	}
	return row[nb];
}

const struct key *
key_nearest(const char *word)
{
	const struct key *best = NULL;
	unsigned d, least = 3;

	for (size_t i = 0; i < NKEYS && strlen(word) < 32; i++) {
		d = distance(word, keys[i].name);
		if (d < least && d < strlen(keys[i].name)) {
			least = d;
			best = &keys[i];
		}
	}
	return best;
}

const struct key *
key_find(const char *word)
{
	for (size_t i = 0; i < NKEYS; i++)
		if (strcmp(keys[i].name, word) == 0)
			return &keys[i];
	return NULL;
}

size_t
key_number(const struct key *k)
{
	return (size_t)(k - keys);
}

const struct key *
key_next(const struct key *at)
{
	at = at != NULL ? at + 1 : keys;
	return at < keys + NKEYS ? at : NULL;
}

const char *
key_type(const struct key *k)
{
	return k->set == set_bool	     ? "bool"
	       : k->set == set_name	     ? "vm"
	       : k->set == set_label	     ? "label"
	       : k->size == sizeof(uint32_t) ? "int"
					     : "str";
}

void
key_print(const struct vmconf *c, const struct key *k, char out[KEY_TEXT])
{
	const void *at = (const char *)c + k->off;
	size_t n = 0;

	out[0] = '\0';
	if (k->set == set_tags)
		for (size_t i = 0; i < c->ntags; i++)
			n += (size_t)snprintf(
			    out + n, KEY_TEXT - n, "%s%s", n > 0 ? " " : "", c->tags[i]);
	else if (k->set == set_bool)
		snprintf(out, KEY_TEXT, "%s", *(const bool *)at ? "True" : "False");
	else if (k->size != sizeof(uint32_t))
		snprintf(out, KEY_TEXT, "%s", (const char *)at);
	else if (*(const uint32_t *)at != VM_NO_DISPID)
		snprintf(out, KEY_TEXT, "%u", *(const uint32_t *)at);
}

void
keys_inherit(struct vmconf *c, const struct vmconf *from)
{
	for (const struct key *k = keys; k < keys + NKEYS; k++)
		if (k->flags & INHERIT)
			memcpy(field(c, k), (const char *)from + k->off, k->size);
	c->own_kernelopts = from->own_kernelopts;
}
