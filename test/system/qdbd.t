#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
# qdbd by hand, its clients and its peer spoken byte by byte: spec/qubesdb 2, 3, 4, 5, 10.
import os, resource, select, shutil, signal, socket, struct, subprocess, sys, tempfile, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from wire import *

local_only("by hand over a socket directory")

READ, WRITE, MULTIREAD, LIST, RM, WATCH, UNWATCH = range(7)
OK, NOENT, ERROR, R_READ, R_MULTIREAD, R_LIST, R_WATCH = range(7, 14)
QDBD = os.path.join(os.environ.get("QDBD_BIN") or os.path.join(os.environ.get("O", "build/local"), "bin"), "qdbd")
QDBD, = reachable(QDBD)
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, max(4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))


def msg(kind, path=b"", data=b"", pad=b"\0\0\0"):
    return bytes([kind]) + path.ljust(64, b"\0") + pad + struct.pack("<I", len(data)) + data


def until(f, limit=LIMIT):
    end = time.monotonic() + limit
    while not f():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.002)


class Conn:
    """Messages either way, over a client's socket or the vchan."""

    def __init__(self, s):
        self.s = s
        s.settimeout(LIMIT)

    def put(self, *m):
        self.s.sendall(msg(*m))

    def raw(self, data):
        self.s.sendall(data)

    def get(self):
        h = recvall(self.s, 72)
        eq(h[65:68], b"\0\0\0", "padding")
        path, rest = h[1:65].split(b"\0", 1)
        eq(rest.strip(b"\0"), b"", "behind the path")
        return h[0], path, recvall(self.s, struct.unpack("<I", h[68:])[0])

    def ask(self, *m):
        self.put(*m)
        return self.get()

    def all(self, *m):
        self.put(*m)
        return self.rest()

    def rest(self):
        out = []
        while True:
            kind, path, data = self.get()
            if not path:
                eq(data, b"")
                return out
            out.append((path, data) if data or kind == R_MULTIREAD else path)

    def eof(self):
        try:
            while self.s.recv(65536):
                pass
            return True
        except ConnectionResetError:
            return True

    def silent(self, seconds=0.05):
        return not select.select([self.s], [], [], seconds)[0]

    def close(self):
        self.s.close()


class Daemon:
    """A qdbd: in Dom0 for domain 5 (argv 5 work), Dom0's own, or in the qube (argv 0)."""

    def __init__(self, *argv, vchan=None, me=0, options=(), ready=True):
        self.dir = tempfile.mkdtemp(prefix="qdb-")
        self.vchan = vchan or self.dir
        self.argv, self.me, self.options = argv, me, options
        self.base = "qubesdb." + argv[1] if len(argv) > 1 else "qubesdb"
        self.log = open(os.path.join(self.dir, "log"), "a+")
        self.start()
        if ready:
            until(self.ready)

    def start(self):
        r, w = os.pipe()
        os.set_inheritable(w, True)
        self.p = subprocess.Popen([QDBD, "-n", str(w), "--socket-dir=" + self.dir, *self.options, *self.argv],
                                  env=dict(os.environ, VCHAN_SOCKET_DIR=self.vchan, VCHAN_DOMAIN=str(self.me)),
                                  stderr=self.log, pass_fds=[w])
        os.close(w)
        self.r = r

    def ready(self):
        if self.p.poll() is not None:
            raise AssertionError("ended: " + "\n".join(self.lines()))
        return select.select([self.r], [], [], 0)[0] and os.read(self.r, 1) == b"\n"

    def client(self, ro=False):
        s = socket.socket(socket.AF_UNIX)
        s.connect(os.path.join(self.dir, self.base + (".ro.sock" if ro else ".sock")))
        return Conn(s)

    def lines(self, part=""):
        with open(self.log.name) as f:
            return [l for l in f.read().splitlines() if part in l]

    def rss(self):
        with open("/proc/%d/status" % self.p.pid) as f:
            return next(int(l.split()[1]) for l in f if l.startswith("VmRSS"))

    def spent(self):
        with open("/proc/%d/stat" % self.p.pid) as f:
            return sum(map(int, f.read().rsplit(")", 1)[1].split()[11:13])) / os.sysconf("SC_CLK_TCK")

    def kill(self, sig=signal.SIGTERM):
        self.p.send_signal(sig)
        return self.p.wait(LIMIT)

    def close(self):
        if self.p.poll() is None:
            self.p.kill()
            self.p.wait()
        os.close(self.r)
        self.log.close()
        shutil.rmtree(self.dir, True)


class Dom0:
    """A qdbd in Dom0; peer(): its qube, connected."""

    def __init__(self):
        self.d = Daemon("5", "work")
        self.c = self.d.client()
        self.ro = self.d.client(True)

    def peer(self, sync=True):
        s = socket.socket(socket.AF_UNIX)
        path = os.path.join(self.d.vchan, "vchan.0.5.111.sock")
        until(lambda: os.path.exists(path))
        s.connect(path)
        p = Conn(s)
        if sync:
            p.have = p.all(MULTIREAD)
        return p

    def close(self):
        self.c.close()
        self.ro.close()
        self.d.close()


# ---- spec 2, 3: a client ----

@test
def read_write_rm(h):
    c = h.c
    eq(c.ask(READ, b"/a"), (NOENT, b"/a", b""))
    eq(c.ask(WRITE, b"/a", b"one"), (OK, b"/a", b""))
    eq(c.ask(READ, b"/a"), (R_READ, b"/a", b"one"))
    eq(c.ask(WRITE, b"/a", b""), (OK, b"/a", b""))
    eq(c.ask(READ, b"/a"), (R_READ, b"/a", b""))
    eq(c.ask(RM, b"/a"), (OK, b"/a", b""))
    eq(c.ask(RM, b"/a"), (NOENT, b"/a", b""))
    eq(c.ask(READ, b"/a"), (NOENT, b"/a", b""))


@test
def keys_of_63_bytes_and_values_of_3071(h):
    c = h.c
    key = b"/" + b"k" * 62
    eq(c.ask(WRITE, key, b"v" * 3071), (OK, key, b""))
    eq(c.ask(READ, key), (R_READ, key, b"v" * 3071))
    eq(c.ask(WRITE, b"/b", b"v" * 3072), (ERROR, b"/b", b""))
    eq(c.ask(READ, b"/b"), (NOENT, b"/b", b""))
    eq(c.ask(WRITE, b"/b", b"v" * 100000), (ERROR, b"/b", b""))
    c.raw(msg(WRITE, b"/" + b"k" * 63, b"64"))  # byte 64 becomes NUL
    eq(c.get(), (OK, key, b""))
    eq(c.ask(READ, key), (R_READ, key, b"64"))


@test
def any_value_byte_but_nul(h):
    value = bytes(range(1, 256))
    eq(h.c.ask(WRITE, b"/v", value), (OK, b"/v", b""))
    eq(h.c.ask(READ, b"/v"), (R_READ, b"/v", value))
    for bad in (b"\0", b"a\0", b"\0a"):
        eq(h.c.ask(WRITE, b"/v", bad), (ERROR, b"/v", b""))
    eq(h.c.ask(READ, b"/v"), (R_READ, b"/v", value))


@test
def key_bytes(h):
    good = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_/.:@-"
    for i in range(1, 256):
        key = b"/" + bytes([i]) + b"x"
        eq(h.c.ask(WRITE, key, b"1")[0], OK if i in good else ERROR, key)
        for kind in (READ, LIST, MULTIREAD, RM, WATCH, UNWATCH):
            if i not in good:
                eq(h.c.ask(kind, key), (ERROR, key, b""))


@test
def keys_that_cannot_be_written(h):
    for key in (b"", b"a", b"a/b", b"-a", b"/", b"/a/", b"//"):
        eq(h.c.ask(WRITE, key, b"1"), (ERROR, key, b""))
    for key in (b"//a", b"/a//b", b"/../a", b"/-a"):
        eq(h.c.ask(WRITE, key, b"1"), (OK, key, b""))


@test
def data_where_none_belongs(h):
    for kind in (MULTIREAD, LIST, RM, WATCH, UNWATCH):
        eq(h.c.ask(kind, b"/a", b"x" * 5000), (ERROR, b"/a", b""), kind)
    c = h.d.client()
    c.put(READ, b"/a", b"x")
    assert c.eof()
    eq(h.c.ask(READ, b"/a"), (NOENT, b"/a", b""))


@test
def unknown_commands_close(h):
    for kind in list(range(OK, 20)) + [255]:
        c = h.d.client()
        c.put(kind, b"/a")
        assert c.eof(), kind
    assert h.d.lines("client of uid"), "no log line"
    eq(h.c.ask(READ, b"/a"), (NOENT, b"/a", b""))


@test
def the_ro_socket_only_reads(h):
    h.c.ask(WRITE, b"/a", b"1")
    eq(h.ro.ask(WRITE, b"/a", b"2"), (ERROR, b"/a", b""))
    eq(h.ro.ask(RM, b"/a"), (ERROR, b"/a", b""))
    eq(h.ro.ask(RM, b"/"), (ERROR, b"/", b""))
    eq(h.ro.ask(READ, b"/a"), (R_READ, b"/a", b"1"))
    eq(h.ro.ask(WATCH, b"/a"), (OK, b"/a", b""))
    h.c.ask(WRITE, b"/a", b"3")
    eq(h.ro.get(), (R_WATCH, b"/a", b""))


@test
def order_of_lists(h):
    for k in (b"/b", b"/a/2", b"/a", b"/a/1", b"/ab"):
        h.c.ask(WRITE, k, b"=" + k)
    up = [b"/a", b"/a/1", b"/a/2", b"/ab", b"/b"]
    pairs = [(k, b"=" + k) for k in up]
    eq(h.c.all(LIST, b""), up)
    eq(h.c.all(LIST, b"/a"), up[:4])
    eq(h.c.all(LIST, b"/a/"), up[1:3])
    eq(h.c.all(LIST, b"/c"), [])
    eq(h.c.all(MULTIREAD, b"/"), pairs)
    eq(h.c.all(MULTIREAD, b"/a/"), pairs[1:3])
    eq(h.c.all(MULTIREAD, b""), pairs[::-1])
    eq(h.c.all(MULTIREAD, b"/c"), [])


@test
def rm_of_a_prefix(h):
    for k in (b"/d", b"/d/1", b"/d/2", b"/dd"):
        h.c.ask(WRITE, k, b"x")
    w = h.d.client()
    for p in (b"/d/", b"/d/1", b"/d/1/", b"/"):
        eq(w.ask(WATCH, p), (OK, p, b""))
    eq(h.c.ask(RM, b"/d/"), (OK, b"/d/", b""))
    eq(h.c.all(LIST, b""), [b"/d", b"/dd"])
    eq([w.get(), w.get()], [(R_WATCH, b"/d/", b"")] * 2)  # not the one of /d/1
    assert w.silent()
    eq(h.c.ask(RM, b"/d/"), (NOENT, b"/d/", b""))
    assert w.silent()
    eq(h.c.ask(RM, b"/"), (OK, b"/", b""))
    eq(h.c.all(LIST, b""), [])


@test
def watches(h):
    w = h.d.client()
    eq(w.ask(WATCH, b"/x"), (OK, b"/x", b""))
    eq(w.ask(WATCH, b"/x"), (OK, b"/x", b""))
    eq(w.ask(WATCH, b"/y/"), (OK, b"/y/", b""))
    for k in (b"/x/1", b"/xx", b"/y", b"/x", b"/y/1"):
        h.c.ask(WRITE, k, b"1")
    eq([w.get() for _ in range(3)], [(R_WATCH, b"/x", b"")] * 2 + [(R_WATCH, b"/y/1", b"")])
    eq(w.ask(UNWATCH, b"/x"), (OK, b"/x", b""))
    h.c.ask(RM, b"/x")
    eq(w.get(), (R_WATCH, b"/x", b""))
    eq(w.ask(UNWATCH, b"/x"), (OK, b"/x", b""))
    eq(w.ask(UNWATCH, b"/x"), (NOENT, b"/x", b""))
    eq(h.c.ask(RM, b"/nothing"), (NOENT, b"/nothing", b""))
    assert w.silent()
    # its own changes too
    w.put(WRITE, b"/y/2", b"1")
    eq(sorted([w.get(), w.get()]), [(OK, b"/y/2", b""), (R_WATCH, b"/y/2", b"")])


@test
def at_most_256_watches(h):
    for i in range(256):
        eq(h.c.ask(WATCH, b"/w%d" % i)[0], OK)
    eq(h.c.ask(WATCH, b"/more"), (ERROR, b"/more", b""))
    eq(h.c.ask(UNWATCH, b"/w7")[0], OK)
    eq(h.c.ask(WATCH, b"/more")[0], OK)
    assert h.d.lines("limit 256")


@test
def messages_split_at_every_byte(h):
    h.c.ask(WRITE, b"/a", b"1")
    talk = (msg(WRITE, b"/s", b"value") + msg(READ, b"/s") + msg(LIST, b"/s", b"xyz") + msg(WRITE, b"/t", b"v" * 3080) +
            msg(MULTIREAD, b"/s") + msg(RM, b"/s") + msg(READ, b"/s") + msg(WRITE, b"/ bad", b"v"))
    want = [(OK, b"/s", b""), (R_READ, b"/s", b"value"), (ERROR, b"/s", b""), (ERROR, b"/t", b""),
            (R_MULTIREAD, b"/s", b"value"), (R_MULTIREAD, b"", b""), (OK, b"/s", b""), (NOENT, b"/s", b""),
            (ERROR, b"/ bad", b"")]
    h.c.s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    for at in [n for n in range(1, len(talk)) if n < 620 or n > len(talk) - 420 or n % 97 == 0]:
        h.c.raw(talk[:at])
        if at % 7 == 0:
            h.ro.ask(READ, b"/a")  # it has seen the first part
        h.c.raw(talk[at:])
        eq([h.c.get() for _ in want], want, at)
    for b in talk:
        h.c.raw(bytes([b]))
    eq([h.c.get() for _ in want], want)


@test
def padding_means_nothing(h):
    h.c.raw(msg(WRITE, b"/a", b"1", b"\xff\xfe\xfd"))
    eq(h.c.get(), (OK, b"/a", b""))
    h.c.raw(msg(READ, b"/a\0\x07\xffgarbage"))
    eq(h.c.get(), (R_READ, b"/a", b"1"))
    h.c.raw(msg(READ, b"/a b\0garbage"))
    eq(h.c.get(), (ERROR, b"/a b", b""))


@test
def half_a_command_keeps_nobody_waiting(h):
    held = []
    for n in (1, 71, 72, 80):
        c = h.d.client()
        c.raw(msg(WRITE, b"/half", b"0123456789")[:n])
        held.append(c)
    before = h.d.spent()
    for i in range(100):
        eq(h.c.ask(WRITE, b"/n", b"%d" % i)[0], OK)
    assert h.d.spent() - before < 0.5
    for n, c in zip((1, 71, 72, 80), held):
        c.raw(msg(WRITE, b"/half", b"0123456789")[n:])
        eq(c.get(), (OK, b"/half", b""))


@test
def a_client_that_does_not_read_keeps_nobody_waiting(h):
    for i in range(200):
        h.c.ask(WRITE, b"/big/%d" % i, b"v" * 3000)
    c = h.d.client()
    c.s.settimeout(0.3)
    n = 0
    try:
        for n in range(20000):
            c.put(MULTIREAD, b"/big/")
    except socket.timeout:
        pass
    assert n < 19999, "it took all of that"
    for i in range(100):
        eq(h.c.ask(READ, b"/big/1")[2], b"v" * 3000)
    assert h.d.rss() < 4000, h.d.rss()
    c.s.settimeout(LIMIT)
    for _ in range(3):
        eq(len(c.rest()), 200)
    c.close()
    eq(h.c.ask(READ, b"/no")[0], NOENT)


@test
def a_watcher_that_does_not_read(h):
    w = h.d.client()
    w.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    w.ask(WATCH, b"/w/")
    for i in range(30000):  # the same ones: each waits once
        h.c.put(WRITE, b"/w/%d" % (i % 100), b"%d" % i)
        if i % 100 == 99:
            eq({h.c.get()[0] for _ in range(100)}, {OK})
    assert not h.d.lines("does not read")
    seen = set()
    while not w.silent():
        seen.add(w.get()[1])
    eq(len(seen), 100)
    for i in range(30000):  # more different ones than have room
        h.c.put(WRITE, b"/w/%d" % (i % 8000), b"")
        if i % 100 == 99:
            eq({h.c.get()[0] for _ in range(100)}, {OK})
    assert w.eof()
    eq(len(h.d.lines("it does not read: 512 events wait; closed")), 1)


@test
def a_watcher_that_sleeps_has_each_change_once(h):
    ws = [h.d.client() for _ in range(20)]
    for i, w in enumerate(ws):  # the place for their events gets full at different times
        w.ask(WATCH, b"/k")
        w.ask(WATCH, b"/fill/%d" % i)
        for _ in range(13 * i):
            h.c.ask(WRITE, b"/fill/%d" % i)
    p = h.peer()
    p.s.setblocking(False)
    left, answers = msg(WRITE, b"/k") * 100000, 0
    while answers < 100000 * 72:
        r, wr, _ = select.select([p.s], [p.s] if left else [], [], LIMIT)
        assert r or wr
        if wr:
            left = left[p.s.send(left[:1 << 18]):]
        if r:
            answers += len(p.s.recv(1 << 20))
    assert not h.d.lines("does not read"), h.d.lines()
    assert h.d.rss() < 3500, h.d.rss()
    for i, w in enumerate(ws):
        eq({w.get() for _ in range(13 * i + 1)} - {(R_WATCH, b"/fill/%d" % i, b"")}, {(R_WATCH, b"/k", b"")})


@test
def readers_that_leave_are_no_sigpipe(h):
    for i in range(300):
        h.c.ask(WRITE, b"/k/%d" % i, b"v" * 1000)
    for i in range(50):
        c = h.d.client()
        c.ask(WATCH, b"/k/")
        c.raw(msg(MULTIREAD, b"/k/") * 10)
        if i % 2:
            c.get()
        c.close()
        h.c.ask(WRITE, b"/k/1", b"x")
    eq(h.c.ask(READ, b"/k/1"), (R_READ, b"/k/1", b"x"))


@test
def answers_after_half_a_close(h):
    for i in range(300):
        h.c.ask(WRITE, b"/k/%d" % i, b"v" * 1000)
    c = h.d.client()
    c.raw(msg(MULTIREAD, b"/k/") * 20)
    c.s.shutdown(socket.SHUT_WR)
    for _ in range(20):
        eq(len(c.rest()), 300)
    assert c.eof()


@test
def a_thousand_clients_and_one_too_many(h):
    cs = [h.d.client() for _ in range(1022)]
    for c in cs:
        c.put(WATCH, b"/w")
    for c in cs:
        eq(c.get()[0], OK)
    more = [h.d.client() for _ in range(5)]
    for c in more:
        assert c.eof()
    assert h.d.lines("1024 clients are there")
    h.c.ask(WRITE, b"/w", b"1")
    for c in cs:
        eq(c.get(), (R_WATCH, b"/w", b""))
    for c in cs + more:
        c.close()
    def let_in():
        try:
            return h.d.client().ask(READ, b"/w")[0] == R_READ
        except OSError:
            return False
    until(let_in)
    eq(h.c.ask(READ, b"/w")[0], R_READ)


@test
def pipelined_requests_in_order(h):
    n = 5000
    h.c.ask(WRITE, b"/a", b"1")
    pid = os.fork()
    if pid == 0:
        h.c.raw(b"".join(msg(READ, b"/a") + msg(WRITE, b"/n", b"%d" % i) + msg(READ, b"/n") for i in range(n)))
        os._exit(0)
    for i in range(n):
        eq([h.c.get() for _ in range(3)], [(R_READ, b"/a", b"1"), (OK, b"/n", b""), (R_READ, b"/n", b"%d" % i)])
    os.waitpid(pid, 0)


# ---- spec 4: the peer ----

@test
def the_peer_gets_all_and_then_each_change(h):
    h.c.ask(WRITE, b"/a", b"1")
    h.c.ask(WRITE, b"/b", b"2")
    p = h.peer()
    eq(p.have, [(b"/b", b"2"), (b"/a", b"1")])
    h.c.ask(WRITE, b"/c", b"3")
    eq(p.get(), (WRITE, b"/c", b"3"))
    p.put(OK, b"/c")
    h.c.ask(RM, b"/a")
    eq(p.get(), (RM, b"/a", b""))
    p.put(ERROR, b"/a")
    eq(p.ask(WRITE, b"/p", b"4"), (OK, b"/p", b""))
    eq(h.c.ask(READ, b"/p"), (R_READ, b"/p", b"4"))
    eq(p.ask(RM, b"/p"), (OK, b"/p", b""))
    eq(h.c.ask(READ, b"/p"), (NOENT, b"/p", b""))
    assert p.silent()  # its own changes do not come back


@test
def nothing_that_ends_a_stock_peer(h):
    h.c.ask(WRITE, b"/gone", b"1")
    h.c.ask(RM, b"/gone")
    p = h.peer()
    eq(p.ask(RM, b"/never"), (OK, b"/never", b""))  # not NOENT
    eq(p.ask(RM, b"/never/"), (OK, b"/never/", b""))
    p.ask(WRITE, b"/p", b"1")
    p.ask(RM, b"/p")
    eq(h.c.ask(RM, b"/p")[0], NOENT)
    h.c.ask(WRITE, b"/q", b"1")
    eq(p.get()[0], WRITE)
    p.put(ERROR, b"/q")  # it has not taken it
    p.ask(RM, b"/x")
    h.c.ask(RM, b"/q")
    assert p.silent()


@test
def a_peer_that_reconnects_has_all(h):
    p = h.peer()
    p.ask(WRITE, b"/p", b"1")
    h.c.ask(WRITE, b"/d", b"1")
    eq(p.get()[0], WRITE)
    p.close()
    h.c.ask(WRITE, b"/e", b"1")
    h.c.ask(RM, b"/d")
    p = h.peer()
    eq(p.have, [(b"/p", b"1"), (b"/e", b"1")])
    assert p.silent()


@test
def a_closed_peer_before_any_multiread_ends_it(h):
    p = h.peer(sync=False)
    p.close()
    eq(h.d.p.wait(LIMIT), 0)
    assert h.d.lines("the domain has gone")
    assert not os.path.exists(os.path.join(h.d.dir, "qubesdb.work.sock"))


def closed(h, what, *raw):
    p = h.peer()
    p.raw(b"".join(raw))
    assert p.eof(), what
    p.close()
    assert h.d.lines(what), (what, h.d.lines())
    eq(h.c.ask(READ, b"/still")[0], NOENT)


@test
def a_second_multiread_closes(h):
    closed(h, "a second multiread", msg(MULTIREAD))


@test
def what_is_not_for_a_vchan_closes(h):
    for kind in (READ, LIST, WATCH, UNWATCH, NOENT, R_READ, R_LIST, R_WATCH, 14, 255):
        closed(h, "not for this connection (message %d with 0" % kind, msg(kind, b"/a"))


@test
def what_nobody_asked_for_closes(h):
    closed(h, "an answer that nobody asked for", msg(R_MULTIREAD, b"/a", b"1"))


@test
def bad_headers_close(h):
    closed(h, "the limit is 3071 (message 1 with 3072", msg(WRITE, b"/a", b"v" * 3072))
    closed(h, "(message 1 with 4294967295", msg(WRITE, b"/a")[:68] + b"\xff" * 4)
    closed(h, "the limit is 0 (message 4 with 1", msg(RM, b"/a", b"v"))
    closed(h, "the limit is 0 (message 7 with 1", msg(OK, b"/a", b"v"))
    closed(h, "the limit is 0 (message 9 with 1", msg(ERROR, b"/a", b"v"))
    closed(h, "a path with other bytes", msg(WRITE, b"/a b", b"v"))
    closed(h, "a path with other bytes", msg(RM, b"-a"))


@test
def what_cannot_be_written_is_an_error(h):
    p = h.peer()
    for key, value in ((b"a", b"1"), (b"/a/", b"1"), (b"", b"1"), (b"/a", b"\0")):
        eq(p.ask(WRITE, key, value), (ERROR, key, b""))
    eq(h.c.all(LIST), [])


@test
def half_a_vchan_message_is_waited_for_at_rest(h):
    p = h.peer()
    w = h.d.client()
    w.ask(WATCH, b"/")
    m = msg(WRITE, b"/s", b"v" * 3071)
    for at in (1, 71, 72, 73, 3000):
        p.raw(m[:at])
        before = h.d.spent()
        time.sleep(0.1)
        eq(h.c.ask(READ, b"/x")[0], NOENT)
        assert h.d.spent() - before <= 0.03, "it spins"
        p.raw(m[at:])
        eq(p.get(), (OK, b"/s", b""))
        eq(w.get(), (R_WATCH, b"/s", b""))
    m = msg(WRITE, b"/t", b"1") + msg(RM, b"/t") + msg(OK) + msg(ERROR)
    for at in range(1, len(m)):
        p.raw(m[:at])
        if at % 5 == 0:
            h.c.ask(READ, b"/x")
        p.raw(m[at:])
        eq([p.get(), p.get()], [(OK, b"/t", b"")] * 2)


@test
def a_qube_never_changes_what_dom0_has_written(h):
    h.c.ask(WRITE, b"/name", b"work")
    h.c.ask(WRITE, b"/seed", b"x")
    p = h.peer()
    w = h.d.client()
    w.ask(WATCH, b"/name")
    eq(p.ask(WRITE, b"/name", b"evil"), (OK, b"/name", b""))
    eq(w.get(), (R_WATCH, b"/name", b""))  # trigger keys do trigger
    eq(p.ask(RM, b"/seed"), (OK, b"/seed", b""))
    p.ask(WRITE, b"/own", b"1")
    eq(h.c.ask(READ, b"/name"), (R_READ, b"/name", b"work"))
    eq(h.c.ask(READ, b"/seed"), (R_READ, b"/seed", b"x"))
    eq(h.c.all(LIST, b"//dom0/"), [b"/name", b"/seed"])
    eq(h.c.all(LIST, b"//qube/"), [b"/name", b"/own"])
    eq(h.c.all(LIST, b"//dom0/na"), [b"/name"])
    p.close()
    p = h.peer()
    eq(p.have, [(b"/own", b"1"), (b"/name", b"evil")])  # the qube goes on with its own
    h.c.ask(WRITE, b"/name", b"new")
    eq(p.get(), (WRITE, b"/name", b"new"))
    eq(h.c.all(LIST, b"//qube/"), [b"/own"])
    eq(p.ask(RM, b"/"), (OK, b"/", b""))
    eq([k for k, _ in h.c.all(MULTIREAD, b"/")], [b"/name", b"/seed"])


@test
def writes_that_cross_end_alike(h):
    p = h.peer()
    h.c.ask(WRITE, b"/a", b"dom0")
    p.put(WRITE, b"/a", b"qube")  # before it has seen and answered ours: it ends with ours
    eq(sorted([p.get(), p.get()]), [(WRITE, b"/a", b"dom0"), (OK, b"/a", b"")])
    p.put(OK, b"/a")
    eq(h.c.all(LIST, b"//qube/"), [])
    p.ask(WRITE, b"/a", b"later")
    eq(h.c.all(LIST, b"//qube/"), [b"/a"])


def many_unanswered(h, p):
    """No more of Dom0's changes are sent until the peer answers."""
    for i in range(512):
        h.c.ask(WRITE, b"/fill/%d" % i, b"")


def then_sent(h, p, keys):
    """All that Dom0 sends of these after what the peer was behind with."""
    p.raw(msg(OK, b"/any") * 512)
    h.c.ask(WRITE, b"/end", b"")
    out = []
    while not out or out[-1][1] != b"/end":
        m = p.get()
        if m[0] == WRITE:
            p.put(OK, m[1])
        if m[0] in (WRITE, RM) and m[1] in keys + (b"/end",):
            out.append(m)
    return out[:-1]


@test
def a_removal_that_crosses_a_write_of_ours(h):
    p = h.peer()
    h.c.ask(WRITE, b"/k", b"1")  # on its way
    many_unanswered(h, p)
    h.c.ask(RM, b"/k")  # waits
    p.put(RM, b"/k")  # it had one itself, and has ours after this
    eq(then_sent(h, p, (b"/k",)), [(WRITE, b"/k", b"1"), (RM, b"/k", b"")])


@test
def a_write_that_crosses_a_removal_of_ours(h):
    h.c.ask(WRITE, b"/k", b"1")
    p = h.peer()
    h.c.ask(RM, b"/k")  # on its way
    many_unanswered(h, p)
    h.c.ask(WRITE, b"/k", b"2")  # waits
    eq(p.get(), (RM, b"/k", b""))
    p.put(WRITE, b"/k", b"3")  # before it saw ours, which removes it
    for i in range(511):
        p.get()
    eq(p.get()[:2], (OK, b"/k"))
    h.c.ask(RM, b"/k")
    eq(then_sent(h, p, (b"/k",)), [])  # a stock peer ends on the removal of what it has not


def one_line_a_second(h, part, flood):
    """However often that happens."""
    began, n = time.monotonic(), 0
    while n < 20:
        flood()
        n += 1
    lines = len(h.d.lines(part))
    assert 1 <= lines <= 2 + time.monotonic() - began, lines


@test
def floods_of_the_log_by_a_peer_at_its_limit(h):
    p = h.peer()
    big = [msg(WRITE, b"/f/%d" % i, b"v" * 3071) for i in range(1400)]

    def flood():
        for i in range(0, len(big), 20):
            p.raw(b"".join(big[i:i + 20]))
            for _ in range(20):
                p.get()
        p.ask(RM, b"/")

    one_line_a_second(h, "its limit is reached", flood)


@test
def floods_of_the_log_by_a_peer_that_reads_at_times(h):
    p = h.peer()

    def flood():
        sent = got = 0
        p.s.setblocking(False)
        while select.select([], [p.s], [], 0.05)[1]:
            sent += p.s.send((msg(WRITE, b"/f", b"1") * 101)[sent % 73:])
        while got < sent // 73 * 72 or sent % 73:  # all answers, and what there is half of
            r, w, _ = select.select([p.s], [p.s] if sent % 73 else [], [], LIMIT)
            got += len(p.s.recv(1 << 20)) if r else 0
            sent += p.s.send(msg(WRITE, b"/f", b"1")[sent % 73:]) if w else 0

    one_line_a_second(h, "it does not read", flood)


@test
def a_peer_that_comes_and_goes_waits(h):
    n, began, spent = 0, time.monotonic(), h.d.spent()
    while n < 5:
        h.peer().close()
        n += 1
    assert time.monotonic() - began > 1.5, "it has a channel at once each time"
    assert h.d.spent() - spent < 0.2


@test
def a_list_ends_whatever_a_peer_writes_meanwhile(h):
    p = h.peer()
    for i in range(8000):
        p.put(WRITE, b"/l/%05d" % i)
        eq(p.get()[0], OK)
    c = h.d.client()
    c.put(LIST, b"/l/")
    until(lambda: select.select([c.s], [], [], 0)[0])
    for i in range(8000, 12000):  # ahead of it
        p.put(WRITE, b"/l/%05d" % i)
        eq(p.get()[0], OK)
    eq(len(c.rest()), 8000)


@test
def a_flood_of_entries_stops_at_the_limit(h):
    p = h.peer()
    n, refused = 20000, 0
    w = h.d.client()
    pid = os.fork()
    if pid == 0:
        for i in range(0, n, 100):
            p.raw(b"".join(msg(WRITE, b"/flood/%d" % j, b"v" * 3071) for j in range(i, i + 100)))
        os._exit(0)
    for i in range(n):
        kind, path, _ = p.get()
        refused += kind == ERROR
        assert kind in (OK, ERROR)
    os.waitpid(pid, 0)
    assert refused > n - 1400, refused  # 4 MiB
    eq(len(h.d.lines("limit")), 1, h.d.lines())
    assert h.d.rss() < 8000, h.d.rss()
    eq(h.c.ask(WRITE, b"/dom0", b"v" * 3071)[0], OK)
    eq(p.get()[:2], (WRITE, b"/dom0"))
    p.put(OK, b"/dom0")
    eq(p.ask(RM, b"/flood/"), (OK, b"/flood/", b""))
    eq(h.c.all(LIST, b"//qube/"), [])


@test
def a_flood_of_empty_entries_stops_too(h):
    p = h.peer()
    for i in range(17000):
        p.put(WRITE, b"/f/%d" % i)
        if i % 50 == 49:
            for _ in range(50):
                kind, path, _ = p.get()
    eq(kind, ERROR)
    eq(len(h.c.all(LIST, b"/f/")), 16384)
    eq(len(h.d.lines("16384 entries of 16384")), 1)
    assert h.d.rss() < 12000, h.d.rss()
    eq(h.c.ask(WRITE, b"/dom0", b"still")[0], OK)


@test
def a_peer_that_does_not_read(h):
    p = h.peer()
    p.s.settimeout(0.5)
    sent = 0
    try:
        while sent < 1 << 27:
            sent += p.s.send(msg(WRITE, b"/f", b"1") * 100)
    except socket.timeout:
        pass
    assert sent < 1 << 24, "it goes on reading: %d" % sent
    for i in range(1000):
        eq(h.c.ask(WRITE, b"/d/%d" % (i % 200), b"v" * 3000)[0], OK)
    assert h.d.rss() < 3500, h.d.rss()
    eq(len(h.d.lines("it does not read")), 1)
    before = h.d.spent()
    time.sleep(0.3)
    assert h.d.spent() - before < 0.1, "it spins"
    p.close()
    p = h.peer()
    eq(len(p.have), 201)


@test
def a_slow_peer_gets_the_last_value_of_each(h):
    p = h.peer()
    for i in range(200000):
        h.c.put(WRITE, b"/n", b"%d" % i)
        if i % 100 == 99:
            for _ in range(100):
                h.c.get()
    h.c.ask(WRITE, b"/trigger", b"")
    got = []
    while not got or got[-1][1] != b"/trigger":
        got.append(p.get())
        p.put(OK, got[-1][1])
    eq(got[-2], (WRITE, b"/n", b"199999"))
    assert len(got) < 100000, len(got)


# ---- two of ours ----

class Both:
    def __init__(self):
        self.d0 = Daemon("5", "work")
        self.a = self.d0.client()
        self.a.ask(WRITE, b"/name", b"work")
        self.dq = Daemon("0", vchan=self.d0.vchan, me=5)
        self.b = self.dq.client()

    def close(self):
        for x in (self.a, self.b):
            x.close()
        self.dq.close()
        self.d0.close()


def both(f):
    def g():
        h = Both()
        try:
            return f(h)
        finally:
            h.close()
    g.__name__ = f.__name__
    g.own = True
    return test(g)


def becomes(c, key, value):
    until(lambda: c.ask(READ, key) == ((R_READ, key, value) if value is not None else (NOENT, key, b"")))


@both
def two_replicate_both_ways(h):
    eq(h.b.ask(READ, b"/name"), (R_READ, b"/name", b"work"))  # it had all before it served
    eq(h.b.ask(WATCH, b"/x/")[0], OK)
    eq(h.a.ask(WATCH, b"/y")[0], OK)
    h.a.ask(WRITE, b"/x/1", b"from dom0")
    eq(h.b.get(), (R_WATCH, b"/x/1", b""))
    eq(h.b.ask(READ, b"/x/1"), (R_READ, b"/x/1", b"from dom0"))
    h.b.ask(WRITE, b"/y", b"from the qube")
    eq(h.a.get(), (R_WATCH, b"/y", b""))
    eq(h.a.ask(READ, b"/y"), (R_READ, b"/y", b"from the qube"))
    h.b.ask(RM, b"/y")
    eq(h.a.get(), (R_WATCH, b"/y", b""))
    eq(h.a.ask(READ, b"/y")[0], NOENT)
    h.a.ask(RM, b"/x/")
    eq(h.b.get()[0], R_WATCH)
    eq(h.b.all(LIST, b"/x/"), [])


@both
def two_that_write_at_once_end_alike(h):
    for i in range(3000):
        h.a.put(WRITE, b"/k%d" % (i % 50), b"a%d" % i)
        h.b.put(WRITE, b"/k%d" % (i % 50), b"b%d" % i)
        if i % 50 == 49:
            for c in (h.a, h.b):
                for _ in range(50):
                    eq(c.get()[0], OK)
    h.a.ask(WRITE, b"/end", b"1")
    becomes(h.b, b"/end", b"1")
    h.b.ask(WRITE, b"/end2", b"1")
    becomes(h.a, b"/end2", b"1")
    mine = set(h.a.all(LIST, b"//qube/"))
    qube = dict(h.b.all(MULTIREAD, b"/k"))
    for k, v in h.a.all(MULTIREAD, b"/k"):
        if k not in mine:
            eq(qube[k], v, k)


@both
def a_qube_that_restarts_has_all_again(h):
    h.b.ask(WRITE, b"/own", b"1")
    becomes(h.a, b"/own", b"1")
    h.dq.kill(signal.SIGKILL)
    h.a.ask(WRITE, b"/new", b"1")
    h.b.close()
    h.dq.close()
    h.dq = Daemon("0", vchan=h.d0.vchan, me=5)
    h.b = h.dq.client()
    eq(h.b.all(LIST), [b"/name", b"/new", b"/own"])


@both
def a_dom0_that_was_killed_is_told_again(h):
    h.a.ask(WRITE, b"/old", b"1")
    becomes(h.b, b"/old", b"1")
    h.b.ask(WRITE, b"/own", b"1")
    w = h.dq.client()
    w.ask(WATCH, b"/w")
    h.d0.kill(signal.SIGKILL)
    h.b.ask(WRITE, b"/meanwhile", b"1")
    h.d0.start()
    until(h.d0.ready)
    h.a.close()
    h.a = h.d0.client()
    h.a.ask(WRITE, b"/w", b"1")
    eq(w.get(), (R_WATCH, b"/w", b""))
    becomes(h.a, b"/meanwhile", b"1")
    eq(h.b.ask(READ, b"/own")[0], R_READ)  # its own it keeps
    eq(h.b.ask(READ, b"/old")[0], R_READ)  # what Dom0 does not name stays: a managed one asks for it


@both
def a_qube_ends_on_sigterm_at_any_time(h):
    h.d0.kill(signal.SIGKILL)
    eq(h.b.ask(READ, b"/name")[0], R_READ)
    before = h.dq.spent()
    time.sleep(0.3)
    assert h.dq.spent() - before < 0.05, "it spins"
    eq(h.dq.kill(), 0)
    alone = Daemon("0", me=9, ready=False)
    until(lambda: os.path.exists(os.path.join(alone.dir, "qubesdb.sock")))
    c = alone.client()
    c.put(READ, b"/a")
    assert c.silent(0.1)  # nobody is served before Dom0's keys are there
    eq(alone.kill(), 0)
    alone.close()


@both
def a_qube_does_not_take_bad_answers(h):
    h.d0.kill(signal.SIGKILL)
    path = os.path.join(h.d0.vchan, "vchan.0.5.111.sock")
    s = listen(path)
    for bad in (msg(R_MULTIREAD, b"/a/", b"1"), msg(R_MULTIREAD, b"/a", b"\0"), msg(R_MULTIREAD, b"", b"1"),
                msg(R_MULTIREAD) * 2, msg(READ, b"/a"), msg(NOENT, b"/a")):
        p = Conn(s.accept()[0])
        eq(p.get(), (MULTIREAD, b"", b""))
        p.raw(bad)
        assert p.eof(), bad
        p.close()
    p = Conn(s.accept()[0])
    p.get()
    p.put(R_MULTIREAD, b"/a", b"1")
    p.put(R_MULTIREAD)
    becomes(h.b, b"/a", b"1")
    eq(p.all(MULTIREAD), [(b"/name", b"work"), (b"/a", b"1")])  # Dom0 may ask, once
    eq(p.ask(WRITE, b"/b", b"1"), (OK, b"/b", b""))
    s.close()


# ---- spec 5: files, argv ----

@test
def dom0s_own(h):
    d = Daemon("0", "dom0")
    for base in ("qubesdb", "qubesdb.dom0"):
        d.base = base
        c = d.client()
        eq(c.ask(WRITE, b"/a", b"1")[0], OK)
        eq(c.ask(LIST, b"//dom0/")[0], ERROR)
        c.close()
    assert not [f for f in os.listdir(d.dir) if f.startswith("vchan")]
    eq(d.kill(), 0)
    d.close()


@test
def files_and_modes(h):
    d = Daemon("7", "seven", options=("--rw-socket-perms=660",))
    mode = lambda f: os.stat(os.path.join(d.dir, f)).st_mode & 0o777
    eq(mode("qubesdb.seven.sock"), 0o660)
    eq(mode("qubesdb.seven.ro.sock"), 0o666)
    with open(os.path.join(d.dir, "qubesdb.seven.pid")) as f:
        eq(int(f.read()), d.p.pid)
    eq(d.kill(), 0)
    eq([f for f in os.listdir(d.dir) if f.startswith("qubesdb")], [])
    d.close()
    for argv in ([], ["5"], ["x"], ["5", "a/b"], ["5", "a", "b"], ["--rw-socket-perms=9", "5", "a"], ["-n", "1", "0"]):
        eq(subprocess.run([QDBD, *argv], capture_output=True).returncode, 100, argv)
    eq(subprocess.run([QDBD, "--help"], capture_output=True).returncode, 0)


@test
def notify_socket(h):
    d = tempfile.mkdtemp()
    n = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    n.bind(os.path.join(d, "n"))
    n.settimeout(LIMIT)
    p = subprocess.Popen([QDBD, "--socket-dir=" + d, "6", "six"],
                         env=dict(os.environ, VCHAN_SOCKET_DIR=d, NOTIFY_SOCKET=os.path.join(d, "n")))
    eq(n.recv(100), b"READY=1")
    p.terminate()
    eq(p.wait(LIMIT), 0)
    shutil.rmtree(d)


if __name__ == "__main__":
    class Maybe:
        """Most tests have a qdbd of Dom0; those with two make them."""
    plain = list(tests)
    tests[:] = []
    for t in plain:
        if getattr(t, "own", False):
            test(t)
            continue
        def g(t=t):
            h = Dom0()
            try:
                return t(h)
            except Exception:
                print("".join("# log: %s\n" % l for l in h.d.lines()[-10:]), end="")
                raise
            finally:
                h.close()
        g.__name__ = t.__name__
        test(g)
    run()
