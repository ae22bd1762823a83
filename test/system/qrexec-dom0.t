#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
# qrexec-dom0 against a policyd, a qrexecd and a qube spoken byte by byte, in a mount namespace of its own:
# who may ask, tickets, limits, users, the sandbox of the relaying child (spec/qrexec 5c, 7; peer.h).
import os, signal, socket, struct, subprocess, sys, threading, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from wire import *

local_only("against a data channel of sockets")

BIN = os.path.abspath(os.path.join(os.environ.get("O", "build/local"), "bin/qrexec-dom0"))
UID_BASE, GID_DAEMONS = 1900000000, 1900000000
SVC_UID = UID_BASE + 2
RUN = "/run/qubes"
TICKET, SESSION = "a" * 32, "5" * 32

alone(__file__, "--mount")


def set_up():
    mount("-t", "tmpfs", "t", "/mnt")
    os.mkdir("/mnt/up"), os.mkdir("/mnt/work")
    mount("-t", "overlay", "-o", "lowerdir=/etc,upperdir=/mnt/up,workdir=/mnt/work", "t", "/etc")
    mount("-t", "tmpfs", "-o", "mode=755", "t", "/run")
    for d in ("q/dom0", "state", "s", "chan", "svc", "conf"):
        os.makedirs(RUN + "/" + d)
    os.chown(RUN + "/q/dom0", 0, GID_DAEMONS)
    os.chmod(RUN + "/q/dom0", 0o711)
    os.chmod(RUN + "/chan", 0o777)
    for name, qid in (("work", 7), ("other", 8)):
        with open(RUN + "/state/" + name, "w") as f:
            f.write("name=%s\nsession=%s\ndomid=%d\nqid=%d\nstate=Running\n" % (name, SESSION, qid, qid))


def service(name, text, conf=None):
    path = RUN + "/svc/" + name
    with open(path, "w") as f:
        f.write("#!/bin/sh\n" + text)
    os.chmod(path, 0o755)
    if conf:
        with open(RUN + "/conf/" + name, "w") as f:
            f.write(conf)


class House:
    def __init__(self):
        self.open = []
        self.policy = listen(RUN + "/s/policy.sock")
        self.log = open("/mnt/log", "w+b")
        env = dict(os.environ, VCHAN_SOCKET_DIR=RUN + "/chan", QREXEC_SERVICE_PATH=RUN + "/svc",
                   QUBES_RPC_CONFIG_PATH=RUN + "/conf")
        r, w = os.pipe()
        self.proc = subprocess.Popen([BIN, "-n", str(w)], env=env, stderr=self.log, pass_fds=[w])
        os.close(w)
        eq(os.read(r, 10), b"\n", "readiness")
        os.close(r)

    def peer(self, uid=UID_BASE + 8 * 7 + 1, groups=(GID_DAEMONS,)):
        """A connection to q/dom0/peer made by a process of that uid."""
        a, b = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            os.setgroups(groups), os.setgid(uid), os.setuid(uid)
            s = socket.socket(socket.AF_UNIX)
            try:
                s.connect(RUN + "/q/dom0/peer")
                socket.send_fds(a, [b"y"], [s.fileno()])
            except OSError:
                a.send(b"n")
            os._exit(0)
        os.waitpid(pid, 0)
        ok, fds, _, _ = socket.recv_fds(b, 1, 1)
        a.close(), b.close()
        if ok != b"y":
            raise PermissionError("connect")
        s = socket.socket(fileno=fds[0])
        s.settimeout(LIMIT)
        self.open.append(s)
        return s

    def redeemed(self, answer):
        c, _ = self.policy.accept()
        c.settimeout(LIMIT)
        got = b""
        while not got.endswith(b"\n\n"):
            got += c.recv(200)
        eq(got, b"redeem=%s\nuse=call\n\n" % TICKET.encode())
        c.sendall(answer)
        c.close()

    def text(self):
        self.log.seek(0)
        return self.log.read().decode()

    def wait_log(self, what):
        until = time.monotonic() + LIMIT
        while what not in self.text():
            if time.monotonic() > until:
                raise AssertionError("not in the log: %r: %r" % (what, self.text()))
            time.sleep(0.01)

    def close(self):
        for x in self.open:
            x.close()
        self.proc.send_signal(signal.SIGTERM)
        eq(self.proc.wait(LIMIT), 0, "SIGTERM")
        self.policy.close()
        self.log.close()
        for d in ("svc", "conf", "chan"):
            for f in os.listdir(RUN + "/" + d):
                os.unlink(RUN + "/" + d + "/" + f)


REQUEST = ("ticket=%s\nport=600\n\n" % TICKET).encode()


def ticket(service, source="work", session=SESSION, target="dom0", asked="@adminvm", more=""):
    return ("result=ok\nsource=%s\nsource_domid=7\nsource_session=%s\ntarget=%s\nservice=%s\nuser=DEFAULT\n"
            "requested_target=%s\npolicy_source=\ndisposable=no\n%s\n" %
            (source, session, target, service, asked, more)).encode()


def answer(s):
    got = b""
    while not got.endswith(b"\n\n"):
        more = s.recv(200)
        if not more:
            break
        got += more
    return dict(l.split("=", 1) for l in got.decode().split("\n") if l)


def start(h, service, port=600, **kw):
    server = listen(RUN + "/chan/vchan.7.0.%d.sock" % port)
    h.open.append(server)
    s = h.peer()
    s.sendall(("ticket=%s\nport=%d\n\n" % (TICKET, port)).encode())
    h.redeemed(ticket(service, **kw))
    eq(answer(s), {"result": "ok", "domid": "0", "port": str(port)})
    v = Link(server.accept()[0])
    h.open.append(v.s)
    v.put(HELLO, struct.pack("<L", 4))
    eq(v.get(), (HELLO, struct.pack("<L", 4)))
    eq(v.get(), (STDERR, b""), "first of all")
    return s, v


def result(v):
    out = b""
    while True:
        kind, body = v.get()
        if kind == CODE:
            return out, struct.unpack("<l", body)[0]
        eq(kind, STDOUT)
        out += body


@test
def call(h):
    service("t.Svc", 'read x; echo "$x|$1|$QREXEC_REMOTE_DOMAIN|$QREXEC_REQUESTED_TARGET_TYPE|'
            '$QREXEC_REQUESTED_TARGET_KEYWORD|$(id -u)"; exit 3\n')
    s, v = start(h, "t.Svc+arg")
    v.put(STDIN, b"hi\n")
    eq(result(v), (b"hi|arg|work|keyword|adminvm|%d\n" % SVC_UID, 3))
    eq(s.recv(1), b"\n", "Dom0's end of the channel stands")
    eq(s.recv(1), b"", "the peer's connection ends with the call")


@test
def by_name_and_policy_source(h):
    service("t.Svc", 'echo "$QREXEC_REMOTE_DOMAIN|$QREXEC_REQUESTED_TARGET_TYPE|$QREXEC_REQUESTED_TARGET"\n')
    server = listen(RUN + "/chan/vchan.7.0.600.sock")
    h.open.append(server)
    s = h.peer()
    s.sendall(REQUEST)
    h.redeemed(ticket("t.Svc", asked="dom0").replace(b"policy_source=\n", b"policy_source=remote\n"))
    eq(answer(s)["result"], "ok")
    v = Link(server.accept()[0])
    h.open.append(v.s)
    v.put(HELLO, struct.pack("<L", 4))
    v.get(), v.get()
    eq(result(v), (b"remote|name|dom0\n", 0))


@test
def never_root_by_default(h):
    service("t.Svc", "id -u; id -G; grep -E '^(CapEff|CapPrm)' /proc/self/status\n")
    _, v = start(h, "t.Svc")
    out, code = result(v)
    assert b"\n0" not in b"\n" + out and out.count(b"0000000000000000") == 2, out


@test
def force_user(h):
    service("t.Root", "id -u\n", conf="force-user = 'root'\n")
    service("t.Nobody", "id -un\n", conf="force-user = 'nobody'\n")
    service("t.None", "id -u\n", conf="force-user = 'no-such-user'\n")
    for name, want in (("t.Root", (b"0\n", 0)), ("t.Nobody", (b"nobody\n", 0)), ("t.None", (b"", 125))):
        eq(result(start(h, name)[1]), want, name)


@test
def own_session_and_limits(h):
    service("t.Svc", "cut -d' ' -f1,6 /proc/$$/stat | sed 's/(.*) //'; ulimit -n; ulimit -c\n")
    out, _ = result(start(h, "t.Svc")[1])
    pid, sid, nofile, core = out.split()
    eq(pid, sid, "session")
    eq((nofile, core), (b"1024", b"0"))


@test
def missing_and_broken_services(h):
    service("t.Bad", "echo no\n", conf='x = "y"\n')
    eq(result(start(h, "t.None")[1]), (b"", 127))
    eq(result(start(h, "t.Bad")[1]), (b"", 125))
    h.wait_log("service t.None")


@test
def sandbox_of_the_relay(h):
    service("t.Svc", "cat\n")
    s, v = start(h, "t.Svc")
    kids = subprocess.run(["pgrep", "-P", str(h.proc.pid)], stdout=subprocess.PIPE).stdout.split()
    eq(len(kids), 1)
    status = dict(l.rstrip("\n").split(":\t", 1) for l in open("/proc/%s/status" % kids[0].decode()))
    uid = str(UID_BASE + 8 * 7 + 5)
    eq(status["Uid"].split(), [uid] * 4)
    eq(status["Gid"].split(), [uid] * 4)
    eq(status["Groups"].split(), [])
    eq(set(status[k] for k in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb")), {"0" * 16})
    eq((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))
    v.put(STDIN, b"still works")
    eq(v.get(), (STDOUT, b"still works"))
    v.put(STDIN)
    eq(result(v), (b"", 0))


@test
def much_data_both_ways(h):
    service("t.Svc", "cat\n")
    _, v = start(h, "t.Svc")
    block = os.urandom(65536)

    def feed():
        for _ in range(64):
            v.put(STDIN, block)
        v.put(STDIN)
    t = threading.Thread(target=feed)
    t.start()
    out, code = result(v)
    t.join()
    eq((len(out), code), (64 * 65536, 0))
    assert out == block * 64


SPLICE = '''exec python3 -c '
import os
while os.sendfile(2, 0, None, 1 << 20) > 0:
    os.write(1, b".")
'
'''


@test
def a_service_that_splices_to_its_stderr(h):
    service("t.Svc", SPLICE)
    _, v = start(h, "t.Svc")
    for i in range(100):  # meanwhile it holds the pipe: who would read that now waits in the kernel
        v.put(STDIN, b"line %d\n" % i)
        eq(v.get(), (STDOUT, b"."))
    v.put(STDIN)
    eq(result(v), (b"", 0))
    for i in range(100):
        assert "t.Svc says: line %d\n" % i in h.text(), "in the log before the call's end: " + h.text()


def pumps(h):
    relay, = subprocess.run(["pgrep", "-P", str(h.proc.pid)], stdout=subprocess.PIPE).stdout.split()
    children = subprocess.run(["pgrep", "-P", relay], stdout=subprocess.PIPE).stdout.split()
    return relay, [p for p in children if ("Uid:\t%d\t" % (UID_BASE + 8 * 7 + 5)) in open("/proc/%s/status" % p.decode()).read()]


def gone(pid):
    until = time.monotonic() + LIMIT
    while os.path.exists("/proc/" + pid.decode()) and open("/proc/%s/stat" % pid.decode()).read().split()[2] != "Z":
        assert time.monotonic() < until, "it stays"
        time.sleep(0.01)


@test
def stderr_of_a_service(h):
    service("t.Svc", "echo $$; echo opened >/dev/stderr; read x; echo done; exit 3\n")
    s, v = start(h, "t.Svc")
    v.get()
    h.wait_log("t.Svc says: opened")
    relay, (pump,) = pumps(h)
    os.kill(int(pump), signal.SIGKILL)
    gone(pump)
    v.put(STDIN, b"x\n")
    eq(result(v), (b"done\n", 3), "without its log the call goes on")
    v.s.close()
    gone(relay)
    s, v = start(h, "t.Svc", port=601)
    svc = v.get()[1].strip()
    relay, (pump,) = pumps(h)
    os.kill(int(relay), signal.SIGKILL)
    gone(pump), gone(svc)


@test
def a_descendant_that_keeps_stderr_keeps_no_call(h):
    service("t.Svc", "(exec sleep 1000 >/dev/null </dev/null) & echo last >&2; echo $!\n")
    _, v = start(h, "t.Svc")
    out, code = result(v)
    eq(code, 0)
    assert "t.Svc says: last" in h.text()
    os.kill(int(out), signal.SIGKILL)


@test
def killed_service(h):
    service("t.Svc", "kill -TERM $$\n")
    eq(result(start(h, "t.Svc")[1]), (b"", 143))


@test
def socket_service(h):
    srv = listen(RUN + "/svc/t.Sock")
    h.open.append(srv)
    _, v = start(h, "t.Sock+a")
    c, _ = srv.accept()
    want = b"t.Sock+a work keyword adminvm\0"
    eq(recvall(c, len(want)), want)
    v.put(STDIN, b"ask")
    eq(recvall(c, 3), b"ask")
    c.sendall(b"answer")
    c.close()
    eq(result(v), (b"answer", 0))


@test
def malformed_data_ends_one_call(h):
    service("t.Svc", "cat\n")
    _, v = start(h, "t.Svc", port=600)
    _, w = start(h, "t.Svc", port=601)
    v.s.sendall(struct.pack("<LL", 0x199, 4) + b"evil")
    eq(v.s.recv(1), b"")
    w.put(STDIN, b"x")
    eq(w.get(), (STDOUT, b"x"))
    h.wait_log("data channel")


@test
def strangers(h):
    for uid, groups in ((UID_BASE + 8 * 7 + 4, (GID_DAEMONS,)), (0, (GID_DAEMONS,)), (UID_BASE + 1, (GID_DAEMONS,)),
                        (65534, (GID_DAEMONS,))):
        s = h.peer(uid, groups)
        try:
            eq(s.recv(1), b"", uid)
        except ConnectionResetError:
            pass
    try:
        h.peer(65534, ())
        raise AssertionError("anybody may connect")
    except PermissionError:
        pass
    h.wait_log("no qrexecd")


def refused(h, reason, reply=None, request=REQUEST):
    s = h.peer()
    s.sendall(request)
    if reply is not None:
        h.redeemed(reply)
    got = answer(s)
    eq(got, {"result": "refused", "reason": reason})


@test
def ticket_that_policyd_refuses(h):
    refused(h, "ticket", b"result=refused\nreason=no such ticket\n\n")


@test
def ticket_of_another_qube(h):
    refused(h, "ticket of another qube", ticket("t.Svc", source="other"))
    refused(h, "ticket of another qube", ticket("t.Svc", source="gone"))
    refused(h, "ticket of another qube", ticket("t.Svc", source="../state/work"))


@test
def ticket_of_another_session(h):
    refused(h, "ticket of another session", ticket("t.Svc", session="6" * 32))
    refused(h, "ticket of another session", ticket("t.Svc", session="6"))


@test
def ticket_for_another_target(h):
    refused(h, "ticket for another target", ticket("t.Svc", target="other"))


@test
def policyd_answers_nonsense(h):
    refused(h, "policyd did not answer", b"nonsense\n")
    refused(h, "policyd did not answer", b"")
    refused(h, "incomplete ticket", ticket("t.Svc").replace(b"service=", b"serv="))


@test
def policyd_is_not_there(h):
    h.policy.close()
    os.unlink(RUN + "/s/policy.sock")
    refused(h, "policyd did not answer")
    h.policy = listen(RUN + "/s/policy.sock")


@test
def bad_requests(h):
    for request in (b"\n", b"ticket=%s\n\n" % (b"a" * 31), b"ticket=%s\n\n" % (b"A" * 32),
                    b"ticket=%s\nport=600\nport=601\n\n" % (b"a" * 32), b"ticket=%s\nport=600\nx=y\n\n" % (b"a" * 32),
                    b"ticket=%s\nport=512\n\n" % (b"a" * 32), b"ticket=%s\nport=769\n\n" % (b"a" * 32),
                    b"ticket=%s\nport=-1\n\n" % (b"a" * 32), b"ticket=%s\n\n" % (b"a" * 32), b"port=600\n\n",
                    b"ticket=%s\nport=600\0\n\n" % (b"a" * 32), b"\xff" * 16 + b"\n\n", b"x" * 256):
        s = h.peer()
        s.sendall(request)
        eq(answer(s)["result"], "refused", request)


@test
def request_that_never_ends(h):
    began = time.monotonic()
    s = h.peer()
    s.sendall(b"ticket=")
    eq(answer(s)["reason"], "no request in time")
    assert 4 < time.monotonic() - began < 8


@test
def caller_that_hangs_up(h):
    s = h.peer()
    s.close()
    h.wait_log("no request")


@test
def channel_that_never_comes(h):
    service("t.Svc", "cat >/dev/null; echo ended >>%s\n" % (RUN + "/chan/ended"))
    began = time.monotonic()
    s = h.peer()
    s.sendall(REQUEST)
    h.redeemed(ticket("t.Svc"))
    eq(answer(s)["result"], "ok")
    eq(s.recv(1), b"")
    assert 4 < time.monotonic() - began < 8
    h.wait_log("service t.Svc: ")
    until = time.monotonic() + LIMIT
    while not os.path.exists(RUN + "/chan/ended"):
        assert time.monotonic() < until, "the service goes on"
        time.sleep(0.01)


@test
def limit_of_32_for_a_qube(h):
    mine = [h.peer() for _ in range(32)]
    more = [h.peer() for _ in range(8)]
    for s in more:
        eq(answer(s), {"result": "refused", "reason": "limit"})
    other = h.peer(UID_BASE + 8 * 8 + 1)  # another qube is not touched
    other.sendall(b"\n")
    eq(answer(other)["reason"], "bad request")
    eq(h.text().count("limit"), 1, "one line for a flood")
    for s in mine:
        s.close()
    h.wait_log("(7 more)")
    s = h.peer()
    s.sendall(b"\n")
    eq(answer(s)["reason"], "bad request", "recovered")


@test
def parent_killed_calls_go_on(h):
    service("t.Svc", "cat\n")
    _, v = start(h, "t.Svc")
    h.proc.kill()
    h.proc.wait()
    v.put(STDIN, b"x")
    eq(v.get(), (STDOUT, b"x"))
    v.put(STDIN)
    eq(result(v), (b"", 0))
    w_log, w_policy = h.log, h.policy
    for x in h.open:
        x.close()
    h.__init__()
    w_log.close(), w_policy.close()


set_up()
eq(subprocess.run([BIN, "--help"], stdout=subprocess.DEVNULL).returncode, 0)
eq(subprocess.run([BIN, "-x"], stderr=subprocess.DEVNULL).returncode, 100)
eq(subprocess.run([BIN, "x"], stderr=subprocess.DEVNULL).returncode, 100)
run(House, lambda h: print("".join("# log: %s\n" % l for l in h.text().splitlines()), end="", flush=True))
