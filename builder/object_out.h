/* SPDX-License-Identifier: Apache-2.0 */
/* An image on its way to S3: an object as the output of formats/. */
#ifndef AMIWRIGHT_BUILDER_OBJECT_OUT_H
#define AMIWRIGHT_BUILDER_OBJECT_OUT_H

#include "builder/context.h"
#include "uploader/s3_stream.h"

/* Zeroed is closed. */
struct object_out {
	struct s3_url url;
	struct s3_place place;
	struct s3_stream *stream;
};

/* Whether a name is meant for S3: "s3://…". */
bool object_out_is(const char *name);
/* Judges the name and asks nothing. ERROR_USAGE. Release in any case. */
int object_out_parse(struct object_out *o, const char *name, struct error *err) MUST_CHECK;
/*
 * Finds the bucket, whatever region it is in; ERROR_POLICY when an object has the key, unless replace. From here on
 * the client of that region is the output's.
 */
int object_out_open(struct object_out *o, struct context *ctx, bool replace, struct error *err) MUST_CHECK;
/* The output for format_write_out(); what it commits is the object. It ends before o. */
struct out *object_out_begin(struct object_out *o, const struct out_opts *opts, struct error *err) MUST_CHECK;
/* What was not committed is gone from S3 too. */
void object_out_release(struct object_out *o);

#endif
