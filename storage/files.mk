# SPDX-License-Identifier: ISC
# Volumes in files, for vmstart, startd and the commands.
STORAGE_SRC = storage/storage.c storage/storage-gen.c storage/storage-list.c storage/storage-ops.c storage/storage-run.c $(STORAGE_SRC_$(BACKEND))
STORAGE_SRC_local = storage/storage-tree.c storage/storage-rmtree.c
STORAGE_SRC_xen = storage/storage-image.c
MANPAGES += storage/storage.7
