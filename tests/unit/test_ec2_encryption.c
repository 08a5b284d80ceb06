/* SPDX-License-Identifier: Apache-2.0 */
/* The encryption matrix of copies and shares, row by row. */
#include "uploader/ec2_encryption.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/num.h"

#define KEY "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
#define OTHER "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"

enum { ENCRYPTED = 1, SHARED = 2, SAME = 4, DEFAULT_ON = 8, ENCRYPT = 16, PLAIN = 32 };

struct copy_row {
	unsigned flags;
	const char *key;
	enum ec2_copy_key want;
	enum error_kind kind; /* when refused */
	const char *text;     /* part of its message */
};

/* Without SAME the copy goes to another region. */
static const struct copy_row copies[] = {
	/* unencrypted to unencrypted */
	{0, NULL, EC2_COPY_PLAIN, 0, NULL},
	{SAME, NULL, EC2_COPY_PLAIN, 0, NULL},
	{SHARED, NULL, EC2_COPY_PLAIN, 0, NULL},
	{PLAIN, NULL, EC2_COPY_PLAIN, 0, NULL},
	{DEFAULT_ON, NULL, EC2_COPY_DEFAULT_KEY, 0, NULL},
	{DEFAULT_ON | SHARED, NULL, EC2_COPY_DEFAULT_KEY, 0, NULL},
	{DEFAULT_ON | PLAIN, NULL, EC2_COPY_REFUSED, ERROR_POLICY, "encryption by default is on in eu-west-1"},
	{DEFAULT_ON | PLAIN | SAME, NULL, EC2_COPY_REFUSED, ERROR_POLICY, "encryption by default"},
	/* unencrypted to encrypted */
	{ENCRYPT, NULL, EC2_COPY_DEFAULT_KEY, 0, NULL},
	{ENCRYPT | SAME, NULL, EC2_COPY_DEFAULT_KEY, 0, NULL},
	{ENCRYPT | DEFAULT_ON, NULL, EC2_COPY_DEFAULT_KEY, 0, NULL},
	{ENCRYPT, KEY, EC2_COPY_GIVEN_KEY, 0, NULL},
	{ENCRYPT, "alias/ami", EC2_COPY_GIVEN_KEY, 0, NULL},
	{ENCRYPT | SHARED, KEY, EC2_COPY_GIVEN_KEY, 0, NULL},
	/* encrypted to encrypted, own */
	{ENCRYPTED | SAME, NULL, EC2_COPY_SAME_KEY, 0, NULL},
	{ENCRYPTED | SAME | ENCRYPT, NULL, EC2_COPY_SAME_KEY, 0, NULL},
	{ENCRYPTED | SAME | ENCRYPT, KEY, EC2_COPY_GIVEN_KEY, 0, NULL},
	{ENCRYPTED, NULL, EC2_COPY_DEFAULT_KEY, 0, NULL},
	{ENCRYPTED | ENCRYPT, NULL, EC2_COPY_DEFAULT_KEY, 0, NULL},
	{ENCRYPTED | ENCRYPT, KEY, EC2_COPY_GIVEN_KEY, 0, NULL},
	{ENCRYPTED | DEFAULT_ON | SAME, NULL, EC2_COPY_SAME_KEY, 0, NULL},
	/* encrypted to encrypted, another account's */
	{ENCRYPTED | SHARED | SAME, NULL, EC2_COPY_DEFAULT_KEY, 0, NULL},
	{ENCRYPTED | SHARED | SAME | ENCRYPT, NULL, EC2_COPY_DEFAULT_KEY, 0, NULL},
	{ENCRYPTED | SHARED, NULL, EC2_COPY_DEFAULT_KEY, 0, NULL},
	{ENCRYPTED | SHARED | ENCRYPT, KEY, EC2_COPY_GIVEN_KEY, 0, NULL},
	/* encrypted to unencrypted */
	{ENCRYPTED | PLAIN, NULL, EC2_COPY_REFUSED, ERROR_POLICY, "no unencrypted copy of an encrypted"},
	{ENCRYPTED | PLAIN | SAME, NULL, EC2_COPY_REFUSED, ERROR_POLICY, "no unencrypted copy"},
	{ENCRYPTED | PLAIN | SHARED, NULL, EC2_COPY_REFUSED, ERROR_POLICY, "no unencrypted copy"},
	/* a key alone */
	{0, KEY, EC2_COPY_REFUSED, ERROR_USAGE, "add --encrypt"},
	{ENCRYPTED, KEY, EC2_COPY_REFUSED, ERROR_USAGE, "add --encrypt"},
	{ENCRYPTED | SHARED, KEY, EC2_COPY_REFUSED, ERROR_USAGE, "add --encrypt"},
	/* contradictions, and keys of elsewhere */
	{PLAIN | ENCRYPT, NULL, EC2_COPY_REFUSED, ERROR_USAGE, "--no-encrypt excludes"},
	{ENCRYPT, OTHER, EC2_COPY_REFUSED, ERROR_USAGE, "not of region eu-west-1"},
	{ENCRYPT, "arn:aws:kms", EC2_COPY_REFUSED, ERROR_USAGE, "not of region"},
	{ENCRYPT, "arn:aws:kms:eu-west-12:1:key/x", EC2_COPY_REFUSED, ERROR_USAGE, "not of region"},
};

static void test_copy_matrix(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(copies); i++) {
		const struct copy_row *row = &copies[i];
		struct ec2_copy_source s = {.id = "snap-1", .encrypted = row->flags & ENCRYPTED,
			.own = !(row->flags & SHARED)};
		struct ec2_copy_target t = {.region = "eu-west-1", .same_region = row->flags & SAME,
			.default_on = row->flags & DEFAULT_ON, .encrypt = row->flags & ENCRYPT,
			.plain = row->flags & PLAIN, .kms_key = row->key};
		struct error err = ERROR_INIT;
		enum ec2_copy_key key = ec2_copy_verdict(&s, &t, &err);

		if (key != row->want || err.kind != row->kind)
			fail_msg("row %zu: %d, not %d: %s", i, key, row->want, err.text);
		if (row->text && !strstr(err.text, row->text))
			fail_msg("row %zu: '%s' is not in '%s'", i, row->text, err.text);
	}
}

static void test_share_matrix(void **state)
{
	static const struct {
		bool encrypted, is_public;
		enum ec2_key_manager manager;
		enum ec2_share_answer want;
		const char *text;
	} rows[] = {
		{false, false, EC2_KEY_UNKNOWN, EC2_SHARE_YES, NULL},
		{false, true, EC2_KEY_UNKNOWN, EC2_SHARE_YES, NULL},
		{true, false, EC2_KEY_CUSTOMER, EC2_SHARE_NEEDS_KEY, NULL},
		{true, false, EC2_KEY_UNKNOWN, EC2_SHARE_UNKNOWN, NULL},
		{true, false, EC2_KEY_AWS, EC2_SHARE_REFUSED, "others cannot use"},
		{true, true, EC2_KEY_CUSTOMER, EC2_SHARE_REFUSED, "must be unencrypted"},
		{true, true, EC2_KEY_AWS, EC2_SHARE_REFUSED, "must be unencrypted"},
		{true, true, EC2_KEY_UNKNOWN, EC2_SHARE_REFUSED, "must be unencrypted"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct ec2_share_source s = {.id = "snap-1", .encrypted = rows[i].encrypted,
			.manager = rows[i].manager};
		struct error err = ERROR_INIT;

		if (ec2_share_verdict(&s, rows[i].is_public, &err) != rows[i].want)
			fail_msg("row %zu: %s", i, err.text);
		assert_int_equal(err.kind, rows[i].text ? ERROR_POLICY : ERROR_NONE);
		if (rows[i].text)
			assert_non_null(strstr(err.text, rows[i].text));
	}
}

static void test_public(void **state)
{
	static const struct {
		bool codes;
		const char *image, *snapshot;
		bool snapshots;
		const char *text;
	} rows[] = {
		{false, "unblocked", "unblocked", true, NULL},
		{false, "", "", true, NULL},
		{true, "unblocked", "unblocked", true, "product codes"},
		{false, "block-new-sharing", "unblocked", true, "block public access for AMIs"},
		{false, "unblocked", "block-new-sharing", true, "block public access for snapshots"},
		{false, "unblocked", "block-all-sharing", true, "block public access for snapshots"},
		{false, "unblocked", "block-all-sharing", false, NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct error err = ERROR_INIT;
		int ret = ec2_public_verdict("ami-1", rows[i].codes, rows[i].image, rows[i].snapshot,
			rows[i].snapshots, &err);

		assert_int_equal(ret, rows[i].text ? -1 : 0);
		assert_int_equal(err.kind, rows[i].text ? ERROR_POLICY : ERROR_NONE);
		if (rows[i].text && !strstr(err.text, rows[i].text))
			fail_msg("row %zu: %s", i, err.text);
	}
}

static void test_partitions(void **state)
{
	(void)state;
	assert_string_equal(ec2_partition_of("us-east-1"), "aws");
	assert_string_equal(ec2_partition_of("eu-west-1"), "aws");
	assert_string_equal(ec2_partition_of("cn-north-1"), "aws-cn");
	assert_string_equal(ec2_partition_of("us-gov-west-1"), "aws-us-gov");
	assert_string_equal(ec2_partition_of("us-isob-east-1"), "aws-iso-b");
	assert_string_equal(ec2_partition_of("us-iso-east-1"), "aws-iso");
	assert_string_equal(ec2_partition_of("eusc-de-east-1"), "aws-eusc");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_copy_matrix),
		cmocka_unit_test(test_share_matrix),
		cmocka_unit_test(test_public),
		cmocka_unit_test(test_partitions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
