#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
# A qrexecd that somebody has replaced by a program of his own, under the same uid, gets nothing started that
# its own qube's policy does not allow (DESIGN.md "Who may what"). The program is this one, forked: as work's
# qrexecd would be, in the real one's mount namespace ("inside"), in Dom0's own ("house"), and in one where
# /run/qubes lies open so that only what is below it protects ("open"). Then the same from within a qube.
import ctypes, json, os, re, resource, select, signal, socket, stat, struct, subprocess, sys, time

sys.path[0] += "/.."
import tap
from tap import *

in_house()

LIMIT = tap.LIMIT = tap.HANGS = 15 * SLOW
POLICY, START, CHAN, EVAL = (RUN + "/s/" + n for n in
                             ("policy.sock", "start.sock", "chan.sock", "policy.EvalSimple.sock"))
LOGS = LOG + "/"
libc = ctypes.CDLL(None, use_errno=True)


def inside(qube, command, user="user", data=b""):
    return sh("qrexec-client", "-d", qube, "%s:%s" % (user, command), data=data)


# ---- who we pretend to be ----

def pid_of(uid):
    for p in filter(str.isdigit, os.listdir("/proc")):
        try:
            text = open("/proc/%s/status" % p).read()
        except OSError:
            continue
        if "\nUid:\t%d\t" % uid in text and "\nSeccomp:\t2\n" in text:
            return int(p)
    return 0


def open_view():
    """A mount namespace of its own where anybody may enter /run/qubes."""
    if libc.unshare(0x20000) != 0 or libc.mount(None, b"/", None, 0x44000, None) != 0:
        os._exit(3)
    held = "/mnt"
    libc.mount(b"none", held.encode(), b"tmpfs", 0, b"mode=755")
    os.chmod(held, 0o755)
    for name in os.listdir(RUN):
        there, here = os.path.join(RUN, name), os.path.join(held, name)
        if os.path.islink(there):
            os.symlink(os.readlink(there), here)
            continue
        os.mkdir(here) if os.path.isdir(there) else open(here, "w").close()
        if libc.mount(there.encode(), here.encode(), None, 0x5000, None) != 0:
            os._exit(4)
    if libc.mount(held.encode(), RUN.encode(), None, 0x5000, None) != 0:
        os._exit(5)


def hostile(f, view="inside", qube="work", uid=None, groups=(GID_DAEMONS,)):
    """f() by a process of that qrexecd's uid; its result comes back as JSON."""
    uid = uid_of(qube) if uid is None else uid
    if view == "inside":
        pid = until(lambda: pid_of(uid_of(qube)))
        ns = os.open("/proc/%d/ns/mnt" % pid, os.O_RDONLY)
    r, w = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(r)
        try:
            if view == "inside" and libc.setns(ns, 0) != 0:
                os._exit(2)
            if view == "open":
                open_view()
            os.setgroups(list(groups))
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
            got = f()
        except BaseException as e:
            got = "failed: %r" % e
        with os.fdopen(w, "w") as out:
            json.dump(got, out)
        os._exit(0)
    os.close(w)
    with os.fdopen(r) as src:
        text = src.read()
    status = os.waitpid(child, 0)[1]
    return json.loads(text) if text else "ended with %d" % status


# ---- what he says ----

def talk(path, data, limit=LIMIT):
    """One connection: what is answered until the end of file or a whole message."""
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(limit)
    got = b""
    try:
        s.connect(path)
        s.sendall(data)
        while b"\n\n" not in got:
            part = s.recv(4096)
            if not part:
                break
            got += part
    except socket.timeout:
        got += b"(silence)"
    except OSError as e:
        got += ("(%s)" % os.strerror(e.errno)).encode() if e.errno else b"(?)"
    s.close()
    return got.decode("latin-1")


def decide(source, target, what, **more):
    lines = dict(source=source, intended_target=target, service_and_arg=what, **more)
    return talk(POLICY, ("".join("%s=%s\n" % x for x in lines.items()) + "\n").encode())


def redeem(ticket, use="call"):
    return talk(POLICY, ("redeem=%s\nuse=%s\n\n" % (ticket, use)).encode())


def present(target, ticket, port=None):
    return talk("%s/q/%s/peer" % (RUN, target),
                ("ticket=%s\n%s\n" % (ticket, "port=%d\n" % port if port else "")).encode())


def start(**lines):
    return talk(START, ("".join("%s=%s\n" % x for x in lines.items()) + "\n").encode())


def ticket_of(qube, target, what, view="inside"):
    """As the policy allows it."""
    answer = hostile(lambda: decide(qube, target, what), view, qube)
    return kv(answer).get("ticket", "none: " + answer)


def logged(which, pattern, attack, name):
    """The attack is refused, and a line says why; a line held back by the rate is waited for."""
    log, end = since(which), time.monotonic() + LIMIT
    answer = attack()
    while not log.says(pattern, 0.8) and time.monotonic() < end:
        answer = attack()
    ok(re.search(pattern, log.text()), name + ": in the log", "answer %r, log:\n%s" % (answer, log.text()))


# ---- what would have run ----

DOM0_MARKS = "/var/tmp/marks"


def marks(where):
    """The marks that services have made, by what their argument was."""
    if where == "dom0":
        return sorted(os.listdir(DOM0_MARKS))
    return sorted(inside(where, "ls /home/user/marks 2>/dev/null || true")[1].split())


def prepare():
    os.makedirs(DOM0_MARKS)
    os.chmod(DOM0_MARKS, 0o1777)
    service("t.Mark", "echo x >>%s/$1-from-$QREXEC_REMOTE_DOMAIN" % DOM0_MARKS)
    for name in ("sleeper", "never"):
        write(VM + name, "label = blue\n")
    policy("t.Mark +forbidden @anyvm @anyvm deny\nt.Mark +forbidden @anyvm dom0 deny\n"
           "t.Mark +asleep work @anyvm allow autostart=no\n"
           "t.Mark * work vault allow\nt.Mark * work dom0 allow\nt.Mark * work sleeper allow\n"
           "t.Mark * vault third allow\nt.Mark * vault never allow\nt.Mark * vault dom0 allow\n")
    r = qubes("work", "vault", "third")
    if r.returncode != 0:
        print("Bail out! no qubes: " + r.stderr)
        sys.exit(1)
    for name in ("vault", "third"):
        serve(name)
    accomplice("work", "vault", "third")
    accomplice("vault", "third")


ACCOMPLICE = r"""
import os, select, socket, struct, sys
me, others = sys.argv[1], sys.argv[2:]
listening, held = [], []
for o in others:
    for port in range(513, 769):
        s = socket.socket(socket.AF_UNIX)
        name = "/run/vchan/vchan.%s.%s.%d.sock" % (me, o, port)
        if os.path.lexists(name):
            os.unlink(name)
        s.bind(name); s.listen(8); os.chmod(name, 0o666); listening.append(s)
print("up", flush=True)
while True:
    for s in select.select(listening + [0], [], [])[0]:
        if s == 0:
            for s in listening:
                os.unlink(s.getsockname())
            sys.exit()
        c = s.accept()[0]
        try:
            c.sendall(struct.pack("<LLL", 0x300, 4, 3) + struct.pack("<LL", 0x190, 0))
        except OSError:
            pass
        held.append(c)
"""


def accomplice(where, *targets):
    """Whatever is started for this qube finds it at the other end, so that a service that should not run does."""
    words = " ".join(state(n)["domid"] for n in (where,) + targets)
    program = "python3 -c '%s' %s" % (ACCOMPLICE, words)
    if XEN:
        with open(os.environ["O"] + "/test/offer", "rb") as f:
            inside(where, "cat >/tmp/offer && chmod 755 /tmp/offer", "root", f.read())
        program = "/tmp/offer 513 768 " + words.split(" ", 1)[1]
    p = subprocess.Popen(["qrexec-client", "-d", where, "root:exec " + program],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    if os.read(p.stdout.fileno(), 3) != b"up\n":
        print("# no accomplice in " + where)
    accomplices.append(p)


accomplices = []


def serve(name):
    inside(name, "mkdir -p /usr/local/etc/qubes-rpc && cat >/usr/local/etc/qubes-rpc/t.Mark && "
           "chmod 755 /usr/local/etc/qubes-rpc/t.Mark", "root",
           b"#!/bin/sh\nmkdir -p /home/user/marks\necho x >>/home/user/marks/$1-from-$QREXEC_REMOTE_DOMAIN\n")


# ---- the tests ----

def forged_source():
    for view in ("inside", "open"):
        for source in ("vault", "dom0", "@adminvm", "sleeper", "no-such-qube", "", "work\0", "Work",
                       "uuid:" + state("vault")["uuid"]):
            for more in ({}, {"just_evaluate": "yes"}, {"assume_yes_for_ask": "yes"}):
                got = hostile(lambda: decide(source, "third", "t.Mark+forged", **more), view)
                if "allow" in got or "ticket" in got:
                    ok(False, "forged source %r (%s %r)" % (source, view, more), got)
        ok(True, "%s: nobody else's name is taken as source" % view)
    eq(hostile(lambda: decide("vault", "third", "t.Mark+forged")), "", "a forged source gets no answer at all")
    logged("policyd", r"vault: t\.Mark.*forged.*uid %d.*refused: not the uid" % uid_of("work"),
           lambda: hostile(lambda: decide("vault", "third", "t.Mark+forged")), "a forged source")
    got = hostile(lambda: decide("work", "third", "t.Mark+forged", requested_source="vault"))
    eq(kv(got).get("result"), "deny", "a forged requested_source is denied")
    ok("ticket" not in got, "... without a ticket", got)


def denied_source():
    got = hostile(lambda: decide("work", "vault", "t.Mark+forbidden"))
    eq(got, "result=deny", "its own call that is denied: denied, no ticket, no reason")
    ok(until(lambda: re.search(r"(?m)target=vault decision=deny .*service=t\.Mark\+forbidden", logs("audit/work"))),
       "... and on record", logs("audit/work"))
    for made_up in ("0" * 32, "f" * 32, "x" * 32, "", "0" * 31, "0" * 33, "A" * 32):
        hostile(lambda: present("vault", made_up))
        hostile(lambda: present("dom0", made_up, 513))
        hostile(lambda: start(op="start", ticket=made_up))
    eq((marks("vault"), marks("dom0"), state("sleeper")), ([], [], {}), "a ticket that is made up starts nothing")
    logged("vault/qrexecd", r"no%20such%20ticket.*refused", lambda: hostile(lambda: present("vault", "0" * 32)),
           "a ticket that is made up")
    logged("policyd", r"uid \d+: ticket refused: no such ticket", lambda: hostile(lambda: present("vault", "0" * 32)),
           "policyd, a ticket that is made up")


def replayed():
    t = ticket_of("work", "vault", "t.Mark+once")
    first = hostile(lambda: present("vault", t))
    eq(kv(first).get("result"), "ok", "a ticket to a qube: its first use works")
    ok(until(lambda: marks("vault") == ["once-from-work"]), "... and ran", marks("vault"))
    again = [hostile(lambda: present("vault", t), v) for v in ("inside", "open")]
    eq([kv(a).get("result") for a in again], ["refused"] * 2, "replayed: refused")
    eq(inside("vault", "cat /home/user/marks/once-from-work")[1], "x", "... and ran once")
    t = ticket_of("work", "dom0", "t.Mark+dom0")
    many = hostile(lambda: [present("dom0", t, 600 + i) for i in range(4)])
    eq([kv(a).get("result") for a in many], ["ok", "refused", "refused", "refused"],
       "a ticket to Dom0: used once, then refused")
    ok(until(lambda: marks("dom0") == ["dom0-from-work"]), "... and ran", marks("dom0"))
    eq(open(DOM0_MARKS + "/dom0-from-work").read(), "x\n", "... once")
    ok(until(lambda: "call refused: ticket" in logs("qrexec-dom0")), "... and qrexec-dom0's log says so")
    # Both at once: one wins.
    t = ticket_of("work", "vault", "t.Mark+race")

    def race():
        ends = []
        for _ in range(8):
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(LIMIT)
            s.connect(RUN + "/q/vault/peer")
            ends.append(s)
        for s in ends:
            s.sendall(("ticket=%s\n\n" % t).encode())
        return sorted(kv(s.recv(4096).decode()).get("result", "") for s in ends)

    eq(hostile(race), ["ok"] + ["refused"] * 7, "eight uses at the same time: one")
    ok(until(lambda: "race-from-work" in marks("vault")), "... which ran")
    eq(inside("vault", "cat /home/user/marks/race-from-work")[1], "x", "... once")


def alive(t):
    """Is the ticket still good? Its owner may not use it himself, and is told which of the two it is."""
    return "another qube" in hostile(lambda: redeem(t))


def expired():
    t, began = ticket_of("work", "vault", "t.Mark+late"), time.monotonic()
    ok(alive(t), "a fresh ticket is there")
    until(lambda: not alive(t), 10)
    took = time.monotonic() - began
    ok(4.0 < took < 6.5, "it expires after 5 seconds", took)
    eq(kv(hostile(lambda: present("vault", t))).get("result"), "refused", "an expired ticket is refused")
    ok("late-from-work" not in marks("vault"), "... and nothing ran")


def presented_to(target, ticket):
    return hostile(lambda: present(target, ticket))


def foreign():
    uid = uid_of("vault")
    t = ticket_of("vault", "third", "t.Mark+foreign")
    got = hostile(lambda: present("third", t))
    eq(kv(got), {"result": "refused", "reason": "the ticket belongs to another qube"}, "vault's ticket, from work: refused")
    logged("third/qrexecd", "the ticket belongs to another qube; refused",
           lambda: presented_to("third", ticket_of("vault", "third", "t.Mark+foreign")), "a foreign ticket")
    t = ticket_of("vault", "dom0", "t.Mark+foreign")
    eq(kv(hostile(lambda: present("dom0", t, 600))).get("result"), "refused", "vault's ticket to Dom0, from work: refused")
    ok(until(lambda: "ticket of another qube" in logs("qrexec-dom0")), "... and logged")
    t = ticket_of("vault", "never", "t.Mark+foreign")
    got = hostile(lambda: start(op="start", ticket=t))
    eq(kv(got).get("reason"), "the ticket belongs to another qube", "vault's ticket to start a qube, from work: refused")
    ok(until(lambda: re.search(r"uid %d: refused: the ticket belongs" % uid_of("work"), logs("startd"))), "... and logged")
    eq(state("never"), {}, "... and nothing was started")
    # Redeeming at policyd itself.
    for who, why in (("work", "another qube"), ("third", "")):
        t = ticket_of("vault", "dom0", "t.Mark+self")
        got = hostile(lambda: redeem(t), qube=who)
        eq(kv(got).get("result"), "refused", "%s redeems vault's ticket to Dom0 at policyd: refused" % who)
    t = ticket_of("vault", "third", "t.Mark+self")
    eq(kv(hostile(lambda: redeem(t), qube="vault")).get("result"), "refused", "a source redeems its own ticket: refused")
    t = ticket_of("vault", "never", "t.Mark+self")
    for who in ("work", "vault", "third"):
        eq(kv(hostile(lambda: redeem(t, "start"), qube=who)).get("reason"), "only startd starts",
           "use=start by %s's qrexecd: refused" % who)
    logged("policyd", r"uid %d: ticket refused: only startd" % uid, lambda: hostile(lambda: redeem(t, "start"), qube="vault"),
           "use=start by a qrexecd")
    eq((state("never"), [m for m in marks("third") + marks("dom0") + marks("vault") if "foreign" in m or "self" in m]),
       ({}, []), "nothing of all that ran")


def wrong_target():
    t = ticket_of("work", "vault", "t.Mark+wrong")
    eq(kv(hostile(lambda: present("third", t))).get("result"), "refused", "a ticket to vault, presented to third: refused")
    eq(kv(hostile(lambda: present("dom0", t, 600))).get("result"), "refused", "... presented to Dom0: refused")
    t = ticket_of("work", "dom0", "t.Mark+wrong")
    eq(kv(hostile(lambda: present("vault", t))).get("result"), "refused", "a ticket to Dom0, presented to vault: refused")
    eq([m for m in marks("third") + marks("dom0") + marks("vault") if "wrong" in m], [], "nothing of it ran")
    eq(hostile(lambda: decide("work", "sleeper", "t.Mark+asleep")), "result=deny", "autostart=no and it does not run: denied")
    t = ticket_of("work", "vault", "t.Mark+asleep")
    eq(kv(hostile(lambda: start(op="start", ticket=t))).get("result"), "refused", "a ticket with autostart=no: startd refuses it")
    logged("policyd", "uid 0: ticket refused: a ticket without autostart", lambda: hostile(lambda: start(op="start", ticket=t)), "... policyd says why")


def restart(name):
    sh("qvm-kill", name)
    until(lambda: not state(name))
    code, text = sh("qvm-start", name, limit=30 * SLOW)
    return code == 0 or print("# restart of %s: %s" % (name, text)) or False


def sessions():
    for which in ("vault", "work"):
        old = state(which)["session"]
        t, began = ticket_of("work", "vault", "t.Mark+session"), time.monotonic()
        ok(restart(which) and state(which)["session"] != old, "%s is restarted: another session" % which)
        accomplice("work", "vault")
        got = hostile(lambda: [redeem(t), present("vault", t)])
        took = time.monotonic() - began
        if took > 4.8:
            print("# the restart took %.1f s: the ticket has expired meanwhile" % took)
        eq([kv(g).get("result") for g in got], ["refused"] * 2, "a ticket of %s's session before: refused" % which)
        ok("session-from-work" not in marks("vault"), "... and nothing ran")
    # A ticket that starts its target lives for one session of it.
    t = ticket_of("work", "sleeper", "t.Mark+woken")
    eq(kv(hostile(lambda: start(op="start", ticket=t))).get("result"), "ok", "a ticket with autostart starts sleeper")
    eq(kv(hostile(lambda: start(op="start", ticket=t))).get("result"), "refused", "... once")
    serve("sleeper")
    ok(restart("sleeper"), "sleeper is restarted")
    accomplice("work", "sleeper")
    eq(kv(hostile(lambda: present("sleeper", t))).get("result"), "refused", "the ticket was for the session before")
    serve("sleeper")
    eq([m for m in marks("sleeper")], [], "... and nothing ran")
    sh("qvm-kill", "sleeper")


def hello_exec(command, domid=0, port=0):
    body = struct.pack("<LL", domid, port) + command.encode() + b"\0"
    return struct.pack("<LLL", 0x300, 4, 3) + struct.pack("<LL", 0x200, len(body)) + body


def all_messages():
    """Whatever any of our sockets takes, from whoever it is for."""
    v = state("vault")
    out = [hello_exec("user:touch /home/user/marks/direct"),
           hello_exec("root:touch /home/user/marks/direct", 0, 520),
           hello_exec("DEFAULT:QUBESRPC t.Mark+direct work", int(v["domid"]), 513),
           struct.pack("<LLL", 0x300, 4, 4) + struct.pack("<LL", 0x200, 8 + 21) + struct.pack("<LL", 0, 513) +
           b"user:touch marks/dir\0"]
    for op in ("start", "shutdown", "kill", "up", "down", "restart"):
        for name in ("vault", "sleeper", "never", "dom0", "../vault", ""):
            out.append(("op=%s\nname=%s\n%s\n" % (op, name, "force=yes\n" if op == "shutdown" else "")).encode())
    for role in ("client", "server"):
        for port in (512, 513, 6000, 0, 65536):
            out.append(("role=%s\nport=%d\ndomid=%s\n\n" % (role, port, v["domid"])).encode())
    out += [b"ticket=\n\n", b"ticket=" + b"0" * 32 + b"\nport=513\n\n", b"ticket=" + b"0" * 32 + b"\n\n",
            b"result=ok\nsource=vault\ntarget=dom0\nservice=t.Mark+direct\nuser=root\n\n",
            b"policy.EvalSimple+t.Mark dom0\0vault\0third", b"policy.Ask dom0 name dom0\0{}",
            b"policy.Notify dom0 name dom0\0{}", b"allow:vault", b"redeem=" + b"0" * 32 + b"\nuse=start\n\n",
            b"source=vault\nintended_target=third\nservice_and_arg=t.Mark+direct\n\n",
            b"source=dom0\nintended_target=vault\nservice_and_arg=t.Mark+direct\nassume_yes_for_ask=yes\n\n",
            b"", b"\n", b"\n\n", b"\0" * 4096, b"x" * 100000, b"a=b\n" * 3000]
    return out


def batches(messages):
    """Twelve at a time, which each daemon takes; those that get no answer together."""
    whole = [m for m in messages if m.endswith(b"\n\n") and b"role=client" not in m]
    rest = [m for m in messages if m not in whole]
    return [part[i:i + 12] for part in (whole, rest) for i in range(0, len(part), 12)]


def talk_many(path, messages):
    """All at once; what is answered until all have hung up, or for long nothing comes."""
    open_, got = {}, {}
    for m in messages:
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(1)
        got[s] = b""
        try:
            s.connect(path)
            open_[s] = m
            s.sendall(m)
        except OSError:
            pass
    names = dict(open_)
    while open_:
        ready = select.select(list(open_), [], [], 0.4 * min(SLOW, 2))[0]
        for s in ready:
            try:
                part = s.recv(4096)
            except OSError:
                part = b""
            got[s] += part
            if not part:
                del open_[s]
        if not ready:
            break
    for s in got:
        s.close()
    return [(names[s], got[s].decode("latin-1")) for s in names]


def every_socket():
    paths = sh("find", RUN, "(", "-type", "s", "-o", "-type", "p", "-o", "-type", "l", ")")[1].split("\n")
    ok(len(paths) > 20, "there are sockets and fifos to be tried", paths)
    out, before = batches(all_messages()), {n: state(n) for n in ("work", "vault", "third")}

    def connect_all():
        got = {}
        for p in paths:
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(2)
            try:
                s.connect(p)
                got[p] = "open"
            except OSError as e:
                got[p] = e.errno
            s.close()
            try:
                os.close(os.open(p, os.O_WRONLY | os.O_NONBLOCK))
                got[p] = "written"
            except OSError:
                pass
        return got

    may = re.compile(r"^%s/(s/(policy|start|chan|policy\.EvalSimple)\.sock|q/[a-z0-9]+/(peer|qrexec)|"
                     r"(policy|start|chan)\.sock|qrexec\.[a-z0-9:-]+)$" % RUN)
    reached = {}
    for view in ("inside", "open", "house"):
        got = hostile(connect_all, view)
        reached[view] = sorted(p for p, what in got.items() if what in ("open", "written"))
        wrong = [p for p in reached[view] if not may.match(p) or got[p] == "written"]
        eq(wrong, [], "%s: of %d names it reaches %d, none that is not meant for it" % (view, len(got), len(reached[view])))
    eq(reached["house"], [], "house: /run/qubes is closed to daemons")
    for need in (POLICY, START, CHAN, RUN + "/q/vault/peer", RUN + "/q/dom0/peer"):
        ok(need in reached["inside"] and need in reached["open"], "(it does reach %s)" % need)
    for view in ("inside", "open"):
        def say_all():
            bad = []
            for p in [p for p in reached[view] if not os.path.islink(p)]:
                for part in out:
                    for m, a in talk_many(p, part):
                        own = p.endswith("chan.sock") and b"role=" in m  # its own qube's channels are its own
                        if not own and re.search("result=ok|result=allow|ticket=[0-9a-f]{32}", a):
                            bad.append((p, repr(m)[:80], a))
            return bad
        eq(hostile(say_all, view), [], "%s: everything that can be said, to all of them: nothing is granted" % view)
    after = {n: state(n) for n in before}
    eq(after, before, "no qube was ended or started anew")
    eq((state("never"), state("sleeper")), ({}, {}), "none was started")
    eq([m for m in marks("vault") + marks("third") + marks("dom0") if "dir" in m], [], "nothing ran")
    for name, which, pattern in (("qrexec.NAME", "vault/qrexecd", r"client: uid %d is neither root nor in group qubes"),
                                 ("startd, op=kill", "startd", r"uid %d: refused: only for root and group qubes"),
                                 ("startd, op=down", "startd", r"uid %d: refused: only for root\n"),
                                 ("policy.EvalSimple", "policyd", r"uid %d refused: not one of Dom0's services")):
        ok(until(lambda: re.search(pattern % uid_of("work"), logs(which)), 3), name + ": the refusal is in the log",
           logs(which)[-1500:])


def own_channels_only():
    """chand: whatever domid is asked for, it is the asker's own."""
    def ask():
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(LIMIT)
        s.connect(CHAN)
        s.sendall(("role=watch\ndomid=%s\n\n" % state_vault["domid"]).encode())
        return s.recv(4096).decode()
    state_vault = state("vault")
    eq(kv(hostile(ask)).get("domid"), state("work")["domid"], "chand gives work's qrexecd work's channels only")
    for uid, who in ((uid_of("work", 4), "the console's uid"), (UID_BASE + 2, "qubes-svc"),
                     (uid_of("work", 5), "a relaying child's uid"), (65534, "nobody")):
        eq(kv(hostile(ask, "open", uid=uid)).get("result"), "refused", "chand gives %s nothing" % who)
        got = hostile(lambda: [decide("work", "vault", "t.Mark+uid"), start(op="kill", name="vault"),
                               present("vault", "0" * 32), talk(RUN + "/q/vault/qrexec", hello_exec("user:touch x"))],
                      "open", uid=uid)
        ok(not re.search("result=(ok|allow)", repr(got)), "the other daemons give %s nothing either" % who, got)
    def person():
        return [start(op="up", name="vault"), start(op="down", name="vault")]
    ok(not re.search("result=ok", repr(hostile(person, "open", uid=65534, groups=(598,)))), "op=up, op=down: not even a person")
    got = hostile(lambda: decide("vault", "third", "t.Mark+x"), qube="work", view="open", groups=(GID_DAEMONS, 598))
    ok("ticket" not in got, "a qrexecd's uid is no person, in whatever group", got)


def processes():
    victims = {}
    for p in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = open("/proc/%s/cmdline" % p).read().split("\0")
            uid = os.stat("/proc/" + p).st_uid
        except OSError:
            continue
        if re.search("/(chand|policyd|startd|qrexec-dom0|qrexecd|vmstart)$|^s6-svscan", words[0]) and \
                not (words[0].endswith("qrexecd") and "work" in words):
            victims[int(p)] = " ".join(words[:3])
    ok(len(victims) >= 10, "there are processes to be attacked", victims)

    def attack():
        got = []
        for p in victims:
            for sig in (0, signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP):
                try:
                    os.kill(p, sig)
                    got.append("%s: signal %d" % (victims[p], sig))
                except PermissionError:
                    pass
            if libc.ptrace(16, p, 0, 0) == 0 or libc.ptrace(0x4206, p, 0, 0) == 0:
                got.append("%s: ptrace" % victims[p])
            for f in ("mem", "maps", "environ", "fd/0", "root/etc/shadow", "cwd/x"):
                try:
                    os.close(os.open("/proc/%d/%s" % (p, f), os.O_RDWR if f == "mem" else os.O_RDONLY))
                    got.append("%s: %s" % (victims[p], f))
                except OSError:
                    pass
        return got

    for view in ("inside", "open", "house"):
        eq(hostile(attack, view), [], "%s: no signal, ptrace or look at %d processes" % (view, len(victims)))
    eq([v for p, v in victims.items() if not os.path.exists("/proc/%d" % p)], [], "all of them live")


def files():
    places = [RUN + "/" + n for n in ("", "state", "policy.d", "q", "q/vault", "q/dom0", "s", "s6", "s6/policyd", "vm", "local",
                                      "local/vault", "local/work", "ask")] + \
             ["/etc/qubes", "/etc/qubes/vm.d", "/etc/qubes/policy.d", "/etc/qubes-rpc", "/var/lib/qubes", LOGS, LOGS + "audit",
              LOGS + "audit/work", LOGS + "vault", "/usr/lib/qubes", "/usr/bin"]
    existing = [RUN + "/state/work", RUN + "/state/vault", "/etc/qubes/vm.d/work", "/etc/qubes/policy.d/30-user.policy",
                "/var/lib/qubes/qids", LOGS + "audit/work/current", LOGS + "policyd/current", RUN + "/q/vault/peer",
                RUN + "/q/dom0/peer", POLICY, START, CHAN, RUN + "/qrexec.vault"]

    def attack():
        got = []

        def attempt(what, f):
            try:
                f()
                got.append(what)
            except OSError:
                pass
        for d in places:
            x = os.path.join(d, ".hostile")
            attempt("create in " + d, lambda: os.close(os.open(x, os.O_CREAT | os.O_WRONLY)))
            attempt("link in " + d, lambda: os.symlink("/", x + "l"))
            attempt("directory in " + d, lambda: os.mkdir(x + "d"))
            attempt("socket in " + d, lambda: socket.socket(socket.AF_UNIX).bind(x + "s"))
        for d in ("local", "local/vault", "local/work", "s6", "vm", "q", "q/vault", "q/dom0"):
            attempt("list " + d, lambda: os.listdir(os.path.join(RUN, d)))
        for f in existing:
            attempt("write " + f, lambda: os.close(os.open(f, os.O_WRONLY | os.O_NONBLOCK)))
            attempt("remove " + f, lambda: os.unlink(f))
            attempt("rename " + f, lambda: os.rename(f, f + ".old"))
            attempt("chmod " + f, lambda: os.chmod(f, 0o666))
            attempt("replace " + f, lambda: os.rename(RUN + "/q/work/.mine", f))
        for f in ("/etc/shadow", LOGS + "audit/work/current", LOGS + "audit/vault/current", LOGS + "vault/vm/current",
                  "/var/lib/qubes/appvms/vault/private@1"):
            attempt("read " + f, lambda: os.listdir(f) if os.path.isdir(f) else open(f).read(1))
        attempt("chmod q/vault", lambda: os.chmod(RUN + "/q/vault", 0o777))
        attempt("rename q/work", lambda: os.rename(RUN + "/q/work", RUN + "/q/fourth"))
        return got

    for view in ("inside", "open", "house"):
        eq(hostile(attack, view), [], "%s: reads and writes nothing that is not its own" % view)
    for f in existing:
        if not os.path.lexists(f):
            ok(False, f + " is still there")


def deputies():
    """Its own directory is its own: what it puts there must lead nobody elsewhere."""
    mine = RUN + "/q/work/"

    def link(name, to):
        def f():
            os.rename(mine + name, mine + name + ".kept")
            os.symlink(to, mine + name)
        return f

    def back(name):
        def f():
            os.unlink(mine + name)
            os.rename(mine + name + ".kept", mine + name)
        return f

    for name, to in (("qrexec", "../vault/qrexec"), ("qrexec", "/run/qubes/q/vault/qrexec"), ("qrexec", "../../s/start.sock")):
        eq(hostile(link(name, to)), None, "(work's socket is now a link to %s)" % to)
        code, text = sh("qvm-run", "-p", "work", "mkdir -p marks; echo x >>marks/led-astray; hostname", limit=30 * SLOW)
        ok(code != 0 and "vault" not in text, "qvm-run work is not led elsewhere", (code, text))
        ok("vault" not in to or "leads to somebody else" in text, "... and says so", text)
        code, text = sh("qrexec-client", "-d", "work", "user:mkdir -p marks; echo x >>marks/led-astray", limit=30 * SLOW)
        ok(code != 0, "qrexec-client -d work neither", (code, text))
        code, text = sh("qrexec-client", "-e", "-d", "work", "user:mkdir -p /home/user/marks; echo x >>/home/user/marks/astray-too")
        ok(code != 0, "qrexec-client -e -d work neither", (code, text))
        eq(hostile(back(name)), None, "(and back)")
    # Whoever calls work ends at vault: with a ticket for work.
    policy("t.Mark * third work allow\n", "20-user")
    for to in ("../vault/peer", "../dom0/peer"):
        eq(hostile(link("peer", to)), None, "(work's peer is now a link to %s)" % to)
        code, text = inside("third", "qrexec-client-vm work t.Mark+led-astray </dev/null")
        eq(code, 126, "a call of third's to work is refused then")
        eq(hostile(back("peer")), None, "(and back)")
    os.unlink("/etc/qubes/policy.d/20-user.policy")

    # A qrexecd that answers with somebody else's domid.
    vault, log = state("vault"), len(logs("chand"))

    def fake():
        os.rename(mine + "qrexec", mine + "qrexec.kept")
        s = socket.socket(socket.AF_UNIX)
        s.bind(mine + "qrexec")
        s.listen(4)
        s.settimeout(LIMIT)
        c = s.accept()[0]
        c.settimeout(LIMIT)
        c.sendall(struct.pack("<LLL", 0x300, 4, 3))
        c.recv(4096)
        c.sendall(struct.pack("<LLLL", 0x200, 8, int(vault["domid"]), 701))
        try:
            c.settimeout(3)
            c.recv(1)
        except OSError:
            pass
        c.close()
        os.unlink(mine + "qrexec")
        os.rename(mine + "qrexec.kept", mine + "qrexec")

    child = os.fork()
    if child == 0:
        hostile(fake)
        os._exit(0)
    until(lambda: os.path.exists(mine + "qrexec.kept") and os.path.exists(mine + "qrexec"))
    seen = []

    def watch():
        if os.path.exists("%s/local/vault/vchan.0.%s.701.sock" % (RUN, vault["domid"])) or \
                XEN and sh("xenstore-exists", "/local/domain/0/data/vchan/%s/701" % vault["domid"])[0] == 0:
            seen[:] = ["offered"]
        return os.waitpid(child, os.WNOHANG)[0] != 0
    client = subprocess.Popen(["qvm-run", "-p", "work", "true"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    until(watch, 20 * SLOW)
    ok(client.wait(timeout=60 * SLOW) != 0, "a qrexecd that names another domain: qvm-run fails")
    eq(seen, [], "... and no channel to that other one was offered")
    ok(not [m for m in marks("vault") + marks("third") + marks("dom0") if "astray" in m], "nothing ran elsewhere")


def floods():
    """It holds all the connections it can get; the others are served."""
    dismiss()

    def hold(path, data, n):
        def f():
            held = []
            resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
            for _ in range(n):
                s = socket.socket(socket.AF_UNIX)
                s.settimeout(0.2)
                try:
                    s.connect(path)
                    s.sendall(data)
                except OSError:
                    s.close()
                    break
                held.append(s)
            os.write(up[1], b"x")
            os.read(down[0], 1)
            return len(held)
        return f

    for path, data, n in ((CHAN, b"role=client\nport=%d\n\n" % 30000, 2000), (CHAN, b"", 2000), (START, b"", 2000),
                          (POLICY, b"", 600), (RUN + "/q/vault/peer", b"", 600), (RUN + "/q/vault/qrexec", b"", 600),
                          (RUN + "/q/dom0/peer", b"", 300)):
        up, down = os.pipe(), os.pipe()
        for fd in up + down:
            os.set_inheritable(fd, True)
        child = os.fork()
        if child == 0:
            os.close(down[1])
            os.close(up[0])
            got = hostile(hold(path, data, n))
            print("# held %s of %s" % (got, path), flush=True)
            os._exit(0)
        os.close(down[0])
        os.close(up[1])
        os.read(up[0], 1)
        name = "%s held%s" % (path[len(RUN) + 1:], " with requests" if data else "")
        began = time.monotonic()
        eq(inside("vault", "echo alive")[1], "alive", name + ": vault is served")
        code, text = inside("vault", "qrexec-client-vm third t.Mark+flood </dev/null")
        eq((code, text), (0, ""), "... its calls too")
        code, text = inside("vault", "qrexec-client-vm dom0 t.Mark+flood </dev/null")
        eq((code, text), (0, ""), "... to Dom0 too")
        if not XEN or path == START:  # a kernel's boot takes long in emulation
            code, text = sh("qvm-start", "sleeper", limit=30 * SLOW)
            eq((code, text), (0, ""), "... a qube starts")
            sh("qvm-kill", "sleeper")
        took = time.monotonic() - began
        ok(took < 8 * SLOW, "... all of it in time", took)
        os.close(down[1])
        os.waitpid(child, 0)
        os.close(up[0])


INSIDE = r'''
import os, socket, sys
me, other, third = sys.argv[1:4]
held = []
os.chdir("/run/vchan")
import resource
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
def sock(name):
    s = socket.socket(socket.AF_UNIX)
    try:
        s.bind(name); s.listen(1); os.chmod(name, 0o777); held.append(s)
    except OSError as e:
        print("#", repr(name), e.strerror)
for a, b in ((other, "0"), (other, third), (third, other), (other, me), ("0", other), ("0", third)):
    for port in ("512", "513", "6000"):
        sock("vchan.%s.%s.%s.sock" % (a, b, port))
for port in range(513, 520):
    sock("vchan.0.%s.%d.sock" % (me, port))
    sock("vchan.%s.%s.%d.sock" % (me, other, port))
for odd in ("vchan", "vchan.", "vchan.....", "vchan.%s.%s.0513.sock" % (me, other), "vchan.+%s.0.513.sock" % me,
            "vchan.%s.%s.513.sock " % (me, other), "vchan.%s.%s.513.sock\n" % (me, other), "vchan.-1.0.512.sock",
            "vchan.4294967296.0.512.sock", "vchan.%s.%s.65536.sock" % (me, other), "vchan.%s.%s.99999999999.sock" % (me, other),
            "\x1b[2J\x07", "%s%n%x", "vchan.\xff.\xfe.1.sock", "x" * 100, "-rf", "a b", "vchan.1.2.3.sock.new", ".new", "s"):
    sock(odd)
open("n" * 255, "w").close()
for port, to in ((600, "/run/qubes/s/policy.sock"), (601, "/etc/shadow"), (602, "../vault/vchan.%s.0.512.sock" % other),
                 (603, "vchan.%s.%s.603.sock" % (me, other)), (604, "/proc/1/root"), (605, "/")):
    os.symlink(to, "vchan.%s.%s.%d.sock" % (me, other, port))
    os.symlink(to, "vchan.%s.0.%d.sock" % (me, port))
os.mkfifo("vchan.%s.%s.610.sock" % (me, other)); os.mkdir("vchan.%s.%s.611.sock" % (me, other))
os.mknod("vchan.%s.%s.612.sock" % (me, other)); open("vchan.%s.0.613.sock" % me, "w").close()
n = 0
for port in range(1000, 1000 + int(sys.argv[4])):
    try:
        s = socket.socket(socket.AF_UNIX); s.bind("vchan.%s.%s.%d.sock" % (me, other, port)); s.close(); n += 1
    except OSError as e:
        print("#", port, e.strerror); break
print("made", n, flush=True)
sys.stdin.read()
'''


def names_in(qube):
    return set(os.listdir("%s/local/%s" % (RUN, qube)))


def healthy(what):
    eq(inside("vault", "echo alive")[1], "alive", what + ": vault is served")
    tag = re.sub("[^a-z]", "-", what)
    eq(inside("vault", "qrexec-client-vm third t.Mark+%s </dev/null" % tag), (0, ""), "... its calls to third go through")
    ok(until(lambda: tag + "-from-vault" in marks("third")), "... and ran there")
    eq(inside("vault", "qrexec-client-vm dom0 t.Mark+%s </dev/null" % tag), (0, ""), "... its calls to Dom0 too")
    code, text = sh("qvm-start", "sleeper", limit=30 * SLOW)
    eq((code, text), (0, ""), "... and another qube starts")
    sh("qvm-kill", "sleeper")


def dismiss():
    while accomplices:
        p = accomplices.pop()
        p.stdin.close()
        p.wait(timeout=LIMIT)


def inside_qube():
    dismiss()
    domid = {n: state(n)["domid"] for n in ("work", "vault", "third")}
    chand = svpid("chand")
    for thousands, what in ((0, "false names"), (5000, "thousands of sockets")):
        p = subprocess.Popen(["qrexec-client", "-d", "work", "root:exec python3 -c '%s' %s %s %s %d 2>&1" % (
            INSIDE.replace("'", "'\\''"), domid["work"], domid["vault"], domid["third"], thousands)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        text = ""
        while not text.endswith("\n") or "made" not in text:
            part = os.read(p.stdout.fileno(), 4096)
            if not part:
                break
            text += part.decode("latin-1")
        ok("made" in text, "root in work: " + what, text)
        print("# " + text.strip().replace("\n", "\n# "))
        healthy(what)
        bad = [n for n in names_in("vault") | names_in("third")
               if re.match(r"vchan\.(%s|%s)\.(%s|%s)\." % ((domid["vault"], domid["third"]) * 2), n) or
               not re.match(r"^vchan\.\d+\.\d+\.\d+\.sock$", n)]
        eq(bad, [], "... nobody finds a name there that only he himself may make")
        odd = [n for n in names_in("vault") if not stat.S_ISSOCK(os.lstat("%s/local/vault/%s" % (RUN, n)).st_mode)]
        eq(odd, [], "... and none that is no socket")
        print("# %d names in vault's directory" % len(names_in("vault")))
        p.stdin.close()
        p.wait(timeout=LIMIT)
        restart("work")
        ok(until(lambda: not [n for n in names_in("vault") if n.startswith("vchan.%s." % domid["work"])]),
           "... they go with work", len(names_in("vault")))
        domid["work"] = state("work")["domid"]
    eq(svpid("chand"), chand, "chand is the same process")
    ok("\x1b" not in logs(), "no escape sequence of a qube's in any log")
    # What a qube can reach of Dom0: its own /run/vchan and nothing else.
    code, text = inside("work", "find / -xdev -type s 2>/dev/null; find /run /dev -type s 2>/dev/null", "root")
    eq([n for n in text.split("\n") if n and not re.match("/run/vchan/vchan|(/var)?/run/qubes/(qrexec-agent|qubesdb(\.ro)?\.sock)$", n)], [],
       "root in work sees no other socket")
    code, text = inside("work", "ls /run/qubes /var/log/qubes /etc/qubes/vm.d /var/lib/qubes /proc/1/root/mnt 2>&1", "root")
    ok(not re.search("policy|state|vault|start.sock", text), "... and nothing of Dom0's files", text)
    inside("work", "umount -l /run/vchan; mount -t tmpfs x /run/vchan; kill -9 -1", "root")
    healthy("covers its directory")
    restart("work")


# On Xen a qube has no directory of Dom0's, and a ticket does not live as long as a qube takes to start there.
TESTS = [forged_source, denied_source, replayed, expired, foreign, wrong_target, sessions, every_socket, own_channels_only,
         processes, files, deputies, inside_qube, floods]

prepare()
rows(TESTS, (inside_qube, sessions) if XEN else ())
done()
