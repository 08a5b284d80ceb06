/* SPDX-License-Identifier: Apache-2.0 */
/* Finding a bundle in S3. */
#include "builder/bundle_place.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/text.h"

static int list_keys(struct bundle_place *b, struct error *err)
{
	b->keys = calloc(b->index.nr_parts, sizeof(*b->keys));
	if (!b->keys)
		return error_nomem(err, "the parts of a bundle");
	for (size_t i = 0; i < b->index.nr_parts; i++) {
		b->keys[i] = bundle_index_beside(b->url.key, b->index.parts[i].file, err);
		if (!b->keys[i])
			return -1;
	}
	return 0;
}

static int read_manifest(struct bundle_place *b, const char *file, struct error *err)
{
	CLEANUP_FREE char *what =
		file ? buf_strf(err, "%s", file) : buf_strf(err, "s3://%s/%s", b->url.bucket, b->url.key);
	int ret = !what ? -1 : file ? file_read(file, &b->manifest, err) :
				      s3_get_now(&b->place, b->url.key, &b->manifest, err);

	if (ret < 0 || bundle_index_read(&b->index, buf_str(&b->manifest), b->manifest.len, what, err) < 0)
		return -1;
	return list_keys(b, err);
}

int bundle_place_open(struct bundle_place *b, struct context *ctx, const char *text, const char *file,
	struct error *err)
{
	const struct s3_regions regions = context_s3_regions(ctx);

	memset(b, 0, sizeof(*b));
	buf_init(&b->manifest, BUNDLE_INDEX_MAX);
	if (s3_url_parse(text, &b->url, err) < 0)
		return -1;
	if (!text_ends_with(b->url.key, BUNDLE_SUFFIX) || text_ends_with(b->url.key, "/" BUNDLE_SUFFIX))
		return error_set(err, ERROR_USAGE, 0,
			"'%s' is not the manifest of a bundle: use s3://BUCKET/PATH/NAME" BUNDLE_SUFFIX, text);
	if (file && read_manifest(b, file, err) < 0)
		return -1;
	if (s3_open(&b->place, &regions, b->url.bucket, err) < 0)
		return -1;
	return file ? 0 : read_manifest(b, NULL, err);
}

void bundle_place_release(struct bundle_place *b)
{
	for (size_t i = 0; b->keys && i < b->index.nr_parts; i++)
		free(b->keys[i]);
	free(b->keys);
	bundle_index_release(&b->index);
	buf_release(&b->manifest);
	s3_url_release(&b->url);
}
