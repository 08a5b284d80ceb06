/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An ordered worker pool: items go in, workers run them in any order and in parallel, results come
 * out in the order in which they went in. With nr_workers <= 1 the serial twin runs each item in
 * the caller's thread at submit time: same results in the same order, no threads at all.
 *
 * A worker touches only its item. The number of items inside is bounded by `depth`, so memory is
 * too. All functions are for one thread, the owner's; workers run with all signals blocked.
 */
#ifndef AMIWRIGHT_BASE_POOL_H
#define AMIWRIGHT_BASE_POOL_H

#include "base/cleanup.h"
#include "base/error.h"

#include <stdbool.h>

struct pool;

/*
 * Runs in a worker. A failure stops the pool: pool_next() reports the error of the first failed
 * item in order. Items behind it still come out, with their own result when they were already under
 * way, else not run at all and with ERROR_INTERRUPTED.
 */
typedef int (*pool_work_fn)(void *item, void *arg, struct error *err);

/*
 * nr_workers 0 or 1: the serial twin, which works in pool_submit(). depth: items inside at most, >= 1.
 * arg goes to work() each time.
 */
struct pool *pool_new(unsigned nr_workers, unsigned depth, pool_work_fn work, void *arg,
	struct error *err) MUST_CHECK;
/*
 * Waits for workers in progress; items still inside are the caller's loss, so drain first. NULL is
 * fine.
 */
void pool_free(struct pool *p);

/*
 * True when pool_submit() would have to wait: `depth` items are inside (finished but not fetched
 * ones count).
 */
bool pool_full(const struct pool *p);
/* Number of items inside. */
unsigned pool_pending(const struct pool *p);
/*
 * Lends the item to the pool until pool_next() hands it back. Must not be called when full
 * (asserted).
 */
int pool_submit(struct pool *p, void *item, struct error *err) MUST_CHECK;
/*
 * The oldest item, waiting until it is done; *item = NULL when none is inside. -1 with the item's
 * error when its work failed (*item is still set, so that the caller can free it).
 */
int pool_next(struct pool *p, void **item, struct error *err) MUST_CHECK;
/* As pool_next(), but *item = NULL at once when the oldest is not done yet. For event loops. */
int pool_try_next(struct pool *p, void **item, struct error *err) MUST_CHECK;
/*
 * A descriptor that polls readable while pool_try_next() may have something; -1 for the serial
 * twin.
 */
int pool_fd(const struct pool *p);

/* Processors that this process may run on (sched_getaffinity), at least 1. */
unsigned pool_default_workers(void);

#endif
