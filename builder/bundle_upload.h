/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bundle straight to S3 while it is made: parts go out as they come, the manifest last. A rerun makes the
 * same bytes again (builder/bundle_journal.h) and sends those that are not there.
 */
#ifndef AMIWRIGHT_BUILDER_BUNDLE_UPLOAD_H
#define AMIWRIGHT_BUILDER_BUNDLE_UPLOAD_H

#include "builder/bundle_target.h"
#include "formats/bundle.h"

struct bundle_upload;

/*
 * target is opened and borrowed. opts->seed holds a new seed, and gets that of an earlier run to the same place.
 * ERROR_POLICY when a manifest is there, unless replace.
 */
struct bundle_upload *bundle_upload_new(struct context *ctx, const struct bundle_target *target,
	struct bundle_opts *opts, bool replace, struct error *err) MUST_CHECK;
/* Borrowed. */
const struct bundle_sink *bundle_upload_sink(struct bundle_upload *u);
/*
 * After bundle_write() went well; *location is the caller's to free. A failure of either says how to go on
 * (bundle_upload_explain()).
 */
int bundle_upload_finish(struct bundle_upload *u, char **location, struct error *err) MUST_CHECK;
/* What a failure leaves, and how to go on; returns -1. */
int bundle_upload_explain(const struct bundle_upload *u, struct error *err);
/* NULL is fine. */
void bundle_upload_free(struct bundle_upload *u);

/*
 * Removes the parts of a bundle of that prefix that was not finished, and its journal; out gets what went, a line
 * each, also when another one failed. ERROR_POLICY when its manifest is there: then it is whole.
 */
int bundle_upload_clean(struct context *ctx, const struct bundle_target *target, const char *prefix,
	struct buf *out, struct error *err) MUST_CHECK;

#endif
