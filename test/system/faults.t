#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
# Faults: each daemon is killed while a hundred calls run; disks are full, directories missing, files unreadable,
# descriptors gone; a thousand calls at once. Served or refused, with a reason; nothing hangs, and all recovers.
import os, re, resource, signal, socket, subprocess, sys, threading, time
from concurrent.futures import ThreadPoolExecutor

sys.path[0] += "/.."
from tap import *

in_house()

QUBES = ("work", "vault", "third")
READY = 1.2 * SLOW  # seconds from kill -9 to the first call served
CALLS = few(100)


# --- processes ---

def fds(pid):
    try:
        return len(os.listdir("/proc/%d/fd" % pid))
    except OSError:
        return -1


def pss(pid):
    return int(re.search(r"^Pss: +(\d+)", read("/proc/%d/smaps_rollup" % pid), re.M).group(1))


def processes():
    """How many of each name there are; ours, the kernel's and the short-lived ones of s6 do not count."""
    seen = {}
    for pid in os.listdir("/proc"):
        stat = read("/proc/%s/stat" % pid) if pid.isdigit() else ""
        comm = stat[stat.find("(") + 1:stat.rfind(")")]
        if comm and not comm.startswith(("python3", "faults")) and stat.rsplit(")", 1)[1].split()[1] != "2":
            seen[comm] = seen.get(comm, 0) + 1
    return seen


def init_of(qube):
    return int(state(qube)["init_pid"])


DAEMONS = {"policyd": lambda: svpid("policyd"), "chand": lambda: svpid("chand"), "startd": lambda: svpid("startd"),
           "qrexec-dom0": lambda: svpid("qrexec-dom0")}
for q in QUBES:
    DAEMONS["qrexecd of " + q] = lambda q=q: svpid("qrexecd/instance/" + q)
    DAEMONS["keeper of " + q] = lambda q=q: svpid("vm/instance/" + q)
    if not XEN:
        DAEMONS["agent of " + q] = lambda q=q: child_of(init_of(q), "qrexec-agent")
    DAEMONS["console of " + q] = lambda q=q: child_of(svpid("vm/instance/" + q), "vmstart")


def house_now():
    return {name: fds(pid()) for name, pid in DAEMONS.items()}, processes()


def at_rest():
    """As it is when no call is on its way out."""
    until(lambda: child_of(svpid("qrexec-dom0")) < 0 and processes().get("qrexec-agent", 0) <= len(QUBES))
    return house_now()


def settled(before, limit=None):
    """None, or what is more than it was. (After chand was killed the others hold a connection less.)"""
    def more():
        now = house_now()
        return (["%s: %d descriptors, were %d" % (d, now[0][d], k) for d, k in before[0].items() if now[0][d] > k] +
                ["%s: %d processes, were %d" % (c, now[1].get(c, 0), before[1].get(c, 0))
                 for c in set(before[1]) | set(now[1]) if now[1].get(c, 0) != before[1].get(c, 0)])

    return None if until(lambda: not more(), limit) else more()


# --- calls ---

def in_qube(qube, *argv):
    """A command in a qube that needs no daemon to get there; on Xen, once it is there."""
    if XEN:
        return ["qvm-run", "-p", qube, "exec " + " ".join(argv)]
    return ["nsenter", "-t", str(init_of(qube)), "-U", "-m", "-p", "-n", "-i", "-u", "--setuid", "0", "--setgid", "0",
            "env", "VCHAN_DOMAIN=" + state(qube)["domid"], *argv]


def argv_of(kind, a, b, service="t.Cat"):
    if kind == "d2q":
        return ["qrexec-client", "-d", b, "DEFAULT:QUBESRPC %s dom0" % service]
    return in_qube(a, "qrexec-client-vm", b, service)


class Caller:
    """Makes calls from within a qube on Xen, by one long call to it: so they need nothing of Dom0's but what they ask."""

    SCRIPT = """cd /tmp; while read -r id target service; do (
        head -c 3000 /dev/urandom >in.$id; qrexec-client-vm $target $service <in.$id >out.$id 2>err.$id; rc=$?;
        cmp -s in.$id out.$id && same=1 || same=0; echo $id $rc $same $(head -c 200 err.$id); rm -f *.$id
    ) & done"""
    made, lock = {}, threading.Lock()

    def __init__(self, qube):
        self.last, self.waiting = 0, {}
        self.p = subprocess.Popen(["qvm-run", "-p", qube, self.SCRIPT.replace("\n", " ")], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.p.stdout:
            i, rc, same, *rest = line.split(None, 3)
            self.waiting[int(i)][1] = int(rc), same == "1", "".join(rest).strip()
            self.waiting[int(i)][0].set()

    def call(self, target, service):
        with self.lock:
            self.last += 1
            done = self.waiting[self.last] = [threading.Event(), None]
            self.p.stdin.write("%d %s %s\n" % (self.last, target, service))
            self.p.stdin.flush()
        done[0].wait(HANGS)
        return done[1] or (None, False, "hangs")

    @classmethod
    def of(cls, qube):
        with cls.lock:
            if qube not in cls.made:
                cls.made[qube] = cls(qube)
        return cls.made[qube]


class Long:
    """A call that is in the middle of its bytes when a daemon is killed."""

    def __init__(self, kind, a, b):
        self.what = "%s %s->%s" % (kind, a, b)
        self.sent = self.got = b""
        self.p = subprocess.Popen(argv_of(kind, a, b), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.push()

    def push(self):
        """Bytes out and back."""
        more = os.urandom(50000)
        self.sent += more
        t = threading.Thread(target=lambda: (self.p.stdin.write(more), self.p.stdin.flush()), daemon=True)
        t.start()
        while len(self.got) < len(self.sent):
            part = os.read(self.p.stdout.fileno(), 65536)
            if not part:
                break
            self.got += part
        t.join(1)

    def end(self):
        """None, or what is wrong with it."""
        watch = threading.Timer(HANGS, self.p.kill)
        watch.start()
        try:
            self.push()
            self.p.stdin.close()
            self.got += self.p.stdout.read()
            rc = self.p.wait()
        except OSError as e:
            return "%s: %s" % (self.what, e)
        finally:
            watch.cancel()
        return None if rc == 0 and self.got == self.sent else "%s: status %d, %d of %d bytes" % (
            self.what, rc, len(self.got), len(self.sent))


def short(kind, a, b):
    if XEN and kind != "d2q":
        return (kind, a, b, *Caller.of(a).call(b, "t.Cat"))
    data = os.urandom(3000)
    try:
        p = subprocess.run(argv_of(kind, a, b), input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           timeout=HANGS)
    except subprocess.TimeoutExpired:
        return kind, a, b, None, False, "hangs"
    return kind, a, b, p.returncode, p.stdout == data, p.stderr.decode(errors="replace").strip()


def mix():
    pairs = [("work", "vault"), ("vault", "third"), ("third", "work"), ("vault", "work"), ("third", "vault")]
    for i in range(CALLS):
        a, b = pairs[i % 5]
        yield [("d2q", "dom0", b), ("q2q", a, b), ("d2q", "dom0", a), ("q2d", a, "dom0")][i // 5 % 4]


def probe(kind, a, b):
    return short(kind, a, b)[3:5] == (0, True)


def kill_round(before, victim, touches, recovers):
    """touches(kind, a, b): may this call be lost? recovers(): a call through the new one succeeds."""
    longs = [Long("d2q", "dom0", "work"), Long("q2q", "work", "vault"), Long("q2d", "work", "dom0"),
             Long("d2q", "dom0", "third"), Long("q2q", "third", "vault"), Long("q2d", "third", "dom0")]
    done, results = threading.Semaphore(0), []

    def one(c):
        r = short(*c)
        results.append(r)
        done.release()

    with ThreadPoolExecutor(16) as pool:
        for c in mix():
            pool.submit(one, c)
        for _ in range(CALLS // 4):
            done.acquire()
        old = DAEMONS[victim]()
        os.kill(old, signal.SIGKILL)
        t0 = time.monotonic()
        back = until(recovers, step=0.01)
        ready = time.monotonic() - t0
    ok(back and ready <= READY, "%s killed: serves again within %.1f s" % (victim, READY), "%.2f s" % ready)
    print("# %s: served again after %.2f s" % (victim, ready))
    new = until(lambda: (lambda p: p if p > 0 and p != old else None)(DAEMONS[victim]()))
    ok(new is not None, victim + ": another process")
    hung = [r for r in results if r[3] is None]
    wrong = [r for r in results if r[3] == 0 and not r[4]]
    untouched = [r for r in results if not touches(*r[:3]) and r[3] != 0]
    lost = [r for r in results if r[3] not in (0, None)]
    ok(len(results) == CALLS and not hung, victim + ": none of %d calls hangs" % CALLS, hung)
    ok(not wrong, victim + ": bytes whole, or a status that is not 0 (%d lost)" % len(lost), wrong)
    ok(not untouched, victim + ": calls that do not need it are served, bytes intact", untouched)
    bad = [x for x in (c.end() for c in longs) if x]
    ok(not bad, victim + ": long calls go on", "\n".join(bad))
    # A caller that goes with its agent when its call has just been allowed: nobody tells the target's, which waits for it (agent.h).
    left = settled(before, 130 * SLOW if victim.startswith("agent") else None)
    ok(left is None, victim + ": descriptors and processes as before", left)


def kills():
    never, before = lambda *c: False, at_rest()
    kill_round(before, "policyd", lambda k, a, b: k != "d2q", lambda: probe("q2q", "vault", "third"))
    kill_round(before, "chand", lambda k, a, b: k != "q2q", lambda: probe("d2q", "dom0", "vault"))
    kill_round(before, "startd", never, lambda: sh("qvm-start", "--skip-if-running", "work")[0] == 0)
    kill_round(before, "qrexec-dom0", lambda k, a, b: k == "q2d", lambda: probe("q2d", "vault", "dom0"))
    kill_round(before, "qrexecd of work", lambda k, a, b: "work" in (a, b), lambda: probe("d2q", "dom0", "work"))
    if not XEN:
        kill_round(before, "agent of work", lambda k, a, b: "work" in (a, b), lambda: probe("q2q", "third", "work"))
    link = os.lstat(RUN + "/qrexec.work")
    kill_round(before, "keeper of work", never, lambda: until(lambda: state("work").get("pid") == str(svpid("vm/instance/work")))
               and probe("d2q", "dom0", "work"))
    # Made anew it would be missing for a moment: "the qube does not run".
    ok(os.path.samestat(link, os.lstat(RUN + "/qrexec.work")), "keeper of work: its names stay")

    old = DAEMONS["console of work"]()

    def console():
        p = DAEMONS["console of work"]()
        return p > 0 and fds(p) >= 0 and p != old

    kill_round(before, "console of work", never, console)


# --- no room on a disk ---

class full:
    """A tmpfs over a directory, with what was in it and no room for a byte or a name more."""

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        keep = "/tmp/faults.%d" % os.getpid()
        subprocess.run(["cp", "-a", self.path, keep], check=True)
        size = int(subprocess.run(["du", "-sk", keep], capture_output=True).stdout.split()[0]) + 64
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%dk,mode=%o" % (size, os.stat(self.path).st_mode & 0o7777),
                        "faults", self.path], check=True)
        subprocess.run("cp -a %s/. %s/ && rm -rf %s" % (keep, self.path, keep), shell=True, check=True)
        self.fill()
        return self

    def fill(self):
        with open(self.path + "/.fill", "wb", buffering=0) as f:
            try:
                while True:
                    f.write(bytes(4096))
            except OSError:
                pass

    def room(self):
        os.unlink(self.path + "/.fill")

    def __exit__(self, *_):
        subprocess.run(["umount", "-l", self.path], check=True)


def restart(service):
    old = svpid(service)
    os.kill(old, signal.SIGTERM)
    until(lambda: svpid(service) not in (old, -1))
    return sh("s6-svwait", "-U", "-t", "5000", S6 + "/" + service)[0] == 0


def disks():
    # The audit: policyd has opened its directory, so it is started on the full disk.
    log = since("policyd")
    with full(LOG + "/audit") as disk:
        ok(restart("policyd"), "no room for audit lines: policyd starts")
        r = short("q2q", "work", "vault")
        # tmpfs gives whole pages: what is left of the last one is used up by lines of a few calls
        for _ in range(60):
            if r[3] == 126:
                break
            r = short("d2q", "dom0", "work") and short("q2q", "work", "vault")
        ok(r[3] == 126, "no room for audit lines: refused", r)
        ok(log.says("no audit line can be written"), "and the log says so", log.text())
        ok(probe("d2q", "dom0", "work"), "calls that are not policyd's are served")
        disk.room()
        ok(until(lambda: probe("q2q", "work", "vault")), "room again: served")
    ok(restart("policyd") and until(lambda: probe("q2q", "work", "vault")), "and on the old disk too")

    # The table of qids.
    write(VM + "late", "label = red\n")
    log = since("startd")
    with full("/var/lib/qubes") as disk:
        r = sh("qvm-start", "late")
        ok(r[0] not in (0, None) and "No space left" in r[1], "no room for a new qid: refused, with the reason", r)
        ok(log.says("late: refused: .*No space left"), "and the log says so", log.text())
        ok("late" not in os.listdir(RUN + "/state"), "nothing of it is there")
        disk.room()
        r = sh("qvm-start", "late")
        ok(r[0] == 0, "room again: it starts", r)
        ok(sh("qvm-run", "-p", "late", "true")[0] == 0, "and serves")
        sh("qvm-shutdown", "--wait", "late")

    # What runs.
    log = since("late/vm", "startd")
    size = int(subprocess.run(["df", "--output=size", "-k", RUN], capture_output=True).stdout.split()[1])
    subprocess.run(["mount", "-o", "remount,size=%dk" % used_k(RUN), "/run"], check=True)
    fill = open(RUN + "/.fill", "wb", buffering=0)
    try:
        while True:
            fill.write(bytes(4096))
    except OSError:
        pass
    r = sh("qvm-start", "late")
    ok(r[0] not in (0, None), "no room in /run: a start is refused", r)
    ok(log.says("No space left"), "and a log says why", log.text())
    ok("late" not in os.listdir(RUN + "/state"), "no half a state")
    ok(probe("d2q", "dom0", "work") and probe("q2q", "work", "vault") and probe("q2d", "work", "dom0"),
       "what runs is served")
    # A keeper that adopts and cannot write what it has found says it later.
    vm = since("work/vm")
    old = svpid("vm/instance/work")
    os.kill(old, signal.SIGKILL)
    ok(vm.says("state Running not written: No space left"), "a new keeper says that it cannot write its state", vm.text())
    ok(probe("d2q", "dom0", "work"), "and its qube is served")
    fill.close()
    os.unlink(RUN + "/.fill")
    subprocess.run(["mount", "-o", "remount,size=%dk" % size, "/run"], check=True)
    ok(until(lambda: state("work").get("pid") not in (str(old), None) and state("work")["state"] == "Running"),
       "room again: the keeper's state is written", state("work"))
    r = sh("qvm-start", "late")
    ok(r[0] == 0, "room again: it starts", r)
    sh("qvm-shutdown", "--wait", "late")


def used_k(path):
    return int(subprocess.run(["df", "--output=used", "-k", path], capture_output=True).stdout.split()[1])


# --- files that are missing or bad ---

def files():
    pol = "/etc/qubes/policy.d"
    log = since("policyd")
    os.rename(pol, pol + ".away")
    ok(short("q2q", "work", "vault")[3] == 126, "no policy.d: refused")
    ok(probe("d2q", "dom0", "work"), "but not what Dom0 calls")
    os.rename(pol + ".away", pol)
    ok(until(lambda: probe("q2q", "work", "vault")), "policy.d is back: served")

    log = since("policyd")
    os.chmod(pol + "/30-user.policy", 0)
    ok(short("q2q", "work", "vault")[3] == 126, "an unreadable file: every call is refused")
    ok(log.says("30-user.policy"), "and the log names it", log.text())
    ok(len(re.findall("30-user.policy:0:", log.text())) == 1, "once", log.text())
    os.chmod(pol + "/30-user.policy", 0o644)
    ok(until(lambda: probe("q2q", "work", "vault")), "readable again: served")

    log = since("policyd", "startd", "qrexecd")
    os.rename("/etc/qubes/vm.d", "/etc/qubes/vm.d.away")
    r = short("q2q", "work", "vault")
    ok(r[3] == 126, "no vm.d: no qube is known, refused", r)
    ok(log.says("vm.d: cannot be read"), "and the log says so", log.text())
    r = sh("qvm-start", "late")
    ok(r[0] not in (0, None), "no vm.d: nothing starts", r)
    os.rename("/etc/qubes/vm.d.away", "/etc/qubes/vm.d")
    ok(until(lambda: probe("q2q", "work", "vault")), "vm.d is back: served")
    r = sh("qvm-start", "late")
    ok(r[0] == 0, "vm.d is back: a qube starts", r)
    sh("qvm-shutdown", "--wait", "late")
    # The same with another directory in its place, as an administrator restores one.
    subprocess.run("cp -a /etc/qubes/vm.d /etc/qubes/vm.d.new && mv /etc/qubes/vm.d /etc/qubes/vm.d.old && "
                   "mv /etc/qubes/vm.d.new /etc/qubes/vm.d && rm -rf /etc/qubes/vm.d.old", shell=True, check=True)
    write(VM + "fresh", "label = red\n")
    ok(until(lambda: probe("q2q", "work", "vault")), "another vm.d in its place: served")
    r = sh("qvm-start", "fresh")
    ok(r[0] == 0, "and a qube of the new one starts", r)
    sh("qvm-shutdown", "--wait", "fresh")
    os.unlink(VM + "fresh")

    log = since("policyd", "startd")
    write(VM + "late", "label = red\nnonsense = 1\n")
    r = sh("qvm-start", "late")
    ok(r[0] not in (0, None) and "late:2" in r[1], "a broken vm.d file: that qube is refused, with file and line", r)
    ok(log.says("late:2"), "and the log says so", log.text())
    ok(probe("q2q", "work", "vault"), "the others are served")
    os.unlink(VM + "late")

    rpc = "/etc/qubes-rpc"
    log = since("qrexec-dom0")
    os.rename(rpc + "/t.Cat", rpc + "/t.Cat.away")
    r = short("q2d", "work", "dom0")
    ok(r[3] == 127, "a Dom0 service that is not there: 127", r)
    ok(log.says("service t.Cat"), "and the log names it", log.text())
    subprocess.run(["cp", "-a", rpc, rpc + ".away"], check=True)
    subprocess.run(["rm", "-r", rpc], check=True)
    r = short("q2d", "work", "dom0")
    ok(r[3] not in (0, None), "no qubes-rpc at all: refused", r)
    os.rename(rpc + ".away", rpc)
    os.rename(rpc + "/t.Cat.away", rpc + "/t.Cat")
    ok(until(lambda: probe("q2d", "work", "dom0")), "it is back: served")
    os.chmod(rpc + "/t.Cat", 0)
    r = short("q2d", "work", "dom0")
    ok(r[3] in (125, 126, 127), "a service that may not be run: refused", r)
    os.chmod(rpc + "/t.Cat", 0o755)
    ok(until(lambda: probe("q2d", "work", "dom0")), "it may again: served")


# --- no descriptors ---

def limit_fds(pid, soft):
    """As the victim's own uid: root without CAP_SYS_RESOURCE may not, and many machines give us none."""
    status = read("/proc/%d/status" % pid)
    uid, gid = (int(re.search(k + r":\t(\d+)", status).group(1)) for k in ("Uid", "Gid"))
    hard = int(re.search(r"Max open files +\d+ +(\d+)", read("/proc/%d/limits" % pid)).group(1))
    if (child := os.fork()) == 0:
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (min(soft, hard), hard))
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def highest(pid):
    """Without what a test's runner may have left open far above."""
    return max(i for i in map(int, os.listdir("/proc/%d/fd" % pid)) if i < 200)


def lowest_free(pid):
    have = set(map(int, os.listdir("/proc/%d/fd" % pid)))
    return min(i for i in range(len(have) + 1) if i not in have)


def starved(victim, log_of, attempt, works, sock=None):
    """attempt(): a Popen; works(): a call through it succeeds."""
    pid, taken = DAEMONS[victim](), []
    # A limit below what poll is given would be an error of another kind: idle callers fill the gaps first.
    while sock and (free := lowest_free(pid)) < highest(pid) and len(taken) < 16:
        s = socket.socket(socket.AF_UNIX)
        s.connect(sock)
        taken.append(s)
        until(lambda: lowest_free(pid) > free, SLOW)
    ok(limit_fds(pid, lowest_free(pid)), "%s: none of its descriptors is free" % victim)
    log, busy = since(log_of), cpu(pid)
    p = [attempt() for _ in range(3)]
    t0 = time.monotonic()
    for x in p:
        try:
            x.wait(max(0.05, t0 + 1 - time.monotonic()))
        except subprocess.TimeoutExpired:
            pass
    spent, took = cpu(pid) - busy, time.monotonic() - t0
    rcs = [x.poll() for x in p]
    ok(0 not in rcs, "%s without descriptors: refuses or waits" % victim, rcs)
    ok(spent <= 0.1 * SLOW + 0.1 * took, "%s: and does not spin" % victim, "%.2f s of %.2f s" % (spent, took))
    if None not in rcs:
        ok(log.says("."), "%s: and says why" % victim)
    ok(DAEMONS[victim]() == pid, "%s: lives" % victim)
    limit_fds(pid, 1024)
    for s in taken:
        s.close()
    ok(until(works), "%s: serves when there are some again" % victim)
    for x in p:
        try:
            x.wait(HANGS)
        except subprocess.TimeoutExpired:
            x.kill()
    ok(None not in [x.poll() for x in p], "%s: who waited has an answer" % victim)
    print("# %s: %s at first, %s in the end; %.2f s of processor time" % (victim, rcs, [x.poll() for x in p], spent))


def no_descriptors():
    null = dict(stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    call = lambda *c: subprocess.Popen(argv_of(*c), **null)
    before = at_rest()
    starved("qrexecd of work", "work/qrexecd", lambda: call("d2q", "dom0", "work"), lambda: probe("d2q", "dom0", "work"),
            RUN + "/q/work/qrexec")
    starved("policyd", "policyd", lambda: call("q2q", "work", "vault"), lambda: probe("q2q", "work", "vault"),
            RUN + "/policy.sock")
    starved("qrexec-dom0", "qrexec-dom0", lambda: call("q2d", "work", "dom0"), lambda: probe("q2d", "work", "dom0"))
    starved("chand", "chand", lambda: call("d2q", "dom0", "work"), lambda: probe("d2q", "dom0", "work"),
            RUN + "/chan.sock")
    write(VM + "late", "label = red\n")
    starved("startd", "startd", lambda: subprocess.Popen(["qvm-start", "late"], **null),
            lambda: state("late").get("state") == "Running", RUN + "/start.sock")
    sh("qvm-shutdown", "--wait", "late")
    os.unlink(VM + "late")
    if not XEN:
        starved("agent of work", "work/vm", lambda: call("q2q", "work", "vault"), lambda: probe("q2q", "work", "vault"))
    left = settled(before)
    ok(left is None, "descriptors and processes as before", left)


# --- a thousand at once ---

STORM = """
import os, subprocess, sys, time
p = [subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
     for _ in range(int(sys.argv[1]))]
silent = 0
end, rc = time.monotonic() + 40 * int(os.environ.get("SLOW", "1")), {}
for x in p:
    try:
        c = x.wait(max(0.01, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        x.kill()
        c = "hang"
    rc[c] = rc.get(c, 0) + 1
    silent += c != 0 and x.stderr.read(1) == b""
print((rc, silent))
"""


def storm(name, refusal_log, argv):
    before, mem = at_rest(), {d: pss(DAEMONS[d]()) for d in ("qrexecd of work", "policyd", "chand", "qrexec-dom0")}
    log = since(*refusal_log)
    t0 = time.monotonic()
    rc, out = sh("python3", "-c", STORM, str(few(1000)), *argv, limit=60 * SLOW)
    rcs, silent = eval(out) if rc == 0 else ({out: 1}, 1)
    print("# %s: %s in %.1f s" % (name, rcs, time.monotonic() - t0))
    ok(sum(rcs.values()) == few(1000) and "hang" not in rcs and 0 in rcs, name + ": each ends, some are served", rcs)
    refused = sum(v for k, v in rcs.items() if k != 0)
    # A caller whose patience ends says so himself.
    ok(refused == 0 or silent == 0 or log.says("refused|closed|more than"), name + ": what was refused is told (%d)" % refused,
       log.text())
    left = settled(before, 20 * SLOW)
    ok(left is None, name + ": descriptors and processes as before", left)
    now = {d: pss(DAEMONS[d]()) for d in mem}
    ok(all(now[d] <= mem[d] + 256 for d in mem), name + ": memory too", (mem, now))
    print("# KiB before and after: %s" % {d: (mem[d], now[d]) for d in mem})


def storms():
    storm("1000 from Dom0", ("work/qrexecd", "chand"), argv_of("d2q", "dom0", "work", "t.True"))
    storm("1000 from a qube", ("work/qrexecd", "work/vm", "vault/qrexecd"), argv_of("q2q", "work", "vault", "t.True"))
    r = until(lambda: probe("q2d", "work", "dom0"))
    ok(r, "and then all is served again", (short("q2d", "work", "dom0"), logs("qrexec-dom0")[-600:], logs("work/qrexecd")[-900:]))


def setup():
    policy("t.Cat * @anyvm @anyvm allow\nt.Cat * @anyvm dom0 allow\nt.True * @anyvm @anyvm allow\n")
    service("t.Cat", "exec cat")
    r = qubes(*QUBES)
    ok(r.returncode == 0, "three qubes run", r)
    for q in QUBES:
        r = sh("qvm-run", "-p", "-u", "root", q, "mkdir -p /usr/local/etc/qubes-rpc; cd /usr/local/etc/qubes-rpc; "
               "printf '#!/bin/sh\\nexec cat\\n' >t.Cat; printf '#!/bin/sh\\n' >t.True; chmod +x t.Cat t.True")
    # On Xen each of the three gets its caller here, which is a process and stays.
    ok(all(probe(*c) for c in (("d2q", "dom0", "work"), ("q2q", "third", "vault"), ("q2d", "vault", "dom0"),
                               ("q2d", "work", "dom0"))),
       "each kind of call is served", r)


setup()
# What Dom0 does about its own disks has nothing to do with Xen, and takes long there.
rows((kills, disks, files, no_descriptors, storms), (disks, files) if XEN else ())
sh("qvm-shutdown", "--all", "--wait")
done()
