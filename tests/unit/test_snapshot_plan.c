/* SPDX-License-Identifier: Apache-2.0 */
/* Which blocks an upload looks at, and that the largest volume costs little memory. */
#include "uploader/snapshot_plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "base/disk.h"
#include "base/num.h"
#include "uploader/snapshot_table.h"

static struct dev *make_dev(uint64_t size)
{
	struct error err = ERROR_INIT;
	struct dev *dev = disk_new(size, NULL, &err);

	assert_non_null(dev);
	return dev;
}

static void data_at(struct dev *dev, uint64_t block)
{
	struct error err = ERROR_INIT;

	assert_int_equal(dev_pwrite(dev, "x", 1, block * EBS_BLOCK_SIZE, &err), 0);
}

static struct snapshot_table *table(uint64_t nr, const uint64_t *blocks, size_t nr_set)
{
	struct error err = ERROR_INIT;
	struct snapshot_table *t = snapshot_table_new(nr, NULL, &err);

	assert_non_null(t);
	for (size_t i = 0; i < nr_set; i++)
		assert_int_equal(snapshot_table_set(t, blocks[i], NULL, &err), 0);
	return t;
}

static void expect(struct snapshot_plan *p, const uint64_t *blocks, size_t nr)
{
	struct error err = ERROR_INIT;
	enum extent_kind kind;
	uint64_t index, count;

	assert_int_equal(snapshot_plan_count(p, &count, &err), 0);
	assert_int_equal(count, nr);
	assert_int_equal(snapshot_plan_begin(p, &err), 0);
	for (size_t i = 0; i < nr; i++) {
		assert_int_equal(snapshot_plan_next(p, &index, &kind, &err), 1);
		assert_int_equal(index, blocks[i]);
	}
	assert_int_equal(snapshot_plan_next(p, &index, &kind, &err), 0);
	snapshot_plan_end(p);
}

static void test_merge(void **state)
{
	static const uint64_t in_parent[] = {0, 3, 9, 2047}, in_journal[] = {3, 7, 8};
	static const uint64_t all[] = {0, 2, 3, 5, 7, 8, 9, 2047};
	static const uint64_t own[] = {2, 3, 5};
	static const uint64_t data[] = {2, 3};
	struct snapshot_plan p = {.dev = make_dev(10 * EBS_BLOCK_SIZE), .nr_blocks = 2048};
	struct snapshot_table *parent = table(2048, in_parent, ARRAY_SIZE(in_parent));
	struct snapshot_table *written = table(2048, in_journal, ARRAY_SIZE(in_journal));
	struct error err = ERROR_INIT;

	(void)state;
	data_at(p.dev, 2);
	data_at(p.dev, 3);
	assert_int_equal(dev_clear(p.dev, 5 * EBS_BLOCK_SIZE, 1, EXTENT_ZERO, &err), 0);
	expect(&p, own, ARRAY_SIZE(own));
	p.skip = SNAPSHOT_SKIP_ZEROS;
	expect(&p, data, ARRAY_SIZE(data));
	p.skip = SNAPSHOT_SKIP_UNUSED;
	p.parent = parent;
	p.written = written;
	expect(&p, all, ARRAY_SIZE(all));
	snapshot_table_free(parent);
	snapshot_table_free(written);
	dev_close(p.dev, NULL);
}

static void test_never(void **state)
{
	struct snapshot_plan p = {.dev = make_dev(10 * EBS_BLOCK_SIZE), .nr_blocks = 2048,
		.skip = SNAPSHOT_SKIP_NEVER};
	struct error err = ERROR_INIT;
	uint64_t count;

	(void)state;
	assert_int_equal(snapshot_plan_count(&p, &count, &err), 0);
	assert_int_equal(count, 2048);
	dev_close(p.dev, NULL);
}

/* Each block is in exactly one shard, and the shards are even. */
static void test_shards(void **state)
{
	enum { NR = 3, BLOCKS = 4096 };
	struct snapshot_plan p = {.dev = make_dev(2 * GIB), .nr_blocks = BLOCKS,
		.skip = SNAPSHOT_SKIP_NEVER, .nr_shards = NR};
	static unsigned char seen[BLOCKS];
	struct error err = ERROR_INIT;
	enum extent_kind kind;
	uint64_t index, count;

	(void)state;
	for (p.shard = 1; p.shard <= NR; p.shard++) {
		assert_int_equal(snapshot_plan_count(&p, &count, &err), 0);
		assert_in_range(count, BLOCKS / NR - SNAPSHOT_SHARD_RUN, BLOCKS / NR + SNAPSHOT_SHARD_RUN);
		assert_int_equal(snapshot_plan_begin(&p, &err), 0);
		while (snapshot_plan_next(&p, &index, &kind, &err) == 1) {
			assert_true(snapshot_plan_is_mine(index, p.shard, NR));
			seen[index]++;
		}
		snapshot_plan_end(&p);
	}
	for (size_t i = 0; i < BLOCKS; i++)
		assert_int_equal(seen[i], 1);
	dev_close(p.dev, NULL);
}

static long max_rss_kib(void)
{
	struct rusage usage;

	assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
	return usage.ru_maxrss;
}

/* 64 TiB, as large as EBS has them: data everywhere in it, and the parent's blocks elsewhere. */
static void test_largest(void **state)
{
	const uint64_t nr = 64 * TIB / EBS_BLOCK_SIZE, step = 262144;
	struct snapshot_plan p = {.dev = make_dev(64 * TIB), .nr_blocks = nr};
	struct snapshot_table *parent = table(nr, NULL, 0);
	struct error err = ERROR_INIT;
	uint8_t digest[SHA256_SIZE];
	long before = max_rss_kib();
	uint64_t count;

	(void)state;
	memset(digest, 7, sizeof(digest));
	for (uint64_t i = 0; i < nr; i += step) {
		data_at(p.dev, i);
		assert_int_equal(snapshot_table_set(parent, i + step / 2, digest, &err), 0);
	}
	p.parent = parent;
	assert_int_equal(snapshot_plan_count(&p, &count, &err), 0);
	assert_int_equal(count, 2 * nr / step);
	assert_int_equal(snapshot_table_get(parent, nr - step / 2, digest, &err), 0);
	assert_int_equal(digest[31], 7);
	/* The budget for the whole program is 128 MiB. */
	assert_true(max_rss_kib() - before < 64 * 1024);
	snapshot_table_free(parent);
	dev_close(p.dev, NULL);
}

static void test_table_bounds(void **state)
{
	struct error err = ERROR_INIT;
	struct snapshot_table *t = table(100, NULL, 0);

	(void)state;
	assert_int_equal(snapshot_table_set(t, 100, NULL, &err), -1);
	assert_int_equal(err.kind, ERROR_INPUT);
	assert_false(snapshot_table_has(t, 100) || snapshot_table_has(NULL, 0));
	assert_true(snapshot_table_next(t, 0) == UINT64_MAX);
	assert_true(snapshot_table_next(NULL, 0) == UINT64_MAX);
	assert_int_equal(snapshot_table_set(t, 99, NULL, &err), 0);
	assert_int_equal(snapshot_table_next(t, 5), 99);
	assert_true(snapshot_table_next(t, 100) == UINT64_MAX);
	snapshot_table_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_merge),
		cmocka_unit_test(test_never),
		cmocka_unit_test(test_shards),
		cmocka_unit_test(test_largest),
		cmocka_unit_test(test_table_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
