#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
# guid on real Xen: windows whose pages are grants, and what a qube can do wrong with those.
from dom0 import *
from gui import *
from stage import *

GUID = "/usr/lib/qubes/guid"
FRAME, WHITE, GREEN = 4, 0xffffff, 0x00ff00
AT = 96, 96, 72, 72  # the frame of a window of 64x64
desk, third = None, None


def all_of(color):
    """The window has its frame and that inside."""
    return until(lambda: border(desk.x, AT, FRAME, RED, color))


class Session:
    def __init__(self, stage=None):
        self.a = (stage or desk.stage).agent()
        self.p = desk.start(domid=self.a.domid)
        self.a.hello()

    def dump(self, refs, w=64, h=64, window=5):
        """guid has had it, and painted what it could."""
        self.a.dump(window, refs, w, h)
        self.a.get(DUMP_ACK, window)
        self.a.damage(window, 0, 0, w, h)
        self.a.round()

    def mapped(self):
        """Pages of qubes that guid has, beside the channel's."""
        text = read("/proc/%d/maps" % child_of(self.p.pid))
        ends = [l.split()[0].split("-") for l in text.splitlines() if "gntdev" in l]
        return sum(int(b, 16) - int(a, 16) for a, b in ends) // 4096 - 33

    def __enter__(self):
        self.a.create(5, 100, 100, 64, 64)
        self.a.map(5)
        return self

    def __exit__(self, *_):
        self.p.terminate()
        self.p.wait()
        self.a.close()
        until(lambda: not desk.x.ours())


def nonsense():
    with Session() as s:
        good, other = s.a.image(64, 64, GREEN), StagePages(third, 64, 64 * 500)
        foreign = StagePages(desk.stage, 64, 64, third.domid)
        for what, refs in (("that do not exist", [900001, 900002, 900003, 900004]), ("0, its console", [0] * 4), ("1, its xenstore", [1] * 4),
                           ("-1", [0xffffffff] * 4), ("2^31", [1 << 31] * 4), ("one of them bad", good.refs[:3] + [900001]),
                           ("one 3000 times", good.refs[:1] * 3000),  # Xen counts up to 255
                           ("another qube's", other.refs[-4:]), ("granted to another qube", foreign.refs)):
            s.dump(refs)
            eq(s.mapped(), 0, "references %s: nothing is mapped" % what)
            ok(all_of(WHITE), "no image, and its frame")
        s.dump(good.refs)
        ok(all_of(GREEN), "a good one after them")
        ok("it has no image" in desk.said(), "a line in the log", desk.said())
        eq(s.p.poll(), None, "guid goes on")
        for p in (good, other, foreign):
            p.free()


def in_any_order():
    with Session() as s:
        p = s.a.image(64, 64, 0)
        colors = 0x110000, 0x002200, 0x000033, 0x444444
        for i, c in enumerate(colors):
            p.fill(c, 0, 16 * i, 64, 16)
        order = 2, 0, 3, 1
        s.dump([p.refs[i] for i in order])
        ok(until(lambda: [desk.x.pixel(110, 100 + 16 * i) for i in range(4)] == [colors[i] for i in order]), "references in any order")
        s.dump([p.refs[1]] * 4)
        ok(all_of(colors[1]), "one four times")
        p.free()


def quotas():
    """Of guid: four screens. Of chand: so many pages of a qube, by whomever."""
    with Session() as s:
        p, n = s.a.image(64, 64, GREEN), 4 * WIDTH * HEIGHT * 4 // 4096
        big = StagePages(desk.stage, 1024, n - 4)
        s.a.create(6, 300, 300, 64, 64)
        s.dump([*big.refs, p.refs[0]], big.width, big.height, 6)
        eq(s.mapped(), n - 3, "four screens but for three pages")
        s.dump(p.refs)
        ok(all_of(WHITE), "four more: no image")
        ok("quota" in desk.said(), "with the reason in the log")
        s.a.put(UNMAP, 6)
        s.a.put(DESTROY, 6)
        s.dump(p.refs)
        ok(all_of(GREEN), "the other gone: they fit")
        eq(s.mapped(), 4, "and nothing else is mapped")
        p.free(), big.free()


def freed():
    """Pages that the qube takes back while they are shown."""
    with Session() as s:
        p = s.a.image(64, 64, GREEN)
        s.dump(p.refs)
        ok(all_of(GREEN), "shown")
        p.free()
        more = [s.a.image(64, 64, 0x0000ff) for _ in range(8)]
        s.a.damage(5, 0, 0, 64, 64)
        s.a.round()
        ok(all_of(GREEN), "freed: still the picture that it was, nobody else's memory")
        s.dump([], 0, 0)
        eq(s.mapped(), 0, "let go")

        def had():
            s.dump(p.refs)
            n = s.mapped()
            s.dump([], 0, 0)
            return n
        # The qube's kernel looks once a second whether they are mapped still, and keeps them until then.
        ok(until(lambda: had() == 0, step=0.3), "they cannot be had again")
        s.dump(more[3].refs)
        ok(all_of(0x0000ff), "others can")
        for m in more:
            m.free()
    # What was shown is the qube's again: 3 times more than its driver has, in all.
    with Session() as s:
        for i in range(6):
            p = StagePages(desk.stage, 1024, 2000)
            eq(len(p.refs), 2000, "2000 pages, the %d. time" % (i + 1))
            if p.refs:
                s.dump(p.refs[:1000], 1024, 1000)
                p.free()


def guid_killed():
    with Session() as s:
        p = s.a.image(64, 64, GREEN)
        s.dump(p.refs)
        ok(all_of(GREEN), "shown")
        os.kill(child_of(s.p.pid), 9)
        s.p.wait()
        ok(until(lambda: not desk.x.ours()), "guid is killed: its windows are gone")
        again = desk.start(domid=s.a.domid)
        s.a.hello()
        s.a.create(5, 100, 100, 64, 64)
        s.a.map(5)
        s.p = again
        s.dump(p.refs)
        ok(all_of(GREEN), "the next one shows the same pages")
        p.free()


def dies(stage, stopped):
    with Session(stage) as s:
        s.dump(s.a.image(64, 64, GREEN).refs)
        ok(all_of(GREEN), "a qube shows a window")
        if stopped:
            os.kill(child_of(s.p.pid), signal.SIGSTOP)
        eq(sh("qvm-kill", stage.qube, limit=4 * LIMIT)[0], 0, "it is destroyed" + ", guid does not move" * stopped)
        if stopped:
            ok(stage.domid in domains(), "Xen keeps it as long as its pages are mapped")
            os.kill(child_of(s.p.pid), 9)
        zombie(stage.domid, "Xen has forgotten it")
        ok(until(lambda: not desk.x.ours()), "its windows are gone")
        ok(until(lambda: s.p.poll() is not None), "and guid has ended")
    is_gone(stage.qube, stage.domid, "nothing is left")


def qube_dies():
    dies(third, False)


def qube_dies_guid_stopped():
    eq(start("third")[0], 0, "it starts again")
    dies(Stage("third"), True)


if __name__ == "__main__":
    desk, third = Desk(GUID), Stage("third")
    try:
        rows((nonsense, in_any_order, quotas, freed, guid_killed, qube_dies, qube_dies_guid_stopped))
    finally:
        desk.close()
    done()
