# SPDX-License-Identifier: ISC
"""For system tests that speak qrexec byte by byte: numbers (spec/qrexec 1), links, and running the tests."""
import atexit, os, shutil, socket, struct, subprocess, sys, tempfile, traceback

from tap import LESS, LIMIT, SLOW, XEN, few, local_only, qubes

STDIN, STDOUT, STDERR, CODE = 0x190, 0x191, 0x192, 0x193
EXEC, JUST, CONNECT, REFUSED = 0x200, 0x201, 0x202, 0x203
TRIGGER2, TERMINATED, TRIGGER3, TRIGGER4 = 0x210, 0x211, 0x212, 0x213
HELLO = 0x300
tests = []


def test(f):
    tests.append(f)
    return f


def eq(a, b, what=""):
    if a != b:
        raise AssertionError("%s: %r is not %r" % (what, a, b))


def message(kind, body=b""):
    return struct.pack("<LL", kind, len(body)) + body


def recvall(s, n):
    out = b""
    while len(out) < n:
        got = s.recv(n - len(out))
        if not got:
            raise EOFError("wanted %d, got %r" % (n, out))
        out += got
    return out


class Link:
    """A stream of messages."""

    def __init__(self, s):
        self.s = s
        s.settimeout(LIMIT)

    def bytes(self, n):
        return recvall(self.s, n)

    def get(self):
        kind, n = struct.unpack("<LL", self.bytes(8))
        return kind, self.bytes(n)

    def put(self, kind, body=b""):
        self.s.sendall(message(kind, body))

    def raw(self, data):
        self.s.sendall(data)

    def eof(self):
        try:
            return self.s.recv(1) == b""
        except ConnectionResetError:
            return True

    def close(self):
        self.s.close()


def listen(path, mode=0o666, uid=0, backlog=64):
    """Who listens is who the peer is to a client: a qube's qrexecd has a uid of its own."""
    if os.path.lexists(path):
        os.unlink(path)
    s = socket.socket(socket.AF_UNIX)
    s.bind(path)
    os.chmod(path, mode)
    if uid:
        os.seteuid(uid)
    s.listen(backlog)
    if uid:
        os.seteuid(0)
    s.settimeout(LIMIT)
    return s


def reachable(*files):
    """Copies for other users: the checkout may stand where they cannot look."""
    d = tempfile.mkdtemp(prefix="t-", dir="/tmp")
    os.chmod(d, 0o755)
    atexit.register(shutil.rmtree, d, True)
    return [shutil.copy(f, d) for f in files]


def mount(*a):
    subprocess.run(["mount", *a], check=True)


def alone(file, *namespaces):
    """Once more in namespaces of its own, as root; skips without."""
    mark = "ALONE_" + os.path.basename(file)
    if os.geteuid() != 0:
        print("1..0 # SKIP needs root: a mount namespace, uids of daemons")
        sys.exit(0)
    if os.environ.get(mark) != "inside":
        os.environ[mark] = "inside"
        os.execvp("unshare", ["unshare", *namespaces, "--propagation", "private", sys.executable, *sys.argv])


def run(make=None, on_failure=None):
    """Each test with a fresh make() (closed afterwards), or with nothing; names on the command line choose."""
    only = sys.argv[1:]
    todo = [t for t in tests if not only or t.__name__ in only]
    print("1..%d" % len(todo), flush=True)
    bad = 0
    for i, t in enumerate(todo, 1):
        h = make() if make else None
        name = t.__name__.replace("_", " ")
        try:
            skip = t(h) if make else t()
            why = " # SKIP " + skip[4:].strip() if isinstance(skip, str) and skip.startswith("skip") else ""
            print("ok %d - %s%s" % (i, name, why), flush=True)
        except Exception:
            bad += 1
            text = "not ok %d - %s\n" % (i, name) + "".join("# " + l + "\n" for l in traceback.format_exc().splitlines())
            print(text, end="", flush=True)
            if "RED" in os.environ:  # prove alone would say a number only
                with open(os.environ["RED"], "a") as f:
                    f.write("%s: %s" % (os.path.basename(sys.argv[0]), text))
            if on_failure:
                on_failure(h)
        finally:
            if h:
                h.close()
    sys.exit(bad != 0)
