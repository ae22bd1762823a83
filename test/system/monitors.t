#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
# The monitors of a display, told to the qubes that show their windows there: qubes-display's side (qubes.SetMonitorLayout in a
# stock qube: what it would read is kept in a file), and the service of our own minimal qubes.
import grp, os, shutil, socket, subprocess, sys, time

sys.path[0] += "/.."
import tap
from tap import *
from gui import *

local_only("a display on this machine")
for program in ("Xvfb", "xrandr"):
    if not shutil.which(program):
        print("1..0 # SKIP no %s on this machine" % program)
        sys.exit(0)
in_house()

PERSON = 4242
OURS, SERVICE = "/usr/lib/qubes/set-monitor-layout", "/usr/local/etc/qubes-rpc/qubes.SetMonitorLayout"
ENV = dict(os.environ, XAUTHORITY="/dev/null")
server = XServer("2000x1200x24")
ENV["DISPLAY"] = server.display
TWO = "1000 800 0 0 300 200\n1000 1200 1000 0 301 201\n"
offer = None


def said():
    return read("/run/display.log")


def lies(text, env=ENV):
    """Dom0's monitors, by the program that qubes have for that."""
    p = subprocess.run([OURS], input=text.encode(), env=env, capture_output=True, timeout=HANGS)
    return p.returncode, p.stderr.decode()


def qube(name, service=None, more=""):
    write(VM + name, "label = red\ndisplay = %s\n%s" % (server.display, more))
    eq(qubes(name).returncode, 0, name + " runs")
    if service:
        sh("qvm-run", "-p", "-u", "root", name, "mkdir -p /usr/local/etc/qubes-rpc; cat >%s; chmod +x %s" % (SERVICE, SERVICE),
           data=b"#!/bin/sh\n" + service.encode() + b"\n")


def times(name):
    return int(told(name, "/tmp/times | wc -l"))


def told(name, file="/tmp/layout"):
    return sh("qvm-run", "-p", name, "cat %s 2>/dev/null" % file)[1]


def start(**who):
    global offer
    with open("/run/display.log", "wb") as log:
        offer = subprocess.Popen(["qubes-display"], stderr=log, stdin=subprocess.DEVNULL, env=ENV, **who)


def helper():
    return tap.child_of(offer.pid, "qubes-monitors")


def hears():
    # What is not written whole is not seen; how often it was asked is.
    qube("stock", "cat >/tmp/new; echo $QREXEC_REMOTE_DOMAIN $(id -un) >/tmp/who; echo >>/tmp/times; mv /tmp/new /tmp/layout", "feature.gui =\n")
    qube("hangs", "echo >>/tmp/times; exec sleep 1000", "feature.gui =\n")
    qube("refuses", "echo >>/tmp/times; exit 7", "feature.gui =\n")
    qube("without", more="feature.gui =\n")
    sh("qvm-run", "-p", "-u", "root", "without", "rm /etc/qubes-rpc/qubes.SetMonitorLayout")
    qube("alone", "cat >/tmp/layout", "feature.gui =\nfeature.no-monitor-layout = 1\n")
    write(VM + "other", "label = blue\n")
    qubes("other")
    start()
    ok(until(lambda: told("stock").startswith("2000 1200 0 0 ")), "a qube is told: width, height, x, y, and its size", told("stock") + said())
    eq(len(told("stock").split()), 6, "in millimetres")
    eq(told("stock", "/tmp/who"), "dom0 user", "by dom0, as its user")
    ok(until(lambda: told("hangs", "/tmp/times | wc -l") == "1"), "one that hangs was asked")


def greets(name, times=1):
    """As a guid that is started anew."""
    os.chdir(RUN + "/display")  # the way there is not everybody's
    for i in range(times):
        with socket.socket(socket.AF_UNIX) as s:
            os.seteuid(uid_of(name, 6))
            try:
                s.settimeout(LIMIT)
                s.connect(str(server.n))
                if not s.recv(4096):
                    return False
            finally:
                os.seteuid(0)
    os.chdir("/")
    return True


def changes():
    eq(lies(TWO), (0, ""), "Dom0's monitors: two")
    ok(until(lambda: told("stock") + "\n" == TWO), "a line for each", told("stock"))
    eq(lies("800 600 0 0\n"), (0, ""), "one, a smaller one")
    ok(until(lambda: told("stock").startswith("800 600 0 0")), "is told", told("stock"))
    eq(lies("2000 1200 0 0\n")[0], 0, "as it was")
    ok(until(lambda: told("stock").startswith("2000 1200 0 0 ")), "and again", told("stock"))
    n = int(told("stock", "/tmp/times | wc -l"))
    for i in range(12):
        lies("1000 800 0 0\n%d 1200 1000 0\n" % (500 + i))
    ok(until(lambda: "511 1200 1000 0" in told("stock")), "the last of many in a row", told("stock"))
    more = int(told("stock", "/tmp/times | wc -l")) - n
    ok(1 <= more <= 6, "%d calls for 12 changes" % more)
    eq(told("alone"), "", "feature.no-monitor-layout: never")
    ok(told("hangs", "/tmp/times | wc -l") == "1", "one call at a time: who hangs is not asked again meanwhile")


def later():
    qube("late", "cat >/tmp/layout", "feature.gui =\n")
    qvm = sh("qvm-shutdown", "--wait", "late", limit=60 * SLOW)
    eq((qvm[0], qubes("late").returncode), (0, 0), "a qube that starts later")
    ok(until(lambda: "511 1200 1000 0" in told("late")), "is told", said())


def minimal():
    """The service of our own, and the X server of the qube."""
    ask = lambda *how: sh("qvm-run", "-p", "mini", "DISPLAY=:0 xrandr " + " ".join(how))[1]
    size = lambda want: until(lambda: "current %s," % want in ask(), 4 * LIMIT)
    monitors = lambda: [" ".join(line.split()[1:3]) for line in ask("--listmonitors").splitlines()[1:]]
    eq(lies("2000 1200 0 0\n")[0], 0, "one monitor")
    qube("mini")
    ok(size("2000 x 1200"), "its screen is as large as Dom0's", ask())
    eq(lies(TWO)[0], 0, "two monitors")
    want = ["*dom0-0 1000/300x800/200+0+0", "dom0-1 1000/301x1200/201+1000+0"]
    ok(until(lambda: monitors() == want, 4 * LIMIT), "its programs see two", monitors())
    eq(lies("1600 900 0 0\n")[0], 0, "one, smaller")
    ok(size("1600 x 900"), "its screen becomes so, too", ask())
    ok(until(lambda: len(monitors()) == 1 and "1600/" in monitors()[0]), "with one monitor", monitors())
    eq(lies(TWO)[0], 0, "the larger one")
    ok(size("2000 x 1200") and until(lambda: monitors() == want), "and back", monitors())


def service():
    """Its lines, its exit status."""
    for text, code in (("", 100), ("1 2 3\n", 100), ("0 1 0 0\n", 100), ("1 0 0 0\n", 100), ("800 600 0 0", 100), ("800 600 0 0 1\n", 100),
                       ("800 600 0 0 1 2 3\n", 100), ("800 600 -1 0\n", 100), ("16385 600 0 0\n", 100), ("800 600 16000 0\n", 100),
                       ("800 6145 0 0\n", 100), ("99999999999 600 0 0\n", 100), ("a b c d\n", 100), ("8" * 200 + "\n", 100),
                       ("800 600 0 0\n" * 33, 100), ("\n", 100), ("800 600 0 0\nx\n", 100)):
        eq(lies(text)[0], code, "%r: %d" % (text[:30], code))
    code, text = lies("4000 3000 0 0\n")
    eq((code, "stays" in text), (1, True), "larger than the X server can be: it says so") or print("# " + text)
    for args, want in ((["--help"], 0), (["x"], 100), (["--help", "x"], 100)):
        p = subprocess.run([OURS] + args, stdin=subprocess.DEVNULL, capture_output=True)
        eq((p.returncode, b"usage: " in (p.stderr if want else p.stdout)), (want, True), "%s: %d" % (args, want))
    eq(lies("800 600 100 50\n"), (0, ""), "one monitor is at 0, 0, wherever it is said to be")
    eq(lies("800 600 0 0\n", dict(ENV, DISPLAY=":77"))[0], 111, "no X server")
    eq(lies("2000 1200 0 0\n")[0], 0, "right")


def who_hangs():
    ok(until(lambda: "hangs hangs" in said(), 4 * LIMIT), "who hangs costs a line", said())
    ok(until(lambda: "refuses was told of the monitors 6 times: exit 7" in said(), 7 * LIMIT), "who refuses is asked some more times, later: a line", said())
    ok(int(told("refuses", "/tmp/times | wc -l")) >= 6, "some times")
    ok(len(said().splitlines()) < 40, "not many", said())
    ok(greets("hangs"), "the guid of one that hung comes again")
    ok(until(lambda: greets("hangs") and tap.child_of(helper()) < 0, 6 * LIMIT, 0.2), "and again: no reason to ask it again")
    hung, stock = times("hangs"), times("stock")
    ok(greets("hangs", 5) and greets("stock", 20), "guids in a loop")
    ok(until(lambda: times("stock") > stock), "one that answers is told again")
    ok(times("stock") <= stock + 2, "not each time")
    ok(tap.child_of(helper(), "qrexec-client") < 0 and times("hangs") == hung, "one that hung is not")


def ends():
    eq(said().count("without has no service"), len([1 for line in said().splitlines() if "without" in line]), "one without that service is not asked again at once")
    ok("without has no service" in said(), "which is said", said())
    pid = helper()
    ok(pid > 0, "a process of its own")
    os.kill(pid, 9)
    ok(until(lambda: helper() < 0), "killed")
    ok(offer.poll() is None and os.path.exists("%s/display/%d" % (RUN, server.n)), "the display is offered still")
    offer.terminate()
    offer.wait(LIMIT)
    start(user=PERSON, group=PERSON, extra_groups=(grp.getgrnam("qubes").gr_gid,))
    pid = until(lambda: (p := helper()) > 0 and p)
    ok("Uid:\t%d\t%d\t" % (PERSON, PERSON) in read("/proc/%d/status" % pid), "run by a person of group qubes: it is the person's")
    eq(lies("1024 768 0 0\n")[0], 0, "another layout")
    ok(until(lambda: told("stock").startswith("1024 768 0 0")), "the next one tells of it", told("stock"))
    offer.terminate()
    offer.wait(LIMIT)
    ok(until(lambda: not os.path.exists("/proc/%d" % pid)), "ends with it")


try:
    rows((hears, changes, later, minimal, service, who_hangs, ends))
finally:
    sh("qvm-kill", "stock", "hangs", "refuses", "alone", "without", "other", "late", "mini")
    if offer:
        offer.kill()
    server.close()
done()
