/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The AWS client's one retry layer against a server with a script of answers.
 */
#include "uploader/aws.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/num.h"
#include "tests/lib/awsclient.h"
#include "tests/lib/httpd.h"
#include "uploader/aws_internal.h"

#define ERROR_HEADERS(code) "x-amzn-ErrorType: " code ":http://x/\r\nx-amzn-RequestId: r-1\r\n"

struct step {
	const char *status; /* NULL: the connection is closed without an answer */
	const char *headers, *body;
};

/* Answers with its steps in order, the last one for ever. */
struct script {
	const struct step *steps;
	unsigned nr, seen;
	char dates[8][20]; /* X-Amz-Date of the first requests */
};

static enum httpd_act play(void *arg, const struct httpd_request *req, char *reply, size_t size,
	size_t *len)
{
	struct script *s = arg;
	const struct step *step = &s->steps[MIN(req->number, s->nr) - 1];
	const char *date = strstr(req->headers, "X-Amz-Date: ");

	s->seen = req->number;
	if (date && req->number <= ARRAY_SIZE(s->dates))
		snprintf(s->dates[req->number - 1], sizeof(s->dates[0]), "%.16s", date + 12);
	if (!step->status)
		return HTTPD_CLOSE;
	*len = httpd_answer(reply, size, step->status, step->headers, step->body);
	return HTTPD_SEND;
}

struct fixture {
	struct script script;
	struct httpd *server;
	struct test_clock clock;
	struct aws *aws;
	struct aws_call call;
};

static void start(struct fixture *f, const struct step *steps, unsigned nr)
{
	log_set_fd(-1);
	memset(f, 0, sizeof(*f));
	f->script.steps = steps;
	f->script.nr = nr;
	f->clock.random = 0.01;
	f->server = httpd_start(play, &f->script);
	assert_non_null(f->server);
	f->aws = test_client(httpd_url(f->server), &f->clock);
	assert_non_null(f->aws);
	assert_int_equal(aws_call_init(f->aws, &f->call, AWS_EBS, "PUT", "/x?y=z", "DoThing", NULL), 0);
	snprintf(f->call.subject, sizeof(f->call.subject), "thing 7");
}

static void stop(struct fixture *f)
{
	aws_call_release(&f->call);
	aws_free(f->aws);
	httpd_stop(f->server);
}

static void expect_ok(const struct step *steps, unsigned nr, unsigned attempts)
{
	struct error err = ERROR_INIT;
	struct fixture f;

	start(&f, steps, nr);
	if (aws_perform(f.aws, &f.call, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(f.call.attempts, attempts);
	assert_int_equal(f.script.seen, attempts);
	stop(&f);
}

static void expect_failure(const struct step *steps, unsigned nr, unsigned attempts,
	enum error_kind kind, const char *text)
{
	struct error err = ERROR_INIT;
	struct fixture f;

	start(&f, steps, nr);
	assert_int_equal(aws_perform(f.aws, &f.call, &err), -1);
	if (!strstr(err.text, text))
		fail_msg("'%s' lacks '%s'", err.text, text);
	assert_int_equal(err.kind, kind);
	assert_int_equal(f.call.attempts, attempts);
	stop(&f);
}

static const struct step fine = {"201 Created", "", "{}"};
static const struct step throttled = {"400 Bad Request", ERROR_HEADERS("RequestThrottledException"),
	"{\"Message\":\"slow down\",\"Reason\":null}"};
static const struct step broken = {"500 Internal Server Error", "", "<html>"};
static const struct step denied = {"403 Forbidden", ERROR_HEADERS("AccessDeniedException"),
	"{\"message\":\"not yours\",\"Reason\":\"UNAUTHORIZED_ACCOUNT\"}"};
static const struct step lost = {NULL, NULL, NULL};

static void test_retries(void **state)
{
	/* Lost on a new connection: on a kept one libcurl itself sends again. */
	const struct step steps[] = {lost, throttled, broken, fine};

	(void)state;
	expect_ok(&fine, 1, 1);
	expect_ok(steps, 4, 4);
}

static void test_fatal(void **state)
{
	(void)state;
	expect_failure(&denied, 1, 1, ERROR_SERVICE,
		"DoThing thing 7 failed: AccessDeniedException (UNAUTHORIZED_ACCOUNT): not yours "
		"(request id r-1, HTTP 403)");
}

static void test_gives_up(void **state)
{
	(void)state;
	expect_failure(&throttled, 1, 8, ERROR_SERVICE,
		"DoThing thing 7 failed after 8 attempts: RequestThrottledException: slow down "
		"(request id r-1, HTTP 400)");
	expect_failure(&broken, 1, 8, ERROR_SERVICE,
		"failed after 8 attempts: an answer without error code (HTTP 500)");
	expect_failure(&lost, 1, 8, ERROR_NETWORK,
		"DoThing thing 7 failed after 8 attempts: no whole answer from 'http://127.0.0.1:");
}

static void test_once(void **state)
{
	const struct step steps[] = {throttled, broken, fine};
	struct fixture f;

	(void)state;
	start(&f, steps, 3);
	f.call.once = true;
	assert_int_equal(aws_perform(f.aws, &f.call, NULL), -1);
	assert_int_equal(f.script.seen, 2);
	assert_int_equal(f.call.error.http_status, 500);
	stop(&f);
}

static void date_header(char *out, size_t size, const char *code)
{
	time_t now = time(NULL);
	struct tm tm;
	char date[64];

	gmtime_r(&now, &tm);
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	snprintf(out, size, "x-amzn-ErrorType: %s\r\nDate: %s\r\n", code, date);
}

static void with_skew(int64_t skew, bool corrected)
{
	char headers[200];
	struct step steps[] = {{"403 Forbidden", headers, "{\"message\":\"Signature expired\"}"}, fine};
	struct error err = ERROR_INIT;
	struct fixture f;
	int ret;

	date_header(headers, sizeof(headers), "InvalidSignatureException");
	start(&f, steps, 2);
	f.clock.wall_offset_s = skew;
	ret = aws_perform(f.aws, &f.call, &err);
	assert_int_equal(ret, corrected ? 0 : -1);
	assert_int_equal(f.call.attempts, corrected ? 2 : 1);
	if (corrected) {
		assert_string_not_equal(f.script.dates[0], f.script.dates[1]);
		/* The next call is right at once. */
		assert_int_equal(aws_perform(f.aws, &f.call, &err), 0);
		assert_int_equal(f.call.attempts, 1);
	}
	stop(&f);
}

static void test_skew(void **state)
{
	(void)state;
	with_skew(3600, true);
	with_skew(-86400, true);
	with_skew(100, false);
	with_skew(0, false);
}

/* A server whose own clock jumps does not keep us in a loop. */
static void test_skew_once(void **state)
{
	const struct step jumps[] = {
		{"403 Forbidden",
			"x-amzn-ErrorType: InvalidSignatureException\r\n"
			"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
			"{}"},
		{"403 Forbidden",
			"x-amzn-ErrorType: InvalidSignatureException\r\n"
			"Date: Mon, 07 Nov 2011 08:49:37 GMT\r\n",
			"{}"},
		fine};

	(void)state;
	expect_failure(jumps, 3, 2, ERROR_SERVICE, "InvalidSignatureException");
}

static void test_fresh(void **state)
{
	const struct step unknown = {"404 Not Found", ERROR_HEADERS("ResourceNotFoundException"),
		"{\"Message\":\"does not exist\",\"Reason\":\"SNAPSHOT_NOT_FOUND\"}"};
	struct step steps[12];
	struct fixture f;

	(void)state;
	for (unsigned i = 0; i < 11; i++)
		steps[i] = unknown;
	steps[11] = fine;
	start(&f, steps, 12);
	f.clock.random = 0.001;
	f.call.fresh_snapshot = true;
	assert_int_equal(aws_perform(f.aws, &f.call, NULL), 0);
	assert_int_equal(f.call.attempts, 12);
	stop(&f);
	expect_failure(&unknown, 1, 1, ERROR_SERVICE, "ResourceNotFoundException");
}

static void test_ec2_error(void **state)
{
	const struct step refused = {"400 Bad Request", "",
		"<?xml version=\"1.0\"?>\n<Response><Errors><Error><Code>InvalidAMIName.Duplicate</Code>"
		"<Message>AMI name x is &lt;used&gt;</Message></Error></Errors>"
		"<RequestID>r-2</RequestID></Response>"};
	const struct step entity = {"400 Bad Request", "",
		"<!DOCTYPE r [<!ENTITY a \"boom\">]><Response><Errors><Error><Code>&a;</Code></Error>"
		"</Errors></Response>"};
	struct fixture f;

	(void)state;
	start(&f, &refused, 1);
	f.call.service = AWS_EC2;
	assert_int_equal(aws_perform(f.aws, &f.call, NULL), -1);
	assert_string_equal(f.call.error.code, "InvalidAMIName.Duplicate");
	assert_non_null(strstr(f.call.error.text, "AMI name x is <used> (request id r-2, HTTP 400)"));
	stop(&f);
	start(&f, &entity, 1);
	f.call.service = AWS_EC2;
	assert_int_equal(aws_perform(f.aws, &f.call, NULL), -1);
	assert_string_equal(f.call.error.code, "");
	stop(&f);
}

static void test_cancel_waiting(void **state)
{
	struct fixture f;

	(void)state;
	start(&f, &broken, 1);
	f.clock.random = 0.9;
	assert_int_equal(aws_start(f.aws, &f.call, NULL), 0);
	while (f.call.attempts < 2)
		assert_int_equal(aws_run(f.aws, 100, -1, NULL), 0);
	assert_int_equal(aws_running(f.aws), 1);
	aws_cancel(f.aws, &f.call);
	assert_int_equal(aws_running(f.aws), 0);
	aws_cancel(f.aws, &f.call);
	stop(&f);
}

static void expect_bad(const char *region, const char *endpoint, const char *text)
{
	char key[] = "A", secret[] = "B";
	struct aws_clock clock = {NULL, NULL, NULL, NULL};
	struct aws_opts opts = {.region = region, .endpoint = {endpoint, NULL},
		.creds = {.access_key = key, .secret_key = secret}, .clock = &clock};
	struct error err = ERROR_INIT;

	assert_null(aws_new(&opts, &err));
	assert_int_equal(err.kind, ERROR_USAGE);
	if (!strstr(err.text, text))
		fail_msg("'%s' lacks '%s'", err.text, text);
	if (strstr(err.text, "hush"))
		fail_msg("'%s' tells a secret", err.text);
}

static void test_bad_options(void **state)
{
	(void)state;
	expect_bad(NULL, NULL, "no region");
	expect_bad("US East", NULL, "'US East' is not a region name");
	expect_bad("evil.example.com/", NULL, "is not a region name");
	expect_bad("us-east-1", "ftp://x", "is not an http or https address");
	expect_bad("us-east-1", "https://", "has no host");
	expect_bad("us-east-1", "https://u:p@h", "contains a user name");
	expect_bad("us-east-1", "https://h/?q", "contains a query");
	expect_bad("us-east-1", "http://127.0.0.1:99999", "'http://127.0.0.1:99999' has a port that is not a number");
	expect_bad("us-east-1", "http://127.0.0.1:0", "from 1 to 65535");
	expect_bad("us-east-1", "http://127.0.0.1:80x/p", "from 1 to 65535");
	expect_bad("us-east-1", "http://127.0.0.1:", "from 1 to 65535");
	expect_bad("us-east-1", "http://127.0.0.1:+1", "from 1 to 65535");
	expect_bad("us-east-1", "http://[::1]:65536", "from 1 to 65535");
	expect_bad("us-east-1", "http://[::1", "has no ']'");
}

/* Whatever else is wrong with them. */
static void test_secrets_in_endpoints(void **state)
{
	(void)state;
	expect_bad("us-east-1", "https://user:hush@h", "endpoint 'https://***@h' contains a user name");
	expect_bad("us-east-1", "https://user:hu/hush@h", "'https://***@h'");
	expect_bad("us-east-1", "https://user:hush?hush@h/p?X-Secret=hush", "'https://***@h/p?***'");
	expect_bad("us-east-1", "user:hush@h", "'***@h' is not an http or https address");
	expect_bad("us-east-1", "user:hush://hush@h", "'***@h' is not an http or https address");
	expect_bad("us-east-1", "https:/user:hush@h", "is not an http or https address");
	expect_bad("us-east-1", "https://h?X-Amz-Signature=hush", "'https://h?***' contains a query");
	expect_bad("us-east-1", "https://h#hush", "'https://h#***' contains a query");
}

static void check_url(const char *region, const char *endpoint, const char *want)
{
	char key[] = "A", secret[] = "B";
	struct aws_clock clock = {NULL, NULL, NULL, NULL};
	struct aws_opts opts = {.region = region, .endpoint = {endpoint, NULL},
		.creds = {.access_key = key, .secret_key = secret}, .clock = &clock};
	struct aws *a = aws_new(&opts, NULL);
	struct aws_call call;

	assert_non_null(a);
	assert_int_equal(aws_call_init(a, &call, AWS_EBS, "GET", "/s", "X", NULL), 0);
	assert_string_equal(call.http.url, want);
	aws_call_release(&call);
	aws_free(a);
}

static void test_endpoints(void **state)
{
	(void)state;
	check_url("us-east-1", NULL, "https://ebs.us-east-1.amazonaws.com/s");
	check_url("us-gov-west-1", NULL, "https://ebs.us-gov-west-1.amazonaws.com/s");
	check_url("cn-north-1", NULL, "https://ebs.cn-north-1.amazonaws.com.cn/s");
	check_url("us-iso-east-1", NULL, "https://ebs.us-iso-east-1.c2s.ic.gov/s");
	check_url("us-isob-east-1", NULL, "https://ebs.us-isob-east-1.sc2s.sgov.gov/s");
	check_url("eusc-de-east-1", NULL, "https://ebs.eusc-de-east-1.amazonaws.eu/s");
	check_url("us-east-1", "http://localhost:4566/aws/", "http://localhost:4566/aws/s");
	check_url("us-east-1", "https://[2001:db8::1]:65535", "https://[2001:db8::1]:65535/s");
	check_url("us-east-1", "http://[::1]", "http://[::1]/s");
	check_url("us-east-1", "http://h:1/a:b", "http://h:1/a:b/s");
}

#define IDENTITY(account)                                                                          \
	"<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">"          \
	"<GetCallerIdentityResult><Arn>arn:aws:sts::1:x</Arn><UserId>U</UserId>"                   \
	"<Account>" account "</Account></GetCallerIdentityResult>"                                 \
	"<ResponseMetadata><RequestId>r-7</RequestId></ResponseMetadata></GetCallerIdentityResponse>"

static void test_account(void **state)
{
	const struct step right[] = {{"503 X", "", ""}, {"200 OK", "", IDENTITY("111122223333")},
		{"500 X", "", ""}};
	const struct step wrong[] = {{"200 OK", "", IDENTITY("1111222233334")}};
	const struct step refused[] = {{"403 Forbidden", "",
		"<ErrorResponse><Error><Type>Sender</Type><Code>InvalidClientTokenId</Code>"
		"<Message>no such key</Message></Error><RequestId>r-8</RequestId></ErrorResponse>"}};
	char account[AWS_ACCOUNT_SIZE];
	struct error err = ERROR_INIT;
	struct fixture f;

	(void)state;
	start(&f, right, ARRAY_SIZE(right));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(aws_account(f.aws, account, &err), 0);
		assert_string_equal(account, "111122223333");
	}
	assert_int_equal(f.script.seen, 2);
	stop(&f);
	start(&f, wrong, 1);
	assert_int_equal(aws_account(f.aws, account, &err), -1);
	assert_non_null(strstr(err.text, "no account number"));
	stop(&f);
	start(&f, refused, 1);
	assert_int_equal(aws_account(f.aws, account, &err), -1);
	assert_string_equal(err.code, "InvalidClientTokenId");
	assert_non_null(strstr(err.text, "no such key (request id r-8"));
	stop(&f);
}

/* A careless service repeats a secret where its message is cut: no half of it stays. */
static void test_secret_at_the_cut(void **state)
{
	char json[1024], xml[1200], padding[481];
	struct step steps[] = {{"403 Forbidden", ERROR_HEADERS("AccessDeniedException"), json},
		{"403 Forbidden", "", xml}};
	struct error err = ERROR_INIT;
	struct fixture f;

	(void)state;
	memset(padding, 'x', 480);
	padding[480] = '\0';
	snprintf(json, sizeof(json), "{\"message\":\"%s hush-hush-hush-hush-hush-hush-hush\"}", padding);
	snprintf(xml, sizeof(xml), "<Response><Errors><Error><Code>No</Code><Message>%s "
		"hush-hush-hush-hush-hush-hush-hush</Message></Error></Errors></Response>", padding);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		start(&f, &steps[i], 1);
		f.call.service = i ? AWS_EC2 : AWS_EBS;
		assert_int_equal(log_redact("hush-hush-hush-hush-hush-hush-hush", NULL), 0);
		assert_int_equal(aws_perform(f.aws, &f.call, &err), -1);
		assert_non_null(strstr(err.text, "xxx ***"));
		assert_null(strstr(err.text, "hush"));
		stop(&f);
	}
	log_release();
}

/* What is in a presigned URL lets others in: it is redacted as it stands there. */
static void test_presigned_is_secret(void **state)
{
	CLEANUP_BUF struct buf url = BUF_INIT(0);
	struct fixture f;

	(void)state;
	start(&f, &fine, 1);
	assert_int_equal(aws_presign(f.aws, AWS_EC2, "Action=CopySnapshot", 60, &url, NULL), 0);
	assert_non_null(strstr(buf_str(&url), "X-Amz-Signature="));
	log_redact_text(url.data);
	assert_non_null(strstr(buf_str(&url), "X-Amz-Signature=***"));
	log_release();
	stop(&f);
}

/* Endpoints as the rules of the SDKs give them, in all partitions. */
static void test_own_endpoints(void **state)
{
	static const struct {
		enum aws_service service;
		const char *region;
		unsigned kind;
		const char *url; /* NULL: there is none */
	} rows[] = {
		{AWS_EBS, "us-east-1", 0, "https://ebs.us-east-1.amazonaws.com"},
		{AWS_EBS, "us-gov-west-1", AWS_ENDPOINT_FIPS, "https://ebs-fips.us-gov-west-1.amazonaws.com"},
		{AWS_EC2, "us-gov-west-1", AWS_ENDPOINT_FIPS, "https://ec2.us-gov-west-1.amazonaws.com"},
		{AWS_EC2, "us-gov-west-1", AWS_ENDPOINT_FIPS | AWS_ENDPOINT_DUALSTACK,
			"https://ec2-fips.us-gov-west-1.api.aws"},
		{AWS_STS, "us-gov-east-1", AWS_ENDPOINT_FIPS, "https://sts.us-gov-east-1.amazonaws.com"},
		{AWS_STS, "eu-west-1", AWS_ENDPOINT_FIPS, "https://sts-fips.eu-west-1.amazonaws.com"},
		{AWS_KMS, "us-gov-east-1", AWS_ENDPOINT_FIPS, "https://kms-fips.us-gov-east-1.amazonaws.com"},
		{AWS_EC2, "cn-north-1", 0, "https://ec2.cn-north-1.amazonaws.com.cn"},
		{AWS_EC2, "cn-north-1", AWS_ENDPOINT_DUALSTACK, "https://ec2.cn-north-1.api.amazonwebservices.com.cn"},
		{AWS_EBS, "us-iso-east-1", 0, "https://ebs.us-iso-east-1.c2s.ic.gov"},
		{AWS_EBS, "us-iso-east-1", AWS_ENDPOINT_DUALSTACK, "https://ebs.us-iso-east-1.api.aws.ic.gov"},
		{AWS_EBS, "us-isob-east-1", AWS_ENDPOINT_DUALSTACK, "https://ebs.us-isob-east-1.api.aws.scloud"},
		{AWS_EBS, "eu-isoe-west-1", 0, "https://ebs.eu-isoe-west-1.cloud.adc-e.uk"},
		{AWS_EBS, "eu-isoe-west-1", AWS_ENDPOINT_DUALSTACK, NULL},
		{AWS_EBS, "us-isof-south-1", 0, "https://ebs.us-isof-south-1.csp.hci.ic.gov"},
		{AWS_EC2, "eusc-de-east-1", 0, "https://ec2.eusc-de-east-1.amazonaws.eu"},
		{AWS_EC2, "eusc-de-east-1", AWS_ENDPOINT_DUALSTACK,
			"https://ec2.eusc-de-east-1.api.amazonwebservices.eu"},
		{AWS_S3, "eu-west-1", 0, "https://s3.eu-west-1.amazonaws.com"},
		{AWS_S3, "eu-west-1", AWS_ENDPOINT_FIPS | AWS_ENDPOINT_DUALSTACK,
			"https://s3-fips.dualstack.eu-west-1.amazonaws.com"},
		{AWS_S3, "cn-north-1", AWS_ENDPOINT_DUALSTACK, "https://s3.dualstack.cn-north-1.amazonaws.com.cn"},
		{AWS_SSO, "eu-west-1", 0, "https://portal.sso.eu-west-1.amazonaws.com"},
		{AWS_SSO, "eu-west-1", AWS_ENDPOINT_FIPS, "https://portal.sso-fips.eu-west-1.amazonaws.com"},
		{AWS_SSO_OIDC, "us-gov-west-1", AWS_ENDPOINT_FIPS, "https://oidc.us-gov-west-1.amazonaws.com"},
		{AWS_SSO_OIDC, "eu-west-1", AWS_ENDPOINT_DUALSTACK, "https://oidc.eu-west-1.api.aws"},
	};
	struct aws_endpoint e;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int ret = aws_endpoint_init(&e, rows[i].service, rows[i].region, NULL, rows[i].kind, NULL);

		assert_int_equal(ret, rows[i].url ? 0 : -1);
		if (rows[i].url)
			assert_string_equal(e.base, rows[i].url);
		aws_endpoint_release(&e);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_secret_at_the_cut),
		cmocka_unit_test(test_presigned_is_secret),
		cmocka_unit_test(test_own_endpoints),
		cmocka_unit_test(test_account),
		cmocka_unit_test(test_retries),
		cmocka_unit_test(test_fatal),
		cmocka_unit_test(test_gives_up),
		cmocka_unit_test(test_once),
		cmocka_unit_test(test_skew),
		cmocka_unit_test(test_skew_once),
		cmocka_unit_test(test_fresh),
		cmocka_unit_test(test_ec2_error),
		cmocka_unit_test(test_cancel_waiting),
		cmocka_unit_test(test_bad_options),
		cmocka_unit_test(test_endpoints),
		cmocka_unit_test(test_secrets_in_endpoints),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
