/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "qvm.h"

#define SHUTDOWN_MS 3600000
#define MANY 254 /* an exit status is one byte, and 255 is ssh's */

static const char help[] =
    "usage: qvm-shutdown [--wait] [--force] [--timeout SECONDS] [--dry-run] [--all [--exclude "
    "NAME]] NAME...\n"
    "Asks qubes to shut down, each before its netvm, audiovm and guivm; one that does not is "
    "killed.\n"
    "  --wait              until they have\n"
    "  --force             a netvm, audiovm or guivm also while others use it\n"
    "  --timeout SECONDS   until the killing; the default is the qube's shutdown_timeout\n"
    "  --dry-run           only print which would be asked\n"
    "Exit: how many have not shut down; 2 also for usage.\n";
static struct {
	bool wait, force, dry;
	uint32_t timeout;
	bool has_timeout, many;
	struct qube **list;
	size_t n;
} o;

static bool
in_list(const char *name)
{
	for (size_t i = 0; i < o.n; i++)
		if (strcmp(o.list[i]->conf.name, name) == 0)
			return true;
	return false;
}

/* What it is to the other; NULL: nothing. Of those that are something to each other a netvm counts.
 */
static const char *
role(const struct qube *of, const struct qube *q)
{
	const char *name = of->conf.name;

	if (strcmp(q->conf.netvm, name) == 0)
		return "netvm";
	if (of == q || strcmp(of->conf.netvm, q->conf.name) == 0)
		return NULL;
	return strcmp(q->conf.guivm, name) == 0	    ? "guivm"
	       : strcmp(q->conf.audiovm, name) == 0 ? "audiovm"
						    : NULL;
}

/* It stays while others use it. startd says so too; who does not wait shall hear it now. */
static bool
in_use(const struct qube *net, const struct qube *q, size_t total)
{
	bool used = false;

	for (size_t i = 0; i < total && !o.force; i++) {
		const char *what = role(net, &q[i]);

		if (!what || !qube_runs(&q[i]) || in_list(q[i].conf.name))
			continue;
		say("%s: the %s of %s, which runs (shut that down too, or --force)", net->conf.name,
		    what, q[i].conf.name);
		used = true;
	}
	return used;
}

static bool
shutdown_one(struct qube *q)
{
	char lines[96];

	snprintf(lines, sizeof lines, "op=shutdown\n%s%s", o.force ? "force=yes\n" : "",
	    o.many ? "order=yes\n" : "");
	if (o.has_timeout)
		snprintf(
		    lines + strlen(lines), sizeof lines - strlen(lines), "timeout=%u\n", o.timeout);
	return qvm_ask(q->conf.name, lines, SHUTDOWN_MS);
}

/* Without --wait the asking goes on by itself: who called does not wait for the answer. */
static int
ask_all(void)
{
	if (o.n == 0)
		return 0;
	if (!o.wait) {
		const pid_t pid = fork();

		if (pid != 0)
			return pid < 0 ? (int)o.n : 0;
		setsid();
	}
	return qvm_each(o.list, o.n, shutdown_one);
}

/* Leaves in the list whom to ask; how many cannot be. */
static int
sort_out(const struct qube *q, size_t total)
{
	int failed = 0;
	size_t n = 0;
	struct qube *one;

	for (size_t i = 0; i < o.n; i++) {
		one = o.list[i];
		if (is_dom0(one->conf.name))
			failed += !say("dom0: cannot be shut down");
		else if (qube_runs(one) && in_use(one, q, total))
			failed++;
		else if (qube_runs(one))
			o.list[n++] = one;
	}
	o.n = n;
	return failed;
}

int
qvm_shutdown(int argc, char **argv)
{
	static const struct option longs[] = {{"wait", no_argument, NULL, 'w'},
	    {"force", no_argument, NULL, 'f'}, {"timeout", required_argument, NULL, 't'},
	    {"dry-run", no_argument, NULL, 'd'}, PICK_OPTIONS};
	struct pick p = {0};
	struct qube *q;
	size_t total;
	int c, failed;

	while ((c = getopt_long(argc, argv, COMMON_SHORT, longs, NULL)) != -1) {
		if (c == 't' && !(o.has_timeout = parse_u32(optarg, 86400, &o.timeout)))
			usage("--timeout: a number of seconds up to 86400");
		o.wait = o.wait || c == 'w';
		o.force = o.force || c == 'f';
		o.dry = o.dry || c == 'd';
		pick_option(&p, c, optarg, help);
	}
	q = pick_qubes(&p, argv + optind, true, &total);
	o.list = pick_list(&p, argv + optind, PICK_RUNNING, q, total, &o.n);
	if (o.list == NULL)
		return EXIT_USAGE;
	failed = sort_out(q, total);
	o.many = o.n > 1;
	for (size_t i = 0; o.dry && i < o.n; i++)
		puts(o.list[i]->conf.name);
	if (!o.dry)
		failed += ask_all();
	return failed < MANY ? failed : MANY;
}
