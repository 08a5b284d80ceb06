/* SPDX-License-Identifier: Apache-2.0 */
/* L1 entries are checked once, L2 entries as they are read. */
#include "formats/qcow2_map.h"

#include <stdlib.h>

#include "base/num.h"

#define OFFSET_MASK UINT64_C(0x00fffffffffffe00) /* bits 9 to 55 */
#define COPIED (UINT64_C(1) << 63)               /* of refcounts: nothing to us */
#define PACKED (UINT64_C(1) << 62)
#define READS_ZERO UINT64_C(1) /* version 3 */

enum { SECTOR = 512 };

struct qcow2_map {
	struct dev *file;
	const char *path;
	const struct qcow2_header *header;
	uint64_t *l1; /* offsets of L2 tables, all in the file; 0: none */
};

static int bad_entry(const struct qcow2_map *m, const char *table, uint64_t index, struct error *err)
{
	return error_set(err, ERROR_INPUT, 0,
		"'%s' is a damaged qcow2 image: entry %llu of its %s cannot be, or it is cut off", m->path,
		(unsigned long long)index, table);
}

static uint64_t cluster_size(const struct qcow2_map *m)
{
	return UINT64_C(1) << m->header->cluster_bits;
}

static unsigned l2_bits(const struct qcow2_map *m)
{
	return m->header->cluster_bits - 3;
}

static int read_l1(struct qcow2_map *m, struct error *err)
{
	const struct qcow2_header *h = m->header;
	uint64_t cluster = cluster_size(m), size = m->file->size, left = size / cluster;

	m->l1 = calloc(h->nr_l1, sizeof(*m->l1));
	if (!m->l1)
		return error_nomem(err, "an L1 table");
	if (dev_pread(m->file, m->l1, h->nr_l1 * sizeof(*m->l1), h->l1_off, err) < 0)
		return -1;
	for (uint64_t i = 0; i < h->nr_l1; i++) {
		uint64_t off = num_get_be64(&m->l1[i]) & ~COPIED;

		if ((off & ~OFFSET_MASK) || off % cluster || (off && (size < cluster || off > size - cluster)))
			return bad_entry(m, "L1 table", i, err);
		/* Each table has a place of its own: a small file cannot name one for ever. */
		if (off && !left--)
			return bad_entry(m, "L1 table", i, err);
		m->l1[i] = off;
	}
	return 0;
}

struct qcow2_map *qcow2_map_new(struct dev *file, const char *path, const struct qcow2_header *h,
	struct error *err)
{
	CLEANUP(qcow2_map_cleanup) struct qcow2_map *m = calloc(1, sizeof(*m));

	if (!m) {
		error_nomem(err, "a qcow2 image");
		return NULL;
	}
	*m = (struct qcow2_map){.file = file, .path = path, .header = h};
	return read_l1(m, err) < 0 ? NULL : steal_ptr(&m);
}

void qcow2_map_free(struct qcow2_map *m)
{
	if (!m)
		return;
	free(m->l1);
	free(m);
}

uint64_t qcow2_map_hole(const struct qcow2_map *m, uint64_t first, uint64_t max)
{
	uint64_t at = first;

	while (at - first < max && at >> l2_bits(m) < m->header->nr_l1 && !m->l1[at >> l2_bits(m)])
		at = ((at >> l2_bits(m)) + 1) << l2_bits(m);
	return MIN(at - first, max);
}

/* Offset in the low bits, then a count of sectors beyond that of the offset. */
static bool decode_packed(const struct qcow2_map *m, uint64_t entry, struct qcow2_cluster *c)
{
	unsigned off_bits = 62 - (m->header->cluster_bits - 8);
	uint64_t off = entry & ((UINT64_C(1) << off_bits) - 1);
	uint64_t sectors = ((entry & (PACKED - 1)) >> off_bits) + 1;

	*c = (struct qcow2_cluster){
		.kind = QCOW2_PACKED, .off = off, .len = (uint32_t)(sectors * SECTOR - off % SECTOR)};
	return off >> 56 == 0 && off >= cluster_size(m);
}

static bool decode(const struct qcow2_map *m, uint64_t entry, struct qcow2_cluster *c)
{
	uint64_t off = entry & OFFSET_MASK, rest = entry & ~(OFFSET_MASK | COPIED);

	if (entry & PACKED)
		return decode_packed(m, entry, c);
	*c = (struct qcow2_cluster){.kind = off && !rest ? QCOW2_PLAIN : QCOW2_ZERO, .off = off};
	/* Without an external data file, no cluster lies at 0: there is the header. */
	if (off % cluster_size(m) || (!off && !rest && (entry & COPIED)))
		return false;
	return !rest || (rest == READS_ZERO && m->header->version >= 3);
}

int qcow2_map_get(struct qcow2_map *m, uint64_t first, uint64_t max, struct qcow2_cluster *clusters,
	size_t *nr, struct error *err)
{
	uint64_t per_l2 = UINT64_C(1) << l2_bits(m), index = first & (per_l2 - 1);
	uint64_t table = m->l1[first >> l2_bits(m)];
	uint8_t entries[QCOW2_BATCH * 8];

	*nr = (size_t)MIN(MIN(max, (uint64_t)QCOW2_BATCH), per_l2 - index);
	if (table && dev_pread(m->file, entries, *nr * 8, table + index * 8, err) < 0)
		return -1;
	for (size_t i = 0; i < *nr; i++) {
		clusters[i] = (struct qcow2_cluster){.kind = QCOW2_ZERO};
		if (table && !decode(m, num_get_be64(entries + 8 * i), &clusters[i]))
			return bad_entry(m, "L2 tables", first + i, err);
	}
	return 0;
}
