/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The AWS client: every call goes through here, so signing, retrying and the correction of a wrong
 * clock exist once. A call is either in the HTTP client's hands or in the list of those that wait
 * for their next attempt; done() is called exactly once, when neither holds any more.
 */
#include "uploader/aws.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/num.h"
#include "uploader/aws_internal.h"

enum {
	DEFAULT_ATTEMPTS = 8,
	DEFAULT_BUDGET_MS = 300000,
	HURRY_ATTEMPTS = 3,
	HURRY_BUDGET_MS = 10000,
	FRESH_MS = 120000, /* how long a new snapshot may stay unknown */
	SKEW_S = 240,      /* below that no service refuses a signature for its time */
	CANCEL_POLL_MS = 100,
	CREDS_POLL_MS = 10,
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
	struct aws_call *waiting;
	unsigned running;
	uint64_t retries, throttled;
};

static uint64_t now_ms(const struct aws *a)
{
	return a->clock.monotonic_ms(a->clock.arg);
}

static int init_provider(struct aws *a, const struct aws_opts *opts, struct error *err)
{
	a->provider = opts->provider;
	if (a->provider || !opts->creds.access_key || !opts->creds.secret_key)
		return 0;
	a->own = aws_provider_fixed(&opts->creds, err);
	a->provider = a->own;
	return a->own ? 0 : -1;
}

static int init_endpoints(struct aws *a, const struct aws_opts *opts, struct error *err)
{
	unsigned kind = (opts->fips ? AWS_ENDPOINT_FIPS : 0) |
			(opts->dualstack ? AWS_ENDPOINT_DUALSTACK : 0);

	for (int i = 0; i < AWS_SERVICES; i++) {
		if (aws_endpoint_init(&a->endpoint[i], (enum aws_service)i, opts->region,
			    opts->endpoint[i], kind, err) < 0)
			return -1;
	}
	return 0;
}

struct aws *aws_new(const struct aws_opts *opts, struct error *err)
{
	struct aws *a = calloc(1, sizeof(*a));

	if (!a)
		return error_null(err, ERROR_NOMEM, 0, "out of memory for the AWS client");
	a->clock = *opts->clock;
	a->cancelled = opts->cancelled;
	a->s3_hosts = opts->s3_hosts;
	a->max_attempts = opts->max_attempts ? opts->max_attempts : DEFAULT_ATTEMPTS;
	a->budget_ms = opts->retry_budget_ms ? opts->retry_budget_ms : DEFAULT_BUDGET_MS;
	if (init_endpoints(a, opts, err) < 0 || init_provider(a, opts, err) < 0)
		goto fail;
	a->region = strdup(opts->region);
	if (!a->region) {
		error_nomem(err, "region");
		goto fail;
	}
	a->http = http_client_new(&opts->http, err);
	if (!a->http)
		goto fail;
	return a;
fail:
	aws_free(a);
	return NULL;
}

void aws_free(struct aws *a)
{
	if (!a)
		return;
	http_client_free(a->http);
	aws_provider_free(a->own);
	explicit_bzero(&a->keys, sizeof(a->keys));
	for (int i = 0; i < AWS_SERVICES; i++)
		aws_endpoint_release(&a->endpoint[i]);
	free(a->region);
	free(a);
}

const char *aws_region(const struct aws *a)
{
	return a->region;
}

char *aws_account_slot(struct aws *a)
{
	return a->provider ? aws_provider_account(a->provider) : NULL;
}

bool aws_is_loopback(const struct aws *a, enum aws_service service)
{
	return a->endpoint[service].loopback;
}

const struct aws_clock *aws_clock(const struct aws *a)
{
	return &a->clock;
}

unsigned aws_retry_budget_ms(const struct aws *a)
{
	return a->budget_ms;
}

void aws_hurry(struct aws *a, bool on)
{
	a->hurry = on;
	if (a->provider)
		aws_provider_hurry(a->provider, on);
}

void aws_retry_counts(const struct aws *a, uint64_t *retries, uint64_t *throttled)
{
	*retries = a->retries;
	*throttled = a->throttled;
}

unsigned aws_running(const struct aws *a)
{
	return a->running;
}

/* As the SDKs have it: a given address is not known to be what was asked for. */
static int check_conflict(const struct aws_endpoint *e, const char *operation, struct error *err)
{
	if (!e->conflict)
		return 0;
	return error_set(err, ERROR_USAGE, 0,
		"FIPS or dual-stack endpoints are asked for (AWS_USE_FIPS_ENDPOINT, "
		"AWS_USE_DUALSTACK_ENDPOINT or the profile), and '%s' is given for %s: leave "
		"out one of them",
		e->base, operation);
}

/* url is taken. */
static int init_call(struct aws *a, struct aws_call *call, enum aws_service service,
	const char *method, char *url, const char *operation, struct error *err)
{
	int ret = url ? 0 : -1;

	memset(call, 0, sizeof(*call));
	if (!ret)
		ret = check_conflict(&a->endpoint[service], operation, err);
	call->aws = a;
	call->service = service;
	call->operation = operation;
	if (!ret)
		ret = http_request_init(&call->http, method, url, err);
	free(url);
	return ret;
}

int aws_call_init(struct aws *a, struct aws_call *call, enum aws_service service, const char *method,
	const char *path_query, const char *operation, struct error *err)
{
	const struct aws_endpoint *e = &a->endpoint[service];

	return init_call(a, call, service, method, buf_strf(err, "%s%s%s", e->base, e->prefix, path_query),
		operation, err);
}

int aws_call_init_bucket(struct aws *a, struct aws_call *call, const char *method, const char *bucket,
	const char *path_query, bool whole_path, const char *operation, struct error *err)
{
	const struct aws_endpoint *e = &a->endpoint[AWS_S3];
	const char *host = strstr(e->base, "://") + 3;
	bool by_host = (e->own || a->s3_hosts) && !whole_path && !strchr(bucket, '.');
	char *url = by_host ? buf_strf(err, "%.*s%s.%s%s%s", (int)(host - e->base), e->base, bucket, host,
				      e->prefix, path_query) :
			      buf_strf(err, "%s%s/%s%s", e->base, e->prefix, bucket, path_query);

	if (init_call(a, call, AWS_S3, method, url, operation, err) < 0)
		return -1;
	if (by_host)
		snprintf(call->host_label, sizeof(call->host_label), "%s", bucket);
	return 0;
}

void aws_call_release(struct aws_call *call)
{
	http_request_release(&call->http);
}

static void finish(struct aws *a, struct aws_call *call)
{
	call->started = false;
	a->running--;
	if (call->done)
		call->done(call, call->arg);
}

static void attempt_done(struct http_request *http, void *arg);

static void wait_until(struct aws *a, struct aws_call *call, uint64_t due_ms)
{
	call->due_ms = due_ms;
	call->waiting = true;
	call->next = a->waiting;
	a->waiting = call;
}

/* Keys derived from credentials that were replaced are of no use. */
static void use_generation(struct aws *a, unsigned generation)
{
	if (a->keys.generation != generation)
		explicit_bzero(&a->keys, sizeof(a->keys));
	a->keys.generation = generation;
}

static int sign(struct aws *a, struct aws_call *call, const struct aws_creds *creds,
	struct error *err)
{
	struct aws_signer signer = {
		.region = a->region,
		.creds = creds,
		.keys = &a->keys,
		.endpoint = &a->endpoint[call->service],
		.now = call->signed_s,
	};

	call->generation = aws_provider_generation(a->provider);
	use_generation(a, call->generation);
	return aws_sign(&signer, call, err);
}

/* Signs afresh and sends, as every attempt has its own time; or waits for new credentials. */
static int attempt(struct aws *a, struct aws_call *call, struct error *err)
{
	enum aws_provider_state state = AWS_PROVIDER_READY;
	const struct aws_creds *creds = NULL;

	if (!call->anonymous && !a->provider)
		return error_set(err, ERROR_USAGE, 0, "no AWS credentials for %s", call->operation);
	if (!call->anonymous)
		state = aws_provider_get(a->provider, &creds, err);
	if (state == AWS_PROVIDER_FAILED)
		return error_wrap(err, "%s%s%s", call->operation, call->subject[0] ? " " : "",
			call->subject);
	if (state == AWS_PROVIDER_WAIT) {
		wait_until(a, call, now_ms(a) + CREDS_POLL_MS);
		return 0;
	}
	call->attempts++;
	call->signed_s = a->clock.wall_s(a->clock.arg) + a->skew_s;
	call->http.done = attempt_done;
	call->http.arg = call;
	if (!call->anonymous && sign(a, call, creds, err) < 0)
		return -1;
	return http_start(a->http, &call->http, err);
}

/* The message of a call that failed for good; see aws.h for its parts. */
static void set_error(struct aws_call *call, const struct aws_answer *answer)
{
	const struct http_request *http = &call->http;
	char head[256], tries[40] = "";

	if (call->attempts > 1)
		snprintf(tries, sizeof(tries), " after %u attempts", call->attempts);
	snprintf(head, sizeof(head), "%s%s%s failed%s", call->operation, call->subject[0] ? " " : "",
		call->subject, tries);
	if (http->status == 0) {
		call->error = http->failure;
		error_wrap(&call->error, "%s", head);
		return;
	}
	error_set(&call->error, ERROR_SERVICE, 0, "%s: %s%s%s%s%s%s (%s%s%sHTTP %d)", head,
		answer->code[0] ? answer->code : "an answer without error code",
		answer->reason[0] ? " (" : "", answer->reason, answer->reason[0] ? ")" : "",
		answer->message[0] ? ": " : "", answer->message,
		answer->request_id[0] ? "request id " : "", answer->request_id,
		answer->request_id[0] ? ", " : "", http->status);
	call->error.http_status = http->status;
	memcpy(call->error.code, answer->code, sizeof(call->error.code));
}

/* Whether the signature was refused because of our clock; takes over the server's time if so. */
static bool correct_skew(struct aws *a, struct aws_call *call)
{
	int64_t theirs, ours = a->clock.wall_s(a->clock.arg), off;

	if (call->skew_tried || !aws_answer_date(&call->http, &theirs))
		return false;
	off = theirs - call->signed_s;
	if (off > -SKEW_S && off < SKEW_S)
		return false;
	call->skew_tried = true;
	if (a->skew_s != theirs - ours) {
		a->skew_s = theirs - ours;
		log_warn("this machine's clock is %lld s %s of AWS's: signing with corrected time",
			(long long)(a->skew_s < 0 ? -a->skew_s : a->skew_s),
			a->skew_s < 0 ? "ahead" : "behind");
	}
	return true;
}

/*
 * Whether the service called the credentials expired. Some say only that they do not know the key:
 * that counts when its time is over. RequestExpired can be the clock too, which was looked at before.
 */
static bool says_expired(const struct aws *a, const char *code)
{
	static const char *const always[] = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"};
	static const char *const when_past[] = {"InvalidClientTokenId", "UnrecognizedClientException",
		"AuthFailure", "InvalidAccessKeyId"};

	for (size_t i = 0; i < ARRAY_SIZE(always); i++) {
		if (strcmp(code, always[i]) == 0)
			return true;
	}
	for (size_t i = 0; i < ARRAY_SIZE(when_past); i++) {
		if (strcmp(code, when_past[i]) == 0)
			return aws_provider_is_past(a->provider);
	}
	return false;
}

/* Whether new credentials may help. */
static bool renew_creds(struct aws *a, struct aws_call *call)
{
	if (call->anonymous || !says_expired(a, call->error.code))
		return false;
	return aws_provider_expired(a->provider, call->generation);
}

/* Whether another attempt may be made, and after how long. */
static bool plan_retry(struct aws *a, struct aws_call *call, enum retry_class cls, unsigned *delay)
{
	uint64_t spent = now_ms(a) - call->first_ms;
	unsigned attempts = a->hurry ? MIN(a->max_attempts, HURRY_ATTEMPTS) : a->max_attempts;
	uint64_t budget = a->hurry ? HURRY_BUDGET_MS : a->budget_ms;

	*delay = 0;
	if (cls == RETRY_SKEW && correct_skew(a, call))
		return true;
	if (call->attempts < attempts && renew_creds(a, call))
		return true;
	if (cls == RETRY_SKEW || cls == RETRY_FATAL || (call->once && cls == RETRY_TRANSIENT) ||
	    call->http.failure.kind == ERROR_NOMEM || call->http.failure.kind == ERROR_USAGE)
		return false;
	*delay = retry_delay_ms(cls, call->attempts, a->clock.random(a->clock.arg));
	if (cls == RETRY_FRESH)
		return spent + *delay < MIN((uint64_t)FRESH_MS, budget);
	return call->attempts < attempts && spent + *delay < budget;
}

/* False, and what is wrong as the answer's message, when the call's own look at it finds a fault. */
static bool check_answer(const struct aws_call *call, struct aws_answer *answer)
{
	struct error why = ERROR_INIT;

	if (!call->check || call->check(call, &why) == 0)
		return true;
	snprintf(answer->code, sizeof(answer->code), "%s", why.code);
	snprintf(answer->message, sizeof(answer->message), "%.*s", (int)sizeof(answer->message) - 1, why.text);
	return false;
}

static void attempt_done(struct http_request *http, void *arg)
{
	struct aws_call *call = arg;
	struct aws *a = call->aws;
	struct aws_answer answer = {.code = ""};
	enum retry_class cls;
	unsigned delay;

	if (http->status >= 200 && http->status < 300) {
		if (check_answer(call, &answer)) {
			call->ok = true;
			finish(a, call);
			return;
		}
		cls = RETRY_TRANSIENT;
	} else {
		if (http->status != 0)
			aws_answer_read(call->service, http, &answer);
		cls = retry_classify(http->status, answer.code, answer.reason, answer.message,
			call->fresh_snapshot);
	}
	set_error(call, &answer);
	if (!plan_retry(a, call, cls, &delay)) {
		finish(a, call);
		return;
	}
	a->retries++;
	if (cls == RETRY_THROTTLED)
		a->throttled++;
	log_debug("%s; next attempt in %u ms", call->error.text, delay);
	wait_until(a, call, now_ms(a) + delay);
}

int aws_start(struct aws *a, struct aws_call *call, struct error *err)
{
	call->first_ms = now_ms(a);
	call->attempts = 0;
	call->ok = false;
	call->skew_tried = false;
	error_clear(&call->error);
	if (attempt(a, call, err) < 0)
		return -1;
	call->started = true;
	a->running++;
	return 0;
}

static void forget_waiting(struct aws *a, struct aws_call *call)
{
	struct aws_call **p = &a->waiting;

	while (*p && *p != call)
		p = &(*p)->next;
	if (*p)
		*p = call->next;
	call->waiting = false;
}

void aws_cancel(struct aws *a, struct aws_call *call)
{
	if (!call->started)
		return;
	if (call->waiting)
		forget_waiting(a, call);
	else
		http_cancel(a->http, &call->http);
	call->started = false;
	a->running--;
}

/* Sends what is due; gives the time until the next one is, at most limit_ms. */
static unsigned start_due(struct aws *a, unsigned limit_ms)
{
	uint64_t now = now_ms(a), next = now + limit_ms;
	struct aws_call **p = &a->waiting;

	while (*p) {
		struct aws_call *call = *p;

		if (call->due_ms > now) {
			next = MIN(next, call->due_ms);
			p = &call->next;
			continue;
		}
		*p = call->next;
		call->waiting = false;
		if (attempt(a, call, &call->error) < 0) {
			/* done() may change the list. */
			finish(a, call);
			p = &a->waiting;
		}
	}
	return (unsigned)(next - now);
}

static int check_cancelled(struct aws *a, struct error *err)
{
	if (a->hurry || !a->cancelled || !a->cancelled())
		return 0;
	return error_set(err, ERROR_INTERRUPTED, 0, "interrupted");
}

int aws_run(struct aws *a, unsigned timeout_ms, int extra_fd, struct error *err)
{
	if (check_cancelled(a, err) < 0)
		return -1;
	if (a->cancelled && !a->hurry)
		timeout_ms = MIN(timeout_ms, CANCEL_POLL_MS);
	timeout_ms = start_due(a, timeout_ms);
	return http_run(a->http, timeout_ms, extra_fd, err);
}

int aws_perform(struct aws *a, struct aws_call *call, struct error *err)
{
	call->done = NULL;
	if (check_cancelled(a, err) < 0 || aws_start(a, call, err) < 0)
		return -1;
	while (call->started) {
		if (aws_run(a, 1000, -1, err) < 0) {
			aws_cancel(a, call);
			return error_wrap(err, "%s", call->operation);
		}
	}
	if (call->ok)
		return 0;
	if (err)
		*err = call->error;
	return -1;
}

int aws_sleep(struct aws *a, unsigned ms, struct error *err)
{
	uint64_t end = now_ms(a) + ms, now;

	while ((now = now_ms(a)) < end) {
		if (aws_run(a, (unsigned)MIN(end - now, 1000), -1, err) < 0)
			return -1;
	}
	return 0;
}

/* Credentials now, even when a refresh has to be waited for. */
static int await_creds(struct aws *a, const struct aws_creds **creds, struct error *err)
{
	enum aws_provider_state state;

	if (!a->provider)
		return error_set(err, ERROR_USAGE, 0, "no AWS credentials to sign a URL");
	while ((state = aws_provider_get(a->provider, creds, err)) == AWS_PROVIDER_WAIT)
		if (aws_run(a, CREDS_POLL_MS, -1, err) < 0)
			return -1;
	return state == AWS_PROVIDER_READY ? 0 : -1;
}

/* The value of a parameter of the query, which is not for the log. */
static int redact_parameter(const char *url, const char *name, struct error *err)
{
	const char *value = strstr(url, name);
	CLEANUP_FREE char *text = NULL;

	if (!value)
		return 0;
	value += strlen(name);
	text = buf_strf(err, "%.*s", (int)strcspn(value, "&"), value);
	return text ? log_redact(text, err) : -1;
}

int aws_presign(struct aws *a, enum aws_service service, const char *query, unsigned expires_s,
	struct buf *url, struct error *err)
{
	struct aws_signer signer = {
		.region = a->region,
		.keys = &a->keys,
		.endpoint = &a->endpoint[service],
		.now = a->clock.wall_s(a->clock.arg) + a->skew_s,
	};

	if (await_creds(a, &signer.creds, err) < 0)
		return -1;
	use_generation(a, aws_provider_generation(a->provider));
	if (aws_sign_url(&signer, service, query, expires_s, url, err) < 0 ||
	    redact_parameter(buf_str(url), "X-Amz-Signature=", err) < 0)
		return -1;
	return redact_parameter(buf_str(url), "X-Amz-Security-Token=", err);
}
