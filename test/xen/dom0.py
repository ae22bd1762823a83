# SPDX-License-Identifier: ISC
"""For tests on real Xen, in Dom0: what there is of a qube: domains (by what Xen says), nodes, loop devices, files."""
import glob, os, re, socket, struct, subprocess, sys, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from tap import *
from wire import recvall

xen_only()

TOOLS = os.environ["O"] + "/test/"


def conf(name, **keys):
    """A qube's file of root's, which may name paths anywhere; the keys of the machine's defaults hold, too. private_ is the
    key private."""
    write(VM + name, "name = %s\nlabel = red\n" % name + "".join("%s = %s\n" % (k.rstrip("_"), v) for k, v in keys.items()))


def is_state(name, word):
    return state(name).get("state", "Halted") == word


def start(name):
    return sh("qvm-start", name, limit=4 * LIMIT)


def inside(name, cmd, data=b"", user="root"):
    return sh("qvm-run", "-p", "-u", user, name, cmd, data=data)


def put_inside(name, *tools):
    for t in tools:
        with open(TOOLS + t, "rb") as f:
            inside(name, "cat >/tmp/%s; chmod +x /tmp/%s" % (t, t), f.read())


def background(*argv, stdin=None):
    null = subprocess.DEVNULL
    return subprocess.Popen(argv, stdin=stdin or null, stdout=null, stderr=null)


def ended(processes, limit=LIMIT):
    """Do they all end in time? Those that do not are killed."""
    end = time.monotonic() + limit
    late = []
    for p in processes:
        try:
            p.wait(max(0.01, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            late.append(p.args)
            p.kill()
            p.wait()
    return late


def store(what, *args):
    rc, out = sh("xenstore-" + what, *args)
    return out if rc == 0 else None


class Store:
    """A client of our own: thousands of looks, and no process for each."""
    DIRECTORY, READ = 1, 2

    def __init__(self):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.connect("/run/xenstored/socket")
        self.s.settimeout(2 * LIMIT)

    def ask(self, what, path):
        body = path.encode() + b"\0"
        self.s.sendall(struct.pack("<4L", what, 0, 0, len(body)) + body)
        kind, _, _, n = struct.unpack("<4L", recvall(self.s, 16))
        body = recvall(self.s, n)
        return body if kind == what else None

    def names(self, path):
        return [x for x in (self.ask(self.DIRECTORY, path) or b"").decode().split("\0") if x]

    def there(self, path):
        return self.ask(self.READ, path) is not None

    def all(self, path="/"):
        n = [path.rstrip("/") + "/" + x for x in self.names(path)]
        return n + [x for p in n for x in self.all(p)]


def nodes():
    return sorted(Store().all())


# Made once, and then there.
LASTING = {"/tool/cubicle/disk", "/local/domain/0/backend", "/local/domain/0/backend/vbd", "/local/domain/0/error",
           "/local/domain/0/error/backend", "/local/domain/0/error/backend/vbd"}


def same_nodes(before, name):
    now, before = set(nodes()) - LASTING, set(before) - LASTING
    return ok(now == before, name, "\n".join(["+ " + x for x in sorted(now - before)] + ["- " + x for x in before - now]))


def nodes_of(domid):
    """What stands in xenstore because of a domain; whatever the domain made itself is below its own directory."""
    s = Store()
    return [p for p in ["/local/domain/%d" % domid, "/tool/cubicle/%d" % domid] +
            ["/local/domain/%s/backend/%s/%d" % (d, k, domid) for d in s.names("/local/domain") for k in ("vbd", "vif")] +
            ["/local/domain/%s/data/vchan/%d" % (d, domid) for d in s.names("/local/domain")] +
            ["/tool/cubicle/disk/%s/%d" % (d, domid) for d in s.names("/tool/cubicle/disk")] if s.there(p)]


def dom(*args):
    return sh(TOOLS + "dom", *map(str, args), limit=10 * LIMIT)


def domains():
    """What Xen has: {domid: (uuid, pages, state)}."""
    return {int(l.split()[0]): (l.split()[1], int(l.split()[2]), l.split()[3]) for l in dom("list")[1].splitlines()}


def free_mib():
    return int(dom("free")[1])


def loops():
    """But for the one that Dom0 itself stands on."""
    return {os.path.basename(os.path.dirname(f[:-len("/backing_file")])): read(f).strip()
            for f in glob.glob("/sys/block/loop*/loop/backing_file") if not read(f).startswith("/boot/")}


def left(name, domid):
    """What is left of a qube and of its domain, by where."""
    there = ["file " + f for f in
             ["%s/%s/%s" % (RUN, d, name) for d in ("state", "q", "s6/vm/instances", "s6/qrexecd/instances", "vm/.prepared")] +
             [f for f in glob.glob(RUN + "/qrexec.*") if os.readlink(f) == "q/%s/qrexec" % name] if os.path.lexists(f)]
    if domid:
        n = str(domid)
        there += ["node " + x for x in nodes_of(domid)]
        there += ["domain " + n] * (domid in domains())
        if os.path.exists("/sys/bus/xen-backend/devices"):
            there += ["device " + d for d in os.listdir("/sys/bus/xen-backend/devices") if d.split("-")[1] == n]
    return there


def is_gone(name, domid, what, limit=LIMIT):
    last = []

    def nothing():
        last[:] = left(name, domid)
        return not last
    return ok(until(nothing, limit, 0.2), what, "\n".join(last))


def zombie(domid, what, seconds=2.0):
    """Xen has forgotten the domain within so long (times SLOW)."""
    began = time.monotonic()
    gone = until(lambda: domid not in domains(), seconds * SLOW)
    return ok(gone, what, "%.1f s: %s" % (time.monotonic() - began, domains().get(domid)))


def keeper(name):
    return svpid("vm/instance/" + name)


def alive(name):
    return inside(name, "echo alive") == (0, "alive")


def cats(name):
    """How many run there."""
    return inside(name, "ps -o comm")[1].split().count("cat")


def allow_cat():
    """t.Cat gives back what it gets: in Dom0, and wherever serve_cat() puts it; anybody may call it."""
    service("t.Cat", "exec cat")
    policy("t.Cat * @anyvm @anyvm allow\nt.Cat * @anyvm dom0 allow\n")


def serve_cat(*names):
    return [inside(q, "cd /usr/local/etc/qubes-rpc && printf '#!/bin/sh\\nexec cat\\n' >t.Cat && chmod +x t.Cat")[0]
            for q in names]
