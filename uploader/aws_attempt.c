/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One attempt of a call, and what follows from its answer: the clock put right, new credentials,
 * another attempt after a pause, or the call's end with its message.
 */
#include "uploader/aws_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/num.h"

enum {
	HURRY_ATTEMPTS = 3,
	HURRY_BUDGET_MS = 10000,
	FRESH_MS = 120000, /* how long a new snapshot may stay unknown */
	SKEW_S = 240,      /* below that no service refuses a signature for its time */
};

void aws_call_finish(struct aws *a, struct aws_call *call)
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

void aws_use_generation(struct aws *a, unsigned generation)
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
	aws_use_generation(a, call->generation);
	return aws_sign(&signer, call, err);
}

/* Signed afresh, as every attempt has its own time. */
int aws_attempt(struct aws *a, struct aws_call *call, struct error *err)
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
		wait_until(a, call, aws_now_ms(a) + AWS_CREDS_POLL_MS);
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

/* What moves many bytes may take longer than others are tried: one attempt that ends late is not the last for that. */
static uint64_t budget_of(const struct aws *a, const struct aws_call *call)
{
	return a->hurry ? HURRY_BUDGET_MS : MAX((uint64_t)a->budget_ms, 2 * (uint64_t)call->http.attempt_ms);
}

/* Whether another attempt may be made, and after how long. */
static bool plan_retry(struct aws *a, struct aws_call *call, enum retry_class cls, unsigned *delay)
{
	uint64_t spent = aws_now_ms(a) - call->first_ms;
	unsigned attempts = a->hurry ? MIN(a->max_attempts, HURRY_ATTEMPTS) : a->max_attempts;
	uint64_t budget = budget_of(a, call);

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
			aws_call_finish(a, call);
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
		aws_call_finish(a, call);
		return;
	}
	a->retries++;
	if (cls == RETRY_THROTTLED)
		a->throttled++;
	log_debug("%s; next attempt in %u ms", call->error.text, delay);
	wait_until(a, call, aws_now_ms(a) + delay);
}
