/* SPDX-License-Identifier: Apache-2.0 */
/* The policy has what a spec leads to, where it leads to it, and nothing else. */
#include "builder/iam_policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define HEAD                                                                                       \
	"name: x\nversion: \"1\"\narchitecture: x86_64\n"                                          \
	"disks: [{device: /dev/xvda, filesystem: ext4, mount: /}]\n"

/* The policy as compact text; the caller's to free. */
static char *policy_for(const char *text, const char *region, bool clean_up)
{
	struct error err = ERROR_INIT;
	struct buf out = BUF_INIT(0);
	struct diag diag = {0};
	struct spec spec;
	struct json *doc;

	assert_int_equal(spec_parse(&spec, text, strlen(text), "t.yaml", &diag, &err), 0);
	doc = iam_policy(&spec, region, clean_up, &err);
	assert_non_null(doc);
	assert_int_equal(json_write(doc, false, &out, &err), 0);
	json_free(doc);
	spec_release(&spec);
	diag_release(&diag);
	return out.data;
}

static char *policy_of(const char *text, const char *region)
{
	return policy_for(text, region, false);
}

static void has(const char *policy, const char *text)
{
	if (!policy || !strstr(policy, text))
		fail_msg("no %s in %s", text, policy ? policy : "nothing");
}

static void has_not(const char *policy, const char *text)
{
	if (!policy || strstr(policy, text))
		fail_msg("%s in %s", text, policy ? policy : "nothing");
}

static void test_plain(void **state)
{
	static const char *const others[] = {"kms:", "Copy", "Attribute", "Deprecation", "Protection",
		"PublicAccess"};
	char *policy = policy_of(HEAD, "us-east-1");

	(void)state;
	has(policy, "\"Action\":[\"ebs:StartSnapshot\",\"ebs:PutSnapshotBlock\",\"ebs:CompleteSnapshot\"],"
		    "\"Resource\":[\"arn:aws:ec2:us-east-1::snapshot/*\"]}");
	has(policy, "{\"StringEquals\":{\"aws:RequestedRegion\":[\"us-east-1\"]}}");
	has(policy, "{\"ForAllValues:StringEquals\":{\"aws:TagKeys\":[\"amiwright:content\",\"amiwright:name\","
		    "\"amiwright:upload\",\"amiwright:copy-of\"]}}");
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		has_not(policy, others[i]);
	free(policy);
}

static void test_copies(void **state)
{
	char *policy = policy_of(HEAD "ami: {tags: {'${aws:x}*': t}, copies: [eu-west-1]}\n", "us-east-1");

	has(policy, "\"amiwright:copy-of\",\"amiwright:retire\"]");
	has(policy, "{\"Sid\":\"DropFailedCopies\",\"Effect\":\"Allow\",\"Action\":[\"ec2:DeleteSnapshot\"],"
		    "\"Resource\":[\"arn:aws:ec2:eu-west-1::snapshot/*\"],"
		    "\"Condition\":{\"Null\":{\"aws:ResourceTag/amiwright:retire\":[\"false\"]}}}");

	(void)state;
	has(policy, "\"Action\":[\"ec2:CopyImage\"],\"Resource\":[\"arn:aws:ec2:us-east-1::image/*\","
		    "\"arn:aws:ec2:us-east-1::snapshot/*\",\"arn:aws:ec2:eu-west-1::image/*\","
		    "\"arn:aws:ec2:eu-west-1::snapshot/*\"]");
	has(policy, "[\"ec2:GetEbsEncryptionByDefault\"],\"Resource\":[\"*\"],\"Condition\":{"
		    "\"StringEquals\":{\"aws:RequestedRegion\":[\"us-east-1\",\"eu-west-1\"]}}");
	has(policy, "\"aws:TagKeys\":[\"${$}{aws:x}*\",\"amiwright:content\"");
	has(policy, "[\"us-east-1\",\"eu-west-1\"]");
	free(policy);
}

static void test_cleanup(void **state)
{
	char *without = policy_of(HEAD "ami: {copies: [eu-west-1]}\n", "us-east-1");
	char *with = policy_for(HEAD "ami: {copies: [eu-west-1]}\n", "us-east-1", true);

	(void)state;
	has_not(without, "DisableImageDeregistrationProtection");
	has(with, "\"ec2:DeregisterImage\",\"ec2:DisableImageDeregistrationProtection\"");
	has(with, "[\"ec2:DeleteSnapshot\"],\"Resource\":[\"arn:aws:ec2:eu-west-1::snapshot/*\"]}");
	free(without);
	free(with);
}

static void test_keys(void **state)
{
	char *policy = policy_of(HEAD "ami: {kms_key: alias/a, copies: [{region: cn-north-1, kms_key: "
				      "'arn:aws-cn:kms:cn-north-1:111122223333:key/k'}]}\n", "cn-northwest-1");

	(void)state;
	has(policy, "\"Resource\":[\"arn:aws-cn:kms:cn-northwest-1:*:key/*\"],\"Condition\":{"
		    "\"ForAnyValue:StringEquals\":{\"kms:ResourceAliases\":[\"alias/a\"]}}");
	has(policy, "\"Resource\":[\"arn:aws-cn:kms:cn-north-1:111122223333:key/k\"]}");
	has(policy, "arn:aws-cn:ec2:cn-north-1::image/*");
	free(policy);
}

static void test_share(void **state)
{
	char *accounts = policy_of(HEAD "ami: {share: {accounts: [111122223333]}}\n", "us-east-1");
	char *units = policy_of(HEAD "ami: {protect: true, share: {organizational_units: "
				     "'arn:aws:organizations::111122223333:ou/o-1/ou-1'}}\n", "us-east-1");
	char *everyone = policy_of(HEAD "ami: {deprecate: {after_days: 9}, share: {public: true}}\n",
		"us-east-1");

	(void)state;
	has(accounts, "ec2:ModifySnapshotAttribute");
	has(accounts, "\"Null\":{\"aws:ResourceTag/amiwright:content\":[\"false\"]}");
	has_not(accounts, "PublicAccess");
	has(units, "ec2:ModifyImageAttribute");
	has_not(units, "SnapshotAttribute");
	has(units, "ec2:EnableImageDeregistrationProtection");
	has(everyone, "ec2:GetImageBlockPublicAccessState");
	has(everyone, "ec2:EnableImageDeprecation");
	free(accounts);
	free(units);
	free(everyone);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_copies),
		cmocka_unit_test(test_cleanup),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_share),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
