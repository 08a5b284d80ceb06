/* SPDX-License-Identifier: Apache-2.0 */
/* Error texts: composition, cutting, wrapping. */
#include "base/error.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_set(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	errno = EAGAIN;
	assert_int_equal(error_set(&err, ERROR_IO, ENOENT, "cannot open '%s'", "rootfs.tar"), -1);
	assert_string_equal(err.text, "cannot open 'rootfs.tar': No such file or directory");
	assert_int_equal(err.kind, ERROR_IO);
	assert_int_equal(err.errnum, ENOENT);
	assert_int_equal(errno, EAGAIN);
	assert_null(error_null(&err, ERROR_INPUT, 0, "bad"));
	assert_string_equal(err.text, "bad");
	assert_int_equal(err.errnum, 0);
	assert_int_equal(error_set(&err, ERROR_IO, 99999, "x"), -1);
	assert_string_equal(err.text, "x: error 99999");
	error_nomem(&err, "a list");
	assert_int_equal(err.kind, ERROR_NOMEM);
	assert_non_null(strstr(err.text, "a list"));
	error_clear(&err);
	assert_int_equal(err.kind, ERROR_NONE);
	assert_string_equal(err.text, "");
}

static void test_null_object(void **state)
{
	(void)state;
	assert_int_equal(error_set(NULL, ERROR_IO, ENOENT, "x"), -1);
	assert_int_equal(error_wrap(NULL, "x"), -1);
	assert_int_equal(error_nomem(NULL, "x"), -1);
	error_clear(NULL);
}

static void test_arguments_in_itself(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	error_set(&err, ERROR_IO, 0, "inner");
	error_set(&err, ERROR_INPUT, 0, "outer (%s)", err.text);
	assert_string_equal(err.text, "outer (inner)");
}

static void test_cut_keeps_reason(void **state)
{
	struct error err = ERROR_INIT;
	char name[3 * ERROR_TEXT_SIZE];

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	error_set(&err, ERROR_IO, EACCES, "cannot open '%s'", name);
	assert_int_equal(strlen(err.text), ERROR_TEXT_SIZE - 1);
	assert_non_null(strstr(err.text, "nnn...: Permission denied"));
	error_wrap(&err, "reading %s", name);
	assert_int_equal(strlen(err.text), ERROR_TEXT_SIZE - 1);
	assert_memory_equal(err.text, "reading nnn", 11);
	assert_non_null(strstr(err.text, "...: Permission denied"));
}

/* Each length around the limit: the text is whole, or cut to the last byte. */
static void test_limit(void **state)
{
	static const char reason[] = ": Permission denied";
	struct error err = ERROR_INIT;

	(void)state;
	for (int width = ERROR_TEXT_SIZE - 40; width < ERROR_TEXT_SIZE + 40; width++) {
		size_t whole = (size_t)width + sizeof(reason) - 1;
		bool fits = whole < ERROR_TEXT_SIZE;

		error_set(&err, ERROR_IO, EACCES, "%*d", width, 5);
		assert_int_equal(strlen(err.text), fits ? whole : ERROR_TEXT_SIZE - 1);
		assert_true(fits == !strstr(err.text, "..."));
		assert_string_equal(err.text + strlen(err.text) - sizeof(reason) + 1, reason);
	}
}

static void test_cut_at_character(void **state)
{
	struct error err = ERROR_INIT;
	char name[2 * ERROR_TEXT_SIZE] = "";

	(void)state;
	for (size_t shift = 0; shift < 3; shift++) {
		memset(name, 'a', shift);
		for (size_t i = shift; i + 3 < sizeof(name); i += 3)
			memcpy(name + i, "\xe2\x82\xac", 4);
		error_set(&err, ERROR_INPUT, 0, "%s", name);
		size_t len = strlen(err.text);
		assert_string_equal(err.text + len - 3, "...");
		assert_int_equal((len - 3 - shift) % 3, 0);
	}
}

static void test_wrap(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	error_set(&err, ERROR_SERVICE, EIO, "no");
	err.http_status = 403;
	strncpy(err.code, "AccessDenied", sizeof(err.code) - 1);
	assert_int_equal(error_wrap(&err, "block %d", 7), -1);
	assert_string_equal(err.text, "block 7: no: Input/output error");
	assert_int_equal(err.kind, ERROR_SERVICE);
	assert_int_equal(err.http_status, 403);
	assert_string_equal(err.code, "AccessDenied");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_null_object),
		cmocka_unit_test(test_arguments_in_itself),
		cmocka_unit_test(test_cut_keeps_reason),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_cut_at_character),
		cmocka_unit_test(test_wrap),
	};

	return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
