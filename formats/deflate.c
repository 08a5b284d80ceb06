/* SPDX-License-Identifier: Apache-2.0 */
/* The one place of libdeflate. */
#include "formats/deflate.h"

#include <stdlib.h>

#include <libdeflate.h>

/* Ours are theirs, under a name that no header of ours has to know. */
struct deflate {
	struct libdeflate_compressor *lib;
};

struct inflate {
	struct libdeflate_decompressor *lib;
};

struct deflate *deflate_new(int level, struct error *err)
{
	struct deflate *d = calloc(1, sizeof(*d));

	if (d)
		d->lib = libdeflate_alloc_compressor(level ? level : DEFLATE_LEVEL);
	if (!d || !d->lib) {
		free(d);
		error_nomem(err, "a compressor");
		return NULL;
	}
	return d;
}

void deflate_free(struct deflate *d)
{
	if (!d)
		return;
	libdeflate_free_compressor(d->lib);
	free(d);
}

typedef size_t (*bound_fn)(struct libdeflate_compressor *lib, size_t len);
typedef size_t (*compress_fn)(
	struct libdeflate_compressor *lib, const void *in, size_t len, void *out, size_t room);

static int compress(struct deflate *d, bound_fn bound, compress_fn fn, const void *data, size_t len,
	struct buf *out, struct error *err)
{
	size_t room = bound(d->lib, len), had = out->len, used;
	void *where = buf_extend(out, room, err);

	if (!where)
		return -1;
	used = fn(d->lib, data, len, where, room);
	buf_truncate(out, had + used);
	return used ? 0 : error_set(err, ERROR_BUG, 0, "a compressor's bound does not hold");
}

int deflate_zlib(struct deflate *d, const void *data, size_t len, struct buf *out, struct error *err)
{
	return compress(d, libdeflate_zlib_compress_bound, libdeflate_zlib_compress, data, len, out, err);
}

int deflate_gzip(struct deflate *d, const void *data, size_t len, struct buf *out, struct error *err)
{
	return compress(d, libdeflate_gzip_compress_bound, libdeflate_gzip_compress, data, len, out, err);
}

struct inflate *inflate_new(struct error *err)
{
	struct inflate *i = calloc(1, sizeof(*i));

	if (i)
		i->lib = libdeflate_alloc_decompressor();
	if (!i || !i->lib) {
		free(i);
		error_nomem(err, "a decompressor");
		return NULL;
	}
	return i;
}

void inflate_free(struct inflate *i)
{
	if (!i)
		return;
	libdeflate_free_decompressor(i->lib);
	free(i);
}

static int judge(enum libdeflate_result result, struct error *err)
{
	switch (result) {
	case LIBDEFLATE_SUCCESS:
		return 0;
	case LIBDEFLATE_SHORT_OUTPUT:
		return error_set(err, ERROR_INPUT, 0, "compressed data is shorter than it says");
	case LIBDEFLATE_INSUFFICIENT_SPACE:
		return error_set(err, ERROR_INPUT, 0, "compressed data is longer than it says");
	default:
		return error_set(err, ERROR_INPUT, 0, "compressed data is damaged");
	}
}

int inflate_zlib(struct inflate *i, const void *data, size_t len, void *out, size_t out_len,
	struct error *err)
{
	size_t used;

	return judge(libdeflate_zlib_decompress_ex(i->lib, data, len, out, out_len, &used, NULL), err);
}

int inflate_raw(struct inflate *i, const void *data, size_t len, void *out, size_t out_len,
	struct error *err)
{
	size_t used;

	return judge(libdeflate_deflate_decompress_ex(i->lib, data, len, out, out_len, &used, NULL), err);
}

uint32_t deflate_crc32(uint32_t crc, const void *data, size_t len)
{
	return libdeflate_crc32(crc, data, len);
}
