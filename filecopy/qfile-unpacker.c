/* SPDX-License-Identifier: ISC */
/*
 * The receiver of a file copy (spec/filecopy 3), in a qube as the user or for Dom0. No part of it
 * is privileged once it reads: the user's own uid, a sandbox that holds the one directory, no
 * set-uid bit on the program.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "filecopy/unpack.h"
#include "filecopy/walk.h"
#include "log.h"
#include "names.h"
#include "qfile-unpacker.filter.h"
#include "rpc/service.h"
#include "sandbox.h"

#define DOM0_MAX_BYTES (2ull << 30)
#define DOM0_MAX_FILES 2048

static _Noreturn void
usage(int code)
{
	fputs("usage: qfile-unpacker [-v] [-w BYTES] [--allow-all-names] [--allow-unsafe-symlinks] "
	      "[UID [DIR]]\n"
	      "       qfile-dom0-unpacker USER DIR [-v]\n"
	      "Makes the files that qfile-agent sends on standard input, in DIR or\n"
	      "~/QubesIncoming/$QREXEC_REMOTE_DOMAIN, and answers on standard output.\n"
	      "  -v                       say each name\n"
	      "  -w, --wait-for-space=N   wait until a file fits and N bytes are left\n"
	      "  --[no-]allow-all-names   names of any characters\n"
	      "  --[no-]allow-unsafe-symlinks  links that lead anywhere\n",
	    code == 0 ? stdout : stderr);
	exit(code);
}

static void
say(const char *untrusted_path)
{
	char text[WALK_TEXT_MAX];

	logit("%s", path_text("", untrusted_path, text));
}

/* The sender is told. */
static _Noreturn void
cannot(const char *what)
{
	static struct unpack_result r;

	r.error = (uint32_t)errno;
	logit("%s: %s", what, strerror(errno));
	(void)unpack_reply(STDOUT_FILENO, &r);
	exit((int)(r.error & 0xff));
}

/* ---- who, where, how much ---- */

static void
become(const struct passwd *pw)
{
	if (geteuid() != 0 && geteuid() == pw->pw_uid)
		return;
	if (initgroups(pw->pw_name, pw->pw_gid) < 0 || setgid(pw->pw_gid) < 0 ||
	    setuid(pw->pw_uid) < 0)
		die("cannot become %s", pw->pw_name);
	(void)prctl(PR_SET_DUMPABLE, 1); /* or /proc/self stays root's, and the sandbox needs it */
}

static const struct passwd *
user_of(const char *uid)
{
	const struct passwd *pw;
	uint32_t n = getuid();

	if (uid && !parse_u32(uid, UINT32_MAX - 1, &n))
		usage(1);
	pw = getpwuid(n);
	if (!pw)
		die("uid %u is nobody's", n);
	return pw;
}

static void
make_directory(const char *dir)
{
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		cannot(dir);
}

static const char *
incoming(const struct passwd *pw)
{
	const char *from = getenv("QREXEC_REMOTE_DOMAIN");
	static char dir[4096];
	int n;

	if (!from || !name_ok(from))
		usage_die("QREXEC_REMOTE_DOMAIN is not a qube's name");
	n = snprintf(dir, sizeof dir, "%s/QubesIncoming", pw->pw_dir);
	if (n < 0 || (size_t)n + NAME_LEN_MAX + 2 > sizeof dir)
		die("a home directory of %d characters", n);
	make_directory(dir);
	snprintf(dir + n, sizeof dir - (size_t)n, "/%s", from);
	make_directory(dir);
	return dir;
}

/* What is wrong in it is nobody's permission. */
static void
quotas(struct unpack_rules *rules, const char *arg)
{
	struct svc_cmd cmd = {.name = QFILE_SERVICE};
	char full[sizeof QFILE_SERVICE + 32];
	struct svc_config c;
	const char *why;

	snprintf(full, sizeof full, QFILE_SERVICE "+%s", arg);
	cmd.full = full;
	cmd.arg = full + sizeof QFILE_SERVICE;
	if (!svc_config(&cmd, &c, &why))
		usage_die("the configuration of " QFILE_SERVICE ": %s", why);
	rules->bytes_max = (uint64_t)c.max_megabytes << 20;
	rules->files_max = c.max_files;
	rules->depth_max = c.max_depth;
	rules->no_merge = c.no_merge;
}

static uint64_t
from_environment(const char *name, uint64_t otherwise)
{
	const char *value = getenv(name);
	uint64_t n = otherwise;

	if (value && !parse_u64(value, UINT64_MAX, &n))
		usage_die("%s=%s is no number", name, value);
	return n;
}

/* ---- the two programs ---- */

static _Noreturn void
receive(const char *into, const struct unpack_rules *rules)
{
	struct sandbox_path path = {realpath(into, NULL), SB_WRITE};
	const struct sandbox sb = {.uid = SANDBOX_KEEP_UID,
	    .paths = &path,
	    .npaths = 1,
	    .filter = qfile_unpacker_filter,
	    .nfilter = qfile_unpacker_filter_len};
	const int proc = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	static struct unpack_result r;
	int root;

	if (!path.path || proc < 0)
		cannot(path.path ? "/proc" : into);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)fcntl(STDIN_FILENO, F_SETPIPE_SZ, 1 << 20);
	umask(0);
	sandbox_enter(&sb);
	root = openat(AT_FDCWD, path.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		cannot(path.path);
	unpack(STDIN_FILENO, root, proc, rules, &r);
	close(STDIN_FILENO); /* a sender that still writes ends */
	if (r.error)
		logit(
		    "%llu files, directories and links have arrived; what came after them has not",
		    (unsigned long long)r.files);
	if (!unpack_reply(STDOUT_FILENO, &r) && r.error == 0)
		exit(1);
	exit((int)(r.error & 0xff));
}

static const struct option longs[] = {{"allow-all-names", no_argument, NULL, 'n'},
    {"no-allow-all-names", no_argument, NULL, 'N'},
    {"allow-unsafe-symlinks", no_argument, NULL, 'l'},
    {"no-allow-unsafe-symlinks", no_argument, NULL, 'L'},
    {"wait-for-space", required_argument, NULL, 'w'}, {"help", no_argument, NULL, 'h'}, {0}};

static void
options(int argc, char **argv, const char *letters, struct unpack_rules *rules)
{
	int c;

	while ((c = getopt_long(argc, argv, letters, longs, NULL)) != -1)
		switch (c) {
		case 'n':
		case 'N':
			rules->any_name = c == 'n';
			break;
		case 'l':
		case 'L':
			rules->any_link = c == 'l';
			break;
		case 'v':
			rules->said = say;
			break;
		case 'w':
			rules->wait = true;
			if (!parse_u64(optarg, UINT64_MAX / 2, &rules->spare))
				usage(1);
			break;
		default:
			usage(c == 'h' ? 0 : 1);
		}
}

static _Noreturn void
for_dom0(int argc, char **argv)
{
	struct unpack_rules rules = {0};
	const struct passwd *pw;

	options(argc, argv, "v", &rules);
	if (argc - optind != 2)
		usage(1);
	rules.bytes_max = from_environment("UPDATES_MAX_BYTES", DOM0_MAX_BYTES);
	rules.files_max = from_environment("UPDATES_MAX_FILES", DOM0_MAX_FILES);
	pw = getpwnam(argv[optind]);
	if (!pw)
		usage_die("there is no user %s", argv[optind]);
	become(pw);
	receive(argv[optind + 1], &rules);
}

/* As a service its argument is the one permission that a sender can ask for. */
static _Noreturn void
for_a_qube(int argc, char **argv, bool service)
{
	const char *arg = service ? getenv("QREXEC_SERVICE_ARGUMENT") : NULL;
	struct unpack_rules rules = {0};
	const struct passwd *pw;

	if (arg && *arg && strcmp(arg, "allow-all-names") != 0)
		usage_die(QFILE_SERVICE ": the argument can be allow-all-names only");
	quotas(&rules, arg ? arg : "");
	rules.any_name = arg && *arg;
	if (service)
		argc = optind = 1;
	else if (argc > 2 && strcmp(argv[argc - 1], "-w") == 0) /* the old form, without a number */
		argc--, rules.wait = true;
	if (!service)
		options(argc, argv, "vw:", &rules);
	if (argc - optind > 2)
		usage(1);
	pw = user_of(optind < argc ? argv[optind] : NULL);
	if (getuid() != 0 && pw->pw_uid != getuid())
		usage_die("only root unpacks for another user");
	become(pw);
	receive(optind + 1 < argc ? argv[optind + 1] : incoming(pw), &rules);
}

int
main(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/'), *name = slash ? slash + 1 : argv[0];

	log_open(name, NULL);
	if (strcmp(name, "qfile-dom0-unpacker") == 0)
		for_dom0(argc, argv);
	for_a_qube(argc, argv, strcmp(name, QFILE_SERVICE) == 0);
}
