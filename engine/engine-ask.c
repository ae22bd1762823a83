/* SPDX-License-Identifier: ISC */
/* Which targets a prompt offers (spec/policy 3 "ask"). */
#include <stdlib.h>
#include <string.h>

#include "engine-int.h"
#include "log.h"
#include "names.h"

/* How a qube can stand in the list. */
enum { O_NAME = 1, O_UUID = 2, O_DISP = 4, O_DISP_UUID = 8 };

struct offer {
	struct ctx *c;
	uint8_t *vm; /* for each qube, O_ */
	size_t n;
	bool dom0, disp; /* disp: @dispvm, before it is resolved */
};

/* A deny takes every spelling of a qube away, so that none is a way around it; upstream only its
 * own. */
static void
mark(struct offer *o, size_t i, unsigned how, bool add)
{
	const struct sys_vm *vm = sysinfo_at(o->c->si, i);
	const char *mine = o->c->source.vm->default_dispvm;

	if (is_dom0(vm->name)) {
		if ((how & O_NAME) != 0)
			o->dom0 = add;
	} else if (add) {
		o->vm[i] |= (uint8_t)how;
	} else {
		if ((how & (O_NAME | O_UUID)) != 0)
			o->vm[i] &= (uint8_t) ~(O_NAME | O_UUID);
		if ((how & (O_DISP | O_DISP_UUID)) != 0)
			o->vm[i] &= (uint8_t) ~(O_DISP | O_DISP_UUID);
		if ((how & (O_DISP | O_DISP_UUID)) != 0 && mine != NULL &&
		    sysinfo_find(o->c->si, mine) == vm)
			o->disp = false;
	}
}

static unsigned
in_class(const struct pattern *pt, const struct sys_vm *vm)
{
	unsigned disp = vm->template_for_dispvms ? O_DISP : 0;

	switch (pt->kind) {
	case T_ANY:
		return O_NAME | disp;
	case T_ANYVM:
		return is_dom0(vm->name) ? 0 : O_NAME | disp;
	case T_TAG:
		return vm_tagged(vm, pt->val) ? O_NAME : 0;
	case T_TYPE:
		return strcmp(vm->type, pt->val) == 0 ? O_NAME : 0;
	case T_DISP_TAG:
		return vm_tagged(vm, pt->val) ? disp : 0;
	default:
		return 0;
	}
}

static size_t
index_of(const struct offer *o, const struct sys_vm *vm)
{
	return (size_t)(vm - sysinfo_at(o->c->si, 0));
}

/* What one word stands for is added or taken away. */
static void
expand(struct offer *o, const struct pattern *pt, bool add)
{
	const struct sys_vm *vm;
	unsigned how;

	switch (pt->kind) {
	case T_ADMIN:
		o->dom0 = add;
		return;
	case T_DISPVM:
		o->disp = add;
		return;
	case T_NAME:
	case T_DISP_NAME:
		vm = sysinfo_find(o->c->si, pt->val);
		if (vm == NULL || (pt->kind == T_DISP_NAME && !vm->template_for_dispvms))
			return;
		how = pt->kind == T_NAME ? O_NAME : O_DISP;
		mark(o, index_of(o, vm), strcmp(pt->val, vm->name) == 0 ? how : how << 1, add);
		return;
	default:
		break;
	}
	for (size_t i = 0; i < o->n; i++)
		if ((how = in_class(pt, sysinfo_at(o->c->si, i))) != 0)
			mark(o, i, how, add);
	if (pt->kind == T_ANY || pt->kind == T_ANYVM)
		o->disp = add;
	if (pt->kind == T_ANY)
		o->dom0 = add;
}

static uint32_t *
matching(struct ctx *c, size_t *n)
{
	struct walk w = walk_start(c);
	uint32_t *v = NULL, i;
	size_t cap = 0;

	for (*n = 0; (i = walk_next(c, &w)) != NO_RULE;) {
		if (!rule_is(c, i, false))
			continue;
		v = grow(v, &cap, *n, sizeof(*v));
		v[(*n)++] = i;
	}
	return v;
}

/* From the last rule to the first: so an earlier rule has the last word. */
static void
collect(struct offer *o)
{
	struct ctx *c = o->c;
	size_t n;
	uint32_t *v = matching(c, &n);
	const struct rule *r;
	struct pattern pt;

	while (n-- > 0) {
		r = &c->p->rules[v[n]];
		pt = r->redirect == NULL ? c->p->crules[v[n]].target
					 : token(r->redirect, P_REDIRECT);
		expand(o, &pt, r->action != V_DENY);
	}
	free(v);
	if (o->disp && c->source.vm->default_dispvm != NULL) {
		const struct sys_vm *base = sysinfo_find(c->si, c->source.vm->default_dispvm);

		if (base != NULL)
			o->vm[index_of(o, base)] |= O_DISP;
	}
	for (size_t i = 0; i < o->n; i++) {
		if (sysinfo_at(c->si, i)->internal)
			o->vm[i] = 0;
		if (sysinfo_at(c->si, i) == c->source.vm)
			o->vm[i] &= (uint8_t) ~(O_NAME | O_UUID);
	}
	if (c->source.kind == T_ADMIN)
		o->dom0 = false;
}

static int
by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void
put(struct ctx *c, const struct rule *r, const char *prefix, const char *name)
{
	char *word = arena_printf(&c->mem, "%s%s", prefix, name);

	if (r->autostart || runs_already(c->si, word))
		c->d->targets[c->d->ntargets++] = word;
}

void
ask_targets(struct ctx *c, const struct rule *r)
{
	static const char *const prefix[] = {"", "uuid:", "@dispvm:", "@dispvm:uuid:"};
	struct offer o = {.c = c};
	const struct sys_vm *vm;

	while (sysinfo_at(c->si, o.n) != NULL)
		o.n++;
	c->d->targets = arena_get(&c->mem, (4 * o.n + 1) * sizeof(char *));
	if (r->redirect != NULL) {
		put(c, r, "", is_dom0(r->redirect) ? "dom0" : r->redirect);
		return;
	}
	o.vm = arena_get(&c->mem, o.n + 1);
	collect(&o);
	if (o.dom0)
		put(c, r, "", "dom0");
	for (size_t i = 0; i < o.n; i++) {
		vm = sysinfo_at(c->si, i);
		for (unsigned k = 0; k < 4; k++)
			if ((o.vm[i] & (1u << k)) != 0)
				put(c, r, prefix[k], k % 2 == 0 ? vm->name : vm->uuid);
	}
	qsort(c->d->targets, c->d->ntargets, sizeof(char *), by_bytes);
}
