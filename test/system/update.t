#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
# qvm-template-update with a package manager played by a script in the template, and the way of an update from a qube
# without a network through the updates proxy of another one. On Xen a template is what the minimal one has, and has no
# Python to play a proxy.
import os, re, signal, subprocess, sys, time

sys.path[0] += "/.."
import tap
from tap import *

in_house()
tap.LIMIT = 30 * SLOW

# What an apt-get says and does: its list comes from the proxy, an installed package is a file.
APT = r"""#!/bin/bash
echo "apt-get $*" >>/home/user/log
case "$*" in
*update*) [ ! -e /home/user/refresh.fails ] || { echo "E: no $(printf '\033[31m')list"; exit 100; }
	echo Get:1 list; read -r n </home/user/pending ;;
*-s*dist-upgrade*) read -r n </home/user/pending
	for i in $(seq "$n"); do echo "Inst package$i [1] (2 x)"; echo "Conf package$i"; done ;;
*dist-upgrade*) [ ! -e /home/user/upgrade.fails ] || { echo "E: disk full" >&2; exit 100; }
	cat >/dev/null # nothing is to be asked
	read -r n </home/user/pending; echo 0 >/home/user/pending; echo "Setting up $n"; env | grep proxy >/home/user/proxy
	;;
esac
exit 0
"""


def qvm(name, script, *more, data=b""):
    return subprocess.run(["qvm-run", "-p", *more, name, script], input=data, capture_output=True, timeout=60 * SLOW)


def update(*argv):
    p = subprocess.run(["qvm-template-update", *argv], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                       timeout=120 * SLOW)
    return p.returncode, p.stdout, p.stderr


def inside(name, script, *more):
    """In a qube that may not run: it is started and stopped for this."""
    was = state(name).get("state")
    r = qvm(name, script, *more)
    if was is None:
        sh("qvm-shutdown", "--wait", name)
    return r.stdout.decode()


def prepare(name, pending):
    inside(name, "cat >/usr/local/bin/apt-get <<'E'\n%sE\nchmod 755 /usr/local/bin/apt-get; echo %d >/home/user/pending; "
           "chmod 666 /home/user/pending; rm -f /home/user/log" % (APT, pending), "-u", "root")


def runs(name):
    return state(name).get("state") is not None


def minimal():
    root = "/var/tmp/tree"
    os.makedirs(root)
    sh("sh", "-c", "cd %s && cpio -i </var/lib/qubes/vm-kernels/minimal/initramfs; rm -rf init lib/modules usr/lib/qubes/*" % root)
    write(root + "/etc/version", "old\n")
    return root


def tree():
    """A small template's files, of what this machine has."""
    root = "/var/tmp/tree"
    os.makedirs(root)
    for d in ("bin", "sbin", "lib", "lib64"):
        if os.path.islink("/" + d):
            os.symlink(os.readlink("/" + d), root + "/" + d)
    for d in ("usr/local/bin", "usr/bin", "usr/lib", "usr/lib64", "etc", "dev", "proc", "sys", "run", "tmp", "var", "root", "home"):
        os.makedirs(root + "/" + d, exist_ok=True)
    for f in ("etc/passwd", "etc/group", "etc/nsswitch.conf"):
        subprocess.check_call(["cp", "/" + f, root + "/" + f])
    tools = ["bash", "sh", "cat", "env", "grep", "seq", "sleep", "echo", "id", "ls", "mkdir", "rm", "chmod", "mv", "touch", "sed", "head", "wc", "mkfifo", "stat", "tail", "tr"]
    libs = set()
    for t in tools:
        path = os.path.realpath(subprocess.check_output(["which", t], text=True).strip())
        subprocess.check_call(["cp", path, root + "/usr/bin/" + t])
        libs |= set(re.findall(r"(/\S+\.so\S*)", subprocess.run(["ldd", path], capture_output=True, text=True).stdout))
    for l in libs:
        os.makedirs(root + "/usr" + os.path.dirname(l).replace("/usr", ""), exist_ok=True)
        subprocess.check_call(["cp", "-L", l, root + "/usr" + l.replace("/usr", "")])
    for f, line in (("passwd", "user:x:1000:1000::/home/user:/bin/bash\n"), ("group", "user:x:1000:\n")):
        text = read(root + "/etc/" + f)
        write(root + "/etc/" + f, text if "\nuser:" in text else text + line)
    write(root + "/etc/version", "old\n")
    return root


def one():
    prepare("tpl", 3)
    ok(not runs("tpl"), "the template does not run")
    made = os.stat(VM).st_mtime_ns
    code, out, err = update("tpl")
    eq(os.stat(VM).st_mtime_ns, made, "QSB-045: a template is managed in itself: no disposable is made, of default_dispvm or any")
    eq((code, out), (0, "tpl                  3 updates\n"), "three updates: exit 0 and a summary")
    ok(re.search("tpl: starting\ntpl: refreshing \\(apt-get\\)\ntpl: installing 3 updates\ntpl: shutting down\n", err),
       "progress", err)
    ok(not runs("tpl"), "it is shut down again")
    log = inside("tpl", "cat /home/user/log; cat /home/user/proxy")
    ok(re.search(r"(?s)-q .*update\n.*-s dist-upgrade\n.*-q -y .*dist-upgrade\n", log), "apt-get was told what to do, in order", log)
    ok("http_proxy=http://127.0.0.1:8082" in log and "https_proxy=http://127.0.0.1:8082" in log, "and to use the proxy", log)
    eq(update("tpl")[:2], (100, "tpl                  nothing to update\n"), "again: nothing to update, exit 100")
    eq(update("--quiet", "tpl"), (100, "", ""), "--quiet says nothing")


def failures():
    for file, code, word, text in [("refresh.fails", 21, "refreshing failed", "E: no _[31mlist"),
                                   ("upgrade.fails", 22, "updating failed", "E: disk full")]:
        inside("tpl", "echo 2 >/home/user/pending; touch /home/user/" + file)
        got, out, err = update("tpl")
        eq((got, out), (code, "tpl                  %s\n" % word), "%s: exit %d" % (word, code))
        ok(text in err, "what it said is shown, escaped", err)
        ok(not runs("tpl"), "it is shut down all the same")
        inside("tpl", "rm /home/user/" + file)
    inside("tpl", "mv /usr/local/bin/apt-get /home/user/; mkdir -p /home/user/none", "-u", "root")
    code, out, err = update("broken")
    eq((code, out), (13, "broken               not started\n"), "a template that cannot start: exit 13")
    code, out, err = update("--verbose", "app")
    ok(code == 2 and "has no packages of its own (update tpl)" in err, "an AppVM: its template is to be updated", err)
    for args in (["nosuch"], ["--nonsense"], ["--exclude", "x"], ["--all", "tpl"]):
        eq(update(*args)[0], 2, "usage: %r" % args)
    inside("tpl", "mv /home/user/apt-get /usr/local/bin/", "-u", "root")


def all_of_them():
    prepare("tpl", 1)
    prepare("two", 0)
    os.rename(VM + "broken", VM + ".broken")
    code, out, err = update()
    eq((code, out), (0, "tpl                  1 updates\ntwo                  nothing to update\n"), "without names: all templates")
    code, out, err = update("--all", "--exclude", "two")
    eq((code, out), (100, "tpl                  nothing to update\n"), "--all but one")
    os.rename(VM + ".broken", VM + "broken")
    inside("tpl", "echo 1 >/home/user/pending")
    code, out, err = update("--all")
    eq((code, [l.split(None, 1)[1] for l in out.splitlines()]), (13, ["not started", "1 updates", "nothing to update"]),
       "one of three fails: its status, and the others are updated")


def running():
    qubes("tpl")
    qvm("tpl", "echo 1 >/home/user/pending")
    code, out, err = update("tpl")
    eq((code, out), (0, "tpl                  1 updates; counts when it is shut down\n"), "one that runs")
    ok(runs("tpl"), "is not shut down")
    sh("qvm-shutdown", "--wait", "tpl")
    inside("tpl", "echo 1 >/home/user/pending")
    code, out, err = update("--keep-running", "tpl")
    ok(code == 0 and runs("tpl"), "--keep-running leaves it", (code, out))
    sh("qvm-shutdown", "--wait", "tpl")


def interrupted():
    inside("tpl", "echo 1 >/home/user/pending; mkfifo /home/user/block; sed -i 's,^.*update.*,&\\ncat /home/user/block;,' "
           "/usr/local/bin/apt-get", "-u", "root")
    p = subprocess.Popen(["qvm-template-update", "tpl", "two"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True, start_new_session=True)
    for line in p.stderr:
        if "refreshing" in line:
            break
    os.killpg(p.pid, signal.SIGINT)
    out, err = p.communicate(timeout=60 * SLOW)
    eq((p.returncode, [l.split(None, 1)[1] for l in out.splitlines()]), (130, ["interrupted", "interrupted"]),
       "an interrupt: 130, the next is not begun")
    ok(not runs("tpl") and not runs("two"), "and what was started is shut down")
    prepare("tpl", 0)


def hostile():
    """A template that says what it likes: nothing of it reaches the terminal as it is, nothing is believed."""
    inside("tpl", "printf '#!/bin/sh\\nprintf \"@pending 99999999999999999999\\\\n\\\\033]0;x\\\\007\\\\n@refresh \\\\033[2J\\\\n\"; "
           "head -c 3000000 /dev/zero; exit 77\\n' >/usr/local/bin/apt-get", "-u", "root")
    code, out, err = update("--verbose", "tpl")
    ok(code == 21 and not re.search(r"[^\n\x20-\x7e]", out + err), "escapes do not get through", (code, (out + err)[:300]))
    prepare("tpl", 0)


TPL = "type = TemplateVM\nlabel = black\n"
PROXY = r"""
import socket
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", 8082))
s.listen(50)
print("listens", flush=True)
while True:
    c = s.accept()[0]
    got = b""
    while not got.endswith(b"\r\n\r\n"):
        part = c.recv(4096)
        if not part:
            break
        got += part
    if got:
        c.sendall(b"HTTP/1.0 200 OK\r\n\r\nproxied " + got.split(b"\r\n")[0] + b"\n" + b"x" * 500000)
    c.close()
"""
GET = ("exec 3<>/dev/tcp/127.0.0.1/8082; printf 'GET http://deb.example/%s HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3 >/tmp/got.%s; "
       "head -c 70 /tmp/got.%s; echo; wc -c </tmp/got.%s")


def proxy():
    qubes("sys-net", "tpl", "app")
    listening = "grep -qs ':1F92 [0:]* 0A' /proc/net/tcp"
    ok(until(lambda: qvm("tpl", listening).returncode == 0), "a template listens on 127.0.0.1:8082")
    p = subprocess.Popen(["qvm-run", "-p", "--", "sys-net", "python3", "-c", PROXY], stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE)
    p.stdout.readline()
    r = qvm("tpl", GET % (("one",) * 4))
    ok(b"proxied GET http://deb.example/one HTTP/1.0" in r.stdout and int(r.stdout.split()[-1]) > 500000,
       "what is asked there is answered by the proxy of sys-net, whole", r)
    r = qvm("tpl", "for i in $(seq 40); do { %s; } >/tmp/$i & done; wait; cat /tmp/[0-9]* | grep -c proxied" % (GET % (("$i",) * 4)))
    eq(r.stdout.strip(), b"40", "forty at once: each is answered")
    ok(until(lambda: qvm("tpl", "grep -l qrexec-client-v /proc/[0-9]*/comm | wc -l").stdout.strip() == b"0"),
       "no process stays")
    ok(qvm("app", listening).returncode != 0, "an AppVM does not listen")
    r = qvm("app", "qrexec-client-vm '' qubes.UpdatesProxy </dev/null")
    eq(r.returncode, 126, "and may not call the service")
    end = qvm("tpl", "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | qrexec-client-vm '' qubes.UpdatesProxy | head -c 15")
    eq(end.stdout, b"HTTP/1.0 200 OK", "the call itself")
    who = qvm("tpl", "p=$(grep -lx updates-forward /proc/[0-9]*/comm); stat -c %u ${p%/comm}", "-u", "root").stdout.strip()
    eq(who, b"65534", "updates-forward is nobody")
    p.kill()
    p.wait()
    sh("qvm-kill", "tpl")
    write(VM + "tpl", TPL + "feature.service.updates-proxy-setup = 0\n")
    qubes("tpl")
    time.sleep(2)  # as long as it would take
    ok(qvm("tpl", listening).returncode != 0, "with the service off a template does not listen")
    eq(qvm("tpl", "grep -lx updates-forward /proc/[0-9]*/comm").stdout, b"", "and nothing tries")
    write(VM + "tpl", TPL)
    sh("qvm-shutdown", "--wait", "tpl")


def small_proxy():
    """The way of a request, with what a minimal qube has."""
    qubes("sys-net", "tpl")
    policy("qubes.UpdatesProxy * @type:TemplateVM @default allow target=sys-net\n")
    qvm("sys-net", "cat >/tmp/answer; chmod 755 /tmp/answer", data=b"#!/bin/sh\nread -r a; printf 'HTTP/1.0 200 OK\\r\\n\\r\\nproxied %s\\n' \"$a\"; head -c 500000 /dev/zero\n")
    p = subprocess.Popen(["qvm-run", "-p", "sys-net", "nc -ll -p 8082 -e /tmp/answer"], stdin=subprocess.DEVNULL)
    listening = "grep -qs ':1F92 [0:]* 0A' /proc/net/tcp /proc/net/tcp6"
    ok(until(lambda: qvm("sys-net", listening).returncode == 0), "a proxy")
    ok(until(lambda: qvm("tpl", listening).returncode == 0), "a template listens on 127.0.0.1:8082")
    r = qvm("tpl", GET % (("one",) * 4))
    ok(b"proxied GET http://deb.example/one HTTP/1.0" in r.stdout and int(r.stdout.split()[-1]) > 500000, "what is asked there is answered by sys-net, whole", r)
    p.kill()
    p.wait()
    sh("qvm-kill", "tpl", "sys-net")


def outdated():
    """A template with a root of its own: what runs with the older one is named."""
    sh("qvm-shutdown", "--wait", "app")
    prepare("tpl", 1)
    inside("tpl", "sed -i 's,^.*Setting up.*,&\\necho new >/etc/version,' /usr/local/bin/apt-get", "-u", "root")
    write(VM + "old", "type = AppVM\nlabel = red\ntemplate = tpl\n")
    write(VM + "still", "type = AppVM\nlabel = red\ntemplate = tpl\n")
    r = qubes("old")
    code, out, err = update("tpl")
    eq((code, out), (0, "tpl                  1 updates; to be restarted: old\n"), "who runs with the older root is named")
    r = qvm("old", "cat /etc/version")
    ok(r.stdout == b"old\n", "which it still has", r)
    sh("qvm-shutdown", "--wait", "old")
    qubes("old")
    r = qvm("old", "cat /etc/version")
    ok(r.stdout == b"new\n", "restarted it has the new one", r)


SMALL = "root_size = 32\nprivate_size = 16\nvolatile_size = 16\n"
write(VM + "defaults", (read(VM + "defaults") + SMALL if XEN else "netvm =\n") + "default_dispvm = daily\n")
write(VM + "daily", "label = red\ntemplate_for_dispvms = true\n")
if XEN:
    sh("qvm-kill", "vault", "third")  # room
files = minimal() if XEN else tree()
for name in ("tpl", "two")[:1 if XEN else 2]:
    r = sh("qvm-template-import", files, name, limit=120 * SLOW)
    ok(r[0] == 0, "a template from a directory", r)
write(VM + "broken", "type = TemplateVM\nlabel = black\nroot = /nonexistent\n")
write(VM + "app", "type = AppVM\nlabel = red\ntemplate = tpl\n")
write(VM + "sys-net", "type = AppVM\nlabel = red\nprovides_network = true\n")
rows([one, running, hostile, small_proxy, outdated] if XEN else [one, failures, all_of_them, running, interrupted, hostile, proxy, outdated])
done()
