/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calls that copy, share and retire images: bodies on the wire, answers, dry runs. And KMS's
 * DescribeKey.
 */
#include "uploader/ec2_copy.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/num.h"
#include "tests/lib/awsclient.h"
#include "tests/lib/httpd.h"
#include "uploader/ec2_retire.h"
#include "uploader/ec2_share.h"
#include "uploader/kms.h"

#define SNAP "snap-0123456789abcdef0"
#define ANSWER(action, inner)                                                                      \
	"<" action "Response xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>r"      \
	"</requestId>" inner "</" action "Response>"
#define FAILURE(code)                                                                              \
	"<Response><Errors><Error><Code>" code "</Code><Message>m</Message></Error></Errors>"      \
	"<RequestID>q</RequestID></Response>"
#define HEAD(action) "Action=" action "&Version=2016-11-15"

struct fixture {
	struct httpd *server;
	struct test_clock clock;
	struct aws *aws;
	const char *status, *answer;
	unsigned seen;
	unsigned tokens; /* that page_without_end() gives in turn */
	bool full;       /* its pages have something in them */
	char body[4000], headers[4000];
};

static enum httpd_act play(void *arg, const struct httpd_request *req, char *reply, size_t size,
	size_t *len)
{
	struct fixture *f = arg;

	f->seen = req->number;
	snprintf(f->body, sizeof(f->body), "%.*s", (int)req->body_len, req->body);
	snprintf(f->headers, sizeof(f->headers), "%s", req->headers);
	*len = httpd_answer(reply, size, f->status, "", f->answer);
	return HTTPD_SEND;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	log_set_fd(-1);
	f->status = "200 OK";
	f->server = httpd_start(play, f);
	f->aws = test_client(httpd_url(f->server), &f->clock);
	*state = f;
	return f->aws ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	aws_free(f->aws);
	httpd_stop(f->server);
	free(f);
	return 0;
}

static void good(int ret, const struct error *err)
{
	if (ret < 0)
		fail_msg("%s", err->text);
}

static void test_copy_image(void **state)
{
	struct fixture *f = *state;
	struct aws_tag tag = {"team", "a&b"};
	struct ec2_copy_opts o = {.source = "ami-1", .source_region = "us-east-1", .name = "web 1",
		.description = "", .token = "t-1", .encrypt = true, .kms_key = "alias/ami", .tags = &tag,
		.nr_tags = 1};
	struct error err = ERROR_INIT;
	char id[EC2_ID_SIZE];

	f->answer = ANSWER("CopyImage", "<imageId>ami-2</imageId>");
	good(ec2_copy_image(f->aws, &o, id, &err), &err);
	assert_string_equal(id, "ami-2");
	assert_string_equal(f->body,
		HEAD("CopyImage") "&Name=web%201&SourceImageId=ami-1&SourceRegion=us-east-1"
				  "&ClientToken=t-1&Encrypted=true&KmsKeyId=alias%2Fami"
				  "&TagSpecification.1.ResourceType=image&TagSpecification.1.Tag.1.Key=team"
				  "&TagSpecification.1.Tag.1.Value=a%26b");
	o = (struct ec2_copy_opts){.source = "ami-1", .source_region = "us-east-1", .name = "web"};
	f->answer = ANSWER("CopyImage", "<imageId/>");
	assert_int_equal(ec2_copy_image(f->aws, &o, id, &err), -1);
	assert_int_equal(err.kind, ERROR_SERVICE);
	assert_string_equal(f->body,
		HEAD("CopyImage") "&Name=web&SourceImageId=ami-1&SourceRegion=us-east-1");
}

/* EC2's word that it would have been done is success; an image that was made is not. */
static void test_dry_run(void **state)
{
	struct fixture *f = *state;
	struct ec2_copy_opts o = {.source = "ami-1", .source_region = "r", .name = "web", .dry_run = true};
	struct error err = ERROR_INIT;
	char id[EC2_ID_SIZE] = "x";

	f->status = "412 Precondition Failed";
	f->answer = FAILURE("DryRunOperation");
	good(ec2_copy_image(f->aws, &o, id, &err), &err);
	assert_string_equal(id, "");
	assert_non_null(strstr(f->body, "&DryRun=true"));
	f->answer = FAILURE("UnauthorizedOperation");
	assert_int_equal(ec2_copy_image(f->aws, &o, id, &err), -1);
	assert_int_equal(err.kind, ERROR_SERVICE);
	assert_string_equal(err.code, "UnauthorizedOperation");
	f->status = "200 OK";
	f->answer = ANSWER("CopyImage", "<imageId>ami-2</imageId>");
	assert_int_equal(ec2_copy_image(f->aws, &o, id, &err), -1);
	assert_non_null(strstr(err.text, "dry run was not taken for one"));
	o.dry_run = false;
	f->status = "412 Precondition Failed";
	f->answer = FAILURE("DryRunOperation");
	assert_int_equal(ec2_copy_image(f->aws, &o, id, &err), -1);
}

/* The same parameters in the call and, signed for the source's region, in the URL. */
static void test_copy_snapshot(void **state)
{
	struct fixture *f = *state;
	struct ec2_copy_opts o = {.source = SNAP, .source_region = "us-east-1", .description = "d",
		.encrypt = true};
	struct error err = ERROR_INIT;
	char id[EC2_ID_SIZE], *url;
	static const char call[] = HEAD("CopySnapshot") "&SourceRegion=us-east-1&SourceSnapshotId=" SNAP
							"&DestinationRegion=us-east-1&Description=d&Encrypted=true";

	f->answer = ANSWER("CopySnapshot", "<snapshotId>snap-2</snapshotId>");
	good(ec2_copy_snapshot(f->aws, f->aws, &o, id, &err), &err);
	assert_string_equal(id, "snap-2");
	assert_memory_equal(f->body, call, strlen(call));
	url = f->body + strlen(call);
	assert_memory_equal(url, "&PresignedUrl=http%3A%2F%2F127.0.0.1%3A",
		strlen("&PresignedUrl=http%3A%2F%2F127.0.0.1%3A"));
	assert_non_null(strstr(url, "%26DestinationRegion%3Dus-east-1%26Description%3Dd"));
	assert_non_null(strstr(url, "%252Fus-east-1%252Fec2%252Faws4_request"));
	assert_non_null(strstr(url, "%26X-Amz-Expires%3D3600%26X-Amz-SignedHeaders%3Dhost"
				    "%26X-Amz-Signature%3D"));
}

/* Two calls could make two snapshots. */
static void test_copy_snapshot_once(void **state)
{
	struct fixture *f = *state;
	struct ec2_copy_opts o = {.source = SNAP, .source_region = "us-east-1"};
	struct error err = ERROR_INIT;
	char id[EC2_ID_SIZE];

	f->status = "500 Oops";
	f->answer = "";
	assert_int_equal(ec2_copy_snapshot(f->aws, f->aws, &o, id, &err), -1);
	assert_int_equal(f->seen, 1);
}

static void test_account_settings(void **state)
{
	struct fixture *f = *state;
	struct ec2_region_list regions;
	struct error err = ERROR_INIT;
	char key[EC2_KEY_SIZE];
	bool on;

	f->answer = ANSWER("GetEbsEncryptionByDefault",
		"<ebsEncryptionByDefault>true</ebsEncryptionByDefault>");
	good(ec2_encryption_by_default(f->aws, &on, &err), &err);
	assert_true(on);
	f->answer = ANSWER("GetEbsDefaultKmsKeyId", "<kmsKeyId>alias/aws/ebs</kmsKeyId>");
	good(ec2_default_key(f->aws, key, &err), &err);
	assert_string_equal(key, "alias/aws/ebs");
	f->answer = ANSWER("DescribeRegions", "<regionInfo><item><regionName>us-west-2</regionName></item>"
					      "<item><regionName>eu-west-1</regionName></item></regionInfo>");
	good(ec2_regions(f->aws, &regions, &err), &err);
	assert_int_equal(regions.nr, 2);
	assert_string_equal(regions.names[0], "eu-west-1");
	free(regions.names);
}

static enum httpd_act page_without_end(void *arg, const struct httpd_request *req, char *reply,
	size_t size, size_t *len)
{
	struct fixture *f = arg;
	char answer[400];

	snprintf(answer, sizeof(answer),
		ANSWER("DescribeInstances", "<reservationSet>%s</reservationSet><nextToken>t%u</nextToken>"),
		f->full ? "<item/>" : "", req->number % f->tokens);
	f->seen = req->number;
	*len = httpd_answer(reply, size, "200 OK", "", answer);
	return HTTPD_SEND;
}

/* Lists that lead round in a circle, or on and on through nothing, would be followed for ever. */
static void test_lists_without_end(void **state)
{
	static const struct {
		unsigned tokens, pages;
		bool full;
		const char *expected;
	} cases[] = {
		{1, 2, true, "DescribeInstances: the pages go round in a circle: the token 't0'"},
		{2, 4, true, "in a circle"},
		{2, 4, false, "in a circle"},
		{5, 13, true, "in a circle"},
		{100000, 500, false, "500 pages in a row have nothing in them"},
		{100000, 10001, true, "over 10000 pages"},
	};
	char first[EC2_ID_SIZE];
	size_t nr;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture f = {.tokens = cases[i].tokens, .full = cases[i].full};
		struct error err = ERROR_INIT;

		f.server = httpd_start(page_without_end, &f);
		f.aws = test_client(httpd_url(f.server), &f.clock);
		assert_int_equal(ec2_instances_of(f.aws, "ami-1", &nr, first, &err), -1);
		assert_int_equal(err.kind, ERROR_SERVICE);
		assert_non_null(strstr(err.text, cases[i].expected));
		assert_in_range(f.seen, 2, cases[i].pages);
		aws_free(f.aws);
		httpd_stop(f.server);
	}
}

static void test_permissions(void **state)
{
	struct fixture *f = *state;
	struct ec2_permission_list list;
	struct error err = ERROR_INIT;

	f->answer = ANSWER("DescribeImageAttribute",
		"<imageId>ami-1</imageId><launchPermission><item><userId>111122223333</userId></item>"
		"<item><group>all</group></item><item><organizationArn>arn:o</organizationArn></item>"
		"<item><newKind>x</newKind></item>"
		"<item><organizationalUnitArn>arn:ou</organizationalUnitArn></item></launchPermission>");
	good(ec2_image_permissions(f->aws, "ami-1", &list, &err), &err);
	assert_string_equal(f->body,
		HEAD("DescribeImageAttribute") "&ImageId=ami-1&Attribute=launchPermission");
	assert_int_equal(list.nr, 4);
	assert_int_equal(list.items[0].kind, EC2_ACCOUNT);
	assert_int_equal(list.items[1].kind, EC2_GROUP);
	assert_string_equal(list.items[1].value, "all");
	assert_int_equal(list.items[2].kind, EC2_ORGANIZATION);
	assert_int_equal(list.items[3].kind, EC2_UNIT);
	free(list.items);
	f->answer = ANSWER("DescribeSnapshotAttribute", "<createVolumePermission/>");
	good(ec2_snapshot_permissions(f->aws, SNAP, &list, &err), &err);
	assert_int_equal(list.nr, 0);
	free(list.items);
}

static void test_change_permissions(void **state)
{
	struct fixture *f = *state;
	struct ec2_permission who[] = {{EC2_ACCOUNT, "111122223333"}, {EC2_GROUP, "all"},
		{EC2_ORGANIZATION, "arn:o"}, {EC2_UNIT, "arn:ou"}};
	struct ec2_permission_change c = {.id = "ami-1", .items = who, .nr = 4};
	struct error err = ERROR_INIT;
	size_t done;

	f->answer = ANSWER("ModifyImageAttribute", "<return>true</return>");
	good(ec2_change_permissions(f->aws, &c, &done, &err), &err);
	assert_int_equal(done, 4);
	assert_string_equal(f->body,
		HEAD("ModifyImageAttribute") "&ImageId=ami-1&LaunchPermission.Add.1.UserId=111122223333"
					     "&LaunchPermission.Add.2.Group=all"
					     "&LaunchPermission.Add.3.OrganizationArn=arn%3Ao"
					     "&LaunchPermission.Add.4.OrganizationalUnitArn=arn%3Aou");
	c = (struct ec2_permission_change){.id = SNAP, .items = who, .nr = 2, .remove = true};
	f->answer = ANSWER("ModifySnapshotAttribute", "<return>true</return>");
	good(ec2_change_permissions(f->aws, &c, NULL, &err), &err);
	assert_string_equal(f->body,
		HEAD("ModifySnapshotAttribute") "&SnapshotId=" SNAP "&Attribute=createVolumePermission"
						"&OperationType=remove&UserId.1=111122223333&UserGroup.1=all");
}

/* 1,001 accounts are three calls, each counting from 1. */
static void test_many_permissions(void **state)
{
	struct fixture *f = *state;
	struct ec2_permission *who = calloc(1001, sizeof(*who));
	struct ec2_permission_change c = {.id = "ami-1", .items = who, .nr = 1001};
	struct error err = ERROR_INIT;
	size_t done;

	for (size_t i = 0; i < 1001; i++)
		snprintf(who[i].value, sizeof(who[i].value), "%012zu", i);
	f->answer = ANSWER("ModifyImageAttribute", "<return>true</return>");
	good(ec2_change_permissions(f->aws, &c, &done, &err), &err);
	assert_int_equal(done, 1001);
	assert_int_equal(f->seen, 3);
	assert_string_equal(f->body, HEAD("ModifyImageAttribute") "&ImageId=ami-1"
					"&LaunchPermission.Add.1.UserId=000000001000");
	free(who);
}

static void test_retire(void **state)
{
	struct fixture *f = *state;
	struct error err = ERROR_INIT;
	char first[EC2_ID_SIZE];
	size_t nr;

	f->answer = ANSWER("DeregisterImage", "<return>true</return>");
	good(ec2_deregister_image(f->aws, "ami-1", false, &err), &err);
	assert_string_equal(f->body, HEAD("DeregisterImage") "&ImageId=ami-1");
	f->answer = ANSWER("EnableImageDeprecation", "<return>true</return>");
	good(ec2_deprecate_image(f->aws, "ami-1", 1798859040, false, &err), &err);
	assert_string_equal(f->body, HEAD("EnableImageDeprecation") "&ImageId=ami-1&DeprecateAt="
								    "2027-01-02T03%3A04%3A00Z");
	f->answer = ANSWER("DisableImageDeprecation", "<return>true</return>");
	good(ec2_deprecate_image(f->aws, "ami-1", 0, false, &err), &err);
	f->answer = ANSWER("EnableImageDeregistrationProtection", "<return>true</return>");
	good(ec2_protect_image(f->aws, "ami-1", true, true, false, &err), &err);
	assert_non_null(strstr(f->body, "&WithCooldown=true"));
	f->answer = ANSWER("DescribeInstances",
		"<reservationSet><item><instancesSet><item><instanceId>i-0</instanceId><instanceState>"
		"<name>terminated</name></instanceState></item><item><instanceId>i-1</instanceId>"
		"<instanceState><name>stopped</name></instanceState></item></instancesSet></item>"
		"<item><instancesSet><item><instanceId>i-2</instanceId></item></instancesSet></item>"
		"</reservationSet>");
	good(ec2_instances_of(f->aws, "ami-1", &nr, first, &err), &err);
	assert_int_equal(nr, 2);
	assert_string_equal(first, "i-1");
}

static void test_describe_key(void **state)
{
	struct fixture *f = *state;
	struct error err = ERROR_INIT;
	struct kms_key key;

	f->answer = "{\"KeyMetadata\":{\"Arn\":\"arn:k\",\"KeyManager\":\"AWS\",\"KeyState\":\"Enabled\"}}";
	good(kms_describe_key(f->aws, "alias/aws/ebs", &key, &err), &err);
	assert_int_equal(key.manager, EC2_KEY_AWS);
	assert_string_equal(key.arn, "arn:k");
	assert_string_equal(f->body, "{\"KeyId\":\"alias/aws/ebs\"}");
	assert_non_null(strstr(f->headers, "TrentService.DescribeKey"));
	assert_non_null(strstr(f->headers, "/us-east-1/kms/aws4_request"));
	f->status = "400 Bad Request";
	f->answer = "{\"__type\":\"AccessDeniedException\",\"Message\":\"no\"}";
	assert_int_equal(kms_describe_key(f->aws, "k", &key, &err), -1);
	assert_string_equal(err.code, "AccessDeniedException");
	assert_int_equal(key.manager, EC2_KEY_UNKNOWN);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_copy_image),
		TEST(test_dry_run),
		TEST(test_copy_snapshot),
		TEST(test_copy_snapshot_once),
		TEST(test_account_settings),
		TEST(test_lists_without_end),
		TEST(test_permissions),
		TEST(test_change_permissions),
		TEST(test_many_permissions),
		TEST(test_retire),
		TEST(test_describe_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
