/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON: parsing, getters of other types, text that is not UTF-8, writing, and each allocation
 * failing once.
 */
#include "base/json.h"
#include "tests/lib/allocfail.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct json *parse(const char *text)
{
	struct error err = ERROR_INIT;
	struct json *j = json_parse(text, strlen(text), "a test", &err);

	if (!j)
		print_error("%s\n", err.text);
	assert_non_null(j);
	return j;
}

static void test_parse_errors(void **state)
{
	static const char *const bad[] = {"", "{", "{\"a\":1}x", "{\"a\":1,\"a\":2}", "\"\xff\"",
		"{'a':1}", "[1,]", "\"\\u0000\""};
	struct error err = ERROR_INIT;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_null(json_parse(bad[i], strlen(bad[i]), "the answer", &err));
		assert_int_equal(err.kind, ERROR_INPUT);
	}
	assert_null(json_parse("{\n  \"a\": !}", 11, "the answer", &err));
	assert_non_null(strstr(err.text, "the answer is not valid JSON: line 2, column "));
	/* Not a crash by recursion. */
	char deep[100001];
	memset(deep, '[', 100000);
	deep[100000] = '\0';
	assert_null(json_parse(deep, 100000, "the answer", &err));
	json_free(NULL);
}

static void test_getters(void **state)
{
	CLEANUP(json_cleanup)
	struct json *j = parse(
		"{\"s\":\"text\",\"i\":-9223372036854775808,\"r\":1.79E9,\"b\":true,\"n\":null,"
		"\"a\":[1,\"x\",{}],\"o\":{\"k\":2},\"huge\":1e300}");
	struct json *a = json_get(j, "a");

	(void)state;
	assert_string_equal(json_get_str(j, "s", "no"), "text");
	assert_string_equal(json_get_str(j, "i", "no"), "no");
	assert_true(json_get_int(j, "i", 1) == INT64_MIN);
	assert_int_equal(json_get_int(j, "r", 1), 1790000000);
	assert_int_equal(json_get_int(j, "huge", 7), 7);
	assert_int_equal(json_get_int(j, "s", 7), 7);
	assert_true(json_get_bool(j, "b", false));
	assert_true(json_get_bool(j, "n", true));
	assert_null(json_get(j, "n"));
	assert_null(json_get(j, "none"));
	assert_null(json_get(NULL, "s"));
	assert_null(json_get(a, "s"));
	assert_true(json_is_array(a) && json_is_object(j));
	assert_false(json_is_array(j) || json_is_object(a) || json_is_object(NULL));
	assert_int_equal(json_length(a), 3);
	assert_int_equal(json_length(NULL), 0);
	assert_int_equal(json_int(json_at(a, 0), 0), 1);
	assert_string_equal(json_text(json_at(a, 1), "no"), "x");
	assert_string_equal(json_text(json_at(a, 9), "no"), "no");
	assert_int_equal(json_get_int(json_get(j, "o"), "k", 0), 2);
}

static void test_write(void **state)
{
	struct error err = ERROR_INIT;
	CLEANUP(json_cleanup) struct json *j = json_new_object(&err);
	CLEANUP_BUF struct buf b = BUF_INIT(0);
	struct json *a = json_new_array(&err), *value;
	const char *key = NULL;
	int n = 0;

	(void)state;
	assert_int_equal(json_append_str(a, "1", &err), 0);
	assert_int_equal(json_append_str(a, "q\"\n", &err), 0);
	assert_int_equal(json_set_str(j, "z", "last letter first", &err), 0);
	assert_int_equal(json_set(j, "a", a, &err), 0);
	assert_int_equal(json_set_bool(j, "t", true, &err), 0);
	assert_int_equal(json_set_int(j, "i", INT64_MAX, &err), 0);
	assert_int_equal(json_set_str(j, "n", NULL, &err), 0);
	assert_int_equal(json_set(j, "e", json_new_object(&err), &err), 0);
	assert_int_equal(json_set(j, "lost", NULL, &err), -1);
	assert_int_equal(json_write(j, false, &b, &err), 0);
	assert_string_equal(buf_str(&b),
		"{\"z\":\"last letter first\",\"a\":[\"1\",\"q\\\"\\n\"],"
		"\"t\":true,\"i\":9223372036854775807,\"n\":null,\"e\":{}}");
	while ((key = json_next_key(j, key, &value)))
		n++;
	assert_int_equal(n, 6);
	buf_clear(&b);
	assert_int_equal(json_write(a, true, &b, &err), 0);
	assert_string_equal(buf_str(&b), "[\n  \"1\",\n  \"q\\\"\\n\"\n]\n");
}

static void test_write_ceiling(void **state)
{
	CLEANUP(json_cleanup) struct json *j = parse("[\"0123456789\"]");
	CLEANUP_BUF struct buf b = BUF_INIT(8);
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(buf_add_str(&b, "x", &err), 0);
	assert_int_equal(json_write(j, false, &b, &err), -1);
	assert_int_equal(err.kind, ERROR_INPUT);
	assert_string_equal(buf_str(&b), "x");
}

static void test_not_utf8(void **state)
{
	static const char *const cases[][2] = {
		{"\xff", "\xef\xbf\xbd"},
		{"a\xc3(", "a\xef\xbf\xbd("},
		{"\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd"},
		{"\xc0\x80", "\xef\xbf\xbd\xef\xbf\xbd"},
		{"\xe0\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
		{"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
		{"\xf0\x9f\x98\x80 \xe2\x82\xac \xc3\xa9",
			"\xf0\x9f\x98\x80 \xe2\x82\xac \xc3\xa9"},
	};
	struct error err = ERROR_INIT;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CLEANUP(json_cleanup) struct json *j = json_new_object(&err), *again = NULL;
		CLEANUP_BUF struct buf b = BUF_INIT(0);

		assert_int_equal(json_set_str(j, cases[i][0], cases[i][0], &err), 0);
		assert_string_equal(json_get_str(j, cases[i][1], "no"), cases[i][1]);
		assert_int_equal(json_write(j, false, &b, &err), 0);
		again = json_parse(b.data, b.len, "again", &err);
		assert_string_equal(json_get_str(again, cases[i][1], "no"), cases[i][1]);
	}
}

static int make_and_write(struct error *err)
{
	CLEANUP(json_cleanup) struct json *j = json_new_object(err);
	CLEANUP_BUF struct buf b = BUF_INIT(0);
	struct json *a;

	if (!j || json_set_str(j, "s\xff", "bad \xff text", err) < 0 ||
		json_set_int(j, "i", 5, err) < 0 || json_set_bool(j, "b", true, err) < 0)
		return -1;
	a = json_new_array(err);
	if (!a || json_append_str(a, "x", err) < 0 || json_append_str(a, "1", err) < 0) {
		json_free(a);
		return -1;
	}
	if (json_set(j, "a", a, err) < 0)
		return -1;
	return json_write(j, true, &b, err);
}

static int parse_again(struct error *err)
{
	static const char text[] = "{\"a\":[1,2.5,\"text\",{\"b\":null}],\"c\":true}";
	struct json *j = json_parse(text, sizeof(text) - 1, "a test", err);

	json_free(j);
	return j ? 0 : -1;
}

static void test_no_memory(void **state)
{
	(void)state;
	assert_true(allocfail_torture(make_and_write));
	assert_true(allocfail_torture(parse_again));
}

/* What a terminal obeys is escaped, all else stays: both give the same text when read. */
static void test_control_characters_are_escaped(void **state)
{
	static const char text[] = "a\033[2J\177 \302\233 \302\240 \303\251 \302\237";
	struct error err = ERROR_INIT;
	CLEANUP_BUF struct buf b = BUF_INIT(0);
	struct json *j = json_new_object(&err), *again;

	(void)state;
	assert_int_equal(json_set_str(j, "k", text, &err), 0);
	assert_int_equal(json_write(j, false, &b, &err), 0);
	assert_string_equal(buf_str(&b),
		"{\"k\":\"a\\u001B[2J\\u007F \\u009B \302\240 \303\251 \\u009F\"}");
	again = json_parse(b.data, b.len, "it", &err);
	assert_string_equal(json_get_str(again, "k", NULL), text);
	json_free(again);
	json_free(j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_control_characters_are_escaped),
		cmocka_unit_test(test_parse_errors),
		cmocka_unit_test(test_getters),
		cmocka_unit_test(test_write),
		cmocka_unit_test(test_write_ceiling),
		cmocka_unit_test(test_not_utf8),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
