#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
# Starts that real Xen or Dom0 cannot serve are refused before anything is made, with what is wrong; disks, and who
# else has them.
from dom0 import *

KERNELS, DISKS = "/var/lib/qubes/vm-kernels/", "/var/tmp/"
GOOD = KERNELS + "minimal"


def what_there_is():
    return nodes(), sorted(domains()), loops(), sorted(os.listdir(RUN + "/state")), free_mib()


def settled():
    """Once two looks are the same: what was started or ended before may still be at it."""
    seen = [what_there_is()]
    until(lambda: seen.append(what_there_is()) or seen[-1] == seen[-2], LIMIT)
    return seen[-1]


def refused(name, reason, made=False):
    before, log, number = settled(), since("bad/vm"), int(dom("spin", 1)[1])
    rc, out = start("bad")
    eq(rc, 1, name + ": refused")
    ok(re.search(reason, out), name + ": with the reason", out)
    ok(log.says("cannot start: .*(%s)" % reason), name + ": in the log, too", log.text())
    ok(until(lambda: what_there_is() == before, 2), name + ": nothing is left", (before, what_there_is()))
    # Xen's next number is the next one still: no domain was made, not even for a moment.
    if not made:
        eq(int(dom("spin", 1)[1]), number + 1, name + ": nor was it made before")
    return out


def kernels():
    for d in ("empty", "text", "packed"):
        os.makedirs(KERNELS + d, exist_ok=True)
    write(KERNELS + "text/vmlinux", "#!/bin/sh\n" * 200)
    write(KERNELS + "packed/vmlinuz", "\0" * 0x202 + "HdrS" + "\0" * 100)
    for what, keys, reason in (
            ("no such directory", dict(kernel="nosuch"), "nosuch/vmlinuz: No such file"),
            ("no kernel in it", dict(kernel="empty"), "empty/vmlinuz: No such file"),
            ("not a kernel", dict(kernel="text"), "text/vmlinux: not a kernel"),
            ("compressed", dict(kernel="packed"), "is compressed: extract-vmlinux unpacks it"),
            ("hvm", dict(virt_mode="hvm"), "virt_mode hvm is not served yet: use pvh or pv"),
            ("no disk", dict(private_="/nonexistent/x.img"), "disk /nonexistent/x.img: No such file"),
            ("a disk that is a directory", dict(private_="/etc"), "disk /etc")):
        conf("bad", **keys)
        refused(what, reason)
    # A file that begins like a program and is cut short: Xen's builder finds out, and all is undone.
    os.makedirs(KERNELS + "cut", exist_ok=True)
    with open(GOOD + "/vmlinux", "rb") as f:
        head = f.read(70000)
    with open(KERNELS + "cut/vmlinux", "wb") as f:
        f.write(head)
    conf("bad", kernel="cut")
    refused("a kernel that is cut short", "kernel|ELF|elf", True)


def memory():
    free = free_mib()
    conf("bad", memory=1 << 20)
    out = refused("more memory than there is", "too little memory")
    m = re.search("too little memory: 1048576 MiB and ([0-9]+) for Xen's own use, ([0-9]+) free, ([0-9]+) missing", out)
    ok(m and int(m.group(3)) == (1 << 20) + int(m.group(1)) - int(m.group(2)) and abs(int(m.group(2)) - free) <= 2,
       "it says how much is missing", (out, free))
    # By a hair: what the domain would need besides its memory counts.
    conf("bad", memory=free)
    refused("all that is free, and nothing for Xen's own use", "missing")


def disks():
    img = {k: DISKS + k + ".img" for k in ("private", "other", "root", "volatile")}
    for f in img.values():
        sh("truncate", "-s", "16M", f)
    with open(img["volatile"], "r+b") as f:
        f.write(b"left over")
    kept = loops()
    conf("disk", private_=img["private"], volatile=img["volatile"])
    eq(start("disk")[0], 0, "a qube with disks")
    ok(until(lambda: len(loops()) == len(kept) + 2), "two loop devices", loops())
    me = state("disk")
    eq(inside("disk", "head -c 9 /dev/xvdc | od -An -tx1 | tr -d ' \\n'")[1], "00" * 9, "volatile begins empty")
    eq(inside("disk", "echo kept >/rw/home/user/it; sync; grep -c ' /rw ' /proc/mounts")[1], "1", "it writes to private")
    eq(inside("disk", "printf thrown-away >/dev/xvdc; sync; head -c 6 /dev/xvdc"), (0, "thrown"), "and to volatile")
    # What one writes, nobody else has.
    os.link(img["private"], DISKS + "alias.img")
    for what, keys in (("as its private volume", dict(private_=img["private"])), ("as its root", dict(root=img["private"])),
                       ("by another name", dict(private_=DISKS + "alias.img")), ("its volatile one", dict(volatile=img["volatile"])),
                       ("read-only", dict(template="tmpl"))):
        if what == "read-only":
            conf("tmpl", type="TemplateVM", root=img["private"])
        conf("bad", **keys)
        refused("a disk in use by another, " + what, "disk .* is in use by disk")
    for n in ("alias.img",):
        os.unlink(DISKS + n)
    conf("bad", private_=img["other"], volatile=img["other"])
    refused("one disk for two", "is in use by .*itself")
    # Killed, and its keeper, and the domain behind its back.
    pid = keeper("disk")
    os.kill(pid, 9)
    dom("destroy", me["domid"])
    is_gone("disk", int(me["domid"]), "the keeper killed, the domain destroyed: nothing is left", 2 * LIMIT)
    ok(until(lambda: loops() == kept), "no loop device is left", loops())
    eq(start("disk")[0], 0, "it starts again")
    eq(inside("disk", "cat /rw/home/user/it"), (0, "kept"), "what it wrote to private is there")
    eq(inside("disk", "head -c 6 /dev/xvdc | tr '\\0' 0"), (0, "000000"), "and on volatile is not")
    eq(sh("qvm-shutdown", "--wait", "disk")[0], 0, "it shuts down")
    ok(until(lambda: loops() == kept), "and no loop device is left", loops())
    # A root that is only read may be shared, also while nobody may write it.
    conf("tmpl", type="TemplateVM", root=img["root"])
    conf("one", template="tmpl"), conf("two", template="tmpl")
    eq((start("one")[0], start("two")[0]), (0, 0), "two share a template's root")
    rc, out = inside("one", "printf x >/dev/xvda")
    ok(rc != 0, "which they cannot write", out)
    conf("bad", root=img["root"])
    refused("a shared root, to be written", "disk .* is in use by (one|two)")
    sh("qvm-kill", "one"), sh("qvm-kill", "two")
    ok(until(lambda: loops() == kept), "no loop device is left of them either", loops())


rows((kernels, memory, disks))
done()
