#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
# On real Xen a domain is destroyed while each daemon is in the middle of something with it: Xen has forgotten it soon,
# who hung on it ends, nothing is left. And its number, used again.
from dom0 import *


def ask_chand(text):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(LIMIT)
    s.connect(RUN + "/s/chan.sock")
    s.send(text.encode())
    return s


def set_up():
    allow_cat()
    eq(serve_cat("work"), [0], "a service")


def blocked(name):
    """All kinds of waiting at once: processes of Dom0's that must end, chand's answer; do all run?"""
    before = cats("work")
    calls = [background("qvm-run", name, "sleep 1000 | qrexec-client-vm dom0 t.Cat"),
             background("qvm-run", name, "sleep 1000 | qrexec-client-vm work t.Cat"),
             # what goes in ends with what takes it
             background("qvm-run", "work", "mkfifo /tmp/f.$$; exec 3<>/tmp/f.$$; exec qrexec-client-vm %s t.Cat <&3" % name)]
    run = until(lambda: cats(name) >= 1 and cats("work") > before and sh("pgrep", "-x", "-U", "1900000002", "cat")[0] == 0)
    # And these all the time; they come last, for they leave nobody else much of a processor.
    calls += [background("qvm-run", "-p", name, "cat /dev/zero"),
              background("sh", "-c", "exec qvm-run -p %s 'sleep 1000' </dev/zero" % name),
              background("sh", "-c", "sleep 1000 | exec qvm-console %s" % name)]
    run = run and until(lambda: cats(name) >= 2)
    return calls, ask_chand("role=client\nport=799\ndomid=%s\n\n" % state(name)["domid"]), run, before


def destroyed(how):
    conf("doomed")
    if not eq(start("doomed")[0], 0, how + ": a qube"):
        return
    serve_cat("doomed")
    domid = int(state("doomed")["domid"])
    calls, chan, run, before = blocked("doomed")
    ok(run, how + ": calls of each kind run", [c.poll() for c in calls])
    log = since("doomed/vm")
    if how == "qvm-kill":
        killing = background("qvm-kill", "doomed")
    else:
        dom("destroy", domid)
        killing = None
    zombie(domid, how + ": Xen has forgotten it")
    chan.settimeout(LIMIT)
    try:
        ok(b"refused" in chan.recv(4096), how + ": who waited for a server of it is told")
    except socket.timeout:
        ok(False, how + ": who waited for a server of it is told")
    chan.close()
    late = ended(calls[:-1])
    eq(late, [], how + ": all calls have ended")
    ok(0 not in [c.returncode for c in calls[:-1]], how + ": with an error", [c.returncode for c in calls])
    sh("pkill", "-x", "sleep")
    eq(ended(calls), [], how + ": and who was attached to its console")
    is_gone("doomed", domid, how + ": nothing is left")
    ok(until(lambda: sh("pgrep", "-x", "-U", "1900000002", "cat")[0] == 1), how + ": Dom0's service has ended")
    if killing:
        eq(ended([killing]), [], "qvm-kill ends")
        eq(killing.returncode, 0, "well")
    else:
        ok(log.says("ended, code 20"), "destroyed by others: a crash", log.text())
    ok(until(lambda: cats("work") <= before), how + ": the server in the other qube has ended", cats("work"))
    ok("zombie" not in log.text(), how + ": no zombie in the log", log.text())
    ok(alive("work"), how + ": others are served")


def killed():
    destroyed("qvm-kill")


def destroyed_by_others():
    destroyed("destroyed by others")


def while_it_starts():
    conf("doomed", kernelopts="rdinit=/bin/cat", qrexec_timeout=60 * SLOW)
    for how in ("qvm-kill", "destroyed by others"):
        starting = subprocess.Popen(["qvm-start", "doomed"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        ok(until(lambda: is_state("doomed", "Transient"), 2 * LIMIT), how + " while vmstart waits for the agent")
        domid = int(state("doomed")["domid"])
        dom("destroy", domid) if how != "qvm-kill" else sh("qvm-kill", "doomed")
        zombie(domid, how + ": Xen has forgotten it")
        try:
            out = starting.communicate(timeout=LIMIT)[0]
        except subprocess.TimeoutExpired:
            starting.kill()
            out = "hangs"
        ok(starting.returncode == 1 and "before its agent answered" in out, how + ": qvm-start fails, with the reason", out)
        is_gone("doomed", domid, how + ": nothing is left")


def ten_times():
    conf("doomed", kernelopts="rdinit=/bin/cat", qrexec_timeout=60 * SLOW)
    seen, sessions = [], []
    for _ in range(max(3, few(10))):
        starting = background("qvm-start", "doomed")
        if not until(lambda: is_state("doomed", "Transient"), 2 * LIMIT):
            break
        s = state("doomed")
        seen.append(int(s["domid"])), sessions.append(s["session"])
        # The next start comes while this one ends.
        killing = background("qvm-kill", "doomed")
        until(lambda: not is_state("doomed", "Transient"))
        again = background("qvm-start", "doomed")
        late = ended([killing, starting])
        if late:
            ok(False, "kill and start ends", late)
        until(lambda: state("doomed").get("session", s["session"]) != s["session"])
        s = state("doomed")
        seen.append(int(s.get("domid", -1))), sessions.append(s.get("session"))
        sh("qvm-kill", "doomed")
        ended([again])
    ok(len(seen) >= 6 and -1 not in seen, "started again right after it was killed, %d times" % len(seen), seen)
    ok(len(set(seen)) == len(seen) == len(set(sessions)), "each time another domain, another session", (seen, sessions))
    is_gone("doomed", seen[-1], "nothing is left of the last")
    eq([i for i in seen if i in domains() or nodes_of(i)], [], "nor of any other")


def number_again():
    """All numbers are used up, so that the next domain gets that of one that was."""
    conf("doomed"), conf("heir")
    eq(start("doomed")[0], 0, "a qube")
    old = state("doomed")
    domid = int(old["domid"])
    # Who held a channel to it, and does not let go before the next has the number.
    holder = background("qvm-run", "-p", "doomed", "sleep 1000")
    ok(until(lambda: inside("doomed", "ps -o comm")[1].split().count("sleep")), "a call")
    holder.send_signal(19)
    sh("qvm-kill", "doomed")
    # As many as there are numbers, but for those in use and the last.
    last = dom("spin", 32750 - len([i for i in domains() if i != domid]))
    eq(last, (0, str(max(i for i in range(1, domid) if i not in domains()))), "all numbers but that are used up")
    holder.kill()
    holder.wait()
    ok(until(lambda: domid not in domains()), "the dead one lets go of it")
    eq(start("heir")[0], 0, "another starts")
    new = state("heir")
    eq(new["domid"], old["domid"], "and has the number")
    ok(new["session"] != old["session"] and new["uuid"] != old["uuid"], "another session")
    ok(alive("heir"), "it is served")
    eq(inside("heir", "hostname"), (0, "heir"), "as itself")
    eq(os.readlink(RUN + "/qrexec." + new["domid"]), "q/heir/qrexec", "its number leads to it")
    eq(start("doomed")[0], 0, "the first one again")
    ok(state("doomed")["domid"] != new["domid"] and alive("doomed") and alive("heir"), "both are served")
    sh("qvm-kill", "heir")
    is_gone("heir", domid, "and it goes as any other")


set_up()
rows((killed, destroyed_by_others, while_it_starts, ten_times, number_again))
done()
