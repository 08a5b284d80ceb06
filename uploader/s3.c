/* SPDX-License-Identifier: Apache-2.0 */
/* Calls on objects. */
#include "uploader/s3.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/hash_stream.h"
#include "base/num.h"
#include "base/xmldoc.h"
#include "uploader/paging.h"
#include "uploader/sigv4.h"

enum {
	SMALL_ANSWER = 64 * 1024,
	LIST_ANSWER = 8 * 1024 * 1024,
	LIST_PAGES_MAX = 100000,
	MAX_EMPTY_PAGES = 1000, /* 1.6 minutes at 0.1 s each; one that leads round is found before */
	ATTEMPT_MS = 120000,
	SLOW_RATE = 32000, /* bytes a second */
};

/* The end of a long key says more than its beginning. */
static void set_subject(const struct s3_place *place, struct aws_call *call, const char *key)
{
	CLEANUP_FREE char *text = buf_strf(NULL, "%s%s%s", place->name, key ? "/" : "", key ? key : "");
	size_t len = text ? strlen(text) : 0;

	if (len < sizeof(call->subject))
		snprintf(call->subject, sizeof(call->subject), "%s", text ? text : "");
	else
		snprintf(call->subject, sizeof(call->subject), "...%.59s", text + len - 59);
}

/* A line of 2 Mbit/s has 32 kB/s for each of eight calls. What stands still is found by its stalling. */
unsigned s3_attempt_ms(size_t len)
{
	return ATTEMPT_MS + (unsigned)(len / (SLOW_RATE / 1000));
}

int s3_call_init(const struct s3_place *place, struct aws_call *call, const char *method, const char *key,
	const char *query, const char *operation, struct error *err)
{
	CLEANUP_BUF struct buf path = BUF_INIT(0);

	if ((key && s3_check_key(key, err) < 0) || buf_add_char(&path, '/', err) < 0 ||
	    (key && sigv4_encode(&path, key, strlen(key), true, err) < 0) ||
	    buf_add_str(&path, query, err) < 0 ||
	    aws_call_init_bucket(place->aws, call, method, place->name, buf_str(&path), false, operation,
		    err) < 0)
		return -1;
	set_subject(place, call, key);
	call->http.max_answer = SMALL_ANSWER;
	return 0;
}

static int md5_hex(const struct aws_call *call, char hex[33], struct error *err)
{
	CLEANUP(hash_stream_cleanup) struct hash_stream *h = hash_stream_new(HASH_MD5, err);
	uint8_t digest[HASH_STREAM_MAX];
	size_t len;

	if (!h || hash_stream_update(h, call->http.body, call->http.body_len, err) < 0 ||
	    hash_stream_final(h, digest, &len, err) < 0)
		return -1;
	hex_encode(hex, digest, 16);
	return 0;
}

static const char *sent_header(const struct aws_call *call, const char *name)
{
	for (size_t i = 0; i < call->http.nr_headers; i++)
		if (strcmp(call->http.headers[i].name, name) == 0)
			return call->http.headers[i].value;
	return "";
}

int s3_check_sent(const struct aws_call *call, struct error *err)
{
	const char *theirs = http_answer_header(&call->http, "x-amz-checksum-sha256");
	const char *etag = http_answer_header(&call->http, "ETag");
	const char *encryption = http_answer_header(&call->http, "x-amz-server-side-encryption");
	char hex[33];

	if (!etag)
		return error_set(err, ERROR_SERVICE, 0, "the answer has no ETag");
	if (theirs && strcmp(theirs, sent_header(call, "x-amz-checksum-sha256")) != 0)
		return error_set(err, ERROR_SERVICE, 0,
			"the service has another content than was sent: its SHA-256 is %.60s", theirs);
	/* It is the MD5 only when the content is kept as it came or under S3's own key. */
	if (theirs || strlen(etag) != 34 || (encryption && strcmp(encryption, "AES256") != 0))
		return 0;
	if (md5_hex(call, hex, err) < 0)
		return -1;
	if (strncasecmp(hex, etag + 1, 32) != 0)
		return error_set(err, ERROR_SERVICE, 0,
			"the service has another content than was sent: its ETag is %.60s", etag);
	return 0;
}

int s3_put_init(const struct s3_place *place, struct aws_call *call, const struct s3_put *put,
	struct error *err)
{
	char sum[SHA256_BASE64_SIZE];

	if (s3_call_init(place, call, "PUT", put->key, "", "PutObject", err) < 0)
		return -1;
	call->http.body = put->body;
	call->http.body_len = put->len;
	call->http.attempt_ms = s3_attempt_ms(put->len);
	call->check = s3_check_sent;
	hex_encode(call->payload_hash, put->sha256, SHA256_SIZE);
	if (http_add_header(&call->http, "x-amz-checksum-sha256", base64_sha256(sum, put->sha256), err) == 0 &&
	    (!put->acl || http_add_header(&call->http, "x-amz-acl", put->acl, err) == 0) &&
	    (!put->type || http_add_header(&call->http, "Content-Type", put->type, err) == 0) &&
	    (!put->if_none || http_add_header(&call->http, "If-None-Match", "*", err) == 0))
		return 0;
	aws_call_release(call);
	return -1;
}

int s3_acl_init(const struct s3_place *place, struct aws_call *call, const char *key, const char *acl,
	struct error *err)
{
	if (s3_call_init(place, call, "PUT", key, "?acl", "PutObjectAcl", err) < 0)
		return -1;
	if (http_add_header(&call->http, "x-amz-acl", acl, err) == 0)
		return 0;
	aws_call_release(call);
	return -1;
}

int s3_explain_acl(const struct s3_place *place, const char *acl, struct error *err)
{
	if (strcmp(err->code, "AccessControlListNotSupported") == 0)
		return error_wrap(err,
			"bucket '%s' takes no ACLs, and EC2 reads a bundle by the ACL %s: set the bucket's object "
			"ownership to ObjectWriter ('aws s3api put-bucket-ownership-controls --bucket %s "
			"--ownership-controls Rules=[{ObjectOwnership=ObjectWriter}]'), or let --create-bucket make "
			"another bucket",
			place->name, acl, place->name);
	if (err->http_status == 403 && strncmp(acl, "public", 6) == 0)
		return error_wrap(err,
			"the ACL %s was refused: the block of public access of bucket '%s' or of the account may "
			"forbid it",
			acl, place->name);
	return -1;
}

static void read_object(const struct aws_call *call, struct s3_object *out)
{
	const char *etag = http_answer_header(&call->http, "ETag");
	const char *length = http_answer_header(&call->http, "Content-Length");
	const char *sum = http_answer_header(&call->http, "x-amz-checksum-sha256");

	out->found = true;
	snprintf(out->etag, sizeof(out->etag), "%s", etag ? etag : "");
	if (!length || num_parse(length, INT64_MAX, &out->size, NULL) < 0)
		out->size = UINT64_MAX;
	if (sum && strlen(sum) < sizeof(out->sha256))
		memcpy(out->sha256, sum, strlen(sum) + 1);
}

int s3_head_init(const struct s3_place *place, struct aws_call *call, const char *key, struct error *err)
{
	if (s3_call_init(place, call, "HEAD", key, "", "HeadObject", err) < 0)
		return -1;
	if (http_add_header(&call->http, "x-amz-checksum-mode", "ENABLED", err) == 0)
		return 0;
	aws_call_release(call);
	return -1;
}

int s3_head_got(const struct s3_place *place, const struct aws_call *call, const char *key, struct s3_object *out,
	struct error *err)
{
	memset(out, 0, sizeof(*out));
	if (call->ok)
		read_object(call, out);
	if (call->ok || call->http.status == 404)
		return 0;
	if (err)
		*err = call->error;
	if (call->http.status == 403)
		error_wrap(err, "this account may not ask for s3://%s/%s (s3:GetObject and s3:ListBucket)", place->name,
			key);
	return -1;
}

/* Performs it; true when it came to an answer or the want of one, which the call tells of; else err does. */
static bool perform(struct aws *aws, struct aws_call *call, struct error *err)
{
	struct error why = ERROR_INIT;

	if (aws_perform(aws, call, &why) == 0 || (call->error.kind != ERROR_NONE && why.kind != ERROR_INTERRUPTED))
		return true;
	if (err)
		*err = why;
	return false;
}

int s3_head(const struct s3_place *place, const char *key, struct s3_object *out, struct error *err)
{
	struct aws_call call;
	int ret;

	memset(out, 0, sizeof(*out));
	if (s3_head_init(place, &call, key, err) < 0)
		return -1;
	ret = perform(place->aws, &call, err) ? s3_head_got(place, &call, key, out, err) : -1;
	aws_call_release(&call);
	return ret;
}

/* A repeat of a call whose answer was lost meets its own object; and who was faster may have brought the same. */
static bool is_there(const struct s3_place *place, const struct s3_put *put)
{
	char sum[SHA256_BASE64_SIZE];
	struct error why = ERROR_INIT;
	struct s3_object object;

	return s3_head(place, put->key, &object, &why) == 0 && object.found && object.size == put->len &&
	       strcmp(object.sha256, base64_sha256(sum, put->sha256)) == 0;
}

int s3_put_now(const struct s3_place *place, struct s3_put *put, struct error *err)
{
	struct aws_call call;
	int ret;

	if (sha256(put->body, put->len, put->sha256, err) < 0 || s3_put_init(place, &call, put, err) < 0)
		return -1;
	ret = aws_perform(place->aws, &call, err);
	if (ret < 0 && call.http.status == 412 && is_there(place, put)) {
		error_clear(err);
		ret = 0;
	}
	aws_call_release(&call);
	return ret;
}

/* "bytes a-b/size" of the answer; false when it is none. */
static bool content_range(const struct aws_call *call, uint64_t *from, uint64_t *to, uint64_t *size)
{
	const char *text = http_answer_header(&call->http, "Content-Range");

	return text && sscanf(text, "bytes %" SCNu64 "-%" SCNu64 "/%" SCNu64, from, to, size) == 3 &&
	       *from <= *to && *to < *size;
}

/* The length that came is that of the range, the range is the one that was asked for. */
static int check_range(const struct aws_call *call, struct error *err)
{
	uint64_t from, to, size, asked_from, asked_to;

	if (!http_answer_header(&call->http, "ETag"))
		return error_set(err, ERROR_SERVICE, 0, "the answer has no ETag");
	if (call->http.status != 206 || !content_range(call, &from, &to, &size))
		return error_set(err, ERROR_SERVICE, 0,
			"the answer is not the range that was asked for");
	if (sscanf(sent_header(call, "Range"), "bytes=%" SCNu64 "-%" SCNu64, &asked_from, &asked_to) != 2 ||
	    from != asked_from || to != MIN(asked_to, size - 1) || call->http.answer.len != to - from + 1)
		return error_set(err, ERROR_SERVICE, 0,
			"the answer has %zu bytes as bytes %" PRIu64 "-%" PRIu64 ", asked for was %s",
			call->http.answer.len, from, to, sent_header(call, "Range"));
	return 0;
}

int s3_get_init(const struct s3_place *place, struct aws_call *call, const char *key, uint64_t off,
	size_t len, const char *etag, struct error *err)
{
	char range[64];

	if (s3_call_init(place, call, "GET", key, "", "GetObject", err) < 0)
		return -1;
	snprintf(range, sizeof(range), "bytes=%" PRIu64 "-%" PRIu64, off, off + len - 1);
	call->check = check_range;
	/* Error answers are larger than a range may be. */
	call->http.max_answer = MAX(len, (size_t)SMALL_ANSWER);
	call->http.attempt_ms = s3_attempt_ms(len);
	if (http_add_header(&call->http, "Range", range, err) == 0 &&
	    (!etag || http_add_header(&call->http, "If-Match", etag, err) == 0))
		return 0;
	aws_call_release(call);
	return -1;
}

int s3_got(const struct aws_call *call, uint64_t *size, char etag[S3_ETAG_SIZE], struct error *err)
{
	uint64_t from, to;
	const char *text = http_answer_header(&call->http, "ETag");

	snprintf(etag, S3_ETAG_SIZE, "%s", text ? text : "");
	*size = 0;
	if (call->ok)
		return content_range(call, &from, &to, size) ? 0 :
				error_set(err, ERROR_BUG, 0, "%s: an answer that was not looked at", call->operation);
	/* From 0 on, no range fits an empty object alone. */
	if (call->http.status == 416 && strncmp(sent_header(call, "Range"), "bytes=0-", 8) == 0)
		return 0;
	if (err)
		*err = call->error;
	if (call->http.status == 412)
		return error_wrap(err, "the object was replaced while it was read");
	return -1;
}

int s3_get_now(const struct s3_place *place, const char *key, struct buf *out, struct error *err)
{
	char etag[S3_ETAG_SIZE];
	struct aws_call call;
	uint64_t size;
	int ret;

	if (s3_get_init(place, &call, key, 0, buf_room(out), NULL, err) < 0)
		return -1;
	ret = perform(place->aws, &call, err) ? s3_got(&call, &size, etag, err) : -1;
	if (ret == 0 && size > call.http.answer.len && call.ok)
		ret = error_set(err, ERROR_INPUT, 0, "s3://%s/%s has %" PRIu64 " bytes, more than the %zu that such a "
						     "file may have", place->name, key, size, call.http.answer.len);
	if (ret == 0 && call.ok)
		ret = buf_add(out, call.http.answer.data, call.http.answer.len, err);
	aws_call_release(&call);
	return ret;
}

int s3_delete_init(const struct s3_place *place, struct aws_call *call, const char *key, struct error *err)
{
	return s3_call_init(place, call, "DELETE", key, "", "DeleteObject", err);
}

int s3_delete_got(const struct aws_call *call, struct error *err)
{
	if (call->ok || (call->http.status == 404 && strcmp(call->error.code, "NoSuchKey") == 0))
		return 0;
	if (err)
		*err = call->error;
	return -1;
}

int s3_delete(const struct s3_place *place, const char *key, struct error *err)
{
	struct aws_call call;
	int ret;

	if (s3_delete_init(place, &call, key, err) < 0)
		return -1;
	ret = perform(place->aws, &call, err) ? s3_delete_got(&call, err) : -1;
	aws_call_release(&call);
	return ret;
}

/* A list on its way. */
struct listing {
	const struct s3_place *place;
	const char *prefix;
	int (*found)(void *arg, const char *key, uint64_t size, struct error *err);
	void *arg;
	char token[1100]; /* of the next page; "": the first, or none */
	struct paging paging;
};

static int list_query(const struct listing *l, struct buf *query, struct error *err)
{
	if (buf_add_str(query, "?list-type=2&prefix=", err) < 0 ||
	    sigv4_encode(query, l->prefix, strlen(l->prefix), false, err) < 0)
		return -1;
	if (!l->token[0])
		return 0;
	return buf_add_str(query, "&continuation-token=", err) < 0 ?
			-1 : sigv4_encode(query, l->token, strlen(l->token), false, err);
}

/* Entries of a page, and the token of the one behind it. */
static int read_page(struct listing *l, const struct aws_call *call, struct error *err)
{
	CLEANUP(xmldoc_cleanup) struct xmldoc *doc =
		aws_answer_xml(buf_str(&call->http.answer), call->http.answer.len, err);
	const struct xmldoc_node *first, *root = doc ? xmldoc_root(doc) : NULL;
	char key[S3_KEY_MAX + 1];

	if (!doc)
		return -1;
	first = xmldoc_child(root, "Contents");
	for (const struct xmldoc_node *n = first; n; n = xmldoc_next(n)) {
		xmldoc_child_text(n, "Key", key, sizeof(key));
		if (strncmp(key, l->prefix, strlen(l->prefix)) != 0)
			return error_set(err, ERROR_SERVICE, 0, "%s answered '%.100s', which was not asked for",
				call->operation, key);
		if (l->found(l->arg, key, xmldoc_child_number(n, "Size", 0), err) < 0)
			return -1;
	}
	l->token[0] = '\0';
	if (xmldoc_child_bool(root, "IsTruncated", false))
		xmldoc_child_text(root, "NextContinuationToken", l->token, sizeof(l->token));
	return l->token[0] ? paging_next(&l->paging, !first, l->token, call->operation, err) : 0;
}

static int list_page(struct listing *l, struct error *err)
{
	CLEANUP_BUF struct buf query = BUF_INIT(0);
	struct aws_call call;
	int ret;

	if (list_query(l, &query, err) < 0 ||
	    s3_call_init(l->place, &call, "GET", NULL, buf_str(&query), "ListObjectsV2", err) < 0)
		return -1;
	call.http.max_answer = LIST_ANSWER;
	ret = aws_perform(l->place->aws, &call, err);
	if (ret == 0)
		ret = read_page(l, &call, err);
	aws_call_release(&call);
	return ret;
}

int s3_list(const struct s3_place *place, const char *prefix,
	int (*found)(void *arg, const char *key, uint64_t size, struct error *err), void *arg,
	struct error *err)
{
	struct listing l = {.place = place, .prefix = prefix, .found = found, .arg = arg,
		.paging = {.max_empty = MAX_EMPTY_PAGES}};
	int ret = 0;

	for (int page = 0; ret == 0 && (page == 0 || l.token[0]); page++)
		ret = page < LIST_PAGES_MAX ? list_page(&l, err) :
			error_set(err, ERROR_SERVICE, 0, "ListObjectsV2 %s has no end", place->name);
	paging_release(&l.paging);
	return ret;
}
