/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to the VMDK files: the sparse extent's header and markers, as they lie on the disk.
 *
 *   0   magic "KDMV"         28  descriptor offset     64  overhead
 *   4   version              36  descriptor size       72  unclean shutdown (1 byte)
 *   8   flags                44  entries a table (32)  73  "\n \r\n"
 *   12  capacity             48  redundant directory   77  compression (16)
 *   20  grain size           56  directory             79  zeros up to 512
 *
 * All little-endian; offsets and sizes in sectors of 512 bytes. A grain table has an entry of 32 bits
 * a grain: the sector where it begins; 0: not there; 1 with FLAG_ZERO_GRAIN: zeros. The grain directory
 * has an entry a grain table, 0: not there.
 *
 * A streamOptimized extent is a row of sectors that begin with a marker:
 *   grain     sector of the disk (64), bytes (32) > 0, a zlib stream of so many bytes
 *   metadata  sectors that follow (64), 0 (32), type (32); what it stands for is in those sectors
 *
 * Source: VMware, Virtual Disk Format 5.0, "Hosted Sparse Extents" and "Stream-Optimized Compressed
 * Sparse Extents".
 */
#ifndef AMIWRIGHT_FORMATS_VMDK_HEADER_H
#define AMIWRIGHT_FORMATS_VMDK_HEADER_H

#include "base/dev.h"

#include <stdbool.h>

enum {
	VMDK_SECTOR = 512,
	VMDK_GRAIN_SECTORS = 128, /* of what we write */
	VMDK_GRAIN = VMDK_GRAIN_SECTORS * VMDK_SECTOR,
	VMDK_TABLE_ENTRIES = 512,
	VMDK_TABLE = VMDK_TABLE_ENTRIES * 4,
	VMDK_MARKER = 12, /* bytes in front of a compressed grain */
};

enum {
	VMDK_FLAG_NEWLINES = 1 << 0,
	VMDK_FLAG_REDUNDANT = 1 << 1,
	VMDK_FLAG_ZERO_GRAIN = 1 << 2,
	VMDK_FLAG_COMPRESSED = 1 << 16,
	VMDK_FLAG_MARKERS = 1 << 17,
};

enum { VMDK_COMPRESSION_NONE = 0, VMDK_COMPRESSION_DEFLATE = 1 };

enum vmdk_marker {
	VMDK_MARKER_END = 0,
	VMDK_MARKER_TABLE = 1,
	VMDK_MARKER_DIRECTORY = 2,
	VMDK_MARKER_FOOTER = 3,
};

/* The directory's place when only the footer knows it. */
#define VMDK_DIRECTORY_AT_END UINT64_MAX

/* As above; sectors. */
struct vmdk_header {
	uint32_t version, flags;
	uint64_t capacity, grain_size;
	uint64_t descriptor, descriptor_size;
	uint32_t table_entries;
	uint64_t redundant, directory, overhead;
	uint16_t compression;
};

void vmdk_header_put(const struct vmdk_header *h, uint8_t out[VMDK_SECTOR]);
void vmdk_marker_put(uint64_t sectors, enum vmdk_marker type, uint8_t out[VMDK_SECTOR]);

/*
 * Reads the header of an extent, and its footer where the directory's place is there. All but the
 * directory's place is checked: sizes are such that sums in sectors cannot overflow. ERROR_INPUT,
 * naming path.
 */
int vmdk_header_read(struct vmdk_header *h, struct dev *file, const char *path, struct error *err)
	MUST_CHECK;
/* Whether its grains are zlib streams. */
bool vmdk_header_compressed(const struct vmdk_header *h);

#endif
