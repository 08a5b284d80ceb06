/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zstd files of any making (RFC 8878: frames and skippable frames, one after another), decompressed as their bytes
 * come; checksums, where frames have them, are held against what comes out. Memory is the window that a frame asks
 * for, at most 128 MiB (what the zstd command takes without being asked).
 */
#ifndef AMIWRIGHT_FORMATS_ZSTD_STREAM_H
#define AMIWRIGHT_FORMATS_ZSTD_STREAM_H

#include "base/cleanup.h"
#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

struct zstd_stream;
/* Gets the content piece by piece; a failure ends it all. */
typedef int (*zstd_stream_sink_fn)(void *arg, const void *data, size_t len, struct error *err);
/* Gets the length of frames of zeros that are like one before: they are not decompressed. */
typedef int (*zstd_stream_zeros_fn)(void *arg, uint64_t len, struct error *err);

struct zstd_stream *zstd_stream_new(zstd_stream_sink_fn sink, zstd_stream_zeros_fn zeros, void *arg,
	struct error *err) MUST_CHECK;
void zstd_stream_free(struct zstd_stream *s);
DEFINE_CLEANUP(zstd_stream, struct zstd_stream, zstd_stream_free)

/* The next bytes of the file. ERROR_INPUT when they are damaged. */
int zstd_stream_push(struct zstd_stream *s, const void *data, size_t len, struct error *err) MUST_CHECK;
/* The file has ended. ERROR_INPUT when it ended inside a frame. */
int zstd_stream_end(struct zstd_stream *s, struct error *err) MUST_CHECK;

#endif
