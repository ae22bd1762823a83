#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
# Nobody holds what belongs to a domain that has gone, also when chand was killed before; and a caller hears it when
# Dom0 gives its call up, or when the called qube's agent is killed before it starts one.
import fcntl, glob, os, signal, socket, stat, subprocess, sys, termios, time

sys.path[0] += "/.."
from tap import *

in_house()

STATE = RUN + "/state/work"


def children():
    pid = svpid("qrexec-dom0")
    return read("/proc/%d/task/%d/children" % (pid, pid)).split()


def connections():
    """Sockets of chand's."""
    try:
        return sum(stat.S_ISSOCK(f.stat().st_mode) for f in os.scandir("/proc/%d/fd" % svpid("chand")))
    except OSError:
        return -1


def sv(*args):
    subprocess.run(["s6-svc", *args], check=True, timeout=LIMIT)


def started(*argv):
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def says(p, text):
    try:
        p.stdin.write(text)
        p.stdin.flush()
    except OSError:
        return False
    return p.stdout.read(len(text)) == text


def dying():
    write(STATE + ".new", read(STATE).replace("state=Running", "state=Dying"))
    os.rename(STATE + ".new", STATE)


def code(p):
    try:
        return p.wait(LIMIT)
    except subprocess.TimeoutExpired:
        p.kill()
        return "it hangs"


r = qubes("work", "vault")
ok(r.returncode == 0, "two qubes run", r)
service("t.Cat", "exec cat")
service("t.Deaf", "trap '' TERM PIPE; echo up; exec sleep 1000")
policy("t.Cat * work dom0 allow\nt.Deaf * work dom0 allow\nt.Echo * work vault allow\n")
subprocess.run(["qvm-run", "-p", "work", "true"], check=True, timeout=LIMIT)

# Who asks for the watch.
log = since("work/qrexecd")
a = started("qvm-run", "-p", "work", "cat")
b = started("qvm-run", "-p", "work", "qrexec-client-vm dom0 t.Cat")
c = started("qvm-run", "-p", "work", "qrexec-client-vm dom0 t.Deaf")
d = started("qvm-run", "-p", "vault", "cat")
ok(says(a, b"one\n") and says(b, b"two\n") and c.stdout.read(3) == b"up\n" and says(d, b"x\n"), "four calls run")
pids = children()
ok(len(pids) == 2, "two of them in Dom0", pids)
pid, asked = svpid("chand"), connections()
os.kill(pid, 9)
# All ask again, but for Dom0's ends, which look for themselves: that is when a mistake would be made.
if not until(lambda: svpid("chand") not in (pid, -1) and connections() >= asked - len(pids)):
    print("# %d of %d connections" % (connections(), asked))
ok(says(a, b"1\n") and says(b, b"2\n") and says(d, b"3\n"), "chand is killed: they go on")
sv("-wD", "-T", str(LIMIT * 1000), "-d", S6 + "/chand")
ok(says(a, b"4\n") and says(b, b"5\n"), "and go on without it")

# The domain goes while chand is not there.
dying()
t = time.monotonic()
ok(until(lambda: not set(children()) & set(pids)), "Dom0's ends of its calls are gone", children())
ok(time.monotonic() - t < 1.5 * SLOW, "within a second", time.monotonic() - t)
ok(a.poll() is None or SLOW > 1, "nobody else knows yet", a.poll())
sv("-wU", "-T", str(LIMIT * 1000), "-u", S6 + "/chand")
ok(code(a) == 255, "chand is back: a call from Dom0 ends", a.returncode)
ok(log.says("channel is over"), "the qube's qrexecd lets go", log.text()[-300:])
ok(says(d, b"6\n"), "the other qube's call has not noticed")
d.stdin.close()
ok(code(d) == 0, "and ends in order", d.returncode)
for p in (b, c):
    p.kill()
subprocess.run(["qvm-kill", "work"], timeout=LIMIT)

# Dom0 says yes, and nobody comes.
qubes("work")
subprocess.run(["qvm-start", "--skip-if-running", "work"], timeout=60 * SLOW)
ok(subprocess.run(["qvm-run", "-p", "work", "qrexec-client-vm dom0 t.Cat </dev/null"], timeout=LIMIT).returncode == 0,
   "started again: a call to Dom0")
sv("-wD", "-T", str(LIMIT * 1000), "-d", S6 + "/qrexec-dom0")
s = socket.socket(socket.AF_UNIX)
path = "/run/qubes/q/dom0/peer"
if os.path.exists(path):
    os.unlink(path)
s.bind(path)
os.chmod(path, 0o666)
s.listen()
s.settimeout(LIMIT)
t = time.monotonic()
p = started("qvm-run", "-p", "work", "qrexec-client-vm dom0 t.Cat")
peer, _ = s.accept()
peer.settimeout(LIMIT)
port = [l for l in peer.recv(256).decode().split("\n") if l.startswith("port=")]
peer.sendall(("result=ok\ndomid=0\n%s\n\n" % port[0]).encode())
until(lambda: fcntl.ioctl(peer, termios.TIOCOUTQ, bytes(4)) == bytes(4))  # it is read
peer.close()
got = code(p)
ok(got not in (0, "it hangs") and time.monotonic() - t < LIMIT, "Dom0 gives up after its yes: the caller hears it", got)
ok(log.says("gave the call up"), "and the log says so")
s.close()
os.unlink(path)
sv("-wU", "-T", str(LIMIT * 1000), "-u", S6 + "/qrexec-dom0")
ok(subprocess.run(["qvm-run", "-p", "work", "qrexec-client-vm dom0 t.Cat </dev/null"], timeout=LIMIT).returncode == 0,
   "calls to Dom0 work again")


# An agent is killed before it has read what to start.
def agent_killed():
    echo = "exec qrexec-client-vm vault t.Echo"
    sh("qvm-run", "-p", "-u", "root", "vault", "mkdir -p /usr/local/etc/qubes-rpc; cd /usr/local/etc/qubes-rpc;"
       "printf '#!/bin/sh\\nexec cat\\n' >t.Echo; chmod +x t.Echo")
    agent = child_of(int(state("vault")["init_pid"]), "qrexec-agent")
    qrexecd = svpid("qrexecd/instance/work")
    long = started("qvm-run", "-p", "work", echo)
    ok(says(long, b"one\n"), "a call to a qube runs")
    rest = len(os.listdir("/proc/%d/fd" % qrexecd))
    os.kill(agent, signal.SIGSTOP)
    p = started("qvm-run", "-p", "work", echo)
    name = "/proc/%s/root/run/vchan/vchan.%s.%s." % (state("work")["init_pid"], state("work")["domid"], state("vault")["domid"])
    ok(until(lambda: glob.glob(name + "*")), "another's caller waits: the agent does not read")
    os.kill(agent, signal.SIGKILL)
    t = time.monotonic()
    got = code(p)
    ok(got == 125, "the agent is killed: that caller hears it (after %.2f s)" % (time.monotonic() - t), got)
    ok(until(lambda: sh("qvm-run", "-p", "work", echo, data=b"x") == (0, "x")), "another call is served by the new agent")
    ok(says(long, b"two\n"), "the call that ran has not noticed")
    long.stdin.close()
    ok(code(long) == 0, "and ends in order", long.returncode)
    ok(until(lambda: len(os.listdir("/proc/%d/fd" % qrexecd)) <= rest), "nothing of it is left in qrexecd",
       os.listdir("/proc/%d/fd" % qrexecd))


if not XEN:
    agent_killed()
done()
