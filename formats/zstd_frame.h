/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of zstd (RFC 8878 3.1.1) with the content's size and its checksum. The same bytes, level and
 * version of libzstd give the same bytes.
 */
#ifndef AMIWRIGHT_FORMATS_ZSTD_FRAME_H
#define AMIWRIGHT_FORMATS_ZSTD_FRAME_H

#include "base/buf.h"
#include "base/cleanup.h"

enum { ZSTD_FRAME_LEVEL_MAX = 19, ZSTD_FRAME_LEVEL = 3 };

/* A compressor for one thread at a time. level 0: ZSTD_FRAME_LEVEL. */
struct zstd_frame;
struct zstd_frame *zstd_frame_new(int level, struct error *err) MUST_CHECK;
void zstd_frame_free(struct zstd_frame *z);

/* Appends to out a frame of len bytes. */
int zstd_frame_add(struct zstd_frame *z, const void *data, size_t len, struct buf *out,
	struct error *err) MUST_CHECK;

/* A decompressor for one thread at a time. */
struct zstd_unframe;
struct zstd_unframe *zstd_unframe_new(struct error *err) MUST_CHECK;
void zstd_unframe_free(struct zstd_unframe *z);
DEFINE_CLEANUP(zstd_unframe, struct zstd_unframe, zstd_unframe_free)

/*
 * Exactly out_len bytes from one frame or several that begin at data and end within len (what follows
 * them is not looked at). Memory does not depend on what the frames claim. ERROR_INPUT, without saying
 * where, when they are damaged, shorter or longer.
 */
int zstd_unframe_get(struct zstd_unframe *z, const void *data, size_t len, void *out, size_t out_len,
	struct error *err) MUST_CHECK;

#endif
