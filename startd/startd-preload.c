/* SPDX-License-Identifier: ISC */
/*
 * Disposables that are kept ready (`preload = N` in their base's file): started, then paused, and
 * nobody's: RUN_PRELOAD/NAME says of what they were made. They go when what they were made of has
 * changed, and when memory is wanted.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kv.h"
#include "startd.h"

#define LOOK_MS 250
#define GIVEN_MS 3000 /* one was given out: its call goes first, unless it has ended before */
#define REST_MS 60000 /* one could not be made: until the next is tried */

static void
mix(uint64_t *h, const void *p, size_t n)
{
	for (const uint8_t *b = p; n > 0; n--)
		*h = (*h ^ *b++) * 0x100000001b3u;
}

static void
mix_file(uint64_t *h, int dir, const char *name)
{
	struct stat st;

	if (dir < 0 || fstatat(dir, name, &st, 0) < 0)
		return;
	mix(h, name, strlen(name));
	mix(h, &st.st_ino, sizeof st.st_ino);
	mix(h, &st.st_size, sizeof st.st_size);
	mix(h, &st.st_mtim, sizeof st.st_mtim);
}

/* Which state of its volumes is the current one: a link leads there (storage.h). */
static void
mix_volumes(uint64_t *h, const char *name)
{
	static const char *const links[] = {VAR_DIR "/appvms/%s/private",
	    VAR_DIR "/appvms/%s/private.img", VAR_DIR "/vm-templates/%s/root",
	    VAR_DIR "/vm-templates/%s/root.img"};
	char path[160], to[128];
	ssize_t n;

	for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
		snprintf(path, sizeof path, links[i], name);
		n = readlink(path, to, sizeof to);
		if (n > 0)
			mix(h, to, (size_t)n);
	}
}

/* Of the files of base, its templates and the defaults, and of their volumes: what they are now. */
uint64_t
preload_stamp(const char *base)
{
	uint64_t h = 0xcbf29ce484222325u;
	const int dir = vm_dir();
	char name[NAME_LEN_MAX + 1];
	struct vmconf c;
	struct vmconf_error e;

	mix_file(&h, dir, "defaults");
	snprintf(name, sizeof name, "%s", base);
	for (int i = 0; i < 3 && name[0] != '\0'; i++) {
		mix_file(&h, dir, name);
		mix_volumes(&h, name);
		if (!load_conf(name, &c, &e))
			break;
		memcpy(name, c.template, sizeof name);
	}
	if (dir >= 0)
		close(dir);
	return h;
}

bool
preload_fresh(const struct disp *d)
{
	return preload_stamp(d->base) == d->stamp;
}

void
preload_mark(const struct disp *d)
{
	char path[160];
	int fd;

	(void)mkdir(RUN_PRELOAD, 0755);
	snprintf(path, sizeof path, RUN_PRELOAD "/%s", d->name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || dprintf(fd, "base=%s\nstamp=%" PRIu64 "\n", d->base, d->stamp) < 0)
		logit("%s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

bool
preload_marked(const char *name, struct disp *d)
{
	static struct kv kv;
	struct buf b = {.max = KV_BYTES};
	const int dir = open(RUN_PRELOAD, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const char *base = NULL, *stamp = NULL;
	const bool is = dir >= 0 && faccessat(dir, name, F_OK, 0) == 0;

	if (is && buf_read_file(&b, dir, name) && !kv_parse(&kv, buf_bytes(&b), b.len)) {
		base = kv_get(&kv, "base");
		stamp = kv_get(&kv, "stamp");
	}
	if (base && stamp && name_ok(base) && parse_u64(stamp, UINT64_MAX, &d->stamp))
		snprintf(d->base, sizeof d->base, "%s", base);
	buf_free(&b);
	if (dir >= 0)
		close(dir);
	return is;
}

void
preload_unmark(const struct disp *d)
{
	char path[160];

	snprintf(path, sizeof path, RUN_PRELOAD "/%s", d->name);
	(void)unlink(path);
}

struct disp *
preload_take(struct startd *s, const char *base)
{
	struct disp *d = s->disps;

	while (d && (d->stage != DISP_READY || strcmp(d->base, base) != 0 || !preload_fresh(d)))
		d = d->next;
	return d;
}

static bool
is_kept(const struct disp *d)
{
	return d->preloaded && d->stage != DISP_ENDING && d->stage != DISP_WAKING;
}

/* Those of base that are kept or on the way. More than want, and stale ones, are ended. */
static uint32_t
keep(struct startd *s, const char *base, uint32_t want)
{
	struct disp *d, *next;
	uint32_t n = 0;

	for (d = s->disps; d; d = next) {
		next = d->next;
		if (!is_kept(d) || strcmp(d->base, base) != 0)
			continue;
		if (n < want && preload_fresh(d)) {
			n++;
			continue;
		}
		disp_end(d);
		next = s->disps; /* that may have ended others */
		n = 0;
	}
	return n;
}

static uint32_t
wanted(const char *base, struct vmconf *c)
{
	struct vmconf_error e;

	if (!load_conf(base, c, &e) || strcmp(c->type, "AppVM") != 0 || !c->template_for_dispvms)
		return 0;
	return c->preload;
}

static bool
of_none(const struct disp *d, const char *arg)
{
	struct vmconf c;

	(void)arg;
	return wanted(d->base, &c) == 0;
}

/* Made of it, or its base is. */
static bool
of_it(const struct disp *d, const char *name)
{
	struct vmconf c;
	struct vmconf_error e;

	return strcmp(d->base, name) == 0 ||
	       (load_conf(d->base, &c, &e) && strcmp(c.template, name) == 0);
}

/* which: NULL for all. */
static void
end_some(struct startd *s, bool (*which)(const struct disp *d, const char *arg), const char *arg)
{
	struct disp *d = s->disps;

	while (d) {
		if (is_kept(d) && (!which || which(d, arg))) {
			disp_end(d); /* may end others */
			d = s->disps;
		} else {
			d = d->next;
		}
	}
}

static bool
rests(const struct startd *s)
{
	return s->preload_rests || s->preload_full || access(RUN_ENDING, F_OK) == 0;
}

static void
on_rested(struct loop *l, int fd, short revents, void *arg)
{
	struct startd *s = arg;

	(void)l, (void)fd, (void)revents;
	s->preload_timer = 0;
	s->preload_rests = s->preload_full = false;
	preload_look(s);
}

static void
on_look(struct loop *l, int fd, short revents, void *arg)
{
	struct startd *s = arg;
	const int dir = vm_dir();
	DIR *d = dir >= 0 ? fdopendir(dir) : NULL;
	const struct dirent *f;
	struct vmconf c;
	uint32_t want, have;

	(void)fd, (void)revents;
	s->preload_timer = 0;
	s->preload_given = false;
	end_some(s, of_none, NULL);
	while (d && (f = readdir(d)) != NULL) {
		if (!name_ok(f->d_name) || is_dom0(f->d_name))
			continue;
		want = wanted(f->d_name, &c);
		have = want > 0 ? keep(s, f->d_name, want) : 0;
		for (; have < want && !rests(s); have++)
			if (!disp_make(s, &c, NULL, true))
				break;
	}
	if (d)
		closedir(d);
	if (rests(s) && s->preload_timer == 0)
		s->preload_timer = loop_after(l, REST_MS, on_rested, s);
}

void
preload_look(struct startd *s)
{
	if ((rests(s) || s->preload_given) && s->preload_timer != 0)
		return;
	loop_cancel(s->loop, s->preload_timer);
	s->preload_timer = loop_after(s->loop, s->preload_given ? GIVEN_MS : LOOK_MS, on_look, s);
}

void
preload_changed(struct startd *s)
{
	loop_cancel(s->loop, s->preload_timer);
	s->preload_timer = 0;
	s->preload_rests = s->preload_given = false;
	preload_look(s);
}

/* What it has written is in those that are made from now on; and its memory is free. */
void
preload_ended(struct startd *s, const char *name)
{
	end_some(s, of_it, name);
	if (!s->preload_full || disp_was_ours(s, name))
		return;
	s->preload_full = false;
	preload_changed(s);
}

bool
preload_any(const struct startd *s)
{
	const struct disp *d = s->disps;

	while (d && !is_kept(d))
		d = d->next;
	return d != NULL;
}

void
preload_drop(struct startd *s)
{
	end_some(s, NULL, NULL);
	s->preload_full = true; /* or they would take it again */
}
