#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The cases of test/cases/policy.json over `qrexec-policy eval`; and what `print` prints is the same policy."""
import json, os, pathlib, shutil, subprocess, sys, tempfile
from concurrent.futures import ThreadPoolExecutor

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
PROG = str(TOP / os.environ.get("O", "build/local") / "bin" / "qrexec-policy")
CASES = json.loads((TOP / "test/cases/policy.json").read_text())


def want(case):
    kind, x = case["expect"], case["detail"]
    if kind == "allow":
        return dict(x, verdict=kind, notify="yes" if x["notify"] else "no")
    if kind == "ask":
        return {"verdict": kind, "targets": sorted(x["targets"]), "default_target": x["default_target"] or "",
                "user": x["user"] or "", "autostart": str(x["autostart"]), "notify": "yes" if x["notify"] else "no"}
    if kind == "deny":
        return {"verdict": kind, "notify": "yes" if x.startswith("notify ") else "no"}
    return {"verdict": "error"}


def run(*argv):
    return subprocess.run([PROG, *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def got(text):
    lines = text.split("\n")
    pairs = [tuple(l.split("=", 1)) for l in lines[1:] if "=" in l]
    answer = {"verdict": lines[0]}
    if lines[0] == "ask":
        answer.update(targets=sorted(v for k, v in pairs if k == "target"), default_target="", user="")
        pairs = [p for p in pairs if p[0] != "target"]
    answer.update(pairs)
    return answer


def build(root, case):
    files = dict(case["files"])
    if case["policy"] is not None:
        files["etc/30-user.policy"] = case["policy"]
    for name in ("etc", "run", "legacy", "empty"):
        if "-" + name not in files:
            (root / name).mkdir()
    for path, text in files.items():
        if path.startswith("-"):
            continue
        f = root / path
        if text is None:
            f.mkdir(parents=True, exist_ok=True)
        else:
            f.parent.mkdir(parents=True, exist_ok=True)
            f.write_bytes(text.replace("@ROOT@", str(root)).encode())


def dirs(root, etc, other):
    return ["--etc", str(root / etc), "--run", str(root / other), "--legacy", str(root / "legacy")]


def rules(text):
    return [l for l in text.split("\n") if l and not l.startswith("#")]


def one(case):
    root = pathlib.Path(tempfile.mkdtemp(prefix="policy-case."))
    try:
        build(root, case)
        (root / "si.json").write_text(json.dumps(CASES["system_info"]))
        service, source, target = case["request"]
        ask = ["--system-info", str(root / "si.json"), "--source", source, "--target", target, "--service", service]
        if "requested_source" in case["opts"]:
            ask += ["--requested-source", case["opts"]["requested_source"]]
        first = got(run("eval", *dirs(root, "etc", "run"), *ask).stdout)
        if first != want(case):
            return "got %s, wanted %s" % (first, want(case))
        printed = run("print", *dirs(root, "etc", "run"))
        if printed.returncode != 0:
            return "" if want(case)["verdict"] == "error" else "print: " + printed.stderr
        (root / "again").mkdir()
        (root / "again" / "1.policy").write_text(printed.stdout)
        again = run("print", *dirs(root, "again", "empty"))
        if rules(again.stdout) != rules(printed.stdout):
            return "printed again: " + again.stdout + again.stderr
        second = got(run("eval", *dirs(root, "again", "empty"), *ask).stdout)
        return "" if second == first else "as printed: %s, before: %s" % (second, first)
    finally:
        shutil.rmtree(root)


with ThreadPoolExecutor(2) as pool:
    results = list(pool.map(one, CASES["cases"]))
print("1..%d" % len(results))
for n, (case, why) in enumerate(zip(CASES["cases"], results), 1):
    print("%sok %d - %s" % ("not " if why else "", n, case["id"].replace("#", "\\#").replace("\n", "\\n")))
    if why:
        print("# " + why.replace("\n", "\n# "))
