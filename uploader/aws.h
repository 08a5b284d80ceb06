/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An AWS client: who calls (credentials), where (region, endpoints), and the one retry layer. A
 * call is an http_request with a service name; aws_start() signs and sends it, retries what may be
 * retried with full-jitter backoff, corrects a skewed clock from the answers' Date header, has
 * expired credentials renewed, and calls done() once at the end.
 *
 * Clock and randomness are values. One thread uses a client.
 */
#ifndef AMIWRIGHT_UPLOADER_AWS_H
#define AMIWRIGHT_UPLOADER_AWS_H

#include "base/hash.h"
#include "base/xmldoc.h"
#include "uploader/aws_service.h"
#include "uploader/aws_provider.h"
#include "uploader/creds.h"
#include "uploader/http.h"

#include <stdbool.h>
#include <stdint.h>

struct aws_opts {
	const char *region;                 /* required */
	const char *endpoint[AWS_SERVICES]; /* NULL: AWS's own for the region */
	bool fips, dualstack;               /* of AWS's own: the FIPS ones, those with IPv6 */
	bool s3_hosts;                      /* a given S3 endpoint has a host name for each bucket */
	struct aws_provider *provider;      /* borrowed; NULL: creds */
	struct aws_creds creds;             /* without provider: used as they are; borrowed, copied */
	const struct aws_clock *clock;      /* required, borrowed */
	struct http_opts http;
	unsigned max_attempts;              /* of one call, the first counted; 0: 8 */
	/* No further attempt after so long, or twice what one may take by its http.attempt_ms; 0: 300000. */
	unsigned retry_budget_ms;
	bool (*cancelled)(void);            /* asked in every loop: ctrl-C; may be NULL */
};

struct aws;

/* ERROR_USAGE for a malformed region or endpoint; ERROR_USAGE of calls when there are no credentials. */
struct aws *aws_new(const struct aws_opts *opts, struct error *err) MUST_CHECK;
void aws_free(struct aws *a);
DEFINE_CLEANUP(aws, struct aws, aws_free)

/* The one it was made for. Borrowed. */
const char *aws_region(const struct aws *a);
/*
 * The 12-digit account that the credentials belong to, by STS GetCallerIdentity; asked at the first
 * call and remembered.
 */
int aws_account(struct aws *a, char account[AWS_ACCOUNT_SIZE], struct error *err) MUST_CHECK;
/* Whether the service's endpoint is on this machine: then AWS's quotas do not hold. */
bool aws_is_loopback(const struct aws *a, enum aws_service service);
const struct aws_clock *aws_clock(const struct aws *a);
unsigned aws_retry_budget_ms(const struct aws *a);
/*
 * For cleaning up after a failure or an interruption: while on, cancelled() is not asked and a call
 * has three attempts within ten seconds.
 */
void aws_hurry(struct aws *a, bool on);

struct aws_call {
	/* Set by the caller after aws_call_init(). */
	enum aws_service service;
	const char *operation;  /* "PutSnapshotBlock": for messages */
	char subject[64];       /* "snap-0123 block 17": for messages, may be empty */
	struct http_request http; /* url is set from path_query; add headers and body before aws_start() */
	bool unsigned_payload;  /* payload hash is UNSIGNED-PAYLOAD (and that header is sent) */
	bool fresh_snapshot;    /* a 404 SNAPSHOT_NOT_FOUND is retried for two minutes */
	bool anonymous;         /* sent without a signature */
	bool once;              /* an attempt whose fate is unknown (no answer, 5xx) is not repeated */
	char host_label[64];    /* before the endpoint's host: a bucket; "" for none */
	char payload_hash[SHA256_HEX_SIZE]; /* hex SHA-256 of the body when it is known; else "" */
	/*
	 * Looks at an answer that says 2xx: an attempt whose answer it refuses counts as one that met a
	 * passing trouble of the service, and is made again. May be NULL.
	 */
	int (*check)(const struct aws_call *call, struct error *err);
	void (*done)(struct aws_call *call, void *arg); /* once, at the end */
	void *arg;

	/* Result. */
	bool ok;                /* status 2xx */
	struct error error;     /* when !ok: operation, subject, attempts, code, message, request id */
	unsigned attempts;

	/* private to aws*.c */
	struct aws *aws;
	uint64_t first_ms, due_ms; /* monotonic */
	int64_t signed_s;       /* the time in the last signature */
	unsigned generation;    /* of the credentials in it */
	bool skew_tried, started, waiting;
	struct aws_call *next;
};

/* path_query as on the request line: "/snapshots/snap-1/blocks/3?x=y". */
int aws_call_init(struct aws *a, struct aws_call *call, enum aws_service service, const char *method,
	const char *path_query, const char *operation, struct error *err) MUST_CHECK;
/*
 * The same for S3: path_query begins behind the bucket ("/key", "/?location"). AWS's own endpoints are
 * asked as bucket.host, given ones by path, unless s3_hosts says otherwise; a bucket with a dot always by path
 * (no certificate is for it). With whole_path by path in any case.
 */
int aws_call_init_bucket(struct aws *a, struct aws_call *call, const char *method, const char *bucket,
	const char *path_query, bool whole_path, const char *operation, struct error *err) MUST_CHECK;
void aws_call_release(struct aws_call *call);

/* Signs and sends. -1 with the reason when it cannot be begun: then done() is not called. */
int aws_start(struct aws *a, struct aws_call *call, struct error *err) MUST_CHECK;
/* Takes a started one back; done() is not called. */
void aws_cancel(struct aws *a, struct aws_call *call);
/* Calls started and not done, waiting for a retry counted. */
unsigned aws_running(const struct aws *a);
/* Runs the event loop once; see http_run(). ERROR_INTERRUPTED when cancelled() says so. */
int aws_run(struct aws *a, unsigned timeout_ms, int extra_fd, struct error *err) MUST_CHECK;
/* aws_start() and aws_run() until this call is done; -1 with its error when it failed. */
int aws_perform(struct aws *a, struct aws_call *call, struct error *err) MUST_CHECK;
/* Sleeps while running the loop; ERROR_INTERRUPTED when cancelled. */
int aws_sleep(struct aws *a, unsigned ms, struct error *err) MUST_CHECK;
/*
 * A URL that does a GET of the service's root with that query (encoded, without '?') for whoever has
 * it, for so long; nothing is sent. Appended to url.
 */
int aws_presign(struct aws *a, enum aws_service service, const char *query, unsigned expires_s,
	struct buf *url, struct error *err) MUST_CHECK;
/* The document that an answer is; ERROR_SERVICE when it is not well-formed XML. text need not stay. */
struct xmldoc *aws_answer_xml(const char *text, size_t len, struct error *err) MUST_CHECK;
/* How often calls were sent again, and how often because of throttling. */
void aws_retry_counts(const struct aws *a, uint64_t *retries, uint64_t *throttled);

#endif
