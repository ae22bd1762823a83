#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
# qrexecd as startd runs it: who may come to its sockets, what a ticket is worth, what its end costs. In a house.
import fcntl, grp, os, signal, socket, struct, subprocess, sys, termios, time

sys.path[0] += "/.."
from tap import *

in_house()

Q = RUN + "/q/"


def daemon_pid(name):
    s = socket.socket(socket.AF_UNIX)
    s.connect(Q + name + "/qrexec")
    return struct.unpack("iII", s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]


def talk(path, data, uid=None, groups=(UID_BASE,), enough=4096):
    """What a process of that uid hears when it says data there; one line: the bytes, or the errno."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        out = b""
        try:
            # people get no further than /run/qubes: who has taken over a daemon is already inside
            os.chdir(os.path.dirname(path))
            if uid is not None:
                os.setgroups(groups)
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(5 * SLOW)
            s.connect(os.path.basename(path))
            if data:
                s.sendall(data)
            while True:
                got = s.recv(4096)
                if not got:
                    break
                out += got
                if out.endswith(b"\n\n") or len(out) >= enough:
                    break
        except socket.timeout:
            out += b"[silent]"
        except OSError as e:
            out += b"[errno %d]" % e.errno
        os.write(w, out)
        os._exit(0)
    os.close(w)
    os.waitpid(pid, 0)
    out = os.read(r, 65536)
    os.close(r)
    return out


def shut(heard):
    return heard in (b"", b"[errno 32]", b"[errno 104]")


def qvm(*argv, data=b""):
    return subprocess.run(["qvm-run", "-p", *argv], input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60 * SLOW)


def decide(source, target, service, uid=None):
    text = "source=%s\nintended_target=%s\nservice_and_arg=%s\n\n" % (source, target, service)
    return kv(talk(RUN + "/s/policy.sock", text.encode(), uid).decode())


def present(ticket, at, uid):
    return talk(Q + at + "/peer", b"ticket=%s\n\n" % ticket.encode(), uid)


policy("t.Echo * work vault allow\nt.Echo * third vault allow\n")
r = qubes("work", "vault", "third")
ok(r.returncode == 0, "three qubes run", r)
qvm("-u", "root", "vault", "mkdir -p /usr/local/etc/qubes-rpc; printf '#!/bin/sh\\nexec cat\\n' >/usr/local/etc/qubes-rpc/t.Echo;"
    "chmod +x /usr/local/etc/qubes-rpc/t.Echo")
echo = "qrexec-client-vm vault t.Echo"
r = qvm("work", echo, data=b"hello")
ok(r.stdout == b"hello" and r.returncode == 0, "a call through two qrexecds", r)

W, V, X = uid_of("work"), uid_of("vault"), uid_of("third")

# The two sockets.
ok(talk(Q + "vault/qrexec", b"", 65534) == b"", "qrexec: a stranger is closed")
ok(talk(Q + "vault/qrexec", b"", W) == b"", "qrexec: another qube's qrexecd is closed")
ok(talk(Q + "vault/qrexec", b"", V) == b"", "qrexec: its own uid is closed")
ok(talk(Q + "vault/qrexec", b"", None, enough=12)[:8] == b"\x00\x03\x00\x00\x04\x00\x00\x00", "qrexec: root gets HELLO")
gid = grp.getgrnam("qubes").gr_gid
ok(talk(Q + "vault/qrexec", b"", 65534, (gid,), 12)[8:12] == b"\3\0\0\0", "qrexec: a member of qubes gets HELLO")
ok(shut(talk(Q + "vault/peer", b"ticket=" + b"0" * 32 + b"\n\n", 65534)), "peer: a stranger is closed")
ok(shut(talk(Q + "vault/peer", b"ticket=" + b"0" * 32 + b"\n\n", None)), "peer: root is no qrexecd")
ok(shut(talk(Q + "vault/peer", b"ticket=" + b"0" * 32 + b"\n\n", uid_of("work", 4))),
   "peer: another program of a qube is no qrexecd")

# Tickets, as a qrexecd that was taken over would use them.
ok(b"result=refused" in present("0" * 32, "vault", W), "a ticket made up is refused")
for bad, what in ((b"ticket=x\n\n", "no hex"), (b"junk\n\n", "no ="), (b"port=1\n\n", "no ticket"),
                  (b"a=" + b"x" * 300, "too long"), (b"\xff\n\n", "not ASCII")):
    ok(b"result=refused" in talk(Q + "vault/peer", bad, W), "a malformed request is refused: " + what)
t = decide("work", "vault", "t.Echo", W)
ok(t.get("result") == "allow" and "ticket" in t, "work's qrexecd gets a ticket", t)
ok(b"belongs to another qube" in present(t["ticket"], "vault", X), "another qube's qrexecd cannot use it")
ok(b"result=refused" in present(t["ticket"], "vault", W), "and it is gone then")
t = decide("work", "vault", "t.Echo", W)
ok(b"result=refused" in present(t["ticket"], "third", W), "a ticket for vault is worth nothing at other's")
t = decide("work", "vault", "t.Echo", W)
first = present(t["ticket"], "vault", W)
ok(b"result=ok" in first and b"domid=" + state("vault")["domid"].encode() in first, "it is worth one call", first)
ok(b"result=refused" in present(t["ticket"], "vault", W), "replayed it is refused")
ok(decide("third", "vault", "t.Echo", W) == {}, "nobody asks policy in another's name")
t = decide("work", "vault", "t.Echo", W)
time.sleep(5.2)
ok(b"result=refused" in present(t["ticket"], "vault", W), "after five seconds it has expired")

# Silence and floods at the peer socket cost others nothing.
held = []
for _ in range(40):
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.chdir(Q + "vault")
        os.setgroups((UID_BASE,))
        os.setresuid(X, X, X)
        s = socket.socket(socket.AF_UNIX)
        s.connect("peer")
        os.write(w, b"x")
        signal.pause()
        os._exit(0)
    os.read(r, 1)
    held.append(pid)
r = qvm("work", echo, data=b"still")
ok(r.stdout == b"still", "one qube's silent connections do not stop another's call", r)
for pid in held:
    os.kill(pid, 9)
    os.waitpid(pid, 0)

# Its end.
pid, other = daemon_pid("work"), daemon_pid("vault")
run = subprocess.Popen(["qvm-run", "-p", "work", echo], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
run.stdin.write(b"one\n")
run.stdin.flush()
ok(run.stdout.readline() == b"one\n", "a call runs")
start = time.monotonic()
os.kill(pid, 9)


def back():
    try:
        return daemon_pid("work") != pid
    except OSError:
        return False


ok(until(back, 3 * SLOW, 0.005), "killed it comes back")
took = time.monotonic() - start
ok(took < 1.4 * SLOW, "within 1.2 s (and some of the machine's)", took)
run.stdin.write(b"two\n")
run.stdin.close()
ok(run.stdout.read() == b"two\n" and run.wait(10 * SLOW) == 0, "the call that ran did not notice")
ok(daemon_pid("vault") == other, "and neither did the others")
ok(until(lambda: qvm("work", echo, data=b"x").stdout == b"x", 5 * SLOW), "calls work again")

# A burst: each is served or refused, none hangs.
N = few(100)
p = qvm("work", "for i in $(seq %d); do (qrexec-client-vm vault t.Echo </dev/null >/dev/null 2>&1; echo $?) & done; wait" % N)
codes = p.stdout.split()
ok(len(codes) == N and set(codes) <= {b"0", b"126"}, "100 calls at once: each served or refused", codes)
ok(codes.count(b"0") == N, "a burst of 100 is within the rate", codes.count(b"126"))
fds = "/proc/%d/fd" % daemon_pid("work")
ok(until(lambda: len(os.listdir(fds)) < 16), "no descriptor stays", os.listdir(fds))

# A target written as uuid:, by the caller and by the policy.
uuid = "uuid:" + state("vault")["uuid"]
r = qvm("work", "qrexec-client-vm %s t.Echo" % uuid, data=b"by uuid")
ok(r.stdout == b"by uuid" and r.returncode == 0, "a call to uuid:...", r)
policy("t.Echo +uuid work @default allow target=%s\n" % uuid, "20-uuid")
r = qvm("work", "qrexec-client-vm @default t.Echo+uuid", data=b"policy")
ok(r.stdout == b"policy" and r.returncode == 0, "an allow with target=uuid:...", r)

# A target's qrexecd that was taken over and names another qube's domain.
os.rename(Q + "vault/peer", Q + "vault/.real")
pid = os.fork()
if pid == 0:
    s = socket.socket(socket.AF_UNIX)
    s.bind(Q + "vault/peer")
    os.chmod(Q + "vault/peer", 0o666)
    s.listen(4)
    c = s.accept()[0]
    c.recv(200)
    c.sendall(b"result=ok\ndomid=%s\nport=513\n\n" % state("third")["domid"].encode())
    c.recv(1)
    os._exit(0)
until(lambda: os.path.exists(Q + "vault/peer"))
r = qvm("work", echo, data=b"x")
ok(r.returncode == 126 and r.stdout == b"", "a target that names another's domain is refused", r)
ok(until(lambda: "it names another domain than its own" in logs("work/qrexecd")), "with a line",
   logs("work/qrexecd")[-300:])
os.waitpid(pid, 0)


def says_over(gap):
    """What a caller gets if the target's qrexecd says yes, and that it is over: in two words or one."""
    os.unlink(Q + "vault/peer")
    s = socket.socket(socket.AF_UNIX)
    s.bind(Q + "vault/peer")
    os.chmod(Q + "vault/peer", 0o666)
    s.listen(4)
    s.settimeout(LIMIT)
    p = subprocess.Popen(["qvm-run", "-p", "work", echo], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    c = s.accept()[0]
    c.recv(200)
    yes = b"result=ok\ndomid=%s\nport=700\n\n" % state("vault")["domid"].encode()
    c.sendall(yes if gap else yes + b"\n")
    if gap:
        until(lambda: fcntl.ioctl(c, termios.TIOCOUTQ, bytes(4)) == bytes(4))  # it is read
        c.sendall(b"\n")
    c.close()
    s.close()
    try:
        return p.communicate(timeout=LIMIT)[1], p.returncode
    except subprocess.TimeoutExpired:
        p.kill()
        return b"hangs", None


ok(says_over(True)[1] == 125, "a target that says yes, and then that it is over: the caller ends")
ok(says_over(False)[1] == 126, "both at once: refused")
os.unlink(Q + "vault/peer")
os.rename(Q + "vault/.real", Q + "vault/peer")
r = qvm("work", echo, data=b"again")
ok(r.stdout == b"again", "the real one is heard again", r)

# Another session of the target: the ticket dies with the old one.
t = decide("work", "vault", "t.Echo", W)
subprocess.run(["qvm-kill", "vault"], timeout=30 * SLOW)
subprocess.run(["qvm-start", "vault"], timeout=60 * SLOW)
ok(b"result=refused" in present(t["ticket"], "vault", W), "another session's ticket is refused")

done()
