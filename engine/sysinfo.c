/* SPDX-License-Identifier: ISC */
/* The qubes that the engine knows: a list, and a hash over names and uuid:... words. */
#include <stdlib.h>
#include <string.h>

#include "engine-int.h"
#include "log.h"

struct sysinfo {
	struct arena mem;
	struct sys_vm *vms;
	size_t n, cap;
	struct slot {
		const char *key; /* NULL: free */
		size_t vm;
	} * slots;
	size_t mask; /* slots - 1; 0: none yet */
};

struct sysinfo *
sysinfo_new(void)
{
	struct sysinfo *si = calloc(1, sizeof(*si));

	if (si == NULL)
		die("system information");
	return si;
}

static struct slot *
slot_of(const struct sysinfo *si, const char *key)
{
	size_t i = str_hash(key) & si->mask;

	while (si->slots[i].key != NULL && strcmp(si->slots[i].key, key) != 0)
		i = (i + 1) & si->mask;
	return &si->slots[i];
}

static void
slot_put(struct sysinfo *si, const char *key, size_t vm)
{
	struct slot *s = slot_of(si, key);

	s->key = key;
	s->vm = vm;
}

/* Each qube takes two slots; at most half of them are used. */
static void
rehash(struct sysinfo *si)
{
	struct slot *old = si->slots;
	size_t nold = si->mask == 0 ? 0 : si->mask + 1, size = nold == 0 ? 64 : nold * 2;

	if (nold != 0 && (si->n + 1) * 4 <= nold)
		return;
	si->slots = calloc(size, sizeof(*si->slots));
	if (si->slots == NULL)
		die("system information");
	si->mask = size - 1;
	for (size_t i = 0; i < nold; i++)
		if (old[i].key != NULL)
			slot_put(si, old[i].key, old[i].vm);
	free(old);
}

static const char *
keep(struct sysinfo *si, const char *s)
{
	return s == NULL ? NULL : arena_dup(&si->mem, s, strlen(s));
}

bool
sysinfo_add(struct sysinfo *si, const struct sys_vm *vm)
{
	struct sys_vm *v;
	const char **tags;
	char *uuid;

	rehash(si);
	uuid = arena_printf(&si->mem, "uuid:%s", vm->uuid == NULL ? "" : vm->uuid);
	if (sysinfo_find(si, vm->name) != NULL || sysinfo_find(si, uuid) != NULL)
		return false;
	si->vms = grow(si->vms, &si->cap, si->n, sizeof(*si->vms));
	v = &si->vms[si->n];
	*v = *vm;
	v->name = keep(si, vm->name);
	v->type = keep(si, vm->type == NULL ? "" : vm->type);
	v->uuid = uuid + strlen("uuid:");
	v->default_dispvm = keep(si, vm->default_dispvm);
	v->relayvm = keep(si, vm->relayvm);
	v->transport_rpc = keep(si, vm->transport_rpc);
	v->guivm = keep(si, vm->guivm);
	v->icon = keep(si, vm->icon);
	v->disp_base = keep(si, vm->disp_base);
	tags = arena_get(&si->mem, (vm->ntags + 1) * sizeof(*tags));
	for (size_t i = 0; i < vm->ntags; i++)
		tags[i] = keep(si, vm->tags[i]);
	v->tags = tags;
	slot_put(si, v->name, si->n);
	if (v->uuid[0] != '\0')
		slot_put(si, uuid, si->n);
	si->n++;
	return true;
}

const struct sys_vm *
sysinfo_find(const struct sysinfo *si, const char *name_or_uuid)
{
	const struct slot *s;

	if (si->mask == 0)
		return NULL;
	s = slot_of(si, name_or_uuid);
	return s->key == NULL ? NULL : &si->vms[s->vm];
}

void
sysinfo_set_running(struct sysinfo *si, const char *name, bool running)
{
	if (si->mask != 0 && slot_of(si, name)->key != NULL)
		si->vms[slot_of(si, name)->vm].running = running;
}

const struct sys_vm *
sysinfo_at(const struct sysinfo *si, size_t i)
{
	return i < si->n ? &si->vms[i] : NULL;
}

void
sysinfo_free(struct sysinfo *si)
{
	if (si == NULL)
		return;
	arena_free(&si->mem);
	free(si->slots);
	free(si->vms);
	free(si);
}
