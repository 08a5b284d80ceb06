/* SPDX-License-Identifier: Apache-2.0 */
/* A bundle in S3: its bucket, its manifest, and the parts that this names. */
#ifndef AMIWRIGHT_BUILDER_BUNDLE_PLACE_H
#define AMIWRIGHT_BUILDER_BUNDLE_PLACE_H

#include "builder/context.h"
#include "uploader/bundle_index.h"
#include "uploader/s3.h"

struct bundle_place {
	struct s3_url url;        /* of the manifest */
	struct s3_place place;
	struct buf manifest;      /* as it came */
	struct bundle_index index;
	char **keys;              /* of the parts, in their order; owned */
};

/*
 * text: s3://BUCKET/PATH/NAME.manifest.xml, with or without "s3://". file: the manifest is read from there, whatever
 * is in S3; NULL: from S3. ERROR_USAGE for another form, ERROR_INPUT for a manifest that is none. Release in any case.
 */
int bundle_place_open(struct bundle_place *b, struct context *ctx, const char *text, const char *file,
	struct error *err) MUST_CHECK;
void bundle_place_release(struct bundle_place *b);

#endif
