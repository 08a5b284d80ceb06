/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local region's calls without and with a socket: requests that are signed but damaged in every
 * other way get an answer of 4xx, never a crash; bytes that are no HTTP do not disturb the server.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/num.h"
#include "tests/lib/tmpdir.h"
#include "uploader/region/region_internal.h"

static const int64_t now = 1800000000;
static uint64_t seed;

/* A generator of our own: a failing run can be repeated. */
static uint64_t next_random(void)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return seed >> 33;
}

static int64_t fake_wall_s(void)
{
	return now;
}

/* Asked by several threads at once. */
static int fake_random(void *buf, size_t len)
{
	static atomic_ullong drawn;
	uint8_t *out = buf;

	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)((atomic_fetch_add(&drawn, 1) + 1) * UINT64_C(0x9e3779b97f4a7c15) >> 56);
	return 0;
}

static char *dir;
static struct region *region;

static int setup(void **state)
{
	struct region_opts opts = {.wall_s = fake_wall_s, .random = fake_random};
	struct error err = ERROR_INIT;

	(void)state;
	log_set_fd(-1);
	seed = 1;
	dir = tmpdir_new();
	region = dir ? region_start(dir, &opts, &err) : NULL;
	return region ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	region_stop(region);
	tmpdir_free(dir);
	return 0;
}

/* Fills headers of a request and signs it as a client would. */
static void sign(struct request *req, const char *service, struct buf *auth, char date[17])
{
	struct sigv4_scope scope = {.region = "us-east-1", .service = service};
	struct sigv4_request canon = {.method = req->method, .path = req->path,
		.query = req->query, .headers = req->headers,
		.s3_path = strcmp(service, "s3") == 0};
	uint8_t key[SHA256_SIZE];
	char hash[SHA256_HEX_SIZE];

	sigv4_scope_time(&scope, now);
	memcpy(date, scope.time, 17);
	req->headers[req->nr_headers++] = (struct sigv4_header){"Host", "127.0.0.1"};
	req->headers[req->nr_headers++] = (struct sigv4_header){"x-amz-date", date};
	canon.nr_headers = req->nr_headers;
	assert_int_equal(sha256(req->body ? req->body : "", req->body_len, req->body_sha256, NULL), 0);
	canon.payload_hash = hex_encode(hash, req->body_sha256, SHA256_SIZE);
	assert_int_equal(sigv4_signing_key(region->accounts.items[0].secret_key, &scope, key, NULL), 0);
	assert_int_equal(sigv4_authorization(&canon, &scope, region->accounts.items[0].access_key, key, auth, NULL),
		0);
	req->headers[req->nr_headers++] = (struct sigv4_header){"Authorization", buf_str(auth)};
}

/* Head, then the rest, as the server does. */
static void handle(struct request *req, struct reply *reply)
{
	struct pass pass;

	reply_init(reply);
	if (region_admit(region, req, &pass, reply))
		region_handle(region, req, &pass, reply);
}

/* Sends one request to the handlers; returns its status, and its body in *body when asked for. */
static unsigned call(const char *service, const char *method, const char *path, const char *query,
	const void *body, size_t len, const struct sigv4_header *extra, size_t nr_extra,
	struct buf *answer)
{
	CLEANUP_FREE char *path_copy = strdup(path), *query_copy = strdup(query);
	struct request req = {.method = method, .path = path_copy, .query = query_copy,
		.body = body, .body_len = len};
	CLEANUP_BUF struct buf auth = BUF_INIT(0);
	struct reply reply;
	char date[17];
	unsigned status;

	for (size_t i = 0; i < nr_extra; i++)
		req.headers[req.nr_headers++] = extra[i];
	sign(&req, service, &auth, date);
	handle(&req, &reply);
	assert_false(reply.failed);
	status = reply.status;
	if (answer)
		assert_int_equal(buf_add(answer, reply.body.data, reply.body.len, NULL), 0);
	reply_release(&reply);
	return status;
}

static void start(char id[STORE_ID_SIZE])
{
	static const char body[] = "{\"VolumeSize\": 1}";
	CLEANUP_BUF struct buf answer = BUF_INIT(0);
	const char *at;

	assert_int_equal(call("ebs", "POST", "/snapshots", "", body, strlen(body), NULL, 0, &answer),
		201);
	at = strstr(buf_str(&answer), "snap-");
	assert_non_null(at);
	memcpy(id, at, 22);
	id[22] = '\0';
}

static void test_flow_without_socket(void **state)
{
	static uint8_t block[STORE_BLOCK_SIZE];
	uint8_t digest[SHA256_SIZE];
	char id[STORE_ID_SIZE], path[128], checksum[SHA256_BASE64_SIZE];
	CLEANUP_BUF struct buf answer = BUF_INIT(0);
	static const struct sigv4_header count = {"x-amz-ChangedBlocksCount", "1"};

	(void)state;
	start(id);
	memset(block, 7, sizeof(block));
	assert_int_equal(sha256(block, sizeof(block), digest, NULL), 0);
	const struct sigv4_header headers[] = {{"x-amz-Data-Length", "524288"},
		{"x-amz-Checksum-Algorithm", "SHA256"},
		{"x-amz-Checksum", base64_sha256(checksum, digest)}};
	snprintf(path, sizeof(path), "/snapshots/%s/blocks/5", id);
	assert_int_equal(call("ebs", "PUT", path, "", block, sizeof(block), headers, 3, NULL), 201);
	snprintf(path, sizeof(path), "/snapshots/completion/%s", id);
	assert_int_equal(call("ebs", "POST", path, "", NULL, 0, &count, 1, NULL), 202);
	snprintf(path, sizeof(path), "/snapshots/%s/blocks", id);
	assert_int_equal(call("ebs", "GET", path, "", NULL, 0, NULL, 0, &answer), 200);
	assert_non_null(strstr(buf_str(&answer), "\"BlockIndex\":5"));
}

/* Some bytes of text become others, go, or are doubled. */
static size_t damage(char *text, size_t len, size_t size)
{
	for (unsigned n = (unsigned)next_random() % 6 + 1; n > 0; n--) {
		size_t at = len ? next_random() % len : 0;

		switch (next_random() % 3) {
		case 0:
			if (len)
				text[at] = (char)(next_random() % 255 + 1);
			break;
		case 1:
			if (len > 1) {
				memmove(text + at, text + at + 1, len - at - 1);
				len--;
			}
			break;
		default:
			if (len + 1 < size) {
				memmove(text + at + 1, text + at, len - at);
				len++;
			}
		}
	}
	text[len] = '\0';
	return len;
}

static void test_damaged_requests(void **state)
{
	static const struct {
		const char *service, *method, *path, *query, *body;
	} seeds[] = {
		{"ebs", "POST", "/snapshots", "", "{\"VolumeSize\":1,\"Tags\":[{\"Key\":\"a\",\"Value\":\"b\"}],"
						  "\"ClientToken\":\"t\",\"Timeout\":60,\"Encrypted\":true}"},
		{"ebs", "PUT", "/snapshots/snap-0123456789abcdef0/blocks/3", "", "short"},
		{"ebs", "GET", "/snapshots/snap-0123456789abcdef0/blocks/3", "blockToken=AAAA", ""},
		{"ebs", "GET", "/snapshots/snap-0123456789abcdef0/blocks", "maxResults=100&pageToken=x", ""},
		{"ebs", "POST", "/snapshots/completion/snap-0123456789abcdef0", "", ""},
		{"ec2", "POST", "/", "", "Action=DescribeImages&Version=2016-11-15&Filter.1.Name=name&"
					 "Filter.1.Value.1=a%2A&MaxResults=5&ImageId.1=ami-0123456789abcdef0"},
		{"ec2", "POST", "/", "", "Action=RegisterImage&Version=2016-11-15&Name=abc&"
					 "RootDeviceName=%2Fdev%2Fxvda&"
					 "BlockDeviceMapping.1.DeviceName=%2Fdev%2Fxvda&"
					 "BlockDeviceMapping.1.Ebs.SnapshotId=snap-0123456789abcdef0&"
					 "BlockDeviceMapping.1.Ebs.Iops=3000&TagSpecification.1.ResourceType=image"},
		{"ec2", "POST", "/", "", "Action=ModifyImageAttribute&Version=2016-11-15&"
					 "ImageId=ami-0123456789abcdef0&LaunchPermission.Add.1.UserId=111122223333&"
					 "LaunchPermission.Add.2.OrganizationArn=arn%3Aaws%3Aorganizations%3A%3A"
					 "111122223333%3Aorganization%2Fo-1"},
		{"ec2", "POST", "/", "", "Action=CopyImage&Version=2016-11-15&Name=abc&SourceRegion=eu-west-1&"
					 "SourceImageId=ami-0123456789abcdef0&Encrypted=true&KmsKeyId=alias%2Fx&"
					 "ClientToken=t"},
		{"ec2", "POST", "/", "", "Action=CopySnapshot&Version=2016-11-15&SourceRegion=us-east-1&"
					 "SourceSnapshotId=snap-0123456789abcdef0&PresignedUrl=http%3A%2F%2Fh%2F%3F"
					 "Action%3DCopySnapshot%26X-Amz-Signature%3D0"},
		{"sts", "POST", "/", "", "Action=AssumeRole&Version=2011-06-15&RoleSessionName=ab&RoleArn="
					 "arn%3Aaws%3Aiam%3A%3A111122223333%3Arole%2Fx&DurationSeconds=900"},
		{"s3", "GET", "/bucket", "list-type=2&prefix=a&max-keys=3&continuation-token=61", ""},
		{"s3", "PUT", "/bucket", "", "<LocationConstraint>eu-west-1</LocationConstraint>"},
		{"s3", "PUT", "/bucket/key%20a", "", ""},
		{"s3", "POST", "/bucket/key", "uploadId=0123456789abcdef0123456789abcdef",
			"<Part><PartNumber>1</PartNumber><ETag>a</ETag></Part>"},
		{"ec2", "POST", "/", "", "Action=CreateTags&Version=2016-11-15&ResourceId.1=ami-0&Tag.1.Key=a"},
	};

	(void)state;
	for (unsigned round = 0; round < 4000; round++) {
		const size_t which = next_random() % ARRAY_SIZE(seeds);
		char path[256], query[256], body[1024];
		size_t len;
		unsigned status;

		snprintf(path, sizeof(path), "%s", seeds[which].path);
		snprintf(query, sizeof(query), "%s", seeds[which].query);
		snprintf(body, sizeof(body), "%s", seeds[which].body);
		if (next_random() % 2)
			damage(path + 1, strlen(path + 1), sizeof(path) - 2);
		if (next_random() % 2)
			damage(query, strlen(query), sizeof(query) - 1);
		len = damage(body, strlen(body), sizeof(body) - 1);
		status = call(seeds[which].service, seeds[which].method, path, query, body, len, NULL, 0,
			NULL);
		assert_true(status == 200 || status == 201 || status == 204 || status == 301 ||
			    (status >= 400 && status < 500) || status == 501);
	}
}

static void test_damaged_authorization(void **state)
{
	static const char valid[] = "AWS4-HMAC-SHA256 Credential=AKIA/20270115/us-east-1/ec2/aws4_request, "
				    "SignedHeaders=host;x-amz-date, Signature="
				    "0123456789012345678901234567890123456789012345678901234567890123";
	char path[] = "/", query[] = "";

	(void)state;
	for (unsigned round = 0; round < 4000; round++) {
		struct request req = {.method = "POST", .path = path, .query = query};
		struct reply reply;
		char text[512];

		snprintf(text, sizeof(text), "%s", valid);
		damage(text, strlen(text), sizeof(text) - 1);
		req.headers[req.nr_headers++] = (struct sigv4_header){"Host", "h"};
		req.headers[req.nr_headers++] = (struct sigv4_header){"X-Amz-Date", "20270115T080000Z"};
		req.headers[req.nr_headers++] = (struct sigv4_header){"Authorization", text};
		handle(&req, &reply);
		assert_true(reply.status >= 400 && reply.status < 500);
		reply_release(&reply);
	}
}

/* Writes one of a busy client's calls; returns its length. */
static int busy_call(char *text, size_t size, unsigned kind, unsigned round, unsigned client,
	const char *image)
{
	static const char version[] = "Version=2016-11-15";

	switch (kind) {
	case 0:
		return snprintf(text, size, "%s&Action=CopyImage&Name=copy-%u-%u&SourceRegion=us-east-1&"
			"SourceImageId=%s", version, client, round, image);
	case 1:
		return snprintf(text, size, "%s&Action=DescribeImages&ImageId.1=%s", version, image);
	case 2:
		return snprintf(text, size, "%s&Action=ModifyImageAttribute&ImageId=%s&"
			"LaunchPermission.Add.1.UserId=1111222233%02u", version, image, round);
	case 3:
		return snprintf(text, size, "%s&Action=CreateTags&ResourceId.1=%s&Tag.1.Key=k%u&"
			"Tag.1.Value=v", version, image, round);
	case 4:
		return snprintf(text, size, "%s&Action=DescribeSnapshots&Owner.1=self", version);
	default:
		return snprintf(text, size, "%s&Action=%sEbsEncryptionByDefault", version,
			kind % 2 ? "Enable" : "Disable");
	}
}

struct busy {
	const char *image;
	unsigned client, refused;
};

static void *busy_client(void *arg)
{
	struct busy *busy = arg;
	char text[400];

	for (unsigned round = 0; round < 12; round++) {
		for (unsigned kind = 0; kind < 7; kind++) {
			int n = busy_call(text, sizeof(text), kind, round, busy->client, busy->image);

			busy->refused += call("ec2", "POST", "/", "", text, (size_t)n, NULL, 0, NULL) != 200;
		}
	}
	return NULL;
}

/* Several clients on one image: nothing is refused, and ThreadSanitizer sees nothing. */
static void test_busy_clients(void **state)
{
	enum { CLIENTS = 4 };
	static const struct sigv4_header none = {"x-amz-ChangedBlocksCount", "0"};
	CLEANUP_BUF struct buf answer = BUF_INIT(0);
	struct busy busy[CLIENTS];
	pthread_t threads[CLIENTS];
	char id[STORE_ID_SIZE], text[400], image[32];
	int n;

	(void)state;
	start(id);
	snprintf(text, sizeof(text), "/snapshots/completion/%s", id);
	assert_int_equal(call("ebs", "POST", text, "", NULL, 0, &none, 1, NULL), 202);
	n = snprintf(text, sizeof(text), "Version=2016-11-15&Action=RegisterImage&Name=busy&"
		"RootDeviceName=a&BlockDeviceMapping.1.DeviceName=a&BlockDeviceMapping.1.Ebs.SnapshotId=%s", id);
	assert_int_equal(call("ec2", "POST", "/", "", text, (size_t)n, NULL, 0, &answer), 200);
	assert_non_null(strstr(buf_str(&answer), "ami-"));
	snprintf(image, sizeof(image), "%.21s", strstr(buf_str(&answer), "ami-"));
	for (unsigned i = 0; i < CLIENTS; i++) {
		busy[i] = (struct busy){.image = image, .client = i};
		assert_int_equal(pthread_create(&threads[i], NULL, busy_client, &busy[i]), 0);
	}
	for (unsigned i = 0; i < CLIENTS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(busy[i].refused, 0);
	}
}

static int connect_server(void)
{
	struct sockaddr_in where = {.sin_family = AF_INET,
		.sin_port = htons(server_port(region->server))};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&where, sizeof(where)), 0);
	return fd;
}

/* Bytes that may get an answer or none: nobody waits for it. */
static void throw_at_server(const void *data, size_t len)
{
	CLEANUP_CLOSE int fd = connect_server();

	(void)!send(fd, data, len, MSG_NOSIGNAL);
}

/* What the server answers to a request that lets it close the connection. */
static void talk(const void *data, size_t len, char *answer, size_t size)
{
	CLEANUP_CLOSE int fd = connect_server();
	size_t have = 0;
	ssize_t n;

	(void)!send(fd, data, len, MSG_NOSIGNAL);
	shutdown(fd, SHUT_WR);
	while (have + 1 < size && (n = recv(fd, answer + have, size - have - 1, 0)) > 0)
		have += (size_t)n;
	answer[have] = '\0';
}

static void test_bytes_that_are_no_http(void **state)
{
	static const char good[] = "GET /elsewhere HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
	static const char large[] = "PUT /snapshots/snap-1/blocks/0 HTTP/1.1\r\nHost: h\r\n"
				    "Connection: close\r\nContent-Length: 614401\r\n\r\n";
	static const char unsigned_get[] = "GET /snapshots/snap-1/blocks HTTP/1.1\r\nHost: h\r\n\r\n";
	char bytes[4096], answer[2048];

	(void)state;
	for (unsigned round = 0; round < 200; round++) {
		size_t len = next_random() % sizeof(bytes);

		for (size_t i = 0; i < len; i++)
			bytes[i] = (char)next_random();
		throw_at_server(bytes, len);
		snprintf(bytes, sizeof(bytes), "%s", unsigned_get);
		throw_at_server(bytes, damage(bytes, strlen(bytes), sizeof(bytes) - 1));
	}
	talk(large, strlen(large), answer, sizeof(answer));
	assert_non_null(strstr(answer, " 413 "));
	talk(good, strlen(good), answer, sizeof(answer));
	assert_non_null(strstr(answer, " 404 "));
	assert_non_null(strstr(answer, "UnknownOperationException"));
}

/* Connects, asks and goes again, until told to end. */
struct passer_by {
	uint16_t port;
	atomic_bool end;
};

static void *pass_by(void *arg)
{
	static const char text[] = "GET /elsewhere HTTP/1.1\r\nHost: h\r\n\r\n";
	struct passer_by *p = arg;
	struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons(p->port)};
	char answer[64];

	where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	while (!atomic_load(&p->end)) {
		CLEANUP_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (connect(fd, (struct sockaddr *)&where, sizeof(where)) == 0 &&
		    send(fd, text, sizeof(text) - 1, MSG_NOSIGNAL) > 0)
			(void)!recv(fd, answer, sizeof(answer), 0);
	}
	return NULL;
}

/*
 * A server that ends while its threads are awake: libmicrohttpd must find no reason to abort. (With
 * MHD_quiesce_daemon() one end in some 1,500 did.)
 */
static void test_ends_amid_clients(void **state)
{
	enum { ROUNDS = 60, CLIENTS = 3 };
	struct region_opts opts = {.wall_s = fake_wall_s, .random = fake_random, .threads = 8};
	struct error err = ERROR_INIT;
	char *own = tmpdir_new();

	(void)state;
	assert_non_null(own);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct region *r = region_start(own, &opts, &err);
		struct passer_by p = {.port = r ? server_port(r->server) : 0};
		pthread_t threads[CLIENTS];

		assert_non_null(r);
		for (unsigned i = 0; i < CLIENTS; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, pass_by, &p), 0);
		nanosleep(&(struct timespec){.tv_nsec = 500 * 1000}, NULL);
		region_stop(r);
		atomic_store(&p.end, true);
		for (unsigned i = 0; i < CLIENTS; i++)
			pthread_join(threads[i], NULL);
	}
	tmpdir_free(own);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flow_without_socket),
		cmocka_unit_test(test_busy_clients),
		cmocka_unit_test(test_damaged_requests),
		cmocka_unit_test(test_damaged_authorization),
		cmocka_unit_test(test_bytes_that_are_no_http),
		cmocka_unit_test(test_ends_amid_clients),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
