# SPDX-License-Identifier: ISC
# The Admin API: its daemon, and its methods as Dom0's services, which are links to its socket.
PROGS += adminapid
ADMINAPI_SRC = adminapi/request.c adminapi/answer.c adminapi/methods.c
SRC_adminapid = adminapi/adminapid.c adminapi/ask.c $(ADMINAPI_SRC)
MANPAGES += adminapi/adminapid.8
ADMIN_METHODS = vm.List vm.CurrentState vm.Start vm.Shutdown vm.Kill vm.Pause vm.Unpause \
	$(addprefix vm.property.,List Get GetAll GetDefault) \
	$(addprefix vm.feature.,List Get CheckWithTemplate CheckWithNetvm CheckWithAdminVM CheckWithTemplateAndAdminVM) \
	$(addprefix vm.tag.,List Get) $(addprefix property.,List Get GetAll GetDefault) $(addprefix label.,List Get Index) vmclass.List
LINKS += $(ADMIN_METHODS:%=/etc/qubes-rpc/admin.%:/run/qubesd.sock)
