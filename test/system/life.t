#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
# The life of qubes: paused, started after their netvms, ended before them; disposables, and those that are kept ready;
# what is left of them when somebody dies in between.
import os, re, shutil, signal, socket, subprocess, sys, time

sys.path[0] += "/.."
from tap import *

in_house()

# Where each start takes seconds, what differs in one word only is tried once.
FEWER = LESS > 1
START = RUN + "/s/start.sock"
PRELOAD = RUN + "/state/.preload/"


# --- startd ---

class Ask:
    """A request to startd whose connection stays until close()."""

    def __init__(self, **req):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(60 * SLOW)
        self.s.connect(START)
        self.s.sendall("".join("%s=%s\n" % kv for kv in req.items()).encode() + b"\n")

    def answer(self):
        text = b""
        while b"\n\n" not in text:
            part = self.s.recv(4096)
            if not part:
                break
            text += part
        return kv(text.decode())

    def close(self):
        self.s.close()

    def ended(self):
        """Has startd let go of it?"""
        return self.s.recv(1) == b""


def ask(**req):
    try:
        a = Ask(**req)
        got = a.answer()
        a.close()
    except OSError:
        return {}  # startd has just been killed
    return got


def ok_ask(what, **req):
    got = ask(**req)
    return ok(got.get("result") == "ok", what, got)


def refused(what, pattern, **req):
    got = ask(**req)
    return ok(got.get("result") == "refused" and re.search(pattern, got.get("reason", "")), what, got)


def conf(name, text=""):
    write(VM + name, "label = blue\n" + text)


def is_state(name, word):
    return state(name).get("state", "Halted") == word


def start(*names):
    for n in names:
        got = ask(op="start", name=n)
        if got.get("result") != "ok":
            raise RuntimeError("%s: %r" % (n, got))


def kill(*names):
    for n in names:
        ask(op="kill", name=n)


def run(qube, command):
    return sh("qvm-run", "-p", qube, command)


def restart_startd():
    pid = svpid("startd")
    os.kill(pid, signal.SIGKILL)
    until(lambda: svpid("startd") not in (pid, -1))
    subprocess.run(["s6-svwait", "-U", "-t", "10000", S6 + "/startd"])


def disposables():
    return sorted(f for f in os.listdir(VM) if f.startswith("disp"))


def left():
    """All that there is of any disposable."""
    found = []
    for d in (VM, RUN + "/state", RUN + "/q", RUN + "/qdb", RUN + "/vm", RUN + "/vm/.prepared", PRELOAD, RUN + "/local", S6 + "/vm/instance",
              S6 + "/vm/instances", S6 + "/qrexecd/instance", S6 + "/qrexecd/instances", S6 + "/qdbd/instances", LOG,
              "/var/lib/qubes/appvms"):
        try:
            found += [d + "/" + f for f in os.listdir(d) if re.match(r"\.?disp\d", f)]
        except OSError:
            pass
    found += [f for f in os.listdir(RUN) if re.search(r"\.disp\d", f)]
    found += [line for line in read("/var/lib/qubes/qids").splitlines() if "disp" in line]
    return found


def nothing_left(name, limit=None):
    return ok(until(lambda: not left(), limit), name, "\n".join(left()))


# --- paused ---

def paused():
    conf("work")
    start("work")
    run("work", "(i=0; while echo $((i += 1)) >/tmp/now; do sleep 0.02; done) <&- >&- 2>&- & :")
    until(lambda: run("work", "cat /tmp/now")[1].isdigit())
    inside = "/proc/%s/root/tmp/now" % state("work").get("init_pid")
    eq(ask(op="pause", name="work"), {"result": "ok", "state": "paused"}, "pause: ok")
    eq(state("work")["state"], "Paused", "its state says so")
    eq(sh("qvm-ls", "--raw-data", "--fields", "name,state", "--paused")[1], "work|Paused", "qvm-ls --paused")
    if not XEN:
        a = read(inside)
        time.sleep(0.2)
        eq(read(inside), a, "nothing of it goes on")
    refused("twice: refused", "not running", op="pause", name="work")
    refused("its start: refused, and how to go on", "qvm-unpause", op="start", name="work")
    eq(sh("qvm-run", "-p", "work", "true")[0], 1, "a call to it is refused at once")
    pid, session = int(state("work")["pid"]), state("work")["session"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: int(state("work")["pid"]) != pid)
    subprocess.run(["s6-svwait", "-U", "-t", "10000", S6 + "/vm/instance/work"])
    eq((state("work")["state"], state("work")["session"]), ("Paused", session), "a keeper that adopts it leaves it paused")
    if not XEN:
        a = read(inside)
        time.sleep(0.2)
        eq(read(inside), a, "and nothing of it goes on")
    restart_startd()
    eq(state("work")["state"], "Paused", "startd killed: paused still")
    eq(ask(op="unpause", name="work"), {"result": "ok", "state": "running"}, "unpause: ok")
    a = run("work", "cat /tmp/now")[1]
    ok(until(lambda: run("work", "cat /tmp/now")[1] != a), "it goes on")
    refused("unpause of one that runs: refused", "not paused", op="unpause", name="work")
    ok_ask("paused once more", op="pause", name="work")
    began = time.monotonic()
    ok_ask("shutdown of a paused one", op="shutdown", name="work")
    ok(time.monotonic() - began < 3 * SLOW, "it is killed: nobody would answer")
    refused("pause of one that is halted: refused", "not running", op="pause", name="work")


# --- networks ---

def networks():
    conf("net1", "provides_network = true\n")
    conf("net2", "provides_network = true\nnetvm = net1\n")
    conf("client", "netvm = net2\n")
    start("client")
    eq([state(n).get("state") for n in ("net1", "net2", "client")], ["Running"] * 3, "a qube's netvms are started before it")
    at = {n: int(state(n)["domid"]) for n in ("net1", "net2", "client")}
    ok(at["net1"] < at["net2"] < at["client"], "one after the other", at)
    refused("shutdown of a netvm in use: refused, with names", "netvm.* of running qubes: client$", op="shutdown", name="net2")
    eq(state("net2")["state"], "Running", "and it runs on")
    refused("order: a client that is not to end", "netvm.* of running qubes: net2$", op="shutdown", name="net1", order="yes")
    ok_ask("force", op="shutdown", name="net2", force="yes")
    start("client") if is_state("client", "Halted") else None
    start("net2")
    # All at once, the netvms first: each waits for its clients.
    asked = [Ask(op="shutdown", name=n, order="yes") for n in ("net1", "net2", "client")]
    ends = []
    until(lambda: [ends.append(n) for n in ("net1", "net2", "client") if n not in ends and is_state(n, "Halted")] and len(ends) == 3
          or len(ends) == 3, step=0.002)
    eq([a.answer().get("result") for a in asked], ["ok"] * 3, "all of them, in an order")
    eq(ends, ["client", "net2", "net1"], "clients end before their netvms")
    start("client") if not FEWER else start("net2")
    eq(sh("qvm-shutdown", "--all", "--wait")[0], 0, "qvm-shutdown --all --wait")
    eq([n for n in ("net1", "net2", "client") if not is_state(n, "Halted")], [], "all are halted")
    # A limit for all together: a client that does not listen.
    if not XEN:
        start("client")
        os.kill(int(state("client")["init_pid"]), signal.SIGSTOP)
        began = time.monotonic()
        asked = [Ask(op="shutdown", name=n, order="yes", timeout="1") for n in ("net1", "net2", "client")]
        eq([a.answer().get("result") for a in asked], ["ok"] * 3, "a limit: all are down")
        ok(time.monotonic() - began < 4 * SLOW, "in time", time.monotonic() - began)
    # What does not start.
    conf("net1", "netvm = client\n")
    refused("a loop of netvms: refused", "loop", op="start", name="client")
    conf("net1", "root = /nonexistent\n")
    refused("a netvm that fails: its name and why", "netvm net2: its netvm net1: .", op="start", name="client")
    os.unlink(VM + "net1")
    refused("a netvm that is not there", "netvm net1: .*no such qube", op="start", name="client")
    conf("net1", "feature.prohibit-start = being repaired\n")
    refused("prohibit-start", "prohibited: being repaired", op="start", name="net1")
    refused("also as a netvm", "netvm net1: .*being repaired", op="start", name="client")
    for n in ("net1", "net2", "client"):
        os.unlink(VM + n)


def displays():
    """An audiovm and a guivm are held up, too; of a guivm and its netvm the netvm goes last."""
    if XEN:
        return
    conf("net1", "provides_network = true\nguivm = gui\n")
    conf("gui", "netvm = net1\n")
    conf("work", "guivm = gui\n")
    start("gui", "work")
    refused("shutdown of a guivm in use: refused, with names", "guivm of running qubes: work$", op="shutdown", name="gui")
    r = sh("qvm-shutdown", "--wait", "gui")
    ok(r[0] == 1 and "the guivm of work" in r[1], "qvm-shutdown says so", r)
    conf("work", "audiovm = gui\n")
    refused("of an audiovm likewise", "audiovm .*of running qubes: work$", op="shutdown", name="gui")
    asked, ends = [Ask(op="shutdown", name=n, order="yes") for n in ("net1", "gui", "work")], []
    until(lambda: [ends.append(n) for n in ("net1", "gui", "work") if n not in ends and is_state(n, "Halted")] and len(ends) == 3
          or len(ends) == 3, step=0.002)
    eq([a.answer().get("result") for a in asked], ["ok"] * 3, "all of them, in an order")
    eq(ends, ["work", "gui", "net1"], "who has it as audiovm, then it, then its netvm, whose guivm it is")
    os.unlink(VM + "net1")
    os.unlink(VM + "gui")


def autostart():
    local_net = "provides_network = true\nautostart = true\n"
    conf("a-first", "autostart = true\nnetvm = z-net\n")
    conf("z-net", local_net)
    sh("/usr/lib/qubes/cubicle-down", limit=120)
    subprocess.run(["/usr/lib/qubes/cubicle-up", "-b"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    ok(until(lambda: is_state("a-first", "Running") and is_state("z-net", "Running"), 20 * SLOW), "autostart at boot")
    ok(int(state("z-net")["domid"]) < int(state("a-first")["domid"]), "the netvm first")
    conf("base", "template_for_dispvms = true\npreload = 2\n")
    until(lambda: len(ready()) == 2, 20 * SLOW)
    began = time.monotonic()
    eq(sh("/usr/lib/qubes/cubicle-down", limit=120), (0, ""), "cubicle-down, with disposables that are kept ready")
    eq(disposables(), [], "they are erased")
    ok(not os.path.exists(RUN), "all is down", time.monotonic() - began)
    os.unlink(VM + "a-first")
    os.unlink(VM + "z-net")
    os.unlink(VM + "base")
    subprocess.run(["/usr/lib/qubes/cubicle-up", "-b"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)


# --- disposables ---

def disposable():
    conf("base", "template_for_dispvms = true\nnetvm =\n")
    conf("plain")
    refused("of a qube that is no template for disposables: refused", "template_for_dispvms", op="start", disp="plain")
    refused("of one that is not there", "no such qube", op="start", disp="nosuch")
    a = Ask(op="start", disp="base")
    got = a.answer()
    name = got.get("name", "")
    ok(got.get("result") == "ok" and got.get("state") == "running" and re.fullmatch(r"disp\d{1,4}", name), "one is made", got)
    eq(state(name).get("state"), "Running", "it runs")
    text = read(VM + name)
    ok("type = DispVM\ntemplate = base\nlabel = blue\ndispid = %s\nauto_cleanup = true\n" % name[4:] in text, "its file", text)
    eq(run(name, "hostname")[1], name, "it can be called")
    refused("another one's dispose", "not a disposable", op="dispose", name="base")
    a.close()
    nothing_left("its client hangs up: nothing is left")
    # Asked for, by a person; the client learns that it is gone.
    a = Ask(op="start", disp="base")
    name = a.answer()["name"]
    ok_ask("dispose", op="dispose", name=name)
    ok(a.ended(), "its client is let go")
    nothing_left("nothing is left")
    ok_ask("dispose of one that is gone: ok", op="dispose", name=name)
    # It ends by itself. (On Xen: disp.t.)
    if not XEN:
        a = Ask(op="start", disp="base")
        name = a.answer()["name"]
        os.kill(int(state(name)["init_pid"]), signal.SIGTERM)
        ok(a.ended(), "it powers off: its client is let go")
        nothing_left("nothing is left")
    # A reboot is its end, too.
    a = Ask(op="start", disp="base")
    name = a.answer()["name"]
    if XEN:
        sh("qvm-run", "-u", "root", name, "reboot -f")
    else:
        os.kill(int(state(name)["init_pid"]), signal.SIGINT)
    ok(a.ended(), "it reboots: that is its end")
    nothing_left("nothing is left of it")
    # The file of its base is edited, and spoilt, while it runs; its own is removed.
    a = Ask(op="start", disp="base")
    name = a.answer()["name"]
    write(VM + "base", "nonsense\n")
    eq(run(name, "hostname")[1], name, "its base's file is spoilt: it runs on")
    os.unlink(VM + "base")
    a.close()
    nothing_left("nothing is left when the file is gone")
    conf("base", "template_for_dispvms = true\n")


def callers_that_die():
    """Before, in and after."""
    conf("base", "template_for_dispvms = true\n")
    for wait in (0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.3)[::3 if FEWER else 1]:
        a = Ask(op="start", disp="base")
        time.sleep(wait * SLOW)
        a.close()
        nothing_left("a client that goes after %d ms: nothing is left" % (wait * 1000))


def startd_killed():
    conf("base", "template_for_dispvms = true\n")
    steps = {
        "its file is being written": lambda: disposables(),
        "its supervisor is being made": lambda: [f for f in os.listdir(S6 + "/vm/instance") if f.startswith("disp")],
        "its domain is built": lambda: [f for f in os.listdir(RUN + "/state") if f.startswith("disp")],
        "its qrexecd comes": lambda: [f for f in os.listdir(S6 + "/qrexecd/instances") if f.startswith("disp")],
    }
    for step, seen in list(steps.items())[::2 if FEWER else 1]:
        a = Ask(op="start", disp="base")
        until(seen, step=0.001)
        os.kill(svpid("startd"), signal.SIGKILL)
        a.close()
        names = disposables()
        subprocess.run(["s6-svwait", "-U", "-t", "10000", S6 + "/startd"])
        until(lambda: ask(op="dispose", name="nobody").get("result"))
        # One that runs already is its caller's still, and is asked for by its qrexecd.
        for n in names:
            if is_state(n, "Running"):
                ask(op="dispose", name=n)
        nothing_left("startd killed when %s: nothing is left" % step, 20 * SLOW)
    a = Ask(op="start", disp="base")
    name = a.answer()["name"]
    restart_startd()
    eq(run(name, "hostname")[1], name, "startd killed while it is used: it goes on")
    a.close()
    ok_ask("and can be disposed of", op="dispose", name=name)
    nothing_left("nothing is left")
    # While it is erased.
    for wait in (0.01, 0, 0.05)[:few(3)]:
        a = Ask(op="start", disp="base")
        name = a.answer()["name"]
        a.close()
        time.sleep(wait)
        restart_startd()
        until(lambda: not disposables() or is_state(name, "Running"))
        if is_state(name, "Running"):
            ask(op="dispose", name=name)
        nothing_left("startd killed %d ms into the end of one: nothing is left" % (wait * 1000), 20 * SLOW)


def keeper_killed():
    conf("base", "template_for_dispvms = true\n")
    a = Ask(op="start", disp="base")
    name = a.answer()["name"]
    pid = int(state(name)["pid"])
    os.kill(pid, signal.SIGKILL)
    until(lambda: state(name).get("pid") not in (None, str(pid)))
    eq(run(name, "hostname")[1], name, "its keeper is killed: it goes on")
    a.close()
    nothing_left("and leaves nothing")
    # While it is made: it comes up with another keeper, or is refused; nothing stays.
    for wait in (0.05, 0, 0.02, 0.1)[:few(4)]:
        a = Ask(op="start", disp="base")
        pid = until(lambda: [p for p in (svpid("vm/instance/" + n) for n in disposables()) if p > 0], step=0.002)
        time.sleep(wait * SLOW)
        try:
            os.kill(pid[0], signal.SIGKILL)
        except ProcessLookupError:
            pass
        got = a.answer()
        ok(got.get("result") == "refused" or run(got.get("name"), "hostname")[1] == got.get("name"),
           "its keeper is killed %d ms into the making: %s" % (wait * 1000, got.get("result")), got)
        a.close()
        nothing_left("and leaves nothing", 20 * SLOW)
    # With its file gone: the keeper that adopts needs none.
    conf("work")
    start("work")
    pid, session = int(state("work")["pid"]), state("work")["session"]
    os.unlink(VM + "work")
    os.kill(pid, signal.SIGKILL)
    until(lambda: state("work").get("pid") not in (None, str(pid)))
    eq((run("work", "hostname")[1], state("work").get("session")), ("work", session),
       "a qube without a file whose keeper is killed goes on")
    ok_ask("and is shut down", op="shutdown", name="work")
    eq(state("work"), {}, "it is halted")


def many():
    n = 2 if FEWER else 50
    conf("base", "template_for_dispvms = true\n")
    before = read("/var/lib/qubes/qids").count("\n")
    names = []
    for i in range(n):
        a = Ask(op="start", disp="base")
        names.append(a.answer().get("name"))
        a.close()
        if i % 10 == 9:
            until(lambda: len(disposables()) < 3)
    ok(None not in names and len(set(names)) == n, "%d disposables one after another, each with a name of its own" % n, names)
    nothing_left("they leave nothing", 30 * SLOW)
    ok(read("/var/lib/qubes/qids").count("\n") <= before + 1, "nor numbers", read("/var/lib/qubes/qids"))
    asked = [Ask(op="start", disp="base") for _ in range(few(6))]
    names = [a.answer().get("name") for a in asked]
    ok(None not in names and len(set(names)) == len(asked), "several at once", names)
    for a in asked:
        a.close()
    nothing_left("nothing is left of them", 20 * SLOW)


def swept():
    conf("base", "template_for_dispvms = true\n")
    write(VM + "disp77", "type = DispVM\ntemplate = base\nlabel = red\nauto_cleanup = true\n")
    conf("kept", "type = DispVM\ntemplate = base\n")
    restart_startd()
    ok(until(lambda: not os.path.exists(VM + "disp77")), "a disposable of before a power cut is swept")
    ok(os.path.exists(VM + "kept"), "one without auto_cleanup is not")
    os.unlink(VM + "kept")


def disk_full():
    local_only_row = "the file system of vm.d is full"
    if XEN:
        return
    conf("base", "template_for_dispvms = true\n")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=755", "small", VM], check=True)
    try:
        conf("base", "template_for_dispvms = true\n")
        with open(VM + ".filler", "wb", buffering=0) as f:
            try:
                while f.write(b"x" * 512):
                    pass
            except OSError:
                pass
        until(lambda: ask(op="dispose", name="nobody").get("result"))
        refused("a full disk: refused, and why", "No space left", op="start", disp="base")
        ok(not disposables(), "nothing half-made", disposables())
    finally:
        subprocess.run(["umount", "-l", VM], check=True)
    restart_startd()  # its watch was on the other one
    nothing_left("nothing is left")


# --- kept ready ---

def ready(base="base"):
    return [n for n in disposables() if is_state(n, "Paused") and "base=%s\n" % base in read(PRELOAD + n)]


def preloaded():
    conf("base", "template_for_dispvms = true\npreload = 2\n")
    ok(until(lambda: len(ready()) == 2, 20 * SLOW), "preload = 2: two are kept ready, paused", disposables())
    first = ready()
    refused("nobody unpauses one", "kept ready", op="unpause", name=first[0])
    eq(sh("qvm-run", "-p", "--no-autostart", first[0], "true")[0] != 0, True, "nor calls it")
    began = time.monotonic()
    a = Ask(op="start", disp="base")
    name = a.answer().get("name")
    took = time.monotonic() - began
    ok(name in first, "one that is asked for is one of them", name)
    print("# given out after %.1f ms" % (took * 1000))
    eq(run(name, "hostname")[1], name, "it can be called")
    ok(not os.path.exists(PRELOAD + name), "it is somebody's now")
    ok(until(lambda: len(ready()) == 2, 20 * SLOW), "another one is made", ready())
    # startd is killed: they stay.
    now = ready()
    restart_startd()
    time.sleep(0.2)
    eq(ready(), now, "startd killed: those that are ready stay")
    ask(op="dispose", name=name)
    a.close()
    # What they were made of changes.
    conf("base", "template_for_dispvms = true\npreload = 2\nmemory = 100\n")
    ok(until(lambda: len(ready()) == 2 and not set(ready()) & set(now), 20 * SLOW), "the base's file changes: others take their place",
       (now, ready()))
    if not FEWER:
        now = ready()
        with open(VM + "defaults", "a") as f:
            f.write("# changed\n")
        ok(until(lambda: len(ready()) == 2 and not set(ready()) & set(now), 20 * SLOW), "the defaults change: again")
        now = ready()
        start("base")
        ask(op="shutdown", name="base")
        ok(until(lambda: len(ready()) == 2 and not set(ready()) & set(now), 20 * SLOW), "the base has run: again")
    now = ready()
    kill(now[0])
    ok(until(lambda: len(ready()) == 2 and now[0] not in disposables(), 20 * SLOW), "one that is killed is replaced")
    # One that does not wake up.
    for wait in () if XEN else (0, 0.05, 0.05):  # then they are just being cleaned up after
        until(lambda: len(ready()) == 2, 20 * SLOW)
        now = ready()
        for n in now:
            pid = int(state(n)["init_pid"])
            os.kill(pid, signal.SIGKILL)
            until(lambda: read("/proc/%d/stat" % pid).rpartition(")")[2][1:2] in ("Z", ""), step=0)
        time.sleep(wait)
        a = Ask(op="start", disp="base")
        got = a.answer()
        ok(got.get("result") == "ok" and got.get("name") not in now,
           "those that died %d ms ago are not given out" % (wait * 1000), got)
        a.close()
    conf("base", "template_for_dispvms = true\n")
    nothing_left("preload = 0: they go", 20 * SLOW)


def preload_killed():
    """startd is killed while they are made, and given out."""
    for wait in (0.1, 0.02, 0.2, 0.3)[:few(4)]:
        conf("base", "template_for_dispvms = true\npreload = 1\n")
        until(disposables, step=0.002)
        time.sleep(wait * SLOW)
        restart_startd()
        ok(until(lambda: len(ready()) == 1 and len(disposables()) == 1, 20 * SLOW),
           "startd killed %d ms into the making: one is kept ready, and one only" % (wait * 1000), disposables())
        conf("base", "template_for_dispvms = true\n")
        nothing_left("and it goes", 20 * SLOW)
    if not XEN:
        slow_child()


def slow_child():
    """What startd has begun ends with it, however long that would have taken: nothing comes after the sweeping."""
    create = "/usr/bin/s6-instance-create"
    os.rename(create, create + ".real")
    write(create, "#!/bin/sh\nsleep 2\nexec $0.real \"$@\"\n", 0o755)
    conf("base", "template_for_dispvms = true\npreload = 1\n")
    child = until(lambda: max(0, child_of(svpid("startd"), "s6-instance-cre")))
    conf("base", "template_for_dispvms = true\n")
    os.kill(svpid("startd"), signal.SIGKILL)
    until(lambda: not os.path.exists("/proc/%d" % child))
    os.rename(create + ".real", create)
    nothing_left("startd killed in the middle of a slow step: nothing is left", 20 * SLOW)


def wanted_memory_of_xen():
    conf("base", "template_for_dispvms = true\npreload = 1\n")
    until(lambda: len(ready()) == 1, 20 * SLOW)
    free = int(sh(os.environ["O"] + "/test/dom", "free")[1])
    conf("big", "memory = %d\n" % (free + 40))
    ok_ask("a qube of %d MiB where %d are free: it starts" % (free + 40, free), op="start", name="big")
    nothing_left("what was kept ready is gone")
    conf("more", "memory = 1000\n")
    refused("one that does not fit: refused, and who has how much", "too little memory.*big", op="start", name="more")
    kill("big")
    ok(until(lambda: len(ready()) == 1, 20 * SLOW), "memory is free: it is made again")
    os.unlink(VM + "big")
    os.unlink(VM + "more")
    conf("base", "template_for_dispvms = true\n")
    nothing_left("nothing is left", 20 * SLOW)


def wanted_memory():
    """A start that would not fit: what is kept ready goes first. The backend that does not divide memory is told to."""
    if XEN:
        wanted_memory_of_xen()
        return
    conf("base", "template_for_dispvms = true\npreload = 2\n")
    until(lambda: len(ready()) == 2, 20 * SLOW)
    conf("big")
    vmstart = "/usr/lib/qubes/vmstart"
    with instead_of(vmstart, """#!/usr/bin/env python3
import os, socket, sys
if sys.argv[-1] == "big" and "-n" in sys.argv and any(f.startswith("disp") for f in os.listdir("/etc/qubes/vm.d")):
    s = socket.socket(socket.AF_UNIX)
    s.connect("%s")
    s.sendall(b"op=down\\nname=big\\ncode=111\\nreason=too little memory: 400 MiB and 10 for Xen's own use, 100 free\\n\\n")
    s.recv(100)
    sys.exit(111)
os.execv("%s.real", ["vmstart"] + sys.argv[1:])
""" % (START, vmstart)):
        ok_ask("it starts", op="start", name="big")
        nothing_left("what was kept ready is gone")
        time.sleep(0.3)
        eq(disposables(), [], "and does not take the memory again at once")
    kill("big")
    ok(until(lambda: len(ready()) == 2, 20 * SLOW), "memory is free: they are made again")
    os.unlink(VM + "big")
    conf("base", "template_for_dispvms = true\n")
    nothing_left("nothing is left", 20 * SLOW)


def killed_early():
    """A start that is to end before there is a vmstart which could hear it."""
    conf("big")
    create, go = shutil.which("s6-instance-create"), "/run/go"
    os.mkfifo(go)
    with instead_of(create, "#!/bin/sh\nread x <%s\nexec %s.real \"$@\"\n" % (go, create)):
        begun = Ask(op="start", name="big")
        with open(go, "w") as f:  # when somebody reads
            end = Ask(op="kill", name="big")
            ask(op="nonsense")  # so it has been read
            print("go", file=f)
        eq((begun.answer().get("reason"), end.answer().get("result")), ("it was to be stopped before it began", "ok"),
           "a qube is killed before its vmstart is there")
    os.unlink(go)
    nothing_left("nothing is left")


def numbers():
    """qids of qubes that are removed come free."""
    conf("gone")
    start("gone")
    ok(" gone\n" in read("/var/lib/qubes/qids"), "a number")
    menu = "/var/lib/qubes/appmenus/gone/"
    os.makedirs(menu, exist_ok=True)
    write(menu + "gone.editor.desktop", "[Desktop Entry]\n")
    os.unlink(VM + "gone")
    time.sleep(0.5)
    ok(" gone\n" in read("/var/lib/qubes/qids"), "its file is removed while it runs: it keeps the number")
    kill("gone")
    for d in ("appvms", "vm"):
        subprocess.run(["rm", "-rf", "/var/lib/qubes/%s/gone" % d])
    conf("other")
    ok(until(lambda: " gone\n" not in read("/var/lib/qubes/qids")), "nothing of it is left: the number is free",
       read("/var/lib/qubes/qids"))
    ok(not os.path.exists(menu), "and its menu entries are gone")
    os.makedirs("/var/lib/qubes/appmenus/other", exist_ok=True)
    os.unlink(VM + "other")
    conf("other")
    ok(until(lambda: not os.path.exists("/var/lib/qubes/appmenus/other")), "those of one that is removed and made anew at once, too")
    os.unlink(VM + "other")


def number_of_the_dying():
    """A keeper that is killed when it has just told, or before: its qube's number is free when its daemons have gone."""
    conf("base", "template_for_dispvms = true\n")
    for told in (True, False):
        a = Ask(op="start", disp="base")
        name = a.answer()["name"]
        keeper, uid = int(state(name)["pid"]), uid_of(name, 5)
        late = subprocess.Popen(["sleep", "1000"], user=uid, group=uid, extra_groups=[])
        startd = svpid("startd")
        a.close()
        if not told:
            until(lambda: state(name).get("state") == "Dying", step=0)
            os.kill(startd, signal.SIGSTOP)
        until(lambda: not state(name), step=0)
        sh("kill", "-9", str(keeper))
        os.kill(startd, signal.SIGCONT)
        until(lambda: " %s\n" % name not in read("/var/lib/qubes/qids"), 20 * SLOW, step=0.002)
        try:
            late.wait(0.4)  # it was killed just now
        except subprocess.TimeoutExpired:
            pass
        eq(late.poll(), -9, "its number is not free before its daemons have gone")
        late.kill()
        nothing_left("nothing is left", 20 * SLOW)


def edited():
    """A VM file edited while the VM runs."""
    conf("work", "shutdown_timeout = 5\n")
    start("work")
    conf("work", "memory = 500\nnetvm = nosuch\n")
    eq(run("work", "hostname")[1], "work", "its file is edited: it runs on")
    write(VM + "work", "label = \x01\n")
    eq(ask(op="start", name="work"), {"result": "ok", "state": "running"}, "spoilt: it runs on")
    ok_ask("and is shut down", op="shutdown", name="work")
    refused("but not started", "work:1: ", op="start", name="work")
    conf("work")


def crashed():
    if XEN:
        return
    conf("work")
    start("work")
    for i in range(20000):  # that takes a while to clean up
        os.close(os.open("%s/local/work/%d" % (RUN, i), os.O_CREAT))
    os.kill(int(state("work")["init_pid"]), signal.SIGKILL)
    ok(until(lambda: is_state("work", "Crashed"), 2 * SLOW, step=0), "a crash is seen as Crashed while it is cleaned up after", state("work"))
    ok(until(lambda: is_state("work", "Halted")), "and then as Halted", state("work"))


rows([paused, networks, displays, edited, crashed, keeper_killed, killed_early, numbers, number_of_the_dying, disposable, callers_that_die, startd_killed, many, swept, disk_full,
      preloaded, preload_killed, wanted_memory, autostart])
done()
