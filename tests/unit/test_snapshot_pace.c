/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pace against models of a service: one that gains up to some concurrency, one that throttles,
 * one with a quota.
 */
#include "uploader/snapshot_pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/num.h"

/*
 * Runs ms milliseconds of a service in which one put takes 100 ms and at most `useful` run at once.
 */
static unsigned run(struct pace *p, uint64_t *now, unsigned ms, unsigned useful)
{
	double credit = 0;
	unsigned inflight = 0, done = 0;

	for (uint64_t end = *now + ms; *now < end; (*now)++) {
		for (unsigned room = pace_room(p, inflight, *now); room > 0; room--) {
			pace_started(p);
			inflight++;
		}
		/* Notes that the limit is reached, as the loop's next call would. */
		pace_room(p, inflight, *now);
		credit += (double)MIN(inflight, useful) / 100.0;
		for (; credit >= 1 && inflight > 0; credit -= 1) {
			inflight--;
			done++;
			pace_done(p, *now);
		}
	}
	return done;
}

static void test_grows(void **state)
{
	struct pace p;
	uint64_t now = 1000;

	(void)state;
	pace_init(&p, 8, 64, 0, now);
	run(&p, &now, 10000, 1000);
	assert_true(p.limit >= 60);
	assert_true(p.limit <= 64);
}

static void test_finds_the_knee(void **state)
{
	struct pace p;
	uint64_t now = 1000;

	(void)state;
	pace_init(&p, 4, 64, 0, now);
	run(&p, &now, 20000, 20);
	assert_in_range(p.limit, 16, 40);
}

static void test_halves(void **state)
{
	struct pace p;
	uint64_t now = 1000;

	(void)state;
	pace_init(&p, 32, 64, 0, now);
	pace_throttled(&p, now);
	assert_int_equal(p.limit, 16);
	/* Answers to puts that were sent together count once. */
	pace_throttled(&p, now + 1);
	assert_int_equal(p.limit, 16);
	for (int i = 1; i < 20; i++)
		pace_throttled(&p, now + 1000U * (unsigned)i);
	assert_int_equal(p.limit, 1);
	now += 30000;
	run(&p, &now, 20000, 1000);
	assert_true(p.limit > 8);
}

static void test_quota(void **state)
{
	struct pace p;
	uint64_t now = 1000;
	unsigned done;

	(void)state;
	pace_init(&p, 64, 64, 200, now);
	done = run(&p, &now, 10000, 1000);
	assert_in_range(done, 1900, 2010);
	assert_true(p.quota_reached);
}

/* A reader that is slower than the network says nothing about the limit. */
static void test_unsaturated(void **state)
{
	struct pace p;

	(void)state;
	pace_init(&p, 8, 64, 0, 0);
	for (uint64_t now = 0; now < 10000; now += 10) {
		assert_int_equal(pace_room(&p, 2, now), 6);
		pace_done(&p, now);
	}
	assert_int_equal(p.limit, 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grows),
		cmocka_unit_test(test_finds_the_knee),
		cmocka_unit_test(test_halves),
		cmocka_unit_test(test_quota),
		cmocka_unit_test(test_unsaturated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
