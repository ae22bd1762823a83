#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
# guid as startd runs it: its display from the person's session, its channel from chand, its uid and its sandbox.
import array, os, shutil, signal, socket, subprocess, sys, threading, time

sys.path[0] += "/.."
from tap import *
from gui import *

if not shutil.which("Xvfb"):
    print("1..0 # SKIP no Xvfb on this machine")
    sys.exit(0)
in_house()

GREEN, WHITE = 0x73d216, 0xffffff
DISPLAY = RUN + "/display"
server = XServer()
x = X(server.n)
os.makedirs(DISPLAY, exist_ok=True)
os.chmod(DISPLAY, 0o1771)
write(VM + "work", "label = green\n")
qubes("work")  # without a display: or startd would run a guid of its own
write(VM + "work", "label = green\ndisplay = %s\nfeature.gui =\nfeature.gui-allow-utf8-titles = 1\n" % server.display)
domid, qid = int(state("work")["domid"]), int(state("work")["qid"])
UID = UID_BASE + 8 * qid + 6
if XEN:
    from stage import Stage
    agent = Stage("work").agent()
else:
    agent = Agent(RUN + "/local/work", domid, 2000000000 + 65536 * qid)


class Offer:
    """What runs in the session: hands connections over."""

    def __init__(self, n, auth="", uid=0, send=True):
        self.path, self.peers, self.auth, self.send, self.kept = "%s/%d" % (DISPLAY, n), [], auth, send, []
        self.s = socket.socket(socket.AF_UNIX)
        self.s.bind(self.path + ".new")
        os.chmod(self.path + ".new", 0o666)
        if uid:
            os.seteuid(uid)
        self.s.listen(8)
        if uid:
            os.seteuid(0)
        os.rename(self.path + ".new", self.path)
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                c, _ = self.s.accept()
            except OSError:
                return
            self.peers.append(struct.unpack("3i", c.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)))
            self.kept.append(c)
            if not self.send:
                continue
            d = socket.socket(socket.AF_UNIX)
            d.connect("/tmp/.X11-unix/X%d" % server.n)
            text = "display=%s\n%s\n" % (server.display, "auth=%s\n" % self.auth if self.auth else "")
            try:
                c.sendmsg([text.encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [d.fileno()]))])
            except OSError:
                pass  # it did not like who we are
            c.close()
            d.close()

    def close(self):
        self.s.shutdown(socket.SHUT_RDWR)
        self.s.close()
        os.unlink(self.path)


def start(name="work"):
    log = open("/run/guid.log", "ab")
    return subprocess.Popen(["/usr/lib/qubes/guid", "--session", name], stdin=subprocess.DEVNULL, stderr=log)


def uids(p):
    return read("/proc/%d/status" % p.pid)


def whole(window):
    """From its display to a window in its frame."""
    agent.hello()
    agent.create(window, 100, 100, 200, 100)
    agent.name(window, "Grüße".encode())
    agent.map(window)
    f = until(lambda: x.ours().get(window))
    return f and until(lambda: x.attributes(f)[0] == 2) and f


def shows():
    p = start()
    ok(until(lambda: "Uid:\t%d\t%d\t%d" % (UID, UID, UID) in uids(p)), "waits for its display in its sandbox, as its own user", uids(p))
    ok(until(lambda: re.search(r"Seccomp:\s+2", uids(p))), "with its filter", uids(p))
    eq(re.search(r"CapEff:\s+(\w+)", uids(p)).group(1).strip("0"), "", "without capabilities")
    offer = Offer(server.n)
    f = whole(5)
    ok(f, "a display that comes later, the channel, a window", read("/run/guid.log"))
    eq(offer.peers[0][1], UID, "the display sees who asks")
    got = x.pixels(96, 96, 208, 108)
    ok(all(v == GREEN for r in got[:4] + got[-4:] for v in r) and got[50][100] == WHITE, "the label's colour around it")
    eq(until(lambda: x.prop(f, "_NET_WM_NAME")), "[work] Grüße".encode(), "the qube's name before the title; a feature counts")
    eq((x.prop(f, "_QUBES_LABEL"), x.prop(f, "_QUBES_VMNAME")), (b"\4", b"work"), "its label's number, its name")
    memory = sum(int(n) for n in re.findall(r"^Pss:\s+(\d+)", read("/proc/%d/smaps_rollup" % p.pid), re.M))
    ok(memory < 1536, "PSS: %d KiB" % memory)
    p.terminate()
    ok(p.wait(LIMIT) is not None, "SIGTERM ends it")
    agent.hang_up()
    p = start()
    ok(whole(6), "started again: the display is there already")
    agent.hang_up()
    eq(p.wait(LIMIT), 0, "the agent goes: 0, to be started again")
    p = start()
    ok(whole(7), "and again")
    p.kill()
    p.wait()
    agent.hang_up()
    ok(until(lambda: not x.ours()), "killed: nothing is left")
    offer.close()


def pages_by_chand():
    """What chand gives is shown; without it there is no image, and all goes on."""
    offer = Offer(server.n)
    p = start()
    whole(5)
    connections = lambda: len([l for l in read("/proc/net/unix").splitlines() if "/s/chan.sock" in l])
    before = connections()
    agent.got.clear()
    agent.dump(5, [1, 2, 3, 4], 64, 64)
    eq(agent.get(DUMP_ACK, 5), b"", "WINDOW_DUMP is acknowledged, whatever chand says")
    ok(p.poll() is None, "and guid goes on", read("/run/guid.log"))
    lines = read("/run/guid.log").count("\n")
    for n in range(200):
        agent.dump(5, [n + 1000] * 4, 64, 64)
    for n in range(200):
        agent.get(DUMP_ACK, 5)
    lines = read("/run/guid.log").count("\n") - lines
    ok(lines <= 20, "200 refused by chand: %d lines" % lines)
    why = r"(the qube does not grant these pages|\S+%20\S+)"  # Xen's, or chand's
    ok(re.search("4 pages: %s: it has no image" % why, read("/run/guid.log")), "and the reason", read("/run/guid.log"))
    pages = [agent.show(n, 200, 100, 0x1000 * n, x=100 + 20 * n) for n in range(6, 10)]
    ok(until(lambda: x.ours().get(9)), "windows with pages")
    x.configure(x.ours()[9], stack=0)
    ok(until(lambda: x.pixel(290, 150) == 0x9000), "shown in their colour", hex(x.pixel(290, 150)))
    ok(until(lambda: connections() <= before), "no connection to chand for each: %d, %d" % (before, connections()))
    if not XEN:
        cut_short(p, pages)
    p.terminate()
    p.wait()
    agent.hang_up()
    offer.close()


def cut_short(p, pages):
    """Files are, while they are shown, and looked at again."""
    os.truncate(pages[3].path, 4096)
    agent.damage(9)
    ok(until(lambda: x.pixel(290, 150) == 0), "pages that have gone are zeroes", hex(x.pixel(290, 150)))
    ok(until(lambda: "window 0x9: its pages have gone" in read("/run/guid.log")), "with a line in the log")
    os.truncate(pages[3].path, 0)
    agent.damage(9, 0, 0, 200, 1)
    agent.damage(6, 0, 0, 200, 100)
    agent.round()
    ok(p.poll() is None, "guid goes on")
    new = agent.image(200, 100, 0x654321)
    agent.dump(9, new.refs, 200, 100)
    agent.damage(9)
    ok(until(lambda: x.pixel(290, 150) == 0x654321), "and shows what comes next")
    for n in range(20):
        os.truncate(new.path, 4096 * (n % 3))
        agent.damage(9)
        agent.dump(9, [new.first] if n % 2 else new.refs, 200 if n % 2 == 0 else 16, 100 if n % 2 == 0 else 16)
    agent.round()
    ok(p.poll() is None, "dumps that shrink while shown")


def strangers():
    """Who serves the display has to be a person."""
    offer = Offer(server.n, uid=65534)
    p = start()
    ok(until(lambda: "not a person" in read("/run/guid.log")), "a display that is served by user nobody is refused")
    offer.close()
    offer = Offer(server.n, auth="MIT-MAGIC-COOKIE-1 0011zz")
    ok(until(lambda: "no connection came" in read("/run/guid.log")), "a cookie that is none")
    offer.close()
    offer = Offer(server.n, auth="MIT-MAGIC-COOKIE-1 00112233445566778899aabbccddeeff")
    ok(whole(5), "then a right one")
    p.terminate()
    p.wait()
    agent.hang_up()
    offer.close()


def late():
    """Who serves the display does not answer at first; nothing in the directory tells when it does."""
    offer = Offer(server.n, send=False)
    p = start()
    until(lambda: offer.kept)
    offer.send = True
    offer.kept[0].close()
    ok(whole(5), "a display that does not answer is asked again")
    p.terminate()
    p.wait()
    agent.hang_up()
    offer.close()


def none():
    eq(sh("/usr/lib/qubes/guid", "--session", "nope")[0], 111, "a qube that does not run")
    eq(sh("/usr/lib/qubes/guid", "--session", "../x")[0], 100, "a name that is none")


try:
    rows((shows, pages_by_chand, strangers, late, none))
finally:
    agent.close()
    x.close()
    server.close()
done()
