/* SPDX-License-Identifier: ISC */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "names.h"
#include "qvm.h"

#define SHUTDOWN_MS 3600000
#define MANY 254 /* an exit status is one byte, and 255 is ssh's */

static const char help[] =
    "usage: qvm-shutdown [--wait] [--force] [--timeout SECONDS] [--dry-run] [--all [--exclude "
    "NAME]] NAME...\n"
    "Asks qubes to shut down. --wait: until they have; the exit status is how many have not.\n";
static struct {
	bool wait, force, dry;
	uint32_t timeout;
	bool has_timeout;
} o;

static bool
shutdown_one(struct qube *q)
{
	char lines[96];

	if (is_dom0(q->conf.name)) {
		fprintf(stderr, "dom0: cannot be shut down\n");
		return false;
	}
	if (!qube_runs(q))
		return true;
	if (o.dry) {
		puts(q->conf.name);
		return true;
	}
	snprintf(lines, sizeof lines, "op=shutdown\n%s", o.force ? "force=yes\n" : "");
	if (o.has_timeout)
		snprintf(
		    lines + strlen(lines), sizeof lines - strlen(lines), "timeout=%u\n", o.timeout);
	return qvm_ask(q->conf.name, lines, SHUTDOWN_MS);
}

/* Without --wait the asking goes on by itself: who called does not wait for the answer. */
static int
run(struct qube **list, size_t n)
{
	int failed;

	if (!o.wait && !o.dry) {
		const pid_t pid = fork();

		if (pid != 0)
			return pid < 0 ? (int)(n < MANY ? n : MANY) : 0;
		setsid();
	}
	failed = n > 0 ? qvm_each(list, n, shutdown_one) : 0;
	return failed < MANY ? failed : MANY;
}

int
qvm_shutdown(int argc, char **argv)
{
	static const struct option longs[] = {{"wait", no_argument, NULL, 'w'},
	    {"force", no_argument, NULL, 'f'}, {"timeout", required_argument, NULL, 't'},
	    {"dry-run", no_argument, NULL, 'd'}, PICK_OPTIONS, {0}};
	struct pick p = {0};
	struct qube **list;
	size_t n;
	int c;

	while ((c = getopt_long(argc, argv, "hvq", longs, NULL)) != -1) {
		if (!pick_option(&p, c, optarg, help) ||
		    (c == 't' && !(o.has_timeout = parse_u32(optarg, 86400, &o.timeout))))
			return 2;
		o.wait = o.wait || c == 'w';
		o.force = o.force || c == 'f';
		o.dry = o.dry || c == 'd';
	}
	list = pick_list(&p, argv + optind, true, help, &n);
	return list ? run(list, n) : 2;
}
