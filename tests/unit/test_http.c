/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP client against servers that behave and that do not.
 */
#include "uploader/http.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/lib/httpd.h"

static enum httpd_act echo(void *arg, const struct httpd_request *req, char *reply, size_t size,
	size_t *len)
{
	char body[300];

	(void)arg;
	snprintf(body, sizeof(body), "%s|%zu|%.20s|%d%d", req->line, req->body_len, req->body,
		httpd_has(req, "X-Test", "one two"), strstr(req->headers, "Expect") != NULL);
	*len = httpd_answer(reply, size, "201 Created", "X-Answer:  yes \r\n", body);
	return HTTPD_SEND;
}

static enum httpd_act redirect(void *arg, const struct httpd_request *req, char *reply, size_t size,
	size_t *len)
{
	(void)arg;
	(void)req;
	*len = httpd_answer(reply, size, "307 Temporary Redirect",
		"Location: http://127.0.0.1:1/elsewhere\r\n", "");
	return HTTPD_SEND;
}

static enum httpd_act misbehave(void *arg, const struct httpd_request *req, char *reply, size_t size,
	size_t *len)
{
	const enum httpd_act *act = arg;

	(void)req;
	*len = (size_t)snprintf(reply, size, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly so much");
	return *act;
}

static void count_done(struct http_request *req, void *arg)
{
	unsigned *nr = arg;

	(void)req;
	(*nr)++;
}

static struct http_client *new_client(unsigned stall_ms, unsigned attempt_ms)
{
	struct http_opts opts = {.stall_ms = stall_ms, .attempt_ms = attempt_ms, .connect_ms = 1000};
	struct http_client *c = http_client_new(&opts, NULL);

	assert_non_null(c);
	return c;
}

static void run_until(struct http_client *c, const unsigned *done, unsigned want)
{
	while (*done < want)
		assert_int_equal(http_run(c, 1000, -1, NULL), 0);
}

static void perform(struct http_client *c, struct http_request *req)
{
	unsigned done = 0;

	req->done = count_done;
	req->arg = &done;
	assert_int_equal(http_start(c, req, NULL), 0);
	assert_int_equal(http_running(c), 1);
	run_until(c, &done, 1);
	assert_int_equal(http_running(c), 0);
}

static void make(struct http_request *req, const char *method, const struct httpd *server,
	const char *path)
{
	char url[200];

	snprintf(url, sizeof(url), "%s%s", httpd_url(server), path);
	assert_int_equal(http_request_init(req, method, url, NULL), 0);
}

static void test_methods(void **state)
{
	struct httpd *server = httpd_start(echo, NULL);
	struct http_client *c = new_client(0, 0);
	struct http_request req;

	(void)state;
	make(&req, "PUT", server, "/a?b=c");
	assert_int_equal(http_add_header(&req, "x-test", "other", NULL), 0);
	assert_int_equal(http_add_header(&req, "X-Test", "one two", NULL), 0);
	assert_int_equal(req.nr_headers, 1);
	req.body = "hello";
	req.body_len = 5;
	perform(c, &req);
	assert_int_equal(req.status, 201);
	assert_string_equal(buf_str(&req.answer), "PUT /a?b=c HTTP/1.1|5|hello|10");
	assert_string_equal(http_answer_header(&req, "x-answer"), "yes");
	assert_null(http_answer_header(&req, "x-other"));
	/* Again with the same object, then without a body. */
	perform(c, &req);
	assert_string_equal(buf_str(&req.answer), "PUT /a?b=c HTTP/1.1|5|hello|10");
	http_request_release(&req);
	make(&req, "GET", server, "/");
	perform(c, &req);
	assert_string_equal(buf_str(&req.answer), "GET / HTTP/1.1|0||00");
	http_request_release(&req);
	make(&req, "POST", server, "/empty");
	perform(c, &req);
	assert_string_equal(buf_str(&req.answer), "POST /empty HTTP/1.1|0||00");
	http_request_release(&req);
	assert_int_equal(httpd_connections(server), 1);
	http_client_free(c);
	httpd_stop(server);
}

static void test_many(void **state)
{
	enum { NR = 40 };
	struct httpd *server = httpd_start(echo, NULL);
	struct http_client *c = new_client(0, 0);
	struct http_request *reqs = calloc(NR, sizeof(*reqs));
	unsigned done = 0;

	(void)state;
	for (int round = 0; round < 2; round++) {
		done = 0;
		for (int i = 0; i < NR; i++) {
			make(&reqs[i], "GET", server, "/");
			reqs[i].done = count_done;
			reqs[i].arg = &done;
			assert_int_equal(http_start(c, &reqs[i], NULL), 0);
		}
		run_until(c, &done, NR);
		for (int i = 0; i < NR; i++) {
			assert_int_equal(reqs[i].status, 201);
			http_request_release(&reqs[i]);
		}
	}
	/* Connections are kept and used again. */
	assert_true(httpd_connections(server) <= NR);
	free(reqs);
	http_client_free(c);
	httpd_stop(server);
}

static void test_cancel(void **state)
{
	enum httpd_act stall = HTTPD_STALL;
	struct httpd *server = httpd_start(misbehave, &stall);
	struct http_client *c = new_client(0, 0);
	struct http_request a, b;
	unsigned done = 0;

	(void)state;
	make(&a, "GET", server, "/");
	make(&b, "GET", server, "/");
	a.done = b.done = count_done;
	a.arg = b.arg = &done;
	assert_int_equal(http_start(c, &a, NULL), 0);
	assert_int_equal(http_start(c, &b, NULL), 0);
	assert_int_equal(http_run(c, 50, -1, NULL), 0);
	http_cancel(c, &a);
	assert_int_equal(http_running(c), 1);
	http_client_free(c);
	assert_int_equal(done, 0);
	http_request_release(&a);
	http_request_release(&b);
	httpd_stop(server);
}

static void fails(enum httpd_act act, unsigned stall_ms, unsigned attempt_ms)
{
	struct httpd *server = httpd_start(misbehave, &act);
	struct http_client *c = new_client(stall_ms, attempt_ms);
	struct http_request req;

	make(&req, "GET", server, "/");
	perform(c, &req);
	assert_int_equal(req.status, 0);
	assert_int_equal(req.failure.kind, ERROR_NETWORK);
	assert_non_null(strstr(req.failure.text, "no whole answer from 'http://127.0.0.1:"));
	http_request_release(&req);
	http_client_free(c);
	httpd_stop(server);
}

static void test_cut(void **state)
{
	(void)state;
	fails(HTTPD_CLOSE, 0, 0);
	fails(HTTPD_RESET, 0, 0);
}

static void test_stall(void **state)
{
	(void)state;
	fails(HTTPD_STALL, 1000, 0);
	fails(HTTPD_STALL, 0, 300);
}

static void test_refused(void **state)
{
	struct httpd *server = httpd_start(echo, NULL);
	struct http_client *c = new_client(0, 0);
	struct http_request req;

	(void)state;
	make(&req, "GET", server, "/");
	httpd_stop(server);
	perform(c, &req);
	assert_int_equal(req.status, 0);
	assert_int_equal(req.failure.kind, ERROR_NETWORK);
	http_request_release(&req);
	http_client_free(c);
}

static void test_redirect(void **state)
{
	struct httpd *server = httpd_start(redirect, NULL);
	struct http_client *c = new_client(0, 0);
	struct http_request req;

	(void)state;
	make(&req, "GET", server, "/");
	perform(c, &req);
	assert_int_equal(req.status, 307);
	http_request_release(&req);
	http_client_free(c);
	httpd_stop(server);
}

static void test_too_large(void **state)
{
	struct httpd *server = httpd_start(echo, NULL);
	struct http_client *c = new_client(0, 0);
	struct http_request req;

	(void)state;
	make(&req, "GET", server, "/");
	req.max_answer = 10;
	perform(c, &req);
	assert_int_equal(req.status, 0);
	assert_int_not_equal(req.failure.kind, ERROR_NONE);
	http_request_release(&req);
	http_client_free(c);
	httpd_stop(server);
}

static void test_urls(void **state)
{
	static const char *const refused[] = {"http://example.com/", "http://127.0.0.1@example.com/",
		"http://127.0.0.1.example.com/", "ftp://127.0.0.1/", "file:///etc/passwd", "",
		"http://127.0.0.1:99999/", "https://user:hush@example.com/", "ftp://user:hush@example.com/",
		"http://user:hush@example.com/"};
	struct http_client *c = new_client(0, 0);
	struct http_request req;
	struct error err = ERROR_INIT;

	(void)state;
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		assert_int_equal(http_request_init(&req, "GET", refused[i], NULL), 0);
		assert_int_equal(http_start(c, &req, &err), -1);
		assert_int_equal(err.kind, ERROR_USAGE);
		assert_null(strstr(err.text, "hush"));
		http_request_release(&req);
	}
	assert_true(http_url_is_loopback("http://localhost:80/x"));
	assert_true(http_url_is_loopback("http://[::1]:80/x"));
	assert_true(http_url_is_loopback("http://127.9.0.1"));
	assert_false(http_url_is_loopback("http://128.0.0.1"));
	assert_int_equal(http_request_init(&req, "GET", "http://localhost/", NULL), 0);
	assert_int_equal(http_add_header(&req, "X", "a\r\nInjected: b", NULL), -1);
	http_request_release(&req);
	http_client_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_methods),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_stall),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_redirect),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_urls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
