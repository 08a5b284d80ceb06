/* SPDX-License-Identifier: Apache-2.0 */
/* `bundle --verify`: the bundle of a manifest, judged without writing anything. */
#ifndef AMIWRIGHT_BUILDER_BUNDLE_VERIFY_H
#define AMIWRIGHT_BUILDER_BUNDLE_VERIFY_H

#include "builder/bundle_options.h"
#include "builder/context.h"

/*
 * Signature and parts, and with a key the content. ERROR_INPUT says what is wrong. With --json a document of
 * what was found right goes to standard output.
 */
int bundle_verify(struct context *ctx, const struct bundle_options *o, const char *path, struct error *err)
	MUST_CHECK;

#endif
