#!/bin/sh
# SPDX-License-Identifier: ISC
# qrexec-policy: explain, lint, graph, and the names that scripts know; without a house, on files of its own.
. "${0%/*}/../tap.sh"
top=$(cd "${0%/*}/../.." && pwd)
bin=${O-build/local}/bin
case $bin in /*) ;; *) bin=$top/$bin ;; esac
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
mkdir "$d/etc" "$d/run" "$d/legacy" "$d/bin"
for n in qrexec-policy-exec qubes-policy-lint qrexec-policy-graph; do ln -s "$bin/qrexec-policy" "$d/bin/$n"; done
p=$bin/qrexec-policy
dirs="--etc $d/etc --run $d/run --legacy $d/legacy --system-info $d/si.json"
cat >"$d/si.json" <<'J'
{"domains": {
 "dom0": {"type": "AdminVM", "uuid": "00000000-0000-0000-0000-000000000000", "power_state": "Running"},
 "work": {"type": "AppVM", "uuid": "00000001-1111-4222-8333-444455556666", "default_dispvm": "dvm"},
 "mail": {"type": "AppVM", "uuid": "00000002-1111-4222-8333-444455556666"},
 "dvm": {"type": "AppVM", "uuid": "00000003-1111-4222-8333-444455556666", "template_for_dispvms": true}}}
J
cat >"$d/etc/30-user.policy" <<'P'
t.S +x work mail deny
t.S * work mail allow user=root
t.s * work dvm allow
t.S * work @anyvm ask default_target=mail
t.S * work dvm deny
P

# shellcheck disable=SC2086
e() { "$p" explain $dirs "$@"; }
out=$(e work mail t.S+y)
like "$out" '^allow: to mail as root$' 'explain: the decision'
like "$out" "30-user.policy:2: t.S \* work mail allow user=root" 'the deciding rule with file, line and text'
like "$out" 'but not the argument \+x$' 'what a rule before it lacked'
out=$(e work dvm t.S)
like "$out" 'offered: mail \(preselected\)' 'what a prompt would offer'
like "$out" 'but not the service t.s$' 'a service misspelt in case'
like "$(e work nosuch t.S)" 'nosuch counts as @default' 'an unknown target'
like "$(e mail work t.S)" '^deny: no rule matches' 'no rule'
like "$(e --all work)" '^t.S\+x .* ask .* - ' 'the matrix'
is "$(e --all work | wc -l)" 4 'has a line for each call'

# shellcheck disable=SC2086
l() { "$p" lint $dirs "$@"; }
is "$(l)" "$d/etc/30-user.policy:5:7: warning: never reached: hidden by $d/etc/30-user.policy:4" 'lint: a hidden rule'
is "$(rc l)" 0 'warnings are no errors'
cat >"$d/etc/31-x.policy" <<'P'
t.A * $anyvm nosuch allow target=gone
t.A * @dispvm:dvm mail allow
t.B * * @tag:x deny
t.B * @anyvm @anyvm deny
t.B * work @tag:x allow
t.C * work @anyvm ask target=dvm
t.C * work mail allow
t.C * @anyvm * ask
t.D * @anyvm @anyvm deny
t.D * work @tag:x allow
P
out=$(l | grep 31-x)
like "$out" ':1:7: warning: \$anyvm is taken as a name' 'a word with $'
like "$out" ':1:14: warning: nosuch: no qube' 'an unknown target'
like "$out" ':1:27: warning: target=gone|:1:27: warning: gone: no qube' 'an unknown redirect'
like "$out" ':2:7: warning: @dispvm:dvm as source' 'a source that matches nothing'
like "$out" ':5:7: warning: never reached: hidden by .*31-x.policy:3' 'hidden by *'
is "$(echo "$out" | grep -c never)" 1 'and only what is surely hidden'
printf '!include none\nx * y\n' >"$d/etc/32-y.policy"
out=$(l || true)
like "$out" '32-y.policy:1:10: error: .*none: No such file' 'a missing include'
like "$out" '32-y.policy:2:5: error: 3 words' 'and the error behind it'
is "$(rc l)" 1 'exit 1'
like "$(l "$d/etc" | head -n 1)" 'etc/30-user.policy:5' 'another directory'
is "$(rc "$p" print $dirs)" 1 'print refuses a broken policy'
is "$("$p" eval $dirs --source work --target mail --service t.S 2>/dev/null)" error 'eval says error'
out=$("$d/bin/qubes-policy-lint" "$d/etc/30-user.policy" "$d/etc/32-y.policy" || true)
like "$out" '32-y.policy:2:5: error' 'qubes-policy-lint'
is "$(rc "$d/bin/qubes-policy-lint" "$d/etc/30-user.policy")" 0 'and a good file'
rm "$d/etc/31-x.policy" "$d/etc/32-y.policy"

# shellcheck disable=SC2086
out=$("$p" graph $dirs --source work mail --include-ask)
like "$out" '"work" -> "mail" \[label="t.S" color=red\]' 'graph: allowed'
like "$out" '"work" -> "@dispvm" \[label="t.S" color=orange\]' 'asked'
# shellcheck disable=SC2086
"$d/bin/qrexec-policy-graph" $dirs --target mail --skip-labels --output "$d/g"
is "$(grep -c ' -> ' "$d/g")" 1 'qrexec-policy-graph into a file'

x() { "$d/bin/qrexec-policy-exec" --socket "$d/none" "$@"; }
is "$(rc x work mail)" 2 'qrexec-policy-exec: usage is 2'
is "$(rc x --nonsense -- a b c)" 2 'and so is an unknown option'
cp "$d/etc/30-user.policy" "$d/run"
is "$(x --path "$d/run" -- ghost mail t.S 2>/dev/null)" result=deny 'without policyd it decides itself'
is "$(rc x --path "$d/run" -- ghost mail t.S)" 1 'deny is 1'
echo '* * * @adminvm allow user=u' >"$d/run/30-user.policy"
is "$(x --path "$d/run" -- ghost dom0 t.S 2>/dev/null | tr '\n' ' ')" \
	'user=u result=allow target=dom0 autostart=True requested_target=dom0 ' 'the answer as policyd gives it'
is "$(x --just-evaluate --path "$d/run" -- ghost dom0 t.S 2>/dev/null; echo $?)" 0 'only the status'
# It asks policyd where there is one: here one that allows and hands out a ticket too.
python3 - "$d/policy.sock" <<'Y' &
import socket, sys
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen()
for answer in (b"user=DEFAULT\nresult=allow\ntarget=mail\nautostart=True\nrequested_target=mail\nticket=00\n", b""):
    c = s.accept()[0]; req = b""
    while not req.endswith(b"\n\n"):
        req += c.recv(4096)
    open(sys.argv[1] + ".req", "wb").write(req); c.sendall(answer); c.close()
Y
until_true test -S "$d/policy.sock"
x() { "$d/bin/qrexec-policy-exec" --socket "$d/policy.sock" "$@"; }
is "$(x -- work mail t.S | tr '\n' ' ')" 'user=DEFAULT result=allow target=mail autostart=True requested_target=mail ' \
	'it asks policyd'
like "$(cat "$d/policy.sock.req")" '^service_and_arg=t.S$' 'with the request'
is "$(x -- work mail t.S 2>/dev/null; echo $?)" 1 'no answer is a refusal'
is "$(rc "$p" nonsense)" 100 'an unknown sub-command'
is "$(rc "$p" --help)" 0 '--help'
done_testing
