#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
# The qubesdb commands (spec/qubesdb 7): options, output and exit codes, with a Dom0's qdbd and a qube's, by hand.
import atexit, os, select, shutil, signal, socket, struct, subprocess, sys, tempfile, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from wire import *

local_only("qdbd by hand")

O = os.environ.get("O", "build/local")
signal.signal(signal.SIGINT, signal.SIG_DFL)  # ^C is tested, also where it was ignored
BIN = tempfile.mkdtemp(prefix="qdb-bin-")
atexit.register(shutil.rmtree, BIN, True)
for prog in ("qubesdb-cmd", "qdbd"):
    shutil.copy(os.path.join(O, "bin", prog), BIN)
VERBS = ("read", "write", "rm", "list", "multiread", "watch", "read-bool")
for verb in VERBS:
    os.symlink("qubesdb-cmd", os.path.join(BIN, "qubesdb-" + verb))


class House:
    """Dom0's daemon of qube "work" (42), the qube's own, and Dom0's own."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="qdb-")
        self.running = []
        for d in ("dom0", "qube", "vchan"):
            os.mkdir(os.path.join(self.dir, d))
        self.daemon("0", "dom0", "42", "work")
        self.daemon("0", "dom0", "0", "dom0")
        self.daemon("42", "qube", "0")

    def daemon(self, domid, where, *args):
        r, w = os.pipe()
        env = dict(os.environ, VCHAN_SOCKET_DIR=os.path.join(self.dir, "vchan"), VCHAN_DOMAIN=domid)
        env.pop("NOTIFY_SOCKET", None)
        p = subprocess.Popen([os.path.join(BIN, "qdbd"), "-n", str(w), "--socket-dir=" + self.path(where), *args],
                             pass_fds=[w], env=env, stdin=subprocess.DEVNULL)
        os.close(w)
        self.running.append(p)
        ready = os.read(r, 1)
        os.close(r)
        eq(ready, b"\n", "qdbd %s is ready" % (args,))

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def argv(self, verb, *args, where="dom0", d="work"):
        return [os.path.join(BIN, "qubesdb-" + verb), "--socket-dir=" + self.path(where), *(["-d", d] if d else []), *args]

    def run(self, verb, *args, **kw):
        p = subprocess.run(self.argv(verb, *args, **kw), capture_output=True, timeout=LIMIT)
        return p.returncode, p.stdout, p.stderr

    def start(self, verb, *args, **kw):
        p = subprocess.Popen(self.argv(verb, *args, **kw), bufsize=0, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.running.append(p)
        return p

    def does(self, verb, *args, rc=0, out=b"", err=b"", **kw):
        got = self.run(verb, *args, **kw)
        eq(got[:2], (rc, out), "%s %s" % (verb, args))
        if err is not None and (err not in got[2] or not err and got[2]):
            raise AssertionError("%s %s: standard error %r" % (verb, args, got[2]))

    def qube(self, verb, *args, **kw):
        self.does(verb, *args, where="qube", d="", **kw)

    def close(self):
        for p in self.running:
            p.kill()
            p.wait()
        shutil.rmtree(self.dir, True)


def until(f, limit=LIMIT):
    end = time.monotonic() + limit
    while not f():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.005)


def asleep(p):
    """In a system call on its socket, with the daemon or an event to come."""
    with open("/proc/%d/wchan" % p.pid) as f:
        chan = f.read()
    with open("/proc/%d/stat" % p.pid) as f:
        return f.read().rsplit(")", 1)[1].split()[0] == "S" and (chan == "0" or "unix" in chan)


def waiting(h, *processes, where="dom0", d="work"):
    """All have sent all their requests, and the daemon has taken them: it takes one after the other, and ours come
    behind. None of them has more than 4."""
    for _ in range(5):
        until(lambda: all(map(asleep, processes)))
        h.does("read", "-q", "/nothing", rc=2, where=where, d=d)


def line(p):
    got = b""
    while not got.endswith(b"\n"):
        assert select.select([p.stdout], [], [], LIMIT)[0], "nothing more than %r" % got
        b = os.read(p.stdout.fileno(), 1)
        if not b:
            break
        got += b
    return got


@test
def read_and_write(h):
    h.does("write", "/a", "one", "/b", "", "/c", "tab\there \x1b[31m \x7f \\ \u00e4 ~")
    h.does("read", "/a", out=b"one\n")
    h.does("read", "/a", "/b", "/a", out=b"one\n\none\n")
    h.does("read", "-f", "/a", "/b", out=b"/a = one\n/b = \n")
    h.does("read", "/c", out=b"tab\\x09here \\x1b[31m \\x7f \\ \\xc3\\xa4 ~\n")
    h.does("read", "-r", "/c", out="tab\there \x1b[31m \x7f \\ \u00e4 ~\n".encode())
    h.does("read", "-rf", "/c", out="/c = tab\there \x1b[31m \x7f \\ \u00e4 ~\n".encode())
    h.does("write", "/a", "two")
    h.does("read", "/a", out=b"two\n")


@test
def read_exits_2_for_what_is_not_there(h):
    h.does("write", "/a", "one")
    h.does("read", "/none", rc=2, err=b"/none: no such key")
    h.does("read", "-q", "/none", rc=2)
    h.does("read", "/none", "/a", rc=2, out=b"one\n", err=b"/none")
    h.does("read", "/a", "/none", "/none2", rc=2, out=b"one\n", err=b"/none2")
    h.does("read", "/none", "/in valid", rc=1, err=b"not a key")
    h.does("read", "/in valid", "/none", "/a", rc=1, out=b"one\n", err=b"no such key")


@test
def read_default(h):
    h.does("write", "/a", "one", "/empty", "")
    h.does("read", "-e", "other", "/none", out=b"other\n")
    h.does("read", "--default=other", "/none", out=b"other\n")
    h.does("read", "--default", "", "-f", "/none", out=b"/none = \n")
    h.does("read", "-e", "other", "/a", out=b"one\n")
    h.does("read", "-e", "other", "/empty", out=b"\n")
    h.does("read", "-e", "other", "/a", "/b", rc=1, err=b"one key")
    h.does("read", "-e", "other", "/in valid", rc=1, err=b"not a key")


@test
def read_and_remove(h):
    h.does("write", "/a", "one", "/b", "two")
    h.does("read", "-x", "/a", "/none", "/b", rc=2, out=b"one\ntwo\n", err=b"/none")
    h.does("read", "-q", "/a", "/b", rc=2)
    h.does("write", "/a", "kept")
    with open("/dev/full", "w") as full:
        p = subprocess.run(h.argv("read", "-x", "/a"), stdout=full, stderr=subprocess.PIPE, timeout=LIMIT)
    eq(p.returncode, 1, "nothing is printed")
    h.does("read", "/a", out=b"kept\n")


@test
def read_waits(h):
    h.does("write", "/there", "at once")
    h.does("read", "-w", "/there", out=b"at once\n")
    p = h.start("read", "-wx", "/late/r", "/there", "/later")
    waiting(h, p)
    h.does("write", "/late/other", "x")
    h.does("write", "/late/r", "1")
    eq((line(p), line(p)), (b"1\n", b"at once\n"))
    eq(p.poll(), None, "waits for the next")
    h.does("write", "/later", "2")
    eq((line(p), p.wait(LIMIT)), (b"2\n", 0))
    h.does("read", "-q", "/late/r", "/later", "/there", rc=2)
    q = h.start("read", "-w", "/from/qube")  # the other side writes it
    waiting(h, q)
    h.qube("write", "/from/qube", "hello")
    eq((line(q), q.wait(LIMIT)), (b"hello\n", 0))


@test
def a_daemon_that_ends_while_waited_for(h):
    p, w = h.start("read", "-w", "/never"), h.start("watch", "/never")
    waiting(h, p, w)
    h.running[0].kill()
    eq((p.wait(LIMIT), w.wait(LIMIT)), (1, 1))
    assert b"has ended" in p.stderr.read() and b"has ended" in w.stderr.read()


@test
def write_arguments(h):
    h.does("write", "/a", rc=1, err=b"usage")
    h.does("write", rc=1, err=b"usage")
    h.does("write", "/a", "1", "/b", rc=1, err=b"/b: no value")
    h.does("write", "/a", "1", "b", "2", rc=1, err=b"b: not a key")
    h.does("write", "/a", "1", "/b/", "2", rc=1, err=b"/b/: not a key")
    h.does("write", "/a", "1", "/" + 63 * "k", "2", rc=1, err=b"not a key")
    h.does("write", "/a", "1", "/b", 3072 * "v", rc=1, err=b"longer than 3071")
    h.does("read", "-q", "/a", rc=2)  # not even the first
    h.does("write", "/" + 62 * "k", 3071 * "v")
    h.does("read", "/" + 62 * "k", out=3071 * b"v" + b"\n")
    h.does("write", "/minus", "-1", "/d", "-d")
    h.does("read", "/minus", "/d", out=b"-1\n-d\n")
    h.does("write", "--", "/minus", "--help")
    h.does("read", "/minus", out=b"--help\n")


@test
def thirty_keys_in_one_write(h):
    pairs = [s for i in range(30) for s in ("/thirty/%02d" % i, "value %d" % i)]
    h.does("write", *pairs)
    h.does("multiread", "/thirty/", out=b"".join(b"%02d = value %d\n" % (i, i) for i in range(30)))
    h.does("write", "-q", "/after", "1")
    h.qube("read", "-w", "/after", out=b"1\n")
    h.qube("multiread", "-f", "/thirty/0", out=b"".join(b"/thirty/%02d = value %d\n" % (i, i) for i in range(10)))


@test
def who_only_reads(h):
    h.does("write", "/a", "1")
    os.unlink(h.path("dom0", "qubesdb.work.sock"))
    h.does("read", "/a", out=b"1\n")
    h.does("write", "/a", "2", "/b", "3", rc=1, err=b"/a: refused")
    h.does("rm", "/a", "/b", rc=1, err=b"/a: refused")
    h.does("read", "-x", "/a", rc=1, out=b"1\n", err=b"refused")
    h.does("read", "/a", out=b"1\n")


@test
def rm(h):
    h.does("write", "/a", "1", "/b", "1", "/d/1", "1", "/d/2", "2", "/dd", "1")
    h.does("rm", "/none")
    h.does("rm", "/a", "/none", "/d/")
    h.does("list", "/", out=b"b\ndd\n")
    h.does("rm", "in valid", "/b", rc=1, err=b"not a key")
    h.does("list", "/", out=b"dd\n")
    h.does("rm", rc=1, err=b"usage")


@test
def list_and_multiread(h):
    h.does("write", "/d/2", "two", "/d/1", "\x01", "/d", "itself", "/e", "")
    h.does("list", "/d/", out=b"1\n2\n")
    h.does("list", "-f", "/d/", out=b"/d/1\n/d/2\n")
    h.does("list", "/d", out=b"\n/1\n/2\n")
    h.does("list", "", out=b"/d\n/d/1\n/d/2\n/e\n")
    h.does("list", "/none")
    h.does("list", "/d/", "/e", rc=1, err=b"usage")
    h.does("list", rc=1, err=b"usage")
    h.does("list", "in valid", rc=1, err=b"not a key")
    h.does("multiread", "/d/", out=b"1 = \\x01\n2 = two\n")
    h.does("multiread", "-f", "/d", "/e", out=b"/d = itself\n/d/1 = \\x01\n/d/2 = two\n/e = \n")
    h.does("multiread", "/none")
    h.does("multiread", "in valid", "/e", rc=1, out=b" = \n", err=b"not a key")
    h.does("multiread", rc=1, err=b"usage")


@test
def owners(h):
    h.does("write", "/o/mine", "1", "/o/shared", "dom0's")
    h.qube("read", "-w", "/o/shared", out=b"dom0's\n")
    h.qube("write", "/o/shared", "the qube's", "/o/theirs", "2", "/other", "3")
    h.does("read", "-w", "/other", out=b"3\n")
    h.does("list", "-o", "/o/", out=b"dom0 mine\nboth shared\nqube theirs\n")
    h.does("list", "--owner", "-f", "/o", out=b"dom0 /o/mine\nboth /o/shared\nqube /o/theirs\nqube /other\n")
    h.does("read", "/o/shared", out=b"dom0's\n")
    h.qube("read", "/o/shared", out=b"the qube's\n")
    h.qube("rm", "/o/mine", "/other")
    h.does("watch", "-n", "0", "/x")
    h.qube("write", "/done", "1")
    h.does("read", "-w", "/done", out=b"1\n")
    h.does("list", "-o", "/", out=b"qube done\ndom0 o/mine\nboth o/shared\nqube o/theirs\n")
    h.does("list", "-o", "", rc=1, err=b"not a key")
    h.does("list", "-o", "/" + 57 * "k", rc=1, err=b"too long")
    h.does("list", "-o", "/" + 56 * "k")
    h.qube("list", "-o", "/", rc=1, err=b"refused")


@test
def watch(h):
    p = h.start("watch", "-n", "3", "/w/", "/exact")
    one, ever = h.start("watch", "/exact"), h.start("watch", "-n", "-1", "/w/")
    waiting(h, p, one, ever)
    h.does("write", "/w/1", "1", "/other", "x", "/exact", "1")
    eq((line(p), line(p)), (b"/w/1\n", b"/exact\n"))
    eq((line(one), one.wait(LIMIT)), (b"/exact\n", 0))
    h.does("rm", "/w/")
    eq((line(p), p.wait(LIMIT)), (b"/w/\n", 0))
    eq((line(ever), line(ever)), (b"/w/1\n", b"/w/\n"))
    h.qube("write", "/w/2", "1")
    eq(line(ever), b"/w/2\n")
    eq(ever.poll(), None)
    ever.send_signal(signal.SIGINT)  # ^C
    eq(ever.wait(LIMIT), -signal.SIGINT)
    eq((ever.stdout.read(), ever.stderr.read()), (b"", b""))
    h.does("watch", "-n", "0", "/w/")
    h.does("watch", "-n", "many", "/w/", rc=1, err=b"not a number")
    h.does("watch", "-n", "", "/w/", rc=1, err=b"not a number")
    h.does("watch", "in valid", rc=1, err=b"not a key")
    h.does("watch", rc=1, err=b"usage")
    inside = h.start("watch", "/from/dom0", where="qube", d="")
    waiting(h, inside, where="qube", d="")
    h.does("write", "/from/dom0", "1")
    eq((line(inside), inside.wait(LIMIT)), (b"/from/dom0\n", 0))


@test
def watch_whose_reader_leaves(h):
    p = h.start("watch", "-n", "-1", "/w")
    waiting(h, p)
    p.stdout.close()
    h.does("write", "/w", "1")
    eq(p.wait(LIMIT), -signal.SIGPIPE)
    h.does("read", "/w", out=b"1\n")


@test
def read_bool(h):
    h.does("write", "/yes", "1", "/zero", "0", "/empty", "")
    for args, rc in ((["/yes"], 0), (["/zero"], 0), (["/empty"], 1), (["/none"], 2), (["/none", "0"], 0),
                     (["/none", "1"], 1), (["/none", "77"], 77), (["/empty", "0"], 1), (["/yes", "1"], 0)):
        h.does("read-bool", *args, rc=rc)
    h.does("read-bool", "/in valid", rc=3, err=b"not a key")
    h.does("read-bool", "/none", "256", rc=3, err=b"exit code")
    h.does("read-bool", "/none", "x", rc=3, err=b"exit code")
    h.does("read-bool", rc=3, err=b"usage")
    h.does("read-bool", "/a", "1", "2", rc=3, err=b"usage")
    h.does("read-bool", "-q", "/a", d="nobody", rc=3)


@test
def which_daemon(h):
    h.does("write", "/whose", "work's")
    h.does("write", "/whose", "dom0's", d="dom0")
    h.does("read", "/whose", d="", out=b"dom0's\n")
    h.does("read", "-d", "", "/whose", out=b"dom0's\n")
    h.does("read", "/whose", "-d", "work", d="", out=b"work's\n")
    h.does("read", "/whose", d="nobody", rc=1, err=b"no qubesdb of nobody: No such file")
    h.does("read", "-q", "/whose", d="nobody", rc=1)
    h.does("read", "/whose", d="../dom0", rc=1, err=b"Invalid argument")
    h.running[0].kill()
    h.running[0].wait()
    h.does("read", "/whose", rc=1, err=b"Connection refused")


@test
def names_and_usage(h):
    cmd = os.path.join(BIN, "qubesdb-cmd")

    def raw(*args, argv0=cmd):
        p = subprocess.run([argv0, *args], executable=cmd, capture_output=True, timeout=LIMIT)
        return p.returncode, p.stdout, p.stderr

    where = ["--socket-dir=" + h.path("dom0"), "-d", "work"]
    eq(raw("-c", "write", *where, "/a", "1"), (0, b"", b""))
    eq(raw("-cread", *where, "/a"), (0, b"1\n", b""))
    eq(raw("-c", "read", *where, "/a", argv0="qubesdb-rm"), (0, b"1\n", b""), "-c before the name")
    eq(raw(*where, "/a", argv0="/some-dir/my-own-read"), (0, b"1\n", b""), "after the last -")
    eq(raw(*where, "/a", argv0="list"), (0, b"\n", b""))
    eq(raw("-c", "read-bool", *where, "/a"), (0, b"", b""))
    for bad in ([], ["-c"], ["-c", "bogus", "/a"], ["/a"], ["-d", "work", "-c", "read", "/a"]):
        rc, out, err = raw(*bad)
        eq((rc, out, err[:6]), (1, b"", b"usage:"), bad)
    rc, out, err = raw("--help")
    eq((rc, out[:6], err), (0, b"usage:", b""))
    for verb in VERBS:
        for opt in ("-h", "--help"):
            rc, out, err = h.run(verb, opt)
            eq((rc, err), (0, b""), verb)
            assert out.startswith(b"usage: qubesdb-" + verb.encode()), out
        for opt in ("-Z", "--bogus", "-d"):
            rc, out, err = raw("-c", verb, opt)
            eq((rc, out), (3 if verb == "read-bool" else 1, b""), verb + opt)
            assert b"usage:" in err, err
    for verb, opt in (("write", "-f"), ("rm", "-w"), ("list", "-r"), ("multiread", "--owner"), ("read", "--owner"),
                      ("watch", "--default=1"), ("read", "-n1")):
        rc, out, err = h.run(verb, opt, "/a", "/a")
        eq((rc, out), (1, b""), "%s has no %s" % (verb, opt))


@test
def output_that_fails(h):
    h.does("write", "/a", "1")
    for verb, opts in (("read", []), ("list", []), ("list", ["-o"]), ("multiread", [])):
        with open("/dev/full", "w") as full:
            p = subprocess.run(h.argv(verb, *opts, "/a"), stdout=full, stderr=subprocess.PIPE, timeout=LIMIT)
        eq((p.returncode, b"standard output" in p.stderr), (1, True), verb)


def header(kind, path=b"", n=0):
    return struct.pack("<B64s3xL", kind, path, n)


@test
def a_daemon_that_lies(h):
    s = listen(h.path("dom0", "qubesdb.liar.sock"))
    for verb, answer, rc in (("read", header(10, b"/b", 1) + b"v", 1), ("read", header(10, b"/a", 0xffffffff), 1),
                             ("read", header(10, b"/a", 4) + b"\x1b[2J"[:4], 0), ("list", header(12, b"/a\x1b[2J"), 1),
                             ("multiread", header(11, b"/b", 1) + b"v", 1), ("watch", header(7) + header(13, b"/a\n"), 1),
                             ("read", b"", 1), ("rm", header(10, b"/a"), 1), ("read-bool", header(9, b"/a"), 3)):
        p = h.start(verb, "/a", d="liar")
        c = Link(s.accept()[0])
        c.bytes(72)
        c.raw(answer)
        if answer:
            p.wait(LIMIT)
        c.close()
        if not answer:  # it asks once more
            c = Link(s.accept()[0])
            c.bytes(72)
            c.close()
        eq(p.wait(LIMIT), rc, verb)
        assert b"\x1b" not in p.stdout.read()
    s.close()


run(House)
