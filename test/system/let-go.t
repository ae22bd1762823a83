#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
# Nobody holds what belongs to a domain that has gone, also when chand was killed before; and a caller hears it when
# Dom0 gives its call up.
import os, socket, subprocess, sys, time

if os.environ.get("HOUSE") != "1":
    house = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../house")
    os.execv(house, [house, "-u", os.path.abspath(__file__)])

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from wire import LIMIT, SLOW, qubes

SV, STATE = "/run/qubes/s6/", "/run/qubes/state/work"
n = 0


def ok(good, name, note=""):
    global n
    n += 1
    print("%sok %d - %s" % ("" if good else "not ", n, name), flush=True)
    if not good:
        print("# %r" % (note,), flush=True)


def until(f, limit=LIMIT):
    end = time.monotonic() + limit
    while time.monotonic() < end:
        got = f()
        if got:
            return got
        time.sleep(0.02)
    return None


def children():
    pid = subprocess.check_output(["s6-svstat", "-o", "pid", SV + "qrexec-dom0"], text=True).strip()
    return open("/proc/%s/task/%s/children" % (pid, pid)).read().split()


def sv(*args):
    subprocess.run(["s6-svc", *args], check=True, timeout=LIMIT)


def log():
    with open("/var/log/qubes/work/qrexecd/current", errors="replace") as f:
        return f.read()


def service(name, text):
    with open("/etc/qubes-rpc/" + name, "w") as f:
        f.write("#!/bin/sh\n" + text)
    os.chmod("/etc/qubes-rpc/" + name, 0o755)


def started(*argv):
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def says(p, text):
    p.stdin.write(text)
    p.stdin.flush()
    return p.stdout.read(len(text)) == text


def dying():
    with open(STATE) as f:
        text = f.read()
    with open(STATE + ".new", "w") as f:
        f.write(text.replace("state=Running", "state=Dying"))
    os.rename(STATE + ".new", STATE)


def code(p):
    try:
        return p.wait(LIMIT)
    except subprocess.TimeoutExpired:
        p.kill()
        return "it hangs"


r = qubes("work", "vault")
ok(r.returncode == 0, "two qubes run", r)
os.makedirs("/etc/qubes-rpc", exist_ok=True)
service("t.Cat", "exec cat\n")
service("t.Deaf", "trap '' TERM PIPE; echo up; exec sleep 1000\n")
with open("/etc/qubes/policy.d/30-user.policy", "w") as f:
    f.write("t.Cat * work dom0 allow\nt.Deaf * work dom0 allow\n")
subprocess.run(["qvm-run", "-p", "work", "true"], check=True, timeout=LIMIT)

# Who asks for the watch.
before = log().count("channel is over")
a = started("qvm-run", "-p", "work", "cat")
b = started("qvm-run", "-p", "work", "qrexec-client-vm dom0 t.Cat")
c = started("qvm-run", "-p", "work", "qrexec-client-vm dom0 t.Deaf")
d = started("qvm-run", "-p", "vault", "cat")
ok(says(a, b"one\n") and says(b, b"two\n") and c.stdout.read(3) == b"up\n" and says(d, b"x\n"), "four calls run")
pids = children()
ok(len(pids) == 2, "two of them in Dom0", pids)
pid = subprocess.check_output(["s6-svstat", "-o", "pid", SV + "chand"], text=True).strip()
os.kill(int(pid), 9)
until(lambda: subprocess.check_output(["s6-svstat", "-o", "pid", SV + "chand"], text=True).strip() not in (pid, "-1"))
time.sleep(1)  # time for a mistake
ok(says(a, b"1\n") and says(b, b"2\n") and says(d, b"3\n"), "chand is killed: they go on")
sv("-wD", "-T", str(LIMIT * 1000), "-d", SV + "chand")
ok(says(a, b"4\n") and says(b, b"5\n"), "and go on without it")

# The domain goes while chand is not there.
dying()
t = time.monotonic()
ok(until(lambda: not set(children()) & set(pids)), "Dom0's ends of its calls are gone", children())
ok(time.monotonic() - t < 1.5 * SLOW, "within a second", time.monotonic() - t)
ok(a.poll() is None or SLOW > 1, "nobody else knows yet", a.poll())
sv("-wU", "-T", str(LIMIT * 1000), "-u", SV + "chand")
ok(code(a) == 255, "chand is back: a call from Dom0 ends", a.returncode)
ok(until(lambda: log().count("channel is over") > before), "the qube's qrexecd lets go", log()[-300:])
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
sv("-wD", "-T", str(LIMIT * 1000), "-d", SV + "qrexec-dom0")
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
time.sleep(0.2)
peer.close()
got = code(p)
ok(got not in (0, "it hangs") and time.monotonic() - t < LIMIT, "Dom0 gives up after its yes: the caller hears it", got)
ok("gave the call up" in log(), "and the log says so")
s.close()
os.unlink(path)
sv("-wU", "-T", str(LIMIT * 1000), "-u", SV + "qrexec-dom0")
ok(subprocess.run(["qvm-run", "-p", "work", "qrexec-client-vm dom0 t.Cat </dev/null"], timeout=LIMIT).returncode == 0,
   "calls to Dom0 work again")
print("1..%d" % n)
