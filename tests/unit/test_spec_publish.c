/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of the AMI: keys of copies, sharing and deprecation, and the rules among them. */
#include "builder/spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/spectext.h"

static void test_publish_keys(void **state)
{
	static const char text[] = HEAD DISK
		"ami:\n  kms_key: alias/ami\n  protect: true\n"
		"  copies: [eu-west-1, {region: us-west-2, encrypt: true, kms_key: alias/w}]\n"
		"  share: {accounts: [111122223333, 012345678901]}\n"
		"  deprecate: {after_days: 365, old_after_days: 0}\n";
	struct parsed p;

	(void)state;
	spectext_parse(&p, text, strlen(text));
	assert_int_equal(p.ret, -1); /* the first copy is encrypted, and shared without a key */
	assert_non_null(strstr(p.text.data, "t.yaml:8:12: the copy in eu-west-1 is shared too"));
	assert_int_equal(p.spec.ami.nr_copies, 2);
	assert_string_equal(p.spec.ami.copies[0].region, "eu-west-1");
	assert_int_equal(p.spec.ami.copies[0].encrypt, -1);
	assert_int_equal(p.spec.ami.copies[1].encrypt, 1);
	assert_string_equal(p.spec.ami.copies[1].kms_key, "alias/w");
	assert_string_equal(p.spec.ami.share.accounts.items[1], "012345678901");
	assert_int_equal(p.spec.ami.deprecate_days, 365);
	assert_true(p.spec.ami.deprecate_old);
	assert_int_equal(p.spec.ami.deprecate_old_days, 0);
	assert_true(p.spec.ami.protect);
	spectext_done(&p);
	spectext_accepted(HEAD DISK "ami: {share: {public: true}, copies: [us-gov-east-1]}\n");
	spectext_accepted(HEAD DISK "ami: {share: {organizations: "
			   "'arn:aws:organizations::111122223333:organization/o-1'}}\n");
}

static void test_publish_rules(void **state)
{
	(void)state;
	REFUSED(HEAD DISK "ami: {copies: [Europe, eu-west-1, {region: eu-west-1}, {kms_key: a}]}\n",
		"t.yaml:5:16: 'Europe' is no AWS region",
		"t.yaml:5:44: eu-west-1 gets a copy in line 5 already", "t.yaml:5:56: missing key 'region' in a copy");
	REFUSED(HEAD DISK "ami: {encrypt: true, copies: [{region: eu-west-1, encrypt: false}]}\n",
		"t.yaml:5:60: a copy of an encrypted snapshot is always encrypted");
	REFUSED(HEAD DISK "ami: {encrypt: false, kms_key: a, deprecate: {}}\n",
		"t.yaml:5:16: 'encrypt: false' does not go with 'kms_key'", "t.yaml:5:46: 'deprecate' needs");
	REFUSED(HEAD DISK "ami: {encrypt: true, share: {public: true, accounts: ['1']}}\n",
		"t.yaml:5:29: the account's default key cannot be shared",
		"t.yaml:5:38: an AMI with encrypted snapshots cannot be public", "t.yaml:5:54: '1' is no account");
	REFUSED(HEAD DISK "ami: {share: {public: true}, copies: [{region: eu-west-1, encrypt: true}]}\n",
		"t.yaml:5:39: 'share' makes the AMI public, an encrypted copy cannot be");
	REFUSED(HEAD DISK "ami: {copies: [{region: eu-west-1, kms_key: 'arn:aws:kms:eu-west-2:111122223333:key/1'}], "
			  "kms_key: 'arn:aws:s3:::x'}\n",
		"t.yaml:5:45: KMS keys hold for one region", "t.yaml:5:100: 'arn:aws:s3:::x' is no ARN of a KMS key");
	REFUSED(HEAD DISK "ami: {share: {organizations: [o-1], organizational_units: "
			  "['arn:aws:organizations::111122223333:organization/o-1']}}\n",
		"t.yaml:5:30: 'o-1' is no ARN of an organization",
		"t.yaml:5:59: 'arn:aws:organizations::111122223333:organization/o-1' is no ARN of an organizational");
	REFUSED(HEAD DISK "ami: {share: {public: true}, deprecate: {after_days: 800}}\n",
		"t.yaml:5:41: a public AMI is deprecated after two years");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_publish_keys),
		cmocka_unit_test(test_publish_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
