#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
# Domains that are built ahead (prepare in a qube's file), on real Xen: built, taken, thrown away.
from dom0 import *

PREPARED = RUN + "/vm/.prepared/"


def record(name="ahead"):
    return kv(read(PREPARED + name))


def built(name="ahead", other_than=None, limit=2 * LIMIT):
    return until(lambda: record(name).get("domid") not in (None, other_than) and int(record(name)["domid"]) in domains() and
                 record(name), limit)


def unpaused(log):
    m = log.says("unpaused after ([0-9]+) ms")
    return int(m.group(1)) if m else None


def gone(r, what):
    """All of a domain that was built ahead."""
    d = int(r["domid"])
    ok(until(lambda: d not in domains() and not nodes_of(d)), what, (d in domains(), nodes_of(d)))


def built_and_taken():
    conf("plain")
    log = since("plain/vm")
    eq(start("plain")[0], 0, "one that was not built ahead")
    usual = unpaused(log)
    sh("qvm-kill", "plain")
    conf("ahead", prepare=1)
    r = built()
    if not ok(r, "its file says prepare: built ahead, with a record", os.listdir(RUN + "/vm")):
        return
    ok(is_state("ahead", "Halted"), "the qube does not run")
    log = since("ahead/vm")
    eq(start("ahead")[0], 0, "it starts")
    s = state("ahead")
    eq((s["domid"], s["session"]), (r["domid"], r["session"]), "as the domain that was built ahead")
    took = unpaused(log)
    ok(took is not None and took < usual / 2, "unpaused after %s ms instead of %s" % (took, usual))
    ok(alive("ahead") and not record(), "it is served, and the record is gone")
    sh("qvm-kill", "ahead")
    ok(built(other_than=r["domid"]), "when it ends the next is built")


def thrown_away():
    r = built()
    conf("ahead", prepare=1, memory=100)
    n = built(other_than=r["domid"])
    ok(n, "its file changes: another is built")
    gone(r, "and the first is thrown away")
    # What startd does not watch is seen when it is to be taken.
    os.utime("/var/lib/qubes/vm-kernels/minimal/initramfs")
    log = since("ahead/vm")
    eq(start("ahead")[0], 0, "its kernel's directory changes: it starts")
    ok(log.says("thrown away: it is not what would be built now") and state("ahead")["domid"] != n["domid"], "as a new domain",
       log.text())
    gone(n, "the one built ahead is thrown away")
    sh("qvm-kill", "ahead")
    r = built(other_than=n["domid"])
    # It dies, and nobody looks.
    dom("destroy", r["domid"])
    eq(start("ahead")[0], 0, "the one built ahead was destroyed: it starts")
    ok(alive("ahead"), "and is served")
    gone(r, "and nothing is left of it")
    sh("qvm-kill", "ahead")
    r = built(other_than=r["domid"])
    conf("ahead")
    gone(r, "prepare is taken out of its file: thrown away")
    ok(until(lambda: not record()), "with its record")
    conf("ahead", prepare=1)
    r = built()
    os.unlink(VM + "ahead")
    gone(r, "its file is removed: thrown away")
    ok(until(lambda: not record()), "with its record, too")


def killed_in_the_middle():
    there = set(domains())
    conf("ahead", prepare=1)
    made = until(lambda: set(domains()) - there, 2 * LIMIT, 0)
    sh("pkill", "-9", "-f", "vmstart -p")
    ok(made, "the builder is killed when its domain is there")
    r = built()
    ok(r, "built again")
    ok(until(lambda: set(domains()) - there == {int(r["domid"])}), "and nothing else is left", (domains(), r))
    os.kill(svpid("startd"), 9)
    ok(until(lambda: svpid("startd") > 0), "startd is killed: back")
    both = [background("qvm-start", "ahead"), background("qvm-start", "--skip-if-running", "ahead")]
    eq(ended(both, 4 * LIMIT), [], "two starts at once end")
    ok(state("ahead").get("domid") == r["domid"] and alive("ahead"), "one qube, as the domain that was built ahead",
       (state("ahead"), r))
    eq(set(domains()) - there, {int(r["domid"])}, "no other domain")


def down():
    """While the next is being built, which nobody has a record of."""
    killing = background("qvm-kill", "ahead")
    until(lambda: int(state("ahead").get("domid", 0)) == 0)
    eq(sh("/usr/lib/qubes/cubicle-down", limit=6 * LIMIT)[0], 0, "cubicle-down")
    ended([killing])
    ok(until(lambda: not domains()), "no domain is left, built ahead or not", domains())
    ok(until(lambda: not loops()), "no loop device", loops())
    s = Store()
    eq([x for x in s.names("/tool/cubicle") if x != "disk"], [], "no node")


rows((built_and_taken, thrown_away, killed_in_the_middle, down))
done()
