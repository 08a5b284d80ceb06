/* SPDX-License-Identifier: Apache-2.0 */
/* EBS direct: PutSnapshotBlock and GetSnapshotBlock. */
#include "uploader/region/ebs_internal.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/num.h"
#include "uploader/region/form.h"
#include "uploader/region/token.h"

static void set_digest_headers(struct reply *reply, const uint8_t digest[SHA256_SIZE])
{
	char text[SHA256_BASE64_SIZE];

	reply_header(reply, "x-amz-Checksum", base64_sha256(text, digest));
	reply_header(reply, "x-amz-Checksum-Algorithm", "SHA256");
}

/*
 * True (with a reply) when the headers are not those of one whole block, or the body is not that
 * block.
 */
static bool put_check(struct ebs_ctx *c)
{
	const char *length = request_header(c->req, "x-amz-data-length");
	const char *checksum = request_header(c->req, "x-amz-checksum");
	const char *algorithm = request_header(c->req, "x-amz-checksum-algorithm");
	const char *progress = request_header(c->req, "x-amz-progress");
	char computed[SHA256_BASE64_SIZE];
	uint64_t number;

	if (!length || num_parse(length, INT32_MAX, &number, NULL) < 0)
		return ebs_invalid(c, "INVALID_BLOCK", "x-amz-Data-Length must be %d",
			       STORE_BLOCK_SIZE),
		       true;
	if (number != STORE_BLOCK_SIZE)
		return ebs_invalid(c, "INVALID_BLOCK",
			       "Block data length %llu is not valid, expected %d",
			       (unsigned long long)number, STORE_BLOCK_SIZE),
		       true;
	if (!algorithm || strcmp(algorithm, "SHA256") != 0)
		return ebs_invalid(c, "INVALID_PARAMETER_VALUE",
			       "x-amz-Checksum-Algorithm must be SHA256"),
		       true;
	if (progress && num_parse(progress, 100, &number, NULL) < 0)
		return ebs_invalid(c, "INVALID_PARAMETER_VALUE",
			       "x-amz-Progress must be a number from 0 to 100"),
		       true;
	if (c->req->body_len != STORE_BLOCK_SIZE)
		return ebs_invalid(c, "INVALID_PARAMETER_VALUE", "Failed to read block data"), true;
	base64_sha256(computed, c->req->body_sha256);
	if (!checksum || strcmp(checksum, computed) != 0)
		return reply_ebs_error(c->reply, 403, "InvalidSignatureException", NULL,
			       "The value passed in as x-amz-Checksum does not match the computed "
			       "checksum. Computed checksum: %s expected checksum: %.80s",
			       computed, checksum ? checksum : ""),
		       true;
	return false;
}

/* The block index of the path; true (with a reply) when the volume has no such block. */
static bool take_index(struct ebs_ctx *c, const struct snapshot *snap, uint64_t *index)
{
	if (strspn(c->index, "0123456789") != strlen(c->index) ||
	    num_parse(c->index, INT32_MAX, index, NULL) < 0) {
		ebs_invalid(c, "INVALID_BLOCK", "Block index '%s' is not valid", c->index);
		return true;
	}
	if (*index >= snap->size_gib * STORE_BLOCKS_PER_GIB) {
		ebs_invalid(c, "INVALID_BLOCK",
			"Block index %llu is beyond the volume size extent",
			(unsigned long long)*index);
		return true;
	}
	return false;
}

static void put_closed(struct ebs_ctx *c, const struct snapshot *snap)
{
	if (atomic_load(&snap->status) == SNAPSHOT_ERROR)
		ebs_not_found(c, snap->id);
	else
		ebs_invalid(c, "INVALID_SNAPSHOT_ID", "Snapshot is already completed");
}

void ebs_put_block(struct ebs_ctx *c)
{
	CLEANUP(snapshot_cleanup) struct snapshot *snap = ebs_find(c, c->id);
	struct error err = ERROR_INIT;
	uint64_t index;

	if (!snap || take_index(c, snap, &index) || put_check(c))
		return;
	switch (snapshot_write_block(snap, index, c->req->body, c->req->body_sha256,
		region_now(c->region), &err)) {
	case SNAPSHOT_CLOSED:
		put_closed(c, snap);
		return;
	case SNAPSHOT_WRITE_FAILED:
		ebs_internal(c, &err);
		return;
	case SNAPSHOT_WRITTEN:
		break;
	}
	c->reply->status = 201;
	set_digest_headers(c->reply, c->req->body_sha256);
	reply_addf(c->reply, "{}");
}

/* True (with a reply) when the query has no token of this block. */
static bool get_check_token(struct ebs_ctx *c, uint64_t index)
{
	struct form query = FORM_INIT;
	char subject[EBS_SUBJECT_SIZE];
	const char *token;
	uint64_t value;
	bool bad;

	ebs_block_subject(c->id, subject);
	bad = form_parse(&query, c->req->query, strlen(c->req->query), NULL) < 0;
	token = bad ? NULL : form_get(&query, "blockToken");
	bad = !token || token_open(c->region->token_key, subject, token, region_now(c->region), &value) ||
	      value != index;
	if (bad)
		ebs_invalid(c, "INVALID_BLOCK_TOKEN", "The block token is not valid for this block.");
	form_release(&query);
	return bad;
}

void ebs_get_block(struct ebs_ctx *c)
{
	CLEANUP(snapshot_cleanup) struct snapshot *snap = ebs_find_readable(c, c->id);
	struct error err = ERROR_INIT;
	const uint8_t *digest;
	uint64_t index;
	struct stat st;

	if (!snap || take_index(c, snap, &index) || get_check_token(c, index))
		return;
	digest = blockmap_digest(&snap->map, index);
	if (!digest) {
		ebs_invalid(c, "INVALID_BLOCK", "Block %llu has no data", (unsigned long long)index);
		return;
	}
	c->reply->fd = snapshot_open_content(snap, &err);
	if (c->reply->fd < 0) {
		ebs_internal(c, &err);
		return;
	}
	if (fstat(c->reply->fd, &st) < 0 ||
	    (uint64_t)st.st_size < (index + 1) * STORE_BLOCK_SIZE) {
		error_set(&err, ERROR_IO, 0, "the content of %s ends before block %llu", snap->id,
			(unsigned long long)index);
		cleanup_close_p(&c->reply->fd);
		c->reply->fd = -1;
		ebs_internal(c, &err);
		return;
	}
	c->reply->content_type = "application/octet-stream";
	c->reply->fd_off = index * STORE_BLOCK_SIZE;
	c->reply->fd_len = STORE_BLOCK_SIZE;
	reply_header(c->reply, "x-amz-Data-Length", "524288");
	set_digest_headers(c->reply, digest);
}
