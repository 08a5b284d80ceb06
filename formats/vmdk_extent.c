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

/*
 * Each grain table has a place of its own. Without this a file of a few KiB could name one table as often as it
 * likes, and so have more grains than anybody can wait for.
 */
static int check_tables(const struct vmdk_extent *x, uint64_t nr, struct error *err)
{
	uint64_t left = x->file->size / 4; /* entries that the file has room for */

	for (uint64_t i = 0; i < nr; i++) {
		uint64_t first = i * x->header.table_entries;
		uint64_t here = MIN((uint64_t)x->header.table_entries, x->nr_grains - first);

		if (!x->directory[i])
			continue;
		if (here > left)
			return error_set(err, ERROR_INPUT, 0,
				"'%s' is damaged: its grain tables would be larger than the file", x->path);
		left -= here;
	}
	return 0;
}

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
	return check_tables(x, nr, err);
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

/* How many grains from first on have no table: all of them are zeros. At most max. */
static uint64_t count_hole(const struct vmdk_extent *x, uint64_t first, uint64_t max)
{
	uint32_t per_table = x->header.table_entries;
	uint64_t at = first;

	while (at - first < max && !x->directory[at / per_table])
		at = (at / per_table + 1) * per_table;
	return MIN(at - first, max);
}

/* Sectors of grains from first on, all of one table, which is there, up to max; 0: zeros. *nr: how many. */
static int read_entries(struct vmdk_extent *x, uint64_t first, uint64_t max, uint32_t *entries,
	size_t *nr, struct error *err)
{
	uint32_t per_table = x->header.table_entries;
	uint64_t index = first % per_table, off;
	uint32_t table = x->directory[first / per_table];

	*nr = (size_t)MIN(MIN(max, (uint64_t)BATCH), MIN(per_table - index, x->nr_grains - first));
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

/* The grains of one table, or a part of them; *to and *off go on. At least one byte. */
static int read_some(struct vmdk_extent *x, uint8_t **to, uint64_t *off, uint64_t end, struct error *err)
{
	uint64_t grain = *off / x->grain;
	uint32_t entries[BATCH];
	size_t nr = 0;

	if (read_entries(x, grain, (end - 1) / x->grain - grain + 1, entries, &nr, err) < 0)
		return -1;
	for (size_t i = 0, run; i < nr; i += run) {
		uint64_t skip = *off % x->grain;
		size_t n;

		run = run_of(x, entries + i, nr - i);
		n = (size_t)MIN(end - *off, run * x->grain - skip);
		if (read_run(x, grain + i, entries[i], skip, *to, n, err) < 0)
			return -1;
		*to += n;
		*off += n;
	}
	return 0;
}

/* Bytes from off on, up to end, that belong to no table. */
static uint64_t hole_length(const struct vmdk_extent *x, uint64_t off, uint64_t end)
{
	uint64_t grain = off / x->grain;
	uint64_t hole = count_hole(x, grain, (end - 1) / x->grain - grain + 1);

	return hole ? MIN(end, (grain + hole) * x->grain) - off : 0;
}

int vmdk_extent_pread(struct vmdk_extent *x, void *buf, size_t len, uint64_t off, struct error *err)
{
	uint64_t end = off + len;
	uint8_t *to = buf;

	while (off < end) {
		size_t hole = (size_t)hole_length(x, off, end);

		memset(to, 0, hole);
		to += hole;
		off += hole;
		if (off < end && read_some(x, &to, &off, end, err) < 0)
			return -1;
	}
	return 0;
}

static int list_some(struct vmdk_extent *x, uint64_t *off, uint64_t end, uint64_t base,
	struct extent_list *list, struct error *err)
{
	uint64_t grain = *off / x->grain;
	uint32_t entries[BATCH];
	size_t nr = 0;

	if (read_entries(x, grain, (end - 1) / x->grain - grain + 1, entries, &nr, err) < 0)
		return -1;
	for (size_t i = 0; i < nr; i++) {
		uint64_t stop = MIN(end, (grain + i + 1) * x->grain);

		if (extent_list_add(list, base + *off, stop - *off, entries[i] ? EXTENT_DATA : EXTENT_ZERO, err) < 0)
			return -1;
		*off = stop;
	}
	return 0;
}

int vmdk_extent_list(struct vmdk_extent *x, uint64_t off, uint64_t len, uint64_t base,
	struct extent_list *list, struct error *err)
{
	uint64_t end = off + len;

	while (off < end) {
		uint64_t hole = hole_length(x, off, end);

		if (hole && extent_list_add(list, base + off, hole, EXTENT_ZERO, err) < 0)
			return -1;
		off += hole;
		if (off < end && list_some(x, &off, end, base, list, err) < 0)
			return -1;
	}
	return 0;
}
