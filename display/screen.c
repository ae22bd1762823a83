/* SPDX-License-Identifier: ISC */
#include "display/screen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xcb/randr.h>

#include "guid/gui-proto.h"

/* One of that name that there is since another time, or a new one; 0: X makes none. */
static xcb_randr_mode_t
mode_named(xcb_connection_t *c, xcb_window_t root, const xcb_randr_get_screen_resources_reply_t *r,
    const char *name, xcb_randr_mode_info_t mode)
{
	const char *at = (const char *)xcb_randr_get_screen_resources_names(r);
	xcb_randr_create_mode_reply_t *m;
	xcb_randr_mode_t id;

	mode.name_len = (uint16_t)strlen(name);
	for (xcb_randr_mode_info_iterator_t i = xcb_randr_get_screen_resources_modes_iterator(r);
	     i.rem > 0; at += i.data->name_len, xcb_randr_mode_info_next(&i))
		if (i.data->name_len == mode.name_len && memcmp(at, name, mode.name_len) == 0)
			return i.data->id;
	m = xcb_randr_create_mode_reply(
	    c, xcb_randr_create_mode(c, root, mode, mode.name_len, name), NULL);
	id = m != NULL ? m->mode : 0;
	free(m);
	return id;
}

/* Programs look at the output, which takes a mode. */
void
screen_size(xcb_connection_t *c, xcb_window_t root, uint32_t w, uint32_t h)
{
	const xcb_randr_mode_info_t info = {.width = (uint16_t)w, .height = (uint16_t)h};
	xcb_randr_get_screen_resources_reply_t *r = NULL;
	xcb_randr_mode_t mode = 0;
	xcb_randr_output_t *out;
	xcb_randr_crtc_t crtc;
	char name[40];

	snprintf(name, sizeof name, "%ux%u-dom0", w, h);
	if (w - 1 < GUI_WIDTH_MAX && h - 1 < GUI_HEIGHT_MAX)
		r = xcb_randr_get_screen_resources_reply(
		    c, xcb_randr_get_screen_resources(c, root), NULL);
	if (r != NULL && r->num_outputs > 0 && r->num_crtcs > 0)
		mode = mode_named(c, root, r, name, info);
	if (mode == 0) {
		free(r);
		return;
	}
	out = xcb_randr_get_screen_resources_outputs(r);
	crtc = *xcb_randr_get_screen_resources_crtcs(r);
	xcb_randr_add_output_mode(c, *out, mode);
	for (int on = 0; on < 2; on++) {
		xcb_discard_reply(
		    c, xcb_randr_set_crtc_config(c, crtc, 0, 0, 0, 0, on ? mode : XCB_NONE,
			   XCB_RANDR_ROTATION_ROTATE_0, (uint32_t)on, out)
			   .sequence);
		if (!on)
			xcb_randr_set_screen_size(
			    c, root, (uint16_t)w, (uint16_t)h, w * 254 / 960, h * 254 / 960);
	}
	free(r);
}
