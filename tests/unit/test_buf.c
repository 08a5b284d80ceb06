/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers: ceiling, formats, hand-over, and each allocation failing once. */
#include "base/buf.h"
#include "tests/lib/allocfail.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_add(void **state)
{
	CLEANUP_BUF struct buf b = BUF_INIT(0);
	struct error err = ERROR_INIT;
	char *room;

	(void)state;
	assert_string_equal(buf_str(&b), "");
	assert_int_equal(buf_add_str(&b, "one", &err), 0);
	assert_int_equal(buf_add_char(&b, ' ', &err), 0);
	assert_int_equal(buf_addf(&b, &err, "%d-%s", 2, "three"), 0);
	assert_int_equal(buf_add(&b, "\0x", 2, &err), 0);
	assert_int_equal(b.len, 13);
	assert_memory_equal(b.data, "one 2-three\0x", 14);
	room = buf_extend(&b, 1000, &err);
	assert_non_null(room);
	memset(room, 'y', 1000);
	assert_int_equal(b.data[b.len], 0);
	buf_truncate(&b, 3);
	assert_string_equal(buf_str(&b), "one");
	buf_clear(&b);
	assert_string_equal(buf_str(&b), "");
}

static void test_long_format(void **state)
{
	CLEANUP_BUF struct buf b = BUF_INIT(0);
	struct error err = ERROR_INIT;

	(void)state;
	for (int width = 1; width < 3000; width += 7) {
		buf_clear(&b);
		assert_int_equal(buf_addf(&b, &err, "<%*d>", width, 5), 0);
		assert_int_equal(b.len, (size_t)width + 2);
		assert_string_equal(b.data + b.len - 2, "5>");
	}
}

static void test_ceiling(void **state)
{
	CLEANUP_BUF struct buf b = BUF_INIT(10);
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(buf_add(&b, "0123456", 7, &err), 0);
	assert_int_equal(buf_room(&b), 3);
	assert_int_equal(buf_add_str(&b, "7890", &err), -1);
	assert_int_equal(err.kind, ERROR_INPUT);
	assert_int_equal(buf_addf(&b, &err, "%s", "7890"), -1);
	assert_null(buf_extend(&b, SIZE_MAX, &err));
	assert_null(buf_extend(&b, SIZE_MAX - 7, &err));
	assert_string_equal(buf_str(&b), "0123456");
	assert_int_equal(buf_addf(&b, &err, "%s", "789"), 0);
	assert_int_equal(b.len, 10);
	assert_int_equal(buf_room(&b), 0);
	assert_int_equal(buf_add_char(&b, 'x', &err), -1);
	assert_string_equal(buf_str(&b), "0123456789");
	buf_release(&b);
	assert_int_equal(b.max, 10);
}

static void test_steal(void **state)
{
	struct buf b = BUF_INIT(0);
	struct error err = ERROR_INIT;
	char *text;

	(void)state;
	text = buf_steal(&b, &err);
	assert_string_equal(text, "");
	free(text);
	assert_int_equal(buf_add_str(&b, "abc", &err), 0);
	text = buf_steal(&b, &err);
	assert_string_equal(text, "abc");
	free(text);
	assert_null(b.data);
	text = buf_strf(&err, "%s-%d", "x", 1);
	assert_string_equal(text, "x-1");
	free(text);
}

static int use(struct error *err)
{
	CLEANUP_BUF struct buf b = BUF_INIT(0);
	CLEANUP_FREE char *text = NULL, *other = NULL;

	if (buf_add_str(&b, "something", err) < 0 || buf_addf(&b, err, "%0*d", 500, 1) < 0 ||
		!buf_extend(&b, 10000, err))
		return -1;
	text = buf_steal(&b, err);
	other = text ? buf_strf(err, "%.5s", text) : NULL;
	return other ? 0 : -1;
}

static void test_wipe(void **state)
{
	struct buf b = BUF_INIT(10);
	struct error err = ERROR_INIT;

	(void)state;
	buf_wipe(&b); /* nothing there */
	assert_int_equal(buf_add_str(&b, "secret", &err), 0);
	buf_wipe(&b);
	assert_string_equal(buf_str(&b), "");
	assert_int_equal(b.len, 0);
	assert_int_equal(buf_room(&b), 10);
	{
		CLEANUP_SECRET_BUF struct buf again = b;

		assert_int_equal(buf_add_str(&again, "secret", &err), 0);
	}
}

static void test_no_memory(void **state)
{
	(void)state;
	assert_true(allocfail_torture(use));
}

static void test_no_memory_keeps(void **state)
{
	CLEANUP_BUF struct buf b = BUF_INIT(0);
	struct error err = ERROR_INIT;
	long balance;

	(void)state;
	if (!allocfail_available())
		skip();
	assert_int_equal(buf_add_str(&b, "kept", &err), 0);
	allocfail_begin(1);
	assert_int_equal(buf_addf(&b, &err, "%0*d", 500, 1), -1);
	assert_true(allocfail_end(&balance));
	assert_int_equal(err.kind, ERROR_NOMEM);
	assert_string_equal(buf_str(&b), "kept");
	assert_int_equal(b.len, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_add),
		cmocka_unit_test(test_long_format),
		cmocka_unit_test(test_ceiling),
		cmocka_unit_test(test_steal),
		cmocka_unit_test(test_wipe),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_no_memory_keeps),
	};

	return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
