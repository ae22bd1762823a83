#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
# A session: qubes with a display, their guids under s6, qubes-display as a person runs it; what is killed comes again.
import grp, os, random, shutil, signal, socket, struct, subprocess, sys, time

sys.path[0] += "/.."
from tap import *
from gui import *

local_only("agents at the channels' names")
if not shutil.which("Xvfb"):
    print("1..0 # SKIP no Xvfb on this machine")
    sys.exit(0)
in_house()

DISPLAY, INSTANCES = RUN + "/display", S6 + "/guid/instances/"
QUBES, PERSON = grp.getgrnam("qubes").gr_gid, 4242
COOKIES = [bytes(range(1, 17)), bytes(range(17, 33))]
HOST = os.uname().nodename.encode()
# The first is started twice: on a number that nobody else takes meanwhile.
servers = [XServer(cookie=c, n=n) for c, n in zip(COOKIES, (random.randint(200, 999), None))]
xs = [X(s.n, s.cookie) for s in servers]
agents, offers = {}, {}
HOME = "/run/home"
os.makedirs(HOME)


def xauth(path, *entries):
    with open(path, "wb") as f:
        f.write(b"".join(entries))
    os.chown(path, PERSON, PERSON)
    os.chmod(path, 0o600)


def session(*args, uid=PERSON, groups=(QUBES,), **env):
    """qubes-display, as a person: the process, what it says in its file."""
    who = {"user": uid, "group": uid, "extra_groups": groups} if uid else {}
    env = {"PATH": os.environ["PATH"], "HOME": HOME} | env
    with open("/run/display.log", "wb") as log:
        return subprocess.Popen(["qubes-display", *args], stdin=subprocess.DEVNULL, stderr=log, stdout=log, env=env, **who)


def said():
    return read("/run/display.log")


def offer(i, **more):
    offers[i] = session("-d", servers[i].display, **more)
    ok(until(lambda: os.path.exists("%s/%d" % (DISPLAY, servers[i].n)) and "Seccomp:\t2" in status(offers[i].pid)), "display %d is offered" % i, said())


def take_back(i):
    offers[i].terminate()
    return offers[i].wait(LIMIT)


def status(pid):
    return read("/proc/%d/status" % pid)


def agent_of(name):
    if name in agents:
        agents.pop(name).close()
    agents[name] = Agent("%s/local/%s" % (RUN, name), int(state(name)["domid"]), 2000000000 + 65536 * int(state(name)["qid"]))
    return agents[name]


def guid(name):
    """Its process, once it is in its sandbox."""
    pid = until(lambda: (p := svpid("guid/instance/" + name)) > 0 and "Seccomp:\t2" in status(p) and p, 3 * LIMIT)
    return pid or -1


def window(name, n, color=0x123456, at=100):
    p = agents[name].show(n, 200, 100, color, x=at, y=100)
    return p


def sees(i, n, color=None, at=100):
    """The window n is on display i, in its frame."""
    f = until(lambda: xs[i].ours().get(n), 3 * LIMIT)
    if not f or not until(lambda: xs[i].attributes(f)[0] == 2):
        return False
    xs[i].configure(f, stack=0)
    return color is None or until(lambda: xs[i].pixel(at + 10, 150) == color)


def no_display():
    write(VM + "work", "label = green\nfeature.gui =\ndisplay = %s\n" % servers[0].display)
    write(VM + "vault", "label = red\nfeature.gui =\ndisplay = %s\n" % servers[1].display)
    write(VM + "plain", "label = blue\n")
    r = qubes("work", "vault", "plain")
    eq(r.returncode, 0, "qubes start: that their display is not there is no obstacle")
    p = guid("work")
    uid = uid_of("work", 6)
    s = status(p)
    ok("Uid:\t%d\t%d\t%d\t%d" % (uid, uid, uid, uid) in s, "a guid waits, as its own user", s)
    for k, v in (("CapEff", "0" * 16), ("CapPrm", "0" * 16), ("CapBnd", "0" * 16), ("NoNewPrivs", "1"), ("Seccomp", "2")):
        ok("%s:\t%s\n" % (k, v) in s, "%s %s" % (k, v), s)
    ok(os.readlink("/proc/%d/ns/mnt" % p) != os.readlink("/proc/self/ns/mnt"), "a mount namespace of its own")
    ok(guid("vault") > 0 and uid_of("vault", 6) != uid, "one for each qube")
    ok(until(lambda: "guid" in os.listdir(LOG + "/work")), "with a log of its own")
    ok(not os.path.exists(INSTANCES + "plain"), "none without a display")
    st = os.stat(DISPLAY)
    eq((st.st_mode & 0o7777, st.st_uid, st.st_gid), (0o1771, 0, QUBES), "the place of displays: root:qubes 1771")


def comes_later():
    for n in agents_of:
        agent_of(n)
    xauth(HOME + "/.Xauthority", auth_entry(b"x" * 16, 256, HOST, b"99"), auth_entry(b"x" * 16, 256, b"elsewhere", b"%d" % servers[0].n),
          auth_entry(b"x" * 16, 65535, b"", b"", b"OTHER"), *(auth_entry(s.cookie, 256, HOST, b"%d" % s.n) for s in servers))
    offer(0)
    agents["work"].hello()
    window("work", 5, 0x111111)
    ok(sees(0, 5, 0x111111), "a display that comes later: the window is there, with its pixels", said() + logs("work/guid"))
    p = xs[0].pixels(96, 96, 208, 108)
    ok(all(v == 0x73d216 for r in p[:4] + p[-4:] for v in r), "in its qube's colour")
    s = status(offers[0].pid)
    ok("Uid:\t%d\t%d" % (PERSON, PERSON) in s and "NoNewPrivs:\t1" in s and "Seccomp:\t2" in s and "CapEff:\t" + "0" * 16 in s, "qubes-display's own sandbox", s)
    st = os.stat("%s/%d" % (DISPLAY, servers[0].n))
    eq((st.st_mode & 0o777, st.st_uid), (0o666, PERSON), "its socket is the person's")
    # A second one, with the other qube on it.
    offer(1, XAUTHORITY=HOME + "/.Xauthority", HOME="/nonexistent")
    agents["vault"].hello()
    window("vault", 6, 0x222222)
    ok(sees(1, 6, 0x222222), "a second display, with a qube of its own")
    eq((list(xs[0].ours()), list(xs[1].ours())), ([5], [6]), "and neither's on the other")
    p = xs[1].pixels(96, 96, 208, 4)
    ok(all(v == 0xcc0000 for r in p for v in r), "in that one's colour")


def knock(uid, i=0):
    """What somebody gets who connects."""
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(LIMIT)
    d = os.open(DISPLAY, os.O_PATH)
    os.fchdir(d)
    if uid:
        os.setegid(65534)
        os.seteuid(uid)
    try:
        s.connect(str(servers[i].n))
        text, fds, _, _ = socket.recv_fds(s, 4096, 4)
    except ConnectionResetError:
        text, fds = b"", []
    finally:
        if uid:
            os.seteuid(0)
            os.setegid(0)
        os.chdir("/")
        os.close(d)
        s.close()
    for fd in fds:
        os.close(fd)
    return text.decode(), len(fds)


def strangers():
    want = "display=%s\nauth=MIT-MAGIC-COOKIE-1 %s\n\n" % (servers[0].display, COOKIES[0].hex())
    eq(knock(0), (want, 1), "root gets a connection and the cookie")
    eq(knock(uid_of("plain", 6)), (want, 1), "the user of a guid, too")
    for who, uid in (("nobody", 65534), ("a qrexecd", uid_of("work")), ("the console", uid_of("work", 4)), ("a store", uid_of("work", 7)),
                     ("Dom0's own qid", UID_BASE + 6), ("the person", PERSON), ("a qube's root", 2000000000 + 65536)):
        eq(knock(uid), ("", 0), "refused: " + who)
    # The log of the first was written over by the second's: killed and started again.
    eq(take_back(0), 0, "SIGTERM ends it")
    ok(not os.path.exists("%s/%d" % (DISPLAY, servers[0].n)), "and its name")
    ok(sees(0, 5), "windows stay")
    offer(0)
    knock(65534)
    ok(until(lambda: "uid 65534 refused: no guid, not root" in said()), "with a line", said())
    # A flood, some of which never read.
    end = time.monotonic() + 1
    held, n = [], 0
    while time.monotonic() < end and n < 20000:
        s = socket.socket(socket.AF_UNIX)
        s.setblocking(False)
        try:
            os.chdir(DISPLAY)
            os.seteuid(65534)
            s.connect(str(servers[0].n))
            n += 1
        except BlockingIOError:
            pass
        finally:
            os.seteuid(0)
            os.chdir("/")
        held = held[-100:] + [s]
    ok(n > 100, "a flood of %d" % n)
    eq(knock(uid_of("plain", 6))[1], 1, "a guid is served")
    ok(said().count("\n") < 20, "few lines", said())
    for s in held:
        s.close()
    files = os.listdir("/proc/%d/fd" % offers[0].pid)
    ok(len(files) < 12, "nothing is held", files)
    # By one that may: as many connections as it likes are its own.
    for _ in range(300):
        knock(uid_of("plain", 6))
    ok(len(os.listdir("/proc/%d/fd" % offers[0].pid)) < 12 and offers[0].poll() is None, "300 times one that may: nothing is held")


def refused_to_start():
    def exits(code, text, *args, **more):
        p = session(*args, **more)
        eq((p.wait(LIMIT), text in said()), (code, True), "exit %d: %s" % (code, text)) or print("# " + said())

    n = servers[0].display
    exits(111, "offered already", "-d", n)
    exits(111, "Permission denied", "-d", n, groups=(), XAUTHORITY=HOME + "/.Xauthority")
    exits(111, "X77", "-d", ":77")
    xauth(HOME + "/wrong", auth_entry(b"y" * 16))
    exits(111, "does not let us in", "-d", n, XAUTHORITY=HOME + "/wrong")
    for what, data in (("nothing", b""), ("half an entry", auth_entry(COOKIES[0])[:-1]), ("lengths that are lies", b"\xff" * 64),
                       ("another name", auth_entry(COOKIES[0], name=b"XDM-AUTHORIZATION-1")), ("no data", auth_entry(b"")),
                       ("much data", auth_entry(b"z" * 200)), ("a megabyte", b"\0" * (1 << 20))):
        xauth(HOME + "/odd", data)
        p = session("-d", n, XAUTHORITY=HOME + "/odd")
        eq((p.wait(LIMIT), "does not let us in" in said()), (111, True), "a file of cookies with %s" % what)
    for args in (("-d", "0"), ("-d", ":"), ("-d", ":1x"), ("-d", ":1."), ("-d", ":1000"), ("-d", ":0/../x"), ("-d", "host:0"), ("-x",), ("more",),
                 ("-d", ":" + "1" * 100), ()):
        p = session(*args)
        eq(p.wait(LIMIT), 100, "usage: %r" % (args,))
    eq((session("--help").wait(LIMIT), "usage: qubes-display [-d :N]" in said()), (0, True), "--help")
    ok(sees(0, 5), "who runs already is not disturbed")
    take_back(0)
    offer(0)


def by_root():
    eq(take_back(1), 0, "the person's ends")
    offer(1, uid=0, XAUTHORITY=servers[1].auth.name)
    ok(os.readlink("/proc/%d/ns/mnt" % offers[1].pid) != os.readlink("/proc/self/ns/mnt"), "run by root: with a mount namespace of its own")
    eq(knock(uid_of("plain", 6), 1)[1], 1, "it serves guids")
    eq((knock(65534, 1)[1], until(lambda: "uid 65534 refused" in said())), (0, True), "and nobody else")
    os.kill(guid("vault"), 9)
    agents["vault"].hello()
    window("vault", 6, 0x222222)
    ok(sees(1, 6, 0x222222), "one that comes again, too")
    offers[2] = session("-d", servers[1].display, XAUTHORITY=HOME + "/.Xauthority")
    eq(offers[2].wait(LIMIT), 111, "a person does not take it from root")
    eq((take_back(1), os.path.exists("%s/%d" % (DISPLAY, servers[1].n))), (0, False), "and takes its name away")
    offer(1)


def killed():
    """Each of them, and all windows come again."""
    for n, c in ((7, 0x333333), (8, 0x444444)):
        window("work", n, c)
    ok(sees(0, 8, 0x444444), "three windows")
    for what in ("guid", "guid, and another time"):
        p = guid("work")
        os.kill(p, 9)
        ok(until(lambda: not xs[0].ours()), "kill -9 of %s: its windows are gone" % what)
        agents["work"].hello()
        for n, c in ((5, 0x111111), (7, 0x333333), (8, 0x444444)):
            window("work", n, c)
        ok(all(sees(0, n, c) for n, c in ((5, 0x111111), (7, 0x333333), (8, 0x444444))), "and all come again", logs("work/guid"))
        ok(guid("work") != p, "of another process")
    eq(list(xs[1].ours()), [6], "the other qube's stay")
    before = guid("work")
    os.kill(svpid("chand"), 9)
    window("work", 9, 0x555555)
    ok(sees(0, 9), "chand killed just now: windows come")
    ok(until(lambda: xs[0].pixel(110, 150) == 0x555555), "and their pages: it is waited for")
    old = svpid("startd")
    os.kill(old, 9)
    ok(until(lambda: svpid("startd") not in (-1, old)), "kill -9 of startd")
    ok(until(lambda: sh("qvm-ls")[0] == 0), "it is back")
    eq(guid("work"), before, "guid has not seen that")
    # What startd had not got to when it was killed.
    eq(sh("s6-instance-delete", S6 + "/guid", "work")[0], 0, "the instance is deleted")
    old = svpid("startd")
    os.kill(old, 9)
    agents["work"].hello()
    window("work", 5, 0x111111)
    ok(sees(0, 5, 0x111111), "startd, killed before it has brought guid up, does it then")


def many():
    """More windows with pages than chand would hold connections for."""
    a = agents["work"]
    some = {n: a.show(n, 64, 64, n * 0x10101 & 0xffffff | 1, x=100, y=100) for n in range(100, 400)}
    a.round()
    ok(until(lambda: len(set(xs[0].ours()) & set(some)) == 300, 3 * LIMIT), "300 windows")
    bad = []
    for n in range(100, 400, 13):
        xs[0].configure(xs[0].ours()[n], stack=0)
        if not until(lambda: xs[0].pixel(130, 130) == n * 0x10101 & 0xffffff | 1):
            bad.append(n)
    eq(bad, [], "each with its image")
    ok(guid("work") > 0 and "no image" not in logs("work/guid"), "chand has refused none", logs("work/guid")[-500:])
    for n in some:
        a.put(DESTROY, n)
        os.unlink(some[n].path)
    a.round()
    ok(until(lambda: len(xs[0].ours()) < 10), "and away")


def display_goes():
    global xs
    n = servers[0].n
    old = guid("work")
    p = offers[0]
    os.kill(p.pid, 9)
    p.wait()
    ok(sees(0, 5), "qubes-display killed: windows stay")
    os.kill(old, 9)
    ok(until(lambda: guid("work") not in (-1, old)), "a guid that starts now waits", logs("work/guid")[-500:])
    offer(0)
    agents["work"].hello()
    window("work", 5, 0x111111)
    ok(sees(0, 5, 0x111111), "for the next, which takes the name over")
    old = guid("work")
    xs[0].close()
    servers[0].close()
    eq(offers[0].wait(LIMIT), 0, "the X server goes: qubes-display ends")
    ok("has gone" in said() and not os.path.exists("%s/%d" % (DISPLAY, n)), "says so, and its name goes", said())
    ok(until(lambda: guid("work") not in (-1, old)), "a guid waits for the next")
    eq(list(xs[1].ours()), [6], "the other display is untouched")
    cookie = bytes(range(40, 56))
    servers[0] = XServer(n=n, cookie=cookie)
    xs[0] = X(n, cookie)
    xauth(HOME + "/.Xauthority", auth_entry(cookie, 256, HOST, b"%d" % n))
    offer(0)
    agents["work"].hello()
    window("work", 5, 0x111111)
    ok(sees(0, 5, 0x111111), "a display that comes again, with another cookie")


def icons():
    """What stands for a window in a task bar, by qubes.WindowIconUpdater: in its label's hue."""
    def stream(name):
        return subprocess.Popen(["qvm-run", "-p", name, "qrexec-client-vm dom0 qubes.WindowIconUpdater"], stdin=subprocess.PIPE)

    def send(p, window, width, height, *rgba):
        p.stdin.write(b"%d\n%d %d\n" % (window, width, height) + b"".join(struct.pack(">L", v) for v in rgba))
        p.stdin.flush()

    def shown(window):
        f = xs[0].ours().get(window)
        return f and xs[0].prop(f, "_NET_WM_ICON")

    work, vault = stream("work"), stream("vault")
    send(work, 5, 2, 1, 0xffffffff, 0x0000007f)
    ok(until(lambda: shown(5) == [2, 1, 0xffffffff, 0x7f000000]), "an icon", shown(5))
    send(work, 5, 1, 1, 0xff0000ff)
    ok(until(lambda: (shown(5) or [])[:2] == [1, 1]), "another one")
    r, g, b = ((shown(5) or [0, 0, 0])[2] >> n & 0xff for n in (16, 8, 0))
    ok(g > r > b, "QSB-104: red is green in a green qube", (r, g, b))
    send(work, 9, 1, 1, 0x000000ff)
    window("work", 9, 0x888888, 300)
    ok(until(lambda: shown(9) == [1, 1, 0xff000000]), "one that came before its window", shown(9))
    send(vault, 5, 1, 1, 0x00000010)
    send(work, 5, 130, 1, *[0xffffffff] * 130)
    ok(until(lambda: shown(5) == [44, 1] + [0xffffffff] * 44), "a large one is made smaller", shown(5))
    ok(shown(9) == [1, 1, 0xff000000], "and the other is as it was")
    again = stream("work")
    eq(again.wait(LIMIT), 1, "a second stream of a qube's: refused")
    pid = int(sh("pgrep", "-f", "-u", str(uid_of("work", 6)), "WindowIconUpdater")[1] or -1)
    s = status(pid)
    ok(all(k in s for k in ("CapEff:\t" + "0" * 16, "NoNewPrivs:\t1", "Seccomp:\t2")), "in a sandbox, as its qube's guid's user", s)
    for p in work, vault:
        p.stdin.close()
    eq([p.wait(LIMIT) for p in (work, vault)], [0, 0], "they end with their streams")
    # More than are shown in a second, and the end of the stream.
    p = stream("work")
    p.stdin.write(b"1\n1 1\nabcd" * 40)
    p.stdin.close()
    pid = until(lambda: int(sh("pgrep", "-f", "-u", str(uid_of("work", 6)), "WindowIconUpdater")[1] or 0))
    eq(p.wait(LIMIT), 0, "many at once: they are all taken, some a second later")
    p = stream("work")
    send(p, 5, 2049, 1)
    eq(p.wait(LIMIT), 1, "a wrong size: the stream's end")
    eq(shown(5), [44, 1] + [0xffffffff] * 44, "and nothing else's")


def qube_ends():
    p = guid("work")
    eq(sh("qvm-kill", "work")[0], 0, "its qube ends")
    ok(until(lambda: not os.path.exists("/proc/%d" % p)) and until(lambda: not os.path.exists(INSTANCES + "work")), "and with it guid")
    ok(until(lambda: not xs[0].ours()), "and its windows")
    ok(until(lambda: not os.path.exists(RUN + "/state/work") and not os.path.exists(RUN + "/q/work")), "all of it")
    agents.pop("work").close()
    eq(qubes("work").returncode, 0, "started again")
    agent_of("work").hello()
    window("work", 5, 0x777777)
    ok(sees(0, 5, 0x777777), "its windows are there")
    eq(sh("qvm-shutdown", "--wait", "work", limit=60 * SLOW)[0], 0, "shut down")
    ok(until(lambda: xs[0].ours() == {} and not os.path.exists(INSTANCES + "work")), "nothing is left")
    # Nobody serves the channel.
    eq(qubes("work").returncode, 0, "a qube without an agent for windows starts")
    ok(guid("work") > 0, "its guid waits")
    eq(sh("qvm-kill", "work")[0], 0, "and is no obstacle to its end")
    ok(until(lambda: not os.path.exists(INSTANCES + "work")), "either")


def kept_ready():
    """A disposable shows nothing before it is somebody's."""
    write(VM + "base", "label = blue\ntemplate_for_dispvms = true\npreload = 1\ndisplay = %s\n" % servers[0].display)
    paused = lambda: [n for n in os.listdir(RUN + "/state") if n.startswith("disp") and state(n).get("state") == "Paused"]
    ok(until(paused, 6 * LIMIT), "one is kept ready")
    name = (paused() or ["none"])[0]
    ok(not os.path.exists(INSTANCES + name), "without a guid")
    c = socket.socket(socket.AF_UNIX)
    c.settimeout(6 * LIMIT)
    c.connect(RUN + "/s/start.sock")
    c.sendall(b"op=start\ndisp=base\n\n")
    eq(kv(c.recv(4096).decode()).get("name"), name, "it is given out")
    ok(guid(name) > 0, "with a guid")
    c.close()
    ok(until(lambda: not os.path.exists(INSTANCES + name), 6 * LIMIT), "and gone with it")
    write(VM + "base", "label = blue\n")


def all_ends():
    p = {i: guid(n) for i, n in enumerate(("vault",))}
    eq(sh("/usr/lib/qubes/cubicle-down", limit=200 * SLOW)[0], 0, "Cubicle is taken down")
    eq([offers[i].wait(LIMIT) for i in (0, 1)], [0, 0], "qubes-display ends with it: the next would not know it")
    ok(not os.path.exists("/proc/%d" % p[0]) and xs[1].ours() == {}, "and no guid is left")


agents_of = ("work", "vault")
try:
    rows((no_display, comes_later, strangers, refused_to_start, by_root, killed, many, display_goes, icons, kept_ready, qube_ends, all_ends))
finally:
    for a in agents.values():
        a.close()
    for p in offers.values():
        p.kill()
    for s in servers:
        s.close()
done()
