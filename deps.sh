#!/bin/sh
# SPDX-License-Identifier: ISC
# Installs what is missing, by Debian package name: deps.sh [build|demo|check|bench|image]
set -eu

build='gcc libc6-dev make musl-tools linux-libc-dev libseccomp-dev libx11-dev libxcb1-dev libxcb-shm0-dev
	libxcb-composite0-dev libxcb-damage0-dev libxcb-xtest0-dev libxcb-xkb-dev libxcb-xfixes0-dev libxcb-randr0-dev
	libxcb-render0-dev libxcb-shape0-dev libxau-dev libxdmcp-dev libdeflate-dev unicode-data s6 execline util-linux'
demo="$build python3 xvfb xterm"
check="$demo git libcmocka-dev perl clang libclang-rt-14-dev clang-format clang-tidy cppcheck
	mandoc valgrind xdotool openbox twm x11-utils x11-xserver-utils
	xclip l3afpad yad binutils procps libxen-dev"
bench="$check ffmpeg mpv"
image="$build binutils dpkg-dev python3 libxen-dev squashfs-tools xorriso mtools grub-common grub-pc-bin
	grub-efi-amd64-bin zstd xz-utils qemu-system-x86"
case ${1-build} in
build) want=$build ;;
image) want=$image ;;
demo) want=$demo ;;
check) want=$check ;;
bench) want=$bench ;;
*) echo 'usage: deps.sh [build|demo|check|bench|image]' >&2; exit 100 ;;
esac

missing=
for p in $want; do
	case $(dpkg-query -W -f '${Status}' "$p" 2>/dev/null) in
	*' installed') ;;
	*) missing="$missing $p" ;;
	esac
done
[ -n "$missing" ] || exit 0
command -v apt-get >/dev/null || { echo "deps.sh: please install:$missing" >&2; exit 111; }
sudo=
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null || { echo "deps.sh: not root and no sudo; please install:$missing" >&2; exit 111; }
	sudo=sudo
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086
$sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null 2>&1 || {
	$sudo apt-get update -qq
	$sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
}
