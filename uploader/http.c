/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP over libcurl's multi interface. A slot is one easy handle with the options that never
 * change; slots are reused, so connections, TLS sessions and upload buffers stay warm. Bodies are
 * handed to libcurl whole: that was measured to cost a quarter less CPU than a read callback.
 *
 * What a server says is bounded: body by max_answer, headers by MAX_HEADER_BYTES, time by three
 * timeouts; redirects are never followed.
 */
#include "uploader/http_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <curl/curl.h>

#include "base/num.h"

enum {
	MAX_HEADER_BYTES = 64 * 1024,
	DEFAULT_MAX_ANSWER = 4 * 1024 * 1024,
	/* Larger ones no longer save CPU, and each easy handle has its own. */
	UPLOAD_BUFFER = 128 * 1024,
};

struct slot {
	CURL *easy;
	struct curl_slist *headers;
	struct http_request *req; /* NULL while free */
	size_t header_bytes;
	char text[CURL_ERROR_SIZE];
	struct slot *next, *prev; /* in the list of running or free ones */
};

struct http_client {
	CURLM *multi;
	struct http_opts opts;
	char *ca_bundle, *user_agent, *proxy_http, *proxy_https, *no_proxy;
	struct slot *running, *spare;
	unsigned nr_running;
};

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void list_add(struct slot **list, struct slot *s)
{
	s->prev = NULL;
	s->next = *list;
	if (*list)
		(*list)->prev = s;
	*list = s;
}

static void list_remove(struct slot **list, struct slot *s)
{
	if (s->prev)
		s->prev->next = s->next;
	else
		*list = s->next;
	if (s->next)
		s->next->prev = s->prev;
}

static size_t on_body(char *data, size_t size, size_t nr, void *arg)
{
	struct slot *s = arg;
	struct error err = ERROR_INIT;

	if (buf_add(&s->req->answer, data, size * nr, &err) == 0)
		return size * nr;
	s->req->failure = err;
	return 0;
}

static size_t on_header(char *data, size_t size, size_t nr, void *arg)
{
	struct slot *s = arg;
	struct http_request *req = s->req;
	size_t len = size * nr, end = len;
	const char *colon = memchr(data, ':', len), *value;

	s->header_bytes += len;
	if (s->header_bytes > MAX_HEADER_BYTES) {
		error_set(&req->failure, ERROR_NETWORK, 0, "the answer's headers are over %d bytes",
			MAX_HEADER_BYTES);
		return 0;
	}
	/* An answer begins; what an interim one (100) said does not count. */
	if (len >= 5 && memcmp(data, "HTTP/", 5) == 0) {
		http_drop_answer_headers(req);
		return len;
	}
	if (!colon)
		return len;
	value = colon + 1;
	while (value < data + end && (*value == ' ' || *value == '\t'))
		value++;
	while (data + end > value && strchr(" \t\r\n", data[end - 1]))
		end--;
	if (http_push_header(&req->answer_headers, &req->nr_answer_headers, data, (size_t)(colon - data),
		    value, (size_t)(data + end - value), &req->failure) < 0)
		return 0;
	return len;
}

static void slot_free(struct slot *s)
{
	curl_easy_cleanup(s->easy);
	curl_slist_free_all(s->headers);
	free(s);
}

/* Options that are the same for every request. */
static void slot_setup(const struct http_client *c, struct slot *s)
{
	const struct http_opts *o = &c->opts;
	CURL *e = s->easy;

	curl_easy_setopt(e, CURLOPT_PRIVATE, s);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, s->text);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, s);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, s);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_NOPROGRESS, 1L);
	curl_easy_setopt(e, CURLOPT_TCP_NODELAY, 1L);
	curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	/* A key of S3 may have "." and ".." in it, and a signature is over the path as it is. */
	curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(e, CURLOPT_UPLOAD_BUFFERSIZE, (long)UPLOAD_BUFFER);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)o->connect_ms);
	curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, 1L);
	if (c->ca_bundle)
		curl_easy_setopt(e, CURLOPT_CAINFO, c->ca_bundle);
	if (c->user_agent)
		curl_easy_setopt(e, CURLOPT_USERAGENT, c->user_agent);
	/* Empty is not the same as none: then libcurl would ask the environment. */
	curl_easy_setopt(e, CURLOPT_NOPROXY, c->no_proxy ? c->no_proxy : "");
}

static struct slot *slot_get(struct http_client *c, struct error *err)
{
	struct slot *s = c->spare;

	if (s) {
		list_remove(&c->spare, s);
		return s;
	}
	s = calloc(1, sizeof(*s));
	if (s)
		s->easy = curl_easy_init();
	if (!s || !s->easy) {
		free(s);
		return error_null(err, ERROR_NOMEM, 0, "out of memory for an HTTP request");
	}
	slot_setup(c, s);
	return s;
}

/* The lines hold tokens; libcurl only frees them. */
static void drop_lines(struct slot *s)
{
	for (struct curl_slist *l = s->headers; l; l = l->next)
		explicit_bzero(l->data, strlen(l->data));
	curl_slist_free_all(s->headers);
	s->headers = NULL;
}

/* Out of the loop and back among the spare ones. */
static void slot_put(struct http_client *c, struct slot *s)
{
	curl_multi_remove_handle(c->multi, s->easy);
	drop_lines(s);
	s->req->handle = NULL;
	s->req = NULL;
	list_remove(&c->running, s);
	c->nr_running--;
	list_add(&c->spare, s);
}

static int copy_texts(struct http_client *c, const struct http_opts *opts)
{
	const struct {
		const char *from;
		char **to;
	} texts[] = {{opts->ca_bundle, &c->ca_bundle}, {opts->user_agent, &c->user_agent},
		{opts->proxy_http, &c->proxy_http}, {opts->proxy_https, &c->proxy_https},
		{opts->no_proxy, &c->no_proxy}};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		if (!texts[i].from)
			continue;
		*texts[i].to = strdup(texts[i].from);
		if (!*texts[i].to)
			return -1;
	}
	return 0;
}

struct http_client *http_client_new(const struct http_opts *opts, struct error *err)
{
	struct http_client *c = calloc(1, sizeof(*c));

	if (!c || curl_global_init(CURL_GLOBAL_DEFAULT) != 0) {
		free(c);
		return error_null(err, ERROR_NOMEM, 0, "out of memory for the HTTP client");
	}
	c->opts = *opts;
	c->opts.max_connections = opts->max_connections ? opts->max_connections : 64;
	c->opts.connect_ms = opts->connect_ms ? opts->connect_ms : 5000;
	c->opts.stall_ms = opts->stall_ms ? opts->stall_ms : 12000;
	c->opts.attempt_ms = opts->attempt_ms ? opts->attempt_ms : 120000;
	c->multi = curl_multi_init();
	if (!c->multi || copy_texts(c, opts) < 0) {
		http_client_free(c);
		return error_null(err, ERROR_NOMEM, 0, "out of memory for the HTTP client");
	}
	curl_multi_setopt(c->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)c->opts.max_connections);
	curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)c->opts.max_connections);
	curl_multi_setopt(c->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
	return c;
}

void http_client_free(struct http_client *c)
{
	struct slot *s;

	if (!c)
		return;
	while (c->running)
		slot_put(c, c->running);
	while ((s = c->spare) != NULL) {
		list_remove(&c->spare, s);
		slot_free(s);
	}
	if (c->multi)
		curl_multi_cleanup(c->multi);
	curl_global_cleanup();
	free(c->ca_bundle);
	free(c->user_agent);
	http_wipe(c->proxy_http);
	http_wipe(c->proxy_https);
	free(c->no_proxy);
	free(c);
}

static int add_line(struct slot *s, const char *line, struct error *err)
{
	struct curl_slist *list = curl_slist_append(s->headers, line);

	if (!list)
		return error_nomem(err, "HTTP headers");
	s->headers = list;
	return 0;
}

/* libcurl would add these two of its own for a request with a body. */
static int build_headers(struct slot *s, const struct http_request *req, struct error *err)
{
	CLEANUP_BUF struct buf line = BUF_INIT(0);
	bool typed = false;

	for (size_t i = 0; i < req->nr_headers; i++) {
		const struct http_header *h = &req->headers[i];

		typed |= strcasecmp(h->name, "Content-Type") == 0;
		buf_clear(&line);
		/* "Name;" is libcurl's spelling of a header without value. */
		if (buf_addf(&line, err, h->value[0] ? "%s: %s" : "%s;", h->name, h->value) < 0 ||
		    add_line(s, buf_str(&line), err) < 0)
			return -1;
	}
	if (!typed && add_line(s, "Content-Type:", err) < 0)
		return -1;
	return add_line(s, "Expect:", err);
}

static void set_body(CURL *e, const struct http_request *req)
{
	if (strcmp(req->method, "GET") == 0 && !req->body) {
		curl_easy_setopt(e, CURLOPT_HTTPGET, 1L);
		curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, NULL);
		return;
	}
	/* Else the body that a HEAD's headers speak of would be waited for. */
	if (strcmp(req->method, "HEAD") == 0) {
		curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
		curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, NULL);
		return;
	}
	curl_easy_setopt(e, CURLOPT_POST, 1L);
	curl_easy_setopt(e, CURLOPT_POSTFIELDS, req->body ? req->body : "");
	curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)(req->body ? req->body_len : 0));
	curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, req->method);
}

/* A proxy cannot reach this machine's own loopback. "" is none: NULL would ask the environment. */
static const char *proxy_of(const struct http_client *c, const char *url)
{
	const char *proxy = strncmp(url, "https://", 8) == 0 ? c->proxy_https : c->proxy_http;

	return proxy && !c->opts.direct && !http_url_is_loopback(url) ? proxy : "";
}

static int check_proxy(const char *proxy, struct error *err)
{
	char shown[HTTP_SHOWN_SIZE];

	if (http_url_port_ok(proxy))
		return 0;
	return error_set(err, ERROR_USAGE, 0,
		"the proxy '%s' has a port that is not a number from 1 to 65535",
		http_url_shown(shown, proxy));
}

int http_start(struct http_client *c, struct http_request *req, struct error *err)
{
	struct slot *s;

	if (http_url_check(req->url, c->opts.allow_plain_http, err) < 0 || check_proxy(proxy_of(c, req->url), err) < 0)
		return -1;
	s = slot_get(c, err);
	if (!s)
		return -1;
	s->req = req;
	s->header_bytes = 0;
	s->text[0] = '\0';
	list_add(&c->running, s);
	c->nr_running++;
	req->handle = s;
	req->client = c;
	http_request_reset(req);
	req->answer.max = req->max_answer ? req->max_answer : DEFAULT_MAX_ANSWER;
	req->sent_ms = now_ms();
	if (build_headers(s, req, err) < 0) {
		slot_put(c, s);
		return -1;
	}
	curl_easy_setopt(s->easy, CURLOPT_URL, req->url);
	curl_easy_setopt(s->easy, CURLOPT_HTTPHEADER, s->headers);
	curl_easy_setopt(s->easy, CURLOPT_FRESH_CONNECT, req->fresh_connection ? 1L : 0L);
	curl_easy_setopt(s->easy, CURLOPT_PROXY, proxy_of(c, req->url));
	curl_easy_setopt(s->easy, CURLOPT_TIMEOUT_MS, (long)(req->attempt_ms ? req->attempt_ms : c->opts.attempt_ms));
	/* libcurl counts whole seconds here. */
	curl_easy_setopt(s->easy, CURLOPT_LOW_SPEED_TIME,
		(long)(((req->stall_ms ? req->stall_ms : c->opts.stall_ms) + 999) / 1000));
	set_body(s->easy, req);
	if (curl_multi_add_handle(c->multi, s->easy) != CURLM_OK) {
		slot_put(c, s);
		return error_set(err, ERROR_NOMEM, 0, "cannot start an HTTP request");
	}
	return 0;
}

void http_cancel(struct http_client *c, struct http_request *req)
{
	if (req->handle)
		slot_put(c, req->handle);
}

unsigned http_running(const struct http_client *c)
{
	return c->nr_running;
}

/* Scheme and authority of a URL, for messages. */
static int origin_len(const char *url)
{
	const char *host = strstr(url, "://");

	return (int)(host ? host + 3 + strcspn(host + 3, "/?#") - url : (long)strlen(url));
}

static void finish(struct http_client *c, struct slot *s, CURLcode code)
{
	struct http_request *req = s->req;
	long status = 0;

	curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status);
	req->elapsed_ms = now_ms() - req->sent_ms;
	if (code == CURLE_OK) {
		req->status = (int)status;
	} else if (req->failure.kind == ERROR_NONE) {
		/* A malformed address does not get better by trying again. */
		error_set(&req->failure, code == CURLE_URL_MALFORMAT ? ERROR_USAGE : ERROR_NETWORK, 0,
			"no whole answer from '%.*s': %s", origin_len(req->url), req->url,
			s->text[0] ? s->text : curl_easy_strerror(code));
	}
	slot_put(c, s);
	if (req->done)
		req->done(req, req->arg);
}

int http_run(struct http_client *c, unsigned timeout_ms, int extra_fd, struct error *err)
{
	struct curl_waitfd extra = {.fd = extra_fd, .events = CURL_WAIT_POLLIN};
	CURLMcode code;
	CURLMsg *msg;
	int left;

	code = curl_multi_poll(c->multi, &extra, extra_fd >= 0, (int)timeout_ms, NULL);
	if (code == CURLM_OK)
		code = curl_multi_perform(c->multi, &left);
	if (code != CURLM_OK)
		return error_set(err, code == CURLM_OUT_OF_MEMORY ? ERROR_NOMEM : ERROR_NETWORK, 0,
			"HTTP event loop: %s", curl_multi_strerror(code));
	while ((msg = curl_multi_info_read(c->multi, &left)) != NULL) {
		char *slot = NULL;

		if (msg->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &slot);
		finish(c, (struct slot *)(void *)slot, msg->data.result);
	}
	return 0;
}
