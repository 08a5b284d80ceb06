/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks of a snapshot, many at a time.
 *
 *   source ──▶ slots: asked ──▶ (network) ──▶ came ──▶ checked ──▶ block()
 *                 ▲                             │
 *                 └── again: token expired, ────┘
 *                     content damaged
 *
 * A slot holds one block from the source until it was handed over, so the number of slots bounds the
 * memory. What a finished request leads to is decided in the loop and not in its callback, because a
 * new token may have to be listed for it.
 */
#include "uploader/snapshot_read.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/num.h"
#include "uploader/snapshot_pace.h"

enum {
	MAX_INFLIGHT = 64,
	GETS_A_SECOND = 1000, /* quotas L-028ACFB9 a snapshot, L-C125AE42 an account */
	MAX_DAMAGED = 3,      /* times that one block may come with a wrong digest */
	MAX_REFUSED = 3,      /* times that its token may be refused, each time a new one */
	LOOP_MS = 200,
	SOON_MS = 5, /* the quota or the consumer holds back */
};

enum slot_state { SLOT_FREE, SLOT_WANTED, SLOT_ASKED, SLOT_CAME, SLOT_CHECKED };

struct reader;

struct slot {
	struct reader *reader;
	enum slot_state state;
	uint64_t number;     /* of the block in the source's order */
	struct ebs_block block;
	struct aws_call call;
	struct buf answer;   /* memory of an earlier answer, used again */
	uint8_t digest[SHA256_SIZE];
	unsigned damaged;
	unsigned refused;    /* tokens */
};

struct reader {
	struct aws *aws;
	const char *snapshot;
	const struct snapshot_source *source;
	struct snapshot_read_opts opts;
	snapshot_block_fn block;
	void *arg;
	struct pace pace;
	struct slot *slots;
	unsigned nr_slots, inflight;
	uint64_t taken, handed;      /* blocks from the source; to block() */
	bool source_ended;
	struct ebs_block_list fresh; /* a page of tokens that were listed because one was refused */
	uint64_t success_ms, throttled;
	bool said_quota;
	bool held;                   /* block() wants no more for now */
};

static uint64_t now_ms(const struct reader *r)
{
	const struct aws_clock *c = aws_clock(r->aws);

	return c->monotonic_ms(c->arg);
}

static void get_done(struct aws_call *call, void *arg)
{
	struct slot *s = arg;

	(void)call;
	s->state = SLOT_CAME;
	s->reader->inflight--;
}

/* Ends the slot's call, keeping the memory of its answer. */
static void release_call(struct slot *s)
{
	s->answer = s->call.http.answer;
	s->call.http.answer = (struct buf)BUF_INIT(0);
	aws_call_release(&s->call);
}

static const struct ebs_block *find_fresh(const struct reader *r, uint64_t index)
{
	size_t low = 0, high = r->fresh.nr;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (r->fresh.items[mid].index < index)
			low = mid + 1;
		else
			high = mid;
	}
	return low < r->fresh.nr && r->fresh.items[low].index == index ? &r->fresh.items[low] : NULL;
}

static int ask(struct slot *s, struct error *err)
{
	struct reader *r = s->reader;
	const struct ebs_block *fresh = find_fresh(r, s->block.index);

	/* When one token has expired its neighbours have as well. */
	if (fresh)
		s->block = *fresh;
	if (ebs_get_block_init(r->aws, &s->call, r->snapshot, &s->block, err) < 0)
		return -1;
	s->call.http.answer = s->answer;
	s->answer = (struct buf)BUF_INIT(0);
	s->call.done = get_done;
	s->call.arg = s;
	if (aws_start(r->aws, &s->call, err) < 0) {
		release_call(s);
		return -1;
	}
	s->state = SLOT_ASKED;
	if (r->inflight++ == 0)
		r->success_ms = now_ms(r); /* waiting begins now */
	pace_started(&r->pace);
	return 0;
}

/* A slot for the source's next block; NULL when there is none. */
static struct slot *find_slot(struct reader *r)
{
	if (r->opts.ordered) {
		struct slot *s = &r->slots[r->taken % r->nr_slots];

		return s->state == SLOT_FREE ? s : NULL;
	}
	for (unsigned i = 0; i < r->nr_slots; i++) {
		if (r->slots[i].state == SLOT_FREE)
			return &r->slots[i];
	}
	return NULL;
}

/* Asks for blocks again that came badly, then for new ones, as far as the pace allows. */
static int ask_more(struct reader *r, struct error *err)
{
	unsigned room = pace_room(&r->pace, r->inflight, now_ms(r));

	for (unsigned i = 0; i < r->nr_slots && room > 0; i++) {
		if (r->slots[i].state != SLOT_WANTED)
			continue;
		if (ask(&r->slots[i], err) < 0)
			return -1;
		room--;
	}
	while (room > 0 && !r->source_ended) {
		struct slot *s = find_slot(r);
		int ret;

		if (!s)
			return 0;
		ret = r->source->next(r->source->arg, &s->block, err);
		if (ret < 0)
			return -1;
		if (ret == 0) {
			r->source_ended = true;
			return 0;
		}
		s->number = r->taken++;
		s->damaged = 0;
		s->refused = 0;
		s->state = SLOT_WANTED;
		if (ask(s, err) < 0)
			return -1;
		room--;
	}
	return 0;
}

static int list_fresh(struct reader *r, uint64_t start, struct error *err)
{
	CLEANUP_FREE char *next = NULL;
	struct aws_call call;
	int ret = -1;

	r->fresh.nr = 0;
	if (ebs_list_init(r->aws, &call, r->snapshot, start, NULL, err) < 0)
		return -1;
	if (aws_perform(r->aws, &call, err) == 0)
		ret = ebs_list_read(&call, &next, &r->fresh, err);
	aws_call_release(&call);
	return ret;
}

/*
 * A token that was refused: a new list has new ones, for this block and for the others that are
 * wanted (answers come in any order, so it begins at the lowest of them). Whether expiry was the
 * reason shows when the new one is used.
 */
static int renew_token(struct slot *s, struct error *err)
{
	struct reader *r = s->reader;
	uint64_t index = s->block.index, lowest = index;
	const struct ebs_block *fresh;

	fresh = find_fresh(r, index);
	if (fresh && strcmp(fresh->token, s->block.token) != 0)
		return 0;
	log_debug("%s; listing again", s->call.error.text);
	for (unsigned i = 0; i < r->nr_slots; i++) {
		if (r->slots[i].state != SLOT_FREE && r->slots[i].state != SLOT_CHECKED)
			lowest = MIN(lowest, r->slots[i].block.index);
	}
	if (list_fresh(r, lowest, err) < 0)
		return -1;
	if (!find_fresh(r, index) && lowest < index && list_fresh(r, index, err) < 0)
		return -1;
	if (find_fresh(r, index))
		return 0;
	return error_set(err, ERROR_SERVICE, 0,
		"ListSnapshotBlocks %s: block %" PRIu64 " is no longer listed", r->snapshot, index);
}

/* What came for a slot: a block that is as it should be, or a reason to ask again, or the end. */
static int judge(struct slot *s, struct error *err)
{
	struct error why = ERROR_INIT;
	struct reader *r = s->reader;
	int ret = -1;

	if (s->call.ok && ebs_check_block(&s->call, s->digest, &why) == 0) {
		s->state = SLOT_CHECKED;
		r->success_ms = now_ms(r);
		pace_done(&r->pace, r->success_ms);
		return 0;
	}
	if (s->call.ok && why.kind == ERROR_SERVICE && ++s->damaged < MAX_DAMAGED) {
		log_warn("%s; asking again", why.text);
		ret = 0;
	} else if (s->call.ok) {
		if (err)
			*err = why;
	} else if (strcmp(s->call.error.code, "ValidationException") == 0 &&
		   ++s->refused < MAX_REFUSED) {
		ret = renew_token(s, err);
	} else if (err) {
		*err = s->call.error;
	}
	release_call(s);
	s->state = ret == 0 ? SLOT_WANTED : SLOT_FREE;
	return ret;
}

/* 1 when it was not taken. */
static int hand_over(struct slot *s, struct error *err)
{
	struct reader *r = s->reader;
	int ret = r->block(r->arg, s->block.index, s->call.http.answer.data, s->digest, err);

	if (ret > 0 && r->opts.ordered)
		return 1;
	release_call(s);
	s->state = SLOT_FREE;
	r->handed++;
	if (r->opts.progress)
		progress_add(r->opts.progress, EBS_BLOCK_SIZE);
	return ret < 0 ? -1 : 0;
}

static int hand_over_in_order(struct reader *r, struct error *err)
{
	r->held = false;
	while (!r->held) {
		struct slot *s = &r->slots[r->handed % r->nr_slots];
		int ret;

		if (s->state != SLOT_CHECKED || s->number != r->handed)
			break;
		ret = hand_over(s, err);
		if (ret < 0)
			return -1;
		r->held = ret > 0;
	}
	return 0;
}

static int take_answers(struct reader *r, struct error *err)
{
	for (unsigned i = 0; i < r->nr_slots; i++) {
		struct slot *s = &r->slots[i];

		if (s->state == SLOT_CAME && judge(s, err) < 0)
			return -1;
		if (s->state == SLOT_CHECKED && !r->opts.ordered && hand_over(s, err) < 0)
			return -1;
	}
	return r->opts.ordered ? hand_over_in_order(r, err) : 0;
}

static void adapt(struct reader *r)
{
	uint64_t retries, throttled;

	aws_retry_counts(r->aws, &retries, &throttled);
	if (throttled > r->throttled) {
		r->throttled = throttled;
		pace_throttled(&r->pace, now_ms(r));
	}
	if (r->pace.quota_reached && !r->said_quota) {
		r->said_quota = true;
		log_info("%s: the quota of %d GetSnapshotBlock a second and snapshot (L-028ACFB9) is "
			 "what limits",
			r->snapshot, GETS_A_SECOND);
	}
}

static int check(const struct reader *r, struct error *err)
{
	unsigned budget = aws_retry_budget_ms(r->aws);

	if (r->opts.cancelled && r->opts.cancelled())
		return error_set(err, ERROR_INTERRUPTED, 0, "interrupted");
	if (r->inflight > 0 && now_ms(r) - r->success_ms > budget)
		return error_set(err, ERROR_NETWORK, 0, "%s: no block came for %u s", r->snapshot,
			budget / 1000);
	return 0;
}

static int loop(struct reader *r, struct error *err)
{
	for (;;) {
		bool soon, wake;

		if (take_answers(r, err) < 0 || ask_more(r, err) < 0)
			return -1;
		if (r->source_ended && r->handed == r->taken)
			return 0;
		wake = r->held && r->opts.wake_fd > 0;
		soon = !wake && (r->held || (!r->source_ended && r->inflight < r->pace.limit));
		if (aws_run(r->aws, soon ? SOON_MS : LOOP_MS, wake ? r->opts.wake_fd : -1, err) < 0)
			return -1;
		adapt(r);
		if (r->opts.progress)
			progress_tick(r->opts.progress);
		if (check(r, err) < 0)
			return -1;
	}
}

static int open_reader(struct reader *r, struct error *err)
{
	unsigned max = r->opts.max_inflight ? r->opts.max_inflight : MAX_INFLIGHT;
	bool local = aws_is_loopback(r->aws, AWS_EBS);
	uint64_t retries;

	max = MIN(max, (unsigned)MAX_INFLIGHT);
	/* One late block must not stop the others at once. */
	r->nr_slots = r->opts.ordered ? max + max / 2 + 1 : max;
	r->success_ms = now_ms(r);
	aws_retry_counts(r->aws, &retries, &r->throttled);
	pace_init(&r->pace, local ? 6 : 16, max, local ? 0 : GETS_A_SECOND, r->success_ms);
	r->slots = calloc(r->nr_slots, sizeof(*r->slots));
	if (!r->slots)
		return error_nomem(err, "block buffers");
	for (unsigned i = 0; i < r->nr_slots; i++)
		r->slots[i].reader = r;
	return 0;
}

static void close_reader(struct reader *r)
{
	for (unsigned i = 0; r->slots && i < r->nr_slots; i++) {
		struct slot *s = &r->slots[i];

		if (s->state == SLOT_ASKED)
			aws_cancel(r->aws, &s->call);
		if (s->state >= SLOT_ASKED)
			release_call(s);
		buf_release(&s->answer);
	}
	free(r->slots);
	ebs_block_list_release(&r->fresh);
}

int snapshot_read(struct aws *a, const char *snapshot, const struct snapshot_source *source,
	const struct snapshot_read_opts *opts, snapshot_block_fn block, void *arg,
	struct error *err)
{
	struct reader r = {.aws = a, .snapshot = snapshot, .source = source, .block = block,
		.arg = arg};
	int ret;

	if (opts)
		r.opts = *opts;
	ret = open_reader(&r, err);
	if (ret == 0)
		ret = loop(&r, err);
	close_reader(&r);
	return ret;
}

struct array {
	const struct ebs_block *items;
	size_t nr, pos;
};

static int next_of_array(void *arg, struct ebs_block *block, struct error *err)
{
	struct array *a = arg;

	(void)err;
	if (a->pos == a->nr)
		return 0;
	*block = a->items[a->pos++];
	return 1;
}

int snapshot_read_blocks(struct aws *a, const char *snapshot, const struct ebs_block *blocks,
	size_t nr, const struct snapshot_read_opts *opts, snapshot_block_fn block, void *arg,
	struct error *err)
{
	struct array array = {.items = blocks, .nr = nr};
	const struct snapshot_source source = {next_of_array, &array};

	return snapshot_read(a, snapshot, &source, opts, block, arg, err);
}
