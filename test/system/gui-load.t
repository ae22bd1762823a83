#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
# A person's session with programs as they are: a GTK editor, a dialogue and a terminal in a qube, under a window manager on Dom0's
# display, by mouse and keys; a picture of each state in $O/gui-load. What gui-agent.t looks at by itself is here all at once.
import os, shutil, struct, subprocess, sys

sys.path[0] += "/.."
from tap import *
from gui import *

local_only("Xvfb in the qube")
for program in ("Xvfb", "xterm", "xdotool", "openbox", "l3afpad", "yad"):
    if not shutil.which(program):
        print("1..0 # SKIP no %s on this machine" % program)
        sys.exit(0)
in_house()

GREEN = 0x73d216
SHOTS = os.path.join(os.environ["TOP"], os.environ.get("O", "build/local"), "gui-load")
server = XServer()
x = X(server.n)
session = subprocess.Popen(["qubes-display", "-d", server.display], env=dict(os.environ, XAUTHORITY="/dev/null"), stderr=subprocess.DEVNULL)
wm = None
programs, shots = [], []
q = edit = other = term = form = None  # the qube's X server; windows of it


def shot(name):
    shots.append(name)
    png("%s/%02d-%s.png" % (SHOTS, len(shots), name), x.pixels(0, 0, WIDTH, HEIGHT))


def xdo(*argv):
    return sh("env", "DISPLAY=" + server.display, "xdotool", *map(str, argv))


def ours():
    """The qube's windows that are seen: {its id: F}."""
    out = {}
    for w, f in x.ours("work").items():
        try:
            if x.attributes(f)[0] == 2:
                out[w] = f
        except XError:
            pass
    return out


def in_qube(command, data=b""):
    return sh("qvm-run", "-p", "work", command, data=data)[1]


def program(command):
    """Its window, once it is seen."""
    before = set(ours())
    programs.append(subprocess.Popen(["qvm-run", "-q", "work", "exec " + command], stdin=subprocess.DEVNULL))
    new = until(lambda: set(ours()) - before, 6 * LIMIT)
    assert new, command
    return max(new, key=lambda w: q.geometry(w)[2])


def place(w):
    """Of its content."""
    got = ours().get(w)
    if got is None:
        return None
    left, top, width, height = x.place(got)
    b = 2 if x.attributes(got)[1] else 4
    return (left, top, width, height) if b == 2 else (left + 4, top + 4, width - 8, height - 8)


def same(w, limit=None):
    """Dom0 shows what the qube has there, where the qube has it; of an override-redirect window all but our border, and it may have
    one of X's own, which is in the picture."""
    def look():
        try:
            left, top, width, height = place(w)
            xb = (width - q.geometry(w)[2]) // 2
            b = max(xb, 2) if x.attributes(ours()[w])[1] else 0
            return (left + xb, top + xb, width - 2 * xb, height - 2 * xb) == q.place(w) and \
                x.pixels(left + b, top + b, width - 2 * b, height - 2 * b) == q.pixels(b - xb, b - xb, width - 2 * b, height - 2 * b, w)
        except (XError, TypeError, KeyError):
            return False
    got = until(look, limit)
    if not got:
        print("# 0x%x: in Dom0 %r, in the qube %r" % (w, place(w), w in q.tree()[1] and q.place(w)))
    return got


def framed(w):
    """An unbroken border in the label's colour."""
    f = ours()[w]
    b = 2 if x.attributes(f)[1] else 4
    rows = x.pixels(*x.place(f))
    return all(v == GREEN for r in rows[:b] + rows[-b:] for v in r) and all(v == GREEN for r in rows for v in r[:b] + r[-b:])


def good(w, what, limit=None):
    ok(same(w, limit), what + ": what Dom0 shows is the qube's")
    ok(until(lambda: framed(w)), what + ": in its label's frame")


def at(w, dx, dy):
    """The pointer there; it is known in the qube, too."""
    left, top, _, _ = place(w)
    xdo("mousemove", left + dx, top + dy)
    until(lambda: pointer(q) == (left + dx, top + dy), 1)


def owner(display, selection):
    return struct.unpack("<I", display.ask(23, 0, struct.pack("<I", display.atom(selection)))[8:12])[0]


def pointer(display):
    return struct.unpack("<hh", display.ask(38, 0, struct.pack("<I", display.root))[16:20])


def raised(w):
    """In front, with the focus."""
    x.message(x.root, ours()[w], "_NET_ACTIVE_WINDOW", [2, 0, 0], 0x180000)
    return until(lambda: q.prop(q.root, "_NET_ACTIVE_WINDOW") == [w])


def popup(act):
    """The override-redirect window that comes of it."""
    before = set(ours())
    act()
    new = until(lambda: [w for w in set(ours()) - before if x.attributes(ours()[w])[1] and place(w)[2] > 8])
    assert new, "nothing comes up"
    return new[0]


def gone(w):
    return until(lambda: w not in ours())


def session_starts():
    global q, edit, other, term, form, wm
    os.makedirs(SHOTS, exist_ok=True)
    wm = subprocess.Popen(["openbox", "--sm-disable"], env=dict(os.environ, DISPLAY=server.display, XAUTHORITY="/dev/null"), stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL)
    write(VM + "work", "label = green\ndisplay = %s\n" % server.display)
    eq(qubes("work").returncode, 0, "a qube")
    root = "/proc/%s/root" % state("work")["init_pid"]
    ok(until(lambda: os.path.exists(root + "/tmp/.X11-unix/X0"), 6 * LIMIT), "with an X server")
    q = until(lambda: X(0, root=root))
    ok(until(lambda: q.prop(q.root, "_NET_SUPPORTED"), 6 * LIMIT), "that gui-agent manages")
    in_qube("cat >/tmp/text", b"alpha beta gamma\n")
    in_qube("cat >/tmp/second", b"\n")
    edit = program("l3afpad /tmp/text")
    other = program("l3afpad /tmp/second")
    term = program("xterm -T terminal -e sh -c 'echo delta epsilon; exec cat'")
    for w, where in ((edit, (40, 60, 448, 308)), (other, (520, 60, 448, 308))):
        x.configure(ours()[w], x=where[0], y=where[1], width=where[2], height=where[3])
        ok(until(lambda: place(w)[2:] == (440, 300)), "its window has the size that Dom0 gave it", place(w))
    x.configure(ours()[term], x=40, y=440)
    for w, what in ((edit, "an editor"), (other, "another"), (term, "a terminal")):
        raised(w)
        good(w, what, 3 * LIMIT)
    shot("programs")


def menus():
    raised(edit)
    at(edit, 19, 13)
    m = popup(lambda: xdo("click", 1))
    ok(m, "File: a menu")
    good(m, "the menu")
    before = q.pixels(0, 0, *q.geometry(m)[2:], m)
    left, top, width, _ = place(m)
    xdo("mousemove", left + width // 2, top + 38)
    ok(until(lambda: q.pixels(0, 0, *q.geometry(m)[2:], m) != before), "an item under the pointer is marked")
    good(m, "with the mark")
    shot("menu")
    xdo("key", "Escape")
    ok(gone(m), "Escape: it goes")
    raised(term)
    at(term, 200, 100)
    m = popup(lambda: xdo("keydown", "ctrl", "mousedown", 1))
    ok(m, "the terminal's menu")
    good(m, "it")
    shot("terminal-menu")
    xdo("mouseup", 1, "keyup", "ctrl")
    ok(gone(m), "it goes")


def tooltips():
    global form
    form = program("yad --form --title=dialogue --width=300 --posx=600 --posy=500 --field=Name --field=Age --button='Go!!What it does:0'")
    x.configure(ours()[form], x=700, y=480)
    until(lambda: place(form)[:2] == q.place(form)[:2])
    raised(form)
    good(form, "a dialogue")
    _, _, width, height = place(form)
    at(form, width - 60, height - 24)
    t = popup(lambda: at(form, width - 50, height - 22))
    ok(t, "the pointer rests on a button: a tooltip")
    good(t, "the tooltip")
    ok(q.prop(t, "_NET_WM_WINDOW_TYPE") == [q.atom("_NET_WM_WINDOW_TYPE_TOOLTIP")], "of that type")
    shot("tooltip")
    xdo("mousemove", 5, 5)
    ok(gone(t), "the pointer leaves: it goes")


def moves():
    """By the title bar of Dom0's window manager; what is in it goes with it."""
    raised(edit)
    left, top, width, height = place(edit)
    content = x.pixels(left, top + 40, 200, 20)
    xdo("mousemove", left + 60, top - 15, "mousedown", 1)
    for i in range(1, 9):
        xdo("mousemove", left + 60 + 2 * i, top - 15 + 3 * i)
    ok(until(lambda: place(edit)[:2] == (left + 16, top + 24)), "dragged by its title", place(edit))
    ok(framed(edit), "framed while it is dragged")
    eq(x.pixels(left + 16, top + 64, 200, 20) == content, True, "its content goes with it")
    shot("move")
    xdo("mouseup", 1)
    ok(until(lambda: q.place(edit)[:2] == (left + 16, top + 24)), "and the qube knows where it is")
    good(edit, "moved")


def resizes():
    """By a corner, in steps; the frame is whole at each."""
    left, top, width, height = place(edit)
    xdo("mousemove", left + width + 3, top + height + 7, "mousedown", 1)
    bad = 0
    for i in range(1, 11):
        xdo("mousemove", left + width + 3 - 4 * i, top + height + 7 - 6 * i)
        bad += not framed(edit)
    ok(until(lambda: place(edit)[2:] == (width - 40, height - 60)), "dragged smaller by its corner", place(edit))
    eq(bad, 0, "its frame is unbroken at each of 10 steps")
    shot("resize")
    xdo("mouseup", 1)
    ok(until(lambda: q.geometry(edit)[2:] == (width - 40, height - 60)), "the program has that size")
    good(edit, "resized")


def drags():
    """A word from one program to another, and text that is marked by dragging."""
    raised(edit)
    at(edit, 150, 120)
    xdo("click", 1, "key", "ctrl+Home", "ctrl+shift+Right")
    ok(until(lambda: marked(edit)), "a word is marked")
    at(edit, 25, 38)
    xdo("mousedown", 1)
    to = place(other)
    here = place(edit)

    def pull():
        for i in range(1, 11):
            xdo("mousemove", here[0] + 25 + (to[0] + 100 - here[0] - 25) * i // 10, here[1] + 38 + (to[1] + 60 - here[1] - 38) * i // 10)
    icon = popup(pull)
    ok(icon, "dragged: what is dragged is seen")
    good(icon, "the icon at the pointer")
    one = place(icon)
    xdo("mousemove", to[0] + 130, to[1] + 80)
    ok(until(lambda: place(icon)[:2] == (one[0] + 30, one[1] + 20)), "it follows the pointer", (one, place(icon)))
    good(icon, "there")
    shot("drag")
    xdo("mouseup", 1)
    ok(gone(icon), "dropped: it goes")
    raised(other)
    xdo("key", "ctrl+s")
    # Twice, as without a qube.
    ok(until(lambda: "alpha" in in_qube("cat /tmp/second")), "the other program has the word", in_qube("cat /tmp/second"))
    good(other, "it")
    shot("dropped")
    raised(term)
    at(term, 2, 8)
    xdo("mousedown", 1)
    at(term, 15, 9)
    at(term, 32, 9)
    xdo("mouseup", 1)
    ok(until(lambda: len([v for v in sum(q.pixels(2, 4, 28, 9, term), []) if v == 0]) > 100), "text of the terminal is marked by dragging")
    good(term, "marked")
    raised(other)
    at(other, 150, 100)
    xdo("click", 2, "key", "ctrl+s")
    ok(until(lambda: "delta" in in_qube("cat /tmp/second")), "a middle click: it is in the editor", in_qube("cat /tmp/second"))
    shot("pasted")


def marked(w):
    """There is something that is neither dark nor light: a mark."""
    return any(v >> 16 & 0xff < 0x80 and v & 0xff > 0xb0 for r in q.pixels(0, 30, 100, 16, w) for v in r)


def full_screen():
    raised(term)
    xdo("key", "alt+Return")
    fills = lambda at: (at[0], at[2], at[1] + at[3]) == (0, WIDTH, HEIGHT)
    ok(until(lambda: fills(x.place(ours()[term]))), "full screen: all that the window manager has, in its frame", x.place(ours()[term]))
    good(term, "full screen")
    xdo("type", "over all of it")
    shot("full-screen")
    xdo("key", "alt+Return")
    ok(until(lambda: place(term)[2] < 600), "and back")
    good(term, "as it was")


def tray():
    """A small tray of Dom0's; a program of the qube docks an icon there."""
    bar = x.create(WIDTH - 200, 0, 200, 32, override=1, color=0x404040)
    x.map(bar)
    x.own("_NET_SYSTEM_TRAY_S0", bar)
    x.message(x.root, x.root, "MANAGER", [0, x.atom("_NET_SYSTEM_TRAY_S0"), bar], 1 << 17)
    ok(until(lambda: owner(q, "_NET_SYSTEM_TRAY_S0")), "the qube hears that there is one")
    png("/tmp/icon.png", [[0xff0000 if 6 < i < 18 and 6 < j < 18 else 0xffffff for i in range(24)] for j in range(24)])
    with open("/tmp/icon.png", "rb") as f:
        in_qube("cat >/tmp/icon.png", f.read())
    programs.append(subprocess.Popen(["qvm-run", "-q", "work", "exec yad --notification --image=/tmp/icon.png --text=hint --menu='One!true|Two!true' --command=true"],
                                     stdin=subprocess.DEVNULL))
    e = x.event(33, lambda e: struct.unpack("<I", e[8:12])[0] == x.atom("_NET_SYSTEM_TRAY_OPCODE"), 6 * LIMIT)
    f = struct.unpack("<5I", e[12:32])[2]
    x.reparent(f, bar, 4, 4)
    x.configure(f, width=24, height=24)
    x.map(f)
    x.message(f, f, "_XEMBED", [0, 0, 0, bar, 0])
    left = WIDTH - 200 + 4
    seen = lambda: {v for r in x.pixels(left, 4, 24, 24) for v in r}
    ok(until(lambda: len(seen()) > 1), "its icon is in the tray", seen())
    ok(until(lambda: all((v >> 8 & 0xff) >= max(v >> 16, v & 0xff) for v in seen()) and 0xff0000 not in seen()), "red of the icon is green there: its label's", ["%06x" % v for v in seen()])
    shot("tray")
    xdo("mousemove", left + 12, 16)
    m = popup(lambda: xdo("click", 3))
    ok(m, "a click on it: its menu")
    good(m, "the menu")
    shot("tray-menu")
    xdo("key", "Escape")
    ok(gone(m), "it goes")


def ends():
    raised(form)
    x.message(x.root, ours()[form], "_NET_CLOSE_WINDOW", [0, 2], 0x180000)
    ok(gone(form), "closed")
    for w, what in ((edit, "the editor"), (other, "the other"), (term, "the terminal")):
        raised(w)
        good(w, what + ", in the end")
    shot("in-the-end")
    print("# pictures: " + SHOTS)


try:
    rows([session_starts, menus, tooltips, moves, resizes, drags, full_screen, tray, ends])
finally:
    for p in programs:
        p.kill()
    sh("qvm-kill", "work")
    session.terminate()
    if wm:
        wm.kill()
    server.close()
done()
