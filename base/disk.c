/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The disk as a device: a written sector hides the map of references, and where neither has
 * anything the disk is unused. So a write touches only its chunk, whatever is referred to below it;
 * a reference or a clearing takes the validity of what it covers away and then enters the map.
 *
 *     written   |   |###|###|   |   |###|     sectors of 512 bytes, validity bits
 *     map       [ file A @0   )[zero) [ file B @4096 )     exact to the byte
 *     read      [A  |###|###| A)[zero)[B|###|B)  unused
 *
 * A write that covers part of a sector completes the sector with what it read before, so contents
 * are right to the byte while extents of written data are rounded outwards to sectors. After a
 * failed call the content of its range is undefined.
 */
#include "base/disk.h"

#include "base/array.h"
#include "base/cleanup.h"
#include "base/disk_internal.h"
#include "base/num.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_MEM_LIMIT (32 * MIB)

/*
 * A shorter piece costs more to open than to copy, so disk_locate() does not give it a
 * descriptor.
 */
#define LOCATE_MIN (64 * KIB)

struct disk {
	struct dev dev;
	struct disk_map map;
	struct disk_chunks chunks;
	struct source **sources; /* disk_ref.src - 1 is the index; borrowed */
	size_t nr_sources, alloc_sources;
};

static struct disk *from_dev(struct dev *dev)
{
	return (struct disk *)dev;
}

/*
 * A piece of the disk that has one origin: a run of written sectors, a reference, or neither
 * (unused).
 */
struct piece {
	uint64_t off, len;
	const struct disk_chunk *chunk;
	const struct disk_ref *ref;
};

struct pieces {
	const struct disk *disk;
	uint64_t off, end; /* what is still to come */
	struct disk_cursor cur;
	struct disk_run run; /* the next written run at or after off */
	bool has_run;
};

static void pieces_begin(struct pieces *p, const struct disk *d, uint64_t off, uint64_t len)
{
	p->disk = d;
	p->off = off;
	p->end = off + len;
	p->cur = disk_map_find(&d->map, off);
	p->has_run = disk_chunks_next(&d->chunks, off, p->end, &p->run);
}

/* The piece of the map at p->off, which ends at `limit` at the latest. */
static void map_piece(struct pieces *p, uint64_t limit, struct piece *out)
{
	const struct disk_ref *ref;
	uint64_t end = limit;

	while ((ref = disk_map_at(&p->disk->map, &p->cur)) && ref->off + ref->len <= p->off)
		p->cur.pos++;
	if (ref && ref->off > p->off) {
		end = MIN(limit, ref->off);
		ref = NULL;
	} else if (ref) {
		end = MIN(limit, ref->off + ref->len);
	}
	*out = (struct piece){.off = p->off, .len = end - p->off, .ref = ref};
}

/* False at the end of the range. */
static bool pieces_next(struct pieces *p, struct piece *out)
{
	if (p->off >= p->end)
		return false;
	if (p->has_run && p->run.off == p->off) {
		*out = (struct piece){
			.off = p->off, .len = p->run.end - p->off, .chunk = p->run.chunk};
		p->has_run = disk_chunks_next(&p->disk->chunks, p->run.end, p->end, &p->run);
	} else {
		map_piece(p, p->has_run ? p->run.off : p->end, out);
	}
	p->off += out->len;
	return true;
}

static bool is_file_ref(const struct disk_ref *ref)
{
	return ref && ref->src != DISK_REF_ZERO;
}

static struct source *ref_source(const struct disk *d, const struct disk_ref *ref)
{
	return d->sources[ref->src - 1];
}

static enum extent_kind piece_kind(const struct piece *piece)
{
	if (piece->chunk || is_file_ref(piece->ref))
		return EXTENT_DATA;
	return piece->ref ? EXTENT_ZERO : EXTENT_UNUSED;
}

static int read_piece(const struct disk *d, const struct piece *piece, void *buf, struct error *err)
{
	const struct disk_ref *ref = piece->ref;

	if (piece->chunk)
		return disk_chunks_load(
			&d->chunks, piece->chunk, buf, piece->len, piece->off % DISK_CHUNK, err);
	if (is_file_ref(ref))
		return source_pread(ref_source(d, ref), ref->id, buf, piece->len,
			ref->src_off + (piece->off - ref->off), err);
	memset(buf, 0, piece->len);
	return 0;
}

static int disk_pread(struct dev *dev, void *buf, size_t len, uint64_t off, struct error *err)
{
	const struct disk *d = from_dev(dev);
	struct pieces p;
	struct piece piece;

	pieces_begin(&p, d, off, len);
	while (pieces_next(&p, &piece)) {
		if (read_piece(d, &piece, (uint8_t *)buf + (piece.off - off), err) < 0)
			return -1;
	}
	return 0;
}

static bool is_valid(const struct disk_chunk *chunk, size_t pos)
{
	return chunk->valid >> (pos / DISK_SECTOR) & 1;
}

/* Bits of the sectors [first, stop) of a chunk. */
static uint64_t sector_bits(size_t first, size_t stop)
{
	uint64_t below_stop = stop >= 64 ? UINT64_MAX : (UINT64_C(1) << stop) - 1;

	return first >= stop ? 0 : below_stop & UINT64_MAX << first;
}

/*
 * Makes the sector at byte `pos` of a chunk hold what the disk reads there, before part of it is
 * written.
 */
static int complete_sector(
	struct disk *d, struct disk_chunk *chunk, uint64_t chunk_off, size_t pos, struct error *err)
{
	uint8_t sector[DISK_SECTOR] = {0};
	size_t start = pos - pos % DISK_SECTOR;
	uint64_t off = chunk_off + start;

	if (is_valid(chunk, pos))
		return 0;
	if (disk_pread(&d->dev, sector, MIN(DISK_SECTOR, d->dev.size - off), off, err) < 0 ||
		disk_chunks_store(&d->chunks, chunk, sector, DISK_SECTOR, start, err) < 0)
		return -1;
	chunk->valid |= sector_bits(start / DISK_SECTOR, start / DISK_SECTOR + 1);
	return 0;
}

/* Writes inside one chunk. */
static int write_chunk(struct disk *d, const void *buf, size_t len, uint64_t off, struct error *err)
{
	struct disk_chunk *chunk = disk_chunks_make(&d->chunks, off / DISK_CHUNK, err);
	size_t pos = off % DISK_CHUNK, end = pos + len;

	if (!chunk)
		return -1;
	if (pos % DISK_SECTOR && complete_sector(d, chunk, off - pos, pos, err) < 0)
		return -1;
	if (end % DISK_SECTOR && complete_sector(d, chunk, off - pos, end - 1, err) < 0)
		return -1;
	if (disk_chunks_store(&d->chunks, chunk, buf, len, pos, err) < 0)
		return -1;
	chunk->valid |= sector_bits(pos / DISK_SECTOR, num_div_up(end, DISK_SECTOR));
	return 0;
}

static int disk_pwrite(
	struct dev *dev, const void *buf, size_t len, uint64_t off, struct error *err)
{
	const uint8_t *bytes = buf;

	while (len) {
		size_t step = MIN(len, DISK_CHUNK - off % DISK_CHUNK);

		if (write_chunk(from_dev(dev), bytes, step, off, err) < 0)
			return -1;
		bytes += step;
		off += step;
		len -= step;
	}
	return 0;
}

/* What replaces a range: a reference, or zeros when src is NULL. */
struct cover {
	uint64_t off, end;
	struct source *src;
	uint64_t id, src_off;
};

/*
 * A written sector that is covered in part stays written (the rest of it is still wanted), so the
 * covering bytes are stored into it.
 */
static int cover_partly(struct disk *d, struct disk_chunk *chunk, uint64_t off, uint64_t end,
	const struct cover *cover, struct error *err)
{
	uint8_t bytes[DISK_SECTOR] = {0};

	if (cover->src && source_pread(cover->src, cover->id, bytes, end - off,
				  cover->src_off + (off - cover->off), err) < 0)
		return -1;
	return disk_chunks_store(&d->chunks, chunk, bytes, end - off, off % DISK_CHUNK, err);
}

/* Uncovers the map below [off, end), which lies in one run of written sectors. */
static int cover_run(
	struct disk *d, const struct disk_run *run, const struct cover *cover, struct error *err)
{
	uint64_t first = num_align(run->off, DISK_SECTOR);
	uint64_t last = run->end - run->end % DISK_SECTOR;
	uint64_t base = run->off - run->off % DISK_CHUNK;

	/* Of the sector at the end of the disk nothing is left behind it. */
	if (run->end == d->dev.size)
		last = num_align(run->end, DISK_SECTOR);
	if (first > last) /* all inside one sector */
		return cover_partly(d, run->chunk, run->off, run->end, cover, err);
	if (run->off < first &&
		cover_partly(d, run->chunk, run->off, MIN(first, run->end), cover, err) < 0)
		return -1;
	if (last < run->end && cover_partly(d, run->chunk, last, run->end, cover, err) < 0)
		return -1;
	run->chunk->valid &=
		~sector_bits((first - base) / DISK_SECTOR, (last - base) / DISK_SECTOR);
	return 0;
}

static int cover_written(struct disk *d, const struct cover *cover, struct error *err)
{
	struct disk_run run = {.end = cover->off};

	while (disk_chunks_next(&d->chunks, run.end, cover->end, &run)) {
		if (cover_run(d, &run, cover, err) < 0)
			return -1;
	}
	return 0;
}

static int disk_clear(
	struct dev *dev, uint64_t off, uint64_t len, enum extent_kind kind, struct error *err)
{
	struct disk *d = from_dev(dev);
	struct cover cover = {.off = off, .end = off + len};
	struct disk_ref zero = {.off = off, .len = len, .src = DISK_REF_ZERO};

	if (cover_written(d, &cover, err) < 0)
		return -1;
	if (kind == EXTENT_UNUSED)
		return disk_map_erase(&d->map, off, len, err);
	return disk_map_set(&d->map, &zero, err);
}

/* The number of a source, entered when it is new; the last one is the likely one. 0 on error. */
static size_t source_number(struct disk *d, struct source *src, struct error *err)
{
	for (size_t n = d->nr_sources; n > 0; n--) {
		if (d->sources[n - 1] == src)
			return n;
	}
	if (d->nr_sources == DISK_SOURCES_MAX) {
		error_set(err, ERROR_INPUT, 0, "a disk cannot refer to more than %d sources",
			DISK_SOURCES_MAX);
		return 0;
	}
	if (ARRAY_GROW(d->sources, d->nr_sources + 1, d->alloc_sources, "the sources of a disk", err) < 0)
		return 0;
	d->sources[d->nr_sources++] = src;
	return d->nr_sources;
}

static int disk_refer(struct dev *dev, uint64_t off, uint64_t len, struct source *src, uint64_t id,
	uint64_t src_off, struct error *err)
{
	struct disk *d = from_dev(dev);
	struct cover cover = {
		.off = off, .end = off + len, .src = src, .id = id, .src_off = src_off};
	struct disk_ref ref = {.off = off, .len = len, .id = id, .src_off = src_off};
	size_t number = source_number(d, src, err);

	if (number == 0 || cover_written(d, &cover, err) < 0)
		return -1;
	ref.src = (uint16_t)number;
	return disk_map_set(&d->map, &ref, err);
}

static int disk_extents(
	struct dev *dev, uint64_t off, uint64_t len, struct extent_list *list, struct error *err)
{
	struct pieces p;
	struct piece piece;

	pieces_begin(&p, from_dev(dev), off, len);
	while (pieces_next(&p, &piece)) {
		if (extent_list_add(list, piece.off, piece.len, piece_kind(&piece), err) < 0)
			return -1;
	}
	return 0;
}

static bool worth_opening(const struct disk *d, const struct piece *piece)
{
	return is_file_ref(piece->ref) && piece->len >= LOCATE_MIN &&
	       ref_source(d, piece->ref)->ops->open;
}

static int disk_locate(struct dev *dev, uint64_t off, uint64_t *len, int *fd, uint64_t *fd_off,
	bool *owned, struct error *err)
{
	const struct disk *d = from_dev(dev);
	const struct disk_ref *ref;
	struct pieces p;
	struct piece piece;
	uint64_t base, in_no_file = 0;

	pieces_begin(&p, d, off, *len);
	while (pieces_next(&p, &piece) && !worth_opening(d, &piece))
		in_no_file += piece.len;
	if (in_no_file) {
		*len = in_no_file;
		return 0;
	}
	ref = piece.ref;
	if (source_open(ref_source(d, ref), ref->id, fd, &base, err) < 0)
		return -1;
	*fd_off = base + ref->src_off + (off - ref->off);
	*owned = true;
	*len = piece.len;
	return 0;
}

static int disk_close(struct dev *dev, struct error *err)
{
	struct disk *d = from_dev(dev);

	(void)err;
	disk_map_release(&d->map);
	disk_chunks_release(&d->chunks);
	free(d->sources);
	free(d);
	return 0;
}

static const struct dev_ops disk_ops = {
	.name = "disk",
	.pread = disk_pread,
	.pwrite = disk_pwrite,
	.clear = disk_clear,
	.refer = disk_refer,
	.extents = disk_extents,
	.locate = disk_locate,
	.close = disk_close,
};

struct dev *disk_new(uint64_t size, const struct disk_opts *opts, struct error *err)
{
	uint64_t mem_limit = opts && opts->mem_limit ? opts->mem_limit : DEFAULT_MEM_LIMIT;
	CLEANUP_FREE struct disk *d = NULL;

	assert(size > 0);
	if (size > DISK_SIZE_MAX)
		return error_null(err, ERROR_INPUT, 0,
			"a disk of %" PRIu64 " bytes is too large: the limit is 128 TiB", size);
	d = calloc(1, sizeof(*d));
	if (!d) {
		error_nomem(err, "a disk");
		return NULL;
	}
	if (disk_chunks_init(&d->chunks, size, mem_limit, opts ? opts->spool_dir : NULL, err) < 0)
		return NULL;
	d->dev.ops = &disk_ops;
	d->dev.size = size;
	return &((struct disk *)steal_ptr(&d))->dev;
}
