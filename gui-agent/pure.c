/* SPDX-License-Identifier: ISC */
/* What needs no X server. */
#include <string.h>

#include "ga.h"

/* Never a part of a character at the end. */
void
text_title(char out[128], const uint8_t *p, size_t n, bool latin1)
{
	size_t len = 0;

	memset(out, 0, 128);
	for (size_t i = 0; i < n && len < 128; i++) {
		if (latin1 && p[i] >= 0x80)
			out[len++] = (char)(0xc0 | p[i] >> 6);
		if (len < 128)
			out[len++] = (char)(latin1 && p[i] >= 0x80 ? 0x80 | (p[i] & 0x3f) : p[i]);
	}
	if (len < 128)
		return;
	while (((uint8_t)out[--len] & 0xc0) == 0x80 && len > 0)
		out[len] = '\0';
	out[len] = '\0';
}

/* X's cursor font, every second glyph; and what themes call theirs. */
static const char *const glyphs[] = {"X_cursor", "arrow", "based_arrow_down", "based_arrow_up",
    "boat", "bogosity", "bottom_left_corner", "bottom_right_corner", "bottom_side", "bottom_tee",
    "box_spiral", "center_ptr", "circle", "clock", "coffee_mug", "cross", "cross_reverse",
    "crosshair", "diamond_cross", "dot", "dotbox", "double_arrow", "draft_large", "draft_small",
    "draped_box", "exchange", "fleur", "gobbler", "gumby", "hand1", "hand2", "heart", "icon",
    "iron_cross", "left_ptr", "left_side", "left_tee", "leftbutton", "ll_angle", "lr_angle", "man",
    "middlebutton", "mouse", "pencil", "pirate", "plus", "question_arrow", "right_ptr",
    "right_side", "right_tee", "rightbutton", "rtl_logo", "sailboat", "sb_down_arrow",
    "sb_h_double_arrow", "sb_left_arrow", "sb_right_arrow", "sb_up_arrow", "sb_v_double_arrow",
    "shuttle", "sizing", "spider", "spraycan", "star", "target", "tcross", "top_left_arrow",
    "top_left_corner", "top_right_corner", "top_side", "top_tee", "trek", "ul_angle", "umbrella",
    "ur_angle", "watch", "xterm"};
static const struct {
	const char *theirs, *glyph;
} themed[] = {{"pointer", "hand2"}, {"text", "xterm"}, {"wait", "watch"}, {"progress", "watch"},
    {"move", "fleur"}, {"grabbing", "fleur"}, {"help", "question_arrow"}, {"not-allowed", "circle"},
    {"ew-resize", "sb_h_double_arrow"}, {"col-resize", "sb_h_double_arrow"},
    {"ns-resize", "sb_v_double_arrow"}, {"row-resize", "sb_v_double_arrow"},
    {"n-resize", "top_side"}, {"s-resize", "bottom_side"}, {"w-resize", "left_side"},
    {"e-resize", "right_side"}, {"nw-resize", "top_left_corner"}, {"ne-resize", "top_right_corner"},
    {"sw-resize", "bottom_left_corner"}, {"se-resize", "bottom_right_corner"}};

uint32_t
input_glyph(const char *name)
{
	for (size_t i = 0; i < sizeof themed / sizeof *themed; i++)
		if (strcmp(name, themed[i].theirs) == 0)
			name = themed[i].glyph;
	for (uint32_t i = 0; i < sizeof glyphs / sizeof *glyphs; i++)
		if (strcmp(name, glyphs[i]) == 0)
			return GUI_CURSOR_FONT + 2 * i;
	return 0;
}
