# SPDX-License-Identifier: ISC
# What is built and where it goes. Edit, or override on the command line.

# local: qubes are Linux namespaces on this machine.  xen: the product, on real Xen (image/).
BACKEND = local

# Programs are found by scripts under these names; services live in LIBDIR.
PREFIX = /usr
BINDIR = $(PREFIX)/bin
LIBDIR = $(PREFIX)/lib/qubes
MANDIR = $(PREFIX)/share/man

# 1: small static programs against musl.  0: CC as it is, dynamic, glibc.
STATIC = 1

CC = cc
MUSLCC = musl-gcc
HOSTCC = cc
OPT = -Os -g -fno-asynchronous-unwind-tables

# Where everything is built.
O = build/$(BACKEND)$(if $(filter 0,$(STATIC)),-dynamic)
