/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EC2: RegisterImage of a bundle in S3, which EC2 reads by the objects' ACLs, not as the account. Checked is
 * what it could not make an instance of: manifest and parts that are missing, unreadable, elsewhere, of another
 * account or of other sizes. The codes are EC2's; the words after "HTTP 404 …" too.
 */
#include "uploader/region/ec2_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/num.h"
#include "base/text.h"
#include "uploader/bundle_index.h"
#include "uploader/region/s3_internal.h"

struct bundle {
	struct s3_bucket bucket;
	char name[S3_BUCKET_SIZE];
	const char *key;             /* of the manifest; borrowed from the form */
	struct bundle_index index;
};

static bool refuse_url(struct ec2_ctx *c, const struct bundle *b, const char *key, const char *status,
	const char *why)
{
	return ec2_refuse(c, "InvalidManifest", "HTTP %s response for URL http://s3.amazonaws.com/%s/%.300s: %s",
		status, b->name, key, why);
}

/* Whom EC2 itself is among, for S3. */
static bool is_readable(const struct json *object)
{
	static const char *const acls[] = {"aws-exec-read", "public-read", "public-read-write", "authenticated-read"};
	const char *acl = json_get_str(object, "acl", "");

	for (size_t i = 0; i < ARRAY_SIZE(acls); i++)
		if (strcmp(acl, acls[i]) == 0)
			return true;
	return false;
}

/* The record of an object that EC2 may read; NULL with an answer. */
static struct json *find_object(struct ec2_ctx *c, const struct bundle *b, const char *key)
{
	struct error err = ERROR_INIT;
	CLEANUP(json_cleanup) struct json *doc = NULL;

	pthread_mutex_lock(&c->region->s3_lock);
	doc = s3_object_read(&b->bucket, key, &err);
	pthread_mutex_unlock(&c->region->s3_lock);
	if (!doc && err.kind != ERROR_NONE)
		ec2_internal(c, &err);
	else if (!doc)
		refuse_url(c, b, key, "404 (Not Found)",
			"check your manifest path is correct and in the correct region.");
	else if (!is_readable(doc))
		refuse_url(c, b, key, "403 (Forbidden)", "check your S3 ACLs are correct.");
	else
		return steal_ptr(&doc);
	return NULL;
}

static bool find_bucket(struct ec2_ctx *c, struct bundle *b, const char *location)
{
	size_t len = strcspn(location, "/");
	struct error err = ERROR_INIT;

	if (len == 0 || len >= sizeof(b->name) || location[len] != '/' || strstr(location, "//") ||
	    strspn(location, "abcdefghijklmnopqrstuvwxyz0123456789.-") < len ||
	    !text_ends_with(location, BUNDLE_SUFFIX) || strlen(location) >= S3_KEY_SIZE)
		return ec2_refuse(c, "InvalidManifest",
			"Manifest location '%.200s' is not of the form bucket/path/name.manifest.xml", location);
	memcpy(b->name, location, len);
	b->key = location + len + 1;
	if (s3_bucket_find(c->region, b->name, &b->bucket, &err) < 0)
		return ec2_internal(c, &err);
	if (!b->bucket.dir)
		return refuse_url(c, b, b->key, "404 (Not Found)",
			"check your manifest path is correct and in the correct region.");
	if (strcmp(b->bucket.region, c->store->name) != 0)
		return refuse_url(c, b, b->key, "301 (Moved Permanently)",
			"check your manifest path is correct and in the correct region.");
	return false;
}

static bool read_index(struct ec2_ctx *c, struct bundle *b)
{
	CLEANUP(json_cleanup) struct json *doc = find_object(c, b, b->key);
	CLEANUP_BUF struct buf text = BUF_INIT(BUNDLE_INDEX_MAX);
	CLEANUP_FREE char *path = NULL;
	struct error err = ERROR_INIT;

	if (!doc)
		return true;
	path = s3_data_path(&b->bucket, json_get_str(doc, "data", ""), &err);
	if (!path)
		return ec2_internal(c, &err);
	if (json_get_int(doc, "size", 0) > BUNDLE_INDEX_MAX)
		return ec2_refuse(c, "InvalidManifest", "The manifest is over %d bytes", BUNDLE_INDEX_MAX);
	if (file_read(path, &text, &err) < 0)
		return ec2_internal(c, &err);
	if (bundle_index_read(&b->index, buf_str(&text), text.len, b->key, &err) < 0)
		return ec2_refuse(c, "InvalidManifest", "%.300s", err.text);
	return false;
}

static bool check_parts(struct ec2_ctx *c, const struct bundle *b)
{
	uint64_t total = 0;

	for (size_t i = 0; i < b->index.nr_parts; i++) {
		struct error err = ERROR_INIT;
		CLEANUP_FREE char *key = bundle_index_beside(b->key, b->index.parts[i].file, &err);
		CLEANUP(json_cleanup) struct json *doc = NULL;

		if (!key)
			return ec2_internal(c, &err);
		doc = find_object(c, b, key);
		if (!doc)
			return true;
		total += (uint64_t)json_get_int(doc, "size", 0);
	}
	if (total == b->index.bundled_size)
		return false;
	return ec2_refuse(c, "InvalidManifest", "The parts have %llu bytes, bundled_size is %llu",
		(unsigned long long)total, (unsigned long long)b->index.bundled_size);
}

static bool check_index(struct ec2_ctx *c, const struct bundle *b)
{
	const char *architecture = form_get(&c->form, "Architecture");
	const struct bundle_index *index = &b->index;

	if (strcmp(index->user, c->account) != 0)
		return ec2_refuse(c, "AuthFailure", "The manifest's user %s is not the account %s", index->user,
			c->account);
	if (index->size > BUNDLE_ROOT_MAX)
		return ec2_refuse(c, "InvalidManifest", "The image has %llu bytes, more than 10 GiB",
			(unsigned long long)index->size);
	if (architecture && strcmp(architecture, index->architecture) != 0)
		return ec2_refuse(c, "InvalidManifest", "The manifest's architecture is %.15s, not %.15s",
			index->architecture, architecture);
	return check_parts(c, b);
}

static int set_record(struct json *doc, const struct bundle *b, const char *location,
	const char *root_device, struct error *err)
{
	if (!root_device)
		root_device = b->index.root_device[0] ? b->index.root_device : "/dev/sda1";
	if (json_set_str(doc, "rootDeviceType", "instance-store", err) < 0 ||
	    json_set_str(doc, "rootDeviceName", root_device, err) < 0 ||
	    json_set_str(doc, "imageLocation", location, err) < 0)
		return -1;
	return json_set_str(doc, "architecture", b->index.architecture, err);
}

bool ec2_take_bundle(struct ec2_ctx *c, const char *location, struct json *doc)
{
	const char *const ebs_only[] = {"TpmSupport", "UefiData"};
	const char *boot = form_get(&c->form, "BootMode");
	struct bundle b = {.key = NULL};
	struct error err = ERROR_INIT;
	bool over = false;

	for (size_t i = 0; i < ARRAY_SIZE(ebs_only) && !over; i++)
		if (form_get(&c->form, ebs_only[i]))
			over = ec2_refuse(c, "InvalidParameterCombination",
				"%s needs an EBS-backed image", ebs_only[i]);
	if (!over && boot && strcmp(boot, "legacy-bios") != 0)
		over = ec2_refuse(c, "InvalidParameterCombination", "Boot mode %.20s needs an EBS-backed image", boot);
	over = over || find_bucket(c, &b, location) || read_index(c, &b) || check_index(c, &b);
	if (!over && set_record(doc, &b, location, form_get(&c->form, "RootDeviceName"), &err) < 0)
		over = ec2_internal(c, &err);
	bundle_index_release(&b.index);
	s3_bucket_release(&b.bucket);
	return over;
}
