/* SPDX-License-Identifier: Apache-2.0 */
/* A table of statements; those of EC2 have conditions or resources of the region, those of S3 name the bucket. */
#include "builder/iam_policy_s3.h"

#include <string.h>

#include "base/num.h"
#include "uploader/ec2_encryption.h"

enum resource { BUCKET, KEYS, IMAGES, ANY };

enum { ACTIONS_MAX = 5 };

static const struct statement {
	const char *sid;
	unsigned kinds;                   /* bits of enum iam_policy_s3 */
	bool clean_up;                    /* only with clean_up */
	enum resource resource;
	const char *actions[ACTIONS_MAX]; /* ends with NULL */
} statements[] = {
	/* s3:ListBucket is HeadBucket's too, and tells a missing object from a forbidden one. */
	{"LookAtBucket", 1 << IAM_POLICY_BUNDLE | 1 << IAM_POLICY_OBJECT, false, BUCKET,
		{"s3:ListBucket", "s3:GetBucketLocation", NULL}},
	{"WriteBundles", 1 << IAM_POLICY_BUNDLE, false, KEYS,
		{"s3:GetObject", "s3:PutObject", "s3:PutObjectAcl", NULL}},
	{"WriteObject", 1 << IAM_POLICY_OBJECT, false, KEYS,
		{"s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", NULL}},
	{"DeleteBundles", 1 << IAM_POLICY_BUNDLE, true, KEYS, {"s3:DeleteObject", NULL}},
	{"LookAtImages", 1 << IAM_POLICY_BUNDLE, true, ANY, {"ec2:DescribeImages", NULL}},
	{"Register", 1 << IAM_POLICY_BUNDLE, false, IMAGES, {"ec2:RegisterImage", "ec2:CreateTags", NULL}},
};

/* '*', '?' and '$' stand for themselves as "${*}". */
static int add_plain(struct buf *arn, const char *text, struct error *err)
{
	for (; *text; text++)
		if (strchr("*?$", *text) ? buf_addf(arn, err, "${%c}", *text) < 0 : buf_add_char(arn, *text, err) < 0)
			return -1;
	return 0;
}

static int add_resource(struct buf *arn, enum resource what, enum iam_policy_s3 kind, const struct s3_url *where,
	const char *region, struct error *err)
{
	const char *partition = ec2_partition_of(region);
	size_t len = strlen(where->key);

	if (what == ANY)
		return buf_add_str(arn, "*", err);
	if (what == IMAGES)
		return buf_addf(arn, err, "arn:%s:ec2:%s::image/*", partition, region);
	if (buf_addf(arn, err, "arn:%s:s3:::%s", partition, where->bucket) < 0)
		return -1;
	if (what == BUCKET)
		return 0;
	if (buf_add_str(arn, "/", err) < 0 || add_plain(arn, where->key, err) < 0)
		return -1;
	if (kind == IAM_POLICY_OBJECT)
		return 0;
	return buf_add_str(arn, len && where->key[len - 1] != '/' ? "/*" : "*", err);
}

/* What has no resource is held to the region. */
static int add_condition(struct json *out, const char *region, struct error *err)
{
	CLEANUP(json_cleanup) struct json *equals = json_new_object(err), *key = json_new_object(err);

	if (!equals || !key || json_set_str(key, "aws:RequestedRegion", region, err) < 0 ||
		json_set(equals, "StringEquals", steal_ptr(&key), err) < 0)
		return -1;
	return json_set(out, "Condition", steal_ptr(&equals), err);
}

static struct json *statement_json(const struct statement *st, const char *arn, const char *region, struct error *err)
{
	CLEANUP(json_cleanup) struct json *out = json_new_object(err), *actions = json_new_array(err);

	if (!out || !actions)
		return NULL;
	for (const char *const *a = st->actions; *a; a++)
		if (json_append_str(actions, *a, err) < 0)
			return NULL;
	if (json_set_str(out, "Sid", st->sid, err) < 0 || json_set_str(out, "Effect", "Allow", err) < 0 ||
		json_set(out, "Action", steal_ptr(&actions), err) < 0 || json_set_str(out, "Resource", arn, err) < 0 ||
		(st->resource == ANY && add_condition(out, region, err) < 0))
		return NULL;
	return steal_ptr(&out);
}

struct json *iam_policy_s3(enum iam_policy_s3 kind, const struct s3_url *where, const char *region, bool clean_up,
	struct error *err)
{
	CLEANUP(json_cleanup) struct json *doc = json_new_object(err), *list = json_new_array(err);

	if (!doc || !list)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(statements); i++) {
		const struct statement *st = &statements[i];
		CLEANUP_BUF struct buf arn = BUF_INIT(0);

		if (!(st->kinds & 1U << kind) || (st->clean_up && !clean_up))
			continue;
		if (add_resource(&arn, st->resource, kind, where, region, err) < 0 ||
			json_append(list, statement_json(st, buf_str(&arn), region, err), err) < 0)
			return NULL;
	}
	if (json_set_str(doc, "Version", "2012-10-17", err) < 0 ||
		json_set(doc, "Statement", steal_ptr(&list), err) < 0)
		return NULL;
	return steal_ptr(&doc);
}
