/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An object whose bytes come one after the other and whose length nobody knows before: a multipart upload from
 * the first full part on, PutObject when it ends before. Parts are sent while the next one is made, several at a
 * time, each tried again by itself. The object appears when it is whole, or not at all.
 *
 * Parts have 16 MiB, and twice as many after each 1,250 of them, as an upload has at most 10,000 ("Amazon S3
 * multipart upload limits", S3 User Guide): so the longest object is of 4.86 TiB, and memory is that of five
 * parts: 80 MiB for an object of up to 19 GiB.
 */
#ifndef AMIWRIGHT_UPLOADER_S3_STREAM_H
#define AMIWRIGHT_UPLOADER_S3_STREAM_H

#include "uploader/s3.h"

struct s3_stream;

struct s3_stream_opts {
	const char *key, *acl, *type; /* as in struct s3_put; borrowed */
	bool replace;                 /* an object that has the key goes; else it stays, and that is ERROR_POLICY */
};

/*
 * Asks whether the key is free (unless replace) and no more. The client of place is the stream's own until it is
 * freed.
 */
struct s3_stream *s3_stream_new(const struct s3_place *place, const struct s3_stream_opts *opts,
	struct error *err) MUST_CHECK;
int s3_stream_write(struct s3_stream *s, const void *data, size_t len, struct error *err) MUST_CHECK;
/* What was written is the object. ERROR_POLICY when another one has taken the key meanwhile. Free it still. */
int s3_stream_finish(struct s3_stream *s, struct error *err) MUST_CHECK;
/* What was begun and not finished is aborted, also after an interruption; a warning says when it could not be. */
void s3_stream_free(struct s3_stream *s);
DEFINE_CLEANUP(s3_stream, struct s3_stream, s3_stream_free)

#endif
