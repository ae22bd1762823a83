#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
# A qube whose root is hostile, and a daemon that was taken over: what they may take from others. All of it
# against the real daemons.
import ctypes, glob, itertools, os, signal, socket, subprocess, sys, time

sys.path[0] += "/.."
from tap import *

in_house()


def guest(qube, text):
    """A program of the qube's root; its standard input stays open until end()."""
    p = subprocess.Popen(["qvm-run", "-p", "-u", "root", qube, "python3 -u -c 'import sys; exec(sys.stdin.readline().encode().decode(\"unicode_escape\"))'"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    p.stdin.write(text.encode("unicode_escape") + b"\n")
    p.stdin.flush()
    return p


def end(p):
    p.stdin.close()
    p.wait(LIMIT)


def call(qube, target, what, data=b"", **more):
    return subprocess.Popen(["qvm-run", "-p", qube, "exec qrexec-client-vm %s %s" % (target, what)],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, **more)


def as_qrexecd(name, count, path, request):
    """That many requests of one who has taken over the qube's qrexecd, one after another."""
    if os.fork() == 0:
        d = os.open(os.path.dirname(path), os.O_PATH)
        os.fchdir(d)
        os.setgroups([GID_DAEMONS])
        uid = uid_of(name)
        os.setgid(uid), os.setuid(uid)
        for _ in range(count):
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(LIMIT)
            try:
                s.connect(os.path.basename(path))
                s.sendall(request)
                s.recv(4096)
            except OSError:
                pass
            s.close()
        os._exit(0)
    os.wait()


# --- the local backend: what the qube's root gets hold of ---

def nothing_of_dom0_to_fill():
    p = guest("work", """
import ctypes, os, stat, sys
c = ctypes.CDLL(None, use_errno=True)
pid = c.syscall(434, 1, 0)
for i in range(16):
    fd = c.syscall(438, pid, i, 0)
    if fd >= 0 and stat.S_ISREG(os.fstat(fd).st_mode):
        try:
            os.write(fd, b"x" * 1000000)
            print("wrote to", i, "of process 1")
        except OSError as e:
            print(e)
print("end")
""")
    got = p.stdout.read()
    end(p)
    big = [f for f in glob.glob("/run/qubes/vm/work/*") if os.stat(f).st_size > 65536]
    ok(got == b"end\n" and not big, "a qube's root finds no file of Dom0's to fill, in process 1 neither", (got, big))


def inotify_of_its_own():
    p = guest("work", """
import ctypes, resource
c = ctypes.CDLL(None)
resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
n = 0
while n < 1000 and c.inotify_init1(0) >= 0: n += 1
print(n)
sys.stdin.read()
""")
    held = int(p.stdout.readline())
    r = subprocess.run(["python3", "-c", "import ctypes, sys; sys.exit(ctypes.CDLL(None).inotify_init1(0) < 0)"])
    end(p)
    ok(held > 0 and r.returncode == 0, "a qube that takes all inotify instances it gets leaves Dom0 its own", held)


def keys_of_its_own():
    """Whoever starts a vmstart by hand may have keys in the kernel."""
    write("/etc/qubes/vm.d/third", "label = red\n")
    subprocess.run(["qvm-start", "third"], check=True)
    subprocess.run(["qvm-shutdown", "--wait", "third"], check=True)
    pid = os.fork()
    if pid == 0:
        c = ctypes.CDLL(None)
        c.syscall(250, 1, None)
        c.syscall(248, b"user", b"dom0-secret", b"x", 1, -3)
        os.dup2(os.open("/dev/null", os.O_WRONLY), 2)
        os.execv("/usr/lib/qubes/vmstart", ["vmstart", "third"])
    up = until(lambda: subprocess.run(["qvm-run", "-p", "third", "echo up"], capture_output=True).stdout == b"up\n")
    p = guest("third", """
import ctypes
c = ctypes.CDLL(None)
print(c.syscall(250, 10, -3, b"user", b"dom0-secret", 0))
""")
    got = p.stdout.read()
    end(p)
    ok(up and got == b"-1\n", "a qube does not come by the keys of who started it", (up, got))
    subprocess.run(["qvm-kill", "third"], capture_output=True)
    os.waitpid(pid, 0)


# --- Dom0's services ---

def services_of_two_qubes():
    service("t.Victim", "echo $$; read -r x; echo \"$x\"\n")
    service("t.Kill", "read -r p; grep -q QREXEC /proc/$p/environ && echo read; kill -KILL $p && echo killed\n:")
    v = call("work", "dom0", "t.Victim")
    pid = v.stdout.readline()
    k = call("vault", "dom0", "t.Kill")
    got = k.communicate(pid, LIMIT)[0]
    ok(b"read" not in got, "the service of one qube's call does not look into another's", got)
    try:
        left = v.communicate(b"alive\n", LIMIT)[0]
    except OSError:
        left = b""
    scopes = ctypes.CDLL(None).syscall(444, None, 0, 1) >= 6
    ok((left == b"alive\n" and b"killed" not in got) or not scopes,
       "nor ends it" + ("" if scopes else " # SKIP this kernel's Landlock knows no signals (Linux 6.12)"), (left, got))


def service_errors():
    service("t.Complain", "cat >&2; echo done\n")
    c = call("work", "dom0", "t.Complain")
    got = c.communicate(b"first\nqrexec-dom0[vault]: forged \x1b[2J\nlast\n" + b"again\n" * few(20000), LIMIT)[0]
    ok(got == b"done\n", "a service complains about a qube's bytes", got)
    until(lambda: "first" in logs("qrexec-dom0"))
    log = logs("qrexec-dom0")
    ok("first" in log and "\x1b" not in log and "\nqrexec-dom0[vault]: forged" not in log,
       "its lines in the log are marked and escaped", log[-300:])
    ok(log.count("again") < 500, "and not without limit", log.count("again"))


# --- a qrexecd that was taken over ---

def lines(daemon):
    """How many a daemon has logged until now: one of ours comes behind them, on the same way."""
    mark = "# %d lines are asked for" % time.monotonic_ns()
    with open("/proc/%d/fd/2" % svpid(daemon), "w") as f:
        f.write(mark + "\n")
    until(lambda: mark in logs(daemon))
    return logs(daemon).count("\n")


def quiet_refusals():
    for daemon, path, request in (
            ("policyd", "/run/qubes/s/policy.sock", b"source=vault\nintended_target=dom0\nservice_and_arg=x\n\n"),
            ("startd", "/run/qubes/s/start.sock", b"op=start\nname=vault\n\n"),
            ("chand", "/run/qubes/s/chan.sock", b"role=both\nport=1\n\n"),
            ("qrexec-dom0", "/run/qubes/q/dom0/peer", b"ticket=%s\nport=600\n\n" % (b"0" * 32))):
        before = lines(daemon)
        as_qrexecd("work", few(400), path, request)
        got = lines(daemon) - before
        ok(got <= 80, "%s: hundreds of bad requests of one qrexecd do not fill the log" % daemon, got)


def long_names_hide_nothing():
    call("work", "vault", "t.Long+" + "x" * 3000).wait(LIMIT)
    log = lambda: logs("work/qrexecd")
    ok(until(lambda: "t.Long" in log()) and " to vault refused: policy: denied" in log().split("t.Long")[-1],
       "a refusal of a call with a long name says to whom and why", log()[-200:])


def chand_answers_others():
    """Connections without end from one uid: a person is still served."""
    uid, pids = uid_of("work"), []
    ready, w = os.pipe()
    for _ in range(4):
        pid = os.fork()
        if pid == 0:
            os.chdir("/run/qubes/s")
            os.setgid(uid), os.setuid(uid)
            for i in itertools.count():
                s = socket.socket(socket.AF_UNIX)
                s.setblocking(False)
                try:
                    s.connect("chan.sock")
                except OSError:
                    pass
                s.close()
                if i == 200:
                    os.close(w)
        pids.append(pid)
    os.close(w)
    os.read(ready, 1)  # its end: all are at it
    os.close(ready)
    began = time.monotonic()
    try:
        r = subprocess.run(["qvm-run", "-p", "vault", "echo served"], capture_output=True, timeout=20 * SLOW)
        took = time.monotonic() - began
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    ok(r.stdout == b"served\n" and took < 4 * SLOW, "chand serves others while one uid connects without end", (took, r))


policy("* * work dom0 allow\n* * vault dom0 allow\n")
r = qubes("work", "vault")
ok(r.returncode == 0, "two qubes run", r)
of_namespaces = () if XEN else (nothing_of_dom0_to_fill, inotify_of_its_own, keys_of_its_own)
rows(of_namespaces + (services_of_two_qubes, service_errors, long_names_hide_nothing, quiet_refusals, chand_answers_others))
subprocess.run(["qvm-kill", "work", "vault"], capture_output=True)
done()
