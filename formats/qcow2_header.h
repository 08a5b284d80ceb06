/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to the qcow2 files: the header. All numbers are big-endian.
 *
 *   0    magic, version            36   entries of the L1 table      v3 only:
 *   8    backing file: offset,     40   offset of the L1 table       72   incompatible features
 *   16   length of its name        48   refcounts, snapshots:        80   compatible features
 *   20   log2 of the cluster            not looked at                100  length of the header
 *   24   size of the disk               (version 2 ends at 72)       104  kind of compression
 *   32   encryption
 *
 * Then come header extensions (type, length, data, padding to 8 bytes) until one of type 0 or the end
 * of the first cluster. Of these only the names of features are of use here.
 *
 * Source: QEMU, docs/interop/qcow2.rst, "Header" to "Feature name table".
 */
#ifndef AMIWRIGHT_FORMATS_QCOW2_HEADER_H
#define AMIWRIGHT_FORMATS_QCOW2_HEADER_H

#include "base/dev.h"

struct qcow2_header {
	unsigned version;      /* 2 or 3 */
	unsigned cluster_bits; /* 9 to 21 */
	uint64_t size;         /* bytes of the disk; > 0, <= 64 TiB */
	uint64_t l1_off;       /* bytes; the whole table lies in the file, and has all entries that size needs */
	uint64_t nr_l1;        /* entries that size needs */
	bool zstd;             /* compressed clusters; else deflate */
};

/* ERROR_INPUT, naming path, when it is damaged or says what is not read here. */
int qcow2_header_read(struct qcow2_header *h, struct dev *file, const char *path, struct error *err)
	MUST_CHECK;

#endif
