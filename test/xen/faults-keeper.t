#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
# On real Xen the daemons are killed, one after the other, while calls run; then xenstore itself.
from dom0 import *


class Long:
    """A call in the middle of its bytes: back comes what goes out."""

    def __init__(self, *argv):
        self.p = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.said = False

    def push(self, word=b"x" * 2000):
        """Whether it came back, in time."""
        got, end = b"", time.monotonic() + LIMIT
        try:
            self.p.stdin.write(word)
            self.p.stdin.flush()
        except OSError:
            return False
        os.set_blocking(self.p.stdout.fileno(), False)
        while len(got) < len(word) and time.monotonic() < end:
            part = self.p.stdout.read(len(word) - len(got))
            if part == b"":
                return False
            got += part or b""
            if part is None:
                time.sleep(0.02)
        return got == word

    def end(self):
        self.p.stdin.close()
        return not ended([self.p]) and self.p.returncode == 0


CALLS = (("from Dom0", ("qvm-run", "-p", "work", "cat")),
         ("to Dom0", ("qvm-run", "-p", "work", "exec qrexec-client-vm dom0 t.Cat")),
         ("from qube to qube", ("qvm-run", "-p", "work", "exec qrexec-client-vm vault t.Cat")))


def calls():
    c = [(name, Long(*argv)) for name, argv in CALLS]
    ok(all([x.push() for _, x in c]), "calls run", [n for n, x in c if not x.push(b"y")])
    return c


def go_on(c, what):
    bad = [n for n, x in c if not x.push() or not x.end()]
    eq(bad, [], what + ": the calls go on, and end well")


def served(what, limit=2 * LIMIT):
    last = []

    def all_kinds():
        last[:] = [n for n, argv in CALLS if sh(*argv, data=b"hello")[1] != "hello"]
        return not last
    ok(until(all_kinds, limit, 0.5), what + ": and new ones are served", last)


def keeper_killed():
    c, before, log, pid = calls(), state("work"), since("work/vm"), keeper("work")
    os.kill(pid, 9)
    ok(until(lambda: state("work").get("pid") not in (None, str(pid)) and is_state("work", "Running"), 2 * LIMIT),
       "the keeper is killed: the next one has it", log.text())
    after = state("work")
    eq({k: after[k] for k in ("domid", "session", "qid", "uuid")}, {k: before[k] for k in ("domid", "session", "qid", "uuid")},
       "the same domain, the same session")
    ok(log.says("adopts session"), "it says so", log.text())
    go_on(c, "the keeper is killed")
    inside("work", "echo after-the-keeper >/dev/hvc0")
    ok(log.says("after-the-keeper"), "its console goes on", log.text())
    served("the keeper is killed")


def daemons_killed():
    for d in ("startd", "chand", "policyd", "qrexec-dom0", "console of work"):
        pid = child_of(keeper("work")) if d.startswith("console") else svpid(d)
        again = (lambda: child_of(keeper("work"))) if d.startswith("console") else (lambda: svpid(d))
        c = calls()
        os.kill(pid, 9)
        ok(until(lambda: again() not in (pid, -1, 0), 2 * LIMIT), d + " is killed: started again")
        go_on(c, d + " is killed")
        served(d + " is killed")
    # Its connections to the agent are gone with it: what runs does not need them.
    pid, c = svpid("qrexecd/instance/work"), calls()
    os.kill(pid, 9)
    ok(until(lambda: svpid("qrexecd/instance/work") not in (pid, -1), 2 * LIMIT), "qrexecd is killed: started again")
    alive_yet = [n for n, x in c if x.push()]
    ok("from Dom0" in alive_yet, "qrexecd is killed: what runs goes on", alive_yet)
    for _, x in c:
        x.p.kill()
        x.p.wait()
    served("qrexecd is killed")
    # A child that serves a call takes the call with it, and no other.
    c = calls()
    kids = [int(x) for x in sh("pgrep", "-P", str(svpid("qrexec-dom0")))[1].split()]
    ok(kids, "a child of qrexec-dom0 serves")
    for k in kids:
        os.kill(k, 9)
    late = ended([dict(c)["to Dom0"].p])
    ok(late == [] and dict(c)["to Dom0"].p.returncode != 0, "it is killed: its call ends, with an error", late)
    go_on([x for x in c if x[0] != "to Dom0"], "it is killed")
    served("it is killed")


def killed_while_building():
    conf("half", private_="/var/tmp/half.img")
    sh("truncate", "-s", "16M", "/var/tmp/half.img")
    kept, there = loops(), set(domains())
    log = since("half/vm")
    starting = background("qvm-start", "half")
    made = until(lambda: set(domains()) - there, 2 * LIMIT, 0)
    pid = until(lambda: keeper("half") > 0 and keeper("half"))
    os.kill(pid, 9)
    ok(made, "the keeper is killed when its domain is there")
    domid = max(made or [0])
    ended([starting], 4 * LIMIT)
    adopted = "adopts" in log.text()
    print("# killed %s" % ("after it was announced" if adopted else "before anybody knew"))
    ok(starting.returncode in (0, 1), "the start ends", starting.returncode)
    if not adopted:
        ok(domid not in domains() and nodes_of(domid) == [], "the half-built domain is gone", (domains(), nodes_of(domid)))
    if starting.returncode == 0:
        ok(alive("half"), "built once more, and served")
        domid = int(state("half")["domid"])
    sh("qvm-kill", "half")
    is_gone("half", domid, "nothing is left")
    ok(until(lambda: set(domains()) == there and loops() == kept), "nor of any other", (domains(), loops()))


def xenstore_ends():
    """Last: it does not come back."""
    c = calls()
    pids = {d: svpid(d) for d in ("startd", "chand", "policyd", "qrexec-dom0", "qrexecd/instance/work", "qrexecd/instance/vault",
                                  "vm/instance/work", "vm/instance/vault")}
    pids["console"] = child_of(keeper("work"))
    sh("pkill", "-9", "-x", "xenstored")
    ok(until(lambda: "xenstore is gone" in logs("work/vm")), "xenstore is killed: the keepers say so", logs("work/vm")[-300:])
    go_on([(n, x) for n, x in c if x.push() or True], "xenstore is killed")
    conf("late")
    began = time.monotonic()
    rc, out = start("late")
    ok(rc == 1 and "xenstore" in out, "a new start is refused, with the reason", out)
    ok(time.monotonic() - began < LIMIT, "at once", time.monotonic() - began)
    rc, out = sh("qvm-run", "-p", "vault", "true")
    ok(rc not in (0, None), "a new call ends with an error", (rc, out))
    before, began = {d: cpu(p) for d, p in pids.items()}, time.monotonic()
    time.sleep(4)
    took = time.monotonic() - began
    busy = {d: round(cpu(p) - before[d], 2) for d, p in pids.items() if cpu(p) - before[d] > 0.15 * took}
    eq(busy, {}, "nobody spins")
    eq({d: p for d, p in pids.items() if not os.path.exists("/proc/%d" % p)}, {}, "and nobody has ended")
    # What runs can be ended, and a guest that ends is noticed.
    domid = int(state("vault")["domid"])
    eq(sh("qvm-kill", "vault")[0], 0, "qvm-kill works")
    zombie(domid, "and Xen has forgotten the domain", 4)
    ok(until(lambda: not os.path.exists(RUN + "/state/vault")), "its state is gone")
    domid = int(state("work")["domid"])
    dom("destroy", domid)
    ok(until(lambda: not os.path.exists(RUN + "/state/work"), 2 * LIMIT), "one that ends by itself is noticed")
    zombie(domid, "and forgotten", 4)
    domid = int(state("third")["domid"])
    began = time.monotonic()
    eq(sh("qvm-shutdown", "--wait", "--timeout", "2", "third")[0], 0, "what cannot be asked to shut down is destroyed")
    zombie(domid, "and forgotten", 4)


allow_cat()
serve_cat("work", "vault")
rows((keeper_killed, daemons_killed, killed_while_building, xenstore_ends))
done()
