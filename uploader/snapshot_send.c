/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The transfer itself: one event loop between an ordered pool and the network.
 *
 *   plan ──▶ pool (read, hash; any order) ──▶ ready (index order: aggregate, manifest) ──▶ puts
 *    ▲                                                                                      │
 *    └────────────────────────────── free blocks ◀──────────────────────────────────────────┘
 *
 * A block is in exactly one of these places, so the number of blocks bounds the memory. The pool
 * hands them back in index order, which is what makes the LINEAR aggregate a running hash; puts may
 * then end in any order. Blocks that the parent or an earlier run has already are hashed and
 * compared, and go no further.
 */
#include "uploader/snapshot_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/num.h"
#include "base/pool.h"
#include "base/zero.h"
#include "uploader/snapshot_journal.h"
#include "uploader/snapshot_pace.h"
#include "uploader/snapshot_plan.h"
#include "uploader/snapshot_table.h"

enum {
	DEFAULT_INFLIGHT = 64,
	MAX_BLOCKS = 96, /* 48 MiB */
	PUTS_A_SECOND = 1000,
	FRESH_MS = 120000,
	SYNC_MS = 30000, /* what a crash of the machine may cost; a sync holds the loop up */
	LOOP_MS = 200,
	QUOTA_LOOP_MS = 5,
};

struct send;

struct block {
	struct send *send;
	uint64_t index;
	enum extent_kind kind;
	uint8_t *data;    /* EBS_BLOCK_SIZE bytes, made at first use; owned */
	const void *body; /* data, or the shared zeros */
	uint8_t digest[SHA256_SIZE];
	struct aws_call call;
	bool under_way;
	struct block *next; /* in the free or the ready list */
};

struct send {
	struct aws *aws;
	const struct snapshot_job *job;
	const struct snapshot_upload_opts *opts;
	struct snapshot_result *out;
	uint64_t success_ms, synced_ms;
	struct pace pace;
	struct progress progress;
	struct snapshot_plan plan;
	bool plan_open, walked;
	uint64_t total; /* blocks that are to be sent, as far as known */
	struct pool *pool;
	struct sha256 *aggregate;
	uint8_t *zeros;
	uint8_t zero_digest[SHA256_SIZE];
	struct block *blocks;
	unsigned nr_bufs, nr_used; /* there are, are in work: being read, ready, under way */
	unsigned ahead;            /* blocks that are read beyond what may be under way */
	struct block *spare, *ready, **ready_end;
	unsigned inflight;
	uint64_t puts_done, throttled;
	bool said_quota, failed;
	struct error error;
};

static uint64_t now_ms(const struct send *s)
{
	const struct aws_clock *c = aws_clock(s->aws);

	return c->monotonic_ms(c->arg);
}

/* Runs in a worker. */
static int read_and_hash(void *item, void *arg, struct error *err)
{
	struct block *b = item;
	struct send *s = arg;
	uint64_t off = b->index * EBS_BLOCK_SIZE;
	size_t len;

	b->body = s->zeros;
	memcpy(b->digest, s->zero_digest, sizeof(b->digest));
	if (b->kind != EXTENT_DATA)
		return 0;
	len = (size_t)MIN((uint64_t)EBS_BLOCK_SIZE, s->job->dev->size - off);
	if (dev_pread(s->job->dev, b->data, len, off, err) < 0)
		return error_wrap(err, "block %" PRIu64, b->index);
	memset(b->data + len, 0, EBS_BLOCK_SIZE - len);
	if (zero_all(b->data, EBS_BLOCK_SIZE)) {
		b->kind = EXTENT_ZERO;
		return 0;
	}
	b->body = b->data;
	return sha256(b->data, EBS_BLOCK_SIZE, b->digest, err);
}

/*
 * What waits to be sent costs memory and wins nothing: reading stays a little ahead of the puts that
 * the pace allows, so that a fast line, which needs few of them at a time, needs few buffers.
 */
static bool has_room(const struct send *s)
{
	return s->spare && !s->walked && s->nr_used < s->pace.limit + s->ahead;
}

/* Gives free blocks to the pool while it takes them. */
static int fill(struct send *s, struct error *err)
{
	while (has_room(s) && !pool_full(s->pool)) {
		struct block *b = s->spare;
		int ret = snapshot_plan_next(&s->plan, &b->index, &b->kind, err);

		if (ret <= 0) {
			s->walked = true;
			return ret;
		}
		if (b->kind == EXTENT_DATA && !b->data) {
			b->data = aligned_alloc(4096, EBS_BLOCK_SIZE);
			if (!b->data)
				return error_nomem(err, "block buffers");
		}
		s->spare = b->next;
		s->nr_used++;
		if (pool_submit(s->pool, b, err) < 0)
			return -1;
	}
	return 0;
}

static void put_back(struct send *s, struct block *b)
{
	b->next = s->spare;
	s->spare = b;
	s->nr_used--;
}

static void leave_out(struct send *s, struct block *b)
{
	s->total--;
	progress_add(&s->progress, EBS_BLOCK_SIZE);
	put_back(s, b);
}

/* What becomes of a hashed block. */
enum fate { FATE_SEND, FATE_WRITTEN, FATE_LEFT_OUT };

static int decide(struct send *s, const struct block *b, enum fate *fate, struct error *err)
{
	const struct snapshot_job *job = s->job;
	bool in_parent = snapshot_table_has(job->parent, b->index);
	uint8_t digest[SHA256_SIZE];

	*fate = FATE_SEND;
	/* A block that was written counts in the aggregate, whatever is thought of it now. */
	if (snapshot_table_has(job->written, b->index)) {
		if (snapshot_table_get(job->written, b->index, digest, err) < 0)
			return -1;
		if (memcmp(digest, b->digest, SHA256_SIZE) == 0)
			*fate = FATE_WRITTEN;
	} else if (in_parent) {
		if (snapshot_table_get(job->parent, b->index, digest, err) < 0)
			return -1;
		if (memcmp(digest, b->digest, SHA256_SIZE) == 0) {
			s->out->blocks_same++;
			*fate = FATE_LEFT_OUT;
		}
	} else if (b->kind != EXTENT_DATA && s->opts->skip == SNAPSHOT_SKIP_ZEROS) {
		*fate = FATE_LEFT_OUT;
	}
	return 0;
}

/*
 * Counts a hashed block and puts it into the queue; the one place where blocks pass in index order.
 */
static int accept(struct send *s, struct block *b, struct error *err)
{
	enum fate fate;

	if (decide(s, b, &fate, err) < 0)
		return -1;
	if (fate == FATE_LEFT_OUT) {
		leave_out(s, b);
		return 0;
	}
	s->out->blocks_sent++;
	if (b->kind != EXTENT_DATA)
		s->out->blocks_zero++;
	if (sha256_update(s->aggregate, b->digest, sizeof(b->digest), err) < 0)
		return -1;
	if (s->opts->block && s->opts->block(s->opts->block_arg, b->index, b->digest, err) < 0)
		return -1;
	if (fate == FATE_WRITTEN) {
		s->out->blocks_resumed++;
		leave_out(s, b);
		return 0;
	}
	b->next = NULL;
	*s->ready_end = b;
	s->ready_end = &b->next;
	return 0;
}

static int take_hashed(struct send *s, struct error *err)
{
	for (;;) {
		void *item;

		if (pool_try_next(s->pool, &item, err) < 0) {
			put_back(s, item);
			return -1;
		}
		if (!item)
			return 0;
		if (accept(s, item, err) < 0)
			return -1;
	}
}

static void fail(struct send *s, const struct error *why)
{
	if (s->failed)
		return;
	s->failed = true;
	s->error = *why;
}

static void put_done(struct aws_call *call, void *arg)
{
	struct block *b = arg;
	struct send *s = b->send;
	struct error why = ERROR_INIT;

	b->under_way = false;
	s->inflight--;
	if (call->ok) {
		s->puts_done++;
		s->success_ms = now_ms(s);
		pace_done(&s->pace, s->success_ms);
		progress_add(&s->progress, EBS_BLOCK_SIZE);
		if (s->job->journal &&
		    snapshot_journal_sent(s->job->journal, b->index, b->digest, &why) < 0)
			fail(s, &why);
	} else {
		fail(s, &call->error);
	}
	aws_call_release(call);
	put_back(s, b);
}

static int start_put(struct send *s, struct block *b, struct error *err)
{
	if (ebs_put_block_init(s->aws, &b->call, s->out->snapshot, b->index, b->body, b->digest,
		    err) < 0)
		return -1;
	b->call.done = put_done;
	b->call.arg = b;
	b->call.fresh_snapshot = now_ms(s) - s->job->started_ms < FRESH_MS;
	if ((s->job->journal && snapshot_journal_sending(s->job->journal, b->index, err) < 0) ||
	    aws_start(s->aws, &b->call, err) < 0) {
		aws_call_release(&b->call);
		return -1;
	}
	b->under_way = true;
	s->inflight++;
	pace_started(&s->pace);
	return 0;
}

static int start_puts(struct send *s, struct error *err)
{
	unsigned room = s->ready ? pace_room(&s->pace, s->inflight, now_ms(s)) : 0;

	for (; room > 0 && s->ready; room--) {
		struct block *b = s->ready;

		s->ready = b->next;
		if (!s->ready)
			s->ready_end = &s->ready;
		if (start_put(s, b, err) < 0) {
			put_back(s, b);
			return -1;
		}
	}
	return 0;
}

static void adapt(struct send *s)
{
	uint64_t retries, throttled;

	aws_retry_counts(s->aws, &retries, &throttled);
	if (throttled > s->throttled) {
		if (s->throttled == 0)
			log_info("%s: AWS asks for less; sending fewer blocks at once (quotas "
				 "L-1774F84A a snapshot, L-AFAE1BE8 an account)",
				s->out->snapshot);
		s->throttled = throttled;
		pace_throttled(&s->pace, now_ms(s));
	}
	if (s->pace.quota_reached && !s->said_quota) {
		s->said_quota = true;
		log_info("%s: the quota of %d PutSnapshotBlock a second and snapshot (L-1774F84A) is "
			 "what limits%s",
			s->out->snapshot, PUTS_A_SECOND,
			s->opts->nr_shards ? "; this shard keeps to its part" : "");
	}
}

/*
 * What stops the transfer from within the loop: a put that failed for good, or no success for too
 * long.
 */
static int check(struct send *s, struct error *err)
{
	unsigned budget = aws_retry_budget_ms(s->aws);

	if (!s->failed && s->inflight > 0 && now_ms(s) - s->success_ms > budget) {
		s->failed = true;
		error_set(&s->error, ERROR_NETWORK, 0, "no block was accepted for %u s", budget / 1000);
	}
	if (!s->failed)
		return 0;
	if (err) {
		*err = s->error;
		error_wrap(err, "%" PRIu64 " of %" PRIu64 " blocks not sent", s->total - s->puts_done,
			s->total);
	}
	return -1;
}

static bool all_sent(const struct send *s)
{
	return s->walked && pool_pending(s->pool) == 0 && !s->ready && s->inflight == 0;
}

static int sync_journal(struct send *s, struct error *err)
{
	uint64_t now = now_ms(s);

	if (!s->job->journal || now - s->synced_ms < SYNC_MS)
		return 0;
	s->synced_ms = now;
	return snapshot_journal_sync(s->job->journal, err);
}

static int loop(struct send *s, struct error *err)
{
	for (;;) {
		unsigned wait = LOOP_MS;

		if (take_hashed(s, err) < 0 || fill(s, err) < 0 || take_hashed(s, err) < 0 ||
		    start_puts(s, err) < 0)
			return -1;
		if (all_sent(s))
			return 0;
		/* The serial twin of the pool has no descriptor that would wake the loop. */
		if (pool_fd(s->pool) < 0 && s->inflight < s->pace.limit && has_room(s))
			wait = 0;
		else if (s->ready && s->inflight < s->pace.limit)
			wait = QUOTA_LOOP_MS;
		if (aws_run(s->aws, wait, pool_fd(s->pool), err) < 0)
			return -1;
		adapt(s);
		progress_tick(&s->progress);
		if (check(s, err) < 0 || sync_journal(s, err) < 0)
			return -1;
	}
}

static int open_plan(struct send *s, struct error *err)
{
	s->plan = (struct snapshot_plan){
		.dev = s->job->dev,
		.skip = s->opts->skip,
		.nr_blocks = s->out->size_gib * (GIB / EBS_BLOCK_SIZE),
		.parent = s->job->parent,
		.written = s->job->written,
		.shard = s->opts->shard,
		.nr_shards = s->opts->nr_shards,
	};
	if (snapshot_plan_count(&s->plan, &s->total, err) < 0)
		return -1;
	s->plan_open = true;
	return snapshot_plan_begin(&s->plan, err);
}

/* The quota is the snapshot's: the shards share it. */
static unsigned rate(const struct send *s)
{
	if (aws_is_loopback(s->aws, AWS_EBS))
		return 0;
	return MAX(PUTS_A_SECOND / MAX(s->opts->nr_shards, 1U), 1U);
}

static int open_send(struct send *s, struct error *err)
{
	unsigned workers = s->opts->workers, depth = workers > 1 ? 2 * workers + 2 : 4;
	unsigned max = s->opts->max_inflight ? s->opts->max_inflight : DEFAULT_INFLIGHT;
	bool local = aws_is_loopback(s->aws, AWS_EBS);

	depth = MIN(depth, (unsigned)MAX_BLOCKS / 3);
	max = MIN(max, MAX_BLOCKS - depth);
	s->nr_bufs = s->nr_used = max + depth;
	s->ahead = depth;
	s->ready_end = &s->ready;
	s->success_ms = s->synced_ms = now_ms(s);
	pace_init(&s->pace, local ? 6 : 16, max, rate(s), s->success_ms);
	s->blocks = calloc(s->nr_bufs, sizeof(*s->blocks));
	s->zeros = calloc(1, EBS_BLOCK_SIZE);
	if (!s->blocks || !s->zeros)
		return error_nomem(err, "block buffers");
	for (unsigned i = s->nr_bufs; i-- > 0;) {
		s->blocks[i].send = s;
		put_back(s, &s->blocks[i]);
	}
	if (sha256(s->zeros, EBS_BLOCK_SIZE, s->zero_digest, err) < 0)
		return -1;
	s->aggregate = sha256_new(err);
	if (!s->aggregate || open_plan(s, err) < 0)
		return -1;
	s->pool = pool_new(workers, depth, read_and_hash, s, err);
	return s->pool ? 0 : -1;
}

/* Stops what is still under way and frees; also after a failure at any point. */
static void close_send(struct send *s)
{
	void *item;

	for (unsigned i = 0; s->blocks && i < s->nr_bufs; i++) {
		if (!s->blocks[i].under_way)
			continue;
		aws_cancel(s->aws, &s->blocks[i].call);
		aws_call_release(&s->blocks[i].call);
	}
	while (s->pool && pool_pending(s->pool) > 0) {
		/* Only to have the items back: what they say no longer matters. */
		if (pool_next(s->pool, &item, NULL) < 0)
			continue;
	}
	pool_free(s->pool);
	if (s->plan_open)
		snapshot_plan_end(&s->plan);
	sha256_free(s->aggregate);
	for (unsigned i = 0; s->blocks && i < s->nr_bufs; i++)
		free(s->blocks[i].data);
	free(s->blocks);
	free(s->zeros);
}

int snapshot_send(struct aws *a, const struct snapshot_job *job, struct snapshot_result *out,
	struct error *err)
{
	struct send s = {.aws = a, .job = job, .opts = job->opts, .out = out};
	char what[48];
	int ret = open_send(&s, err);

	if (ret == 0) {
		snprintf(what, sizeof(what), "upload %.38s", out->snapshot);
		progress_begin(&s.progress, s.opts->progress, what, s.total * EBS_BLOCK_SIZE);
		ret = loop(&s, err);
		if (ret == 0)
			ret = sha256_final(s.aggregate, out->aggregate, err);
		progress_end(&s.progress, ret == 0);
	}
	out->blocks_unused = s.plan.nr_blocks - MIN(s.plan.nr_blocks, out->blocks_sent + out->blocks_same);
	close_send(&s);
	return ret;
}
