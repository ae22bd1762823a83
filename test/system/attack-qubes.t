#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Qubes and templates, attacked: by a member of group qubes who would be root, by a qrexecd that was taken over, by a qube
that asks for disposables without end."""
import fcntl, os, shutil, socket, stat, sys

sys.path[0] += "/.."
from tap import *

in_house()

VAR = "/var/lib/qubes/"
PERSON = 4242


def people():
    return next(int(l.split(":")[2]) for l in open("/etc/group") if l.startswith("qubes:"))


def as_user(uid, gid, groups, f):
    """What f does as that user; the pid."""
    pid = os.fork()
    if pid == 0:
        os.setgroups(groups), os.setgid(gid), os.setuid(uid)
        try:
            f()
        finally:
            os._exit(0)
    return pid


def as_qrexecd(qube, sock, *lines, uid=None):
    """A connection to that socket of RUN_S from who has taken over the qube's qrexecd, with its request sent."""
    uid = uid_of(qube) if uid is None else uid
    a, b = socket.socketpair()
    d = os.open(RUN + "/s", os.O_PATH)

    def go():
        os.fchdir(d)
        s = socket.socket(socket.AF_UNIX)
        s.connect(sock)
        s.sendall(("\n".join(lines) + "\n\n").encode())
        socket.send_fds(b, [b"x"], [s.fileno()])
    os.waitpid(as_user(uid, uid, [GID_DAEMONS], go), 0)
    os.close(d)
    s = socket.socket(fileno=socket.recv_fds(a, 1, 1)[1][0])
    a.close(), b.close()
    s.settimeout(LIMIT)
    return s


def answer(s):
    text = b""
    try:
        while not text.endswith(b"\n\n"):
            part = s.recv(4096)
            if not part:
                break
            text += part
    except OSError:
        pass
    return kv(text.decode())


# --- a member of group qubes ---

def a_link_in_place_of_a_directory():
    """Root makes a qube's directory; before it gets its mode it is exchanged for a link."""
    if shutil.which("strace") is None:
        return ok(True, "a directory is exchanged for a link # SKIP no strace")
    base, aim = VAR + "appvms/", "/var/aim"
    os.makedirs(aim, 0o750, exist_ok=True)
    os.chmod(aim, 0o750)

    def swap():
        os.chdir(base)
        while True:
            try:
                os.rename(".swapped.new", ".was")
                os.symlink(aim, ".swapped.new")
                return
            except OSError:
                pass
    pid = as_user(PERSON, PERSON, [people()], swap)
    r = sh("strace", "-f", "-o", "/dev/null", "-e", "trace=mkdirat,mkdir", "-e", "inject=mkdirat,mkdir:delay_exit=500000", "qvm-create", "-l", "red",
           "-t", "tmpl", "swapped")
    os.kill(pid, 9), os.waitpid(pid, 0)
    ok(os.path.islink(base + ".swapped.new"), "a directory of storage's is exchanged for a link while it is made", r)
    eq(oct(stat.S_IMODE(os.stat(aim).st_mode)), "0o750", "what the link leads to keeps its mode")
    ok(r[0] == 1, "and the qube is not made", r)
    os.unlink(base + ".swapped.new")


def fill_what_is_not_ours():
    """The copy of a disposable's private volume goes to no directory but its own."""
    if XEN:
        return
    if shutil.which("strace") is None:
        return ok(True, "a copy is exchanged # SKIP no strace")
    sh("qvm-start", "base")
    sh("qvm-run", "base", "mkdir -m 777 /rw/open; mkdir /rw/open/in; mkfifo -m 6777 /rw/open/in/pipe")
    sh("qvm-shutdown", "--wait", "base")
    aim = "/var/aim2"
    write(aim, "x")
    os.chmod(aim, 0o600)
    base = VAR + "appvms/"

    def swap():
        os.chdir(base)
        while True:
            try:
                os.rename(".copy.new/.private@1.part", ".copy.new/mine")
                os.mkdir(".copy.new/.private@1.part", 0o777)
                return
            except OSError:
                pass
    os.chmod(VAR, 0o755)
    pid = as_user(PERSON, PERSON, [people()], swap)
    for _ in range(10):  # until the other one comes between
        r = sh("strace", "-f", "-o", "/dev/null", "-e", "trace=mkdirat,mkdir", "-e", "inject=mkdirat,mkdir:delay_exit=100000",
               "qvm-clone", "base", "copy", limit=60)
        if r[0] != 0:
            break
        sh("qvm-remove", "-f", "copy")
    os.kill(pid, 9), os.waitpid(pid, 0)
    found = [os.path.join(d, n) for d, _, names in os.walk(base) for n in names if n == "pipe" and "/base/" not in d and
             os.stat(d).st_uid == PERSON]
    ok(r[0] == 1 and not found, "a copy that is exchanged for a person's directory is not filled", (r, found))
    sh("rm", "-rf", base + ".copy.new")


def disks_of_root_s():
    """A person's file names what is below /var/lib/qubes, and root's."""
    write(VAR + "root-s.img", "x" * 4096)
    write(VM + "greedy", "label = red\nprivate = %sroot-s.img\n" % VAR)
    os.chown(VM + "greedy", PERSON, people())
    r = sh("qvm-start", "greedy")
    ok(r[0] == 1 and "only root may write it" in r[1], "a person's file names a file of root's as a disk: refused", r)
    os.makedirs(VAR + "appvms/greedy/k", exist_ok=True)
    os.symlink("/etc/shadow", VAR + "appvms/greedy/k/initramfs")
    write(VM + "greedy", "label = red\nkernel = %sappvms/greedy/k\n" % VAR)
    os.chown(VM + "greedy", PERSON, people())
    r = sh("qvm-start", "greedy")
    ok(r[0] == 1 and "or a kernel in" in r[1], "or a kernel beside those of root's: refused", r)
    os.unlink(VM + "greedy")
    os.unlink(VAR + "root-s.img")
    shutil.rmtree(VAR + "appvms/greedy")


def a_file_renamed():
    """Root's file names a disk of Dom0's for one qube; a member of the group would have it for another."""
    if XEN:
        return
    os.mkdir("/var/dom0-s", 0o755)
    write(VM + "trusty", "label = red\nprivate = /var/dom0-s\nname = trusty\n")
    eq(sh("qvm-start", "trusty")[0], 0, "root's file names a directory of Dom0's: started")
    sh("qvm-shutdown", "--wait", "trusty")
    os.waitpid(as_user(PERSON, PERSON, [people()], lambda: os.rename(VM + "trusty", VM + "greedy")), 0)
    ok(os.path.exists(VM + "greedy"), "a member of the group renames it")
    r = sh("qvm-start", "greedy")
    ok(r[0] == 1 and "another one's file" in r[1], "refused", r)
    write(VM + "greedy", "label = red\nprivate = /var/dom0-s\n")
    r = sh("qvm-start", "greedy")
    ok(r[0] == 1 and "no line name = greedy" in r[1], "one that does not say whose it is: refused, and how to say it", r)
    for change in (("qvm-prefs", "greedy", "memory", "500"), ("qvm-tags", "greedy", "add", "x"), ("qvm-features", "greedy", "x", "1")):
        r = sh(*change)
        ok(r[0] != 0 and "says name = greedy" in r[1] and "name" not in read(VM + "greedy"), "nor does root say so with %s of something else" % change[0],
           (r, read(VM + "greedy")))
    r = sh("qvm-prefs", "greedy", "private", "/var/dom0-s")
    ok(r[0] == 0 and "\nname = greedy\n" in read(VM + "greedy"), "qvm-prefs of root's says it", (r, read(VM + "greedy")))
    eq(sh("qvm-start", "greedy")[0], 0, "then it starts")
    sh("qvm-shutdown", "--wait", "greedy")
    os.unlink(VM + "greedy")
    r = sh("qvm-create", "-l", "red", "-t", "tmpl", "--property", "private=/var/dom0-s", "greedy")
    ok(r[0] == 0 and "\nname = greedy\n" in read(VM + "greedy"), "and so does qvm-create", r)
    r = sh("qvm-remove", "-f", "greedy")
    eq(r[0], 0, "and it goes")
    os.rmdir("/var/dom0-s")


def copied_by_root():
    """A person's file names what only root's may; root copies the qube, and the copy's file would be root's."""
    if XEN:
        return
    os.makedirs(VAR + "root-s", 0o700)
    for line in ("root = /etc", "root = %sroot-s" % VAR, "kernel = /boot"):
        write(VM + "greedy", "type = AppVM\ntemplate = tmpl\nlabel = red\n%s\n" % line)
        os.chown(VM + "greedy", PERSON, people())
        r = sh("qvm-clone", "greedy", "copy")
        ok(r[0] == 1 and "not root's alone" in r[1] and not os.path.exists(VM + "copy"), "root copies a person's qube with %s: refused" % line, r)
    os.unlink(VM + "greedy")
    r = sh("qvm-create", "-l", "red", "-t", "tmpl", "--property", "root=/etc", "greedy")
    r = sh("qvm-clone", "greedy", "copy") if r[0] == 0 else r
    ok(r[0] == 0 and "\nname = copy\n" in read(VM + "copy"), "root's own is copied", r)
    sh("qvm-remove", "-f", "greedy", "copy")
    os.rmdir(VAR + "root-s")


def a_lock_that_is_held():
    """Disposables that cannot have their file do not keep other qubes from being started."""
    fd = os.open(VM + ".lock", os.O_RDWR | os.O_CREAT, 0o660)
    fcntl.flock(fd, fcntl.LOCK_EX)
    calls = [subprocess.Popen(["qvm-run", "--dispvm=base", "true"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(9)]
    until(lambda: sh("pgrep", "-c", "-x", "startd")[1] not in ("0", "1"))
    r = sh("qvm-start", "late", limit=40 * SLOW)
    eq(r[0], 0, "somebody keeps the lock of vm.d, nine disposables wait for it: a qube is started")
    said = [p.communicate(timeout=60 * SLOW)[0].decode() for p in calls]
    ok(all(p.returncode for p in calls), "the disposables are refused in time", said)
    os.close(fd)
    sh("qvm-shutdown", "--wait", "late")
    ok(until(lambda: not disps()), "and nothing is left", disps())


# --- a qrexecd that was taken over ---

def disps():
    return sorted(n for n in os.listdir(VM) if re.fullmatch(r"disp\d{1,4}", n))


def decide(qube, target, service="t.Cat"):
    return answer(as_qrexecd(qube, "policy.sock", "source=" + qube, "intended_target=" + target, "service_and_arg=%s+" % service))


def others():
    """What it may ask of startd and policyd about other qubes: nothing."""
    p = subprocess.Popen(["qvm-run", "-p", "--dispvm=base", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    until(disps)
    name = disps()[0]
    until(lambda: state(name).get("state") == "Running")
    for op in ("start", "shutdown", "kill", "pause", "unpause", "dispose", "store", "up", "down"):
        for target in (name, "other"):
            r = answer(as_qrexecd("work", "start.sock", "op=" + op, "name=" + target))
            ok(r.get("result") == "refused" and "only for" in r.get("reason", ""), "op=%s of %s: refused" % (op, target), r)
    r = answer(as_qrexecd("work", "start.sock", "op=start", "disp=base"))
    ok(r.get("result") == "refused", "a disposable without a ticket: refused", r)
    t = decide("work", "@dispvm:base").get("ticket", "")
    r = answer(as_qrexecd("work", "policy.sock", "bind=" + t, "target=" + name))
    ok(t and r.get("result") == "refused" and "only startd binds" in r.get("reason", ""), "it binds its ticket to another's disposable: refused", r)
    r = answer(as_qrexecd("work", "policy.sock", "redeem=" + t, "use=call"))
    eq(r.get("result"), "refused", "it redeems its own ticket: refused")
    r = answer(as_qrexecd("other", "start.sock", "op=start", "ticket=" + t))
    ok(r.get("result") == "refused", "another qube presents the ticket: refused", r)
    p.stdin.close()
    eq(p.wait(HANGS), 0, "the disposable has not noticed")
    ok(until(lambda: not disps()), "and goes")


def without_end():
    """It asks for disposables without end, and takes no more than its part."""
    held = []
    for _ in range(40):
        t = decide("work", "@dispvm:base").get("ticket")
        if t:
            held.append(as_qrexecd("work", "start.sock", "op=start", "ticket=" + t))
    ok(len(held) == 40, "40 tickets", len(held))
    ok(all("feature.leave-room = 1\n" in t for t in (read(VM + n) for n in disps()) if t), "they are to leave memory for others")
    began = time.monotonic()
    r = sh("qvm-start", "late", limit=HANGS)
    took = time.monotonic() - began
    eq(r[0], 0, "meanwhile a person starts a qube")
    got = [answer(s) for s in held]
    print("# beside 32 disposables a start took %.2f s" % took)
    ok(sum(g.get("result") == "ok" for g in got) <= 32, "at most 32 are had at a time", got)
    ok(any("32 disposables" in g.get("reason", "") for g in got), "the others are told why not", got)
    for s in held:
        s.close()
    ok(until(lambda: not disps(), 60 * SLOW), "all of them go with their connections", disps())
    ok(until(lambda: not re.search(r" disp\d+$", read(VAR + "qids"), re.M)), "and so do their numbers", read(VAR + "qids"))
    sh("qvm-shutdown", "--wait", "late")


VMSTART = "/usr/lib/qubes/vmstart"
NEVER_UP = """#!/bin/sh
case "$*" in -n*%s*) exec sleep 1000 ;; esac
exec %s.real "$@"
"""


def places_for_people():
    """Its disposables never come up: not all places of those that are started at once are theirs."""
    if XEN:
        return
    with instead_of(VMSTART, NEVER_UP % ("disp", VMSTART)):
        tickets = [decide("work", "@dispvm:base").get("ticket") for _ in range(9)]
        held = [as_qrexecd("work", "start.sock", "op=start", "ticket=" + t) for t in tickets if t]
        ok(until(lambda: len(disps()) >= 6), "%d disposables are being started for a qube" % len(held), disps())
        r = sh("qvm-start", "late", limit=HANGS)
        eq(r[0], 0, "none of them comes up: a person starts a qube")
        r = sh("qvm-start", "base", limit=HANGS)
        eq(r[0], 0, "and another one")
        eq(len(disps()), 6, "six were begun")
    for s in held:
        s.close()
    ok(until(lambda: not disps(), 60 * SLOW), "they go", disps())
    sh("qvm-shutdown", "--wait", "late", "base")


def places_beside_a_management_qube():
    """The same by way of the Admin API, which asks for that qube."""
    if XEN:
        return
    slow = ["slow%d" % i for i in range(8)]
    with instead_of(VMSTART, NEVER_UP % ("slow", VMSTART)):
        for n in slow:
            write(VM + n, "label = red\n")
        held = [as_qrexecd(None, "start.sock", "op=start", "name=" + n, uid=UID_BASE + 4) for n in slow]
        begun = lambda: len(glob.glob(S6 + "/vm/instance/slow*"))
        ok(until(lambda: begun() >= 6), "adminapid asks for eight starts, none of which comes up", begun())
        r = sh("qvm-start", "late", limit=HANGS)
        eq((r[0], begun()), (0, 6), "a person starts a qube; six were begun")
    for n in slow[:6]:
        answer(as_qrexecd(None, "start.sock", "op=kill", "name=" + n, uid=0))
    got = [answer(s).get("result") for s in held]
    ok(got[6:] == ["ok"] * 2 and None not in got, "these are killed, and the others have their turn", got)
    sh("qvm-shutdown", "--wait", "late", *slow[6:])
    sh("qvm-remove", "-f", *slow)


def many_of_them():
    """Many qrexecds that were taken over, each with as many connections as it gets: people are let in."""
    pids, (r, w), (r2, w2) = [], os.pipe(), os.pipe()
    for qid in range(9001, 9017):
        def hold():
            held = []
            for _ in range(96):
                s = socket.socket(socket.AF_UNIX)
                s.connect("start.sock")  # with a time-out it would fail where startd's queue is full
                held.append(s)
            os.write(w, b"x")
            os.close(w2)
            os.read(r2, 1)
        d = os.open(RUN + "/s", os.O_PATH)
        pids.append(as_user(UID_BASE + 8 * qid + 1, UID_BASE + 8 * qid + 1, [GID_DAEMONS], lambda: (os.fchdir(d), hold())))
        os.close(d)
    os.close(w)
    began = sum(len(os.read(r, 1)) for _ in pids)
    out = sh("qvm-start", "late", limit=HANGS)
    eq((began, out[0]), (16, 0), "16 qrexecds have taken all connections to startd that they get: a person starts a qube")
    for fd in (r, r2, w2):
        os.close(fd)
    for pid in pids:
        os.waitpid(pid, 0)
    sh("qvm-shutdown", "--wait", "late")


def kept_ready():
    """A disposable that is kept ready is nobody's: not even while it runs."""
    write(VM + "base", BASE + "preload = 1\n")
    kept = lambda: [n for n in os.listdir(RUN + "/state/.preload")] if os.path.isdir(RUN + "/state/.preload") else []
    ok(until(lambda: [n for n in kept() if state(n).get("state") == "Paused"], 30 * SLOW), "one is kept ready", kept())
    name = kept()[0]
    sh("s6-svc", "-2", S6 + "/vm/instance/" + name)
    ok(until(lambda: state(name).get("state") == "Running"), "it runs", state(name))
    r = decide("work", name)
    eq(r.get("result"), "deny", "a qube calls it: denied")
    r = decide(name, "work")
    eq(r.get("result"), "deny", "it calls a qube: denied")
    r = decide(name, "@dispvm:base")
    eq(r.get("result"), "deny", "it asks for a disposable: denied")
    r = answer(as_qrexecd(name, "start.sock", "op=dispose", "name=" + name))
    ok("kept ready" in r.get("reason", ""), "its qrexecd would have it disposed of: refused", r)
    write(VM + "base", BASE)
    ok(until(lambda: not disps(), 30 * SLOW), "it goes", disps())


BASE = "label = red\ntemplate_for_dispvms = true\n"
write(VM + "tmpl", "type = TemplateVM\nlabel = black\n")
write(VM + "base", BASE)
for name in ("work", "other", "late"):
    write(VM + name, "label = blue\n")
policy("* * @anyvm @anyvm allow\n* * @anyvm @dispvm:base allow\n")
ok(qubes("work", "other").returncode == 0, "two qubes run")
rows([a_link_in_place_of_a_directory, fill_what_is_not_ours, disks_of_root_s, a_file_renamed, copied_by_root, a_lock_that_is_held, others, places_for_people, places_beside_a_management_qube, many_of_them, without_end, kept_ready])
done()
