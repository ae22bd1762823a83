/* SPDX-License-Identifier: ISC */
/* Words and who they mean (spec/policy 2 "Tokens", 3 "Matching"). */
#include <stdio.h>
#include <string.h>

#include "engine-int.h"
#include "names.h"

static const struct {
	const char *text;
	enum tok kind;
	bool prefix;
	unsigned places;
} words[] = {
    {"*", T_ANY, false, P_SOURCE | P_TARGET},
    {"@anyvm", T_ANYVM, false, P_SOURCE | P_TARGET},
    {"@adminvm", T_ADMIN, false, P_SOURCE | P_TARGET | P_REDIRECT | P_CALLER},
    {"@default", T_DEFAULT, false, P_TARGET | P_CALLER},
    {"@dispvm", T_DISPVM, false, P_TARGET | P_REDIRECT | P_CALLER},
    {"@dispvm:@tag:", T_DISP_TAG, true, P_SOURCE | P_TARGET},
    {"@dispvm:", T_DISP_NAME, true, P_SOURCE | P_TARGET | P_REDIRECT | P_CALLER},
    {"@tag:", T_TAG, true, P_SOURCE | P_TARGET},
    {"@type:", T_TYPE, true, P_SOURCE | P_TARGET},
};

static struct pattern
pattern_of(enum tok kind, const char *val)
{
	struct pattern pt = {.kind = kind, .hash = str_hash(val), .val = val};

	return pt;
}

struct pattern
token(const char *word, unsigned place)
{
	size_t n;

	if (is_dom0(word))
		return pattern_of(T_ADMIN, word);
	if (word[0] != '@' && strcmp(word, "*") != 0)
		return pattern_of(word[0] == '\0' ? T_EMPTY : T_NAME, word);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if ((words[i].places & place) == 0)
			continue;
		n = strlen(words[i].text);
		if (!words[i].prefix && strcmp(word, words[i].text) == 0)
			return pattern_of(words[i].kind, word);
		if (!words[i].prefix || strncmp(word, words[i].text, n) != 0)
			continue;
		if (word[n] == '\0')
			return pattern_of(T_EMPTY, "");
		if (word[n] != '@')
			return pattern_of(words[i].kind, word + n);
	}
	return pattern_of(T_BAD, "");
}

void
subject_set(struct subject *s, const struct sysinfo *si, const char *word)
{
	struct pattern pt = token(word, P_CALLER);

	*s = (struct subject){.kind = pt.kind, .word = word, .val = pt.val, .hash = pt.hash};
	if (pt.kind == T_NAME || pt.kind == T_DISP_NAME)
		s->vm = sysinfo_find(si, pt.val);
	else if (pt.kind == T_ADMIN &&
		 word[0] != '@') /* tags and class do not count for @adminvm */
		s->vm = sysinfo_find(si, "dom0");
	if (s->vm == NULL || pt.kind == T_ADMIN)
		return;
	s->hash = str_hash(s->vm->name);
	snprintf(s->uuid, sizeof(s->uuid), "uuid:%s", s->vm->uuid);
	s->hash_uuid = str_hash(s->uuid);
}

bool
vm_tagged(const struct sys_vm *vm, const char *tag)
{
	for (size_t i = 0; i < vm->ntags; i++)
		if (strcmp(vm->tags[i], tag) == 0)
			return true;
	return false;
}

/* The same qube, by name or uuid in either place. */
static bool
same_qube(const struct pattern *pt, const struct subject *s)
{
	if (s->vm == NULL)
		return pt->hash == s->hash && strcmp(pt->val, s->val) == 0;
	return (pt->hash == s->hash && strcmp(pt->val, s->vm->name) == 0) ||
	       (pt->hash == s->hash_uuid && strcmp(pt->val, s->uuid) == 0);
}

static const char *
default_disp(const struct subject *src)
{
	return src->vm == NULL ? NULL : src->vm->default_dispvm;
}

static bool
disp_name_match(const struct pattern *pt, const struct subject *s, const struct subject *src)
{
	if (s->kind == T_DISP_NAME)
		return same_qube(pt, s);
	return s->kind == T_DISPVM && default_disp(src) != NULL &&
	       strcmp(default_disp(src), pt->val) == 0;
}

static bool
disp_tag_match(const struct pattern *pt, const struct subject *s, const struct subject *src,
    const struct sysinfo *si)
{
	const struct sys_vm *base = NULL;

	if (s->kind == T_DISP_NAME)
		base = s->vm;
	else if (s->kind == T_DISPVM && default_disp(src) != NULL)
		base = sysinfo_find(si, default_disp(src));
	return base != NULL && base->template_for_dispvms && vm_tagged(base, pt->val);
}

bool
pattern_match(const struct pattern *pt, const struct subject *s, const struct subject *src,
    const struct sysinfo *si)
{
	bool qube = (s->kind == T_NAME || s->kind == T_ADMIN) && s->vm != NULL;

	switch (pt->kind) {
	case T_ANY:
		return true;
	case T_ANYVM:
		return s->kind != T_ADMIN;
	case T_NAME:
		return s->kind == T_NAME && same_qube(pt, s);
	case T_ADMIN:
	case T_DEFAULT:
	case T_DISPVM:
		return s->kind == pt->kind;
	case T_TAG:
		return qube && vm_tagged(s->vm, pt->val);
	case T_TYPE:
		return qube && strcmp(s->vm->type, pt->val) == 0;
	case T_DISP_NAME:
		return disp_name_match(pt, s, src);
	case T_DISP_TAG:
		return disp_tag_match(pt, s, src, si);
	default:
		return false;
	}
}

const char *
check_target(struct subject *s, const struct sysinfo *si, const char *word, bool *notify)
{
	subject_set(s, si, word[0] == '\0' ? "@default" : word);
	*notify = true;
	if (s->kind == T_BAD || s->kind == T_EMPTY) {
		*notify = false;
		return "not a word that a caller may use as target";
	}
	if (s->kind == T_NAME && s->vm == NULL)
		subject_set(s, si, "@default");
	if (s->kind == T_DISP_NAME && (s->vm == NULL || !s->vm->template_for_dispvms))
		return "no template for disposables";
	return NULL;
}

bool
runs_already(const struct sysinfo *si, const char *dest)
{
	const struct sys_vm *vm;

	if (is_dom0(dest))
		return true;
	vm = sysinfo_find(si, dest);
	return vm != NULL && vm->running;
}
