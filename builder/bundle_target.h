/* SPDX-License-Identifier: Apache-2.0 */
/* Where a bundle is uploaded to: a bucket of the region that it will be registered in, a prefix, an ACL. */
#ifndef AMIWRIGHT_BUILDER_BUNDLE_TARGET_H
#define AMIWRIGHT_BUILDER_BUNDLE_TARGET_H

#include "builder/context.h"
#include "uploader/s3.h"

struct bundle_target_opts {
	const char *acl;      /* canned; NULL: aws-exec-read, by which EC2 reads */
	bool is_public;       /* public-read instead */
	bool create_bucket;   /* make it when it is not there */
};

struct bundle_target {
	struct s3_url url;    /* key: the prefix, without '/' at its end */
	struct s3_place place;
	const char *acl;
};

/* NULL-terminated, for an option. */
extern const char *const bundle_target_acls[];

/* "s3://BUCKET[/PREFIX]"; asks nothing. ERROR_USAGE. Release in any case. */
int bundle_target_parse(struct bundle_target *t, const char *text, const struct bundle_target_opts *o,
	struct error *err) MUST_CHECK;
/*
 * Finds or makes the bucket. ERROR_USAGE when it is in another Region than the chosen one, where it could not be
 * registered; ERROR_SERVICE with what helps when it is not there.
 */
int bundle_target_open(struct bundle_target *t, struct context *ctx, const struct bundle_target_opts *o,
	struct error *err) MUST_CHECK;
/* The key of a file of the bundle; the caller's to free. */
char *bundle_target_key(const struct bundle_target *t, const char *file, struct error *err) MUST_CHECK;
/* "BUCKET/PREFIX/FILE", which RegisterImage takes; the caller's to free. */
char *bundle_target_location(const struct bundle_target *t, const char *file, struct error *err) MUST_CHECK;
/* ERROR_POLICY: a manifest has the key; else_how is another way than --force. Returns -1. */
int bundle_target_taken(const struct bundle_target *t, const char *key, const char *else_how, struct error *err);
/*
 * The manifest, after all parts: with it the bundle is whole. ERROR_POLICY when another one has come meanwhile, unless
 * replace.
 */
int bundle_target_put_manifest(const struct bundle_target *t, const char *key, const void *data, size_t len,
	bool replace, struct error *err) MUST_CHECK;
void bundle_target_release(struct bundle_target *t);

#endif
