#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
# Calls to disposables as both qrexecds do their part, byte by byte: startd is played by this test, and the one disposable
# that it hands out was started before. In a house.
import os, signal, socket, struct, subprocess, sys, threading, time

sys.path[0] += "/.."
from tap import *

in_house()

SOCK = RUN + "/s/start.sock"
NAME = "disp7"
ANSWER = "result=ok\nstate=running\nname=%s\n\n" % NAME


class Startd:
    """Answers op=start with what .answer says, keeps these connections, and notes what it is asked."""

    def __init__(self):
        self.asked, self.held, self.ended, self.answer, self.binds = [], [], 0, ANSWER, True
        self.dispose = "result=ok\n\n"
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(SOCK + ".new")
        os.chmod(SOCK + ".new", 0o666)
        self.sock.listen(64)
        os.rename(SOCK + ".new", SOCK)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            c = self.sock.accept()[0]
            threading.Thread(target=self.one, args=(c,), daemon=True).start()

    def one(self, c):
        text = b""
        while not text.endswith(b"\n\n"):
            got = c.recv(4096)
            if not got:
                return
            text += got
        self.asked.append(text.decode())
        if text.startswith(b"op=dispose"):
            c.sendall(self.dispose.encode())
            c.close()
            return
        ticket = kv(text.decode()).get("ticket", "")
        if self.binds:
            eq(policyd("redeem=%s\nuse=start\n\n" % ticket).get("target"), "@dispvm:dvm", "the ticket stands for @dispvm:dvm")
            eq(policyd("bind=%s\ntarget=%s\n\n" % (ticket, NAME)), {"result": "ok"}, "and is bound")
        if self.answer:
            c.sendall(self.answer.encode())
        else:
            c.close()
            return
        self.held.append(c)
        while c in self.held and c.recv(4096):
            pass
        self.ended += 1

    def kill(self):
        """Its connections end, as a killed startd's would."""
        for c in self.held:
            c.shutdown(socket.SHUT_RDWR)
        self.held = []


def policyd(text):
    s = socket.socket(socket.AF_UNIX)
    s.connect(RUN + "/s/policy.sock")
    s.sendall(text.encode())
    out = b""
    while True:
        got = s.recv(4096)
        if not got:
            return kv(out.decode())
        out += got


def daemon_pid(name):
    s = socket.socket(socket.AF_UNIX)
    s.connect(RUN + "/q/%s/qrexec" % name)
    return struct.unpack("iII", s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]


def call(script, more=""):
    """A shell in a disposable, asked for by work."""
    return ["qvm-run", "-p", "work", "%sqrexec-client-vm @dispvm qubes.VMShell" % more]


def calls(script):
    return subprocess.run(call(script), input=script.encode(), capture_output=True, timeout=60 * SLOW)


def begin(script):
    p = subprocess.Popen(call(script), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    p.stdin.write(script.encode())
    p.stdin.flush()
    return p


def disposes():
    return s.asked.count("op=dispose\nname=%s\n\n" % NAME)


def through():
    n, ended = disposes(), s.ended
    r = calls("echo $((6 * 7)); read x; echo $x; exit 3\nhello\n")
    eq((r.returncode, r.stdout), (3, b"42\nhello\n"), "a call to @dispvm: its output and exit code")
    ok(re.fullmatch(r"op=start\nticket=[0-9a-f]{32}\n\n", s.asked[0]), "startd was asked with the ticket, exactly", s.asked)
    ok(until(lambda: s.ended == ended + 1), "the connection to startd ends with the call")
    ok(until(lambda: disposes() == n + 1), "and the disposable's own qrexecd asks for its end", s.asked)


def both_daemons_say_it():
    """A big answer is whole although the disposable may go as soon as its service has ended."""
    ended = s.ended
    r = calls("head -c 3000000 /dev/zero; exit 0\n")
    eq((r.returncode, len(r.stdout)), (0, 3000000), "3 MB from a disposable")
    ok(until(lambda: s.ended == ended + 1), "and its connection ends")


def refused():
    for answer, what in (("result=refused\nreason=no memory left\ncode=1\n\n", "no%20memory%20left"),
                         ("result=ok\nstate=running\n\n", "it names no disposable"),
                         ("result=ok\nname=dom0\n\n", "it names no disposable"),
                         ("result=ok\nname=../x\n\n", "it names no disposable"),
                         ("result=ok\nname=%s\n\n" % ("x" * 40), "it names no disposable"),
                         ("result=ok\nname=%s\ndomid=x\n\n" % NAME, "domid is no number"),
                         ("result=ok\nname=%s\ndomid=%s\n\n" % (NAME, state("work")["domid"]), "it names another domain than its own"),
                         ("result=ok\nname=nosuch\n\n", "nosuch: not there"),
                         ("name=%s\n\n" % NAME, "malformed answer"),
                         ("", "hung up without an answer")):
        s.answer, ended = answer, s.ended
        log = since("work/qrexecd")
        r = calls("echo no\n")
        ok(r.returncode == 126 and r.stdout == b"", "refused: " + what, r)
        ok(log.says(re.escape(what)), "with the reason", log.text())
        ok(answer == "" or until(lambda: s.ended == ended + 1), "and startd is let go")
    s.answer = ANSWER
    s.binds = False
    r = calls("echo no\n")
    ok(r.returncode == 126 and r.stdout == b"", "a ticket that was not bound is worth nothing", r)
    s.binds = True


def caller_killed():
    ended, n = s.ended, disposes()
    p = begin("echo up; sleep 1000\n")
    eq(p.stdout.readline(), b"up\n", "a call runs")
    ok(s.ended == ended and len(s.held) > 0, "startd is held meanwhile")
    sh("qvm-run", "work", "pkill -9 -f '^qrexec-client-vm @dispvm'")
    ok(until(lambda: s.ended == ended + 1), "the caller is killed: startd hears it")
    ok(until(lambda: disposes() > n), "the service's end is told, too")
    p.kill()
    p.wait()


def startd_killed():
    n = disposes()
    p = begin("echo up; read x; echo $x; exit 5\n")
    p.stdout.readline()
    s.kill()
    p.stdin.write(b"still there\n")
    p.stdin.close()
    eq((p.stdout.read(), p.wait(LIMIT)), (b"still there\n", 5), "startd is killed in the middle: the call goes on")
    ok(until(lambda: disposes() > n), "its end is told to the next startd", s.asked[-3:])


def own_qrexecd_killed():
    ended = s.ended
    p = begin("echo up; read x; echo $x; exit 6\n")
    p.stdout.readline()
    pid = daemon_pid(NAME)
    os.kill(pid, 9)

    def back():
        try:
            return daemon_pid(NAME) != pid
        except OSError:
            return False
    ok(until(back), "the disposable's qrexecd is killed and comes back")
    eq(s.ended, ended, "the call's caller still holds startd")
    p.stdin.write(b"still there\n")
    p.stdin.close()
    eq((p.stdout.read(), p.wait(LIMIT)), (b"still there\n", 6), "the call goes on")
    ok(until(lambda: s.ended == ended + 1), "its end lets startd go")


def own_agent_killed():
    ended, n = s.ended, disposes()
    p = begin("echo up; sleep 1000\n")
    p.stdout.readline()
    sh("qvm-run", "-u", "root", NAME, "pkill -9 -x qrexec-agent")
    ok(until(lambda: disposes() > n), "the disposable's agent is killed: its end is asked for")
    ok(until(lambda: s.ended == ended + 1), "and the caller's qrexecd lets go")
    until(lambda: os.path.exists(RUN + "/q/%s/qrexec" % NAME))
    p.kill()
    p.wait()


def two_at_once():
    ended = s.ended
    a, b = begin("echo a; read x; exit 1\n"), begin("echo b; read x; exit 2\n")
    eq((a.stdout.readline(), b.stdout.readline()), (b"a\n", b"b\n"), "two at once")
    a.stdin.write(b"\n")
    a.stdin.close()
    ok(a.wait(LIMIT) == 1 and until(lambda: s.ended == ended + 1), "one ends")
    ok(b.poll() is None, "the other does not")
    b.stdin.write(b"\n")
    b.stdin.close()
    ok(b.wait(LIMIT) == 2 and until(lambda: s.ended == ended + 2), "until it does")


def idle():
    """Started anew it knows of no call: it asks after a minute, is refused, and asks again."""
    pid = daemon_pid(NAME)
    n = disposes()
    s.dispose = "result=refused\nreason=it is kept ready\ncode=126\n\n"
    os.kill(pid, 9)
    began = time.monotonic()
    ok(until(lambda: disposes() > n, 70 * SLOW) and time.monotonic() - began > 55,
       "no call came for a minute: its qrexecd asks for its end", time.monotonic() - began)
    eq(calls("exit 4\n").returncode, 4, "refused that, it serves on")


policy("qubes.VMShell * work @dispvm:dvm allow\n")
write(VM + "dvm", "label = red\ntemplate_for_dispvms = true\n")
write(VM + "work", "label = blue\ndefault_dispvm = dvm\n")
write(VM + NAME, "type = DispVM\ntemplate = dvm\nlabel = red\nauto_cleanup = true\ndispid = 7\n")
r = qubes("work", NAME)
ok(r.returncode == 0, "a caller and a disposable run", r)
subprocess.run(["s6-svc", "-wD", "-d", S6 + "/startd"])
s = Startd()
rows([through, both_daemons_say_it, refused, caller_killed, startd_killed, own_qrexecd_killed, two_at_once,
      own_agent_killed] + ([idle] if LESS == 1 else []))
done()
