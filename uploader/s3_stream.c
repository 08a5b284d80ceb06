/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CreateMultipartUpload, UploadPart, CompleteMultipartUpload. The last may answer 200 and still say <Error>; and a
 * repeat of one whose answer was lost may hear that there is no such upload, or that the key is taken: then the
 * object is looked at. What fails is aborted, as parts that nobody completes are paid for.
 */
#include "uploader/s3_stream.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/num.h"
#include "base/xmldoc.h"
#include "uploader/s3_sender.h"
#include "uploader/sigv4.h"

enum { PART_LEN = 16 * 1024 * 1024, PARTS_MAX = 10000, PARTS_A_LENGTH = 1250, DEPTH = 4, ID_SIZE = 1100,
	ABORTS_MAX = 2, COMPLETE_MS = 600000 };

struct part {
	char etag[S3_ETAG_SIZE];
	uint8_t sha256[SHA256_SIZE];
};

struct s3_stream {
	struct s3_place place;
	struct s3_stream_opts opts;
	struct buf part;          /* being filled */
	uint64_t size;            /* bytes so far */
	char *id;                 /* of the upload, encoded for a query; NULL: none was begun; owned */
	struct part *parts;       /* PARTS_MAX; each its call's alone until the sender is finished; owned */
	size_t nr;                /* parts that were given to the sender */
	char sum[S3_SUM_SIZE];    /* the checksum that the object of parts has */
	struct s3_sender *sender;
};

static int taken(const struct s3_stream *s, struct error *err)
{
	return error_set(err, ERROR_POLICY, 0, "s3://%s/%s is there: give --force to replace it, or another name",
		s->place.name, s->opts.key);
}

struct s3_stream *s3_stream_new(const struct s3_place *place, const struct s3_stream_opts *opts,
	struct error *err)
{
	struct s3_stream *s = calloc(1, sizeof(*s));
	struct s3_object object = {.found = false};

	if (!s)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for an upload");
	s->place = *place;
	s->opts = *opts;
	buf_init(&s->part, PART_LEN);
	if (s3_check_key(opts->key, err) == 0 && (opts->replace || s3_head(place, opts->key, &object, err) == 0) &&
	    !(object.found && taken(s, err) < 0))
		return s;
	s3_stream_free(s);
	return NULL;
}

/* What the object will have is said at the beginning. */
static int add_headers(const struct s3_stream *s, struct aws_call *call, struct error *err)
{
	const struct s3_stream_opts *o = &s->opts;

	if (http_add_header(&call->http, "x-amz-checksum-algorithm", "SHA256", err) < 0 ||
	    (o->acl && http_add_header(&call->http, "x-amz-acl", o->acl, err) < 0) ||
	    (o->type && http_add_header(&call->http, "Content-Type", o->type, err) < 0))
		return -1;
	return 0;
}

static int read_id(struct s3_stream *s, const struct aws_call *call, struct error *err)
{
	CLEANUP(xmldoc_cleanup) struct xmldoc *doc =
		aws_answer_xml(buf_str(&call->http.answer), call->http.answer.len, err);
	CLEANUP_BUF struct buf encoded = BUF_INIT(0);
	char id[ID_SIZE] = "";

	if (!doc)
		return -1;
	xmldoc_child_text(xmldoc_root(doc), "UploadId", id, sizeof(id));
	if (!id[0] || strlen(id) >= sizeof(id) - 1)
		return error_set(err, ERROR_SERVICE, 0, "CreateMultipartUpload answered without an upload id");
	if (sigv4_encode(&encoded, id, strlen(id), false, err) < 0)
		return -1;
	s->id = buf_steal(&encoded, err);
	return s->id ? 0 : -1;
}

static void on_part(struct aws_call *call, void *parcel)
{
	const char *etag = http_answer_header(&call->http, "ETag");
	struct s3_parcel *p = parcel;
	struct s3_stream *s = p->arg;
	struct error why = call->error;
	bool ok = call->ok;

	if (ok)
		snprintf(s->parts[p->number - 1].etag, S3_ETAG_SIZE, "%s", etag ? etag : "");
	aws_call_release(call);
	s3_sender_over(p, ok ? NULL : &why);
}

static int start_part(void *arg, struct s3_parcel *p, struct error *err)
{
	struct s3_stream *s = arg;
	CLEANUP_FREE char *query = buf_strf(err, "?partNumber=%zu&uploadId=%s", p->number, s->id);
	struct aws_call *call = &p->call;
	char sum[SHA256_BASE64_SIZE];

	memcpy(s->parts[p->number - 1].sha256, p->sha256, SHA256_SIZE);
	if (!query || s3_call_init(&s->place, call, "PUT", s->opts.key, query, "UploadPart", err) < 0)
		return -1;
	call->http.body = p->data.data;
	call->http.body_len = p->data.len;
	call->http.attempt_ms = s3_attempt_ms(p->data.len);
	call->check = s3_check_sent;
	hex_encode(call->payload_hash, p->sha256, SHA256_SIZE);
	if (http_add_header(&call->http, "x-amz-checksum-sha256", base64_sha256(sum, p->sha256), err) == 0)
		return s3_sender_call(p, on_part, err);
	aws_call_release(call);
	return -1;
}

static int begin(struct s3_stream *s, struct error *err)
{
	const struct s3_sender_opts how = {.depth = DEPTH, .start = start_part, .arg = s};
	struct aws_call call;
	int ret;

	s->parts = calloc(PARTS_MAX, sizeof(*s->parts));
	if (!s->parts)
		return error_nomem(err, "the parts of an upload");
	if (s3_call_init(&s->place, &call, "POST", s->opts.key, "?uploads", "CreateMultipartUpload", err) < 0)
		return -1;
	ret = add_headers(s, &call, err);
	if (ret == 0)
		ret = aws_perform(s->place.aws, &call, err);
	if (ret == 0)
		ret = read_id(s, &call, err);
	aws_call_release(&call);
	if (ret < 0)
		return -1;
	s->sender = s3_sender_new(s->place.aws, &how, err);
	return s->sender ? 0 : -1;
}

static int send_part(struct s3_stream *s, struct error *err)
{
	if (!s->id && begin(s, err) < 0)
		return -1;
	if (s->nr == PARTS_MAX)
		return error_set(err, ERROR_INPUT, 0, "s3://%s/%s would have over %" PRIu64
			" bytes, more than an upload in parts can have", s->place.name, s->opts.key, s->size);
	if (s3_sender_put(s->sender, NULL, s->nr + 1, &s->part, err) < 0)
		return -1;
	s->nr++;
	buf_init(&s->part, (size_t)PART_LEN << s->nr / PARTS_A_LENGTH);
	return 0;
}

int s3_stream_write(struct s3_stream *s, const void *data, size_t len, struct error *err)
{
	const uint8_t *p = data;

	while (len) {
		size_t step = MIN(len, buf_room(&s->part));

		if (buf_add(&s->part, p, step, err) < 0)
			return -1;
		s->size += step;
		p += step;
		len -= step;
		if (buf_room(&s->part) == 0 && send_part(s, err) < 0)
			return -1;
	}
	return 0;
}

/* The checksum that the service makes of those of the parts. */
static int sum_parts(struct s3_stream *s, struct error *err)
{
	struct sha256 *hash = sha256_new(err);
	uint8_t digest[SHA256_SIZE];
	char text[SHA256_BASE64_SIZE];
	int ret = hash ? 0 : -1;

	for (size_t i = 0; i < s->nr && !ret; i++)
		ret = sha256_update(hash, s->parts[i].sha256, SHA256_SIZE, err);
	if (!ret)
		ret = sha256_final(hash, digest, err);
	sha256_free(hash);
	if (!ret)
		snprintf(s->sum, sizeof(s->sum), "%s-%zu", base64_sha256(text, digest), s->nr);
	return ret;
}

static int complete_body(const struct s3_stream *s, struct buf *body, struct error *err)
{
	char sum[SHA256_BASE64_SIZE];

	if (buf_add_str(body, "<CompleteMultipartUpload xmlns=\"" S3_XMLNS "\">", err) < 0)
		return -1;
	for (size_t i = 0; i < s->nr; i++)
		if (buf_addf(body, err,
			    "<Part><ChecksumSHA256>%s</ChecksumSHA256><ETag>%s</ETag><PartNumber>%zu</PartNumber>"
			    "</Part>",
			    base64_sha256(sum, s->parts[i].sha256), s->parts[i].etag, i + 1) < 0)
			return -1;
	return buf_add_str(body, "</CompleteMultipartUpload>", err);
}

/* A 200 is begun before the work is done, so that the line stays alive: the body says how it ended. */
static int check_completed(const struct aws_call *call, struct error *err)
{
	const struct s3_stream *s = call->arg;
	const char *text = buf_str(&call->http.answer);
	CLEANUP(xmldoc_cleanup) struct xmldoc *doc = NULL;
	char code[ERROR_CODE_SIZE], sum[sizeof(s->sum)] = "", etag[S3_ETAG_SIZE];

	text += strspn(text, " \t\r\n");
	doc = aws_answer_xml(text, strlen(text), err);
	if (!doc)
		return -1;
	/* The root's name is not the same with all services; what it has is. */
	if (!xmldoc_is(xmldoc_root(doc), "Error") && xmldoc_child_text(xmldoc_root(doc), "ETag", etag, sizeof(etag))) {
		/* Not all services reckon it. */
		if (!xmldoc_child_text(xmldoc_root(doc), "ChecksumSHA256", sum, sizeof(sum)) || !sum[0] ||
		    strcmp(sum, s->sum) == 0)
			return 0;
		return error_set(err, ERROR_SERVICE, 0,
			"the service has put together another content than was sent: its SHA-256 is %s", sum);
	}
	xmldoc_child_text(xmldoc_root(doc), "Code", code, sizeof(code));
	error_set(err, ERROR_SERVICE, 0, "the parts were not put together");
	snprintf(err->code, sizeof(err->code), "%s", code);
	return -1;
}

/* Whether the object is there after all: an answer that was lost said so, or another run has sent the same. */
static bool turns_out_there(const struct s3_stream *s, const struct aws_call *call)
{
	struct s3_object object;
	struct error why = ERROR_INIT;

	return (call->http.status == 412 || (call->attempts > 1 && strcmp(call->error.code, "NoSuchUpload") == 0)) &&
	       s3_head(&s->place, s->opts.key, &object, &why) == 0 && object.found && object.size == s->size &&
	       strcmp(object.sha256, s->sum) == 0;
}

static int complete(struct s3_stream *s, struct error *err)
{
	CLEANUP_BUF struct buf body = BUF_INIT(0);
	CLEANUP_FREE char *query = buf_strf(err, "?uploadId=%s", s->id);
	struct aws_call call;
	int ret;

	if (!query || sum_parts(s, err) < 0 || complete_body(s, &body, err) < 0 ||
	    s3_call_init(&s->place, &call, "POST", s->opts.key, query, "CompleteMultipartUpload", err) < 0)
		return -1;
	/* It "could take several minutes" (S3 API Reference), and nobody says how often it stirs. */
	call.http.attempt_ms = call.http.stall_ms = COMPLETE_MS;
	call.http.body = body.data;
	call.http.body_len = body.len;
	call.check = check_completed;
	call.arg = s;
	ret = http_add_header(&call.http, "Content-Type", "application/xml", err);
	if (ret == 0 && !s->opts.replace)
		ret = http_add_header(&call.http, "If-None-Match", "*", err);
	if (ret == 0 && aws_perform(s->place.aws, &call, err) < 0)
		ret = turns_out_there(s, &call) ? 0 : -1;
	if (ret == 0)
		error_clear(err);
	else if (call.http.status == 412)
		taken(s, err);
	/* Where another run has made it, this one's upload is still open, and is to be aborted. */
	if (ret == 0 && call.http.status != 412) {
		free(s->id);
		s->id = NULL;
	}
	aws_call_release(&call);
	return ret;
}

/* It is over before a part was full. */
static int put_whole(struct s3_stream *s, struct error *err)
{
	struct s3_put put = {.key = s->opts.key, .acl = s->opts.acl, .type = s->opts.type, .body = buf_str(&s->part),
		.len = s->part.len, .if_none = !s->opts.replace};

	if (s3_put_now(&s->place, &put, err) == 0)
		return 0;
	return err && err->http_status == 412 ? taken(s, err) : -1;
}

int s3_stream_finish(struct s3_stream *s, struct error *err)
{
	if (!s->id)
		return put_whole(s, err);
	if ((s->part.len && send_part(s, err) < 0) || s3_sender_finish(s->sender, err) < 0)
		return -1;
	return complete(s, err);
}

static int abort_upload(const struct s3_stream *s, struct error *err)
{
	CLEANUP_FREE char *query = buf_strf(err, "?uploadId=%s", s->id);
	struct aws_call call;
	int ret;

	if (!query ||
	    s3_call_init(&s->place, &call, "DELETE", s->opts.key, query, "AbortMultipartUpload", err) < 0)
		return -1;
	ret = aws_perform(s->place.aws, &call, err);
	if (ret < 0 && strcmp(call.error.code, "NoSuchUpload") == 0) {
		error_clear(err);
		ret = 1;
	}
	aws_call_release(&call);
	return ret;
}

/*
 * A part that was on its way may arrive behind the first abort: then the upload is still there for another one
 * ("AbortMultipartUpload", S3 API Reference).
 */
static void drop(struct s3_stream *s)
{
	struct error why = ERROR_INIT;
	int ret = 0;

	aws_hurry(s->place.aws, true);
	for (int i = 0; i < ABORTS_MAX && ret == 0; i++)
		ret = abort_upload(s, &why);
	aws_hurry(s->place.aws, false);
	if (ret < 0)
		log_warn("%s: the parts of the upload of s3://%s/%s stay and are paid for ('aws s3api "
			 "list-multipart-uploads --bucket %s' shows them)", why.text, s->place.name, s->opts.key,
			s->place.name);
}

void s3_stream_free(struct s3_stream *s)
{
	if (!s)
		return;
	s3_sender_free(s->sender);
	if (s->id)
		drop(s);
	buf_release(&s->part);
	free(s->parts);
	free(s->id);
	free(s);
}
