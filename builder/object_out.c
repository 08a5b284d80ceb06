/* SPDX-License-Identifier: Apache-2.0 */
/* The sink of an image that is an object. */
#include "builder/object_out.h"

#include <string.h>

#include "base/text.h"

bool object_out_is(const char *name)
{
	return strncmp(name, "s3://", 5) == 0;
}

int object_out_parse(struct object_out *o, const char *name, struct error *err)
{
	memset(o, 0, sizeof(*o));
	if (s3_url_parse(name, &o->url, err) < 0)
		return -1;
	if (o->url.key[0] && !text_ends_with(o->url.key, "/"))
		return 0;
	return error_set(err, ERROR_USAGE, 0, "'%s' names no object: use s3://BUCKET/PATH/NAME", name);
}

int object_out_open(struct object_out *o, struct context *ctx, bool replace, struct error *err)
{
	const struct s3_regions regions = context_s3_regions(ctx);
	const struct s3_stream_opts opts = {.key = o->url.key, .type = "application/octet-stream", .replace = replace};

	if (s3_open(&o->place, &regions, o->url.bucket, err) < 0)
		return -1;
	o->stream = s3_stream_new(&o->place, &opts, err);
	return o->stream ? 0 : -1;
}

static int on_write(void *arg, const void *data, size_t len, struct error *err)
{
	struct object_out *o = arg;

	return s3_stream_write(o->stream, data, len, err);
}

static int on_commit(void *arg, struct error *err)
{
	struct object_out *o = arg;

	return s3_stream_finish(o->stream, err);
}

struct out *object_out_begin(struct object_out *o, const struct out_opts *opts, struct error *err)
{
	const struct out_sink sink = {.write = on_write, .commit = on_commit, .arg = o};
	CLEANUP_FREE char *name = buf_strf(err, "s3://%s/%s", o->url.bucket, o->url.key);

	return name ? out_to_sink(name, &sink, opts, err) : NULL;
}

void object_out_release(struct object_out *o)
{
	s3_stream_free(o->stream);
	s3_url_release(&o->url);
	o->stream = NULL;
}
