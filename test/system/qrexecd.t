#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
# qrexecd by hand against an agent and clients spoken byte by byte: spec/qrexec 1, 3, 4, 11, 12.
import os, resource, shutil, signal, socket, struct, subprocess, sys, tempfile, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from wire import *

local_only("by hand over a socket directory")

O = os.environ.get("O", "build/local")
UUID = "3b1fb8e0-8ef8-4e0e-8a0a-3c1c5dcd4c2f"
bindir = tempfile.mkdtemp(prefix="qd-bin-")
os.chmod(bindir, 0o755)
for prog in ("qrexecd", "qrexec-client"):
    shutil.copy(os.path.join(os.environ.get("QD_AGAIN") or os.path.join(O, "bin"), prog), bindir)


def hello(version):
    return message(HELLO, struct.pack("<L", version))


def trigger2(service=b"svc", target=b"dom", ident=b"SOCKET5"):
    return message(TRIGGER2, service.ljust(64, b"\0") + target.ljust(32, b"\0") + ident.ljust(32, b"\0"))


def trigger3(service=b"svc\0", target=b"dom", ident=b"SOCKET5"):
    return message(TRIGGER3, target.ljust(64, b"\0") + ident.ljust(32, b"\0") + service)


def trigger4(service=b"svc\0", target=b"dom", ident=b"SOCKET5", source=b""):
    return message(TRIGGER4, source.ljust(64, b"\0") + target.ljust(64, b"\0") + ident.ljust(32, b"\0") + service)


def until(f, limit=LIMIT):
    end = time.monotonic() + limit
    while not f():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.002)


class Link(Link):
    def put(self, data):
        self.s.sendall(data)

    def silent(self, seconds=0.1):
        self.s.settimeout(seconds)
        try:
            self.s.recv(1)
            return False
        except socket.timeout:
            return True
        finally:
            self.s.settimeout(LIMIT)


class Daemon:
    """A qrexecd of domain 42 with our agent's end of its control channel."""

    running = []

    def __init__(self, version=4, policy=None, options=(), wait=True, server=True):
        self.dir = tempfile.mkdtemp(prefix="qd-")
        self.args = os.path.join(self.dir, "args")
        self.program = os.path.join(self.dir, "policy")
        with open(self.program, "w") as f:
            f.write("#!/bin/sh\nprintf '%s\\n' \"$@\" >" + self.args + ".$$\n")
            f.write("mv %s.$$ %s\n%s\n" % (self.args, self.args, policy or "exit 1"))
        os.chmod(self.program, 0o755)
        self.log = open(os.path.join(self.dir, "log"), "w+")
        self.server = socket.socket(socket.AF_UNIX)
        if server:
            self.serve()
        self.p = subprocess.Popen(
            [os.path.join(bindir, "qrexecd"), "--uuid=" + UUID, "--socket-dir=" + self.dir,
             "--policy-program=" + self.program, "--direct", *options, "42", "domain_name"],
            env=dict(os.environ, VCHAN_SOCKET_DIR=self.dir, VCHAN_DOMAIN="0"), stderr=self.log)
        Daemon.running.append(self)
        if server and wait:
            self.agent = self.connect(version)

    def serve(self):
        self.server.bind(os.path.join(self.dir, "vchan.42.0.512.sock"))
        self.server.listen(5)
        self.server.settimeout(LIMIT)

    def accept(self):
        return Link(self.server.accept()[0])

    def connect(self, version=4):
        a = self.accept()
        a.put(hello(version))
        assert a.get() == (HELLO, struct.pack("<L", version))
        until(lambda: os.path.exists(self.path("qrexec.42")), 0.5)
        return a

    def path(self, name):
        return os.path.join(self.dir, name)

    def raw(self):
        s = socket.socket(socket.AF_UNIX)
        s.connect(self.path("qrexec.42"))
        return Link(s)

    def client(self):
        c = self.raw()
        assert c.get() == (HELLO, struct.pack("<L", 3))
        c.put(hello(3))
        return c

    def exec(self, domain=43, cmd=b"user:x\0", kind=JUST, port=0):
        c = self.client()
        c.put(message(kind, struct.pack("<LL", domain, port) + cmd))
        return c

    def lines(self):
        self.log.flush()
        with open(self.log.name) as f:
            return f.read().splitlines()

    def asked(self):
        until(lambda: os.path.exists(self.args))
        with open(self.args) as f:
            return f.read().split("\n")[:-1]

    def fds(self):
        return len(os.listdir("/proc/%d/fd" % self.p.pid))

    def rss(self):
        with open("/proc/%d/statm" % self.p.pid) as f:
            return int(f.read().split()[1]) * 4

    def end(self):
        Daemon.running.remove(self)
        self.p.send_signal(signal.SIGTERM)
        code = self.p.wait(LIMIT)
        left = [n for n in os.listdir(self.dir) if "qrexec." in n]
        text = "\n".join(self.lines())
        shutil.rmtree(self.dir)
        assert code == 0, text
        assert left == [], left
        return text


def refused(a, ident=b"SOCKET5"):
    assert a.get() == (REFUSED, ident.ljust(32, b"\0"))


# --- the agent's link ---


@test
def hello_is_answered_with_the_agents_version():
    for v in (2, 3, 4):
        Daemon(v).end()


@test
def hello_of_a_later_version_is_answered_with_4():
    d = Daemon(wait=False)
    a = d.accept()
    a.put(hello(99))
    assert a.get() == (HELLO, struct.pack("<L", 4))
    d.end()


@test
def names_come_with_the_agent_and_go_with_it():
    d = Daemon(server=False)
    time.sleep(0.05)
    assert not os.path.lexists(d.path("qrexec.42"))
    d.serve()
    for _ in range(2):
        a = d.connect()
        assert os.stat(d.path("qrexec.42")).st_mode & 0o777 == 0o777
        assert os.readlink(d.path("qrexec.domain_name")) == "qrexec.42"
        assert os.readlink(d.path("qrexec.uuid:" + UUID)) == "qrexec.42"
        c = d.client()
        a.close()
        assert c.eof()
        until(lambda: not os.path.lexists(d.path("qrexec.42")), 1)
        until(lambda: not os.path.lexists(d.path("qrexec.domain_name")), 1)
    d.end()


@test
def sigterm_while_it_waits():
    d = Daemon(server=False)
    time.sleep(0.05)
    d.end()
    d = Daemon()
    os.unlink(d.path("vchan.42.0.512.sock"))
    d.server.close()
    d.agent.close()
    until(lambda: not os.path.exists(d.path("qrexec.42")), 1)
    d.end()


@test
def a_server_that_comes_back_is_found():
    d = Daemon()
    os.unlink(d.path("vchan.42.0.512.sock"))
    d.server.close()
    d.agent.close()
    until(lambda: not os.path.exists(d.path("qrexec.42")), 1)
    d.server = socket.socket(socket.AF_UNIX)
    d.serve()
    t = time.monotonic()
    d.connect()
    assert time.monotonic() - t < 1.2
    d.end()


BAD_HELLO = {
    "a version below 2": hello(1),
    "another type": message(EXEC, b"\4\0\0\0"),
    "a short one": message(HELLO, b"\4\0\0"),
    "a long one": message(HELLO, b"\4\0\0\0\0"),
    "a trigger first": trigger4(),
    "a trigger header first": struct.pack("<LL", TRIGGER4, 0xFFFFFFFF),
}
BAD = {
    "v2 trigger on a v4 link": (4, trigger2()),
    "v2 trigger on a v3 link": (3, trigger2()),
    "v3 trigger on a v2 link": (2, trigger3()),
    "v4 trigger on a v3 link": (3, trigger4()),
    "v2 trigger of 127": (2, message(TRIGGER2, bytes(127))),
    "v2 trigger of 129": (2, message(TRIGGER2, bytes(129))),
    "QSB-089: v3 trigger with n = 0": (3, message(TRIGGER3, bytes(96))),
    "QSB-089: v4 trigger with n = 0": (4, message(TRIGGER4, bytes(160))),
    "QSB-089: v4 trigger of 96": (4, message(TRIGGER4, bytes(96))),
    "v3 trigger of 0": (3, message(TRIGGER3)),
    "v3 trigger with n = 65001": (3, struct.pack("<LL", TRIGGER3, 96 + 65001)),
    "v4 trigger with n = 65001": (4, struct.pack("<LL", TRIGGER4, 160 + 65001)),
    "v4 trigger of 4 GiB": (4, struct.pack("<LL", TRIGGER4, 0xFFFFFFFF)),
    "CONNECTION_TERMINATED of 7": (4, message(TERMINATED, bytes(7))),
    "CONNECTION_TERMINATED of 9": (4, message(TERMINATED, bytes(9))),
    "CONNECTION_TERMINATED for port 512": (4, message(TERMINATED, struct.pack("<LL", 43, 512))),
    "CONNECTION_TERMINATED for port 769": (4, message(TERMINATED, struct.pack("<LL", 43, 769))),
    "a second HELLO": (4, hello(4)),
    "EXEC_CMDLINE from the agent": (4, message(EXEC, bytes(9))),
    "SERVICE_REFUSED from the agent": (4, message(REFUSED, bytes(32))),
    "data on the control link": (4, message(0x190, b"x")),
    "type 0": (4, message(0)),
}


def after_a_bad_one(d, link, bad):
    before = len(d.lines())
    link.put(bad)
    start = time.monotonic()
    assert link.eof()
    a = d.connect()
    assert time.monotonic() - start < 1.2
    new = [x for x in d.lines()[before:] if "connected" not in x]
    assert len(new) == 1 and "agent:" in new[0], new
    assert not os.path.exists(d.args)
    return a


@test
def a_bad_hello_ends_the_session_and_the_next_is_served():
    d = Daemon(wait=False)
    for what, bad in BAD_HELLO.items():
        after_a_bad_one(d, d.accept(), bad).close()
    d.end()


def bad_test(what, version, bad):
    def f():
        d = Daemon(version)
        a = after_a_bad_one(d, d.agent, bad)
        c = d.exec()
        assert c.get() == (JUST, struct.pack("<LL", 42, 514))
        assert a.get()[0] == JUST
        d.end()

    f.__name__ = "ends the session, one line, the next within 1.2 s: " + what
    test(f)


for what, (version, bad) in BAD.items():
    bad_test(what, version, bad)


@test
def a_bad_header_leaves_time_to_send_the_rest():
    d = Daemon()
    d.agent.put(struct.pack("<LL", TRIGGER4, 96))
    time.sleep(0.02)
    d.agent.put(bytes(96))
    assert d.agent.eof()
    d.end()


@test
def messages_in_pieces_and_many_at_once():
    d = Daemon(policy="exit 1")
    for b in trigger4():
        d.agent.put(bytes([b]))
    refused(d.agent)
    d.agent.put(b"".join(trigger4(ident=b"N%d" % i) for i in range(20)))
    got = {d.agent.get()[1] for _ in range(20)}
    assert got == {(b"N%d" % i).ljust(32, b"\0") for i in range(20)}
    d.end()


@test
def an_agent_that_never_reads_loses_its_session_and_no_memory_grows():
    d = Daemon()
    rss = d.rss()
    d.agent.s.settimeout(0.5)
    bad = trigger4(ident=b"/")
    closed = False
    try:
        for _ in range(200000):
            d.agent.put(bad * 20)
    except (BrokenPipeError, ConnectionResetError):
        closed = True
    assert closed
    d.connect()
    assert d.rss() < rss + 512, (rss, d.rss())
    text = d.end()
    assert text.count("does not read") == 1, text
    assert text.count("refused") < 20, text


# --- triggers ---


@test
def the_policy_program_gets_exactly_its_arguments():
    for version, t in ((2, trigger2), (3, trigger3), (4, trigger4)):
        d = Daemon(version)
        d.agent.put(t(b"my.Service+arg\0" if version > 2 else b"my.Service+arg", b"@default"))
        refused(d.agent)
        assert d.asked() == ["--", "domain_name", "@default", "my.Service+arg"], d.asked()
        d.end()


@test
def a_v3_trigger_on_a_v4_link_is_served():
    d = Daemon(4)
    d.agent.put(trigger3())
    refused(d.agent)
    assert d.asked() == ["--", "domain_name", "dom", "svc"]
    d.end()


@test
def bytes_are_made_plain():
    d = Daemon()
    d.agent.put(trigger4(b"a/B c\xff+x\n$y\0", b"$any/vm @:\xff.-_"))
    refused(d.agent)
    assert d.asked() == ["--", "domain_name", "_any_vm_@:_.-_", "a_B_c_+x__y"], d.asked()
    d.end()


@test
def fields_without_their_nul_are_cut():
    d = Daemon()
    d.agent.put(trigger4(b"s\0", b"t" * 64, source=b"x" * 64))
    refused(d.agent)
    assert d.asked() == ["--", "domain_name", "t" * 63, "s"]
    d.end()
    d = Daemon(2)
    d.agent.put(trigger2(b"s" * 64, b"t" * 32))
    refused(d.agent)
    assert d.asked() == ["--", "domain_name", "t" * 31, "s" * 63]
    d.end()


BAD_IDENT = [b"a/b", b"a\nb", b"a\xff", b"x" * 32, b"a\0b", b"\0b", b"a;b", b"a@", b"a,b"]
BAD_SERVICE = [b"\0", b"+\0", b"+arg\0", b"noend", b"a\0b\0", b"a\0\0", b"\0a\0"]


@test
def a_bad_ident_is_refused_with_its_32_raw_bytes_and_policy_is_not_asked():
    for version, t in ((2, trigger2), (3, trigger3), (4, trigger4)):
        d = Daemon(version)
        for ident in BAD_IDENT:
            d.agent.put(t(ident=ident))
            refused(d.agent, ident)
        assert not os.path.exists(d.args)
        d.end()


@test
def a_bad_service_is_refused_and_policy_is_not_asked():
    for version, t in ((3, trigger3), (4, trigger4)):
        d = Daemon(version)
        for service in BAD_SERVICE:
            d.agent.put(t(service))
            refused(d.agent)
        assert not os.path.exists(d.args)
        d.end()
    d = Daemon(2)
    for service in (b"", b"+", b"+x"):
        d.agent.put(trigger2(service))
        refused(d.agent)
    assert not os.path.exists(d.args)
    d.end()


@test
def the_longest_service_is_refused_not_hung():
    d = Daemon()
    d.agent.put(trigger4(b"a" * 64999 + b"\0"))
    refused(d.agent)
    d.agent.put(trigger4())
    refused(d.agent)
    d.end()


@test
def allowed_the_command_and_the_connect_come_to_the_same_agent():
    d = Daemon(policy="sleep 0.2; printf 'user=toto\\nresult=allow\\ntarget=domain_name\\n"
               "autostart=True\\nrequested_target=dom\\n'")
    d.agent.put(trigger4(b"svc+a\0"))
    kind, body = d.agent.get()
    domain, port = struct.unpack("<LL", body[:8])
    assert kind == EXEC and domain == 42 and 513 <= port <= 768
    assert body[8:] == b"toto:QUBESRPC svc+a domain_name\0", body
    assert d.agent.get() == (CONNECT, struct.pack("<LL", 42, port) + b"SOCKET5".ljust(32, b"\0"))
    assert d.agent.silent()
    d.end()


@test
def a_plus_is_appended_and_policy_source_is_used():
    d = Daemon(policy="printf 'user=DEFAULT\\nresult=allow\\ntarget=domain_name\\nautostart=False\\n"
               "requested_target=dom\\npolicy_source=other\\n'")
    d.agent.put(trigger4(b"svc\0"))
    assert d.agent.get()[1][8:] == b"user:QUBESRPC svc+ other\0"
    d.end()


BAD_ANSWERS = [
    "", "result=allow", "result=deny\\nuser=u", "result=maybe", "result=allow\\nresult=allow", "junk",
    "user=u\\nresult=allow\\ntarget=domain_name\\nrequested_target=t",
    "user=u\\nresult=allow\\ntarget=domain_name\\nrequested_target=t\\nautostart=true",
    "user=u\\nresult=allow\\ntarget=domain_name\\nautostart=True",
    "user=u\\nuser=u\\nresult=allow\\ntarget=domain_name\\nrequested_target=t\\nautostart=True",
    "user=u\\nresult=allow\\ntarget=@dispvm:x\\nrequested_target=t\\nautostart=True",
    "user=u\\0\\nresult=allow\\ntarget=domain_name\\nrequested_target=t\\nautostart=True",
]


@test
def a_malformed_answer_of_policy_is_a_refusal():
    for a in BAD_ANSWERS:
        d = Daemon(policy="printf '%s'" % a)
        d.agent.put(trigger4())
        refused(d.agent)
        d.end()


@test
def an_allow_with_a_bad_exit_status_or_a_missing_program_is_a_refusal():
    d = Daemon(policy="printf 'user=u\\nresult=allow\\ntarget=domain_name\\nautostart=True\\n"
               "requested_target=dom\\n'; exit 1")
    d.agent.put(trigger4())
    refused(d.agent)
    os.unlink(d.program)
    d.agent.put(trigger4(ident=b"again"))
    refused(d.agent, b"again")
    d.end()


@test
def a_policy_program_that_is_killed_is_a_refusal():
    d = Daemon(policy="kill -9 $$")
    d.agent.put(trigger4())
    refused(d.agent)
    d.end()


@test
def the_agents_end_forgets_waiting_triggers():
    d = Daemon(policy="sleep 0.3; exit 1")
    d.agent.put(trigger4())
    d.asked()
    d.agent.close()
    until(lambda: not os.path.exists(d.path("qrexec.42")), 1)
    a = d.connect()
    assert a.silent(0.5)
    d.end()


# --- rate ---


@test
def excess_triggers_are_refused_with_one_coalesced_line():
    d = Daemon(policy="exit 1", options=("--rate=1", "--burst=4"))
    d.agent.put(b"".join(trigger4(ident=b"N%d" % i) for i in range(200)))
    start = time.monotonic()
    got = [d.agent.get() for _ in range(200 - 128)]
    assert time.monotonic() - start < 5
    assert all(kind == REFUSED for kind, _ in got)
    # of the 72, 4 were decided by policy; 128 wait, one more a second
    assert sum("denied" in x for x in d.lines()) <= 5, d.lines()
    until(lambda: any("more)" in x for x in d.lines()), 4)
    over = [x for x in d.lines() if "turn" in x or "too many" in x]
    assert 1 <= len(over) <= 2, over
    assert d.agent.get()[0] == REFUSED  # the next one's turn
    d.end()


@test
def what_waits_for_its_turn_is_served_in_order():
    d = Daemon(policy="exit 1", options=("--rate=50", "--burst=1"))
    t = time.monotonic()
    d.agent.put(b"".join(trigger4(ident=b"N%d" % i) for i in range(11)))
    got = [d.agent.get()[1].rstrip(b"\0") for _ in range(11)]
    assert sorted(got) == sorted(b"N%d" % i for i in range(11))
    assert time.monotonic() - t >= 0.19
    d.end()


# --- clients ---


@test
def a_client_gets_hello_3_a_port_and_its_command_through():
    d = Daemon()
    for kind in (EXEC, JUST):
        c = d.exec(kind=kind, domain=0, cmd=b"user:command\0")
        kind2, body = c.get()
        assert kind2 == kind
        domain, port = struct.unpack("<LL", body)
        assert domain == 42
        assert d.agent.get() == (kind, struct.pack("<LL", 0, port) + b"user:command\0")
    d.end()


@test
def ports_keep_to_their_parity_and_come_back():
    d = Daemon()
    clients = []
    for port in (514, 516):
        c = d.exec()
        assert c.get() == (JUST, struct.pack("<LL", 42, port))
        assert d.agent.get() == (JUST, struct.pack("<LL", 43, port) + b"user:x\0")
        clients.append(c)
    c = d.exec(domain=41)
    assert c.get() == (JUST, struct.pack("<LL", 42, 513))
    d.agent.get()
    d.agent.put(message(TERMINATED, struct.pack("<LL", 44, 514)))  # another domain's: not this one
    assert clients[0].silent()
    d.agent.put(message(TERMINATED, struct.pack("<LL", 43, 514)))
    assert clients[0].eof()  # "wait for the end of the call"
    assert clients[1].silent()
    c = d.exec()
    assert c.get() == (JUST, struct.pack("<LL", 42, 514))
    d.end()


@test
def who_finds_no_port_free_waits_for_one_in_order_at_most_ten_seconds():
    d = Daemon()
    for i in range(128):
        c = d.exec()
        assert c.get() == (JUST, struct.pack("<LL", 42, 514 + 2 * i))
        d.agent.get()
        c.close()
    first, gone = d.exec(), d.exec(cmd=b"user:gone\0")
    assert first.silent() and gone.silent()
    last, late = d.exec(cmd=b"user:y\0"), d.exec()
    assert late.silent()
    gone.close()
    for c, port, cmd in ((first, 600, b"user:x\0"), (last, 514, b"user:y\0")):
        d.agent.put(message(TERMINATED, struct.pack("<LL", 43, port)))
        assert c.get() == (JUST, struct.pack("<LL", 42, port))
        assert d.agent.get() == (JUST, struct.pack("<LL", 43, port) + cmd)
    assert late.silent()
    t = time.monotonic()
    late.s.settimeout(13)
    assert late.eof() and 8 < time.monotonic() - t < 12
    until(lambda: sum("no data port" in x for x in d.lines()) == 1)
    d.end()


@test
def ports_of_an_agent_that_went_are_used_again_last():
    d = Daemon()
    for _ in range(128):
        d.exec().get()
        d.agent.get()
    d.agent.close()
    until(lambda: not os.path.exists(d.path("qrexec.42")), 1)
    a = d.connect()
    assert d.exec().get() == (JUST, struct.pack("<LL", 42, 514))
    assert a.get()[0] == JUST
    d.end()


@test
def default_becomes_the_default_user():
    d = Daemon(options=())
    for cmd, want in ((b"DEFAULT:x\0", b"user:x\0"), (b"DEFAULTX:x\0", b"DEFAULTX:x\0"),
                      (b"DEFAULT:\0", b"user:\0"), (b"DEFAULT\0", b"DEFAULT\0"), (b"default:x\0", b"default:x\0")):
        c = d.exec(cmd=cmd)
        c.get()
        assert d.agent.get()[1][8:] == want
    d.end()


def closed(d, data, after_hello=True):
    c = d.client() if after_hello else d.raw()
    if not after_hello:
        c.get()
    c.put(data)
    assert c.eof(), data[:40]


@test
def a_bad_client_hello_closes_only_that_client():
    d = Daemon()
    other = d.client()
    for bad in (hello(2), hello(0), message(HELLO, b"\3\0\0"), message(HELLO, b"\3\0\0\0\0"),
                message(EXEC, b"\3\0\0\0"), struct.pack("<LL", HELLO, 0xFFFFFFFF), message(HELLO)):
        closed(d, bad, False)
    c = d.raw()
    c.get()
    c.put(hello(4))
    assert c.silent()
    other.put(message(JUST, struct.pack("<LL", 43, 0) + b"x\0"))
    assert other.get()[0] == JUST
    assert d.agent.get()[0] == JUST and d.agent.silent()
    d.end()


@test
def a_bad_request_closes_only_that_client():
    d = Daemon()
    other = d.client()
    params = struct.pack("<LL", 43, 0)
    for bad in (message(TRIGGER4, params + b"x\0"), message(REFUSED, bytes(32)), message(HELLO, b"\3\0\0\0"),
                message(EXEC, params), message(EXEC, params[:7]), message(EXEC), message(EXEC, params + b"x"),
                struct.pack("<LL", EXEC, 65536) + bytes(100), struct.pack("<LL", EXEC, 0xFFFFFFFF),
                message(JUST, struct.pack("<LL", 43, 512) + b"x\0"),
                message(JUST, struct.pack("<LL", 43, 769) + b"x\0"),
                message(CONNECT, params + b"\0"), message(CONNECT, params + b"SOCKET5\0")):
        closed(d, bad)
    assert d.agent.silent()
    other.put(message(JUST, params + b"x\0"))
    assert other.get()[0] == JUST
    d.end()


@test
def a_chosen_port_is_forwarded_without_an_answer():
    d = Daemon()
    for kind in (EXEC, JUST):
        c = d.exec(kind=kind, port=600)
        assert d.agent.get() == (kind, struct.pack("<LL", 43, 600) + b"user:x\0")
        assert c.silent()
    d.end()


@test
def anything_more_while_the_call_runs_closes_it():
    d = Daemon()
    c = d.exec()
    c.get()
    c.put(b"x")
    assert c.eof()
    d.end()


@test
def service_connect_is_forwarded_as_it_is_and_only_once():
    d = Daemon(policy="sleep 0.5; exit 1")
    d.agent.put(trigger4(ident=b"SOCKET11"))
    d.asked()
    closed(d, message(CONNECT, struct.pack("<LL", 7, 555) + b"SOCKET1\0"))
    closed(d, message(CONNECT, struct.pack("<LL", 7, 555) + b"SOCKET111\0"))
    c = d.exec(domain=7, port=555, kind=CONNECT, cmd=b"SOCKET11\0")
    assert d.agent.get() == (CONNECT, struct.pack("<LL", 7, 555) + b"SOCKET11\0")
    closed(d, message(CONNECT, struct.pack("<LL", 7, 555) + b"SOCKET11\0"))
    assert d.agent.silent(1)  # its policy's late refusal is only logged
    d.end()


@test
def a_long_command_is_refused_and_others_are_served():
    d = Daemon()
    closed(d, message(JUST, struct.pack("<LL", 43, 0) + b"u:" + b"x" * 6000 + b"\0"))
    closed(d, message(JUST, struct.pack("<LL", 43, 0) + b"u:" + b"x" * 4086 + b"\0"))
    c = d.exec(cmd=b"u:" + b"x" * 4085 + b"\0")
    assert c.get() == (JUST, struct.pack("<LL", 42, 514))
    assert len(d.agent.get()[1]) == 4096
    closed(d, message(JUST, struct.pack("<LL", 43, 0) + b"DEFAULT:" + b"x" * 65518 + b"\0"))
    assert any("4096" in x for x in d.lines())
    d.end()


@test
def a_client_that_stops_in_a_header_disturbs_nobody():
    d = Daemon()
    slow = [d.raw() for _ in range(3)]
    for s, part in zip(slow, (hello(3)[:3], hello(3)[:9], hello(3) + message(JUST, bytes(20))[:12])):
        s.put(part)
    for _ in range(3):
        c = d.exec()
        assert c.get()[0] == JUST
        d.agent.get()
    d.end()


@test
def clients_beyond_256_wait_and_are_closed_when_no_place_came_free_for_five_seconds():
    if os.geteuid() != 0:
        return "/proc/PID/fd of a sandboxed program is for root"
    d = Daemon()
    fds = d.fds()
    many = [d.client() for _ in range(256)]
    extra = [d.raw() for _ in range(20)]
    assert extra[0].silent() and d.fds() == fds + 256
    many.pop().close()
    assert extra[0].get()[0] == HELLO  # the first in the queue gets the place
    t = time.monotonic()
    assert all(c.eof() for c in extra[1:])
    assert 4 < time.monotonic() - t < 7
    until(lambda: any("256 connections" in x and "19 that waited" in x for x in d.lines()))
    many[0].put(message(JUST, struct.pack("<LL", 43, 0) + b"x\0"))
    assert many[0].get()[0] == JUST
    for c in many:
        c.close()
    extra[0].close()
    until(lambda: d.fds() == fds)
    assert d.exec().get()[0] == JUST
    d.end()


@test
def a_thousand_clients_at_once_are_all_served():
    if os.geteuid() != 0:
        return "/proc/PID/fd of a sandboxed program is for root"
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), max(hard, 2048)))
    d = Daemon()
    fds = d.fds()
    waiting = [d.raw() for _ in range(1000)]  # as many as fit are welcomed, the rest is in the queue
    served = 0
    for i, c in enumerate(waiting):
        assert c.get()[0] == HELLO
        c.put(hello(3) + message(EXEC, struct.pack("<LL", 0, 0) + b"user:%d\0" % i))
        port = struct.unpack("<LL", c.get()[1])[1]
        assert d.agent.get() == (EXEC, struct.pack("<LL", 0, port) + b"user:%d\0" % i)
        d.agent.put(message(TERMINATED, struct.pack("<LL", 0, port)))
        assert c.eof()
        served += 1
    assert served == 1000
    until(lambda: d.fds() == fds)
    assert not [x for x in d.lines() if "closed" in x]
    d.end()


@test
def without_descriptors_clients_are_turned_away_and_come_back_later():
    if os.geteuid() != 0:
        return "/proc/PID/fd of a sandboxed program is for root"
    d = Daemon()
    soft, hard = resource.prlimit(d.p.pid, resource.RLIMIT_NOFILE)
    before = d.fds()
    resource.prlimit(d.p.pid, resource.RLIMIT_NOFILE, (before + 2, hard))
    kept = [d.client() for _ in range(2)]
    assert d.raw().eof()
    assert d.raw().eof()
    assert any("no descriptor left" in x for x in d.lines())
    for c in kept:
        c.close()
    until(lambda: d.fds() <= before)
    assert d.exec().get()[0] == JUST
    d.end()


@test
def a_storm_leaves_no_descriptor_and_no_memory():
    if os.geteuid() != 0:
        return "/proc/PID/fd of a sandboxed program is for root"
    d = Daemon(policy="exit 1", options=("--rate=0",))
    def round():
        cs = [d.exec(domain=0) for _ in range(200)]
        ports = [struct.unpack("<LL", c.get()[1])[1] for c in cs]
        for _ in cs:
            d.agent.get()
        d.agent.put(b"".join(message(TERMINATED, struct.pack("<LL", 0, p)) for p in ports))
        assert all(c.eof() for c in cs)
        d.agent.put(b"".join(trigger4(ident=b"N%d" % i) for i in range(100)))
        for _ in range(100):
            assert d.agent.get()[0] == REFUSED
    round()
    time.sleep(0.1)
    fds, rss = d.fds(), d.rss()
    for _ in range(3):
        round()
    until(lambda: d.fds() == fds)
    until(lambda: d.rss() <= rss + 32)
    d.end()


@test
def an_incomplete_request_is_closed_after_ten_seconds():
    d = Daemon()
    quiet, half = d.raw(), d.client()
    half.put(message(JUST, bytes(20))[:12])
    quiet.get()
    running = d.exec()
    running.get()
    quiet.s.settimeout(13)
    t = time.monotonic()
    assert quiet.eof() and half.eof()
    assert 8 < time.monotonic() - t < 12
    assert running.silent()
    d.end()


# --- the command ---


def run(*argv, env=None, limit=LIMIT):
    return subprocess.run([os.path.join(bindir, "qrexecd"), *argv], env=dict(os.environ, **(env or {})),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=limit)


@test
def wrong_usage_is_1():
    d = tempfile.mkdtemp()
    good = ["--uuid=" + UUID, "--socket-dir=" + d, "--direct"]
    for argv in ([], good, good + ["42"], good + ["0", "n"], good + ["-1", "n"], good + ["x", "n"],
                 good[1:] + ["42", "n"], ["--uuid=x"] + good[1:] + ["42", "n"], good + ["42", "a/b"],
                 good + ["42", "n", "u", "more"], ["-h"], ["--nonsense"], good + ["42", "n", "u:v"],
                 ["--uuid=" + UUID, "--socket-dir=" + d + "/none", "--direct", "42", "n"]):
        assert run(*argv).returncode == 1, argv
    assert run("--help").returncode == 0
    os.rmdir(d)


@test
def no_agent_in_time_is_3():
    with tempfile.TemporaryDirectory() as d:
        env = dict(QREXEC_STARTUP_TIMEOUT="1", VCHAN_SOCKET_DIR=d)
        r = run("--uuid=" + UUID, "--socket-dir=" + d, "--direct", "42", "n", env=env)
        assert r.returncode == 3, r
        assert os.listdir(d) == []
        if os.geteuid() == 0:
            os.makedirs("/var/log/qubes", exist_ok=True)
            r = run("--uuid=" + UUID, "--socket-dir=" + d, "42", "n", env=env)
            assert r.returncode == 3 and b"." in r.stderr, r


@test
def in_the_background_0_means_that_the_agent_has_answered():
    if os.geteuid() != 0:
        return "its log is in /var/log/qubes"
    os.makedirs("/var/log/qubes", exist_ok=True)
    with tempfile.TemporaryDirectory() as d:
        server = socket.socket(socket.AF_UNIX)
        server.bind(d + "/vchan.42.0.512.sock")
        server.listen(1)
        for env in ({}, {"QREXEC_STARTUP_NOWAIT": "1"}):
            p = subprocess.Popen([bindir + "/qrexecd", "-q", "--uuid=" + UUID, "--socket-dir=" + d, "42", "qd-test"],
                                 env=dict(os.environ, VCHAN_SOCKET_DIR=d, **env))
            if env:
                assert p.wait(LIMIT) == 0
            a = Link(server.accept()[0])
            if not env:
                time.sleep(0.05)
                assert p.poll() is None
            a.put(hello(4))
            a.get()
            assert p.wait(LIMIT) == 0
            until(lambda: os.path.exists(d + "/qrexec.qd-test"), 0.5)
            log = "/var/log/qubes/qrexec.qd-test.log"
            until(lambda: "connected" in open(log).read())
            assert os.stat(log).st_mode & 0o777 == 0o660
            s = socket.socket(socket.AF_UNIX)
            s.connect(d + "/qrexec.42")
            pid = struct.unpack("iII", s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
            assert os.getsid(pid) == pid or os.getsid(pid) != os.getsid(0)
            os.kill(pid, signal.SIGTERM)
            until(lambda: not os.path.exists(d + "/qrexec.42"))
            os.unlink(log)


@test
def no_child_of_the_daemon_stays():
    d = Daemon()
    kids = "/proc/%d/task/%d/children" % (d.p.pid, d.p.pid)
    if os.path.exists(kids):
        assert open(kids).read() == ""
    d.end()


@test
def it_is_in_its_sandbox():
    d = Daemon()
    status = dict(x.split(":\t", 1) for x in open("/proc/%d/status" % d.p.pid).read().splitlines() if ":\t" in x)
    assert status["Seccomp"] == "2" and status["NoNewPrivs"] == "1", status
    assert int(status["CapEff"], 16) == int(status["CapBnd" if os.geteuid() == 0 else "CapPrm"], 16) == 0
    d.end()


@test
def all_this_without_being_root():
    if os.geteuid() != 0 or os.environ.get("QD_AGAIN"):
        return "not root"
    here = os.path.dirname(os.path.abspath(__file__))
    me, wire, _ = reachable(os.path.abspath(__file__), here + "/../wire.py", here + "/../tap.py")
    r = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, me], cwd="/",
                       env=dict(os.environ, QD_AGAIN=bindir, TMPDIR="/tmp", HOME="/", PYTHONPATH=os.path.dirname(wire)),
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert r.returncode == 0, r.stdout.decode()


def main():
    only = sys.argv[1:]
    chosen = [t for t in tests if not only or any(o in t.__name__ for o in only)]
    failed = 0
    print("1..%d" % len(chosen), flush=True)
    for n, t in enumerate(chosen, 1):
        name = t.__name__.replace("_", " ")
        try:
            skip = t()
            print("ok %d - %s%s" % (n, name, " # skip " + skip if skip else ""), flush=True)
        except Exception as e:
            failed = 1
            for d in Daemon.running:
                d.p.kill()
                d.p.wait()
                if os.environ.get("V"):
                    print("\n".join(d.lines()))
                shutil.rmtree(d.dir, ignore_errors=True)
            Daemon.running.clear()
            print("not ok %d - %s\n# %s: %s" % (n, name, type(e).__name__, str(e).replace("\n", "\n# ")), flush=True)
            if os.environ.get("V"):
                import traceback
                traceback.print_exc()
    shutil.rmtree(bindir, ignore_errors=True)
    return failed


sys.exit(main())
