/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Buckets: where they are, and new ones. A request that is signed for another Region than the bucket's is
 * answered 301, 307 or 400 AuthorizationHeaderMalformed; the right one stands in the header
 * x-amz-bucket-region (also of a HEAD, which has no body) or in the error's Region element.
 */
#include "uploader/s3.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/xmldoc.h"

enum { MOVES_MAX = 3 };

static bool region_ok(const char *text)
{
	size_t len = strlen(text);

	return len > 3 && len < S3_REGION_SIZE && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == len;
}

/* Whether the answer says that the bucket is elsewhere, and where: "" when it does not say. */
static bool is_elsewhere(const struct aws_call *call, char region[S3_REGION_SIZE])
{
	const struct http_request *http = &call->http;
	const char *header = http_answer_header(http, "x-amz-bucket-region");
	CLEANUP(xmldoc_cleanup) struct xmldoc *doc = NULL;

	region[0] = '\0';
	if (http->status != 301 && http->status != 302 && http->status != 307 && http->status != 400)
		return false;
	if (http->status == 400 && call->error.code[0] && strcmp(call->error.code, "AuthorizationHeaderMalformed"))
		return false;
	if (header && region_ok(header))
		snprintf(region, S3_REGION_SIZE, "%s", header);
	else if (http->answer.len && (doc = xmldoc_parse(buf_str(&http->answer), http->answer.len, NULL)))
		xmldoc_child_text(xmldoc_root(doc), "Region", region, S3_REGION_SIZE);
	if (!region_ok(region))
		region[0] = '\0';
	return true;
}

static int read_location(const struct aws_call *call, char region[S3_REGION_SIZE], struct error *err)
{
	const char *root = strstr(buf_str(&call->http.answer), "<LocationConstraint");
	CLEANUP(xmldoc_cleanup) struct xmldoc *doc = NULL;
	CLEANUP_BUF struct buf text = BUF_INIT(0);

	if (!root)
		return error_set(err, ERROR_SERVICE, 0, "%s answered something else than a location",
			call->operation);
	/* The root has the text, and texts are asked for by their parent. */
	if (buf_addf(&text, err, "<x>%s</x>", root) < 0 ||
	    !(doc = aws_answer_xml(buf_str(&text), text.len, err)))
		return -1;
	xmldoc_child_text(xmldoc_root(doc), "LocationConstraint", region, S3_REGION_SIZE);
	if (!region[0])
		snprintf(region, S3_REGION_SIZE, "us-east-1");
	else if (strcmp(region, "EU") == 0)
		snprintf(region, S3_REGION_SIZE, "eu-west-1");
	if (!region_ok(region))
		return error_set(err, ERROR_SERVICE, 0, "%s answered '%s', which is no Region", call->operation,
			region);
	return 0;
}

int s3_location(struct aws *aws, const char *bucket, char region[S3_REGION_SIZE], struct error *err)
{
	struct aws_call call;
	int ret;

	/* By path: AWS answers this one from any Region so. */
	if (aws_call_init_bucket(aws, &call, "GET", bucket, "?location", true, "GetBucketLocation", err) < 0)
		return -1;
	snprintf(call.subject, sizeof(call.subject), "%s", bucket);
	ret = aws_perform(aws, &call, err);
	if (ret == 0)
		ret = read_location(&call, region, err);
	else if (is_elsewhere(&call, region) && region[0])
		ret = 0;
	aws_call_release(&call);
	return ret;
}

/* HeadBucket: 0 it is here, 1 it is in *region ("" not said), -1 on error. */
static int look(struct aws *aws, const char *bucket, char region[S3_REGION_SIZE], struct error *err)
{
	struct s3_place place = {.aws = aws};
	struct aws_call call;
	const char *told;
	int ret;

	snprintf(place.name, sizeof(place.name), "%s", bucket);
	if (s3_call_init(&place, &call, "HEAD", NULL, "", "HeadBucket", err) < 0)
		return -1;
	ret = aws_perform(aws, &call, err);
	if (ret < 0 && is_elsewhere(&call, region)) {
		ret = 1;
	} else if (ret == 0) {
		/* Some services answer from anywhere, and only tell. */
		told = http_answer_header(&call.http, "x-amz-bucket-region");
		if (told && region_ok(told) && strcmp(told, aws_region(aws)) != 0) {
			snprintf(region, S3_REGION_SIZE, "%s", told);
			ret = 1;
		}
	} else if (call.http.status == 404) {
		error_set(err, ERROR_SERVICE, 0, "bucket '%s' does not exist", bucket);
		snprintf(err->code, sizeof(err->code), "NoSuchBucket");
		err->http_status = 404;
	} else if (call.http.status == 403) {
		error_wrap(err, "bucket '%s' is another account's, or this one may not list it (s3:ListBucket)",
			bucket);
	}
	aws_call_release(&call);
	return ret;
}

int s3_open(struct s3_place *place, const struct s3_regions *regions, const char *bucket, struct error *err)
{
	char region[S3_REGION_SIZE] = "", last[S3_REGION_SIZE];
	struct error why = ERROR_INIT;

	memset(place, 0, sizeof(*place));
	if (s3_check_name(bucket, err) < 0)
		return -1;
	snprintf(place->name, sizeof(place->name), "%s", bucket);
	for (int i = 0; i < MOVES_MAX; i++) {
		int where;

		place->aws = regions->client(regions->arg, region[0] ? region : NULL, err);
		if (!place->aws)
			return -1;
		snprintf(last, sizeof(last), "%s", aws_region(place->aws));
		where = look(place->aws, bucket, region, &why);
		if (where == 0)
			return 0;
		if (where < 0) {
			if (err)
				*err = why;
			return -1;
		}
		if (!region[0] && s3_location(place->aws, bucket, region, err) < 0)
			return error_wrap(err, "bucket '%s' is in another Region than %s", bucket, last);
		if (strcmp(region, last) == 0)
			break;
		log_debug("bucket '%s' is in %s, not in %s", bucket, region, last);
	}
	return error_set(err, ERROR_SERVICE, 0,
		"bucket '%s' is sent from one Region to another: the last one was '%s'", bucket, region);
}

static int add_location(struct buf *body, const char *region, struct error *err)
{
	/* The oldest Region has no name here. */
	if (strcmp(region, "us-east-1") == 0)
		return 0;
	return buf_addf(body, err,
		"<CreateBucketConfiguration xmlns=\"" S3_XMLNS "\"><LocationConstraint>%s</LocationConstraint>"
		"</CreateBucketConfiguration>",
		region);
}

int s3_create(struct aws *aws, const char *bucket, struct error *err)
{
	CLEANUP_BUF struct buf body = BUF_INIT(0);
	struct s3_place place = {.aws = aws};
	struct aws_call call;
	int ret;

	if (s3_check_name(bucket, err) < 0 || add_location(&body, aws_region(aws), err) < 0)
		return -1;
	snprintf(place.name, sizeof(place.name), "%s", bucket);
	if (s3_call_init(&place, &call, "PUT", NULL, "", "CreateBucket", err) < 0)
		return -1;
	call.http.body = body.len ? body.data : NULL;
	call.http.body_len = body.len;
	ret = http_add_header(&call.http, "x-amz-object-ownership", "ObjectWriter", err);
	if (ret == 0 && body.len)
		ret = http_add_header(&call.http, "Content-Type", "application/xml", err);
	if (ret == 0)
		ret = aws_perform(aws, &call, err);
	/* An attempt whose answer was lost made it, or an earlier run. */
	if (ret < 0 && strcmp(call.error.code, "BucketAlreadyOwnedByYou") == 0) {
		error_clear(err);
		ret = 0;
	} else if (ret < 0 && strcmp(call.error.code, "BucketAlreadyExists") == 0) {
		error_wrap(err, "the name '%s' is another account's bucket: choose another name", bucket);
	}
	aws_call_release(&call);
	return ret;
}

int s3_remove(const struct s3_place *place, bool *empty, struct error *err)
{
	struct aws_call call;
	int ret;

	if (s3_call_init(place, &call, "DELETE", NULL, "", "DeleteBucket", err) < 0)
		return -1;
	ret = aws_perform(place->aws, &call, err);
	*empty = strcmp(call.error.code, "BucketNotEmpty") != 0;
	/* An attempt whose answer was lost did it. */
	if (ret < 0 && (!*empty || (call.attempts > 1 && strcmp(call.error.code, "NoSuchBucket") == 0))) {
		error_clear(err);
		ret = 0;
	}
	aws_call_release(&call);
	return ret;
}
