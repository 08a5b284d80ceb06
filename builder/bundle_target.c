/* SPDX-License-Identifier: Apache-2.0 */
/* The bucket of a bundle, found or made before anything is read. */
#include "builder/bundle_target.h"

#include <string.h>

#include "base/log.h"

const char *const bundle_target_acls[] = {"aws-exec-read", "public-read", "authenticated-read", "private",
	"bucket-owner-read", "bucket-owner-full-control", NULL};

int bundle_target_parse(struct bundle_target *t, const char *text, const struct bundle_target_opts *o,
	struct error *err)
{
	size_t len;

	memset(t, 0, sizeof(*t));
	if (o->is_public && o->acl && strcmp(o->acl, "public-read") != 0)
		return error_set(err, ERROR_USAGE, 0, "--public and --acl %s exclude each other", o->acl);
	t->acl = o->is_public ? "public-read" : o->acl ? o->acl : "aws-exec-read";
	if (s3_url_parse(text, &t->url, err) < 0)
		return -1;
	for (len = strlen(t->url.key); len && t->url.key[len - 1] == '/'; len--)
		t->url.key[len - 1] = '\0';
	return 0;
}

static int make(struct bundle_target *t, struct context *ctx, const struct s3_regions *regions,
	struct error *err)
{
	struct aws *aws = context_aws(ctx, err);

	if (!aws || s3_create(aws, t->url.bucket, err) < 0)
		return -1;
	log_info("made the bucket '%s' in %s", t->url.bucket, aws_region(aws));
	return s3_open(&t->place, regions, t->url.bucket, err);
}

int bundle_target_open(struct bundle_target *t, struct context *ctx, const struct bundle_target_opts *o,
	struct error *err)
{
	const struct s3_regions regions = context_s3_regions(ctx);
	struct aws *aws = context_aws(ctx, err);
	int ret = aws ? s3_open(&t->place, &regions, t->url.bucket, err) : -1;

	if (ret < 0 && aws && strcmp(err->code, "NoSuchBucket") == 0) {
		if (!o->create_bucket)
			return error_wrap(err, "give --create-bucket to have it made in %s", aws_region(aws));
		ret = make(t, ctx, &regions, err);
	}
	if (ret < 0)
		return -1;
	if (strcmp(aws_region(t->place.aws), aws_region(aws)) == 0)
		return 0;
	return error_set(err, ERROR_USAGE, 0,
		"bucket '%s' is in %s, not in %s: EC2 registers bundles of its own region only; use a bucket there, or "
		"--region %s",
		t->url.bucket, aws_region(t->place.aws), aws_region(aws), aws_region(t->place.aws));
}

char *bundle_target_key(const struct bundle_target *t, const char *file, struct error *err)
{
	return buf_strf(err, "%s%s%s", t->url.key, t->url.key[0] ? "/" : "", file);
}

char *bundle_target_location(const struct bundle_target *t, const char *file, struct error *err)
{
	CLEANUP_FREE char *key = bundle_target_key(t, file, err);

	return key ? buf_strf(err, "%s/%s", t->url.bucket, key) : NULL;
}

int bundle_target_taken(const struct bundle_target *t, const char *key, const char *else_how, struct error *err)
{
	return error_set(err, ERROR_POLICY, 0,
		"s3://%s/%s is there: %s, --force to replace it, or remove it by 'amiwright delete-bundle'",
		t->url.bucket, key, else_how);
}

int bundle_target_put_manifest(const struct bundle_target *t, const char *key, const void *data, size_t len,
	bool replace, struct error *err)
{
	struct s3_put put = {.key = key, .acl = t->acl, .type = "application/xml", .body = data, .len = len,
		.if_none = !replace};

	if (s3_put_now(&t->place, &put, err) == 0)
		return 0;
	return err && err->http_status == 412 ? bundle_target_taken(t, key, "give another prefix", err) :
						s3_explain_acl(&t->place, t->acl, err);
}

void bundle_target_release(struct bundle_target *t)
{
	s3_url_release(&t->url);
}
