/* SPDX-License-Identifier: Apache-2.0 */
/* The walk against asking for the extents of each unit. */
#include "base/walk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/disk.h"
#include "base/num.h"

static enum extent_kind kind_of(struct dev *dev, uint64_t unit, uint64_t index)
{
	struct extent_list list = EXTENT_LIST_INIT;
	enum extent_kind kind = EXTENT_UNUSED;
	struct error err = ERROR_INIT;
	uint64_t off = index * unit;

	assert_int_equal(dev_extents(dev, off, MIN(unit, dev->size - off), &list, &err), 0);
	for (size_t i = 0; i < list.nr; i++)
		kind = MAX(kind, list.items[i].kind);
	extent_list_release(&list);
	return kind;
}

static void check_walk(struct dev *dev, uint64_t unit, enum extent_kind least)
{
	uint64_t nr = num_div_up(dev->size, unit), index, expect = 0;
	struct error err = ERROR_INIT;
	enum extent_kind kind;
	struct walk w;
	int found;

	walk_init(&w, dev, unit);
	while ((found = walk_next(&w, least, &index, &kind, &err)) > 0) {
		while (expect < nr && kind_of(dev, unit, expect) < least)
			expect++;
		assert_int_equal(index, expect);
		assert_int_equal(kind, kind_of(dev, unit, expect));
		expect++;
	}
	assert_int_equal(found, 0);
	while (expect < nr && kind_of(dev, unit, expect) < least)
		expect++;
	assert_int_equal(expect, nr);
	w.next = 0; /* going back is allowed */
	assert_int_equal(walk_next(&w, EXTENT_UNUSED, &index, &kind, &err), 1);
	assert_int_equal(index, 0);
	walk_release(&w);
}

/* Runs are what the units one by one are, and long where the device is alike over many stretches. */
static void check_runs(struct dev *dev, uint64_t unit, enum extent_kind least)
{
	uint64_t index, nr, expect = 0, units = num_div_up(dev->size, unit);
	struct error err = ERROR_INIT;
	enum extent_kind kind;
	struct walk w;

	walk_init(&w, dev, unit);
	while (walk_next_run(&w, least, &index, &nr, &kind, &err) > 0) {
		for (; expect < index; expect++)
			assert_true(kind_of(dev, unit, expect) < least);
		for (; expect < index + nr; expect++)
			assert_int_equal(kind_of(dev, unit, expect), kind);
	}
	for (; expect < units; expect++)
		assert_true(kind_of(dev, unit, expect) < least);
	assert_int_equal(expect, units);
	walk_release(&w);
}

static void test_runs_of_a_large_hole(void **state)
{
	struct error err = ERROR_INIT;
	struct dev *dev = disk_new(TIB, NULL, &err);
	uint64_t index, nr, all = 0, runs = 0;
	enum extent_kind kind;
	struct walk w;

	(void)state;
	walk_init(&w, dev, 64 * KIB);
	for (; walk_next_run(&w, EXTENT_UNUSED, &index, &nr, &kind, &err) > 0; runs++)
		all += nr;
	assert_int_equal(all, TIB / (64 * KIB));
	assert_in_range(runs, 1, 4200); /* the longer stretches, of 256 MiB */
	walk_release(&w);
	assert_int_equal(dev_close(dev, &err), 0);
}

static struct dev *make_disk(void)
{
	struct error err = ERROR_INIT;
	struct dev *dev = disk_new(100 * MIB + 1000, NULL, &err);

	assert_int_equal(dev_pwrite(dev, "x", 1, 3 * MIB - 1, &err), 0);
	assert_int_equal(dev_pwrite(dev, "x", 1, 40 * MIB, &err), 0);
	assert_int_equal(dev_clear(dev, 40 * MIB + 512, 30 * MIB, EXTENT_ZERO, &err), 0);
	assert_int_equal(dev_clear(dev, 10 * MIB + 5, 1, EXTENT_ZERO, &err), 0);
	assert_int_equal(dev_pwrite(dev, "x", 1, dev->size - 1, &err), 0);
	return dev;
}

static void test_all_units(void **state)
{
	static const uint64_t units[] = {512 * KIB, 64 * KIB, 4096, 1000003, 64 * MIB, GIB};
	struct dev *dev = make_disk();
	struct error err = ERROR_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		check_walk(dev, units[i], EXTENT_DATA);
		check_walk(dev, units[i], EXTENT_ZERO);
		check_walk(dev, units[i], EXTENT_UNUSED);
		for (enum extent_kind least = EXTENT_UNUSED; least <= EXTENT_DATA; least++)
			check_runs(dev, units[i], least);
	}
	assert_int_equal(dev_close(dev, &err), 0);
}

static void test_count(void **state)
{
	struct dev *dev = make_disk();
	struct error err = ERROR_INIT;
	uint64_t count[3];

	(void)state;
	assert_int_equal(walk_count(dev, MIB, count, &err), 0);
	assert_int_equal(count[EXTENT_DATA], 3);
	assert_int_equal(count[EXTENT_ZERO], 31); /* at 10, 41 … 69 whole and 70 in part */
	assert_int_equal(count[EXTENT_UNUSED], 101 - 34);
	assert_int_equal(dev_close(dev, &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_units),
		cmocka_unit_test(test_count),
		cmocka_unit_test(test_runs_of_a_large_hole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
