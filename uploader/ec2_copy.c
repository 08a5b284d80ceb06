/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CopyImage carries a client token, so that its repeats are harmless. CopySnapshot has none, and
 * wants proof that the caller may read the source: a presigned GET of its own parameters in the
 * source's region.
 */
#include "uploader/ec2_copy.h"

#include <stdlib.h>
#include <string.h>

#include "uploader/ec2_internal.h"

enum { URL_LIFETIME_S = 3600 };

static const char *text_or_null(const char *text)
{
	return text && text[0] ? text : NULL;
}

static int image_query(const struct ec2_copy_opts *o, struct buf *q, struct error *err)
{
	if (ec2_query_begin(q, "CopyImage", err) < 0 ||
	    ec2_query_add(q, err, o->name, "Name") < 0 ||
	    ec2_query_add(q, err, o->source, "SourceImageId") < 0 ||
	    ec2_query_add(q, err, o->source_region, "SourceRegion") < 0 ||
	    ec2_query_add(q, err, text_or_null(o->description), "Description") < 0 ||
	    ec2_query_add(q, err, o->token, "ClientToken") < 0 ||
	    ec2_query_add(q, err, o->encrypt ? "true" : NULL, "Encrypted") < 0 ||
	    ec2_query_add(q, err, o->kms_key, "KmsKeyId") < 0)
		return -1;
	return ec2_query_tag_spec(q, "image", o->tags, o->nr_tags, err);
}

/* Sends it; id is "" after a dry run. */
static int begin_copy(struct aws *to, const struct ec2_request *req, struct buf *q, bool dry_run,
	const char *element, const char *prefix, char id[EC2_ID_SIZE], struct error *err)
{
	CLEANUP(xmldoc_cleanup) struct xmldoc *doc = NULL;

	id[0] = '\0';
	if (ec2_change(to, req, q, dry_run, &doc, err) < 0)
		return -1;
	if (!doc)
		return 0;
	xmldoc_child_text(xmldoc_root(doc), element, id, EC2_ID_SIZE);
	if (strncmp(id, prefix, strlen(prefix)) != 0)
		return error_set(err, ERROR_SERVICE, 0, "%s answered without an id", req->action);
	return 0;
}

int ec2_copy_image(struct aws *to, const struct ec2_copy_opts *o, char id[EC2_ID_SIZE],
	struct error *err)
{
	struct ec2_request req = {.action = "CopyImage", .subject = o->source};
	CLEANUP_BUF struct buf q = BUF_INIT(0);

	if (image_query(o, &q, err) < 0)
		return -1;
	return begin_copy(to, &req, &q, o->dry_run, "imageId", "ami-", id, err);
}

/*
 * DestinationRegion stands in the URL as in the call: the source's region signs for what goes where.
 */
static int snapshot_query(const struct ec2_copy_opts *o, const char *target, struct buf *q,
	struct error *err)
{
	if (ec2_query_begin(q, "CopySnapshot", err) < 0 ||
	    ec2_query_add(q, err, o->source_region, "SourceRegion") < 0 ||
	    ec2_query_add(q, err, o->source, "SourceSnapshotId") < 0 ||
	    ec2_query_add(q, err, target, "DestinationRegion") < 0 ||
	    ec2_query_add(q, err, text_or_null(o->description), "Description") < 0 ||
	    ec2_query_add(q, err, o->encrypt ? "true" : NULL, "Encrypted") < 0 ||
	    ec2_query_add(q, err, o->kms_key, "KmsKeyId") < 0)
		return -1;
	return ec2_query_tag_spec(q, "snapshot", o->tags, o->nr_tags, err);
}

int ec2_copy_snapshot(struct aws *to, struct aws *from, const struct ec2_copy_opts *o,
	char id[EC2_ID_SIZE], struct error *err)
{
	struct ec2_request req = {.action = "CopySnapshot", .subject = o->source, .once = true};
	CLEANUP_BUF struct buf q = BUF_INIT(0), url = BUF_INIT(0);

	if (snapshot_query(o, aws_region(to), &q, err) < 0 ||
	    aws_presign(from, AWS_EC2, buf_str(&q), URL_LIFETIME_S, &url, err) < 0 ||
	    ec2_query_add(&q, err, buf_str(&url), "PresignedUrl") < 0)
		return -1;
	return begin_copy(to, &req, &q, o->dry_run, "snapshotId", "snap-", id, err);
}

static struct xmldoc *ask(struct aws *a, const char *action, struct error *err)
{
	struct ec2_request req = {.action = action, .subject = aws_region(a)};
	CLEANUP_BUF struct buf q = BUF_INIT(0);

	if (ec2_query_begin(&q, action, err) < 0)
		return NULL;
	return ec2_perform(a, &req, &q, err);
}

int ec2_encryption_by_default(struct aws *a, bool *on, struct error *err)
{
	CLEANUP(xmldoc_cleanup) struct xmldoc *doc = ask(a, "GetEbsEncryptionByDefault", err);

	if (!doc)
		return -1;
	*on = xmldoc_child_bool(xmldoc_root(doc), "ebsEncryptionByDefault", false);
	return 0;
}

int ec2_default_key(struct aws *a, char key[EC2_KEY_SIZE], struct error *err)
{
	CLEANUP(xmldoc_cleanup) struct xmldoc *doc = ask(a, "GetEbsDefaultKmsKeyId", err);

	if (!doc)
		return -1;
	if (!xmldoc_child_text(xmldoc_root(doc), "kmsKeyId", key, EC2_KEY_SIZE) || !key[0])
		return error_set(err, ERROR_SERVICE, 0, "GetEbsDefaultKmsKeyId answered without a key");
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

int ec2_regions(struct aws *a, struct ec2_region_list *out, struct error *err)
{
	CLEANUP(xmldoc_cleanup) struct xmldoc *doc = ask(a, "DescribeRegions", err);
	const struct xmldoc_node *set, *item;

	memset(out, 0, sizeof(*out));
	if (!doc)
		return -1;
	set = xmldoc_child(xmldoc_root(doc), "regionInfo");
	for (item = xmldoc_child(set, "item"); item; item = xmldoc_next(item))
		out->nr++;
	out->names = calloc(out->nr + 1, sizeof(*out->names));
	if (!out->names)
		return error_nomem(err, "the list of regions");
	out->nr = 0;
	for (item = xmldoc_child(set, "item"); item; item = xmldoc_next(item))
		xmldoc_child_text(item, "regionName", out->names[out->nr++], sizeof(out->names[0]));
	qsort(out->names, out->nr, sizeof(out->names[0]), by_name);
	return 0;
}
