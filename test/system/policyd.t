#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
# policyd over its real sockets, as root, in a mount namespace of its own: who may ask what, exact bytes,
# tickets, reloading, the audit on a full disk, prompts with a command and with a window.
import glob, os, re, select, shutil, signal, socket, stat, struct, subprocess, sys, threading, time

O = os.environ.get("O", "build/local")
if os.geteuid() != 0:
    print("1..0 # SKIP needs root: uids and mounts")
    sys.exit(0)
if os.environ.get("POLICYD_T") != "1":
    os.environ["POLICYD_T"] = "1"
    os.environ["O"] = os.path.abspath(O)
    os.execvp("unshare", ["unshare", "-mp", "--fork", "--kill-child", "--mount-proc", "--propagation", "private",
                          sys.executable, os.path.abspath(__file__)] + sys.argv[1:])

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from wire import SLOW, reachable

PROG, ASK = reachable(O + "/bin/policyd", O + "/bin/qrexec-ask")
S, E = "/run/qubes/s/policy.sock", "/run/qubes/s/policy.EvalSimple.sock"
POLICY = "/etc/qubes/policy.d/30-user.policy"
BASE, GID, LIMIT = 1900000000, 65432, 30 * SLOW
QID = {"work": 1, "vault": 2, "mail": 3, "late": 4, "disp11": 5, "disp12": 6, "disp21": 7}
tests = []


def test(f):
    tests.append(f)
    return f


def uid(name):
    return BASE + 8 * QID[name] + 1


def until(f, what, limit=LIMIT):
    end = time.monotonic() + limit
    while time.monotonic() < end:
        got = f()
        if got:
            return got
        time.sleep(0.01)
    raise AssertionError("never: " + what)


def write(path, text):
    tmp = os.path.dirname(path) + "/.tmp"
    with open(tmp, "w") as f:
        f.write(text)
    os.rename(tmp, path)


def vm(name, session, state="Running"):
    write("/run/qubes/state/" + name, "name=%s\nsession=%s\ndomid=%d\nqid=%d\nstate=%s\n" % (
        name, session, QID[name] + 40, QID[name], state))


def session(name, n=0):
    return "%032x" % (QID[name] * 1000 + n)


def house():
    for d in ["/run", "/etc/qubes", "/etc/qubes-rpc", "/var/log/qubes"]:
        os.makedirs(d, exist_ok=True)
        subprocess.check_call(["mount", "-t", "tmpfs", "-o", "mode=755,size=64m", "t", d])
    for d in ["/run/qubes/policy.d", "/run/qubes/state", "/run/qubes/ask", "/run/qubes/s", "/etc/qubes/policy.d",
              "/etc/qubes/vm.d", "/etc/qubes-rpc/policy", "/var/log/qubes/audit"]:
        os.makedirs(d)
    group = [l for l in open("/etc/group") if not l.startswith("qubes:")] + ["qubes:x:%d:\n" % GID]
    open("/run/group", "w").writelines(group)
    os.chmod("/run/group", 0o644)
    subprocess.check_call(["mount", "--bind", "/run/group", "/etc/group"])
    os.chown("/run/qubes/ask", 0, GID)
    os.chmod("/run/qubes/ask", 0o1771)
    subprocess.check_call(["mount", "-t", "tmpfs", "-o", "mode=755,size=1m", "t", "/var/log/qubes/audit"])
    for name in ["work", "vault", "mail", "late"]:
        write("/etc/qubes/vm.d/" + name, "type = AppVM\nlabel = red\ndefault_dispvm = dvm\n")
    write("/etc/qubes/vm.d/dvm", "type = AppVM\nlabel = gray\ntemplate_for_dispvms = true\n")


RULES = """t.Allow * work vault allow
t.Dom0 * work dom0 allow
t.Late * work late allow
t.Never * work late allow autostart=no
t.Disp * work @dispvm allow
t.Ask * work @anyvm ask default_target=vault
t.Ask * vault @anyvm ask
t.User * work vault allow user=joe
t.Mail * work mail allow
t.Notify * work vault deny notify=yes
"""


class Daemon:
    def __init__(self):
        self.lines, self.p = [], None

    def start(self):
        r, w = os.pipe()
        self.p = subprocess.Popen([PROG, "-n", str(w)], stderr=subprocess.PIPE, pass_fds=[w])
        os.close(w)
        self.t = threading.Thread(target=self.read, args=(self.p.stderr,), daemon=True)
        self.t.start()
        got = os.read(r, 10)
        os.close(r)
        assert got == b"\n", "not ready: %r %r" % (got, self.lines)

    def read(self, f):
        for line in f:
            self.lines.append(line.decode().rstrip("\n"))

    def stop(self):
        self.p.send_signal(signal.SIGTERM)
        return self.p.wait(LIMIT)

    def said(self, text):
        return [l for l in self.lines if text in l]


D = Daemon()


def connect(path=S):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(LIMIT)
    s.connect(path)
    return s


def all_of(s):
    out = b""
    while True:
        got = s.recv(65536)
        if not got:
            s.close()
            return out
        out += got


def as_uid(u, f, groups=()):
    """f() in a child with this uid; its bytes come back."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        os.closerange(3, w)  # another thread's pipes would stay open here
        os.closerange(w + 1, 1024)
        try:
            os.setgroups(list(groups))
            os.setresgid(u, u, u)
            os.setresuid(u, u, u)
            os.write(w, f())
            code = 0
        except BaseException as e:
            os.write(w, b"EXC " + repr(e).encode())
        finally:
            os._exit(code)
    os.close(w)
    out = b""
    while True:
        got = os.read(r, 65536)
        if not got:
            break
        out += got
    os.close(r)
    os.waitpid(pid, 0)
    return out


def raw(data, path=S, half=True):
    s = connect(path)
    try:
        s.sendall(data)
        if half:
            s.shutdown(socket.SHUT_WR)
    except BrokenPipeError:
        pass
    return all_of(s)


def request(source, target, service, **more):
    return "".join("%s=%s\n" % kv for kv in [("source", source), ("intended_target", target),
                   ("service_and_arg", service)] + list(more.items())).encode() + b"\n"


def ask(source, target, service, who=None, **more):
    data = request(source, target, service, **more)
    return as_uid(uid(who or source), lambda: raw(data))


def kv(data):
    return dict(l.split("=", 1) for l in data.decode().split("\n") if l)


def redeem(ticket, who, use="call"):
    data = ("redeem=%s\nuse=%s\n\n" % (ticket, use)).encode()
    return kv(raw(data) if who == "root" else as_uid(uid(who), lambda: raw(data)))


def ticket(target="vault", service="t.Allow", source="work"):
    a = kv(ask(source, target, service))
    assert a["result"] == "allow", a
    return a["ticket"]


def audit(name):
    return open("/var/log/qubes/audit/%s/current" % name).read()


def eq(a, b):
    assert a == b, "%r, not %r" % (a, b)


def refused(t, who, use="call"):
    eq(redeem(t, who, use)["result"], "refused")


@test
def answers():
    a = ask("work", "vault", "t.Allow+x")
    assert re.fullmatch(b"user=DEFAULT\nresult=allow\ntarget=vault\ntarget_uuid=uuid:[0-9a-f-]{36}\nautostart=True\n"
                        b"requested_target=vault\nticket=[0-9a-f]{32}\ntarget_state=Running\ntarget_domid=[0-9]+\n"
                        b"audit=/etc/qubes/policy.d/30-user.policy:1", a), a
    eq(ask("work", "vault", "t.None"), b"result=deny")
    eq(raw(request("work", "vault", "t.None")), b"result=deny\nreason=no rule matches")
    eq(kv(ask("work", "nosuch", "t.Ask", just_evaluate="yes")), {"result": "deny"})
    d = kv(ask("work", "dom0", "t.Dom0"))
    eq((d["target"], "target_uuid" in d, d["target_state"]), ("dom0", False, "Running"))
    d = kv(ask("work", "late", "t.Late"))
    eq((d["target_state"], "target_domid" in d), ("Halted", False))
    eq(ask("work", "late", "t.Never"), b"result=deny")
    eq(kv(ask("work", "@dispvm", "t.Disp"))["target"], "@dispvm:dvm")
    eq(kv(ask("work", "vault", "t.User"))["user"], "joe")


@test
def just_evaluate_is_bare():
    eq(ask("work", "vault", "t.Allow", just_evaluate="yes"), b"result=allow")
    eq(ask("work", "vault", "t.None", just_evaluate="yes"), b"result=deny")
    eq(ask("work", "vault", "t.Ask", just_evaluate="yes"), b"result=deny")
    eq(ask("work", "vault", "t.Ask", just_evaluate="yes", assume_yes_for_ask="yes"), b"result=allow")
    # Without just_evaluate it opens nothing: nobody is there to be asked.
    eq(ask("work", "vault", "t.Ask", assume_yes_for_ask="yes"), b"result=deny")


@test
def who_may_ask():
    eq(ask("vault", "work", "t.Allow", who="work"), b"")  # forged source
    eq(ask("late", "vault", "t.Allow"), b"")  # does not run
    assert D.said("not the uid of this qube's qrexecd")
    data = request("work", "vault", "t.Allow")
    for u in [BASE + 8 + 2, BASE + 1, BASE + 8 * 77 + 1, 65534]:
        eq(as_uid(u, lambda: raw(data)), b"")
    assert as_uid(65534, lambda: raw(data), [GID]).startswith(b"user=DEFAULT\nresult=allow\n")
    # A qrexecd in group qubes is still only its own qube's.
    eq(as_uid(uid("vault"), lambda: raw(data), [GID]), b"")


@test
def malformed_requests_get_no_bytes():
    good = b"source=work\nintended_target=vault\nservice_and_arg=t.Allow\n"
    before = len(D.said("malformed"))
    for data in [
        b"", b"\n", b"\n\n",
        good + b"domain_id=1\n\n",
        good + b"process_ident=SOCKET1\n\n",
        good + b"source=work\n\n",
        good + b"just_evaluate=True\n\n",
        good + b"just_evaluate=\n\n",
        good + b"assume_yes_for_ask=1\n\n",
        good + b"garbage\n\n",
        good.replace(b"vault", b"v\xc3\xa4ult") + b"\n",
        good.replace(b"vault", b"va\0ult") + b"\n",
        b"source=work\nintended_target=vault\n\n",
        b"source=work\nservice_and_arg=t.Allow\n\n",
        b"intended_target=vault\nservice_and_arg=t.Allow\n\n",
        good.replace(b"t.Allow", b"+x") + b"\n",
        good.replace(b"t.Allow", b"") + b"\n",
        good + b"\n" + good + b"\n",
        good + b"x=" + b"y" * 9000 + b"\n\n",
        b"redeem=x\n\n", b"redeem=x\nuse=both\n\n", b"redeem=x\nuse=call\nsource=work\n\n",
    ]:
        eq(raw(data), b"")
        eq(as_uid(uid("work"), lambda: raw(data)), b"")
    until(lambda: len(D.said("malformed")) > before, "a log line")
    assert raw(good).startswith(b"user=DEFAULT\n")  # end of file ends it too
    assert raw(good + b"\n", half=False).startswith(b"user=DEFAULT\n")


@test
def slow_peers_disturb_nobody():
    slow = [connect() for _ in range(250)]
    for s in slow:
        s.sendall(b"source=wo")
    began = time.monotonic()
    assert ask("work", "vault", "t.Allow").startswith(b"user=")
    more = [connect() for _ in range(20)]
    until(lambda: len(select.select(more, [], [], 0)[0]) >= 14, "refusals")
    for s in slow:
        eq(s.recv(1), b"")
    assert 4 < time.monotonic() - began < 8
    for s in slow + more:
        s.close()
    assert ask("work", "vault", "t.Allow").startswith(b"user=")


@test
def one_qube_cannot_take_all_connections():
    def many():
        socks = [connect() for _ in range(80)]
        time.sleep(0.2)
        closed = sum(1 for s in socks if select.select([s], [], [], 0)[0])
        return str(closed).encode()
    closed = int(as_uid(uid("mail"), many))
    assert 15 <= closed <= 17, closed


@test
def many_qubes_leave_room_for_people():
    pids, (r, w), (r2, w2) = [], os.pipe(), os.pipe()
    for qid in range(9001, 9010):
        pids.append(os.fork())
        if pids[-1] == 0:
            os.setgroups([])
            os.setresuid(*[BASE + 8 * qid + 1] * 3)
            held = [connect() for _ in range(64)]
            os.write(w, b"x")
            os.close(w2)
            os.read(r2, 1)
            os._exit(0)
    for _ in pids:
        os.read(r, 1)
    got = raw(request("work", "vault", "t.Allow"))
    for fd in (r, w, r2, w2):
        os.close(fd)
    for pid in pids:
        os.waitpid(pid, 0)
    assert got.startswith(b"user="), got


@test
def ticket_call():
    t = ticket(service="t.Allow+a")
    for who in ["work", "mail", "root"]:
        refused(t, who)
    a = redeem(t, "vault")
    eq(a.pop("source_qid"), str(QID["work"]))
    eq(a, {"result": "ok", "source": "work", "source_domid": "41", "source_session": session("work"),
           "target": "vault", "service": "t.Allow+a", "user": "DEFAULT", "requested_target": "vault",
           "policy_source": "", "disposable": "no"})
    refused(t, "vault")  # replayed
    refused("0" * 32, "vault")
    refused("Z" * 32, "vault")
    refused(t[:31], "vault")
    t = ticket("dom0", "t.Dom0")
    refused(t, "vault")
    a = redeem(t, "root")
    eq((a["target"], a["service"]), ("dom0", "t.Dom0+"))
    refused(t, "root")


@test
def ticket_start():
    t = ticket("late", "t.Late")
    refused(t, "work", "start")
    refused(t, "late")  # does not run
    a = redeem(t, "root", "start")
    eq((a["result"], a["target"]), ("ok", "late"))
    refused(t, "root", "start")
    vm("late", session("late"), "Transient")
    eq(redeem(t, "late")["result"], "ok")
    # Two calls, one start: the second ticket gets the session too.
    t = ticket("late", "t.Late")
    vm("late", session("late", 1))
    refused(t, "late")  # bound to the session before
    t = ticket("late", "t.Late")
    eq(redeem(t, "late")["result"], "ok")
    os.unlink("/run/qubes/state/late")
    t = ticket("vault", "t.Allow")
    eq(redeem(t, "root", "start")["result"], "ok")  # runs already
    eq(redeem(t, "vault")["result"], "ok")


@test
def tickets_die_with_sessions():
    for name in ["work", "vault"]:
        t = ticket()
        vm(name, session(name, 1))
        refused(t, "vault")
        t = ticket()
        os.unlink("/run/qubes/state/" + name)
        vm(name, session(name))
        refused(t, "vault")
    t = ticket()
    vm("vault", session("vault"), "Paused")  # the same session
    eq(redeem(t, "vault")["result"], "ok")
    vm("vault", session("vault"))


def disp_ticket(source="work"):
    a = kv(ask(source, "@dispvm", "t.Disp"))
    eq((a["result"], a["target"], a["target_state"], "target_domid" in a), ("allow", "@dispvm:dvm", "Halted", False))
    return a["ticket"]


def bind(t, target, who="root"):
    data = ("bind=%s\ntarget=%s\n\n" % (t, target)).encode()
    return kv(raw(data) if who == "root" else as_uid(uid(who), lambda: raw(data)))


def disp(name, base="dvm", runs=True):
    write("/etc/qubes/vm.d/" + name, "type = DispVM\nlabel = red\ntemplate = %s\n" % base)
    if runs:
        vm(name, session(name))


def no_disps():
    for n in ["disp11", "disp12", "disp21"]:
        for d in ["/run/qubes/state/", "/etc/qubes/vm.d/"]:
            if os.path.exists(d + n):
                os.unlink(d + n)


@test
def ticket_of_a_disposable():
    write("/etc/qubes/vm.d/dvm2", "type = AppVM\nlabel = gray\ntemplate_for_dispvms = true\n")
    write(POLICY, RULES + "t.Disp +id work @dispvm:dvm allow\n")
    t = disp_ticket()
    for who in ["work", "vault", "root"]:
        refused(t, who)  # no qube to call yet
    refused(t, "work", "start")
    disp("disp11")
    eq(bind(t, "disp11")["reason"], "its start was not used")
    a = redeem(t, "root", "start")
    eq((a["result"], a["source"], a["target"], a["disposable"]), ("ok", "work", "@dispvm:dvm", "yes"))
    refused(t, "root", "start")
    refused(t, "disp11")  # not before it is bound
    eq(bind(t, "disp11"), {"result": "ok"})
    eq(bind(t, "disp11")["reason"], "it is bound already")
    for who in ["work", "vault", "root"]:
        refused(t, who)
    a = redeem(t, "disp11")
    eq((a["result"], a["source"], a["target"], a["service"], a["disposable"], a["requested_target"]),
       ("ok", "work", "disp11", "t.Disp+", "yes", "@dispvm"))
    refused(t, "disp11")  # replayed
    # the base by its uuid
    uuid = re.search("target_uuid=@dispvm:(uuid:[0-9a-f-]+)", ask("work", "@dispvm", "t.Disp").decode()).group(1)
    a = kv(ask("work", "@dispvm:" + uuid, "t.Disp+id"))
    eq((a["result"], a["target"]), ("allow", "@dispvm:dvm"))
    write(POLICY, RULES)
    no_disps()


@test
def bind_refuses():
    disp("disp11")
    disp("disp12", runs=False)
    disp("disp21", "dvm2")
    t = disp_ticket()
    eq(redeem(t, "root", "start")["result"], "ok")
    for who in ["work", "vault", "disp11"]:
        eq(bind(t, "disp11", who)["reason"], "only startd binds")
    for target, why in [("vault", "its target is no disposable"), ("dvm", "its target is no disposable"),
                        ("dom0", "its target is no disposable"), ("nosuch", "its target is no disposable"),
                        ("@dispvm:dvm", "its target is no disposable"), ("", "its target is no disposable"),
                        ("x/../y", "its target is no disposable"),
                        ("disp21", "not a disposable of the ticket's base"), ("disp12", "no running qube")]:
        eq(bind(t, target)["reason"], why)
    for bad in ["0" * 32, t[:31], t.upper() if t.upper() != t else "g" * 32, ""]:
        eq(bind(bad, "disp11")["reason"], "no such ticket, or not any more")
    for bad in [b"bind=%s\n\n", b"bind=%s\ntarget=disp11\nuse=call\n\n", b"bind=%s\nredeem=x\n\n",
                b"bind=%s\ntarget=disp11\nsource=work\n\n", b"bind=%s\ntarget=disp11\ntarget=disp11\n\n"]:
        eq(raw(bad % t.encode()), b"")
    eq(bind(ticket(), "disp11")["reason"], "not a disposable's ticket")
    late = ticket("late", "t.Late")
    eq(redeem(late, "root", "start")["result"], "ok")
    eq(bind(late, "disp11")["reason"], "not a disposable's ticket")
    eq(bind(t, "disp11"), {"result": "ok"})  # all that changed nothing
    vm("disp11", session("disp11", 1))
    refused(t, "disp11")  # its session is over
    # five seconds from the binding on
    vm("disp11", session("disp11"))
    t, u = disp_ticket(), disp_ticket()
    for x in [t, u]:
        eq(redeem(x, "root", "start")["result"], "ok")
    eq(bind(t, "disp11"), {"result": "ok"})
    time.sleep(5.1)
    refused(t, "disp11")
    eq(bind(t, "disp11")["reason"], "no such ticket, or not any more")
    eq(bind(u, "disp11"), {"result": "ok"})  # a start takes longer
    vm("work", session("work", 1))
    refused(u, "disp11")  # its source's session is over
    vm("work", session("work"))
    no_disps()


@test
def qsb_047_a_disposable_asks_for_a_disposable():
    # its own base's kind, whatever the machine's or the base's default is
    write("/etc/qubes/vm.d/defaults", "default_dispvm = dvm2\n")
    write("/etc/qubes/vm.d/dvm", "type = AppVM\nlabel = gray\ntemplate_for_dispvms = true\ndefault_dispvm = dvm2\n")
    write(POLICY, RULES + "t.Disp * disp11 @dispvm allow\n")
    disp("disp11")
    eq(kv(ask("disp11", "@dispvm", "t.Disp"))["target"], "@dispvm:dvm")
    eq(ask("disp11", "@dispvm:dvm2", "t.Disp"), b"result=deny")
    no_disps()
    os.unlink("/etc/qubes/vm.d/defaults")
    write("/etc/qubes/vm.d/dvm", "type = AppVM\nlabel = gray\ntemplate_for_dispvms = true\n")
    os.unlink("/etc/qubes/vm.d/dvm2")
    write(POLICY, RULES)


@test
def tickets_expire():
    t = ticket()
    time.sleep(5.1)
    refused(t, "vault")


@test
def tickets_are_bounded():
    n = as_uid(uid("work"), lambda: str(sum(b"result=allow" in raw(request("work", "vault", "t.Allow"))
                                            for _ in range(200))).encode())
    eq(int(n), 160)
    until(lambda: D.said("160 tickets"), "a reason")
    time.sleep(5.1)
    ticket()


@test
def eval_simple():
    def simple(svc, rest, u=BASE + 2):
        data = b"policy.EvalSimple+" + svc + b" work name dom0\0" + rest
        return as_uid(u, lambda: raw(data, E))
    eq(simple(b"t.Allow", b"work\0vault"), b"result=allow\n")
    eq(simple(b"t.Allow+x", b"work\0vault"), b"result=allow\n")
    eq(simple(b"t.Ask", b"work\0vault"), b"result=allow\n")
    eq(simple(b"t.None", b"work\0vault"), b"result=deny\n")
    eq(simple(b"t.Allow", b"work\0vault", BASE + 8 + 5), b"result=allow\n")
    for svc, rest in [(b"", b"work\0vault"), (b"+x", b"work\0vault"), (b"t.Allow", b"work"), (b"t.Allow", b"\0vault"),
                      (b"t.Allow", b"work\0"), (b"t.Allow", b"work\0vault\0"), (b"t.Allow", b"wo rk\0vault"),
                      (b"t.Allow", b"w" * 32 + b"\0vault"), (b"t.Allow", b"work\0" + b"v" * 64),
                      (b"t.Allow", b"work\0" + b"v" * 92), (b"t.Allow", b"")]:
        eq(simple(svc, rest), b"")
    eq(simple(b"t.Allow", b"work\0vault", uid("work")), b"")  # a qrexecd asks the other way
    eq(as_uid(BASE + 2, lambda: raw(b"policy.Other+x work\0work\0vault", E)), b"")
    assert raw(b"policy.EvalSimple+t.Allow work\0work\0vault", E) == b"result=allow\n"


@test
def reload_loses_nothing():
    """A stream of requests while the file is replaced: each is answered, and after the rename by the new rules."""
    stop, bad, n = threading.Event(), [], [0]

    def stream():
        while not stop.is_set():
            a = raw(request("work", "vault", "t.Flip", just_evaluate="yes"))
            n[0] += 1
            if a not in (b"result=allow", b"result=deny"):
                bad.append(a)
    threads = [threading.Thread(target=stream) for _ in range(2)]
    for t in threads:
        t.start()
    for i in range(60):
        word = "allow" if i % 2 == 0 else "deny"
        write(POLICY, RULES + "t.Flip * work vault %s\n" % word)
        eq(raw(request("work", "vault", "t.Flip", just_evaluate="yes")), ("result=" + word).encode())
    stop.set()
    for t in threads:
        t.join()
    eq(bad, [])
    assert n[0] > 60, n
    write(POLICY, RULES)


def broken(where, make, mend):
    before = len(D.lines)
    make()
    for _ in range(3):
        eq(ask("work", "vault", "t.Allow"), b"result=deny")
    until(lambda: [l for l in D.lines[before:] if re.search(where, l)], where)
    eq(len([l for l in D.lines[before:] if re.search(where, l)]), 1)
    mend()
    assert ask("work", "vault", "t.Allow").startswith(b"user=")
    until(lambda: [l for l in D.lines[before:] if "good again" in l], "good again")


@test
def broken_file():
    broken(r"30-user.policy:11:\d+: ", lambda: write(POLICY, RULES + "t.X * work vault alow\n"),
           lambda: write(POLICY, RULES))


@test
def unreadable_file():
    broken("30-user.policy:0:0: ", lambda: os.chmod(POLICY, 0o600), lambda: os.chmod(POLICY, 0o644))


@test
def missing_directory():
    d = "/etc/qubes-rpc/policy"
    write(POLICY, RULES + "!compat-4.0\n")
    broken(d, lambda: os.rmdir(d), lambda: os.mkdir(d))
    write(POLICY, RULES)
    d = "/etc/qubes/policy.d"
    broken(d, lambda: os.rename(d, d + ".away"), lambda: os.rename(d + ".away", d))


@test
def run_policy_directory():
    """What the sandbox shows is one inode: another one of that name needs a new start, which is said."""
    d = "/run/qubes/policy.d"
    for change in [os.rmdir, os.mkdir]:
        change(d)
        eq(D.p.wait(LIMIT), 0)
        until(lambda: D.said("starting anew"), "a line")
        D.start()
        eq(ask("work", "vault", "t.Allow", just_evaluate="yes"),
           b"result=deny" if change == os.rmdir else b"result=allow")


@test
def overflow_reloads():
    D.p.send_signal(signal.SIGSTOP)
    n = int(open("/proc/sys/fs/inotify/max_queued_events").read())
    try:
        for i in range(n // 2 + 100):
            os.close(os.open("/etc/qubes/vm.d/.x", os.O_CREAT | os.O_WRONLY))
            os.unlink("/etc/qubes/vm.d/.x")
        write(POLICY, RULES + "t.Over * work vault allow\n")
        vm("vault", session("vault", 7))
    finally:
        D.p.send_signal(signal.SIGCONT)
    eq(ask("work", "vault", "t.Over", just_evaluate="yes"), b"result=allow")
    eq(redeem(ticket(), "vault")["result"], "ok")
    write(POLICY, RULES)
    vm("vault", session("vault"))


@test
def broken_qube_is_left_out():
    before = len(D.lines)
    write("/etc/qubes/vm.d/mail", "type = AppVM\nlabel = red\nlable = x\n")
    eq(ask("work", "mail", "t.Mail"), b"result=deny")
    assert ask("work", "vault", "t.Allow").startswith(b"user=")
    until(lambda: [l for l in D.lines[before:] if "vm.d/mail:3" in l], "FILE:LINE")
    write("/etc/qubes/vm.d/other", "type = AppVM\nlabel = red\n")
    ask("work", "vault", "t.Allow")
    eq(len([l for l in D.lines[before:] if "vm.d/mail:3" in l]), 1)
    write("/etc/qubes/vm.d/mail", "type = AppVM\nlabel = red\ndefault_dispvm = dvm\n")
    os.unlink("/etc/qubes/vm.d/other")
    assert ask("work", "mail", "t.Mail").startswith(b"user=")


@test
def audit_lines():
    raw(request("work", "vault", "t.Allow+a\x1b[2J b"))
    ask("work", "vault", "t.User+arg")
    last = audit("work").splitlines()[-2:]
    assert re.search(r"service=t\.Allow\+a%1B%5B2J%20b$", last[0]), last
    assert re.fullmatch(r"time=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z source=work target=vault decision=allow "
                        r"rule=/etc/qubes/policy\.d/30-user\.policy:8 destination=vault session=[0-9a-f]{32} "
                        r"service=t\.User\+arg", last[1]), last
    raw(request("stranger", "vault", "t.Allow"))
    assert "source=stranger" in audit("-").splitlines()[-1]
    write("/etc/qubes/vm.d/fresh", "type = AppVM\nlabel = red\n")
    raw(request("fresh", "vault", "t.Allow"))
    assert "source=fresh" in audit("fresh")
    os.unlink("/etc/qubes/vm.d/fresh")
    # Removed by hand: nothing is decided off the record, and it heals by itself.
    os.unlink("/var/log/qubes/audit/work/current")
    eq(ask("work", "vault", "t.Allow"), b"result=deny")
    until(lambda: ask("work", "vault", "t.Allow").startswith(b"user="), "a new file")


@test
def full_disk():
    filler = "/var/log/qubes/audit/filler"
    with open(filler, "wb", 0) as f:
        try:
            while True:
                f.write(b"x" * 4096)
        except OSError:
            pass
    refusals = 0
    for i in range(200):
        a = raw(request("work", "vault", "t.Allow+" + "x" * 100, just_evaluate="yes"))
        refusals += a == b"result=deny"
    assert refusals > 100, refusals
    until(lambda: D.said("no audit line can be written"), "a reason")
    eq(ask("work", "vault", "t.Allow"), b"result=deny")
    os.unlink(filler)
    assert ask("work", "vault", "t.Allow").startswith(b"user=")
    assert audit("work").splitlines()[-1].startswith("time=")


@test
def rotation():
    subprocess.check_call(["mount", "-o", "remount,size=64m", "/var/log/qubes/audit"])
    before = audit("mail") if os.path.exists("/var/log/qubes/audit/mail/current") else ""
    arg = "x" * 3900
    for i in range(1900):
        raw(request("work", "vault", "t.None+%d.%s" % (i, arg), just_evaluate="yes"))
    until(lambda: os.path.exists("/var/log/qubes/audit/work/4"), "the fourth")
    files = sorted(os.listdir("/var/log/qubes/audit/work"))
    eq(files, ["1", "2", "3", "4", "current"])
    for f in files:
        size = os.path.getsize("/var/log/qubes/audit/work/" + f)
        assert size < 1024 * 1024 + 300000, (f, size)
    eq(audit("mail"), before)
    text = open("/var/log/qubes/audit/work/1").read() + audit("work")
    seen = [int(x) for x in re.findall(r"t\.None\+(\d+)\.", text)]
    eq(seen, list(range(seen[0], 1900)))  # no line is lost on the way


@test
def no_descriptors_left():
    """A call is refused, not left waiting; it is over when it is over."""
    resource = __import__("resource")
    used = {int(f) for f in os.listdir("/proc/%d/fd" % D.p.pid)}
    holes = [connect() for i in set(range(max(used))) - used]
    until(lambda: len(os.listdir("/proc/%d/fd" % D.p.pid)) == max(used) + 1, "no holes")
    limit = lambda n: as_uid(BASE + 3, lambda: resource.prlimit(D.p.pid, resource.RLIMIT_NOFILE, (n, 4096)) and b"")
    n = max(used) + 1
    try:
        eq(limit(n), b"")
        lines = len(D.lines)
        eq(raw(request("work", "vault", "t.Allow")), b"")
        until(lambda: [l for l in D.lines[lines:] if "refus" in l], "a reason")
        # Files change meanwhile: what cannot be read is not taken for gone.
        limit(n + 2)
        write("/etc/qubes/vm.d/fresh", "type = AppVM\nlabel = red\n")
        vm("work", session("work"), "Paused")
        eq(raw(request("work", "vault", "t.Allow")), b"")
    finally:
        limit(4096)
    assert ask("work", "vault", "t.Allow").startswith(b"user=")
    os.unlink("/etc/qubes/vm.d/fresh")
    vm("work", session("work"))


agents = []


class Agent:
    """qrexec-ask with a command that notes the prompt and waits for our word."""

    def __init__(self, script=None, env=None, user=0, groups=(GID,)):
        argv = [ASK]
        if script is not None:
            with open("/run/front", "w") as f:
                f.write(script)
            os.chmod("/run/front", 0o755)
            argv += ["--ask-command", "/run/front"]
        self.p = subprocess.Popen(argv, stderr=subprocess.PIPE, env=env or os.environ, user=user, group=user,
                                  extra_groups=list(groups))
        agents.append(self)
        until(lambda: os.path.exists("/run/qubes/ask/policy.Notify") or self.p.poll() is not None, "the agent")

    def stop(self):
        agents.remove(self)
        if self.p.poll() is None:
            self.p.terminate()
        err = self.p.communicate(timeout=LIMIT)[1].decode()
        for f in glob.glob("/run/qubes/ask/*"):
            os.unlink(f)
        return err


def later(*a, **k):
    """An ask in a thread: [] until it is answered."""
    out = []
    t = threading.Thread(target=lambda: out.append(ask(*a, **k)))
    t.start()
    return out, t


def prompt():
    try:
        return open("/run/prompt").read()
    except FileNotFoundError:
        return ""


SAY = "#!/bin/sh\ncat >/run/prompt.new; mv /run/prompt.new /run/prompt\necho %s\n"
HOLD = "#!/bin/sh\ncat >/run/prompt.new; mv /run/prompt.new /run/prompt\nread x </run/word\nrm -f /run/prompt\necho $x\n"


@test
def ask_without_agent():
    eq(ask("work", "vault", "t.Ask"), b"result=deny")
    assert "answer=none" in audit("work").splitlines()[-1]


@test
def ask_command():
    json = __import__("json")
    a = Agent(SAY % "allow:mail")
    r = kv(ask("work", "vault", "t.Ask+arg"))
    eq((r["result"], r["target"], r["requested_target"]), ("allow", "mail", "vault"))
    eq(redeem(r["ticket"], "mail")["result"], "ok")
    j = json.load(open("/run/prompt"))
    eq((j["source"], j["service"], j["argument"], j["default_target"]), ("work", "t.Ask", "+arg", "vault"))
    eq(j["targets"], ["@dispvm:dvm", "dvm", "late", "mail", "vault"])
    eq(j["icons"]["@dispvm:dvm"], "appvm-gray")
    line = audit("work").splitlines()[-1]
    assert "decision=allow" in line and "answer=allow" in line and "destination=mail" in line, line
    a.stop()
    for word, answer in [("deny", "deny"), ("allow:dom0", "none|deny"), ("allow:work", "none|deny"), ("allow:", "deny"),
                         ("yes", "deny"), ("", "deny")]:
        a = Agent(SAY % word)
        eq(ask("work", "vault", "t.Ask"), b"result=deny")
        assert re.search("answer=(%s)" % answer, audit("work").splitlines()[-1])
        a.stop()
    a = Agent("#!/bin/sh\nexit 1\n")
    eq(ask("work", "vault", "t.Ask"), b"result=deny")
    a.stop()


@test
def ask_agent_of_a_stranger():
    """Only a person of group qubes answers: the socket of somebody else is not even talked to."""
    def stranger():
        s = socket.socket(socket.AF_UNIX)
        s.bind("/run/qubes/ask/policy.Ask")
        os.chmod("/run/qubes/ask/policy.Ask", 0o777)
        s.listen(5)
        s.settimeout(2)
        try:
            c = s.accept()[0]
            c.settimeout(2)
            got = c.recv(10)
            if got:
                c.sendall(b"allow:vault")
            return got
        except socket.timeout:
            return b""
    os.chmod("/run/qubes/ask", 0o1777)
    out = []
    t = threading.Thread(target=lambda: out.append(as_uid(4321, stranger)))
    t.start()
    until(lambda: os.path.exists("/run/qubes/ask/policy.Ask"), "socket")
    until(lambda: stat.S_IMODE(os.stat("/run/qubes/ask/policy.Ask").st_mode) == 0o777, "mode")
    eq(ask("work", "vault", "t.Ask"), b"result=deny")
    t.join()
    eq(out, [b""])
    os.unlink("/run/qubes/ask/policy.Ask")
    os.chmod("/run/qubes/ask", 0o1771)


@test
def agent_answers_policyd_only():
    a = Agent(SAY % "deny", user=4321)
    msg = b"policy.Ask dom0 name dom0\0{}"
    got = as_uid(4322, lambda: raw(msg, "/run/qubes/ask/policy.Ask"))
    assert got == b"" or b"ConnectionReset" in got, got
    assert "not policyd's" in a.stop()


@test
def ask_queue():
    if os.path.exists("/run/word"):
        os.unlink("/run/word")
    os.mkfifo("/run/word")
    if os.path.exists("/run/prompt"):
        os.unlink("/run/prompt")
    a = Agent(HOLD)
    first = later("work", "vault", "t.Ask")
    until(lambda: os.path.exists("/run/prompt"), "a prompt")
    fds = lambda: len(os.listdir("/proc/%d/fd" % D.p.pid))
    before = fds()
    others = [later("work", "vault", "t.Ask+%d" % i) for i in range(4)]
    other = later("vault", "mail", "t.Ask")
    until(lambda: fds() == before + 6, "five connections, and one to the agent")
    # Others are answered all the time; the sixth of one source is refused at once.
    eq(ask("work", "vault", "t.Ask+5"), b"result=deny")
    assert ask("work", "vault", "t.Allow").startswith(b"user=")
    until(lambda: D.said("4 prompts of this qube wait"), "a reason")
    seen = {""}
    for i in range(6):
        seen.add(until(lambda: (prompt() or "") not in seen and prompt(), "prompt %d" % i))
        with open("/run/word", "w") as f:
            f.write("allow:mail\n")
    for o, t in [first, other] + others:
        t.join(LIMIT)
        eq(kv(o[0])["target"], "mail")
    a.stop()


@test
def ask_withdrawn():
    a = Agent(HOLD)
    o, t = later("work", "vault", "t.Ask")
    until(lambda: os.path.exists("/run/prompt"), "a prompt")
    queued, tq = later("work", "mail", "t.Ask")
    time.sleep(0.2)
    vm("work", session("work", 2))
    t.join(LIMIT)
    tq.join(LIMIT)
    eq((o, queued), ([b"result=deny"], [b"result=deny"]))
    assert "withdrawn" in audit("work").splitlines()[-1]
    vm("work", session("work"))
    until(lambda: subprocess.call(["pgrep", "-f", "^/bin/sh /run/front"], stdout=subprocess.DEVNULL) != 0, "no prompt")
    os.unlink("/run/prompt")
    # The target's session ends.
    o, t = later("work", "vault", "t.Ask")
    until(lambda: os.path.exists("/run/prompt"), "a prompt")
    os.unlink("/run/qubes/state/vault")
    t.join(LIMIT)
    eq(o, [b"result=deny"])
    vm("vault", session("vault"))
    os.unlink("/run/prompt")
    # The requester hangs up.
    s = connect()
    s.sendall(request("work", "vault", "t.Ask"))
    until(lambda: os.path.exists("/run/prompt"), "a prompt")
    s.close()
    until(lambda: "hung%20up" in audit("work").splitlines()[-1], "audit")
    os.unlink("/run/prompt")
    # The rule is gone while the user thinks.
    o, t = later("work", "vault", "t.Ask")
    until(lambda: os.path.exists("/run/prompt"), "a prompt")
    write(POLICY, RULES.replace("t.Ask * work", "t.Other * work"))
    with open("/run/word", "w") as f:
        f.write("allow:mail\n")
    t.join(LIMIT)
    eq(o, [b"result=deny"])
    write(POLICY, RULES)
    a.stop()


@test
def notify():
    a = Agent(SAY % "deny")
    ask("work", "vault", "t.Notify")
    time.sleep(0.2)
    assert "work: t.Notify to vault: deny" in a.stop()


@test
def ask_nobody_there():
    env = {k: v for k, v in os.environ.items() if k != "DISPLAY"}
    r = subprocess.run([ASK], env=env, stderr=subprocess.PIPE, timeout=LIMIT)
    eq(r.returncode, 111)
    assert b"nobody can be asked" in r.stderr
    eq(subprocess.run([ASK, "--ask-command", "x"], stderr=subprocess.DEVNULL).returncode, 100)
    eq(subprocess.run([ASK, "--help"], stdout=subprocess.DEVNULL).returncode, 0)


@test
def ask_window():
    if not (shutil.which("Xvfb") and shutil.which("xdotool")):
        return "skip Xvfb or xdotool is missing"
    r, w = os.pipe()
    os.makedirs("/tmp/.X11-unix", exist_ok=True)
    x = subprocess.Popen(["Xvfb", "-displayfd", str(w), "-screen", "0", "800x600x24", "-nolisten", "tcp"], pass_fds=[w],
                         stderr=subprocess.DEVNULL)
    os.close(w)
    env = dict(os.environ, DISPLAY=":" + os.read(r, 10).decode().strip())

    def do(*argv):
        try:
            p = subprocess.run(["xdotool"] + list(argv), env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               timeout=3)
        except subprocess.TimeoutExpired:
            return ""
        return p.stdout.decode().strip()

    def window():
        return until(lambda: do("search", "--onlyvisible", "--name", "A qube asks"), "a window")

    def gone():
        until(lambda: not do("search", "--onlyvisible", "--name", "A qube asks"), "no window")
    a = Agent(None, env)
    try:
        do("mousemove", "790", "590")
        o, t = later("work", "vault", "t.Ask")
        win = window()
        do("windowfocus", "--sync", win)
        do("key", "Return")  # at once: does nothing
        time.sleep(0.3)
        eq(o, [])
        time.sleep(1)
        do("key", "Return")
        t.join(LIMIT)
        eq(kv(o[0])["target"], "vault")  # the default
        gone()
        o, t = later("work", "vault", "t.Ask")
        do("windowfocus", "--sync", window())
        time.sleep(1.2)
        do("key", "Up")
        do("key", "Return")
        t.join(LIMIT)
        eq(kv(o[0])["target"], "mail")
        gone()
        # What another program sends (XSendEvent: the window has no focus) does not count, not even Escape.
        o, t = later("work", "vault", "t.Ask")
        win = window()
        do("key", "--window", win, "Escape")
        time.sleep(0.2)
        eq(o, [])
        # The second before a new prompt's OK begins anew.
        do("windowfocus", "--sync", win)
        do("key", "Return")
        time.sleep(0.2)
        eq(o, [])
        do("key", "Escape")
        t.join(LIMIT)
        eq(o, [b"result=deny"])
        gone()
        # No default target: OK has nothing to allow until one is chosen.
        o, t = later("vault", "work", "t.Ask")
        do("windowfocus", "--sync", window())
        time.sleep(1.2)
        do("key", "Return")
        time.sleep(0.2)
        eq(o, [])
        do("key", "Tab")
        do("key", "Tab")
        do("key", "Return")  # Cancel
        t.join(LIMIT)
        eq(o, [b"result=deny"])
        gone()
        # Withdrawn: the window goes.
        o, t = later("work", "vault", "t.Ask")
        window()
        vm("work", session("work", 3))
        t.join(LIMIT)
        gone()
        vm("work", session("work"))
    finally:
        a.stop()
        x.terminate()
        x.wait()


@test
def hang_up_reloads():
    before = len(D.lines)
    D.p.send_signal(signal.SIGHUP)
    assert ask("work", "vault", "t.Allow").startswith(b"user=")


@test
def sandboxed():
    st = open("/proc/%d/status" % D.p.pid).read()
    for want in ["Uid:\t1900000003\t1900000003\t1900000003\t1900000003", "CapEff:\t0000000000000000",
                 "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"]:
        assert want in st, want
    root = "/proc/%d/root" % D.p.pid
    eq(sorted(os.listdir(root)), ["etc", "run", "var"])
    eq(sorted(os.listdir(root + "/run/qubes")), ["ask", "policy.d", "state"])


@test
def usage():
    for argv, code in [(["--help"], 0), (["-x"], 100), (["x"], 100), (["-n", "x"], 100)]:
        eq(subprocess.run([PROG] + argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode, code)


@test
def sigterm_and_start_with_broken_policy():
    eq(D.stop(), 0)
    write(POLICY, "t.X work\n")
    D.start()
    eq(ask("work", "vault", "t.Allow"), b"result=deny")
    until(lambda: D.said("30-user.policy:1:"), "FILE:LINE")
    write(POLICY, RULES)
    assert ask("work", "vault", "t.Allow").startswith(b"user=")
    eq(D.stop(), 0)


house()
write(POLICY, RULES)
for n in ["work", "vault", "mail"]:
    vm(n, session(n))
D.start()
only = sys.argv[1:] or os.environ.get("ONLY", "").split()
tests = [t for t in tests if not only or t.__name__ in only]
print("1..%d" % len(tests))
failed = 0
for i, t in enumerate(tests, 1):
    try:
        skip = t() or ""
        print("ok %d - %s%s" % (i, t.__name__, " # " + skip if skip else ""), flush=True)
    except BaseException as e:
        failed += 1
        print("not ok %d - %s" % (i, t.__name__))
        tb = e.__traceback__
        while tb.tb_next and tb.tb_frame.f_code.co_name != t.__name__:
            tb = tb.tb_next
        print("# line %d: %r" % (tb.tb_lineno, e))
        for l in D.lines[-6:]:
            print("#   " + l)
        sys.stdout.flush()
        for a in list(agents):
            a.stop()
        if D.p.poll() is not None:
            print("# policyd ended: %r" % D.p.returncode)
            D.start()
if D.p.poll() is None:
    D.stop()
sys.stdout.flush()
os._exit(failed > 0)
