/* SPDX-License-Identifier: ISC */
/*
 * x-client DRAW WATCH MODE N RATE WIDTH HEIGHT: draws in a window on the X server behind the socket
 * DRAW, and looks at the root window of the one behind WATCH, by Damage and a pixel. Each change
 * has a colour of its own, so what is seen is known. The same server twice: a native client. frames
 * MIT-SHM puts of the whole window, each after X has done with the last one rects   filled
 * rectangles of WIDTH x HEIGHT N changes at RATE a second; RATE 0: for N milliseconds, as fast as X
 * takes them. rects at RATE 0: N of them, each when the last has been seen, 4 ms apart. memcpy
 * nothing is drawn: N copies of WIDTH x HEIGHT pixels from one shared memory into two others in
 * turn, at RATE; DRAW and WATCH are not used Says "ready", waits for a line, draws, prints "drawn=N
 * seen=N ms=N median_us=N", waits for the end of its standard input.
 */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <xcb/damage.h>
#include <xcb/shm.h>
#include <xcb/xcb.h>

#define AT 24	/* where the window is */
#define MARK 40 /* in the window: where the colour is looked at, */
#define SIDE 32 /* in the middle of a square that large */
#define END_MS 20000u

static struct {
	xcb_connection_t *d, *w;
	xcb_window_t win, root;
	xcb_gcontext_t gc;
	xcb_damage_damage_t damage;
	uint8_t damage_event, shm_event;
	xcb_shm_seg_t seg;
	uint32_t *image;
	unsigned width, height;
	bool frames, busy;
	uint32_t drawn, seen, last;
	bool exposed;
} b;

static _Noreturn void
fail(const char *what)
{
	fprintf(stderr, "x-client: %s\n", what);
	exit(111);
}

static uint64_t
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static xcb_connection_t *
open_x(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	xcb_connection_t *c;

	snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&a, sizeof a) < 0)
		fail(path);
	c = xcb_connect_to_fd(fd, NULL);
	if (xcb_connection_has_error(c))
		fail("the X server lets us not in");
	return c;
}

static uint32_t *
shared(size_t n, int *fd)
{
	void *p;

	*fd = memfd_create("frame", MFD_CLOEXEC);
	if (*fd < 0 || ftruncate(*fd, (off_t)n) < 0)
		fail("memfd");
	p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
	if (p == MAP_FAILED)
		fail("mmap");
	memset(p, 0x55, n);
	return p;
}

static void
open_window(void)
{
	const xcb_screen_t *s = xcb_setup_roots_iterator(xcb_get_setup(b.d)).data;
	const uint32_t values[] = {0x808080, XCB_EVENT_MASK_EXPOSURE};
	/* flags: position and size are the program's */
	const uint32_t hints[18] = {4 | 8, AT, AT, b.width, b.height};
	int fd;

	b.win = xcb_generate_id(b.d);
	xcb_create_window(b.d, s->root_depth, b.win, s->root, AT, AT, (uint16_t)b.width,
	    (uint16_t)b.height, 0, XCB_WINDOW_CLASS_INPUT_OUTPUT, s->root_visual,
	    XCB_CW_BACK_PIXEL | XCB_CW_EVENT_MASK, values);
	xcb_change_property(b.d, XCB_PROP_MODE_REPLACE, b.win, XCB_ATOM_WM_NORMAL_HINTS,
	    XCB_ATOM_WM_SIZE_HINTS, 32, 18, hints);
	b.gc = xcb_generate_id(b.d);
	xcb_create_gc(b.d, b.gc, b.win, 0, NULL);
	b.image = shared((size_t)b.width * b.height * 4, &fd);
	b.seg = xcb_generate_id(b.d);
	b.shm_event = xcb_get_extension_data(b.d, &xcb_shm_id)->first_event;
	xcb_shm_attach_fd(b.d, b.seg, fd, 0);
	xcb_map_window(b.d, b.win);
	xcb_flush(b.d);
}

static void
watch(void)
{
	b.root = xcb_setup_roots_iterator(xcb_get_setup(b.w)).data->root;
	b.damage_event = xcb_get_extension_data(b.w, &xcb_damage_id)->first_event;
	free(xcb_damage_query_version_reply(b.w, xcb_damage_query_version(b.w, 1, 1), NULL));
	b.damage = xcb_generate_id(b.w);
	xcb_damage_create(b.w, b.damage, b.root, XCB_DAMAGE_REPORT_LEVEL_NON_EMPTY);
	xcb_flush(b.w);
}

/* 24 bits, no two alike that follow each other; never what a window has before. */
static uint32_t
colour(uint32_t n)
{
	return (n + 1) & 0xffffff;
}

static void
draw_frame(void)
{
	const uint32_t v = colour(b.drawn);

	for (unsigned y = 0; y < SIDE; y++)
		for (unsigned x = 0; x < SIDE; x++)
			b.image[(MARK + y) * b.width + MARK + x] = v;
	xcb_shm_put_image(b.d, b.win, b.gc, (uint16_t)b.width, (uint16_t)b.height, 0, 0,
	    (uint16_t)b.width, (uint16_t)b.height, 0, 0, 24, XCB_IMAGE_FORMAT_Z_PIXMAP, 1, b.seg,
	    0);
	b.busy = true;
}

/* A small one is not where the colour is looked at: it is seen by nobody. */
static void
draw_rect(unsigned w, unsigned h)
{
	const uint32_t v = colour(b.drawn);
	const xcb_rectangle_t r = {MARK, MARK, (uint16_t)w, (uint16_t)h};

	xcb_change_gc(b.d, b.gc, XCB_GC_FOREGROUND, &v);
	xcb_poly_fill_rectangle(b.d, b.win, b.gc, 1, &r);
}

/* What came from both servers: true if the last colour drawn is now seen. */
static void
look(void)
{
	const int16_t at = AT + MARK + SIDE / 2;
	xcb_generic_event_t *e;
	xcb_get_image_reply_t *i;
	bool changed = false;
	uint32_t v;

	while ((e = xcb_poll_for_event(b.w)) != NULL) {
		changed = changed || (e->response_type & 0x7f) == b.damage_event;
		free(e);
	}
	while ((e = xcb_poll_for_event(b.d)) != NULL) {
		if ((e->response_type & 0x7f) == b.shm_event)
			b.busy = false;
		if ((e->response_type & 0x7f) == XCB_EXPOSE)
			b.exposed = true;
		if (e->response_type == 0)
			fprintf(stderr, "x-client: X error %u\n",
			    ((xcb_generic_error_t *)e)->error_code);
		free(e);
	}
	if (!changed)
		return;
	xcb_damage_subtract(b.w, b.damage, 0, 0);
	i = xcb_get_image_reply(
	    b.w, xcb_get_image(b.w, XCB_IMAGE_FORMAT_Z_PIXMAP, b.root, at, at, 1, 1, ~0u), NULL);
	if (i == NULL)
		fail("the watched X server has gone");
	memcpy(&v, xcb_get_image_data(i), 4);
	v &= 0xffffff;
	if (v != b.last && v > 0 && v <= b.drawn) {
		b.last = v;
		b.seen++;
	}
	free(i);
}

/* Until something came, or then. */
static void
wait_until(uint64_t then)
{
	struct pollfd p[] = {{.fd = xcb_get_file_descriptor(b.d), .events = POLLIN},
	    {.fd = xcb_get_file_descriptor(b.w), .events = POLLIN}};
	const uint64_t now = now_us();
	const struct timespec t = {.tv_sec = then > now ? (time_t)((then - now) / 1000000) : 0,
	    .tv_nsec = then > now ? (long)((then - now) % 1000000 * 1000) : 0};

	xcb_flush(b.d);
	xcb_flush(b.w);
	if (ppoll(p, 2, &t, NULL) < 0 && errno != EINTR)
		fail("poll");
	if (xcb_connection_has_error(b.d) || xcb_connection_has_error(b.w))
		fail("an X server has gone");
	look();
}

static void
until_seen(void)
{
	const uint64_t end = now_us() + END_MS * 1000;

	while (b.last != colour(b.drawn - 1) && now_us() < end)
		wait_until(end);
}

static int
cmp(const void *x, const void *y)
{
	const uint64_t p = *(const uint64_t *)x, q = *(const uint64_t *)y;

	return p < q ? -1 : p > q;
}

/* One after the other is seen: the median of how long that takes. */
static uint64_t
one_by_one(uint32_t n)
{
	uint64_t *t = calloc(n, sizeof *t), t0, median;

	for (uint32_t i = 0; i < n; i++) {
		for (const uint64_t then = now_us() + 4000; now_us() < then;)
			wait_until(then);
		t0 = now_us();
		draw_rect(b.width / 2, b.height / 2);
		b.drawn++;
		until_seen();
		t[i] = now_us() - t0;
	}
	qsort(t, n, sizeof *t, cmp);
	median = t[n / 2];
	free(t);
	return median;
}

static void
paced(uint32_t n, uint32_t rate, unsigned w, unsigned h)
{
	const uint64_t start = now_us(), end = start + (uint64_t)n * 1000;
	uint64_t next = start;

	while (rate > 0 ? b.drawn < n : now_us() < end) {
		if (now_us() < next || b.busy) {
			wait_until(now_us() < next ? next : now_us() + 1000000);
			continue;
		}
		if (b.frames)
			draw_frame();
		else
			draw_rect(w, h);
		b.drawn++;
		if (rate > 0)
			next = start + (uint64_t)b.drawn * 1000000 / rate;
		xcb_flush(b.d);
		look();
	}
}

static double
spent(const struct rusage *u)
{
	return (double)(u->ru_utime.tv_sec + u->ru_stime.tv_sec) * 1e6 +
	       (double)(u->ru_utime.tv_usec + u->ru_stime.tv_usec);
}

static void
copies(uint32_t n, uint32_t rate, size_t size)
{
	int fd;
	uint32_t *from = shared(size, &fd), *to[2] = {shared(size, &fd), shared(size, &fd)};
	struct rusage u0, u1;
	uint64_t start;

	memset(from, 1, size);
	start = now_us();
	getrusage(RUSAGE_SELF, &u0);
	for (uint32_t i = 0; i < n; i++) {
		const uint64_t then = start + (uint64_t)i * 1000000 / rate, now = now_us();

		if (now < then)
			(void)poll(NULL, 0, (int)((then - now) / 1000));
		from[i % (size / 4)]++;
		memcpy(to[i % 2], from, size);
	}
	getrusage(RUSAGE_SELF, &u1);
	printf("cpu_us=%.1f\n", (spent(&u1) - spent(&u0)) / n);
}

/* Until its end: 28 bytes come (a SHMIMAGE), 40 go (a put); to < 0: they go nowhere. */
static _Noreturn void
stand_between(int from, int to)
{
	struct pollfd p = {.fd = from, .events = POLLIN};
	char b28[40], b40[40] = {0};

	while (poll(&p, 1, -1) == 1 && read(from, b28, sizeof b28) > 0)
		if (to >= 0 && write(to, b40, sizeof b40) < 0)
			fail("write");
	_exit(0);
}

static void
relay(uint32_t n, uint32_t rate)
{
	int a[2], c[2], status;
	struct rusage u;
	const uint64_t start = now_us();
	pid_t middle, last;
	char b28[28] = {0};

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, a) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, c) < 0)
		fail("socketpair");
	last = fork();
	if (last == 0) {
		close(a[0]);
		close(c[0]);
		stand_between(c[1], -1);
	}
	middle = fork();
	if (middle == 0) {
		close(a[0]);
		stand_between(a[1], c[0]);
	}
	close(c[0]);
	for (uint32_t i = 0; i < n; i++) {
		const uint64_t then = start + (uint64_t)i * 1000000 / rate, now = now_us();
		const struct timespec t = {.tv_nsec = then > now ? (long)(then - now) * 1000 : 0};

		nanosleep(&t, NULL);
		if (write(a[0], b28, sizeof b28) < 0)
			fail("write");
	}
	close(a[0]);
	if (middle < 0 || last < 0 || wait4(middle, &status, 0, &u) != middle)
		fail("fork");
	printf("cpu_us=%.2f\n", spent(&u) / n);
}

int
main(int argc, char **argv)
{
	char line[8];
	uint64_t start, median = 0;
	uint32_t n, rate;
	unsigned w, h;

	if (argc != 8) {
		fputs("usage: x-client DRAW WATCH frames|rects|memcpy|relay N RATE WIDTH HEIGHT\n",
		    stderr);
		return 100;
	}
	n = (uint32_t)atoi(argv[4]);
	rate = (uint32_t)atoi(argv[5]);
	w = (unsigned)atoi(argv[6]);
	h = (unsigned)atoi(argv[7]);
	if (strcmp(argv[3], "relay") == 0) {
		relay(n, rate);
		return 0;
	}
	if (strcmp(argv[3], "memcpy") == 0) {
		copies(n, rate, (size_t)w * h * 4);
		return 0;
	}
	b.frames = strcmp(argv[3], "frames") == 0;
	b.width = b.frames ? w : 200;
	b.height = b.frames ? h : 200;
	b.d = open_x(argv[1]);
	b.w = open_x(argv[2]);
	watch();
	open_window();
	/* It is there when its first colour is, whatever takes that away while the qube starts. */
	b.drawn = 1;
	for (const uint64_t end = now_us() + END_MS * 1000;
	     b.last != colour(0) && now_us() < end;) {
		wait_until(now_us() + 1000000);
		if (!b.exposed)
			continue;
		b.exposed = false;
		b.drawn = 0;
		if (b.frames)
			draw_frame();
		else
			draw_rect(100, 100);
		b.drawn = 1;
	}
	if (b.last != colour(0))
		fail("the window is not seen");
	b.drawn = b.seen = b.last = 0;
	puts("ready");
	fflush(stdout);
	if (fgets(line, sizeof line, stdin) == NULL)
		return 111;
	start = now_us();
	if (!b.frames && rate == 0)
		median = one_by_one(n);
	else
		paced(n, rate, w, h);
	if (b.frames)
		until_seen();
	printf("drawn=%u seen=%u ms=%.1f median_us=%.0f\n", b.drawn, b.seen,
	    (double)(now_us() - start) / 1000, (double)median);
	fflush(stdout);
	return fgets(line, sizeof line, stdin) != NULL;
}
