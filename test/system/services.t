#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Dom0's services that stock agents call: what each does, called by a qube, and bad input of every kind, which changes
nothing. Named after bulletins: QSB-038 (names), QSB-087 (text of a qube's in the log)."""
import datetime, glob, os, stat, sys, threading
sys.path[0] += "/.."
from tap import *
in_house()

SVC = "/etc/qubes-rpc/qubes."
MENUS = "/var/lib/qubes/appmenus/"
EVIL = "\x1b]0;x\x07"


def by_hand(service, source, data=b"", *args):
    """As qrexec-dom0 starts it, as root; the status and what it said."""
    env = dict(os.environ, QREXEC_REMOTE_DOMAIN=source)
    p = subprocess.run([SVC + service, *args], input=data, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=HANGS)
    return p.returncode, p.stdout.decode(errors="replace")


def from_qube(service, qube, data=b"", target="dom0"):
    p = subprocess.run(["qvm-run", "-p", qube, "qrexec-client-vm %s qubes.%s" % (target, service)], input=data, stdout=subprocess.PIPE, timeout=HANGS)
    return p.returncode, p.stdout


def features(qube):
    return dict(re.findall(r"^feature\.(\S+) = ?(.*)$", read(VM + qube), re.M))


def ask(qube, **request):
    """As its agent would: what it had asked for before is forgotten."""
    sh("qubesdb-rm", "-d", qube, "/features-request/")
    for k, v in request.items():
        sh("qubesdb-write", "-d", qube, "/features-request/" + k, v)


# --- qubes.FeaturesRequest ---

def features_request():
    sh("qvm-run", "-p", "-u", "root", "solo", "qubesdb-write /features-request/qrexec 1 /features-request/os-version 12")
    eq(from_qube("FeaturesRequest", "solo"), (0, b""), "FeaturesRequest")
    eq(features("solo"), {"qrexec": "1", "os-version": "12"}, "what the qube has asked for")
    ask("solo", **{"qrexec": "0", "gui": "1", "gui-emulated": "0", "vmexec": "1", "qubes-firewall": "1", "os-version": "13",
                   "os-distribution": "Debian GNU=Linux, 13", "qubes-agent-version": "4.3", "supported-service.cups": "1",
                   "supported-service.clocksync": "1", "boot-mode.active": "default", "stubdom-qrexec": "1", "internal": "1",
                   "prohibit-start": "no", "servicevm": "1", "updates-available": "1"})
    eq(from_qube("FeaturesRequest", "solo"), (0, b""), "once more, with all that there is")
    eq(features("solo"), {"qrexec": "1", "gui": "1", "gui-emulated": "", "vmexec": "1", "qubes-firewall": "1", "os-version": "13",
                          "os-distribution": "Debian GNU=Linux, 13", "qubes-agent-version": "4.3", "supported-service.cups": "1",
                          "supported-service.clocksync": "1", "boot-mode.active": "default"},
       "those of spec/vm 7 only; qrexec stays as it is")
    st = os.stat(VM + "solo")
    eq((st.st_uid, stat.S_IMODE(st.st_mode)), (0, 0o644), "the file is as it was")
    ok("# a note\n" in read(VM + "solo"), "and so are its other lines")
    ask("solo", **{"vmexec": "0", "supported-service.cups": "1"})
    from_qube("FeaturesRequest", "solo")
    got = features("solo")
    eq((got.get("vmexec"), got.get("supported-service.cups"), got.get("supported-service.clocksync")), ("", "1", None),
       "vmexec may go; a service that is not supported any more goes")
    ask("app", qrexec="0", gui="1")
    eq(by_hand("FeaturesRequest", "app")[0], 1, "a qube with a template: refused")
    eq(features("app"), {}, "and nothing is taken")
    eq(features("tmpl"), {}, "nor of its template")


def of_another_owner():
    """A person's file stays that person's: or what may stand in it would grow."""
    os.chown(VM + "solo", 1234, people())
    before = features("solo")
    ask("solo", **{"os-version": "14", "supported-service.cups": "1"})
    eq(by_hand("FeaturesRequest", "solo")[0], 0, "of a file that is not root's")
    eq((os.stat(VM + "solo").st_uid, features("solo")["os-version"]), (1234, "14"), "it is taken, and the file is whose it was")
    os.chown(VM + "solo", 0, 0)
    eq(len(features("solo")), len(before), "nothing else has changed")


def people():
    return int(re.search(r"^qubes:[^:]*:(\d+)", read("/etc/group"), re.M)[1])


def beside_a_person():
    """A qube's wishes and a person's changes at the same time: none is lost."""
    ts = [threading.Thread(target=by_hand, args=("NotifyUpdates", "solo", b"%d" % i)) for i in range(1, 7)]
    ts += [threading.Thread(target=sh, args=("qvm-features", "solo", "person%d" % i, "1")) for i in range(6)]
    [t.start() for t in ts]
    [t.join() for t in ts]
    got = features("solo")
    eq([got.get("person%d" % i) for i in range(6)] + [got.get("updates-available")], ["1"] * 7, "a person's changes and a qube's wishes at once")
    ok("# a note\n" in read(VM + "solo") and not glob.glob(VM + ".*.new"), "and nothing is left lying about", os.listdir(VM))
    for i in range(6):
        sh("qvm-features", "--unset", "solo", "person%d" % i)
    sh("qvm-features", "--unset", "solo", "updates-available")


BAD_WISHES = [("qrexec", "2"), ("qrexec", ""), ("qrexec", "1 "), ("gui", "true"), ("os-version", "a;b"), ("os-version", "$(id)"),
              ("os-version", "a/b"), ("os-version", " a"), ("os-version", "a#b"), ("os-version", "x" * 64), ("os-version", "a\nmemory = 1"),
              ("os-version", "\x1b[2J"), ("os-version", "\xc3\xa9"), ("supported-service.a@b", "1"), ("supported-service.cups", "yes"),
              ("boot-mode.kernelopts.x", "a\tb"), ("os-a:b", "1"), ("os-a/b", "1")]


def bad_wishes():
    before = read(VM + "solo")
    for key, value in BAD_WISHES:
        ask("solo", **{key: value, "os-eol": "2030"})
        code, said = by_hand("FeaturesRequest", "solo")
        ok(code == 1 and read(VM + "solo") == before, "%s=%r: nothing is taken" % (key, value), "%s %s" % (code, said))
        ok(EVIL not in said and "\x1b" not in said and "a;b" not in said, "QSB-087: none of it is in what is logged", said)
    ask("solo", **{"os-n%d" % i: "x" for i in range(130)})
    eq(by_hand("FeaturesRequest", "solo")[0], 1, "130 features: refused")
    ask("solo", **{"os-n%d" % i: "x" * 60 for i in range(40)})
    code, said = by_hand("FeaturesRequest", "solo")
    ok(code == 0 and "no room" in said, "40 long ones: as many as there is room for", said)
    ok(len("".join("%s=%s " % f for f in features("solo").items())) <= 896, "and a person has room for more")
    lines = said.count("\n")
    ok(lines <= 12, "few lines of it in the log, which is not this qube's alone", lines)
    write(VM + "solo", before)
    for size in 3, 60:
        ask("solo", **{"os-n%d" % i: "x" * size for i in range(40)})
        code, said = by_hand("FeaturesRequest", "solo")
        ok(len("".join("%s=%s " % f for f in features("solo").items())) <= 896, "40 that grow to %d bytes: the same" % size, said)
    eq(sh("qubesdb-rm", "-d", "solo", "/features-request/")[0], 0, "cleared")
    write(VM + "solo", before)


SOURCES = ["", "dom0", "../solo", "$solo", "@solo", "so lo", "solo\n", "a" * 32, ".lock", "Domain-0", "defaults", "nobody"]


def sources():
    for service in "FeaturesRequest", "NotifyTools", "NotifyUpdates", "SyncAppMenus":
        for s in SOURCES:
            code, said = by_hand(service, s, b"1")
            ok(code in (1, 100), "QSB-038: %s of the source %r: refused" % (service, s), "%s %s" % (code, said))
        eq(by_hand(service, "solo", b"1", "argument")[0], 100, "%s with an argument: refused" % service)
        eq(from_qube(service + "+argument", "solo", b"1")[0], 100, "%s with an argument of a qube's: refused" % service)
    for service in "GetDate", "GetRandomizedTime":
        eq(by_hand(service, "solo", b"", "-s")[0], 100, "%s with an argument: refused" % service)
    eq(by_hand("GetRandomizedTime", "$solo")[0], 100, "GetRandomizedTime of no qube")
    eq([f for f in os.listdir(MENUS) if f not in ("solo", "tmpl")], [], "no directory was made for any of them")


# --- qubes.NotifyTools ---

def notify_tools():
    def tools(**kw):
        sh("qubesdb-rm", "-d", "tmpl", "/qubes-tools/")
        for k, v in kw.items():
            sh("qubesdb-write", "-d", "tmpl", "/qubes-tools/" + k, v)
        return by_hand("NotifyTools", "tmpl")[0]
    eq(tools(), 0, "NotifyTools: nothing said")
    eq(features("tmpl"), {}, "nothing taken")
    for kw in [{"version": "x"}, {"version": "1", "qrexec": "2"}, {"version": "1", "gui": "-1"}, {"version": "1;1"}, {"version": "1" * 10},
               {"version": "1", "qrexec": "1\n"}]:
        eq((tools(**kw), features("tmpl")), (1, {}), "NotifyTools %r: nothing is taken" % kw)
    sh("qubesdb-write", "-d", "tmpl", "/qubes-tools/version", "1", "/qubes-tools/qrexec", "1", "/qubes-tools/gui", "0",
       "/qubes-tools/default-user", "root", "/qubes-tools/os", "Windows")
    eq(from_qube("NotifyTools", "tmpl"), (0, b""), "NotifyTools")
    eq(features("tmpl"), {"qrexec": "1", "gui": ""}, "qrexec and gui, nothing else")
    eq(by_hand("NotifyTools", "app")[0], 1, "a qube with a template: refused")


# --- qubes.NotifyUpdates ---

BAD_COUNTS = [b"", b"\n", b" ", b"x", b"-1", b"+1", b"1.5", b"1 2", b"0x1", b"1\0", b"\0", b"1\0002", b"1234567890", b"1" * 64, b"1" * 100000,
              "١".encode(), b"1;reboot", b"\x1b[2J"]


def notify_updates():
    def available():
        return features("solo").get("updates-available")
    for data, want in [(b"3\n", "1"), (b"0", ""), (b" \n", ""), (b"000000012\r\n", "1"), (b"000000000\n", "")]:
        code = from_qube("NotifyUpdates", "solo", data)[0]
        if data.strip():
            eq((code, available()), (0, want), "NotifyUpdates %r" % data)
    for data in BAD_COUNTS:
        code, said = by_hand("NotifyUpdates", "solo", data)
        ok(code == 1 and available() == "" and "\x1b" not in said, "NotifyUpdates %r: refused" % data[:20], "%s %s" % (code, said))
    eq(by_hand("NotifyUpdates", "app", b"3")[0], 1, "for a template that runs: it speaks for itself")
    eq(sh("qvm-kill", "tmpl")[0], 0, "the template ends")
    until(lambda: not state("tmpl"))
    eq((by_hand("NotifyUpdates", "app", b"0")[0], features("tmpl").get("updates-available")), (0, None), "an AppVM with none says nothing")
    eq((by_hand("NotifyUpdates", "app", b"2")[0], features("tmpl").get("updates-available")), (0, "1"), "an AppVM with some: a hint for the template")
    eq(features("app"), {}, "and nothing of its own")
    by_hand("NotifyUpdates", "app", b"0")
    eq(features("tmpl").get("updates-available"), "1", "which it cannot take back")


# --- the time ---

def moment(text):
    assert re.fullmatch(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00\n", text), text
    return datetime.datetime.fromisoformat(text.decode().strip()).timestamp()


def dates():
    code, text = from_qube("GetDate", "solo", b"", "@default")
    ok(code == 0 and abs(moment(text) - time.time()) < 30 * SLOW, "GetDate", text)
    off = [moment(from_qube("GetRandomizedTime", "solo")[1]) - time.time() for _ in range(2)]
    ok(all(abs(o) <= 180 + 30 * SLOW for o in off), "GetRandomizedTime: within three minutes", off)
    ok(abs(off[0] - off[1]) < 10 * SLOW, "asked again it is wrong by as much: nothing to average", off)
    many = {round(moment(by_hand("GetRandomizedTime", "q%d" % i)[1].encode()) - time.time()) for i in range(20)}
    ok(len(many) > 10 and max(many) - min(many) > 60, "other qubes are wrong by other amounts", sorted(many))


# --- qubes.SyncAppMenus ---

GOOD = b"""/usr/share/applications/firefox-esr.desktop:Name=Firefox ESR
/usr/share/applications/firefox-esr.desktop:Exec=/bin/rm -rf / %U
/usr/share/applications/firefox-esr.desktop:TryExec=/bin/true
/usr/share/applications/firefox-esr.desktop:Icon=/etc/passwd
/usr/share/applications/firefox-esr.desktop:Name[de]=\x1b[2J
/usr/share/applications/firefox-esr.desktop:Categories=Network;WebBrowser
/usr/share/applications/firefox-esr.desktop:Comment=Browse 100% \\n of \xc3\xa9
/usr/share/applications/kde/org.kde.dolphin.desktop:Name=Dolphin
/usr/share/applications/kde/org.kde.dolphin.desktop:Actions=new;
xterm.desktop:Name=XTerm
xterm.desktop:GenericName=Terminal
hidden.desktop:Name=Hidden
hidden.desktop:NoDisplay=true
link.desktop:Name=Link
link.desktop:Type=Link
noname.desktop:Comment=nothing
"""
FIREFOX = """[Desktop Entry]
Version=1.0
Type=Application
Terminal=false
X-Qubes-VmName=solo
Exec=qvm-run -q -a --service -- solo qubes.StartApp+firefox-esr
Icon=appvm-green
Name=solo: Firefox ESR
Comment=Browse 100% \\\\n of é
Categories=Network;WebBrowser;X-Qubes-VM;
"""


def menus():
    return sorted(os.listdir(MENUS + "solo")) if os.path.isdir(MENUS + "solo") else []


def sync_app_menus():
    eq(from_qube("SyncAppMenus", "solo", GOOD), (0, b""), "SyncAppMenus")
    eq(menus(), ["firefox-esr.desktop", "kde-org.kde.dolphin.desktop", "xterm.desktop"], "those that are shown")
    eq(read(MENUS + "solo/firefox-esr.desktop"), FIREFOX, "key by key; what is run is ours")
    eq({os.stat(f).st_uid for f in glob.glob(MENUS + "solo/*")}, {1900000002}, "they are qubes-svc's")
    execs = {l for f in glob.glob(MENUS + "*/*") for l in read(f).splitlines() if l.startswith("Exec")}
    ok(all(re.fullmatch(r"Exec=qvm-run -q -a --service -- solo qubes\.StartApp\+[A-Za-z0-9_.-]+", l) for l in execs), "no Exec of the qube's", execs)
    eq(from_qube("SyncAppMenus", "solo", b"xterm.desktop:Name=Terminal")[0], 0, "SyncAppMenus again, without a last newline")
    eq((menus(), "Name=solo: Terminal\n" in read(MENUS + "solo/xterm.desktop")), (["xterm.desktop"], True), "what has gone goes")
    eq(by_hand("SyncAppMenus", "app", GOOD)[0], 1, "a qube with a template: refused")
    eq(os.path.exists(MENUS + "app"), False, "and has no place")


X = b"xterm.desktop:"
BAD_MENUS = [
    b"x", b":Name=x", b"xterm:Name=x", b".desktop:Name=x", b"../x.desktop:Name=x" + b"\n" + b"..desktop:Name=x", b"-x.desktop:Name=x", b"x y.desktop:Name=x",
    b"x;y.desktop:Name=x", b"x%y.desktop:Name=x", b"x+y.desktop:Name=x", b"$(id).desktop:Name=x", b"x\0.desktop:Name=x", b"a" * 101 + b".desktop:Name=x",
    b"\xc3\xa9.desktop:Name=x", X, X + b"Name", X + b"=x", X + b"Na\0me=x", X + b"Na\nme=x", X + b"Name=" + b"x" * 257, X + b"Name=\x1b[2J", X + b"Name=x\0y",
    X + b"Name=x\ry", X + b"Name=x\x7fy", X + b"Name=\xff\xfe", X + b"Name=\xc0\xaf", X + b"Name=\xed\xa0\x80", X + b"Name=\xe2\x80\xae.txt", X + b"Name=\xe2\x80\x8b",
    X + b"Name=\xef\xbb\xbfx", X + b"Name=\xc2\x85", X + b"Comment=\xe2\x81\xa6", X + b"Categories=a b", X + b"Categories=a\\nExec=b", X + b"K=" + b"x" * 1024,
    b"".join(b"x%d.desktop:Name=x\n" % i for i in range(513)), b"\n" * (1 << 20) + X + b"Name=x", b"x" * (2 << 20),
    b"/usr/share/applications/../../x y.desktop:Name=x", b"x.desktop.desktop/:Name=x", b"x.DESKTOP:Name=x",
]


def bad_menus():
    before = {f: read(MENUS + "solo/" + f) for f in menus()}
    for data in BAD_MENUS:
        code, said = by_hand("SyncAppMenus", "solo", b"good.desktop:Name=Good\n" + data)
        ok(code == 1 and {f: read(MENUS + "solo/" + f) for f in menus()} == before, "menu %r: nothing is taken" % data[:40], "%s %s" % (code, said))
        ok("\x1b" not in said and "Name" not in said, "QSB-087: none of it is in what is logged", said)
    eq(by_hand("SyncAppMenus", "solo", b"".join(b"x%d.desktop:Name=x\n" % i for i in range(512)))[0], 0, "512 are taken")
    eq(len(menus()), 512, "all of them")
    eq(by_hand("SyncAppMenus", "solo", b"")[0], 0, "none")
    eq(menus(), [], "and none are left")
    # A name like a path: its slashes become dashes, and it stays in its place.
    by_hand("SyncAppMenus", "solo", b"/a/applications/b/../../c.desktop:Name=x")
    eq(menus(), ["b-..-..-c.desktop"], "no way out of its directory")
    os.symlink("/etc", MENUS + "tmpl")
    code, said = by_hand("SyncAppMenus", "tmpl", b"x.desktop:Name=x")
    ok(code == 111 and not os.path.exists("/etc/x.desktop"), "a link in place of its directory is not followed", said)
    os.unlink(MENUS + "tmpl")
    # One that sends half a line and waits holds up nobody else, and is not waited for for ever.
    p = subprocess.Popen([SVC + "SyncAppMenus"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, env=dict(os.environ, QREXEC_REMOTE_DOMAIN="solo"))
    q = subprocess.Popen([SVC + "NotifyUpdates"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, env=dict(os.environ, QREXEC_REMOTE_DOMAIN="solo"))
    p.stdin.write(b"x.desk")
    p.stdin.flush()
    eq(by_hand("SyncAppMenus", "solo", b"y.desktop:Name=y")[0], 0, "beside one that sends half a line")
    eq((q.wait(60 * SLOW), p.wait(60 * SLOW)), (1, 1), "which is refused in the end, as one that sends no number")
    eq(menus(), ["y.desktop"], "nothing of it is there")
    ok(until(lambda: sh("pgrep", "-f", SVC + "NotifyUpdates")[0] == 1), "and no process of theirs stays", sh("pgrep", "-af", "qubes-rpc"))
    p.stdin.close()
    q.stdin.close()


# tmpl stands for a template: what counts is that it has none itself, and that app has one.
def full_disk():
    """No room for all: what is there is whole, and the next one finds its way."""
    by_hand("SyncAppMenus", "solo", b"")
    eq(sh("mount", "-t", "tmpfs", "-o", "size=16k", "none", MENUS + "solo")[0], 0, "a small disk")
    os.chown(MENUS + "solo", 1900000002, 1900000002)
    eq(by_hand("SyncAppMenus", "solo", b"".join(b"x%d.desktop:Name=x\n" % i for i in range(50)))[0], 111, "a full disk: it says so")
    got = [read(MENUS + "solo/" + f) for f in menus() if f != ".new"]
    ok(got and all(t.startswith("[Desktop Entry]\n") and t.endswith("X-Qubes-VM;\n") for t in got), "what is there is whole", len(got))
    eq(by_hand("SyncAppMenus", "solo", b"x0.desktop:Name=x\n")[0], 0, "fewer find room")
    eq(menus(), ["x0.desktop"], "and nothing else stays")
    sh("umount", MENUS + "solo")


write(VM + "solo", "label = green\n# a note\n")
write(VM + "tmpl", "label = black\ntemplate_for_dispvms = true\n")
write(VM + "app", "label = red\ntype = DispVM\ntemplate = tmpl\n")
print(qubes("solo", "tmpl").stderr, end="")
rows([features_request, of_another_owner, beside_a_person, bad_wishes, notify_tools, notify_updates, dates, sync_app_menus, bad_menus, full_disk, sources])
done()
