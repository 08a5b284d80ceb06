/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EBS direct: ListSnapshotBlocks and ListChangedBlocks. A page token carries the index that comes
 * next, so that paging needs no state.
 */
#include "uploader/region/ebs_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "uploader/region/form.h"
#include "uploader/region/token.h"

enum { LIST_MIN = 100, LIST_MAX = 10000 };

/* A list call: what of which snapshots, from where, how much. */
struct list {
	struct form query;
	const char *first_id; /* NULL unless changed blocks are asked for */
	char subject[EBS_SUBJECT_SIZE]; /* of page tokens */
	uint64_t from, max;
	int64_t now;
};

/* True (with a reply) when maxResults is out of bounds. */
static bool list_max(struct ebs_ctx *c, struct list *l)
{
	const char *text = form_get(&l->query, "maxResults");

	l->max = LIST_MAX;
	if (!text || (num_parse(text, LIST_MAX, &l->max, NULL) == 0 && l->max >= LIST_MIN))
		return false;
	ebs_invalid(c, "INVALID_PARAMETER_VALUE",
		"1 validation error detected: Value '%.40s' at 'maxResults' failed to satisfy "
		"constraint: Member must be between %d and %d",
		text, LIST_MIN, LIST_MAX);
	return true;
}

/* Where the page begins: the token's place, else startingBlockIndex. */
static bool list_from(struct ebs_ctx *c, struct list *l)
{
	const char *token = form_get(&l->query, "pageToken");
	const char *start = form_get(&l->query, "startingBlockIndex");

	l->from = 0;
	if (token) {
		if (!token_open(c->region->token_key, l->subject, token, l->now, &l->from))
			return false;
		ebs_invalid(c, "INVALID_PAGE_TOKEN", "The page token is not valid or has expired.");
		return true;
	}
	if (!start || num_parse(start, INT64_MAX, &l->from, NULL) == 0)
		return false;
	ebs_invalid(c, "INVALID_PARAMETER_VALUE",
		"startingBlockIndex must be a number of at least 0");
	return true;
}

/* True (with a reply) on any mistake in the query. */
static bool list_parse(struct ebs_ctx *c, struct list *l, bool changed)
{
	if (form_parse(&l->query, c->req->query, strlen(c->req->query), NULL) < 0) {
		ebs_invalid(c, "INVALID_PARAMETER_VALUE", "The query string is damaged.");
		return true;
	}
	l->now = region_now(c->region);
	if (changed) {
		l->first_id = form_get(&l->query, "firstSnapshotId");
		if (!l->first_id || *l->first_id == '\0' || strlen(l->first_id) >= STORE_ID_SIZE) {
			ebs_invalid(c, "INVALID_SNAPSHOT_ID",
				"First snapshot should not be empty or null");
			return true;
		}
	}
	(void)snprintf(l->subject, sizeof(l->subject), "page %s %s", c->id,
		l->first_id ? l->first_id : "");
	return list_max(c, l) || list_from(c, l);
}

static void list_token(struct ebs_ctx *c, const struct list *l, const char *key, const char *id,
	uint64_t index)
{
	char subject[EBS_SUBJECT_SIZE], token[TOKEN_SIZE];

	ebs_block_subject(id, subject);
	if (token_make(c->region->token_key, subject, index, l->now + TOKEN_BLOCK_S, token, NULL) < 0)
		c->reply->failed = true;
	else
		reply_addf(c->reply, ",\"%s\":\"%s\"", key, token);
}

static void list_end(struct ebs_ctx *c, const struct list *l, const struct snapshot *snap,
	uint64_t next)
{
	char token[TOKEN_SIZE], number[EBS_NUMBER_SIZE];

	reply_addf(c->reply, "],\"BlockSize\":%d,\"VolumeSize\":%llu,\"ExpiryTime\":%s",
		STORE_BLOCK_SIZE, (unsigned long long)snap->size_gib,
		ebs_number(l->now + TOKEN_BLOCK_S, number));
	if (next >= snap->map.nr_blocks)
		reply_addf(c->reply, ",\"NextToken\":null}");
	else if (token_make(c->region->token_key, l->subject, next, l->now + TOKEN_PAGE_S, token,
			 NULL) < 0)
		c->reply->failed = true;
	else
		reply_addf(c->reply, ",\"NextToken\":\"%s\"}", token);
}

void ebs_list_snapshot(struct ebs_ctx *c)
{
	CLEANUP(snapshot_cleanup) struct snapshot *snap = ebs_find_readable(c, c->id);
	struct list l = {.query = FORM_INIT};
	uint64_t index;

	if (!snap)
		return;
	if (!list_parse(c, &l, false)) {
		reply_addf(c->reply, "{\"Blocks\":[");
		index = blockmap_next(&snap->map, l.from);
		for (uint64_t n = 0; n < l.max && index < snap->map.nr_blocks; n++) {
			reply_addf(c->reply, "%s{\"BlockIndex\":%llu", n ? "," : "",
				(unsigned long long)index);
			list_token(c, &l, "BlockToken", c->id, index);
			reply_addf(c->reply, "}");
			index = blockmap_next(&snap->map, index + 1);
		}
		list_end(c, &l, snap, index);
	}
	form_release(&l.query);
}

/* True when one of the two descends from the other or both from a third. */
static bool same_lineage(struct store *store, const struct snapshot *a, const struct snapshot *b)
{
	const char *roots[2] = {a->id, b->id};
	bool same;

	pthread_mutex_lock(&store->lock);
	for (size_t i = 0; i < 2; i++) {
		const struct snapshot *at = i ? b : a;

		for (size_t depth = 0; at && depth <= store->nr_snapshots; depth++) {
			const char *parent = json_get_str(at->doc, "parent", NULL);

			roots[i] = parent ? parent : at->id;
			at = parent ? store_find_snapshot(store, parent) : NULL;
		}
	}
	same = strcmp(roots[0], roots[1]) == 0;
	pthread_mutex_unlock(&store->lock);
	return same;
}

static bool block_differs(const uint8_t *a, const uint8_t *b)
{
	return !a || !b ? a != b : memcmp(a, b, SHA256_SIZE) != 0;
}

/* Next index at or after from at which the two differ; the second's end when there is none. */
static uint64_t next_changed(const struct blockmap *first, const struct blockmap *second,
	uint64_t from)
{
	while (from < second->nr_blocks) {
		uint64_t a = blockmap_next(first, from), b = blockmap_next(second, from);

		from = a < first->nr_blocks ? MIN(a, b) : b;
		if (from >= second->nr_blocks)
			break;
		if (block_differs(blockmap_digest(first, from), blockmap_digest(second, from)))
			return from;
		from++;
	}
	return second->nr_blocks;
}

static void list_changed(struct ebs_ctx *c, struct list *l, const struct snapshot *first,
	const struct snapshot *second)
{
	uint64_t index = next_changed(&first->map, &second->map, l->from);

	reply_addf(c->reply, "{\"ChangedBlocks\":[");
	for (uint64_t n = 0; n < l->max && index < second->map.nr_blocks; n++) {
		reply_addf(c->reply, "%s{\"BlockIndex\":%llu", n ? "," : "",
			(unsigned long long)index);
		if (blockmap_digest(&first->map, index))
			list_token(c, l, "FirstBlockToken", first->id, index);
		if (blockmap_digest(&second->map, index))
			list_token(c, l, "SecondBlockToken", second->id, index);
		reply_addf(c->reply, "}");
		index = next_changed(&first->map, &second->map, index + 1);
	}
	list_end(c, l, second, index);
}

void ebs_list_changed(struct ebs_ctx *c)
{
	CLEANUP(snapshot_cleanup) struct snapshot *second = ebs_find_readable(c, c->id);
	CLEANUP(snapshot_cleanup) struct snapshot *first = NULL;
	struct list l = {.query = FORM_INIT};

	if (second && !list_parse(c, &l, true) && (first = ebs_find_readable(c, l.first_id))) {
		if (same_lineage(c->store, first, second))
			list_changed(c, &l, first, second);
		else
			ebs_invalid(c, "UNRELATED_SNAPSHOTS",
				"The snapshots '%s' and '%s' are not of one lineage.", first->id,
				second->id);
	}
	form_release(&l.query);
}
