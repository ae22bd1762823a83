#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
# Disposables, whole: asked for by policy, by a caller's word and by qvm-run; used; gone afterwards without a trace, also
# when one of those who take part dies. In a house.
import os, re, signal, struct, subprocess, sys, time

sys.path[0] += "/.."
import tap, wire
from tap import *

in_house()
tap.LIMIT = 30 * SLOW
# Where each start takes seconds, what differs in one word only is tried once.
FEWER = LESS > 1

SHELL = "qubes.VMShell"


def disps():
    """The disposables that there are, in any state."""
    names = os.listdir(VM) + os.listdir(RUN + "/state")
    return sorted({n for n in names if re.fullmatch(r"disp\d{1,4}", n)})


def kept():
    return os.listdir(RUN + "/state/.preload") if os.path.exists(RUN + "/state/.preload") else []


def traces():
    """Whatever carries a disposable's name."""
    dirs = [VM, RUN + "/state", RUN + "/q", RUN + "/qdb", RUN + "/local", RUN + "/vm", "/var/lib/qubes/appvms", LOG + "/vm",
            LOG, RUN, RUN + "/state/.preload"]
    keep = set(kept())
    found = [os.path.join(d, n) for d in dirs if os.path.isdir(d) for n in os.listdir(d)
             if re.search(r"\bdisp\d{1,4}\b", n) and not keep & set(re.findall(r"disp\d{1,4}", n))]
    qids = [l for l in read("/var/lib/qubes/qids").splitlines() if re.search(r" disp\d+$", l) and l.split()[1] not in keep]
    return found + qids


def gone(what):
    ok(until(lambda: not traces()), what + ": nothing of the disposable is left", traces())


def caller(script, qube="work", target="@dispvm", service=SHELL):
    return ["qvm-run", "-p", qube, "qrexec-client-vm '%s' %s" % (target, service)]


def call(script, **more):
    return subprocess.run(caller(script, **more), input=script.encode(), capture_output=True, timeout=60 * SLOW)


def begin(script, argv=None, **more):
    """A call whose service has said its qube's name."""
    p = subprocess.Popen(argv or caller(script, **more), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    p.stdin.write(("qubesdb-read /name || exit 111\n" + script).encode())
    p.stdin.flush()
    return p, p.stdout.readline().decode().strip()


def end(*procs):
    for p in procs:
        p.kill()
        p.communicate()


def qvm(*argv, data=b""):
    return subprocess.run(["qvm-run", *argv], input=data, capture_output=True, timeout=60 * SLOW)


def from_policy():
    r = call("echo $((6 * 7)); qubesdb-read /name; qubesdb-read /qubes-gateway; read x; echo $x >&2; exit 3\nhello\n")
    out = r.stdout.decode().split("\n")
    ok(r.returncode == 3 and out[0] == "42" and re.fullmatch(r"disp\d{1,4}", out[1]),
       "target=@dispvm: a disposable's output and exit code", r)
    ok(len(out) == 4 and out[2], "one of `dvm` has a gateway", out)
    gone("after the call")
    for target, service, base in [("@default", SHELL + "+named", "other"), ("@default", SHELL + "+redirected", "dvm"),
                                  ("@dispvm:dvm", SHELL, "dvm"), ("@dispvm:other", SHELL, "other"),
                                  ("vault", SHELL + "+sent", "dvm")][:1 if FEWER else 5]:
        r = call("cat /home/user/mark; exit 9\n", target=target, service=service)
        eq((r.returncode, r.stdout.decode().split()), (9, [base]), "%s %s: one of %s" % (target, service, base))
    r = subprocess.run(caller("", service="t.Cat"), input=b"\0" * 2000000, capture_output=True, timeout=60 * SLOW)
    eq((r.returncode, len(r.stdout)), (0, 2000000), "2 MB there and back")
    gone("after all of these")


def thrown_away():
    r = call("echo secret >/home/user/secret; ls /home/user; exit 0\n")
    ok(b"secret" in r.stdout, "a disposable writes into its private volume", r)
    r = call("ls /home/user; exit 0\n")
    ok(b"mark" in r.stdout and b"secret" not in r.stdout, "the next one has its base's, and not that", r)
    r = qvm("-p", "dvm", "ls /home/user")
    ok(b"secret" not in r.stdout and b"mark" in r.stdout, "neither has the base", r)
    sh("qvm-shutdown", "--wait", "dvm")


def refusals():
    for qube, target, service, what in [
            ("vault", "@dispvm", SHELL, "no default_dispvm"), ("work", "@dispvm:work", SHELL, "no template for disposables"),
            ("work", "@dispvm:nosuch", SHELL, "an unknown base"), ("work", "@dispvm", "t.Denied", "denied by policy"),
            ("work", "@default", SHELL + "+plain", "a redirection to what is no template for disposables"),
            ("vault", "@dispvm", "t.Cat", "no rule for the source"), ("work", "@dispvm", SHELL + "+off", "autostart=no")]:
        r = call("echo no\n", qube=qube, target=target, service=service)
        eq((r.returncode, r.stdout), (126, b""), what + ": refused")
    eq(disps(), [], "nothing was made for any of these")
    r = call("echo no\n", target="@dispvm:broken")
    eq((r.returncode, r.stdout), (126, b""), "a base that cannot start: refused")
    gone("after a start that failed")


def qsb_047():
    """A disposable that asks for one stays within its own base's network, whatever the defaults are."""
    r = call("qrexec-client-vm @dispvm %s <<'E'\nqubesdb-read /name; cat /home/user/mark; qubesdb-read /qubes-gateway; exit 4\nE\n"
             "x=$?; qubesdb-read /name; qubesdb-read /qubes-gateway\n"
             "qrexec-client-vm @dispvm:dvm %s </dev/null; exit $((x + $?))\n" % (SHELL, SHELL), target="@dispvm:other")
    out = r.stdout.decode().split()
    ok(len(out) == 3 and re.match("disp", out[0]) and out[1] == "other" and out[0] != out[2],
       "QSB-047: asked for by a disposable of `other`: one of `other`, and no gateway for either", r)
    eq(r.returncode, 4 + 126, "QSB-047: and none of `dvm`, which has a network")
    gone("after these")


def two_at_once():
    (a, one), (b, two) = begin("read x; exit 1\n"), begin("read x; exit 2\n")
    ok(one != two and set(disps()) >= {one, two}, "two calls at once: two disposables", (one, two, disps()))
    a.stdin.write(b"\n")
    a.stdin.close()
    eq(a.wait(tap.LIMIT), 1, "one ends")
    ok(until(lambda: one not in disps()) and two in disps() and b.poll() is None, "its disposable goes, the other stays")
    b.stdin.write(b"\n")
    b.stdin.close()
    eq(b.wait(tap.LIMIT), 2, "the other ends")
    gone("after both")


# A qube on Xen has no pkill.
KILL_CALLER = """for p in /proc/[0-9]*; do
	case $(tr '\\0' ' ' <$p/cmdline) in 'qrexec-client-vm @dispvm'*) kill -9 ${p#/proc/} ;; esac
done 2>/dev/null"""


def caller_killed():
    # before: the disposable is being made
    p = subprocess.Popen(caller(""), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until(disps, step=0.001)
    sh("qvm-run", "work", KILL_CALLER)
    end(p)
    gone("the caller is killed before it is there")
    p, name = begin("sleep 1000\n")
    sh("qvm-run", "work", KILL_CALLER)
    end(p)
    gone("the caller is killed in the middle")
    if not FEWER:
        p, name = begin("exit 0\n")
        eq(p.wait(tap.LIMIT), 0, "a call ends")
        sh("qvm-kill", "work")
        gone("the caller's qube is killed after it")
        qubes("work")
    p, name = begin("sleep 1000\n")
    sh("qvm-kill", "work")
    end(p)
    gone("the caller's qube is killed in the middle")
    qubes("work")


def its_own_end():
    for how, argv in [("powered off from inside", ["qvm-run", "-u", "root"]), ("killed", ["qvm-kill"]),
                      ("shut down", ["qvm-shutdown", "--wait"])][:1 if FEWER else 3]:
        p, name = begin("sleep 1000\n")
        sh(*argv, name, *(["poweroff -f || kill -TERM 1"] if len(argv) == 3 else []))
        ok(p.wait(tap.LIMIT) not in (0, None), "the disposable is %s in the middle: the caller hears it" % how, p.returncode)
        end(p)
        gone("after it was " + how)


def daemons_killed():
    p, name = begin("read x; echo $x; exit 5\n")
    os.kill(svpid("startd"), signal.SIGKILL)
    p.stdin.write(b"still\n")
    p.stdin.close()
    eq((p.stdout.read(), p.wait(tap.LIMIT)), (b"still\n", 5), "startd is killed in the middle: the call goes on")
    gone("after it, by its own qrexecd")
    if FEWER:
        return
    p, name = begin("read x; echo $x; exit 6\n")
    pid = int(subprocess.run(["s6-svstat", "-o", "pid", S6 + "/qrexecd/instance/" + name], capture_output=True).stdout or 0)
    ok(pid > 1, "its qrexecd", pid)
    os.kill(pid, signal.SIGKILL)
    p.stdin.write(b"still\n")
    p.stdin.close()
    eq((p.stdout.read(), p.wait(tap.LIMIT)), (b"still\n", 6), "its qrexecd is killed in the middle: the call goes on")
    gone("after it, by the caller's")
    p, name = begin("read x; echo $x; exit 7\n")
    os.kill(svpid("policyd"), signal.SIGKILL)
    p.stdin.write(b"still\n")
    p.stdin.close()
    eq((p.stdout.read(), p.wait(tap.LIMIT)), (b"still\n", 7), "policyd is killed in the middle: the call goes on")
    gone("after it")


def by_hand():
    r = qvm("-p", "--dispvm=other", "cat; cat /home/user/mark; exit 7", data=b"in\n")
    eq((r.returncode, r.stdout), (7, b"in\nother\n"), "qvm-run --dispvm=BASE: input, output, exit code")
    gone("after it")
    if not FEWER:
        r = qvm("-p", "--dispvm", "cat /home/user/mark")
        eq((r.returncode, r.stdout), (0, b"dvm\n"), "without BASE: the machine's default_dispvm")
        eq(qvm("--dispvm=other", "exit 11").returncode, 11, "without -p")
        r = qvm("-p", "-u", "root", "--dispvm=dvm", "--", "id", "-un")
        eq((r.returncode, r.stdout), (0, b"root\n"), "a program with arguments, as root")
    for base in ("work", "nosuch"):
        r = qvm("-p", "--dispvm=" + base, "true")
        ok(r.returncode == 255 and r.stderr.startswith(b"qvm-run: "), "of %s: 255 and why" % base, r)
    gone("after these")
    for sig in [signal.SIGKILL, signal.SIGINT, signal.SIGTERM][:1 if FEWER else 3]:
        p, name = begin("sleep 1000\n", ["qvm-run", "-p", "--dispvm=dvm", "sh"])
        ok(name in disps(), "qvm-run --dispvm runs", name)
        p.send_signal(sig)
        p.wait(tap.LIMIT)
        end(p)
        gone("qvm-run got %s" % sig.name)


def kept_ready():
    """preload: a call is answered by one that was started before."""
    write(VM + "ready", "label = red\ntemplate_for_dispvms = true\npreload = 2\n")
    ok(until(lambda: len([n for n in kept() if state(n).get("state") == "Paused"]) == 2), "two are kept ready, paused", kept())
    first = set(kept())
    for n in first:
        r = call("echo no\n", target=n, service="t.Cat")
        ok(r.returncode == 126 and not r.stdout, "nobody calls one that is not given out: %s" % n, r)
    p, name = begin("read x; exit 8\n", target="@dispvm:ready")
    ok(name in first, "a call gets one of them", (name, first))
    ok(until(lambda: len([n for n in kept() if state(n).get("state") == "Paused"]) == 2), "another one is made", kept())
    p.stdin.write(b"\n")
    p.stdin.close()
    eq(p.wait(tap.LIMIT), 8, "its exit code")
    ok(until(lambda: name not in disps()), "it is erased")
    r = qvm("-p", "--dispvm=ready", "qubesdb-read /name")
    ok(r.stdout.decode().strip() in first - {name}, "qvm-run gets the older of the two", r)
    os.unlink(VM + "ready")
    ok(until(lambda: not disps()), "without its base they go", disps())
    gone("after all")


def qrexecd_by_hand():
    """Its policy program says @dispvm:BASE: startd is asked for one, which lasts as long as qrexec-client -W."""
    if XEN:
        return
    d, uuid = "/run/hand", "12345678-1234-1234-1234-123456789abc"
    os.mkdir(d)
    for i in range(10000):
        os.symlink(RUN + "/qrexec.disp%d" % i, d + "/qrexec.disp%d" % i)
    write(d + "/policy", "#!/bin/sh\nprintf 'user=DEFAULT\\nresult=allow\\ntarget=@dispvm:dvm\\ntarget_uuid=@dispvm:uuid:x\\n"
          "autostart=True\\nrequested_target=@dispvm'\n", 0o755)
    agent = wire.listen(d + "/vchan.42.0.512.sock")
    agent.settimeout(tap.LIMIT)
    p = subprocess.Popen(["/usr/sbin/qrexec-daemon", "--uuid=" + uuid, "--socket-dir=" + d, "-p", d + "/policy", "--direct",
                          "42", "hand"], env=dict(os.environ, VCHAN_SOCKET_DIR=d, VCHAN_DOMAIN="0"), stderr=subprocess.PIPE)
    link = wire.Link(agent.accept()[0])
    link.put(wire.HELLO, struct.pack("<L", 4))
    link.get()
    link.put(wire.TRIGGER4, b"\0" * 64 + b"@dispvm".ljust(64, b"\0") + b"SOCKET5".ljust(32, b"\0") + b"t.Cat\0")
    kind, body = link.get()
    names = disps()
    ok(kind == wire.CONNECT and len(names) == 1 and body[:4] == struct.pack("<L", int(state(names[0])["domid"])),
       "qrexecd by hand: its agent is told where a disposable is", (kind, body, names))
    sh("pkill", "-f", "^qrexec-client .*-W")
    p.terminate()
    p.wait(tap.LIMIT)
    gone("when its call has ended")


policy("""%s +redirected work @default allow target=@dispvm
%s +named work @default allow target=@dispvm:other
%s +sent work vault allow target=@dispvm
%s +plain work @default allow target=@dispvm:vault
%s +off work @dispvm allow autostart=no
%s * work @dispvm allow
%s * work @dispvm:@tag:bases allow
%s * work @dispvm:broken allow
%s * work @dispvm:ready allow
%s * vault @dispvm allow
%s * @type:DispVM @dispvm allow
%s * @type:DispVM @dispvm:other allow
t.Cat * work @dispvm allow
t.Denied * work @dispvm deny
""" % ((SHELL,) * 12))
with open(VM + "defaults", "a") as f:
    f.write("default_dispvm = dvm\n")
write(VM + "dvm", "label = red\ntemplate_for_dispvms = true\ntags = bases\nnetvm = net\n")
write(VM + "net", "label = red\nprovides_network = true\n")
write(VM + "other", "label = gray\ntemplate_for_dispvms = true\ntags = bases\ndefault_dispvm = dvm\nnetvm =\n")
write(VM + "broken", "label = red\ntemplate_for_dispvms = true\nroot = /nonexistent\n")
write(VM + "vault", "label = black\ndefault_dispvm =\n")
if XEN:
    sh("qvm-kill", "third")  # room
for base in ("dvm", "other") if XEN else ():
    with open(VM + base, "a") as f:
        f.write("private_size = 16\n")
    # One that was made by hand, and has no template, has volumes if it has a directory.
    os.mkdir("/var/lib/qubes/appvms/" + base)
r = qubes("work", "vault", "dvm", "other")
ok(r.returncode == 0, "callers and bases run", r)
for base in ("dvm", "other"):
    qvm("-u", "root", base, "mkdir -p /usr/local/etc/qubes-rpc; cd /usr/local/etc/qubes-rpc; printf '#!/bin/sh\\nexec cat\\n' >t.Cat;"
        "chmod +x t.Cat; echo %s >/home/user/mark" % base)
    sh("qvm-shutdown", "--wait", base)
rows([from_policy, thrown_away, refusals, qsb_047, two_at_once, caller_killed, its_own_end, daemons_killed, by_hand, kept_ready, qrexecd_by_hand])
done()
