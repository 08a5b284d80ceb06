/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the S3 files share: s3.c (routes, buckets), s3_store.c (the folder), s3_body.c (uploads and
 * their checksums), s3_object.c, s3_delete.c, s3_acl.c, s3_list.c, s3_multipart.c,
 * s3_uploads.c. Folder, in DIR/regions/NAME/:
 *
 *   buckets/B/bucket.json         owner, created, ownership
 *   buckets/B/objects/H.json      an object's record; H is the SHA-256 of its key
 *   buckets/B/data/ID             content that a record names
 *   buckets/B/uploads/U/upload.json and N.json: a multipart upload and its parts
 *
 * A record is written whole after its content is there; what a kill leaves of content is not named
 * by any record.
 */
#ifndef AMIWRIGHT_UPLOADER_REGION_S3_INTERNAL_H
#define AMIWRIGHT_UPLOADER_REGION_S3_INTERNAL_H

#include "uploader/region/form.h"
#include "uploader/region/region_internal.h"
#include "uploader/region/xml.h"

enum {
	S3_BUCKET_SIZE = 64,
	S3_KEY_SIZE = 1025,
	S3_TEXT_SIZE = 128,
	S3_ID_SIZE = 33,
	S3_PARTS_MAX = 10000,
	S3_SMALL_BODY = 1024 * 1024,
	/* A list of all parts, each with its number, its ETag and every kind of checksum: 430 bytes with indents. */
	S3_DOCUMENT_MAX = S3_PARTS_MAX * 512,
};

#define S3_OBJECT_MAX (5 * (UINT64_C(1) << 30)) /* bytes of one PUT */

#define S3_NAMESPACE "http://s3.amazonaws.com/doc/2006-03-01/"

/* A bucket that is there. */
struct s3_bucket {
	char *dir;             /* owned; NULL: none */
	const char *region;    /* borrowed of the store */
	struct json *doc;      /* owned */
};

struct s3_ctx {
	struct region *region;
	const char *signed_region, *account;
	const struct request *req;
	struct reply *reply;
	struct form query;
	char bucket_name[S3_BUCKET_SIZE], key[S3_KEY_SIZE]; /* "" without */
	bool by_host;          /* the bucket's name stands in the host, not in the path */
	struct s3_bucket bucket;
	struct xml xml;
};

/* An error answer; always true. */
bool s3_refuse(struct s3_ctx *c, unsigned status, const char *code, const char *fmt, ...) PRINTF_LIKE(4, 5);
bool s3_internal(struct s3_ctx *c, const struct error *err);

/* s3_store.c. With r->s3_lock held where a record is read and written. */
int s3_bucket_find(struct region *r, const char *name, struct s3_bucket *out, struct error *err) MUST_CHECK;
/* The wanted-th bucket of all; true when there are not so many. *name is the caller's. */
bool s3_bucket_at(struct region *r, size_t wanted, char **name, struct s3_bucket *out);
void s3_bucket_release(struct s3_bucket *b);
int s3_bucket_create(struct s3_ctx *c, const char *region, const char *ownership, struct error *err) MUST_CHECK;
/* True when it has objects. */
bool s3_bucket_has_objects(const struct s3_bucket *b);
int s3_bucket_remove(const struct s3_bucket *b, struct error *err) MUST_CHECK;
/* NULL with err clear when there is no such object. */
struct json *s3_object_read(const struct s3_bucket *b, const char *key, struct error *err);
/* Writes the record; content that an earlier one named goes. */
int s3_object_write(const struct s3_bucket *b, const char *key, const struct json *doc, struct error *err) MUST_CHECK;
/* The record alone: its content stays. */
int s3_object_rewrite(const struct s3_bucket *b, const char *key, const struct json *doc, struct error *err) MUST_CHECK;
int s3_bucket_save(const struct s3_bucket *b, struct error *err) MUST_CHECK;
int s3_object_remove(const struct s3_bucket *b, const char *key, struct error *err) MUST_CHECK;
char *s3_data_path(const struct s3_bucket *b, const char *id, struct error *err) MUST_CHECK;
int s3_json_read(const char *path, struct json **doc, struct error *err) MUST_CHECK;
int s3_json_write(const char *path, const struct json *doc, struct error *err) MUST_CHECK;
int s3_new_id(struct region *r, char out[S3_ID_SIZE], struct error *err) MUST_CHECK;

/* s3_body.c: content on its way in. */
struct s3_content {
	char id[S3_ID_SIZE];   /* its name under data/ */
	uint64_t size;
	uint8_t md5[16];
	struct json *checksums; /* {"sha256": base64 …} of those that were sent; owned */
};
/* Takes chunks apart, checks what the request says of its body. True with an answer when wrong. */
bool s3_take_body(struct s3_ctx *c, struct s3_content *content);
void s3_content_release(struct s3_content *content);
/* A body of max bytes at most as text; true with an answer when it is larger. */
bool s3_body_text(struct s3_ctx *c, struct buf *text, uint64_t max);

/* The calls on an object or a bucket. */
void s3_put_object(struct s3_ctx *c);
void s3_get_object(struct s3_ctx *c);
void s3_delete_object(struct s3_ctx *c);
void s3_delete_objects(struct s3_ctx *c);
void s3_get_acl(struct s3_ctx *c);
void s3_put_acl(struct s3_ctx *c);
void s3_get_ownership(struct s3_ctx *c);
void s3_put_ownership(struct s3_ctx *c);
void s3_list_objects(struct s3_ctx *c);
void s3_create_upload(struct s3_ctx *c);
void s3_put_part(struct s3_ctx *c);
void s3_list_parts(struct s3_ctx *c);
void s3_list_uploads(struct s3_ctx *c);
void s3_complete_upload(struct s3_ctx *c);
void s3_abort_upload(struct s3_ctx *c);
/* Path of a file of the upload that the query names; NULL with an answer when there is none. */
char *s3_upload_path(struct s3_ctx *c, const char *name);
/* Begins the answer "<root>Result"; id NULL: without one. */
void s3_write_upload(struct s3_ctx *c, const char *root, const char *id);
/* Whether it is a canned ACL, and the bucket has ACLs; true with an answer when not. */
bool s3_check_acl(struct s3_ctx *c, const char *acl);
/* x-amz-checksum-* of a list {"sha256": base64 …}. */
void s3_write_checksums(struct s3_ctx *c, const struct json *all);
/* Of PutObject and CreateMultipartUpload: what the headers say, into a record. */
bool s3_take_headers(struct s3_ctx *c, struct json *doc);
/* The object's record from what was sent, which goes when that fails; replies with ETag. etag without quotes. */
bool s3_publish(struct s3_ctx *c, struct json *doc, const struct s3_content *content, const char *etag);

#endif
