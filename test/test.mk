# SPDX-License-Identifier: ISC
# The tests. Unit tests are test/unit/t-*.c (cmocka), each with the room objects that it links besides
# lib; system tests are test/system/*.t, run by prove inside a house (test/house); fuzz targets are
# test/fuzz/f-*.c (libFuzzer).

UNIT_SRC_t-example =
UNIT_SRC_t-relay = $(RPC_SRC)
UNIT_SRC_t-service = $(RPC_SRC)
UNIT_SRC_t-rpcconf = $(RPC_SRC)

UNIT_SRC_t-policy-parse = $(ENGINE_SRC)
UNIT_SRC_t-policy-files = $(ENGINE_SRC)
UNIT_SRC_t-policy-decide = $(ENGINE_SRC)
UNIT_SRC_t-ticket = policy/ticket.c
UNIT_SRC_t-policy-json = $(ENGINE_SRC) qpolicy/sysinfo-json.c

UNIT_SRC_t-ports = qrexecd/ports.c
UNIT_SRC_t-trigger = qrexecd/trigger.c qrexecd/answer.c

QD_FUZZ = $(addprefix qrexecd/,agent.c clients.c door.c helper.c ports.c route.c route-hand.c dispose.c trigger.c answer.c)
FUZZ_SRC_f-agent-msg = $(QD_FUZZ)
FUZZ_SRC_f-client-msg = $(QD_FUZZ)
FUZZ_SRC_f-peer = $(QD_FUZZ)
FUZZ_SRC_f-trigger = qrexecd/trigger.c
FUZZ_SRC_f-client-answer = dom0/call.c $(RPC_SRC)
FUZZ_SRC_f-example =
FUZZ_SRC_f-ticket = policy/ticket.c
FUZZ_SRC_f-policy-sock = policy/policyd-req.c
FUZZ_SRC_f-ask-json = ask/qrexec-ask-json.c
FUZZ_SRC_f-policy-new = $(ENGINE_SRC)
FUZZ_SRC_f-policy-old = $(ENGINE_SRC)
FUZZ_SRC_f-policy-request = $(ENGINE_SRC)
FUZZ_SRC_f-sysinfo-json = $(ENGINE_SRC) qpolicy/sysinfo-json.c
FUZZ_SRC_f-data-channel = $(RPC_SRC)
FUZZ_SRC_f-service-cmd = $(RPC_SRC)
FUZZ_SRC_f-rpcconf = $(RPC_SRC)

UNIT_SRC_t-vmstart = startd/startd-req.c local/local.c local/local-root.c local/local-tree.c local/local-pause.c storage/storage-rmtree.c console/console.c console/source-local.c
UNIT_SRC_t-chand = chand/local.c chand/request.c local/grant-file.c
UNIT_SRC_t-storage = $(STORAGE_SRC)
UNIT_SRC_t-storage-cut = $(STORAGE_SRC)
# Where power goes, or what fails, among storage's changes of files.
$(O)/aobj/storage/%.o $(O)/aobj/test/unit/t-storage-cut.o: CPPFLAGS += -DSTORAGE_CUT
UNIT_SRC_t-qdb-keys =
UNIT_SRC_t-ring = xen/ring.c
UNIT_SRC_t-store = xen/store.c xen/store-ops.c
FUZZ_SRC_f-ring = xen/ring.c
FUZZ_SRC_f-store = xen/store.c xen/store-ops.c
UNIT_SRC_t-console-ring = console/console-ring.c console/term-filter.c
FUZZ_SRC_f-console-ring = console/console-ring.c console/term-filter.c
FUZZ_SRC_f-startsock = startd/startd-req.c
FUZZ_SRC_f-chansock = chand/local.c chand/request.c local/grant-file.c
FUZZ_SRC_f-state =
UNIT_SRC_t-libqubesdb = libqubesdb/libqubesdb.c libqubesdb/libqubesdb-wire.c
FUZZ_SRC_f-libqubesdb = libqubesdb/libqubesdb.c libqubesdb/libqubesdb-wire.c
UNIT_SRC_t-qdb-store = qdb/store.c
QDB_FUZZ = qdb/store.c qdb/client.c qdb/peer.c
FUZZ_SRC_f-qdb-sock = $(QDB_FUZZ)
FUZZ_SRC_f-qdb-peer = $(QDB_FUZZ)
UNIT_SRC_t-adminapi = $(ADMINAPI_SRC) adminapi/ask.c
UNIT_SRC_t-services = services/wish.c services/menu.c services/date.c
FUZZ_SRC_f-admin-request = $(ADMINAPI_SRC) adminapi/ask.c
FUZZ_SRC_f-svc-wish = services/wish.c
FUZZ_SRC_f-svc-menu = services/menu.c
UNIT_SRC_t-xauth = display/xauth.c
FUZZ_SRC_f-xauth = display/xauth.c
UNIT_SRC_t-guid-proto = guid/agent.c display/gui-link.c
UNIT_SRC_t-icon = icons/icon.c icons/tint.c
FUZZ_SRC_f-icon = icons/icon.c icons/tint.c
FUZZ_SRC_f-guid = $(addprefix guid/,agent.c clip.c hints.c input.c override.c pixels.c tray.c window.c x.c) display/x.c display/gui-link.c icons/tint.c $(if $(filter local,$(BACKEND)),lib/grant.c) local/grant-file.c
UNIT_SRC_t-unpack = filecopy/place.c filecopy/io.c filecopy/input.c filecopy/qnames.c
UNIT_LIBS_t-unpack = $(LIBDEFLATE)
FUZZ_SRC_f-unpack = filecopy/unpack.c filecopy/place.c filecopy/io.c filecopy/input.c filecopy/qnames.c
FUZZ_LIBS_f-unpack = $(LIBDEFLATE)
FUZZ_SRC_f-reply = filecopy/reply.c filecopy/io.c filecopy/strerror.c
UNIT_SRC_t-gui-agent = gui-agent/pure.c
FUZZ_SRC_f-gui-agent = $(addprefix gui-agent/,clip.c input.c link.c pixels.c props.c pure.c tray.c window.c x.c) $(addprefix display/,gui-link.c x.c x-open.c)
FUZZ_LIBS_f-gui-agent = -lxcb-composite -lxcb-damage -lxcb-xtest -lxcb-xkb -lxcb-xfixes -lxcb-shm -lxcb-randr -lxcb
UNIT = $(patsubst test/unit/%.c,%,$(wildcard test/unit/t-*.c))
FUZZ = $(patsubst test/fuzz/%.c,%,$(wildcard test/fuzz/f-*.c))
TESTBIN = $(O)/test
# What system tests need besides the programs themselves.
TEST_PROGS = $(TESTBIN)/inject $(TESTBIN)/qdb-flood $(TESTBIN)/cut
FUZZCC = clang
FUZZ_SECONDS = 60
ASAN = -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
# Test code is ours too, but is no part of what has to be trusted: fewer warnings.
TESTWARN = -Wall -Wextra -Werror -Wno-unused-parameter

# Objects for tests: glibc, ASan and UBSan.
$(O)/aobj/%.o: %.c config.mk Makefile | gen
	@mkdir -p $(@D)
	$(HOSTCC) $(CPPFLAGS) -std=c11 -O1 -g $(ASAN) $(TESTWARN) -MMD -MP -c -o $@ $<
$(O)/fobj/%.o: %.c config.mk Makefile | gen
	@mkdir -p $(@D)
	$(FUZZCC) $(CPPFLAGS) -std=c11 -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -MMD -MP -c -o $@ $<

define UNIT_RULE
$(TESTBIN)/$(1): $(O)/aobj/test/unit/$(1).o $$(UNIT_SRC_$(1):%.c=$(O)/aobj/%.o) $(LIB_SRC:%.c=$(O)/aobj/%.o)
	@mkdir -p $$(@D)
	$(HOSTCC) $(ASAN) -o $$@ $$^ -lcmocka $$(UNIT_LIBS_$(1))
endef
$(foreach t,$(UNIT),$(eval $(call UNIT_RULE,$(t))))
define FUZZ_RULE
$(O)/fuzz/$(1): $(O)/fobj/test/fuzz/$(1).o $$(FUZZ_SRC_$(1):%.c=$(O)/fobj/%.o) $(LIB_SRC:%.c=$(O)/fobj/%.o)
	@mkdir -p $$(@D)
	$(FUZZCC) -fsanitize=fuzzer,address,undefined -o $$@ $$^ $$(FUZZ_LIBS_$(1))
endef
$(foreach t,$(FUZZ),$(eval $(call FUZZ_RULE,$(t))))

# Some enter the sandbox, which only root can.
SUDO = $(if $(filter-out 0,$(shell id -u)),sudo)
check-unit: $(UNIT:%=$(TESTBIN)/%)
	@$(SUDO) env CMOCKA_MESSAGE_OUTPUT=TAP TOP=$(CURDIR) prove --exec '' $(UNIT:%=$(TESTBIN)/%)

fuzz-build: $(FUZZ:%=$(O)/fuzz/%)
fuzz: fuzz-build
	@O=$(O) test/fuzz/run $(FUZZ_SECONDS) $(FUZZ)

.PHONY: check-unit fuzz fuzz-build

deps-build:
	@sh ./deps.sh build
deps-demo:
	@sh ./deps.sh demo
deps-bench:
	@sh ./deps.sh bench
deps-check:
	@sh ./deps.sh check
# A second make, so that what deps installed is found when the Makefile is read.
demo: deps-demo
	@$(MAKE) -s all
	@O=$(O) STATIC=$(STATIC) test/house -u test/demo
check: deps-check
	@$(MAKE) -s all check-build
	@$(MAKE) -s lint check-unit check-system
check-build: all $(UNIT:%=$(TESTBIN)/%) $(TEST_PROGS)
lint: gen
	@O=$(O) sh test/lint.sh
SYSTEM = $(wildcard test/system/*.t)
# Files at a time. One that is red beside another is said, and runs once more alone.
AT_ONCE = 2
PROVE = $(SUDO) env PYTHONDONTWRITEBYTECODE=1 FILE_LIMIT=600 O=$(O) STATIC=$(STATIC) TOP=$(CURDIR) RED=$(abspath $(O))/red \
	timeout --foreground -k 10 2400 prove
RED_ROWS = tail -n 200 $(O)/red 2>/dev/null
check-system: all $(TEST_PROGS)
	@$(SUDO) rm -f $(O)/red .prove
	@$(PROVE) --state=save -j$(AT_ONCE) $(SYSTEM) || { $(RED_ROWS); echo '# once more, alone:'; \
		$(SUDO) rm -f $(O)/red; $(PROVE) --state=failed || { $(RED_ROWS); exit 1; }; }
	@$(SUDO) rm -f .prove

.PHONY: deps-build deps-demo deps-check demo check check-build lint check-system bench

BENCH = $(patsubst test/bench/%.c,$(O)/bench/%,$(wildcard test/bench/*.c))
# Draws on Dom0's and on a qube's X server.
$(O)/bench/x-client: $(O)/hobj/test/bench/x-client.o $(O)/hobj/display/no-names.o
	@mkdir -p $(@D)
	@$(HOSTCC) $(LDFLAGS) -static-pie -o $@ $^ -lxcb-damage -lxcb-xfixes -lxcb-shm -lxcb -lXau -lXdmcp
$(O)/hobj/test/bench/x-client.o: CFLAGS += -O2
$(O)/bench/%: $(O)/obj/test/bench/%.o $(O)/lib.a
	@mkdir -p $(@D)
	$(LIBC_CC) $(LDFLAGS) $(LIBC_LDFLAGS) -o $@ $^
bench: deps-bench
	@$(MAKE) -s all bench-build
	@O=$(O) STATIC=$(STATIC) test/house -u test/bench/run
# The windows alone.
bench-gui: deps-bench
	@$(MAKE) -s all $(O)/bench/x-client
	@O=$(O) STATIC=$(STATIC) PYTHONDONTWRITEBYTECODE=1 test/house -u test/bench/gui $(O)/bench/x-client || [ $$? -lt 100 ]
bench-build: $(BENCH)
.PHONY: bench-build bench-gui deps-bench

# In a qube: a hostile qdbd (qubesdb.t).
$(TESTBIN)/qdb-flood: $(O)/obj/test/unit/qdb-flood.o $(O)/lib.a
	@mkdir -p $(@D)
	$(LIBC_CC) $(LDFLAGS) -static -o $@ $^

# Helper programs. inject makes a live process execute a system call (any test may use it);
# sandboxed-* are what t-sandbox looks at, against either libc.
$(foreach f,test/unit/sandboxed.filter test/unit/sandboxed-open.filter,$(eval $(call FILTER_RULE,$(f))))
SANDBOXED_GEN = $(O)/gen/sandboxed.filter.h $(O)/gen/sandboxed-open.filter.h
$(O)/hobj/test/unit/sandboxed.o $(O)/obj/test/unit/sandboxed.o: $(SANDBOXED_GEN)
$(TESTBIN)/inject: test/unit/inject.c
	@mkdir -p $(@D)
	$(HOSTCC) -D_GNU_SOURCE -std=c11 -O1 -g $(TESTWARN) -static -o $@ $<
# cut runs a command up to one of its changes of files, and kills it there.
$(TESTBIN)/cut: test/unit/cut.c test/unit/cut.h
	@mkdir -p $(@D)
	$(HOSTCC) -D_GNU_SOURCE -std=c11 -O1 -g $(TESTWARN) -static -o $@ $<
$(TESTBIN)/sandboxed-host: $(O)/hobj/test/unit/sandboxed.o $(LIB_SRC:%.c=$(O)/hobj/%.o)
	@mkdir -p $(@D)
	$(HOSTCC) $(LDFLAGS) -pie -o $@ $^
$(TESTBIN)/sandboxed: $(O)/obj/test/unit/sandboxed.o $(O)/lib.a
	@mkdir -p $(@D)
	$(LIBC_CC) $(LDFLAGS) $(LIBC_LDFLAGS) -o $@ $^
TEST_HELPERS = $(TESTBIN)/inject $(TESTBIN)/sandboxed $(TESTBIN)/sandboxed-host
check-unit: $(TEST_HELPERS)

# On real Xen, in an emulated machine (test/xen): the same system tests, and what only Xen can show.
# check-xen: what fits into a quarter of an hour of emulation; check-xen-all: every file, an hour.
# The longest first.
XEN_TESTS = test/system/disp.t test/system/guid.t test/system/gui-session.t test/xen/storage.t test/system/qubesdb.t test/system/sandbox.t \
	test/xen/faults-destroyed.t test/xen/faults-start.t \
	test/system/filecopy-qubes.t test/xen/ahead.t test/system/call.t test/xen/faults-keeper.t test/xen/start.t test/system/let-go.t test/xen/windows.t test/system/guid-managed.t \
	test/system/qrexecd-managed.t test/system/policy-tool.t test/xen/chand-xen.t test/system/attack.t test/system/chand.t test/system/transcripts.t
XEN_ALL = $(SYSTEM) $(wildcard test/xen/*.t)
check-xen check-xen-all:
	@if command -v qemu-system-x86_64 >/dev/null; then \
		$(MAKE) -s BACKEND=xen deps-image && $(MAKE) -s BACKEND=xen $@-run; else \
		echo '$@: skipped: no qemu-system-x86_64 on this machine'; fi
$(O)/image/test.cpio: test/xen/tools.py test/xen/agent test/xen/prepare $(O)/image/versions $(O)/image/desktop.done
	@echo test tools
	@test/xen/tools.py $(O)/image/root/lib/modules/*[0-9]-amd64 $(O)/image
# What tests have run inside a qube, where there is no Python.
$(TESTBIN)/offer: $(O)/obj/test/xen/offer.o $(O)/lib.a
	@mkdir -p $(@D)
	$(LIBC_CC) $(LDFLAGS) -static -o $@ $^

# Xen: either end of a channel for test/xen, decent or hostile.
$(eval $(call FILTER_RULE,test/xen/chan.filter))
$(O)/obj/test/xen/chan.o: $(O)/gen/chan.filter.h
$(TESTBIN)/chan: $(O)/obj/test/xen/chan.o $(O)/lib.a
	@mkdir -p $(@D)
	$(LIBC_CC) $(LDFLAGS) $(LIBC_LDFLAGS) -o $@ $^
# In a qube: pages that it shows.
$(TESTBIN)/pages: $(O)/obj/test/xen/pages.o $(O)/lib.a
	@mkdir -p $(@D)
	$(LIBC_CC) $(LDFLAGS) $(LIBC_LDFLAGS) -o $@ $^
# In a qube: an agent of windows that somebody in Dom0 plays.
$(TESTBIN)/stage: $(O)/obj/test/xen/stage.o $(O)/lib.a
	@mkdir -p $(@D)
	$(LIBC_CC) $(LDFLAGS) -static -o $@ $^
# In a qube: a scribbler. In Dom0: what Xen says of domains.
$(TESTBIN)/scribble: $(O)/obj/test/xen/scribble.o $(O)/lib.a
	@mkdir -p $(@D)
	$(LIBC_CC) $(LDFLAGS) -static -o $@ $^
$(O)/obj/test/xen/dom.o: CFLAGS += -std=gnu11 -D__XEN_TOOLS__
$(TESTBIN)/dom: $(O)/obj/test/xen/dom.o $(O)/lib.a $(XENLIBS_STAMP)
	@mkdir -p $(@D)
	$(LIBC_CC) $(LDFLAGS) $(LIBC_LDFLAGS) -o $@ $(filter %.o %.a,$^) -L$(XENLIBS)/lib -lxenctrl -lxencall \
		-lxenforeignmemory -lxendevicemodel -lxentoollog -lxentoolcore
ifeq ($(BACKEND),xen)
TEST_PROGS += $(TESTBIN)/chan $(TESTBIN)/pages $(TESTBIN)/stage $(TESTBIN)/offer $(TESTBIN)/scribble $(TESTBIN)/dom
endif
check-xen-run check-xen-all-run: all $(TEST_PROGS) $(O)/image/dom0.cpio $(O)/image/test.cpio
	@O=$(O) JOBS=2 test/xen/check $(if $(filter %-all-run,$@),$(XEN_ALL),$(XEN_TESTS))
.PHONY: check-xen check-xen-all check-xen-run check-xen-all-run

# The figures that only real Xen has (test/bench/xen), beside xl and libxenvchan from the distribution's packages.
BENCH_XEN = $(O)/bench-xen
BENCH_XEN_PROGS = $(addprefix $(BENCH_XEN)/,timeit vchan-speed vchan-raw spent)
$(BENCH_XEN)/root.done: test/bench/onxen/tools image/common $(O)/image/versions
	@echo bench tools
	@test/bench/onxen/tools $(O)/image/root $(BENCH_XEN)
	@touch $@
$(BENCH_XEN)/timeit $(BENCH_XEN)/vchan-speed: $(BENCH_XEN)/%: $(O)/bench/%
	@mkdir -p $(@D)
	@cp $< $@
# The same program over libxenvchan, as the distribution built it.
$(BENCH_XEN)/vchan-raw: test/bench/vchan-speed.c test/bench/onxen/raw.c lib/names.c $(BENCH_XEN)/root.done $(XENLIBS_STAMP)
	@$(HOSTCC) $(CPPFLAGS) -std=c11 -O2 -ffunction-sections -Wl,--gc-sections $(TESTWARN) -I$(XENLIBS)/include -o $@ \
		$(filter %.c,$^) $(wildcard $(BENCH_XEN)/root/usr/lib/libxenvchan.so.*.0) -Wl,-rpath-link,$(BENCH_XEN)/root/usr/lib
$(O)/obj/test/bench/onxen/spent.o: CFLAGS += -std=gnu11 -D__XEN_TOOLS__
$(O)/obj/test/bench/onxen/spent.o: $(XENLIBS_STAMP)
$(BENCH_XEN)/spent: $(O)/obj/test/bench/onxen/spent.o $(O)/lib.a
	@mkdir -p $(@D)
	$(LIBC_CC) $(LDFLAGS) $(LIBC_LDFLAGS) -o $@ $^ -L$(XENLIBS)/lib -lxenctrl -lxencall -lxenforeignmemory \
		-lxendevicemodel -lxentoollog -lxentoolcore
bench-xen:
	@if command -v qemu-system-x86_64 >/dev/null; then \
		$(MAKE) -s BACKEND=xen deps-image && $(MAKE) -s BACKEND=xen bench-xen-run; else \
		echo 'bench-xen: skipped: no qemu-system-x86_64 on this machine'; fi
bench-xen-run: all $(BENCH_XEN_PROGS) $(O)/image/dom0.cpio $(O)/image/test.cpio
	@test/bench/xen $(O)
.PHONY: bench-xen bench-xen-run
