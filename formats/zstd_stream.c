/* SPDX-License-Identifier: Apache-2.0 */
/* libzstd's stream goes on from frame to frame by itself; it is watched for where they end. */
#include "formats/zstd_stream.h"

#include <stdbool.h>
#include <stdlib.h>

#include <zstd.h>
#include <zstd_errors.h>

#include "formats/repeat.h"

enum { OUT_SIZE = 256 << 10 };

struct zstd_stream {
	ZSTD_DCtx *lib;
	zstd_stream_sink_fn sink;
	zstd_stream_zeros_fn zeros;
	void *arg;
	bool inside; /* of a frame */
	struct repeat repeat;
	uint8_t out[OUT_SIZE];
};

struct zstd_stream *zstd_stream_new(zstd_stream_sink_fn sink, zstd_stream_zeros_fn zeros, void *arg,
	struct error *err)
{
	CLEANUP(zstd_stream_cleanup) struct zstd_stream *s = calloc(1, sizeof(*s));

	if (s)
		s->lib = ZSTD_createDCtx();
	if (!s || !s->lib)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for a decompressor");
	s->sink = sink;
	s->zeros = zeros;
	s->arg = arg;
	return steal_ptr(&s);
}

void zstd_stream_free(struct zstd_stream *s)
{
	if (!s)
		return;
	ZSTD_freeDCtx(s->lib);
	free(s);
}

/* What is whole may want more memory than a stranger's file is given. */
static int failed(size_t code, struct error *err)
{
	if (ZSTD_getErrorCode(code) == ZSTD_error_frameParameter_windowTooLarge)
		return error_set(err, ERROR_INPUT, 0,
			"its zstd data wants a window of more than 128 MiB (zstd's --long): decompress it first by "
			"zstd -d --long=31");
	if (ZSTD_getErrorCode(code) == ZSTD_error_memory_allocation)
		return error_nomem(err, "a decompressor");
	return error_set(err, ERROR_INPUT, 0, "its zstd data is damaged (%s)", ZSTD_getErrorName(code));
}

/* Up to the end of a frame or of the bytes. */
static int push_some(struct zstd_stream *s, const uint8_t **p, size_t *len, struct error *err)
{
	ZSTD_inBuffer in = {*p, *len, 0};
	size_t left;
	bool full;

	do {
		ZSTD_outBuffer out = {s->out, OUT_SIZE, 0};

		left = ZSTD_decompressStream(s->lib, &out, &in);
		if (ZSTD_isError(left))
			return failed(left, err);
		repeat_out(&s->repeat, s->out, out.pos);
		if (out.pos && s->sink(s->arg, s->out, out.pos, err) < 0)
			return -1;
		full = out.pos == out.size;
	} while (left && (in.pos < in.size || full));
	repeat_in(&s->repeat, *p, in.pos);
	s->inside = left;
	if (!left)
		repeat_end(&s->repeat);
	*p += in.pos;
	*len -= in.pos;
	return 0;
}

/* Frames that are known, and of one that turned out to be another the bytes that seemed to be known. */
static int pass_known(struct zstd_stream *s, const uint8_t **p, size_t *len, struct error *err)
{
	const uint8_t *known = s->repeat.known;
	size_t again;

	if (repeat_pass(&s->repeat, p, len, &again, s->zeros, s->arg, err) < 0)
		return -1;
	return again ? push_some(s, &known, &again, err) : 0;
}

int zstd_stream_push(struct zstd_stream *s, const void *data, size_t len, struct error *err)
{
	const uint8_t *p = data;

	while (len) {
		if (!s->inside && pass_known(s, &p, &len, err) < 0)
			return -1;
		if (len && push_some(s, &p, &len, err) < 0)
			return -1;
	}
	return 0;
}

int zstd_stream_end(struct zstd_stream *s, struct error *err)
{
	return s->inside || s->repeat.matched ?
		error_set(err, ERROR_INPUT, 0, "its zstd data ends too soon") : 0;
}
