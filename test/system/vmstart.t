#!/bin/sh
# SPDX-License-Identifier: ISC
# Starting, ending, adopting and cleaning up after qubes, over the real daemons and s6.
. "${0%/*}/../tap.sh"
in_house "$@"

vm=/run/qubes/s6/vm/instance
field() { sed -n "s/^$2=//p" "/run/qubes/state/$1"; }
state() { qvm-ls --raw-data --fields state "$1"; }
is_state() { [ "$(state "$1")" = "$2" ]; }
q() { qvm-run -p "$@"; }
gone() { [ ! -e "/proc/$1" ]; }
nothing() { # NAME: what is left of it, one a line
	ls -d "/run/qubes/state/$1" "/run/qubes/q/$1" "/run/qubes/qrexec.$1" "/run/qubes/local/$1" "/run/qubes/vm/$1" \
	    "/run/qubes/s6/vm/instances/$1" "/run/qubes/s6/qrexecd/instances/$1" "/run/qubes/s6/vm/instance/$1" \
	    "/run/qubes/s6/qdbd/instances/$1" 2>/dev/null
	find /run/qubes -maxdepth 1 -lname "q/$1/*"
	pgrep -u "$2-$3" 2>/dev/null
}
clean() { [ -z "$(nothing "$@")" ]; }
if on_xen; then
	# As on a machine that was just set up.
	qvm-kill --all
	rm -f /etc/qubes/vm.d/work /etc/qubes/vm.d/vault /etc/qubes/vm.d/third
fi
mounts_before=$(wc -l </proc/self/mounts)

printf 'label = blue\n' >/etc/qubes/vm.d/work
printf 'label = black\ntags = a b\nshutdown_timeout = 2\n' >/etc/qubes/vm.d/vault
printf 'label = red\nautostart = True\n' >/etc/qubes/vm.d/late

# Starting.
is "$(rc qvm-start nosuch)" 1 'an unknown qube: 1'
is "$(rc qvm-start --bad-option)" 2 'usage: 2'
is "$(rc qvm-start dom0)" 1 'dom0 is not started'
on_xen || is "$(rc /usr/lib/qubes/vm-init)" 100 'vm-init elsewhere than as process 1 does nothing'
is "$(rc /usr/lib/qubes/cubicle-up)" 1 'what is up is not made anew'
is "$(rc /usr/lib/qubes/cubicle-down anything)" 100 'cubicle-down: usage'
like "$(setpriv --reuid 4242 --regid 4242 --clear-groups qvm-ls 2>&1)" 'only root and members of group qubes may' \
    'a stranger learns that he may not, and not that all is halted'
is "$(state work)" Halted 'Halted before'
qvm-start work & qvm-start work & wait
is "$(state work)" Running 'two starts at once: one qube, running'
on_xen || is "$(field work domid)" 1 'the first domain'
is "$(rc qvm-start work)" 1 'already running: 1'
is "$(rc qvm-start --skip-if-running work)" 0 '--skip-if-running: 0'
is "$(stat -c %a /run/qubes/q/work)" 711 'q/work: mode'
is "$(stat -c %u:%g /run/qubes/q/work)" "$((1900000000 + 8 * $(field work qid) + 1)):1900000000" 'q/work: owners'
is "$(readlink /run/qubes/qrexec.work) $(readlink "/run/qubes/qrexec.$(field work domid)")" 'q/work/qrexec q/work/qrexec' 'compatibility names'
if ! on_xen; then
	is "$(cat /var/lib/qubes/qids)" '1 work' 'the table of qids'
	like "$(cat /var/log/qubes/work/vm/current)" 'isolate no better than a container' 'it says what it is worth'
fi
printf 'nonsense = 1\n' >/etc/qubes/vm.d/broken
like "$(qvm-start broken 2>&1)" 'broken:1: ' 'a broken file: refused with file and line'
rm /etc/qubes/vm.d/broken

# What a qube sees.
qvm-start vault
is "$(q work hostname)" work 'host name'
q work 'echo secret >/tmp/s' >/dev/null
if ! on_xen; then # a namespace that must hide what a machine of its own has not
	is "$(q work 'cat /proc/1/comm')" vm-init 'process 1 is its own'
	[ "$(q work 'ls /proc | grep -c "^[0-9]"')" -lt 10 ]	# a house has 30 and more
	ok $? 'only its own processes'
	is "$(q work 'cat /proc/self/mounts' | grep -c "$(cd "$TOP" && pwd)")" 0 'nothing of where the house was built'
	is "$(rc q work 'ls /work /root')" 2 'neither our data nor our /root'
	is "$(q work 'ls /etc/qubes')" rpc-config 'not our policy'
	q work 'echo secret >/rw/home/user/s; sleep 1000 <&- >&- 2>&- & :' >/dev/null
	is "$(rc q vault 'cat /tmp/s || cat /rw/home/user/s')" 1 "a qube does not see another's files"
	is "$(rc q vault 'pgrep sleep')" 1 "nor another's processes"
	is "$(q work 'find / -xdev -uid 65534 -perm -2000 2>/dev/null | wc -l')" 0 'no foreign setuid on its root'
	is "$(q -u root work 'echo x >/usr/bin/x 2>/dev/null || echo no')" no 'the template is not written'
	is "$(q -u root work 'mknod /tmp/m c 1 1 2>/dev/null && head -c1 /tmp/m || echo no')" no 'no devices'
	is "$(q -u root work 'echo 1 >/proc/sys/kernel/sysrq 2>/dev/null || echo no')" no "Dom0's kernel settings are not written"
	is "$(q vault "ls /run/vchan | grep -v 'vchan[.]$(field vault domid)[.]\|vchan[.][0-9]*[.]$(field vault domid)[.]'")" '' 'only its own channels'
fi

# A killed keeper adopts; a killed console is replaced; nothing of the qube is lost.
q work 'cat >/dev/null; cat /tmp/s' </dev/zero >/tmp/adopt.$$ 2>&1 &
pid=$(svpid $vm/work)
init=$(field work init_pid)
session=$(field work session)
kill -9 "$pid"
until_true test "$(field work pid)" != "$pid"
new_keeper() { [ "$(field work pid)" != "$pid" ]; }
until_true new_keeper
ok $? 'a killed keeper is started again'
until_true s6-svwait -U -t 5000 $vm/work
is "$(field work init_pid) $(field work session) $(state work)" "$init $session Running" 'and adopts: same process 1, same session'
is "$(q work 'cat /tmp/s')" secret 'the qube has not noticed'
uid=$((1900000000 + 8 * $(field work qid) + 4))
old=$(pgrep -u $uid)
kill -9 "$old"
another() { p=$(pgrep -u $uid) && [ "$p" != "$old" ]; }
until_true another
ok $? 'a killed console is replaced'
q -u root work 'printf "a\033[31mb%%\n" >/dev/console'
logged() { grep -q 'console.work.: a%1B\[31mb%25' /var/log/qubes/work/vm/current; }
until_true logged
ok $? "the qube's console, escaped"
kill %% 2>/dev/null

# startd is killed; what runs goes on, and it knows.
kill -9 "$(svpid /run/qubes/s6/startd)"
until_true s6-svwait -U -t 5000 /run/qubes/s6/startd
is "$(rc qvm-start --skip-if-running work)" 0 'startd after kill -9: knows what runs'
is "$(q work 'cat /tmp/s')" secret 'and the qubes stayed'
kill -9 "$(svpid /run/qubes/s6/chand)"
until_true s6-svwait -U -t 5000 /run/qubes/s6/chand
answers() { [ "$(q work 'cat /tmp/s')" = secret ]; }
until_true answers
ok $? 'chand after kill -9: the qubes stayed'

# Reboot: exit 10, a new session.
how='kill -INT 1'
on_xen && how='reboot -f'
q -u root work "$how" >/dev/null 2>&1
rebooted() { [ "$(field work session)" != "$session" ] && is_state work Running; }
LIMIT=20 until_true rebooted
ok $? 'a reboot starts the qube again'
is "$(rc q work 'cat /tmp/s')" 1 'the throw-away layer is thrown away'
if ! on_xen; then
	is "$(q work 'cat /rw/home/user/s; cat ~/s')" 'secret
secret' 'the private directory is kept, and is the home'
	like "$(field work domid)" '^[3-9]$' 'a new domain id'
fi

# The keeper is killed while the domain waits for its store: the next one lets it run, when that is there.
qdbd=/usr/lib/qubes/qdbd
mv $qdbd $qdbd.real
printf '#!/bin/sh\nuntil [ -e /run/go ]; do sleep 0.1; done\nexec %s.real "$@"\n' $qdbd >$qdbd
chmod 755 $qdbd
printf 'label = green\n' >/etc/qubes/vm.d/waits
qvm-start waits >/dev/null 2>&1 &
start=$!
asleep() { # it is built and has not run
	[ "$(field waits state)" = Transient ] && if on_xen; then
		! grep -q unpaused /var/log/qubes/waits/vm/current
	else
		[ "$(sed 's/.*) //' "/proc/$(field waits init_pid)/stat" | cut -c1)" = T ]
	fi
}
until_true asleep
ok $? 'a domain whose store is not there yet does not run'
session=$(field waits session)
pid=$(field waits pid)
kill -9 "$pid"
other_keeper() { grep -q "adopts session $session" /var/log/qubes/waits/vm/current; }
until_true other_keeper
asleep
ok $? 'nor when its keeper is killed'
: >/run/go
LIMIT=20 until_true is_state waits Running
ok $? 'it runs when the store is there'
on_xen || q -u root waits ': >/run/go' # its own is the same program
reads() { [ "$(q waits 'qubesdb-read /name')" = waits ]; }
until_true reads
ok $? 'and the qube reads it'
kill -9 "$(field waits pid)"
adopted() { [ "$(grep -c "adopts session $session" /var/log/qubes/waits/vm/current)" = 2 ] && is_state waits Running; }
until_true adopted
is "$? $(q waits 'qubesdb-read /name')" '0 waits' 'a keeper that is killed later: nothing changes'
is "$(grep -c unpaused /var/log/qubes/waits/vm/current)" "$(on_xen && echo 1 || echo 0)" 'it was let run once'
kill $start 2>/dev/null
mv $qdbd.real $qdbd
qvm-kill waits
until_true is_state waits Halted
rm /etc/qubes/vm.d/waits /run/go

# Ends.
base=$((2000000000 + 65536 * $(field work qid)))
qid=$(field work qid)
is "$(rc qvm-shutdown --wait work)" 0 'qvm-shutdown --wait'
until_true clean work $base $((base + 65535))
is "$(nothing work $base $((base + 65535)))" '' 'nothing of it is left'
is "$(rc qvm-shutdown --wait work)" 0 'shut down already: 0'
is "$(rc qvm-kill work)" 1 'qvm-kill of a halted qube: 1'
qvm-start work
is "$(field work qid)" "$qid" 'the same qid at the next start'
is "$(rc qvm-kill work)" 0 'qvm-kill'
is "$(state work)" Halted 'killed: Halted'
# A process 1 that ends by a signal is a crash: not started again.
qvm-start work
if on_xen; then
	q -u root work 'echo c >/proc/sysrq-trigger' >/dev/null 2>&1
else
	kill -9 "$(field work init_pid)"
fi
until_true is_state work Halted
ok $? 'a crash ends it'
until_true grep -q 'ended, code 20' /var/log/qubes/work/vm/current
ok $? 'code 20'
# One that does not listen is destroyed after its timeout.
if on_xen; then
	q -u root vault 'echo /bin/true >/proc/sys/kernel/poweroff_cmd'
else
	kill -STOP "$(field vault init_pid)"
fi
is "$(rc qvm-shutdown --wait vault)" 0 'a guest that does not answer is destroyed after shutdown_timeout'
until_true grep -q 'did not shut down within 2 s' /var/log/qubes/vault/vm/current
ok $? 'and it says so'
# An agent that never comes: exit 30, everything undone.
printf 'label = red\nqrexec_timeout = 1\n' >/etc/qubes/vm.d/mute
# (In emulation no kernel gets as far in a second.)
on_xen || mv /usr/lib/qubes/qrexec-agent /usr/lib/qubes/qrexec-agent.off
is "$(rc qvm-start mute)" 1 'the agent never came: refused'
on_xen || mv /usr/lib/qubes/qrexec-agent.off /usr/lib/qubes/qrexec-agent
until_true grep -q 'ended, code 30' /var/log/qubes/mute/vm/current
ok $? 'code 30'
# A root that is not there: 111.
printf 'label = red\nroot = /nonexistent\n' >/etc/qubes/vm.d/empty
is "$(rc qvm-start empty)" 1 'a template root that is not there: refused'
qvm-shutdown --all --wait
all_clean() {
	[ -z "$(ls /run/qubes/state /run/qubes/s6/vm/instances /run/qubes/s6/qrexecd/instances /run/qubes/local |
	    grep -v ':$')" ] && [ "$(ls /run/qubes/q)" = dom0 ]
}
until_true all_clean
ok $? 'after --all --wait nothing is left'
on_xen || is "$(cat /proc/[0-9]*/mounts | grep -c ' /rw ')" 0 'no mount is left'
is "$(wc -l </proc/self/mounts)" "$mounts_before" 'no mount in Dom0'
find /run/qubes/s6/vm /run/qubes/vm /run/qubes/q | sed 's/^/# left: /' | grep -v supervise | grep work

# qvm-ls.
is "$(qvm-ls --raw-list | tr '\n' ' ')" 'dom0 empty late mute vault work ' 'qvm-ls --raw-list'
like "$(qvm-ls)" '^NAME +STATE +CLASS +LABEL +TEMPLATE +NETVM$' 'the table'
is "$(qvm-ls --raw-data --fields name,tags --tags a)" 'vault|a,b' '--tags'
is "$(qvm-ls --raw-list --halted --label blue)" work '--halted --label'
is "$(qvm-ls --raw-list --class AdminVM)" dom0 '--class'
is "$(rc qvm-ls --format nosuch)" 2 'usage: 2'
is "$(qvm-shutdown --all --wait >/dev/null; echo $?)" 0 'nothing to shut down: 0'

# Down and up again: autostart.
/usr/lib/qubes/cubicle-down
ok $? 'cubicle-down'
is "$(ls -d /run/qubes 2>/dev/null)" '' '/run/qubes is gone'
/usr/lib/qubes/cubicle-up -b </dev/null >/dev/null 2>&1
LIMIT=20 until_true is_state late Running
ok $? 'autostart at boot'
kill -9 "$(svpid /run/qubes/s6/startd)"
until_true qvm-kill late
is "$(state late)" Halted 'only once a boot'
/usr/lib/qubes/cubicle-down
done_testing
