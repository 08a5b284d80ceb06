/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of an upload by several machines: the journals of all shards are merged by block index,
 * which gives the count and the LINEAR aggregate of the whole.
 */
#include "uploader/snapshot_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "uploader/snapshot_journal.h"
#include "uploader/snapshot_plan.h"

struct merge {
	const char *snapshot;
	struct snapshot_table *table;
	bool *seen;             /* by shard, from 0; owned */
	int64_t nr_shards, size_gib;
	char *common;           /* the head of the first, without what is the shard's own; owned */
};

DEFINE_CLEANUP(sha256, struct sha256, sha256_free)

/* What must be the same in all shards, as text. */
static char *common_part(const struct json *head, struct error *err)
{
	static const char *const keys[] = {"region", "local", "size_gib", "skip", "parent", "snapshot",
		"shards", "source"};
	CLEANUP_BUF struct buf text = BUF_INIT(1 << 16);

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		struct json *value = json_get(head, keys[i]);

		if (buf_addf(&text, err, "%s ", keys[i]) < 0 ||
		    (value && json_write(value, false, &text, err) < 0) ||
		    buf_add_str(&text, "\n", err) < 0)
			return NULL;
	}
	return buf_strf(err, "%s", buf_str(&text));
}

static int merge_begin(struct merge *m, const struct json *head, const char *spool_dir,
	struct error *err)
{
	m->nr_shards = json_get_int(head, "shards", 0);
	m->size_gib = json_get_int(head, "size_gib", 0);
	if (m->nr_shards < 1 || m->nr_shards > SNAPSHOT_SHARDS_MAX || m->size_gib < 1 ||
	    m->size_gib > 65536)
		return error_set(err, ERROR_INPUT, 0, "it is not of a shard");
	m->seen = calloc((size_t)m->nr_shards, sizeof(*m->seen));
	if (!m->seen)
		return error_nomem(err, "shards");
	m->table = snapshot_table_new((uint64_t)m->size_gib * (GIB / EBS_BLOCK_SIZE), spool_dir, err);
	return m->table ? 0 : -1;
}

static int check_head(struct merge *m, const struct json *head, int64_t *shard, struct error *err)
{
	CLEANUP_FREE char *common = common_part(head, err);
	const char *snapshot = json_get_str(head, "snapshot", "");

	if (!common)
		return -1;
	if (strcmp(snapshot, m->snapshot) != 0)
		return error_set(err, ERROR_INPUT, 0, "it is of snapshot '%s', not of %s", snapshot,
			m->snapshot);
	if (m->common && strcmp(m->common, common) != 0)
		return error_set(err, ERROR_INPUT, 0,
			"it was made from another image or with other options than the others");
	*shard = json_get_int(head, "shard", 0);
	if (*shard < 1 || *shard > m->nr_shards)
		return error_set(err, ERROR_INPUT, 0, "it is not of a shard");
	if (m->seen[*shard - 1])
		return error_set(err, ERROR_INPUT, 0, "shard %" PRId64 " is there twice", *shard);
	m->seen[*shard - 1] = true;
	if (!m->common)
		m->common = steal_ptr(&common);
	return 0;
}

/* Every block of the shard is its own, and has a digest. */
static int check_blocks(const struct snapshot_table *t, const struct merge *m, int64_t shard,
	uint64_t count, struct error *err)
{
	static const uint8_t unknown[SHA256_SIZE];
	uint8_t digest[SHA256_SIZE];

	if (snapshot_table_count(t) != count)
		return error_set(err, ERROR_INPUT, 0, "it says %" PRIu64 " blocks and has %" PRIu64, count,
			snapshot_table_count(t));
	for (uint64_t i = 0; (i = snapshot_table_next(t, i)) != UINT64_MAX; i++) {
		if (!snapshot_plan_is_mine(i, (unsigned)shard, (unsigned)m->nr_shards))
			return error_set(err, ERROR_INPUT, 0,
				"block %" PRIu64 " does not belong to shard %" PRId64, i, shard);
		if (snapshot_table_get(t, i, digest, err) < 0)
			return -1;
		if (memcmp(digest, unknown, SHA256_SIZE) == 0)
			return error_set(err, ERROR_INPUT, 0, "block %" PRIu64 " was not confirmed", i);
		if (snapshot_table_set(m->table, i, digest, err) < 0)
			return -1;
	}
	return 0;
}

static int merge_one(struct merge *m, const char *path, const char *spool_dir, struct error *err)
{
	CLEANUP(snapshot_journal_cleanup) struct snapshot_journal *j =
		snapshot_journal_open_any(path, err);
	CLEANUP(snapshot_table_cleanup) struct snapshot_table *own = NULL;
	int64_t shard = 0;

	if (!j)
		return -1;
	if ((!m->table && merge_begin(m, snapshot_journal_head(j), spool_dir, err) < 0) ||
	    check_head(m, snapshot_journal_head(j), &shard, err) < 0)
		return error_wrap(err, "'%s'", path);
	if (snapshot_journal_state(j)->damaged)
		return error_set(err, ERROR_INPUT, 0,
			"'%s' is damaged: not all that shard %" PRId64 " has sent is known any more", path,
			shard);
	if (!snapshot_journal_state(j)->ended)
		return error_set(err, ERROR_INPUT, 0,
			"'%s': shard %" PRId64 " has not ended: run it again", path, shard);
	own = snapshot_table_new((uint64_t)m->size_gib * (GIB / EBS_BLOCK_SIZE), spool_dir, err);
	if (!own || snapshot_journal_load(j, own, err) < 0)
		return -1;
	if (check_blocks(own, m, shard, snapshot_journal_state(j)->count, err) < 0)
		return error_wrap(err, "'%s'", path);
	return 0;
}

static int check_all_there(const struct merge *m, struct error *err)
{
	for (int64_t i = 0; i < m->nr_shards; i++) {
		if (!m->seen[i])
			return error_set(err, ERROR_INPUT, 0, "shard %" PRId64 " of %" PRId64 " is missing",
				i + 1, m->nr_shards);
	}
	return 0;
}

/* The aggregate and the counts. */
static int sum_up(const struct snapshot_table *t, struct snapshot_result *out, struct error *err)
{
	CLEANUP(sha256_cleanup) struct sha256 *h = sha256_new(err);
	CLEANUP_FREE uint8_t *zeros = calloc(1, EBS_BLOCK_SIZE);
	uint8_t digest[SHA256_SIZE], zero_digest[SHA256_SIZE];

	if (!h)
		return -1;
	if (!zeros)
		return error_nomem(err, "a block");
	if (sha256(zeros, EBS_BLOCK_SIZE, zero_digest, err) < 0)
		return -1;
	for (uint64_t i = 0; (i = snapshot_table_next(t, i)) != UINT64_MAX; i++) {
		if (snapshot_table_get(t, i, digest, err) < 0 ||
		    sha256_update(h, digest, sizeof(digest), err) < 0)
			return -1;
		out->blocks_zero += memcmp(digest, zero_digest, sizeof(digest)) == 0;
	}
	out->blocks_sent = snapshot_table_count(t);
	out->blocks_unused = out->size_gib * (GIB / EBS_BLOCK_SIZE) - out->blocks_sent;
	return sha256_final(h, out->aggregate, err);
}

static void merge_release(struct merge *m)
{
	snapshot_table_free(m->table);
	free(m->seen);
	free(m->common);
}

/* What a failure leaves is for the user to finish or to delete; nothing here knows which. */
static void say_left(struct aws *a, struct snapshot_result *out, bool accepted, struct error *err)
{
	struct error first = *err;
	const char *next = "finish it again, or delete it with";

	if (accepted && first.kind == ERROR_SERVICE)
		next = "delete it with";
	else if (accepted)
		next = "it may still complete; if it does not, delete it with";
	error_set(err, first.kind, 0,
		"%.600s; snapshot %s is left in %s: %s 'amiwright upload --cleanup IMAGE'", first.text,
		out->snapshot, aws_region(a), next);
	err->errnum = first.errnum;
	err->http_status = first.http_status;
	memcpy(err->code, first.code, sizeof(err->code));
	out->snapshot[0] = '\0';
}

int snapshot_finish(struct aws *a, const char *snapshot, const char *const *journals, size_t nr,
	const struct snapshot_upload_opts *opts, struct snapshot_result *out, struct error *err)
{
	struct merge m = {.snapshot = snapshot};
	struct error why = ERROR_INIT;
	bool accepted = false;
	int ret = 0;

	memset(out, 0, sizeof(*out));
	snprintf(out->snapshot, sizeof(out->snapshot), "%s", snapshot);
	for (size_t i = 0; ret == 0 && i < nr; i++)
		ret = merge_one(&m, journals[i], opts->spool_dir, &why);
	if (ret == 0)
		ret = check_all_there(&m, &why);
	out->size_gib = (uint64_t)m.size_gib;
	if (ret == 0)
		ret = sum_up(m.table, out, &why);
	if (ret == 0)
		ret = snapshot_complete(a, opts, out, &accepted, &why);
	merge_release(&m);
	if (ret < 0) {
		say_left(a, out, accepted, &why);
		if (err)
			*err = why;
	}
	return ret;
}
