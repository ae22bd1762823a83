#!/bin/sh
# SPDX-License-Identifier: ISC
# xenlibs.sh DIR: libxenctrl, libxenguest and what they call, as static libraries in DIR/lib with their headers
# in DIR/include, compiled by $CC from the distribution's xen source package. Debian's own static libraries are
# glibc's. Left out: saving and restoring domains, the command line parsers, all decompressors (kernels are
# plain ELF files). Nothing is installed; the package lists used are DIR's own.
set -eu
[ $# = 1 ] || { echo 'usage: xenlibs.sh DIR' >&2; exit 100; }
mkdir -p "$1"
dir=$(cd "$1" && pwd)
CC=${CC-musl-gcc}
triplet=$(cc -print-multiarch)

fetch() {
	apt=$dir/apt
	mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/parts"
	: >"$apt/list"
	for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
		[ ! -f "$f" ] || sed -n 's/^deb /deb-src /p' "$f" >>"$apt/list"
	done
	for f in /etc/apt/sources.list.d/*.sources; do
		[ ! -f "$f" ] || sed 's/^Types:.*/Types: deb-src/' "$f" >"$apt/parts/${f##*/}"
	done
	set -- -qq -o Dir::Etc::sourcelist="$apt/list" -o Dir::Etc::sourceparts="$apt/parts" \
	    -o Dir::State::lists="$apt/lists" -o Dir::Cache="$apt/cache" -o APT::Sandbox::User=
	apt-get "$@" update
	# Not each version in the lists can still be had.
	for v in $(apt-cache "$@" showsrc xen | sed -n 's/^Version: //p' | sort -Vr); do
		if (cd "$dir" && apt-get "$@" source --download-only "xen=$v") >/dev/null 2>&1; then
			(cd "$dir" && dpkg-source --no-check -x "xen_${v#*:}.dsc" src >/dev/null 2>&1)
			return
		fi
	done
	echo 'xenlibs.sh: the xen source package cannot be had: apt has no deb-src for it' >&2
	exit 111
}
[ -d "$dir/src/tools/libs" ] || fetch
libs=$dir/src/tools/libs

headers() {
	h=$dir/include
	rm -rf "$h"
	mkdir -p "$h/xen-xsm/flask"
	# libxen-dev's, which hold what Xen's makefiles generate and the kernel's; then what only the source has.
	cp -R /usr/include/xen "$dir"/src/tools/include/*.h "$h/"
	rm -f "$h"/libxl*.h "$h"/xenstore*.h
	mkdir -p "$h/xen/libelf" "$h/xen/asm" "$h/xen/lib/x86"
	cp "$dir"/src/xen/include/xen/libelf.h "$dir"/src/xen/include/xen/elfstructs.h "$h/xen/libelf/"
	cp "$dir"/src/xen/include/xen/lib/x86/*.h "$h/xen/lib/x86/"
	for f in msr-index x86-defns x86-vendors; do cp "$dir/src/xen/arch/x86/include/asm/$f.h" "$h/xen/asm/"; done
	cp -R "$dir/src/tools/include/xen-tools" "$h/"
	python3 "$dir/src/xen/tools/gen-cpuid.py" -i "$h/xen/arch-x86/cpufeatureset.h" -o "$h/xen/lib/x86/cpuid-autogen.h"
	(cd "$dir/src" && sh xen/xsm/flask/policy/mkflask.sh awk "$h/xen-xsm/flask" xen/xsm/flask/policy/initial_sids)
	cat >"$h/ours.h" <<X
#define INCLUDE_ENDIAN_H <endian.h>
#define XEN_RUN_STORED "/run/xenstored"
#define XEN_LIB_STORED "/var/lib/xenstored"
#define XEN_RUN_DIR "/run/xen"
#define XEN_LIB_DIR "/var/lib/xen"
#define XEN_LOG_DIR "/var/log/xen"
X
	# zlib, for who never unpacks anything.
	cat >"$h/zlib.h" <<X
#include <stddef.h>
typedef void *gzFile;
typedef struct { const unsigned char *next_in; unsigned char *next_out; unsigned avail_in, avail_out; unsigned long total_out; } z_stream;
enum { Z_OK = 0, Z_STREAM_END = 1, Z_FINISH = 4, MAX_WBITS = 15 };
#define gzdopen(fd, mode) ((gzFile)0)
#define gzread(f, p, n) (-1)
#define gzclose(f) (-1)
#define inflateInit2(s, bits) (-1)
#define inflate(s, how) (-1)
#define inflateEnd(s) (-1)
X
}
headers

compile() { # LIBRARY EXTRA-FLAG SOURCE...
	name=$1 extra=$2
	shift 2
	objects=
	mkdir -p "$dir/obj" "$dir/lib"
	for f in "$@"; do
		o=$dir/obj/$name-$(basename "$f" .c).o
		# shellcheck disable=SC2086
		$CC -std=gnu99 -O2 -w -fPIE -fno-strict-aliasing -ffunction-sections -fdata-sections -fstack-protector-strong \
		    -D__XEN_TOOLS__ -D_GNU_SOURCE -include "$dir/include/ours.h" -I"$dir/include" $extra \
		    -idirafter /usr/include -idirafter "/usr/include/$triplet" -c "$f" -o "$o"
		objects="$objects $o"
	done
	rm -f "$dir/lib/libxen$name.a"
	# shellcheck disable=SC2086
	ar rcs "$dir/lib/libxen$name.a" $objects
}
of() { # DIRECTORY NAME...
	d=$1
	shift
	for n in "$@"; do echo "$libs/$d/$n.c"; done
}
# What Xen's own makefile would take for this processor and system.
ctrl=$(sed -n -e 's/^OBJS-y *+= *\(.*\)\.o$/\1/p' -e 's/^OBJS-$(CONFIG_\(X86\|Linux\)) *+= *\(.*\)\.o$/\2/p' "$libs/ctrl/Makefile.common")
# shellcheck disable=SC2046,SC2086
{
	compile toolcore '' $(of toolcore handlereg)
	compile toollog '' $(of toollog xtl_core xtl_logger_stdio)
	compile evtchn '' $(of evtchn core linux)
	compile call '' $(of call core buffer linux)
	compile foreignmemory '' $(of foreignmemory core linux)
	compile devicemodel '' $(of devicemodel core common)
	compile gnttab '' $(of gnttab gnttab_core gntshr_core linux)
	compile ctrl '' $(of ctrl $ctrl)
	compile guest "-iquote $libs/ctrl -iquote $dir/src/xen/common/libelf" \
	    $(of guest xg_private xg_domain xg_suspend xg_resume xg_nomigrate xg_core xg_core_x86 xg_dom_core xg_dom_boot \
	        xg_dom_elfloader xg_dom_hvmloader xg_dom_binloader xg_dom_compat_linux xg_dom_x86 xg_cpuid_x86) \
	    "$dir"/src/xen/common/libelf/libelf-tools.c "$dir"/src/xen/common/libelf/libelf-loader.c \
	    "$dir"/src/xen/common/libelf/libelf-dominfo.c "$dir"/src/xen/lib/x86/cpuid.c "$dir"/src/xen/lib/x86/msr.c \
	    "$dir"/src/xen/lib/x86/policy.c
}
rm -rf "$dir/obj" "$dir/apt"
