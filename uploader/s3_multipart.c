/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An object from a file: whole when it is small, else CreateMultipartUpload, UploadPart (several at a time),
 * CompleteMultipartUpload. The last may answer 200 and still say <Error>; and a repeat of one whose answer was
 * lost may hear NoSuchUpload: then the object is looked at. What fails is aborted, as parts that nobody
 * completes are paid for.
 */
#include "uploader/s3.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/num.h"
#include "uploader/ec2_xml.h"
#include "uploader/sigv4.h"

enum {
	PART_DEFAULT = 16 * 1024 * 1024,
	PART_MIN = 5 * 1024 * 1024,
	PARTS_MAX = 10000,
	SLOTS = 4,
	LOOP_MS = 200,
};

struct part {
	char etag[S3_ETAG_SIZE], sha256[SHA256_BASE64_SIZE];
};

struct upload;

struct slot {
	struct upload *upload;
	uint8_t *data;      /* part_len bytes; owned */
	size_t number;      /* from 1; 0 while free */
	struct aws_call call;
};

struct upload {
	const struct s3_place *place;
	const struct s3_send *send;
	char *id;           /* encoded for a query; owned */
	uint64_t part_len;
	struct part *parts; /* owned */
	size_t nr, next;
	struct slot slots[SLOTS];
	bool failed;
	struct error error;
};

static int start_upload(struct upload *u, struct error *err)
{
	CLEANUP(ec2_xml_cleanup) struct ec2_xml *doc = NULL;
	CLEANUP_BUF struct buf encoded = BUF_INIT(0);
	char id[1100] = "";
	struct aws_call call;
	int ret;

	if (s3_call_init(u->place, &call, "POST", u->send->key, "?uploads", "CreateMultipartUpload", err) < 0)
		return -1;
	ret = http_add_header(&call.http, "x-amz-checksum-algorithm", "SHA256", err);
	if (ret == 0 && u->send->acl)
		ret = http_add_header(&call.http, "x-amz-acl", u->send->acl, err);
	if (ret == 0 && u->send->type)
		ret = http_add_header(&call.http, "Content-Type", u->send->type, err);
	if (ret == 0)
		ret = aws_perform(u->place->aws, &call, err);
	if (ret == 0) {
		doc = ec2_xml_parse(buf_str(&call.http.answer), call.http.answer.len, err);
		ret = doc ? 0 : -1;
	}
	aws_call_release(&call);
	if (ret < 0)
		return -1;
	ec2_xml_text(ec2_xml_root(doc), "UploadId", id, sizeof(id));
	if (!id[0] || strlen(id) >= sizeof(id) - 1)
		return error_set(err, ERROR_SERVICE, 0, "CreateMultipartUpload answered without an upload id");
	if (sigv4_encode(&encoded, id, strlen(id), false, err) < 0)
		return -1;
	u->id = buf_steal(&encoded, err);
	return u->id ? 0 : -1;
}

static void on_part(struct aws_call *call, void *arg)
{
	const char *etag = http_answer_header(&call->http, "ETag");
	struct slot *s = arg;
	struct upload *u = s->upload;
	struct part *p = &u->parts[s->number - 1];

	if (!call->ok) {
		if (!u->failed)
			u->error = call->error;
		u->failed = true;
	} else {
		snprintf(p->etag, sizeof(p->etag), "%s", etag ? etag : "");
		if (u->send->progress)
			u->send->progress(u->send->arg, call->http.body_len);
	}
	aws_call_release(call);
	s->number = 0;
}

static int start_part(struct upload *u, struct slot *s, struct error *err)
{
	uint64_t off = u->next * u->part_len;
	size_t len = (size_t)MIN(u->part_len, u->send->size - off);
	struct part *p = &u->parts[u->next];
	CLEANUP_FREE char *query = buf_strf(err, "?partNumber=%zu&uploadId=%s", u->next + 1, u->id);
	uint8_t digest[SHA256_SIZE];

	if (!s->data)
		s->data = malloc((size_t)u->part_len);
	if (!s->data)
		return error_nomem(err, "a part");
	if (!query || file_pread_all(u->send->fd, s->data, len, off, u->send->key, err) < 0 ||
	    sha256(s->data, len, digest, err) < 0 ||
	    s3_call_init(u->place, &s->call, "PUT", u->send->key, query, "UploadPart", err) < 0)
		return -1;
	s->upload = u;
	s->call.http.body = s->data;
	s->call.http.body_len = len;
	s->call.check = s3_check_sent;
	s->call.done = on_part;
	s->call.arg = s;
	hex_encode(s->call.payload_hash, digest, SHA256_SIZE);
	if (http_add_header(&s->call.http, "x-amz-checksum-sha256", base64_sha256(p->sha256, digest), err) < 0 ||
	    aws_start(u->place->aws, &s->call, err) < 0) {
		aws_call_release(&s->call);
		return -1;
	}
	s->number = ++u->next;
	return 0;
}

static bool all_free(const struct upload *u)
{
	for (int i = 0; i < SLOTS; i++)
		if (u->slots[i].number)
			return false;
	return true;
}

static int send_parts(struct upload *u, struct error *err)
{
	while (u->next < u->nr || !all_free(u)) {
		for (int i = 0; i < SLOTS && u->next < u->nr; i++)
			if (!u->slots[i].number && start_part(u, &u->slots[i], err) < 0)
				return -1;
		if (aws_run(u->place->aws, LOOP_MS, -1, err) < 0)
			return -1;
		if (u->failed) {
			if (err)
				*err = u->error;
			return -1;
		}
	}
	return 0;
}

static int complete_body(const struct upload *u, struct buf *body, struct error *err)
{
	if (buf_add_str(body, "<CompleteMultipartUpload xmlns=\"" S3_XMLNS "\">", err) < 0)
		return -1;
	for (size_t i = 0; i < u->nr; i++)
		if (buf_addf(body, err,
			    "<Part><ChecksumSHA256>%s</ChecksumSHA256><ETag>%s</ETag><PartNumber>%zu</PartNumber>"
			    "</Part>",
			    u->parts[i].sha256, u->parts[i].etag, i + 1) < 0)
			return -1;
	return buf_add_str(body, "</CompleteMultipartUpload>", err);
}

/* A 200 is begun before the work is done, so that the line stays alive: the body says how it ended. */
static int check_completed(const struct aws_call *call, struct error *err)
{
	const char *text = buf_str(&call->http.answer);
	CLEANUP(ec2_xml_cleanup) struct ec2_xml *doc = NULL;
	char code[ERROR_CODE_SIZE];

	text += strspn(text, " \t\r\n");
	doc = ec2_xml_parse(text, strlen(text), err);
	if (!doc)
		return -1;
	if (ec2_xml_is(ec2_xml_root(doc), "CompleteMultipartUploadResult"))
		return 0;
	ec2_xml_text(ec2_xml_root(doc), "Code", code, sizeof(code));
	error_set(err, ERROR_SERVICE, 0, "the parts were not put together");
	snprintf(err->code, sizeof(err->code), "%s", code);
	return -1;
}

/* Whether the object is there after all: an answer that was lost said so. */
static bool turns_out_there(const struct upload *u)
{
	struct s3_object object;
	struct error why = ERROR_INIT;
	char suffix[32];

	snprintf(suffix, sizeof(suffix), "-%zu\"", u->nr);
	return s3_head(u->place, u->send->key, &object, &why) == 0 && object.found &&
	       object.size == u->send->size && strstr(object.etag, suffix);
}

static int complete(struct upload *u, struct error *err)
{
	CLEANUP_BUF struct buf body = BUF_INIT(0);
	CLEANUP_FREE char *query = buf_strf(err, "?uploadId=%s", u->id);
	struct aws_call call;
	int ret;

	if (!query || complete_body(u, &body, err) < 0 ||
	    s3_call_init(u->place, &call, "POST", u->send->key, query, "CompleteMultipartUpload", err) < 0)
		return -1;
	call.http.body = body.data;
	call.http.body_len = body.len;
	call.check = check_completed;
	ret = http_add_header(&call.http, "Content-Type", "application/xml", err);
	if (ret == 0)
		ret = aws_perform(u->place->aws, &call, err);
	if (ret < 0 && call.attempts > 1 && strcmp(call.error.code, "NoSuchUpload") == 0 && turns_out_there(u)) {
		error_clear(err);
		ret = 0;
	}
	aws_call_release(&call);
	return ret;
}

static void drop(struct upload *u, struct error *err)
{
	CLEANUP_FREE char *query = buf_strf(NULL, "?uploadId=%s", u->id);
	struct error why = ERROR_INIT;
	struct aws_call call;
	int ret = -1;

	for (int i = 0; i < SLOTS; i++) {
		if (!u->slots[i].number)
			continue;
		aws_cancel(u->place->aws, &u->slots[i].call);
		aws_call_release(&u->slots[i].call);
	}
	aws_hurry(u->place->aws, true);
	if (query && s3_call_init(u->place, &call, "DELETE", u->send->key, query, "AbortMultipartUpload", &why) == 0) {
		ret = aws_perform(u->place->aws, &call, &why);
		aws_call_release(&call);
	}
	aws_hurry(u->place->aws, false);
	if (ret < 0 && strcmp(why.code, "NoSuchUpload") != 0)
		error_wrap(err, "the parts of the upload of s3://%s/%s stay and are paid for ('aws s3api "
				"list-multipart-uploads' shows them)", u->place->name, u->send->key);
}

static int send_whole(const struct s3_place *place, const struct s3_send *send, struct error *err)
{
	CLEANUP_FREE uint8_t *data = malloc((size_t)send->size + 1);
	struct s3_put put = {.key = send->key, .acl = send->acl, .type = send->type, .body = data,
		.len = (size_t)send->size};

	if (!data)
		return error_nomem(err, "an object");
	if (file_pread_all(send->fd, data, put.len, 0, send->key, err) < 0 || s3_put_now(place, &put, err) < 0)
		return -1;
	if (send->progress)
		send->progress(send->arg, put.len);
	return 0;
}

static int send_in_parts(struct upload *u, struct error *err)
{
	if (start_upload(u, err) < 0)
		return -1;
	if (send_parts(u, err) == 0 && complete(u, err) == 0)
		return 0;
	drop(u, err);
	return -1;
}

int s3_send_file(const struct s3_place *place, const struct s3_send *send, struct error *err)
{
	struct upload u = {.place = place, .send = send};
	int ret;

	u.part_len = MAX(send->part_len ? send->part_len : (size_t)PART_DEFAULT, (size_t)PART_MIN);
	if (send->size <= u.part_len)
		return send_whole(place, send, err);
	/* Large objects have larger parts: there are at most 10,000. */
	u.part_len = MAX(u.part_len, num_align(num_div_up(send->size, PARTS_MAX), MIB));
	u.nr = (size_t)num_div_up(send->size, u.part_len);
	u.parts = calloc(u.nr, sizeof(*u.parts));
	ret = u.parts ? send_in_parts(&u, err) : error_nomem(err, "the parts of an upload");
	for (int i = 0; i < SLOTS; i++)
		free(u.slots[i].data);
	free(u.parts);
	free(u.id);
	return ret;
}
