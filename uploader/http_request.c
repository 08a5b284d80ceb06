/* SPDX-License-Identifier: Apache-2.0 */
/* Requests as objects: their headers and those of their answers. Values are wiped, tokens are among them. */
#include "uploader/http_internal.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/num.h"

void http_wipe(char *text)
{
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
}

void http_drop_answer_headers(struct http_request *req)
{
	for (size_t i = 0; i < req->nr_answer_headers; i++) {
		free(req->answer_headers[i].name);
		free(req->answer_headers[i].value);
	}
	free(req->answer_headers);
	req->answer_headers = NULL;
	req->nr_answer_headers = 0;
}

int http_push_header(struct http_header **list, size_t *nr, const char *name, size_t name_len,
	const char *value, size_t value_len, struct error *err)
{
	struct http_header *h;

	/* Grows at powers of two: 0, 1, 2, 4, 8 … */
	if ((*nr & (*nr - 1)) == 0) {
		h = realloc(*list, MAX(*nr * 2, 4) * sizeof(*h));
		if (!h)
			return error_nomem(err, "HTTP headers");
		*list = h;
	}
	h = &(*list)[*nr];
	h->name = strndup(name, name_len);
	h->value = strndup(value, value_len);
	if (!h->name || !h->value) {
		free(h->name);
		free(h->value);
		return error_nomem(err, "HTTP header");
	}
	(*nr)++;
	return 0;
}

int http_request_init(struct http_request *req, const char *method, const char *url,
	struct error *err)
{
	memset(req, 0, sizeof(*req));
	if (strlen(method) >= sizeof(req->method))
		return error_set(err, ERROR_BUG, 0, "HTTP method '%s' is too long", method);
	memcpy(req->method, method, strlen(method) + 1);
	req->url = strdup(url);
	if (!req->url)
		return error_nomem(err, "URL");
	return 0;
}

void http_request_reset(struct http_request *req)
{
	http_drop_answer_headers(req);
	buf_clear(&req->answer);
	req->status = 0;
	error_clear(&req->failure);
}

void http_request_release(struct http_request *req)
{
	http_request_reset(req);
	buf_release(&req->answer);
	for (size_t i = 0; i < req->nr_headers; i++) {
		free(req->headers[i].name);
		http_wipe(req->headers[i].value);
	}
	free(req->headers);
	free(req->url);
	req->headers = NULL;
	req->nr_headers = 0;
	req->url = NULL;
}

int http_add_header(struct http_request *req, const char *name, const char *value,
	struct error *err)
{
	if (strpbrk(name, ":\r\n") || strpbrk(value, "\r\n"))
		return error_set(err, ERROR_INPUT, 0, "header '%s' contains a line break", name);
	for (size_t i = 0; i < req->nr_headers; i++) {
		char *copy;

		if (strcasecmp(req->headers[i].name, name) != 0)
			continue;
		copy = strdup(value);
		if (!copy)
			return error_nomem(err, "HTTP header");
		http_wipe(req->headers[i].value);
		req->headers[i].value = copy;
		return 0;
	}
	return http_push_header(&req->headers, &req->nr_headers, name, strlen(name), value, strlen(value),
		err);
}

void http_drop_header(struct http_request *req, const char *name)
{
	for (size_t i = 0; i < req->nr_headers; i++) {
		if (strcasecmp(req->headers[i].name, name) != 0)
			continue;
		free(req->headers[i].name);
		http_wipe(req->headers[i].value);
		req->nr_headers--;
		memmove(&req->headers[i], &req->headers[i + 1],
			(req->nr_headers - i) * sizeof(*req->headers));
		return;
	}
}

const char *http_answer_header(const struct http_request *req, const char *name)
{
	for (size_t i = 0; i < req->nr_answer_headers; i++) {
		if (strcasecmp(req->answer_headers[i].name, name) == 0)
			return req->answer_headers[i].value;
	}
	return NULL;
}
