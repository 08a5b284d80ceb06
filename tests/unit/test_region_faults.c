/* SPDX-License-Identifier: Apache-2.0 */
/* Faults and quotas of the local region: what is taken as a specification, how often, how fast. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/num.h"
#include "uploader/region/faults.h"

static void test_parse(void **state)
{
	static const char *const bad[] = {"", "throttle", "throttle=", "throttle=10", "throttle=101%",
		"throttle=1.2.3%", "error=-1%", "reset=x%", "slow=", "slow=1d", "slow=-1s", "slow=601s",
		"expire=0", "seed=x", "skew=--1",
		"skew=2147483647h", "colour=1%", "throttle=60%,error=41%", ",throttle=1%"};
	struct error err = ERROR_INIT;
	struct faults f;

	(void)state;
	assert_int_equal(faults_parse(&f, NULL, &err), 0);
	assert_int_equal(faults_draw(&f), FAULT_NONE);
	assert_int_equal(faults_parse(&f, "throttle=10%,error=0.25%,reset=2%,truncate=1.5%,slow=20ms,"
					  "expire=2m,skew=-3600,seed=7", &err), 0);
	assert_int_equal(f.throttle, 100000);
	assert_int_equal(f.error, 2500);
	assert_int_equal(f.reset, 20000);
	assert_int_equal(f.truncate, 15000);
	assert_int_equal(f.slow_ms, 20);
	assert_int_equal(f.expire_s, 120);
	assert_int_equal(f.skew_s, -3600);
	assert_int_equal(f.seed, 7);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		error_clear(&err);
		if (faults_parse(&f, bad[i], &err) == 0 || err.kind != ERROR_USAGE)
			fail_msg("'%s' was taken", bad[i]);
	}
}

static void test_draws_repeat_and_are_as_often_as_asked(void **state)
{
	enum { DRAWS = 20000 };
	unsigned count[FAULT_TRUNCATE + 1] = {0}, differ = 0;
	struct faults a, b, other;

	(void)state;
	assert_int_equal(faults_parse(&a, "throttle=10%,error=5%,reset=4%,truncate=1%,seed=3", NULL), 0);
	assert_int_equal(faults_parse(&b, "throttle=10%,error=5%,reset=4%,truncate=1%,seed=3", NULL), 0);
	assert_int_equal(faults_parse(&other, "throttle=10%,error=5%,reset=4%,truncate=1%,seed=4", NULL),
		0);
	for (unsigned i = 0; i < DRAWS; i++) {
		enum fault one = faults_draw(&a);

		assert_int_equal(one, faults_draw(&b));
		differ += one != faults_draw(&other);
		count[one]++;
	}
	assert_true(differ > DRAWS / 10);
	assert_in_range(count[FAULT_THROTTLE], 1800, 2200);
	assert_in_range(count[FAULT_ERROR], 850, 1150);
	assert_in_range(count[FAULT_RESET_BEFORE], 300, 500);
	assert_in_range(count[FAULT_RESET_AFTER], 300, 500);
	assert_in_range(count[FAULT_TRUNCATE], 130, 270);
}

static unsigned take_many(struct quotas *q, enum quota_kind kind, const char *account, uint64_t now_ms)
{
	unsigned taken = 0;

	for (unsigned i = 0; i < 100; i++)
		taken += quotas_take(q, kind, account, "us-east-1", now_ms);
	return taken;
}

static void test_quotas(void **state)
{
	struct error err = ERROR_INIT;
	struct quotas q;

	(void)state;
	assert_int_equal(quotas_parse(&q, "put=10,list=3", &err), 0);
	assert_int_equal(take_many(&q, QUOTA_GET, "111122223333", 0), 100);
	assert_int_equal(take_many(&q, QUOTA_PUT, "111122223333", 1000), 10);
	assert_int_equal(take_many(&q, QUOTA_PUT, "444455556666", 1000), 10);
	assert_int_equal(take_many(&q, QUOTA_LIST, "111122223333", 1000), 3);
	assert_int_equal(take_many(&q, QUOTA_PUT, "111122223333", 1500), 5);
	assert_int_equal(take_many(&q, QUOTA_PUT, "111122223333", 1550), 0);
	assert_int_equal(take_many(&q, QUOTA_PUT, "111122223333", 1600), 1);
	assert_int_equal(take_many(&q, QUOTA_PUT, "111122223333", 99000), 10);
	quotas_release(&q);
	assert_int_equal(quotas_parse(&q, "put=0", &err), -1);
	quotas_release(&q);
	assert_int_equal(quotas_parse(&q, "puts=5", &err), -1);
	assert_int_equal(err.kind, ERROR_USAGE);
	quotas_release(&q);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_draws_repeat_and_are_as_often_as_asked),
		cmocka_unit_test(test_quotas),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
