/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many puts may be under way, and how many a second: a hill climber over measured throughput
 * with halving on throttling, and a token bucket for the service's quota. Pure: time is an
 * argument.
 */
#ifndef AMIWRIGHT_UPLOADER_SNAPSHOT_PACE_H
#define AMIWRIGHT_UPLOADER_SNAPSHOT_PACE_H

#include <stdbool.h>
#include <stdint.h>

struct pace {
	unsigned limit, max;      /* requests under way: now, ever */
	unsigned best_limit;
	double best_rate;         /* puts a millisecond at best_limit */
	unsigned misses, hold;    /* steps without gain; epochs until the next step */
	uint64_t epoch_ms;        /* begin of this epoch */
	unsigned epoch_done;
	uint64_t throttled_ms;    /* last time the limit was halved; 0: never */
	bool saturated;           /* the limit was reached in this epoch */
	unsigned rate;            /* puts a second; 0: no quota */
	double tokens;
	uint64_t tokens_ms;
	bool quota_reached;       /* the quota held a put back at least once */
};

/* start <= max; rate in puts a second, 0 for none. */
void pace_init(struct pace *p, unsigned start, unsigned max, unsigned rate, uint64_t now_ms);
/* How many puts may start now with so many under way. */
unsigned pace_room(struct pace *p, unsigned inflight, uint64_t now_ms);
/* One was started; one ended well. */
void pace_started(struct pace *p);
void pace_done(struct pace *p, uint64_t now_ms);
/* The service asked for less. */
void pace_throttled(struct pace *p, uint64_t now_ms);

#endif
