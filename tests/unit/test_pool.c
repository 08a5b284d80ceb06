/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool: order, bound, failure, event loops; everything with threads and with the serial twin.
 */
#include "base/pool.h"
#include "tests/lib/allocfail.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/num.h"

enum { NR_ITEMS = 500 };

struct item {
	int n, result;
	unsigned wait_us;
	bool ran;
	pthread_t by;
};

static int square(void *item, void *arg, struct error *err)
{
	struct item *it = item;
	struct timespec t = {.tv_nsec = it->wait_us * 1000L};

	if (it->wait_us)
		nanosleep(&t, NULL);
	it->ran = true;
	it->by = pthread_self();
	it->result = it->n * it->n;
	if (it->n == *(int *)arg || it->n == *(int *)arg + 3)
		return error_set(err, ERROR_INPUT, 0, "item %d is bad", it->n);
	return 0;
}

static struct pool *new_pool(unsigned nr_workers, unsigned depth, int *bad)
{
	struct error err = ERROR_INIT;
	struct pool *p = pool_new(nr_workers, depth, square, bad, &err);

	assert_non_null(p);
	return p;
}

static void submit(struct pool *p, struct item *it, int n, unsigned wait_us)
{
	struct error err = ERROR_INIT;

	*it = (struct item){.n = n, .wait_us = wait_us};
	assert_int_equal(pool_submit(p, it, &err), 0);
}

static void test_order(void **state)
{
	static const unsigned workers[] = {0, 1, 2, 8}, depths[] = {1, 2, 7, 64};
	struct item items[64];
	struct error err = ERROR_INIT;
	int none = -9;

	(void)state;
	for (size_t w = 0; w < ARRAY_SIZE(workers) * ARRAY_SIZE(depths); w++) {
		unsigned depth = depths[w % ARRAY_SIZE(depths)];
		struct pool *p = new_pool(workers[w / ARRAY_SIZE(depths)], depth, &none);
		int in = 0, out = 0;
		void *item;

		while (out < NR_ITEMS) {
			while (in < NR_ITEMS && !pool_full(p)) {
				submit(p, &items[(unsigned)in % depth], in, in % 5 == 0 ? 50 : 0);
				in++;
			}
			assert_int_equal(pool_pending(p), in - out);
			assert_int_equal(pool_next(p, &item, &err), 0);
			assert_ptr_equal(item, &items[(unsigned)out % depth]);
			assert_int_equal(((struct item *)item)->result, out * out);
			out++;
		}
		assert_int_equal(pool_next(p, &item, &err), 0);
		assert_null(item);
		pool_free(p);
	}
}

/* Item 20 fails, and 23 would too; the slow 20 is reported, all others come out. */
static void test_failure(void **state)
{
	static const unsigned workers[] = {1, 4};
	struct item items[40];
	int bad = 20;

	(void)state;
	for (size_t w = 0; w < ARRAY_SIZE(workers); w++) {
		struct pool *p = new_pool(workers[w], 40, &bad);
		void *item;

		for (int i = 0; i < 40; i++)
			submit(p, &items[i], i, i == 20 ? 3000 : i > 30 ? 300 : 0);
		for (int i = 0; i < 40; i++) {
			struct error err = ERROR_INIT;
			int ret = pool_next(p, &item, &err);

			assert_ptr_equal(item, &items[i]);
			if (i < 20)
				assert_int_equal(ret, 0);
			if (i == 20) {
				assert_int_equal(ret, -1);
				assert_string_equal(err.text, "item 20 is bad");
			}
			if (i > 20 && !items[i].ran) {
				assert_int_equal(ret, -1);
				assert_int_equal(err.kind, ERROR_INTERRUPTED);
			}
		}
		assert_int_equal(pool_pending(p), 0);
		assert_false(items[39].ran);
		pool_free(p);
	}
}

static bool readable(const struct pool *p, int timeout_ms)
{
	struct pollfd pfd = {.fd = pool_fd(p), .events = POLLIN};

	return poll(&pfd, 1, timeout_ms) == 1;
}

static void test_event_loop(void **state)
{
	struct item items[8];
	struct error err = ERROR_INIT;
	int none = -9, in = 0, out = 0;
	struct pool *p = new_pool(3, 8, &none);
	void *item;

	(void)state;
	assert_false(readable(p, 0));
	while (out < NR_ITEMS) {
		while (in < NR_ITEMS && !pool_full(p)) {
			submit(p, &items[in % 8], in, in % 3 == 0 ? 20 : 0);
			in++;
		}
		assert_true(readable(p, 10000));
		assert_int_equal(pool_try_next(p, &item, &err), 0);
		assert_ptr_equal(item, &items[out++ % 8]);
	}
	assert_false(readable(p, 0));
	submit(p, &items[0], 1, 20000);
	assert_int_equal(pool_try_next(p, &item, &err), 0);
	assert_null(item);
	assert_int_equal(pool_next(p, &item, &err), 0);
	assert_ptr_equal(item, &items[0]);
	pool_free(p);
}

static void test_serial_is_here(void **state)
{
	struct item it;
	struct error err = ERROR_INIT;
	int none = -9;
	struct pool *p = new_pool(1, 4, &none);
	void *item;

	(void)state;
	assert_int_equal(pool_fd(p), -1);
	submit(p, &it, 3, 0);
	assert_true(it.ran && pthread_equal(it.by, pthread_self()));
	assert_int_equal(pool_try_next(p, &item, &err), 0);
	assert_ptr_equal(item, &it);
	pool_free(p);
	pool_free(NULL);
}

/* Freed with items inside: those under way end, the others are left alone. */
static void test_free_early(void **state)
{
	struct item items[16];
	int none = -9;
	struct pool *p = new_pool(2, 16, &none);

	(void)state;
	for (int i = 0; i < 16; i++)
		submit(p, &items[i], i, 1000);
	pool_free(p);
}

static int mask_of(void *item, void *arg, struct error *err)
{
	(void)arg;
	(void)err;
	return pthread_sigmask(SIG_BLOCK, NULL, item);
}

static void test_signals(void **state)
{
	struct error err = ERROR_INIT;
	struct pool *p = pool_new(2, 2, mask_of, NULL, &err);
	sigset_t theirs, ours;
	void *item;

	(void)state;
	assert_non_null(p);
	sigemptyset(&theirs);
	assert_int_equal(pool_submit(p, &theirs, &err), 0);
	assert_int_equal(pool_next(p, &item, &err), 0);
	pool_free(p);
	pthread_sigmask(SIG_BLOCK, NULL, &ours);
	assert_true(sigismember(&theirs, SIGINT) && sigismember(&theirs, SIGTERM));
	assert_false(sigismember(&ours, SIGINT));
}

static void test_default_workers(void **state)
{
	cpu_set_t set;

	(void)state;
	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		skip();
	assert_int_equal(pool_default_workers(), CPU_COUNT(&set));
}

static int make_serial(struct error *err)
{
	static int none = -9;
	struct item it = {.n = 2};
	struct pool *p = pool_new(1, 4, square, &none, err);
	void *item;
	int ret;

	if (!p)
		return -1;
	ret = pool_submit(p, &it, err);
	if (ret == 0)
		ret = pool_next(p, &item, err);
	pool_free(p);
	return ret;
}

static void test_no_memory(void **state)
{
	struct error err = ERROR_INIT;
	long balance;

	(void)state;
	assert_true(allocfail_torture(make_serial));
	/* With threads the C library keeps memory of its own, so only the errors are looked at. */
	for (unsigned nth = 1; allocfail_available() && nth <= 3; nth++) {
		struct pool *p;

		allocfail_begin(nth);
		p = pool_new(4, 4, square, NULL, &err);
		assert_true(allocfail_end(&balance));
		assert_null(p);
		assert_int_equal(err.kind, ERROR_NOMEM);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_failure),
		cmocka_unit_test(test_event_loop),
		cmocka_unit_test(test_serial_is_here),
		cmocka_unit_test(test_free_early),
		cmocka_unit_test(test_signals),
		cmocka_unit_test(test_default_workers),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
