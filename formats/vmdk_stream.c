/* SPDX-License-Identifier: Apache-2.0 */
/*
 * streamOptimized, written as it lies, each piece when its turn comes:
 *
 *   0    header: the directory is at the end
 *   1    descriptor, zeros up to 128
 *   128  grains in the order of the disk, those of zeros left out: marker, zlib stream, padding
 *        behind the last grain of each 32 MiB: marker, grain table
 *        marker, grain directory
 *        marker, footer: the header again, knowing the directory
 *        marker of the end
 *
 * Memory: a grain table and the directory (4 bytes for each 32 MiB).
 */
#include "formats/vmdk.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "formats/chunks.h"
#include "formats/deflate.h"
#include "formats/survey.h"
#include "formats/vmdk_descriptor.h"
#include "formats/vmdk_header.h"

/* A whole number of them is what a grain table covers, so no chunk has grains of two tables. */
#define CHUNK MIB

enum { OVERHEAD = 128 };

/* What a header can hold is more; EBS and vSphere end here, and so do readers. */
#define SIZE_MAX_STREAM (64 * TIB)

struct stream {
	struct out *out;
	const struct format_write_opts *opts;
	struct survey survey;
	struct vmdk_header header;
	uint8_t *directory; /* padded to a sector */
	size_t directory_size;
	uint64_t table_index; /* of table[] */
	bool table_used;
	uint8_t table[VMDK_TABLE];
};

static int stream_size(uint64_t size, uint64_t *out, struct error *err)
{
	return vmdk_disk_size(size, SIZE_MAX_STREAM, out, err);
}

static void *new_state(void *arg, struct error *err)
{
	const struct stream *s = arg;

	return deflate_new(s->opts->level, err);
}

static void free_state(void *state)
{
	deflate_free(state);
}

static int add_grain(struct chunk *c, uint64_t grain, struct error *err)
{
	size_t start = c->out.len, len, pad;
	uint8_t *marker = buf_extend(&c->out, VMDK_MARKER, err);
	void *zeros;

	if (!marker || deflate_zlib(c->state, c->data + (grain * VMDK_GRAIN - c->off), VMDK_GRAIN,
			       &c->out, err) < 0)
		return -1;
	len = c->out.len - start;
	marker = (uint8_t *)c->out.data + start; /* the buffer may have moved */
	num_put_le64(marker, grain * VMDK_GRAIN_SECTORS);
	num_put_le32(marker + 8, (uint32_t)(len - VMDK_MARKER));
	pad = num_align(len, VMDK_SECTOR) - len;
	zeros = buf_extend(&c->out, pad, err);
	if (!zeros)
		return -1;
	memset(zeros, 0, pad);
	return 0;
}

/* In a worker: the survey is only read. */
static int compress_chunk(struct chunk *c, void *arg, struct error *err)
{
	const struct stream *s = arg;
	uint64_t end = num_div_up(c->off + c->len, VMDK_GRAIN);

	for (uint64_t grain = c->off / VMDK_GRAIN; grain < end; grain++) {
		if (survey_has(&s->survey, grain) && add_grain(c, grain, err) < 0)
			return -1;
	}
	return 0;
}

static int put_marker(
	struct stream *s, uint64_t sectors, enum vmdk_marker type, struct error *err)
{
	uint8_t marker[VMDK_SECTOR];

	vmdk_marker_put(sectors, type, marker);
	return out_write(s->out, marker, sizeof(marker), err);
}

/* Where the next byte goes, in sectors; tables have 32 bits for it. */
static int sector_here(const struct stream *s, uint32_t *sector, struct error *err)
{
	uint64_t here = out_off(s->out) / VMDK_SECTOR;

	if (here > UINT32_MAX)
		return error_set(err, ERROR_INPUT, 0,
			"the data does not fit into a VMDK: the file would be over 2 TiB");
	*sector = (uint32_t)here;
	return 0;
}

static int flush_table(struct stream *s, struct error *err)
{
	uint32_t sector = 0;

	if (!s->table_used)
		return 0;
	if (put_marker(s, VMDK_TABLE / VMDK_SECTOR, VMDK_MARKER_TABLE, err) < 0 ||
		sector_here(s, &sector, err) < 0 || out_write(s->out, s->table, sizeof(s->table), err) < 0)
		return -1;
	num_put_le32(s->directory + s->table_index * 4, sector);
	memset(s->table, 0, sizeof(s->table));
	s->table_used = false;
	return 0;
}

/* The markers tell which grains a chunk came to, and how long each is. */
static int emit_chunk(struct chunk *c, void *arg, struct error *err)
{
	struct stream *s = arg;
	uint64_t table = c->off / ((uint64_t)VMDK_TABLE_ENTRIES * VMDK_GRAIN);

	if (table != s->table_index && flush_table(s, err) < 0)
		return -1;
	s->table_index = table;
	for (size_t at = 0; at < c->out.len;) {
		const uint8_t *marker = (const uint8_t *)c->out.data + at;
		uint64_t grain = num_get_le64(marker) / VMDK_GRAIN_SECTORS;
		size_t len = num_align(VMDK_MARKER + num_get_le32(marker + 8), VMDK_SECTOR);
		uint32_t sector = 0;

		if (sector_here(s, &sector, err) < 0 || out_write(s->out, marker, len, err) < 0)
			return -1;
		num_put_le32(s->table + grain % VMDK_TABLE_ENTRIES * 4, sector);
		s->table_used = true;
		at += len;
	}
	return 0;
}

static int put_head(struct stream *s, struct error *err)
{
	CLEANUP_BUF struct buf head = BUF_INIT(OVERHEAD * VMDK_SECTOR);
	uint8_t *header = buf_extend(&head, VMDK_SECTOR, err);

	if (!header)
		return -1;
	vmdk_header_put(&s->header, header);
	if (vmdk_descriptor_make(&head, "streamOptimized", s->header.capacity, &s->survey, s->opts, err) < 0 ||
		out_write(s->out, head.data, head.len, err) < 0)
		return -1;
	return out_zeros(s->out, OVERHEAD * VMDK_SECTOR - head.len, err);
}

static int put_tail(struct stream *s, struct error *err)
{
	uint8_t footer[VMDK_SECTOR];
	uint32_t sector = 0;

	if (flush_table(s, err) < 0 ||
		put_marker(s, s->directory_size / VMDK_SECTOR, VMDK_MARKER_DIRECTORY, err) < 0 ||
		sector_here(s, &sector, err) < 0 ||
		out_write(s->out, s->directory, s->directory_size, err) < 0)
		return -1;
	s->header.directory = sector;
	vmdk_header_put(&s->header, footer);
	if (put_marker(s, 1, VMDK_MARKER_FOOTER, err) < 0 ||
		out_write(s->out, footer, sizeof(footer), err) < 0)
		return -1;
	return put_marker(s, 0, VMDK_MARKER_END, err);
}

static int put_all(struct stream *s, struct dev *dev, struct error *err)
{
	const struct format_write_opts *opts = s->opts;
	const struct chunks_opts chunks = {
		CHUNKS_FROM(opts),
		.size = CHUNK,
		.what = "compressing",
		.new_state = new_state,
		.free_state = free_state,
		.work = compress_chunk,
		.emit = emit_chunk,
		.arg = s,
	};

	if (put_head(s, err) < 0 || chunks_run(dev, &chunks, err) < 0)
		return -1;
	return put_tail(s, err);
}

static void stream_release(struct stream *s)
{
	survey_release(&s->survey);
	free(s->directory);
	free(s);
}
DEFINE_CLEANUP(stream, struct stream, stream_release)

static int stream_write(struct dev *dev, struct out *out, const struct format_write_opts *opts,
	struct error *err)
{
	const struct survey_opts survey = {.workers = opts->workers, .cancelled = opts->cancelled};
	CLEANUP(stream_cleanup) struct stream *s = calloc(1, sizeof(*s));
	uint64_t size;

	if (!s)
		return error_nomem(err, "a VMDK's tables");
	if (stream_size(dev->size, &size, err) < 0 ||
		survey_make(&s->survey, dev, VMDK_GRAIN, &survey, err) < 0)
		return -1;
	s->out = out;
	s->opts = opts;
	s->header = (struct vmdk_header){
		.version = 3,
		.flags = VMDK_FLAG_NEWLINES | VMDK_FLAG_COMPRESSED | VMDK_FLAG_MARKERS,
		.capacity = size / VMDK_SECTOR,
		.grain_size = VMDK_GRAIN_SECTORS,
		.descriptor = 1,
		.descriptor_size = VMDK_DESCRIPTOR_SECTORS,
		.table_entries = VMDK_TABLE_ENTRIES,
		.directory = VMDK_DIRECTORY_AT_END,
		.overhead = OVERHEAD,
		.compression = VMDK_COMPRESSION_DEFLATE,
	};
	s->directory_size = num_align(num_div_up(s->survey.nr_units, VMDK_TABLE_ENTRIES) * 4, VMDK_SECTOR);
	s->directory = calloc(1, s->directory_size);
	if (!s->directory)
		return error_nomem(err, "a VMDK's directory");
	return put_all(s, dev, err);
}

static const char *const suffixes[] = {".vmdk", NULL};

const struct format format_vmdk = {
	.name = "vmdk",
	.title = "VMDK, streamOptimized",
	.suffixes = suffixes,
	.flags = FORMAT_LEVEL | FORMAT_HARDWARE,
	.level_max = DEFLATE_LEVEL_MAX,
	.disk_size = stream_size,
	.check = vmdk_check,
	.write = stream_write,
};
