#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""File copies: the real sender and receiver over pipes, each against every lie of the other one; then between qubes."""
import errno, random, shutil, socket, stat, struct, sys, zlib

sys.path[0] += "/.."
from tap import *

in_house()

LIB = "/usr/lib/qubes/"
AGENT, UNPACKER = LIB + "qfile-agent", LIB + "qfile-unpacker"
CONFIG = "/etc/qubes/rpc-config/qubes.Filecopy"
NOBODY = 65534
CUT = 31415926
REG, DIR, LNK = stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK
WORK = "/tmp/filecopy"
END = bytes(32)


# --- the wire ---

def item(name, mode=REG | 0o644, body=b"", size=None, at=(1, 2), mt=(3, 4), nul=True):
    name = name.encode() if isinstance(name, str) else name
    head = struct.pack("<IIQIIII", len(name) + nul, mode, len(body) if size is None else size, *at, *mt)
    return head + name + b"\0" * nul + body


def folder(name, *inner, mode=DIR | 0o755, **kw):
    return item(name, mode, **kw) + b"".join(inner) + item(name, mode, **kw)


def link(name, target):
    return item(name, LNK | 0o777, target.encode() if isinstance(target, str) else target)


def reply_of(b):
    if len(b) < 16:
        return None
    code, zero, crc = struct.unpack("<IIQ", b[:16])
    n = struct.unpack("<I", b[16:20])[0]
    return code, crc, b[20:20 + n]


def fresh(name="in"):
    path = WORK + "/" + name
    subprocess.run(["rm", "-rf", path], check=True)
    os.makedirs(path)
    os.chown(path, NOBODY, NOBODY)
    os.chmod(WORK, 0o755)
    return path


class Receiver:
    def __init__(self, dir, *options, name=UNPACKER, env=None, args=None):
        self.dir = dir
        self.p = subprocess.Popen([name] + (args or [*options, str(NOBODY), dir]), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  env=dict(os.environ, **(env or {})))

    def send(self, data):
        try:
            self.p.stdin.write(data)
            self.p.stdin.flush()
        except BrokenPipeError:
            pass

    def end(self):
        """Reply, exit status, what it said."""
        try:
            self.p.stdin.close()
        except BrokenPipeError:
            pass
        self.p.stdin = None
        out, err = self.p.communicate(timeout=HANGS)
        return reply_of(out), self.p.returncode, err.decode()


def unpack(data, *options, dir=None, **kw):
    r = Receiver(dir or fresh(), *options, **kw)
    r.send(data)
    return r.end()


def tree(dir):
    """Everything below: mode, times, content."""
    found = {}
    for d, dirs, files in os.walk(dir):
        for n in dirs + files:
            path = os.path.join(d, n)
            st = os.lstat(path)
            what = os.readlink(path) if stat.S_ISLNK(st.st_mode) else open(path, "rb").read() if stat.S_ISREG(st.st_mode) else None
            found[os.path.relpath(path, dir)] = (st.st_mode, None if stat.S_ISLNK(st.st_mode) and st.st_mtime_ns == 0 else st.st_mtime_ns, what)
    return found


def contents(of):
    return {k: v[2] for k, v in (tree(of) if isinstance(of, str) else of).items()}


# --- the receiver ---

def whole():
    data = folder("d", item("d/f", REG | 0o640, b"text"), item("d/empty"), link("d/l", "f"), folder("d/e")) + item("top", REG | 0o7755, b"x" * 300000)
    reply, rc, err = unpack(data + END)
    got = tree(WORK + "/in")
    eq((reply[0], reply[2], rc), (0, b"top", 0), "all is taken: code 0, the last name, status 0")
    eq(reply[1], zlib.crc32(data + END), "the CRC-32 is zip's, over all bytes")
    eq(sorted(got), ["d", "d/e", "d/empty", "d/f", "d/l", "top"], "what was sent is there, nothing else")
    eq(got["d/f"], (REG | 0o640, 3000000004, b"text"), "mode, time and content of a file")
    eq(got["d"][:2], (DIR | 0o755, 3000000004), "mode and time of a directory, which its content has not changed")
    eq(got["d/l"][2], "f", "a link")
    eq(os.lstat(WORK + "/in/d/l").st_mtime_ns, 3000000004, "and its time")
    eq(got["top"][0], REG | 0o755, "set-uid, set-gid and sticky bits are not taken")
    eq({os.lstat(os.path.join(WORK, "in", n)).st_uid for n in got}, {NOBODY}, "all is the user's")
    eq(unpack(item("n", nul=False) + END)[0][0], 0, "a name without its NUL")
    eq(unpack(item("d", DIR | 0o755) + END)[0][0], 0, "a directory that is sent once")
    eq(oct(os.stat(WORK + "/in/d").st_mode), oct(DIR | 0o700), "stays the user's alone")


# What is sent; code; last name; what is there afterwards.
REFUSED = [
    ("a name of 16,384 bytes", item("n" * 16384, nul=False), errno.ENAMETOOLONG, b"", []),
    ("a file of 2^63 bytes", item("n", size=1 << 63), errno.EDQUOT, b"n", []),
    ("a file of 2^64 - 1 bytes", item("n", size=(1 << 64) - 1), errno.EDQUOT, b"n", []),
    ("a billion nanoseconds", item("n", at=(1, 1000000000)), errno.EINVAL, b"n", []),
    ("of the change, too", item("n", mt=(1, 0xffffffff)), errno.EINVAL, b"n", []),
    ("a fifo", item("n", stat.S_IFIFO | 0o644), errno.EINVAL, b"n", []),
    ("a device", item("n", stat.S_IFCHR | 0o644), errno.EINVAL, b"n", []),
    ("a block device", item("n", stat.S_IFBLK | 0o644), errno.EINVAL, b"n", []),
    ("a socket", item("n", stat.S_IFSOCK | 0o644), errno.EINVAL, b"n", []),
    ("no type", item("n", 0o644), errno.EINVAL, b"n", []),
    ("all types", item("n", 0xffffffff), errno.EINVAL, b"n", []),
    ("the same file twice", item("n", body=b"1") + item("n", body=b"2"), errno.EEXIST, b"n", ["n"]),
    ("a directory that is a file", item("n") + item("n", DIR | 0o755), errno.EEXIST, b"n", ["n"]),
    ("a file that is a directory", folder("n") + item("n"), errno.EEXIST, b"n", ["n"]),
    ("a link that is a file", folder("d", item("d/n"), link("d/n", "x")), errno.EEXIST, b"d/n", ["d", "d/n"]),
    ("no such directory", item("d/n"), errno.ENOENT, b"d/n", []),
    ("through a file", item("f") + item("f/n"), errno.ENOTDIR, b"f/n", ["f"]),
    ("through a link that was sent", folder("d", folder("d/in"), link("d/l", "in"), item("d/l/n")), (errno.ELOOP, errno.ENOTDIR), b"d/l/n", ["d", "d/in", "d/l"]),
    ("through one, a directory", folder("d", folder("d/in"), link("d/l", "in"), folder("d/l/n")), (errno.ELOOP, errno.ENOTDIR), b"d/l/n", ["d", "d/in", "d/l"]),
    ("through one, a link", folder("d", folder("d/in"), link("d/l", "in"), link("d/l/n", "x")), (errno.ELOOP, errno.ENOTDIR), b"d/l/n", ["d", "d/in", "d/l"]),
    ("a component of 256 bytes", item("n" * 256), errno.ENAMETOOLONG, b"n" * 256, []),
    ("a link's target of 16,384 bytes", folder("d", link("d/l", "t" * 16384)), errno.ENAMETOOLONG, b"d/l", ["d"]),
    ("a NUL in a target", folder("d", link("d/l", "a\0b")), errno.EILSEQ, b"d/l", ["d"]),
    ("a newline in a target", folder("d", link("d/l", "a\nb")), errno.EILSEQ, b"d/l", ["d"]),
    ("no end", item("n", body=b"1"), errno.EREMOTEIO, b"n", ["n"]),
    ("nothing at all", b"", errno.EREMOTEIO, b"", []),
]


def refused():
    for name, data, code, last, there in REFUSED:
        reply, rc, _ = unpack(data + (END if code not in (errno.EREMOTEIO,) else b""))
        codes = code if isinstance(code, tuple) else (code,)
        ok(reply and reply[0] in codes and rc == reply[0] & 255 and reply[2] == last and sorted(tree(WORK + "/in")) == there, name,
           (reply, rc, sorted(tree(WORK + "/in"))))
    reply, rc, err = unpack(item("first", body=b"1") + item("a\x1b]0;b\n"), "-v", "--allow-all-names")
    ok("\x1b" not in err and "a?]0;b?" in err and "2 files" in err, "QSB-087: nothing of a name goes to a terminal as it is; how much has arrived is said", err)


BAD_NAMES = ["..", ".", "/", "/a", "a/", "a//b", "a/../b", "a/..", "./a", "a/.", "../a", "", "a/b/../../../c"]
ODD_NAMES = [b"a\nb", b"\x7f", b"\x1f", b"\t", "\u05d0".encode(), "\u202e".encode(), "\ufeff".encode(), "\U0001f600".encode(), b"\xff", b"\xc0\x80", b"\xed\xa0\x80",
             b"\xf4\x90\x80\x80", b"\xe9", b"a\xc3", "e\u0301".encode(), "\u00a0".encode(), "\u2028".encode(), "\ue000".encode(), "\u0378".encode()]
GOOD_NAMES = ["-rf", ".hidden", "...", "..a", "a b", "a\\b", "~", "'\"$`", "\u00e9", "\u4e2d", "\u0416", "\u03b1", "\u20ac", "\u2264", "\uac00", "\u3042", "n" * 255]


def names():
    for n in BAD_NAMES:
        for options in ((), ("--allow-all-names",)):
            reply, rc, _ = unpack(item(n) + END, *options)
            ok(reply[0] == errno.EILSEQ and not tree(WORK + "/in"), "%r%s: refused" % (n, " with all names" if options else ""), reply)
        eq(unpack(item(n, DIR | 0o755) + END)[0][0], errno.EILSEQ, "%r, a directory: refused" % n)
    for n in ODD_NAMES:
        eq(unpack(item(n) + END)[0][0], errno.EILSEQ, "%r: refused" % n)
        reply, rc, _ = unpack(item(n) + END, "--allow-all-names")
        ok(reply[0] == 0 and [os.fsencode(x) for x in os.listdir(WORK + "/in")] == [n], "and taken with all names", reply)
    for n in GOOD_NAMES:
        reply, rc, _ = unpack(item(n) + END)
        ok(reply[0] == 0 and os.listdir(WORK + "/in") == [n], "%r: taken" % n[:20], reply)
    eq(unpack(item("a\0b") + END)[0][0], errno.EILSEQ, "a NUL inside: refused")
    eq(unpack(item("a\0b") + END, "--allow-all-names")[0][0], errno.EILSEQ, "with all names, too")
    eq(unpack(item(b"\n") + END, "--allow-all-names", "--no-allow-all-names")[0][0], errno.EILSEQ, "the last option wins")
    for arg, want in (("allow-all-names", 0), ("", errno.EILSEQ)):
        r = Receiver(fresh(), name=LIB + "agent-rpc/qubes.Filecopy", args=[], env={"QREXEC_SERVICE_ARGUMENT": arg, "QREXEC_REMOTE_DOMAIN": "work", "HOME": WORK})
        r.send(item("\n") + END)
        eq(r.end()[0][0], want, "as a service with argument %r: %d" % (arg, want))
    r = Receiver(fresh(), name=LIB + "agent-rpc/qubes.Filecopy", args=[], env={"QREXEC_SERVICE_ARGUMENT": "x", "QREXEC_REMOTE_DOMAIN": "work"})
    eq(r.end()[:2], (None, 100), "with any other: refused")
    for qube in ("", "../x", "a/b", "-x", "x" * 32):
        r = Receiver(fresh(), name=LIB + "agent-rpc/qubes.Filecopy", args=[], env={"QREXEC_SERVICE_ARGUMENT": "", "QREXEC_REMOTE_DOMAIN": qube})
        got = r.end()
        ok(got[:2] == (None, 100) and "QREXEC_REMOTE_DOMAIN" in got[2], "from %r: refused" % qube, got)
    into = fresh()
    for args in ((str(NOBODY), into, "-w"), (str(NOBODY), into, "-v", "-w"), ("-v", str(NOBODY), into), (str(NOBODY), into, "-w", "1", "-v")):
        r = Receiver(into, args=list(args))
        r.send(item("n%d" % len(os.listdir(into))) + END)
        before = len(os.listdir(into))
        got = r.end()
        ok(got[0][0] == 0 and ("n%d" % before in os.listdir(into)) and ("-v" not in args or "n%d" % before in got[2]), "options in an older order: %s" % " ".join(args[2:] if args[0] != "-v" else args[:1]), got)
    r = Receiver(into, args=["nobody", into, "-v"], name=LIB + "qfile-dom0-unpacker")
    r.send(item("dom0") + END)
    got = r.end()
    ok(got[0][0] == 0 and "dom0" in got[2] and os.path.exists(into + "/dom0"), "qfile-dom0-unpacker USER DIR -v", got)
    subprocess.run(["rm", "-rf", "/root/QubesIncoming"])


# Depth of the link's path; target; whether it stays inside.
LINKS = [(1, "a", 0), (2, "a", 1), (2, "..", 0), (2, "../a", 0), (3, "..", 1), (3, "../a", 1), (3, "../..", 0), (3, "../../a", 0), (4, "../..", 1), (4, "../../..", 0),
         (2, "/a", 0), (2, "/", 0), (2, "./a", 1), (2, "a//b", 1), (2, "a/", 1), (2, "a/..", 0), (3, "a/..", 0), (3, "../a/..", 0), (3, "./..", 1), (2, "./..", 0),
         (2, "", 0), (3, "..a", 1), (3, "...", 1), (9, "../../../../../../..", 1), (9, "../../../../../../../..", 0)]


def links():
    for depth, target, good in LINKS:
        path = ["d%d" % i for i in range(depth - 1)]
        data = link("/".join(path + ["l"]), target)
        for i in range(depth - 1, 0, -1):
            data = folder("/".join(path[:i]), data)
        reply, rc, _ = unpack(data + END)
        at = os.path.join(WORK, "in", *path, "l")
        ok(reply[0] == (0 if good else errno.ENOLINK if target else reply[0]) and os.path.islink(at) == bool(good), "%s -> %s: %s" % (at[len(WORK) + 4:], target, "taken" if good else "refused"), reply)
        if target:
            eq(unpack(data + END, "--allow-unsafe-symlinks")[0][0], 0, "taken where links may lead anywhere")


def cuts():
    data = folder("d", item("d/f", body=b"x" * 40), link("d/l", "f")) + item("g", body=b"y" * 5) + END
    edges, at = set(), 0
    while at < len(data):
        edges.add(at)
        n, mode, size = struct.unpack("<IIQ", data[at:at + 16])
        at += 32 + n + (size if n else 0)
    bad = []
    for n in range(0, len(data), 1 if LESS == 1 else 7):
        reply, rc, _ = unpack(data[:n])
        got = tree(WORK + "/in")
        half = [k for k, v in got.items() if v[2] is not None and v[2] not in (b"x" * 40, b"y" * 5, "f")]
        want = errno.EREMOTEIO if n in edges else CUT
        if reply is None or reply[0] != want or rc != want & 255 or half:
            bad.append((n, reply, rc, half))
    ok(not bad, "a stream of %d bytes, cut at each: its code each time, and no half file" % len(data), bad[:3])
    r = Receiver(fresh())
    for i in range(len(data)):
        r.send(data[i:i + 1])
    eq(r.end()[0][0], 0, "sent byte by byte: all there")


def existing():
    """What is there already is never touched."""
    into = fresh()
    os.makedirs(into + "/d/e")
    write(into + "/d/mine", "mine")
    for p in (into + "/d", into + "/d/e", into + "/d/mine"):
        os.chown(p, NOBODY, NOBODY)
    os.utime(into + "/d/e", ns=(5, 5))
    before = tree(into)
    reply, rc, _ = unpack(folder("d", folder("d/e", mode=DIR | 0o777), item("d/new", body=b"new"), mode=DIR | 0o777) + END, dir=into)
    got = tree(into)
    eq((reply[0], got["d/new"][2]), (0, b"new"), "a directory that exists takes new files")
    eq([got[k] for k in ("d/mine", "d/e")], [before[k] for k in ("d/mine", "d/e")], "what was in it is as it was")
    eq(got["d"][0], before["d"][0], "and so is its mode")
    eq(unpack(folder("d", item("d/mine", body=b"other")) + END, dir=into)[0][0], errno.EEXIST, "a file of the same name: refused")
    eq(tree(into)["d/mine"][2], b"mine", "and it is as it was")
    os.symlink("/etc", into + "/out")
    ok(unpack(item("out/n") + END, dir=into)[0][0] in (errno.ELOOP, errno.ENOTDIR, errno.EXDEV), "a link of the receiver's own is not followed")
    ok(unpack(folder("out", item("out/n")) + END, dir=into)[0][0] == errno.EEXIST, "nor is it a directory that exists")
    write(CONFIG, "refuse-existing-directories = true\n")
    eq(unpack(folder("d", item("d/n")) + END, dir=into)[0][0], errno.EEXIST, "refuse-existing-directories: refused")
    eq(unpack(item("d/n") + END, dir=into)[0][0], errno.EEXIST, "also where the directory itself is not sent")
    eq(unpack(folder("q", folder("q/r", item("q/r/n"))) + END, dir=into)[0][0], 0, "new ones are taken")
    os.unlink(CONFIG)


def quotas():
    big = item("f", body=b"x" * (1 << 20))
    for text, good, bad in (
            ("max-megabytes = 1", big, big + item("g", body=b"x")), ("max-files = 2", item("a") + item("b"), item("a") + item("b") + item("c")),
            ("max-files = 2", folder("a", item("a/b")), folder("a", item("a/b"), folder("a/c"))), ("max-depth = 2", folder("a", item("a/b")), folder("a", folder("a/b", item("a/b/c"))))):
        write(CONFIG, text + "\n")
        eq(unpack(good + END)[0][0], 0, text + ": what keeps to it")
        eq(unpack(bad + END)[0][0], errno.EDQUOT, text + ": what does not")
    write(CONFIG, "max-megabytes = 1\n")
    eq(unpack(item("f", size=(1 << 20) + 1) + END)[0][0], errno.EDQUOT, "refused before its content")
    write(CONFIG, "max-files = 'x'\n")
    r = unpack(END)
    ok(r[0] is None and r[1] == 100 and "qubes.Filecopy:1:" in r[2], "a mistake in the file: nothing is taken, and the line is said", r)
    os.unlink(CONFIG)
    local = CONFIG.replace("/etc/", "/usr/local/etc/", 1)
    os.makedirs(os.path.dirname(local), exist_ok=True)
    write(local, "max-files = 1\n")
    eq(unpack(item("a") + item("b") + END)[0][0], errno.EDQUOT, "from where services have their configurations, too")
    os.unlink(local)
    for env, data, want in (({"UPDATES_MAX_FILES": "1"}, item("a") + item("b"), errno.EDQUOT), ({"UPDATES_MAX_BYTES": "3"}, item("a", body=b"1234"), errno.EDQUOT),
                            ({}, item("f", size=(2 << 30) + 1), errno.EDQUOT), ({}, item("a", body=b"1234"), 0)):
        into = fresh()
        eq(unpack(data + END, dir=into, name=LIB + "qfile-dom0-unpacker", args=["nobody", into], env=env)[0][0], want, "qfile-dom0-unpacker, %s: %d" % (env or "its own limits", want))
    reply, rc, _ = unpack(b"".join(item("f%d" % i) for i in range(2049)) + END, dir=fresh(), name=LIB + "qfile-dom0-unpacker", args=["nobody", WORK + "/in"])
    eq((reply[0], len(os.listdir(WORK + "/in"))), (errno.EDQUOT, 2048), "2,049 files for Dom0: refused")


def deep():
    """A path longer than the kernel takes."""
    names = ["d%d" % i + "n" * 200 for i in range(70)]
    data = item("/".join(names + ["f"]), body=b"deep") + link("/".join(names + ["l"]), "f")
    for i in range(len(names), 0, -1):
        data = folder("/".join(names[:i]), data)
    reply, rc, _ = unpack(data + END)
    eq(reply[0], 0, "70 directories, each in the next, and what is in the last")
    src = fresh("src")
    os.rename(WORK + "/in/" + names[0], src + "/top")
    (a, b), err = copy([src + "/top"], fresh())
    eq((a, b), (0, 0), "they are sent on")
    fd = os.open(WORK + "/in/top", os.O_RDONLY)
    for n in names[1:]:
        below = os.open(n, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    eq((sorted(os.listdir(fd)), os.readlink("l", dir_fd=fd)), (["f", "l"], "f"), "and are there")
    os.close(fd)
    r = unpack(item("x/" + "y" * 5000 + "/z") + END)
    eq(r[0][0], errno.ENOENT, "a component that is longer than that, below one that is not there: refused")
    r = unpack(folder("x", item("x/" + "y" * 5000 + "/z")) + END)
    eq(r[0][0], errno.ENAMETOOLONG, "a component that is longer than that: refused")
    r = unpack(folder("x", item("x/" + "a/" * 8000 + "z")) + END)
    eq(r[0][0], errno.ENOENT, "8,001 components that are not there: refused")


def moved_away():
    """QSB-014: a person moves a directory that is being received."""
    r = Receiver(fresh())
    away = fresh("away")
    r.send(item("d", DIR | 0o755) + item("d/e", DIR | 0o755) + item("d/e/f", body=b"1"))
    ok(until(lambda: os.path.exists(WORK + "/in/d/e/f")), "QSB-014: a directory is being received")
    os.rename(WORK + "/in/d/e", away + "/e")
    r.send(item("d/e/g", body=b"2") + END)
    reply, rc, _ = r.end()
    eq((reply[0], os.listdir(away + "/e")), (errno.ENOENT, ["f"]), "QSB-014: it is moved away: nothing more comes into it")
    r = Receiver(fresh())
    r.send(item("d", DIR | 0o755) + item("d/big", body=b"x" * 1000, size=2000))
    ok(until(lambda: os.path.isdir(WORK + "/in/d")), "QSB-014: in the middle of a file")
    os.rename(WORK + "/in/d", away + "/d")
    os.symlink(away, WORK + "/in/d")
    r.send(b"x" * 1000 + item("d/n") + END)
    reply, rc, _ = r.end()
    ok(reply[0] in (errno.ELOOP, errno.ENOTDIR) and not os.path.exists(away + "/n") and not os.listdir(away + "/d"), "QSB-014: and a link out put in its place: refused", reply)
    r = Receiver(fresh())
    r.send(item("mine", DIR | 0o755) + item("d", DIR | 0o755) + item("d/big", body=b"x" * 1000, size=2000))
    ok(until(lambda: os.path.isdir(WORK + "/in/d")), "QSB-014: once more")
    os.rename(WORK + "/in/d", WORK + "/in/e")
    os.symlink("mine", WORK + "/in/d")
    r.send(b"x" * 1000 + END)
    reply, rc, _ = r.end()
    ok(reply[0] in (errno.ELOOP, errno.ENOTDIR) and not os.listdir(WORK + "/in/mine") and not os.listdir(WORK + "/in/e"), "QSB-014: nor by a link that stays inside", reply)


def confined():
    r = Receiver(fresh())
    r.send(item("f", body=b"x" * 10, size=20))
    status = lambda: kv(read("/proc/%d/status" % r.p.pid).replace(":\t", "="))
    ok(until(lambda: status().get("Seccomp") == "2"), "the receiver at work: Seccomp 2", status())
    s = status()
    eq((s["NoNewPrivs"], int(s["CapEff"], 16), s["Uid"].split()[:3]), ("1", 0, [str(NOBODY)] * 3), "NoNewPrivs 1, no capability, the user's uid")
    ok(os.stat("/proc/%d/root" % r.p.pid).st_ino != os.stat("/").st_ino, "and a file system of its own")
    r.send(b"x" * 10 + END)
    eq(r.end()[0][0], 0, "it goes on")


def space():
    """A disk that is full, then is not."""
    at = fresh("small")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", at]).returncode:
        return ok(False, "a small disk")
    try:
        os.chown(at, NOBODY, NOBODY)
        reply, rc, err = unpack(item("a", body=b"1" * 200000) + item("b", body=b"2" * 2000000) + END, dir=at)
        eq((reply[0], rc, reply[2], os.listdir(at)), (errno.ENOSPC, errno.ENOSPC, b"b", ["a"]), "a full disk: code and status 28; what came before is there, the rest is not")
        src = fresh("src")
        for n in "cd":
            write(src + "/" + n, n * 700000)
        (a, b), err = copy([src + "/c", src + "/d"], at)
        ok((a, b) == (1, 28) and "disk is full" in err and '"d"' in err and sorted(os.listdir(at)) == ["a", "c"], "its sender says so", (a, b, err))
        r = Receiver(at, "-w", "100000")
        r.send(item("e", body=b"e" * 400000) + END)
        ok(not until(lambda: os.path.exists(at + "/e"), 0.3), "-w: it waits for space")
        os.unlink(at + "/c")
        eq((r.end()[0][0], sorted(os.listdir(at))), (0, ["a", "e"]), "and goes on when there is some")
    finally:
        subprocess.run(["umount", at])


# --- the sender ---

def copy(files, into, *options, env=None, by=NOBODY):
    """The sender's and the receiver's status, what both said."""
    a, b = os.pipe()
    c, d = os.pipe()
    u = subprocess.Popen([UNPACKER, str(by), into], stdin=a, stdout=d, stderr=subprocess.PIPE)
    s = subprocess.Popen([AGENT, *options, "--", *files], stdin=c, stdout=b, stderr=subprocess.PIPE, env=dict(os.environ, **(env or {})))
    for fd in (a, b, c, d):
        os.close(fd)
    err = s.communicate(timeout=60 * SLOW)[1] + u.communicate(timeout=60 * SLOW)[1]
    return (s.returncode, u.returncode), err.decode(errors="replace")


class Sender:
    def __init__(self, *args, out=subprocess.PIPE):
        self.p = subprocess.Popen([AGENT, *args], stdin=subprocess.PIPE, stdout=out, stderr=subprocess.PIPE)

    def answer(self, data, close=True):
        try:
            self.p.stdin.write(data)
            self.p.stdin.flush()
            if close:
                self.p.stdin.close()
        except BrokenPipeError:
            pass

    def end(self):
        self.p.stdin = None
        err = self.p.stderr.read().decode()
        return self.p.wait(HANGS), err


def head(code, crc=0, last=None):
    return struct.pack("<IIQ", code & 0xffffffff, 0, crc) + (b"" if last is None else struct.pack("<I", len(last)) + last)


def replies():
    src = fresh("src")
    write(src + "/f", "text")
    want = item("f", REG | 0o644, b"text", at=(1, 5), mt=(2, 6)) + END
    crc = zlib.crc32(want)
    table = [("good", head(0, crc, b"f"), 0, ""), ("good, of an old receiver", head(0, crc), 0, ""), ("a wrong CRC", head(0, crc ^ 1, b"f"), 1, "CRC-32"),
             ("EEXIST", head(17, 0, b"f"), 1, "there already"), ("EILSEQ", head(84, 0, b"f"), 1, "characters"), ("EILSEQ negated", head(-84, 0, b"f"), 1, "characters"),
             ("ENOLINK", head(67, 0, b"f"), 1, "link"), ("ENOSPC", head(28, 0, b"f"), 1, "full"), ("EDQUOT", head(122, 0, b"f"), 1, "takes in one copy"), ("EINVAL", head(22, 0, b"f"), 1, "neither a file"),
             ("ENAMETOOLONG", head(36), 1, "too long"), ("EREMOTEIO", head(121), 1, "end is missing"), ("cut", head(CUT), 1, "broke off"), ("EACCES", head(13), 1, "ermission denied"),
             ("an error of no meaning", head(77777), 1, "unknown"), ("the least number", head(0x80000000), 1, "unknown"), ("nothing", b"", 1, "without an answer"), ("half a reply", head(0, crc)[:15], 1, "without an answer"),
             ("a name that is too long", head(17, 0)[:16] + struct.pack("<I", 0xffffffff), 1, "there already"), ("a name that is not there", head(17) + struct.pack("<I", 100) + b"x", 1, '"x"'),
             ("QSB-087: a name to fool a terminal", head(17, 0, b"a\x1b[2Jb\"c\r\n\xc3\xa9"), 1, '"a_[2Jb_c____"')]
    for name, data, rc, text in table:
        os.utime(src + "/f", ns=(10 ** 9 + 5, 2 * 10 ** 9 + 6))
        s = Sender("--", src + "/f")
        got = s.p.stdout.read()
        s.answer(data)
        r = s.end()
        ok(got == want and r[0] == rc and text in r[1] and "\x1b" not in r[1], "a reply: " + name, (got != want, r))
    s = Sender(src + "/f")
    s.p.stdout.read()
    ok(s.p.poll() is None, "no reply: it waits")
    s.p.send_signal(signal.SIGINT)
    eq(s.p.wait(HANGS), -signal.SIGINT, "and ends by ^C")
    with open(src + "/big", "wb") as f:
        f.truncate(1 << 30)
    for name, data, text in (("refuses", head(17, 0, b"big"), "there already"), ("says that all is there", head(0, 0, b"big"), "before all was sent"), ("goes", b"", "without an answer")):
        s = Sender(src + "/big")
        ok(len(s.p.stdout.read(100)) == 100, "a gibibyte is being sent to one who reads no more")
        s.answer(data)
        r = s.end()
        ok(r[0] == 1 and text in r[1], "who %s meanwhile: the sender ends" % name, r)
    s = Sender(src + "/big")
    s.p.stdout.close()
    s.answer(head(28, 0, b"big"))
    ok("full" in s.end()[1], "one who has closed his end: the reply is read")


def trees():
    src, into = fresh("src"), fresh()
    os.makedirs(src + "/t/sub/empty")
    for n, text in (("f", "1"), ("sub/-g", "22"), ("sub/ \u00e9 '\"", "333")):
        write(src + "/t/" + n, text, 0o600)
    os.symlink("../f", src + "/t/sub/l")
    os.symlink("nowhere", src + "/t/dangling")
    with open(src + "/t/hole", "wb") as f:
        f.truncate(5 << 20)
        f.seek(3 << 20)
        f.write(b"x")
    os.chmod(src + "/t/sub", 0o750)
    for n in ("f", "sub"):
        os.utime(src + "/t/" + n, ns=(0, 0xffffffff * 10 ** 9 + 999999999))
    os.utime(src + "/t/sub/empty", ns=(7, 7))
    r, err = copy([src + "/t///"], into)
    eq((r, tree(into)), ((0, 0), tree(src)), "a tree of files, links, a hole, odd names and times: equal")
    ok(os.stat(into + "/t").st_mtime_ns == os.stat(src + "/t").st_mtime_ns, "its top, too")
    os.mkfifo(src + "/t/fifo")
    s = socket.socket(socket.AF_UNIX)
    s.bind(src + "/t/socket")
    r, err = copy([src + "/t"], fresh())
    ok(r == (0, 0) and "fifo: left out" in err and "socket: left out" in err and not os.path.exists(WORK + "/in/t/fifo"), "fifos and sockets are left out, and it is said", (r, err))
    r, err = copy([src + "/t"], fresh(), "--ignore-symlinks")
    ok(r == (0, 0) and not os.path.lexists(WORK + "/in/t/sub/l"), "--ignore-symlinks")
    p = subprocess.Popen([AGENT, ".."], cwd=src + "/t/sub", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    eq(p.stdout.read()[32:34], b"t\0", "'..' is sent by its own name")
    p.stdin.close(), p.wait(HANGS)
    r = subprocess.run([AGENT, "/"], stdin=subprocess.DEVNULL, capture_output=True)
    ok(r.returncode == 1 and b"no name" in r.stderr and not r.stdout, "'/' has none", r)
    r, err = copy([src + "/t/f", src + "/none"], fresh())
    ok(r == (1, errno.EREMOTEIO) and "No such file" in err and os.listdir(WORK + "/in") == ["f"], "a file that is not there: said, the one before it has arrived", (r, err))
    r, err = copy([src + "/t/f", src + "/t/f"], fresh())
    ok(r == (1, errno.EEXIST), "the same name twice: refused", (r, err))


def progress():
    src = fresh("src")
    with open(src + "/f", "wb") as f:
        f.truncate(40000000)
    env = {"FILECOPY_TOTAL_BYTES": "40000000", "PROGRESS_TYPE": "console"}
    r, err = copy([src + "/f"], fresh(), env=env)
    ok(err.startswith("sent ") and "sent 39062/39062 KB\r" in err and err.count("\r") in (3, 4), "console: sent X/Y KB", err)
    a, b = os.pipe()
    os.set_inheritable(b, True)
    p = subprocess.Popen([AGENT, src + "/f"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, pass_fds=(b,), env=dict(os.environ, PROGRESS_TYPE="gui", SAVED_FD_1=str(b)))
    os.close(b)
    while p.stdout.read(1 << 20):
        pass
    p.stdin.close(), p.wait(HANGS)
    got = [int(n) for n in os.fdopen(a).read().split()]
    ok(got == sorted(got) and got[-1] == 40000000 and 2 <= len(got) <= 4, "gui: how many bytes, a line each", got)
    r, err = copy([src + "/f"], fresh(), env=dict(env, PROGRESS_TYPE="bar"))
    ok(re.search(r"\r100 % \[#+\] +38 MiB", err), "a bar", err)
    r, err = copy([src + "/f"], fresh())
    eq(err, "", "and else nothing")


def moves():
    src = fresh("src")
    def make():
        subprocess.run(["rm", "-rf", src])
        os.makedirs(src + "/t/d")
        for n in ("a", "d/b", "d/c"):
            write(src + "/t/" + n, n)
        os.link(src + "/t/a", src + "/t/d/a2")
        os.symlink("a", src + "/t/l")
    make()
    before = tree(src)
    r, err = copy([src + "/t"], fresh(), "--move")
    ok(r == (0, 0) and tree(WORK + "/in") == before and not os.listdir(src), "a move: all is there, and gone here", (r, err, os.listdir(src)))
    for code in (17, 28, 84, 121, 0):
        make()
        s = Sender("--move", src + "/t")
        s.p.stdout.read()
        s.answer(head(code, 1, b"t"))
        r = s.end()
        ok(r[0] == 1 and contents(src) == contents(before), "refused with %d%s: nothing is removed" % (code, "" if code else " and a wrong CRC"), r)
    make()
    os.mkfifo(src + "/t/d/fifo")
    s = Sender("--move", src + "/t")
    data = s.p.stdout.read()
    write(src + "/t/a", "changed")
    write(src + "/t/d/b", "changed meanwhile")
    write(src + "/t/new", "new")
    s.answer(head(0, zlib.crc32(data), b"t"))
    r = s.end()
    left = sorted(tree(src))
    ok(r[0] == 1 and {"t/new", "t/d/b", "t/d/fifo"} <= set(left) and "t/d/c" not in left and "t/l" not in left, "what has changed, is new or was left out stays", (r, left))
    ok("/t/d/b: copied and not removed: it has changed" in r[1] and "something is in it" in r[1], "and is named", r[1])


def link_or_file():
    """A link is exchanged for a file while it is sent: what was not sent is not removed."""
    src = fresh("src")
    stop = src + "/../stop"
    subprocess.run(["rm", "-f", stop])
    write(src + "/precious", "precious")
    pid = os.fork()
    if pid == 0:
        while not os.path.exists(stop):
            try:
                os.symlink("precious", src + "/.l"), os.rename(src + "/.l", src + "/l")
                os.link(src + "/precious", src + "/.f"), os.rename(src + "/.f", src + "/l")
            except OSError:
                pass
        os._exit(0)
    until(lambda: os.path.lexists(src + "/l"))
    bad = []
    for _ in range(few(300)):
        s = Sender("--move", "--", src + "/l")
        data = s.p.stdout.read()
        s.answer(head(0, zlib.crc32(data), b"l"))
        s.end()
        mode, = struct.unpack("<I", data[4:8]) if len(data) > 40 else (0,)
        if stat.S_ISREG(mode) and data[34:42] != b"precious" or stat.S_ISLNK(mode) and data[34:42] != b"precious":
            bad.append(data[:50])
    write(stop, "")
    os.waitpid(pid, 0)
    ok(not bad and os.path.exists(src + "/precious"), "a link that becomes a file and back while it is moved: what is sent is one of them", bad[:2])


def no_list():
    """The list of what was sent does not fit: nothing is removed that is not in it, and it is said."""
    at, src = fresh("tiny"), fresh("src")
    for i in range(200):
        write(src + "/f%03d" % i, "x")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k,mode=1777", "none", "/tmp/filecopy/tiny"]).returncode:
        return ok(False, "a tiny disk")
    # tmpfile(3) is in /tmp, whatever $TMPDIR says
    r = subprocess.run(["unshare", "-m", "sh", "-c", "mount --move %s /mnt && mount --bind %s /media && mount --bind /mnt /tmp && exec python3 -c '%s' %s" % (
        at, src, """
import os, struct, subprocess, sys, zlib
p = subprocess.Popen([sys.argv[1], "--move", "/media/."], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
data = p.stdout.read()
try:
    p.stdin.write(struct.pack("<IIQ", 0, 0, zlib.crc32(data)))
    p.stdin.close()
except OSError:
    pass
err = p.stderr.read().decode()
print(p.wait(), err.replace(chr(10), " "))
""".replace("'", '"'), AGENT)], capture_output=True, text=True)
    subprocess.run(["umount", at])
    left = len(os.listdir(src))
    ok(r.stdout.startswith("1 ") and "is /tmp full?" in r.stdout, "a full /tmp in a move: status 1, and it is said", (r.stdout, r.stderr, left))


def killed():
    """Either side is killed at any point: no half file, nothing lost."""
    src = fresh("src")
    def make():
        subprocess.run(["rm", "-rf", src])
        os.makedirs(src + "/t")
        for i in range(60):
            with open(src + "/t/f%d" % i, "wb") as f:
                f.write(bytes([i]) * (i * 5000))
    make()
    whole, bad, gone, tried = tree(src), [], 0, few(200)
    began = time.monotonic()
    copy([src + "/t"], fresh(), "--move")
    took = time.monotonic() - began
    rnd = random.Random(7)
    for n in range(tried):
        if tree(src) != whole:
            make()
            for k, v in whole.items():
                os.utime(src + "/" + k, ns=(v[1], v[1])) if stat.S_ISREG(v[0]) else None
            os.utime(src + "/t", ns=(whole["t"][1],) * 2)
        into = fresh()
        a, b = os.pipe()
        c, d = os.pipe()
        u = subprocess.Popen([UNPACKER, str(NOBODY), into], stdin=a, stdout=d, stderr=subprocess.DEVNULL)
        s = subprocess.Popen([AGENT, "--move", src + "/t"], stdin=c, stdout=b, stderr=subprocess.DEVNULL)
        for fd in (a, b, c, d):
            os.close(fd)
        victim = (u, s)[n % 2]
        try:
            victim.wait(rnd.random() * took * 1.1)
        except subprocess.TimeoutExpired:
            victim.kill()
        s.wait(HANGS), u.wait(HANGS)
        there, here = tree(into), tree(src)
        files = {k: v[2] for k, v in whole.items() if v[2] is not None}
        half = [k for k, v in there.items() if v[2] is not None and v[2] != files[k]] + [k for k in there if k not in whole]
        lost = [k for k in files if k not in here and (k not in there or there[k][2] != files[k])]
        gone += len(here) < len(whole)
        if half or lost:
            bad.append((n, half, lost))
    ok(gone > tried // 20, "some kills come when the removal has begun", gone)
    ok(not bad, "%d kills, of sender and receiver: no half file, nothing lost (%d had begun to remove)" % (tried, gone), bad[:3])


def full_disks():
    """A disk that is full at any point of a move."""
    src, at = fresh("src"), fresh("small")
    os.makedirs(src + "/t")
    for i in range(40):
        with open(src + "/t/f%d" % i, "wb") as f:
            f.write(bytes([i]) * (i * 2500))
    whole, bad, full, tried, rnd = contents(src), [], 0, few(200), random.Random(8)
    for n in range(tried):
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%dk,mode=777" % rnd.randint(4, 2400), "none", at]).returncode:
            return ok(False, "a small disk")
        (a, b), err = copy([src + "/t"], at, "--move")
        there, here = contents(at), contents(src)
        half = [k for k, v in there.items() if v is not None and v != whole.get(k)]
        full += b == errno.ENOSPC
        if half or (b == 0 and (here or there != whole)) or (b != 0 and (b != errno.ENOSPC or a != 1 or here != whole)):
            bad.append((n, a, b, half, err))
        if not here:
            subprocess.run(["cp", "-a", at + "/t", src + "/"], check=True)
        subprocess.run(["umount", at], check=True)
    ok(tried // 3 < full < tried, "%d disks, of which some are large enough" % tried, full)
    ok(not bad, "no half file, nothing lost, nothing removed unless all has arrived", bad[:3])


def memory():
    """Constant, whatever is copied."""
    peak = lambda p: int(re.search(r"VmHWM:\s+(\d+)", read("/proc/%d/status" % p.pid)).group(1))
    used = {}
    for n in (20, few(20000)):
        r = Receiver(fresh())
        r.send(b"".join(item("f%d" % i, body=b"x" * (i % 100)) for i in range(n)))
        r.send(item("last", body=b"y" * 500000))
        ok(until(lambda: os.path.exists(WORK + "/in/last"), 60), "%d files are taken" % n)
        src = WORK + "/in"
        s = Sender(src)
        while s.p.stdout.read1(1 << 20):
            pass
        used[n] = peak(r.p), peak(s.p)
        s.answer(b""), s.end()
        r.send(END)
        r.end()
    a, b = used.values()
    ok(b[0] <= a[0] * 1.2 and b[1] <= a[1] * 1.2, "the memory of both is the same for few files and for many", used)


def checks():
    src = fresh("src")
    os.makedirs(src + "/t/d")
    write(src + "/t/f", "12345")
    check = lambda *a: (lambda r: (r.returncode, r.stdout.decode(), r.stderr.decode()))(subprocess.run(["qubes-fs-tree-check", *a], capture_output=True))
    both = ("--allow-symlinks", "--allow-directories", "--machine", "--")
    eq(check(*both, src + "/t"), (0, "5\n", ""), "qubes-fs-tree-check: the bytes")
    eq(check("--machine", "--", src + "/t")[0], 1, "a directory, not allowed")
    os.symlink("f", src + "/t/l")
    eq(check("--allow-directories", "--machine", "--", src + "/t")[0], 1, "a link, not allowed")
    eq(check("--allow-directories", "--ignore-symlinks", "--machine", "--", src + "/t")[:2], (0, "5\n"), "or left out")
    eq(check(*both, src + "/t")[0], 0, "a link that stays inside")
    os.symlink("../../x", src + "/t/d/m")
    ok(check(*both, src + "/t")[0] == 1 and "leads out" in check(*both, src + "/t")[2], "one that does not")
    os.unlink(src + "/t/d/m")
    write(src + "/t/a\nb", "")
    eq(check(*both, src + "/t")[:2], (2, "5\n"), "a name with a newline: 2")
    ok("\n" not in check(*both, src + "/t/none\nx")[2].rstrip("\n"), "one that is not there is named on one line")
    os.unlink(src + "/t/a\nb")
    os.symlink("a\nb", src + "/t/d/o")
    eq(check(*both, src + "/t")[0], 2, "a target with one: 2")
    subprocess.run(["rm", "-rf", src + "/t"])
    path = src
    for i in range(70):
        path += "/d%d" % i + "n" * 100
    at = os.open(src, os.O_RDONLY)
    for i in range(70):
        os.mkdir("d%d" % i + "n" * 100, dir_fd=at)
        below = os.open("d%d" % i + "n" * 100, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(os.open("f", os.O_WRONLY | os.O_CREAT, dir_fd=at))
    os.symlink("../out", "odd\n", dir_fd=at)
    top = src + "/d0" + "n" * 100
    eq(check(*both, top)[:2], (2, "0\n"), "70 directories deep: an odd name is seen")
    os.symlink("../" * 70 + "out", "l", dir_fd=at)
    r = check(*both, top)
    ok(r[0] == 1 and "...n" in r[2] and "/l: this link leads out" in r[2], "and a link that leads out, which is named by its end", r)
    write(src + "/in", "x")
    os.symlink("in", src + "/l")
    os.unlink("l", dir_fd=at)
    os.close(at)
    r = subprocess.run(["qubes-fs-tree-check", *both, "."], cwd=src, capture_output=True, text=True)
    eq((r.returncode, r.stderr), (2, ""), "'.' is looked at by its own name: a link in it stays inside")
    if os.getuid() == 0:
        write(src + "/secret", "x", 0)
        os.chmod(src, 0o755)
        r = subprocess.run(["setpriv", "--reuid", str(NOBODY), "--clear-groups", "qubes-fs-tree-check", *both, src + "/secret"], capture_output=True, text=True)
        ok(r.returncode == 1 and "Permission denied" in r.stderr, "a file that may not be read", r)
    eq([check()[0], check("--nonsense")[0], check("--help")[0]], [1, 1, 0], "wrong use, help")


RECEIVER_AND_SENDER = [whole, refused, names, links, cuts, existing, quotas, deep, moved_away, confined, space, replies, trees, progress, moves, link_or_file, no_list, killed, full_disks, memory, checks]
rows(RECEIVER_AND_SENDER)
done()
