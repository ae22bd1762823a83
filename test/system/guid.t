#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
# guid by hand, on an X server of the test's own, with an agent that is spoken byte by byte: spec/gui 1 to 6, 9, 11, 14.
import contextlib, fcntl, os, shutil, signal, socket, struct, sys, termios, threading, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
from gui import *

if not shutil.which("Xvfb"):
    print("1..0 # SKIP no Xvfb on this machine")
    sys.exit(0)

BIN = os.path.join(os.environ.get("O", "build/local"), "bin")
GUID = "/usr/lib/qubes/guid" if XEN else os.path.join(BIN, "guid")
LAYOUT = os.path.join(BIN, "set-monitor-layout")
FRAME, OR = 4, 2
WHITE = 0xffffff
MARK = 0xfffffff1
desk = None


class Session:
    """A guid and its agent, on the desk that all share."""

    def __init__(self, *args, minor=8, conf=None, **more):
        if conf:
            args += ("-C", desk.config(conf))
        self.x = desk.x
        self.x.events.clear()
        self.a = desk.agent()
        self.p = desk.start(*args, **more)
        self.version, self.xconf = self.a.hello(minor)
        self.marks = 0
        self.a.round()

    def __enter__(self):
        return self

    def __exit__(self, *e):
        self.p.terminate()
        self.p.wait()
        desk.procs.remove(self.p)
        self.a.close()
        desk.agents.remove(self.a)
        until(lambda: not self.x.ours())
        self.x.clean()

    def f(self, window):
        return desk.f(window)

    def c(self, window):
        f = self.f(window)
        return self.x.tree(f)[1][0]

    def settle(self):
        """guid has acted on all that the agent sent, and X on all of guid's."""
        self.marks += 1
        if self.marks == 1:
            self.a.create(MARK, 100, 100, 1, 1)
        name = b"%d" % self.marks
        self.a.name(MARK, name)
        self.a.round()
        f = self.f(MARK)
        assert until(lambda: self.x.prop(f, "WM_NAME") in (name, b"[work] " + name)), "does not settle"
        return f

    def quiet(self):
        """What the agent has been told, or is, of all that has happened on X until now."""
        n = len(self.a.got)
        for _ in range(2):  # the second for what guid asked X upon the first
            f = self.settle()
            self.x.message(f, f, "WM_PROTOCOLS", [self.x.atom("WM_DELETE_WINDOW"), 0])
            self.a.get(CLOSE, MARK)
        out = self.a.got[n:]
        del self.a.got[n:]
        return out


def taken(a):
    """guid has read all that was sent."""
    return until(lambda: struct.unpack("<i", fcntl.ioctl(a.s, termios.TIOCOUTQ, bytes(4)))[0] == 0)


def shown(x, px, py, color):
    return until(lambda: x.pixel(px, py) == color)


def framed(x, at, inset, color=RED, inside=None):
    return until(lambda: border(x, at, inset, color, inside))


# --- 1: handshake ---

def handshake():
    for minor in range(10):
        a = desk.agent()
        p = desk.start()
        version, conf = a.hello(minor)
        eq(version, None if minor < 4 else 0x10000 | min(minor, 8), "1.%d: the daemon's version" % minor)
        eq(conf, (1280, 800, 24, 4001), "1.%d: xconf" % minor)
        a.create(4)
        f = desk.f(4)
        a.show(3)
        eq(bool(desk.f(3)), True, "1.%d: a window" % minor)
        a.put(DESTROY, 3)
        if minor >= 5:
            eq(a.get(DESTROY), b"", "1.%d: DESTROY is acknowledged" % minor)
        until(lambda: 3 not in desk.x.ours())
        desk.x.message(f, f, "WM_PROTOCOLS", [desk.x.atom("WM_DELETE_WINDOW"), 0])
        a.get(CLOSE, 4)
        acks = [m[0] for m in a.got]
        eq(DUMP_ACK in acks, minor >= 7, "1.%d: WINDOW_DUMP_ACK %s" % (minor, "sent" if minor >= 7 else "not sent"))
        eq(DESTROY in acks, False, "1.%d: no other DESTROY" % minor)
        p.terminate()
        p.wait()
        a.close()
    for major, minor in ((0, 8), (2, 0), (0x8000, 8)):
        a = desk.agent()
        p = desk.start()
        a.accept(minor, major)
        eq(p.wait(LIMIT), 1, "%d.%d: exit 1" % (major, minor))
        a.close()


def byte_by_byte():
    a = desk.agent()
    p = desk.start()
    a.accept()
    a.bytes(20)
    data = struct.pack("<III", CREATE, 9, 24) + struct.pack("<iiIIII", 50, 60, 300, 200, 0, 0) + struct.pack("<III", MAP, 9, 8) + bytes(8)
    for b in data:
        a.raw(bytes([b]))
        taken(a)
    eq(desk.x.place(desk.f(9)), (46, 56, 308, 208), "messages in pieces of a byte")
    p.terminate()
    p.wait()
    a.close()


def header_and_body_apart():
    with Session() as s:
        s.a.raw(struct.pack("<III", CREATE, 9, 24)[:5])
        taken(s.a)
        s.a.raw(struct.pack("<III", CREATE, 9, 24)[5:])
        taken(s.a)
        s.a.raw(struct.pack("<iiIIII", 50, 60, 300, 200, 0, 0))
        s.a.map(9)
        ok(s.f(9), "a header in two parts, a body apart")


# --- 2: framing; what is fatal ---

def one_fatal(name, minor, setup, data):
    a = desk.agent()
    p = desk.start()
    a.hello(minor)
    setup(a)
    try:
        a.raw(data)
    except (BrokenPipeError, ConnectionResetError):
        pass
    try:
        eq(p.wait(LIMIT), 1, name)
    except subprocess.TimeoutExpired:
        ok(False, name, "still there")
        p.terminate()
        p.wait()
    a.close()


def msg(kind, window, body=b"", length=None):
    return struct.pack("<III", kind, window, len(body) if length is None else length) + body


def nothing(a):
    pass


def w5(a):
    a.create(5)


def w5_mapped(a):
    a.create(5)
    a.map(5)


def fatal():
    create = struct.pack("<iiIIII", 0, 0, 10, 10, 0, 0)
    dump = lambda kind, w, h, n: struct.pack("<IIII", kind, w, h, 24) + struct.pack("<%dI" % n, *range(1, n + 1))
    neg = lambda w, h: struct.pack("<iiiiII", 0, 0, w, h, 0, 0)
    table = (
        ("CREATE of a known id", w5, msg(CREATE, 5, create)),
        ("an unknown type", w5, msg(150, 5)),
        ("type 0", w5, msg(0, 5)),
        ("type 123", w5, msg(123, 5)),
        ("type 0xffffffff", w5, msg(0xffffffff, 5)),
        *(("%s, which only the daemon sends" % NAMES[t], w5, msg(t, 5, bytes(TO_AGENT.get(t, 0))))
          for t in (KEYPRESS, BUTTON, MOTION, CROSSING, FOCUS, CLOSE, CLIPBOARD_REQ, KEYMAP, DUMP_ACK)),
        ("RESIZE, obsolete", w5, msg(RESIZE, 5, bytes(8))),
        ("EXECUTE, obsolete", w5, msg(EXECUTE, 5, bytes(255))),
        ("MFNDUMP", w5, msg(MFNDUMP, 5, bytes(32))),
        *(("%s of an unknown window" % NAMES[t], nothing, msg(t, 5, bytes(n))) for t, n in (
            (DESTROY, 0), (MAP, 8), (UNMAP, 0), (CONFIGURE, 20), (SHMIMAGE, 16), (WMNAME, 128), (DOCK, 0), (HINTS, 36),
            (FLAGS, 8), (WMCLASS, 128), (DUMP, 20), (CURSOR, 4))),
        *(("%s one byte too %s" % (NAMES[t], what), w5 if t != CREATE else nothing, msg(t, 5, bytes(n + d)))
          for t, n in ((CREATE, 24), (DESTROY, 0), (MAP, 8), (UNMAP, 0), (CONFIGURE, 20), (SHMIMAGE, 16), (WMNAME, 128), (DOCK, 0),
                       (HINTS, 36), (FLAGS, 8), (WMCLASS, 128), (CURSOR, 4))
          for d, what in ((-1, "short"), (1, "long")) if n + d >= 0),
        ("CREATE of -1 x 10", nothing, msg(CREATE, 5, neg(-1, 10))),
        ("CREATE of 10 x -2147483648", nothing, msg(CREATE, 5, neg(10, -2147483648))),
        ("CONFIGURE of 0 x 10", w5, msg(CONFIGURE, 5, struct.pack("<iiIII", 0, 0, 0, 10, 0))),
        ("CONFIGURE of 10 x 0", w5, msg(CONFIGURE, 5, struct.pack("<iiIII", 0, 0, 10, 0, 0))),
        ("CONFIGURE of -5 x 10", w5, msg(CONFIGURE, 5, struct.pack("<iiiiI", 0, 0, -5, 10, 0))),
        ("WINDOW_DUMP of 15 bytes", w5, msg(DUMP, 5, bytes(15))),
        ("WINDOW_DUMP of 0 bytes", w5, msg(DUMP, 5)),
        ("WINDOW_DUMP of type 1", w5, msg(DUMP, 5, dump(1, 10, 10, 1))),
        ("WINDOW_DUMP wider than 16384", w5, msg(DUMP, 5, dump(0, 16385, 1, 17))),
        ("WINDOW_DUMP higher than 6144", w5, msg(DUMP, 5, dump(0, 1, 6145, 17))),
        ("WINDOW_DUMP, no whole number of references", w5, msg(DUMP, 5, dump(0, 10, 10, 1) + b"x")),
        ("WINDOW_DUMP, fewer references than pixels", w5, msg(DUMP, 5, dump(0, 33, 32, 1))),
        ("WINDOW_DUMP of no references and 1 pixel", w5, msg(DUMP, 5, dump(0, 1, 1, 0))),
        ("WINDOW_DUMP of 0x10000 x 0x10000", w5, msg(DUMP, 5, dump(0, 65536, 65536, 1))),
        ("WINDOW_DUMP of 98305 references", w5, msg(DUMP, 5, length=16 + 4 * 98305)),
        ("WINDOW_DUMP of 4 GiB", w5, msg(DUMP, 5, length=0xffffffff)),
        ("WINDOW_FLAGS that set and unset", w5, msg(FLAGS, 5, struct.pack("<II", 1, 1))),
        ("WINDOW_FLAGS that set and unset, mapped", w5_mapped, msg(FLAGS, 5, struct.pack("<II", 8, 8))),
        ("CURSOR 1", w5, msg(CURSOR, 5, struct.pack("<I", 1))),
        ("CURSOR 0xff", w5, msg(CURSOR, 5, struct.pack("<I", 0xff))),
        ("CURSOR 0x19a", w5, msg(CURSOR, 5, struct.pack("<I", 0x19a))),
        ("CURSOR 0xffffffff", w5, msg(CURSOR, 5, struct.pack("<I", 0xffffffff))),
        ("CLIPBOARD_DATA of 256002 bytes", nothing, msg(CLIPBOARD_DATA, 0, length=256002)),
        ("CLIPBOARD_DATA of 4 GiB", nothing, msg(CLIPBOARD_DATA, 0, length=0xffffffff)),
    )
    for name, setup, data in table[::2 if XEN else 1]:  # in emulation each takes a third of a second
        one_fatal("1.8: " + name, 8, setup, data)
    one_fatal("1.7: CLIPBOARD_DATA of 65001 bytes", 7, nothing, msg(CLIPBOARD_DATA, 0, length=65001))
    one_fatal("1.1: CLIPBOARD_DATA of 65001 bytes, as window says", 1, nothing, msg(CLIPBOARD_DATA, 65001, length=0))
    one_fatal("1.6: a wrong length", 6, w5, msg(UNMAP, 5, b"", 4))
    log = desk.said()
    ok("CREATE of a window that exists" in log and "its session ends" in log, "the log says what it was", log[-500:])


def old_lengths():
    """Before 1.6 a wrong length is logged, and the real one counts."""
    for minor in (0, 1, 5):
        with Session(minor=minor) as s:
            s.a.put(CREATE, 5, struct.pack("<iiIIII", 10, 20, 30, 40, 0, 0), length=7)
            s.a.put(MAP, 5, bytes(8), length=0xffffffff)
            ok(s.f(5), "1.%d: a wrong length is not fatal" % minor)


def half_messages():
    """P3: a body that does not come keeps nobody from the rest (QSB-013)."""
    with Session() as s:
        s.a.show(5, 300, 200)
        f = s.f(5)
        shown(s.x, 110, 110, 0x123456)
        s.a.raw(struct.pack("<III", WMNAME, 5, 128) + b"half")
        s.x.pointer(150, 150)
        ok(s.a.get(CROSSING, 5), "the pointer is told of with half a message on the way")
        s.x.focus(f)
        ok(s.a.get(FOCUS, 5), "and the focus")
        cover = s.x.create(100, 100, 100, 100, override=1, color=0x00ff00)
        s.x.map(cover)
        ok(shown(s.x, 120, 120, 0x00ff00), "covered")
        s.x.destroy(cover)
        ok(shown(s.x, 120, 120, 0x123456), "and painted again")
        s.a.raw(b" a title".ljust(124, b"\0"))
        ok(until(lambda: s.x.prop(f, "WM_NAME") == b"half a title"), "its rest counts")


def ends_in_the_middle():
    """QSB-010: what a channel has when it ends is no length and no message."""
    header = struct.pack("<III", WMNAME, 5, 128)
    for data in (b"", header[:1], header[:11], header, header + b"x" * 127, struct.pack("<III", DUMP, 5, 16 + 4 * 98304) + bytes(5000)):
        with Session() as s:
            s.a.create(5)
            s.f(5)
            s.a.raw(data)
            s.a.hang_up()
            eq(s.a.hello()[0], 0x10008, "QSB-010: the end after %d bytes of a message: guid comes again" % len(data))
            s.a.create(6)
            ok(until(lambda: list(s.x.ours()) == [6]), "QSB-010: with nothing of what was before")


def does_not_read():
    """An agent that takes nothing: motion is told of once, the rest is bounded."""
    with Session() as s:
        s.a.show(5, 400, 300)
        s.f(5)
        shown(s.x, 110, 110, 0x123456)
        for i in range(20000):
            s.x.pointer(110 + i % 300, 110 + i % 200)
            if i % 100 == 0:
                s.x.sync()
        eq(s.p.poll(), None, "20,000 movements that it does not read: the daemon stays")
        memory = int(re.search(r"VmRSS:\s+(\d+)", read("/proc/%d/status" % child_of(s.p.pid))).group(1))
        ok(memory < 16384, "in %d KiB" % memory)
        s.a.create(6, 10, 10)
        s.a.map(6)
        s.f(6)
        for i in range(60000):
            s.x.xtest(2 + i % 2, 38)
            if i % 500 == 0:
                s.x.focus(s.f(6) if i == 0 else s.x.ours().get(6, s.x.root))
                s.x.sync()
            if i % 500 == 0 and s.p.poll() is not None:
                break
        s.x.xtest(3, 38)
        eq(s.p.wait(LIMIT) if s.p.poll() is None else s.p.poll(), 1, "60,000 keys: its session ends")
        ok("does not read" in desk.said(), "and the log says why")


# --- 4: messages; what is clamped ---

def clamps():
    with Session() as s:
        a, x = s.a, s.x
        for i, (args, at) in enumerate((
            ((0, 0, 0, 0), (FRAME, FRAME, 1, 1)),
            ((0, 0, 0, 50), (FRAME, FRAME, 1, 50)),
            ((0, 0, 20000, 10), (FRAME, FRAME, 1272, 10)),
            ((0, 0, 10, 7000), (FRAME, FRAME, 10, 792)),
            ((0, 0, 0x7fffffff, 0x7fffffff), (FRAME, FRAME, 1272, 792)),
            ((-10, -10, 1300, 820), (FRAME, FRAME, 1272, 792)),
            ((1270, 790, 100, 100), (1176, 696, 100, 100)),
            ((2147483647, 0, 10, 10), (16384, 0, 10, 10)),
            ((-2147483648, 0, 10, 10), (-16384, 0, 10, 10)),
            ((0, 2147483647, 10, 10), (0, 6144, 10, 10)),
            ((0, -2147483648, 10, 10), (0, -6144, 10, 10)))):
            want = (at[0] - FRAME, at[1] - FRAME, at[2] + 2 * FRAME, at[3] + 2 * FRAME)
            a.create(20 + i, *args)
            s.settle()
            eq(x.geometry(s.f(20 + i)), want, "CREATE x=%d y=%d of %d x %d" % args)
            a.create(40 + i, 100, 100, 30, 30)
            a.configure(40 + i, *args[:2], *[v or 1 for v in args[2:]])
            s.settle()
            eq(x.geometry(s.f(40 + i)), want, "CONFIGURE to the same, within limits")
            told = [m for m in a.got if m[0] == CONFIGURE and m[1] in (20 + i, 40 + i)]
            a.got.clear()
            eq([struct.unpack("<iiII", m[2][:16]) for m in told], [at] * 2 * (abs(max(args[:2], key=abs)) < 9999 and at != args),
               "of which the agent hears")


def never_the_screen():
    """5.2: no border is beside the screen unless a person put it there; without a window manager, too."""
    with Session() as s:
        a, x = s.a, s.x
        a.create(5, -10, -10, 1300, 820)
        a.put(HINTS, 5, struct.pack("<9I", 1 | 4 | 16 | 256, 1300, 820, 0, 0, 0, 0, 1300, 820))
        a.map(5)
        f = s.f(5)
        ok(framed(x, (0, 0, 1280, 800), FRAME, RED, WHITE), "a window larger than the screen has its frame on it")
        h = x.prop(f, "WM_NORMAL_HINTS")
        eq((h[5:7], h[15:17]), ([1280, 800], [1280, 800]), "and does not have to be larger")
        a.show(6, 200, 100)
        f = s.f(6)
        x.configure(f, x=-50, y=-50)
        at = a.get(CONFIGURE, 6)
        a.put(CONFIGURE, 6, at)
        a.configure(6, -46, -46, 150, 90)
        s.settle()
        eq(x.place(f), (-50, -50, 158, 98), "what a person moved half out stays there in another size")
        a.configure(6, -46, -46, 1400, 900)
        s.settle()
        eq(x.place(f), (-50, -50, 1280, 800), "not larger than the screen")
        a.put(CONFIGURE, 6, [m for m in a.got if m[:2] == (CONFIGURE, 6)][-1][2])
        a.configure(6, -47, -46, 150, 90)
        s.settle()
        eq(x.place(f), (0, 0, 158, 98), "and in another place it is on the screen")
    with Session(conf="override_redirect_protection = false;") as s:
        s.a.create(5, 0, 0, 1280, 800, override=1)
        s.a.map(5, 0)
        ok(framed(s.x, (0, 0, 1280, 800), FRAME, RED, WHITE), "override-redirect no more")


def not_mapped_by_create():
    with Session() as s:
        s.a.create(5)
        f = s.f(5)
        eq(s.x.attributes(f), (0, 0), "CREATE does not map")
        s.a.map(5)
        ok(until(lambda: s.x.attributes(f)[0] == 2), "MAP does")
        eq([m for m in s.quiet() if m[0] == MAP], [], "and has no answer")
        s.a.put(UNMAP, 5)
        ok(until(lambda: s.x.attributes(f)[0] == 0), "UNMAP unmaps")
        s.a.map(5)
        ok(until(lambda: s.x.attributes(f)[0] == 2), "and again")
        s.a.put(DESTROY, 5)
        eq(s.a.get(DESTROY, 5), b"", "DESTROY has its answer")
        ok(until(lambda: 5 not in s.x.ours()), "and the window is gone")
        s.a.create(5)
        ok(s.f(5), "its id may be used again")


def invisible():
    with Session("-I") as s:
        s.a.create(5)
        s.a.map(5)
        s.settle()
        eq(s.x.attributes(s.f(5))[0], 0, "-I: MAP is ignored")


def window_zero():
    """2: the whole screen's window, from which those without an image are painted."""
    with Session() as s:
        s.a.create(0, 0, 0, 640, 480)
        p = s.a.image(640, 480, 0x010101)
        p.fill(0x00aa00, 300, 200, 100, 100)
        s.a.dump(0, p.refs, 640, 480)
        s.a.create(5, 300, 200, 100, 100)
        s.a.map(5)
        s.a.damage(5, 0, 0, 100, 100)
        ok(framed(s.x, (296, 196, 108, 108), FRAME, RED, 0x00aa00), "a window without an image shows its part of window 0")


def titles():
    rows = (
        (b"hello", b"hello", "plain"),
        (b"a\nb\x01\x7f\x80\xff", b"a_b____", "controls and bytes that are not ASCII"),
        (b"x" * 128, b"x" * 127, "128 bytes without NUL"),
        ("Grüße".encode(), b"Gr____e", "UTF-8 is not allowed"),
        ("end\u2026".encode(), b"end...", "an ellipsis at the end"),
        (b"", b"", "empty"))
    with Session() as s:
        s.a.create(5)
        f = s.f(5)
        for raw, want, what in rows:
            s.a.name(5, raw)
            s.settle()
            eq([s.x.prop(f, n) or b"" for n in ("WM_NAME", "_NET_WM_NAME", "WM_ICON_NAME", "_NET_WM_ICON_NAME")], [want] * 4,
               "title: " + what)
    with Session("-T") as s:
        s.a.create(5)
        f = s.f(5)
        s.a.name(5, b"hello")
        s.settle()
        eq(s.x.prop(f, "_NET_WM_NAME"), b"[work] hello", "-T: the qube's name before the title")
    with Session("-T", conf="allow_utf8_titles = true;") as s:
        s.a.create(5)
        f = s.f(5)
        for raw, want, what in (
            ("Grüße €😀".encode(), "Grüße €😀".encode(), "valid UTF-8"),
            (b"a\xc0\x80b\xed\xa0\x80c\xf5\x80\x80\x80d\xe2\x82", b"a__b___c____d__", "overlong, surrogate, too high, cut off"),
            ("a\u202eb\u2066c\u200fd\u0085e".encode(), b"a___b___c___d__e", "no turning of the direction, no controls"),
            (b"\x1b%G\xc3\xbc\x1b%@\x9b1m", b"_%G\xc3\xbc_%@_1m", "no escapes of COMPOUND_TEXT's, nor of terminals")):
            s.a.name(5, raw)
            s.settle()
            eq(s.x.prop(f, "_NET_WM_NAME"), b"[work] " + want, "UTF-8 titles: " + what)
        eq(s.x.prop_type(f, "_NET_WM_NAME"), "UTF8_STRING", "of type UTF8_STRING")


def properties():
    with Session("-p", "_X_TEXT=s:some text", "-p", "_X_NUM=c:1,2,0x10", "-p", "_X_ATOM=a:_FOO", label=3, name="my-qube") as s:
        x = s.x
        s.a.create(0x77)
        f = s.f(0x77)
        eq(x.prop(f, "_QUBES_LABEL"), b"\3", "_QUBES_LABEL")
        eq(x.prop(f, "_QUBES_LABEL_COLOR"), [RED], "_QUBES_LABEL_COLOR")
        eq(x.prop(f, "_QUBES_VMNAME"), b"my-qube", "_QUBES_VMNAME")
        eq(x.prop(f, "_QUBES_VMWINDOWID"), [0x77], "_QUBES_VMWINDOWID")
        eq(x.prop_type(f, "_QUBES_VMWINDOWID"), "WINDOW", "a WINDOW")
        eq(x.prop(f, "WM_CLASS"), b"my-qube\0my-qube\0", "WM_CLASS before WMCLASS")
        eq([x.atom_name(v) for v in x.prop(f, "WM_PROTOCOLS")], ["WM_DELETE_WINDOW", "_NET_WM_PING"], "WM_PROTOCOLS")
        eq(x.prop(f, "WM_NORMAL_HINTS")[0], 8, "WM_NORMAL_HINTS: PSize")
        eq(x.prop(f, "_NET_WM_PID"), [child_of(s.p.pid)], "_NET_WM_PID")
        ok(x.prop(f, "WM_CLIENT_MACHINE"), "WM_CLIENT_MACHINE")
        eq(x.prop(f, "_X_TEXT"), b"some text", "-p s:")
        eq(x.prop(f, "_X_NUM"), [1, 2, 16], "-p c:")
        eq([x.atom_name(v) for v in x.prop(f, "_X_ATOM")], ["_FOO"], "-p a:")
        s.a.put(WMCLASS, 0x77, b"Xter\nm".ljust(64, b"\0") + b"y" * 64)
        s.settle()
        eq(x.prop(f, "WM_CLASS"), b"my-qube:" + b"y" * 63 + b"\0my-qube:Xter_m\0", "WMCLASS: cleaned, with the qube's name")
        s.a.map(0x77)
        s.a.put(WMCLASS, 0x77, b"A".ljust(64, b"\0") + b"B".ljust(64, b"\0"))
        s.settle()
        eq(x.prop(f, "WM_CLASS"), b"my-qube:" + b"y" * 63 + b"\0my-qube:Xter_m\0", "WMCLASS of a mapped window is ignored")


def stubdomain():
    """QSB-105: who is shown for another qube has the same marks."""
    with Session("-t", "8", label=3) as s:
        x = s.x
        s.a.show(5, 60, 50)
        f = s.f(5)
        ok(framed(x, (96, 96, 68, 58), FRAME, RED, 0x123456), "QSB-105: -t: its frame")
        eq((x.prop(f, "_QUBES_LABEL"), x.prop(f, "_QUBES_VMNAME"), x.prop(f, "_QUBES_LABEL_COLOR")), (b"\3", b"work", [0xcc0000]),
           "QSB-105: and properties")


def hints():
    with Session() as s:
        s.a.create(5)
        f = s.f(5)
        b = 2 * FRAME

        def sent(flags, *v):
            s.a.put(HINTS, 5, struct.pack("<9I", flags, *v))
            s.settle()
            return s.x.prop(f, "WM_NORMAL_HINTS")

        h = sent(1 | 4 | 16 | 32 | 64 | 256, 10, 20, 300, 400, 7, 8, 3, 4)
        eq(h[0], 8 | 1 | 4 | 16 | 32 | 64 | 256, "all flags that count")
        eq((h[5:11], h[15:17]), ([10 + b, 20 + b, 300 + b, 400 + b, 7, 8], [3 + b, 4 + b]), "with our frame")
        eq(sent(2 | 8 | 128 | 512 | 0xfffff000, *[1] * 8)[0], 8, "flags that do not count")
        for flag, v, what in ((16, (16385, 1, 0, 0, 0, 0, 0, 0), "min too large"), (16, (1, 6145, 0, 0, 0, 0, 0, 0), "min too high"),
                              (32, (0, 0, 0, 10, 0, 0, 0, 0), "max 0"), (32, (0, 0, 16385, 10, 0, 0, 0, 0), "max too large"),
                              (64, (0, 0, 0, 0, 16384, 1, 0, 0), "inc too large"), (64, (0, 0, 0, 0, 0, 1, 0, 0), "inc 0"), (256, (0,) * 6 + (16385, 1), "base too large"),
                              (16, (0xffffffff, 1, 0, 0, 0, 0, 0, 0), "min -1")):
            eq(sent(flag, *v)[0], 8, "size hints: " + what)
        eq(sent(16 | 32, 100, 100, 50, 200, 0, 0, 0, 0)[0], 8 | 16, "size hints: max below min")
        h = sent(64, 0, 0, 0, 0, 10, 20, 0, 0)
        eq((h[0], h[15:17]), (8 | 64 | 256, [b, b]), "steps count from our frame on")


def transient():
    with Session() as s:
        x = s.x
        for i in (5, 6, 7):
            s.a.create(i)
        s.a.map(5)
        s.a.map(6, transient=5)
        s.a.map(7, transient=99)
        s.settle()
        eq(x.prop(s.f(6), "WM_TRANSIENT_FOR"), [s.f(5)], "for a window of its own")
        eq(x.prop(s.f(7), "WM_TRANSIENT_FOR"), None, "not for one that there is not")
        s.a.put(DESTROY, 5)
        s.settle()
        eq(x.prop(s.f(6), "WM_TRANSIENT_FOR"), None, "P6: not for one that has gone")
        s.a.put(UNMAP, 6)
        s.a.map(6, transient=6)
        s.settle()
        eq(x.prop(s.f(6), "WM_TRANSIENT_FOR"), None, "not for itself")
        s.a.create(8)
        s.a.create(9)
        s.a.map(8, transient=9)
        s.a.map(9, transient=8)
        s.settle()
        eq((x.prop(s.f(8), "WM_TRANSIENT_FOR"), x.prop(s.f(9), "WM_TRANSIENT_FOR")), ([s.f(9)], None), "not in a circle")
        for i in range(100, 160):  # two families, then three, of fifteen each, one of another
            s.a.create(i)
            s.a.map(i, transient=i - 1 if i % 15 != 10 else 0)
        for first in (115, 130, 145):
            s.a.put(UNMAP, first)
            s.a.map(first, transient=first - 1)
        s.settle()

        def depth(f):
            up = x.prop(f, "WM_TRANSIENT_FOR")
            return 1 + depth(up[0]) if up else 1

        ok(max(depth(f) for f in x.ours().values()) <= 16, "not without end, whichever is mapped last")
        s.a.put(UNMAP, 6)
        s.a.map(6, transient=x.root)
        s.settle()
        eq(x.prop(s.f(6), "WM_TRANSIENT_FOR"), None, "not for the root window")


def cursor():
    with Session() as s:
        s.a.create(5)
        for v in (0, 0x100, 0x101, 0x198, 0x199, 0x198):
            s.a.put(CURSOR, 5, struct.pack("<I", v))
        s.settle()
        eq(s.p.poll(), None, "cursors: none, first, odd, last")
        ok("X: error" not in desk.said(), "and X takes them all", desk.said()[-300:])


# --- 5.1: configure ---

def configure():
    with Session() as s:
        a, x = s.a, s.x
        a.show(5, 200, 100)
        f = s.f(5)
        framed(x, (96, 96, 208, 108), FRAME, RED, 0x123456)
        eq([m for m in s.quiet() if m[0] == CONFIGURE], [], "mapped where it wanted to be: nothing to say")
        x.configure(f, x=300, y=200, width=408, height=308)
        eq(a.get(CONFIGURE, 5, "<iiIII"), (304, 204, 400, 300, 0), "a resize by X is told, as the qube's own geometry")
        x.configure(f, x=310, y=210, width=418, height=318)
        x.sync()
        eq([m for m in s.quiet() if m[0] == CONFIGURE], [], "a second one waits for the answer to the first")
        a.configure(5, 304, 204, 400, 300)
        eq(a.get(CONFIGURE, 5, "<iiIII"), (314, 214, 410, 310, 0), "a stale answer gets the newest geometry")
        a.configure(5, 314, 214, 410, 310)
        eq([m for m in s.quiet() if m[0] == CONFIGURE], [], "the right one gets nothing")
        a.configure(5, 50, 60, 70, 80)
        ok(until(lambda: x.place(f) == (46, 56, 78, 88)), "then the agent may move it")
        eq(until(lambda: x.geometry(s.c(5)) == (4, 4, 70, 80)), True, "its content, too")
        eq([m for m in s.quiet() if m[0] == CONFIGURE], [], "which is not told back")
        a.configure(5, 50, 60, 70, 80)
        eq([m for m in s.quiet() if m[0] == CONFIGURE], [], "nor is the same once more")
        a.put(CONFIGURE, 5, struct.pack("<iiIII", 51, 60, 70, 80, 1))
        s.settle()
        eq(x.attributes(f)[1], 0, "QSB-072: override_redirect of CONFIGURE is ignored")


def shrink_to_nothing():
    """QSB-034, QSB-039, and F below its frame's size."""
    with Session() as s:
        a, x = s.a, s.x
        a.show(5, 200, 100)
        f = s.f(5)
        framed(x, (96, 96, 208, 108), FRAME, RED, 0x123456)
        for w, h in ((8, 100), (100, 8), (5, 5), (1, 1)):
            x.configure(f, width=w, height=h)
            ok(framed(x, (96, 96, w, h), min(w, h), RED), "F of %d x %d is all frame" % (w, h))
        x.configure(f, width=9, height=9)
        ok(framed(x, (96, 96, 9, 9), FRAME, RED, 0x123456), "F of 9 x 9 has one pixel of content")


def edges():
    """The border is whole also before guid has heard of a new size."""
    with Session() as s:
        a, x = s.a, s.x
        a.show(5, 200, 100)
        a.show(6, 200, 100, x=500, override=1)
        f, f6 = s.f(5), s.f(6)
        framed(x, (96, 96, 208, 108), FRAME, RED, 0x123456)
        framed(x, (500, 100, 200, 100), OR, RED, 0x123456)
        pid = child_of(s.p.pid)
        for w, h in ((150, 80), (60, 120), (300, 200), (20, 10), (208, 108), (9, 300)):
            os.kill(pid, signal.SIGSTOP)
            x.configure(f, width=w, height=h)
            x.sync()
            ok(border(x, (96, 96, w, h), FRAME), "F becomes %d x %d while guid stands still" % (w, h))
            os.kill(pid, signal.SIGCONT)
            ok(framed(x, (96, 96, w, h), FRAME, RED), "and after that")
        os.kill(pid, signal.SIGSTOP)
        x.configure(f6, width=50, height=40)
        x.sync()
        ok(border(x, (500, 100, 50, 40), OR), "override-redirect, by another client")
        os.kill(pid, signal.SIGCONT)
        ok(framed(x, (500, 100, 200, 100), OR, RED), "and after that")


def frame_without_image():
    """QSB-039: the frame does not wait for an image. QSB-034: nor for an update."""
    with Session() as s:
        s.a.create(5, 100, 100, 60, 50)
        s.a.map(5)
        ok(framed(s.x, (96, 96, 68, 58), FRAME, RED, WHITE), "QSB-039: no image: frame, and the background within")
        s.a.create(6, 300, 300, 60, 50, override=1)
        s.a.map(6, 1)
        ok(framed(s.x, (300, 300, 60, 50), OR, RED, WHITE), "QSB-039: override-redirect without an image")
        p = s.a.image(60, 50, 0x00ff00)
        s.a.create(7, 400, 400, 60, 50, override=1)
        s.a.dump(7, p.refs, 60, 50)
        s.a.map(7, 1)
        ok(framed(s.x, (400, 400, 60, 50), OR, RED, 0x00ff00), "QSB-034: override-redirect without any update")
        s.a.damage(7, 0, 0, 60, 50)
        s.settle()
        ok(framed(s.x, (400, 400, 60, 50), OR, RED, 0x00ff00), "and with one of all")
    with Session(color="0x73d216", label=4, conf='window_background_color = "0x112233";') as s:
        s.a.create(5, 100, 100, 60, 50)
        s.a.map(5)
        ok(framed(s.x, (96, 96, 68, 58), FRAME, 0x73d216, 0x112233), "another label, another background")
    with Session(color="blue") as s:
        s.a.create(5, 100, 100, 60, 50)
        s.a.map(5)
        ok(framed(s.x, (96, 96, 68, 58), FRAME, 0x0000ff, WHITE), "a colour by name")
    with Session(conf="frame_width = 0;") as s:
        s.a.show(5, 60, 50)
        ok(framed(s.x, (100, 100, 60, 50), 0, RED, 0x123456), "frame_width = 0: a window manager frames")
        s.a.create(6, 300, 300, 60, 50, override=1)
        s.a.map(6, 1)
        ok(framed(s.x, (300, 300, 60, 50), OR, RED, WHITE), "but what is override-redirect has its frame")


# --- 5.2: override-redirect ---

def override():
    with Session() as s:
        a, x = s.a, s.x
        a.show(5, 60, 50, override=1)
        f = s.f(5)
        eq(x.attributes(f)[1], 1, "override-redirect on X")
        ok(framed(x, (100, 100, 60, 50), OR, RED, 0x123456), "its border of 2 inside, its geometry the qube's")
        for i, (at, want, what) in enumerate((
            ((-20, 50, 100, 40), (0, 50, 100, 40), "left"), ((1250, 50, 100, 40), (1180, 50, 100, 40), "right"),
            ((50, -20, 100, 40), (50, 0, 100, 40), "top"), ((50, 790, 100, 40), (50, 760, 100, 40), "bottom"),
            ((-20, 50, 1500, 40), (0, 50, 1280, 40), "wide"), ((50, -10, 40, 1000), (50, 0, 40, 800), "high"),
            ((1279, 799, 100, 40), (1180, 760, 100, 40), "corner"))):
            a.create(20 + i, *at, override=1)
            a.map(20 + i, 1)
            s.settle()
            eq(x.place(s.f(20 + i)), want, "forced on the screen: " + what)
        for i, at in enumerate(((1280, 0, 10, 10), (-10, 0, 10, 10), (0, 800, 10, 10), (0, -10, 10, 10), (2000, 3000, 50, 50))):
            a.create(40 + i, *at, override=1)
            a.map(40 + i, 1)
            s.settle()
            eq(x.place(s.f(40 + i)), at, "wholly off the screen: left alone (P7)")
        a.create(60, 0, 0, 1280, 750, override=1)
        a.map(60, 1)
        s.settle()
        eq(x.attributes(s.f(60))[1], 0, "more than 90 % of the screen: not override-redirect")
        ok(x.place(s.f(60))[2:] == (1280, 758), "but with a frame of its own around")
        a.create(61, 0, 0, 1280, 720, override=1)
        a.map(61, 1)
        s.settle()
        eq(x.attributes(s.f(61))[1], 1, "90 % may be")


def override_changes():
    """QSB-026, QSB-072."""
    with Session() as s:
        a, x = s.a, s.x
        a.create(5, 100, 100, 60, 50, override=1)
        a.map(5, 0)
        f = s.f(5)
        ok(framed(x, (96, 96, 68, 58), FRAME, RED, WHITE), "QSB-026: MAP clears it: a normal window with a frame")
        eq(x.attributes(f)[1], 0, "QSB-026: on X, too")
        a.map(5, 1)
        s.settle()
        eq(x.attributes(f)[1], 0, "QSB-072: MAP of a mapped window does not set it")
        a.put(UNMAP, 5)
        a.map(5, 1)
        s.settle()
        eq(x.attributes(f)[1], 1, "but after UNMAP it does")
        ok(framed(x, (100, 100, 60, 50), OR, RED, WHITE), "with that border")
        a.map(5, 0)
        s.settle()
        eq(x.attributes(f)[1], 1, "QSB-072: MAP of a mapped window does not clear it")
        a.configure(5, 100, 100, 60, 50, 0)
        s.settle()
        eq(x.attributes(f)[1], 1, "QSB-072: nor CONFIGURE")
        a.configure(5, 0, 0, 1280, 800, 1)
        ok(until(lambda: x.attributes(f) == (2, 0)), "QSB-072: grown by CONFIGURE over 90 %: cleared, mapped")
        a.put(DOCK, 5)
        s.settle()
        eq(s.p.poll(), None, "QSB-072: DOCK of a mapped window is refused")
        ok("DOCK of a mapped window" in desk.said(), "with a line in the log")
        a.create(6, 100, 100, 24, 24, override=1)
        a.put(DOCK, 6)
        s.settle()
        eq(x.attributes(s.f(6))[1], 0, "QSB-072: DOCK clears it")
        a.create(7, 300, 300, 60, 50, parent=5)
        s.settle()
        eq(x.tree(s.f(7))[0], x.root, "QSB-072: a parent is ignored")
    with Session("--override-redirect", "disabled") as s:
        s.a.create(5, 100, 100, 60, 50, override=1)
        s.a.map(5, 1)
        s.settle()
        eq(s.x.attributes(s.f(5))[1], 0, "--override-redirect disabled")
    with Session(conf="override_redirect_protection = false;") as s:
        s.a.create(5, 0, 0, 1280, 800, override=1)
        s.a.map(5, 1)
        ok(framed(s.x, (0, 0, 1280, 800), OR, RED, WHITE), "without protection the whole screen, in a frame")


def moved_behind_our_back():
    """QSB-073."""
    with Session() as s:
        s.a.show(5, 60, 50, override=1)
        f = s.f(5)
        framed(s.x, (100, 100, 60, 50), OR, RED, 0x123456)
        for v in ({"x": -30}, {"y": 790}, {"width": 30}, {"x": 2000, "y": 2000}, {"height": 3, "width": 3}):
            s.x.configure(f, **v)
            s.x.sync()
            ok(until(lambda: s.x.place(f) == (100, 100, 60, 50)), "QSB-073: %r is undone" % v)
        ok(framed(s.x, (100, 100, 60, 50), OR, RED, 0x123456), "and the frame is whole")


def work_area():
    with Session() as s:
        s.x.set_prop(s.x.root, "_NET_CURRENT_DESKTOP", "CARDINAL", [1])
        s.x.set_prop(s.x.root, "_NET_WORKAREA", "CARDINAL", [0, 0, 1280, 800, 0, 30, 1280, 740])
        s.x.sync()

        def there():
            s.a.create(5, 50, 0, 100, 40, override=1)
            s.settle()
            at = s.x.place(s.f(5))
            s.a.put(DESTROY, 5)
            return at

        ok(until(lambda: there() == (50, 30, 100, 40)), "override-redirect windows stay in the current desktop's work area")
        for bad in ([0, 0, 0, 0] * 2, [5000, 0, 100, 100] * 2, [0, 0, 5000, 5000] * 2, [1], [0xffffffff] * 8):
            s.x.set_prop(s.x.root, "_NET_WORKAREA", "CARDINAL", bad)
            s.x.sync()
            ok(until(lambda: there() == (50, 0, 100, 40)), "a work area that is none: %r" % bad[:4])
        s.x.delete_prop(s.x.root, "_NET_WORKAREA")
        s.x.delete_prop(s.x.root, "_NET_CURRENT_DESKTOP")


def root_size():
    """The screen becomes smaller, and as large again."""
    def resize(width, height):
        code, text = sh("env", "DISPLAY=" + desk.server.display, "XAUTHORITY=/dev/null", LAYOUT, data=b"%d %d 0 0\n" % (width, height))
        assert code == 0, text
        assert until(lambda: desk.x.geometry(desk.x.root)[2:] == (width, height))

    with Session() as s:
        a, x = s.a, s.x
        a.show(5, 1200, 700, x=20, y=20)
        a.show(6, 60, 50, x=1150, y=700, override=1)
        a.show(7, 60, 50, x=40, y=40, override=1)
        f = {i: s.f(i) for i in (5, 6, 7)}
        s.settle()
        try:
            resize(1024, 600)
            eq(a.get(CONFIGURE, 5, "<iiIII")[2:4], (1016, 592), "a smaller screen: a window is not larger than it")
            ok(until(lambda: x.place(f[5])[2:] == (1024, 600)), "with its frame")
            eq(x.place(f[7]), (40, 40, 60, 50), "what is within stays")
            a.create(8, 1000, 580, 60, 50, override=1)
            a.map(8, 1)
            eq(x.place(s.f(8)), (964, 550, 60, 50), "a new one is within it")
            a.create(9, 0, 0, 1000, 590, override=1)
            eq(x.attributes(s.f(9))[1], 0, "90 percent are of the new size")
        finally:
            resize(1280, 800)
        s.settle()
        a.configure(7, 1200, 740, 60, 50)
        ok(until(lambda: x.place(f[7]) == (1200, 740, 60, 50)), "larger again: so is the room")


def lockers():
    """7: below screen lockers, and below prompts."""
    def stack(x):
        return x.tree()[1]

    for name in (b"xscreensaver", b"qrexec-ask"):
        with Session() as s:
            a, x = s.a, s.x
            a.show(5, 60, 50, override=1)
            f = s.f(5)
            lock = x.create(0, 0, 1280, 800, override=1, color=0x202020)
            x.set_text(lock, "WM_CLASS", name + b"\0" + name + b"\0")
            x.map(lock)
            x.sync()
            ok(until(lambda: x.pixel(120, 120) == 0x202020), "%s covers what is there" % name.decode())
            a.show(6, 60, 50, x=300, override=1)
            f6 = s.f(6)
            ok(until(lambda: stack(x).index(f6) < stack(x).index(lock)), "and a new one comes below it")
            eq(x.pixel(320, 120), 0x202020, "and does not show")
            x.destroy(lock)
            a.show(7, 60, 50, x=500, override=1)
            s.f(7)
            ok(framed(x, (500, 100, 60, 50), OR, RED, 0x123456), "once it has gone they show")
            other = x.create(0, 0, 1280, 800, override=1, color=0x303030)
            x.set_text(other, "WM_CLASS", b"work:" + name + b"\0x\0")
            x.map(other)
            x.sync()
            a.show(8, 60, 50, x=700, override=1)
            s.f(8)
            ok(framed(x, (700, 100, 60, 50), OR, RED, 0x123456), "a qube's window of that name is none")
            x.destroy(other)
            eq(bool(f), True, "")
    with Session("--screensaver-name", "my-lock") as s:
        lock = s.x.create(0, 0, 1280, 800, override=1, color=0x202020)
        s.x.set_text(lock, "WM_CLASS", b"my-lock\0x\0")
        s.x.map(lock)
        s.x.sync()
        s.a.show(5, 60, 50, override=1)
        f = s.f(5)
        ok(until(lambda: stack(s.x).index(f) < stack(s.x).index(lock)), "--screensaver-name")
        s.x.destroy(lock)


def above_all():
    """7: below all of several, at once; whatever a window manager does with them."""
    def prompt(s, at, name=b"qrexec-ask", parent=None):
        w = s.x.create(*at, override=1, parent=parent, color=0x202020)
        s.x.set_text(w, "WM_CLASS", name + b"\0x\0")
        return w

    def over(s, f, w):
        """It is over it, after all that guid does, which asks X first where they stand."""
        for _ in range(6):
            s.quiet()
        children = s.x.tree()[1]
        return children.index(f) > children.index(w)

    with Session() as s:
        a, x = s.a, s.x
        a.show(5, 60, 50, override=1)
        f = s.f(5)
        left, right = (prompt(s, at, b"xscreensaver") for at in ((0, 0, 640, 800), (640, 0, 640, 800)))
        for w in (left, right):
            x.map(w)
            x.sync()
            ok(not over(s, f, left), "a locker on one of two screens" if w == left else "and on the other: still below the first")
        eq(x.pixel(120, 120), 0x202020, "nothing of it shows")
        x.configure(left, stack=0)
        a.show(6, 60, 50, x=700, override=1)
        ok(not over(s, s.f(6), right), "a new one: below both, whichever is the lower")
        a.show(7, 60, 50, x=720, override=1)
        ok(not over(s, s.f(7), right) and over(s, s.f(7), s.f(6)), "and above the last one")
        x.unmap(left)
        x.unmap(right)
        x.sync()
        s.quiet()
        a.show(8, 60, 50, override=1)
        ok(over(s, s.f(8), right), "those that do not show do not count")
        x.map(left)
        ok(not over(s, s.f(8), left), "until they are mapped again")
    with Session() as s:
        other = s.x.create(0, 0, 100, 100, override=1)
        s.x.set_text(other, "_QUBES_VMNAME", b"xscreensaver")
        s.x.set_text(other, "WM_CLASS", b"xscreensaver\0xscreensaver\0")
        s.x.map(other)
        s.a.show(5, 60, 50, override=1)
        s.x.sync()
        ok(over(s, s.f(5), other), "a qube that is named like a locker is none")
    prompt(desk, (0, 0, 100, 100))
    framed_ = desk.x.create(0, 0, 400, 400, override=1)
    desk.x.map(framed_)
    early = prompt(desk, (0, 0, 300, 300), parent=framed_)
    desk.x.map(early)
    nest = nested = desk.x.create(0, 0, 400, 400, override=1)
    for _ in range(3):
        desk.x.map(nest)
        nest = desk.x.create(0, 0, 400, 400, parent=nest)
    desk.x.map(nest)
    desk.x.map(prompt(desk, (0, 0, 300, 300), parent=nest))
    desk.x.sync()
    with Session() as s:
        s.a.show(5, 200, 100, x=600)
        s.a.show(6, 60, 50, x=620, override=1)
        ok(not over(s, s.f(6), framed_), "one in a frame that was there before guid")
        desk.x.destroy(framed_)
        s.quiet()
        s.a.show(8, 60, 50, x=640, override=1)
        ok(not over(s, s.f(8), nested), "and one in frames within frames")
        desk.x.destroy(nested)
        s.quiet()
        s.a.show(7, 60, 50, x=620, override=1)
        ok(over(s, s.f(7), s.f(5)), "one that was never mapped does not keep a menu below its program")
    for deep in (False, True):
        with Session() as s:
            a, x = s.a, s.x
            frame = x.create(0, 0, 640, 800, override=1)
            wrapper = x.create(0, 0, 640, 800, parent=frame) if deep else frame
            w = prompt(s, (0, 0, 640, 800))
            x.reparent(w, wrapper)
            for i in {w, wrapper, frame}:
                x.map(i)
            x.sync()
            s.quiet()
            a.show(5, 60, 50, override=1)
            ok(not over(s, s.f(5), frame), "in a frame%s of a window manager's" % (" in a frame" if deep else ""))
            x.unmap(frame)
            x.sync()
            s.quiet()
            x.map(frame)
            x.sync()
            s.quiet()
            a.show(6, 60, 50, override=1)
            ok(not over(s, s.f(6), frame), "which was an icon for a while")
            x.reparent(w, x.root)
            x.unmap(frame)
            x.sync()
            s.quiet()
            a.show(7, 60, 50, override=1)
            ok(not over(s, s.f(7), w), "and then had gone")
    with Session() as s:
        all_ = [prompt(s, (0, 0, 640, 800)) for _ in range(9)]
        for w in all_:
            s.x.map(w)
        s.x.sync()
        s.quiet()
        for w in all_[:7] + all_[8:]:
            s.x.destroy(w)
        s.x.sync()
        s.a.show(5, 60, 50, override=1)
        ok(not over(s, s.f(5), all_[7]), "none of nine is forgotten")


# --- 5.3: events ---

def pointer():
    with Session() as s:
        a, x = s.a, s.x
        x.pointer(50, 50)
        x.sync()
        a.show(5, 200, 100)
        s.f(5)
        framed(x, (96, 96, 208, 108), FRAME, RED, 0x123456)
        x.pointer(110, 120)
        m = a.get(CROSSING, 5, "<IiiIIII")
        eq(m[:3], (7, 10, 20), "EnterNotify, in the qube's coordinates")
        eq([k for k, w, b in a.got if k == KEYMAP], [], "P12: entering does not tell which keys are down")
        x.pointer(130, 140)
        ok(until(lambda: a.get(MOTION, 5, "<iiII")[:2] == (30, 40)), "MOTION")
        x.xtest(4, 1)
        eq(a.get(BUTTON, 5, "<IiiII"), (4, 30, 40, 0, 1), "BUTTON press")
        x.xtest(5, 1)
        eq(a.get(BUTTON, 5, "<IiiII"), (5, 30, 40, 0x100, 1), "BUTTON release")
        x.pointer(98, 98)
        eq(a.get(CROSSING, 5, "<IiiIIII")[0], 8, "onto the frame: LeaveNotify")
        x.xtest(4, 1)
        x.xtest(5, 1)
        eq([m for m in s.quiet() if m[0] == BUTTON], [], "a click on the frame is not the qube's")
        a.show(6, 60, 50, x=400, override=1)
        s.f(6)
        framed(x, (400, 100, 60, 50), OR, RED, 0x123456)
        x.pointer(410, 120)
        eq(a.get(CROSSING, 6, "<IiiIIII")[:3], (7, 10, 20), "override-redirect: coordinates of the whole window")
        x.pointer(415, 125)
        ok(until(lambda: a.get(MOTION, 6, "<iiII")[:2] == (15, 25)), "of MOTION, too")
        x.xtest(4, 1)
        x.xtest(5, 1)
        eq(a.get(BUTTON, 6, "<IiiII")[:3], (4, 15, 25), "and of BUTTON")
        x.focus(s.f(6))
        x.xtest(2, 38)
        x.xtest(3, 38)
        eq(a.get(KEYPRESS, 6, "<IiiII")[:3], (2, 15, 25), "and of KEYPRESS")


def focus_and_keys():
    with Session() as s:
        a, x = s.a, s.x
        a.show(5, 200, 100)
        a.show(6, 200, 100, x=400)
        f, f6 = s.f(5), s.f(6)
        framed(x, (96, 96, 208, 108), FRAME, RED, 0x123456)
        framed(x, (396, 96, 208, 108), FRAME, RED, 0x123456)
        x.pointer(110, 120)
        x.focus(x.root)
        x.xtest(2, 38)
        s.quiet()
        a.got.clear()
        x.focus(f)
        keys = a.get(KEYMAP, 0)
        eq((keys[38 >> 3] >> (38 & 7) & 1, sum(bin(b).count("1") for b in keys)), (1, 1), "KEYMAP_NOTIFY with the key that is down")
        eq(a.get(FOCUS, 5, "<III")[:2], (9, 0), "then FOCUS in")
        x.xtest(3, 38)
        eq(a.get(KEYPRESS, 5, "<IiiII"), (3, 10, 20, 0, 38), "KEYPRESS: the release, with the pointer's place")
        x.xtest(2, 50)
        x.xtest(2, 54)
        a.get(KEYPRESS, 5)
        eq(a.get(KEYPRESS, 5, "<IiiII"), (2, 10, 20, 1, 54), "Shift-c is the qube's")
        x.xtest(3, 54)
        x.xtest(3, 50)
        s.quiet()
        a.got.clear()
        x.focus(f6)
        eq([(k, w) for k, w, b in s.quiet()], [(FOCUS, 5), (KEYMAP, 0), (FOCUS, 6)], "out of one, into the other")
        ok(until(lambda: x.prop(f, "_NET_WM_USER_TIME")), "_NET_WM_USER_TIME")
        x.ask(31, 0, struct.pack("<IIBBxx", x.root, 0, 1, 1))
        x.send(32, 0, struct.pack("<I", 0))
        x.sync()
        eq([m for m in s.quiet() if m[0] in (FOCUS, KEYMAP)], [], "grabbing the keyboard tells nothing")
        other = x.create(900, 600, 50, 50, override=1)
        x.map(other)
        x.focus(other)
        eq(a.get(FOCUS, 6, "<III")[:2], (10, 0), "FOCUS out")
        x.xtest(2, 38)
        x.xtest(3, 38)
        x.pointer(5, 5)
        eq([m for m in s.quiet() if m[0] in (KEYPRESS, KEYMAP)], [], "keys of another window are not told")
        x.destroy(other)


def close_and_ping():
    with Session() as s:
        s.a.show(5, 200, 100)
        f, x = s.f(5), s.x
        x.message(f, f, "WM_PROTOCOLS", [x.atom("WM_DELETE_WINDOW"), 0])
        eq(s.a.get(CLOSE, 5), b"", "WM_DELETE_WINDOW: CLOSE")
        x.select(x.root, 0x80000)
        x.message(f, f, "WM_PROTOCOLS", [x.atom("_NET_WM_PING"), 1234, f])
        e = x.event(33, lambda e: struct.unpack("<I", e[8:12])[0] == x.atom("WM_PROTOCOLS"))
        eq(struct.unpack("<3I", e[12:24]), (x.atom("_NET_WM_PING"), 1234, f), "_NET_WM_PING is answered")
        x.select(x.root, 0)


def flags():
    v, h, full, hidden, attention = ("_NET_WM_STATE_" + n for n in "MAXIMIZED_VERT MAXIMIZED_HORZ FULLSCREEN HIDDEN "
                                     "DEMANDS_ATTENTION".split())
    for allow in (False, True):
        with Session(conf="allow_fullscreen = %s;" % str(allow).lower()) as s:
            a, x = s.a, s.x
            a.create(5, 100, 100, 200, 100)
            f = s.f(5)
            a.flags(5, 1 | 2 | 0x80000000, 4)
            s.settle()
            eq([x.atom_name(n) for n in x.prop(f, "_NET_WM_STATE")], ([full] if allow else [v, h]) + [attention],
               "unmapped: into _NET_WM_STATE (allow_fullscreen %s)" % allow)
            a.map(5)
            s.settle()
            x.select(x.root, 0x80000 | 0x100000)
            for on, off, want in ((1, 0, (1, full if allow else v)), (0, 1, (0, full if allow else v)), (2, 0, (1, attention)),
                                  (0, 2, (0, attention))):
                a.flags(5, on, off)
                e = x.event(33, lambda e: struct.unpack("<I", e[8:12])[0] == x.atom("_NET_WM_STATE"))
                d = struct.unpack("<3I", e[12:24])
                eq((d[0], x.atom_name(d[1])), want, "mapped: asks the window manager: %r" % ((on, off),))
            a.flags(5, 4)
            e = x.event(33, lambda e: struct.unpack("<I", e[8:12])[0] == x.atom("WM_CHANGE_STATE"))
            eq(struct.unpack("<I", e[12:16])[0], 3, "minimize")
            x.select(x.root, 0)
            s.quiet()
            a.got.clear()
            for states, want in (([], (0, 3)), ([hidden], (4, 0)), ([], (0, 4)), ([v], None), ([v, h], None if allow else (1, 0)),
                                 ([full], (1, 0) if allow else None), ([full, attention], (2, 0)), ([], (0, 3))):
                x.set_prop(f, "_NET_WM_STATE", "ATOM", [x.atom(n) for n in states])
                if want:
                    eq(a.get(FLAGS, 5, "<II"), want, "_NET_WM_STATE %s: what has changed is told" % [n[14:] for n in states])
                else:
                    x.sync()
                    eq([m for m in s.quiet() if m[0] == FLAGS], [], "_NET_WM_STATE %s: nothing to tell" % [n[14:] for n in states])


def makes_full(s):
    """A window manager that knows full screen."""
    s.x.set_prop(s.x.root, "_NET_SUPPORTED", "ATOM", [s.x.atom("_NET_WM_STATE"), s.x.atom("_NET_WM_STATE_FULLSCREEN")])
    s.x.sync()
    s.quiet()


def full_screen_frame():
    for allow in (False, True):
        with Session(conf="allow_fullscreen = %s;" % str(allow).lower()) as s:
            a, x = s.a, s.x
            makes_full(s)
            p = a.show(5, 200, 100)
            f = s.f(5)
            framed(x, (96, 96, 208, 108), FRAME, RED, 0x123456)
            x.set_prop(f, "_NET_WM_STATE", "ATOM", [x.atom("_NET_WM_STATE_FULLSCREEN")])
            a.get(FLAGS, 5)
            x.configure(f, x=0, y=0, width=1280, height=800)
            x.sync()
            inset = 0 if allow else FRAME
            ok(until(lambda: x.geometry(s.c(5)) == (inset, inset, 1280 - 2 * inset, 800 - 2 * inset)),
               "full screen, allow_fullscreen %s: content inset by %d" % (allow, inset))
            if not allow:
                ok(framed(x, (0, 0, 1280, 800), FRAME, RED), "the frame stays")
            eq(bool(p), True, "")


def edges_managed():
    """5.1: the border's right and lower parts, with a window manager that decides when F gets its size."""
    def sized(s, f, w, h):
        """The manager's answer to the request, and what is on the way."""
        s.x.event(23, lambda e: struct.unpack("<I", e[8:12])[0] == f)
        s.quiet()
        s.x.configure(f, x=96, y=96, width=w, height=h)
        s.x.sync()
        s.quiet()

    def whole(s, f, w, h, what):
        ok(framed(s.x, (96, 96, w, h), FRAME, RED, WHITE), what)
        pid = child_of(s.p.pid)
        os.kill(pid, signal.SIGSTOP)
        s.x.configure(f, width=w - 30, height=h - 30)
        s.x.sync()
        ok(border(s.x, (96, 96, w - 30, h - 30), FRAME), "also smaller, before guid has heard of it")
        os.kill(pid, signal.SIGCONT)

    for first, then in ((100, 200), (200, 100)):
        with Session() as s:
            a, x = s.a, s.x
            a.create(5, 100, 100, first, first)
            f = s.f(5)
            x.select(x.root, 0x80000 | 0x100000)
            a.configure(5, 100, 100, then, then)
            sized(s, f, then + 8, then + 8)
            a.map(5)
            x.event(20)
            x.map(f)
            whole(s, f, then + 8, then + 8, "of %d, not mapped, then of %d" % (first, then))
    with Session() as s:
        a, x = s.a, s.x
        a.create(5, 100, 100, 200, 200, override=1)
        a.map(5, 1)
        f = s.f(5)
        framed(x, (100, 100, 200, 200), OR, RED, WHITE)
        x.select(x.root, 0x80000 | 0x100000)
        a.configure(5, 100, 100, 1280, 800)
        sized(s, f, 508, 408)
        x.event(20)
        x.map(f)
        whole(s, f, 508, 408, "override-redirect no more")


def full_no_more():
    """5.2, 9: what is not full screen has its frame, whatever it was."""
    with Session(conf="allow_fullscreen = true;") as s:
        a, x = s.a, s.x
        makes_full(s)
        a.show(5, 200, 100)
        f = s.f(5)
        framed(x, (96, 96, 208, 108), FRAME, RED, 0x123456)
        x.set_prop(f, "_NET_WM_STATE", "ATOM", [x.atom("_NET_WM_STATE_FULLSCREEN")])
        a.get(FLAGS, 5)
        x.configure(f, x=0, y=0, width=1280, height=800)
        ok(until(lambda: x.geometry(s.c(5)) == (0, 0, 1280, 800)), "full screen")
        a.put(UNMAP, 5)
        s.settle()
        x.set_prop(f, "_NET_WM_STATE", "ATOM", [])
        x.sync()
        s.quiet()
        a.map(5)
        ok(until(lambda: x.attributes(f)[0] == 2), "mapped again")
        s.quiet()
        x.configure(f, x=50, y=50, width=208, height=108)
        ok(framed(x, (50, 50, 208, 108), FRAME, RED, WHITE), "unmapped, and mapped again: with its frame")
        x.delete_prop(x.root, "_NET_SUPPORTED")
        x.sync()
        s.quiet()
        s.a.raw(msg(CREATE, 6, struct.pack("<iiIIII", 600, 100, 200, 100, 0, 0)) + msg(FLAGS, 6, struct.pack("<II", 1, 0)) +
                msg(MAP, 6, bytes(8)))
        s.f(6)
        s.quiet()
        ok(framed(x, (596, 96, 208, 108), FRAME, RED, WHITE), "what only asked for it has its frame")


# --- 6: pixels ---

def pixels():
    with Session() as s:
        a, x = s.a, s.x
        p = a.show(5, 200, 100, 0x112233)
        eq(a.get(DUMP_ACK, 5), b"", "WINDOW_DUMP_ACK")
        framed(x, (96, 96, 208, 108), FRAME, RED, 0x112233)
        s.settle()
        p.fill(0xabcdef, 10, 20, 30, 40)
        s.settle()
        eq(x.pixel(115, 125), 0x112233, "what was not said to have changed stays")
        a.damage(5, 10, 20, 30, 40)
        ok(shown(x, 110, 120, 0xabcdef) and x.pixel(139, 159) == 0xabcdef, "SHMIMAGE paints")
        eq((x.pixel(109, 120), x.pixel(140, 159), x.pixel(110, 119), x.pixel(139, 160)), (0x112233,) * 4, "just that")
        p.fill(0x00ff00)
        for r in ((-1, 0, 50, 50), (0, -1, 50, 50), (0, 0, -1, 50), (0, 0, 50, -1), (200, 0, 10, 10), (0, 100, 10, 10),
                  (2147483647, 2147483647, 2147483647, 2147483647), (5, 5, 0, 0)):
            a.damage(5, *r)
        s.settle()
        eq(x.pixel(101, 101), 0x112233, "negative fields and rectangles beside the window: ignored")
        a.damage(5, 150, 50, 0x7fffffff, 0x7fffffff)
        ok(shown(x, 299, 199, 0x00ff00), "a big one is clipped")
        ok(border(x, (96, 96, 208, 108), FRAME), "QSB-001: and nothing is painted outside")
        a.damage(5, 0, 0, 16384, 6144)
        ok(framed(x, (96, 96, 208, 108), FRAME, RED, 0x00ff00), "of all")
        cover = x.create(0, 0, 1280, 800, override=1, color=0x404040)
        x.map(cover)
        shown(x, 150, 150, 0x404040)
        x.destroy(cover)
        ok(framed(x, (96, 96, 208, 108), FRAME, RED, 0x00ff00), "Expose paints")
        a.put(UNMAP, 5)
        a.map(5)
        ok(framed(x, (96, 96, 208, 108), FRAME, RED, WHITE), "UNMAP drops the image")
        a.dump(5, p.refs, 200, 100)
        a.damage(5)
        ok(framed(x, (96, 96, 208, 108), FRAME, RED, 0x00ff00), "the next WINDOW_DUMP shows it")


def smaller_image():
    with Session() as s:
        a, x = s.a, s.x
        a.create(5, 100, 100, 200, 100)
        p = a.image(50, 40, 0x00ff00)
        a.dump(5, p.refs, 50, 40)
        a.map(5)
        a.damage(5)
        ok(shown(x, 149, 139, 0x00ff00) and x.pixel(150, 120) == WHITE and x.pixel(120, 140) == WHITE,
           "an image smaller than its window shows where it is")
        big = a.image(300, 300, 0x0000ff)
        a.dump(5, big.refs, 300, 300)
        a.damage(5, 0, 0, 300, 300)
        ok(framed(x, (96, 96, 208, 108), FRAME, RED, 0x0000ff), "a larger one is cut by the frame")
        a.dump(5, big.refs, 100, 300)
        a.damage(5, 0, 0, 300, 300)
        eq(until(lambda: x.pixel(210, 150) == 0x0000ff), True, "the same references, another size")


def rows_differ():
    """Each pixel where it belongs: stride, both ways of copying, and more than one filling."""
    with Session() as s:
        a, x = s.a, s.x
        a.create(5, 10, 10, 1000, 700)
        p = a.image(1000, 700, 0)
        for y in range(700):
            p.fill(0x010000 * (y % 251) + y % 199, 0, y, 500, 1)
            p.fill(0x000100 * (y % 241) + y % 191, 500, y, 500, 1)
        a.dump(5, p.refs, 1000, 700)
        a.map(5)
        a.damage(5, 0, 0, 1000, 700)

        def right():
            got = x.pixels(10, 10, 1000, 700)
            return all(got[y][0] == got[y][499] == 0x010000 * (y % 251) + y % 199 and
                       got[y][500] == got[y][999] == 0x000100 * (y % 241) + y % 191 for y in range(700))

        ok(until(right), "2.8 MB, each row right")
        p.fill(0xffffff)
        a.damage(5, 3, 5, 700, 600)
        ok(until(lambda: x.pixel(13, 15) == 0xffffff and x.pixel(712, 614) == 0xffffff), "a part of it")
        eq((x.pixel(12, 15) == 0xffffff, x.pixel(713, 15) == 0xffffff, x.pixel(13, 14) == 0xffffff,
            x.pixel(13, 615) == 0xffffff), (False,) * 4, "and no more")
        for i in range(300):
            p.fill(i + 1, 0, 0, 1000, 4)
            a.damage(5, 0, 0, 1000, 700)
        ok(shown(x, 10, 10, 300), "300 of all, as fast as they come: the last is shown")


def references():
    with Session() as s:
        a, x = s.a, s.x
        a.create(5, 100, 100, 64, 64)
        a.map(5)
        for what, refs in (("that do not exist", [9001, 9002, 9003, 9004]), ("0", [0] * 4), ("-1", [0xffffffff] * 4)):
            a.dump(5, refs, 64, 64)
            eq(a.get(DUMP_ACK, 5), b"", "references %s: acknowledged all the same" % what)
            a.damage(5, 0, 0, 64, 64)
            ok(framed(x, (96, 96, 72, 72), FRAME, RED, WHITE), "and no image")
        p = a.image(64, 64, 0x00ff00)
        a.dump(5, p.refs[:2] + [p.refs[3], p.refs[2]], 64, 64)
        a.get(DUMP_ACK, 5)
        a.damage(5, 0, 0, 64, 64)
        s.settle()
        ok(framed(x, (96, 96, 72, 72), FRAME, RED, WHITE), "by hand: not consecutive: no image")
        p2 = a.image(64, 64, 0x0000ff)
        a.dump(5, list(range(p2.first, p2.first + 5)), 64, 64)
        a.get(DUMP_ACK, 5)
        a.damage(5, 0, 0, 64, 64)
        s.settle()
        ok(framed(x, (96, 96, 72, 72), FRAME, RED, WHITE), "a file that is too short: no image")
        os.symlink(p.path, os.path.join(a.pages, "7777"))
        a.dump(5, [7777 + i for i in range(4)], 64, 64)
        a.get(DUMP_ACK, 5)
        a.damage(5, 0, 0, 64, 64)
        s.settle()
        ok(framed(x, (96, 96, 72, 72), FRAME, RED, WHITE), "a link: no image")
        os.mkfifo(os.path.join(a.pages, "8888"))
        a.dump(5, [8888 + i for i in range(4)], 64, 64)
        a.get(DUMP_ACK, 5)
        a.damage(5, 0, 0, 64, 64)
        s.settle()
        ok(framed(x, (96, 96, 72, 72), FRAME, RED, WHITE), "a fifo: no image")
        a.dump(5, p.refs, 64, 64)
        a.damage(5, 0, 0, 64, 64)
        ok(framed(x, (96, 96, 72, 72), FRAME, RED, 0x00ff00), "a good one after them")
        a.dump(5, [], 0, 0)
        a.get(DUMP_ACK, 5)
        a.damage(5, 0, 0, 64, 64)
        s.settle()
        eq(s.p.poll(), None, "0 x 0 of no references: no image")


def buffers_are_reused():
    with Session() as s:
        a = s.a
        p = a.show(5, 64, 64)
        a.get(DUMP_ACK, 5)
        os.rename(p.path, p.path + ".away")
        a.dump(5, p.refs, 64, 64)
        a.get(DUMP_ACK, 5)
        p.fill(0x00ff00)
        a.damage(5, 0, 0, 64, 64)
        ok(framed(s.x, (96, 96, 72, 72), FRAME, RED, 0x00ff00), "the same references: the mapping is kept")
        maps = read("/proc/%d/maps" % child_of(s.p.pid))
        eq(maps.count(".away"), 1, "once")
        a.put(UNMAP, 5)
        s.settle()
        ok(until(lambda: ".away" not in read("/proc/%d/maps" % child_of(s.p.pid))), "UNMAP gives it back")


def quota():
    with Session() as s:
        a = s.a
        n = 4 * 1280 * 800 * 4 // 4096
        a.create(5, 100, 100, 64, 64)
        big = a.image(4096, n // 4, 0x00ff00)
        a.dump(5, big.refs, 64, 64)
        a.get(DUMP_ACK, 5)
        a.create(6, 300, 100, 64, 64)
        a.map(6)
        p = a.image(64, 64, 0x00ff00)
        a.dump(6, p.refs, 64, 64)
        a.get(DUMP_ACK, 6)
        a.damage(6, 0, 0, 64, 64)
        ok(framed(s.x, (296, 96, 72, 72), FRAME, RED, WHITE), "over four screens of pages: no image")
        ok("quota" in desk.said(), "and a line in the log")
        a.put(DESTROY, 5)
        a.dump(6, p.refs, 64, 64)
        a.damage(6, 0, 0, 64, 64)
        ok(framed(s.x, (296, 96, 72, 72), FRAME, RED, 0x00ff00), "after the other has gone it fits")


def truncated():
    """A file that shrinks while it is shown costs its window the picture, and nothing else."""
    with Session() as s:
        for left, n in ((0, 5), (4096, 6), (5000, 7)):
            p = s.a.show(n, 200, 100, 0x123456)
            s.x.configure(desk.f(n), stack=0)
            framed(s.x, (96, 96, 208, 108), FRAME, RED, 0x123456)
            os.truncate(p.path, left)
            s.a.damage(n)
            ok(until(lambda: s.x.pixel(250, 190) == 0), "%d bytes left of its pages: zeroes for the others" % left)
            eq(s.x.pixel(101, 100), 0x123456 if left else 0, "what is left is shown")
            ok(border(s.x, (96, 96, 208, 108), FRAME, RED), "in its frame")
        os.truncate(p.path, 200 * 100 * 4)
        s.a.damage(7)
        s.settle()
        eq(s.x.pixel(250, 190), 0, "once gone they do not come again")
        p = s.a.image(200, 100, 0x00ff00)
        s.a.dump(7, p.refs, 200, 100)
        s.a.damage(7)
        ok(framed(s.x, (96, 96, 208, 108), FRAME, RED, 0x00ff00), "other pages do")
        ok(s.p.poll() is None and "its pages have gone" in desk.said(), "guid goes on, with a line")


def until_it_waits(s, messages, most=1 << 30):
    """Sends them again and again until guid takes nothing more, and waits: in its own poll, which has all that it waits for;
    xcb's would have X alone. How many bytes it took, fewer than most, and whether it waits."""
    sent, full, pid = 0, 0, child_of(s.p.pid)

    def waits():
        nonlocal sent, full
        try:
            full += 1
            while sent < most:
                sent, full = sent + s.a.s.send(messages[sent % len(messages):]), 0
            return True
        except BlockingIOError:
            call = read("/proc/%d/syscall" % pid).split()
            return full > 9 and call[0] == "7" and int(call[2], 16) > 1

    s.a.s.setblocking(False)
    try:
        good = until(waits)
        return sent, good and sent < most
    finally:
        s.a.s.setblocking(True)


def slow_x():
    """An X server that stands still: the agent is not read, memory stays; then all goes on."""
    with Session() as s:
        a, x = s.a, s.x
        p = a.show(5, 200, 100)
        framed(x, (96, 96, 208, 108), FRAME, RED, 0x123456)
        a.show(6, x=600, override=1)  # no window manager hears of it
        names = b"".join(msg(WMNAME, 6, (b"%d" % i).ljust(128, b"\0")) for i in range(1000))
        pid = child_of(s.p.pid)
        os.kill(desk.server.p.pid, signal.SIGSTOP)
        try:
            sent, waits = until_it_waits(s, names)
            ok(waits, "X stands still, and guid waits in its loop, not for X", read("/proc/%d/syscall" % pid))
            memory = int(re.search(r"VmRSS:\s+(\d+)", read("/proc/%d/status" % pid)).group(1))
            ok(memory < 16384, "X does not take more: %d KiB sent by the agent, guid of %d KiB" % (sent // 1024, memory))
        finally:
            os.kill(desk.server.p.pid, signal.SIGCONT)
        a.raw(names[sent % len(names):])
        p.fill(0x00ff00)
        a.name(5, b"at last")
        a.damage(5)
        ok(framed(x, (96, 96, 208, 108), FRAME, RED, 0x00ff00), "and then everything")
        ok(until(lambda: x.prop(s.f(5), "WM_NAME") == b"at last"), "in its order")


# --- floods ---

def not_read(between, s, messages):
    """A flood; X acts on all at once, and guid reads nothing of what X tells of it: how many bytes that becomes."""
    s.settle()
    s.a.s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)  # what waits there is to be done, too
    between.hold(True)
    sent, waits = until_it_waits(s, messages, 2 << 20)
    ok(waits, "X says much: the agent is not read for ever")
    s.x.sync()
    most = between.most
    between.hold(False)
    s.a.raw(messages[sent % len(messages):])
    return most


def names_without_end():
    between = Between(desk.server)
    with Session(display=between.display) as s:
        s.a.show(5, override=1)
        n = not_read(between, s, msg(WMNAME, 5, b"".ljust(128, b"\0")) * 1000)
        ok(0 < n < 131072, "titles without end: %d bytes not read" % n)
        s.a.name(5, b"at last")
        ok(until(lambda: s.x.prop(s.f(5), "WM_NAME") == b"at last"), "and all goes on")
    between.close()


def heard_without_end():
    """A window manager that reads slowly must not be told more than it can keep: nobody would stop X from keeping it."""
    with Session() as s:
        s.a.show(5)
        s.a.show(6, override=1, x=500)
        f, names = s.f(5), b"".join(msg(WMNAME, 5, (b"n%d" % i).ljust(128, b"\0")) for i in range(20000))
        title = lambda: int((s.x.prop(f, "WM_NAME") or b"n0")[1:] or 0)
        began = time.monotonic()

        def say():
            with contextlib.suppress(OSError):  # it is over before all is said
                s.a.raw(names)
        threading.Thread(target=say, daemon=True).start()
        ok(until(lambda: title() > 1500), "20,000 titles: 2,000 at once", title())
        first, at = title(), time.monotonic()
        ok(until(lambda: title() > first + 500, 30), "then they go on")
        took = time.monotonic() - at
        n = title()
        ok(n < 2500 + 700 * (time.monotonic() - began), "at no more than 500 a second", (n, took))


def exposed_without_end():
    """One message, and each window that was below it is to be painted."""
    between = Between(desk.server)
    with Session(display=between.display) as s:
        a = s.a
        for i in range(200):
            a.create(i + 10, 200 + 16 * (i % 20), 100 + 16 * (i // 20), 8, 8, 1)
            a.map(i + 10, 1)
        a.create(5, 190, 90, 340, 340, 1)
        a.map(5, 1)
        moves = b"".join(msg(CONFIGURE, 5, struct.pack("<iiIII", at, 90, 340, 340, 1)) for at in (700, 190)) * 100
        n = not_read(between, s, moves)
        ok(0 < n < 262144, "moves over 200 windows: %d bytes not read" % n)
        a.configure(5, 600, 100, 100, 100, 1)
        ok(until(lambda: s.x.place(s.f(5)) == (600, 100, 100, 100)), "and all goes on")
    between.close()


def many_windows():
    s = Session()
    a = s.a
    try:
        for i in range(100):
            a.raw(b"".join(msg(CREATE, 1000 * i + j + 1, struct.pack("<iiIIII", 0, 0, 10, 10, 0, 0)) for j in range(1000)))
    except (BrokenPipeError, ConnectionResetError):
        pass
    eq(s.p.wait(6 * LIMIT), 1, "100,000 windows: the session ends")
    ok("limit 10000" in desk.said(), "at the limit of 10,000")
    s.__exit__()
    s.x.sync()
    with Session() as s:
        ok(s.a.show(5), "and the next is served")


def thousand_windows():
    with Session() as s:
        a = s.a
        for i in range(1000):
            a.create(i + 1, 10 + i % 100, 10 + i // 100, 50, 50)
        p = a.image(50, 50, 0x00ff00)
        a.dump(7, p.refs, 50, 50)
        a.map(7)
        a.damage(7, 0, 0, 50, 50)
        s.settle()
        eq(s.p.poll(), None, "1,000 windows")

        def cost(n):
            pid = child_of(s.p.pid)
            a.round()
            before = sum(map(int, read("/proc/%d/stat" % pid).rsplit(")", 1)[1].split()[11:13]))
            for _ in range(100):
                a.raw(b"".join(msg(SHMIMAGE, 1 + (j * 7) % n, struct.pack("<iiII", 0, 0, 1, 1)) for j in range(1000)))
                a.round()
            return sum(map(int, read("/proc/%d/stat" % pid).rsplit(")", 1)[1].split()[11:13])) - before

        few_, all_ = cost(10), cost(1000)
        ok(all_ <= 2 * few_ + 10, "100,000 updates: %d ticks among 10 windows, %d among 1,000" % (few_, all_))


def clipboard_not_asked_for():
    """P1: what nobody asked for goes nowhere; QSB-013."""
    def files():
        return sorted(os.path.join(d, n) for top in ("/run/qubes", desk.dir) for d, _, names in os.walk(top) for n in names if "clip" in n)

    before = files()
    with Session() as s:
        s.a.put(CLIPBOARD_DATA, 0, b"x" * 256000)
        s.a.put(CLIPBOARD_DATA, 12345, b"")
        s.a.put(CLIPBOARD_DATA, 0, b"short")
        s.a.round()
        eq(s.p.poll(), None, "CLIPBOARD_DATA without a request, of any window: dropped")
        eq(files(), before, "QSB-011: no file has what came, nor a rest of what was longer")
    with Session(minor=1) as s:
        s.a.raw(struct.pack("<III", CLIPBOARD_DATA, 5, 0) + b"12345")
        s.a.create(5)
        ok(s.f(5), "1.1: its length is in window")


# --- errors of X ---

def x_errors():
    with Session() as s:
        a, x = s.a, s.x
        for i in (5, 6, 7):
            a.show(i, 60, 50, x=100 * i)
        s.settle()
        x.destroy(s.f(5))
        x.destroy(s.c(6))
        x.sync()
        for i in (5, 6):
            a.name(i, b"x")
            a.damage(i)
            a.configure(i, 10, 10, 70, 70)
            a.put(UNMAP, i)
            a.map(i)
            a.flags(i, 2)
            a.put(CURSOR, i, struct.pack("<I", 0))
            p = a.image(60, 50)
            a.dump(i, p.refs, 60, 50)
            a.get(DUMP_ACK, i)
        s.settle()
        ok(until(lambda: 6 not in x.ours()), "a window whose content was destroyed is lost")
        eq(s.p.poll(), None, "P5: windows that others destroyed are lost, guid is not")
        ok(framed(x, (696, 96, 68, 58), FRAME, RED, 0x123456), "the third is as it was")
        for i in (5, 6):
            a.put(DESTROY, i)
            eq(a.get(DESTROY, i), b"", "DESTROY of a lost one has its answer")
            a.show(i, 60, 50, x=100 * i, color=0x00ff00)
            ok(framed(x, (100 * i - 4, 96, 68, 58), FRAME, RED, 0x00ff00), "and its id can be used again")


def x_gone():
    d = Desk(GUID)
    a = d.agent()
    p = d.start()
    a.hello()
    a.show(5)
    d.f(5)
    d.server.p.kill()
    try:
        eq(p.wait(LIMIT), 1, "the X server goes: exit 1")
    finally:
        d.x.s.close()
        d.close()


# --- by hand: processes ---

def again():
    """1: when the agent has gone it is waited for."""
    s = Session()
    s.a.show(5)
    s.f(5)
    s.a.close()
    ok(until(lambda: not s.x.ours()), "the agent goes: its windows, too")
    eq(s.p.poll(), None, "guid waits")
    s.a = desk.agent()
    s.a.hello()
    s.a.show(6)
    ok(s.f(6), "and serves it when it is there again")
    os.kill(child_of(s.p.pid), signal.SIGKILL)
    ok(s.p.wait(LIMIT) != 0, "killed: it ends")
    s.__exit__()


def background():
    a = desk.agent()
    p = desk.start(foreground=False)
    eq(p.poll(), None, "waits for the agent")
    a.hello()
    eq(p.wait(LIMIT), 0, "in the background once the agent is there")
    a.show(5)
    ok(desk.f(5), "and works")
    pid = desk.x.prop(desk.f(5), "_NET_WM_PID")[0]
    stat = lambda: read("/proc/%d/stat" % pid).rsplit(")", 1)[-1].split()
    os.kill(int(stat()[1]), signal.SIGTERM)
    ok(until(lambda: stat()[:1] in ([], ["Z"], ["X"])), "SIGTERM ends it")
    a.close()
    until(lambda: not desk.x.ours())


def usage():
    for argv in (["-N", "work"], ["-d", "7"], ["-d", "0", "-N", "work"], ["-d", "32752", "-N", "work"], ["-d", "x", "-N", "work"],
                 ["-d", "7", "-N", "../x"], ["-d", "7", "-N", "work", "more"], ["-d", "7", "-N", "work", "--"],
                 ["-d", "7", "-N", "work", "--nonsense"], ["-d", "7", "-N", "work", "--trayicon-mode", "x"],
                 ["-d", "7", "-N", "work", "--override-redirect", "maybe"], ["-d", "7", "-N", "work", "--max-clipboard-size", "255"],
                 ["-d", "7", "-N", "work", "-p", "x"]):
        eq(sh(GUID, *argv)[0], 100, "usage: " + " ".join(argv))
    code, text = sh(GUID, "--help")
    ok(code == 0 and text.startswith("usage:"), "--help")
    eq(sh(GUID, "--version")[0], 0, "--version")


def sandboxed():
    with Session() as s:
        s.a.show(5)
        s.f(5)
        status = read("/proc/%d/status" % child_of(s.p.pid))
        eq(re.search(r"Seccomp:\s+(\d)", status).group(1), "2", "a system-call filter")
        eq(re.search(r"NoNewPrivs:\s+(\d)", status).group(1), "1", "no new privileges")
        eq(re.search(r"CapEff:\s+(\w+)", status).group(1).strip("0"), "", "no capabilities")


# --- tray ---

def tray():
    for mode, want in (("tint", 0), ("border1", 1), ("border2", 2), ("tint+border1", 1)):
        with Session("--trayicon-mode", mode) as s:
            a, x = s.a, s.x
            a.create(5, 0, 0, 24, 24)
            p = a.image(24, 24, 0xffffff)
            p.fill(0x0000ff, 0, 0, 12, 24)
            a.dump(5, p.refs, 24, 24)
            a.put(DOCK, 5)
            s.settle()
            f = s.f(5)
            eq(x.prop(f, "_XEMBED_INFO"), [0, 1], mode + ": _XEMBED_INFO")
            owner = x.create(500, 500, 40, 40, override=1, color=0x404040, select=0x80000)
            x.map(owner)
            x.own("_NET_SYSTEM_TRAY_S0", owner)
            x.message(x.root, x.root, "MANAGER", [0, x.atom("_NET_SYSTEM_TRAY_S0"), owner], 0x20000)
            e = x.event(33, lambda e: struct.unpack("<I", e[8:12])[0] == x.atom("_NET_SYSTEM_TRAY_OPCODE"))
            eq(struct.unpack("<3I", e[12:24])[1:], (0, f), mode + ": asks a tray that comes later")
            x.reparent(f, owner, 4, 4)
            x.message(f, f, "_XEMBED", [0, 0, 0, owner])
            eq(a.get(CONFIGURE, 5)[8:16], struct.pack("<II", 24, 24), "CONFIGURE")
            a.get(MAP, 5)
            ok(True, "MAP when it shows")
            a.damage(5, 0, 0, 24, 24)
            ok(until(lambda: x.geometry(s.c(5)) == (want, want, 24 - 2 * want, 24 - 2 * want)), "its border is of %d" % want)
            dark, light = (0xfe0000, 0xffffff) if "tint" in mode else (0x0000ff, 0xffffff)
            got = until(lambda: x.pixel(504 + 20, 504 + 12) == light and x.pixel(504 + 6, 504 + 12))
            if "tint" in mode:
                r, g, b = got >> 16, got >> 8 & 255, got & 255
                ok(r > 200 and g < 10 and b < 10, "blue becomes the label's colour (%06x)" % got)
            else:
                eq(got, dark, "its own colour")
            ok(want == 0 or border(x, (504, 504, 24, 24), want), "its border is whole")
            a.configure(5, 3, 3, 500, 500)
            eq(a.get(CONFIGURE, 5)[8:16], struct.pack("<II", 24, 24), "its size is the tray's business")
            a.damage(5, 0, 0, 0x7fffffff, 0x7fffffff)
            s.settle()
            eq(s.p.poll(), None, "QSB-001: a huge update of an icon")
            x.pointer(504 + 12, 504 + 12)
            x.xtest(4, 1)
            x.xtest(5, 1)
            eq(a.get(BUTTON, 5, "<IiiII")[:3], (4, 12, 12), "a click, with the icon's coordinates")
            x.message(f, f, "_XEMBED", [0, 4, 0, 0])
            ok(until(lambda: a.get(FOCUS, 5, "<III") == (9, 0, 3)), "XEMBED_FOCUS_IN is FOCUS")
            a.put(UNMAP, 5)
            s.settle()
            eq(x.attributes(f)[0], 2, "UNMAP of an icon is ignored")
            x.reparent(f, x.root, 0, 0)
            x.destroy(owner)
            ok(until(lambda: x.attributes(f)[0] == 0), "the tray goes: the icon does not stay on the screen")
            owner = x.create(500, 500, 40, 40, override=1, color=0x404040)
            x.own("_NET_SYSTEM_TRAY_S0", owner)
            x.message(x.root, x.root, "MANAGER", [0, x.atom("_NET_SYSTEM_TRAY_S0"), owner], 0x20000)
            e = x.event(33, lambda e: struct.unpack("<I", e[8:12])[0] == x.atom("_NET_SYSTEM_TRAY_OPCODE"))
            eq(struct.unpack("<3I", e[12:24])[1:], (0, f), "the next tray is asked")
            x.destroy(owner)


def dock_again():
    """DOCK without end: once for what is docked already, and a line a second of what may not be."""
    with Session() as s:
        a, x = s.a, s.x
        owner = x.create(500, 500, 40, 40, override=1)
        x.own("_NET_SYSTEM_TRAY_S0", owner)
        x.message(x.root, x.root, "MANAGER", [0, x.atom("_NET_SYSTEM_TRAY_S0"), owner], 0x20000)
        s.quiet()
        x.select(owner, 0x80000)
        a.create(5, 0, 0, 24, 24)
        for _ in range(1000):
            a.put(DOCK, 5)
        s.settle()
        x.sync()
        opcode = x.atom("_NET_SYSTEM_TRAY_OPCODE")
        asked = sum(e[0] & 0x7f == 33 and struct.unpack("<I", e[8:12])[0] == opcode for e in x.events)
        eq(asked, 1, "1,000 times DOCK: the tray is asked once")
        a.show(6)
        before = desk.said().count("DOCK of a mapped")
        for _ in range(1000):
            a.put(DOCK, 6)
        s.settle()
        lines = desk.said().count("DOCK of a mapped") - before
        ok(1 <= lines <= 10, "1,000 times DOCK of a mapped window: %d lines" % lines)


# --- window managers ---

def window_manager(name, *argv):
    if not shutil.which(name):
        ok(True, "# SKIP no %s on this machine" % name)
        return
    wm = desk.run(name, *argv)
    x = desk.x

    try:
        with Session("-T") as s:
            a = s.a
            ok(until(x.managed), name + " is there")
            a.create(5, 200, 150, 300, 200)
            a.put(HINTS, 5, struct.pack("<9I", 1, *[0] * 8))
            p = a.image(300, 200, 0x123456)
            a.dump(5, p.refs, 300, 200)
            a.name(5, b"a title")
            a.map(5)
            a.damage(5, 0, 0, 300, 200)
            f = s.f(5)
            ok(until(lambda: x.attributes(f)[0] == 2 and x.tree(f)[0] != x.root), name + ": takes the window",
               "%r %r %r %r" % (x.attributes(f), x.tree(f), x.prop(f, "WM_STATE"), x.place(f)))
            ok(until(lambda: x.place(f)[2:] == (308, 208)), "as large as it should be")
            ok(framed(x, x.place(f), FRAME, RED, 0x123456), "frame whole, content whole")
            px, py, _, _ = x.place(f)
            where = []

            def told():
                where.extend(m for m in a.got + s.quiet() if m[0] == CONFIGURE)
                a.got.clear()
                return not where or struct.unpack("<iiIII", where[-1][2])[:2] == (x.place(f)[0] + 4, x.place(f)[1] + 4)

            ok(until(told), "the agent knows where it is", where)
            if where:
                a.put(CONFIGURE, 5, where[-1][2])
            s.settle()
            s.quiet()
            a.configure(5, 400, 300, 250, 150)
            ok(until(lambda: x.place(f)[2:] == (258, 158)), "the agent resizes it")
            ok(until(lambda: abs(x.place(f)[0] - 396) < 40 and abs(x.place(f)[1] - 296) < 40), "and moves it", x.place(f))
            p = a.image(250, 150, 0x00ff00)
            a.dump(5, p.refs, 250, 150)
            a.damage(5, 0, 0, 250, 150)
            ok(framed(x, x.place(f), FRAME, RED, 0x00ff00), "frame whole, content whole")
            a.show(7, 60, 50, x=300, y=600, color=0x00ff00)
            f7 = s.f(7)
            ok(until(lambda: x.attributes(f7)[0] == 2 and x.tree(f7)[0] != x.root), "one more")
            a.raw(msg(UNMAP, 7) + msg(MAP, 7, struct.pack("<II", 0, 1)))
            ok(until(lambda: x.attributes(f7) == (2, 1) and x.tree(f7)[0] == x.root), "is override-redirect from one moment to the next, and shows",
               (x.attributes(f7), x.tree(f7)))
            a.put(DESTROY, 7)
            a.put(UNMAP, 5)
            ok(until(lambda: x.attributes(f)[0] == 0), "unmapped")
            a.map(5)
            ok(until(lambda: x.attributes(f)[0] == 2), "and mapped again")
            a.show(6, 60, 50, x=700, y=500, override=1, color=0x0000ff)
            ok(framed(x, (700, 500, 60, 50), OR, RED, 0x0000ff), "override-redirect beside it")
            if name == "openbox":
                s.quiet()
                a.got.clear()
                a.flags(5, 1)
                eq(a.get(FLAGS, 5, "<II")[0] & 1, 1, "FULLSCREEN is what is maximized, and is told so")

                def large():
                    px, py, width, height = at = x.place(f)
                    return width > 1200 and px >= 0 and py >= 0 and px + width <= 1280 and py + height <= 800 and border(x, at, FRAME)

                ok(until(large), "in its frame")
                a.flags(5, 0, 1)
                eq(a.get(FLAGS, 5, "<II")[1] & 1, 1, "and back")
                a.flags(5, 4)
                eq(a.get(FLAGS, 5, "<II")[0] & 4, 4, "minimized")
    finally:
        wm.terminate()
        wm.wait()
        desk.others.remove(wm)


def openbox():
    window_manager("openbox", "--sm-disable")


def twm():
    with open(os.path.join(desk.dir, "twmrc"), "w") as f:
        f.write("RandomPlacement\nNoGrabServer\n")
    window_manager("twm", "-f", os.path.join(desk.dir, "twmrc"))


TABLE = (handshake, byte_by_byte, header_and_body_apart, fatal, old_lengths, half_messages, ends_in_the_middle, does_not_read, clamps, never_the_screen,
         not_mapped_by_create, invisible, window_zero, titles, properties, stubdomain, hints, transient, cursor, configure, shrink_to_nothing, edges,
         frame_without_image, override, override_changes, moved_behind_our_back, work_area, root_size, lockers, above_all, pointer, focus_and_keys,
         close_and_ping, flags, full_screen_frame, full_no_more, edges_managed, pixels, smaller_image, rows_differ, references, buffers_are_reused, quota,
         truncated, slow_x, names_without_end, heard_without_end, exposed_without_end, many_windows, thousand_windows, clipboard_not_asked_for, x_errors, x_gone, again, background, usage,
         sandboxed, tray, dock_again, openbox, twm)

# On Xen: pages that are files (test/xen/windows.t has others), and what floods for minutes under emulation.
NOT_ON_XEN = (references, buffers_are_reused, truncated, does_not_read, never_the_screen, slow_x, names_without_end, heard_without_end, exposed_without_end,
              many_windows, thousand_windows, override_changes, above_all, openbox, twm)

if __name__ == "__main__":
    desk = Desk(GUID)
    try:
        rows(TABLE, NOT_ON_XEN if XEN else ())
    finally:
        desk.close()
    done()
