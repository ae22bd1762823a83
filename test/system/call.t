#!/bin/sh
# SPDX-License-Identifier: ISC
# Calls across the wall, whole: Dom0 to qube, qube to qube, qube to Dom0; bytes, exit codes, policy, tickets.
. "${0%/*}/../tap.sh"
in_house "$@"

printf 'label = blue\n' >/etc/qubes/vm.d/work
printf 'label = black\n' >/etc/qubes/vm.d/vault
cat >/etc/qubes/policy.d/30-user.policy <<'P'
t.Echo * work vault allow
t.Who * work @default allow target=vault
t.Start * work late allow
t.Never * work late allow autostart=no
t.Dom0 * work dom0 allow
t.Dom0 * vault dom0 deny
t.Tcp * work dom0 allow
t.Stay * work dom0 allow
t.User +root work vault allow user=root
t.User * work vault allow
P
printf 'label = red\n' >/etc/qubes/vm.d/late
is "$(rc qubes work vault)" 0 'two qubes run'
like "$(qvm-ls --raw-data --fields name,state)" 'work\|Running' 'qvm-ls says Running'

q() { qvm-run -p "$@"; }
q -u root vault 'mkdir -p /usr/local/etc/qubes-rpc; cd /usr/local/etc/qubes-rpc
for s in t.Echo t.Who t.User; do printf "#!/bin/sh\n" >$s; chmod +x $s; done
echo "exec cat" >>t.Echo
echo "echo \$QREXEC_REMOTE_DOMAIN \$QREXEC_SERVICE_FULL_NAME \$QREXEC_SERVICE_ARGUMENT" >>t.Who
echo "id -un" >>t.User'

head -c $((3000000 / LESS)) /dev/urandom >/tmp/call.$$
sum=$(sha256sum </tmp/call.$$)
is "$(q work cat </tmp/call.$$ | sha256sum)" "$sum" 'bytes to a qube and back'
is "$(q work 'qrexec-client-vm vault t.Echo' </tmp/call.$$ | sha256sum)" "$sum" 'bytes through two qubes'
is "$(q work 'qrexec-client-vm "" t.Who+x' )" 'work t.Who+x x' 'redirected by policy; the service knows its caller'
is "$(q work 'qrexec-client-vm vault t.User')" user 'default user'
is "$(q work 'qrexec-client-vm vault t.User+root')" root 'user= of the rule'
for c in 0 1 3 126 127 200 255; do is "$(rc q work "exit $c")" $c "exit code $c"; done
is "$(rc q work 'kill -TERM $$')" 143 'a program killed by a signal: 128 + 15'
is "$(rc q work 'no-such-program')" 127 'a program that is not there'
is "$(rc qvm-run work 'exit 7')" 7 'the exit code without -p'
is "$(rc qvm-run -p nosuch true)" 2 'an unknown qube'
is "$(q work 'echo out; echo err >&2' 2>/dev/null)" out 'stderr is apart'
is "$(q work 'echo err >&2' 2>&1 >/dev/null)" err 'stderr arrives'
is "$(rc q work 'qrexec-client-vm vault t.Nothing')" 126 'no rule: refused'
is "$(rc q work 'qrexec-client-vm work t.Echo')" 126 'to itself: refused'
is "$(rc q vault 'qrexec-client-vm dom0 t.Dom0')" 126 'denied by a rule'

cat >/etc/qubes-rpc/t.Dom0 <<'S'
#!/bin/sh
read -r x; echo "$x from $QREXEC_REMOTE_DOMAIN as $(id -un)"; exit 9
S
chmod +x /etc/qubes-rpc/t.Dom0
is "$(q work 'echo hi | qrexec-client-vm dom0 t.Dom0')" 'hi from work as qubes-svc' "Dom0's own service, not as root"
is "$(rc q work 'echo hi | qrexec-client-vm dom0 t.Dom0')" 9 'its exit code'
mkdir -p /etc/qubes/rpc-config
echo "force-user = 'root'" >/etc/qubes/rpc-config/t.Dom0
is "$(q work 'echo hi | qrexec-client-vm dom0 t.Dom0')" 'hi from work as root' 'force-user says root'
echo 'broken' >/etc/qubes/rpc-config/t.Dom0
is "$(rc q work 'echo hi | qrexec-client-vm dom0 t.Dom0')" 125 'a broken rpc-config: 125'
rm /etc/qubes/rpc-config/t.Dom0

# A service that does not end with its caller.
cat >/etc/qubes-rpc/t.Stay <<'S'
#!/bin/sh
echo started
exec sleep 1000
S
chmod +x /etc/qubes-rpc/t.Stay
q work 'cd /tmp; mkfifo stay; for n in $(seq 32); do
	qrexec-client-vm dom0 t.Stay </dev/null >stay & read -r x <stay; kill -9 $!; wait
done' 2>/dev/null
is "$(rc q work 'qrexec-client-vm dom0 t.Dom0')" 126 'services whose callers have left count among the 32'
pkill -u qubes-svc -x sleep
again() { [ "$(rc q work 'echo hi | qrexec-client-vm dom0 t.Dom0')" = 9 ]; }
until_true again
ok $? 'until they have ended'

is "$(rc q work 'qrexec-client-vm late t.Never')" 126 'autostart=no: refused while halted'
q work 'qrexec-client-vm late t.Start' >/dev/null 2>&1
like "$(qvm-ls --raw-data --fields name,state)" 'late\|Running' 'a call starts its target'

echo 'policy.EvalSimple +t.Echo work dom0 allow' >/etc/qubes/policy.d/28-eval.policy
is "$(q work 'printf "work\0vault" | qrexec-client-vm dom0 policy.EvalSimple+t.Echo')" result=allow 'policy.EvalSimple: allow'
is "$(q work 'printf "vault\0work" | qrexec-client-vm dom0 policy.EvalSimple+t.Echo')" result=deny 'policy.EvalSimple: deny'

echo 't.Who +ask work @anyvm ask default_target=vault' >/etc/qubes/policy.d/27-ask.policy
is "$(rc q work 'qrexec-client-vm vault t.Who+ask')" 126 'ask, and nobody there to be asked: refused'
# The image has none, for it needs an X server's library.
program=$(command -v qrexec-ask || echo "$O/bin/qrexec-ask")
if [ "$(rc "$program" --help)" = 0 ]; then
	printf '#!/bin/sh\ncat >/run/asked\necho allow:vault\n' >/run/answer
	chmod +x /run/answer
	"$program" --ask-command /run/answer &
	ask=$!
	until_true test -S /run/qubes/ask/policy.Ask
	is "$(q work 'qrexec-client-vm vault t.Who+ask')" 'work t.Who+ask ask' 'ask: allowed by the person'
	like "$(cat /run/asked)" '"default_target": *"vault"' 'the front end is told the default target'
	sed -i 's/allow:vault/deny/' /run/answer
	is "$(rc q work 'qrexec-client-vm vault t.Who+ask')" 126 'ask: denied by the person'
	kill $ask
	like "$(cat /var/log/qubes/audit/work/current)" \
	    'decision=allow rule=[^ ]*27-ask.policy:1.*service=t.Who\+ask' 'the audit knows'
else
	skip 'ask' "qrexec-ask does not run here"
fi

echo 't.Echo * work vault deny' >/etc/qubes/policy.d/29-first.policy
is "$(rc q work 'qrexec-client-vm vault t.Echo')" 126 'denied right after the edit'
echo 'broken' >/etc/qubes/policy.d/29-first.policy
is "$(rc q work 'qrexec-client-vm "" t.Who')" 126 'a broken file refuses every call'
like "$(cat /var/log/qubes/policyd/current)" '29-first.policy:1:1' 'and the log says FILE:LINE:COLUMN'
rm /etc/qubes/policy.d/29-first.policy
is "$(rc q work 'echo | qrexec-client-vm vault t.Echo')" 0 'and works again when it is mended'
like "$(cat /var/log/qubes/audit/work/current)" \
    'source=work target=vault decision=deny rule=[^ ]*29-first.policy:1 .*service=t.Echo' 'the audit names the rule'
is "$(grep -c . /var/log/qubes/audit/vault/current)" 1 "another qube's audit is a file of its own"

is "$(qvm-run --all --no-gui 'exit 0' >/dev/null 2>&1; echo $?)" 0 'qvm-run --all'
is "$(rc qvm-shutdown --all --wait)" 0 'shut down'
is "$(qvm-ls --running --raw-list)" dom0 'no qube runs'
is "$(ls /run/qubes/state /run/qubes/local; grep -c ' /run/qubes/local/' /proc/mounts)" '/run/qubes/local:

/run/qubes/state:
0' 'nothing is left behind'
rm -f /tmp/call.$$
done_testing
