#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
# qrexec-agent and qrexec-client-vm against a Dom0 that is spoken byte by byte: spec/qrexec 5, 7, 9, 10, 11.
import getpass, os, pwd, re, shutil, signal, socket, stat, struct, subprocess, sys, tempfile, threading, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from wire import *

local_only("the agent by hand over a socket directory; on Xen it runs in a qube (call.t)")

O = os.environ.get("O", "build/local")
AGENT, CLIENT = reachable(O + "/bin/qrexec-agent", O + "/bin/qrexec-client-vm")
ROOT = os.geteuid() == 0
ME = pwd.getpwuid(os.geteuid()).pw_name


def code(n):
    return struct.pack("<i", n)


class AgentLink(Link):
    def quiet(self, seconds=0.05):
        self.s.settimeout(seconds)
        try:
            return self.s.recv(1, socket.MSG_PEEK) == None
        except socket.timeout:
            return True
        finally:
            self.s.settimeout(LIMIT)

    def hello(self, version=4):
        self.put(HELLO, struct.pack("<L", version))
        same(self.get(), (HELLO, struct.pack("<L", 4)))

    def rest(self, to_end=False):
        """All messages up to the exit code (or the link's end): out, err, exit code, the order of what is not data."""
        out, err, rc, order = b"", b"", None, []
        while True:
            try:
                kind, body = self.get()
            except (EOFError, ConnectionResetError):
                return out, err, rc, order
            if kind == STDOUT:
                out += body
            elif kind == STDERR:
                err += body
            elif kind == CODE:
                rc = struct.unpack("<i", body)[0]
            if not body or kind == CODE:
                order.append(kind)
            if kind == CODE and not to_end:
                self.close()
                return out, err, rc, order


def same(got, want):
    if got != want:
        raise AssertionError("got %r, want %r" % (got, want))


def until(f, what):
    end = time.monotonic() + LIMIT
    while True:
        r = f()
        if r:
            return r
        if time.monotonic() > end:
            raise AssertionError("never: " + what)
        time.sleep(0.002)


def children(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
        return f.read().split()


def read_status(pid):
    with open("/proc/%s/status" % pid) as f:
        return f.read()


def listen(path):
    s = socket.socket(socket.AF_UNIX)
    s.bind(path)
    os.chmod(path, 0o777)
    s.listen(8)
    s.settimeout(LIMIT)
    return s


class Qube:
    """A directory with channels, services and an agent of domain 42."""

    def __init__(self, user=None):
        self.dir = tempfile.mkdtemp(prefix="agent.")
        os.chmod(self.dir, 0o777)
        for d in "a", "b", "conf":
            os.mkdir(self.dir + "/" + d)
        self.env = dict(os.environ, VCHAN_DOMAIN="42", VCHAN_SOCKET_DIR=self.dir,
                        QREXEC_SERVICE_PATH="%s/a:%s/b" % (self.dir, self.dir),
                        QUBES_RPC_CONFIG_PATH=self.dir + "/conf", QREXEC_STRANGER="must go", SHELL="/bin/false")
        self.sock = self.dir + "/agent.sock"
        self.log = open(self.dir + "/log", "w+b")
        self.user = user
        self.port = 513
        self.agent = subprocess.Popen([AGENT, "--agent-socket=" + self.sock, "--no-fork-server"], env=self.env,
                                      stderr=self.log, user=user, group=user,
                                      extra_groups=[] if user else [4, 27] if ROOT else None)

    def dom0(self, version=4):
        path = self.dir + "/vchan.42.0.512.sock"

        def connect():
            s = socket.socket(socket.AF_UNIX)
            try:
                s.connect(path)
                return s
            except (FileNotFoundError, ConnectionRefusedError):
                s.close()
        link = AgentLink(until(connect, path))
        if version:
            same(link.get(), (HELLO, struct.pack("<L", 4)))
            link.put(HELLO, struct.pack("<L", version))
        self.link = link
        return link

    def service(self, name, text, where="a", mode=0o755):
        path = "%s/%s/%s" % (self.dir, where, name)
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def conf(self, name, text):
        with open("%s/conf/%s" % (self.dir, name), "wb") as f:
            f.write(text.encode() if isinstance(text, str) else text)

    def start(self, command, kind=EXEC, domain=0):
        self.port += 1
        s = listen("%s/vchan.%d.42.%d.sock" % (self.dir, domain, self.port))
        self.link.put(kind, struct.pack("<LL", domain, self.port) + command.encode() + b"\0")
        c, _ = s.accept()
        s.close()
        call = AgentLink(c)
        call.port, call.domain = self.port, domain
        return call

    def call(self, command, kind=EXEC, stdin=b""):
        c = self.start(command, kind)
        c.hello()
        if kind == EXEC:
            if stdin:
                c.put(STDIN, stdin)
            c.put(STDIN)
        r = c.rest()
        same(self.link.get(), (TERMINATED, struct.pack("<LL", 0, c.port)))
        return r

    def rpc(self, what, kind=EXEC, stdin=b"", user=None):
        return self.call("%s:QUBESRPC %s" % (user or ME, what), kind, stdin)

    def request(self, target=b"vault", service=b"a.B+c\0", source=b""):
        c = AgentLink(socket.socket(socket.AF_UNIX))
        c.s.connect(self.sock)
        c.put(TRIGGER4, source.ljust(64, b"\0") + target.ljust(64, b"\0") + b"SOCKET".ljust(32, b"\0") + service)
        return c

    def logged(self, pattern):
        self.log.seek(0)
        return re.search(pattern, self.log.read().decode())

    def end(self):
        self.agent.terminate()
        rc = self.agent.wait(LIMIT)
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)
        same(rc, 0)


def qube(f):
    def run():
        q = Qube()
        try:
            q.dom0()
            f(q)
        finally:
            q.end()
    run.__name__ = f.__name__
    tests.append(run)
    return run


# The control link.

@qube
def socket_is_for_everybody(q):
    same(stat.S_IMODE(os.stat(q.sock).st_mode), 0o777)


@test
def versions_of_dom0():
    for version, ok in ((1, False), (2, True), (3, True), (4, True), (7, True)):
        q = Qube()
        try:
            q.dom0(version)
            if ok:
                same(q.call(ME + ":exit 3")[2], 3)
            else:
                same(q.link.eof(), True)
                q.dom0()
        finally:
            q.end()


@test
def bad_messages_end_the_link_and_it_listens_again():
    whole = struct.pack("<LL", 0, 600)
    for bad in (message(0x204), message(TRIGGER4, b"x" * 200), message(HELLO, b"\4\0\0\0"), message(REFUSED, b"x" * 31),
                message(REFUSED, b"x" * 33), message(CONNECT, whole), message(CONNECT, whole + b"x" * 33),
                message(EXEC, whole), message(EXEC, whole + b"no NUL"), message(JUST, whole + b"no NUL"),
                struct.pack("<LL", EXEC, 8 + 65536), struct.pack("<LL", EXEC, 0xffffffff), message(TERMINATED, whole)):
        q = Qube()
        try:
            q.dom0().raw(bad)
            same(q.link.eof(), True)
            q.dom0()
            same(q.call(ME + ":exit 4")[2], 4)
            assert q.logged("control link: ")
        finally:
            q.end()
    for bad in (message(EXEC, whole + b"x\0"), message(HELLO, b"\4\0\0"), message(HELLO, b"\4\0\0\0\0")):
        q = Qube()
        try:
            q.dom0(0).raw(bad)
            same(q.link.get()[0], HELLO)
            same(q.link.eof(), True)
        finally:
            q.end()


@qube
def dom0_goes_and_comes_back_while_a_call_runs(q):
    c = q.start(ME + ":read x; echo $x; exit 6")
    c.hello()
    q.link.close()
    q.dom0()
    c.put(STDIN, b"still here\n")
    same(c.rest(to_end=True)[:3], (b"still here\n", b"", 6))
    same(q.link.get(), (TERMINATED, struct.pack("<LL", 0, c.port)))
    same(q.rpc("none dom0")[2], 127)


@test
def nobody_comes_for_a_call_and_the_agent_is_killed():
    q = Qube()
    try:
        q.dom0().put(EXEC, struct.pack("<LL", 0, 600) + ("%s:true" % ME).encode() + b"\0")
        pid = until(lambda: children(q.agent.pid), "a child")[0]
        q.agent.kill()
        until(lambda: not os.path.exists("/proc/%s" % pid), "it does not wait for long")
        assert q.logged("the caller's channel 0.600 did not come")
        q.agent.wait()
        q.agent = subprocess.Popen([AGENT, "--agent-socket=" + q.sock], env=q.env, stderr=q.log)
        q.dom0()
    finally:
        q.end()


@test
def the_link_ends_with_the_agent_though_calls_go_on():
    q = Qube()
    try:
        q.dom0()
        c = q.start(ME + ":read x; exit 6")
        c.hello()
        client = q.request()
        same(q.link.get()[0], TRIGGER4)
        q.agent.kill()
        same((q.link.eof(), client.eof()), (True, True))
        c.put(STDIN, b"x\n")
        same(c.rest()[2], 6)
        q.agent.wait()
        q.agent = subprocess.Popen([AGENT, "--agent-socket=" + q.sock], env=q.env, stderr=q.log)
        q.dom0()
        same(q.call(ME + ":exit 4")[2], 4)
    finally:
        q.end()


@qube
def control_message_split_at_every_byte(q):
    q.service("s", "#!/bin/sh\nexit 8\n")
    s = listen(q.dir + "/vchan.0.42.600.sock")
    whole = message(EXEC, struct.pack("<LL", 0, 600) + ("%s:QUBESRPC s x\0" % ME).encode())
    for i in range(len(whole)):
        q.link.raw(whole[i:i + 1])
    c = AgentLink(s.accept()[0])
    c.hello()
    same(c.rest()[2], 8)


# Commands.

@qube
def shell_command(q):
    out, err, rc, order = q.call(ME + ':read x; echo "out $x $QREXEC_AGENT_PID"; echo err >&2; exit 3', stdin=b"in\n")
    assert re.fullmatch(rb"out in \d+\n", out), out
    same((err, rc), (b"err\n", 3))
    same(sorted(order[:2]) + order[2:], [STDOUT, STDERR, CODE])
    same(q.call("%s:nogui:kill -TERM $$" % ME)[2], 143)
    same(q.call(ME + ":echo x >/proc/self/fd/2")[:3], (b"", b"x\n", 0))


@qube
def a_program_that_splices_to_its_stderr(q):
    q.service("s", "#!/bin/sh\nexec python3 -c '\nimport os\nwhile os.sendfile(2, 0, None, 1 << 20) > 0:\n    os.write(1, b\".\")\n'\n")
    c = q.start(ME + ":QUBESRPC s dom0")
    c.hello()
    err = out = b""
    for i in range(100):  # meanwhile it holds the pipe: who would read that now waits in the kernel
        c.put(STDIN, b"line %d\n" % i)
        while len(out) <= i:
            kind, body = c.get()
            out, err = (out + body, err) if kind == STDOUT else (out, err + body)
    c.put(STDIN)
    more = c.rest()
    same((out + more[0], more[2]), (b"." * 100, 0))
    same(err + more[1], b"".join(b"line %d\n" % i for i in range(100)))


@qube
def much_stderr_comes_before_the_exit_code(q):
    out, err, rc, _ = q.call(ME + ":head -c 3000000 /dev/zero >&2; exit 5")
    same((out, len(err), rc), (b"", 3000000, 5))


@qube
def parts_of_a_call_that_are_killed(q):
    c = q.start(ME + ":echo $$ $QREXEC_AGENT_PID; echo x >&2; read x; exit 4")
    c.hello()
    got = dict(c.get() for _ in range(2))
    same(got[STDERR], b"x\n")
    program, relay = got[STDOUT].split()
    pump, = set(children(int(relay))) - {program.decode()}
    os.kill(int(pump), signal.SIGKILL)
    same(c.get(), (STDERR, b""))
    c.put(STDIN, b"\n")
    same(c.rest()[2], 4)
    c = q.start(ME + ":echo $$ $QREXEC_AGENT_PID; echo x >&2; read x; exit 4")
    c.hello()
    program, relay = dict(c.get() for _ in range(2))[STDOUT].split()
    pump, = set(children(int(relay))) - {program.decode()}
    os.kill(int(relay), signal.SIGKILL)
    for pid in (pump, program.decode()):
        until(lambda: not os.path.exists("/proc/" + pid) or "\nState:\tZ" in read_status(pid), "its end")


@qube
def user_environment(q):
    pw = pwd.getpwnam(ME)
    out = q.call(ME + ":echo $HOME $USER $LOGNAME $SHELL; pwd; cut -d' ' -f6 /proc/$$/stat; echo $$")[0].decode().split("\n")
    same(out[0], "%s %s %s %s" % (pw.pw_dir, ME, ME, pw.pw_shell))
    same(out[1], pw.pw_dir)
    same(out[2], out[3])  # its own session


@qube
def commands_that_are_no_good(q):
    for cmd in ("nobodyhere:true", "x" * 70 + ":true", "no colon", ":true", ME + ":QUBESRPCx y", ME + ":QUBESRPC  x y",
                ME + ":QUBESRPC svc", ME + ":QUBESRPC svc ", ME + ":QUBESRPC +a dom0", ME + ":QUBESRPC ../a/s dom0",
                ME + ":QUBESRPC %s dom0" % ("n" * 256)):
        same(q.call(cmd), (b"", b"", 125, [STDOUT, STDERR, CODE]))


@qube
def service_environment_and_arguments(q):
    q.service("s", '#!/bin/sh\necho "$#" "$@"\nenv | grep ^QREXEC | sort\n')

    def run(what):
        lines = q.rpc(what)[0].decode().split("\n")
        return [l for l in lines if l and not l.startswith(("QREXEC_SERVICE_PATH", "QREXEC_AGENT_PID"))]
    same(run("s+a+b work"), ["1 a+b", "QREXEC_REMOTE_DOMAIN=work", "QREXEC_REQUESTED_TARGET_TYPE=",
                            "QREXEC_SERVICE_ARGUMENT=a+b", "QREXEC_SERVICE_FULL_NAME=s+a+b"])
    same(run("s+ work"), ["0", "QREXEC_REMOTE_DOMAIN=work", "QREXEC_REQUESTED_TARGET_TYPE=",
                         "QREXEC_SERVICE_ARGUMENT=", "QREXEC_SERVICE_FULL_NAME=s+"])
    same(run("s work"), ["0", "QREXEC_REMOTE_DOMAIN=work", "QREXEC_REQUESTED_TARGET_TYPE=",
                        "QREXEC_SERVICE_FULL_NAME=s"])
    same(run("s work name vault")[2:4], ["QREXEC_REQUESTED_TARGET=vault", "QREXEC_REQUESTED_TARGET_TYPE=name"])
    same(run("s work keyword default")[2:4], ["QREXEC_REQUESTED_TARGET_KEYWORD=default",
                                             "QREXEC_REQUESTED_TARGET_TYPE=keyword"])
    for words in ("s work name", "s work name x y", "s work  name x", "s work other x", "s work name "):
        same(q.rpc(words), (b"", b"", 125, [STDOUT, STDERR, CODE]))


@qube
def lookup_order(q):
    q.service("s", "#!/bin/sh\necho plain a\n")
    q.service("s", "#!/bin/sh\necho plain b\n", "b")
    q.service("s+x", "#!/bin/sh\necho x b\n", "b")
    q.service("s+", "#!/bin/sh\necho empty b\n", "b")
    same(q.rpc("s+y d")[0], b"plain a\n")
    same(q.rpc("s+x d")[0], b"x b\n")
    same(q.rpc("s d")[0], b"empty b\n")
    same(q.rpc("s+%s d" % ("l" * 300))[0], b"plain a\n")
    os.symlink("/nowhere/at/all", q.dir + "/a/dangling")
    q.service("dangling", "#!/bin/sh\necho found\n", "b")
    same(q.rpc("dangling d")[0], b"found\n")
    q.service("noexec", "#!/bin/sh\n", mode=0o644)
    q.service("noexec", "#!/bin/sh\necho not this\n", "b")
    same(q.rpc("noexec d")[2], 125)
    os.symlink("loop", q.dir + "/a/loop")
    same(q.rpc("loop d")[2], 125)
    os.mkdir(q.dir + "/a/dir")
    same(q.rpc("dir d")[2], 125)
    same(q.rpc("nothing d"), (b"", b"", 127, [STDOUT, STDERR, CODE]))
    q.service("nointerpreter", "#!/no/such/program\n")
    same(q.rpc("nointerpreter d")[2], 127)


@qube
def just_exec(q):
    q.service("s", "#!/bin/sh\ntouch %s/ran\n" % q.dir)
    same(q.rpc("s dom0", JUST), (b"", b"", 0, [CODE]))
    until(lambda: os.path.exists(q.dir + "/ran"), "the service ran")
    same(q.rpc("none dom0", JUST), (b"", b"", 127, [CODE]))
    same(q.rpc("s a b", JUST), (b"", b"", 125, [CODE]))


@qube
def services_of_every_qube(q):
    os.symlink(os.path.abspath(O + "/bin/vm-exec"), q.dir + "/a/qubes.VMExec")
    for name in "qubes.VMShell", "qubes.WaitForSession":
        shutil.copy(os.path.join(os.path.dirname(__file__), "../../agent/rpc", name), q.dir + "/a/" + name)
    same(q.rpc("qubes.VMExec+printf+-25s-5Cn+a-20b+--x dom0")[0], b"a b\n-x\n")
    same(q.rpc("qubes.VMExec+cat dom0", stdin=b"through")[0], b"through")
    same(q.rpc("qubes.VMExec+sh+-2Dc+exit-209 dom0")[2], 9)
    same([q.rpc("qubes.VMExec%s dom0" % bad)[2] for bad in ("", "+", "+a-2", "+a-zz", "+a-2d", "+a-00", "+no.such.program")],
         [125] * 6 + [127])
    # What is piped in behind the command is the command's, though all of it is there already.
    same(q.rpc("qubes.VMShell dom0", stdin=b"read x; echo \"[$x]\"; cat; exit 3\nline\nrest")[:3:2], (b"[line]\nrest", 3))
    same(q.rpc("qubes.VMShell+WaitForSession dom0", stdin=b"echo $#; exit 4\n")[:3], (b"2\n", b"", 4))
    same(q.rpc("qubes.WaitForSession dom0")[:3], (b"", b"", 0))


# Sockets.

def socket_call(q, name, command="s+arg work", descriptor=b"s+arg work\0"):
    s = listen(q.dir + "/a/" + name)
    c = q.start("%s:QUBESRPC %s" % (ME, command))
    far = AgentLink(s.accept()[0])
    c.hello()
    same(c.get(), (STDERR, b""))
    same(far.bytes(len(descriptor)), descriptor)
    return c, far


@qube
def socket_service(q):
    c, far = socket_call(q, "s")
    c.put(STDIN, b"question")
    same(far.bytes(8), b"question")
    far.raw(b"answer")
    same(c.get(), (STDOUT, b"answer"))
    c.put(STDIN)
    same(far.eof(), True)
    far.raw(b"more")
    same(c.get(), (STDOUT, b"more"))
    assert c.quiet()
    far.close()
    same([c.get(), c.get()], [(STDOUT, b""), (CODE, code(0))])


@qube
def socket_service_words_and_long_path(q):
    name = "n" * 200
    c, far = socket_call(q, "s2", "s2 one two three four", b"s2 one two three four\0")
    far.close()
    same(c.rest()[2], 0)
    short = listen(q.dir + "/x")
    os.rename(q.dir + "/x", q.dir + "/a/" + name)
    c = q.start("%s:QUBESRPC %s work" % (ME, name))
    far = AgentLink(short.accept()[0])
    same(far.bytes(206), name.encode() + b" work\0")


@qube
def socket_service_options(q):
    q.conf("s", "skip-service-descriptor = true\n")
    c, far = socket_call(q, "s", "s work", b"")
    far.raw(b"x")
    same(c.get(), (STDOUT, b"x"))
    q.conf("t", "exit-on-client-eof = true\n")
    c, far = socket_call(q, "t", "t work", b"t work\0")
    c.put(STDIN)
    same([c.get(), c.get()], [(STDOUT, b""), (CODE, code(0))])
    q.conf("u", "exit-on-service-eof = true\n")
    c, far = socket_call(q, "u", "u work", b"u work\0")
    far.s.shutdown(socket.SHUT_WR)
    same([c.get(), c.get()], [(STDOUT, b""), (CODE, code(0))])


@qube
def socket_nobody_listens(q):
    listen(q.dir + "/a/dead").close()
    same(q.rpc("dead d"), (b"", b"", 125, [STDOUT, STDERR, CODE]))
    s = listen(q.dir + "/a/live")
    same(q.rpc("live d", JUST), (b"", b"", 0, [CODE]))
    same(AgentLink(s.accept()[0]).bytes(7), b"live d\0")


@qube
def tcp_services(q):
    for family, host, text in ((socket.AF_INET, "127.0.0.1", "127.0.0.1"), (socket.AF_INET6, "::1", "++1")):
        s = socket.socket(family)
        try:
            s.bind((host, 0))
        except OSError:
            continue
        s.listen(8)
        s.settimeout(LIMIT)
        port = s.getsockname()[1]
        n = family
        for name, link, arg in (("p%d" % n, "/dev/tcp/%s/%d" % (host, port), ""),
                                ("h%d" % n, "/dev/tcp/" + host, "+%d" % port),
                                ("b%d" % n, "/dev/tcp", "+%s+%d" % (text, port))):
            os.symlink(link, q.dir + "/a/" + name)
            c = q.start("%s:QUBESRPC %s%s work" % (ME, name, arg))
            far = AgentLink(s.accept()[0])
            same(far.bytes(len(name + arg) + 6), (name + arg).encode() + b" work\0")
            c.hello()
            same(c.get(), (STDERR, b""))
            far.raw(b"hi")
            same(c.get(), (STDOUT, b"hi"))
            far.s.shutdown(socket.SHUT_WR)
            same(c.get(), (STDOUT, b""))
            c.put(STDIN)
            same(c.get(), (CODE, code(0)))
            q.link.get()
    for link, arg in (("/dev/tcp/127.0.0.1/80", "+x"), ("/dev/tcp/127.0.0.1", "+080"), ("/dev/tcp/127.0.0.1", "+65536"),
                      ("/dev/tcp/127.0.0.1", ""), ("/dev/tcp/localhost/80", ""), ("/dev/tcp", "+80"), ("/dev/tcp/", ""),
                      ("/dev/tcp", "+__1+80"), ("/dev/tcp/127.0.0.1/80/90", ""), ("/dev/tcp/127.0.0.1/+80", "")):
        os.symlink(link, q.dir + "/a/bad")
        same(q.rpc("bad%s work" % arg)[2], 125)
        os.unlink(q.dir + "/a/bad")


# Configuration.

@qube
def invalid_configuration(q):
    q.service("s", "#!/bin/sh\necho ran\n")
    for text in ('force-user = "x"', "[s]\n", " force-user = 'x'", "force-user = ''", "wait-for-session = 2\n",
                 "wait-for-session = 01\n", "skip-service-descriptor = 1", "a = 1\na = 2\n", b"# \0\n",
                 "force-user = '%s'\nexit-on-client-eof = true\n" % ME):
        q.conf("s", text)
        same(q.rpc("s d"), (b"", b"", 125, [STDOUT, STDERR, CODE]))
    q.conf("s", "# fine\r\nunknown = 5\r\nexit-on-client-eof=true # ignored\r\nforce-user\t=\t'%s'" % ME)
    same(q.rpc("s d")[2], 125)
    q.conf("s", "unknown = 5\r\nforce-user\t=\t'%s'" % ME)
    same(q.rpc("s d", user="nobodyhere")[:3], (b"ran\n", b"", 0))
    q.conf("s+a", "force-user = 'nobodyhere'\n")
    same((q.rpc("s+a d")[2], q.rpc("s+b d")[2]), (125, 0))


@qube
def waits_for_the_session_first(q):
    q.service("qubes.WaitForSession", "#!/bin/sh\nread user\necho waited $user >>%s/seen\nexit 1\n" % q.dir)
    q.service("s", "#!/bin/sh\ncat %s/seen\n" % q.dir)
    q.conf("s", "wait-for-session = 1\n")
    same(q.rpc("s d")[0], ("waited %s\n" % ME).encode())
    os.unlink(q.dir + "/seen")
    same(q.call("%s:nogui:QUBESRPC s d" % ME)[2], 1)


# Streams.

@qube
def a_megabyte_there_and_back(q):
    data = os.urandom(1 << 20)
    c = q.start(ME + ":cat")
    c.hello()
    t = threading.Thread(target=lambda: [c.put(STDIN, data[i:i + 65536]) for i in range(0, len(data), 65536)] + [c.put(STDIN)])
    t.start()
    same(c.rest()[:3], (data, b"", 0))
    t.join()


@qube
def a_program_closes_streams_early(q):
    same(q.call(ME + ":exec >&- 2>&-; read x; exit 5", stdin=b"x\n")[2], 5)
    same(q.call(ME + ":exec <&-; echo out; exit 5", stdin=b"x" * 60000)[:3], (b"out\n", b"", 5))


@qube
def sigusr1_one_socket_for_both_ways(q):
    out = q.call(ME + ":echo a; kill -USR1 $QREXEC_AGENT_PID; exec >&-; read x; echo b $x >&0", stdin=b"c\n")
    same(out[:3], (b"a\nb c\n", b"", 0))


@qube
def link_version_2_chunks(q):
    c = q.start(ME + ":head -c 20000 /dev/zero")
    c.put(HELLO, struct.pack("<L", 2))
    same(c.get(), (HELLO, struct.pack("<L", 4)))
    total = 0
    while True:
        kind, body = c.get()
        if kind == CODE:
            break
        assert len(body) <= 4096
        total += len(body)
    same(total, 20000)


@qube
def many_calls_at_once(q):
    q.service("s", "#!/bin/sh\nexit 7\n")
    calls = [q.start("%s:QUBESRPC s d" % ME) for _ in range(60)]
    for c in calls:
        c.hello()
    same([c.rest()[2] for c in calls], [7] * 60)
    same(sorted(q.link.get()[1] for _ in calls), sorted(struct.pack("<LL", 0, c.port) for c in calls))


@qube
def more_than_256_connections_are_refused(q):
    held = [AgentLink(socket.socket(socket.AF_UNIX)) for _ in range(256)]
    for c in held:
        c.s.connect(q.sock)
    over = q.request()
    same(over.eof(), True)
    q.link.put(EXEC, struct.pack("<LL", 3, 700) + b"x:true\0")
    same(q.link.get(), (TERMINATED, struct.pack("<LL", 3, 700)))
    for c in held:
        c.close()
    until(lambda: len(os.listdir("/proc/%d/fd" % q.agent.pid)) < 20, "the clients are let go")
    same(q.rpc("none d")[2], 127)


# What clients ask.

@test
def triggers_in_the_words_of_the_link():
    for version in 4, 3, 2, 9:
        q = Qube()
        try:
            q.dom0(version)
            q.request()
            kind, body = q.link.get()
            if version == 2:
                same((kind, body[:96], len(body)), (TRIGGER2, b"a.B+c".ljust(64, b"\0") + b"vault".ljust(32, b"\0"), 128))
                ident = body[96:]
            else:
                head = b"vault".ljust(64, b"\0")
                head = head if version == 3 else b"\0" * 64 + head
                same((kind, body[:len(head)], body[len(head) + 32:]), (TRIGGER3 if version == 3 else TRIGGER4, head, b"a.B+c\0"))
                ident = body[len(head):-6]
            assert re.fullmatch(rb"CALLER\d+\0+", ident), ident
        finally:
            q.end()
    for version, what in ((3, dict(source=b"remote")), (2, dict(service=b"s" * 64 + b"\0")), (2, dict(target=b"t" * 32))):
        q = Qube()
        try:
            q.dom0(version)
            same(q.request(**what).eof(), True)
            assert q.link.quiet()
        finally:
            q.end()


@qube
def malformed_requests_of_clients(q):
    fixed = b"\0" * 160
    for bad in (message(TRIGGER4, fixed), message(TRIGGER4, b""), message(TRIGGER3, fixed + b"x\0"), message(HELLO, b"\4\0\0\0"),
                message(TRIGGER4, fixed + b"x" * 3937), struct.pack("<LL", TRIGGER4, 0xffffffff),
                message(TRIGGER4, fixed + b"x\0") + b"more"):
        c = AgentLink(socket.socket(socket.AF_UNIX))
        c.s.connect(q.sock)
        c.raw(bad)
        same(c.eof(), True)
        assert q.link.quiet(0.02)
    q.request(service=b"x" * 3935 + b"\0")  # the longest
    same(len(q.link.get()[1]), 4096)
    half = AgentLink(socket.socket(socket.AF_UNIX))
    half.s.connect(q.sock)
    half.raw(message(TRIGGER4, fixed + b"x\0")[:20])  # disturbs nobody
    same(q.rpc("none d")[2], 127)


@qube
def answer_and_end_of_a_request(q):
    c = q.request(source=b"remote", target=b"@default")
    ident = q.link.get()[1][128:160]
    q.link.put(CONNECT, struct.pack("<LL", 7, 530) + ident.rstrip(b"\0"))
    same(c.bytes(8), struct.pack("<LL", 7, 530))
    c.close()
    same(q.link.get(), (TERMINATED, struct.pack("<LL", 7, 530)))
    c = q.request()
    q.link.put(REFUSED, q.link.get()[1][128:160])
    same(c.eof(), True)
    assert q.link.quiet(0.02)


@qube
def refused_after_its_answer(q):
    c = q.request()
    ident = q.link.get()[1][128:160]
    q.link.put(CONNECT, struct.pack("<LL", 7, 530) + ident)
    same(c.bytes(8), struct.pack("<LL", 7, 530))
    q.link.put(REFUSED, ident)
    same(c.bytes(8), struct.pack("<LL", 0, 0))
    assert q.link.quiet(0.02)
    c.close()
    same(q.link.get(), (TERMINATED, struct.pack("<LL", 7, 530)))
    q.link.put(REFUSED, ident)  # nobody any more
    same(q.rpc("none d")[2], 127)


@qube
def idents_that_are_not_waiting(q):
    c = q.request()
    ident = q.link.get()[1][128:160]
    number = int(ident[6:].rstrip(b"\0"))
    for bad in (b"CALLER", b"CALLER%d" % (number + 1), b"caller%d" % number, b"CALLER-1", b"CALLER %d" % number, b"CALLER0x1",
                b"CALLER%dx" % number, b"SOCKET%d" % number, b"\0"):
        q.link.put(CONNECT, struct.pack("<LL", 7, 530) + bad)
        same(q.link.get(), (TERMINATED, struct.pack("<LL", 7, 530)))
        q.link.put(REFUSED, bad.ljust(32, b"\0"))
    assert c.quiet()
    c.close()
    c2 = q.request()  # the same descriptor, another ident
    ident2 = q.link.get()[1][128:160]
    assert ident != ident2
    q.link.put(CONNECT, struct.pack("<LL", 7, 531) + ident)
    same(q.link.get(), (TERMINATED, struct.pack("<LL", 7, 531)))
    assert c2.quiet()
    q.link.put(CONNECT, struct.pack("<LL", 7, 532) + ident2)
    same(c2.bytes(8), struct.pack("<LL", 7, 532))
    q.link.put(CONNECT, struct.pack("<LL", 7, 533) + ident2)  # twice
    same(q.link.get(), (TERMINATED, struct.pack("<LL", 7, 533)))


@qube
def what_dom0_said_before_it_went_is_heard(q):
    c = q.start("%s:QUBESRPC none d" % ME)  # a child whose end there will be to report
    q.agent.send_signal(signal.SIGSTOP)
    c.close()
    until(lambda: "Z (zombie)" in "".join(read_status(p) for p in children(q.agent.pid)), "the child's end")
    s = listen("%s/vchan.0.42.600.sock" % q.dir)
    q.link.put(EXEC, struct.pack("<LL", 0, 600) + b"%s:true\0" % ME.encode())
    q.link.close()
    q.agent.send_signal(signal.SIGCONT)
    s.settimeout(LIMIT)
    s.accept()
    q.dom0()


@qube
def waiting_requests_end_with_the_link_and_new_ones_wait_for_it(q):
    c = q.request()
    q.link.get()
    q.link.close()
    same(c.eof(), True)
    c = q.request()
    assert c.quiet(0.02)
    q.dom0()
    same(q.link.get()[0], TRIGGER4)


# qrexec-client-vm.

class Call:
    """A running qrexec-client-vm of domain 42, and its agent."""

    def __init__(self, *args, **kw):
        self.dir = tempfile.mkdtemp(prefix="client.")
        s = listen(self.dir + "/agent")
        env = dict(os.environ, VCHAN_DOMAIN="42", VCHAN_SOCKET_DIR=self.dir, **kw.pop("env", {}))
        kw.setdefault("stdin", subprocess.PIPE)
        self.p = subprocess.Popen([CLIENT, "-a", self.dir + "/agent"] + list(args), stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, env=env, **kw)
        self.agent = AgentLink(s.accept()[0])
        self.request = self.agent.get()

    def connect(self, version=4):
        path = self.dir + "/vchan.42.7.530.sock"
        self.agent.raw(struct.pack("<LL", 7, 530))

        def go():
            s = socket.socket(socket.AF_UNIX)
            try:
                s.connect(path)
                return s
            except (FileNotFoundError, ConnectionRefusedError):
                s.close()
        self.data = AgentLink(until(go, path))
        same(self.data.get(), (HELLO, struct.pack("<L", 4)))
        self.data.put(HELLO, struct.pack("<L", version))
        return self.data

    def done(self, stdin=None):
        out, err = self.p.communicate(stdin, timeout=LIMIT)
        shutil.rmtree(self.dir)
        return out, err, self.p.returncode


@test
def client_request_bytes():
    c = Call("-s", "remote", "$adminvm", "a.B+c d")
    same(c.request, (TRIGGER4, b"remote".ljust(64, b"\0") + b"@adminvm".ljust(64, b"\0") + b"SOCKET".ljust(32, b"\0") + b"a.B+c d\0"))
    c.agent.close()
    same(c.done(), (b"", b"Request refused\n", 126))
    c = Call("", "a.B")
    same(c.request[1][:128], b"\0" * 128)
    c.agent.close()
    same(c.done()[2], 126)


@test
def client_streams_and_status():
    c = Call("vault", "a.B")
    d = c.connect()
    c.p.stdin.write(b"in")
    c.p.stdin.flush()
    same(d.get(), (STDIN, b"in"))
    c.p.stdin.close()
    c.p.stdin = None
    same(d.get(), (STDIN, b""))
    d.put(STDOUT, b"out")
    d.put(STDERR, b"err")
    d.put(STDOUT)
    d.put(STDERR)
    d.put(CODE, code(3))
    same(c.done(), (b"out", b"err", 3))
    same(d.eof(), True)


@test
def client_link_lost():
    c = Call("vault", "a.B")
    c.connect().close()
    same(c.done(), (b"", b"", 255))


@test
def client_to_whom_nobody_comes():
    c = Call("vault", "a.B")
    c.agent.raw(struct.pack("<LLLL", 7, 530, 0, 0))
    same(c.done(), (b"", b"qrexec-client-vm: the service's side of the channel did not come\n", 125))
    c = Call("vault", "a.B")
    d = c.connect()
    c.agent.raw(struct.pack("<LL", 0, 0))  # but somebody has
    d.put(CODE, code(4))
    same(c.done()[2], 4)
    c = Call("vault", "a.B")
    path = c.dir + "/vchan.42.7.530.sock"
    c.agent.raw(struct.pack("<LL", 7, 530))
    until(lambda: os.path.exists(path), path)
    c.p.send_signal(signal.SIGSTOP)
    d = AgentLink(socket.socket(socket.AF_UNIX))
    d.s.connect(path)
    d.put(HELLO, struct.pack("<L", 4))
    d.put(STDOUT, b"whole")
    d.put(CODE, code(5))
    d.s.shutdown(socket.SHUT_WR)
    c.agent.raw(struct.pack("<LL", 0, 0))  # it came and went before we looked
    c.p.send_signal(signal.SIGCONT)
    same(c.done()[::2], (b"whole", 5))
    c = Call("vault", "a.B")
    c.agent.raw(struct.pack("<LL", 7, 530))
    path = c.dir + "/vchan.42.7.530.sock"
    until(lambda: os.path.exists(path), path)
    c.agent.close()  # the agent was killed: the call goes on
    d = AgentLink(socket.socket(socket.AF_UNIX))
    d.s.connect(path)
    d.put(HELLO, struct.pack("<L", 4))
    d.put(CODE, code(6))
    same(c.done()[2], 6)


@test
def client_prefix_and_filters():
    c = Call("-t", "-T", "-p", "cmd\n", "vault", "a.B")
    d = c.connect()
    same(d.get(), (STDIN, b"cmd\n"))
    d.put(STDOUT, b"\033[1mx\377\n")
    d.put(STDERR, b"\033e\t")
    d.put(CODE, code(0))
    same(c.done(), (b"_[1mx_\n", b"_e\t", 0))
    c = Call("--no-filter-escape-chars-stdout", "--no-filter-escape-chars-stderr", "--buffer-size=1", "vault", "a.B")
    d = c.connect()
    d.put(STDOUT, b"\033")
    d.put(CODE, code(0))
    same(c.done(), (b"\033", b"", 0))


@test
def client_filters_on_a_terminal():
    import pty
    master, slave = pty.openpty()
    c = tempfile.mkdtemp(prefix="client.")
    s = listen(c + "/agent")
    p = subprocess.Popen([CLIENT, "-a", c + "/agent", "vault", "a.B"], stdin=subprocess.DEVNULL, stdout=slave, stderr=slave,
                         env=dict(os.environ, VCHAN_DOMAIN="42", VCHAN_SOCKET_DIR=c))
    k = Call.__new__(Call)
    k.dir, k.p, k.agent = c, p, AgentLink(s.accept()[0])
    k.request = k.agent.get()
    d = k.connect()
    d.put(STDOUT, b"\033a")
    same(os.read(master, 10), b"_a")
    d.put(STDERR, b"\033b")
    same(os.read(master, 10), b"_b")
    d.put(CODE, code(0))
    same(p.wait(LIMIT), 0)
    shutil.rmtree(c)


@test
def client_program():
    c = Call("vault", "a.B", "/bin/sh", "-c", 'read x; echo "got $x"; eval "exec 5<&$SAVED_FD_0 6>&$SAVED_FD_1"; '
             'cat <&5 >&6; echo ${SAVED_FD_2:-none} >&2; exit 4')
    assert c.p.poll() is None
    d = c.connect()
    d.put(STDOUT, b"line\n")
    same(d.get(), (STDIN, b"got line\n"))
    c.p.stdin.write(b"saved")
    c.p.stdin.close()
    c.p.stdin = None
    same(d.get(), (STDIN, b""))
    d.put(CODE, code(0))
    same(c.done(), (b"saved", b"none\n", 4))
    c = Call("vault", "a.B", "/bin/sh", "-c", "echo x >&$SAVED_FD_2; exit 4", env={"PASS_LOCAL_STDERR": "1"})
    d = c.connect()
    same(d.get(), (STDIN, b""))
    d.put(CODE, code(9))
    same(c.done(), (b"", b"x\n", 9))
    c = Call("vault", "a.B", "/no/such/program")
    d = c.connect()
    same(d.get(), (STDIN, b""))
    d.put(CODE, code(0))
    same(c.done()[2], 127)


@test
def client_program_starts_after_the_answer():
    mark = tempfile.mktemp()
    c = Call("vault", "a.B", "/bin/touch", mark)
    c.agent.close()
    same(c.done()[2], 126)
    same(os.path.exists(mark), False)


@test
def client_program_with_one_socket():
    c = Call("vault", "a.B", "/bin/bash", "-c", "echo a; kill -USR1 $QREXEC_AGENT_PID; exec >&-; read x; echo b $x >&0")
    d = c.connect()
    same(d.get(), (STDIN, b"a\n"))
    d.put(STDOUT, b"c\n")
    same(d.get(), (STDIN, b"b c\n"))
    same(d.get(), (STDIN, b""))
    d.put(CODE, code(0))
    same(c.done()[2], 0)


@test
def client_stdin_socket():
    ours, theirs = socket.socketpair()
    c = Call("--use-stdin-socket", "vault", "a.B", stdin=theirs)
    theirs.close()
    d = c.connect()
    far = AgentLink(ours)
    far.raw(b"in")
    same(d.get(), (STDIN, b"in"))
    d.put(STDOUT, b"out")
    same(far.bytes(3), b"out")
    d.put(STDOUT)
    same(far.eof(), True)
    far.raw(b"more")
    same(d.get(), (STDIN, b"more"))
    far.close()
    same(d.get(), (STDIN, b""))
    d.put(CODE, code(0))
    same(c.done()[2], 0)


@test
def client_usage():
    def rc(*args):
        p = subprocess.run([CLIENT] + list(args), stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT)
        return p.returncode
    same([rc(), rc("x"), rc("--nonsense", "x", "y"), rc("--use-stdin-socket", "x", "y", "z")], [100] * 4)
    same(rc("--help"), 0)
    same([rc("-a", "/nowhere", "x", "y"), rc("-a", "/nowhere", "x" * 64, "y"), rc("-a", "/nowhere", "x", "y" * 3936),
          rc("-a", "/nowhere", "-s", "x" * 64, "y", "z")], [125] * 4)
    same(subprocess.run([AGENT, "--nonsense"], capture_output=True).returncode, 100)
    same(subprocess.run([AGENT, "x"], capture_output=True).returncode, 100)
    same(subprocess.run([AGENT, "--help"], capture_output=True).returncode, 0)


# Who it runs as.

@test
def as_root_it_becomes_the_user():
    if not ROOT:
        return "skip not root"
    q = Qube()
    try:
        q.dom0()
        q.service("s", "#!/bin/sh\nid -u; id -g; id -G; echo $HOME $USER; kill -0 $QREXEC_AGENT_PID && echo mine\n")
        nobody = pwd.getpwnam("nobody")
        same(q.rpc("s d", user="nobody")[0].decode().split("\n")[:5],
             [str(nobody.pw_uid), str(nobody.pw_gid), str(nobody.pw_gid), nobody.pw_dir + " nobody", "mine"])
        q.conf("s", "force-user = 'root'\n")
        same(q.rpc("s d", user="nobody")[0].decode().split("\n")[0], "0")
        q.conf("s", "wait-for-session = true\nforce-user='nobody'\n")
        same(q.rpc("s d", user="root")[0].decode().split("\n")[0], str(nobody.pw_uid))
    finally:
        q.end()


@test
def not_root_it_is_only_itself():
    if not ROOT:
        return "skip the others do this"
    q = Qube(user=pwd.getpwnam("nobody").pw_uid)
    try:
        q.dom0()
        q.service("s", "#!/bin/sh\nid -u\n")
        same(q.rpc("s d", user="nobody")[:3], (b"%d\n" % pwd.getpwnam("nobody").pw_uid, b"", 0))
        same(q.rpc("s d", user="root")[:3], (b"", b"", 125))
        same(q.rpc("s d", JUST, user="root")[2], 125)
    finally:
        q.end()


@qube
def it_sleeps_when_there_is_nothing_to_do(q):
    q.call(ME + ":true")
    c = q.start(ME + ":read x")
    c.hello()

    def used():
        with open("/proc/%d/stat" % q.agent.pid) as f:
            w = f.read().rsplit(")", 1)[1].split()
        with open("/proc/%d/status" % q.agent.pid) as f:
            return int(w[11]) + int(w[12]), re.search(r"\nvoluntary_ctxt_switches:\s*(\d+)", f.read())[1]
    before = used()
    c.quiet(0.3)
    same(used(), before)
    same(len(os.listdir("/proc/%d/fd" % q.agent.pid)) < 12, True)
    c.close()


run()
