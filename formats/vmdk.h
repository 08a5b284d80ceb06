/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VMDK, the disks of VMware: what format.c's tables take.
 *
 * Written: streamOptimized (compressed, for VM Import, OVF and ESXi) and monolithicSparse (for
 * Workstation and for QEMU). Read: these two, monolithicFlat, twoGbMaxExtentSparse,
 * twoGbMaxExtentFlat and ESXi's flat disks, whose extents lie beside their descriptor. Delta disks,
 * COWD (vmfsSparse), seSparse and extents that are devices are refused, saying what they are.
 *
 * Source: VMware, Virtual Disk Format 5.0.
 */
#ifndef AMIWRIGHT_FORMATS_VMDK_H
#define AMIWRIGHT_FORMATS_VMDK_H

#include "formats/format.h"

extern const struct format format_vmdk;        /* "vmdk": streamOptimized */
extern const struct format format_vmdk_sparse; /* "vmdk-sparse": monolithicSparse */

/* A format_reader's open, of what detect_format() calls "vmdk". */
int vmdk_open(struct dev *file, const char *path, const struct format_read_opts *opts,
	struct image *out, struct error *err) MUST_CHECK;
/* Whether the file at path is an extent that a descriptor named; false when dev is no VMDK. */
bool vmdk_reads(const struct dev *dev, const char *path);

#endif
