/* SPDX-License-Identifier: Apache-2.0 */
/*
 * monolithicSparse. The survey tells which grains there will be, so all of the head is written before
 * them and the file is never gone back in:
 *
 *   0   header
 *   1   descriptor
 *   21  redundant grain directory, its grain tables
 *       grain directory, its grain tables: the same again
 *       zeros up to a whole grain
 *       grains in the order of the disk, those of zeros left out
 *
 * All grain tables are there, as with VMware's own files. Memory: the survey's bit a grain, and the
 * directory.
 */
#include "formats/vmdk.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "formats/chunks.h"
#include "formats/survey.h"
#include "formats/vmdk_descriptor.h"
#include "formats/vmdk_header.h"

/* Tables have 32 bits for sectors, and so have VMware's hosted products for the disk. */
#define SIZE_MAX_SPARSE (2 * TIB)
#define CHUNK MIB

struct sparse {
	struct out *out;
	const struct format_write_opts *opts;
	struct survey survey;
	struct vmdk_header header;
	uint64_t nr_tables, directory_sectors;
};

static int sparse_size(uint64_t size, uint64_t *out, struct error *err)
{
	return vmdk_disk_size(size, SIZE_MAX_SPARSE, out, err);
}

/* Fits: a disk of 2 TiB without holes would not, by the size of the head. */
static int check_fit(const struct sparse *s, struct error *err)
{
	if (s->header.overhead + s->survey.nr_data * VMDK_GRAIN_SECTORS <= UINT32_MAX)
		return 0;
	return error_set(err, ERROR_INPUT, 0,
		"the data does not fit into a VMDK: the file would be over 2 TiB");
}

/* The directory at `at` (a sector) says that its tables follow it. */
static int put_directory(struct sparse *s, uint64_t at, struct error *err)
{
	size_t size = s->directory_sectors * VMDK_SECTOR;
	CLEANUP_FREE uint8_t *directory = calloc(1, size);

	if (!directory)
		return error_nomem(err, "a VMDK's directory");
	for (uint64_t i = 0; i < s->nr_tables; i++)
		num_put_le32(directory + 4 * i,
			(uint32_t)(at + s->directory_sectors + i * (VMDK_TABLE / VMDK_SECTOR)));
	return out_write(s->out, directory, size, err);
}

static int put_tables(struct sparse *s, struct error *err)
{
	uint64_t sector = s->header.overhead;

	for (uint64_t i = 0; i < s->nr_tables; i++) {
		uint8_t table[VMDK_TABLE] = {0};

		for (uint64_t k = 0; k < VMDK_TABLE_ENTRIES; k++) {
			uint64_t grain = i * VMDK_TABLE_ENTRIES + k;

			if (grain >= s->survey.nr_units || !survey_has(&s->survey, grain))
				continue;
			num_put_le32(table + 4 * k, (uint32_t)sector);
			sector += VMDK_GRAIN_SECTORS;
		}
		if (out_write(s->out, table, sizeof(table), err) < 0)
			return -1;
	}
	return 0;
}

static int put_head(struct sparse *s, struct error *err)
{
	CLEANUP_BUF struct buf head = BUF_INIT(0);
	uint8_t *header = buf_extend(&head, VMDK_SECTOR, err);

	if (!header)
		return -1;
	vmdk_header_put(&s->header, header);
	if (vmdk_descriptor_make(&head, "monolithicSparse", s->header.capacity, &s->survey, s->opts, err) < 0 ||
		out_write(s->out, head.data, head.len, err) < 0 ||
		put_directory(s, s->header.redundant, err) < 0 || put_tables(s, err) < 0 ||
		put_directory(s, s->header.directory, err) < 0 || put_tables(s, err) < 0)
		return -1;
	return out_pad(s->out, VMDK_GRAIN, err);
}

/* The survey decides, so that the tables hold whatever becomes of the input meanwhile. */
static int emit_chunk(struct chunk *c, void *arg, struct error *err)
{
	struct sparse *s = arg;
	uint64_t end = num_div_up(c->off + c->len, VMDK_GRAIN);
	int ret = 0;

	for (uint64_t grain = c->off / VMDK_GRAIN; grain < end && ret == 0; grain++) {
		if (!survey_has(&s->survey, grain))
			continue;
		ret = c->data ? out_write(s->out, c->data + (grain * VMDK_GRAIN - c->off), VMDK_GRAIN, err)
			      : out_zeros(s->out, VMDK_GRAIN, err);
	}
	return ret;
}

static int put_all(struct sparse *s, struct dev *dev, struct error *err)
{
	const struct format_write_opts *opts = s->opts;
	const struct chunks_opts chunks = {
		CHUNKS_FROM(opts),
		.size = CHUNK,
		.what = "writing a VMDK",
		.all = true,
		.emit = emit_chunk,
		.arg = s,
	};

	return put_head(s, err) < 0 ? -1 : chunks_run(dev, &chunks, err);
}

static void lay_out(struct sparse *s, uint64_t size)
{
	uint64_t tables;

	s->nr_tables = num_div_up(s->survey.nr_units, VMDK_TABLE_ENTRIES);
	s->directory_sectors = num_div_up(s->nr_tables * 4, VMDK_SECTOR);
	tables = s->nr_tables * (VMDK_TABLE / VMDK_SECTOR);
	s->header = (struct vmdk_header){
		.version = 1,
		.flags = VMDK_FLAG_NEWLINES | VMDK_FLAG_REDUNDANT,
		.capacity = size / VMDK_SECTOR,
		.grain_size = VMDK_GRAIN_SECTORS,
		.descriptor = 1,
		.descriptor_size = VMDK_DESCRIPTOR_SECTORS,
		.table_entries = VMDK_TABLE_ENTRIES,
		.redundant = 1 + VMDK_DESCRIPTOR_SECTORS,
	};
	s->header.directory = s->header.redundant + s->directory_sectors + tables;
	s->header.overhead =
		num_align(s->header.directory + s->directory_sectors + tables, VMDK_GRAIN_SECTORS);
}

static void sparse_release(struct sparse *s)
{
	survey_release(&s->survey);
}

static int sparse_write(struct dev *dev, struct out *out, const struct format_write_opts *opts,
	struct error *err)
{
	const struct survey_opts survey = {.workers = opts->workers, .cancelled = opts->cancelled};
	CLEANUP(sparse_release) struct sparse s = {.out = out, .opts = opts};
	uint64_t size;

	if (sparse_size(dev->size, &size, err) < 0 ||
		survey_make(&s.survey, dev, VMDK_GRAIN, &survey, err) < 0)
		return -1;
	lay_out(&s, size);
	return check_fit(&s, err) < 0 ? -1 : put_all(&s, dev, err);
}

static const char *const suffixes[] = {".vmdk", NULL};

const struct format format_vmdk_sparse = {
	.name = "vmdk-sparse",
	.title = "VMDK, monolithicSparse",
	.suffixes = suffixes,
	.flags = FORMAT_HARDWARE,
	.disk_size = sparse_size,
	.check = vmdk_check,
	.write = sparse_write,
};
