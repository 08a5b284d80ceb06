/* SPDX-License-Identifier: Apache-2.0 */
/* Arrays that grow: what was in them stays, the room doubles, and what cannot be had changes nothing. */
#include "base/array.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

struct thing {
	char text[24];
	int value;
};

static void test_one_by_one(void **state)
{
	struct thing *items = NULL;
	size_t nr = 0, alloc = 0, moved = 0;
	struct error err = ERROR_INIT;

	(void)state;
	for (int i = 0; i < 100000; i++) {
		size_t before = alloc;

		assert_int_equal(ARRAY_GROW(items, nr + 1, alloc, "things", &err), 0);
		moved += alloc != before;
		assert_true(alloc > nr && (alloc == before || alloc >= 2 * before));
		items[nr++] = (struct thing){.value = i};
	}
	for (int i = 0; i < 100000; i++)
		assert_int_equal(items[i].value, i);
	assert_true(moved < 20);
	free(items);
}

static void test_many_at_once(void **state)
{
	uint64_t *items = NULL;
	size_t alloc = 0;
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(ARRAY_GROW(items, 0, alloc, "numbers", &err), 0);
	assert_null(items);
	assert_int_equal(ARRAY_GROW(items, 1000, alloc, "numbers", &err), 0);
	assert_int_equal(alloc, 1000);
	items[999] = 7;
	assert_int_equal(ARRAY_GROW(items, 1000, alloc, "numbers", &err), 0);
	assert_int_equal(alloc, 1000);
	assert_int_equal(ARRAY_GROW(items, 1001, alloc, "numbers", &err), 0);
	assert_int_equal(alloc, 2000);
	assert_int_equal(items[999], 7);
	free(items);
}

static void test_too_many(void **state)
{
	struct thing *items = NULL, *before;
	size_t alloc = 0;
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(ARRAY_GROW(items, 1, alloc, "things", &err), 0);
	before = items;
	assert_int_equal(ARRAY_GROW(items, SIZE_MAX / sizeof(*items) + 1, alloc, "things", &err), -1);
	assert_int_equal(err.kind, ERROR_NOMEM);
	assert_ptr_equal(items, before);
	assert_int_equal(alloc, 16);
	/* Half of what can be counted is too much for doubling, not for trying. */
	alloc = SIZE_MAX / 2 + 1;
	assert_int_equal(ARRAY_GROW(items, SIZE_MAX, alloc, "things", &err), -1);
	assert_ptr_equal(items, before);
	assert_true(alloc == SIZE_MAX / 2 + 1);
	free(items);
}

static void test_last_up_to(void **state)
{
	struct {
		struct thing in[1];
	} items[50];

	(void)state;
	for (int nr = 0; nr <= 50; nr++) {
		for (int i = 0; i < nr; i++)
			items[i].in[0].value = 10 + 3 * i;
		for (int value = 0; value < 170; value++) {
			int last = 0;

			for (int i = 0; i < nr && items[i].in[0].value <= value; i++)
				last = i;
			assert_int_equal(ARRAY_LAST_UP_TO(items, (size_t)nr, in[0].value, value), last);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_last_up_to),
		cmocka_unit_test(test_one_by_one),
		cmocka_unit_test(test_many_at_once),
		cmocka_unit_test(test_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
