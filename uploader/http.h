/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP by libcurl's multi interface: one event loop, many keep-alive connections, every request
 * with connect, stall and whole-attempt timeouts. It knows nothing of AWS. One thread uses a
 * client. Proxies are values: libcurl's own reading of the environment is switched off. This
 * machine's loopback is never reached through a proxy.
 */
#ifndef AMIWRIGHT_UPLOADER_HTTP_H
#define AMIWRIGHT_UPLOADER_HTTP_H

#include "base/buf.h"
#include "base/cleanup.h"

#include <stdbool.h>
#include <stdint.h>

struct http_client;

struct http_opts {
	unsigned max_connections; /* 0: 64 */
	unsigned connect_ms;      /* 0: 5000 */
	unsigned stall_ms;        /* no byte moved for so long; 0: 12000 */
	unsigned attempt_ms;      /* whole request; 0: 120000 */
	const char *ca_bundle;    /* NULL: the system's */
	const char *user_agent;
	bool allow_plain_http;    /* http:// to hosts that are not loopback */
	bool direct;              /* never through a proxy */
	const char *proxy_http, *proxy_https; /* by the scheme of the address; NULL: none */
	const char *no_proxy;     /* hosts that are reached without: "host,.domain,10.0.0.0/8,*" */
};

struct http_header {
	char *name, *value; /* owned by the request or answer */
};

/*
 * A request and its answer in one object: filled by the caller, run by the client, read by the
 * caller.
 */
struct http_request {
	/* Request; set by http_request_init() and http_add_header(). */
	char method[8];
	char *url;                  /* owned */
	struct http_header *headers; /* owned */
	size_t nr_headers;
	const void *body;           /* borrowed until done; NULL: none */
	size_t body_len;
	size_t max_answer;          /* ceiling of the answer body in bytes; 0: 4 MiB */
	unsigned stall_ms, attempt_ms; /* instead of the client's; 0: those */
	bool fresh_connection;      /* never sent a second time by the library over a dead kept one */
	void (*done)(struct http_request *req, void *arg); /* called from http_run(); may start others */
	void *arg;

	/* Answer; valid in done() and after. */
	int status;                 /* 0 when no whole answer came: then `failure` says why */
	struct error failure;
	struct http_header *answer_headers; /* owned */
	size_t nr_answer_headers;
	struct buf answer;          /* body */
	uint64_t sent_ms;           /* monotonic, when it was handed to curl */
	uint64_t elapsed_ms;

	/* private to http.c */
	void *handle;
	struct http_client *client;
};

/* Whether a URL's host is this machine itself. */
bool http_url_is_loopback(const char *url);
/* Whether a port, if the URL (or "host:port") names one, is a number from 1 to 65535. */
bool http_url_port_ok(const char *url);
/*
 * A URL, malformed ones too, for a message: what stands before an '@' (a user's name and password),
 * the query and the fragment are "***". Cut when it is long. Returns out.
 */
enum { HTTP_SHOWN_SIZE = 256 };
const char *http_url_shown(char out[HTTP_SHOWN_SIZE], const char *url);

/* opts is read by this call only. Fails only for want of memory. */
struct http_client *http_client_new(const struct http_opts *opts, struct error *err) MUST_CHECK;
/* Cancels what is running: their done() is not called. NULL is fine. */
void http_client_free(struct http_client *c);

/* method and url are copied. Release with http_request_release(), which may be called in done(). */
int http_request_init(struct http_request *req, const char *method, const char *url,
	struct error *err) MUST_CHECK;
void http_request_release(struct http_request *req); /* wipes the headers: tokens stand there */
/* Replaces a header of that name (any case). */
int http_add_header(struct http_request *req, const char *name, const char *value,
	struct error *err) MUST_CHECK;
/* Takes a header of that name out, if there is one. */
void http_drop_header(struct http_request *req, const char *name);
/* Drops the answer so that the request can be sent again. Headers of the request stay. */
void http_request_reset(struct http_request *req);
/* An answer's header by name (any case), or NULL. */
const char *http_answer_header(const struct http_request *req, const char *name);

/* Hands the request to the event loop; req must stay where it is until done(). */
int http_start(struct http_client *c, struct http_request *req, struct error *err) MUST_CHECK;
/* Takes one that is running out of the loop; done() is not called. */
void http_cancel(struct http_client *c, struct http_request *req);
unsigned http_running(const struct http_client *c);
/*
 * Runs the loop once: waits at most timeout_ms for something to happen (or until extra_fd, if >= 0,
 * is readable), moves bytes, calls done() of what ended.
 */
int http_run(struct http_client *c, unsigned timeout_ms, int extra_fd, struct error *err)
	MUST_CHECK;

#endif
