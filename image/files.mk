# SPDX-License-Identifier: ISC
# The image: Xen, Dom0 and the minimal template, from the distribution's packages and our programs.
#	make BACKEND=xen image		what QEMU boots, and a disc for real machines; sizes by part
#	make BACKEND=xen desktop	the template for qubes with windows; to be copied to /var/lib/qubes/vm-kernels
#	make BACKEND=xen run-image	boots it, with two qubes and a shell
#	make BACKEND=xen xen-demo	boots it, runs test/demo there: xen-demo.png
# Each installs first what is missing.
IMAGE = $(O)/image

# What `make install` would put into Dom0, without what needs X's libraries there. Not all of it stays (mk-dom0).
IMAGE_X = guid gui-agent set-monitor-layout qubes-monitors qubes.WindowIconUpdater
IMAGE_FROM = $(addprefix $(O)/bin/,$(PROGS) $(IMAGE_X)) $(foreach f,$(INSTALL_FILES),$(firstword $(subst :, ,$(f))))
$(IMAGE)/prog/.done: $(IMAGE_FROM) install.sh image/files.mk
	@rm -rf $(@D)
	@$(MAKE) -s install HOST_PROGS='$(IMAGE_X)' MANPAGES= DESTDIR=$(abspath $(@D))
	@touch $@

$(IMAGE)/versions: image/fetch
	@echo image: packages
	@sh image/fetch $(IMAGE)
$(IMAGE)/kernels.done: image/mk-kernels image/extract-vmlinux image/common $(IMAGE)/versions
	@sh image/mk-kernels $(IMAGE)/root $(IMAGE)
	@touch $@
$(IMAGE)/template.done: image/mk-template image/common $(wildcard image/template/*) $(IMAGE)/kernels.done $(IMAGE)/prog/.done
	@echo image: template
	@sh image/mk-template $(IMAGE)/root $(IMAGE)/prog $(IMAGE)
	@touch $@
# The same with an X server: not in the image, but beside it, as are Dom0's own (test/xen/tools.py).
$(IMAGE)/windows.versions: image/fetch
	@echo image: packages for windows
	@sh image/fetch $(IMAGE) windows
$(IMAGE)/desktop.done: image/mk-desktop image/common $(IMAGE)/template.done $(IMAGE)/windows.versions
	@echo image: desktop
	@sh image/mk-desktop $(IMAGE)/windows $(IMAGE)/root $(IMAGE)/prog $(IMAGE)
	@touch $@
$(IMAGE)/dom0.cpio: image/mk-dom0 image/common image/memory $(wildcard image/dom0/*) $(IMAGE)/template.done $(IMAGE)/prog/.done
	@echo image: dom0
	@sh image/mk-dom0 $(IMAGE)/root $(IMAGE)/prog $(IMAGE)/template $(IMAGE)
# Modules for a machine that tests drive from outside; appended to dom0.cpio (image/machine).
$(IMAGE)/test-modules.cpio: image/mk-test-modules image/common $(IMAGE)/kernels.done
	@sh image/mk-test-modules $(IMAGE)/root $(IMAGE)
$(IMAGE)/cubicle.iso: image/mk-iso image/machine $(IMAGE)/dom0.cpio
	@echo image: disc
	@sh image/mk-iso $(IMAGE)
$(IMAGE)/qubes.cpio: image/mk-qubes image/common $(IMAGE)/versions
	@sh image/mk-qubes $(IMAGE)/root $(IMAGE)

deps-image:
	@sh ./deps.sh image
# A second make, so that what deps installed is found when the Makefile is read.
image: deps-image
	@$(MAKE) -s $(IMAGE)/cubicle.iso $(IMAGE)/test-modules.cpio
	@cat $(IMAGE)/sizes
desktop: deps-image
	@$(MAKE) -s $(IMAGE)/desktop.done
run-image: deps-image
	@$(MAKE) -s $(IMAGE)/dom0.cpio $(IMAGE)/qubes.cpio
	@sh image/run -a $(IMAGE)/qubes.cpio $(IMAGE)
xen-demo: deps-image
	@$(MAKE) -s $(IMAGE)/dom0.cpio $(IMAGE)/test.cpio
	@test/xen/demo $(O)
.PHONY: deps-image image desktop run-image xen-demo
