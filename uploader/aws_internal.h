/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside aws*.c: the client, what an error answer says, endpoints, attempts, and the signing of a call.
 */
#ifndef AMIWRIGHT_UPLOADER_AWS_INTERNAL_H
#define AMIWRIGHT_UPLOADER_AWS_INTERNAL_H

#include "base/hash.h"
#include "uploader/aws.h"
#include "uploader/retry.h"

/* An error answer, cut to these sizes; fields that it lacks are "". */
struct aws_answer {
	char code[ERROR_CODE_SIZE], reason[64], message[512], request_id[80];
};

/* Never fails: what cannot be understood is left empty. */
void aws_answer_read(enum aws_service service, const struct http_request *http,
	struct aws_answer *out);
/* Seconds since 1970 from the answer's Date header; false when it has none that can be read. */
bool aws_answer_date(const struct http_request *http, int64_t *seconds);

/*
 * Where a service is: "https://ebs.us-east-1.amazonaws.com", its authority for Host, and its path
 * prefix.
 */
struct aws_endpoint {
	char *base;      /* scheme and authority; owned */
	char *authority; /* without the scheme's default port; owned */
	char *prefix;    /* "" or "/path"; owned */
	bool loopback;
	bool conflict;   /* given, and one of AWS's own of a certain kind is wanted */
	bool own;        /* AWS's own */
};

/* Which of AWS's own endpoints: bits. */
enum { AWS_ENDPOINT_FIPS = 1, AWS_ENDPOINT_DUALSTACK = 2 };

/*
 * url: as the user gave it, or NULL for AWS's own of that kind. ERROR_USAGE when it is malformed, or
 * when there is none of that kind.
 */
int aws_endpoint_init(struct aws_endpoint *e, enum aws_service service, const char *region,
	const char *url, unsigned kind, struct error *err) MUST_CHECK;
void aws_endpoint_release(struct aws_endpoint *e);

/* Keys derived for one day, by service, from credentials of one generation. */
struct aws_keys {
	uint8_t key[AWS_SERVICES][SHA256_SIZE];
	char date[AWS_SERVICES][9];
	unsigned generation;
};

struct aws {
	char *region;
	struct aws_endpoint endpoint[AWS_SERVICES];
	struct aws_provider *provider;  /* borrowed, or `own` */
	struct aws_provider *own;
	struct aws_keys keys;
	struct aws_clock clock;
	struct http_client *http;
	unsigned max_attempts, budget_ms;
	bool (*cancelled)(void);
	bool hurry, s3_hosts;
	int64_t skew_s; /* server's clock minus ours, 0 until one is measured that matters */
	struct aws_call *waiting; /* for their next attempt */
	unsigned running;
	uint64_t retries, throttled;
};

enum { AWS_CREDS_POLL_MS = 10 }; /* between looks whether new credentials have come */

/* Of the client's clock that only goes forward. */
uint64_t aws_now_ms(const struct aws *a);

/*
 * Signs and sends, or has the call wait until there are credentials. Its end is aws_call_finish(),
 * by itself; -1 when the attempt cannot be made.
 */
int aws_attempt(struct aws *a, struct aws_call *call, struct error *err) MUST_CHECK;
/* Not under way any more: done() is called. */
void aws_call_finish(struct aws *a, struct aws_call *call);
/* Keys derived from credentials that were replaced are of no use: forgets those of another generation. */
void aws_use_generation(struct aws *a, unsigned generation);

struct aws_signer {
	const char *region;
	const struct aws_creds *creds;
	struct aws_keys *keys;
	const struct aws_endpoint *endpoint;
	int64_t now; /* seconds since 1970, corrected */
};

/* Where aws_account() keeps the answer, "" before; NULL without credentials. */
char *aws_account_slot(struct aws *a);

/* Sets host, date, token and Authorization headers; what was there is replaced. */
int aws_sign(const struct aws_signer *s, struct aws_call *call, struct error *err) MUST_CHECK;
/* See aws_presign(). */
int aws_sign_url(const struct aws_signer *s, enum aws_service service, const char *query,
	unsigned expires_s, struct buf *url, struct error *err) MUST_CHECK;

#endif
