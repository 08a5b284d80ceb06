/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers, sizes and times in text; the C library is the oracle for dates. */
#include "base/num.h"

#include <stdio.h>
#include <time.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_arithmetic(void **state)
{
	uint64_t v = 7;

	(void)state;
	assert_true(num_add(UINT64_MAX, 1, &v));
	assert_true(num_mul(UINT64_C(1) << 32, UINT64_C(1) << 32, &v));
	assert_true(num_round_up(UINT64_MAX, 2, &v));
	assert_int_equal(v, 7);
	assert_false(num_add(UINT64_MAX - 1, 1, &v));
	assert_true(v == UINT64_MAX);
	assert_false(num_round_up(UINT64_MAX, 1, &v));
	assert_false(num_round_up(13, 5, &v));
	assert_int_equal(v, 15);
	assert_int_equal(num_align(0, 4096), 0);
	assert_int_equal(num_align(4097, 4096), 8192);
	assert_int_equal(num_div_up(9, 4), 3);
	assert_int_equal(num_div_up(8, 4), 2);
	assert_true(num_div_up(UINT64_MAX, 1) == UINT64_MAX);
}

static void test_parse(void **state)
{
	static const char *const bad[] = {
		"", "-1", "+1", " 1", "1 ", "1x", "0x", "0xg", "1.0", "x"};
	struct error err = ERROR_INIT;
	uint64_t v;

	(void)state;
	assert_int_equal(num_parse("18446744073709551615", UINT64_MAX, &v, &err), 0);
	assert_true(v == UINT64_MAX);
	assert_int_equal(num_parse("0xfF", 255, &v, &err), 0);
	assert_int_equal(v, 255);
	assert_int_equal(num_parse("18446744073709551616", UINT64_MAX, &v, &err), -1);
	assert_int_equal(num_parse("256", 255, &v, &err), -1);
	assert_non_null(strstr(err.text, "255"));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(num_parse(bad[i], UINT64_MAX, &v, &err), -1);
		assert_int_equal(err.kind, ERROR_USAGE);
	}
}

static void test_parse_mode(void **state)
{
	static const char *const bad[] = {"", "8", "0o7", "10000", "-1", "0644 ", "rw"};
	struct error err = ERROR_INIT;
	uint32_t mode;

	(void)state;
	assert_int_equal(num_parse_mode("0644", &mode, &err), 0);
	assert_int_equal(mode, 0644);
	assert_int_equal(num_parse_mode("7777", &mode, &err), 0);
	assert_int_equal(mode, 07777);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(num_parse_mode(bad[i], &mode, &err), -1);
}

static void test_parse_size(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {
		{"0", 0},
		{"512", 512},
		{"512B", 512},
		{"512b", 512},
		{"512K", 512 * KIB},
		{"512KiB", 512 * KIB},
		{"512kib", 512 * KIB},
		{"1KB", 1000},
		{"1.5GiB", 3 * GIB / 2},
		{"20G", 20 * GIB},
		{"2MB", 2000000},
		{"3TB", UINT64_C(3000000000000)},
		{"1T", TIB},
		{"0.5K", 512},
		{"1.000", 1},
		{"1.001KB", 1001},
		{"0.0009765625K", 1},
		{"18446744073709551615", UINT64_MAX},
	};
	static const char *const bad[] = {"", "K", ".5K", "5.", "5.K", "1.5", "1.5B", "1 G", "-1",
		"1GG", "1Gi", "1iB", "1E", "0.1K", "1,5G", "18446744073709551616", "16777216T",
		"0x10"};
	struct error err = ERROR_INIT;
	uint64_t v;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(num_parse_size(good[i].text, &v, &err), 0);
		assert_true(v == good[i].bytes);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(num_parse_size(bad[i], &v, &err), -1);
		assert_int_equal(err.kind, ERROR_USAGE);
		assert_non_null(strstr(err.text, bad[i]));
	}
}

static void test_format_size(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} cases[] = {
		{0, "0 B"},
		{17, "17 B"},
		{1023, "1023 B"},
		{1024, "1 KiB"},
		{512 * KIB, "512 KiB"},
		{1536, "1.5 KiB"},
		{3 * GIB / 2, "1.5 GiB"},
		{MIB - 1, "1.0 MiB"},
		{MIB, "1 MiB"},
		{150 * MIB + 600 * KIB, "151 MiB"},
		{UINT64_MAX, "16.0 EiB"},
	};
	char text[NUM_SIZE_TEXT];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(num_format_size(text, cases[i].bytes), cases[i].text);
}

static void test_time_against_libc(void **state)
{
	struct error err = ERROR_INIT;
	char text[NUM_TIME_TEXT], want[64];

	(void)state;
	/* Every 9.7 days from year 1 to year 9999, each at another time of day. */
	for (time_t t = -62135596800; t < 253402300800; t += 838861) {
		struct tm tm;
		int64_t back;

		assert_non_null(gmtime_r(&t, &tm));
		snprintf(want, sizeof(want), "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900,
			tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
		assert_string_equal(num_format_time(text, t), want);
		assert_int_equal(num_parse_time(text, &back, &err), 0);
		assert_true(back == t);
	}
	assert_string_equal(num_format_time(text, INT64_MAX), "292277026596-12-04T15:30:07Z");
	assert_string_equal(num_format_time(text, INT64_MIN), "-292277022657-01-27T08:29:52Z");
}

static void test_parse_time(void **state)
{
	static const char *const bad[] = {"", "2026-11-23", "2026-11-23T08:59:54",
		"2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z",
		"2026-04-31T00:00:00Z", "2026-11-23T24:00:00Z", "2026-11-23T08:60:00Z",
		"2026-11-23T08:59:54ZZ", "2026-11-23T08:59:54.Z", "2026-11-23T08:59:54+2",
		"1900-02-29T00:00:00Z", "x"};
	struct error err = ERROR_INIT;
	int64_t t;

	(void)state;
	assert_int_equal(num_parse_time("1970-01-01T00:00:00.999Z", &t, &err), 0);
	assert_int_equal(t, 0);
	assert_int_equal(num_parse_time("1970-01-01T02:00:01+02:00", &t, &err), 0);
	assert_int_equal(t, 1);
	assert_int_equal(num_parse_time("1969-12-31T16:30:00-0730", &t, &err), 0);
	assert_int_equal(t, 0);
	assert_int_equal(num_parse_time("2000-02-29t00:00:00z", &t, &err), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(num_parse_time(bad[i], &t, &err), -1);
}

static void test_endian(void **state)
{
	uint8_t raw[9] = {0};

	(void)state;
	num_put_le64(raw + 1, UINT64_C(0x8877665544332211));
	assert_int_equal(raw[1], 0x11);
	assert_int_equal(raw[8], 0x88);
	assert_true(num_get_le64(raw + 1) == UINT64_C(0x8877665544332211));
	assert_int_equal(num_get_le32(raw + 1), 0x44332211);
	assert_int_equal(num_get_le16(raw + 7), 0x8877);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arithmetic),
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_parse_mode),
		cmocka_unit_test(test_parse_size),
		cmocka_unit_test(test_format_size),
		cmocka_unit_test(test_time_against_libc),
		cmocka_unit_test(test_parse_time),
		cmocka_unit_test(test_endian),
	};

	return cmocka_run_group_tests_name("num", tests, NULL, NULL);
}
