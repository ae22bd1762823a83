/* SPDX-License-Identifier: ISC */
/* A request to adminapid, and what startd answers it: every answer is whole and of the form that
 * clients know, and startd is asked only about a plain name. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "adminapi/ask.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static const struct {
	const char *name, *text;
} files[] = {
    {"defaults", "netvm = net\n"},
    {"work", "label = blue\nmemory = 500\nkernelopts = a\\b\ntags = x y\nfeature.os = Linux\n"},
    {"tmpl", "label = black\ntype = TemplateVM\nfeature.vmexec = 1\n"},
    {"app", "label = red\ntemplate = tmpl\nfeature.percent = 100%s\n"},
    {"bad", "nonsense\n"},
};
#define STATE                                                                                      \
	"name=work\nsession=0123456789abcdef0123456789abcdef\ndomid=7\nqid=3\nstate=Running\n"     \
	"uuid=11111111-2222-3333-4444-555555555555\npid=1\n"

static void
put(int dir, const char *name, const char *text)
{
	const int fd = openat(dir, name, O_WRONLY | O_CREAT, 0600);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		abort();
	close(fd);
}

static int
house(const char *state)
{
	char path[] = "/tmp/f-admin-XXXXXX";
	int dir;

	if (mkdtemp(path) == NULL || (dir = open(path, O_RDONLY | O_DIRECTORY)) < 0)
		abort();
	if (state != NULL)
		put(dir, "work", state);
	for (size_t i = 0; state == NULL && i < sizeof(files) / sizeof(*files); i++)
		put(dir, files[i].name, files[i].text);
	return dir;
}

/* "0" NUL ...; or "2" NUL name NUL NUL text NUL, with every % doubled. */
static void
check(const struct buf *out)
{
	const char *p = (const char *)buf_bytes(out), *end = p + out->len, *text;

	if (out->len < 2 || p[1] != '\0' || (p[0] != '0' && p[0] != '2'))
		abort();
	if (p[0] == '0')
		return;
	text = memchr(p + 2, '\0', out->len - 2);
	if (text == NULL || text == p + 2 || text + 1 >= end || text[1] != '\0' || end[-1] != '\0')
		abort();
	if (memchr(text + 2, '\0', (size_t)(end - text - 2)) != end - 1)
		abort();
	for (p = text + 2; (p = strchr(p, '%')) != NULL; p += 2)
		if (p[1] != '%')
			abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static int vm = -1, state;
	struct buf out = {.max = ANSWER_MAX};
	struct request rq;
	struct call c = {.rq = &rq, .out = &out};

	if (vm < 0) {
		vm = house(NULL);
		state = house(STATE);
	}
	c.vm = vm;
	c.state = state;
	if (request_parse(&rq, p, n) != NULL)
		return 0;
	if (!name_ok(rq.source) || !name_ok(rq.dest) || strlen(rq.method) == 0 || rq.payload >= n ||
	    strchr(rq.arg, '/') != NULL)
		abort();
	call_run(&c);
	if (c.op == NULL) {
		check(&out);
	} else {
		if (out.len != 0 || is_dom0(rq.dest) || rq.payload > 0)
			abort();
		ask_answer(&c, p, n < 8192 ? n : 8192);
		check(&out);
	}
	buf_free(&out);
	return 0;
}
