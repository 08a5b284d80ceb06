/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an initrd holds. The kernel takes several archives one behind the other, each plain or
 * compressed by itself, with zeros between them:
 *
 *   plain cpio (microcode) │ zeros │ plain cpio (modules) │ zeros │ zstd(cpio) │ …
 *
 * cpio is the "newc" form (magic 070701, or 070702 with a sum); compressions are gzip, xz, lzma,
 * zstd, lz4 (both forms) and bzip2. Facts: the kernel's
 * Documentation/driver-api/early-userspace/buffer-format.rst and init/initramfs.c.
 *
 * Nothing is kept: names are told one after the other, contents are only stepped over. Hostile
 * ones end at INITRD_NAMES_MAX names or INITRD_BYTES_MAX bytes, packed or not.
 */
#ifndef AMIWRIGHT_FS_INITRD_H
#define AMIWRIGHT_FS_INITRD_H

#include "fs/tree.h"

enum { INITRD_NAMES_MAX = 200000, INITRD_ARCHIVES_MAX = 64 };
#define INITRD_BYTES_MAX (UINT64_C(2) << 30)

/*
 * Called for each entry in its order. path: without "/" or "./" at its start ("usr/bin/sh"; ""
 * for the root), any bytes, borrowed for the call. mode: S_IFMT and permissions. -1 with *err set
 * stops the walk.
 */
typedef int (*initrd_fn)(void *arg, const char *path, uint32_t mode, struct error *err);

/*
 * Walks a regular file of a tree. name is for messages. ERROR_INPUT when it is damaged, cut off,
 * larger than the limits or no initrd at all; with errnum ENOTSUP when it may well be fine, but is
 * compressed in a way that we cannot undo (lzop).
 */
int initrd_walk(const struct tree *t, tree_node node, const char *name, initrd_fn fn, void *arg,
	struct error *err) MUST_CHECK;
/* The same over bytes in memory. */
int initrd_walk_mem(const void *data, size_t len, const char *name, initrd_fn fn, void *arg,
	struct error *err) MUST_CHECK;

#endif
