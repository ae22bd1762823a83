# SPDX-License-Identifier: ISC
# Dom0's services that the agents of qubes call, each a program of its own.
DOM0_SERVICES = FeaturesRequest NotifyTools NotifyUpdates GetDate SyncAppMenus
PROGS += $(DOM0_SERVICES:%=qubes.%)
WISH_SRC = services/wish-run.c services/wish.c libqubesdb/libqubesdb.c libqubesdb/libqubesdb-wire.c
SRC_qubes.FeaturesRequest = services/features-request.c $(WISH_SRC)
SRC_qubes.NotifyTools = services/notify-tools.c $(WISH_SRC)
SRC_qubes.NotifyUpdates = services/notify-updates.c $(WISH_SRC)
SRC_qubes.GetDate = services/get-date.c services/date.c
SRC_qubes.SyncAppMenus = services/sync-app-menus.c services/menu.c
LINKS += $(foreach s,$(DOM0_SERVICES),/etc/qubes-rpc/qubes.$(s):qubes.$(s)) /etc/qubes-rpc/qubes.GetRandomizedTime:qubes.GetDate
INSTALL_FILES += $(foreach s,FeaturesRequest NotifyTools NotifyUpdates,services/as-root:/etc/qubes/rpc-config/qubes.$(s))
MANPAGES += services/dom0-services.8
