/* SPDX-License-Identifier: Apache-2.0 */
/* One small call for each of many keys, several at a time: a bundle has up to a thousand parts. */
#ifndef AMIWRIGHT_UPLOADER_S3_EACH_H
#define AMIWRIGHT_UPLOADER_S3_EACH_H

#include "uploader/s3.h"

/*
 * DeleteObject for all; gone (may be NULL) gets a line "s3://BUCKET/KEY" for each that went, in the order of keys and
 * also when another failed. What is not there is gone.
 */
int s3_delete_each(const struct s3_place *place, const char *const *keys, size_t nr, struct buf *gone,
	struct error *err) MUST_CHECK;
/* HeadObject for all, into out[i]. */
int s3_head_each(const struct s3_place *place, const char *const *keys, size_t nr, struct s3_object *out,
	struct error *err) MUST_CHECK;

#endif
