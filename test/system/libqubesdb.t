#!/bin/sh
# SPDX-License-Identifier: ISC
# libqubesdb as other people's programs have it: the installed header, both libraries, pkg-config, the manual's example.
. "${0%/*}/../tap.sh"
local_only 'a compiler, and qdbd by hand'
in_house "$@"

dir=$(mktemp -d)
trap 'kill $(cat "$dir/pid"); rm -rf "$dir"' EXIT
mkdir "$dir/vchan"
VCHAN_SOCKET_DIR=$dir/vchan qdbd=$(command -v qdbd || echo /usr/lib/qubes/qdbd)
export VCHAN_SOCKET_DIR
unset NOTIFY_SOCKET
"$qdbd" -f 77 other >"$dir/log" 2>&1 &
echo $! >"$dir/pid"
until_true [ -S /run/qubes/qubesdb.other.sock ]
until_true qubesdb-write -d other /vm/1 one /vm/2 two /qubes-ip 10.137.0.7

cat >"$dir/user.c" <<'X'
#include <qubesdb.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

int
main(void)
{
	char name[] = "other", vm[] = "/vm/", one[] = "/vm/1", key[] = "/k", value[] = "a\nb", none[] = "/none";
	unsigned int n, *lens, i;
	struct pollfd p;
	char **kv, *v;
	qdb_handle_t h = qdb_open(name);

	if (h == NULL || !qdb_watch(h, key) || !qdb_write(h, key, value, 3) || (v = qdb_read(h, key, &n)) == NULL)
		return 1;
	printf("%u %s\n", n, v);
	free(v);
	p.fd = qdb_watch_fd(h);
	p.events = POLLIN;
	if (poll(&p, 1, 10000) != 1 || (v = qdb_read_watch(h)) == NULL)
		return 2;
	printf("%s\n", v);
	free(v);
	if ((kv = qdb_multiread(h, vm, &lens, &n)) == NULL)
		return 3;
	for (i = 0; i < n; i++) {
		printf("%s=%s (%u)\n", kv[2 * i], kv[2 * i + 1], lens[i]);
		free(kv[2 * i]);
		free(kv[2 * i + 1]);
	}
	free(lens);
	free(kv);
	if (!qdb_unwatch(h, key) || !qdb_rm(h, one) || !qdb_rm(h, key) || (kv = qdb_list(h, vm, &n)) == NULL)
		return 4;
	printf("%u %s\n", n, kv[0]);
	free(kv[0]);
	free(kv);
	if (qdb_read(h, none, NULL) != NULL || errno != ENOENT)
		return 5;
	if (!qdb_write(h, one, name, 0))
		return 6;
	qdb_close(h);
	return 0;
}
X
want='3 a
b
/k
/vm/1=ONE (3)
/vm/2=two (3)
1 /vm/2'
flags='-Wall -Wextra -Werror -pedantic'
try() { # NAME COMPILER...
	what=$1
	shift
	if ! "$@" -o "$dir/user" 2>"$dir/err"; then
		ok 1 "$what builds"
		sed 's/^/# /' "$dir/err"
		return
	fi
	qubesdb-write -d other /vm/1 ONE
	is "$("$dir/user"; echo "$?")" "$want
0" "$what"
}
# shellcheck disable=SC2086
{
	try 'C, shared' cc -std=c99 $flags "$dir/user.c" -lqubesdb
	like "$(readelf -d "$dir/user")" 'NEEDED.*libqubesdb\.so\.1]' 'its soname is versioned'
	try 'C, static library' cc -std=c11 $flags "$dir/user.c" -l:libqubesdb.a
	is "$(readelf -d "$dir/user" | grep -c qubesdb)" 0 'and needs no shared one'
	try 'C, all static' cc -std=c99 -static $flags "$dir/user.c" -lqubesdb
	if command -v c++ >/dev/null; then
		cp "$dir/user.c" "$dir/user.cc"
		try 'C++' c++ $flags "$dir/user.cc" -lqubesdb
	else
		skip 'C++' 'no c++'
	fi
	if command -v pkg-config >/dev/null; then
		try 'what pkg-config says' cc $flags $(pkg-config --cflags qubesdb) "$dir/user.c" $(pkg-config --libs qubesdb)
	else
		skip 'what pkg-config says' 'no pkg-config'
	fi
}

sed -n '/^#include/,/^}/p' "${0%/*}/../../libqubesdb/qubesdb.3" | sed "s/qdb_open(NULL)/qdb_open(\"other\")/" >"$dir/ip.c"
cc $flags -o "$dir/ip" "$dir/ip.c" -lqubesdb
is "$("$dir/ip")" 10.137.0.7 "the manual's example"

api='qdb_close qdb_list qdb_multiread qdb_open qdb_read qdb_read_watch qdb_rm qdb_unwatch qdb_watch qdb_watch_fd qdb_write'
is "$(nm -D --defined-only /usr/lib/libqubesdb.so.1 | awk '{print $3}' | sort | paste -sd' ')" "$api" 'nothing else is exported'
is "$(nm -g --defined-only /usr/lib/libqubesdb.a | awk 'NF == 3 && $3 !~ /^qdb_/')" '' 'no name in the archive is without qdb_'
is "$(readlink -f /usr/lib/libqubesdb.so)" /usr/lib/libqubesdb.so.1 'the name that the linker knows'
for v in read write rm list multiread watch read-bool; do
	[ -x "$(command -v qubesdb-$v)" ] && [ -e "/usr/share/man/man1/qubesdb-$v.1" ] || echo "qubesdb-$v"
done >"$dir/missing"
is "$(cat "$dir/missing")" '' 'every command and its manual are there'
done_testing
