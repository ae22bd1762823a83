#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
# gui-agent by hand: beside an X server that plays the qube's, with real programs; told to the real guid on another X server, and,
# where it matters who says what, to a daemon that is spoken byte by byte (spec/gui 1 to 5, 8).
import os, shutil, signal, socket, struct, subprocess, sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import tap
from tap import *
from gui import *

local_only("by hand over a socket directory")
for program in ("Xvfb", "xterm", "xdotool", "openbox", "xclip"):
    if not shutil.which(program):
        print("1..0 # SKIP no %s on this machine" % program)
        sys.exit(0)

BIN = os.path.join(os.environ.get("O", "build/local"), "bin")
DOMID = 7
desk = Desk(os.path.join(BIN, "guid"))
qube = XServer()
q = X(qube.n)
ENV = dict(os.environ, DISPLAY=qube.display, VCHAN_SOCKET_DIR=desk.dir, VCHAN_DOMAIN=str(DOMID), LC_ALL="C.UTF-8",
           QGNT_DIR=os.path.join(desk.dir, "pages"), XAUTHORITY="/dev/null")
SOCKET = "%s/vchan.%d.0.6000.sock" % (desk.dir, DOMID)
LOG = os.path.join(desk.dir, "agent-log")
os.makedirs(os.path.join(desk.dir, "pages"))


class Agent:
    def __init__(self):
        self.p = subprocess.Popen([os.path.join(BIN, "gui-agent")], env=ENV, stderr=open(LOG, "ab"))
        assert until(lambda: q.owner("WM_S0")), read(LOG)

    def end(self, sig=signal.SIGTERM):
        self.p.send_signal(sig)
        self.p.wait()
        until(lambda: not q.owner("WM_S0"))


class Program:
    """In the qube; its window is the one of that class."""

    def __init__(self, *argv, cls=None):
        before = set(clients())
        self.p = subprocess.Popen(argv, env=ENV, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        got = until(lambda: [w for w in clients() if w not in before and (cls is None or cls in (q.prop(w, "WM_CLASS") or b""))],
                    30 * SLOW)
        assert got, argv
        self.w = got[0]

    def __enter__(self):
        return self

    def __exit__(self, *e):
        self.p.kill()
        self.p.wait()
        until(lambda: self.w not in q.tree()[1])


def clients():
    """Windows that can be seen in the qube."""
    out = []
    for w in q.tree()[1]:
        try:
            if q.attributes(w)[0] == 2:
                out.append(w)
        except XError:
            pass
    return out


class Guid:
    """The real one."""

    def __init__(self, wm=True, conf="allow_utf8_titles = true;"):
        self.wm = desk.run("openbox") if wm else None
        if wm:
            until(lambda: desk.x.owner("WM_S0") and desk.x.managed())
        self.p = desk.start("-C", desk.config(conf))

    def __enter__(self):
        return self

    def __exit__(self, *e):
        self.p.terminate()
        self.p.wait()
        desk.procs.remove(self.p)
        until(lambda: not desk.x.ours())
        if self.wm:
            self.wm.kill()
            self.wm.wait()
            desk.others.remove(self.wm)
            until(lambda: not desk.x.owner("WM_S0"))


agent = Agent()


def content(w, inset=4):
    """Window of the qube's, as Dom0 shows it."""
    f = desk.f(w)
    x, y, width, height = desk.x.place(f)
    return desk.x.pixels(x + inset, y + inset, width - 2 * inset, height - 2 * inset)


def content_at(w, inset=4):
    x, y = desk.x.place(desk.f(w))[:2]
    return x + inset, y + inset


def same(w, limit=None):
    """Dom0's picture of it is the qube's."""
    def look():
        try:
            x, y, width, height = q.place(w)
            return desk.x.place(desk.f(w))[2:] == (width + 8, height + 8) and content(w) == q.pixels(0, 0, width, height, w)
        except (XError, TypeError):
            return False
    if until(look, limit):
        return True
    if w in desk.x.ours():
        print("# 0x%x: %r in the qube, %r in Dom0" % (w, q.place(w), desk.x.place(desk.f(w))))
    return False


def framed(w, inset=4):
    return border(desk.x, desk.x.place(desk.f(w)), inset)


def xdo(*argv):
    return sh("env", "DISPLAY=" + desk.server.display, "xdotool", *map(str, argv))


def point(w, x, y):
    """The pointer in Dom0, to a place in a window."""
    at = desk.x.place(desk.f(w))
    xdo("mousemove", at[0] + 4 + x, at[1] + 4 + y)


def focus(w):
    desk.x.message(desk.x.root, desk.f(w), "_NET_ACTIVE_WINDOW", [2, 0, 0], 0x180000)
    return until(lambda: focused(q) in family(w))


def away():
    """The focus goes to a window of Dom0's own."""
    w = desk.x.create(0, 0, 1, 1, override=1)
    desk.x.map(w)
    desk.x.focus(w)
    return w


def focused(x):
    return struct.unpack("<I", x.ask(43)[8:12])[0]


def family(w):
    return [w] + [c for d in q.tree(w)[1] for c in family(d)]


def xterm(script, *more):
    return Program("xterm", *more, "-e", "sh", "-c", script, cls=b"XTerm")


# --- with the real guid ---

def pixels():
    with Guid():
        with xterm("ls -la /etc | head -40; sleep 1000") as t, Program("xmessage", "-buttons", "yes,no", "hello") as m:
            ok(same(t.w), "a terminal: its pixels in Dom0 are the qube's")
            ok(framed(t.w), "and it has its frame")
            ok(same(m.w), "a second window")
            eq(q.prop(t.w, "WM_STATE"), [1, 0], "WM_STATE says that it is normal")
            sh("env", "DISPLAY=" + desk.server.display, "import", "-window", "root", os.environ.get("SHOT", "/dev/null") + "1.png")
            point(m.w, 12, 40)
            xdo("click", 1)
            eq(until(lambda: m.p.poll()), 101, "a click on its first button")
            ok(until(lambda: m.w not in desk.x.ours()), "and its window is gone in Dom0")
            eq(desk.x.prop(desk.f(t.w), "WM_CLASS"), b"work:xterm\0work:XTerm\0", "class")
            ok(desk.x.prop(desk.f(t.w), "WM_NORMAL_HINTS")[0] & 0x150 == 0x150, "size hints")


def keys():
    out = os.path.join(desk.dir, "typed")
    with Guid():
        with xterm("read -r a; echo \"$a\" >%s; sleep 1000" % out) as t:
            same(t.w)
            ok(focus(t.w), "focus in Dom0 is focus in the qube")
            eq(q.prop(q.root, "_NET_ACTIVE_WINDOW"), [t.w], "_NET_ACTIVE_WINDOW")
            xdo("type", "--delay", "5", "Hello, (World) 123_x")
            xdo("key", "Return")
            eq(until(lambda: read(out)), "Hello, (World) 123_x\n", "what is typed in Dom0 arrives")
            away()
            ok(until(lambda: focused(q) not in family(t.w)), "focus lost")
            down = q.ask(44)[8:40]
            eq(down, bytes(32), "no key is left down")


def lost_key():
    """QSB-104: a key that is held while the focus goes is not held on in the qube."""
    with Guid():
        with xterm("sleep 1000") as t:
            same(t.w)
            focus(t.w)
            xdo("keydown", "a")
            ok(until(lambda: any(q.ask(44)[8:40])), "a key is down in the qube")
            away()
            ok(until(lambda: not any(q.ask(44)[8:40])), "QSB-104: the focus goes: it is up, though Dom0's is down")
            focus(t.w)  # it is told of the keys first
            ok(not any(q.ask(44)[8:40]), "and stays up when the focus is back")
            xdo("keyup", "a")
            xdo("keydown", "shift")
            ok(until(lambda: any(q.ask(44)[8:40])), "shift is down")
            away()
            until(lambda: not any(q.ask(44)[8:40]))
            focus(t.w)
            ok(until(lambda: any(q.ask(44)[8:40])), "a modifier that is held when the focus comes is held in the qube")
            xdo("keyup", "shift")
            ok(until(lambda: not any(q.ask(44)[8:40])), "shift is up")


def locks():
    out = os.path.join(desk.dir, "caps")
    with Guid():
        with xterm("read -r a; echo \"$a\" >%s; sleep 1000" % out) as t:
            same(t.w)
            away()
            xdo("key", "Caps_Lock")
            focus(t.w)
            xdo("type", "--delay", "20", "a")  # xdotool types it as such: shift against caps lock
            xdo("key", "b", "Return")
            got = until(lambda: read(out))
            xdo("key", "Caps_Lock")
            ok("B" in got, "caps lock from elsewhere holds here", got)


def sizes():
    with Guid():
        with xterm("sleep 1; printf '\\033[8;20;60t'; sleep 1000", "-xrm", "*allowWindowOps: true") as t:
            same(t.w)
            w0 = q.geometry(t.w)[2]
            ok(until(lambda: q.geometry(t.w)[2] < w0, 5 * SLOW), "a program makes itself smaller")
            ok(same(t.w), "in Dom0, too")
            f = desk.f(t.w)
            desk.x.configure(f, x=50, y=60, width=508, height=408)
            ok(until(lambda: abs(q.geometry(t.w)[2] - 500) < 16 and q.place(t.w)[:2] != (0, 0)), "Dom0 makes it larger: the qube follows")
            ok(same(t.w), "and fills it")
            for i in range(30):
                desk.x.configure(f, x=50 + i, y=60 + i, width=308 + 11 * i, height=208 + 9 * i)
            ok(same(t.w), "30 sizes in a row: pixels are right in the end")
            eq(len(os.listdir(os.path.join(desk.dir, "pages", str(DOMID)))), 1, "pages of former sizes are given back")


def menus():
    with Guid():
        with xterm("sleep 1000") as t:
            same(t.w)
            before = set(desk.x.ours())
            point(t.w, 100, 100)
            xdo("keydown", "ctrl", "mousedown", 1)
            new = until(lambda: set(desk.x.ours()) - before)
            ok(new, "ctrl and button 1: a menu")
            m = next(iter(new))
            ok(until(lambda: desk.x.attributes(desk.f(m)) == (2, 1)), "an override-redirect window")
            ok(until(lambda: framed(m, 2)), "with a border")
            x, y, w, h = desk.x.place(desk.f(m))
            b = (w - q.geometry(m)[2]) // 2  # of X's own, which is in the picture
            want = lambda: q.pixels(2, 2, w - 8, h - 8, m)
            ok(until(lambda: desk.x.pixels(x + b + 2, y + b + 2, w - 8, h - 8) == want()), "and its pixels")
            xdo("mousemove", x + 30, y + 8)
            xdo("mouseup", 1, "keyup", "ctrl")
            ok(until(lambda: desk.x.attributes(desk.f(m))[0] != 2 if m in desk.x.ours() else True), "it goes")


def closing():
    with Guid():
        with xterm("sleep 1000") as t:
            same(t.w)
            desk.x.message(desk.x.root, desk.f(t.w), "_NET_CLOSE_WINDOW", [0, 2], 0x180000)
            ok(until(lambda: t.p.poll() is not None), "closed in Dom0: the program ends")
        w = q.create(10, 10, 60, 60)
        q.map(w)
        ok(desk.f(w), "a window whose client takes no WM_DELETE_WINDOW")
        q.destroy(w)
        ok(until(lambda: w not in desk.x.ours()), "destroyed")


def titles():
    with Guid():
        w = q.create(10, 10, 200, 60)
        q.set_text(w, "WM_NAME", "caf\xe9".encode("latin-1"))
        q.map(w)
        name = lambda want: until(lambda: want in (desk.x.prop(desk.f(w), "_NET_WM_NAME") or b""))
        ok(name("café".encode()), "a title of Latin-1")
        text = "grüße ☃ 日本語".encode()
        q.set_text(w, "_NET_WM_NAME", text)
        ok(name(text), "a title of UTF-8")
        long = "☃" * 60
        q.set_text(w, "_NET_WM_NAME", long.encode())
        ok(name(("☃" * 42).encode()), "a long one: cut between characters")
        q.delete_prop(w, "_NET_WM_NAME")
        ok(name("café".encode()), "without it the other again")
        q.set_text(w, "WM_NAME", b"\x1b-A\xfc\x1b%G" + "☃".encode() + b"\x1b%@\x1b-F\xe1", "COMPOUND_TEXT")
        ok(name("ü☃_".encode()), "one of COMPOUND_TEXT: Latin-1, UTF-8, and a set that is not known")
        q.set_text(w, "WM_NAME", text, "UTF8_STRING")
        ok(name(text), "a WM_NAME that is of UTF-8")
        q.destroy(w)


def states():
    with Guid():
        with xterm("sleep 1000") as t:
            same(t.w)
            fs = q.atom("_NET_WM_STATE_FULLSCREEN")
            q.message(q.root, t.w, "_NET_WM_STATE", [1, fs], 0x180000)
            ok(until(lambda: fs in (q.prop(t.w, "_NET_WM_STATE") or [])), "full screen: Dom0 did it, the qube's property says so")
            ok(until(lambda: q.geometry(t.w)[2] > 1200), "it fills the screen")
            ok(same(t.w), "and its pixels do")
            q.message(q.root, t.w, "_NET_WM_STATE", [0, fs], 0x180000)
            ok(until(lambda: fs not in (q.prop(t.w, "_NET_WM_STATE") or [])), "no longer")
            ok(until(lambda: q.geometry(t.w)[2] < 1000), "as large as before")
            q.message(q.root, t.w, "WM_CHANGE_STATE", [3], 0x180000)
            ok(until(lambda: q.prop(t.w, "WM_STATE")[0] == 3), "iconified")
            desk.x.map(desk.f(t.w))
            ok(until(lambda: q.prop(t.w, "WM_STATE")[0] == 1), "and back")
            a = q.create(10, 10, 50, 50)
            q.set_prop(a, "WM_TRANSIENT_FOR", "WINDOW", [t.w])
            q.map(a)
            ok(until(lambda: desk.x.prop(desk.f(a), "WM_TRANSIENT_FOR") == [desk.f(t.w)]), "transient for")
            q.destroy(a)


def requests():
    with Guid():
        w = q.create(10, 10, 100, 60, select=1 << 17)
        q.map(w)
        ok(desk.f(w) and until(lambda: q.attributes(w)[0] == 2), "mapped")
        until(lambda: desk.x.prop(desk.f(w), "WM_STATE") and content_at(w) == q.place(w)[:2])
        q.sync()
        q.events.clear()
        x, y, width, height = q.place(w)
        q.configure(w, x=x, y=y)
        e = q.event(22, lambda e: e[0] & 0x80)
        eq(struct.unpack("<hhHH", e[16:24]), (x, y, width, height), "who asks for what there is hears so (ICCCM)")
        q.configure(w, x=300, y=200, width=222, height=111)
        ok(same(w), "a program moves and resizes its window")
        eq(q.place(w), (300, 200, 222, 111), "as it asked")
        q.message(q.root, w, "_NET_REQUEST_FRAME_EXTENTS", [], 0x180000)
        eq(until(lambda: q.prop(w, "_NET_FRAME_EXTENTS")), [0, 0, 0, 0], "_NET_FRAME_EXTENTS")
        q.unmap(w)
        ok(until(lambda: desk.x.attributes(desk.f(w))[0] == 0), "unmapped")
        q.map(w)
        ok(until(lambda: desk.x.attributes(desk.f(w))[0] == 2), "mapped again")
        ok(same(w), "with its pixels")
        q.destroy(w)


def tray():
    with Guid():
        x = desk.x
        owner_w = x.create(600, 600, 100, 30)
        x.map(owner_w)
        x.own("_NET_SYSTEM_TRAY_S0", owner_w)
        x.message(x.root, x.root, "MANAGER", [0, x.atom("_NET_SYSTEM_TRAY_S0"), owner_w], 1 << 17)
        ok(until(lambda: q.owner("_NET_SYSTEM_TRAY_S0")), "there is a tray in the qube")
        x.events.clear()
        icon = q.create(0, 0, 10, 10, color=0x00ff00)
        q.message(q.owner("_NET_SYSTEM_TRAY_S0"), icon, "_NET_SYSTEM_TRAY_OPCODE", [0, 0, icon])
        e = x.event(33, lambda e: struct.unpack("<I", e[8:12])[0] == x.atom("_NET_SYSTEM_TRAY_OPCODE"))
        f = struct.unpack("<5I", e[12:32])[2]
        ok(f in x.ours().values(), "an icon docks in Dom0's tray")
        x.reparent(f, owner_w)
        x.configure(f, width=30, height=30)
        x.map(f)
        x.message(f, f, "_XEMBED", [0, 0, 0, owner_w, 0])
        ok(until(lambda: q.geometry(icon)[2:] == (30, 30)), "Dom0's tray says how large it is")
        ok(until(lambda: x.pixels(*x.place(f)[:2], 30, 30)[15][15] not in (0, 0xffffff)), "its pixels are shown, tinted")
        q.destroy(icon)
        ok(until(lambda: f not in x.ours().values()), "and it goes")
        x.destroy(owner_w)


def restarts():
    global agent
    with xterm("sleep 1000", "-geometry", "40x10+100+100") as t, xterm("sleep 1000", "-geometry", "40x10+100+500") as u, \
            Program("xmessage", "-geometry", "+800+100", "hello") as m:
        for i in range(2):
            with Guid() as g:
                ok(all(desk.f(p.w) for p in (t, u, m)), "guid %d has all windows" % i)
                ok(same(t.w) and same(m.w), "with their pixels")
                if i == 0:
                    g.p.kill()
        with Guid() as g:
            agent.end(signal.SIGKILL)
            agent = Agent()
            ok(same(t.w) and same(u.w) and same(m.w), "the agent is killed: another finds all windows that there are")
            m.p.kill()
            ok(until(lambda: m.w not in desk.x.ours()), "and goes on")


def gtk():
    if not shutil.which("l3afpad"):
        return
    with Guid():
        with Program("l3afpad", cls=b"l3afpad") as p:
            ok(same(p.w, 20 * SLOW), "a GTK program")
            ok(focus(p.w), "takes the focus")
            point(p.w, 100, 100)
            xdo("click", 1, "type", "--delay", "10", "Hello GTK")
            ok(until(lambda: b"*" in (q.prop(p.w, "_NET_WM_NAME") or b"")), "typed into it: its title says that it is changed")
            before = set(desk.x.ours())
            point(p.w, 15, 12)
            xdo("click", 1)
            new = until(lambda: set(desk.x.ours()) - before)
            ok(new, "its menu opens")
            m = next(iter(new))
            ok(until(lambda: framed(m, 2)), "with a border")
            x, y, w, h = desk.x.place(desk.f(m))
            until(lambda: desk.x.pixels(x + 2, y + 2, w - 4, h - 4) == q.pixels(2, 2, w - 4, h - 4, m))
            eq(desk.x.pixels(x + 2, y + 2, w - 4, h - 4) == q.pixels(2, 2, w - 4, h - 4, m), True, "and the qube's pixels")
            sh("env", "DISPLAY=" + desk.server.display, "import", "-window", "root", os.environ.get("SHOT", "/dev/null") + "2.png")
            xdo("key", "Escape")
            ok(until(lambda: not [v for v in new if v in desk.x.ours() and desk.x.attributes(desk.f(v))[0] == 2]), "closes by Escape")


# --- with a daemon that is spoken ---

LENGTHS = {CREATE: 24, DESTROY: 0, MAP: 8, UNMAP: 0, CONFIGURE: 20, SHMIMAGE: 16, WMNAME: 128, DOCK: 0, HINTS: 36, FLAGS: 8,
           WMCLASS: 128, CURSOR: 4}


class Daemon:
    def __init__(self, minor=8, w=1280, h=800):
        assert until(lambda: os.path.exists(SOCKET))
        self.s = socket.socket(socket.AF_UNIX)
        self.s.connect(SOCKET)
        self.s.settimeout(LIMIT)
        self.rest, self.minor, self.acks, self.pages = b"", minor, True, {}
        self.version = struct.unpack("<I", self.bytes(4))[0]
        if minor >= 4:
            self.s.sendall(struct.pack("<I", 0x10000 | minor))
        self.s.sendall(struct.pack("<4I", w, h, 24, w * h // 256 + 1))

    def __enter__(self):
        return self

    def __exit__(self, *e):
        self.s.close()

    def bytes(self, n):
        while len(self.rest) < n:
            got = self.s.recv(65536)
            if not got:
                raise EOFError("agent")
            self.rest += got
        out, self.rest = self.rest[:n], self.rest[n:]
        return out

    def message(self):
        kind, w, n = struct.unpack("<III", self.bytes(12))
        if kind == CLIPBOARD_DATA and self.minor < 2:
            n = w
        assert LENGTHS.get(kind, n) == n, (kind, n)
        body = self.bytes(n)
        if kind == DUMP and self.acks and self.minor >= 7:
            self.put(DUMP_ACK, w)
        if kind == DESTROY and self.acks and self.minor >= 5:
            self.put(DESTROY, w)
        return kind, w, body

    def put(self, kind, w, body=b""):
        self.s.sendall(struct.pack("<III", kind, w, len(body)) + body)

    def get(self, kind, w=None, test=lambda b: True):
        """All messages up to one such, and its body."""
        self.seen = []
        while True:
            m = self.message()
            self.seen.append(m)
            if m[0] == kind and w in (None, m[1]) and test(m[2]):
                return m[2]

    def upto(self, kind, w):
        """The types that came for that window."""
        self.get(kind, w)
        return [m[0] for m in self.seen if m[1] == w]


def one_window():
    w = q.create(10, 10, 100, 60, color=0x336699)
    q.set_text(w, "WM_NAME", b"a")
    q.set_text(w, "WM_CLASS", b"n\0C\0")
    q.map(w)
    return w


def versions():
    for minor in range(4, 9):
        with Daemon(minor) as d:
            eq(d.version, 0x10008, "1.%d: the agent is of 1.8" % minor)
            w = one_window()
            eq([t for t in d.upto(MAP, w) if t in (CREATE, DUMP, WMCLASS, WMNAME, MAP)], [CREATE, DUMP, WMCLASS, WMNAME, MAP],
               "1.%d: CREATE, WINDOW_DUMP, WMCLASS, WMNAME, MAP" % minor)
            q.destroy(w)
            d.get(DESTROY, w)
    with Daemon(3) as d:
        w = one_window()
        ok(CREATE in d.upto(MAP, w), "a daemon that says no version is served")
        q.destroy(w)
        d.get(DESTROY, w)
    for name, version in (("0x20008", 0x20008), ("1.9", 0x10009), ("1.3", 0x10003)):
        s = socket.socket(socket.AF_UNIX)
        until(lambda: os.path.exists(SOCKET))
        s.connect(SOCKET)
        s.settimeout(LIMIT)
        s.recv(4)
        s.sendall(struct.pack("<5I", version, 1280, 800, 24, 1))
        eq(s.recv(4), b"", "version %s: refused" % name)
        s.close()


def text():
    """What is said of titles is UTF-8, whatever programs set."""
    with Daemon() as d:
        w = q.create(10, 10, 100, 60)
        q.map(w)
        d.get(MAP, w)
        for kind, given, want in (("STRING", b"na\xefve", "naïve"), ("COMPOUND_TEXT", b"\x1b-Ana\xefve\x1b$(B0!", "naïve__"),
                                  ("COMPOUND_TEXT", b"\x1b%G\xe2\x98", "__"), ("UTF8_STRING", b"na\xefve \xed\xa0\x80", "na_ve ___")):
            q.set_text(w, "WM_NAME", given, kind)
            eq(d.get(WMNAME, w).rstrip(b"\0"), want.encode(), "a title of %s, %r" % (kind, given))
        q.set_text(w, "_NET_WM_NAME", b"\xff\xfe", "UTF8_STRING")
        eq(d.get(WMNAME, w).rstrip(b"\0"), b"__", "a _NET_WM_NAME that is none")
        q.destroy(w)
        d.get(DESTROY, w)


def unseen():
    """A window without pixels: guid never hears of it, whatever its program says of it."""
    with Daemon() as d:
        w = q.new_id()
        q.send(1, 0, struct.pack("<IIhhHHHHII", w, q.root, 0, 0, 50, 50, 0, 2, 0, 0))
        q.map(w)
        u = one_window()
        d.get(MAP, u)
        ok(until(lambda: q.attributes(w)[0] == 2), "an InputOnly window is mapped")
        told = d.seen
        q.message(q.root, w, "_NET_WM_STATE", [1, q.atom("_NET_WM_STATE_FULLSCREEN")], 0x180000)
        q.configure(w, width=70, height=70)
        q.set_text(w, "WM_NAME", b"unseen")
        q.destroy(w)
        q.destroy(u)
        d.get(DESTROY, u)
        eq([m for m in told + d.seen if m[1] == w], [], "and not told")


def dump():
    with Daemon() as d:
        d.acks = False
        w = one_window()
        body = d.get(DUMP, w)
        kind, width, height, bpp = struct.unpack("<4I", body[:16])
        refs = struct.unpack("<%dI" % (len(body) // 4 - 4), body[16:])
        eq((kind, width, height), (0, 100, 60), "WINDOW_DUMP: type and size")
        ok(len(refs) * 4096 >= width * height * 4, "references for all of it")
        eq(list(refs), list(range(refs[0], refs[0] + len(refs))), "consecutive ones on this backend")
        path = os.path.join(desk.dir, "pages", str(DOMID), str(refs[0]))
        d.get(MAP, w)
        eq(read_bytes(path)[:4], struct.pack("<I", 0x336699), "its picture is there before it is mapped")
        q.send(61, 0, struct.pack("<IhhHH", w, 0, 0, 0, 0))  # ClearArea
        q.configure(w, width=200, height=200)
        d.get(DUMP, w)
        ok(os.path.exists(path), "of another size: the old pages stay until guid has the new ones")
        d.put(DUMP_ACK, w)
        d.put(DUMP_ACK, w)
        ok(until(lambda: not os.path.exists(path)), "and go then")
        q.destroy(w)
        d.get(DESTROY, w)
        d.put(DESTROY, w)
        ok(until(lambda: not os.listdir(os.path.dirname(path))), "no pages without windows")


def read_bytes(path):
    with open(path, "rb") as f:
        return f.read()


def ids():
    """An id of X's is guid's until it has acknowledged DESTROY."""
    with Daemon() as d:
        d.acks = False
        w = one_window()
        d.get(MAP, w)
        q.destroy(w)
        d.get(DESTROY, w)
        q.next -= 1
        eq(one_window(), w, "another window of the same id")
        q.sync()
        q.next += 1
        later = one_window()
        ok(CREATE in d.upto(MAP, later) and not [m for m in d.seen if m[1] == w],
           "not told before DESTROY is acknowledged, as a later one is")
        d.put(DUMP_ACK, w)
        d.put(DESTROY, w)
        ok(d.get(CREATE, w), "told after that")
        for v in w, later:
            q.destroy(v)
            d.get(DESTROY, v)
            d.put(DESTROY, v)


def handshake():
    with Daemon() as d:
        w = one_window()
        d.get(MAP, w)
        d.put(CONFIGURE, w, struct.pack("<iiIII", 30, 40, 150, 80, 0))
        eq(struct.unpack("<iiIII", d.get(CONFIGURE, w)), (30, 40, 150, 80, 0), "CONFIGURE is acknowledged when X has done it")
        eq(q.place(w), (30, 40, 150, 80), "and it has")
        d.put(CONFIGURE, w, struct.pack("<iiIII", 30, 40, 150, 80, 0))
        eq(struct.unpack("<iiIII", d.get(CONFIGURE, w)), (30, 40, 150, 80, 0), "also when nothing changes")
        for bad in ((1 << 31 - 1, -(1 << 31), 0xffffffff, 0), (0, 0, 0, 0xffffffff)):
            d.put(CONFIGURE, w, struct.pack("<iiIII", *bad, 0))
            got = struct.unpack("<iiIII", d.get(CONFIGURE, w))
            ok(1 <= got[2] <= 16384 and 1 <= got[3] <= 6144, "a size out of bounds is clamped")
        q.destroy(w)


def clipboard():
    text = "Grüße ☃\n" * 3
    with Daemon() as d:
        c = subprocess.Popen(["xclip", "-selection", "clipboard", "-i", "-quiet"], env=ENV, stdin=subprocess.PIPE,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        c.stdin.write(text.encode())
        c.stdin.close()
        until(lambda: q.owner("CLIPBOARD"))
        d.put(CLIPBOARD_REQ, 0)
        eq(d.get(CLIPBOARD_DATA).decode(), text, "CLIPBOARD_REQ: what was copied")
        c.kill()
        c.wait()
        until(lambda: not q.owner("CLIPBOARD"))
        d.put(CLIPBOARD_REQ, 0)
        eq(d.get(CLIPBOARD_DATA), b"", "nobody owns it: nothing")
        for n in (1, 65000, 200000, 256000, 256001, 5000000):
            c = subprocess.Popen(["xclip", "-selection", "clipboard", "-i", "-quiet"], env=ENV, stdin=subprocess.PIPE,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            c.stdin.write(b"x" * n)
            c.stdin.close()
            until(lambda: q.owner("CLIPBOARD"))
            d.put(CLIPBOARD_REQ, 0)
            eq(len(d.get(CLIPBOARD_DATA)), min(n, 256001), "%d bytes" % n)
            c.kill()
            c.wait()
            until(lambda: not q.owner("CLIPBOARD"))
        for data in (text.encode(), b"y" * 256000):
            d.put(CLIPBOARD_DATA, 0, data)
            until(lambda: q.owner("CLIPBOARD") and q.owner("PRIMARY"))
            for which in ("clipboard", "primary"):
                out = subprocess.run(["xclip", "-selection", which, "-o", "-t", "UTF8_STRING"], env=ENV, capture_output=True, timeout=HANGS)
                eq(out.stdout == data, True, "CLIPBOARD_DATA of %d bytes: %s" % (len(data), which))
        out = subprocess.run(["xclip", "-selection", "clipboard", "-o", "-t", "TARGETS"], env=ENV, capture_output=True, timeout=HANGS)
        ok(b"UTF8_STRING" in out.stdout, "TARGETS")


def cursors():
    with Daemon() as d:
        w = one_window()
        d.get(MAP, w)
        d.put(CROSSING, w, struct.pack("<IiiIIII", 7, 50, 30, 0, 0, 0, 0))
        until(lambda: q.ask(38, 0, struct.pack("<I", q.root)) is not None)
        font, cur = q.new_id(), q.new_id()
        q.send(45, 0, struct.pack("<IHxx", font, 6) + b"cursor")
        q.send(94, 0, struct.pack("<IIIHHHHHHHH", cur, font, font, 152, 153, 0, 0, 0, 65535, 65535, 65535))
        p = q.ask(98, 0, struct.pack("<Hxx", 6) + b"XFIXES")
        q.ask(p[9], 0, struct.pack("<II", 5, 0))
        q.send(p[9], 23, struct.pack("<IHxx", cur, 5) + b"xterm")  # SetCursorName
        q.send(2, 0, struct.pack("<III", w, 0x4000, cur))
        eq(struct.unpack("<I", d.get(CURSOR, w, lambda b: b != bytes(4)))[0], 0x100 + 152, "a cursor by its name")
        q.destroy(w)


def rubbish():
    def refused(name, data, minor=8):
        d = Daemon(minor)
        w = one_window()
        d.get(MAP, w)
        d.s.sendall(data(w) if callable(data) else data)
        try:
            d.acks = False
            while True:
                d.message()
        except (EOFError, ConnectionResetError):
            ok(True, name + ": its session ends")
        except socket.timeout:
            ok(False, name + ": its session ends")
        d.s.close()
        q.destroy(w)

    for name, kind, n in (("type 0", 0, 0), ("type 150", 150, 0), ("CREATE", CREATE, 24), ("SHMIMAGE", SHMIMAGE, 16),
                          ("a short KEYPRESS", KEYPRESS, 19), ("a long CLOSE", CLOSE, 1), ("a clipboard of 4 GiB", CLIPBOARD_DATA, 0xffffffff),
                          ("a clipboard of 256002", CLIPBOARD_DATA, 256002)):
        refused(name, lambda w: struct.pack("<III", kind, w, n))
    with Daemon() as d:
        w = one_window()
        d.get(MAP, w)
        big, neg = 0xffffffff, 0x80000000
        for v in (0, 1, big, neg, 0x7fffffff):
            for kind, n in ((KEYPRESS, 5), (BUTTON, 5), (MOTION, 4), (CROSSING, 7), (FOCUS, 3), (FLAGS, 2), (MAP, 2)):
                d.put(kind, w, struct.pack("<%dI" % n, *[v] * n))
                for t in (2, 3, 4, 5, 7, 8, 9, 10):
                    d.put(kind, w, struct.pack("<%dI" % n, t, *[v] * (n - 1)))
                d.put(kind, 0x12345, struct.pack("<%dI" % n, *[v] * n))
            d.put(KEYMAP, 0, struct.pack("<I", v) * 8)
            d.put(DUMP_ACK, w)
            d.put(DESTROY, w)
            d.put(CLOSE, 0x12345)
        d.put(CONFIGURE, w, struct.pack("<iiIII", 30, 40, 150, 80, 0))
        ok(d.get(CONFIGURE, w, lambda b: b[:16] == struct.pack("<iiII", 30, 40, 150, 80)), "values out of all bounds: it goes on")
        d.put(KEYMAP, 0, bytes(32))
        q.destroy(w)
    until(lambda: not any(q.ask(44)[8:40]))
    ok(not any(q.ask(44)[8:40]), "a session that ends leaves no key down")
    eq(agent.p.poll(), None, "it is the same agent still")


def slow():
    """A daemon that reads nothing costs no memory; what it hears later is what there is then."""
    with Daemon() as d:
        w = one_window()
        d.get(MAP, w)
        gc = q.new_id()
        q.send(55, 0, struct.pack("<III", gc, w, 0))
        for i in range(20000):
            q.send(61, 0, struct.pack("<IhhHH", w, i % 50, i % 30, 5, 5))
            if i % 200 == 0:
                q.set_text(w, "WM_NAME", b"title %d" % i)
                q.sync()
        rss = int(read("/proc/%d/statm" % agent.p.pid).split()[1]) * 4
        ok(rss < 40000, "20,000 changes that nobody reads: %d KiB" % rss)
        q.set_text(w, "WM_NAME", b"last")
        ok(d.get(WMNAME, w, lambda b: b.startswith(b"last\0")), "the last title comes")
        q.destroy(w)
        d.get(DESTROY, w)


def many():
    with Daemon() as d:
        ws = []
        for i in range(few(600)):
            ws.append(q.create(i, i, 40, 30))
            q.map(ws[-1])
        left = set(ws)
        while left:
            d.get(MAP)
            left.discard(d.seen[-1][1])
        ok(True, "%d windows" % len(ws))
        for w in ws:
            q.destroy(w)
        left = set(ws)
        while left:
            d.get(DESTROY)
            left.discard(d.seen[-1][1])
        ok(until(lambda: not os.listdir(os.path.join(desk.dir, "pages", str(DOMID)))), "their pages are given back")


def screen():
    with Daemon(w=1024, h=768):
        ok(until(lambda: q.geometry(q.root)[2:] == (1024, 768)), "the qube's screen becomes as large as Dom0's")
        eq(until(lambda: q.prop(q.root, "_NET_WORKAREA") == [0, 0, 1024, 768]), True, "_NET_WORKAREA")
    with Daemon():
        ok(until(lambda: q.geometry(q.root)[2:] == (1280, 800)), "and again as large as before")


try:
    rows([pixels, keys, lost_key, locks, sizes, menus, closing, titles, states, requests, tray, restarts, gtk, versions, text, unseen, dump, ids,
          handshake, clipboard, cursors, rubbish, slow, many, screen])
    eq(agent.p.poll(), None, "the agent has not ended by itself")
    agent.end()
    eq(agent.p.returncode, 0, "SIGTERM: exit 0")
    if tap._bad:
        print("# " + read(LOG)[-1500:].replace("\n", "\n# ") + desk.said()[-1500:].replace("\n", "\n# "))
finally:
    desk.close()
    q.close()
    qube.close()
done()
