/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocations that fail on purpose. The program's malloc family is replaced (glibc lets it); all
 * that strdup, reallocarray and the libraries allocate goes through it. Counting is per thread, so
 * others are not disturbed.
 */
#ifndef AMIWRIGHT_TESTS_ALLOCFAIL_H
#define AMIWRIGHT_TESTS_ALLOCFAIL_H

#include "base/error.h"

#include <stdbool.h>

/* False under sanitizers, which bring a malloc of their own. */
bool allocfail_available(void);

/* From here on in this thread: count, and let allocation number nth (1: the next) fail; 0: none. */
void allocfail_begin(unsigned nth);
/*
 * Ends that. True when the failure took place; *balance: allocations minus frees since the begin.
 */
bool allocfail_end(long *balance);

/*
 * Runs fn with its first, second, … allocation failing until one run needs no more. Each failed one
 * must give -1 with ERROR_NOMEM, the last 0, and none may leave memory behind. Otherwise says on
 * stderr what was wrong and returns false. fn: makes and frees all that it uses. True at once when
 * not available.
 */
bool allocfail_torture(int (*fn)(struct error *err));

#endif
