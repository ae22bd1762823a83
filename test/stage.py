# SPDX-License-Identifier: ISC
"""For tests of guid on Xen: gui.py's agent, played through a program in a qube (xen/stage.c): a real channel, and pages that are
grants."""
import atexit, contextlib, os, queue, socket, struct, subprocess, threading

from gui import Agent
from tap import LIMIT, state


class Stage:
    """In a running qube: its end of a channel to guid at a time, and pages of its own."""
    OPEN, DATA, SHUT, PAGES, WRITE, FILL, FREE = range(1, 8)

    def __init__(self, qube):
        with open(os.environ["O"] + "/test/stage", "rb") as f:
            subprocess.run(["qvm-run", "-p", "-u", "root", qube, "cat >/tmp/stage; chmod +x /tmp/stage"], stdin=f, check=True)
        self.qube, self.domid = qube, int(state(qube)["domid"])
        self.p = subprocess.Popen(["qvm-run", "-p", "-u", "root", qube, "exec /tmp/stage"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  bufsize=0)
        self.turn, self.came, self.answers, self.peer = threading.Lock(), queue.Queue(), queue.Queue(), None
        self.listener = threading.Thread(target=self.listen, daemon=True)
        self.listener.start()
        atexit.register(self.close)  # Python ends badly with threads that still do something

    def say(self, kind, body=b""):
        with self.turn, contextlib.suppress(BrokenPipeError):  # the qube has died
            self.p.stdin.write(struct.pack("<II", kind, len(body)) + body)

    def ask(self, kind, body):
        self.say(kind, body)
        return self.answers.get(timeout=LIMIT)

    def read(self, n):
        out = b""
        while len(out) < n:
            got = self.p.stdout.read(n - len(out))
            if not got:
                raise EOFError
            out += got
        return out

    def listen(self):
        try:
            while True:
                kind, n = struct.unpack("<II", self.read(8))
                body = self.read(n)
                if kind == self.OPEN:
                    self.peer, ours = socket.socketpair()
                    self.came.put((ours, self.peer))
                elif kind in (self.PAGES, self.FREE):
                    self.answers.put(body)
                else:
                    self.tell(kind, body)
        except (EOFError, ValueError):
            pass  # it was killed

    def tell(self, kind, body):
        try:
            if kind == self.DATA:
                self.peer.sendall(body)
            else:
                self.peer.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the test has hung up

    def agent(self):
        return StageAgent(self)

    def close(self):
        self.p.kill()
        self.p.wait()
        self.listener.join()


class StageAgent(Agent):
    def __init__(self, stage):
        self.stage, self.domid, self.s, self.got, self.writer = stage, stage.domid, None, [], None
        stage.say(stage.OPEN)

    def accept(self, minor=8, major=1):
        if self.s:  # the next one
            self.stage.say(self.stage.OPEN)
        self.s, peer = self.stage.came.get(timeout=LIMIT)
        self.s.settimeout(LIMIT)
        self.writer = threading.Thread(target=self.write, args=(peer,), daemon=True)
        self.writer.start()
        self.minor, self.got, self.rest = minor, [], b""
        self.raw(struct.pack("<I", major << 16 | minor))

    def write(self, peer):
        """What the test sends; in the end it has hung up."""
        try:
            while data := peer.recv(65536):
                self.stage.say(self.stage.DATA, data)
        except OSError:
            pass

    def hang_up(self):
        self.s.close()
        self.writer.join()
        self.stage.say(self.stage.SHUT)

    def close(self):
        if self.s:
            self.hang_up()
        else:
            self.stage.say(self.stage.SHUT)

    def image(self, width, height, color=0x123456):
        p = StagePages(self.stage, width, height)
        p.fill(color)
        return p


class StagePages:
    def __init__(self, stage, width, height, peer=0):
        """peer: the domain that may map them. No references: errno."""
        self.stage, self.width, self.height, self.n = stage, width, height, max(1, (width * height * 4 + 4095) // 4096)
        self.id, *self.refs = struct.unpack("<%dI" % (len(a := stage.ask(stage.PAGES, struct.pack("<II", peer, self.n))) // 4), a)

    def fill(self, color, x=0, y=0, w=None, h=None):
        self.stage.say(Stage.FILL, struct.pack("<7I", self.id, self.width, x, y, w or self.width - x, h or self.height - y, color))

    def free(self):
        """They are the qube's no more; what Dom0 maps Xen keeps."""
        self.stage.ask(Stage.FREE, struct.pack("<I", self.id))
