# SPDX-License-Identifier: ISC
"""For tests on real Xen, in Dom0: TAP, waiting with a limit, and what there is of a qube: domains (by what Xen says),
nodes, loop devices, processes, files."""
import glob, os, re, socket, struct, subprocess, sys, threading, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from wire import LIMIT, SLOW, XEN, few, qubes, recvall

if not XEN:
    print("1..0 # SKIP only on Xen")
    sys.exit(0)

RUN, LOG, VM = "/run/qubes", "/var/log/qubes", "/etc/qubes/vm.d/"
TOOLS = os.environ["O"] + "/test/"
HZ = os.sysconf("SC_CLK_TCK")
count = 0


def ok(good, name, note=""):
    global count
    count += 1
    print("%sok %d - %s" % ("" if good else "not ", count, name), flush=True)
    if not good:
        for line in str(note).splitlines()[-12:]:
            print("# " + line[:400], flush=True)
    return good


def eq(got, want, name):
    return ok(got == want, name, "got %r, wanted %r" % (got, want))


def rows(table):
    """Runs those that were named, or all: each a function; one that breaks is a row that failed."""
    for f in table:
        if len(sys.argv) > 1 and f.__name__ not in sys.argv[1:]:
            continue
        began = time.monotonic()
        try:
            f()
        except Exception as e:
            import traceback
            ok(False, "%s: %s" % (f.__name__, type(e).__name__), traceback.format_exc())
        print("# %s: %.1f s" % (f.__name__, time.monotonic() - began), flush=True)
    print("1..%d" % count)


def until(f, limit=LIMIT, step=0.02):
    end = time.monotonic() + limit
    while True:
        got = f()
        if got or time.monotonic() > end:
            return got
        time.sleep(step)


def read(path):
    try:
        with open(path, errors="replace") as f:
            return f.read()
    except OSError:
        return ""


def write(path, text):
    with open(path, "w") as f:
        f.write(text)


def sh(*argv, limit=2 * LIMIT, data=b""):
    """Status and all that it said; None as status: it hangs."""
    p = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        out = p.communicate(data, limit)[0]
        return p.returncode, out.decode(errors="replace").strip()
    except subprocess.TimeoutExpired:
        p.kill()
        p.wait()
        return None, "hangs"


def conf(name, **keys):
    """A qube's file; the keys of the machine's defaults hold, too. private_ is the key private."""
    write(VM + name, "label = red\n" + "".join("%s = %s\n" % (k.rstrip("_"), v) for k, v in keys.items()))


def state(name):
    return dict(x.split("=", 1) for x in read(RUN + "/state/" + name).splitlines())


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


def vm_log(name):
    where = "%s/%s/vm/" % (LOG, name)
    return "".join(read(f) for f in sorted(glob.glob(where + "@*")) + [where + "current"])


class since:
    """What the log of a qube's keeper and console says from now on."""

    def __init__(self, name):
        self.name, self.at = name, len(vm_log(name))

    def text(self):
        return vm_log(self.name)[self.at:]

    def says(self, pattern, limit=LIMIT):
        return until(lambda: re.search(pattern, self.text()), limit)


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


def svpid(service):
    return int(subprocess.run(["s6-svstat", "-o", "pid", RUN + "/s6/" + service], capture_output=True).stdout or -1)


def keeper(name):
    return svpid("vm/instance/" + name)


def child_of(pid):
    for p in os.listdir("/proc"):
        f = read("/proc/%s/stat" % p).rsplit(")", 1)[-1].split() if p.isdigit() else ""
        if f and int(f[1]) == pid:
            return int(p)
    return -1


def cpu(pid):
    f = read("/proc/%d/stat" % pid).rsplit(")", 1)[-1].split()
    return (int(f[11]) + int(f[12])) / HZ if f else 0.0


def alive(name):
    return inside(name, "echo alive") == (0, "alive")


def service(name, text, policy=True):
    """One of Dom0's own."""
    os.makedirs("/etc/qubes-rpc", exist_ok=True)
    write("/etc/qubes-rpc/" + name, "#!/bin/sh\n" + text + "\n")
    os.chmod("/etc/qubes-rpc/" + name, 0o755)
