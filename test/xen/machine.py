#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Drives an emulated machine that runs the image on real Xen (QEMU, no hardware support needed).

  machine.py run  [options] COMMAND...         boot (or restore), run each command in Dom0, end
  machine.py save [options] STATE COMMAND...   the same, and keep the running machine in file STATE

The image is a folder: xen, vmlinux, dom0.cpio, and the test add-on (tools.py): test.cpio, through which Dom0 obeys
(agent), and tools.squashfs. How it is started says image/machine. A command is a line for sh; what it prints is printed, and the first status
that is not 0 becomes ours. 111: the machine itself failed, and the last lines of its console are shown."""
import argparse, ctypes, os, secrets, shutil, signal, socket, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
PORT = "cubicle.test"
SHARES = "top", "out", "keep"


class Failed(Exception):
    pass


def settings():
    """The variables of image/machine."""
    names = "XEN", "XEN_EMULATED", "DOM0", "QEMU"
    text = subprocess.run(["sh", "-euc", '. "$1"; echo $XEN; echo $XEN_EMULATED; echo $DOM0; echo $QEMU', "sh",
                           HERE + "/../../image/machine"], capture_output=True, text=True, check=True).stdout
    return dict(zip(names, text.split("\n")))


def end_with_us():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Machine:
    """One processor: two emulated ones of a machine wait for each other's locks, and two machines with one each do more."""

    def __init__(self, image, mem=1280, dom0=384, smp=1, restore=None, log=None, shares=None, xen="", kernel=""):
        self.dir = tempfile.mkdtemp(prefix="machine.")
        self.proc, self.ctl, self.buf = None, None, b""
        self.log = log or self.dir + "/console"
        f, s = lambda name: os.path.join(image, name), settings()
        args = ["qemu-system-x86_64", *s["QEMU"].split(), "-smp", str(smp), "-m", str(mem), "-kernel", f("xen"),
                "-append", "%s %s dom0_mem=%dM,max:%dM %s" % (s["XEN"], s["XEN_EMULATED"], dom0, dom0, xen),
                "-initrd", "%s %s %s,%s" % (f("vmlinux"), s["DOM0"], kernel, self.joined(f("dom0.cpio"), f("test.cpio"))),
                "-chardev", "file,id=con,path=" + self.log, "-serial", "chardev:con",
                "-monitor", "unix:%s/mon,server=on,wait=off" % self.dir,
                "-chardev", "socket,id=ctl,path=%s/ctl,server=on,wait=off" % self.dir,
                "-device", "virtio-serial-pci", "-device", "virtserialport,chardev=ctl,name=" + PORT,
                "-drive", "file=%s,format=raw,if=none,readonly=on,id=tools,file.locking=off" % f("tools.squashfs"),
                "-device", "virtio-blk-pci,drive=tools"]
        # A saved machine has them all, whatever they are, and has mounted none.
        for tag in SHARES:
            where = (shares or {}).get(tag) or self.dir
            args += ["-virtfs", "local,path=%s,mount_tag=%s,security_model=none,multidevs=remap%s" % (
                os.path.abspath(where), tag, "" if tag == "keep" else ",readonly=on")]
        if restore:
            args += ["-incoming", "exec:cat '%s'" % restore]
        self.born = time.monotonic()
        try:
            self.err = open(self.dir + "/err", "w+")
            self.proc = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=self.err, stderr=self.err,
                                         preexec_fn=end_with_us)
            self.mon = self.connect("mon")
            self.monitor(None)
            self.ctl = self.connect("ctl")
            if restore:
                end = time.monotonic() + 60
                while "inmigrate" in self.monitor("info status"):
                    if time.monotonic() > end:
                        raise Failed("the saved machine does not come")
                    time.sleep(0.02)
                self.monitor("cont")
        except BaseException:
            self.close()
            raise

    def joined(self, *parts):
        """One initramfs: the kernel unpacks archives one after the other, each padded to 4 bytes."""
        path = self.dir + "/initrd"
        with open(path, "wb") as out:
            for p in parts:
                with open(p, "rb") as f:
                    shutil.copyfileobj(f, out)
                out.write(b"\0" * (-out.tell() % 4))
        return path

    def connect(self, name):
        end = time.monotonic() + 20
        while True:
            s = socket.socket(socket.AF_UNIX)
            try:
                s.connect("%s/%s" % (self.dir, name))
                return s
            except OSError:
                s.close()
                if self.proc.poll() is not None or time.monotonic() > end:
                    raise Failed("QEMU does not start") from None
                time.sleep(0.01)

    def receive(self, s, end):
        s.settimeout(max(0.01, end - time.monotonic()))
        try:
            got = s.recv(65536)
        except socket.timeout:
            raise Failed("no answer in time") from None
        except OSError:
            got = b""
        if not got:
            raise Failed("the machine has ended")
        return got

    def monitor(self, command, limit=120):
        """What QEMU answers; None: only its greeting."""
        if command is not None:
            self.mon.sendall(command.encode() + b"\n")
        text, end = b"", time.monotonic() + limit
        while not text.endswith(b"(qemu) "):
            text += self.receive(self.mon, end)
        return text.decode(errors="replace")

    def run(self, command, limit=120, out=None):
        """One command line in Dom0: status, what it printed. out: called with each part as it comes."""
        token = secrets.token_hex(8).encode()
        self.ctl.sendall(token + b" " + command.replace("\n", " ").encode() + b"\n")
        end, kept, mark = time.monotonic() + limit, [], b"\n" + token + b" "

        def give(part):
            if part and out:
                out(part)
            elif part:
                kept.append(part)
        while True:
            at = self.buf.find(mark)
            if at >= 0 and b"\n" in self.buf[at + 1:]:
                give(self.buf[:at])
                line, self.buf = self.buf[at + 1:].split(b"\n", 1)
                return int(line.split()[1]), b"".join(kept).decode(errors="replace")
            if at < 0:  # what may be the beginning of the mark stays
                keep = max((n for n in range(1, len(mark)) if self.buf.endswith(mark[:n])), default=0)
                give(self.buf[:len(self.buf) - keep])
                self.buf = self.buf[len(self.buf) - keep:]
            try:
                self.buf += self.receive(self.ctl, end)
            except Failed as e:
                give(self.buf)
                raise Failed("%s: %s" % (command[:200], e)) from None

    def ready(self, limit=180):
        self.run("true", limit)
        return time.monotonic() - self.born

    def save(self, path):
        self.monitor("stop")
        self.monitor("migrate_set_parameter max-bandwidth 10G")
        self.monitor("migrate \"exec:cat >'%s'\"" % path)
        if "completed" not in self.monitor("info migrate"):
            raise Failed("the machine cannot be saved: " + self.monitor("info migrate"))

    def console(self, lines=25):
        text = ""
        for path in self.log, self.dir + "/err":
            try:
                with open(path, errors="replace") as f:
                    text += f.read()[-20000:]
            except OSError:
                pass
        return "".join("# | %s\n" % l.rstrip() for l in text.splitlines()[-lines:])

    def close(self):
        if self.proc and self.proc.poll() is None:
            self.proc.kill()
        if self.proc:
            self.proc.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def options(ap):
    ap.add_argument("--image", required=True, metavar="DIR")
    ap.add_argument("--mem", type=int, default=1280, metavar="MB")
    ap.add_argument("--dom0", type=int, default=384, metavar="MB")
    ap.add_argument("--smp", type=int, default=1)
    ap.add_argument("--restore", metavar="STATE")
    ap.add_argument("--log", metavar="FILE", help="Dom0's and Xen's console")
    ap.add_argument("--xen", default="", help="more of Xen's command line")
    ap.add_argument("--kernel", default="", help="more of Dom0's")
    ap.add_argument("--limit", type=float, default=180, metavar="SECONDS", help="of a command, and of the boot")
    for tag in SHARES:
        ap.add_argument("--" + tag, metavar="DIR", help="folder that Dom0 can mount: mount -t 9p " + tag)


def machine(a):
    return Machine(a.image, a.mem, a.dom0, a.smp, a.restore, a.log, {t: getattr(a, t) for t in SHARES}, a.xen, a.kernel)


def stream(part):
    sys.stdout.buffer.write(part)
    sys.stdout.buffer.flush()


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(111))
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("what", choices=["run", "save"])
    options(ap)
    ap.add_argument("args", nargs="*")
    a = ap.parse_intermixed_args()
    state = a.args.pop(0) if a.what == "save" else None
    with machine(a) as m:
        try:
            print("# %s after %.2f s" % ("restored" if a.restore else "up", m.ready(a.limit)), flush=True)
            for c in a.args:
                began = time.monotonic()
                code = m.run(c, a.limit, stream)[0]
                print("# %.2f s: %.60s" % (time.monotonic() - began, c), flush=True)
                if code:
                    return code
            if state:
                began = time.monotonic()
                m.save(state)
                print("# saved in %.2f s, %d MB" % (time.monotonic() - began, os.path.getsize(state) // 1000000))
        except Failed as e:
            print("machine.py: %s; the end of the console:\n%s" % (e, m.console()), file=sys.stderr, end="")
            return 111
    return 0


if __name__ == "__main__":
    sys.exit(main())
