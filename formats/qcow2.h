/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qcow2 images of QEMU, versions 2 (compat 0.10) and 3 (1.1), read by ourselves: what the disk holds now,
 * whatever internal snapshots there are. Clusters of 512 bytes to 2 MiB; plain, zero, and compressed
 * by deflate or zstd.
 *
 * Refused with what to do: a backing file, encryption, an external data file, extended L2 entries
 * (subclusters), features that are not known here, an image that is marked as corrupt. The refcounts
 * are not looked at: what a disk reads as does not depend on them, and that is why an image that was
 * not closed (dirty, with lazy refcounts) is right to read.
 *
 * Source: QEMU, docs/interop/qcow2.rst.
 */
#ifndef AMIWRIGHT_FORMATS_QCOW2_H
#define AMIWRIGHT_FORMATS_QCOW2_H

#include "formats/format.h"

/*
 * A reader of format.h. Memory: the L1 table (8 bytes for each L2 table that the disk needs, 1 MiB for
 * 64 TiB in clusters of 64 KiB, never over 32 MiB), and with compressed clusters what qcow2_packed.h says.
 */
int qcow2_open(struct dev *file, const char *path, const struct format_read_opts *opts,
	struct image *out, struct error *err) MUST_CHECK;

#endif
