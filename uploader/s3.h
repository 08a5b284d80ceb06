/* SPDX-License-Identifier: Apache-2.0 */
/*
 * S3 as far as bundles need it: buckets in the right Region, objects whole or in ranges, lists. The REST
 * API of 2006-03-01. Names are checked before any call; what is sent carries its SHA-256, in the
 * signature and as x-amz-checksum-sha256, and the answer is held against it; what comes is held against the
 * length and the checksum that the answer announces.
 */
#ifndef AMIWRIGHT_UPLOADER_S3_H
#define AMIWRIGHT_UPLOADER_S3_H

#include "uploader/aws.h"

enum { S3_NAME_SIZE = 64, S3_REGION_SIZE = 48, S3_ETAG_SIZE = 80, S3_KEY_MAX = 1024,
	S3_SUM_SIZE = SHA256_BASE64_SIZE + 6 };

#define S3_XMLNS "http://s3.amazonaws.com/doc/2006-03-01/"

/*
 * What a bucket may be called: 3 to 63 of a-z 0-9 . -, letters and digits at the ends of each label, no address
 * ("General purpose bucket naming rules", S3 User Guide). ERROR_USAGE.
 */
int s3_check_name(const char *bucket, struct error *err) MUST_CHECK;
/* 1 to 1024 bytes of UTF-8 without control characters, not beginning with '/'. ERROR_USAGE. */
int s3_check_key(const char *key, struct error *err) MUST_CHECK;

/* "s3://bucket/key" or "bucket/key"; key may be "" and is the caller's to free. ERROR_USAGE. */
struct s3_url {
	char bucket[S3_NAME_SIZE];
	char *key;
};
int s3_url_parse(const char *text, struct s3_url *out, struct error *err) MUST_CHECK;
void s3_url_release(struct s3_url *u);

/* The clients of all Regions, one of which a bucket turns out to be in. */
struct s3_regions {
	struct aws *(*client)(void *arg, const char *region, struct error *err); /* NULL: the chosen one */
	void *arg;
};

/* A bucket, and the client of its Region. */
struct s3_place {
	struct aws *aws;      /* borrowed */
	char name[S3_NAME_SIZE];
};

/*
 * Finds the bucket's Region, by HeadBucket and what the answer says of another Region, else by
 * GetBucketLocation. ERROR_SERVICE with code NoSuchBucket when it is not there.
 */
int s3_open(struct s3_place *place, const struct s3_regions *regions, const char *bucket,
	struct error *err) MUST_CHECK;
/*
 * Makes it in the client's Region, with ACLs that hold (object ownership ObjectWriter); one that is ours
 * already is fine, whatever Region it is in.
 */
int s3_create(struct aws *aws, const char *bucket, struct error *err) MUST_CHECK;
/* Deletes it; *empty false: it stays, because something is in it. */
int s3_remove(const struct s3_place *place, bool *empty, struct error *err) MUST_CHECK;
/* The Region that the service names, "us-east-1" for its empty word. */
int s3_location(struct aws *aws, const char *bucket, char region[S3_REGION_SIZE], struct error *err)
	MUST_CHECK;

/* What is sent as an object. */
struct s3_put {
	const char *key, *acl, *type;  /* canned ACL, content type; NULL: none is sent */
	const void *body;              /* borrowed until done */
	size_t len;
	uint8_t sha256[SHA256_SIZE];   /* of the body */
	bool if_none;                  /* HTTP 412 when there is an object of that key */
};
/* Prepares PutObject; the caller sets done and arg, and aws_start()s it. */
int s3_put_init(const struct s3_place *place, struct aws_call *call, const struct s3_put *put,
	struct error *err) MUST_CHECK;
/*
 * The same done, the digest reckoned here. With if_none err->http_status is 412 when an object of
 * another content is there.
 */
int s3_put_now(const struct s3_place *place, struct s3_put *put, struct error *err) MUST_CHECK;
/* Prepares PutObjectAcl: a canned ACL on an object that is there. */
int s3_acl_init(const struct s3_place *place, struct aws_call *call, const char *key, const char *acl,
	struct error *err) MUST_CHECK;
/*
 * The aws_call.check of what carries a body: the answer's checksum, or its ETag where that is the MD5,
 * against the body.
 */
int s3_check_sent(const struct aws_call *call, struct error *err) MUST_CHECK;
/* Says of a refused ACL what helps; returns -1. */
int s3_explain_acl(const struct s3_place *place, const char *acl, struct error *err);

struct s3_object {
	bool found;
	uint64_t size;
	char etag[S3_ETAG_SIZE];              /* with its quotes */
	/* Its checksum as base64; "" when it has none. Of N parts it is that of their digests, "…-N". */
	char sha256[S3_SUM_SIZE];
};
/* HeadObject; one that is not there is no error. */
int s3_head(const struct s3_place *place, const char *key, struct s3_object *out, struct error *err)
	MUST_CHECK;

/*
 * Prepares GetObject of len bytes (> 0) from off, fewer at the end; etag: of the object that an earlier part came
 * from, NULL for the first. In done() http.answer is the range, and s3_got() says what it is part of.
 */
int s3_get_init(const struct s3_place *place, struct aws_call *call, const char *key, uint64_t off,
	size_t len, const char *etag, struct error *err) MUST_CHECK;
/*
 * After done(), whether it went well or not: 0 with the object's size and ETag; an empty object, which has no
 * range, is none of an error.
 */
int s3_got(const struct aws_call *call, uint64_t *size, char etag[S3_ETAG_SIZE], struct error *err)
	MUST_CHECK;
/* A whole small object into out, up to out's ceiling. ERROR_SERVICE with code NoSuchKey. */
int s3_get_now(const struct s3_place *place, const char *key, struct buf *out, struct error *err)
	MUST_CHECK;

/* One that is not there is gone. */
int s3_delete(const struct s3_place *place, const char *key, struct error *err) MUST_CHECK;
/* Calls found() for each object whose key begins with prefix, in the order of keys. */
int s3_list(const struct s3_place *place, const char *prefix,
	int (*found)(void *arg, const char *key, uint64_t size, struct error *err), void *arg,
	struct error *err) MUST_CHECK;

/* Inside s3*.c: the two halves of s3_head() and s3_delete(), for several at a time. */
int s3_head_init(const struct s3_place *place, struct aws_call *call, const char *key, struct error *err) MUST_CHECK;
int s3_head_got(const struct s3_place *place, const struct aws_call *call, const char *key, struct s3_object *out,
	struct error *err) MUST_CHECK;
int s3_delete_init(const struct s3_place *place, struct aws_call *call, const char *key, struct error *err)
	MUST_CHECK;
int s3_delete_got(const struct aws_call *call, struct error *err) MUST_CHECK;
/* Inside s3*.c: how long a call may take that moves so many bytes, on a slow line and with others beside it. */
unsigned s3_attempt_ms(size_t len);
/* Inside s3*.c: a call on a key, or with key NULL on the bucket; query "" or "?…". */
int s3_call_init(const struct s3_place *place, struct aws_call *call, const char *method, const char *key,
	const char *query, const char *operation, struct error *err) MUST_CHECK;

#endif
