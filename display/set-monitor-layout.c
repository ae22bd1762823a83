/* SPDX-License-Identifier: ISC */
/*
 * qubes.SetMonitorLayout in a minimal qube (gui-agent.8): how Dom0's monitors lie, a line for each,
 * "WIDTH HEIGHT X Y [WIDTH_MM HEIGHT_MM]", becomes this X server's screen and its monitors, as far
 * as RandR lets it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xcb/randr.h>
#include <xcb/xcb.h>

#include "display/screen.h"
#include "guid/gui-proto.h"
#include "log.h"
#include "names.h"

#define MONITORS 32

static const char help[] =
    "usage: set-monitor-layout <LINES\n"
    "This X server's screen becomes so: a line for each monitor,\n"
    "WIDTH HEIGHT X Y [WIDTH_MM HEIGHT_MM]. Is qubes.SetMonitorLayout; see gui-agent(8).\n"
    "Exit: 0 it is so, 1 the X server cannot, 100 usage or wrong lines, 111 no X server.\n";

struct monitor {
	uint32_t w, h, x, y, mm_w, mm_h;
};

static bool
parse(char *line, struct monitor *m)
{
	uint32_t v[6] = {0};
	char *save, *word = strtok_r(line, " \n", &save);
	size_t n = 0;

	for (; word != NULL && n < 6; n++, word = strtok_r(NULL, " \n", &save))
		if (!parse_u32(word, UINT16_MAX, &v[n]))
			return false;
	*m = (struct monitor){v[0], v[1], v[2], v[3], v[4], v[5]};
	return word == NULL && (n == 4 || n == 6) && v[0] > 0 && v[1] > 0 &&
	       v[0] + v[2] <= GUI_WIDTH_MAX && v[1] + v[3] <= GUI_HEIGHT_MAX;
}

static size_t
read_layout(struct monitor m[MONITORS])
{
	char line[80];
	size_t n = 0;

	for (; fgets(line, sizeof line, stdin) != NULL; n++)
		if (n == MONITORS || strchr(line, '\n') == NULL || !parse(line, &m[n]))
			usage_die("line %zu is no WIDTH HEIGHT X Y [WIDTH_MM HEIGHT_MM]", n + 1);
	if (n == 0)
		usage_die("no monitor");
	return n;
}

static bool
is_set(xcb_connection_t *c, xcb_window_t root, const struct monitor *m, size_t n)
{
	xcb_randr_get_monitors_reply_t *r =
	    xcb_randr_get_monitors_reply(c, xcb_randr_get_monitors(c, root, 1), NULL);
	bool same = r != NULL && r->nMonitors == n;

	if (same)
		for (xcb_randr_monitor_info_iterator_t i =
			 xcb_randr_get_monitors_monitors_iterator(r);
		     same && i.rem > 0; xcb_randr_monitor_info_next(&i), m++)
			same = i.data->width == m->w && i.data->height == m->h &&
			       i.data->x == (int)m->x && i.data->y == (int)m->y;
	free(r);
	return same;
}

/* Those of the last time go. X's own is right when there is but one. */
static void
set(xcb_connection_t *c, xcb_window_t root, const struct monitor *m, size_t n)
{
	struct {
		xcb_randr_monitor_info_t info;
		xcb_randr_output_t out;
	} one;
	xcb_randr_get_screen_resources_reply_t *r =
	    xcb_randr_get_screen_resources_reply(c, xcb_randr_get_screen_resources(c, root), NULL);
	xcb_intern_atom_reply_t *a;
	char name[24];

	for (size_t i = 0; i < MONITORS; i++) {
		const int len = snprintf(name, sizeof name, "dom0-%zu", i);

		a = xcb_intern_atom_reply(
		    c, xcb_intern_atom(c, i >= n || n == 1, (uint16_t)len, name), NULL);
		if (a != NULL && a->atom != 0)
			xcb_randr_delete_monitor(c, root, a->atom);
		if (a != NULL && i < n && n > 1) {
			memset(&one, 0, sizeof one);
			one.info = (xcb_randr_monitor_info_t){.name = a->atom,
			    .primary = i == 0,
			    .x = (int16_t)m[i].x,
			    .y = (int16_t)m[i].y,
			    .width = (uint16_t)m[i].w,
			    .height = (uint16_t)m[i].h,
			    .width_in_millimeters = m[i].mm_w,
			    .height_in_millimeters = m[i].mm_h};
			if (i == 0 && r != NULL && r->num_outputs > 0) {
				one.info.nOutput = 1;
				one.out = *xcb_randr_get_screen_resources_outputs(r);
			}
			xcb_randr_set_monitor(c, root, &one.info);
		}
		free(a);
	}
	free(r);
}

int
main(int argc, char **argv)
{
	const xcb_query_extension_reply_t *e;
	struct monitor m[MONITORS];
	size_t n;
	uint32_t w = 0, h = 0;
	xcb_connection_t *c;
	xcb_get_geometry_reply_t *g;
	xcb_window_t root;

	log_open("qubes.SetMonitorLayout", NULL);
	if (argc == 2 && strcmp(argv[1], "--help") == 0)
		return fputs(help, stdout) < 0;
	if (argc > 1)
		usage_die("%s", help);
	n = read_layout(m);
	if (n == 1) /* the screen is that monitor */
		m[0].x = m[0].y = 0;
	for (size_t i = 0; i < n; i++) {
		w = m[i].x + m[i].w > w ? m[i].x + m[i].w : w;
		h = m[i].y + m[i].h > h ? m[i].y + m[i].h : h;
	}
	setenv("DISPLAY", ":0", 0);
	c = xcb_connect(NULL, NULL);
	if (xcb_connection_has_error(c))
		die("no X server");
	root = xcb_setup_roots_iterator(xcb_get_setup(c)).data->root;
	e = xcb_get_extension_data(c, &xcb_randr_id);
	if (e == NULL || !e->present)
		die("the X server has no RandR");
	xcb_discard_reply(c, xcb_randr_query_version(c, 1, 5).sequence);
	if (is_set(c, root, m, n)) /* programs would have to draw all anew */
		return 0;
	set(c, root, m, n);
	screen_size(c, root, w, h); /* programs are told of this, not of monitors alone */
	g = xcb_get_geometry_reply(c, xcb_get_geometry(c, root), NULL);
	if (g == NULL)
		die("the X server has gone");
	if (g->width == w && g->height == h)
		return 0;
	logit("the screen stays %ux%u, %ux%u is wanted", g->width, g->height, w, h);
	return 1;
}
