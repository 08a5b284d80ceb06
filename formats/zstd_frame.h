/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of zstd (RFC 8878 3.1.1) with the content's size and its checksum. The same bytes, level and
 * version of libzstd give the same bytes.
 */
#ifndef AMIWRIGHT_FORMATS_ZSTD_FRAME_H
#define AMIWRIGHT_FORMATS_ZSTD_FRAME_H

#include "base/buf.h"

enum { ZSTD_FRAME_LEVEL_MAX = 19, ZSTD_FRAME_LEVEL = 3 };

/* A compressor for one thread at a time. level 0: ZSTD_FRAME_LEVEL. */
struct zstd_frame;
struct zstd_frame *zstd_frame_new(int level, struct error *err) MUST_CHECK;
void zstd_frame_free(struct zstd_frame *z);

/* Appends to out a frame of len bytes. */
int zstd_frame_add(struct zstd_frame *z, const void *data, size_t len, struct buf *out,
	struct error *err) MUST_CHECK;

#endif
