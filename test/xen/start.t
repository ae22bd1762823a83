#!/bin/sh
# SPDX-License-Identifier: ISC
# A qube's life on real Xen, and what is left of many: nodes, loop devices, domains, Xen's and Dom0's memory.
. "${0%/*}/../tap.sh"
in_house "$@"
on_xen || { echo '1..0 # SKIP only on Xen'; exit 0; }

q() { qvm-run -p "$@"; }
state() { sed -n "s/^$2=//p" "/run/qubes/state/$1"; }
is_state() { [ "$(qvm-ls --raw-data --fields state "$1")" = "$2" ]; }
nodes() { xenstore-ls -f / | wc -l; }
domains() { xenstore-list /local/domain | sort -n | tr '\n' ' '; }
loops() { find /sys/block/loop*/loop 2>/dev/null -maxdepth 0 | wc -l; }
mappings() { find /proc/[0-9]*/fd -lname '/dev/xen/*' 2>/dev/null | wc -l; }
available() { awk '$1 == "MemAvailable:" { print $2 }' /proc/meminfo; }

is "$(cat /sys/hypervisor/type)" xen 'this is Xen'
like "$(qvm-ls --raw-data --fields name,state)" 'work\|Running' 'the shared qubes run'
cat >/etc/qubes-rpc/t.Dom0 <<'S'
#!/bin/sh
read -r x; echo "$x from $QREXEC_REMOTE_DOMAIN as $(id -un)"; exit 9
S
chmod +x /etc/qubes-rpc/t.Dom0
echo 't.Dom0 * @anyvm dom0 allow' >/etc/qubes/policy.d/30-user.policy

for mode in pvh pv; do
	printf 'label = red\nvirt_mode = %s\n' $mode >/etc/qubes/vm.d/fresh
	is "$(rc qvm-start fresh)" 0 "$mode: starts"
	id=$(state fresh domid)
	is "$(q fresh 'cat /sys/hypervisor/guest_type' | tr A-Z a-z)" $mode "$mode: is what it should be"
	is "$(q fresh 'echo hi | qrexec-client-vm dom0 t.Dom0')" 'hi from fresh as qubes-svc' "$mode: calls Dom0"
	is "$(rc q fresh 'echo hi | qrexec-client-vm dom0 t.Dom0')" 9 "$mode: the exit code of Dom0's service"
	is "$(xenstore-read "/local/domain/$id/name")" fresh "$mode: its name"
	q -u root fresh 'printf "a\033[31mb%%\n" >/dev/hvc0'
	until_true grep -q 'a%1B\[31mb%25' /var/log/qubes/fresh/vm/current
	ok $? "$mode: a line of its console, escaped, in the log"
	is "$(rc qvm-shutdown --wait fresh)" 0 "$mode: shuts down"
	until_true is_state fresh Halted
	is "$(xenstore-ls -f / | grep -c "/$id[/ ]")" 0 "$mode: no node of it"
done

# Many. The first lets everything come to its size.
count=$((20 / LESS))
[ $count -ge 4 ] || count=4
printf 'label = red\n' >/etc/qubes/vm.d/fresh
n=$(nodes) d=$(domains) l=$(loops) m=$(mappings) a=$(available)
slow=0
for i in $(seq $count); do
	s=$(date +%s%N)
	qvm-start fresh || echo "# start $i: $?"
	slow=$((slow + ($(date +%s%N) - s) / 1000000))
	[ $((i % 2)) = 0 ] && qvm-kill fresh || qvm-shutdown --wait fresh
done
echo "# $count starts, $((slow / count)) ms each"
settled() { [ "$(nodes)" = "$n" ] && [ "$(mappings)" = "$m" ] && [ "$(loops)" = "$l" ]; }
until_true settled
is "$(nodes)" "$n" "xenstore has as many nodes as before $count starts and ends"
is "$(domains)" "$d" 'the same domains'
is "$(loops)" "$l" 'loop devices'
is "$(mappings)" "$m" 'descriptors of /dev/xen'
left=$((a - $(available)))
[ $left -lt 3000 ]
ok $? "Dom0 has its memory back ($left KiB less)"
is "$(q work 'echo alive')" alive 'the others have not noticed'
done_testing
