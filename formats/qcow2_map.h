/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to the qcow2 files: where the clusters of the disk lie in the file.
 *
 *   L1 table: an offset for each L2 table, 0 where there is none   (in memory)
 *   L2 table: a cluster of entries, one for each cluster of the disk
 *
 * L2 tables are not kept: a read asks for the entries of the clusters that it touches, 8 bytes each in one
 * piece, which the system's cache answers in 0.6 us (measured), once for each piece that a command reads of
 * a disk, most often 1 MiB. So readers need no lock, and memory no bound.
 *
 * Source: QEMU, docs/interop/qcow2.rst, "Cluster mapping".
 */
#ifndef AMIWRIGHT_FORMATS_QCOW2_MAP_H
#define AMIWRIGHT_FORMATS_QCOW2_MAP_H

#include "base/cleanup.h"
#include "formats/qcow2_header.h"

enum qcow2_kind { QCOW2_ZERO, QCOW2_PLAIN, QCOW2_PACKED };

struct qcow2_cluster {
	enum qcow2_kind kind;
	uint32_t len; /* QCOW2_PACKED: bytes from off on in which it ends; at most two clusters */
	uint64_t off; /* of the file; not with QCOW2_ZERO */
};

/* Clusters that are told at once. */
enum { QCOW2_BATCH = 512 };

struct qcow2_map;

/* Borrows all of them. All L1 entries are checked here. */
struct qcow2_map *qcow2_map_new(struct dev *file, const char *path, const struct qcow2_header *h,
	struct error *err) MUST_CHECK;
/* NULL is fine. */
void qcow2_map_free(struct qcow2_map *m);
DEFINE_CLEANUP(qcow2_map, struct qcow2_map, qcow2_map_free)

/*
 * Clusters first, first + 1, … of the disk, at least one and at most max (> 0) and QCOW2_BATCH. ERROR_INPUT
 * when an entry cannot be; whether the data is in the file is not looked at. Thread-safe.
 */
int qcow2_map_get(struct qcow2_map *m, uint64_t first, uint64_t max, struct qcow2_cluster *clusters,
	size_t *nr, struct error *err) MUST_CHECK;
/* How many clusters from first on have no L2 table: all of them are zero. At most max; cheap. */
uint64_t qcow2_map_hole(const struct qcow2_map *m, uint64_t first, uint64_t max);

#endif
