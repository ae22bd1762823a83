#!/bin/sh
# SPDX-License-Identifier: ISC
# Each sandboxed daemon as it runs: uid, capabilities, filter; and what it cannot do when somebody has taken
# it over: test/inject makes the live process do it. Exempt, and so not looked at here (DESIGN.md "One daemon
# looks like every other"): chand, startd, vmstart's keeper and the forking parent of qrexec-dom0.
. "${0%/*}/../tap.sh"
in_house "$@"
case $O in /*) out=$O ;; *) out=$TOP/$O ;; esac
inject=$out/test/inject
tmp=$(mktemp -d)
chmod 755 "$tmp"

echo 't.Cat * work dom0 allow' >/etc/qubes/policy.d/30-user.policy
printf '#!/bin/sh\nexec cat\n' >/etc/qubes-rpc/t.Cat
chmod 755 /etc/qubes-rpc/t.Cat
gui=
if [ -x /usr/lib/qubes/guid ]; then # it waits for its display
	gui=guid
	printf 'label = blue\ndisplay = :98\n' >/etc/qubes/vm.d/work
	! on_xen || qvm-kill work # it runs there, without
fi
qubes work || { echo 'Bail out! no qube'; exit 1; }
qid=$(sed -n 's/^qid=//p' /run/qubes/state/work)

# What is there to be reached: sockets that anybody may connect to, two programs that do nothing.
python3 - "$tmp" >"$tmp/up" <<'P' &
import os, signal, socket, sys
os.umask(0)
places = [sys.argv[1] + "/sock", "/run/qubes/outside.sock", "/run/qubes/ask/policy.Ask", "\0cubicle-outside"]
held = []
for p in places:
    s = socket.socket(socket.AF_UNIX)
    s.bind(p)
    s.listen(64)
    held.append(s)
t = socket.create_server(("127.0.0.1", 0))
print(t.getsockname()[1], flush=True)
signal.pause()
P
keeper=$!
tail -f /dev/null &
bystander=$!
tail -f /dev/null &
plain=$!
trap 'kill $keeper $bystander $plain 2>/dev/null; rm -rf "$tmp"' EXIT
until_true test -s "$tmp/up"
tcp=$(cat "$tmp/up")

no_relay() { ! pgrep -u "$(uid_of relay)" >/dev/null; }
hold() { # a call that stays, so that there is a relaying child, and its pump
	exec 9>&-
	until_true no_relay
	rm -f "$tmp/hold"
	mkfifo "$tmp/hold"
	qvm-run -p work 'qrexec-client-vm dom0 t.Cat' <"$tmp/hold" >/dev/null 2>&1 &
	exec 9>"$tmp/hold"
}
uid_of() {
	case $1 in
	policyd) echo 1900000003 ;;
	qrexecd) echo $((1900000000 + 8 * qid + 1)) ;;
	console) echo $((1900000000 + 8 * qid + 4)) ;;
	relay | pump) echo $((1900000000 + 8 * qid + 5)) ;;
	guid) echo $((1900000000 + 8 * qid + 6)) ;;
	qdbd) echo $((1900000000 + 8 * qid + 7)) ;;
	qdbd-dom0) echo 1900000007 ;;
	adminapid) echo 1900000004 ;;
	plain) echo 0 ;;
	esac
}
# By its uid: a daemon counts when it is inside its sandbox.
pid_of() {
	case $1 in
	plain) echo $plain ;;
	pump) pgrep -P "$(pgrep -o -u "$(uid_of relay)")" -u "$(uid_of relay)" ;; # the relay's child
	*) pgrep -o -u "$(uid_of "$1")" ;;
	esac
}
filtered() { # WHO: it is there, and its filter, the last step, is on
	p=$(pid_of "$1") && [ "$(field "$p" Seccomp)" = 2 ]
}
field() { awk -v k="$2:" '$1 == k { print $2 }' "/proc/$1/status"; }
try() { # WHO WORDS...: what came of it
	who=$1
	shift
	if [ "$who" != plain ]; then
		# A pump that was killed does not end its call.
		case $who in relay) filtered relay || hold ;; pump) hold ;; esac
		until_true filtered "$who" || { echo 'it is not there'; return; }
	fi
	victim=$(pid_of "$who")
	came_of=$("$inject" "$victim" "$@" 2>&1)
	echo "$came_of"
	case $who:$came_of in relay:*SIG*) until_true gone "$victim" ;; esac # so that it is not taken for the next one
}
gone() {
	[ ! -e "/proc/$1" ]
}
refused() { # WHO WORDS...
	came=$(try "$@")
	like "$came" '^refused' "$*: $came"
}
works() {
	is "$(try "$@")" 'done' "$*: works"
}
turn=0
everything() { # WHAT: what nobody may, with what there really is. A slow machine takes turns: each deed on one daemon at least
	turn=$((turn + 1)) deed=0
	for words in 'open /etc/passwd' "open $tmp/secret" 'open /proc/self/status' "create $tmp/mine" \
	    "connect $tmp/sock" 'connect /run/qubes/outside.sock' 'connect @cubicle-outside' socket-inet \
	    "tcp $tcp" "ptrace $bystander" "kill $bystander" mprotect-exec 'exec /bin/true'; do
		deed=$((deed + 1))
		[ $turn = 1 ] || [ $(((deed + turn) % (LESS > 7 ? 7 : LESS))) = 0 ] || continue
		# shellcheck disable=SC2086
		"$1" "$2" $words
	done
}

(umask 077; echo mine >"$tmp/secret")
# Without a sandbox all of it works, so a refusal below means something.
everything works plain

for who in policyd qrexecd console relay pump qdbd qdbd-dom0 adminapid $gui; do
	case $who in relay | pump) hold ;; esac
	until_true filtered $who
	p=$(pid_of $who)
	is "$(field "$p" Uid)" "$(uid_of $who)" "$who: own uid"
	is "$(field "$p" Gid)" "$(uid_of $who)" "$who: own gid"
	case $who in qrexecd | qdbd* | guid) groups=1900000000 ;; *) groups= ;; esac
	is "$(sed -n 's/^Groups:[[:space:]]*\(.*[0-9]\)* *$/\1/p' "/proc/$p/status")" "$groups" "$who: groups '$groups'"
	for set in CapInh CapPrm CapEff CapBnd CapAmb; do
		is "$(field "$p" $set)" 0000000000000000 "$who: $set 0"
	done
	is "$(field "$p" NoNewPrivs)" 1 "$who: NoNewPrivs 1"
	is "$(field "$p" Seccomp)" 2 "$who: Seccomp 2"
	[ "$(readlink "/proc/$p/ns/mnt")" != "$(readlink /proc/self/ns/mnt)" ]
	ok $? "$who: a mount namespace of its own"
	[ $who != pump ] || exec 9>&- # a new one each time
	everything refused $who
done
exec 9>&-

# What some of them do need, and what stands beside it.
works policyd create /var/log/qubes/audit/mine
works policyd open /etc/qubes/policy.d/30-user.policy
for f in /etc/qubes/policy.d/00-mine.policy /run/qubes/policy.d/mine.policy /run/qubes/state/mine \
    /etc/qubes-rpc/mine /run/qubes/ask/mine; do
	refused policyd create $f
done
refused policyd connect /run/qubes/s/chan.sock
refused policyd connect /run/qubes/s/start.sock
refused policyd connect /run/qubes/q/work/peer
works qrexecd connect /run/qubes/s/policy.sock
works qrexecd connect /run/qubes/q/dom0/peer
refused qrexecd connect /run/qubes/ask/policy.Ask
refused qrexecd create /run/qubes/qdb/work/mine
works qdbd connect /run/qubes/s/chan.sock
for f in /run/qubes/q/work/qrexec /run/qubes/q/work/peer /run/qubes/qdb/work/qubesdb /run/qubes/qdb/dom0/qubesdb /run/qubes/q/dom0/peer; do
	refused qdbd connect $f
done
for f in /run/qubes/q/work/mine /run/qubes/state/mine /run/qubes/s/mine /etc/qubes/vm.d/mine; do
	refused qdbd create $f
done
refused qdbd open /etc/qubes/vm.d/work
refused qdbd open /run/qubes/state/work

if [ -n "$gui" ]; then
	works guid connect /run/qubes/s/chan.sock
	for f in /run/qubes/ask/policy.Ask /run/qubes/q/work/qrexec /run/qubes/q/work/peer /run/qubes/qdb/work/qubesdb; do
		refused guid connect $f
	done
	for f in /run/qubes/display/98 /run/qubes/state/mine /run/qubes/s/mine; do
		refused guid create $f
	done
	refused guid open /etc/qubes/vm.d/work
	refused guid open /run/qubes/local/work
fi

works adminapid open /etc/qubes/vm.d/work
works adminapid connect /run/qubes/s/start.sock
for f in /run/qubes/q/work/qrexec /run/qubes/q/work/peer /run/qubes/q/dom0/peer /run/qubes/qdb/work/qubesdb /run/qubes/ask/policy.Ask; do
	refused adminapid connect $f
done
for f in /etc/qubes/vm.d/mine /run/qubes/state/mine /run/qubes/s/mine; do
	refused adminapid create $f
done
refused adminapid open /etc/qubes/policy.d/30-user.policy

# Who was shot is back.
is "$(LIMIT=20 until_true qvm-run -p work true; echo $?)" 0 'the qube still serves'
is "$(LIMIT=20 until_true qubesdb-read -d work /name; qubesdb-read -d work /name; qubesdb-read /name)" 'work
dom0' 'and its store, and Dom0'"'"'s'
is "$(for p in $bystander $keeper; do kill -0 "$p" || echo gone; done)" '' 'the bystanders live'

# Each line of a filter: a system call with the arguments it must have.
lines() { # FILTER
	sed 's/#.*//; s/[[:space:]]*$//; /^$/d' "$1" | while read -r word rest; do
		if [ "$word" != include ]; then
			echo "$word $rest"
		elif [ -e "$TOP/lib/$rest.${BACKEND:-local}.filter.inc" ]; then
			lines "$TOP/lib/$rest.${BACKEND:-local}.filter.inc"
		else
			lines "$TOP/lib/$rest.filter.inc"
		fi
	done
}
for f in guid/guid display/qubes-display policy/policyd qrexecd/qrexecd dom0/qrexec-dom0 dom0/pump console/console qdb/qdbd qdb/qdbd-qube adminapi/adminapid services/wish-reader services/wish-run services/sync-app-menus; do
	n=$(sed -n 's/.*_filter_calls = \([0-9]*\).*/\1/p' "$out/gen/${f##*/}.filter.h")
	[ "${n:-99}" -le 30 ]
	ok $? "${f##*/}: $n system calls, at most 30"
	is "$(lines "$TOP/$f.filter" | cut -d' ' -f1 | sort -u | wc -l)" "$n" "${f##*/}: as many as its text says"
	lines "$TOP/$f.filter" | sort | sed 's/^/#   /'
done
done_testing
