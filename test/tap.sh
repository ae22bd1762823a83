# SPDX-License-Identifier: ISC
# For system tests in shell: TAP, and waiting for an event with a limit. A test starts with:
#   . "${0%/*}/../tap.sh"; in_house "$@"
tap_n=0

in_house() { # once more inside a house with the daemons up, unless we are there
	[ "${HOUSE-}" = 1 ] && return 0
	exec "${0%/*}/../house" -u "$0" "$@"
}
ok() { # RESULT(0|1...) NAME
	tap_n=$((tap_n + 1))
	if [ "$1" = 0 ]; then echo "ok $tap_n - $2"; else echo "not ok $tap_n - $2"; fi
}
is() { # GOT WANT NAME
	if [ "$1" = "$2" ]; then ok 0 "$3"; else ok 1 "$3"; echo "# got '$1', wanted '$2'" | head -c 600; echo; fi
}
like() { # TEXT EXTENDED-REGEX NAME
	if printf '%s\n' "$1" | grep -Eq -e "$2"; then ok 0 "$3"; else ok 1 "$3"; printf '%s\n' "$1" | head -n 5 | sed 's/^/# /'; fi
}
skip() { # NAME WHY
	tap_n=$((tap_n + 1))
	echo "ok $tap_n - $1 # SKIP $2"
}
done_testing() { echo "1..$tap_n"; }
rc() { # COMMAND...: its exit status as output
	"$@" >/dev/null 2>&1 && echo 0 || echo $?
}
# until_true COMMAND...: looks every 20 ms, for at most $LIMIT (10) seconds.
until_true() {
	end=$(($(date +%s%N) / 1000000 + ${LIMIT-10} * 1000))
	while ! "$@" >/dev/null 2>&1; do
		[ $(($(date +%s%N) / 1000000)) -lt $end ] || return 1
		python3 -c 'import select; select.select([], [], [], 0.02)'
	done
}
svpid() { # SERVICE: pid of the daemon that s6 keeps up
	s6-svstat -o pid "$1"
}
