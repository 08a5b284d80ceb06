/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading VHDs. Nothing is believed before it is held against the file's size: the BAT must lie in the
 * file, and so must each block that it names. So memory is at most the file's size, and most often 4
 * bytes for 2 MiB of the disk.
 */
#include "formats/vhd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/num.h"

/* Of a block; the specification has 2 MiB as the default and names no limit. */
enum { BLOCK_MIN = 4096, BLOCK_MAX = 256 << 20 };

struct vhd {
	struct dev dev;
	struct dev *file;  /* owned */
	char *path;        /* owned */
	uint32_t *table;   /* NULL: a fixed one */
	uint32_t block, bitmap; /* bytes */
};

static struct vhd *from_dev(struct dev *dev)
{
	return (struct vhd *)dev;
}

/* A bitmap is looked at in pieces of this many bytes, for so many sectors of the block. */
enum { BITS = 512, BITS_SECTORS = BITS * 8 };

static bool is_set(const uint8_t bits[BITS], uint64_t sector)
{
	return bits[sector % BITS_SECTORS / 8] >> (7 - sector % 8) & 1;
}

/* Of at most the sectors that one piece of the bitmap tells of: those without a bit were never written. */
static int read_sectors(struct vhd *v, uint8_t *buf, size_t len, uint64_t off, uint64_t at,
	struct error *err)
{
	uint8_t bits[BITS];

	if (dev_pread(v->file, bits, BITS, at + off / VHD_SECTOR / BITS_SECTORS * BITS, err) < 0)
		return -1;
	while (len) {
		bool set = is_set(bits, off / VHD_SECTOR);
		size_t step = 0;

		do
			step += (size_t)MIN((uint64_t)(len - step), VHD_SECTOR - (off + step) % VHD_SECTOR);
		while (step < len && is_set(bits, (off + step) / VHD_SECTOR) == set);
		if (!set)
			memset(buf, 0, step);
		else if (dev_pread(v->file, buf, step, at + v->bitmap + off, err) < 0)
			return -1;
		buf += step;
		off += step;
		len -= step;
	}
	return 0;
}

/* Of one block, whose bitmap begins at byte `at` of the file. */
static int read_block(struct vhd *v, uint8_t *buf, size_t len, uint64_t off, uint64_t at,
	struct error *err)
{
	const uint64_t reach = (uint64_t)BITS_SECTORS * VHD_SECTOR;

	while (len) {
		size_t step = (size_t)MIN((uint64_t)len, reach - off % reach);

		if (read_sectors(v, buf, step, off, at, err) < 0)
			return -1;
		buf += step;
		off += step;
		len -= step;
	}
	return 0;
}

static int vhd_pread(struct dev *dev, void *buf, size_t len, uint64_t off, struct error *err)
{
	struct vhd *v = from_dev(dev);
	uint8_t *p = buf;

	if (!v->table)
		return dev_pread(v->file, buf, len, off, err);
	while (len) {
		uint32_t at = v->table[off / v->block];
		size_t step = (size_t)MIN((uint64_t)len, v->block - off % v->block);

		if (at == VHD_UNUSED)
			memset(p, 0, step);
		else if (read_block(v, p, step, off % v->block, (uint64_t)at * VHD_SECTOR, err) < 0)
			return -1;
		p += step;
		off += step;
		len -= step;
	}
	return 0;
}

static int vhd_extents(struct dev *dev, uint64_t off, uint64_t len, struct extent_list *list,
	struct error *err)
{
	struct vhd *v = from_dev(dev);

	if (!v->table)
		return dev_extents(v->file, off, len, list, err);
	while (len) {
		uint64_t step = MIN(len, v->block - off % v->block);
		bool used = v->table[off / v->block] != VHD_UNUSED;

		if (extent_list_add(list, off, step, used ? EXTENT_DATA : EXTENT_ZERO, err) < 0)
			return -1;
		off += step;
		len -= step;
	}
	return 0;
}

static int vhd_close(struct dev *dev, struct error *err)
{
	struct vhd *v = from_dev(dev);
	int ret = dev_close(v->file, err);

	free(v->table);
	free(v->path);
	free(v);
	return ret;
}

static const struct dev_ops vhd_ops = {
	.name = "VHD",
	.pread = vhd_pread,
	.extents = vhd_extents,
	.close = vhd_close,
};

static int wrong(const struct vhd *v, const char *what, struct error *err)
{
	return error_set(err, ERROR_INPUT, 0, "'%s' is a damaged VHD: %s", v->path, what);
}

/*
 * The footer: the last 512 bytes; 511 in files of Virtual PC before 2004; else, when that is damaged, its
 * copy at the start. *end gets where the footer begins, or the file ends.
 */
static int find_footer(struct vhd *v, struct vhd_footer *f, uint64_t *end, struct error *err)
{
	uint8_t bytes[VHD_FOOTER] = {0};

	if (v->file->size < VHD_FOOTER)
		return wrong(v, "it is shorter than a footer", err);
	*end = v->file->size - VHD_FOOTER;
	if (dev_pread(v->file, bytes, VHD_FOOTER, *end, err) < 0)
		return -1;
	if (vhd_footer_decode(bytes, f))
		return 0;
	memmove(bytes, bytes + 1, VHD_FOOTER - 1);
	bytes[VHD_FOOTER - 1] = 0;
	(*end)++;
	if (vhd_footer_decode(bytes, f))
		return 0;
	*end = v->file->size;
	if (dev_pread(v->file, bytes, VHD_FOOTER, 0, err) < 0)
		return -1;
	if (vhd_footer_decode(bytes, f) && f->type != VHD_FIXED)
		return 0;
	return wrong(v, "its footer's checksum is wrong", err);
}

static int check_entry(const struct vhd *v, uint64_t index, uint64_t end, struct error *err)
{
	uint32_t at = v->table[index];

	if (at == VHD_UNUSED || ((uint64_t)at * VHD_SECTOR <= end &&
					end - (uint64_t)at * VHD_SECTOR >= (uint64_t)v->bitmap + v->block))
		return 0;
	return error_set(err, ERROR_INPUT, 0,
		"'%s' is a damaged VHD: block %llu lies behind its end (is it a whole file?)",
		v->path, (unsigned long long)index);
}

static int read_table(struct vhd *v, uint64_t off, uint32_t nr, uint64_t end, struct error *err)
{
	uint64_t needed = num_div_up(v->dev.size, v->block);
	uint64_t left = end / ((uint64_t)v->bitmap + v->block);

	if (needed > nr)
		return wrong(v, "its table of blocks is shorter than the disk", err);
	if (off > end || end - off < needed * 4)
		return wrong(v, "its table of blocks lies behind its end (is it a whole file?)", err);
	v->table = malloc((size_t)needed * 4);
	if (!v->table)
		return error_nomem(err, "a VHD's table of blocks");
	if (dev_pread(v->file, v->table, (size_t)needed * 4, off, err) < 0)
		return -1;
	for (uint64_t i = 0; i < needed; i++) {
		v->table[i] = num_get_be32(&v->table[i]);
		if (check_entry(v, i, end, err) < 0)
			return -1;
		/* Each block has a place of its own: a small file cannot name one for ever. */
		if (v->table[i] != VHD_UNUSED && !left--)
			return wrong(v, "its table names more blocks than it has", err);
	}
	return 0;
}

static int read_header(struct vhd *v, const struct vhd_footer *f, uint64_t end, struct error *err)
{
	enum { CHECKSUM_OFF = 36 };
	uint8_t h[VHD_HEADER];

	if (f->header > end || end - f->header < VHD_HEADER)
		return wrong(v, "its header lies behind its end (is it a whole file?)", err);
	if (dev_pread(v->file, h, VHD_HEADER, f->header, err) < 0)
		return -1;
	if (memcmp(h, "cxsparse", 8) ||
		num_get_be32(h + CHECKSUM_OFF) != vhd_checksum(h, VHD_HEADER, CHECKSUM_OFF))
		return wrong(v, "its header's checksum is wrong", err);
	v->block = num_get_be32(h + 32);
	if (v->block < BLOCK_MIN || v->block > BLOCK_MAX || (v->block & (v->block - 1)))
		return wrong(v, "its blocks have a size that cannot be", err);
	v->bitmap = (uint32_t)num_align(v->block / VHD_SECTOR / 8, VHD_SECTOR);
	return read_table(v, num_get_be64(h + 16), num_get_be32(h + 28), end, err);
}

static int read_all(struct vhd *v, struct image *out, struct error *err)
{
	struct vhd_footer f;
	uint64_t end = 0;

	if (find_footer(v, &f, &end, err) < 0)
		return -1;
	v->dev.size = f.size;
	if (!f.size || f.size > 64 * TIB)
		return wrong(v, "its size cannot be", err);
	snprintf(out->variant, sizeof(out->variant), "%s", f.type == VHD_FIXED ? "fixed" : "dynamic");
	switch (f.type) {
	case VHD_FIXED:
		return f.size <= end ? 0 : wrong(v, "it is shorter than the disk that it names", err);
	case VHD_DYNAMIC:
		return read_header(v, &f, end, err);
	case VHD_DIFFERENCING:
		return error_set(err, ERROR_INPUT, 0,
			"'%s' is a differencing VHD, which has only what differs from another file: merge the "
			"two first", v->path);
	default:
		return wrong(v, "its type is unknown", err);
	}
}

int vhd_open(struct dev *file, const char *path, const struct format_read_opts *opts, struct image *out,
	struct error *err)
{
	struct vhd *v = calloc(1, sizeof(*v));
	char *copy = strdup(path);

	(void)opts;
	if (!v || !copy) {
		dev_close(file, NULL);
		free(v);
		free(copy);
		return error_nomem(err, "a VHD");
	}
	v->dev.ops = &vhd_ops;
	v->file = file;
	v->path = copy;
	if (read_all(v, out, err) < 0) {
		vhd_close(&v->dev, NULL);
		return -1;
	}
	out->dev = &v->dev;
	return 0;
}
