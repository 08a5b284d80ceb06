/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device over another one that knows what nobody reads: free blocks of ext2/3/4 and vfat file
 * systems, and the gaps behind the partitions of a GPT. Such ranges are EXTENT_UNUSED and read as zeros, so that
 * what is left in them (deleted files) goes nowhere. All else is passed through.
 */
#include "fs/probe.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/log.h"
#include "base/num.h"
#include "base/window.h"
#include "fs/ext4_probe.h"
#include "fs/partition.h"
#include "fs/vfat_probe.h"

struct range {
	uint64_t off, len;
};

struct usage {
	struct dev dev;
	struct dev *base; /* borrowed */
	struct range *unused; /* ascending, apart from each other */
	size_t nr, alloc;
};

static struct usage *from_dev(struct dev *dev)
{
	return (struct usage *)dev;
}

/* Index of the first unused range that ends behind off. */
static size_t find(const struct usage *u, uint64_t off)
{
	size_t low = 0, high = u->nr;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (u->unused[mid].off + u->unused[mid].len <= off)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/*
 * The piece that begins at off, at most len bytes: its length and whether it is unused. *at is the
 * index that find() gave, and moves on with off.
 */
static uint64_t next_piece(const struct usage *u, size_t *at, uint64_t off, uint64_t len, bool *unused)
{
	const struct range *r;

	while (*at < u->nr && u->unused[*at].off + u->unused[*at].len <= off)
		++*at;
	*unused = false;
	if (*at == u->nr)
		return len;
	r = &u->unused[*at];
	*unused = r->off <= off;
	return MIN(len, *unused ? r->off + r->len - off : r->off - off);
}

static int usage_pread(struct dev *dev, void *buf, size_t len, uint64_t off, struct error *err)
{
	struct usage *u = from_dev(dev);
	size_t at = find(u, off);
	uint8_t *to = buf;

	while (len > 0) {
		bool unused;
		size_t step = next_piece(u, &at, off, len, &unused);

		if (unused)
			memset(to, 0, step);
		else if (dev_pread(u->base, to, step, off, err) < 0)
			return -1;
		to += step;
		off += step;
		len -= step;
	}
	return 0;
}

static int add_extent(const struct usage *u, const struct extent *e, size_t *at,
	struct extent_list *list, struct error *err)
{
	uint64_t off = e->off, len = e->len;

	while (len > 0) {
		bool unused;
		uint64_t step = next_piece(u, at, off, len, &unused);

		if (extent_list_add(list, off, step, unused ? EXTENT_UNUSED : e->kind, err) < 0)
			return -1;
		off += step;
		len -= step;
	}
	return 0;
}

static int usage_extents(struct dev *dev, uint64_t off, uint64_t len, struct extent_list *list,
	struct error *err)
{
	struct usage *u = from_dev(dev);
	struct extent_list found = EXTENT_LIST_INIT;
	size_t at = find(u, off);
	int r = dev_extents(u->base, off, len, &found, err);

	for (size_t i = 0; r == 0 && i < found.nr; i++)
		r = add_extent(u, &found.items[i], &at, list, err);
	extent_list_release(&found);
	return r;
}

static int usage_locate(struct dev *dev, uint64_t off, uint64_t *len, int *fd, uint64_t *fd_off,
	bool *owned, struct error *err)
{
	struct usage *u = from_dev(dev);
	size_t at = find(u, off);
	bool unused;

	*len = next_piece(u, &at, off, *len, &unused);
	if (!unused)
		return dev_locate(u->base, off, len, fd, fd_off, owned, err);
	*fd = -1;
	*owned = false;
	return 0;
}

static int usage_close(struct dev *dev, struct error *err)
{
	struct usage *u = from_dev(dev);

	(void)err;
	free(u->unused);
	free(u);
	return 0;
}

static const struct dev_ops usage_ops = {
	.name = "usage",
	.pread = usage_pread,
	.extents = usage_extents,
	.locate = usage_locate,
	.close = usage_close,
};

static int add_unused(struct usage *u, uint64_t off, uint64_t len, struct error *err)
{
	if (len == 0)
		return 0;
	if (ARRAY_GROW(u->unused, u->nr + 1, u->alloc, "unused ranges of a disk", err) < 0)
		return -1;
	u->unused[u->nr++] = (struct range){off, len};
	return 0;
}

struct place {
	struct usage *usage;
	uint64_t base; /* of the file system on the disk */
};

static int add_free(void *arg, uint64_t off, uint64_t len, struct error *err)
{
	const struct place *place = arg;

	return add_unused(place->usage, place->base + off, len, err);
}

static bool is_ext(const struct probe *p)
{
	return strncmp(p->type, "ext", 3) == 0 && p->type[3] >= '2' && p->type[3] <= '4';
}

/* Free blocks of the file system on [off, off+len), when it is one that we know. */
static int look_into(struct usage *u, uint64_t off, uint64_t len, struct error *err)
{
	struct place place = {.usage = u, .base = off};
	struct dev *w = window_new(u->base, off, len, err);
	struct ext4_usage ext4;
	struct vfat_usage vfat;
	struct probe p;
	int r;

	if (!w)
		return -1;
	r = probe_dev(w, &p, err);
	if (r == 0 && p.doubtful)
		log_info("%s at %llu has signs of another file system or volume: all of it is taken as used", p.type,
			(unsigned long long)off);
	else if (r == 0 && is_ext(&p))
		r = ext4_probe_usage(w, add_free, &place, &ext4, err);
	else if (r == 0 && strcmp(p.type, "vfat") == 0)
		r = vfat_probe_usage(w, add_free, &place, &vfat, err);
	dev_close(w, NULL);
	return r;
}

static int compare_parts(const void *a, const void *b)
{
	const struct partition *x = a, *y = b;

	if (x->off != y->off)
		return x->off < y->off ? -1 : 1;
	/* An extended partition before the logical one that begins in it. */
	return x->len > y->len ? -1 : x->len < y->len;
}

/*
 * Where the gap behind the last partition ends: before the backup table, if it is where it should
 * be.
 */
static int gaps_end(struct dev *base, uint64_t *end, struct error *err)
{
	enum { SECTOR = 512, BACKUP_SECTORS = 33 };
	uint8_t magic[8];
	uint64_t size = base->size / SECTOR * SECTOR;

	*end = 0;
	if (size <= SECTOR * BACKUP_SECTORS)
		return 0;
	if (dev_pread(base, magic, sizeof(magic), size - SECTOR, err) < 0)
		return -1;
	if (memcmp(magic, "EFI PART", sizeof(magic)) == 0)
		*end = size - SECTOR * BACKUP_SECTORS;
	return 0;
}

/* MBR types of the partition that holds the logical ones; no GPT entry has any. */
static bool is_extended(const struct partition *p)
{
	return p->mbr_type == 0x05 || p->mbr_type == 0x0f || p->mbr_type == 0x85;
}

/*
 * What lies before the first partition is kept: boot loaders live there. With an MBR they do so
 * between partitions as well, so there no gap is unused.
 */
static int walk_partitions(struct usage *u, struct partition_table *t, struct error *err)
{
	bool gpt = t->kind == PARTITION_TABLE_GPT;
	uint64_t end = 0, last;

	qsort(t->parts, t->nr, sizeof(*t->parts), compare_parts);
	for (size_t i = 0; i < t->nr; i++) {
		const struct partition *p = &t->parts[i];

		if (i > 0 && gpt && add_unused(u, end, p->off - end, err) < 0)
			return -1;
		/*
		 * An extended partition is a place for others; what looks like a file system there
		 * is stale.
		 */
		if (!is_extended(p) && look_into(u, p->off, p->len, err) < 0)
			return -1;
		end = MAX(end, p->off + p->len);
	}
	if (!gpt || t->nr == 0)
		return 0;
	if (gaps_end(u->base, &last, err) < 0)
		return -1;
	return last > end ? add_unused(u, end, last - end, err) : 0;
}

/* Partitions that overlap or lie outside are nothing that we understand. */
static bool is_sane(const struct partition_table *t, uint64_t size)
{
	for (size_t i = 0; i < t->nr; i++) {
		const struct partition *b = &t->parts[i];
		uint64_t end;

		if (num_add(b->off, b->len, &end) || end > size)
			return false;
		for (size_t k = 0; k < i; k++) {
			const struct partition *a = &t->parts[k];

			if (a->off < end && b->off < a->off + a->len && !is_extended(a) &&
				!is_extended(b))
				return false;
		}
	}
	return true;
}

static int find_unused(struct usage *u, struct error *err)
{
	struct partition_table table;
	struct error table_err = ERROR_INIT;
	int r = partition_read(u->base, &table, &table_err);

	/* A damaged table leaves all as it is; so does one that makes no sense. */
	if (r < 0 && table_err.kind == ERROR_INPUT)
		return 0;
	if (r < 0) {
		if (err)
			*err = table_err;
		return -1;
	}
	/* What is told to take the GPT all the same (Linux booted with `gpt`) would miss what the MBR does not use. */
	if (table.gpt_ignored)
		log_info("a GUID partition table without a protective entry in the first sector is passed over, and "
			 "the MBR's partitions are read; all is taken as used");
	else if (table.kind == PARTITION_TABLE_NONE)
		r = look_into(u, 0, u->base->size, err);
	else if (is_sane(&table, u->base->size))
		r = walk_partitions(u, &table, err);
	partition_table_release(&table);
	return r;
}

struct dev *probe_usage_dev(struct dev *dev, struct error *err)
{
	struct usage *u = calloc(1, sizeof(*u));

	if (!u) {
		error_nomem(err, "a device");
		return NULL;
	}
	u->dev.ops = &usage_ops;
	u->dev.size = dev->size;
	u->base = dev;
	if (find_unused(u, err) == 0)
		return &u->dev;
	usage_close(&u->dev, NULL);
	return NULL;
}
