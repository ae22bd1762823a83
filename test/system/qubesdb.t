#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
# QubesDB of qubes that run: what Dom0 tells them, both directions, restarts and kills of either side, a flood.
import os, re, subprocess, sys, threading, time

sys.path[0] += "/.."
from tap import *

in_house()
FLOOD = os.path.join(os.environ["TOP"], os.environ["O"], "test/qdb-flood")


def run(*argv, **kw):
    return subprocess.run(argv, capture_output=True, timeout=30 * SLOW, **kw)


def text(*argv):
    return run(*argv).stdout.decode(errors="replace").rstrip("\n")


def inside(qube, cmd, **kw):
    return run("qvm-run", "-p", "-u", "root", qube, cmd, **kw)


def its(qube, cmd):
    return inside(qube, cmd).stdout.decode(errors="replace").rstrip("\n")


def pid(qube):
    """Of its qdbd in Dom0, when that is inside its sandbox."""
    return text("pgrep", "-o", "-u", str(uid_of(qube, 7))) or None


def dom0_has(qube):
    """All that Dom0 reads, as pairs."""
    out = {}
    for line in text("qubesdb-multiread", "-f", "-d", qube, "/").splitlines():
        k, v = line.split(" = ", 1)
        out[k] = v
    return out


def qube_has(qube):
    out = {}
    for line in its(qube, "qubesdb-multiread -f /").splitlines():
        k, v = line.split(" = ", 1)
        out[k] = v
    return out


def conf(qube, lines):
    write(VM + qube, "label = blue\n" + lines)


# ---- what is there after a start, against the table of spec/qubesdb 8

EVERY = """/default-user /keyboard-layout /name /qubes-base-template /qubes-block-devices /qubes-debug-mode
/qubes-gui-enabled /qubes-iptables-error /qubes-random-seed /qubes-service/meminfo-writer /qubes-usb-devices
/qubes-vm-persistence /qubes-vm-type /qubes-vm-updateable /type""".split()
CLIENT = """/qubes-gateway /qubes-ip /qubes-mac /qubes-netmask /qubes-primary-dns /qubes-secondary-dns""".split()
NET = """/connected-ips /connected-ips6 /qubes-netvm-gateway /qubes-netvm-netmask /qubes-netvm-network
/qubes-netvm-primary-dns /qubes-netvm-secondary-dns""".split()
# qube, its file, the keys besides EVERY, some values
TABLE = (
    ("t-app", "netvm = t-net\ntimezone = Europe/Warsaw\nguivm = dom0\nfeature.service.crond = 1\n"
     "feature.service.cups = 0\nfeature.vm-config.log-backend = loghost\n",
     CLIENT + ["/qubes-timezone", "/qubes-gui-domain-xid", "/qubes-service/crond", "/qubes-service/cups",
               "/vm-config/log-backend"],
     {"/type": "AppVM", "/qubes-vm-type": "AppVM", "/qubes-vm-persistence": "rw-only", "/qubes-vm-updateable": "False",
      "/qubes-timezone": "Europe/Warsaw", "/qubes-gui-enabled": "True", "/qubes-gui-domain-xid": "0",
      "/qubes-service/crond": "1", "/qubes-service/cups": "0", "/vm-config/log-backend": "loghost",
      "/qubes-netmask": "255.255.255.255", "/qubes-primary-dns": "10.139.1.1", "/qubes-secondary-dns": "10.139.1.2"}),
    ("t-net", "provides_network = true\nfeature.anon-timezone = 1\n", NET,
     {"/type": "AppVM", "/qubes-vm-type": "NetVM", "/qubes-vm-persistence": "rw-only", "/qubes-service/meminfo-writer": "0",
      "/qubes-netvm-netmask": "255.255.255.255"}),
    ("t-proxy", "provides_network = true\nnetvm = t-net\nfeature.anon-timezone = 1\n", NET + CLIENT,
     {"/qubes-vm-type": "ProxyVM"}),
    ("t-tmpl", "type = TemplateVM\nfeature.anon-timezone = 1\n", [],
     {"/type": "TemplateVM", "/qubes-vm-type": "TemplateVM", "/qubes-vm-persistence": "full", "/qubes-vm-updateable": "True"}),
    ("t-disp", "type = DispVM\ntemplate = t-app\nnetvm =\nfeature.anon-timezone = 1\ndebug = 1\n", [],
     {"/type": "DispVM", "/qubes-vm-type": "AppVM", "/qubes-vm-persistence": "none", "/qubes-base-template": "t-app",
      "/qubes-debug-mode": "1"}),
)


def keys_of_each_kind():
    seen = {}
    for name, lines, _, _ in TABLE:
        conf(name, lines)
    if XEN:  # memory
        run("qvm-kill", "vault", "third")
    for name in ("t-net", "t-app", "t-proxy", "t-tmpl", "t-disp"):
        _, _, more, values = next(t for t in TABLE if t[0] == name)
        r = qubes(name)
        ok(r.returncode == 0, "%s starts" % name, r)
        inner, outer = its(name, "qubesdb-list -f /").split(), text("qubesdb-list", "-f", "-d", name, "/").split()
        print("# %s: %s" % (name, " ".join(inner)))
        eq(sorted(inner), sorted(EVERY + more), name + ": the keys of spec/qubesdb 8, no less and no more")
        eq(outer, inner, name + ": the same ones in Dom0")
        got = qube_has(name)
        eq({k: got.get(k) for k in values}, values, name + ": what they say")
        eq(got.get("/name"), name, name + ": its name")
        seen[name] = got
        if name != "t-net":
            run("qvm-kill", name)
    ip = [seen["t-net"]["/qubes-netvm-gateway"]] + [seen[q]["/qubes-ip"] for q in ("t-app", "t-proxy")]
    ok(len(set(ip)) == 3 and all(v.startswith("10.137.") for v in ip), "each has its own address", ip)
    eq([seen[q]["/qubes-gateway"] for q in ("t-app", "t-proxy")], ip[:1] * 2, "and its net qube's as gateway")
    run("qvm-start", "t-app")
    old = pid("t-net")
    os.kill(int(old), 9)
    until(lambda: pid("t-net") not in (None, old))
    ok(until(lambda: text("qubesdb-read", "-d", "t-net", "/connected-ips") == ip[1]), "a net qube's daemon that starts anew knows who is connected")
    eq(text("qubesdb-read", "/name") + " " + text("qubesdb-read", "-d", "dom0", "/type"), "dom0 AdminVM", "Dom0 has its own")
    run("qvm-kill", "t-net", "t-app")


# ---- both directions

def fires(watch, write, name, key):
    """A watch fires when the other side writes; written again until it does, since nobody says when a watch is set."""
    w = subprocess.Popen(watch, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    out = []
    t = threading.Thread(target=lambda: out.append(w.stdout.read().decode().strip()))
    t.start()
    until(lambda: write() and not t.join(0.2) and not t.is_alive())
    if t.is_alive():
        w.kill()
    t.join()
    eq(out, [key], name)


def both_ways():
    fires(["qvm-run", "-p", "work", "qubesdb-watch /t/from-dom0"],
          lambda: run("qubesdb-write", "-d", "work", "/t/from-dom0", "hello") is not None,
          "written in Dom0, qubesdb-watch in the qube fires", "/t/from-dom0")
    eq(its("work", "qubesdb-read /t/from-dom0"), "hello", "and the value is there")
    fires(["qubesdb-watch", "-d", "work", "/t/"],
          lambda: inside("work", "qubesdb-write /t/from-qube there") is not None,
          "written in the qube, qubesdb-watch in Dom0 fires", "/t/from-qube")
    eq(text("qubesdb-read", "-d", "work", "/t/from-qube"), "there", "and the value is there")
    run("qubesdb-rm", "-d", "work", "/t/from-dom0")
    ok(until(lambda: inside("work", "qubesdb-read -q /t/from-dom0").returncode == 2), "removed in Dom0: gone in the qube")
    eq(inside("vault", "qubesdb-read -q /t/from-qube").returncode, 2, "another qube has none of it")
    # Its own view of a key of Dom0's.
    inside("work", "qubesdb-write /name mallory; qubesdb-rm /type; qubesdb-write /t/seen 1")
    until(lambda: run("qubesdb-read", "-q", "-d", "work", "/t/seen").returncode == 0)
    eq([text("qubesdb-read", "-d", "work", k) for k in ("/name", "/type")], ["work", "AppVM"],
         "what Dom0 has written stays as it is there")
    eq(its("work", "qubesdb-read /name; qubesdb-read /type; echo $?").splitlines()[0::2][0], "mallory", "the qube sees its own")
    eq(sorted(text("qubesdb-list", "-f", "--owner", "-d", "work", k).split()[0] for k in ("/name", "/t/from-qube")),
         ["both", "qube"], "whose is whose can be asked")
    run("qubesdb-write", "-d", "work", "/name", "work", "/type", "AppVM")
    ok(until(lambda: its("work", "qubesdb-read /name /type") == "work\nAppVM"), "until Dom0 writes again")
    eq(run("setpriv", "--reuid", "4242", "--regid", "4242", "--clear-groups", "qubesdb-read", "-d", "work", "/name").returncode, 1,
       "a stranger in Dom0 does not get to it")


# ---- kills and restarts

def killed_in_dom0():
    inside("work", "qubesdb-rm /qubes-random-seed; qubesdb-write /t/kept yes")
    until(lambda: run("qubesdb-read", "-q", "-d", "work", "/t/kept").returncode == 0)
    run("qubesdb-write", "-d", "work", "/t/runtime", "by Dom0")
    ok(until(lambda: "/t/runtime" in qube_has("work")), "before: written in Dom0 while it runs")
    dom0, qube, old = dom0_has("work"), qube_has("work"), pid("work")
    ok(dom0.pop("/qubes-random-seed", None) is not None, "before: Dom0 knows that there was a random seed")
    run("kill", "-9", old)
    ok(until(lambda: pid("work") not in (None, old)), "qdbd after kill -9: back")

    def again():
        now = dom0_has("work")
        return now if "/t/runtime" in now and "/t/kept" in now else None
    eq(until(again), dom0, "with the same content: Dom0's keys from the file, the qube's from the qube; no new random seed")
    eq(qube_has("work"), qube, "the qube has what it had")
    fires(["qvm-run", "-p", "work", "qubesdb-watch /t/after"],
          lambda: run("qubesdb-write", "-d", "work", "/t/after", "1") is not None, "and it replicates again", "/t/after")
    fires(["qubesdb-watch", "-d", "work", "/t/back"], lambda: inside("work", "qubesdb-write /t/back 1") is not None,
          "both ways", "/t/back")


def killed_before_the_qube_came():
    """What is given once a start is given to one that has not been there yet: a stock qube waits for its random seed."""
    qdbd = "/usr/lib/qubes/qdbd"
    os.rename(qdbd, qdbd + ".real")
    write(qdbd, "#!/bin/sh\nif [ $1 = -n ]; then echo >&3; while [ ! -e /tmp/go ]; do sleep 0.1; done; fi\nexec %s.real \"$@\"\n" % qdbd, 0o755)
    conf("t-late", "")
    r = run("qvm-start", "t-late")
    ok(r.returncode == 0, "a qube whose qdbd comes late", r)
    old = pid("t-late")
    run("kill", "-9", old)
    ok(until(lambda: pid("t-late") not in (None, old)), "that of Dom0 after kill -9: back")
    inside("t-late", "touch /tmp/go")
    ok(until(lambda: len(its("t-late", "qubesdb-read -q /qubes-random-seed")) == 88), "the qube still gets its random seed",
       its("t-late", "qubesdb-list -f /"))
    os.rename(qdbd + ".real", qdbd)
    run("qvm-kill", "t-late")


def slow_in_the_qube():
    """A qube's first call finds its store."""
    qdbd = "/usr/lib/qubes/qdbd"
    os.rename(qdbd, qdbd + ".real")
    write(qdbd, "#!/bin/sh\n[ $1 != -n ] || sleep 1\nexec %s.real \"$@\"\n" % qdbd, 0o755)
    conf("t-slow", "")
    r = run("qvm-run", "-p", "t-slow", "qubesdb-read /name")
    eq((r.returncode, r.stdout), (0, b"t-slow\n"), "a qube whose qdbd is slow to come: its first call finds what it says")
    os.rename(qdbd + ".real", qdbd)
    run("qvm-kill", "t-slow")


def killed_in_the_qube():
    inside("work", "qubesdb-write /t/own 1 /t/other 2")
    until(lambda: "/t/other" in dom0_has("work"))
    before = qube_has("work")
    old = its("work", "pidof qdbd")
    inside("work", "kill -9 " + old)
    ok(until(lambda: its("work", "pidof qdbd") not in ("", old)), "the qube's qdbd after kill -9: its init starts it again")
    until(lambda: qube_has("work") == before)
    eq(qube_has("work"), before, "with all of Dom0's store, its own part too")


def chand_killed():
    old = pid("work")
    os.kill(svpid("chand"), 9)
    fires(["qvm-run", "-p", "work", "qubesdb-watch /t/chand"],
          lambda: run("qubesdb-write", "-d", "work", "/t/chand", "1") is not None, "chand killed: the channel stays", "/t/chand")
    inside("work", "kill -9 $(pidof qdbd)")
    fires(["qubesdb-watch", "-d", "work", "/t/new"], lambda: inside("work", "qubesdb-write /t/new 1") is not None,
          "and the new one opens the next", "/t/new")
    eq(pid("work"), old, "qdbd itself has not ended")


def keeper_killed():
    """vmstart adopts the qube: its store is what it was."""
    old, store = svpid("vm/instance/work"), pid("work")
    os.kill(old, 9)
    until(lambda: state("work")["pid"] != str(old) and state("work")["state"] == "Running")
    eq((pid("work"), its("work", "qubesdb-read /name")), (store, "work"), "a killed keeper adopts the qube with its store")


def restarted():
    session, seed = state("work")["session"], dom0_has("work").get("/qubes-random-seed")
    conf("work", "debug = 1\nfeature.vm-config.new = 1\n" + ("virt_mode = pvh\nmemory = 128\n" if XEN else ""))
    run("qvm-shutdown", "--wait", "work")
    eq([p for p in ("/run/qubes/qubesdb.work.sock", "/run/qubes/qubesdb.work.ro.sock", "/run/qubes/q/work",
                      "/run/qubes/s6/qdbd/instances/work") if os.path.lexists(p)], [], "shut down: nothing of it is left")
    run("qvm-start", "work")
    ok(state("work")["session"] != session, "started again")
    got = qube_has("work")
    eq([k for k in got if k.startswith("/t/")], [], "it begins anew: what it wrote is gone")
    eq((got["/qubes-debug-mode"], got.get("/vm-config/new")), ("1", "1"), "and has what its file says now")
    ok(len(got["/qubes-random-seed"]) == 88 and got["/qubes-random-seed"] != seed, "a new random seed")
    eq(dom0_has("work"), got, "Dom0 has the same")


def cannot_be_filled():
    """The qube is not let run without its store."""
    qdbd = "/usr/lib/qubes/qdbd"
    conf("t-none", "")
    os.rename(qdbd, qdbd + ".away")
    write(qdbd, "#!/bin/sh\nexit 111\n", 0o755)
    began = time.monotonic()
    r = run("qvm-start", "t-none")
    took = time.monotonic() - began
    os.rename(qdbd + ".away", qdbd)
    ok(r.returncode != 0 and b"no QubesDB" in r.stderr, "no store: the qube is not started, and why", r)
    ok(took < 6 * SLOW, "soon", took)
    eq(os.path.lexists("/run/qubes/state/t-none"), False, "nothing of it is left")
    ok(run("qvm-start", "t-none").returncode == 0, "the next time it starts")
    run("qvm-kill", "t-none")


# ---- a hostile qube

def memory(p):
    return int(re.search(r"VmRSS:\s+(\d+)", read("/proc/%s/status" % p)).group(1))


def flood():
    with open(FLOOD, "rb") as f:
        inside("work", "cat >/tmp/flood; chmod 755 /tmp/flood", input=f.read())
    log = since("work/qdbd")
    p, many = pid("work"), 3000
    vault = memory(pid("vault"))
    w = subprocess.Popen(["qvm-run", "-p", "-u", "root", "work",
                          "while :; do killall -9 qdbd 2>/dev/null || pkill -9 -x qdbd; sleep 0.05; done & k=$!; "
                          "export IN=1 $(tr '\\0' '\\n' </proc/1/environ | grep VCHAN); /tmp/flood %d; kill $k" % many],
                         stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    slowest, asked = 0, 0
    while w.poll() is None:
        began = time.monotonic()
        if text("qubesdb-read", "-d", "vault", "/name") != "vault":
            slowest = 1e9
        slowest, asked = max(slowest, time.monotonic() - began), asked + 1
        time.sleep(0.01)
    said = w.stdout.read().decode().strip()
    m = re.fullmatch(r"ok=(\d+) error=(\d+)", said)
    ok(m and int(m[1]) + int(m[2]) == many and 1300 < int(m[1]) < 1400, "a flood of 3000 keys of 3000 bytes: refused at 4 MiB", said)
    eq(log.text().count("limit is reached"), 1, "with one line in the log")
    ok(pid("work") == p and memory(p) < 16384, "its daemon goes on, with little memory (KiB)", memory(p))
    print("# %s KiB; the other's slowest of %d answers: %.0f ms" % (memory(p), asked, slowest * 1000))
    ok(slowest < 2 * SLOW and memory(pid("vault")) <= vault + 512, "another qube's store answers all the while, and has not grown",
       (slowest, asked))
    eq(text("qubesdb-read", "-d", "work", "/name"), "work", "Dom0 reads")
    until(lambda: its("work", "qubesdb-read /name") == "work")
    fires(["qvm-run", "-p", "work", "qubesdb-watch /later"],
          lambda: run("qubesdb-write", "-d", "work", "/later", "1") is not None,
          "and writes: the flooded qube's own, started again, hears of it", "/later")
    run("qubesdb-rm", "-d", "work", "/flood/")


r = qubes("work", "vault")
ok(r.returncode == 0, "two qubes run", r)
rows((both_ways, killed_in_dom0, killed_before_the_qube_came, slow_in_the_qube, killed_in_the_qube, chand_killed, keeper_killed, flood, restarted, cannot_be_filled,
      keys_of_each_kind))
done()
