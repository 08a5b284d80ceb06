/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The retry rules as a table of answers, and the bounds of the delays.
 */
#include "uploader/retry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/num.h"

static const struct {
	int status;
	const char *code, *reason, *message;
	bool fresh;
	enum retry_class want;
} cases[] = {
	{201, NULL, NULL, NULL, false, RETRY_OK},
	{202, "", "", "", true, RETRY_OK},
	{0, NULL, NULL, NULL, false, RETRY_TRANSIENT},
	{500, "InternalServerException", NULL, NULL, false, RETRY_TRANSIENT},
	{502, "", "", "", false, RETRY_TRANSIENT},
	{503, "", "", "", false, RETRY_TRANSIENT},
	{503, "RequestLimitExceeded", "", "", false, RETRY_THROTTLED},
	{503, "SlowDown", "", "", false, RETRY_THROTTLED},
	{429, "", "", "", false, RETRY_THROTTLED},
	{400, "RequestThrottledException", "RESOURCE_LEVEL_THROTTLE", "", false, RETRY_THROTTLED},
	{400, "ThrottlingException", "", "Rate exceeded", false, RETRY_THROTTLED},
	{400, "ConcurrentLimitExceededException", "", "", false, RETRY_THROTTLED},
	{400, "RequestTimeout", "", "", false, RETRY_TRANSIENT},
	{400, "ConcurrentTagAccess", "", "", false, RETRY_TRANSIENT},
	/*
	 * A damaged body looks like a wrong signature; a wrong signature is a matter of the clock.
	 */
	{403, "InvalidSignatureException", "",
		"The value passed in as x-amz-Checksum does not match the computed checksum.", false,
		RETRY_TRANSIENT},
	{403, "InvalidSignatureException", "", "Signature expired: 2 is now earlier than 1", false,
		RETRY_SKEW},
	{403, "SignatureDoesNotMatch", "", "", false, RETRY_SKEW},
	{400, "RequestExpired", "", "", false, RETRY_SKEW},
	{401, "AuthFailure", "", "", false, RETRY_SKEW},
	{400, "ValidationException", "INVALID_PARAMETER_VALUE", "Failed to read block data", false,
		RETRY_TRANSIENT},
	{400, "ValidationException", "WRITE_REQUEST_TIMEOUT", "", false, RETRY_TRANSIENT},
	{400, "ValidationException", "CONFLICTING_BLOCK_UPDATE", "", false, RETRY_TRANSIENT},
	{400, "ValidationException", "INVALID_BLOCK", "Block index 2048 is beyond", false,
		RETRY_FATAL},
	{404, "ResourceNotFoundException", "SNAPSHOT_NOT_FOUND", "", true, RETRY_FRESH},
	{404, "ResourceNotFoundException", "SNAPSHOT_NOT_FOUND", "", false, RETRY_FATAL},
	{404, "ResourceNotFoundException", "GRANT_NOT_FOUND", "", true, RETRY_FATAL},
	{400, "InvalidSnapshot.NotFound", "", "", true, RETRY_FRESH},
	{400, "InvalidSnapshot.NotFound", "", "", false, RETRY_FATAL},
	{403, "AccessDeniedException", "UNAUTHORIZED_ACCOUNT", "", false, RETRY_FATAL},
	{402, "ServiceQuotaExceededException", "", "", false, RETRY_FATAL},
	{409, "ConflictException", "", "", false, RETRY_FATAL},
	{400, "InvalidAMIName.Duplicate", "", "", false, RETRY_FATAL},
	{307, "", "", "", false, RETRY_FATAL},
};

static void test_classes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		enum retry_class got = retry_classify(cases[i].status, cases[i].code,
			cases[i].reason, cases[i].message, cases[i].fresh);

		if (got != cases[i].want)
			fail_msg("case %zu (%d %s): %d, not %d", i, cases[i].status,
				cases[i].code ? cases[i].code : "", (int)got, (int)cases[i].want);
	}
}

static void test_delays(void **state)
{
	(void)state;
	assert_int_equal(retry_delay_ms(RETRY_TRANSIENT, 1, 0.0), 0);
	assert_int_equal(retry_delay_ms(RETRY_TRANSIENT, 1, 0.5), 50);
	assert_int_equal(retry_delay_ms(RETRY_TRANSIENT, 3, 0.5), 200);
	assert_int_equal(retry_delay_ms(RETRY_THROTTLED, 2, 0.5), 500);
	assert_int_equal(retry_delay_ms(RETRY_FRESH, 1, 0.5), 500);
	/* The cap, and no overflow however many attempts. */
	assert_int_equal(retry_delay_ms(RETRY_THROTTLED, 12, 0.5), 10000);
	assert_int_equal(retry_delay_ms(RETRY_THROTTLED, 4000000000U, 0.5), 10000);
	assert_true(retry_delay_ms(RETRY_TRANSIENT, 40, 0.999999) < 20000);
}

static void test_passing(void **state)
{
	(void)state;
	assert_true(retry_is_passing(503, "", ""));
	assert_true(retry_is_passing(400, "RequestThrottledException", ""));
	assert_true(retry_is_passing(403, "ExpiredTokenException", ""));
	/* A provider whose credentials could not be renewed: there was no answer. */
	assert_true(retry_is_passing(0, "ExpiredToken", ""));
	assert_true(retry_is_passing(400, "ValidationException", "x: Failed to read block data"));
	assert_true(retry_is_passing(400, "ValidationException", "y (WRITE_REQUEST_TIMEOUT)"));
	assert_false(retry_is_passing(400, "ValidationException", "Block index 9 is beyond"));
	assert_false(retry_is_passing(403, "AccessDeniedException", ""));
	/* DescribeSnapshots went well and said that the snapshot has failed. */
	assert_false(retry_is_passing(0, "", "Checksum mismatch for snapshot"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_passing),
		cmocka_unit_test(test_classes),
		cmocka_unit_test(test_delays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
