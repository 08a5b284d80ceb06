/* SPDX-License-Identifier: Apache-2.0 */
/* Writing VHDs: the survey says which blocks there will be, so the BAT goes before them. */
#include "formats/vhd.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "formats/chunks.h"
#include "formats/raw_format.h"
#include "formats/survey.h"

/* 1 MiB is what Azure wants sizes to be a multiple of; beyond 2040 GiB addresses do not reach. */
#define ROUND MIB
#define SIZE_MAX_VHD (2040 * GIB)

/* 2000-01-01 as seconds since 1970 */
#define VHD_EPOCH 946684800

enum { BITMAP = VHD_BLOCK / VHD_SECTOR / 8 };

static int disk_size(uint64_t size, uint64_t *out, struct error *err)
{
	if (size > SIZE_MAX_VHD)
		return error_set(err, ERROR_INPUT, 0,
			"a VHD holds at most 2040 GiB, and the disk has %llu bytes", (unsigned long long)size);
	*out = num_align(size, ROUND);
	return 0;
}

/* A UUID of version 8 (RFC 9562 5.8) out of the survey's id. */
static void set_footer(struct vhd_footer *f, enum vhd_type type, uint64_t size, const struct survey *s,
	int64_t epoch)
{
	int64_t time = MAX(epoch - VHD_EPOCH, INT64_C(0));

	*f = (struct vhd_footer){
		.type = type,
		.header = VHD_FOOTER,
		.size = num_align(size, ROUND),
		.time = (uint32_t)MIN(time, (int64_t)UINT32_MAX),
	};
	memcpy(f->id, s->id, sizeof(f->id));
	f->id[6] = (uint8_t)(0x80 | (f->id[6] & 0x0f));
	f->id[8] = (uint8_t)(0x80 | (f->id[8] & 0x3f));
}

struct writer {
	const struct survey *survey;
	struct out *out;
};

static int emit(struct chunk *c, void *arg, struct error *err)
{
	const struct writer *w = arg;
	uint8_t bitmap[BITMAP];

	if ((c->data != NULL) != survey_has(w->survey, c->off / VHD_BLOCK))
		return error_set(err, ERROR_INPUT, 0, "the disk changed while it was written");
	if (!c->data)
		return 0;
	memset(bitmap, 0xff, sizeof(bitmap));
	if (out_write(w->out, bitmap, sizeof(bitmap), err) < 0)
		return -1;
	return out_write(w->out, c->data, VHD_BLOCK, err);
}

static int write_content(struct writer *w, struct dev *dev, const struct format_write_opts *opts,
	struct error *err)
{
	const struct chunks_opts chunks = {
		CHUNKS_FROM(opts),
		.size = VHD_BLOCK,
		.what = "writing a VHD",
		.all = true,
		.emit = emit,
		.arg = w,
	};

	return chunks_run(dev, &chunks, err);
}

static int survey(struct survey *s, struct dev *dev, const struct format_write_opts *opts,
	struct error *err)
{
	struct survey_opts how = {.workers = opts->workers, .cancelled = opts->cancelled};

	return survey_make(s, dev, VHD_BLOCK, &how, err);
}

static int put_footer(struct out *out, const struct vhd_footer *f, struct error *err)
{
	uint8_t bytes[VHD_FOOTER];

	vhd_footer_encode(f, bytes);
	return out_write(out, bytes, sizeof(bytes), err);
}

static int put_header(struct out *out, uint32_t nr_blocks, struct error *err)
{
	enum { CHECKSUM_OFF = 36 };
	uint8_t h[VHD_HEADER] = "cxsparse";

	num_put_be64(h + 8, UINT64_MAX);
	num_put_be64(h + 16, VHD_TABLE);
	num_put_be32(h + 24, 0x00010000);
	num_put_be32(h + 28, nr_blocks);
	num_put_be32(h + 32, VHD_BLOCK);
	num_put_be32(h + CHECKSUM_OFF, vhd_checksum(h, sizeof(h), CHECKSUM_OFF));
	return out_write(out, h, sizeof(h), err);
}

/* The BAT, filled up to whole sectors as if there were more blocks. */
static int put_table(struct out *out, const struct survey *s, uint32_t nr_blocks, struct error *err)
{
	uint64_t nr = num_align(nr_blocks, VHD_SECTOR / 4);
	uint64_t next = (VHD_TABLE + nr * 4) / VHD_SECTOR;

	for (uint64_t i = 0; i < nr; i++) {
		uint8_t entry[4];
		bool has = i < s->nr_units && survey_has(s, i);

		num_put_be32(entry, has ? (uint32_t)next : VHD_UNUSED);
		if (out_write(out, entry, sizeof(entry), err) < 0)
			return -1;
		next += has ? (BITMAP + VHD_BLOCK) / VHD_SECTOR : 0;
	}
	return 0;
}

static int write_dynamic(struct dev *dev, struct out *out, const struct format_write_opts *opts,
	const struct survey *s, struct error *err)
{
	struct writer w = {.survey = s, .out = out};
	struct vhd_footer f;
	uint32_t nr_blocks;

	set_footer(&f, VHD_DYNAMIC, dev->size, s, opts->epoch);
	nr_blocks = (uint32_t)num_div_up(f.size, VHD_BLOCK);
	if (put_footer(out, &f, err) < 0 || put_header(out, nr_blocks, err) < 0 ||
		put_table(out, s, nr_blocks, err) < 0 || write_content(&w, dev, opts, err) < 0)
		return -1;
	return put_footer(out, &f, err);
}

static int write_fixed(struct dev *dev, struct out *out, const struct format_write_opts *opts,
	const struct survey *s, struct error *err)
{
	struct vhd_footer f;

	set_footer(&f, VHD_FIXED, dev->size, s, opts->epoch);
	if (raw_stream(dev, out, opts, err) < 0 || out_zeros(out, f.size - dev->size, err) < 0)
		return -1;
	return put_footer(out, &f, err);
}

typedef int (*write_fn)(struct dev *dev, struct out *out, const struct format_write_opts *opts,
	const struct survey *s, struct error *err);

static int write_surveyed(write_fn fn, struct dev *dev, struct out *out,
	const struct format_write_opts *opts, struct error *err)
{
	struct survey s;
	int ret = survey(&s, dev, opts, err);

	if (!ret)
		ret = fn(dev, out, opts, &s, err);
	survey_release(&s);
	return ret;
}

static int vhd_write(struct dev *dev, struct out *out, const struct format_write_opts *opts,
	struct error *err)
{
	return write_surveyed(write_dynamic, dev, out, opts, err);
}

static int vhd_write_fixed(struct dev *dev, struct out *out, const struct format_write_opts *opts,
	struct error *err)
{
	return write_surveyed(write_fixed, dev, out, opts, err);
}

const struct format format_vhd = {
	.name = "vhd",
	.title = "a dynamic VHD",
	.suffixes = (const char *const[]){".vhd", ".vpc", NULL},
	.disk_size = disk_size,
	.write = vhd_write,
};

const struct format format_vhd_fixed = {
	.name = "vhd-fixed",
	.title = "a fixed VHD",
	.suffixes = (const char *const[]){".fixed.vhd", NULL},
	.disk_size = disk_size,
	.write = vhd_write_fixed,
};
