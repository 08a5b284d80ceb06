/* SPDX-License-Identifier: Apache-2.0 */
/*
 * S3 on the wire: names, addresses and signatures, the way to a bucket's Region, and answers that lie.
 */
#include "uploader/s3_stream.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/num.h"
#include "tests/lib/awsclient.h"
#include "tests/lib/httpd.h"
#include "uploader/aws_internal.h"

enum { LOG_MAX = 64 };

/* One kind of trouble a test. */
struct fixture {
	struct httpd *server;
	struct test_clock clock;
	struct aws *first, *second; /* us-east-1, eu-west-1 */
	enum httpd_act (*answer)(struct fixture *f, const struct httpd_request *req, char *reply, size_t size,
		size_t *len);
	char lines[LOG_MAX][200];   /* request lines, in order of their number */
	unsigned nr;
	const char *extra, *body;
};

static enum httpd_act on_request(void *arg, const struct httpd_request *req, char *reply, size_t size,
	size_t *len)
{
	struct fixture *f = arg;
	unsigned n = __atomic_fetch_add(&f->nr, 1, __ATOMIC_SEQ_CST);

	if (n < LOG_MAX)
		snprintf(f->lines[n], sizeof(f->lines[n]), "%.*s", (int)(strlen(req->line) - strlen(" HTTP/1.1")),
			req->line);
	return f->answer(f, req, reply, size, len);
}

static struct aws *client(void *arg, const char *region, struct error *err)
{
	struct fixture *f = arg;

	(void)err;
	return region && strcmp(region, "eu-west-1") == 0 ? f->second : f->first;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	log_set_fd(-1);
	f->server = httpd_start(on_request, f);
	f->first = test_client(httpd_url(f->server), &f->clock);
	f->second = test_client_in(httpd_url(f->server), "eu-west-1", &f->clock);
	f->extra = f->body = "";
	*state = f;
	return f->first && f->second ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	aws_free(f->first);
	aws_free(f->second);
	httpd_stop(f->server);
	free(f);
	return 0;
}

static void test_names(void **state)
{
	static const char *const good[] = {"abc", "a.b.c", "1.2.3", "my-bucket-1",
		"amis-for-111122223333-in-eu-west-1-a"};
	static const char *const bad[] = {"", "ab", "Abc", "a_b", "a..b", ".abc", "abc.", "-abc", "abc-", "1.2.3.4",
		"xn--abc", "abc-s3alias", "a b", "a/b",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
	struct s3_url url;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_int_equal(s3_check_name(good[i], NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(s3_check_name(bad[i], NULL), -1);
	assert_int_equal(s3_check_key("a/../b \xc3\xa9", NULL), 0);
	assert_int_equal(s3_check_key("", NULL), -1);
	assert_int_equal(s3_check_key("/a", NULL), -1);
	assert_int_equal(s3_check_key("a\n", NULL), -1);
	assert_int_equal(s3_check_key("a\xc3", NULL), -1);
	assert_int_equal(s3_url_parse("s3://buck/a/b/", &url, NULL), 0);
	assert_string_equal(url.bucket, "buck");
	assert_string_equal(url.key, "a/b/");
	s3_url_release(&url);
	assert_int_equal(s3_url_parse("buck", &url, NULL), 0);
	assert_string_equal(url.key, "");
	s3_url_release(&url);
	assert_int_equal(s3_url_parse("https://buck/a", &url, NULL), -1);
	assert_int_equal(s3_url_parse("s3:///a", &url, NULL), -1);
}

/* The signature is one that botocore made. */
static void test_host_and_signature(void **state)
{
	char key_id[] = "AKIDEXAMPLE", secret[] = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
	struct fixture *f = *state;
	struct aws *aws = test_client_in(NULL, "eu-west-1", &f->clock);
	struct aws_creds creds = {.access_key = key_id, .secret_key = secret};
	struct aws_keys keys = {.generation = 0};
	struct aws_endpoint endpoint;
	struct aws_signer signer = {.region = "eu-west-1", .creds = &creds, .keys = &keys, .endpoint = &endpoint};
	struct s3_place place = {.aws = aws, .name = "examplebucket"};
	struct s3_put put = {.key = "img/a b+c~\xc3\xa9.part.00", .acl = "aws-exec-read", .body = "hello", .len = 5};
	struct aws_call call;

	assert_int_equal(sha256("hello", 5, put.sha256, NULL), 0);
	assert_int_equal(num_parse_time("2027-01-02T03:04:05Z", &signer.now, NULL), 0);
	assert_int_equal(aws_endpoint_init(&endpoint, AWS_S3, "eu-west-1", NULL, 0, NULL), 0);
	assert_int_equal(s3_put_init(&place, &call, &put, NULL), 0);
	assert_string_equal(call.http.url,
		"https://examplebucket.s3.eu-west-1.amazonaws.com/img/a%20b%2Bc~%C3%A9.part.00");
	/* 10 MiB may take six minutes, so that a slow line gets there. */
	assert_in_range(s3_attempt_ms(10 << 20), 360000, 600000);
	assert_int_equal(call.http.attempt_ms, s3_attempt_ms(5));
	http_drop_header(&call.http, "x-amz-checksum-sha256");
	assert_int_equal(aws_sign(&signer, &call, NULL), 0);
	assert_string_equal(call.http.headers[call.http.nr_headers - 1].value,
		"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20270102/eu-west-1/s3/aws4_request, "
		"SignedHeaders=host;x-amz-acl;x-amz-content-sha256;x-amz-date, "
		"Signature=cf03f6d700c91a635a210cd058135fb0cf3b7b82bffbf867032984922ce46f02");
	aws_call_release(&call);
	/* A name with dots has no certificate; GetBucketLocation is asked by path. */
	snprintf(place.name, sizeof(place.name), "a.bucket");
	assert_int_equal(s3_put_init(&place, &call, &put, NULL), 0);
	assert_non_null(strstr(call.http.url, "https://s3.eu-west-1.amazonaws.com/a.bucket/img/"));
	aws_call_release(&call);
	aws_endpoint_release(&endpoint);
	aws_free(aws);
}

/* "Region of the signature" of a request. */
static bool signed_for(const struct httpd_request *req, const char *region)
{
	char scope[64];

	snprintf(scope, sizeof(scope), "/%s/s3/aws4_request", region);
	return strstr(req->headers, scope) != NULL;
}

/* extra is what the wrong Region says; "" as status of HEAD 400, then the location is asked for. */
static enum httpd_act moved(struct fixture *f, const struct httpd_request *req, char *reply, size_t size,
	size_t *len)
{
	if (strstr(req->line, "?location"))
		*len = httpd_answer(reply, size, "200 OK", "",
			"<LocationConstraint xmlns=\"x\">EU</LocationConstraint>");
	else if (signed_for(req, "eu-west-1"))
		*len = httpd_answer(reply, size, "200 OK", "", "");
	else
		*len = httpd_answer(reply, size, f->body, f->extra, "");
	return HTTPD_SEND;
}

static void test_moves(void **state)
{
	static const struct {
		const char *status, *extra;
		unsigned calls;
	} cases[] = {
		{"301 Moved Permanently", "x-amz-bucket-region: eu-west-1\r\n", 2},
		{"307 Temporary Redirect", "x-amz-bucket-region: eu-west-1\r\nLocation: http://127.0.0.1:1/\r\n", 2},
		{"400 Bad Request", "x-amz-bucket-region: eu-west-1\r\n", 2},
		{"301 Moved Permanently", "x-amz-bucket-region: ../../etc\r\n", 3},
		{"400 Bad Request", "", 3},
		{"200 OK", "x-amz-bucket-region: eu-west-1\r\n", 2},
	};
	struct fixture *f = *state;
	struct s3_regions regions = {client, f};

	f->answer = moved;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct s3_place place;

		f->body = cases[i].status;
		f->extra = cases[i].extra;
		f->nr = 0;
		assert_int_equal(s3_open(&place, &regions, "buck", NULL), 0);
		assert_string_equal(aws_region(place.aws), "eu-west-1");
		assert_int_equal(f->nr, cases[i].calls);
		assert_string_equal(f->lines[0], "HEAD /buck/");
	}
}

/* Whom a redirect names gets nothing, least of all a signature: only a Region is believed. */
static void test_location_is_not_followed(void **state)
{
	struct fixture *f = *state, elsewhere = {.answer = moved, .body = "200 OK", .extra = ""};
	struct s3_regions regions = {client, f};
	struct s3_put put = {.key = "k", .body = "hello", .len = 5};
	struct error err = ERROR_INIT;
	struct s3_place place;
	char extra[200];

	elsewhere.server = httpd_start(on_request, &elsewhere);
	snprintf(extra, sizeof(extra), "x-amz-bucket-region: eu-west-1\r\nLocation: %s/buck/\r\n",
		httpd_url(elsewhere.server));
	f->answer = moved;
	f->body = "307 Temporary Redirect";
	f->extra = extra;
	assert_int_equal(s3_open(&place, &regions, "buck", NULL), 0);
	assert_string_equal(aws_region(place.aws), "eu-west-1");
	place.aws = f->first;
	assert_int_equal(s3_put_now(&place, &put, &err), -1);
	assert_int_equal(err.http_status, 307);
	httpd_stop(elsewhere.server);
	assert_int_equal(elsewhere.nr, 0);
}

static void test_without_credentials(void **state)
{
	struct fixture *f = *state;
	struct aws_opts opts = {.region = "us-east-1", .clock = aws_clock(f->first)};
	CLEANUP(aws_cleanup) struct aws *aws = aws_new(&opts, NULL);
	struct s3_place place = {.aws = aws, .name = "buck"};
	CLEANUP_BUF struct buf out = BUF_INIT(100);
	struct s3_object object;
	struct error err = ERROR_INIT;

	assert_int_equal(s3_get_now(&place, "k", &out, &err), -1);
	assert_non_null(strstr(err.text, "no AWS credentials for GetObject"));
	error_clear(&err);
	assert_int_equal(s3_head(&place, "k", &object, &err), -1);
	assert_non_null(strstr(err.text, "no AWS credentials for HeadObject"));
}

/* Each Region says that it is in the other. */
static enum httpd_act ping_pong(struct fixture *f, const struct httpd_request *req, char *reply, size_t size,
	size_t *len)
{
	(void)f;
	*len = httpd_answer(reply, size, "301 Moved Permanently",
		signed_for(req, "eu-west-1") ? "x-amz-bucket-region: us-east-1\r\n" :
					       "x-amz-bucket-region: eu-west-1\r\n",
		"");
	return HTTPD_SEND;
}

static enum httpd_act refuse(struct fixture *f, const struct httpd_request *req, char *reply, size_t size,
	size_t *len)
{
	(void)req;
	*len = httpd_answer(reply, size, f->extra, "", f->body);
	return HTTPD_SEND;
}

static void test_no_bucket(void **state)
{
	struct fixture *f = *state;
	struct s3_regions regions = {client, f};
	struct error err = ERROR_INIT;
	struct s3_place place;

	f->answer = ping_pong;
	assert_int_equal(s3_open(&place, &regions, "buck", &err), -1);
	assert_non_null(strstr(err.text, "from one Region to another"));
	f->answer = refuse;
	f->extra = "404 Not Found";
	assert_int_equal(s3_open(&place, &regions, "buck", &err), -1);
	assert_string_equal(err.code, "NoSuchBucket");
	f->extra = "403 Forbidden";
	assert_int_equal(s3_open(&place, &regions, "buck", &err), -1);
	assert_non_null(strstr(err.text, "another account's"));
	f->nr = 0;
	assert_int_equal(s3_open(&place, &regions, "Not-A-Bucket", &err), -1);
	assert_int_equal(f->nr, 0);
}

/* The first `f->body[0] - '0'` answers carry extra; then a right one. */
static enum httpd_act lie(struct fixture *f, const struct httpd_request *req, char *reply, size_t size,
	size_t *len)
{
	const char *right = "ETag: \"5d41402abc4b2a76b9719d911017c592\"\r\n";

	assert_true(httpd_has(req, "x-amz-checksum-sha256", "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="));
	*len = httpd_answer(reply, size, "200 OK", f->nr <= (unsigned)(f->body[0] - '0') ? f->extra : right, "");
	return HTTPD_SEND;
}

static void test_put_is_checked(void **state)
{
	static const char *const lies[] = {
		"ETag: \"00000000000000000000000000000000\"\r\n",
		"ETag: \"5d41402abc4b2a76b9719d911017c592\"\r\nx-amz-checksum-sha256: "
		"AAAAul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=\r\n",
		"X: no etag\r\n",
	};
	struct fixture *f = *state;
	struct s3_place place = {.aws = f->first, .name = "buck"};
	struct s3_put put = {.key = "k", .body = "hello", .len = 5};
	struct error err = ERROR_INIT;

	f->answer = lie;
	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		f->extra = lies[i];
		f->body = "1";
		f->nr = 0;
		assert_int_equal(s3_put_now(&place, &put, NULL), 0);
		assert_int_equal(f->nr, 2);
		f->body = "9";
		f->nr = 0;
		assert_int_equal(s3_put_now(&place, &put, &err), -1);
		assert_int_equal(err.kind, ERROR_SERVICE);
	}
	/* Under a key of KMS an ETag is no MD5. */
	f->extra = "ETag: \"00000000000000000000000000000000\"\r\nx-amz-server-side-encryption: aws:kms\r\n";
	assert_int_equal(s3_put_now(&place, &put, NULL), 0);
}

/* The first answer comes after 400 s, and is a failure. */
static enum httpd_act late(struct fixture *f, const struct httpd_request *req, char *reply, size_t size, size_t *len)
{
	(void)req;
	if (f->nr == 1)
		__atomic_add_fetch(&f->clock.passed_ms, 400000, __ATOMIC_SEQ_CST);
	*len = httpd_answer(reply, size, f->nr == 1 ? "500 Oops" : "200 OK",
		"ETag: \"0\"\r\nx-amz-server-side-encryption: aws:kms\r\n", "");
	return HTTPD_SEND;
}

/* Who has time for many bytes has it for a second attempt, too; others are given up after five minutes. */
static void test_late_failure(void **state)
{
	static const char body[16 * MIB];
	struct fixture *f = *state;
	struct s3_place place = {.aws = f->first, .name = "buck"};
	struct s3_put put = {.key = "k", .body = body, .len = sizeof(body)};

	f->answer = late;
	assert_int_equal(s3_put_now(&place, &put, NULL), 0);
	assert_int_equal(f->nr, 2);
	f->nr = 0;
	put.len = 5;
	assert_int_equal(s3_put_now(&place, &put, NULL), -1);
	assert_int_equal(f->nr, 1);
}

static enum httpd_act ranges(struct fixture *f, const struct httpd_request *req, char *reply, size_t size,
	size_t *len)
{
	assert_true(httpd_has(req, "Range", "bytes=0-9"));
	*len = httpd_answer(reply, size, f->body[0] ? "206 Partial Content" : "200 OK", f->extra, "0123456789");
	return HTTPD_SEND;
}

static void test_get_is_checked(void **state)
{
	static const struct {
		const char *extra, *partial;
		bool good;
	} cases[] = {
		{"ETag: \"e\"\r\nContent-Range: bytes 0-9/10\r\n", "p", true},
		{"ETag: \"e\"\r\nContent-Range: bytes 0-9/100\r\n", "p", true}, /* more than may be */
		{"ETag: \"e\"\r\nContent-Range: bytes 0-8/100\r\n", "p", false},
		{"ETag: \"e\"\r\nContent-Range: bytes 1-10/100\r\n", "p", false},
		{"ETag: \"e\"\r\nContent-Range: bytes 0-9/9\r\n", "p", false},
		{"ETag: \"e\"\r\n", "p", false},
		{"Content-Range: bytes 0-9/10\r\n", "p", false},
		{"ETag: \"e\"\r\nContent-Range: bytes 0-9/10\r\n", "", false},
	};
	struct fixture *f = *state;
	struct s3_place place = {.aws = f->first, .name = "buck"};

	f->answer = ranges;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = ERROR_INIT;
		char etag[S3_ETAG_SIZE];
		struct aws_call call;
		uint64_t size;

		f->extra = cases[i].extra;
		f->body = cases[i].partial;
		assert_int_equal(s3_get_init(&place, &call, "k", 0, 10, NULL, NULL), 0);
		assert_int_equal(aws_perform(f->first, &call, &err), cases[i].good ? 0 : -1);
		if (cases[i].good)
			assert_int_equal(s3_got(&call, &size, etag, NULL), 0);
		aws_call_release(&call);
	}
}

static unsigned count(const struct fixture *f, const char *start)
{
	unsigned n = 0;

	for (unsigned i = 0; i < f->nr && i < LOG_MAX; i++)
		n += strncmp(f->lines[i], start, strlen(start)) == 0;
	return n;
}

/* A list's page, with an object when f->body says one; the tokens go round after as many as f->extra says. */
static enum httpd_act pages(struct fixture *f, const struct httpd_request *req, char *reply, size_t size,
	size_t *len)
{
	char body[300];

	snprintf(body, sizeof(body), "<ListBucketResult><IsTruncated>true</IsTruncated>%s<NextContinuationToken>t%lu"
		"</NextContinuationToken></ListBucketResult>", f->body, req->number % strtoul(f->extra, NULL, 10));
	*len = httpd_answer(reply, size, "200 OK", "", body);
	return HTTPD_SEND;
}

static int count_key(void *arg, const char *key, uint64_t size, struct error *err)
{
	unsigned *nr = arg;

	(void)key;
	(void)size;
	(void)err;
	++*nr;
	return 0;
}

/* Lists that lead round in a circle, or on and on through nothing, would be followed for ever. */
static void test_lists_without_end(void **state)
{
	static const struct {
		const char *tokens, *object;
		unsigned pages;
		const char *expected;
	} cases[] = {
		{"1", "<Contents><Key>a</Key></Contents>", 2,
			"ListObjectsV2: the pages go round in a circle: the token 't0'"},
		{"2", "<Contents><Key>a</Key></Contents>", 4, "in a circle"},
		{"3", "", 8, "in a circle"},
		{"100000", "", 1000, "1000 pages in a row have nothing in them"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture *f;
		struct s3_place place;
		struct error err = ERROR_INIT;
		unsigned nr = 0;

		assert_int_equal(setup(state), 0);
		f = *state;
		f->answer = pages;
		f->extra = cases[i].tokens;
		f->body = cases[i].object;
		place = (struct s3_place){.aws = f->first, .name = "buck"};
		assert_int_equal(s3_list(&place, "a", count_key, &nr, &err), -1);
		assert_int_equal(err.kind, ERROR_SERVICE);
		assert_non_null(strstr(err.text, cases[i].expected));
		assert_in_range(f->nr, 2, cases[i].pages);
		assert_int_equal(nr, cases[i].object[0] ? f->nr : 0);
		teardown(state);
	}
}

/* A multipart upload that goes well but for what f->extra names, once when f->body is "once". */
static enum httpd_act parts(struct fixture *f, const struct httpd_request *req, char *reply, size_t size,
	size_t *len)
{
	static const char done[] = "\n<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>";
	static const char other[] = "<Done><ETag>x</ETag><ChecksumSHA256>A-3</ChecksumSHA256></Done>";
	const char *status = "200 OK", *extra = "", *body = "", *wrong = f->body[0] == '.' ? "" : f->extra;

	if (strstr(req->line, "?uploads")) {
		body = "<InitiateMultipartUploadResult><UploadId>a/b+c</UploadId></InitiateMultipartUploadResult>";
	} else if (strncmp(req->line, "HEAD", 4) == 0) {
		status = f->body[0] == '.' ? "200 OK" : "404 Not Found";
		extra = f->extra[0] == 'l' ? f->extra + 1 : "ETag: \"x\"\r\nContent-Length: 7\r\n";
	} else if (strncmp(req->line, "DELETE", 6) == 0) {
		status = count(f, "DELETE") > 1 ? "404 Not Found" : "204 No Content";
		body = count(f, "DELETE") > 1 ? "<Error><Code>NoSuchUpload</Code></Error>" : "";
	} else if (strstr(req->line, "partNumber=")) {
		assert_non_null(strstr(req->line, "uploadId=a%2Fb%2Bc"));
		if (strcmp(wrong, "part") == 0 && strstr(req->line, "partNumber=2&"))
			status = "403 Forbidden";
		extra = "ETag: \"x-1\"\r\n";
	} else {
		/* Longer than a call may stand still otherwise; libcurl looks back over five seconds. */
		if (strcmp(wrong, "slow") == 0)
			sleep(9);
		assert_non_null(strstr(req->body, "<ETag>\"x-1\"</ETag><PartNumber>3</PartNumber>"));
		body = strcmp(wrong, "complete") == 0 ? "<Error><Code>InternalError</Code></Error>" :
		       strcmp(wrong, "sum") == 0 ? other : done;
		status = strcmp(wrong, "taken") == 0 ? "412 Precondition Failed" : wrong[0] == 'l' ? "500 Oops" :
			 f->extra[0] == 'l' ? "404 Not Found" : "200 OK";
		if (f->extra[0] == 'l' && !wrong[0])
			body = "<Error><Code>NoSuchUpload</Code></Error>";
		if (f->body[0] == 'o')
			f->body = ".";
	}
	*len = httpd_answer(reply, size, status, extra, body);
	return HTTPD_SEND;
}

/* len zeros as an object, in writes of 1 MiB. */
static int stream(struct fixture *f, uint64_t len, bool replace, struct error *err)
{
	static const uint8_t zeros[MIB];
	const struct s3_stream_opts opts = {.key = "k", .replace = replace};
	struct s3_place place = {.aws = f->first, .name = "buck"};
	CLEANUP(s3_stream_cleanup) struct s3_stream *s = s3_stream_new(&place, &opts, err);

	f->nr = 0;
	if (!s)
		return -1;
	for (; len; len -= MIN(len, (uint64_t)MIB))
		if (s3_stream_write(s, zeros, (size_t)MIN(len, (uint64_t)MIB), err) < 0)
			return -1;
	return s3_stream_finish(s, err);
}

static void test_stream(void **state)
{
	static const uint64_t len = 33 * MIB;
	struct fixture *f = *state;

	f->answer = parts;
	assert_int_equal(stream(f, len, false, NULL), 0);
	assert_int_equal(count(f, "PUT /buck/k?partNumber="), 3);
	assert_int_equal(count(f, "DELETE"), 0);
	/* "200" and an error in it, or another content: once more. */
	f->extra = "complete";
	f->body = "once";
	assert_int_equal(stream(f, len, true, NULL), 0);
	assert_int_equal(count(f, "POST /buck/k?uploadId="), 2);
	f->extra = "slow";
	f->body = "";
	assert_int_equal(stream(f, len, true, NULL), 0);
	assert_int_equal(count(f, "POST /buck/k?uploadId="), 1);
	f->extra = "sum";
	f->body = "once";
	assert_int_equal(stream(f, len, true, NULL), 0);
	assert_int_equal(count(f, "POST /buck/k?uploadId="), 2);
}

static void test_stream_that_fails(void **state)
{
	static const uint64_t len = 33 * MIB;
	struct fixture *f = *state;
	struct error err = ERROR_INIT;

	f->answer = parts;
	f->extra = "part";
	assert_int_equal(stream(f, len, false, NULL), -1);
	assert_int_equal(count(f, "DELETE /buck/k?uploadId=a%2Fb%2Bc"), 2);
	assert_int_equal(count(f, "POST /buck/k?uploadId="), 0);
	/* Somebody else was faster. */
	f->extra = "taken";
	assert_int_equal(stream(f, len, false, &err), -1);
	assert_int_equal(err.kind, ERROR_POLICY);
	assert_int_equal(count(f, "DELETE"), 2);
	f->body = ".";
	error_clear(&err);
	assert_int_equal(stream(f, len, false, &err), -1);
	assert_int_equal(err.kind, ERROR_POLICY);
	assert_int_equal(f->nr, 0);
	/* Not finished, and nothing begun: nothing to abort. */
	f->extra = f->body = "";
	{
		const struct s3_stream_opts opts = {.key = "k", .replace = true};
		struct s3_place place = {.aws = f->first, .name = "buck"};

		s3_stream_free(s3_stream_new(&place, &opts, NULL));
	}
	assert_int_equal(f->nr, 0);
}

/* The answer of completing was lost, and the next one knows no such upload: what lies there tells. */
static void test_lost_answer(void **state)
{
	/* That of three digests of zeros: 16, 16 and 1 MiB. */
	static const char ours[] = "lETag: \"x-3\"\r\nContent-Length: 34603008\r\nx-amz-checksum-sha256: "
				   "3Krevwpe1vteHWYMApu66wqN+4LJRNsczps+ohjNXyg=-3\r\n";
	static const char other[] = "lETag: \"x-3\"\r\nContent-Length: 34603008\r\nx-amz-checksum-sha256: "
				    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=-3\r\n";
	struct fixture *f = *state;

	f->answer = parts;
	f->extra = ours;
	f->body = "once";
	assert_int_equal(stream(f, 33 * MIB, true, NULL), 0);
	f->extra = other;
	f->body = "once";
	assert_int_equal(stream(f, 33 * MIB, true, NULL), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test_setup_teardown(test_host_and_signature, setup, teardown),
		cmocka_unit_test_setup_teardown(test_moves, setup, teardown),
		cmocka_unit_test_setup_teardown(test_location_is_not_followed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_without_credentials, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_bucket, setup, teardown),
		cmocka_unit_test_setup_teardown(test_put_is_checked, setup, teardown),
		cmocka_unit_test_setup_teardown(test_late_failure, setup, teardown),
		cmocka_unit_test_setup_teardown(test_get_is_checked, setup, teardown),
		cmocka_unit_test(test_lists_without_end),
		cmocka_unit_test_setup_teardown(test_stream, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stream_that_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lost_answer, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
