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
