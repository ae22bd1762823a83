#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""tools.py MODULES OUT: the test add-on of the image, OUT/test.cpio (appended to Dom0's initramfs: the agent and the
modules it needs) and OUT/tools.squashfs (a disk of Dom0's: python3, the commands that tests use, an X server and the
desktop template, which the image itself has not). MODULES is the image's /lib/modules/VERSION with its modules.dep;
OUT/windows, OUT/desktop and OUT/prog are there. Packages are fetched and unpacked, not installed."""
import os, re, shutil, subprocess, sys

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGES = """python3.11-minimal libpython3.11-minimal libpython3.11-stdlib libexpat1 zlib1g libffi8 libc6 libgcc-s1
    dash coreutils findutils grep sed mawk procps util-linux libproc2-0 libsystemd0 libselinux1 libpcre2-8-0 libacl1 libattr1
    libgmp10 libmount1 libblkid1 libuuid1 libsmartcols1 libtinfo6 libncursesw6 libcap-ng0 libcap2 libgcrypt20
    libgpg-error0 liblzma5 libzstd1 liblz4-1 libudev1 libcrypt1 libx11-6 libxcb1 libxau6 libxdmcp6 libbsd0 libmd0""".split()
# What our own programs need that are not in the image, and Python where threads end with it.
LIBRARIES = ["libX11.so.6", "libgcc_s.so.1"]
# Where busybox's differ, tests mean these.
BIN = """cat chmod chown cp cut date df dd du env head id kill ln ls mkdir mkfifo mknod mktemp mv nice nproc od printf
    readlink realpath rm rmdir seq sha256sum sleep sort stat tail tee test timeout touch tr true truncate uniq wc
    find xargs grep sed mawk pgrep pkill ps free setpriv unshare nsenter prlimit findmnt dash""".split()
X = "Xvfb xkbcomp".split()
# Ours, of a Dom0 with an X server.
OURS = "qubes-monitors qubes.WindowIconUpdater".split()
MODULES = "virtio_pci virtio_console virtio_blk 9pnet_virtio 9p squashfs overlay".split()
ZONES = "usr/bin", "bin", "usr/sbin", "sbin"


def fetch(where):
    root = where + "/root"
    if os.path.exists(where + "/done") and open(where + "/done").read() == " ".join(PACKAGES):
        return root
    shutil.rmtree(where, ignore_errors=True)
    os.makedirs(where + "/debs")
    subprocess.run(["apt-get", "-qq", "-o", "APT::Sandbox::User=", "download", *PACKAGES], cwd=where + "/debs",
                   check=True, stdout=subprocess.DEVNULL)
    for f in os.listdir(where + "/debs"):
        subprocess.run(["dpkg-deb", "-x", "%s/debs/%s" % (where, f), root], check=True)
    with open(where + "/done", "w") as f:
        f.write(" ".join(PACKAGES))
    return root


def first(root, name, zones):
    for z in zones:
        p = os.path.join(root, z, name)
        if os.path.lexists(p):
            return p if not os.path.islink(p) else os.path.join(os.path.dirname(p), os.readlink(p))
    sys.exit("tools.py: no %s in the packages" % name)


def libraries(root, path, have):
    """What a program needs, and what that needs."""
    text = subprocess.run(["readelf", "-d", path], capture_output=True, text=True).stdout
    for name in re.findall(r"\(NEEDED\).*\[(.*)\]", text):
        if name not in have:
            have[name] = first(root, name, ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"))
            libraries(root, have[name], have)


def tools(root, windows, desktop, prog, out, tree):
    shutil.rmtree(tree, ignore_errors=True)
    os.makedirs(tree + "/bin"), os.makedirs(tree + "/lib"), os.makedirs(tree + "/share")
    libs, py = {}, root + "/usr/lib/python3.11"
    for name in BIN + ["python3.11"]:
        src = first(root, name, ZONES)
        shutil.copy2(src, tree + "/bin/" + name)
        libraries(root, src, libs)
    for name in X:
        src = first(windows, name, ZONES)
        shutil.copy2(src, tree + "/bin/" + name)
        libraries(windows, src, libs)
    shutil.copytree(windows + "/usr/share/X11/xkb", tree + "/share/xkb", symlinks=True, ignore=shutil.ignore_patterns("*.xml"))
    shutil.copytree(desktop, tree + "/desktop", symlinks=True)
    for name in OURS:
        subprocess.run(["strip", "-o", tree + "/bin/" + name, prog + "/usr/lib/qubes/" + name], check=True)
    for name in LIBRARIES:
        libs[name] = first(root, name, ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"))
        libraries(root, libs[name], libs)
    os.symlink("python3.11", tree + "/bin/python3")
    os.symlink("mawk", tree + "/bin/awk")
    shutil.copytree(py, tree + "/lib/python3.11", symlinks=True, ignore=shutil.ignore_patterns(
        "idlelib", "tkinter", "lib2to3", "ensurepip", "distutils", "unittest", "pydoc_data", "test", "asyncio"))
    for mod in os.listdir(tree + "/lib/python3.11/lib-dynload"):
        if re.match("_(ctypes|posixshmem|queue|json|multiprocessing)\\.|(resource|termios|mmap)\\.", mod):
            libraries(root, tree + "/lib/python3.11/lib-dynload/" + mod, libs)
    for name, src in libs.items():
        shutil.copy2(src, tree + "/lib/" + name)
    # By the very one that will read it.
    subprocess.run([tree + "/lib/ld-linux-x86-64.so.2", "--library-path", tree + "/lib", tree + "/bin/python3.11", "-m",
                    "compileall", "-q", "-s", tree, "-p", "/test", tree + "/lib/python3.11"],
                   env={"PYTHONHOME": tree}, check=True)
    with open(tree + "/links", "w") as f:
        f.write("""#!/bin/sh
# What the image has stays.
mkdir -p /usr/lib/x86_64-linux-gnu /lib64
[ -e /lib64/ld-linux-x86-64.so.2 ] || ln -s /test/lib/ld-linux-x86-64.so.2 /lib64/
cd /test/lib || exit
for f in *.so*; do
	[ -e "/lib/$f" ] || [ -e "/usr/lib/x86_64-linux-gnu/$f" ] || ln -s "/test/lib/$f" /usr/lib/x86_64-linux-gnu/
done
ln -sfn /test/lib/python3.11 /usr/lib/python3.11
ln -sfn /test/bin/python3 /usr/bin/python3
# Where the X server looks.
mkdir -p /usr/share/X11
ln -sfn /test/share/xkb /usr/share/X11/xkb
ln -sfn /test/bin/xkbcomp /usr/bin/xkbcomp
for p in %s; do ln -sfn "/test/bin/$p" "/usr/lib/qubes/$p"; done
ln -sfn /test/desktop /var/lib/qubes/vm-kernels/desktop
""" % " ".join(OURS))
    os.chmod(tree + "/links", 0o755)
    subprocess.run(["mksquashfs", tree, out + ".tmp", "-comp", "zstd", "-Xcompression-level", "3", "-all-root",
                    "-no-progress", "-noappend", "-quiet"], check=True, stdout=subprocess.DEVNULL)
    os.rename(out + ".tmp", out)


def order(modules):
    """Files in the order they must be loaded in."""
    deps = {}
    with open(modules + "/modules.dep") as f:
        for line in f:
            path, rest = line.rstrip("\n").split(":")
            deps[path] = rest.split()
    names = {re.sub(r"\.ko(\.\w+)?$", "", os.path.basename(p)).replace("-", "_"): p for p in deps}
    todo = []

    def add(p):
        for d in deps[p]:
            add(d)
        if p not in todo:
            todo.append(p)
    for m in MODULES:
        if m in names:  # else it is built in
            add(names[m])
    return todo


def cpio(modules, out, tree):
    shutil.rmtree(tree, ignore_errors=True)
    where = tree + "/etc/cubicle"
    os.makedirs(where + "/modules")
    shutil.copy2(HERE + "/agent", where + "/test-init")
    shutil.copy2(HERE + "/prepare", where + "/test-prepare")
    for n, p in enumerate(order(modules)):
        subprocess.run(["strip", "-g", "-o", "%s/modules/%02d-%s" % (where, n, os.path.basename(p)), modules + "/" + p],
                       check=True)
    files = subprocess.run(["find", ".", "-mindepth", "1"], cwd=tree, capture_output=True).stdout
    entries(tree, sorted(files.decode().split()), out)


def entries(tree, names, out):
    """The archive itself (newc): owned by root, whoever makes it."""
    with open(out + ".tmp", "wb") as f:
        def put(name, mode, data):
            head = [len(put.seen) + 1, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
            put.seen.append(name)
            f.write(b"070701" + b"".join(b"%08X" % x for x in head) + name.encode() + b"\0")
            f.write(b"\0" * (-f.tell() % 4) + data)
            f.write(b"\0" * (-f.tell() % 4))
        put.seen = []
        for name in names:
            path = os.path.join(tree, name)
            data = b"" if os.path.isdir(path) else open(path, "rb").read()
            put(name[2:], os.stat(path).st_mode, data)
        put("TRAILER!!!", 0, b"")
    os.rename(out + ".tmp", out)


def main():
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        sys.exit(100)
    modules, out = sys.argv[1], os.path.abspath(sys.argv[2])
    os.makedirs(out, exist_ok=True)
    root = fetch(out + "/tools.pkg")
    tools(root, out + "/windows", out + "/desktop", out + "/prog", out + "/tools.squashfs", out + "/tools.pkg/tree")
    cpio(modules, out + "/test.cpio", out + "/tools.pkg/cpio")


main()
