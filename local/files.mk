# SPDX-License-Identifier: ISC
# Domains of Linux namespaces, for trying and testing; vmstart/domain.h is the boundary.
DOMAIN_SRC = local/local.c local/local-root.c local/local-tree.c local/local-pause.c
PROGS += vm-init
SRC_vm-init = local/vm-init.c agent/programs.c
