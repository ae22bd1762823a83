#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The Admin API, byte by byte (spec/cli 2, 3, 5): over the socket as a person, and over qrexec from a management qube with
a policy line and without; every exception; what is malformed, too long, half, or not read."""
import os, socket, sys, threading, time
sys.path[0] += "/.."
from tap import *
in_house()

SOCK = "/run/qubesd.sock"
MGMT, PEER = "mgmt", "peer"
MARKUP = "'/><kernel>/tmp/x</kernel><a b='\"&lt;&#10;%s$(id)`id`"
OPTS = "a\\b '/><kernel>/tmp/x</kernel><a b=\"c\">"


def raw(data, eof=True, limit=60):
    """All that comes back for these bytes."""
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(limit * SLOW)
    s.connect(SOCK)
    out = b""
    try:
        s.sendall(data)
        if eof:
            s.shutdown(socket.SHUT_WR)
    except BrokenPipeError:
        pass
    try:
        while got := s.recv(65536):
            out += got
    except ConnectionResetError:
        pass
    s.close()
    return out


def call(method, dest="dom0", arg=None, payload=b"", source="dom0"):
    return raw(b"%s %s name %s\0" % ((method + ("" if arg is None else "+" + arg)).encode(), source.encode(), dest.encode()) + payload)


def content(answer):
    assert answer[:2] == b"0\0", answer
    return answer[2:].decode()


def exception(answer):
    """Its name and text; the whole must be 2 NUL name NUL (no traceback) NUL text NUL."""
    parts = answer.split(b"\0")
    if len(parts) != 5 or parts[0] != b"2" or parts[2] or parts[4]:
        return "not an exception: %r" % answer, ""
    return parts[1].decode(), parts[3].decode()


def raises(answer, name, what, text=None):
    got = exception(answer)
    ok(got[0] == name and (text is None or got[1] == text), "%s: %s" % (what, name), repr(got))


def power(name):
    return kv(content(call("admin.vm.CurrentState", name)).replace(" ", "\n"))["power_state"]


def lists():
    got = content(call("admin.vm.List"))
    names = [l.split()[0] for l in got.splitlines()]
    eq(names[0], "dom0", "List: dom0 first")
    eq(names[1:], sorted(names[1:]), "List: sorted")
    like = [l for l in got.splitlines() if re.fullmatch(r"[\w.-]+ class=\w+ state=\w+ uuid=[0-9a-f-]{36}", l)]
    eq(len(like), len(names), "List: NAME class=C state=S uuid=U")
    ok("dom0 class=AdminVM state=Running uuid=00000000-0000-0000-0000-000000000000" in got.splitlines(), "List: dom0")
    ok(re.search("^%s class=AppVM state=Running uuid=" % MGMT, got, re.M), "List: %s" % MGMT, got)
    ok(re.search("^%s class=AppVM state=Halted uuid=" % PEER, got, re.M), "List: %s" % PEER, got)
    one = content(call("admin.vm.List", PEER))
    ok(re.fullmatch("%s class=AppVM state=Halted uuid=[0-9a-f-]{36}\n" % PEER, one), "List of one", one)
    write(VM + "broken", "lable = blue\n")
    ok("broken" not in content(call("admin.vm.List")), "List: a file with an error is left out")
    raises(call("admin.vm.CurrentState", "broken"), "QubesException", "a file with an error",
           "broken:1: unknown key lable (label is meant?)")
    os.unlink(VM + "broken")
    eq(content(call("admin.label.List")), "red\norange\nyellow\ngreen\ngray\nblue\npurple\nblack\n", "label.List")
    eq(content(call("admin.label.Get", arg="blue")), "0x3465a4", "label.Get")
    eq(content(call("admin.label.Index", arg="blue")), "6", "label.Index")
    ok("AppVM\n" in content(call("admin.vmclass.List")), "vmclass.List")


def states():
    eq(content(call("admin.vm.CurrentState", PEER)), "mem=0 mem_static_max=0 cputime=0 power_state=Halted", "CurrentState: halted")
    got = content(call("admin.vm.CurrentState", MGMT))
    ok(re.fullmatch(r"mem=(\d+) mem_static_max=\1 cputime=0 power_state=Running", got), "CurrentState: running", got)
    got = content(call("admin.vm.CurrentState"))
    ok(re.fullmatch(r"mem=[1-9]\d+ mem_static_max=\d+ cputime=0 power_state=Running", got), "CurrentState: dom0", got)


def properties():
    eq(content(call("admin.vm.property.Get", PEER, "label")), "default=False type=label green", "Get: label")
    eq(content(call("admin.vm.property.Get", PEER, "netvm")), "default=True type=vm sys-none", "Get: the netvm of the defaults")
    eq(content(call("admin.vm.property.Get", PEER, "memory")), "default=False type=int 123", "Get: an int of its own")
    eq(content(call("admin.vm.property.Get", PEER, "maxmem")), "default=True type=int 0", "Get: an int by default")
    eq(content(call("admin.vm.property.Get", PEER, "autostart")), "default=True type=bool False", "Get: a bool")
    eq(content(call("admin.vm.property.Get", PEER, "kernelopts")), "default=False type=str " + OPTS, "Get: not escaped")
    eq(content(call("admin.vm.property.Get", PEER, "xid")), "default=False type=int -1", "Get: xid of a halted one")
    eq(content(call("admin.vm.property.Get", MGMT, "xid")), "default=False type=int " + state(MGMT)["domid"], "Get: xid of a running one")
    eq(content(call("admin.vm.property.Get", "dom0", "klass")), "default=False type=str AdminVM", "Get: dom0's class")
    all_ = content(call("admin.vm.property.GetAll", PEER))
    names = content(call("admin.vm.property.List", PEER)).splitlines()
    eq([l.split()[0] for l in all_.splitlines()], names, "GetAll: those of List, in its order")
    ok(all(re.fullmatch(r"\w+ default=(True|False) type=(str|int|bool|vm|label) .*", l) for l in all_.splitlines()),
       "GetAll: PROP default=B type=T VALUE", all_)
    ok("\nkernelopts default=False type=str %s\n" % OPTS.replace("\\", "\\\\") in all_, "GetAll: \\ is escaped", all_)
    for n in names:
        a = content(call("admin.vm.property.Get", PEER, n)).replace("\\", "\\\\")
        if "%s %s\n" % (n, a) not in all_:
            ok(False, "Get and GetAll agree on %s" % n, a)
    ok("template_for_dispvms" in names and "relayvm" not in names, "List: those of its class")
    eq(content(call("admin.vm.property.GetDefault", PEER, "maxmem")), "type=int 0", "GetDefault")
    eq(content(call("admin.vm.property.GetDefault", PEER, "label")), "", "GetDefault: there is none")
    eq(content(call("admin.property.Get", arg="default_netvm")), "default=False type=vm sys-none", "the machine: Get")
    eq(content(call("admin.property.Get", arg="clockvm")), "default=True type=vm ", "the machine: Get, by default")
    ok("default_netvm default=False type=vm sys-none\n" in content(call("admin.property.GetAll")), "the machine: GetAll")
    ok("default_template\n" in content(call("admin.property.List")), "the machine: List")


def features():
    eq(content(call("admin.vm.feature.List", PEER)), "vmexec\nservice.cups\nvm-config.odd\n", "feature.List")
    eq(content(call("admin.vm.feature.Get", PEER, "vmexec")), "1", "feature.Get")
    eq(content(call("admin.vm.feature.Get", PEER, "service.cups")), "", "feature.Get: empty")
    eq(content(call("admin.vm.feature.CheckWithTemplate", "child", "os")), "Linux", "CheckWithTemplate: the template's")
    eq(content(call("admin.vm.feature.CheckWithTemplate", "child", "vmexec")), "0", "CheckWithTemplate: its own first")
    raises(call("admin.vm.feature.Get", "child", "os"), "QubesFeatureNotFoundError", "feature.Get: not the template's")
    raises(call("admin.vm.feature.CheckWithTemplate", PEER, "os"), "QubesFeatureNotFoundError", "CheckWithTemplate",
           "Feature not set for domain peer: 'os'")
    eq(content(call("admin.vm.feature.CheckWithAdminVM", PEER, "vmexec")), "1", "CheckWithAdminVM")
    raises(call("admin.vm.feature.CheckWithTemplateAndAdminVM", PEER, "os"), "QubesFeatureNotFoundError", "CheckWithTemplateAndAdminVM")
    raises(call("admin.vm.feature.CheckWithNetvm", PEER, "os"), "QubesFeatureNotFoundError", "CheckWithNetvm")
    eq(content(call("admin.vm.tag.List", PEER)), "one\ntwo\n", "tag.List")
    eq(content(call("admin.vm.tag.Get", PEER, "two")) + content(call("admin.vm.tag.Get", PEER, "thr")), "10", "tag.Get")


def of(qube, prop="management_dispvm"):
    """By wire and by command: what a property is."""
    api = content(call("admin.vm.property.Get", qube, prop))
    m = re.fullmatch("default=(True|False) type=vm (.*)", api)
    said = sh("qvm-prefs", qube, prop)
    return m[2] if m and said == (0, m[2] or "None") else (api, said)


def qsb_045():
    """What manages qubes is its own template of disposables, never the one of daily use."""
    write(VM + "daily", "label = red\ntemplate_for_dispvms = true\n")
    write(VM + "mgmt-dvm", "label = black\ntemplate_for_dispvms = true\nnetvm =\n")
    write(VM + "mgmt-two", "label = black\ntemplate_for_dispvms = true\nnetvm =\n")
    every = "tmpl", "child", PEER
    eq([of(q) for q in every], [""] * 3, "QSB-045: management_dispvm: there is none")
    eq(sh("qubes-prefs", "default_dispvm", "daily")[0], 0, "with a default_dispvm")
    eq([of(q, "default_dispvm") for q in every], ["daily"] * 3, "which qubes have")
    eq([of(q) for q in every], [""] * 3, "QSB-045: there is none all the same")
    eq((content(call("admin.property.Get", arg="management_dispvm")), sh("qubes-prefs", "management_dispvm")),
       ("default=True type=vm ", (0, "None")), "QSB-045: nor has the machine one")
    eq(sh("qubes-prefs", "management_dispvm", "mgmt-dvm")[0], 0, "the machine's is set")
    eq(content(call("admin.property.Get", arg="management_dispvm")), "default=False type=vm mgmt-dvm", "QSB-045: and told")
    eq([of(q) for q in every], ["mgmt-dvm"] * 3, "QSB-045: every qube has it")
    eq(sh("qvm-prefs", "tmpl", "management_dispvm", "mgmt-two")[0], 0, "a template's is set")
    eq([of(q) for q in every], ["mgmt-two", "mgmt-two", "mgmt-dvm"], "QSB-045: its qubes have that, others the machine's")
    eq(content(call("admin.vm.property.Get", "child", "management_dispvm")), "default=True type=vm mgmt-two", "QSB-045: inherited")
    ok("\nmanagement_dispvm default=True type=vm mgmt-two\n" in content(call("admin.vm.property.GetAll", "child")), "QSB-045: GetAll")
    eq(sh("qvm-prefs", "child", "management_dispvm", "mgmt-dvm")[0], 0, "a qube's own is set")
    eq(content(call("admin.vm.property.Get", "child", "management_dispvm")), "default=False type=vm mgmt-dvm", "QSB-045: its own comes first")
    sh("qvm-prefs", "child", "management_dispvm", "none")
    eq(of("child"), "", "QSB-045: none of its own is none")
    eq(sh("qvm-prefs", "child", "management_dispvm", MGMT)[0], 1, "a qube that is no template of disposables: refused")
    code, said = sh("qvm-prefs", "mgmt-two", "template_for_dispvms", "false")
    ok(code == 1 and "management_dispvm of tmpl" in said, "what manages qubes stays a template of disposables", said)
    sh("qvm-prefs", "-D", "child", "management_dispvm")
    sh("qvm-prefs", "-D", "tmpl", "management_dispvm")
    eq([of(q) for q in every], ["mgmt-dvm"] * 3, "QSB-045: reset: the machine's again")
    sh("qubes-prefs", "-D", "management_dispvm")
    eq([of(q) for q in every], [""] * 3, "QSB-045: reset, too: none, not the default_dispvm")
    sh("qubes-prefs", "-D", "default_dispvm")
    for n in "daily", "mgmt-dvm", "mgmt-two":
        os.unlink(VM + n)


def everything():
    """All properties and features of the qube, by wire, and of others, and of the machine, as they stand in their files."""
    got = {(PEER, l.split(" ", 1)[0]): l.split(" ", 1)[1] for l in content(call("admin.vm.property.GetAll", PEER)).split("\n")[:-1]}
    for f in content(call("admin.vm.feature.List", PEER)).split("\n")[:-1]:
        got[PEER, "feature." + f] = call("admin.vm.feature.Get", PEER, f)[2:]
    got[PEER, "tags"] = content(call("admin.vm.tag.List", PEER))
    return got | files(but=PEER)


def files(but=""):
    return {f: read(VM + f) for f in os.listdir(VM) if f not in (but, ".lock")}


# With LESS only the first few of each.
TEXTS = [MARKUP, "x\nnetvm = net", "x\rnetvm = net", "a # comment", "\x9b2J", "x" * 1100, '"', "two\nlines", "x\n[other]\nlabel = red", "x\r\nnetvm = net", "tab\tnetvm = net",
         "a\t# comment", "# comment", "#", "a#b", " before", "after ", "\tbefore", "after\t", "back\\nnetvm = net", "a=b = c",
         "netvm = net", "%n%s%100000d", "x" * 512, "x" * 513, "x" * 5000, "x" * 70000, "\u00e9\u4e16\U0001f600", "\u2028netvm = net",
         "\x85netvm = net", "\udcff\udcfe", "\x1b]0;x\x07", "\x7f", "", "\0", "-D", "--unset", "../../etc/passwd", "10.0.0.1'/><ip/>"]
PROPS = "kernelopts", "timezone", "ip", "keyboard_layout", "kernel", "default_user", "mac", "netvm", "label", "memory", "virt_mode"
FEATURES = ("video-model", "net.fake-ip", "vm-config.x", "timezone", "audio-model", "net.fake-gateway", "net.fake-netmask", "custom-persist.x", "service.x",
            "os", "gui-videoram-min")
NAMES = ["a=b", "a b", "a\nnetvm", "a\nnetvm = net\n", "a\r", "a\tb", "a'/><x y='", 'a"', "", "../x", "a/b", "a#b", "#a", " a", "a ", "x" * 64, "\u00e9",
         "\x1b[2J", "a%n", "service.", "service.-a", "vm-config.", "vm-config.1a", "vm-config." + "x" * 53, "custom-persist.", "x" * 5000]


def only(key, before, now):
    """What has changed besides this key."""
    return {k for k in before.keys() | now.keys() if before.get(k) != now.get(k) and k != (PEER, key)}


def arg(text):
    """Its bytes; a byte that is no UTF-8 is written \\udcXX."""
    return text.encode(errors="surrogateescape")


def one_change(key, value, argv, all_, before):
    """What is wrong after it; taken, or refused."""
    try:
        p = subprocess.run(argv, capture_output=True, timeout=HANGS)
    except ValueError:  # a NUL cannot be an argument
        return "refused", None
    if re.search(rb"[^\n\x20-\x7e]", p.stdout + p.stderr):
        return "bytes of it reach the terminal", p.stderr
    if p.returncode:
        if files() != all_:
            return "refused, but something has changed", files()
        return ("refused", None) if p.returncode in (1, 2) and p.stderr else ("refused without a word", p)
    now = everything()
    if only(key, before, now):
        return "something else has changed", only(key, before, now)
    if key.startswith("feature."):
        got, want = now.get((PEER, key)), value
    elif (PEER, key) in before:
        got, want = now[PEER, key], "default=False type=%s %s" % (before[PEER, key].split()[1][5:], value.decode().replace("\\", "\\\\"))
    else:  # no property by wire
        got, want = sh("qvm-prefs", PEER, key), (0, value.decode())
    return ("taken", None) if got == want and sh("qvm-check", "-q", PEER) == (0, "") else ("another value", (got, want))


def qsb_066():
    """Values that would be markup, or lines, elsewhere: refused, or exactly that key's value, and nothing else changes."""
    file, all_, before = read(VM + PEER), files(), everything()
    texts, names, props, feats = [l[:n if LESS > 1 else None] for l, n in [(TEXTS, 6), (NAMES, 6), (PROPS, 3), (FEATURES, 3)]]
    taken = {}
    for key in props + tuple("feature." + f for f in feats):
        bad = []
        tool = ["qvm-features"] if key.startswith("feature.") else ["qvm-prefs"]
        for v in [arg(t) for t in texts]:
            write(VM + PEER, file)
            what, why = one_change(key, v, tool + ["--", PEER, key.removeprefix("feature."), v], all_, before)
            taken.setdefault(key, []).extend([v] if what == "taken" else [])
            if what not in ("taken", "refused"):
                bad.append((what, v[:60], why))
        ok(not bad, "QSB-066: %s: each of %d values is refused, or its and nothing else's" % (key, len(texts)), "\n".join(map(repr, bad)))
    write(VM + PEER, file)
    ok(MARKUP.encode() in taken["kernelopts"] and MARKUP.encode() in taken["feature.video-model"], "QSB-066: markup is text like any other", taken)
    eq({k: [v for v in taken[k] if MARKUP.encode() in v or b"\n" in v or b"'" in v] for k in props[1:]}, {k: [] for k in props[1:]},
       "QSB-066: but in no property that has a form of its own")
    bad = []
    for n in [arg(t) for t in names]:
        for value in b"1", b"x\nnetvm = net":
            what, why = one_change("", value, ["qvm-features", "--", PEER, n, value], all_, before)
            bad += [(what, n[:60], why)] if what != "refused" else []
            write(VM + PEER, file)
    ok(not bad, "QSB-066: a feature's name of %d kinds: refused" % len(names), "\n".join(map(repr, bad)))
    write(VM + PEER, file + "feature.x = a=b\n")
    eq(sh("qvm-features", PEER, "x=a"), (1, ""), "QSB-066: a value is no part of a name")
    write(VM + PEER, file)
    # By wire: nothing is set, whatever it is.
    bad = []
    for m, keys in ("property.Set", PROPS), ("property.Reset", PROPS), ("feature.Set", FEATURES), ("feature.Remove", FEATURES):
        for n in keys:
            for t in texts if n in ("kernelopts", "video-model") else [MARKUP]:
                got = call("admin.vm." + m, PEER, n, arg(t))
                # Who sends more than is read may lose the answer.
                bad += [(m, n, t[:60], got)] if exception(got)[0] != "ProtocolError" and (got or len(t) < 65000) else []
    for t in texts:
        if t:
            got = raw(b"admin.vm.feature.Get+" + arg(t) + b" mgmt name peer\0")
            bad += [(t[:60], got)] if exception(got)[0] not in ("ProtocolError", "QubesFeatureNotFoundError") and (got or len(t) < 65000) else []
    ok(not bad, "QSB-066: by wire nothing is set, and such a name is refused", "\n".join(map(repr, bad)))
    eq((read(VM + PEER), everything()), (file, before), "QSB-066: all is as it was")


def exceptions():
    raises(call("admin.vm.CurrentState", "nobody"), "QubesVMNotFoundError", "an unknown qube", "No such domain: 'nobody'")
    raises(call("admin.vm.List", "defaults"), "QubesVMNotFoundError", "defaults is no qube")
    raises(call("admin.vm.property.Get", PEER, "nosuch"), "QubesNoSuchPropertyError", "an unknown property",
           "Invalid property 'nosuch' of peer")
    raises(call("admin.property.Get", arg="nosuch"), "QubesNoSuchPropertyError", "an unknown property of the machine")
    raises(call("admin.label.Get", arg="pink"), "QubesLabelNotFoundError", "an unknown label")
    raises(call("admin.vm.Start", MGMT), "QubesVMNotHaltedError", "Start of a running one", "Domain is not powered off: 'mgmt'")
    for m in "Shutdown", "Kill":
        raises(call("admin.vm." + m, PEER), "QubesVMNotStartedError", m + " of a halted one", "Domain is powered off: 'peer'")
    raises(call("admin.vm.Pause", PEER), "QubesVMNotRunningError", "Pause of a halted one")
    raises(call("admin.vm.Unpause", MGMT), "QubesVMNotPausedError", "Unpause of a running one")
    write(VM + "nokernel", "label = red\ntemplate = nosuchtemplate\n")
    got = exception(call("admin.vm.Start", "nokernel"))
    ok(got[0] in ("QubesException", "QubesVMError") and got[1], "Start of one that cannot: with the reason", repr(got))
    os.unlink(VM + "nokernel")


HEAD = b"admin.vm.List+ dom0 name dom0\0"
BAD = [
    (b"", "nothing"), (b"\0", "an empty head"), (HEAD[:-1], "no NUL"), (b"admin.vm.List dom0\0", "two words"),
    (b"admin.vm.List dom0 name\0", "three words"), (b"admin.vm.List dom0 name dom0 x\0", "five words"),
    (b"admin.vm.List  dom0 name dom0\0", "two blanks"), (b" dom0 name dom0\0", "no method"), (b"+x dom0 name dom0\0", "an argument alone"),
    (b"admin.vm.List dom0 name ../x\0", "a path as qube"), (b"admin.vm.List dom0 name .lock\0", "a hidden file as qube"),
    (b"admin.vm.List dom0 name \0", "no qube"), (b"admin.vm.List dom0 name %s\0" % (b"a" * 32), "a qube's name of 32"),
    (b"admin.vm.List dom0 keyword dispvm\0", "another keyword"), (b"admin.vm.List dom0 uuid dom0\0", "another type"),
    (b"admin.vm.List ../x name dom0\0", "a path as source"), (b"admin/vm dom0 name dom0\0", "a slash in the method"),
    (b"admin.vm.property.Get+a/b dom0 name dom0\0", "a slash in the argument"), (b"admin.vm.List+\xff dom0 name dom0\0", "a byte over 127"),
    (b"admin.vm.List+%n dom0 name dom0\0", "a percent"), (b"a" * 64 + b" dom0 name dom0\0", "a method of 64"),
    (b"admin.vm.List+%s dom0 name dom0\0" % (b"a" * 128), "an argument of 128"), (b"x" * 400 + HEAD, "a head of 430"),
    (HEAD + b"x", "a payload that nobody takes"), (b"admin.vm.List+x dom0 name dom0\0", "an argument that nobody takes"),
    (b"admin.vm.property.Get+ dom0 name dom0\0", "no argument where one is needed"), (b"admin.vm.Nosuch dom0 name dom0\0", "an unknown method"),
    (b"admin.vm.Remove dom0 name peer\0", "a method that is not served"), (b"admin.property.List dom0 name peer\0", "the machine's on a qube"),
    (b"admin.vm.Start dom0 name dom0\0", "Start of dom0"), (b"admin.vm.Kill dom0 keyword adminvm\0", "Kill of dom0"),
    (b"admin.vm.Shutdown+now dom0 name mgmt\0", "Shutdown+now"), (b"x" * 65537, "65,537 bytes"),
    (HEAD + b"x" * 65536, "65,536 bytes of payload"), (HEAD + b"x" * 200000, "200,000 bytes"),
]


def malformed():
    for data, what in BAD:
        got = raw(data)
        # Who goes on sending is hung up on, and may lose the answer.
        ok(exception(got)[0] == "ProtocolError" or (len(data) > 65536 and not got), "%s: ProtocolError" % what, repr(got[:200]))
    eq(content(raw(b"admin.vm.List mgmt keyword adminvm\0"))[:5], "dom0 ", "the keyword adminvm is dom0")
    raises(raw(HEAD + b"x" * (65536 - len(HEAD))), "ProtocolError", "65,536 bytes are read", "admin.vm.List: the method takes no payload")


def limits():
    s = socket.socket(socket.AF_UNIX)
    s.connect(SOCK)
    s.sendall(HEAD[:10])
    s.settimeout(30 * SLOW)
    t = time.monotonic()
    raises(s.recv(4096), "ProtocolError", "half a request", "not whole after 10 s")
    ok(9 < time.monotonic() - t < 10 + 15 * SLOW, "after 10 s", time.monotonic() - t)
    s.close()
    s = socket.socket(socket.AF_UNIX)
    s.connect(SOCK)
    s.close()
    held = []
    since_ = since("adminapid")
    for _ in range(256):
        s = socket.socket(socket.AF_UNIX)
        s.connect(SOCK)
        held.append(s)
    ok(until(lambda: raw(HEAD) == b""), "the 257th is turned away with nothing")
    ok(since_.says("256 connections already"), "and it is logged")
    for s in held:
        s.close()
    ok(until(lambda: raw(HEAD)[:2] == b"0\0"), "and when they have gone there is room")
    many = few(4000)
    for i in range(many):
        write(VM + "many%d" % i, "label = red\n")
    s = socket.socket(socket.AF_UNIX)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.connect(SOCK)
    s.sendall(HEAD)
    s.shutdown(socket.SHUT_WR)
    if many == 4000:
        since_ = since("adminapid")
        eq(raw(HEAD)[:2], b"0\0", "one that does not read keeps nobody else waiting")
        ok(since_.says("was not read in 10 s", 30 * SLOW), "and is closed after 10 s")
    s.close()
    eq(content(raw(HEAD)).count("\n") >= many, True, "a long list is whole")
    for i in range(many):
        os.unlink(VM + "many%d" % i)


def strangers():
    """The socket's mode keeps them out, and so does the daemon."""
    def ask_as_nobody(*groups):
        r, w = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.setgroups(groups)
                os.setgid(65534)
                os.setuid(65534)
                os.write(w, b"answer: " + raw(HEAD)[:20])
            except PermissionError:
                os.write(w, b"not let in")
            finally:
                os._exit(0)
        os.close(w)
        os.waitpid(pid, 0)
        return os.read(r, 100)
    eq(ask_as_nobody(), b"not let in", "neither root nor of group qubes: no way to connect")
    people = int(re.search(r"^qubes:[^:]*:(\d+)", read("/etc/group"), re.M)[1])
    ok(ask_as_nobody(people).startswith(b"answer: 0\0dom0 "), "of group qubes: let in")
    os.chmod(SOCK, 0o666)
    eq(ask_as_nobody(), b"answer: ", "and if there were one: no answer")
    os.chmod(SOCK, 0o660)


def life():
    eq(call("admin.vm.Start", PEER), b"0\0", "Start")
    eq(power(PEER), "Running", "it runs")
    eq(sh("qubesdb-read", "-d", PEER, "/vm-config/odd"), (0, MARKUP), "QSB-066: markup in a feature is a value of its QubesDB")
    if XEN:
        code, said = sh("qvm-run", "-p", PEER, "cat /proc/cmdline")
        ok(said.count(" %s " % OPTS) == 1, "QSB-066: and in kernelopts it is on its kernel's command line", said)
    eq(call("admin.vm.Pause", PEER), b"0\0", "Pause")
    eq(power(PEER), "Paused", "it is paused")
    raises(call("admin.vm.Start", PEER), "QubesVMNotHaltedError", "Start of a paused one")
    raises(call("admin.vm.Pause", PEER), "QubesVMNotRunningError", "Pause of a paused one")
    eq(call("admin.vm.Unpause", PEER), b"0\0", "Unpause")
    eq(power(PEER), "Running", "it runs again")
    eq(sh("qvm-run", "-p", PEER, "echo", "alive"), (0, "alive"), "and answers")
    eq(call("admin.vm.Shutdown", PEER, "wait"), b"0\0", "Shutdown+wait")
    eq(power(PEER), "Halted", "it is halted")
    eq(call("admin.vm.Start", PEER), b"0\0", "Start once more")
    eq(call("admin.vm.Kill", PEER), b"0\0", "Kill")
    ok(until(lambda: power(PEER) == "Halted"), "it is gone", power(PEER))
    # Two at once share one start.
    got = [None, None]
    def one(i):
        got[i] = call("admin.vm.Start", PEER)
    ts = [threading.Thread(target=one, args=(i,)) for i in range(2)]
    [t.start() for t in ts]
    [t.join() for t in ts]
    ok(b"0\0" in got and all(g == b"0\0" or exception(g)[0] == "QubesVMNotHaltedError" for g in got), "two starts at once", got)
    eq(call("admin.vm.Shutdown", PEER), b"0\0", "Shutdown")
    ok(until(lambda: power(PEER) == "Halted", 70 * SLOW), "it is halted in the end", power(PEER))


def in_use():
    """A netvm in use is not shut down, unless with force."""
    write(VM + "net", "label = red\nprovides_network = true\n")
    write(VM + "client", "label = red\nnetvm = net\n")
    eq(call("admin.vm.Start", "client"), b"0\0", "a client starts its netvm")
    for arg in None, "wait":
        raises(call("admin.vm.Shutdown", "net", arg), "QubesVMInUseError", "Shutdown of a netvm in use", "Domain is in use: 'net', by 'client'")
    eq(power("net"), "Running", "it runs")
    eq(call("admin.vm.Shutdown", "net", "force+wait"), b"0\0", "with force")
    eq(power("net"), "Halted", "it is halted")
    call("admin.vm.Kill", "client")
    for n in "net", "client":
        until(lambda: power(n) == "Halted")
        os.unlink(VM + n)


def from_mgmt(method, dest, payload=""):
    """The management qube's client: status, and what came."""
    p = subprocess.run(["qvm-run", "-p", MGMT, "printf '%s' '%s' | qrexec-client-vm %s %s" % (payload and "%s" or "", payload, dest, method)],
                       capture_output=True, timeout=HANGS)
    return p.returncode, p.stdout


def denied():
    """What the policy that is shipped says of each service that there is."""
    served = [f for f in sorted(os.listdir("/etc/qubes-rpc")) if f.startswith("admin.")]
    ok(len(served) > 25, "each method is a service", served)
    said = {s: [sh("qrexec-policy", "eval", "--source", MGMT, "--target", t, "--service", s)[1].split("\n")[0] for t in ("dom0", PEER)] for s in served}
    eq({s: a for s, a in said.items() if a != ["deny", "deny"]}, {}, "and denied, on dom0 and on a qube")


def include():
    """The files that a person of stock habits writes to."""
    file = "/etc/qubes/policy.d/include/admin-local-ro"
    was = read(file)
    write(file, was + "%s %s allow target=dom0\n" % (MGMT, PEER))
    eq(from_mgmt("admin.vm.property.Get+label", PEER), (0, b"0\0default=False type=label green"), "a line in include/admin-local-ro: property.Get")
    eq(from_mgmt("admin.vm.Start", PEER), (126, b""), "but not Start")
    write(file, was)
    eq(from_mgmt("admin.vm.property.Get+label", PEER), (126, b""), "without it: denied")


def over_qrexec():
    denied()
    code, got = from_mgmt("admin.vm.List", "dom0")
    eq((code, got), (126, b""), "without a policy line: denied")
    eq(from_mgmt("admin.vm.List", "@adminvm"), (126, b""), "called by @adminvm: denied")
    eq(from_mgmt("admin.vm.Start", PEER), (126, b""), "Start without a policy line: denied")
    eq(power(PEER), "Halted", "and nothing starts")
    policy("admin.vm.List * %s dom0 allow\nadmin.vm.List * %s @anyvm allow target=dom0\n" % (MGMT, MGMT)
           + "".join("admin.vm.%s * %s %s allow target=dom0\n" % (m, MGMT, PEER) for m in
                     ("CurrentState", "Start", "Shutdown", "Kill", "property.Get", "property.GetAll", "feature.CheckWithTemplate"))
           + "admin.property.Get * %s dom0 allow\nadmin.vm.Remove * %s %s allow target=dom0\n" % (MGMT, MGMT, PEER)
           + "admin.vm.property.Set * %s %s allow target=dom0\nadmin.vm.feature.Set * %s %s allow target=dom0\n" % (MGMT, PEER, MGMT, PEER))
    code, got = from_mgmt("admin.vm.List", "dom0")
    eq(code, 0, "List of dom0")
    ok(got.startswith(b"0\0dom0 class=AdminVM") and b"\npeer class=AppVM state=Halted" in got, "its list", got)
    eq(from_mgmt("admin.vm.List", "@adminvm"), (0, got), "called by @adminvm: the same")
    ok(from_mgmt("admin.vm.List", PEER)[1].startswith(b"0\0peer class=AppVM"), "List of one: the target of the call is the object")
    eq(from_mgmt("admin.vm.property.Get+label", PEER), (0, b"0\0default=False type=label green"), "property.Get")
    raises(from_mgmt("admin.vm.property.Get+nosuch", PEER)[1], "QubesNoSuchPropertyError", "an exception")
    raises(from_mgmt("admin.vm.List", PEER, "x")[1], "ProtocolError", "a payload")
    eq(from_mgmt("admin.property.Get+default_netvm", "dom0"), (0, b"0\0default=True type=vm "), "admin.property.Get")
    log = since("adminapid")
    eq(from_mgmt("admin.vm.Start", PEER), (0, b"0\0"), "Start")
    ok(log.says("mgmt: admin.vm.Start peer"), "it is logged who asked", log.text())
    ok(b"power_state=Running" in from_mgmt("admin.vm.CurrentState", PEER)[1], "CurrentState: running")
    raises(from_mgmt("admin.vm.Start", PEER)[1], "QubesVMNotHaltedError", "Start of a running one")
    eq(from_mgmt("admin.vm.Shutdown+wait", PEER), (0, b"0\0"), "Shutdown+wait")
    ok(b"power_state=Halted" in from_mgmt("admin.vm.CurrentState", PEER)[1], "CurrentState: halted")
    eq(from_mgmt("admin.vm.Start", MGMT), (126, b""), "on another qube: denied")
    eq(from_mgmt("admin.vm.Remove", PEER)[1], b"", "a method that is not served is no service")
    file = read(VM + PEER)
    for m in "admin.vm.property.Set+kernelopts", "admin.vm.feature.Set+video-model":
        eq((from_mgmt(m, PEER, "x<a>")[1], read(VM + PEER)), (b"", file), "QSB-066: nor is %s, even if policy allows it" % m)
    eq(from_mgmt("admin.vm.Kill", "nobody")[0], 126, "an unknown qube: denied")
    policy("")
    include()


def restart():
    """startd away, and back; adminapid killed, and back."""
    os.rename(RUN + "/s/start.sock", RUN + "/s/away")
    raises(call("admin.vm.Start", PEER), "QubesException", "startd is not there", "startd cannot be reached")
    ok(call("admin.vm.List")[:2] == b"0\0", "which is needed for nothing else")
    s = socket.socket(socket.AF_UNIX)
    s.bind(RUN + "/s/start.sock")
    os.chmod(RUN + "/s/start.sock", 0o666)
    s.listen()
    for said, name, text in [(b"", "QubesVMError", "no answer from startd"), (b"nonsense\n\n", "QubesVMError", "no answer from startd"),
                             (b"result=refused\nreason=100%s full\ncode=1\n\n", "QubesVMError", "100%%s full"), (b"x" * 9000, "QubesVMError", "no answer from startd")]:
        c = socket.socket(socket.AF_UNIX)
        c.connect(SOCK)
        c.sendall(b"admin.vm.Start+ mgmt name peer\0")
        c.shutdown(socket.SHUT_WR)
        d = s.accept()[0]
        got = b""
        while b"\n\n" not in got:
            got += d.recv(512)
        if not said:
            eq(got, b"op=start\nname=peer\n\n", "what startd is asked")
        try:
            d.sendall(said)
        except OSError:
            pass
        d.close()
        out = b""
        while part := c.recv(4096):
            out += part
        raises(out, name, "startd says %r" % said[:30], text)
    s.close()
    os.unlink(RUN + "/s/start.sock")
    os.rename(RUN + "/s/away", RUN + "/s/start.sock")
    pid = svpid("adminapid")
    os.kill(pid, 9)
    ok(until(lambda: svpid("adminapid") not in (pid, -1)), "killed: back")
    def answers():
        try:
            return raw(HEAD)[:2] == b"0\0"
        except OSError:
            return False
    ok(until(answers), "and answers")


write(VM + PEER, "label = green\nmemory = 123\nkernelopts = %s\ntags = one two\nfeature.vmexec = 1\nfeature.service.cups =\nfeature.vm-config.odd = %s\n" % (OPTS, MARKUP))
write(VM + "tmpl", "label = black\ntype = TemplateVM\nfeature.os = Linux\nfeature.vmexec = 1\n")
write(VM + "child", "label = red\ntemplate = tmpl\nfeature.vmexec = 0\n")
qubes(MGMT)
defaults = read(VM + "defaults")
write(VM + "defaults", defaults + "netvm = sys-none\n")
rows([lists, states, properties, features, exceptions, malformed])
write(VM + "defaults", defaults)
rows([qsb_045, qsb_066, limits, strangers, life, in_use, over_qrexec, restart])
done()
