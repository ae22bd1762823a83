#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
# Programs of two qubes on one screen of Dom0's, with all that belongs to it: qubes-display in the session, guid started with its
# qube, pages through chand, gui-agent and an X server in each qube.
import os, shutil, subprocess, sys, time

sys.path[0] += "/.."
from tap import *
from gui import *

if not shutil.which("Xvfb") or not (XEN or shutil.which("xterm")):
    print("1..0 # SKIP no Xvfb, no xterm on this machine")
    sys.exit(0)
in_house()
if not os.path.exists("/usr/bin/qubes-display"):
    print("1..0 # SKIP no qubes-display here")
    sys.exit(0)

server = XServer()
x = X(server.n)
session = subprocess.Popen(["qubes-display", "-d", server.display], env=dict(os.environ, XAUTHORITY="/dev/null"))
QUBES = {"mail": ("green", 0x73d216), "web": ("blue", 0x3465a4)}
HELLO = 43, 26, 46, 46, 32  # keys
programs = []


def color(name):
    """Of the frame of its first window, as the label says."""
    for f in x.ours(name).values():
        if x.attributes(f)[0] == 2:
            at = x.place(f)
            return x.pixel(at[0] + 1, at[1] + 1), f
    return None


def start(name, *argv):
    programs.append(subprocess.Popen(["qvm-run", name, " ".join(argv)], stdin=subprocess.DEVNULL))


def windows():
    for name, (label, rgb) in QUBES.items():
        write(VM + name, "label = %s\ndisplay = %s\nkeyboard_layout = de+nodeadkeys+compose:caps\n%s" % (label, server.display, DESKTOP))
    qubes(*QUBES)
    for i, (name, (label, rgb)) in enumerate(QUBES.items()):
        ok(until(lambda: sh("qvm-run", "-p", name, "test -S /tmp/.X11-unix/X0")[0] == 0, 60 * SLOW), "%s: an X server, as there is a guid" % name)
        start(name, "exec xterm -geometry 50x12+%d+%d -e sh -c 'id; exec cat'" % (60 + 500 * i, 100 + 200 * i))
        got = until(lambda: color(name), 60 * SLOW)
        ok(got, "%s: a window" % name, logs(name + "/guid"))
        if got:
            eq(until(lambda: color(name)[0] == rgb), True, "%s: its frame is %s" % (name, label))
            at = x.place(got[1])
            ok(until(lambda: len({v for r in x.pixels(at[0] + 8, at[1] + 8, 300, 60) for v in r}) > 1, 20 * SLOW), "%s: and there is text in it" % name)
    if XEN or shutil.which("setxkbmap"):
        keys = sh("qvm-run", "-p", "mail", "setxkbmap -query")[1].split()
        ok({"de", "nodeadkeys", "compose:caps"} <= set(keys), "mail: the keyboard that QubesDB says", keys)


def typed():
    """What is typed into a window reaches its qube, and no other."""
    f = color("mail")[1]
    x.focus(f)
    at = x.place(f)
    before = x.pixels(at[0] + 4, at[1] + 4, at[2] - 8, at[3] - 8)
    x.sync()
    for key in HELLO:
        x.xtest(2, key), x.xtest(3, key)
    ok(until(lambda: x.pixels(at[0] + 4, at[1] + 4, at[2] - 8, at[3] - 8) != before), "typed into mail's window: it shows")


def killed():
    """kill -9 of a guid: another one has the windows again."""
    f = color("mail")[1]
    pid = until(lambda: [int(p) for p in filter(str.isdigit, os.listdir("/proc")) if read("/proc/%s/comm" % p).strip() == "guid" and
                         "mail" in read("/proc/%s/cmdline" % p)])
    ok(pid, "there is a guid of mail's")
    os.kill(pid[-1], 9)
    ok(until(lambda: f not in x.ours("mail").values()), "killed: its window is gone")
    ok(until(lambda: color("mail"), 60 * SLOW), "and comes back")
    ok(color("web"), "the other qube's stays")


def qube_killed():
    """A qube that dies with its windows shown."""
    pages = lambda: sum(read("/proc/%s/maps" % p).count("gntdev") for p in filter(str.isdigit, os.listdir("/proc")))
    before = pages()
    eq(sh("qvm-kill", "mail")[0], 0, "a qube is killed")
    ok(until(lambda: not x.ours("mail")), "its windows are gone")
    ok(color("web"), "the other qube's stays")
    if XEN:
        ok(0 < pages() < before, "and its pages are mapped no more", (before, pages()))


try:
    rows([windows, typed, killed, qube_killed])
finally:
    for p in programs:
        p.kill()
    sh("qvm-kill", *QUBES)
    session.terminate()
    server.close()
done()
