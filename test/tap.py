# SPDX-License-Identifier: ISC
"""For system tests in Python what tap.sh is for those in shell: TAP, waiting for an event with a limit, and a look at what
there is. A test begins with
    sys.path[0] += "/.."
    from tap import *
    in_house()
and ends with done(). On real Xen (test/xen) it runs in Dom0 itself. SLOW: by how much a machine is slower than most; limits
grow by it. LESS: what repeats something for its own sake does so that many times less."""
import contextlib, faulthandler, glob, os, re, signal, subprocess, sys, threading, time, traceback

RUN, LOG, S6, VM = "/run/qubes", "/var/log/qubes", "/run/qubes/s6", "/etc/qubes/vm.d/"
UID_BASE = GID_DAEMONS = 1900000000
XEN = os.environ.get("BACKEND") == "xen"
SLOW, LESS = (int(os.environ.get(k, "1")) for k in ("SLOW", "LESS"))
# A file that must be more, or less, patient sets tap.LIMIT and tap.HANGS.
LIMIT = 10 * SLOW  # seconds that an event is waited for
HANGS = 2 * LIMIT  # seconds: a command that takes longer hangs
ROW = 20 * LIMIT  # seconds: one function of rows()
_HZ = os.sysconf("SC_CLK_TCK")
_rows = _bad = 0
_turn = threading.Lock()  # some tests have threads
# A file that hangs says where, and ends.
if "FILE_LIMIT" in os.environ:
    faulthandler.dump_traceback_later(int(os.environ["FILE_LIMIT"]) - 5, exit=True)
# Who started us in the background may have had them ignored, and what we start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)


def few(n):
    return max(1, n // LESS)


# --- where a test runs ---

def in_house():
    """Once more inside a house with the daemons up, unless we are there."""
    if os.environ.get("HOUSE") != "1":
        house = os.path.join(os.path.dirname(os.path.abspath(__file__)), "house")
        os.execv(house, [house, "-u", os.path.abspath(sys.argv[0]), *sys.argv[1:]])


def _skip_all(why):
    print("1..0 # SKIP " + why)
    sys.exit(0)


def local_only(why):
    """Ends a test that has no meaning on Xen."""
    if XEN:
        _skip_all(why)


def xen_only():
    if not XEN:
        _skip_all("only on Xen")


# --- TAP ---

def ok(good, name, note=""):
    global _rows, _bad
    with _turn:
        _rows += 1
        _bad += not good
        print("%sok %d - %s" % ("" if good else "not ", _rows, name), flush=True)
    if not good:
        lines = [] if note is None else ["# " + line[:1000] for line in str(note).splitlines()[-20:]]
        if lines:
            print("\n".join(lines), flush=True)
        if "RED" in os.environ:  # prove alone would say a number only
            with open(os.environ["RED"], "a") as f:
                print("\n".join(["%s: not ok %d - %s" % (os.path.basename(sys.argv[0]), _rows, name)] + lines), file=f)
    return bool(good)


def eq(got, want, name):
    return ok(got == want, name, "got %r, wanted %r" % (got, want))


def _too_long(*_):
    raise TimeoutError("not over after %d s" % ROW)


def rows(table, but=()):
    """Runs those that the command line names, or all but some: functions; one that breaks is a row that failed."""
    named = sys.argv[1:]
    for f in table:
        if f.__name__ not in named if named else f in but:
            continue
        began = time.monotonic()
        signal.signal(signal.SIGALRM, _too_long)
        signal.alarm(ROW)
        try:
            f()
        except Exception as e:
            ok(False, "%s: %s" % (f.__name__, type(e).__name__), traceback.format_exc())
        signal.alarm(0)
        print("# %s: %.1f s" % (f.__name__, time.monotonic() - began), flush=True)


def done():
    """The plan; the status tells whether a row failed."""
    print("1..%d" % _rows, flush=True)
    sys.exit(_bad != 0)


def until(f, limit=None, step=0.02):
    """What f returns as soon as that is true, or what it returned last."""
    end = time.monotonic() + (LIMIT if limit is None else limit)
    while True:
        got = f()
        if got or time.monotonic() > end:
            return got
        time.sleep(step)


# --- files, commands ---

def read(path):
    try:
        with open(path, errors="replace") as f:
            return f.read()
    except OSError:
        return ""


def write(path, text, mode=0o644):
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, mode)


def sh(*argv, limit=None, data=b""):
    """Status and all that it said; None as status: it hangs."""
    try:
        p = subprocess.run(argv, input=data, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           timeout=HANGS if limit is None else limit)
        return p.returncode, p.stdout.decode(errors="replace").strip()
    except subprocess.TimeoutExpired:
        return None, "hangs"


@contextlib.contextmanager
def instead_of(program, text):
    """It is another for a while, which finds it as PROGRAM.real."""
    os.rename(program, program + ".real")
    write(program, text, 0o755)
    try:
        yield
    finally:
        os.rename(program + ".real", program)


def kv(text):
    return dict(line.split("=", 1) for line in text.split("\n") if "=" in line)


def service(name, text):
    """One of Dom0's own."""
    os.makedirs("/etc/qubes-rpc", exist_ok=True)
    write("/etc/qubes-rpc/" + name, "#!/bin/sh\n" + text + "\n", 0o755)


def policy(text, name="30-user"):
    write("/etc/qubes/policy.d/%s.policy" % name, text)


# --- what runs ---

def qubes(*names):
    """These run; those that a saved machine has running already stay as they are."""
    for name in names:
        if not os.path.exists(VM + name):
            write(VM + name, "label = blue\n")
    return subprocess.run(["qvm-start", "--skip-if-running", *names], capture_output=True, text=True, timeout=60 * SLOW)


def state(name):
    return kv(read(RUN + "/state/" + name))


def uid_of(qube, program=1):
    """1: qrexecd; the others are in lib/ids.h."""
    return UID_BASE + 8 * int(state(qube)["qid"]) + program


def svpid(name):
    return int(subprocess.run(["s6-svstat", "-o", "pid", S6 + "/" + name], capture_output=True).stdout or -1)


def child_of(pid, comm=None):
    for p in filter(str.isdigit, os.listdir("/proc")):
        name, _, rest = read("/proc/%s/stat" % p).partition("(")[2].rpartition(")")
        if rest and int(rest.split()[1]) == pid and comm in (None, name):
            return int(p)
    return -1


def cpu(pid):
    """Seconds of processor time."""
    f = read("/proc/%d/stat" % pid).rsplit(")", 1)[-1].split()
    return (int(f[11]) + int(f[12])) / _HZ if f else 0.0


def logs(*names):
    """Everything that these services have logged, or all services."""
    names = names or [os.path.relpath(d, LOG) for d, _, files in os.walk(LOG) if "current" in files]
    return "".join(read(f) for n in names for f in sorted(glob.glob("%s/%s/@*" % (LOG, n))) + ["%s/%s/current" % (LOG, n)])


class since:
    """What services log from now on."""

    def __init__(self, *names):
        self.at = {n: len(logs(n)) for n in names}

    def text(self):
        return "".join(logs(n)[at:] for n, at in self.at.items())

    def says(self, pattern, limit=None):
        return until(lambda: re.search(pattern, self.text()), limit)
