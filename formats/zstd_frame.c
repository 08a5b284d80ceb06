/* SPDX-License-Identifier: Apache-2.0 */
/* The one place of libzstd. */
#include "formats/zstd_frame.h"

#include <stdlib.h>

#include <zstd.h>

struct zstd_frame {
	ZSTD_CCtx *lib;
};

struct zstd_frame *zstd_frame_new(int level, struct error *err)
{
	struct zstd_frame *z = calloc(1, sizeof(*z));

	if (z)
		z->lib = ZSTD_createCCtx();
	if (!z || !z->lib ||
		ZSTD_isError(ZSTD_CCtx_setParameter(z->lib, ZSTD_c_compressionLevel,
			level ? level : ZSTD_FRAME_LEVEL)) ||
		ZSTD_isError(ZSTD_CCtx_setParameter(z->lib, ZSTD_c_checksumFlag, 1))) {
		zstd_frame_free(z);
		return error_null(err, ERROR_NOMEM, 0, "out of memory for a compressor");
	}
	return z;
}

void zstd_frame_free(struct zstd_frame *z)
{
	if (!z)
		return;
	ZSTD_freeCCtx(z->lib);
	free(z);
}

int zstd_frame_add(struct zstd_frame *z, const void *data, size_t len, struct buf *out,
	struct error *err)
{
	size_t room = ZSTD_compressBound(len), had = out->len, used;
	void *where = buf_extend(out, room, err);

	if (!where)
		return -1;
	used = ZSTD_compress2(z->lib, where, room, data, len);
	buf_truncate(out, ZSTD_isError(used) ? had : had + used);
	return ZSTD_isError(used) ?
		error_set(err, ERROR_NOMEM, 0, "cannot compress: %s", ZSTD_getErrorName(used)) : 0;
}

struct zstd_unframe {
	ZSTD_DCtx *lib;
};

struct zstd_unframe *zstd_unframe_new(struct error *err)
{
	CLEANUP(zstd_unframe_cleanup) struct zstd_unframe *z = calloc(1, sizeof(*z));

	if (z)
		z->lib = ZSTD_createDCtx();
	if (!z || !z->lib)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for a decompressor");
	return steal_ptr(&z);
}

void zstd_unframe_free(struct zstd_unframe *z)
{
	if (!z)
		return;
	ZSTD_freeDCtx(z->lib);
	free(z);
}

/* Whole frames at once, not as a stream: so no window is allocated by what a frame says of it. */
int zstd_unframe_get(struct zstd_unframe *z, const void *data, size_t len, void *out, size_t out_len,
	struct error *err)
{
	const uint8_t *in = data;
	uint8_t *to = out;

	while (out_len) {
		size_t size = len ? ZSTD_findFrameCompressedSize(in, len) : 0, made;

		if (!size)
			return error_set(err, ERROR_INPUT, 0, "compressed data is shorter than it says");
		if (ZSTD_isError(size))
			return error_set(err, ERROR_INPUT, 0, "compressed data is damaged");
		made = ZSTD_decompressDCtx(z->lib, to, out_len, in, size);
		if (ZSTD_isError(made))
			return error_set(err, ERROR_INPUT, 0, "compressed data is damaged");
		in += size;
		len -= size;
		to += made;
		out_len -= made;
	}
	return 0;
}
