/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The encryption matrices of the local region, row by row as the user guides have them. In a row,
 * '-' means absent, '0' false, '1' true.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/num.h"
#include "uploader/region/encryption.h"

static void test_start(void **state)
{
	/* parent (-, plain, encrypted), Encrypted, KmsKeyArn given, default on: outcome */
	static const struct {
		char parent, flag, key, on;
		enum start_choice want;
	} rows[] = {
		{'-', '1', '0', '0', START_DEFAULT_KEY},
		{'-', '1', '1', '0', START_GIVEN_KEY},
		{'-', '-', '1', '0', START_GIVEN_KEY},
		{'-', '-', '1', '1', START_GIVEN_KEY},
		{'-', '-', '0', '1', START_DEFAULT_KEY},
		{'-', '-', '0', '0', START_PLAIN},
		{'-', '0', '0', '0', START_PLAIN},
		{'-', '0', '0', '1', START_DEFAULT_IS_ON},
		{'-', '0', '1', '0', START_KEY_WITHOUT_ENCRYPTION},
		{'-', '0', '1', '1', START_KEY_WITHOUT_ENCRYPTION},
		{'e', '-', '0', '0', START_PARENT_KEY},
		{'e', '-', '0', '1', START_PARENT_KEY},
		{'e', '1', '0', '0', START_NOT_WITH_PARENT},
		{'e', '0', '0', '0', START_NOT_WITH_PARENT},
		{'e', '1', '1', '0', START_NOT_WITH_PARENT},
		{'e', '-', '1', '0', START_NOT_WITH_PARENT},
		{'p', '-', '0', '0', START_PLAIN},
		{'p', '-', '0', '1', START_DEFAULT_IS_ON},
		{'p', '1', '0', '0', START_NOT_WITH_PARENT},
		{'p', '0', '0', '0', START_NOT_WITH_PARENT},
		{'p', '-', '1', '0', START_NOT_WITH_PARENT},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct start_encryption e = {
			.has_parent = rows[i].parent != '-',
			.parent_encrypted = rows[i].parent == 'e',
			.has_flag = rows[i].flag != '-',
			.flag = rows[i].flag == '1',
			.has_key = rows[i].key == '1',
			.default_on = rows[i].on == '1',
		};

		if (encryption_of_start(&e) != rows[i].want)
			fail_msg("row %zu: %d", i, encryption_of_start(&e));
	}
}

static void test_copy(void **state)
{
	/* call (i, s), source (p, own e, shared e = x), Region (s, o), Encrypted, key, default on */
	static const struct {
		char call, source, region, flag, key, on;
		enum copy_choice want;
	} rows[] = {
		{'i', 'p', 's', '-', '0', '0', COPY_PLAIN},
		{'i', 'p', 'o', '-', '0', '0', COPY_PLAIN},
		{'i', 'p', 's', '-', '0', '1', COPY_DEFAULT_KEY},
		{'i', 'p', 's', '0', '0', '0', COPY_PLAIN},
		{'i', 'p', 's', '0', '0', '1', COPY_DEFAULT_KEY},
		{'i', 'p', 's', '1', '0', '0', COPY_DEFAULT_KEY},
		{'i', 'p', 'o', '1', '1', '0', COPY_GIVEN_KEY},
		{'i', 'e', 's', '-', '0', '0', COPY_SAME_KEY},
		{'i', 'e', 's', '1', '0', '0', COPY_SAME_KEY},
		{'i', 'e', 'o', '-', '0', '0', COPY_DEFAULT_KEY},
		{'i', 'e', 's', '1', '1', '0', COPY_GIVEN_KEY},
		{'i', 'x', 's', '-', '0', '0', COPY_DEFAULT_KEY},
		{'i', 'x', 's', '1', '0', '0', COPY_DEFAULT_KEY},
		{'i', 'x', 's', '1', '1', '0', COPY_GIVEN_KEY},
		{'i', 'p', 's', '-', '1', '0', COPY_KEY_WITHOUT_ENCRYPTION},
		{'i', 'e', 's', '-', '1', '0', COPY_KEY_WITHOUT_ENCRYPTION},
		{'i', 'x', 'o', '0', '1', '0', COPY_KEY_WITHOUT_ENCRYPTION},
		{'i', 'e', 's', '0', '0', '0', COPY_CANNOT_DECRYPT},
		{'i', 'x', 'o', '0', '0', '0', COPY_CANNOT_DECRYPT},
		{'s', 'p', 'o', '-', '0', '0', COPY_PLAIN},
		{'s', 'p', 'o', '-', '0', '1', COPY_DEFAULT_KEY},
		{'s', 'p', 'o', '1', '0', '0', COPY_DEFAULT_KEY},
		{'s', 'e', 's', '-', '0', '0', COPY_DEFAULT_KEY},
		{'s', 'e', 'o', '1', '1', '0', COPY_GIVEN_KEY},
		{'s', 'e', 'o', '0', '0', '0', COPY_CANNOT_DECRYPT},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct copy_encryption e = {
			.of_image = rows[i].call == 'i',
			.encrypted = rows[i].source != 'p',
			.own = rows[i].source != 'x',
			.same_region = rows[i].region == 's',
			.has_flag = rows[i].flag != '-',
			.flag = rows[i].flag == '1',
			.has_key = rows[i].key == '1',
			.default_on = rows[i].on == '1',
		};

		if (encryption_of_copy(&e) != rows[i].want)
			fail_msg("row %zu: %d", i, encryption_of_copy(&e));
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_start),
		cmocka_unit_test(test_copy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
