/* SPDX-License-Identifier: Apache-2.0 */
/*
 * S3: which call a request is, and the calls on buckets. Buckets are addressed by path or by host
 * (bucket.localhost); a call that was signed for another Region than the bucket's is sent there.
 */
#include "uploader/region/s3_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"

static void write_error(struct s3_ctx *c, unsigned status, const char *code, const char *text)
{
	reply_s3_error(c->reply, status, code, text, c->bucket.dir ? c->bucket.region : NULL);
	reply_header(c->reply, "x-amz-request-id", c->reply->request_id);
	if (c->bucket.dir)
		reply_header(c->reply, "x-amz-bucket-region", c->bucket.region);
}

bool s3_refuse(struct s3_ctx *c, unsigned status, const char *code, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	write_error(c, status, code, text);
	return true;
}

bool s3_internal(struct s3_ctx *c, const struct error *err)
{
	write_error(c, 500, "InternalError", err->text);
	return true;
}

/* "bucket" of Host "bucket.localhost:1234" or "bucket.s3.…"; its length, or 0. */
static size_t host_bucket(const char *host)
{
	size_t len = strcspn(host, ":");
	static const char local[] = ".localhost";
	const char *s3 = strstr(host, ".s3.");

	if (s3)
		return (size_t)(s3 - host);
	if (len > sizeof(local) - 1 && strncmp(host + len - (sizeof(local) - 1), local, sizeof(local) - 1) == 0)
		return len - (sizeof(local) - 1);
	return 0;
}

static bool decode_into(char *out, size_t size, const char *text, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		uint8_t byte = (uint8_t)text[i];

		if (text[i] == '%') {
			char two[3] = {i + 1 < len ? text[i + 1] : '\0', i + 2 < len ? text[i + 2] : '\0', '\0'};

			if (hex_decode(&byte, 1, two) || byte == 0)
				return true;
			i += 2;
		}
		if (n + 1 >= size)
			return true;
		out[n++] = (char)byte;
	}
	out[n] = '\0';
	return false;
}

/* Bucket and key of the request. */
static bool parse_target(struct s3_ctx *c)
{
	const char *host = request_header(c->req, "host"), *path = c->req->path + 1;
	size_t len = host ? host_bucket(host) : 0;

	if (len >= S3_BUCKET_SIZE)
		return s3_refuse(c, 400, "InvalidBucketName", "The specified bucket is not valid.");
	if (len > 0) {
		memcpy(c->bucket_name, host, len);
		c->by_host = true;
	} else {
		len = strcspn(path, "/");
		if (decode_into(c->bucket_name, sizeof(c->bucket_name), path, len))
			return s3_refuse(c, 400, "InvalidBucketName", "The specified bucket is not valid.");
		path += len + (path[len] == '/');
	}
	if (decode_into(c->key, sizeof(c->key), path, strlen(path)))
		return s3_refuse(c, 400, "KeyTooLongError", "Your key is too long");
	return false;
}

static bool bucket_name_ok(const char *name)
{
	size_t len = strlen(name);

	return len >= 3 && len < S3_BUCKET_SIZE &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") == len && name[0] != '.' &&
	       name[0] != '-' && name[len - 1] != '-' && name[len - 1] != '.' && !strstr(name, "..");
}

/* Text between <LocationConstraint> and its end; the signed Region without a body. */
static bool wanted_location(struct s3_ctx *c, char out[REGION_NAME_SIZE])
{
	static const char open_tag[] = "<LocationConstraint>";
	CLEANUP_BUF struct buf text = BUF_INIT(S3_SMALL_BODY);
	const char *at;
	size_t len;

	if (s3_body_text(c, &text, S3_SMALL_BODY))
		return true;
	at = text.len ? strstr(buf_str(&text), open_tag) : NULL;
	(void)snprintf(out, REGION_NAME_SIZE, "us-east-1");
	if (at) {
		at += sizeof(open_tag) - 1;
		len = strcspn(at, "<");
		if (len >= REGION_NAME_SIZE)
			return s3_refuse(c, 400, "InvalidLocationConstraint",
				"The specified location-constraint is not valid");
		memcpy(out, at, len);
		out[len] = '\0';
		if (strcmp(out, "EU") == 0)
			(void)snprintf(out, REGION_NAME_SIZE, "eu-west-1");
	}
	if (!region_name_known(out))
		return s3_refuse(c, 400, "InvalidLocationConstraint",
			"The specified location-constraint is not valid");
	if (strcmp(out, c->signed_region) != 0 && strcmp(c->signed_region, "us-east-1") != 0)
		return s3_refuse(c, 400, "IllegalLocationConstraintException",
			"The %s location constraint is incompatible for the region specific endpoint this "
			"request was sent to.", at ? out : "unspecified");
	return false;
}

static void create_bucket(struct s3_ctx *c)
{
	const char *ownership = request_header(c->req, "x-amz-object-ownership");
	const char *acl = request_header(c->req, "x-amz-acl");
	char location[REGION_NAME_SIZE], path[S3_BUCKET_SIZE + 2];
	struct error err = ERROR_INIT;

	if (!ownership)
		ownership = "BucketOwnerEnforced";
	if (!bucket_name_ok(c->bucket_name)) {
		s3_refuse(c, 400, "InvalidBucketName", "The specified bucket is not valid.");
	} else if (c->bucket.dir) {
		bool own = strcmp(json_get_str(c->bucket.doc, "owner", ""), c->account) == 0;

		s3_refuse(c, 409, own ? "BucketAlreadyOwnedByYou" : "BucketAlreadyExists", "%s",
			own ? "Your previous request to create the named bucket succeeded and you already "
			      "own it." :
			      "The requested bucket name is not available.");
	} else if (strcmp(ownership, "BucketOwnerEnforced") != 0 && strcmp(ownership, "ObjectWriter") != 0 &&
		   strcmp(ownership, "BucketOwnerPreferred") != 0) {
		s3_refuse(c, 400, "InvalidArgument", "Invalid x-amz-object-ownership header: %.60s",
			ownership);
	} else if (acl && strcmp(acl, "private") != 0) {
		s3_refuse(c, 400, "InvalidBucketAclWithObjectOwnership",
			"Buckets of this region are private");
	} else if (!wanted_location(c, location)) {
		if (s3_bucket_create(c, location, ownership, &err) < 0) {
			s3_internal(c, &err);
			return;
		}
		(void)snprintf(path, sizeof(path), "/%s", c->bucket_name);
		reply_header(c->reply, "Location", path);
	}
}

static void delete_bucket(struct s3_ctx *c)
{
	struct error err = ERROR_INIT;

	if (s3_bucket_has_objects(&c->bucket))
		s3_refuse(c, 409, "BucketNotEmpty", "The bucket you tried to delete is not empty");
	else if (s3_bucket_remove(&c->bucket, &err) < 0)
		s3_internal(c, &err);
	else
		c->reply->status = 204;
}

static void get_location(struct s3_ctx *c)
{
	bool first = strcmp(c->bucket.region, "us-east-1") == 0;

	xml_init(&c->xml, &c->reply->body);
	xml_open_root(&c->xml, "LocationConstraint", "", S3_NAMESPACE);
	if (!first)
		xml_text(&c->xml, c->bucket.region);
	xml_close(&c->xml, "LocationConstraint");
	c->reply->failed |= c->xml.failed;
}

static void head_bucket(struct s3_ctx *c)
{
	reply_header(c->reply, "x-amz-bucket-region", c->bucket.region);
}

static void list_buckets(struct s3_ctx *c)
{
	char time[NUM_TIME_TEXT];

	xml_init(&c->xml, &c->reply->body);
	xml_open_root(&c->xml, "ListAllMyBuckets", "Result", S3_NAMESPACE);
	xml_open(&c->xml, "Owner");
	xml_str(&c->xml, "ID", c->account);
	xml_close(&c->xml, "Owner");
	xml_open(&c->xml, "Buckets");
	for (size_t i = 0;; i++) {
		CLEANUP_FREE char *name = NULL;
		struct s3_bucket bucket;

		if (s3_bucket_at(c->region, i, &name, &bucket))
			break;
		if (strcmp(json_get_str(bucket.doc, "owner", ""), c->account) == 0) {
			xml_open(&c->xml, "Bucket");
			xml_str(&c->xml, "Name", name);
			xml_str(&c->xml, "CreationDate",
				num_format_time(time, json_get_int(bucket.doc, "created", 0)));
			xml_str(&c->xml, "BucketRegion", bucket.region);
			xml_close(&c->xml, "Bucket");
		}
		s3_bucket_release(&bucket);
	}
	xml_close(&c->xml, "Buckets");
	xml_close(&c->xml, "ListAllMyBucketsResult");
	c->reply->failed |= c->xml.failed;
}

/* param: a query parameter that the call has; "" for one that has none of the table's. */
static const struct call {
	const char *method;
	bool key;
	const char *param;
	void (*call)(struct s3_ctx *c);
} calls[] = {
	{"POST", true, "uploads", s3_create_upload},
	{"PUT", true, "partNumber", s3_put_part},
	{"GET", true, "uploadId", s3_list_parts},
	{"POST", true, "uploadId", s3_complete_upload},
	{"DELETE", true, "uploadId", s3_abort_upload},
	{"GET", true, "acl", s3_get_acl},
	{"PUT", true, "acl", s3_put_acl},
	{"GET", false, "ownershipControls", s3_get_ownership},
	{"PUT", false, "ownershipControls", s3_put_ownership},
	{"GET", false, "location", get_location},
	{"GET", false, "list-type", s3_list_objects},
	{"GET", false, "uploads", s3_list_uploads},
	{"PUT", true, "", s3_put_object},
	{"GET", true, "", s3_get_object},
	{"HEAD", true, "", s3_get_object},
	{"DELETE", true, "", s3_delete_object},
	{"GET", false, "", s3_list_objects},
	{"POST", false, "delete", s3_delete_objects},
	{"PUT", false, "", create_bucket},
	{"HEAD", false, "", head_bucket},
	{"DELETE", false, "", delete_bucket},
};

/* Parameters that make another call of a plain one; those that are here belong to the calls above. */
static bool has_unknown_subresource(struct s3_ctx *c)
{
	static const char *const others[] = {"acl", "tagging", "policy", "versioning", "versions",
		"lifecycle", "cors", "encryption", "website", "notification", "replication", "delete",
		"ownershipControls", "publicAccessBlock", "object-lock", "retention", "legal-hold",
		"uploads", "attributes", "restore", "select", "torrent", "versionId", "logging", "requestPayment",
		"accelerate", "inventory", "analytics", "metrics", "policyStatus", "intelligent-tiering", "session",
		"metadataTable", "metadataConfiguration", "object-lambda"};

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (form_get(&c->query, others[i]))
			return s3_refuse(c, 501, "NotImplemented", "This region has no '%s'", others[i]);
	return false;
}

static const struct call *find_call(struct s3_ctx *c)
{
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		if (strcmp(c->req->method, calls[i].method) == 0 && calls[i].key == (c->key[0] != '\0') &&
		    (calls[i].param[0] == '\0' || form_get(&c->query, calls[i].param)))
			return &calls[i];
	return NULL;
}

/* Whether the caller may do this in the bucket: all when it is his; else what an object's ACL says. */
static bool check_bucket(struct s3_ctx *c, const struct call *call)
{
	if (call->call == create_bucket)
		return false;
	if (!c->bucket.dir)
		return s3_refuse(c, 404, "NoSuchBucket", "The specified bucket does not exist");
	/* A bucket's host leads to its own Region, which reads the signature; a path to any, which knows better. */
	if (strcmp(c->bucket.region, c->signed_region) != 0 && c->by_host)
		return s3_refuse(c, 400, "AuthorizationHeaderMalformed",
			"The authorization header is malformed; the region '%s' is wrong; expecting '%s'",
			c->signed_region, c->bucket.region);
	if (strcmp(c->bucket.region, c->signed_region) != 0)
		return s3_refuse(c, 301, "PermanentRedirect",
			"The bucket is in %s, and the request was signed for %s.", c->bucket.region,
			c->signed_region);
	if (strcmp(json_get_str(c->bucket.doc, "owner", ""), c->account) != 0 &&
	    call->call != s3_get_object)
		return s3_refuse(c, 403, "AccessDenied", "Access Denied");
	return false;
}

static void dispatch(struct s3_ctx *c)
{
	struct error err = ERROR_INIT;
	const struct call *call;

	if (parse_target(c))
		return;
	if (c->bucket_name[0] == '\0' && strcmp(c->req->method, "GET") == 0) {
		list_buckets(c);
		return;
	}
	call = find_call(c);
	if (call && call->param[0] == '\0' && has_unknown_subresource(c))
		return;
	if (!call) {
		if (!has_unknown_subresource(c))
			s3_refuse(c, 501, "NotImplemented", "This region does not play that call");
		return;
	}
	if (bucket_name_ok(c->bucket_name) && s3_bucket_find(c->region, c->bucket_name, &c->bucket, &err) < 0) {
		s3_internal(c, &err);
		return;
	}
	if (check_bucket(c, call))
		return;
	call->call(c);
}

void s3_api_handle(const struct scene *scene, const struct request *req, struct reply *reply)
{
	struct s3_ctx c = {.region = scene->region, .signed_region = scene->store->name,
		.account = scene->caller->account, .req = req, .reply = reply, .query = FORM_INIT};

	reply->content_type = "application/xml";
	if (form_parse(&c.query, req->query, strlen(req->query), NULL) < 0)
		s3_refuse(&c, 400, "InvalidURI", "Couldn't parse the specified URI.");
	else
		dispatch(&c);
	if (reply->status < 300)
		reply_header(reply, "x-amz-request-id", reply->request_id);
	s3_bucket_release(&c.bucket);
	form_release(&c.query);
}
