# SPDX-License-Identifier: ISC
# vmstart, one for each running qube. Its domains: local/, xendom/.
PROGS += vmstart
SRC_vmstart = vmstart/vmstart.c vmstart/keeper-file.c vmstart/keeper-console.c vmstart/ahead.c $(CONSOLE_SRC) $(DOMAIN_SRC) $(STORAGE_SRC)
MANPAGES += vmstart/vmstart.8
