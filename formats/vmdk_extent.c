/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The grains of a sparse extent. A read asks for the entries of the grains that it touches (one read
 * of a few bytes), takes runs of plain grains that lie together in one read, and inflates compressed
 * ones into the caller's memory.
 */
#include "formats/vmdk_extent.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "formats/vmdk_grain.h"

/* Entries that are looked at in one go. */
enum { BATCH = 512 };

struct vmdk_extent {
	struct dev *file;
	const char *path;
	struct vmdk_header header;
	uint64_t grain; /* bytes */
	uint64_t nr_grains;
	uint32_t *directory;
	struct vmdk_grains *grains; /* NULL: plain */
};

static int read_directory(struct vmdk_extent *x, struct error *err)
{
	const struct vmdk_header *h = &x->header;
	uint64_t nr = num_div_up(x->nr_grains, h->table_entries);
	uint64_t at = h->directory;

	if (!at && (h->flags & VMDK_FLAG_REDUNDANT))
		at = h->redundant;
	if (!at || at > x->file->size / VMDK_SECTOR || nr * 4 > x->file->size - at * VMDK_SECTOR)
		return error_set(err, ERROR_INPUT, 0,
			"'%s' says that its grain directory is where the file does not reach: it is damaged or cut off",
			x->path);
	x->directory = calloc(nr, 4);
	if (!x->directory)
		return error_nomem(err, "a grain directory");
	if (dev_pread(x->file, x->directory, nr * 4, at * VMDK_SECTOR, err) < 0)
		return -1;
	for (uint64_t i = 0; i < nr; i++)
		x->directory[i] = num_get_le32(&x->directory[i]);
	return 0;
}

struct vmdk_extent *vmdk_extent_new(struct dev *file, const char *path, struct error *err)
{
	CLEANUP(vmdk_extent_cleanup) struct vmdk_extent *x = calloc(1, sizeof(*x));

	if (!x) {
		error_nomem(err, "a VMDK extent");
		return NULL;
	}
	x->file = file;
	x->path = path;
	if (vmdk_header_read(&x->header, file, path, err) < 0)
		return NULL;
	x->grain = x->header.grain_size * VMDK_SECTOR;
	x->nr_grains = num_div_up(x->header.capacity, x->header.grain_size);
	if (read_directory(x, err) < 0)
		return NULL;
	if (vmdk_header_compressed(&x->header)) {
		x->grains = vmdk_grains_new(file, path, &x->header, err);
		if (!x->grains)
			return NULL;
	}
	return steal_ptr(&x);
}

void vmdk_extent_free(struct vmdk_extent *x)
{
	if (!x)
		return;
	vmdk_grains_free(x->grains);
	free(x->directory);
	free(x);
}

const struct vmdk_header *vmdk_extent_header(const struct vmdk_extent *x)
{
	return &x->header;
}

uint64_t vmdk_extent_size(const struct vmdk_extent *x)
{
	return x->header.capacity * VMDK_SECTOR;
}

static int damaged(const struct vmdk_extent *x, uint64_t grain, const char *what, struct error *err)
{
	return error_set(err, ERROR_INPUT, 0, "'%s' is damaged: %s of grain %llu lies outside of the file",
		x->path, what, (unsigned long long)grain);
}

/* Sectors of grains from first on, all of one table, up to max; 0: zeros. *nr: how many. */
static int read_entries(struct vmdk_extent *x, uint64_t first, uint64_t max, uint32_t *entries,
	size_t *nr, struct error *err)
{
	uint32_t per_table = x->header.table_entries;
	uint64_t index = first % per_table, off;
	uint32_t table = x->directory[first / per_table];

	*nr = (size_t)MIN(MIN(max, (uint64_t)BATCH), MIN(per_table - index, x->nr_grains - first));
	memset(entries, 0, *nr * 4);
	if (!table)
		return 0;
	off = (uint64_t)table * VMDK_SECTOR + index * 4;
	if (off + *nr * 4 > x->file->size)
		return damaged(x, first, "the table", err);
	if (dev_pread(x->file, entries, *nr * 4, off, err) < 0)
		return -1;
	for (size_t i = 0; i < *nr; i++) {
		entries[i] = num_get_le32(&entries[i]);
		if (entries[i] == 1 && (x->header.flags & VMDK_FLAG_ZERO_GRAIN))
			entries[i] = 0;
	}
	return 0;
}

/* len bytes from skip on of plain grains that begin at sector. */
static int read_plain(struct vmdk_extent *x, uint64_t grain, uint32_t sector, uint64_t skip, void *buf,
	size_t len, struct error *err)
{
	uint64_t off = (uint64_t)sector * VMDK_SECTOR + skip;

	if (off > x->file->size || len > x->file->size - off)
		return damaged(x, grain, "the data", err);
	return dev_pread(x->file, buf, len, off, err);
}

/* How many of the nr entries are like the first: all zeros, or plain grains one behind another. */
static size_t run_of(const struct vmdk_extent *x, const uint32_t *entries, size_t nr)
{
	size_t n = 1;

	if (entries[0] && x->grains)
		return 1;
	while (n < nr && entries[n] == (entries[0] ? entries[0] + n * x->header.grain_size : 0))
		n++;
	return n;
}

static int read_run(struct vmdk_extent *x, uint64_t grain, uint32_t sector, uint64_t skip, void *buf,
	size_t len, struct error *err)
{
	if (!sector) {
		memset(buf, 0, len);
		return 0;
	}
	if (x->grains)
		return vmdk_grains_read(x->grains, grain, sector, skip, buf, len, err);
	return read_plain(x, grain, sector, skip, buf, len, err);
}

int vmdk_extent_pread(struct vmdk_extent *x, void *buf, size_t len, uint64_t off, struct error *err)
{
	uint32_t entries[BATCH];
	uint8_t *to = buf;
	size_t nr = 0;

	while (len) {
		uint64_t grain = off / x->grain;

		if (read_entries(x, grain, (off + len - 1) / x->grain - grain + 1, entries, &nr, err) < 0)
			return -1;
		for (size_t i = 0, run; i < nr; i += run) {
			uint64_t skip = off % x->grain;
			size_t n;

			run = run_of(x, entries + i, nr - i);
			n = (size_t)MIN(len, run * x->grain - skip);
			if (read_run(x, grain + i, entries[i], skip, to, n, err) < 0)
				return -1;
			to += n;
			off += n;
			len -= n;
		}
	}
	return 0;
}

int vmdk_extent_list(struct vmdk_extent *x, uint64_t off, uint64_t len, uint64_t base,
	struct extent_list *list, struct error *err)
{
	uint32_t entries[BATCH];
	uint64_t end = off + len;
	size_t nr = 0;

	for (uint64_t grain = off / x->grain; off < end; grain += nr) {
		if (read_entries(x, grain, (end - 1) / x->grain - grain + 1, entries, &nr, err) < 0)
			return -1;
		for (size_t i = 0; i < nr; i++) {
			uint64_t stop = MIN(end, (grain + i + 1) * x->grain);

			if (extent_list_add(list, base + off, stop - off,
				    entries[i] ? EXTENT_DATA : EXTENT_ZERO, err) < 0)
				return -1;
			off = stop;
		}
	}
	return 0;
}
