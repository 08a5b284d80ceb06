/* SPDX-License-Identifier: Apache-2.0 */
/* Extent lists: order, no gaps, merged neighbours. */
#include "base/extent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void test_merges_and_refuses_gaps(void **state)
{
	struct extent_list list = EXTENT_LIST_INIT;
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(extent_list_add(&list, 100, 0, EXTENT_DATA, &err), 0);
	assert_int_equal(list.nr, 0);
	assert_int_equal(extent_list_add(&list, 100, 10, EXTENT_DATA, &err), 0);
	assert_int_equal(extent_list_add(&list, 110, 5, EXTENT_DATA, &err), 0);
	assert_int_equal(extent_list_add(&list, 115, 5, EXTENT_ZERO, &err), 0);
	assert_int_equal(list.nr, 2);
	assert_int_equal(list.items[0].len, 15);
	assert_int_equal(extent_list_add(&list, 121, 5, EXTENT_ZERO, &err), -1);
	assert_int_equal(err.kind, ERROR_BUG);
	assert_int_equal(extent_list_add(&list, 119, 5, EXTENT_ZERO, &err), -1);
	assert_int_equal(extent_list_add(&list, 120, UINT64_MAX, EXTENT_ZERO, &err), -1);
	assert_int_equal(list.nr, 2);
	extent_list_clear(&list);
	assert_int_equal(extent_list_add(&list, 7, 1, EXTENT_UNUSED, &err), 0);
	extent_list_release(&list);
	assert_null(list.items);
}

static void test_grows(void **state)
{
	struct extent_list list = EXTENT_LIST_INIT;
	struct error err = ERROR_INIT;

	(void)state;
	for (uint64_t i = 0; i < 1000; i++)
		assert_int_equal(
			extent_list_add(&list, i * 3, 3, (enum extent_kind)(i % 3), &err), 0);
	assert_int_equal(list.nr, 1000);
	assert_int_equal(list.items[999].off, 2997);
	extent_list_release(&list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_merges_and_refuses_gaps),
		cmocka_unit_test(test_grows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
