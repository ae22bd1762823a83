#!/bin/sh
# SPDX-License-Identifier: ISC
# Called by `make install` with what is to go where in its environment. DESTDIR is $D.
set -eu

put() { # SOURCE DESTINATION MODE: new file beside, then renamed: a running program keeps its old one
	mkdir -p "$D${2%/*}"
	install -m "$3" "$1" "$D$2.new"
	mv -f "$D$2.new" "$D$2"
}

for p in $PROGS; do
	dir=$LIBDIR
	case " $USER_PROGS " in *" $p "*) dir=$BINDIR ;; esac
	put "$OUT/$p" "$dir/$p" 755
done
for l in $LINKS; do
	new=${l%%:*} prog=${l#*:} dir=$LIBDIR
	case " $USER_PROGS " in *" $prog "*) dir=$BINDIR ;; esac
	mkdir -p "$D${new%/*}"
	case $prog in /*) dir= prog=${prog#/} ;; esac
	ln -sfn "$dir/$prog" "$D$new"
done
for f in $FILES; do
	src=${f%%:*} rest=${f#*:} mode=644
	dst=${rest%%:*}
	case $rest in *:*) mode=${rest#*:} ;; esac
	# A policy or a qube's file that somebody has edited stays.
	case $dst in /etc/*) [ ! -e "$D$dst" ] || continue ;; esac
	put "$src" "$dst" "$mode"
done
for m in $MANPAGES; do
	put "$m" "$MANDIR/man${m##*.}/${m##*/}" 644
done
