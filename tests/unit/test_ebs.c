/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The forms of the EBS calls on the wire, and what damaged or lying answers lead to.
 */
#include "uploader/ebs.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/log.h"
#include "tests/lib/awsclient.h"
#include "tests/lib/httpd.h"

#define SNAP "snap-0123456789abcdef0"

/* Keeps what came last and answers what the test wants. */
struct fixture {
	struct httpd *server;
	struct test_clock clock;
	struct aws *aws;
	char line[600], headers[4000], body[2000];
	const char *status, *extra, *answer;
	char *block; /* sent instead of answer, EBS_BLOCK_SIZE bytes */
};

static enum httpd_act keep(void *arg, const struct httpd_request *req, char *reply, size_t size,
	size_t *len)
{
	struct fixture *f = arg;

	snprintf(f->line, sizeof(f->line), "%s", req->line);
	snprintf(f->headers, sizeof(f->headers), "\r\n%s", req->headers);
	snprintf(f->body, sizeof(f->body), "%.*s", (int)req->body_len, req->body);
	if (f->block) {
		*len = (size_t)snprintf(reply, size, "HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n",
			f->extra, EBS_BLOCK_SIZE);
		memcpy(reply + *len, f->block, EBS_BLOCK_SIZE);
		*len += EBS_BLOCK_SIZE;
	} else {
		*len = httpd_answer(reply, size, f->status, f->extra, f->answer);
	}
	return HTTPD_SEND;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	log_set_fd(-1);
	f->status = "200 OK";
	f->extra = "";
	f->answer = "{}";
	f->server = httpd_start(keep, f);
	f->aws = test_client(httpd_url(f->server), &f->clock);
	*state = f;
	return f->aws ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	aws_free(f->aws);
	httpd_stop(f->server);
	free(f->block);
	free(f);
	return 0;
}

static void has(const struct fixture *f, const char *header)
{
	char line[300];

	snprintf(line, sizeof(line), "\r\n%s\r\n", header);
	if (!strstr(f->headers, line))
		fail_msg("no '%s' in %s", header, f->headers);
}

static void test_start(void **state)
{
	struct fixture *f = *state;
	struct aws_tag tags[] = {{"Name", "d\"emo"}, {"x", ""}};
	struct ebs_start_opts o = {.size_gib = 3, .description = "demo", .client_token = "tok-1",
		.encrypted = true, .kms_key = "arn:aws:kms:us-east-1:111122223333:key/x",
		.tags = tags, .nr_tags = 2};
	struct ebs_started s;
	struct error err = ERROR_INIT;

	f->status = "201 Created";
	f->answer = "{\"SnapshotId\":\"" SNAP "\",\"BlockSize\":524288,\"VolumeSize\":3,"
		    "\"StartTime\":1.790337542341E9,\"Status\":\"pending\",\"Tags\":null,"
		    "\"KmsKeyArn\":null,\"Unknown\":[1]}";
	if (ebs_start_snapshot(f->aws, &o, &s, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(f->line, "POST /snapshots HTTP/1.1");
	has(f, "Content-Type: application/json");
	assert_string_equal(f->body,
		"{\"VolumeSize\":3,\"Description\":\"demo\",\"ClientToken\":\"tok-1\",\"Timeout\":60,"
		"\"KmsKeyArn\":\"arn:aws:kms:us-east-1:111122223333:key/x\","
		"\"Tags\":[{\"Key\":\"Name\",\"Value\":\"d\\\"emo\"},{\"Key\":\"x\",\"Value\":\"\"}],"
		"\"Encrypted\":true}");
	assert_string_equal(s.snapshot, SNAP);
	assert_int_equal(s.block_size, 524288);
	assert_int_equal(s.start_s, 1790337542);
	assert_string_equal(s.kms_key, "");
}

static void start_fails(struct fixture *f, const char *answer, const char *text)
{
	struct ebs_start_opts o = {.size_gib = 3, .client_token = "tok-1"};
	struct ebs_started s;
	struct error err = ERROR_INIT;

	f->answer = answer;
	assert_int_equal(ebs_start_snapshot(f->aws, &o, &s, &err), -1);
	assert_int_equal(err.kind, ERROR_SERVICE);
	if (!strstr(err.text, text))
		fail_msg("'%s' lacks '%s'", err.text, text);
}

static void test_start_lies(void **state)
{
	start_fails(*state, "{\"SnapshotId\":\"snap-../../x\"}", "without a snapshot id");
	start_fails(*state, "{}", "without a snapshot id");
	start_fails(*state, "[]", "something else than an object");
	start_fails(*state, "{\"SnapshotId\":", "StartSnapshot");
	start_fails(*state, "{\"SnapshotId\":\"" SNAP "\",\"VolumeSize\":1}", "of 1 GiB where 3 GiB");
}

static void test_start_refused(void **state)
{
	struct fixture *f = *state;
	struct ebs_start_opts o = {.size_gib = 0, .client_token = "tok-1"};
	struct ebs_started s;
	struct error err = ERROR_INIT;

	assert_int_equal(ebs_start_snapshot(f->aws, &o, &s, &err), -1);
	assert_int_equal(err.kind, ERROR_USAGE);
	o.size_gib = 65537;
	assert_int_equal(ebs_start_snapshot(f->aws, &o, &s, &err), -1);
	o.size_gib = 1;
	o.parent = SNAP;
	o.encrypted = true;
	assert_int_equal(ebs_start_snapshot(f->aws, &o, &s, &err), -1);
	assert_int_equal(err.kind, ERROR_USAGE);
	o = (struct ebs_start_opts){.size_gib = 1, .client_token = "a b"};
	assert_int_equal(ebs_start_snapshot(f->aws, &o, &s, &err), -1);
	assert_string_equal(f->line, "");
}

/* 23 bytes repeated and cut at the block's end: its digest was accepted by the real service. */
static char *block_a(void)
{
	static const char text[] = "stackd-ebs-synthetic-a\n";
	char *block = malloc(EBS_BLOCK_SIZE);

	for (size_t i = 0; i < EBS_BLOCK_SIZE; i++)
		block[i] = text[i % (sizeof(text) - 1)];
	return block;
}

static void test_put(void **state)
{
	struct fixture *f = *state;
	uint8_t digest[SHA256_SIZE];
	struct aws_call call;
	char *block = block_a();

	f->status = "201 Created";
	assert_int_equal(sha256(block, EBS_BLOCK_SIZE, digest, NULL), 0);
	assert_int_equal(ebs_put_block_init(f->aws, &call, SNAP, 7, block, digest, NULL), 0);
	assert_string_equal(call.subject, SNAP " block 7");
	assert_int_equal(aws_perform(f->aws, &call, NULL), 0);
	assert_string_equal(f->line, "PUT /snapshots/" SNAP "/blocks/7 HTTP/1.1");
	has(f, "x-amz-Data-Length: 524288");
	has(f, "x-amz-Checksum: Qib0wLZSCPxxAsnoZ1mqGTwYYUfxBvjcHbuEUOOwNdw=");
	has(f, "x-amz-Checksum-Algorithm: SHA256");
	has(f, "X-Amz-Content-SHA256: UNSIGNED-PAYLOAD");
	has(f, "Content-Length: 524288");
	assert_null(strstr(f->headers, "Content-Type"));
	assert_null(strstr(f->headers, "Expect"));
	assert_non_null(strstr(f->headers, "SignedHeaders=host;x-amz-checksum;"
					   "x-amz-checksum-algorithm;x-amz-content-sha256;"
					   "x-amz-data-length;x-amz-date, "));
	aws_call_release(&call);
	free(block);
}

static void test_complete(void **state)
{
	struct fixture *f = *state;
	uint8_t a[SHA256_SIZE], sum[SHA256_SIZE];
	char status[16], *block = block_a();

	f->status = "202 Accepted";
	f->answer = "{\"Status\":\"pending\"}";
	assert_int_equal(sha256(block, EBS_BLOCK_SIZE, a, NULL), 0);
	assert_int_equal(sha256(a, sizeof(a), sum, NULL), 0);
	assert_int_equal(ebs_complete_snapshot(f->aws, SNAP, 1, sum, status, NULL), 0);
	assert_string_equal(status, "pending");
	assert_string_equal(f->line, "POST /snapshots/completion/" SNAP " HTTP/1.1");
	has(f, "x-amz-ChangedBlocksCount: 1");
	has(f, "x-amz-Checksum: hm74cqkUPpcI9ua01PNSVN2PLTzQAAMPsYCbeHfLIX4=");
	has(f, "x-amz-Checksum-Algorithm: SHA256");
	has(f, "x-amz-Checksum-Aggregation-Method: LINEAR");
	has(f, "Content-Length: 0");
	assert_int_equal(ebs_complete_snapshot(f->aws, SNAP, 0, sum, status, NULL), 0);
	has(f, "x-amz-ChangedBlocksCount: 0");
	assert_null(strstr(f->headers, "x-amz-Checksum"));
	free(block);
}

static int list_page(struct fixture *f, uint64_t start, char **token, struct ebs_block_list *list)
{
	struct aws_call call;
	int ret;

	assert_int_equal(ebs_list_init(f->aws, &call, SNAP, start, *token, NULL), 0);
	assert_int_equal(aws_perform(f->aws, &call, NULL), 0);
	ret = ebs_list_read(&call, token, list, NULL);
	aws_call_release(&call);
	return ret;
}

static void test_list(void **state)
{
	struct fixture *f = *state;
	struct ebs_block_list list = {NULL, 0, 0, 0, 0};
	char *token = NULL;

	f->answer = "{\"Blocks\":[{\"BlockIndex\":0,\"BlockToken\":\"a+/=\"},"
		    "{\"BlockIndex\":9,\"BlockToken\":\"-_\"}],\"ExpiryTime\":1.7E9,\"VolumeSize\":1,"
		    "\"BlockSize\":524288,\"NextToken\":\"n+/=\"}";
	assert_int_equal(list_page(f, 5, &token, &list), 0);
	assert_string_equal(f->line, "GET /snapshots/" SNAP
				     "/blocks?maxResults=10000&startingBlockIndex=5 HTTP/1.1");
	assert_string_equal(token, "n+/=");
	assert_int_equal(list.nr, 2);
	assert_int_equal(list.items[1].index, 9);
	/* An empty page with a token, then the end. */
	f->answer = "{\"Blocks\":[],\"VolumeSize\":1,\"NextToken\":\"m\"}";
	assert_int_equal(list_page(f, 5, &token, &list), 0);
	assert_string_equal(f->line, "GET /snapshots/" SNAP
				     "/blocks?maxResults=10000&pageToken=n%2B%2F%3D HTTP/1.1");
	assert_string_equal(token, "m");
	f->answer = "{\"Blocks\":null,\"VolumeSize\":1,\"NextToken\":null}";
	assert_int_equal(list_page(f, 5, &token, &list), 0);
	assert_null(token);
	assert_int_equal(list.nr, 2);
	/* Indices that go back would be written twice or for ever. */
	f->answer = "{\"Blocks\":[{\"BlockIndex\":9,\"BlockToken\":\"x\"}]}";
	assert_int_equal(list_page(f, 0, &token, &list), -1);
	ebs_block_list_release(&list);
}

static void test_changed(void **state)
{
	struct fixture *f = *state;
	struct ebs_block_list first = {.items = NULL}, second = {.items = NULL};
	struct aws_call call;
	struct error err = ERROR_INIT;
	char *token = NULL;

	f->answer = "{\"ChangedBlocks\":[{\"BlockIndex\":1,\"SecondBlockToken\":\"s+1\"},"
		    "{\"BlockIndex\":4,\"FirstBlockToken\":\"f4\",\"SecondBlockToken\":\"s4\"},"
		    "{\"BlockIndex\":6,\"FirstBlockToken\":\"f6\",\"SecondBlockToken\":null}],"
		    "\"VolumeSize\":3,\"BlockSize\":524288,\"NextToken\":\"n\"}";
	assert_int_equal(ebs_changed_init(f->aws, &call, "snap-0a", SNAP, 7, NULL, NULL), 0);
	assert_int_equal(aws_perform(f->aws, &call, NULL), 0);
	assert_string_equal(f->line, "GET /snapshots/" SNAP "/changedblocks?maxResults=10000"
				     "&firstSnapshotId=snap-0a&startingBlockIndex=7 HTTP/1.1");
	assert_int_equal(ebs_changed_read(&call, &token, &first, &second, &err), 0);
	aws_call_release(&call);
	assert_string_equal(token, "n");
	assert_int_equal(first.nr, 3);
	assert_int_equal(second.nr, 3);
	assert_int_equal(second.size_gib, 3);
	assert_string_equal(first.items[0].token, "");
	assert_string_equal(second.items[0].token, "s+1");
	assert_string_equal(first.items[1].token, "f4");
	assert_int_equal(first.items[2].index, 6);
	assert_string_equal(second.items[2].token, "");
	free(token);
	ebs_block_list_release(&first);
	ebs_block_list_release(&second);
	assert_int_equal(ebs_changed_init(f->aws, &call, "snap-../x", SNAP, 0, NULL, &err), -1);
	assert_int_equal(err.kind, ERROR_USAGE);
}

static int get(struct fixture *f, const char *checksum, struct error *err)
{
	struct ebs_block b = {.index = 4, .token = "t+/"};
	uint8_t digest[SHA256_SIZE];
	struct aws_call call;
	char extra[200];
	int ret;

	snprintf(extra, sizeof(extra), "%s%s%s", checksum ? "x-amz-Checksum: " : "",
		checksum ? checksum : "", checksum ? "\r\n" : "");
	f->extra = extra;
	assert_int_equal(ebs_get_block_init(f->aws, &call, SNAP, &b, NULL), 0);
	assert_int_equal(aws_perform(f->aws, &call, NULL), 0);
	ret = ebs_check_block(&call, digest, err);
	aws_call_release(&call);
	f->extra = "";
	return ret;
}

static void test_get(void **state)
{
	struct fixture *f = *state;
	struct error err = ERROR_INIT;

	f->block = block_a();
	assert_int_equal(get(f, "Qib0wLZSCPxxAsnoZ1mqGTwYYUfxBvjcHbuEUOOwNdw=", &err), 0);
	assert_string_equal(f->line, "GET /snapshots/" SNAP "/blocks/4?blockToken=t%2B%2F HTTP/1.1");
	f->block[100] ^= 1;
	assert_int_equal(get(f, "Qib0wLZSCPxxAsnoZ1mqGTwYYUfxBvjcHbuEUOOwNdw=", &err), -1);
	assert_non_null(strstr(err.text, "the block's SHA-256 is"));
	assert_int_equal(get(f, NULL, &err), -1);
	assert_non_null(strstr(err.text, "no SHA256 checksum"));
	free(f->block);
	f->block = NULL;
	f->answer = "short";
	assert_int_equal(get(f, "x", &err), -1);
	assert_non_null(strstr(err.text, "5 bytes came"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_start, setup, teardown),
		cmocka_unit_test_setup_teardown(test_start_lies, setup, teardown),
		cmocka_unit_test_setup_teardown(test_start_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_put, setup, teardown),
		cmocka_unit_test_setup_teardown(test_complete, setup, teardown),
		cmocka_unit_test_setup_teardown(test_list, setup, teardown),
		cmocka_unit_test_setup_teardown(test_changed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_get, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
