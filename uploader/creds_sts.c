/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calls of STS that give credentials. They go through the AWS client, so that retries, a wrong
 * clock and expired source credentials are dealt with as everywhere. Source: AWS Security Token
 * Service API Reference, AssumeRole and AssumeRoleWithWebIdentity, version 2011-06-15.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/xmldoc.h"
#include "uploader/aws.h"
#include "uploader/aws_internal.h"
#include "uploader/creds_internal.h"
#include "uploader/sigv4.h"

enum { MAX_TOKEN = 32 * 1024, ATTEMPTS = 4, BUDGET_MS = 30000 };

struct aws *creds_client(const struct creds_world *w, const char *region,
	struct aws_provider *source, struct error *err)
{
	struct aws_opts opts = {
		.region = region,
		.provider = source,
		.clock = &w->clock,
		.http = w->http,
		.fips = w->settings->fips,
		.dualstack = w->settings->dualstack,
		.max_attempts = ATTEMPTS,
		.retry_budget_ms = BUDGET_MS,
		.cancelled = creds_cancelled,
	};

	for (int i = 0; i < AWS_SERVICES; i++)
		opts.endpoint[i] = w->settings->endpoint[i];
	return aws_new(&opts, err);
}

char *creds_session_name(const struct creds_world *w, const char *given, struct error *err)
{
	if (given)
		return buf_strf(err, "%s", given);
	return buf_strf(err, "amiwright-%lld", (long long)w->clock.wall_s(w->clock.arg));
}

int creds_sts_add(struct buf *body, const char *name, const char *value, struct error *err)
{
	if (!value)
		return 0;
	if (buf_addf(body, err, "&%s=", name) < 0)
		return -1;
	return sigv4_encode(body, value, strlen(value), false, err);
}

int creds_sts_begin(struct buf *body, const char *action, const char *role, const char *session,
	struct error *err)
{
	if (buf_addf(body, err, "Action=%s&Version=2011-06-15", action) < 0 ||
	    creds_sts_add(body, "RoleArn", role, err) < 0)
		return -1;
	return creds_sts_add(body, "RoleSessionName", session, err);
}

void creds_adjust_expiry(struct aws_creds *c, const struct http_request *answer,
	const struct aws_clock *clock)
{
	int64_t theirs;

	if (c->expires != 0 && aws_answer_date(answer, &theirs))
		c->expires -= theirs - clock->wall_s(clock->arg);
}

static int read_credentials(const struct xmldoc_node *node, struct aws_creds *out, struct error *err)
{
	CLEANUP_SECRET char *token = calloc(1, MAX_TOKEN);
	char access[256], secret[256], expires[64];
	int ret;

	if (!token)
		return error_nomem(err, "a session token");
	xmldoc_child_text(node, "AccessKeyId", access, sizeof(access));
	xmldoc_child_text(node, "SecretAccessKey", secret, sizeof(secret));
	xmldoc_child_text(node, "SessionToken", token, MAX_TOKEN);
	xmldoc_child_text(node, "Expiration", expires, sizeof(expires));
	if (strlen(token) == MAX_TOKEN - 1)
		return error_set(err, ERROR_SERVICE, 0, "a session token of over %d bytes", MAX_TOKEN);
	ret = num_parse_time(expires, &out->expires, err);
	if (ret == 0)
		ret = creds_set(out, access, secret, token, err);
	explicit_bzero(secret, sizeof(secret));
	return ret;
}

static int read_answer(const struct http_request *http, const char *action, struct aws_creds *out,
	struct error *err)
{
	CLEANUP(xmldoc_cleanup) struct xmldoc *doc = NULL;
	const struct xmldoc_node *node;
	char result[80];

	doc = aws_answer_xml(buf_str(&http->answer), http->answer.len, err);
	if (!doc)
		return -1;
	snprintf(result, sizeof(result), "%sResult", action);
	node = xmldoc_child(xmldoc_child(xmldoc_root(doc), result), "Credentials");
	if (!node)
		return error_set(err, ERROR_SERVICE, 0, "the answer has no credentials");
	return read_credentials(node, out, err);
}

static int call_sts(struct aws *a, bool is_signed, const char *action, const struct buf *body,
	const struct aws_clock *clock, struct aws_creds *out, struct error *err)
{
	struct aws_call call;
	int ret;

	if (aws_call_init(a, &call, AWS_STS, "POST", "/", action, err) < 0)
		return -1;
	call.anonymous = !is_signed;
	call.http.body = body->data;
	call.http.body_len = body->len;
	ret = http_add_header(&call.http, "Content-Type",
		"application/x-www-form-urlencoded; charset=utf-8", err);
	if (ret == 0)
		ret = aws_perform(a, &call, err);
	if (ret == 0) {
		ret = read_answer(&call.http, action, out, err);
		if (ret < 0)
			error_wrap(err, "%s", action);
		else
			creds_adjust_expiry(out, &call.http, clock);
	}
	buf_wipe(&call.http.answer);
	aws_call_release(&call);
	return ret;
}

int creds_sts_call(const struct creds_world *w, struct aws_provider *source, const char *action,
	const struct buf *body, struct aws_creds *out, struct error *err)
{
	CLEANUP(aws_cleanup) struct aws *a =
		creds_client(w, w->region ? w->region : "us-east-1", source, err);

	return a ? call_sts(a, source != NULL, action, body, &w->clock, out, err) : -1;
}
