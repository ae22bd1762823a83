#!/bin/sh
# SPDX-License-Identifier: ISC
# Each daemon as it runs: uid, capabilities, filter; and what it cannot do when somebody has taken it over.
. "${0%/*}/../tap.sh"
in_house "$@"
inject=$TOP/$O/test/inject

printf 'label = blue\n' >/etc/qubes/vm.d/work
echo 't.Cat * work dom0 allow' >/etc/qubes/policy.d/30-user.policy
ln -s /bin/cat /etc/qubes-rpc/t.Cat
qvm-start work || { echo 'Bail out! no qube'; exit 1; }
field() { awk -v k="$2:" '$1 == k { print $2 }' "/proc/$1/status"; }

pid_of() { # WHO
	case $1 in
	policyd) svpid /run/qubes/s6/policyd ;;
	qrexecd) svpid /run/qubes/s6/qrexecd/instance/work ;;
	console) pgrep -u "$((1900000000 + 8 * qid + 4))" ;;
	relay) pgrep -u "$((1900000000 + 8 * qid + 5))" ;;
	esac
}
qid=$(sed -n 's/^qid=//p' /run/qubes/state/work)
# A call that stays, so that there is a relaying child.
mkfifo /tmp/hold.$$
hold() {
	qvm-run -p work 'qrexec-client-vm dom0 t.Cat' </tmp/hold.$$ >/dev/null 2>&1 &
	exec 9>/tmp/hold.$$
	until_true pid_of relay
}
uid_of() {
	case $1 in policyd) echo 1900000003 ;; qrexecd) echo $((1900000000 + 8 * qid + 1)) ;;
	console) echo $((1900000000 + 8 * qid + 4)) ;; relay) echo $((1900000000 + 8 * qid + 5)) ;; esac
}
for who in policyd qrexecd console relay; do
	[ $who = relay ] && hold
	p=$(pid_of $who)
	is "$(field "$p" Uid)" "$(uid_of $who)" "$who: own uid"
	is "$(field "$p" CapEff)" 0000000000000000 "$who: CapEff 0"
	is "$(field "$p" CapBnd)" 0000000000000000 "$who: CapBnd 0"
	is "$(field "$p" NoNewPrivs)" 1 "$who: NoNewPrivs 1"
	is "$(field "$p" Seccomp)" 2 "$who: Seccomp 2"
	for try in 'open /etc/shadow' 'open /etc/passwd' socket-inet 'connect /run/dbus/x' 'exec /bin/true' 'ptrace 1' \
	    'connect @abstract'; do
		until_true pid_of $who || { ok 1 "$who: not there for $try"; continue; }
		# shellcheck disable=SC2086
		set -- $try
		like "$("$inject" "$(pid_of $who)" "$@")" '^refused' "$who: $try"
		# What died is brought back by s6; the relaying child by a new call.
		if [ $who = relay ] && ! pid_of relay >/dev/null; then exec 9>&-; hold; fi
		[ $who = console ] && [ -z "$(pid_of console)" ] && break
	done
done
exec 9>&-

for f in $(cd "$TOP" && ls ./*/*.filter); do
	n=$(sed -n 's/.*_filter_calls = \([0-9]*\).*/\1/p' "$TOP/$O/gen/$(basename "$f").h")
	[ "${n:-99}" -le 30 ] && r=0 || r=1
	ok $r "$(basename "$f" .filter): $n system calls, at most 30"
done
rm -f /tmp/hold.$$
done_testing
