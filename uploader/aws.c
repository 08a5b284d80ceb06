/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The AWS client: every call goes through here, so signing, retrying and the correction of a wrong
 * clock (aws_attempt.c) exist once. A call is either in the HTTP client's hands or in the list of those that wait
 * for their next attempt; done() is called exactly once, when neither holds any more.
 */
#include "uploader/aws_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"

enum {
	DEFAULT_ATTEMPTS = 8,
	DEFAULT_BUDGET_MS = 300000,
	CANCEL_POLL_MS = 100,
};

uint64_t aws_now_ms(const struct aws *a)
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

int aws_start(struct aws *a, struct aws_call *call, struct error *err)
{
	call->first_ms = aws_now_ms(a);
	call->attempts = 0;
	call->ok = false;
	call->skew_tried = false;
	error_clear(&call->error);
	if (aws_attempt(a, call, err) < 0)
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
	uint64_t now = aws_now_ms(a), next = now + limit_ms;
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
		if (aws_attempt(a, call, &call->error) < 0) {
			/* done() may change the list. */
			aws_call_finish(a, call);
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
	uint64_t end = aws_now_ms(a) + ms, now;

	while ((now = aws_now_ms(a)) < end) {
		if (aws_run(a, (unsigned)MIN(end - now, 1000), -1, err) < 0)
			return -1;
	}
	return 0;
}
