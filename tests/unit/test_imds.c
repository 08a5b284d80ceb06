/* SPDX-License-Identifier: Apache-2.0 */
/* The metadata service: token rules, paths, listings; and one exchange over its socket and bridge. */
#include "builder/imds.h"
#include "builder/imds_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>
#include <sys/socket.h>

#include "base/num.h"
#include "base/tempdir.h"

static const struct aws_tag tags[] = {{"team", "platform"}, {"Name", "web 1"}};
static const struct imds_disk disks[] = {{"ami", "/dev/xvda"}, {"ephemeral0", "/dev/sdf"}};

static struct imds *make(bool all)
{
	struct error err = ERROR_INIT;
	struct imds_opts opts = {
		.ami_id = "ami-1", .instance_id = "i-1", .instance_type = "m5.large",
		.region = "eu-west-1", .zone = "eu-west-1a", .architecture = "x86_64",
		.hostname = "ip-1.eu-west-1.compute.internal", .ipv4 = "169.254.0.15",
		.network = "169.254.0.0/16", .mac = "02:00:00:00:00:01",
		.public_key = all ? "ssh-ed25519 AAAA\n" : NULL,
		.user_data = all ? "#!/bin/sh\0x" : NULL, .user_data_len = all ? 11 : 0,
		.tags = tags, .nr_tags = all ? ARRAY_SIZE(tags) : 0,
		.disks = disks, .nr_disks = ARRAY_SIZE(disks), .start_s = 1735689600,
		.secret = "a secret",
	};
	struct imds *m = imds_new(&opts, &err);

	assert_non_null(m);
	return m;
}

/* Status of a request; the body stays in `body` until the next one. */
static struct buf body = BUF_INIT(0);
static int64_t ttl;

static unsigned ask(const struct imds *m, const struct imds_request *req, int64_t now)
{
	struct error err = ERROR_INIT;
	struct imds_reply reply = {.body = BUF_INIT(0)};

	assert_int_equal(imds_answer(m, req, now, &reply, &err), 0);
	buf_release(&body);
	body = reply.body;
	ttl = reply.ttl_s;
	return reply.status;
}

static char *get_token(const struct imds *m, const char *seconds, int64_t now)
{
	struct imds_request req = {.method = "PUT", .path = "/latest/api/token", .ttl = seconds};

	assert_int_equal(ask(m, &req, now), 200);
	return strdup(buf_str(&body));
}

static unsigned get(const struct imds *m, const char *path)
{
	CLEANUP_FREE char *token = get_token(m, "60", 100);
	struct imds_request req = {.method = "GET", .path = path, .token = token};

	return ask(m, &req, 110);
}

static void test_token_rules(void **state)
{
	static const char *const bad[] = {NULL, "", "0", "21601", "-1", "1.5", "0x10", "a", "99999999999999999999"};
	CLEANUP(imds_cleanup) struct imds *m = make(true);
	struct imds_request put = {.method = "PUT", .path = "/latest/api/token"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		put.ttl = bad[i];
		assert_int_equal(ask(m, &put, 0), 400);
	}
	put.ttl = "21600";
	assert_int_equal(ask(m, &put, 0), 200);
	assert_int_equal(ttl, 21600);
	put.forwarded = true;
	assert_int_equal(ask(m, &put, 0), 403);
	put = (struct imds_request){.method = "GET", .path = "/latest/api/token"};
	assert_int_equal(ask(m, &put, 0), 405);
}

static void test_token_life(void **state)
{
	CLEANUP(imds_cleanup) struct imds *m = make(true);
	CLEANUP_FREE char *token = get_token(m, "10", 1000);
	struct imds_request req = {.method = "GET", .path = "/latest/meta-data/ami-id"};

	(void)state;
	assert_int_equal(ask(m, &req, 1000), 401);
	req.token = "nonsense";
	assert_int_equal(ask(m, &req, 1000), 401);
	req.token = token;
	assert_int_equal(ask(m, &req, 1003), 200);
	assert_int_equal(ttl, 7);
	assert_string_equal(buf_str(&body), "ami-1");
	assert_int_equal(ask(m, &req, 1009), 200);
	assert_int_equal(ask(m, &req, 1010), 401);
	/* A later end, or another byte of the signature, is not ours. */
	token[15] = token[15] == 'f' ? '0' : 'f';
	assert_int_equal(ask(m, &req, 1003), 401);
	req.method = "POST";
	assert_int_equal(ask(m, &req, 1003), 405);
}

static void test_paths(void **state)
{
	static const struct {
		const char *path, *text;
	} right[] = {
		{"/latest/meta-data/instance-id", "i-1"},
		{"/2009-04-04/meta-data/instance-id", "i-1"},
		{"/2021-03-23/meta-data/placement/region", "eu-west-1"},
		{"/latest/meta-data/placement/availability-zone?x=1", "eu-west-1a"},
		{"/latest/meta-data/placement", "availability-zone\nregion"},
		{"/latest/meta-data/placement/", "availability-zone\nregion"},
		{"/latest/meta-data/public-keys/", "0=amiwright"},
		{"/latest/meta-data/public-keys/0/", "openssh-key"},
		{"/latest/meta-data/public-keys/0/openssh-key", "ssh-ed25519 AAAA\n"},
		{"/latest/meta-data/network/", "interfaces/"},
		{"/latest/meta-data/network/interfaces/macs/", "02:00:00:00:00:01/"},
		{"/latest/meta-data/network/interfaces/macs/02:00:00:00:00:01/device-number", "0"},
		{"/latest/meta-data/tags/instance/", "team\nName"},
		{"/latest/meta-data/tags/instance/Name", "web 1"},
		{"/latest/meta-data/block-device-mapping/", "ami\nephemeral0"},
		{"/latest/meta-data/services/domain", "amazonaws.com"},
		{"/latest/", "dynamic\nmeta-data\nuser-data"},
		{"//latest", "dynamic\nmeta-data\nuser-data"},
	};
	CLEANUP(imds_cleanup) struct imds *m = make(true);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(right); i++) {
		assert_int_equal(get(m, right[i].path), 200);
		assert_string_equal(buf_str(&body), right[i].text);
	}
	assert_int_equal(get(m, "/latest/user-data"), 200);
	assert_int_equal(body.len, 11);
	assert_memory_equal(body.data, "#!/bin/sh\0x", 11);
	assert_int_equal(get(m, "/latest/dynamic/instance-identity/document"), 200);
	assert_non_null(strstr(buf_str(&body), "\"pendingTime\": \"2025-01-01T00:00:00Z\""));
	assert_int_equal(get(m, "/"), 200);
	assert_non_null(strstr(buf_str(&body), "2009-04-04\n"));
}

static void test_absent(void **state)
{
	static const char *const wrong[] = {"/latest/user-data", "/latest/meta-data/iam/", "/latest/meta-data/iam/info",
		"/latest/meta-data/public-keys/", "/latest/meta-data/tags/instance", "/latest/meta-data/ami",
		"/latest/meta-data/ami-id/x", "/latest/meta", "/1999-01-01/meta-data/", "/lat", "/latest/meta-data//"};
	CLEANUP(imds_cleanup) struct imds *m = make(false);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_int_equal(get(m, wrong[i]), 404);
	assert_int_equal(get(m, "/latest"), 200);
	assert_string_equal(buf_str(&body), "dynamic\nmeta-data");
}

static void test_tag_keys(void **state)
{
	static const char *const wrong[] = {"", "a/b", "a b", ".", "..", "_index"};
	struct error err = ERROR_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_int_equal(imds_check_tag(wrong[i], &err), -1);
	assert_int_equal(imds_check_tag("team:x", &err), 0);
}

/* The guest's end of a bridge, and the bridge on a thread; the service is served by the test. */
struct guest {
	const char *folder;
	int fd;
};

static void *run_bridge(void *arg)
{
	struct guest *g = arg;
	struct error err = ERROR_INIT;

	if (imds_bridge(g->folder, g->fd, g->fd, &err) < 0)
		return NULL;
	shutdown(g->fd, SHUT_RDWR);
	return g;
}

static void exchange(struct imds_server *s, const char *folder, const char *request, size_t len,
	struct buf *answer)
{
	struct error err = ERROR_INIT;
	struct guest g = {.folder = folder};
	pthread_t thread;
	void *result;
	int ends[2];
	bool over = false;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	g.fd = ends[1];
	assert_int_equal(pthread_create(&thread, NULL, run_bridge, &g), 0);
	assert_int_equal(send(ends[0], request, len, 0), len);
	while (!over) {
		struct pollfd p[1 + IMDS_POLLS] = {{ends[0], POLLIN, 0}};
		size_t nr = imds_server_polls(s, p + 1);
		char data[999];
		ssize_t n;

		assert_true(poll(p, 1 + nr, 5000) > 0);
		assert_int_equal(imds_server_serve(s, p + 1, nr, 5000, &err), 0);
		if (!p[0].revents)
			continue;
		n = recv(ends[0], data, sizeof(data), 0);
		over = n <= 0;
		if (!over)
			assert_int_equal(buf_add(answer, data, (size_t)n, &err), 0);
	}
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_non_null(result);
	close(ends[0]);
	close(ends[1]);
}

static void test_http(void **state)
{
	static const struct {
		const char *request, *answer;
	} cases[] = {
		{"PUT /latest/api/token HTTP/1.1\r\nHost: x\r\nx-AWS-ec2-metadata-token-ttl-seconds:  60 \r\n\r\n",
			"HTTP/1.1 200 OK\r\n"},
		{"PUT /latest/api/token HTTP/1.1\r\nContent-Length: 2\r\n"
		 "X-Aws-Ec2-Metadata-Token-Ttl-Seconds: 60\r\n\r\nhi", "HTTP/1.1 200 OK\r\n"},
		{"GET /latest/meta-data/ HTTP/1.1\r\n\r\n", "HTTP/1.1 401 Unauthorized\r\n"},
		{"GET /latest/meta-data/\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"},
		{"GET latest HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"},
		{"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"},
		{"PUT / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"},
		{"\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"},
	};
	struct error err = ERROR_INIT;
	CLEANUP(tempdir_cleanup) char *folder = tempdir_new(NULL, &err);
	CLEANUP(imds_cleanup) struct imds *m = make(true);
	CLEANUP(imds_server_cleanup) struct imds_server *s = imds_server_new(m, folder, &err);
	CLEANUP_FREE char *large = calloc(1, 20000);

	(void)state;
	assert_non_null(s);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP_BUF struct buf answer = BUF_INIT(0);

		exchange(s, folder, cases[i].request, strlen(cases[i].request), &answer);
		assert_int_equal(strncmp(buf_str(&answer), cases[i].answer, strlen(cases[i].answer)), 0);
	}
	/* A header without end is answered at the limit, not kept. */
	memset(large, 'a', 16384);
	CLEANUP_BUF struct buf answer = BUF_INIT(0);
	exchange(s, folder, large, 16384, &answer);
	assert_int_equal(strncmp(buf_str(&answer), "HTTP/1.1 400", 12), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_token_rules), cmocka_unit_test(test_token_life),
		cmocka_unit_test(test_paths), cmocka_unit_test(test_absent), cmocka_unit_test(test_tag_keys),
		cmocka_unit_test(test_http),
	};

	int ret = cmocka_run_group_tests(tests, NULL, NULL);

	buf_release(&body);
	return ret;
}
