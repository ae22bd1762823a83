/* SPDX-License-Identifier: ISC */
/* Where a service and its configuration stand, and reaching socket services (spec/qrexec 7). */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "log.h"
#include "names.h"
#include "qrexecd/qrexec.h"
#include "service.h"
#include "sock.h"

#define SERVICES "/run/qubes-rpc:/usr/local/etc/qubes-rpc:/etc/qubes-rpc"
#define CONFIGS "/run/qubes/rpc-config:/usr/local/etc/qubes/rpc-config:/etc/qubes/rpc-config"
#define CONFIG_MAX 65536
#define DEV_TCP "/dev/tcp"

/* Looks at one path: FOUND and ABSENT go on, FAILED stops the search. */
enum look { FOUND, ABSENT, FAILED };
typedef enum look look_fn(const struct svc_cmd *c, struct svc *s, const char **why);

static enum look
search_for(const struct svc_cmd *c, struct svc *s, const char *dirs, const char *file,
    const char *suffix, look_fn *fn, const char **why)
{
	while (*dirs != '\0') {
		const int n = (int)strcspn(dirs, ":");
		const int len =
		    snprintf(s->path, sizeof s->path, "%.*s/%s%s", n, dirs, file, suffix);
		enum look r;

		*why = "path too long";
		if (len < 0 || (size_t)len >= sizeof s->path)
			return FAILED;
		r = n > 0 ? fn(c, s, why) : ABSENT;
		if (r != ABSENT)
			return r;
		dirs += n;
		if (*dirs == ':')
			dirs++;
	}
	return ABSENT;
}

/* First SERVICE+ARG in every directory, then SERVICE. */
static enum look
search(const struct svc_cmd *c, struct svc *s, const char *dirs, look_fn *fn, const char **why)
{
	const char *plus = c->arg == NULL ? "+" : "";
	enum look r = ABSENT;

	if (strlen(c->full) + strlen(plus) <= SVC_NAME_MAX && strchr(c->full, '/') == NULL)
		r = search_for(c, s, dirs, c->full, plus, fn, why);
	return r != ABSENT ? r : search_for(c, s, dirs, c->name, "", fn, why);
}

static bool
tcp_port(const char *p, uint16_t *port)
{
	uint32_t v;

	if (*p < '1' || *p > '9' || !parse_u32(p, UINT16_MAX, &v))
		return false;
	*port = (uint16_t)v;
	return true;
}

static bool
tcp_host(struct svc *s, const char *p, size_t n, bool from_arg)
{
	struct in6_addr a;

	if (n == 0 || n >= sizeof s->host)
		return false;
	memcpy(s->host, p, n);
	s->host[n] = '\0';
	for (size_t i = 0; from_arg && i < n; i++) {
		if (s->host[i] == '_')
			return false;
		if (s->host[i] == '+')
			s->host[i] = ':';
	}
	return inet_pton(AF_INET, s->host, &a) == 1 || inet_pton(AF_INET6, s->host, &a) == 1;
}

/* rest is what the link's text has after /dev/tcp: "", "/HOST" or "/HOST/PORT". */
static bool
tcp_service(const char *rest, const char *arg, struct svc *s)
{
	const char *slash, *plus;

	if (*rest == '\0') {
		plus = strrchr(arg, '+');
		return plus != NULL && tcp_host(s, arg, (size_t)(plus - arg), true) &&
		       tcp_port(plus + 1, &s->port);
	}
	rest++;
	slash = strchr(rest, '/');
	if (slash == NULL)
		return tcp_host(s, rest, strlen(rest), false) && tcp_port(arg, &s->port);
	return *arg == '\0' && tcp_host(s, rest, (size_t)(slash - rest), false) &&
	       tcp_port(slash + 1, &s->port);
}

static enum look
look_link(const struct svc_cmd *c, struct svc *s, const char **why)
{
	char text[PATH_MAX];
	const ssize_t n = readlink(s->path, text, sizeof text - 1);
	const char *rest = text + strlen(DEV_TCP);

	*why = "cannot read the link";
	if (n < 0)
		return errno == ENOENT ? ABSENT : FAILED;
	text[n] = '\0';
	if (strncmp(text, DEV_TCP, strlen(DEV_TCP)) != 0 || (*rest != '\0' && *rest != '/'))
		return ABSENT;
	s->kind = SVC_TCP;
	if (tcp_service(rest, c->arg != NULL ? c->arg : "", s))
		return FOUND;
	*why = "TCP address or port is not valid";
	return FAILED;
}

static enum look
look_service(const struct svc_cmd *c, struct svc *s, const char **why)
{
	struct stat st;
	enum look r;

	*why = "cannot look at the service's file";
	if (lstat(s->path, &st) < 0)
		return errno == ENOENT ? ABSENT : FAILED;
	if (S_ISLNK(st.st_mode)) {
		r = look_link(c, s, why);
		if (r != ABSENT)
			return r;
		*why = "cannot follow the link";
		if (stat(s->path, &st) < 0)
			return errno == ENOENT ? ABSENT : FAILED;
	}
	*why = "neither a socket nor executable";
	if (S_ISSOCK(st.st_mode))
		s->kind = SVC_SOCKET;
	else if (S_ISREG(st.st_mode) && faccessat(AT_FDCWD, s->path, X_OK, AT_EACCESS) == 0)
		s->kind = SVC_PROGRAM;
	else
		return FAILED;
	return FOUND;
}

static enum look
look_config(const struct svc_cmd *c, struct svc *s, const char **why)
{
	struct buf b = {.max = CONFIG_MAX};
	unsigned line;
	enum look r = FAILED;

	(void)c;
	*why = "cannot read the configuration";
	if (!buf_read_file(&b, AT_FDCWD, s->path)) {
		r = errno == ENOENT ? ABSENT : FAILED;
		buf_free(&b);
		return r;
	}
	*why = svc_config_parse(&s->conf, (const char *)buf_bytes(&b), b.len, &line);
	if (*why == NULL)
		r = FOUND;
	else
		logit("%s:%u: %s", s->path, line, *why);
	buf_free(&b);
	return r;
}

static const char *
path_list(const char *env, const char *def)
{
	const char *p = getenv(env);

	return p != NULL ? p : def;
}

static void
program_config(const struct svc_cmd *c, struct svc_config *conf)
{
	if (!conf->skip_service_descriptor && !conf->exit_on_client_eof &&
	    !conf->exit_on_service_eof)
		return;
	logit("%s is a program: options of sockets are ignored", c->name);
	conf->skip_service_descriptor = conf->exit_on_client_eof = conf->exit_on_service_eof =
	    false;
}

bool
svc_config(const struct svc_cmd *c, struct svc_config *conf, const char **why)
{
	struct svc s = {.kind = SVC_NONE};
	const enum look r =
	    search(c, &s, path_list("QUBES_RPC_CONFIG_PATH", CONFIGS), look_config, why);

	*conf = s.conf;
	return r != FAILED;
}

int
svc_lookup(const struct svc_cmd *c, struct svc *s, const char **why)
{
	enum look r;

	memset(s, 0, sizeof *s);
	r = search(c, s, path_list("QREXEC_SERVICE_PATH", SERVICES), look_service, why);
	if (r == ABSENT) {
		s->kind = SVC_NONE;
		*why = "no such service";
		return EXIT_NOT_FOUND;
	}
	if (r == FAILED)
		return EXIT_QREXEC;
	if (s->kind == SVC_PROGRAM && !c->words_ok) {
		*why = "a program needs two or four words";
		return EXIT_QREXEC;
	}
	if (!svc_config(c, &s->conf, why))
		return EXIT_QREXEC;
	if (c->nogui)
		s->conf.wait_for_session = false;
	if (s->kind == SVC_PROGRAM)
		program_config(c, &s->conf);
	*why = NULL;
	return 0;
}

static int
connect_socket(const char *path)
{
	char link[32];
	int fd, o;

	if (strlen(path) < 108)
		return sock_connect_wait(path, -1);
	o = open(path, O_PATH | O_CLOEXEC);
	if (o < 0)
		return -1;
	snprintf(link, sizeof link, "/proc/self/fd/%d", o);
	fd = sock_connect_wait(link, -1);
	close(o);
	return fd;
}

static int
connect_tcp(const struct svc *s)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(s->port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(s->port)};
	const bool v4 = inet_pton(AF_INET, s->host, &in.sin_addr) == 1;
	int fd, r;

	if (!v4 && inet_pton(AF_INET6, s->host, &in6.sin6_addr) != 1)
		return -1;
	fd = socket(v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (v4)
		r = connect(fd, (struct sockaddr *)&in, sizeof in);
	else
		r = connect(fd, (struct sockaddr *)&in6, sizeof in6);
	if (r == 0)
		return fd;
	close(fd);
	return -1;
}

static bool
send_all(int fd, const char *p, size_t n)
{
	fd_nonblock(fd, false);
	while (n > 0) {
		const ssize_t k = send(fd, p, n, MSG_NOSIGNAL);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return false;
		p += k;
		n -= (size_t)k;
	}
	return fd_nonblock(fd, true);
}

int
svc_connect(const struct svc_cmd *c, const struct svc *s, const char **why)
{
	const int fd = s->kind == SVC_TCP ? connect_tcp(s) : connect_socket(s->path);

	*why = "cannot connect to the service";
	if (fd < 0)
		return -1;
	if (s->conf.skip_service_descriptor ||
	    send_all(fd, c->descriptor, strlen(c->descriptor) + 1))
		return fd;
	*why = "the service takes no descriptor";
	close(fd);
	return -1;
}
