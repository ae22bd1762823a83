/* SPDX-License-Identifier: ISC */
/* qubes.SyncAppMenus: a qube's menu entries, checked and written anew to APPMENUS/NAME. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ids.h"
#include "log.h"
#include "loop.h"
#include "menu.h"
#include "names.h"
#include "paths.h"
#include "sandbox.h"
#include "sync-app-menus.filter.h"
#include "vmconf.h"

#define APPMENUS VAR_DIR "/appmenus"
#define READ_MS 30000
#define ROOM (256 + 3 * MENU_VALUE * 2 + MENU_VALUE) /* a file, and more */

struct sync {
	struct vmconf conf;
	char path[sizeof(APPMENUS) + NAME_LEN_MAX + 1];
	int dir;
	struct menu menu;
};

static _Noreturn void
refuse(const char *why)
{
	logit("refused: %s", why);
	exit(1);
}

/* Before the sandbox: who it is, and its place. */
static void
take(struct sync *s)
{
	const char *source = getenv("QREXEC_REMOTE_DOMAIN");
	const int vm = open(ETC_VM, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct vmconf_error e;

	signal(SIGPIPE, SIG_IGN);
	umask(022);
	if (source == NULL || !name_ok(source) || is_dom0(source))
		usage_die("a service of Dom0's: QREXEC_REMOTE_DOMAIN is not a qube");
	log_open("qubes.SyncAppMenus", source);
	if (vm < 0)
		die("%s", ETC_VM);
	if (!vmconf_read(vm, source, &s->conf, &e)) {
		logit("%s:%u: %s", e.file, e.line, e.text);
		refuse("the qube's file cannot be read");
	}
	close(vm);
	if (s->conf.template[0] != '\0' &&
	    (strcmp(s->conf.type, "AppVM") == 0 || strcmp(s->conf.type, "DispVM") == 0))
		refuse("it has a template, whose entries count");
	snprintf(s->path, sizeof(s->path), APPMENUS "/%s", source);
	if (mkdir(s->path, 0755) < 0 && errno != EEXIST)
		die("%s", s->path);
	if (geteuid() == 0) /* by hand */
		(void)!lchown(s->path, prog_uid(0, PROG_SVC), prog_uid(0, PROG_SVC));
	s->dir = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (s->dir < 0)
		die("%s", s->path);
}

static void
enter(const struct sync *s)
{
	const struct sandbox_path paths[] = {{s->path, SB_READ | SB_WRITE}};
	const struct sandbox sb = {
	    .uid = geteuid() == 0 ? prog_uid(0, PROG_SVC) : SANDBOX_KEEP_UID,
	    .paths = paths,
	    .npaths = 1,
	    .filter = sync_app_menus_filter,
	    .nfilter = sync_app_menus_filter_len,
	};

	sandbox_enter(&sb);
}

static void
read_all(struct buf *in)
{
	const uint64_t until = now_ms() + READ_MS;
	ssize_t n = 1;

	while (n != 0) {
		struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
		const uint64_t now = now_ms();

		if (now >= until || poll(&p, 1, (int)(until - now)) < 1)
			refuse("not whole after 30 s");
		n = buf_read_fd(in, STDIN_FILENO, 65536);
		if (n == -1)
			die("standard input");
		if (n == -2 && buf_room(in) == 0)
			refuse("longer than 1 MiB");
	}
}

static bool
write_file(int dir, const char *name, const struct buf *text)
{
	const int fd =
	    openat(dir, ".new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	bool ok = fd >= 0 && write(fd, buf_bytes(text), text->len) == (ssize_t)text->len;

	if (fd >= 0 && close(fd) < 0)
		ok = false;
	return ok && renameat(dir, ".new", dir, name) == 0;
}

static void
file_name(const struct menu_entry *e, char *out, size_t size)
{
	snprintf(out, size, "%s.desktop", e->id);
}

static void
write_all(const struct sync *s)
{
	char name[MENU_ID + 16];
	struct buf text = {.max = ROOM + 1024};

	for (size_t i = 0; i < s->menu.n; i++) {
		if (!menu_shown(&s->menu.entry[i]))
			continue;
		file_name(&s->menu.entry[i], name, sizeof(name));
		buf_eat(&text, text.len);
		menu_print(&s->menu.entry[i], s->conf.name, s->conf.label, &text);
		if (!write_file(s->dir, name, &text))
			die("%s", name);
	}
	buf_free(&text);
}

static bool
wanted(const struct sync *s, const char *file)
{
	char name[MENU_ID + 16];

	for (size_t i = 0; i < s->menu.n; i++) {
		file_name(&s->menu.entry[i], name, sizeof(name));
		if (menu_shown(&s->menu.entry[i]) && strcmp(name, file) == 0)
			return true;
	}
	return false;
}

/* Entries that have gone. */
static void
sweep(const struct sync *s)
{
	const int fd = openat(s->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *f;

	if (d == NULL)
		die("%s", s->path);
	while ((f = readdir(d)) != NULL)
		if (strcmp(f->d_name, ".") != 0 && strcmp(f->d_name, "..") != 0 &&
		    !wanted(s, f->d_name) && unlinkat(s->dir, f->d_name, 0) < 0)
			logit("%s cannot be removed", f->d_name);
	closedir(d);
}

int
main(int argc, char **argv)
{
	static struct menu_entry entries[MENU_ENTRIES];
	static struct sync s = {.menu = {.entry = entries}};
	struct buf in = {.max = MENU_BYTES};
	const char *bad;
	unsigned line;

	if (argc > 1 && strcmp(argv[1], "--help") == 0) {
		puts("usage: qubes.SyncAppMenus, called by a qube (dom0-services(8))");
		return 0;
	}
	log_open("qubes.SyncAppMenus", NULL);
	if (argc > 1)
		usage_die("it takes no argument");
	take(&s);
	enter(&s);
	read_all(&in);
	bad = menu_parse(&s.menu, buf_bytes(&in), in.len, &line);
	if (bad != NULL) {
		logit("line %u: %s", line, bad);
		refuse("nothing of it is taken");
	}
	sweep(&s); /* first: it may make the room that the others need */
	write_all(&s);
	logit("%zu desktop files", s.menu.n);
	return 0;
}
