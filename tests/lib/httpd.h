/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small HTTP server for unit tests that does what a test tells it, misbehaving included: each
 * request is given to the test's function, which says what comes back and how the connection is
 * treated.
 */
#ifndef AMIWRIGHT_TESTS_HTTPD_H
#define AMIWRIGHT_TESTS_HTTPD_H

#include <stdbool.h>
#include <stddef.h>

struct httpd;

struct httpd_request {
	const char *line;    /* "PUT /x HTTP/1.1" */
	const char *headers; /* all header lines as they came */
	const char *body;
	size_t body_len;
	unsigned number;     /* requests of this server so far, this one included; counts from 1 */
};

enum httpd_act {
	HTTPD_SEND,  /* the text, keep the connection */
	HTTPD_CLOSE, /* the text (may be "" or cut short), then close */
	HTTPD_RESET, /* the text, then a TCP reset */
	HTTPD_STALL, /* the text, then silence until the server is stopped */
};

/*
 * Fills reply (status line, headers, empty line, body; at most size bytes) and says how to go on.
 */
typedef enum httpd_act (*httpd_fn)(void *arg, const struct httpd_request *req, char *reply,
	size_t size, size_t *len);

/*
 * Listens on loopback in threads of its own. NULL when it cannot. fn may run in several threads at
 * once.
 */
struct httpd *httpd_start(httpd_fn fn, void *arg);
void httpd_stop(struct httpd *h);
/* "http://127.0.0.1:PORT" */
const char *httpd_url(const struct httpd *h);
unsigned httpd_connections(struct httpd *h);

/* Puts an answer together: extra holds whole header lines or "". */
size_t httpd_answer(char *reply, size_t size, const char *status, const char *extra,
	const char *body);
/* Whether the request has that header with that value (name in any case). */
bool httpd_has(const struct httpd_request *req, const char *name, const char *value);

#endif
