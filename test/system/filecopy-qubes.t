#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Files, trees and addresses from one qube to another, from Dom0 to one, as people send them."""
import socket, sys, threading

sys.path[0] += "/.."
from tap import *

in_house()

FILES = few(2000 if XEN else 20000)
MAKE = r"""
rm -rf t; mkdir -p t; d=0
while [ $d -lt %d ]; do
	mkdir t/d$d; f=0
	while [ $f -lt 100 ]; do echo "$d $f, and more of it" >t/d$d/f$f; f=$((f + 1)); done
	ln -s f1 t/d$d/link; ln -s ../d0/f2 t/d$d/other; d=$((d + 1))
done
mkdir -p t/odd/empty; cd t/odd
printf x >'-rf'; printf x >' a  b "quoted" '\''too'\'' \ $HOME `x`'; printf x >é; printf x >中文; : >nothing; printf x >.hidden
dd if=/dev/zero of=hole bs=1 count=1 seek=3000000 2>/dev/null; chmod 400 nothing; chmod 750 empty; ln -s nowhere dangling
touch -d @1000000000 nothing empty; touch -d @4000000000 .hidden; cd ..; touch -d @1234567890 odd
"""
LIST = r"""cd %s && { find . -type f -exec sha256sum {} + | sort; find . -type l -exec readlink {} + | sort
find . ! -type l -exec stat -c '%%n %%f %%Y' {} + | sort; find . -type f -exec stat -c '%%n %%s' {} + | sort; } | sha256sum"""


def q(qube, command, limit=None, user=None):
    return sh("qvm-run", "-q", "--no-gui", *(["-u", user] if user else []), "-p", qube, command, limit=limit or 60 * SLOW)


class Person:
    """Answers Dom0's prompts."""
    PATH = "/run/qubes/ask/policy.Ask"

    def __init__(self, says):
        self.says, self.asked = says, []
        self.s = socket.socket(socket.AF_UNIX)
        self.s.bind(self.PATH)
        os.chmod(self.PATH, 0o666)
        self.s.listen(5)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            c, _ = self.s.accept()
            text = b""
            while True:
                part = c.recv(65536)
                text += part
                if not part or text.endswith(b"}"):
                    break
            self.asked.append(text)
            c.sendall(self.says.encode())
            c.close()

    def close(self):
        os.unlink(self.PATH)


def trees():
    policy("qubes.Filecopy * @anyvm @anyvm ask\n")
    eq(q("work", "bash -c " + repr_sh(MAKE % (FILES // 100)), 300 * SLOW)[0], 0, "a tree of %d files, links, a hole, odd names and times" % FILES)
    want = q("work", LIST % "t")
    person = Person("allow:vault")
    began = time.monotonic()
    r = q("work", "qvm-copy t", 300 * SLOW)
    took = time.monotonic() - began
    eq(r, (0, ""), "qvm-copy: a person is asked, and allows it to vault")
    eq(len(person.asked), 1, "once")
    ok(b'"qubes.Filecopy"' in person.asked[0] and b'"work"' in person.asked[0], "by name", person.asked[:1])
    got = q("vault", LIST % "QubesIncoming/work/t")
    ok(want[0] == 0 and got == want, "names, kinds, modes, times, contents: all equal", (want, got))
    print("# %d files: %.2f s" % (FILES, took))
    r = q("work", "qvm-copy t")
    ok(r[0] == 17 and "there already" in r[1], "once more: status 17, nothing is replaced", r)
    q("work", "touch 'new\nline'")
    eq(q("work", "qvm-copy 'new\nline'")[0], 0, "a name with a newline is sent")
    ok(b"+allow-all-names" in person.asked[-1], "as allow-all-names, which a policy sees", person.asked[-1:])
    person.says = "deny"
    r = q("work", "qvm-move t/odd")
    ok(r[0] == 126 and q("work", "ls -d t/odd")[0] == 0, "a move that is denied: status 126, all is kept", r)
    person.says = "allow:vault"
    q("vault", "rm -rf QubesIncoming")
    r = q("work", "qvm-move t/odd")
    ok(r[0] == 0 and q("work", "ls -d t/odd")[0] != 0 and q("vault", "ls QubesIncoming/work/odd | wc -l") == (0, "8"), "one that is allowed", r)
    person.close()
    q("vault", "rm -rf QubesIncoming")


def repr_sh(text):
    return "'" + text.replace("'", "'\\''") + "'"


def by_name():
    policy("qubes.Filecopy * work vault allow\nqubes.Filecopy * @adminvm @anyvm allow\nqubes.Filecopy * @anyvm @anyvm deny\n")
    q("work", "echo by name >n; mkdir -p m; ln -s /etc/passwd m/out")
    r = q("work", "qvm-copy-to-vm vault n")
    ok(r[0] == 0 and "Dom0's policy" in r[1] and q("vault", "cat QubesIncoming/work/n") == (0, "by name"), "qvm-copy-to-vm: it arrives, and who decides is said", r)
    eq(q("work", "qvm-copy-to-vm third n")[0], 126, "to a qube that the policy does not allow: 126")
    r = q("work", "qvm-copy-to-vm vault m")
    ok(r[0] == 1 and "leads out" in r[1] and q("vault", "ls QubesIncoming/work/m")[0] != 0, "a link that leads out: nothing is sent, and it is named", r)
    eq(q("work", "qvm-copy-to-vm --ignore-symlinks vault m")[0], 0, "--ignore-symlinks")
    eq(q("vault", "ls QubesIncoming/work/m"), (0, ""), "and it is not there")
    eq([q("work", c)[0] for c in ("qvm-copy", "qvm-copy --nonsense x", "qvm-copy-to-vm ../x n", "qvm-copy none", "qvm-move --help")], [1, 1, 100, 1, 0], "wrong use")
    write("/tmp/from-dom0", "of Dom0\n")
    eq(sh("qvm-copy-to-vm", "vault", "/tmp/from-dom0", "/etc/hostname", limit=60 * SLOW), (0, ""), "from Dom0")
    eq(q("vault", "cat QubesIncoming/dom0/from-dom0"), (0, "of Dom0"), "it is there")
    r = sh("qvm-copy-to-vm", "vault", "/tmp/from-dom0", limit=60 * SLOW)
    ok(r[0] == 17 and "there already" in r[1], "once more: 17", r)
    eq(sh("qvm-move-to-vm", "third", "/tmp/from-dom0", limit=60 * SLOW)[0], 0, "a move from Dom0")
    ok(not os.path.exists("/tmp/from-dom0"), "and it is gone here")
    r = sh("qvm-copy", "/etc/hostname")
    ok(r[0] == 100 and "qvm-copy-to-vm QUBE" in r[1], "qvm-copy in Dom0: which command to take", r)
    r = sh("qvm-copy-to-vm", "nowhere", "/etc/hostname")
    ok(r[0] not in (0, None), "to a qube that there is not: refused", r)
    q("vault", "rm -rf QubesIncoming")


def dies():
    """A qube that is killed in the middle of a move."""
    policy("qubes.Filecopy * @anyvm @anyvm allow\n")
    q("work", "mkdir -p big; dd if=/dev/zero of=big/f bs=1M count=%d 2>/dev/null" % (8 if XEN else 300))
    p = subprocess.Popen(["qvm-run", "-q", "--no-gui", "-p", "work", "qvm-move-to-vm third big"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    ok(until(lambda: q("third", "ls -d QubesIncoming/work/big")[0] == 0, 60 * SLOW), "a file is on its way to third")
    sh("qvm-kill", "third")
    said = p.communicate(timeout=60 * SLOW)[0].decode()
    here = q("work", "ls -l big/f")
    ok(p.returncode != 0 and here[0] == 0, "third is killed: the sender fails, and keeps what it had", (p.returncode, said, here))
    q("work", "rm -rf big")
    qubes("third")


OPENER = r"""#!/bin/sh
case $1 in
*://*) echo "$1" >/home/user/url ;;
*view*) [ -w "$1" ] && echo writable >/home/user/mode; echo "$1" >/home/user/seen; { echo more >>"$1"; } 2>/dev/null; : ;;
*same*) : ;;
*fail*) exit 3 ;;
*crash*) echo "edited, then" >>"$1"; exit 4 ;;
*slow*) read -r _ </home/user/closed; echo "edited slowly" >>"$1" ;;
*) echo "edited as $1" | sed 's|/.*/||' >>"$1" ;;
esac
"""


def opened():
    policy("qubes.OpenInVM * @anyvm @anyvm allow\nqubes.OpenURL * @anyvm @anyvm allow\n")
    eq(q("vault", "cat >/usr/local/bin/qubes-open <<'X'\n" + OPENER + "X\nchmod 755 /usr/local/bin/qubes-open; rm -rf /tmp/qubes-open.*", user="root")[0], 0, "vault has a program that opens files")
    q("work", "printf 'text\n' >doc.txt; chmod 640 doc.txt; cp doc.txt same.txt; cp doc.txt view.txt; cp doc.txt fail.txt; cp doc.txt 'a b;c\nd'")
    eq(q("work", "qvm-open-in-vm vault doc.txt; cat doc.txt; stat -c %a doc.txt"), (0, "text\nedited as doc.txt\n640"), "a file is edited over there, and is so here, its mode as before")
    eq(q("work", "qvm-open-in-vm vault same.txt; cat same.txt"), (0, "text"), "one that is not changed")
    eq(q("work", "qvm-open-in-vm --view-only vault view.txt; cat view.txt"), (0, "text"), "--view-only: what is changed there is not here")
    ok(q("vault", "cat mode")[0] != 0 and q("vault", "cat seen")[1].endswith("/view.txt"), "nor may it be changed there")
    r = q("work", "qvm-open-in-vm vault fail.txt 2>/dev/null; echo $?; cat fail.txt; ls -a | grep -c edited-")
    ok(r[1].splitlines() == ["3", "text", "0"], "a program that fails: its status, and the file as it was", r)
    r = q("work", "printf 'text\n' >crash.txt; qvm-open-in-vm vault crash.txt; cat crash.txt")
    kept = re.search(r"it stays in (\S+)", r[1])
    ok(kept and r[1].endswith("text") and q("vault", "cat '%s'" % kept.group(1)) == (0, "text\nedited, then"), "one that fails after it has saved: the edit stays there, and where is said", r)
    q("vault", "rm -rf /tmp/qubes-open.*")
    q("vault", "mkfifo /home/user/closed 2>/dev/null")
    q("work", "printf 'text\n' >slow.txt")
    p = subprocess.Popen(["qvm-run", "-q", "--no-gui", "-p", "work", "qvm-open-in-vm vault slow.txt"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    ok(until(lambda: q("vault", "ls -d /tmp/qubes-open.*/slow.txt")[0] == 0, 60 * SLOW), "a file is being edited")
    q("work", "echo mine >>slow.txt")
    q("vault", "echo >/home/user/closed")
    said = p.communicate(timeout=60 * SLOW)[0].decode()
    ok(p.returncode == 1 and "it was changed here, too" in said and q("work", "cat slow.txt; cat slow.txt.edited-*") == (0, "text\nmine\ntext\nedited slowly"),
       "it was changed here meanwhile: both are kept, and it is said", (p.returncode, said, q("work", "ls; cat slow.txt.edited-*")))
    r = q("work", "printf 'text\n' >real.txt; ln -s real.txt ln.txt; qvm-open-in-vm vault ln.txt; readlink ln.txt; tail -n 1 real.txt")
    eq(r, (0, "real.txt\nedited as ln.txt"), "by a link: what it leads to is edited")
    r = q("work", "chmod 400 real.txt; qvm-open-in-vm vault real.txt")
    ok(r[0] == 100 and "--view-only" in r[1], "a file that may not be changed: which option to take", r)
    r = q("work", "qvm-open-in-vm --view-only vault nowhere")
    ok(r[0] != 0 and "No such file" in r[1], "one that is not there: nothing is asked", r)
    eq(q("work", "printf 'text\n' >./-view.txt; qvm-open-in-vm --view-only -- vault -view.txt; echo $?")[1], "0", "a name like an option")
    eq(q("work", "qvm-open-in-vm vault 'a b;c\nd'; tail -n 1 'a b;c\nd'"), (0, "edited as a_b_c_d"), "a name is made harmless")
    eq(q("vault", "ls -d /tmp/qubes-open.* 2>/dev/null | wc -l"), (0, "0"), "nothing of them is left there")
    eq(q("work", "qvm-open-in-vm vault https://example.org/?a=b#c; echo $?")[1], "0", "an address")
    eq(q("vault", "cat url"), (0, "https://example.org/?a=b#c"), "is opened there")
    for url in ("file:///etc/passwd", "javascript://x", "https://a b", "https://", "-x://"):
        r = q("vault", "rm -f url"), q("work", "printf '%%s\\n' '%s' | qrexec-client-vm vault qubes.OpenURL 2>/dev/null; echo $?" % url), q("vault", "ls url")
        ok(r[1][1].endswith("100") and r[2][0] != 0, "%r: refused over there" % url, r)
    eq(q("work", "qvm-open-in-vm vault file:///etc/passwd")[0], 100, "and here")
    # The wire, byte by byte.
    for name, field, rc in (("no end", "head -c 256 /dev/zero | tr '\\0' a", 100), ("short", "printf a", 100)):
        r = q("work", "{ %s; } | qrexec-client-vm vault qubes.OpenInVM 2>/dev/null; echo $?" % field)
        ok(r[1].endswith(str(rc)), "a name field with %s: refused" % name, r)
    r = q("work", "{ printf '../../.profile'; head -c 242 /dev/zero; echo x; } | qrexec-client-vm vault qubes.OpenInVM")
    ok(r[0] == 0 and "edited as _._.._.profile" in r[1] and q("vault", "ls .profile")[0] != 0, "a name that leads out is one name", r)
    q("work", "printf x >s")
    sent = q("work", "%s/qopen-in-vm -- s </dev/null | od -An -v -tx1 | tr -d ' \\n'" % "/usr/lib/qubes")
    eq(sent, (0, (b"s" + bytes(255) + b"x").hex()), "QSB-009: the name's field is the name and zeroes")
    long = "n" * 246 + ".tar.gz"
    q("work", "printf x >%s" % long)
    sent = q("work", "/usr/lib/qubes/qopen-in-vm --view-only %s </dev/null | od -An -v -tx1 | tr -d ' \\n'" % long)
    want = b"view-only-" + long.encode()[-245:] + bytes(1) + b"x"
    eq(sent, (0, want.hex()), "of a long one the end is sent")


if XEN:
    ok(True, "work, vault and third run")
else:
    ok(qubes("work", "vault", "third").returncode == 0, "work, vault and third run")
rows([trees, by_name, dies, opened])
done()
