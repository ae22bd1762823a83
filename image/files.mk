# SPDX-License-Identifier: ISC
# The image: Xen, Dom0 and the minimal template, from the distribution's packages and our programs.
IMAGE = $(O)/image

# What `make install` would put into Dom0, without what needs X.
IMAGE_FROM = $(PROGS:%=$(O)/bin/%) $(foreach f,$(INSTALL_FILES),$(firstword $(subst :, ,$(f))))
$(IMAGE)/prog/.done: $(IMAGE_FROM) install.sh
	@rm -rf $(@D)
	@$(MAKE) -s install HOST_PROGS= MANPAGES= DESTDIR=$(@D)
	@touch $@

$(IMAGE)/versions: image/fetch
	@echo packages
	@sh image/fetch $(IMAGE)
$(IMAGE)/kernels.done: image/mk-kernels image/extract-vmlinux image/common $(IMAGE)/versions
	@sh image/mk-kernels $(IMAGE)/root $(IMAGE)
	@touch $@
$(IMAGE)/template.done: image/mk-template image/common $(IMAGE)/kernels.done $(IMAGE)/prog/.done $(O)/bin/qube-init
	@sh image/mk-template $(IMAGE)/root $(IMAGE)/prog $(IMAGE)
	@touch $@
$(IMAGE)/dom0.cpio: image/mk-dom0 image/common $(wildcard image/dom0/*) $(IMAGE)/template.done $(IMAGE)/prog/.done
	@echo dom0
	@sh image/mk-dom0 $(IMAGE)/root $(IMAGE)/prog $(IMAGE)/template $(IMAGE)
