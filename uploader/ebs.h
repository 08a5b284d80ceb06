/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The EBS direct APIs: StartSnapshot, PutSnapshotBlock, CompleteSnapshot, ListSnapshotBlocks,
 * ListChangedBlocks, GetSnapshotBlock. Protocol rest-json, API version 2019-11-02.
 */
#ifndef AMIWRIGHT_UPLOADER_EBS_H
#define AMIWRIGHT_UPLOADER_EBS_H

#include "base/hash.h"
#include "uploader/aws.h"

enum { EBS_BLOCK_SIZE = 524288, EBS_ID_SIZE = 65, EBS_TOKEN_SIZE = 257 };
/* Entries that a page of a list is asked for with: the most that the service gives. */
enum { EBS_MAX_PAGE = 10000 };

struct aws_tag {
	const char *key, *value; /* borrowed */
};

struct ebs_start_opts {
	uint64_t size_gib;          /* 1..65536 */
	const char *description;    /* NULL: none */
	const char *client_token;   /* <= 64 characters, no spaces; required: it makes a repeat safe */
	const char *parent;         /* NULL: none; then neither encrypted nor kms_key */
	bool encrypted;
	const char *kms_key;        /* full ARN; NULL */
	unsigned timeout_min;       /* 10..4320; 0: 60 */
	const struct aws_tag *tags;
	size_t nr_tags;
};

struct ebs_started {
	char snapshot[EBS_ID_SIZE];
	uint32_t block_size;        /* bytes */
	uint64_t size_gib;
	char status[16];
	char kms_key[256];          /* "" when not encrypted, or not said */
	char sse[16];               /* SseType: sse-kms, sse-ebs, none; "" when not said */
	char owner[16];             /* account; "" when not said */
	int64_t start_s;            /* seconds since 1970; long ago when the token was used before; 0: not said */
};

/* StartSnapshot; with a token that was used before, what it began then. Fills out. */
int ebs_start_snapshot(struct aws *a, const struct ebs_start_opts *opts, struct ebs_started *out,
	struct error *err) MUST_CHECK;

/*
 * Prepares a PutSnapshotBlock of EBS_BLOCK_SIZE bytes (borrowed until done); the caller sets done
 * and arg, and aws_start()s it.
 */
int ebs_put_block_init(struct aws *a, struct aws_call *call, const char *snapshot, uint64_t index,
	const void *block, const uint8_t digest[SHA256_SIZE], struct error *err) MUST_CHECK;

/*
 * changed: number of distinct blocks written; aggregate: SHA-256 over the raw digests in index
 * order (LINEAR), ignored when changed is 0. status gets "pending", "completed" or "error".
 */
int ebs_complete_snapshot(struct aws *a, const char *snapshot, uint64_t changed,
	const uint8_t aggregate[SHA256_SIZE], char status[16], struct error *err) MUST_CHECK;

struct ebs_block {
	uint64_t index;
	char token[EBS_TOKEN_SIZE];
};

struct ebs_block_list {
	struct ebs_block *items; /* owned */
	size_t nr, alloc;
	uint64_t size_gib;
	uint32_t block_size;
};
void ebs_block_list_release(struct ebs_block_list *l);

/*
 * Prepares a ListSnapshotBlocks for one page: the one of page_token, or with NULL the one that
 * begins at start_index. ebs_list_read() appends the blocks of its answer, which must be in order,
 * to list and replaces *next_token (freed; NULL at the end).
 */
int ebs_list_init(struct aws *a, struct aws_call *call, const char *snapshot, uint64_t start_index,
	const char *page_token, struct error *err) MUST_CHECK;
int ebs_list_read(const struct aws_call *call, char **next_token, struct ebs_block_list *list,
	struct error *err) MUST_CHECK;

/*
 * The same for ListChangedBlocks: what differs between two snapshots of one lineage, else the service
 * says ValidationException (UNRELATED_SNAPSHOTS). ebs_changed_read() appends to both lists, entry by
 * entry for the same block; the token of a snapshot that lacks it is "".
 */
int ebs_changed_init(struct aws *a, struct aws_call *call, const char *first, const char *second,
	uint64_t start_index, const char *page_token, struct error *err) MUST_CHECK;
int ebs_changed_read(const struct aws_call *call, char **next_token, struct ebs_block_list *first,
	struct ebs_block_list *second, struct error *err) MUST_CHECK;

/* Prepares a GetSnapshotBlock; in done() the answer body is the block. */
int ebs_get_block_init(struct aws *a, struct aws_call *call, const char *snapshot,
	const struct ebs_block *block, struct error *err) MUST_CHECK;
/* Checks length and SHA-256 of a GetSnapshotBlock answer against its headers; gives the SHA-256. */
int ebs_check_block(const struct aws_call *call, uint8_t digest[SHA256_SIZE], struct error *err)
	MUST_CHECK;

#endif
