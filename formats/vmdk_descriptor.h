/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to the VMDK files: the descriptor, text that names a disk's extents and its geometry. It is
 * a file of its own or lies in a sparse extent.
 *
 *   # Disk DescriptorFile
 *   version=1
 *   CID=…
 *   parentCID=ffffffff
 *   createType="monolithicSparse"
 *   RW 4194304 SPARSE "disk.vmdk"          access, sectors, type, file, sector in it (FLAT)
 *   ddb.adapterType = "lsilogic"           the disk data base
 *
 * Source: VMware, Virtual Disk Format 5.0, "The Descriptor File".
 */
#ifndef AMIWRIGHT_FORMATS_VMDK_DESCRIPTOR_H
#define AMIWRIGHT_FORMATS_VMDK_DESCRIPTOR_H

#include "formats/format.h"
#include "formats/survey.h"

enum {
	VMDK_DESCRIPTOR_SECTORS = 20,    /* of what we write: 10 KiB, as all do */
	VMDK_DESCRIPTOR_MAX = 1 << 20,   /* bytes that are read */
	VMDK_EXTENTS_MAX = 64 << 10,     /* extents of a disk */
	VMDK_VARIANT_SIZE = 32,
};

/* ---- writing ---- */

/* FORMAT_HARDWARE's options: ERROR_USAGE, naming what would be right. */
int vmdk_check(const struct format_write_opts *opts, struct error *err) MUST_CHECK;
/*
 * Whole grains, as the specification wants: with a part of one at its end, VMware's open-vmdk (2026)
 * reads for ever. At most max.
 */
int vmdk_disk_size(uint64_t size, uint64_t max, uint64_t *out, struct error *err) MUST_CHECK;
/*
 * Appends the descriptor of a disk of one embedded extent, padded with zeros to
 * VMDK_DESCRIPTOR_SECTORS. Its ids are derived from the survey's.
 */
int vmdk_descriptor_make(struct buf *out, const char *create_type, uint64_t sectors,
	const struct survey *survey, const struct format_write_opts *opts, struct error *err) MUST_CHECK;

/* ---- reading ---- */

enum vmdk_extent_type { VMDK_EXTENT_ZERO, VMDK_EXTENT_FLAT, VMDK_EXTENT_SPARSE };

struct vmdk_extent_line {
	enum vmdk_extent_type type;
	uint64_t sectors; /* > 0; the sum of all fits 64 bits in bytes */
	uint64_t off;     /* FLAT: sector in its file */
	char *name;       /* NULL for ZERO; a plain file name; owned */
};

struct vmdk_descriptor {
	char create_type[VMDK_VARIANT_SIZE];
	struct vmdk_extent_line *extents; /* owned */
	size_t nr_extents, alloc_extents;
};

/*
 * text: len bytes, ending at the first NUL if there is one. with_extents: the lines of extents are
 * what is read; otherwise they are passed over, as one names the file itself. ERROR_INPUT, naming
 * path: delta disks, types that are not read, names that lead out of the folder. Release in any case.
 */
int vmdk_descriptor_parse(struct vmdk_descriptor *d, const char *text, size_t len, bool with_extents,
	const char *path, struct error *err) MUST_CHECK;
void vmdk_descriptor_release(struct vmdk_descriptor *d);

#endif
