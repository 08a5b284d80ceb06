/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calls of the EBS direct APIs: request forms out, answers checked and taken apart. What the
 * service sends is not trusted: ids are checked before they go into a path, tokens are encoded,
 * sizes are compared.
 */
#include "uploader/ebs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/json.h"
#include "base/num.h"
#include "uploader/sigv4.h"

enum { LIST_ANSWER = 16 * 1024 * 1024 /* 10000 entries of two tokens: 6 MB */ };

/* Snapshot ids go into paths and file names. */
static int check_id(const char *id, struct error *err)
{
	size_t len = strlen(id);

	if (len < 6 || len >= EBS_ID_SIZE || strncmp(id, "snap-", 5) != 0 ||
	    strspn(id + 5, "0123456789abcdef") != len - 5)
		return error_set(err, ERROR_USAGE, 0,
			"'%s' is not a snapshot id: use one like snap-0123456789abcdef0", id);
	return 0;
}

static int add_tags(struct json *body, const struct ebs_start_opts *o, struct error *err)
{
	struct json *tags;

	if (o->nr_tags == 0)
		return 0;
	tags = json_new_array(err);
	if (!tags)
		return -1;
	for (size_t i = 0; i < o->nr_tags; i++) {
		struct json *tag = json_new_object(err);

		if (!tag)
			goto fail;
		if (json_set_str(tag, "Key", o->tags[i].key, err) < 0 ||
		    json_set_str(tag, "Value", o->tags[i].value, err) < 0) {
			json_free(tag);
			goto fail;
		}
		if (json_append(tags, tag, err) < 0)
			goto fail;
	}
	return json_set(body, "Tags", tags, err);
fail:
	json_free(tags);
	return -1;
}

static int optional_text(struct json *body, const char *key, const char *text, struct error *err)
{
	return text && text[0] ? json_set_str(body, key, text, err) : 0;
}

static int start_body(const struct ebs_start_opts *o, struct buf *out, struct error *err)
{
	CLEANUP(json_cleanup) struct json *body = json_new_object(err);

	if (!body || json_set_int(body, "VolumeSize", (int64_t)o->size_gib, err) < 0 ||
	    optional_text(body, "Description", o->description, err) < 0 ||
	    json_set_str(body, "ClientToken", o->client_token, err) < 0 ||
	    json_set_int(body, "Timeout", o->timeout_min ? o->timeout_min : 60, err) < 0 ||
	    optional_text(body, "ParentSnapshotId", o->parent, err) < 0 ||
	    optional_text(body, "KmsKeyArn", o->kms_key, err) < 0 || add_tags(body, o, err) < 0)
		return -1;
	/* Absent means the account's default; false would be refused where that is "encrypted". */
	if (o->encrypted && json_set_bool(body, "Encrypted", true, err) < 0)
		return -1;
	return json_write(body, false, out, err);
}

static int check_start(const struct ebs_start_opts *o, struct error *err)
{
	size_t token = o->client_token ? strlen(o->client_token) : 0;

	if (o->size_gib < 1 || o->size_gib > 65536)
		return error_set(err, ERROR_USAGE, 0,
			"a snapshot of %" PRIu64 " GiB is not possible: EBS takes 1 to 65536 GiB",
			o->size_gib);
	if (token == 0 || token > 64 || strpbrk(o->client_token, " \t\r\n"))
		return error_set(err, ERROR_BUG, 0, "client token of %zu characters", token);
	if (o->parent && o->parent[0] && (o->encrypted || o->kms_key))
		return error_set(err, ERROR_USAGE, 0,
			"a snapshot with a parent takes its encryption from it: leave encryption and "
			"key out");
	if (o->timeout_min && (o->timeout_min < 10 || o->timeout_min > 4320))
		return error_set(err, ERROR_USAGE, 0,
			"a snapshot timeout of %u minutes is not possible: EBS takes 10 to 4320",
			o->timeout_min);
	if (o->description && strlen(o->description) > 255)
		return error_set(err, ERROR_USAGE, 0,
			"the snapshot's description has over 255 characters");
	return 0;
}

static struct json *answer_json(const struct aws_call *call, struct error *err)
{
	struct json *j = json_parse(buf_str(&call->http.answer), call->http.answer.len,
		call->operation, err);

	if (j && !json_is_object(j)) {
		json_free(j);
		return error_null(err, ERROR_SERVICE, 0, "%s answered something else than an object",
			call->operation);
	}
	/* Damaged input is the service's fault here. */
	if (!j && err && err->kind == ERROR_INPUT)
		err->kind = ERROR_SERVICE;
	return j;
}

static void copy(char *out, size_t size, const char *text)
{
	snprintf(out, size, "%s", text);
}

static int read_started(const struct aws_call *call, const struct ebs_start_opts *o,
	struct ebs_started *out, struct error *err)
{
	CLEANUP(json_cleanup) struct json *j = answer_json(call, err);
	int64_t size;

	if (!j)
		return -1;
	copy(out->snapshot, sizeof(out->snapshot), json_get_str(j, "SnapshotId", ""));
	if (check_id(out->snapshot, NULL) < 0)
		return error_set(err, ERROR_SERVICE, 0, "StartSnapshot answered without a snapshot id");
	out->block_size = (uint32_t)json_get_int(j, "BlockSize", EBS_BLOCK_SIZE);
	size = json_get_int(j, "VolumeSize", (int64_t)o->size_gib);
	out->size_gib = (uint64_t)size;
	out->start_s = json_get_int(j, "StartTime", 0);
	copy(out->status, sizeof(out->status), json_get_str(j, "Status", ""));
	copy(out->kms_key, sizeof(out->kms_key), json_get_str(j, "KmsKeyArn", ""));
	copy(out->sse, sizeof(out->sse), json_get_str(j, "SseType", ""));
	copy(out->owner, sizeof(out->owner), json_get_str(j, "OwnerId", ""));
	if (out->size_gib < o->size_gib)
		return error_set(err, ERROR_SERVICE, 0,
			"StartSnapshot made %s of %" PRId64 " GiB where %" PRIu64 " GiB were asked for",
			out->snapshot, size, o->size_gib);
	return 0;
}

int ebs_start_snapshot(struct aws *a, const struct ebs_start_opts *opts, struct ebs_started *out,
	struct error *err)
{
	CLEANUP_BUF struct buf body = BUF_INIT(0);
	struct aws_call call;
	int ret = -1;

	memset(out, 0, sizeof(*out));
	if (check_start(opts, err) < 0 || start_body(opts, &body, err) < 0)
		return -1;
	if (aws_call_init(a, &call, AWS_EBS, "POST", "/snapshots", "StartSnapshot", err) < 0)
		return -1;
	call.http.body = body.data;
	call.http.body_len = body.len;
	if (http_add_header(&call.http, "Content-Type", "application/json", err) == 0 &&
	    aws_perform(a, &call, err) == 0)
		ret = read_started(&call, opts, out, err);
	aws_call_release(&call);
	return ret;
}

int ebs_put_block_init(struct aws *a, struct aws_call *call, const char *snapshot, uint64_t index,
	const void *block, const uint8_t digest[SHA256_SIZE], struct error *err)
{
	char path[128], sum[SHA256_BASE64_SIZE];

	if (check_id(snapshot, err) < 0)
		return -1;
	snprintf(path, sizeof(path), "/snapshots/%s/blocks/%" PRIu64, snapshot, index);
	if (aws_call_init(a, call, AWS_EBS, "PUT", path, "PutSnapshotBlock", err) < 0)
		return -1;
	snprintf(call->subject, sizeof(call->subject), "%.40s block %" PRIu64, snapshot, index);
	call->unsigned_payload = true;
	call->http.body = block;
	call->http.body_len = EBS_BLOCK_SIZE;
	call->http.max_answer = 64 * KIB;
	if (http_add_header(&call->http, "x-amz-Data-Length", "524288", err) < 0 ||
	    http_add_header(&call->http, "x-amz-Checksum", base64_sha256(sum, digest), err) < 0 ||
	    http_add_header(&call->http, "x-amz-Checksum-Algorithm", "SHA256", err) < 0) {
		aws_call_release(call);
		return -1;
	}
	return 0;
}

static int add_aggregate(struct aws_call *call, uint64_t changed,
	const uint8_t aggregate[SHA256_SIZE], struct error *err)
{
	char text[32], sum[SHA256_BASE64_SIZE];

	snprintf(text, sizeof(text), "%" PRIu64, changed);
	if (http_add_header(&call->http, "x-amz-ChangedBlocksCount", text, err) < 0)
		return -1;
	/* What the service makes of the digest of nothing is not known: all three are left out. */
	if (changed == 0)
		return 0;
	if (http_add_header(&call->http, "x-amz-Checksum", base64_sha256(sum, aggregate), err) < 0 ||
	    http_add_header(&call->http, "x-amz-Checksum-Algorithm", "SHA256", err) < 0)
		return -1;
	return http_add_header(&call->http, "x-amz-Checksum-Aggregation-Method", "LINEAR", err);
}

int ebs_complete_snapshot(struct aws *a, const char *snapshot, uint64_t changed,
	const uint8_t aggregate[SHA256_SIZE], char status[16], struct error *err)
{
	struct aws_call call;
	char path[128];
	int ret = -1;

	if (check_id(snapshot, err) < 0)
		return -1;
	snprintf(path, sizeof(path), "/snapshots/completion/%s", snapshot);
	if (aws_call_init(a, &call, AWS_EBS, "POST", path, "CompleteSnapshot", err) < 0)
		return -1;
	copy(call.subject, sizeof(call.subject), snapshot);
	call.fresh_snapshot = true;
	if (add_aggregate(&call, changed, aggregate, err) == 0 && aws_perform(a, &call, err) == 0) {
		CLEANUP(json_cleanup) struct json *j = answer_json(&call, err);

		if (j) {
			copy(status, 16, json_get_str(j, "Status", "pending"));
			ret = 0;
		}
	}
	aws_call_release(&call);
	return ret;
}

void ebs_block_list_release(struct ebs_block_list *l)
{
	free(l->items);
	memset(l, 0, sizeof(*l));
}

static int reserve(struct ebs_block_list *l, size_t more, struct error *err)
{
	return ARRAY_GROW(l->items, l->nr + more, l->alloc, "the list of blocks", err);
}

/* An entry's block by one of its tokens; one that must be there unless `optional`. */
static int add_block(const struct aws_call *call, struct ebs_block_list *l, const struct json *j,
	const char *key, bool optional, struct error *err)
{
	struct ebs_block *b = &l->items[l->nr];
	int64_t index = json_get_int(j, "BlockIndex", -1);
	const char *token = json_get_str(j, key, "");

	if (index < 0 || (l->nr > 0 && (uint64_t)index <= b[-1].index) || (!token[0] && !optional) ||
	    strlen(token) >= sizeof(b->token))
		return error_set(err, ERROR_SERVICE, 0,
			"%s answered an entry without index or token, or out of order",
			call->operation);
	b->index = (uint64_t)index;
	memcpy(b->token, token, strlen(token) + 1);
	l->nr++;
	return 0;
}

/* What both lists have besides their entries. */
static int read_rest(const struct json *j, char **next_token, struct ebs_block_list *l,
	struct error *err)
{
	const char *token = json_get_str(j, "NextToken", NULL);

	l->size_gib = (uint64_t)json_get_int(j, "VolumeSize", 0);
	l->block_size = (uint32_t)json_get_int(j, "BlockSize", EBS_BLOCK_SIZE);
	free(*next_token);
	*next_token = NULL;
	if (!token || !token[0])
		return 0;
	*next_token = strdup(token);
	return *next_token ? 0 : error_nomem(err, "page token");
}

/* extra: NULL, or "&name=value". */
static int list_path(struct buf *path, const char *snapshot, const char *what, const char *extra,
	uint64_t start_index, const char *page_token, struct error *err)
{
	if (check_id(snapshot, err) < 0 ||
	    buf_addf(path, err, "/snapshots/%s/%s?maxResults=%d%s%s", snapshot, what, EBS_MAX_PAGE,
		    extra ? "&firstSnapshotId=" : "", extra ? extra : "") < 0)
		return -1;
	if (page_token)
		return buf_add_str(path, "&pageToken=", err) < 0
			       ? -1
			       : sigv4_encode(path, page_token, strlen(page_token), false, err);
	return start_index == 0 ? 0 : buf_addf(path, err, "&startingBlockIndex=%" PRIu64, start_index);
}

int ebs_list_init(struct aws *a, struct aws_call *call, const char *snapshot, uint64_t start_index,
	const char *page_token, struct error *err)
{
	CLEANUP_BUF struct buf path = BUF_INIT(0);

	if (list_path(&path, snapshot, "blocks", NULL, start_index, page_token, err) < 0 ||
	    aws_call_init(a, call, AWS_EBS, "GET", buf_str(&path), "ListSnapshotBlocks", err) < 0)
		return -1;
	copy(call->subject, sizeof(call->subject), snapshot);
	call->http.max_answer = LIST_ANSWER;
	return 0;
}

int ebs_list_read(const struct aws_call *call, char **next_token, struct ebs_block_list *l,
	struct error *err)
{
	CLEANUP(json_cleanup) struct json *j = answer_json(call, err);
	const struct json *blocks;

	if (!j)
		return -1;
	blocks = json_get(j, "Blocks");
	if (reserve(l, json_length(blocks), err) < 0)
		return -1;
	for (size_t i = 0; i < json_length(blocks); i++) {
		if (add_block(call, l, json_at(blocks, i), "BlockToken", false, err) < 0)
			return -1;
	}
	return read_rest(j, next_token, l, err);
}

int ebs_changed_init(struct aws *a, struct aws_call *call, const char *first, const char *second,
	uint64_t start_index, const char *page_token, struct error *err)
{
	CLEANUP_BUF struct buf path = BUF_INIT(0);

	if (check_id(first, err) < 0 ||
	    list_path(&path, second, "changedblocks", first, start_index, page_token, err) < 0 ||
	    aws_call_init(a, call, AWS_EBS, "GET", buf_str(&path), "ListChangedBlocks", err) < 0)
		return -1;
	snprintf(call->subject, sizeof(call->subject), "%.30s %.30s", first, second);
	call->http.max_answer = LIST_ANSWER;
	return 0;
}

int ebs_changed_read(const struct aws_call *call, char **next_token, struct ebs_block_list *first,
	struct ebs_block_list *second, struct error *err)
{
	CLEANUP(json_cleanup) struct json *j = answer_json(call, err);
	const struct json *blocks;

	if (!j)
		return -1;
	blocks = json_get(j, "ChangedBlocks");
	if (reserve(first, json_length(blocks), err) < 0 ||
	    reserve(second, json_length(blocks), err) < 0)
		return -1;
	for (size_t i = 0; i < json_length(blocks); i++) {
		const struct json *entry = json_at(blocks, i);

		if (add_block(call, first, entry, "FirstBlockToken", true, err) < 0 ||
		    add_block(call, second, entry, "SecondBlockToken", true, err) < 0)
			return -1;
	}
	return read_rest(j, next_token, second, err);
}

int ebs_get_block_init(struct aws *a, struct aws_call *call, const char *snapshot,
	const struct ebs_block *block, struct error *err)
{
	CLEANUP_BUF struct buf path = BUF_INIT(0);

	if (check_id(snapshot, err) < 0 ||
	    buf_addf(&path, err, "/snapshots/%s/blocks/%" PRIu64 "?blockToken=", snapshot,
		    block->index) < 0 ||
	    sigv4_encode(&path, block->token, strlen(block->token), false, err) < 0)
		return -1;
	if (aws_call_init(a, call, AWS_EBS, "GET", buf_str(&path), "GetSnapshotBlock", err) < 0)
		return -1;
	snprintf(call->subject, sizeof(call->subject), "%.40s block %" PRIu64, snapshot,
		block->index);
	call->http.max_answer = EBS_BLOCK_SIZE;
	return 0;
}

int ebs_check_block(const struct aws_call *call, uint8_t digest[SHA256_SIZE], struct error *err)
{
	const char *sum = http_answer_header(&call->http, "x-amz-Checksum");
	const char *algorithm = http_answer_header(&call->http, "x-amz-Checksum-Algorithm");
	char ours[SHA256_BASE64_SIZE];

	if (call->http.answer.len != EBS_BLOCK_SIZE)
		return error_set(err, ERROR_SERVICE, 0, "%s %s: %zu bytes came instead of %d",
			call->operation, call->subject, call->http.answer.len, EBS_BLOCK_SIZE);
	if (!sum || (algorithm && strcmp(algorithm, "SHA256") != 0))
		return error_set(err, ERROR_SERVICE, 0, "%s %s: no SHA256 checksum came with the block",
			call->operation, call->subject);
	if (sha256(call->http.answer.data, EBS_BLOCK_SIZE, digest, err) < 0)
		return -1;
	if (strcmp(base64_sha256(ours, digest), sum) != 0)
		return error_set(err, ERROR_SERVICE, 0,
			"%s %s: the block's SHA-256 is %s, its header says %s", call->operation,
			call->subject, ours, sum);
	return 0;
}
