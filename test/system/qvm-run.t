#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
# qvm-run against a qrexecd, a startd and a data channel spoken byte by byte, in a mount namespace of its
# own: spec/qrexec 13.
import os, pty, signal, socket, struct, subprocess, sys, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from wire import *

local_only("against a data channel of sockets")

BIN = os.path.abspath(os.path.join(os.environ.get("O", "build/local"), "bin/qvm-run"))
RUN = "/run/qubes"

alone(__file__, "--mount")


def set_up():
    mount("-t", "tmpfs", "t", "/mnt")
    os.mkdir("/mnt/up"), os.mkdir("/mnt/work")
    mount("-t", "overlay", "-o", "lowerdir=/etc,upperdir=/mnt/up,workdir=/mnt/work", "t", "/etc")
    mount("-t", "tmpfs", "t", "/run")
    for d in ("/run/qubes/state", "/run/qubes/s", "/run/qubes/chan", "/etc/qubes/vm.d", "/etc/qubes-rpc"):
        os.makedirs(d, exist_ok=True)
    for f in os.listdir("/etc/qubes/vm.d"):
        os.unlink("/etc/qubes/vm.d/" + f)


def state(name, what, domid=1):
    with open(RUN + "/state/" + name, "w") as f:
        f.write("name=%s\nsession=%s\ndomid=%d\nqid=%d\nstate=%s\n" % (name, "0" * 32, domid, domid, what))


class House:
    def __init__(self):
        self.procs, self.open, self.files = [], [], []
        self.qube("work", 1)

    def qube(self, name, domid, st="Running", conf="label = red\ntype = AppVM\n"):
        with open("/etc/qubes/vm.d/" + name, "w") as f:
            f.write(conf)
        self.files += ["/etc/qubes/vm.d/" + name, RUN + "/state/" + name, RUN + "/qrexec." + name]
        if st:
            state(name, st, domid)
            return self.daemon(name, domid)

    def daemon(self, name, qid):
        s = listen(RUN + "/qrexec." + name, uid=1900000000 + 8 * qid + 1)
        self.open.append(s)
        setattr(self, name, s)
        return s

    def accept(self, listener):
        l = Link(listener.accept()[0])
        self.open.append(l.s)
        l.put(HELLO, struct.pack("<L", 3))
        return l

    def start(self, *args, **kw):
        env = dict(os.environ, VCHAN_SOCKET_DIR=RUN + "/chan", VCHAN_DOMAIN="0")
        env.update(kw.pop("env", {}))
        io = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        io.update(kw)
        p = subprocess.Popen([BIN, *args], env=env, **io)
        self.procs.append(p)
        return p

    def run(self, *args, **kw):
        p = self.start(*args, **kw)
        out, err = p.communicate(timeout=LIMIT)
        return p.returncode, out, err

    def serve(self, command, kind=EXEC, domid=1, port=513, listener=None):
        """qrexecd's and the agent's part up to the data channel."""
        l = self.accept(listener or self.work)
        eq(l.get(), (HELLO, struct.pack("<L", 3)))
        eq(l.get(), (kind, struct.pack("<LL", 0, 0) + command + b"\0"))
        l.put(kind, struct.pack("<LL", domid, port))
        until = time.monotonic() + LIMIT
        while True:
            s = socket.socket(socket.AF_UNIX)
            try:
                s.connect(RUN + "/chan/vchan.0.%d.%d.sock" % (domid, port))
                break
            except (FileNotFoundError, ConnectionRefusedError):
                if time.monotonic() > until:
                    raise
                time.sleep(0.001)
        v = Link(s)
        self.open.append(s)
        eq(v.get(), (HELLO, struct.pack("<L", 4)))
        v.put(HELLO, struct.pack("<L", 4))
        return v

    def close(self):
        for x in self.open:
            x.close()
        for p in self.procs:
            if p.poll() is None:
                p.kill()
            p.communicate()
        for f in self.files:
            if os.path.lexists(f):
                os.unlink(f)


SHELL = b"DEFAULT:QUBESRPC qubes.VMShell+ dom0"


def finish(v, code=0):
    v.put(STDOUT)
    v.put(STDERR)
    v.put(CODE, struct.pack("<L", code))


def ended(p, code):
    out, err = p.communicate(timeout=LIMIT)
    eq(p.returncode, code, "exit status (stderr %r)" % err)
    return out, err


@test
def pass_io(h):
    p = h.start("-p", "work", "cat; exit 3")
    v = h.serve(SHELL)
    eq(v.get(), (STDIN, b"cat; exit 3; exit\n"))
    p.stdin.write(b"abc")
    p.stdin.close()
    p.stdin = None
    eq(v.get(), (STDIN, b"abc"))
    eq(v.get(), (STDIN, b""))
    v.put(STDOUT, b"out\x1b")
    v.put(STDERR, b"err\x1b")
    finish(v, 3)
    eq(ended(p, 3), (b"out\x1b", b"err\x1b"))


@test
def without_pass_io(h):
    p = h.start("work", "false\n\n")
    v = h.serve(SHELL)
    eq(v.get(), (STDIN, b"false; exit\n"), "trailing newlines are cut")
    eq(v.get(), (STDIN, b""))
    v.put(STDOUT, b"not shown")
    v.put(STDERR, b"not shown")
    finish(v, 1)
    out, err = ended(p, 1)
    eq(out, b"")
    eq(err, b"Running 'false' on work\nwork: command failed with code: 1\n")


@test
def quiet(h):
    p = h.start("-q", "work", "false")
    v = h.serve(SHELL)
    finish(v, 1)
    eq(ended(p, 1), (b"", b""))


@test
def pass_io_verbose(h):
    p = h.start("-p", "-v", "work", "x", stdin=subprocess.DEVNULL)
    v = h.serve(SHELL)
    finish(v)
    eq(ended(p, 0)[1], b"Running 'x' on work\n")


@test
def exit_codes(h):
    for code in (0, 3, 125, 126, 127, 143, 255):
        p = h.start("-p", "work", "x", stdin=subprocess.DEVNULL)
        finish(h.serve(SHELL), code)
        ended(p, code)


@test
def user(h):
    for u in ("root", "user2"):
        p = h.start("-u", u, "work", "x")
        finish(h.serve(u.encode() + b":QUBESRPC qubes.VMShell+ dom0"))
        ended(p, 0)
    for u in ("", "a:b", "a b"):
        eq(h.run("-u", u, "work", "x")[0], 2)


@test
def arguments_are_quoted(h):
    p = h.start("work", "printf", "%s\n", "a b", "it's", "", "-x".replace("-", "/"))
    v = h.serve(SHELL)
    eq(v.get(), (STDIN, b"printf '%s\n' 'a b' 'it'\"'\"'s' '' /x; exit\n"))
    finish(v)
    ended(p, 0)


@test
def arguments_after_dashes(h):
    for args in (["--", "work", "ls", "-l"], ["work", "--", "ls", "-l"]):
        p = h.start(*args)
        v = h.serve(SHELL)
        eq(v.get(), (STDIN, b"ls -l; exit\n"))
        finish(v)
        ended(p, 0)


@test
def no_shell(h):
    p = h.start("--no-shell", "work", "a b;c")
    v = h.serve(SHELL)
    eq(v.get(), (STDIN, b"'a b;c'; exit\n"))
    finish(v)
    ended(p, 0)


@test
def options_behind_the_command(h):
    p = h.start("work", "x", "-u", "root", "-q")
    finish(h.serve(b"root:QUBESRPC qubes.VMShell+ dom0"))
    eq(ended(p, 0)[1], b"")


@test
def service_only_starts(h):
    for code in (0, 127):
        p = h.start("-q", "--service", "work", "t.Svc+arg")
        v = h.serve(b"DEFAULT:QUBESRPC t.Svc+arg dom0", kind=JUST)
        v.put(CODE, struct.pack("<L", code))
        ended(p, code)


@test
def service_pass_io(h):
    p = h.start("-p", "--service", "work", "t.Svc")
    v = h.serve(b"DEFAULT:QUBESRPC t.Svc+ dom0")
    p.stdin.write(b"x")
    p.stdin.close()
    p.stdin = None
    eq(v.get(), (STDIN, b"x"))
    eq(v.get(), (STDIN, b""))
    v.put(STDOUT, b"y")
    finish(v)
    eq(ended(p, 0)[0], b"y")


@test
def localcmd(h):
    p = h.start("-p", "--localcmd", "read x; echo \"$x\" >&2; echo mine; exit 2", "work", "x")
    v = h.serve(SHELL)
    eq(v.get(), (STDIN, b"x; exit\n"))
    v.put(STDOUT, b"theirs\n")
    eq(v.get(), (STDIN, b"mine\n"))
    eq(v.get(), (STDIN, b""))
    finish(v, 1)
    eq(ended(p, 2), (b"", b"theirs\n"), "the greater of the two")


@test
def localcmd_smaller(h):
    p = h.start("-p", "--localcmd", "exit 2", "work", "x")
    v = h.serve(SHELL)
    finish(v, 7)
    ended(p, 7)


@test
def usage_errors_are_2(h):
    for args in ([], ["work"], ["--nonsense", "work", "x"], ["work", "ls", "-l"], ["--localcmd", "x", "work", "y"],
                 ["--service", "--no-shell", "work", "x"], ["--service", "work", "x", "y"],
                 ["--exclude", "a", "work", "x"], ["--colour-output=31", "work", "x"],
                 ["--no-filter-escape-chars", "--color-output=31", "-p", "work", "x"],
                 ["--colour-output=red", "--filter-escape-chars", "work", "x"], ["--dispvm"], ["--dispvm=base"],
                 ["--dispvm=dom0", "x"], ["--dispvm=../x", "x"], ["--dispvm=", "x"], ["--dispvm", "--all", "x"],
                 ["--dispvm", "--exclude", "a", "x"], ["--service", "work", "a b"],
                 ["--service", "work", "+x"], ["work", ""], ["--all"], ["-u", "work", "x"]):
        code, out, err = h.run(*args)
        eq((code, out), (2, b""), repr(args))
        assert b"usage" in err and b"error" in err, (args, err)


@test
def help_and_version(h):
    for o in ("-h", "--help", "--version"):
        code, out, _ = h.run(o)
        eq(code, 0)
        assert b"qvm-run" in out


@test
def unknown_qube(h):
    for name in ("nobody", "../work", "-", "a" * 40):
        code, _, err = h.run("--", name, "x")
        eq(code, 2)
        assert ("no such domain: '%s'" % name).encode() in err and b"usage" in err, err


@test
def not_running_no_autostart(h):
    h.qube("off", 0, st=None)
    eq(h.run("-n", "off", "x"), (1, b"", b"Qube 'off' not started\n"))
    eq(h.run("--no-autostart", "-p", "off", "x"), (1, b"", b""))
    eq(h.run("--no-auto", "-q", "off", "x"), (1, b"", b""))


@test
def running_no_autostart(h):
    p = h.start("-n", "-q", "work", "x")
    finish(h.serve(SHELL))
    ended(p, 0)


@test
def paused(h):
    state("work", "Paused")
    eq(h.run("-n", "work", "x"), (1, b"", b"Qube 'work' is paused\n"))
    eq(h.run("-p", "work", "x")[0], 1)


def startd(h, answer, name):
    s = listen(RUN + "/s/start.sock")
    h.open.append(s)
    p = h.start("-q", name, "x")
    c, _ = s.accept()
    c.settimeout(LIMIT)
    request = b""
    while not request.endswith(b"\n\n"):
        request += c.recv(100)
    eq(request, b"op=start\nname=%s\n\n" % name.encode())
    return p, c


def disposable(h, *args, base="dvm", answer=b"result=ok\nstate=running\nname=disp42\n\n"):
    s = listen(RUN + "/s/start.sock")
    h.open.append(s)
    p = h.start(*args)
    c, _ = s.accept()
    h.open.append(c)
    c.settimeout(LIMIT)
    request = b""
    while not request.endswith(b"\n\n"):
        request += c.recv(100)
    eq(request, b"op=start\ndisp=%s\n\n" % base.encode())
    c.sendall(answer)
    return p, c


def let_go(c):
    """It hung up; what it had not read makes that a reset."""
    try:
        eq(c.recv(1), b"")
    except ConnectionResetError:
        pass


def is_held(c):
    c.settimeout(0.05)
    try:
        return c.recv(1) != b""
    except socket.timeout:
        return True
    finally:
        c.settimeout(LIMIT)


@test
def dispvm(h):
    d = h.qube("disp42", 7)
    p, c = disposable(h, "-p", "--dispvm=dvm", "echo hi", answer=b"progress=1\nresult=ok\nstate=running\nname=disp42\n\n")
    v = h.serve(SHELL, listener=d, domid=7)
    eq(v.get(), (STDIN, b"echo hi; exit\n"))
    assert is_held(c)
    v.put(STDOUT, b"hi")
    finish(v, 7)
    eq(ended(p, 7)[0], b"hi")
    eq(c.recv(1), b"")  # startd hears its end
    p, c = disposable(h, "--dispvm=dvm", "--service", "t.S+a")
    d2 = h.accept(d)
    eq(d2.get(), (HELLO, struct.pack("<L", 3)))
    eq(d2.get(), (JUST, struct.pack("<LL", 0, 0) + b"DEFAULT:QUBESRPC t.S+a dom0\0"))
    p.kill()
    eq(c.recv(1), b"")


@test
def dispvm_by_default(h):
    d = h.qube("disp42", 7)
    h.files += ["/etc/qubes/vm.d/dom0", "/etc/qubes/vm.d/defaults"]
    code, _, err = h.run("--dispvm", "x")
    eq(code, 255)
    assert b"no default_dispvm" in err, err
    for name, base in [("defaults", "one"), ("dom0", "two")]:
        with open("/etc/qubes/vm.d/" + name, "w") as f:
            f.write("default_dispvm = %s\n" % base)
        p, c = disposable(h, "-q", "--dispvm", "x", base=base)
        finish(h.serve(SHELL, listener=d, domid=7))
        ended(p, 0)
    p, c = disposable(h, "--gui", "--dispvm=dvm", "x")  # the session is the command's own affair
    finish(h.serve(b"DEFAULT:QUBESRPC qubes.VMShell+WaitForSession dom0", listener=d, domid=7))
    eq(ended(p, 0)[1], b"Running 'x' on disp42\n")


@test
def dispvm_refused(h):
    for answer, why in [(b"result=refused\nreason=dvm is no template for disposables\ncode=3\n\n", b"no template for"),
                        (b"result=ok\nstate=running\n\n", b"names no disposable"), (b"", b"startd closed"),
                        (b"result=ok\nname=dom0\n\n", b"names no disposable"),
                        (b"result=ok\nname=../x\n\n", b"names no disposable")]:
        p, c = disposable(h, "--dispvm=dvm", "x", answer=answer)
        if answer == b"":
            c.close()
        err = ended(p, 255)[1]
        assert why in err, err
    os.unlink(RUN + "/s/start.sock")
    eq(h.run("--dispvm=dvm", "x")[0], 255)


@test
def dispvm_interrupted(h):
    d = h.qube("disp42", 7)
    p, c = disposable(h, "-p", "--dispvm=dvm", "sleep 1000")
    h.serve(SHELL, listener=d, domid=7)
    p.send_signal(signal.SIGINT)
    eq(p.wait(LIMIT), 130)
    let_go(c)
    # and while it is made
    p, c = disposable(h, "-p", "--dispvm=dvm", "sleep 1000", answer=b"progress=1\n")
    p.send_signal(signal.SIGINT)
    eq(p.wait(LIMIT), 130)
    let_go(c)


@test
def dispvm_never_started_again(h):
    # it has ended before it was called: another one would not be what startd has told
    p, c = disposable(h, "-p", "--dispvm=dvm", "x")
    ended(p, 125)
    eq(c.recv(1), b"")


@test
def autostart(h):
    h.qube("off", 0, st=None)
    p, c = startd(h, None, "off")
    d = h.qube("off", 1)
    c.sendall(b"progress=building\nresult=ok\nstate=running\n\n")
    c.close()
    finish(h.serve(SHELL, listener=d))
    ended(p, 0)


@test
def autostart_refused(h):
    h.qube("off", 0, st=None)
    for answer, code in ((b"result=refused\nreason=no template\ncode=20\n\n", 20),
                         (b"result=refused\nreason=no template\n\n", 1)):
        p, c = startd(h, None, "off")
        c.sendall(answer)
        c.close()
        assert b"no template" in ended(p, code)[1]


@test
def autostart_lost(h):
    h.qube("off", 0, st=None)
    for answer in (b"", b"progress=x\n", b"nonsense"):
        p, c = startd(h, None, "off")
        c.sendall(answer)
        c.close()
        ended(p, 1)


@test
def no_startd(h):
    h.qube("off", 0, st=None)
    if os.path.exists(RUN + "/s/start.sock"):
        os.unlink(RUN + "/s/start.sock")
    code, _, err = h.run("off", "x")
    eq(code, 1)
    assert b"startd" in err


@test
def running_but_agent_not_there(h):
    # RUN_STATE says Running before qrexecd listens: startd is asked, which waits, then it is tried again.
    h.work.close()
    os.unlink(RUN + "/qrexec.work")
    p, c = startd(h, None, "work")
    d = h.daemon("work", 1)
    c.sendall(b"result=ok\n\n")
    c.close()
    finish(h.serve(SHELL, listener=d))
    ended(p, 0)


@test
def gui_waits_for_the_session(h):
    h.qube("gui", 1, conf="label = red\ntype = AppVM\ndefault_user = joe\n")
    p = h.start("--gui", "-q", "gui", "x")
    v = h.serve(b"DEFAULT:QUBESRPC qubes.WaitForSession+ dom0", listener=h.gui)
    eq(v.get(), (STDIN, b"joe"))
    finish(v, 1)
    finish(h.serve(SHELL, listener=h.gui, port=514))
    ended(p, 0)


@test
def all_but(h):
    b, c = h.qube("bb", 2), h.qube("cc", 3)
    h.qube("paused", 4, st="Paused")
    h.qube("hidden", 5, conf="label = red\ntype = AppVM\ninternal = yes\n")
    p = h.start("--all", "--exclude", "work", "--exclude=nobody", "x")
    v = h.serve(SHELL, listener=b, domid=2)
    w = h.serve(SHELL, listener=c, domid=3)  # at the same time
    finish(v, 4)
    finish(w, 9)
    out, err = ended(p, 9)
    eq(sorted(err.splitlines()), sorted([b"Running 'x' on bb", b"Running 'x' on cc",
       b"bb: command failed with code: 4", b"cc: command failed with code: 9"]))


@test
def all_pass_io_is_for_one(h):
    h.qube("bb", 2)
    eq(h.run("--all", "-p", "x")[0], 2)
    p = h.start("--all", "--exclude", "bb", "-p", "x", stdin=subprocess.DEVNULL)
    v = h.serve(SHELL)
    v.put(STDOUT, b"one")
    finish(v)
    eq(ended(p, 0)[0], b"one")


@test
def filter_option(h):
    p = h.start("-p", "--filter-escape-chars", "--no-colour-output", "work", "x", stdin=subprocess.DEVNULL)
    v = h.serve(SHELL)
    v.put(STDOUT, b"a\x1b[0m\xff\n")
    v.put(STDERR, b"b\x1b\n")
    finish(v)
    eq(ended(p, 0), (b"a_[0m_\n", b"b_\n"))


@test
def colour(h):
    p = h.start("-p", "--filter-escape-chars", "--colour-output=32", "--colour-stderr=33", "work", "x",
                stdin=subprocess.DEVNULL)
    v = h.serve(SHELL)
    v.put(STDOUT, b"a")
    v.put(STDERR, b"b")
    finish(v)
    eq(ended(p, 0), (b"\x1b[0;32ma\x1b[0m", b"\x1b[0;33mb\x1b[0m"))


@test
def default_colour_with_filter(h):
    p = h.start("-p", "--filter-escape-chars", "work", "x", stdin=subprocess.DEVNULL)
    finish(h.serve(SHELL))
    eq(ended(p, 0)[0], b"\x1b[0;31m\x1b[0m")


def on_tty(h, *opts):
    m, s = pty.openpty()
    p = h.start(*opts, "work", "x", stdin=subprocess.DEVNULL, stdout=s, stderr=s)
    os.close(s)
    v = h.serve(SHELL)
    v.put(STDOUT, b"a\x1b")
    finish(v)
    p.wait(LIMIT)
    got = b""
    try:
        while True:
            got += os.read(m, 1000)
    except OSError:
        os.close(m)
    return got


@test
def terminal_filters_and_colours(h):
    eq(on_tty(h, "-p"), b"\x1b[0;31m\x1b[0;31ma_\x1b[0m\x1b[0m")


@test
def terminal_no_filter(h):
    eq(on_tty(h, "-p", "--no-filter-escape-chars", "--no-color-stderr"), b"a\x1b")


@test
def interrupt(h):
    p = h.start("-p", "--filter-escape-chars", "work", "x")
    v = h.serve(SHELL)
    p.send_signal(signal.SIGINT)
    out, _ = ended(p, 130)
    assert out.endswith(b"\x1b[0m"), out
    try:
        while v.s.recv(1000):
            pass
    except ConnectionResetError:
        pass


@test
def interrupt_all(h):
    b = h.qube("bb", 2)
    p = h.start("--all", "x")
    v, w = h.serve(SHELL), h.serve(SHELL, listener=b, domid=2)
    p.send_signal(signal.SIGINT)
    ended(p, 130)
    for x in (v, w):
        try:
            while x.s.recv(1000):
                pass
        except ConnectionResetError:
            pass


@test
def qrexecd_refuses(h):
    p = h.start("work", "x")
    l = h.accept(h.work)
    l.get(), l.get()
    l.s.close()
    ended(p, 125)


@test
def too_long_is_refused_here(h):
    p = h.start("-q", "--service", "work", "t.Svc+" + "a" * 4100)
    l = h.accept(h.work)
    eq(l.s.recv(1), b"", "something was sent")
    assert b"too long" in ended(p, 125)[1]


@test
def timing(h):
    for args, env in ((["--timing"], {}), ([], {"QVM_RUN_TIMING": "1"})):
        p = h.start("-q", *args, "work", "x", env=env)
        v = h.serve(SHELL)
        v.put(STDOUT, b"x")
        finish(v)
        words = ended(p, 0)[1].decode().split()
        eq(words[:2], ["timing", "work:"])
        at = dict((k, int(n)) for k, n in (w.split("=") for w in words[2:-1]))
        eq(list(at), ["connect", "start", "channel", "first", "end"])
        eq(sorted(at.values()), list(at.values()), "in order")


@test
def dom0_service(h):
    with open("/etc/qubes-rpc/t.Svc", "w") as f:
        f.write('#!/bin/sh\nread x; echo "$x $1 $QREXEC_REMOTE_DOMAIN"; exit 3\n')
    os.chmod("/etc/qubes-rpc/t.Svc", 0o755)
    p = h.start("-p", "--service", "dom0", "t.Svc+arg")
    out, _ = p.communicate(b"hello\n", timeout=LIMIT)
    eq((p.returncode, out), (3, b"hello arg dom0\n"))
    eq(h.run("--service", "dom0", "t.Svc"), (3, b"", b""))
    eq(h.run("--service", "dom0", "t.None")[0], 127)


@test
def dom0_service_as_user(h):
    with open("/etc/qubes-rpc/t.Who", "w") as f:
        f.write("#!/bin/sh\nid -un\n")
    os.chmod("/etc/qubes-rpc/t.Who", 0o755)
    eq(h.run("-p", "-u", "nobody", "--service", "dom0", "t.Who")[:2], (0, b"nobody\n"))
    eq(h.run("-p", "-u", "no-such", "--service", "dom0", "t.Who")[0], 125)


@test
def dom0_shell_is_refused(h):
    code, _, err = h.run("dom0", "id")
    eq(code, 1)
    assert b"--service" in err


set_up()
run(House)
