/* SPDX-License-Identifier: ISC */
/*
 * The wire between a qube's gui-agent (server, port 6000) and Dom0's guid (spec/gui 1 to 3). Native
 * little-endian structs without padding. First, without a header: the agent's u32 version; from an
 * agent >= 1.4 on a u32 from the daemon, the smaller of both; then from the daemon struct
 * gui_xconf. After that messages: struct gui_hdr and a body.
 */
#ifndef GUI_PROTO_H
#define GUI_PROTO_H

#include <stdint.h>

#define GUI_PORT 6000u
#define GUI_MAJOR 1u
#define GUI_MINOR 8u
#define GUI_VERSION(minor) (GUI_MAJOR << 16 | (minor))
/* What came with which minor version (spec/gui 1, "Version gates"). */
#define GUI_CLIPBOARD_LEN 2u /* length of CLIPBOARD_DATA in untrusted_len; before: in window */
#define GUI_TWO_WAY 4u	     /* the daemon answers with a version */
#define GUI_DESTROY_ACK 5u
#define GUI_STRICT 6u /* a wrong length is fatal */
#define GUI_DUMP_ACK 7u
#define GUI_BIG_CLIPBOARD 8u

#define GUI_WIDTH_MAX 16384
#define GUI_HEIGHT_MAX 6144
#define GUI_REFS_MAX 98304u /* GUI_WIDTH_MAX * GUI_HEIGHT_MAX * 4 / 4096 */
#define GUI_CLIPBOARD_OLD 65000u
#define GUI_CLIPBOARD_MAX 256001u /* one more than may be used: too much, as it says itself */
#define GUI_CURSOR_FONT 0x100u	  /* plus a glyph of X's cursor font */
#define GUI_CURSOR_END 0x19au

enum gui_dir { GUI_NOBODY = 0, GUI_TO_DAEMON = 1, GUI_TO_AGENT = 2, GUI_BOTH = 3 };
#define GUI_VARIES 0xffffu

/* X(name, value, who receives it, length of its body) */
#define GUI_TYPES(X)                                                                               \
	X(KEYPRESS, 124, GUI_TO_AGENT, 20)                                                         \
	X(BUTTON, 125, GUI_TO_AGENT, 20)                                                           \
	X(MOTION, 126, GUI_TO_AGENT, 16)                                                           \
	X(CROSSING, 127, GUI_TO_AGENT, 28)                                                         \
	X(FOCUS, 128, GUI_TO_AGENT, 12)                                                            \
	X(RESIZE, 129, GUI_NOBODY, 8)                                                              \
	X(CREATE, 130, GUI_TO_DAEMON, 24)                                                          \
	X(DESTROY, 131, GUI_BOTH, 0)                                                               \
	X(MAP, 132, GUI_BOTH, 8)                                                                   \
	X(UNMAP, 133, GUI_TO_DAEMON, 0)                                                            \
	X(CONFIGURE, 134, GUI_BOTH, 20)                                                            \
	X(MFNDUMP, 135, GUI_NOBODY, GUI_VARIES)                                                    \
	X(SHMIMAGE, 136, GUI_TO_DAEMON, 16)                                                        \
	X(CLOSE, 137, GUI_TO_AGENT, 0)                                                             \
	X(EXECUTE, 138, GUI_NOBODY, 255)                                                           \
	X(CLIPBOARD_REQ, 139, GUI_TO_AGENT, 0)                                                     \
	X(CLIPBOARD_DATA, 140, GUI_BOTH, GUI_VARIES)                                               \
	X(WMNAME, 141, GUI_TO_DAEMON, 128)                                                         \
	X(KEYMAP_NOTIFY, 142, GUI_TO_AGENT, 32)                                                    \
	X(DOCK, 143, GUI_TO_DAEMON, 0)                                                             \
	X(WINDOW_HINTS, 144, GUI_TO_DAEMON, 36)                                                    \
	X(WINDOW_FLAGS, 145, GUI_BOTH, 8)                                                          \
	X(WMCLASS, 146, GUI_TO_DAEMON, 128)                                                        \
	X(WINDOW_DUMP, 147, GUI_TO_DAEMON, GUI_VARIES)                                             \
	X(CURSOR, 148, GUI_TO_DAEMON, 4)                                                           \
	X(WINDOW_DUMP_ACK, 149, GUI_TO_AGENT, 0)

enum gui_type {
#define GUI_X(name, value, to, len) GUI_##name = (value),
	GUI_TYPES(GUI_X)
#undef GUI_X
};
#define GUI_FIRST GUI_KEYPRESS
#define GUI_LAST GUI_WINDOW_DUMP_ACK

struct gui_hdr {
	uint32_t type, window, untrusted_len;
};
struct gui_xconf {
	uint32_t w, h, depth, mem; /* w rounded up to a multiple of 8; mem: KiB of w * h * 4, + 1 */
};

struct gui_create {
	int32_t x, y;
	uint32_t w, h, parent, override_redirect;
};
struct gui_map {
	uint32_t transient_for, override_redirect;
};
struct gui_configure {
	int32_t x, y;
	uint32_t w, h, override_redirect;
};
struct gui_shmimage {
	int32_t x, y;
	uint32_t w, h;
};
struct gui_key { /* and BUTTON */
	uint32_t type;
	int32_t x, y;
	uint32_t state, code;
};
struct gui_motion {
	int32_t x, y;
	uint32_t state, is_hint;
};
struct gui_crossing {
	uint32_t type;
	int32_t x, y;
	uint32_t state, mode, detail, focus;
};
struct gui_focus {
	uint32_t type, mode, detail;
};
struct gui_wmname {
	char name[128];
};
struct gui_wmclass {
	char res_class[64], res_name[64];
};
struct gui_hints {
	uint32_t flags, min_w, min_h, max_w, max_h, inc_w, inc_h, base_w, base_h;
};
struct gui_flags {
	uint32_t set, unset;
};
enum { GUI_FULLSCREEN = 1, GUI_ATTENTION = 2, GUI_MINIMIZE = 4 };
struct gui_dump { /* then u32 refs[] */
	uint32_t type, w, h, bpp;
};

#endif
