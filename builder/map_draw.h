/* SPDX-License-Identifier: Apache-2.0 */
/* What a map as text and a map as picture share: the regions of a disk, and how much a cell stands for. */
#ifndef AMIWRIGHT_BUILDER_MAP_DRAW_H
#define AMIWRIGHT_BUILDER_MAP_DRAW_H

#include "builder/map.h"

/* A partition, or what lies between two. */
struct map_region {
	uint64_t off, len;
	const struct json *part; /* of the document; NULL: no partition */
	size_t number;           /* of the partition, from 1 */
};

struct map_regions {
	struct map_region *items; /* owned; ascending, without overlap, over the whole disk */
	size_t nr;
};

/*
 * By a document of report_disk_json() or report_image_json(), which is borrowed. Of partitions that
 * overlap each gets what the one before has not; an extended one of an MBR is the place of others
 * and is left out. Without a table the disk is one region. Release in any case.
 */
int map_regions_make(struct map_regions *r, const struct json *disk, uint64_t size, struct error *err)
	MUST_CHECK;
void map_regions_release(struct map_regions *r);

/* Bytes for a cell so that size needs at most `cells` of them: MAP_UNIT times a power of 2. */
uint64_t map_cell_bytes(uint64_t size, uint64_t cells);

/* How much of it is used, in quarters: 0 nothing at all, 1 up to a quarter … 4. */
unsigned map_quarters(const struct map_sum *sum);

#endif
