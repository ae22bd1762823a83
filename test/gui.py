# SPDX-License-Identifier: ISC
"""For tests of guid: an agent that speaks byte by byte (spec/gui 1 to 3), its pages (6.4), an X server of the test's own, and a
client of it that looks at windows, properties and pixels and plays window manager, tray and person. On Xen the agent is one of
stage.py's."""
import mmap, os, random, select, shutil, signal, socket, struct, subprocess, tempfile, threading, time, zlib

from tap import LIMIT, SLOW, XEN, qubes, until

(KEYPRESS, BUTTON, MOTION, CROSSING, FOCUS, RESIZE, CREATE, DESTROY, MAP, UNMAP, CONFIGURE, MFNDUMP, SHMIMAGE, CLOSE, EXECUTE,
 CLIPBOARD_REQ, CLIPBOARD_DATA, WMNAME, KEYMAP, DOCK, HINTS, FLAGS, WMCLASS, DUMP, CURSOR, DUMP_ACK) = range(124, 150)
NAMES = dict(enumerate("KEYPRESS BUTTON MOTION CROSSING FOCUS RESIZE CREATE DESTROY MAP UNMAP CONFIGURE MFNDUMP SHMIMAGE CLOSE "
                       "EXECUTE CLIPBOARD_REQ CLIPBOARD_DATA WMNAME KEYMAP DOCK HINTS FLAGS WMCLASS DUMP CURSOR DUMP_ACK".split(), 124))
# What a daemon may send, and how long it is.
TO_AGENT = {KEYPRESS: 20, BUTTON: 20, MOTION: 16, CROSSING: 28, FOCUS: 12, DESTROY: 0, MAP: 8, CONFIGURE: 20, CLOSE: 0,
            KEYMAP: 32, FLAGS: 8, DUMP_ACK: 0}
WIDTH, HEIGHT = 1280, 800
RED = 0xcc0000
# Of a qube that has an X server.
DESKTOP = "kernel = desktop\nvirt_mode = pv\nmemory = 192\n" if XEN else ""


# --- an X server, and a client of it ---

def auth_entry(cookie, family=65535, host=b"", number=b"", name=b"MIT-MAGIC-COOKIE-1"):
    """A line of an Xauthority file."""
    return struct.pack(">H", family) + b"".join(struct.pack(">H", len(t)) + t for t in (host, number, name, cookie))


class XServer:
    def __init__(self, size="%dx%dx24" % (WIDTH, HEIGHT), more=(), n=None, cookie=b""):
        """n: its number, or any that qubes' own do not have; cookie: it wants to see."""
        self.cookie, self.auth = cookie, None
        if cookie:
            self.auth = tempfile.NamedTemporaryFile(prefix="x-")
            self.auth.write(auth_entry(cookie))
            self.auth.flush()
        more = [*more, *(["-auth", self.auth.name] if cookie else [])]
        for self.n in [n] if n is not None else random.sample(range(100, 1000), 5):
            self.fd, w = os.pipe()
            self.p = subprocess.Popen(["Xvfb", ":%d" % self.n, "-displayfd", str(w), "-screen", "0", size, "-nolisten", "tcp", "-noreset",
                                       *more], pass_fds=[w], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            os.close(w)
            assert select.select([self.fd], [], [], 30 * SLOW)[0], "Xvfb does not start"
            if os.read(self.fd, 16):  # it looks after that pipe
                break
            self.p.wait()
            os.close(self.fd)
        self.display = ":%d" % self.n
        assert until(self.answers, 30 * SLOW), "Xvfb does not answer"

    def answers(self):
        """It names its number before it lets anybody in."""
        try:
            X(self.n, self.cookie).close()
            return True
        except (OSError, EOFError):
            return False

    def close(self):
        self.p.send_signal(signal.SIGCONT)
        self.p.terminate()
        self.p.wait()
        os.close(self.fd)


class Between:
    """Between an X server and its next client: what the client says goes on at once; what X says is kept while it is held."""

    def __init__(self, server):
        self.display = ":%d" % (server.n + 10000)
        self.path, self.server = "/tmp/.X11-unix/X%d" % (server.n + 10000), server
        self.held, self.kept, self.most = False, b"", 0
        self.l = socket.socket(socket.AF_UNIX)
        self.l.bind(self.path)
        self.l.listen(1)
        self.wake, self.waker = socket.socketpair()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        client, _ = self.l.accept()
        x = socket.socket(socket.AF_UNIX)
        x.connect("/tmp/.X11-unix/X%d" % self.server.n)
        while True:
            ready = select.select([client, x, self.wake], [client] if self.kept and not self.held else [], [])
            if self.wake in ready[0] and not self.wake.recv(64):
                break
            if client in ready[0]:
                data, fds, _, _ = socket.recv_fds(client, 65536, 4)
                if not data:
                    break
                socket.send_fds(x, [data], fds)
                for fd in fds:
                    os.close(fd)
            if x in ready[0]:
                data = x.recv(1 << 20)
                if not data:
                    break
                self.kept += data
                self.most = max(self.most, len(self.kept))
            if ready[1]:
                self.kept = self.kept[client.send(self.kept[:65536], socket.MSG_DONTWAIT):]
        client.close()
        x.close()

    def hold(self, held):
        self.held = held
        self.most = len(self.kept)
        self.waker.send(b"x")

    def close(self):
        self.waker.close()
        self.thread.join()
        self.wake.close()
        self.l.close()
        os.unlink(self.path)


def png(path, pixels):
    """A picture as a file, of rows of 0xRRGGBB."""
    def part(kind, data):
        return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))
    rows = b"".join(b"\0" + b"".join(struct.pack(">L", p)[1:] for p in row) for row in pixels)
    with open(path, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + part(b"IHDR", struct.pack(">LLBBBBB", len(pixels[0]), len(pixels), 8, 2, 0, 0, 0)) +
                part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b""))


class XError(Exception):
    pass


class X:
    """A client: what a test needs of the protocol, and nothing else."""

    def __init__(self, n, cookie=b"", root=""):
        """root: of whom sees that server as its own."""
        self.s = socket.socket(socket.AF_UNIX)
        self.s.connect(root + "/tmp/.X11-unix/X%d" % n)
        self.s.settimeout(LIMIT)
        name = b"MIT-MAGIC-COOKIE-1" if cookie else b""
        self.s.sendall(struct.pack("<BxHHHHxx", 0x6c, 11, 0, len(name), len(cookie)) + name + b"\0" * (-len(name) % 4) + cookie)
        self._setup()
        self.events, self.seq, self.atoms, self.made = [], 0, {}, []

    def _get(self, n):
        out = b""
        while len(out) < n:
            got = self.s.recv(n - len(out))
            if not got:
                raise EOFError("X server")
            out += got
        return out

    def _setup(self):
        head = self._get(8)
        body = self._get(4 * struct.unpack("<H", head[6:])[0])
        assert head[0] == 1, body
        self.base, _ = struct.unpack("<II", body[4:12])
        vendor, formats = struct.unpack("<H", body[16:18])[0], body[21]
        at = 32 + (vendor + 3 & ~3) + 8 * formats
        self.root, self.cmap = struct.unpack("<II", body[at:at + 8])
        self.visual = struct.unpack("<I", body[at + 32:at + 36])[0]
        self.next = self.base

    def new_id(self):
        self.next += 1
        return self.next

    def send(self, op, data=0, body=b""):
        body += b"\0" * (-len(body) % 4)
        self.seq += 1
        self.s.sendall(struct.pack("<BBH", op, data, 1 + len(body) // 4) + body)
        return self.seq

    def _packet(self):
        p = self._get(32)
        if p[0] == 1:
            p += self._get(4 * struct.unpack("<I", p[4:8])[0])
        return p

    def ask(self, op, data=0, body=b""):
        seq = self.send(op, data, body) & 0xffff
        while True:
            p = self._packet()
            if p[0] == 1 and struct.unpack("<H", p[2:4])[0] == seq:
                return p
            if p[0] == 0 and struct.unpack("<H", p[2:4])[0] == seq:
                raise XError("error %d of request %d" % (p[1], op))
            if p[0] > 1:
                self.events.append(p)

    def sync(self):
        self.ask(43)

    def event(self, kind, test=lambda e: True, limit=LIMIT):
        end = time.monotonic() + limit
        while True:
            for i, e in enumerate(self.events):
                if e[0] & 0x7f == kind and test(e):
                    return self.events.pop(i)
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.s], [], [], left)[0]:
                raise TimeoutError("no X event %d" % kind)
            p = self._packet()
            if p[0] > 1:
                self.events.append(p)

    def atom(self, name):
        if name not in self.atoms:
            b = name.encode()
            p = self.ask(16, 0, struct.pack("<Hxx", len(b)) + b)
            self.atoms[name] = struct.unpack("<I", p[8:12])[0]
        return self.atoms[name]

    def atom_name(self, a):
        p = self.ask(17, 0, struct.pack("<I", a))
        return p[32:32 + struct.unpack("<H", p[8:10])[0]].decode()

    def tree(self, w=None):
        """Parent, children from the bottom up."""
        p = self.ask(15, 0, struct.pack("<I", w or self.root))
        n = struct.unpack("<H", p[16:18])[0]
        return struct.unpack("<I", p[12:16])[0], list(struct.unpack("<%dI" % n, p[32:32 + 4 * n]))

    def geometry(self, w):
        p = self.ask(14, 0, struct.pack("<I", w))
        return struct.unpack("<hhHH", p[12:20])

    def place(self, w):
        """On the root window."""
        _, _, width, height = self.geometry(w)
        p = self.ask(40, 0, struct.pack("<IIhh", w, self.root, 0, 0))
        return struct.unpack("<hh", p[12:16]) + (width, height)

    def attributes(self, w):
        """map_state (2: viewable), override_redirect."""
        p = self.ask(3, 0, struct.pack("<I", w))
        return p[26], p[27]

    def prop(self, w, name):
        """None, bytes, or a list of words."""
        p = self.ask(20, 0, struct.pack("<IIIII", w, self.atom(name), 0, 0, 65536))
        n = struct.unpack("<I", p[16:20])[0]
        if p[1] == 0:
            return None
        return p[32:32 + n] if p[1] == 8 else list(struct.unpack("<%dI" % n, p[32:32 + 4 * n]))

    def prop_type(self, w, name):
        p = self.ask(20, 0, struct.pack("<IIIII", w, self.atom(name), 0, 0, 65536))
        return self.atom_name(struct.unpack("<I", p[8:12])[0])

    def set_prop(self, w, name, kind, words):
        self.send(18, 0, struct.pack("<IIIBxxxI", w, self.atom(name), self.atom(kind), 32, len(words)) +
                  struct.pack("<%dI" % len(words), *words))

    def set_text(self, w, name, text, kind="STRING"):
        self.send(18, 0, struct.pack("<IIIBxxxI", w, self.atom(name), self.atom(kind), 8, len(text)) + text)

    def delete_prop(self, w, name):
        self.send(19, 0, struct.pack("<II", w, self.atom(name)))

    def create(self, x=0, y=0, w=100, h=100, parent=None, override=0, select=0, color=0):
        i = self.new_id()
        self.send(1, 0, struct.pack("<IIhhHHHHIIIII", i, parent or self.root, x, y, w, h, 0, 1, 0, 0x2 | 0x200 | 0x800, color,
                                    override, select))
        self.made.append(i)
        return i

    def select(self, w, mask):
        """From now on: whatever others ask of X after this returns is heard of."""
        self.send(2, 0, struct.pack("<III", w, 0x800, mask))
        self.sync()

    def clean(self):
        """Nothing of what a test began, and perhaps did not end, is left to the next one."""
        self.select(self.root, 0)
        for w in self.made:
            self.destroy(w)
        self.send(32, 0, struct.pack("<I", 0))
        for key in (38, 50, 54):
            self.xtest(3, key)
        self.xtest(5, 1)
        self.sync()
        self.made.clear()
        self.events.clear()

    def destroy(self, w):
        self.send(4, 0, struct.pack("<I", w))

    def map(self, w):
        self.send(8, 0, struct.pack("<I", w))

    def unmap(self, w):
        self.send(10, 0, struct.pack("<I", w))

    def configure(self, w, **v):
        names = ["x", "y", "width", "height", "border", "sibling", "stack"]
        keys = [k for k in names if k in v]
        mask = sum(1 << names.index(k) for k in keys)
        self.send(12, 0, struct.pack("<IHxx", w, mask) + b"".join(struct.pack("<i", v[k]) for k in keys))

    def reparent(self, w, parent, x=0, y=0):
        self.send(7, 0, struct.pack("<IIhh", w, parent, x, y))

    def focus(self, w):
        self.send(42, 1, struct.pack("<II", w, 0))

    def own(self, selection, w):
        self.send(22, 0, struct.pack("<III", w, self.atom(selection), 0))

    def owner(self, selection):
        return struct.unpack("<I", self.ask(23, 0, struct.pack("<I", self.atom(selection)))[8:12])[0]

    def managed(self):
        """Whether there is a window manager that takes a window: what is mapped while it starts it may leave unmapped."""
        w = self.create(10, 10, 50, 50)
        self.map(w)
        try:
            return until(lambda: self.tree(w)[0] != self.root, 0.3)
        finally:
            self.destroy(w)

    def event_to(self, w, event, mask=0):
        self.send(25, 0, struct.pack("<II", w, mask) + event)

    def message(self, to, about, kind, data, mask=0):
        self.event_to(to, struct.pack("<BBHII5I", 33, 32, 0, about, self.atom(kind), *(list(data) + [0] * 5)[:5]), mask)

    def pixels(self, x, y, w, h, of=None):
        """Rows of 0xRRGGBB, as shown."""
        p = self.ask(73, 2, struct.pack("<IhhHHI", of or self.root, x, y, w, h, 0xffffffff))
        words = struct.unpack("<%dI" % (w * h), p[32:32 + 4 * w * h])
        return [[v & 0xffffff for v in words[i * w:(i + 1) * w]] for i in range(h)]

    def pixel(self, x, y):
        return self.pixels(x, y, 1, 1)[0][0]

    def pointer(self, x, y):
        self.send(41, 0, struct.pack("<IIhhHHhh", 0, self.root, 0, 0, 0, 0, x, y))

    def xtest(self, kind, detail, x=0, y=0):
        """2 3 key, 4 5 button, 6 pointer"""
        if not hasattr(self, "_xtest"):
            p = self.ask(98, 0, struct.pack("<Hxx", 5) + b"XTEST")
            assert p[8], "no XTEST"
            self._xtest = p[9]
        self.send(self._xtest, 2, struct.pack("<BBxxIIxxxxxxxxhhxxxxxxxx", kind, detail, 0, self.root if kind == 6 else 0, x, y))

    def ours(self, qube=None):
        """A qube's windows, or all of them (whose numbers may be the same): {remote id: F}."""
        out, look = {}, [self.root]
        while look:
            try:
                _, children = self.tree(look.pop())
            except XError:
                continue
            for c in children:
                try:
                    v = self.prop(c, "_QUBES_VMWINDOWID")
                    if v and qube and self.prop(c, "_QUBES_VMNAME") != qube.encode():
                        continue
                except XError:
                    continue
                if v:
                    out[v[0]] = c
                else:
                    look.append(c)
        return out

    def close(self):
        self.s.close()


# --- an agent ---

class Agent:
    def __init__(self, directory, domid=7, uid=None):
        """uid: the qube's root, whose socket and pages they have to be for chand."""
        self.path = "%s/vchan.%d.0.6000.sock" % (directory, domid)
        self.pages = os.path.join(directory, "pages/%d" % domid if uid is None else "grants")
        self.domid, self.uid, self.s, self.got = domid, uid, None, []
        os.makedirs(self.pages, exist_ok=True)
        self.ref = 100
        self.l = socket.socket(socket.AF_UNIX)
        self.l.bind(self.path + ".new")
        self.l.listen(4)
        if uid is not None:
            os.chown(self.path + ".new", uid, uid)
        os.rename(self.path + ".new", self.path)
        self.l.settimeout(LIMIT)

    def accept(self, minor=8, major=1):
        self.s, _ = self.l.accept()
        self.s.settimeout(LIMIT)
        self.s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self.minor, self.got, self.rest = minor, [], b""
        self.raw(struct.pack("<I", major << 16 | minor))

    def hello(self, minor=8):
        """The daemon's version (None: it sends none) and xconf."""
        self.accept(minor)
        version = struct.unpack("<I", self.bytes(4))[0] if minor >= 4 else None
        self.xconf = struct.unpack("<4I", self.bytes(16))
        return version, self.xconf

    def raw(self, data):
        self.s.sendall(data)

    def bytes(self, n):
        while len(self.rest) < n:
            got = self.s.recv(65536)
            if not got:
                raise EOFError("daemon")
            self.rest += got
        out, self.rest = self.rest[:n], self.rest[n:]
        return out

    def message(self):
        kind, window, n = struct.unpack("<III", self.bytes(12))
        if TO_AGENT.get(kind) != n:
            raise AssertionError("type %d of %d bytes is not a daemon's" % (kind, n))
        return kind, window, self.bytes(n)

    def get(self, kind, window=None, fmt=None, limit=None):
        """The next message of that type; others are kept aside, in order, in self.got."""
        self.s.settimeout(limit or LIMIT)
        while True:
            m = self.message()
            if m[0] == kind and window in (None, m[1]):
                return struct.unpack(fmt, m[2]) if fmt else m[2]
            self.got.append(m)

    def quiet(self, seconds=0.1):
        """What comes within that time."""
        out, end = [], time.monotonic() + seconds
        while self.rest or select.select([self.s], [], [], max(0, end - time.monotonic()))[0]:
            try:
                out.append(self.message())
            except (EOFError, ConnectionResetError):
                break
        return out

    def ends(self, limit=None):
        """Whether the daemon hangs up."""
        self.s.settimeout(limit or LIMIT)
        try:
            while self.s.recv(65536):
                pass
            return True
        except ConnectionResetError:
            return True
        except socket.timeout:
            return False

    def put(self, kind, window, body=b"", length=None):
        self.raw(struct.pack("<III", kind, window, len(body) if length is None else length) + body)

    def create(self, w, x=100, y=100, width=200, height=100, override=0, parent=0):
        self.put(CREATE, w, struct.pack("<iiIIII", x, y, width & 0xffffffff, height & 0xffffffff, parent, override))

    def map(self, w, override=0, transient=0):
        self.put(MAP, w, struct.pack("<II", transient, override))

    def configure(self, w, x, y, width, height, override=0):
        self.put(CONFIGURE, w, struct.pack("<iiIII", x, y, width & 0xffffffff, height & 0xffffffff, override))

    def damage(self, w, x=0, y=0, width=200, height=100):
        self.put(SHMIMAGE, w, struct.pack("<iiII", x, y, width & 0xffffffff, height & 0xffffffff))

    def flags(self, w, on=0, off=0):
        self.put(FLAGS, w, struct.pack("<II", on, off))

    def name(self, w, text):
        self.put(WMNAME, w, text.ljust(128, b"\0"))

    def image(self, width, height, color=0x123456):
        """Pages of that picture: a Pages."""
        p = Pages(self, width, height)
        p.fill(color)
        return p

    def dump(self, w, refs, width, height, kind=0, bpp=24):
        self.put(DUMP, w, struct.pack("<IIII", kind, width, height, bpp) + struct.pack("<%dI" % len(refs), *refs))

    def show(self, w, width=200, height=100, color=0x123456, x=100, y=100, override=0):
        """A window with a picture, on the screen."""
        self.create(w, x, y, width, height, override)
        p = self.image(width, height, color)
        self.dump(w, p.refs, width, height)
        self.map(w, override)
        self.damage(w, 0, 0, width, height)
        return p

    def round(self):
        """All that was sent before has been acted on."""
        self.create(0xfffffff0, 100, 100, 1, 1)
        self.put(DESTROY, 0xfffffff0)
        if self.minor >= 5:
            self.get(DESTROY, 0xfffffff0)

    def hang_up(self):
        self.s.close()

    def close(self):
        if self.s:
            self.s.close()
        self.l.close()
        if os.path.exists(self.path):
            os.unlink(self.path)


class Pages:
    def __init__(self, agent, width, height):
        self.n = max(1, (width * height * 4 + 4095) // 4096)
        self.first, agent.ref = agent.ref, agent.ref + self.n + 1
        self.refs = list(range(self.first, self.first + self.n))
        self.path = os.path.join(agent.pages, str(self.first))
        self.width, self.height = width, height
        with open(self.path, "wb") as f:
            f.truncate(self.n * 4096)
        if agent.uid is not None:
            os.chown(self.path, agent.uid, agent.uid)
        self.f = open(self.path, "r+b")
        self.m = mmap.mmap(self.f.fileno(), self.n * 4096)

    def fill(self, color, x=0, y=0, w=None, h=None):
        w, h = w or self.width - x, h or self.height - y
        row = struct.pack("<I", color) * w
        for i in range(y, y + h):
            at = 4 * (i * self.width + x)
            self.m[at:at + len(row)] = row


def border(x, at, inset, color=RED, inside=None):
    """Whether every pixel of that width within the rectangle is the label's, and the one inside it is another's."""
    px, py, w, h = at
    rows = x.pixels(px, py, w, h)
    good = all(all(v == color for v in rows[i]) for i in list(range(inset)) + list(range(h - inset, h)))
    good = good and all(v == color for r in rows for v in r[:inset] + r[w - inset:])
    if inside is not None:
        good = good and all(v == inside for r in rows[inset:h - inset] for v in r[inset:w - inset])
    return good


# --- guid ---

class Desk:
    """An X server, a directory for channels and pages, guids by hand. On Xen: a qube for those."""
    stage = None

    def __init__(self, guid, size="%dx%dx24" % (WIDTH, HEIGHT), more=()):
        self.dir = tempfile.mkdtemp(prefix="g-", dir="/tmp")
        self.guid, self.server = guid, XServer(size, more)
        if XEN and not Desk.stage:
            from stage import Stage
            qubes("vault")
            Desk.stage = Stage("vault")
        self.x = X(self.server.n)
        self.procs, self.agents, self.others = [], [], []

    def env(self, **more):
        if not XEN:
            more |= {"VCHAN_SOCKET_DIR": self.dir, "QGNT_DIR": os.path.join(self.dir, "pages")}
        return dict(os.environ, DISPLAY=self.server.display, XAUTHORITY="/dev/null", **more)

    def agent(self, domid=7):
        a = self.stage.agent() if XEN else Agent(self.dir, domid)
        self.agents.append(a)
        return a

    def start(self, *args, domid=None, name="work", color="0xcc0000", label=1, foreground=True, display=None):
        self.log = open(os.path.join(self.dir, "log"), "ab+")
        argv = [self.guid, "-d", str(domid or (self.stage.domid if XEN else 7)), "-N", name, "-c", color, "-l", str(label), *(["-f"] if foreground else []), *args]
        p = subprocess.Popen(argv, env=self.env() | ({"DISPLAY": display} if display else {}), stdin=subprocess.DEVNULL,
                             stderr=self.log)
        self.procs.append(p)
        return p

    def config(self, text):
        path = os.path.join(self.dir, "conf")
        with open(path, "w") as f:
            f.write("global: {\n%s\n}\n" % text)
        return path

    def said(self):
        with open(os.path.join(self.dir, "log"), errors="replace") as f:
            return f.read()

    def run(self, *argv):
        p = subprocess.Popen(argv, env=self.env(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.others.append(p)
        return p

    def f(self, window, limit=None):
        """X's id of F of a window of the agent's, when it is there."""
        return until(lambda: self.x.ours().get(window), limit)

    def close(self):
        for p in self.procs + self.others:
            p.kill()
            p.wait()
        for a in self.agents:
            a.close()
        self.x.close()
        self.server.close()
        shutil.rmtree(self.dir, True)


def child_of(pid):
    """By hand there is a parent that waits, and the one that works."""
    with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
        return int(f.read().split()[0])
