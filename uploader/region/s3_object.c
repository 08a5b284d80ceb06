/* SPDX-License-Identifier: Apache-2.0 */
/* S3: PutObject, GetObject, HeadObject. */
#include "uploader/region/s3_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/num.h"

static const char *const acls[] = {"private", "public-read", "public-read-write", "authenticated-read",
	"aws-exec-read", "bucket-owner-read", "bucket-owner-full-control"};

bool s3_check_acl(struct s3_ctx *c, const char *acl)
{
	bool known = false;

	for (size_t i = 0; i < ARRAY_SIZE(acls); i++)
		known |= strcmp(acl, acls[i]) == 0;
	if (!known)
		return s3_refuse(c, 400, "InvalidArgument", "Invalid x-amz-acl header: %.60s", acl);
	if (strcmp(json_get_str(c->bucket.doc, "ownership", ""), "BucketOwnerEnforced") == 0 &&
	    strcmp(acl, "bucket-owner-full-control") != 0)
		return s3_refuse(c, 400, "AccessControlListNotSupported", "The bucket does not allow ACLs");
	return false;
}

/* x-amz-meta-* into doc's "metadata". */
static bool take_metadata(struct s3_ctx *c, struct json *doc)
{
	struct error err = ERROR_INIT;
	CLEANUP(json_cleanup) struct json *all = json_new_object(&err);

	for (size_t i = 0; all && i < c->req->nr_headers; i++) {
		const struct sigv4_header *h = &c->req->headers[i];
		char name[40];

		if (strncasecmp(h->name, "x-amz-meta-", 11) != 0)
			continue;
		if (strlen(h->name) >= sizeof(name) || strlen(h->value) >= 256 || json_length(all) > 10)
			return s3_refuse(c, 400, "MetadataTooLarge",
				"Your metadata headers exceed what this region takes");
		for (size_t k = 0; k <= strlen(h->name); k++)
			name[k] = (char)(h->name[k] >= 'A' && h->name[k] <= 'Z' ? h->name[k] | 32 : h->name[k]);
		if (json_set_str(all, name, h->value, &err) < 0)
			return s3_internal(c, &err);
	}
	return (!all || json_set(doc, "metadata", steal_ptr(&all), &err) < 0) && s3_internal(c, &err);
}

bool s3_take_headers(struct s3_ctx *c, struct json *doc)
{
	const char *acl = request_header(c->req, "x-amz-acl");
	const char *type = request_header(c->req, "content-type");
	const char *encryption = request_header(c->req, "x-amz-server-side-encryption");
	struct error err = ERROR_INIT;

	if (request_header(c->req, "x-amz-tagging") || request_header(c->req, "x-amz-copy-source"))
		return s3_refuse(c, 501, "NotImplemented", "This region has no tags and copies of objects");
	if (acl && s3_check_acl(c, acl))
		return true;
	if (type && strlen(type) >= S3_TEXT_SIZE)
		return s3_refuse(c, 400, "InvalidArgument", "The content type is too long");
	if (json_set_str(doc, "acl", acl ? acl : "private", &err) < 0 ||
	    json_set_str(doc, "contentType", type ? type : "binary/octet-stream", &err) < 0 ||
	    json_set_str(doc, "encryption", encryption ? encryption : "AES256", &err) < 0 ||
	    json_set_str(doc, "key", c->key, &err) < 0)
		return s3_internal(c, &err);
	return take_metadata(c, doc);
}

static bool refuse_precondition(struct s3_ctx *c)
{
	return s3_refuse(c, 412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold");
}

/* If-None-Match of a call that makes an object; with s3_lock held. */
static bool check_absent(struct s3_ctx *c)
{
	const char *none = request_header(c->req, "if-none-match");
	CLEANUP(json_cleanup) struct json *there = NULL;
	struct error err = ERROR_INIT;

	if (!none)
		return false;
	if (strcmp(none, "*") != 0)
		return s3_refuse(c, 501, "NotImplemented", "If-None-Match of a new object is '*' only");
	there = s3_object_read(&c->bucket, c->key, &err);
	if (!there && err.kind != ERROR_NONE)
		return s3_internal(c, &err);
	return there && refuse_precondition(c);
}

static bool publish(struct s3_ctx *c, struct json *doc, const struct s3_content *content, const char *etag)
{
	struct error err = ERROR_INIT;
	char quoted[80];
	bool over;
	int ret;

	if (json_set_str(doc, "data", content->id, &err) < 0 || json_set_str(doc, "etag", etag, &err) < 0 ||
	    json_set_int(doc, "size", (int64_t)content->size, &err) < 0 ||
	    json_set_int(doc, "modified", region_now(c->region), &err) < 0)
		return s3_internal(c, &err);
	pthread_mutex_lock(&c->region->s3_lock);
	over = check_absent(c);
	ret = over ? 0 : s3_object_write(&c->bucket, c->key, doc, &err);
	pthread_mutex_unlock(&c->region->s3_lock);
	if (over)
		return true;
	if (ret < 0)
		return s3_internal(c, &err);
	(void)snprintf(quoted, sizeof(quoted), "\"%s\"", etag);
	reply_header(c->reply, "ETag", quoted);
	reply_header(c->reply, "x-amz-server-side-encryption", json_get_str(doc, "encryption", "AES256"));
	return false;
}

bool s3_publish(struct s3_ctx *c, struct json *doc, const struct s3_content *content, const char *etag)
{
	CLEANUP_FREE char *path = NULL;

	if (!publish(c, doc, content, etag))
		return false;
	path = s3_data_path(&c->bucket, content->id, NULL);
	if (path)
		(void)unlink(path);
	return true;
}

void s3_write_checksums(struct s3_ctx *c, const struct json *all)
{
	struct json *value;
	char name[40];

	for (const char *key = json_next_key(all, NULL, &value); key; key = json_next_key(all, key, &value)) {
		(void)snprintf(name, sizeof(name), "x-amz-checksum-%.12s", key);
		reply_header(c->reply, name, json_text(value, ""));
	}
}

void s3_put_object(struct s3_ctx *c)
{
	struct error err = ERROR_INIT;
	CLEANUP(json_cleanup) struct json *doc = json_new_object(&err);
	struct s3_content content;
	char etag[33];

	if (!doc) {
		s3_internal(c, &err);
		return;
	}
	if (s3_take_headers(c, doc) || s3_take_body(c, &content))
		return;
	hex_encode(etag, content.md5, sizeof(content.md5));
	if (json_set(doc, "checksums", steal_ptr(&content.checksums), &err) < 0)
		s3_internal(c, &err);
	else if (!s3_publish(c, doc, &content, etag))
		s3_write_checksums(c, json_get(doc, "checksums"));
	s3_content_release(&content);
}

/* "bytes=a-b", "bytes=a-", "bytes=-n"; true when it fits nothing. Without a range: all. */
static bool parse_range(const char *text, uint64_t size, uint64_t *from, uint64_t *len)
{
	char number[24];
	uint64_t a = 0, b = size ? size - 1 : 0;
	size_t digits;

	text += strlen("bytes=");
	digits = strspn(text, "0123456789");
	if (digits >= sizeof(number) || text[digits] != '-')
		return true;
	memcpy(number, text, digits);
	number[digits] = '\0';
	if (digits && num_parse(number, INT64_MAX, &a, NULL) < 0)
		return true;
	text += digits + 1;
	if (*text && num_parse(text, INT64_MAX, &b, NULL) < 0)
		return true;
	if (!digits) { /* the last b bytes */
		if (!*text || b == 0)
			return true;
		a = b < size ? size - b : 0;
		b = size ? size - 1 : 0;
	}
	if (a >= size || b < a)
		return true;
	*from = a;
	*len = MIN(b, size - 1) - a + 1;
	return false;
}

static bool set_range(struct s3_ctx *c, uint64_t size, uint64_t *from, uint64_t *len)
{
	const char *range = request_header(c->req, "range");
	char text[80];

	*from = 0;
	*len = size;
	reply_header(c->reply, "Accept-Ranges", "bytes");
	if (!range || strncmp(range, "bytes=", 6) != 0)
		return false;
	if (parse_range(range, size, from, len))
		return s3_refuse(c, 416, "InvalidRange", "The requested range is not satisfiable");
	(void)snprintf(text, sizeof(text), "bytes %llu-%llu/%llu", (unsigned long long)*from,
		(unsigned long long)(*from + *len - 1), (unsigned long long)size);
	reply_header(c->reply, "Content-Range", text);
	c->reply->status = 206;
	return false;
}

static void write_headers(struct s3_ctx *c, const struct json *doc)
{
	const struct json *metadata = json_get(doc, "metadata");
	time_t modified = (time_t)json_get_int(doc, "modified", 0);
	char text[80];
	struct json *value;
	struct tm tm;

	(void)snprintf(text, sizeof(text), "\"%s\"", json_get_str(doc, "etag", ""));
	reply_header(c->reply, "ETag", text);
	if (gmtime_r(&modified, &tm) && strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm))
		reply_header(c->reply, "Last-Modified", text);
	reply_header(c->reply, "x-amz-server-side-encryption", json_get_str(doc, "encryption", ""));
	for (const char *key = json_next_key(metadata, NULL, &value); key;
		key = json_next_key(metadata, key, &value))
		reply_header(c->reply, key, json_text(value, ""));
	(void)snprintf(c->reply->content_type_text, sizeof(c->reply->content_type_text), "%s",
		json_get_str(doc, "contentType", ""));
	c->reply->content_type = c->reply->content_type_text;
}

/* The owner of the bucket, or anybody whom the object's ACL lets in. */
static bool may_read(const struct s3_ctx *c, const struct json *doc)
{
	const char *acl = json_get_str(doc, "acl", "");

	return strcmp(json_get_str(c->bucket.doc, "owner", ""), c->account) == 0 ||
	       strncmp(acl, "public-read", 11) == 0 || strcmp(acl, "authenticated-read") == 0;
}

static bool check_match(struct s3_ctx *c, const struct json *doc)
{
	const char *wanted = request_header(c->req, "if-match");
	char etag[80];

	(void)snprintf(etag, sizeof(etag), "\"%s\"", json_get_str(doc, "etag", ""));
	return wanted && strcmp(wanted, "*") != 0 && strcmp(wanted, etag) != 0 && refuse_precondition(c);
}

static void send_content(struct s3_ctx *c, const struct json *doc)
{
	CLEANUP_FREE char *path = NULL;
	struct error err = ERROR_INIT;
	uint64_t from, len;

	if (check_match(c, doc) || set_range(c, (uint64_t)json_get_int(doc, "size", 0), &from, &len))
		return;
	write_headers(c, doc);
	if (request_header(c->req, "x-amz-checksum-mode") && c->reply->status == 200)
		s3_write_checksums(c, json_get(doc, "checksums"));
	if (len == 0)
		return;
	path = s3_data_path(&c->bucket, json_get_str(doc, "data", ""), &err);
	c->reply->fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (c->reply->fd < 0) {
		if (path)
			error_set(&err, ERROR_IO, errno, "cannot open '%s'", path);
		s3_internal(c, &err);
		return;
	}
	c->reply->fd_off = from;
	c->reply->fd_len = len;
}

/* HEAD too: whose body is not sent. */
void s3_get_object(struct s3_ctx *c)
{
	CLEANUP(json_cleanup) struct json *doc = NULL;
	struct error err = ERROR_INIT;

	pthread_mutex_lock(&c->region->s3_lock);
	doc = s3_object_read(&c->bucket, c->key, &err);
	if (!doc && err.kind != ERROR_NONE)
		s3_internal(c, &err);
	else if (!doc && strcmp(json_get_str(c->bucket.doc, "owner", ""), c->account) == 0)
		s3_refuse(c, 404, "NoSuchKey", "The specified key does not exist.");
	else if (!doc || !may_read(c, doc))
		s3_refuse(c, 403, "AccessDenied", "Access Denied");
	else
		send_content(c, doc);
	pthread_mutex_unlock(&c->region->s3_lock);
}
