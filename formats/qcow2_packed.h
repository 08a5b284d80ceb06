/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to the qcow2 files: compressed clusters. Whole ones go to the caller's memory; the last few of
 * which only a part was asked for are kept, and who asks for one that is being decompressed waits for it: so small
 * reads, in a row or at the same time, decompress a cluster once.
 *
 * Memory: 16 clusters, and two for each thread that reads.
 */
#ifndef AMIWRIGHT_FORMATS_QCOW2_PACKED_H
#define AMIWRIGHT_FORMATS_QCOW2_PACKED_H

#include "formats/qcow2_header.h"
#include "formats/qcow2_map.h"

struct qcow2_packed;

/* Borrows all three. */
struct qcow2_packed *qcow2_packed_new(struct dev *file, const char *path, const struct qcow2_header *h,
	struct error *err) MUST_CHECK;
/* NULL is fine. */
void qcow2_packed_free(struct qcow2_packed *p);

/*
 * len bytes from skip on of a cluster, which is QCOW2_PACKED; skip + len <= a cluster. ERROR_INPUT when it
 * is damaged or not in the file. Thread-safe.
 */
int qcow2_packed_read(struct qcow2_packed *p, const struct qcow2_cluster *c, uint64_t skip, void *buf,
	size_t len, struct error *err) MUST_CHECK;

#endif
