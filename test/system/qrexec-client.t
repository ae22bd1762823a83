#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
# qrexec-client by hand against a qrexecd and a data channel spoken byte by byte: spec/qrexec 5, 8, 11.
import os, shutil, signal, socket, struct, subprocess, sys, tempfile, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from wire import *

local_only("by hand over a socket directory")

BIN = os.path.join(os.environ.get("O", "build/local"), "bin/qrexec-client")


class House:
    """A socket directory with fake qrexecds, and the client under test."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="qrc.")
        for d in ("svc", "conf"):
            os.mkdir(os.path.join(self.dir, d))
        self.procs, self.open = [], []

    def path(self, *p):
        return os.path.join(self.dir, *p)

    def service(self, name, text):
        with open(self.path("svc", name), "w") as f:
            f.write("#!/bin/sh\n" + text)
        os.chmod(self.path("svc", name), 0o755)

    def conf(self, name, text):
        with open(self.path("conf", name), "w") as f:
            f.write(text)

    def daemon(self, domid, name):
        s = listen(self.path("qrexec.%d" % domid))
        os.symlink("qrexec.%d" % domid, self.path("qrexec.%s" % name))
        self.open.append(s)
        return s

    def accept(self, listener, hello=3):
        l = Link(listener.accept()[0])
        self.open.append(l)
        l.put(HELLO, struct.pack("<L", hello))
        return l

    def start(self, *args, **kw):
        env = dict(os.environ, VCHAN_SOCKET_DIR=self.dir, VCHAN_DOMAIN="0",
                   QREXEC_SERVICE_PATH=self.path("svc"), QUBES_RPC_CONFIG_PATH=self.path("conf"))
        env.update(kw.pop("env", {}))
        io = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        io.update(kw)
        p = subprocess.Popen([BIN, "--socket-dir=" + self.dir, *args], env=env, **io)
        self.procs.append(p)
        return p

    def vchan_connect(self, server, client, port):
        """As the agent's side does: the client's server end must be there soon."""
        path = self.path("vchan.%d.%d.%d.sock" % (server, client, port))
        until = time.monotonic() + LIMIT
        while True:
            s = socket.socket(socket.AF_UNIX)
            try:
                s.connect(path)
                return Link(s)
            except (FileNotFoundError, ConnectionRefusedError):
                if time.monotonic() > until:
                    raise
                time.sleep(0.001)

    def run(self, *args, **kw):
        p = self.start(*args, **kw)
        out, err = p.communicate(timeout=LIMIT)
        return p.returncode, out, err

    def close(self):
        for x in self.open:
            x.close()
        for p in self.procs:
            if p.poll() is None:
                p.kill()
            p.communicate()
        shutil.rmtree(self.dir)


def hello_pair(link, version=4):
    eq(link.get(), (HELLO, struct.pack("<L", 4)), "data HELLO")
    link.put(HELLO, struct.pack("<L", version))


def call(h, *opts, command="user:cmd", kind=EXEC, version=4, **kw):
    """Up to the data channel: process, its qrexecd connection, the channel."""
    d = h.daemon(42, "work")
    p = h.start("-d", "work", *opts, command, **kw)
    l = h.accept(d)
    eq(l.get(), (HELLO, struct.pack("<L", 3)), "client HELLO")
    eq(l.get(), (kind, struct.pack("<LL", 0, 0) + command.encode() + b"\0"), "request")
    l.put(kind, struct.pack("<LL", 42, 513))
    v = h.vchan_connect(0, 42, 513)
    hello_pair(v, version)
    return p, l, v


def finish(v, code=0):
    v.put(STDOUT)
    v.put(STDERR)
    v.put(CODE, struct.pack("<L", code))


def ended(p, code):
    out, err = p.communicate(timeout=LIMIT)
    eq(p.returncode, code, "exit status (stderr %r)" % err)
    return out, err


def until_eof(v):
    """All STDIN bytes up to its end."""
    data = b""
    while True:
        kind, body = v.get()
        eq(kind, STDIN, "type")
        if not body:
            return data
        data += body


@test
def dom0_to_vm_streams_and_status(h):
    p, _, v = call(h)
    p.stdin.write(b"in\0put")
    p.stdin.close()
    p.stdin = None
    eq(until_eof(v), b"in\0put")
    v.put(STDOUT, b"out\xff")
    v.put(STDERR, b"err\x01")
    finish(v, 3)
    eq(ended(p, 3), (b"out\xff", b"err\x01"))


@test
def target_by_domid(h):
    d = h.daemon(42, "work")
    p = h.start("-d", "42", "user:x")
    l = h.accept(d)
    l.get()
    eq(l.get()[0], EXEC)
    l.close()
    ended(p, 125)


@test
def target_by_uuid(h):
    d = h.daemon(42, "uuid:3d5a9d3c-2ba0-4d3c-a0a6-7f0f4a0cdd11")
    p = h.start("-d", "uuid:3d5a9d3c-2ba0-4d3c-a0a6-7f0f4a0cdd11", "user:x")
    l = h.accept(d)
    eq(l.get(), (HELLO, struct.pack("<L", 3)))
    l.close()
    ended(p, 125)


@test
def exit_codes_0_126_127_143_255(h):
    for i, code in enumerate((0, 126, 127, 143, 255)):
        if i:
            os.unlink(h.path("qrexec.42")), os.unlink(h.path("qrexec.work"))
        p, _, v = call(h, stdin=subprocess.DEVNULL)
        finish(v, code)
        ended(p, code)


@test
def exit_code_short_is_255(h):
    p, _, v = call(h)
    v.put(CODE, b"\0\0")
    ended(p, 255)


@test
def link_lost_is_255(h):
    p, _, v = call(h)
    v.put(STDOUT, b"abc")
    v.close()
    eq(ended(p, 255)[0], b"abc")


@test
def prefix_alone_and_at_once(h):
    # The far end says nothing and standard input stays open: stock waits 10 s here.
    d0 = time.monotonic()
    p, _, v = call(h, "-p", "pre\nfix")
    eq(v.get(), (STDIN, b"pre\nfix"))
    p.stdin.write(b"rest")
    p.stdin.close()
    p.stdin = None
    eq(until_eof(v), b"rest")
    finish(v)
    ended(p, 0)
    assert time.monotonic() - d0 < 5, "prefix waited for something"


@test
def prefix_long_option_then_eof(h):
    p, _, v = call(h, "--prefix-data=x", stdin=subprocess.DEVNULL)
    eq(v.get(), (STDIN, b"x"))
    eq(v.get(), (STDIN, b""))
    finish(v)
    ended(p, 0)


@test
def prefix_twice_is_usage(h):
    eq(h.run("-d", "work", "-p", "a", "-p", "b", "user:x")[0], 1)


@test
def just_exec(h):
    p, _, v = call(h, "-e", kind=JUST)
    v.put(CODE, struct.pack("<L", 127))
    eq(ended(p, 127), (b"", b""))


@test
def no_exit_code(h):
    for i, o in enumerate(("-E", "--no-exit-code")):
        if i:
            os.unlink(h.path("qrexec.42")), os.unlink(h.path("qrexec.work"))
        p, _, v = call(h, o)
        finish(v, 9)
        ended(p, 0)


@test
def filter_stdout_and_stderr(h):
    every = bytes(range(256))
    want = bytes(c if 0x20 <= c <= 0x7e or c in b"\t\n\r\b\a" else 0x5f for c in every)
    p, _, v = call(h, "-t", "-T")
    v.put(STDOUT, every)
    v.put(STDERR, every)
    finish(v)
    eq(ended(p, 0), (want, want))


@test
def no_filter_of_the_other(h):
    p, _, v = call(h, "-t")
    v.put(STDOUT, b"\x1b[1m")
    v.put(STDERR, b"\x1b[1m")
    finish(v)
    eq(ended(p, 0), (b"_[1m", b"\x1b[1m"))


@test
def local_program(h):
    p, _, v = call(h, "-l", "read x; echo \"got $x\" >&2; echo from-local; cat >/dev/null")
    v.put(STDOUT, b"hi\n")
    eq(v.get(), (STDIN, b"from-local\n"))
    finish(v)
    eq(ended(p, 0)[1], b"got hi\n")


@test
def local_status_wins_over_0(h):
    p, _, v = call(h, "-l", "exit 5")
    eq(v.get(), (STDIN, b""))
    finish(v, 0)
    ended(p, 5)


@test
def remote_status_wins_over_local(h):
    p, _, v = call(h, "-l", "exit 5")
    eq(v.get(), (STDIN, b""))
    finish(v, 4)
    ended(p, 4)


@test
def local_service(h):
    h.service("t.Svc", 'echo "$QREXEC_SERVICE_FULL_NAME $QREXEC_REMOTE_DOMAIN $1"\n')
    p, _, v = call(h, "-l", "QUBESRPC t.Svc+arg work name dom0")
    eq(v.get(), (STDIN, b"t.Svc+arg work arg\n"))
    eq(v.get(), (STDIN, b""))
    finish(v)
    ended(p, 0)


@test
def stdin_socket_both_ways(h):
    a, b = socket.socketpair()
    p, _, v = call(h, "--use-stdin-socket", stdin=b, stdout=subprocess.DEVNULL)
    b.close()
    a.settimeout(LIMIT)
    a.sendall(b"ping")
    eq(v.get(), (STDIN, b"ping"))
    v.put(STDOUT, b"pong")
    eq(recvall(a, 4), b"pong")
    v.put(STDOUT)
    eq(a.recv(1), b"", "end of what came")
    a.shutdown(socket.SHUT_WR)
    eq(v.get(), (STDIN, b""))
    v.put(STDERR)
    v.put(CODE, struct.pack("<L", 0))
    ended(p, 0)
    a.close()


@test
def version_2_chunks(h):
    p, _, v = call(h, version=2)
    p.stdin.write(b"x" * 10000)
    p.stdin.close()
    p.stdin = None
    n = 0
    while True:
        kind, body = v.get()
        eq(kind, STDIN)
        assert len(body) <= 4096, len(body)
        if not body:
            break
        n += len(body)
    eq(n, 10000)
    finish(v)
    ended(p, 0)


@test
def status_survives_a_dead_link(h):
    p, _, v = call(h)
    p.stdin.write(b"y" * 60000)
    p.stdin.flush()
    finish(v, 7)
    v.s.shutdown(socket.SHUT_WR)
    v.close()
    p.stdin.close()
    p.stdin = None
    ended(p, 7)


@test
def connect_two_qubes(h):
    target, source = h.daemon(43, "target"), h.daemon(42, "source")
    p = h.start("-d", "target", "-c", "SOCKET11,source,42", "user:QUBESRPC x+ source")
    l = h.accept(target)
    eq(l.get(), (HELLO, struct.pack("<L", 3)))
    eq(l.get(), (EXEC, struct.pack("<LL", 42, 0) + b"user:QUBESRPC x+ source\0"))
    l.put(EXEC, struct.pack("<LL", 43, 513))
    m = h.accept(source)
    eq(m.get(), (HELLO, struct.pack("<L", 3)))
    eq(m.get(), (CONNECT, struct.pack("<LL", 43, 513) + b"SOCKET11".ljust(32, b"\0")))
    ended(p, 0)
    assert m.eof() and l.eof()


@test
def connect_two_qubes_and_wait(h):
    target, source = h.daemon(43, "target"), h.daemon(42, "source")
    p = h.start("-d", "target", "-W", "-c", "SOCKET11,source,42", "user:x")
    l = h.accept(target)
    l.get(), l.get()
    l.put(EXEC, struct.pack("<LL", 43, 513))
    m = h.accept(source)
    m.get(), m.get()
    assert m.eof()
    eq(p.poll(), None, "ended before the call")
    l.close()
    ended(p, 0)


@test
def connect_failures_are_137(h):
    eq(h.run("-d", "target", "-c", "S,source,42", "user:x")[0], 137)
    target = h.daemon(43, "target")
    p = h.start("-d", "target", "-c", "S,source,42", "user:x")
    l = h.accept(target)
    l.get(), l.get()
    l.put(EXEC, struct.pack("<LL", 43, 513))
    ended(p, 137)


def dom0_call(h, command, port=42, **kw):
    d = h.daemon(43, "source")
    server = listen(h.path("vchan.43.0.%d.sock" % port))
    h.open.append(server)
    p = h.start("-d", "dom0", "-c", "SOCKET11,source,43", command, **kw)
    l = h.accept(d)
    eq(l.get(), (HELLO, struct.pack("<L", 3)))
    eq(l.get(), (CONNECT, struct.pack("<LL", 0, 0) + b"SOCKET11".ljust(32, b"\0")))
    l.put(CONNECT, struct.pack("<LL", 43, port))
    v = Link(server.accept()[0])
    h.open.append(v)
    # Dom0 as service reads HELLO first.
    v.s.settimeout(0.2)
    try:
        early = v.s.recv(1)
    except socket.timeout:
        early = None
    eq(early, None, "spoke before our HELLO")
    v.s.settimeout(LIMIT)
    v.put(HELLO, struct.pack("<L", 4))
    eq(v.get(), (HELLO, struct.pack("<L", 4)))
    eq(v.get(), (STDERR, b""), "first of all")
    return p, v


@test
def dom0_service(h):
    h.service("t.Svc", 'read x; echo "$x|$1|$QREXEC_REMOTE_DOMAIN|$QREXEC_REQUESTED_TARGET_TYPE|'
              '$QREXEC_REQUESTED_TARGET_KEYWORD"; exit 3\n')
    p, v = dom0_call(h, "QUBESRPC t.Svc+a source keyword adminvm")
    v.put(STDIN, b"hello\n")
    eq(v.get(), (STDOUT, b"hello|a|source|keyword|adminvm\n"))
    eq(v.get(), (STDOUT, b""))
    eq(v.get(), (CODE, struct.pack("<L", 3)))
    assert v.eof()
    ended(p, 3)


@test
def dom0_service_stderr_stays_here(h):
    h.service("t.Svc", "echo secret >&2\n")
    p, v = dom0_call(h, "QUBESRPC t.Svc source name dom0")
    eq(v.get(), (STDOUT, b""))
    eq(v.get(), (CODE, struct.pack("<L", 0)))
    eq(ended(p, 0)[1], b"secret\n")


def dom0_refused(h, command, code):
    p, v = dom0_call(h, command)
    eq(v.get(), (STDOUT, b""))
    eq(v.get(), (CODE, struct.pack("<L", code)))
    ended(p, code)


@test
def dom0_service_missing_is_127(h):
    dom0_refused(h, "QUBESRPC t.None source name dom0", 127)


@test
def dom0_bad_config_is_125(h):
    h.service("t.Svc", "echo no\n")
    h.conf("t.Svc", 'wait-for-session = "yes"\n')
    dom0_refused(h, "QUBESRPC t.Svc source name dom0", 125)


@test
def dom0_three_words_is_125(h):
    h.service("t.Svc", "echo no\n")
    dom0_refused(h, "QUBESRPC t.Svc source name", 125)


@test
def dom0_five_words_is_125(h):
    h.service("t.Svc", "echo no\n")
    dom0_refused(h, "QUBESRPC t.Svc source name dom0 more", 125)


@test
def dom0_two_words(h):
    h.service("t.Svc", "echo yes\n")
    p, v = dom0_call(h, "QUBESRPC t.Svc source")
    eq(v.get(), (STDOUT, b"yes\n"))
    eq(v.get(), (STDOUT, b""))
    eq(v.get(), (CODE, struct.pack("<L", 0)))
    ended(p, 0)


@test
def dom0_long_name_is_125(h):
    dom0_refused(h, "QUBESRPC %s source name dom0" % ("t" * 256), 125)


@test
def dom0_shell_command_is_125(h):
    dom0_refused(h, "echo hi", 125)


@test
def dom0_wait_for_session_first(h):
    h.service("qubes.WaitForSession", 'read u; echo "session $u" >>%s\n' % h.path("log"))
    h.service("t.Svc", "echo service >>%s\n" % h.path("log"))
    h.conf("t.Svc", "wait-for-session = 1\n")
    p, v = dom0_call(h, "QUBESRPC t.Svc source name dom0")
    eq(v.get(), (STDOUT, b""))
    eq(v.get(), (CODE, struct.pack("<L", 0)))
    ended(p, 0)
    import pwd
    eq(open(h.path("log")).read(), "session %s\nservice\n" % pwd.getpwuid(os.geteuid()).pw_name)


def socket_service(h, name="t.Sock", conf=None, command=None):
    s = listen(h.path("svc", name))
    h.open.append(s)
    if conf:
        h.conf(name, conf)
    p, v = dom0_call(h, command or "QUBESRPC %s+arg source keyword adminvm" % name)
    c, _ = s.accept()
    c.settimeout(LIMIT)
    h.open.append(c)
    return p, v, c


DESC = b"t.Sock+arg source keyword adminvm\0"


@test
def dom0_socket_service_client_closes_first(h):
    p, v, c = socket_service(h)
    eq(recvall(c, len(DESC)), DESC)
    v.put(STDIN, b"ask")
    eq(recvall(c, 3), b"ask")
    v.put(STDIN)
    eq(c.recv(1), b"")
    c.sendall(b"answer")
    eq(v.get(), (STDOUT, b"answer"))
    c.close()
    eq(v.get(), (STDOUT, b""))
    eq(v.get(), (CODE, struct.pack("<L", 0)))
    ended(p, 0)


@test
def dom0_socket_service_shuts_writing(h):
    p, v, c = socket_service(h)
    eq(recvall(c, len(DESC)), DESC)
    c.shutdown(socket.SHUT_WR)
    eq(v.get(), (STDOUT, b""))
    v.put(STDIN, b"more")
    eq(recvall(c, 4), b"more")
    v.put(STDIN)
    eq(v.get(), (CODE, struct.pack("<L", 0)))
    ended(p, 0)


@test
def dom0_socket_service_gone(h):
    p, v, c = socket_service(h)
    recvall(c, len(DESC))
    c.close()
    eq(v.get(), (STDOUT, b""))
    eq(v.get(), (CODE, struct.pack("<L", 0)))
    ended(p, 0)


@test
def dom0_socket_service_exit_on_client_eof(h):
    p, v, c = socket_service(h, conf="exit-on-client-eof = true\n")
    recvall(c, len(DESC))
    v.put(STDIN)
    eq(v.get(), (STDOUT, b""))
    eq(v.get(), (CODE, struct.pack("<L", 0)))
    ended(p, 0)


@test
def dom0_socket_service_exit_on_service_eof(h):
    p, v, c = socket_service(h, conf="exit-on-service-eof = true\n")
    recvall(c, len(DESC))
    c.shutdown(socket.SHUT_WR)
    eq(v.get(), (STDOUT, b""))
    eq(v.get(), (CODE, struct.pack("<L", 0)))
    ended(p, 0)


@test
def dom0_socket_service_without_descriptor(h):
    p, v, c = socket_service(h, conf="skip-service-descriptor = true\n")
    v.put(STDIN, b"only this")
    v.put(STDIN)
    eq(recvall(c, 9), b"only this")
    eq(c.recv(1), b"")
    c.close()
    eq(v.get(), (STDOUT, b""))
    eq(v.get(), (CODE, struct.pack("<L", 0)))
    ended(p, 0)


@test
def qsb_087_stderr_and_exit_from_a_caller_are_dropped(h):
    h.service("t.Svc", "cat\n")
    p, v = dom0_call(h, "QUBESRPC t.Svc source name dom0")
    v.put(STDERR, b"\x1b]0;evil\x07")
    v.put(CODE, struct.pack("<L", 1))
    v.put(STDIN, b"x")
    v.put(STDIN)
    eq(v.get(), (STDOUT, b"x"))
    eq(v.get(), (STDOUT, b""))
    eq(v.get(), (CODE, struct.pack("<L", 0)))
    assert b"\x1b" not in ended(p, 0)[1]


@test
def dom0_to_dom0(h):
    h.service("t.Svc", 'read x; echo "got $x from $QREXEC_REMOTE_DOMAIN"; exit 2\n')
    p = h.start("-d", "dom0", "DEFAULT:QUBESRPC t.Svc+ dom0")
    out, err = p.communicate(b"it\n", timeout=LIMIT)
    eq((p.returncode, out, err), (2, b"got it from dom0\n", b""))


@test
def dom0_to_dom0_needs_default(h):
    h.service("t.Svc", "echo no\n")
    eq(h.run("-d", "dom0", "user:QUBESRPC t.Svc+ dom0")[:2], (125, b""))
    eq(h.run("-d", "dom0", "QUBESRPC t.Svc+ dom0")[:2], (125, b""))
    eq(h.run("-d", "dom0", "DEFAULT:echo hi")[:2], (125, b""))
    eq(h.run("-d", "dom0", "DEFAULT:QUBESRPC t.None+ dom0")[:2], (127, b""))


@test
def dom0_to_dom0_no_exit_code(h):
    h.service("t.Svc", "exit 9\n")
    eq(h.run("-E", "-d", "@adminvm", "DEFAULT:QUBESRPC t.Svc+ dom0")[0], 0)


@test
def dom0_to_dom0_takes_programs_only(h):
    h.open.append(listen(h.path("svc", "t.Sock")))
    eq(h.run("-d", "dom0", "DEFAULT:QUBESRPC t.Sock+ dom0")[0], 125)


@test
def nobody_there_is_125(h):
    code, out, err = h.run("-d", "work", "user:x")
    eq((code, out), (125, b""))
    assert b"does not run" in err, err


@test
def usage_errors_are_1(h):
    for args in (["user:x"], ["-d", "work"], ["-e", "-l", "x", "-d", "work", "user:x"],
                 ["-e", "-c", "a,b,3", "-d", "work", "user:x"], ["-l", "x", "-c", "a,b,3", "-d", "w", "u:x"],
                 ["--nonsense", "-d", "work", "user:x"], ["-z", "-d", "work", "user:x"],
                 ["-c", "a,b", "-d", "work", "u:x"], ["-c", "a,b,0", "-d", "work", "u:x"],
                 ["-c", "a,b,-3", "-d", "work", "u:x"], ["-c", "a,dom0,3", "-d", "work", "u:x"],
                 ["-c", "%s,b,3" % ("i" * 32), "-d", "work", "u:x"], ["-w", "x", "-d", "work", "u:x"],
                 ["--use-stdin-socket", "-l", "x", "-d", "work", "u:x"], ["-k", "-c", "a,b,3", "-d", "w", "u:x"]):
        code, out, err = h.run(*args)
        eq((code, out), (1, b""), repr(args))
        assert b"usage" in err, args


@test
def help_is_0(h):
    for o in ("-h", "--help"):
        code, out, _ = h.run(o)
        eq(code, 0)
        assert b"usage" in out


@test
def kill_is_refused(h):
    code, _, err = h.run("-k", "-d", "work", "user:x")
    eq(code, 125)
    assert b"admin API" in err


@test
def ident_of_31_bytes(h):
    target, source = h.daemon(43, "target"), h.daemon(42, "source")
    p = h.start("-d", "target", "-c", "i" * 31 + ",source,42", "user:x")
    l = h.accept(target)
    l.get(), l.get()
    l.put(EXEC, struct.pack("<LL", 43, 513))
    m = h.accept(source)
    m.get()
    eq(m.get()[1][8:], b"i" * 31 + b"\0")
    ended(p, 0)


@test
def command_limit(h):
    command = "user:" + "x" * (4087 - 5)
    d = h.daemon(42, "work")
    p = h.start("-d", "work", command)
    l = h.accept(d)
    l.get()
    eq(len(l.get()[1]), 4096)
    l.close()
    ended(p, 125)
    p = h.start("-d", "work", command + "x")
    l = h.accept(d)
    assert l.eof(), "something was sent"
    assert b"too long" in ended(p, 125)[1]


def bad_answer(h, raw, want=125):
    d = h.daemon(42, "work")
    p = h.start("-d", "work", "user:x")
    l = h.accept(d)
    l.get(), l.get()
    l.s.sendall(raw)
    l.close()
    ended(p, want)


@test
def answer_of_another_type(h):
    bad_answer(h, message(JUST, struct.pack("<LL", 42, 513)))


@test
def answer_of_another_length(h):
    bad_answer(h, message(EXEC, struct.pack("<LLL", 42, 513, 0)))


@test
def answer_cut(h):
    bad_answer(h, message(EXEC, struct.pack("<LL", 42, 513))[:11])


@test
def answer_huge_length(h):
    bad_answer(h, struct.pack("<LL", EXEC, 0xffffffff))


def bad_hello(h, raw):
    d = h.daemon(42, "work")
    p = h.start("-d", "work", "user:x")
    s = Link(d.accept()[0])
    h.open.append(s)
    s.s.sendall(raw)
    assert s.eof(), "went on"
    ended(p, 125)


@test
def daemon_hello_version_2(h):
    bad_hello(h, message(HELLO, struct.pack("<L", 2)))


@test
def daemon_hello_length(h):
    bad_hello(h, message(HELLO, struct.pack("<LL", 3, 3)))


@test
def daemon_hello_type(h):
    bad_hello(h, message(EXEC, struct.pack("<L", 3)))


@test
def daemon_hello_newer_is_fine(h):
    d = h.daemon(42, "work")
    p = h.start("-d", "work", "user:x")
    l = h.accept(d, hello=99)
    eq(l.get(), (HELLO, struct.pack("<L", 3)))
    l.close()
    ended(p, 125)


@test
def connection_timeout(h):
    d = h.daemon(42, "work")
    began = time.monotonic()
    p = h.start("-w", "1", "-d", "work", "user:x")
    l = h.accept(d)
    l.get(), l.get()
    l.put(EXEC, struct.pack("<LL", 42, 513))
    assert b"in time" in ended(p, 125)[1]
    assert 0.9 < time.monotonic() - began < 5
    eq(os.path.exists(h.path("vchan.0.42.513.sock")), False, "name left")


@test
def agent_gives_up_before_it_connects(h):
    d = h.daemon(42, "work")
    p = h.start("-w", "0", "-d", "work", "user:x")
    l = h.accept(d)
    l.get(), l.get()
    l.put(EXEC, struct.pack("<LL", 42, 513))
    l.close()
    ended(p, 125)


def fatal(h, raw):
    p, _, v = call(h)
    v.s.sendall(raw)
    ended(p, 125)


@test
def data_unknown_type_ends_the_call(h):
    fatal(h, message(0x199, b"x"))


@test
def data_too_long_ends_the_call(h):
    fatal(h, struct.pack("<LL", STDOUT, 65537))


@test
def data_hello_wrong(h):
    d = h.daemon(42, "work")
    p = h.start("-d", "work", "user:x")
    l = h.accept(d)
    l.get(), l.get()
    l.put(EXEC, struct.pack("<LL", 42, 513))
    v = h.vchan_connect(0, 42, 513)
    v.put(STDOUT, b"abcd")
    ended(p, 125)


@test
def target_with_a_slash(h):
    eq(h.run("-d", "../work", "user:x")[0], 125)


@test
def interrupt(h):
    p, _, v = call(h)
    p.send_signal(signal.SIGINT)
    eq(p.wait(LIMIT) in (-2, 130), True, "ends by SIGINT")
    try:
        while v.s.recv(100):
            pass
    except ConnectionResetError:
        pass


@test
def closed_standard_descriptors(h):
    d = h.daemon(42, "work")
    cmd = 'exec "%s" --socket-dir="%s" -d work user:x <&- >&- 2>&-' % (BIN, h.dir)
    p = subprocess.Popen(["sh", "-c", cmd], env=dict(os.environ, VCHAN_SOCKET_DIR=h.dir))
    l = h.accept(d)
    l.get(), l.get()
    l.put(EXEC, struct.pack("<LL", 42, 513))
    v = h.vchan_connect(0, 42, 513)
    hello_pair(v)
    v.put(STDOUT, b"to nobody")
    finish(v, 6)
    eq(p.wait(LIMIT), 6)


run(House)
