/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Concurrency by hill climbing. An epoch lasts until time and number of puts make its rate worth
 * something. While the rate grows with the limit, the limit grows; after two steps without gain it
 * goes back to the best one seen and stays for a while. Throttling halves it at once. Epochs in
 * which the limit was never reached say nothing about it (the disk or the processor was slower) and
 * change nothing.
 */
#include "uploader/snapshot_pace.h"

#include "base/num.h"

enum {
	EPOCH_MS = 150,
	HOLD_EPOCHS = 20,
	THROTTLE_HOLD = 8,
};

static const double gain = 1.04; /* a smaller growth is noise */

void pace_init(struct pace *p, unsigned start, unsigned max, unsigned rate, uint64_t now_ms)
{
	*p = (struct pace){
		.limit = MIN(MAX(start, 1U), max),
		.max = max,
		.rate = rate,
		.tokens = rate / 20.0,
		.epoch_ms = now_ms,
		.tokens_ms = now_ms,
	};
	p->best_limit = p->limit;
}

static void new_epoch(struct pace *p, uint64_t now_ms)
{
	p->epoch_ms = now_ms;
	p->epoch_done = 0;
	p->saturated = false;
}

static void grow(struct pace *p)
{
	p->limit = MIN(p->limit + MAX(2U, p->limit / 4), p->max);
}

static void end_epoch(struct pace *p, double rate)
{
	if (rate > p->best_rate * gain) {
		p->best_rate = rate;
		p->best_limit = p->limit;
		p->misses = 0;
		p->hold = 0;
		grow(p);
	} else if (p->hold > 0) {
		/* Conditions may have changed: measure afresh, then try a step. */
		if (--p->hold == 0) {
			p->best_rate = rate;
			p->best_limit = p->limit;
			p->misses = 0;
			grow(p);
		}
	} else if (++p->misses < 2) {
		grow(p);
	} else {
		p->limit = p->best_limit;
		p->hold = HOLD_EPOCHS;
	}
}

void pace_done(struct pace *p, uint64_t now_ms)
{
	uint64_t elapsed = now_ms - p->epoch_ms;

	p->epoch_done++;
	if (elapsed < EPOCH_MS || p->epoch_done < p->limit)
		return;
	if (p->saturated)
		end_epoch(p, (double)p->epoch_done / (double)elapsed);
	new_epoch(p, now_ms);
}

void pace_throttled(struct pace *p, uint64_t now_ms)
{
	/* Many puts are refused by one and the same shortage: once an epoch is enough. */
	if (p->throttled_ms && now_ms - p->throttled_ms < EPOCH_MS)
		return;
	p->throttled_ms = now_ms;
	p->limit = MAX(p->limit / 2, 1U);
	p->best_limit = p->limit;
	p->best_rate = 1e9; /* nothing counts as gain before the hold is over */
	p->misses = 0;
	p->hold = THROTTLE_HOLD;
	new_epoch(p, now_ms);
}

static void refill(struct pace *p, uint64_t now_ms)
{
	double burst = p->rate / 20.0; /* 50 ms */

	p->tokens += (double)(now_ms - p->tokens_ms) * p->rate / 1000.0;
	p->tokens = MIN(p->tokens, burst);
	p->tokens_ms = now_ms;
}

unsigned pace_room(struct pace *p, unsigned inflight, uint64_t now_ms)
{
	unsigned room = inflight < p->limit ? p->limit - inflight : 0;

	if (room == 0)
		p->saturated = true;
	if (p->rate == 0)
		return room;
	refill(p, now_ms);
	if (p->tokens < room) {
		if (room > 0 && p->tokens < 1)
			p->quota_reached = true;
		room = (unsigned)p->tokens;
	}
	return room;
}

void pace_started(struct pace *p)
{
	if (p->rate > 0)
		p->tokens -= 1;
}
