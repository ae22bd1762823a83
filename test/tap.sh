# SPDX-License-Identifier: ISC
# For system tests in shell: TAP, and waiting for an event with a limit. A test starts with:
#   . "${0%/*}/../tap.sh"; in_house "$@"
# On real Xen (test/xen) it runs in Dom0 itself, with HOUSE=1 and BACKEND=xen. SLOW: by how much a machine is slower
# than most; limits grow by it. LESS: what repeats something for its own sake does so that many times less.
tap_n=0 tap_red=0
: "${SLOW:=1}" "${LESS:=1}"

in_house() { # once more inside a house with the daemons up, unless we are there
	[ "${HOUSE-}" = 1 ] && return 0
	exec "${0%/*}/../house" -u "$0" "$@"
}
on_xen() {
	[ "${BACKEND-}" = xen ]
}
local_only() { # WHY: ends a test that has no meaning on Xen
	on_xen || return 0
	echo "1..0 # SKIP $1"
	exit 0
}
qubes() { # NAME...: these run; those that a saved machine has running already stay as they are
	for qube; do
		[ -e "/etc/qubes/vm.d/$qube" ] || echo 'label = blue' >"/etc/qubes/vm.d/$qube"
	done
	qvm-start --skip-if-running "$@"
}
ok() { # RESULT(0|1...) NAME
	tap_n=$((tap_n + 1))
	if [ "$1" = 0 ]; then echo "ok $tap_n - $2"; else echo "not ok $tap_n - $2"; tap_red=1; fi
	[ "$1" = 0 ] || [ -z "${RED-}" ] || echo "${0##*/}: not ok $tap_n - $2" >>"$RED" # prove alone would say a number only
}
why() { # of the row that failed, from standard input
	sed 's/^/# /' | head -c 600 | tee -a "${RED:-/dev/null}"
}
is() { # GOT WANT NAME
	if [ "$1" = "$2" ]; then ok 0 "$3"; else ok 1 "$3"; echo "got '$1', wanted '$2'" | why; fi
}
like() { # TEXT EXTENDED-REGEX NAME
	if printf '%s\n' "$1" | grep -Eq -e "$2"; then ok 0 "$3"; else ok 1 "$3"; printf '%s\n' "$1" | head -n 5 | why; fi
}
skip() { # NAME WHY
	tap_n=$((tap_n + 1))
	echo "ok $tap_n - $1 # SKIP $2"
}
done_testing() { # the last line of a test, and its status
	echo "1..$tap_n"
	[ "$tap_red" = 0 ]
}
rc() { # COMMAND...: its exit status as output
	"$@" >/dev/null 2>&1 && echo 0 || echo $?
}
table() { # file descriptor 3: EXIT|COMMAND|REGEX of what it says
	while IFS='|' read -r want cmd re <&3; do
		said=$(eval "$cmd" 2>&1)
		got=$?
		is $got "$want" "$cmd: $want"
		[ -z "$re" ] || like "$said" "$re" "$cmd: says $re"
	done
}
# until_true COMMAND...: looks every 20 ms, for at most $LIMIT (10) seconds, times $SLOW.
until_true() {
	end=$(($(date +%s%N) / 1000000 + ${LIMIT-10} * SLOW * 1000))
	while ! "$@" >/dev/null 2>&1; do
		[ $(($(date +%s%N) / 1000000)) -lt $end ] || return 1
		sleep 0.02
	done
}
svpid() { # SERVICE: pid of the daemon that s6 keeps up
	s6-svstat -o pid "$1"
}
