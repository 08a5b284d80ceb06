/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signature Version 4, stage by stage: vectors that were computed with botocore, and, when it is
 * present, the published suite of cases (AMIWRIGHT_SIGV4_SUITE, else ../shared/data/sigv4).
 */
#include "uploader/sigv4.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/json.h"
#include "base/num.h"

#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

/* Compares sha256(canonical request) and the signature with a vector. */
static void check_vector(const struct sigv4_request *req, const char *service,
	const char *canonical_hex, const char *signature)
{
	struct sigv4_scope scope = {.region = "eu-west-1", .service = service};
	struct buf canonical = BUF_INIT(0), text = BUF_INIT(0);
	uint8_t digest[SHA256_SIZE], key[SHA256_SIZE];
	char hex[SHA256_HEX_SIZE];

	sigv4_scope_time(&scope, 1798859045);
	assert_string_equal(scope.time, "20270102T030405Z");
	assert_string_equal(scope.date, "20270102");
	assert_int_equal(sigv4_canonical_request(req, &canonical, NULL), 0);
	assert_int_equal(sha256(canonical.data, canonical.len, digest, NULL), 0);
	assert_string_equal(hex_encode(hex, digest, sizeof(digest)), canonical_hex);
	assert_int_equal(sigv4_string_to_sign(&scope, buf_str(&canonical), &text, NULL), 0);
	assert_int_equal(sigv4_signing_key(SECRET, &scope, key, NULL), 0);
	assert_int_equal(sigv4_signature(key, buf_str(&text), hex, NULL), 0);
	assert_string_equal(hex, signature);
	buf_release(&canonical);
	buf_release(&text);
}

static void test_ebs_get(void **state)
{
	struct sigv4_header headers[] = {
		{"X-Amz-Date", "20270102T030405Z"},
		{"Host", "ebs.eu-west-1.amazonaws.com"},
		{"User-Agent", "never signed"},
	};
	struct sigv4_request req = {"GET", "/snapshots/snap-0123456789abcdef0/blocks",
		"pageToken=Ab%2B%2F%3D&maxResults=1000&startingBlockIndex=0", headers, 3, EMPTY, false};

	(void)state;
	check_vector(&req, "ebs", "0a79763d5230dae8173ee2234bc8ed83285c413919d3a90588133d25878b9c39",
		"c219d162d3136ea70f7f1b8e1e95193947471da4dd0dfff8dd031f3cd9e08b86");
}

static void test_ebs_put(void **state)
{
	struct sigv4_header headers[] = {
		{"x-amz-Data-Length", "524288"},
		{"x-amz-Checksum", "Qib0wLZSCPxxAsnoZ1mqGTwYYUfxBvjcHbuEUOOwNdw="},
		{"x-amz-Checksum-Algorithm", "SHA256"},
		{"X-Amz-Content-SHA256", "UNSIGNED-PAYLOAD"},
		{"X-Amz-Date", "20270102T030405Z"},
		{"Host", "ebs.eu-west-1.amazonaws.com"},
	};
	struct sigv4_request req = {"PUT", "/snapshots/snap-0123456789abcdef0/blocks/7", "", headers,
		6, "UNSIGNED-PAYLOAD", false};

	(void)state;
	check_vector(&req, "ebs", "649e88ce4fb373542219b467ba0c717d9d5b66a3ef6ee3deebb75295983943ea",
		"06a1da419ccd78629865b0a8af2453b2b920ace820e0d232cf7e894e50c98fa3");
}

static void test_s3_put(void **state)
{
	struct sigv4_header headers[] = {
		{"Host", "examplebucket.s3.eu-west-1.amazonaws.com"},
		{"x-amz-acl", "aws-exec-read"},
		{"x-amz-content-sha256",
			"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"},
		{"x-amz-date", "20270102T030405Z"},
	};
	struct sigv4_request req = {"PUT", "/img/a%20b%2Bc~%C3%A9.part.00", "", headers, 4,
		"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824", true};

	(void)state;
	check_vector(&req, "s3", "929dfa3bfbdb9d6e92a8b7d446ed994df14d67b251d62b1e5a9edd3fb32bb258",
		"cf03f6d700c91a635a210cd058135fb0cf3b7b82bffbf867032984922ce46f02");
}

/* By key, then by value; a key that is the beginning of another comes first. */
static void test_query_order(void **state)
{
	struct sigv4_request req = {"GET", "/", "b-c=1&b=z&b=%61&b&a%20=+&%C3%A9=%c3%a9", NULL, 0, EMPTY, false};
	struct buf out = BUF_INIT(0);

	(void)state;
	assert_int_equal(sigv4_canonical_request(&req, &out, NULL), 0);
	assert_string_equal(buf_str(&out),
		"GET\n/\n%C3%A9=%C3%A9&a%20=%2B&b=&b=a&b=z&b-c=1\n\n\n" EMPTY);
	buf_release(&out);
}

/*
 * Amazon S3 API Reference: 66,560 bytes 'a' as chunks of 64 KiB, 1 KiB and nothing, without a trailer and with one.
 */
static void test_chunks(void **state)
{
	static const char *const signatures[2][5] = {
		{"4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
			"ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
			"0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
			"b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9", NULL},
		{"106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
			"b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
			"1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
			"2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
			"d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435"},
	};
	static const char trailer[] = "x-amz-checksum-crc32c:sOO8/Q==\n";
	static const size_t sizes[] = {65536, 1024, 0};
	static char bytes[65536];
	struct sigv4_scope scope = {.date = "20130524", .time = "20130524T000000Z", .region = "us-east-1",
		.service = "s3"};
	uint8_t key[SHA256_SIZE], digest[SHA256_SIZE];
	char signature[SHA256_HEX_SIZE];

	(void)state;
	memset(bytes, 'a', sizeof(bytes));
	assert_int_equal(sigv4_signing_key("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", &scope, key, NULL), 0);
	for (int form = 0; form < 2; form++) {
		memcpy(signature, signatures[form][0], sizeof(signature));
		for (int i = 0; i < 3; i++) {
			assert_int_equal(sha256(bytes, sizes[i], digest, NULL), 0);
			assert_int_equal(sigv4_link(&scope, key, SIGV4_CHUNK, digest, signature, NULL), 0);
			assert_string_equal(signature, signatures[form][i + 1]);
		}
	}
	assert_int_equal(sha256(trailer, strlen(trailer), digest, NULL), 0);
	assert_int_equal(sigv4_link(&scope, key, SIGV4_TRAILER, digest, signature, NULL), 0);
	assert_string_equal(signature, signatures[1][4]);
}

static void test_authorization(void **state)
{
	struct sigv4_header headers[] = {
		{"Host", "s3.eu-west-1.amazonaws.com"},
		{"x-amz-content-sha256", EMPTY},
		{"x-amz-date", "20270102T030405Z"},
	};
	struct sigv4_request req = {"GET", "/examplebucket", "location", headers, 3, EMPTY, true};
	struct sigv4_scope scope = {.region = "eu-west-1", .service = "s3"};
	struct buf out = BUF_INIT(0);
	uint8_t key[SHA256_SIZE];

	(void)state;
	sigv4_scope_time(&scope, 1798859045);
	assert_int_equal(sigv4_signing_key(SECRET, &scope, key, NULL), 0);
	assert_int_equal(sigv4_authorization(&req, &scope, "AKIDEXAMPLE", key, &out, NULL), 0);
	assert_string_equal(buf_str(&out),
		"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20270102/eu-west-1/s3/aws4_request, "
		"SignedHeaders=host;x-amz-content-sha256;x-amz-date, "
		"Signature=9f03adfd48d21e4d3fc5afa96d9648829931c113f94fbb85fdaa246060ec3c01");
	buf_release(&out);
}

/* The URL by which CopySnapshot's target fetches the source; made by botocore too. */
static void test_presign(void **state)
{
	struct sigv4_header host = {"Host", "ec2.us-east-1.amazonaws.com"};
	struct sigv4_request req = {"GET", "/",
		"Action=CopySnapshot&Version=2016-11-15&SourceRegion=us-east-1"
		"&SourceSnapshotId=snap-0123456789abcdef0&DestinationRegion=eu-west-1&Description=d"
		"&Encrypted=true", &host, 1, EMPTY, false};
	struct sigv4_scope scope = {.region = "us-east-1", .service = "ec2"};
	struct buf out = BUF_INIT(0);
	uint8_t key[SHA256_SIZE];

	(void)state;
	sigv4_scope_time(&scope, 1798859045);
	assert_int_equal(sigv4_signing_key(SECRET, &scope, key, NULL), 0);
	assert_int_equal(sigv4_presign(&req, &scope, "AKIDEXAMPLE", NULL, key, 3600, &out, NULL), 0);
	assert_non_null(strstr(buf_str(&out),
		"&Encrypted=true&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20270102"
		"%2Fus-east-1%2Fec2%2Faws4_request&X-Amz-Date=20270102T030405Z&X-Amz-Expires=3600"
		"&X-Amz-SignedHeaders=host&X-Amz-Signature="
		"05a42a55874f1edf3250a5373afa774edda6713bbf64897c2d68816ede8b3bab"));
	buf_clear(&out);
	assert_int_equal(sigv4_presign(&req, &scope, "AKIDEXAMPLE", "TOKEN/+=", key, 3600, &out, NULL), 0);
	assert_non_null(strstr(buf_str(&out), "&X-Amz-Security-Token=TOKEN%2F%2B%3D&"));
	buf_release(&out);
}

static void test_encode(void **state)
{
	struct buf out = BUF_INIT(0);

	(void)state;
	assert_int_equal(sigv4_encode(&out, "a b/c~\xc3\xa9*", 9, true, NULL), 0);
	assert_string_equal(buf_str(&out), "a%20b/c~%C3%A9%2A");
	buf_clear(&out);
	assert_int_equal(sigv4_encode(&out, "/", 1, false, NULL), 0);
	assert_string_equal(buf_str(&out), "%2F");
	buf_release(&out);
}

/* --- the published cases --- */

enum { MAX_HEADERS = 24 };

struct suite_case {
	struct buf request;  /* cut into pieces in place */
	struct sigv4_request req;
	struct sigv4_header headers[MAX_HEADERS];
	struct sigv4_scope scope;
	char secret[64], token[2048], hash[SHA256_HEX_SIZE], length[32];
	bool normalise, sign_body;
	struct buf path;     /* the raw target's path, encoded once for cases without normalisation */
};

static void read_text(const char *dir, const char *name, struct buf *out)
{
	char path[4096];
	struct error err = ERROR_INIT;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (file_read(path, out, &err) < 0)
		fail_msg("%s", err.text);
}

static void add_header(struct suite_case *c, const char *name, const char *value)
{
	assert_true(c->req.nr_headers < MAX_HEADERS);
	c->headers[c->req.nr_headers].name = name;
	c->headers[c->req.nr_headers++].value = value;
}

static void read_context(const char *dir, struct suite_case *c)
{
	struct buf text = BUF_INIT(0);
	struct json *j, *creds;
	int64_t seconds;

	read_text(dir, "context.json", &text);
	j = json_parse(buf_str(&text), text.len, "context.json", NULL);
	assert_non_null(j);
	creds = json_get(j, "credentials");
	snprintf(c->secret, sizeof(c->secret), "%s", json_get_str(creds, "secret_access_key", ""));
	/* With omit_session_token it is added behind the signature. */
	if (!json_get_bool(j, "omit_session_token", false))
		snprintf(c->token, sizeof(c->token), "%s", json_get_str(creds, "token", ""));
	c->normalise = json_get_bool(j, "normalize", true);
	c->sign_body = json_get_bool(j, "sign_body", false);
	assert_string_equal(json_get_str(j, "region", ""), "us-east-1");
	assert_string_equal(json_get_str(j, "service", ""), "service");
	c->scope.region = "us-east-1";
	c->scope.service = "service";
	assert_int_equal(num_parse_time(json_get_str(j, "timestamp", ""), &seconds, NULL), 0);
	sigv4_scope_time(&c->scope, seconds);
	json_free(j);
	buf_release(&text);
}

/* The request line: method, raw target up to the last space, version. */
static char *read_request_line(struct suite_case *c)
{
	char *line = c->request.data, *end = strchr(line, '\n'), *target, *version, *query;

	assert_non_null(end);
	*end = '\0';
	target = strchr(line, ' ');
	version = strrchr(line, ' ');
	assert_true(target && version > target);
	*target++ = '\0';
	*version = '\0';
	query = strchr(target, '?');
	if (query)
		*query++ = '\0';
	c->req.method = line;
	c->req.query = query ? query : "";
	c->req.path = target;
	c->req.s3_path = !c->normalise;
	if (!c->normalise) {
		assert_int_equal(sigv4_encode(&c->path, target, strlen(target), true, NULL), 0);
		c->req.path = buf_str(&c->path);
	}
	return end + 1;
}

/*
 * Header lines (those that begin with a space continue the one before) and the body behind an empty
 * line.
 */
static void read_rest(struct suite_case *c, char *p)
{
	uint8_t digest[SHA256_SIZE];
	const char *body = "";

	while (*p) {
		char *end, *colon;

		if (*p == '\n') {
			body = p + 1;
			break;
		}
		end = strchr(p, '\n');
		while (end && (end[1] == ' ' || end[1] == '\t'))
			end = strchr(end + 1, '\n');
		colon = strchr(p, ':');
		assert_non_null(colon);
		*colon = '\0';
		if (end)
			*end = '\0';
		add_header(c, p, colon + 1);
		if (!end)
			break;
		p = end + 1;
	}
	assert_int_equal(sha256(body, strlen(body), digest, NULL), 0);
	hex_encode(c->hash, digest, sizeof(digest));
	c->req.payload_hash = c->hash;
}

static void expect(const char *dir, const char *name, const char *got)
{
	struct buf want = BUF_INIT(0);

	read_text(dir, name, &want);
	if (strcmp(buf_str(&want), got) != 0)
		fail_msg("%s/%s: want\n%s\ngot\n%s", dir, name, buf_str(&want), got);
	buf_release(&want);
}

static void run_case(const char *dir)
{
	struct suite_case c = {.request = BUF_INIT(0), .path = BUF_INIT(0)};
	struct buf canonical = BUF_INIT(0), text = BUF_INIT(0);
	char hex[SHA256_HEX_SIZE];
	uint8_t key[SHA256_SIZE];

	c.req.headers = c.headers;
	read_context(dir, &c);
	read_text(dir, "request.txt", &c.request);
	read_rest(&c, read_request_line(&c));
	add_header(&c, "X-Amz-Date", c.scope.time);
	if (c.token[0])
		add_header(&c, "X-Amz-Security-Token", c.token);
	if (c.sign_body)
		add_header(&c, "x-amz-content-sha256", c.hash);
	assert_int_equal(sigv4_canonical_request(&c.req, &canonical, NULL), 0);
	expect(dir, "header-canonical-request.txt", buf_str(&canonical));
	assert_int_equal(sigv4_string_to_sign(&c.scope, buf_str(&canonical), &text, NULL), 0);
	expect(dir, "header-string-to-sign.txt", buf_str(&text));
	assert_int_equal(sigv4_signing_key(c.secret, &c.scope, key, NULL), 0);
	assert_int_equal(sigv4_signature(key, buf_str(&text), hex, NULL), 0);
	expect(dir, "header-signature.txt", hex);
	buf_release(&c.request);
	buf_release(&c.path);
	buf_release(&canonical);
	buf_release(&text);
}

static void test_suite(void **state)
{
	const char *root = getenv("AMIWRIGHT_SIGV4_SUITE");
	struct dirent *entry;
	char path[2048];
	int nr = 0;
	DIR *dir;

	(void)state;
	dir = opendir(root ? root : "../shared/data/sigv4");
	if (!dir)
		skip();
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s/context.json", root ? root : "../shared/data/sigv4",
			entry->d_name);
		if (access(path, R_OK) < 0)
			continue;
		*strrchr(path, '/') = '\0';
		run_case(path);
		nr++;
	}
	closedir(dir);
	assert_int_equal(nr, 38);
}

/* --- for tests/integration/test_sigv4.py: signs what standard input says, a field a line --- */

static char *next_field(char **text)
{
	char *field = *text, *end = strchr(field, '\n');

	if (!end)
		exit(2);
	*end = '\0';
	*text = end + 1;
	return field;
}

static void sign_one(char **text)
{
	struct sigv4_header headers[MAX_HEADERS];
	struct sigv4_request req = {.headers = headers};
	struct buf canonical = BUF_INIT(0), out = BUF_INIT(0);
	struct sigv4_scope scope;
	uint8_t key[SHA256_SIZE];
	const char *access, *secret;

	req.method = next_field(text);
	req.path = next_field(text);
	req.query = next_field(text);
	req.payload_hash = next_field(text);
	scope.region = next_field(text);
	scope.service = next_field(text);
	req.s3_path = strcmp(scope.service, "s3") == 0;
	sigv4_scope_time(&scope, strtoll(next_field(text), NULL, 10));
	access = next_field(text);
	secret = next_field(text);
	req.nr_headers = strtoul(next_field(text), NULL, 10);
	for (size_t i = 0; i < req.nr_headers && i < MAX_HEADERS; i++) {
		headers[i].name = next_field(text);
		headers[i].value = next_field(text);
	}
	if (sigv4_canonical_request(&req, &canonical, NULL) < 0 ||
	    sigv4_signing_key(secret, &scope, key, NULL) < 0 ||
	    sigv4_authorization(&req, &scope, access, key, &out, NULL) < 0)
		exit(2);
	printf("%s%c%s%c", buf_str(&canonical), 0, buf_str(&out), 0);
	buf_release(&canonical);
	buf_release(&out);
}

static int sign_stdin(void)
{
	struct buf in = BUF_INIT(0);
	char *text;

	if (file_read("/dev/stdin", &in, NULL) < 0)
		return 2;
	text = in.data;
	while (*text)
		sign_one(&text);
	buf_release(&in);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ebs_get),
		cmocka_unit_test(test_ebs_put),
		cmocka_unit_test(test_s3_put),
		cmocka_unit_test(test_query_order),
		cmocka_unit_test(test_authorization),
		cmocka_unit_test(test_chunks),
		cmocka_unit_test(test_presign),
		cmocka_unit_test(test_encode),
		cmocka_unit_test(test_suite),
	};

	if (argc > 1 && strcmp(argv[1], "--sign") == 0)
		return sign_stdin();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
