# SPDX-License-Identifier: ISC
# The text files that several rooms read: a qube's definition and what runs. Part of lib.a.
LIB_SRC += conf/label.c conf/running.c conf/qids.c conf/state.c conf/vmconf.c conf/vmconf-load.c conf/vmedit.c conf/vmprops.c conf/vmconf-keys.c conf/vmconf-features.c
MANPAGES += conf/vm.d.5
