#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
# Qubes that misbehave on real Xen: one that never answers, that crashes or reboots while it starts, that scribbles
# over its xenstore directory, that closes channels in the middle of calls, that floods its console.
from dom0 import *

DISK = "/var/tmp/private.img"


def never_answers():
    conf("mute", kernelopts="rdinit=/bin/cat", qrexec_timeout=3)
    log, began = since("mute/vm"), time.monotonic()
    rc, out = start("mute")
    eq(rc, 1, "an init that does nothing: qvm-start fails")
    ok("the agent did not answer in time" in out, "and says so", out)
    ok(log.says("ended, code 30"), "code 30", log.text())
    m = re.search("domain ([0-9]+)", log.text())
    is_gone("mute", int(m.group(1)), "destroyed, and nothing is left")
    ok(time.monotonic() - began < 10 * SLOW + 3, "in time", time.monotonic() - began)


def start_that_ends(opts, code, name, reason, n=1):
    conf("crash", kernelopts=opts, qrexec_timeout=8 * SLOW)
    log = since("crash/vm")
    rc, out = start("crash")
    eq(rc, 1, name + ": qvm-start fails")
    ok(re.search(reason, out), name + ": with the reason", out)
    ok(log.says("ended, code %d" % code), "%s: code %d" % (name, code), log.text())
    ids = [int(x) for x in re.findall("session [0-9a-f]+, domain ([0-9]+)", log.text())]
    ok(len(ids) >= n and len(set(ids)) == len(ids), "%s: %d domains" % (name, len(ids)), log.text())
    for i in ids[-1:]:
        is_gone("crash", i, name + ": nothing is left")


def crashes_early():
    start_that_ends("rdinit=/bin/false panic=1", 20, "its init ends", "crashed")
    start_that_ends("init=/nosuch rdinit=/nosuch root=/dev/nosuch panic=1", 20, "it has no init", "crashed")


def reboots_for_ever():
    # Started anew each time, but nobody waits longer than the agent may take.
    start_that_ends('rdinit=/bin/busybox -- sh -c "reboot -f"', 10, "it reboots as it starts", "agent|reboot", 2)


def crash_and_reboot():
    conf("crash")
    eq(start("crash")[0], 0, "a decent one")
    before, log = state("crash"), since("crash/vm")
    inside("crash", "reboot -f")
    again = until(lambda: state("crash").get("session", before["session"]) != before["session"] and
                  is_state("crash", "Running"), 3 * LIMIT)
    ok(again and log.says("ended, code 10"), "rebooted: started again, code 10", log.text())
    after = state("crash")
    ok(after["domid"] != before["domid"] and after["qid"] == before["qid"] and after["uuid"] == before["uuid"],
       "a new domain, the same qube", (before, after))
    ok(alive("crash"), "it is served")
    eq(nodes_of(int(before["domid"])), [], "nothing of the first")
    log = since("crash/vm")
    sh("qvm-run", "-u", "root", "crash", "echo c >/proc/sysrq-trigger")
    ok(log.says("ended, code 20"), "crashed: code 20", log.text())
    is_gone("crash", int(after["domid"]), "and not started again: nothing is left")


def scribbles():
    conf("scrib", private_=DISK, shutdown_timeout=2)
    sh("truncate", "-s", "16M", DISK)
    before, kept = nodes(), loops()
    eq(start("scrib")[0], 0, "a qube with a disk")
    me, mine = state("scrib"), "/local/domain/%s/" % state("scrib")["domid"]
    put_inside("scrib", "scribble")
    truth = {k: store("read", mine + k) for k in ("name", "domid", "vm", "console/port", "console/ring-ref", "store/port")}
    rc, out = inside("scrib", "/tmp/scribble all")
    done = {l.split()[0] for l in out.splitlines() if l.endswith("written")}
    ok(rc == 0 and "data/vchan/0/512/ring-ref" in done and "control/shutdown" in done, "it writes what is its own", out)
    theirs = [p for p in done if p.startswith("/") or p.split("/")[0] in
              ("name", "domid", "vm", "store", "console", "memory", "cpu")]
    eq(theirs, [], "and nothing else")
    eq({k: store("read", mine + k) for k in truth}, truth, "what Dom0 reads stands as it was")
    rc, out = inside("scrib", "/tmp/scribble quota")
    made = int(out.split()[0]) if rc == 0 else -1
    ok(0 < made < 2000 and "ENOSPC" not in out, "no more nodes than its quota", out)
    ok(alive("work") and alive("vault"), "others are served")
    # While it goes on, others come and go.
    storm = background("qvm-run", "-u", "root", "scrib", "/tmp/scribble storm %d" % (20 * SLOW))
    conf("other")
    rc, out = start("other")
    other = state("other")
    eq(rc, 0, "while it writes and removes without end: another starts")
    log = since("other/vm")
    eq(sh("qvm-kill", "other")[0], 0, "and ends")
    is_gone("other", int(other["domid"]), "and nothing of that one is left")
    ok("nodes not removed" not in log.text(), "its nodes are removed at once", log.text())
    began = time.monotonic()
    eq(sh("qvm-shutdown", "--wait", "scrib")[0], 0, "it is shut down, or destroyed")
    ok(time.monotonic() - began < 2 + 8 * SLOW, "within its time", time.monotonic() - began)
    is_gone("scrib", int(me["domid"]), "and nothing is left")
    ok(until(lambda: loops() == kept), "no loop device either", loops())
    same_nodes(before, "the same nodes as before")
    ended([storm])
    eq(start("scrib")[0], 0, "it starts again")
    ok(alive("scrib"), "and is served")
    sh("qvm-kill", "scrib")


def closes_channels():
    allow_cat()
    serve_cat("work", "vault")
    agent = "killall -9 qrexec-agent"
    # Dom0's calls, both ways, while its agent dies.
    calls = [background("qvm-run", "-p", "work", "cat /dev/zero"),
             background("sh", "-c", "qvm-run -p work 'cat >/dev/null' </dev/zero"),
             background("sh", "-c", "qvm-run -p work cat </dev/zero")]
    flows = until(lambda: cats("work") >= 3)
    ok(flows, "calls run")
    background("qvm-run", "-u", "root", "work", agent)
    eq(ended(calls), [], "the agent and all its children are killed: calls from Dom0 end")
    ok(0 not in [c.returncode for c in calls], "with an error", [c.returncode for c in calls])
    ok(until(lambda: alive("work"), 2 * LIMIT, 1), "served again")
    # Calls of a qube's: who asked is killed.
    for target in ("dom0", "vault"):
        calls = [background("qvm-run", "work", "yes | qrexec-client-vm %s t.Cat >/dev/null" % target),
                 background("qvm-run", "work", "qrexec-client-vm %s t.Cat </dev/zero >/dev/null" % target)]

        def servers():
            if target == "dom0":
                return int(sh("sh", "-c", "pgrep -x cat | wc -l")[1])
            return cats(target)
        ok(until(lambda: servers() >= 2), "calls to %s run" % target)
        inside("work", "killall -9 qrexec-client-vm")
        eq(ended(calls), [], "qrexec-client-vm is killed: its caller ends")
        ok(until(lambda: servers() == 0), "and what served it in %s" % target, servers())
        rc, out = inside("work", "echo again | qrexec-client-vm %s t.Cat" % target)
        eq((rc, out), (0, "again"), "%s serves again" % target)
    # And the other end: the server's agent is killed under the calls of another.
    calls = [background("qvm-run", "work", "qrexec-client-vm vault t.Cat </dev/zero >/dev/null")]
    ok(until(lambda: cats("vault") >= 1), "a call runs")
    background("qvm-run", "-u", "root", "vault", agent)
    eq(ended(calls), [], "the server's agent is killed: the caller ends")
    ok(calls[0].returncode != 0, "with an error", calls[0].returncode)
    ok(until(lambda: inside("work", "echo again | qrexec-client-vm vault t.Cat") == (0, "again"), 2 * LIMIT, 1),
       "served again")


def floods_its_console():
    log, seconds, pid = since("third/vm"), 4, child_of(keeper("third"))
    shown = subprocess.Popen(["sh", "-c", "sleep 1000 | qvm-console third"], stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, start_new_session=True)
    os.set_blocking(shown.stdout.fileno(), False)
    before, began = cpu(pid), time.monotonic()
    flood = background("qvm-run", "-u", "root", "third",
                       "printf '\\033]0;x\\007\\n' >/dev/hvc0; timeout %d yes $(printf 'y%%.0s' $(seq 60)) >/dev/hvc0" % (seconds * SLOW))
    ok(log.says("y{60}"), "it prints")
    ok(alive("work") and alive("vault"), "others are served meanwhile")
    ended([flood])
    spent, took = cpu(pid) - before, time.monotonic() - began
    ok(spent < 0.3 * took, "the console takes %.2f s of the processor in %.1f" % (spent, took))
    inside("third", "echo the-end >/dev/hvc0")
    ok(log.says("lines dropped"), "lines are dropped, and the log tells", log.text()[-300:])
    lines = log.text().count("\n")
    ok(lines < 400 + 50 * (time.monotonic() - began) + 50, "%d lines in its log" % lines)
    ok(set(log.text()) <= {chr(c) for c in range(0x20, 0x7f)} | {"\n"} and "%1B]0;x%07" in log.text(), "all printable")
    text = b""
    while True:
        part = shown.stdout.read(65536)
        if not part:
            break
        text += part
    ok(b"yyyyyyyyyy" in text, "who is attached sees it", text[-200:])
    ok(alive("third"), "and it is served")
    os.killpg(shown.pid, 15)
    shown.wait()


rows((never_answers, crashes_early, reboots_for_ever, crash_and_reboot, scribbles, closes_channels, floods_its_console))
done()
