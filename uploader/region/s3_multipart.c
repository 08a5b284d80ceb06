/* SPDX-License-Identifier: Apache-2.0 */
/* S3: uploads in parts. Each part is content of its own; completing puts them behind each other. */
#include "uploader/region/s3_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/hash_stream.h"
#include "base/num.h"

enum { COPY_PIECE = 1024 * 1024, SUM_SIZE = SHA256_BASE64_SIZE + 6 };
static const int64_t part_min = 5 * 1024 * 1024;

char *s3_upload_path(struct s3_ctx *c, const char *name)
{
	const char *id = form_get(&c->query, "uploadId");
	CLEANUP_FREE char *record = NULL;
	CLEANUP(json_cleanup) struct json *doc = NULL;
	struct error err = ERROR_INIT;

	if (id && strlen(id) == S3_ID_SIZE - 1 && strspn(id, "0123456789abcdef") == S3_ID_SIZE - 1) {
		record = buf_strf(&err, "%s/uploads/%s/upload.json", c->bucket.dir, id);
		if (!record || s3_json_read(record, &doc, &err) < 0) {
			s3_internal(c, &err);
			return NULL;
		}
	}
	if (!doc || strcmp(json_get_str(doc, "key", ""), c->key) != 0) {
		s3_refuse(c, 404, "NoSuchUpload", "The specified upload does not exist. The upload ID may be "
						  "invalid, or the upload may have been aborted or completed.");
		return NULL;
	}
	return buf_strf(&err, "%s/uploads/%s/%s", c->bucket.dir, id, name);
}

void s3_write_upload(struct s3_ctx *c, const char *root, const char *id)
{
	xml_init(&c->xml, &c->reply->body);
	xml_open_root(&c->xml, root, "Result", S3_NAMESPACE);
	xml_str(&c->xml, "Bucket", c->bucket_name);
	xml_str(&c->xml, "Key", c->key);
	if (id)
		xml_str(&c->xml, "UploadId", id);
}

void s3_create_upload(struct s3_ctx *c)
{
	struct error err = ERROR_INIT;
	CLEANUP(json_cleanup) struct json *doc = json_new_object(&err);
	CLEANUP_FREE char *dir = NULL, *path = NULL;
	char id[S3_ID_SIZE];

	if (!doc || s3_new_id(c->region, id, &err) < 0) {
		s3_internal(c, &err);
		return;
	}
	if (s3_take_headers(c, doc))
		return;
	if (json_set_int(doc, "begun", region_now(c->region), &err) < 0) {
		s3_internal(c, &err);
		return;
	}
	dir = buf_strf(&err, "%s/uploads/%s", c->bucket.dir, id);
	path = buf_strf(&err, "%s/uploads/%s/upload.json", c->bucket.dir, id);
	if (!dir || !path || file_mkdirs(dir, 0755, &err) < 0 || s3_json_write(path, doc, &err) < 0) {
		s3_internal(c, &err);
		return;
	}
	s3_write_upload(c, "InitiateMultipartUpload", id);
	xml_close(&c->xml, "InitiateMultipartUploadResult");
	c->reply->failed |= c->xml.failed;
}

static int write_record(const struct s3_bucket *b, const char *path, const struct s3_content *content,
	const char *etag, int64_t now, struct error *err)
{
	CLEANUP(json_cleanup) struct json *doc = json_new_object(err), *old = NULL;
	CLEANUP_FREE char *gone = NULL;

	if (!doc || json_set_str(doc, "data", content->id, err) < 0 ||
	    json_set_str(doc, "etag", etag, err) < 0 ||
	    json_set_int(doc, "size", (int64_t)content->size, err) < 0 ||
	    json_set_str(doc, "sha256", json_get_str(content->checksums, "sha256", NULL), err) < 0 ||
	    json_set_int(doc, "modified", now, err) < 0 || s3_json_read(path, &old, err) < 0 ||
	    s3_json_write(path, doc, err) < 0)
		return -1;
	gone = old ? s3_data_path(b, json_get_str(old, "data", "none"), err) : NULL;
	if (gone)
		(void)unlink(gone);
	return 0;
}

/* True with an answer when it is no part: the upload may have ended while its body came. */
static bool write_part(struct s3_ctx *c, const char *name, const struct s3_content *content, const char *etag)
{
	CLEANUP_FREE char *path = NULL, *data = s3_data_path(&c->bucket, content->id, NULL);
	struct error err = ERROR_INIT;
	int ret = 0;

	pthread_mutex_lock(&c->region->s3_lock);
	path = s3_upload_path(c, name);
	if (path)
		ret = write_record(&c->bucket, path, content, etag, region_now(c->region), &err);
	pthread_mutex_unlock(&c->region->s3_lock);
	if (path && ret == 0)
		return false;
	if (data)
		(void)unlink(data);
	return ret == 0 || s3_internal(c, &err);
}

void s3_put_part(struct s3_ctx *c)
{
	const char *number = form_get(&c->query, "partNumber");
	char name[32], etag[33], quoted[40];
	CLEANUP_FREE char *path = NULL;
	struct s3_content content;
	uint64_t n;

	if (num_parse(number, S3_PARTS_MAX, &n, NULL) < 0 || n == 0) {
		s3_refuse(c, 400, "InvalidArgument", "Part number must be an integer between 1 and %d, inclusive",
			S3_PARTS_MAX);
		return;
	}
	(void)snprintf(name, sizeof(name), "%llu.json", (unsigned long long)n);
	path = s3_upload_path(c, name);
	if (!path || s3_take_body(c, &content))
		return;
	hex_encode(etag, content.md5, sizeof(content.md5));
	if (!write_part(c, name, &content, etag)) {
		(void)snprintf(quoted, sizeof(quoted), "\"%s\"", etag);
		reply_header(c->reply, "ETag", quoted);
		s3_write_checksums(c, content.checksums);
	}
	s3_content_release(&content);
}

/* The record of part n in the upload's folder; NULL when it was not sent. */
static struct json *read_part(const char *dir, uint64_t n)
{
	CLEANUP_FREE char *path = buf_strf(NULL, "%s%llu.json", dir, (unsigned long long)n);
	struct json *doc = NULL;

	return path && s3_json_read(path, &doc, NULL) == 0 ? doc : NULL;
}

/* Removes the upload's records, and the content of its parts. */
static void drop_upload(struct s3_ctx *c, const char *dir)
{
	for (uint64_t n = 1; n <= S3_PARTS_MAX; n++) {
		CLEANUP_FREE char *file = buf_strf(NULL, "%s%llu.json", dir, (unsigned long long)n);
		CLEANUP(json_cleanup) struct json *doc = NULL;
		CLEANUP_FREE char *data = NULL;

		if (!file || s3_json_read(file, &doc, NULL) < 0 || !doc)
			continue;
		data = s3_data_path(&c->bucket, json_get_str(doc, "data", "none"), NULL);
		if (data)
			(void)unlink(data);
		(void)unlink(file);
	}
	CLEANUP_FREE char *record = buf_strf(NULL, "%supload.json", dir);
	if (record)
		(void)unlink(record);
	(void)rmdir(dir);
}

void s3_abort_upload(struct s3_ctx *c)
{
	CLEANUP_FREE char *dir = s3_upload_path(c, "");

	if (!dir)
		return;
	pthread_mutex_lock(&c->region->s3_lock);
	drop_upload(c, dir);
	pthread_mutex_unlock(&c->region->s3_lock);
	c->reply->status = 204;
}

/* Completing: parts as the body lists them. */
struct completion {
	const char *dir; /* of the upload; borrowed */
	int out;
	uint64_t size;
	struct hash_stream *etags; /* MD5 over the parts' MD5s */
	struct hash_stream *sums;  /* SHA-256 over those of the parts */
	bool unsummed;             /* a part came without one */
	uint64_t last, nr;
};

static int append_file(const struct s3_bucket *b, const char *id, struct completion *done, struct error *err)
{
	CLEANUP_FREE char *path = s3_data_path(b, id, err);
	CLEANUP_FREE uint8_t *piece = malloc(COPY_PIECE);
	CLEANUP_CLOSE int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	ssize_t n;

	if (!path || !piece)
		return path ? error_nomem(err, "part") : -1;
	if (fd < 0)
		return error_set(err, ERROR_IO, errno, "cannot open '%s'", path);
	while ((n = read(fd, piece, COPY_PIECE)) > 0) {
		if (file_pwrite_all(done->out, piece, (size_t)n, done->size, "object", err) < 0)
			return -1;
		done->size += (uint64_t)n;
	}
	return n < 0 ? error_set(err, ERROR_IO, errno, "cannot read '%s'", path) : 0;
}

/* A text between <tag> and </tag> in from..end, without quotes; true when it is not there. */
static bool element(const char *from, const char *end, const char *tag, char out[64])
{
	char open_tag[32];
	const char *at;
	size_t n = 0;

	(void)snprintf(open_tag, sizeof(open_tag), "<%s>", tag);
	at = memmem(from, (size_t)(end - from), open_tag, strlen(open_tag));
	if (!at)
		return true;
	for (at += strlen(open_tag); *at && *at != '<'; at++) {
		if (strncmp(at, "&quot;", 6) == 0)
			at += 5;
		else if (strncmp(at, "&#34;", 5) == 0)
			at += 4;
		else if (*at != '"' && n < 63)
			out[n++] = *at;
	}
	out[n] = '\0';
	return false;
}

/* A part's SHA-256: the one that the body says, if it does, is that of the part. */
static bool take_sum(struct s3_ctx *c, const char *from, const char *end, const struct json *doc,
	struct completion *done)
{
	const char *sum = json_get_str(doc, "sha256", NULL);
	CLEANUP_BUF struct buf digest = BUF_INIT(2 * SHA256_SIZE);
	struct error err = ERROR_INIT;
	char said[64];

	if (!element(from, end, "ChecksumSHA256", said) && strcmp(said, sum ? sum : "") != 0)
		return s3_refuse(c, 400, "InvalidPart",
			"One or more of the specified parts could not be found. The part may not have been "
			"uploaded, or the specified checksum may not match the part's checksum.");
	done->unsummed |= !sum;
	return sum && (base64_decode(&digest, sum, &err) < 0 ||
		hash_stream_update(done->sums, digest.data, digest.len, &err) < 0) && s3_internal(c, &err);
}

/* One <Part> of the body. */
static bool take_part(struct s3_ctx *c, const char *from, const char *end, bool last,
	struct completion *done)
{
	CLEANUP(json_cleanup) struct json *doc = NULL;
	struct error err = ERROR_INIT;
	char number[64], etag[64];
	uint8_t md5[16];
	uint64_t n;

	if (element(from, end, "PartNumber", number) || element(from, end, "ETag", etag) ||
	    num_parse(number, S3_PARTS_MAX, &n, NULL) < 0)
		return s3_refuse(c, 400, "MalformedXML", "The XML you provided was not well-formed");
	if (n <= done->last)
		return s3_refuse(c, 400, "InvalidPartOrder",
			"The list of parts was not in ascending order. Parts must be ordered by part number.");
	done->last = n;
	doc = read_part(done->dir, n);
	if (!doc || strcmp(json_get_str(doc, "etag", ""), etag) != 0 || hex_decode(md5, sizeof(md5), etag))
		return s3_refuse(c, 400, "InvalidPart",
			"One or more of the specified parts could not be found. The part may not have been "
			"uploaded, or the specified entity tag may not match the part's entity tag.");
	if (!last && json_get_int(doc, "size", 0) < part_min)
		return s3_refuse(c, 400, "EntityTooSmall",
			"Your proposed upload is smaller than the minimum allowed size");
	if (take_sum(c, from, end, doc, done))
		return true;
	done->nr++;
	if (hash_stream_update(done->etags, md5, sizeof(md5), &err) < 0 ||
	    append_file(&c->bucket, json_get_str(doc, "data", ""), done, &err) < 0)
		return s3_internal(c, &err);
	return false;
}

static bool take_parts(struct s3_ctx *c, const char *text, struct completion *done)
{
	const char *part = strstr(text, "<Part>");

	if (!part)
		return s3_refuse(c, 400, "MalformedXML", "The XML you provided lists no part");
	while (part) {
		const char *end = strstr(part, "</Part>");
		const char *next = end ? strstr(end, "<Part>") : NULL;

		if (!end)
			return s3_refuse(c, 400, "MalformedXML", "The XML you provided was not well-formed");
		if (take_part(c, part, end, next == NULL, done))
			return true;
		part = next;
	}
	return false;
}

/* The checksum of an object whose parts all had one: that of theirs, and how many there are. */
static int set_sum(struct json *doc, struct completion *done, char out[SUM_SIZE], struct error *err)
{
	CLEANUP(json_cleanup) struct json *all = NULL;
	char text[SHA256_BASE64_SIZE];
	uint8_t digest[HASH_STREAM_MAX];
	size_t len;

	out[0] = '\0';
	if (done->unsummed)
		return 0;
	all = json_new_object(err);
	if (!all || hash_stream_final(done->sums, digest, &len, err) < 0)
		return -1;
	(void)snprintf(out, SUM_SIZE, "%s-%llu", base64_sha256(text, digest), (unsigned long long)done->nr);
	if (json_set_str(all, "sha256", out, err) < 0)
		return -1;
	return json_set(doc, "checksums", steal_ptr(&all), err);
}

/* With all parts behind each other: the object under its key. */
static void finish(struct s3_ctx *c, const char *dir, struct s3_content *content, struct completion *done)
{
	CLEANUP_FREE char *record = buf_strf(NULL, "%supload.json", dir);
	CLEANUP(json_cleanup) struct json *doc = NULL;
	uint8_t md5[HASH_STREAM_MAX];
	struct error err = ERROR_INIT;
	char hex[33], etag[64], quoted[68], sum[SUM_SIZE];
	size_t len;

	if (!record || s3_json_read(record, &doc, &err) < 0 || !doc ||
	    hash_stream_final(done->etags, md5, &len, &err) < 0) {
		s3_internal(c, &err);
		return;
	}
	(void)snprintf(etag, sizeof(etag), "%s-%llu", hex_encode(hex, md5, 16), (unsigned long long)done->nr);
	content->size = done->size;
	if (set_sum(doc, done, sum, &err) < 0) {
		s3_internal(c, &err);
		return;
	}
	if (s3_publish(c, doc, content, etag))
		return;
	pthread_mutex_lock(&c->region->s3_lock);
	drop_upload(c, dir);
	pthread_mutex_unlock(&c->region->s3_lock);
	s3_write_upload(c, "CompleteMultipartUpload", NULL);
	(void)snprintf(quoted, sizeof(quoted), "\"%s\"", etag);
	xml_str(&c->xml, "ETag", quoted);
	xml_str(&c->xml, "ChecksumSHA256", sum[0] ? sum : NULL);
	xml_str(&c->xml, "ChecksumType", sum[0] ? "COMPOSITE" : NULL);
	xml_close(&c->xml, "CompleteMultipartUploadResult");
	c->reply->failed |= c->xml.failed;
}

void s3_complete_upload(struct s3_ctx *c)
{
	CLEANUP_FREE char *dir = s3_upload_path(c, "");
	CLEANUP_BUF struct buf text = BUF_INIT(S3_DOCUMENT_MAX + 1);
	struct s3_content content = {.size = 0};
	struct completion done = {.dir = dir, .out = -1};
	struct error err = ERROR_INIT;
	CLEANUP_FREE char *path = NULL;

	if (!dir || s3_body_text(c, &text, S3_DOCUMENT_MAX))
		return;
	done.etags = hash_stream_new(HASH_MD5, &err);
	done.sums = hash_stream_new(HASH_SHA256, &err);
	if (!done.etags || !done.sums || s3_new_id(c->region, content.id, &err) < 0 ||
	    !(path = s3_data_path(&c->bucket, content.id, &err))) {
		hash_stream_free(done.etags);
		hash_stream_free(done.sums);
		s3_internal(c, &err);
		return;
	}
	done.out = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (done.out < 0) {
		error_set(&err, ERROR_IO, errno, "cannot make '%s'", path);
		s3_internal(c, &err);
	} else if (take_parts(c, buf_str(&text), &done)) {
		(void)unlink(path);
	} else {
		finish(c, dir, &content, &done);
	}
	cleanup_close_p(&done.out);
	hash_stream_free(done.etags);
	hash_stream_free(done.sums);
}
