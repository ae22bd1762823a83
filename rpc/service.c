/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "qrexecd/qrexec.h"
#include "service.h"

#define RPC "QUBESRPC"

static bool
copy(char *out, size_t size, const char *p, size_t n)
{
	if (n == 0 || n >= size)
		return false;
	memcpy(out, p, n);
	out[n] = '\0';
	return true;
}

/* The word at *p, which then stands behind it and its blank; its length. */
static size_t
next_word(const char **p, const char **start)
{
	size_t n = strcspn(*p, " ");

	*start = *p;
	*p += n;
	if (**p == ' ')
		(*p)++;
	return n;
}

/* TYPE WHAT after the source, and nothing else. Two words in all are fine as well. */
static bool
parse_target(struct svc_cmd *c, const char *rest)
{
	const char *w;
	size_t n;

	if (*rest == '\0')
		return true;
	n = next_word(&rest, &w);
	if (!copy(c->type, sizeof c->type, w, n) ||
	    (strcmp(c->type, "name") != 0 && strcmp(c->type, "keyword") != 0))
		return false;
	n = next_word(&rest, &w);
	return copy(c->what, sizeof c->what, w, n) && w[n] == '\0';
}

static const char *
parse_descriptor(struct svc_cmd *c)
{
	const char *p = c->descriptor, *w, *plus;
	size_t n;

	if (strlen(p) > SERVICE_LEN_MAX)
		return "service descriptor too long";
	n = next_word(&p, &w);
	if (n == 0)
		return "empty service name";
	if (w[n] != ' ')
		return "no blank after the service";
	c->full = strndup(w, n);
	if (c->full == NULL)
		return "no memory";
	plus = memchr(c->full, '+', n);
	c->arg = plus != NULL ? plus + 1 : NULL;
	if (!copy(c->name, sizeof c->name, c->full, plus != NULL ? (size_t)(plus - c->full) : n))
		return "service name empty or too long";
	if (strchr(c->name, '/') != NULL)
		return "service name with a slash";
	n = next_word(&p, &w);
	if (!copy(c->source, sizeof c->source, w, n))
		return "source empty or too long";
	/* Whether the words are two or four counts for programs only. */
	c->words_ok = (*p != '\0' || w[n] == '\0') && parse_target(c, p);
	return NULL;
}

const char *
svc_parse(struct svc_cmd *c, const char *untrusted_cmd, bool to_dom0)
{
	char *p;
	size_t n;

	memset(c, 0, sizeof *c);
	c->mem = p = strdup(untrusted_cmd);
	if (p == NULL)
		return "no memory";
	if (!to_dom0) {
		n = strcspn(p, ":");
		if (p[n] != ':' || !copy(c->user, sizeof c->user, p, n))
			return "no user name in front, or too long";
		p += n + 1;
	}
	c->nogui = strncmp(p, "nogui:", 6) == 0;
	if (c->nogui)
		p += 6;
	c->rpc = strncmp(p, RPC, strlen(RPC)) == 0;
	if (!c->rpc) {
		c->shell = p;
		return to_dom0 ? "no " RPC : NULL;
	}
	p += strlen(RPC);
	if (*p != ' ')
		return "no blank after " RPC;
	c->descriptor = p + 1;
	return parse_descriptor(c);
}

void
svc_free(struct svc_cmd *c)
{
	free(c->full);
	free(c->mem);
	memset(c, 0, sizeof *c);
}

static void
clean_env(void)
{
	extern char **environ;
	char name[256];
	size_t n, i = 0;

	while (environ != NULL && environ[i] != NULL) {
		n = strcspn(environ[i], "=");
		if (strncmp(environ[i], "QREXEC", 6) != 0 ||
		    !copy(name, sizeof name, environ[i], n) ||
		    strcmp(name, "QREXEC_SERVICE_PATH") == 0 ||
		    strcmp(name, "QREXEC_AGENT_PID") == 0 || unsetenv(name) < 0)
			i++;
	}
}

static bool
set_env(const struct svc_cmd *c)
{
	const char *what = strcmp(c->type, "keyword") == 0 ? "QREXEC_REQUESTED_TARGET_KEYWORD"
							   : "QREXEC_REQUESTED_TARGET";

	clean_env();
	if (setenv("QREXEC_SERVICE_FULL_NAME", c->full, 1) < 0 ||
	    setenv("QREXEC_REMOTE_DOMAIN", c->source, 1) < 0 ||
	    setenv("QREXEC_REQUESTED_TARGET_TYPE", c->type, 1) < 0)
		return false;
	if (c->type[0] != '\0' && setenv(what, c->what, 1) < 0)
		return false;
	return c->arg == NULL || setenv("QREXEC_SERVICE_ARGUMENT", c->arg, 1) == 0;
}

int
svc_exec(const struct svc_cmd *c, const struct svc *s)
{
	const bool arg = c->arg != NULL && c->arg[0] != '\0';

	if (!set_env(c))
		return EXIT_QREXEC;
	execl(s->path, s->path, arg ? c->arg : (char *)NULL, (char *)NULL);
	return errno == ENOENT ? EXIT_NOT_FOUND : EXIT_QREXEC;
}
