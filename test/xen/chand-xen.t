#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
# chand on real Xen: nodes that it writes and nodes that a qube scribbles, pages that a qube shows, quotas, and
# xenstore's end.
import ctypes, mmap
from dom0 import *

libc = ctypes.CDLL(None, use_errno=True)


def ask(text, uid=0, fds=()):
    """One request; the connection, not yet read."""
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(LIMIT)
    d = os.open("/run/qubes/s", os.O_PATH)
    os.fchdir(d)
    if uid:
        os.setegid(65534)
        os.seteuid(uid)
    try:
        s.connect("chan.sock")
    finally:
        if uid:
            os.seteuid(0)
            os.setegid(0)
        os.chdir("/")
        os.close(d)
    socket.send_fds(s, [text.encode()], list(fds))
    return s


def answer(s):
    text, fds, _, _ = socket.recv_fds(s, 4096, 4)
    return text.decode(), fds


def call(text, uid=0, fds=()):
    s = ask(text, uid, fds)
    return (s, *answer(s))


def refs_fd(refs):
    fd = os.memfd_create("refs")
    os.write(fd, struct.pack("<%dL" % len(refs), *refs))
    return fd


def grants(refs, domid=None, uid=0, pages=None, fd=None):
    fd = refs_fd(refs) if fd is None else fd
    text = "role=grants\npages=%d\n" % (len(refs) if pages is None else pages)
    try:
        return call(text + ("domid=%d\n\n" % domid if domid else "\n"), uid, [fd])
    finally:
        os.close(fd)


def mapped(fd, pages):
    """The bytes, or errno; closes fd."""
    try:
        return mmap.mmap(fd, pages * 4096, mmap.MAP_SHARED, mmap.PROT_READ)
    except OSError as e:
        return e.errno
    finally:
        os.close(fd)


def as_uid(uid, f):
    """What f returns in a process of that uid."""
    r, w = os.pipe()
    if os.fork() == 0:
        os.setgroups([]), os.setgid(uid), os.setuid(uid)
        os.write(w, repr(f()).encode())
        os._exit(0)
    os.close(w)
    text = b"".join(iter(lambda: os.read(r, 4096), b""))
    os.close(r)
    os.wait()
    return eval(text) if text else None


def first_bytes(m, count):
    return [m[i * 4096] for i in range(count)] if not isinstance(m, int) else m


qubes("work", "vault")
W, V = state("work"), state("vault")
w, v = int(W["domid"]), int(V["domid"])
QREXECD, CONSOLE, GUID = (uid_of("work", p) for p in (1, 4, 6))
put_inside("work", "pages", "chan")
mine, theirs = "/local/domain/0/data/vchan/%d/" % w, "/local/domain/%d/data/vchan/0/" % w

# Dom0's servers: their nodes.
server = "role=server\nport=%d\ndomid=%d\n\n"
c, text, fds = call(server % (700, w))
ok(text.startswith("result=ok") and len(fds) == 1, "a server", text)
ref = store("read", mine + "700/ring-ref")
ok(ref and ref.isdigit() and (store("read", mine + "700/event-channel") or "").isdigit(), "its nodes", ref)
perms = store("ls", "-p", mine[:-1]) or ""
ok("(n0,r%d)" % w in perms, "the qube may read them", perms)
c2, text, fds2 = call(server % (700, w))
ok(text.startswith("result=ok") and store("read", mine + "700/ring-ref") not in (None, ref), "the port is asked for again",
   text)
c.close(), os.close(fds[0])
call("role=watch\ndomid=%d\n\n" % w)[0].close()  # chand has seen the hang-up before
ok(store("read", mine + "700/ring-ref"), "the first one's end takes nothing from the second")
c2.close(), os.close(fds2[0])
ok(until(lambda: store("read", mine + "700/ring-ref") is None), "withdrawn by closing the control connection")
c, text, fds = call(server % (701, w))
c.sendall(b"\n")
ok(until(lambda: store("read", mine + "701/ring-ref") is None), "removed when the holder says that the peer came")
c.sendall(b"\nx")
ok(answer(c)[0].startswith("result=refused"), "a holder that says more")
os.close(fds[0])
limit, held = "/sys/module/xen_gntalloc/parameters/limit", []
with open(limit) as f:
    usual = f.read()
with open(limit, "w") as f:
    f.write("1024")
while len(held) < 40:
    c, text, fds = call(server % (2000 + len(held), w))
    if not text.startswith("result=ok"):
        break
    held.append((c, fds[0]))
ok("xen_gntalloc" in text, "no pages are left for channels: refused with the reason (after %d)" % len(held), text)
for c, fd in held:
    c.close(), os.close(fd)
ok(until(lambda: call(server % (700, w))[1].startswith("result=ok")), "and channels again when they are given back")
with open(limit, "w") as f:
    f.write(usual)
held = fds = None

# A qube scribbles over its nodes: its server is waited for, and no longer.
port = 702


def waits(c, name):
    """chand has looked, and waits for something better."""
    call("role=watch\ndomid=%d\n\n" % w)[0].close()
    c.setblocking(False)
    try:
        ok(False, name, c.recv(100))
    except BlockingIOError:
        ok(True, name)
    c.close()


for what, a, b in (("huge values", "9" * 60, "1" * 60), ("no numbers", "-1", "0x10"), ("blanks", " 1", "1 "),
                   ("very long values", "1" * 2000, "1" * 2000), ("references of nothing", "4294967295", "4294967295"),
                   ("a reference alone", "8", None), ("an event channel alone", None, "8"),
                   ("bytes", "\x01\x7f", "%s%n")):
    port += 1
    node = theirs + str(port)
    c = ask("role=client\nport=%d\ndomid=%d\n\n" % (port, w))
    for leaf, value in (("/ring-ref", a), ("/event-channel", b)):
        if value is not None:
            store("write", node + leaf, value)
    call("role=watch\ndomid=%d\n\n" % w)[0].close()
    store("rm", node)
    waits(c, "not taken for a server: " + what)
for kind in ("big-order", "no-order", "same-place"):
    port += 1
    c = ask("role=client\nport=%d\ndomid=%d\n\n" % (port, w))
    inside("work", "(/tmp/chan evil 0 %d %s >/dev/null 2>&1 &)" % (port, kind))
    if not until(lambda: store("read", theirs + "%d/event-channel" % port)):
        ok(False, "it shows the page")
    waits(c, "not taken for a server: a page that makes no sense: " + kind)
port += 1
store("write", theirs + "%d/ring-ref" % port, "8")
store("write", theirs + "%d/event-channel" % port, "1")
c = ask("role=client\nport=%d\ndomid=%d\n\n" % (port, w))
call("role=watch\ndomid=%d\n\n" % w)[0].close()
store("rm", theirs + str(port))
inside("work", "(/tmp/chan echo server 0 %d >/dev/null 2>&1 &)" % port)
text, fds = answer(c)
ok(text.startswith("result=ok") and len(fds) == 1, "stale nodes, then a server: it is met", text)
c.close()
for fd in fds:
    os.close(fd)

# Pages.
inside("work", "/tmp/pages grant 0 8 10 >/dev/null 2>&1")
refs = until(lambda: store("read", "/local/domain/%d/data/pages" % w))
refs = [int(r) for r in refs.split()]
c, text, fds = grants(refs, w)
ok(text.startswith("result=ok") and len(fds) == 1, "pages for root", text)
try:
    mmap.mmap(fds[0], 8 * 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE).close()
    ok(False, "a mapping that can be written is refused")
except PermissionError:
    ok(True, "a mapping that can be written is refused")
m = mapped(fds[0], 8)
ok(first_bytes(m, 8) == list(range(10, 18)), "they are what the qube shows", first_bytes(m, 8))
inside("work", "/tmp/pages fill")
ok(until(lambda: m[0] == 11), "and what it writes there now", m[0])
base = ctypes.addressof(ctypes.c_char.from_buffer_copy(b"x"))
maps = [l for l in open("/proc/self/maps") if "gntdev" in l]
start = int(maps[0].split("-")[0], 16) if maps else 0
ok(maps and libc.mprotect(ctypes.c_void_p(start), 4096, 3) == -1 and ctypes.get_errno() == 13,
   "and cannot be made writable", maps)
m.close(), c.close()

c, text, fds = grants(refs, v, GUID)
ok(text == "result=ok\ndomid=%d\n\n" % w and len(fds) == 1, "a guid: its own qube, whatever it asks", text)
got = as_uid(GUID, lambda: first_bytes(mapped(fds[0], 8), 8))
ok(got == list(range(11, 19)), "mapped by a process of its uid", got)
os.close(fds[0]), c.close()
for who, uid in (("a qrexecd", QREXECD), ("the console", CONSOLE), ("nobody", 65534)):
    c, text, fds = grants(refs, w, uid)
    ok(text.startswith("result=refused") and not fds, "no pages for " + who, text)

# References that are none, or not for us: no page, and chand lives.
before = svpid("chand")
inside("work", "/tmp/pages grant %d 2 1 >/dev/null 2>&1" % v)
foreign = until(lambda: [int(r) for r in (store("read", "/local/domain/%d/data/pages" % w) or "").split()][:2] != refs[:2]
                and [int(r) for r in store("read", "/local/domain/%d/data/pages" % w).split()])
for what, some in (("granted to another domain", foreign), ("nonsense", [4294967295, 123456789]),
                   ("one of nine", refs + [4000000000]), ("its console", [0]), ("its xenstore", refs + [1])):
    c, text, fds = grants(some, w)
    got = mapped(fds[0], len(some)) if fds else 1
    ok(isinstance(got, int), "cannot be mapped: " + what, (text, got))
    c.close()
c, text, fds = grants(refs, v)
got = mapped(fds[0], 8) if fds else 1
ok(isinstance(got, int), "cannot be mapped: one qube's references, of another qube", text)
c.close()
inside("work", "/tmp/pages drop")  # the second; the first goes on
r, p = os.pipe()
for what, pages, fd in (("a pipe", 8, r), ("fewer references than pages", 9, refs_fd(refs)), ("no page", 0, refs_fd(refs)),
                        ("too many at once", 16385, refs_fd(refs)), ("a file", 8, os.open("/proc/mounts", os.O_RDONLY))):
    c, text, fds = grants(refs, w, pages=pages, fd=fd)
    ok(text.startswith("result=refused") and not fds, "refused: " + what, text)
c, text, fds = call("role=grants\npages=8\ndomid=%d\n\n" % w)
ok(text.startswith("result=refused") and not fds, "refused: no descriptor", text)
ok(svpid("chand") == before, "chand has seen it all")

# The quota: of a qube, over all who ask for it.
most = [8] * 16384
a, text, fds = grants(most, w)
ok(text.startswith("result=ok"), "16384 pages", text)
os.close(fds[0])
b, text, fds = grants(most[:16380], None, GUID)
ok(text.startswith("result=ok"), "16380 more", text)
os.close(fds[0])
c, text, fds = grants(most[:5], None, GUID)
ok("quota" in text and not fds, "over the quota: refused", text)
c, text, fds = grants(most[:5], w)
ok("quota" in text and not fds, "for root, too", text)
c, text, fds = grants(most[:5], v)
ok(text.startswith("result=ok"), "another qube has its own", text)
os.close(fds[0]), c.close(), a.close()
ok(until(lambda: grants(most[:5], w)[1].startswith("result=ok")), "given back with the connection")
b.close()

# An agent whose page is in order and whose rings cannot be mapped.
before_d = svpid("qrexecd/instance/work")
subprocess.Popen(["qvm-run", "-u", "root", "work", "cp /tmp/chan /tmp/evil; A=/usr/lib/qubes/qrexec-agent;"
                  " mv $A /tmp/agent; killall -9 qrexec-agent; /tmp/evil evil 0 512 bad-grants; mv /tmp/agent $A"],
                 stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
ok(until(lambda: "the channel cannot be used" in logs("work/qrexecd")), "rings that cannot be mapped: qrexecd says so")
ok(until(lambda: alive("work"), 3 * LIMIT), "and serves the agent that comes then")
ok(svpid("qrexecd/instance/work") == before_d, "the same qrexecd")

# Xenstore ends.
c, text, fds = grants(refs, w)
m = mapped(fds[0], 8)
waiting = ask("role=client\nport=799\ndomid=%d\n\n" % w)
call("role=watch\ndomid=%d\n\n" % w)[0].close()
subprocess.run(["pkill", "-9", "-x", "xenstored"])
text = answer(waiting)[0]
ok("xenstore" in text, "xenstore has gone: who waits is told", text)
text = call(server % (700, w))[1]
ok("xenstore" in text, "a new channel is refused with the reason", text)
ok(call("role=watch\ndomid=%d\n\n" % w)[1].startswith("result=ok"), "chand answers")
ok(first_bytes(m, 1) == [11], "pages that are mapped stay", first_bytes(m, 1))
t = cpu(before)
time.sleep(2)
ok(cpu(before) - t < 0.2, "and it does not spin", cpu(before) - t)
ok(svpid("chand") == before, "it was never started anew")
done()
