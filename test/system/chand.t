#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
# chand: who gets which channel, and what a qube can do with the names in its directory.
import mmap, os, socket, struct, subprocess, sys, time

if os.environ.get("HOUSE") != "1":
    house = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../house")
    os.execv(house, [house, "-u", os.path.abspath(__file__)])

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from wire import LIMIT, XEN, qubes

LOCAL, CHAN = "/run/qubes/local", "/run/qubes/s/chan.sock"
n = 0


def ok(good, name, note=""):
    global n
    n += 1
    print("%sok %d - %s" % ("" if good else "not ", n, name), flush=True)
    if not good and note:
        print("# %r" % (note,))


def until(f):
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        got = f()
        if got:
            return got
        time.sleep(0.01)
    return None


def state(name):
    with open("/run/qubes/state/" + name) as f:
        return dict(l.strip().split("=", 1) for l in f)


def ask(text, uid=0, fds=()):
    """One request; the connection, not yet read. A uid other than root comes by a descriptor, as a sandbox does."""
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(LIMIT)
    d = os.open("/run/qubes/s", os.O_PATH)
    if uid:
        os.setegid(65534)
        os.seteuid(uid)
    try:
        s.connect("/proc/self/fd/%d/chan.sock" % d if not uid else "chan.sock" if not os.fchdir(d) else "")
    finally:
        if uid:
            os.seteuid(0)
            os.setegid(0)
        os.chdir("/")
        os.close(d)
    socket.send_fds(s, [text.encode()], fds)
    return s


def answer(s):
    text, fds, _, _ = socket.recv_fds(s, 4096, 4)
    return text.decode(), [socket.socket(fileno=f) for f in fds]


def call(text, uid=0):
    s = ask(text, uid)
    return (s,) + answer(s)


def own(name, leaf, uid, make):
    """Puts something of a qube's uid into the qube's directory, whole."""
    tmp = LOCAL + "/.test"
    os.makedirs(tmp, exist_ok=True)
    made = make(tmp + "/x")
    os.chown(tmp + "/x", uid, uid, follow_symlinks=False)
    os.rename(tmp + "/x", "%s/%s/%s" % (LOCAL, name, leaf))
    return made


def listener(path):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(LIMIT)
    s.bind(path)
    s.listen()
    return s


r = qubes("work", "vault")
ok(r.returncode == 0, "two qubes run", r)
W, V = state("work"), state("vault")
w, v = int(W["domid"]), int(V["domid"])
root_w, root_v = (2000000000 + 65536 * int(x["qid"]) for x in (W, V))
qrexecd_w = 1900000000 + 8 * int(W["qid"]) + 1

# Requests.
for bad in ("role=both\nport=1\ndomid=%d\n\n" % w, "role=server\nport=65536\ndomid=%d\n\n" % w, "role=server\n\n",
            "role=server\nport=1\ndomid=99\n\n", "role=server\nport=1\n\n", "x\n\n", "role=server\nport=1\nevil=1\n\n",
            "a=" + 300 * "x"):
    text, fds = call(bad)[1:]
    ok(text.startswith("result=refused") and not fds, "refused: %r" % bad[:40], text)
text, fds = call("role=server\nport=600\ndomid=%d\n\n" % w, 65534)[1:]
ok(text.startswith("result=refused") and not fds, "refused: nobody", text)
text, fds = call("role=server\nport=600\ndomid=%d\n\n" % w, 1900000000 + 8 * int(W["qid"]) + 4)[1:]
ok(text.startswith("result=refused") and not fds, "refused: the console's uid", text)
text, fds = call("role=server\nport=600\n\n", qrexecd_w)[1:]
ok("reason=not for this daemon" in text and not fds, "a server, for a qrexecd: refused", text)
qdbd_v = 1900000000 + 8 * int(V["qid"]) + 7
for words in ("role=server\nport=112", "role=server\nport=0", "role=client\nport=111", "role=grants\npages=1"):
    text, fds = call(words + "\ndomid=%d\n\n" % w, qdbd_v)[1:]
    ok("reason=not for this daemon" in text and not fds, "%r, for a qdbd: refused" % words, text)
text, fds = call("role=watch\ndomid=%d\n\n" % w, qdbd_v)[1:]
ok(text == "result=ok\ndomid=%d\n\n" % v and not fds, "a watch of its own qube, for a qdbd, whatever it asks for", text)
text = call("role=watch\ndomid=%d\n\n" % v, qrexecd_w)[1]
ok(text == "result=ok\ndomid=%d\n\n" % w, "a qrexecd gets its own qube, whatever it asks for", text)
c, text, fds = call("role=server\nport=600\ndomid=%d\n\n" % w)
ok(text == "result=ok\ndomid=%d\n\n" % w and len(fds) == 1, "a server, for root", text)
first = fds
for uid, name in ((0, "root"), (qrexecd_w, "a qrexecd")):
    c3, text, fds = call("role=watch\ndomid=%d\n\n" % w, uid)
    ok(text == "result=ok\ndomid=%d\n\n" % w and not fds, "a watch alone, for " + name, text)
text = call("role=grants\npages=1\n\n", qrexecd_w)[1]
ok("reason=not for this daemon" in text, "pages, for a qrexecd: refused", text)


def kill():
    pid = subprocess.check_output(["s6-svstat", "-o", "pid", "/run/qubes/s6/chand"]).decode().strip()
    status = open("/proc/%s/status" % pid).read()
    caps = "" if XEN else "CapEff:\t000000000000000a\n"
    ok(caps in status and "NoNewPrivs:\t1\n" in status, "two capabilities, no_new_privs" if caps else "no_new_privs",
       [l for l in status.splitlines() if "Cap" in l])
    os.kill(int(pid), 9)


def names():
    """The local backend: what a qube can do with the names in its directory."""
    fds = first
    ok(not os.path.exists("%s/vault/vchan.0.%d.600.sock" % (LOCAL, v)), "and nothing in the other's directory")

    # A server: its name, and its end.
    name = "%s/work/vchan.0.%d.600.sock" % (LOCAL, w)
    ok(os.path.exists(name), "a server's name is there")
    p = socket.socket(socket.AF_UNIX)
    os.seteuid(0)
    p.connect(name)
    ok(until(lambda: not os.path.exists(name)), "and gone when the peer has come")
    fds[0].settimeout(LIMIT)
    fds[0].accept()
    c2, text, fds2 = call("role=server\nport=600\ndomid=%d\n\n" % w)
    ok(text.startswith("result=ok") and os.path.exists(name), "the port is used again", text)
    c2.close()
    fds2[0].close()
    ok(until(lambda: not os.path.exists(name)), "withdrawn by closing the control connection")

    # A client waits; what is no socket of the qube is never connected to.
    leaf = "vchan.%d.0.601.sock" % w
    policy = "/run/qubes/s/policy.sock"
    for what, uid, make in (("a link to a socket of Dom0's", root_w, lambda p: os.symlink(policy, p)),
                            ("a socket of Dom0's", 0, listener), ("another qube's socket", root_v, listener)):
        theirs = own("work", leaf, uid, make)
        c = ask("role=client\nport=601\ndomid=%d\n\n" % w)
        call("role=server\nport=650\ndomid=%d\n\n" % w)[0].close()  # chand has seen the request before this one
        c.setblocking(False)
        try:
            ok(False, "never connected to: " + what, c.recv(100))
        except BlockingIOError:
            ok(True, "never connected to: " + what)
        c.close()
        os.unlink("%s/work/%s" % (LOCAL, leaf))
    c = ask("role=client\nport=601\ndomid=%d\n\n" % w)
    real = own("work", leaf, root_w, listener)
    text, fds = answer(c)
    got, _ = real.accept()
    got.sendall(b"me")
    ok(text.startswith("result=ok") and fds[0].recv(2) == b"me", "a client waits for the qube's own listener", text)
    c.close()

    # Between qubes.
    leaf = "vchan.%d.%d.700.sock" % (w, v)
    s = own("work", leaf, root_w + 1000, listener)
    ok(until(lambda: os.path.exists("%s/vault/%s" % (LOCAL, leaf))), "a server for another qube is linked there")
    ok(os.stat("%s/vault/%s" % (LOCAL, leaf)).st_mode & 0o777 == 0o666, "and may be connected to")
    os.unlink("%s/work/%s" % (LOCAL, leaf))
    ok(until(lambda: not os.path.exists("%s/vault/%s" % (LOCAL, leaf))), "and unlinked with it")
    for what, leaf, uid, make in (
            ("a file", "vchan.%d.%d.701.sock" % (w, v), root_w, lambda p: open(p, "w")),
            ("a link", "vchan.%d.%d.702.sock" % (w, v), root_w, lambda p: os.symlink("/run/qubes/s/chan.sock", p)),
            ("a forged server", "vchan.%d.%d.703.sock" % (v, w), root_w, listener),
            ("another's socket", "vchan.%d.%d.704.sock" % (w, v), root_v, listener),
            ("a bad name", "vchan.%d.0%d.705.sock" % (w, v), root_w, listener)):
        own("work", leaf, uid, make)
    s = own("work", "vchan.%d.%d.706.sock" % (w, v), root_w, listener)
    until(lambda: os.path.exists("%s/vault/vchan.%d.%d.706.sock" % (LOCAL, w, v)))
    left = [x for x in os.listdir(LOCAL + "/vault") if x[-8:-5] in ("701", "702", "703", "704", "705")]
    ok(not left, "a file, a link, a forged server, another's socket, a bad name: not linked", left)
    # chand is killed: what it linked is known again.
    os.unlink("%s/vault/vchan.%d.%d.706.sock" % (LOCAL, w, v))
    kill()
    ok(until(lambda: os.path.exists("%s/vault/vchan.%d.%d.706.sock" % (LOCAL, w, v))), "after kill -9 it looks at all again")


def grants(refs, domid=None, uid=0, pages=None):
    d = os.memfd_create("refs")
    os.write(d, struct.pack("<%dL" % len(refs), *refs))
    s = ask("role=grants\npages=%d\n" % (len(refs) if pages is None else pages) + ("domid=%d\n\n" % domid if domid else "\n"),
            uid, [d])
    os.close(d)
    text, fds, _, _ = socket.recv_fds(s, 4096, 4)
    return s, text.decode(), fds


def pages():
    """The local backend: a file of the qube's (what Xen does: test/xen/chand-xen.t)."""
    guid_w, guid_v = (1900000000 + 8 * int(x["qid"]) + 6 for x in (W, V))
    place = LOCAL + "/work/grants"

    def put(first, n, owner=root_w):
        with open("%s/%s" % (place, first), "wb") as f:
            f.write(b"".join(bytes([i + 1]) * 4096 for i in range(n)))
        os.chmod("%s/%s" % (place, first), 0o600)
        os.chown("%s/%s" % (place, first), owner, owner)

    def refused(what, refs, why, **more):
        c, text, fds = grants(refs, **({"domid": w} | more))
        ok(text.startswith("result=refused") and why in text and not fds, "no pages: " + what, text)

    refused("no directory", [500], "no such pages")
    os.mkdir(place, 0o700)
    os.chown(place, root_w, root_w)
    put(500, 4)
    c, text, fds = grants([500, 501, 502, 503], w)
    ok(text.startswith("result=ok") and len(fds) == 1, "pages, for root", text)
    try:
        mmap.mmap(fds[0], 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        ok(False, "a mapping that can be written is refused")
    except PermissionError:
        ok(True, "a mapping that can be written is refused")
    m = mmap.mmap(fds[0], 4 * 4096, mmap.MAP_SHARED, mmap.PROT_READ)
    ok([m[4096 * i] for i in range(4)] == [1, 2, 3, 4], "they are what the qube shows")
    with open(place + "/500", "r+b") as f:
        f.write(b"x")
    ok(m[0] == ord("x"), "and what it writes there now")
    c, text, fds = grants([500, 501], v, guid_w)
    ok(text == "result=ok\ndomid=%d\n\n" % w and len(fds) == 1, "a guid: its own qube, whatever it asks", text)
    refused("one qube's, of another", [500], "no such pages", domid=v)
    refused("one qube's, for another's guid", [500], "no such pages", domid=w, uid=guid_v)
    for who, uid in (("a qrexecd", qrexecd_w), ("nobody", 65534)):
        refused("for " + who, [500], "not", uid=uid)
    refused("more than the file has", [500, 501, 502, 503, 504], "fewer pages")
    refused("in another order", [501, 500], "more than one file")
    put(504, 1)
    refused("of two files", [503, 504], "no such pages")
    refused("of two files", [500, 504], "more than one file")
    refused("twice the same", [500, 500], "more than one file")
    refused("from the middle of a file", [501], "no such pages")
    refused("fewer references than pages", [500], "fewer references", pages=2)
    refused("over the end of all numbers", [4294967295, 0], "no such pages")
    put(600, 1, 0)
    refused("a file of Dom0's", [600], "no file of the qube's")
    put(601, 1, root_v)
    refused("another qube's file", [601], "no file of the qube's")
    for first, what, make in ((602, "a link", lambda p: os.symlink("500", p)), (603, "a fifo", os.mkfifo), (604, "a directory", os.mkdir),
                              (605, "a socket", listener), (606, "a link out", lambda p: os.symlink("/etc/passwd", p))):
        make("%s/%d" % (place, first))
        os.chown("%s/%d" % (place, first), root_w, root_w, follow_symlinks=False)
        refused(what, [first], "no file of the qube's")
    # A lease would keep who opens it waiting for 45 seconds.
    put(607, 1)
    lease = subprocess.Popen([sys.executable, "-c", "import fcntl, os, signal, sys\nsignal.signal(signal.SIGIO, signal.SIG_IGN)\n"
                              "fcntl.fcntl(os.open(sys.argv[1], os.O_RDWR), fcntl.F_SETLEASE, fcntl.F_WRLCK)\nprint(1, flush=True)\n"
                              "signal.pause()", place + "/607"], stdout=subprocess.PIPE)
    lease.stdout.readline()
    began = time.monotonic()
    refused("a file with a lease", [607], "")
    ok(time.monotonic() - began < LIMIT, "at once")
    lease.kill()
    # The quota: of a qube, over all who ask for it.
    with open(place + "/1000", "wb") as f:
        f.truncate(16384 * 4096)
    os.chown(place + "/1000", root_w, root_w)
    most = list(range(1000, 1000 + 16384))
    a, text, _ = grants(most, w)
    ok(text.startswith("result=ok"), "16384 pages", text)
    b, text, _ = grants(most[:16378], None, guid_w)
    ok(text.startswith("result=ok"), "nearly as many more", text)
    refused("over the quota", most[:5], "quota")
    a.close()
    ok(until(lambda: grants(most[:5], w)[1].startswith("result=ok")), "given back with the connection")
    b.close()
    came = sum(grants(most, None, guid_w)[1].startswith("result=ok") for _ in range(50))
    ok(came == 50, "what was let go counts no more: 50 times 16384 pages", came)
    # The place itself.
    os.rename(place, place + ".old")
    os.symlink("grants.old", place)
    refused("through a link", [500], "")
    os.unlink(place)
    # Connections of one daemon.
    held = []
    for _ in range(400):
        try:
            held.append(call("role=watch\n\n", guid_v)[1])
        except OSError:
            held.append("refused before it asked")
    came = sum(c.startswith("result=ok") for c in held)
    ok(came == 400, "connections that are closed again count no more", came)
    held = []
    for _ in range(40):
        try:
            held.append(call("role=watch\n\n", guid_v))
        except OSError:
            pass
    ok(14 <= sum(c[1].startswith("result=ok") for c in held) <= 17, "a guid has some 16 at a time", [c[1] for c in held])


def again():
    """What else it answers after it was killed."""
    kill()
    ok(until(lambda: answers("role=server\nport=600\ndomid=%d\n\n" % w)), "after kill -9 it opens channels again")


def answers(request):
    try:
        return call(request)[1].startswith("result=ok")
    except OSError:
        return False


again() if XEN else (pages(), names())
# The domain ends: the holders are told, and what was linked goes.
c, text, fds = call("role=server\nport=602\ndomid=%d\n\n" % w)
watch = call("role=watch\ndomid=%d\n\n" % w)[0]
subprocess.run(["qvm-kill", "work"], check=True)
ok((watch.recv(1), watch.recv(1)) == (b"\n", b""), "and on a watch")
ok((c.recv(1), c.recv(1)) == (b"\n", b""), "a byte and end of file on the control connection when the domain has gone")
if not XEN:
    ok(until(lambda: not os.path.exists("%s/vault/vchan.%d.%d.706.sock" % (LOCAL, w, v))), "its servers go from other qubes")
text = call("role=server\nport=602\ndomid=%d\n\n" % w)[1]
ok(text.startswith("result=refused"), "a domain that has gone: refused", text)
# Last, since it takes the place of the one that the real qdbd had.
text, fds = call("role=server\nport=111\ndomid=%d\n\n" % w, qdbd_v)[1:]
ok(text == "result=ok\ndomid=%d\n\n" % v and len(fds) == 1, "the server of its port, of its own qube, for a qdbd", text)
print("1..%d" % n)
