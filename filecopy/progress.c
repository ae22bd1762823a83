/* SPDX-License-Identifier: ISC */
#include "filecopy/progress.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "loop.h"
#include "names.h"

#define STEP 15000000 /* bytes: stock's, for programs */
#define BAR_MS 200
#define KEEPS_BLANK 45 /* columns beside the bar */

static struct {
	void (*show)(uint64_t bytes);
	uint64_t total, last;  /* bytes */
	uint64_t began, shown; /* ms */
	int fd;
	bool dirty; /* a line on the terminal is not ended */
} g;

static void
console(uint64_t bytes)
{
	dprintf(STDERR_FILENO, "sent %" PRIu64 "/%" PRIu64 " KB\r", bytes / 1024, g.total / 1024);
	g.dirty = true;
}

static void
gui(uint64_t bytes)
{
	dprintf(g.fd, "%" PRIu64 "\n", bytes);
}

static void
size(char *out, size_t n, double bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	size_t u = 0;

	while (bytes >= 1000 && u < 4)
		bytes /= 1024, u++;
	snprintf(out, n, u > 0 && bytes < 10 ? "%.1f %s" : "%.0f %s", bytes, units[u]);
}

static void
bar(uint64_t bytes)
{
	const uint64_t ms = now_ms() - g.began;
	const double done = g.total > 0 ? (double)bytes / (double)g.total : 1;
	const double rate = ms > 0 ? (double)bytes * 1000 / (double)ms : 0;
	const uint64_t left =
	    bytes < g.total && rate > 0 ? (uint64_t)((double)(g.total - bytes) / rate + 1) : 0;
	struct winsize w = {.ws_col = 80};
	char sent[24], per_s[24], line[512];
	int width, full;

	(void)ioctl(STDERR_FILENO, TIOCGWINSZ, &w);
	width = w.ws_col > KEEPS_BLANK + 10 ? w.ws_col - KEEPS_BLANK : 10;
	width = width > 60 ? 60 : width;
	full = done >= 1 ? width : (int)(done * width);
	size(sent, sizeof sent, (double)bytes);
	size(per_s, sizeof per_s, rate);
	memset(line, '#', (size_t)full);
	memset(line + full, '.', (size_t)(width - full));
	line[width] = '\0';
	dprintf(STDERR_FILENO, "\r%3d %% [%s] %8s %8s/s %2" PRIu64 ":%02" PRIu64 " left ",
	    full == width ? 100 : (int)(done * 100), line, sent, per_s, left / 60, left % 60);
	g.dirty = true;
}

void
progress_open(void)
{
	const char *type = getenv("PROGRESS_TYPE"), *total = getenv("FILECOPY_TOTAL_BYTES"),
		   *fd = getenv("SAVED_FD_1");
	uint32_t n;

	if (!type || (total && !parse_u64(total, UINT64_MAX, &g.total)))
		return;
	g.began = g.shown = now_ms();
	if (strcmp(type, "console") == 0) {
		g.show = console;
	} else if (strcmp(type, "gui") == 0 && fd && parse_u32(fd, INT32_MAX, &n)) {
		g.fd = (int)n;
		g.show = gui;
	} else if (strcmp(type, "bar") == 0) {
		g.show = bar;
	}
}

void
progress(uint64_t bytes)
{
	if (!g.show)
		return;
	if (g.show == bar ? now_ms() - g.shown < BAR_MS : bytes - g.last < STEP)
		return;
	g.shown = g.show == bar ? now_ms() : 0;
	g.last = bytes;
	g.show(bytes);
}

void
progress_end(uint64_t bytes)
{
	if (g.show)
		g.show(bytes);
	if (g.show == bar)
		dprintf(STDERR_FILENO, "writing");
}

void
progress_close(void)
{
	if (g.dirty)
		dprintf(STDERR_FILENO, g.show == bar ? "\b\b\b\b\b\b\b       \n" : "\n");
	g.show = NULL;
}
