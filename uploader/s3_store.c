/* SPDX-License-Identifier: Apache-2.0 */
/* What a parcel that is an object leads to: HeadObject where it may be there, then PutObject or PutObjectAcl. */
#include "uploader/s3_store.h"

#include <stdio.h>
#include <string.h>

#include "base/hash_stream.h"
#include "base/num.h"
#include "uploader/s3_sender.h"

enum { DEPTH = 6 };

struct s3_store {
	struct s3_place place;
	struct s3_store_opts opts;
	struct s3_sender *sender;
	struct s3_store_counts counts; /* the thread's until it has ended */
};

/* The last call for a parcel is over. */
static void on_last(struct s3_store *s, struct s3_parcel *p, uint64_t *count)
{
	struct error why = p->call.error;
	bool ok = p->call.ok;

	aws_call_release(&p->call);
	if (ok)
		(*count)++;
	else
		(void)s3_explain_acl(&s->place, s->opts.acl ? s->opts.acl : "private", &why);
	s3_sender_over(p, ok ? NULL : &why);
}

static void on_put(struct aws_call *call, void *parcel)
{
	struct s3_parcel *p = parcel;
	struct s3_store *s = p->arg;

	(void)call;
	on_last(s, p, &s->counts.sent);
}

static void on_acl(struct aws_call *call, void *parcel)
{
	struct s3_parcel *p = parcel;
	struct s3_store *s = p->arg;

	(void)call;
	on_last(s, p, &s->counts.there);
}

static int start_put(struct s3_parcel *p, struct error *err)
{
	struct s3_store *s = p->arg;
	struct s3_put put = {.key = p->key, .acl = s->opts.acl, .type = s->opts.type, .body = p->data.data,
		.len = p->data.len};

	memcpy(put.sha256, p->sha256, sizeof(put.sha256));
	return s3_put_init(&s->place, &p->call, &put, err) < 0 ? -1 : s3_sender_call(p, on_put, err);
}

/* An earlier run may have given it another one; HeadObject does not tell. */
static int start_acl(struct s3_parcel *p, struct error *err)
{
	struct s3_store *s = p->arg;

	if (!s->opts.acl) {
		s->counts.there++;
		s3_sender_over(p, NULL);
		return 0;
	}
	return s3_acl_init(&s->place, &p->call, p->key, s->opts.acl, err) < 0 ? -1 : s3_sender_call(p, on_acl, err);
}

static bool same_md5(const struct s3_parcel *p, const char *etag)
{
	CLEANUP(hash_stream_cleanup) struct hash_stream *h = hash_stream_new(HASH_MD5, NULL);
	uint8_t digest[HASH_STREAM_MAX];
	char hex[36];
	size_t len;

	if (!h || hash_stream_update(h, p->data.data, p->data.len, NULL) < 0 ||
	    hash_stream_final(h, digest, &len, NULL) < 0)
		return false;
	hex[0] = '"';
	hex_encode(hex + 1, digest, 16);
	strcpy(hex + 33, "\"");
	return strcmp(hex, etag) == 0;
}

/* A HEAD that failed is no reason to stop: the object is sent. */
static void on_head(struct aws_call *call, void *parcel)
{
	const char *length = http_answer_header(&call->http, "Content-Length");
	const char *sum = http_answer_header(&call->http, "x-amz-checksum-sha256");
	const char *etag = http_answer_header(&call->http, "ETag");
	struct s3_parcel *p = parcel;
	struct error why = ERROR_INIT;
	char ours[SHA256_BASE64_SIZE];
	uint64_t size;
	bool there;

	there = call->ok && length && num_parse(length, INT64_MAX, &size, NULL) == 0 && size == p->data.len;
	if (there)
		there = sum ? strcmp(sum, base64_sha256(ours, p->sha256)) == 0 : etag && same_md5(p, etag);
	aws_call_release(call);
	if ((there ? start_acl(p, &why) : start_put(p, &why)) < 0)
		s3_sender_over(p, &why);
}

static int start_head(struct s3_parcel *p, struct error *err)
{
	struct s3_store *s = p->arg;

	if (s3_call_init(&s->place, &p->call, "HEAD", p->key, "", "HeadObject", err) < 0)
		return -1;
	if (http_add_header(&p->call.http, "x-amz-checksum-mode", "ENABLED", err) == 0)
		return s3_sender_call(p, on_head, err);
	aws_call_release(&p->call);
	return -1;
}

static int start(void *arg, struct s3_parcel *p, struct error *err)
{
	const struct s3_store *s = arg;
	bool maybe_there = false;

	if (s->opts.begin && s->opts.begin(s->opts.arg, p->key, p->sha256, &maybe_there, err) < 0)
		return -1;
	return maybe_there ? start_head(p, err) : start_put(p, err);
}

struct s3_store *s3_store_new(const struct s3_place *place, const struct s3_store_opts *opts,
	struct error *err)
{
	struct s3_store *s = calloc(1, sizeof(*s));
	struct s3_sender_opts how = {.depth = opts->depth ? opts->depth : DEPTH, .start = start, .arg = s};

	if (!s)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for an upload");
	s->place = *place;
	s->opts = *opts;
	s->sender = s3_sender_new(place->aws, &how, err);
	if (s->sender)
		return s;
	free(s);
	return NULL;
}

int s3_store_put(struct s3_store *s, const char *key, struct buf *data, struct error *err)
{
	return s3_sender_put(s->sender, key, 0, data, err);
}

int s3_store_finish(struct s3_store *s, struct s3_store_counts *counts, struct error *err)
{
	int ret = s3_sender_finish(s->sender, err);

	*counts = s->counts;
	return ret;
}

void s3_store_free(struct s3_store *s)
{
	if (!s)
		return;
	s3_sender_free(s->sender);
	free(s);
}
